//! `ag`, `ao`: functions as graphs, and one instruction in full.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::functions::{program, signature_of};
use super::text::{Line, Writer};
use super::{ADDRESS, LOOK, address, run};
use crate::analysis::graph::{self, Graph, Node};
use crate::analysis::{Block, Function, Kind};
use crate::commands::disassemble::{self, Limit, Record};
use crate::commands::{Command, Example, Run};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::Ctx;

/// The commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "agf",
        args: ADDRESS,
        summary: "draw the blocks of the function here",
        details: "t: where a jump leads, f: where it is not taken; lines end with v, or lead up to a ^.",
        modes: &[Mode::Json],
        examples: &[Example { line: program!("af work 0x20; agf @ 0x20~?work"), shows: "1" }],
        run: Run::Core(function),
        ..LOOK
    },
    Command {
        name: "agfd",
        args: ADDRESS,
        summary: "the blocks of the function here as a graph for dot",
        examples: &[Example { line: program!("af work 0x20; agfd @ 0x20~?13a10e"), shows: "1" }],
        run: Run::Core(function_dot),
        ..LOOK
    },
    Command {
        name: "agc",
        args: ADDRESS,
        summary: "draw what the function here calls",
        modes: &[Mode::Json],
        examples: &[Example {
            line: program!("afr main 0x10; agcj 0x10"),
            shows: r#"[{"name":"main","size":6,"imports":["fcn.00000020"]}]"#,
        }],
        run: Run::Core(calls),
        ..LOOK
    },
    Command {
        name: "agcd",
        args: ADDRESS,
        summary: "what the function here calls as a graph for dot",
        examples: &[Example {
            line: program!("afr main 0x10; agcd 0x10~fcn"),
            shows: "\t\"main\" -> \"fcn.00000020\";",
        }],
        run: Run::Core(calls_dot),
        ..LOOK
    },
    Command {
        name: "agC",
        summary: "list what each function calls",
        modes: &[Mode::Json],
        examples: &[Example { line: program!("afr main 0x10; agC"), shows: "main -> fcn.00000020" }],
        run: Run::Core(all_calls),
        ..LOOK
    },
    Command {
        name: "agCd",
        summary: "what each function calls as a graph for dot",
        examples: &[Example { line: program!("afr main 0x10; agCd~fcn"), shows: "\t\"main\" -> \"fcn.00000020\";" }],
        run: Run::Core(all_calls_dot),
        ..LOOK
    },
    Command {
        name: "ao",
        args: ADDRESS,
        summary: "describe the instruction here",
        modes: &[Mode::Json],
        examples: &[Example {
            line: "wx 55; ao",
            shows: "address: 0x0\nopcode: push rbp\nmnemonic: push\nbytes: 55\nsize: 1\ntype: push\nfamily: cpu\n\
                    stackptr: 8",
        }],
        run: Run::Core(instruction),
        ..LOOK
    },
];

#[derive(Serialize)]
struct BlockGraph {
    offset: u64,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    jump: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fail: Option<u64>,
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    switch: Box<[u64]>,
    ops: Vec<Record>,
}

#[derive(Serialize)]
struct FunctionGraph {
    name: String,
    offset: u64,
    ninstr: u64,
    nargs: usize,
    nlocals: usize,
    size: u64,
    stack: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    blocks: Vec<BlockGraph>,
    #[serde(skip)]
    drawn: Vec<String>,
}

impl Item for FunctionGraph {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        self.drawn.iter().try_for_each(|line| writeln!(out, "{line}"))
    }
}

/// The function at the argument, with its frame known, as it is now.
fn copied(ctx: &mut Ctx<'_, '_>) -> Result<Function> {
    let at = address(ctx, 0)?;
    let at = run::function_at(ctx, at)?.address;
    run::frame_of(ctx, at)?;
    run::function_at(ctx, at).cloned()
}

/// The function's blocks with their instructions.
fn written(ctx: &mut Ctx<'_, '_>, function: &Function) -> Result<Vec<(Block, Vec<Line>)>> {
    let mut writer = Writer::new(ctx)?;
    writer.enter(ctx, function.address)?;
    function.blocks.iter().map(|block| Ok((block.clone(), writer.block(ctx, block)?))).collect()
}

