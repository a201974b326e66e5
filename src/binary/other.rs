//! The formats that the `object` crate sees alike: PE, Mach-O, COFF, WebAssembly, XCOFF; fat files and archives.

use super::{Object, Placement, Reader};
use crate::error::Result;
use object::read::FileKind;

/// See [`super::object`].
pub(super) fn object(reader: &Reader<'_>, kind: FileKind, placement: Placement) -> Result<Option<Object>> {
    let _ = (reader, kind, placement);
    Ok(None)
}
