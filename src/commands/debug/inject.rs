//! `dx`: running code of one's own in a process.

use super::target;
use crate::commands::{Arg, ArgKind, Command, Family, Run};
use crate::debug::registers::Role;
use crate::debug::{Action, Deliver, Reason, Resume, Spec, ThreadId, Who};
use crate::error::{Error, Kind, Result};
use crate::output::Out;
use crate::session::context::Args;
use crate::session::debug::debugged;
use crate::session::debug::names::system_call_number;
use crate::session::debug::run::run;
use crate::session::scope::Scope;
use crate::session::{Permissions, Session};

/// The family.
pub const FAMILY: Family = Family { name: "dx", summary: "run code in a process", commands: COMMANDS };

const DEBUG: Permissions = Permissions::DEBUG;

const COMMANDS: &[Command] = &[
    Command {
        name: "dx",
        args: &[Arg::new("hex", ArgKind::Hex)],
        summary: "run machine code at the program counter; registers and memory are as before afterwards",
        details: "The code runs until its end, or until something else happens. Shows the result register.",
        needs: DEBUG,
        run: Run::Session(code),
        ..Command::DEFAULT
    },
    Command {
        name: "dxf",
        args: &[Arg::new("addr", ArgKind::Number), Arg::opt("arg", ArgKind::Word).many()],
        summary: "call a function with up to six numbers and show its result",
        needs: DEBUG,
        run: Run::Session(call),
        ..Command::DEFAULT
    },
    Command {
        name: "dxs",
        args: &[Arg::new("name|number", ArgKind::Word), Arg::opt("arg", ArgKind::Word).many()],
        summary: "have the process make a system call and show its result",
        needs: DEBUG,
        run: Run::Core(|ctx| {
            let words = ctx.args.words.clone();
            let layout = target(ctx)?.layout()?;
            let number = match system_call_number(&layout, &words[0]) {
                Some(number) => number,
                None => ctx.required(0)?,
            };
            let mut arguments = [0; 6];
            if words.len() > 1 + arguments.len() {
                return Err(super::bad("a system call has at most six arguments"));
            }
            for at in 1..words.len() {
                arguments[at - 1] = ctx.required(at)?;
            }
            let debugged = target(ctx)?;
            let thread = debugged.thread()?;
            let result = debugged.target.system_call(thread, number, arguments)?;
            ctx.view.last = result as u64;
            ctx.out.line(format_args!("{result}"))
        }),
        ..Command::DEFAULT
    },
];

/// What a thread is before code is run in it.
struct Before {
    thread: ThreadId,
    registers: Vec<u8>,
    /// Memory that is overwritten, with its address.
    memory: Option<(u64, Vec<u8>)>,
}

impl Before {
    fn restore(self, session: &mut Session) -> Result<()> {
        session.with(|core, view| {
            let debugged = debugged(core, view)?;
            if let Some((address, bytes)) = self.memory {
                debugged.target.write_memory(self.thread.process, address, &bytes)?;
            }
            debugged.target.write_set(self.thread, 0, &self.registers)
        })
    }
}

fn code(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let digits: String = args.text.split_whitespace().collect();
    let mut code = vec![0; digits.len() / 2];
    faster_hex::hex_decode(digits.as_bytes(), &mut code).map_err(|_| super::bad("bad hexadecimal digits"))?;
    let before = session.with(|core, view| {
        let mut debugged = debugged(core, view)?;
        let thread = debugged.thread()?;
        let registers = debugged.target.read_set(thread, 0)?;
        let pc = debugged.pc()?;
        // One byte behind it takes the trap.
        let mut memory = vec![0; code.len() + 1];
        if debugged.target.read_memory(thread.process, pc, &mut memory)? < memory.len() {
            return Err(Error::new(Kind::NotFound, format!("there is no room for the code at 0x{pc:08x}")));
        }
        if debugged.target.write_memory(thread.process, pc, &code)? < code.len() {
            return Err(Error::new(Kind::Permission, format!("memory at 0x{pc:08x} cannot be written")));
        }
        Ok((Before { thread, registers, memory: Some((pc, memory)) }, pc))
    });
    let (before, pc) = before?;
    run_until(session, out, before, pc, pc.wrapping_add(code.len() as u64))
}

