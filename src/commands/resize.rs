//! `r`: the size of what is open.

use std::io::{self, Write};

use serde::Serialize;

use super::open::require;
use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style};
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "r", summary: "the size of the current file", commands: COMMANDS };

const COUNT: &[Arg] = &[Arg::new("count", ArgKind::Number)];

const COMMANDS: &[Command] = &[
    Command {
        name: "r",
        args: &[Arg::opt("size", ArgKind::Number)],
        summary: "show the size of the current file in bytes, or cut or extend it",
        details: "Changing it needs the permission 'write'.",
        modes: &[Mode::Json],
        examples: &[
            Example { line: "r", shows: "512" },
            Example { line: "rj", shows: r#"{"size":512}"# },
            Example { line: "r 32; r; om", shows: "32\n 1 fd: 3 +0x00000000 0x00000000 * 0x0000001f rwx" },
        ],
        run: Run::Core(r),
        ..Command::DEFAULT
    },
    Command {
        name: "r+",
        args: COUNT,
        summary: "insert zeros at the seek; what follows moves up",
        needs: Permissions::WRITE,
        examples: &[Example { line: "r+8; r", shows: "520" }],
        run: Run::Core(insert),
        ..Command::DEFAULT
    },
    Command {
        name: "r-",
        args: COUNT,
        summary: "remove bytes at the seek; what follows moves down",
        needs: Permissions::WRITE,
        examples: &[Example { line: "r-8; r", shows: "504" }],
        run: Run::Core(remove),
        ..Command::DEFAULT
    },
];

#[derive(Serialize)]
struct Size {
    size: Option<u64>,
}

impl Item for Size {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        match self.size {
            Some(size) => writeln!(out, "{size}"),
            None => writeln!(out, "endless"),
        }
    }
}

fn r(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let current = ctx.view.descriptor.or(ctx.core.io.current());
    let fd = current.ok_or_else(|| Error::new(Kind::NotFound, "nothing is open").hint("o FILE opens a file"))?;
    match ctx.number(0)? {
        Some(size) => {
            require(ctx.view, Permissions::WRITE, "changing a size")?;
            ctx.core.io.resize(fd, size)
        }
        None => {
            let size = ctx.core.io.descriptor(fd)?.size();
            ctx.out.value(&Size { size })
        }
    }
}

fn insert(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let count = ctx.required(0)?;
    let (fd, address) = place(ctx)?;
    ctx.core.io.insert_gap(fd, address, count)
}

fn remove(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let count = ctx.required(0)?;
    let (fd, address) = place(ctx)?;
    ctx.core.io.remove_range(fd, address, count).map(drop)
}

/// The descriptor and physical address that the seek means.
fn place(ctx: &Ctx<'_, '_>) -> Result<(u32, u64)> {
    let settings = crate::session::scope::settings(ctx.core, ctx.view);
    ctx.core.io.place(&settings, ctx.view.seek).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("nothing is mapped at 0x{:08x}", ctx.view.seek)).hint("'om' lists the maps")
    })
}
