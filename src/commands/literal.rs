//! Bytes as people type them: hexpairs, text with escapes, numbers in a width.

use crate::error::{Error, Kind, Result};

/// The bytes of `text`: pairs of hexadecimal digits; blanks and a `0x` in front of a word do not count.
pub fn hexpairs(text: &str) -> Result<Vec<u8>> {
    let digits: String = text.split_whitespace().map(|word| word.strip_prefix("0x").unwrap_or(word)).collect();
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Error::new(Kind::Usage, format!("invalid hexpair string '{}'", shortened(text)))
            .hint("digits 0-9a-f in pairs, as in 'deadbeef'"));
    }
    if !digits.len().is_multiple_of(2) {
        return Err(Error::new(
            Kind::Usage,
            format!("invalid hexpair string '{}': odd number of digits", shortened(text)),
        )
        .hint("two digits for each byte, as in '0f'"));
    }
    let mut bytes = vec![0; digits.len() / 2];
    faster_hex::hex_decode(digits.as_bytes(), &mut bytes)
        .map_err(|_| Error::new(Kind::Usage, format!("invalid hexpair string '{}'", shortened(text))))?;
    Ok(bytes)
}

/// A nibble-wise pattern: `value` holds the digits, `mask` has its bits set where a digit was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The bytes, 0 where the digit is a wildcard.
    pub value: Vec<u8>,
    /// 0xf for each nibble that counts.
    pub mask: Vec<u8>,
}

/// Hexpairs in which `.` stands for any nibble: `41..4.`.
pub fn pattern(text: &str) -> Result<Pattern> {
    let zeros = text.replace('.', "0");
    let value = hexpairs(&zeros).map_err(|_| {
        Error::new(Kind::Usage, format!("invalid pattern '{}'", shortened(text)))
            .hint("pairs of digits 0-9a-f, '.' for any digit, as in '41..4.'")
    })?;
    let mut nibbles = text
        .split_whitespace()
        .flat_map(|word| word.strip_prefix("0x").unwrap_or(word).chars())
        .map(|c| if c == '.' { 0 } else { 0xf });
    let mut mask = Vec::with_capacity(value.len());
    while let (Some(high), Some(low)) = (nibbles.next(), nibbles.next()) {
        mask.push(high << 4 | low);
    }
    Ok(Pattern { value, mask })
}

/// A character of text, or a byte that an escape named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Char(char),
    Byte(u8),
}

/// `text` in UTF-8, with its escapes (`\n`, `\x41`, `\101` ...) as the bytes they stand for.
pub fn unescape(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    for unit in units(text)? {
        match unit {
            Unit::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Unit::Byte(byte) => bytes.push(byte),
        }
    }
    Ok(bytes)
}

/// `text` in UTF-16, low byte first, with its escapes.
pub fn unescape_wide(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 2);
    for unit in units(text)? {
        match unit {
            Unit::Char(c) => {
                bytes.extend(c.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| unit.to_le_bytes()));
            }
            Unit::Byte(byte) => bytes.extend([byte, 0]),
        }
    }
    Ok(bytes)
}

fn units(text: &str) -> Result<Vec<Unit>> {
    let mut units = Vec::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            units.push(Unit::Char(c));
            continue;
        }
        units.push(match chars.next() {
            Some('a') => Unit::Byte(7),
            Some('b') => Unit::Byte(8),
            Some('t') => Unit::Byte(9),
            Some('n') => Unit::Byte(10),
            Some('v') => Unit::Byte(11),
            Some('f') => Unit::Byte(12),
            Some('r') => Unit::Byte(13),
            Some('e') => Unit::Byte(27),
            Some('x') => {
                let high = chars.next().and_then(|c| c.to_digit(16));
                let low = chars.next().and_then(|c| c.to_digit(16));
                match (high, low) {
                    (Some(high), Some(low)) => Unit::Byte((high << 4 | low) as u8),
                    _ => return Err(bad_escape("\\x", "two hexadecimal digits follow, as in \\x1b")),
                }
            }
            Some(first @ '0'..='7') => {
                let mut value = first as u32 - '0' as u32;
                for _ in 0..2 {
                    let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) else { break };
                    value = value * 8 + digit;
                    chars.next();
                }
                let byte = u8::try_from(value)
                    .map_err(|_| bad_escape(&format!("\\{value:o}"), "an octal escape is at most \\377"))?;
                Unit::Byte(byte)
            }
            Some(c) if !c.is_alphanumeric() => Unit::Char(c),
            Some(c) => return Err(bad_escape(&format!("\\{c}"), "write \\\\ for a backslash")),
            None => return Err(bad_escape("\\ at the end", "write \\\\ for a backslash")),
        });
    }
    Ok(units)
}

