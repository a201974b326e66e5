//! The client's half of a rap conversation: one connection that opens a file, reads, writes and runs commands.
//!
//! A round trip is the unit of cost: the first flight asks what the peer is, opens the file and asks for its size;
//! reads and writes are cut into packets that leave together. Nothing a server sends is executed, and no length it
//! names is believed. An error ends the connection, because nobody knows then which reply comes next; the next use
//! connects and opens again. Ctrl-C is none where frames are spoken.

mod flight;
mod frames;
mod old;
mod process;
mod reads;

use std::os::fd::RawFd;
use std::time::Duration;

use super::{Framed, Link, Traffic};
use crate::error::{Error, Kind, Result};
use crate::output::printer::Printer;
use crate::output::{Cancel, Executor, Out, Outcome, visible};
use crate::protocol::rap::{Capabilities, Request, Verb};
use crate::protocol::rap2::{self, Answer, LATEST, Op, Status};
use frames::Channel;
use old::command_reply;
pub use reads::Compression;

/// Makes the connection, and makes it again when it was lost.
pub type Dial = Box<dyn FnMut(&Cancel) -> Result<Box<dyn Link>> + Send>;

/// Bytes under way from or to an old server, which sends with small buffers and does not read while it sends.
const LEGACY_WINDOW: usize = 64 * 1024;
/// Bytes under way from or to a server of ours.
const WINDOW: usize = 4 << 20;

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
    line: Option<Line>,
    peer: Peer,
    /// Traffic of earlier connections.
    past: Traffic,
    compression: Compression,
    /// How the last line ended over there.
    outcome: Option<Outcome>,
    /// Where it left the seek.
    seek: Option<u64>,
    /// Where a connection that was lost had left it.
    left: Option<u64>,
}

/// A connection that stands.
struct Line {
    framed: Framed,
    /// The state of the frames; `None`: the server knows none.
    channel: Option<Channel>,
}

/// What is known of the other side since the last first flight.
struct Peer {
    /// `None`: an old server.
    capabilities: Option<Capabilities>,
    /// Whether it takes frames, and all that this program needs to use them.
    frames: bool,
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
    /// How many bytes may still be under way when more is asked for: half a window keeps the line full; old servers,
    /// whose window is small, get one flight for each.
    fn refill(&self) -> usize {
        if self.capabilities.is_some() { WINDOW / 2 } else { 0 }
    }
}

impl Client {
    /// Connects, and opens the target's file.
    ///
    /// # Errors
    /// What `dial` says; [`Kind::NotFound`] when the server cannot open the file.
    pub fn connect(dial: Dial, target: Target) -> Result<Client> {
        let peer = Peer { capabilities: None, frames: false, size: None };
        let past = Traffic::default();
        let compression = Compression::default();
        let mut client =
            Client { dial, target, line: None, peer, past, compression, outcome: None, seek: None, left: None };
        let cancel = client.target.cancel.clone();
        client.establish(&cancel)?;
        Ok(client)
    }

    /// When bytes are asked for in compressed form from now on.
    pub fn set_compression(&mut self, compression: Compression) {
        self.compression = compression;
        self.pass_compression();
    }

    fn pass_compression(&mut self) {
        let able = self.peer.capabilities.is_some_and(|capabilities| capabilities.speaks(Op::Packed));
        if let Some(channel) = self.line.as_mut().and_then(|line| line.channel.as_mut()) {
            channel.set_compression(if able { self.compression } else { Compression::Never });
        }
    }

    /// Bytes in the opened file, when it has an end.
    pub fn size(&self) -> Option<u64> {
        self.peer.size
    }

    /// What the server says that the content is, as long as nothing has changed it since; different files may have
    /// the same.
    pub fn version(&self) -> Option<u128> {
        self.line.as_ref().and_then(|line| line.channel.as_ref()).and_then(Channel::version)
    }

