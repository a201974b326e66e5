//! The client's half of a rap conversation: one connection that opens a file, reads, writes and runs commands.
//!
//! A round trip is the unit of cost: the first flight asks what the peer is, opens the file and asks for its size;
//! reads and writes are cut into packets that leave together. Nothing a server sends is executed, and no length it
//! names is believed. An error ends the connection, because nobody knows then which reply comes next; the next use
//! connects and opens again.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::{Framed, Link, Traffic};
use crate::error::{Error, Kind, Result};
use crate::output::{Cancel, Executor, Out, visible};
use crate::protocol::rap::{Capabilities, LEGACY_REPLY, Limits, PROBE, PROBE_ERROR, Reply, Request, Verb, Whence};

/// Makes the connection, and makes it again when it was lost.
pub type Dial = Box<dyn FnMut(&Cancel) -> Result<Box<dyn Link>> + Send>;

/// Bytes under way from or to an old server, which sends with small buffers and does not read while it sends.
const LEGACY_WINDOW: usize = 64 * 1024;
/// Bytes under way from or to a server of ours.
const WINDOW: usize = 4 << 20;
/// Packets under way: their heads and replies fit into the smallest socket buffers, so that sending them never waits
/// for a server that waits for us to read.
const PACKETS: usize = 1024;

/// What a client wants from its server.
pub struct Target {
    /// Host and port, for messages.
    pub place: String,
    /// What to open there (a path or URI); empty: nothing.
    pub path: String,
    /// Permission bits of OPEN: 4 read, 2 write, 1 execute.
    pub flags: u8,
    /// How long the server may stay silent.
    pub timeout: Duration,
    /// Ends waits for data; commands bring their own.
    pub cancel: Cancel,
}

/// One of many reads that travel together.
pub struct Piece<'a> {
    /// Address on the server.
    pub address: u64,
    /// Where the bytes go.
    pub buffer: &'a mut [u8],
    /// How many arrived from the start of the buffer on.
    pub done: usize,
}

/// A connection to a rap server.
pub struct Client {
    dial: Dial,
    target: Target,
    framed: Option<Framed>,
    peer: Peer,
    /// Traffic of earlier connections.
    past: Traffic,
}

/// What is known of the other side since the last first flight.
struct Peer {
    /// `None`: an old server.
    capabilities: Option<Capabilities>,
    size: Option<u64>,
}

impl Peer {
    fn limits(&self) -> Capabilities {
        self.capabilities.unwrap_or(Capabilities::LEGACY)
    }
    fn chunk(&self) -> usize {
        self.limits().data as usize
    }
    fn window(&self) -> usize {
        if self.capabilities.is_some() { WINDOW } else { LEGACY_WINDOW }
    }
}

impl Client {
    /// Connects, and opens the target's file.
    ///
    /// # Errors
    /// What `dial` says; [`Kind::NotFound`] when the server cannot open the file.
    pub fn connect(dial: Dial, target: Target) -> Result<Client> {
        let peer = Peer { capabilities: None, size: None };
        let mut client = Client { dial, target, framed: None, peer, past: Traffic::default() };
        let cancel = client.target.cancel.clone();
        client.establish(&cancel)?;
        Ok(client)
    }

    /// Bytes in the opened file, when it has an end.
    pub fn size(&self) -> Option<u64> {
        self.peer.size
    }

    /// Whether a connection stands, as far as is known without asking.
    pub fn is_connected(&self) -> bool {
        self.framed.as_ref().is_some_and(|framed| !framed.is_gone())
    }

    /// Everything that has crossed this client's connections.
    pub fn traffic(&self) -> Traffic {
        sum(self.past, self.framed.as_ref().map(Framed::traffic).unwrap_or_default())
    }

