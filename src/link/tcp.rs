//! TCP: connecting under a deadline, and the stream as a [`Link`].

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::{Breaker, Link};
use crate::error::{Error, Kind, Result, plain};
use crate::output::Cancel;
use crate::uri::Authority;

/// How long a wait may last before Ctrl-C is looked at.
const SLICE: Duration = Duration::from_millis(50);

/// A TCP stream. Shared, because a [`Breaker`] must reach it without a descriptor of its own.
pub struct Tcp {
    stream: Arc<TcpStream>,
    peer: String,
    /// How long calls may wait, and how long the socket lets them.
    timeout: Option<Duration>,
    socket_timeout: Option<Duration>,
}

impl Tcp {
    /// Prepares `stream` for requests and replies: small packets leave at once, and a peer whose machine vanished
    /// is noticed within two minutes. Buffer sizes are left to the system, which adapts them to the line.
    pub fn new(stream: TcpStream, peer: String) -> io::Result<Tcp> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)?;
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_tcp_keepidle(&stream, Duration::from_secs(60))?;
        sockopt::set_tcp_keepintvl(&stream, Duration::from_secs(15))?;
        sockopt::set_tcp_keepcnt(&stream, 4)?;
        Ok(Tcp { stream: Arc::new(stream), peer, timeout: None, socket_timeout: None })
    }
}

impl Read for Tcp {
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

impl Write for Tcp {
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

impl Link for Tcp {
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

/// Connects to `authority`, trying each address of its host, within `timeout` altogether.
///
/// # Errors
/// [`Kind::Unreachable`] when nobody answers, [`Kind::NotFound`] for a host name nobody knows,
/// [`Kind::Interrupted`] within 100 ms after `cancel`.
pub fn connect(authority: &Authority, timeout: Duration, cancel: &Cancel) -> Result<Box<dyn Link>> {
    let endpoint = authority.endpoint();
    let Some(port) = authority.port.filter(|_| !authority.host.is_empty()) else {
        return Err(Error::new(Kind::Usage, format!("'{endpoint}' is not a place to connect to"))
            .hint("host and port are needed, as in 127.0.0.1:1234"));
    };
    let failed =
        |why: &dyn std::fmt::Display| Error::new(Kind::Unreachable, format!("cannot connect to {endpoint}: {why}"));
    let late = || failed(&format_args!("no answer within {} ms", timeout.as_millis()));
    let deadline = Instant::now() + timeout;
    let addresses = resolve(&authority.host, port, deadline, cancel)?;
    let mut last = None;
    for (index, address) in addresses.iter().enumerate() {
        // The time left is shared, so that one address that swallows packets does not hide the next.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        match connect_address(*address, share, cancel)? {
            Ok(stream) => {
                let link = Tcp::new(stream, endpoint.clone()).map_err(|e| failed(&plain(&e)))?;
                return Ok(Box::new(link));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(error) if error.kind() != io::ErrorKind::TimedOut => failed(&plain(&error)),
        _ => late(),
    })
}

/// Whether nothing more will come from `stream`: the peer has finished, or the connection has broken off.
fn has_ended(stream: &TcpStream) -> bool {
    arrives(stream).is_none_or(|count| count == 0)
}

/// How many of the next bytes (at most one) have arrived: 0 when the peer has finished sending, one while nobody knows;
/// `None` when the connection has broken off.
fn arrives(stream: &TcpStream) -> Option<usize> {
    match rustix::net::recv(stream, &mut [0u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((count, _)) => Some(count),
        Err(Errno::AGAIN | Errno::INTR) => Some(1),
        Err(_) => None,
    }
}

/// The addresses of `host`. Names are looked up by a thread of their own, because the system's resolver cannot be
/// interrupted; one that is given up on ends with the resolver's own timeout.
pub fn resolve(host: &str, port: u16, deadline: Instant, cancel: &Cancel) -> Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let unknown = |why: &str| {
        Error::new(Kind::Unreachable, format!("cannot connect to {host}:{port}: cannot resolve '{host}': {why}"))
    };
    let (sender, receiver) = channel();
    let name = host.to_string();
    std::thread::Builder::new()
        .name("resolve".to_string())
        .spawn(move || {
            let found = (name.as_str(), port).to_socket_addrs().map(|found| found.collect::<Vec<_>>());
            // Nobody listens any more after a timeout.
            let _ = sender.send(found);
        })
        .map_err(|e| unknown(&plain(&e)))?;
    loop {
        cancel.check()?;
        match receiver.recv_timeout(SLICE) {
            Ok(Ok(found)) if !found.is_empty() => return Ok(found),
            Ok(Ok(_)) => return Err(unknown("it has no address")),
            Ok(Err(error)) => return Err(unknown(&plain(&error))),
            Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
            Err(_) => return Err(unknown("no answer from the name server")),
        }
    }
}

/// One attempt. The outer error is Ctrl-C, the inner one the attempt's own.
fn connect_address(address: SocketAddr, timeout: Duration, cancel: &Cancel) -> Result<io::Result<TcpStream>> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = match rustix::net::socket_with(family, SocketType::STREAM, flags, None) {
        Ok(socket) => socket,
        Err(error) => return Ok(Err(error.into())),
    };
    match rustix::net::connect(&socket, &address) {
        Ok(()) => return Ok(blocking(socket)),
        Err(Errno::INPROGRESS) => {}
        Err(error) => return Ok(Err(error.into())),
    }
    let deadline = Instant::now() + timeout;
    loop {
        cancel.check()?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Err(io::ErrorKind::TimedOut.into()));
        }
        let wait = Timespec::try_from(left.min(SLICE)).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
        match poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&wait)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => break,
            Err(error) => return Ok(Err(error.into())),
        }
    }
    Ok(match sockopt::socket_error(&socket) {
        Ok(Ok(())) => blocking(socket),
        Ok(Err(error)) | Err(error) => Err(error.into()),
    })
}

