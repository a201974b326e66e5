//! `wt`: bytes into files.

use std::io::Write;

use super::length;
use crate::commands::{Arg, ArgKind, Command, Run, local};
use crate::error::{Error, Kind, Result};
use crate::session::context::LENGTH_LIMIT;
use crate::session::{Ctx, Permissions};

/// A file is changed, if not the device: a client that may only look leaves no files here.
const NEEDS: Permissions = Permissions::READ.and(Permissions::WRITE).and(Permissions::FILES);
const LENGTH: Arg = Arg::opt("len", ArgKind::Number);

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "wt",
        aliases: &["wtf"],
        args: &[Arg::opt("file", ArgKind::File), LENGTH],
        summary: "write bytes from here to a file (a block of them, to dump.<address>)",
        needs: NEEDS,
        run: Run::Core(wt),
        ..Command::DEFAULT
    },
    Command {
        name: "wta",
        args: &[Arg::new("file", ArgKind::File), LENGTH],
        summary: "append bytes from here to a file",
        needs: NEEDS,
        run: Run::Core(wta),
        ..Command::DEFAULT
    },
    Command {
        name: "wtf!",
        args: &[Arg::opt("file", ArgKind::File)],
        summary: "write everything from here to the end of the map or file to a file",
        needs: NEEDS,
        run: Run::Core(wtf_all),
        ..Command::DEFAULT
    },
    Command {
        name: "wtff",
        args: &[Arg::opt("prefix", ArgKind::File), LENGTH],
        summary: "write bytes from here to the file <prefix>-<address>",
        needs: NEEDS,
        run: Run::Core(wtff),
        ..Command::DEFAULT
    },
];

fn wt(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let length = length(ctx, 1)?;
    let name = file_name(ctx);
    dump(ctx, &name, length, false)
}

fn wta(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let length = length(ctx, 1)?;
    let name = file_name(ctx);
    dump(ctx, &name, length, true)
}

fn wtff(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let length = length(ctx, 1)?;
    let name = format!("{}-0x{:08x}", ctx.word(0).unwrap_or("dump"), ctx.view.seek);
    dump(ctx, &name, length, false)
}

fn wtf_all(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let here = ctx.view.seek;
    let physical = ctx.view.descriptor.is_some() || !ctx.option_bool("io.va");
    let end = if physical {
        let fd = ctx.view.descriptor.or(ctx.core.io.current());
        fd.and_then(|fd| ctx.core.io.descriptor(fd).ok()).and_then(|descriptor| descriptor.size())
    } else {
        ctx.core.io.space.at(here).and_then(|map| map.from.checked_add(map.size))
    };
    let Some(length) = end.and_then(|end| end.checked_sub(here)).filter(|length| *length > 0) else {
        return Err(Error::new(Kind::NotFound, format!("nothing with an end is at 0x{here:08x}"))
            .hint("give a length: wt <file> <len>"));
    };
    if length > LENGTH_LIMIT {
        return Err(Error::new(Kind::Limit, format!("0x{length:x} bytes are too many for a file"))
            .hint("give a length: wt <file> <len>"));
    }
    let name = file_name(ctx);
    dump(ctx, &name, length, false)
}

fn file_name(ctx: &Ctx<'_, '_>) -> String {
    match ctx.word(0) {
        Some(name) => name.to_string(),
        None => format!("dump.0x{:08x}", ctx.view.seek),
    }
}

/// Writes `length` bytes from the seek to the file, behind what it holds or in its place.
fn dump(ctx: &mut Ctx<'_, '_>, name: &str, length: u64, append: bool) -> Result<()> {
    let address = ctx.view.seek;
    let failed = |error: &std::io::Error| Error::system(format_args!("cannot write file '{name}'"), error);
    // An unreadable place must not cost the file that is there.
    ctx.read(address, length.min(1))?;
    let mut file = local::create(ctx.view, name, append)?;
    ctx.read_chunks(address, length, |_, _, bytes| file.write_all(bytes).map_err(|e| failed(&e)))?;
    ctx.out.line(format_args!("Dumped {length} bytes from 0x{address:08x} into {}", crate::output::visible(name)))
}
