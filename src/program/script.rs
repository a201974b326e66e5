//! Standard input as a source of command lines, without a prompt.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::output::Cancel;
use crate::session::LineSource;

/// A longer line is not a command.
const LONGEST: usize = 16 << 20;

/// Lines of `source`, which is waited for in a way that Ctrl-C ends.
pub struct Lines<S> {
    source: S,
    waiting: Vec<u8>,
    searched: usize,
    ended: bool,
}

impl<S: Read + AsFd> Lines<S> {
    /// The lines of `source`. Nothing else may buffer it.
    pub fn new(source: S) -> Lines<S> {
        Lines { source, waiting: Vec::new(), searched: 0, ended: false }
    }

    /// The next line without its end; `None` at the end of the input or when `cancel` is set while waiting.
    pub fn next(&mut self, cancel: &Cancel) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.waiting[self.searched..]) {
                let line: Vec<u8> = self.waiting.drain(..=self.searched + end).collect();
                self.searched = 0;
                return Ok(Some(text(&line)));
            }
            self.searched = self.waiting.len();
            if self.ended {
                self.searched = 0;
                let rest = std::mem::take(&mut self.waiting);
                return Ok((!rest.is_empty()).then(|| text(&rest)));
            }
            if self.waiting.len() > LONGEST {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is longer than 16 MiB"));
            }
            if !self.wait(cancel)? {
                return Ok(None);
            }
            let mut chunk = [0; 64 * 1024];
            match self.source.read(&mut chunk) {
                Ok(0) => self.ended = true,
                Ok(count) => self.waiting.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for input; `false` when `cancel` was set first. A signal ends the wait (unlike a read, which the system
    /// restarts); the deadline covers a signal that came just before it.
    fn wait(&self, cancel: &Cancel) -> io::Result<bool> {
        let deadline = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        loop {
            if cancel.is_set() {
                return Ok(false);
            }
            let mut fds = [PollFd::new(&self.source, PollFlags::IN)];
            match poll(&mut fds, Some(&deadline)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The lines of standard input, for the program and for sessions inside its session.
#[derive(Clone)]
pub struct SharedLines {
    lines: Arc<Mutex<Option<Lines<File>>>>,
    cancel: Cancel,
}

impl SharedLines {
    /// The lines of standard input; waiting for one ends when `cancel` is set. Nothing is opened before the first.
    pub fn new(cancel: Cancel) -> SharedLines {
        SharedLines { lines: Arc::default(), cancel }
    }

    /// The next line; see [`Lines::next`].
    pub fn next(&self) -> io::Result<Option<String>> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = match &mut *lines {
            Some(lines) => lines,
            // Rust's own handle has a buffer that would hide from the wait what has arrived.
            none => none.insert(Lines::new(File::from(io::stdin().as_fd().try_clone_to_owned()?))),
        };
        lines.next(&self.cancel)
    }
}

impl LineSource for SharedLines {
    fn read_line(&mut self, _prompt: &str) -> Option<String> {
        self.next().ok().flatten()
    }
}

fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(input: &[u8]) -> Vec<String> {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(input).unwrap();
        drop(writer);
        let mut lines = Lines::new(reader);
        std::iter::from_fn(|| lines.next(&Cancel::new()).unwrap()).collect()
    }

    #[test]
    fn splits_lines_and_keeps_the_last_one_without_an_end() {
        assert_eq!(lines(b"a\nb\r\n\nlast"), ["a", "b", "", "last"]);
        assert_eq!(lines(b""), [""; 0]);
        assert_eq!(lines(b"\xff\n"), ["\u{fffd}"]);
    }

    #[test]
    fn a_cancel_ends_the_wait() {
        let (reader, _writer) = io::pipe().unwrap();
        let cancel = Cancel::new();
        cancel.set();
        assert_eq!(Lines::new(reader).next(&cancel).unwrap(), None);
    }
}
