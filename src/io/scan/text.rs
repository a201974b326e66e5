//! Telling text from data: runs of characters as ASCII, UTF-8, UTF-16 and UTF-32 (low byte first).
//!
//! What is found does not depend on where the look began: a run that is too short holds no longer one inside.

use std::borrow::Cow;
use std::ops::Range;

use super::pattern::REACH;

/// How the characters of a string are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encoding {
    /// One byte for each.
    Ascii,
    /// One to four bytes for each, and not always one.
    Utf8,
    /// Two bytes for each, or four.
    Utf16,
    /// Four bytes for each.
    Utf32,
}

impl Encoding {
    /// The name in lists.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Ascii => "ascii",
            Encoding::Utf8 => "utf8",
            Encoding::Utf16 => "utf16le",
            Encoding::Utf32 => "utf32le",
        }
    }

    /// Bytes of the zero that ends such a string.
    pub fn unit(self) -> usize {
        match self {
            Encoding::Ascii | Encoding::Utf8 => 1,
            Encoding::Utf16 => 2,
            Encoding::Utf32 => 4,
        }
    }
}

/// A string in a piece of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Where it lies, without the zero behind it.
    pub place: Range<usize>,
    /// Characters in it.
    pub length: usize,
    /// How they are stored.
    pub encoding: Encoding,
}

impl Text {
    /// The characters, of the bytes that [`Text::place`] counts in.
    pub fn decode<'b>(&self, bytes: &'b [u8]) -> Cow<'b, str> {
        let bytes = bytes.get(self.place.clone()).unwrap_or_default();
        match self.encoding {
            Encoding::Ascii | Encoding::Utf8 => String::from_utf8_lossy(bytes),
            Encoding::Utf16 => {
                let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
                char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            }
            Encoding::Utf32 => bytes
                .chunks_exact(4)
                .map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]]))
                .map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect(),
        }
    }
}

/// Looks for strings in a piece of memory. What it knows of the places around the last string it need not look at
/// again for the next.
pub struct Finder<'b> {
    bytes: &'b [u8],
    min: usize,
    /// The first place whose mark is known.
    block: usize,
    /// Bit n: a string may start n places behind.
    marks: u64,
}

impl<'b> Finder<'b> {
    /// For strings of at least `min` characters in `bytes`.
    pub fn new(bytes: &'b [u8], min: usize) -> Finder<'b> {
        Finder { bytes, min: min.max(1), block: usize::MAX, marks: 0 }
    }

    /// The first string that starts at `at` or later, before `end`; else the place from which a later look has to
    /// begin. Strings end after [`REACH`] bytes, and go on as the next.
    pub fn find(&mut self, mut at: usize, end: usize) -> Result<Text, usize> {
        while at < end {
            if at.checked_sub(self.block).is_none_or(|place| place >= BLOCK) {
                self.block = at;
                // Shorter strings are too short for marks.
                self.marks = if self.min < SIGHT { u64::MAX } else { mark(self.bytes, at) };
            }
            let marks = self.marks >> (at - self.block);
            if marks == 0 {
                at = (self.block + BLOCK).min(end);
                continue;
            }
            at += marks.trailing_zeros() as usize;
            if at >= end {
                return Err(end);
            }
            match look(self.bytes, at, self.min) {
                Ok(text) => return Ok(text),
                Err(next) => at = next,
            }
        }
        Err(at)
    }
}

/// The first string in `bytes`: see [`Finder`].
pub fn find(bytes: &[u8], at: usize, end: usize, min: usize) -> Result<Text, usize> {
    Finder::new(bytes, min).find(at, end)
}

/// The string of at least `min` characters that starts at `at`, where [`find`] found one.
pub fn at(bytes: &[u8], at: usize, min: usize) -> Option<Text> {
    look(bytes, at, min.max(1)).ok()
}

/// What starts at `at`, or where to go on.
fn look(bytes: &[u8], at: usize, min: usize) -> Result<Text, usize> {
    let (narrow, mixed) = narrow(bytes, at);
    // One character more is asked for where alphabets mix: in data that is no text, that is what is found most.
    if narrow.length >= min + usize::from(mixed) {
        return Ok(narrow);
    }
    if narrow.length == 0 {
        return Err(at + 1);
    }
    // The last character of the run may be the first of wide ones.
    let start = narrow.place.end - 1;
    let encoding = match bytes.get(start + 1..start + 4) {
        Some([0, 0, 0]) => Encoding::Utf32,
        Some([0, _, 0]) => Encoding::Utf16,
        _ => return Err(narrow.place.end),
    };
    // Two characters of ASCII are asked for: numbers too look like one.
    let second = bytes.get(start + encoding.unit()).is_some_and(|byte| is_text(*byte));
    if second && is_text(bytes[start]) {
        let wide = wide(bytes, start, encoding);
        if wide.length >= min {
            return Ok(wide);
        }
    }
    Err(narrow.place.end)
}

/// The run of ASCII or UTF-8 at `at`, and whether it is some of both.
fn narrow(bytes: &[u8], at: usize) -> (Text, bool) {
    let stop = at.saturating_add(REACH).min(bytes.len());
    let (mut end, mut length, mut encoding) = (at, 0, Encoding::Ascii);
    let mut ascii = false;
    while end < stop {
        let size = if is_text(bytes[end]) {
            ascii = true;
            1
        } else {
            match character(&bytes[end..stop]) {
                Some(c) => {
                    encoding = Encoding::Utf8;
                    c.len_utf8()
                }
                None => break,
            }
        };
        end += size;
        length += 1;
    }
    (Text { place: at..end, length, encoding }, ascii && encoding == Encoding::Utf8)
}

/// The run of wide characters at `at`.
fn wide(bytes: &[u8], at: usize, encoding: Encoding) -> Text {
    let stop = at.saturating_add(REACH).min(bytes.len());
    let (mut end, mut length) = (at, 0);
    let unit = encoding.unit();
    while let Some(here) = bytes[..stop].get(end..end + unit) {
        let mut size = unit;
        let code = match here {
            [low, high] => {
                let first = u16::from_le_bytes([*low, *high]);
                match (first, bytes[..stop].get(end + 2..end + 4)) {
                    (0xd800..=0xdbff, Some(next)) => {
                        size = 4;
                        let second = u16::from_le_bytes([next[0], next[1]]);
                        char::decode_utf16([first, second]).next().and_then(|c| c.ok()).map_or(0, u32::from)
                    }
                    _ => u32::from(first),
                }
            }
            [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]),
            _ => break,
        };
        let fits = match u8::try_from(code) {
            Ok(byte) if byte < 0x80 => is_text(byte),
            _ => char::from_u32(code).is_some_and(is_usual),
        };
        if !fits {
            break;
        }
        end += size;
        length += 1;
    }
    Text { place: at..end, length, encoding }
}

