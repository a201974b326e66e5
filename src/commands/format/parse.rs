//! Format strings: letters with sizes, counts, pointers and names, parsed before a byte is read.

use crate::error::{Error, Kind, Result};

/// A parsed format string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// All fields start at the same address.
    pub union: bool,
    /// How often the whole stands in a row.
    pub repeat: Repeat,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

/// How often a format stands in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repeat {
    /// Once.
    Once,
    /// `3xw`: so many elements, shown with their numbers.
    Numbered(u64),
    /// `{expression}xw`: so many, one after the other.
    Plain(String),
}

/// One step through a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Moves on (or back) by bytes.
    Skip(i64),
    /// `e`: the other order of bytes from here on.
    SwapEndian,
    /// `+`: show flags beside values, or no longer.
    ToggleFlags,
    /// A field.
    Field(Spec),
}

/// The declaration of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// What it holds.
    pub kind: Holds,
    /// `[expression]`: elements of an array, or bytes of a string.
    pub count: Option<String>,
    /// `*`: the field is a pointer to what it describes.
    pub pointer: bool,
    /// Its name.
    pub name: Option<String>,
    /// `(type)` in front of the name: the format of a nested structure, an enumeration, a bit field.
    pub type_name: Option<String>,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// `b`: a byte in hexadecimal.
    Byte,
    /// `c`: a character.
    Char,
    /// `C`: a byte in decimal.
    Decimal,
    /// `w`: two bytes in hexadecimal.
    Word,
    /// `d`, `i`: four bytes, signed decimal.
    Int(char),
    /// `x`: four bytes in hexadecimal.
    Hex,
    /// `o`: four bytes in octal.
    Octal,
    /// `q`: eight bytes in hexadecimal.
    Quad,
    /// `Q`: sixteen bytes in hexadecimal.
    Oct,
    /// `p`: an address.
    Pointer,
    /// `n1`...: a signed number of so many bytes.
    Signed(u8),
    /// `N1`...: an unsigned number of so many bytes.
    Unsigned(u8),
    /// `f`: a floating-point number of four bytes.
    Float,
    /// `F`: a floating-point number of eight bytes.
    Double,
    /// `z`: a string up to its zero byte.
    String,
    /// `Z`: a string of two-byte characters.
    Wide,
    /// `s`, `S`: the address (of so many bytes) of a string.
    StringPointer(u8),
    /// `t`: seconds since 1970, in four bytes.
    Time,
    /// `u`: a number in ULEB128.
    Uleb,
    /// `D`: an instruction.
    Code,
    /// `r(name)`: a register, whose value takes no memory.
    Register,
    /// `X`: bytes in hexadecimal.
    Bytes,
    /// `T`: ten bytes in hexadecimal.
    Ten,
    /// `E(name)`: a value of an enumeration.
    Enum,
    /// `B(name)`: a bit field.
    Bits,
    /// `?(name)`: another format.
    Structure,
}

impl Holds {
    /// The letters of the format string.
    pub fn letters(self) -> String {
        match self {
            Holds::Byte => "b".into(),
            Holds::Char => "c".into(),
            Holds::Decimal => "C".into(),
            Holds::Word => "w".into(),
            Holds::Int(letter) => letter.into(),
            Holds::Hex => "x".into(),
            Holds::Octal => "o".into(),
            Holds::Quad => "q".into(),
            Holds::Oct => "Q".into(),
            Holds::Pointer => "p".into(),
            Holds::Signed(size) => format!("n{size}"),
            Holds::Unsigned(size) => format!("N{size}"),
            Holds::Float => "f".into(),
            Holds::Double => "F".into(),
            Holds::String => "z".into(),
            Holds::Wide => "Z".into(),
            Holds::StringPointer(4) => "s".into(),
            Holds::StringPointer(_) => "S".into(),
            Holds::Time => "t".into(),
            Holds::Uleb => "u".into(),
            Holds::Code => "D".into(),
            Holds::Register => "r".into(),
            Holds::Bytes => "X".into(),
            Holds::Ten => "T".into(),
            Holds::Enum => "E".into(),
            Holds::Bits => "B".into(),
            Holds::Structure => "?".into(),
        }
    }

