//! Going on: `vCont` and its forerunners, and what may happen meanwhile without a stop.

use super::thread::switch;
use super::wire::{Cursor, hex_number, push, push_hex, push_number};
use super::{Parsed, Refusal, Thread};

/// What a thread does. Signals are GDB's numbers; see [`super::signal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `c`, or `C` with a signal.
    Continue(Option<u8>),
    /// `s`, or `S` with a signal.
    Step(Option<u8>),
    /// `t`: stops.
    Stop,
    /// `r`: steps once, and on while the program counter is in the range.
    Range {
        /// Its first address.
        start: u64,
        /// The one behind its last.
        end: u64,
    },
}

/// Requests about going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// `vCont?`: which actions there are.
    Actions,
    /// `vCont`: for each thread, the first action that names it.
    Continue(Vec<(Action, Option<Thread>)>),
    /// `c` `C` `s` `S`: the chosen thread, perhaps from another address.
    Simple(Action, Option<u64>),
    /// `bc` `bs`: backwards.
    Back {
        /// One instruction.
        step: bool,
    },
    /// `vCtrlC`: stops in non-stop mode.
    Interrupt,
    /// `vStopped`: the next stop of those that a notification began.
    NextStop,
    /// `QNonStop`.
    NonStop(bool),
    /// `QPassSignals`: those that reach the program without a stop.
    PassSignals(Vec<u8>),
    /// `QProgramSignals`: those that reach the program at all.
    ProgramSignals(Vec<u8>),
    /// `QCatchSyscalls`; `None`: none, an empty list: every one.
    CatchSyscalls(Option<Vec<u32>>),
}

pub(super) fn parse(packet: &[u8]) -> Parsed<Resume> {
    Some(match packet {
        b"vCont?" => Ok(Resume::Actions),
        b"vCtrlC" => Ok(Resume::Interrupt),
        b"vStopped" => Ok(Resume::NextStop),
        b"bc" => Ok(Resume::Back { step: false }),
        b"bs" => Ok(Resume::Back { step: true }),
        [b'c' | b's' | b'C' | b'S', ..] => simple(packet),
        _ => match packet {
            _ if packet.starts_with(b"vCont;") => actions(Cursor::new(&packet[6..])),
            _ if packet.starts_with(b"QNonStop:") => switch(&Cursor::new(&packet[9..])).map(Resume::NonStop),
            _ if packet.starts_with(b"QPassSignals:") => signals(&packet[13..]).map(Resume::PassSignals),
            _ if packet.starts_with(b"QProgramSignals:") => signals(&packet[16..]).map(Resume::ProgramSignals),
            _ if packet.starts_with(b"QCatchSyscalls:") => syscalls(&packet[15..]).map(Resume::CatchSyscalls),
            _ => return None,
        },
    })
}

fn simple(packet: &[u8]) -> Result<Resume, Refusal> {
    let mut cursor = Cursor::new(packet);
    let kind = cursor.byte()?;
    let signal = if kind.is_ascii_uppercase() { Some(cursor.pair()?) } else { None };
    if signal.is_some() && !cursor.is_done() {
        cursor.expect(b';')?;
    }
    let address = if cursor.is_done() { None } else { Some(cursor.number()?) };
    let action = match kind {
        b'c' | b'C' => Action::Continue(signal),
        _ => Action::Step(signal),
    };
    cursor.end(Resume::Simple(action, address))
}

fn actions(mut cursor: Cursor<'_>) -> Result<Resume, Refusal> {
    let mut actions = Vec::new();
    while !cursor.is_done() {
        let mut one = Cursor::new(cursor.until(b';'));
        let action = match one.byte()? {
            b'c' => Action::Continue(None),
            b's' => Action::Step(None),
            b'C' => Action::Continue(Some(one.pair()?)),
            b'S' => Action::Step(Some(one.pair()?)),
            b't' => Action::Stop,
            b'r' => {
                let start = one.number()?;
                one.expect(b',')?;
                Action::Range { start, end: one.number()? }
            }
            _ => return Err(Refusal::Malformed),
        };
        let thread = if one.take(b':') { Some(Thread::take(&mut one)?) } else { None };
        actions.push(one.end((action, thread))?);
    }
    if actions.is_empty() { Err(Refusal::Malformed) } else { Ok(Resume::Continue(actions)) }
}

