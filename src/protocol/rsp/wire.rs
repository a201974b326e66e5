//! The pieces that packets are made of: hexadecimal numbers, hexadecimal bytes, separators.

use super::Refusal;

/// A place in a packet, from which fields are taken.
#[derive(Debug, Clone)]
pub struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// At the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor(bytes)
    }

    /// Behind `prefix`, if `packet` starts so.
    pub fn after(packet: &'a [u8], prefix: &str) -> Option<Cursor<'a>> {
        packet.strip_prefix(prefix.as_bytes()).map(Cursor)
    }

    /// What has not been taken yet.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Takes `byte` if it is next.
    pub fn take(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes `byte`, which must be next.
    pub fn expect(&mut self, byte: u8) -> Result<(), Refusal> {
        if self.take(byte) { Ok(()) } else { Err(Refusal::Malformed) }
    }

    /// Takes the next byte, whatever it is.
    pub fn byte(&mut self) -> Result<u8, Refusal> {
        let (first, rest) = self.0.split_first().ok_or(Refusal::Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    /// Takes a hexadecimal number of at least one digit that fits into 64 bits.
    pub fn number(&mut self) -> Result<u64, Refusal> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (text, rest) = self.0.split_at(digits);
        let value = hex_number(text).ok_or(Refusal::Malformed)?;
        self.0 = rest;
        Ok(value)
    }

    /// Takes a hexadecimal number that fits into 32 bits.
    pub fn number32(&mut self) -> Result<u32, Refusal> {
        u32::try_from(self.number()?).map_err(|_| Refusal::Malformed)
    }

    /// Takes a decimal number.
    pub fn decimal(&mut self) -> Result<u64, Refusal> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (text, rest) = self.0.split_at(digits);
        let value = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Refusal::Malformed)?;
        self.0 = rest;
        Ok(value)
    }

    /// Takes exactly two hexadecimal digits.
    pub fn pair(&mut self) -> Result<u8, Refusal> {
        let (pair, rest) = self.0.split_at_checked(2).ok_or(Refusal::Malformed)?;
        let value = unhex(pair)?;
        self.0 = rest;
        value.first().copied().ok_or(Refusal::Malformed)
    }

    /// Takes everything before the next `separator` and the separator; without one, everything.
    pub fn until(&mut self, separator: u8) -> &'a [u8] {
        match memchr::memchr(separator, self.0) {
            Some(at) => {
                let field = &self.0[..at];
                self.0 = &self.0[at + 1..];
                field
            }
            None => std::mem::take(&mut self.0),
        }
    }

    /// Whether everything was taken.
    pub fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    /// `value`, if everything was taken.
    pub fn end<T>(&self, value: T) -> Result<T, Refusal> {
        if self.is_done() { Ok(value) } else { Err(Refusal::Malformed) }
    }
}

/// The number that `digits` spell; `None` for none, for others, and for more than 64 bits.
pub fn hex_number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = (*digit as char).to_digit(16)?;
        (value >> 60 == 0).then_some(value << 4 | u64::from(digit))
    })
}

/// The bytes that pairs of digits spell.
pub fn unhex(digits: &[u8]) -> Result<Vec<u8>, Refusal> {
    if !digits.len().is_multiple_of(2) {
        return Err(Refusal::Malformed);
    }
    let mut bytes = vec![0; digits.len() / 2];
    match faster_hex::hex_decode(digits, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(Refusal::Malformed),
    }
}

/// The text that pairs of digits spell.
pub fn unhex_text(digits: &[u8]) -> Result<String, Refusal> {
    String::from_utf8(unhex(digits)?).map_err(|_| Refusal::Malformed)
}

/// Appends `bytes` as pairs of digits.
pub fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len() * 2, 0);
    // The room is exactly what is needed.
    let _ = faster_hex::hex_encode(bytes, &mut out[start..]);
}

/// Appends a number without leading zeros.
pub fn push_number(out: &mut Vec<u8>, value: u64) {
    let digits = (64 - value.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..digits).rev().map(|digit| b"0123456789abcdef"[(value >> (4 * digit) & 15) as usize]));
}

/// Appends text.
pub fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}