fn function(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let function = copied(ctx)?;
    let (mut blocks, mut drawn) = (Vec::new(), Vec::new());
    if ctx.out.mode() == Mode::Json {
        for block in &function.blocks {
            let ops = disassemble::records(ctx, block.address, Limit::Bytes(block.size))?;
            blocks.push(BlockGraph {
                offset: block.address,
                size: block.size,
                jump: block.jump,
                fail: block.fail,
                switch: block.switch.clone(),
                ops,
            });
        }
    } else {
        drawn = picture(&function, &written(ctx, &function)?, ctx.option_number("asm.bits"))?;
    }
    let frame = function.frame.as_ref();
    let nargs = frame.map_or(0, |frame| frame.arguments().count());
    let record = FunctionGraph {
        name: function.name.clone(),
        offset: function.address,
        ninstr: function.instructions(),
        nargs,
        nlocals: frame.map_or(0, |frame| frame.variables.len() - nargs),
        size: function.size(),
        stack: frame.map_or(0, |frame| frame.size),
        kind: "fcn",
        blocks,
        drawn,
    };
    ctx.out.item(&record)
}

/// The edges between the blocks, by their places, with the signs of their kinds.
fn edges(function: &Function) -> Vec<(usize, usize, char)> {
    let place = |address: u64| function.blocks.binary_search_by_key(&address, |block| block.address).ok();
    let mut edges = Vec::new();
    for (from, block) in function.blocks.iter().enumerate() {
        for to in block.successors() {
            let sign = match (Some(to) == block.jump, block.fail) {
                (true, Some(_)) => 't',
                (false, Some(fail)) if fail == to => 'f',
                _ => ' ',
            };
            edges.extend(place(to).map(|to| (from, to, sign)));
        }
    }
    edges
}

fn picture(function: &Function, blocks: &[(Block, Vec<Line>)], bits: u64) -> Result<Vec<String>> {
    if blocks.len() > graph::MOST {
        return Err(Error::new(ErrorKind::Limit, format!("{} blocks are too many for a picture", blocks.len()))
            .hint("'agfd' makes a graph for dot, 'afb' lists the blocks"));
    }
    let node = |(block, lines): &(Block, Vec<Line>)| {
        let mut text = vec![format!("[0x{:x}]", block.address)];
        if block.address == function.address {
            text.push(visible(&signature_of(function, bits)).into_owned());
        }
        text.extend(lines.iter().map(|line| format!("0x{:08x} {}", line.instruction.address, visible(&line.text))));
        Node { lines: text }
    };
    Ok(Graph { nodes: blocks.iter().map(node).collect(), edges: edges(function) }.draw())
}

/// Text that can stand in quotes in dot's language.
fn quoted(text: &str) -> String {
    visible(text).replace('\\', "\\\\").replace('"', "\\\"")
}

const DOT_HEAD: &str = "digraph code {\n\tgraph [bgcolor=azure fontsize=8 fontname=\"Courier\" splines=\"ortho\"];\n\
                        \tnode [fillcolor=gray style=filled shape=box];\n\tedge [arrowhead=\"normal\"];";

fn function_dot(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let function = copied(ctx)?;
    let blocks = written(ctx, &function)?;
    ctx.out.line(DOT_HEAD)?;
    for (block, lines) in &blocks {
        let text: String =
            lines.iter().map(|line| format!("0x{:08x} {}\\l", line.instruction.address, quoted(&line.text))).collect();
        ctx.out.line(format_args!(
            "\t\"0x{0:08x}\" [URL=\"{1}/0x{0:08x}\", fillcolor=\"white\", color=\"#767676\", fontname=\"Courier\", label=\"{text}\"]",
            block.address,
            quoted(&function.name)
        ))?;
    }
    for (from, to, sign) in edges(&function) {
        let color = match sign {
            't' => "#13a10e",
            'f' => "#c50f1f",
            _ => "#3a96dd",
        };
        let (from, to) = (function.blocks[from].address, function.blocks[to].address);
        ctx.out.line(format_args!("\t\"0x{from:08x}\" -> \"0x{to:08x}\" [color=\"{color}\"];"))?;
    }
    ctx.out.line("}")
}

/// A function and what it calls.
#[derive(Serialize)]
struct Calls {
    name: String,
    size: u64,
    imports: Vec<String>,
    #[serde(skip)]
    boxes: bool,
}

