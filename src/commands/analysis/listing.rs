//! `pdf` and its like: a function's code with its frame, its callers and its jumps.

use std::io::{self, Write};

use serde::Serialize;

use super::functions::program;
use super::text::Writer;
use super::{ADDRESS, LOOK, address, run};
use crate::analysis::Function;
use crate::commands::disassemble::{self, Limit, Record};
use crate::commands::{Command, Example, Run};
use crate::disasm::Use;
use crate::error::Result;
use crate::output::{Item, Mode, Style, visible};
use crate::session::Ctx;

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
            shows: "|           0x00000024      mov   eax, 1",
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

/// Stretches of touching blocks: the first address and how many bytes.
fn stretches(function: &Function) -> Vec<(u64, u64)> {
    let mut stretches: Vec<(u64, u64)> = Vec::new();
    for block in &function.blocks {
        match stretches.last_mut() {
            Some((start, size)) if start.checked_add(*size) == Some(block.address) => *size += block.size,
            _ => stretches.push((block.address, block.size)),
        }
    }
    stretches
}

/// The function at the argument, with its frame known, and the address that was asked for.
fn asked(ctx: &mut Ctx<'_, '_>) -> Result<(Function, u64)> {
    let at = address(ctx, 0)?;
    let start = run::function_at(ctx, at)?.address;
    run::frame_of(ctx, start)?;
    Ok((run::function_at(ctx, start)?.clone(), at))
}

/// The stretches that a command is about.
fn part(function: &Function, at: u64, whole: bool) -> Vec<(u64, u64)> {
    match function.block_at(at).filter(|_| !whole) {
        Some(block) => vec![(block.address, block.size)],
        None => stretches(function),
    }
}

/// A function's instructions as records.
#[derive(Serialize)]
struct Listing {
    name: String,
    size: u64,
    addr: u64,
    ops: Vec<Record>,
}

impl Item for Listing {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }
}

fn show(ctx: &mut Ctx<'_, '_>, whole: bool) -> Result<()> {
    let (function, at) = asked(ctx)?;
    let stretches = part(&function, at, whole);
    if ctx.out.mode() == Mode::Json {
        let ops = records(ctx, &stretches)?;
        return ctx.out.value(&Listing {
            name: function.name.clone(),
            size: function.size(),
            addr: function.address,
            ops,
        });
    }
    for (index, (start, size)) in stretches.into_iter().enumerate() {
        if index > 0 {
            ctx.out.line("")?;
        }
        disassemble::list(ctx, start, Limit::Bytes(size))?;
    }
    Ok(())
}

/// What `pdj` says of the stretches.
fn records(ctx: &mut Ctx<'_, '_>, stretches: &[(u64, u64)]) -> Result<Vec<Record>> {
    let mut all = Vec::new();
    for (start, size) in stretches {
        all.append(&mut disassemble::records(ctx, *start, Limit::Bytes(*size))?);
    }
    Ok(all)
}

fn function(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    show(ctx, true)
}

fn block(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    show(ctx, false)
}

fn print_instructions(ctx: &mut Ctx<'_, '_>, whole: bool) -> Result<()> {
    let (function, at) = asked(ctx)?;
    let stretches = part(&function, at, whole);
    stretches.into_iter().try_for_each(|(start, size)| disassemble::lines(ctx, start, Limit::Bytes(size), false))
}

fn instructions(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    print_instructions(ctx, true)
}

fn block_instructions(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    print_instructions(ctx, false)
}

/// The text at `address`, when there is some that ends.
fn text_at(ctx: &mut Ctx<'_, '_>, address: u64) -> Result<Option<String>> {
    let bytes = ctx.read(address, 64)?;
    let end = bytes.iter().position(|byte| *byte == 0);
    let text = std::str::from_utf8(&bytes[..end.unwrap_or(bytes.len())]).ok();
    let printable = |text: &&str| text.len() >= 2 && text.chars().all(|c| !c.is_control() || "\n\t\r".contains(c));
    Ok(text.filter(printable).map(|text| visible(text).replace('"', "\\\"")))
}

fn summary(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (function, _) = asked(ctx)?;
    let mut writer = Writer::new(ctx)?;
    for block in &function.blocks {
        for line in writer.block(ctx, block)? {
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
    }
    Ok(())
}
