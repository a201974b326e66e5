//! `tcp://`, `tcps://` and `unix://` hosts: a connection for each command, which ends with its output; and one that
//! is kept for `=<`.

use std::os::fd::RawFd;

use super::connect::{Line, first_use};
use super::{Peer, State};
use crate::error::{Error, Kind, Result};
use crate::link::dial::{Place, dial};
use crate::link::{Framed, Traffic};
use crate::output::printer::Printer;
use crate::output::{Cancel, Executor, Out};

/// A server of commands, or somebody who only listens.
pub struct Lines {
    place: Place,
    line: Line,
    /// The connection for `=<`.
    held: Option<Framed>,
    past: Traffic,
}

impl Lines {
    /// Connects to `place`; the note is for the user to see.
    pub fn connect(place: Place, line: Line) -> Result<(Lines, Option<String>)> {
        let mut lines = Lines { place, line, held: None, past: Traffic::default() };
        let cancel = lines.line.cancel.clone();
        let (framed, note) = lines.dial(&cancel)?;
        lines.held = Some(framed);
        Ok((lines, note))
    }

    fn dial(&self, cancel: &Cancel) -> Result<(Framed, Option<String>)> {
        let (link, first) = dial(&self.place, &self.line.security, self.line.timeout, cancel)?;
        Ok((Framed::new(link, Some(cancel.clone())), first.map(|first| first_use(&first))))
    }

    /// Counts what crossed `framed`, which ends here.
    fn done(&mut self, framed: &Framed) {
        self.past += framed.traffic();
    }

    fn ask(&self, framed: &mut Framed, line: &str, out: &mut Out<'_>) -> Result<()> {
        let patience = Some(self.line.timeout);
        // In one piece: some servers take the first segment for the whole command.
        framed.queue().extend_from_slice(line.as_bytes());
        framed.queue().push(b'\n');
        framed.flush(patience)?;
        // Others wait for the end of what is sent. A peer that has answered and gone by now needs no end.
        let _ = framed.finish();
        let mut printer = Printer::default();
        loop {
            // A command may take as long as it wants; its output must not stop in the middle.
            let patience = patience.filter(|_| printer.has_begun());
            match framed.fill(patience) {
                Ok(()) => {
                    printer.push(framed.arrived(), out)?;
                    framed.consume(framed.arrived().len());
                    out.flush()?;
                }
                Err(error) if error.kind() == Kind::Closed => return printer.finish(out),
                Err(error) => {
                    printer.finish(out)?;
                    return Err(error);
                }
            }
        }
    }
}

impl Executor for Lines {
    fn execute(&mut self, line: &str, out: &mut Out<'_>) -> Result<()> {
        if line.contains(['\n', '\0']) {
            return Err(Error::new(Kind::Usage, "a command for this host is one line, without NUL"));
        }
        // Old servers serve one connection at a time: one that is kept would be in the way.
        if let Some(held) = self.held.take() {
            self.done(&held);
        }
        let cancel = out.cancel().clone();
        let (mut framed, note) = self.dial(&cancel)?;
        note.into_iter().for_each(|note| out.note(note));
        let outcome = self.ask(&mut framed, line, out);
        self.done(&framed);
        outcome
    }
}

impl Peer for Lines {
    fn state(&self) -> State {
        match &self.held {
            Some(held) if held.is_gone() => State::Closed,
            Some(_) => State::Connected,
            None => State::OnDemand,
        }
    }

    fn traffic(&self) -> Traffic {
        let mut all = self.past;
        all += self.held.as_ref().map(Framed::traffic).unwrap_or_default();
        all
    }

    fn capabilities(&self) -> Vec<String> {
        ["run", "push"].map(str::to_string).to_vec()
    }

    fn descriptor(&self) -> Option<RawFd> {
        self.held.as_ref().and_then(Framed::descriptor)
    }

    fn push(&mut self, bytes: &[u8], cancel: &Cancel) -> Result<()> {
        if let Some(held) = self.held.take_if(|held| held.is_gone()) {
            self.done(&held);
        }
        let mut framed = match self.held.take() {
            Some(held) => held,
            None => self.dial(cancel)?.0,
        };
        framed.set_cancel(cancel.clone());
        framed.queue().extend_from_slice(bytes);
        let outcome = framed.flush(Some(self.line.timeout));
        match outcome {
            Ok(()) => self.held = Some(framed),
            // What it got of the output is not known: the next use connects again.
            Err(_) => self.done(&framed),
        }
        outcome
    }
}
