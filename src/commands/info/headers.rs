//! `ih`, `iH`, `iHH`: the fields of the header; `iA`, `iL`, `ic`, `iR`: what else there may be.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;

use super::super::{Command, Example, Run};
use super::table::{Row, Table, left};
use crate::binary::{self, Field};
use crate::error::Result;
use crate::output::{Item, Mode, Style, visible};
use crate::session::load::fitting;
use crate::session::{Ctx, Permissions};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "ih",
        aliases: &["iH"],
        summary: "list the fields of the header",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: Permissions::READ,
        examples: &[Example { line: "ih", shows: "" }],
        run: Run::Core(fields),
        ..Command::DEFAULT
    },
    Command {
        name: "iHH",
        summary: "list the fields of the header with their values in words",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[Example { line: "iHH", shows: "" }],
        run: Run::Core(words),
        ..Command::DEFAULT
    },
    Command {
        name: "iA",
        summary: "list the objects in the file: parts of a fat file, members of an archive",
        modes: &[Mode::Json, Mode::Quiet],
        needs: Permissions::READ,
        examples: &[Example { line: "iAj", shows: "[]" }],
        run: Run::Core(objects),
        ..Command::DEFAULT
    },
    Command {
        name: "iL",
        summary: "list the formats that are known",
        modes: &[Mode::Json, Mode::Quiet],
        examples: &[Example { line: "iLq~elf", shows: "elf\nelf64" }],
        run: Run::Core(|ctx| FORMATS.iter().try_for_each(|format| ctx.out.item(format))),
        ..Command::DEFAULT
    },
    Command {
        name: "ic",
        summary: "list the classes (none of the formats that are known has them)",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        examples: &[Example { line: "icj", shows: "[]" }],
        run: Run::Core(|_| Ok(())),
        ..Command::DEFAULT
    },
];

const HEAD: Table = Table {
    title: "Objects",
    apart: true,
    columns: &[left("nth"), left("paddr"), left("size"), left("arch"), left("name")],
};

#[derive(Serialize)]
struct FieldRow<'a> {
    name: &'a str,
    vaddr: u64,
    paddr: u64,
    value: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    comment: &'a str,
}

impl<'a> From<&'a Field> for FieldRow<'a> {
    fn from(field: &'a Field) -> FieldRow<'a> {
        let Field { name, vaddr, paddr, value, meaning } = field;
        FieldRow { name, vaddr: *vaddr, paddr: *paddr, value: *value, comment: meaning }
    }
}

impl Item for FieldRow<'_> {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "0x{:08x}  {:<11} 0x{:x}", self.paddr, self.name, self.value)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x} {}", self.vaddr, self.name)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "f {} 1 0x{:08x}", fitting(&format!("header.{}", self.name)), self.vaddr)
    }
}

/// A field with its value in words.
#[derive(Serialize)]
#[serde(transparent)]
struct InWords<'a>(FieldRow<'a>);

impl Item for InWords<'_> {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let FieldRow { name, paddr, value, comment, .. } = &self.0;
        match *comment {
            "" => writeln!(out, "0x{paddr:08x}  {name:<11} 0x{value:x}"),
            comment => writeln!(out, "0x{paddr:08x}  {name:<11} 0x{value:x}  {}", visible(comment)),
        }
    }
}

fn header(ctx: &mut Ctx<'_, '_>) -> Result<Vec<Field>> {
    let fields = match super::object(ctx) {
        Some((fd, object)) => binary::header(ctx.core.io.descriptor_mut(fd)?.device(), &object)?,
        None => Vec::new(),
    };
    super::warn(ctx);
    Ok(fields)
}

fn fields(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    header(ctx)?.iter().try_for_each(|field| ctx.out.item(&FieldRow::from(field)))
}

fn words(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    header(ctx)?.iter().try_for_each(|field| ctx.out.item(&InWords(FieldRow::from(field))))
}

#[derive(Serialize)]
struct ObjectRow {
    index: usize,
    offset: u64,
    size: u64,
    arch: &'static str,
    bits: u32,
    name: String,
}

impl Row for ObjectRow {
    fn cells(&self) -> Vec<Cow<'_, str>> {
        vec![
            self.index.to_string().into(),
            format!("0x{:08x}", self.offset).into(),
            self.size.to_string().into(),
            if self.bits == 0 { self.arch.into() } else { format!("{}_{}", self.arch, self.bits).into() },
            visible(&self.name),
        ]
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x} {} {}", self.offset, self.size, visible(&self.name))
    }
}

fn objects(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let object = super::object(ctx).map(|(_, object)| object);
    super::warn(ctx);
    let rows: Vec<ObjectRow> = match &object {
        Some(object) if object.members.is_empty() => vec![ObjectRow {
            index: 0,
            offset: object.offset,
            size: object.size,
            arch: object.arch,
            bits: object.bits,
            name: object.machine.clone(),
        }],
        Some(object) => object
            .members
            .iter()
            .enumerate()
            .map(|(index, member)| ObjectRow {
                index,
                offset: member.offset,
                size: member.size,
                arch: member.arch.map_or("", |(arch, _)| arch),
                bits: member.arch.map_or(0, |(_, bits)| bits),
                name: member.name.clone(),
            })
            .collect(),
        None => Vec::new(),
    };
    HEAD.print(ctx.out, rows.iter().map(|row| ObjectRow { name: row.name.clone(), ..*row }))
}

#[derive(Serialize)]
struct Format {
    name: &'static str,
    description: &'static str,
}

const FORMATS: &[Format] = &[
    Format { name: "ar", description: "archives of object files (System V, BSD, COFF, AIX)" },
    Format { name: "coff", description: "COFF objects, also large ones" },
    Format { name: "elf", description: "ELF, 32 bits" },
    Format { name: "elf64", description: "ELF, 64 bits" },
    Format { name: "mach0", description: "Mach-O, 32 bits, also in fat files" },
    Format { name: "mach064", description: "Mach-O, 64 bits, also in fat files" },
    Format { name: "pe", description: "PE, 32 bits" },
    Format { name: "pe64", description: "PE, 64 bits" },
    Format { name: "wasm", description: "WebAssembly modules" },
    Format { name: "xcoff", description: "XCOFF of AIX" },
];

impl Item for Format {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "{:<8} {}", self.name, self.description)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }
}
