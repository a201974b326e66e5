//! `CC`: comments at addresses.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use super::{Arg, ArgKind, Command, Example, Family, Run, analysis, literal};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "CC", summary: "comments at addresses", commands: COMMANDS };

/// The longest comment, in bytes.
const LONGEST: usize = 64 * 1024;

const TEXT: &[Arg] = &[Arg::new("text", ArgKind::Text)];
const ADDRESS: &[Arg] = &[Arg::opt("addr", ArgKind::Number)];

const COMMANDS: &[Command] = &[
    Command {
        name: "CC",
        args: &[Arg::opt("text", ArgKind::Text)],
        summary: "list comments, or comment on the current address",
        details: "A comment that is there already gets the text behind its own. Escapes (\\n, \\x41) stand for what they \
                  mean; base64:TEXT is decoded. 'pxc' shows comments beside the bytes, '@@C' runs a command at each.",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: Permissions::READ,
        examples: &[
            Example { line: "CC hi there @ 0x10; CC", shows: "0x00000010 CCu \"hi there\"" },
            Example { line: "CC one; CC two; CC.", shows: "one two" },
            Example { line: "CC hi @ 4; CCj", shows: r#"[{"offset":4,"type":"CCu","name":"hi"}]"# },
            Example { line: "CC hi @ 4; CC*", shows: "CCu base64:aGk= @ 0x00000004" },
            Example { line: "CC hi @ 4; CCq", shows: "0x00000004" },
        ],
        run: Run::Core(comment),
        ..Command::DEFAULT
    },
    Command {
        name: "CC.",
        args: ADDRESS,
        summary: "show the comment at an address",
        examples: &[Example { line: "CC hi @ 4; CC. 4; CC. @ 4", shows: "hi\nhi" }],
        run: Run::Core(show),
        ..Command::DEFAULT
    },
    Command {
        name: "CCu",
        args: TEXT,
        summary: "set the comment at the current address, in place of the one there",
        needs: Permissions::READ,
        examples: &[Example { line: "CC one; CCu two; CC.", shows: "two" }],
        run: Run::Core(replace),
        ..Command::DEFAULT
    },
    Command {
        name: "CCf",
        args: ADDRESS,
        summary: "list the comments in the function here",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        examples: &[Example {
            line: "wx 9090c3; af work 0; CC in @ 1; CC out @ 8; CCf",
            shows: "0x00000001 CCu \"in\"",
        }],
        run: Run::Core(in_function),
        ..Command::DEFAULT
    },
    Command {
        name: "CCf-",
        args: ADDRESS,
        summary: "remove the comments in the function here",
        needs: Permissions::READ,
        examples: &[Example {
            line: "wx 9090c3; af work 0; CC in @ 1; CC out @ 8; CCf-; CC",
            shows: "0x00000008 CCu \"out\"",
        }],
        run: Run::Core(remove_in_function),
        ..Command::DEFAULT
    },
    Command {
        name: "CC-",
        args: &[Arg::opt("addr|*", ArgKind::Word)],
        summary: "remove the comment at an address, or all (*)",
        needs: Permissions::READ,
        examples: &[
            Example { line: "CC one; CC two @ 4; CC-; CC", shows: "0x00000004 CCu \"two\"" },
            Example { line: "CC one; CC two @ 4; CC-*; CC", shows: "" },
        ],
        run: Run::Core(remove),
        ..Command::DEFAULT
    },
];

/// A comment in a listing.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    offset: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
}

impl<'a> Row<'a> {
    /// The comment `name` at `offset`.
    pub(super) fn new(offset: u64, name: &'a str) -> Row<'a> {
        Row { offset, kind: "CCu", name }
    }
}

impl Item for Row<'_> {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "0x{:08x} {} \"{}\"", self.offset, self.kind, visible(self.name))
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x}", self.offset)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        // Text of any kind is safe to be run only so.
        writeln!(out, "CCu base64:{} @ 0x{:08x}", BASE64.encode(self.name), self.offset)
    }
}

fn comment(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if ctx.args.words.is_empty() {
        let mut comments = ctx.core.comments.iter();
        return comments.try_for_each(|(offset, name)| ctx.out.item(&Row::new(*offset, name)));
    }
    let text = given(ctx)?;
    let text = match ctx.core.comments.get(&ctx.view.seek) {
        Some(before) => format!("{before} {text}"),
        None => text,
    };
    set(ctx, text)
}

/// The text that the arguments stand for.
fn given(ctx: &Ctx<'_, '_>) -> Result<String> {
    decode(&ctx.args.text)
}

/// `text` with its escapes taken for what they mean, or decoded when it is `base64:...`.
pub(super) fn decode(text: &str) -> Result<String> {
    let bytes = match text.strip_prefix("base64:") {
        Some(encoded) => BASE64
            .decode(encoded.trim())
            .map_err(|error| Error::new(Kind::Usage, format!("'{}' is not base64: {error}", visible(encoded))))?,
        None => literal::unescape(text)?,
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn set(ctx: &mut Ctx<'_, '_>, text: String) -> Result<()> {
    if text.len() > LONGEST {
        return Err(Error::new(Kind::Limit, format!("a comment of {} bytes is too long", text.len()))
            .hint(format!("at most {LONGEST}")));
    }
    ctx.core.comments.insert(ctx.view.seek, text);
    Ok(())
}

fn replace(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let text = given(ctx)?;
    set(ctx, text)
}

fn show(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = ctx.number(0)?.unwrap_or(ctx.view.seek);
    match ctx.core.comments.get(&address) {
        Some(text) => ctx.out.line(visible(text)),
        None => Ok(()),
    }
}

fn remove(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if ctx.word(0) == Some("*") {
        ctx.core.comments.clear();
        return Ok(());
    }
    let address = ctx.number(0)?.unwrap_or(ctx.view.seek);
    match ctx.core.comments.remove(&address) {
        Some(_) => Ok(()),
        None => Err(Error::new(Kind::NotFound, format!("no comment at 0x{address:08x}")).hint("'CC' lists them")),
    }
}

/// The addresses of the comments in the function at the argument.
fn of_function(ctx: &mut Ctx<'_, '_>) -> Result<Vec<u64>> {
    let address = ctx.number(0)?.unwrap_or(ctx.view.seek);
    let function = analysis::run::function_at(ctx, address)?;
    let covers = |block: &crate::analysis::Block| block.address..=block.address.saturating_add(block.size - 1);
    let comments = &ctx.core.comments;
    Ok(function.blocks.iter().flat_map(|block| comments.range(covers(block))).map(|(address, _)| *address).collect())
}

fn in_function(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    for address in of_function(ctx)? {
        if let Some(text) = ctx.core.comments.get(&address) {
            ctx.out.item(&Row::new(address, text))?;
        }
    }
    Ok(())
}

fn remove_in_function(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    for address in of_function(ctx)? {
        ctx.core.comments.remove(&address);
    }
    Ok(())
}
