//! Text, hexpairs and base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{length, put, stream};
use crate::commands::{Arg, ArgKind, Command, Example, Run, literal, local};
use crate::error::{Error, Kind, Result};
use crate::session::{Ctx, Permissions};

const TEXT: &[Arg] = &[Arg::new("text", ArgKind::Text)];
const HEX: &[Arg] = &[Arg::new("hex", ArgKind::Hex)];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "w",
        args: TEXT,
        summary: "write text",
        details: "Escapes are processed: \\a \\b \\t \\n \\v \\f \\r \\e \\\\, \\x41 (hexadecimal), \\101 (octal). No zero \
                  byte is added; see wz.",
        needs: Permissions::WRITE,
        examples: &[
            Example { line: "w hello; p8 6", shows: "68656c6c6f00" },
            Example { line: "w a\\n\\x00\\377; p8 5", shows: "610a00ff00" },
        ],
        run: Run::Core(w),
        ..Command::DEFAULT
    },
    Command {
        name: "wz",
        args: TEXT,
        summary: "write text and a zero byte",
        needs: Permissions::WRITE,
        examples: &[Example { line: "wx 5555555555; wz abc; p8 5", shows: "6162630055" }],
        run: Run::Core(wz),
        ..Command::DEFAULT
    },
    Command {
        name: "ww",
        args: TEXT,
        summary: "write text in UTF-16, low byte first",
        needs: Permissions::WRITE,
        examples: &[Example { line: "ww ab; p8 6", shows: "610062000000" }],
        run: Run::Core(ww),
        ..Command::DEFAULT
    },
    prefixed("ws", ws::<1>, &[Example { line: "ws abc; p8 5", shows: "0361626300" }]),
    prefixed("ws1", ws::<1>, &[Example { line: "ws1 abc; p8 5", shows: "0361626300" }]),
    prefixed("ws2", ws::<2>, &[Example { line: "ws2 abc; p8 5", shows: "0300616263" }]),
    prefixed("ws4", ws::<4>, &[Example { line: "ws4 abc; p8 7", shows: "03000000616263" }]),
    Command {
        name: "wx",
        args: HEX,
        summary: "write hexpairs",
        needs: Permissions::WRITE,
        examples: &[
            Example { line: "wx deadbeef; p8 4", shows: "deadbeef" },
            Example { line: "wx 0x90 91; p8 3", shows: "909100" },
        ],
        run: Run::Core(wx),
        ..Command::DEFAULT
    },
    Command {
        name: "wxs",
        args: HEX,
        summary: "write hexpairs and seek behind them",
        needs: Permissions::WRITE,
        examples: &[Example { line: "wxs 9090; wxs cc; s; s 0; p8 4", shows: "0x3\n9090cc00" }],
        run: Run::Core(wxs),
        ..Command::DEFAULT
    },
    Command {
        name: "wxf",
        args: &[Arg::new("file", ArgKind::File)],
        summary: "write the hexpairs that a file holds as text",
        needs: Permissions::WRITE.and(Permissions::FILES),
        run: Run::Core(wxf),
        ..Command::DEFAULT
    },
    Command {
        name: "wb",
        args: HEX,
        summary: "fill the block with hexpairs, over and over",
        needs: Permissions::WRITE,
        examples: &[Example { line: "wb 0a0b0c; p8 5; s 0xfe; p8 3", shows: "0a0b0c0a0b\n0c0a00" }],
        run: Run::Core(wb),
        ..Command::DEFAULT
    },
    Command {
        name: "w6d",
        args: &[Arg::new("base64", ArgKind::Text)],
        summary: "write the bytes that base64 text stands for",
        needs: Permissions::WRITE,
        examples: &[Example { line: "w6d SGVsbG8=; p8 6", shows: "48656c6c6f00" }],
        run: Run::Core(w6d),
        ..Command::DEFAULT
    },
    Command {
        name: "w6e",
        aliases: &["w6x"],
        args: HEX,
        summary: "write hexpairs as base64 text",
        needs: Permissions::WRITE,
        examples: &[Example { line: "w6e 48656c; p8 5", shows: "5347567300" }],
        run: Run::Core(w6e),
        ..Command::DEFAULT
    },
    Command {
        name: "wr",
        args: &[Arg::opt("len", ArgKind::Number)],
        summary: "write random bytes",
        needs: Permissions::WRITE,
        examples: &[Example { line: "wr 4; s 4; p8 2", shows: "0000" }],
        run: Run::Core(wr),
        ..Command::DEFAULT
    },
];

