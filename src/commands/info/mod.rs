//! `i`: what the open file says of itself.

mod digests;
mod entries;
mod extents;
mod general;
mod headers;
mod parts;
mod relocations;
mod sections;
mod symbols;
mod table;

use std::sync::Arc;

use super::{Command, Family};
use crate::binary::Object;
use crate::output::visible;
use crate::session::Ctx;

/// The family.
pub const FAMILY: Family = Family { name: "i", summary: "information about the open file", commands: COMMANDS };

const GROUPS: &[&[Command]] = &[
    general::COMMANDS,
    entries::COMMANDS,
    sections::COMMANDS,
    symbols::COMMANDS,
    relocations::COMMANDS,
    headers::COMMANDS,
    digests::COMMANDS,
    parts::COMMANDS,
    extents::COMMANDS,
];

const COUNT: usize = {
    let (mut count, mut group) = (0, 0);
    while group < GROUPS.len() {
        count += GROUPS[group].len();
        group += 1;
    }
    count
};

const COMMANDS: &[Command] = &{
    let mut all = [Command::DEFAULT; COUNT];
    let (mut at, mut group) = (0, 0);
    while group < GROUPS.len() {
        let mut index = 0;
        while index < GROUPS[group].len() {
            all[at] = GROUPS[group][index];
            at += 1;
            index += 1;
        }
        group += 1;
    }
    all
};

/// The object file that the command is about: the one of `@o:`, or the current one.
fn object(ctx: &mut Ctx<'_, '_>) -> Option<(u32, Arc<Object>)> {
    let fd = ctx.view.descriptor.or(ctx.core.io.current())?;
    ctx.core.object(fd).map(|object| (fd, object))
}

/// What could not be read so far goes to the user, once.
fn warn(ctx: &mut Ctx<'_, '_>) {
    let Some(fd) = ctx.view.descriptor.or(ctx.core.io.current()) else { return };
    for warning in ctx.core.take_warnings(fd) {
        ctx.out.note(format_args!("Warning: {}", visible(&warning)));
    }
}

/// The permissions as tables show them: `-r-x`.
fn permissions(access: crate::io::Access) -> String {
    format!("-{access}")
}
