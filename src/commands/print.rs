//! `p`: bytes as text.

use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::error::Result;
use crate::output::{Mode, Out};
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "p", summary: "print bytes in many forms", commands: COMMANDS };

const LENGTH: &[Arg] = &[Arg::opt("len", ArgKind::Number)];

const COMMANDS: &[Command] = &[Command {
    name: "p8",
    args: LENGTH,
    summary: "print bytes as hexpairs",
    modes: &[Mode::Json],
    needs: Permissions::READ,
    examples: &[Example { line: "p8 4", shows: "00000000" }, Example { line: "p8j 2", shows: "[0,0]" }],
    run: Run::Core(p8),
    ..Command::DEFAULT
}];

fn p8(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    ctx.read_chunks(address, length, |out, _, bytes| match out.mode() {
        Mode::Json => out.json_elements(bytes.iter()),
        _ => hexpairs(out, bytes),
    })?;
    if ctx.out.mode() != Mode::Json { ctx.out.write_all(b"\n") } else { Ok(()) }
}

fn hexpairs(out: &mut Out<'_>, bytes: &[u8]) -> Result<()> {
    out.write_all(faster_hex::hex_string(bytes).as_bytes())
}
