//! Unix sockets: the stream as a [`Link`], and who is at the other end.

use std::io::{self, IoSliceMut, Read, Write};
use std::net::Shutdown;
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

/// Connects to the socket at `path`.
///
/// # Errors
/// [`Kind::Unreachable`] when nobody listens there.
pub fn connect(path: &Path) -> Result<Unix> {
    let failed = |e: &io::Error| {
        Error::new(Kind::Unreachable, format!("cannot connect to {}: {}", path.display(), crate::error::plain(e)))
    };
    let stream = UnixStream::connect(path).map_err(|e| failed(&e))?;
    Unix::new(stream, format!("unix://{}", path.display())).map_err(|e| failed(&e))
}

/// The user id of the process that opened the other end of `stream` (SO_PEERCRED, unix(7)).
pub fn peer_uid(stream: &UnixStream) -> Result<u32> {
    rustix::net::sockopt::socket_peercred(stream)
        .map(|credentials| credentials.uid.as_raw())
        .map_err(|e| Error::system("cannot see who connects", &e.into()))
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
        match rustix::net::recv(&*self.stream, &mut [0u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((count, _)) => count == 0,
            Err(error) => error != Errno::AGAIN && error != Errno::INTR,
        }
    }

    fn breaker(&self) -> Breaker {
        let (stream, reading) = (Arc::clone(&self.stream), Arc::clone(&self.stream));
        // An error means that the stream has ended already.
        Breaker::new(move || drop(stream.shutdown(Shutdown::Both)))
            .with_hush(move || drop(reading.shutdown(Shutdown::Read)))
    }
}
