//! The side where the user is: a target that asks over a channel and keeps the answers as long as they hold.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::super::breakpoint::{Breakpoint, BreakpointId, Hit, Spec};
use super::super::launch::{Catch, Launch, Lost, Settings};
use super::super::registers::Layout;
use super::super::signals::Handling;
use super::super::{
    Abilities, Deliver, Descriptor, FileReader, Handle, Map, Module, Process, ProcessId, Protection, Reason, Resume,
    Stop, Target, Thread, ThreadId, signals,
};
use super::{Call, Channel, Entered, PAGE, PIECE, State, Stopped, decode, encode};
use crate::error::{Error, Kind, Result};
use crate::output::Cancel;

/// How long one message waits over there, so that others get a turn on the line.
const TURN: Duration = Duration::from_millis(500);

/// How often whoever waits looks for a turn.
const LOOK: Duration = Duration::from_millis(5);

/// Answers that are kept: what a session asks between two stops.
const KEPT: usize = 4096;

/// A target over there.
pub struct Remote {
    line: Arc<Line>,
}

/// What the target and its handles share.
struct Line {
    inner: Mutex<Inner>,
    interrupt: AtomicBool,
    running: AtomicBool,
    generation: AtomicU64,
}

struct Inner {
    channel: Box<dyn Channel>,
    state: State,
    /// Answers that hold until something changes, by their calls.
    known: HashMap<Vec<u8>, Vec<u8>>,
    layouts: HashMap<ProcessId, Arc<Layout>>,
    stops: VecDeque<Stop>,
    /// What is to be set going with the next wait.
    actions: Vec<Resume>,
}

impl Inner {
    /// Asks; answers that are known are not asked for again.
    fn ask<T: for<'a> Deserialize<'a>>(&mut self, call: &Call) -> Result<T> {
        let key = encode(call)?;
        if !call.is_question() {
            self.forget();
            return decode(&self.send(call, &key, None)?);
        }
        if let Some(answer) = self.known.get(&key) {
            return decode(answer);
        }
        let answer = self.send(call, &key, None)?;
        let value = decode(&answer)?;
        if self.known.len() < KEPT && !self.state.running {
            self.known.insert(key, answer);
        }
        Ok(value)
    }

    /// Sends a message, over a new line if the old one was lost. Questions, and waiting, are taken up again there.
    fn send(&mut self, call: &Call, bytes: &[u8], cancel: Option<&Cancel>) -> Result<Vec<u8>> {
        if self.channel.restore(cancel).inspect_err(|error| self.lose(error))? {
            self.look_again()?;
        }
        let error = match self.channel.call(bytes, cancel) {
            Err(error) if is_broken(&error) && !cancel.is_some_and(Cancel::is_set) => error,
            outcome => return outcome,
        };
        if !self.channel.restore(cancel).inspect_err(|error| self.lose(error))? {
            return Err(error);
        }
        self.look_again()?;
        match call {
            Call::Run(_, milliseconds) => self.channel.call(&encode(&Call::Run(Vec::new(), *milliseconds))?, cancel),
            call if call.is_question() || matches!(call, Call::ReadFile(..)) => self.channel.call(bytes, cancel),
            _ => Err(Error::new(Kind::Closed, "the line to the process was lost in the middle of that")
                .hint("it stands again, and the process was kept; look whether it was done")),
        }
    }

    /// The line is another one: everything may have changed.
    fn look_again(&mut self) -> Result<()> {
        self.forget();
        self.state = decode(&self.channel.call(&encode(&Call::State)?, None)?)?;
        Ok(())
    }

    /// The target is gone for good when the other side says that it does not have it.
    fn lose(&mut self, error: &Error) {
        if error.kind() == Kind::NotFound {
            self.lost(error);
        }
    }

    /// A file is no part of what a stop changes, and nothing is known of it afterwards either.
    fn read_file(&mut self, process: ProcessId, path: &str, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let length = buffer.len().min(PIECE as usize) as u32;
        let call = Call::ReadFile(process, path.to_string(), offset, length);
        let bytes: Vec<u8> = decode(&self.send(&call, &encode(&call)?, None)?)?;
        Ok(within(&bytes, buffer))
    }

    fn forget(&mut self) {
        self.known.clear();
    }

    fn refresh(&mut self) -> Result<()> {
        self.state = self.ask(&Call::State)?;
        Ok(())
    }

