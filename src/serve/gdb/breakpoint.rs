//! Requests about breakpoints.

use std::collections::HashMap;

use super::conversation::{Answer, Conversation, ok};
use crate::debug::{BreakpointId, Condition, Place, ProcessId, Spec, Target, WatchAccess};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::protocol::rsp::breakpoint::{Breakpoint, Kind};

/// What a breakpoint is known by to the client: its process, kind (as its digit), address and size.
type Key = (ProcessId, u8, u64, u64);

/// The breakpoints of a client.
#[derive(Debug, Default)]
pub struct Table(HashMap<Key, BreakpointId>);

impl Table {
    /// Takes all of them out of `target`.
    pub fn clear(&mut self, target: &mut dyn Target) {
        for (_, id) in self.0.drain() {
            // The process may have taken it along.
            let _ = target.remove(id);
        }
    }

    /// Takes those of a process out of `target`.
    pub fn forget(&mut self, process: ProcessId, target: &mut dyn Target) {
        self.0.retain(|key, id| {
            let stays = key.0 != process;
            if !stays {
                let _ = target.remove(*id);
            }
            stays
        });
    }
}

fn place(kind: Kind, address: u64, size: u64) -> Place {
    let watch = |access| Place::Watch { address, length: size, access };
    match kind {
        Kind::Software => Place::Software { address },
        Kind::Hardware => Place::Hardware { address },
        Kind::Write => watch(WatchAccess::Write),
        Kind::Read => watch(WatchAccess::Read),
        Kind::Access => watch(WatchAccess::Access),
    }
}

impl Conversation<'_> {
    pub(super) fn breakpoint(&mut self, request: Breakpoint, out: &mut Vec<u8>) -> Result<Answer> {
        let process = self.thread()?.process;
        match request {
            Breakpoint::Insert { kind, address, size, conditions } => {
                self.insert(process, kind, address, size, &conditions)?;
            }
            Breakpoint::Remove { kind, address, size } => {
                if let Some(id) = self.breakpoints.0.remove(&key(process, kind, address, size)) {
                    self.stub.with(|target| target.remove(id))?;
                }
            }
        }
        ok(out)
    }

    fn insert(
        &mut self,
        process: ProcessId,
        kind: Kind,
        address: u64,
        size: u64,
        conditions: &[Vec<u8>],
    ) -> Result<()> {
        let conditions = conditions.iter().map(|code| Condition::from_agent(code)).collect::<Result<Vec<_>>>()?;
        let place = place(kind, address, size);
        let watches = matches!(place, Place::Watch { .. });
        if watches && (size == 0 || address.checked_add(size).is_none()) {
            return Err(Error::new(ErrorKind::Usage, "there is nothing to watch"));
        }
        let spec = Spec { process: Some(process), conditions, ..Spec::new(place) };
        let key = key(process, kind, address, size);
        let known = self.breakpoints.0.get(&key).copied();
        let id = self.stub.with(|target| {
            if kind == Kind::Read && !target.abilities().read_watch {
                return Err(Error::new(ErrorKind::Unsupported, "the processor cannot watch reads alone"));
            }
            if let Some(id) = known {
                target.change(id, &spec)?;
                return Ok(id);
            }
            if kind == Kind::Software && target.read_memory(process, address, &mut [0])? == 0 {
                return Err(Error::new(ErrorKind::NotFound, format!("nothing is mapped at 0x{address:x}")));
            }
            target.insert(&spec)
        })?;
        self.breakpoints.0.insert(key, id);
        Ok(())
    }
}

fn key(process: ProcessId, kind: Kind, address: u64, size: u64) -> Key {
    let digit = match kind {
        Kind::Software => 0,
        Kind::Hardware => 1,
        Kind::Write => 2,
        Kind::Read => 3,
        Kind::Access => 4,
    };
    // The size of a breakpoint is which trap to use, and there is one.
    let size = if digit < 2 { 0 } else { size };
    (process, digit, address, size)
}
