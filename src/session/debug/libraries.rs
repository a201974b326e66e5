//! The files that a process is made of, its program and its libraries: which one lies where, opened when somebody
//! asks about an address in it or looks for a name, so that their symbols are names and their lines are known.
//!
//! A far process costs nothing for that until then. A file of this machine that has the same build id stands for a far
//! one; else the far one is read page by page, as every far file.

use std::sync::{Arc, Weak};

use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};

use super::Notes;
use super::names::is_called;
use crate::binary::demangle::demangle;
use crate::binary::{Placement, Symbol, SymbolKind};
use crate::debug::{FileReader, Handle, Module, ProcessId, Target};
use crate::error::{Error, Kind, Result};
use crate::io::plugin::malloc::Memory;
use crate::io::{Access, Device, Info, Latency, Open, plugin};
use crate::session::load::{fitting, flag_name};
use crate::session::{Core, View};
use crate::uri::Uri;

/// Most bytes of a file that can only be fetched as a whole.
const WHOLE: usize = 32 << 20;

/// A file of a process.
#[derive(Debug, Clone)]
pub struct Library {
    /// What the target says of it.
    pub module: Module,
    /// Its process.
    process: ProcessId,
    file: File,
    /// Its symbols are names.
    named: bool,
}

/// What became of a library's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum File {
    /// Nobody asked yet.
    Closed,
    /// Under this descriptor, with its serial number.
    Open(u32, u64),
    /// It cannot be read.
    Absent,
}

/// The last part of a path.
fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl Library {
    fn contains(&self, address: u64) -> bool {
        matches!((self.module.start, self.module.end), (Some(start), Some(end)) if (start..end).contains(&address))
    }

    /// Its file's name.
    pub fn name(&self) -> &str {
        name(&self.module.path)
    }

    /// What its symbols are called by: `libc` of `libc.so.6`.
    fn stem(&self) -> String {
        let name = self.name();
        fitting(name.split(".so").next().unwrap_or(name))
    }
}

impl Core {
    /// Remembers that a process is behind `fd`, whose program gets names when somebody looks for one. `twins`: files
    /// of this machine may stand for its own.
    pub(in crate::session) fn watch_process(&mut self, fd: u32, twins: bool) -> Result<()> {
        let Some(target) = self.io.descriptor_mut(fd)?.device().target() else { return Ok(()) };
        let whose: Weak<dyn Handle> = Arc::downgrade(&target.handle());
        self.debugger.notes.insert(fd, Notes { whose: Some(whose), twins, ..Notes::default() });
        self.binaries.unnamed.push(fd);
        Ok(())
    }

    /// Brings the list of the libraries of the process behind `fd` up to date.
    fn list_libraries(&mut self, fd: u32) -> Option<()> {
        let target = self.io.descriptor_mut(fd).ok()?.device().target()?;
        let notes = self.debugger.notes.get_mut(&fd)?;
        let generation = target.generation();
        if notes.listed == Some(generation) || target.is_running() {
            return Some(());
        }
        let process = target.current()?.process;
        let modules = target.modules(process).ok()?;
        notes.listed = Some(target.generation());
        let mut old = std::mem::take(&mut notes.libraries);
        notes.libraries = modules
            .into_iter()
            .map(|module| {
                let same = |known: &Library| {
                    // By its place: the loader may call it by another path than the kernel.
                    known.process == process
                        && known.module.bias == module.bias
                        && known.module.start == module.start
                        && known.name() == name(&module.path)
                };
                match old.iter().position(same) {
                    Some(at) => Library { module, ..old.swap_remove(at) },
                    None => Library { module, process, file: File::Closed, named: false },
                }
            })
            .collect();
        Some(())
    }

    /// The index of the library that `address` lies in.
    fn library_index(&mut self, fd: u32, address: u64) -> Option<usize> {
        let find = |core: &Core| core.debugger.notes.get(&fd)?.libraries.iter().position(|one| one.contains(address));
        find(self).or_else(|| {
            self.list_libraries(fd)?;
            find(self)
        })
    }

