//! `ds`: going on by single instructions, lines and frames.

use super::continuing::run_to;
use crate::commands::{Arg, ArgKind, Command, Family, Run};
use crate::debug::condition::Op;
use crate::debug::registers::Role;
use crate::debug::{Action, Condition, Deliver, Resume, Who};
use crate::error::{Error, Kind, Result};
use crate::output::Out;
use crate::session::context::Args;
use crate::session::debug::condition::compile;
use crate::session::debug::run::run_and_report;
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
