//! Unix sockets: the stream as a [`Link`], and who is at the other end.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::{Breaker, Link};
use crate::error::{Error, Kind, Result};

/// A stream to another process of this machine.
pub struct Unix {
    stream: Arc<UnixStream>,
    peer: String,
    /// How long calls may wait, and how long the socket lets them.
    timeout: Option<Duration>,
    socket_timeout: Option<Duration>,
}

impl Unix {
    /// Wraps `stream`; `peer` is for messages.
    pub fn new(stream: UnixStream, peer: String) -> io::Result<Unix> {
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)?;
        Ok(Unix { stream: Arc::new(stream), peer, timeout: None, socket_timeout: None })
    }
}

/// Connects to the socket at `path`. Returns the user id of the process that listens there, too.
///
/// # Errors
/// [`Kind::Unreachable`] when nobody listens there.
pub fn connect(path: &Path) -> Result<(Unix, u32)> {
    let failed = |e: &io::Error| {
        Error::new(Kind::Unreachable, format!("cannot connect to {}: {}", path.display(), crate::error::plain(e)))
    };
    let stream = UnixStream::connect(path).map_err(|e| failed(&e))?;
    let user = peer_uid(&stream)?;
    Ok((Unix::new(stream, path.display().to_string()).map_err(|e| failed(&e))?, user))
}

/// The user id of the process that opened the other end of `stream` (SO_PEERCRED, unix(7)).
pub fn peer_uid(stream: &UnixStream) -> Result<u32> {
    rustix::net::sockopt::socket_peercred(stream)
        .map(|credentials| credentials.uid.as_raw())
        .map_err(|e| Error::system("cannot see who connects", &e.into()))
}

/// Whether `user` may act for us: this process's own user, or root.
pub fn is_ours(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

impl Read for Unix {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.timeout == Some(Duration::ZERO) {
            return Ok(rustix::net::recv(&*self.stream, buffer, RecvFlags::DONTWAIT)?.0);
        }
        (&*self.stream).read(buffer)
    }
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self.stream).read_vectored(buffers)
    }
}

impl Write for Unix {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.timeout == Some(Duration::ZERO) {
            return Ok(rustix::net::send(&*self.stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?);
        }
        (&*self.stream).write(bytes)
    }
    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.timeout == Some(Duration::ZERO) {
            let first = pieces.iter().find(|piece| !piece.is_empty());
            return first.map_or(Ok(0), |piece| self.write(piece));
        }
        (&*self.stream).write_vectored(pieces)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link for Unix {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        // Not to wait is a flag of each call, which costs nothing to set; the socket keeps its own timeout.
        if timeout != Some(Duration::ZERO) && timeout != self.socket_timeout {
            self.stream.set_read_timeout(timeout)?;
            self.stream.set_write_timeout(timeout)?;
            self.socket_timeout = timeout;
        }
        self.timeout = timeout;
        Ok(())
    }

    fn peer(&self) -> &str {
        &self.peer
    }

    fn is_gone(&self) -> bool {
        has_ended(&self.stream)
    }

    fn breaker(&self) -> Breaker {
        let (stream, reading) = (Arc::clone(&self.stream), Arc::clone(&self.stream));
        // An error means that the stream has ended already.
        Breaker::new(move || drop(stream.shutdown(Shutdown::Both)))
            .with_hush(move || drop(reading.shutdown(Shutdown::Read)))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    fn watch(&self) -> Box<dyn Fn() -> bool + Send + Sync> {
        let stream = Arc::clone(&self.stream);
        Box::new(move || arrives(&stream).is_none())
    }

    fn descriptor(&self) -> Option<RawFd> {
        Some(self.stream.as_raw_fd())
    }

    fn pollable(&self) -> Option<BorrowedFd<'_>> {
        Some(self.stream.as_fd())
    }
}

/// Whether nothing more will come from `stream`: the peer has finished, or the connection has broken off.
fn has_ended(stream: &UnixStream) -> bool {
    arrives(stream).is_none_or(|count| count == 0)
}

/// How many of the next bytes (at most one) have arrived: 0 when the peer has finished sending, one while nobody knows;
/// `None` when the connection has broken off.
fn arrives(stream: &UnixStream) -> Option<usize> {
    match rustix::net::recv(stream, &mut [0u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((count, _)) => Some(count),
        Err(Errno::AGAIN | Errno::INTR) => Some(1),
        Err(_) => None,
    }
}
