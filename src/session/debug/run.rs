//! Making a process run, and telling how it stopped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::names::system_call;
use super::{Debugged, debugged, names, pending};
use crate::debug::{Fork, Reason, Resume, Settings, State, Stop, WatchAccess, signals};
use crate::error::{Error, Kind, Result};
use crate::output::printer::Printer;
use crate::output::{Cancel, Executor, Out};
use crate::session::{Core, Session, Value, View, config};

/// Stops so far.
static STOPS: AtomicU64 = AtomicU64::new(0);

/// How long an interrupted process may take to stop.
const STOPPING: Duration = Duration::from_secs(5);

/// Sets the target going as `plan` says and waits, without a lock, until it stops. Ctrl-C stops the target.
/// Afterwards the seek has followed the program counter. `None`: nothing went.
pub fn run(
    session: &mut Session,
    out: &mut Out<'_>,
    plan: impl FnOnce(&mut Debugged<'_>) -> Result<Vec<Resume>>,
) -> Result<Option<Stop>> {
    session.with(follow_options)?;
    let mut runs_on = false;
    let mut stop = go(session, out, |debugged| {
        let actions = plan(debugged)?;
        runs_on = pending::runs_on(&actions);
        Ok(actions)
    })?;
    while let Some(seen) = &stop
        && pending::at_loader(session, out, seen)?
    {
        if !runs_on {
            // It was stepped there, which is all that was wanted.
            stop = stop.map(|seen| Stop { reason: Reason::Step, ..seen });
            break;
        }
        stop = go(session, out, |_| Ok(vec![Resume::ALL]))?;
    }
    if let Some(stop) = &stop {
        settle(session, stop)?;
    }
    Ok(stop)
}

/// Lets the target deal with forks as the options say.
fn follow_options(core: &mut Core, view: &mut View) -> Result<()> {
    let is_on = |core: &Core, name| config::lookup(&view.overrides, &core.config, name) == Value::Bool(true);
    let (child, forks) = (is_on(core, "dbg.follow.child"), is_on(core, "dbg.forks"));
    let debugged = debugged(core, view)?;
    let known = debugged.target.settings();
    let asked = debugged.notes.until_fork;
    let fork = match (child, known.fork) {
        (true, _) => Fork::Child,
        // Keeping both is no matter of the option.
        (false, Fork::Child) => Fork::Parent,
        (false, other) => other,
    };
    let wanted = Settings { fork, stop_at_fork: forks || asked, stop_at_exec: asked, ..known.clone() };
    if wanted != known && debugged.target.abilities().runs {
        debugged.target.set_settings(&wanted)?;
    }
    Ok(())
}

fn go(
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
    loop {
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
        let (stop, said) = session.with(|core, view| {
            let target = debugged(core, view)?.target;
            Ok::<_, Error>((target.take_stop()?, target.take_output()))
        })?;
        if !said.is_empty() {
            let mut printer = Printer::default();
            printer.push(&said, out)?;
            printer.finish(out)?;
        }
        if stop.is_some() {
            return Ok(stop);
        }
        let running = session.with(|core, view| Ok::<_, Error>(debugged(core, view)?.target.is_running()))?;
        if !running {
            return Ok(None);
        }
    }
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
        debugged.notes.number = STOPS.fetch_add(1, Ordering::Relaxed) + 1;
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
pub fn report(session: &mut Session, out: &mut Out<'_>, stop: &Stop) -> Result<()> {
    let (mut lines, place, moves) = session.with(|core, view| {
        let lines = describe(&mut debugged(core, view)?, stop)?;
        let named = !matches!(stop.reason, Reason::Step | Reason::CallEntry { .. } | Reason::CallReturn { .. });
        let place = stop.pc.filter(|_| named).map(|pc| names::place(core, view, pc)).unwrap_or_default();
        let debugged = debugged(core, view)?;
        let threads = match debugged.target.current() {
            Some(thread) => debugged.target.threads(Some(thread.process)).map_or(1, |threads| threads.len()),
            None => 0,
        };
        Ok::<_, Error>((lines, place, threads))
    })?;
    if let Some(first) = lines.first_mut().filter(|_| !stop.reason.is_end()) {
        if !place.is_empty() {
            first.push_str(&format!(" ({})", crate::output::visible(&place)));
        }
        if moves > 1 && matches!(stop.reason, Reason::Breakpoint { .. } | Reason::Watch { .. }) {
            first.push_str(&format!(" in thread {}", stop.thread.thread));
        }
    }
    lines.iter().for_each(|line| out.note(line));
    // Somebody who sits there wants to see where that is.
    if session.view.interactive
        && let Some(pc) = stop.pc.filter(|_| !stop.reason.is_end())
    {
        session.execute(&format!("pd 1 @ 0x{pc:x}"), out)?;
    }
    Ok(())
}

/// What is told about a process that was just opened; `None`: there is none.
pub fn introduction(core: &mut Core, view: &mut View) -> Option<String> {
    let (line, pc) = {
        let mut debugged = debugged(core, view).ok()?;
        let thread = debugged.thread().ok()?;
        let known = debugged.target.processes().ok()?.into_iter().find(|process| process.id == thread.process)?;
        let program = crate::output::visible(known.program.as_deref().unwrap_or("a program")).into_owned();
        let line = match debugged.target.kind() {
            "core" => {
                let reason =
                    debugged.target.threads(Some(thread.process)).ok()?.into_iter().find_map(|one| match one.state {
                        State::Stopped(reason) if one.id == thread => reason,
                        _ => None,
                    });
                let stop = reason.map(|reason| Stop { thread, reason, pc: debugged.pc().ok(), core: None });
                let told = stop.and_then(|stop| describe(&mut debugged, &stop).ok()).unwrap_or_default();
                format!("what was left of {program}, process {}: {}", thread.process, told.join("; "))
            }
            _ if known.attached => format!("attached to {}, which runs {program}", thread.process),
            _ => format!("Process with PID {} started: {program}", thread.process),
        };
        (line, debugged.pc().ok()?)
    };
    let place = names::place(core, view, pc);
    Some(if place.is_empty() { line } else { format!("{line} ({})", crate::output::visible(&place)) })
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
