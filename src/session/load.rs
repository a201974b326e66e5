//! What opening an object file does: its segments are mapped where the loader would put them, the options follow
//! its machine, and its parts get names.
//!
//! Opening takes the same time for every size: names that grow with the file (symbols, relocations) are made when a
//! name is looked for that is not there, or when flags are listed.

use super::{Core, Value, flags, options};
use crate::binary::{Entry, Kind, Object, Placement, Segment, Symbol, SymbolKind};
use crate::debug::{Layout, Target};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::io::plugin::malloc::Memory;
use crate::io::{Access, Device, Open, plugin};
use crate::uri::Uri;

/// The flagspaces that a loaded file has names in.
const SPACES: [&str; 6] = ["classes", "imports", "relocs", "sections", "segments", "symbols"];

/// How a file that was just opened is to be shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    /// Where: the base of an object file, or the address that the whole of another file is mapped at.
    pub address: Option<u64>,
    /// As plain bytes, whatever its format (`-n`).
    pub raw: bool,
    /// Whether the `i` commands know the format all the same (`-nn`); what is not raw is always known.
    pub known: bool,
}

/// Most bytes of a program that is fetched from where its process is.
const PROGRAM: usize = 32 << 20;

/// The program of the current process: its path, its file, and how far it was moved in memory.
fn program(target: &mut dyn Target) -> Result<(String, Box<dyn Device>, u64)> {
    let thread = target.current().ok_or_else(|| Error::new(ErrorKind::NotFound, "no process is left"))?;
    let path = target.program(thread.process)?;
    let bias = target.program_bias(thread.process)?;
    if target.kind() == "ptrace" {
        // The file itself, also when another one has its name by now.
        let uri = Uri::parse(&format!("/proc/{}/exe", thread.process));
        return Ok((path, plugin::open(&uri, &Open { access: Access::R, ..Open::default() })?, bias));
    }
    let mut bytes = Vec::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let count = target.read_file(thread.process, &path, bytes.len() as u64, &mut piece)?;
        bytes.extend_from_slice(&piece[..count]);
        if count < piece.len() {
            return Ok((path, Box::new(Memory::read_only(bytes)), bias));
        }
        if bytes.len() > PROGRAM {
            return Err(Error::new(ErrorKind::Limit, format!("{path} is too large to be fetched for its names")));
        }
    }
}

impl Core {
    /// Maps the file behind `fd`: an object file by its segments, others as a whole. Returns where an object file
    /// starts running.
    ///
    /// # Errors
    /// When the device fails.
    pub fn load(&mut self, fd: u32, load: Load) -> Result<Option<u64>> {
        if self.io.descriptor_mut(fd)?.device().target().is_some() {
            // Memory of a process, not a file; what lies at its address 0 is no header.
            self.io.map_whole(fd, load.address.unwrap_or(0))?;
            // Without the names of its program a process can be debugged all the same.
            let _ = self.name_program(fd);
            return Ok(None);
        }
        let wanted = load.address.or_else(|| match self.config.get("bin.baddr") {
            Some(Value::Address(base)) if *base != u64::MAX => Some(*base),
            _ => None,
        });
        self.place_object(fd, Placement { base: wanted, bits: None });
        if load.raw && !load.known {
            self.ignore_object(fd);
        }
        let object = if load.raw { None } else { self.object(fd) };
        let Some(object) = object.filter(|object| object.kind != Kind::Archive) else {
            if !load.raw
                && let Ok(Some(start)) = self.map_dump(fd)
            {
                return Ok(Some(start));
            }
            self.io.map_whole(fd, load.address.unwrap_or(0))?;
            return Ok(None);
        };
        self.map_object(fd, &object)?;
        self.follow(&object);
        self.name_parts(&object);
        self.binaries.unnamed.push(fd);
        Ok(object.entries.first().map(|entry: &Entry| entry.vaddr))
    }

