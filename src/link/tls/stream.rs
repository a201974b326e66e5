//! The stream inside TLS: records are taken apart where the system call put them, and their bytes go straight to
//! whoever asked. What rustls keeps for convenience in its buffered streams, and copies on the way, is not needed here.

use std::io::{self, ErrorKind, IoSliceMut, Read, Write};
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use rustls::CommonState;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};

use super::super::{Breaker, Link};

/// Bytes that are taken from the system at once. It holds more than one record, and stays in the processor's cache.
const INCOMING: usize = 64 << 10;
/// Bytes that are encrypted before they leave.
const OUTGOING: usize = 64 << 10;
/// Bytes of the longest record (RFC 8446, 5.2; RFC 5246, 6.2.3) with its head.
const RECORD: usize = (16 << 10) + 2048 + 5;
/// What one record adds to its content, at most, and what a few messages of the handshake need.
const MARGIN: usize = 512;

/// One of the two sides of a connection.
pub(super) trait Side: Send {
    type Data;
    /// Goes on with what has come.
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    /// What has been agreed on.
    fn common(&self) -> &CommonState;
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
    fn common(&self) -> &CommonState {
        self
    }
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
    fn common(&self) -> &CommonState {
        self
    }
}

/// A link inside TLS.
pub(super) struct Stream<S> {
    side: S,
    link: Box<dyn Link>,
    /// Records as they came, of which `start..end` were not taken apart.
    incoming: Vec<u8>,
    start: usize,
    end: usize,
    /// Content for which nobody had room; the first `taken` bytes are gone.
    plain: Vec<u8>,
    taken: usize,
    /// Records that leave next, of which `sent..queued` have not.
    outgoing: Vec<u8>,
    sent: usize,
    queued: usize,
    /// The peer has said that nothing more comes.
    finished: bool,
    /// What went wrong: nothing more is read or written.
    failure: Option<rustls::Error>,
}

/// What can be done when all records that came were looked at.
enum Next {
    /// Send, or wait for more.
    Traffic,
    /// Wait for more of the handshake.
    Handshake,
    /// Nothing any more.
    Closed,
}

/// What to say once content can be sent.
enum Say<'a> {
    Nothing,
    Content(&'a [u8]),
    Goodbye,
}

impl<S: Side> Stream<S> {
    /// `side` over `link`, before its handshake.
    pub fn new(side: S, link: Box<dyn Link>) -> Stream<S> {
        Stream {
            side,
            link,
            incoming: Vec::new(),
            start: 0,
            end: 0,
            plain: Vec::new(),
            taken: 0,
            outgoing: Vec::new(),
            sent: 0,
            queued: 0,
            finished: false,
            failure: None,
        }
    }

    /// The link below.
    pub fn link(&mut self) -> &mut dyn Link {
        &mut *self.link
    }

    /// What has been agreed on.
    pub fn common(&self) -> &CommonState {
        self.side.common()
    }

    /// Whether the handshake is over and all of it has left.
    pub fn is_ready(&self) -> bool {
        !self.side.common().is_handshaking() && self.sent == self.queued
    }

