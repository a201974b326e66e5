//! What the kernel reports of threads, and what follows from it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::points::evaluate;
use super::state::{Free, Pending, Plan, State};
use super::sys::{self, Call, Tid, Waited};
use super::x86;
use crate::debug::launch::Fork;
use crate::debug::{Deliver, ProcessId, Reason};

/// How long a thread is waited for before others may have a word.
const SOON: Duration = Duration::from_micros(60);

/// What a thread does after an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// It goes on as planned.
    Go,
    /// It stays, and the stop is reported.
    Report(Reason),
    /// It is gone, or runs already.
    Nothing,
}

/// `si_code`s of SIGTRAP on x86: of the trap instruction, of a step over a system call, of any other step, of the
/// debug registers, and of a step into a signal's handler (which stops as an event does).
const SI_KERNEL: i32 = 0x80;
const TRAP_BRKPT: i32 = 1;
const TRAP_TRACE: i32 = 2;
const TRAP_HWBKPT: i32 = 4;
const HANDLER: i32 = libc::SIGTRAP;

fn code_of(info: &[u8; sys::SIGNAL_INFO]) -> i32 {
    i32::from_ne_bytes([info[8], info[9], info[10], info[11]])
}

pub fn is_group_stop(signal: i32) -> bool {
    matches!(signal, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU)
}

impl State {
    /// Deals with the next thing that happens: an event that is waiting, a thread to set going, or whatever the
    /// kernel reports next. Comes back when there is a job, too.
    pub fn advance(&mut self) {
        if self.begin() {
            return;
        }
        match sys::wait(-1, 0) {
            Ok(Some(waited)) => self.see(waited),
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => self.lost_all(),
            _ => {}
        }
    }

    /// Deals with an event that is waiting, or sets going what is to go; `true`: there is something else to do now
    /// than to ask the kernel.
    fn begin(&mut self) -> bool {
        if let Some((tid, pending)) = self.next_pending() {
            self.turn = tid;
            let next = self.deal(tid, pending);
            self.follow(tid, next);
            return true;
        }
        while let Some(tid) = self.to_start.pop_front() {
            self.go(tid);
            if self.shared.is_wanted() || !self.is_busy() {
                return true;
            }
        }
        false
    }

    /// Most steps, and many runs to a breakpoint, end within microseconds. They are waited for that long, so that
    /// whoever has set them going is woken once and not twice.
    pub fn hurry(&mut self) {
        let end = Instant::now() + SOON;
        while self.is_busy() && !self.shared.is_wanted() && !self.shared.has_stops() {
            if self.begin() {
                continue;
            }
            match sys::wait(-1, libc::WNOHANG) {
                Ok(Some(waited)) => self.see(waited),
                Ok(None) if Instant::now() < end => std::thread::yield_now(),
                _ => return,
            }
        }
    }

    /// Looks whether something happened to threads that are all stopped: only death can.
    pub fn glance(&mut self) {
        while !self.tasks.is_empty() {
            match sys::wait(-1, libc::WNOHANG) {
                Ok(Some(waited)) => self.see(waited),
                _ => return,
            }
        }
    }

    /// The kernel knows of no thread of ours: somebody else collected them.
    fn lost_all(&mut self) {
        for pid in self.processes.keys().copied().collect::<Vec<_>>() {
            let shown = self.processes.get(&pid).is_some_and(|process| process.free.is_none());
            let thread = self.id(pid as Tid);
            self.remove_process(pid);
            if shown {
                self.tell(thread, Reason::Lost { message: "the process is gone".to_string() }, None);
            }
        }
        for tid in self.tasks.keys().copied().collect::<Vec<_>>() {
            self.remove_task(tid);
        }
    }

    /// A planned thread with an event, in turns.
    fn next_pending(&mut self) -> Option<(Tid, Pending)> {
        let ready = |(_, task): &(&Tid, &mut super::state::Task)| task.plan.is_some() && !task.pending.is_empty();
        let turn = self.turn;
        let tid = {
            let mut all = self.tasks.iter_mut().filter(ready).map(|(tid, _)| *tid);
            let first = all.next()?;
            if first > turn { first } else { all.find(|tid| *tid > turn).unwrap_or(first) }
        };
        let pending = self.tasks.get_mut(&tid)?.pending.pop_front()?;
        Some((tid, pending))
    }

