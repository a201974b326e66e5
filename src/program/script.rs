//! Standard input as a source of command lines, without a prompt.

use std::io::{self, Read};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::output::Cancel;

/// A longer line is not a command.
const LONGEST: usize = 16 << 20;

/// Lines of `source`, which is waited for in a way that Ctrl-C ends.
pub struct Lines<S> {
    source: S,
    waiting: Vec<u8>,
    searched: usize,
    ended: bool,
}

impl<S: Read + std::os::fd::AsFd> Lines<S> {
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