    /// Whether `[n]` in front of it is its size in bytes, not the length of an array.
    pub fn counts_bytes(self) -> bool {
        matches!(self, Holds::String | Holds::Wide | Holds::Bytes | Holds::Enum | Holds::Bits)
    }
}

/// Parses `FORMAT [name ...]`.
pub fn parse(text: &str) -> Result<Format> {
    let text = text.trim();
    let end = format_end(text);
    let mut names = text[end..].split_whitespace();
    let mut rest = &text[..end];
    let union = rest.starts_with('0');
    if union {
        rest = &rest[1..];
    }
    let repeat;
    (repeat, rest) = parse_repeat(rest)?;
    let mut steps = Vec::new();
    let (mut count, mut pointer) = (None, false);
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        let step = match letter {
            '[' => {
                let (expression, after) = bracketed(rest, '[', ']')?;
                (count, rest) = (Some(expression.to_string()), after);
                continue;
            }
            '*' => {
                pointer = true;
                continue;
            }
            '.' => Step::Skip(1),
            ':' => Step::Skip(4),
            ',' => Step::Skip(-1),
            ';' => Step::Skip(-4),
            'e' => Step::SwapEndian,
            '+' => Step::ToggleFlags,
            'n' | 'N' => {
                let size = match rest.as_bytes().first() {
                    Some(digit @ (b'1' | b'2' | b'4' | b'8')) => digit - b'0',
                    _ => return Err(bad(format!("no size behind '{letter}'")).hint("1, 2, 4 or 8, as in 'n4'")),
                };
                rest = &rest[1..];
                let kind = if letter == 'n' { Holds::Signed(size) } else { Holds::Unsigned(size) };
                Step::Field(Spec { kind, count: count.take(), pointer, name: None, type_name: None })
            }
            _ => {
                let kind = kind(letter)?;
                Step::Field(Spec { kind, count: count.take(), pointer, name: None, type_name: None })
            }
        };
        let step = match step {
            Step::Field(spec) => Step::Field(named(spec, &mut names)?),
            step if count.is_some() || pointer => {
                return Err(bad(format!("'[' or '*' in front of '{letter}', which is no field"))
                    .hint(format!("step {} of the format: {step:?}", steps.len() + 1)));
            }
            step => step,
        };
        steps.push(step);
        pointer = false;
    }
    if count.is_some() || pointer {
        return Err(bad("it ends in a '[...]' or '*' that belongs to no field"));
    }
    if steps.is_empty() {
        return Err(bad("it has no fields").hint("letters of fields, then names, as in 'pf xz id name'"));
    }
    if let Some(name) = names.next() {
        return Err(bad(format!("no field is left for the name '{name}'")));
    }
    Ok(Format { union, repeat, steps })
}

fn bad(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Syntax, format!("bad format: {what}"))
}

fn kind(letter: char) -> Result<Holds> {
    Ok(match letter {
        'b' => Holds::Byte,
        'c' => Holds::Char,
        'C' => Holds::Decimal,
        'w' => Holds::Word,
        'd' | 'i' => Holds::Int(letter),
        'x' => Holds::Hex,
        'o' => Holds::Octal,
        'q' => Holds::Quad,
        'Q' => Holds::Oct,
        'p' => Holds::Pointer,
        'f' => Holds::Float,
        'F' => Holds::Double,
        'z' => Holds::String,
        'Z' => Holds::Wide,
        's' => Holds::StringPointer(4),
        'S' => Holds::StringPointer(8),
        't' => Holds::Time,
        'u' => Holds::Uleb,
        'X' => Holds::Bytes,
        'T' => Holds::Ten,
        'E' => Holds::Enum,
        'B' => Holds::Bits,
        '?' => Holds::Structure,
        'D' => Holds::Code,
        'r' => Holds::Register,
        _ => return Err(bad(format!("unknown letter '{letter}'")).hint("'pf??' explains the letters")),
    })
}

