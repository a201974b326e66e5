//! Rows of dumps: an address, cells, characters. One engine for every form and layout.

use super::layout::{Layout, shown};
use crate::error::Result;
use crate::session::Ctx;
use crate::session::context::CHUNK;

/// How much text is collected before it is written.
pub const WRITE_SIZE: usize = 128 * 1024;

/// The cells of a dump.
#[derive(Clone, Copy)]
pub struct Cells {
    /// Bytes in a cell.
    pub bytes: usize,
    /// Characters of a cell.
    pub width: usize,
    /// Cells that stand together before the next gap.
    pub group: usize,
    /// Blanks after a group.
    pub gap: usize,
    /// Whether the form has a header line.
    pub header: bool,
    /// Writes the text of one cell, `width` characters.
    pub render: fn(&mut Vec<u8>, &[u8], &Layout),
}

impl Cells {
    /// Bytes as pairs of digits: `px`.
    pub fn hex(layout: &Layout) -> Cells {
        let group = if layout.pairs { 2 } else { 1 };
        Cells { bytes: 1, width: 2, group, gap: 1, header: true, render: |text, bytes, _| push_hex(text, bytes) }
    }

    fn row_width(&self, columns: usize, compact: bool) -> usize {
        let cells = columns.div_ceil(self.bytes);
        let gaps = if compact { 0 } else { cells.div_ceil(self.group) * self.gap };
        cells * self.width + gaps
    }
}

/// Appends `bytes` as hexadecimal digits.
pub fn push_hex(text: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        text.extend_from_slice(&HEX[*byte as usize]);
    }
}

/// Appends `0x` and at least eight digits of an address.
pub fn push_address(text: &mut Vec<u8>, address: u64) {
    let line = AddressText::new(address);
    text.extend_from_slice(line.as_slice());
}

/// Prints `length` bytes at `address` as rows of `cells`.
pub fn dump(ctx: &mut Ctx<'_, '_>, address: u64, length: u64, layout: Layout, cells: &Cells) -> Result<()> {
    let header = header(&layout, cells, address);
    ctx.out.write_all(&header)?;
    rows(ctx, address, length, layout, cells, |_, _, _| {})
}

/// Prints the rows alone; `above` may add lines before each.
pub fn rows(
    ctx: &mut Ctx<'_, '_>,
    address: u64,
    length: u64,
    mut layout: Layout,
    cells: &Cells,
    mut above: impl FnMut(&mut Vec<u8>, u64, usize),
) -> Result<()> {
    if !layout.bytes {
        layout.columns *= 4;
    }
    // A row holds whole cells.
    layout.columns = layout.columns.next_multiple_of(cells.bytes);
    let columns = layout.columns as u64;
    let mut buffer = Vec::new();
    let mut text = Vec::with_capacity(WRITE_SIZE + 4096);
    let mut done = 0;
    while done < length {
        let batch = (length - done).min(((CHUNK as u64 / columns) * columns).max(columns));
        let start = address.wrapping_add(done);
        buffer.resize(batch as usize, 0);
        ctx.out.cancel().check()?;
        ctx.read_into(start, &mut buffer)?;
        let mut at = 0u64;
        while at < batch {
            let here = start.wrapping_add(at);
            let mut count = columns.min(length - done - at);
            if layout.align {
                count = count.min(until_flag(ctx, here, count));
            }
            if at + count > batch {
                break;
            }
            let bytes = &buffer[at as usize..(at + count) as usize];
            above(&mut text, here, bytes.len());
            if layout.section {
                push_map_name(&mut text, ctx, here);
            }
            row(&mut text, here, bytes, &layout, cells);
            if layout.comments {
                push_comments(&mut text, ctx, here, bytes.len(), layout.columns);
            }
            text.push(b'\n');
            if text.len() >= WRITE_SIZE {
                ctx.out.write_all(&text)?;
                text.clear();
            }
            at = at.saturating_add(if layout.stride == 0 { count } else { layout.stride });
        }
        done = done.saturating_add(at);
    }
    ctx.out.write_all(&text)
}

