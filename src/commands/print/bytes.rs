//! Bytes in a row, without addresses: hexpairs, bits, base64, URL escapes, and the bytes themselves.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};

use super::LENGTH;
use super::text::visible_bytes;
use crate::commands::{Command, Example, Run};
use crate::error::{Error, Kind, Result};
use crate::output::{Mode, Out};
use crate::session::{Ctx, Permissions};

/// The commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "p8",
        args: LENGTH,
        summary: "print bytes as hexpairs",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[
            Example { line: "p8 4", shows: "00000000" },
            Example { line: "p8j 2", shows: "[0,0]" },
            Example { line: "wx 010203; p8 -2 @ 3", shows: "0203" },
        ],
        run: Run::Core(p8),
        ..Command::DEFAULT
    },
    Command {
        name: "px0",
        summary: "print hexpairs up to the first zero byte",
        needs: Permissions::READ,
        examples: &[Example { line: "w ABC; px0", shows: "414243" }],
        run: Run::Core(px0),
        ..Command::DEFAULT
    },
    Command {
        name: "pB",
        args: LENGTH,
        summary: "print bytes as bits",
        needs: Permissions::READ,
        examples: &[Example { line: "wx ff; pB 2", shows: "1111111100000000" }],
        run: Run::Core(pb_bytes),
        ..Command::DEFAULT
    },
    Command {
        name: "pb",
        args: &[crate::commands::Arg::opt("bits", crate::commands::ArgKind::Number)],
        summary: "print so many bits",
        needs: Permissions::READ,
        examples: &[Example { line: "w AB; pb 12", shows: "010000010100" }],
        run: Run::Core(pb),
        ..Command::DEFAULT
    },
    Command {
        name: "pr",
        args: LENGTH,
        summary: "print the bytes themselves",
        details: "The only command that sends control characters to the terminal as they are.",
        needs: Permissions::READ,
        examples: &[Example { line: "w Hello; pr 5", shows: "Hello" }],
        run: Run::Core(pr),
        ..Command::DEFAULT
    },
    Command {
        name: "pu",
        args: LENGTH,
        summary: "print bytes as URL escapes",
        needs: Permissions::READ,
        examples: &[Example { line: "w AB; pu 2", shows: "%41%42" }],
        run: Run::Core(pu),
        ..Command::DEFAULT
    },
    Command {
        name: "puw",
        args: LENGTH,
        summary: "print 2-byte characters as URL escapes",
        needs: Permissions::READ,
        examples: &[Example { line: "wx 41004200; puw 4", shows: "%u0041%u0042" }],
        run: Run::Core(puw),
        ..Command::DEFAULT
    },
    Command {
        name: "p6e",
        args: LENGTH,
        summary: "print bytes in base64",
        needs: Permissions::READ,
        examples: &[Example { line: "w Hello; p6e 5", shows: "SGVsbG8=" }],
        run: Run::Core(p6e),
        ..Command::DEFAULT
    },
    Command {
        name: "p6d",
        args: LENGTH,
        summary: "print what base64 text stands for",
        needs: Permissions::READ,
        examples: &[Example { line: "w aGVsbG8gd29ybGQ=; p6d 16", shows: "hello world" }],
        run: Run::Core(p6d),
        ..Command::DEFAULT
    },
];

fn p8(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    if ctx.out.mode() == Mode::Json {
        return ctx.read_chunks(address, length, |out, _, bytes| out.json_elements(bytes));
    }
    hexpairs(ctx, address, length)
}

/// Prints `length` bytes at `address` as a line of hexpairs.
fn hexpairs(ctx: &mut Ctx<'_, '_>, address: u64, length: u64) -> Result<()> {
    let mut digits = Vec::new();
    ctx.read_chunks(address, length, |out, _, bytes| {
        // Small pieces keep digits and bytes in the processor's cache.
        for bytes in bytes.chunks(1 << 16) {
            digits.resize(2 * bytes.len(), 0);
            match faster_hex::hex_encode(bytes, &mut digits) {
                Ok(text) => out.write_all(text.as_bytes())?,
                Err(error) => return Err(Error::new(Kind::Format, format!("cannot encode the bytes: {error}"))),
            }
        }
        Ok(())
    })?;
    ctx.out.write_all(b"\n")
}

