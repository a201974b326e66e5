//! Core files as targets: what the notes and segments of one say becomes registers, maps and memory. Code that the
//! kernel left out of the core, as it lies in files, is read from the files of this machine that are the same.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::libraries::build_id;
use crate::binary::Kind;
use crate::binary::core::{CoreFile, MappedFile, Thread};
use crate::debug::core::{Dead, Fallen, Memory, Remains};
use crate::debug::registers::{Group, Register, Role, Set, Type};
use crate::debug::{Layout, Map, Process, Protection, Reason, Target, ThreadId};
use crate::error::Result;
use crate::io::{Access, Device, Info, Open, Read, SearchRequest, plugin};
use crate::output::Cancel;
use crate::session::Core;
use crate::uri::Uri;

/// NT_FPREGSET: what FXSAVE writes, for x86-64.
const FLOATS: u32 = 2;

/// Bytes of it.
const FXSAVE: usize = 512;

/// A device that several share.
type Shared = Arc<Mutex<Box<dyn Device>>>;

fn lock(device: &Shared) -> MutexGuard<'_, Box<dyn Device>> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A core file as a device: its bytes are the file's, and its target the process.
struct Grave {
    file: Shared,
    info: Info,
    target: Dead,
}

impl Device for Grave {
    fn info(&self) -> Info {
        self.info.clone()
    }
    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        lock(&self.file).read_at(address, buffer)
    }
    fn next_data(&mut self, address: u64) -> Option<u64> {
        lock(&self.file).next_data(address)
    }
    fn zeros(&mut self, address: u64) -> u64 {
        lock(&self.file).zeros(address)
    }
    fn read_many(&mut self, reads: &mut [Read<'_>]) -> Result<()> {
        lock(&self.file).read_many(reads)
    }
    fn search(
        &mut self,
        request: &SearchRequest,
        cancel: &Cancel,
        found: &mut dyn FnMut(u64) -> bool,
    ) -> Option<Result<()>> {
        lock(&self.file).search(request, cancel, found)
    }
    fn digest(&mut self, algorithm: &str, address: u64, length: u64, cancel: &Cancel) -> Option<Result<String>> {
        lock(&self.file).digest(algorithm, address, length, cancel)
    }
    fn target(&mut self) -> Option<&mut dyn Target> {
        Some(&mut self.target)
    }
}

/// A stretch of memory in a file.
struct Piece {
    start: u64,
    size: u64,
    file: Shared,
    offset: u64,
}

/// The memory of the process: the first piece that has an address is where it is read.
struct Pieces(Vec<Piece>);

impl Memory for Pieces {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            let Some(here) = address.checked_add(done as u64) else { break };
            let holds = |piece: &&Piece| here.checked_sub(piece.start).is_some_and(|offset| offset < piece.size);
            let Some(piece) = self.0.iter().find(holds) else { break };
            let inside = here - piece.start;
            let length = usize::try_from(piece.size - inside).unwrap_or(usize::MAX).min(buffer.len() - done);
            let Some(place) = piece.offset.checked_add(inside) else { break };
            let count = lock(&piece.file).read_at(place, &mut buffer[done..done + length])?;
            if count == 0 {
                break;
            }
            done += count;
        }
        Ok(done)
    }
}

impl Core {
    /// Makes the core file behind `fd` a target, when it is one whose registers are known. `twins`: files of this
    /// machine may be read for what it leaves out.
    pub(in crate::session) fn raise(&mut self, fd: u32, twins: bool) -> Result<()> {
        let Ok(Some(core)) = self.core_file(fd) else { return Ok(()) };
        let Some(layout) = core.threads.first().and_then(|thread| layout(&core, thread)) else { return Ok(()) };
        let (mut maps, mut spans) = self.spans(fd, &core);
        maps.sort_by_key(|map| map.start);
        spans.sort_unstable();
        let info = self.io.descriptor_mut(fd)?.device().info();
        let file: Shared = Arc::new(Mutex::new(self.io.lend(fd)?));
        let mut pieces: Vec<Piece> = spans
            .into_iter()
            .map(|(start, size, offset)| Piece { start, size, file: Arc::clone(&file), offset })
            .collect();
        if twins {
            self.take_files(fd, &core, &mut pieces);
        }
        let target = Dead::new(remains(&core, layout, maps, Pieces(pieces)));
        let info = Info { access: Access { write: false, ..info.access }, ..info };
        self.io.give_back(fd, Box::new(Grave { file, info, target }));
        self.watch_process(fd, twins)
    }

