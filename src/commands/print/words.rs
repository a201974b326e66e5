//! Dumps of numbers: halfwords, words, doublewords, decimals, octal, bits.

use std::io::Write;

use super::layout::Layout;
use super::rows::{self, Cells, dump};
use super::{LENGTH, hex};
use crate::commands::{Command, Example, Run};
use crate::error::Result;
use crate::output::{Item, Mode, Out, Style};
use crate::session::{Ctx, Permissions};

use serde::Serialize;

/// The commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "pxh",
        args: LENGTH,
        summary: "print 2-byte words",
        details: "In JSON the numbers are signed.",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[
            Example {
                line: "wx 4142; pxh 4",
                shows: "0x00000000  0x4241 0x0000                                            AB..",
            },
            Example { line: "wx 4142feff; pxhj 4", shows: "[16961,-2]" },
        ],
        run: Run::Core(|ctx| words(ctx, 2)),
        ..Command::DEFAULT
    },
    Command {
        name: "pxw",
        args: LENGTH,
        summary: "print 4-byte words",
        details: "In JSON the numbers are signed.",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[
            Example {
                line: "w ABC; pxw 8",
                shows: "0x00000000  0x00434241 0x00000000                        ABC.....",
            },
            Example { line: "wx feffffff; pxwj 8", shows: "[-2,0]" },
        ],
        run: Run::Core(|ctx| words(ctx, 4)),
        ..Command::DEFAULT
    },
    Command {
        name: "pxq",
        args: LENGTH,
        summary: "print 8-byte words",
        details: "In JSON the numbers are signed.",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[
            Example {
                line: "w ABC; pxq 16",
                shows: "0x00000000  0x0000000000434241  0x0000000000000000   ABC.............",
            },
            Example { line: "w A; pxqj 8", shows: "[65]" },
        ],
        run: Run::Core(|ctx| words(ctx, 8)),
        ..Command::DEFAULT
    },
    Command {
        name: "pxH",
        args: LENGTH,
        summary: "print 2-byte words, one in a line, with the flags they stand for",
        modes: &[Mode::Quiet, Mode::Json],
        needs: Permissions::READ,
        examples: &[
            Example { line: "w AB; pxH 4", shows: "0x00000000 0x4241 \n0x00000002 0x0000 " },
            Example { line: "w AB; pxHq 4", shows: "0x4241\n0x0000" },
        ],
        run: Run::Core(|ctx| word_lines(ctx, 2)),
        ..Command::DEFAULT
    },
    Command {
        name: "pxW",
        args: LENGTH,
        summary: "print 4-byte words, one in a line, with the flags they stand for",
        modes: &[Mode::Quiet, Mode::Json],
        needs: Permissions::READ,
        examples: &[
            Example { line: "w ABC; pxW 8", shows: "0x00000000 0x00434241\n0x00000004 0x00000000" },
            Example { line: "w ABC; pxWq 4", shows: "0x00434241" },
            Example { line: "w ABC; pxWj 4", shows: r#"[{"addr":0,"value":4407873}]"# },
        ],
        run: Run::Core(|ctx| word_lines(ctx, 4)),
        ..Command::DEFAULT
    },
    Command {
        name: "pxQ",
        args: LENGTH,
        summary: "print 8-byte words, one in a line, with the flags they stand for",
        modes: &[Mode::Quiet, Mode::Json],
        needs: Permissions::READ,
        examples: &[
            Example { line: "w ABC; pxQ 8", shows: "0x00000000 0x0000000000434241" },
            Example { line: "w ABC; pxQq 8", shows: "0x0000000000434241" },
        ],
        run: Run::Core(|ctx| word_lines(ctx, 8)),
        ..Command::DEFAULT
    },
    Command {
        name: "pxd",
        aliases: &["pxd4"],
        args: LENGTH,
        summary: "print signed 4-byte numbers",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[
            Example {
                line: "wx 1020ffff30400000; pxd 8",
                shows: "- offset -    0  1   2  3   4  5   6  7   8  9   A  B   C  D   E  F  0123456789ABCDEF\n\
                        0x00000000         -57328         16432                              . ..0@..",
            },
            Example { line: "wx ff; pxdj 8", shows: "[255,0]" },
        ],
        run: Run::Core(|ctx| decimals(ctx, 4)),
        ..Command::DEFAULT
    },
    Command {
        name: "pxd1",
        args: LENGTH,
        summary: "print signed 1-byte numbers",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[Example { line: "wx ff80; pxd1j 3", shows: "[-1,-128,0]" }],
        run: Run::Core(|ctx| decimals(ctx, 1)),
        ..Command::DEFAULT
    },
    Command {
        name: "pxd2",
        args: LENGTH,
        summary: "print signed 2-byte numbers",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[
            Example {
                line: "wx ff80; pxd2 4",
                shows: "- offset -    0   1   2   3   4   5   6   7   8   9   A   B   C   D   E   F  0123456789ABCDEF\n\
                        0x00000000   -32513       0                                                  ....",
            },
            Example { line: "wx ff80; pxd2j 2", shows: "[-32513]" },
        ],
        run: Run::Core(|ctx| decimals(ctx, 2)),
        ..Command::DEFAULT
    },
    Command {
        name: "pxd8",
        args: LENGTH,
        summary: "print signed 8-byte numbers",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[Example {
            line: "wx 554889e54157415641554154534881ec; pxd8 0x10",
            shows: "- offset -   0  1  2  3  4  5  6  7  8  9  A  B  C  D  E  F  0123456789ABCDEF\n\
                    0x00000000      6215344901283465301    -1404762086029830847  UH..AWAVAUATSH..",
        }],
        run: Run::Core(|ctx| decimals(ctx, 8)),
        ..Command::DEFAULT
    },
    Command {
        name: "pxo",
        args: LENGTH,
        summary: "print bytes in octal",
        needs: Permissions::READ,
        examples: &[Example {
            line: "w ABC; pxo 4",
            shows: "- offset -    0  1   2  3   4  5   6  7   8  9   A  B   C  D   E  F  0123456789ABCDEF\n\
                    0x00000000  101102 103000                                            ABC.",
        }],
        run: Run::Core(pxo),
        ..Command::DEFAULT
    },
    Command {
        name: "pxb",
        args: LENGTH,
        summary: "print bytes in binary, four in a row",
        needs: Permissions::READ,
        examples: &[Example {
            line: "w ABC; pxb 4",
            shows: "0x00000000 0100.0001  0100.0010  0100.0011  0000.0000  0x41424300  ABC.",
        }],
        run: Run::Core(pxb),
        ..Command::DEFAULT
    },
];

