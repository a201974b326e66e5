//! What is loaded: where the program begins, the libraries.

use super::line::Inner;
use crate::debug::{Map, Module, ProcessId, number};
use crate::error::Result;
use crate::protocol::rsp::description;

const AT_PHDR: u64 = 3;
const AT_PHNUM: u64 = 5;

/// Where the program of a process is.
#[derive(Debug, Clone, Copy, Default)]
struct Headers {
    bias: u64,
    dynamic: u64,
    start: u64,
}

impl Inner {
    /// From the program headers in memory, whose address the kernel told the loader.
    fn headers(&mut self, process: ProcessId) -> Option<Headers> {
        const PT_LOAD: u64 = 1;
        const PT_DYNAMIC: u64 = 2;
        const PT_PHDR: u64 = 6;
        let at = self.auxv_value(process, AT_PHDR)?;
        let count = self.auxv_value(process, AT_PHNUM)?.min(256) as usize;
        let layout = std::sync::Arc::clone(&self.registers(process).ok()?.layout);
        let wide = layout.bits == 64;
        let size = if wide { 56 } else { 32 };
        let mut table = vec![0; size * count];
        let read = self.read(process, at, &mut table).ok()?;
        let value = |bytes: &[u8]| number(bytes, layout.big_endian) as u64;
        let (mut bias, mut dynamic, mut first) = (None, None, None);
        for header in table[..read].chunks_exact(size) {
            let address = value(if wide { &header[16..24] } else { &header[8..12] });
            let offset = value(if wide { &header[8..16] } else { &header[4..8] });
            match value(&header[..4]) {
                PT_PHDR => bias = Some(at.wrapping_sub(address)),
                PT_DYNAMIC => dynamic = Some(address),
                PT_LOAD if offset == 0 => first = Some(address),
                _ => {}
            }
        }
        // Without a header about themselves: they follow the file's own header, at the start of the first segment.
        let header_size = if wide { 64 } else { 52 };
        let narrow = |address: u64| if wide { address } else { address & 0xffff_ffff };
        let bias = bias.or_else(|| Some(at.wrapping_sub(header_size).wrapping_sub(first?))).map(narrow).unwrap_or(0);
        Some(Headers {
            bias,
            dynamic: dynamic.map_or(0, |dynamic| narrow(dynamic.wrapping_add(bias))),
            start: narrow(bias.wrapping_add(first.unwrap_or(0))),
        })
    }

    /// Where the program's file begins in memory.
    pub fn program_start(&mut self, process: ProcessId) -> Option<u64> {
        self.headers(process).map(|headers| headers.start)
    }

    /// What is added to the addresses of the program's file.
    pub fn program_bias(&mut self, process: ProcessId) -> Option<u64> {
        if let Some(headers) = self.headers(process) {
            return Some(headers.bias);
        }
        // Without an operating system a boot loader may have moved it.
        let reply = self.ask_raw(b"qOffsets".to_vec()).ok()?;
        let text = std::str::from_utf8(&reply).ok()?;
        let field = text.strip_prefix("Text=").or_else(|| text.strip_prefix("TextSeg="))?;
        let digits: String = field.chars().take_while(char::is_ascii_hexdigit).collect();
        u64::from_str_radix(&digits, 16).ok()
    }

    /// The modules, the program first.
    pub fn modules(&mut self, process: ProcessId) -> Result<Vec<Module>> {
        if let Some(modules) = self.known.modules.get(&process) {
            return Ok(modules.clone());
        }
        self.stopped()?;
        let mut modules = Vec::new();
        let headers = self.headers(process);
        let mut main = None;
        let mut libraries = Vec::new();
        if self.stub.has("qXfer:libraries-svr4:read") {
            let thread = self.thread_of(process)?;
            if let Some(choose) = self.choose(thread) {
                self.ask_raw(choose)?;
            }
            if let Ok(bytes) = self.object("libraries-svr4", "")
                && let Ok((link_map, list)) = description::libraries(&String::from_utf8_lossy(&bytes))
            {
                (main, libraries) = (link_map, list);
            }
        }
        if let (Some(path), Some(headers)) = (self.program_path(process), headers) {
            modules.push(Module {
                path,
                bias: headers.bias,
                start: Some(headers.start),
                end: None,
                link_map: main.unwrap_or(0),
                dynamic: headers.dynamic,
            });
        }
        for library in
            libraries.into_iter().filter(|library| !library.path.is_empty() && Some(library.link_map) != main)
        {
            modules.push(Module {
                path: library.path,
                bias: library.bias,
                start: None,
                end: None,
                link_map: library.link_map,
                dynamic: library.dynamic,
            });
        }
        self.known.modules.insert(process, modules.clone());
        Ok(modules)
    }
}

/// Gives modules the range of their mappings, and adds files that only the kernel has mapped so far.
pub fn complete(modules: &mut Vec<Module>, maps: &[Map]) {
    for module in &mut *modules {
        let holder = maps.iter().find(|map| module.dynamic != 0 && map.contains(module.dynamic));
        let name = holder.and_then(|map| map.name.clone()).unwrap_or_else(|| module.path.clone());
        let own = |map: &&Map| map.name.as_deref() == Some(name.as_str());
        module.start = maps.iter().find(own).map(|map| map.start).or(module.start);
        module.end = maps.iter().rfind(own).map(|map| map.end);
    }
    for map in maps.iter().filter(|map| map.offset == 0) {
        let Some(name) = map.name.clone().filter(|name| name.starts_with('/')) else { continue };
        let known = modules.iter().any(|module| module.start == Some(map.start));
        let code = maps.iter().any(|other| other.name == map.name && other.protection.execute);
        if !known && code {
            let (start, end) = (Some(map.start), maps.iter().rfind(|other| other.name == map.name).map(|map| map.end));
            modules.push(Module { path: name, bias: map.start, start, end, link_map: 0, dynamic: 0 });
        }
    }
}
