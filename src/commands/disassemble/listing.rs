//! `pd`: instructions in columns, with arrows, flags and comments.

use super::annotations::{Above, Bar, annotations};
use super::arrows::Arrows;
use super::comments::{self, References};
use super::layout::{Layout, Row};
use super::names::FlagNames;
use super::walk::{Limit, Window, walk};
use crate::commands::analysis;
use crate::disasm::Text;
use crate::error::Result;
use crate::session::Ctx;

/// What is made for one window after the other, kept with its memory.
#[derive(Default)]
struct Scratch {
    arrows: Arrows,
    references: References,
    lines: Vec<Above>,
    text: Text,
    comment: String,
    /// What flags say of themselves.
    remarks: String,
    out: String,
}

/// Lists the instructions from `start`.
pub fn list(ctx: &mut Ctx<'_, '_>, start: u64, limit: Limit) -> Result<()> {
    let layout = Layout::of(ctx);
    let mut scratch = Scratch::default();
    walk(ctx, start, limit, |ctx, window| {
        if let (Some(first), Some(last)) = (window.instructions.first(), window.instructions.last()) {
            analysis::run::frames_between(ctx, first.address, last.address)?;
        }
        if layout.comments {
            scratch.references.read(ctx, window.instructions)?;
        }
        render(ctx, &layout, window, &mut scratch);
        ctx.out.write_all(scratch.out.as_bytes())
    })
}

fn render(ctx: &Ctx<'_, '_>, layout: &Layout, window: &mut Window<'_>, scratch: &mut Scratch) {
    let Scratch { arrows, references, lines, text, comment, remarks, out } = scratch;
    out.clear();
    let (Some(first), Some(last)) = (window.instructions.first(), window.instructions.last()) else { return };
    let (first, next) = (first.address, last.next());
    let core = &*ctx.core;
    if layout.lines {
        arrows.find(window.instructions, layout.width);
    }
    let known = annotations(core, first, next);
    let names = FlagNames {
        flags: ctx.option_bool("asm.sub.names").then_some(&core.flags),
        annotations: ctx.option_bool("asm.sub.var").then_some(&*known),
        absolute: true,
    };
    let big_endian = ctx.option_bool("cfg.bigendian");
    let mut flags = core.flags.visible_between(first, next).peekable();
    let mut cursor = 0;
    for (index, instruction) in window.instructions.iter().enumerate() {
        let bar = known.bar(instruction.address);
        lines.clear();
        remarks.clear();
        known.above(instruction.address, lines);
        lines.iter().filter(|line| line.head || layout.above).for_each(|line| layout.above(out, arrows, index, line));
        while let Some(flag) = flags.next_if(|flag| flag.address < instruction.next()) {
            if let Some(remark) = &flag.comment {
                remarks.push_str("; ");
                remarks.push_str(&crate::output::visible(remark));
            }
            let inside = flag.address - instruction.address.min(flag.address);
            if layout.flags && !known.says(flag.address, &flag.name) {
                let name = crate::output::visible(&flag.name);
                let said = if inside == 0 { format!(";-- {name}:") } else { format!(";-- {name}: (+{inside})") };
                let bar = bar.filter(|bar| *bar != Bar::First);
                layout.above(out, arrows, index, &Above { text: said, bar, head: false });
            }
        }
        comment.clear();
        if layout.comments {
            comments::write(comment, core, instruction, references.at(index, &mut cursor), big_endian);
        }
        if layout.comments && !remarks.is_empty() {
            if !comment.is_empty() {
                comment.push(' ');
            }
            comment.push_str(remarks);
        }
        if layout.describe {
            if !comment.is_empty() {
                comment.push(' ');
            }
            comment.push_str("; ");
            comment.push_str(instruction.kind.name());
        }
        if !comment.is_empty() && !layout.right {
            layout.above(out, arrows, index, &Above { text: std::mem::take(comment), bar, head: false });
        }
        window.disassembler.text(index, &names, text);
        let columns = layout.row(out, arrows, Row { index, bar, instruction, code: window.code(instruction) }, text);
        if !comment.is_empty() {
            layout.comment(out, columns, comment);
        }
        out.push('\n');
    }
}
