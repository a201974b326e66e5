//! `ps`, `pj`: bytes as text. Whatever could steer a terminal is made visible.

use std::io::Write;

use serde::Serialize;

use super::LENGTH;
use super::layout::{number, word_size};
use crate::commands::{Command, Example, Run};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::{Ctx, Permissions};

/// Printable characters in a row that make a string.
const STRING_MINIMUM: usize = 4;

/// How much text `pj` reads at most.
const JSON_LIMIT: usize = 64 << 20;

/// The commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "ps",
        args: LENGTH,
        summary: "print the string at the seek, or so many bytes as text",
        needs: Permissions::READ,
        examples: &[
            Example { line: "w Hello; ps", shows: "Hello" },
            Example { line: "w Hello; ps 7", shows: r"Hello\x00\x00" },
        ],
        run: Run::Core(ps),
        ..Command::DEFAULT
    },
    Command {
        name: "psz",
        args: LENGTH,
        summary: "print the zero-terminated string at the seek",
        needs: Permissions::READ,
        examples: &[Example { line: "w Hello; psz", shows: "Hello" }],
        run: Run::Core(psz),
        ..Command::DEFAULT
    },
    Command {
        name: "psx",
        args: LENGTH,
        summary: "print the block as text with everything beyond ASCII escaped",
        needs: Permissions::READ,
        examples: &[Example { line: "wx 7f454c46dead; psx 7", shows: r"\x7fELF\xde\xad\x00" }],
        run: Run::Core(psx),
        ..Command::DEFAULT
    },
    Command {
        name: "psb",
        args: LENGTH,
        summary: "print every string in the block",
        modes: &[Mode::Json, Mode::Quiet],
        needs: Permissions::READ,
        examples: &[
            Example { line: "w ABCD; w Hello @ 9; psb", shows: "0x00000000 ABCD\n0x00000009 Hello" },
            Example { line: "w ABCD; psbq", shows: "ABCD" },
            Example { line: "w ABCD; psbj", shows: r#"[{"offset":0,"string":"ABCD"}]"# },
        ],
        run: Run::Core(psb),
        ..Command::DEFAULT
    },
    Command {
        name: "psp",
        summary: "print a Pascal string: its first byte is its length",
        needs: Permissions::READ,
        examples: &[Example { line: "wx 0341424344; psp", shows: "ABC" }],
        run: Run::Core(psp),
        ..Command::DEFAULT
    },
    Command {
        name: "psw",
        aliases: &["psu"],
        args: LENGTH,
        summary: "print the UTF-16 string at the seek",
        needs: Permissions::READ,
        examples: &[Example { line: "wx 41004200; psw", shows: "AB" }],
        run: Run::Core(|ctx| wide(ctx, 2)),
        ..Command::DEFAULT
    },
    Command {
        name: "psW",
        args: LENGTH,
        summary: "print the UTF-32 string at the seek",
        needs: Permissions::READ,
        examples: &[Example { line: "wx 4100000042000000; psW", shows: "AB" }],
        run: Run::Core(|ctx| wide(ctx, 4)),
        ..Command::DEFAULT
    },
    Command {
        name: "psi",
        summary: "print the whole string that the seek is in",
        needs: Permissions::READ,
        examples: &[Example { line: "w Hello @ 4; psi @ 6", shows: "Hello" }],
        run: Run::Core(psi),
        ..Command::DEFAULT
    },
    Command {
        name: "pss",
        args: LENGTH,
        summary: "print the string at the seek, wrapped at the width of the screen",
        needs: Permissions::READ,
        examples: &[Example { line: "w Hello; pss", shows: "Hello" }],
        run: Run::Core(pss),
        ..Command::DEFAULT
    },
    Command {
        name: "ps+",
        summary: "print a libc++ std::string",
        details: "The layout follows asm.bits, which must be 32 or 64.",
        needs: Permissions::READ,
        examples: &[Example { line: "wx 0441424344; ps+", shows: "AB" }],
        run: Run::Core(ps_cpp),
        ..Command::DEFAULT
    },
    Command {
        name: "psj",
        args: LENGTH,
        summary: "print the block as a JSON string",
        details: "Each byte is one character of the string, so that nothing is lost.",
        needs: Permissions::READ,
        examples: &[Example {
            line: "wx 48e9; psj 3",
            shows: r#"{"string":"H\u00e9\u0000","offset":0,"section":"unknown","length":3,"type":"utf"}"#,
        }],
        run: Run::Core(psj),
        ..Command::DEFAULT
    },
    Command {
        name: "pj",
        args: LENGTH,
        summary: "print the JSON text at the seek, indented",
        needs: Permissions::READ,
        examples: &[Example { line: r#"w '{"a":[1]}'; pj"#, shows: "{\n  \"a\": [\n    1\n  ]\n}" }],
        run: Run::Core(pj),
        ..Command::DEFAULT
    },
];

/// `bytes` as text: UTF-8 as it is, control characters and other bytes as escapes.
pub fn visible_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&visible(chunk.valid()));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The bytes from `address` up to the first zero, at most a block of them.
pub fn until_zero(ctx: &mut Ctx<'_, '_>, address: u64) -> Result<Vec<u8>> {
    let block = ctx.read(address, ctx.view.block_size)?;
    Ok(cut_at_zero(block))
}

fn cut_at_zero(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(memchr::memchr(0, &bytes).unwrap_or(bytes.len()));
    bytes
}

fn ps(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if ctx.word(0).is_none() {
        let bytes = until_zero(ctx, ctx.view.seek)?;
        return ctx.out.line(visible_bytes(&bytes));
    }
    let (address, length) = ctx.range(0)?;
    // A character that lies across two chunks waits for its other half.
    let mut rest = Vec::new();
    ctx.read_chunks(address, length, |out, _, bytes| {
        rest.extend_from_slice(bytes);
        let whole = complete_length(&rest);
        out.write_all(visible_bytes(&rest[..whole]).as_bytes())?;
        rest.drain(..whole);
        Ok(())
    })?;
    ctx.out.line(visible_bytes(&rest))
}

/// How much of `bytes` can be shown without what follows: all but the start of a character at the very end.
fn complete_length(bytes: &[u8]) -> usize {
    let start = bytes.len().saturating_sub(3);
    for at in (start..bytes.len()).rev() {
        if let Err(error) = std::str::from_utf8(&bytes[at..])
            && error.error_len().is_none()
            && error.valid_up_to() == 0
        {
            return at;
        }
    }
    bytes.len()
}

fn psz(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let bytes = cut_at_zero(ctx.read(address, length)?);
    ctx.out.line(visible_bytes(&bytes))
}

fn psx(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let mut text = String::new();
    ctx.read_chunks(address, length, |out, _, bytes| {
        for bytes in bytes.chunks(1 << 14) {
            text.clear();
            for byte in bytes {
                match byte {
                    b'\n' => text.push_str("\\n"),
                    b'\r' => text.push_str("\\r"),
                    b'\t' => text.push_str("\\t"),
                    0x20..=0x7e => text.push(char::from(*byte)),
                    _ => text.push_str(&format!("\\x{byte:02x}")),
                }
            }
            out.write_all(text.as_bytes())?;
        }
        Ok(())
    })?;
    ctx.out.write_all(b"\n")
}

/// A string found in the block.
#[derive(Serialize)]
struct Found {
    offset: u64,
    string: String,
}

impl Item for Found {
    fn text(&self, out: &mut dyn Write, _style: Style) -> std::io::Result<()> {
        writeln!(out, "0x{:08x} {}", self.offset, self.string)
    }
    fn quiet(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "{}", self.string)
    }
}