    /// The processes of this session.
    fn processes(&mut self) -> Vec<u32> {
        let known: Vec<u32> = self.debugger.notes.keys().copied().collect();
        let mut lives = |fd: &u32| {
            let target = self.io.descriptor_mut(*fd).ok().and_then(|descriptor| descriptor.device().target());
            target.is_some_and(|target| target.current().is_some())
        };
        known.into_iter().filter(|fd| lives(fd)).collect()
    }

    /// The process that an address of `view` is in.
    fn process_of(&mut self, view: &View) -> Option<u32> {
        if self.debugger.notes.is_empty() {
            return None;
        }
        super::descriptor(self, view)
    }

    /// Gives the file that `address` lies in its names, when it is one of a process.
    pub fn know_names(&mut self, view: &View, address: u64) {
        if let Some(fd) = self.process_of(view)
            && let Some(index) = self.library_index(fd, address)
        {
            self.name_library(fd, index);
        }
    }

    /// The descriptor of the file that `address` lies in, when it is one of a process.
    pub fn library_file(&mut self, view: &View, address: u64) -> Option<u32> {
        let fd = self.process_of(view)?;
        let index = self.library_index(fd, address)?;
        self.open_library(fd, index)
    }

    /// The file of a process that `address` lies in: its name, and how far behind its beginning.
    pub fn library_place(&mut self, view: &View, address: u64) -> Option<(String, u64)> {
        let fd = self.process_of(view)?;
        let index = self.library_index(fd, address)?;
        let library = self.debugger.notes.get(&fd)?.libraries.get(index)?;
        Some((library.name().to_string(), address - library.module.start?))
    }

    /// The descriptor of the file of a process that is called `name`: by its path, the last part of that, or the
    /// beginning of that before `.so`.
    pub fn library_named(&mut self, view: &View, called: &str) -> Option<u32> {
        let fd = self.process_of(view)?;
        self.list_libraries(fd)?;
        let libraries = &self.debugger.notes.get(&fd)?.libraries;
        let is = |one: &Library| one.module.path == called || one.name() == called || one.stem() == called;
        let index = libraries.iter().position(is)?;
        self.open_library(fd, index)
    }

    /// The library, not the program, that an address of the process behind `fd` lies in, and how far behind its
    /// beginning.
    pub fn outside_program(&mut self, fd: u32, address: u64) -> Option<(String, u64)> {
        let index = self.library_index(fd, address).filter(|index| *index > 0)?;
        let library = self.debugger.notes.get(&fd)?.libraries.get(index)?;
        Some((library.name().to_string(), address - library.module.start?))
    }

    /// Whether an address lies in a library, not in the program itself.
    pub fn is_in_library(&mut self, view: &View, address: u64) -> bool {
        self.process_of(view).is_some_and(|fd| self.outside_program(fd, address).is_some())
    }

    /// The address of a symbol of a process: in the program, then in its libraries in the order in which they were
    /// loaded. Neither prefixes nor the library's name have to be written.
    pub fn symbol_of_process(&mut self, name: &str) -> Option<u64> {
        let bare = name.strip_prefix("sym.").unwrap_or(name);
        for fd in self.processes() {
            self.list_libraries(fd);
            let count = self.debugger.notes.get(&fd).map_or(0, |notes| notes.libraries.len());
            for index in 0..count {
                self.name_library(fd, index);
                let stem = self.debugger.notes.get(&fd)?.libraries.get(index)?.stem();
                let names = match index {
                    0 => vec![name.to_string(), format!("sym.{bare}"), format!("obj.{bare}")],
                    _ => vec![
                        name.to_string(),
                        format!("sym.{bare}"),
                        format!("sym.{stem}.{bare}"),
                        format!("obj.{stem}.{bare}"),
                    ],
                };
                let imported = |space: Option<&str>| matches!(space, Some("imports" | "relocs"));
                let found = names.iter().filter_map(|name| self.flags.get(name));
                if let Some(flag) = { found }.find(|flag| !imported(flag.space.as_deref())) {
                    return Some(flag.address);
                }
                if name.contains("::")
                    && let Some(address) = self.written(fd, index, name)
                {
                    return Some(address);
                }
            }
        }
        None
    }

