//! The rap service: each client has a session of its own.
//!
//! Old clients (the ancestors) and ours (those that sent the probe) differ in four things: how long a packet and
//! a reply may be, whether a slow command needs signs of life, whether a failed OPEN is answered (-1) or, as the
//! old ones expect it, ends the connection, and where READ and WRITE take place: for old clients at the session's
//! seek, for ours at a position that leaves the seek of the commands alone. Ours also speak in frames.

mod frames;
mod line;
mod process;

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use line::Waiting;
use process::Held;

use super::{Seat, ServeOptions, Server, Service};
use crate::debug::remote;
use crate::error::{Error, Kind, Result};
use crate::io::Access;
use crate::link::{Framed, Link};
use crate::output::{Executor, Out, Style};
use crate::protocol::rap::{Capabilities, LEGACY_PACKET, LEGACY_REPLY, Limits, PROBE, Reply, Request, Verb, Whence};
use crate::protocol::rap2::{self, Answer, Head};
use crate::session::reach::opening;
use crate::session::scope::{self, Scope};
use crate::session::{Permissions, Session};
use crate::uri::{Authority, Uri};

/// The service.
pub const SERVICE: Service = Service {
    name: "rap",
    shares: false,
    presents_tokens: true,
    exposes: "can read and change files here and run commands",
    serve,
};

/// Bytes of replies that are collected before they are sent: enough for one system call to be worth it, and few
/// enough to stay in the processor's cache.
const BATCH: usize = 128 * 1024;

/// Bytes of a packet over the limit that are skipped to save the connection.
const SKIP: u32 = 16 << 20;

/// How long a client that was turned away may take to read why.
const LINGER: Duration = Duration::from_millis(500);

/// How often a client that waits in a shared session is told what happened there.
const LOOK: Duration = Duration::from_millis(100);

/// Files that one client may have open.
const FILES: usize = 256;

/// A comment as a reverse command: clients answer it, and wait on.
const SIGN_OF_LIFE: &[u8] = &[7, 0, 0, 0, 2, b'#', 0];

/// Listens for rap clients at `authority` (`:1234` is this machine alone).
///
/// # Errors
/// When the address cannot be had.
pub fn listen(authority: &Authority, options: ServeOptions) -> Result<Server> {
    Server::listen(&SERVICE, authority, options)
}

fn serve(link: Box<dyn Link>, seat: &Seat, options: &ServeOptions) -> Result<()> {
    let session = options.session(seat);
    let mut state = State {
        session,
        options,
        seat,
        ours: false,
        position: 0,
        awaited: 0,
        waiting: Waiting::default(),
        latest: None,
        opened: Vec::new(),
        held: Vec::new(),
        stops: 0,
    };
    state.stops = state.session.core().debugger.count();
    let outcome = state.converse(Framed::new(link, None));
    state.leave();
    match outcome {
        Err(error) if error.kind() == Kind::Closed => Ok(()),
        outcome => outcome,
    }
}

/// One client's conversation.
struct State<'a> {
    session: Session,
    options: &'a ServeOptions,
    seat: &'a Seat,
    /// The client sent the probe.
    ours: bool,
    /// Where READ and WRITE of such a client take place.
    position: u64,
    /// Signs of life that the client has not answered yet.
    awaited: u32,
    /// The requests in frames that have arrived.
    waiting: Waiting,
    /// What the client opened last.
    latest: Option<u32>,
    /// What the client opened in a session that it shares.
    opened: Vec<u32>,
    /// The processes among that.
    held: Vec<Held>,
    /// How many stops of a shared session's targets the client knows of.
    stops: u64,
}

