//! Object files: what a file says of itself, and where its parts lie.
//!
//! [`Object`] holds what the headers say and is small; symbols, relocations and what else grows with the file are
//! read when they are asked for. Parsers see the file through [`Reader`], so that a file behind a line is read in
//! pages, and only those that matter. What is damaged is left out and named in a warning.
//!
//! All virtual addresses are those of the session: as the file has them, moved to [`Object::base`].

mod arch;
pub mod core;
mod archive;
pub mod demangle;
mod elf;
pub mod lines;
mod header;
mod other;
mod parse;
mod pe;
mod reader;
mod resources;
mod signature;
pub mod handlers;
pub mod registers;
pub mod strings;

use std::sync::Arc;

use serde::Serialize;

use crate::error::Result;
use crate::io::{Access, Device};

pub use header::Field;
pub use reader::Reader;

/// Longest list that is made of any table of a file: more is damage or malice.
pub const LIST_LIMIT: usize = 1 << 24;

/// What sort of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To be linked.
    Relocatable,
    /// A program.
    Executable,
    /// A shared library, or a program that runs anywhere in memory.
    Dynamic,
    /// The memory of a process that died.
    Core,
    /// Several files in one.
    Archive,
    /// None of these.
    Other,
}

/// What the headers of an object file say.
#[derive(Debug, Clone)]
pub struct Object {
    /// `elf64`, `elf`, `pe64`, `pe`, `coff`, `mach064`, `mach0`, `wasm`, `ar`.
    pub format: &'static str,
    /// `ELF64`, `PE32+`, `MACH0`.
    pub class: &'static str,
    /// What it is for.
    pub kind: Kind,
    /// The format's own words for that: `DYN (Shared object file)`.
    pub kind_name: String,
    /// The architecture as `asm.arch` takes it.
    pub arch: &'static str,
    /// The model of the processor as `asm.cpu` takes it, empty when any will do.
    pub cpu: &'static str,
    /// Word size in bits as `asm.bits` takes it.
    pub bits: u32,
    /// Whether numbers lie with the highest byte first.
    pub big_endian: bool,
    /// The machine in the format's own words: `AMD x86-64 architecture`.
    pub machine: String,
    /// `linux`, `windows`, `darwin`, as `asm.os` takes it.
    pub os: &'static str,
    /// What it runs under: `linux`, `Windows CUI`.
    pub subsystem: String,
    /// Where it is loaded in this session.
    pub base: u64,
    /// How far addresses are moved from where the file wants them (wrapping).
    pub shift: u64,
    /// Offset of the object in the device: not 0 for a part of a fat file.
    pub offset: u64,
    /// Bytes that the object takes in the device.
    pub size: u64,
    /// Where it starts running, the main entry first.
    pub entries: Vec<Entry>,
    /// What is loaded into memory.
    pub segments: Vec<Segment>,
    /// How the file is divided.
    pub sections: Vec<Section>,
    /// The program loader it asks for.
    pub interpreter: Option<String>,
    /// Whether it can run at any address.
    pub pic: bool,
    /// Whether memory is either written or executed.
    pub nx: bool,
    /// Whether it has a table of symbols besides the dynamic one; `None`: the headers do not say.
    pub stripped: bool,
    /// Whether it is complete without libraries.
    pub is_static: bool,
    /// Whether line numbers are in it.
    pub line_numbers: bool,
    /// The parts of a fat file or archive.
    pub members: Vec<Member>,
    /// What could not be read, naming the field.
    pub warnings: Vec<String>,
}

impl Object {
    /// The object's file offset of `vaddr`, when bytes of the file are loaded there.
    pub fn paddr(&self, vaddr: u64) -> Option<u64> {
        let inside = |start: u64, size: u64| vaddr.checked_sub(start).filter(|offset| *offset < size);
        let loaded = self.segments.iter().filter(|segment| segment.loaded);
        let found = loaded.filter_map(|s| Some(s.paddr.wrapping_add(inside(s.vaddr, s.size)?))).next();
        if found.is_some() || self.segments.iter().any(|segment| segment.loaded) {
            return found;
        }
        let sections = self.sections.iter().filter(|section| section.loaded);
        sections.filter_map(|s| Some(s.paddr.wrapping_add(inside(s.vaddr, s.size)?))).next()
    }

    /// The section that `vaddr` lies in.
    pub fn section_at(&self, vaddr: u64) -> Option<&Section> {
        self.sections
            .iter()
            .filter(|section| section.loaded)
            .find(|section| vaddr.checked_sub(section.vaddr).is_some_and(|offset| offset < section.vsize))
    }

    /// The first section called `name`.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }
}

