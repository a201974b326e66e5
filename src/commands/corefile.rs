//! `iK`: what a core file keeps of a process.

use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;

use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::binary::core::{CoreFile, Thread};
use crate::binary::registers;
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "iK", summary: "what a core file keeps of a process", commands: COMMANDS };

const MODES: &[Mode] = &[Mode::Json];

const COMMANDS: &[Command] = &[
    Command {
        name: "iK",
        summary: "say which process the core file was, and why it died",
        details: "Core files are ELF cores and minidumps. Their memory is mapped at its addresses when they are opened.",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example { line: "iKj", shows: "[]" }],
        run: Run::Core(summary),
        ..Command::DEFAULT
    },
    Command {
        name: "iKt",
        summary: "list the threads in the core file: number, signal, where they stopped; the one that died comes first",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example { line: "iKtj", shows: "[]" }],
        run: Run::Core(threads),
        ..Command::DEFAULT
    },
    Command {
        name: "iKr",
        args: &[Arg::opt("tid", ArgKind::Number)],
        summary: "show the registers of a thread in the core file (of the one that died)",
        modes: &[Mode::Json, Mode::Commands],
        needs: Permissions::READ,
        examples: &[Example { line: "iKr*", shows: "" }],
        run: Run::Core(show_registers),
        ..Command::DEFAULT
    },
    Command {
        name: "iKf",
        summary: "list the files that the process of the core file had mapped",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example { line: "iKfj", shows: "[]" }],
        run: Run::Core(files),
        ..Command::DEFAULT
    },
    Command {
        name: "iKa",
        summary: "list the auxiliary vector of the process of the core file",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example { line: "iKaj", shows: "[]" }],
        run: Run::Core(auxiliary),
        ..Command::DEFAULT
    },
];

#[derive(Serialize)]
struct Summary {
    format: &'static str,
    arch: &'static str,
    bits: u32,
    pid: u32,
    program: String,
    args: String,
    threads: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<u64>,
}

impl Item for Summary {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(
            out,
            "format   {}\narch     {}\nbits     {}\npid      {}",
            self.format, self.arch, self.bits, self.pid
        )?;
        writeln!(
            out,
            "program  {}\nargs     {}\nthreads  {}",
            visible(&self.program),
            visible(&self.args),
            self.threads
        )?;
        if let (Some(signal), Some(code), Some(address)) = (self.signal, self.code, self.address) {
            writeln!(out, "signal   {signal}\ncode     {code}\naddress  0x{address:08x}")?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct ThreadRow {
    tid: u32,
    signal: u32,
    pc: u64,
    sp: u64,
}

impl Item for ThreadRow {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "{} signal {} pc 0x{:08x} sp 0x{:08x}", self.tid, self.signal, self.pc, self.sp)
    }
}

#[derive(Serialize)]
struct Register {
    name: &'static str,
    value: u64,
}

impl Item for Register {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "{} = 0x{:08x}", self.name, self.value)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "f {} 1 0x{:08x}", self.name, self.value)
    }
}

#[derive(Serialize)]
struct FileRow<'a> {
    from: u64,
    to: u64,
    offset: u64,
    path: &'a str,
}

impl Item for FileRow<'_> {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "0x{:08x} - 0x{:08x} +0x{:08x} {}", self.from, self.to, self.offset, visible(self.path))
    }
}

#[derive(Serialize)]
struct AuxiliaryRow {
    #[serde(rename = "type")]
    kind: u64,
    name: &'static str,
    value: u64,
}

impl Item for AuxiliaryRow {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "{:<3} {:<15} 0x{:x}", self.kind, self.name, self.value)
    }
}

/// The core file that is open. Its warnings are shown when the summary is.
fn core_file(ctx: &mut Ctx<'_, '_>) -> Result<Option<Arc<CoreFile>>> {
    let Some(fd) = ctx.view.descriptor.or(ctx.core.io.current()) else { return Ok(None) };
    ctx.core.core_file(fd)
}

fn summary(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let Some(core) = core_file(ctx)? else { return Ok(()) };
    for warning in &core.warnings {
        ctx.out.note(format_args!("Warning: {}", visible(warning)));
    }
    let signal = core.signal;
    ctx.out.value(&Summary {
        format: core.format,
        arch: core.arch,
        bits: core.bits,
        pid: core.pid,
        program: core.program.clone(),
        args: core.arguments.clone(),
        threads: core.threads.len(),
        signal: signal.map(|signal| signal.number),
        code: signal.map(|signal| signal.code),
        address: signal.map(|signal| signal.address),
    })
}

fn threads(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let Some(core) = core_file(ctx)? else { return Ok(()) };
    let (counter, stack) = registers::roles(core.arch, core.bits);
    core.threads.iter().try_for_each(|thread| {
        let value = |name| thread.named.iter().find(|(known, _)| *known == name).map_or(0, |(_, value)| *value);
        let (pc, sp) = (value(counter), value(stack));
        ctx.out.item(&ThreadRow { tid: thread.tid, signal: thread.signal, pc, sp })
    })
}

fn show_registers(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let wanted = ctx.number(0)?;
    let Some(core) = core_file(ctx)? else { return Ok(()) };
    let thread: Option<&Thread> = match wanted {
        Some(tid) => Some(core.threads.iter().find(|thread| u64::from(thread.tid) == tid).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("the core file has no thread {tid}")).hint("'iKt' lists them")
        })?),
        None => core.threads.first(),
    };
    let named = thread.into_iter().flat_map(|thread| &thread.named);
    named.into_iter().try_for_each(|(name, value)| ctx.out.item(&Register { name, value: *value }))
}

fn files(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let Some(core) = core_file(ctx)? else { return Ok(()) };
    core.files.iter().try_for_each(|file| {
        ctx.out.item(&FileRow { from: file.start, to: file.end, offset: file.offset, path: &file.path })
    })
}

fn auxiliary(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let Some(core) = core_file(ctx)? else { return Ok(()) };
    core.auxv.iter().try_for_each(|(kind, value)| {
        ctx.out.item(&AuxiliaryRow { kind: *kind, name: auxiliary_name(*kind), value: *value })
    })
}

/// The name of a type of the auxiliary vector (`AT_` before it; getauxval(3)).
fn auxiliary_name(kind: u64) -> &'static str {
    match kind {
        3 => "PHDR",
        4 => "PHENT",
        5 => "PHNUM",
        6 => "PAGESZ",
        7 => "BASE",
        8 => "FLAGS",
        9 => "ENTRY",
        11 => "UID",
        12 => "EUID",
        13 => "GID",
        14 => "EGID",
        15 => "PLATFORM",
        16 => "HWCAP",
        17 => "CLKTCK",
        23 => "SECURE",
        25 => "RANDOM",
        26 => "HWCAP2",
        31 => "EXECFN",
        33 => "SYSINFO_EHDR",
        51 => "MINSIGSTKSZ",
        _ => "",
    }
}
