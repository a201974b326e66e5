//! `f`: flags: names for addresses. Flagspaces are next door, in `flagspaces`.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::error::{Error, Kind, Result};
use crate::output::{Executor, Item, Mode, Out, Style, visible};
use crate::session::context::Args;
use crate::session::flags::{self, Flag, Sort};
use crate::session::{Ctx, Permissions, Session};

/// The family.
pub const FAMILY: Family = Family { name: "f", summary: "flags: names for addresses", commands: COMMANDS };

const ADDRESS: &[Arg] = &[Arg::opt("addr", ArgKind::Number)];
const NAME: &[Arg] = &[Arg::new("name", ArgKind::Flag)];
const DEFINITION: [Arg; 4] = [
    Arg::opt("name", ArgKind::Word),
    Arg::opt("size", ArgKind::Word),
    Arg::opt("addr", ArgKind::Word),
    Arg::opt("comment", ArgKind::Text),
];
const REQUIRED_DEFINITION: [Arg; 4] = [Arg::new("name", ArgKind::Word), DEFINITION[1], DEFINITION[2], DEFINITION[3]];

const COMMANDS: &[Command] = &[
    Command {
        name: "f",
        args: &DEFINITION,
        summary: "list flags, or set one here",
        details: "'f name' sets a flag of one byte at the seek, 'f name = addr' (or name=addr) elsewhere. A comment may \
                  be written as base64:TEXT. Only the flags of the selected flagspace are listed ('fs').",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: Permissions::READ,
        examples: &[
            Example { line: "f foo 4 0x10; f", shows: "0x00000010 4 foo" },
            Example { line: "f foo=0x10; f bar = 0x20; f", shows: "0x00000010 1 foo\n0x00000020 0 bar" },
            Example {
                line: "f foo 4 16 a comment; fj",
                shows: r#"[{"name":"foo","size":4,"offset":16,"comment":"a comment"}]"#,
            },
            Example { line: "f foo 4 16 a comment; f*", shows: "fs *\nf foo 4 0x00000010 base64:YSBjb21tZW50" },
            Example { line: "s 8; f b; f a 2; fq", shows: "b\na" },
        ],
        run: Run::Core(f),
        ..Command::DEFAULT
    },
    Command {
        name: "f+",
        args: &REQUIRED_DEFINITION,
        summary: "set a flag unless there is one at that address",
        needs: Permissions::READ,
        examples: &[Example { line: "f+foo=10; f+cow=10; f", shows: "0x0000000a 1 foo" }],
        run: Run::Core(set_new),
        ..Command::DEFAULT
    },
    Command {
        name: "f-",
        args: &[Arg::opt("name", ArgKind::Flag).many()],
        summary: "remove flags: by name, by glob ('f-hit*', 'f-*'), or those at the seek",
        details: "Globs and 'f-' alone remove only what 'f' lists: the flags of the selected flagspace.",
        needs: Permissions::READ,
        examples: &[
            Example { line: "f a; f b; f-a; fq", shows: "b" },
            Example { line: "f hit0; f hit1; f a; f-hit*; fq", shows: "a" },
            Example { line: "f a; f b 1 4; f-; fq", shows: "b" },
        ],
        run: Run::Core(remove),
        ..Command::DEFAULT
    },
    Command {
        name: "f--",
        summary: "remove all flags and flagspaces",
        needs: Permissions::READ,
        examples: &[Example { line: "fs one; f a; f--; f; fs", shows: "" }],
        run: Run::Core(clear),
        ..Command::DEFAULT
    },
    Command {
        name: "f?",
        args: NAME,
        summary: "set $? to 1 if the flag exists, else to 0",
        details: "Made for conditions: 'f?main; ?? s main'.",
        run: Run::Core(exists),
        ..Command::DEFAULT
    },
    Command {
        name: "fd",
        args: ADDRESS,
        summary: "describe an address by the flag at or before it",
        modes: &[Mode::Json],
        examples: &[
            Example { line: "f foo 4 0x10; fd 0x12; fd foo", shows: "foo + 2\nfoo" },
            Example { line: "f foo 4 0x10; fdj 0x12", shows: r#"{"offset":18,"name":"foo","delta":2}"# },
        ],
        run: Run::Core(describe),
        ..Command::DEFAULT
    },
    Command {
        name: "fd.",
        args: ADDRESS,
        summary: "name every flag exactly at an address",
        examples: &[Example { line: "f a 1 4; f b 1 4; fd. 4", shows: "a\nb" }],
        run: Run::Core(names_here),
        ..Command::DEFAULT
    },
    Command {
        name: "fdd",
        args: ADDRESS,
        summary: "name the flag exactly at an address, if there is one",
        examples: &[Example { line: "f foo 4 0x10; fdd 0x12; fdd 0x10", shows: "foo" }],
        run: Run::Core(name_here),
        ..Command::DEFAULT
    },
    Command {
        name: "fe",
        args: &[Arg::new("prefix", ArgKind::Word)],
        summary: "set the next of prefix.0, prefix.1, ... at the seek",
        needs: Permissions::READ,
        examples: &[Example { line: "fe a; s 4; fe a; f", shows: "0x00000000 1 a.0\n0x00000004 1 a.1" }],
        run: Run::Core(enumerate),
        ..Command::DEFAULT
    },
    Command {
        name: "fe-",
        summary: "let fe count from 0 again",
        needs: Permissions::READ,
        examples: &[Example { line: "fe a; fe-; s 4; fe a; f", shows: "0x00000004 1 a.0" }],
        run: Run::Core(enumerate_again),
        ..Command::DEFAULT
    },
    Command {
        name: "ff",
        args: &[Arg::opt("glob", ArgKind::Flag)],
        summary: "show how many bytes it is to the next flag",
        examples: &[Example { line: "f a 1 8; f b 1 0x20; ff; ff b*", shows: "8\n32" }],
        run: Run::Core(distance),
        ..Command::DEFAULT
    },
    Command {
        name: "fi",
        args: &[Arg::opt("from", ArgKind::Word), Arg::opt("to", ArgKind::Number)],
        summary: "list the flags in the block, in so many bytes, or between two addresses",
        modes: &[Mode::Json, Mode::Quiet],
        examples: &[
            Example { line: "f a 1 4; f b 1 0x120; fi", shows: "0x00000004 1 a" },
            Example { line: "f a 1 4; f b 1 0x120; fi 0x100 0x200", shows: "0x00000120 1 b" },
        ],
        run: Run::Core(in_range),
        ..Command::DEFAULT
    },
    Command {
        name: "fl",
        args: &[Arg::opt("name", ArgKind::Flag), Arg::opt("size", ArgKind::Number)],
        summary: "show or set the size of a flag ('fl 4': of the one at the seek)",
        needs: Permissions::READ,
        examples: &[Example { line: "f foo 4 0x10; fl foo; fl foo 8; fl foo", shows: "0x00000004\n0x00000008" }],
        run: Run::Core(size),
        ..Command::DEFAULT
    },
    Command {
        name: "fm",
        args: &[Arg::new("addr", ArgKind::Number)],
        summary: "move the flag at the seek to another address",
        needs: Permissions::READ,
        examples: &[Example { line: "f foo; fm 0x10; f", shows: "0x00000010 1 foo" }],
        run: Run::Core(relocate),
        ..Command::DEFAULT
    },
    Command {
        name: "fr",
        args: &[Arg::new("old", ArgKind::Flag), Arg::opt("new", ArgKind::Word)],
        summary: "rename a flag (with one name: the flag at the seek)",
        needs: Permissions::READ,
        examples: &[Example { line: "f blah=0x100; fr blah bloh; f", shows: "0x00000100 1 bloh" }],
        run: Run::Core(rename),
        ..Command::DEFAULT
    },
    Command {
        name: "fC",
        args: &[Arg::new("name", ArgKind::Flag), Arg::opt("comment", ArgKind::Text)],
        summary: "show or set the comment of a flag",
        details: "The text may be written as base64:TEXT.",
        needs: Permissions::READ,
        examples: &[Example { line: "f a; fC a base64:d29ya3MgdG9v; fC a", shows: "works too" }],
        run: Run::Core(comment),
        ..Command::DEFAULT
    },
    Command {
        name: "fN",
        args: &[Arg::opt("name", ArgKind::Flag), Arg::opt("real name", ArgKind::Text)],
        summary: "show or set the original name of a flag (without a name: of the one at the seek)",
        details: "Names that cannot stand in expressions are kept here. The text may be written as base64:TEXT.",
        needs: Permissions::READ,
        examples: &[Example { line: "f sym.add; fN sym.add add(int, int); fN", shows: "add(int, int)" }],
        run: Run::Core(real_name),
        ..Command::DEFAULT
    },
    Command {
        name: "fn",
        summary: "list flags with their original names",
        modes: &[Mode::Json],
        examples: &[Example {
            line: "f a; f b; fN b operator<<; fn",
            shows: "0x00000000 1 a\n0x00000000 1 operator<<",
        }],
        run: Run::Core(list_real_names),
        ..Command::DEFAULT
    },
    Command {
        name: "fR",
        args: &[Arg::new("from", ArgKind::Word), Arg::new("to", ArgKind::Word), Arg::opt("mask", ArgKind::Number)],
        summary: "move all flags around one address to another, keeping the low bits (mask, default 0xffff)",
        needs: Permissions::READ,
        examples: &[Example { line: "f a 1 0x10004; fR 0x10000 0x7f0000; f", shows: "0x007f0004 1 a" }],
        run: Run::Core(rebase),
        ..Command::DEFAULT
    },
    Command {
        name: "fSo",
        summary: "list flags by address",
        examples: &[Example { line: "f b; f a 1 4; fSn; fSo; fq", shows: "b\na" }],
        run: Run::Core(|ctx| sort(ctx, Sort::Address)),
        ..Command::DEFAULT
    },
    Command {
        name: "fSn",
        summary: "list flags by name",
        examples: &[Example { line: "f b; f a 1 4; fSn; fq", shows: "a\nb" }],
        run: Run::Core(|ctx| sort(ctx, Sort::Name)),
        ..Command::DEFAULT
    },
    Command {
        name: "fx",
        args: NAME,
        summary: "show a hexdump of what a flag stands for",
        needs: Permissions::READ,
        run: Run::Session(dump),
        ..Command::DEFAULT
    },
];

/// A flag as listings show it.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    realname: Option<&'a str>,
    size: u64,
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
    #[serde(skip)]
    space: Option<&'a str>,
    /// Show the original name in text.
    #[serde(skip)]
    original: bool,
}

