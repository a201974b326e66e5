//! Processes under control: what can be done with one ([`Target`]), wherever it lives, and the backend for this
//! machine's Linux (`ptrace`).
//!
//! Knows no commands, no devices and no protocol. A local process, a gdb stub, a core file and a process behind
//! another remora implement the same trait, and the `d` commands, the gdb server, rap and the web use nothing else.
//!
//! How a target is driven without holding a lock while it runs:
//!
//! ```text
//! target.resume(&[..])?;              // under the lock
//! let handle = target.handle();       // clone it, let the lock go
//! handle.wait(deadline, &cancel)?;    // no lock; another client may call handle.interrupt()
//! while let Some(stop) = target.take_stop()? { .. }   // under the lock again
//! ```

pub mod breakpoint;
pub mod condition;
pub mod core;
pub mod event;
pub mod gdb;
pub mod launch;
pub mod modules;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod ptrace;
pub mod registers;
pub mod remote;
pub mod signals;

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

pub use breakpoint::{Breakpoint, BreakpointId, Hit, OnHit, Place, Spec, Status, WatchAccess};
pub use condition::Condition;
pub use event::{Reason, Stop};
pub use launch::{Catch, Fork, Launch, Lost, Settings, Start};
pub use registers::{Layout, Register, Role};
pub use signals::Handling;

use crate::error::{Error, Kind, Result};
use crate::output::Cancel;

/// A process, by the number that its system (or stub) gave it.
pub type ProcessId = u32;

/// A thread: its process and its own number. On Linux the first thread has the number of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ThreadId {
    /// The process it belongs to.
    pub process: ProcessId,
    /// Its own number, unique on the machine for Linux; some stubs count from 1 or use addresses.
    pub thread: u64,
}

impl std::fmt::Display for ThreadId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.thread == u64::from(self.process) {
            write!(f, "{}", self.process)
        } else {
            write!(f, "{}.{}", self.process, self.thread)
        }
    }
}

/// What a target is able to do. Whoever offers something asks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Abilities {
    /// It can run: everything but core files.
    pub runs: bool,
    /// Threads can be stopped one by one ([`Settings::non_stop`]).
    pub non_stop: bool,
    /// It steps and continues backwards.
    pub reverse: bool,
    /// A range of addresses is stepped over there, without an answer for each step.
    pub range_step: bool,
    /// Conditions of breakpoints are evaluated there.
    pub conditions: bool,
    /// Hardware places (breakpoints and watchpoints together); 0: none, `u32::MAX`: nobody knows.
    pub hardware: u32,
    /// Watchpoints that only reads trigger.
    pub read_watch: bool,
    /// Further processes can be started or attached to.
    pub many_processes: bool,
    /// System calls can be made in the process ([`Target::system_call`]).
    pub system_calls: bool,
}

/// A process under control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub id: ProcessId,
    /// Its parent, when known.
    pub parent: Option<ProcessId>,
    /// It ran before the debugger came, and is let go instead of killed.
    pub attached: bool,
    /// Path of the program it runs, as its system sees it.
    pub program: Option<String>,
}

/// What a thread does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It runs; registers cannot be read.
    Running,
    /// It is stopped and shows its registers. `None`: it was stopped along with another thread.
    Stopped(Option<Reason>),
}

/// A thread of a process under control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Its number.
    pub id: ThreadId,
    /// Its name (bytes from the target made valid text; may hold terminal escapes).
    pub name: Option<String>,
    /// What it does.
    pub state: State,
    /// The processor that it ran on last.
    pub core: Option<u32>,
}

/// What may be done with a stretch of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Protection {
    /// It can be read.
    pub read: bool,
    /// It can be written.
    pub write: bool,
    /// It can be executed.
    pub execute: bool,
}

impl std::fmt::Display for Protection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letter = |on, letter| if on { letter } else { '-' };
        write!(f, "{}{}{}", letter(self.read, 'r'), letter(self.write, 'w'), letter(self.execute, 'x'))
    }
}