impl Item for Calls {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        if !self.boxes {
            return self.imports.iter().try_for_each(|callee| writeln!(out, "{} -> {callee}", self.name));
        }
        let node = |name: &String| Node { lines: vec![visible(name).into_owned()] };
        let nodes = std::iter::once(&self.name).chain(&self.imports).map(node).collect();
        let edges = (1..=self.imports.len()).map(|to| (0, to, ' ')).collect();
        Graph { nodes, edges }.draw().iter().try_for_each(|line| writeln!(out, "{line}"))
    }
}

fn calls_of(ctx: &Ctx<'_, '_>, function: &Function, boxes: bool) -> Calls {
    let mut callees = BTreeMap::new();
    for block in &function.blocks {
        let last = block.address + (block.size - 1);
        for found in ctx.core.analysis.xrefs.from_between(block.address, last) {
            let leaves = found.kind == Kind::Call || (found.kind == Kind::Code && !function.has_block(found.to));
            if leaves && let Some(callee) = ctx.core.analysis.function(found.to) {
                callees.insert(callee.address, callee.name.clone());
            }
        }
    }
    Calls { name: function.name.clone(), size: function.size(), imports: callees.into_values().collect(), boxes }
}

fn calls(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let at = address(ctx, 0)?;
    let record = calls_of(ctx, run::function_at(ctx, at)?, true);
    if record.imports.len() > graph::MOST {
        return Err(
            Error::new(ErrorKind::Limit, "too many functions for a picture").hint("'agcd' makes a graph for dot")
        );
    }
    ctx.out.item(&record)
}

fn calls_dot(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let at = address(ctx, 0)?;
    let record = calls_of(ctx, run::function_at(ctx, at)?, false);
    dot(ctx, &[record])
}

fn all_records(ctx: &mut Ctx<'_, '_>) -> Vec<Calls> {
    ctx.core.analysis.iter().map(|function| calls_of(ctx, function, false)).collect()
}

fn all_calls(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let records = all_records(ctx);
    records.iter().try_for_each(|record| ctx.out.item(record))
}

fn all_calls_dot(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let records = all_records(ctx);
    dot(ctx, &records)
}

fn dot(ctx: &mut Ctx<'_, '_>, records: &[Calls]) -> Result<()> {
    ctx.out.line(DOT_HEAD)?;
    for record in records {
        for callee in &record.imports {
            ctx.out.line(format_args!("\t\"{}\" -> \"{}\";", quoted(&record.name), quoted(callee)))?;
        }
    }
    ctx.out.line("}")
}

/// One instruction in full.
#[derive(Serialize)]
struct Description {
    opcode: String,
    disasm: String,
    mnemonic: String,
    mask: String,
    sign: bool,
    prefix: u64,
    addr: u64,
    bytes: String,
    size: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    jump: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fail: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ptr: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    val: Option<u64>,
    refptr: u32,
    delay: u32,
    stack: &'static str,
    stackptr: i64,
    family: crate::disasm::Family,
}

impl Item for Description {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "address: 0x{:x}\nopcode: {}\nmnemonic: {}", self.addr, self.disasm, self.mnemonic)?;
        writeln!(out, "bytes: {}\nsize: {}\ntype: {}", self.bytes, self.size, self.kind)?;
        let numbers = [("jump", self.jump), ("fail", self.fail), ("ptr", self.ptr), ("val", self.val)];
        for (key, value) in numbers {
            if let Some(value) = value {
                writeln!(out, "{key}: 0x{value:08x}")?;
            }
        }
        let family = serde_json::to_value(self.family).unwrap_or_default();
        writeln!(out, "family: {}", family.as_str().unwrap_or_default())?;
        if self.stackptr != 0 { writeln!(out, "stackptr: {}", self.stackptr) } else { Ok(()) }
    }
}

fn instruction(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let at = address(ctx, 0)?;
    let line = Writer::new(ctx)?.line(ctx, at)?;
    let told = line.instruction;
    ctx.out.item(&Description {
        mnemonic: line.plain.split(' ').next().unwrap_or_default().to_string(),
        opcode: line.plain,
        disasm: line.text,
        mask: "ff".repeat(told.size as usize),
        sign: false,
        prefix: 0,
        addr: at,
        bytes: faster_hex::hex_string(&line.bytes),
        size: told.size,
        kind: told.kind.name(),
        jump: told.jump,
        fail: told.fail,
        ptr: told.pointer,
        val: told.value,
        refptr: if told.pointer.is_some() { told.memory_size } else { 0 },
        delay: told.delay,
        stack: if told.stack == 0 { "null" } else { "inc" },
        stackptr: told.stack,
        family: told.family,
    })
}
