//! The backend for processes of this machine: Linux's ptrace.
//!
//! [`tracer`] is the thread that the kernel lets do it, [`state`] what that thread knows. [`wait`] has what follows
//! from an event, [`run`] how threads are set going and stopped, [`points`] the breakpoints. All that depends on the
//! processor is in [`x86`].

mod guard;
mod inject;
mod memory;
mod points;
pub mod proc;
mod run;
mod running;
mod spawn;
mod start;
mod state;
mod sys;
mod terminal;
mod tracer;
mod wait;
mod x86;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

pub use running::Running;
use state::{Directory, State, no_process};
use sys::{SIGNAL_INFO, Tid};
use tracer::{Shared, Tracer};

use super::breakpoint::{Breakpoint, BreakpointId, Hit, Spec};
use super::launch::{Catch, Launch, Settings};
use super::registers::Layout;
use super::signals::Handling;
use super::{
    Abilities, Deliver, Descriptor, Handle, Map, Module, Process, ProcessId, Protection, Resume, State as ThreadState,
    Stop, Target, Thread, ThreadId,
};
use crate::error::{Error, Kind, Result};

/// Processes of this machine under control.
pub struct Ptrace {
    shared: Arc<Shared>,
    directory: Arc<Directory>,
    tracer: Tracer,
}

impl Ptrace {
    /// Controls nothing yet.
    pub fn new() -> Result<Ptrace> {
        let (shared, directory) = (Arc::<Shared>::default(), Arc::<Directory>::default());
        let state = State::new(Arc::clone(&shared), Arc::clone(&directory));
        let tracer = Tracer::start(Arc::clone(&shared), state)?;
        Ok(Ptrace { shared, directory, tracer })
    }

    /// Starts a program; it is stopped at its first instruction.
    pub fn start(launch: &Launch) -> Result<Ptrace> {
        let mut target = Ptrace::new()?;
        target.launch(launch)?;
        Ok(target)
    }

    /// Attaches to a process; it is stopped then.
    pub fn of(process: ProcessId) -> Result<Ptrace> {
        let mut target = Ptrace::new()?;
        target.attach(process)?;
        Ok(target)
    }

    fn call<R: Send + 'static>(&self, work: impl FnOnce(&mut State) -> Result<R> + Send + 'static) -> Result<R> {
        self.tracer.call(work)?
    }
}

