//! `?`: a number in every form at once.

use std::io::{self, Write};

use serde::Serialize;

use super::calculate;
use crate::error::Result;
use crate::number::{self, Evaluated};
use crate::output::{Item, Style};
use crate::session::Ctx;

pub fn report(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let expressions = number::join(&ctx.args.words);
    for expression in &expressions {
        let report = Report::new(calculate(ctx, expression)?);
        // One expression is one JSON object, several are a list.
        if expressions.len() == 1 {
            ctx.out.value(&report)?;
        } else {
            ctx.out.item(&report)?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Report {
    int32: String,
    uint32: String,
    int64: String,
    uint64: String,
    hex: String,
    octal: String,
    unit: String,
    segment: String,
    #[serde(skip)]
    string: String,
    fvalue: String,
    float: String,
    double: String,
    binary: String,
    trits: String,
    #[serde(skip)]
    value: u64,
}

impl Report {
    fn new(Evaluated { value, float }: Evaluated) -> Report {
        let low = value as u32;
        Report {
            int32: (low as i32).to_string(),
            uint32: low.to_string(),
            int64: (value as i64).to_string(),
            uint64: value.to_string(),
            hex: format!("0x{value:08x}"),
            octal: format!("0{value:o}"),
            unit: unit(value),
            segment: format!("{:04x}:{:04x}", value >> 16 << 12, value & 0xfff),
            string: string(value),
            fvalue: float_text(float, 1),
            float: format!("{}f", float_text(f32::from_bits(low).into(), 6)),
            double: float_text(f64::from_bits(value), 6),
            binary: binary(value),
            trits: trits(value),
            value,
        }
    }
}

impl Item for Report {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        if self.value > u64::from(u32::MAX) {
            writeln!(out, "int64   {}\nuint64  {}", self.int64, self.uint64)?;
        } else {
            writeln!(out, "int32   {}\nuint32  {}", self.int32, self.uint32)?;
        }
        writeln!(out, "hex     0x{:x}\noctal   {}", self.value, self.octal)?;
        writeln!(out, "unit    {}\nsegment {}", self.unit, self.segment)?;
        writeln!(out, "string  \"{}\"", self.string)?;
        writeln!(out, "fvalue: {}\nfloat:  {}\ndouble: {}", self.fvalue, self.float, self.double)?;
        writeln!(out, "binary  {}\ntrits   {}", self.binary, self.trits)
    }
}

/// A size in the largest unit that fits, with one decimal place unless it is whole.
pub fn unit(value: u64) -> String {
    let units = [(60, 'E'), (50, 'P'), (40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')];
    match units.iter().find(|(shift, _)| value >> shift > 0) {
        Some((shift, unit)) => {
            let amount = value as f64 / (1u64 << shift) as f64;
            if amount.fract() == 0.0 { format!("{amount:.0}{unit}") } else { format!("{amount:.1}{unit}") }
        }
        None => value.to_string(),
    }
}

/// The bytes up to the highest one that is not 0, the lowest first, escaped.
fn string(value: u64) -> String {
    let length = (8 - value.leading_zeros() as usize / 8).max(1);
    let mut text = String::new();
    for byte in &value.to_le_bytes()[..length] {
        match byte {
            0 => text.push_str("\\0"),
            7 => text.push_str("\\a"),
            8 => text.push_str("\\b"),
            9 => text.push_str("\\t"),
            10 => text.push_str("\\n"),
            11 => text.push_str("\\v"),
            12 => text.push_str("\\f"),
            13 => text.push_str("\\r"),
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}

/// As C's `%f` shows it, except that not-a-number has no sign.
fn float_text(float: f64, places: usize) -> String {
    if float.is_nan() { "nan".into() } else { format!("{float:.places$}") }
}

fn binary(value: u64) -> String {
    let digits = (64 - value.leading_zeros() as usize).max(1).next_multiple_of(8);
    format!("0b{value:0digits$b}")
}

fn trits(mut value: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from(b'0' + (value % 3) as u8));
        value /= 3;
        if value == 0 {
            return digits.iter().rev().fold("0t".into(), |text: String, digit| text + digit.encode_utf8(&mut [0; 4]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: u64, float: f64) -> String {
        let mut text = Vec::new();
        Report::new(Evaluated { value, float }).text(&mut text, Style::default()).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn one() {
        assert_eq!(
            text(1, 1.0),
            "int32   1\nuint32  1\nhex     0x1\noctal   01\nunit    1\nsegment 0000:0001\nstring  \"\\x01\"\n\
             fvalue: 1.0\nfloat:  0.000000f\ndouble: 0.000000\nbinary  0b00000001\ntrits   0t1\n"
        );
    }

    #[test]
    fn minus_one_is_64_bits_wide() {
        let text = text(u64::MAX, -1.0);
        assert!(text.starts_with("int64   -1\nuint64  18446744073709551615\nhex     0xffffffffffffffff\n"), "{text}");
        assert!(text.contains("unit    16E\n"), "{text}");
        assert!(text.contains("fvalue: -1.0\nfloat:  nanf\ndouble: nan\n"), "{text}");
    }

    #[test]
    fn zero() {
        let text = text(0, 0.0);
        assert!(text.contains("string  \"\\0\"\n"), "{text}");
        assert!(text.ends_with("binary  0b00000000\ntrits   0t0\n"), "{text}");
    }

    #[test]
    fn units() {
        for (value, expected) in
            [(0, "0"), (1023, "1023"), (1024, "1K"), (16706, "16.3K"), (1 << 20, "1M"), (3 << 29, "1.5G")]
        {
            assert_eq!(unit(value), expected);
        }
    }
}
