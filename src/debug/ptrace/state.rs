//! What the tracer's thread knows: processes, threads, breakpoints. Only that thread has it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::memory::Memory;
use super::points::Points;
use super::sys::{self, SIGNAL_INFO, Tid};
use super::terminal::Terminal;
use super::tracer::Shared;
use super::x86::{DebugRegisters, General, Width};
use crate::debug::launch::{Catch, Settings};
use crate::debug::signals::{self, Handling};
use crate::debug::{Condition, ProcessId, Reason, Stop, ThreadId};
use crate::error::{Error, Kind, Result};

/// The memories of the processes, for everybody who reads them without asking the tracer.
#[derive(Default)]
pub struct Directory(Mutex<HashMap<ProcessId, Arc<Memory>>>);

impl Directory {
    /// The memory of `process`.
    pub fn find(&self, process: ProcessId) -> Result<Arc<Memory>> {
        let memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memories.get(&process).cloned().ok_or_else(|| no_process(process))
    }

    fn put(&self, process: ProcessId, memory: Option<Arc<Memory>>) {
        let mut memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match memory {
            Some(memory) => drop(memories.insert(process, memory)),
            None => drop(memories.remove(&process)),
        }
    }
}

/// Says that a process is not there.
pub fn no_process(process: ProcessId) -> Error {
    Error::new(Kind::NotFound, format!("the process {process} is not being debugged (any more)"))
}

/// Why a process is traced though nobody is to see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Free {
    /// The child of a vfork, in its parent's memory with our traps: let go when it execs.
    Child,
    /// The parent of a vfork whose child is followed: let go when the child has left its memory.
    Parent,
}

/// A traced process.
pub struct Process {
    pub memory: Arc<Memory>,
    /// It ran before us.
    pub attached: bool,
    /// It is not shown, and let go as soon as possible.
    pub free: Option<Free>,
    /// The processes that it was forked from, the nearest last.
    pub lineage: Vec<ProcessId>,
    pub catch: Catch,
    pub width: Width,
    /// What the debug registers of its threads are to hold, and which version of that it is (0: nothing, ever).
    pub hardware: DebugRegisters,
    pub hardware_version: u64,
}

/// What a thread is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    Continue,
    Steps { left: u64 },
    Range { start: u64, end: u64 },
    Until { condition: Condition, left: Option<u64> },
}

/// Something that a thread did and that was not dealt with yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    /// A wait status.
    Status(i32),
    /// A trap at this address; the program counter was put back.
    Hit(u64),
}

/// A traced thread.
pub struct Task {
    pub process: ProcessId,
    /// The kernel lets it run (or its stop was not seen yet).
    pub running: bool,
    /// What it is to do; `None`: nothing, it stays stopped.
    pub plan: Option<Plan>,
    /// It is part of a stop of the whole process by job control.
    pub group_stop: Option<i32>,
    /// It was set going though its process is stopped by job control.
    pub past_stop: bool,
    /// It waits in vfork for its child and cannot be stopped.
    pub in_vfork: bool,
    /// It does not react: a leader that has ended before its threads, or one that the kernel holds.
    pub deaf: bool,
    pub pending: VecDeque<Pending>,
    pub registers: Option<General>,
    pub dirty: bool,
    /// The XSAVE area and set 1.
    pub vector: Option<(Vec<u8>, Vec<u8>)>,
    pub reason: Option<Reason>,
    /// The signal that it stopped with.
    pub signal: i32,
    /// The signal that it gets when it goes on.
    pub deliver: i32,
    /// Its stop is one at which the kernel takes a signal to deliver.
    pub injects: bool,
    /// Its stop is that of a trap of ours, with a signal in hand that the program must never see.
    pub trapped: bool,
    /// A signal that was sent to it because its stop was none of those: passed on without asking.
    pub sent: Option<i32>,
    /// Signals that came at a bad moment, with what the kernel said of them.
    pub deferred: VecDeque<(i32, [u8; SIGNAL_INFO])>,
    /// The breakpoints at this address were dealt with; it goes on past them.
    pub passed: Option<u64>,
    /// Where it was before the step that it makes.
    pub before: Option<General>,
    pub hardware_version: u64,
    /// The last stop in a system call was its entry.
    pub call: Option<u64>,
    pub reported_new: bool,
    /// The processor that it ran on, and when that was looked up.
    core: Option<(Instant, Option<u32>)>,
}

/// So long the processor that a thread ran on is not looked up again: finding out takes longer than a step.
const SAME_CORE: Duration = Duration::from_millis(20);

