//! `px/`: GDB's `x/NFU`.

use super::layout::{Layout, shown};
use super::rows::{Cells, dump};
use super::text::{until_zero, visible_bytes};
use super::words::{decimal_cells, hex_cells, octal_cells};
use super::{checked_product, hex};
use crate::commands::{Arg, ArgKind, Command, Example, Run};
use crate::error::{Error, Kind, Result};
use crate::session::{Ctx, Permissions};

/// The commands.
pub const COMMANDS: &[Command] = &[Command {
    name: "px/",
    aliases: &["x/"],
    args: &[Arg::new("count format unit", ArgKind::Word)],
    summary: "print as GDB's x does: a count, a format (x d u o c s), a unit (b h w g)",
    details: "x hexadecimal, d decimal, u unsigned, o octal, c characters, s strings; b 1 byte, h 2, w 4, g 8.",
    needs: Permissions::READ,
    examples: &[
        Example { line: "w ABC; px/2xw", shows: "0x00000000  0x00434241 0x00000000                        ABC....." },
        Example { line: "w one; w two @ 4; px/2s", shows: "0x00000000 one\n0x00000004 two" },
        Example { line: "w ABC; px/4c", shows: "0x00000000  'A' 'B' 'C' '.'" },
    ],
    run: Run::Core(examine),
    ..Command::DEFAULT
}];

/// What stands after the slash.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    count: u64,
    format: u8,
    unit: usize,
}

impl Request {
    fn parse(text: &str) -> Result<Request> {
        let bad = |why: String| {
            Error::new(Kind::Usage, format!("'{text}': {why}")).hint("a count, a format of xduocs, a unit of bhwg: 2xw")
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let count = match &text[..digits] {
            "" => 1,
            count => count.parse().map_err(|_| bad("the count is too large".to_string()))?,
        };
        let mut request = Request { count, format: b'x', unit: 0 };
        for letter in text[digits..].bytes() {
            match letter {
                b'x' | b'd' | b'u' | b'o' | b'c' | b's' => request.format = letter,
                b'b' => request.unit = 1,
                b'h' => request.unit = 2,
                b'w' => request.unit = 4,
                b'g' => request.unit = 8,
                _ => return Err(bad(format!("'{}' is no format and no unit", letter.escape_ascii()))),
            }
        }
        if request.unit == 0 {
            request.unit = if matches!(request.format, b'c' | b'o') { 1 } else { 4 };
        }
        Ok(request)
    }
}

fn examine(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let request = Request::parse(ctx.word(0).unwrap_or_default())?;
    if request.format == b's' {
        return strings(ctx, request.count);
    }
    let length = checked_product(request.count, request.unit as u64)?;
    let address = ctx.view.seek;
    let layout = Layout::new(ctx);
    match (request.format, request.unit) {
        (b'x', 1) => hex::hexdump(ctx, address, length),
        (b'x', unit) => dump(ctx, address, length, layout, &hex_cells(unit)),
        (b'c', _) => dump(ctx, address, length, Layout { ascii: false, ..layout }, &character_cells()),
        (b'o', 1) => dump(ctx, address, length, layout, &octal_cells()),
        (b'o', unit) => dump(ctx, address, length, layout, &octal_words(unit)),
        (format, unit) => dump(ctx, address, length, layout, &decimal_cells(unit, format == b'd')),
    }
}

fn strings(ctx: &mut Ctx<'_, '_>, count: u64) -> Result<()> {
    let mut address = ctx.view.seek;
    for _ in 0..count {
        let string = until_zero(ctx, address)?;
        ctx.out.line(format_args!("0x{address:08x} {}", visible_bytes(&string)))?;
        address = address.wrapping_add(string.len() as u64 + 1);
    }
    Ok(())
}

fn character_cells() -> Cells {
    let render =
        |text: &mut Vec<u8>, bytes: &[u8], _: &Layout| text.extend_from_slice(&[b'\'', shown(bytes[0]), b'\'']);
    Cells { bytes: 1, width: 3, group: 1, gap: 1, header: false, render }
}

fn octal_words(size: usize) -> Cells {
    let width = 1 + (8 * size).div_ceil(3);
    Cells {
        bytes: size,
        width,
        group: 1,
        gap: 1,
        header: false,
        render: |text, bytes, layout| {
            let width = 1 + (8 * bytes.len()).div_ceil(3);
            text.extend_from_slice(format!("{:0width$o}", layout.number(bytes)).as_bytes());
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_requests() {
        assert_eq!(Request::parse("2xw").unwrap(), Request { count: 2, format: b'x', unit: 4 });
        assert_eq!(Request::parse("s").unwrap(), Request { count: 1, format: b's', unit: 4 });
        assert_eq!(Request::parse("10").unwrap(), Request { count: 10, format: b'x', unit: 4 });
        assert_eq!(Request::parse("3ob").unwrap(), Request { count: 3, format: b'o', unit: 1 });
        for wrong in ["2xz", "99999999999999999999x", "é", "-1x"] {
            assert_eq!(Request::parse(wrong).unwrap_err().kind(), Kind::Usage, "{wrong}");
        }
    }
}
