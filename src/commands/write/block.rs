//! `wo`: operations on the bytes of the block.

use super::stream;
use crate::commands::{Arg, ArgKind, Command, Example, Run, literal};
use crate::error::{Error, Kind, Result};
use crate::session::{Ctx, Permissions};

const KEY: &[Arg] = &[Arg::opt("key", ArgKind::Hex)];
const NEEDS: Permissions = Permissions::WRITE.and(Permissions::READ);

type Function = fn(&mut Ctx<'_, '_>) -> Result<()>;

pub(super) const COMMANDS: &[Command] = &[
    keyed(
        "wox",
        "xor the block with a key",
        wox,
        &[
            Example { line: "w helloworld; wox 0xab; p8 10", shows: "c3cec7c7c4dcc4d9c7cf" },
            Example { line: "w helloworld; wox 0xabcd; p8 10", shows: "a5cea1c7a2dca2d9a1cf" },
        ],
    ),
    keyed("woa", "add a key to the block", woa, &[Example { line: "wx 0001ff; woa 01; p8 4", shows: "01020001" }]),
    keyed("wos", "subtract a key from the block", wos, &[Example { line: "wx 0203; wos 0102; p8 2", shows: "0101" }]),
    keyed("woA", "and the block with a key", wo_and, &[Example { line: "wx abcd; woA 0f; p8 2", shows: "0b0d" }]),
    keyed("woo", "or the block with a key", woo, &[Example { line: "wx 0102; woo f0; p8 3", shows: "f1f2f0" }]),
    keyed("wom", "multiply the block by a key", wom, &[Example { line: "wx 0180; wom 03; p8 2", shows: "0380" }]),
    keyed("wod", "divide the block by a key", wod, &[Example { line: "wx 0907; wod 02; p8 2", shows: "0403" }]),
    keyed("wol", "shift the bytes of the block left", wol, &[Example { line: "wx 0181; wol 01; p8 2", shows: "0202" }]),
    keyed(
        "wor",
        "shift the bytes of the block right",
        wor,
        &[Example { line: "wx 0281; wor 01; p8 2", shows: "0140" }],
    ),
    keyed("wow", "write a key over the block", wow, &[Example { line: "wow 90cc; p8 5", shows: "90cc90cc90" }]),
    swapped("wo2", swap::<2>, &[Example { line: "wx 01020304; wo2; p8 4", shows: "02010403" }]),
    swapped("wo4", swap::<4>, &[Example { line: "wx 0102030405; wo4; p8 8", shows: "0403020100000005" }]),
    swapped("wo8", swap::<8>, &[Example { line: "wx 0102030405060708; wo8; p8 8", shows: "0807060504030201" }]),
    Command {
        name: "woe",
        args: &[
            Arg::opt("from", ArgKind::Number),
            Arg::opt("to", ArgKind::Number),
            Arg::opt("step", ArgKind::Number),
            Arg::opt("size", ArgKind::Number),
        ],
        summary: "fill the block with a sequence of numbers of 1, 2, 4 or 8 bytes, over and over",
        details: "By default from 0 to the largest number of the size, in steps of 1, in bytes.",
        needs: NEEDS,
        examples: &[
            Example { line: "woe 1 3; p8 7", shows: "01020301020301" },
            Example { line: "woe 0 7 2 2; p8 10", shows: "00000200040006000000" },
        ],
        run: Run::Core(woe),
        ..Command::DEFAULT
    },
];

const fn keyed(name: &'static str, summary: &'static str, run: Function, examples: &'static [Example]) -> Command {
    Command {
        name,
        args: KEY,
        summary,
        details: "The key is hexpairs, used over and over; with 0x in front it is a number of 1, 2, 4 or 8 bytes, laid \
                  out as cfg.bigendian says. Without a key it is what was yanked.",
        needs: NEEDS,
        examples,
        run: Run::Core(run),
        ..Command::DEFAULT
    }
}

const fn swapped(name: &'static str, run: Function, examples: &'static [Example]) -> Command {
    Command {
        name,
        summary: "swap the order of the bytes in each group of 2, 4 or 8 of the block",
        needs: NEEDS,
        examples,
        run: Run::Core(run),
        ..Command::DEFAULT
    }
}

fn wox(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let key = key(ctx)?;
    combine(ctx, &key, |byte, key| byte ^ key)
}

fn woa(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let key = key(ctx)?;
    combine(ctx, &key, u8::wrapping_add)
}

fn wos(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let key = key(ctx)?;
    combine(ctx, &key, u8::wrapping_sub)
}

