//! `ie`, `iee`, `iM`: where the file starts running.

use std::io::{self, Write};

use serde::Serialize;

use super::super::{Command, Example, Run};
use crate::binary::{Entry, Object};
use crate::error::Result;
use crate::output::{Item, Mode, Style};
use crate::session::{Ctx, Permissions};

const MODES: &[Mode] = &[Mode::Json, Mode::Quiet, Mode::Commands];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "ie",
        summary: "list the entry points",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example { line: "ie", shows: "[Entrypoints]\n\n0 entrypoints" }],
        run: Run::Core(|ctx| entries(ctx, false)),
        ..Command::DEFAULT
    },
    Command {
        name: "iee",
        summary: "list what runs at the start and at the end: entry points, constructors and destructors",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example { line: "ieej", shows: "[]" }],
        run: Run::Core(|ctx| entries(ctx, true)),
        ..Command::DEFAULT
    },
    Command {
        name: "iM",
        summary: "show where main is",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example { line: "iM", shows: "[Main]" }],
        run: Run::Core(main),
        ..Command::DEFAULT
    },
];

#[derive(Serialize)]
struct Row {
    vaddr: u64,
    paddr: u64,
    baddr: u64,
    laddr: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hvaddr: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    haddr: Option<u64>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip)]
    name: String,
}

impl Item for Row {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        write!(out, "vaddr=0x{:08x} paddr=0x{:08x}", self.vaddr, self.paddr)?;
        if let (Some(haddr), Some(hvaddr)) = (self.haddr, self.hvaddr) {
            write!(out, " haddr=0x{haddr:08x} hvaddr=0x{hvaddr:08x}")?;
        }
        writeln!(out, " type={}", self.kind)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x}", self.vaddr)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "f {} 1 0x{:08x}", self.name, self.vaddr)
    }
}

fn entries(ctx: &mut Ctx<'_, '_>, all: bool) -> Result<()> {
    let mut rows = Vec::new();
    if let Some((fd, object)) = super::object(ctx) {
        let mut entries = object.entries.clone();
        if all {
            entries.extend(hooks(ctx, fd, &object)?);
        }
        for entry in entries {
            let count = rows.iter().filter(|row: &&Row| row.kind == entry.kind).count();
            let name = match entry.kind {
                "program" => format!("entry{count}"),
                kind => format!("entry.{kind}{count}"),
            };
            rows.push(Row {
                vaddr: entry.vaddr,
                paddr: entry.paddr,
                baddr: object.base,
                laddr: 0,
                hvaddr: entry.haddr.map(|at| at.wrapping_sub(object.offset).wrapping_add(object.base)),
                haddr: entry.haddr,
                kind: entry.kind,
                name,
            });
        }
    }
    super::warn(ctx);
    let text = ctx.out.mode() == Mode::Text;
    if text {
        ctx.out.line("[Entrypoints]")?;
    }
    rows.iter().try_for_each(|row| ctx.out.item(row))?;
    if text {
        ctx.out.line(format_args!("\n{} entrypoints", rows.len()))?;
    }
    Ok(())
}

/// Most functions of one table that are listed.
const HOOKS: usize = 4096;

/// What runs before and after the program: the tables of an ELF file, whose pointers the loader may have to fill in.
fn hooks(ctx: &mut Ctx<'_, '_>, fd: u32, object: &Object) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    let tables = [("PREINIT_ARRAY", "preinit"), ("INIT_ARRAY", "init"), ("FINI_ARRAY", "fini")];
    let word = if object.class == "ELF32" { 4 } else { 8 };
    for (section_kind, kind) in tables {
        for section in object.sections.iter().filter(|section| section.kind == section_kind) {
            let size = usize::try_from(section.size).unwrap_or(0).min(HOOKS * word);
            let mut table = vec![0; size];
            let count = ctx.core.io.descriptor_mut(fd)?.device().read_at(section.paddr, &mut table)?;
            table.truncate(count);
            let relocations = ctx.core.relocations(fd)?;
            for (index, bytes) in table.chunks_exact(word).enumerate() {
                let slot = section.vaddr.wrapping_add((index * word) as u64);
                let mut value = [0; 8];
                if object.big_endian {
                    value[8 - word..].copy_from_slice(bytes);
                } else {
                    value[..word].copy_from_slice(bytes);
                }
                let value = if object.big_endian { u64::from_be_bytes(value) } else { u64::from_le_bytes(value) };
                let patched = relocations.iter().find(|r| r.vaddr == slot && r.addend != 0);
                let value = patched.map_or(value, |relocation| relocation.addend as u64);
                if value == 0 || value == u64::MAX {
                    continue;
                }
                let vaddr = value.wrapping_add(object.shift);
                let haddr = Some(section.paddr + (index * word) as u64);
                found.push(Entry { vaddr, paddr: object.paddr(vaddr).unwrap_or(0), haddr, kind });
            }
        }
    }
    Ok(found)
}

#[derive(Serialize)]
struct Main {
    vaddr: u64,
    paddr: u64,
}

impl Item for Main {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "vaddr=0x{:08x} paddr=0x{:08x}", self.vaddr, self.paddr)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x}", self.vaddr)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "f main 1 0x{:08x}", self.vaddr)
    }
}

fn main(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let main = super::object(ctx).and_then(|(fd, object)| {
        let vaddr = ctx.core.main_of(fd, &object)?;
        Some(Main { vaddr, paddr: object.paddr(vaddr).unwrap_or(0) })
    });
    super::warn(ctx);
    if ctx.out.mode() == Mode::Text {
        ctx.out.line("[Main]")?;
    }
    match main {
        Some(main) => ctx.out.value(&main),
        None => Ok(()),
    }
}
