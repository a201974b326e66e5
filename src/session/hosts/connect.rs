//! From what was typed behind `=+` to a connected host.

use std::time::{Duration, Instant};

use super::http::Http;
use super::lines::Lines;
use super::udp::Udp;
use super::{Host, Peer, rap};
use crate::error::{Error, Kind, Result};
use crate::link::Security;
use crate::link::dial::{Place, socket_path};
use crate::link::tls::FirstUse;
use crate::output::{Cancel, visible};
use crate::uri::{Authority, Uri};

/// The protocols of hosts.
pub const PROTOCOLS: &[&str] = &["rap", "raps", "rap+unix", "tcp", "tcps", "udp", "unix", "http", "https"];

/// How connections are made.
#[derive(Clone)]
pub struct Line {
    /// Whom to trust.
    pub security: Security,
    /// How long a peer may keep silent.
    pub timeout: Duration,
    /// Ends waiting.
    pub cancel: Cancel,
}

/// A host that can be put into the table, and what to say about it.
pub struct Connected {
    /// The entry.
    pub host: Host,
    /// `Connected to: ...`.
    pub greeting: String,
    /// Whether it is a rap host, which is waited for.
    pub is_rap: bool,
    /// What the user should see besides.
    pub note: Option<String>,
}

/// Connects to what `text` names: `[protocol://]host:port[/file]`.
///
/// # Errors
/// [`Kind::UnknownScheme`], [`Kind::Usage`] for a place without a port, [`Kind::Unreachable`],
/// [`Kind::NotFound`] for a file that is not there.
pub fn connect(text: &str, line: &Line) -> Result<Connected> {
    let (scheme, rest) = scheme(text);
    let Some(scheme) = PROTOCOLS.iter().copied().find(|known| *known == scheme) else {
        return Err(Error::new(Kind::UnknownScheme, format!("Unknown protocol '{}'", visible(scheme)))
            .hint(format!("known: {}", PROTOCOLS.join(", "))));
    };
    match scheme {
        "unix" => return unix(rest, line),
        "rap+unix" => return rap_unix(rest, line),
        _ => {}
    }
    let web = scheme.starts_with("http");
    let place = rest.split('/').next().unwrap_or_default();
    let (login, rest) = match place.rfind('@') {
        Some(at) if web => (Some(&rest[..at]), &rest[at + 1..]),
        // Nothing of it may be repeated: it may be a password.
        Some(_) => return Err(Error::new(Kind::Usage, format!("a {scheme} host takes no name and password"))),
        None => (None, rest),
    };
    let mut authority = Authority::parse(rest)?;
    if web && authority.port.is_none() {
        authority.port = Some(if scheme == "https" { 443 } else { 80 });
    }
    let file = authority.file.clone().unwrap_or_default();
    let (host, port) = (authority.host.clone(), authority.port.unwrap_or_default());
    let name = format!("{scheme}://{}", authority.endpoint());
    let mut uri = format!("{name}/{file}");
    let secure = scheme.ends_with('s');
    let place = if secure { Place::Tls(authority.clone()) } else { Place::Tcp(authority.clone()) };
    let begun = Instant::now();
    let mut trips = 1;
    let (peer, note): (Box<dyn Peer>, _) = match scheme {
        "rap" | "raps" => {
            let (client, note) = rap::connect(place, &file, line)?;
            // The connection and the first flight.
            trips = 2;
            (Box::new(client), note)
        }
        "udp" => (Box::new(Udp::connect(&authority, line)?), None),
        "http" | "https" => {
            let http = Http::connect(place, login, &file, line)?;
            uri = format!("{name}{}", http.base());
            trips = 2;
            let note = http.note();
            (Box::new(http), note)
        }
        _ => {
            let (lines, note) = Lines::connect(place, line.clone())?;
            (Box::new(lines), note)
        }
    };
    let latency = (scheme != "udp").then(|| begun.elapsed() / trips);
    Ok(Connected {
        host: Host::new(uri, name, peer, latency),
        greeting: format!("Connected to: {host} at port {port}"),
        is_rap: scheme.starts_with("rap"),
        note,
    })
}

fn unix(rest: &str, line: &Line) -> Result<Connected> {
    let path = socket_path(rest)?.to_path_buf();
    let uri = format!("unix://{rest}");
    let begun = Instant::now();
    let (lines, note) = Lines::connect(Place::Unix(path), line.clone())?;
    Ok(Connected {
        host: Host::new(uri.clone(), uri.clone(), Box::new(lines), Some(begun.elapsed())),
        greeting: format!("Connected to: {uri}"),
        is_rap: false,
        note,
    })
}

fn rap_unix(rest: &str, line: &Line) -> Result<Connected> {
    let uri = Uri::parse(&format!("rap+unix://{rest}"));
    let Some((place, file)) = Place::parse("rap", &uri)? else {
        return Err(Error::new(Kind::Usage, format!("'{}' is no place", visible(uri.as_str()))));
    };
    let begun = Instant::now();
    let name = format!("rap+unix://{place}");
    let file = file.unwrap_or_default();
    let (client, note) = rap::connect(place, &file, line)?;
    let uri = format!("{name}//{}", file.trim_start_matches('/'));
    Ok(Connected {
        host: Host::new(uri, name.clone(), Box::new(client), Some(begun.elapsed() / 2)),
        greeting: format!("Connected to: {name}"),
        is_rap: true,
        note,
    })
}

/// The protocol and what follows its `://`. Whatever stands before the protocol's name is ignored, as it always
/// was (`=+ =+ rap://...`); without a protocol it is rap.
pub fn scheme(text: &str) -> (&str, &str) {
    let text = text.trim();
    let Some((head, rest)) = text.split_once("://") else { return ("rap", text.trim_start_matches("=+").trim()) };
    let word = head.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '+').next().unwrap_or_default();
    (word.trim_start_matches('+'), rest)
}

/// What the user sees when a certificate is trusted because its host is new.
pub fn first_use(first: &FirstUse) -> String {
    format!("{} is new; trusted from now on with its certificate {}", first.endpoint, first.fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_found_behind_whatever_was_typed() {
        assert_eq!(scheme("rap://h:1//bin/ls"), ("rap", "h:1//bin/ls"));
        assert_eq!(scheme("=+ rap://h:1//bin/ls"), ("rap", "h:1//bin/ls"));
        assert_eq!(scheme("h:1/"), ("rap", "h:1/"));
        assert_eq!(scheme("rap://h:1/dbg:///bin/ls"), ("rap", "h:1/dbg:///bin/ls"));
        assert_eq!(scheme("tcp://h:1/"), ("tcp", "h:1/"));
        assert_eq!(scheme("é://h:1/"), ("", "h:1/"));
    }

    #[test]
    fn passwords_are_not_repeated() {
        let line = Line { security: Security::default(), timeout: Duration::from_secs(1), cancel: Cancel::new() };
        for text in ["rap://me:secret@h:1/", "http://me:secret@h:99999/", "tcp://me:secret@[::1]:1/"] {
            let error = connect(text, &line).err().unwrap().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
