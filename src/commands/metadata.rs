//! `C`: what bytes are: data, text, records, hidden, typed.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use super::{Arg, ArgKind, Command, Example, Family, Run, comments};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::metadata::{Entry, Kind};
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family =
    Family { name: "C", summary: "what bytes are: data, text, records, hidden", commands: COMMANDS };

/// Most bytes that one entry covers.
const LONGEST: u64 = 1 << 32;
/// Most bytes of text that an entry shows.
const TEXT_LIMIT: u64 = 4096;

const REMOVE: &[Arg] = &[Arg::opt("len|*", ArgKind::Word)];
const MODES: &[Mode] = &[Mode::Json, Mode::Quiet, Mode::Commands];

/// What commands that list or set have in common.
const SET: Command = Command { modes: MODES, needs: Permissions::READ, ..Command::DEFAULT };
/// What commands that remove have in common.
const UNSET: Command = Command { args: REMOVE, needs: Permissions::READ, ..Command::DEFAULT };

const COMMANDS: &[Command] = &[
    Command {
        name: "C",
        summary: "list what is known about bytes, and comments",
        examples: &[
            Example {
                line: "Cd 8 @ 4; Cs 2 @ 0x10; CC hi; C",
                shows: "0x00000000 CCu \"hi\"\n0x00000004 data Cd 8\n0x00000010 ascii[2] \"\"",
            },
            Example { line: "Cd 8 @ 4; CC hi; C*", shows: "CCu base64:aGk= @ 0x00000000\nCd 8 @ 0x00000004" },
        ],
        run: Run::Core(|ctx| list(ctx, None)),
        ..SET
    },
    Command {
        name: "C-",
        summary: "forget what the bytes here are, with the comment; *: everywhere",
        details: "An entry goes when any of its bytes is among them.",
        examples: &[
            Example {
                line: "Cd 8; CC x; Ch 4 @ 0x20; C- @ 4; C",
                shows: "0x00000000 CCu \"x\"\n0x00000020 hidden Ch 4",
            },
            Example { line: "Cd 8; CC x; C-*; C", shows: "" },
        ],
        run: Run::Core(|ctx| remove(ctx, None)),
        ..UNSET
    },
    Command {
        name: "Cd",
        args: &[Arg::opt("len", ArgKind::Word), Arg::opt("count", ArgKind::Number)],
        summary: "say that numbers of so many bytes are here, or list such places",
        examples: &[
            Example { line: "Cd 8 @ 0x10; Cd", shows: "0x00000010 data Cd 8" },
            Example { line: "Cd 4 2 @ 8; Cdq", shows: "0x00000008\n0x0000000c" },
            Example { line: "Cd 8 @ 1; Cdj", shows: r#"[{"offset":1,"type":"Cd","name":"","size":8}]"# },
        ],
        run: Run::Core(data),
        ..SET
    },
    Command {
        name: "Cd-",
        summary: "forget that numbers are here, or everywhere (*)",
        examples: &[Example { line: "Cd 8; Cd-; C", shows: "" }],
        run: Run::Core(|ctx| remove(ctx, Some(Kind::Data))),
        ..UNSET
    },
    Command {
        name: "Cs",
        args: &[Arg::opt("len", ArgKind::Number)],
        summary: "say that text of so many bytes is here, or list such places",
        details: "A length of 0 means: up to the first zero byte.",
        examples: &[
            Example { line: "w hello; Cs 5; Cs", shows: "0x00000000 ascii[5] \"hello\"" },
            Example { line: "w hello @ 4; Cs 0 @ 4; Cs*", shows: "Cs 6 @ 0x00000004" },
        ],
        run: Run::Core(text),
        ..SET
    },
    Command {
        name: "Csz",
        summary: "say that text up to the first zero byte is here",
        needs: Permissions::READ,
        examples: &[Example {
            line: "w hello; Csz; Csj",
            shows: r#"[{"offset":0,"type":"Cs","name":"hello","size":6}]"#,
        }],
        run: Run::Core(|ctx| mark_text(ctx, 0)),
        ..Command::DEFAULT
    },
    Command {
        name: "Cs-",
        summary: "forget that text is here, or everywhere (*)",
        examples: &[Example { line: "w hi; Csz; Cs-; Cs", shows: "" }],
        run: Run::Core(|ctx| remove(ctx, Some(Kind::Text))),
        ..UNSET
    },
    Command {
        name: "Ch",
        args: &[Arg::opt("len", ArgKind::Number)],
        summary: "leave so many bytes here out of listings, or list such places",
        examples: &[Example { line: "Ch 16 @ 8; Ch", shows: "0x00000008 hidden Ch 16" }],
        run: Run::Core(hidden),
        ..SET
    },
    Command {
        name: "Ch-",
        summary: "show hidden bytes here again, or everywhere (*)",
        examples: &[Example { line: "Ch 16; Ch- @ 4; C", shows: "" }],
        run: Run::Core(|ctx| remove(ctx, Some(Kind::Hidden))),
        ..UNSET
    },
    Command {
        name: "Cf",
        args: &[Arg::opt("len", ArgKind::Word), Arg::opt("format", ArgKind::Text)],
        summary: "say that a record of so many bytes with a pf format is here, or list such places",
        examples: &[
            Example { line: "Cf 8 xx a b @ 4; Cf", shows: "0x00000004 format Cf 8 xx a b" },
            Example { line: "Cf 8 xx a b; Cf*", shows: "Cf 8 xx a b @ 0x00000000" },
        ],
        run: Run::Core(format),
        ..SET
    },
    Command {
        name: "Cf-",
        summary: "forget that a record is here, or everywhere (*)",
        examples: &[Example { line: "Cf 8 xx; Cf-; C", shows: "" }],
        run: Run::Core(|ctx| remove(ctx, Some(Kind::Format))),
        ..UNSET
    },
    Command {
        name: "Ct",
        args: &[Arg::opt("type", ArgKind::Text)],
        summary: "say which type is here, or list such places",
        examples: &[Example { line: "Ct struct node * @ 8; Ct", shows: "0x00000008 type Ct \"struct node *\"" }],
        run: Run::Core(typed),
        ..SET
    },
    Command {
        name: "Ct.",
        args: &[Arg::opt("addr", ArgKind::Number)],
        summary: "show which type is at an address",
        examples: &[Example { line: "Ct int @ 8; Ct. @ 8", shows: "int" }],
        run: Run::Core(show_type),
        ..Command::DEFAULT
    },
    Command {
        name: "Ct-",
        summary: "forget which type is here, or everywhere (*)",
        examples: &[Example { line: "Ct int; Ct-; C", shows: "" }],
        run: Run::Core(|ctx| remove(ctx, Some(Kind::Typed))),
        ..UNSET
    },
];

#[derive(Serialize)]
struct Row<'a> {
    offset: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    size: u64,
    #[serde(skip)]
    entry: &'a Entry,
}

