//! The client's half of rap 2: requests and answers in frames, on a connection whose server speaks them.
//!
//! An error of the connection is the outer [`Result`] of these functions: nobody knows what would come next. What the
//! server refuses is the inner one, and leaves the connection as it was.

use std::collections::VecDeque;
use std::ops::Range as Addresses;
use std::time::{Duration, Instant};

use super::{Piece, Share, shares};
use crate::error::{Error, Kind, Result};
use crate::link::Framed;
use crate::output::{Cancel, visible};
use crate::protocol::rap2::{self, Answer, Head, LATEST, Part, RANGES, Ran, Range, Request, Stat, Status};

/// Bytes that may be under way to us: as much as a fast line of 100 ms holds. They go from the line straight to where
/// they belong, so this is no memory of ours.
const WINDOW: usize = 24 << 20;
/// Bytes under way to the server, which are copied once.
const WRITE_WINDOW: usize = 4 << 20;
/// Bytes of one answer to a reader who reads on and on: the server works on the next while this one travels.
const STREAM: u32 = 256 << 10;
/// Bytes of requests under way: they fit into the smallest socket buffers, so that sending them never waits for a
/// server that waits for us to read.
const ASKED: usize = 16 << 10;
/// News that are kept until somebody looks.
const NEWS: usize = 16;

/// What the server answers to a request.
type Answered<T> = Result<std::result::Result<T, Error>>;

/// The state of the conversation on one connection.
pub(super) struct Channel {
    next: u32,
    /// Most bytes of data in one frame.
    chunk: usize,
    /// Answers that may come at any time and say nothing: those to CANCEL and PING.
    asides: Vec<u32>,
    /// The STAT under way.
    stat: Option<u32>,
    /// Whether the next flight should take a STAT along.
    wants_stat: bool,
    /// What the last STAT said, while that holds.
    known: Option<Stat>,
    ahead: Ahead,
    news: Vec<String>,
}