impl Target for Ptrace {
    fn kind(&self) -> &'static str {
        "ptrace"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            runs: true,
            non_stop: true,
            reverse: false,
            range_step: true,
            conditions: true,
            hardware: x86::HARDWARE,
            read_watch: false,
            many_processes: true,
            system_calls: true,
        }
    }

    fn handle(&self) -> Arc<dyn Handle> {
        Arc::<Shared>::clone(&self.shared)
    }

    fn generation(&self) -> u64 {
        self.shared.generation()
    }

    fn processes(&mut self) -> Result<Vec<Process>> {
        let known = self.tracer.call(|state| {
            let shown = state.processes.iter().filter(|(_, process)| process.free.is_none());
            shown.map(|(pid, process)| (*pid, process.attached)).collect::<Vec<_>>()
        })?;
        let process =
            |(id, attached)| Process { id, parent: proc::parent(id), attached, program: proc::program(id).ok() };
        Ok(known.into_iter().map(process).collect())
    }

    fn threads(&mut self, process: Option<ProcessId>) -> Result<Vec<Thread>> {
        let known = self.call(move |state| {
            if let Some(process) = process
                && state.processes.get(&process).is_none_or(|process| process.free.is_some())
            {
                return Err(no_process(process));
            }
            let shown = state
                .tasks
                .iter()
                .filter(|(tid, task)| process.is_none_or(|process| process == task.process) && !state.is_free(**tid));
            Ok(shown
                .map(|(tid, task)| {
                    let runs = task.running || task.plan.is_some();
                    let what = if runs { ThreadState::Running } else { ThreadState::Stopped(task.reason.clone()) };
                    (state.id(*tid), what)
                })
                .collect::<Vec<_>>())
        })?;
        let thread = |(id, state)| Thread { id, name: proc::name(id), state, core: proc::core(id) };
        Ok(known.into_iter().map(thread).collect())
    }

    fn current(&self) -> Option<ThreadId> {
        self.shared.current()
    }

    fn select(&mut self, thread: ThreadId) -> Result<()> {
        self.call(move |state| {
            state.tid(thread)?;
            state.shared.set_current(Some(thread));
            state.shared.bump();
            Ok(())
        })
    }

    fn layout(&mut self, process: ProcessId) -> Result<Arc<Layout>> {
        self.call(move |state| {
            let process = state.processes.get(&process).ok_or_else(|| no_process(process))?;
            Ok(x86::layout::of(process.width))
        })
    }

    fn read_set(&mut self, thread: ThreadId, set: usize) -> Result<Vec<u8>> {
        if set == x86::layout::GENERAL
            && let Some(registers) = self.shared.registers(thread)
        {
            return Ok(registers.bytes());
        }
        self.call(move |state| {
            let tid = state.stopped(thread)?;
            match set {
                x86::layout::GENERAL => state.registers(tid).map(|registers| registers.bytes()),
                x86::layout::VECTOR => state.vector(tid),
                x86::layout::DEBUG => x86::debug_bytes(tid).map_err(|error| state::vanished(tid, &error)),
                _ => Err(no_set(set)),
            }
        })
    }

    fn write_set(&mut self, thread: ThreadId, set: usize, bytes: &[u8]) -> Result<()> {
        let bytes = bytes.to_vec();
        self.call(move |state| {
            let tid = state.stopped(thread)?;
            match set {
                x86::layout::GENERAL => {
                    let wrong = || Error::new(Kind::Usage, "the set of general registers has another size");
                    let registers = state.registers(tid)?.changed(&bytes).ok_or_else(wrong)?;
                    state.set_registers(tid, registers);
                    // What the kernel refuses (a segment that is none) has to be said now.
                    state.flush(tid)?;
                    if let Some(task) = state.tasks.get_mut(&tid) {
                        task.registers = None;
                    }
                }
                x86::layout::VECTOR => state.set_vector(tid, bytes)?,
                x86::layout::DEBUG => {
                    return Err(Error::new(Kind::Unsupported, "the debug registers belong to the debugger")
                        .hint("use hardware breakpoints and watchpoints: dbH, dbw"));
                }
                _ => return Err(no_set(set)),
            }
            state.shared.bump();
            Ok(())
        })
    }

    fn signal_info(&mut self, thread: ThreadId) -> Result<Vec<u8>> {
        self.call(move |state| {
            let tid = state.stopped(thread)?;
            let info = sys::signal_info(tid)
                .map_err(|_| Error::new(Kind::NotFound, format!("the thread {thread} did not stop by a signal")))?;
            Ok(info.to_vec())
        })
    }

    fn set_signal_info(&mut self, thread: ThreadId, bytes: &[u8]) -> Result<()> {
        let mut info = [0; SIGNAL_INFO];
        let room = info.get_mut(..bytes.len());
        room.ok_or_else(|| Error::new(Kind::Usage, "signal information has 128 bytes"))?.copy_from_slice(bytes);
        self.call(move |state| {
            let tid = state.stopped(thread)?;
            sys::set_signal_info(tid, &info).map_err(|error| state::vanished(tid, &error))
        })
    }

    fn read_memory(&mut self, process: ProcessId, address: u64, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.directory.find(process)?.read(address, buffer))
    }

    fn write_memory(&mut self, process: ProcessId, address: u64, data: &[u8]) -> Result<usize> {
        let memory = self.directory.find(process)?;
        let written = match memory.write(address, data) {
            Ok(count) => count,
            // Only the tracer can, where the kernel keeps others from overriding protections.
            Err(_) => {
                let data = data.to_vec();
                self.tracer.call(move |_| memory.write(address, &data).unwrap_or(0))?
            }
        };
        self.shared.bump();
        Ok(written)
    }

    fn maps(&mut self, process: ProcessId) -> Result<Vec<Map>> {
        self.directory.find(process)?;
        proc::maps(process)
    }

    fn allocate(&mut self, process: ProcessId, length: u64, protection: Protection) -> Result<u64> {
        self.call(move |state| state.allocate(process, length, protection))
    }

    fn release(&mut self, process: ProcessId, address: u64, length: u64) -> Result<()> {
        self.call(move |state| state.release(process, address, length))
    }

    fn protect(&mut self, process: ProcessId, address: u64, length: u64, protection: Protection) -> Result<()> {
        self.call(move |state| state.protect(process, address, length, protection))
    }

    fn system_call(&mut self, thread: ThreadId, number: u64, arguments: [u64; 6]) -> Result<i64> {
        self.call(move |state| state.system_call(thread, number, arguments))
    }

    fn auxv(&mut self, process: ProcessId) -> Result<Vec<u8>> {
        self.directory.find(process)?;
        proc::auxv(process)
    }

    fn modules(&mut self, process: ProcessId) -> Result<Vec<Module>> {
        super::modules::list(self, process)
    }

    fn program(&mut self, process: ProcessId) -> Result<String> {
        self.directory.find(process)?;
        proc::program(process)
    }

    fn descriptors(&mut self, process: ProcessId) -> Result<Vec<Descriptor>> {
        self.directory.find(process)?;
        proc::descriptors(process)
    }

    fn read_file(&mut self, process: ProcessId, path: &str, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.directory.find(process)?;
        let shown = crate::output::visible(path).into_owned();
        let seen = format!("/proc/{process}/root/{}", path.trim_start_matches('/'));
        let file = File::open(seen).map_err(|error| Error::system(format!("cannot open '{shown}'"), &error))?;
        file.read_at(buffer, offset).map_err(|error| Error::system(format!("cannot read '{shown}'"), &error))
    }

    fn resume(&mut self, actions: &[Resume]) -> Result<()> {
        let actions = actions.to_vec();
        self.call(move |state| {
            state.resume(&actions)?;
            state.hurry();
            Ok(())
        })
    }

    fn take_stop(&mut self) -> Result<Option<Stop>> {
        Ok(self.shared.take())
    }

    fn is_running(&self) -> bool {
        self.shared.is_running()
    }

    fn settings(&self) -> Settings {
        self.tracer.call(|state| state.settings.clone()).unwrap_or_default()
    }

    fn set_settings(&mut self, settings: &Settings) -> Result<()> {
        let settings = settings.clone();
        self.tracer.call(move |state| state.settings = settings)
    }

    fn catch_calls(&mut self, process: Option<ProcessId>, calls: &Catch) -> Result<()> {
        let calls = calls.clone();
        self.call(move |state| {
            if let Some(process) = process
                && !state.processes.contains_key(&process)
            {
                return Err(no_process(process));
            }
            for (_, known) in state.processes.iter_mut().filter(|(pid, _)| process.is_none_or(|one| one == **pid)) {
                known.catch = calls.clone();
            }
            // What runs is told by the way it is set going.
            let running = state.pause_running(None);
            state.start_again(running);
            Ok(())
        })
    }

    fn signals(&self) -> Vec<Handling> {
        self.tracer.call(|state| state.signals.clone()).unwrap_or_default()
    }

    fn set_signal(&mut self, number: i32, handling: Handling) -> Result<()> {
        self.call(move |state| {
            let place = usize::try_from(number).ok().filter(|number| *number > 0);
            let place = place.and_then(|number| state.signals.get_mut(number));
            *place.ok_or_else(|| Error::new(Kind::Usage, format!("no signal has the number {number}")))? = handling;
            Ok(())
        })
    }

    fn insert(&mut self, spec: &Spec) -> Result<BreakpointId> {
        let spec = spec.clone();
        self.call(move |state| state.insert(spec))
    }

    fn change(&mut self, id: BreakpointId, spec: &Spec) -> Result<()> {
        let spec = spec.clone();
        self.call(move |state| state.change(id, spec))
    }

    fn remove(&mut self, id: BreakpointId) -> Result<()> {
        self.call(move |state| state.remove(id))
    }

    fn breakpoints(&mut self) -> Result<Vec<Breakpoint>> {
        self.tracer.call(|state| state.breakpoints())
    }

    fn take_log(&mut self, limit: usize) -> Result<Vec<Hit>> {
        self.tracer.call(move |state| {
            let count = limit.min(state.points.log.len());
            state.points.log.drain(..count).collect()
        })
    }

    fn launch(&mut self, launch: &Launch) -> Result<ThreadId> {
        let launch = launch.clone();
        self.call(move |state| state.launch(&launch))
    }

    fn attach(&mut self, process: ProcessId) -> Result<ThreadId> {
        self.call(move |state| state.attach(process))
    }

    fn detach(&mut self, process: ProcessId, deliver: Deliver) -> Result<()> {
        self.call(move |state| state.detach(process, deliver))
    }

    fn kill(&mut self, process: ProcessId) -> Result<()> {
        self.call(move |state| state.kill(process))
    }
}

