//! `afl`, `afi`, `afb`: functions and their blocks.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::functions::{VariableRow, listed, program, signature_of};
use super::{ADDRESS, LOOK, address, run};
use crate::analysis::{Analysis, Block, Frame, Function, Kind, Origin, Place};
use crate::commands::{Command, Example, Run};
use crate::error::Result;
use crate::output::{Item, Mode, Style};
use crate::session::Ctx;

/// The commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "afl",
        summary: "list functions: address, blocks, size (-> bytes in blocks), name",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        examples: &[
            Example { line: program!("af work 0x20; afl"), shows: "0x00000020    3 10           work" },
            Example { line: program!("af work 0x20; aflq"), shows: "0x00000020" },
            Example { line: program!("af work 0x20; afl*"), shows: "af+ 0x00000020 work" },
        ],
        run: Run::Core(list),
        ..LOOK
    },
    Command {
        name: "afll",
        summary: "list functions with their measures",
        examples: &[Example {
            line: program!("af work 0x20; afll"),
            shows: "address     size  nbbs edges  cc cost  min bound  range  max bound calls locals args xref frame name\n\
                    0x00000020    10     3     3   2    4 0x00000020    10 0x0000002a     0      0    1    0     0 work",
        }],
        run: Run::Core(list_long),
        ..LOOK
    },
    Command {
        name: "aflc",
        summary: "count functions",
        examples: &[Example { line: program!("af work 0x20; aflc"), shows: "1" }],
        run: Run::Core(|ctx| {
            let count = ctx.core.analysis.len();
            ctx.out.line(count)
        }),
        ..LOOK
    },
    Command {
        name: "afi",
        args: ADDRESS,
        summary: "describe the function here",
        modes: &[Mode::Json, Mode::Quiet],
        examples: &[Example { line: program!("af work 0x20; afiq 0x22"), shows: "work" }],
        run: Run::Core(describe),
        ..LOOK
    },
    Command {
        name: "afb",
        args: ADDRESS,
        summary: "list the blocks of the function here",
        modes: &[Mode::Json, Mode::Quiet],
        examples: &[Example {
            line: program!("af work 0x20; afb 0x20"),
            shows: "0x00000020 0x00000024 00:0000 4 j 0x00000029 f 0x00000024\n\
                        0x00000024 0x00000029 00:0000 5 j 0x00000029\n0x00000029 0x0000002a 00:0000 1",
        }],
        run: Run::Core(blocks),
        ..LOOK
    },
];

/// A function in a listing.
#[derive(Serialize)]
struct Row {
    offset: u64,
    name: String,
    size: u64,
    #[serde(rename = "is-pure")]
    is_pure: &'static str,
    realsz: u64,
    noreturn: bool,
    stackframe: u64,
    calltype: &'static str,
    cost: u64,
    cc: usize,
    bits: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    nbbs: usize,
    edges: usize,
    ebbs: usize,
    signature: String,
    minbound: u64,
    maxbound: u64,
    callrefs: Vec<Value>,
    datarefs: Vec<u64>,
    codexrefs: Vec<Value>,
    dataxrefs: Vec<u64>,
    indegree: usize,
    outdegree: usize,
    nlocals: usize,
    nargs: usize,
    bpvars: Vec<VariableRow>,
    spvars: Vec<VariableRow>,
    regvars: Vec<VariableRow>,
    difftype: &'static str,
    #[serde(skip)]
    lines: Vec<String>,
}

/// What the calling convention is called.
fn convention(ctx: &Ctx<'_, '_>) -> &'static str {
    match (ctx.option_text("asm.arch").as_str(), ctx.option_number("asm.bits"), ctx.option_text("asm.os").as_str()) {
        ("arm" | "arm64" | "aarch64", 64, _) => "arm64",
        (_, 64, "windows") => "ms",
        (_, 64, _) => "amd64",
        _ => "cdecl",
    }
}

