//! `ax`: who refers to what.

use std::io::{self, Write};

use serde::Serialize;

use super::functions::program;
use super::text::Writer;
use super::{ADDRESS, LOOK, address};
use crate::analysis::{Kind, Reference};
use crate::commands::{Arg, ArgKind, Command, Example, Run};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::output::{Item, Mode, Style};
use crate::session::{Core, Ctx};

const PAIR: &[Arg] = &[Arg::new("to", ArgKind::Word), Arg::opt("from", ArgKind::Number)];
const MODES: &[Mode] = &[Mode::Json, Mode::Quiet, Mode::Commands];

/// The commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "ax",
        summary: "list references",
        modes: MODES,
        examples: &[
            Example {
                line: "f a 1 0x10; axC 0x20 0x10; ax",
                shows: "                                       a 0x10 ->      CALL -> 0x20",
            },
            Example {
                line: "axd 0x20 0x10; axj",
                shows: r#"[{"from":16,"to":32,"type":"DATA","name":"","refname":""}]"#,
            },
            Example { line: "axd 0x20 0x10; ax*", shows: "axd 0x00000020 0x00000010" },
        ],
        run: Run::Core(all),
        ..LOOK
    },
    Command {
        name: "axt",
        args: ADDRESS,
        summary: "list who refers to an address",
        modes: MODES,
        examples: &[Example { line: program!("afr main 0x10; axt 0x20"), shows: "main 0x10 [CALL] call fcn.00000020" }],
        run: Run::Core(to),
        ..LOOK
    },
    Command {
        name: "axf",
        args: ADDRESS,
        summary: "list what the instruction at an address refers to",
        modes: MODES,
        examples: &[Example { line: program!("afr main 0x10; axf 0x10"), shows: "CALL 0x20 call fcn.00000020" }],
        run: Run::Core(from),
        ..LOOK
    },
    Command {
        name: "axff",
        args: ADDRESS,
        summary: "list what the function at an address refers to",
        modes: MODES,
        examples: &[Example { line: program!("afr main 0x10; axffq 0x15"), shows: "0x00000020" }],
        run: Run::Core(from_function),
        ..LOOK
    },
    Command {
        name: "axc",
        args: PAIR,
        summary: "add a jump to an address, from the current one",
        examples: &[Example { line: "axc 0x20 @ 4; ax*", shows: "axc 0x00000020 0x00000004" }],
        run: Run::Core(|ctx| add(ctx, Kind::Code)),
        ..LOOK
    },
    Command {
        name: "axC",
        args: PAIR,
        summary: "add a call of an address, from the current one",
        examples: &[Example { line: "axC 0x20 @ 4; ax*", shows: "axC 0x00000020 0x00000004" }],
        run: Run::Core(|ctx| add(ctx, Kind::Call)),
        ..LOOK
    },
    Command {
        name: "axd",
        args: PAIR,
        summary: "add a reference to data at an address, from the current one",
        examples: &[Example { line: "axd 0x20 @ 4; axtq 0x20", shows: "0x00000004" }],
        run: Run::Core(|ctx| add(ctx, Kind::Data)),
        ..LOOK
    },
    Command {
        name: "axs",
        args: PAIR,
        summary: "add a reference to text at an address, from the current one",
        examples: &[Example { line: "axs 0x20 @ 4; ax*", shows: "axs 0x00000020 0x00000004" }],
        run: Run::Core(|ctx| add(ctx, Kind::Text)),
        ..LOOK
    },
    Command {
        name: "ax-",
        args: &[Arg::opt("from|*", ArgKind::Word), Arg::opt("to", ArgKind::Number)],
        summary: "forget the references from an address (to another), or all (*)",
        examples: &[
            Example { line: "axd 0x20 4; axd 0x30 4; ax- 4 0x20; ax*", shows: "axd 0x00000030 0x00000004" },
            Example { line: "axd 0x20 4; ax-*; ax", shows: "" },
        ],
        run: Run::Core(remove),
        ..LOOK
    },
];

/// What an address is called: a flag there, or the one before it with the distance.
fn name(core: &Core, address: u64) -> String {
    match core.flags.at(address).next() {
        Some(flag) => flag.name.clone(),
        None => core
            .analysis
            .containing(address)
            .map(|function| format!("{}+{}", function.name, address.wrapping_sub(function.address) as i64))
            .unwrap_or_default(),
    }
}

fn commands(out: &mut dyn Write, from: u64, to: u64, kind: Kind) -> io::Result<()> {
    writeln!(out, "ax{} 0x{to:08x} 0x{from:08x}", kind.letter())
}