impl State {
    /// Set 1 of a stopped thread.
    fn vector(&mut self, tid: Tid) -> Result<Vec<u8>> {
        let task = self.tasks.get_mut(&tid).ok_or_else(|| state::gone(tid))?;
        if task.vector.is_none() {
            let area = x86::vector::fetch(tid).map_err(|error| state::vanished(tid, &error))?;
            let set = x86::vector::unpack(&area, x86::vector::Area::of_this_processor());
            task.vector = Some((area, set));
        }
        Ok(task.vector.as_ref().map(|(_, set)| set.clone()).unwrap_or_default())
    }

    /// Changes it. The kernel checks the values, so it is given them now.
    fn set_vector(&mut self, tid: Tid, new: Vec<u8>) -> Result<()> {
        let old = self.vector(tid)?;
        if new.len() != old.len() {
            return Err(Error::new(Kind::Usage, "the set of vector registers has another size"));
        }
        let task = self.tasks.get_mut(&tid).ok_or_else(|| state::gone(tid))?;
        if let Some((area, _)) = &mut task.vector {
            let mut changed = area.clone();
            x86::vector::pack(&mut changed, &old, &new, x86::vector::Area::of_this_processor());
            task.vector = None;
            x86::vector::store(tid, &mut changed)
                .map_err(|error| Error::system("the processor does not accept that state", &error))?;
        }
        Ok(())
    }
}

fn no_set(set: usize) -> Error {
    Error::new(Kind::NotFound, format!("no register set {set}"))
}