/// A stretch of a process's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// First address.
    pub start: u64,
    /// Address behind the last byte.
    pub end: u64,
    /// What the process may do with it.
    pub protection: Protection,
    /// Changes reach the file or other processes.
    pub shared: bool,
    /// Where it begins in the file.
    pub offset: u64,
    /// The file, or a name in brackets (`[stack]`); may hold terminal escapes.
    pub name: Option<String>,
}

impl Map {
    /// Whether `address` lies in it.
    pub fn contains(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// Reads a line of `/proc/PID/maps` (`proc_pid_maps(5)`).
    pub fn parse(line: &str) -> Option<Map> {
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let letters = fields.next()?.as_bytes();
        let offset = fields.next()?;
        let (_device, _inode) = (fields.next()?, fields.next()?);
        let name = fields.next().unwrap_or_default().trim_start();
        let has = |at: usize, letter: u8| letters.get(at) == Some(&letter);
        Some(Map {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            protection: Protection { read: has(0, b'r'), write: has(1, b'w'), execute: has(2, b'x') },
            shared: has(3, b's'),
            offset: u64::from_str_radix(offset, 16).ok()?,
            name: Some(name.to_string()).filter(|name| !name.is_empty()),
        })
    }
}

/// A file that the dynamic loader, or the kernel, brought into a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Path of the file as the process sees it.
    pub path: String,
    /// What is added to the file's addresses: 0 for a program at fixed addresses.
    pub bias: u64,
    /// First mapped address of the file, when it is known.
    pub start: Option<u64>,
    /// Address behind the last mapped byte, when it is known.
    pub end: Option<u64>,
    /// Address of the loader's `struct link_map`; 0: it does not know the module (the program before it started).
    pub link_map: u64,
    /// Address of the dynamic section.
    pub dynamic: u64,
}

/// A file that a process has open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its number in the process.
    pub number: u32,
    /// How it was opened: `O_*` of open(2).
    pub flags: u32,
    /// Where it is read or written next, in bytes.
    pub position: u64,
    /// Its path, or what it is in the system's words (`pipe:[1234]`); may hold terminal escapes.
    pub path: String,
}

/// A file of the machine where a process runs.
pub trait FileReader: Send {
    /// Reads from `offset`; short at the end of the file.
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize>;
}

/// Which threads an instruction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    /// All threads of all processes.
    All,
    /// All threads of a process.
    Process(ProcessId),
    /// One thread.
    Thread(ThreadId),
}

impl Who {
    /// Whether `thread` is meant.
    pub fn includes(self, thread: ThreadId) -> bool {
        match self {
            Who::All => true,
            Who::Process(process) => process == thread.process,
            Who::Thread(one) => one == thread,
        }
    }
}

/// What a thread is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Run.
    Continue,
    /// Execute instructions one by one until `count` of them are done. Any other event ends it early.
    Step {
        /// How many; 0 counts as 1.
        count: u64,
    },
    /// Step while the program counter is in `start..end`; one step is always made.
    Range {
        /// First address of the range.
        start: u64,
        /// Address behind the range.
        end: u64,
    },
    /// Step until the condition holds, evaluated where the target is after each step; at most `limit` steps (0: any).
    Until {
        /// What ends it.
        condition: Condition,
        /// Most steps.
        limit: u64,
    },
    /// Stop it (only with [`Settings::non_stop`]; reported as [`Reason::Signal`] 0).
    Stop,
    /// Go back by one instruction.
    ReverseStep,
    /// Run backwards.
    ReverseContinue,
}

/// Which signal a thread gets when it goes on. Numbers are Linux's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deliver {
    /// The one that it stopped with, if the handling table passes it.
    AsHandled,
    /// None: the one that it stopped with is dropped.
    Nothing,
    /// This one.
    Signal(i32),
}

/// An instruction to run; of several the first that includes a thread holds for it. A thread that none includes
/// stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// For whom.
    pub who: Who,
    /// What to do.
    pub action: Action,
    /// With which signal.
    pub deliver: Deliver,
}

impl Resume {
    /// Everything runs, signals as the handling table says.
    pub const ALL: Resume = Resume { who: Who::All, action: Action::Continue, deliver: Deliver::AsHandled };

