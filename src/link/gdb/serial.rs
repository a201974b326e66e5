//! A serial line: a terminal device without everything that terminals do to bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};

use crate::error::{Error, Kind, Result};
use crate::link::{Breaker, Link};

/// An open line.
struct Serial {
    file: File,
    peer: String,
    timeout: Option<Duration>,
    ended: Arc<AtomicBool>,
}

/// Opens the device at `path`: eight bits, no parity, one stop bit, no flow control.
///
/// # Errors
/// When it cannot be opened, is no terminal, or does not know the speed.
pub fn open(path: &Path, speed: u32) -> Result<Box<dyn Link>> {
    let failed = |error: io::Error| Error::system(format_args!("cannot open '{}'", path.display()), &error);
    // Without waiting for a carrier that a cable may not have.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(flags.bits() as i32).open(path).map_err(failed)?;
    let mut settings = tcgetattr(&file).map_err(|error| {
        Error::new(Kind::Usage, format!("'{}' is no serial line: {}", path.display(), io::Error::from(error)))
    })?;
    settings.make_raw();
    settings.control_modes |= ControlModes::CREAD | ControlModes::CLOCAL;
    settings.control_modes &= !(ControlModes::CRTSCTS | ControlModes::CSTOPB | ControlModes::PARENB);
    settings.set_speed(speed).map_err(|_| {
        Error::new(Kind::Usage, format!("no line is as fast as {speed}")).hint("9600, 57600, 115200, 921600 ...")
    })?;
    tcsetattr(&file, OptionalActions::Flush, &settings).map_err(|error| failed(error.into()))?;
    Ok(Box::new(Serial {
        file,
        peer: path.display().to_string(),
        timeout: None,
        ended: Arc::new(AtomicBool::new(false)),
    }))
}

impl Serial {
    fn wait(&self, flags: PollFlags) -> io::Result<()> {
        if self.ended.load(Ordering::Acquire) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let timeout = self.timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        match poll(&mut [PollFd::new(&self.file, flags)], timeout.as_ref())? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }
}

impl Read for Serial {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait(PollFlags::IN)?;
        self.file.read(buffer)
    }
}

impl Write for Serial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(PollFlags::OUT)?;
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link for Serial {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout = timeout;
        Ok(())
    }
    fn peer(&self) -> &str {
        &self.peer
    }
    fn is_gone(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
    fn breaker(&self) -> Breaker {
        let ended = Arc::clone(&self.ended);
        Breaker::new(move || ended.store(true, Ordering::Release))
    }
    fn pollable(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}
