//! `iV`, `iR`, `iC`, `iw`: what else a file carries: versions, resources, signatures, handlers of exceptions.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;

use super::super::{Command, Example, Run};
use super::table::{Row, Table, left};
use crate::binary::handlers::{self, Handler, Part};
use crate::binary::{self, Object, Read, Resource, Signature, Version};
use crate::error::Result;
use crate::io::Device;
use crate::output::{Mode, visible};
use crate::session::load::fitting;
use crate::session::{Ctx, Permissions};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "iV",
        summary: "list versions: those of symbols that an ELF file defines and needs, or that of a PE file itself",
        modes: &[Mode::Json, Mode::Quiet],
        needs: Permissions::READ,
        examples: &[Example { line: "iVj", shows: "[]" }],
        run: Run::Core(|ctx| list(ctx, &VERSIONS, binary::versions)),
        ..Command::DEFAULT
    },
    Command {
        name: "iR",
        summary: "list the resources of a PE file",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: Permissions::READ,
        examples: &[Example { line: "iRj", shows: "[]" }],
        run: Run::Core(|ctx| list(ctx, &RESOURCES, binary::resources)),
        ..Command::DEFAULT
    },
    Command {
        name: "iC",
        summary: "list the signatures of a PE or Mach-O file, with its entitlements",
        details: "They are shown as they are, not verified.",
        modes: &[Mode::Json, Mode::Quiet],
        needs: Permissions::READ,
        examples: &[Example { line: "iCj", shows: "[]" }],
        run: Run::Core(|ctx| list(ctx, &SIGNATURES, binary::signatures)),
        ..Command::DEFAULT
    },
    Command {
        name: "iw",
        summary: "list the code that handles exceptions, and where that goes on (try and catch)",
        details: "From .eh_frame and .gcc_except_table, or from .pdata of x64.",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: Permissions::READ,
        examples: &[Example { line: "iwj", shows: "[]" }],
        run: Run::Core(|ctx| {
            let found = match super::object(ctx) {
                Some((fd, object)) => caught(ctx, fd, &object)?,
                None => Vec::new(),
            };
            super::warn(ctx);
            HANDLERS.print(ctx.out, found.iter())
        }),
        ..Command::DEFAULT
    },
];

const VERSIONS: Table = Table {
    title: "Versions",
    apart: true,
    columns: &[left("type"), left("nth"), left("file"), left("name"), left("value")],
};

const RESOURCES: Table = Table {
    title: "Resources",
    apart: true,
    columns: &[left("paddr"), left("vaddr"), left("size"), left("type"), left("lang"), left("name")],
};

const SIGNATURES: Table =
    Table { title: "Signatures", apart: true, columns: &[left("paddr"), left("size"), left("type"), left("text")] };

const HANDLERS: Table =
    Table { title: "Handlers", apart: true, columns: &[left("from"), left("to"), left("handler"), left("type")] };

/// Prints the list that `read` makes of the current object file.
fn list<T>(ctx: &mut Ctx<'_, '_>, table: &Table, read: fn(&mut dyn Device, &Object) -> Result<Read<T>>) -> Result<()>
where
    for<'a> &'a T: Row,
{
    let mut found = Read::default();
    if let Some((fd, object)) = super::object(ctx) {
        found = read(ctx.core.io.descriptor_mut(fd)?.device(), &object)?;
    }
    super::warn(ctx);
    for warning in &found.warnings {
        ctx.out.note(format_args!("Warning: {}", visible(warning)));
    }
    table.print(ctx.out, found.list.iter())
}

impl Row for &Version {
    fn cells(&self) -> Vec<Cow<'_, str>> {
        let index = self.index.map_or(String::new(), |index| index.to_string());
        vec![self.kind.into(), index.into(), visible(&self.file), visible(&self.name), visible(&self.value)]
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        match &*self.value {
            "" => writeln!(out, "{}", visible(&self.name)),
            value => writeln!(out, "{} {}", visible(&self.name), visible(value)),
        }
    }
}

