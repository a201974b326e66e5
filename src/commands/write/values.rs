//! Numbers: written by value, changed in place, bits set and cleared.

use super::{length, put, stream};
use crate::commands::{Arg, ArgKind, Command, Example, Run, literal};
use crate::error::Result;
use crate::session::{Ctx, Permissions};

const BY: &[Arg] = &[Arg::opt("by", ArgKind::Number)];
const VALUE: &[Arg] = &[Arg::new("value", ArgKind::Number)];

type Function = fn(&mut Ctx<'_, '_>) -> Result<()>;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "wv",
        args: VALUE,
        summary: "write a number in 4 bytes, or in 8 when it needs them",
        details: "cfg.bigendian decides the order of the bytes.",
        needs: Permissions::WRITE,
        examples: &[
            Example { line: "wv 0x1234; p8 5", shows: "3412000000" },
            Example { line: "wv 0x123456789a; p8 8", shows: "9a78563412000000" },
        ],
        run: Run::Core(wv),
        ..Command::DEFAULT
    },
    sized("wv1", wv_sized::<1>, &[Example { line: "wv1 255; p8 2", shows: "ff00" }]),
    sized("wv2", wv_sized::<2>, &[Example { line: "wv2 0x1234; p8 3", shows: "341200" }]),
    sized("wv4", wv_sized::<4>, &[Example { line: "wv4 0x12345678; p8 5", shows: "7856341200" }]),
    sized("wv8", wv_sized::<8>, &[Example { line: "wv8 1; p8 9", shows: "010000000000000000" }]),
    Command {
        name: "w0",
        args: &[Arg::new("len", ArgKind::Number)],
        summary: "write zero bytes",
        needs: Permissions::WRITE,
        examples: &[Example { line: "wx 414243; w0 2; p8 3", shows: "000043" }],
        run: Run::Core(w0),
        ..Command::DEFAULT
    },
    step("w1+", step_by::<1, true>, &[Example { line: "wx ff00; w1+; w1+ 4; p8 2", shows: "0400" }]),
    step("w1-", step_by::<1, false>, &[Example { line: "wx 05; w1- 3; p8 2", shows: "0200" }]),
    step("w2+", step_by::<2, true>, &[Example { line: "wx ff00; w2+; p8 2", shows: "0001" }]),
    step("w2-", step_by::<2, false>, &[Example { line: "w2-; p8 3", shows: "ffff00" }]),
    step("w4+", step_by::<4, true>, &[Example { line: "w4+ 0x10000; p8 4", shows: "00000100" }]),
    step("w4-", step_by::<4, false>, &[Example { line: "w4- 2; p8 5", shows: "feffffff00" }]),
    step("w8+", step_by::<8, true>, &[Example { line: "w8+7; p8 8", shows: "0700000000000000" }]),
    step("w8-", step_by::<8, false>, &[Example { line: "w8-; p8 8", shows: "ffffffffffffffff" }]),
    Command {
        name: "wB",
        args: VALUE,
        summary: "set the bits of a value in as many bytes as it needs (1, 2, 4 or 8)",
        needs: Permissions::WRITE,
        examples: &[Example { line: "wx f1; wB 0x106; p8 3", shows: "f70100" }],
        run: Run::Core(bits::<true>),
        ..Command::DEFAULT
    },
    Command {
        name: "wB-",
        args: VALUE,
        summary: "clear the bits of a value",
        needs: Permissions::WRITE,
        examples: &[Example { line: "wx ff; wB- 0x0f; p8 2", shows: "f000" }],
        run: Run::Core(bits::<false>),
        ..Command::DEFAULT
    },
];

const fn sized(name: &'static str, run: Function, examples: &'static [Example]) -> Command {
    Command {
        name,
        args: VALUE,
        summary: "write a number in 1, 2, 4 or 8 bytes",
        details: "A number that does not fit, signed or unsigned, is refused.",
        needs: Permissions::WRITE,
        examples,
        run: Run::Core(run),
        ..Command::DEFAULT
    }
}

const fn step(name: &'static str, run: Function, examples: &'static [Example]) -> Command {
    Command {
        name,
        args: BY,
        summary: "add to or subtract from the number of 1, 2, 4 or 8 bytes here (by 1), wrapping around",
        needs: Permissions::WRITE.and(Permissions::READ),
        examples,
        run: Run::Core(run),
        ..Command::DEFAULT
    }
}

fn wv(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = ctx.required(0)?;
    let width = if value > u64::from(u32::MAX) { 8 } else { 4 };
    let bytes = literal::number(value, width, ctx.option_bool("cfg.bigendian"));
    put(ctx, ctx.view.seek, &bytes)
}

fn wv_sized<const WIDTH: usize>(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = literal::fitting(ctx.required(0)?, WIDTH)?;
    let bytes = literal::number(value, WIDTH, ctx.option_bool("cfg.bigendian"));
    put(ctx, ctx.view.seek, &bytes)
}

fn w0(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = (ctx.view.seek, length(ctx, 0)?);
    stream(ctx, address, length, |_, _, _| Ok(()))
}

fn step_by<const WIDTH: usize, const UP: bool>(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let by = ctx.number(0)?.unwrap_or(1);
    change(ctx, WIDTH, |value| if UP { value.wrapping_add(by) } else { value.wrapping_sub(by) })
}

fn bits<const SET: bool>(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let mask = ctx.required(0)?;
    let width = match mask {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    };
    change(ctx, width, |value| if SET { value | mask } else { value & !mask })
}

/// Replaces the number of `width` bytes at the seek by what `with` makes of it.
fn change(ctx: &mut Ctx<'_, '_>, width: usize, with: impl Fn(u64) -> u64) -> Result<()> {
    let big_endian = ctx.option_bool("cfg.bigendian");
    let address = ctx.view.seek;
    let value = literal::value(&ctx.read(address, width as u64)?, big_endian);
    put(ctx, address, &literal::number(with(value), width, big_endian))
}
