//! The formats that the `object` crate sees alike: PE, Mach-O, COFF, WebAssembly, XCOFF; fat files and archives.

use object::read::FileKind;

use super::{Details, Object, Placement, Read, Reader, Relocation, Symbol};
use crate::error::Result;

/// See [`super::object`].
pub(super) fn object(reader: &Reader<'_>, kind: FileKind, placement: Placement) -> Result<Option<Object>> {
    let _ = (reader, kind, placement);
    Ok(None)
}
pub(super) fn symbols(reader: &Reader<'_>, object: &Object) -> Result<Read<Symbol>> {
    let _ = (reader, object);
    Ok(Read::default())
}
pub(super) fn relocations(reader: &Reader<'_>, object: &Object) -> Result<Read<Relocation>> {
    let _ = (reader, object);
    Ok(Read::default())
}
pub(super) fn details(reader: &Reader<'_>, object: &Object) -> Result<Details> {
    let _ = (reader, object);
    Ok(Details::default())
}
