//! Commands that run another one, depending on the last value.

use std::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::output::{Executor, Out};
use crate::session::context::Args;
use crate::session::{Session, Value, config};

pub fn if_true(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    if args.text.is_empty() {
        let last = session.view.last;
        return out.line(last);
    }
    run_if(session, args, out, |last| last != 0)
}

pub fn if_false(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    run_if(session, args, out, |last| last == 0)
}

pub fn if_positive(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    run_if(session, args, out, |last| last > 0)
}

pub fn if_negative(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    run_if(session, args, out, |last| last < 0)
}

pub fn timed(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let start = Instant::now();
    let outcome = nested(session, &args.text, out);
    out.line(format_args!("{:.6}", start.elapsed().as_secs_f64()))?;
    outcome
}

fn run_if(session: &mut Session, args: &Args, out: &mut Out<'_>, holds: fn(i64) -> bool) -> Result<()> {
    if holds(session.view.last as i64) { nested(session, &args.text, out) } else { Ok(()) }
}

/// Runs `line` one level deeper: `?? ?? ?? ...` must end before the stack does.
fn nested(session: &mut Session, line: &str, out: &mut Out<'_>) -> Result<()> {
    let limit = match session.with(|core, view| config::lookup(&view.overrides, &core.config, "cmd.depth")) {
        Value::Number(limit) => limit,
        _ => 0,
    };
    if u64::from(session.view.depth) >= limit {
        return Err(
            Error::new(Kind::Limit, format!("commands nest more than {limit} deep")).hint("e cmd.depth allows more")
        );
    }
    session.view.depth += 1;
    let outcome = session.execute(line, out);
    session.view.depth -= 1;
    outcome
}
