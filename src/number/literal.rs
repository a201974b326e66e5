//! The spellings of numbers that stand for themselves.

use super::Evaluated;

/// The value of `word`, which begins with a digit and holds letters, digits, `_` and `.` only. The error is what is
/// wrong with it, to be followed by the word itself.
pub fn parse(word: &str) -> Result<Evaluated, String> {
    if let Some(digits) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        return match digits.split_once("..") {
            Some((head, tail)) => sign_extended(head, tail),
            None => digits_of(&digits.replace('_', ""), 16),
        }
        .map(Evaluated::new);
    }
    if let "1u8" | "1u16" | "1u32" | "1u64" = word {
        let bits: u32 = word[2..].parse().unwrap_or(64);
        return Ok(Evaluated::new(u64::MAX >> (64 - bits)));
    }
    let (body, suffix) = match word.char_indices().next_back() {
        Some((end, suffix)) if suffix.is_ascii_alphabetic() => (&word[..end], Some(suffix)),
        _ => (word, None),
    };
    // Before the prefix 0b: 0b1h is hexadecimal.
    if suffix == Some('h') {
        return digits_of(body, 16).map(Evaluated::new);
    }
    let prefixed = [("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8)];
    if let Some((prefix, radix)) = prefixed.iter().find(|(prefix, _)| word.starts_with(prefix)) {
        return digits_of(&word[prefix.len()..].replace('_', ""), *radix).map(Evaluated::new);
    }
    match suffix {
        Some('b') => digits_of(body, 2).map(Evaluated::new),
        Some('o') => digits_of(body, 8).map(Evaluated::new),
        Some('t') => digits_of(body, 3).map(Evaluated::new),
        Some('k' | 'K') => scaled(body, 10),
        Some('m' | 'M') => scaled(body, 20),
        Some('g' | 'G') => scaled(body, 30),
        _ if word.contains('.') => fraction(word).map(|float| Evaluated { value: float as u64, float }),
        _ if word.len() > 1 && word.starts_with('0') => digits_of(word, 8).map(Evaluated::new),
        _ => digits_of(word, 10).map(Evaluated::new),
    }
}

/// A segment and an offset, each exactly four hexadecimal digits with or without `0x`: `7c00:0010`. Returns the
/// linear address and the length of the text that it took.
pub fn segment(text: &str) -> Option<(u64, usize)> {
    let prefix = |text: &str| if text.starts_with("0x") { 2 } else { 0 };
    let group = |text: &str| {
        text.get(..4)
            .filter(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|group| u64::from_str_radix(group, 16).ok())
    };
    let first = prefix(text);
    let segment = group(&text[first..])?;
    let tail = text[first + 4..].strip_prefix(':')?;
    let second = prefix(tail);
    // An offset with 0x under a bare segment is not a form that anybody writes.
    if second > first {
        return None;
    }
    let offset = group(&tail[second..])?;
    if tail[second + 4..].starts_with(|c: char| c.is_alphanumeric() || "_.:".contains(c)) {
        return None;
    }
    Some(((segment << 4) + offset, first + 4 + 1 + second + 4))
}

/// The value of up to 16 hexadecimal digits and the mask of the bits that they cover.
pub fn low_digits(digits: &str) -> Option<(u64, u64)> {
    if digits.len() > 16 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let value = u64::from_str_radix(digits, 16).ok()?;
    Some((value, u64::MAX >> (64 - 4 * digits.len() as u32)))
}

/// `0xff..12`: the digits of `tail`, and `f` in every place above them.
fn sign_extended(head: &str, tail: &str) -> Result<u64, String> {
    if head.is_empty() || !head.bytes().all(|b| b.eq_ignore_ascii_case(&b'f')) {
        return Err("only the digit f may stand before the dots in".into());
    }
    let (value, mask) =
        low_digits(tail).ok_or_else(|| String::from("hexadecimal digits (at most 16) must follow the dots in"))?;
    Ok(value | !mask)
}

fn digits_of(digits: &str, radix: u32) -> Result<u64, String> {
    let kind = match radix {
        2 => "binary",
        3 => "ternary",
        8 => "octal",
        10 => "decimal",
        _ => "hexadecimal",
    };
    if digits.is_empty() {
        return Err(format!("{kind} digits are missing in"));
    }
    if let Some(wrong) = digits.chars().find(|c| !c.is_digit(radix)) {
        let article = if radix == 8 { "an" } else { "a" };
        return Err(format!("'{wrong}' is not {article} {kind} digit in"));
    }
    u64::from_str_radix(digits, radix).map_err(|_| "more than 64 bits in the number".into())
}

/// A number in units of two to the power of `shift`.
fn scaled(body: &str, shift: u32) -> Result<Evaluated, String> {
    let unit = (1u64 << shift) as f64;
    if body.contains('.') {
        let float = fraction(body)? * unit;
        return Ok(Evaluated { value: float as u64, float });
    }
    let count = digits_of(body, 10)?;
    let value = count.checked_mul(1 << shift).ok_or("more than 64 bits in the number")?;
    Ok(Evaluated::new(value))
}

fn fraction(word: &str) -> Result<f64, String> {
    let bad = || String::from("digits and one '.' expected in the number");
    let (whole, part) = word.split_once('.').ok_or_else(bad)?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return Err(bad());
    }
    let float: f64 = word.parse().map_err(|_| bad())?;
    if float < u64::MAX as f64 { Ok(float) } else { Err("more than 64 bits in the number".into()) }
}