    /// A status that came by itself.
    pub fn see(&mut self, waited: Waited) {
        if !self.tasks.contains_key(&waited.tid) {
            if libc::WIFSTOPPED(waited.status) {
                self.early.insert(waited.tid, waited.status);
            }
            return;
        }
        if self.tasks.get(&waited.tid).is_some_and(|task| task.plan.is_none()) {
            // It should be stopped, and now is: a vfork has ended, or the kernel held it until now.
            self.put_off(waited.tid, waited.status);
            return;
        }
        let next = self.handle(waited.tid, waited.status);
        self.follow(waited.tid, next);
    }

    /// Does what comes next.
    pub fn follow(&mut self, tid: Tid, next: Next) {
        match next {
            Next::Go => self.go(tid),
            Next::Report(reason) => self.report(tid, reason),
            Next::Nothing => {}
        }
    }

    /// Deals with something that was put off.
    pub fn deal(&mut self, tid: Tid, pending: Pending) -> Next {
        match pending {
            Pending::Status(status) => self.handle(tid, status),
            Pending::Hit(address) => {
                let there = self.registers(tid).is_ok_and(|registers| registers.pc() == address);
                match self.memory_of(tid) {
                    // It was moved away, or the breakpoint was: it never happened.
                    Ok(memory) if there && memory.is_trap(address) => match self.hit(tid, address) {
                        Some(reason) => Next::Report(reason),
                        None => Next::Go,
                    },
                    _ => Next::Go,
                }
            }
        }
    }