    /// The memory map, and which stretches are in the core file: address, bytes, offset.
    fn spans(&mut self, fd: u32, core: &CoreFile) -> (Vec<Map>, Vec<(u64, u64, u64)>) {
        let mut maps = Vec::new();
        let mut spans = Vec::new();
        let mut add = |start: u64, all: u64, kept: u64, offset: u64, access: Access| {
            let file = core.files.iter().find(|file| (file.start..file.end).contains(&start));
            let protection = Protection { read: access.read, write: access.write, execute: access.execute };
            let name = file.map(|file| file.path.clone()).or_else(|| special(core, start, all));
            let offset_in_file = file.map_or(0, |file| file.offset.wrapping_add(start - file.start));
            let end = start.saturating_add(all);
            maps.push(Map { start, end, protection, shared: false, offset: offset_in_file, name });
            if kept > 0 {
                spans.push((start, kept, offset));
            }
        };
        for memory in &core.memory {
            add(memory.start, memory.size, memory.size, memory.offset, memory.access);
        }
        if let Some(object) = self.object(fd).filter(|object| object.kind == Kind::Core) {
            for segment in object.segments.iter().filter(|segment| segment.loaded && segment.vsize > 0) {
                add(segment.vaddr, segment.vsize, segment.size.min(segment.vsize), segment.paddr, segment.access);
            }
        }
        (maps, spans)
    }

    /// Adds the files that were mapped, where the core file does not keep their bytes: to the target's memory and to
    /// the maps of the session.
    fn take_files(&mut self, fd: u32, core: &CoreFile, pieces: &mut Vec<Piece>) {
        let reading = Open { access: Access::R, ..Open::default() };
        let mut paths: Vec<&str> = core.files.iter().map(|file| file.path.as_str()).collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths.into_iter().filter(|path| path.starts_with('/')) {
            let mapped: Vec<&MappedFile> = core.files.iter().filter(|file| file.path == path).collect();
            let is_file = std::fs::metadata(path).is_ok_and(|facts| facts.is_file());
            let Some(mut device) = is_file.then(|| plugin::open(&Uri::parse(path), &reading).ok()).flatten() else {
                continue;
            };
            if !is_same(&mut *device, &mapped, pieces) {
                continue;
            }
            let Ok(owner) = self.io.descriptor(fd).map(|descriptor| descriptor.serial()) else { return };
            let Ok(second) = plugin::open(&Uri::parse(path), &reading) else { continue };
            let current = self.io.current();
            let known = self.io.adopt(path, Access::RX, second);
            if let Ok(serial) = self.io.descriptor(known).map(|descriptor| descriptor.serial()) {
                self.binaries.companions.entry(owner).or_default().push(serial);
            }
            if let Some(current) = current {
                let _ = self.io.select(current);
            }
            let shared: Shared = Arc::new(Mutex::new(device));
            for file in mapped {
                for (start, end) in missing(file, pieces) {
                    let (size, offset) = (end - start, file.offset.wrapping_add(start - file.start));
                    let name = Some(format!("fmap.{}", path.rsplit('/').next().unwrap_or(path)));
                    self.io.space.add(known, start, size, offset, Access::RX, name);
                    pieces.push(Piece { start, size, file: Arc::clone(&shared), offset });
                }
            }
        }
    }
}

