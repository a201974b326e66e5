//! Hexdumps of bytes: `px` and those of its relatives that show single bytes.

use super::layout::{Layout, shown};
use super::plain::Plain;
use super::rows::{self, Cells, dump, push_address};
use super::{LENGTH, checked_product};
use crate::commands::{Arg, ArgKind, Command, Example, Run};
use crate::error::Result;
use crate::output::{Mode, visible};
use crate::session::{Ctx, Permissions};

/// The commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "px",
        aliases: &["x"],
        args: LENGTH,
        summary: "print a hexdump",
        details: "The hex.* options change its layout. A negative length shows the bytes before the seek.",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[
            Example {
                line: "px 4 @ 0x123",
                shows: "- offset -   0 1  2 3  4 5  6 7  8 9  A B  C D  E F  0123456789ABCDEF\n\
                        0x00000123  0000 0000                                ....",
            },
            Example { line: "pxj 4", shows: "[0,0,0,0]" },
        ],
        run: Run::Core(px),
    },
    Command {
        name: "pxa",
        args: LENGTH,
        summary: "print a hexdump with the names of flags above the bytes",
        needs: Permissions::READ,
        examples: &[Example {
            line: "f one 4 @ 2; pxa 4",
            shows: "- offset -   0 1  2 3  4 5  6 7  8 9  A B  C D  E F  0123456789ABCDEF\n                  \
                    /one                                              \n\
                    0x00000000  0000 0000                                ....",
        }],
        run: Run::Core(pxa),
        ..Command::DEFAULT
    },
    Command {
        name: "pxc",
        args: LENGTH,
        summary: "print a hexdump with flags and comments beside the rows",
        needs: Permissions::READ,
        examples: &[Example {
            line: "f one 4 @ 2; pxc 4",
            shows: "- offset -   0 1  2 3  4 5  6 7  8 9  A B  C D  E F  0123456789ABCDEF  comment\n\
                    0x00000000  0000 0000                                ....              ; one",
        }],
        run: Run::Core(pxc),
        ..Command::DEFAULT
    },
    Command {
        name: "pxi",
        args: LENGTH,
        summary: "print a HexII dump: characters with a dot, ## for 0xff, blanks for zeros",
        needs: Permissions::READ,
        examples: &[Example { line: "w AB; wx ff01 @ 2; pxi 5", shows: "0x00000000  .A .B ## 01" }],
        run: Run::Core(pxi),
        ..Command::DEFAULT
    },
    Command {
        name: "pxl",
        args: &[Arg::opt("rows", ArgKind::Number)],
        summary: "print so many rows of a hexdump",
        needs: Permissions::READ,
        examples: &[Example {
            line: "pxl 1",
            shows: "- offset -   0 1  2 3  4 5  6 7  8 9  A B  C D  E F  0123456789ABCDEF\n\
                    0x00000000  0000 0000 0000 0000 0000 0000 0000 0000  ................",
        }],
        run: Run::Core(pxl),
        ..Command::DEFAULT
    },
    Command {
        name: "pxs",
        args: LENGTH,
        summary: "print a sparse hexdump: rows that repeat one byte over and over are left out",
        needs: Permissions::READ,
        examples: &[Example {
            line: "wx 41 @ 0x50; pxs 0x60",
            shows: "- offset -   0 1  2 3  4 5  6 7  8 9  A B  C D  E F  0123456789ABCDEF\n\
                    0x00000000  0000 0000 0000 0000 0000 0000 0000 0000  ................\n ...\n\
                    0x00000050  4100 0000 0000 0000 0000 0000 0000 0000  A...............",
        }],
        run: Run::Core(pxs),
        ..Command::DEFAULT
    },
    Command {
        name: "pxx",
        aliases: &["pxX"],
        args: LENGTH,
        summary: "print characters alone, 64 in a row",
        needs: Permissions::READ,
        examples: &[Example { line: "w Hello; pxx 8", shows: "0x00000000  Hello..." }],
        run: Run::Core(pxx),
        ..Command::DEFAULT
    },
];

fn px(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    if ctx.out.mode() == Mode::Json {
        return ctx.read_chunks(address, length, |out, _, bytes| out.json_elements(bytes));
    }
    hexdump(ctx, address, length)
}

/// Prints a hexdump with its header, as `px` does.
pub fn hexdump(ctx: &mut Ctx<'_, '_>, address: u64, length: u64) -> Result<()> {
    let layout = Layout::new(ctx);
    let cells = Cells::hex(&layout);
    if !layout.is_plain() {
        return dump(ctx, address, length, layout, &cells);
    }
    ctx.out.write_all(&rows::header(&layout, &cells, address))?;
    let mut plain = Plain::default();
    ctx.read_chunks(address, length, |out, here, bytes| {
        let rest = plain.write(out, here, bytes)?;
        if !rest.is_empty() {
            let mut text = Vec::new();
            let done = (bytes.len() - rest.len()) as u64;
            rows::row(&mut text, here.wrapping_add(done), rest, &layout, &cells);
            text.push(b'\n');
            out.write_all(&text)?;
        }
        Ok(())
    })
}

