//! `dk`: signals.

use std::io::{self, Write};

use serde::Serialize;

use super::{bad, target};
use crate::commands::{Arg, ArgKind, Command, Example, Family, Run};
use crate::debug::{Deliver, Handling, signals};
use crate::error::{Error, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "dk", summary: "signals of a process", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command {
        name: "dk",
        args: &[Arg::opt("signal", ArgKind::Word)],
        summary: "list the signals and what is done when they come, or send one",
        modes: &[Mode::Json, Mode::Commands],
        needs: Permissions::DEBUG,
        run: Run::Core(list_or_send),
        ..Command::DEFAULT
    },
    Command {
        name: "dk?",
        aliases: &["dkn"],
        args: &[Arg::new("signal", ArgKind::Word)],
        summary: "show the name of a signal's number, or the number of its name",
        examples: &[Example { line: "dk?9", shows: "SIGKILL" }, Example { line: "dk? SIGSEGV", shows: "11" }],
        run: Run::Core(name),
        ..Command::DEFAULT
    },
    Command {
        name: "dko",
        args: &[Arg::new("signal", ArgKind::Word), Arg::new("what", ArgKind::Word)],
        summary: "decide what is done when a signal comes: stop, cont, pass, skip (several: stop,pass)",
        details: "stop: the process stops. cont: it goes on. pass: the process gets the signal. skip: it does not.",
        needs: Permissions::DEBUG,
        run: Run::Core(decide),
        ..Command::DEFAULT
    },
];

#[derive(Serialize)]
struct Row {
    signum: i32,
    name: String,
    stop: bool,
    pass: bool,
}

impl Item for Row {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let Row { signum, name, stop, pass } = self;
        writeln!(
            out,
            "{signum:>2} {name:<10} {} {}",
            if *stop { "stop" } else { "cont" },
            if *pass { "pass" } else { "skip" }
        )
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        let Row { name, stop, pass, .. } = self;
        writeln!(out, "dko {name} {},{}", if *stop { "stop" } else { "cont" }, if *pass { "pass" } else { "skip" })
    }
}

fn parse(word: &str) -> Result<i32> {
    signals::number(word).ok_or_else(|| unknown(word))
}

fn unknown(word: &str) -> Error {
    bad(format!("no signal is called '{}'", visible(word))).hint("'dk' lists them")
}

fn list_or_send(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if let Some(word) = ctx.word(0) {
        let number = parse(word)?;
        return send(ctx, number);
    }
    let handlings = target(ctx)?.target.signals();
    for (at, handling) in handlings.iter().enumerate().skip(1) {
        let signum = at as i32;
        let Some(name) = signals::name(signum) else { continue };
        ctx.out.item(&Row { signum, name, stop: handling.stop, pass: handling.pass })?;
    }
    Ok(())
}

/// Sends a signal by the system call that a process sends them with; SIGKILL ends it at once.
fn send(ctx: &mut Ctx<'_, '_>, number: i32) -> Result<()> {
    const SIGKILL: i32 = 9;
    let mut debugged = target(ctx)?;
    let thread = debugged.thread()?;
    if number == SIGKILL {
        return super::process::kill(ctx, thread.process);
    }
    let layout = debugged.layout()?;
    let kill = crate::session::debug::names::system_call_number(&layout, "kill")
        .ok_or_else(|| crate::debug::cannot("send signals"))?;
    let arguments = [thread.process.into(), number as u64, 0, 0, 0, 0];
    debugged.target.system_call(thread, kill, arguments).map(drop)
}

fn name(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let word = ctx.word(0).unwrap_or_default();
    let number = signals::number(word).ok_or_else(|| unknown(word))?;
    match signals::name(number) {
        Some(name) if word.bytes().all(|byte| byte.is_ascii_digit()) => ctx.out.line(name),
        _ => ctx.out.line(number),
    }
}

fn decide(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let number = parse(ctx.word(0).unwrap_or_default())?;
    let words = ctx.word(1).unwrap_or_default().to_string();
    let debugged = target(ctx)?;
    let known = debugged.target.signals();
    let mut handling = known.get(number as usize).copied().unwrap_or(Handling { stop: true, print: true, pass: true });
    for word in words.split(',') {
        match word {
            "stop" => (handling.stop, handling.print) = (true, true),
            "cont" | "nostop" => handling.stop = false,
            "pass" => handling.pass = true,
            "skip" | "nopass" => handling.pass = false,
            _ => {
                return Err(
                    bad(format!("'{}' is nothing to do with a signal", visible(word))).hint("stop, cont, pass, skip")
                );
            }
        }
    }
    debugged.target.set_signal(number, handling)
}

/// Which signal a process gets when it goes on.
pub(super) fn deliver(word: Option<&str>) -> Result<Deliver> {
    match word {
        None => Ok(Deliver::AsHandled),
        Some("0") => Ok(Deliver::Nothing),
        Some(word) => parse(word).map(Deliver::Signal),
    }
}
