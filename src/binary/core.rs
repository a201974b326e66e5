//! Core files: what was left of a process that died. ELF cores (core(5)) and minidumps.
//!
//! The notes of an ELF core follow the kernel's `struct elf_prstatus`, `elf_prpsinfo`, NT_FILE, `siginfo_t` and the
//! auxiliary vector; what is damaged is left out and named in a warning.

use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind};

use super::Reader;
use super::registers;
use crate::error::{Error, Kind, Result};
use crate::io::{Access, Device};

/// Most bytes of notes: those of thousands of threads.
const NOTES: u64 = 64 << 20;

/// Most threads, files and entries of any list.
const MOST: usize = 1 << 16;

/// Largest minidump that is read: its parser wants all of it.
const LARGEST: u64 = 1 << 30;

/// The process as it was.
#[derive(Debug, Clone, Default)]
pub struct CoreFile {
    /// `elf` or `minidump`.
    pub format: &'static str,
    /// The architecture as `asm.arch` takes it.
    pub arch: &'static str,
    /// Word size in bits.
    pub bits: u32,
    /// Whether numbers lie with the highest byte first.
    pub big_endian: bool,
    /// The process.
    pub pid: u32,
    /// The name of the program.
    pub program: String,
    /// Its arguments, as far as they were kept.
    pub arguments: String,
    /// Why it died.
    pub signal: Option<Signal>,
    /// Its threads; that which died comes first.
    pub threads: Vec<Thread>,
    /// Which files were mapped where.
    pub files: Vec<MappedFile>,
    /// What the kernel told the program at its start: types and values (getauxval(3)).
    pub auxv: Vec<(u64, u64)>,
    /// Memory that is kept in the file, when its headers do not describe it as segments.
    pub memory: Vec<Memory>,
    /// What could not be read.
    pub warnings: Vec<String>,
}

/// A thread as it was.
#[derive(Debug, Clone, Default)]
pub struct Thread {
    /// Its number.
    pub tid: u32,
    /// The signal it got; 0: none.
    pub signal: u32,
    /// The general registers as the kernel lays them out (`user_regs_struct`); of a minidump, its context.
    pub registers: Vec<u8>,
    /// Names and values of the registers.
    pub named: Vec<(&'static str, u64)>,
    /// Further register sets: type of the note and bytes.
    pub others: Vec<(u32, Vec<u8>)>,
}

/// Why a process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// The signal (signal(7)), or the exception of a minidump.
    pub number: u32,
    /// `si_code`.
    pub code: i32,
    /// The address that it is about.
    pub address: u64,
}

/// A piece of a file in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedFile {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Its path.
    pub path: String,
}

/// Memory of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// First address.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// Offset in the core file.
    pub offset: u64,
    /// What it could be used for.
    pub access: Access,
}

impl CoreFile {
    /// The core file in `device`; `None`: it is none.
    ///
    /// # Errors
    /// When the device fails, or the headers are too damaged to say anything.
    pub fn read(device: &mut dyn Device) -> Result<Option<CoreFile>> {
        let mut magic = [0; 4];
        let there = device.read_at(0, &mut magic)?;
        if there == magic.len() && (magic == *b"MDMP" || magic == *b"PMDM") {
            return minidump(device).map(Some);
        }
        if magic != *b"\x7fELF" {
            return Ok(None);
        }
        let reader = Reader::new(device);
        let read = match FileKind::parse(&reader) {
            Ok(FileKind::Elf32) => elf_core::<elf::FileHeader32<Endianness>>(&reader),
            Ok(FileKind::Elf64) => elf_core::<elf::FileHeader64<Endianness>>(&reader),
            _ => return Ok(None),
        };
        match reader.failure() {
            Some(failure) => Err(failure),
            None => read,
        }
    }
}

fn damaged(what: &str, error: impl std::fmt::Display) -> Error {
    Error::new(Kind::Format, format!("{what}: {error}"))
}

