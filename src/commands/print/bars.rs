//! `p=` and `p-`: the file as bars, one for each block.

use std::io::Write;

use serde::Serialize;

use super::rows::push_address;
use super::zoom::{Measure, block_count, measure, range};
use crate::commands::{Arg, ArgKind, Command, Example, Run};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style};
use crate::session::context::LENGTH_LIMIT;
use crate::session::{Ctx, Permissions};

const BLOCKS: &[Arg] = &[Arg::opt("blocks", ArgKind::Number), Arg::opt("len", ArgKind::Number)];
const COUNT: &[Arg] = &[Arg::opt("blocks", ArgKind::Number)];

/// What one `#` of a bar stands for.
const STEP: usize = 5;

const fn bars(name: &'static str, summary: &'static str, examples: &'static [Example], run: Run) -> Command {
    Command { name, args: BLOCKS, summary, needs: Permissions::READ, examples, run, ..Command::DEFAULT }
}

/// The commands.
pub const COMMANDS: &[Command] = &[
    Command {
        aliases: &["p=b"],
        details: "Without a length the blocks divide the map at the seek (zoom.in). A bar shows where it is longer \
                  than the one below.",
        ..bars(
            "p=",
            "print bars of the first byte of each block",
            &[Example {
                line: "wx ff; p= 2 2",
                shows: "0x00000000 000 00ff |###################################################\n\
                        0x00000001 001 0000 |#",
            }],
            Run::Core(|ctx| horizontal(ctx, Measure::First)),
        )
    },
    bars(
        "p=e",
        "print bars of the entropy of each block",
        &[Example { line: "p=e 2", shows: "0x00000000 000 0000 |#\n0x00000100 001 0000 |#" }],
        Run::Core(|ctx| horizontal(ctx, Measure::Entropy)),
    ),
    bars(
        "p=p",
        "print bars of the printable bytes in each block",
        &[Example { line: "w ABCDEFGHIJ; p=p 2", shows: "0x00000000 000 000a |##\n0x00000100 001 0000 |#" }],
        Run::Core(|ctx| horizontal(ctx, Measure::Printable)),
    ),
    bars(
        "p=0",
        "print bars of the zero bytes in each block",
        &[Example { line: "p=0 1", shows: "0x00000000 000 00ff |###################################################" }],
        Run::Core(|ctx| horizontal(ctx, Measure::Zeros)),
    ),
    bars(
        "p=F",
        "print bars of the 0xff bytes in each block",
        &[Example { line: "wx ffff; p=F 2", shows: "0x00000000 000 0002 |#\n0x00000100 001 0000 |#" }],
        Run::Core(|ctx| horizontal(ctx, Measure::Ones)),
    ),
    bars(
        "p=z",
        "print bars of the characters in strings in each block",
        &[Example { line: "w ABCDE; p=z 2", shows: "0x00000000 000 0005 |#\n0x00000100 001 0000 |#" }],
        Run::Core(|ctx| horizontal(ctx, Measure::Strings)),
    ),
    Command {
        aliases: &["p==b"],
        ..bars(
            "p==",
            "print columns of the first byte of each block",
            &[Example { line: "wx 40c0; p== 3 3", shows: "    \n    \n #  \n #  \n #  \n #  \n##  \n##  " }],
            Run::Core(|ctx| vertical(ctx, Measure::First)),
        )
    },
    bars(
        "p==e",
        "print columns of the entropy of each block",
        &[Example { line: "p==e 1", shows: "  \n  \n  \n  \n  \n  \n  \n  " }],
        Run::Core(|ctx| vertical(ctx, Measure::Entropy)),
    ),
    bars(
        "p==p",
        "print columns of the printable bytes in each block",
        &[Example { line: "p==p 1", shows: "  \n  \n  \n  \n  \n  \n  \n  " }],
        Run::Core(|ctx| vertical(ctx, Measure::Printable)),
    ),
    Command {
        name: "p-",
        args: COUNT,
        summary: "print one bar of what is known: ^ the seek, c comments, f flags",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[
            Example { line: "p-", shows: "0x00000000 [^_____________________________________________] 0x00000200" },
            Example { line: "f here @ 0x180; p- 4", shows: "0x00000000 [^__f] 0x00000200" },
            Example {
                line: "p-j 1",
                shows: r#"{"from":0,"to":512,"blocksize":512,"blocks":[{"offset":0,"size":512,"flags":0,"comments":0,"perm":"rwx"}]}"#,
            },
        ],
        run: Run::Core(metadata),
        ..Command::DEFAULT
    },
    Command {
        name: "p-h",
        args: COUNT,
        summary: "print what is known, a line for each block",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[Example {
            line: "f here @ 0x180; p-h 2",
            shows: "offset     size  flags comments perm\n0x00000000   256     0        0 rwx\n\
                    0x00000100   256     1        0 rwx",
        }],
        run: Run::Core(metadata_table),
        ..Command::DEFAULT
    },
    Command {
        name: "p-e",
        args: COUNT,
        summary: "print the entropy of each block",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[Example { line: "wx 0001 @ 0; p-e 1", shows: "0x00000000 0.003 " }],
        run: Run::Core(entropies),
        ..Command::DEFAULT
    },
];