    /// Waits over there for at most `time`.
    fn run(&mut self, time: Duration, cancel: &Cancel) -> Result<()> {
        let milliseconds = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let actions = std::mem::take(&mut self.actions);
        self.forget();
        let call = Call::Run(actions, milliseconds);
        let answer = self.send(&call, &encode(&call)?, Some(cancel));
        if answer.as_ref().is_err_and(is_broken) {
            // Nobody knows what it does now; the next use asks.
            self.state.running = false;
        }
        let answer = answer?;
        let stopped: Stopped = decode(&answer)?;
        self.state = stopped.state;
        self.stops.extend(stopped.stops);
        for (call, answer) in stopped.known.into_iter().take(KEPT) {
            if call.is_question() {
                self.known.insert(encode(&call)?, answer);
            }
        }
        Ok(())
    }

    /// The line is gone, and nobody knows what the target does.
    fn lost(&mut self, error: &Error) {
        if let Some(thread) = self.state.current.take() {
            let reason = Reason::Lost { message: error.message().to_string() };
            self.stops.push_back(Stop { thread, reason, pc: None, core: None });
        }
        self.state.running = false;
        self.forget();
    }
}

/// Whether the line, and not the target, is what failed.
fn is_broken(error: &Error) -> bool {
    matches!(error.kind(), Kind::Closed | Kind::Unreachable)
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets everybody see what has changed.
    fn publish(&self, inner: &Inner) {
        self.running.store(inner.state.running || !inner.actions.is_empty(), Ordering::Release);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

impl Handle for Line {
    fn interrupt(&self) -> Result<()> {
        // Whoever waits passes it on at the next turn.
        self.interrupt.store(true, Ordering::Release);
        Ok(())
    }

    fn wait(&self, deadline: Option<Instant>, cancel: &Cancel) -> Result<bool> {
        loop {
            {
                let mut inner = self.lock();
                if !inner.stops.is_empty() {
                    return Ok(true);
                }
                if !inner.state.running && inner.actions.is_empty() {
                    return Ok(false);
                }
                // What has not begun yet is let begin, or the interrupt would come before it.
                if inner.actions.is_empty() && self.interrupt.swap(false, Ordering::AcqRel) {
                    inner.ask::<()>(&Call::Interrupt)?;
                }
                let left = deadline.map_or(TURN, |deadline| deadline.saturating_duration_since(Instant::now()));
                let outcome = inner.run(left.min(TURN), cancel);
                self.publish(&inner);
                outcome?;
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

impl Remote {
    /// The target that `channel` leads to. `lost` is what becomes of it when the line is lost for longer than a moment;
    /// `None`: what is usual there. The number is how many seconds it was kept for whoever comes back, if it was.
    pub fn enter(channel: Box<dyn Channel>, lost: Option<Lost>) -> Result<(Remote, Option<u64>)> {
        let state = State {
            kind: String::new(),
            abilities: Abilities::default(),
            current: None,
            running: false,
            settings: Settings::default(),
            signals: signals::defaults(),
        };
        let mut inner = Inner {
            channel,
            state,
            known: HashMap::new(),
            layouts: HashMap::new(),
            stops: VecDeque::new(),
            actions: Vec::new(),
        };
        let entered: Entered = decode(&inner.channel.call(&encode(&Call::Enter(lost))?, None)?)?;
        inner.state = entered.state;
        if let Some(ticket) = &entered.ticket {
            inner.channel.hold(ticket);
        }
        let line = Line {
            running: AtomicBool::new(inner.state.running),
            inner: Mutex::new(inner),
            interrupt: AtomicBool::new(false),
            generation: AtomicU64::new(0),
        };
        Ok((Remote { line: Arc::new(line) }, entered.kept))
    }

    fn ask<T: for<'a> Deserialize<'a>>(&self, call: &Call) -> Result<T> {
        self.line.lock().ask(call)
    }

    /// Says goodbye: what was started over there ends now. What cannot be said ends as it would with a lost line.
    pub fn leave(&self) {
        let mut inner = self.line.lock();
        if let Ok(call) = encode(&Call::Leave) {
            let _ = inner.channel.call(&call, None);
        }
    }

    /// An order, after which the state may be another.
    fn order<T: for<'a> Deserialize<'a>>(&self, call: &Call) -> Result<T> {
        let mut inner = self.line.lock();
        let answer = inner.ask(call)?;
        inner.refresh()?;
        self.line.publish(&inner);
        Ok(answer)
    }

    /// An order that changes nothing of the state but what is read.
    fn change<T: for<'a> Deserialize<'a>>(&self, call: &Call) -> Result<T> {
        let mut inner = self.line.lock();
        let answer = inner.ask(call)?;
        self.line.publish(&inner);
        Ok(answer)
    }
}

/// A file of the machine over there.
struct RemoteFile {
    line: Arc<Line>,
    process: ProcessId,
    path: String,
}

impl FileReader for RemoteFile {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut inner = self.line.lock();
        let mut done = 0;
        while done < buffer.len() {
            let count =
                inner.read_file(self.process, &self.path, offset.saturating_add(done as u64), &mut buffer[done..])?;
            done += count;
            if count == 0 || done < buffer.len().min(PIECE as usize) {
                break;
            }
        }
        Ok(done)
    }
}

/// A set or a piece of memory has the length that was asked for, whatever the other side says.
fn within(bytes: &[u8], buffer: &mut [u8]) -> usize {
    let count = bytes.len().min(buffer.len());
    buffer[..count].copy_from_slice(&bytes[..count]);
    count
}

impl Target for Remote {
    fn kind(&self) -> &'static str {
        "rap"
    }

    fn abilities(&self) -> Abilities {
        self.line.lock().state.abilities
    }

    fn handle(&self) -> Arc<dyn Handle> {
        Arc::clone(&self.line) as Arc<dyn Handle>
    }

    fn generation(&self) -> u64 {
        self.line.generation.load(Ordering::Acquire)
    }

    fn processes(&mut self) -> Result<Vec<Process>> {
        self.ask(&Call::Processes)
    }

    fn threads(&mut self, process: Option<ProcessId>) -> Result<Vec<Thread>> {
        self.ask(&Call::Threads(process))
    }

    fn current(&self) -> Option<ThreadId> {
        self.line.lock().state.current
    }

    fn select(&mut self, thread: ThreadId) -> Result<()> {
        self.order(&Call::Select(thread))
    }

    fn layout(&mut self, process: ProcessId) -> Result<Arc<Layout>> {
        let mut inner = self.line.lock();
        let mut layout: Layout = inner.ask(&Call::Layout(process))?;
        layout.index();
        // The same one as long as it is the same: an exec may have changed it.
        match inner.layouts.get(&process) {
            Some(known) if known.registers == layout.registers && known.sets == layout.sets => Ok(Arc::clone(known)),
            _ => {
                let layout = Arc::new(layout);
                inner.layouts.insert(process, Arc::clone(&layout));
                Ok(layout)
            }
        }
    }

    fn read_set(&mut self, thread: ThreadId, set: usize) -> Result<Vec<u8>> {
        self.ask(&Call::ReadSet(thread, set as u32))
    }

    fn write_set(&mut self, thread: ThreadId, set: usize, bytes: &[u8]) -> Result<()> {
        Remote::change(self, &Call::WriteSet(thread, set as u32, bytes.to_vec()))
    }

    fn signal_info(&mut self, thread: ThreadId) -> Result<Vec<u8>> {
        self.ask(&Call::SignalInfo(thread))
    }

    fn set_signal_info(&mut self, thread: ThreadId, bytes: &[u8]) -> Result<()> {
        Remote::change(self, &Call::SetSignalInfo(thread, bytes.to_vec()))
    }

    fn read_memory(&mut self, process: ProcessId, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut inner = self.line.lock();
        let mut done = 0;
        while done < buffer.len() {
            let Some(here) = address.checked_add(done as u64) else { break };
            let wanted = buffer.len() - done;
            // Long reads go past the pages that are kept.
            let (start, length) = if wanted as u64 > 16 * PAGE {
                (here, wanted.min(PIECE as usize) as u32)
            } else {
                (here & !(PAGE - 1), PAGE as u32)
            };
            let bytes: Vec<u8> = inner.ask(&Call::ReadMemory(process, start, length))?;
            let Some(found) = bytes.get((here - start) as usize..).filter(|found| !found.is_empty()) else { break };
            done += within(found, &mut buffer[done..]);
            if bytes.len() < length as usize {
                break;
            }
        }
        Ok(done)
    }

    fn write_memory(&mut self, process: ProcessId, address: u64, data: &[u8]) -> Result<usize> {
        let mut done = 0;
        for piece in data.chunks(PIECE as usize) {
            let Some(here) = address.checked_add(done as u64) else { break };
            let count: u64 = Remote::change(self, &Call::WriteMemory(process, here, piece.to_vec()))?;
            let count = usize::try_from(count).unwrap_or(piece.len()).min(piece.len());
            done += count;
            if count < piece.len() {
                break;
            }
        }
        Ok(done)
    }

    fn maps(&mut self, process: ProcessId) -> Result<Vec<Map>> {
        self.ask(&Call::Maps(process))
    }

    fn allocate(&mut self, process: ProcessId, length: u64, protection: Protection) -> Result<u64> {
        Remote::change(self, &Call::Allocate(process, length, protection))
    }

    fn release(&mut self, process: ProcessId, address: u64, length: u64) -> Result<()> {
        Remote::change(self, &Call::Release(process, address, length))
    }

    fn protect(&mut self, process: ProcessId, address: u64, length: u64, protection: Protection) -> Result<()> {
        Remote::change(self, &Call::Protect(process, address, length, protection))
    }

    fn system_call(&mut self, thread: ThreadId, number: u64, arguments: [u64; 6]) -> Result<i64> {
        Remote::change(self, &Call::SystemCall(thread, number, arguments))
    }

    fn auxv(&mut self, process: ProcessId) -> Result<Vec<u8>> {
        self.ask(&Call::Auxv(process))
    }

    fn modules(&mut self, process: ProcessId) -> Result<Vec<Module>> {
        self.ask(&Call::Modules(process))
    }

    fn program(&mut self, process: ProcessId) -> Result<String> {
        self.ask(&Call::Program(process))
    }

    fn descriptors(&mut self, process: ProcessId) -> Result<Vec<Descriptor>> {
        self.ask(&Call::Descriptors(process))
    }

    fn open_file(&mut self, process: ProcessId, path: &str) -> Option<Box<dyn FileReader>> {
        Some(Box::new(RemoteFile { line: Arc::clone(&self.line), process, path: path.to_string() }))
    }

    fn read_file(&mut self, process: ProcessId, path: &str, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.line.lock().read_file(process, path, offset, buffer)
    }

    fn resume(&mut self, actions: &[Resume]) -> Result<()> {
        let mut inner = self.line.lock();
        if inner.state.running && !inner.state.settings.non_stop {
            return Err(Error::new(Kind::Timeout, "the process runs already").hint("Ctrl-C stops it"));
        }
        if actions.is_empty() || inner.state.current.is_none() {
            return Err(Error::new(Kind::NotFound, "no process is being debugged").hint("'doo' starts it again"));
        }
        // They travel with the wait that follows, so that a step costs one round trip.
        inner.actions.extend_from_slice(actions);
        self.line.interrupt.store(false, Ordering::Release);
        self.line.publish(&inner);
        Ok(())
    }

    fn take_stop(&mut self) -> Result<Option<Stop>> {
        Ok(self.line.lock().stops.pop_front())
    }

    fn is_running(&self) -> bool {
        self.line.running.load(Ordering::Acquire)
    }

    fn settings(&self) -> Settings {
        self.line.lock().state.settings.clone()
    }

    fn set_settings(&mut self, settings: &Settings) -> Result<()> {
        Remote::change::<()>(self, &Call::SetSettings(settings.clone()))?;
        self.line.lock().state.settings = settings.clone();
        Ok(())
    }

    fn catch_calls(&mut self, process: Option<ProcessId>, calls: &Catch) -> Result<()> {
        Remote::change(self, &Call::CatchCalls(process, calls.clone()))
    }

    fn signals(&self) -> Vec<Handling> {
        self.line.lock().state.signals.clone()
    }

    fn set_signal(&mut self, number: i32, handling: Handling) -> Result<()> {
        self.order(&Call::SetSignal(number, handling))
    }

    fn insert(&mut self, spec: &Spec) -> Result<BreakpointId> {
        Remote::change(self, &Call::Insert(spec.clone()))
    }

    fn change(&mut self, id: BreakpointId, spec: &Spec) -> Result<()> {
        Remote::change(self, &Call::Change(id, spec.clone()))
    }

    fn remove(&mut self, id: BreakpointId) -> Result<()> {
        Remote::change(self, &Call::Remove(id))
    }

    fn breakpoints(&mut self) -> Result<Vec<Breakpoint>> {
        self.ask(&Call::Breakpoints)
    }

    fn take_log(&mut self, limit: usize) -> Result<Vec<Hit>> {
        Remote::change(self, &Call::TakeLog(u32::try_from(limit).unwrap_or(u32::MAX)))
    }

    fn launch(&mut self, launch: &Launch) -> Result<ThreadId> {
        self.order(&Call::Launch(launch.clone()))
    }

    fn attach(&mut self, process: ProcessId) -> Result<ThreadId> {
        self.order(&Call::Attach(process))
    }

    fn detach(&mut self, process: ProcessId, deliver: Deliver) -> Result<()> {
        self.order(&Call::Detach(process, deliver))
    }

    fn kill(&mut self, process: ProcessId) -> Result<()> {
        let mut inner = self.line.lock();
        inner.ask::<()>(&Call::Kill(process))?;
        // The stop that says so is queued over there.
        let outcome = inner.run(Duration::ZERO, &Cancel::new());
        self.line.publish(&inner);
        outcome
    }
}