/// Whether the file is the one that was mapped: they have the same build id, as far as the core file keeps it.
fn is_same(device: &mut dyn Device, mapped: &[&MappedFile], pieces: &[Piece]) -> bool {
    const HEADERS: usize = 4096;
    let Some(first) = mapped.iter().find(|file| file.offset == 0) else { return true };
    let holds = |piece: &&Piece| (piece.start..piece.start.saturating_add(piece.size)).contains(&first.start);
    let Some(piece) = pieces.iter().find(holds) else { return true };
    let mut kept = vec![0; HEADERS];
    let place = piece.offset.saturating_add(first.start - piece.start);
    let Ok(count) = lock(&piece.file).read_at(place, &mut kept) else { return true };
    let Some(kept) = kept.get(..count).and_then(build_id) else { return true };
    let mut own = vec![0; HEADERS];
    let Ok(count) = device.read_at(0, &mut own) else { return false };
    own.get(..count).and_then(build_id) == Some(kept)
}

/// The parts of a mapped file that no piece has.
fn missing(file: &MappedFile, pieces: &[Piece]) -> Vec<(u64, u64)> {
    let mut gaps = Vec::new();
    let mut here = file.start;
    let mut covered: Vec<(u64, u64)> = pieces
        .iter()
        .map(|piece| (piece.start, piece.start.saturating_add(piece.size)))
        .filter(|(start, end)| *start < file.end && *end > file.start)
        .collect();
    covered.sort_unstable();
    for (start, end) in covered {
        if start > here {
            gaps.push((here, start));
        }
        here = here.max(end);
    }
    if here < file.end {
        gaps.push((here, file.end));
    }
    gaps
}

/// What a map without a file is, when the registers tell.
fn special(core: &CoreFile, start: u64, size: u64) -> Option<String> {
    let (_, stack) = crate::binary::registers::roles(core.arch, core.bits);
    let main = core.threads.iter().find(|thread| thread.tid == core.pid).or(core.threads.first())?;
    let (_, sp) = main.named.iter().find(|(name, _)| *name == stack)?;
    sp.checked_sub(start).is_some_and(|offset| offset < size).then(|| "[stack]".to_string())
}

fn remains(core: &CoreFile, layout: Arc<Layout>, maps: Vec<Map>, memory: Pieces) -> Remains {
    const AT_ENTRY: u64 = 9;
    let process = if core.pid == 0 { core.threads.first().map_or(1, |thread| thread.tid) } else { core.pid };
    let entry = core.auxv.iter().find(|(kind, _)| *kind == AT_ENTRY).map(|(_, entry)| *entry);
    let own = entry.and_then(|entry| maps.iter().find(|map| map.contains(entry))).and_then(|map| map.name.clone());
    let program = own.or_else(|| Some(core.program.clone()).filter(|name| !name.is_empty()));
    let number = |value: u64| -> Vec<u8> {
        let bytes = if core.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        match (core.bits, core.big_endian) {
            (64, _) => bytes.to_vec(),
            (_, true) => bytes[4..].to_vec(),
            (_, false) => bytes[..4].to_vec(),
        }
    };
    let auxv = core.auxv.iter().flat_map(|(kind, value)| [number(*kind), number(*value)]).flatten().collect();
    let threads = core.threads.iter().enumerate().map(|(at, thread)| {
        let id = ThreadId { process, thread: thread.tid.into() };
        Fallen { id, sets: sets(core, &layout, thread), reason: (at == 0).then(|| reason(core, thread)).flatten() }
    });
    Remains {
        process: Process { id: process, parent: None, attached: false, program },
        threads: threads.collect(),
        layout,
        maps,
        auxv,
        memory: Box::new(memory),
    }
}

