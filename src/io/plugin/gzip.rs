//! `gzip://PATH`: what a gzip file unpacks to, in memory.

use std::io::BufReader;

use flate2::bufread::MultiGzDecoder;

use super::malloc::Memory;
use super::{Plugin, UNPACK_LIMIT, file, refuse_writes, unpack};
use crate::error::Result;
use crate::io::{Device, Open};
use crate::uri::Uri;

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    name: "gzip",
    schemes: &["gzip"],
    summary: "gzip files, unpacked to memory",
    example: "gzip:///tmp/log.gz",
    writes: false,
    open,
};

fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    refuse_writes(open)?;
    let file = BufReader::new(file::open_plain(uri.rest())?);
    Ok(Box::new(Memory::read_only(unpack(MultiGzDecoder::new(file), UNPACK_LIMIT, &open.cancel)?)))
}
