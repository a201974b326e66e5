//! The tracer: the one thread that the kernel lets control a tree of processes. Everybody else sends it closures.
//!
//! It sleeps in `waitpid` while something runs. Who has a job for it puts the job into the queue and wakes it with a
//! signal that only this thread gets, again and again until it has seen the job: a signal that comes just before
//! `waitpid` begins is lost, the next one is not.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::state::State;
use super::sys;
use super::x86::General;
use crate::debug::{Handle, Stop, ThreadId};
use crate::error::{Error, Kind, Result};
use crate::output::Cancel;

/// How often somebody who waits looks whether it was cancelled.
const LOOK: Duration = Duration::from_millis(40);

/// After so long an unanswered signal is sent again.
const AGAIN: Duration = Duration::from_millis(1);

/// How often a tracer whose threads are all stopped looks whether one was killed.
const GLANCE: Duration = Duration::from_millis(100);

type Job = Box<dyn FnOnce(&mut State) + Send>;

/// What the tracer's thread shares with everybody else.
#[derive(Default)]
pub struct Shared {
    inner: Mutex<Inner>,
    /// A job came, a stop was queued, or everything came to rest.
    changed: Condvar,
    /// The number of the tracer's thread.
    tid: AtomicI32,
    /// There is a job: looked at between the steps of a thread without taking the lock.
    jobs_wait: AtomicBool,
    /// Everything is to stop.
    interrupt: AtomicBool,
    /// A thread runs.
    running: AtomicBool,
    /// The tracer waits for the kernel, not for jobs.
    busy: AtomicBool,
    generation: AtomicU64,
}

#[derive(Default)]
struct Inner {
    jobs: VecDeque<Job>,
    stops: VecDeque<Stop>,
    current: Option<ThreadId>,
    /// The registers of the thread that stopped last, under which generation: whoever is told of a stop asks for them.
    registers: Option<(u64, ThreadId, General)>,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What is behind the lock is whole after each statement.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a stop, after which threads run or not: both at once, so that nobody sees a target at rest without it.
    pub fn push(&self, stop: Stop, running: bool, registers: Option<General>) {
        let mut inner = self.lock();
        inner.registers = registers.map(|registers| (self.generation(), stop.thread, registers));
        inner.stops.push_back(stop);
        self.running.store(running, Ordering::Release);
        drop(inner);
        self.changed.notify_all();
    }

    /// The general registers that `thread` stopped with, as long as nothing has changed since.
    pub fn registers(&self, thread: ThreadId) -> Option<General> {
        let known = self.lock().registers;
        known.filter(|(generation, of, _)| *generation == self.generation() && *of == thread).map(|known| known.2)
    }

    /// The thread that is meant when none is named.
    pub fn current(&self) -> Option<ThreadId> {
        self.lock().current
    }

    /// Another one is meant from now on.
    pub fn set_current(&self, thread: Option<ThreadId>) {
        self.lock().current = thread;
    }

    /// Whether a stop was not taken yet.
    pub fn has_stops(&self) -> bool {
        !self.lock().stops.is_empty()
    }

    /// The oldest stop.
    pub fn take(&self) -> Option<Stop> {
        self.lock().stops.pop_front()
    }

    /// Drops the stops of a process that was let go.
    pub fn forget(&self, process: u32) {
        self.lock().stops.retain(|stop| stop.thread.process != process);
    }

    /// Whether the tracer should look up from what it does.
    pub fn is_wanted(&self) -> bool {
        self.jobs_wait.load(Ordering::Acquire) || self.interrupt.load(Ordering::Acquire)
    }

    /// Takes the wish that everything stops.
    pub fn take_interrupt(&self) -> bool {
        self.interrupt.swap(false, Ordering::AcqRel)
    }

    /// Whether a thread runs.
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// Says whether a thread runs.
    pub fn set_running(&self, running: bool) {
        if self.running.swap(running, Ordering::AcqRel) != running && !running {
            // Under the lock, so that nobody who is about to wait misses it.
            drop(self.lock());
            self.changed.notify_all();
        }
    }

