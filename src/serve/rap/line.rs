//! The connection of a client whose request runs: what it says goes out as it comes, and what must not wait, CANCEL
//! and PING, is answered meanwhile.
//!
//! Whoever produces output never waits for the socket: it leaves when there is room, handed on by the next output or by
//! the server's watching thread. Only when much is waiting, and nobody shares the session, does the producer wait.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::link::Framed;
use crate::output::Cancel;
use crate::output::progress::{Display, Report};
use crate::protocol::rap2::{self, Answer, Head, Op, Request, Status};

/// Bytes of output in one frame.
const PIECE: usize = 32 * 1024;
/// Bytes that are worth a system call.
const SOON: usize = 64 * 1024;
/// How long output may lie here while more comes.
const MOMENT: Duration = Duration::from_millis(25);
/// Bytes that wait before their producer does.
const FULL: usize = 1 << 20;
/// Bytes that wait when the producer must not, because others want the session that it works in.
const BACKLOG: usize = 64 << 20;
/// Bytes of requests that are taken while one runs.
const INBOX: usize = 256 * 1024;
/// How often a long request tells how far it is.
const PROGRESS: Duration = Duration::from_millis(250);

/// The requests that have arrived and wait for their turn.
#[derive(Default)]
pub struct Waiting {
    /// Bytes of [`Framed::arrived`] that were looked through.
    scanned: usize,
    /// Their numbers.
    ids: VecDeque<u32>,
    /// Those that need not be done any more.
    cancelled: BTreeSet<u32>,
}

impl Waiting {
    /// Looks through what has arrived: answers CANCEL and PING and takes them out. `running` is the request that is
    /// being worked on. What is wrong with a frame is said when its turn comes.
    pub fn look(&mut self, framed: &mut Framed, running: Option<(u32, &Cancel)>) -> Result<()> {
        // A client that asks and does not listen is not heard for a while.
        while framed.queued() < FULL {
            let rest = framed.arrived().get(self.scanned..).unwrap_or_default();
            let Ok(Some(head)) = Head::request(rest, rap2::FRAME) else { break };
            let Some(body) = rest.get(rap2::HEAD..rap2::HEAD + head.length) else { break };
            let whole = self.scanned..self.scanned + rap2::HEAD + head.length;
            let said = match (head.tag, Request::parse(head.tag, body)) {
                (Op::Cancel, Ok(Request::Cancel { id })) => {
                    self.cancel(id, running);
                    Vec::new()
                }
                (Op::Ping, Ok(Request::Ping { data })) => data.to_vec(),
                (Op::Cancel | Op::Ping, _) => break,
                _ => {
                    self.ids.push_back(head.id);
                    self.scanned = whole.end;
                    continue;
                }
            };
            framed.remove(whole);
            Answer::Done { status: Status::Ok, result: &said }.encode(head.id, framed.queue())?;
        }
        Ok(())
    }

    fn cancel(&mut self, id: u32, running: Option<(u32, &Cancel)>) {
        if let Some((_, cancel)) = running.filter(|(running, _)| id == 0 || id == *running) {
            cancel.set();
        }
        self.cancelled.extend(self.ids.iter().filter(|waiting| id == 0 || id == **waiting));
    }

    /// Whether more requests have arrived than the one at the front.
    pub fn is_busy(&self) -> bool {
        self.ids.len() > 1
    }

    /// The first `count` bytes are a packet that was taken off the front.
    pub fn consumed(&mut self, count: usize) {
        if self.scanned >= count {
            self.ids.pop_front();
        }
        self.scanned = self.scanned.saturating_sub(count);
    }

    /// Whether the request `id`, whose turn has come, was cancelled before.
    pub fn is_cancelled(&mut self, id: u32) -> bool {
        self.cancelled.remove(&id)
    }
}

/// A connection that is shared by the thread that works for its client and the one that watches.
pub struct Line(Mutex<Option<Running>>);

/// A request at work.
pub struct Running {
    /// The connection.
    pub framed: Framed,
    /// What else has arrived.
    pub waiting: Waiting,
    /// Bytes of output so far.
    pub said: u64,
    /// The first error that a statement reported.
    pub failure: Option<String>,
    /// Whether the client has gone.
    pub gone: bool,
    id: u32,
    cancel: Cancel,
    /// Output that is not in a frame yet.
    data: Vec<u8>,
    moved: Instant,
    reported: Instant,
    patience: Duration,
    /// Whether others want the session.
    shared: bool,
}