impl Task {
    fn new(process: ProcessId) -> Task {
        Task {
            process,
            running: false,
            plan: None,
            group_stop: None,
            past_stop: false,
            in_vfork: false,
            deaf: false,
            pending: VecDeque::new(),
            registers: None,
            dirty: false,
            vector: None,
            reason: None,
            signal: 0,
            deliver: 0,
            injects: false,
            trapped: false,
            sent: None,
            deferred: VecDeque::new(),
            passed: None,
            before: None,
            hardware_version: 0,
            call: None,
            reported_new: false,
            core: None,
        }
    }

    /// The processor that it ran on lately.
    fn ran_on(&mut self, thread: ThreadId) -> Option<u32> {
        match self.core {
            Some((looked, core)) if looked.elapsed() < SAME_CORE => core,
            _ => self.core.insert((Instant::now(), super::proc::core(thread))).1,
        }
    }

    /// It was set going: nothing that was known of its state holds.
    pub fn went(&mut self) {
        self.running = true;
        self.trapped = false;
        self.registers = None;
        self.vector = None;
        self.reason = None;
        self.signal = 0;
        self.deliver = 0;
        self.group_stop = None;
    }
}

/// Everything.
pub struct State {
    pub shared: Arc<Shared>,
    pub directory: Arc<Directory>,
    pub processes: BTreeMap<ProcessId, Process>,
    pub tasks: BTreeMap<Tid, Task>,
    /// Stops of threads whose birth was not reported yet.
    pub early: HashMap<Tid, i32>,
    pub points: Points,
    pub settings: Settings,
    pub signals: Vec<Handling>,
    pub terminal: Terminal,
    /// The number of the next program (see [`Memory::image`]).
    pub image: u64,
    /// The thread whose pending event was dealt with last, so that all get their turn.
    pub turn: Tid,
    /// Threads that have a plan: those that are shown, and those of processes that are to be let go. Kept by
    /// [`State::set_plan`].
    planned: usize,
    planned_free: usize,
    /// Threads that are to be set going.
    pub to_start: VecDeque<Tid>,
    left: bool,
}

impl State {
    pub fn new(shared: Arc<Shared>, directory: Arc<Directory>) -> State {
        State {
            shared,
            directory,
            processes: BTreeMap::new(),
            tasks: BTreeMap::new(),
            early: HashMap::new(),
            points: Points::default(),
            settings: Settings::default(),
            signals: signals::defaults(),
            terminal: Terminal::default(),
            image: 0,
            turn: 0,
            planned: 0,
            planned_free: 0,
            to_start: VecDeque::new(),
            left: false,
        }
    }

    /// Whether a thread has something to do.
    pub fn runs(&self) -> bool {
        self.planned > 0
    }