impl<'a> Row<'a> {
    fn new(flag: &'a Flag, original: bool) -> Row<'a> {
        Row {
            name: &flag.name,
            realname: flag.real_name.as_deref(),
            size: flag.size,
            offset: flag.address,
            comment: flag.comment.as_deref(),
            space: flag.space.as_deref(),
            original,
        }
    }
}

impl Item for Row<'_> {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let name = self.realname.filter(|_| self.original).unwrap_or(self.name);
        writeln!(out, "0x{:08x} {} {}", self.offset, self.size, visible(name))
    }

    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }

    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "fs {}", self.space.unwrap_or("*"))?;
        write!(out, "f {} {} 0x{:08x}", self.name, self.size, self.offset)?;
        match self.comment {
            Some(comment) => writeln!(out, " base64:{}", BASE64.encode(comment))?,
            None => writeln!(out)?,
        }
        // Original names come from files: only base64 is safe to be run as a command.
        match self.realname {
            Some(name) => writeln!(out, "fN {} base64:{}", self.name, BASE64.encode(name)),
            None => Ok(()),
        }
    }
}

fn first(args: &Args) -> &str {
    args.words.first().map(String::as_str).unwrap_or_default()
}

fn list<'a>(out: &mut Out<'_>, flags: impl Iterator<Item = &'a Flag>, sort: Sort, original: bool) -> Result<()> {
    match sort {
        Sort::Address => flags.into_iter().try_for_each(|flag| out.item(&Row::new(flag, original))),
        Sort::Name => {
            let mut flags: Vec<&Flag> = flags.collect();
            flags.sort_by(|a, b| a.name.cmp(&b.name));
            flags.into_iter().try_for_each(|flag| out.item(&Row::new(flag, original)))
        }
    }
}

