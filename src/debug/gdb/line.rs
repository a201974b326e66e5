//! What the target and its handles share: the connection, and what is known of the stub and of what it controls.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::files::Files;
use super::memory::Cache;
use super::points::Points;
use super::registers::Registers;
use super::run::Plan;
use super::stub::Stub;
use crate::debug::{
    Catch, Handle, Handling, Map, Module, ProcessId, Reason, Settings, Stop, Thread, ThreadId, signals,
};
use crate::error::{Error, Kind, Result};
use crate::link::gdb::Connection;
use crate::output::Cancel;
use crate::protocol::rsp::thread::{Purpose, Threads};
use crate::protocol::rsp::{self, Request};

/// How long a wait keeps the lock before others get a turn.
const TURN: Duration = Duration::from_millis(50);

/// How long whoever waits leaves the lock to others.
const LOOK: Duration = Duration::from_micros(200);

/// Most bytes of what programs say that are kept.
const CONSOLE: usize = 1 << 20;

/// A process that the stub controls.
#[derive(Default)]
pub struct Controlled {
    /// It was there before the stub; `None`: the stub does not say.
    pub attached: Option<bool>,
    /// Its registers; the description is read again after an exec.
    pub registers: Option<Arc<Registers>>,
    /// The path of its program; inner `None`: nobody knows.
    pub program: Option<Option<String>>,
    /// Which program it runs, counted.
    pub image: u64,
}

/// What holds until something runs or is changed.
#[derive(Default)]
pub struct Known {
    /// The replies to `g`, by thread.
    pub registers: HashMap<ThreadId, Vec<u8>>,
    /// Registers that came along with stops, by thread and number.
    pub expedited: HashMap<ThreadId, Vec<(u32, Vec<u8>)>>,
    /// The threads.
    pub threads: Option<Vec<Thread>>,
    /// The auxiliary vector, by process.
    pub auxv: HashMap<ProcessId, Vec<u8>>,
    /// The maps, by process.
    pub maps: HashMap<ProcessId, Vec<Map>>,
    /// The modules, by process.
    pub modules: HashMap<ProcessId, Vec<Module>>,
}

/// The state behind the lock.
pub struct Inner {
    pub connection: Connection,
    pub stub: Stub,
    /// Why the line is gone.
    pub lost: Option<String>,
    pub processes: BTreeMap<ProcessId, Controlled>,
    pub current: Option<ThreadId>,
    /// What `Hg` chose last.
    pub chosen: Option<ThreadId>,
    pub known: Known,
    pub memory: Cache,
    pub points: Points,
    pub files: Files,
    pub running: bool,
    pub plan: Option<Plan>,
    /// Replies that come before the next stop.
    pub expected: usize,
    /// An interrupt is on its way; and when it left.
    pub interrupted: Option<Instant>,
    pub repeated: bool,
    pub stops: VecDeque<Stop>,
    pub reasons: HashMap<ThreadId, Reason>,
    /// Signals that threads stopped with, by Linux's numbers.
    pub signals: HashMap<ThreadId, i32>,
    pub settings: Settings,
    pub handling: Vec<Handling>,
    pub catch: Catch,
    /// What programs said through the stub.
    pub console: Vec<u8>,
    /// Counts programs.
    pub image: u64,
    /// Conversations were changed since this was published.
    pub changes: u64,
}

/// The shared part.
pub struct Line {
    inner: Mutex<Inner>,
    interrupt: AtomicBool,
    running: AtomicBool,
    generation: AtomicU64,
}

impl Line {
    pub fn new(inner: Inner) -> Line {
        Line {
            running: AtomicBool::new(inner.running),
            inner: Mutex::new(inner),
            interrupt: AtomicBool::new(false),
            generation: AtomicU64::new(0),
        }
    }

    pub fn lock(&self) -> Locked<'_> {
        Locked { line: self, inner: self.inner.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// An interrupt that came before now is not for what comes.
    pub fn calm(&self) {
        self.interrupt.store(false, Ordering::Release);
    }
}

/// The state, locked; what has changed is seen by everybody when this is dropped.
pub struct Locked<'a> {
    line: &'a Line,
    inner: MutexGuard<'a, Inner>,
}

impl std::ops::Deref for Locked<'_> {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl std::ops::DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Inner {
        &mut self.inner
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.line.running.store(self.inner.running, Ordering::Release);
        let changes = std::mem::take(&mut self.inner.changes);
        if changes > 0 {
            self.line.generation.fetch_add(changes, Ordering::AcqRel);
        }
    }
}

impl Handle for Line {
    fn interrupt(&self) -> Result<()> {
        self.interrupt.store(true, Ordering::Release);
        // Whoever waits passes it on at the next turn. When nobody does, this is the turn.
        match self.inner.try_lock() {
            Ok(inner) => Locked { line: self, inner }.pass_interrupt(&self.interrupt),
            Err(TryLockError::Poisoned(inner)) => {
                Locked { line: self, inner: inner.into_inner() }.pass_interrupt(&self.interrupt)
            }
            Err(TryLockError::WouldBlock) => Ok(()),
        }
    }

