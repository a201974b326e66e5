//! `y`: copy and paste bytes.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use serde::Serialize;

use super::{Arg, ArgKind, Command, Example, Family, Run, literal, local, write};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "y", summary: "copy and paste bytes", commands: COMMANDS };

const LENGTH: Arg = Arg::opt("len", ArgKind::Number);
const READ_FILES: Permissions = Permissions::READ.and(Permissions::FILES);

const COMMANDS: &[Command] = &[
    Command {
        name: "y",
        args: &[LENGTH, Arg::opt("addr", ArgKind::Number)],
        summary: "show what was yanked, or yank so many bytes from here or an address",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: Permissions::READ,
        examples: &[
            Example { line: "wx 41424344; y 4; y", shows: "0x00000000 4 41424344" },
            Example { line: "y 2 0x10; yj", shows: "{\"addr\":16,\"bytes\":\"0000\"}" },
            Example { line: "y 2; y*", shows: "wx 0000" },
            Example { line: "y 2; yq", shows: "0000" },
        ],
        run: Run::Core(y),
        ..Command::DEFAULT
    },
    Command {
        name: "yp",
        summary: "print the yanked bytes as they are",
        examples: &[Example { line: "yw hello; yp", shows: "hello" }],
        run: Run::Core(yp),
        ..Command::DEFAULT
    },
    Command {
        name: "yx",
        summary: "print a hexdump of the yanked bytes",
        examples: &[Example {
            line: "ywx 41424300ff; yx",
            shows: "- offset -   0 1  2 3  4 5  6 7  8 9  A B  C D  E F  0123456789ABCDEF\n\
                    0x00000000  4142 4300 ff                             ABC..",
        }],
        run: Run::Core(yx),
        ..Command::DEFAULT
    },
    Command {
        name: "ys",
        summary: "print the yanked bytes as a string, up to the first zero",
        examples: &[Example { line: "ywx 414200ff; ys", shows: "AB" }],
        run: Run::Core(ys),
        ..Command::DEFAULT
    },
    Command {
        name: "yy",
        args: &[Arg::opt("addr", ArgKind::Number)],
        summary: "write the yanked bytes here or at an address",
        needs: Permissions::WRITE,
        examples: &[Example { line: "ywx 414243; yy 2; p8 6", shows: "000041424300" }],
        run: Run::Core(yy),
        ..Command::DEFAULT
    },
    Command {
        name: "yt",
        args: &[Arg::new("len", ArgKind::Number), Arg::new("addr", ArgKind::Number)],
        summary: "copy so many bytes from here to an address",
        needs: Permissions::READ.and(Permissions::WRITE),
        examples: &[Example { line: "wx 4142; yt 2 4; p8 6", shows: "414200004142" }],
        run: Run::Core(yt),
        ..Command::DEFAULT
    },
    Command {
        name: "ytf",
        args: &[Arg::new("file", ArgKind::File)],
        summary: "write the yanked bytes to a file",
        needs: Permissions::FILES.and(Permissions::WRITE),
        run: Run::Core(ytf),
        ..Command::DEFAULT
    },
    Command {
        name: "yz",
        args: &[LENGTH],
        summary: "yank the string here, up to its zero byte and at most so many bytes (a block)",
        needs: Permissions::READ,
        examples: &[
            Example { line: "w HelloWorld; yz; yp", shows: "HelloWorld" },
            Example { line: "w HelloWorld; yz 5; yp", shows: "Hello" },
        ],
        run: Run::Core(yz),
        ..Command::DEFAULT
    },
    Command {
        name: "yw",
        args: &[Arg::new("text", ArgKind::Text)],
        summary: "yank a text, with escapes",
        examples: &[Example { line: "yw a\\n; yq", shows: "610a" }],
        run: Run::Core(yw),
        ..Command::DEFAULT
    },
    Command {
        name: "ywx",
        args: &[Arg::new("hex", ArgKind::Hex)],
        summary: "yank hexpairs",
        examples: &[Example { line: "ywx 4142; yp", shows: "AB" }],
        run: Run::Core(ywx),
        ..Command::DEFAULT
    },
    Command {
        name: "yf",
        args: &[Arg::new("len", ArgKind::Number), Arg::new("file", ArgKind::File), Arg::opt("offset", ArgKind::Number)],
        summary: "yank so many bytes of a file, from its start or an offset",
        needs: READ_FILES,
        run: Run::Core(yf),
        ..Command::DEFAULT
    },
    Command {
        name: "yfa",
        args: &[Arg::new("file", ArgKind::File)],
        summary: "yank a whole file",
        needs: READ_FILES,
        run: Run::Core(yfa),
        ..Command::DEFAULT
    },
];

