//! `dp`, `di`: processes and threads.

use std::io::{self, Write};

use serde::Serialize;

use super::{bad, target};
use crate::commands::{Arg, ArgKind, Command, Family, Run};
use crate::debug::{Deliver, State, Stop, ThreadId, signals};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::debug::Debugged;
use crate::session::debug::run::describe;
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "dp", summary: "processes and threads under control", commands: COMMANDS };

const DEBUG: Permissions = Permissions::DEBUG;

/// What is about no family in particular.
pub(super) const GENERAL: &[Command] = &[Command {
    name: "di",
    summary: "show how the process stopped, and what it is",
    modes: &[Mode::Json, Mode::Quiet],
    needs: DEBUG,
    run: Run::Core(information),
    ..Command::DEFAULT
}];

const COMMANDS: &[Command] = &[
    Command {
        name: "dp",
        summary: "list the processes under control",
        modes: &[Mode::Json, Mode::Quiet],
        needs: DEBUG,
        run: Run::Core(processes),
        ..Command::DEFAULT
    },
    Command {
        name: "dp=",
        args: &[Arg::new("pid", ArgKind::Number)],
        summary: "select a process",
        needs: DEBUG,
        run: Run::Core(select_process),
        ..Command::DEFAULT
    },
    Command {
        name: "dpa",
        args: &[Arg::new("pid", ArgKind::Number)],
        summary: "attach to a process",
        needs: DEBUG,
        run: Run::Core(attach),
        ..Command::DEFAULT
    },
    Command {
        name: "dp-",
        args: &[Arg::opt("pid", ArgKind::Number), Arg::opt("signal", ArgKind::Word)],
        summary: "let a process go (default: the selected one), perhaps with a signal",
        needs: DEBUG,
        run: Run::Core(detach),
        ..Command::DEFAULT
    },
    Command {
        name: "dpe",
        summary: "show the path of the program that the process runs",
        needs: DEBUG,
        run: Run::Core(|ctx| {
            let debugged = target(ctx)?;
            let process = debugged.thread()?.process;
            let program = debugged.target.program(process)?;
            ctx.out.line(visible(&program))
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "dpk",
        args: &[Arg::opt("pid", ArgKind::Number)],
        summary: "kill a process (default: the selected one)",
        needs: DEBUG,
        run: Run::Core(|ctx| {
            let process = process(ctx)?;
            kill(ctx, process)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "dpt",
        summary: "list the threads of the process",
        modes: &[Mode::Json, Mode::Quiet],
        needs: DEBUG,
        run: Run::Core(threads),
        ..Command::DEFAULT
    },
    Command {
        name: "dpt=",
        args: &[Arg::new("tid", ArgKind::Number)],
        summary: "select a thread",
        needs: DEBUG,
        run: Run::Core(select_thread),
        ..Command::DEFAULT
    },
];

#[derive(Serialize)]
struct ProcessRow {
    current: bool,
    ppid: Option<u32>,
    pid: u32,
    uid: Option<u32>,
    status: &'static str,
    path: String,
}

impl Item for ProcessRow {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let mark = if self.current { '*' } else { '-' };
        let number = |number: Option<u32>| number.map_or("?".to_string(), |number| number.to_string());
        let (ppid, uid) = (number(self.ppid), number(self.uid));
        writeln!(out, " {mark} {} ppid:{ppid} uid:{uid} {} {}", self.pid, self.status, visible(&self.path))
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.pid)
    }
}

fn status(running: bool) -> &'static str {
    if running { "r" } else { "s" }
}

/// The user and the group of a process, as `/proc/PID/status` of the target's machine says.
fn owners(ctx: &mut Ctx<'_, '_>, process: u32) -> (Option<u32>, Option<u32>) {
    let mut text = vec![0; 4096];
    let path = format!("/proc/{process}/status");
    let read = target(ctx).and_then(|debugged| debugged.target.read_file(process, &path, 0, &mut text));
    let text = String::from_utf8_lossy(&text[..read.unwrap_or(0)]);
    let field = |name| text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    (field("Uid:"), field("Gid:"))
}

fn processes(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let debugged = target(ctx)?;
    let current = debugged.target.current();
    let processes = debugged.target.processes()?;
    if let (Some(current), Mode::Text) = (current, ctx.out.mode()) {
        ctx.out.line(format_args!("Selected: {} {}", current.process, current.thread))?;
    }
    for process in processes {
        let (uid, _) = owners(ctx, process.id);
        let threads = target(ctx)?.target.threads(Some(process.id))?;
        let running = threads.iter().any(|thread| thread.state == State::Running);
        ctx.out.item(&ProcessRow {
            current: current.is_some_and(|current| current.process == process.id),
            ppid: process.parent,
            pid: process.id,
            uid,
            status: status(running),
            path: process.program.unwrap_or_default(),
        })?;
    }
    Ok(())
}

/// The process that the first argument names, or the selected one.
fn process(ctx: &mut Ctx<'_, '_>) -> Result<u32> {
    match ctx.number(0)? {
        Some(number) => u32::try_from(number).map_err(|_| bad(format!("{number} is no number of a process"))),
        None => Ok(target(ctx)?.thread()?.process),
    }
}

/// Kills a process, and tells that it is gone.
pub(super) fn kill(ctx: &mut Ctx<'_, '_>, process: u32) -> Result<()> {
    let mut debugged = target(ctx)?;
    debugged.target.kill(process)?;
    while let Some(stop) = debugged.target.take_stop()? {
        let lines = describe(&mut debugged, &stop)?;
        debugged.notes.stop = Some(stop);
        lines.iter().for_each(|line| ctx.out.note(line));
        debugged = target(ctx)?;
    }
    Ok(())
}

fn select_process(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let process = process(ctx)?;
    let debugged = target(ctx)?;
    let threads = debugged.target.threads(Some(process))?;
    let first = threads.first().ok_or_else(|| Error::new(Kind::NotFound, format!("{process} has no threads")))?;
    debugged.target.select(first.id)?;
    at_pc(ctx)
}

/// Moves the seek to the program counter of the thread that is selected now.
fn at_pc(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let pc = target(ctx)?.pc()?;
    ctx.view.seek = pc;
    Ok(())
}

fn attach(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let process = process(ctx)?;
    let debugged = target(ctx)?;
    let thread = debugged.target.attach(process)?;
    debugged.target.select(thread)?;
    at_pc(ctx)
}

fn detach(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let process = process(ctx)?;
    let deliver = match ctx.word(1) {
        Some(word) => super::signals::deliver(Some(word))?,
        None => Deliver::AsHandled,
    };
    target(ctx)?.target.detach(process, deliver)
}

#[derive(Serialize)]
struct ThreadRow {
    current: bool,
    pid: u64,
    status: &'static str,
    path: String,
    pc: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    place: String,
}

impl Item for ThreadRow {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let mark = if self.current { '*' } else { '-' };
        let pc = self.pc.map(|pc| format!(" (0x{pc:x})")).unwrap_or_default();
        let place = if self.place.is_empty() { String::new() } else { format!(" {}", visible(&self.place)) };
        writeln!(out, " {mark} {} {} {}{pc}{place}", self.pid, self.status, visible(&self.path))
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.pid)
    }
}

