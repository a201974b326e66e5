//! `ihex://PATH`: an Intel HEX file, decoded; what no record fills is a hole.

use ihex::Record;

use super::sparse::{Sparse, read_records};
use super::{Plugin, Touches, refuse_writes};
use crate::error::{Error, Kind, Result};
use crate::io::{Device, Open};
use crate::uri::Uri;

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    name: "ihex",
    schemes: &["ihex"],
    summary: "Intel HEX files, decoded",
    example: "ihex:///tmp/firmware.hex",
    writes: false,
    touches: Touches::Files,
    open,
};

/// What the 16 bits in a data record are added to.
enum Base {
    /// A segment: the sum wraps inside of its 64 KiB.
    Segment(u64),
    /// The upper half of the address.
    Linear(u64),
}

fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    refuse_writes(open)?;
    let mut bytes = Sparse::default();
    let mut base = Base::Linear(0);
    read_records(uri.rest(), open, |line| {
        match Record::from_record_string(line).map_err(|error| Error::new(Kind::Format, error.to_string()))? {
            Record::Data { offset, value } => put(&mut bytes, &base, offset, &value),
            Record::ExtendedSegmentAddress(segment) => base = Base::Segment(u64::from(segment) << 4),
            Record::ExtendedLinearAddress(upper) => base = Base::Linear(u64::from(upper) << 16),
            Record::StartSegmentAddress { .. } | Record::StartLinearAddress(_) => {}
            Record::EndOfFile => return Ok(true),
        }
        Ok(false)
    })?;
    Ok(Box::new(bytes))
}

fn put(bytes: &mut Sparse, base: &Base, offset: u16, data: &[u8]) {
    let offset = u64::from(offset);
    let (start, wrap, around) = match *base {
        Base::Segment(segment) => (segment + offset, segment + 0x1_0000, segment),
        Base::Linear(upper) => (upper + offset, 1 << 32, 0),
    };
    let (before, after) = data.split_at(data.len().min((wrap - start) as usize));
    bytes.put(start, before);
    bytes.put(around, after);
}
