//! A link inside this process, with a latency of its own: the double of a far line in tests.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Breaker, Link};

/// Bytes one direction holds before its writer waits, like a socket's buffer.
const CAPACITY: usize = 256 * 1024;

/// One end of a pair.
pub struct Memory {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
    timeout: Option<Duration>,
}

/// Two ends of a line on which each byte travels for `latency`.
pub fn pair(latency: Duration) -> (Memory, Memory) {
    let (there, back) = (Arc::new(Pipe::new(latency)), Arc::new(Pipe::new(latency)));
    let near = Memory { incoming: Arc::clone(&back), outgoing: Arc::clone(&there), timeout: None };
    (near, Memory { incoming: there, outgoing: back, timeout: None })
}

struct Pipe {
    latency: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What is under way, with the time of its arrival.
    chunks: VecDeque<(Instant, Vec<u8>)>,
    held: usize,
    closed: bool,
}

impl Pipe {
    fn new(latency: Duration) -> Pipe {
        Pipe { latency, state: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits for a change until `until`; `None`: the time is over.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, until: Option<Instant>) -> Option<MutexGuard<'a, State>> {
        let Some(until) = until else {
            return Some(self.changed.wait(state).unwrap_or_else(PoisonError::into_inner));
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        Some(self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        let mut state = self.incoming.lock();
        loop {
            let arrival = state.chunks.front().map(|chunk| chunk.0);
            if arrival.is_some_and(|arrival| arrival <= Instant::now())
                && let Some((arrival, mut chunk)) = state.chunks.pop_front()
            {
                let count = chunk.len().min(buffer.len());
                buffer[..count].copy_from_slice(&chunk[..count]);
                if count < chunk.len() {
                    chunk.drain(..count);
                    state.chunks.push_front((arrival, chunk));
                }
                state.held -= count;
                self.incoming.changed.notify_all();
                return Ok(count);
            }
            if arrival.is_none() && state.closed {
                return Ok(0);
            }
            let until = [arrival, deadline].into_iter().flatten().min();
            let over = deadline.is_some_and(|deadline| Some(deadline) == until);
            state = match self.incoming.wait(state, until) {
                Some(state) => state,
                None if over => return Err(io::ErrorKind::WouldBlock.into()),
                None => self.incoming.lock(),
            };
        }
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        let mut state = self.outgoing.lock();
        loop {
            if state.closed {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if state.held < CAPACITY {
                let count = bytes.len().min(CAPACITY - state.held);
                state.held += count;
                state.chunks.push_back((Instant::now() + self.outgoing.latency, bytes[..count].to_vec()));
                self.outgoing.changed.notify_all();
                return Ok(count);
            }
            state = self.outgoing.wait(state, deadline).ok_or(io::ErrorKind::WouldBlock)?;
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link for Memory {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout = timeout;
        Ok(())
    }

    fn peer(&self) -> &str {
        "memory"
    }

    fn is_gone(&self) -> bool {
        let state = self.incoming.lock();
        state.closed && state.chunks.is_empty()
    }

    fn breaker(&self) -> Breaker {
        let (incoming, outgoing) = (Arc::clone(&self.incoming), Arc::clone(&self.outgoing));
        let reading = Arc::clone(&self.incoming);
        Breaker::new(move || {
            incoming.close();
            outgoing.close();
        })
        .with_hush(move || reading.close())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.outgoing.close();
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.incoming.close();
        self.outgoing.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_after_the_latency_and_the_end_after_them() {
        let (mut near, mut far) = pair(Duration::from_millis(20));
        let sent = Instant::now();
        near.write_all(b"abc").unwrap();
        drop(near);
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        assert!(sent.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn waits_end_with_their_time_and_with_the_breaker() {
        let (mut near, _far) = pair(Duration::ZERO);
        near.set_timeout(Some(Duration::from_millis(1))).unwrap();
        assert_eq!(near.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        near.set_timeout(None).unwrap();
        let breaker = near.breaker();
        let waiting = std::thread::spawn(move || near.read(&mut [0]).unwrap());
        breaker.trip();
        assert_eq!(waiting.join().unwrap(), 0);
    }
}
