//! `c`: compare bytes.
//!
//! Each command leaves the number of differing bytes in `$?`.

use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use serde::Serialize;

use super::literal::{self, Pattern, printable};
use super::{Arg, ArgKind, Command, Example, Family, Run, local};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style};
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "c", summary: "compare bytes", commands: COMMANDS };

const VALUE: &[Arg] = &[Arg::new("value", ArgKind::Number)];
const ADDRESS: &[Arg] = &[Arg::new("addr", ArgKind::Number)];
const OTHER: &[Arg] = &[Arg::new("addr", ArgKind::Number), Arg::opt("len", ArgKind::Number)];
const MODES: &[Mode] = &[Mode::Json, Mode::Quiet, Mode::Commands];

type Function = fn(&mut Ctx<'_, '_>) -> Result<()>;

const COMMANDS: &[Command] = &[
    Command {
        name: "c",
        args: &[Arg::new("text", ArgKind::Text)],
        summary: "compare the bytes here with a text",
        details: "Escapes are processed. c* shows the commands that write the text, cq the differences alone.",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[
            Example {
                line: "w hallo; c hello",
                shows: "Compare 4/5 equal bytes (80%)\n0x00000001 (byte=02)   61 'a'  ->  65 'e'",
            },
            Example { line: "w hallo; c* hello", shows: "wx 65 @ 0x00000001" },
            Example {
                line: "w hallo; cj hello",
                shows: "{\"equal\":4,\"size\":5,\"differences\":[{\"offset\":1,\"byte\":97,\"expected\":101}]}",
            },
        ],
        run: Run::Core(c),
        ..Command::DEFAULT
    },
    Command {
        name: "cx",
        args: &[Arg::new("hex", ArgKind::Hex)],
        summary: "compare the bytes here with hexpairs; '.' stands for any digit",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[
            Example { line: "wx 4142; cx 41..", shows: "Compare 2/2 equal bytes (100%)" },
            Example {
                line: "wx 4142; cx .15.",
                shows: "Compare 1/2 equal bytes (50%)\n0x00000001 (byte=02)   42 'B'  ->  52 'R'",
            },
        ],
        run: Run::Core(cx),
        ..Command::DEFAULT
    },
    value(
        "c1",
        MODES,
        compare_value::<1>,
        &[Example { line: "wx 41; c1 0x41", shows: "Compare 1/1 equal bytes (100%)" }],
    ),
    value(
        "c2",
        MODES,
        compare_value::<2>,
        &[Example { line: "wx 3412; c2 0x1234", shows: "Compare 2/2 equal bytes (100%)" }],
    ),
    value(
        "c4",
        MODES,
        compare_value::<4>,
        &[Example {
            line: "wx 78563412; c4 0x12345670",
            shows: "Compare 3/4 equal bytes (75%)\n0x00000000 (byte=01)   78 'x'  ->  70 'p'",
        }],
    ),
    value("c8", MODES, compare_value::<8>, &[Example { line: "c8 0", shows: "Compare 8/8 equal bytes (100%)" }]),
    value("cv", &[], silent_value::<4>, &[Example { line: "cv 0", shows: "" }]),
    value("cv1", &[], silent_value::<1>, &[Example { line: "cv1 0", shows: "" }]),
    value("cv2", &[], silent_value::<2>, &[Example { line: "cv2 0", shows: "" }]),
    value("cv4", &[], silent_value::<4>, &[Example { line: "cv4 0", shows: "" }]),
    value("cv8", &[], silent_value::<8>, &[Example { line: "cv8 0", shows: "" }]),
    memory("cV", silent_memory::<4>, &[Example { line: "cV 0x10", shows: "" }]),
    memory("cV1", silent_memory::<1>, &[Example { line: "cV1 0x10", shows: "" }]),
    memory("cV2", silent_memory::<2>, &[Example { line: "cV2 0x10", shows: "" }]),
    memory("cV4", silent_memory::<4>, &[Example { line: "cV4 0x10", shows: "" }]),
    memory("cV8", silent_memory::<8>, &[Example { line: "cV8 0x10", shows: "" }]),
    Command {
        name: "cc",
        args: OTHER,
        summary: "show the bytes here and at an address side by side",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[
            Example {
                line: "wx 4142; cc 1 2",
                shows: "0x00000000  4142                              AB                ! \
                        0x00000001  4200                              B.",
            },
            Example {
                line: "wx 41; ccj 1 1",
                shows: "[{\"offset\":0,\"bytes\":\"41\",\"other\":1,\"other_bytes\":\"00\",\"equal\":false}]",
            },
        ],
        run: Run::Core(cc),
        ..Command::DEFAULT
    },
    Command {
        name: "ccc",
        args: OTHER,
        summary: "show the rows that differ between here and an address",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[Example {
            line: "wx 41; s 0x10; ccc 0x20 0x20; ccc 0 0x10",
            shows: "0x00000010  00000000000000000000000000000000  ................  ! \
                    0x00000000  41000000000000000000000000000000  A...............",
        }],
        run: Run::Core(ccc),
        ..Command::DEFAULT
    },
    Command {
        name: "cu",
        args: OTHER,
        summary: "show the differences between here and an address, unified",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[Example {
            line: "s 0x40; wx 4142; s 0; cu 0x40 4",
            shows: "- 0x00000000 00000000 .... !\n+ 0x00000040 41420000 AB.. !",
        }],
        run: Run::Core(cu),
        ..Command::DEFAULT
    },
    Command {
        name: "cf",
        args: &[Arg::new("file", ArgKind::File), Arg::opt("len", ArgKind::Number)],
        summary: "compare the bytes here with the start of a file (at most a block)",
        modes: MODES,
        needs: Permissions::READ.and(Permissions::FILES),
        run: Run::Core(cf),
        ..Command::DEFAULT
    },
];

