//! A target behind a stub of GDB's remote protocol: gdbserver, QEMU, valgrind, rr, lldb-server, probes, and another
//! remora. Nothing is required of a stub but `?`, `g` or `p`, `m`, and `c` and `s` or `vCont`.
//!
//! [`setup`] begins the conversation, [`run`] sets the target going and [`stop`] says what its stops mean; [`access`]
//! and [`memory`] look at it while it stands, [`points`] has the breakpoints, [`files`] what is read of the stub's
//! machine. All of that is [`line::Inner`], behind one lock that a wait only holds for moments.

mod access;
mod classic;
mod files;
mod identity;
mod inject;
mod leave;
mod line;
mod memory;
mod modules;
mod points;
mod registers;
mod run;
mod setup;
mod stop;
mod stub;

use std::path::PathBuf;
use std::sync::Arc;

use line::{Line, Locked};

use super::breakpoint::{Breakpoint, BreakpointId, Hit, Spec};
use super::launch::{Catch, Launch, Settings};
use super::registers::{Layout, Register};
use super::signals::Handling;
use super::{
    Abilities, Deliver, Handle, Map, Module, Process, ProcessId, Protection, Resume, Stop, Target, Thread, ThreadId,
};
use crate::error::{Error, Kind, Result};
use crate::link::Traffic;
use crate::link::gdb::Connection;
use crate::protocol::rsp::Request;
use crate::protocol::rsp::object::Object;
use crate::protocol::rsp::reply::Reply;
use crate::protocol::rsp::resume;

/// How far a conversation may reach into this machine.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Programs and libraries are read here when the very same file is here.
    pub local: bool,
    /// Where those are kept that were fetched from over there.
    pub kept: Option<PathBuf>,
}

/// A target behind a stub. Clones share the conversation.
#[derive(Clone)]
pub struct Gdb {
    line: Arc<Line>,
    /// The last one ends the conversation.
    _guard: Arc<leave::Guard>,
}

impl Gdb {
    /// Begins the conversation over `connection`; with `process`, that one is attached to.
    ///
    /// # Errors
    /// When nobody answers, or somebody who speaks another language.
    pub fn open(connection: Connection, reach: Reach, process: Option<ProcessId>) -> Result<Gdb> {
        let files = files::Files::new(reach.local, reach.kept);
        let line = Arc::new(Line::new(setup::begin(connection, files, process)?));
        let guard = Arc::new(leave::Guard(Arc::clone(&line)));
        Ok(Gdb { line, _guard: guard })
    }

    fn lock(&self) -> Locked<'_> {
        self.line.lock()
    }

    /// What has crossed the line.
    pub fn traffic(&self) -> Traffic {
        self.lock().connection.traffic()
    }

    /// Most bytes of a packet.
    pub fn packet_size(&self) -> usize {
        self.lock().stub.packet
    }

    /// Changes that, within reason.
    pub fn set_packet_size(&self, bytes: usize) -> Result<()> {
        if !(64..=512 * 1024).contains(&bytes) {
            return Err(Error::new(Kind::Usage, "packets have 64 to 524288 bytes"));
        }
        self.lock().stub.packet = bytes;
        Ok(())
    }

    /// What the stub said it can do.
    pub fn features(&self) -> Vec<String> {
        self.lock().stub.features()
    }

    /// Sends a packet as it is; the reply.
    pub fn raw(&self, payload: &[u8]) -> Result<Vec<u8>> {
        let mut inner = self.lock();
        inner.chosen = None;
        inner.forget();
        inner.ask_raw(payload.to_vec())
    }

    /// Has the stub's own interpreter run `line`; `say` gets the text as it comes.
    pub fn monitor(&self, line: &str, say: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.lock().monitor(line, say)
    }

    /// The file at `path` over there, whole.
    pub fn download(&self, path: &str, limit: usize) -> Result<Vec<u8>> {
        let mut inner = self.lock();
        let process = inner.current.map_or(0, |current| current.process);
        let bytes = inner.fetch_file(process, path, limit);
        inner.close_file();
        bytes
    }

    /// Puts a file there.
    pub fn upload(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.lock().upload(path, bytes)
    }

    /// Removes a file there.
    pub fn remove_file(&self, path: &str) -> Result<()> {
        self.lock().remove_file(path)
    }
}

