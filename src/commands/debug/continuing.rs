//! `dc`: letting a process run.

use super::bad;
use super::signals::deliver;
use crate::commands::{Arg, ArgKind, Command, Family, Run};
use crate::debug::condition::Op;
use crate::debug::modules;
use crate::debug::{Action, BreakpointId, Catch, Condition, Resume, Spec, Who};
use crate::error::{Error, Kind, Result};
use crate::output::Out;
use crate::session::context::Args;
use crate::session::debug::names::system_call_number;
use crate::session::debug::run::{run_and_report, run_quietly_to};
use crate::session::debug::{Debugged, debugged};
use crate::session::scope::Scope;
use crate::session::{Permissions, Session};

/// The family.
pub const FAMILY: Family = Family { name: "dc", summary: "let a process run", commands: COMMANDS };

const DEBUG: Permissions = Permissions::DEBUG;

const COMMANDS: &[Command] = &[
    Command {
        name: "dc",
        summary: "run until something happens",
        needs: DEBUG,
        run: Run::Session(|session, _, out| run_and_report(session, out, |_| Ok(vec![Resume::ALL]))),
        ..Command::DEFAULT
    },
    Command {
        name: "dcu",
        args: &[Arg::new("addr", ArgKind::Number)],
        summary: "run until an address is reached",
        needs: DEBUG,
        run: Run::Session(until),
        ..Command::DEFAULT
    },
    Command {
        name: "dcs",
        args: &[Arg::opt("name|number", ArgKind::Word).many()],
        summary: "run until the next system call (or the next of these)",
        needs: DEBUG,
        run: Run::Session(until_call),
        ..Command::DEFAULT
    },
    Command {
        name: "dck",
        args: &[Arg::opt("signal", ArgKind::Word), Arg::opt("tid", ArgKind::Number)],
        summary: "run, giving the process a signal (0: none, also not the one that it stopped with)",
        needs: DEBUG,
        run: Run::Session(with_signal),
        ..Command::DEFAULT
    },
    Command {
        name: "dcf",
        summary: "run until the process forks or executes another program",
        needs: DEBUG,
        run: Run::Session(until_fork),
        ..Command::DEFAULT
    },
    Command {
        name: "dcp",
        summary: "run until the code of the program itself is reached",
        needs: DEBUG,
        run: Run::Session(until_program),
        ..Command::DEFAULT
    },
    Command {
        name: "dcr",
        summary: "step until a return instruction (x86)",
        needs: DEBUG,
        run: Run::Session(|session, _, out| until_opcode(session, out, &[Pattern::byte(0xc3), Pattern::byte(0xc2)])),
        ..Command::DEFAULT
    },
    Command {
        name: "dcc",
        summary: "step until a call instruction (x86)",
        needs: DEBUG,
        run: Run::Session(|session, _, out| {
            // call rel32; call r/m has the digit 2 in the byte behind 0xff (SDM, volume 2, CALL).
            until_opcode(session, out, &[Pattern::byte(0xe8), Pattern { byte: 0xff, mask: 0x38, digits: 0x10 }])
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "dcb",
        summary: "run backwards, on targets that record",
        needs: DEBUG,
        run: Run::Session(|session, _, out| {
            let back = Resume { action: Action::ReverseContinue, ..Resume::ALL };
            run_and_report(session, out, |_| Ok(vec![back]))
        }),
        ..Command::DEFAULT
    },
];

fn until(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let address = session.with(|core, view| crate::number::evaluate(&args.text, &mut Scope { core, view }))?;
    out.note(format_args!("Continue until 0x{address:08x} using 1 bpsize"));
    let thread = session.with(|core, view| debugged(core, view)?.thread())?;
    run_to(session, out, address, Vec::new())?;
    let there = session.with(|core, view| {
        let mut debugged = debugged(core, view)?;
        Ok::<_, Error>(debugged.target.current() == Some(thread) && debugged.pc()? == address)
    })?;
    if there {
        out.note(format_args!("hit breakpoint at: 0x{address:x}"));
    }
    Ok(())
}

/// Runs until `address` is reached with `conditions`, or something else happens, which is told.
pub(super) fn run_to(session: &mut Session, out: &mut Out<'_>, address: u64, conditions: Vec<Condition>) -> Result<()> {
    let mut id: Option<BreakpointId> = None;
    let outcome = run_quietly_to(session, out, address, |debugged| {
        let spec = Spec { temporary: true, conditions, ..Spec::at(address) };
        id = Some(debugged.target.insert(&spec)?);
        Ok(vec![Resume::ALL])
    });
    // It stopped somewhere else, or did not go.
    if let Some(id) = id {
        session.with(|core, view| debugged(core, view)?.target.remove(id))?;
    }
    outcome
}

fn until_call(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let calls = session.with(|core, view| {
        let layout = debugged(core, view)?.layout()?;
        args.words
            .iter()
            .map(|word| match system_call_number(&layout, word) {
                Some(number) => Ok(number),
                None => crate::number::evaluate(word, &mut Scope { core, view })
                    .map_err(|error| error.hint("a number, or a name such as openat")),
            })
            .collect::<Result<Vec<u64>>>()
    })?;
    let catch = if calls.is_empty() { Catch::All } else { Catch::Some(calls) };
    out.note("Running child until next syscall");
    let before = session.with(|core, view| {
        let debugged = debugged(core, view)?;
        debugged.target.catch_calls(None, &catch)?;
        Ok::<_, Error>(debugged.notes.catch.clone())
    })?;
    let outcome = run_and_report(session, out, |_| Ok(vec![Resume::ALL]));
    session.with(|core, view| debugged(core, view)?.target.catch_calls(None, &before))?;
    outcome
}

fn with_signal(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let deliver = deliver(args.words.first().map(String::as_str))?;
    let thread = match args.words.get(1) {
        Some(word) => Some(session.with(|core, view| crate::number::evaluate(word, &mut Scope { core, view }))?),
        None => None,
    };
    let plan = |debugged: &mut Debugged<'_>| {
        let mut who = debugged.thread()?;
        if let Some(thread) = thread {
            who.thread = thread;
        }
        Ok(vec![Resume { who: Who::Thread(who), action: Action::Continue, deliver }, Resume::ALL])
    };
    run_and_report(session, out, plan)
}

fn until_fork(session: &mut Session, _: &Args, out: &mut Out<'_>) -> Result<()> {
    let mark = |session: &mut Session, on: bool| {
        session.with(|core, view| {
            debugged(core, view)?.notes.until_fork = on;
            Ok::<_, Error>(())
        })
    };
    mark(session, true)?;
    let outcome = run_and_report(session, out, |_| Ok(vec![Resume::ALL]));
    mark(session, false)?;
    outcome
}

/// Runs until the program counter is in the program's own code: to the return addresses on the stack that lie there,
/// or to its entry point while the dynamic loader is at work.
fn until_program(session: &mut Session, _: &Args, out: &mut Out<'_>) -> Result<()> {
    let address = session.with(|core, view| {
        let mut debugged = debugged(core, view)?;
        let process = debugged.thread()?.process;
        let program = debugged.target.program(process)?;
        let maps = debugged.maps()?;
        let own = |address: u64| maps.iter().any(|map| map.contains(address) && map.name.as_ref() == Some(&program));
        let limit = 128;
        let frames = crate::session::debug::unwind::backtrace(&mut debugged, limit)?;
        if frames.first().is_some_and(|frame| own(frame.pc)) {
            return Ok(None);
        }
        if let Some(frame) = frames.iter().find(|frame| own(frame.pc)) {
            return Ok(Some(frame.pc));
        }
        let entry = modules::entry(debugged.target, process)?;
        entry.map(Some).ok_or_else(|| Error::new(Kind::NotFound, "the way into the program's code is not known"))
    })?;
    match address {
        Some(address) => run_to(session, out, address, Vec::new()),
        None => Ok(()),
    }
}

/// An opcode: its byte, and which bits of the next one must be what.
struct Pattern {
    byte: u8,
    mask: u64,
    digits: u64,
}

impl Pattern {
    const fn byte(byte: u8) -> Pattern {
        Pattern { byte, mask: 0, digits: 0 }
    }
}

/// Steps until the next instruction begins, behind its prefixes, with one of `patterns`.
fn until_opcode(session: &mut Session, out: &mut Out<'_>, patterns: &[Pattern]) -> Result<()> {
    run_and_report(session, out, |debugged| {
        let layout = debugged.layout()?;
        if !layout.architecture.starts_with("i386") {
            return Err(bad(format!("instructions of {} are not told apart here", layout.architecture)));
        }
        let pc = layout.role(crate::debug::Role::Pc).and_then(|register| register.number);
        let pc = pc.and_then(|number| u16::try_from(number).ok());
        let pc = pc.ok_or_else(|| crate::debug::cannot("show its program counter"))?;
        let thread = debugged.thread()?;
        let condition = opcode_condition(pc, layout.bits == 64, patterns)?;
        let action = Action::Until { condition, limit: 0 };
        Ok(vec![Resume { who: Who::Thread(thread), action, deliver: crate::debug::Deliver::AsHandled }])
    })
}

/// Whether the byte at the program counter, or behind one prefix (REX, F2, F3), is one of `patterns`.
fn opcode_condition(pc: u16, wide: bool, patterns: &[Pattern]) -> Result<Condition> {
    let byte = |at: u64| [Op::Register(pc), Op::Constant(at), Op::Add, Op::Load(1)];
    // The place of the opcode: 1 behind a prefix, else 0.
    let mut ops = vec![];
    ops.extend(byte(0));
    ops.extend([Op::Constant(0xfe), Op::And, Op::Constant(0xf2), Op::Equal]);
    if wide {
        ops.extend(byte(0));
        ops.extend([Op::Constant(0xf0), Op::And, Op::Constant(0x40), Op::Equal, Op::Or]);
    }
    // The stack holds the place throughout, with the result above it.
    ops.push(Op::Constant(0));
    let at = |extra: u64| [Op::Register(pc), Op::Pick(2), Op::Add, Op::Constant(extra), Op::Add, Op::Load(1)];
    for pattern in patterns {
        ops.extend(at(0));
        ops.extend([Op::Constant(pattern.byte.into()), Op::Equal]);
        // One deeper: the comparison above lies on the stack.
        let next = [Op::Register(pc), Op::Pick(3), Op::Add, Op::Constant(1), Op::Add, Op::Load(1)];
        ops.extend(next);
        ops.extend([Op::Constant(pattern.mask), Op::And, Op::Constant(pattern.digits), Op::Equal, Op::And, Op::Or]);
    }
    Condition::new(ops)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debug::condition::Machine;

    /// The bytes are the memory from 0x1000, which is also the program counter.
    struct Code(Vec<u8>);

    impl Machine for Code {
        fn register(&mut self, _: u16) -> Result<u64> {
            Ok(0x1000)
        }
        fn memory(&mut self, address: u64, buffer: &mut [u8]) -> Result<()> {
            let at = address as usize - 0x1000;
            let bytes = self.0.get(at..at + buffer.len()).ok_or_else(|| Error::new(Kind::NotFound, "unmapped"))?;
            buffer.copy_from_slice(bytes);
            Ok(())
        }
    }

    #[test]
    fn calls_and_returns_are_told_apart() {
        let returns = opcode_condition(0, true, &[Pattern::byte(0xc3), Pattern::byte(0xc2)]).unwrap();
        let calls = [Pattern::byte(0xe8), Pattern { byte: 0xff, mask: 0x38, digits: 0x10 }];
        let calls = opcode_condition(0, true, &calls).unwrap();
        for (bytes, is_return, is_call) in [
            (&[0xc3, 0x90, 0x90][..], 1, 0),
            (&[0xf3, 0xc3, 0x90], 1, 0),
            (&[0xc2, 0x08, 0x00], 1, 0),
            (&[0xe8, 0x00, 0x00], 0, 1),
            (&[0xff, 0xd0, 0x90], 0, 1),
            (&[0x41, 0xff, 0xd3], 0, 1),
            (&[0xff, 0xe0, 0x90], 0, 0),
            (&[0x55, 0xc3, 0x90], 0, 0),
        ] {
            assert_eq!(returns.evaluate(&mut Code(bytes.to_vec())).unwrap(), is_return, "{bytes:x?}");
            assert_eq!(calls.evaluate(&mut Code(bytes.to_vec())).unwrap(), is_call, "{bytes:x?}");
        }
    }
}
