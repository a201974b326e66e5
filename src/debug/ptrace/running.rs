//! The memory of a process that runs on, and is not traced.

use super::memory::Memory;
use super::{proc, sys};
use crate::debug::ProcessId;
use crate::error::{Error, Kind, Result};

/// A running process whose memory is read and written.
pub struct Running {
    process: ProcessId,
    memory: Memory,
    only_own: bool,
}

impl Running {
    /// The memory of `process`. With `only_own` what the process could not read or write itself is left alone.
    ///
    /// # Errors
    /// [`Kind::NotFound`], and [`Kind::Permission`] when the system does not let us.
    pub fn open(process: ProcessId, only_own: bool) -> Result<Running> {
        let pid = i32::try_from(process).ok().filter(|pid| *pid > 0);
        let pid = pid.ok_or_else(|| Error::new(Kind::NotFound, format!("no process {process}")))?;
        let memory = Memory::open(pid, 0).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOENT | libc::ESRCH) => {
                Error::new(Kind::NotFound, format!("no process {process}")).hint("proc:// lists the processes")
            }
            Some(libc::EACCES | libc::EPERM) => {
                Error::new(Kind::Permission, format!("not allowed to read the process {process}"))
                    .hint("it belongs to another user, or kernel.yama.ptrace_scope keeps it: CAP_SYS_PTRACE is needed")
            }
            _ => Error::system(format!("the process {process}"), &error),
        })?;
        Ok(Running { process, memory, only_own })
    }

    /// Its number.
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// Reads; the answer is how many bytes could be read from the start. A process that has ended is an error.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let count = if self.only_own {
            sys::vm_read(self.process as i32, address, buffer).unwrap_or(0)
        } else {
            self.memory.read_raw(address, buffer)
        };
        self.alive(count)
    }

    /// Writes; the answer is how many bytes were written from the start.
    pub fn write(&self, address: u64, data: &[u8]) -> Result<usize> {
        let count = if self.only_own {
            sys::vm_write(self.process as i32, address, data).unwrap_or(0)
        } else {
            self.memory.write(address, data).unwrap_or(0)
        };
        self.alive(count)
    }

    fn alive(&self, count: usize) -> Result<usize> {
        if count == 0 && proc::maps(self.process).map_or(true, |maps| maps.is_empty()) {
            return Err(Error::new(Kind::NotFound, format!("the process {} has ended", self.process)));
        }
        Ok(count)
    }
}
