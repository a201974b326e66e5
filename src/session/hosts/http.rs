//! `http://` and `https://` hosts: web servers of the family run what follows `/cmd/`.
//!
//! The HTTP library gets its connections from here, so that they are made, trusted, waited for and interrupted like
//! all others.

use std::io::Read;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ureq::http::{StatusCode, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

use super::connect::{Line, first_use};
use super::{Peer, State};
use crate::error::{Error, Kind, Result};
use crate::link::dial::{Place, dial};
use crate::link::{Framed, Traffic};
use crate::output::printer::{Printer, Short};
use crate::output::{Cancel, Executor, Out, visible};

/// Bytes of the library's buffers.
const BUFFER: usize = 64 * 1024;

/// Bytes of a response's head.
const HEAD: usize = 64 * 1024;

/// A web server that runs commands.
pub struct Http {
    agent: ureq::Agent,
    shared: Arc<Shared>,
    origin: String,
    base: String,
    /// The value of the `Authorization` header; never shown.
    authorization: Option<String>,
}

/// What the connections share with the host.
struct Shared {
    place: Place,
    line: Line,
    now: Mutex<Now>,
}

struct Now {
    cancel: Cancel,
    /// How long the first byte of an answer may take; `None`: for ever.
    patience: Option<Duration>,
    traffic: Traffic,
    note: Option<String>,
    descriptor: Option<RawFd>,
}

impl Shared {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Http {
    /// Looks whether a web server at `place` answers commands. `login` is `user:password` as it stands in the URI,
    /// `path` what followed the place there.
    pub fn connect(place: Place, login: Option<&str>, path: &str, line: &Line) -> Result<Http> {
        let scheme = if matches!(place, Place::Tls(_)) { "https" } else { "http" };
        let origin = format!("{scheme}://{place}");
        let now = Now {
            cancel: line.cancel.clone(),
            patience: Some(line.timeout),
            traffic: Traffic::default(),
            note: None,
            descriptor: None,
        };
        let shared = Arc::new(Shared { place, line: line.clone(), now: Mutex::new(now) });
        let config = ureq::config::Config::builder()
            .http_status_as_error(false)
            // Where a server sends us is not where the user wanted to go.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("remora/", env!("CARGO_PKG_VERSION")))
            .max_response_header_size(HEAD)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_idle_connections(1)
            .build();
        let agent = ureq::Agent::with_parts(config, Lines(Arc::clone(&shared)), Nowhere);
        let authorization = login.map(|login| format!("Basic {}", STANDARD.encode(decoded(login))));
        let mut http = Http { agent, shared, origin, base: base(path), authorization };
        let (mut version, mut errors) = (Short::default(), Short::default());
        http.ask("?V", &mut Out::new(&mut version, &mut errors, Default::default(), line.cancel.clone())).map_err(
            |error| match error.kind() {
                Kind::System if !version.0.is_empty() => {
                    error.context(format_args!("{} tells no version", http.origin))
                }
                _ => error,
            },
        )?;
        http.shared.now().patience = None;
        Ok(http)
    }

    /// The path before commands, with slashes around it.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// What the user should see about the last connection.
    pub fn note(&self) -> Option<String> {
        self.shared.now().note.take()
    }

    fn ask(&mut self, command: &str, out: &mut Out<'_>) -> Result<()> {
        self.shared.now().cancel = out.cancel().clone();
        let mut request = self.agent.get(format!("{}{}{}", self.origin, self.base, encoded(command)));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let mut response = request.call().map_err(|error| self.failed(error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                return Err(Error::new(Kind::Credentials, format!("{} wants a name and a password", self.origin))
                    .hint("http://user:password@host:port/"));
            }
            status => {
                let to = response.headers().get("location").and_then(|to| to.to_str().ok());
                let to = to.map(|to| format!(", to '{}'", visible(to))).unwrap_or_default();
                return Err(Error::new(Kind::Protocol, format!("{} answers {status}{to}", self.origin)));
            }
        }
        let mut reader = response.body_mut().as_reader();
        let mut printer = Printer::default();
        let mut buffer = vec![0; BUFFER];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return printer.finish(out),
                Ok(count) => printer.push(&buffer[..count], out)?,
                Err(error) => {
                    printer.finish(out)?;
                    return Err(self.failed(error.into()));
                }
            }
        }
    }

    /// An error of the library, or the one of ours that it carries.
    fn failed(&self, error: ureq::Error) -> Error {
        match error {
            ureq::Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<Error>()) => {
                match error.into_inner().map(|inner| inner.downcast::<Error>()) {
                    Some(Ok(inner)) => *inner,
                    _ => Error::new(Kind::Protocol, format!("{} cannot be reached", self.origin)),
                }
            }
            ureq::Error::Io(error) => Error::system(&self.origin, &error),
            error => {
                let text = error.to_string();
                Error::new(
                    Kind::Protocol,
                    format!("{} does not answer as a web server: {}", self.origin, visible(&text)),
                )
            }
        }
    }
}

impl Executor for Http {
    fn execute(&mut self, line: &str, out: &mut Out<'_>) -> Result<()> {
        let outcome = self.ask(line, out);
        if let Some(note) = self.note() {
            out.note(note);
        }
        outcome
    }
}

