//! Reading in frames: what is wherever it is, and what is read from front to back, which is asked for ahead; both
//! compressed when the line is so slow that this is faster.

use std::collections::VecDeque;
use std::ops::Range as Addresses;
use std::time::Duration;

use super::frames::{Answered, Channel, refused, unasked};
use super::{Piece, Share, shares};
use crate::error::{Kind, Result};
use crate::link::Framed;
use crate::protocol::rap2::{self, LATEST, RANGES, Range, Request, Status};

/// Bytes that may be under way to us: as much as a fast line of 100 ms holds. They go from the line straight to where
/// they belong, so this is no memory of ours.
const WINDOW: usize = 24 << 20;
/// Bytes of one answer to a reader who reads on and on: the server works on the next while this one travels.
const STREAM: u32 = 256 << 10;
/// Bytes of requests under way: they fit into the smallest socket buffers, so that sending them never waits for a
/// server that waits for us to read.
const ASKED: usize = 16 << 10;

/// When bytes are asked for in compressed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// While the line is slow.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How fast bytes come while somebody waits for them.
#[derive(Debug, Default)]
pub(super) struct Pace {
    bytes: usize,
    time: Duration,
    slow: bool,
}

impl Pace {
    /// So much tells something about the line,
    const SAMPLE: usize = 1 << 20;
    /// and so does that.
    const MOMENT: Duration = Duration::from_millis(500);
    /// Bytes in a second of a line that is slow: far less than what can be compressed and unpacked in that time.
    const SLOW: f64 = 8e6;
    /// Bytes in a second of one that is not slow any more.
    const FAST: f64 = 32e6;

    /// So many bytes have come, and were waited for so long.
    pub fn add(&mut self, bytes: usize, time: Duration) {
        self.bytes += bytes;
        self.time += time;
        if self.bytes >= Pace::SAMPLE || self.time >= Pace::MOMENT {
            let limit = if self.slow { Pace::FAST } else { Pace::SLOW };
            self.slow = (self.bytes as f64) < limit * self.time.as_secs_f64();
            (self.bytes, self.time) = (0, Duration::ZERO);
        }
    }
}

/// A read under way.
#[derive(Clone, Copy)]
struct Asked {
    id: u32,
    length: u32,
    packed: bool,
}

/// Reads that were sent before somebody needed their answers.
#[derive(Default)]
pub(super) struct Ahead {
    /// Under way, in order.
    asked: VecDeque<Asked>,
    /// Their bytes.
    bytes: usize,
    /// What will be asked for.
    plan: Addresses<u64>,
    /// Bytes of the answer at the front that have not been taken.
    open: usize,
    /// What of it was unpacked and not taken.
    unpacked: Vec<u8>,
    /// The answer at the front was short: what follows it does not continue it.
    gap: bool,
    /// Those under way were cancelled, to be asked for in another form.
    turning: bool,
    /// Address of the next byte.
    position: u64,
}

impl Ahead {
    /// Whether reads are under way.
    fn is_active(&self) -> bool {
        self.open > 0 || !self.asked.is_empty()
    }

    /// Forgets them, and what was to follow.
    pub fn stop(&mut self) {
        *self = Ahead { position: self.position, ..Ahead::default() };
    }
}

