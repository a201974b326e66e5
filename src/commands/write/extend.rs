//! `we`: insert bytes, moving what follows.

use super::length;
use crate::commands::{Arg, ArgKind, Command, Example, Run, literal};
use crate::error::{Error, Kind, Result};
use crate::io::Settings;
use crate::session::context::CHUNK;
use crate::session::{Ctx, Permissions, scope};

const NEEDS: Permissions = Permissions::WRITE.and(Permissions::READ);
const DETAILS: &str = "The file grows; what follows moves up. Not possible while io.cache holds writes back.";

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "wen",
        args: &[Arg::new("len", ArgKind::Number)],
        summary: "insert zero bytes here",
        details: DETAILS,
        needs: NEEDS,
        examples: &[Example { line: "wx 41424344; s 2; wen 3; s 0; p8 8", shows: "4142000000434400" }],
        run: Run::Core(wen),
        ..Command::DEFAULT
    },
    Command {
        name: "weN",
        args: &[Arg::new("addr", ArgKind::Number), Arg::new("len", ArgKind::Number)],
        summary: "insert zero bytes at an address",
        details: DETAILS,
        needs: NEEDS,
        examples: &[Example { line: "wx 41424344; weN 1 2; p8 6", shows: "410000424344" }],
        run: Run::Core(we_zeros_at),
        ..Command::DEFAULT
    },
    Command {
        name: "wex",
        args: &[Arg::new("hex", ArgKind::Hex)],
        summary: "insert hexpairs here",
        details: DETAILS,
        needs: NEEDS,
        examples: &[Example { line: "wx 4142; s 1; wex ccdd; s 0; p8 4", shows: "41ccdd42" }],
        run: Run::Core(wex),
        ..Command::DEFAULT
    },
    Command {
        name: "weX",
        args: &[Arg::new("addr", ArgKind::Number), Arg::new("hex", ArgKind::Hex)],
        summary: "insert hexpairs at an address",
        details: DETAILS,
        needs: NEEDS,
        examples: &[Example { line: "wx 4142; weX 1 ccdd; p8 4", shows: "41ccdd42" }],
        run: Run::Core(we_hex_at),
        ..Command::DEFAULT
    },
    Command {
        name: "wes",
        args: &[Arg::new("addr", ArgKind::Number), Arg::new("distance", ArgKind::Number)],
        summary: "move everything from an address on by a distance (negative: down), and seek to the address",
        details: "The size stays: what is moved past the end is lost, and what is not overwritten stays.",
        needs: NEEDS,
        examples: &[Example { line: "wx 4142; wes 0 2; p8 5; s", shows: "4142414200\n0x0" }],
        run: Run::Core(wes),
        ..Command::DEFAULT
    },
];

/// The most bytes that are inserted at once: memory devices take it from this machine.
const INSERT_LIMIT: u64 = 1 << 30;

fn wen(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let length = length(ctx, 0)?;
    insert(ctx, ctx.view.seek, length, &[])
}

fn we_zeros_at(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = ctx.required(0)?;
    let length = length(ctx, 1)?;
    insert(ctx, address, length, &[])
}

fn wex(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let bytes = literal::hexpairs(&ctx.args.text)?;
    insert(ctx, ctx.view.seek, bytes.len() as u64, &bytes)
}

fn we_hex_at(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = ctx.required(0)?;
    let bytes = literal::hexpairs(&ctx.args.words[1..].join(" "))?;
    insert(ctx, address, bytes.len() as u64, &bytes)
}

/// A place in a device: the descriptor, the physical address and the device's size.
struct Place {
    fd: u32,
    address: u64,
    size: u64,
}

impl Place {
    /// Where `address` is, if its device can be changed.
    fn find(ctx: &Ctx<'_, '_>, address: u64) -> Result<Place> {
        let settings = scope::settings(ctx.core, ctx.view);
        if settings.cache {
            return Err(Error::new(Kind::Unsupported, "bytes cannot be moved while io.cache holds writes back")
                .hint("set io.cache=false"));
        }
        let nothing = || Error::new(Kind::NotFound, format!("nothing is mapped at 0x{address:08x}"));
        let (fd, physical) = if settings.virtual_addresses && settings.descriptor.is_none() {
            let map = ctx.core.io.space.at(address).ok_or_else(nothing)?;
            (map.fd, address - map.from + map.delta)
        } else {
            (settings.descriptor.or(ctx.core.io.current()).ok_or_else(nothing)?, address)
        };
        let descriptor = ctx.core.io.descriptor(fd)?;
        if !descriptor.access.write {
            let what = format!("cannot write at 0x{address:08x}: '{}' is open read-only", descriptor.uri);
            return Err(Error::new(Kind::Permission, what).hint("reopen with oo+ or -w"));
        }
        let size = descriptor.size().ok_or_else(|| {
            Error::new(Kind::Unsupported, format!("'{}' has no end that bytes could move to", descriptor.uri))
        })?;
        if physical > size {
            return Err(nothing());
        }
        Ok(Place { fd, address: physical, size })
    }

    fn settings(&self) -> Settings {
        Settings { virtual_addresses: false, descriptor: Some(self.fd), ..Settings::default() }
    }

    /// Moves `length` bytes inside of the device.
    fn shift(&self, ctx: &mut Ctx<'_, '_>, from: u64, to: u64, length: u64) -> Result<()> {
        let settings = self.settings();
        let mut buffer = vec![0; CHUNK.min(usize::try_from(length).unwrap_or(CHUNK))];
        let mut done = 0;
        while done < length {
            let count = (length - done).min(buffer.len() as u64);
            // Upwards starts at the end, so that nothing is overwritten before it has moved.
            let offset = if to > from { length - done - count } else { done };
            let part = &mut buffer[..count as usize];
            ctx.core.io.read(&settings, from + offset, part)?;
            ctx.core.io.write(&settings, to + offset, part)?;
            done += count;
        }
        Ok(())
    }
}

/// Inserts `length` bytes at `address`: `bytes`, or zeros when it is empty.
fn insert(ctx: &mut Ctx<'_, '_>, address: u64, length: u64, bytes: &[u8]) -> Result<()> {
    if length > INSERT_LIMIT {
        return Err(
            Error::new(Kind::Limit, format!("0x{length:x} bytes are too many to insert at once")).hint("at most 1 GiB")
        );
    }
    let place = Place::find(ctx, address)?;
    let grown = place
        .size
        .checked_add(length)
        .ok_or_else(|| Error::new(Kind::Limit, format!("0x{length:x} more bytes pass the end of the addresses")))?;
    ctx.core.io.resize(place.fd, grown)?;
    place.shift(ctx, place.address, place.address + length, place.size - place.address)?;
    if !bytes.is_empty() {
        return ctx.core.io.write(&place.settings(), place.address, bytes);
    }
    let zeros = vec![0; CHUNK.min(usize::try_from(length).unwrap_or(CHUNK))];
    let mut done = 0;
    while done < length {
        let count = (length - done).min(zeros.len() as u64);
        ctx.core.io.write(&place.settings(), place.address + done, &zeros[..count as usize])?;
        done += count;
    }
    Ok(())
}

fn wes(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, distance) = (ctx.required(0)?, ctx.required(1)? as i64);
    let place = Place::find(ctx, address)?;
    let target =
        place.address.checked_add_signed(distance).filter(|target| *target <= place.size).ok_or_else(|| {
            Error::new(Kind::Usage, format!("a distance of {distance} from 0x{address:08x} leaves the file"))
        })?;
    let length = place.size - place.address.max(target);
    place.shift(ctx, place.address, target, length)?;
    ctx.view.jump(address);
    Ok(())
}
