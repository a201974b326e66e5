//! Commands that run another one, depending on the last value.

use std::time::Instant;

use crate::error::Result;
use crate::output::{Executor, Out};
use crate::session::Session;
use crate::session::context::Args;

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
    let outcome = session.execute(&args.text, out);
    out.line(format_args!("{:.6}", start.elapsed().as_secs_f64()))?;
    outcome
}

fn run_if(session: &mut Session, args: &Args, out: &mut Out<'_>, holds: fn(i64) -> bool) -> Result<()> {
    if holds(session.view.last as i64) { session.execute(&args.text, out) } else { Ok(()) }
}