    /// Names the parts of the program that the process behind `fd` runs, if one is behind it, where they lie in memory.
    fn name_program(&mut self, fd: u32) -> Result<()> {
        let Some(target) = self.io.descriptor_mut(fd)?.device().target() else { return Ok(()) };
        let machine = target.current().and_then(|thread| target.layout(thread.process).ok());
        let found = program(target);
        if let Some(layout) = machine {
            self.follow_machine(&layout);
        }
        let (path, device, bias) = found?;
        let owner = self.io.descriptor(fd)?.serial();
        let file = self.io.adopt(&path, Access::R, device);
        let serial = self.io.descriptor(file)?.serial();
        self.binaries.companions.entry(owner).or_default().push(serial);
        self.io.select(fd)?;
        // A program at fixed addresses lies where its file says.
        self.place_object(file, Placement { base: Some(bias).filter(|bias| *bias != 0), bits: None });
        let Some(object) = self.object(file) else { return Ok(()) };
        self.follow(&object);
        self.name_parts(&object);
        self.binaries.unnamed.push(file);
        Ok(())
    }

    /// Closes `fd` and what was opened along with it.
    ///
    /// # Errors
    /// When there is no such descriptor.
    pub fn close(&mut self, fd: u32) -> Result<()> {
        let serial = self.io.descriptor(fd)?.serial();
        self.io.close(fd)?;
        for companion in self.binaries.companions.remove(&serial).unwrap_or_default() {
            let descriptor = self.io.descriptors().find(|descriptor| descriptor.serial() == companion);
            if let Some(fd) = descriptor.map(|descriptor| descriptor.fd) {
                self.io.close(fd)?;
            }
        }
        Ok(())
    }

    fn map_object(&mut self, fd: u32, object: &Object) -> Result<()> {
        let writable = self.io.descriptor(fd)?.access.write;
        // What is read of a file is not limited by what the loader lets the program do.
        let access = |part: &Segment| Access { read: true, write: part.access.write || writable, ..part.access };
        let loads: Vec<&Segment> = object.segments.iter().filter(|segment| segment.loaded).collect();
        if loads.is_empty() {
            let size = self.io.descriptor(fd)?.size().unwrap_or(u64::MAX).saturating_sub(object.offset);
            let name = Some(format!("fmap.{}", object.format));
            let access = Access { write: writable, ..Access::RX };
            self.io.space.add(fd, object.base, size, object.offset, access, name);
            return Ok(());
        }
        // The first one is mapped last, and so lies over the others.
        for segment in loads.into_iter().rev() {
            let rest = segment.vsize.saturating_sub(segment.size);
            // What a core file does not keep is unknown, not zero.
            if rest > 0 && object.kind != Kind::Core {
                let zeros = self.zeros(fd, rest)?;
                let from = segment.vaddr.wrapping_add(segment.size);
                let name = Some(format!("mmap.{}", segment.name));
                self.io.space.add(zeros, from, rest, 0, Access { write: true, ..access(segment) }, name);
            }
            let size = segment.size.min(segment.vsize);
            if size > 0 {
                let name = Some(format!("fmap.{}", segment.name));
                self.io.space.add(fd, segment.vaddr, size, segment.paddr, access(segment), name);
            }
        }
        Ok(())
    }

    /// A descriptor of `size` zeros that is closed along with `fd`.
    fn zeros(&mut self, fd: u32, size: u64) -> Result<u32> {
        let uri = Uri::parse(&format!("null://{size}"));
        let open = Open { access: Access::RWX, ..Open::default() };
        let device = plugin::open(&uri, &open)?;
        let owner = self.io.descriptor(fd)?.serial();
        let zeros = self.io.admit(&uri, &open, device);
        let serial = self.io.descriptor(zeros)?.serial();
        self.binaries.companions.entry(owner).or_default().push(serial);
        self.io.select(fd)?;
        Ok(zeros)
    }

    /// The options that say how code is read follow the file.
    fn follow(&mut self, object: &Object) {
        let settings = [
            ("asm.arch", Value::Text(object.arch.to_string())),
            ("asm.cpu", Value::Text(object.cpu.to_string())),
            ("asm.bits", Value::Number(object.bits.into())),
            ("asm.os", Value::Text(object.os.to_string())),
            ("cfg.bigendian", Value::Bool(object.big_endian)),
        ];
        // A machine that cannot be disassembled leaves the options as they are.
        if object.arch != "null" {
            self.follow_with(settings);
        }
    }

