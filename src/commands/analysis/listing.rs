//! `pdf` and its like: a function's code with its frame, its callers and its jumps.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::{Value, json};

use super::functions::{VariableRow, listed, program, signature_of};
use super::lanes::Arrows;
use super::text::{Line, Op, Writer};
use super::{ADDRESS, LOOK, address, run};
use crate::analysis::{Block, Function, Kind};
use crate::commands::{Command, Example, Run};
use crate::disasm::Use;
use crate::error::Result;
use crate::output::{Item, Mode, Style, visible};
use crate::session::{Core, Ctx};

/// The commands, which belong to the family `p`.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "pdf",
        aliases: &["pdr"],
        args: ADDRESS,
        summary: "disassemble the function here",
        details: "A blank line stands where its blocks do not touch.",
        modes: &[Mode::Json],
        examples: &[Example {
            line: program!("afr main 0x10; pdf 0x20"),
            shows: "            ; CALL XREF from main @ 0x10\n/ fcn.00000020 (int64_t arg1);\n\
                    |           ; arg int64_t arg1 @ rdi\n|           0x00000020      test  edi, edi\n\
                    |       ,=< 0x00000022      je    0x29\n|       |   0x00000024      mov   eax, 1\n\
                    |       |   ; CODE XREF from fcn.00000020 @ 0x22\n\\       `-> 0x00000029      ret",
        }],
        run: Run::Core(function),
        ..LOOK
    },
    Command {
        name: "pdb",
        args: ADDRESS,
        summary: "disassemble the block of a function here",
        modes: &[Mode::Json],
        examples: &[Example {
            line: program!("af work 0x20; pdb 0x24"),
            shows: "            0x00000024      mov   eax, 1",
        }],
        run: Run::Core(block),
        ..LOOK
    },
    Command {
        name: "pdsf",
        aliases: &["pds"],
        args: ADDRESS,
        summary: "list what the function here calls and refers to",
        examples: &[Example { line: program!("afr main 0x10; pdsf 0x10"), shows: "0x00000010 call fcn.00000020" }],
        run: Run::Core(summary),
        ..LOOK
    },
    Command {
        name: "pif",
        args: ADDRESS,
        summary: "print the instructions of the function here",
        examples: &[Example {
            line: program!("af work 0x20; pif 0x20"),
            shows: "test edi, edi\nje 0x29\nmov eax, 1\nret",
        }],
        run: Run::Core(instructions),
        ..LOOK
    },
    Command {
        name: "pib",
        args: ADDRESS,
        summary: "print the instructions of the block of a function here",
        examples: &[Example { line: program!("af work 0x20; pib 0x20"), shows: "test edi, edi\nje 0x29" }],
        run: Run::Core(block_instructions),
        ..LOOK
    },
];

/// Blocks with their instructions.
type Blocks = Vec<(Block, Vec<Line>)>;

/// A function's listing: rows are made before anything is printed, since arrows span them.
#[derive(Serialize)]
struct Listing {
    name: String,
    size: u64,
    addr: u64,
    ops: Vec<Value>,
    #[serde(skip)]
    lines: Vec<String>,
}

impl Item for Listing {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        self.lines.iter().try_for_each(|line| writeln!(out, "{line}"))
    }
}

/// How rows look.
struct Layout {
    tabs: usize,
    bytes: Option<usize>,
    comment: usize,
    offset: bool,
    lines: bool,
    xrefs: bool,
    fold: usize,
    variables: bool,
    bars: bool,
    comments: bool,
    flags: bool,
}

impl Layout {
    fn new(ctx: &Ctx<'_, '_>) -> Layout {
        // Columns that are kept: no option may ask for more memory than a line is worth.
        let columns = |name| ctx.option_number(name).min(256) as usize;
        Layout {
            tabs: columns("asm.tabs"),
            bytes: ctx.option_bool("asm.bytes").then(|| columns("asm.nbytes")),
            comment: columns("asm.cmt.col"),
            offset: ctx.option_bool("asm.offset"),
            lines: ctx.option_bool("asm.lines"),
            xrefs: ctx.option_bool("asm.xrefs"),
            fold: columns("asm.xrefs.fold"),
            variables: ctx.option_bool("asm.var"),
            bars: ctx.option_bool("asm.functions"),
            comments: ctx.option_bool("asm.comments"),
            flags: ctx.option_bool("asm.flags"),
        }
    }
}

/// `CALL XREF from main @ 0x40119c`, one line for each kind of reference to `address`.
fn xref_lines(core: &Core, address: u64, fold: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for kind in [Kind::Call, Kind::Code, Kind::Data, Kind::Text] {
        let sources: Vec<u64> =
            core.analysis.xrefs.to(address).filter(|found| found.kind == kind).map(|found| found.from).collect();
        let word = kind.word();
        if sources.len() > fold.max(1) {
            lines.push(format!("; {word} XREFS({})", sources.len()));
        } else if !sources.is_empty() {
            let place = |from: &u64| match core.analysis.containing(*from) {
                Some(function) => format!("{} @ 0x{from:x}", function.name),
                None => format!("0x{from:x}"),
            };
            let plural = if sources.len() > 1 { "S" } else { "" };
            let places: Vec<String> = sources.iter().map(place).collect();
            lines.push(format!("; {word} XREF{plural} from {}", visible(&places.join(", "))));
        }
    }
    lines
}