    /// The descriptor that the operating system knows the connection by.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.framed.as_ref().and_then(Framed::descriptor)
    }

    /// What the server said of itself; `None`: an old one, which says nothing.
    pub fn capabilities(&self) -> Option<Capabilities> {
        self.peer.capabilities
    }

    /// Reads all `pieces`, as many packets at once as the server can be trusted with.
    pub fn read(&mut self, pieces: &mut [Piece<'_>]) -> Result<()> {
        let cancel = self.target.cancel.clone();
        self.talk(&cancel, |framed, peer, patience| read(framed, peer, patience, pieces))
    }

    /// Writes `data` at `address` and returns how many bytes the server took.
    ///
    /// # Errors
    /// [`Kind::Permission`] when it took none.
    pub fn write(&mut self, address: u64, data: &[u8]) -> Result<usize> {
        let cancel = self.target.cancel.clone();
        let done = self.talk(&cancel, |framed, peer, patience| write(framed, peer, patience, address, data))?;
        if done == 0 && !data.is_empty() {
            return Err(Error::new(Kind::Permission, format!("{} refuses to write", self.target.place))
                .hint("the file may be read-only there, or end before that address"));
        }
        let end = address.saturating_add(done as u64);
        self.peer.size = self.peer.size.map(|size| size.max(end));
        Ok(done)
    }

    /// Runs `line` on the server and returns what it printed. Commands may take as long as they want; `cancel`
    /// ends the wait, and the connection with it.
    pub fn command(&mut self, line: &str, cancel: &Cancel) -> Result<Vec<u8>> {
        if line.contains('\0') {
            return Err(Error::new(Kind::Usage, "a command for a peer cannot hold a NUL"));
        }
        self.ready(cancel)?;
        let limit = self.peer.limits().command as usize;
        if line.len() >= limit {
            return Err(Error::new(
                Kind::Limit,
                format!("the command has {} bytes, {} takes {}", line.len(), self.target.place, limit - 1),
            ));
        }
        self.talk(cancel, |framed, _, patience| {
            let request = Request::Command { verb: Verb::Command, text: line.as_bytes() };
            request.encode(framed.queue())?;
            framed.flush(patience)?;
            command_reply(framed, None, patience)
        })
    }

    /// Makes sure that a connection stands.
    fn ready(&mut self, cancel: &Cancel) -> Result<()> {
        if self.framed.is_none() { self.establish(cancel) } else { Ok(()) }
    }

    /// Runs one exchange. Its errors end the connection: nobody knows which reply would come next.
    fn talk<R>(
        &mut self,
        cancel: &Cancel,
        exchange: impl FnOnce(&mut Framed, &Peer, Option<Duration>) -> Result<R>,
    ) -> Result<R> {
        self.ready(cancel)?;
        let Some(framed) = &mut self.framed else {
            return Err(Error::new(Kind::Closed, format!("not connected to {}", self.target.place)));
        };
        framed.set_cancel(cancel.clone());
        exchange(framed, &self.peer, Some(self.target.timeout)).map_err(|error| {
            self.drop_connection();
            error.hint(format!("the connection to {} was given up; the next use connects again", self.target.place))
        })
    }

    fn drop_connection(&mut self) {
        if let Some(framed) = self.framed.take() {
            self.past = sum(self.past, framed.traffic());
        }
    }

    /// The first flight: what are you, open this, how long is it.
    fn establish(&mut self, cancel: &Cancel) -> Result<()> {
        let outcome = self.first_flight(cancel, true);
        let mute = matches!(&outcome, Err(Refusal::Silent));
        // Some small servers know no commands and hang up on the probe: ask those for the file alone.
        let outcome = if mute { self.first_flight(cancel, false) } else { outcome };
        outcome.map_err(|refusal| match refusal {
            Refusal::Other(error) => error,
            Refusal::Silent => {
                let Target { path, place, .. } = &self.target;
                let what = if path.is_empty() { String::new() } else { format!("cannot open '{path}': ") };
                Error::new(Kind::Closed, format!("{what}{place} closed the connection without an answer"))
            }
            Refusal::NoFile(reason) => {
                let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                let Target { path, place, .. } = &self.target;
                Error::new(Kind::NotFound, format!("'{path}' cannot be opened at {place}{reason}"))
            }
        })
    }

    fn first_flight(&mut self, cancel: &Cancel, probe: bool) -> std::result::Result<(), Refusal> {
        let patience = Some(self.target.timeout);
        let link = (self.dial)(cancel)?;
        let hello = link.token().map_or_else(|| PROBE.to_string(), |token| format!("{PROBE} {}", token.word()));
        let mut framed = Framed::new(link, Some(cancel.clone()));
        let path = &self.target.path;
        // The probe comes first, so that the server knows whom it speaks with when the file cannot be opened.
        if probe {
            Request::Command { verb: Verb::Command, text: hello.as_bytes() }.encode(framed.queue())?;
        }
        if !path.is_empty() {
            Request::Open { flags: self.target.flags, path: path.as_bytes() }.encode(framed.queue())?;
        }
        Request::Seek { whence: Whence::End, offset: 0 }.encode(framed.queue())?;
        framed.flush(patience)?;

        let mut capabilities = None;
        if probe {
            let answer = command_reply(&mut framed, patience, patience).map_err(silent)?;
            let answer = String::from_utf8_lossy(&answer);
            if let Some(error) = turned_away(&answer, &self.target.place) {
                return Err(Refusal::Other(error));
            }
            capabilities = Capabilities::parse(&answer);
        }
        let mut opened = true;
        if !path.is_empty() {
            match framed.receive(patience, |bytes| Reply::decode(bytes, Limits::CLIENT)) {
                Ok(Reply::Open { fd }) => opened = fd >= 0,
                Ok(other) => return Err(unexpected(other).into()),
                // Old servers close the connection when there is no such file.
                Err(error) if error.kind() == Kind::Closed && probe => return Err(Refusal::NoFile(None)),
                Err(error) => return Err(silent(error)),
            }
        }
        if !opened && capabilities.is_none() {
            return Err(Refusal::NoFile(None));
        }
        let end = seek_reply(&mut framed, patience)?;
        if !opened {
            let why = Request::Command { verb: Verb::Command, text: PROBE_ERROR.as_bytes() };
            why.encode(framed.queue())?;
            framed.flush(patience)?;
            let answer = command_reply(&mut framed, patience, patience)?;
            let answer = String::from_utf8_lossy(&answer);
            let reason = answer.split_once("error=").map(|(_, reason)| visible(reason.trim_end()).into_owned());
            return Err(Refusal::NoFile(reason));
        }
        // Without a file the peer's own session is looked at: its address space has no end. Nor has a process, of
        // which old servers say 0.
        let endless = path.is_empty() || capabilities.is_none() && end == 0 && path.contains("://");
        let size = Some(end).filter(|end| *end != u64::MAX && !endless);
        self.peer = Peer { capabilities, size };
        self.framed = Some(framed);
        Ok(())
    }
}