impl Target for Gdb {
    fn kind(&self) -> &'static str {
        "gdb"
    }

    fn abilities(&self) -> Abilities {
        let inner = self.lock();
        let stub = &inner.stub;
        Abilities {
            runs: true,
            non_stop: false,
            reverse: stub.has("ReverseStep") || stub.has("ReverseContinue"),
            range_step: stub.actions.ranges,
            conditions: stub.has("ConditionalBreakpoints"),
            hardware: u32::MAX,
            read_watch: inner.current.is_none_or(|current| !inner.is_x86(current.process)),
            many_processes: stub.multiprocess,
            system_calls: inner.current.is_some_and(|current| inner.is_x86(current.process)),
        }
    }

    fn handle(&self) -> Arc<dyn Handle> {
        Arc::clone(&self.line) as Arc<dyn Handle>
    }

    fn generation(&self) -> u64 {
        self.line.generation()
    }

    fn processes(&mut self) -> Result<Vec<Process>> {
        let mut inner = self.lock();
        let known: Vec<(ProcessId, bool)> =
            inner.processes.iter().map(|(id, process)| (*id, process.attached == Some(true))).collect();
        let process = |(id, attached)| {
            let program = if inner.running { None } else { inner.program_path(id) };
            Process { id, parent: None, attached, program }
        };
        Ok(known.into_iter().map(process).collect())
    }

    fn threads(&mut self, process: Option<ProcessId>) -> Result<Vec<Thread>> {
        let mut inner = self.lock();
        if let Some(process) = process.filter(|process| !inner.processes.contains_key(process)) {
            return Err(line::no_process(process));
        }
        let threads = inner.threads()?;
        Ok(threads.into_iter().filter(|thread| process.is_none_or(|process| process == thread.id.process)).collect())
    }

    fn current(&self) -> Option<ThreadId> {
        self.lock().current
    }

    fn select(&mut self, thread: ThreadId) -> Result<()> {
        let mut inner = self.lock();
        if inner.current == Some(thread) {
            return Ok(());
        }
        if !inner.threads()?.iter().any(|known| known.id == thread) {
            return Err(line::no_thread(thread));
        }
        inner.current = Some(thread);
        inner.changes += 1;
        Ok(())
    }

    fn layout(&mut self, process: ProcessId) -> Result<Arc<Layout>> {
        Ok(Arc::clone(&self.lock().registers(process)?.layout))
    }

    fn read_set(&mut self, thread: ThreadId, set: usize) -> Result<Vec<u8>> {
        self.lock().read_set(thread, set)
    }

    fn write_set(&mut self, thread: ThreadId, set: usize, bytes: &[u8]) -> Result<()> {
        self.lock().write_set(thread, set, bytes)
    }

    fn write_register(&mut self, thread: ThreadId, register: &Register, bytes: &[u8]) -> Result<()> {
        let mut set = self.read_set(thread, register.set)?;
        let room = set
            .get_mut(register.range())
            .filter(|room| room.len() == bytes.len())
            .ok_or_else(|| Error::new(Kind::Usage, format!("{} does not hold {} bytes", register.name, bytes.len())))?;
        room.copy_from_slice(bytes);
        self.write_set(thread, register.set, &set)
    }

    fn signal_info(&mut self, thread: ThreadId) -> Result<Vec<u8>> {
        self.lock().signal_info(thread)
    }

    fn set_signal_info(&mut self, thread: ThreadId, bytes: &[u8]) -> Result<()> {
        let mut inner = self.lock();
        if !inner.stub.has("qXfer:siginfo:write") {
            return Err(super::cannot("change signals"));
        }
        if let Some(choose) = inner.choose(thread) {
            inner.ask_raw(choose)?;
        }
        let (object, annex) = ("siginfo".to_string(), String::new());
        let request = Request::Object(Object::Write { object, annex, offset: 0, bytes: bytes.to_vec() });
        match Reply::parse(&inner.ask(&request)?) {
            Reply::Error(..) => Err(Error::new(Kind::Permission, "the stub refuses to change the signal")),
            _ => Ok(()),
        }
    }

    fn read_memory(&mut self, process: ProcessId, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut inner = self.lock();
        inner.stopped()?;
        inner.read(process, address, buffer)
    }

    fn write_memory(&mut self, process: ProcessId, address: u64, data: &[u8]) -> Result<usize> {
        let mut inner = self.lock();
        inner.stopped()?;
        inner.write(process, address, data)
    }

    fn maps(&mut self, process: ProcessId) -> Result<Vec<Map>> {
        self.lock().maps(process)
    }

    fn allocate(&mut self, process: ProcessId, length: u64, protection: Protection) -> Result<u64> {
        self.lock().allocate(process, length, protection)
    }

    fn release(&mut self, process: ProcessId, address: u64, length: u64) -> Result<()> {
        self.lock().release(process, address, length)
    }

    fn protect(&mut self, process: ProcessId, address: u64, length: u64, protection: Protection) -> Result<()> {
        self.lock().protect(process, address, length, protection)
    }

    fn system_call(&mut self, thread: ThreadId, number: u64, arguments: [u64; 6]) -> Result<i64> {
        self.lock().system_call(thread, number, arguments)
    }

    fn auxv(&mut self, process: ProcessId) -> Result<Vec<u8>> {
        let mut inner = self.lock();
        inner.stopped()?;
        inner.auxv(process)
    }

    fn modules(&mut self, process: ProcessId) -> Result<Vec<Module>> {
        let mut inner = self.lock();
        if !inner.stub.has("qXfer:libraries-svr4:read") && inner.stub.has("qXfer:auxv:read") {
            drop(inner);
            return super::modules::list(self, process);
        }
        let mut modules = inner.modules(process)?;
        let maps = inner.maps(process)?;
        modules::complete(&mut modules, &maps);
        Ok(modules)
    }

    fn program(&mut self, process: ProcessId) -> Result<String> {
        let mut inner = self.lock();
        let path = inner.program_path(process);
        path.ok_or_else(|| super::cannot("name the program"))
    }

    fn program_bias(&mut self, process: ProcessId) -> Result<u64> {
        Ok(self.lock().program_bias(process).unwrap_or(0))
    }

    fn read_file(&mut self, process: ProcessId, path: &str, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut inner = self.lock();
        inner.stopped()?;
        inner.read_file(process, path, offset, buffer)
    }

    fn resume(&mut self, actions: &[Resume]) -> Result<()> {
        self.line.calm();
        self.lock().resume(actions)
    }

    fn take_stop(&mut self) -> Result<Option<Stop>> {
        Ok(self.lock().stops.pop_front())
    }

    fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.lock().console)
    }

    fn is_running(&self) -> bool {
        self.line.is_running()
    }

    fn settings(&self) -> Settings {
        self.lock().settings.clone()
    }

    fn set_settings(&mut self, settings: &Settings) -> Result<()> {
        let mut inner = self.lock();
        if settings.non_stop {
            return Err(super::cannot("stop threads one by one"));
        }
        if settings.report_threads != inner.settings.report_threads && inner.stub.has("QThreadEvents") {
            let request = crate::protocol::rsp::thread::Threads::Events(settings.report_threads);
            inner.ask(&Request::Threads(request))?;
        }
        inner.settings = settings.clone();
        Ok(())
    }

    fn catch_calls(&mut self, _process: Option<ProcessId>, calls: &Catch) -> Result<()> {
        let mut inner = self.lock();
        let list = match calls {
            Catch::Nothing if inner.catch == Catch::Nothing => return Ok(()),
            Catch::Nothing => None,
            Catch::All => Some(Vec::new()),
            Catch::Some(numbers) => Some(numbers.iter().filter_map(|number| u32::try_from(*number).ok()).collect()),
        };
        if !inner.stub.has("QCatchSyscalls") {
            return Err(super::cannot("catch system calls"));
        }
        let reply = inner.ask(&Request::Resume(resume::Resume::CatchSyscalls(list)))?;
        match Reply::parse(&reply) {
            Reply::Ok => {
                inner.catch = calls.clone();
                Ok(())
            }
            _ => Err(super::cannot("catch system calls")),
        }
    }

    fn signals(&self) -> Vec<Handling> {
        self.lock().handling.clone()
    }

    fn set_signal(&mut self, number: i32, handling: Handling) -> Result<()> {
        let mut inner = self.lock();
        let place = usize::try_from(number).ok().filter(|at| *at > 0).and_then(|at| inner.handling.get_mut(at));
        *place.ok_or_else(|| Error::new(Kind::NotFound, format!("no signal has the number {number}")))? = handling;
        Ok(())
    }

    fn insert(&mut self, spec: &Spec) -> Result<BreakpointId> {
        self.lock().insert_point(spec)
    }

    fn change(&mut self, id: BreakpointId, spec: &Spec) -> Result<()> {
        self.lock().change_point(id, spec)
    }

    fn remove(&mut self, id: BreakpointId) -> Result<()> {
        self.lock().remove_point(id)
    }

    fn breakpoints(&mut self) -> Result<Vec<Breakpoint>> {
        Ok(self.lock().points())
    }

    fn take_log(&mut self, limit: usize) -> Result<Vec<Hit>> {
        Ok(self.lock().take_log(limit))
    }

    fn launch(&mut self, launch: &Launch) -> Result<ThreadId> {
        self.lock().launch(launch)
    }

    fn attach(&mut self, process: ProcessId) -> Result<ThreadId> {
        self.lock().attach(process)
    }

    fn detach(&mut self, process: ProcessId, deliver: Deliver) -> Result<()> {
        self.lock().detach(process, deliver)
    }

    fn kill(&mut self, process: ProcessId) -> Result<()> {
        self.lock().kill(process)
    }
}
