//! How dumps are laid out: the `hex.*` options, resolved once for a command.

use crate::session::Ctx;

/// The most columns of a dump that make sense to anybody.
const COLUMNS_LIMIT: u64 = 4096;

/// What the options say about dumps, for one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Bytes in a row, 1 or more (`hex.cols`).
    pub columns: usize,
    /// Bytes in pairs (`hex.pairs`).
    pub pairs: bool,
    /// A header line where the form has one (`hex.header`).
    pub header: bool,
    /// The column of addresses (`hex.offset`).
    pub offset: bool,
    /// The column of bytes (`hex.bytes`); without it a row holds four times as many characters.
    pub bytes: bool,
    /// The column of characters (`hex.ascii`).
    pub ascii: bool,
    /// Flags and comments beside the rows (`hex.comments`, and only in `pxc`).
    pub comments: bool,
    /// No blanks between the cells (`hex.compact`).
    pub compact: bool,
    /// Rows start at flags (`hex.align`).
    pub align: bool,
    /// The name of the map before the address (`hex.section`).
    pub section: bool,
    /// Bytes from one row to the next when that is not the row itself (`hex.stride`).
    pub stride: u64,
    /// Numbers have their high byte first (`cfg.bigendian`).
    pub big_endian: bool,
    /// Bytes of a machine word: 2, 4 or 8 (`asm.bits`).
    pub word: usize,
    /// ANSI colours.
    pub color: bool,
}

impl Layout {
    /// The layout as it holds for the client of `ctx`.
    pub fn new(ctx: &Ctx<'_, '_>) -> Layout {
        Layout {
            columns: ctx.option_number("hex.cols").clamp(1, COLUMNS_LIMIT) as usize,
            pairs: ctx.option_bool("hex.pairs"),
            header: ctx.option_bool("hex.header"),
            offset: ctx.option_bool("hex.offset"),
            bytes: ctx.option_bool("hex.bytes"),
            ascii: ctx.option_bool("hex.ascii"),
            comments: false,
            compact: ctx.option_bool("hex.compact"),
            align: ctx.option_bool("hex.align"),
            section: ctx.option_bool("hex.section"),
            stride: ctx.option_number("hex.stride"),
            big_endian: ctx.option_bool("cfg.bigendian"),
            word: word_size(ctx),
            color: ctx.out.style().color,
        }
    }

    /// Whether rows look as they do with default options and no terminal, which has a path of its own.
    pub fn is_plain(&self) -> bool {
        self.columns == 16
            && self.pairs
            && self.offset
            && self.bytes
            && self.ascii
            && !(self.comments || self.compact || self.align || self.section || self.color)
            && (self.stride == 0 || self.stride == 16)
    }

    /// The unsigned number in `bytes` (at most 8).
    pub fn number(&self, bytes: &[u8]) -> u64 {
        number(bytes, self.big_endian)
    }

    /// The signed number in `bytes` (at most 8).
    pub fn signed(&self, bytes: &[u8]) -> i64 {
        sign_extend(self.number(bytes), bytes.len())
    }
}

/// Bytes of a machine word by `asm.bits`.
pub fn word_size(ctx: &Ctx<'_, '_>) -> usize {
    match ctx.option_number("asm.bits") {
        0..=16 => 2,
        17..=32 => 4,
        _ => 8,
    }
}

/// The unsigned number in `bytes` (at most 8).
pub fn number(bytes: &[u8], big_endian: bool) -> u64 {
    let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    if big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) }
}

/// A number of `size` bytes (1 to 8) with its sign.
pub fn sign_extend(value: u64, size: usize) -> i64 {
    let unused = 64 - 8 * size.clamp(1, 8);
    ((value << unused) as i64) >> unused
}

/// A byte as it can be shown in a column of characters.
pub const fn shown(byte: u8) -> u8 {
    if byte.wrapping_sub(0x20) < 0x5f { byte } else { b'.' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_of_both_orders() {
        assert_eq!(number(&[1, 2, 3], false), 0x030201);
        assert_eq!(number(&[1, 2, 3], true), 0x010203);
        assert_eq!(sign_extend(0xff, 1), -1);
        assert_eq!(sign_extend(0xff, 2), 255);
        assert_eq!(sign_extend(u64::MAX, 8), -1);
    }

    #[test]
    fn shows_printable_characters_only() {
        assert_eq!([0x1f, 0x20, 0x7e, 0x7f, 0xff].map(shown), *b". ~..");
    }
}
