//! Breakpoints and watchpoints: what is asked for and what became of it.

use serde::{Deserialize, Serialize};

use super::{Condition, ProcessId, ThreadId};

/// A breakpoint's number within its target, from 1, never given twice.
pub type BreakpointId = u32;

/// What a watchpoint looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WatchAccess {
    /// Reads (x86 cannot tell them from writes; see [`super::Abilities::read_watch`]).
    Read,
    /// Writes.
    Write,
    /// Both.
    Access,
}

/// Where a breakpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// A trap instruction in memory.
    Software {
        /// Where.
        address: u64,
    },
    /// An address in a debug register.
    Hardware {
        /// Where.
        address: u64,
    },
    /// A region in debug registers.
    Watch {
        /// First byte.
        address: u64,
        /// Bytes; any number, as far as the registers reach.
        length: u64,
        /// For what.
        access: WatchAccess,
    },
}

impl Place {
    /// Its (first) address.
    pub fn address(self) -> u64 {
        match self {
            Place::Software { address } | Place::Hardware { address } | Place::Watch { address, .. } => address,
        }
    }
}

/// What happens at a hit whose conditions hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnHit {
    /// It stops.
    #[default]
    Stop,
    /// It is counted, and the thread goes on.
    Count,
    /// It is counted and logged with the values of these expressions ([`super::Target::take_log`]), and goes on.
    Log(Vec<Condition>),
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Where.
    pub place: Place,
    /// Only in this process (and its forks); `None`: in every one.
    pub process: Option<ProcessId>,
    /// Only for this thread.
    pub thread: Option<ThreadId>,
    /// It holds when any of them is not zero, or cannot be evaluated; when there is none, always.
    pub conditions: Vec<Condition>,
    /// So many hits whose conditions hold are passed over first.
    pub ignore: u64,
    /// It goes away at the first stop.
    pub temporary: bool,
    /// It is switched on.
    pub enabled: bool,
    /// What happens.
    pub on_hit: OnHit,
}

impl Spec {
    /// A plain one at `place`.
    pub fn new(place: Place) -> Spec {
        Spec {
            place,
            process: None,
            thread: None,
            conditions: Vec::new(),
            ignore: 0,
            temporary: false,
            enabled: true,
            on_hit: OnHit::Stop,
        }
    }

    /// A software breakpoint at `address`.
    pub fn at(address: u64) -> Spec {
        Spec::new(Place::Software { address })
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It is in place in every process it is for (or is put there when threads run).
    Inserted,
    /// Switched off.
    Disabled,
    /// Nothing is mapped at its address yet, or it was refused; it is tried again at each resume.
    Pending(String),
}

/// A breakpoint of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakpoint {
    /// Its number.
    pub id: BreakpointId,
    /// What was asked for; `ignore` is what is left of it.
    pub spec: Spec,
    /// How often it was hit with its conditions holding.
    pub hits: u64,
    /// What became of it.
    pub status: Status,
}

/// An entry of the log ([`OnHit::Log`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Which breakpoint.
    pub id: BreakpointId,
    /// Who hit it.
    pub thread: ThreadId,
    /// Where.
    pub pc: u64,
    /// Nanoseconds of the monotonic clock of the machine where the target is.
    pub time: u64,
    /// The values of its expressions; `None` for one that could not be evaluated.
    pub values: Vec<Option<u64>>,
}
