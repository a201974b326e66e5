//! `pz`: the whole file in one screen, and what it shares with the bars: the range, and numbers that sum up blocks.

use super::layout::Layout;
use super::rows::{self, Cells};
use crate::commands::{Arg, ArgKind, Command, Example, Run};
use crate::error::{Error, Kind, Result};
use crate::session::{Ctx, Permissions};

const COUNT: &[Arg] = &[Arg::opt("count", ArgKind::Number)];

const fn zoom(name: &'static str, summary: &'static str, examples: &'static [Example], run: Run) -> Command {
    Command { name, args: COUNT, summary, needs: Permissions::READ, examples, run, ..Command::DEFAULT }
}

/// The commands.
pub const COMMANDS: &[Command] = &[
    Command {
        details: "zoom.byte is one of h (first byte), p (printable), 0 (zeros), F (0xff), e (entropy), s (characters \
                  in strings), f (flags).",
        ..zoom(
            "pz",
            "print a hexdump in which each byte stands for a block of the file, by zoom.byte",
            &[Example {
                line: "w A @ 32; pz 16",
                shows: "- offset -   0 1  2 3  4 5  6 7  8 9  A B  C D  E F  0123456789ABCDEF\n\
                        0x00000000  0041 0000 0000 0000 0000 0000 0000 0000  .A..............",
            }],
            Run::Core(|ctx| {
                let name = ctx.option_text("zoom.byte");
                let measure = Measure::from_name(&name).ok_or_else(|| {
                    Error::new(Kind::Usage, format!("Invalid zoom.byte value '{name}'. See pz? for help"))
                        .hint("one of h, p, 0, F, e, s, f")
                })?;
                zoomed(ctx, measure)
            }),
        )
    },
    zoom(
        "pzh",
        "zoom: the first byte of each block",
        &[Example {
            line: "w AB; pzh 2",
            shows: "- offset -   0 1  2 3  4 5  6 7  8 9  A B  C D  E F  0123456789ABCDEF\n\
                    0x00000000  4100                                     A.",
        }],
        Run::Core(|ctx| zoomed(ctx, Measure::First)),
    ),
    zoom(
        "pzp",
        "zoom: printable bytes",
        &[Example {
            line: "w AB; pzp 2",
            shows: "- offset -   0 1  2 3  4 5  6 7  8 9  A B  C D  E F  0123456789ABCDEF\n\
                    0x00000000  0200                                     ..",
        }],
        Run::Core(|ctx| zoomed(ctx, Measure::Printable)),
    ),
    zoom(
        "pz0",
        "zoom: zero bytes",
        &[Example {
            line: "pz0 2",
            shows: "- offset -   0 1  2 3  4 5  6 7  8 9  A B  C D  E F  0123456789ABCDEF\n\
                    0x00000000  ffff                                     ..",
        }],
        Run::Core(|ctx| zoomed(ctx, Measure::Zeros)),
    ),
    zoom(
        "pzF",
        "zoom: bytes of 0xff",
        &[Example {
            line: "wx ffff; pzF 2",
            shows: "- offset -   0 1  2 3  4 5  6 7  8 9  A B  C D  E F  0123456789ABCDEF\n\
                    0x00000000  0200                                     ..",
        }],
        Run::Core(|ctx| zoomed(ctx, Measure::Ones)),
    ),
    zoom(
        "pze",
        "zoom: entropy",
        &[Example {
            line: "pze 2",
            shows: "- offset -   0 1  2 3  4 5  6 7  8 9  A B  C D  E F  0123456789ABCDEF\n\
                    0x00000000  0000                                     ..",
        }],
        Run::Core(|ctx| zoomed(ctx, Measure::Entropy)),
    ),
    zoom(
        "pzs",
        "zoom: characters in strings",
        &[Example {
            line: "w ABCDE; w AB @ 8; pzs 2",
            shows: "- offset -   0 1  2 3  4 5  6 7  8 9  A B  C D  E F  0123456789ABCDEF\n\
                    0x00000000  0500                                     ..",
        }],
        Run::Core(|ctx| zoomed(ctx, Measure::Strings)),
    ),
    zoom(
        "pzf",
        "zoom: flags",
        &[Example {
            line: "f here @ 0x180; pzf 2",
            shows: "- offset -   0 1  2 3  4 5  6 7  8 9  A B  C D  E F  0123456789ABCDEF\n\
                    0x00000000  0001                                     ..",
        }],
        Run::Core(|ctx| zoomed(ctx, Measure::Flags)),
    ),
];

/// What the byte that stands for a block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The first byte itself.
    First,
    /// How many bytes are printable.
    Printable,
    /// How many are zero.
    Zeros,
    /// How many are 0xff.
    Ones,
    /// Entropy, 255 for the most that a block of its size can have.
    Entropy,
    /// How many characters stand in strings of four or more.
    Strings,
    /// How many flags point into the block.
    Flags,
}

impl Measure {
    fn from_name(name: &str) -> Option<Measure> {
        Some(match name {
            "h" | "head" => Measure::First,
            "p" | "printable" => Measure::Printable,
            "0" => Measure::Zeros,
            "F" => Measure::Ones,
            "e" | "entropy" => Measure::Entropy,
            "s" | "strings" => Measure::Strings,
            "f" | "flags" => Measure::Flags,
            _ => return None,
        })
    }

