//! What happened to a thread.

use serde::{Deserialize, Serialize};

use super::{BreakpointId, ProcessId, ThreadId, WatchAccess};

/// A thread stopped, or a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Who. Of a process that ended: its first thread.
    pub thread: ThreadId,
    /// Why.
    pub reason: Reason,
    /// Where it will go on; `None` when it is gone or nobody knows.
    pub pc: Option<u64>,
    /// The processor that it ran on.
    pub core: Option<u32>,
}

/// Why a thread stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// At breakpoints, software or hardware; the program counter is at the address.
    Breakpoint {
        /// Those whose conditions held.
        ids: Vec<BreakpointId>,
        /// Where.
        address: u64,
        /// A debug register found it.
        hardware: bool,
    },
    /// A watchpoint triggered, after the access (on x86).
    Watch {
        /// Which one.
        id: BreakpointId,
        /// Start of the watched region.
        address: u64,
        /// What it watches for.
        access: WatchAccess,
    },
    /// The steps that were asked for are done.
    Step,
    /// A signal came, by Linux's number; it is delivered at the next resume if that says so. 0: it was asked to stop.
    Signal {
        /// Its number.
        number: i32,
        /// `si_code`: who sent it, or what went wrong.
        code: i32,
        /// The sender, when somebody sent it.
        sender: Option<ProcessId>,
        /// The address of a fault, when it is one.
        address: Option<u64>,
    },
    /// A trap instruction of the program's own; the program counter is behind it (on x86).
    Trap,
    /// A caught system call is about to be made.
    CallEntry {
        /// Its number.
        number: u64,
        /// Its arguments.
        arguments: [u64; 6],
    },
    /// A caught system call is done.
    CallReturn {
        /// Its number.
        number: u64,
        /// Its raw result.
        value: i64,
    },
    /// It forked; the child is under control too, and stopped.
    Fork {
        /// The child's first thread.
        child: ThreadId,
    },
    /// It forked by vfork: it waits until the child execs or ends.
    Vfork {
        /// The child's first thread.
        child: ThreadId,
    },
    /// The child of its vfork no longer uses its memory.
    VforkDone,
    /// It runs another program now; other threads of the process are gone.
    Exec {
        /// Path of the program.
        path: String,
        /// The thread's number before, when another than the first made the call.
        former: Option<u64>,
    },
    /// The thread is new (only with [`super::Settings::report_threads`]).
    ThreadCreated,
    /// The thread ended (only with [`super::Settings::report_threads`]).
    ThreadExited {
        /// Its exit code.
        code: i32,
    },
    /// The whole process stopped by a job control signal (SIGSTOP, SIGTSTP ...) that was delivered to it.
    GroupStop {
        /// Which one.
        signal: i32,
    },
    /// The process ended by itself.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// A signal ended the process.
    Killed {
        /// Which one.
        signal: i32,
        /// A core file was written.
        core_dumped: bool,
    },
    /// Somebody interrupted the target ([`super::Handle::interrupt`]).
    Interrupted,
    /// It was attached to, or was just started, or came along with a fork.
    Attached,
    /// Going backwards, or forwards in a recording, has reached an end.
    HistoryEnd {
        /// The beginning, not the end.
        beginning: bool,
    },
    /// No thread that could run is left, though the processes are still there.
    NothingResumed,
    /// The link to the target broke.
    Lost {
        /// What happened.
        message: String,
    },
}

impl Reason {
    /// Whether the process is no more (or no more ours).
    pub fn is_end(&self) -> bool {
        matches!(self, Reason::Exited { .. } | Reason::Killed { .. } | Reason::Lost { .. })
    }
}
