//! What a stop reply means: which of our breakpoints it was, what is passed over, what is told.

use super::line::Inner;
use super::run::Next;
use crate::debug::{Fork, ProcessId, Reason, Role, Stop, ThreadId, number as value_of};
use crate::error::{Error, Kind, Result};
use crate::protocol::rsp::reply::{Reply, console};
use crate::protocol::rsp::stop::{Reason as Told, Stop as Packet, Stopped};
use crate::protocol::rsp::wire::unhex_text;

impl Inner {
    /// A packet that came while something runs.
    pub fn event(&mut self, reply: &[u8]) -> Result<()> {
        let Ok(packet) = Packet::parse(reply) else {
            return self.refused(reply);
        };
        match packet {
            // `OK` is no text.
            Packet::Console(_) if console(reply).is_none() => Ok(()),
            Packet::Console(text) => {
                self.say(&text);
                Ok(())
            }
            Packet::FileRequest(_) => {
                // It would have us open files for it. This system cannot do that.
                self.connection.send(b"F-1,58").inspect_err(|error| self.note(error))
            }
            Packet::Stopped(stopped) => {
                self.running = false;
                self.stopped_at(stopped)
            }
            Packet::Exited { code, process } => {
                self.ended(process, Reason::Exited { code: code.into() });
                Ok(())
            }
            Packet::Killed { signal, process } => {
                let signal = self.to_linux(signal);
                self.ended(process, Reason::Killed { signal, core_dumped: false });
                Ok(())
            }
            Packet::ThreadExited { code, thread } => {
                self.running = false;
                let thread = self.id(thread);
                let reason = Reason::ThreadExited { code: code as i32 };
                if self.settings.report_threads { self.finish(thread, reason, None, None) } else { self.again(thread) }
            }
            Packet::NothingLeft => {
                self.running = false;
                let thread = self.current.unwrap_or(ThreadId { process: 1, thread: 1 });
                self.finish(thread, Reason::NothingResumed, None, None)
            }
        }
    }

    /// The stub did not set anything going.
    fn refused(&mut self, reply: &[u8]) -> Result<()> {
        match Reply::parse(reply) {
            // A bare `OK` some send before the stop.
            Reply::Ok => Ok(()),
            // Data of an earlier question that came late.
            Reply::Data(_) => Ok(()),
            Reply::Unsupported | Reply::Error(..) => {
                self.running = false;
                let outcome = self.put_back();
                self.plan = None;
                outcome?;
                Err(Error::new(Kind::Unsupported, "the stub does not let its target go on")
                    .hint("its thread may be gone; 'dpt' lists what is there"))
            }
        }
    }

    /// A process is no more.
    fn ended(&mut self, process: Option<u64>, reason: Reason) {
        self.running = false;
        let current = self.current.unwrap_or(ThreadId { process: 1, thread: 1 });
        let process = process.and_then(|process| ProcessId::try_from(process).ok()).unwrap_or(current.process);
        let thread = ThreadId { process, thread: process.into() };
        self.processes.remove(&process);
        self.points.forget_process(process);
        self.files.forget();
        self.plan = None;
        self.interrupted = None;
        self.forget();
        self.chosen = None;
        if current.process == process {
            self.current = None;
            if !self.processes.is_empty() {
                self.current = self.threads().ok().and_then(|threads| threads.first().map(|thread| thread.id));
            }
        }
        self.stops.push_back(Stop { thread, reason, pc: None, core: None });
    }

    /// Nothing that is told: the target goes on.
    fn again(&mut self, thread: ThreadId) -> Result<()> {
        if self.interrupted.is_some() {
            let pc = self.pc(thread).ok();
            return self.finish(thread, Reason::Interrupted, pc, None);
        }
        if self.plan.is_none() {
            return self.finish(thread, Reason::Signal { number: 0, code: 0, sender: None, address: None }, None, None);
        }
        self.go()
    }

