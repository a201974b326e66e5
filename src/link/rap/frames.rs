//! The client's half of rap 2: requests and answers in frames, on a connection whose server speaks them.
//!
//! An error of the connection is the outer [`Result`] of these functions: nobody knows what would come next. What the
//! server refuses is the inner one, and leaves the connection as it was. Between them is Ctrl-C: it may come anywhere,
//! so what is still to be heard is counted at every step, and can be skipped later ([`Channel::abandon`]).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::reads::{Ahead, Compression, Pace};
use super::shares;
use crate::error::{Error, Kind, Result};
use crate::link::Framed;
use crate::output::{Cancel, visible};
use crate::protocol::rap2::{self, Answer, Head, LATEST, Part, Ran, Request, Stat, Status};

/// Bytes under way to the server, which are copied once.
const WRITE_WINDOW: usize = 4 << 20;
/// News that are kept until somebody looks.
const NEWS: usize = 16;

/// What the server answers to a request.
pub(super) type Answered<T> = Result<std::result::Result<T, Error>>;

/// The state of the conversation on one connection.
pub(super) struct Channel {
    next: u32,
    /// Most bytes of data in one frame.
    pub(super) chunk: usize,
    /// The requests whose answers are still to come, in order.
    turn: VecDeque<u32>,
    /// Bytes of the frame at the front that have not been taken.
    rest: usize,
    /// All of `turn` was cancelled: nobody wants what still comes of it.
    left: bool,
    /// A packet of rap 1 is under way, which cannot be left.
    foreign: bool,
    /// Answers that may come at any time and say nothing: those to CANCEL and PING.
    asides: Vec<u32>,
    /// The STAT under way.
    stat: Option<u32>,
    /// Whether the next flight should take a STAT along.
    pub(super) wants_stat: bool,
    /// What the last STAT said, while that holds.
    known: Option<Stat>,
    pub(super) ahead: Ahead,
    /// How fast bytes come.
    pub(super) pace: Pace,
    /// When they are asked for in compressed form.
    pub(super) compression: Compression,
    news: Vec<String>,
}

/// How a line ended over there.
pub(super) struct Ended {
    pub status: Status,
    pub result: Vec<u8>,
    /// What went wrong here with what came.
    pub local: Option<Error>,
}

impl Channel {
    /// A conversation that begins.
    pub fn new() -> Channel {
        Channel {
            next: 1,
            chunk: 0,
            turn: VecDeque::new(),
            rest: 0,
            left: false,
            foreign: false,
            asides: Vec::new(),
            stat: None,
            wants_stat: true,
            known: None,
            ahead: Ahead::default(),
            pace: Pace::default(),
            compression: Compression::Never,
            news: Vec::new(),
        }
    }

    /// How many bytes of data the server takes at once.
    pub fn set_chunk(&mut self, chunk: usize) {
        self.chunk = chunk;
    }

    /// When bytes are asked for in compressed form, by a server that can do that.
    pub fn set_compression(&mut self, compression: Compression) {
        self.compression = compression;
    }

    /// Whether a packet of rap 1 is under way.
    pub fn set_foreign(&mut self, foreign: bool) {
        self.foreign = foreign;
    }

    /// The version of the content, while it is known to hold.
    pub fn version(&self) -> Option<u128> {
        self.known.and_then(|stat| stat.version)
    }

    /// Something has changed the content; `again`: in a way that makes it worth to ask for the new version.
    pub fn forget(&mut self, again: bool) {
        self.known = None;
        self.wants_stat = again;
    }

    /// What the server has said of its own accord.
    pub fn news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// Queues a STAT, whose answer is taken on the way to the next one.
    pub fn queue_stat(&mut self, framed: &mut Framed) -> Result<()> {
        let id = self.send(framed, &Request::Stat { descriptor: LATEST })?;
        self.stat = Some(id);
        self.wants_stat = false;
        Ok(())
    }