fn threads(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let mut debugged = target(ctx)?;
    let current = debugged.thread()?;
    let layout = debugged.layout()?;
    let program = debugged.target.program(current.process).unwrap_or_default();
    let pc = layout.role(crate::debug::Role::Pc);
    let mut rows = Vec::new();
    for thread in debugged.target.threads(Some(current.process))? {
        let running = thread.state == State::Running;
        let pc = match pc {
            Some(pc) if !running => {
                let set = debugged.target.read_set(thread.id, pc.set)?;
                pc.value(&set, layout.big_endian)
            }
            _ => None,
        };
        rows.push(ThreadRow {
            current: thread.id == current,
            pid: thread.id.thread,
            status: status(running),
            path: thread.name.unwrap_or_else(|| program.clone()),
            pc,
            place: String::new(),
        });
    }
    for row in &mut rows {
        row.place = row.pc.map(|pc| super::place(ctx, pc)).unwrap_or_default();
    }
    rows.iter().try_for_each(|row| ctx.out.item(row))
}

fn select_thread(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let thread = ctx.required(0)?;
    let debugged = target(ctx)?;
    let process = debugged.thread()?.process;
    debugged.target.select(ThreadId { process, thread })?;
    at_pc(ctx)
}

/// What `di` tells.
#[derive(Serialize, Default)]
struct Information {
    #[serde(rename = "type")]
    kind: String,
    signal: String,
    signum: i32,
    sigpid: Option<u32>,
    addr: Option<u64>,
    stopaddr: Option<u64>,
    pid: Option<u32>,
    tid: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    exe: String,
    cmdline: String,
    cwd: String,
    stopreason: String,
}

