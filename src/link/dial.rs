//! The connect chain: tcp or a Unix socket, then TLS. Each step wraps the link of the one before.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::tls::{Fingerprint, FirstUse, Identity, Trust};
use super::{Link, private, tcp, tls, unix};
use crate::error::{Error, Kind, Result};
use crate::output::Cancel;
use crate::uri::Authority;

/// How to reach a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// TCP, in the clear.
    Tcp(Authority),
    /// TLS over TCP.
    Tls(Authority),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Place {
    /// Whether nobody on the way can listen or pretend.
    pub fn is_private(&self) -> bool {
        !matches!(self, Place::Tcp(_))
    }

    /// Whether the peer runs on this machine.
    pub fn is_here(&self) -> bool {
        match self {
            Place::Unix(_) => true,
            Place::Tcp(authority) | Place::Tls(authority) => {
                authority.host == "localhost"
                    || authority.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Tcp(authority) | Place::Tls(authority) => f.write_str(&authority.endpoint()),
            Place::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What a client trusts, and what it shows of itself (the `net.*` options).
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// The only certificate to accept.
    pub fingerprint: Option<Fingerprint>,
    /// Where known hosts are recorded; `None`: in the state directory.
    pub known_hosts: Option<PathBuf>,
    /// Whether a new host that nobody vouches for is recorded and trusted.
    pub first_use: bool,
    /// Certificate and key (PEM) for servers that want one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Where the token for servers is read from.
    pub token_file: Option<PathBuf>,
}

/// Connects to `place` within `timeout` (for each step). A certificate trusted because its host is new is returned for
/// the user to see.
pub fn dial(
    place: &Place,
    security: &Security,
    timeout: Duration,
    cancel: &Cancel,
) -> Result<(Box<dyn Link>, Option<FirstUse>)> {
    match place {
        Place::Unix(path) => Ok((Box::new(unix::connect(path)?), None)),
        Place::Tcp(authority) => Ok((tcp::connect(authority, timeout, cancel)?, None)),
        Place::Tls(authority) => {
            let link = tcp::connect(authority, timeout, cancel)?;
            let known_hosts = match &security.known_hosts {
                Some(path) => Some(path.clone()),
                None => private::state_directory().ok().map(|directory| directory.join("known_hosts")),
            };
            let trust = Trust { pinned: security.fingerprint, known_hosts, first_use: security.first_use };
            let identity = match &security.identity {
                Some((certificate, key)) => Some(Identity::read(certificate, key)?),
                None => None,
            };
            tls::connect(&trust, identity, &authority.host, &authority.endpoint(), link, timeout, cancel)
        }
    }
}

/// The path of a `unix://` URI, from the part after `://`.
pub fn socket_path(rest: &str) -> Result<&Path> {
    if rest.is_empty() {
        return Err(Error::new(Kind::Usage, "unix:// needs the path of a socket").hint("as in unix:///run/remora.sock"));
    }
    Ok(Path::new(rest))
}