impl<'a> Row<'a> {
    fn new(offset: u64, entry: &'a Entry) -> Row<'a> {
        Row { offset, kind: entry.kind.command(), name: &entry.text, size: entry.size, entry }
    }
}

impl Item for Row<'_> {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let (word, name) = (self.entry.kind.word(), visible(self.name));
        write!(out, "0x{:08x} {word}", self.offset)?;
        match self.entry.kind {
            Kind::Text => writeln!(out, "[{}] \"{name}\"", self.size),
            Kind::Typed => writeln!(out, " {} \"{name}\"", self.kind),
            Kind::Format => writeln!(out, " {} {} {name}", self.kind, self.size),
            Kind::Data | Kind::Hidden => writeln!(out, " {} {}", self.kind, self.size),
        }
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x}", self.offset)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.entry.kind {
            // Formats and types are words of this user; still, only what cannot end the command is shown as it is.
            Kind::Format => writeln!(out, "{} {} {} @ 0x{:08x}", self.kind, self.size, encoded(self.name), self.offset),
            Kind::Typed => writeln!(out, "{} {} @ 0x{:08x}", self.kind, encoded(self.name), self.offset),
            _ => writeln!(out, "{} {} @ 0x{:08x}", self.kind, self.size, self.offset),
        }
    }
}

/// `text` so that the shell takes it for nothing but text.
fn encoded(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " _.*[](){}?:,+-".contains(c);
    let safe = text.chars().all(plain) && !text.starts_with("base64:") && !text.contains("  ");
    // Parentheses and the like mean something to the shell when they are alone.
    if safe && !text.contains(['(', ')', '{', '}', '?']) {
        return text.to_string();
    }
    format!("base64:{}", BASE64.encode(text))
}