fn px0(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let block = ctx.read(ctx.view.seek, ctx.view.block_size)?;
    let length = memchr::memchr(0, &block).unwrap_or(block.len()) as u64;
    hexpairs(ctx, ctx.view.seek, length)
}

fn pb_bytes(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    bits(ctx, address, length, u64::MAX)
}

fn pb(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let count = ctx.number(0)?.unwrap_or(ctx.view.block_size.saturating_mul(8));
    let length = super::checked_product(count.div_ceil(8), 1)?;
    bits(ctx, ctx.view.seek, length, count)
}

fn bits(ctx: &mut Ctx<'_, '_>, address: u64, length: u64, mut limit: u64) -> Result<()> {
    let mut text = Vec::new();
    ctx.read_chunks(address, length, |out, _, bytes| {
        for bytes in bytes.chunks(1 << 14) {
            text.clear();
            text.extend(bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| b'0' + (byte >> bit & 1))));
            text.truncate(limit.min(text.len() as u64) as usize);
            limit -= text.len() as u64;
            out.write_all(&text)?;
        }
        Ok(())
    })?;
    ctx.out.write_all(b"\n")
}

fn pr(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    ctx.read_chunks(address, length, |out, _, bytes| out.write_all(bytes))
}

fn pu(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    escapes(ctx, address, length, |text, bytes| {
        for byte in bytes {
            text.push_str(&format!("%{byte:02x}"));
        }
    })
}

fn puw(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let big_endian = ctx.option_bool("cfg.bigendian");
    escapes(ctx, address, length, |text, bytes| {
        for word in bytes.chunks_exact(2) {
            text.push_str(&format!("%u{:04x}", super::layout::number(word, big_endian)));
        }
    })
}

fn escapes(ctx: &mut Ctx<'_, '_>, address: u64, length: u64, push: impl Fn(&mut String, &[u8])) -> Result<()> {
    let mut text = String::new();
    ctx.read_chunks(address, length, |out, _, bytes| {
        for bytes in bytes.chunks(1 << 14) {
            text.clear();
            push(&mut text, bytes);
            out.write_all(text.as_bytes())?;
        }
        Ok(())
    })?;
    ctx.out.write_all(b"\n")
}

/// Base64 of a stream: what does not fill a group of three bytes waits for the next piece.
#[derive(Default)]
pub struct Base64 {
    rest: Vec<u8>,
    text: String,
}

impl Base64 {
    /// Writes what `bytes` complete.
    pub fn push(&mut self, out: &mut Out<'_>, bytes: &[u8]) -> Result<()> {
        self.rest.extend_from_slice(bytes);
        let whole = self.rest.len() / 3 * 3;
        self.text.clear();
        general_purpose::STANDARD.encode_string(&self.rest[..whole], &mut self.text);
        self.rest.drain(..whole);
        out.write_all(self.text.as_bytes())
    }

    /// Writes the end with its padding.
    pub fn finish(self, out: &mut Out<'_>) -> Result<()> {
        out.write_all(general_purpose::STANDARD.encode(&self.rest).as_bytes())
    }
}

fn p6e(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let mut base64 = Base64::default();
    ctx.read_chunks(address, length, |out, _, bytes| base64.push(out, bytes))?;
    base64.finish(ctx.out)?;
    ctx.out.write_all(b"\n")
}

fn p6d(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let (address, length) = ctx.range(0)?;
    let block = ctx.read(address, length)?;
    let text: Vec<u8> = block
        .into_iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte))
        .collect();
    let bytes = LENIENT.decode(&text).map_err(|error| {
        Error::new(Kind::Format, format!("no base64 text at 0x{address:08x}: {}", error.to_string().to_lowercase()))
    })?;
    ctx.out.line(visible_bytes(&bytes))
}
