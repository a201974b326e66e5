//! A link that reads much at once for somebody who asks for little at a time: TLS takes 4 KiB, and system calls would
//! cost more than the encryption.

use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::time::Duration;

use super::{Breaker, Link, Token};

/// Bytes read at once from a quiet peer: what an idle connection keeps.
const LEAST: usize = 4 << 10;
/// Bytes read at once from a peer that sends as much as the line takes. More would not stay in the processor's cache.
const MOST: usize = 16 << 10;

/// A buffer before a link.
pub struct Wide {
    link: Box<dyn Link>,
    buffer: Vec<u8>,
    /// What was read and not taken.
    start: usize,
    end: usize,
}

impl Wide {
    /// Reads from `link` in larger pieces the more it has to give.
    pub fn new(link: Box<dyn Link>) -> Wide {
        Wide { link, buffer: Vec::new(), start: 0, end: 0 }
    }
}

impl Read for Wide {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end {
            let size = match self.end {
                0 => LEAST,
                last if last == self.buffer.len() => (last * 4).min(MOST),
                last if last <= LEAST => LEAST,
                _ => self.buffer.len(),
            };
            if size != self.buffer.len() {
                self.buffer = vec![0; size];
            }
            (self.start, self.end) = (0, 0);
            self.end = self.link.read(&mut self.buffer)?;
        }
        let count = out.len().min(self.end - self.start);
        out[..count].copy_from_slice(&self.buffer[self.start..self.start + count]);
        self.start += count;
        Ok(count)
    }
}

impl Write for Wide {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.link.write(bytes)
    }
    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.link.write_vectored(pieces)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.link.flush()
    }
}

impl Link for Wide {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.link.set_timeout(timeout)
    }
    fn peer(&self) -> &str {
        self.link.peer()
    }
    fn is_gone(&self) -> bool {
        self.start == self.end && self.link.is_gone()
    }
    fn breaker(&self) -> Breaker {
        self.link.breaker()
    }
    fn token(&self) -> Option<&Token> {
        self.link.token()
    }
    fn finish(&mut self) -> io::Result<()> {
        self.link.finish()
    }
    fn watch(&self) -> Box<dyn Fn() -> bool + Send + Sync> {
        self.link.watch()
    }
    fn descriptor(&self) -> Option<RawFd> {
        self.link.descriptor()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::memory;

    #[test]
    fn bytes_come_in_order_whatever_is_asked_for_and_then_the_end() {
        let (near, mut far) = memory::pair(Duration::ZERO);
        let sent: Vec<u8> = (0..200_000u32).map(|at| (at * 7 / 8) as u8).collect();
        far.write_all(&sent).unwrap();
        let mut wide = Wide::new(Box::new(near));
        let mut got = vec![0; 3];
        wide.read_exact(&mut got).unwrap();
        assert_eq!(wide.buffer.len(), LEAST);
        assert!(!wide.is_gone());
        drop(far);
        let mut rest = vec![0; sent.len() - 3];
        for piece in rest.chunks_mut(4096) {
            wide.read_exact(piece).unwrap();
        }
        got.append(&mut rest);
        assert!(got == sent);
        assert!(wide.buffer.len() > LEAST && wide.is_gone());
        assert_eq!(wide.read(&mut [0]).unwrap(), 0);
    }
}
