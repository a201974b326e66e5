//! `pdj`: instructions as records, the same wherever a command shows instructions in JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::annotations::{Annotations, annotations};
use super::names::FlagNames;
use super::walk::{Limit, walk};
use crate::disasm::{Family, Instruction, Kind, Text};
use crate::error::Result;
use crate::output::{Item, Style};
use crate::session::{Core, Ctx};

/// Who refers to an address.
#[derive(Serialize)]
struct Reference {
    addr: u64,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// One instruction, with the keys that scripts of the field know.
#[derive(Serialize)]
pub struct Record {
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ptr: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    val: Option<u64>,
    esil: &'static str,
    refptr: bool,
    fcn_addr: u64,
    fcn_last: u64,
    size: u32,
    opcode: String,
    disasm: String,
    bytes: String,
    family: Family,
    #[serde(rename = "type")]
    kind: Kind,
    reloc: bool,
    type_num: u32,
    type2_num: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    jump: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fail: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    xrefs_to: Vec<Reference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refs: Vec<Reference>,
}

impl Item for Record {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "0x{:08x} {}", self.offset, self.disasm)
    }
}

/// Shows the instructions from `start` as records.
pub fn list(ctx: &mut Ctx<'_, '_>, start: u64, limit: Limit) -> Result<()> {
    each(ctx, start, limit, |ctx, records| records.iter().try_for_each(|record| ctx.out.item(record)))
}

/// The instructions from `start` as records, for a part of a larger answer.
pub fn records(ctx: &mut Ctx<'_, '_>, start: u64, limit: Limit) -> Result<Vec<Record>> {
    let mut all = Vec::new();
    each(ctx, start, limit, |_, mut records| {
        all.append(&mut records);
        Ok(())
    })?;
    Ok(all)
}

/// Hands over the records of one window after the other.
fn each(
    ctx: &mut Ctx<'_, '_>,
    start: u64,
    limit: Limit,
    mut hand: impl FnMut(&mut Ctx<'_, '_>, Vec<Record>) -> Result<()>,
) -> Result<()> {
    let (named, local) = (ctx.option_bool("asm.sub.names"), ctx.option_bool("asm.sub.var"));
    let (mut plain, mut text) = (Text::default(), Text::default());
    walk(ctx, start, limit, |ctx, window| {
        let (Some(first), Some(last)) = (window.instructions.first(), window.instructions.last()) else {
            return Ok(());
        };
        let core = &*ctx.core;
        let known = annotations(core, first.address, last.next());
        let names =
            FlagNames { flags: named.then_some(&core.flags), annotations: local.then_some(&*known), absolute: true };
        let mut records = Vec::with_capacity(window.instructions.len());
        for (index, instruction) in window.instructions.iter().enumerate() {
            window.disassembler.text(index, &(), &mut plain);
            window.disassembler.text(index, &names, &mut text);
            records.push(record(core, &*known, instruction, window.code(instruction), &plain, &text));
        }
        drop(known);
        hand(ctx, records)
    })
}

fn record(
    core: &Core,
    known: &dyn Annotations,
    instruction: &Instruction,
    code: &[u8],
    plain: &Text,
    text: &Text,
) -> Record {
    use base64::Engine;
    let (fcn_addr, fcn_last) = known.function(instruction.address).unwrap_or_default();
    let comment = core.comments.get(&instruction.address);
    Record {
        offset: instruction.address,
        ptr: instruction.pointer,
        val: instruction.value,
        esil: "",
        refptr: instruction.pointer.is_some() && instruction.memory_size > 0,
        fcn_addr,
        fcn_last,
        size: instruction.size,
        opcode: plain.to_string(),
        disasm: text.to_string(),
        bytes: super::hex(code),
        family: instruction.family,
        kind: instruction.kind,
        reloc: false,
        type_num: instruction.kind.number(),
        type2_num: 0,
        jump: instruction.jump,
        fail: instruction.fail,
        flags: core.flags.at(instruction.address).map(|flag| flag.name.clone()).collect(),
        comment: comment.map(|comment| base64::engine::general_purpose::STANDARD.encode(comment)),
        xrefs_to: references(known.references(instruction.address)),
        refs: references(known.refers(instruction.address)),
    }
}

fn references(found: Vec<(u64, &'static str)>) -> Vec<Reference> {
    found.into_iter().map(|(addr, kind)| Reference { addr, kind }).collect()
}
