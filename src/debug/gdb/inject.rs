//! Having a process do something for us: system calls, and with them memory of its own.

use std::time::Instant;

use super::line::Inner;
use crate::debug::{ProcessId, Protection, Resume, ThreadId};
use crate::error::{Error, Kind, Result};
use crate::output::Cancel;
use crate::protocol::rsp::Request;
use crate::protocol::rsp::memory::Memory;
use crate::protocol::rsp::wire::hex_number;

/// How a system call is made on an architecture.
struct Convention {
    instruction: &'static [u8],
    number: &'static str,
    arguments: [&'static str; 6],
    result: &'static str,
}

const X86_64: Convention = Convention {
    instruction: &[0x0f, 0x05],
    number: "rax",
    arguments: ["rdi", "rsi", "rdx", "r10", "r8", "r9"],
    result: "rax",
};
const I386: Convention = Convention {
    instruction: &[0xcd, 0x80],
    number: "eax",
    arguments: ["ebx", "ecx", "edx", "esi", "edi", "ebp"],
    result: "eax",
};
const AARCH64: Convention = Convention {
    instruction: &[0x01, 0, 0, 0xd4],
    number: "x8",
    arguments: ["x0", "x1", "x2", "x3", "x4", "x5"],
    result: "x0",
};

impl Inner {
    /// Makes `thread` make a system call; everything else about it is as it was afterwards.
    pub fn system_call(&mut self, thread: ThreadId, number: u64, arguments: [u64; 6]) -> Result<i64> {
        self.stopped()?;
        let registers = self.registers(thread.process)?;
        let layout = std::sync::Arc::clone(&registers.layout);
        let convention = match layout.architecture.as_str() {
            "i386:x86-64" => &X86_64,
            "i386" => &I386,
            "aarch64" => &AARCH64,
            _ => return Err(crate::debug::cannot("make system calls")),
        };
        let saved = self.read_set(thread, 0)?;
        let pc = self.pc(thread)?;
        let mut code = vec![0; convention.instruction.len()];
        self.read_whole(thread.process, pc, &mut code)?;
        if self.write_raw(thread.process, pc, convention.instruction)? < code.len() {
            return Err(Error::new(Kind::Permission, "no system call can be written where the process stands"));
        }
        let mut set = saved.clone();
        let mut put = |name: &str, value: u64| {
            if let Some(register) = layout.find(name) {
                register.set_value(&mut set, value, layout.big_endian);
            }
        };
        convention.arguments.iter().zip(arguments).for_each(|(name, value)| put(name, value));
        put(convention.number, number);
        let outcome = self.write_set(thread, 0, &set).and_then(|()| self.step_quietly(thread));
        let result = self.read_set(thread, 0).ok().and_then(|set| {
            let register = layout.find(convention.result)?;
            register.value(&set, layout.big_endian)
        });
        // Whatever came of it: code and registers are put back.
        let code = self.write_raw(thread.process, pc, &code);
        let restored = self.write_set(thread, 0, &saved);
        outcome?;
        code?;
        restored?;
        let result = result.ok_or_else(|| crate::debug::cannot("show what a system call gave"))?;
        Ok(if layout.bits == 32 { i64::from(result as u32 as i32) } else { result as i64 })
    }

    /// One step of a thread, of which nothing is told.
    fn step_quietly(&mut self, thread: ThreadId) -> Result<()> {
        let (reasons, passed) = (self.reasons.clone(), self.points.passed.clone());
        self.resume(&[Resume { deliver: crate::debug::Deliver::Nothing, ..Resume::step(thread) }])?;
        let deadline = Instant::now() + self.connection.timeout();
        while self.running && Instant::now() < deadline {
            self.turn(deadline, &Cancel::new())?;
        }
        if self.running {
            return Err(Error::new(Kind::Timeout, "the system call does not come back"));
        }
        let stop = self.stops.pop_back();
        (self.reasons, self.points.passed) = (reasons, passed);
        match stop.map(|stop| stop.reason) {
            Some(crate::debug::Reason::Step) => Ok(()),
            Some(reason) if reason.is_end() => Err(Error::new(Kind::NotFound, "the process ended during the call")),
            _ => Ok(()),
        }
    }

    /// New memory in the process.
    pub fn allocate(&mut self, process: ProcessId, length: u64, protection: Protection) -> Result<u64> {
        if self.stub.lldb {
            let permissions = protection.to_string().replace('-', "");
            let reply = self.ask(&Request::Memory(Memory::Allocate { size: length, permissions }))?;
            if let Some(address) = hex_number(&reply) {
                self.known.maps.remove(&process);
                return Ok(address);
            }
        }
        let number = self.call_number(process, [9, 192, 222])?;
        const PRIVATE_ANONYMOUS: u64 = 0x22;
        let thread = self.thread_of(process)?;
        let arguments = [0, length, bits(protection), PRIVATE_ANONYMOUS, u64::MAX, 0];
        let address = self.system_call(thread, number, arguments)?;
        checked(address, "allocate memory").map(|address| address as u64)
    }

    /// Gives memory back.
    pub fn release(&mut self, process: ProcessId, address: u64, length: u64) -> Result<()> {
        let number = self.call_number(process, [11, 91, 215])?;
        let thread = self.thread_of(process)?;
        checked(self.system_call(thread, number, [address, length, 0, 0, 0, 0])?, "release memory").map(drop)
    }

    /// Changes what the process may do with pages.
    pub fn protect(&mut self, process: ProcessId, address: u64, length: u64, protection: Protection) -> Result<()> {
        let number = self.call_number(process, [10, 125, 226])?;
        let thread = self.thread_of(process)?;
        let arguments = [address, length, bits(protection), 0, 0, 0];
        checked(self.system_call(thread, number, arguments)?, "change the protection of memory").map(drop)
    }

    /// The number of a system call of Linux, of those for x86-64, i386 and aarch64.
    fn call_number(&mut self, process: ProcessId, numbers: [u64; 3]) -> Result<u64> {
        let at = match self.registers(process)?.layout.architecture.as_str() {
            "i386:x86-64" => 0,
            "i386" => 1,
            "aarch64" => 2,
            _ => return Err(crate::debug::cannot("make system calls")),
        };
        self.known.maps.remove(&process);
        Ok(numbers[at])
    }
}

fn bits(protection: Protection) -> u64 {
    u64::from(protection.read) | u64::from(protection.write) << 1 | u64::from(protection.execute) << 2
}

fn checked(result: i64, what: &str) -> Result<i64> {
    match result {
        -4095..0 => Err(Error::new(Kind::System, format!("the process cannot {what}: error {}", -result))),
        result => Ok(result),
    }
}
