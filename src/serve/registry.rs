//! Servers that are started from a session, and share it with their clients.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::gdb::program::Offered;
use super::{Home, SERVICES, ServeOptions, Server, arguments, http};
use crate::error::{Error, Kind, Result};
use crate::link::dial::Place;
use crate::session::servers::{self, Guest, Request};
use crate::session::{Doors, Session};
use crate::uri::Uri;

/// Lets `session` start servers, which end with it.
pub fn offer(session: &mut Session) {
    let servers = session.core().servers.clone();
    session.doors = Some(Doors::new(listen, servers));
}

fn listen(session: &Session, request: Request<'_>) -> Result<Arc<dyn servers::Server>> {
    if request.service == super::gdb::SERVICE.name {
        return match super::gdb::program::offer(session, request, Arc::new(Home::of(session)))? {
            Offered::Listening(server) => run(server),
            Offered::Standard(piped) => Ok(Arc::new(piped)),
        };
    }
    if request.service == http::NAME {
        return http::listen(session, request);
    }
    let unknown = || Error::new(Kind::Unsupported, format!("'{}' is not served here", request.service));
    let service = *SERVICES.iter().find(|service| service.name == request.service).ok_or_else(unknown)?;
    let (options, words) = arguments::parse(request.words)?;
    let options = ServeOptions { home: Some(Arc::new(Home::of(session))), events: request.events, ..options };
    run(Server::listen_at(service, &place(service.name, &words)?, options)?)
}

fn run(server: Server) -> Result<Arc<dyn servers::Server>> {
    let running = server.clone();
    let thread = Builder::new()
        .name(format!("{}-accept", server.service()))
        .spawn(move || running.attend())
        .map_err(|e| Error::system("cannot start a thread", &e))?;
    Ok(Arc::new(Running { server, thread: Mutex::new(Some(thread)) }))
}

/// Where to listen: `1234`, `:1234`, `127.0.0.1:1234`, or a URI for what is encrypted or local: `raps://:1234`.
pub(super) fn place(service: &str, words: &[String]) -> Result<Place> {
    let [word] = words else {
        let text = words.join(" ");
        return Err(Error::new(Kind::Usage, format!("'{text}' is no place to listen at")).hint("[host:]port"));
    };
    let text = match word.contains("://") {
        true => word.clone(),
        false if word.bytes().all(|byte| byte.is_ascii_digit()) => format!("{service}://:{word}"),
        false => format!("{service}://{word}"),
    };
    let no_place = || Error::new(Kind::Usage, format!("'{word}' is no place to listen at")).hint("[host:]port");
    match Place::parse(service, &Uri::parse(&text))? {
        Some((place, file)) if file.as_deref().unwrap_or_default().is_empty() => match &place {
            Place::Tcp(authority) | Place::Tls(authority) if authority.port.is_none() => Err(no_place()),
            _ => Ok(place),
        },
        _ => Err(no_place()),
    }
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
        self.server.place()
    }

    fn warnings(&self) -> Vec<String> {
        self.server.announcements().to_vec()
    }

    fn guests(&self) -> Vec<Guest> {
        self.server.clients().guests()
    }

    fn kept(&self) -> Vec<servers::Kept> {
        self.server.clients().kept()
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
        let listen = |text: &str| place("rap", &[text.to_string()]).map(|place| place.to_string());
        assert_eq!(listen("1234").unwrap(), ":1234");
        assert_eq!(listen(":0").unwrap(), ":0");
        assert_eq!(listen("rap://:9").unwrap(), ":9");
        assert_eq!(listen("[::1]:9").unwrap(), "[::1]:9");
        for text in ["", "host", "99999", "host:1/file", "--nosuch"] {
            assert!(listen(text).is_err(), "{text}");
        }
        assert!(place("rap", &["1".to_string(), "2".to_string()]).is_err());
    }
}
