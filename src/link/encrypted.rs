//! A link inside TLS, once it is known who is at the other end.
//!
//! The records are decrypted in the buffer that the line was read into and encrypted straight into the one that is sent:
//! on a fast line every further copy would show.

use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::time::Duration;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::CertificateDer;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

use super::{Breaker, Link};

/// Bytes read at once from a quiet peer: what an idle connection keeps.
const LEAST: usize = 4 << 10;
/// Bytes read at once from a peer that sends as much as the line takes, and bytes encrypted at once. More would not
/// stay in the processor's cache.
const MOST: usize = 64 << 10;
/// No record and no message of a handshake is longer.
const LIMIT: usize = 256 << 10;
/// Bytes that a record is longer than what it carries, at most, and bytes of an alert.
const OVERHEAD: usize = 64;
/// Bytes that a record carries.
const RECORD: usize = 16 << 10;

/// Either side of a TLS connection.
pub trait Engine: Send {
    /// What the side keeps.
    type Data;
    /// Takes records off the front of `incoming`, up to the next thing to do.
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    /// Whether the handshake is under way.
    fn is_handshaking(&self) -> bool;
    /// The certificates that the peer has shown.
    fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]>;
}

impl Engine for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, ClientConnectionData> {
        self.process_tls_records(incoming)
    }
    fn is_handshaking(&self) -> bool {
        (**self).is_handshaking()
    }
    fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        (**self).peer_certificates()
    }
}

impl Engine for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, ServerConnectionData> {
        self.process_tls_records(incoming)
    }
    fn is_handshaking(&self) -> bool {
        (**self).is_handshaking()
    }
    fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        (**self).peer_certificates()
    }
}

/// The stream inside TLS.
pub struct Encrypted<E> {
    engine: E,
    link: Box<dyn Link>,
    /// Records as they came, from `start` to `end`.
    incoming: Vec<u8>,
    start: usize,
    end: usize,
    /// What was decrypted and not taken, from `taken` on.
    plain: Vec<u8>,
    taken: usize,
    /// Records to be sent, from `sent` to `sealed`.
    outgoing: Vec<u8>,
    sent: usize,
    sealed: usize,
    /// Whether the peer has said that nothing more comes.
    ended: bool,
    /// Whether the connection has failed.
    broken: bool,
}

/// What is to be sent when the engine can.
#[derive(Clone, Copy)]
enum Say<'a> {
    Nothing,
    Data(&'a [u8]),
    /// That nothing more comes.
    Farewell,
}

impl<E: Engine> Encrypted<E> {
    /// TLS as `engine` does it, over `link`. Nothing is sent or read yet.
    pub fn new(engine: E, link: Box<dyn Link>) -> Encrypted<E> {
        Encrypted {
            engine,
            link,
            incoming: Vec::new(),
            start: 0,
            end: 0,
            plain: Vec::new(),
            taken: 0,
            outgoing: Vec::new(),
            sent: 0,
            sealed: 0,
            ended: false,
            broken: false,
        }
    }

    /// The side of the connection.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// Whether the handshake, or what it has to send, is not finished.
    pub fn is_shaking(&self) -> bool {
        self.engine.is_handshaking() || self.sent < self.sealed
    }

    /// Takes the handshake further, with at most one wait for the peer.
    pub fn shake(&mut self) -> io::Result<()> {
        self.run(&mut [], Say::Nothing)?;
        self.send_out()?;
        if self.engine.is_handshaking() { self.receive() } else { Ok(()) }
    }

