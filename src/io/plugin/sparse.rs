//! Bytes with holes between them: what files of records (Intel HEX, S-records) decode to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _};

use super::file;
use crate::error::{Error, Kind, Result};
use crate::io::{Access, Device, Info, Latency, Open};

/// The longest line of a record file: 255 bytes as hexpairs with all that stands around them, and some blanks.
const LINE_LIMIT: u64 = 1024;

/// Extents by their start, disjoint. Neighbours may touch: joining them would copy a file of records in descending
/// order over and over.
#[derive(Debug, Default)]
pub struct Sparse {
    extents: BTreeMap<u64, Vec<u8>>,
}

impl Sparse {
    /// Puts `data` at `address`, over what is there. The addresses of record files are far from the end of all.
    pub fn put(&mut self, address: u64, data: &[u8]) {
        let mut at = 0;
        while at < data.len() {
            let (here, rest) = (address + at as u64, &data[at..]);
            let free = self.next_data(here + 1).map_or(u64::MAX, |next| next - here);
            let fresh = &rest[..usize::try_from(free).unwrap_or(usize::MAX).min(rest.len())];
            at += match self.extents.range_mut(..=here).next_back() {
                Some((start, bytes)) if here - *start < bytes.len() as u64 => {
                    let old = &mut bytes[(here - *start) as usize..];
                    let count = old.len().min(rest.len());
                    old[..count].copy_from_slice(&rest[..count]);
                    count
                }
                // The usual case of records in order.
                Some((start, bytes)) if here - *start == bytes.len() as u64 => {
                    bytes.extend_from_slice(fresh);
                    fresh.len()
                }
                _ => {
                    self.extents.insert(here, fresh.to_vec());
                    fresh.len()
                }
            };
        }
    }
}

impl Device for Sparse {
    fn info(&self) -> Info {
        let end = self.extents.last_key_value().map_or(0, |(start, bytes)| start + bytes.len() as u64);
        Info { size: Some(end), access: Access::RX, latency: Latency::Local }
    }

    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let Some((start, bytes)) = self.extents.range(..=address).next_back() else { return Ok(0) };
        let offset = usize::try_from(address - start).unwrap_or(usize::MAX).min(bytes.len());
        let count = buffer.len().min(bytes.len() - offset);
        buffer[..count].copy_from_slice(&bytes[offset..offset + count]);
        Ok(count)
    }

    fn next_data(&mut self, address: u64) -> Option<u64> {
        self.extents.range(address..).next().map(|(start, _)| *start)
    }
}

/// Hands every line of the file at `path` that is not blank to `record`, which answers whether the file ends there.
/// Errors say which line is meant; a file whose lines end before the records do is cut.
pub fn read_records(path: &str, open: &Open, mut record: impl FnMut(&str) -> Result<bool>) -> Result<()> {
    let mut file = BufReader::new(file::open_plain(path, open)?);
    let mut line = Vec::new();
    for number in 1u64.. {
        if number % 4096 == 0 {
            open.cancel.check()?;
        }
        line.clear();
        let count = (&mut file).take(LINE_LIMIT).read_until(b'\n', &mut line).map_err(|error| Error::os(&error))?;
        let at = |error: Error| error.context(format_args!("line {number}"));
        if count == 0 {
            return Err(at(Error::new(Kind::Format, "the file ends without an end record")));
        }
        if count as u64 == LINE_LIMIT {
            return Err(at(Error::new(Kind::Format, "too long for a record")));
        }
        let Ok(text) = std::str::from_utf8(&line) else {
            return Err(at(Error::new(Kind::Format, "not text")));
        };
        if !text.trim().is_empty() && record(text.trim()).map_err(at)? {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_last_byte_put_is_read(puts in prop::collection::vec((0u64..64, prop::collection::vec(1u8.., 0..12)), 0..12)) {
            let mut sparse = Sparse::default();
            let mut model = [0u8; 96];
            for (address, data) in puts {
                sparse.put(address, &data);
                model[address as usize..address as usize + data.len()].copy_from_slice(&data);
            }
            let end = model.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
            prop_assert_eq!(sparse.info().size, Some(end));
            let (mut seen, mut at) = ([0u8; 96], 0u64);
            while at < 96 {
                match sparse.read_at(at, &mut seen[at as usize..]).unwrap() {
                    0 => match sparse.next_data(at) {
                        Some(next) => { prop_assert!(next > at); at = next }
                        None => break,
                    },
                    count => at += count as u64,
                }
            }
            prop_assert_eq!(seen, model);
        }
    }
}
