//! Standard input and output as a line to a debugger that has started this program.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::link::{Breaker, Link};

/// The line.
pub struct Standard {
    input: io::Stdin,
    output: io::Stdout,
    timeout: Option<Duration>,
    ended: bool,
    broken: Arc<AtomicBool>,
}

impl Standard {
    /// A line over this program's standard input and output.
    pub fn new() -> Standard {
        Standard { input: io::stdin(), output: io::stdout(), timeout: None, ended: false, broken: Arc::default() }
    }

    fn wait(&self, descriptor: BorrowedFd<'_>, flags: PollFlags) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let timeout = self.timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        match poll(&mut [PollFd::from_borrowed_fd(descriptor, flags)], timeout.as_ref())? {
            0 => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    }
}

impl Read for Standard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait(self.input.as_fd(), PollFlags::IN)?;
        // Past the buffer of the library, which polling does not see.
        let count = rustix::io::read(self.input.as_fd(), &mut *buffer)?;
        self.ended |= count == 0 && !buffer.is_empty();
        Ok(count)
    }
}

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(self.output.as_fd(), PollFlags::OUT)?;
        Ok(rustix::io::write(self.output.as_fd(), bytes)?)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link for Standard {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout = timeout;
        Ok(())
    }
    fn peer(&self) -> &str {
        "standard input"
    }
    fn is_gone(&self) -> bool {
        self.ended
    }
    fn breaker(&self) -> Breaker {
        let broken = Arc::clone(&self.broken);
        Breaker::new(move || broken.store(true, Ordering::SeqCst))
    }
    fn pollable(&self) -> Option<BorrowedFd<'_>> {
        Some(self.input.as_fd())
    }
}