    /// The answer to the STAT under way.
    pub fn take_stat(&mut self, framed: &mut Framed, patience: Option<Duration>) -> Result<Option<Stat>> {
        while self.stat.is_some() {
            if self.next_head(framed, patience)?.is_some() {
                return Err(unasked());
            }
        }
        Ok(self.known)
    }

    /// Takes what has come without being asked for.
    ///
    /// # Errors
    /// [`Kind::Closed`] when the end of the connection has come.
    pub fn look(&mut self, framed: &mut Framed) -> Result<()> {
        let outcome = framed.poll();
        while self.turn.is_empty()
            && self.rest == 0
            && matches!(Head::answer(framed.arrived(), rap2::FRAME), Ok(Some(_)))
        {
            let Some(head) = Head::answer(framed.arrived(), rap2::FRAME)? else { break };
            if head.id != 0 || framed.arrived().len() < rap2::HEAD + head.length {
                break;
            }
            // It is there whole: nobody waits.
            self.next_head(framed, Some(Duration::from_secs(1)))?;
        }
        outcome.map(drop)
    }

    fn send(&mut self, framed: &mut Framed, request: &Request<'_>) -> Result<u32> {
        let id = self.next;
        // 0 is nobody's.
        self.next = self.next.checked_add(1).unwrap_or(1);
        request.encode(id, framed.queue())?;
        Ok(id)
    }

    /// Sends a request whose answer comes in its turn.
    pub(super) fn send_in_turn(&mut self, framed: &mut Framed, request: &Request<'_>) -> Result<u32> {
        let id = self.send(framed, request)?;
        self.turn.push_back(id);
        Ok(id)
    }

    pub(super) fn send_aside(
        &mut self,
        framed: &mut Framed,
        request: &Request<'_>,
        patience: Option<Duration>,
    ) -> Result<()> {
        let id = self.send(framed, request)?;
        self.asides.push(id);
        framed.flush(patience)
    }

    /// The next head, unless what came is something that nobody waits for; that is dealt with here.
    fn next_head(&mut self, framed: &mut Framed, patience: Option<Duration>) -> Result<Option<Head<Part>>> {
        let decode = |bytes: &[u8]| Ok(Head::answer(bytes, rap2::FRAME)?.map(|head| (head, rap2::HEAD)));
        let head = framed.receive(patience, decode)?;
        if head.id == 0 {
            let body = body(framed, head.length, patience)?;
            if head.tag == Part::Event && self.news.len() < NEWS {
                let line = String::from_utf8_lossy(&body[..body.len().min(1024)]).into_owned();
                self.news.push(visible(line.trim_end()).into_owned());
            }
        } else if self.stat == Some(head.id) {
            self.stat = None;
            // A server that cannot say is as good as one that does not know; one that was told not to is asked again.
            match self.result(framed, head, patience)? {
                Ok(result) => self.known = Some(Stat::parse(&result)?),
                Err(error) => self.wants_stat = error.kind() == Kind::Interrupted,
            }
        } else if let Some(at) = self.asides.iter().position(|id| *id == head.id) {
            self.asides.swap_remove(at);
            body(framed, head.length, patience)?;
        } else {
            self.rest = head.length;
            return Ok(Some(head));
        }
        Ok(None)
    }

    /// The head of the answer to `id`, which is the next in turn.
    pub(super) fn head(&mut self, framed: &mut Framed, id: u32, patience: Option<Duration>) -> Result<Head<Part>> {
        loop {
            match self.next_head(framed, patience)? {
                None => {}
                Some(head) if head.id == id && head.tag == Part::Done && self.turn.pop_front() == Some(id) => {
                    return Ok(head);
                }
                Some(_) => return Err(unasked()),
            }
        }
    }

    /// The body behind the head of a DONE.
    fn result(&mut self, framed: &mut Framed, head: Head<Part>, patience: Option<Duration>) -> Answered<Vec<u8>> {
        let mut body = body(framed, head.length, patience)?;
        self.rest = 0;
        match Answer::parse(head.tag, &body)? {
            Answer::Done { status: Status::Ok, .. } => {
                body.remove(0);
                Ok(Ok(body))
            }
            Answer::Done { status, result } => Ok(Err(refused(status, result))),
            _ => Err(unasked()),
        }
    }

