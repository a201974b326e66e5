//! `CL`, `id`: line numbers.

use std::io::{self, Write};

use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::binary::lines::{Lines, Place};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "CL", summary: "places in the source", commands: COMMANDS };

const MODES: &[Mode] = &[Mode::Json, Mode::Quiet, Mode::Commands];

const COMMANDS: &[Command] = &[
    Command {
        name: "CL",
        aliases: &["id"],
        args: &[Arg::opt("address|file:line", ArgKind::Text)],
        summary: "list the lines of the source, those of an address, or the code of a line",
        details: "The line numbers are those of DWARF: in the file, or in a separate debug file in .debug/, beside it or \
                  under /usr/lib/debug, found by build id or .gnu_debuglink. 'CL main.c:12' says where the code of line \
                  12 is; a file may be named by the end of its path.",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example { line: "CLj", shows: "[]" }],
        run: Run::Core(list),
    },
    Command {
        name: "CL.",
        summary: "show the line of the source at the seek",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example { line: "CL.j", shows: "[]" }],
        run: Run::Core(here),
        ..Command::DEFAULT
    },
    Command {
        name: "CLf",
        aliases: &["idf", "ix", "iX"],
        summary: "list the source files",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[Example { line: "CLfj", shows: "[]" }],
        run: Run::Core(files),
        ..Command::DEFAULT
    },
];

impl Item for Place {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        write!(out, "0x{:08x} {}:{}", self.addr, visible(&self.file), self.line)?;
        if self.column > 0 { writeln!(out, ":{}", self.column) } else { writeln!(out) }
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        let name = self.file.rsplit('/').next().unwrap_or_default();
        writeln!(out, "0x{:08x} {}:{}", self.addr, visible(name), self.line)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        let name = self.file.rsplit('/').next().unwrap_or_default();
        writeln!(out, "\"CC {}:{}\" @ 0x{:08x}", visible(name).replace(['"', '\\'], "_"), self.line, self.addr)
    }
}

#[derive(serde::Serialize)]
struct SourceFile<'a> {
    file: &'a str,
}

impl Item for SourceFile<'_> {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "{}", visible(self.file))
    }
}

/// The line numbers of the current file, if there are any.
fn lines<'c>(ctx: &'c mut Ctx<'_, '_>) -> Result<Option<&'c Lines>> {
    match ctx.view.descriptor.or(ctx.core.io.current()) {
        Some(fd) => ctx.core.lines(ctx.view, fd),
        None => Ok(None),
    }
}

fn list(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let text = ctx.args.text.trim().to_string();
    if let Some((file, line)) = text.rsplit_once(':')
        && let Ok(line) = line.trim().parse::<u32>()
    {
        let found = lines(ctx)?.map(|lines| lines.find(file.trim(), line)).unwrap_or_default();
        if found.is_empty() {
            return Err(Error::new(Kind::NotFound, format!("no code is known of line {line} of '{}'", visible(file)))
                .hint("'CLf' lists the source files"));
        }
        return found.iter().try_for_each(|place| ctx.out.item(place));
    }
    if !text.is_empty() {
        let address = ctx.evaluate(&text)?;
        return at(ctx, address);
    }
    let Some(fd) = ctx.view.descriptor.or(ctx.core.io.current()) else { return Ok(()) };
    let out = &mut *ctx.out;
    match ctx.core.lines(ctx.view, fd)? {
        Some(lines) => lines.each(&mut |place| out.item(&place)),
        None => Ok(()),
    }
}

fn here(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    at(ctx, ctx.view.seek)
}

fn at(ctx: &mut Ctx<'_, '_>, address: u64) -> Result<()> {
    match ctx.core.line(ctx.view, address) {
        Some(place) => ctx.out.item(&place),
        None => Ok(()),
    }
}

fn files(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let mut names = std::collections::BTreeSet::new();
    let cancel = ctx.out.cancel().clone();
    if let Some(lines) = lines(ctx)? {
        lines.each(&mut |place| {
            cancel.check()?;
            names.insert(place.file);
            Ok(())
        })?;
    }
    names.iter().try_for_each(|file| ctx.out.item(&SourceFile { file }))
}
