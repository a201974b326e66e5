//! Setting threads going and stopping them, and getting them past traps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::memory::Memory;
use super::state::{Pending, Plan, State};
use super::sys::{self, Tid};
use super::wait::{Next, is_group_stop};
use super::x86;
use crate::debug::launch::Catch;
use crate::debug::{Action, Deliver, Reason, Resume};
use crate::error::{Error, Kind, Result};

/// A thread that does not stop within this time is held by the kernel; it stops when that lets it.
const PATIENCE: Duration = Duration::from_secs(2);

/// So long a system call with a breakpoint on it keeps the other threads stopped.
const CALL_PATIENCE: Duration = Duration::from_millis(10);

impl State {
    /// See [`crate::debug::Target::resume`].
    pub fn resume(&mut self, actions: &[Resume]) -> Result<()> {
        if self.runs() && !self.settings.non_stop {
            return Err(Error::new(Kind::Usage, "the target runs already"));
        }
        if self.processes.values().all(|process| process.free.is_some()) {
            return Err(Error::new(Kind::NotFound, "no process is being debugged").hint("start one: doo"));
        }
        let mut stopping = Vec::new();
        let mut plans = Vec::new();
        for (tid, task) in &self.tasks {
            let thread = self.id(*tid);
            if self.is_free(*tid) {
                continue;
            }
            let Some(action) = actions.iter().find(|action| action.who.includes(thread)) else { continue };
            let plan = match &action.action {
                Action::Continue => Plan::Continue,
                Action::Step { count } => Plan::Steps { left: (*count).max(1) },
                Action::Range { start, end } => Plan::Range { start: *start, end: *end },
                Action::Until { condition, limit } => {
                    Plan::Until { condition: condition.clone(), left: (*limit != 0).then_some(*limit) }
                }
                Action::Stop => {
                    stopping.push(*tid);
                    continue;
                }
                Action::ReverseStep | Action::ReverseContinue => {
                    return Err(Error::new(Kind::Unsupported, "a live process cannot run backwards"));
                }
            };
            if task.plan.is_none() {
                plans.push((*tid, plan, Some(action.deliver)));
            }
        }
        if !stopping.is_empty() && !self.settings.non_stop {
            return Err(Error::new(Kind::Usage, "threads are stopped one by one only with non_stop"));
        }
        if plans.is_empty() && stopping.is_empty() {
            return Err(Error::new(Kind::NotFound, "no thread is meant by that"));
        }
        if !self.settings.non_stop && self.shared.has_stops() {
            // Something else happened at the time of the last stop. It comes first; nothing moves until it was taken.
            for (tid, _, deliver) in plans {
                if let Some(deliver) = deliver {
                    self.set_delivery(tid, deliver);
                }
            }
            return Ok(());
        }
        // An interrupt that came too late for the last run is not meant for this one.
        self.shared.take_interrupt();
        self.show_traps();
        self.place_traps();
        for (tid, plan, deliver) in plans {
            self.set_plan(tid, Some(plan));
            if let Some(deliver) = deliver {
                self.set_delivery(tid, deliver);
            }
            self.to_start.push_back(tid);
        }
        self.terminal.hand_over();
        for tid in stopping {
            self.stop_one(tid);
        }
        self.shared.bump();
        self.shared.set_running(self.runs());
        Ok(())
    }

    fn set_delivery(&mut self, tid: Tid, deliver: Deliver) {
        let Some(signal) = self.tasks.get(&tid).map(|task| task.signal) else { return };
        let passed = self.handling(signal).pass;
        let Some(task) = self.tasks.get_mut(&tid) else { return };
        // Who resumes a process that job control has stopped wants to see it run.
        task.past_stop |= task.group_stop.take().is_some();
        match deliver {
            Deliver::AsHandled if signal != 0 && passed => task.deliver = signal,
            Deliver::AsHandled => {}
            Deliver::Nothing => task.deliver = 0,
            Deliver::Signal(number) => task.deliver = number,
        }
        task.signal = 0;
        self.renew_stops(tid);
    }