/// Hexadecimal cells of `size` bytes.
pub fn hex_cells(size: usize) -> Cells {
    Cells {
        bytes: size,
        width: 2 + 2 * size,
        group: 1,
        gap: if size == 8 { 2 } else { 1 },
        header: false,
        render: |text, bytes, layout| push_word(text, layout.number(bytes), bytes.len()),
    }
}

/// Appends `0x` and all digits of a word of `size` bytes.
pub fn push_word(text: &mut Vec<u8>, value: u64, size: usize) {
    text.extend_from_slice(b"0x");
    rows::push_hex(text, &value.to_be_bytes()[8 - size..]);
}

fn words(ctx: &mut Ctx<'_, '_>, size: usize) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let layout = Layout::new(ctx);
    if ctx.out.mode() == Mode::Json {
        return signed_json(ctx, address, length, size, layout);
    }
    dump(ctx, address, length, layout, &hex_cells(size))
}

fn decimals(ctx: &mut Ctx<'_, '_>, size: usize) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let layout = Layout::new(ctx);
    if ctx.out.mode() == Mode::Json {
        return signed_json(ctx, address, length, size, layout);
    }
    dump(ctx, address, length, layout, &decimal_cells(size, true))
}

/// Decimal cells of `size` bytes.
pub fn decimal_cells(size: usize, signed: bool) -> Cells {
    let width = match size {
        1 => 4,
        2 => 7,
        4 => 13,
        _ => 23,
    };
    Cells {
        bytes: size,
        width,
        group: 1,
        gap: 1,
        header: size > 1,
        render: if signed {
            |text, bytes, layout| push_decimal(text, layout.signed(bytes), bytes.len())
        } else {
            |text, bytes, layout| push_decimal(text, layout.number(bytes), bytes.len())
        },
    }
}

