//! The client's end of GDB's remote protocol: packets to a stub and back, with deadlines, acknowledgements and
//! repetitions. What the packets say is nobody's business here.

mod pipe;
mod place;
mod serial;

use std::time::{Duration, Instant};

pub use place::Place;

use super::{Framed, Link, Traffic};
use crate::error::{Error, Kind, Result};
use crate::output::Cancel;
use crate::protocol::rsp::link::{Event, INTERRUPT, LIMIT, Link as Codec, Role};

/// Most bytes of requests that travel together: they fit into the buffers of every line, so that neither end waits
/// for the other to read first.
const FLIGHT: usize = 16 * 1024;

/// Most requests that travel together.
const FLIGHT_REQUESTS: usize = 64;

/// Replies that may be owed before the line counts as dead.
const OWED: usize = 256;

/// A connection to a stub.
pub struct Connection {
    framed: Framed,
    codec: Codec,
    /// How long a reply may take.
    timeout: Duration,
    cancel: Cancel,
    /// Replies that were given up and may still come.
    owed: usize,
    pipelines: bool,
}

impl Connection {
    /// Over `link`; each reply may take `timeout`, and `cancel` ends the wait for it.
    pub fn new(link: Box<dyn Link>, timeout: Duration, cancel: Cancel) -> Connection {
        Connection {
            framed: Framed::new(link, None),
            codec: Codec::new(Role::Client, LIMIT),
            timeout,
            cancel,
            owed: 0,
            pipelines: false,
        }
    }

    /// What has crossed the line.
    pub fn traffic(&self) -> Traffic {
        self.framed.traffic()
    }

    /// How long a reply may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Goes on without acknowledgements; from now on several requests may travel together.
    pub fn stop_acknowledging(&mut self) {
        self.codec.stop_acknowledging();
        self.pipelines = true;
    }

    /// Whether several requests may travel together.
    pub fn pipelines(&self) -> bool {
        self.pipelines
    }

    /// A bare acknowledgement: what some stubs want to see first.
    pub fn greet(&mut self) -> Result<()> {
        self.framed.queue().push(b'+');
        self.framed.flush(Some(self.timeout))
    }

    /// Sends a packet whose reply is somebody else's to receive.
    pub fn send(&mut self, payload: &[u8]) -> Result<()> {
        self.settle()?;
        self.codec.send(payload, self.framed.queue());
        self.framed.flush(Some(self.timeout))
    }

    /// The byte that stops the target.
    pub fn interrupt(&mut self) -> Result<()> {
        self.framed.queue().push(INTERRUPT);
        self.framed.flush(Some(self.timeout))
    }

    /// Sends a request and waits for its reply.
    pub fn exchange(&mut self, payload: &[u8]) -> Result<Vec<u8>> {
        let mut replies = self.flight(&[payload.to_vec()])?;
        replies.pop().ok_or_else(|| Error::new(Kind::Protocol, "no reply"))
    }

    /// Sends requests and waits for their replies, which come in the same order; together as far as the line allows.
    pub fn flight(&mut self, payloads: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        self.settle()?;
        let mut replies = Vec::with_capacity(payloads.len());
        let mut rest = payloads;
        while !rest.is_empty() {
            let mut count = 0;
            let mut size = 0;
            while let Some(payload) = rest.get(count) {
                size += payload.len();
                if count > 0 && (!self.pipelines || size > FLIGHT || count >= FLIGHT_REQUESTS) {
                    break;
                }
                self.codec.send(payload, self.framed.queue());
                count += 1;
            }
            self.framed.flush(Some(self.timeout))?;
            for at in 0..count {
                match self.reply() {
                    Ok(reply) => replies.push(reply),
                    Err(error) => {
                        self.owed += count - at;
                        return Err(error);
                    }
                }
            }
            rest = &rest[count..];
        }
        Ok(replies)
    }

    /// What ends a wait that begins now. One that was set before belongs to somebody who is gone.
    fn flag(&self) -> Cancel {
        if self.cancel.is_set() { Cancel::new() } else { self.cancel.clone() }
    }

    /// The next packet, which must come within the time for a reply. With acknowledgements the request is repeated once.
    fn reply(&mut self) -> Result<Vec<u8>> {
        let cancel = self.flag();
        for again in [true, false] {
            match self.receive(Instant::now() + self.timeout, &cancel)? {
                Some(reply) => return Ok(reply),
                None if again && self.codec.acknowledges() => {
                    let mut bytes = Vec::new();
                    self.codec.resend(&mut bytes);
                    self.framed.queue().extend(bytes);
                    self.framed.flush(Some(self.timeout))?;
                }
                None => break,
            }
        }
        Err(Error::new(Kind::Timeout, format!("the stub does not answer within {} ms", self.timeout.as_millis()))
            .hint("e net.timeout=MILLISECONDS waits longer"))
    }

