//! `ds`: going on by single instructions, lines and frames.

use std::sync::Arc;

use super::continuing::run_to;
use crate::commands::{Arg, ArgKind, Command, Family, Run};
use crate::debug::condition::Op;
use crate::debug::registers::Role;
use crate::debug::{Action, Condition, Deliver, Reason, Resume, Who};
use crate::error::{Error, Kind, Result};
use crate::output::{Executor, Out};
use crate::session::context::Args;
use crate::session::debug::condition::compile;
use crate::session::debug::run::{report, run, run_and_report};
use crate::session::debug::{Debugged, debugged, instruction, unwind};
use crate::session::scope::Scope;
use crate::session::{Ctx, Permissions, Session};

/// The family.
pub const FAMILY: Family = Family { name: "ds", summary: "step through a process", commands: COMMANDS };

const DEBUG: Permissions = Permissions::DEBUG;
const COUNT: &[Arg] = &[Arg::opt("count", ArgKind::Number)];

const COMMANDS: &[Command] = &[
    Command {
        name: "ds",
        args: COUNT,
        summary: "execute so many instructions (default: 1)",
        needs: DEBUG,
        run: Run::Session(|session, args, out| {
            let count = number(session, args)?.unwrap_or(1);
            step(session, out, Action::Step { count })
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "dso",
        args: COUNT,
        summary: "execute so many instructions, going over calls",
        needs: DEBUG,
        run: Run::Session(over),
        ..Command::DEFAULT
    },
    Command {
        name: "dsl",
        args: COUNT,
        summary: "run so many lines of the source, into functions that have lines",
        details: "Needs debug information (-g), in the program or a separate file. Calls of functions without lines are \
                  run to their end.",
        needs: DEBUG,
        run: Run::Session(|session, args, out| lines(session, args, out, false)),
        ..Command::DEFAULT
    },
    Command {
        name: "dslo",
        args: COUNT,
        summary: "run so many lines of the source, going over calls",
        needs: DEBUG,
        run: Run::Session(|session, args, out| lines(session, args, out, true)),
        ..Command::DEFAULT
    },
    Command {
        name: "dss",
        args: COUNT,
        summary: "skip so many instructions: they are not executed",
        needs: DEBUG,
        run: Run::Core(skip),
        ..Command::DEFAULT
    },
    Command {
        name: "dsu",
        args: &[Arg::new("addr", ArgKind::Number)],
        summary: "step until an address is reached",
        needs: DEBUG,
        run: Run::Session(|session, args, out| {
            let address = number(session, args)?.unwrap_or_default();
            step_until(session, out, &format!("$r{{pc}}==0x{address:x}"))
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "dsi",
        args: &[Arg::new("cond", ArgKind::Text)],
        summary: "step until a condition holds: dsi rip==0x401000,[4:rsp]!=0",
        needs: DEBUG,
        run: Run::Session(|session, args, out| step_until(session, out, &args.text)),
        ..Command::DEFAULT
    },
    Command {
        name: "dsf",
        summary: "run until the function here returns",
        needs: DEBUG,
        run: Run::Session(finish),
        ..Command::DEFAULT
    },
    Command {
        name: "dsb",
        args: COUNT,
        summary: "go back by so many instructions, on targets that record",
        needs: DEBUG,
        run: Run::Session(|session, args, out| {
            let count = number(session, args)?.unwrap_or(1);
            (0..count).try_for_each(|_| step(session, out, Action::ReverseStep))
        }),
        ..Command::DEFAULT
    },
];

fn number(session: &mut Session, args: &Args) -> Result<Option<u64>> {
    if args.words.is_empty() {
        return Ok(None);
    }
    session.with(|core, view| crate::number::evaluate(&args.text, &mut Scope { core, view })).map(Some)
}

/// What makes only the thread that is meant do `action`.
fn alone(debugged: &Debugged<'_>, action: Action) -> Result<Vec<Resume>> {
    Ok(vec![Resume { who: Who::Thread(debugged.thread()?), action, deliver: Deliver::AsHandled }])
}

fn step(session: &mut Session, out: &mut Out<'_>, action: Action) -> Result<()> {
    run_and_report(session, out, |debugged| alone(debugged, action))
}

/// Steps until the condition holds, or something else happens.
fn step_until(session: &mut Session, out: &mut Out<'_>, text: &str) -> Result<()> {
    let condition = session.with(|core, view| {
        let layout = debugged(core, view)?.layout()?;
        compile(text, Scope { core, view }, &layout)
    })?;
    step(session, out, Action::Until { condition, limit: 0 })
}

/// A condition that holds while the stack pointer is above `sp`: the frame that it was in is gone.
fn above(debugged: &mut Debugged<'_>, sp: u64) -> Result<Vec<Condition>> {
    let layout = debugged.layout()?;
    let number =
        layout.role(Role::Sp).and_then(|register| register.number).and_then(|number| u16::try_from(number).ok());
    let number = number.ok_or_else(|| crate::debug::cannot("show its stack pointer"))?;
    Ok(vec![Condition::new(vec![Op::Constant(sp), Op::Register(number), Op::Less])?])
}

/// Steps; a call is run to its end, also when it calls itself.
fn over(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let count = number(session, args)?.unwrap_or(1);
    for _ in 0..count {
        let call = session.with(|core, view| {
            let mut debugged = debugged(core, view)?;
            let pc = debugged.pc()?;
            let instruction = instruction::at(&mut debugged, pc)?;
            if !instruction.kind.is_call() {
                return Ok(None);
            }
            let sp = debugged.register("sp")?;
            // The return address is pushed below what is the stack pointer now.
            Ok::<_, Error>(Some((instruction.next(), above(&mut debugged, sp.wrapping_sub(1))?)))
        })?;
        match call {
            Some((address, conditions)) => run_to(session, out, address, conditions)?,
            None => step(session, out, Action::Step { count: 1 })?,
        }
    }
    Ok(())
}

/// A line of the source, with the addresses of a stretch of its code.
fn line_at(session: &mut Session, pc: u64) -> Option<(Arc<str>, u32, u64, u64)> {
    let place = session.with(|core, view| core.line(view, pc)).filter(|place| place.line > 0)?;
    Some((place.file, place.line, place.addr, place.addr.saturating_add(place.size.max(1))))
}

/// What a thread is about to do within a line.
enum Next {
    /// An instruction that may leave the line: a call, or a return from a frame.
    Instruction,
    /// A call that ends at this address, in this frame.
    Over(u64, Vec<Condition>),
    /// Code up to this address.
    Code(u64),
}

/// Runs to another line, into calls of functions that have lines, or over all.
fn lines(session: &mut Session, args: &Args, out: &mut Out<'_>, over: bool) -> Result<()> {
    /// A line takes at most so many stops: one for each of its calls.
    const MOST: u32 = 100_000;
    for _ in 0..number(session, args)?.unwrap_or(1) {
        let start = pc(session)?;
        let (file, line, ..) = line_at(session, start).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("no line of the source is known for 0x{start:08x}"))
                .hint("'ds' steps by instructions; lines need debug information (-g)")
        })?;
        for _ in 0..MOST {
            out.cancel().check()?;
            let here = pc(session)?;
            match line_at(session, here) {
                // The middle of another line is what a call returned to: that line goes on.
                Some((other, number, begins, end)) if (&other, number) != (&file, line) => {
                    if begins == here {
                        break;
                    }
                    if !passes(session, out, end, over)? {
                        return Ok(());
                    }
                }
                Some((_, _, _, end)) => {
                    if !passes(session, out, end, over)? {
                        return Ok(());
                    }
                }
                // Code that nobody wrote a line for: back to whoever called it.
                None => {
                    let outer = session.with(|core, view| {
                        let mut debugged = debugged(core, view)?;
                        let frames = unwind::backtrace(&mut debugged, 2)?;
                        let [inner, outer] = frames.as_slice() else { return Ok(None) };
                        Ok::<_, Error>(Some((outer.pc, above(&mut debugged, inner.sp)?)))
                    })?;
                    let Some((address, conditions)) = outer else { return Ok(()) };
                    run_to(session, out, address, conditions)?;
                    if !session.with(|core, view| debugged(core, view)?.pc().map(|pc| pc == address)).unwrap_or(false) {
                        return Ok(());
                    }
                }
            }
        }
    }
    show_line(session, out)
}

fn pc(session: &mut Session) -> Result<u64> {
    session.with(|core, view| debugged(core, view)?.pc())
}

/// Goes on within a line whose code ends at `end`. `false`: something else stopped the process, which was told.
fn passes(session: &mut Session, out: &mut Out<'_>, end: u64, over: bool) -> Result<bool> {
    let next = session.with(|core, view| {
        let mut debugged = debugged(core, view)?;
        let here = debugged.pc()?;
        let mut at = here;
        // Up to the next call: what is before it runs in one go.
        while at < end {
            let instruction = instruction::at(&mut debugged, at)?;
            if instruction.kind.is_call() || instruction.kind.is_return() {
                break;
            }
            at = instruction.next();
        }
        if at != here {
            return Ok(Next::Code(at));
        }
        let instruction = instruction::at(&mut debugged, here)?;
        if !(over && instruction.kind.is_call()) {
            return Ok(Next::Instruction);
        }
        let sp = debugged.register("sp")?;
        Ok::<_, Error>(Next::Over(instruction.next(), above(&mut debugged, sp.wrapping_sub(1))?))
    })?;
    let stop = match next {
        Next::Instruction => run(session, out, |debugged| alone(debugged, Action::Step { count: 1 }))?,
        Next::Code(end) => run(session, out, |debugged| {
            let start = debugged.pc()?;
            alone(debugged, Action::Range { start, end })
        })?,
        Next::Over(address, conditions) => {
            run_to(session, out, address, conditions)?;
            return Ok(pc(session).is_ok_and(|pc| pc == address));
        }
    };
    match stop {
        Some(stop) if stop.reason != Reason::Step => {
            report(session, out, &stop)?;
            Ok(false)
        }
        _ => Ok(true),
    }
}

/// Shows where the thread is now, as a line of the source.
fn show_line(session: &mut Session, out: &mut Out<'_>) -> Result<()> {
    let here = pc(session)?;
    if let Some((file, line, ..)) = line_at(session, here) {
        let name = file.rsplit('/').next().unwrap_or_default();
        out.note(format_args!("{}:{line} at 0x{here:x}", crate::output::visible(name)));
    }
    if session.view.interactive {
        session.execute(&format!("pd 1 @ 0x{here:x}"), out)?;
    }
    Ok(())
}

fn skip(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let count = ctx.number(0)?.unwrap_or(1);
    let mut debugged = debugged(ctx.core, ctx.view)?;
    let mut pc = debugged.pc()?;
    for _ in 0..count {
        ctx.out.cancel().check()?;
        pc = instruction::at(&mut debugged, pc)?.next();
    }
    debugged.set_register("pc", pc)?;
    ctx.view.seek = pc;
    Ok(())
}

fn finish(session: &mut Session, _: &Args, out: &mut Out<'_>) -> Result<()> {
    let (address, conditions) = session.with(|core, view| {
        let mut debugged = debugged(core, view)?;
        let frames = unwind::backtrace(&mut debugged, 2)?;
        let [inner, outer] = frames.as_slice() else {
            return Err(Error::new(Kind::NotFound, "nobody called the function here, as far as the stack tells"));
        };
        Ok((outer.pc, above(&mut debugged, inner.sp)?))
    })?;
    run_to(session, out, address, conditions)
}