/// Gives a field its name: the next word, with its type in parentheses where the field needs one.
fn named<'a>(mut spec: Spec, names: &mut impl Iterator<Item = &'a str>) -> Result<Spec> {
    let word = names.next();
    let needs_type = matches!(spec.kind, Holds::Structure | Holds::Enum | Holds::Bits | Holds::Register);
    let Some(word) = word else {
        if spec.kind == Holds::Structure {
            return Err(bad("no format is named for '?'").hint("as in 'pf ? (name)field'"));
        }
        if spec.kind == Holds::Register {
            return Err(bad("no register is named for 'r'").hint("as in 'pf r (rip)pc'"));
        }
        return Ok(spec);
    };
    let mut name = word;
    if needs_type && let Some(rest) = word.strip_prefix('(') {
        let (type_name, after) = bracketed(rest, '(', ')')?;
        spec.type_name = Some(type_name.to_string());
        name = after;
    }
    if spec.kind == Holds::Structure && spec.type_name.as_deref().unwrap_or("").is_empty() {
        return Err(bad(format!("no format is named in '{word}'")).hint("as in 'pf ? (name)field'"));
    }
    if spec.kind == Holds::Register && spec.type_name.is_none() {
        // 'pf r rip': the register is the name.
        spec.type_name = Some(name.to_string());
    }
    if spec.kind == Holds::Register && (spec.pointer || spec.count.is_some()) {
        return Err(bad("a register is no pointer and no array"));
    }
    if !name.is_empty() {
        spec.name = Some(name.to_string());
    }
    Ok(spec)
}

/// The repetition at the start of a format, and the rest.
fn parse_repeat(text: &str) -> Result<(Repeat, &str)> {
    if let Some(rest) = text.strip_prefix('{') {
        let (expression, after) = bracketed(rest, '{', '}')?;
        return Ok((Repeat::Plain(expression.to_string()), after));
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Ok((Repeat::Once, text));
    }
    let times = text[..digits].parse().map_err(|_| bad(format!("the count {} is too large", &text[..digits])))?;
    Ok((if times == 1 { Repeat::Once } else { Repeat::Numbered(times) }, &text[digits..]))
}

/// Where the format ends and the names begin: the first blank outside of brackets.
fn format_end(text: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            c if c.is_whitespace() && depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// The text up to the bracket that closes one before it, and what follows.
fn bracketed(text: &str, open: char, close: char) -> Result<(&str, &str)> {
    let mut depth = 1usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                let inside = text[..at].trim();
                if inside.is_empty() {
                    return Err(bad(format!("nothing between '{open}' and '{close}'")));
                }
                return Ok((inside, &text[at + close.len_utf8()..]));
            }
        }
    }
    Err(bad(format!("'{open}' without '{close}'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<Spec> {
        let steps = parse(text).unwrap().steps;
        steps.into_iter().filter_map(|step| if let Step::Field(spec) = step { Some(spec) } else { None }).collect()
    }

    #[test]
    fn letters_counts_pointers_and_names() {
        let parsed = fields("x[*0x20]c*?n4 a b (st)c");
        assert_eq!(parsed.len(), 4);
        assert_eq!(parsed[0].name.as_deref(), Some("a"));
        assert_eq!(parsed[1].count.as_deref(), Some("*0x20"));
        assert!(parsed[2].pointer && !parsed[3].pointer);
        assert_eq!(parsed[2].type_name.as_deref(), Some("st"));
        assert_eq!(
            parsed[3],
            Spec { kind: Holds::Signed(4), count: None, pointer: false, name: None, type_name: None }
        );
    }

    #[test]
    fn repetitions_and_unions() {
        assert_eq!(parse("2xw").unwrap().repeat, Repeat::Numbered(2));
        assert_eq!(parse("{n + 1}xw").unwrap().repeat, Repeat::Plain("n + 1".into()));
        let union = parse("0xw").unwrap();
        assert!(union.union && union.repeat == Repeat::Once && union.steps.len() == 2);
    }

    #[test]
    fn wrong_formats_are_refused() {
        for wrong in [
            "",
            "y",
            "[3",
            "[3]",
            "*",
            "[]x",
            "n",
            "n3",
            "?",
            "? name",
            "? ()name",
            "x a b",
            "2",
            "{2",
            "[2].",
            "*e",
            "99999999999999999999x",
            "é",
            "r",
            "*r rip",
            "]",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "[\\[\\]{}()*?0-9a-zA-Z.:;,+é ]{0,24}") {
            let _ = parse(&text);
        }
    }
}