fn elf_core<E: FileHeader<Endian = Endianness>>(reader: &Reader<'_>) -> Result<Option<CoreFile>> {
    let header = E::parse(reader).map_err(|error| damaged("ELF header", error))?;
    let endian = header.endian().map_err(|error| damaged("ELF header", error))?;
    if header.e_type(endian) != elf::ET_CORE {
        return Ok(None);
    }
    let (arch, bits) = registers::machine(header.e_machine(endian).0, header.is_class_64());
    let mut core = CoreFile { format: "elf", arch, bits, big_endian: header.is_big_endian(), ..CoreFile::default() };
    let programs = header.program_headers(endian, reader).map_err(|error| damaged("program headers", error))?;
    for program in programs.iter().filter(|program| program.p_type(endian) == elf::PT_NOTE) {
        if program.p_filesz(endian).into() > NOTES {
            core.warnings.push(format!("PT_NOTE: p_filesz of {} bytes is too much", program.p_filesz(endian).into()));
            continue;
        }
        let mut notes = match program.notes(endian, reader) {
            Ok(Some(notes)) => notes,
            Ok(None) => continue,
            Err(error) => {
                core.warnings.push(format!("PT_NOTE: {error}"));
                continue;
            }
        };
        loop {
            match notes.next() {
                Ok(Some(note)) => core.note(note.name(), note.n_type(endian).0, note.desc()),
                Ok(None) => break,
                Err(error) => {
                    core.warnings.push(format!("PT_NOTE: {error}"));
                    break;
                }
            }
        }
    }
    Ok(Some(core))
}

/// Numbers in a note.
#[derive(Clone, Copy)]
struct Fields<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    wide: bool,
}

impl Fields<'_> {
    fn number(&self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(size)?)?;
        let fold = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
        Some(if self.big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) })
    }
    fn half(&self, at: usize) -> Option<u64> {
        self.number(at, 2)
    }
    fn word(&self, at: usize) -> Option<u32> {
        self.number(at, 4).map(|value| value as u32)
    }
    /// An `unsigned long`.
    fn long(&self, at: usize) -> Option<u64> {
        self.number(at, self.size())
    }
    fn size(&self) -> usize {
        if self.wide { 8 } else { 4 }
    }
    /// Text up to the first zero, in at most `size` bytes.
    fn text(&self, at: usize, size: usize) -> Option<String> {
        let bytes = self.bytes.get(at..at.checked_add(size)?)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(size);
        Some(String::from_utf8_lossy(&bytes[..end]).trim_end().to_string())
    }
}

impl CoreFile {
    /// Takes what a note says. The owner is `CORE`, or `LINUX` for what only Linux has.
    fn note(&mut self, owner: &[u8], kind: u32, bytes: &[u8]) {
        if !matches!(owner, b"CORE" | b"LINUX") {
            return;
        }
        let fields = Fields { bytes, big_endian: self.big_endian, wide: self.bits == 64 };
        let (name, taken) = match elf::NoteType(kind) {
            elf::NT_PRSTATUS => ("NT_PRSTATUS", self.status(fields)),
            elf::NT_PRPSINFO => ("NT_PRPSINFO", self.process(fields)),
            elf::NT_AUXV => ("NT_AUXV", self.auxiliary(fields)),
            elf::NT_FILE => ("NT_FILE", self.mapped(fields)),
            elf::NT_SIGINFO => ("NT_SIGINFO", self.signalled(fields)),
            _ => ("", self.other(kind, bytes)),
        };
        if taken.is_none() && self.warnings.len() < 16 {
            self.warnings.push(format!("{name}: {} bytes are too few, or say too much", bytes.len()));
        }
    }

    /// `struct elf_prstatus`: the general registers and the signal of a thread. Each starts a new one.
    fn status(&mut self, fields: Fields<'_>) -> Option<()> {
        let (tid, registers) = if fields.wide { (32, 112) } else { (24, 72) };
        // Behind the registers: whether there are others, with what fills the structure up.
        let end = fields.bytes.len().checked_sub(fields.size())?;
        let bytes = fields.bytes.get(registers..end)?.to_vec();
        let named = registers::named(self.arch, self.bits, self.big_endian, &bytes);
        let tid = fields.word(tid)?;
        let signal = fields.half(12)? as u32;
        if self.threads.len() >= MOST {
            return None;
        }
        self.threads.push(Thread { tid, signal, registers: bytes, named, others: Vec::new() });
        Some(())
    }

    /// `struct elf_prpsinfo`. 32-bit systems have user numbers of 16 bits there.
    fn process(&mut self, fields: Fields<'_>) -> Option<()> {
        let (pid, name) = if fields.wide { (24, 40) } else { (12, 28) };
        self.pid = fields.word(pid)?;
        self.program = fields.text(name, 16)?;
        self.arguments = fields.text(name + 16, 80)?;
        Some(())
    }

    fn auxiliary(&mut self, fields: Fields<'_>) -> Option<()> {
        let size = fields.size();
        for at in (0..fields.bytes.len()).step_by(2 * size).take(MOST) {
            let (kind, value) = (fields.long(at)?, fields.long(at + size)?);
            if kind == 0 {
                break;
            }
            self.auxv.push((kind, value));
        }
        Some(())
    }