impl Row {
    fn new(analysis: &Analysis, function: &Function, bits: u64, calltype: &'static str) -> Row {
        let reference = |found: crate::analysis::Reference| json!({ "from": found.from, "to": found.to, "type": found.kind.word() });
        let (mut callrefs, mut datarefs, mut calls) = (Vec::new(), Vec::new(), 0);
        for block in &function.blocks {
            for found in analysis.xrefs.from_between(block.address, block.address + (block.size - 1)) {
                match found.kind {
                    Kind::Call => {
                        calls += 1;
                        callrefs.push(reference(found));
                    }
                    // Jumps within the function are edges.
                    Kind::Code if function.has_block(found.to) => {}
                    Kind::Code => callrefs.push(reference(found)),
                    Kind::Data | Kind::Text => datarefs.push(found.to),
                }
            }
        }
        let (mut codexrefs, mut dataxrefs) = (Vec::new(), Vec::new());
        for found in analysis.xrefs.to(function.address) {
            match found.kind {
                Kind::Call | Kind::Code => codexrefs.push(reference(found)),
                Kind::Data | Kind::Text => dataxrefs.push(found.from),
            }
        }
        let none = Frame::default();
        let frame = function.frame.as_ref().unwrap_or(&none);
        let rows = |fits: fn(&Place) -> bool| -> Vec<VariableRow> {
            let fitting = frame.variables.iter().filter(|variable| fits(&variable.place));
            fitting.map(|variable| VariableRow::new(frame, variable, bits)).collect()
        };
        let nargs = frame.arguments().count();
        Row {
            offset: function.address,
            name: function.name.clone(),
            size: function.size(),
            is_pure: "false",
            realsz: function.real_size(),
            noreturn: function.noreturn,
            stackframe: frame.size,
            calltype,
            cost: function.instructions(),
            cc: function.complexity(),
            bits,
            kind: if function.origin == Origin::Found { "fcn" } else { "sym" },
            nbbs: function.blocks.len(),
            edges: function.edges(),
            ebbs: function.exits(),
            signature: signature_of(function, bits),
            minbound: function.first(),
            maxbound: function.end(),
            indegree: codexrefs.len(),
            outdegree: calls,
            nlocals: frame.variables.len() - nargs,
            nargs,
            callrefs,
            datarefs,
            codexrefs,
            dataxrefs,
            bpvars: rows(|place| matches!(place, Place::Base(_))),
            spvars: rows(|place| matches!(place, Place::Stack(_))),
            regvars: rows(|place| matches!(place, Place::Register(_))),
            difftype: "new",
            lines: listed(frame).map(|variable| VariableRow::new(frame, variable, bits).line().to_string()).collect(),
        }
    }
}

/// A row of `afl`.
impl Item for Row {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        row(out, self.offset, self.nbbs, self.size, self.realsz, &self.name)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x}", self.offset)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "af+ 0x{:08x} {}", self.offset, self.name)
    }
}

fn row(out: &mut dyn Write, offset: u64, blocks: usize, size: u64, real: u64, name: &str) -> io::Result<()> {
    let size = if size == real { size.to_string() } else { format!("{size:<4} -> {real:<4}") };
    writeln!(out, "0x{offset:08x} {blocks:4} {size:<12} {name}")
}

/// A row of `afl` without what only JSON shows, so that listing needs no frames.
struct Short<'a>(&'a Function);

impl Serialize for Short<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.name)
    }
}

impl Item for Short<'_> {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        row(out, self.0.address, self.0.blocks.len(), self.0.size(), self.0.real_size(), &self.0.name)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x}", self.0.address)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "af+ 0x{:08x} {}", self.0.address, self.0.name)
    }
}

fn list(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    // Frames take time: only JSON shows them.
    if ctx.out.mode() != Mode::Json {
        let core = &*ctx.core;
        return core.analysis.iter().try_for_each(|function| ctx.out.item(&Short(function)));
    }
    run::all_frames(ctx)?;
    let (bits, convention) = (ctx.option_number("asm.bits"), convention(ctx));
    let analysis = &ctx.core.analysis;
    analysis.iter().try_for_each(|function| ctx.out.item(&Row::new(analysis, function, bits, convention)))
}

fn list_long(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    run::all_frames(ctx)?;
    let (bits, convention) = (ctx.option_number("asm.bits"), convention(ctx));
    let analysis = &ctx.core.analysis;
    ctx.out
        .line("address     size  nbbs edges  cc cost  min bound  range  max bound calls locals args xref frame name")?;
    for function in analysis.iter() {
        let row = Row::new(analysis, function, bits, convention);
        ctx.out.line(format_args!(
            "0x{:08x} {:5} {:5} {:5} {:3} {:4} 0x{:08x} {:5} 0x{:08x} {:5} {:6} {:4} {:4} {:5} {}",
            row.offset,
            row.size,
            row.nbbs,
            row.edges,
            row.cc,
            row.cost,
            row.minbound,
            row.maxbound - row.minbound,
            row.maxbound,
            row.outdegree,
            row.nlocals,
            row.nargs,
            row.indegree + row.dataxrefs.len(),
            row.stackframe,
            row.name
        ))?;
    }
    Ok(())
}