    /// Where the server is, and what it has opened.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether a connection stands, as far as is known without asking.
    pub fn is_connected(&self) -> bool {
        self.line.as_ref().is_some_and(|line| !line.framed.is_gone())
    }

    /// Everything that has crossed this client's connections.
    pub fn traffic(&self) -> Traffic {
        let mut traffic = self.past;
        traffic += self.line.as_ref().map(|line| line.framed.traffic()).unwrap_or_default();
        traffic
    }

    /// The descriptor that the operating system knows the connection by.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.line.as_ref().and_then(|line| line.framed.descriptor())
    }

    /// What the server said of itself; `None`: an old one, which says nothing.
    pub fn capabilities(&self) -> Option<Capabilities> {
        self.peer.capabilities
    }

    /// The seek over there, when the last line told.
    pub fn seek(&self) -> Option<u64> {
        self.seek
    }

    /// Reads all `pieces`, as many packets at once as the server can be trusted with. A connection that was lost
    /// since it was last used is made again.
    pub fn read(&mut self, pieces: &mut [Piece<'_>]) -> Result<()> {
        let cancel = self.target.cancel.clone();
        let fresh = self.line.is_none();
        let end = self.peer.size.unwrap_or(u64::MAX);
        let attempt = |client: &mut Client, pieces: &mut [Piece<'_>]| {
            client.talk(&cancel, |framed, channel, peer, patience| match channel {
                Some(channel) => channel.read(framed, pieces, end, patience),
                None => old::read(framed, peer, patience, pieces).map(Ok),
            })
        };
        let spoke_frames = self.speaks(Op::Read);
        match attempt(self, pieces) {
            Err(error) if error.kind() == Kind::Closed && !fresh && spoke_frames => attempt(self, pieces)?,
            outcome => outcome?,
        }
    }

    /// Says that `length` bytes from `address` on are about to be read, one after the other: a server that takes frames
    /// sends them as fast as the line carries them.
    pub fn will_read(&mut self, address: u64, length: u64) {
        let end = self.peer.size.unwrap_or(u64::MAX);
        let length = length.min(end.saturating_sub(address));
        let cancel = self.target.cancel.clone();
        // What is wrong with the connection shows when it is read from.
        if self.speaks(Op::Read) && length > 0 {
            let _ = self.talk(&cancel, |framed, channel, _, patience| match channel {
                Some(channel) => channel.will_read(framed, address, length, patience),
                None => Ok(()),
            });
        }
    }

    /// Writes `data` at `address` and returns how many bytes the server took.
    ///
    /// # Errors
    /// [`Kind::Permission`] when it took none.
    pub fn write(&mut self, address: u64, data: &[u8]) -> Result<usize> {
        let cancel = self.target.cancel.clone();
        let done = self.talk(&cancel, |framed, channel, peer, patience| match channel {
            Some(channel) => {
                channel.forget(false);
                channel.write(framed, address, data, patience)
            }
            None => old::write(framed, peer, patience, address, data).map(Ok),
        })?;
        let done = done.map_err(|error| error.context(format_args!("{} refuses to write", self.target.place)))?;
        if done == 0 && !data.is_empty() {
            return Err(Error::new(Kind::Permission, format!("{} refuses to write", self.target.place))
                .hint("the file may be read-only there, or end before that address"));
        }
        let end = address.saturating_add(done as u64);
        self.peer.size = self.peer.size.map(|size| size.max(end));
        Ok(done)
    }

    /// Changes the size of the opened file.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for an old server.
    pub fn resize(&mut self, size: u64) -> Result<()> {
        self.needs(Op::Resize)?;
        let cancel = self.target.cancel.clone();
        self.talk(&cancel, |framed, channel, _, patience| {
            let channel = channel.ok_or_else(unsupported)?;
            channel.forget(false);
            channel.ask(framed, &rap2::Request::Resize { descriptor: LATEST, size }, patience)
        })??;
        self.peer.size = self.peer.size.map(|_| size);
        Ok(())
    }

    /// The digest of a range, made over there.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] when the server cannot make it.
    pub fn digest(&mut self, algorithm: &str, address: u64, length: u64, cancel: &Cancel) -> Result<String> {
        self.needs(Op::Digest)?;
        let algorithm = algorithm.as_bytes();
        let request = rap2::Request::Digest { descriptor: LATEST, address, length, algorithm };
        let result = self.converse(&request, cancel, &mut |_| Ok(()))?;
        Ok(visible(&String::from_utf8_lossy(&result)).into_owned())
    }

    /// The places of a pattern, found over there, in rising order. `found` ends the search with `false`.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] when the server cannot search.
    pub fn search(&mut self, request: &Sought<'_>, cancel: &Cancel, found: &mut dyn FnMut(u64) -> bool) -> Result<()> {
        self.needs(Op::Search)?;
        let Sought { address, length, align, limit, needle, mask } = *request;
        if needle.len() > usize::from(u16::MAX) {
            return Err(unsupported());
        }
        let request = rap2::Request::Search {
            descriptor: LATEST,
            address,
            length,
            align,
            limit,
            needle,
            mask: mask.unwrap_or(&[]),
        };
        let range = address..=address.saturating_add(length.saturating_sub(1));
        let (mut next, mut enough) = (address, false);
        let outcome = self.converse(&request, cancel, &mut |answer| {
            let Answer::Data(bytes) = answer else { return Ok(()) };
            for hit in rap2::numbers(bytes)? {
                // A server that reports what cannot be is not believed.
                if hit < next || !range.contains(&hit) {
                    return Err(Error::new(Kind::Protocol, format!("the server found 0x{hit:x} out of its place")));
                }
                next = hit.saturating_add(1);
                if !found(hit) {
                    enough = true;
                    return Err(Error::new(Kind::Interrupted, "enough"));
                }
            }
            Ok(())
        });
        if enough { Ok(()) } else { outcome.map(drop) }
    }

    /// How `line` can go on at `cursor`: where the replaced part begins, and what can stand there.
    pub fn complete(&mut self, line: &str, cursor: usize, cancel: &Cancel) -> Result<(usize, Vec<String>)> {
        self.needs(Op::Complete)?;
        let cursor = u32::try_from(cursor).map_err(|_| unsupported())?;
        let request = rap2::Request::Complete { cursor, text: line.as_bytes() };
        let result = self.talk(cancel, |framed, channel, _, patience| {
            channel.ok_or_else(unsupported)?.ask(framed, &request, patience)
        })??;
        let text = String::from_utf8_lossy(&result);
        let mut lines = text.lines();
        let start = lines.next().and_then(|start| start.parse().ok());
        let start = start.ok_or_else(|| Error::new(Kind::Protocol, "the server's completion has no start"))?;
        Ok((start, lines.filter(|line| !line.chars().any(char::is_control)).map(str::to_string).collect()))
    }

    /// Runs `line` on an old server and returns what it printed. Commands may take as long as they want; `cancel`
    /// ends the wait, and the connection with it.
    pub fn command(&mut self, line: &str, cancel: &Cancel) -> Result<Vec<u8>> {
        if line.contains('\0') {
            return Err(Error::new(Kind::Usage, "a command for a peer cannot hold a NUL"));
        }
        self.ready(cancel)?;
        self.fits(line, self.peer.limits().command as usize)?;
        self.talk(cancel, |framed, channel, _, patience| {
            let request = Request::Command { verb: Verb::Command, text: line.as_bytes() };
            let Some(channel) = channel else {
                request.encode(framed.queue())?;
                framed.flush(patience)?;
                return command_reply(framed, None, patience);
            };
            channel.forget(true);
            channel.settle(framed, patience)?;
            channel.set_foreign(true);
            request.encode(framed.queue())?;
            framed.flush(patience)?;
            let reply = command_reply(framed, None, patience)?;
            channel.set_foreign(false);
            Ok(reply)
        })
    }

    fn fits(&self, line: &str, limit: usize) -> Result<()> {
        if line.len() < limit {
            return Ok(());
        }
        let place = &self.target.place;
        Err(Error::new(Kind::Limit, format!("the command has {} bytes, {place} takes {}", line.len(), limit - 1)))
    }

    /// Runs `line` on a server of ours: its output comes as it is produced, its errors apart, and `cancel` ends the
    /// command alone.
    fn run(&mut self, line: &str, cancel: &Cancel, out: &mut Out<'_>) -> Result<()> {
        self.fits(line, self.peer.limits().frame as usize - rap2::HEAD)?;
        let mut printer = Printer::default();
        // The last error is kept back: the local shell says it.
        let mut held: Option<String> = None;
        let request = rap2::Request::Run { text: line.as_bytes() };
        let ended = self.talk(cancel, |framed, channel, _, patience| {
            let channel = channel.ok_or_else(unsupported)?;
            channel.forget(true);
            channel.converse(framed, &request, patience.unwrap_or_default(), cancel, &mut |answer| {
                if let Some(note) = held.take() {
                    out.note(note);
                }
                match answer {
                    Answer::Data(bytes) => {
                        printer.push(bytes, out)?;
                        out.flush()?;
                    }
                    Answer::Note(bytes) => {
                        let note = String::from_utf8_lossy(bytes);
                        held = Some(visible(note.trim_end()).into_owned());
                    }
                    _ => {}
                }
                Ok(())
            })
        })?;
        let ran = match (&ended.local, ended.status) {
            // The output went nowhere, which says more than how the line ended over there.
            (Some(_), _) => Err(ended.local.unwrap_or_else(unsupported)),
            (None, _) => ended.ran(),
        }?;
        printer.finish(out)?;
        let failed = ended.status != Status::Ok;
        self.outcome = Some(Outcome { last: ran.last, failed });
        (self.seek, self.left) = (Some(ran.seek), None);
        let error = match ended.status {
            Status::Ok => None,
            Status::Interrupted if !cancel.is_set() => {
                Some(Error::new(Kind::Closed, format!("{} has ended the command", self.target.place)))
            }
            Status::Interrupted => Some(Error::new(Kind::Interrupted, "interrupted")),
            status if ran.error.is_empty() => held
                .as_deref()
                .and_then(|note| note.strip_prefix("Error: "))
                .map(|text| Error::new(status.kind(), text)),
            status => Some(frames::refused(status, ran.error.as_bytes())),
        };
        match (error, held) {
            (Some(error), held) => {
                let said = held.filter(|note| note.strip_prefix("Error: ") != Some(error.to_string().as_str()));
                said.into_iter().for_each(|note| out.note(note));
                Err(error)
            }
            (None, held) => {
                held.into_iter().for_each(|note| out.note(note));
                Ok(())
            }
        }
    }

    /// A long request whose result is all that counts.
    fn converse(
        &mut self,
        request: &rap2::Request<'_>,
        cancel: &Cancel,
        each: &mut dyn FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<Vec<u8>> {
        let ended = self.talk(cancel, |framed, channel, _, patience| {
            let channel = channel.ok_or_else(unsupported)?;
            channel.converse(framed, request, patience.unwrap_or_default(), cancel, each)
        })?;
        match (ended.local, ended.status) {
            (Some(error), _) => Err(error),
            (None, Status::Ok) => Ok(ended.result),
            (None, Status::Interrupted) if cancel.is_set() => Err(Error::new(Kind::Interrupted, "interrupted")),
            (None, status) => Err(frames::refused(status, &ended.result)),
        }
    }

    /// Whether the server takes frames and answers `op`.
    fn speaks(&self, op: Op) -> bool {
        self.peer.frames && self.peer.capabilities.is_some_and(|capabilities| capabilities.speaks(op))
    }

    fn needs(&self, op: Op) -> Result<()> {
        if self.speaks(op) { Ok(()) } else { Err(unsupported()) }
    }

    /// Makes sure that a connection stands.
    fn ready(&mut self, cancel: &Cancel) -> Result<()> {
        if self.line.is_none() { self.establish(cancel) } else { Ok(()) }
    }

    /// Runs one exchange. Its errors end the connection, because nobody knows which reply would come next; but for
    /// Ctrl-C where frames are spoken, which leaves what is under way.
    fn talk<R>(
        &mut self,
        cancel: &Cancel,
        exchange: impl FnOnce(&mut Framed, Option<&mut Channel>, &Peer, Option<Duration>) -> Result<R>,
    ) -> Result<R> {
        self.ready(cancel)?;
        let Some(Line { framed, channel }) = &mut self.line else {
            return Err(Error::new(Kind::Closed, format!("not connected to {}", self.target.place)));
        };
        framed.set_cancel(cancel.clone());
        let outcome = exchange(framed, channel.as_mut(), &self.peer, Some(self.target.timeout));
        let Err(error) = outcome else { return outcome };
        if error.kind() == Kind::Interrupted
            && let Some(channel) = channel
            && channel.abandon(framed).is_ok()
        {
            return Err(error);
        }
        self.drop_connection();
        Err(error.hint(format!("the connection to {} was given up; the next use connects again", self.target.place)))
    }

    fn drop_connection(&mut self) {
        if let Some(line) = self.line.take() {
            self.past += line.framed.traffic();
        }
        self.left = self.seek.take().or(self.left);
    }

    /// Shows what the server has said of its own accord, and notices when it is gone.
    fn hear(&mut self, out: &mut Out<'_>) {
        let Some(Line { framed, channel: Some(channel) }) = &mut self.line else { return };
        let gone = channel.look(framed).is_err();
        for line in channel.news() {
            out.note(format_args!("{} says: {line}", self.target.place));
        }
        if gone {
            self.drop_connection();
        }
    }
}

/// What [`Client::search`] looks for.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'a> {
    /// First address of the range.
    pub address: u64,
    /// Bytes of the range.
    pub length: u64,
    /// Hits are multiples of this; 0 and 1: any.
    pub align: u64,
    /// Most hits; 0: all.
    pub limit: u64,
    /// The pattern.
    pub needle: &'a [u8],
    /// Which of its bits count.
    pub mask: Option<&'a [u8]>,
}

