//! `iZ`, `im`, `ik`: how large the object is, what memory it asks for, and all that is known of it as keys and values.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::super::{Arg, ArgKind, Command, Example, Run};
use super::general;
use super::table::{Row, Table, left};
use crate::binary::{Object, Segment};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::load::fitting;
use crate::session::{Ctx, Permissions};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "iZ",
        summary: "show how many bytes of the file its headers account for",
        details: "What lies behind that was put there by somebody else: an installer's data, a signature, a payload.",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[Example { line: "o hex://7f454c46; iZ", shows: "4" }],
        run: Run::Core(size),
        ..Command::DEFAULT
    },
    Command {
        name: "im",
        summary: "list the memory that the loader makes for the object: what its segments take, zeros included",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: Permissions::READ,
        examples: &[Example { line: "imj", shows: "[]" }],
        run: Run::Core(memory),
        ..Command::DEFAULT
    },
    Command {
        name: "ik",
        args: &[Arg::opt("key", ArgKind::Word)],
        summary: "list all that is known of the object as keys and values, or those whose keys begin with a word",
        modes: &[Mode::Json, Mode::Quiet],
        needs: Permissions::READ,
        examples: &[Example { line: "ikj", shows: "[]" }],
        run: Run::Core(keys),
        ..Command::DEFAULT
    },
];

#[derive(Serialize)]
struct Size {
    size: u64,
}

impl Item for Size {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "{}", self.size)
    }
}

/// The end of what `object` names in its file, from its start.
fn extent(object: &Object, tables: u64) -> u64 {
    let segments = object.segments.iter().map(|segment| segment.paddr.saturating_add(segment.size));
    let stored = object.sections.iter().filter(|section| section.kind != "NOBITS" && section.kind != "BSS");
    let sections = stored.map(|section| section.paddr.saturating_add(section.size));
    let end = segments.chain(sections).max().unwrap_or(0).saturating_sub(object.offset);
    end.max(tables).min(object.size)
}

fn size(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let fd = ctx.view.descriptor.or(ctx.core.io.current());
    let fd = fd.ok_or_else(|| Error::new(Kind::NotFound, "nothing is open").hint("o FILE opens a file"))?;
    let size = match super::object(ctx) {
        Some((_, object)) if !object.segments.is_empty() || !object.sections.is_empty() => {
            let tables = tables(ctx, fd, &object)?;
            extent(&object, tables)
        }
        _ => {
            let size = ctx.core.io.descriptor(fd)?.size();
            size.ok_or_else(|| Error::new(Kind::Limit, "the file has no end, and so no size"))?
        }
    };
    super::warn(ctx);
    ctx.out.value(&Size { size })
}

/// The end of the tables of an ELF header, which belong to no section.
fn tables(ctx: &mut Ctx<'_, '_>, fd: u32, object: &Object) -> Result<u64> {
    if !object.format.starts_with("elf") {
        return Ok(0);
    }
    let fields = crate::binary::header(ctx.core.io.descriptor_mut(fd)?.device(), object)?;
    let field = |name: &str| fields.iter().find(|field| field.name == name).map_or(0, |field| field.value);
    let end = |offset: &str, size: &str, count: &str| field(offset).saturating_add(field(size) * field(count));
    Ok(end("ShOff", "ShentSize", "ShNum").max(end("PhOff", "PhentSize", "PhNum")))
}

const REGIONS: Table = Table {
    title: "Memory",
    apart: true,
    columns: &[left("vaddr"), left("end"), left("size"), left("perm"), left("name")],
};

#[derive(Serialize)]
struct Region<'a> {
    name: &'a str,
    vaddr: u64,
    size: u64,
    perm: String,
    /// Bytes that come from the file; the rest are zeros.
    filled: u64,
}

impl<'a> From<&'a Segment> for Region<'a> {
    fn from(segment: &'a Segment) -> Region<'a> {
        Region {
            name: &segment.name,
            vaddr: segment.vaddr,
            size: segment.vsize,
            perm: super::permissions(segment.access),
            filled: segment.size.min(segment.vsize),
        }
    }
}

impl Row for Region<'_> {
    fn cells(&self) -> Vec<Cow<'_, str>> {
        vec![
            format!("0x{:08x}", self.vaddr).into(),
            format!("0x{:08x}", self.vaddr.wrapping_add(self.size)).into(),
            self.size.to_string().into(),
            self.perm.as_str().into(),
            visible(self.name),
        ]
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x} {} {}", self.vaddr, self.size, visible(self.name))
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\"f {} {} 0x{:08x}\"", fitting(&format!("memory.{}", self.name)), self.size, self.vaddr)
    }
}

fn memory(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let object = super::object(ctx).map(|(_, object)| object);
    super::warn(ctx);
    let segments = object.iter().flat_map(|object| &object.segments);
    REGIONS.print(ctx.out, segments.filter(|segment| segment.loaded && segment.vsize > 0).map(Region::from))
}

/// A key and its value.
#[derive(Serialize)]
struct Pair {
    key: String,
    value: Value,
}

impl Item for Pair {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        match &self.value {
            Value::String(text) => writeln!(out, "{}={}", self.key, visible(text)),
            value => writeln!(out, "{}={}", self.key, visible(&value.to_string())),
        }
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.key)
    }
}

fn keys(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let Some((fd, object)) = super::object(ctx) else { return Ok(()) };
    let wanted = ctx.word(0).unwrap_or_default().to_string();
    let details = ctx.core.details(fd)?;
    let mut pairs = Vec::new();
    if let Value::Object(facts) = general::described(&object, &details) {
        pairs.extend(facts.into_iter().map(|(key, value)| Pair { key: format!("bin.{key}"), value }));
    }
    for field in crate::binary::header(ctx.core.io.descriptor_mut(fd)?.device(), &object)? {
        pairs.push(Pair { key: format!("header.{}", field.name), value: field.value.into() });
    }
    let mut more = |key: &str, value: Option<Value>| {
        pairs.extend(value.map(|value| Pair { key: key.to_string(), value }));
    };
    more("soname", details.soname.clone().map(Value::from));
    more("build_id", details.build_id.as_deref().map(|id| general::hex(id).into()));
    more("needed", Some(details.libraries.clone().into()).filter(|_| !details.libraries.is_empty()));
    super::warn(ctx);
    pairs.iter().filter(|pair| pair.key.starts_with(&wanted)).try_for_each(|pair| ctx.out.item(pair))
}
