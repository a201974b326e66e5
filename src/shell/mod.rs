//! The shell language: a line becomes a syntax tree ([`parse`]), the tree is evaluated over a session ([`evaluate`]).
//!
//! Every statement that fails prints one line and the next one runs; a syntax error rejects the whole text.

mod evaluate;
mod expand;
pub mod grep;
mod help;
mod html;
mod iterate;
mod json;
mod modifiers;
pub mod parse;
mod redirect;
pub mod tree;

use crate::commands::remote::mode;
pub use crate::commands::script::run_file;
use crate::error::Result;
use crate::output::{Executor, Out};
use crate::session::Session;

impl Executor for Session {
    /// Runs a line or script.
    ///
    /// # Errors
    /// Only what ends everything: a syntax error (nothing ran), an interruption, a reader that has gone away, or
    /// nesting beyond `cmd.depth`. Failures of single statements are reported through `out`.
    fn execute(&mut self, line: &str, out: &mut Out<'_>) -> Result<()> {
        let script = match parse::parse(line) {
            Ok(script) => script,
            // The host's language may be another one: it is the judge.
            Err(error) => match self.view.remote.filter(|_| self.view.depth == 0 && !mode::stays(line.trim_start())) {
                Some(slot) => return mode::forward(self, slot, line.trim(), out).map(drop),
                None => return Err(error),
            },
        };
        if self.view.depth > 0 {
            return evaluate::nested(self, |session| evaluate::script(session, &script, out));
        }
        self.view.failed = false;
        let outcome = evaluate::nested(self, |session| evaluate::script(session, &script, out));
        self.shell.leave = false;
        let line = line.trim();
        if !line.is_empty() && line != "." && !line.contains('\n') {
            self.shell.last_line = line.to_string();
        }
        outcome
    }
}