fn psb(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let mut found = Found { offset: address, string: String::new() };
    ctx.read_chunks(address, length, |out, start, bytes| {
        for (index, byte) in bytes.iter().enumerate() {
            if matches!(byte, 0x20..=0x7e) {
                found.string.push(char::from(*byte));
                // A string without an end must not collect the whole address space.
                if found.string.len() < 1 << 16 {
                    continue;
                }
            }
            if found.string.len() >= STRING_MINIMUM {
                out.item(&found)?;
            }
            found.string.clear();
            found.offset = start.wrapping_add(index as u64 + 1);
        }
        Ok(())
    })?;
    if found.string.len() >= STRING_MINIMUM { ctx.out.item(&found) } else { Ok(()) }
}

fn psp(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let bytes = ctx.read(ctx.view.seek, 256)?;
    let length = usize::from(bytes[0]);
    ctx.out.line(visible_bytes(&bytes[1..1 + length]))
}

fn wide(ctx: &mut Ctx<'_, '_>, size: usize) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let big_endian = ctx.option_bool("cfg.bigendian");
    let bytes = ctx.read(address, length)?;
    let units = bytes.chunks_exact(size).map(|unit| number(unit, big_endian) as u32).take_while(|unit| *unit != 0);
    let text: String = if size == 2 {
        char::decode_utf16(units.map(|unit| unit as u16))
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    } else {
        units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    ctx.out.line(visible(&text))
}