impl State<'_> {
    /// Answers packets until the client leaves. Replies leave together when no complete request is left.
    fn converse(&mut self, mut framed: Framed) -> Result<()> {
        let patience = Some(self.options.patience);
        loop {
            if self.ours && framed.arrived().first() == Some(&rap2::REQUEST) {
                framed = self.frames(framed)?;
                continue;
            }
            let (request, used) = match Request::decode(framed.arrived(), Limits::SERVER) {
                Ok(Some(found)) => found,
                Ok(None) => {
                    self.more(&mut framed)?;
                    continue;
                }
                Err(error) => {
                    // What came before the nonsense was answered.
                    framed.flush(patience)?;
                    return Err(error);
                }
            };
            if let Err(error) = self.knock(&request) {
                let greeted = match request {
                    Request::Command { verb, text } => hello(&String::from_utf8_lossy(text)).map(|_| verb),
                    _ => None,
                };
                framed.flush(patience)?;
                return turn_away(framed, greeted, error, patience);
            }
            // What outlives the packet's bytes is copied here; only the data of a WRITE stays where it is.
            match request {
                Request::Read { count } => {
                    framed.consume(used);
                    self.read(framed.queue(), count);
                }
                Request::Write { data } => {
                    let address = *self.position();
                    let result = write(&mut self.session, address, data);
                    self.seat.gate.count_written(u64::try_from(result).unwrap_or(0));
                    framed.consume(used);
                    Reply::Write { result }.encode(framed.queue());
                }
                Request::Seek { whence, offset } => {
                    framed.consume(used);
                    let position = self.seek(whence, offset);
                    Reply::Seek { position }.encode(framed.queue());
                }
                Request::Open { flags, path } => {
                    let path = String::from_utf8_lossy(path).into_owned();
                    framed.consume(used);
                    let begun = Instant::now();
                    let opened = self.open(&path, flags);
                    self.seat.gate.opened(&path, opened.as_ref().map(drop), begun)?;
                    match opened {
                        Ok(fd) => Reply::Open { fd }.encode(framed.queue()),
                        Err(error) if self.ours => {
                            // The client names the file itself.
                            let text = error.to_string();
                            let context = format!("cannot open '{path}': ");
                            let reason = text.strip_prefix(&context).unwrap_or(&text);
                            Reply::Open { fd: -1 }.encode(framed.queue());
                            queue_text(framed.queue(), Verb::Command, format!("error={reason}").as_bytes());
                        }
                        // To an old client -1 looks like success.
                        Err(error) => {
                            framed.flush(patience)?;
                            return Err(error);
                        }
                    }
                }
                Request::Close { fd } => {
                    framed.consume(used);
                    let fd = fd.checked_sub(1);
                    if let Some(fd) = fd.filter(|fd| self.held.iter().any(|held| held.fd == *fd)) {
                        self.let_go(fd);
                        Reply::Close { result: 0 }.encode(framed.queue());
                        continue;
                    }
                    let closed = fd.map(|fd| self.session.core().io.close(fd));
                    self.latest = self.latest.filter(|latest| Some(*latest) != fd);
                    let result = if matches!(closed, Some(Ok(()))) { 0 } else { -1 };
                    Reply::Close { result }.encode(framed.queue());
                }
                Request::Command { verb, text } => {
                    let line = String::from_utf8_lossy(text).into_owned();
                    framed.consume(used);
                    framed = self.command(framed, verb, &line)?;
                }
                Request::Answer { .. } => {
                    framed.consume(used);
                    self.awaited = self
                        .awaited
                        .checked_sub(1)
                        .ok_or_else(|| Error::new(Kind::Protocol, "an answer to nothing"))?;
                }
                Request::Oversized { opcode, length } => {
                    framed.consume(used);
                    self.oversized(&mut framed, opcode, length)?;
                }
            }
            if framed.queued() >= BATCH {
                framed.flush(patience)?;
            }
        }
    }

    /// Answers what stands at the front as a frame, or waits until all of it is there.
    fn frames(&mut self, mut framed: Framed) -> Result<Framed> {
        self.waiting.look(&mut framed, None)?;
        let head = match Head::request(framed.arrived(), rap2::FRAME) {
            Ok(head) => head.filter(|head| framed.arrived().len() >= rap2::HEAD + head.length),
            // CANCEL and PING may have been all that was there.
            Err(_) if framed.arrived().first() != Some(&rap2::REQUEST) => return Ok(framed),
            Err(error) => {
                framed.flush(Some(self.options.patience))?;
                return Err(error);
            }
        };
        match head {
            Some(head) => {
                framed = self.frame(framed, head)?;
                if framed.queued() >= BATCH {
                    framed.flush(Some(self.options.patience))?;
                }
            }
            None if framed.arrived().is_empty() => {}
            None => self.more(&mut framed)?,
        }
        Ok(framed)
    }

    /// Sends what is queued and waits for more. A client of ours hears why nothing more will come.
    fn more(&mut self, framed: &mut Framed) -> Result<()> {
        let patience = Some(self.options.patience);
        framed.flush(patience)?;
        let outcome = self.wait(framed);
        if self.ours && outcome.is_err() && self.seat.is_leaving() {
            Answer::Event(b"stopping").encode(0, framed.queue())?;
            framed.flush(patience)?;
        }
        outcome
    }

    /// Waits for bytes: without end between packets, but not in the middle of one.
    fn wait(&mut self, framed: &mut Framed) -> Result<()> {
        // Nobody may stand in the door for ever either.
        if !framed.arrived().is_empty() || !self.seat.gate.is_open() {
            return framed.fill(Some(self.options.patience));
        }
        if self.ours && self.options.home.is_some() {
            return self.wait_and_tell(framed);
        }
        match framed.fill(Some(Duration::from_secs(1))) {
            Err(error) if error.kind() == Kind::Timeout => {
                framed.trim();
                framed.fill(None)
            }
            outcome => outcome,
        }
    }

    /// The same in a session that others share: when they make a process stop, the client hears of it.
    fn wait_and_tell(&mut self, framed: &mut Framed) -> Result<()> {
        loop {
            match framed.fill(Some(LOOK)) {
                Err(error) if error.kind() == Kind::Timeout => {}
                outcome => return outcome,
            }
            self.tell(framed)?;
            framed.flush(Some(self.options.patience))?;
        }
    }

    /// Queues how processes have stopped that the client shares.
    fn tell(&mut self, framed: &mut Framed) -> Result<()> {
        if !self.ours || self.options.home.is_none() || !self.allow(Permissions::READ) {
            return Ok(());
        }
        let told = {
            let debugger = &self.session.core().debugger;
            let told = debugger.since(self.stops);
            self.stops = debugger.count();
            told
        };
        told.iter().try_for_each(|line| Answer::Event(line.as_bytes()).encode(0, framed.queue()))
    }

    /// What happened while the client's own request ran is no news to it.
    fn has_heard(&mut self) {
        self.stops = self.session.core().debugger.count();
    }

    fn allow(&self, needed: Permissions) -> bool {
        self.session.view.permissions.allow(needed)
    }

    /// Where READ and WRITE take place.
    fn position(&mut self) -> &mut u64 {
        if self.ours { &mut self.position } else { &mut self.session.view.seek }
    }

    /// Opens `path`, maps it at 0 and goes there. The number told to the client is one more than the session's
    /// own: old servers spend 3 on their listener, and 0 is no success to some clients.
    fn open(&mut self, path: &str, flags: u8) -> Result<i32> {
        let write = flags & 2 != 0;
        if path.is_empty() {
            return Err(Error::new(Kind::NotFound, "no file is named"));
        }
        // One that is kept needs what it needed when it was opened.
        let uri = Uri::parse(if remote::ticket(path).is_some() { "dbg://" } else { path });
        let access = Access { write, ..Access::RX };
        let open = {
            let core = self.session.core();
            if core.io.descriptors().count() >= FILES {
                return Err(Error::new(Kind::Limit, format!("{FILES} files are open already")));
            }
            opening(&core, &self.session.view, &uri, access, &self.seat.cancel)?
        };
        // Without the lock: the line that it was lost on may still hold it.
        let kept = self.find_process(path)?;
        let core = self.session.shared();
        let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
        let before = core.io.current();
        let fd = match kept {
            Some(kept) => self.take_back(&mut core, kept),
            None => self.open_new(&mut core, &uri, path, &open)?,
        };
        if self.options.home.is_some() {
            // Others have their maps here and their current file: this client alone sees its file.
            if let Some(before) = before {
                core.io.select(before)?;
            }
            drop(core);
            self.session.view.descriptor = Some(fd);
            self.opened.push(fd);
        } else {
            core.io.map_whole(fd, 0)?;
            drop(core);
        }
        self.session.view.seek = 0;
        self.position = 0;
        self.latest = Some(fd);
        i32::try_from(fd + 1).map_err(|_| Error::new(Kind::Limit, "too many files"))
    }

    /// Appends the reply to a READ: always as many bytes as asked, with the fill byte where nothing is; none when
    /// the device fails.
    fn read(&mut self, queue: &mut Vec<u8>, count: u32) {
        let limit = if self.ours { Capabilities::OURS.data } else { LEGACY_PACKET };
        let count = if self.allow(Permissions::READ) { count.min(limit) } else { 0 };
        let address = *self.position();
        let start = queue.len();
        Reply::Read { length: count }.encode(queue);
        let data = queue.len();
        queue.resize(data + count as usize, 0);
        let outcome = self.session.with(|core, view| Scope { core, view }.read(address, &mut queue[data..]));
        if outcome.is_err() {
            queue.truncate(start);
            Reply::Read { length: 0 }.encode(queue);
        } else {
            self.seat.gate.count_read(count.into());
        }
    }

    /// Closes what the client opened where others stay.
    fn leave(&mut self) {
        self.keep_processes();
        let mut core = self.session.core();
        for fd in self.opened.drain(..) {
            // It may be closed already.
            let _ = core.io.close(fd);
        }
    }

    fn seek(&mut self, whence: Whence, offset: u64) -> u64 {
        let position = self.position();
        match whence {
            Whence::Set => *position = offset,
            Whence::Current => *position = position.wrapping_add(offset),
            Whence::End => {
                let core = self.session.core();
                let current =
                    self.session.view.descriptor.or(core.io.current()).and_then(|fd| core.io.descriptor(fd).ok());
                return current.map_or(0, |descriptor| descriptor.size().unwrap_or(u64::MAX));
            }
        }
        *position
    }

    /// Runs a line and queues what it printed. Errors become comments, which a client that takes the reply for
    /// commands skips.
    fn command(&mut self, mut framed: Framed, verb: Verb, line: &str) -> Result<Framed> {
        if let Some(answer) = self.probe(line) {
            queue_text(framed.queue(), verb, answer.as_bytes());
            return Ok(framed);
        }
        // What is queued must not wait for the command.
        framed.flush(Some(self.options.patience))?;
        let limit = if self.ours { Capabilities::OURS.command } else { LEGACY_REPLY } as usize;
        let sign = (!self.ours).then_some((SIGN_OF_LIFE, self.options.keep_alive));
        let session = &mut self.session;
        let begun = Instant::now();
        session.view.failed = false;
        let (mut framed, reply, signs) = self.seat.while_busy(framed, sign, || run(session, line, limit))?;
        self.awaited += signs;
        let failure = self.session.view.failed.then(|| failure(&reply));
        self.seat.gate.ran(line, reply.len() as u64, failure.as_ref(), begun)?;
        // Leaving is the client's to do; a reply must be sent in any case.
        self.session.view.quit = None;
        queue_text(framed.queue(), verb, &reply);
        Ok(framed)
    }

    /// The answer to a line that is no command but a question about this server.
    fn probe(&mut self, line: &str) -> Option<String> {
        hello(line).map(|_| {
            self.ours = true;
            let may = self.session.view.permissions.names().replace(", ", ",");
            format!("{} may={may}", Capabilities::OURS)
        })
    }

    /// While the door is closed only a hello that opens it is let through.
    fn knock(&mut self, request: &Request<'_>) -> Result<()> {
        let gate = &self.seat.gate;
        if gate.is_open() {
            return Ok(());
        }
        match request {
            Request::Command { text, .. } => match hello(&String::from_utf8_lossy(text)) {
                Some(words) => gate.enter(words)?,
                None => gate.check()?,
            },
            _ => gate.check()?,
        }
        gate.admit(&mut self.session);
        Ok(())
    }

    /// Skips a packet that is too long, when that is cheap, and says so in its reply.
    fn oversized(&self, framed: &mut Framed, opcode: u8, length: u32) -> Result<()> {
        if length > SKIP {
            return Err(Error::new(Kind::Limit, format!("a packet of {length} bytes")));
        }
        framed.flush(Some(self.options.patience))?;
        framed.discard(length.into(), Some(self.options.patience))?;
        match opcode {
            3 => Reply::Write { result: -1 }.encode(framed.queue()),
            opcode => {
                let verb = if opcode == 6 { Verb::System } else { Verb::Command };
                queue_text(framed.queue(), verb, b"");
            }
        }
        Ok(())
    }
}

