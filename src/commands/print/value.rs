//! `pv`: the number at the seek.

use std::io::Write;

use serde::Serialize;

use super::checked_product;
use super::layout::{Layout, word_size};
use super::text::{until_zero, visible_bytes};
use crate::commands::{Arg, ArgKind, Command, Example, Run};
use crate::error::Result;
use crate::output::{Item, Mode, Style};
use crate::session::{Ctx, Permissions};

const COUNT: &[Arg] = &[Arg::opt("count", ArgKind::Number)];

/// The commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "pv",
        args: COUNT,
        summary: "print the word at the seek, or so many",
        details: "The size follows asm.bits, the byte order cfg.bigendian.",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[
            Example { line: "w ABCD; pv", shows: "0x0000000044434241" },
            Example { line: "w ABCD; pvj", shows: r#"[{"value":1145258561,"string":"ABCD"}]"# },
        ],
        run: Run::Core(|ctx| {
            let size = word_size(ctx);
            values(ctx, size)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "pv1",
        args: COUNT,
        summary: "print the byte at the seek, or so many",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[Example { line: "w A; pv1", shows: "0x41" }],
        run: Run::Core(|ctx| values(ctx, 1)),
        ..Command::DEFAULT
    },
    Command {
        name: "pv2",
        args: COUNT,
        summary: "print the 2-byte number at the seek, or so many",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[
            Example { line: "wx 01020304; pv2", shows: "0x0201" },
            Example { line: "wx 01020304; e cfg.bigendian=true; pv2", shows: "0x0102" },
        ],
        run: Run::Core(|ctx| values(ctx, 2)),
        ..Command::DEFAULT
    },
    Command {
        name: "pv4",
        args: COUNT,
        summary: "print the 4-byte number at the seek, or so many",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[
            Example { line: "w ABCD; pv4 2", shows: "0x44434241\n0x00000000" },
            Example { line: "w ABCD; pv4j", shows: r#"[{"value":1145258561,"string":"ABCD"}]"# },
        ],
        run: Run::Core(|ctx| values(ctx, 4)),
        ..Command::DEFAULT
    },
    Command {
        name: "pv8",
        args: COUNT,
        summary: "print the 8-byte number at the seek, or so many",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[Example { line: "w ABCD; pv8", shows: "0x0000000044434241" }],
        run: Run::Core(|ctx| values(ctx, 8)),
        ..Command::DEFAULT
    },
    Command {
        name: "pvz",
        summary: "print the string at the seek",
        needs: Permissions::READ,
        examples: &[Example { line: "w ABCD; pvz", shows: "ABCD" }],
        run: Run::Core(pvz),
        ..Command::DEFAULT
    },
];

/// A number, with the text that stands where it stands.
#[derive(Serialize)]
struct ValueAt {
    value: u64,
    string: String,
    #[serde(skip)]
    size: usize,
}

impl Item for ValueAt {
    fn text(&self, out: &mut dyn Write, _style: Style) -> std::io::Result<()> {
        let width = 2 + 2 * self.size;
        writeln!(out, "{:#0width$x}", self.value)
    }
}

fn values(ctx: &mut Ctx<'_, '_>, size: usize) -> Result<()> {
    let count = ctx.number(0)?.unwrap_or(1);
    checked_product(count, size as u64)?;
    let layout = Layout::new(ctx);
    let mut word = [0; 8];
    for index in 0..count {
        let address = ctx.view.seek.wrapping_add(index * size as u64);
        ctx.read_into(address, &mut word[..size])?;
        let string = visible_bytes(&until_zero(ctx, address)?);
        ctx.out.item(&ValueAt { value: layout.number(&word[..size]), string, size })?;
    }
    Ok(())
}

fn pvz(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let bytes = until_zero(ctx, ctx.view.seek)?;
    ctx.out.line(visible_bytes(&bytes))
}
