//! Servers: one accept loop for every service, a thread and a session for each client.
//!
//! A service gets a [`Link`](crate::link::Link) and speaks its protocol on it until it ends; whatever goes wrong
//! there ends that client's thread and nothing else.

pub mod arguments;
pub mod audit;
mod clients;
mod gate;
pub mod gdb;
mod home;
mod kept;
pub mod http;
mod listener;
pub mod rap;
mod registry;
pub mod tcp;

use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::debug::Lost;
use crate::error::{Error, Kind, Result};
use crate::link::Link;
use crate::link::dial::Place;
use crate::session::{LineSource, Permissions, Session};
use crate::uri::{Authority, Uri};

use listener::{Guest, Listener};

pub use clients::{Clients, Seat};
pub use gate::Gate;
pub use home::Home;
pub use registry::offer;

/// A protocol that clients may speak.
pub struct Service {
    /// Its scheme, which messages start with.
    pub name: &'static str,
    /// Whether its clients can present a token.
    pub presents_tokens: bool,
    /// Whether clients share a session in any case, because their connections are too short for one of their own.
    pub shares: bool,
    /// What a stranger could do, for the warning when it is offered beyond this machine.
    pub exposes: &'static str,
    /// Speaks with one client until it leaves.
    pub serve: fn(Box<dyn Link>, &Seat, &ServeOptions) -> Result<()>,
}

/// What the rules of a server depend on.
pub(crate) struct Manner {
    /// Its scheme.
    name: &'static str,
    /// Whether its clients can present a token.
    presents_tokens: bool,
    /// Whether they must even where nobody else can come from.
    always_asks: bool,
    /// What a stranger could do.
    exposes: &'static str,
}

impl Service {
    fn manner(&self) -> Manner {
        let Service { name, presents_tokens, exposes, .. } = *self;
        Manner { name, presents_tokens, always_asks: false, exposes }
    }
}

/// Every service.
pub const SERVICES: &[&Service] = &[&rap::SERVICE, &tcp::SERVICE];

/// The service and the place that `uri` asks to listen at: `rap://:1234`, `raps://[host]:1234` and
/// `rap+unix:///path/of/socket`, without a file. `None`: `uri` is something to open.
pub fn listening(uri: &Uri) -> Result<Option<(&'static Service, Place)>> {
    for service in SERVICES {
        if let Some((place, file)) = Place::parse(service.name, uri)? {
            return Ok(file.is_none().then_some((*service, place)));
        }
    }
    Ok(None)
}

/// Listens as `uri` says: its scheme is the service, as in `rap://:1234`.
///
/// # Errors
/// [`Kind::UnknownScheme`] for a scheme that is no service, and as [`Server::listen_at`].
pub fn listen(uri: &Uri, options: ServeOptions) -> Result<Server> {
    let (service, place) = listening(uri)?.ok_or_else(|| {
        let known: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
        Error::new(Kind::UnknownScheme, format!("'{uri}' is nothing to listen at"))
            .hint(format!("known: {}; an s behind them encrypts", known.join(", ")))
    })?;
    Server::listen_at(service, &place, options)
}

/// What the clients of a server get.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// What they may do.
    pub permissions: Permissions,
    /// How many may be there at once; more are turned away.
    pub clients: usize,
    /// How long one may stall in the middle of a packet.
    pub patience: Duration,
    /// How long a command may take before clients with short patience get a sign of life.
    pub keep_alive: Duration,
    /// The directory that is the clients' `/`.
    pub root: Option<PathBuf>,
    /// The network schemes that clients may open from here.
    pub schemes: Vec<String>,
    /// The tokens; `None`: for a TLS server the one in the state directory.
    pub token_file: Option<PathBuf>,
    /// The certificate of a TLS server (PEM); `None`: the one in the state directory, made on first use.
    pub certificate: Option<PathBuf>,
    /// Its key, when that is not in the same file.
    pub key: Option<PathBuf>,
    /// Who signs the certificates of clients (PEM).
    pub client_authority: Option<PathBuf>,
    /// Where what clients do is recorded.
    pub audit: Option<PathBuf>,
    /// Listen beyond this machine without encryption or credentials.
    pub insecure: bool,
    /// Where keys and tokens are kept; `None`: [`crate::link::private::state_directory`].
    pub state: Option<PathBuf>,
    /// The session that the clients share; `None`: each has one of its own.
    pub home: Option<Arc<Home>>,
    /// Who is told when clients come and go.
    pub events: Option<Sender<String>>,
    /// What becomes of a process whose client was lost and has not said what it wants; `None`: what was started is
    /// kept, what was attached to continues.
    pub lost: Option<Lost>,
    /// How long it waits for its client.
    pub kept: Duration,
    /// What debuggers are connected to.
    pub stub: Option<Arc<gdb::Stub>>,
}

impl Default for ServeOptions {
    fn default() -> ServeOptions {
        ServeOptions {
            permissions: Permissions::READ.and(Permissions::WRITE).and(Permissions::FILES),
            clients: 1024,
            patience: Duration::from_secs(30),
            keep_alive: Duration::from_millis(500),
            root: None,
            schemes: Vec::new(),
            token_file: None,
            certificate: None,
            key: None,
            client_authority: None,
            audit: None,
            insecure: false,
            state: None,
            home: None,
            events: None,
            lost: None,
            kept: Duration::from_secs(600),
            stub: None,
        }
    }
}

impl ServeOptions {
    /// The session of the client at `seat`.
    fn session(&self, seat: &Seat) -> Session {
        let mut session = self.home.as_ref().map_or_else(Session::new, |home| home.session());
        session.cancel = seat.cancel.clone();
        seat.gate.admit(&mut session);
        session.lines = Some(Box::new(Nobody));
        session
    }
}