    /// The address of the symbol of a library that its programmer called `name`.
    fn written(&mut self, fd: u32, index: usize, name: &str) -> Option<u64> {
        let file = self.open_library(fd, index)?;
        let symbols = self.symbols(file).ok()?;
        let is =
            |symbol: &&Symbol| symbol.vaddr != 0 && demangle(&symbol.name).is_some_and(|full| is_called(&full, name));
        symbols.iter().find(is).map(|symbol| symbol.vaddr)
    }

    /// Names the program of the process behind `fd`.
    pub(in crate::session) fn name_program(&mut self, fd: u32) {
        if self.list_libraries(fd).is_some() {
            self.name_library(fd, 0);
        }
    }

    fn name_library(&mut self, fd: u32, index: usize) {
        let library = self.debugger.notes.get_mut(&fd).and_then(|notes| notes.libraries.get_mut(index));
        let Some(library) = library.filter(|library| !library.named) else { return };
        library.named = true;
        let stem = library.stem();
        let Some(file) = self.open_library(fd, index) else { return };
        let Some(object) = self.object(file) else { return };
        if index == 0 {
            self.name_parts(&object);
            self.name_contents(file, &object);
            return;
        }
        let Ok(symbols) = self.symbols(file) else { return };
        let named =
            |symbol: &&Symbol| !symbol.imported && symbol.vaddr != 0 && !symbol.name.is_empty() && worth(symbol.kind);
        for symbol in symbols.iter().filter(named) {
            let real = flag_name(symbol);
            let (kind, name) = real.split_once('.').unwrap_or(("sym", &real));
            self.name("symbols", &format!("{kind}.{stem}.{name}"), symbol.vaddr, symbol.size.max(1));
        }
    }

    fn open_library(&mut self, fd: u32, index: usize) -> Option<u32> {
        let notes = self.debugger.notes.get(&fd)?;
        let library = notes.libraries.get(index)?.clone();
        match library.file {
            File::Open(file, serial) => {
                return self.io.descriptor(file).ok().filter(|now| now.serial() == serial).map(|_| file);
            }
            File::Absent => return None,
            File::Closed => {}
        }
        let twins = notes.twins;
        let target = self.io.descriptor_mut(fd).ok()?.device().target()?;
        let opened = device(target, &library, index == 0, twins);
        let file = opened.and_then(|device| self.adopt_library(fd, &library.module, device));
        let state = match &file {
            Ok((file, serial)) => File::Open(*file, *serial),
            Err(_) => File::Absent,
        };
        if let Some(library) = self.debugger.notes.get_mut(&fd).and_then(|notes| notes.libraries.get_mut(index)) {
            library.file = state;
        }
        file.ok().map(|(file, _)| file)
    }

    fn adopt_library(&mut self, fd: u32, module: &Module, device: Box<dyn Device>) -> Result<(u32, u64)> {
        let owner = self.io.descriptor(fd)?.serial();
        let current = self.io.current();
        let file = self.io.adopt(&module.path, Access::R, device);
        let serial = self.io.descriptor(file)?.serial();
        self.binaries.companions.entry(owner).or_default().push(serial);
        if let Some(current) = current {
            self.io.select(current)?;
        }
        // A program at fixed addresses lies where its file says.
        self.place_object(file, Placement { base: Some(module.bias).filter(|bias| *bias != 0), bits: None });
        Ok((file, serial))
    }
}

/// Whether a symbol of this kind is worth a name.
pub fn worth(kind: SymbolKind) -> bool {
    !matches!(kind, SymbolKind::Section | SymbolKind::File | SymbolKind::Tls)
}

