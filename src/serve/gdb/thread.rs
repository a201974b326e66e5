//! Requests about threads.

use super::PACKET;
use super::conversation::{Answer, Conversation, ok};
use crate::debug::{Reason, State, Stop as DebugStop, ThreadId};
use crate::error::{Error, Kind, Result};
use crate::protocol::rsp::stop::Stop;
use crate::protocol::rsp::thread::{Purpose, Threads};
use crate::protocol::rsp::wire::{push, push_hex};
use crate::protocol::rsp::{Id, Thread};

impl Conversation<'_> {
    pub(super) fn threads(&mut self, request: Threads, out: &mut Vec<u8>) -> Result<Answer> {
        match request {
            Threads::WhyStopped => return self.why_stopped(out),
            Threads::Current => {
                let thread = self.thread()?;
                push(out, "QC");
                self.push_name(thread, out);
            }
            Threads::First => {
                let mut threads = self.stub.with(|target| target.threads(None))?;
                threads.reverse();
                self.listing = threads.into_iter().map(|thread| thread.id).collect();
                self.list(out);
            }
            Threads::More => self.list(out),
            Threads::IsAlive(name) => {
                let many = Conversation::is_many(name);
                let thread = self.find(name)?;
                if many || self.stub.with(|target| target.threads(Some(thread.process)))?.iter().any(|t| t.id == thread)
                {
                    return ok(out);
                }
                return Err(Error::new(Kind::NotFound, "there is no such thread"));
            }
            Threads::Select(purpose, name) => return self.select(purpose, name, out),
            Threads::Describe(name) => {
                let thread = self.find(name)?;
                let threads = self.stub.with(|target| target.threads(Some(thread.process)))?;
                let known = threads.into_iter().find(|known| known.id == thread);
                let text = known.and_then(|known| known.name).unwrap_or_else(|| thread.to_string());
                push_hex(out, text.as_bytes());
            }
            Threads::StopInfo(id) => {
                let thread = self.find(Thread { process: None, thread: Id::One(id) })?;
                self.stop_of(thread)?.print(out);
            }
            Threads::StopInfos => self.stop_infos(out)?,
            Threads::IsAttached(process) => {
                let processes = self.stub.with(|target| target.processes())?;
                let process = match process {
                    Some(process) => processes.iter().find(|known| u64::from(known.id) == process),
                    None => {
                        let thread = self.thread()?;
                        processes.iter().find(|known| known.id == thread.process)
                    }
                };
                let process = process.ok_or_else(|| Error::new(Kind::NotFound, "there is no such process"))?;
                // What a session has open is not for a debugger to kill when it leaves.
                push(out, if process.attached || !self.stub.is_own() { "1" } else { "0" });
            }
            Threads::Events(on) => {
                self.stub.with(|target| {
                    let mut settings = target.settings();
                    settings.report_threads = on;
                    target.set_settings(&settings)
                })?;
                return ok(out);
            }
            Threads::LocalStorage { thread, offset, module } => {
                let thread = self.find(thread)?;
                let address = self.local_storage(thread, offset, module)?;
                crate::protocol::rsp::wire::push_number(out, address);
            }
        }
        Ok(Answer::Reply)
    }

    /// Appends as many threads of the list as fit.
    fn list(&mut self, out: &mut Vec<u8>) {
        if self.listing.is_empty() {
            out.push(b'l');
            return;
        }
        out.push(b'm');
        while out.len() < PACKET - 64
            && let Some(thread) = self.listing.pop()
        {
            if out.len() > 1 {
                out.push(b',');
            }
            self.push_name(thread, out);
        }
    }

    fn select(&mut self, purpose: Purpose, name: Thread, out: &mut Vec<u8>) -> Result<Answer> {
        match purpose {
            Purpose::Resume => {
                self.resumed = Some(name);
                ok(out)
            }
            Purpose::Examine => {
                match self.find(name) {
                    Ok(thread) => {
                        // Any one: the current one stays it.
                        self.general = Some(thread);
                        let _ = self.stub.with(|target| target.select(thread));
                    }
                    // Before there is a process, nothing is wrong with any thread.
                    Err(_) if name.thread == Id::Any && self.stub.with(|target| target.processes())?.is_empty() => {}
                    Err(error) => return Err(error),
                }
                ok(out)
            }
        }
    }

    fn why_stopped(&mut self, out: &mut Vec<u8>) -> Result<Answer> {
        if self.client.non_stop {
            return self.stopped_threads(out);
        }
        if self.stub.with(|target| Ok(target.is_running()))? {
            // Connecting stops nothing: the answer comes with the next stop, and who wants it now interrupts.
            return Ok(Answer::Running);
        }
        self.standing()?.print(out);
        Ok(Answer::Reply)
    }

    /// Why the current thread stands, or how the last process ended.
    pub(super) fn standing(&mut self) -> Result<Stop> {
        let none = self.stub.with(|target| target.threads(None))?.is_empty();
        if none {
            return Ok(self.stub.last().unwrap_or(Stop::Exited { code: 0, process: None }));
        }
        let thread = self.stub.with(|target| Ok(target.current()))?.map_or_else(|| self.thread(), Ok)?;
        self.general = Some(thread);
        self.stop_of(thread)
    }

    /// Why `thread` stands.
    pub(super) fn stop_of(&mut self, thread: ThreadId) -> Result<Stop> {
        let threads = self.stub.with(|target| target.threads(Some(thread.process)))?;
        let known = threads.into_iter().find(|known| known.id == thread);
        let known = known.ok_or_else(|| Error::new(Kind::NotFound, "there is no such thread"))?;
        let reason = match known.state {
            State::Running => return Err(Error::new(Kind::Usage, "the thread runs")),
            State::Stopped(reason) => reason,
        };
        let reason = reason.unwrap_or(Reason::Signal { number: 0, code: 0, sender: None, address: None });
        let stop = DebugStop { thread, reason, pc: None, core: known.core };
        match self.stop_reply(&stop)? {
            Some(stop) => Ok(stop),
            // It stands for a reason that this client has not asked to hear of.
            None => Ok(self.plain_stop(thread, 0, known.core)?),
        }
    }

    /// In non-stop mode: the first thread that stands, and the others behind it.
    fn stopped_threads(&mut self, out: &mut Vec<u8>) -> Result<Answer> {
        let threads = self.stub.with(|target| target.threads(None))?;
        let stopped = threads.iter().filter(|thread| matches!(thread.state, State::Stopped(_)));
        let ids: Vec<ThreadId> = stopped.map(|thread| thread.id).collect();
        self.pending.clear();
        for id in ids {
            let mut reply = Vec::new();
            self.stop_of(id)?.print(&mut reply);
            self.pending.push_back(reply);
        }
        match self.pending.front() {
            Some(first) => {
                out.extend_from_slice(first);
                Ok(Answer::Reply)
            }
            None => ok(out),
        }
    }
}
