//! `srec://PATH`: a file of Motorola S-records, decoded; what no record fills is a hole.

use super::sparse::{Sparse, read_records};
use super::{Plugin, Touches, refuse_writes};
use crate::error::{Error, Kind, Result};
use crate::io::{Device, Open};
use crate::uri::Uri;

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    name: "srec",
    schemes: &["srec"],
    summary: "Motorola S-record files, decoded",
    example: "srec:///tmp/firmware.srec",
    writes: false,
    touches: Touches::Files,
    open,
};

fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    refuse_writes(open)?;
    let mut bytes = Sparse::default();
    let mut count = 0u64;
    read_records(uri.rest(), open, |line| {
        let (kind, record) = parse(line)?;
        let (address, data) = match kind {
            // A header, or reserved: nothing for memory.
            b'0' | b'4' => return Ok(false),
            b'1' | b'9' => split(&record, 2)?,
            b'2' | b'8' => split(&record, 3)?,
            b'3' | b'7' => split(&record, 4)?,
            b'5' | b'6' => {
                let (said, _) = split(&record, if kind == b'5' { 2 } else { 3 })?;
                // The field holds only the low bits of a large count.
                let mask = if kind == b'5' { 0xffff } else { 0xff_ffff };
                return if said == count & mask {
                    Ok(false)
                } else {
                    Err(Error::new(Kind::Format, format!("{said} data records are announced, {count} came")))
                };
            }
            _ => return Err(Error::new(Kind::Format, format!("unknown record type S{}", char::from(kind)))),
        };
        if kind >= b'7' {
            return Ok(true);
        }
        count += 1;
        bytes.put(address, data);
        Ok(false)
    })?;
    Ok(Box::new(bytes))
}

/// The type digit of a record and its bytes between the count and the checksum.
fn parse(line: &str) -> Result<(u8, Vec<u8>)> {
    let bad = |why: &str| Error::new(Kind::Format, why.to_string());
    let [b'S', kind @ b'0'..=b'9', digits @ ..] = line.as_bytes() else {
        return Err(bad("not an S-record"));
    };
    let mut bytes = vec![0; digits.len() / 2];
    if !digits.len().is_multiple_of(2) || faster_hex::hex_decode(digits, &mut bytes).is_err() {
        return Err(bad("not pairs of hexadecimal digits"));
    }
    let [length, record @ ..] = bytes.as_slice() else { return Err(bad("the count is missing")) };
    if usize::from(*length) != record.len() || record.is_empty() {
        return Err(bad(&format!("{length} bytes are announced, {} follow", record.len())));
    }
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    if sum != 0xff {
        let said = record[record.len() - 1];
        return Err(bad(&format!(
            "checksum mismatch: {said:02x} should be {:02x}",
            said.wrapping_sub(sum).wrapping_sub(1)
        )));
    }
    Ok((*kind, record[..record.len() - 1].to_vec()))
}

/// Takes a big-endian number of `width` bytes off the front.
fn split(record: &[u8], width: usize) -> Result<(u64, &[u8])> {
    let (number, rest) =
        record.split_at_checked(width).ok_or_else(|| Error::new(Kind::Format, "too short for its address"))?;
    Ok((number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)), rest))
}
