//! `ir`, `il`: relocations and libraries.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;

use super::super::{Command, Example, Run};
use super::table::{Row, Table, left};
use crate::binary::{Relocation, demangle};
use crate::error::Result;
use crate::output::{Item, Mode, Style, visible};
use crate::session::load::fitting;
use crate::session::{Ctx, Permissions};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "ir",
        summary: "list the relocations",
        details: "The type says what is done (SET: the symbol's address is stored, ADD: it is added) and to how many \
                  bits; 'native' in the JSON is the format's own name.",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: Permissions::READ,
        examples: &[Example {
            line: "ir",
            shows: "[Relocations]\n\nvaddr paddr type name\n---------------------\n\n0 relocations",
        }],
        run: Run::Core(relocations),
        ..Command::DEFAULT
    },
    Command {
        name: "il",
        summary: "list the libraries that the file needs",
        modes: &[Mode::Json, Mode::Quiet],
        needs: Permissions::READ,
        examples: &[Example { line: "il", shows: "[Linked libraries]\n\n0 libraries" }],
        run: Run::Core(libraries),
        ..Command::DEFAULT
    },
];

const RELOCATIONS: Table =
    Table { title: "Relocations", apart: true, columns: &[left("vaddr"), left("paddr"), left("type"), left("name")] };

#[derive(Serialize)]
struct RelocationRow<'a> {
    name: &'a str,
    demname: String,
    #[serde(rename = "type")]
    kind: String,
    native: &'a str,
    vaddr: u64,
    paddr: u64,
    addend: i64,
    is_ifunc: bool,
}

impl<'a> From<&'a Relocation> for RelocationRow<'a> {
    fn from(relocation: &'a Relocation) -> RelocationRow<'a> {
        let native = &*relocation.kind;
        let set = ["GLOB_DAT", "JUMP_SLOT", "JMP_SLOT", "JUMP_SLO", "COPY"].iter().any(|kind| native.contains(kind));
        let name = relocation.name.as_deref().unwrap_or_default();
        RelocationRow {
            name,
            demname: demangle::demangle(name).unwrap_or_default(),
            kind: format!("{}_{}", if set { "SET" } else { "ADD" }, relocation.size),
            native,
            vaddr: relocation.vaddr,
            paddr: relocation.paddr,
            addend: relocation.addend,
            is_ifunc: relocation.indirect,
        }
    }
}

impl RelocationRow<'_> {
    /// The name and what is added to it.
    fn target(&self) -> String {
        match (self.name, self.addend) {
            (name, 0) => name.to_string(),
            ("", addend) => format!("0x{addend:08x}"),
            (name, addend) if addend < 0 => format!("{name} - 0x{:x}", addend.unsigned_abs()),
            (name, addend) => format!("{name} + 0x{addend:x}"),
        }
    }
}

impl Row for RelocationRow<'_> {
    fn cells(&self) -> Vec<Cow<'_, str>> {
        vec![
            format!("0x{:08x}", self.vaddr).into(),
            format!("0x{:08x}", self.paddr).into(),
            self.kind.as_str().into(),
            visible(&self.target()).into_owned().into(),
        ]
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x} {}", self.vaddr, visible(self.name))
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.name.is_empty() {
            return Ok(());
        }
        writeln!(out, "\"f {} 1 0x{:08x}\"", fitting(&format!("reloc.{}", self.name)), self.vaddr)
    }
}

fn relocations(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let list = match super::object(ctx) {
        Some((fd, _)) => ctx.core.relocations(fd)?,
        None => Default::default(),
    };
    super::warn(ctx);
    RELOCATIONS.print(ctx.out, list.iter().map(RelocationRow::from))?;
    if ctx.out.mode() == Mode::Text {
        ctx.out.line(format_args!("\n{} relocations", list.len()))?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Library<'a>(&'a str);

impl Item for Library<'_> {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "{}", visible(self.0))
    }
}

fn libraries(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let list = match super::object(ctx) {
        Some((fd, _)) => ctx.core.details(fd)?.libraries.clone(),
        None => Vec::new(),
    };
    super::warn(ctx);
    let text = ctx.out.mode() == Mode::Text;
    if text {
        ctx.out.line("[Linked libraries]")?;
    }
    list.iter().try_for_each(|name| ctx.out.item(&Library(name)))?;
    if text {
        let noun = if list.len() == 1 { "library" } else { "libraries" };
        ctx.out.line(format_args!("\n{} {noun}", list.len()))?;
    }
    Ok(())
}