    /// One step of the handshake: sends what is to be sent, or takes what has come.
    pub fn step(&mut self) -> io::Result<()> {
        let next = self.advance(&mut [], Say::Nothing);
        // What has gone wrong is told to the peer, too, as far as that goes without waiting.
        let sent = self.send();
        let next = next?;
        sent?;
        match next {
            Next::Handshake => self.receive(),
            // A server may send before its client has finished.
            Next::Traffic if self.side.common().is_handshaking() => self.receive(),
            Next::Traffic => Ok(()),
            Next::Closed => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Takes apart what has come, into `pieces` as far as they go, and then says `say`.
    fn advance(&mut self, pieces: &mut [IoSliceMut<'_>], say: Say<'_>) -> io::Result<Next> {
        self.advance_counting(pieces, say).0
    }

    /// The same, with the number of bytes that went into `pieces`.
    fn advance_counting(&mut self, pieces: &mut [IoSliceMut<'_>], say: Say<'_>) -> (io::Result<Next>, usize) {
        let mut count = 0;
        let next = match &self.failure {
            Some(error) => Err(io::Error::new(ErrorKind::InvalidData, error.clone())),
            None => self.take_apart(pieces, &mut count, say),
        };
        (next, count)
    }

    /// Notes that the conversation is over, and puts in line what tells the peer why.
    fn fail(&mut self, error: rustls::Error) -> io::Error {
        while self.side.common().wants_write() {
            let UnbufferedStatus { state: Ok(ConnectionState::EncodeTlsData(mut alert)), .. } =
                self.side.process(&mut [])
            else {
                break;
            };
            if encode(&mut alert, &mut self.outgoing, &mut self.queued).is_err() {
                break;
            }
        }
        self.failure = Some(error.clone());
        io::Error::new(ErrorKind::InvalidData, error)
    }

    fn take_apart(&mut self, pieces: &mut [IoSliceMut<'_>], count: &mut usize, say: Say<'_>) -> io::Result<Next> {
        let room: usize = pieces.iter().map(|piece| piece.len()).sum();
        loop {
            let UnbufferedStatus { mut discard, state, .. } =
                self.side.process(&mut self.incoming[self.start..self.end]);
            let mut next = None;
            let outcome = match state {
                Err(error) => return Err(self.fail(error)),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                    match traffic.next_record() {
                        None => break Ok(()),
                        Some(Err(error)) => break Err(io::Error::new(ErrorKind::InvalidData, error)),
                        Some(Ok(record)) => {
                            discard += record.discard;
                            let rest = scatter(record.payload, pieces, count);
                            self.plain.extend_from_slice(rest);
                        }
                    }
                },
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut self.outgoing, &mut self.queued),
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // It stands in line, and leaves before anything else does.
                    data.done();
                    Ok(())
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.finished = true;
                    Ok(())
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    next = Some(Next::Traffic);
                    loop {
                        let free = &mut self.outgoing[self.queued..];
                        let written = match say {
                            Say::Nothing => Ok(0),
                            Say::Content(bytes) => traffic.encrypt(bytes, free),
                            Say::Goodbye => traffic.queue_close_notify(free),
                        };
                        match written {
                            Ok(length) => {
                                self.queued += length;
                                break Ok(());
                            }
                            Err(EncryptError::InsufficientSize(wanted)) => {
                                self.outgoing.resize(self.queued + wanted.required_size + MARGIN, 0);
                            }
                            Err(error) => break Err(io::Error::other(error)),
                        }
                    }
                }
                Ok(ConnectionState::BlockedHandshake) => {
                    next = Some(Next::Handshake);
                    Ok(())
                }
                Ok(ConnectionState::Closed) => {
                    self.finished = true;
                    next = Some(Next::Closed);
                    Ok(())
                }
                // Neither side sends anything before the handshake.
                Ok(_) => Err(io::Error::new(ErrorKind::InvalidData, "unexpected data before the TLS handshake")),
            };
            self.start += discard;
            if self.start == self.end {
                (self.start, self.end) = (0, 0);
            }
            outcome?;
            if let Some(next) = next {
                return Ok(next);
            }
            // Who reads has got all that there was room for: the rest can wait where it is.
            if room > 0 && *count == room {
                return Ok(Next::Traffic);
            }
        }
    }

    /// Takes more from the link. It must not come while a whole record is there.
    fn receive(&mut self) -> io::Result<()> {
        if self.incoming.len() - self.end < RECORD {
            self.incoming.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            // Messages of the handshake may span records.
            let wanted = INCOMING.max(self.end + RECORD);
            if self.incoming.len() < wanted {
                self.incoming.resize(wanted, 0);
            }
        }
        match self.link.read(&mut self.incoming[self.end..])? {
            0 => Err(io::Error::new(ErrorKind::UnexpectedEof, "the peer has closed the connection without a goodbye")),
            count => {
                self.end += count;
                Ok(())
            }
        }
    }

    /// Sends what stands in line.
    fn send(&mut self) -> io::Result<()> {
        while self.sent < self.queued {
            match self.link.write(&self.outgoing[self.sent..self.queued])? {
                0 => return Err(ErrorKind::WriteZero.into()),
                count => self.sent += count,
            }
        }
        (self.sent, self.queued) = (0, 0);
        Ok(())
    }

    /// Hands out content that was left over.
    fn left_over(&mut self, pieces: &mut [IoSliceMut<'_>]) -> usize {
        let mut count = 0;
        scatter(&self.plain[self.taken..], pieces, &mut count);
        self.taken += count;
        if self.taken == self.plain.len() {
            self.plain.clear();
            self.taken = 0;
        }
        count
    }
}

/// Puts a record of the handshake, or an alert, in line behind the `queued` bytes of `outgoing`.
fn encode<D>(data: &mut EncodeTlsData<'_, D>, outgoing: &mut Vec<u8>, queued: &mut usize) -> io::Result<()> {
    loop {
        match data.encode(&mut outgoing[*queued..]) {
            Ok(length) => {
                *queued += length;
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(wanted)) => outgoing.resize(*queued + wanted.required_size + MARGIN, 0),
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

/// Copies `bytes` behind the `count` bytes that are in `pieces`, and returns those for which there was no room.
fn scatter<'b>(mut bytes: &'b [u8], pieces: &mut [IoSliceMut<'_>], count: &mut usize) -> &'b [u8] {
    let mut skip = *count;
    for piece in pieces {
        let Some(free) = piece.get_mut(skip..).filter(|free| !free.is_empty()) else {
            skip -= piece.len();
            continue;
        };
        skip = 0;
        let here = free.len().min(bytes.len());
        free[..here].copy_from_slice(&bytes[..here]);
        bytes = &bytes[here..];
        *count += here;
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

/// Says of an alert about our certificate, which comes only after the handshake, that it is a refusal.
fn named(error: io::Error) -> io::Error {
    use rustls::AlertDescription as Alert;
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(Alert::CertificateRequired)) => {
            io::Error::new(ErrorKind::PermissionDenied, "it lets in only who shows a certificate (net.certificate)")
        }
        Some(rustls::Error::AlertReceived(
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError,
        )) => io::Error::new(ErrorKind::PermissionDenied, "it does not accept our certificate (net.certificate)"),
        _ => error,
    }
}

/// An error that goes by when one waits.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

impl<S: Side> Read for Stream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buffer)])
    }

    fn read_vectored(&mut self, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if pieces.iter().all(|piece| piece.is_empty()) {
            return Ok(0);
        }
        loop {
            let count = self.left_over(pieces);
            if count > 0 {
                return Ok(count);
            }
            let (next, count) = self.advance_counting(pieces, Say::Nothing);
            // An answer to what came (new keys, an alert) leaves when it can.
            if let Err(error) = self.send()
                && !is_transient(&error)
                && next.is_ok()
                && count == 0
                && !self.finished
            {
                return Err(error);
            }
            if count > 0 {
                // What went wrong behind it shows the next time.
                return Ok(count);
            }
            next.map_err(named)?;
            if self.finished {
                return Ok(0);
            }
            self.receive()?;
        }
    }
}

impl<S: Side> Write for Stream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.send()?;
        let bytes = &bytes[..bytes.len().min(OUTGOING)];
        match self.advance(&mut [], Say::Content(bytes))? {
            Next::Traffic => {}
            Next::Handshake => return Err(ErrorKind::WouldBlock.into()),
            Next::Closed => return Err(ErrorKind::BrokenPipe.into()),
        }
        match self.send() {
            // It is ours now, and leaves with the next write or flush.
            Err(error) if !is_transient(&error) => Err(error),
            _ => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()?;
        self.link.flush()
    }
}

impl<S: Side> Link for Stream<S> {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.link.set_timeout(timeout)
    }
    fn peer(&self) -> &str {
        self.link.peer()
    }
    fn is_gone(&self) -> bool {
        self.plain.is_empty() && (self.finished || self.start == self.end && self.link.is_gone())
    }
    fn breaker(&self) -> Breaker {
        self.link.breaker()
    }
    fn finish(&mut self) -> io::Result<()> {
        self.send()?;
        self.advance(&mut [], Say::Goodbye)?;
        self.flush()
    }
    fn watch(&self) -> Box<dyn Fn() -> bool + Send + Sync> {
        self.link.watch()
    }
    fn descriptor(&self) -> Option<RawFd> {
        self.link.descriptor()
    }
    fn pollable(&self) -> Option<BorrowedFd<'_>> {
        self.link.pollable()
    }
    fn trim(&mut self) {
        if self.start == self.end {
            self.incoming = Vec::new();
        }
        if self.plain.is_empty() {
            self.plain = Vec::new();
        }
        if self.sent == self.queued {
            (self.outgoing, self.sent, self.queued) = (Vec::new(), 0, 0);
        }
        self.link.trim();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_into_pieces_one_after_the_other() {
        let (mut a, mut b) = ([0; 3], [0; 4]);
        let mut count = 0;
        {
            let mut pieces = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
            assert_eq!(scatter(b"12", &mut pieces, &mut count), b"");
            assert_eq!(scatter(b"345", &mut pieces, &mut count), b"");
            assert_eq!(scatter(b"6789", &mut pieces, &mut count), b"89");
            assert_eq!(scatter(b"89", &mut pieces, &mut count), b"89");
        }
        assert_eq!((&a, &b, count), (b"123", b"4567", 7));
    }
}
