//! What is loaded into a process: from its memory map and from the dynamic loader's own list (`r_debug`), for any
//! target whose memory and auxiliary vector can be read.

use std::collections::BTreeMap;

use super::{Layout, Map, Module, ProcessId, Target};
use crate::error::Result;

/// Most entries of the loader's list: a damaged one may go in circles.
const LIMIT: usize = 4096;

/// Most bytes of a path.
const PATH: usize = 4096;

const AT_PHDR: u64 = 3;
const AT_PHNUM: u64 = 5;
const AT_ENTRY: u64 = 9;
const PT_DYNAMIC: u64 = 2;
const PT_PHDR: u64 = 6;
const DT_DEBUG: u64 = 21;

/// Numbers in the memory of a process, in its width and byte order.
struct Reader<'a> {
    target: &'a mut dyn Target,
    process: ProcessId,
    word: usize,
    big_endian: bool,
}

impl<'a> Reader<'a> {
    fn new(target: &'a mut dyn Target, process: ProcessId, layout: &Layout) -> Reader<'a> {
        let word = if layout.bits == 64 { 8 } else { 4 };
        Reader { target, process, word, big_endian: layout.big_endian }
    }

    fn bytes(&mut self, address: u64, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        let read = self.target.read_memory(self.process, address, &mut bytes).ok()?;
        (read == count).then_some(bytes)
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        super::number(bytes, self.big_endian) as u64
    }

    /// `count` words at `address`.
    fn words(&mut self, address: u64, count: usize) -> Option<Vec<u64>> {
        let bytes = self.bytes(address, count * self.word)?;
        Some(bytes.chunks_exact(self.word).map(|word| self.number(word)).collect())
    }

    fn text(&mut self, address: u64) -> Option<String> {
        let mut text = Vec::new();
        while text.len() < PATH {
            let here = address.checked_add(text.len() as u64)?;
            // Up to the end of the page: the next one may not be there.
            let mut piece = vec![0; (64 - here % 64) as usize];
            let read = self.target.read_memory(self.process, here, &mut piece).ok()?;
            let piece = piece.get(..read)?;
            match piece.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    text.extend_from_slice(&piece[..end]);
                    break;
                }
                None if piece.is_empty() => return None,
                None => text.extend_from_slice(piece),
            }
        }
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    /// The auxiliary vector as pairs.
    fn auxv(&mut self) -> Result<BTreeMap<u64, u64>> {
        let bytes = self.target.auxv(self.process)?;
        let numbers: Vec<u64> = bytes.chunks_exact(self.word).map(|word| self.number(word)).collect();
        Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    /// What the address of the program's entry differs by from what its file says.
    fn moved_by(&mut self, maps: &[Map], entry: u64) -> Option<u64> {
        let name = maps.iter().find(|map| map.contains(entry))?.name.as_deref();
        let start = maps.iter().find(|map| map.offset == 0 && map.name.as_deref() == name)?.start;
        if self.bytes(start, 4)? != b"\x7fELF" {
            return None;
        }
        // e_entry lies behind the identification and three numbers, in files of both widths.
        let filed = *self.words(start.wrapping_add(24), 1)?.first()?;
        Some(entry.wrapping_sub(filed))
    }

    /// The program headers of the program: its bias and the address of its dynamic section.
    fn program(&mut self, auxv: &BTreeMap<u64, u64>, maps: &[Map]) -> Option<(u64, u64)> {
        let (at, count) = (*auxv.get(&AT_PHDR)?, usize::try_from(*auxv.get(&AT_PHNUM)?).ok()?.min(1024));
        let size = if self.word == 8 { 56 } else { 32 };
        let table = self.bytes(at, size * count)?;
        let moved = auxv.get(&AT_ENTRY).and_then(|entry| self.moved_by(maps, *entry));
        let (mut bias, mut dynamic) = (moved.unwrap_or(0), 0);
        for header in table.chunks_exact(size) {
            let kind = self.number(&header[..4]);
            let address = if self.word == 8 { &header[16..24] } else { &header[8..12] };
            match kind {
                PT_PHDR => bias = at.wrapping_sub(self.number(address)),
                PT_DYNAMIC => dynamic = self.number(address),
                _ => {}
            }
        }
        let dynamic = if dynamic == 0 { 0 } else { dynamic.wrapping_add(bias) };
        Some((bias, dynamic))
    }

    /// The word of the dynamic section in which the loader leaves the address of its `r_debug`.
    fn debug_slot(&mut self, dynamic: u64) -> Option<u64> {
        for entry in 0..LIMIT as u64 {
            let at = dynamic.wrapping_add(entry * 2 * self.word as u64);
            match self.words(at, 1)?.first()? {
                0 => return None,
                &DT_DEBUG => return Some(at.wrapping_add(self.word as u64)),
                _ => {}
            }
        }
        None
    }

    /// Where the loader's `struct r_debug` is, once it has made one.
    fn rendezvous(&mut self, dynamic: u64) -> Option<u64> {
        let slot = self.debug_slot(dynamic)?;
        self.words(slot, 1)?.first().copied().filter(|debug| *debug != 0)
    }

    /// The loader's list, if it has made one: link_map, bias, path, dynamic section.
    fn linked(&mut self, dynamic: u64) -> Vec<(u64, u64, String, u64)> {
        let mut found = Vec::new();
        let Some(debug) = self.rendezvous(dynamic) else { return found };
        // struct r_debug: a version (padded to a word), the first link_map.
        let Some(head) = self.words(debug, 2) else { return found };
        let mut link = head[1];
        while link != 0 && found.len() < LIMIT {
            let Some(map) = self.words(link, 4) else { break };
            let path = self.text(map[1]).unwrap_or_default();
            found.push((link, map[0], path, map[2]));
            link = map[3];
        }
        found
    }
}

/// Where the program of `process` begins to run, as the kernel told its loader; `None`: it did not.
pub fn entry(target: &mut dyn Target, process: ProcessId) -> Result<Option<u64>> {
    let layout = target.layout(process)?;
    Ok(Reader::new(target, process, &layout).auxv()?.get(&AT_ENTRY).copied())
}

/// The address that the dynamic loader of `process` reaches whenever its list has changed (`r_brk`); `None`: it has not
/// said so, or there is none.
pub fn loader_stop(target: &mut dyn Target, process: ProcessId) -> Option<u64> {
    let layout = target.layout(process).ok()?;
    let maps = target.maps(process).ok()?;
    let mut reader = Reader::new(target, process, &layout);
    let auxv = reader.auxv().ok()?;
    let (_, dynamic) = reader.program(&auxv, &maps).filter(|(_, dynamic)| *dynamic != 0)?;
    let debug = reader.rendezvous(dynamic)?;
    // Behind the version (padded to a word) and the first link_map.
    let stop = *reader.words(debug, 3)?.get(2)?;
    Some(stop).filter(|stop| *stop != 0)
}

/// Where the loader leaves the address of its list (the value of DT_DEBUG); `None`: the program has no such place.
pub fn loader_slot(target: &mut dyn Target, process: ProcessId) -> Result<Option<u64>> {
    let layout = target.layout(process)?;
    let maps = target.maps(process)?;
    let mut reader = Reader::new(target, process, &layout);
    let auxv = reader.auxv()?;
    let dynamic = reader.program(&auxv, &maps).map_or(0, |(_, dynamic)| dynamic);
    Ok(if dynamic == 0 { None } else { reader.debug_slot(dynamic) })
}

/// The modules of `process`, the program first; files that are mapped but that the loader does not know follow.
pub fn list(target: &mut dyn Target, process: ProcessId) -> Result<Vec<Module>> {
    let layout = target.layout(process)?;
    let maps = target.maps(process)?;
    let program = target.program(process).ok();
    let mut reader = Reader::new(target, process, &layout);
    // Without it there are the maps.
    let auxv = reader.auxv().unwrap_or_default();
    let mut modules = Vec::new();
    let headers = reader.program(&auxv, &maps);
    let entry = auxv.get(&AT_ENTRY).copied();
    let linked = match headers {
        Some((_, dynamic)) if dynamic != 0 => reader.linked(dynamic),
        _ => Vec::new(),
    };
    let own = maps.iter().find(|map| entry.is_some_and(|entry| map.contains(entry)));
    let own = own.and_then(|map| map.name.clone()).or(program);
    if let (Some(path), Some((bias, dynamic))) = (own, headers) {
        let link_map = linked.first().map_or(0, |first| first.0);
        modules.push(module(&maps, path, bias, dynamic, link_map));
    }
    for (link_map, bias, path, dynamic) in linked.into_iter().skip(1) {
        if !path.is_empty() {
            modules.push(module(&maps, path, bias, dynamic, link_map));
        }
    }
    // Files that only the kernel has mapped so far: the loader itself, before it has made its list.
    for map in maps.iter().filter(|map| map.offset == 0) {
        let Some(name) = map.name.clone().filter(|name| name.starts_with('/')) else { continue };
        let known = modules.iter().any(|module| module.start.is_some_and(|start| start == map.start));
        let code = maps.iter().any(|other| other.name == map.name && other.protection.execute);
        if !known && code {
            modules.push(module(&maps, name, map.start, 0, 0));
        }
    }
    Ok(modules)
}

/// A module, with the range of its mappings where they are found: by its dynamic section, or by its path.
fn module(maps: &[Map], path: String, bias: u64, dynamic: u64, link_map: u64) -> Module {
    let holder = maps.iter().find(|map| dynamic != 0 && map.contains(dynamic));
    let name = holder.and_then(|map| map.name.clone()).unwrap_or_else(|| path.clone());
    let own = |map: &&Map| map.name.as_deref() == Some(name.as_str());
    let start = maps.iter().find(own).map(|map| map.start);
    let end = maps.iter().rfind(own).map(|map| map.end);
    Module { path, bias, start, end, link_map, dynamic }
}