/// The words of a hello, if `line` is one.
fn hello(line: &str) -> Option<&str> {
    let words = line.trim().strip_prefix(PROBE)?;
    (words.is_empty() || words.starts_with(' ')).then_some(words)
}

/// Ends the connection of a client that is not let in. One that said hello hears why.
fn turn_away(mut framed: Framed, greeted: Option<Verb>, error: Error, patience: Option<Duration>) -> Result<()> {
    let Some(verb) = greeted else { return Err(error) };
    queue_text(framed.queue(), verb, format!("rap/2 error={error}").as_bytes());
    framed.flush(patience)?;
    // What it sent along must be taken, or the system throws the answer away with it; it leaves when it has read it.
    let end = Instant::now() + LINGER;
    while Instant::now() < end && framed.fill(Some(LINGER)).is_ok() {
        let count = framed.arrived().len();
        framed.consume(count);
    }
    Err(error)
}

/// Why a command failed, from its reply.
fn failure(reply: &[u8]) -> Error {
    let text = String::from_utf8_lossy(reply);
    let line = text.lines().find_map(|line| line.strip_prefix("# Error: ")).unwrap_or("failed");
    Error::new(Kind::System, line)
}

fn queue_text(queue: &mut Vec<u8>, verb: Verb, text: &[u8]) {
    // Replies are bounded far below 4 GiB.
    Reply::Command { verb, length: text.len() as u32 + 1 }.encode(queue);
    queue.extend_from_slice(text);
    queue.push(0);
}

