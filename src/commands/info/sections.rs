//! `iS`, `iSS`: sections and segments.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;

use super::super::{Command, Example, Run};
use super::table::{Row, Table, left, right};
use crate::binary::{Section, Segment};
use crate::error::Result;
use crate::output::{Mode, visible};
use crate::session::load::fitting;
use crate::session::{Ctx, Permissions};

const MODES: &[Mode] = &[Mode::Json, Mode::Quiet, Mode::Commands];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "iS",
        summary: "list the sections",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example {
            line: "iS",
            shows: "[Sections]\n\nnth paddr size vaddr vsize perm name type flags\n\
                    -----------------------------------------------",
        }],
        run: Run::Core(|ctx| sections(ctx, false)),
        ..Command::DEFAULT
    },
    Command {
        name: "iS.",
        summary: "show the section at the seek",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example { line: "iS.q", shows: "" }],
        run: Run::Core(|ctx| sections(ctx, true)),
        ..Command::DEFAULT
    },
    Command {
        name: "iSS",
        summary: "list the segments",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example {
            line: "iSS",
            shows: "[Segments]\n\nnth paddr size vaddr vsize perm name\n------------------------------------",
        }],
        run: Run::Core(|ctx| segments(ctx, false)),
        ..Command::DEFAULT
    },
    Command {
        name: "iSS.",
        summary: "show the segments at the seek",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example { line: "iSS.q", shows: "" }],
        run: Run::Core(|ctx| segments(ctx, true)),
        ..Command::DEFAULT
    },
];

const SECTIONS: Table = Table {
    title: "Sections",
    apart: true,
    columns: &[
        left("nth"),
        left("paddr"),
        right("size"),
        left("vaddr"),
        right("vsize"),
        left("perm"),
        left("name"),
        left("type"),
        left("flags"),
    ],
};

const SEGMENTS: Table = Table {
    title: "Segments",
    apart: true,
    columns: &[left("nth"), left("paddr"), right("size"), left("vaddr"), right("vsize"), left("perm"), left("name")],
};

#[derive(Serialize)]
struct SectionRow<'a> {
    name: &'a str,
    size: u64,
    vsize: u64,
    perm: String,
    #[serde(rename = "type")]
    kind: &'a str,
    flags: &'a [&'static str],
    paddr: u64,
    vaddr: u64,
    #[serde(skip)]
    section: &'a Section,
}

impl<'a> From<&'a Section> for SectionRow<'a> {
    fn from(section: &'a Section) -> SectionRow<'a> {
        SectionRow {
            name: &section.name,
            size: section.size,
            vsize: section.vsize,
            perm: super::permissions(section.access),
            kind: &section.kind,
            flags: &section.flags,
            paddr: section.paddr,
            vaddr: section.vaddr,
            section,
        }
    }
}

impl Row for SectionRow<'_> {
    fn cells(&self) -> Vec<Cow<'_, str>> {
        vec![
            self.section.index.to_string().into(),
            format!("0x{:08x}", self.paddr).into(),
            format!("0x{:x}", self.size).into(),
            format!("0x{:08x}", self.vaddr).into(),
            format!("0x{:x}", self.vsize).into(),
            self.perm.as_str().into(),
            visible(self.name),
            visible(self.kind),
            self.flags.join(",").into(),
        ]
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        let end = self.vaddr.wrapping_add(self.vsize);
        writeln!(out, "0x{:x} 0x{end:x} {} {}", self.vaddr, self.perm, visible(self.name))
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        if !self.section.loaded {
            return Ok(());
        }
        writeln!(out, "\"f {} 1 0x{:08x}\"", fitting(&format!("section.{}", self.name)), self.vaddr)
    }
}

#[derive(Serialize)]
struct SegmentRow<'a> {
    name: &'a str,
    size: u64,
    vsize: u64,
    perm: String,
    paddr: u64,
    vaddr: u64,
    #[serde(skip)]
    index: usize,
}

impl Row for SegmentRow<'_> {
    fn cells(&self) -> Vec<Cow<'_, str>> {
        vec![
            self.index.to_string().into(),
            format!("0x{:08x}", self.paddr).into(),
            format!("0x{:x}", self.size).into(),
            format!("0x{:08x}", self.vaddr).into(),
            format!("0x{:x}", self.vsize).into(),
            self.perm.as_str().into(),
            visible(self.name),
        ]
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        let end = self.vaddr.wrapping_add(self.vsize);
        writeln!(out, "0x{:x} 0x{end:x} {} {}", self.vaddr, self.perm, visible(self.name))
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\"f {} 1 0x{:08x}\"", fitting(&format!("segment.{}", self.name)), self.vaddr)
    }
}

fn sections(ctx: &mut Ctx<'_, '_>, here: bool) -> Result<()> {
    let object = super::object(ctx).map(|(_, object)| object);
    super::warn(ctx);
    let seek = ctx.view.seek;
    let list = object.as_ref().map_or(&[][..], |object| &object.sections);
    let shown = |section: &&Section| {
        !here || section.loaded && seek.checked_sub(section.vaddr).is_some_and(|inside| inside < section.vsize)
    };
    SECTIONS.print(ctx.out, list.iter().filter(shown).map(SectionRow::from))
}

fn segments(ctx: &mut Ctx<'_, '_>, here: bool) -> Result<()> {
    let object = super::object(ctx).map(|(_, object)| object);
    super::warn(ctx);
    let seek = ctx.view.seek;
    let list = object.as_ref().map_or(&[][..], |object| &object.segments);
    let shown = |(_, segment): &(usize, &Segment)| {
        !here || seek.checked_sub(segment.vaddr).is_some_and(|inside| inside < segment.vsize)
    };
    let row = |(index, segment): (usize, &'_ Segment)| (index, segment.clone());
    let rows: Vec<(usize, Segment)> = list.iter().enumerate().filter(shown).map(row).collect();
    SEGMENTS.print(
        ctx.out,
        rows.iter().map(|(index, segment)| SegmentRow {
            name: &segment.name,
            size: segment.size,
            vsize: segment.vsize,
            perm: super::permissions(segment.access),
            paddr: segment.paddr,
            vaddr: segment.vaddr,
            index: *index,
        }),
    )
}
