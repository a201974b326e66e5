//! `udp://` hosts: output leaves in datagrams; a command is one, and so are the pieces of its answer.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use super::connect::Line;
use super::{Peer, State};
use crate::error::{Error, Kind, Result, plain};
use crate::link::{Traffic, tcp};
use crate::output::printer::Printer;
use crate::output::{Cancel, Executor, Out};
use crate::uri::Authority;

/// Bytes of a datagram: what every line carries in one piece.
const DATAGRAM: usize = 1400;

/// How long one system call may wait before Ctrl-C is looked at.
const SLICE: Duration = Duration::from_millis(50);

/// An answer is over when nothing came for so long: datagrams have no end mark.
const QUIET: Duration = Duration::from_millis(150);

/// Somebody who takes datagrams.
pub struct Udp {
    socket: UdpSocket,
    endpoint: String,
    timeout: Duration,
    traffic: Traffic,
}

impl Udp {
    /// Prepares to send to `authority`. Nothing is sent, so nobody needs to be there.
    pub fn connect(authority: &Authority, line: &Line) -> Result<Udp> {
        let endpoint = authority.endpoint();
        let Some(port) = authority.port.filter(|_| !authority.host.is_empty()) else {
            return Err(Error::new(Kind::Usage, format!("'{endpoint}' is not a place to connect to"))
                .hint("host and port are needed, as in udp://127.0.0.1:1234"));
        };
        let addresses = tcp::resolve(&authority.host, port, Instant::now() + line.timeout, &line.cancel)?;
        let mut last = None;
        for address in addresses {
            match connect(address) {
                Ok(socket) => return Ok(Udp { socket, endpoint, timeout: line.timeout, traffic: Traffic::default() }),
                Err(error) => last = Some(error),
            }
        }
        let why = last.map_or_else(|| "it has no address".to_string(), |error| plain(&error));
        Err(Error::new(Kind::Unreachable, format!("cannot connect to {endpoint}: {why}")))
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        Error::system(&self.endpoint, error)
    }

    fn send(&mut self, bytes: &[u8], cancel: &Cancel) -> Result<()> {
        for datagram in bytes.chunks(DATAGRAM) {
            cancel.check()?;
            self.socket.send(datagram).map_err(|e| self.failed(&e))?;
            self.traffic.sent += datagram.len() as u64;
        }
        Ok(())
    }

    /// The next datagram within `patience`.
    fn receive(&mut self, buffer: &mut [u8], patience: Duration, cancel: &Cancel) -> Result<Option<usize>> {
        let deadline = Instant::now() + patience;
        loop {
            cancel.check()?;
            match self.socket.recv(buffer) {
                Ok(count) => {
                    self.traffic.received += count as u64;
                    return Ok(Some(count));
                }
                Err(error) => match error.kind() {
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut if Instant::now() < deadline => {}
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => return Ok(None),
                    std::io::ErrorKind::Interrupted => {}
                    _ => return Err(self.failed(&error)),
                },
            }
        }
    }
}

/// A socket on a free port of its own: the same one as the peer's would be taken when the peer is here.
fn connect(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
    }?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(SLICE))?;
    Ok(socket)
}

impl Executor for Udp {
    fn execute(&mut self, line: &str, out: &mut Out<'_>) -> Result<()> {
        if line.len() >= DATAGRAM {
            return Err(Error::new(
                Kind::Limit,
                format!("a command for a udp host has at most {} bytes", DATAGRAM - 1),
            ));
        }
        let cancel = out.cancel().clone();
        self.send(format!("{line}\n").as_bytes(), &cancel)?;
        self.traffic.round_trips += 1;
        let mut buffer = vec![0; 64 * 1024];
        let mut printer = Printer::default();
        let mut patience = self.timeout;
        while let Some(count) = self.receive(&mut buffer, patience, &cancel)? {
            printer.push(&buffer[..count], out)?;
            patience = QUIET;
        }
        if !printer.has_begun() {
            let waited = self.timeout.as_millis();
            return Err(Error::new(Kind::Timeout, format!("no answer from {} within {waited} ms", self.endpoint))
                .hint("'=<' sends without waiting for one"));
        }
        printer.finish(out)
    }
}

impl Peer for Udp {
    fn state(&self) -> State {
        State::OnDemand
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn capabilities(&self) -> Vec<String> {
        ["run", "push"].map(str::to_string).to_vec()
    }

    fn descriptor(&self) -> Option<RawFd> {
        Some(self.socket.as_raw_fd())
    }

    fn push(&mut self, bytes: &[u8], cancel: &Cancel) -> Result<()> {
        self.send(bytes, cancel)
    }
}