    /// See [`crate::debug::Target::generation`].
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Something changed.
    pub fn bump(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    fn wake(&self) {
        self.changed.notify_all();
        let tid = self.tid.load(Ordering::Acquire);
        if tid != 0 && self.busy.load(Ordering::Acquire) {
            // Gone already: then nobody has to be woken.
            let _ = sys::signal_thread(std::process::id() as i32, tid, sys::wake_signal());
        }
    }
}

impl Handle for Shared {
    fn interrupt(&self) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        self.interrupt.store(true, Ordering::Release);
        // The signal may come just before the tracer begins to wait. Sent until it was seen, within reason.
        let patience = Instant::now() + Duration::from_secs(1);
        while self.interrupt.load(Ordering::Acquire) && self.is_running() && Instant::now() < patience {
            self.wake();
            let inner = self.lock();
            drop(self.changed.wait_timeout(inner, AGAIN).unwrap_or_else(PoisonError::into_inner));
        }
        Ok(())
    }

    fn wait(&self, deadline: Option<Instant>, cancel: &Cancel) -> Result<bool> {
        let mut inner = self.lock();
        loop {
            if !inner.stops.is_empty() {
                return Ok(true);
            }
            if !self.is_running() || inner.ended {
                return Ok(false);
            }
            cancel.check()?;
            let mut pause = LOOK;
            if let Some(deadline) = deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(false);
                }
                pause = pause.min(left);
            }
            inner = self.changed.wait_timeout(inner, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The thread, from outside. Dropping it lets everything go (see [`State::leave`]) and ends it.
pub struct Tracer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Tracer {
    /// A tracer of nothing.
    pub fn start(shared: Arc<Shared>, state: State) -> Result<Tracer> {
        let inside = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("tracer".into())
            .spawn(move || work(&inside, state))
            .map_err(|error| Error::system("cannot start the tracer's thread", &error))?;
        Ok(Tracer { shared, thread: Some(thread) })
    }

    /// Runs `work` on the tracer's thread and waits for it.
    pub fn call<R: Send + 'static>(&self, work: impl FnOnce(&mut State) -> R + Send + 'static) -> Result<R> {
        let (answer, answered) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |state| {
            // The caller is still there: it waits.
            let _ = answer.send(work(state));
        });
        let gone = || Error::new(Kind::Closed, "the debugger's thread has ended");
        {
            let mut inner = self.shared.lock();
            if inner.ended {
                return Err(gone());
            }
            inner.jobs.push_back(job);
            self.shared.jobs_wait.store(true, Ordering::Release);
        }
        loop {
            if self.shared.jobs_wait.load(Ordering::Acquire) {
                self.shared.wake();
            }
            match answered.recv_timeout(AGAIN) {
                Ok(result) => return Ok(result),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(gone()),
            }
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // A tracer that has ended has nothing to leave.
        let _ = self.call(|state| state.leave());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Marks the end, however it comes, so that nobody waits for a thread that is gone.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.tid.store(0, Ordering::Release);
        let jobs = {
            let mut inner = self.0.lock();
            inner.ended = true;
            std::mem::take(&mut inner.jobs)
        };
        drop(jobs);
        self.0.set_running(false);
        self.0.changed.notify_all();
    }
}

fn work(shared: &Shared, mut state: State) {
    let _end = End(shared);
    if sys::install_wake().is_err() {
        return;
    }
    shared.tid.store(sys::own_tid(), Ordering::Release);
    loop {
        for job in jobs(shared, &state) {
            job(&mut state);
        }
        if state.left() {
            return;
        }
        if shared.take_interrupt() {
            state.interrupted();
        }
        shared.set_running(state.runs());
        shared.busy.store(state.is_busy(), Ordering::Release);
        if state.is_busy() && !shared.is_wanted() {
            state.advance();
            shared.set_running(state.runs());
        } else if !state.is_busy() {
            state.glance();
        }
    }
}

/// The jobs that are there. Waits for some when no thread runs.
fn jobs(shared: &Shared, state: &State) -> VecDeque<Job> {
    let mut inner = shared.lock();
    if inner.jobs.is_empty() && !state.is_busy() {
        inner = if state.is_empty() {
            shared.changed.wait(inner).unwrap_or_else(PoisonError::into_inner)
        } else {
            shared.changed.wait_timeout(inner, GLANCE).unwrap_or_else(PoisonError::into_inner).0
        };
    }
    shared.jobs_wait.store(false, Ordering::Release);
    std::mem::take(&mut inner.jobs)
}