    /// Whether the kernel has something to tell of a thread, shown or not.
    pub fn is_busy(&self) -> bool {
        self.planned + self.planned_free > 0
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Whether everything was let go, for good.
    pub fn left(&self) -> bool {
        self.left
    }

    /// Lets everything go: kills what was started here, and detaches from the rest.
    pub fn leave(&mut self) {
        for process in self.processes.keys().copied().collect::<Vec<_>>() {
            let attached = self.processes.get(&process).is_some_and(|process| process.attached);
            // One that is gone already is none that is left.
            let _ = if attached { self.detach(process, crate::debug::Deliver::AsHandled) } else { self.kill(process) };
        }
        self.terminal.take_back();
        self.left = true;
    }

    /// The thread's full number.
    pub fn id(&self, tid: Tid) -> ThreadId {
        let process = self.tasks.get(&tid).map_or(tid as u32, |task| task.process);
        ThreadId { process, thread: tid as u64 }
    }

    /// A task that may be looked at and changed: it is there, belongs to the process and is shown.
    pub fn tid(&self, thread: ThreadId) -> Result<Tid> {
        let tid = Tid::try_from(thread.thread).unwrap_or(0);
        let shown = self.processes.get(&thread.process).is_some_and(|process| process.free.is_none());
        match self.tasks.get(&tid) {
            Some(task) if shown && task.process == thread.process => Ok(tid),
            _ => Err(Error::new(Kind::NotFound, format!("the thread {thread} is not there (any more)"))),
        }
    }

    /// The same, when it is stopped.
    pub fn stopped(&self, thread: ThreadId) -> Result<Tid> {
        let tid = self.tid(thread)?;
        if self.tasks.get(&tid).is_some_and(|task| task.running || task.deaf) {
            let text = format!("the thread {thread} runs");
            return Err(Error::new(Kind::Timeout, text).hint("interrupt it first (Ctrl-C, or dcp)"));
        }
        Ok(tid)
    }

    /// The threads of `process`.
    pub fn tids(&self, process: ProcessId) -> Vec<Tid> {
        self.tasks.iter().filter(|(_, task)| task.process == process).map(|(tid, _)| *tid).collect()
    }

    /// A thread of `process` that is stopped and answers.
    pub fn any_stopped(&self, process: ProcessId) -> Result<Tid> {
        let found = self.tasks.iter().find(|(_, task)| task.process == process && !task.running && !task.deaf);
        found.map(|(tid, _)| *tid).ok_or_else(|| {
            if self.processes.contains_key(&process) {
                Error::new(Kind::Timeout, format!("the process {process} runs")).hint("interrupt it first (Ctrl-C)")
            } else {
                no_process(process)
            }
        })
    }

    /// Adds a process.
    pub fn add_process(&mut self, pid: ProcessId, memory: Arc<Memory>, attached: bool, width: Width) {
        if attached {
            memory.guard();
        }
        self.directory.put(pid, Some(Arc::clone(&memory)));
        let process = Process {
            memory,
            attached,
            free: None,
            lineage: Vec::new(),
            catch: Catch::default(),
            width,
            hardware: DebugRegisters::default(),
            hardware_version: 0,
        };
        self.processes.insert(pid, process);
    }

    /// Hides a process from view.
    pub fn set_free(&mut self, pid: ProcessId, free: Free) {
        if let Some(process) = self.processes.get_mut(&pid) {
            process.free = Some(free);
            self.directory.put(pid, None);
            let planned = self.tasks.values().filter(|task| task.process == pid && task.plan.is_some()).count();
            self.planned -= planned;
            self.planned_free += planned;
        }
    }

    /// A new program in a process.
    pub fn replace_memory(&mut self, pid: ProcessId) {
        self.image += 1;
        let Ok(memory) = Memory::open(pid as i32, self.image).map(Arc::new) else { return };
        if let Some(process) = self.processes.get_mut(&pid) {
            if process.attached {
                memory.guard();
            }
            process.memory = Arc::clone(&memory);
            if process.free.is_none() {
                self.directory.put(pid, Some(memory));
            }
        }
    }

    /// Forgets a process and its threads.
    pub fn remove_process(&mut self, pid: ProcessId) {
        for tid in self.tids(pid) {
            self.remove_task(tid);
        }
        self.processes.remove(&pid);
        self.directory.put(pid, None);
        if self.shared.current().is_some_and(|current| current.process == pid) {
            self.shared.set_current(self.tasks.keys().next().map(|tid| self.id(*tid)));
        }
    }

    /// Adds a stopped thread.
    pub fn add_task(&mut self, tid: Tid, process: ProcessId) {
        self.tasks.entry(tid).or_insert_with(|| Task::new(process));
    }

    pub fn remove_task(&mut self, tid: Tid) {
        self.set_plan(tid, None);
        self.tasks.remove(&tid);
        if self.shared.current().is_some_and(|current| current.thread == tid as u64) {
            let process = self.shared.current().map(|current| current.process);
            let next = self.tasks.iter().find(|(_, task)| Some(task.process) == process);
            self.shared
                .set_current(next.map(|(tid, _)| *tid).or(self.tasks.keys().next().copied()).map(|tid| self.id(tid)));
        }
    }

    /// Gives a thread something to do, or nothing.
    pub fn set_plan(&mut self, tid: Tid, plan: Option<Plan>) {
        let free = self.is_free(tid);
        if let Some(task) = self.tasks.get_mut(&tid) {
            let count = if free { &mut self.planned_free } else { &mut self.planned };
            *count = *count + usize::from(plan.is_some()) - usize::from(task.plan.is_some());
            task.plan = plan;
        }
    }

    /// The registers of a stopped thread.
    pub fn registers(&mut self, tid: Tid) -> Result<General> {
        let task = self.tasks.get_mut(&tid).ok_or_else(|| gone(tid))?;
        match task.registers {
            Some(registers) => Ok(registers),
            None => {
                let registers = General::fetch(tid).map_err(|error| vanished(tid, &error))?;
                Ok(*task.registers.insert(registers))
            }
        }
    }

    /// Changes the registers of a stopped thread; they reach it when it goes on.
    pub fn set_registers(&mut self, tid: Tid, registers: General) {
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.dirty |= task.registers != Some(registers);
            task.registers = Some(registers);
        }
    }