/// What is said behind an instruction: what it refers to, and what the user remarked.
fn remarks(ctx: &mut Ctx<'_, '_>, line: &Line) -> Result<Vec<String>> {
    let told = &line.instruction;
    let mut remarks = Vec::new();
    if let Some(pointer) = told.pointer.filter(|pointer| ctx.core.io.space.at(*pointer).is_some()) {
        if told.memory_use == Use::Address {
            if let Some(text) = text_at(ctx, pointer)? {
                remarks.push(format!("\"{text}\""));
            }
        } else if matches!(told.memory_size, 1 | 2 | 4 | 8) {
            let bytes = ctx.read(pointer, told.memory_size.into())?;
            let value = bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
            remarks.push(format!("[0x{pointer:x}:{}]=0x{value:x}", told.memory_size));
        }
    }
    if let Some(comment) = ctx.core.comments.get(&told.address) {
        remarks.push(visible(comment).into_owned());
    }
    Ok(remarks)
}

/// The text at `address`, when there is some that ends.
fn text_at(ctx: &mut Ctx<'_, '_>, address: u64) -> Result<Option<String>> {
    let bytes = ctx.read(address, 64)?;
    let end = bytes.iter().position(|byte| *byte == 0);
    let text = std::str::from_utf8(&bytes[..end.unwrap_or(bytes.len())]).ok();
    let printable = |text: &&str| text.len() >= 2 && text.chars().all(|c| !c.is_control() || "\n\t\r".contains(c));
    Ok(text.filter(printable).map(|text| visible(text).replace('"', "\\\"")))
}

fn row_text(layout: &Layout, line: &Line) -> String {
    let mut row = String::new();
    if layout.offset {
        row.push_str(&format!("0x{:08x}      ", line.instruction.address));
    }
    if let Some(most) = layout.bytes {
        let shown = line.bytes.len().min(most);
        let mut hex = faster_hex::hex_string(&line.bytes[..shown]);
        if shown < line.bytes.len() {
            hex.push('.');
        }
        row.push_str(&format!("{hex:<0$}", 2 * most + 3));
    }
    let text = visible(&line.text);
    let (mnemonic, operands) = text.split_once(' ').unwrap_or((&text, ""));
    match operands {
        "" => row.push_str(mnemonic),
        _ => row.push_str(&format!("{mnemonic:<0$}{operands}", layout.tabs.max(mnemonic.len() + 1))),
    }
    row
}

/// The rows of `blocks` of `function`; with `whole` also its head.
fn rows(ctx: &mut Ctx<'_, '_>, function: &Function, blocks: &[(Block, Vec<Line>)], whole: bool) -> Result<Vec<String>> {
    let layout = Layout::new(ctx);
    let addresses: Vec<u64> =
        blocks.iter().flat_map(|(_, lines)| lines.iter().map(|l| l.instruction.address)).collect();
    let jumps: Vec<(u64, u64)> = blocks
        .iter()
        .flat_map(|(_, lines)| lines)
        .filter(|line| line.instruction.kind.is_jump())
        .filter_map(|line| Some((line.instruction.address, line.instruction.jump?)))
        .collect();
    let arrows = if layout.lines { Arrows::new(&addresses, &jumps) } else { Arrows::default() };
    let mut rows = Vec::new();
    let bar = |sign: &'static str| if whole && layout.bars { sign } else { " " };
    if whole {
        let bits = ctx.option_number("asm.bits");
        if layout.xrefs {
            let lines = xref_lines(ctx.core, function.address, layout.fold);
            rows.extend(lines.into_iter().map(|line| format!("            {line}")));
        }
        rows.push(format!("{} {}", bar("/"), visible(&signature_of(function, bits))));
        if let Some(frame) = function.frame.as_ref().filter(|_| layout.variables) {
            rows.extend(listed(frame).map(|variable| {
                format!("{}           ; {}", bar("|"), VariableRow::new(frame, variable, bits).line())
            }));
        }
    }
    let (mut index, mut end) = (0, None);
    for (block, lines) in blocks {
        if end.is_some_and(|end| end != block.address) {
            rows.push(String::new());
        }
        end = Some(block.address + block.size);
        for line in lines {
            ctx.out.cancel().check()?;
            let here = line.instruction.address;
            let mut above = Vec::new();
            if here != function.address || !whole {
                if layout.xrefs {
                    above = xref_lines(ctx.core, here, layout.fold);
                }
                let hidden = |space: Option<&str>| matches!(space, Some("sections" | "segments"));
                let flags = ctx.core.flags.at(here).filter(|flag| layout.flags && !hidden(flag.space.as_deref()));
                above.extend(flags.map(|flag| format!(";-- {}:", visible(&flag.name))));
            }
            rows.extend(above.into_iter().map(|line| format!("{}{}{line}", bar("|"), arrows.at(index, true))));
            let sign = if index + 1 == addresses.len() { bar("\\") } else { bar("|") };
            let mut row = format!("{sign}{}{}", arrows.at(index, false), row_text(&layout, line));
            let remarks = if layout.comments { remarks(ctx, line)? } else { Vec::new() };
            if !remarks.is_empty() {
                let width = row.chars().count();
                row.push_str(&" ".repeat(layout.comment.saturating_sub(width).max(1)));
                row.push_str(&format!("; {}", remarks.join(" ; ")));
            }
            rows.push(row);
            index += 1;
        }
    }
    Ok(rows)
}

