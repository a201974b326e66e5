//! A command whose standard input and output are the line: `ssh host gdbserver - program`, `vgdb`.

use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::link::unix::Unix;
use crate::link::{Breaker, Link};
use crate::output::visible;

/// How long a command may take to end once its input has ended.
const ENDING: Duration = Duration::from_millis(500);

/// The command, and our end of its streams.
pub struct Pipe {
    stream: Unix,
    child: Arc<Mutex<Child>>,
}

impl Pipe {
    /// Starts `command` with a shell. What it says on standard error is shown as it comes.
    ///
    /// # Errors
    /// When there is no shell.
    pub fn start(command: &str) -> Result<Pipe> {
        let failed = |error: io::Error| Error::system(format_args!("cannot start '{}'", visible(command)), &error);
        let (near, far) = UnixStream::pair().map_err(failed)?;
        let output = OwnedFd::from(far.try_clone().map_err(failed)?);
        let child = Command::new("/bin/sh")
            .args(["-c", command])
            .stdin(Stdio::from(OwnedFd::from(far)))
            .stdout(Stdio::from(output))
            // Ctrl-C at the prompt is for us: the target is stopped by a packet.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let peer = command.split_whitespace().next().unwrap_or("the command").to_string();
        Ok(Pipe { stream: Unix::new(near, peer).map_err(failed)?, child: Arc::new(Mutex::new(child)) })
    }
}

fn end(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    let until = Instant::now() + ENDING;
    while Instant::now() < until {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // The shell may have started others.
    if let Some(group) = rustix::process::Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = self.stream.finish();
        self.stream.breaker().trip();
        end(&self.child);
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
    fn read_vectored(&mut self, buffers: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        self.stream.read_vectored(buffers)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Link for Pipe {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_timeout(timeout)
    }
    fn peer(&self) -> &str {
        self.stream.peer()
    }
    fn is_gone(&self) -> bool {
        self.stream.is_gone()
    }
    fn breaker(&self) -> Breaker {
        self.stream.breaker()
    }
    fn finish(&mut self) -> io::Result<()> {
        self.stream.finish()
    }
    fn watch(&self) -> Box<dyn Fn() -> bool + Send + Sync> {
        self.stream.watch()
    }
    fn pollable(&self) -> Option<BorrowedFd<'_>> {
        self.stream.pollable()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_the_other_end_and_ends_with_the_line() {
        let mut pipe = Pipe::start("head -c 3; sleep 1000").unwrap();
        pipe.set_timeout(Some(Duration::from_secs(60))).unwrap();
        pipe.write_all(b"abc").unwrap();
        let mut got = [0; 3];
        pipe.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"abc");
        let child = Arc::clone(&pipe.child);
        drop(pipe);
        assert!(child.lock().unwrap().try_wait().unwrap().is_some());
    }
}