    /// Writes what was changed.
    pub fn flush(&mut self, tid: Tid) -> Result<()> {
        let Some(task) = self.tasks.get_mut(&tid) else { return Err(gone(tid)) };
        if task.dirty
            && let Some(registers) = task.registers
        {
            registers.store(tid).map_err(|error| vanished(tid, &error))?;
            task.dirty = false;
        }
        Ok(())
    }

    /// The memory of a thread's process.
    pub fn memory_of(&self, tid: Tid) -> Result<Arc<Memory>> {
        let process = self.tasks.get(&tid).and_then(|task| self.processes.get(&task.process));
        process.map(|process| Arc::clone(&process.memory)).ok_or_else(|| gone(tid))
    }

    /// Reports a stop of a thread, after which the others are stopped, too, unless they need not be.
    pub fn report(&mut self, tid: Tid, reason: Reason) {
        let thread = self.id(tid);
        if self.settings.non_stop && !reason.is_end() {
            self.set_plan(tid, None);
        } else if !self.settings.non_stop {
            self.stop_all();
        }
        let pc = self.registers(tid).ok().map(|registers| registers.pc());
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.reason = Some(reason.clone());
            task.passed = pc;
        }
        self.tell(thread, reason, pc);
    }

    /// Queues a stop.
    pub fn tell(&mut self, thread: ThreadId, reason: Reason, pc: Option<u64>) {
        if !reason.is_end() {
            self.shared.set_current(Some(thread));
        }
        if !self.runs() {
            self.terminal.take_back();
            self.make_safe();
        }
        self.shared.bump();
        let task = self.tasks.get_mut(&(thread.thread as Tid));
        let (core, registers) = task.map_or((None, None), |task| (task.ran_on(thread), task.registers));
        self.shared.push(Stop { thread, reason, pc, core }, self.runs(), registers);
    }

    /// Everything rests: what was attached to is put into a state in which it would live on if we were killed now.
    /// Traps are out of its memory until it is resumed, registers are as they should be, and no thread is about to be
    /// given the signal of a trap.
    fn make_safe(&mut self) {
        let attached: Vec<ProcessId> =
            self.processes.iter().filter(|(_, process)| process.attached).map(|(pid, _)| *pid).collect();
        for pid in attached {
            if let Some(process) = self.processes.get(&pid) {
                process.memory.hide(true);
            }
            for tid in self.tids(pid) {
                let quiet = |task: &Task| task.trapped && !task.running && task.signal == 0 && task.deliver == 0;
                let whole = |task: &Task| !task.pending.iter().any(|one| matches!(one, Pending::Status(_)));
                if self.flush(tid).is_err() || !self.tasks.get(&tid).is_some_and(|task| quiet(task) && whole(task)) {
                    continue;
                }
                // From the stop with the signal into one without: it executes nothing in between.
                let registers = self.tasks.get(&tid).and_then(|task| task.registers);
                if sys::interrupt(tid).is_err() || sys::request(libc::PTRACE_CONT, tid, 0, 0).is_err() {
                    continue;
                }
                let Ok(waited) = sys::wait_for(tid) else { continue };
                if super::run::is_plain_stop(waited.status) {
                    if let Some(task) = self.tasks.get_mut(&tid) {
                        (task.trapped, task.injects, task.registers) = (false, false, registers);
                    }
                } else {
                    self.put_off(tid, waited.status);
                }
            }
        }
    }

    /// Traps are where they belong again: something is about to run.
    pub fn show_traps(&self) {
        self.processes.values().for_each(|process| process.memory.hide(false));
    }

    /// What is done with a signal.
    pub fn handling(&self, signal: i32) -> Handling {
        let known = usize::try_from(signal).ok().and_then(|signal| self.signals.get(signal));
        known.copied().unwrap_or(Handling { stop: true, print: true, pass: true })
    }

    /// Kills whoever the kernel sends a signal to, without looking.
    pub fn send(&self, pid: ProcessId, signal: i32) -> Result<()> {
        sys::signal_process(pid as i32, signal)
            .map_err(|error| Error::system(format!("cannot signal the process {pid}"), &error))
    }
}

/// Says that a thread is not there any more.
pub fn gone(tid: Tid) -> Error {
    Error::new(Kind::NotFound, format!("the thread {tid} is gone"))
}

/// A call on a thread failed: it was killed, or it is an error of the system.
pub fn vanished(tid: Tid, error: &std::io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::ESRCH) => gone(tid),
        _ => Error::system(format!("the thread {tid}"), error),
    }
}
