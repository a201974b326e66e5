//! `dmi`: the symbols of a file that a process has loaded.

use std::io::{self, Write};

use serde::Serialize;

use super::target;
use crate::commands::{Arg, ArgKind, Command, Family, Run};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::debug::libraries::worth;
use crate::session::load::{fitting, flag_name};
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "dmi", summary: "symbols of what a process has loaded", commands: COMMANDS };

const COMMANDS: &[Command] = &[Command {
    name: "dmi",
    args: &[Arg::new("file", ArgKind::Word), Arg::opt("symbol", ArgKind::Word)],
    summary: "list the symbols of a loaded file (libc, libc.so.6 or its path), or show one",
    modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
    needs: Permissions::DEBUG,
    run: Run::Core(list),
    ..Command::DEFAULT
}];

#[derive(Serialize)]
struct Row {
    vaddr: u64,
    size: u64,
    name: String,
    #[serde(skip)]
    flag: String,
}

impl Item for Row {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "0x{:08x} {:>6} {}", self.vaddr, self.size, visible(&self.name))
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x}", self.vaddr)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "f {} {} 0x{:08x}", self.flag, self.size.max(1), self.vaddr)
    }
}

fn list(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    target(ctx)?.thread()?;
    let name = ctx.word(0).unwrap_or_default().to_string();
    let wanted = ctx.word(1).map(str::to_string);
    let fd = ctx.core.library_named(ctx.view, &name).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("no file that is loaded is called '{}'", visible(&name)))
            .hint("'dmm' lists them")
    })?;
    let symbols = ctx.core.symbols(fd)?;
    let shown = symbols.iter().filter(|symbol| !symbol.imported && symbol.vaddr != 0 && worth(symbol.kind));
    let mut any = false;
    for symbol in shown.filter(|symbol| wanted.as_ref().is_none_or(|wanted| *symbol.name == **wanted)) {
        any = true;
        ctx.out.item(&Row {
            vaddr: symbol.vaddr,
            size: symbol.size,
            name: symbol.name.to_string(),
            flag: fitting(&flag_name(symbol)),
        })?;
    }
    match wanted {
        Some(wanted) if !any => {
            Err(Error::new(Kind::NotFound, format!("'{}' is no symbol of {}", visible(&wanted), visible(&name))))
        }
        _ => Ok(()),
    }
}
