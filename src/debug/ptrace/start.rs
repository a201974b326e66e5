//! The beginning and the end: starting a program, attaching to one, letting go and killing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::memory::Memory;
use super::state::{Pending, State, no_process};
use super::sys::{self, Tid};
use super::x86::General;
use super::{proc, spawn};
use crate::debug::launch::Fork;
use crate::debug::{Deliver, Launch, ProcessId, Reason, ThreadId};
use crate::error::{Error, Kind, Result};

const OPTIONS: i32 = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACEVFORKDONE
    | libc::PTRACE_O_TRACEEXEC;

/// Most passes over the threads of a process that makes new ones all the time.
const PASSES: usize = 100;

/// How long a killed process may take.
const DEATH: Duration = Duration::from_secs(10);

/// Lets a thread that has executed a program come back from that call, to the program's first instruction: its first
/// step would show nothing else, and its first system call would find the result of that one.
fn leave_exec(tid: Tid) {
    /// Most signals that come in between.
    const SIGNALS: usize = 16;
    let mut signal = 0;
    for _ in 0..SIGNALS {
        if sys::request(libc::PTRACE_SINGLESTEP, tid, 0, signal as u64).is_err() {
            return;
        }
        match sys::wait_for(tid) {
            Ok(waited) if libc::WIFSTOPPED(waited.status) => {
                let stop = libc::WSTOPSIG(waited.status);
                match waited.status >> 16 {
                    0 if stop == libc::SIGTRAP => return,
                    0 => signal = stop,
                    _ => signal = 0,
                }
            }
            // It is gone, which the next look at it says.
            _ => return,
        }
    }
}