    /// Fills `buffer` from the frame at the front, which has that much.
    pub(super) fn take(&mut self, framed: &mut Framed, buffer: &mut [u8], patience: Option<Duration>) -> Result<()> {
        if buffer.len() > self.rest {
            return Err(unasked());
        }
        let begun = Instant::now();
        let mut done = 0;
        while done < buffer.len() {
            let count = framed.receive_some(&mut buffer[done..], patience)?;
            done += count;
            self.rest -= count;
        }
        self.pace.add(done, begun.elapsed());
        Ok(())
    }

    /// What is left of the frame at the front, collected as it comes.
    pub(super) fn take_rest(&mut self, framed: &mut Framed, patience: Option<Duration>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while self.rest > 0 {
            let done = bytes.len();
            bytes.resize(done + self.rest.min(64 << 10), 0);
            self.take(framed, &mut bytes[done..], patience)?;
        }
        Ok(bytes)
    }

    fn skip(&mut self, framed: &mut Framed, patience: Option<Duration>) -> Result<()> {
        loop {
            let here = framed.arrived().len().min(self.rest);
            framed.consume(here);
            self.rest -= here;
            if self.rest == 0 {
                return Ok(());
            }
            framed.fill(patience)?;
        }
    }

    /// Leaves everything that is under way, now: the server is told when there is room on the line, and what still
    /// comes is skipped by the next [`Channel::settle`].
    ///
    /// # Errors
    /// When what is under way cannot be left, or the connection is lost.
    pub fn abandon(&mut self, framed: &mut Framed) -> Result<()> {
        if self.foreign {
            return Err(Error::new(Kind::Interrupted, "an old command cannot be left"));
        }
        self.ahead.stop();
        if !self.turn.is_empty() && !self.left {
            let id = self.send(framed, &Request::Cancel { id: 0 })?;
            self.asides.push(id);
            self.left = true;
        }
        framed.push(Duration::ZERO).map(drop)
    }

    /// Notes that everything under way was cancelled already.
    pub(super) fn was_cancelled(&mut self) {
        self.left = !self.turn.is_empty();
    }

    /// Leaves the reads that were sent ahead, and skips what nobody wants any more: the server drops what it has not
    /// begun.
    pub fn settle(&mut self, framed: &mut Framed, patience: Option<Duration>) -> Result<()> {
        self.ahead.stop();
        if !self.turn.is_empty() && !self.left {
            self.send_aside(framed, &Request::Cancel { id: 0 }, patience)?;
            self.left = true;
        }
        self.skip(framed, patience)?;
        while let Some(id) = self.turn.front().copied() {
            let Some(head) = self.next_head(framed, patience)? else { continue };
            if head.id != id {
                return Err(unasked());
            }
            if head.tag == Part::Done {
                self.turn.pop_front();
            }
            self.skip(framed, patience)?;
        }
        self.left = false;
        Ok(())
    }