/// The description of a function: the record of `afl` as lines of keys and values.
#[derive(Serialize)]
#[serde(transparent)]
struct Description(Row);

impl Item for Description {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let row = &self.0;
        let references = |list: &[Value], key: &str| -> String {
            let word = |found: &Value| {
                let kind = if found["type"] == "CALL" { 'C' } else { 'J' };
                format!(" 0x{:08x} {kind}", found[key].as_u64().unwrap_or(0))
            };
            list.iter().map(word).collect()
        };
        let addresses = |list: &[u64]| -> String { list.iter().map(|at| format!(" 0x{at:08x}")).collect() };
        writeln!(out, "#\noffset: 0x{:08x}\nname: {}\nsize: {}", row.offset, row.name, row.size)?;
        writeln!(out, "is-pure: {}\nrealsz: {}\nstackframe: {}", row.is_pure, row.realsz, row.stackframe)?;
        writeln!(out, "call-convention: {}\ncyclomatic-cost: {}", row.calltype, row.cost)?;
        writeln!(out, "cyclomatic-complexity: {}\nbits: {}\ntype: {}", row.cc, row.bits, row.kind)?;
        writeln!(out, "num-bbs: {}\nedges: {}\nend-bbs: {}", row.nbbs, row.edges, row.ebbs)?;
        writeln!(out, "call-refs:{}", references(&row.callrefs, "to"))?;
        writeln!(out, "data-refs:{}", addresses(&row.datarefs))?;
        writeln!(out, "code-xrefs:{}", references(&row.codexrefs, "from"))?;
        writeln!(out, "noreturn: {}\nin-degree: {}\nout-degree: {}", row.noreturn, row.indegree, row.outdegree)?;
        writeln!(out, "data-xrefs:{}", addresses(&row.dataxrefs))?;
        writeln!(out, "locals: {}\nargs: {}", row.nlocals, row.nargs)?;
        row.lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        writeln!(out, "diff: type: {}", row.difftype)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.0.name)
    }
}

fn describe(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let at = address(ctx, 0)?;
    let Some(at) = ctx.core.analysis.containing(at).map(|function| function.address) else {
        // Scripts ask of every address; an empty list is the answer then.
        return Ok(());
    };
    run::frame_of(ctx, at)?;
    let (bits, convention) = (ctx.option_number("asm.bits"), convention(ctx));
    let row = Row::new(&ctx.core.analysis, run::function_at(ctx, at)?, bits, convention);
    ctx.out.item(&Description(row))
}

#[derive(Serialize)]
struct BlockRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    jump: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fail: Option<u64>,
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    switch: Box<[u64]>,
    opaddr: u64,
    addr: u64,
    size: u64,
    inputs: usize,
    outputs: usize,
    ninstr: u32,
    traced: bool,
}

impl BlockRow {
    fn new(function: &Function, block: &Block) -> BlockRow {
        BlockRow {
            jump: block.jump,
            fail: block.fail,
            switch: block.switch.clone(),
            opaddr: block.last,
            addr: block.address,
            size: block.size,
            inputs: function.inputs(block.address),
            outputs: block.successors().count(),
            ninstr: block.instructions,
            traced: false,
        }
    }
}

impl Item for BlockRow {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        write!(out, "0x{:08x} 0x{:08x} 00:0000 {}", self.addr, self.addr + self.size, self.size)?;
        if let Some(jump) = self.jump {
            write!(out, " j 0x{jump:08x}")?;
        }
        if let Some(fail) = self.fail {
            write!(out, " f 0x{fail:08x}")?;
        }
        self.switch.iter().try_for_each(|to| write!(out, " s 0x{to:08x}"))?;
        writeln!(out)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x}", self.addr)
    }
}

fn blocks(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let at = address(ctx, 0)?;
    let Some(function) = ctx.core.analysis.containing(at) else { return Ok(()) };
    function.blocks.iter().try_for_each(|block| ctx.out.item(&BlockRow::new(function, block)))
}
