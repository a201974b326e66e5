//! The connect chain: tcp or a Unix socket, then TLS. Each step wraps the link of the one before.

use std::io::{self, IoSliceMut, Read, Write};
use std::os::fd::{BorrowedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use super::rap::Compression;
use super::tls::{Connected, Fingerprint, FirstUse, Identity, Trust};
use super::{Breaker, Link, Token, credentials, private, tcp, tls, unix};
use crate::error::{Error, Kind, Result};
use crate::output::Cancel;
use crate::uri::{Authority, Uri};

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
    /// Reads the place out of a URI for the protocol `name`: `name://host:port/file` is TCP, `names://...` is TLS, and
    /// `name+unix:///path/of/socket` a Unix socket, whose path ends at the first `//`; what follows is the file
    /// (`rap+unix:///run/x.sock//bin/ls` means `/bin/ls`, `rap+unix:///run/x.sock//malloc://16` a URI). `None`: the
    /// URI is for something else. The file is `None` in the form without a `/` after the port (or without a `//`),
    /// which listens.
    pub fn parse(name: &str, uri: &Uri) -> Result<Option<(Place, Option<String>)>> {
        let Some(scheme) = uri.scheme() else { return Ok(None) };
        let Some(transport) = scheme.strip_prefix(name) else { return Ok(None) };
        match transport {
            "" | "s" => {
                let mut authority = Authority::parse(uri.rest())?;
                let file = authority.file.take();
                let place = if transport.is_empty() { Place::Tcp(authority) } else { Place::Tls(authority) };
                Ok(Some((place, file)))
            }
            "+unix" => {
                let rest = uri.rest();
                let end = rest.match_indices("//").map(|(at, _)| at).find(|at| *at > 0);
                let (path, file) = match end.map(|at| (&rest[..at], &rest[at + 2..])) {
                    None => (rest, None),
                    Some((path, file)) if file.is_empty() || Uri::parse(file).scheme().is_some() => {
                        (path, Some(file.to_string()))
                    }
                    Some((path, file)) => (path, Some(format!("/{}", file.trim_start_matches('/')))),
                };
                if !path.starts_with('/') {
                    return Err(Error::new(Kind::Usage, format!("{scheme}:// needs the path of a socket from / on"))
                        .hint(format!("as in {scheme}:///run/user/1000/remora.sock//bin/ls")));
                }
                Ok(Some((Place::Unix(PathBuf::from(path)), file)))
            }
            _ => Ok(None),
        }
    }

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
    /// The connection is made for somebody else, who must not borrow this account's token or its own servers' trust.
    pub anonymous: bool,
    /// When bytes are asked for in compressed form, by protocols that can.
    pub compression: Compression,
}

/// Connects to `place` within `timeout` (for each step). A certificate trusted because its host is new is returned for
/// the user to see.
pub fn dial(
    place: &Place,
    security: &Security,
    timeout: Duration,
    cancel: &Cancel,
) -> Result<(Box<dyn Link>, Option<FirstUse>)> {
    reach(place, security, timeout, cancel).map(|(link, first_use, _)| (link, first_use))
}

/// The same for a protocol that can present a token: the link carries one ([`Link::token`]) when the place is private
/// and there is one for it. The token of this account's own servers goes to nobody else: the peer must show their
/// certificate, or be a process of this user at a Unix socket.
pub fn dial_with_token(
    place: &Place,
    security: &Security,
    timeout: Duration,
    cancel: &Cancel,
) -> Result<(Box<dyn Link>, Option<FirstUse>)> {
    let (link, first_use, own) = reach(place, security, timeout, cancel)?;
    if !place.is_private() || security.anonymous {
        return Ok((link, first_use));
    }
    Ok(match credentials::client_token(security.token_file.as_deref(), own)? {
        Some(token) => (Box::new(Welcome { link, token }), first_use),
        None => (link, first_use),
    })
}