/// Reads that were sent before somebody needed their answers.
#[derive(Default)]
struct Ahead {
    /// Under way, in order: number and length.
    asked: VecDeque<(u32, u32)>,
    /// Their bytes.
    bytes: usize,
    /// What will be asked for.
    plan: Addresses<u64>,
    /// Bytes of the answer at the front that have not been taken.
    open: usize,
    /// The answer at the front was short: what follows it does not continue it.
    gap: bool,
    /// Address of the next byte.
    position: u64,
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
            asides: Vec::new(),
            stat: None,
            wants_stat: true,
            known: None,
            ahead: Ahead::default(),
            news: Vec::new(),
        }
    }

    /// How many bytes of data the server takes at once.
    pub fn set_chunk(&mut self, chunk: usize) {
        self.chunk = chunk;
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
        while !self.ahead.is_active() && matches!(Head::answer(framed.arrived(), rap2::FRAME), Ok(Some(_))) {
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

    fn send_aside(&mut self, framed: &mut Framed, request: &Request<'_>, patience: Option<Duration>) -> Result<()> {
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
            // A server that cannot say is as good as one that does not know.
            if let Ok(result) = self.result(framed, head, patience)? {
                self.known = Some(Stat::parse(&result)?);
            }
        } else if let Some(at) = self.asides.iter().position(|id| *id == head.id) {
            self.asides.swap_remove(at);
            body(framed, head.length, patience)?;
        } else {
            return Ok(Some(head));
        }
        Ok(None)
    }

    /// The head of the answer to `id`, which is the next in turn.
    fn head(&mut self, framed: &mut Framed, id: u32, patience: Option<Duration>) -> Result<Head<Part>> {
        loop {
            match self.next_head(framed, patience)? {
                None => {}
                Some(head) if head.id == id && head.tag == Part::Done => return Ok(head),
                Some(_) => return Err(unasked()),
            }
        }
    }

    /// The body behind the head of a DONE.
    fn result(&mut self, framed: &mut Framed, head: Head<Part>, patience: Option<Duration>) -> Answered<Vec<u8>> {
        let mut body = body(framed, head.length, patience)?;
        match Answer::parse(head.tag, &body)? {
            Answer::Done { status: Status::Ok, .. } => {
                body.remove(0);
                Ok(Ok(body))
            }
            Answer::Done { status, result } => Ok(Err(refused(status, result))),
            _ => Err(unasked()),
        }
    }

    /// Leaves the reads that were sent ahead: the server drops those that it has not begun.
    pub fn settle(&mut self, framed: &mut Framed, patience: Option<Duration>) -> Result<()> {
        self.ahead.plan = 0..0;
        self.ahead.gap = false;
        if !self.ahead.asked.is_empty() {
            self.send_aside(framed, &Request::Cancel { id: 0 }, patience)?;
        }
        framed.discard(std::mem::take(&mut self.ahead.open) as u64, patience)?;
        while let Some((id, _)) = self.ahead.asked.pop_front() {
            let head = self.head(framed, id, patience)?;
            framed.discard(head.length as u64, patience)?;
        }
        self.ahead.bytes = 0;
        Ok(())
    }

    /// `length` bytes from `address` on are about to be read.
    pub fn will_read(
        &mut self,
        framed: &mut Framed,
        address: u64,
        length: u64,
        patience: Option<Duration>,
    ) -> Result<()> {
        let end = address.saturating_add(length);
        if self.ahead.is_active() && self.ahead.position == address && self.ahead.plan.end >= address {
            self.ahead.plan.end = self.ahead.plan.end.max(end);
            return Ok(());
        }
        self.settle(framed, patience)?;
        self.ahead.position = address;
        self.ahead.plan = address..end;
        Ok(())
    }

    /// Whether `pieces` go on where the reads ahead are.
    fn goes_on(&self, pieces: &[Piece<'_>]) -> bool {
        let mut at = Some(self.ahead.position);
        (self.ahead.is_active() || !self.ahead.plan.is_empty())
            && pieces.iter().all(|piece| {
                let fits = at == Some(piece.address);
                at = piece.address.checked_add(piece.buffer.len() as u64);
                fits
            })
    }

    /// Reads all `pieces` of a file that ends at `end`.
    pub fn read(
        &mut self,
        framed: &mut Framed,
        pieces: &mut [Piece<'_>],
        end: u64,
        patience: Option<Duration>,
    ) -> Answered<()> {
        if self.wants_stat {
            self.queue_stat(framed)?;
        }
        for piece in pieces.iter_mut() {
            piece.done = 0;
        }
        if !self.goes_on(pieces) {
            self.settle(framed, patience)?;
            return self.scatter(framed, pieces, end, patience);
        }
        for piece in pieces.iter_mut() {
            match self.stream(framed, piece.buffer, patience)? {
                Ok(done) => piece.done = done,
                Err(error) => return Ok(Err(error)),
            }
            if piece.done < piece.buffer.len() {
                break;
            }
        }
        Ok(Ok(()))
    }

    /// The next bytes of the reads ahead. Short where they end or have a hole.
    fn stream(&mut self, framed: &mut Framed, buffer: &mut [u8], patience: Option<Duration>) -> Answered<usize> {
        let mut done = 0;
        while done < buffer.len() {
            self.top_up(framed, patience)?;
            if self.ahead.open == 0 {
                let Some((id, length)) = self.ahead.asked.pop_front() else { break };
                self.ahead.bytes -= length as usize;
                let head = self.head(framed, id, patience)?;
                let mut status = [0];
                framed.receive_into(&mut status, patience)?;
                if Status::of(status[0]) != Status::Ok {
                    let text = framed.receive_vec(head.length.saturating_sub(1), patience)?;
                    self.settle(framed, patience)?;
                    return Ok(Err(refused(Status::of(status[0]), &text)));
                }
                let mut count = [0; 4];
                framed.receive_into(&mut count, patience)?;
                let count = u32::from_be_bytes(count);
                if count > length || head.length != 5 + count as usize {
                    return Err(unasked());
                }
                self.ahead.open = count as usize;
                self.ahead.gap = count < length;
            }
            let count = self.ahead.open.min(buffer.len() - done);
            framed.receive_into(&mut buffer[done..done + count], patience)?;
            done += count;
            self.ahead.open -= count;
            self.ahead.position = self.ahead.position.saturating_add(count as u64);
            if self.ahead.open == 0 && self.ahead.gap {
                self.settle(framed, patience)?;
                break;
            }
        }
        Ok(Ok(done))
    }

    /// Sends more of the planned reads when there is room for some, so that the line stays full.
    fn top_up(&mut self, framed: &mut Framed, patience: Option<Duration>) -> Result<()> {
        let room = WINDOW - self.ahead.bytes;
        if self.ahead.plan.is_empty() || (room < WINDOW / 8 && !self.ahead.asked.is_empty()) {
            return Ok(());
        }
        while !self.ahead.plan.is_empty() && self.ahead.bytes + STREAM as usize <= WINDOW {
            let left = self.ahead.plan.end - self.ahead.plan.start;
            let length = u32::try_from(left).unwrap_or(u32::MAX).min(STREAM).min(self.chunk as u32);
            let range = Range { address: self.ahead.plan.start, length };
            let id = self.send(framed, &Request::Read { descriptor: LATEST, ranges: vec![range] })?;
            self.ahead.plan.start += u64::from(length);
            self.ahead.bytes += length as usize;
            self.ahead.asked.push_back((id, length));
        }
        framed.flush(patience)
    }

    /// Reads pieces wherever they are: many ranges in a request, many requests under way.
    fn scatter(
        &mut self,
        framed: &mut Framed,
        pieces: &mut [Piece<'_>],
        end: u64,
        patience: Option<Duration>,
    ) -> Answered<()> {
        let room = |piece: &Piece<'_>| usize::try_from(end.saturating_sub(piece.address)).unwrap_or(usize::MAX);
        let lengths = pieces.iter().map(|piece| room(piece).min(piece.buffer.len())).collect();
        let mut todo = shares(lengths, self.chunk).peekable();
        let mut under_way: VecDeque<(u32, Vec<Share>, usize)> = VecDeque::new();
        let (mut bytes, mut asked) = (0, 0);
        let mut failure = None;
        loop {
            // Half a window at a time: the line stays full, and requests still leave together.
            if bytes <= WINDOW / 2 && asked <= ASKED / 2 {
                while todo.peek().is_some() && (bytes == 0 || bytes + self.chunk <= WINDOW && asked < ASKED) {
                    let (mut flight, mut ranges, mut length) = (Vec::new(), Vec::new(), 0);
                    while let Some(share) = todo
                        .next_if(|share| ranges.len() < RANGES && (length == 0 || length + share.count <= self.chunk))
                    {
                        let address = pieces[share.piece].address + share.offset as u64;
                        ranges.push(Range { address, length: share.count as u32 });
                        length += share.count;
                        flight.push(share);
                    }
                    let before = framed.queued();
                    let id = self.send(framed, &Request::Read { descriptor: LATEST, ranges })?;
                    asked += framed.queued() - before;
                    bytes += length;
                    under_way.push_back((id, flight, length));
                }
                framed.flush(patience)?;
            }
            let Some((id, flight, length)) = under_way.pop_front() else { break };
            bytes -= length;
            asked = asked.saturating_sub(rap2::HEAD + 6 + 12 * flight.len());
            let head = self.head(framed, id, patience)?;
            let mut status = [0];
            framed.receive_into(&mut status, patience)?;
            if Status::of(status[0]) != Status::Ok {
                let text = framed.receive_vec(head.length.saturating_sub(1), patience)?;
                failure.get_or_insert_with(|| refused(Status::of(status[0]), &text));
                continue;
            }
            let counts = framed.receive_vec(4 * flight.len(), patience)?;
            let counts = counts.as_chunks::<4>().0.iter().map(|count| u32::from_be_bytes(*count) as usize);
            let counts: Vec<usize> = counts.collect();
            let fits = counts.iter().zip(&flight).all(|(count, share)| *count <= share.count);
            if !fits || head.length != 1 + 4 * flight.len() + counts.iter().sum::<usize>() {
                return Err(unasked());
            }
            for (share, count) in flight.iter().zip(counts) {
                let piece = &mut pieces[share.piece];
                framed.receive_into(&mut piece.buffer[share.offset..share.offset + count], patience)?;
                // Behind a short answer the piece has a hole; what came after it does not count.
                if piece.done == share.offset {
                    piece.done += count;
                }
            }
        }
        Ok(failure.map_or(Ok(()), Err))
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
                    let id = self.send(framed, &Request::Write { descriptor: LATEST, address, data })?;
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
        let id = self.send(framed, request)?;
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
        let id = self.send(framed, request)?;
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

impl Ahead {
    fn is_active(&self) -> bool {
        self.open > 0 || !self.asked.is_empty()
    }
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

fn unasked() -> Error {
    Error::new(Kind::Protocol, "the server answered something else than asked")
}