    /// Sets a thread going as it is planned.
    pub fn go(&mut self, tid: Tid) {
        // Instructions that are carried out here may end the plan, or lead to the next trap.
        loop {
            let Some(task) = self.tasks.get(&tid) else { return };
            if task.running || task.deaf || task.plan.is_none() {
                return;
            }
            if !task.pending.is_empty() {
                return;
            }
            if task.group_stop.is_some() {
                // Its process is stopped by job control; it waits for the end of that as it would without us.
                let listens = sys::request(libc::PTRACE_LISTEN, tid, 0, 0).is_ok();
                if let Some(task) = self.tasks.get_mut(&tid) {
                    task.running = listens;
                }
                return;
            }
            let Ok(memory) = self.memory_of(tid) else { return };
            let mut next = Next::Go;
            // Only one that was dealt with is passed; others are to be met.
            if memory.has_traps() && (task.passed.is_some() || self.is_free(tid)) {
                let Ok(registers) = self.registers(tid) else { return };
                let pc = registers.pc();
                if memory.is_trap(pc) && self.passes(tid, pc) {
                    match self.pass(tid, pc, &memory) {
                        Some(after) => next = after,
                        None => return,
                    }
                    match next {
                        Next::Go => continue,
                        Next::Report(reason) => {
                            self.report(tid, reason);
                            return;
                        }
                        Next::Nothing => return,
                    }
                }
            }
            if next == Next::Go {
                self.start(tid);
            }
            return;
        }
    }

    /// Whether the breakpoints at the place of a thread were dealt with.
    fn passes(&self, tid: Tid, pc: u64) -> bool {
        let free = self.is_free(tid);
        self.tasks.get(&tid).is_some_and(|task| task.passed == Some(pc) || free)
    }

    /// Tells the kernel to let a thread go on.
    fn start(&mut self, tid: Tid) {
        if self.arm(tid).is_err() {
            // Reported when it was planned.
        }
        self.pass_hardware(tid);
        self.deliver_deferred(tid);
        if self.flush(tid).is_err() {
            return;
        }
        let Some(task) = self.tasks.get_mut(&tid) else { return };
        let catches = self.processes.get(&task.process).is_some_and(|process| process.catch != Catch::Nothing);
        let request = match &task.plan {
            Some(Plan::Continue) if catches => libc::PTRACE_SYSCALL,
            Some(Plan::Continue) => libc::PTRACE_CONT,
            _ => libc::PTRACE_SINGLESTEP,
        };
        let before = if request == libc::PTRACE_SINGLESTEP { task.registers } else { None };
        let mut signal = task.deliver;
        if signal != 0 && !task.injects {
            // At this stop the kernel would not take it. Sent like this it comes at once.
            task.sent = Some(signal);
            let _ = sys::signal_thread(task.process as i32, tid, signal);
            signal = 0;
        }
        match sys::request(request, tid, 0, signal as u64) {
            Ok(()) => {
                task.before = before;
                task.went();
                task.passed = None;
            }
            // It is dying; the kernel says so in a moment.
            Err(_) => task.running = true,
        }
    }

    /// Execute breakpoints trigger before their instruction: it has to be let past where it was reported.
    fn pass_hardware(&mut self, tid: Tid) {
        let Some(task) = self.tasks.get(&tid) else { return };
        if task.hardware_version == 0 || task.passed.is_none() {
            return;
        }
        let passed = task.passed;
        if let Ok(mut registers) = self.registers(tid)
            && Some(registers.pc()) == passed
        {
            registers.pass_hardware();
            self.set_registers(tid, registers);
        }
    }

    /// Hands out a signal that was put off during a step over a trap.
    pub fn deliver_deferred(&mut self, tid: Tid) {
        let Some(task) = self.tasks.get_mut(&tid) else { return };
        if task.deliver == 0
            && let Some((signal, info)) = task.deferred.pop_front()
        {
            // What the kernel said of it then; without that it looks as if we had sent it.
            let _ = sys::set_signal_info(tid, &info);
            task.deliver = signal;
        }
        let process = task.process;
        for (signal, _) in std::mem::take(&mut task.deferred) {
            let _ = sys::signal_thread(process as i32, tid, signal);
        }
    }

    /// Gets a thread past the trap it stands on. `None`: it could not be, and is not running; otherwise what comes
    /// next (with [`Next::Go`] it has moved).
    fn pass(&mut self, tid: Tid, pc: u64, memory: &Arc<Memory>) -> Option<Next> {
        let mut registers = self.registers(tid).ok()?;
        let code = memory.instruction(tid, pc);
        let code = code.as_slice();
        let quiet = self.tasks.get(&tid).is_some_and(|task| task.deliver == 0 && task.hardware_version == 0);
        if quiet && x86::emulate(code, &mut registers, memory) {
            self.set_registers(tid, registers);
            if let Some(task) = self.tasks.get_mut(&tid) {
                (task.passed, task.before) = (None, None);
            }
            return Some(self.stepped(tid));
        }
        let slow = x86::is_call(code);
        // Nobody else who has this memory may run past the place while the trap is lifted.
        let others = self.pause_running(Some((memory, tid)));
        memory.lift_by(tid, pc, true);
        let next = self.step_lifted(tid, pc, slow);
        memory.lift_by(tid, pc, false);
        self.start_again(others);
        Some(next)
    }

