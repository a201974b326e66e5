//! Transports: connecting, framing, deadlines, and the rap client.
//!
//! A [`Link`] is a stream of bytes to a peer; what wraps one (encryption, tracing) is a link again.

pub mod credentials;
pub mod dial;
pub mod framed;
pub mod gdb;
pub mod memory;
pub mod private;
pub mod rap;
pub mod tcp;
pub mod tls;
pub mod unix;

use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

pub use credentials::Token;
pub use dial::{Security, dial};
pub use framed::{Framed, Traffic};
pub use tcp::connect;

/// A bidirectional stream of bytes. Reads and writes end with `WouldBlock` or `TimedOut` when the time set for
/// them has passed, so that whoever waits can look at deadlines and at Ctrl-C.
pub trait Link: Read + Write + Send {
    /// How long one read or write may wait; `None`: for ever; zero: not at all.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// Who is at the other end, for messages.
    fn peer(&self) -> &str;

    /// Whether the peer has closed the stream and nothing of it is left to read.
    fn is_gone(&self) -> bool;

    /// A handle that ends the stream from another thread: whoever waits on it wakes up.
    fn breaker(&self) -> Breaker;

    /// The secret that opens the peer's door. Only a stream that nobody else can read has one.
    fn token(&self) -> Option<&Token> {
        None
    }

    /// Says that nothing more will be sent; what the peer still sends can be read.
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Whether the connection has broken off, asked from another thread. A peer that has only finished sending is
    /// still there.
    fn watch(&self) -> Box<dyn Fn() -> bool + Send + Sync> {
        Box::new(|| false)
    }

    /// The descriptor that the operating system knows this stream by.
    fn descriptor(&self) -> Option<RawFd> {
        None
    }

    /// The same for whoever polls it beside other things. What a layer above the system holds back already does not
    /// show there: ask the link first.
    fn pollable(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Gives back memory that only busy moments need.
    fn trim(&mut self) {}
}

impl Link for Box<dyn Link> {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        (**self).set_timeout(timeout)
    }
    fn peer(&self) -> &str {
        (**self).peer()
    }
    fn is_gone(&self) -> bool {
        (**self).is_gone()
    }
    fn breaker(&self) -> Breaker {
        (**self).breaker()
    }
    fn token(&self) -> Option<&Token> {
        (**self).token()
    }
    fn finish(&mut self) -> io::Result<()> {
        (**self).finish()
    }
    fn watch(&self) -> Box<dyn Fn() -> bool + Send + Sync> {
        (**self).watch()
    }
    fn descriptor(&self) -> Option<RawFd> {
        (**self).descriptor()
    }
    fn pollable(&self) -> Option<BorrowedFd<'_>> {
        (**self).pollable()
    }
    fn trim(&mut self) {
        (**self).trim();
    }
}

/// Ends a link from another thread.
#[derive(Clone)]
pub struct Breaker {
    end: Arc<dyn Fn() + Send + Sync>,
    hush: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Breaker {
    /// A breaker that calls `end`, which may be called more than once.
    pub fn new(end: impl Fn() + Send + Sync + 'static) -> Breaker {
        Breaker { end: Arc::new(end), hush: None }
    }

    /// The same, for a link on which reading alone can be ended by `hush`.
    pub fn with_hush(self, hush: impl Fn() + Send + Sync + 'static) -> Breaker {
        Breaker { hush: Some(Arc::new(hush)), ..self }
    }

    /// Ends the link in both directions.
    pub fn trip(&self) {
        (self.end)();
    }

    /// Lets whoever reads from the link find its end, so that it can say goodbye; where that cannot be had, ends the
    /// link altogether.
    pub fn hush(&self) {
        self.hush.as_ref().unwrap_or(&self.end)();
    }
}
