//! `pp`: patterns that are easy to recognise in a register or a crash.

use super::LENGTH;
use super::checked_product;
use crate::commands::{Command, Example, Run};
use crate::error::Result;
use crate::session::Ctx;
use crate::session::context::CHUNK;

/// The commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "pp0",
        args: LENGTH,
        summary: "print a pattern of zeros",
        examples: &[Example { line: "pp0 4", shows: "00000000" }],
        run: Run::Core(|ctx| pattern(ctx, |_, _| 0)),
        ..Command::DEFAULT
    },
    Command {
        name: "ppf",
        args: LENGTH,
        summary: "print a pattern of 0xff",
        examples: &[Example { line: "ppf 4", shows: "ffffffff" }],
        run: Run::Core(|ctx| pattern(ctx, |_, _| 0xff)),
        ..Command::DEFAULT
    },
    Command {
        name: "pp1",
        args: LENGTH,
        summary: "print bytes that count from the low byte of the seek",
        examples: &[Example { line: "pp1 8", shows: "0001020304050607" }],
        run: Run::Core(|ctx| pattern(ctx, |at, order| counter(at, 1, order))),
        ..Command::DEFAULT
    },
    Command {
        name: "pp2",
        args: LENGTH,
        summary: "print 2-byte numbers, each its own address",
        examples: &[Example { line: "pp2 8", shows: "0000020004000600" }],
        run: Run::Core(|ctx| pattern(ctx, |at, order| counter(at, 2, order))),
        ..Command::DEFAULT
    },
    Command {
        name: "pp4",
        args: LENGTH,
        summary: "print 4-byte numbers, each its own address",
        examples: &[Example { line: "pp4 8 @ 0x10", shows: "1000000014000000" }],
        run: Run::Core(|ctx| pattern(ctx, |at, order| counter(at, 4, order))),
        ..Command::DEFAULT
    },
    Command {
        name: "pp8",
        args: LENGTH,
        summary: "print 8-byte numbers, each its own address",
        examples: &[Example { line: "pp8 8 @ 0x10", shows: "1000000000000000" }],
        run: Run::Core(|ctx| pattern(ctx, |at, order| counter(at, 8, order))),
        ..Command::DEFAULT
    },
    Command {
        name: "ppa",
        args: LENGTH,
        summary: "print the alphabet over and over",
        examples: &[Example { line: "ppa 4", shows: "41424344" }],
        run: Run::Core(|ctx| pattern(ctx, |at, _| b'A' + (at.index % 26) as u8)),
        ..Command::DEFAULT
    },
    Command {
        name: "ppn",
        args: LENGTH,
        summary: "print four-digit numbers that count up",
        examples: &[Example { line: "ppn 8", shows: "3030303030303031" }],
        run: Run::Core(|ctx| pattern(ctx, pin)),
        ..Command::DEFAULT
    },
    Command {
        name: "ppd",
        args: LENGTH,
        summary: "print a De Bruijn pattern: every three bytes of it are unique",
        examples: &[Example { line: "ppd 8", shows: "4141414241414341" }],
        run: Run::Core(ppd),
        ..Command::DEFAULT
    },
];

/// Where a byte of a pattern stands.
#[derive(Clone, Copy)]
struct At {
    /// From the start of the pattern.
    index: u64,
    /// Where the pattern starts.
    address: u64,
}

/// The byte of a counter of `size` bytes that counts with the address.
fn counter(at: At, size: u64, big_endian: bool) -> u8 {
    let within = at.index % size;
    let value = at.address.wrapping_add(at.index - within);
    let shift = if big_endian { size - 1 - within } else { within };
    (value >> (8 * shift)) as u8
}

fn pin(at: At, _: bool) -> u8 {
    let number = at.index / 4;
    let digit = number / 10u64.pow(3 - (at.index % 4) as u32) % 10;
    b'0' + digit as u8
}

fn pattern(ctx: &mut Ctx<'_, '_>, byte: impl Fn(At, bool) -> u8) -> Result<()> {
    let length = checked_product(ctx.number(0)?.unwrap_or(ctx.view.block_size), 1)?;
    let big_endian = ctx.option_bool("cfg.bigendian");
    let address = ctx.view.seek;
    let mut done = 0;
    while done < length {
        let count = (length - done).min(CHUNK as u64);
        let bytes: Vec<u8> = (done..done + count).map(|index| byte(At { index, address }, big_endian)).collect();
        ctx.out.write_all(faster_hex::hex_string(&bytes).as_bytes())?;
        done += count;
    }
    ctx.out.write_all(b"\n")
}

/// The letters of the De Bruijn pattern, in its order.
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz1234567890";

/// The start, `length` bytes, of the De Bruijn sequence in which every three letters stand together once.
///
/// The sequence is the Lyndon words whose lengths divide three, in lexicographic order.
pub fn de_bruijn(length: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(length + 3);
    for (first, a) in LETTERS.iter().enumerate() {
        text.push(*a);
        for b in &LETTERS[first..] {
            for c in &LETTERS[first + 1..] {
                if text.len() >= length {
                    text.truncate(length);
                    return text;
                }
                text.extend_from_slice(&[*a, *b, *c]);
            }
        }
    }
    text.truncate(length);
    text
}

fn ppd(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let length = checked_product(ctx.number(0)?.unwrap_or(ctx.view.block_size), 1)?;
    let text = de_bruijn(length.min(1 << 20) as usize);
    if (text.len() as u64) < length {
        ctx.out.note(format_args!("the pattern ends after {} bytes", text.len()));
    }
    ctx.out.line(faster_hex::hex_string(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_three_letters_are_unique() {
        let text = de_bruijn(usize::MAX >> 40);
        assert_eq!(text.len(), 62 * 62 * 62);
        let unique: std::collections::HashSet<&[u8]> = text.windows(3).collect();
        assert_eq!(unique.len(), text.len() - 2);
    }
}