/// The header line of `cells`, empty when there is none.
pub fn header(layout: &Layout, cells: &Cells, address: u64) -> Vec<u8> {
    let mut text = Vec::new();
    if !layout.header || !cells.header {
        return text;
    }
    let digit = |column: usize| b"0123456789ABCDEF"[column % 16];
    if layout.offset {
        text.extend_from_slice(b"- offset -");
        text.resize(AddressText::new(address).as_slice().len(), b' ');
        text.resize(text.len() + lead(layout), b' ');
    }
    let columns = if layout.bytes { layout.columns.next_multiple_of(cells.bytes) } else { layout.columns * 4 };
    if layout.bytes {
        if cells.group == 1 && cells.bytes == 1 {
            for column in 0..columns {
                text.resize(text.len() + cells.width - 1, b' ');
                text.push(digit(column));
                text.resize(text.len() + if layout.compact { 0 } else { cells.gap }, b' ');
            }
        } else {
            // Two labels share the width of two bytes and the gap after them.
            let gap = if layout.compact { 0 } else { 1 };
            let pair = 2 * (cells.group * cells.width + cells.gap) / (cells.group * cells.bytes) - 1;
            for column in 0..columns {
                let width = if column % 2 == 0 { pair / 2 } else { pair - pair / 2 };
                text.resize(text.len() + width - 1, b' ');
                text.push(digit(column));
                if column % 2 == 1 || column + 1 == columns {
                    text.resize(text.len() + gap, b' ');
                }
            }
            let width = cells.row_width(columns, layout.compact);
            let lead = if layout.offset { AddressText::new(address).as_slice().len() + lead(layout) } else { 0 };
            text.resize(lead + width, b' ');
        }
        text.push(b' ');
    }
    if layout.ascii {
        text.extend((0..columns).map(digit));
    }
    if layout.comments {
        text.extend_from_slice(b"  comment");
    }
    while text.ends_with(b" ") {
        text.pop();
    }
    text.push(b'\n');
    text
}

/// Blanks between the address and the first cell.
fn lead(layout: &Layout) -> usize {
    if layout.compact { 1 } else { 2 }
}

/// Appends one row without its line end.
pub fn row(text: &mut Vec<u8>, address: u64, bytes: &[u8], layout: &Layout, cells: &Cells) {
    if layout.offset {
        if layout.color {
            text.extend_from_slice(b"\x1b[32m");
        }
        push_address(text, address);
        if layout.color {
            text.extend_from_slice(b"\x1b[0m");
        }
        text.resize(text.len() + lead(layout), b' ');
    }
    let mut paint = Paint { on: layout.color, class: Class::Other };
    if layout.bytes {
        let mut width = 0;
        let last = bytes.len().div_ceil(cells.bytes);
        for (index, cell) in bytes.chunks(cells.bytes).enumerate() {
            if cell.len() == cells.bytes {
                if cells.bytes == 1 {
                    paint.with(text, cell[0]);
                }
                (cells.render)(text, cell, layout);
            } else {
                text.resize(text.len() + cells.width, b' ');
            }
            width += cells.width;
            if !layout.compact && ((index + 1) % cells.group == 0 || index + 1 == last) {
                paint.end(text);
                text.resize(text.len() + cells.gap, b' ');
                width += cells.gap;
            }
        }
        paint.end(text);
        if layout.ascii {
            let full = cells.row_width(layout.columns, layout.compact);
            text.resize(text.len() + full.saturating_sub(width) + 1, b' ');
        }
    }
    if layout.ascii {
        for byte in bytes {
            paint.with(text, *byte);
            text.push(shown(*byte));
        }
        paint.end(text);
    } else {
        // Nothing follows that would have to be aligned.
        while text.ends_with(b" ") {
            text.pop();
        }
    }
}

/// What sort of byte it is, which decides its colour.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Zero,
    Ones,
    Printable,
    Other,
}

/// Switches colours only where the class of the bytes changes.
struct Paint {
    on: bool,
    class: Class,
}

impl Paint {
    fn with(&mut self, text: &mut Vec<u8>, byte: u8) {
        if !self.on {
            return;
        }
        let class = match byte {
            0 => Class::Zero,
            0xff => Class::Ones,
            0x20..=0x7e => Class::Printable,
            _ => Class::Other,
        };
        if class != self.class {
            self.end(text);
            self.class = class;
            text.extend_from_slice(match class {
                Class::Zero => b"\x1b[90m",
                Class::Ones => b"\x1b[31m",
                Class::Printable => b"\x1b[33m",
                Class::Other => b"",
            });
        }
    }