#[derive(Serialize)]
struct Row {
    from: u64,
    to: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    refname: String,
    #[serde(skip)]
    of: Kind,
}

impl Item for Row {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let Row { from, to, kind, name, refname, .. } = self;
        let line = format!("{name:>40} 0x{from:x} -> {kind:>9} -> 0x{to:x} {refname}");
        writeln!(out, "{}", line.trim_end())
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x} -> 0x{:08x} {}", self.from, self.to, self.kind)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        commands(out, self.from, self.to, self.of)
    }
}

fn all(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let core = &*ctx.core;
    core.analysis.xrefs.iter().try_for_each(|Reference { from, to, kind }| {
        let row = Row { from, to, kind: kind.word(), name: name(core, from), refname: name(core, to), of: kind };
        ctx.out.item(&row)
    })
}

/// A reference to an address.
#[derive(Serialize)]
struct To {
    from: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    opcode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fcn_addr: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fcn_name: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    refname: String,
    #[serde(skip)]
    reference: Reference,
}

impl Item for To {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let function = self.fcn_name.as_deref().unwrap_or("(nofunc)");
        writeln!(out, "{function} 0x{:x} [{}] {}", self.from, self.kind, self.opcode)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x}", self.from)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        commands(out, self.from, self.reference.to, self.reference.kind)
    }
}

fn to(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let at = address(ctx, 0)?;
    let found: Vec<Reference> = ctx.core.analysis.xrefs.to(at).collect();
    let mut writer = Writer::new(ctx)?;
    for reference in found {
        let opcode = writer.opcode(ctx, reference.from)?;
        let function = ctx.core.analysis.containing(reference.from);
        let row = To {
            from: reference.from,
            kind: reference.kind.word(),
            opcode,
            fcn_addr: function.map(|function| function.address),
            fcn_name: function.map(|function| function.name.clone()),
            refname: name(ctx.core, at),
            reference,
        };
        ctx.out.item(&row)?;
    }
    Ok(())
}

/// A reference from an instruction.
#[derive(Serialize)]
struct From {
    from: u64,
    to: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    opcode: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    refname: String,
    #[serde(skip)]
    of: Kind,
}

impl Item for From {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "{} 0x{:x} {}", self.kind, self.to, self.opcode)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x}", self.to)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        commands(out, self.from, self.to, self.of)
    }
}

fn from(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let at = address(ctx, 0)?;
    let found: Vec<Reference> = ctx.core.analysis.xrefs.from(at).collect();
    show_from(ctx, &found)
}

fn from_function(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let at = address(ctx, 0)?;
    let function = super::run::function_at(ctx, at)?;
    let blocks: Vec<(u64, u64)> = function.blocks.iter().map(|block| (block.address, block.size)).collect();
    let found: Vec<Reference> = blocks
        .iter()
        .flat_map(|(start, size)| ctx.core.analysis.xrefs.from_between(*start, start + (size - 1)))
        .filter(|found| !(found.kind == Kind::Code && blocks.iter().any(|(start, _)| *start == found.to)))
        .collect();
    show_from(ctx, &found)
}

fn show_from(ctx: &mut Ctx<'_, '_>, found: &[Reference]) -> Result<()> {
    let mut writer = Writer::new(ctx)?;
    for &Reference { from, to, kind } in found {
        let opcode = writer.opcode(ctx, from)?;
        let row = From { from, to, kind: kind.word(), opcode, refname: name(ctx.core, to), of: kind };
        ctx.out.item(&row)?;
    }
    Ok(())
}

fn add(ctx: &mut Ctx<'_, '_>, kind: Kind) -> Result<()> {
    let to = ctx.required(0)?;
    let from = address(ctx, 1)?;
    ctx.core.analysis.xrefs.add(Reference { from, to, kind });
    if ctx.core.analysis.xrefs.is_full() {
        return Err(Error::new(ErrorKind::Limit, "there are too many references").hint("'ax-*' forgets all"));
    }
    Ok(())
}

fn remove(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if ctx.word(0) == Some("*") {
        ctx.core.analysis.xrefs.clear();
        return Ok(());
    }
    let from = address(ctx, 0)?;
    let to = ctx.number(1)?;
    match ctx.core.analysis.xrefs.remove(from, to) {
        0 => Err(Error::new(ErrorKind::NotFound, format!("no reference from 0x{from:08x}")).hint("'ax' lists them")),
        _ => Ok(()),
    }
}
