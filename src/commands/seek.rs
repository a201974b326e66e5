//! `s`: where you are.

use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::error::Result;
use crate::session::Ctx;

/// The family.
pub const FAMILY: Family = Family { name: "s", summary: "seek to an address", commands: COMMANDS };

const COMMANDS: &[Command] = &[Command {
    name: "s",
    args: &[Arg::opt("addr", ArgKind::Number)],
    summary: "show the current address, or go to another",
    examples: &[Example { line: "s 0x10; s", shows: "0x10" }],
    run: Run::Core(s),
    ..Command::DEFAULT
}];

fn s(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    match ctx.number(0)? {
        Some(address) => {
            ctx.view.jump(address);
            Ok(())
        }
        None => {
            let seek = ctx.view.seek;
            ctx.out.line(format_args!("0x{seek:x}"))
        }
    }
}
