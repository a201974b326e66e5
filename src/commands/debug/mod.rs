//! `d`: processes under control. The families of `d` are in files of their own; what they share is here.

pub mod breakpoints;
pub mod continuing;
pub mod descriptors;

pub mod inject;
pub mod memory;
pub mod process;
pub mod registers;
pub mod reopen;

pub mod signals;
pub mod stack;
pub mod stepping;
pub mod symbols;

use super::Family;
use crate::error::{Error, Kind, Result};
use crate::session::Ctx;
use crate::session::debug::{Debugged, debugged, names};

/// The family whose page leads to the others.
pub const FAMILY: Family =
    Family { name: "d", summary: "debug processes: run, step, registers, memory", commands: process::GENERAL };

/// The target that the command means.
fn target<'a>(ctx: &'a mut Ctx<'_, '_>) -> Result<Debugged<'a>> {
    debugged(ctx.core, ctx.view)
}

/// Where an address lies: `main+8`; empty when nobody knows.
fn place(ctx: &mut Ctx<'_, '_>, address: u64) -> String {
    names::place(ctx.core, ctx.view, address)
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Kind::Usage, what)
}
