//! What a server serves: a target of its own, or the one that a session has open. It outlives connections.

use std::fmt;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::debug::{Launch, ProcessId, Target};
use crate::error::{Error, Kind, Result};
use crate::output::visible;
use crate::protocol::rsp::stop::Stop;
use crate::session::Core;

/// Where the target lives.
enum Source {
    /// Here, for the server alone.
    Own(Mutex<Box<dyn Target>>),
    /// In the device with this descriptor of a session, which goes on using it.
    Shared(Arc<Mutex<Core>>, u32),
}

/// How a server behaves.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// It outlives its processes, and starts new ones on request.
    pub multi: bool,
    /// It ends with the first connection.
    pub once: bool,
    /// How programs are started, if the client does not say otherwise.
    pub launch: Option<Launch>,
    /// Packets are logged there.
    pub log: Option<Log>,
    /// Features that are not offered.
    pub disabled: Vec<String>,
    /// It says on standard error what happens, in gdbserver's words.
    pub narrates: bool,
}

/// Where packets are logged.
#[derive(Debug, Clone)]
pub enum Log {
    /// To standard error.
    Errors,
    /// To the session that started the server.
    Events(Sender<String>),
}

/// A target with what is known about it between connections.
pub struct Stub {
    source: Source,
    /// How the server behaves.
    pub manner: Manner,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Somebody is connected.
    taken: bool,
    /// The server has nothing more to do.
    ended: bool,
    /// How the last process ended.
    last: Option<Stop>,
}

impl fmt::Debug for Stub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stub").field("manner", &self.manner).finish_non_exhaustive()
    }
}

impl Stub {
    /// A stub around a target of its own.
    pub fn own(target: Box<dyn Target>, manner: Manner) -> Stub {
        Stub::new(Source::Own(Mutex::new(target)), manner)
    }

    /// A stub around the target of a session's device.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when nothing is open there, or nothing that can be debugged.
    pub fn shared(core: Arc<Mutex<Core>>, manner: Manner) -> Result<Stub> {
        let descriptor = {
            let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
            let nothing = || {
                Error::new(Kind::NotFound, "nothing that can be debugged is open")
                    .hint("open a process, or name a program behind the port")
            };
            let descriptor = core.io.current().ok_or_else(nothing)?;
            core.io.descriptor_mut(descriptor)?.device().target().ok_or_else(nothing)?;
            descriptor
        };
        Ok(Stub::new(Source::Shared(core, descriptor), manner))
    }

    fn new(source: Source, manner: Manner) -> Stub {
        Stub { source, manner, state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works with the target. Nothing that waits may happen inside.
    pub fn with<T>(&self, work: impl FnOnce(&mut dyn Target) -> Result<T>) -> Result<T> {
        match &self.source {
            Source::Own(target) => work(&mut **target.lock().unwrap_or_else(PoisonError::into_inner)),
            Source::Shared(core, descriptor) => {
                let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
                let gone = || Error::new(Kind::Closed, "the session has closed its target");
                let device = core.io.descriptor_mut(*descriptor).map_err(|_| gone())?.device();
                work(device.target().ok_or_else(gone)?)
            }
        }
    }

    /// Whether the target is the server's own.
    pub fn is_own(&self) -> bool {
        matches!(self.source, Source::Own(_))
    }

    /// Starts the program of [`Manner::launch`]; its process.
    pub fn start(&self) -> Result<Option<ProcessId>> {
        let Some(launch) = &self.manner.launch else { return Ok(None) };
        self.with(|target| target.launch(launch)).map(|thread| Some(thread.process))
    }

    /// Waits until nobody else is connected; `false` when that takes longer than `patience`.
    pub(super) fn take(&self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let mut state = self.state();
        while state.taken {
            let Some(left) = end.checked_duration_since(Instant::now()) else { return false };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.taken = true;
        true
    }

    /// Lets the next one connect.
    pub(super) fn give_back(&self) {
        self.state().taken = false;
        self.changed.notify_all();
    }

    /// Says that the server has nothing more to do.
    pub fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    /// Whether it has nothing more to do, looked at after at most `wait`.
    pub fn has_ended(&self, wait: Duration) -> bool {
        let state = self.state();
        if state.ended {
            return true;
        }
        self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// How the last process ended, for `?`.
    pub(super) fn last(&self) -> Option<Stop> {
        self.state().last.clone()
    }

    /// Remembers how a process ended.
    pub(super) fn remember(&self, end: Option<Stop>) {
        self.state().last = end;
    }

    /// Says what happens, where whoever starts gdbserver looks for it.
    pub(super) fn narrate(&self, text: &str) {
        if self.manner.narrates {
            eprintln!("{}", text.split('\n').map(|line| visible(line).into_owned()).collect::<Vec<_>>().join("\n"));
        }
    }

    /// Logs a packet.
    pub(super) fn log(&self, direction: &str, payload: &[u8]) {
        let Some(log) = &self.manner.log else { return };
        let shown: String =
            payload.iter().take(200).map(|byte| std::ascii::escape_default(*byte).to_string()).collect();
        let more = if payload.len() > 200 { format!(" ... ({} bytes)", payload.len()) } else { String::new() };
        let line = format!("{direction} {shown}{more}");
        match log {
            Log::Errors => eprintln!("{}", visible(&line)),
            // Nobody listens any more when the server is being stopped.
            Log::Events(sender) => drop(sender.send(line)),
        }
    }
}