/// The blocks that a picture with an optional length argument covers: start, size of each, their number.
fn blocks(ctx: &mut Ctx<'_, '_>) -> Result<(u64, u64, u64)> {
    let (from, to) = match ctx.number(1)? {
        Some(length) if length > LENGTH_LIMIT => {
            return Err(Error::new(Kind::Limit, format!("a length of 0x{length:x} bytes is too much")));
        }
        Some(length) => (ctx.view.seek, ctx.view.seek.saturating_add(length)),
        None => range(ctx)?,
    };
    let total = (to - from).max(1);
    let count = block_count(ctx, 0, ctx.view.block_size)?.min(total);
    Ok((from, total / count, count))
}

fn horizontal(ctx: &mut Ctx<'_, '_>, what: Measure) -> Result<()> {
    let (from, size, count) = blocks(ctx)?;
    let values = measure(ctx, from, size, count, what)?;
    let offset = ctx.option_bool("hex.offset");
    let block = if ctx.out.style().utf8 { "█" } else { "#" };
    for (index, value) in values.iter().enumerate() {
        let mut text = Vec::new();
        if offset {
            push_address(&mut text, from.wrapping_add(index as u64 * size));
            text.push(b' ');
        }
        let next = values.get(index + 1).copied().unwrap_or_default();
        let bar = block.repeat(outline(usize::from(*value), usize::from(next)));
        write!(text, "{index:03x} {value:04x} |{bar}")?;
        text.push(b'\n');
        ctx.out.write_all(&text)?;
    }
    Ok(())
}

/// How long the bar of `value` is above one of `next`: the bars form the outline of a curve, so that only the longer
/// one of two neighbours is drawn to its end.
fn outline(value: usize, next: usize) -> usize {
    let steps = |from: usize, to: usize| to.saturating_sub(from).div_ceil(STEP);
    let base = usize::from(next < STEP);
    if next < value {
        let below = if value > STEP { steps(0, next + base) } else { 0 };
        // A small value over a smaller one still shows.
        (below + steps(next + STEP + base, value)).max(1)
    } else {
        1 + steps(value + STEP + 2 * base, next)
    }
}

fn vertical(ctx: &mut Ctx<'_, '_>, what: Measure) -> Result<()> {
    const ROWS: usize = 8;
    let (from, size, count) = blocks(ctx)?;
    let values = measure(ctx, from, size, count, what)?;
    let block = if ctx.out.style().utf8 { "█" } else { "#" };
    for row in (0..ROWS).rev() {
        let line: String =
            values.iter().map(|value| if usize::from(*value) * ROWS > row * 256 { block } else { " " }).collect();
        ctx.out.line(format_args!("{line} "))?;
    }
    Ok(())
}

