//! The side where the target is.

use std::time::{Duration, Instant};

use super::super::{Role, Stop, Target, ThreadId};
use super::{Call, Entered, PAGE, PIECE, State, Stopped, Ticket, decode, encode};
use crate::error::{Error, Kind, Result};
use crate::output::Cancel;

/// Longest wait for one message: whoever waits longer asks again.
const LONGEST: Duration = Duration::from_secs(60);

/// Pages of the stack that go along with a stop.
const STACK: u64 = 2;

/// Takes a message apart.
pub fn parse(bytes: &[u8]) -> Result<Call> {
    decode(bytes)
}

/// Answers everything but [`Call::Run`], which waits and so needs the target only now and then: [`begin`], the wait on
/// its [`Handle`](super::super::Handle), [`end`].
pub fn answer(target: &mut dyn Target, call: Call) -> Result<Vec<u8>> {
    match call {
        Call::State => encode(&state(target)),
        Call::Processes => encode(&target.processes()?),
        Call::Threads(process) => encode(&target.threads(process)?),
        Call::Select(thread) => encode(&target.select(thread)?),
        Call::Layout(process) => encode(&*target.layout(process)?),
        Call::ReadSet(thread, set) => encode(&target.read_set(thread, set as usize)?),
        Call::WriteSet(thread, set, bytes) => encode(&target.write_set(thread, set as usize, &bytes)?),
        Call::SignalInfo(thread) => encode(&target.signal_info(thread)?),
        Call::SetSignalInfo(thread, bytes) => encode(&target.set_signal_info(thread, &bytes)?),
        Call::ReadMemory(process, address, length) => {
            encode(&piece(length, |buffer| target.read_memory(process, address, buffer))?)
        }
        Call::WriteMemory(process, address, data) => encode(&(target.write_memory(process, address, &data)? as u64)),
        Call::Maps(process) => encode(&target.maps(process)?),
        Call::Allocate(process, length, protection) => encode(&target.allocate(process, length, protection)?),
        Call::Release(process, address, length) => encode(&target.release(process, address, length)?),
        Call::Protect(process, address, length, protection) => {
            encode(&target.protect(process, address, length, protection)?)
        }
        Call::SystemCall(thread, number, arguments) => encode(&target.system_call(thread, number, arguments)?),
        Call::Auxv(process) => encode(&target.auxv(process)?),
        Call::Modules(process) => encode(&target.modules(process)?),
        Call::Program(process) => encode(&target.program(process)?),
        Call::Descriptors(process) => encode(&target.descriptors(process)?),
        Call::ReadFile(process, path, offset, length) => {
            encode(&piece(length, |buffer| target.read_file(process, &path, offset, buffer))?)
        }
        Call::Run(..) => Err(Error::new(Kind::Protocol, "a wait is not answered at once")),
        Call::Interrupt => encode(&target.handle().interrupt()?),
        Call::SetSettings(settings) => encode(&target.set_settings(&settings)?),
        Call::CatchCalls(process, calls) => encode(&target.catch_calls(process, &calls)?),
        Call::SetSignal(number, handling) => encode(&target.set_signal(number, handling)?),
        Call::Insert(spec) => encode(&target.insert(&spec)?),
        Call::Change(id, spec) => encode(&target.change(id, &spec)?),
        Call::Remove(id) => encode(&target.remove(id)?),
        Call::Breakpoints => encode(&target.breakpoints()?),
        Call::TakeLog(limit) => encode(&target.take_log(limit as usize)?),
        Call::Launch(launch) => encode(&target.launch(&launch)?),
        Call::Attach(process) => encode(&target.attach(process)?),
        Call::Detach(process, deliver) => encode(&target.detach(process, deliver)?),
        Call::Kill(process) => encode(&target.kill(process)?),
        Call::Enter(_) => enter(target, None, None),
        Call::Leave => Err(Error::new(Kind::Protocol, "a target cannot be left from within")),
    }
}

fn piece(length: u32, read: impl FnOnce(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    if length > PIECE {
        return Err(Error::new(Kind::Limit, format!("{length} bytes are more than one message holds")));
    }
    let mut bytes = vec![0; length as usize];
    let count = read(&mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

fn state(target: &mut dyn Target) -> State {
    State {
        kind: target.kind().to_string(),
        abilities: target.abilities(),
        current: target.current(),
        running: target.is_running(),
        settings: target.settings(),
        signals: target.signals(),
    }
}

/// Answers [`Call::Enter`].
pub fn enter(target: &mut dyn Target, ticket: Option<Ticket>, kept: Option<u64>) -> Result<Vec<u8>> {
    encode(&Entered { state: state(target), ticket, kept })
}

/// Answers [`Call::Leave`].
pub fn left() -> Result<Vec<u8>> {
    encode(&())
}

/// The first half of [`Call::Run`], with the target: how long to wait.
pub fn begin(target: &mut dyn Target, actions: &[super::Resume], milliseconds: u32) -> Result<Instant> {
    if !actions.is_empty() {
        target.resume(actions)?;
    }
    Ok(Instant::now() + Duration::from_millis(milliseconds.into()).min(LONGEST))
}

/// The wait in the middle, without the target. Being cancelled is no failure: the target goes on running.
pub fn wait(handle: &dyn super::super::Handle, deadline: Instant, cancel: &Cancel) -> Result<()> {
    match handle.wait(Some(deadline), cancel) {
        Err(error) if error.kind() == Kind::Interrupted => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// The second half, with the target: what happened, and what the other side will want to know about it.
/// `earlier` are stops that may not have reached it; afterwards it holds all that were sent now.
pub fn end(target: &mut dyn Target, earlier: &mut Vec<Stop>) -> Result<Vec<u8>> {
    let mut stops = std::mem::take(earlier);
    while let Some(stop) = target.take_stop()? {
        stops.push(stop);
    }
    let known = match target.current().filter(|_| !stops.is_empty() && !target.is_running()) {
        Some(thread) => known(target, thread),
        None => Vec::new(),
    };
    earlier.clone_from(&stops);
    encode(&Stopped { stops, state: state(target), known })
}

/// What a screen after a stop shows. What cannot be had is asked for, and refused, later.
fn known(target: &mut dyn Target, thread: ThreadId) -> Vec<(Call, Vec<u8>)> {
    let mut calls = vec![
        Call::Threads(Some(thread.process)),
        Call::Layout(thread.process),
        Call::ReadSet(thread, 0),
        Call::Maps(thread.process),
        Call::Breakpoints,
    ];
    if let Ok(layout) = target.layout(thread.process)
        && let Ok(set) = target.read_set(thread, 0)
    {
        let value = |role| layout.role(role).and_then(|register| register.value(&set, layout.big_endian));
        let mut page = |address: u64| {
            let call = Call::ReadMemory(thread.process, address & !(PAGE - 1), PAGE as u32);
            if !calls.contains(&call) {
                calls.push(call);
            }
        };
        if let Some(pc) = value(Role::Pc) {
            page(pc);
            // Code shown from the program counter on runs into the next page.
            page(pc.wrapping_add(PAGE / 4));
        }
        if let Some(sp) = value(Role::Sp) {
            (0..STACK).for_each(|at| page(sp.wrapping_add(at * PAGE)));
        }
    }
    calls.into_iter().filter_map(|call| Some((call.clone(), answer(target, call).ok()?))).collect()
}
