//! Running a line for a client: on a blocking thread, in its session, until the line or the client's patience ends.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::body::Bytes;
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

use super::Site;
use super::clients::Client;
use super::socket::Event;
use crate::commands;
use crate::error::{Error, Kind, Result};
use crate::output::{Cancel, Executor, Out, Style};
use crate::session::{Permissions, Session};

/// Bytes of output that one command may have waiting.
pub const OUTPUT: usize = 64 << 20;

/// How a line went.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether everything went well.
    pub ok: bool,
    /// What went wrong: a line for each statement that failed.
    pub errors: Vec<String>,
    /// What else was said, to people.
    pub notes: Vec<String>,
    /// The kind of the error that ended the line, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Where the client is now.
    pub seek: String,
    /// Its block size in bytes.
    pub block: u64,
    /// `$?`.
    pub last: u64,
    /// How long it took.
    pub microseconds: u64,
    /// What ended it, for a status.
    #[serde(skip)]
    cause: Option<Kind>,
}

impl Report {
    /// What went wrong, as one error; `None`: nothing did.
    pub fn into_error(self) -> Option<Error> {
        let kind = self.cause.unwrap_or(Kind::System);
        (!self.ok).then(|| Error::new(kind, self.errors.join("; ")))
    }
}

/// Where output goes while a command runs: it never waits, because the command may hold what others want.
pub trait Sink: Write + Send + 'static {}
impl<S: Write + Send + 'static> Sink for S {}

/// What is done for a client.
pub struct Job {
    /// As the log has it, and what says whether something may have changed.
    pub line: String,
    /// The most it may do, whatever the client may.
    pub ceiling: Permissions,
    /// In a session of its own, beside whatever the client runs, and gone afterwards.
    pub aside: bool,
    /// What to do; `None`: run the line.
    pub work: Option<Work>,
}