impl Peer for Http {
    fn state(&self) -> State {
        State::OnDemand
    }

    fn traffic(&self) -> Traffic {
        self.shared.now().traffic
    }

    fn capabilities(&self) -> Vec<String> {
        vec!["run".to_string()]
    }

    fn descriptor(&self) -> Option<RawFd> {
        self.shared.now().descriptor
    }

    fn push(&mut self, _bytes: &[u8], _cancel: &Cancel) -> Result<()> {
        Err(Error::new(Kind::Unsupported, "Cannot use '=<' to an http connection."))
    }
}

/// The path before commands: `/cmd/`, below what the URI names besides.
fn base(path: &str) -> String {
    let path = path.trim_matches('/');
    let path = path.strip_suffix("cmd").unwrap_or(path).trim_end_matches('/');
    let path: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(encoded).collect();
    path.iter().fold(String::new(), |base, part| base + "/" + part) + "/cmd/"
}

/// Percent-encoded, so that every server of the family reads the same bytes.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => encoded.push(char::from(byte)),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The bytes behind percent signs; a sign without two digits stays.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let pair = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.filter(|_| *first == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

/// Names are looked up when the connection is made.
#[derive(Debug)]
struct Nowhere;

impl Resolver for Nowhere {
    fn resolve(
        &self,
        _uri: &Uri,
        _config: &ureq::config::Config,
        _timeout: NextTimeout,
    ) -> std::result::Result<ResolvedSocketAddrs, ureq::Error> {
        let mut found = self.empty();
        found.push(([0, 0, 0, 0], 0).into());
        Ok(found)
    }
}

/// Makes connections for the library.
struct Lines(Arc<Shared>);

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lines")
    }
}

impl Connector for Lines {
    type Out = Stream;

    fn connect(
        &self,
        _details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> std::result::Result<Option<Stream>, ureq::Error> {
        let Shared { place, line, .. } = &*self.0;
        let cancel = self.0.now().cancel.clone();
        let (link, first) = dial(place, &line.security, line.timeout, &cancel).map_err(carried)?;
        let mut now = self.0.now();
        now.note = first.map(|first| first_use(&first));
        now.descriptor = link.descriptor();
        drop(now);
        let framed = Mutex::new(Framed::new(link, Some(cancel)));
        let buffers = LazyBuffers::new(BUFFER, BUFFER);
        Ok(Some(Stream { framed, shared: Arc::clone(&self.0), buffers, answered: false }))
    }
}

fn carried(error: Error) -> ureq::Error {
    ureq::Error::Io(std::io::Error::other(error))
}

/// A connection as the library wants it.
struct Stream {
    framed: Mutex<Framed>,
    shared: Arc<Shared>,
    buffers: LazyBuffers,
    /// Whether something of the answer has arrived.
    answered: bool,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream")
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let traffic = self.framed.get_mut().unwrap_or_else(PoisonError::into_inner).traffic();
        let mut now = self.shared.now();
        now.traffic += traffic;
        now.descriptor = None;
    }
}

impl Transport for Stream {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _timeout: NextTimeout) -> std::result::Result<(), ureq::Error> {
        let framed = self.framed.get_mut().unwrap_or_else(PoisonError::into_inner);
        framed.set_cancel(self.shared.now().cancel.clone());
        framed.queue().extend_from_slice(&self.buffers.output()[..amount]);
        self.answered = false;
        framed.flush(Some(self.shared.line.timeout)).map_err(carried)
    }

    fn await_input(&mut self, _timeout: NextTimeout) -> std::result::Result<bool, ureq::Error> {
        let framed = self.framed.get_mut().unwrap_or_else(PoisonError::into_inner);
        if framed.arrived().is_empty() {
            let patience = if self.answered { Some(self.shared.line.timeout) } else { self.shared.now().patience };
            match framed.fill(patience) {
                Ok(()) => {}
                Err(error) if error.kind() == Kind::Closed => return Ok(false),
                Err(error) => return Err(carried(error)),
            }
        }
        self.answered = true;
        let free = self.buffers.input_append_buf();
        let count = free.len().min(framed.arrived().len());
        free[..count].copy_from_slice(&framed.arrived()[..count]);
        framed.consume(count);
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        !self.framed.get_mut().unwrap_or_else(PoisonError::into_inner).is_gone()
    }

    fn is_tls(&self) -> bool {
        matches!(self.shared.place, Place::Tls(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_paths_are_encoded() {
        assert_eq!(encoded("px 16 @ 0x10~a+b"), "px%2016%20%40%200x10%7Ea%2Bb");
        assert_eq!(encoded("?e ä"), "%3Fe%20%C3%A4");
        for (path, wanted) in
            [("", "/cmd/"), ("cmd/", "/cmd/"), ("cmd", "/cmd/"), ("a/cmd/", "/a/cmd/"), ("a/b c", "/a/b%20c/cmd/")]
        {
            assert_eq!(base(path), wanted, "{path}");
        }
        assert_eq!(decoded("me:a%40b%"), b"me:a@b%");
    }
}