impl Running {
    /// The request `id` on `framed`, ended by `cancel`. A client that takes nothing for `patience` is given up.
    pub fn new(framed: Framed, waiting: Waiting, id: u32, cancel: Cancel, patience: Duration, shared: bool) -> Running {
        let now = Instant::now();
        Running {
            framed,
            waiting,
            said: 0,
            failure: None,
            gone: false,
            id,
            cancel,
            data: Vec::new(),
            moved: now,
            reported: now,
            patience,
            shared,
        }
    }

    /// Puts the output so far into a frame.
    pub fn seal(&mut self) -> Result<()> {
        if self.data.is_empty() {
            return Ok(());
        }
        let data = std::mem::take(&mut self.data);
        let outcome = Answer::Data(&data).encode(self.id, self.framed.queue());
        self.data = data;
        self.data.clear();
        outcome
    }

    /// Sends what the line takes at once, and takes what has come.
    fn pump(&mut self) {
        self.moved = Instant::now();
        let sent = self.seal().and_then(|()| self.framed.push(Duration::ZERO));
        let heard = if self.framed.arrived().len() < INBOX { self.framed.poll() } else { Ok(false) };
        let looked = self.waiting.look(&mut self.framed, Some((self.id, &self.cancel)));
        if sent.is_err() || heard.is_err() || looked.is_err() {
            self.gone = true;
            self.cancel.set();
        }
    }

    /// Output was added: hands it on when it is worth it, and keeps it from growing without end.
    fn added(&mut self) -> io::Result<()> {
        if self.data.len() >= PIECE {
            self.seal().map_err(io::Error::other)?;
        }
        if self.framed.queued() >= SOON || self.moved.elapsed() >= MOMENT {
            self.pump();
        }
        if self.framed.queued() > FULL { self.relieve() } else { self.standing() }
    }

