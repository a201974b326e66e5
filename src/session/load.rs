//! What opening an object file does: its segments are mapped where the loader would put them, the options follow
//! its machine, and its parts get names.
//!
//! Opening takes the same time for every size: names that grow with the file (symbols, relocations) are made when a
//! name is looked for that is not there, or when flags are listed.

use super::debug::libraries::worth;
use super::{Core, Value, flags, options};
use crate::binary::{Entry, Kind, Object, Placement, Segment, Symbol, SymbolKind};
use crate::error::Result;
use crate::io::{Access, Open, plugin};
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
    /// Whether files of this machine may be read for what a process or a core file was made of.
    pub twins: bool,
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
            self.watch_process(fd, load.twins)?;
            self.follow_process(fd);
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
                self.raise(fd, load.twins)?;
                return Ok(Some(start));
            }
            self.io.map_whole(fd, load.address.unwrap_or(0))?;
            return Ok(None);
        };
        self.map_object(fd, &object)?;
        self.follow(fd, &object);
        self.name_parts(&object);
        self.binaries.unnamed.push(fd);
        if object.kind == Kind::Core {
            self.raise(fd, load.twins)?;
        }
        Ok(object.entries.first().map(|entry: &Entry| entry.vaddr))
    }

    /// The options that say how code is read follow the process behind `fd`, if one is.
    fn follow_process(&mut self, fd: u32) {
        let layout = self.io.descriptor_mut(fd).ok().and_then(|descriptor| {
            let target = descriptor.device().target()?;
            let process = target.current()?.process;
            target.layout(process).ok()
        });
        let Some(layout) = layout else { return };
        let arch = match layout.architecture.as_str() {
            name if name.starts_with("i386") => "x86",
            name if name.starts_with("aarch64") || name.starts_with("arm") => "arm",
            name if name.starts_with("powerpc") => "ppc",
            other => other.split(':').next().unwrap_or(other),
        };
        self.set_known("asm.arch", Value::Text(arch.to_string()));
        self.set_known("asm.bits", Value::Number(layout.bits.into()));
        self.set_known("cfg.bigendian", Value::Bool(layout.big_endian));
    }

    /// Sets an option if it knows the value, and says whether it did.
    fn set_known(&mut self, name: &str, value: Value) -> bool {
        let known = |option: &&options::OptionSpec| {
            option.choices.is_empty() || option.choices.contains(&value.to_string().as_str())
        };
        let option = options::find(name).filter(known);
        if let Some(option) = option {
            self.config.put(option, value);
        }
        option.is_some()
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
    fn follow(&mut self, fd: u32, object: &Object) {
        let settings = [
            ("asm.arch", Value::Text(object.arch.to_string())),
            ("asm.cpu", Value::Text(object.cpu.to_string())),
            ("asm.bits", Value::Number(object.bits.into())),
            ("asm.os", Value::Text(object.os.to_string())),
            ("cfg.bigendian", Value::Bool(object.big_endian)),
        ];
        for (name, value) in settings {
            if !self.set_known(name, value) && name == "asm.arch" {
                let kept = super::config::lookup(&super::config::Config::default(), &self.config, name);
                let machine = &object.machine;
                self.warn(fd, format!("machine {machine}: it cannot be disassembled; asm.arch stays {kept}"));
            }
        }
    }

    /// Names for what the headers describe.
    pub(super) fn name_parts(&mut self, object: &Object) {
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
            if self.debugger.knows(fd) {
                self.name_program(fd);
            }
            if let Some(object) = self.object(fd) {
                self.name_contents(fd, &object);
            }
        }
    }

    /// Names the symbols, strings and relocations of the object file behind `fd`.
    pub(super) fn name_contents(&mut self, fd: u32, object: &Object) {
        if let Ok(symbols) = self.symbols(fd) {
            let named = |symbol: &&Symbol| !symbol.name.is_empty() && symbol.vaddr != 0 && worth(symbol.kind);
            for symbol in symbols.iter().filter(named) {
                let space = if symbol.imported { "imports" } else { "symbols" };
                self.name(space, &flag_name(symbol), symbol.vaddr, symbol.size.max(1));
            }
        }
        if let Some(main) = self.main_of(fd, object) {
            self.name("symbols", "main", main, 1);
        }
        self.name_strings(fd, object, false);
        if let Ok(relocations) = self.relocations(fd) {
            for relocation in relocations.iter() {
                if let Some(name) = relocation.name.as_deref().filter(|_| relocation.vaddr != 0) {
                    let size = u64::from(relocation.size / 8).max(1);
                    self.name("relocs", &format!("reloc.{name}"), relocation.vaddr, size);
                }
            }
        }
    }

    /// Takes away the names that files and processes gave.
    pub fn forget_names(&mut self) {
        let made = |space: Option<&str>| space.is_some_and(|space| SPACES.contains(&space) || space == "strings");
        let names: Vec<String> =
            self.flags.iter().filter(|flag| made(flag.space.as_deref())).map(|flag| flag.name.clone()).collect();
        names.iter().for_each(|name| drop(self.flags.remove(name)));
    }

    /// The address of the flag `name`, looking also at names that were not made yet.
    pub fn flag(&mut self, name: &str) -> Option<&flags::Flag> {
        if self.flags.get(name).is_none() && !self.binaries.unnamed.is_empty() {
            self.complete_flags();
        }
        self.flags.get(name)
    }

    /// The address that `name` stands for: a flag, or a symbol of a process.
    pub fn named_address(&mut self, name: &str) -> Option<u64> {
        self.flag(name).map(|flag| flag.address).or_else(|| self.symbol_of_process(name))
    }

    /// Makes a flag that fits into expressions; a second one of the same name gets its address behind the name.
    pub(super) fn name(&mut self, space: &str, real: &str, address: u64, size: u64) {
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
