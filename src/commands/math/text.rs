//! Commands about text.

use std::cmp::Ordering;
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::error::{Error, Kind, Result};
use crate::output::{Item, Style, visible};
use crate::session::Ctx;

pub fn echo(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    echo_open(ctx)?;
    ctx.out.write_all(b"\n")
}

pub fn echo_open(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    ctx.out.write_all(&unescape(&ctx.args.text))
}

/// `text` with `\n`, `\t`, `\r`, `\e`, `\\` and `\xHH` expanded; other backslashes stay.
fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut expanded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let (byte, length) = match &bytes[at..] {
            [b'\\', b'n', ..] => (b'\n', 2),
            [b'\\', b't', ..] => (b'\t', 2),
            [b'\\', b'r', ..] => (b'\r', 2),
            [b'\\', b'e', ..] => (0x1b, 2),
            [b'\\', b'\\', ..] => (b'\\', 2),
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex_digit(*high) << 4 | hex_digit(*low), 4)
            }
            _ => (bytes[at], 1),
        };
        expanded.push(byte);
        at += length;
    }
    expanded
}

/// The value of an ASCII hexadecimal digit.
fn hex_digit(digit: u8) -> u8 {
    char::from(digit).to_digit(16).unwrap_or(0) as u8
}

pub fn hexpairs(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    ctx.out.line(faster_hex::hex_string(ctx.args.text.as_bytes()))
}

pub fn from_hexpairs(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let digits = ctx.args.words.concat();
    let mut bytes = vec![0; digits.len() / 2];
    faster_hex::hex_decode(digits.as_bytes(), &mut bytes)
        .map_err(|_| Error::new(Kind::Usage, format!("'{}' is not pairs of hexadecimal digits", visible(&digits))))?;
    as_text(ctx, &bytes)
}

pub fn base64(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    ctx.out.line(STANDARD.encode(&ctx.args.text))
}

pub fn from_base64(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let text = ctx.args.words.concat();
    let bytes = STANDARD
        .decode(&text)
        .map_err(|e| Error::new(Kind::Usage, format!("'{}' is not base64: {e}", visible(&text))))?;
    as_text(ctx, &bytes)
}

/// Prints bytes that may come from anywhere as a line of text.
fn as_text(ctx: &mut Ctx<'_, '_>, bytes: &[u8]) -> Result<()> {
    ctx.out.line(visible(&String::from_utf8_lossy(bytes)))
}

pub fn hash(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let hash = ctx.args.text.bytes().fold(5381u32, |hash, byte| hash ^ hash << 5 ^ u32::from(byte));
    ctx.view.last = hash.into();
    ctx.out.line(format_args!("0x{hash:08x}"))
}

#[derive(Serialize)]
struct Length(usize);

impl Item for Length {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "{}", self.0)
    }
    fn quiet(&self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

pub fn length(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let length = ctx.args.text.len();
    ctx.view.last = length as u64;
    ctx.out.value(&Length(length))
}

pub fn compare(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    ctx.view.last = match ctx.word(0).cmp(&ctx.word(1)) {
        Ordering::Equal => 0,
        Ordering::Greater => 1,
        Ordering::Less => u64::MAX,
    };
    Ok(())
}

pub fn yank(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if !ctx.args.text.is_empty() {
        ctx.core.yank = Some((ctx.view.seek, ctx.args.text.as_bytes().to_vec()));
        return Ok(());
    }
    match ctx.core.yank.clone() {
        Some((_, bytes)) => as_text(ctx, &bytes),
        None => Err(Error::new(Kind::NotFound, "nothing is yanked").hint("'y LEN' yanks bytes, '?y TEXT' text")),
    }
}

/// Names of the control characters.
const CONTROL: [&str; 33] = [
    "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "HT", "LF", "VT", "FF", "CR", "SO", "SI", "DLE",
    "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS", "US", "SP",
];

pub fn ascii(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let cell = |code: u8| {
        let name = match code {
            0..=32 => CONTROL[usize::from(code)].to_string(),
            127 => "DEL".to_string(),
            _ => char::from(code).to_string(),
        };
        format!("{code:03o}  {code:3}  {code:02x}  {name}")
    };
    ctx.out.line("oct  dec  hex char    oct  dec  hex char")?;
    (0..64).try_for_each(|code| ctx.out.line(format_args!("{:<22}{}", cell(code), cell(code + 64))))
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
    os: &'static str,
    arch: &'static str,
    bits: u32,
}

impl Item for Version {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "{} @ {}-{}-{}", self.version, self.os, self.arch, self.bits)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.version)
    }
}

pub fn version(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    // The name of the processor family, without the width that follows it.
    let arch = match std::env::consts::ARCH {
        "x86_64" => "x86",
        "aarch64" => "arm",
        other => other,
    };
    ctx.out.value(&Version { version: env!("CARGO_PKG_VERSION"), os: std::env::consts::OS, arch, bits: usize::BITS })
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn escapes() {
        for (text, expected) in [
            (r"a\nb", &b"a\nb"[..]),
            (r"\x3bWorld", b";World"),
            (r"\xff", b"\xff"),
            (r"\xzz", br"\xzz"),
            (r"\q\", br"\q\"),
            (r"\\n", br"\n"),
            ("\u{e9}", "\u{e9}".as_bytes()),
        ] {
            assert_eq!(unescape(text), expected, "{text}");
        }
    }
}