const fn value(name: &'static str, modes: &'static [Mode], run: Function, examples: &'static [Example]) -> Command {
    Command {
        name,
        args: VALUE,
        summary: if modes.is_empty() {
            "compare the number here (4 bytes) with a value; only $? tells (0: equal)"
        } else {
            "compare the number of 1, 2, 4 or 8 bytes here with a value"
        },
        modes,
        needs: Permissions::READ,
        examples,
        run: Run::Core(run),
        ..Command::DEFAULT
    }
}

const fn memory(name: &'static str, run: Function, examples: &'static [Example]) -> Command {
    Command {
        name,
        args: ADDRESS,
        summary: "compare the number here (4 bytes) with that at an address; only $? tells (0: equal)",
        needs: Permissions::READ,
        examples,
        run: Run::Core(run),
        ..Command::DEFAULT
    }
}

/// The most bytes that are compared at once.
const LIMIT: u64 = 64 << 20;

/// A byte that differs.
#[derive(Serialize)]
struct Difference {
    offset: u64,
    byte: u8,
    expected: u8,
    #[serde(skip)]
    index: u64,
}

/// The outcome of a comparison.
#[derive(Serialize)]
struct Comparison {
    equal: u64,
    size: u64,
    differences: Vec<Difference>,
}

impl Item for Comparison {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let percent = (self.equal * 100).checked_div(self.size).unwrap_or(100);
        writeln!(out, "Compare {}/{} equal bytes ({percent}%)", self.equal, self.size)?;
        self.quiet(out)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        for Difference { offset, byte, expected, index } in &self.differences {
            let (have, want) = (printable(*byte, ' '), printable(*expected, ' '));
            let number = index + 1;
            writeln!(out, "0x{offset:08x} (byte={number:02})   {byte:02x} '{have}'  ->  {expected:02x} '{want}'")?;
        }
        Ok(())
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        for difference in &self.differences {
            writeln!(out, "wx {:02x} @ 0x{:08x}", difference.expected, difference.offset)?;
        }
        Ok(())
    }
}

/// Compares the bytes at the seek with those of `pattern` that count, and shows the outcome.
fn compare(ctx: &mut Ctx<'_, '_>, pattern: &Pattern) -> Result<()> {
    let address = ctx.view.seek;
    let here = ctx.read(address, pattern.value.len() as u64)?;
    let differences: Vec<Difference> = (0u64..)
        .zip(here.iter().zip(pattern.value.iter().zip(&pattern.mask)))
        .filter(|(_, (byte, (expected, mask)))| (**byte ^ **expected) & **mask != 0)
        .map(|(index, (byte, (expected, mask)))| Difference {
            offset: address.wrapping_add(index),
            byte: *byte,
            expected: expected & mask | byte & !mask,
            index,
        })
        .collect();
    let (size, differing) = (here.len() as u64, differences.len() as u64);
    ctx.view.last = differing;
    ctx.out.value(&Comparison { equal: size - differing, size, differences })
}

fn exactly(value: Vec<u8>) -> Pattern {
    Pattern { mask: vec![0xff; value.len()], value }
}

fn c(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let text = literal::unescape(&ctx.args.text)?;
    compare(ctx, &exactly(text))
}

fn cx(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let pattern = literal::pattern(&ctx.args.text)?;
    compare(ctx, &pattern)
}

