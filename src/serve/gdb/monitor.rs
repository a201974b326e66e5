//! `monitor`: a door to the server's own commands.

use super::conversation::{Answer, Conversation, ok};
use crate::error::{Error, Kind, Result};
use crate::output::{Executor, Out, Style};

const HELP: &str = "\
monitor exit       end the server
monitor help       this
monitor COMMAND    run a command of remora: monitor ?e, monitor hash sha256 ...
";

impl Conversation<'_> {
    /// Runs a line of the client's user; what it says goes to the client's console.
    pub(super) fn monitor(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<Answer> {
        let line = std::str::from_utf8(line).map_err(|_| Error::new(Kind::Usage, "the command is no text"))?.trim();
        match line {
            "exit" | "quit" => {
                self.over = true;
                ok(out)?;
                return Ok(Answer::Leave);
            }
            "" | "help" => {
                self.say(HELP.as_bytes())?;
                return ok(out);
            }
            _ => {}
        }
        let mut session = self.options.session(self.seat);
        let (mut text, mut errors) = (Vec::new(), Vec::new());
        let begun = std::time::Instant::now();
        let outcome = {
            let mut out = Out::new(&mut text, &mut errors, Style::default(), self.seat.cancel.clone());
            session.execute(line, &mut out)
        };
        if let Err(error) = &outcome
            && errors.is_empty()
        {
            errors.extend_from_slice(format!("Error: {error}\n").as_bytes());
        }
        self.seat.gate.ran(line, text.len() as u64, outcome.as_ref().err(), begun)?;
        self.say(&errors)?;
        self.say(&text)?;
        if let Some(home) = &self.options.home {
            home.settle(&session.view);
        }
        ok(out)
    }
}
