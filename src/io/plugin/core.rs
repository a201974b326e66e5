//! `core://FILE`: what was left of a process that died. The device is the file; what loads it makes it a target.

use super::{Plugin, Touches};
use crate::error::{Error, Kind, Result};
use crate::io::{Access, Device, Open};
use crate::uri::Uri;

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    name: "core",
    schemes: &["core"],
    summary: "the memory, threads and registers in a core file or minidump, to be looked at as a process",
    example: "core:///tmp/core.1234",
    writes: false,
    touches: Touches::Files,
    open,
};

fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    let inner = Uri::parse(uri.rest());
    if inner.scheme().is_some() {
        return Err(Error::new(Kind::Usage, "core:// is about a file of this machine")
            .hint("a far one is opened as it is: rap://host:port//path"));
    }
    let mut device = super::open(&inner, &Open { access: Access::RX, ..open.clone() })?;
    let mut head = [0; 18];
    let count = device.read_at(0, &mut head)?;
    // e_type is ET_CORE, in either byte order.
    let is_core = head.starts_with(b"\x7fELF") && matches!(head[16..], [4, 0] | [0, 4]);
    if count == head.len() && (is_core || head.starts_with(b"MDMP") || head.starts_with(b"PMDM")) {
        return Ok(device);
    }
    Err(Error::new(Kind::Format, "it is neither an ELF core file nor a minidump"))
}
