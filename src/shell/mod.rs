//! The shell language: a line becomes a syntax tree, the tree is evaluated over a session.

use crate::commands;
use crate::error::{Error, Kind, Result};
use crate::output::{Executor, Out};
use crate::session::Session;
use crate::session::context::Args;

impl Executor for Session {
    fn execute(&mut self, line: &str, out: &mut Out<'_>) -> Result<()> {
        for statement in line.split(';').map(str::trim).filter(|s| !s.is_empty()) {
            let (command, mode, rest) = commands::resolve(statement)
                .ok_or_else(|| Error::new(Kind::UnknownCommand, format!("Command '{statement}' does not exist.")))?;
            let args =
                Args { words: rest.split_whitespace().map(str::to_string).collect(), text: rest.trim().to_string() };
            commands::invoke(self, command, mode, &args, out)?;
        }
        Ok(())
    }
}
