//! Who is here: a client is a signed-in browser, or the programs of one machine that show the same token. Each has a
//! session with a view of its own, in which one command runs at a time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::socket::Event;
use super::{NAME, Site};
use crate::error::{Error, Kind, Result};
use crate::output::Cancel;
use crate::serve::gate::Gate;
use crate::serve::{Nobody, clients};
use crate::session::servers::Guest;
use crate::session::{Permissions, Session};

/// How long a client that asks for nothing is remembered.
const FORGOTTEN: Duration = Duration::from_secs(12 * 3600);

/// How often the forgotten are looked for.
const ROUND: Duration = Duration::from_secs(60);

/// Clients that are remembered; beyond that the one that has been silent longest is forgotten.
const CROWD: usize = 256;

/// Commands of one client that run or wait.
const QUEUE: usize = 256;

/// By what a client is known again: hashes, never the secrets themselves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// A browser that signed in.
    Cookie([u8; 32]),
    /// A token, from an address, with a name for one of several sessions.
    Token([u8; 32], std::net::IpAddr, String),
    /// A program of this machine, without a token.
    Neighbour(String),
}

/// One client.
pub struct Client {
    /// Its number, which no other client of this process has.
    pub id: u64,
    /// What it had to show, what it may do, and the log.
    pub gate: Gate,
    /// Its session; whoever holds it runs a command.
    pub session: Arc<tokio::sync::Mutex<Session>>,
    from: String,
    since: Instant,
    seen: Mutex<Instant>,
    running: Mutex<HashMap<u64, Cancel>>,
    gone: AtomicBool,
}

impl Client {
    /// Registers a command that ends on `cancel`, until the ticket is dropped, which sets `cancel`.
    ///
    /// # Errors
    /// [`Kind::Limit`] when too many wait already.
    pub fn begin(self: &Arc<Client>, cancel: &Cancel) -> Result<Ticket> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut running = lock(&self.running);
        if running.len() >= QUEUE {
            return Err(Error::new(Kind::Limit, format!("{QUEUE} commands of this client wait already")));
        }
        if self.gone.load(Ordering::SeqCst) {
            return Err(Error::new(Kind::Closed, "this client was disconnected"));
        }
        running.insert(number, cancel.clone());
        Ok(Ticket { client: Arc::clone(self), number })
    }

    /// Ends every command of this client, and returns how many there were.
    pub fn cancel(&self) -> usize {
        let running = lock(&self.running);
        running.values().for_each(Cancel::set);
        running.len()
    }

    /// Whether it was disconnected.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }
}

/// A command that runs or waits. Dropping it ends the command.
pub struct Ticket {
    client: Arc<Client>,
    number: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(cancel) = lock(&self.client.running).remove(&self.number) {
            cancel.set();
        }
    }
}

/// What `mutex` guards, whatever happened to whoever held it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The clients of a server.
#[derive(Default)]
pub struct Clients(Mutex<HashMap<Key, Arc<Client>>>);

impl Clients {
    /// The client known by `key`, if it is here.
    pub fn find(&self, key: &Key) -> Option<Arc<Client>> {
        let client = lock(&self.0).get(key).cloned()?;
        *lock(&client.seen) = Instant::now();
        Some(client)
    }

    /// A new client known by `key`, from `from`: `enter` opens its gate.
    ///
    /// # Errors
    /// When it does not get in, or the log cannot be written.
    pub fn admit(
        &self,
        site: &Site,
        key: Key,
        from: String,
        enter: impl FnOnce(&Gate) -> Result<()>,
    ) -> Result<Arc<Client>> {
        let gate = Gate::new(Arc::clone(&site.rules), NAME, from.clone(), None);
        if let Err(error) = enter(&gate) {
            // The log must know of it; when it cannot, that is the worse news.
            return Err(gate.refused(&error).err().unwrap_or(error));
        }
        gate.came()?;
        let now = Instant::now();
        let mut session = site.home.session();
        gate.admit(&mut session);
        session.lines = Some(Box::new(Nobody));
        let client = Arc::new(Client {
            id: clients::number(),
            gate,
            session: Arc::new(tokio::sync::Mutex::new(session)),
            from,
            since: now,
            seen: Mutex::new(now),
            running: Mutex::default(),
            gone: AtomicBool::new(false),
        });
        let crowded = {
            let mut table = lock(&self.0);
            // Two requests may have come at once: the first made the client.
            if let Some(client) = table.get(&key) {
                return Ok(Arc::clone(client));
            }
            table.insert(key, Arc::clone(&client));
            let longest = table.values().filter(|other| lock(&other.running).is_empty() && other.id != client.id);
            let longest = longest.min_by_key(|other| *lock(&other.seen)).map(|other| other.id);
            longest.filter(|_| table.len() > CROWD)
        };
        if let Some(id) = crowded {
            self.remove(id, site);
        }
        site.tell(format_args!("client {} from {} is here", client.id, client.from));
        // Nobody may be listening.
        let _ = site.events.send(Event::Client { client: client.id, here: true });
        Ok(client)
    }

    /// Ends a client's commands and forgets it; `false` when it is not here.
    pub fn remove(&self, id: u64, site: &Site) -> bool {
        let client = {
            let mut table = lock(&self.0);
            let Some(key) = table.iter().find(|(_, client)| client.id == id).map(|(key, _)| key.clone()) else {
                return false;
            };
            table.remove(&key)
        };
        let Some(client) = client else { return false };
        client.gone.store(true, Ordering::SeqCst);
        client.cancel();
        leave(&client);
        site.tell(format_args!("client {id} from {} has left", client.from));
        let _ = site.events.send(Event::Client { client: id, here: false });
        true
    }

    /// Who is here.
    pub fn guests(&self) -> Vec<Guest> {
        let table = lock(&self.0);
        let guest = |client: &Arc<Client>| Guest {
            id: client.id,
            peer: client.from.clone(),
            connected: client.since.elapsed(),
        };
        let mut guests: Vec<Guest> = table.values().map(guest).collect();
        guests.sort_by_key(|guest| guest.id);
        guests
    }

    /// Ends every command.
    pub fn cancel_all(&self) {
        lock(&self.0).values().for_each(|client| {
            client.gone.store(true, Ordering::SeqCst);
            client.cancel();
        });
    }

    /// Records that everybody has left.
    pub fn farewell(&self) {
        for (_, client) in lock(&self.0).drain() {
            leave(&client);
        }
    }

    fn forgotten(&self) -> Vec<u64> {
        let table = lock(&self.0);
        let silent = table.values().filter(|client| lock(&client.seen).elapsed() > FORGOTTEN);
        silent.filter(|client| lock(&client.running).is_empty()).map(|client| client.id).collect()
    }
}

/// Writes the end of `client` into the log.
fn leave(client: &Client) {
    if let Err(error) = client.gate.left(&Ok(())) {
        // There is no request to answer with it.
        eprintln!("{NAME}: {error}");
    }
}

/// Forgets clients that have been silent for long, until the server stops.
pub async fn tidy(site: Arc<Site>) {
    loop {
        tokio::select! {
            () = site.stopped() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
        for id in site.clients.forgotten() {
            site.clients.remove(id, &site);
        }
    }
}

impl Client {
    /// What it may do through a door that allows `ceiling`.
    pub fn permissions(&self, ceiling: Permissions) -> Permissions {
        self.gate.permissions().within(ceiling)
    }

    /// A session of this client beside its own, which begins where clients begin.
    pub fn beside(&self, site: &Site) -> Session {
        let mut session = site.home.session();
        self.gate.admit(&mut session);
        session.lines = Some(Box::new(Nobody));
        session
    }
}
