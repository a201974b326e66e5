//! Servers that are started from a session, and share it with their clients.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::{Home, SERVICES, ServeOptions, Server};
use crate::error::{Error, Kind, Result};
use crate::session::servers::{self, Guest, Request};
use crate::session::{Doors, Session};
use crate::uri::Authority;

/// Lets `session` start servers, which end with it.
pub fn offer(session: &mut Session) {
    let servers = session.core().servers.clone();
    session.doors = Some(Doors::new(listen, servers));
}

fn listen(session: &Session, request: Request<'_>) -> Result<Arc<dyn servers::Server>> {
    let unknown = || Error::new(Kind::Unsupported, format!("'{}' is not served here", request.service));
    let service = SERVICES.iter().find(|service| service.name == request.service).ok_or_else(unknown)?;
    let options =
        ServeOptions { home: Some(Arc::new(Home::of(session))), events: request.events, ..ServeOptions::default() };
    let server = Server::listen(service, &place(request.words)?, options)?;
    let running = server.clone();
    let thread = Builder::new()
        .name(format!("{}-accept", service.name))
        .spawn(move || running.attend())
        .map_err(|e| Error::system("cannot start a thread", &e))?;
    Ok(Arc::new(Running { server, thread: Mutex::new(Some(thread)) }))
}

/// Where to listen: `1234`, `:1234`, `127.0.0.1:1234`.
fn place(words: &[String]) -> Result<Authority> {
    let [word] = words else {
        let text = words.join(" ");
        return Err(Error::new(Kind::Usage, format!("'{text}' is no place to listen at")).hint("[host:]port"));
    };
    let word = word.split_once("://").map_or(word.as_str(), |(_, rest)| rest);
    let alone = word.bytes().all(|byte| byte.is_ascii_digit());
    let authority = Authority::parse(&if alone { format!(":{word}") } else { word.to_string() })?;
    if authority.port.is_none() || authority.file.as_deref().is_some_and(|file| !file.is_empty()) {
        return Err(Error::new(Kind::Usage, format!("'{word}' is no place to listen at")).hint("[host:]port"));
    }
    Ok(authority)
}

/// A server with its accepting thread.
struct Running {
    server: Server,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl servers::Server for Running {
    fn service(&self) -> &'static str {
        self.server.service()
    }

    fn address(&self) -> String {
        self.server.address().to_string()
    }

    fn warnings(&self) -> Vec<String> {
        self.server.warnings()
    }

    fn guests(&self) -> Vec<Guest> {
        self.server.clients().guests()
    }

    fn disconnect(&self, guest: u64) -> bool {
        self.server.clients().disconnect(guest)
    }

    fn is_running(&self) -> bool {
        self.server.is_running()
    }

    fn stop(&self) {
        self.server.stop();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_listen_at() {
        let listen = |text: &str| place(&[text.to_string()]).map(|authority| authority.endpoint());
        assert_eq!(listen("1234").unwrap(), ":1234");
        assert_eq!(listen(":0").unwrap(), ":0");
        assert_eq!(listen("rap://:9").unwrap(), ":9");
        assert_eq!(listen("[::1]:9").unwrap(), "[::1]:9");
        for text in ["", "host", "99999", "host:1/file", "--nosuch"] {
            assert!(listen(text).is_err(), "{text}");
        }
        assert!(place(&["1".to_string(), "2".to_string()]).is_err());
    }
}
