//! The door of a server: what it asks of a client before it lets it in, and what it lets it do then.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::audit::{Audit, Event, Moved, Who};
use super::{Manner, ServeOptions};
use crate::error::{Error, Kind, Result};
use crate::io::Root;
use crate::link::credentials::Keyring;
use crate::link::dial::Place;
use crate::link::tls::{Fingerprint, Identity, ServerTls};
use crate::link::{Token, private};
use crate::session::{Permissions, Reach, Session};

/// A server's rules, made from its options before it listens.
pub(super) struct Rules {
    /// Presents the server; `None`: in the clear.
    pub tls: Option<ServerTls>,
    keyring: Option<Keyring>,
    permissions: Permissions,
    reach: Reach,
    audit: Audit,
    /// For the user who starts the server.
    pub announcements: Vec<String>,
}

impl Rules {
    /// The rules of a `service` at `place`, and the addresses to listen at (none for a Unix socket).
    ///
    /// # Errors
    /// [`Kind::Permission`] when strangers could reach what is not protected; whatever is wrong with the files that the
    /// options name.
    pub fn prepare(service: &Manner, place: &Place, options: &ServeOptions) -> Result<(Rules, Vec<SocketAddr>)> {
        let addresses = addresses(service, place)?;
        let public = addresses.iter().any(|address| !address.ip().is_loopback());
        let encrypted = matches!(place, Place::Tls(_));
        if matches!(place, Place::Tcp(_)) {
            let asks = options.token_file.is_some() && !service.always_asks;
            if asks || options.client_authority.is_some() {
                return Err(Error::new(Kind::Usage, "tokens and certificates need a line that nobody else can read")
                    .hint(format!("listen at {0}s:// or {0}+unix://", service.name)));
            }
            if public && !options.insecure {
                return Err(Error::new(
                    Kind::Permission,
                    format!(
                        "{}: {place} can be reached from other machines, without encryption or a token",
                        service.name
                    ),
                )
                .hint(format!(
                    "{0}s://{place} has both; {0}://127.0.0.1 and ssh -L work, too; --insecure listens all the same",
                    service.name
                )));
            }
        }
        if !encrypted && (options.certificate.is_some() || options.key.is_some()) {
            return Err(Error::new(Kind::Usage, "a certificate is for a server that encrypts")
                .hint(format!("listen at {}s://", service.name)));
        }
        let by_token = service.always_asks
            || options.token_file.is_some()
            || (encrypted && !options.insecure && options.client_authority.is_none());
        if by_token && !service.presents_tokens {
            return Err(Error::new(Kind::Permission, format!("clients of {} cannot present a token", service.name))
                .hint("--client-ca asks for certificates; --insecure lets anybody in"));
        }
        options.consistent()?;

        let mut rules = Rules {
            tls: None,
            keyring: None,
            permissions: options.permissions,
            reach: Reach { root: None, schemes: Some(options.schemes.clone()) },
            audit: Audit::default(),
            announcements: Vec::new(),
        };
        if let Some(path) = &options.root {
            rules.reach.root = Some(Arc::new(Root::open(path)?));
        }
        if let Some(path) = &options.audit {
            rules.audit = Audit::to(path)?;
        }
        if encrypted {
            let identity = match (&options.certificate, &options.key) {
                (Some(certificate), Some(key)) => Identity::read(certificate, key)?,
                (Some(both), None) => Identity::read(both, both)?,
                (None, Some(_)) => return Err(Error::new(Kind::Usage, "--key without --certificate")),
                (None, None) => Identity::load_or_create(&state(options)?)?,
            };
            rules.announcements.push(format!("fingerprint {}", identity.fingerprint()));
            rules.tls = Some(ServerTls::new(identity, options.client_authority.as_deref())?);
        }
        if by_token {
            let path = match &options.token_file {
                Some(path) => path.clone(),
                None => state(options)?.join("token"),
            };
            let keyring = Keyring::load_or_create(&path)?;
            check_names(&keyring, &path)?;
            rules.keyring = Some(keyring);
            rules.announcements.push(format!("clients present the token in {}", path.display()));
        }
        if let Some(path) = &options.client_authority {
            rules.announcements.push(format!("clients show a certificate that {} signed", path.display()));
        }
        if public && (rules.keyring.is_none() && options.client_authority.is_none()) {
            rules.announcements.push(format!("WARNING: anybody who reaches {place} {}", service.exposes));
            rules.announcements.push(if encrypted {
                "WARNING: nobody is asked for a token there".to_string()
            } else {
                "WARNING: nothing is encrypted there and nobody is asked for a token".to_string()
            });
        }
        Ok((rules, addresses))
    }

