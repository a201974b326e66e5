//! System calls made in the name of a stopped thread.

use std::time::{Duration, Instant};

use super::state::State;
use super::sys::{self, Tid};
use super::wait::Next;
use super::x86;
use crate::debug::{Protection, ThreadId};
use crate::error::{Error, Kind, Result};

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(5);

const MAP_PRIVATE: u64 = 2;
const MAP_ANONYMOUS: u64 = 0x20;

fn bits(protection: Protection) -> u64 {
    u64::from(protection.read) | u64::from(protection.write) << 1 | u64::from(protection.execute) << 2
}

/// What a raw result says: a number, or an error of the system.
fn outcome(what: &str, result: i64) -> Result<u64> {
    if (-4095..0).contains(&result) {
        let error = std::io::Error::from_raw_os_error(-result as i32);
        return Err(Error::system(format!("the process cannot {what}"), &error));
    }
    Ok(result as u64)
}

impl State {
    /// See [`crate::debug::Target::system_call`].
    pub fn system_call(&mut self, thread: ThreadId, number: u64, arguments: [u64; 6]) -> Result<i64> {
        let tid = self.stopped(thread)?;
        let saved = self.registers(tid)?;
        let memory = self.memory_of(tid)?;
        let width = saved.width();
        let code = x86::call_instruction(width);
        // Nobody else may run through the place that is borrowed.
        let others = self.pause_running(None);
        let place = saved.pc();
        let mut original = [0u8; 2];
        let borrowed = if memory.read(place, &mut original) == 2 { Some(place) } else { None };
        let result = match borrowed {
            Some(place) => {
                let traps: Vec<u64> =
                    [place, place.wrapping_add(1)].into_iter().filter(|at| memory.is_trap(*at)).collect();
                for at in &traps {
                    memory.lift(*at, true);
                }
                let mut registers = saved;
                registers.set_call(width, number, arguments);
                let result = match memory.overwrite(place, &code) {
                    true => self.call_with(tid, registers),
                    false => Err(Error::new(Kind::Permission, "the code of the process cannot be written")),
                };
                memory.overwrite(place, &original);
                for at in &traps {
                    memory.lift(*at, false);
                }
                result
            }
            None => Err(Error::new(Kind::NotFound, format!("no code at 0x{place:x} to make a call from"))),
        };
        if let Some(task) = self.tasks.get_mut(&tid) {
            (task.registers, task.dirty, task.vector) = (Some(saved), true, None);
        }
        self.start_again(others);
        self.shared.bump();
        result
    }

    /// Steps over the instruction, whatever comes in between.
    fn call_with(&mut self, tid: Tid, registers: x86::General) -> Result<i64> {
        let deadline = Instant::now() + PATIENCE;
        let (reason, signal, passed) = match self.tasks.get(&tid) {
            Some(task) => (task.reason.clone(), task.signal, task.passed),
            None => return Err(super::state::gone(tid)),
        };
        self.set_registers(tid, registers);
        self.flush(tid)?;
        let mut again = true;
        let result = loop {
            sys::request(libc::PTRACE_SINGLESTEP, tid, 0, 0).map_err(|error| super::state::vanished(tid, &error))?;
            let status = loop {
                match sys::wait(tid, libc::WNOHANG) {
                    Ok(Some(waited)) => break waited.status,
                    Ok(None) if Instant::now() >= deadline => {
                        let _ = sys::interrupt(tid);
                        break sys::wait_for(tid).map_err(|error| super::state::vanished(tid, &error))?.status;
                    }
                    Ok(None) => std::thread::yield_now(),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(super::state::vanished(tid, &error)),
                }
            };
            if !libc::WIFSTOPPED(status) {
                let next = self.handle(tid, status);
                debug_assert_eq!(next, Next::Nothing);
                return Err(super::state::gone(tid));
            }
            let stop = libc::WSTOPSIG(status);
            match status >> 16 {
                0 if stop == libc::SIGTRAP => match x86::General::fetch(tid) {
                    // A thread that has just executed its program first comes back from that call, which leaves its
                    // own result where the number of ours was.
                    Ok(after) if again && after.pc() == registers.pc() => {
                        again = false;
                        self.set_registers(tid, registers);
                        self.flush(tid)?;
                    }
                    after => break Ok(after),
                },
                0 => {
                    // A signal: it gets it when it goes on.
                    if let (Ok(info), Some(task)) = (sys::signal_info(tid), self.tasks.get_mut(&tid)) {
                        task.deferred.push_back((stop, info));
                    }
                }
                1..=3 => {
                    let _ = self.handle(tid, status);
                }
                _ if Instant::now() >= deadline => {
                    break Err(Error::new(Kind::Timeout, "the system call does not come back"));
                }
                _ => {}
            }
        };
        if let Some(task) = self.tasks.get_mut(&tid) {
            (task.running, task.reason, task.signal, task.passed) = (false, reason, signal, passed);
        }
        let after = result?.map_err(|error| super::state::vanished(tid, &error))?;
        Ok(after.call_result())
    }

    fn caller(&self, process: u32) -> Result<ThreadId> {
        let current = self.shared.current().filter(|current| current.process == process);
        match current.filter(|current| self.stopped(*current).is_ok()) {
            Some(current) => Ok(current),
            None => self.any_stopped(process).map(|tid| self.id(tid)),
        }
    }

    /// New memory in a process.
    pub fn allocate(&mut self, process: u32, length: u64, protection: Protection) -> Result<u64> {
        let thread = self.caller(process)?;
        let [map, ..] = x86::memory_calls(self.processes.get(&process).map_or(x86::Width::W64, |p| p.width));
        let arguments = [0, length, bits(protection), MAP_PRIVATE | MAP_ANONYMOUS, u64::MAX, 0];
        outcome("allocate memory", self.system_call(thread, map, arguments)?)
    }

    /// Gives it back.
    pub fn release(&mut self, process: u32, address: u64, length: u64) -> Result<()> {
        let thread = self.caller(process)?;
        let [_, unmap, _] = x86::memory_calls(self.processes.get(&process).map_or(x86::Width::W64, |p| p.width));
        outcome("release memory", self.system_call(thread, unmap, [address, length, 0, 0, 0, 0])?).map(drop)
    }

    /// Changes what may be done with pages.
    pub fn protect(&mut self, process: u32, address: u64, length: u64, protection: Protection) -> Result<()> {
        let thread = self.caller(process)?;
        let [.., protect] = x86::memory_calls(self.processes.get(&process).map_or(x86::Width::W64, |p| p.width));
        let arguments = [address, length, bits(protection), 0, 0, 0];
        outcome("change the protection", self.system_call(thread, protect, arguments)?).map(drop)
    }
}
