//! Output that is collected because something wants all of it: filters, substitutions, scripts.

use std::borrow::Cow;
use std::io::{self, Write};

/// The most that is collected, in bytes.
const LIMIT: usize = 1 << 30;

/// A sink that collects, up to 1 GiB.
#[derive(Debug, Default)]
pub struct Capture {
    /// What was written so far.
    pub bytes: Vec<u8>,
}

impl Capture {
    /// The output as text.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > LIMIT {
            return Err(io::Error::other("more than 1 GiB cannot be collected; redirect it to a file"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
