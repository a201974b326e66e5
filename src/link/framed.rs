//! A link with buffers: requests are queued, then leave together; packets are decoded from what has arrived.

use std::io::{self, ErrorKind, IoSliceMut};
use std::ops::Range;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::{Duration, Instant};

use super::Link;
use crate::error::{Error, Kind, Result};
use crate::output::Cancel;

/// How long one system call may wait before Ctrl-C is looked at.
const SLICE: Duration = Duration::from_millis(50);

/// How slow a peer may be on the whole: so many bytes of an answer for each time that it may be silent. Over a modem
/// that is enough, and an answer of any length has an end.
const PACE: usize = 4096;

/// Bytes taken from the link at once when nobody says where they belong.
const CHUNK: usize = 16 * 1024;

/// Capacity that an idle connection keeps.
const IDLE: usize = 512;

/// What has crossed a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Flights: something was sent, and then its answer was waited for.
    pub round_trips: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, more: Traffic) {
        self.round_trips += more.round_trips;
        self.sent += more.sent;
        self.received += more.received;
    }
}

/// A buffered [`Link`]. [`Framed::queue`] collects, [`Framed::flush`] sends: that split is all there is to
/// pipelining.
pub struct Framed {
    link: Box<dyn Link>,
    /// Storage of which `start..end` has arrived and was not consumed.
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// What leaves next; the first `sent` bytes have left already.
    output: Vec<u8>,
    sent: usize,
    cancel: Option<Cancel>,
    traffic: Traffic,
    asked: bool,
}

impl Framed {
    /// Wraps `link`. Waits look at `cancel`, if there is one, at least every 50 ms.
    pub fn new(link: Box<dyn Link>, cancel: Option<Cancel>) -> Framed {
        Framed {
            link,
            input: Vec::new(),
            start: 0,
            end: 0,
            output: Vec::new(),
            sent: 0,
            cancel,
            traffic: Traffic::default(),
            asked: false,
        }
    }

    /// What ends the waits from now on. Returns what ended them so far.
    pub fn set_cancel(&mut self, cancel: Cancel) -> Option<Cancel> {
        self.cancel.replace(cancel)
    }

    /// What has crossed the link so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Whether the peer has gone.
    pub fn is_gone(&self) -> bool {
        self.start == self.end && self.link.is_gone()
    }

    /// Says that nothing more will be sent; answers can still be received.
    pub fn finish(&mut self) -> Result<()> {
        self.link.finish().map_err(|e| Error::system(self.link.peer(), &e))
    }

    /// Whether the connection has broken off, for another thread to ask; see [`Link::watch`].
    pub fn watch(&self) -> Box<dyn Fn() -> bool + Send + Sync> {
        self.link.watch()
    }

