//! The plain TCP service: a client sends commands, reads their output to the end, and is hung up on.
//!
//! Clients disagree about where a command ends: a line end, the end of what they send, or just silence. All three
//! are understood, and whatever has arrived until then runs. Errors are lines of the output, for who types with `nc`.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Seat, ServeOptions, Service};
use crate::error::{Error, Kind, Result};
use crate::link::{Framed, Link};
use crate::output::{Executor, Out, Style};

/// The service.
pub const SERVICE: Service = Service {
    name: "tcp",
    shares: true,
    presents_tokens: false,
    exposes: "can read and change files here and run commands",
    serve,
};

/// Silence that ends a command without a line end.
const SILENCE: Duration = Duration::from_millis(150);

/// Bytes of commands that one client may send.
const LONGEST: usize = 1 << 20;

/// Bytes of output that are collected before they are sent.
const BATCH: usize = 64 * 1024;

/// How long, and how much, what a client still sends is taken before the connection is closed: closing with
/// unread bytes would take the answer back.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 1 << 20);

fn serve(link: Box<dyn Link>, seat: &Seat, options: &ServeOptions) -> Result<()> {
    let mut framed = Framed::new(link, Some(seat.cancel.clone()));
    let Some((text, finished)) = commands(&mut framed, options.patience)? else { return Ok(()) };
    let gone = if finished { Box::new(|| false) } else { framed.watch() };
    let mut session = options.session(seat);
    let line = Rc::new(RefCell::new(Line { framed, patience: options.patience, any: false, lost: None }));
    seat.while_watched(gone, || {
        let cancel = seat.cancel.clone();
        let (mut sink, mut errors) = (Sink(Rc::clone(&line)), Sink(Rc::clone(&line)));
        let mut out = Out::new(&mut sink, &mut errors, Style::default(), cancel);
        if let Err(error) = session.execute(&text, &mut out) {
            out.error(&error);
        }
    });
    if let Some(home) = &options.home {
        home.settle(&session.view);
    }
    let mut line = line.borrow_mut();
    if let Some(error) = line.lost.take() {
        return if error.kind() == Kind::Closed { Ok(()) } else { Err(error) };
    }
    if !line.any {
        line.framed.queue().push(b'\n');
    }
    line.framed.flush(Some(options.patience))?;
    linger(&mut line.framed);
    Ok(())
}

/// The commands that a client sends, and whether it has said that it sends no more; `None`: it sent nothing.
fn commands(framed: &mut Framed, patience: Duration) -> Result<Option<(String, bool)>> {
    let deadline = Instant::now() + patience;
    let finished = loop {
        let arrived = framed.arrived();
        if arrived.iter().rev().find(|byte| !matches!(byte, b'\r' | 0)) == Some(&b'\n') {
            break false;
        }
        if arrived.len() > LONGEST {
            return Err(Error::new(Kind::Limit, format!("a command of more than {LONGEST} bytes")));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = if arrived.is_empty() { left } else { left.min(SILENCE) };
        match framed.fill(Some(wait)) {
            Ok(()) => {}
            Err(error) => match error.kind() {
                Kind::Timeout => break false,
                Kind::Closed => break true,
                _ => return Err(error),
            },
        }
    };
    let bytes: Vec<u8> = framed.arrived().iter().copied().filter(|byte| !matches!(byte, b'\r' | 0)).collect();
    framed.consume(framed.arrived().len());
    if bytes.is_empty() {
        return Ok(None);
    }
    Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), finished)))
}

/// Waits for the client to hang up first.
fn linger(framed: &mut Framed) {
    // A client that has gone already needs no manners.
    if framed.finish().is_err() {
        return;
    }
    let deadline = Instant::now() + LINGER.0;
    let mut taken = 0;
    while taken < LINGER.1 {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || framed.fill(Some(left)).is_err() {
            return;
        }
        taken += framed.arrived().len();
        framed.consume(framed.arrived().len());
    }
}

/// The connection as a place for output.
struct Line {
    framed: Framed,
    patience: Duration,
    any: bool,
    /// Why nothing more can be sent.
    lost: Option<Error>,
}

struct Sink(Rc<RefCell<Line>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut line = self.0.borrow_mut();
        if line.lost.is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        line.any |= !bytes.is_empty();
        line.framed.queue().extend_from_slice(bytes);
        if line.framed.queue().len() >= BATCH {
            let patience = Some(line.patience);
            if let Err(error) = line.framed.flush(patience) {
                line.lost = Some(error);
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