    /// Waits for a packet until `deadline`; `None`: the time is up.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] by `cancel` within 100 ms, [`Kind::Closed`] at the end of the stream.
    pub fn receive(&mut self, deadline: Instant, cancel: &Cancel) -> Result<Option<Vec<u8>>> {
        const SLICE: Duration = Duration::from_millis(50);
        loop {
            if let Some(packet) = self.next()? {
                return Ok(Some(packet));
            }
            cancel.check()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // What has come meanwhile counts.
                return if self.framed.poll()? { self.next() } else { Ok(None) };
            }
            match self.framed.fill(Some(left.min(SLICE))) {
                Err(error) if error.kind() == Kind::Timeout => {}
                outcome => outcome?,
            }
        }
    }

    /// A further packet that belongs to the reply to the last request, which is not repeated for it.
    pub fn another(&mut self) -> Result<Vec<u8>> {
        let cancel = self.flag();
        let outcome = self.receive(Instant::now() + self.timeout, &cancel);
        match outcome {
            Ok(Some(packet)) => Ok(packet),
            outcome => {
                self.owed += 1;
                outcome?;
                Err(Error::new(Kind::Timeout, format!("the stub says no more within {} ms", self.timeout.as_millis())))
            }
        }
    }

    /// Whoever leaves does not wait long, and not for somebody's permission.
    pub fn hurry(&mut self) {
        self.timeout = self.timeout.min(Duration::from_secs(2));
        self.cancel = Cancel::new();
    }

    /// Takes a packet out of what has arrived.
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let mut answer = Vec::new();
            let (event, used) = self.codec.receive(self.framed.arrived(), &mut answer);
            self.framed.consume(used);
            if !answer.is_empty() {
                self.framed.queue().extend(answer);
                self.framed.flush(Some(self.timeout))?;
            }
            match event {
                Some(Event::Packet(payload)) => return Ok(Some(payload)),
                // Only who asked for events of single threads needs to know.
                Some(Event::Notification(_)) => {}
                Some(Event::TooLong) => {
                    return Err(Error::new(Kind::Protocol, "the stub sent a packet longer than any may be"));
                }
                Some(Event::Interrupt) | None if used > 0 => {}
                Some(Event::Interrupt) | None => return Ok(None),
            }
        }
    }

    /// Lets late replies of earlier requests come, so that they are not taken for those of the next.
    fn settle(&mut self) -> Result<()> {
        if self.owed == 0 {
            return Ok(());
        }
        if self.owed > OWED {
            return Err(Error::new(Kind::Closed, "the stub has stopped answering"));
        }
        let cancel = self.flag();
        let deadline = Instant::now() + self.timeout;
        while self.owed > 0 {
            match self.receive(deadline, &cancel)? {
                Some(_) => self.owed -= 1,
                None => break,
            }
        }
        if self.owed == 0 {
            return Ok(());
        }
        // They are lost. Nobody knows this request, so that an empty reply is its.
        self.codec.send(b"vMustReplyEmpty", self.framed.queue());
        self.framed.flush(Some(self.timeout))?;
        let deadline = Instant::now() + self.timeout;
        loop {
            match self.receive(deadline, &cancel)? {
                Some(reply) if reply.is_empty() => {
                    self.owed = 0;
                    return Ok(());
                }
                Some(_) => {}
                None => {
                    self.owed += 1;
                    return Err(Error::new(Kind::Timeout, "the stub does not answer"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::link::memory;

    fn connection(timeout: u64) -> (Connection, memory::Memory) {
        let (near, far) = memory::pair(Duration::ZERO);
        (Connection::new(Box::new(near), Duration::from_millis(timeout), Cancel::new()), far)
    }

    #[test]
    fn requests_travel_alone_until_both_do_without_acknowledgements() {
        let (mut near, mut far) = connection(5000);
        far.write_all(b"+$OK#9a").unwrap();
        assert_eq!(near.exchange(b"QStartNoAckMode").unwrap(), b"OK");
        near.stop_acknowledging();
        far.write_all(b"$1#31%Stop:T05#2e$2#32").unwrap();
        assert_eq!(near.flight(&[b"a".to_vec(), b"b".to_vec()]).unwrap(), [b"1".to_vec(), b"2".to_vec()]);
        assert_eq!(near.traffic().round_trips, 2);
        drop(near);
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).unwrap();
        assert_eq!(sent, b"$QStartNoAckMode#b0+$a#61$b#62");
    }

    #[test]
    fn a_request_is_repeated_once_and_a_late_reply_belongs_to_its_own() {
        let (mut near, mut far) = connection(30);
        assert_eq!(near.exchange(b"g").unwrap_err().kind(), Kind::Timeout);
        far.write_all(b"+$late#a6$late#a6$now#53").unwrap();
        // One reply is owed; the repetition may have brought another.
        assert_eq!(near.exchange(b"m").unwrap(), b"late");
        drop(near);
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).unwrap();
        assert_eq!(sent, b"$g#67$g#67+$m#6d+");
    }

    #[test]
    fn waits_end_with_the_flag_and_with_the_stream() {
        let (mut near, far) = connection(60_000);
        let cancel = Cancel::new();
        cancel.set();
        let deadline = Instant::now() + Duration::from_secs(60);
        assert_eq!(near.receive(deadline, &cancel).unwrap_err().kind(), Kind::Interrupted);
        drop(far);
        assert_eq!(near.exchange(b"g").unwrap_err().kind(), Kind::Closed);
    }
}
