//! `pi`, `pdi`, `pad`: instructions without columns.

use super::annotations::annotations;
use super::layout::push_hex;
use super::names::{FlagNames, best};
use super::walk::{Limit, walk};
use super::{hex, record};
use crate::commands::literal;
use crate::disasm::{Instruction, Text};
use crate::error::{Error, Kind, Result};
use crate::output::Mode;
use crate::session::Ctx;

/// Writes the instructions from `start`, one on each line, with their addresses (and bytes, with `asm.bytes`) or not.
pub fn lines(ctx: &mut Ctx<'_, '_>, start: u64, limit: Limit, addresses: bool) -> Result<()> {
    if ctx.out.mode() == Mode::Json {
        return record::list(ctx, start, limit);
    }
    let (named, local) = (ctx.option_bool("asm.sub.names"), ctx.option_bool("asm.sub.var"));
    let bytes = ctx.option_bool("asm.bytes");
    let flagged = ctx.option_bool("asm.flags");
    let (mut text, mut out) = (Text::default(), String::new());
    walk(ctx, start, limit, |ctx, window| {
        let (Some(first), Some(last)) = (window.instructions.first(), window.instructions.last()) else {
            return Ok(());
        };
        let core = &*ctx.core;
        let known = annotations(core, first.address, last.next());
        let names =
            FlagNames { flags: named.then_some(&core.flags), annotations: local.then_some(&*known), absolute: true };
        out.clear();
        for (index, instruction) in window.instructions.iter().enumerate() {
            if addresses {
                if flagged && let Some(name) = best(&core.flags, instruction.address) {
                    push_hex(&mut out, instruction.address, 8);
                    out.push_str("   ");
                    out.push_str(name);
                    out.push_str(":\n");
                }
                push_hex(&mut out, instruction.address, 8);
                if bytes {
                    out.push_str(&format!(" {:>20}  ", hex(window.code(instruction))));
                } else {
                    out.push(' ');
                }
            }
            window.disassembler.text(index, &names, &mut text);
            push_text(&mut out, &text);
        }
        ctx.out.write_all(out.as_bytes())
    })
}

fn push_text(out: &mut String, text: &Text) {
    out.push_str(&text.mnemonic);
    if !text.operands.is_empty() {
        out.push(' ');
        out.push_str(&text.operands);
    }
    out.push('\n');
}

/// Writes the instructions that the argument spells in hexadecimal digits.
pub fn given(ctx: &mut Ctx<'_, '_>, addresses: bool) -> Result<()> {
    let bytes = literal::hexpairs(&ctx.args.text)?;
    let mut disassembler = ctx.disassembler()?;
    if bytes.is_empty() {
        return Err(Error::new(Kind::Usage, "there are no bytes to disassemble"));
    }
    let (mut at, mut text, mut out) = (0, Text::default(), String::new());
    let mut instruction = Instruction::default();
    while at < bytes.len() {
        let address = ctx.view.seek.wrapping_add(at as u64);
        disassembler.one(address, &bytes[at..], &mut instruction);
        disassembler.text(0, &(), &mut text);
        if addresses {
            push_hex(&mut out, address, 8);
            out.push(' ');
        }
        push_text(&mut out, &text);
        at += instruction.size as usize;
    }
    ctx.out.write_all(out.as_bytes())
}
