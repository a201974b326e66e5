//! Where a stub is, and how to get there.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::pipe::Pipe;
use super::serial;
use crate::error::{Error, Kind, Result};
use crate::link::Link;
use crate::link::dial::{self, Security};
use crate::link::tls::FirstUse;
use crate::output::{Cancel, visible};
use crate::uri::{Authority, Uri};

/// How long whoever starts at this moment is waited for.
const STARTING: Duration = Duration::from_secs(3);

/// How to reach a stub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A socket, encrypted or not.
    Socket(dial::Place),
    /// The standard input and output of a command.
    Command(String),
    /// A serial line, at so many bits in a second.
    Serial {
        /// The device.
        path: PathBuf,
        /// Its speed.
        speed: u32,
    },
}

impl Place {
    /// Reads a URI: `gdb://host:port[/pid]`, `gdb:///path/of/socket`, `gdb+tls://host:port[/pid]`, `gdbs://...`,
    /// `gdb+unix://path`, `gdb+pipe:COMMAND`, `gdb+serial:/dev/ttyS0[@speed]`. The process that is meant comes along.
    ///
    /// # Errors
    /// [`Kind::Usage`] when it names no place.
    pub fn parse(uri: &Uri) -> Result<(Place, Option<u32>)> {
        let rest = uri.rest();
        let usage = |text: &str| {
            Error::new(Kind::Usage, format!("'{}': {text}", visible(uri.as_str())))
                .hint("gdb://host:port[/pid], gdb:///path/of/socket, gdb+pipe:COMMAND, gdb+serial:/dev/ttyS0@115200")
        };
        match uri.scheme().unwrap_or_default() {
            "gdb+pipe" if rest.trim().is_empty() => Err(usage("the command is missing")),
            "gdb+pipe" => Ok((Place::Command(rest.to_string()), None)),
            "gdb+serial" => {
                let (path, speed) = match rest.rsplit_once('@') {
                    Some((path, speed)) => (path, speed.parse().map_err(|_| usage("the speed is no number"))?),
                    None => (rest, 115_200),
                };
                if path.is_empty() {
                    return Err(usage("the device is missing"));
                }
                Ok((Place::Serial { path: PathBuf::from(path), speed }, None))
            }
            "gdb+unix" if rest.is_empty() => Err(usage("the path of the socket is missing")),
            "gdb+unix" => Ok((Place::Socket(dial::Place::Unix(PathBuf::from(rest))), None)),
            "gdb" if rest.starts_with('/') => Ok((Place::Socket(dial::Place::Unix(PathBuf::from(rest))), None)),
            scheme => {
                let mut authority = Authority::parse(rest)?;
                if authority.port.is_none() {
                    return Err(usage("the port is missing"));
                }
                if authority.host.is_empty() {
                    authority.host = "127.0.0.1".to_string();
                }
                let process = match authority.file.take().filter(|process| !process.is_empty()) {
                    Some(process) => Some(process.parse().map_err(|_| usage("what follows the port is no process"))?),
                    None => None,
                };
                let place = if scheme == "gdb" { dial::Place::Tcp(authority) } else { dial::Place::Tls(authority) };
                Ok((Place::Socket(place), process))
            }
        }
    }

    /// Goes there within `timeout`. Nobody listens yet: it is tried again for some seconds, as stubs are started along
    /// with their debuggers.
    ///
    /// # Errors
    /// [`Kind::Unreachable`], and what the steps on the way say.
    pub fn connect(
        &self,
        security: &Security,
        timeout: Duration,
        cancel: &Cancel,
    ) -> Result<(Box<dyn Link>, Option<FirstUse>)> {
        match self {
            Place::Command(command) => Ok((Box::new(Pipe::start(command)?), None)),
            Place::Serial { path, speed } => Ok((serial::open(path, *speed)?, None)),
            Place::Socket(place) => {
                let end = Instant::now() + timeout.min(STARTING);
                loop {
                    match dial::dial(place, security, timeout, cancel) {
                        Err(error) if error.kind() == Kind::Unreachable && Instant::now() < end => {
                            cancel.check()?;
                            std::thread::sleep(Duration::from_millis(50));
                        }
                        outcome => return outcome,
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_name_places() {
        let of = |text: &str| Place::parse(&Uri::parse(text));
        let socket = |text: &str| match of(text) {
            Ok((Place::Socket(place), process)) => (place.to_string(), place.is_private(), process),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(socket("gdb://h:1"), ("h:1".into(), false, None));
        assert_eq!(socket("gdb://:1/42"), ("127.0.0.1:1".into(), false, Some(42)));
        assert_eq!(socket("gdb+tls://[::1]:1/7"), ("[::1]:1".into(), true, Some(7)));
        assert_eq!(socket("gdbs://h:1/"), ("h:1".into(), true, None));
        assert_eq!(socket("gdb:///run/x.sock"), ("/run/x.sock".into(), true, None));
        assert_eq!(socket("gdb+unix://x.sock"), ("x.sock".into(), true, None));
        let pipe = Place::Command("ssh host gdbserver - prog".into());
        assert_eq!(of("gdb+pipe:ssh host gdbserver - prog").unwrap().0, pipe);
        assert_eq!(of("gdb+pipe://ssh host gdbserver - prog").unwrap().0, pipe);
        let serial = Place::Serial { path: "/dev/ttyS0".into(), speed: 9600 };
        assert_eq!(of("gdb+serial:/dev/ttyS0@9600").unwrap().0, serial);
        for wrong in ["gdb://h", "gdb://h:1/x", "gdb+pipe:", "gdb+serial:", "gdb+unix://", "gdb+serial:/dev/x@y"] {
            assert_eq!(of(wrong).unwrap_err().kind(), Kind::Usage, "{wrong}");
        }
    }
}