impl Executor for Client {
    fn execute(&mut self, line: &str, out: &mut Out<'_>) -> Result<()> {
        let cancel = out.cancel().clone();
        self.hear(out);
        if !self.is_connected() {
            self.drop_connection();
            self.establish(&cancel)?;
            let place = self.target.place.clone();
            match self.left.filter(|_| self.speaks(Op::Run)) {
                Some(seek) => {
                    out.note(format_args!("connected again to {place} at 0x{seek:x}; settings there are new"));
                    let (mut nowhere, style) = (std::io::sink(), out.style());
                    self.run(&format!("s 0x{seek:x}"), &cancel, &mut out.redirect(&mut nowhere, style))?;
                }
                None => out.note(format_args!("connected again to {place}: seek and settings there are new")),
            }
        }
        // If this line never comes to its end, the next connection begins where it began.
        self.left = self.seek.take().or(self.left);
        self.outcome = None;
        if self.speaks(Op::Run) {
            return self.run(line, &cancel, out);
        }
        let reply = self.command(line, &cancel)?;
        print(&reply, out)
    }

    fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }
}

fn unsupported() -> Error {
    Error::new(Kind::Unsupported, "the server cannot do this")
}

/// Prints what a peer sent, one line end at its end, and nothing in it that could steer a terminal.
pub fn print(reply: &[u8], out: &mut Out<'_>) -> Result<()> {
    let mut printer = Printer::default();
    printer.push(reply, out)?;
    printer.finish(out)
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