fn reach(
    place: &Place,
    security: &Security,
    timeout: Duration,
    cancel: &Cancel,
) -> Result<(Box<dyn Link>, Option<FirstUse>, bool)> {
    match place {
        Place::Unix(path) => {
            let (link, user) = unix::connect(path)?;
            Ok((Box::new(link), None, unix::is_ours(user)))
        }
        Place::Tcp(authority) => Ok((tcp::connect(authority, timeout, cancel)?, None, false)),
        Place::Tls(authority) => {
            let state = private::state_directory().ok();
            let known_hosts = security.known_hosts.clone();
            let trust = Trust {
                pinned: security.fingerprint,
                known_hosts: known_hosts.or_else(|| state.as_ref().map(|directory| directory.join("known_hosts"))),
                own: state.filter(|_| place.is_here() && !security.anonymous).as_deref().and_then(Identity::kept),
                first_use: security.first_use,
            };
            let identity = match &security.identity {
                Some((certificate, key)) => Some(Identity::read(certificate, key)?),
                None => None,
            };
            let link = tcp::connect(authority, timeout, cancel)?;
            let Connected { link, first_use, own } =
                tls::connect(&trust, identity, &authority.host, &authority.endpoint(), link, timeout, cancel)?;
            Ok((link, first_use, own))
        }
    }
}

/// The path of a `unix://` URI, from the part after `://`.
pub fn socket_path(rest: &str) -> Result<&std::path::Path> {
    if rest.is_empty() {
        return Err(Error::new(Kind::Usage, "unix:// needs the path of a socket").hint("as in unix:///run/remora.sock"));
    }
    Ok(std::path::Path::new(rest))
}

/// A private link with the token for its peer.
struct Welcome {
    link: Box<dyn Link>,
    token: Token,
}

impl Read for Welcome {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.link.read(buffer)
    }
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.link.read_vectored(buffers)
    }
}

impl Write for Welcome {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.link.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.link.flush()
    }
}

impl Link for Welcome {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.link.set_timeout(timeout)
    }
    fn peer(&self) -> &str {
        self.link.peer()
    }
    fn is_gone(&self) -> bool {
        self.link.is_gone()
    }
    fn breaker(&self) -> Breaker {
        self.link.breaker()
    }
    fn token(&self) -> Option<&Token> {
        Some(&self.token)
    }
    fn finish(&mut self) -> io::Result<()> {
        self.link.finish()
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
        self.link.trim();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_uris() {
        let parse = |text: &str| Place::parse("rap", &Uri::parse(text)).unwrap();
        let shown = |text: &str| parse(text).map(|(place, file)| (place.to_string(), place.is_private(), file));
        let file = |name: &str| Some(name.to_string());
        assert_eq!(shown("rap://h:1//bin/ls"), Some(("h:1".into(), false, file("/bin/ls"))));
        assert_eq!(shown("raps://h:1"), Some(("h:1".into(), true, None)));
        assert_eq!(shown("raps://[::1]:1/"), Some(("[::1]:1".into(), true, file(""))));
        assert_eq!(shown("rap+unix:///run/x.sock"), Some(("/run/x.sock".into(), true, None)));
        assert_eq!(shown("rap+unix:///run/x.sock//"), Some(("/run/x.sock".into(), true, file(""))));
        assert_eq!(shown("rap+unix:///run/x.sock//bin/ls"), Some(("/run/x.sock".into(), true, file("/bin/ls"))));
        assert_eq!(shown("rap+unix:///run/x.sock///bin/ls"), shown("rap+unix:///run/x.sock//bin/ls"));
        let memory = shown("rap+unix:///run/x.sock//malloc://16");
        assert_eq!(memory, Some(("/run/x.sock".into(), true, file("malloc://16"))));
        assert!(parse("/bin/ls").is_none() && parse("tcp://h:1").is_none() && parse("rapt://h:1").is_none());
        assert!(Place::parse("rap", &Uri::parse("rap+unix://relative")).is_err());
        assert!(Place::parse("rap", &Uri::parse("rap+unix://")).is_err());
        assert!(parse("raps://127.0.0.1:1").unwrap().0.is_here() && !parse("raps://10.0.0.1:1").unwrap().0.is_here());
    }
}
