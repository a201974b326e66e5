//! `&`: command lines that run in the background, each on a session of its own over the same core.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Kind, Result};
use crate::output::{Cancel, Executor, Item, Mode, Out, Style, visible};
use crate::session::context::Args;
use crate::session::shell::{Progress, Task, TaskState};
use crate::session::{Session, View};

/// How many tasks may run at once.
const TASKS_LIMIT: usize = 64;

/// How much of a task's output is kept.
const OUTPUT_LIMIT: usize = 64 << 20;

#[derive(Serialize)]
struct Row<'a> {
    id: u32,
    state: &'static str,
    transient: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd: Option<&'a str>,
}

impl Item for Row<'_> {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let what = self.cmd.map_or("-- MAIN TASK --".into(), visible);
        writeln!(out, "{:>3}{:>17}  {what}", self.id, self.state)
    }
}

/// `&`: the list; `& cmd`: starts a task.
pub fn run(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    if !args.text.trim().is_empty() {
        return start(session, &args.text, false);
    }
    forget_done(session);
    out.item(&Row { id: 0, state: "running", transient: false, cmd: None })?;
    let mut running = 1;
    for task in &session.shell.tasks.list {
        let state = if task.running() { "running" } else { "done" };
        running += u32::from(task.running());
        out.item(&Row { id: task.id, state, transient: task.transient, cmd: Some(&task.command) })?;
    }
    if out.mode() == Mode::Text {
        out.line(format_args!("--\ntotal running: {running}"))?;
    }
    Ok(())
}

/// `&t cmd`: starts a task that disappears when it is done.
pub fn run_transient(session: &mut Session, args: &Args, _out: &mut Out<'_>) -> Result<()> {
    start(session, &args.text, true)
}

fn start(session: &mut Session, line: &str, transient: bool) -> Result<()> {
    forget_done(session);
    if session.shell.tasks.list.iter().filter(|task| task.running()).count() >= TASKS_LIMIT {
        return Err(Error::new(Kind::Limit, format!("{TASKS_LIMIT} tasks run already")).hint("&b id ends one"));
    }
    let view =
        View { depth: 0, quit: None, interactive: false, temporary: false, remote: None, ..session.view.clone() };
    let (core, cancel) = (session.shared(), Cancel::new());
    let frames: Vec<_> = session.shell.frames.last().cloned().into_iter().collect();
    let progress = Arc::new(Mutex::new(Progress { state: TaskState::Running, output: Vec::new() }));
    let work = {
        let (line, cancel, progress) = (line.to_string(), cancel.clone(), Arc::clone(&progress));
        move || {
            // Declared first, so that the task counts as done even if the command panics.
            let _end = End(Arc::clone(&progress));
            let mut session = Session::attach(core);
            session.view = view;
            session.shell.frames = frames;
            session.cancel = cancel.clone();
            let mut sink = Sink(Arc::clone(&progress));
            let mut errors = Sink(progress);
            let mut out = Out::new(&mut sink, &mut errors, Style::default(), cancel);
            if let Err(error) = session.execute(&line, &mut out) {
                out.error(&error);
            }
        }
    };
    let tasks = &mut session.shell.tasks;
    let id = tasks.started + 1;
    let thread = std::thread::Builder::new()
        .name(format!("task {id}"))
        .spawn(work)
        .map_err(|error| Error::system("cannot start a task", &error))?;
    tasks.started = id;
    tasks.list.push(Task { id, command: line.to_string(), transient, cancel, progress, thread: Some(thread) });
    Ok(())
}

struct Sink(Arc<Mutex<Progress>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let output = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).output;
        if output.len() + bytes.len() > OUTPUT_LIMIT {
            return Err(io::Error::other("a task keeps at most 64 MiB of output; redirect it to a file"));
        }
        output.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct End(Arc<Mutex<Progress>>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).state = TaskState::Done;
    }
}

fn forget_done(session: &mut Session) {
    session.shell.tasks.list.retain_mut(|task| {
        let keep = !task.transient || task.running();
        if !keep {
            task.join();
        }
        keep
    });
}

fn find<'s>(session: &'s mut Session, text: &str) -> Result<&'s mut Task> {
    let id = text.trim().parse::<u32>().ok();
    session.shell.tasks.list.iter_mut().find(|task| Some(task.id) == id).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("no task '{}'", visible(text.trim()))).hint("'&' lists the tasks")
    })
}

/// `&= id`: prints what a task has printed so far.
pub fn output(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let output = find(session, &args.text)?.progress().output.clone();
    out.write_all(&output)
}

/// `&b id`: breaks a task off.
pub fn end(session: &mut Session, args: &Args, _out: &mut Out<'_>) -> Result<()> {
    find(session, &args.text)?.cancel.set();
    Ok(())
}

/// `&- id`, `&-*`: breaks tasks off and forgets them.
pub fn delete(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    if args.text.trim() == "*" {
        session.shell.tasks.list.iter().for_each(|task| task.cancel.set());
        wait_for(session, None, out)?;
        session.shell.tasks.list.clear();
        return Ok(());
    }
    let task = find(session, &args.text)?;
    task.cancel.set();
    let id = task.id;
    wait_for(session, Some(id), out)?;
    session.shell.tasks.list.retain(|task| task.id != id);
    Ok(())
}

/// `&& [id]`: waits for a task, or for all of them.
pub fn wait(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let id = match args.text.trim() {
        "" => None,
        text => Some(find(session, text)?.id),
    };
    wait_for(session, id, out)
}

fn wait_for(session: &mut Session, id: Option<u32>, out: &mut Out<'_>) -> Result<()> {
    for task in session.shell.tasks.list.iter_mut().filter(|task| id.is_none_or(|id| id == task.id)) {
        while task.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            out.cancel().check()?;
            std::thread::sleep(Duration::from_millis(2));
        }
        task.join();
    }
    Ok(())
}
