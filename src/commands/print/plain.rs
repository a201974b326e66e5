//! Rows of `px` in the default layout, of which people print millions: no branches, no formatting, no allocation.

use super::layout::shown;
use super::rows::{AddressText, HEX, WRITE_SIZE};
use crate::error::{Error, Kind, Result};
use crate::output::Out;

/// Bytes in a row.
const COLUMNS: usize = 16;

/// The longest address.
const ADDRESS: usize = 18;

/// Where the bytes start: after the address and two blanks. Each pair of them takes five characters.
const DIGITS: usize = ADDRESS + 2;

/// Where the characters start.
const CHARACTERS: usize = DIGITS + COLUMNS / 2 * 5 + 1;

/// The whole row with its line end.
const ROW: usize = CHARACTERS + COLUMNS + 1;

/// Rows that are rendered before they are written: little enough to stay in the processor's cache.
const ROWS: usize = WRITE_SIZE / ROW;

/// Renders plain rows, with its buffers.
pub struct Plain {
    row: Row,
    digits: Vec<u8>,
    text: Vec<u8>,
}

impl Default for Plain {
    fn default() -> Plain {
        Plain { row: Row::new(), digits: Vec::new(), text: Vec::with_capacity(WRITE_SIZE) }
    }
}

impl Plain {
    /// Writes the whole rows in `bytes`, which stand at `address`, and returns what is left.
    pub fn write<'b>(&mut self, out: &mut Out<'_>, address: u64, bytes: &'b [u8]) -> Result<&'b [u8]> {
        let (rows, rest) = bytes.as_chunks::<COLUMNS>();
        let mut here = address;
        for rows in rows.chunks(ROWS) {
            let bytes = rows.as_flattened();
            self.digits.resize(2 * bytes.len(), 0);
            faster_hex::hex_encode(bytes, &mut self.digits)
                .map_err(|error| Error::new(Kind::Format, format!("cannot encode the bytes: {error}")))?;
            let (digits, _) = self.digits.as_chunks();
            self.text.clear();
            for (bytes, digits) in rows.iter().zip(digits) {
                self.text.extend_from_slice(self.row.fill(here, bytes, digits));
                here = here.wrapping_add(COLUMNS as u64);
            }
            out.write_all(&self.text)?;
        }
        Ok(rest)
    }
}

/// A row whose blanks stay and whose digits and characters are replaced: fixed sizes let the compiler work on all
/// bytes at once.
struct Row {
    text: [u8; ROW],
    /// Where the address starts.
    start: usize,
    /// The upper half of the address.
    upper: u32,
}

impl Row {
    fn new() -> Row {
        let mut row = Row { text: [b' '; ROW], start: 0, upper: 0 };
        row.text[ROW - 1] = b'\n';
        row.set_upper(0);
        row
    }

    /// Writes the whole address; between two rows its upper half rarely changes.
    fn set_upper(&mut self, address: u64) {
        let line = AddressText::new(address);
        self.text[..ADDRESS].copy_from_slice(&line.text);
        self.start = line.start;
        self.upper = (address >> 32) as u32;
    }

    fn fill(&mut self, address: u64, bytes: &[u8; COLUMNS], digits: &[u8; 2 * COLUMNS]) -> &[u8] {
        if (address >> 32) as u32 != self.upper {
            self.set_upper(address);
        }
        for (pair, byte) in self.text[ADDRESS - 8..ADDRESS].chunks_exact_mut(2).zip((address as u32).to_be_bytes()) {
            pair.copy_from_slice(&HEX[usize::from(byte)]);
        }
        for (group, digits) in self.text[DIGITS..CHARACTERS - 1].chunks_exact_mut(5).zip(digits.chunks_exact(4)) {
            group[..4].copy_from_slice(digits);
        }
        for (character, byte) in self.text[CHARACTERS..ROW - 1].iter_mut().zip(bytes) {
            *character = shown(*byte);
        }
        &self.text[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::print::rows::tests::LAYOUT;
    use crate::commands::print::rows::{self, Cells};
    use crate::output::{Cancel, Style};

    fn plain(address: u64, bytes: &[u8]) -> (String, usize) {
        let (mut text, mut errors) = (Vec::new(), Vec::new());
        let mut out = Out::new(&mut text, &mut errors, Style::default(), Cancel::new());
        let rest = Plain::default().write(&mut out, address, bytes).unwrap().len();
        (String::from_utf8(text).unwrap(), rest)
    }

    #[test]
    fn writes_what_the_general_path_does() {
        // More than one batch, and addresses that grow while they are printed.
        let bytes: Vec<u8> = (0..3 * ROWS * COLUMNS + 5).map(|i| ((i * 31) >> 3) as u8).collect();
        for address in [0, 0x123, 0xffff_ff80, 0xffff_ffff_ff80, u64::MAX - 0x7f] {
            let mut general = Vec::new();
            for (index, row) in bytes.chunks_exact(COLUMNS).enumerate() {
                let here = address.wrapping_add((index * COLUMNS) as u64);
                rows::row(&mut general, here, row, &LAYOUT, &Cells::hex(&LAYOUT));
                general.push(b'\n');
            }
            let (text, rest) = plain(address, &bytes);
            assert!(text.as_bytes() == general, "at 0x{address:x}");
            assert_eq!(rest, 5);
        }
    }
}
