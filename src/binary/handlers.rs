//! What is done when code fails: the stretches that have a handler, of the tables for unwinding (Itanium C++ ABI,
//! "Exception Handling Tables"; Microsoft x64, "Exception handling").

use gimli::{BaseAddresses, CieOrFde, EhFrame, EndianSlice, LittleEndian, Pointer, Reader as _, UnwindSection};
use serde::Serialize;

/// Most handlers that are listed.
const MOST: usize = 1 << 20;

/// Code that has a handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Handler {
    /// First address of the code.
    pub source: u64,
    /// The address behind it.
    pub source_end: u64,
    /// Where it goes on when it fails.
    pub target: u64,
    /// Whether an exception may be caught there: else it is cleaned up, or asked.
    pub catches: bool,
}

/// A section in memory.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Where they are.
    pub address: u64,
}

impl<'a> Part<'a> {
    fn at(&self, address: u64) -> Option<&'a [u8]> {
        self.bytes.get(usize::try_from(address.checked_sub(self.address)?).ok()?..)
    }
}

/// The handlers that the frames of `frames` (.eh_frame) have in `tables` (.gcc_except_table); `word`: bytes of an
/// address. What is damaged is left out, and counted.
pub fn of_frames(frames: Part<'_>, tables: Part<'_>, text: u64, word: u8) -> (Vec<Handler>, usize) {
    let mut section = EhFrame::new(frames.bytes, LittleEndian);
    section.set_address_size(word);
    let bases = BaseAddresses::default().set_eh_frame(frames.address).set_text(text);
    let (mut found, mut damaged) = (Vec::new(), 0);
    let mut entries = section.entries(&bases);
    loop {
        let entry = match entries.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(_) => {
                damaged += 1;
                break;
            }
        };
        let CieOrFde::Fde(partial) = entry else { continue };
        let Ok(fde) = partial.parse(|section, bases, offset| section.cie_from_offset(bases, offset)) else {
            damaged += 1;
            continue;
        };
        let Some(Pointer::Direct(at)) = fde.lsda() else { continue };
        let read = tables.at(at).and_then(|bytes| table(bytes, at, fde.initial_address(), word, &mut found));
        if read.is_none() {
            damaged += 1;
        }
        if found.len() >= MOST {
            break;
        }
    }
    (found, damaged)
}

/// The call sites of one table, which stands at `address` and belongs to the function at `function`.
fn table(bytes: &[u8], address: u64, function: u64, word: u8, found: &mut Vec<Handler>) -> Option<()> {
    let mut reader = EndianSlice::new(bytes, LittleEndian);
    let place = |reader: &EndianSlice<'_, LittleEndian>| address.wrapping_add((bytes.len() - reader.len()) as u64);
    let start_encoding = reader.read_u8().ok()?;
    let at = place(&reader);
    let base = if start_encoding == OMITTED { function } else { encoded(&mut reader, start_encoding, at, word)? };
    if reader.read_u8().ok()? != OMITTED {
        reader.read_uleb128().ok()?;
    }
    let encoding = reader.read_u8().ok()?;
    let length = usize::try_from(reader.read_uleb128().ok()?).ok()?;
    let mut sites = reader.split(length).ok()?;
    while !sites.is_empty() && found.len() < MOST {
        // Relative to the start of the function, whatever the encoding says of that.
        let start = encoded(&mut sites, encoding & 0x0f, 0, word)?;
        let length = encoded(&mut sites, encoding & 0x0f, 0, word)?;
        let pad = encoded(&mut sites, encoding & 0x0f, 0, word)?;
        let action = sites.read_uleb128().ok()?;
        if pad != 0 {
            let source = function.wrapping_add(start);
            let target = base.wrapping_add(pad);
            found.push(Handler { source, source_end: source.wrapping_add(length), target, catches: action != 0 });
        }
    }
    Some(())
}

/// DW_EH_PE_omit.
const OMITTED: u8 = 0xff;

/// A number in one of the DW_EH_PE encodings.
fn encoded(reader: &mut EndianSlice<'_, LittleEndian>, encoding: u8, place: u64, word: u8) -> Option<u64> {
    let value = match encoding & 0x0f {
        0x00 if word == 8 => reader.read_u64().ok()?,
        0x00 => reader.read_u32().ok()?.into(),
        0x01 => reader.read_uleb128().ok()?,
        0x02 => reader.read_u16().ok()?.into(),
        0x03 => reader.read_u32().ok()?.into(),
        0x04 => reader.read_u64().ok()?,
        0x09 => reader.read_sleb128().ok()? as u64,
        0x0a => reader.read_i16().ok()? as u64,
        0x0b => reader.read_i32().ok()? as u64,
        0x0c => reader.read_i64().ok()? as u64,
        _ => return None,
    };
    match encoding & 0x70 {
        0x00 => Some(value),
        0x10 => Some(value.wrapping_add(place)),
        _ => None,
    }
}

/// UNW_FLAG_EHANDLER and UNW_FLAG_UHANDLER.
const HANDLES: u8 = 3;
/// UNW_FLAG_CHAININFO.
const CHAINED: u8 = 4;

/// The functions of a PE file for x64 that have a handler: `functions` is .pdata, `infos` the section with the unwind
/// information, both at their virtual addresses; `base` is the image's.
pub fn of_functions<'a>(
    functions: Part<'_>,
    infos: &dyn Fn(u64, usize) -> Option<&'a [u8]>,
    base: u64,
) -> (Vec<Handler>, usize) {
    let (mut found, mut damaged) = (Vec::new(), 0);
    for entry in functions.bytes.chunks_exact(12).take(MOST) {
        let number =
            |at: usize| entry.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four));
        let (start, end, info) = (number(0), number(4), number(8));
        if start == 0 && end == 0 {
            continue;
        }
        let at = base.wrapping_add(info.into());
        let Some(head) = infos(at, 4) else {
            damaged += 1;
            continue;
        };
        let flags = head[0] >> 3;
        if flags & HANDLES == 0 || flags & CHAINED != 0 {
            continue;
        }
        // The codes are two bytes each, and their number is made even.
        let behind = at.wrapping_add(4 + 2 * (u64::from(head[2]) + u64::from(head[2] & 1)));
        match infos(behind, 4) {
            Some(handler) => found.push(Handler {
                source: base.wrapping_add(start.into()),
                source_end: base.wrapping_add(end.into()),
                target: base.wrapping_add(u32::from_le_bytes([handler[0], handler[1], handler[2], handler[3]]).into()),
                catches: flags & 1 != 0,
            }),
            None => damaged += 1,
        }
    }
    (found, damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_sites_are_read_and_damage_ends_them() {
        // No start, no types, call sites in ULEB128: one that is cleaned up, one that catches, one without handler.
        let bytes = [0xff, 0xff, 0x01, 12, 0, 4, 0x20, 0, 8, 2, 0x30, 1, 12, 4, 0, 0];
        let mut found = Vec::new();
        assert_eq!(table(&bytes, 0x5000, 0x1000, 8, &mut found), Some(()));
        let handler = |source, source_end, target, catches| Handler { source, source_end, target, catches };
        assert_eq!(found, [handler(0x1000, 0x1004, 0x1020, false), handler(0x1008, 0x100a, 0x1030, true)]);
        for end in 0..bytes.len() - 1 {
            let _ = table(&bytes[..end], 0x5000, 0x1000, 8, &mut Vec::new());
        }
    }
}
