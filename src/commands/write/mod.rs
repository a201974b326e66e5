//! `w`: write bytes.
//!
//! Every command looks at its arguments and at the place it is to write to before it changes the first byte.

mod block;
mod copy;
mod dump;
mod extend;
mod mask;
mod pattern;
mod text;
mod values;

use super::{Command, Family};
use crate::error::{Error, Kind, Result};
use crate::session::context::{CHUNK, LENGTH_LIMIT};
use crate::session::{Ctx, scope};

/// The family.
pub const FAMILY: Family = Family { name: "w", summary: "write bytes", commands: COMMANDS };

const PARTS: &[&[Command]] = &[
    text::COMMANDS,
    values::COMMANDS,
    copy::COMMANDS,
    dump::COMMANDS,
    mask::COMMANDS,
    extend::COMMANDS,
    block::COMMANDS,
    pattern::COMMANDS,
];

const COMMANDS: &[Command] = &joined();

const fn count() -> usize {
    let (mut count, mut part) = (0, 0);
    while part < PARTS.len() {
        count += PARTS[part].len();
        part += 1;
    }
    count
}

const fn joined() -> [Command; count()] {
    let mut commands = [Command::DEFAULT; count()];
    let (mut at, mut part) = (0, 0);
    while part < PARTS.len() {
        let mut index = 0;
        while index < PARTS[part].len() {
            commands[at] = PARTS[part][index];
            at += 1;
            index += 1;
        }
        part += 1;
    }
    commands
}

/// The most bytes that one command holds back in memory (`io.cache`).
const CACHED_LIMIT: u64 = 256 << 20;

/// Writes `data` at `address`, all of it or nothing.
pub fn put(ctx: &mut Ctx<'_, '_>, address: u64, data: &[u8]) -> Result<()> {
    check(ctx, address, data.len() as u64)?;
    ctx.write(address, data)
}

/// Whether `length` bytes at `address` may be written.
fn check(ctx: &Ctx<'_, '_>, address: u64, length: u64) -> Result<()> {
    let settings = scope::settings(ctx.core, ctx.view);
    if settings.cache && length > CACHED_LIMIT {
        return Err(Error::new(Kind::Limit, format!("0x{length:x} bytes are too many to hold back at once"))
            .hint("at most 256 MiB; or set io.cache=false"));
    }
    ctx.core.io.check_writable(&settings, address, length)
}

/// Writes `length` bytes at `address` in pieces whose lengths are multiples of 8, each filled in by `fill`, which
/// gets the offset of the piece.
fn stream(
    ctx: &mut Ctx<'_, '_>,
    address: u64,
    length: u64,
    mut fill: impl FnMut(&mut Ctx<'_, '_>, u64, &mut [u8]) -> Result<()>,
) -> Result<()> {
    check(ctx, address, length)?;
    // The write mask starts anew with every write, so that pieces must not cut it.
    let step = 8 * ctx.core.write_mask.len().max(1);
    let mut buffer = vec![0; (CHUNK - CHUNK % step).min(usize::try_from(length).unwrap_or(CHUNK))];
    let mut done = 0;
    while done < length {
        ctx.out.cancel().check()?;
        let count = (length - done).min(buffer.len() as u64) as usize;
        fill(ctx, done, &mut buffer[..count])?;
        ctx.write(address.wrapping_add(done), &buffer[..count])?;
        done += count as u64;
    }
    Ok(())
}

/// The length at `index` of the arguments; the block size when it is not there.
fn length(ctx: &mut Ctx<'_, '_>, index: usize) -> Result<u64> {
    let length = ctx.number(index)?.unwrap_or(ctx.view.block_size);
    if length > LENGTH_LIMIT {
        return Err(
            Error::new(Kind::Limit, format!("a length of 0x{length:x} bytes is too much")).hint("at most 1 TiB")
        );
    }
    Ok(length)
}
