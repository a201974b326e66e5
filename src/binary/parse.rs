//! Which parser a file is for.

use object::read::FileKind;
use object::{Endianness, elf, pe};

use super::{Details, Kind, Member, Object, Placement, Read, Reader, Relocation, Resource, Signature, Symbol, Version};
use super::{archive, elf as elf_file, other, pe as pe_file, resources as pe_parts, signature};
use crate::error::{self, Error, Result};

type Elf32 = elf::FileHeader32<Endianness>;
type Pe32 = pe::ImageNtHeaders32;
type Pe64 = pe::ImageNtHeaders64;
type Elf64 = elf::FileHeader64<Endianness>;

/// What the first bytes say.
fn kind(reader: &Reader<'_>) -> Option<FileKind> {
    FileKind::parse(reader).ok()
}

/// An error of the parser as one of ours, naming what was read.
pub(super) fn damaged(what: &str, cause: object::Error) -> Error {
    Error::new(error::Kind::Format, format!("{what}: {cause}"))
}

/// See [`super::object`].
pub(super) fn object(reader: &mut Reader<'_>, placement: Placement) -> Result<Option<Object>> {
    let kind = kind(reader);
    if let Some(failure) = reader.failure() {
        return Err(failure);
    }
    let Some(kind) = kind else { return Ok(None) };
    match kind {
        FileKind::Archive => archive::archive(reader, placement).map(Some),
        FileKind::MachOFat32 | FileKind::MachOFat64 => {
            let members = archive::fat(reader, kind)?;
            let start = reader.start();
            let absolute = |member: &Member| Member { offset: start + member.offset, ..member.clone() };
            let Some(chosen) = archive::choose(&members, placement) else { return Ok(None) };
            let object = single(&reader.part(chosen.offset, chosen.size), placement)?;
            Ok(object.map(|object| Object { members: members.iter().map(absolute).collect(), ..object }))
        }
        _ => single(reader, placement),
    }
}

/// The object in a file that holds one alone.
pub(super) fn single(reader: &Reader<'_>, placement: Placement) -> Result<Option<Object>> {
    let Some(kind) = kind(reader) else { return Ok(None) };
    let object = match kind {
        FileKind::Elf32 => elf_file::object::<Elf32>(reader, placement)?,
        FileKind::Elf64 => elf_file::object::<Elf64>(reader, placement)?,
        FileKind::Pe32 => pe_file::object::<Pe32>(reader, placement)?,
        FileKind::Pe64 => pe_file::object::<Pe64>(reader, placement)?,
        FileKind::Coff => {
            // The machine's number is all that tells these from text.
            let object = other::object(reader, kind, placement);
            return Ok(object.ok().filter(|object| !object.sections.is_empty()));
        }
        FileKind::CoffBig
        | FileKind::MachO32
        | FileKind::MachO64
        | FileKind::Wasm
        | FileKind::Xcoff32
        | FileKind::Xcoff64 => other::object(reader, kind, placement)?,
        _ => return Ok(None),
    };
    Ok(Some(object))
}

/// Calls the ELF parser of the right class, or the common one.
macro_rules! dispatch {
    ($reader:expr, $object:expr, $name:ident) => {
        match $object.class {
            "ELF32" => elf_file::$name::<Elf32>($reader, $object),
            "ELF64" => elf_file::$name::<Elf64>($reader, $object),
            "PE32" => pe_file::$name::<Pe32>($reader, $object),
            "PE32+" => pe_file::$name::<Pe64>($reader, $object),
            _ => other::$name($reader, $object),
        }
    };
}

/// See [`super::symbols`].
pub(super) fn symbols(reader: &Reader<'_>, object: &Object) -> Result<Read<Symbol>> {
    let result = match object.kind {
        Kind::Archive => archive::symbols(reader, object),
        _ => dispatch!(reader, object, symbols),
    };
    checked(reader, result)
}

/// See [`super::relocations`].
pub(super) fn relocations(reader: &Reader<'_>, object: &Object) -> Result<Read<Relocation>> {
    let result = match object.kind {
        Kind::Archive => archive::relocations(reader, object),
        _ => dispatch!(reader, object, relocations),
    };
    checked(reader, result)
}

/// See [`super::details`].
pub(super) fn details(reader: &Reader<'_>, object: &Object) -> Result<Details> {
    let result = match object.kind {
        Kind::Archive => Ok(Details { relro: "no", language: "c", ..Details::default() }),
        _ => dispatch!(reader, object, details),
    };
    checked(reader, result)
}

/// See [`super::versions`].
pub(super) fn versions(reader: &Reader<'_>, object: &Object) -> Result<Read<Version>> {
    let result = match object.class {
        "ELF32" => elf_file::versions::<Elf32>(reader, object),
        "ELF64" => elf_file::versions::<Elf64>(reader, object),
        "PE32" => pe_parts::versions::<Pe32>(reader, object),
        "PE32+" => pe_parts::versions::<Pe64>(reader, object),
        _ => Ok(Read::default()),
    };
    checked(reader, result)
}

/// See [`super::resources`].
pub(super) fn resources(reader: &Reader<'_>, object: &Object) -> Result<Read<Resource>> {
    let result = match object.class {
        "PE32" => pe_parts::resources::<Pe32>(reader, object),
        "PE32+" => pe_parts::resources::<Pe64>(reader, object),
        _ => Ok(Read::default()),
    };
    checked(reader, result)
}

/// See [`super::signatures`].
pub(super) fn signatures(reader: &Reader<'_>, object: &Object) -> Result<Read<Signature>> {
    let result = match object.class {
        "PE32" => pe_parts::signatures::<Pe32>(reader, object),
        "PE32+" => pe_parts::signatures::<Pe64>(reader, object),
        _ if object.format.starts_with("mach0") => signature::signatures(reader, object),
        _ => Ok(Read::default()),
    };
    checked(reader, result)
}

/// A failure of the device is not one of the file.
fn checked<T>(reader: &Reader<'_>, result: Result<T>) -> Result<T> {
    match reader.failure() {
        Some(failure) => Err(failure),
        None => result,
    }
}
