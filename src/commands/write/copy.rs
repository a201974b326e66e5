//! Bytes from elsewhere: from memory, exchanged with memory, from files; and where programs are.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::{check, length, put, stream};
use crate::commands::{Arg, ArgKind, Command, Example, Run, local};
use crate::error::{Error, Kind, Result};
use crate::session::{Ctx, Permissions};

const COPY: Permissions = Permissions::WRITE.and(Permissions::READ);

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "wd",
        args: &[Arg::new("source", ArgKind::Number), Arg::new("len", ArgKind::Number)],
        summary: "write a copy of the bytes at another address",
        needs: COPY,
        examples: &[Example { line: "s 0x10; wx 010203; s 0; wd 0x10 2; p8 3", shows: "010200" }],
        run: Run::Core(wf),
        ..Command::DEFAULT
    },
    Command {
        name: "wf",
        args: &[Arg::new("source", ArgKind::Number), Arg::opt("len", ArgKind::Number)],
        summary: "write a copy of the bytes at another address (a block of them)",
        needs: COPY,
        examples: &[Example { line: "wx 9091; s 0x10; wf 0 2; p8 3", shows: "909100" }],
        run: Run::Core(wf),
        ..Command::DEFAULT
    },
    Command {
        name: "wfx",
        args: &[Arg::new("addr", ArgKind::Number), Arg::opt("len", ArgKind::Number)],
        summary: "exchange the bytes here with those at another address",
        needs: COPY,
        examples: &[Example { line: "wx 0102030405060708; wfx 4 2; p8 8", shows: "0506030401020708" }],
        run: Run::Core(wfx),
        ..Command::DEFAULT
    },
    Command {
        name: "wff",
        args: &[Arg::new("file", ArgKind::File), Arg::opt("len", ArgKind::Number), Arg::opt("offset", ArgKind::Number)],
        summary: "write the bytes of a file, or so many of them from an offset",
        needs: Permissions::WRITE.and(Permissions::FILES),
        run: Run::Core(wff),
        ..Command::DEFAULT
    },
    Command {
        name: "wh",
        args: &[Arg::new("program", ArgKind::Word)],
        summary: "show where a program is (PATH)",
        needs: Permissions::FILES,
        examples: &[Example { line: "wh /bin/sh", shows: "/bin/sh" }],
        run: Run::Core(wh),
        ..Command::DEFAULT
    },
];

/// The most bytes that are copied or exchanged inside of memory at once: both ends are held.
const COPY_LIMIT: u64 = 64 << 20;

fn copied_length(ctx: &mut Ctx<'_, '_>) -> Result<u64> {
    let length = length(ctx, 1)?;
    if length > COPY_LIMIT {
        return Err(
            Error::new(Kind::Limit, format!("0x{length:x} bytes are too many to copy at once")).hint("at most 64 MiB")
        );
    }
    Ok(length)
}

fn wf(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let source = ctx.required(0)?;
    let length = copied_length(ctx)?;
    let bytes = ctx.read(source, length)?;
    put(ctx, ctx.view.seek, &bytes)
}

fn wfx(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (here, there) = (ctx.view.seek, ctx.required(0)?);
    let length = copied_length(ctx)?;
    if here.abs_diff(there) < length {
        return Err(Error::new(Kind::Usage, format!("0x{length:x} bytes at 0x{here:08x} and 0x{there:08x} overlap"))
            .hint("only separate ranges can be exchanged"));
    }
    let (ours, theirs) = (ctx.read(here, length)?, ctx.read(there, length)?);
    check(ctx, here, length)?;
    check(ctx, there, length)?;
    ctx.write(here, &theirs)?;
    ctx.write(there, &ours)
}

fn wff(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let name = ctx.args.words[0].as_str();
    let offset = ctx.number(2)?.unwrap_or(0);
    let asked = ctx.number(1)?;
    let (file, size) = local::open(ctx.view, name)?;
    let left = size.saturating_sub(offset);
    let length = asked.unwrap_or(left);
    if length > left {
        return Err(Error::new(
            Kind::Limit,
            format!("file '{name}' has no 0x{length:x} bytes at offset 0x{offset:x}: it ends at 0x{size:x}"),
        ));
    }
    let address = ctx.view.seek;
    stream(ctx, address, length, |_, done, buffer| {
        file.read_exact_at(buffer, offset + done)
            .map_err(|e| Error::system(format_args!("cannot read file '{name}'"), &e))
    })
}

fn wh(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let name = ctx.args.words[0].as_str();
    ctx.view.unrooted("wh")?;
    let candidates = if name.contains('/') {
        vec![PathBuf::from(name)]
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|directory| directory.join(name)).collect()
    };
    let program = candidates.into_iter().find(|candidate| local::is_program(ctx.view, candidate));
    match program {
        Some(program) => ctx.out.line(crate::output::visible(&program.to_string_lossy())),
        None => Err(Error::new(Kind::NotFound, format!("no program '{name}' in PATH"))),
    }
}