impl Channel {
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
        for piece in pieces.iter_mut() {
            piece.done = 0;
        }
        let goes_on = self.goes_on(pieces);
        if !goes_on {
            self.settle(framed, patience)?;
        }
        if self.wants_stat {
            self.queue_stat(framed)?;
        }
        if !goes_on {
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

    /// Whether what is asked for next is asked for in compressed form.
    fn packs(&self) -> bool {
        match self.compression {
            Compression::Always => true,
            Compression::Auto => self.pace.slow,
            Compression::Never => false,
        }
    }

    /// The next bytes of the reads ahead. Short where they end or have a hole.
    fn stream(&mut self, framed: &mut Framed, buffer: &mut [u8], patience: Option<Duration>) -> Answered<usize> {
        let mut done = 0;
        while done < buffer.len() {
            self.turn_over(framed, patience)?;
            self.top_up(framed, patience)?;
            if self.ahead.open == 0 {
                let Some(asked) = self.ahead.asked.pop_front() else { break };
                match self.open_answer(framed, asked, patience)? {
                    Ok(()) => {}
                    Err(error) if error.kind() == Kind::Interrupted && self.ahead.turning => {
                        // So are all that follow: they are asked for again, as it is better now.
                        let (at, end) = (self.ahead.position, self.ahead.plan.end);
                        self.was_cancelled();
                        self.settle(framed, patience)?;
                        self.ahead.plan = at..end;
                        continue;
                    }
                    Err(error) => {
                        self.settle(framed, patience)?;
                        return Ok(Err(error));
                    }
                }
            }
            let count = self.ahead.open.min(buffer.len() - done);
            let part = &mut buffer[done..done + count];
            match self.ahead.unpacked.len().checked_sub(self.ahead.open) {
                Some(at) => part.copy_from_slice(&self.ahead.unpacked[at..at + count]),
                None => self.take(framed, part, patience)?,
            }
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

    /// Takes the answer to `asked` up to its bytes.
    fn open_answer(&mut self, framed: &mut Framed, asked: Asked, patience: Option<Duration>) -> Answered<()> {
        let Asked { id, length, packed } = asked;
        self.ahead.bytes -= length as usize;
        let head = self.head(framed, id, patience)?;
        if let Err(error) = self.status(framed, patience)? {
            return Ok(Err(error));
        }
        self.ahead.unpacked.clear();
        let count = if packed {
            let (counts, bytes) = self.take_packed(framed, &[length], patience)?;
            self.ahead.unpacked = bytes;
            counts.first().copied().unwrap_or_default()
        } else {
            let mut count = [0; 4];
            self.take(framed, &mut count, patience)?;
            let count = u32::from_be_bytes(count);
            if count > length || head.length != 5 + count as usize {
                return Err(unasked());
            }
            count
        };
        self.ahead.open = count as usize;
        self.ahead.gap = count < length;
        Ok(Ok(()))
    }

    /// The status of the answer at the front; with any but 0, all of it.
    fn status(&mut self, framed: &mut Framed, patience: Option<Duration>) -> Answered<()> {
        let mut status = [0];
        self.take(framed, &mut status, patience)?;
        match Status::of(status[0]) {
            Status::Ok => Ok(Ok(())),
            status => Ok(Err(refused(status, &self.take_rest(framed, patience)?))),
        }
    }

    /// The result of a PACKED of ranges with these lengths.
    fn take_packed(
        &mut self,
        framed: &mut Framed,
        asked: &[u32],
        patience: Option<Duration>,
    ) -> Result<(Vec<u32>, Vec<u8>)> {
        rap2::unpack(&self.take_rest(framed, patience)?, asked)
    }

    /// When the line has turned out to be slow, takes back what was asked for in plain form and not begun.
    fn turn_over(&mut self, framed: &mut Framed, patience: Option<Duration>) -> Result<()> {
        // It may be that all of it was begun.
        self.ahead.turning &= !self.ahead.asked.is_empty();
        let plain = self.ahead.asked.iter().any(|asked| !asked.packed);
        if plain && self.packs() && !self.ahead.turning {
            self.ahead.turning = true;
            self.send_aside(framed, &Request::Cancel { id: 0 }, patience)?;
        }
        Ok(())
    }

    /// Sends more of the planned reads when there is room for some, so that the line stays full.
    fn top_up(&mut self, framed: &mut Framed, patience: Option<Duration>) -> Result<()> {
        let room = WINDOW - self.ahead.bytes;
        if self.ahead.plan.is_empty() || self.ahead.turning || (room < WINDOW / 8 && !self.ahead.asked.is_empty()) {
            return Ok(());
        }
        let packed = self.packs();
        while !self.ahead.plan.is_empty() && self.ahead.bytes + STREAM as usize <= WINDOW {
            let left = self.ahead.plan.end - self.ahead.plan.start;
            let length = u32::try_from(left).unwrap_or(u32::MAX).min(STREAM).min(self.chunk as u32);
            let range = Range { address: self.ahead.plan.start, length };
            let id = self.send_in_turn(framed, &reading(packed, vec![range]))?;
            self.ahead.plan.start += u64::from(length);
            self.ahead.bytes += length as usize;
            self.ahead.asked.push_back(Asked { id, length, packed });
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
        let mut under_way: VecDeque<(Asked, Vec<Share>)> = VecDeque::new();
        let (mut bytes, mut asked) = (0, 0);
        let mut failure = None;
        loop {
            // Half a window at a time: the line stays full, and requests still leave together.
            if bytes <= WINDOW / 2 && asked <= ASKED / 2 {
                let packed = self.packs();
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
                    let id = self.send_in_turn(framed, &reading(packed, ranges))?;
                    asked += framed.queued() - before;
                    bytes += length;
                    under_way.push_back((Asked { id, length: length as u32, packed }, flight));
                }
                framed.flush(patience)?;
            }
            let Some((Asked { id, length, packed }, flight)) = under_way.pop_front() else { break };
            bytes -= length as usize;
            asked = asked.saturating_sub(rap2::HEAD + 6 + 12 * flight.len());
            let head = self.head(framed, id, patience)?;
            if let Err(error) = self.status(framed, patience)? {
                failure.get_or_insert(error);
                continue;
            }
            if packed {
                let lengths: Vec<u32> = flight.iter().map(|share| share.count as u32).collect();
                let (counts, found) = self.take_packed(framed, &lengths, patience)?;
                let mut found = &found[..];
                for (share, count) in flight.iter().zip(counts) {
                    let (here, rest) = found.split_at_checked(count as usize).ok_or_else(unasked)?;
                    found = rest;
                    let piece = &mut pieces[share.piece];
                    piece.buffer[share.offset..share.offset + here.len()].copy_from_slice(here);
                    piece.arrived(share, here.len());
                }
                continue;
            }
            let mut counts = vec![0; 4 * flight.len()];
            self.take(framed, &mut counts, patience)?;
            let counts = counts.as_chunks::<4>().0.iter().map(|count| u32::from_be_bytes(*count) as usize);
            let counts: Vec<usize> = counts.collect();
            let fits = counts.iter().zip(&flight).all(|(count, share)| *count <= share.count);
            if !fits || head.length != 1 + 4 * flight.len() + counts.iter().sum::<usize>() {
                return Err(unasked());
            }
            for (share, count) in flight.iter().zip(counts) {
                let piece = &mut pieces[share.piece];
                self.take(framed, &mut piece.buffer[share.offset..share.offset + count], patience)?;
                piece.arrived(share, count);
            }
        }
        Ok(failure.map_or(Ok(()), Err))
    }
}

impl Piece<'_> {
    /// So many bytes of `share` have come. Behind a short answer the piece has a hole; what came after it does not count.
    fn arrived(&mut self, share: &Share, count: usize) {
        if self.done == share.offset {
            self.done += count;
        }
    }
}

/// The request for `ranges` of the file opened last.
fn reading(packed: bool, ranges: Vec<Range>) -> Request<'static> {
    match packed {
        true => Request::Packed { descriptor: LATEST, ranges },
        false => Request::Read { descriptor: LATEST, ranges },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_slow_until_it_is_clearly_fast() {
        let mut pace = Pace::default();
        let second = Duration::from_secs(1);
        pace.add(1000, Duration::from_millis(100));
        assert!(!pace.slow, "a little tells nothing");
        pace.add(1000, second);
        assert!(pace.slow);
        for (bytes, time, slow) in [
            (20_000_000, second, true),
            (40_000_000, second, false),
            (20_000_000, second, false),
            (5 << 20, second, true),
            (2 << 20, Duration::ZERO, false),
        ] {
            pace.add(bytes, time);
            assert_eq!(pace.slow, slow, "{bytes} in {time:?}");
        }
    }
}