/// A place where the file starts running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Virtual address.
    pub vaddr: u64,
    /// Offset in the device.
    pub paddr: u64,
    /// Offset in the device of the field that names it.
    pub haddr: Option<u64>,
    /// `program`, `init`, `fini`, `preinit`, `tls`.
    pub kind: &'static str,
}

/// A stretch that the loader puts into memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// `LOAD0`, `DYNAMIC`, `__TEXT`.
    pub name: String,
    /// Offset in the device.
    pub paddr: u64,
    /// Bytes in the file.
    pub size: u64,
    /// Virtual address.
    pub vaddr: u64,
    /// Bytes in memory.
    pub vsize: u64,
    /// What memory may be used for.
    pub access: Access,
    /// Whether memory is made for it, as opposed to a note to the loader.
    pub loaded: bool,
}

/// A named part of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Number in the file's own table.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Offset in the device.
    pub paddr: u64,
    /// Bytes in the file.
    pub size: u64,
    /// Virtual address; 0 when it is not loaded.
    pub vaddr: u64,
    /// Bytes in memory.
    pub vsize: u64,
    /// What memory may be used for.
    pub access: Access,
    /// The format's type: `PROGBITS`.
    pub kind: String,
    /// The format's flags: `alloc`, `merge`.
    pub flags: Vec<&'static str>,
    /// Whether it is part of the memory image.
    pub loaded: bool,
}

/// How a symbol is seen by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Bind {
    /// In its file alone.
    Local,
    /// Everywhere.
    Global,
    /// Everywhere, unless another is there.
    Weak,
    /// Once in a process.
    Unique,
    /// None of these.
    None,
}

/// What a symbol stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum SymbolKind {
    /// Unspecified.
    #[serde(rename = "NOTYPE")]
    None,
    /// Code.
    #[serde(rename = "FUNC")]
    Function,
    /// Data.
    #[serde(rename = "OBJ")]
    Object,
    /// A section.
    #[serde(rename = "SECT")]
    Section,
    /// A source file.
    #[serde(rename = "FILE")]
    File,
    /// Data to be laid out by the linker.
    #[serde(rename = "COMMON")]
    Common,
    /// Data of each thread.
    #[serde(rename = "TLS")]
    Tls,
    /// A function that chooses the function to use (GNU).
    #[serde(rename = "LOOS")]
    Indirect,
}

/// A name for a place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// Number in the file's own table.
    pub ordinal: u32,
    /// Name as the file has it, without version.
    pub name: Box<str>,
    /// How it is seen by others.
    pub bind: Bind,
    /// What it stands for.
    pub kind: SymbolKind,
    /// Offset in the device; 0 when there is none.
    pub paddr: u64,
    /// Virtual address; for an imported function that of its stub, 0 when there is none.
    pub vaddr: u64,
    /// Bytes.
    pub size: u64,
    /// Whether it is defined elsewhere.
    pub imported: bool,
    /// Whether other files can link to it.
    pub exported: bool,
    /// Whether it is of the dynamic table.
    pub dynamic: bool,
    /// Where it is imported from, when the file says.
    pub library: Option<Arc<str>>,
}

impl Symbol {
    /// The name as its programmer wrote it, when it is a mangled one.
    pub fn demangled(&self) -> Option<String> {
        demangle::demangle(&self.name)
    }
    /// Whether it names the start of code in this file.
    pub fn is_function(&self) -> bool {
        !self.imported && matches!(self.kind, SymbolKind::Function | SymbolKind::Indirect) && self.vaddr != 0
    }
}

/// A place that the loader or linker patches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relocation {
    /// Virtual address of what is patched.
    pub vaddr: u64,
    /// Its offset in the device.
    pub paddr: u64,
    /// The format's name of how: `R_X86_64_GLOB_DAT`, or a number.
    pub kind: std::borrow::Cow<'static, str>,
    /// Bits that are patched, when that is known.
    pub size: u8,
    /// The symbol it refers to.
    pub name: Option<Arc<str>>,
    /// What is added.
    pub addend: i64,
    /// Whether the symbol chooses its function at run time.
    pub indirect: bool,
}