/// Writes at `address`; -1 when that fails.
fn write(session: &mut Session, address: u64, data: &[u8]) -> i32 {
    if !session.view.permissions.allow(Permissions::WRITE) {
        return -1;
    }
    let outcome = session.with(|core, view| {
        let settings = scope::settings(core, view);
        core.io.write(&settings, address, data)
    });
    if outcome.is_ok() { i32::try_from(data.len()).unwrap_or(i32::MAX) } else { -1 }
}

/// Runs `line` and collects its output, with the errors as comments, in at most `limit` bytes with the NUL.
fn run(session: &mut Session, line: &str, limit: usize) -> Vec<u8> {
    let text = Rc::new(RefCell::new(Text { bytes: Vec::new(), room: limit - CUT.len() - 1, remarks: 0, cut: false }));
    let cancel = session.cancel.clone();
    let mut sink = Sink(Rc::clone(&text));
    let mut remarks = Remarks { text: Rc::clone(&text), fresh: true };
    let outcome = session.execute(line, &mut Out::new(&mut sink, &mut remarks, Style::default(), cancel));
    let mut text = text.borrow_mut();
    if let Err(error) = outcome
        && text.remarks == 0
        && !text.cut
    {
        text.start_line();
        text.add(format!("# Error: {error}\n").as_bytes());
    }
    let mut bytes = std::mem::take(&mut text.bytes);
    if text.cut {
        bytes.extend_from_slice(CUT.as_bytes());
    }
    bytes
}

