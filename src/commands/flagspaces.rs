//! `fs`: flagspaces: groups of flags.

use std::io::{self, Write};

use serde::Serialize;

use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style};
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "fs", summary: "flagspaces: groups of flags", commands: COMMANDS };

const SPACE: Arg = Arg::new("space", ArgKind::Flagspace);

const COMMANDS: &[Command] = &[
    Command {
        name: "fs",
        args: &[Arg::opt("space", ArgKind::Flagspace)],
        summary: "list flagspaces, or select one ('fs *': all)",
        details: "The selected flagspace takes new flags and hides those of the others.",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: Permissions::READ,
        examples: &[
            Example { line: "fs one; f a; fs two; fs", shows: "    1 . one\n    0 * two" },
            Example { line: "fs one; f a; fs two; f b; fs *; fq", shows: "a\nb" },
            Example { line: "fs one; fsj", shows: r#"[{"name":"one","count":0,"selected":true}]"# },
        ],
        run: Run::Core(fs),
        ..Command::DEFAULT
    },
    Command {
        name: "fs+",
        args: &[SPACE],
        summary: "select a flagspace until fs-",
        needs: Permissions::READ,
        examples: &[Example { line: "fs one; fs+two; f b; fs-; f a; fq", shows: "a" }],
        run: Run::Core(push),
        ..Command::DEFAULT
    },
    Command {
        name: "fs-",
        args: &[Arg::opt("space", ArgKind::Flagspace)],
        summary: "return to the flagspace before fs+; with a name, remove that one ('fs-*': all)",
        details: "The flags of a removed flagspace stay.",
        needs: Permissions::READ,
        examples: &[Example { line: "fs one; f a; fs-one; fs; fq", shows: "a" }],
        run: Run::Core(remove),
        ..Command::DEFAULT
    },
    Command {
        name: "fsr",
        args: &[Arg::new("name", ArgKind::Word)],
        summary: "rename the selected flagspace",
        needs: Permissions::READ,
        examples: &[Example { line: "fs one; fsr uno; fsq", shows: "uno" }],
        run: Run::Core(rename),
        ..Command::DEFAULT
    },
    Command {
        name: "fsm",
        args: &[Arg::opt("addr", ArgKind::Number)],
        summary: "put the flags at an address into the selected flagspace",
        needs: Permissions::READ,
        examples: &[Example { line: "f a; fs one; fsm; fs", shows: "    1 * one" }],
        run: Run::Core(take),
        ..Command::DEFAULT
    },
    Command {
        name: "fss",
        summary: "list the flagspaces that fs- returns to",
        modes: &[Mode::Json, Mode::Commands],
        examples: &[Example { line: "fs one; fs+two; fs+three; fss", shows: "two\none" }],
        run: Run::Core(stack),
        ..Command::DEFAULT
    },
];

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    count: usize,
    selected: bool,
    /// Its flags are listed: it is selected, or all are.
    #[serde(skip)]
    shown: bool,
}

impl Item for Row<'_> {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "{:5} {} {}", self.count, if self.shown { '*' } else { '.' }, self.name)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "fs {}", self.name)
    }
}

/// `*` stands for all flagspaces.
fn named(name: &str) -> Option<&str> {
    Some(name).filter(|name| *name != "*")
}

fn fs(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if let Some(name) = ctx.args.words.first() {
        return ctx.core.flags.select(named(name));
    }
    let flags = &ctx.core.flags;
    for (name, count) in flags.spaces() {
        let selected = flags.selected.as_deref() == Some(name);
        ctx.out.item(&Row { name, count, selected, shown: selected || flags.selected.is_none() })?;
    }
    Ok(())
}

fn push(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    ctx.core.flags.push(ctx.args.words.first().and_then(|name| named(name)))
}

fn remove(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let flags = &mut ctx.core.flags;
    match ctx.args.words.first().map(String::as_str) {
        None => flags.pop(),
        Some("*") => {
            let names: Vec<String> = flags.spaces().map(|(name, _)| name.to_string()).collect();
            names.iter().try_for_each(|name| flags.remove_space(name))
        }
        Some(name) => flags.remove_space(name),
    }
}

fn rename(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let old = selected(ctx)?;
    ctx.core.flags.rename_space(&old, ctx.args.words.first().map(String::as_str).unwrap_or_default())
}

fn take(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = ctx.number(0)?.unwrap_or(ctx.view.seek);
    let space = selected(ctx)?;
    let names: Vec<String> = ctx.core.flags.at(address).map(|flag| flag.name.clone()).collect();
    if names.is_empty() {
        return Err(Error::new(Kind::NotFound, format!("no flag at 0x{address:08x}")));
    }
    names.iter().for_each(|name| _ = ctx.core.flags.set_space(name, Some(&space)));
    Ok(())
}

fn selected(ctx: &Ctx<'_, '_>) -> Result<String> {
    let none = || Error::new(Kind::Usage, "no flagspace is selected").hint("'fs name' selects one");
    ctx.core.flags.selected.clone().ok_or_else(none)
}

/// A selection that was left with `fs+`.
#[derive(Serialize)]
#[serde(transparent)]
struct Earlier<'a>(&'a str);

impl Item for Earlier<'_> {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "{}", self.0)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "fs+{}", self.0)
    }
}

fn stack(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let stacked = ctx.core.flags.stacked().iter().rev();
    stacked.map(|space| Earlier(space.as_deref().unwrap_or("*"))).try_for_each(|earlier| ctx.out.item(&earlier))
}
