//! `gzip://PATH`: what a gzip file unpacks to, in memory.

use std::io::{BufRead, BufReader};

use flate2::bufread::GzDecoder;

use super::malloc::Memory;
use super::{Plugin, Touches, UNPACK_LIMIT, file, refuse_writes, unpack};
use crate::error::{Error, Result};
use crate::io::{Device, Open};
use crate::uri::Uri;

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    name: "gzip",
    schemes: &["gzip"],
    summary: "gzip files, unpacked to memory",
    example: "gzip:///tmp/log.gz",
    writes: false,
    touches: Touches::Files,
    open,
};

fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    refuse_writes(open)?;
    let mut file = BufReader::new(file::open_plain(uri.rest(), open)?);
    let mut bytes = Vec::new();
    // A file may hold several members, and zeros behind the last where it was padded to whole blocks.
    loop {
        unpack(GzDecoder::new(&mut file), &mut bytes, UNPACK_LIMIT, &open.cancel)?;
        if !skip_zeros(&mut file).map_err(|error| Error::os(&error))? {
            return Ok(Box::new(Memory::read_only(bytes)));
        }
    }
}

/// Whether anything but zeros follows; the reader stands there then.
fn skip_zeros(file: &mut impl BufRead) -> std::io::Result<bool> {
    loop {
        let buffer = file.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        match buffer.iter().position(|byte| *byte != 0) {
            Some(count) => {
                file.consume(count);
                return Ok(true);
            }
            None => {
                let count = buffer.len();
                file.consume(count);
            }
        }
    }
}