    /// What the holder of `presented` may do, and who that is.
    fn grant(&self, presented: Option<Result<Token>>) -> Result<(Option<String>, Permissions)> {
        let Some(keyring) = &self.keyring else { return Ok((None, self.permissions)) };
        let token = match presented {
            None => return Err(Error::new(Kind::Permission, "a token is needed")),
            // What is wrong with it is nothing to tell a stranger.
            Some(token) => token.ok(),
        };
        let grant = token.and_then(|token| keyring.open(token.as_bytes()));
        let grant = grant.ok_or_else(|| Error::new(Kind::Permission, "the token is not the right one"))?;
        let permissions = match &grant.permissions {
            Some(names) => Permissions::parse(&names.join(","))?.within(self.permissions),
            None => self.permissions,
        };
        Ok((Some(grant.label.clone()), permissions))
    }
}

/// Names of permissions that nobody knows are an error when the server starts, not when a client comes.
fn check_names(keyring: &Keyring, path: &Path) -> Result<()> {
    for grant in keyring.grants() {
        let names = grant.permissions.as_deref().unwrap_or_default().join(",");
        Permissions::parse(&names)
            .map_err(|error| error.context(format_args!("{}: {}", path.display(), grant.label)))?;
    }
    Ok(())
}

fn state(options: &ServeOptions) -> Result<PathBuf> {
    options.state.clone().map_or_else(private::state_directory, Ok)
}

/// Every address that `place` stands for; without a host, this machine's own.
fn addresses(service: &Manner, place: &Place) -> Result<Vec<SocketAddr>> {
    let (Place::Tcp(authority) | Place::Tls(authority)) = place else { return Ok(Vec::new()) };
    let Some(port) = authority.port else {
        return Err(Error::new(Kind::Usage, format!("{}: a port to listen at is needed", service.name))
            .hint(format!("as in {}://:1234", service.name)));
    };
    let host = if authority.host.is_empty() { "127.0.0.1" } else { &authority.host };
    let found = (host, port).to_socket_addrs();
    let found: Vec<SocketAddr> =
        found.map_err(|e| Error::system(format_args!("cannot listen at {place}"), &e))?.collect();
    if found.is_empty() { Err(Error::new(Kind::NotFound, format!("{place} has no address"))) } else { Ok(found) }
}

/// One client at the door: closed until what the rules ask for was shown.
pub struct Gate {
    rules: Arc<Rules>,
    who: Mutex<Who>,
    /// What the client may do, once it is in.
    granted: Mutex<Option<Permissions>>,
    read: AtomicU64,
    written: AtomicU64,
    begun: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    /// A client that came `from` somewhere; `user` when it is a process of this machine.
    pub(super) fn new(rules: Arc<Rules>, service: &'static str, from: String, user: Option<u32>) -> Gate {
        let who = user.map_or_else(|| "anonymous".to_string(), |user| format!("user {user}"));
        let granted = rules.keyring.is_none().then_some(rules.permissions);
        Gate {
            rules,
            who: Mutex::new(Who { who, from, service }),
            granted: Mutex::new(granted),
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            begun: Instant::now(),
        }
    }

    /// Shuts the door for good: the line itself was not what it must be.
    pub(super) fn close(&self) {
        *lock(&self.granted) = None;
    }

    /// The certificate that the client has shown names it.
    pub(super) fn identify(&self, certificate: Option<Fingerprint>) {
        if let Some(fingerprint) = certificate {
            lock(&self.who).who = format!("certificate {fingerprint}");
        }
    }