/// Whether `byte` stands in strings: what can be printed, and what usually moves the cursor or colours text.
fn is_text(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e | 0x07..=0x0d | 0x1b)
}

/// The character beyond ASCII at the start of `bytes`, if it is one that stands in texts.
fn character(bytes: &[u8]) -> Option<char> {
    let size = match bytes.first()? {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let text = std::str::from_utf8(bytes.get(..size)?).ok()?;
    text.chars().next().filter(|c| is_usual(*c))
}

/// Letters and digits of any script, and the signs that go with them.
fn is_usual(c: char) -> bool {
    c.is_alphanumeric()
        || matches!(u32::from(c), 0xa0..=0x24f | 0x300..=0x36f | 0x2010..=0x2027 | 0x2030..=0x205e | 0x20a0..=0x20cf
            | 0x2100..=0x27bf | 0x2b00..=0x2bff | 0x3000..=0x303f | 0xff00..=0xffef | 0x1f300..=0x1faff)
}

/// Places that are marked at once: one for each bit of a word.
const BLOCK: usize = 64;

/// Bytes behind a place that its mark depends on.
const SIGHT: usize = 4;

/// Bytes that are looked at to mark a block: what is in sight of it, and on to a whole vector.
const SEEN: usize = BLOCK + 16;

const ASCII: u8 = 1;
const CONTINUES: u8 = 2;
const LEADS: u8 = 4;
const ZERO: u8 = 8;

/// Marks the places from `at` where a string of four characters may start. Plain loops over bytes, which the compiler
/// turns into vector instructions: most data is no text, and is passed here.
fn mark(bytes: &[u8], at: usize) -> u64 {
    // What lies behind the end is no text.
    let mut copy = [0x01u8; SEEN];
    let seen = match bytes.get(at..at.saturating_add(SEEN)).and_then(|bytes| bytes.first_chunk::<SEEN>()) {
        Some(seen) => seen,
        None => {
            let rest = bytes.get(at..).unwrap_or_default();
            copy[..rest.len()].copy_from_slice(rest);
            &copy
        }
    };
    let mut class = [0u8; SEEN];
    for (class, byte) in class.iter_mut().zip(seen) {
        let text = byte.wrapping_sub(0x20) < 0x5f || byte.wrapping_sub(0x07) < 7 || *byte == 0x1b;
        *class = (u8::from(text) * ASCII)
            | (u8::from(byte & 0xc0 == 0x80) * CONTINUES)
            | (u8::from(byte.wrapping_sub(0xc2) < 0x33) * LEADS)
            | (u8::from(*byte == 0) * ZERO);
    }
    // What can be part of a character: ASCII, what leads and is followed, what continues and is led.
    let mut part = [0u8; SEEN];
    part[0] = (class[0] & ASCII) | ((class[0] & LEADS) >> 2 & (class[1] & CONTINUES) >> 1);
    for index in 1..BLOCK + SIGHT {
        let (before, here, behind) = (class[index - 1], class[index], class[index + 1]);
        part[index] = (here & ASCII)
            | ((here & LEADS) >> 2 & (behind & CONTINUES) >> 1)
            | ((here & CONTINUES) >> 1 & ((before & CONTINUES) >> 1 | (before & LEADS) >> 2));
    }
    let mut marks = [0u8; BLOCK];
    for (index, mark) in marks.iter_mut().enumerate() {
        let ascii = |offset: usize| class[index + offset] & ASCII;
        let zero = |offset: usize| (class[index + offset] & ZERO) >> 3;
        let narrow = part[index] & part[index + 1] & part[index + 2] & part[index + 3];
        let wide = ascii(2) & zero(3) | zero(2) & zero(3) & ascii(4);
        *mark = narrow | (ascii(0) & zero(1) & wide);
    }
    // Eight marks at a time become eight bits: the product has them side by side in its highest byte.
    let bits = |marks: &[u8; 8]| u64::from_le_bytes(*marks).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    let words = marks.as_chunks::<8>().0;
    words.iter().enumerate().fold(0, |found, (index, marks)| found | bits(marks) << (8 * index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], min: usize) -> Vec<(usize, String, &'static str)> {
        let (mut at, mut found) = (0, Vec::new());
        while let Ok(text) = find(bytes, at, bytes.len(), min) {
            found.push((text.place.start, text.decode(bytes).into_owned(), text.encoding.name()));
            at = text.place.end;
        }
        found
    }

    #[test]
    fn strings_of_every_encoding_are_found() {
        let mut bytes = b"\x01abc\0abcd\0\xffna\xc3\xafve\xfe\x00".to_vec();
        bytes.extend(b"w\0i\0d\0e\0r\0\0\0\x02");
        bytes.extend(b"Q\0\0\0u\0\0\0a\0\0\0d\0\0\0\0\0\0\0");
        assert_eq!(
            all(&bytes, 4),
            [
                (5, "abcd".to_string(), "ascii"),
                (11, "na\u{ef}ve".to_string(), "utf8"),
                (19, "wider".to_string(), "utf16le"),
                (32, "Quad".to_string(), "utf32le"),
            ]
        );
        assert_eq!(all(b"ab\0c", 2), [(0, "ab".to_string(), "ascii")]);
        assert_eq!(all(b"", 4), []);
    }

    #[test]
    fn a_wide_string_may_start_where_a_short_one_ends() {
        assert_eq!(all(b"xya\0b\0c\0d\0\x01", 4), [(2, "abcd".to_string(), "utf16le")]);
        assert_eq!(
            all("ah\u{e9}\u{20ac}\u{1f600}".as_bytes(), 4),
            [(0, "ah\u{e9}\u{20ac}\u{1f600}".to_string(), "utf8")]
        );
    }

    #[test]
    fn a_long_string_goes_on_as_the_next() {
        let found = all(&vec![b'a'; 2 * REACH + 10], 4);
        assert_eq!(
            found.iter().map(|(at, text, _)| (*at, text.len())).collect::<Vec<_>>(),
            [(0, REACH), (REACH, REACH), (2 * REACH, 10)]
        );
    }

    proptest::proptest! {
        #[test]
        fn marks_hide_nothing(bytes in proptest::collection::vec(
            proptest::sample::select(b"ab\0\x01\xc3\xa9\xff~".to_vec()), 0..600), start in 0usize..40,
        ) {
            // Every place, without the marks.
            let start = start.min(bytes.len());
            let mut slow = Vec::new();
            let mut at = start;
            while at < bytes.len() {
                match look(&bytes, at, 4) {
                    Ok(text) => { at = text.place.end; slow.push(text); }
                    Err(next) => at = next,
                }
            }
            let mut fast = Vec::new();
            let mut at = start;
            while let Ok(text) = find(&bytes, at, bytes.len(), 4) {
                at = text.place.end;
                fast.push(text);
            }
            proptest::prop_assert_eq!(fast, slow);
        }

        #[test]
        fn any_bytes_can_be_looked_at(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400), min in 0usize..9) {
            let mut at = 0;
            while let Ok(text) = find(&bytes, at, bytes.len(), min) {
                proptest::prop_assert!(text.place.start >= at && text.place.end <= bytes.len() && text.length >= min);
                proptest::prop_assert_eq!(text.decode(&bytes).chars().count(), text.length);
                at = text.place.end;
            }
        }
    }
}