fn psi(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let seek = ctx.view.seek;
    let back = ctx.view.block_size.min(seek);
    let before = ctx.read(seek - back, back)?;
    let inside = before.iter().rev().take_while(|byte| matches!(byte, 0x20..=0x7e)).count();
    let mut bytes = before[before.len() - inside..].to_vec();
    bytes.extend(until_zero(ctx, seek)?);
    ctx.out.line(visible_bytes(&bytes))
}

fn pss(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let bytes = cut_at_zero(ctx.read(address, length)?);
    let width = ctx.out.style().columns.max(1);
    let shown: Vec<char> = visible_bytes(&bytes).chars().collect();
    for line in shown.chunks(width) {
        ctx.out.line(line.iter().collect::<String>())?;
    }
    Ok(())
}

fn ps_cpp(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let seek = ctx.view.seek;
    let word = word_size(ctx);
    if word < 4 {
        return Err(Error::new(Kind::Unsupported, "std::string has no layout for this word size")
            .hint("set asm.bits to 32 or 64"));
    }
    let big_endian = ctx.option_bool("cfg.bigendian");
    let head = ctx.read(seek, 3 * word as u64)?;
    // The lowest bit of the first byte tells a pointer to a long text from a short text in place.
    let bytes = if head[0] & 1 == 1 {
        let length = number(&head[word..2 * word], big_endian);
        ctx.read(number(&head[2 * word..], big_endian), length)?
    } else {
        let length = usize::from(head[0] >> 1).min(head.len() - 1);
        head[1..1 + length].to_vec()
    };
    ctx.out.line(visible_bytes(&bytes))
}

fn psj(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let mut high = false;
    let mut text = String::new();
    ctx.out.write_all(b"{\"string\":\"")?;
    ctx.read_chunks(address, length, |out, _, bytes| {
        for bytes in bytes.chunks(1 << 14) {
            text.clear();
            for byte in bytes {
                high |= *byte >= 0x80;
                match byte {
                    b'"' => text.push_str("\\\""),
                    b'\\' => text.push_str("\\\\"),
                    b'\n' => text.push_str("\\n"),
                    b'\r' => text.push_str("\\r"),
                    b'\t' => text.push_str("\\t"),
                    0x20..=0x7e => text.push(char::from(*byte)),
                    _ => text.push_str(&format!("\\u{byte:04x}")),
                }
            }
            out.write_all(text.as_bytes())?;
        }
        Ok(())
    })?;
    let section = ctx.core.io.space.at(address).and_then(|map| map.name.as_deref()).unwrap_or("unknown");
    let section = serde_json::Value::from(section);
    let kind = if high { "utf" } else { "ascii" };
    ctx.out
        .line(format_args!("\",\"offset\":{address},\"section\":{section},\"length\":{length},\"type\":\"{kind}\"}}"))
}

fn pj(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let seek = ctx.view.seek;
    let text = if ctx.word(0).is_some() {
        let (address, length) = ctx.range(0)?;
        ctx.read(address, length)?
    } else {
        let mut text = Vec::new();
        // The text ends at a zero byte, wherever that is.
        while text.len() < JSON_LIMIT {
            let piece = ctx.read(seek.wrapping_add(text.len() as u64), 1 << 14)?;
            ctx.out.cancel().check()?;
            let end = memchr::memchr2(0, 0xff, &piece);
            text.extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
            if end.is_some() {
                break;
            }
        }
        text
    };
    let bad = |why: String| Error::new(Kind::Format, format!("no JSON text at 0x{seek:08x}: {why}"));
    let mut values = serde_json::Deserializer::from_slice(&text).into_iter::<serde_json::Value>();
    let value = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(error)) => return Err(bad(error.to_string())),
        None => return Err(bad("nothing is there".to_string())),
    };
    let pretty = serde_json::to_string_pretty(&value).map_err(|error| bad(error.to_string()))?;
    for line in pretty.lines() {
        ctx.out.line(visible(line))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_visible() {
        assert_eq!(visible_bytes(b"a\x1b[0m\n\xff\xc3\xa9"), "a\\x1b[0m\\n\\xffé");
    }

    #[test]
    fn characters_are_not_cut() {
        assert_eq!(complete_length("aé".as_bytes()), 3);
        assert_eq!(complete_length(b"a\xc3"), 1);
        assert_eq!(complete_length(b"\xff\xe2\x82"), 1);
        assert_eq!(complete_length(b"\xff"), 1);
    }
}