    /// One step of `thread` alone.
    pub fn step(thread: ThreadId) -> Resume {
        Resume { who: Who::Thread(thread), action: Action::Step { count: 1 }, deliver: Deliver::AsHandled }
    }
}

/// Waiting for a target and interrupting it, without a lock on it. Clones of the `Arc` go to other threads.
pub trait Handle: Send + Sync {
    /// Asks everything that runs to stop; comes back at once. What stops says [`Reason::Interrupted`]. Does nothing
    /// when nothing runs.
    fn interrupt(&self) -> Result<()>;

    /// Waits until [`Target::take_stop`] has something to give: `true`. `false`: the deadline passed. When `cancel`
    /// is set it ends within 100 ms with [`Kind::Interrupted`]; the target goes on running then. When nothing runs
    /// and nothing is queued it comes back with `false` at once.
    fn wait(&self, deadline: Option<Instant>, cancel: &Cancel) -> Result<bool>;
}

/// Everything that can be debugged. Addresses are the process's virtual addresses, signal and system call numbers
/// those of its system. Methods fail with [`Kind::NotFound`] for a process or thread that is not (or no longer)
/// there, with [`Kind::Unsupported`] for what the target cannot do, and with [`Kind::Timeout`] and a hint when a
/// thread runs that would have to be stopped.
///
/// Breakpoints that are inserted never show in memory that is read, and survive memory that is written.
///
/// Dropping a target ends the relation: processes that it started are killed, attached ones go on in the state in
/// which they were found.
pub trait Target: Send {
    // ---- what it is

    /// What kind of target it is, for people: `ptrace`, `gdb`, `core`, `rap`.
    fn kind(&self) -> &'static str;

    /// What it can do.
    fn abilities(&self) -> Abilities;

    /// For waiting and interrupting without this lock.
    fn handle(&self) -> Arc<dyn Handle>;

    /// A number that changes whenever a thread was resumed or stopped and whenever memory, registers or maps were
    /// changed through this target: what was read under the same number still holds.
    fn generation(&self) -> u64;

    /// The processes.
    fn processes(&mut self) -> Result<Vec<Process>>;

    /// The threads of `process`, or all.
    fn threads(&mut self, process: Option<ProcessId>) -> Result<Vec<Thread>>;

    /// The thread that commands mean: the one that stopped last, or the one that was selected since.
    fn current(&self) -> Option<ThreadId>;

    /// Makes `thread` current.
    fn select(&mut self, thread: ThreadId) -> Result<()>;

    // ---- registers

    /// How the registers of `process` are called and where they lie in its sets. The same `Arc` as long as nothing
    /// changes; an exec to another architecture changes it.
    fn layout(&mut self, process: ProcessId) -> Result<Arc<Layout>>;

    /// The bytes of the register set `set` (an index into [`Layout::sets`]), all of them. Only asked-for sets are
    /// fetched; the answer is kept until the thread runs.
    fn read_set(&mut self, thread: ThreadId, set: usize) -> Result<Vec<u8>>;

    /// Changes the whole set. Reaches the thread when it is resumed at the latest. Changing the program counter or
    /// the number of an interrupted system call cancels its restart.
    fn write_set(&mut self, thread: ThreadId, set: usize, bytes: &[u8]) -> Result<()>;

    /// One register's bytes, in the target's byte order.
    fn read_register(&mut self, thread: ThreadId, register: &Register) -> Result<Vec<u8>> {
        let set = self.read_set(thread, register.set)?;
        set.get(register.range()).map(<[u8]>::to_vec).ok_or_else(|| unavailable(&register.name))
    }

    /// Changes one register; `bytes` are as many as it has.
    fn write_register(&mut self, thread: ThreadId, register: &Register, bytes: &[u8]) -> Result<()> {
        let mut set = self.read_set(thread, register.set)?;
        let room = set.get_mut(register.range()).ok_or_else(|| unavailable(&register.name))?;
        if room.len() != bytes.len() {
            let text = format!("{} holds {} bytes, not {}", register.name, room.len(), bytes.len());
            return Err(Error::new(Kind::Usage, text));
        }
        room.copy_from_slice(bytes);
        self.write_set(thread, register.set, &set)
    }