impl Row for &Resource {
    fn cells(&self) -> Vec<Cow<'_, str>> {
        vec![
            format!("0x{:08x}", self.paddr).into(),
            format!("0x{:08x}", self.vaddr).into(),
            self.size.to_string().into(),
            visible(&self.kind),
            format!("0x{:04x}", self.language).into(),
            visible(&self.name),
        ]
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x} {} {} {}", self.vaddr, self.size, visible(&self.kind), visible(&self.name))
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        let name = fitting(&format!("resource.{}.{}", self.kind, self.name));
        writeln!(out, "\"f {name} {} 0x{:08x}\"", self.size, self.vaddr)
    }
}

impl Row for &Signature {
    fn cells(&self) -> Vec<Cow<'_, str>> {
        vec![
            format!("0x{:08x}", self.paddr).into(),
            self.size.to_string().into(),
            self.kind.into(),
            visible(self.text.trim()),
        ]
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x} {} {}", self.paddr, self.size, self.kind)
    }
}

impl Row for &Handler {
    fn cells(&self) -> Vec<Cow<'_, str>> {
        let kind = if self.catches { "catch" } else { "cleanup" };
        let address = |address: u64| Cow::from(format!("0x{address:08x}"));
        vec![address(self.source), address(self.source_end), address(self.target), kind.into()]
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x} 0x{:08x} 0x{:08x}", self.source, self.source_end, self.target)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\"f try.{0:x} {1} 0x{0:08x}\"", self.source, self.source_end.saturating_sub(self.source))?;
        writeln!(out, "\"f catch.{0:x} 1 0x{0:08x}\"", self.target)
    }
}

/// The largest section that is read for its tables, in bytes.
const LARGEST: u64 = 64 << 20;

/// The bytes of a section, and their virtual address.
fn section(ctx: &mut Ctx<'_, '_>, fd: u32, object: &Object, name: &str) -> Result<Option<(Vec<u8>, u64)>> {
    let Some(section) = object.section(name).filter(|section| section.size > 0) else { return Ok(None) };
    let mut bytes = vec![0; usize::try_from(section.size.min(LARGEST)).unwrap_or(0)];
    let device = ctx.core.io.descriptor_mut(fd)?.device();
    // Sizes are those of a file that may lie.
    let room = device.info().size.map_or(bytes.len() as u64, |size| size.saturating_sub(section.paddr));
    bytes.truncate(usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len()));
    let count = device.read_at(section.paddr, &mut bytes)?;
    bytes.truncate(count);
    Ok(Some((bytes, section.vaddr)))
}

fn caught(ctx: &mut Ctx<'_, '_>, fd: u32, object: &Arc<Object>) -> Result<Vec<Handler>> {
    let (found, damaged) = if object.format.starts_with("pe") {
        let (Some((functions, at)), 64, "x86") = (section(ctx, fd, object, ".pdata")?, object.bits, object.arch) else {
            return Ok(Vec::new());
        };
        let infos: Vec<(Vec<u8>, u64)> = [".xdata", ".rdata"]
            .iter()
            .filter_map(|name| section(ctx, fd, object, name).transpose())
            .collect::<Result<_>>()?;
        let look = |address: u64, count: usize| {
            infos.iter().find_map(|(bytes, start)| {
                let at = usize::try_from(address.checked_sub(*start)?).ok()?;
                bytes.get(at..at.checked_add(count)?)
            })
        };
        handlers::of_functions(Part { bytes: &functions, address: at }, &look, object.base)
    } else {
        let frames = section(ctx, fd, object, ".eh_frame")?;
        let (Some((frames, at)), false) = (frames, object.big_endian) else { return Ok(Vec::new()) };
        let Some((tables, place)) = section(ctx, fd, object, ".gcc_except_table")? else { return Ok(Vec::new()) };
        let text = object.section(".text").map_or(0, |section| section.vaddr);
        let word = if object.class == "ELF32" { 4 } else { 8 };
        let frames = Part { bytes: &frames, address: at };
        handlers::of_frames(frames, Part { bytes: &tables, address: place }, text, word)
    };
    if damaged > 0 {
        ctx.out.note(format_args!("Warning: {damaged} entries of the tables for unwinding could not be read"));
    }
    Ok(found)
}