fn call(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let (before, function, back) = session.with(|core, view| {
        let numbers = args
            .words
            .iter()
            .map(|word| crate::number::evaluate(word, &mut Scope { core, view }))
            .collect::<Result<Vec<u64>>>()?;
        let Some((function, arguments)) = numbers.split_first() else {
            return Err(super::bad("what is to be called?"));
        };
        let mut debugged = debugged(core, view)?;
        let thread = debugged.thread()?;
        let layout = debugged.layout()?;
        let registers = debugged.target.read_set(thread, 0)?;
        let role = |role| {
            layout.role(role).ok_or_else(|| {
                Error::new(Kind::Unsupported, format!("how {} calls functions is not known here", layout.architecture))
            })
        };
        let mut set = registers.clone();
        for (at, value) in arguments.iter().enumerate() {
            role(Role::Argument(at as u8))?.set_value(&mut set, *value, layout.big_endian);
        }
        let pc = role(Role::Pc)?;
        let sp = role(Role::Sp)?;
        let back = pc.value(&registers, layout.big_endian).unwrap_or_default();
        // Below the red zone, and aligned as at a call (System V ABI, 3.2.2).
        const RED_ZONE: u64 = 128;
        let top = sp.value(&registers, layout.big_endian).unwrap_or_default().wrapping_sub(RED_ZONE) & !15;
        let size = (layout.bits / 8) as usize;
        let top = top.wrapping_sub(size as u64);
        let word = &back.to_le_bytes()[..size];
        let mut old = vec![0; size];
        debugged.target.read_memory(thread.process, top, &mut old)?;
        if debugged.target.write_memory(thread.process, top, word)? < size {
            return Err(Error::new(Kind::Permission, format!("the stack at 0x{top:08x} cannot be written")));
        }
        sp.set_value(&mut set, top, layout.big_endian);
        pc.set_value(&mut set, *function, layout.big_endian);
        debugged.target.write_set(thread, 0, &set)?;
        Ok((Before { thread, registers, memory: Some((top, old)) }, *function, back))
    })?;
    run_until(session, out, before, function, back)
}

/// Runs the thread from `from` until it comes to `to`, shows the result, and puts everything back.
fn run_until(session: &mut Session, out: &mut Out<'_>, before: Before, from: u64, to: u64) -> Result<()> {
    let (thread, seek) = (before.thread, session.view.seek);
    let mut id = None;
    let outcome = run(session, out, |debugged| {
        debugged.set_register("pc", from)?;
        id = Some(debugged.target.insert(&Spec { temporary: true, thread: Some(thread), ..Spec::at(to) })?);
        let deliver = Deliver::Nothing;
        Ok(vec![Resume { who: Who::Thread(thread), action: Action::Continue, deliver }])
    });
    let finished = session.with(|core, view| {
        let mut debugged = debugged(core, view)?;
        if let Some(id) = id {
            debugged.target.remove(id)?;
        }
        if debugged.target.current() != Some(thread) {
            return Ok(None);
        }
        let layout = debugged.layout()?;
        let result = layout.role(Role::Result).map(|register| register.name.clone());
        Ok::<_, Error>(Some(match result {
            Some(name) => debugged.register(&name)?,
            None => 0,
        }))
    })?;
    let stop = outcome?;
    let ended = stop.as_ref().is_some_and(|stop| stop.reason.is_end());
    if ended {
        return Err(Error::new(Kind::Closed, "the process ended while the code ran"));
    }
    before.restore(session)?;
    session.view.seek = seek;
    match (stop.map(|stop| stop.reason), finished) {
        (Some(Reason::Breakpoint { address, .. }), Some(result)) if address == to => {
            session.view.last = result;
            out.line(format_args!("0x{result:08x}"))
        }
        _ => Err(Error::new(Kind::Interrupted, "something else happened before the code came to its end")
            .hint("everything was put back; 'di' tells what happened")),
    }
}