fn f(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if ctx.args.words.is_empty() {
        return list(ctx.out, ctx.core.flags.visible(), ctx.core.flags.sort, false);
    }
    let definition = Definition::read(ctx)?;
    definition.set(ctx);
    Ok(())
}

fn set_new(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let definition = Definition::read(ctx)?;
    if ctx.core.flags.at(definition.address).next().is_none() {
        definition.set(ctx);
    }
    Ok(())
}

/// What the arguments of `f` and `f+` say.
struct Definition {
    name: String,
    size: u64,
    address: u64,
    comment: Option<String>,
}

impl Definition {
    fn read(ctx: &mut Ctx<'_, '_>) -> Result<Definition> {
        let words = &ctx.args.words;
        let first = words.first().cloned().unwrap_or_default();
        let rest = |from: usize| words.get(from..).unwrap_or_default().join(" ");
        // `name=addr` marks one byte; `name = addr` says nothing of a size and, as ever, gives 0.
        let assignment = match (first.split_once('='), words.get(1).and_then(|second| second.strip_prefix('='))) {
            (Some((name, start)), _) => Some((name.to_string(), format!("{start} {}", rest(1)), 1)),
            (None, Some(start)) => Some((first.clone(), format!("{start} {}", rest(2)), 0)),
            (None, None) => None,
        };
        if let Some((name, expression, size)) = assignment {
            flags::check_name(&name)?;
            return Ok(Definition { name, size, address: ctx.evaluate(&expression)?, comment: None });
        }
        flags::check_name(&first)?;
        let comment = (words.len() > 3).then(|| text_or_base64(&rest(3))).transpose()?;
        let size = ctx.number(1)?.unwrap_or(1);
        let address = ctx.number(2)?.unwrap_or(ctx.view.seek);
        Ok(Definition { name: first, size, address, comment })
    }