impl Executor for Client {
    fn execute(&mut self, line: &str, out: &mut Out<'_>) -> Result<()> {
        let cancel = out.cancel().clone();
        if !self.is_connected() {
            self.drop_connection();
            self.establish(&cancel)?;
            out.note(format_args!("connected again to {}: seek and settings there are new", self.target.place));
        }
        let reply = self.command(line, &cancel)?;
        print(&reply, out)
    }
}

/// Prints what a peer sent, one line end at its end, and nothing in it that could steer a terminal.
pub fn print(reply: &[u8], out: &mut Out<'_>) -> Result<()> {
    let text = String::from_utf8_lossy(reply);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    if text.is_empty() {
        return Ok(());
    }
    for line in text.split('\n') {
        let cells: Vec<_> = line.strip_suffix('\r').unwrap_or(line).split('\t').map(visible).collect();
        out.line(cells.join("\t"))?;
    }
    Ok(())
}

/// Why a first flight failed.
enum Refusal {
    /// The server hung up before it said anything.
    Silent,
    /// It cannot open the file, for this reason.
    NoFile(Option<String>),
    Other(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Other(error)
    }
}

/// Why a server does not let this client in, if that is its answer to the hello.
fn turned_away(answer: &str, place: &str) -> Option<Error> {
    let (_, reason) = answer.strip_prefix("rap/")?.split_once(" error=")?;
    let error = Error::new(Kind::Permission, format!("{place} does not let us in: {}", visible(reason.trim_end())));
    Some(
        error.hint(
            "a token comes from net.token.file or REMORA_TOKEN, and is presented over raps:// and rap+unix:// alone",
        ),
    )
}

fn silent(error: Error) -> Refusal {
    if error.kind() == Kind::Closed { Refusal::Silent } else { Refusal::Other(error) }
}

fn sum(a: Traffic, b: Traffic) -> Traffic {
    Traffic { round_trips: a.round_trips + b.round_trips, sent: a.sent + b.sent, received: a.received + b.received }
}

fn unexpected(reply: Reply) -> Error {
    Error::new(Kind::Protocol, format!("the server answered something else than asked: {reply:?}"))
}

fn seek_reply(framed: &mut Framed, patience: Option<Duration>) -> Result<u64> {
    match framed.receive(patience, |bytes| Reply::decode(bytes, Limits::CLIENT))? {
        Reply::Seek { position } => Ok(position),
        other => Err(unexpected(other)),
    }
}

/// The reply to a command: `head` is the patience for its beginning, `rest` for what must follow at once.
/// Meanwhile a server may ask its client to run commands (some do so as a sign of life): it gets an empty answer.
fn command_reply(framed: &mut Framed, head: Option<Duration>, rest: Option<Duration>) -> Result<Vec<u8>> {
    let begun = Instant::now();
    loop {
        // Signs of life do not prolong a wait that has an end.
        match framed.receive(framed.left(begun, head)?, |bytes| Reply::decode(bytes, Limits::CLIENT))? {
            Reply::Command { length, .. } => {
                let mut text = framed.receive_vec(length as usize, rest)?;
                if text.last() == Some(&0) {
                    text.pop();
                }
                return Ok(text);
            }
            Reply::Reverse { length } if length <= LEGACY_REPLY => {
                framed.discard(length.into(), rest)?;
                Request::Answer { text: b"" }.encode(framed.queue())?;
                framed.flush(rest)?;
            }
            other => return Err(unexpected(other)),
        }
    }
}

