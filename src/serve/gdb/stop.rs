//! Stops, as the client is told of them.

use std::ops::Range;
use std::sync::Arc;

use super::conversation::Conversation;
use super::register::shown;
use crate::debug::registers::Group;
use crate::debug::{ProcessId, Reason as Why, Register, Role, State, Stop as Happened, ThreadId, WatchAccess};
use crate::error::Result;
use crate::protocol::rsp::stop::{Reason, Stop, Stopped};
use crate::protocol::rsp::wire::push_hex;

/// GDB's number of SIGINT.
const INT: u8 = 2;
/// GDB's number of SIGTRAP.
const TRAP: u8 = 5;

/// Where the registers that come with each stop lie in set 0.
pub struct Expedited {
    process: ProcessId,
    everything: bool,
    registers: Vec<(u32, Range<usize>)>,
}

impl Conversation<'_> {
    /// What the client is told of `stop`; `None`: nothing.
    pub(super) fn stop_reply(&mut self, stop: &Happened) -> Result<Option<Stop>> {
        let thread = stop.thread;
        let process = self.client.multiprocess.then(|| u64::from(thread.process));
        if stop.reason.is_end() {
            self.forget(thread.process);
        }
        let (signal, reason) = match &stop.reason {
            Why::Exited { code } => return Ok(Some(Stop::Exited { code: *code as u8, process })),
            Why::Killed { signal, .. } => {
                return Ok(Some(Stop::Killed { signal: self.client.signal(*signal), process }));
            }
            Why::Lost { .. } => return Ok(Some(Stop::Killed { signal: self.client.signal(9), process })),
            Why::ThreadExited { code } => {
                return Ok(Some(Stop::ThreadExited { code: *code as u8 as u64, thread: self.name(thread) }));
            }
            Why::NothingResumed if self.client.no_resumed => return Ok(Some(Stop::NothingLeft)),
            Why::NothingResumed => (0, None),
            Why::Breakpoint { hardware, address, .. } => {
                let told = if *hardware { self.client.hwbreak } else { self.client.swbreak };
                if !*hardware && self.client.expects_pc_behind_traps() {
                    // One that was killed meanwhile has no use for it; its end is told next.
                    let _ = self.move_behind(thread, *address);
                }
                let reason = if *hardware { Reason::HardwareBreakpoint } else { Reason::SoftwareBreakpoint };
                (TRAP, told.then_some(reason))
            }
            Why::Watch { address, access, .. } => {
                let reason = match access {
                    WatchAccess::Write => Reason::Write(*address),
                    WatchAccess::Read => Reason::Read(*address),
                    WatchAccess::Access => Reason::Access(*address),
                };
                (TRAP, Some(reason))
            }
            Why::Step | Why::Trap | Why::Attached => (TRAP, None),
            Why::Signal { number, .. } => (self.client.signal(*number), None),
            Why::GroupStop { signal } => (self.client.signal(*signal), None),
            Why::Interrupted => (INT, None),
            Why::CallEntry { number, .. } => (TRAP, Some(Reason::CallEntry(*number))),
            Why::CallReturn { number, .. } => (TRAP, Some(Reason::CallReturn(*number))),
            Why::Fork { child } if self.client.fork => (TRAP, Some(Reason::Fork(self.name(*child)))),
            Why::Vfork { child } if self.client.vfork => (TRAP, Some(Reason::Vfork(self.name(*child)))),
            Why::VforkDone if self.client.vfork => (TRAP, Some(Reason::VforkDone)),
            Why::Exec { path, .. } if self.client.exec => (TRAP, Some(Reason::Exec(path.clone()))),
            Why::Fork { .. } | Why::Vfork { .. } | Why::VforkDone | Why::Exec { .. } => return Ok(None),
            Why::ThreadCreated => (TRAP, Some(Reason::Created)),
            Why::HistoryEnd { beginning } => (TRAP, Some(Reason::HistoryEnd { beginning: *beginning })),
        };
        if matches!(stop.reason, Why::Exec { .. }) {
            let process = thread.process;
            self.stub.with(|target| {
                self.breakpoints.forget(process, target);
                Ok(())
            })?;
            self.objects.clear();
            self.expedited = None;
        }
        self.general = Some(thread);
        let mut stopped = self.plain(thread, signal, stop.core)?;
        stopped.reason = reason;
        if self.client.lldb {
            // What cannot be had any more is left out: the end of the process is told next.
            let _ = self.add_for_lldb(&mut stopped, stop);
        }
        Ok(Some(Stop::Stopped(stopped)))
    }

    /// A stop with nothing special about it.
    pub(super) fn plain_stop(&mut self, thread: ThreadId, signal: u8, core: Option<u32>) -> Result<Stop> {
        self.plain(thread, signal, core).map(Stop::Stopped)
    }

    fn plain(&mut self, thread: ThreadId, signal: u8, core: Option<u32>) -> Result<Stopped> {
        let known = self.expedited(thread.process).and_then(|expedited| {
            let set = self.stub.with(|target| target.read_set(thread, 0))?;
            Ok((expedited, set))
        });
        // SIGKILL may have come in between: the stop is told all the same, and the end behind it.
        let registers = known.map_or_else(
            |_| Vec::new(),
            |(expedited, set)| {
                let values = expedited.registers.iter();
                values.filter_map(|(number, range)| Some((*number, set.get(range.clone())?.to_vec()))).collect()
            },
        );
        Ok(Stopped { signal, reason: None, thread: Some(self.name(thread)), core, registers, more: Vec::new() })
    }

    /// The registers that come with each stop: what every debugger asks for at once; LLDB asks for all general ones.
    fn expedited(&mut self, process: ProcessId) -> Result<Arc<Expedited>> {
        let everything = self.client.lldb;
        if let Some(known) = &self.expedited
            && (known.process, known.everything) == (process, everything)
        {
            return Ok(Arc::clone(known));
        }
        let layout = self.stub.with(|target| target.layout(process))?;
        let wanted = |register: &Register| match everything {
            true => matches!(register.group, Group::General | Group::Segment),
            false => matches!(register.role, Some(Role::Pc | Role::Sp | Role::Fp)),
        };
        let shown = shown(&layout).into_iter().filter(|(_, register)| register.set == 0 && wanted(register));
        let registers = shown.map(|(number, register)| (number, register.range())).collect();
        let expedited = Arc::new(Expedited { process, everything, registers });
        // What belongs to a session may exec without this client's hearing of it.
        if self.stub.is_own() {
            self.expedited = Some(Arc::clone(&expedited));
        }
        Ok(expedited)
    }

    /// For a client that takes it for granted that the program counter is behind the trap.
    fn move_behind(&mut self, thread: ThreadId, address: u64) -> Result<()> {
        let layout = self.layout(thread)?;
        let Some(pc) = layout.role(Role::Pc) else { return Ok(()) };
        self.stub.with(|target| {
            let mut set = target.read_set(thread, pc.set)?;
            if pc.value(&set, layout.big_endian) == Some(address) {
                pc.set_value(&mut set, address.wrapping_add(1), layout.big_endian);
                target.write_set(thread, pc.set, &set)?;
            }
            Ok(())
        })
    }

    fn add_for_lldb(&mut self, stopped: &mut Stopped, stop: &Happened) -> Result<()> {
        let process = stop.thread.process;
        let threads = self.stub.with(|target| target.threads(Some(process)))?;
        let mut add = |key: &str, value: String| stopped.more.push((key.to_string(), value));
        let hex = |text: &str| {
            let mut digits = Vec::new();
            push_hex(&mut digits, text.as_bytes());
            String::from_utf8_lossy(&digits).into_owned()
        };
        if let Some(name) = threads.iter().find(|known| known.id == stop.thread).and_then(|known| known.name.clone()) {
            // Whatever would end the field has to come encoded.
            match name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte)) {
                true => add("name", name),
                false => add("hexname", hex(&name)),
            }
        }
        if self.client.lists_threads {
            let stopped = |state: &State| matches!(state, State::Stopped(_));
            let mut ids = Vec::new();
            let mut pcs = Vec::new();
            let layout = self.layout(stop.thread)?;
            for known in threads.iter().filter(|known| stopped(&known.state)) {
                let Some(pc) = layout.role(Role::Pc) else { break };
                let set = self.stub.with(|target| target.read_set(known.id, pc.set))?;
                if let Some(value) = pc.value(&set, layout.big_endian) {
                    ids.push(format!("{:x}", known.id.thread));
                    pcs.push(format!("{value:x}"));
                }
            }
            add("threads", ids.join(","));
            add("thread-pcs", pcs.join(","));
        }
        if let Some(reason) = name(&stop.reason) {
            add("reason", reason.to_string());
        }
        if let Why::Watch { address, .. } = &stop.reason {
            add("description", hex(&format!("{address} 0 {address}")));
        }
        Ok(())
    }
}

/// What LLDB calls the reason of a stop.
pub fn name(reason: &Why) -> Option<&'static str> {
    Some(match reason {
        Why::Breakpoint { .. } => "breakpoint",
        Why::Watch { .. } => "watchpoint",
        Why::Step => "trace",
        Why::Signal { number: 0, .. } => return None,
        Why::Signal { .. } | Why::Interrupted | Why::GroupStop { .. } | Why::Trap => "signal",
        Why::Fork { .. } => "fork",
        Why::Vfork { .. } => "vfork",
        Why::VforkDone => "vforkdone",
        Why::Exec { .. } => "exec",
        Why::HistoryEnd { .. } => "history",
        _ => return None,
    })
}
