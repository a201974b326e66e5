//! `a`: functions, their blocks and references.

mod functions;
mod graphs;
pub mod known;
mod list;
pub mod listing;
mod references;
pub mod run;
mod text;

use super::print::{concat, count};
use super::{Arg, ArgKind, Command, Family};
use crate::error::Result;
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family =
    Family { name: "a", summary: "analysis: functions, blocks, references", commands: &COMMANDS };

/// What commands that look at an analysis have in common.
const LOOK: Command = Command { needs: Permissions::READ, ..Command::DEFAULT };
/// An address that is the current one when it is left out.
const ADDRESS: &[Arg] = &[Arg::opt("addr", ArgKind::Number)];

const PARTS: &[&[Command]] = &[functions::COMMANDS, list::COMMANDS, references::COMMANDS, graphs::COMMANDS];

const COMMANDS: [Command; count(PARTS)] = concat(PARTS);

/// The address at argument `index`, or the current one.
fn address(ctx: &mut Ctx<'_, '_>, index: usize) -> Result<u64> {
    Ok(ctx.number(index)?.unwrap_or(ctx.view.seek))
}