fn blocking(socket: OwnedFd) -> io::Result<TcpStream> {
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn authority(text: &str) -> Authority {
        Authority::parse(text).unwrap()
    }

    #[test]
    fn a_closed_port_is_named_with_the_reason() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = connect(&authority(&closed.to_string()), Duration::from_secs(3), &Cancel::new()).err().unwrap();
        assert_eq!(error.kind(), Kind::Unreachable);
        assert_eq!(error.message(), format!("cannot connect to {closed}: Connection refused"));
    }

    #[test]
    fn a_place_without_port_or_host_is_refused() {
        for text in ["127.0.0.1", ":1234"] {
            let error = connect(&authority(text), Duration::from_secs(3), &Cancel::new()).err().unwrap();
            assert_eq!(error.kind(), Kind::Usage, "{text}");
        }
    }

    #[test]
    fn a_connect_that_nobody_answers_ends_by_the_flag_and_by_the_deadline() {
        // A full accept queue swallows the SYN, as a firewall does.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let place = authority(&listener.local_addr().unwrap().to_string());
        let mut parked = Vec::new();
        let brief = Duration::from_millis(150);
        let error = loop {
            match connect(&place, brief, &Cancel::new()) {
                Ok(link) => parked.push(link),
                Err(error) => break error,
            }
            assert!(parked.len() < 1000, "the queue never fills");
        };
        assert_eq!(error.kind(), Kind::Unreachable);
        assert!(error.message().ends_with("no answer within 150 ms"), "{error}");

        let cancel = Cancel::new();
        let begun = Instant::now();
        let error = std::thread::scope(|scope| {
            let attempt = scope.spawn(|| connect(&place, Duration::from_secs(60), &cancel).err());
            cancel.set();
            attempt.join().unwrap().unwrap()
        });
        assert_eq!(error.kind(), Kind::Interrupted);
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_listener_with_an_ipv6_address_is_reached() {
        let Ok(listener) = TcpListener::bind("[::1]:0") else {
            println!("absent: IPv6");
            return;
        };
        let place = listener.local_addr().unwrap().to_string();
        let link = connect(&authority(&place), Duration::from_secs(3), &Cancel::new()).unwrap();
        assert_eq!(link.peer(), place);
        assert!(!link.is_gone());
        drop(listener.accept().unwrap());
    }
}