fn list(ctx: &mut Ctx<'_, '_>, kind: Option<Kind>) -> Result<()> {
    let core = &*ctx.core;
    let mut entries = core.metadata.iter().filter(|(_, entry)| kind.is_none_or(|kind| entry.kind == kind)).peekable();
    let mut remarks = core.comments.iter().filter(|_| kind.is_none()).peekable();
    loop {
        let comment_first = match (remarks.peek(), entries.peek()) {
            (Some((comment, _)), Some((entry, _))) => *comment <= entry,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return Ok(()),
        };
        if comment_first {
            if let Some((address, text)) = remarks.next() {
                ctx.out.item(&comments::Row::new(*address, text))?;
            }
        } else if let Some((address, entry)) = entries.next() {
            ctx.out.item(&Row::new(address, entry))?;
        }
    }
}

/// A length in bytes that an entry can have.
fn length(value: u64) -> Result<u64> {
    match value {
        1..=LONGEST => Ok(value),
        0 => Err(Error::new(ErrorKind::Usage, "a length of 0 bytes")),
        _ => {
            Err(Error::new(ErrorKind::Limit, format!("a length of 0x{value:x} bytes is too much"))
                .hint("at most 4 GiB"))
        }
    }
}

fn data(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let Some(size) = ctx.number(0)? else { return list(ctx, Some(Kind::Data)) };
    let size = length(size)?;
    let count = ctx.number(1)?.unwrap_or(1);
    if count > 1 << 16 {
        return Err(Error::new(ErrorKind::Limit, format!("{count} places at once are too many")).hint("at most 65536"));
    }
    for index in 0..count {
        let address = ctx.view.seek.wrapping_add(index.wrapping_mul(size));
        ctx.core.metadata.set(address, Entry { kind: Kind::Data, size, text: String::new() })?;
    }
    Ok(())
}

fn text(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    match ctx.number(0)? {
        None => list(ctx, Some(Kind::Text)),
        Some(size) => mark_text(ctx, size),
    }
}

fn mark_text(ctx: &mut Ctx<'_, '_>, size: u64) -> Result<()> {
    let address = ctx.view.seek;
    let mut bytes = ctx.read(address, if size == 0 { TEXT_LIMIT } else { size.min(TEXT_LIMIT) })?;
    let end = bytes.iter().position(|byte| *byte == 0);
    let size = match (size, end) {
        (0, Some(end)) => end as u64 + 1,
        (0, None) => {
            return Err(Error::new(ErrorKind::Format, format!("no text that ends is at 0x{address:08x}"))
                .hint("say how many bytes it has"));
        }
        (size, _) => length(size)?,
    };
    bytes.truncate(end.unwrap_or(bytes.len()));
    let text = String::from_utf8_lossy(&bytes).into_owned();
    ctx.core.metadata.set(address, Entry { kind: Kind::Text, size, text })
}

fn hidden(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let Some(size) = ctx.number(0)? else { return list(ctx, Some(Kind::Hidden)) };
    let size = length(size)?;
    ctx.core.metadata.set(ctx.view.seek, Entry { kind: Kind::Hidden, size, text: String::new() })
}

fn format(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let Some(size) = ctx.number(0)? else { return list(ctx, Some(Kind::Format)) };
    let size = length(size)?;
    let given = ctx.args.text.trim_start().split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim());
    if given.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "Cf without a format").hint("as in 'Cf 8 xx a b'"));
    }
    let text = comments::decode(given)?;
    ctx.core.metadata.set(ctx.view.seek, Entry { kind: Kind::Format, size, text })
}

fn typed(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if ctx.args.words.is_empty() {
        return list(ctx, Some(Kind::Typed));
    }
    let text = comments::decode(&ctx.args.text)?;
    ctx.core.metadata.set(ctx.view.seek, Entry { kind: Kind::Typed, size: 1, text })
}

fn show_type(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = ctx.number(0)?.unwrap_or(ctx.view.seek);
    let mut found = ctx.core.metadata.at(address).filter(|(_, entry)| entry.kind == Kind::Typed);
    found.try_for_each(|(_, entry)| ctx.out.line(visible(&entry.text)))
}

fn remove(ctx: &mut Ctx<'_, '_>, kind: Option<Kind>) -> Result<()> {
    if ctx.word(0) == Some("*") {
        ctx.core.metadata.clear(kind);
        if kind.is_none() {
            ctx.core.comments.clear();
        }
        return Ok(());
    }
    let size = length(ctx.number(0)?.unwrap_or(1))?;
    let address = ctx.view.seek;
    ctx.core.metadata.remove(address, size, kind);
    if kind.is_none() {
        let last = address.saturating_add(size - 1);
        ctx.core.comments.retain(|at, _| *at < address || *at > last);
    }
    Ok(())
}