/// Why the process died. The exceptions of minidumps are not signals.
fn reason(core: &CoreFile, thread: &Thread) -> Option<Reason> {
    let number = core.signal.map_or(thread.signal, |signal| signal.number);
    let number = i32::try_from(number).ok().filter(|number| (1..=crate::debug::signals::LAST).contains(number))?;
    // ILL, BUS, FPE and SEGV are about an address, when the processor raised them.
    let faults = matches!(number, 4 | 7 | 8 | 11) && core.signal.is_some_and(|signal| signal.code > 0);
    let address = core.signal.map(|signal| signal.address).filter(|_| faults);
    Some(Reason::Signal { number, code: core.signal.map_or(0, |signal| signal.code), sender: None, address })
}

/// The sets of a thread: its named registers as words, and what FXSAVE wrote.
fn sets(core: &CoreFile, layout: &Layout, thread: &Thread) -> Vec<Vec<u8>> {
    let bytes = |value: u64| if core.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let size = layout.sets.first().map_or(0, |set| set.size);
    let mut general = vec![0; size];
    for (slot, (_, value)) in general.chunks_exact_mut(8).zip(&thread.named) {
        slot.copy_from_slice(&bytes(*value));
    }
    let floats = thread.others.iter().find(|(kind, bytes)| *kind == FLOATS && bytes.len() >= FXSAVE);
    let mut sets = vec![general];
    if layout.sets.len() > 1 {
        sets.push(floats.map_or_else(Vec::new, |(_, bytes)| bytes[..FXSAVE].to_vec()));
    }
    sets
}

/// The order in which the registers of x86-64 are shown; others are shown as the kernel lays them out.
const WIDE: &[&str] = &[
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
    "rip", "eflags", "cs", "ss", "ds", "es", "fs", "gs", "orig_rax", "fs_base", "gs_base",
];

/// Single flags of x86, by their bits.
const FLAGS: &[(&str, u32)] =
    &[("cf", 0), ("pf", 2), ("af", 4), ("zf", 6), ("sf", 7), ("tf", 8), ("if", 9), ("df", 10), ("of", 11)];

/// The registers of a core file, from their names; `None`: it keeps none.
fn layout(core: &CoreFile, thread: &Thread) -> Option<Arc<Layout>> {
    if thread.named.is_empty() {
        return None;
    }
    let architecture = match (core.arch, core.bits) {
        ("x86", 64) => "i386:x86-64",
        ("x86", _) => "i386",
        ("arm", 64) => "aarch64",
        (other, _) => other,
    };
    let mut registers: Vec<Register> = Vec::new();
    for (at, (name, _)) in thread.named.iter().enumerate() {
        registers.push(whole(core, name, at));
    }
    if architecture == "i386:x86-64" {
        let place = |register: &Register| WIDE.iter().position(|name| *name == register.name).unwrap_or(WIDE.len());
        registers.sort_by_key(place);
    }
    for (at, register) in registers.iter_mut().enumerate() {
        register.number = u32::try_from(at).ok();
    }
    let mut sets = vec![Set { name: "general".into(), size: 8 * thread.named.len() }];
    if core.arch == "x86" {
        let parts: Vec<Register> = registers.iter().flat_map(parts).collect();
        registers.extend(parts);
        if core.bits == 64 {
            sets.push(Set { name: "vector".into(), size: FXSAVE });
            registers.extend(floats());
        }
    }
    Some(Arc::new(Layout::new(architecture, core.bits, core.big_endian, sets, registers)))
}

/// The register `name`, which is the word number `at`.
fn whole(core: &CoreFile, name: &str, at: usize) -> Register {
    // One name for the flags register, as living processes have it.
    let (name, bits) = match name {
        "rflags" | "eflags" => ("eflags", 32),
        name => (name, core.bits),
    };
    let narrow = if core.big_endian { 8 - (bits / 8) as usize } else { 0 };
    let group = match name {
        "cs" | "ss" | "ds" | "es" | "fs" | "gs" | "fs_base" | "gs_base" => Group::Segment,
        "orig_rax" | "orig_eax" | "orig_r0" => Group::System,
        _ => Group::General,
    };
    let role = role(core, name);
    let kind = match role {
        Some(Role::Pc) => Type::Code,
        Some(Role::Sp | Role::Fp) => Type::Data,
        Some(Role::Flags) => Type::Flags,
        _ => Type::Integer,
    };
    Register {
        name: name.to_string(),
        bits,
        set: 0,
        offset: 8 * at + narrow,
        bit: 0,
        group,
        kind,
        number: None,
        dwarf: dwarf(core, name),
        role,
        feature: String::new(),
    }
}

