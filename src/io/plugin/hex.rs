//! `hex://deadbeef`: the bytes that are written in the URI.

use super::malloc::Memory;
use super::{Plugin, Touches};
use crate::error::{Error, Kind, Result};
use crate::io::{Device, Open};
use crate::uri::Uri;

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    name: "hex",
    schemes: &["hex"],
    summary: "memory with the given bytes",
    example: "hex://deadbeef",
    writes: true,
    touches: Touches::Nothing,
    open,
};

fn open(uri: &Uri, _open: &Open) -> Result<Box<dyn Device>> {
    let digits = uri.rest().as_bytes();
    if digits.is_empty() {
        return Err(Error::new(Kind::Usage, "the bytes are missing").hint("pairs of hexadecimal digits"));
    }
    let mut bytes = vec![0; digits.len() / 2];
    if !digits.len().is_multiple_of(2) || faster_hex::hex_decode(digits, &mut bytes).is_err() {
        return Err(Error::new(Kind::Usage, "not pairs of hexadecimal digits"));
    }
    Ok(Box::new(Memory::new(bytes)))
}
