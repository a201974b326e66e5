//! The `=` table: connections to other programs, by slot number.
//!
//! Each protocol is a [`Peer`]; what they have in common (numbers, latency, where one is over there) is here.

mod connect;
mod http;
mod lines;

mod rap;
mod udp;

use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::link::Traffic;
use crate::output::{Cancel, Executor, Out, Outcome, Style};

use crate::output::printer::Short;

pub use connect::{Connected, Line, PROTOCOLS, connect, scheme};

/// Slots of the table.
const SLOTS: usize = 255;

/// Whether a connection stands, as far as is known without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It stands.
    Connected,
    /// It was lost; the next use connects again.
    Closed,
    /// Each command makes its own.
    OnDemand,
}

impl State {
    /// As `=j` shows it.
    pub fn name(self) -> &'static str {
        match self {
            State::Connected => "connected",
            State::Closed => "closed",
            State::OnDemand => "on demand",
        }
    }
}

/// How a line goes on, as a peer sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suggestions {
    /// Where the replaced part of the line starts, in bytes.
    pub start: usize,
    /// What can stand there.
    pub words: Vec<String>,
}

/// A program at the other end of a connection.
pub trait Peer: Executor + Send {
    /// Whether the connection stands.
    fn state(&self) -> State;

    /// What has crossed it.
    fn traffic(&self) -> Traffic;

    /// What it can do: words.
    fn capabilities(&self) -> Vec<String>;

    /// The descriptor that the operating system knows the connection by, while there is one.
    fn descriptor(&self) -> Option<RawFd>;

    /// Sends `bytes` as they are (`=<`).
    ///
    /// # Errors
    /// [`Kind::Unsupported`] when the protocol has no place for them.
    fn push(&mut self, bytes: &[u8], cancel: &Cancel) -> Result<()>;

    /// How `line` can go on at `cursor` (bytes); `None`: it cannot say.
    fn complete(&mut self, _line: &str, _cursor: usize, _cancel: &Cancel) -> Result<Option<Suggestions>> {
        Ok(None)
    }

    /// Where commands take place over there.
    fn seek(&mut self, cancel: &Cancel) -> Result<u64> {
        seek_by_command(self, cancel)
    }
}

/// Asks where commands take place.
fn seek_by_command<P: Executor + ?Sized>(peer: &mut P, cancel: &Cancel) -> Result<u64> {
    let (mut text, mut errors) = (Short::default(), Short::default());
    peer.execute("s", &mut Out::new(&mut text, &mut errors, Style::default(), cancel.clone()))?;
    let text = String::from_utf8_lossy(&text.0);
    text.trim()
        .strip_prefix("0x")
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| Error::new(Kind::Protocol, "the answer to 's' is no address"))
}

/// One entry of the table.
pub struct Host {
    /// How it is listed: without name and password.
    pub uri: String,
    /// Protocol and place, for the prompt.
    pub name: String,
    /// The connection.
    pub peer: Box<dyn Peer>,
    /// The shortest exchange so far.
    latency: Option<Duration>,
    place: Place,
}

/// What is known of the seek over there.
enum Place {
    /// It may have changed since it was asked for.
    Stale,
    /// It was asked for; `None`: in vain.
    Asked(Option<u64>),
}

impl Host {
    /// An entry for `peer`. `latency` is how long a round trip took.
    pub fn new(uri: String, name: String, peer: Box<dyn Peer>, latency: Option<Duration>) -> Host {
        Host { uri, name, peer, latency, place: Place::Stale }
    }

    /// Lends the connection to `work`; without a host when it is not handed back.
    pub fn lend<R>(self, work: impl FnOnce(&mut Option<Box<dyn Peer>>) -> R) -> (R, Option<Host>) {
        let mut lent = Some(self.peer);
        let result = work(&mut lent);
        (result, lent.map(|peer| Host { peer, ..self }))
    }

    /// How long a round trip takes: the shortest exchange so far, which includes the other side's work.
    pub fn latency(&self) -> Option<Duration> {
        self.latency
    }

    /// The seek over there. Asked for at most once after each command, and not again when that failed.
    pub fn seek(&mut self, cancel: &Cancel) -> Option<u64> {
        match self.place {
            Place::Asked(seek) => seek,
            Place::Stale => {
                let seek = self.peer.seek(cancel).ok();
                self.place = Place::Asked(seek);
                seek
            }
        }
    }
}

impl Executor for Host {
    fn execute(&mut self, line: &str, out: &mut Out<'_>) -> Result<()> {
        let begun = Instant::now();
        let waiting = out.progress(format_args!("waiting for {}", self.name), 0);
        let outcome = self.peer.execute(line, out);
        drop(waiting);
        // A peer that does not answer is not asked where it is.
        let answered = outcome.is_ok() || self.peer.outcome().is_some();
        self.place = if answered { Place::Stale } else { Place::Asked(None) };
        if answered {
            let elapsed = begun.elapsed();
            self.latency = Some(self.latency.map_or(elapsed, |latency| latency.min(elapsed)));
        }
        outcome
    }

    fn outcome(&self) -> Option<Outcome> {
        self.peer.outcome()
    }
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
    pub fn add(&mut self, host: Host) -> Result<usize> {
        let slot = (0..SLOTS)
            .find(|slot| !self.slots.contains_key(slot))
            .ok_or_else(|| Error::new(Kind::Limit, "the table of hosts is full").hint("=- removes them"))?;
        self.slots.insert(slot, host);
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

    /// The slot that `number` means: a slot, or else the operating system's descriptor of a connection.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it is neither.
    pub fn slot(&self, number: u64) -> Result<usize> {
        let slot = usize::try_from(number).ok().filter(|slot| self.slots.contains_key(slot));
        let by_descriptor = || {
            let wanted = RawFd::try_from(number).ok()?;
            self.iter().find(|(_, host)| host.peer.descriptor() == Some(wanted)).map(|(slot, _)| slot)
        };
        slot.or_else(by_descriptor).ok_or_else(unknown)
    }

    /// The host in `slot`.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when nobody is there.
    pub fn get(&mut self, slot: usize) -> Result<&mut Host> {
        self.slots.get_mut(&slot).ok_or_else(unknown)
    }

    /// The host that `number` means (see [`Hosts::slot`]), which becomes current; without a number the current one.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when nobody is there.
    pub fn select(&mut self, number: Option<u64>) -> Result<&mut Host> {
        let slot = match number {
            Some(number) => self.slot(number)?,
            None => self.current,
        };
        let host = self.slots.get_mut(&slot).ok_or_else(unknown)?;
        self.current = slot;
        Ok(host)
    }

    /// Takes the host in `slot` out of the table: closes its connection, or lends it.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when nobody is there.
    pub fn remove(&mut self, slot: usize) -> Result<Host> {
        self.slots.remove(&slot).ok_or_else(unknown)
    }

    /// Puts a host that was lent back into its slot.
    pub fn put_back(&mut self, slot: usize, host: Host) {
        self.slots.insert(slot, host);
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