    /// The signal information (`siginfo_t`) of the signal that `thread` stopped with.
    fn signal_info(&mut self, _thread: ThreadId) -> Result<Vec<u8>> {
        Err(cannot("tell about signals"))
    }

    /// Changes it.
    fn set_signal_info(&mut self, _thread: ThreadId, _bytes: &[u8]) -> Result<()> {
        Err(cannot("change signals"))
    }

    // ---- memory

    /// Reads into `buffer`; the answer is how many bytes could be read from the start, 0 if the first cannot.
    /// Works while threads run, where the target can.
    fn read_memory(&mut self, process: ProcessId, address: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Writes, also where the process itself may not. The answer is how many bytes were written from the start.
    fn write_memory(&mut self, process: ProcessId, address: u64, data: &[u8]) -> Result<usize>;

    /// The memory map, by rising addresses.
    fn maps(&mut self, process: ProcessId) -> Result<Vec<Map>>;

    /// New memory in the process, at least `length` bytes.
    fn allocate(&mut self, _process: ProcessId, _length: u64, _protection: Protection) -> Result<u64> {
        Err(cannot("allocate memory"))
    }

    /// Gives back what [`Target::allocate`] gave (whole), or unmaps pages.
    fn release(&mut self, _process: ProcessId, _address: u64, _length: u64) -> Result<()> {
        Err(cannot("release memory"))
    }

    /// Changes what the process may do with whole pages.
    fn protect(&mut self, _process: ProcessId, _address: u64, _length: u64, _protection: Protection) -> Result<()> {
        Err(cannot("change the protection of memory"))
    }

    /// Has `thread` make a system call; everything else about it stays as it was. The answer is the raw result.
    fn system_call(&mut self, _thread: ThreadId, _number: u64, _arguments: [u64; 6]) -> Result<i64> {
        Err(cannot("make system calls"))
    }

    // ---- about the program

    /// The auxiliary vector, raw.
    fn auxv(&mut self, _process: ProcessId) -> Result<Vec<u8>> {
        Err(cannot("tell the auxiliary vector"))
    }

    /// What is loaded; the program first.
    fn modules(&mut self, _process: ProcessId) -> Result<Vec<Module>> {
        Err(cannot("list modules"))
    }

    /// Path of the program that `process` runs, as its system sees it.
    fn program(&mut self, _process: ProcessId) -> Result<String> {
        Err(cannot("name the program"))
    }

    /// The files that `process` has open.
    fn descriptors(&mut self, _process: ProcessId) -> Result<Vec<Descriptor>> {
        Err(cannot("list open files"))
    }

    /// A file that `process` sees, as [`Target::read_file`] reads it, for whoever reads it while the target is used
    /// for other things. `None`: it can only be read through the target.
    fn open_file(&mut self, _process: ProcessId, _path: &str) -> Option<Box<dyn FileReader>> {
        None
    }

    /// Reads a file of the machine, and the root directory, that `process` sees. Short at the end of the file.
    fn read_file(&mut self, _process: ProcessId, _path: &str, _offset: u64, _buffer: &mut [u8]) -> Result<usize> {
        Err(cannot("read files"))
    }

    // ---- running

    /// Sets threads going, all at once; see [`Resume`]. Checked whole before anything moves. In all-stop (the
    /// default) nothing may run yet.
    fn resume(&mut self, actions: &[Resume]) -> Result<()>;

    /// The oldest event that was not taken yet. In all-stop every thread is stopped when there is one; further
    /// events that happened at the same time are kept for after the next resume.
    fn take_stop(&mut self) -> Result<Option<Stop>>;

    /// Waits and takes. `None`: the deadline passed, or nothing runs. For those who may hold the target as long.
    fn wait(&mut self, deadline: Option<Instant>, cancel: &Cancel) -> Result<Option<Stop>> {
        let handle = self.handle();
        loop {
            if let Some(stop) = self.take_stop()? {
                return Ok(Some(stop));
            }
            if !handle.wait(deadline, cancel)? {
                return self.take_stop();
            }
        }
    }

    /// What programs said through the target since this was last asked: text of theirs, which may hold terminal
    /// escapes.
    fn take_output(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// What is added to the addresses in the file of the program that `process` runs; 0 for one at fixed addresses.
    fn program_bias(&mut self, process: ProcessId) -> Result<u64> {
        Ok(self.modules(process)?.first().map_or(0, |module| module.bias))
    }

    /// Whether a thread runs.
    fn is_running(&self) -> bool;

    /// How forks, execs, threads and stops are dealt with.
    fn settings(&self) -> Settings;

    /// Changes that. Takes effect at once, also for what runs.
    fn set_settings(&mut self, settings: &Settings) -> Result<()>;

    /// Which system calls stop the threads of `process` (`None`: of all).
    fn catch_calls(&mut self, _process: Option<ProcessId>, _calls: &Catch) -> Result<()> {
        Err(cannot("catch system calls"))
    }

    /// What happens when a signal comes. Index is its number; index 0 is not used.
    fn signals(&self) -> Vec<Handling>;

    /// Changes that for the signal `number`.
    fn set_signal(&mut self, number: i32, handling: Handling) -> Result<()>;

    // ---- breakpoints

    /// Makes a breakpoint or watchpoint. It is inserted at once, or when its address can be written (the answer's
    /// state, [`Target::breakpoints`], says so); without a place in the hardware it fails with [`Kind::Limit`].
    fn insert(&mut self, spec: &Spec) -> Result<BreakpointId>;

    /// Changes everything but the place and the count of hits.
    fn change(&mut self, id: BreakpointId, spec: &Spec) -> Result<()>;

    /// Takes it away. One that is not there (a temporary one that was hit) is no error.
    fn remove(&mut self, id: BreakpointId) -> Result<()>;

    /// All, in the order of their numbers.
    fn breakpoints(&mut self) -> Result<Vec<Breakpoint>>;

    /// The oldest entries (at most `limit`) that logging breakpoints wrote; they are gone then.
    fn take_log(&mut self, _limit: usize) -> Result<Vec<Hit>> {
        Ok(Vec::new())
    }

    // ---- beginning and end

    /// Starts a program; the answer is its first thread, stopped at its first instruction. No stop is queued.
    fn launch(&mut self, _launch: &Launch) -> Result<ThreadId> {
        Err(cannot("start programs"))
    }

    /// Attaches to a process; all its threads are stopped then. No stop is queued.
    fn attach(&mut self, _process: ProcessId) -> Result<ThreadId> {
        Err(cannot("attach to processes"))
    }

    /// Lets a process go: traps are taken out, and it runs on (or stays stopped if it was found so). With a signal:
    /// it gets that one; [`Deliver::AsHandled`] delivers what it stopped with.
    fn detach(&mut self, process: ProcessId, deliver: Deliver) -> Result<()>;

    /// Kills a process; it is gone when this comes back. The stop that says so is queued.
    fn kill(&mut self, process: ProcessId) -> Result<()>;
}

/// Where a stopped thread goes on.
pub fn program_counter(target: &mut dyn Target, thread: ThreadId) -> Result<u64> {
    let layout = target.layout(thread.process)?;
    let register = layout.role(Role::Pc).ok_or_else(|| unavailable("pc"))?;
    Ok(number(&target.read_register(thread, register)?, layout.big_endian) as u64)
}

/// What a target says to what it cannot do.
pub fn cannot(what: &str) -> Error {
    Error::new(Kind::Unsupported, format!("this target cannot {what}"))
}

fn unavailable(register: &str) -> Error {
    Error::new(Kind::NotFound, format!("the register {register} is not available"))
}

/// The number in `bytes` (at most 16 count), in the byte order given.
pub fn number(bytes: &[u8], big_endian: bool) -> u128 {
    let add = |number: u128, byte: &u8| number << 8 | u128::from(*byte);
    let bytes = bytes.get(..16).unwrap_or(bytes);
    if big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
}