/// Checks that the server went where it was told to.
fn arrive(framed: &mut Framed, patience: Option<Duration>, address: u64) -> Result<()> {
    match seek_reply(framed, patience)? {
        position if position == address => Ok(()),
        position => {
            Err(Error::new(Kind::Protocol, format!("the server went to 0x{position:x} instead of 0x{address:x}")))
        }
    }
}

/// A packet's share of a transfer.
struct Share {
    piece: usize,
    offset: usize,
    count: usize,
}

/// Cuts transfers (address, length) into packets.
fn shares(lengths: Vec<usize>, chunk: usize) -> impl Iterator<Item = Share> {
    lengths.into_iter().enumerate().flat_map(move |(piece, length)| {
        (0..length).step_by(chunk).map(move |offset| Share { piece, offset, count: chunk.min(length - offset) })
    })
}

fn read(framed: &mut Framed, peer: &Peer, patience: Option<Duration>, pieces: &mut [Piece<'_>]) -> Result<()> {
    let end = peer.size.unwrap_or(u64::MAX);
    let lengths = pieces
        .iter()
        .map(|piece| {
            usize::try_from(end.saturating_sub(piece.address))
                .map_or(piece.buffer.len(), |room| room.min(piece.buffer.len()))
        })
        .collect();
    for piece in pieces.iter_mut() {
        piece.done = 0;
    }
    let window = peer.window();
    let mut todo = shares(lengths, peer.chunk()).peekable();
    let mut under_way = VecDeque::new();
    let mut bytes = 0;
    loop {
        // Half a window at a time: the line stays full, and the packets still leave together.
        if bytes <= window / 2 && under_way.len() <= PACKETS / 2 {
            while under_way.len() < PACKETS
                && let Some(share) = todo.next_if(|share| bytes == 0 || bytes + share.count <= window)
            {
                let address = pieces[share.piece].address + share.offset as u64;
                Request::Seek { whence: Whence::Set, offset: address }.encode(framed.queue())?;
                Request::Read { count: share.count as u32 }.encode(framed.queue())?;
                bytes += share.count;
                under_way.push_back(share);
            }
            framed.flush(patience)?;
        }
        let Some(share) = under_way.pop_front() else { return Ok(()) };
        let piece = &mut pieces[share.piece];
        arrive(framed, patience, piece.address + share.offset as u64)?;
        let length = match framed.receive(patience, |bytes| Reply::decode(bytes, Limits::CLIENT))? {
            Reply::Read { length } if length as usize <= share.count => length as usize,
            other => return Err(unexpected(other)),
        };
        framed.receive_into(&mut piece.buffer[share.offset..share.offset + length], patience)?;
        bytes -= share.count;
        // Behind a short reply the piece has a hole; what came after it does not count.
        if piece.done == share.offset {
            piece.done += length;
        }
    }
}

fn write(framed: &mut Framed, peer: &Peer, patience: Option<Duration>, address: u64, data: &[u8]) -> Result<usize> {
    let window = peer.window();
    let room = usize::try_from(u64::MAX - address).unwrap_or(usize::MAX);
    let mut todo = shares(vec![data.len().min(room)], peer.chunk()).peekable();
    let mut under_way = VecDeque::new();
    let (mut bytes, mut done) = (0, 0);
    loop {
        if bytes <= window / 2 && under_way.len() <= PACKETS / 2 {
            while under_way.len() < PACKETS
                && let Some(share) = todo.next_if(|share| bytes == 0 || bytes + share.count <= window)
            {
                let offset = address + share.offset as u64;
                Request::Seek { whence: Whence::Set, offset }.encode(framed.queue())?;
                let data = &data[share.offset..share.offset + share.count];
                Request::Write { data }.encode(framed.queue())?;
                bytes += share.count;
                under_way.push_back(share);
            }
            framed.flush(patience)?;
        }
        let Some(share) = under_way.pop_front() else { return Ok(done) };
        arrive(framed, patience, address + share.offset as u64)?;
        let count = match framed.receive(patience, |bytes| Reply::decode(bytes, Limits::CLIENT))? {
            // Old servers answer with a truth value.
            Reply::Write { result: 1 } if peer.capabilities.is_none() => share.count,
            Reply::Write { result } => usize::try_from(result).unwrap_or(0).min(share.count),
            other => return Err(unexpected(other)),
        };
        bytes -= share.count;
        if done == share.offset {
            done += count;
        }
    }
}