impl State {
    /// Starts a program.
    pub fn launch(&mut self, launch: &Launch) -> Result<ThreadId> {
        let mut waiting = spawn::start(launch)?;
        let tid = waiting.pid;
        let seized = sys::seize(tid, (OPTIONS | libc::PTRACE_O_EXITKILL) as u64);
        if let Err(error) = seized.map_err(|error| denied(tid as ProcessId, &error)).and_then(|()| waiting.release()) {
            let _ = sys::signal_process(tid, libc::SIGKILL);
            let _ = sys::wait_for(tid);
            return Err(error);
        }
        let mut execs = 0;
        loop {
            let status = sys::wait_for(tid).map_err(|error| Error::system("the new process is gone", &error))?.status;
            if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
                self.terminal.take_back();
                return Err(waiting.failure());
            }
            let signal = libc::WSTOPSIG(status);
            let signal = match status >> 16 {
                libc::PTRACE_EVENT_EXEC => {
                    execs += 1;
                    if execs > waiting.passed_over {
                        break;
                    }
                    0
                }
                0 if signal & 0x80 == 0 => signal,
                // Wrappers may fork. What they leave running is not what was asked for.
                libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                    if let Ok(child) = sys::event_message(tid) {
                        let _ = sys::wait_for(child as Tid);
                        let _ = sys::detach(child as Tid, 0);
                    }
                    0
                }
                _ => 0,
            };
            let _ = sys::request(libc::PTRACE_CONT, tid, 0, signal as u64);
        }
        leave_exec(tid);
        self.image += 1;
        let pid = tid as ProcessId;
        let opened = Memory::open(tid, self.image).and_then(|memory| Ok((memory, General::fetch(tid)?)));
        let (memory, registers) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let _ = sys::signal_process(tid, libc::SIGKILL);
                let _ = sys::wait_for(tid);
                return Err(Error::system("cannot reach the memory of the new process", &error));
            }
        };
        self.add_process(pid, Arc::new(memory), false, registers.width());
        self.settled(tid, pid);
        if launch.terminal {
            self.terminal.adopt(tid);
        }
        Ok(self.id(tid))
    }

    /// A process was added whose first thread is `tid`: makes it current.
    fn settled(&mut self, tid: Tid, pid: ProcessId) {
        self.add_task(tid, pid);
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.reason = Some(Reason::Attached);
        }
        self.shared.set_current(Some(self.id(tid)));
        self.shared.bump();
    }

    /// Attaches to a process with all its threads.
    pub fn attach(&mut self, pid: ProcessId) -> Result<ThreadId> {
        if self.processes.contains_key(&pid) {
            return Err(Error::new(Kind::Usage, format!("the process {pid} is being debugged already")));
        }
        let first = check_attachable(pid)?;
        self.image += 1;
        let memory = match sys::seize(first, OPTIONS as u64) {
            Ok(()) => Memory::open(first, self.image),
            Err(error) => return Err(denied(pid, &error)),
        };
        let memory = match memory {
            Ok(memory) => memory,
            Err(error) => {
                let _ = sys::interrupt(first);
                let _ = sys::wait_for(first);
                let _ = sys::detach(first, 0);
                return Err(Error::system(format!("cannot reach the memory of the process {pid}"), &error));
            }
        };
        self.add_process(pid, Arc::new(memory), true, super::x86::Width::W64);
        self.add_task(first, pid);
        self.seized(first);
        // Threads that were there before are seized one by one; new ones come by themselves, as children of seized
        // ones, or are found in the next pass.
        for _ in 0..PASSES {
            let threads = proc::threads(pid).unwrap_or_default();
            let fresh: Vec<Tid> = threads.into_iter().filter(|tid| !self.tasks.contains_key(tid)).collect();
            if fresh.is_empty() {
                break;
            }
            for tid in fresh {
                match sys::seize(tid, OPTIONS as u64) {
                    Ok(()) => {
                        self.add_task(tid, pid);
                        self.seized(tid);
                    }
                    // Born of a seized one: it reports itself.
                    Err(_) if proc::status_of(tid, "TracerPid").as_deref() == Some(&std::process::id().to_string()) => {
                        self.add_task(tid, pid);
                        if let Some(task) = self.tasks.get_mut(&tid) {
                            task.running = true;
                        }
                        if let Some(status) = self.early.remove(&tid) {
                            self.put_off(tid, status);
                        }
                    }
                    // It has ended in the meantime.
                    Err(_) => {}
                }
            }
        }
        self.pause_running(None);
        if !self.processes.contains_key(&pid) {
            return Err(Error::new(Kind::NotFound, format!("the process {pid} has ended")));
        }
        if let Ok(tid) = self.any_stopped(pid)
            && let Ok(registers) = self.registers(tid)
            && let Some(process) = self.processes.get_mut(&pid)
        {
            process.width = registers.width();
        }
        let tid = if self.tasks.get(&(pid as Tid)).is_some_and(|task| !task.deaf) {
            pid as Tid
        } else {
            self.any_stopped(pid)?
        };
        self.settled(tid, pid);
        Ok(self.id(tid))
    }

    fn seized(&mut self, tid: Tid) {
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.running = true;
        }
        // All are asked first and waited for afterwards.
        let _ = sys::interrupt(tid);
    }

    /// Lets a process go.
    pub fn detach(&mut self, pid: ProcessId, deliver: Deliver) -> Result<()> {
        if !self.processes.contains_key(&pid) {
            return Err(no_process(pid));
        }
        let others = self.pause_running(None);
        self.settle_births(pid);
        let Some(process) = self.processes.get(&pid) else { return Err(no_process(pid)) };
        let memory = Arc::clone(&process.memory);
        let shared =
            self.processes.iter().any(|(other, process)| *other != pid && Arc::ptr_eq(&process.memory, &memory));
        if !shared {
            memory.clear_traps();
        }
        let current = self.shared.current().map(|current| current.thread as Tid);
        let tids = self.tids(pid);
        let chosen = current.filter(|tid| tids.contains(tid)).or(tids.first().copied());
        for tid in tids {
            self.detach_task(tid, if Some(tid) == chosen { deliver } else { Deliver::AsHandled });
        }
        self.terminal.release(pid as Tid);
        self.remove_process(pid);
        self.shared.forget(pid);
        self.start_again(others);
        self.shared.bump();
        Ok(())
    }

    /// Threads and processes whose birth was not dealt with yet come to light, so that none of them stays behind.
    fn settle_births(&mut self, pid: ProcessId) {
        let fork = std::mem::replace(&mut self.settings.fork, Fork::Parent);
        let stop = std::mem::replace(&mut self.settings.stop_at_fork, false);
        for _ in 0..PASSES {
            let born = self.tids(pid).into_iter().find_map(|tid| {
                let task = self.tasks.get_mut(&tid)?;
                let at = task
                    .pending
                    .iter()
                    .position(|pending| matches!(pending, Pending::Status(status) if matches!(status >> 16, 1..=3)))?;
                match task.pending.remove(at)? {
                    Pending::Status(status) => Some((tid, status)),
                    _ => None,
                }
            });
            let Some((tid, status)) = born else { break };
            let plan = self.tasks.get(&tid).and_then(|task| task.plan.clone());
            self.set_plan(tid, None);
            let _ = self.handle(tid, status);
            self.set_plan(tid, plan);
        }
        self.settings.fork = fork;
        self.settings.stop_at_fork = stop;
    }

    fn detach_task(&mut self, tid: Tid, deliver: Deliver) {
        let Some(task) = self.tasks.get(&tid) else { return };
        let (mut signal, passed) = (task.signal, self.handling(task.signal).pass);
        let pending = task.pending.iter().find_map(|pending| match pending {
            Pending::Status(status) if status >> 16 == 0 => Some(libc::WSTOPSIG(*status)),
            _ => None,
        });
        signal = match deliver {
            Deliver::Nothing => 0,
            Deliver::Signal(number) => number,
            Deliver::AsHandled if task.deliver != 0 => task.deliver,
            Deliver::AsHandled if signal != 0 => {
                if passed {
                    signal
                } else {
                    0
                }
            }
            Deliver::AsHandled => pending.filter(|signal| *signal & 0x7f != libc::SIGTRAP).unwrap_or(0),
        };
        if task.hardware_version != 0 {
            let _ = super::x86::DebugRegisters::default().store(tid);
        }
        if signal == 0 {
            self.deliver_deferred(tid);
            signal = self.tasks.get(&tid).map_or(0, |task| task.deliver);
        }
        // One that was killed in the meantime is not traced any more.
        let _ = self.flush(tid);
        let waiting = self.tasks.get(&tid).is_some_and(|task| task.running);
        if sys::detach(tid, signal).is_err() && waiting {
            // It cannot be stopped now (it waits in vfork). It is let go when it can; nobody is told.
            self.leave_behind(tid);
        }
    }

    /// Detaches from a thread that does not stop: waits for it, but not for ever.
    fn leave_behind(&mut self, tid: Tid) {
        let _ = sys::interrupt(tid);
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            match sys::wait(tid, libc::WNOHANG) {
                Ok(Some(waited)) if libc::WIFSTOPPED(waited.status) => {
                    // It may have run into a trap that is gone now.
                    self.put_off(tid, waited.status);
                    let _ = self.flush(tid);
                    if sys::detach(tid, 0).is_ok() {
                        return;
                    }
                }
                Ok(Some(_)) | Err(_) => return,
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Kills a process and waits until it is gone.
    pub fn kill(&mut self, pid: ProcessId) -> Result<()> {
        if !self.processes.contains_key(&pid) {
            return Err(no_process(pid));
        }
        self.send(pid, libc::SIGKILL)?;
        let deadline = Instant::now() + DEATH;
        while self.processes.contains_key(&pid) {
            match sys::wait(-1, libc::WNOHANG) {
                Ok(Some(waited)) => {
                    // What was set going in the meantime is not held up by this.
                    if self.tasks.get(&waited.tid).is_some_and(|task| task.process == pid)
                        && libc::WIFSTOPPED(waited.status)
                    {
                        let _ = sys::request(libc::PTRACE_CONT, waited.tid, 0, 0);
                    } else {
                        self.see(waited);
                    }
                }
                Ok(None) if Instant::now() >= deadline => {
                    return Err(Error::new(Kind::Timeout, format!("the process {pid} does not die"))
                        .hint("it waits in the kernel, perhaps for a disk"));
                }
                Ok(None) => std::thread::sleep(Duration::from_micros(200)),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.remove_process(pid);
                    break;
                }
            }
        }
        self.terminal.release(pid as Tid);
        self.shared.bump();
        self.shared.set_running(self.runs());
        Ok(())
    }
}