    fn step_lifted(&mut self, tid: Tid, pc: u64, slow: bool) -> Next {
        let deadline = slow.then(|| Instant::now() + CALL_PATIENCE);
        loop {
            self.pass_hardware(tid);
            if self.arm(tid).is_err() || self.flush(tid).is_err() {
                return Next::Nothing;
            }
            let Some(task) = self.tasks.get_mut(&tid) else { return Next::Nothing };
            // A signal that is to be delivered runs its handler first; the trap is met again after that.
            let signal = std::mem::take(&mut task.deliver);
            let before = task.registers;
            if sys::request(libc::PTRACE_SINGLESTEP, tid, 0, signal as u64).is_err() {
                task.running = true;
                return Next::Nothing;
            }
            task.went();
            (task.before, task.passed) = (before, None);
            let status = match self.wait_step(tid, deadline) {
                Some(status) => status,
                None => {
                    // It waits in a system call; the step is seen when that ends.
                    return Next::Nothing;
                }
            };
            let signal = libc::WSTOPSIG(status);
            let plain = libc::WIFSTOPPED(status) && status >> 16 == 0 && signal != libc::SIGTRAP;
            if plain && signal != libc::SIGTRAP | 0x80 {
                // A signal came before the instruction ran. One of the instruction's own doing is its outcome.
                let Some(task) = self.tasks.get_mut(&tid) else { return Next::Nothing };
                (task.running, task.injects) = (false, true);
                task.passed = Some(pc);
                match sys::signal_info(tid) {
                    Ok(info)
                        if i32::from_ne_bytes([info[8], info[9], info[10], info[11]]) <= 0 || !is_fault(signal) =>
                    {
                        task.deferred.push_back((signal, info));
                        continue;
                    }
                    _ => return self.handle(tid, status),
                }
            }
            if libc::WIFSTOPPED(status) && status >> 16 == libc::PTRACE_EVENT_STOP && signal == libc::SIGTRAP {
                if let Some(task) = self.tasks.get_mut(&tid) {
                    task.running = false;
                }
                continue;
            }
            return self.handle(tid, status);
        }
    }

    /// Waits for one step.
    fn wait_step(&mut self, tid: Tid, deadline: Option<Instant>) -> Option<i32> {
        let Some(deadline) = deadline else {
            return sys::wait_for(tid).ok().map(|waited| waited.status);
        };
        loop {
            match sys::wait(tid, libc::WNOHANG) {
                Ok(Some(waited)) => return Some(waited.status),
                Ok(None) if Instant::now() < deadline => std::thread::yield_now(),
                _ => return None,
            }
        }
    }

    /// Stops the running threads: those with the memory of `of.0` other than `of.1`, or all.
    pub fn pause_running(&mut self, of: Option<(&Arc<Memory>, Tid)>) -> Vec<Tid> {
        let Some((memory, except)) = of else { return self.pause(|_, _| true) };
        let sharing = self.processes.iter().filter(|(_, process)| Arc::ptr_eq(&process.memory, memory));
        let sharing: Vec<u32> = sharing.map(|(pid, _)| *pid).collect();
        self.pause(|tid, process| tid != except && sharing.contains(&process))
    }

    /// Stops the running threads that are meant. What they did in the meantime is kept for later. The answer is who
    /// was running.
    fn pause(&mut self, meant: impl Fn(Tid, u32) -> bool) -> Vec<Tid> {
        let running = self
            .tasks
            .iter()
            .filter(|(tid, task)| task.running && !task.in_vfork && !task.deaf && meant(**tid, task.process));
        let running: Vec<Tid> = running.map(|(tid, _)| *tid).collect();
        for tid in &running {
            // One that is dying has a status to collect.
            let _ = sys::interrupt(*tid);
        }
        let deadline = Instant::now() + PATIENCE;
        for tid in &running {
            self.collect(*tid, deadline);
        }
        running
    }