fn push_decimal(text: &mut Vec<u8>, value: impl std::fmt::Display, size: usize) {
    let width = decimal_cells(size, true).width;
    // Writing to a vector cannot fail.
    let _ = write!(text, "{value:>width$}");
}

fn signed_json(ctx: &mut Ctx<'_, '_>, address: u64, length: u64, size: usize, layout: Layout) -> Result<()> {
    ctx.read_chunks(address, length, |out, _, bytes| {
        out.json_elements(bytes.chunks_exact(size).map(|word| layout.signed(word)))
    })
}

/// A word in a line of its own.
#[derive(Serialize)]
struct WordLine<'a> {
    addr: u64,
    value: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    flag: Option<&'a str>,
    #[serde(skip)]
    size: usize,
}

impl Item for WordLine<'_> {
    fn text(&self, out: &mut dyn Write, _style: Style) -> std::io::Result<()> {
        let width = 2 + 2 * self.size;
        write!(out, "0x{:08x} {:#0width$x}", self.addr, self.value)?;
        match self.flag {
            Some(flag) => writeln!(out, " {}", crate::output::visible(flag)),
            // Halfwords keep the blank before the name that is not there: scripts cut columns.
            None if self.size == 2 => writeln!(out, " "),
            None => writeln!(out),
        }
    }

    fn quiet(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let width = 2 + 2 * self.size;
        writeln!(out, "{:#0width$x}", self.value)
    }
}

fn word_lines(ctx: &mut Ctx<'_, '_>, size: usize) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let layout = Layout::new(ctx);
    let mut buffer = vec![0; length.min(1 << 16) as usize];
    let mut done = 0;
    while length - done >= size as u64 {
        let count = (length - done).min(buffer.len() as u64) as usize / size * size;
        let start = address.wrapping_add(done);
        ctx.read_into(start, &mut buffer[..count])?;
        for (index, word) in buffer[..count].chunks_exact(size).enumerate() {
            let value = layout.number(word);
            let flag = ctx.core.flags.at(value).next().map(|flag| flag.name.as_str()).filter(|_| value != 0);
            push_line(ctx.out, WordLine { addr: start.wrapping_add((index * size) as u64), value, flag, size })?;
        }
        done += count as u64;
    }
    Ok(())
}

fn push_line(out: &mut Out<'_>, line: WordLine<'_>) -> Result<()> {
    out.item(&line)
}

/// Octal cells of single bytes.
pub fn octal_cells() -> Cells {
    Cells {
        bytes: 1,
        width: 3,
        group: 2,
        gap: 1,
        header: true,
        render: |text, bytes, _| {
            let byte = bytes[0];
            text.extend_from_slice(&[b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]);
        },
    }
}

fn pxo(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let layout = Layout::new(ctx);
    dump(ctx, address, length, layout, &octal_cells())
}

fn pxb(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let mut text = Vec::new();
    ctx.read_chunks(address, length, |out, start, bytes| {
        for (row, bytes) in bytes.chunks(4).enumerate() {
            rows::push_address(&mut text, start.wrapping_add(4 * row as u64));
            text.push(b' ');
            for byte in bytes {
                let _ = write!(text, "{:04b}.{:04b}  ", byte >> 4, byte & 15);
            }
            text.resize(text.len() + (4 - bytes.len()) * 11, b' ');
            text.extend_from_slice(b"0x");
            rows::push_hex(&mut text, bytes);
            text.resize(text.len() + (4 - bytes.len()) * 2 + 2, b' ');
            text.extend_from_slice(hex::characters(bytes).as_bytes());
            text.push(b'\n');
        }
        out.write_all(&text)?;
        text.clear();
        Ok(())
    })
}
