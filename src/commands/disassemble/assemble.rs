//! `pa`, `wa`: instructions into bytes.

use std::io::{self, Write};

use serde::Serialize;

use super::hex;
use crate::commands::{local, write};
use crate::disasm::{self, Instruction, Kind as Does};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style};
use crate::session::{Ctx, disassembly};

/// Bytes that a file of instructions may have.
const FILE_LIMIT: u64 = 1 << 20;

/// What was assembled.
#[derive(Serialize)]
struct Assembled {
    bytes: String,
}

impl Item for Assembled {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "{}", self.bytes)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "wx {}", self.bytes)
    }
}

fn assembled(ctx: &Ctx<'_, '_>, text: &str) -> Result<Vec<u8>> {
    disasm::assemble(&disassembly::settings(ctx.core, ctx.view), ctx.view.seek, text)
}

pub fn pa(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let bytes = assembled(ctx, &ctx.args.text)?;
    ctx.out.value(&Assembled { bytes: hex(&bytes) })
}

pub fn wa(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let bytes = assembled(ctx, &ctx.args.text)?;
    if ctx.out.mode() == Mode::Commands {
        return ctx.out.value(&Assembled { bytes: hex(&bytes) });
    }
    write::put(ctx, ctx.view.seek, &bytes)
}

pub fn waf(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let bytes = local::read_up_to(ctx.view, &ctx.args.text, FILE_LIMIT)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::new(Kind::Format, format!("'{}' is not a text in UTF-8", ctx.args.text)))?;
    let bytes = assembled(ctx, &text)?;
    write::put(ctx, ctx.view.seek, &bytes)
}

/// What stands at the seek, and what can stand there.
struct Here {
    instruction: Instruction,
    bytes: Vec<u8>,
    nop: &'static [u8],
    trap: &'static [u8],
}

/// The instruction at the seek, with its bytes.
fn here(ctx: &mut Ctx<'_, '_>) -> Result<Here> {
    let mut disassembler = ctx.disassembler()?;
    let mut bytes = ctx.read(ctx.view.seek, disassembler.longest() as u64)?;
    let mut instruction = Instruction::default();
    if !disassembler.one(ctx.view.seek, &bytes, &mut instruction) {
        let seek = ctx.view.seek;
        return Err(Error::new(Kind::Format, format!("no instruction can be decoded at 0x{seek:08x}")));
    }
    bytes.truncate(instruction.size as usize);
    Ok(Here { instruction, bytes, nop: disassembler.nop(), trap: disassembler.trap() })
}

/// `code`, filled up with `nop` to `size`.
fn filled(mut code: Vec<u8>, size: usize, nop: &[u8]) -> Result<Vec<u8>> {
    let (length, room) = (code.len(), size.saturating_sub(code.len()));
    if length > size || !room.is_multiple_of(nop.len().max(1)) {
        return Err(Error::new(
            Kind::Limit,
            format!("{length} bytes do not go into the {size} of the instruction here"),
        )
        .hint("wa writes over what follows"));
    }
    code.extend(nop.iter().cycle().take(room));
    Ok(code)
}

pub fn wai(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let bytes = assembled(ctx, &ctx.args.text)?;
    let Here { instruction, nop, .. } = here(ctx)?;
    let bytes = filled(bytes, instruction.size as usize, nop)?;
    write::put(ctx, ctx.view.seek, &bytes)
}

pub fn wao(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let what = ctx.word(0).unwrap_or_default().to_string();
    let Here { instruction, bytes: old, nop, trap } = here(ctx)?;
    let size = instruction.size as usize;
    if what == "nop" {
        let bytes = filled(Vec::new(), size, nop)?;
        return write::put(ctx, ctx.view.seek, &bytes);
    }
    if what == "trap" && !trap.is_empty() {
        let bytes = filled(trap.to_vec(), size, nop)?;
        return write::put(ctx, ctx.view.seek, &bytes);
    }
    let settings = disassembly::settings(ctx.core, ctx.view);
    if settings.arch != "x86" {
        return Err(Error::new(Kind::Unsupported, format!("'wao {what}' is for x86"))
            .hint("nop works everywhere, trap where one is known"));
    }
    // Jumps on a condition are 7x in one byte and 0f 8x in two; bit 0 turns the condition round.
    let place = match old.as_slice() {
        [0x70..=0x7f, ..] => Some(0),
        [0x0f, 0x80..=0x8f, ..] => Some(1),
        _ => None,
    };
    let conditional = |place: Option<usize>| {
        place.filter(|_| instruction.kind == Does::Cjmp).ok_or_else(|| {
            Error::new(Kind::Usage, format!("'wao {what}' changes jumps on a condition, and here is none"))
        })
    };
    let seek = ctx.view.seek;
    let mut bytes = old.clone();
    match what.as_str() {
        "inf" => bytes = filled(disasm::assemble(&settings, seek, &format!("jmp 0x{seek:x}"))?, size, nop)?,
        "ret0" | "ret1" => {
            let value = if what == "ret0" { "xor eax, eax" } else { "mov eax, 1" };
            // A function's start is where this goes: there is more room than one instruction.
            bytes = disasm::assemble(&settings, seek, &format!("{value}; ret"))?;
        }
        "jz" | "jnz" => {
            let place = conditional(place)?;
            bytes[place] = bytes[place] & 0xf0 | if what == "jz" { 4 } else { 5 };
        }
        "recj" => bytes[conditional(place)?] ^= 1,
        "nocj" => match conditional(place)? {
            0 => bytes[0] = 0xeb,
            // The same distance one byte later: a nop goes first.
            _ => bytes[..2].copy_from_slice(&[0x90, 0xe9]),
        },
        _ => {
            return Err(Error::new(Kind::Usage, format!("'{what}' is nothing that wao knows"))
                .hint("nop, inf, jz, jnz, nocj, recj, trap, ret0 or ret1"));
        }
    }
    write::put(ctx, seek, &bytes)
}
