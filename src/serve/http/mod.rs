//! The web door: pages, scripts and the clients of radare2 and rizin speak HTTP with the session.
//!
//! The one place in this program that is async: connections are served by a small runtime, commands run on its blocking
//! threads, one at a time for each client, and each client has a [`View`](crate::session::View) of its own. Nobody is
//! let in without the server's token, or the code that was printed when the server started; programs of this machine
//! may read without.

mod api;
mod clients;
mod command;
mod connection;
mod control;
mod entropy;
mod files;
mod guard;
mod lists;
mod memory;
mod openapi;
mod page;
mod reply;
mod routes;
mod run;
mod settings;
mod sign_in;
mod socket;
mod stream;
mod watch;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, broadcast};

use super::gate::Rules;
use super::listener::Listener;
use super::{Home, Manner, ServeOptions, arguments, registry};
use crate::error::{Error, Kind, Result};
use crate::link::dial::Place;
use crate::session::servers::{Guest, Request, Server};
use crate::session::{Permissions, Session};

use clients::Clients;
use settings::Settings;
use sign_in::Codes;
use socket::Event;

/// The service's name.
pub const NAME: &str = "http";

const MANNER: Manner =
    Manner { name: NAME, presents_tokens: true, always_asks: true, exposes: "may try tokens, and reads what is sent" };

/// Threads that move bytes; commands have their own.
const WORKERS: usize = 2;

/// Commands that may run at once.
const COMMANDS: usize = 64;

/// How long requests may take to end when the server stops.
const FAREWELL: Duration = Duration::from_millis(500);

/// What the requests share.
struct Site {
    rules: Arc<Rules>,
    options: ServeOptions,
    home: Arc<Home>,
    settings: Settings,
    address: SocketAddr,
    encrypted: bool,
    clients: Clients,
    codes: Codes,
    events: broadcast::Sender<Event>,
    /// How the core looked last.
    seen: Mutex<watch::Mark>,
    stopping: tokio::sync::watch::Sender<bool>,
    /// A permit for each connection.
    seats: Arc<Semaphore>,
}

impl Site {
    /// What programs of this machine may do without a token.
    fn open_to_neighbours(&self) -> Option<Permissions> {
        let local = self.address.ip().is_loopback() && !self.encrypted;
        (local && self.settings.anonymous).then_some(Permissions::READ)
    }

    /// Where a browser goes.
    fn origin(&self) -> String {
        let scheme = if self.encrypted { "https" } else { "http" };
        let host = match self.address.ip() {
            ip if ip.is_unspecified() => "localhost".to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
            ip => ip.to_string(),
        };
        format!("{scheme}://{host}:{}", self.address.port())
    }

    /// Tells whoever listens what happens here.
    fn tell(&self, what: std::fmt::Arguments<'_>) {
        if self.settings.log
            && let Some(events) = &self.options.events
        {
            // Nobody listens any more when the server is being stopped.
            let _ = events.send(format!("{NAME}: {what}"));
        }
    }

    /// Returns when the server stops.
    async fn stopped(&self) {
        // The sender is here, so there is no other outcome.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }
}

/// A web server that was started from a session.
struct Web {
    site: Arc<Site>,
    runtime: Mutex<Option<Runtime>>,
}

/// Starts the web server that `request` asks for; its clients share `session`'s core.
///
/// # Errors
/// As [`super::Server::listen_at`]; when the options `http.*` do not fit.
pub fn listen(session: &Session, request: Request<'_>) -> Result<Arc<dyn Server>> {
    let (options, mut words) = arguments::parse(request.words)?;
    let settings = Settings::of(session)?;
    if words.is_empty() {
        words.push(settings.place.clone());
    }
    let place = registry::place(NAME, &words)?;
    let options = ServeOptions { events: request.events, ..options };
    Ok(Arc::new(Web::start(&place, options, settings, Arc::new(Home::of(session)))?))
}

impl Web {
    fn start(place: &Place, options: ServeOptions, settings: Settings, home: Arc<Home>) -> Result<Web> {
        if matches!(place, Place::Unix(_)) {
            return Err(Error::new(Kind::Unsupported, "browsers know no Unix sockets").hint("=h 127.0.0.1:9090"));
        }
        let (rules, addresses) = Rules::prepare(&MANNER, place, &options)?;
        let (listener, address) = match &Listener::bind(place, &addresses)? {
            Listener::Tcp(listener, address) => (listener.try_clone(), *address),
            Listener::Unix(..) => return Err(Error::new(Kind::Unsupported, "browsers know no Unix sockets")),
        };
        let listener = listener.map_err(|e| Error::system(format_args!("cannot listen at {address}"), &e))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(COMMANDS)
            .thread_name("http")
            .enable_io()
            .enable_time()
            .build()
            .map_err(|e| Error::system("cannot start the web server's threads", &e))?;
        let encryption = rules.tls.as_ref().map(|tls| tls.configuration(&[b"h2", b"http/1.1"]));
        let site = Arc::new(Site {
            rules: Arc::new(rules),
            home,
            address,
            encrypted: encryption.is_some(),
            clients: Clients::default(),
            codes: Codes::default(),
            events: broadcast::channel(256).0,
            seen: Mutex::default(),
            stopping: tokio::sync::watch::channel(false).0,
            seats: Arc::new(Semaphore::new(options.clients)),
            settings,
            options,
        });
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)
                .map_err(|e| Error::system(format_args!("cannot listen at {address}"), &e))?
        };
        runtime.spawn(connection::accept(Arc::clone(&site), listener, encryption));
        runtime.spawn(clients::tidy(Arc::clone(&site)));
        watch::look(&site, None);
        runtime.spawn(watch::watch(Arc::clone(&site)));
        Ok(Web { site, runtime: Mutex::new(Some(runtime)) })
    }
}

impl Server for Web {
    fn service(&self) -> &'static str {
        if self.site.encrypted { "https" } else { NAME }
    }

    fn address(&self) -> String {
        self.site.address.to_string()
    }

    fn warnings(&self) -> Vec<String> {
        let site = &self.site;
        let mut warnings = site.rules.announcements.clone();
        if !site.encrypted && !site.address.ip().is_loopback() {
            warnings.push("WARNING: nothing is encrypted there: whoever listens on the way gets the token".to_string());
        }
        warnings
    }

    fn invitation(&self) -> Option<String> {
        let code = self.site.codes.issue().ok()?;
        Some(format!("{}/#code={code}", self.site.origin()))
    }

    fn guests(&self) -> Vec<Guest> {
        self.site.clients.guests()
    }

    fn disconnect(&self, guest: u64) -> bool {
        self.site.clients.remove(guest, &self.site)
    }

    fn is_running(&self) -> bool {
        !self.site.is_stopping()
    }

    fn stop(&self) {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(runtime) = runtime else { return };
        // Whoever waits hears it; nobody may be there.
        self.site.stopping.send_replace(true);
        let _ = self.site.events.send(Event::Stopping);
        self.site.clients.cancel_all();
        let everybody = u32::try_from(self.site.options.clients).unwrap_or(u32::MAX);
        let seats = Arc::clone(&self.site.seats);
        runtime.block_on(async move {
            // Those who do not leave by themselves are shown the door.
            let _ = tokio::time::timeout(FAREWELL, seats.acquire_many(everybody)).await;
        });
        runtime.shutdown_timeout(FAREWELL);
        self.site.clients.farewell();
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stop();
    }
}
