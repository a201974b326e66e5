//! `wm`: the write mask.

use std::io::{self, Write};

use serde::Serialize;

use crate::commands::{Arg, ArgKind, Command, Example, Run, literal};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style};
use crate::session::{Ctx, Permissions};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "wm",
        args: &[Arg::opt("hex", ArgKind::Hex)],
        summary: "show or set the mask that every written byte is combined with (and), over and over",
        modes: &[Mode::Json, Mode::Commands],
        needs: Permissions::WRITE,
        examples: &[
            Example { line: "wm 0fff; wx abcd; p8 2", shows: "Write mask set to '0fff'\n0bcd" },
            Example { line: "wm", shows: "No write mask" },
            Example { line: "wmj", shows: "{\"mask\":\"\"}" },
        ],
        run: Run::Core(wm),
        ..Command::DEFAULT
    },
    Command {
        name: "wm-",
        summary: "take the write mask off",
        needs: Permissions::WRITE,
        examples: &[Example { line: "wm 00; wm-; wx 41; p8 1", shows: "Write mask set to '00'\n41" }],
        run: Run::Core(wm_off),
        ..Command::DEFAULT
    },
];

/// The longest mask in bytes.
const LIMIT: usize = 4096;

#[derive(Serialize)]
struct Mask {
    mask: String,
}

impl Item for Mask {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        match self.mask.as_str() {
            "" => writeln!(out, "No write mask"),
            mask => writeln!(out, "Write mask set to '{mask}'"),
        }
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.mask.as_str() {
            "" => writeln!(out, "wm-"),
            mask => writeln!(out, "wm {mask}"),
        }
    }
}

fn wm(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if !ctx.args.text.is_empty() {
        let mask = literal::hexpairs(&ctx.args.text)?;
        if mask.len() > LIMIT {
            return Err(
                Error::new(Kind::Limit, format!("a mask of {} bytes is too long", mask.len())).hint("at most 4096")
            );
        }
        ctx.core.write_mask = mask;
    }
    ctx.out.value(&Mask { mask: faster_hex::hex_string(&ctx.core.write_mask) })
}

fn wm_off(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    ctx.core.write_mask.clear();
    Ok(())
}