fn role(core: &CoreFile, name: &str) -> Option<Role> {
    Some(match (core.arch, name) {
        ("x86", "rip" | "eip") | (_, "pc") => Role::Pc,
        ("x86", "rsp" | "esp") | (_, "sp") => Role::Sp,
        ("x86", "rbp" | "ebp") | ("arm", "x29" | "fp") | ("riscv", "s0") => Role::Fp,
        ("arm", "x30" | "lr") | ("riscv", "ra") => Role::Ra,
        ("x86", "eflags") | ("arm", "pstate" | "cpsr") => Role::Flags,
        ("x86", "rax" | "eax") => Role::Result,
        ("x86", "orig_rax" | "orig_eax") => Role::CallNumber,
        _ => return None,
    })
}

/// The register's number in DWARF (the psABI of each architecture).
fn dwarf(core: &CoreFile, name: &str) -> Option<u16> {
    let at = |names: &[&str]| names.iter().position(|known| *known == name).and_then(|at| u16::try_from(at).ok());
    let counted = |prefix: &str, most: u16| {
        name.strip_prefix(prefix).and_then(|digits| digits.parse::<u16>().ok()).filter(|number| *number <= most)
    };
    match (core.arch, core.bits) {
        ("x86", 64) => at(&["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp"])
            .or_else(|| counted("r", 15).filter(|number| *number >= 8))
            .or_else(|| (name == "rip").then_some(16)),
        ("x86", _) => at(&["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip"]),
        ("arm", 64) => counted("x", 30).or_else(|| (name == "sp").then_some(31)),
        ("arm", _) => counted("r", 10).or_else(|| at(&["fp", "ip", "sp", "lr", "pc"]).map(|number| number + 11)),
        ("riscv", _) => at(&[
            "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5", "a6",
            "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
        ]),
        _ => None,
    }
}

/// The parts of a register of x86 that have names of their own.
fn parts(whole: &Register) -> Vec<Register> {
    let part = |name: String, byte: usize, bits: u32, bit: u32, group: Group| Register {
        name,
        bits,
        offset: whole.offset + byte,
        bit,
        group,
        kind: Type::Integer,
        number: None,
        dwarf: None,
        role: None,
        ..whole.clone()
    };
    let name = whole.name.as_str();
    if name == "eflags" {
        let flag = |(name, bit): &(&str, u32)| part((*name).to_string(), (*bit / 8) as usize, 1, *bit % 8, Group::Flag);
        return FLAGS.iter().map(flag).collect();
    }
    let general = |name: String, byte, bits| part(name, byte, bits, 0, Group::General);
    if let Some(number) = name.strip_prefix('r').filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit())) {
        return vec![
            general(format!("r{number}d"), 0, 32),
            general(format!("r{number}w"), 0, 16),
            general(format!("r{number}b"), 0, 8),
        ];
    }
    let (stem, wide) = match (name.strip_prefix('r'), name.strip_prefix('e')) {
        (Some(stem), _) => (stem, true),
        (_, Some(stem)) => (stem, false),
        _ => return Vec::new(),
    };
    let letter = &stem[..stem.len().min(1)];
    let mut found = Vec::new();
    if wide && matches!(stem, "ax" | "bx" | "cx" | "dx" | "si" | "di" | "bp" | "sp") {
        found.push(general(format!("e{stem}"), 0, 32));
    }
    match stem {
        "ax" | "bx" | "cx" | "dx" => {
            found.push(general(stem.to_string(), 0, 16));
            found.push(general(format!("{letter}l"), 0, 8));
            found.push(general(format!("{letter}h"), 1, 8));
        }
        "si" | "di" | "bp" | "sp" => found.push(general(stem.to_string(), 0, 16)),
        _ => {}
    }
    found
}

