//! A target at the other end of a line: every method of [`Target`](super::Target) as a message, typed and never as
//! text that somebody evaluates. [`server`] answers the messages from a target; [`client`] is a target that asks them.
//!
//! Messages are [postcard](https://postcard.jamesmunns.com/wire-format) of the types here; what carries them is the
//! business of a [`Channel`].

pub mod client;
pub mod server;

use serde::{Deserialize, Serialize};

use super::breakpoint::{BreakpointId, Spec};
use super::launch::{Catch, Launch, Lost, Settings};
use super::signals::Handling;
use super::{Abilities, Deliver, ProcessId, Protection, Resume, Stop, ThreadId};
use crate::error::{Error, Kind, Result};
use crate::output::Cancel;

/// Most bytes of memory or of a file in one message.
pub const PIECE: u32 = 1 << 20;

/// Bytes of a page of memory, as it is kept between stops.
pub const PAGE: u64 = 4096;

/// A question, or an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// [`State`].
    State,
    /// `Vec<Process>`.
    Processes,
    /// `Vec<Thread>`.
    Threads(Option<ProcessId>),
    /// `()`.
    Select(ThreadId),
    /// `Layout`.
    Layout(ProcessId),
    /// `Vec<u8>`.
    ReadSet(ThreadId, u32),
    /// `()`.
    WriteSet(ThreadId, u32, Vec<u8>),
    /// `Vec<u8>`.
    SignalInfo(ThreadId),
    /// `()`.
    SetSignalInfo(ThreadId, Vec<u8>),
    /// `Vec<u8>`, as many as could be read.
    ReadMemory(ProcessId, u64, u32),
    /// How many were written: `u64`.
    WriteMemory(ProcessId, u64, Vec<u8>),
    /// `Vec<Map>`.
    Maps(ProcessId),
    /// `u64`.
    Allocate(ProcessId, u64, Protection),
    /// `()`.
    Release(ProcessId, u64, u64),
    /// `()`.
    Protect(ProcessId, u64, u64, Protection),
    /// `i64`.
    SystemCall(ThreadId, u64, [u64; 6]),
    /// `Vec<u8>`.
    Auxv(ProcessId),
    /// `Vec<Module>`.
    Modules(ProcessId),
    /// `String`.
    Program(ProcessId),
    /// `Vec<u8>`, as many as could be read.
    ReadFile(ProcessId, String, u64, u32),
    /// Sets threads going, unless that list is empty, and waits for at most so many milliseconds: [`Stopped`].
    Run(Vec<Resume>, u32),
    /// Asks everything that runs to stop: `()`.
    Interrupt,
    /// `()`.
    SetSettings(Settings),
    /// `()`.
    CatchCalls(Option<ProcessId>, Catch),
    /// `()`.
    SetSignal(i32, Handling),
    /// `BreakpointId`.
    Insert(Spec),
    /// `()`.
    Change(BreakpointId, Spec),
    /// `()`.
    Remove(BreakpointId),
    /// `Vec<Breakpoint>`.
    Breakpoints,
    /// `Vec<Hit>`.
    TakeLog(u32),
    /// `ThreadId`.
    Launch(Launch),
    /// `ThreadId`.
    Attach(ProcessId),
    /// `()`.
    Detach(ProcessId, Deliver),
    /// `()`.
    Kill(ProcessId),
    /// The first message: what is done when this client is lost (`None`: what is usual there). [`Entered`].
    Enter(Option<Lost>),
    /// The last one: the client needs the target no more. `()`.
    Leave,
    /// `Vec<Descriptor>`.
    Descriptors(ProcessId),
}

impl Call {
    /// Whether the answer holds until something changes.
    fn is_question(&self) -> bool {
        matches!(
            self,
            Call::State
                | Call::Processes
                | Call::Threads(_)
                | Call::Layout(_)
                | Call::ReadSet(..)
                | Call::SignalInfo(_)
                | Call::ReadMemory(..)
                | Call::Maps(_)
                | Call::Auxv(_)
                | Call::Modules(_)
                | Call::Program(_)
                | Call::Descriptors(_)
                | Call::Breakpoints
        )
    }
}

/// What can be known without asking for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// [`Target::kind`](super::Target::kind) of the target over there.
    pub kind: String,
    /// What it can do.
    pub abilities: Abilities,
    /// The thread that is meant.
    pub current: Option<ThreadId>,
    /// Whether a thread runs.
    pub running: bool,
    /// How it deals with what happens.
    pub settings: Settings,
    /// What happens when signals come.
    pub signals: Vec<Handling>,
}

/// By what a client that lost its line finds its target again.
pub type Ticket = [u8; 16];

/// The answer to the first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entered {
    /// What is known now.
    pub state: State,
    /// `None`: a target whose client was lost is not kept there.
    pub ticket: Option<Ticket>,
    /// How many seconds it was kept for whoever comes back, if it was.
    pub kept: Option<u64>,
}

/// The URI by which the target with `ticket` is opened again.
pub fn kept(ticket: &Ticket) -> String {
    ticket.iter().fold(KEPT.to_string(), |text, byte| format!("{text}{byte:02x}"))
}

/// The ticket in such a URI. `None`: it is another one.
pub fn ticket(uri: &str) -> Option<Ticket> {
    let digits = uri.strip_prefix(KEPT)?.as_bytes();
    let mut ticket = Ticket::default();
    faster_hex::hex_decode(digits, &mut ticket).ok().filter(|()| digits.len() == 32)?;
    Some(ticket)
}

const KEPT: &str = "kept://";

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// What happened, the oldest first. Empty: the time was up.
    pub stops: Vec<Stop>,
    /// What is known now.
    pub state: State,
    /// What will be asked next: registers, maps, the memory at the program counter and on the stack.
    pub known: Vec<(Call, Vec<u8>)>,
}

/// What carries messages to the target and back.
pub trait Channel: Send {
    /// Sends `call` and waits for its answer. With `cancel` the wait ends early, and the channel stays as it was.
    fn call(&mut self, call: &[u8], cancel: Option<&Cancel>) -> Result<Vec<u8>>;

    /// Makes a line that was lost again: `true` when that was necessary. [`Kind::NotFound`]: the target is gone.
    fn restore(&mut self, _cancel: Option<&Cancel>) -> Result<bool> {
        Ok(false)
    }

    /// The line leads to the target with `ticket` from now on.
    fn hold(&mut self, _ticket: &Ticket) {}
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    postcard::to_allocvec(value)
        .map_err(|error| Error::new(Kind::Protocol, format!("a message cannot be made: {error}")))
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(Error::new(Kind::Protocol, "a message about a process is longer than it should be")),
        Err(error) => Err(Error::new(Kind::Protocol, format!("a message about a process is damaged: {error}"))),
    }
}
