//! Which parser a file is for.

use object::read::FileKind;
use object::{Endianness, elf};

use super::{Details, Object, Placement, Read, Reader, Relocation, Symbol};
use super::{elf as elf_file, other};
use crate::error::{Error, Kind, Result};

type Elf32 = elf::FileHeader32<Endianness>;
type Elf64 = elf::FileHeader64<Endianness>;

/// What the first bytes say.
fn kind(reader: &Reader<'_>) -> Option<FileKind> {
    FileKind::parse(reader).ok()
}

/// An error of the parser as one of ours, naming what was read.
pub(super) fn damaged(what: &str, error: object::Error) -> Error {
    Error::new(Kind::Format, format!("{what}: {error}"))
}

/// See [`super::object`].
pub(super) fn object(reader: &Reader<'_>, placement: Placement) -> Result<Option<Object>> {
    let kind = kind(reader);
    if let Some(failure) = reader.failure() {
        return Err(failure);
    }
    let Some(kind) = kind else { return Ok(None) };
    let object = match kind {
        FileKind::Elf32 => elf_file::object::<Elf32>(reader, placement)?,
        FileKind::Elf64 => elf_file::object::<Elf64>(reader, placement)?,
        _ => return other::object(reader, kind, placement),
    };
    Ok(Some(object))
}

/// Calls the ELF parser of the right class, or the common one.
macro_rules! dispatch {
    ($reader:expr, $object:expr, $name:ident) => {
        match $object.class {
            "ELF32" => elf_file::$name::<Elf32>($reader, $object),
            "ELF64" => elf_file::$name::<Elf64>($reader, $object),
            _ => other::$name($reader, $object),
        }
    };
}

/// See [`super::symbols`].
pub(super) fn symbols(reader: &Reader<'_>, object: &Object) -> Result<Read<Symbol>> {
    let result = dispatch!(reader, object, symbols);
    checked(reader, result)
}

/// See [`super::relocations`].
pub(super) fn relocations(reader: &Reader<'_>, object: &Object) -> Result<Read<Relocation>> {
    let result = dispatch!(reader, object, relocations);
    checked(reader, result)
}

/// See [`super::details`].
pub(super) fn details(reader: &Reader<'_>, object: &Object) -> Result<Details> {
    let result = dispatch!(reader, object, details);
    checked(reader, result)
}

/// A failure of the device is not one of the file.
fn checked<T>(reader: &Reader<'_>, result: Result<T>) -> Result<T> {
    match reader.failure() {
        Some(failure) => Err(failure),
        None => result,
    }
}