impl Item for Information {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let number = |number: Option<u64>| number.map_or("-".to_string(), |number| number.to_string());
        let address = |address: Option<u64>| address.map_or("-".to_string(), |address| format!("0x{address:08x}"));
        writeln!(out, "type {}", self.kind)?;
        writeln!(out, "signal {} {}", self.signum, self.signal)?;
        writeln!(out, "addr {}", address(self.addr))?;
        writeln!(out, "stopaddr {}", address(self.stopaddr))?;
        writeln!(out, "pid {}", number(self.pid.map(u64::from)))?;
        writeln!(out, "tid {}", number(self.tid))?;
        writeln!(out, "uid {}", number(self.uid.map(u64::from)))?;
        writeln!(out, "gid {}", number(self.gid.map(u64::from)))?;
        writeln!(out, "exe {}", visible(&self.exe))?;
        writeln!(out, "cmdline {}", visible(&self.cmdline))?;
        writeln!(out, "stopreason {}", visible(&self.stopreason))
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        let place = self.stopaddr.or(self.addr).unwrap_or(0);
        writeln!(out, "{} at 0x{place:08x}", self.kind)
    }
}

/// Why the thread that is meant is where it is, when nothing ran since it was opened: what a core file says.
fn first_stop(debugged: &mut Debugged<'_>) -> Result<Option<Stop>> {
    let Some(thread) = debugged.target.current() else { return Ok(None) };
    let threads = debugged.target.threads(Some(thread.process))?;
    let reason = threads.into_iter().find(|known| known.id == thread).and_then(|known| match known.state {
        State::Stopped(reason) => reason,
        State::Running => None,
    });
    let pc = debugged.pc().ok();
    Ok(reason.map(|reason| Stop { thread, reason, pc, core: None }))
}

fn information(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    use crate::debug::Reason;
    let mut debugged = target(ctx)?;
    let mut told = Information { kind: "none".to_string(), ..Information::default() };
    let stop = match debugged.notes.stop.clone() {
        Some(stop) => Some(stop),
        None => first_stop(&mut debugged)?,
    };
    if let Some(stop) = stop {
        told.kind = match &stop.reason {
            Reason::Breakpoint { .. } => "breakpoint",
            Reason::Watch { .. } => "watchpoint",
            Reason::Step => "step",
            Reason::Trap => "trap",
            Reason::Signal { .. } | Reason::GroupStop { .. } => "signal",
            Reason::CallEntry { .. } | Reason::CallReturn { .. } => "syscall",
            Reason::Fork { .. } | Reason::Vfork { .. } | Reason::VforkDone => "fork",
            Reason::Exec { .. } => "exec",
            Reason::ThreadCreated => "new-tid",
            Reason::ThreadExited { .. } => "exit-tid",
            Reason::Exited { .. } | Reason::Killed { .. } => "exit-pid",
            Reason::Lost { .. } => "dead",
            Reason::Interrupted => "interrupted",
            Reason::Attached => "attached",
            Reason::HistoryEnd { .. } => "history-end",
            Reason::NothingResumed => "none",
        }
        .to_string();
        told.stopaddr = stop.pc;
        match &stop.reason {
            Reason::Signal { number, sender, address, .. } => {
                told.signum = *number;
                told.signal = signals::name(*number).unwrap_or_default();
                told.sigpid = *sender;
                told.addr = *address;
            }
            Reason::Breakpoint { address, .. } | Reason::Watch { address, .. } => told.addr = Some(*address),
            _ => {}
        }
        told.stopreason = describe(&mut debugged, &stop)?.join("; ");
    }
    if let Some(thread) = debugged.target.current() {
        (told.pid, told.tid) = (Some(thread.process), Some(thread.thread));
        told.exe = debugged.target.program(thread.process).unwrap_or_default();
        let mut text = vec![0; 4096];
        let path = format!("/proc/{}/cmdline", thread.process);
        if let Ok(count) = debugged.target.read_file(thread.process, &path, 0, &mut text) {
            let words = text[..count].split(|byte| *byte == 0).filter(|word| !word.is_empty());
            told.cmdline = words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
        }
        (told.uid, told.gid) = owners(ctx, thread.process);
    }
    ctx.out.value(&told)
}
