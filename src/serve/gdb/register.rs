//! Requests about registers.

use std::collections::HashMap;
use std::sync::Arc;

use super::conversation::{Answer, Conversation, ok};
use super::lldb;
use crate::debug::registers::Group;
use crate::debug::{Layout, Register as Known, Role, ThreadId};
use crate::error::{Error, Kind, Result};
use crate::protocol::rsp::register::Register;
use crate::protocol::rsp::wire::{push, push_hex};

/// Saved states that a client may have.
const SAVED: usize = 64;

/// The registers that a debugger sees, in the order of their numbers.
pub fn shown(layout: &Layout) -> Vec<(u32, &Known)> {
    let numbered = layout.registers.iter().filter(|register| register.group != Group::Debug);
    let mut shown: Vec<(u32, &Known)> = numbered.filter_map(|register| Some((register.number?, register))).collect();
    shown.sort_by_key(|(number, _)| *number);
    shown
}

/// The sets that hold them.
fn sets(layout: &Layout) -> Vec<usize> {
    let mut sets: Vec<usize> = shown(layout).iter().map(|(_, register)| register.set).collect();
    sets.sort_unstable();
    sets.dedup();
    sets
}

impl Conversation<'_> {
    pub(super) fn register(&mut self, request: Register, out: &mut Vec<u8>) -> Result<Answer> {
        if let Register::Describe(number) = request {
            return self.describe_register(number, out);
        }
        let thread = match request.thread() {
            Some(name) => self.find(name)?,
            None => self.thread()?,
        };
        match request {
            Register::ReadAll { .. } => self.read_all(thread, out),
            Register::WriteAll { bytes, .. } => {
                self.write_all(thread, &bytes)?;
                ok(out)
            }
            Register::Read { number, .. } => {
                let layout = self.layout(thread)?;
                let register = numbered(&layout, number)?;
                match self.stub.with(|target| target.read_register(thread, register)) {
                    Ok(bytes) => push_hex(out, &bytes),
                    Err(error) if error.kind() == Kind::NotFound && self.lives(thread) => {
                        out.resize(out.len() + 2 * register.bytes(), b'x');
                    }
                    Err(error) => return Err(error),
                }
                Ok(Answer::Reply)
            }
            Register::Write { number, bytes, .. } => {
                let layout = self.layout(thread)?;
                let register = numbered(&layout, number)?;
                let bytes = fitted(&bytes, register)?;
                self.stub.with(|target| target.write_register(thread, register, &bytes))?;
                self.cancel_restart(thread, &layout, register)?;
                ok(out)
            }
            Register::Save { .. } => {
                if self.saved.len() >= SAVED {
                    return Err(Error::new(Kind::Limit, "too many states are saved"));
                }
                let layout = self.layout(thread)?;
                let sets = self.stub.with(|target| {
                    let read = |set| Ok((set, target.read_set(thread, set)?));
                    sets(&layout).into_iter().map(read).collect::<Result<Vec<_>>>()
                })?;
                let id = (1..).find(|id| !self.saved.contains_key(id)).unwrap_or(u64::MAX);
                self.saved.insert(id, (thread, sets));
                push(out, &id.to_string());
                Ok(Answer::Reply)
            }
            Register::Restore { id, .. } => {
                let (owner, sets) =
                    self.saved.remove(&id).ok_or_else(|| Error::new(Kind::NotFound, "no such state is saved"))?;
                self.stub
                    .with(|target| sets.iter().try_for_each(|(set, bytes)| target.write_set(owner, *set, bytes)))?;
                ok(out)
            }
            Register::Describe(_) => Ok(Answer::Reply),
        }
    }

    pub(super) fn layout(&self, thread: ThreadId) -> Result<Arc<Layout>> {
        self.stub.with(|target| target.layout(thread.process))
    }

    fn lives(&self, thread: ThreadId) -> bool {
        self.stub
            .with(|target| target.threads(Some(thread.process)))
            .is_ok_and(|all| all.iter().any(|t| t.id == thread))
    }

    fn read_all(&mut self, thread: ThreadId, out: &mut Vec<u8>) -> Result<Answer> {
        let layout = self.layout(thread)?;
        let wanted = sets(&layout);
        let sets: HashMap<usize, Vec<u8>> = self.stub.with(|target| {
            // The general ones must be there; the others may not.
            target.read_set(thread, 0)?;
            Ok(wanted.into_iter().filter_map(|set| Some((set, target.read_set(thread, set).ok()?))).collect())
        })?;
        for (_, register) in shown(&layout) {
            match sets.get(&register.set).and_then(|set| set.get(register.range())) {
                Some(bytes) => push_hex(out, bytes),
                None => out.resize(out.len() + 2 * register.bytes(), b'x'),
            }
        }
        Ok(Answer::Reply)
    }

    /// Writes registers from the first on, as far as `bytes` reach; all or none.
    fn write_all(&mut self, thread: ThreadId, bytes: &[u8]) -> Result<()> {
        let layout = self.layout(thread)?;
        let shown = shown(&layout);
        let whole: usize = shown.iter().map(|(_, register)| register.bytes()).sum();
        if bytes.len() > whole {
            return Err(Error::new(Kind::Usage, format!("the registers have {whole} bytes, not {}", bytes.len())));
        }
        self.stub.with(|target| {
            let mut sets: Vec<Option<Vec<u8>>> = vec![None; layout.sets.len()];
            let mut rest = bytes;
            for (_, register) in shown {
                let Some((value, behind)) = rest.split_at_checked(register.bytes()) else { break };
                rest = behind;
                let place = sets.get_mut(register.set).ok_or_else(|| Error::new(Kind::NotFound, "no such set"))?;
                let set = match place {
                    Some(set) => set,
                    None => place.insert(target.read_set(thread, register.set)?),
                };
                if let Some(room) = set.get_mut(register.range()) {
                    room.copy_from_slice(value);
                }
            }
            for (index, set) in sets.iter().enumerate() {
                if let Some(set) = set {
                    target.write_set(thread, index, set)?;
                }
            }
            Ok(())
        })
    }

    /// LLDB does not know of the number of the interrupted call, and would have the kernel wind a new program
    /// counter back.
    fn cancel_restart(&mut self, thread: ThreadId, layout: &Layout, written: &Known) -> Result<()> {
        if !self.client.lldb || written.role != Some(Role::Pc) {
            return Ok(());
        }
        let Some(call) = layout.role(Role::CallNumber) else { return Ok(()) };
        let none = vec![0xff; call.bytes()];
        self.stub.with(|target| target.write_register(thread, call, &none))
    }

    fn describe_register(&mut self, number: u32, out: &mut Vec<u8>) -> Result<Answer> {
        let thread = self.thread()?;
        let layout = self.layout(thread)?;
        let shown = shown(&layout);
        let offset: usize =
            shown.iter().filter(|(other, _)| *other < number).map(|(_, register)| register.bytes()).sum();
        match shown.iter().find(|(other, _)| *other == number) {
            Some((_, register)) => lldb::describe(register, offset, out),
            None => push(out, "E45"),
        }
        Ok(Answer::Reply)
    }
}

fn numbered(layout: &Layout, number: u32) -> Result<&Known> {
    let register = layout.numbered(number).filter(|register| register.group != Group::Debug);
    register.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no register {number}")))
}

/// `bytes` for `register`. GDB sends what it keeps of a narrow register in as many bytes as that has.
fn fitted(bytes: &[u8], register: &Known) -> Result<Vec<u8>> {
    if bytes.len() != register.bytes() {
        let text = format!("{} has {} bytes, not {}", register.name, register.bytes(), bytes.len());
        return Err(Error::new(Kind::Usage, text));
    }
    Ok(bytes.to_vec())
}
