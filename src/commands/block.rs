//! `b`: the block size, the length that commands take when none is given.

use std::io::{self, Write};

use serde::Serialize;

use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style};
use crate::session::context::LENGTH_LIMIT;
use crate::session::{Ctx, config};

/// The family.
pub const FAMILY: Family = Family { name: "b", summary: "the block size", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command {
        name: "b",
        args: &[Arg::opt("size", ArgKind::Number)],
        summary: "show or set the block size",
        details: "Commands take so many bytes when no length is given. 'cmd @!32' sets it for one command.",
        modes: &[Mode::Json, Mode::Commands],
        examples: &[
            Example { line: "b", shows: "0x100" },
            Example { line: "b 32; b; b*", shows: "0x20\nb 0x20" },
            Example { line: "bj", shows: r#"{"blocksize":256,"blocksize_limit":52428800}"# },
        ],
        run: Run::Core(b),
        ..Command::DEFAULT
    },
    Command {
        name: "b+",
        args: &[Arg::new("n", ArgKind::Number)],
        summary: "make the block larger by n bytes",
        examples: &[Example { line: "b+3; b", shows: "0x103" }],
        run: Run::Core(grow),
        ..Command::DEFAULT
    },
    Command {
        name: "b-",
        args: &[Arg::new("n", ArgKind::Number)],
        summary: "make the block smaller by n bytes",
        examples: &[Example { line: "b-6; b", shows: "0xfa" }],
        run: Run::Core(shrink),
        ..Command::DEFAULT
    },
    Command {
        name: "bf",
        args: &[Arg::new("flag", ArgKind::Flag)],
        summary: "make the block as large as a flag",
        examples: &[Example { line: "f foo 12 0; bf foo; b", shows: "0xc" }],
        run: Run::Core(of_flag),
        ..Command::DEFAULT
    },
    Command {
        name: "bm",
        args: &[Arg::opt("size", ArgKind::Number)],
        summary: "show or set the largest block size (io.maxblk)",
        examples: &[Example { line: "bm", shows: "0x3200000" }, Example { line: "bm 64; bm", shows: "0x40" }],
        run: Run::Core(largest),
        ..Command::DEFAULT
    },
];

#[derive(Serialize)]
struct Block {
    blocksize: u64,
    blocksize_limit: u64,
}

impl Item for Block {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "0x{:x}", self.blocksize)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "b 0x{:x}", self.blocksize)
    }
}

fn b(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    match ctx.number(0)? {
        Some(size) => set(ctx, size),
        None => {
            let block = Block { blocksize: ctx.view.block_size, blocksize_limit: ctx.option_number("io.maxblk") };
            ctx.out.value(&block)
        }
    }
}

fn grow(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let size = ctx.view.block_size.saturating_add(ctx.required(0)?);
    set(ctx, size)
}

fn shrink(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let size = ctx.view.block_size.saturating_sub(ctx.required(0)?);
    set(ctx, size)
}

fn of_flag(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let name = ctx.word(0).unwrap_or_default();
    let size = ctx.core.flags.get(name).map(|flag| flag.size).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("bf: cannot find flag named '{name}'")).hint("'f' lists them")
    })?;
    set(ctx, size)
}

/// A block has at least one byte and at most `io.maxblk`.
fn set(ctx: &mut Ctx<'_, '_>, size: u64) -> Result<()> {
    let limit = ctx.option_number("io.maxblk");
    if size > limit {
        return Err(Error::new(Kind::Limit, format!("a block of 0x{size:x} bytes is too large"))
            .hint(format!("the limit is 0x{limit:x}; 'bm' changes it")));
    }
    ctx.view.block_size = size.max(1);
    Ok(())
}

fn largest(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let Some(limit) = ctx.number(0)? else {
        let limit = ctx.option_number("io.maxblk");
        return ctx.out.line(format_args!("0x{limit:x}"));
    };
    if limit == 0 || limit > LENGTH_LIMIT {
        return Err(Error::new(Kind::Limit, format!("0x{limit:x} cannot be the largest block size"))
            .hint(format!("from 1 to 0x{LENGTH_LIMIT:x}")));
    }
    config::assign(ctx.core, ctx.view, [("io.maxblk", format!("0x{limit:x}").as_str())])?;
    ctx.view.block_size = ctx.view.block_size.min(limit);
    Ok(())
}