    fn standing(&self) -> io::Result<()> {
        if self.gone { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    /// Waits until the client has taken some of the output; where nobody may wait, sees that it is not too much.
    fn relieve(&mut self) -> io::Result<()> {
        if self.shared {
            return match self.framed.queued() {
                queued if queued > BACKLOG => {
                    let text = format!("{queued} bytes wait to be read by the client, in a session that others want");
                    Err(io::Error::other(Error::new(Kind::Limit, text)))
                }
                _ => self.standing(),
            };
        }
        let mut since = Instant::now();
        while self.framed.queued() > FULL / 2 {
            self.standing()?;
            if self.cancel.is_set() {
                return Err(io::Error::other(Error::new(Kind::Interrupted, "interrupted")));
            }
            match self.framed.push(Duration::from_millis(10)) {
                Ok(true) => since = Instant::now(),
                Ok(false) if since.elapsed() < self.patience => {}
                _ => self.gone = true,
            }
            self.pump();
        }
        Ok(())
    }
}

impl Line {
    /// The connection for as long as `running` runs.
    pub fn new(running: Running) -> Line {
        Line(Mutex::new(Some(running)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection back.
    ///
    /// # Errors
    /// When somebody has done that already.
    pub fn take(&self) -> Result<Running> {
        self.lock().take().ok_or_else(|| Error::new(Kind::Closed, "the connection was taken away from its client"))
    }

    /// What the watching thread does now and then. Returns whether the client has gone.
    pub fn look_after(&self) -> bool {
        // Whoever holds the lock is at it.
        let Ok(mut running) = self.0.try_lock() else { return false };
        let Some(running) = &mut *running else { return false };
        running.pump();
        running.gone
    }

    /// Tells how far a long request is, when it is time to.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] when it is to end, [`Kind::Closed`] when the client has gone.
    pub fn progress(&self, done: u64, total: u64) -> Result<()> {
        let mut running = self.lock();
        let Some(running) = &mut *running else { return Ok(()) };
        if running.moved.elapsed() >= MOMENT {
            if running.reported.elapsed() >= PROGRESS && running.framed.queued() < FULL {
                running.reported = Instant::now();
                running.seal()?;
                Answer::Progress { done, total }.encode(running.id, running.framed.queue())?;
            }
            running.pump();
        }
        running.cancel.check()?;
        running.standing().map_err(|_| Error::new(Kind::Closed, "the client has gone"))
    }
}

/// Tells the client how far the command is that it runs.
pub struct Told(pub Arc<Line>);

impl Display for Told {
    fn show(&mut self, report: &Report<'_>) {
        // Whether somebody is there to hear it shows in the output.
        let _ = self.0.progress(report.done, report.total);
    }
    fn clear(&mut self) {}
}

/// Where the output of a request goes.
pub struct Output<'a>(pub &'a Line);

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut running = self.0.lock();
        let Some(running) = &mut *running else { return Err(io::ErrorKind::BrokenPipe.into()) };
        running.standing()?;
        // A write of any length makes frames that the other side takes.
        for piece in bytes.chunks(PIECE) {
            running.data.extend_from_slice(piece);
            running.said += piece.len() as u64;
            running.added()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(running) = &mut *self.0.lock() {
            running.pump();
        }
        Ok(())
    }
}

/// Where the remarks of a request go, line by line.
pub struct Notes<'a> {
    line: &'a Line,
    text: Vec<u8>,
}

impl<'a> Notes<'a> {
    /// Remarks on `line`.
    pub fn new(line: &'a Line) -> Notes<'a> {
        Notes { line, text: Vec::new() }
    }

    fn send(&mut self) -> io::Result<()> {
        let mut running = self.line.lock();
        let Some(running) = &mut *running else { return Ok(()) };
        let note = std::mem::take(&mut self.text);
        if running.failure.is_none()
            && let Some(text) = String::from_utf8_lossy(&note).strip_prefix("Error: ")
        {
            running.failure = Some(text.to_string());
        }
        if running.framed.queued() > BACKLOG {
            return Ok(());
        }
        // What was printed before stands before it.
        running.seal().map_err(io::Error::other)?;
        Answer::Note(&note).encode(running.id, running.framed.queue()).map_err(io::Error::other)?;
        running.added()
    }
}

impl Write for Notes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            self.text.extend_from_slice(&text[..text.len().min(PIECE.saturating_sub(self.text.len()))]);
            if text.len() < line.len() {
                self.send()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Notes<'_> {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            // Who is gone does not read it.
            let _ = self.send();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::link::memory;

    fn frame(request: &Request<'_>, id: u32) -> Vec<u8> {
        let mut wire = Vec::new();
        request.encode(id, &mut wire).unwrap();
        wire
    }

    #[test]
    fn what_must_not_wait_is_answered_between_requests_that_do() {
        let (near, mut far) = memory::pair(Duration::ZERO);
        let mut framed = Framed::new(Box::new(near), None);
        let run = |id| frame(&Request::Run { text: b"s" }, id);
        let wire = [run(1), run(2), frame(&Request::Ping { data: b"?" }, 3), run(4)].concat();
        let cancels = [frame(&Request::Cancel { id: 4 }, 5), frame(&Request::Cancel { id: 9 }, 6)].concat();
        far.write_all(&[wire, cancels, vec![0x10, 0]].concat()).unwrap();
        framed.fill(None).unwrap();
        let mut waiting = Waiting::default();
        let cancel = Cancel::new();
        waiting.look(&mut framed, Some((9, &cancel))).unwrap();
        assert!(cancel.is_set() && waiting.is_busy());
        framed.push(Duration::ZERO).unwrap();
        let mut answers = [0; 12 + 11 + 11];
        far.read_exact(&mut answers).unwrap();
        assert_eq!((answers[11], answers[8], answers[20], answers[31]), (b'?', 3, 5, 6));
        assert_eq!(framed.arrived(), [run(1), run(2), run(4), vec![0x10, 0]].concat());
        for (id, cancelled) in [(1, false), (2, false), (4, true)] {
            framed.consume(run(id).len());
            waiting.consumed(run(id).len());
            assert_eq!(waiting.is_cancelled(id), cancelled);
        }
        assert_eq!(framed.arrived(), [0x10, 0]);
    }

    #[test]
    fn output_waits_for_its_reader_unless_others_wait_for_the_session() {
        for shared in [false, true] {
            let (near, mut far) = memory::pair(Duration::ZERO);
            let framed = Framed::new(Box::new(near), None);
            let patience = Duration::from_millis(50);
            let running = Running::new(framed, Waiting::default(), 1, Cancel::new(), patience, shared);
            let line = Line::new(running);
            let block = vec![b'x'; 1 << 20];
            let mut written = 0;
            while written < 2 * BACKLOG && Output(&line).write_all(&block).is_ok() {
                written += block.len();
            }
            // Nobody reads: who may wait gives up after a while, who may not goes on for long.
            assert_eq!(written >= BACKLOG, shared, "{written}");
            assert!(written < 2 * BACKLOG);
            drop(line);
            let mut head = [0; 10];
            far.read_exact(&mut head).unwrap();
            assert_eq!((head[0], head[9]), (0x90, 1));
        }
    }
}