const fn prefixed(
    name: &'static str,
    run: fn(&mut Ctx<'_, '_>) -> Result<()>,
    examples: &'static [Example],
) -> Command {
    Command {
        name,
        args: TEXT,
        summary: "write the length of a text (in 1, 2 or 4 bytes) and the text",
        needs: Permissions::WRITE,
        examples,
        run: Run::Core(run),
        ..Command::DEFAULT
    }
}

fn w(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    put(ctx, ctx.view.seek, &literal::unescape(&ctx.args.text)?)
}

fn wz(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let mut bytes = literal::unescape(&ctx.args.text)?;
    bytes.push(0);
    put(ctx, ctx.view.seek, &bytes)
}

fn ww(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    put(ctx, ctx.view.seek, &literal::unescape_wide(&ctx.args.text)?)
}

fn ws<const WIDTH: usize>(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let text = literal::unescape(&ctx.args.text)?;
    let length = text.len() as u64;
    if WIDTH < 8 && length >> (8 * WIDTH) != 0 {
        return Err(Error::new(
            Kind::Limit,
            format!("a text of {length} bytes is too long for a length in {WIDTH} bytes"),
        )
        .hint("use ws2 or ws4"));
    }
    let mut bytes = literal::number(length, WIDTH, ctx.option_bool("cfg.bigendian"));
    bytes.extend(text);
    put(ctx, ctx.view.seek, &bytes)
}

fn wx(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    put(ctx, ctx.view.seek, &literal::hexpairs(&ctx.args.text)?)
}

fn wxs(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let bytes = literal::hexpairs(&ctx.args.text)?;
    put(ctx, ctx.view.seek, &bytes)?;
    let behind = ctx.view.seek.wrapping_add(bytes.len() as u64);
    ctx.view.jump(behind);
    Ok(())
}

fn wxf(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let name = ctx.args.text.as_str();
    let text = String::from_utf8(local::read(ctx.view, name)?)
        .map_err(|_| Error::new(Kind::Format, format!("file '{name}' is not text")))?;
    let bytes = literal::hexpairs(&text).map_err(|error| error.context(format_args!("file '{name}'")))?;
    put(ctx, ctx.view.seek, &bytes)
}

fn wb(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let key = literal::hexpairs(&ctx.args.text)?;
    let (address, length) = (ctx.view.seek, ctx.view.block_size);
    stream(ctx, address, length, |_, offset, buffer| {
        let start = (offset % key.len() as u64) as usize;
        for (byte, with) in buffer.iter_mut().zip(key.iter().cycle().skip(start)) {
            *byte = *with;
        }
        Ok(())
    })
}

fn w6d(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let text: String = ctx.args.text.split_whitespace().collect();
    let bytes =
        STANDARD.decode(&text).map_err(|error| Error::new(Kind::Usage, format!("invalid base64 text: {error}")))?;
    put(ctx, ctx.view.seek, &bytes)
}

fn w6e(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let bytes = literal::hexpairs(&ctx.args.text)?;
    put(ctx, ctx.view.seek, STANDARD.encode(bytes).as_bytes())
}

fn wr(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = (ctx.view.seek, length(ctx, 0)?);
    stream(ctx, address, length, |_, _, buffer| {
        getrandom::fill(buffer).map_err(|error| Error::new(Kind::System, format!("no random bytes: {error}")))
    })
}