/// The file of a library.
fn device(target: &mut dyn Target, library: &Library, program: bool, twins: bool) -> Result<Box<dyn Device>> {
    let (process, path) = (library.process, library.module.path.as_str());
    let reading = Open { access: Access::R, ..Open::default() };
    if target.kind() == "ptrace" {
        // The file itself, also when another one has the program's name by now.
        let seen = if program { format!("/proc/{process}/exe") } else { format!("/proc/{process}/root{path}") };
        regular(&seen)?;
        return plugin::open(&Uri::parse(&seen), &reading);
    }
    if !path.starts_with('/') {
        return Err(Error::new(Kind::NotFound, "it is no file"));
    }
    if twins && let Some(twin) = twin(target, library, &reading) {
        return Ok(twin);
    }
    if let Some(reader) = target.open_file(process, path) {
        return Ok(Box::new(Far(reader)));
    }
    let mut bytes = Vec::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let count = target.read_file(process, path, bytes.len() as u64, &mut piece)?;
        bytes.extend_from_slice(&piece[..count]);
        if count < piece.len() {
            return Ok(Box::new(Memory::read_only(bytes)));
        }
        if bytes.len() > WHOLE {
            return Err(Error::new(Kind::Limit, format!("{path} is too large to be fetched for its names")));
        }
    }
}

/// Refuses what is no file: opening a pipe would wait.
fn regular(path: &str) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(facts) if facts.is_file() => Ok(()),
        Ok(_) => Err(Error::new(Kind::NotFound, "it is no file")),
        Err(error) => Err(Error::system(format_args!("cannot read '{path}'"), &error)),
    }
}

/// The file of this machine that has the same path and the same build id.
fn twin(target: &mut dyn Target, library: &Library, reading: &Open) -> Option<Box<dyn Device>> {
    const HEADERS: usize = 4096;
    let path = library.module.path.as_str();
    regular(path).ok()?;
    let mut device = plugin::open(&Uri::parse(path), reading).ok()?;
    let mut own = vec![0; HEADERS];
    let count = device.read_at(0, &mut own).ok()?;
    let mut far = vec![0; HEADERS];
    let there = target.read_memory(library.process, library.module.start?, &mut far).ok()?;
    let (own, far) = (build_id(own.get(..count)?)?, build_id(far.get(..there)?)?);
    (own == far).then_some(device)
}

/// The build id in the first bytes of an ELF file, which are also those of its memory.
pub fn build_id(bytes: &[u8]) -> Option<Vec<u8>> {
    fn note<E: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Option<Vec<u8>> {
        let header = E::parse(bytes).ok()?;
        let endian = header.endian().ok()?;
        for program in header.program_headers(endian, bytes).ok()? {
            let Ok(Some(mut notes)) = program.notes(endian, bytes) else { continue };
            while let Ok(Some(note)) = notes.next() {
                if note.name() == b"GNU" && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
                    return Some(note.desc().to_vec()).filter(|id| !id.is_empty());
                }
            }
        }
        None
    }
    match bytes.get(..5)? {
        [0x7f, b'E', b'L', b'F', 1] => note::<elf::FileHeader32<Endianness>>(bytes),
        [0x7f, b'E', b'L', b'F', 2] => note::<elf::FileHeader64<Endianness>>(bytes),
        _ => None,
    }
}

/// A file over there, as a device.
struct Far(Box<dyn FileReader>);

impl Device for Far {
    fn info(&self) -> Info {
        Info { size: None, access: Access::R, latency: Latency::Remote }
    }

    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        self.0.read(address, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_called_by_the_beginning_of_their_names() {
        let library = |path: &str| Library {
            module: Module {
                path: path.into(),
                bias: 0x1000,
                start: Some(0x1000),
                end: Some(0x3000),
                link_map: 0,
                dynamic: 0,
            },
            process: 1,
            file: File::Closed,
            named: false,
        };
        assert_eq!(library("/usr/lib/libc.so.6").stem(), "libc");
        assert_eq!(library("/lib/ld-linux-x86-64.so.2").stem(), "ld_linux_x86_64");
        assert_eq!(library("linux-vdso").stem(), "linux_vdso");
        assert!(library("x").contains(0x2fff) && !library("x").contains(0x3000));
    }

    #[test]
    fn only_whole_build_ids_count() {
        assert_eq!(build_id(b"\x7fELF\x02"), None);
        assert_eq!(build_id(&[0; 100]), None);
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let head = build_id(&own[..own.len().min(4096)]);
        assert!(head.is_none_or(|id| id.len() >= 8));
    }
}