/// The most bytes that are held.
const LIMIT: u64 = 64 << 20;

/// What was yanked, and from where.
#[derive(Serialize)]
struct Clipboard {
    addr: u64,
    bytes: String,
}

impl Item for Clipboard {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "0x{:08x} {} {}", self.addr, self.bytes.len() / 2, self.bytes)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.bytes)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "wx {}", self.bytes)
    }
}

/// The clipboard, which must hold something.
fn yanked<'a>(ctx: &'a Ctx<'_, '_>) -> Result<&'a (u64, Vec<u8>)> {
    ctx.core
        .yank
        .as_ref()
        .ok_or_else(|| Error::new(Kind::NotFound, "nothing has been yanked").hint("yank bytes first, as in 'y 16'"))
}

fn bounded(length: u64) -> Result<u64> {
    if length > LIMIT {
        return Err(Error::new(Kind::Limit, format!("0x{length:x} bytes are too many to yank")).hint("at most 64 MiB"));
    }
    Ok(length)
}

fn y(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if let Some(length) = ctx.number(0)? {
        let address = ctx.number(1)?.unwrap_or(ctx.view.seek);
        let bytes = ctx.read(address, bounded(length)?)?;
        ctx.core.yank = Some((address, bytes));
        return Ok(());
    }
    let (addr, bytes) = yanked(ctx)?;
    let clipboard = Clipboard { addr: *addr, bytes: faster_hex::hex_string(bytes) };
    ctx.out.value(&clipboard)
}

fn yp(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let mut bytes = yanked(ctx)?.1.clone();
    bytes.push(b'\n');
    ctx.out.write_all(&bytes)
}

fn yx(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, bytes) = yanked(ctx)?.clone();
    ctx.out.line("- offset -   0 1  2 3  4 5  6 7  8 9  A B  C D  E F  0123456789ABCDEF")?;
    for (row, address) in bytes.chunks(16).zip((0u64..).map(|row| address.wrapping_add(16 * row))) {
        let pairs: Vec<String> = row.chunks(2).map(faster_hex::hex_string).collect();
        let text: String = row.iter().map(|byte| literal::printable(*byte, '.')).collect();
        ctx.out.line(format_args!("0x{address:08x}  {:<39}  {text}", pairs.join(" ")))?;
    }
    Ok(())
}

fn ys(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let bytes = &yanked(ctx)?.1;
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
    ctx.out.line(visible(&text))
}

fn yy(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = ctx.number(0)?.unwrap_or(ctx.view.seek);
    let bytes = yanked(ctx)?.1.clone();
    write::put(ctx, address, &bytes)
}

fn yt(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let length = bounded(ctx.required(0)?)?;
    let address = ctx.required(1)?;
    let bytes = ctx.read(ctx.view.seek, length)?;
    write::put(ctx, address, &bytes)
}

fn ytf(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let name = ctx.args.text.as_str();
    let bytes = &yanked(ctx)?.1;
    local::create(ctx.view, name, false)?
        .write_all(bytes)
        .map_err(|e| Error::system(format_args!("cannot write file '{name}'"), &e))
}

fn yz(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = ctx.view.seek;
    let length = bounded(ctx.number(0)?.unwrap_or(ctx.view.block_size))?;
    let mut bytes = ctx.read(address, length)?;
    bytes.truncate(memchr::memchr(0, &bytes).unwrap_or(bytes.len()));
    ctx.core.yank = Some((address, bytes));
    Ok(())
}

fn yw(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    ctx.core.yank = Some((ctx.view.seek, literal::unescape(&ctx.args.text)?));
    Ok(())
}

fn ywx(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    ctx.core.yank = Some((ctx.view.seek, literal::hexpairs(&ctx.args.text)?));
    Ok(())
}

fn yf(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let length = bounded(ctx.required(0)?)?;
    let offset = ctx.number(2)?.unwrap_or(0);
    let name = ctx.args.words[1].as_str();
    let (file, size) = local::open(ctx.view, name)?;
    if offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(Error::new(
            Kind::Limit,
            format!("file '{name}' has no 0x{length:x} bytes at offset 0x{offset:x}: it ends at 0x{size:x}"),
        ));
    }
    yank_file(ctx, name, &file, offset, length)
}

fn yfa(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let name = ctx.args.text.as_str();
    let (file, size) = local::open(ctx.view, name)?;
    yank_file(ctx, name, &file, 0, bounded(size)?)
}

fn yank_file(ctx: &mut Ctx<'_, '_>, name: &str, file: &File, offset: u64, length: u64) -> Result<()> {
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, offset).map_err(|e| Error::system(format_args!("cannot read file '{name}'"), &e))?;
    ctx.core.yank = Some((ctx.view.seek, bytes));
    Ok(())
}
