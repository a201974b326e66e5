//! `wc`: the writes that `io.cache` holds back.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::open::chosen;
use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::error::{Error, Kind, Result};
use crate::io::Layer;
use crate::io::overlay::Entry;
use crate::output::{Item, Mode, Style};
use crate::session::{Ctx, Permissions, scope};

/// The family.
pub const FAMILY: Family = Family { name: "wc", summary: "the writes that io.cache holds back", commands: COMMANDS };

const RANGE: &[Arg] = &[Arg::opt("from", ArgKind::Number), Arg::opt("to", ArgKind::Number)];

const COMMANDS: &[Command] = &[
    Command {
        name: "wc",
        summary: "list the held-back writes, oldest first",
        details: "Where writes overlap, the newest wins. Those at physical addresses name their descriptor.",
        modes: &[Mode::Json, Mode::Commands],
        needs: Permissions::READ,
        examples: &[
            Example {
                line: "e io.cache=true; wx 9090; wc",
                shows: "idx=0 addr=0x00000000 size=2 0000 -> 9090 (not written)",
            },
            Example {
                line: "e io.cache=true; wx 9090; wcj",
                shows: r#"[{"idx":0,"addr":0,"size":2,"before":"0000","after":"9090","written":false}]"#,
            },
            Example { line: "e io.cache=true; wx 9090; wc*", shows: "wx 9090 @ 0x00000000 # replaces: 0000" },
        ],
        run: Run::Core(|ctx| list(ctx, |_| true)),
        ..Command::DEFAULT
    },
    Command {
        name: "wci",
        summary: "commit: write everything held back to the devices",
        needs: Permissions::WRITE,
        examples: &[Example {
            line: "e io.cache=true; wx 9090; wci; wc; e io.cache=false; p8 2",
            shows: "idx=0 addr=0x00000000 size=2 0000 -> 9090 (written)\n9090",
        }],
        run: Run::Core(|ctx| ctx.core.io.commit().map(drop)),
        ..Command::DEFAULT
    },
    Command {
        name: "wcr",
        summary: "throw away everything held back: what the devices hold shows again",
        needs: Permissions::WRITE,
        examples: &[Example { line: "e io.cache=true; wx 9090; wcr; wcj; p8 2", shows: "[]\n0000" }],
        run: Run::Core(|ctx| {
            ctx.core.io.discard();
            Ok(())
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "wc-",
        args: RANGE,
        summary: "throw away what is held back in a range (default: the block at the seek; 'to' is exclusive)",
        needs: Permissions::WRITE,
        examples: &[Example {
            line: "e io.cache=true; wx 909090; wc- 1 2; wc",
            shows: "idx=0 addr=0x00000000 size=1 00 -> 90 (not written)\n\
                    idx=1 addr=0x00000002 size=1 00 -> 90 (not written)",
        }],
        run: Run::Core(|ctx| {
            if let Some((layer, from, last)) = range(ctx)? {
                ctx.core.io.discard_range(layer, from, last);
            }
            Ok(())
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "wc+",
        args: RANGE,
        summary: "commit what is held back in a range (default: the block at the seek; 'to' is exclusive)",
        needs: Permissions::WRITE,
        examples: &[Example {
            line: "e io.cache=true; wx 9090; wc+ 0 1; wc",
            shows: "idx=0 addr=0x00000000 size=1 00 -> 90 (written)\n\
                    idx=1 addr=0x00000001 size=1 00 -> 90 (not written)",
        }],
        run: Run::Core(|ctx| match range(ctx)? {
            Some((layer, from, last)) => ctx.core.io.commit_range(layer, from, last).map(drop),
            None => Ok(()),
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "wcp",
        args: &[Arg::opt("fd", ArgKind::Descriptor)],
        summary: "list the writes held back at physical addresses of a descriptor (default: the current one)",
        modes: &[Mode::Json, Mode::Commands],
        needs: Permissions::READ,
        examples: &[Example {
            line: "e io.cache=true; e io.va=false; wx 90; wcp",
            shows: "idx=0 fd=3 addr=0x00000000 size=1 00 -> 90 (not written)",
        }],
        run: Run::Core(|ctx| {
            let fd = chosen(ctx)?;
            ctx.core.io.descriptor(fd)?;
            list(ctx, |entry| entry.layer == Layer::Physical(fd))
        }),
        ..Command::DEFAULT
    },
];

#[derive(Serialize)]
struct Row<'a> {
    idx: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    fd: Option<u32>,
    addr: u64,
    size: usize,
    #[serde(serialize_with = "hexpairs")]
    before: &'a [u8],
    #[serde(serialize_with = "hexpairs")]
    after: &'a [u8],
    written: bool,
}

fn hexpairs<S: Serializer>(bytes: &[u8], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&faster_hex::hex_string(bytes))
}

impl Item for Row<'_> {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        write!(out, "idx={} ", self.idx)?;
        if let Some(fd) = self.fd {
            write!(out, "fd={fd} ")?;
        }
        let (before, after) = (faster_hex::hex_string(self.before), faster_hex::hex_string(self.after));
        let state = if self.written { "written" } else { "not written" };
        writeln!(out, "addr=0x{:08x} size={} {before} -> {after} ({state})", self.addr, self.size)
    }

    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        let (before, after) = (faster_hex::hex_string(self.before), faster_hex::hex_string(self.after));
        let descriptor = self.fd.map(|fd| format!(" @o:{fd}")).unwrap_or_default();
        writeln!(out, "wx {after} @ 0x{:08x}{descriptor} # replaces: {before}", self.addr)
    }
}

fn list(ctx: &mut Ctx<'_, '_>, wanted: impl Fn(&Entry) -> bool) -> Result<()> {
    for (idx, entry) in ctx.core.io.overlay.entries().iter().enumerate().filter(|(_, entry)| wanted(entry)) {
        let fd = match entry.layer {
            Layer::Virtual => None,
            Layer::Physical(fd) => Some(fd),
        };
        let Entry { address, before, after, written, .. } = entry;
        ctx.out.item(&Row { idx, fd, addr: *address, size: after.len(), before, after, written: *written })?;
    }
    Ok(())
}

/// The range of the arguments in the addresses that the client uses, with an inclusive end; `None`: nothing is meant.
fn range(ctx: &mut Ctx<'_, '_>) -> Result<Option<(Layer, u64, u64)>> {
    let from = ctx.number(0)?.unwrap_or(ctx.view.seek);
    let to = ctx.number(1)?;
    if to.is_some_and(|to| to < from) {
        return Err(Error::new(Kind::Usage, "the range ends before it begins").hint("first 'from', then 'to'"));
    }
    let length = to.map_or(ctx.view.block_size, |to| to - from);
    let settings = scope::settings(ctx.core, ctx.view);
    let layer = ctx.core.io.layer(&settings);
    Ok(layer.filter(|_| length > 0).map(|layer| (layer, from, from.saturating_add(length - 1))))
}