/// What the headers do not say and takes a closer look.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// Whether functions check their stack.
    pub canary: bool,
    /// `full`, `partial`, `no`.
    pub relro: &'static str,
    /// Whether a sanitizer is linked in.
    pub sanitized: bool,
    /// What made it: `GCC: (Debian 14.2.0-19) 14.2.0`.
    pub compiler: Vec<String>,
    /// The language: `c`, `rust`, `c++`, `go`.
    pub language: &'static str,
    /// Where libraries are looked for.
    pub rpath: Option<String>,
    /// The libraries it needs, as it names them.
    pub libraries: Vec<String>,
    /// Its own name as a library.
    pub soname: Option<String>,
    /// The build id.
    pub build_id: Option<Vec<u8>>,
    /// The separate debug file: name and CRC-32.
    pub debug_link: Option<(String, u32)>,
    /// The shared debug file: name and build id.
    pub debug_alt_link: Option<(String, Vec<u8>)>,
    /// What could not be read.
    pub warnings: Vec<String>,
}

/// A part of a fat file or archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name, or its architecture.
    pub name: String,
    /// Offset in the device.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// Architecture and word size, when known.
    pub arch: Option<(&'static str, u32)>,
}

/// A version that a file states or asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// `defined` and `needed`: versions of symbols (ELF); `fixed` and `string`: of the file itself (PE).
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The library that is to have it, or the table of strings that it stands in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Its number, by which symbols name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u16>,
    /// Its name, or what is said.
    pub name: String,
    /// What is said of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
}

/// Data that a PE file carries for its program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// `ICON`, `VERSION`, `MANIFEST`, or a name of the program's own.
    #[serde(rename = "type")]
    pub kind: String,
    /// Name or number.
    pub name: String,
    /// The language (LANGID).
    #[serde(rename = "lang")]
    pub language: u16,
    /// Virtual address.
    pub vaddr: u64,
    /// Offset in the device; 0 when it lies outside of the file.
    pub paddr: u64,
    /// Bytes.
    pub size: u64,
}

/// A signature, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// `PKCS_SIGNED_DATA`, `CodeDirectory`, `Entitlements`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Offset in the device.
    pub paddr: u64,
    /// Bytes.
    pub size: u64,
    /// What can be said of it in words: the identifier, the entitlements.
    pub text: String,
}

/// How a file is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Placement {
    /// Where it is loaded; `None`: where it wants to be.
    pub base: Option<u64>,
    /// The word size wanted of a fat file.
    pub bits: Option<u32>,
}

/// What the headers of the file in `device` say; `None`: it is no object file.
///
/// # Errors
/// When the device fails, or the headers are too damaged to say anything.
pub fn object(device: &mut dyn Device, placement: Placement) -> Result<Option<Object>> {
    parse::object(&mut Reader::new(device), placement)
}

/// The symbols of all tables, in the file's order: the static ones, then those dynamic ones that are no repetition.
/// Imported functions have the addresses of their stubs.
pub fn symbols(device: &mut dyn Device, object: &Object) -> Result<Read<Symbol>> {
    let mut reader = Reader::new(device);
    reader.restrict(object.offset, object.size);
    parse::symbols(&reader, object)
}

/// What the loader and the linker patch.
pub fn relocations(device: &mut dyn Device, object: &Object) -> Result<Read<Relocation>> {
    let mut reader = Reader::new(device);
    reader.restrict(object.offset, object.size);
    parse::relocations(&reader, object)
}

/// The fields of the header.
pub fn header(device: &mut dyn Device, object: &Object) -> Result<Vec<Field>> {
    let mut reader = Reader::new(device);
    reader.restrict(object.offset, object.size);
    header::header(&reader, object)
}

/// What takes a closer look.
pub fn details(device: &mut dyn Device, object: &Object) -> Result<Details> {
    let mut reader = Reader::new(device);
    reader.restrict(object.offset, object.size);
    parse::details(&reader, object)
}

/// The versions that the file states and asks for.
pub fn versions(device: &mut dyn Device, object: &Object) -> Result<Read<Version>> {
    let mut reader = Reader::new(device);
    reader.restrict(object.offset, object.size);
    parse::versions(&reader, object)
}

/// The resources of a PE file.
pub fn resources(device: &mut dyn Device, object: &Object) -> Result<Read<Resource>> {
    let mut reader = Reader::new(device);
    reader.restrict(object.offset, object.size);
    parse::resources(&reader, object)
}

/// The signatures of a PE or Mach-O file.
pub fn signatures(device: &mut dyn Device, object: &Object) -> Result<Read<Signature>> {
    let mut reader = Reader::new(device);
    reader.restrict(object.offset, object.size);
    parse::signatures(&reader, object)
}

/// A list as far as it could be read, and what could not.
#[derive(Debug, Clone)]
pub struct Read<T> {
    /// The entries.
    pub list: Vec<T>,
    /// What is missing, naming the field.
    pub warnings: Vec<String>,
}

impl<T> Default for Read<T> {
    fn default() -> Read<T> {
        Read { list: Vec::new(), warnings: Vec::new() }
    }
}
