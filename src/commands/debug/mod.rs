//! `d`: processes under control. The families of `d` are in files of their own; what they share is here.

pub mod breakpoints;
pub mod continuing;
pub mod inject;
pub mod memory;
pub mod process;
pub mod registers;
pub mod signals;
pub mod stack;
pub mod stepping;

use super::Family;
use crate::error::{Error, Kind, Result};
use crate::session::Ctx;
use crate::session::debug::{Debugged, debugged};

/// The family whose page leads to the others.
pub const FAMILY: Family =
    Family { name: "d", summary: "debug processes: run, step, registers, memory", commands: process::GENERAL };

/// The target that the command means.
fn target<'a>(ctx: &'a mut Ctx<'_, '_>) -> Result<Debugged<'a>> {
    debugged(ctx.core, ctx.view)
}

/// Where an address lies, by the nearest flag: `main+8`; empty when there is none.
fn place(ctx: &Ctx<'_, '_>, address: u64) -> String {
    const FAR: u64 = 1 << 20;
    match ctx.core.flags.nearest(address) {
        Some(flag) if flag.address == address => flag.name.clone(),
        Some(flag) if address - flag.address < FAR.max(flag.size) => {
            format!("{}+{}", flag.name, address - flag.address)
        }
        _ => String::new(),
    }
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Kind::Usage, what)
}