    /// Sums up `block`, which stands at `address`.
    pub fn of(self, ctx: &Ctx<'_, '_>, address: u64, block: &[u8]) -> u8 {
        let count = |wanted: fn(&u8) -> bool| block.iter().filter(|byte| wanted(byte)).count();
        let total = match self {
            Measure::First => return block.first().copied().unwrap_or_default(),
            Measure::Entropy => return (entropy(block) * 255.0) as u8,
            Measure::Printable => count(|byte| matches!(byte, 0x20..=0x7e)),
            Measure::Zeros => count(|byte| *byte == 0),
            Measure::Ones => count(|byte| *byte == 0xff),
            Measure::Strings => {
                let strings = block.split(|byte| !matches!(byte, 0x20..=0x7e));
                strings.map(<[u8]>::len).filter(|length| *length >= 4).sum()
            }
            Measure::Flags => {
                let end = address.saturating_add(block.len() as u64);
                ctx.core.flags.visible().filter(|flag| (address..end).contains(&flag.address)).count()
            }
        };
        total.min(255) as u8
    }
}

/// Entropy of `bytes` as a part of the most that so many bytes can have, 0 to 1.
pub fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0u64; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let total = bytes.len() as f64;
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = *count as f64 / total;
            -share * share.log2()
        })
        .sum();
    let most = total.min(256.0).log2();
    if most > 0.0 { (bits / most).clamp(0.0, 1.0) } else { 0.0 }
}

/// The addresses that zoom and bars cover, by `zoom.in`: the map at the seek, the file (`raw`), or `zoom.from` to
/// `zoom.to` (`range`).
pub fn range(ctx: &Ctx<'_, '_>) -> Result<(u64, u64)> {
    let unknown =
        || Error::new(Kind::Unsupported, "Cannot determine file size").hint("set zoom.in=range, zoom.from and zoom.to");
    let (from, to) = match ctx.option_text("zoom.in").as_str() {
        "range" => (ctx.option_number("zoom.from"), ctx.option_number("zoom.to")),
        "raw" => (0, size(ctx).ok_or_else(unknown)?),
        _ => match ctx.core.io.space.at(ctx.view.seek) {
            Some(map) => (map.from, map.from.saturating_add(map.size)),
            None => (0, size(ctx).ok_or_else(unknown)?),
        },
    };
    // A device without an end is mapped up to the end of the address space.
    if to <= from || to - from > 1 << 62 { Err(unknown()) } else { Ok((from, to)) }
}

fn size(ctx: &Ctx<'_, '_>) -> Option<u64> {
    let fd = ctx.view.descriptor.or(ctx.core.io.current())?;
    ctx.core.io.descriptor(fd).ok()?.size()
}

/// Sums up `count` blocks of `size` bytes from `from`; of larger blocks only the first `zoom.maxsz` bytes are read.
pub fn measure(ctx: &mut Ctx<'_, '_>, from: u64, size: u64, count: u64, what: Measure) -> Result<Vec<u8>> {
    let mut block = vec![0; size.min(ctx.option_number("zoom.maxsz").clamp(1, 1 << 20)) as usize];
    let mut sums = Vec::new();
    for index in 0..count {
        ctx.out.cancel().check()?;
        let address = from.wrapping_add(index.wrapping_mul(size));
        ctx.read_into(address, &mut block)?;
        sums.push(what.of(ctx, address, &block));
    }
    Ok(sums)
}

/// The most blocks that one picture has.
const COUNT_LIMIT: u64 = 1 << 20;

/// How many blocks a picture has: the argument at `index`, or `default`.
pub fn block_count(ctx: &mut Ctx<'_, '_>, index: usize, default: u64) -> Result<u64> {
    match ctx.number(index)? {
        Some(count) if count > COUNT_LIMIT => {
            Err(Error::new(Kind::Limit, format!("{count} blocks are too many")).hint("at most 0x100000"))
        }
        count => Ok(count.unwrap_or(default).clamp(1, COUNT_LIMIT)),
    }
}

fn zoomed(ctx: &mut Ctx<'_, '_>, what: Measure) -> Result<()> {
    let (from, to) = range(ctx)?;
    let count = block_count(ctx, 0, ctx.view.block_size)?.min(to - from);
    let size = (to - from) / count;
    let sums = measure(ctx, from, size, count, what)?;
    let layout = Layout { bytes: true, ..Layout::new(ctx) };
    let cells = Cells::hex(&layout);
    let mut text = rows::header(&layout, &cells, from);
    for (index, row) in sums.chunks(layout.columns).enumerate() {
        rows::row(&mut text, from + (index * layout.columns) as u64 * size, row, &layout, &cells);
        text.push(b'\n');
    }
    ctx.out.write_all(&text)
}

#[cfg(test)]
mod tests {
    use super::entropy;

    #[test]
    fn entropy_is_a_part_of_the_most() {
        assert_eq!(entropy(&[]), 0.0);
        assert_eq!(entropy(&[7; 100]), 0.0);
        let all: Vec<u8> = (0..=255).collect();
        assert!((entropy(&all) - 1.0).abs() < 1e-9);
        assert!((entropy(&all[..51]) - 1.0).abs() < 1e-9);
    }
}