/// Whether a process can be attached to, as far as that can be told before trying. The answer is a thread of it that
/// has not ended.
fn check_attachable(pid: ProcessId) -> Result<Tid> {
    let absent = || Error::new(Kind::NotFound, format!("no process {pid}")).hint("proc:// lists the processes");
    if pid == 0 || pid > i32::MAX as u32 {
        return Err(absent());
    }
    if pid == std::process::id() {
        return Err(Error::new(Kind::Usage, "the debugger cannot attach to itself"));
    }
    let threads = proc::threads(pid).map_err(|_| absent())?;
    if let Some(tgid) = proc::status(pid, "Tgid").filter(|tgid| *tgid != pid.to_string()) {
        return Err(Error::new(Kind::Usage, format!("{pid} is a thread")).hint(format!("its process is {tgid}")));
    }
    threads.into_iter().find(|tid| !proc::is_zombie(*tid)).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("the process {pid} has ended; its parent has not collected it yet"))
    })
}

/// Why the kernel does not let us, in words that help.
fn denied(pid: ProcessId, error: &std::io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::ESRCH) => Error::new(Kind::NotFound, format!("no process {pid}")),
        Some(libc::EPERM) => {
            let refused = Error::new(Kind::Permission, format!("not allowed to debug the process {pid}"));
            if let Some(tracer) = proc::status(pid, "TracerPid").filter(|tracer| tracer != "0") {
                let text = format!("the process {pid} is being debugged by {tracer}");
                return Error::new(Kind::Permission, text).hint("a process has one debugger at a time");
            }
            if proc::status(pid, "VmSize").is_none() {
                return Error::new(Kind::Unsupported, format!("{pid} is a thread of the kernel"));
            }
            let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
            match scope.trim() {
                "1" => refused.hint("kernel.yama.ptrace_scope is 1: only children; sysctl kernel.yama.ptrace_scope=0"),
                "2" => refused.hint("kernel.yama.ptrace_scope is 2: only with CAP_SYS_PTRACE; run it as root"),
                "3" => refused.hint("kernel.yama.ptrace_scope is 3: nobody can until the next boot"),
                _ => refused.hint("it belongs to another user or has more rights: CAP_SYS_PTRACE is needed"),
            }
        }
        _ => Error::system(format!("cannot debug the process {pid}"), error),
    }
}