/// The keyboard of a client's session: there is none on this side.
struct Nobody;

impl LineSource for Nobody {
    fn read_line(&mut self, _prompt: &str) -> Option<String> {
        None
    }
}

/// A listening server; clones are handles on the same one.
#[derive(Clone)]
pub struct Server(Arc<Listening>);

struct Listening {
    service: &'static Service,
    listener: Listener,
    clients: Clients,
    stopping: AtomicBool,
    /// Writing to the first end wakes the accept loop, which polls the second.
    wake: (UnixStream, UnixStream),
}

impl Server {
    /// Listens for clients of `service` at `authority`, in the clear: only for this machine unless a host is named;
    /// port 0 takes a free one.
    ///
    /// # Errors
    /// As [`Server::listen_at`].
    pub fn listen(service: &'static Service, authority: &Authority, options: ServeOptions) -> Result<Server> {
        Server::listen_at(service, &Place::Tcp(authority.clone()), options)
    }

    /// Listens for clients of `service` at `place`, under the rules that `options` make.
    ///
    /// # Errors
    /// [`Kind::Permission`] when other machines could reach it without encryption and credentials; when the address
    /// cannot be had; when a key, a token or a log cannot be used.
    pub fn listen_at(service: &'static Service, place: &Place, mut options: ServeOptions) -> Result<Server> {
        if service.shares && options.home.is_none() {
            options.home = Some(Arc::default());
        }
        let (rules, addresses) = gate::Rules::prepare(&service.manner(), place, &options)?;
        let listener = Listener::bind(place, &addresses)?;
        let wake = UnixStream::pair().map_err(|e| Error::system("cannot make a pair of sockets", &e))?;
        let clients = Clients::under(service, options, rules)?;
        let stopping = AtomicBool::new(false);
        Ok(Server(Arc::new(Listening { service, listener, clients, stopping, wake })))
    }

    /// Where it listens on the network; `0.0.0.0:0` for one that does not (a Unix socket).
    pub fn address(&self) -> SocketAddr {
        self.0.listener.address().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Where it listens, for people: an address or the path of a socket.
    pub fn place(&self) -> String {
        self.0.listener.to_string()
    }

    /// What whoever starts this server should know: its fingerprint, where its token is, who can reach it.
    pub fn announcements(&self) -> &[String] {
        self.0.clients.announcements()
    }

    /// The service's name.
    pub fn service(&self) -> &'static str {
        self.0.service.name
    }

    /// The clients.
    pub fn clients(&self) -> &Clients {
        &self.0.clients
    }

    /// Whether nobody has asked for the end yet.
    pub fn is_running(&self) -> bool {
        !self.0.stopping.load(Ordering::SeqCst)
    }

    /// Says where it listens, and serves as [`Server::attend`] does.
    pub fn run(&self) {
        let Listening { service, listener, clients, .. } = &*self.0;
        let name = format!("{}{}", service.name, listener.transport(clients.encrypts()));
        eprintln!("{name}: listening at {listener}");
        for line in clients.announcements() {
            eprintln!("{name}: {line}");
        }
        self.attend();
    }

    /// Serves until [`Server::stop`], and returns when the last client's thread has ended.
    pub fn attend(&self) {
        let clients = &self.0.clients;
        while !self.0.stopping.load(Ordering::SeqCst) {
            self.accept();
        }
        clients.stop();
    }

    /// Ends the accept loop and every client's connection, and waits for the clients' threads.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::SeqCst);
        // A full pipe has been written to already.
        let _ = (&self.0.wake.0).write(&[1]);
        self.0.listener.remove();
        self.0.clients.stop();
    }

    /// Waits for something to happen and takes the clients that are there.
    fn accept(&self) {
        let Listening { service, listener, clients, wake, .. } = &*self.0;
        let mut watched =
            [PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN), PollFd::new(&wake.1, PollFlags::IN)];
        if poll(&mut watched, None).is_err_and(|error| error != Errno::INTR) {
            self.pause();
        }
        while !self.0.stopping.load(Ordering::SeqCst) {
            match listener.accept() {
                Ok(Guest { link, from, user }) => {
                    if let Err(error) = clients.admit_as(link, &from, user) {
                        eprintln!("{}: {from} turned away: {error}", service.name);
                    }
                }
                Err(error) => match error.kind() {
                    std::io::ErrorKind::WouldBlock => return,
                    std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::Interrupted => {}
                    // Out of descriptors: the clients that are here go on.
                    _ => return self.pause(),
                },
            }
        }
    }

    /// Waits a moment, or for the wish to stop.
    fn pause(&self) {
        let moment = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        // Whatever ends the wait, the loop looks again.
        let _ = poll(&mut [PollFd::new(&self.0.wake.1, PollFlags::IN)], Some(&moment));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rap_uri_without_a_slash_listens() {
        let address = |text: &str| listening(&Uri::parse(text)).unwrap().map(|(_, place)| place.to_string());
        assert_eq!(address("rap://:1234").as_deref(), Some(":1234"));
        assert_eq!(address("rap://127.0.0.1:0").as_deref(), Some("127.0.0.1:0"));
        assert_eq!(address("rap://[::1]:9").as_deref(), Some("[::1]:9"));
        assert_eq!(address("rap://host:1234/"), None);
        assert_eq!(address("rap://host:1234//bin/ls"), None);
        assert_eq!(address("raps://[::1]:9").as_deref(), Some("[::1]:9"));
        assert_eq!(address("rap+unix:///run/x").as_deref(), Some("/run/x"));
        assert_eq!(address("rap+unix:///run/x//"), None);
        assert_eq!(address("/bin/ls"), None);
        assert!(listening(&Uri::parse("rap://host:99999")).is_err());
    }
}