fn compare_value<const WIDTH: usize>(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = literal::fitting(ctx.required(0)?, WIDTH)?;
    let bytes = literal::number(value, WIDTH, ctx.option_bool("cfg.bigendian"));
    compare(ctx, &exactly(bytes))
}

fn silent_value<const WIDTH: usize>(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = literal::fitting(ctx.required(0)?, WIDTH)?;
    let bytes = literal::number(value, WIDTH, ctx.option_bool("cfg.bigendian"));
    count_differences(ctx, &bytes)
}

fn silent_memory<const WIDTH: usize>(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = ctx.required(0)?;
    let bytes = ctx.read(address, WIDTH as u64)?;
    count_differences(ctx, &bytes)
}

fn count_differences(ctx: &mut Ctx<'_, '_>, bytes: &[u8]) -> Result<()> {
    let here = ctx.read(ctx.view.seek, bytes.len() as u64)?;
    ctx.view.last = here.iter().zip(bytes).filter(|(a, b)| a != b).count() as u64;
    Ok(())
}

fn cf(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let name = ctx.args.words[0].as_str();
    let asked = ctx.number(1)?;
    let (file, size) = local::open(ctx.view, name)?;
    let length = asked.unwrap_or(size.min(ctx.view.block_size));
    if length > size {
        let what = format!("file '{name}' has no 0x{length:x} bytes: it ends at 0x{size:x}");
        return Err(Error::new(Kind::Limit, what));
    }
    let mut bytes = vec![0; bounded(length)? as usize];
    file.read_exact_at(&mut bytes, 0).map_err(|e| Error::system(format_args!("cannot read file '{name}'"), &e))?;
    compare(ctx, &exactly(bytes))
}

fn bounded(length: u64) -> Result<u64> {
    if length > LIMIT {
        return Err(
            Error::new(Kind::Limit, format!("0x{length:x} bytes are too many to compare")).hint("at most 64 MiB")
        );
    }
    Ok(length)
}

/// A row of a comparison of two places.
#[derive(Serialize)]
struct Row<'a> {
    offset: u64,
    #[serde(serialize_with = "hexpairs")]
    bytes: &'a [u8],
    other: u64,
    #[serde(rename = "other_bytes", serialize_with = "hexpairs")]
    other_bytes: &'a [u8],
    equal: bool,
    #[serde(skip)]
    unified: bool,
}

fn hexpairs<S: serde::Serializer>(bytes: &&[u8], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&faster_hex::hex_string(bytes))
}

fn characters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| printable(*byte, '.')).collect()
}

impl Item for Row<'_> {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let (bytes, other_bytes) = (faster_hex::hex_string(self.bytes), faster_hex::hex_string(self.other_bytes));
        let (text, other_text) = (characters(self.bytes), characters(self.other_bytes));
        let Row { offset, other, equal, unified, .. } = self;
        match (unified, equal) {
            (true, true) => writeln!(out, "  0x{offset:08x} {bytes} {text}"),
            (true, false) => {
                writeln!(out, "- 0x{offset:08x} {bytes} {text} !")?;
                writeln!(out, "+ 0x{other:08x} {other_bytes} {other_text} !")
            }
            (false, _) => {
                let mark = if *equal { ' ' } else { '!' };
                writeln!(
                    out,
                    "0x{offset:08x}  {bytes:<32}  {text:<16}  {mark} 0x{other:08x}  {other_bytes:<32}  {other_text}"
                )
            }
        }
    }
}

fn cc(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    rows(ctx, false, |_| true)
}

fn ccc(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    rows(ctx, false, |row| !row.equal)
}

fn cu(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    rows(ctx, true, |_| true)
}

/// Shows the rows that are `wanted` of the bytes here and at the address given.
fn rows(ctx: &mut Ctx<'_, '_>, unified: bool, wanted: impl Fn(&Row<'_>) -> bool) -> Result<()> {
    let (here, there) = (ctx.view.seek, ctx.required(0)?);
    let length = bounded(ctx.number(1)?.unwrap_or(ctx.view.block_size))?;
    let (ours, theirs) = (ctx.read(here, length)?, ctx.read(there, length)?);
    ctx.view.last = ours.iter().zip(&theirs).filter(|(a, b)| a != b).count() as u64;
    for (at, (bytes, other_bytes)) in (0u64..).step_by(16).zip(ours.chunks(16).zip(theirs.chunks(16))) {
        let row = Row {
            offset: here.wrapping_add(at),
            bytes,
            other: there.wrapping_add(at),
            other_bytes,
            equal: bytes == other_bytes,
            unified,
        };
        if wanted(&row) {
            ctx.out.item(&row)?;
        }
    }
    Ok(())
}