    fn set(self, ctx: &mut Ctx<'_, '_>) {
        ctx.core.flags.set(&self.name, self.address, self.size);
        if self.comment.is_some() {
            ctx.core.flags.set_comment(&self.name, self.comment);
        }
    }
}

/// Text as it is, or the text that `base64:` encodes.
fn text_or_base64(text: &str) -> Result<String> {
    let Some(encoded) = text.strip_prefix("base64:") else { return Ok(text.to_string()) };
    let bytes = BASE64
        .decode(encoded.trim())
        .map_err(|error| Error::new(Kind::Usage, format!("'{encoded}' is not base64: {error}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn remove(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let flags = &mut ctx.core.flags;
    if ctx.args.words.is_empty() {
        let selected = flags.selected.clone();
        let here = flags.at(ctx.view.seek).filter(|flag| selected.is_none() || flag.space == selected);
        let names: Vec<String> = here.map(|flag| flag.name.clone()).collect();
        names.iter().for_each(|name| _ = flags.remove(name));
        return Ok(());
    }
    for word in &ctx.args.words {
        if word.contains(['*', '?']) {
            let names: Vec<String> = flags.matching(word).map(|flag| flag.name.clone()).collect();
            names.iter().for_each(|name| _ = flags.remove(name));
        } else if flags.remove(word).is_none() {
            return Err(flags::unknown(word));
        }
    }
    Ok(())
}

fn clear(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    ctx.core.flags.clear();
    Ok(())
}

fn exists(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let found = ctx.word(0).is_some_and(|name| ctx.core.flags.get(name).is_some());
    ctx.view.last = found.into();
    Ok(())
}

/// An address as flag and distance.
#[derive(Serialize)]
struct Place<'a> {
    offset: u64,
    name: &'a str,
    delta: u64,
}

impl Item for Place<'_> {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        match self.delta {
            0 => writeln!(out, "{}", self.name),
            delta => writeln!(out, "{} + {delta}", self.name),
        }
    }
}

fn describe(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = ctx.number(0)?.unwrap_or(ctx.view.seek);
    let flag = ctx
        .core
        .flags
        .nearest(address)
        .ok_or_else(|| Error::new(Kind::NotFound, format!("no flag at or before 0x{address:08x}")))?;
    ctx.out.value(&Place { offset: address, name: &flag.name, delta: address - flag.address })
}

fn names_here(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = ctx.number(0)?.unwrap_or(ctx.view.seek);
    ctx.core.flags.at(address).try_for_each(|flag| ctx.out.line(&flag.name))
}

fn name_here(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = ctx.number(0)?.unwrap_or(ctx.view.seek);
    match ctx.core.flags.nearest(address).filter(|flag| flag.address == address) {
        Some(flag) => ctx.out.line(&flag.name),
        None => Ok(()),
    }
}

fn distance(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let seek = ctx.view.seek;
    let glob = ctx.word(0).unwrap_or("*");
    let behind = ctx.core.flags.matching(glob).find(|flag| flag.address > seek);
    let flag = behind.ok_or_else(|| Error::new(Kind::NotFound, format!("no such flag behind 0x{seek:08x}")))?;
    ctx.out.line(flag.address - seek)
}

fn enumerate(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let prefix = first(ctx.args);
    flags::check_name(prefix)?;
    let name = format!("{prefix}.{}", ctx.core.flags.enumerate(prefix));
    ctx.core.flags.set(&name, ctx.view.seek, 1);
    Ok(())
}

