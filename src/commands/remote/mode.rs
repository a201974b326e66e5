//! Remote command mode: what is typed runs on a host, statement by statement.

use super::number;
use crate::error::Result;
use crate::output::{Executor, Out};
use crate::session::Session;
use crate::session::context::Args;

/// `=!=`: enters the mode.
pub fn enter(session: &mut Session, args: &Args, _out: &mut Out<'_>) -> Result<()> {
    let wanted = args.words.first().map_or(Ok(0), |word| number(word))?;
    session.hosts.select(Some(wanted))?;
    session.view.remote = Some(session.hosts.current());
    Ok(())
}

/// `!=!`: leaves it.
pub fn leave(session: &mut Session, _args: &Args, _out: &mut Out<'_>) -> Result<()> {
    session.view.remote = None;
    Ok(())
}

/// Ends the mode because its host is gone.
pub fn end(session: &mut Session, out: &mut Out<'_>) {
    session.view.remote = None;
    out.note("the remote command mode has ended with its host");
}

/// Whether `statement` stays here in this mode: the family itself, and `q`.
pub fn stays(statement: &str) -> bool {
    let name = statement.split(char::is_whitespace).next().unwrap_or_default();
    // `R` alone is this family's; commands of the other side that start with it are not.
    let family = name.strip_prefix('R').is_some_and(|rest| {
        let known = crate::commands::resolve(name).is_some();
        known || rest.is_empty() || rest.starts_with('?')
    });
    family || name.starts_with(['=']) || name.starts_with("!=") || quits(statement)
}

fn quits(statement: &str) -> bool {
    matches!(statement.trim(), "q" | "q!" | "qq" | "quit")
}

/// Sends `statement` to the host in `slot`, or obeys it when it stays here and means the mode (`q`). Returns whether
/// that was all.
pub fn forward(session: &mut Session, slot: usize, statement: &str, out: &mut Out<'_>) -> Result<bool> {
    if quits(statement) {
        session.view.remote = None;
        return Ok(true);
    }
    if stays(statement) {
        return Ok(false);
    }
    let host = session.hosts.get(slot)?;
    let result = host.execute(statement, out);
    let outcome = host.outcome();
    super::hosts::follow(session, outcome);
    result.map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_and_q_stay_here() {
        for text in ["=", "=0 px", "==1", "=!=", "!=!", "R", "R?", "R- 0", "R=!", "q", "q!", " quit"] {
            assert!(stays(text.trim_start()), "{text}");
        }
        for text in ["px", "s 0x10", "quux", "!ls", "Rosebud", "pd 3 @ rip~call", "?e =", "q 3"] {
            assert!(!stays(text), "{text}");
        }
    }
}