    /// NT_FILE: how many, the size of a page, first and last address and page for each, then the names.
    fn mapped(&mut self, fields: Fields<'_>) -> Option<()> {
        let size = fields.size();
        let (count, page) = (usize::try_from(fields.long(0)?).ok()?, fields.long(size)?);
        if count > MOST {
            return None;
        }
        let mut name = count.checked_mul(3 * size)?.checked_add(2 * size)?;
        for index in 0..count {
            let at = 2 * size + index * 3 * size;
            let rest = fields.bytes.get(name..)?;
            let length = memchr::memchr(0, rest)?;
            self.files.push(MappedFile {
                start: fields.long(at)?,
                end: fields.long(at + size)?,
                offset: fields.long(at + 2 * size)?.wrapping_mul(page),
                path: String::from_utf8_lossy(&rest[..length]).into_owned(),
            });
            name += length + 1;
        }
        Some(())
    }

    fn signalled(&mut self, fields: Fields<'_>) -> Option<()> {
        let address = fields.long(if fields.wide { 16 } else { 12 })?;
        self.signal = Some(Signal { number: fields.word(0)?, code: fields.word(8)? as i32, address });
        Some(())
    }

    /// Further registers of the thread whose status came before.
    fn other(&mut self, kind: u32, bytes: &[u8]) -> Option<()> {
        if let Some(thread) = self.threads.last_mut()
            && thread.others.len() < 64
        {
            thread.others.push((kind, bytes.to_vec()));
        }
        Some(())
    }
}