/// Ends a reply that was too long.
const CUT: &str = "\n# Error: the reply was cut here\n";

/// The text of a reply.
struct Text {
    bytes: Vec<u8>,
    room: usize,
    remarks: u32,
    cut: bool,
}

impl Text {
    fn add(&mut self, bytes: &[u8]) {
        let count = bytes.len().min(self.room - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..count]);
        self.cut |= count < bytes.len();
    }

    fn start_line(&mut self) {
        if self.bytes.last().is_some_and(|byte| *byte != b'\n') {
            self.add(b"\n");
        }
    }
}

/// Output; fails when the reply is full, so that the command ends.
struct Sink(Rc<RefCell<Text>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.0.borrow_mut();
        text.add(bytes);
        if text.cut { Err(io::Error::other("the reply is full")) } else { Ok(bytes.len()) }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Diagnostics: each line becomes a comment.
struct Remarks {
    text: Rc<RefCell<Text>>,
    fresh: bool,
}

impl Write for Remarks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.text.borrow_mut();
        text.remarks += 1;
        // The error that the reply is full says nothing new.
        if text.cut {
            return Ok(bytes.len());
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if std::mem::replace(&mut self.fresh, line.ends_with(b"\n")) {
                text.start_line();
                text.add(b"# ");
            }
            text.add(line);
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