    /// Writes `data`, and says how much of it was taken.
    pub fn write(
        &mut self,
        framed: &mut Framed,
        address: u64,
        data: &[u8],
        patience: Option<Duration>,
    ) -> Answered<usize> {
        self.settle(framed, patience)?;
        let room = usize::try_from(u64::MAX - address).unwrap_or(usize::MAX);
        let mut todo = shares(vec![data.len().min(room)], self.chunk).peekable();
        let mut under_way = VecDeque::new();
        let (mut bytes, mut done) = (0, 0);
        let mut failure = None;
        loop {
            if bytes <= WRITE_WINDOW / 2 && failure.is_none() {
                while let Some(share) = todo.next_if(|share| bytes == 0 || bytes + share.count <= WRITE_WINDOW) {
                    let data = &data[share.offset..share.offset + share.count];
                    let address = address + share.offset as u64;
                    let id = self.send_in_turn(framed, &Request::Write { descriptor: LATEST, address, data })?;
                    bytes += share.count;
                    under_way.push_back((id, share));
                }
                framed.flush(patience)?;
            }
            let Some((id, share)) = under_way.pop_front() else { break };
            bytes -= share.count;
            let head = self.head(framed, id, patience)?;
            match self.result(framed, head, patience)? {
                Ok(result) if done == share.offset => done += (rap2::number(&result)? as usize).min(share.count),
                Ok(_) => {}
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        // What was taken before something failed was taken.
        Ok(match failure {
            Some(error) if done == 0 => Err(error),
            _ => Ok(done),
        })
    }

    /// A request with one short answer.
    pub fn ask(&mut self, framed: &mut Framed, request: &Request<'_>, patience: Option<Duration>) -> Answered<Vec<u8>> {
        self.settle(framed, patience)?;
        let id = self.send_in_turn(framed, request)?;
        framed.flush(patience)?;
        let head = self.head(framed, id, patience)?;
        self.result(framed, head, patience)
    }

    /// A request that may take as long as it wants, and says things meanwhile, which `each` gets. `cancel` ends it over
    /// there. Whoever hears nothing for `patience` asks whether anybody is there.
    pub fn converse(
        &mut self,
        framed: &mut Framed,
        request: &Request<'_>,
        patience: Duration,
        cancel: &Cancel,
        each: &mut dyn FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<Ended> {
        self.settle(framed, Some(patience))?;
        let id = self.send_in_turn(framed, request)?;
        framed.flush(Some(patience))?;
        let mut local: Option<Error> = None;
        // When the end was asked for, and whether a sign of life was.
        let (mut ending, mut pinged) = (None, false);
        loop {
            if let Some(since) = ending {
                // A server that goes on for so long is not waited for.
                framed.left(since, Some(patience))?;
            } else if cancel.is_set() || local.is_some() {
                // The rest of the conversation must be heard, or nobody knows where it stands.
                framed.set_cancel(Cancel::new());
                self.send_aside(framed, &Request::Cancel { id }, Some(patience))?;
                ending = Some(Instant::now());
            }
            let head = match self.next_head(framed, Some(patience)) {
                Err(error) if error.kind() == Kind::Interrupted && ending.is_none() => continue,
                Err(error) if error.kind() == Kind::Timeout && !pinged => {
                    self.send_aside(framed, &Request::Ping { data: &[] }, Some(patience))?;
                    pinged = true;
                    continue;
                }
                outcome => outcome?,
            };
            pinged = false;
            let Some(head) = head else { continue };
            if head.id != id {
                return Err(unasked());
            }
            let body = body(framed, head.length, Some(patience))?;
            self.rest = 0;
            if head.tag == Part::Done {
                self.turn.pop_front();
            }
            match Answer::parse(head.tag, &body)? {
                Answer::Done { status, result } => return Ok(Ended { status, result: result.to_vec(), local }),
                Answer::Progress { done, total } => cancel.report_progress(done, Some(total)),
                answer if ending.is_none() => local = each(answer).err(),
                _ => {}
            }
        }
    }
}

/// A body, for which Ctrl-C is looked at only before it begins: the server has sent it already, and what would be left
/// of it could not be told from the next frame.
fn body(framed: &mut Framed, length: usize, patience: Option<Duration>) -> Result<Vec<u8>> {
    let cancel = framed.set_cancel(Cancel::new());
    let body = framed.receive_vec(length, patience);
    if let Some(cancel) = cancel {
        framed.set_cancel(cancel);
    }
    body
}

impl Ended {
    /// What a line left behind.
    pub fn ran(&self) -> Result<Ran> {
        Ran::parse(&self.result)
    }
}

/// What the server says when it does not do as asked.
pub(super) fn refused(status: Status, text: &[u8]) -> Error {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    let text = if text.is_empty() { "the server says no" } else { text };
    Error::new(status.kind(), visible(text))
}

pub(super) fn unasked() -> Error {
    Error::new(Kind::Protocol, "the server answered something else than asked")
}