/// The instructions as records, with what is known around them.
fn records(core: &Core, function: &Function, blocks: Vec<(Block, Vec<Line>)>) -> Result<Vec<Value>> {
    let last = function.blocks.iter().map(|block| block.last).max().unwrap_or(function.address);
    let mut records = Vec::new();
    for line in blocks.into_iter().flat_map(|(_, lines)| lines) {
        let here = line.instruction.address;
        let mut record = serde_json::to_value(Op::from(line)).unwrap_or_default();
        record["fcn_addr"] = json!(function.address);
        record["fcn_last"] = json!(last);
        let flags: Vec<&str> = core.flags.at(here).map(|flag| flag.name.as_str()).collect();
        if !flags.is_empty() {
            record["flags"] = json!(flags);
        }
        if let Some(comment) = core.comments.get(&here) {
            record["comment"] = json!(BASE64.encode(comment));
        }
        let refs: Vec<Value> = core
            .analysis
            .xrefs
            .from(here)
            .map(|found| json!({ "addr": found.to, "type": found.kind.word() }))
            .collect();
        let xrefs: Vec<Value> = core
            .analysis
            .xrefs
            .to(here)
            .map(|found| json!({ "addr": found.from, "type": found.kind.word() }))
            .collect();
        if !xrefs.is_empty() {
            record["xrefs_to"] = json!(xrefs);
        }
        if !refs.is_empty() {
            record["refs"] = json!(refs);
        }
        records.push(record);
    }
    Ok(records)
}

/// The function at the argument with the blocks that `wanted` chooses, written down.
fn written(ctx: &mut Ctx<'_, '_>, wanted: impl Fn(&Block, u64) -> bool) -> Result<(Function, Blocks)> {
    let at = address(ctx, 0)?;
    let start = run::function_at(ctx, at)?.address;
    run::frame_of(ctx, start)?;
    let function = run::function_at(ctx, start)?.clone();
    let mut writer = Writer::new(ctx)?;
    writer.enter(ctx, start)?;
    let mut blocks = Vec::new();
    for block in function.blocks.iter().filter(|block| wanted(block, at)) {
        blocks.push((block.clone(), writer.block(ctx, block)?));
    }
    Ok((function, blocks))
}

fn show(ctx: &mut Ctx<'_, '_>, whole: bool) -> Result<()> {
    let (function, blocks) = written(ctx, |block, at| whole || block.contains(at))?;
    let is_json = ctx.out.mode() == Mode::Json;
    let lines = if is_json { Vec::new() } else { rows(ctx, &function, &blocks, whole)? };
    let ops = if is_json { records(ctx.core, &function, blocks)? } else { Vec::new() };
    let record = Listing { name: function.name.clone(), size: function.size(), addr: function.address, ops, lines };
    ctx.out.value(&record)
}

fn function(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    show(ctx, true)
}

fn block(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    show(ctx, false)
}

fn print_instructions(ctx: &mut Ctx<'_, '_>, wanted: impl Fn(&Block, u64) -> bool) -> Result<()> {
    let (_, blocks) = written(ctx, wanted)?;
    let mut lines = blocks.iter().flat_map(|(_, lines)| lines);
    lines.try_for_each(|line| ctx.out.line(visible(&line.text)))
}

fn instructions(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    print_instructions(ctx, |_, _| true)
}

fn block_instructions(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    print_instructions(ctx, |block, at| block.contains(at))
}

fn summary(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (_, blocks) = written(ctx, |_, _| true)?;
    for line in blocks.iter().flat_map(|(_, lines)| lines) {
        let told = &line.instruction;
        if told.kind.is_call() {
            ctx.out.line(format_args!("0x{:08x} {}", told.address, visible(&line.text)))?;
        } else if let Some(pointer) = told.pointer {
            let name = ctx.core.flags.at(pointer).next().map(|flag| flag.name.clone());
            let shown = match (text_at(ctx, pointer)?.filter(|_| told.memory_use == Use::Address), name) {
                (Some(text), _) => format!("\"{text}\""),
                (None, Some(name)) => name,
                (None, None) => format!("0x{pointer:08x}"),
            };
            ctx.out.line(format_args!("0x{:08x} {}", told.address, visible(&shown)))?;
        }
    }
    Ok(())
}