fn signals(list: &[u8]) -> Result<Vec<u8>, Refusal> {
    let fields = list.split(|byte| *byte == b';').filter(|field| !field.is_empty());
    fields.map(|field| hex_number(field).and_then(|n| u8::try_from(n).ok()).ok_or(Refusal::Malformed)).collect()
}

fn syscalls(list: &[u8]) -> Result<Option<Vec<u32>>, Refusal> {
    match list {
        b"0" => Ok(None),
        b"1" => Ok(Some(Vec::new())),
        _ => {
            let numbers = list.strip_prefix(b"1;").ok_or(Refusal::Malformed)?;
            let fields = numbers.split(|byte| *byte == b';');
            fields
                .map(|field| hex_number(field).and_then(|n| u32::try_from(n).ok()).ok_or(Refusal::Malformed))
                .collect::<Result<_, _>>()
                .map(Some)
        }
    }
}

impl Action {
    fn print(self, out: &mut Vec<u8>) {
        let signalled = |out: &mut Vec<u8>, plain: u8, signal: Option<u8>| match signal {
            None => out.push(plain),
            Some(signal) => {
                out.push(plain.to_ascii_uppercase());
                push_hex(out, &[signal]);
            }
        };
        match self {
            Action::Continue(signal) => signalled(out, b'c', signal),
            Action::Step(signal) => signalled(out, b's', signal),
            Action::Stop => out.push(b't'),
            Action::Range { start, end } => {
                out.push(b'r');
                push_number(out, start);
                out.push(b',');
                push_number(out, end);
            }
        }
    }
}

impl Resume {
    pub(super) fn print(&self, out: &mut Vec<u8>) {
        let list = |out: &mut Vec<u8>, name: &str, numbers: &mut dyn Iterator<Item = u64>| {
            push(out, name);
            for (index, number) in numbers.enumerate() {
                if index > 0 {
                    out.push(b';');
                }
                push_number(out, number);
            }
        };
        match self {
            Resume::Actions => push(out, "vCont?"),
            Resume::Continue(actions) => {
                push(out, "vCont");
                for (action, thread) in actions {
                    out.push(b';');
                    action.print(out);
                    if let Some(thread) = thread {
                        out.push(b':');
                        thread.print(out);
                    }
                }
            }
            Resume::Simple(action, address) => {
                action.print(out);
                if let Some(address) = address {
                    if matches!(action, Action::Continue(Some(_)) | Action::Step(Some(_))) {
                        out.push(b';');
                    }
                    push_number(out, *address);
                }
            }
            Resume::Back { step } => push(out, if *step { "bs" } else { "bc" }),
            Resume::Interrupt => push(out, "vCtrlC"),
            Resume::NextStop => push(out, "vStopped"),
            Resume::NonStop(on) => push(out, if *on { "QNonStop:1" } else { "QNonStop:0" }),
            Resume::PassSignals(signals) => list(out, "QPassSignals:", &mut signals.iter().map(|n| u64::from(*n))),
            Resume::ProgramSignals(signals) => {
                list(out, "QProgramSignals:", &mut signals.iter().map(|n| u64::from(*n)))
            }
            Resume::CatchSyscalls(None) => push(out, "QCatchSyscalls:0"),
            Resume::CatchSyscalls(Some(numbers)) => {
                let start = std::iter::once(1);
                list(out, "QCatchSyscalls:", &mut start.chain(numbers.iter().map(|n| u64::from(*n))));
            }
        }
    }
}