fn bad_escape(escape: &str, hint: &str) -> Error {
    Error::new(Kind::Usage, format!("unknown escape {escape}")).hint(hint)
}

/// The low `width` bytes of `value` (1 to 8) as they stand in memory.
pub fn number(value: u64, width: usize, big_endian: bool) -> Vec<u8> {
    let width = width.clamp(1, 8);
    if big_endian { value.to_be_bytes()[8 - width..].to_vec() } else { value.to_le_bytes()[..width].to_vec() }
}

/// The number that up to 8 `bytes` stand for.
pub fn value(bytes: &[u8], big_endian: bool) -> u64 {
    let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    if big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) }
}

/// `value`, if it fits `width` bytes as an unsigned number or as a signed one.
pub fn fitting(value: u64, width: usize) -> Result<u64> {
    let bits = 8 * width as u32;
    let unsigned = bits >= 64 || value >> bits == 0;
    let signed = bits < 64 && (value as i64) < 0 && (value as i64) >> (bits - 1) == -1;
    if unsigned || signed {
        return Ok(value);
    }
    let bytes = if width == 1 { "a byte".to_string() } else { format!("{width} bytes") };
    Err(Error::new(Kind::Limit, format!("0x{value:x} does not fit in {bytes}")))
}

/// The character that `byte` shows as in dumps: itself if it is printable ASCII, else `other`.
pub fn printable(byte: u8, other: char) -> char {
    if (0x20..0x7f).contains(&byte) { byte.into() } else { other }
}

/// What a message quotes of a long argument.
fn shortened(text: &str) -> String {
    let text = crate::output::visible(text);
    match text.char_indices().nth(32) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexpairs_take_blanks_and_prefixes_and_refuse_the_rest() {
        assert_eq!(hexpairs("0x1234 AB cd").unwrap(), [0x12, 0x34, 0xab, 0xcd]);
        for wrong in ["", " ", "zz", "1", "123", "0x", "41 4", "é1"] {
            let error = hexpairs(wrong).unwrap_err();
            assert!(error.message().starts_with("invalid hexpair string"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_dot_is_any_nibble() {
        let parsed = pattern("41..4.").unwrap();
        assert_eq!(parsed.value, [0x41, 0, 0x40]);
        assert_eq!(parsed.mask, [0xff, 0, 0xf0]);
        assert!(pattern("4").is_err() && pattern("4x").is_err() && pattern("...").is_err());
    }

    #[test]
    fn escapes() {
        let all = unescape(r"\a\b\t\n\v\f\r\e\\\x40\7\15\176").unwrap();
        assert_eq!(all, b"\x07\x08\t\n\x0b\x0c\r\x1b\\@\x07\r~");
        assert_eq!(unescape(r"\xff\;é").unwrap(), b"\xff;\xc3\xa9");
        assert_eq!(unescape_wide(r"A\xffé").unwrap(), [0x41, 0, 0xff, 0, 0xe9, 0]);
        for wrong in [r"\q", r"\", r"\x4", r"\xzz", r"\777"] {
            assert!(unescape(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_go_both_ways_in_both_orders() {
        for width in 1..=8 {
            for big_endian in [false, true] {
                let bytes = number(0x1122_3344_5566_7788, width, big_endian);
                assert_eq!(bytes.len(), width);
                assert_eq!(value(&bytes, big_endian), 0x1122_3344_5566_7788 & (u64::MAX >> (64 - 8 * width)));
            }
        }
    }

    #[test]
    fn numbers_fit_signed_or_unsigned() {
        for (value, width, fits) in [
            (0xff, 1, true),
            (0x100, 1, false),
            (-1i64 as u64, 1, true),
            (-128i64 as u64, 1, true),
            (-129i64 as u64, 1, false),
            (0xffff_ffff, 4, true),
            (0x1_0000_0000, 4, false),
            (u64::MAX, 8, true),
        ] {
            assert_eq!(fitting(value, width).is_ok(), fits, "0x{value:x} in {width}");
        }
    }
}