    /// Waits until a thread has stopped, and keeps what it did.
    fn collect(&mut self, tid: Tid, deadline: Instant) {
        let mut rounds = 0u32;
        loop {
            match sys::wait(tid, libc::WNOHANG) {
                // It ran into a trap, or made its step, just before it was to stop. That is taken now: who let it go
                // like this would have it die of the trap.
                Ok(Some(waited)) if is_plain_stop(waited.status) && sys::has_trap(tid) => {
                    if sys::request(libc::PTRACE_CONT, tid, 0, 0).is_err() {
                        return self.put_off(tid, waited.status);
                    }
                    continue;
                }
                Ok(Some(waited)) => return self.put_off(tid, waited.status),
                Ok(None) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                // Its status went to an exec of another thread.
                Err(_) => {
                    if let Some(task) = self.tasks.get_mut(&tid) {
                        task.deaf = true;
                    }
                    return;
                }
            }
            rounds += 1;
            let over = Instant::now() >= deadline;
            if rounds.is_multiple_of(64) || over {
                let held = super::proc::is_zombie(tid) || over;
                if held && let Some(task) = self.tasks.get_mut(&tid) {
                    task.deaf = true;
                    return;
                }
            }
            if rounds < 256 {
                std::thread::yield_now();
            } else {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }

    /// Keeps a status of a thread that was to stop anyway.
    pub fn put_off(&mut self, tid: Tid, status: i32) {
        if !libc::WIFSTOPPED(status) {
            let next = self.handle(tid, status);
            debug_assert_eq!(next, Next::Nothing);
            return;
        }
        let Some(task) = self.tasks.get_mut(&tid) else { return };
        task.running = false;
        let signal = libc::WSTOPSIG(status);
        task.injects = status >> 16 == 0 && signal & 0x80 == 0;
        task.trapped = status >> 16 == 0 && signal == libc::SIGTRAP;
        match status >> 16 {
            libc::PTRACE_EVENT_STOP => {
                task.group_stop = Some(signal).filter(|signal| is_group_stop(*signal) && !task.past_stop);
            }
            0 if signal == libc::SIGTRAP => {
                // A trap of ours: the program counter goes back at once, so that it is true whoever looks.
                if let (Ok(mut registers), Ok(memory)) = (self.registers(tid), self.memory_of(tid)) {
                    let address = registers.trapped_at();
                    let code = sys::signal_info(tid).map_or(0, |info| info[8]);
                    if code == 0x80 && memory.is_trap(address) {
                        registers.set_pc(address);
                        self.set_registers(tid, registers);
                        self.keep(tid, Pending::Hit(address));
                        return;
                    }
                }
                self.keep(tid, Pending::Status(status));
            }
            _ => self.keep(tid, Pending::Status(status)),
        }
    }

    fn keep(&mut self, tid: Tid, pending: Pending) {
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.pending.push_back(pending);
        }
    }

    /// Sets those going again that were paused.
    pub fn start_again(&mut self, paused: Vec<Tid>) {
        for tid in paused {
            self.go(tid);
        }
    }

    /// Stops everything.
    pub fn stop_all(&mut self) {
        let shown: Vec<Tid> = self.tasks.keys().copied().filter(|tid| !self.is_free(*tid)).collect();
        self.to_start.retain(|tid| !shown.contains(tid));
        self.pause(|tid, _| shown.contains(&tid));
        for tid in shown {
            self.set_plan(tid, None);
        }
    }

    /// Somebody wants everything to stop.
    pub fn interrupted(&mut self) {
        if !self.runs() {
            return;
        }
        let ran = |state: &State, tid: &Tid| state.tasks.get(tid).is_some_and(|task| task.plan.is_some());
        let shown: Vec<Tid> = self.tasks.keys().copied().filter(|tid| ran(self, tid) && !self.is_free(*tid)).collect();
        self.stop_all();
        let current = self.shared.current().map(|current| current.thread as Tid);
        let first = current.filter(|tid| shown.contains(tid)).or(shown.first().copied());
        let reported = if self.settings.non_stop { shown } else { first.into_iter().collect() };
        for tid in reported {
            if self.tasks.contains_key(&tid) {
                let pc = self.registers(tid).ok().map(|registers| registers.pc());
                if let Some(task) = self.tasks.get_mut(&tid) {
                    task.reason = Some(Reason::Interrupted);
                }
                self.tell(self.id(tid), Reason::Interrupted, pc);
            }
        }
    }

    /// Stops one thread, with non-stop.
    fn stop_one(&mut self, tid: Tid) {
        if self.tasks.get(&tid).is_none_or(|task| task.plan.is_none()) {
            return;
        }
        let _ = sys::interrupt(tid);
        self.collect(tid, Instant::now() + PATIENCE);
        if self.tasks.contains_key(&tid) {
            self.report(tid, Reason::Signal { number: 0, code: 0, sender: None, address: None });
        }
    }
}

/// Whether a status is the stop that was asked for, and nothing else.
pub fn is_plain_stop(status: i32) -> bool {
    libc::WIFSTOPPED(status) && status >> 16 == libc::PTRACE_EVENT_STOP && libc::WSTOPSIG(status) == libc::SIGTRAP
}

fn is_fault(signal: i32) -> bool {
    matches!(signal, libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE)
}
