//! `dd`: the open files of a process, by the system calls that it would make itself.

use std::io::{self, Write};

use serde::Serialize;

use super::{bad, target};
use crate::commands::{Arg, ArgKind, Command, Family, Run};
use crate::debug::{Descriptor, Protection};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::debug::names::system_call_number;
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "dd", summary: "open files of a process", commands: COMMANDS };

const DEBUG: Permissions = Permissions::DEBUG;
const FD: Arg = Arg::new("fd", ArgKind::Number);

const COMMANDS: &[Command] = &[
    Command {
        name: "dd",
        args: &[Arg::opt("file", ArgKind::Text)],
        summary: "list the files that the process has open, or let it open one",
        details: "The list shows number, position, permissions and path. A file is opened for reading and writing, or \
                  for reading where that is all that is allowed.",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: DEBUG,
        run: Run::Core(list_or_open),
        ..Command::DEFAULT
    },
    Command {
        name: "dd-",
        args: &[FD],
        summary: "let the process close a file",
        needs: DEBUG,
        run: Run::Core(|ctx| {
            let fd = ctx.required(0)?;
            call(ctx, "close", [fd, 0, 0]).map(drop)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "dds",
        args: &[FD, Arg::new("offset", ArgKind::Number)],
        summary: "move the place where the process reads or writes a file next",
        needs: DEBUG,
        run: Run::Core(|ctx| {
            let (fd, offset) = (ctx.required(0)?, ctx.required(1)?);
            let position = call(ctx, "lseek", [fd, offset, 0])?;
            ctx.out.line(format_args!("0x{position:x}"))
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "ddd",
        args: &[FD, Arg::new("as", ArgKind::Number)],
        summary: "give a file a second number, in place of what has that number",
        needs: DEBUG,
        run: Run::Core(|ctx| {
            let (fd, other) = (ctx.required(0)?, ctx.required(1)?);
            call(ctx, "dup2", [fd, other, 0]).map(drop)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "ddr",
        args: &[FD, Arg::new("addr", ArgKind::Number), Arg::new("size", ArgKind::Number)],
        summary: "let the process read from a file to memory; shows how many bytes came",
        needs: DEBUG,
        run: Run::Core(|ctx| transfer(ctx, "read")),
        ..Command::DEFAULT
    },
    Command {
        name: "ddw",
        args: &[FD, Arg::new("addr", ArgKind::Number), Arg::new("size", ArgKind::Number)],
        summary: "let the process write memory to a file; shows how many bytes went",
        needs: DEBUG,
        run: Run::Core(|ctx| transfer(ctx, "write")),
        ..Command::DEFAULT
    },
];

/// An open file as it is listed.
#[derive(Serialize)]
struct Row {
    fd: u32,
    offset: u64,
    perm: &'static str,
    path: String,
}

impl Item for Row {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "{:>3} 0x{:x} {} {}", self.fd, self.offset, self.perm, visible(&self.path))
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.fd)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "f fd.{} 1 0x{:x}", self.fd, self.offset)
    }
}

/// `O_ACCMODE` of open(2).
fn permissions(flags: u32) -> &'static str {
    match flags & 3 {
        0 => "r--",
        1 => "-w-",
        _ => "rw-",
    }
}

fn list_or_open(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let path = ctx.args.text.trim().to_string();
    if !path.is_empty() {
        return open(ctx, &path);
    }
    let debugged = target(ctx)?;
    let process = debugged.thread()?.process;
    for Descriptor { number, flags, position, path } in debugged.target.descriptors(process)? {
        ctx.out.item(&Row { fd: number, offset: position, perm: permissions(flags), path })?;
    }
    Ok(())
}

/// Has the process make the system call `name`. A negative answer is an error of the system.
fn call(ctx: &mut Ctx<'_, '_>, name: &str, [a, b, c]: [u64; 3]) -> Result<u64> {
    let mut debugged = target(ctx)?;
    let thread = debugged.thread()?;
    let layout = debugged.layout()?;
    let number = system_call_number(&layout, name).ok_or_else(|| crate::debug::cannot("make system calls"))?;
    let result = debugged.target.system_call(thread, number, [a, b, c, 0, 0, 0])?;
    u64::try_from(result).map_err(|_| {
        let code = i32::try_from(-result).unwrap_or(0);
        Error::system(format_args!("the process cannot {name}"), &io::Error::from_raw_os_error(code))
    })
}

fn open(ctx: &mut Ctx<'_, '_>, path: &str) -> Result<()> {
    const PAGE: u64 = 4096;
    const READ_WRITE: u64 = 2;
    if path.len() as u64 >= PAGE || path.contains('\0') {
        return Err(bad("the path is too long"));
    }
    let debugged = target(ctx)?;
    let process = debugged.thread()?.process;
    let room = debugged.target.allocate(process, PAGE, Protection { read: true, write: true, execute: false })?;
    let mut text = path.as_bytes().to_vec();
    text.push(0);
    let outcome = debugged.target.write_memory(process, room, &text);
    let opened = outcome.and_then(|_| {
        call(ctx, "open", [room, READ_WRITE, 0]).or_else(|error| match error.kind() {
            Kind::NotFound => Err(error),
            _ => call(ctx, "open", [room, 0, 0]),
        })
    });
    target(ctx)?.target.release(process, room, PAGE)?;
    let fd = opened.map_err(|error| error.context(format_args!("'{}'", visible(path))))?;
    ctx.view.last = fd;
    ctx.out.line(fd)
}

fn transfer(ctx: &mut Ctx<'_, '_>, name: &str) -> Result<()> {
    let (fd, address, size) = (ctx.required(0)?, ctx.required(1)?, ctx.required(2)?);
    let count = call(ctx, name, [fd, address, size])?;
    ctx.view.last = count;
    ctx.out.line(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_those_of_open() {
        assert_eq!([0o100000, 0o100001, 0o2, 0o3].map(permissions), ["r--", "-w-", "rw-", "rw-"]);
    }
}