    fn wait(&self, deadline: Option<Instant>, cancel: &Cancel) -> Result<bool> {
        loop {
            {
                let mut inner = self.lock();
                if !inner.stops.is_empty() {
                    return Ok(true);
                }
                if !inner.running {
                    return Ok(false);
                }
                inner.pass_interrupt(&self.interrupt)?;
                let turn = Instant::now() + TURN;
                inner.turn(deadline.map_or(turn, |deadline| deadline.min(turn)), cancel)?;
                if !inner.stops.is_empty() {
                    return Ok(true);
                }
            }
            cancel.check()?;
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(false);
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Inner {
    /// Nothing is known yet but the connection and what the stub can do.
    pub fn new(connection: Connection, stub: Stub, files: Files) -> Inner {
        Inner {
            connection,
            stub,
            lost: None,
            processes: BTreeMap::new(),
            current: None,
            chosen: None,
            known: Known::default(),
            memory: Cache::default(),
            points: Points::default(),
            files,
            running: false,
            plan: None,
            expected: 0,
            interrupted: None,
            repeated: false,
            stops: VecDeque::new(),
            reasons: HashMap::new(),
            signals: HashMap::new(),
            settings: Settings::default(),
            handling: signals::defaults(),
            catch: Catch::Nothing,
            console: Vec::new(),
            image: 0,
            changes: 0,
        }
    }

    /// What was known no longer holds.
    pub fn forget(&mut self) {
        self.known = Known::default();
        self.memory.forget();
        self.changes += 1;
    }

    /// The line has to be there, and nothing may run.
    pub fn stopped(&self) -> Result<()> {
        if let Some(why) = &self.lost {
            return Err(
                Error::new(Kind::Closed, format!("the line to the stub was lost: {why}")).hint("'oo' opens it again")
            );
        }
        if self.running {
            return Err(Error::new(Kind::Timeout, "the target runs, and its stub does not listen meanwhile")
                .hint("Ctrl-C stops it"));
        }
        Ok(())
    }

    /// Sends requests; see [`Connection::flight`]. Losing the line is remembered.
    pub fn flight(&mut self, requests: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        self.stopped()?;
        self.connection.flight(requests).inspect_err(|error| self.note(error))
    }

    /// Sends a request; the reply.
    pub fn ask(&mut self, request: &Request) -> Result<Vec<u8>> {
        self.ask_raw(request.payload())
    }

    /// The same with the packet as it is.
    pub fn ask_raw(&mut self, payload: Vec<u8>) -> Result<Vec<u8>> {
        let mut replies = self.flight(&[payload])?;
        replies.pop().ok_or_else(|| Error::new(Kind::Protocol, "the stub did not answer"))
    }

    /// After an error of the connection.
    pub fn note(&mut self, error: &Error) {
        if matches!(error.kind(), Kind::Closed | Kind::Unreachable | Kind::Protocol | Kind::System) {
            self.lose(error.message().to_string());
        }
    }

    /// The line is gone, and nobody knows what the target does.
    pub fn lose(&mut self, message: String) {
        if self.lost.is_some() {
            return;
        }
        if let Some(thread) = self.current.take() {
            self.stops.push_back(Stop {
                thread,
                reason: Reason::Lost { message: message.clone() },
                pc: None,
                core: None,
            });
        }
        self.lost = Some(message);
        self.running = false;
        self.plan = None;
        self.processes.clear();
        self.forget();
    }

    /// The thread of a packet as ours.
    pub fn id(&self, thread: rsp::Thread) -> ThreadId {
        let own = self.current.map(|current| current.process).or(self.processes.keys().next().copied()).unwrap_or(1);
        let process = match thread.process {
            Some(rsp::thread::Id::One(process)) => u32::try_from(process).unwrap_or(own),
            _ => own,
        };
        let number = match thread.thread {
            rsp::thread::Id::One(number) => number,
            _ => self.current.filter(|current| current.process == process).map_or(1, |current| current.thread),
        };
        ThreadId { process, thread: number }
    }

    /// Ours as packets have it.
    pub fn wire(&self, thread: ThreadId) -> rsp::Thread {
        rsp::Thread::new(thread.process.into(), thread.thread, self.stub.multiprocess)
    }

    /// What makes the stub mean `thread` in what follows; nothing when it does already, or knows no threads.
    pub fn choose(&mut self, thread: ThreadId) -> Option<Vec<u8>> {
        if self.chosen == Some(thread) || self.stub.threadless {
            return None;
        }
        self.chosen = Some(thread);
        Some(Request::Threads(Threads::Select(Purpose::Examine, self.wire(thread))).payload())
    }

    /// A thread of `process`: the current one, or any.
    pub fn thread_of(&mut self, process: ProcessId) -> Result<ThreadId> {
        if let Some(current) = self.current.filter(|current| current.process == process) {
            return Ok(current);
        }
        let found = self.threads()?.iter().find(|thread| thread.id.process == process).map(|thread| thread.id);
        found.ok_or_else(|| no_process(process))
    }

    /// Keeps what a program says.
    pub fn say(&mut self, text: &[u8]) {
        let room = CONSOLE.saturating_sub(self.console.len());
        self.console.extend_from_slice(&text[..text.len().min(room)]);
    }

    /// Passes a wish to stop on, once.
    fn pass_interrupt(&mut self, wish: &AtomicBool) -> Result<()> {
        if !self.running {
            return Ok(());
        }
        if wish.swap(false, Ordering::AcqRel) {
            self.interrupted.get_or_insert_with(Instant::now);
            self.repeated = false;
            self.connection.interrupt().inspect_err(|error| self.note(error))?;
        } else if !self.repeated && self.interrupted.is_some_and(|when| when.elapsed() > Duration::from_secs(2)) {
            // Some stubs miss the first one.
            self.repeated = true;
            self.connection.interrupt().inspect_err(|error| self.note(error))?;
        }
        Ok(())
    }
}

/// There is no such process.
pub fn no_process(process: ProcessId) -> Error {
    Error::new(Kind::NotFound, format!("the stub controls no process {process}"))
}

/// There is no such thread.
pub fn no_thread(thread: ThreadId) -> Error {
    Error::new(Kind::NotFound, format!("no thread {thread} is there"))
}