/// Something to do that is no line.
pub type Work = Box<dyn FnOnce(&mut Session, &mut Out<'_>) -> Result<()> + Send>;

impl Job {
    /// To run `line` in the client's own session.
    pub fn line(line: impl Into<String>) -> Job {
        Job { line: line.into(), ceiling: Permissions::ALL, aside: false, work: None }
    }

    /// The same in a session beside it.
    pub fn aside(self) -> Job {
        Job { aside: true, ..self }
    }
}

/// Does `job` for `client` and returns the output with the report. It ends when the future is dropped.
pub async fn collect(site: &Arc<Site>, client: &Arc<Client>, job: Job) -> Result<(Vec<u8>, Report)> {
    let (sink, report) = run(site, client, job, Cancel::new(), Kept(Vec::new())).await?;
    Ok((sink.0, report))
}

/// Does `job` and hands its output to `sink`.
pub async fn run<S: Sink>(
    site: &Arc<Site>,
    client: &Arc<Client>,
    job: Job,
    cancel: Cancel,
    mut sink: S,
) -> Result<(S, Report)> {
    let ticket = client.begin(&cancel)?;
    let own = if job.aside { None } else { Some(Arc::clone(&client.session).lock_owned().await) };
    let (site, client) = (Arc::clone(site), Arc::clone(client));
    let work = move || match own {
        Some(mut session) => execute(&site, &client, job, cancel, &mut session, &mut sink).map(|report| (sink, report)),
        None => {
            let mut session = client.beside(&site);
            execute(&site, &client, job, cancel, &mut session, &mut sink).map(|report| (sink, report))
        }
    };
    let outcome = tokio::task::spawn_blocking(work).await;
    drop(ticket);
    outcome.unwrap_or_else(|_| Err(Error::new(Kind::System, "the command ended with an internal error")))
}

/// The part that blocks.
fn execute(
    site: &Site,
    client: &Client,
    job: Job,
    cancel: Cancel,
    session: &mut Session,
    sink: &mut impl Sink,
) -> Result<Report> {
    let Job { line, ceiling, aside, work } = job;
    session.view.permissions = client.permissions(ceiling);
    session.cancel = cancel.clone();
    let seek = session.view.seek;
    let begun = Instant::now();
    let mut errors = Vec::new();
    let mut counted = Counted { sink, count: 0 };
    let outcome = {
        let mut out = Out::new(&mut counted, &mut errors, Style::default(), cancel);
        match work {
            Some(work) => work(session, &mut out),
            None => session.execute(&line, &mut out),
        }
    };
    let count = counted.count;
    // `q` leaves a prompt, which is not here.
    session.view.quit = None;
    let report = report(session, &errors, outcome.as_ref().err(), begun);
    let failure = report.errors.first().map(|text| Error::new(Kind::System, text.clone()));
    client.gate.ran(&line, count, outcome.as_ref().err().or(failure.as_ref()), begun)?;
    if session.view.seek != seek && !aside {
        // Nobody may be listening.
        let _ = site.events.send(Event::Seek { client: client.id, address: report.seek.clone() });
    }
    // Only who changes something, or lets a process run, is worth a look at the core.
    if changes(&line) {
        super::watch::look(site, Some(client.id));
    }
    Ok(report)
}

fn report(session: &Session, said: &[u8], failure: Option<&Error>, begun: Instant) -> Report {
    let said = String::from_utf8_lossy(said);
    let (mut errors, mut notes) = (Vec::new(), Vec::new());
    for line in said.lines() {
        match line.strip_prefix("Error: ") {
            Some(text) => errors.push(text.to_string()),
            None => notes.push(line.to_string()),
        }
    }
    errors.extend(failure.map(ToString::to_string));
    Report {
        ok: errors.is_empty() && !session.view.failed,
        errors,
        notes,
        kind: failure.map(|error| super::reply::kind_name(error.kind())),
        seek: format!("0x{:x}", session.view.seek),
        block: session.view.block_size,
        last: session.view.last,
        microseconds: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
        cause: failure.map(Error::kind),
    }
}

/// Whether `line` may change what others see: some command in it needs more than to read.
fn changes(line: &str) -> bool {
    let beyond = |permission| move |command: &commands::Command| command.needs.allow(permission);
    line.split([';', '\n']).filter_map(|text| commands::resolve(text.trim_start())).any(|(command, ..)| {
        beyond(Permissions::WRITE)(command)
            || beyond(Permissions::FILES)(command)
            || beyond(Permissions::DEBUG)(command)
            || command.name.starts_with(['f', 'C', 'o', 'y'])
    })
}

/// Output that is kept whole.
struct Kept(Vec<u8>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT {
            return Err(too_much());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_much() -> io::Error {
    io::Error::other(format!("more than {OUTPUT} bytes of output wait for the client"))
}

/// Output that is sent in pieces as it comes, with what waits bounded.
pub struct Sent {
    pieces: UnboundedSender<Bytes>,
    waiting: Arc<AtomicUsize>,
    piece: Vec<u8>,
}

/// Bytes that are worth being sent.
const PIECE: usize = 16 * 1024;

impl Sent {
    /// Sends to `pieces`; whoever takes them off subtracts their lengths from `waiting`.
    pub fn new(pieces: UnboundedSender<Bytes>, waiting: Arc<AtomicUsize>) -> Sent {
        Sent { pieces, waiting, piece: Vec::new() }
    }
}

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE || bytes.contains(&b'\n') {
            self.flush()?;
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        let piece = Bytes::from(std::mem::take(&mut self.piece));
        if self.waiting.fetch_add(piece.len(), Ordering::Relaxed) > OUTPUT {
            return Err(too_much());
        }
        self.pieces.send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if !self.piece.is_empty() {
            // Whoever has gone does not miss it.
            let _ = self.flush();
        }
    }
}

struct Counted<'a, S> {
    sink: &'a mut S,
    count: u64,
}

impl<S: Write> Write for Counted<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(bytes)?;
        self.count += count as u64;
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_is_known_from_the_declarations() {
        for line in ["wx 00", "px;w a", "o malloc://4", "f here"] {
            assert!(changes(line), "{line}");
        }
        for line in ["px", "s 4", "", "nonsense"] {
            assert!(!changes(line), "{line}");
        }
    }
}