/// A part of the bar, and what is known of it.
#[derive(Serialize)]
struct Block {
    offset: u64,
    size: u64,
    flags: usize,
    comments: usize,
    perm: String,
    #[serde(skip)]
    seek: bool,
}

impl Item for Block {
    fn text(&self, out: &mut dyn Write, _style: Style) -> std::io::Result<()> {
        writeln!(out, "0x{:08x} {:5} {:5} {:8} {}", self.offset, self.size, self.flags, self.comments, self.perm)
    }
}

/// The whole bar.
#[derive(Serialize)]
struct Bar {
    from: u64,
    to: u64,
    blocksize: u64,
    blocks: Vec<Block>,
}

impl Item for Bar {
    fn text(&self, out: &mut dyn Write, _style: Style) -> std::io::Result<()> {
        let letter = |block: &Block| match block {
            Block { seek: true, .. } => '^',
            Block { comments: 1.., .. } => 'c',
            Block { flags: 1.., .. } => 'f',
            _ => '_',
        };
        let letters: String = self.blocks.iter().map(letter).collect();
        writeln!(out, "0x{:08x} [{letters}] 0x{:08x}", self.from, self.to)
    }
}

/// Everything but the letters of a `p-` line that fills the screen.
const MARGIN: usize = 34;

fn bar(ctx: &mut Ctx<'_, '_>) -> Result<Bar> {
    let (from, to) = range(ctx)?;
    let default = ctx.out.style().columns.saturating_sub(MARGIN).max(1) as u64;
    let count = block_count(ctx, 0, default)?.min(to - from);
    let size = (to - from) / count;
    let blocks = (0..count).map(|index| {
        let offset = from + index * size;
        // The last block takes what the division leaves over.
        let end = if index + 1 == count { to } else { offset + size };
        let within = offset..end;
        Block {
            offset,
            size: end - offset,
            flags: ctx.core.flags.visible().filter(|flag| within.contains(&flag.address)).count(),
            comments: ctx.core.comments.range(within.clone()).count(),
            perm: ctx.core.io.space.at(offset).map(|map| map.access.to_string()).unwrap_or_else(|| "---".to_string()),
            seek: within.contains(&ctx.view.seek),
        }
    });
    Ok(Bar { from, to, blocksize: size, blocks: blocks.collect() })
}

fn metadata(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let bar = bar(ctx)?;
    ctx.out.value(&bar)
}

fn metadata_table(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let bar = bar(ctx)?;
    if ctx.out.mode() == Mode::Text {
        ctx.out.line("offset     size  flags comments perm")?;
    }
    bar.blocks.iter().try_for_each(|block| ctx.out.item(block))
}

/// The entropy of a block, 0 to 1.
#[derive(Serialize)]
struct Entropy {
    offset: u64,
    entropy: f64,
}

impl Item for Entropy {
    fn text(&self, out: &mut dyn Write, style: Style) -> std::io::Result<()> {
        let room = style.columns.saturating_sub(20) as f64;
        let bar = if style.utf8 { "█" } else { "#" }.repeat((self.entropy * room) as usize);
        writeln!(out, "0x{:08x} {:.3} {bar}", self.offset, self.entropy)
    }
}

fn entropies(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (from, to) = range(ctx)?;
    let default = ctx.out.style().columns.saturating_sub(MARGIN).max(1) as u64;
    let count = block_count(ctx, 0, default)?.min(to - from);
    let size = (to - from) / count;
    let mut block = vec![0; size.min(1 << 20) as usize];
    for index in 0..count {
        let offset = from + index * size;
        ctx.read_into(offset, &mut block)?;
        ctx.out.item(&Entropy { offset, entropy: super::zoom::entropy(&block) })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::outline;

    #[test]
    fn bars_form_an_outline() {
        assert_eq!(outline(0xff, 0), 51);
        assert_eq!(outline(0, 0), 1);
        assert_eq!(outline(0xff, 0xff), 1);
        assert_eq!(outline(0xff, 6), 51);
        assert_eq!(outline(6, 0), 1);
        assert_eq!(outline(2, 0), 1);
    }
}