fn pxa(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let layout = Layout { bytes: true, align: false, stride: 0, ..Layout::new(ctx) };
    let cells = Cells::hex(&layout);
    ctx.out.write_all(&rows::header(&layout, &cells, address))?;
    let end = address.saturating_add(length);
    let marks: Vec<(u64, String)> = ctx
        .core
        .flags
        .visible()
        .filter(|flag| (address..end).contains(&flag.address))
        .map(|flag| (flag.address, visible(&flag.name).into_owned()))
        .collect();
    rows::rows(ctx, address, length, layout, &cells, |text, here, count| {
        let first = marks.partition_point(|(at, _)| *at < here);
        let here_marks = marks[first..].iter().take_while(|(at, _)| at - here < count as u64);
        let mut line = Vec::new();
        for (at, name) in here_marks {
            push_mark(&mut line, &layout, here, (at - here) as usize, name);
        }
        if !line.is_empty() {
            // As wide as the row below, whose last character no name can start over.
            let mut below = Vec::new();
            rows::row(&mut below, here, &vec![0; layout.columns], &Layout { color: false, ..layout }, &cells);
            line.resize(below.len() - 1, b' ');
            text.extend_from_slice(&line);
            text.push(b'\n');
        }
    })
}

/// Puts `/name` over the byte at `column`; a name that is already there loses what it would cover.
fn push_mark(line: &mut Vec<u8>, layout: &Layout, row: u64, column: usize, name: &str) {
    let mut start = Vec::new();
    if layout.offset {
        push_address(&mut start, row);
        start.resize(start.len() + if layout.compact { 1 } else { 2 }, b' ');
    }
    let gaps = match (layout.compact, layout.pairs) {
        (true, _) => 0,
        (false, true) => column / 2,
        (false, false) => column,
    };
    line.resize(start.len() + 2 * column + gaps + 1, b' ');
    line.push(b'/');
    line.extend_from_slice(name.as_bytes());
}

fn pxc(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let layout = Layout { comments: ctx.option_bool("hex.comments"), ..Layout::new(ctx) };
    dump(ctx, address, length, layout, &Cells::hex(&layout))
}

fn pxi(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let layout = Layout { ascii: false, ..Layout::new(ctx) };
    let cells = Cells {
        bytes: 1,
        width: 2,
        group: 1,
        gap: 1,
        header: false,
        render: |text, bytes, _| match bytes {
            [0] => text.extend_from_slice(b"  "),
            [0xff] => text.extend_from_slice(b"##"),
            [byte @ 0x20..=0x7e] => text.extend_from_slice(&[b'.', *byte]),
            _ => rows::push_hex(text, bytes),
        },
    };
    dump(ctx, address, length, layout, &cells)
}

fn pxl(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let columns = Layout::new(ctx).columns as u64;
    let count = match ctx.number(0)? {
        Some(count) => checked_product(count, columns)?,
        None => ctx.view.block_size,
    };
    hexdump(ctx, ctx.view.seek, count)
}

fn pxs(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let layout = Layout { bytes: true, ..Layout::new(ctx) };
    let cells = Cells::hex(&layout);
    ctx.out.write_all(&rows::header(&layout, &cells, address))?;
    let (mut row, mut text) = (vec![0; layout.columns], Vec::new());
    let (mut before, mut skipping) = (None, false);
    let mut done = 0;
    while done < length {
        let count = (length - done).min(layout.columns as u64) as usize;
        ctx.out.cancel().check()?;
        ctx.read_into(address.wrapping_add(done), &mut row[..count])?;
        let bytes = &row[..count];
        let uniform = bytes.iter().all(|byte| *byte == bytes[0]).then(|| bytes[0]);
        if uniform.is_some() && uniform == before {
            if !skipping {
                text.extend_from_slice(b" ...\n");
            }
            skipping = true;
        } else {
            rows::row(&mut text, address.wrapping_add(done), bytes, &layout, &cells);
            text.push(b'\n');
            skipping = false;
        }
        before = uniform;
        if text.len() > 1 << 16 {
            ctx.out.write_all(&text)?;
            text.clear();
        }
        done += count as u64;
    }
    ctx.out.write_all(&text)
}

fn pxx(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let layout = Layout { bytes: false, ascii: true, header: false, ..Layout::new(ctx) };
    dump(ctx, address, length, layout, &Cells::hex(&layout))
}

/// `bytes` as a column of characters.
pub fn characters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(shown(*byte))).collect()
}
