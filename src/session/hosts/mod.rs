//! The `=` table: connections to other programs, by slot number.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};
use crate::link::Traffic;
use crate::link::rap::Client;
use crate::output::Executor;

/// Slots of the table.
const SLOTS: usize = 255;

/// A program at the other end of a connection.
pub trait Peer: Executor + Send {
    /// Whether the connection stands, as far as is known without asking.
    fn is_connected(&self) -> bool;
    /// What has crossed it.
    fn traffic(&self) -> Traffic;
}

impl Peer for Client {
    fn is_connected(&self) -> bool {
        Client::is_connected(self)
    }
    fn traffic(&self) -> Traffic {
        Client::traffic(self)
    }
}

/// One entry of the table.
pub struct Host {
    /// How it was named.
    pub uri: String,
    /// The connection.
    pub peer: Box<dyn Peer>,
}

/// The connected hosts of one client.
#[derive(Default)]
pub struct Hosts {
    slots: BTreeMap<usize, Host>,
    current: usize,
}

impl Hosts {
    /// Puts a host into the lowest free slot and makes it current.
    ///
    /// # Errors
    /// [`Kind::Limit`] when all slots are taken.
    pub fn add(&mut self, uri: String, peer: Box<dyn Peer>) -> Result<usize> {
        let slot = (0..SLOTS)
            .find(|slot| !self.slots.contains_key(slot))
            .ok_or_else(|| Error::new(Kind::Limit, "the table of hosts is full").hint("=- removes them"))?;
        self.slots.insert(slot, Host { uri, peer });
        self.current = slot;
        Ok(slot)
    }

    /// The hosts with their slots.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Host)> {
        self.slots.iter().map(|(slot, host)| (*slot, host))
    }

    /// The slot of the host that was added or addressed last.
    pub fn current(&self) -> usize {
        self.current
    }

    /// The host in `slot`, which becomes current; without a slot the current one.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when nobody is there.
    pub fn select(&mut self, slot: Option<usize>) -> Result<&mut Host> {
        let slot = slot.unwrap_or(self.current);
        let host = self.slots.get_mut(&slot).ok_or_else(unknown)?;
        self.current = slot;
        Ok(host)
    }

    /// Closes the connection in `slot`.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when nobody is there.
    pub fn remove(&mut self, slot: usize) -> Result<()> {
        self.slots.remove(&slot).map(drop).ok_or_else(unknown)
    }

    /// Closes every connection.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.current = 0;
    }
}

fn unknown() -> Error {
    Error::new(Kind::NotFound, "Unknown host").hint("'=' lists the hosts, '=+ rap://host:port/file' adds one")
}