    /// Deals with a status.
    pub fn handle(&mut self, tid: Tid, status: i32) -> Next {
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            self.ended(tid, status);
            return Next::Nothing;
        }
        let Some(task) = self.tasks.get_mut(&tid) else { return Next::Nothing };
        (task.running, task.deaf) = (false, false);
        let signal = libc::WSTOPSIG(status);
        task.injects = status >> 16 == 0 && signal & 0x80 == 0;
        task.trapped = status >> 16 == 0 && signal == libc::SIGTRAP;
        match status >> 16 {
            0 if signal == libc::SIGTRAP | 0x80 => self.call(tid),
            0 if signal == libc::SIGTRAP => self.trap(tid),
            0 => self.signal(tid, signal),
            libc::PTRACE_EVENT_STOP => self.event_stop(tid, signal),
            event @ (libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE) => {
                self.born(tid, event)
            }
            libc::PTRACE_EVENT_EXEC => self.exec(tid),
            libc::PTRACE_EVENT_VFORK_DONE => self.vfork_done(tid),
            _ => Next::Go,
        }
    }

    fn event_stop(&mut self, tid: Tid, signal: i32) -> Next {
        let report = self.settings.report_threads;
        let Some(task) = self.tasks.get_mut(&tid) else { return Next::Nothing };
        task.group_stop = None;
        if is_group_stop(signal) && !task.past_stop {
            task.group_stop = Some(signal);
            // The process stops as it would without us, until somebody continues it or us.
            if task.plan.is_some() && sys::request(libc::PTRACE_LISTEN, tid, 0, 0).is_ok() {
                task.running = true;
                return Next::Nothing;
            }
        }
        if report && !std::mem::replace(&mut task.reported_new, true) && task.process as Tid != tid {
            return Next::Report(Reason::ThreadCreated);
        }
        Next::Go
    }

    /// A thread is about to make a system call, or has made it.
    fn call(&mut self, tid: Tid) -> Next {
        let info = sys::call_info(tid);
        let Some(task) = self.tasks.get_mut(&tid) else { return Next::Nothing };
        let Some(process) = self.processes.get(&task.process) else { return Next::Go };
        let reason = match info {
            Ok(Call::Entry { number, arguments }) => {
                task.call = Some(number);
                process.catch.catches(number).then_some(Reason::CallEntry { number, arguments })
            }
            Ok(Call::Exit { value }) => match task.call.take() {
                Some(number) if process.catch.catches(number) => Some(Reason::CallReturn { number, value }),
                _ => None,
            },
            _ => None,
        };
        reason.map_or(Next::Go, Next::Report)
    }

    fn trap(&mut self, tid: Tid) -> Next {
        let Ok(info) = sys::signal_info(tid) else { return Next::Go };
        match code_of(&info) {
            SI_KERNEL => self.trapped(tid),
            TRAP_HWBKPT => match self.hardware_hit(tid) {
                Some(reason) => Next::Report(reason),
                None => Next::Go,
            },
            code @ (TRAP_TRACE | TRAP_BRKPT | HANDLER) => {
                if code == HANDLER
                    && let Some(task) = self.tasks.get_mut(&tid)
                {
                    task.injects = false;
                }
                let armed = self.tasks.get(&tid).is_some_and(|task| task.hardware_version != 0);
                if armed && let Some(reason) = self.hardware_hit(tid) {
                    return Next::Report(reason);
                }
                self.stepped(tid)
            }
            _ => self.signal(tid, libc::SIGTRAP),
        }
    }

    /// A trap instruction was executed.
    fn trapped(&mut self, tid: Tid) -> Next {
        let (Ok(mut registers), Ok(memory)) = (self.registers(tid), self.memory_of(tid)) else { return Next::Go };
        let address = registers.trapped_at();
        if memory.is_trap(address) {
            registers.set_pc(address);
            self.set_registers(tid, registers);
            return match self.hit(tid, address) {
                Some(reason) => Next::Report(reason),
                None => Next::Go,
            };
        }
        if memory.byte(address) != Some(x86::TRAP) && !self.is_long_trap(address, &memory) {
            // Ours was taken away after the thread had run into it.
            registers.set_pc(address);
            self.set_registers(tid, registers);
            return Next::Go;
        }
        let handling = self.handling(libc::SIGTRAP);
        let Some(task) = self.tasks.get_mut(&tid) else { return Next::Nothing };
        if handling.stop {
            task.signal = libc::SIGTRAP;
            return Next::Report(Reason::Trap);
        }
        task.deliver = if handling.pass { libc::SIGTRAP } else { 0 };
        Next::Go
    }

    /// `int 3` in its two-byte form.
    fn is_long_trap(&self, last: u64, memory: &super::memory::Memory) -> bool {
        memory.byte(last.wrapping_sub(1)) == Some(0xcd) && memory.byte(last) == Some(3)
    }

    /// A step is done: whether that was all.
    pub fn stepped(&mut self, tid: Tid) -> Next {
        // Of a step over a breakpoint nothing is to be known, unless it pushed the flags.
        if let Some(task) = self.tasks.get(&tid)
            && task.plan == Some(Plan::Continue)
            && task.before.is_none_or(|before| !before.may_push_flags(self.memory_of(tid).ok().as_deref()))
        {
            return Next::Go;
        }
        let (Ok(registers), Ok(memory)) = (self.registers(tid), self.memory_of(tid)) else { return Next::Go };
        let Some(task) = self.tasks.get_mut(&tid) else { return Next::Nothing };
        if let Some(before) = task.before.take()
            && let Some(place) = registers.pushed_flags(&before, &memory)
        {
            x86::clean_flags(place, &memory);
        }
        let pc = registers.pc();
        let Some(plan) = task.plan.clone() else { return Next::Nothing };
        if plan != Plan::Continue
            && memory.is_trap(pc)
            && let Some(reason) = self.hit(tid, pc)
        {
            return Next::Report(reason);
        }
        let done = match plan {
            // Steps over a breakpoint are nobody's business.
            Plan::Continue => return Next::Go,
            Plan::Steps { left } => {
                self.set_plan(tid, Some(Plan::Steps { left: left.saturating_sub(1) }));
                left <= 1
            }
            Plan::Range { start, end } => !(start..end).contains(&pc),
            Plan::Until { condition, left } => {
                let holds = !matches!(evaluate(&condition, registers, &memory), Ok(0));
                let left = left.map(|left| left.saturating_sub(1));
                self.set_plan(tid, Some(Plan::Until { condition, left }));
                holds || left == Some(0)
            }
        };
        if done { Next::Report(Reason::Step) } else { Next::Go }
    }

    /// A signal is about to be delivered.
    fn signal(&mut self, tid: Tid, signal: i32) -> Next {
        let handling = self.handling(signal);
        let free = self.is_free(tid);
        let Some(task) = self.tasks.get_mut(&tid) else { return Next::Nothing };
        if task.sent == Some(signal) {
            (task.sent, task.deliver) = (None, signal);
            return Next::Go;
        }
        if handling.stop && !free {
            task.signal = signal;
            let (mut code, mut sender, mut address) = (0, None, None);
            if let Ok(info) = sys::signal_info(tid) {
                let word = |at: usize| u32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
                code = code_of(&info);
                if code <= 0 {
                    sender = Some(word(16)).filter(|pid| *pid != 0);
                } else if matches!(signal, libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE) {
                    address = Some(u64::from(word(16)) | u64::from(word(20)) << 32);
                }
            }
            return Next::Report(Reason::Signal { number: signal, code, sender, address });
        }
        task.deliver = if handling.pass || free { signal } else { 0 };
        self.renew_stops(tid);
        Next::Go
    }

    /// A thread is about to get a signal; one that stops its process does so anew.
    pub fn renew_stops(&mut self, tid: Tid) {
        let Some(task) = self.tasks.get(&tid) else { return };
        if is_group_stop(task.deliver) || task.deliver == libc::SIGCONT {
            let process = task.process;
            for task in self.tasks.values_mut().filter(|task| task.process == process) {
                task.past_stop = false;
            }
        }
    }

    pub fn is_free(&self, tid: Tid) -> bool {
        let process = self.tasks.get(&tid).and_then(|task| self.processes.get(&task.process));
        process.is_some_and(|process| process.free.is_some())
    }

    /// A thread, or the last one of a process, is no more.
    fn ended(&mut self, tid: Tid, status: i32) {
        let Some(task) = self.tasks.get(&tid) else { return };
        let process = task.process;
        let thread = self.id(tid);
        let free = self.is_free(tid);
        if process as Tid != tid {
            let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 0 };
            let report = self.settings.report_threads && task.plan.is_some() && !free;
            self.remove_task(tid);
            if report {
                if !self.settings.non_stop {
                    self.stop_all();
                }
                self.tell(thread, Reason::ThreadExited { code }, None);
            }
            return;
        }
        // Its vfork is over, too, if it was the child of one; the kernel tells the parent.
        self.remove_process(process);
        if free {
            return;
        }
        let reason = if libc::WIFEXITED(status) {
            Reason::Exited { code: libc::WEXITSTATUS(status) }
        } else {
            Reason::Killed { signal: libc::WTERMSIG(status), core_dumped: libc::WCOREDUMP(status) }
        };
        if !self.settings.non_stop {
            self.stop_all();
        }
        self.tell(thread, reason, None);
    }

    /// A thread or a process was born.
    fn born(&mut self, parent: Tid, event: i32) -> Next {
        let Ok(child) = sys::event_message(parent).map(|message| message as Tid) else { return Next::Go };
        let Some(process) = self.tasks.get(&parent).map(|task| task.process) else { return Next::Nothing };
        if self.tasks.contains_key(&child) {
            return Next::Go;
        }
        let first = match self.early.remove(&child) {
            Some(status) => status,
            None => match sys::wait_for(child) {
                Ok(waited) => waited.status,
                Err(_) => return Next::Go,
            },
        };
        if !libc::WIFSTOPPED(first) {
            return Next::Go;
        }
        if event == libc::PTRACE_EVENT_CLONE && super::proc::is_thread_of(process, child) {
            self.add_task(child, process);
            let plan = self.tasks.get(&parent).and_then(|task| task.plan.clone()).map(|_| Plan::Continue);
            self.set_plan(child, plan);
            let next = self.handle(child, first);
            match next {
                Next::Go => self.go(child),
                Next::Report(reason) => {
                    self.report(child, reason);
                    // The parent has nothing to report; it goes on with the others.
                    return if self.settings.non_stop { Next::Go } else { Next::Nothing };
                }
                Next::Nothing => {}
            }
            return Next::Go;
        }
        self.forked(parent, process, child as ProcessId, event == libc::PTRACE_EVENT_VFORK)
    }

    fn forked(&mut self, parent: Tid, process: ProcessId, child: ProcessId, vfork: bool) -> Next {
        let Some(old) = self.processes.get(&process) else { return Next::Go };
        let (attached, width, free) = (old.attached, old.width, old.free);
        let shared = sys::share_memory(process as i32, child as i32).unwrap_or(vfork);
        let memory = if shared { Ok(Arc::clone(&old.memory)) } else { old.memory.copy_for(child as i32).map(Arc::new) };
        let Ok(memory) = memory else { return Next::Go };
        self.add_process(child, memory, attached, width);
        let lineage = self.processes.get(&process).map(|parent| {
            let mut lineage = parent.lineage.clone();
            lineage.push(process);
            (lineage, parent.catch.clone())
        });
        if let (Some((lineage, catch)), Some(new)) = (lineage, self.processes.get_mut(&child)) {
            (new.lineage, new.catch) = (lineage, catch);
        }
        let tid = child as Tid;
        self.add_task(tid, child);
        if vfork && let Some(task) = self.tasks.get_mut(&parent) {
            task.in_vfork = true;
        }
        let id = self.id(tid);
        let reason = if vfork { Reason::Vfork { child: id } } else { Reason::Fork { child: id } };
        let stop = self.settings.stop_at_fork && free.is_none();
        let plan = self.tasks.get(&parent).and_then(|task| task.plan.clone());
        match if free.is_some() { Fork::Parent } else { self.settings.fork } {
            Fork::Both => {
                // What it is to hold was not planned for it yet.
                let _ = self.place();
                if stop {
                    if let Some(task) = self.tasks.get_mut(&tid) {
                        task.reason = Some(Reason::Attached);
                    }
                    return Next::Report(reason);
                }
                self.set_plan(tid, Some(Plan::Continue));
                self.go(tid);
            }
            Fork::Parent => {
                if shared {
                    self.set_free(child, Free::Child);
                    self.set_plan(tid, Some(Plan::Continue));
                    self.go(tid);
                } else {
                    self.let_go(child);
                }
                if stop {
                    return Next::Report(reason);
                }
            }
            Fork::Child => {
                let _ = self.place();
                self.shared.set_current(Some(id));
                self.set_plan(tid, plan);
                if vfork {
                    self.set_free(process, Free::Parent);
                    for other in self.tids(process) {
                        self.set_plan(other, Some(Plan::Continue));
                    }
                    self.go(parent);
                } else {
                    // Its threads are stopped for that, and run on alone.
                    let _ = self.detach(process, Deliver::AsHandled);
                }
                if stop {
                    self.report(tid, Reason::Attached);
                } else {
                    self.go(tid);
                }
                return Next::Nothing;
            }
        }
        Next::Go
    }

    /// Lets a process go that nobody is to see: its only thread is stopped.
    fn let_go(&mut self, pid: ProcessId) {
        if let Some(process) = self.processes.get(&pid) {
            let memory = Arc::clone(&process.memory);
            let shared =
                self.processes.iter().any(|(other, process)| *other != pid && Arc::ptr_eq(&process.memory, &memory));
            if !shared {
                memory.clear_traps();
            }
        }
        for tid in self.tids(pid) {
            let signal = self.tasks.get(&tid).map_or(0, |task| task.deliver);
            // Dead already: then it is not traced either.
            let _ = self.flush(tid);
            let _ = sys::detach(tid, signal);
        }
        self.remove_process(pid);
    }

    /// A process runs another program.
    fn exec(&mut self, tid: Tid) -> Next {
        let Some(process) = self.tasks.get(&tid).map(|task| task.process) else { return Next::Nothing };
        let former = sys::event_message(tid).ok().map(|message| message as Tid).filter(|former| *former != tid);
        // The other threads vanish without a word.
        for other in self.tids(process).into_iter().filter(|other| *other != tid) {
            let plan = self.tasks.get(&other).and_then(|task| task.plan.clone());
            self.remove_task(other);
            if Some(other) == former && plan.is_some() {
                self.set_plan(tid, plan);
            }
        }
        if let Some(task) = self.tasks.get_mut(&tid) {
            (task.registers, task.vector, task.dirty) = (None, None, false);
            (task.passed, task.before, task.call, task.hardware_version) = (None, None, None, 0);
            (task.in_vfork, task.deaf) = (false, false);
            task.pending.clear();
        }
        if self.is_free(tid) {
            self.let_go(process);
            return Next::Nothing;
        }
        self.replace_memory(process);
        if let Ok(registers) = self.registers(tid)
            && let Some(process) = self.processes.get_mut(&process)
        {
            process.width = registers.width();
            process.hardware = x86::DebugRegisters::default();
            process.hardware_version = 0;
        }
        // Breakpoints of the old program are not put into the new one.
        let _ = self.place();
        if self.settings.stop_at_exec {
            let path = super::proc::program(process).unwrap_or_default();
            return Next::Report(Reason::Exec { path, former: former.map(|tid| tid as u64) });
        }
        Next::Go
    }

    fn vfork_done(&mut self, tid: Tid) -> Next {
        let Some(task) = self.tasks.get_mut(&tid) else { return Next::Nothing };
        task.in_vfork = false;
        let process = task.process;
        if self.processes.get(&process).is_some_and(|process| process.free == Some(Free::Parent)) {
            let _ = self.detach(process, Deliver::AsHandled);
            return Next::Nothing;
        }
        if self.settings.stop_at_fork && !self.is_free(tid) { Next::Report(Reason::VforkDone) } else { Next::Go }
    }
}