    fn stopped_at(&mut self, mut stopped: Stopped) -> Result<()> {
        let thread = match stopped.thread {
            Some(thread) => self.id(thread),
            None => self.current.unwrap_or(ThreadId { process: 1, thread: 1 }),
        };
        self.adopt(thread.process);
        self.current = Some(thread);
        // Some stubs mean another thread after a stop; most mean the one that stopped, and cost nothing to ask.
        self.chosen = None;
        let core = stopped.core;
        self.known.expedited.insert(thread, std::mem::take(&mut stopped.registers));
        match self.reason(thread, &stopped)? {
            Next::Again => self.again(thread),
            Next::Report(reason) => {
                if self.lost.is_some() {
                    return Ok(());
                }
                let pc = if reason.is_end() { None } else { self.pc(thread).ok() };
                self.finish(thread, reason, pc, core)
            }
        }
    }

    /// The value of a key that only some stubs send.
    fn said<'a>(stopped: &'a Stopped, key: &str) -> Option<&'a str> {
        stopped.more.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    fn reason(&mut self, thread: ThreadId, stopped: &Stopped) -> Result<Next> {
        let stepping = self.plan.as_ref().and_then(|plan| plan.stepping) == Some(thread);
        if let Some(told) = &stopped.reason {
            match told {
                Told::SoftwareBreakpoint | Told::HardwareBreakpoint => {
                    return self.at_breakpoint(thread, *told == Told::HardwareBreakpoint);
                }
                Told::Write(address) | Told::Read(address) | Told::Access(address) => {
                    return Ok(self.watched(thread, *address, stepping));
                }
                Told::Library => {
                    self.known.modules.clear();
                    return Ok(Next::Again);
                }
                Told::HistoryEnd { beginning } => {
                    return Ok(Next::Report(Reason::HistoryEnd { beginning: *beginning }));
                }
                told => return self.told(thread, told),
            }
        }
        match Inner::said(stopped, "reason") {
            Some("breakpoint") => return self.at_breakpoint(thread, false),
            Some("watchpoint") => {
                let text = Inner::said(stopped, "description").and_then(|text| unhex_text(text.as_bytes()).ok());
                // `ADDRESS INDEX ADDRESS`, in decimal.
                let address = text.as_deref().and_then(|text| text.split_whitespace().next()?.parse().ok());
                if let Some(address) = address {
                    return Ok(self.watched(thread, address, stepping));
                }
            }
            Some("trace") if stepping => return Ok(self.stepped(thread)),
            _ => {}
        }
        let number = self.to_linux(stopped.signal);
        const SIGTRAP: i32 = 5;
        if number != SIGTRAP {
            return Ok(self.signalled(thread, number, stopped.signal));
        }
        if stepping {
            return Ok(self.stepped(thread));
        }
        self.trapped(thread)
    }

    /// A trap without an explanation, and no step.
    fn trapped(&mut self, thread: ThreadId) -> Result<Next> {
        let pc = self.pc(thread)?;
        if self.is_ours(thread, pc) {
            return Ok(self.hit(thread, pc, false).map_or(Next::Again, Next::Report));
        }
        let x86 = self.is_x86(thread.process);
        let before = pc.wrapping_sub(1);
        if x86 && self.points.is_trap_at(thread.process, before) {
            // Behind the trap: it was not the program's own, so the instruction under it is to be executed.
            self.set_pc(thread, before)?;
            return Ok(self.hit(thread, before, false).map_or(Next::Again, Next::Report));
        }
        if self.interrupted.is_some() {
            return Ok(Next::Report(Reason::Interrupted));
        }
        if x86 && self.byte(thread.process, before) == Some(0xcc) {
            return Ok(Next::Report(Reason::Trap));
        }
        Ok(Next::Report(Reason::Signal { number: 5, code: 0, sender: None, address: None }))
    }

    /// The stub says that it was a breakpoint.
    fn at_breakpoint(&mut self, thread: ThreadId, hardware: bool) -> Result<Next> {
        let pc = self.pc(thread)?;
        if self.is_ours(thread, pc) {
            return Ok(self.hit(thread, pc, hardware).map_or(Next::Again, Next::Report));
        }
        if self.points.passed.get(&thread) == Some(&pc) {
            return Ok(Next::Again);
        }
        let x86 = self.is_x86(thread.process);
        if x86 && self.points.is_trap_at(thread.process, pc.wrapping_sub(1)) {
            self.set_pc(thread, pc.wrapping_sub(1))?;
            return Ok(self.hit(thread, pc.wrapping_sub(1), hardware).map_or(Next::Again, Next::Report));
        }
        // The program's own. Where the stub put the program counter back onto it, it would be met for ever.
        if x86 && !hardware && self.byte(thread.process, pc) == Some(0xcc) {
            self.set_pc(thread, pc.wrapping_add(1))?;
        }
        Ok(Next::Report(Reason::Trap))
    }

    fn watched(&mut self, thread: ThreadId, address: u64, stepping: bool) -> Next {
        match self.watch_hit(thread, address) {
            Some(reason) => Next::Report(reason),
            None if stepping => self.stepped(thread),
            None => Next::Again,
        }
    }

    fn byte(&mut self, process: ProcessId, address: u64) -> Option<u8> {
        let mut byte = [0];
        (self.read(process, address, &mut byte).ok()? == 1).then_some(byte[0])
    }

    fn set_pc(&mut self, thread: ThreadId, pc: u64) -> Result<()> {
        let registers = self.registers(thread.process)?;
        let number = registers.layout.role(Role::Pc).and_then(|register| register.number);
        self.set_register(thread, number.ok_or_else(|| crate::debug::cannot("show its program counter"))?, pc)
    }

    fn signalled(&mut self, thread: ThreadId, number: i32, raw: u8) -> Next {
        const SIGINT: i32 = 2;
        const SIGSTOP: i32 = 19;
        let ours = self.interrupted.is_some() && (matches!(number, 0 | SIGINT | SIGSTOP) || raw == 0x13);
        if ours {
            return Next::Report(Reason::Interrupted);
        }
        let how = usize::try_from(number).ok().and_then(|at| self.handling.get(at)).copied();
        if number != 0 {
            self.signals.insert(thread, number);
        }
        if how.is_some_and(|how| !how.stop) && number != 0 {
            // It goes on with it, or without.
            if let Some(plan) = &mut self.plan {
                plan.redeliver();
            }
            return Next::Again;
        }
        let (code, sender, address) = self.about_signal(thread, number);
        Next::Report(Reason::Signal { number, code, sender, address })
    }

    /// What the system says of a signal (`siginfo_t`): its code, who sent it, the address of a fault.
    fn about_signal(&mut self, thread: ThreadId, number: i32) -> (i32, Option<ProcessId>, Option<u64>) {
        let nothing = (0, None, None);
        if number == 0 {
            return nothing;
        }
        let Ok(info) = self.signal_info(thread) else { return nothing };
        let Ok(registers) = self.registers(thread.process) else { return nothing };
        let (big_endian, wide) = (registers.layout.big_endian, registers.layout.bits == 64);
        let word = |at: usize| info.get(at..at + 4).map(|bytes| value_of(bytes, big_endian) as u32);
        let Some(code) = word(8).map(|code| code as i32) else { return nothing };
        let at = if wide { 16 } else { 12 };
        let fault = matches!(number, 4 | 5 | 7 | 8 | 11) && code > 0;
        let size = if wide { 8 } else { 4 };
        let address = info.get(at..at + size).map(|bytes| value_of(bytes, big_endian) as u64).filter(|_| fault);
        // Those that somebody sent have codes up to 0.
        let sender = word(at).filter(|sender| code <= 0 && *sender != 0);
        (code, sender, address)
    }

    /// The signal information of the signal that a thread stopped with.
    pub fn signal_info(&mut self, thread: ThreadId) -> Result<Vec<u8>> {
        if !self.stub.has("qXfer:siginfo:read") {
            return Err(crate::debug::cannot("tell about signals"));
        }
        if let Some(choose) = self.choose(thread) {
            self.ask_raw(choose)?;
        }
        self.object("siginfo", "")
    }

    /// Forks, execs, system calls, threads.
    fn told(&mut self, thread: ThreadId, told: &Told) -> Result<Next> {
        Ok(match told {
            // Catching that begins in the middle of a call sees its end, whichever it is.
            Told::CallEntry(call) | Told::CallReturn(call) if !self.catch.catches(*call) => Next::Again,
            Told::CallEntry(call) => {
                let arguments = self.arguments(thread);
                Next::Report(Reason::CallEntry { number: *call, arguments })
            }
            Told::CallReturn(call) => {
                let value = self.role(thread, Role::Result).or_else(|| self.role(thread, Role::Argument(0)));
                Next::Report(Reason::CallReturn { number: *call, value: value.unwrap_or(0) as i64 })
            }
            Told::Fork(child) | Told::Vfork(child) => {
                let child = self.id(*child);
                self.forked(thread, child, matches!(told, Told::Vfork(_)))?
            }
            Told::VforkDone => {
                self.points.shared = None;
                self.place()?;
                if self.settings.stop_at_fork { Next::Report(Reason::VforkDone) } else { Next::Again }
            }
            Told::Exec(path) => {
                self.executes(thread, path.clone());
                let reason = Reason::Exec { path: path.clone(), former: None };
                if self.settings.stop_at_exec { Next::Report(reason) } else { Next::Again }
            }
            Told::Created if self.settings.report_threads => Next::Report(Reason::ThreadCreated),
            _ => Next::Again,
        })
    }

    fn role(&mut self, thread: ThreadId, role: Role) -> Option<u64> {
        let registers = self.registers(thread.process).ok()?;
        let number = registers.layout.role(role)?.number?;
        self.register(thread, number).ok()
    }

    /// The arguments of a system call, in the order of the kernel.
    fn arguments(&mut self, thread: ThreadId) -> [u64; 6] {
        const X86_64: [&str; 6] = ["rdi", "rsi", "rdx", "r10", "r8", "r9"];
        const I386: [&str; 6] = ["ebx", "ecx", "edx", "esi", "edi", "ebp"];
        let mut arguments = [0; 6];
        let Ok(registers) = self.registers(thread.process) else { return arguments };
        for (at, argument) in arguments.iter_mut().enumerate() {
            let number = match registers.layout.architecture.as_str() {
                "i386:x86-64" => registers.layout.find(X86_64[at]),
                "i386" => registers.layout.find(I386[at]),
                _ => registers.layout.role(Role::Argument(at as u8)),
            };
            if let Some(number) = number.and_then(|register| register.number) {
                *argument = self.register(thread, number).unwrap_or(0);
            }
        }
        arguments
    }

    /// A process has a child: who is followed is a setting.
    fn forked(&mut self, parent: ThreadId, child: ThreadId, vfork: bool) -> Result<Next> {
        let known = self.processes.get(&parent.process);
        let (registers, attached) = known.map(|known| (known.registers.clone(), known.attached)).unwrap_or_default();
        let image = known.map_or(0, |known| known.image);
        self.adopt(child.process);
        if let Some(known) = self.processes.get_mut(&child.process) {
            (known.registers, known.attached, known.image) = (registers, attached, image);
        }
        self.points.inherit(parent.process, child.process);
        // Threads are listed anew, with the child's.
        self.known.threads = None;
        match self.settings.fork {
            Fork::Both => {}
            Fork::Parent => {
                if vfork {
                    // Both use the same memory: it is to be without traps until the child is off it.
                    self.take_out_all(parent.process)?;
                    self.points.shared = Some(parent.process);
                }
                self.leave(child.process)?;
                self.current = Some(parent);
            }
            Fork::Child => {
                self.leave(parent.process)?;
                self.current = Some(child);
            }
        }
        let reason = if vfork { Reason::Vfork { child } } else { Reason::Fork { child } };
        Ok(if self.settings.stop_at_fork { Next::Report(reason) } else { Next::Again })
    }

    /// A process runs another program: nothing that was known of it holds.
    fn executes(&mut self, thread: ThreadId, path: String) {
        self.image += 1;
        let image = self.image;
        self.points.forget_process(thread.process);
        self.files.forget();
        // Registers may have other numbers now.
        self.forget();
        if let Some(known) = self.processes.get_mut(&thread.process) {
            known.registers = None;
            known.program = Some(Some(path));
            known.image = image;
        }
    }
}
