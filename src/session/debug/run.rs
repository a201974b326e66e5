//! Making a process run, and telling how it stopped.

use std::time::{Duration, Instant};

use super::names::system_call;
use super::{Debugged, debugged};
use crate::debug::{Reason, Resume, Stop, WatchAccess, signals};
use crate::error::{Error, Kind, Result};
use crate::output::{Cancel, Executor, Out};
use crate::session::{Core, Session, Value, View, config};

/// How long an interrupted process may take to stop.
const STOPPING: Duration = Duration::from_secs(5);

/// Sets the target going as `plan` says and waits, without a lock, until it stops. Ctrl-C stops the target.
/// Afterwards the seek has followed the program counter. `None`: nothing went.
pub fn run(
    session: &mut Session,
    out: &mut Out<'_>,
    plan: impl FnOnce(&mut Debugged<'_>) -> Result<Vec<Resume>>,
) -> Result<Option<Stop>> {
    // What the process prints comes behind what was said before.
    out.flush()?;
    let begun = session.with(|core, view| {
        let mut debugged = debugged(core, view)?;
        match plan(&mut debugged).and_then(|actions| debugged.target.resume(&actions)) {
            Ok(()) => Ok(Ok(debugged.target.handle())),
            // It was ended by somebody else since: that is what there is to tell.
            Err(error) => match debugged.target.take_stop()?.filter(|stop| stop.reason.is_end()) {
                Some(stop) => Ok(Err(stop)),
                None => Err(error),
            },
        }
    })?;
    let handle = match begun {
        Ok(handle) => handle,
        Err(stop) => {
            settle(session, &stop)?;
            return Ok(Some(stop));
        }
    };
    let cancel = out.cancel().clone();
    let stop = loop {
        match handle.wait(None, &cancel) {
            Ok(_) => {}
            Err(error) if error.kind() == Kind::Interrupted => {
                handle.interrupt()?;
                // It was asked to stop the target, and has done that; the rest of the line is still wanted.
                cancel.clear();
                if !handle.wait(Some(Instant::now() + STOPPING), &Cancel::new())? {
                    return Err(Error::new(Kind::Timeout, "the process does not stop")
                        .hint("it may hang in the kernel; 'dk 9' kills it"));
                }
            }
            Err(error) => return Err(error),
        }
        let stop = session.with(|core, view| debugged(core, view)?.target.take_stop())?;
        if stop.is_some() {
            break stop;
        }
        let running = session.with(|core, view| Ok::<_, Error>(debugged(core, view)?.target.is_running()))?;
        if !running {
            break None;
        }
    };
    if let Some(stop) = &stop {
        settle(session, stop)?;
    }
    Ok(stop)
}

/// Runs as `plan` says, tells how it ended, and runs the commands of the breakpoints that were hit.
pub fn run_and_report(
    session: &mut Session,
    out: &mut Out<'_>,
    plan: impl FnOnce(&mut Debugged<'_>) -> Result<Vec<Resume>>,
) -> Result<()> {
    run_until(session, out, None, plan)
}

/// The same until `address` is reached, which is not told.
pub fn run_quietly_to(
    session: &mut Session,
    out: &mut Out<'_>,
    address: u64,
    plan: impl FnOnce(&mut Debugged<'_>) -> Result<Vec<Resume>>,
) -> Result<()> {
    run_until(session, out, Some(address), plan)
}

fn run_until(
    session: &mut Session,
    out: &mut Out<'_>,
    address: Option<u64>,
    plan: impl FnOnce(&mut Debugged<'_>) -> Result<Vec<Resume>>,
) -> Result<()> {
    let mut stop = run(session, out, plan)?;
    while let Some(seen) = stop {
        if matches!(&seen.reason, Reason::Breakpoint { address: at, .. } if Some(*at) == address) {
            return Ok(());
        }
        if !at_breakpoints(session, out, &seen)? {
            return report(session, out, &seen);
        }
        stop = run(session, out, |_| Ok(vec![Resume::ALL]))?;
    }
    Ok(())
}

/// Remembers the stop, and moves the seek to the program counter when that is too far away (`dbg.follow`).
fn settle(session: &mut Session, stop: &Stop) -> Result<()> {
    session.with(|core, view| {
        let follow = match config::lookup(&view.overrides, &core.config, "dbg.follow") {
            Value::Number(bytes) => bytes,
            _ => 0,
        };
        tell(core, view, stop)?;
        let mut debugged = debugged(core, view)?;
        debugged.notes.stop = Some(stop.clone());
        if debugged.target.current().is_none() {
            return Ok(());
        }
        debugged.remember_registers()?;
        let pc = debugged.pc()?;
        if follow > 0 && pc.wrapping_sub(view.seek) > follow {
            view.seek = pc;
        }
        Ok(())
    })
}

/// Keeps a stop for those who share the session and did not wait for it.
pub fn tell(core: &mut Core, view: &View, stop: &Stop) -> Result<()> {
    let mut lines = describe(&mut debugged(core, view)?, stop)?;
    if lines.is_empty() {
        lines.push(format!("({}) stopped{}", stop.thread, place(stop)));
    }
    core.debugger.tell(lines.join("; "));
    Ok(())
}

fn place(stop: &Stop) -> String {
    stop.pc.map(|pc| format!(" at 0x{pc:08x}")).unwrap_or_default()
}

/// Runs the commands of the breakpoints at which it stopped. `true`: all of them want to go on.
fn at_breakpoints(session: &mut Session, out: &mut Out<'_>, stop: &Stop) -> Result<bool> {
    let ids = match &stop.reason {
        Reason::Breakpoint { ids, .. } => ids.clone(),
        Reason::Watch { id, .. } => vec![*id],
        _ => return Ok(false),
    };
    let marks: Vec<_> = session.with(|core, view| {
        let debugged = debugged(core, view)?;
        Ok::<_, Error>(ids.iter().filter_map(|id| debugged.notes.marks.get(id).cloned()).collect())
    })?;
    let goes_on = marks.len() == ids.len() && marks.iter().all(|mark| mark.goes_on);
    for mark in marks.iter().filter(|mark| !mark.command.is_empty()) {
        session.execute(&mark.command, out)?;
    }
    Ok(goes_on && session.view.quit.is_none())
}

/// Tells how it stopped, for people.
fn report(session: &mut Session, out: &mut Out<'_>, stop: &Stop) -> Result<()> {
    let lines = session.with(|core, view| describe(&mut debugged(core, view)?, stop))?;
    lines.iter().for_each(|line| out.note(line));
    Ok(())
}

/// The lines that tell a stop.
pub fn describe(debugged: &mut Debugged<'_>, stop: &Stop) -> Result<Vec<String>> {
    let process = stop.thread.process;
    let at = place(stop);
    Ok(match &stop.reason {
        Reason::Breakpoint { address, .. } => vec![format!("hit breakpoint at: 0x{address:x}")],
        Reason::Watch { address, access, .. } => {
            let access = match access {
                WatchAccess::Read => "read",
                WatchAccess::Write => "write",
                WatchAccess::Access => "access",
            };
            vec![format!("hit watchpoint ({access}) of 0x{address:x}{at}")]
        }
        Reason::Step => Vec::new(),
        Reason::Trap => vec![format!("({}) trap of the program's own{at}", stop.thread)],
        Reason::Signal { number, code, sender, address } => {
            let name = signals::name(*number).unwrap_or_default();
            let mut line = format!("({}) signal {number} {name}{at}, code={code}", stop.thread);
            if let Some(address) = address {
                line.push_str(&format!(", address=0x{address:08x}"));
            }
            if let Some(sender) = sender {
                line.push_str(&format!(", from {sender}"));
            }
            vec![line]
        }
        Reason::CallEntry { number, arguments } => {
            let layout = debugged.layout()?;
            let name = system_call(&layout, *number).unwrap_or("?");
            let arguments: Vec<String> = arguments.iter().map(|argument| format!("0x{argument:x}")).collect();
            let pc = stop.pc.unwrap_or_default();
            vec![format!("--> SN 0x{pc:08x} syscall {number} {name} ({})", arguments.join(" "))]
        }
        Reason::CallReturn { number, value } => {
            let layout = debugged.layout()?;
            let name = system_call(&layout, *number).unwrap_or("?");
            vec![format!("<-- SN 0x{:08x} syscall {number} {name} = {value}", stop.pc.unwrap_or_default())]
        }
        Reason::Fork { child } => vec![format!("({process}) forked {child}")],
        Reason::Vfork { child } => vec![format!("({process}) made {child} by vfork")],
        Reason::VforkDone => vec![format!("({process}) has its memory back from the child of its vfork")],
        Reason::Exec { path, .. } => vec![format!("({process}) executes {}", crate::output::visible(path))],
        Reason::ThreadCreated => vec![format!("({}) thread started", stop.thread)],
        Reason::ThreadExited { code } => vec![format!("({}) thread ended with {code}", stop.thread)],
        Reason::GroupStop { signal } => {
            vec![format!("({process}) stopped by {}{at}", signals::name(*signal).unwrap_or_default())]
        }
        Reason::Exited { code } => vec![
            format!("({process}) Process exited with status=0x{:x}", (code & 0xff) << 8),
            format!("({process}) Process terminated with status {code}"),
            "==> Process finished".to_string(),
        ],
        Reason::Killed { signal, core_dumped } => {
            let name = signals::name(*signal).unwrap_or_default();
            let dumped = if *core_dumped { " (core dumped)" } else { "" };
            vec![
                format!("({process}) Process terminated by signal {signal} {name}{dumped}"),
                "==> Process finished".to_string(),
            ]
        }
        Reason::Interrupted => vec![format!("({}) interrupted{at}", stop.thread)],
        Reason::Attached => vec![format!("({}) attached{at}", stop.thread)],
        Reason::HistoryEnd { beginning } => {
            vec![format!("the {} of the recording is reached{at}", if *beginning { "beginning" } else { "end" })]
        }
        Reason::NothingResumed => vec![format!("({process}) no thread is left that could run")],
        Reason::Lost { message } => vec![format!("the target is lost: {}", crate::output::visible(message))],
    })
}
