//! Servers: one accept loop for every service, a thread and a session for each client.
//!
//! A service gets a [`Link`](crate::link::Link) and speaks its protocol on it until it ends; whatever goes wrong
//! there ends that client's thread and nothing else.

pub mod audit;
mod clients;
mod home;
pub mod rap;
mod registry;
pub mod tcp;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error::{Error, Kind, Result};
use crate::link::Link;
use crate::link::tcp::Tcp;
use crate::session::{LineSource, Permissions, Session};
use crate::uri::{Authority, Uri};

pub use clients::{Clients, Seat};
pub use home::Home;
pub use registry::offer;

/// A protocol that clients may speak.
pub struct Service {
    /// Its scheme, which messages start with.
    pub name: &'static str,
    /// Whether clients share a session in any case, because their connections are too short for one of their own.
    pub shares: bool,
    /// What a stranger could do, for the warning when it is offered beyond this machine.
    pub exposes: &'static str,
    /// Speaks with one client until it leaves.
    pub serve: fn(Box<dyn Link>, &Seat, &ServeOptions) -> Result<()>,
}

/// Every service.
pub const SERVICES: &[&Service] = &[&rap::SERVICE, &tcp::SERVICE];

/// Listens as `uri` says: its scheme is the service, as in `rap://:1234`.
///
/// # Errors
/// [`Kind::UnknownScheme`] for a scheme that is no service; when the address cannot be had.
pub fn listen(uri: &Uri, options: ServeOptions) -> Result<Server> {
    let service = SERVICES.iter().find(|service| uri.scheme() == Some(service.name)).ok_or_else(|| {
        let known: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
        Error::new(Kind::UnknownScheme, format!("'{uri}' is nothing to listen at"))
            .hint(format!("known: {}", known.join(", ")))
    })?;
    Server::listen(service, &Authority::parse(uri.rest())?, options)
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
    /// The session that the clients share; `None`: each has one of its own.
    pub home: Option<Arc<Home>>,
    /// Who is told when clients come and go.
    pub events: Option<Sender<String>>,
}

impl Default for ServeOptions {
    fn default() -> ServeOptions {
        ServeOptions {
            permissions: Permissions::READ.and(Permissions::WRITE).and(Permissions::FILES),
            clients: 1024,
            patience: Duration::from_secs(30),
            keep_alive: Duration::from_millis(500),
            home: None,
            events: None,
        }
    }
}

impl ServeOptions {
    /// The session of the client at `seat`.
    fn session(&self, seat: &Seat) -> Session {
        let mut session = self.home.as_ref().map_or_else(Session::new, |home| home.session());
        session.cancel = seat.cancel.clone();
        session.view.permissions = self.permissions;
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
    listener: TcpListener,
    address: SocketAddr,
    clients: Clients,
    stopping: AtomicBool,
    /// Writing to the first end wakes the accept loop, which polls the second.
    wake: (UnixStream, UnixStream),
}

impl Server {
    /// Listens for clients of `service` at `authority`: only for this machine unless a host is named; port 0 takes
    /// a free one.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn listen(service: &'static Service, authority: &Authority, mut options: ServeOptions) -> Result<Server> {
        if service.shares && options.home.is_none() {
            options.home = Some(Arc::default());
        }
        let host = if authority.host.is_empty() { "127.0.0.1" } else { &authority.host };
        let named = Authority { host: host.to_string(), ..authority.clone() };
        let Some(port) = authority.port else {
            return Err(Error::new(Kind::Usage, format!("{}: a port to listen at is needed", service.name))
                .hint(format!("as in {}://:1234", service.name)));
        };
        let failed = |e: &std::io::Error| Error::system(format_args!("cannot listen at {}", named.endpoint()), e);
        let listener = TcpListener::bind((host, port)).map_err(|e| failed(&e))?;
        let prepare = || -> std::io::Result<_> {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, UnixStream::pair()?))
        };
        let (address, wake) = prepare().map_err(|e| failed(&e))?;
        let clients = Clients::new(service, options)?;
        let stopping = AtomicBool::new(false);
        Ok(Server(Arc::new(Listening { service, listener, address, clients, stopping, wake })))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// What whoever starts this server should know.
    pub fn warnings(&self) -> Vec<String> {
        let Listening { service, address, .. } = &*self.0;
        if address.ip().is_loopback() {
            return Vec::new();
        }
        vec![
            format!("anybody who reaches {address} {}", service.exposes),
            "nothing is encrypted there and nobody is asked for a password".to_string(),
        ]
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
        eprintln!("{}: listening at {}", self.service(), self.address());
        self.warnings().iter().for_each(|warning| eprintln!("WARNING: {warning}"));
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
        self.0.clients.stop();
    }

    /// Waits for something to happen and takes the clients that are there.
    fn accept(&self) {
        let Listening { service, listener, clients, wake, .. } = &*self.0;
        let mut watched = [PollFd::new(listener, PollFlags::IN), PollFd::new(&wake.1, PollFlags::IN)];
        if poll(&mut watched, None).is_err_and(|error| error != Errno::INTR) {
            self.pause();
        }
        while !self.0.stopping.load(Ordering::SeqCst) {
            match listener.accept() {
                Ok((stream, peer)) => {
                    // Some systems hand the listener's mode on.
                    let link = stream.set_nonblocking(false).and_then(|()| Tcp::new(stream, peer.to_string()));
                    if let Err(error) = link.map_err(Error::from).and_then(|link| clients.admit(Box::new(link))) {
                        eprintln!("{}: {peer} turned away: {error}", service.name);
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
