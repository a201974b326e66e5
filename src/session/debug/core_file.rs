//! Writing a process's memory and registers as an ELF core file (System V ABI, chapter 5; `core(5)`; the notes are
//! those of Linux's `fs/binfmt_elf.c`), which gdb and others open.

use std::io::Write;

use super::Debugged;
use crate::debug::{Map, ProcessId, ThreadId};
use crate::error::{Error, Kind, Result};
use crate::output::Cancel;

const NT_PRSTATUS: u32 = 1;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const NT_FILE: u32 = 0x4649_4c45;
const NT_FPREGSET: u32 = 2;
const NT_SIGINFO: u32 = 0x5349_4749;

/// Memory that cannot be read, or is the kernel's own.
const UNREADABLE: &[&str] = &["[vvar]", "[vvar_vclock]", "[vsyscall]"];

const HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;
const PAGE: u64 = 4096;

/// Writes the core file of the process that is meant. Returns its bytes.
pub fn write(debugged: &mut Debugged<'_>, out: &mut dyn Write, cancel: &Cancel) -> Result<u64> {
    let current = debugged.thread()?;
    let layout = debugged.layout()?;
    if layout.architecture != "i386:x86-64" {
        let text = format!("core files of {} processes are not written", layout.architecture);
        return Err(Error::new(Kind::Unsupported, text));
    }
    let maps: Vec<Map> = debugged
        .target
        .maps(current.process)?
        .into_iter()
        .filter(|map| !map.name.as_deref().is_some_and(|name| UNREADABLE.contains(&name)))
        .collect();
    let notes = notes(debugged, current, &maps)?;
    let notes_at = HEADER + PROGRAM_HEADER * (maps.len() as u64 + 1);
    let mut data_at = (notes_at + notes.len() as u64).next_multiple_of(PAGE);
    let mut headers = Vec::new();
    headers.extend(file_header(maps.len() + 1));
    headers.extend(program_header(4, 4, notes_at, 0, notes.len() as u64, 0, 4));
    for map in &maps {
        let flags = u32::from(map.protection.execute)
            | u32::from(map.protection.write) << 1
            | u32::from(map.protection.read) << 2;
        let size = map.end.saturating_sub(map.start);
        headers.extend(program_header(1, flags, data_at, map.start, size, size, PAGE));
        data_at += size;
    }
    headers.extend(&notes);
    headers.resize(headers.len().next_multiple_of(PAGE as usize), 0);
    let failed = |error: std::io::Error| Error::system("cannot write the core file", &error);
    out.write_all(&headers).map_err(failed)?;
    let mut buffer = vec![0; 1 << 20];
    for map in &maps {
        let mut at = map.start;
        while at < map.end {
            cancel.check()?;
            let length = buffer.len().min((map.end - at) as usize);
            let count = debugged.target.read_memory(current.process, at, &mut buffer[..length])?;
            // A page that cannot be read (of a device, beyond the end of a file) is zeros, as in the kernel's own.
            buffer[count..length].fill(0);
            out.write_all(&buffer[..length]).map_err(failed)?;
            at += length as u64;
        }
    }
    Ok(data_at)
}