fn wo_and(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let key = key(ctx)?;
    combine(ctx, &key, |byte, key| byte & key)
}

fn woo(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let key = key(ctx)?;
    combine(ctx, &key, |byte, key| byte | key)
}

fn wom(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let key = key(ctx)?;
    combine(ctx, &key, u8::wrapping_mul)
}

fn wod(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let key = key(ctx)?;
    if key.contains(&0) {
        return Err(Error::new(Kind::Usage, "division by zero: the key holds a zero byte"));
    }
    combine(ctx, &key, |byte, key| byte / key)
}

fn wol(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let key = key(ctx)?;
    combine(ctx, &key, |byte, key| byte.checked_shl(key.into()).unwrap_or(0))
}

fn wor(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let key = key(ctx)?;
    combine(ctx, &key, |byte, key| byte.checked_shr(key.into()).unwrap_or(0))
}

fn wow(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let key = key(ctx)?;
    combine(ctx, &key, |_, key| key)
}

/// The key as the bytes that are applied one after the other.
fn key(ctx: &Ctx<'_, '_>) -> Result<Vec<u8>> {
    let text = ctx.args.text.as_str();
    if text.is_empty() {
        return match &ctx.core.yank {
            Some((_, bytes)) if !bytes.is_empty() => Ok(bytes.clone()),
            _ => {
                Err(Error::new(Kind::Usage, "no key given and nothing yanked")
                    .hint("a key in hexpairs, as in 'wox 90'"))
            }
        };
    }
    let mut key = literal::hexpairs(text)?;
    if text.starts_with("0x") && !ctx.option_bool("cfg.bigendian") {
        if !matches!(key.len(), 1 | 2 | 4 | 8) {
            return Err(Error::new(Kind::Usage, format!("a number of {} bytes has no little-endian form", key.len()))
                .hint("1, 2, 4 or 8 bytes; without 0x the bytes are taken as they stand"));
        }
        key.reverse();
    }
    Ok(key)
}

/// Applies `operation` to each byte of the block and the key's byte for it.
fn combine(ctx: &mut Ctx<'_, '_>, key: &[u8], operation: impl Fn(u8, u8) -> u8) -> Result<()> {
    let (address, length) = (ctx.view.seek, ctx.view.block_size);
    stream(ctx, address, length, |ctx, offset, buffer| {
        ctx.read_into(address.wrapping_add(offset), buffer)?;
        let start = (offset % key.len() as u64) as usize;
        for (byte, key) in buffer.iter_mut().zip(key.iter().cycle().skip(start)) {
            *byte = operation(*byte, *key);
        }
        Ok(())
    })
}

/// Swaps whole groups; bytes behind the last whole group stay.
fn swap<const WIDTH: usize>(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = (ctx.view.seek, ctx.view.block_size - ctx.view.block_size % WIDTH as u64);
    stream(ctx, address, length, |ctx, offset, buffer| {
        ctx.read_into(address.wrapping_add(offset), buffer)?;
        for group in buffer.chunks_exact_mut(WIDTH) {
            group.reverse();
        }
        Ok(())
    })
}

fn woe(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let from = ctx.number(0)?.unwrap_or(0);
    let width = match ctx.number(3)?.unwrap_or(1) {
        width @ (1 | 2 | 4 | 8) => width as usize,
        width => return Err(Error::new(Kind::Usage, format!("numbers of {width} bytes")).hint("1, 2, 4 or 8")),
    };
    let to = ctx.number(1)?.unwrap_or(u64::MAX >> (64 - 8 * width));
    let step = ctx.number(2)?.unwrap_or(1);
    literal::fitting(from, width)?;
    literal::fitting(to, width)?;
    if to < from {
        return Err(Error::new(Kind::Usage, format!("a sequence from {from} to {to} is empty")));
    }
    let big_endian = ctx.option_bool("cfg.bigendian");
    // u128: the range 0 to 2^64-1 holds one number more than 64 bits count.
    let count = u128::from(to - from) + 1;
    let (address, length) = (ctx.view.seek, ctx.view.block_size);
    stream(ctx, address, length, |_, offset, buffer| {
        for (index, group) in (u128::from(offset) / width as u128..).zip(buffer.chunks_mut(width)) {
            // Both factors are below 2^64, and the offset is far below.
            let value = from + ((index * u128::from(step)) % count) as u64;
            group.copy_from_slice(&literal::number(value, width, big_endian)[..group.len()]);
        }
        Ok(())
    })
}