    fn end(&mut self, text: &mut Vec<u8>) {
        if self.class != Class::Other {
            self.class = Class::Other;
            text.extend_from_slice(b"\x1b[0m");
        }
    }
}

/// Bytes from `address` up to the next flag after it, at most `limit`.
fn until_flag(ctx: &Ctx<'_, '_>, address: u64, limit: u64) -> u64 {
    (1..limit).find(|ahead| ctx.core.flags.at(address.wrapping_add(*ahead)).next().is_some()).unwrap_or(limit)
}

fn push_map_name(text: &mut Vec<u8>, ctx: &Ctx<'_, '_>, address: u64) {
    let name = ctx.core.io.space.at(address).and_then(|map| map.name.as_deref()).unwrap_or_default();
    text.extend_from_slice(format!("{:>20} ", crate::output::visible(name)).as_bytes());
}

fn push_comments(text: &mut Vec<u8>, ctx: &Ctx<'_, '_>, address: u64, count: usize, columns: usize) {
    let mut remarks = Vec::new();
    for byte in 0..count as u64 {
        let here = address.wrapping_add(byte);
        remarks.extend(ctx.core.flags.at(here).map(|flag| flag.name.clone()));
        remarks.extend(ctx.core.comments.get(&here).cloned());
    }
    if !remarks.is_empty() {
        text.resize(text.len() + columns - count, b' ');
    }
    for remark in remarks {
        text.extend_from_slice(b"  ; ");
        text.extend_from_slice(crate::output::visible(&remark).as_bytes());
    }
}

/// Two digits for each byte.
pub static HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

/// `0x` and eight to sixteen digits.
pub struct AddressText {
    /// The text, at the end of the array.
    pub text: [u8; 18],
    /// Where it starts.
    pub start: usize,
}

impl AddressText {
    /// The text of `address`.
    pub fn new(address: u64) -> AddressText {
        let mut line = AddressText { text: [b'0'; 18], start: 0 };
        for (pair, byte) in line.text[2..].chunks_exact_mut(2).zip(address.to_be_bytes()) {
            pair.copy_from_slice(&HEX[byte as usize]);
        }
        let digits = (16 - address.leading_zeros() as usize / 4).max(8);
        line.start = 16 - digits;
        line.text[line.start..line.start + 2].copy_from_slice(b"0x");
        line
    }

    /// The text.
    pub fn as_slice(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The default layout.
    pub const LAYOUT: Layout = Layout {
        columns: 16,
        pairs: true,
        header: true,
        offset: true,
        bytes: true,
        ascii: true,
        comments: false,
        compact: false,
        align: false,
        section: false,
        stride: 0,
        big_endian: false,
        word: 8,
        color: false,
    };

    #[test]
    fn colours_are_closed_on_every_row() {
        let layout = Layout { color: true, ..LAYOUT };
        let mut text = Vec::new();
        row(&mut text, 0, &[0, 0, 0xff, 0x41, 0x80], &layout, &Cells::hex(&layout));
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.matches("\x1b[0m").count(), text.matches("\x1b[").count() / 2, "{text:?}");
        let mut plain = Vec::new();
        row(&mut plain, 0, &[0, 0, 0xff, 0x41, 0x80], &LAYOUT, &Cells::hex(&LAYOUT));
        let stripped = regex::Regex::new("\x1b\\[[0-9]*m").unwrap().replace_all(&text, "").into_owned();
        assert_eq!(stripped.into_bytes(), plain);
    }

    #[test]
    fn headers_stand_over_their_columns() {
        let header = String::from_utf8(header(&LAYOUT, &Cells::hex(&LAYOUT), 0x1_0000_0000)).unwrap();
        let mut text = Vec::new();
        row(&mut text, 0x1_0000_0000, b"0123456789ABCDEF", &LAYOUT, &Cells::hex(&LAYOUT));
        let text = String::from_utf8(text).unwrap();
        assert_eq!(header.find("0123456789"), text.find("0123456789"));
        assert_eq!(header.trim_end().len(), text.len());
    }
}