    /// The descriptor that the operating system knows the link by.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.link.descriptor()
    }

    /// The same for whoever polls it beside other things, after [`Framed::poll`] found nothing.
    pub fn pollable(&self) -> Option<BorrowedFd<'_>> {
        self.link.pollable()
    }

    /// Where packets are put that leave with the next [`Framed::flush`].
    pub fn queue(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Bytes that are queued and have not left.
    pub fn queued(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Sends what is queued. `patience` is how long the peer may take nothing at all.
    pub fn flush(&mut self, patience: Option<Duration>) -> Result<()> {
        let mut moved = Instant::now();
        while self.queued() > 0 {
            self.prepare(patience)?;
            match self.write() {
                Ok(()) => moved = Instant::now(),
                Err(error) => self.after(error, moved, patience)?,
            }
        }
        self.settle(patience)
    }

    /// Sends what the link takes within `wait`: zero asks it to take what it can at once. Returns whether it took
    /// anything.
    pub fn push(&mut self, wait: Duration) -> Result<bool> {
        let before = self.queued();
        self.link.set_timeout(Some(wait)).map_err(|e| Error::system(self.link.peer(), &e))?;
        while self.queued() > 0 {
            if let Err(error) = self.write() {
                match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => break,
                    _ => return Err(Error::system(self.link.peer(), &error)),
                }
            }
        }
        if self.queued() == 0
            && let Err(error) = self.link.flush()
            && !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
        {
            return Err(Error::system(self.link.peer(), &error));
        }
        Ok(self.queued() < before)
    }

    /// Takes what has come, without waiting. Returns whether anything has.
    ///
    /// # Errors
    /// [`Kind::Closed`] when the peer has ended the stream.
    pub fn poll(&mut self) -> Result<bool> {
        self.make_room();
        self.link.set_timeout(Some(Duration::ZERO)).map_err(|e| Error::system(self.link.peer(), &e))?;
        match self.link.read(&mut self.input[self.end..]) {
            Ok(0) => Err(self.closed()),
            Ok(count) => {
                self.traffic.received += count as u64;
                self.end += count;
                Ok(true)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(false),
                _ => Err(Error::system(self.link.peer(), &error)),
            },
        }
    }

    /// Gives the link one write.
    fn write(&mut self) -> io::Result<()> {
        match self.link.write(&self.output[self.sent..])? {
            0 => Err(ErrorKind::BrokenPipe.into()),
            count => {
                self.sent += count;
                self.traffic.sent += count as u64;
                self.asked = true;
                // What has left is dropped now and then, so that a slow line does not move the rest at each write.
                if self.sent * 2 >= self.output.len() {
                    self.output.drain(..self.sent);
                    self.sent = 0;
                }
                Ok(())
            }
        }
    }

    /// Sends what a link that transforms bytes (TLS) still holds.
    fn settle(&mut self, patience: Option<Duration>) -> Result<()> {
        let begun = Instant::now();
        while let Err(error) = self.link.flush() {
            self.after(error, begun, patience)?;
            self.prepare(patience)?;
        }
        Ok(())
    }

    /// What has arrived and was not consumed.
    pub fn arrived(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// Drops the first `count` bytes of [`Framed::arrived`].
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Waits until more has arrived. `patience` is how long nothing at all may come.
    ///
    /// # Errors
    /// [`Kind::Timeout`], [`Kind::Closed`] when the peer has ended the stream, [`Kind::Interrupted`].
    pub fn fill(&mut self, patience: Option<Duration>) -> Result<()> {
        self.make_room();
        self.read(&mut [], patience).map(drop)
    }

    /// Moves what has arrived to the front, with free space behind it.
    fn make_room(&mut self) {
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.input.len() < self.end + IDLE {
            self.input.resize(self.end + CHUNK, 0);
        }
    }

    /// Takes `range`, counted from the front of [`Framed::arrived`], out of its middle.
    pub fn remove(&mut self, range: Range<usize>) {
        self.input.copy_within(self.start + range.end..self.end, self.start + range.start);
        self.end -= range.len();
    }

    /// Waits until `decode` finds a packet at the front, consumes it and returns it. `patience` is for the whole packet,
    /// so that a peer which lets it drip wins nothing.
    pub fn receive<T>(
        &mut self,
        patience: Option<Duration>,
        decode: impl Fn(&[u8]) -> Result<Option<(T, usize)>>,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            if let Some((packet, used)) = decode(self.arrived())? {
                self.consume(used);
                return Ok(packet);
            }
            self.fill(self.left(begun, patience)?)?;
        }
    }

    /// What is left of `patience` since `begun`.
    ///
    /// # Errors
    /// [`Kind::Timeout`] when nothing is.
    pub fn left(&self, begun: Instant, patience: Option<Duration>) -> Result<Option<Duration>> {
        let Some(patience) = patience else { return Ok(None) };
        match patience.checked_sub(begun.elapsed()) {
            // One look at what is there is always taken.
            Some(left) => Ok(Some(left.max(Duration::from_millis(1)))),
            None => Err(Error::new(
                Kind::Timeout,
                format!(
                    "{} does not get on with its answer: not done after {} ms",
                    self.link.peer(),
                    patience.as_millis()
                ),
            )),
        }
    }

    /// Puts the next bytes into `buffer`, as many as there are after at most one wait.
    pub fn receive_some(&mut self, buffer: &mut [u8], patience: Option<Duration>) -> Result<usize> {
        let here = buffer.len().min(self.end - self.start);
        if here > 0 {
            buffer[..here].copy_from_slice(&self.input[self.start..self.start + here]);
            self.consume(here);
            return Ok(here);
        }
        if self.input.len() < CHUNK {
            self.input.resize(CHUNK, 0);
        }
        self.read(buffer, patience)
    }

    /// Fills `buffer` with the next bytes, straight from the link as far as they have not arrived yet.
    pub fn receive_into(&mut self, buffer: &mut [u8], patience: Option<Duration>) -> Result<()> {
        let here = buffer.len().min(self.end - self.start);
        buffer[..here].copy_from_slice(&self.input[self.start..self.start + here]);
        self.consume(here);
        let mut done = here;
        while done < buffer.len() {
            // The buffer is empty now: what comes behind the payload goes there with the same system call.
            if self.input.len() < CHUNK {
                self.input.resize(CHUNK, 0);
            }
            done += self.read(&mut buffer[done..], patience)?;
        }
        Ok(())
    }

    /// The next `length` bytes, collected as they come, so that a peer which announces much costs nothing. Within
    /// `patience` some bytes must come, and on the whole [`PACE`] of them.
    pub fn receive_vec(&mut self, length: usize, patience: Option<Duration>) -> Result<Vec<u8>> {
        let begun = Instant::now();
        let allowed = patience.map(|patience| patience * u32::try_from(1 + length / PACE).unwrap_or(u32::MAX));
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let done = bytes.len();
            bytes.resize(length.min(done + 4 * CHUNK), 0);
            let mut here = done;
            while here < bytes.len() {
                let left = self.left(begun, allowed)?;
                here += self.receive_some(&mut bytes[here..], patience.min(left))?;
            }
        }
        Ok(bytes)
    }

    /// Skips the next `length` bytes.
    pub fn discard(&mut self, mut length: u64, patience: Option<Duration>) -> Result<()> {
        loop {
            let here = length.min((self.end - self.start) as u64);
            self.consume(here as usize);
            length -= here;
            if length == 0 {
                return Ok(());
            }
            self.fill(patience)?;
        }
    }

    /// Gives back memory that only busy moments need.
    pub fn trim(&mut self) {
        if self.start == self.end && self.input.len() > IDLE {
            self.input = vec![0; IDLE];
        }
        self.output.shrink_to(IDLE);
        self.link.trim();
    }

    /// Reads once into `buffer` and, behind it, into the free end of the input. Returns how many bytes went into
    /// `buffer`.
    fn read(&mut self, buffer: &mut [u8], patience: Option<Duration>) -> Result<usize> {
        if std::mem::take(&mut self.asked) {
            self.traffic.round_trips += 1;
        }
        let begun = Instant::now();
        loop {
            self.prepare(patience)?;
            let free = &mut self.input[self.end..];
            let outcome = if buffer.is_empty() {
                self.link.read(free)
            } else {
                self.link.read_vectored(&mut [IoSliceMut::new(buffer), IoSliceMut::new(free)])
            };
            match outcome {
                Ok(0) => return Err(self.closed()),
                Ok(count) => {
                    self.traffic.received += count as u64;
                    let direct = count.min(buffer.len());
                    self.end += count - direct;
                    return Ok(direct);
                }
                Err(error) => self.after(error, begun, patience)?,
            }
        }
    }

    fn prepare(&mut self, patience: Option<Duration>) -> Result<()> {
        let timeout = match &self.cancel {
            Some(cancel) => {
                cancel.check()?;
                Some(patience.map_or(SLICE, |patience| patience.min(SLICE)))
            }
            None => patience,
        };
        // Zero would mean "for ever" to the system.
        let timeout = timeout.map(|timeout| timeout.max(Duration::from_millis(1)));
        self.link.set_timeout(timeout).map_err(|e| Error::system(self.link.peer(), &e))
    }

    /// Whether to go on after `error`: a wait that is not over, or a signal.
    fn after(&self, error: io::Error, since: Instant, patience: Option<Duration>) -> Result<()> {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => match patience {
                Some(patience) if since.elapsed() >= patience => Err(Error::new(
                    Kind::Timeout,
                    format!("no answer from {} within {} ms", self.link.peer(), patience.as_micros().div_ceil(1000)),
                )),
                _ => Ok(()),
            },
            ErrorKind::Interrupted => Ok(()),
            _ => Err(Error::system(self.link.peer(), &error)),
        }
    }

    fn closed(&self) -> Error {
        Error::new(Kind::Closed, format!("{} closed the connection", self.link.peer()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::link::memory;

    fn byte(bytes: &[u8]) -> Result<Option<(u8, usize)>> {
        Ok(bytes.first().map(|byte| (*byte, 1)))
    }

    #[test]
    fn one_flight_is_one_round_trip_however_much_it_carries() {
        let (near, mut far) = memory::pair(Duration::ZERO);
        let mut framed = Framed::new(Box::new(near), None);
        framed.queue().extend(b"ab");
        framed.queue().extend(b"c");
        framed.flush(None).unwrap();
        far.write_all(b"xy").unwrap();
        assert_eq!(framed.receive(None, byte).unwrap(), b'x');
        assert_eq!(framed.receive(None, byte).unwrap(), b'y');
        assert_eq!(framed.traffic(), Traffic { round_trips: 1, sent: 3, received: 2 });
    }

    #[test]
    fn payloads_go_where_they_belong_and_what_follows_is_kept() {
        let (near, mut far) = memory::pair(Duration::ZERO);
        let mut framed = Framed::new(Box::new(near), None);
        far.write_all(b"h12").unwrap();
        far.write_all(b"345t").unwrap();
        assert_eq!(framed.receive(None, byte).unwrap(), b'h');
        let mut payload = [0; 5];
        framed.receive_into(&mut payload, None).unwrap();
        assert_eq!(&payload, b"12345");
        far.write_all(b"skipped!").unwrap();
        framed.discard(5, None).unwrap();
        assert_eq!(framed.receive(None, byte).unwrap(), b'p');
    }

    #[test]
    fn without_waiting_the_line_takes_what_it_can_and_gives_what_is_there() {
        let (near, mut far) = memory::pair(Duration::ZERO);
        let mut framed = Framed::new(Box::new(near), None);
        assert!(!framed.poll().unwrap());
        far.write_all(b"one(urgent)two").unwrap();
        assert!(framed.poll().unwrap());
        framed.remove(3..11);
        assert_eq!(framed.arrived(), b"onetwo");
        // More than the line holds: some of it stays, and leaves when there is room.
        framed.queue().resize(1 << 20, 7);
        assert!(framed.push(Duration::ZERO).unwrap());
        assert!(framed.queued() > 0 && framed.queued() < 1 << 20);
        assert!(!framed.push(Duration::ZERO).unwrap());
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            far.read_to_end(&mut bytes).unwrap();
            bytes
        });
        framed.queue().push(8);
        framed.flush(None).unwrap();
        drop(framed);
        let bytes = reader.join().unwrap();
        assert_eq!((bytes.len(), bytes.last()), ((1 << 20) + 1, Some(&8)));
    }

    #[test]
    fn waits_end_by_deadline_by_flag_and_by_the_end_of_the_stream() {
        let (near, far) = memory::pair(Duration::ZERO);
        let cancel = Cancel::new();
        let mut framed = Framed::new(Box::new(near), Some(cancel.clone()));
        let patience = Some(Duration::from_millis(5));
        assert_eq!(framed.fill(patience).unwrap_err().kind(), Kind::Timeout);
        cancel.set();
        assert_eq!(framed.fill(None).unwrap_err().kind(), Kind::Interrupted);
        cancel.clear();
        drop(far);
        assert_eq!(framed.fill(None).unwrap_err().kind(), Kind::Closed);
        framed.queue().push(1);
        assert_eq!(framed.flush(None).unwrap_err().kind(), Kind::Closed);
    }
}