/// The ELF header of a core file for x86-64 with so many program headers.
fn file_header(count: usize) -> Vec<u8> {
    const ET_CORE: u16 = 4;
    const EM_X86_64: u16 = 62;
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(ET_CORE.to_le_bytes());
    bytes.extend(EM_X86_64.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    bytes.extend(HEADER.to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    bytes.extend((HEADER as u16).to_le_bytes());
    bytes.extend((PROGRAM_HEADER as u16).to_le_bytes());
    // 0xffff and more would need a section header to say so; no process here has so many maps (vm.max_map_count).
    bytes.extend(u16::try_from(count).unwrap_or(u16::MAX - 1).to_le_bytes());
    bytes.extend([0; 6]);
    bytes
}

fn program_header(kind: u32, flags: u32, offset: u64, address: u64, file: u64, memory: u64, align: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PROGRAM_HEADER as usize);
    bytes.extend(kind.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    for number in [offset, address, 0, file, memory, align] {
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

fn note(kind: u32, owner: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend((owner.len() as u32 + 1).to_le_bytes());
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend(owner.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn notes(debugged: &mut Debugged<'_>, current: ThreadId, maps: &[Map]) -> Result<Vec<u8>> {
    let mut threads: Vec<ThreadId> =
        debugged.target.threads(Some(current.process))?.iter().map(|thread| thread.id).collect();
    // The first one is the one that readers show first.
    threads.sort_by_key(|thread| *thread != current);
    let mut bytes = Vec::new();
    for (at, thread) in threads.into_iter().enumerate() {
        bytes.extend(note(NT_PRSTATUS, "CORE", &status(debugged, thread)?));
        if at == 0 {
            bytes.extend(note(NT_PRPSINFO, "CORE", &information(debugged, current.process)));
            // What the signal was about, when one stopped it.
            if let Ok(information) = debugged.target.signal_info(thread)
                && information.iter().any(|byte| *byte != 0)
            {
                bytes.extend(note(NT_SIGINFO, "CORE", &information));
            }
            if let Ok(auxv) = debugged.target.auxv(current.process) {
                bytes.extend(note(NT_AUXV, "CORE", &auxv));
            }
            bytes.extend(note(NT_FILE, "CORE", &files(maps)));
        }
        bytes.extend(note(NT_FPREGSET, "CORE", &floating(debugged, thread)?));
    }
    Ok(bytes)
}

/// `struct elf_prstatus` of a thread: what the kernel fills in of it that is known here.
fn status(debugged: &mut Debugged<'_>, thread: ThreadId) -> Result<Vec<u8>> {
    const SIZE: usize = 336;
    const SIGNAL: usize = 12;
    const PID: usize = 32;
    const REGISTERS: usize = 112;
    let mut bytes = vec![0; SIZE];
    if let Some(crate::debug::Reason::Signal { number, .. }) = debugged.notes.stop.as_ref().map(|stop| &stop.reason) {
        bytes[0..4].copy_from_slice(&number.to_le_bytes());
        bytes[SIGNAL..SIGNAL + 2].copy_from_slice(&(*number as i16).to_le_bytes());
    }
    bytes[PID..PID + 4].copy_from_slice(&(thread.thread as u32).to_le_bytes());
    let set = debugged.target.read_set(thread, 0)?;
    let length = set.len().min(SIZE - REGISTERS - 8);
    bytes[REGISTERS..REGISTERS + length].copy_from_slice(&set[..length]);
    Ok(bytes)
}

/// `struct user_fpregs_struct` of a thread: the FXSAVE area (Intel SDM, volume 1, 10.5.1).
fn floating(debugged: &mut Debugged<'_>, thread: ThreadId) -> Result<Vec<u8>> {
    const SIZE: usize = 512;
    let layout = debugged.layout()?;
    let mut bytes = vec![0; SIZE];
    let mut put = |at: usize, length: usize, name: &str| -> Result<()> {
        if let Some(register) = layout.find(name) {
            let value = debugged.target.read_register(thread, register)?;
            let length = length.min(value.len());
            bytes[at..at + length].copy_from_slice(&value[..length]);
        }
        Ok(())
    };
    for (at, length, name) in
        [(0, 2, "fctrl"), (2, 2, "fstat"), (6, 2, "fop"), (8, 4, "fioff"), (16, 4, "fooff"), (24, 4, "mxcsr")]
    {
        put(at, length, name)?;
    }
    for index in 0..8 {
        put(32 + 16 * index, 10, &format!("st{index}"))?;
    }
    for index in 0..16 {
        put(160 + 16 * index, 16, &format!("xmm{index}"))?;
    }
    if let Some(tags) = layout.find("ftag") {
        let full = crate::debug::number(&debugged.target.read_register(thread, tags)?, false);
        // Two bits for each register become one: 3 means that it is empty.
        bytes[4] = (0..8).filter(|index| full >> (2 * index) & 3 != 3).map(|index| 1u8 << index).sum();
    }
    Ok(bytes)
}

/// `struct elf_prpsinfo`: the program's name and arguments.
fn information(debugged: &mut Debugged<'_>, process: ProcessId) -> Vec<u8> {
    const SIZE: usize = 136;
    const PID: usize = 24;
    const NAME: usize = 40;
    const ARGUMENTS: usize = 56;
    let mut bytes = vec![0; SIZE];
    bytes[PID..PID + 4].copy_from_slice(&process.to_le_bytes());
    let mut put = |at: usize, room: usize, text: &[u8]| {
        let length = text.len().min(room - 1);
        bytes[at..at + length].copy_from_slice(&text[..length]);
    };
    if let Ok(program) = debugged.target.program(process) {
        let name = program.rsplit('/').next().unwrap_or(&program);
        put(NAME, ARGUMENTS - NAME, name.as_bytes());
    }
    let mut line = vec![0; 4096];
    if let Ok(count) = debugged.target.read_file(process, &format!("/proc/{process}/cmdline"), 0, &mut line) {
        let text: Vec<u8> = line[..count].iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect();
        put(ARGUMENTS, SIZE - ARGUMENTS, &text);
    }
    bytes
}

/// The note that says which files are mapped where.
fn files(maps: &[Map]) -> Vec<u8> {
    let named: Vec<(&Map, &str)> =
        maps.iter().filter_map(|map| Some((map, map.name.as_deref().filter(|name| name.starts_with('/'))?))).collect();
    let mut bytes = Vec::new();
    bytes.extend((named.len() as u64).to_le_bytes());
    bytes.extend(PAGE.to_le_bytes());
    for (map, _) in &named {
        for number in [map.start, map.end, map.offset / PAGE] {
            bytes.extend(number.to_le_bytes());
        }
    }
    for (_, name) in &named {
        bytes.extend(name.as_bytes());
        bytes.push(0);
    }
    bytes
}
