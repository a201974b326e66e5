//! The servers that run in this process (`=l`): started from a prompt, seen by every client of its session.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Session;
use crate::error::{Error, Kind, Result};

/// A running server.
pub trait Server: Send + Sync {
    /// What it speaks: `rap`, `tcp`.
    fn service(&self) -> &'static str;
    /// Where it listens.
    fn address(&self) -> String;
    /// What whoever started it should know about who can reach it.
    fn warnings(&self) -> Vec<String>;
    /// A URL that lets whoever opens it in, once; `None`: clients of this service find in by themselves.
    fn invitation(&self) -> Option<String> {
        None
    }
    /// Who is connected.
    fn guests(&self) -> Vec<Guest>;
    /// The processes that wait for clients that were lost.
    fn kept(&self) -> Vec<Kept> {
        Vec::new()
    }
    /// Ends a client's connection; `false` when that client is not here.
    fn disconnect(&self, guest: u64) -> bool;
    /// Whether it still takes clients.
    fn is_running(&self) -> bool;
    /// Ends it and every connection, and waits for its threads.
    fn stop(&self);
}

/// A client of a server in this process.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Its number, which no other client of this process has.
    pub id: u64,
    /// Where it comes from.
    pub peer: String,
    /// How long it has been here.
    pub connected: Duration,
}

/// A process whose client was lost.
#[derive(Debug, Clone)]
pub struct Kept {
    /// As what it was opened.
    pub uri: String,
    /// By whom.
    pub who: String,
    /// Whether it runs.
    pub running: bool,
    /// How long it has waited.
    pub age: Duration,
    /// How long it will wait.
    pub left: Duration,
}

/// The table of running servers.
#[derive(Clone, Default)]
pub struct Servers(Arc<Mutex<BTreeMap<u32, Arc<dyn Server>>>>);

impl Servers {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<dyn Server>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers `server` under the lowest free number.
    pub fn add(&self, server: Arc<dyn Server>) -> u32 {
        let mut table = self.lock();
        let id = (0..u32::MAX).find(|id| !table.contains_key(id)).unwrap_or(u32::MAX);
        table.insert(id, server);
        id
    }

    /// The servers with their numbers.
    pub fn list(&self) -> Vec<(u32, Arc<dyn Server>)> {
        self.lock().iter().map(|(id, server)| (*id, Arc::clone(server))).collect()
    }

    /// Takes a server out of the table, for its end.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such server.
    pub fn remove(&self, id: u32) -> Result<Arc<dyn Server>> {
        self.lock().remove(&id).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("no server {id} runs here")).hint("'=l' lists the servers")
        })
    }

    /// Ends a client's connection.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when no server has such a client.
    pub fn disconnect(&self, guest: u64) -> Result<()> {
        let servers = self.list();
        if servers.iter().any(|(_, server)| server.disconnect(guest)) {
            return Ok(());
        }
        Err(Error::new(Kind::NotFound, format!("no client {guest} is here")).hint("'=l' lists the clients"))
    }
}

/// What is asked of a server before it starts.
pub struct Request<'a> {
    /// What it is to speak.
    pub service: &'a str,
    /// Its options and the place to listen at, as they were typed.
    pub words: &'a [String],
    /// Who is told when clients come and go.
    pub events: Option<Sender<String>>,
}

/// Starts a server whose clients share the session's core.
pub type Listen = fn(&Session, Request<'_>) -> Result<Arc<dyn Server>>;

/// How a session starts servers. Dropping it ends them all.
pub struct Doors {
    /// Starts one.
    pub listen: Listen,
    servers: Servers,
}

impl Doors {
    /// Servers are started by `listen` and registered in `servers`.
    pub fn new(listen: Listen, servers: Servers) -> Doors {
        Doors { listen, servers }
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        let servers = std::mem::take(&mut *self.servers.lock());
        for server in servers.values() {
            server.stop();
        }
    }
}