/// Reads a minidump, through the parser that Mozilla keeps for them.
fn minidump(device: &mut dyn Device) -> Result<CoreFile> {
    use minidump::{Minidump, MinidumpException, MinidumpModuleList, MinidumpThreadList, Module};
    use minidump::{MinidumpMiscInfo, MinidumpSystemInfo, system_info::Cpu};
    let size = device.info().size.filter(|size| *size <= LARGEST).ok_or_else(|| {
        Error::new(Kind::Limit, "the minidump is too large").hint(format!("at most {} MiB", LARGEST >> 20))
    })?;
    let mut bytes = vec![0; usize::try_from(size).map_err(|error| damaged("minidump", error))?];
    let mut done = 0;
    while done < bytes.len() {
        match device.read_at(done as u64, &mut bytes[done..])? {
            0 => break,
            count => done += count,
        }
    }
    bytes.truncate(done);
    let dump = Minidump::read(&bytes[..]).map_err(|error| damaged("minidump", error))?;
    let mut core = CoreFile { format: "minidump", arch: "x86", bits: 64, ..CoreFile::default() };
    let mut warn = |what: &str, error: minidump::Error| {
        if error != minidump::Error::StreamNotFound {
            core.warnings.push(format!("{what}: {error}"));
        }
    };
    let system = dump.get_stream::<MinidumpSystemInfo>().map_err(|error| warn("SystemInfo", error)).ok();
    let threads = dump.get_stream::<MinidumpThreadList<'_>>().map_err(|error| warn("ThreadList", error)).ok();
    let modules = dump.get_stream::<MinidumpModuleList>().map_err(|error| warn("ModuleList", error)).ok();
    let exception = dump.get_stream::<MinidumpException<'_>>().map_err(|error| warn("Exception", error)).ok();
    let misc = dump.get_stream::<MinidumpMiscInfo>().ok();
    if let Some(system) = &system {
        (core.arch, core.bits) = match system.cpu {
            Cpu::X86 => ("x86", 32),
            Cpu::X86_64 => ("x86", 64),
            Cpu::Arm => ("arm", 32),
            Cpu::Arm64 => ("arm", 64),
            Cpu::Ppc => ("ppc", 32),
            Cpu::Ppc64 => ("ppc", 64),
            Cpu::Mips => ("mips", 32),
            Cpu::Mips64 => ("mips", 64),
            Cpu::Sparc => ("sparc", 64),
            _ => ("x86", 64),
        };
    }
    core.pid = misc.as_ref().and_then(|misc| misc.raw.process_id().copied()).unwrap_or(0);
    let crashed = exception.as_ref().map(|exception| exception.thread_id);
    for thread in threads.iter().flat_map(|list| &list.threads).take(MOST) {
        // The context of the exception is that of the code that failed, not of what handled it.
        let own = system.as_ref().and_then(|system| thread.context(system, misc.as_ref()));
        let failed = exception.as_ref().filter(|exception| exception.thread_id == thread.raw.thread_id);
        let failed = failed.and_then(|e| system.as_ref().and_then(|system| e.context(system, misc.as_ref())));
        let context = failed.or(own);
        let named = context.map(|context| context.registers().collect()).unwrap_or_default();
        let location = thread.raw.thread_context;
        let end = (location.rva as usize).saturating_add(location.data_size as usize);
        let registers = bytes.get(location.rva as usize..end).unwrap_or_default();
        let signal = if crashed == Some(thread.raw.thread_id) {
            exception.as_ref().map_or(0, |exception| exception.raw.exception_record.exception_code)
        } else {
            0
        };
        let tid = thread.raw.thread_id;
        core.threads.push(Thread { tid, signal, registers: registers.to_vec(), named, others: Vec::new() });
    }
    core.threads.sort_by_key(|thread| Some(thread.tid) != crashed);
    if let Some(exception) = &exception {
        let record = &exception.raw.exception_record;
        core.signal = Some(Signal {
            number: record.exception_code,
            code: record.exception_flags as i32,
            address: record.exception_address,
        });
    }
    for module in modules.iter().flat_map(MinidumpModuleList::iter).take(MOST) {
        let start = module.base_address();
        let path = module.code_file().into_owned();
        core.files.push(MappedFile { start, end: start.saturating_add(module.size()), offset: 0, path });
    }
    core.program =
        modules.as_ref().and_then(|list| list.main_module()).map(|m| m.code_file().into_owned()).unwrap_or_default();
    let info = dump.get_stream::<minidump::MinidumpMemoryInfoList<'_>>().ok();
    for memory in dump.get_memory().iter().flat_map(|list| list.iter()).take(MOST) {
        // The parser hands out slices of what it was given; where they lie in it is where they lie in the file.
        let offset = (memory.bytes().as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
        let access = info.as_ref().and_then(|info| info.memory_info_at_address(memory.base_address()));
        let access = access.map_or(Access::RWX, |info| Access {
            read: true,
            write: info.is_writable(),
            execute: info.is_executable(),
        });
        let size = memory.bytes().len() as u64;
        core.memory.push(Memory { start: memory.base_address(), size, offset: offset as u64, access });
    }
    Ok(core)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn core(wide: bool) -> CoreFile {
        CoreFile { arch: "x86", bits: if wide { 64 } else { 32 }, ..CoreFile::default() }
    }

    #[test]
    fn notes_of_a_64_bit_process_are_read() {
        let mut status = vec![0; 336];
        status[12] = 11;
        status[32..36].copy_from_slice(&77u32.to_le_bytes());
        status[112 + 16 * 8..112 + 17 * 8].copy_from_slice(&0x401136u64.to_le_bytes());
        let mut core = core(true);
        core.note(b"CORE", 1, &status);
        let thread = &core.threads[0];
        assert_eq!((thread.tid, thread.signal, thread.registers.len()), (77, 11, 216));
        assert!(thread.named.contains(&("rip", 0x401136)));
        let mut file = Vec::new();
        for number in [1u64, 4096, 0x400000, 0x401000, 2] {
            file.extend(number.to_le_bytes());
        }
        file.extend(b"/bin/fx\0");
        core.note(b"CORE", 0x4649_4c45, &file);
        let path = "/bin/fx".to_string();
        assert_eq!(core.files, [MappedFile { start: 0x400000, end: 0x401000, offset: 8192, path }]);
        core.note(b"CORE", 6, &[9, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(core.auxv, [(9, 5)]);
        assert_eq!(core.warnings, Vec::<String>::new());
        // Counts that the note has no room for.
        core.note(b"CORE", 0x4649_4c45, &[0xff; 64]);
        core.note(b"CORE", 1, &[0; 20]);
        assert_eq!(core.warnings.len(), 2);
    }

    proptest! {
        #[test]
        fn any_note_can_be_read(kind in prop_oneof![Just(1u32), Just(3), Just(6), Just(0x4649_4c45), Just(0x5349_4749), any::<u32>()],
            bytes in proptest::collection::vec(any::<u8>(), 0..500), wide in any::<bool>(), big_endian in any::<bool>()) {
            let mut core = CoreFile { big_endian, ..core(wide) };
            core.note(b"CORE", kind, &bytes);
            prop_assert!(core.files.len() <= bytes.len() && core.auxv.len() <= bytes.len());
        }
    }
}