fn enumerate_again(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    ctx.core.flags.reset_counters();
    Ok(())
}

fn in_range(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let seek = ctx.view.seek;
    let (from, to) = match (ctx.number(0)?, ctx.number(1)?) {
        (Some(from), Some(to)) => (from, to),
        (Some(length), None) => (seek, seek.saturating_add(length)),
        (None, _) => (seek, seek.saturating_add(ctx.view.block_size)),
    };
    list(ctx.out, ctx.core.flags.visible_between(from, to), ctx.core.flags.sort, false)
}

/// The name of the latest flag exactly at the seek.
fn flag_here(ctx: &Ctx<'_, '_>) -> Result<String> {
    let seek = ctx.view.seek;
    let here = ctx.core.flags.nearest(seek).filter(|flag| flag.address == seek);
    here.map(|flag| flag.name.clone()).ok_or_else(|| Error::new(Kind::NotFound, format!("no flag at 0x{seek:08x}")))
}

fn size(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (name, size) = match (ctx.word(0), ctx.word(1)) {
        (Some(name), Some(_)) => (name.to_string(), ctx.number(1)?),
        (Some(name), None) if ctx.core.flags.get(name).is_some() => (name.to_string(), None),
        (Some(_), None) => (flag_here(ctx)?, ctx.number(0)?),
        (None, _) => (flag_here(ctx)?, None),
    };
    match size {
        Some(size) if ctx.core.flags.resize(&name, size) => Ok(()),
        Some(_) => Err(flags::unknown(&name)),
        None => {
            let size = ctx.core.flags.get(&name).map(|flag| flag.size).ok_or_else(|| flags::unknown(&name))?;
            ctx.out.line(format_args!("0x{size:08x}"))
        }
    }
}

fn relocate(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = ctx.required(0)?;
    let name = flag_here(ctx)?;
    ctx.core.flags.relocate(&name, address);
    Ok(())
}

fn rename(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let first = ctx.word(0).unwrap_or_default().to_string();
    let (old, new) = match ctx.word(1) {
        Some(new) => (first, new.to_string()),
        None => (flag_here(ctx)?, first),
    };
    ctx.core.flags.rename(&old, &new)
}

fn comment(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let name = first(ctx.args);
    let flag = ctx.core.flags.get(name).ok_or_else(|| flags::unknown(name))?;
    if ctx.args.words.len() == 1 {
        return match &flag.comment {
            Some(comment) => ctx.out.line(visible(comment)),
            None => Ok(()),
        };
    }
    let comment = text_or_base64(&ctx.args.words[1..].join(" "))?;
    ctx.core.flags.set_comment(name, Some(comment));
    Ok(())
}

fn real_name(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let name = match ctx.word(0) {
        Some(name) => name.to_string(),
        None => flag_here(ctx)?,
    };
    let flag = ctx.core.flags.get(&name).ok_or_else(|| flags::unknown(&name))?;
    if ctx.args.words.len() <= 1 {
        return ctx.out.line(visible(flag.real_name.as_ref().unwrap_or(&flag.name)));
    }
    let real = text_or_base64(&ctx.args.words[1..].join(" "))?;
    ctx.core.flags.set_real_name(&name, Some(real));
    Ok(())
}

fn list_real_names(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    list(ctx.out, ctx.core.flags.visible(), ctx.core.flags.sort, true)
}

fn rebase(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (from, to) = (ctx.required(0)?, ctx.required(1)?);
    let mask = ctx.number(2)?.unwrap_or(0xffff);
    let moved = |flag: &&Flag| flag.address & !mask == from & !mask;
    let moves: Vec<(String, u64)> = (ctx.core.flags.visible().filter(moved))
        .map(|flag| (flag.name.clone(), (to & !mask) | (flag.address & mask)))
        .collect();
    for (name, address) in &moves {
        ctx.core.flags.relocate(name, *address);
    }
    ctx.view.last = moves.len() as u64;
    Ok(())
}

fn sort(ctx: &mut Ctx<'_, '_>, sort: Sort) -> Result<()> {
    ctx.core.flags.sort = sort;
    Ok(())
}

fn dump(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let name = first(args);
    let (address, size) = session
        .with(|core, _| core.flags.get(name).map(|flag| (flag.address, flag.size)))
        .ok_or_else(|| flags::unknown(name))?;
    session.execute(&format!("px {size} @ 0x{address:x}"), out)
}
