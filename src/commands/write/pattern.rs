//! `wop`: De Bruijn patterns, in which every group of three characters stands once, so that a value found in a
//! register tells where in the pattern it came from.

use super::{length, put};
use crate::commands::{Arg, ArgKind, Command, Example, Run, literal};
use crate::error::{Error, Kind, Result};
use crate::session::{Ctx, Permissions};

const LENGTH: &[Arg] = &[Arg::opt("len", ArgKind::Number)];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "wopD",
        args: LENGTH,
        summary: "write a De Bruijn pattern",
        needs: Permissions::WRITE,
        examples: &[Example { line: "wopD 9; p8 10", shows: "41414142414143414100" }],
        run: Run::Core(write),
        ..Command::DEFAULT
    },
    Command {
        name: "wopD*",
        args: LENGTH,
        summary: "show a De Bruijn pattern as a command",
        examples: &[Example { line: "wopD* 8", shows: "wx 4141414241414341" }],
        run: Run::Core(show),
        ..Command::DEFAULT
    },
    Command {
        name: "wopO",
        args: &[Arg::new("value", ArgKind::Number)],
        summary: "show where in a De Bruijn pattern a value stands",
        details: "The value is read as the 4 bytes (8, if it needs them) that cfg.bigendian makes of it.",
        examples: &[Example { line: "wopO 0x41424141", shows: "1" }],
        run: Run::Core(find),
        ..Command::DEFAULT
    },
];

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz1234567890";

/// Every group of so many characters is unique.
const GROUP: usize = 3;

fn write(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let bytes = de_bruijn(length(ctx, 0)?)?;
    put(ctx, ctx.view.seek, &bytes)
}

fn show(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let bytes = de_bruijn(length(ctx, 0)?)?;
    ctx.out.line(format_args!("wx {}", faster_hex::hex_string(&bytes)))
}

fn find(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = ctx.required(0)?;
    let width = if value > u64::from(u32::MAX) { 8 } else { 4 };
    let bytes = literal::number(value, width, ctx.option_bool("cfg.bigendian"));
    match memchr::memmem::find(&sequence(), &bytes) {
        Some(offset) => ctx.out.line(offset),
        None => Err(Error::new(Kind::NotFound, format!("0x{value:x} is not in the pattern"))),
    }
}

fn de_bruijn(length: u64) -> Result<Vec<u8>> {
    let mut sequence = sequence();
    match usize::try_from(length) {
        Ok(length) if length <= sequence.len() => {
            sequence.truncate(length);
            Ok(sequence)
        }
        _ => Err(Error::new(Kind::Limit, format!("a pattern of 0x{length:x} bytes would repeat itself"))
            .hint(format!("at most 0x{:x}", sequence.len()))),
    }
}

/// The whole pattern: the Lyndon words over the alphabet whose lengths divide the group's, in their order (the
/// algorithm of Fredricksen, Kessler and Maiorana).
fn sequence() -> Vec<u8> {
    let last = ALPHABET.len() - 1;
    let mut sequence = Vec::with_capacity(ALPHABET.len().pow(GROUP as u32));
    let mut word = vec![0usize];
    loop {
        if GROUP.is_multiple_of(word.len()) {
            sequence.extend(word.iter().map(|letter| ALPHABET[*letter]));
        }
        let length = word.len();
        while word.len() < GROUP {
            word.push(word[word.len() - length]);
        }
        while word.last() == Some(&last) {
            word.pop();
        }
        match word.last_mut() {
            Some(letter) => *letter += 1,
            None => return sequence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_stands_once() {
        let sequence = sequence();
        assert_eq!(sequence.len(), 62usize.pow(3));
        assert!(sequence.starts_with(b"AAABAACAADAAEAAF"));
        let groups: std::collections::HashSet<&[u8]> = sequence.windows(GROUP).collect();
        assert_eq!(groups.len(), sequence.len() - GROUP + 1);
    }

    #[test]
    fn a_pattern_is_as_long_as_asked_or_refused() {
        assert_eq!(de_bruijn(5).unwrap(), b"AAABA");
        assert!(de_bruijn(62 * 62 * 62).is_ok());
        assert!(de_bruijn(62 * 62 * 62 + 1).is_err());
    }
}