    /// Lets the engine look at what came, up to the first bytes for `into`, which it counts, and encrypts what is to be
    /// sent. What does not fit into `into` is kept.
    fn run(&mut self, into: &mut [u8], send: Say<'_>) -> io::Result<usize> {
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        loop {
            let mut filled = 0;
            let UnbufferedStatus { mut discard, state, .. } =
                self.engine.process(&mut self.incoming[self.start..self.end]);
            let mut done = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(broken)?;
                        discard += record.discard;
                        let (here, rest) = record.payload.split_at(record.payload.len().min(into.len() - filled));
                        into[filled..filled + here.len()].copy_from_slice(here);
                        filled += here.len();
                        self.plain.extend_from_slice(rest);
                    }
                    // Whoever only sends lets the rest lie where it is, but the engine insists on it.
                    done = filled > 0;
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    let free = room(&mut self.outgoing, self.sealed, OVERHEAD);
                    self.sealed += match data.encode(free) {
                        Err(EncodeError::InsufficientSize(size)) => {
                            data.encode(room(&mut self.outgoing, self.sealed, size.required_size))
                        }
                        outcome => outcome,
                    }
                    .map_err(io::Error::other)?;
                }
                // It is sent with whatever comes next.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let sealed = match send {
                        Say::Nothing => Ok(0),
                        Say::Data(bytes) => {
                            let length = bytes.len() + (bytes.len() / RECORD + 1) * OVERHEAD;
                            traffic.encrypt(bytes, room(&mut self.outgoing, self.sealed, length))
                        }
                        Say::Farewell => traffic.queue_close_notify(room(&mut self.outgoing, self.sealed, OVERHEAD)),
                    };
                    self.sealed += sealed.map_err(|error: EncryptError| io::Error::other(error))?;
                    done = true;
                }
                Ok(ConnectionState::PeerClosed) => self.ended = true,
                Ok(ConnectionState::Closed) => {
                    self.ended = true;
                    done = true;
                    if matches!(send, Say::Data(_)) {
                        return Err(io::ErrorKind::BrokenPipe.into());
                    }
                }
                Ok(ConnectionState::BlockedHandshake) => done = true,
                Ok(_) => return Err(io::Error::other("early data, which nobody asked for")),
                Err(error) => {
                    self.start += discard;
                    self.complain();
                    return Err(broken(error));
                }
            }
            self.start += discard;
            if done {
                return Ok(filled);
            }
        }
    }

    /// Tells the peer, as far as it listens, what was wrong with what it sent. The engine is not asked again after that.
    fn complain(&mut self) {
        self.broken = true;
        let UnbufferedStatus { state, .. } = self.engine.process(&mut self.incoming[self.start..self.end]);
        if let Ok(ConnectionState::EncodeTlsData(mut alert)) = state {
            self.sealed += alert.encode(room(&mut self.outgoing, self.sealed, OVERHEAD)).unwrap_or(0);
        }
        // The error that is being reported says more than one of sending.
        let _ = self.send_out();
    }

    /// Sends what is encrypted.
    fn send_out(&mut self) -> io::Result<()> {
        while self.sent < self.sealed {
            match self.link.write(&self.outgoing[self.sent..self.sealed])? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.sent += count,
            }
        }
        (self.sent, self.sealed) = (0, 0);
        Ok(())
    }

    /// The same, where it may leave later as well.
    fn send_some(&mut self) -> io::Result<()> {
        match self.send_out() {
            Err(error) if is_wait(&error) => Ok(()),
            outcome => outcome,
        }
    }

    /// Reads once from the line, more at once the more it has to give.
    fn receive(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.incoming.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let size = self.incoming.len();
        if self.end == size {
            if size >= LIMIT {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a TLS message without an end"));
            }
            self.incoming.resize((size * 2).max(LEAST), 0);
        }
        match self.link.read(&mut self.incoming[self.end..]) {
            Ok(0) => {
                let what = "the connection broke off without the goodbye of TLS";
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, what))
            }
            Ok(count) => {
                self.end += count;
                // A peer that fills the buffer gets a larger one.
                if self.end == self.incoming.len() && self.end < MOST {
                    self.incoming.resize((self.end * 4).min(MOST), 0);
                }
                Ok(())
            }
            Err(error) => {
                if is_wait(&error) {
                    self.rest();
                }
                Err(error)
            }
        }
    }

    /// Gives back what only busy moments need.
    fn rest(&mut self) {
        if self.end == 0 && self.incoming.len() > LEAST {
            self.incoming = Vec::new();
        }
        if self.sealed == 0 {
            self.outgoing = Vec::new();
        }
        if self.plain.is_empty() {
            self.plain = Vec::new();
        }
    }
}

/// The free end of `buffer` behind `used`, which has room for `length` bytes.
fn room(buffer: &mut Vec<u8>, used: usize, length: usize) -> &mut [u8] {
    if buffer.len() < used + length {
        buffer.resize(used + length, 0);
    }
    &mut buffer[used..]
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

fn broken(error: rustls::Error) -> io::Error {
    named(io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Says of an alert about our certificate, which comes only after the handshake, that it is a refusal.
fn named(error: io::Error) -> io::Error {
    use rustls::AlertDescription as Alert;
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(Alert::CertificateRequired)) => {
            io::Error::new(io::ErrorKind::PermissionDenied, "it lets in only who shows a certificate (net.certificate)")
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
        )) => io::Error::new(io::ErrorKind::PermissionDenied, "it does not accept our certificate (net.certificate)"),
        _ => error,
    }
}

impl<E: Engine> Read for Encrypted<E> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken < self.plain.len() {
            let count = buffer.len().min(self.plain.len() - self.taken);
            buffer[..count].copy_from_slice(&self.plain[self.taken..self.taken + count]);
            self.taken += count;
            if self.taken == self.plain.len() {
                self.plain.clear();
                self.taken = 0;
            }
            return Ok(count);
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let mut count = 0;
            // What has arrived whole is taken along.
            while count < buffer.len() && self.plain.is_empty() {
                match self.run(&mut buffer[count..], Say::Nothing)? {
                    0 => break,
                    more => count += more,
                }
            }
            // Answers of the engine's own: a new key, a session ticket.
            self.send_some()?;
            if count > 0 || self.ended {
                return Ok(count);
            }
            self.receive()?;
        }
    }
}

impl<E: Engine> Write for Encrypted<E> {
    /// Encrypts some of `bytes`, and sends what the line takes of it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send_out()?;
        let piece = &bytes[..bytes.len().min(MOST)];
        if piece.is_empty() {
            return Ok(0);
        }
        self.run(&mut [], Say::Data(piece))?;
        self.send_some()?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send_out()?;
        self.link.flush()
    }
}

impl<E: Engine> Link for Encrypted<E> {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.link.set_timeout(timeout)
    }
    fn peer(&self) -> &str {
        self.link.peer()
    }
    fn is_gone(&self) -> bool {
        self.plain.is_empty() && self.start == self.end && (self.ended || self.link.is_gone())
    }
    fn breaker(&self) -> Breaker {
        self.link.breaker()
    }
    fn finish(&mut self) -> io::Result<()> {
        self.run(&mut [], Say::Farewell)?;
        self.flush()
    }
    fn watch(&self) -> Box<dyn Fn() -> bool + Send + Sync> {
        self.link.watch()
    }
    fn descriptor(&self) -> Option<RawFd> {
        self.link.descriptor()
    }
}