    /// The same for a process whose program nobody has: as its registers say.
    fn follow_machine(&mut self, layout: &Layout) {
        let arch = match layout.architecture.as_str() {
            name if name.starts_with("i386") => "x86",
            name if name.starts_with("aarch64") || name.starts_with("arm") => "arm",
            name if name.starts_with("mips") => "mips",
            name if name.starts_with("riscv") => "riscv",
            name if name.starts_with("powerpc") => "ppc",
            _ => return,
        };
        let settings = [
            ("asm.arch", Value::Text(arch.to_string())),
            ("asm.bits", Value::Number(layout.bits.into())),
            ("cfg.bigendian", Value::Bool(layout.big_endian)),
        ];
        self.follow_with(settings);
    }

    fn follow_with<const COUNT: usize>(&mut self, settings: [(&str, Value); COUNT]) {
        for (name, value) in settings {
            let known = |option: &&options::OptionSpec| {
                option.choices.is_empty() || option.choices.contains(&value.to_string().as_str())
            };
            if let Some(option) = options::find(name).filter(known) {
                self.config.put(option, value);
            }
        }
    }

    /// Names for what the headers describe.
    fn name_parts(&mut self, object: &Object) {
        for space in SPACES {
            self.flags.declare(space);
        }
        for section in object.sections.iter().filter(|section| section.loaded && section.vsize > 0) {
            self.name("sections", &format!("section.{}", section.name), section.vaddr, section.vsize);
        }
        for segment in object.segments.iter().filter(|segment| segment.vsize > 0) {
            self.name("segments", &format!("segment.{}", segment.name), segment.vaddr, segment.vsize);
        }
        for (index, entry) in object.entries.iter().filter(|entry| entry.kind == "program").enumerate() {
            self.name("symbols", &format!("entry{index}"), entry.vaddr, 1);
        }
    }

    /// Names the symbols and relocations of what was loaded, as far as that was not done yet. What cannot be read
    /// stays without.
    pub fn complete_flags(&mut self) {
        for fd in std::mem::take(&mut self.binaries.unnamed) {
            let Some(object) = self.object(fd) else { continue };
            if let Ok(symbols) = self.symbols(fd) {
                for symbol in symbols.iter().filter(|symbol| !symbol.name.is_empty() && symbol.vaddr != 0) {
                    if !matches!(symbol.kind, SymbolKind::Section | SymbolKind::File | SymbolKind::Tls) {
                        let space = if symbol.imported { "imports" } else { "symbols" };
                        self.name(space, &flag_name(symbol), symbol.vaddr, symbol.size.max(1));
                    }
                }
            }
            if let Some(main) = self.main_of(fd, &object) {
                self.name("symbols", "main", main, 1);
            }
            self.name_strings(fd, &object, false);
            if let Ok(relocations) = self.relocations(fd) {
                for relocation in relocations.iter() {
                    if let Some(name) = relocation.name.as_deref().filter(|_| relocation.vaddr != 0) {
                        let size = u64::from(relocation.size / 8).max(1);
                        self.name("relocs", &format!("reloc.{name}"), relocation.vaddr, size);
                    }
                }
            }
        }
    }

    /// The address of the flag `name`, looking also at names that were not made yet.
    pub fn flag(&mut self, name: &str) -> Option<&flags::Flag> {
        if self.flags.get(name).is_none() && !self.binaries.unnamed.is_empty() {
            self.complete_flags();
        }
        self.flags.get(name)
    }

    /// Makes a flag that fits into expressions; a second one of the same name gets its address behind the name.
    fn name(&mut self, space: &str, real: &str, address: u64, size: u64) {
        let mut name = fitting(real);
        if self.flags.get(&name).is_some_and(|flag| flag.address != address) {
            name = format!("{name}_{address:x}");
        }
        self.flags.set(&name, address, size);
        self.flags.set_space(&name, Some(space));
        if name != real {
            self.flags.set_real_name(&name, Some(real.to_string()));
        }
    }
}

/// The name of a symbol's flag, before it is made fit for expressions.
pub fn flag_name(symbol: &Symbol) -> String {
    let prefix = match symbol.kind {
        _ if symbol.imported => "sym.imp.",
        SymbolKind::Object | SymbolKind::Common | SymbolKind::Tls => "obj.",
        _ => "sym.",
    };
    format!("{prefix}{}", symbol.name)
}

/// `name` with what cannot stand in an expression replaced.
pub fn fitting(name: &str) -> String {
    let fit = |c: char| if c.is_alphanumeric() || matches!(c, '_' | '.') { c } else { '_' };
    name.chars().take(2048).map(fit).collect()
}