    /// Whether the client is in. Before that a service answers nothing but its hello.
    pub fn is_open(&self) -> bool {
        lock(&self.granted).is_some()
    }

    /// Lets the client in if the words of its hello present what is asked for. They count once: who is in stays who it
    /// is.
    ///
    /// # Errors
    /// [`Kind::Permission`], to be told to the client as it is before the connection ends; when the audit log cannot be
    /// written.
    pub fn enter(&self, words: &str) -> Result<()> {
        if self.is_open() {
            return Ok(());
        }
        // The refusal goes to the log when the connection ends with it.
        let (label, permissions) = self.rules.grant(Token::presented(words))?;
        if let Some(label) = label {
            lock(&self.who).who = label;
        }
        self.record(Event::Enter, "", Moved::default(), Ok(()), self.begun)?;
        *lock(&self.granted) = Some(permissions);
        Ok(())
    }

    /// Lets the client in without showing anything, for no more than `permissions`.
    pub(super) fn let_in(&self, permissions: Permissions) {
        *lock(&self.granted) = Some(permissions.within(self.rules.permissions));
    }

    /// What the client may do; nothing while the door is closed.
    pub fn permissions(&self) -> Permissions {
        lock(&self.granted).unwrap_or(Permissions::NONE)
    }

    /// Who the client is, by what it has shown.
    pub(super) fn who(&self) -> String {
        lock(&self.who).who.clone()
    }

    /// Names the client in the log.
    pub(super) fn call(&self, name: &str) {
        lock(&self.who).who = name.to_string();
    }

    /// Refuses everything else while the door is closed.
    pub fn check(&self) -> Result<()> {
        if self.is_open() { Ok(()) } else { self.rules.grant(None).map(drop) }
    }

    /// Gives `session` the client's permissions and reach: none while the door is closed.
    pub fn admit(&self, session: &mut Session) {
        session.view.permissions = lock(&self.granted).unwrap_or(Permissions::NONE);
        session.view.reach = self.rules.reach.clone();
    }

    /// Counts bytes that the client has read.
    pub fn count_read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that the client has written.
    pub fn count_written(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Records that the client opened `what`.
    ///
    /// # Errors
    /// When the log cannot be written: then the request fails, too.
    pub fn opened(&self, what: &str, result: std::result::Result<(), &Error>, begun: Instant) -> Result<()> {
        self.record(Event::Open, what, Moved::default(), result, begun)
    }

    /// Records that the client ran `line`, which printed so many `bytes`, and why it failed, if it did.
    ///
    /// # Errors
    /// When the log cannot be written: then the request fails, too.
    pub fn ran(&self, line: &str, bytes: u64, failure: Option<&Error>, begun: Instant) -> Result<()> {
        let result = failure.map_or(Ok(()), Err);
        self.record(Event::Command, line, Moved { read: Some(bytes), written: None }, result, begun)
    }

    pub(super) fn came(&self) -> Result<()> {
        self.record(Event::Connect, "", Moved::default(), Ok(()), self.begun)
    }

    /// Records how the connection ended.
    pub(super) fn left(&self, result: &Result<()>) -> Result<()> {
        let moved = Moved {
            read: Some(self.read.load(Ordering::Relaxed)),
            written: Some(self.written.load(Ordering::Relaxed)),
        };
        match result {
            Err(error) if !self.is_open() => self.record(Event::Refused, "", Moved::default(), Err(error), self.begun),
            result => self.record(Event::Disconnect, "", moved, result.as_ref().copied(), self.begun),
        }
    }

    /// Records that the client was not let in.
    pub(super) fn refused(&self, error: &Error) -> Result<()> {
        self.record(Event::Refused, "", Moved::default(), Err(error), self.begun)
    }

    fn record(
        &self,
        event: Event,
        what: &str,
        moved: Moved,
        result: std::result::Result<(), &Error>,
        begun: Instant,
    ) -> Result<()> {
        let who = lock(&self.who).clone();
        self.rules.audit.record(&who, event, what, moved, result, begun)
    }
}
