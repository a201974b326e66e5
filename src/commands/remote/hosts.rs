//! Hosts: the table, commands for them, output for them, sessions with them.

use std::io::{self, Write};

use serde::Serialize;

use super::{address, number};
use crate::commands::script::capture::Capture;
use crate::error::{Error, Kind, Result};
use crate::output::{Executor, Item, Mode, Out, Outcome, Style};
use crate::session::context::Args;
use crate::session::hosts::{self, Connected, Host, Line};
use crate::session::{Permissions, Session};

/// A host, as `=` lists it.
#[derive(Serialize)]
struct Row<'a> {
    id: usize,
    uri: &'a str,
    current: bool,
    state: &'static str,
    /// Milliseconds of a round trip.
    latency: Option<f64>,
    capabilities: Vec<String>,
    /// The operating system's descriptor of the connection.
    descriptor: Option<i32>,
    round_trips: u64,
    sent: u64,
    received: u64,
}

impl<'a> Row<'a> {
    fn of(id: usize, host: &'a Host, current: usize) -> Row<'a> {
        let traffic = host.peer.traffic();
        Row {
            id,
            uri: &host.uri,
            current: id == current,
            state: host.peer.state().name(),
            latency: host.latency().map(|latency| latency.as_micros() as f64 / 1000.0),
            capabilities: host.peer.capabilities(),
            descriptor: host.peer.descriptor(),
            round_trips: traffic.round_trips,
            sent: traffic.sent,
            received: traffic.received,
        }
    }
}

impl Item for Row<'_> {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "{} - {}", self.id, self.uri)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "=+ {}", self.uri)
    }
}

/// `=`: the list, or a command for a host.
pub fn hosts(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    if args.text.is_empty() || out.mode() != Mode::Text {
        return list(session, out);
    }
    let (number, line) = address(&args.text, |id| session.hosts.slot(id).is_ok())?;
    let host = session.hosts.select(number)?;
    if line.is_empty() {
        return Ok(());
    }
    let result = host.execute(line, out);
    let outcome = host.outcome();
    follow(session, outcome);
    result
}

/// What a line did elsewhere shows here: `$?`, and whether something failed.
pub fn follow(session: &mut Session, outcome: Option<Outcome>) {
    if let Some(Outcome { last, failed }) = outcome {
        session.view.last = last;
        session.view.failed |= failed;
    }
}

fn list(session: &Session, out: &mut Out<'_>) -> Result<()> {
    let current = session.hosts.current();
    session.hosts.iter().try_for_each(|(id, host)| out.item(&Row::of(id, host, current)))
}

/// How this client makes connections.
pub fn line(session: &Session, out: &Out<'_>) -> Result<Line> {
    Ok(Line { security: session.security()?, timeout: session.timeout(), cancel: out.cancel().clone() })
}

/// `=+`: connects, and says so as it was always said.
pub fn add(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    session.view.may_connect(hosts::scheme(&args.text).0)?;
    let Connected { host, greeting, is_rap, note } = hosts::connect(&args.text, &line(session, out)?)?;
    if let Some(note) = note {
        out.note(note);
    }
    let id = session.hosts.add(host)?;
    out.line(greeting)?;
    if is_rap {
        out.line("waiting... ok")?;
        return if session.hosts.iter().count() > 1 { list(session, out) } else { Ok(()) };
    }
    session.hosts.iter().filter(|(slot, _)| *slot == id).try_for_each(|(id, host)| out.item(&Row::of(id, host, id)))
}

/// `=-`: closes one connection, or all.
pub fn remove(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    match args.words.first() {
        Some(word) => {
            let slot = session.hosts.slot(number(word)?)?;
            session.hosts.remove(slot)?;
            if session.view.remote == Some(slot) {
                super::mode::end(session, out);
            }
        }
        None => {
            session.hosts.clear();
            if session.view.remote.is_some() {
                super::mode::end(session, out);
            }
        }
    }
    Ok(())
}

/// `==`: lines for a host, until `q`.
pub fn enter(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let wanted = args.words.first().map(|word| number(word)).transpose()?;
    session.hosts.select(wanted)?;
    let slot = session.hosts.current();
    let prompt = format!("fd:{slot}> ");
    loop {
        out.flush()?;
        let Some(line) = next_line(session, slot, &prompt)? else { return Ok(()) };
        match line.trim() {
            "q" | "quit" => return Ok(()),
            "" => continue,
            _ => {}
        }
        let host = session.hosts.get(slot)?;
        let outcome = host.execute(line.trim_end(), out);
        let ended = host.outcome();
        follow(session, ended);
        if let Err(error) = outcome {
            out.error(&error);
            // Ctrl-C ends the command, not the session.
            if error.kind() == Kind::Interrupted {
                out.cancel().clear();
            }
        }
    }
}

/// The next line for the host in `slot`, which is lent to whoever reads it, for completion.
fn next_line(session: &mut Session, slot: usize, prompt: &str) -> Result<Option<String>> {
    let Some(lines) = &mut session.lines else { return Ok(standard_input()) };
    let host = session.hosts.remove(slot)?;
    let (line, host) = host.lend(|peer| lines.read_line_for(prompt, peer));
    let host = host.ok_or_else(|| Error::new(Kind::Closed, "the connection was lost while a line was typed"))?;
    session.hosts.put_back(slot, host);
    Ok(line)
}

/// The next line of standard input, for runs that nobody types at.
fn standard_input() -> Option<String> {
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(count) if count > 0 => Some(line.trim_end_matches(['\n', '\r']).to_string()),
        _ => None,
    }
}

/// `=<`: the output of a command here goes to a host.
pub fn push(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let (wanted, line) = address(&args.text, |id| session.hosts.slot(id).is_ok())?;
    if line.is_empty() {
        return Err(
            Error::new(Kind::Usage, "the command whose output is to be sent is missing").hint("usage: =< [<fd>] <cmd>")
        );
    }
    session.hosts.select(wanted)?;
    let slot = session.hosts.current();
    // Refused before the command runs.
    session.hosts.get(slot)?.peer.push(b"", out.cancel())?;
    let mut captured = Capture::default();
    let style = Style { color: false, ..out.style() };
    session.execute(line, &mut out.redirect(&mut captured, style))?;
    let cancel = out.cancel().clone();
    session.hosts.get(slot)?.peer.push(&captured.bytes, &cancel)
}

/// `=!`: a command where the current device is. Others may use the core meanwhile.
pub fn system(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let mut core = session.core();
    let Some(fd) = core.io.current() else {
        return Err(Error::new(Kind::NotFound, "no file is open").hint("'o' opens one"));
    };
    let uri = core.io.descriptor(fd)?.uri.clone();
    // Who commands a stub commands its processes, and nobody asks who it is there.
    if uri.starts_with("gdb") {
        session.view.permissions.require(Permissions::DEBUG, "=!")?;
    }
    let mut device = core.io.lend(fd)?;
    drop(core);
    let mut ended = None;
    let outcome = match device.executor() {
        Some(executor) => {
            let outcome = executor.execute(&args.text, out);
            ended = executor.outcome();
            outcome
        }
        None => Err(Error::new(Kind::Unsupported, format!("'{uri}' does not run commands"))
            .hint("!cmd runs a program on this machine")),
    };
    session.core().io.give_back(fd, device);
    follow(session, ended);
    outcome
}
