//! `p`: bytes as text.

pub mod art;
pub mod bars;
pub mod bytes;
pub mod code;
pub mod examine;
pub mod hex;
pub mod layout;
pub mod pattern;
pub mod plain;
pub mod reference;
pub mod rows;
pub mod text;
pub mod time;
pub mod value;
pub mod words;
pub mod zoom;

use super::{Arg, ArgKind, Command, Family};
use crate::error::{Error, Kind, Result};
use crate::session::context::LENGTH_LIMIT;

/// The family.
pub const FAMILY: Family = Family { name: "p", summary: "print bytes in many forms", commands: &COMMANDS };

/// Where the commands are declared.
const PARTS: &[&[Command]] = &[
    hex::COMMANDS,
    words::COMMANDS,
    reference::COMMANDS,
    examine::COMMANDS,
    bytes::COMMANDS,
    text::COMMANDS,
    value::COMMANDS,
    time::COMMANDS,
    code::COMMANDS,
    pattern::COMMANDS,
    bars::COMMANDS,
    zoom::COMMANDS,
    art::COMMANDS,
    super::analysis::listing::COMMANDS,
];

const COMMANDS: [Command; count(PARTS)] = concat(PARTS);

/// The argument that most commands of the family take: bytes, the block size when it is missing.
pub const LENGTH: &[Arg] = &[Arg::opt("len", ArgKind::Number)];

/// How many commands the parts of a family have.
pub(super) const fn count(parts: &[&[Command]]) -> usize {
    let (mut count, mut part) = (0, 0);
    while part < parts.len() {
        count += parts[part].len();
        part += 1;
    }
    count
}

/// The parts of a family in one.
pub(super) const fn concat<const N: usize>(parts: &[&[Command]]) -> [Command; N] {
    let mut all = [Command::DEFAULT; N];
    let (mut next, mut part) = (0, 0);
    while part < parts.len() {
        let mut index = 0;
        while index < parts[part].len() {
            all[next] = parts[part][index];
            next += 1;
            index += 1;
        }
        part += 1;
    }
    all
}

/// `count` things of `size` bytes as a length, within what a command takes.
pub fn checked_product(count: u64, size: u64) -> Result<u64> {
    count
        .checked_mul(size)
        .filter(|length| *length <= LENGTH_LIMIT)
        .ok_or_else(|| Error::new(Kind::Limit, format!("a count of {count} is too much")).hint("at most 1 TiB"))
}