/// The registers in what FXSAVE writes (SDM, volume 1, table 10-2).
fn floats() -> Vec<Register> {
    let register = |name: String, offset, bits, group, kind| Register {
        name,
        bits,
        set: 1,
        offset,
        bit: 0,
        group,
        kind,
        number: None,
        dwarf: None,
        role: None,
        feature: String::new(),
    };
    let mut found: Vec<Register> = (0..8)
        .map(|at| register(format!("st{at}"), 32 + 16 * at, 80, Group::Float, Type::Float))
        .chain((0..16).map(|at| register(format!("xmm{at}"), 160 + 16 * at, 128, Group::Xmm, Type::Vector)))
        .chain((0..8).map(|at| register(format!("mm{at}"), 32 + 16 * at, 64, Group::Mmx, Type::Vector)))
        .collect();
    for (name, offset, bits) in [("fctrl", 0, 16), ("fstat", 2, 16), ("fop", 6, 16), ("mxcsr", 24, 32)] {
        found.push(register(name.to_string(), offset, bits, Group::Float, Type::Integer));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::plugin::malloc::Memory as Bytes;

    fn shared(bytes: &[u8]) -> Shared {
        Arc::new(Mutex::new(Box::new(Bytes::read_only(bytes.to_vec()))))
    }

    #[test]
    fn memory_is_put_together_of_pieces() {
        let (first, second) = (shared(b"abcdef"), shared(b"ghijkl"));
        let mut pieces = Pieces(vec![
            Piece { start: 0x1000, size: 4, file: first, offset: 1 },
            Piece { start: 0x1004, size: 3, file: Arc::clone(&second), offset: 0 },
            Piece { start: u64::MAX - 1, size: 2, file: second, offset: u64::MAX },
        ]);
        let mut buffer = [0; 10];
        assert_eq!(pieces.read(0x1002, &mut buffer).unwrap(), 5);
        assert_eq!(&buffer[..5], b"deghi");
        assert_eq!(pieces.read(0x2000, &mut buffer).unwrap(), 0);
        assert_eq!(pieces.read(u64::MAX, &mut buffer).unwrap(), 0);
        let file = MappedFile { start: 0xf00, end: 0x1100, offset: 0, path: String::new() };
        assert_eq!(missing(&file, &pieces.0), [(0xf00, 0x1000), (0x1007, 0x1100)]);
    }

    #[test]
    fn registers_have_their_parts_and_numbers() {
        let named = vec![("rsp", 0x10), ("rax", 0x1122_3344_5566_7788), ("rip", 3), ("rflags", 0x246)];
        let thread = Thread { named, ..Thread::default() };
        let core = CoreFile { arch: "x86", bits: 64, threads: vec![thread.clone()], ..CoreFile::default() };
        let layout = layout(&core, &thread).unwrap();
        let sets = sets(&core, &layout, &thread);
        let value = |name: &str| layout.find(name).unwrap().value(&sets[0], false).unwrap();
        assert_eq!(
            [value("rax"), value("eax"), value("ah"), value("zf"), value("pc"), value("sp")],
            [0x1122_3344_5566_7788, 0x5566_7788, 0x77, 1, 3, 0x10]
        );
        assert_eq!(layout.registers[0].name, "rax");
        assert_eq!(layout.find("rsp").unwrap().dwarf, Some(7));
        let big = CoreFile { arch: "ppc", bits: 32, big_endian: true, ..CoreFile::default() };
        let thread = Thread { named: vec![("r0", 0x1234_5678)], ..Thread::default() };
        let layout = super::layout(&big, &thread).unwrap();
        let set = super::sets(&big, &layout, &thread).remove(0);
        assert_eq!(layout.find("r0").unwrap().value(&set, true), Some(0x1234_5678));
    }
}
