//! Breakpoints and watchpoints: `Z` packets where the stub has them, traps of our own where it has not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::OnceLock;
use std::time::Instant;

use super::line::Inner;
use super::memory::write_request;
use super::registers::Family;
use super::stub::Works;
use crate::debug::condition::Machine;
use crate::debug::{
    Breakpoint, BreakpointId, Condition, Hit, OnHit, Place, ProcessId, Reason, Role, Spec, Status, ThreadId,
    WatchAccess,
};
use crate::error::{Error, Kind, Result};
use crate::protocol::rsp::Request;
use crate::protocol::rsp::breakpoint::{self, Kind as Type};
use crate::protocol::rsp::reply::Reply;

/// Entries of the log; older ones are dropped then.
const LOG: usize = 65_536;

/// One of them.
struct Point {
    spec: Spec,
    hits: u64,
    /// It is for programs up to this one.
    born: u64,
    refused: Option<String>,
}

/// A place in a process where something is inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    process: ProcessId,
    /// 0 to 4, as in `Z`.
    kind: u8,
    address: u64,
    size: u64,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Inserted {
    /// A packet with these conditions did it, perhaps of another kind.
    Packet { kind: u8, conditions: Vec<Vec<u8>> },
    /// A trap was written over these bytes.
    Trap(Vec<u8>),
}

/// The table.
#[derive(Default)]
pub struct Points {
    all: BTreeMap<BreakpointId, Point>,
    last: BreakpointId,
    inserted: BTreeMap<Spot, Inserted>,
    log: VecDeque<Hit>,
    /// Where threads were reported at breakpoints, which they are to be led past.
    pub passed: BTreeMap<ThreadId, u64>,
    /// A process whose memory the child of its vfork uses: there is nothing in it until that ends.
    pub shared: Option<ProcessId>,
}

impl Points {
    /// Puts what was there before our traps into bytes that were read.
    pub fn hide(&self, process: ProcessId, address: u64, bytes: &mut [u8]) {
        for (trap, original) in self.traps(process) {
            for (at, byte) in original.iter().enumerate() {
                let place = trap.wrapping_add(at as u64).wrapping_sub(address);
                if let Some(shown) = usize::try_from(place).ok().and_then(|place| bytes.get_mut(place)) {
                    *shown = *byte;
                }
            }
        }
    }

    /// `data` as it is to be written, with our traps in it; what they hide is `data` from now on.
    pub fn keep(&mut self, process: ProcessId, address: u64, data: &[u8]) -> Vec<u8> {
        let mut bytes = data.to_vec();
        for (spot, inserted) in self.inserted.iter_mut().filter(|(spot, _)| spot.process == process) {
            let Inserted::Trap(original) = inserted else { continue };
            let trap = trap_of(spot.size, original.len());
            for (at, byte) in original.iter_mut().enumerate() {
                let place = spot.address.wrapping_add(at as u64).wrapping_sub(address);
                if let Some(written) = usize::try_from(place).ok().and_then(|place| bytes.get_mut(place)) {
                    *byte = *written;
                    *written = trap.get(at).copied().unwrap_or(*written);
                }
            }
        }
        bytes
    }

    fn traps(&self, process: ProcessId) -> impl Iterator<Item = (u64, &Vec<u8>)> {
        self.inserted.iter().filter(move |(spot, _)| spot.process == process).filter_map(|(spot, inserted)| {
            match inserted {
                Inserted::Trap(original) => Some((spot.address, original)),
                Inserted::Packet { .. } => None,
            }
        })
    }

    /// Whether something stops a thread of `process` at `address`.
    pub fn is_at(&self, process: ProcessId, address: u64) -> bool {
        self.inserted.keys().any(|spot| spot.process == process && spot.address == address && spot.kind < 2)
    }

    /// Whether a trap instruction is at `address`.
    pub fn is_trap_at(&self, process: ProcessId, address: u64) -> bool {
        self.inserted.keys().any(|spot| spot.process == process && spot.address == address && spot.kind == 0)
    }

    /// A process is gone, and what was inserted into it.
    pub fn forget_process(&mut self, process: ProcessId) {
        self.inserted.retain(|spot, _| spot.process != process);
        self.passed.retain(|thread, _| thread.process != process);
    }

    /// The child of a fork has what its parent has, until it is told otherwise.
    pub fn inherit(&mut self, parent: ProcessId, child: ProcessId) {
        let copies: Vec<(Spot, Inserted)> = self
            .inserted
            .iter()
            .filter(|(spot, _)| spot.process == parent && spot.kind == 0)
            .map(|(spot, inserted)| (Spot { process: child, ..*spot }, inserted.clone()))
            .collect();
        self.inserted.extend(copies);
    }
}

/// Bytes of a trap are kept with their place: the marker is in the size.
fn trap_of(marker: u64, length: usize) -> Vec<u8> {
    marker.to_le_bytes().into_iter().take(length).collect()
}

/// The trap instruction of an architecture: its bytes, and the kind that `Z0` names it by.
fn trap(family: Family, big_endian: bool, thumb: bool, compressed: bool) -> Option<(Vec<u8>, u64)> {
    let ordered = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        if big_endian {
            bytes.reverse();
        }
        bytes
    };
    Some(match family {
        Family::X86 => (vec![0xcc], 1),
        Family::Aarch64 => (vec![0, 0, 0x20, 0xd4], 4),
        Family::Arm if thumb => (ordered(&[0x01, 0xde]), 2),
        Family::Arm => (ordered(&[0xf0, 0x01, 0xf0, 0xe7]), 4),
        Family::Mips => (ordered(&[0x0d, 0, 0, 0]), 4),
        Family::RiscV if compressed => (vec![0x02, 0x90], 2),
        Family::RiscV => (vec![0x73, 0, 0x10, 0], 4),
        Family::Power => (ordered(&[0x08, 0x10, 0x82, 0x7d]), 4),
        Family::Other => return None,
    })
}

impl Spot {
    fn request(&self, kind: u8, insert: Option<&[Vec<u8>]>) -> Vec<u8> {
        const KINDS: [Type; 5] = [Type::Software, Type::Hardware, Type::Write, Type::Read, Type::Access];
        let kind = KINDS[usize::from(kind.min(4))];
        let (address, size) = (self.address, self.size);
        let request = match insert {
            Some(conditions) => breakpoint::Breakpoint::Insert { kind, address, size, conditions: conditions.to_vec() },
            None => breakpoint::Breakpoint::Remove { kind, address, size },
        };
        Request::Breakpoint(request).payload()
    }
}

/// What a condition sees.
pub struct Sight<'a> {
    pub inner: &'a mut Inner,
    pub thread: ThreadId,
}

impl Machine for Sight<'_> {
    fn register(&mut self, number: u16) -> Result<u64> {
        self.inner.register(self.thread, u32::from(number))
    }
    fn memory(&mut self, address: u64, buffer: &mut [u8]) -> Result<()> {
        self.inner.read_whole(self.thread.process, address, buffer)
    }
    fn big_endian(&self) -> bool {
        let registers = self.inner.processes.get(&self.thread.process).and_then(|process| process.registers.as_ref());
        registers.is_some_and(|registers| registers.layout.big_endian)
    }
}

impl Inner {
    /// Makes a breakpoint.
    pub fn insert_point(&mut self, spec: &Spec) -> Result<BreakpointId> {
        check(spec)?;
        let id = self.points.last.wrapping_add(1);
        self.points.last = id;
        self.points.all.insert(id, Point { spec: spec.clone(), hits: 0, born: self.image, refused: None });
        self.place_or(|inner| drop(inner.points.all.remove(&id)))?;
        Ok(id)
    }

    /// Changes one.
    pub fn change_point(&mut self, id: BreakpointId, spec: &Spec) -> Result<()> {
        check(spec)?;
        let image = self.image;
        let point = self.points.all.get_mut(&id);
        let point = point.ok_or_else(|| Error::new(Kind::NotFound, format!("no breakpoint has the number {id}")))?;
        if point.spec.place != spec.place {
            return Err(
                Error::new(Kind::Usage, "a breakpoint stays where it is").hint("remove it and make another one")
            );
        }
        let old = std::mem::replace(&mut point.spec, spec.clone());
        point.born = image;
        self.place_or(|inner| {
            if let Some(point) = inner.points.all.get_mut(&id) {
                point.spec = old;
            }
        })
    }

    /// Takes one away.
    pub fn remove_point(&mut self, id: BreakpointId) -> Result<()> {
        match self.points.all.remove(&id) {
            Some(_) => self.place(),
            None => Ok(()),
        }
    }

    fn place_or(&mut self, undo: impl FnOnce(&mut Inner)) -> Result<()> {
        let outcome = self.place();
        if outcome.is_err() {
            undo(self);
            let _ = self.place();
        }
        outcome
    }

    /// All of them.
    pub fn points(&self) -> Vec<Breakpoint> {
        let shown = |(id, point): (&BreakpointId, &Point)| Breakpoint {
            id: *id,
            spec: point.spec.clone(),
            hits: point.hits,
            status: match &point.refused {
                _ if !point.spec.enabled => Status::Disabled,
                Some(why) => Status::Pending(why.clone()),
                None => Status::Inserted,
            },
        };
        self.points.all.iter().map(shown).collect()
    }

    /// The oldest entries of the log.
    pub fn take_log(&mut self, limit: usize) -> Vec<Hit> {
        let count = limit.min(self.points.log.len());
        self.points.log.drain(..count).collect()
    }

    /// Brings the stub in line with the table. An error is about what needs a place in the hardware; traps that
    /// cannot be placed wait.
    pub fn place(&mut self) -> Result<()> {
        self.changes += 1;
        let wanted = self.wanted();
        if self.running {
            let same = wanted.keys().eq(self.points.inserted.keys());
            return if same { Ok(()) } else { self.stopped() };
        }
        let gone: Vec<Spot> = self.points.inserted.keys().copied().filter(|spot| !wanted.contains_key(spot)).collect();
        for spot in gone {
            self.take_out(spot)?;
        }
        let mut failed = None;
        for (spot, (ids, conditions)) in wanted {
            let same = match self.points.inserted.get(&spot) {
                Some(Inserted::Packet { conditions: known, .. }) => *known == conditions,
                Some(Inserted::Trap(_)) => true,
                None => false,
            };
            let outcome = if same { Ok(()) } else { self.put_in(spot, conditions) };
            let refused = outcome.as_ref().err().map(|error| error.message().to_string());
            for id in ids {
                if let Some(point) = self.points.all.get_mut(&id) {
                    point.refused = refused.clone();
                }
            }
            match outcome {
                Err(error) if spot.kind > 0 || self.lost.is_some() => failed = Some(error),
                _ => {}
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Where something is to be, for which breakpoints, with which conditions.
    fn wanted(&mut self) -> BTreeMap<Spot, (Vec<BreakpointId>, Vec<Vec<u8>>)> {
        let processes: Vec<(ProcessId, u64)> =
            self.processes.iter().map(|(id, process)| (*id, process.image)).collect();
        let conditional = self.stub.has("ConditionalBreakpoints");
        let mut wanted: BTreeMap<Spot, (Vec<BreakpointId>, Vec<Vec<u8>>)> = BTreeMap::new();
        let mut unconditional = Vec::new();
        let shared = self.points.shared;
        for (id, point) in &mut self.points.all {
            point.refused = processes.is_empty().then(|| "no process".to_string());
            if !point.spec.enabled {
                continue;
            }
            for (process, image) in &processes {
                let lent = shared == Some(*process) && matches!(point.spec.place, Place::Software { .. });
                if lent || point.spec.process.is_some_and(|meant| meant != *process) {
                    continue;
                }
                if *image > point.born {
                    point.refused = Some("another program runs now".to_string());
                    continue;
                }
                let (kind, address, size) = match point.spec.place {
                    Place::Software { address } => (0, address, 0),
                    Place::Hardware { address } => (1, address, 0),
                    Place::Watch { address, length, access: WatchAccess::Write } => (2, address, length),
                    Place::Watch { address, length, access: WatchAccess::Read } => (3, address, length),
                    Place::Watch { address, length, access: WatchAccess::Access } => (4, address, length),
                };
                let spot = Spot { process: *process, kind, address, size };
                let (ids, conditions) = wanted.entry(spot).or_default();
                ids.push(*id);
                let plain = point.spec.conditions.is_empty() || kind > 1 || !conditional;
                if plain || point.spec.on_hit != OnHit::Stop || point.spec.ignore > 0 {
                    unconditional.push(spot);
                } else {
                    conditions.extend(point.spec.conditions.iter().map(Condition::to_agent));
                }
            }
        }
        for spot in unconditional {
            if let Some((_, conditions)) = wanted.get_mut(&spot) {
                conditions.clear();
            }
        }
        // What a kind of trap needs to know is found out once, here.
        let spots: Vec<Spot> = wanted.keys().copied().collect();
        for spot in spots.into_iter().filter(|spot| spot.kind < 2) {
            let known =
                self.points.inserted.keys().find(|known| {
                    (known.process, known.kind, known.address) == (spot.process, spot.kind, spot.address)
                });
            let size = match known {
                Some(known) => known.size,
                None => self.trap_at(spot.process, spot.address).map_or(1, |(_, kind)| kind),
            };
            if let Some(entry) = wanted.remove(&spot) {
                wanted.insert(Spot { size, ..spot }, entry);
            }
        }
        wanted
    }

    /// The trap for `address`, and its kind.
    fn trap_at(&mut self, process: ProcessId, address: u64) -> Option<(Vec<u8>, u64)> {
        let registers = self.registers(process).ok()?;
        let family = Family::of(&registers.layout.architecture);
        let compressed = family == Family::RiscV && {
            let mut low = [0];
            self.read(process, address, &mut low).is_ok_and(|count| count == 1) && low[0] & 3 != 3
        };
        trap(family, registers.layout.big_endian, address & 1 == 1, compressed)
    }

    fn put_in(&mut self, spot: Spot, conditions: Vec<Vec<u8>>) -> Result<()> {
        let thread = self.thread_of(spot.process)?;
        let refused = |inner: &Inner| match spot.kind {
            0 => Error::new(Kind::NotFound, "the stub refuses a trap there"),
            1 => Error::new(Kind::Limit, "the stub has no place for another hardware breakpoint"),
            3 if inner.is_x86(spot.process) => {
                Error::new(Kind::Unsupported, "x86 cannot watch for reads alone").hint("watch for any access: db rw")
            }
            _ => Error::new(Kind::Limit, "the stub cannot watch that region")
                .hint("its hardware watches few and small regions; db lists what is taken"),
        };
        // For memory that cannot be written a breakpoint of the other kind does it.
        let kinds: &[u8] = if spot.kind == 0 { &[0, 1] } else { std::slice::from_ref(&spot.kind) };
        let mut failed = false;
        for kind in kinds.iter().copied() {
            if self.stub.points[usize::from(kind)] == Works::No || (kind == 1 && spot.kind == 0 && !failed) {
                continue;
            }
            let mut requests: Vec<Vec<u8>> = self.choose(thread).into_iter().collect();
            requests.push(spot.request(kind, Some(&conditions)));
            let replies = self.flight(&requests)?;
            match replies.last().map_or(Reply::Unsupported, |reply| Reply::parse(reply)) {
                Reply::Ok => {
                    self.stub.points[usize::from(kind)] = Works::Yes;
                    self.points.inserted.insert(spot, Inserted::Packet { kind, conditions });
                    return Ok(());
                }
                Reply::Unsupported => self.stub.points[usize::from(kind)] = Works::No,
                _ => failed = true,
            }
        }
        if spot.kind > 0 {
            return Err(match failed {
                true => refused(self),
                false => Error::new(Kind::Unsupported, "the stub has no breakpoints of this kind"),
            });
        }
        if failed {
            return Err(refused(self));
        }
        self.write_trap(spot)
    }

    /// Writes a trap ourselves.
    fn write_trap(&mut self, spot: Spot) -> Result<()> {
        let unknown = || Error::new(Kind::Unsupported, "which instruction traps on this architecture is not known");
        let (trap, _) = self.trap_at(spot.process, spot.address).ok_or_else(unknown)?;
        let mut original = vec![0; trap.len()];
        self.read_whole(spot.process, spot.address, &mut original)?;
        if self.write_raw(spot.process, spot.address, &trap)? < trap.len() {
            return Err(Error::new(Kind::Permission, "the stub refuses to write a trap there"));
        }
        let mut marker = [0; 8];
        marker[..trap.len()].copy_from_slice(&trap);
        // The bytes of the trap take the place of the size, which no packet needs.
        self.points.inserted.insert(Spot { size: u64::from_le_bytes(marker), ..spot }, Inserted::Trap(original));
        Ok(())
    }

    fn take_out(&mut self, spot: Spot) -> Result<()> {
        let Some(inserted) = self.points.inserted.remove(&spot) else { return Ok(()) };
        if !self.processes.contains_key(&spot.process) {
            return Ok(());
        }
        let thread = self.thread_of(spot.process)?;
        match inserted {
            Inserted::Packet { kind, .. } => {
                let mut requests: Vec<Vec<u8>> = self.choose(thread).into_iter().collect();
                requests.push(spot.request(kind, None));
                self.flight(&requests).map(drop)
            }
            Inserted::Trap(original) => self.write_raw(spot.process, spot.address, &original).map(drop),
        }
    }

    /// Takes out everything that is in `process`.
    pub fn take_out_all(&mut self, process: ProcessId) -> Result<()> {
        let spots: Vec<Spot> = self.points.inserted.keys().copied().filter(|spot| spot.process == process).collect();
        spots.into_iter().try_for_each(|spot| self.take_out(spot))
    }

    /// Packets that take away what is at `address`, and those that put it back.
    pub fn lift(&mut self, thread: ThreadId, address: u64) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let (mut away, mut back) = (Vec::new(), Vec::new());
        if let Some(choose) = self.choose(thread) {
            away.push(choose);
        }
        let binary = self.stub.writes == Works::Yes;
        for (spot, inserted) in &self.points.inserted {
            if spot.process != thread.process || spot.address != address || spot.kind > 1 {
                continue;
            }
            match inserted {
                Inserted::Packet { kind, conditions } => {
                    away.push(spot.request(*kind, None));
                    back.push(spot.request(*kind, Some(conditions)));
                }
                Inserted::Trap(original) => {
                    away.push(write_request(address, original, binary));
                    back.push(write_request(address, &trap_of(spot.size, original.len()), binary));
                }
            }
        }
        (away, back)
    }

    /// A thread is at a breakpoint: what that means. `None`: it goes on.
    pub fn hit(&mut self, thread: ThreadId, address: u64, hardware: bool) -> Option<Reason> {
        let at = |place: Place| match place {
            Place::Software { address: at } | Place::Hardware { address: at } => at == address,
            Place::Watch { .. } => false,
        };
        let ids = self.matching(thread, at);
        self.points.passed.insert(thread, address);
        let ids = self.deciding(thread, address, ids);
        (!ids.is_empty()).then_some(Reason::Breakpoint { ids, address, hardware })
    }

    /// A watchpoint triggered at `address`. `None`: it goes on.
    pub fn watch_hit(&mut self, thread: ThreadId, address: u64) -> Option<Reason> {
        let within = |place: Place| match place {
            Place::Watch { address: start, length, .. } => address.wrapping_sub(start) < length.max(1),
            _ => false,
        };
        // Some report the first address that was touched, which may lie before the region.
        let near = |place: Place| match place {
            Place::Watch { address: start, .. } => start.wrapping_sub(address) < 64,
            _ => false,
        };
        let mut ids = self.matching(thread, within);
        if ids.is_empty() {
            ids = self.matching(thread, near);
        }
        let places: BTreeMap<BreakpointId, Place> =
            ids.iter().filter_map(|id| Some((*id, self.points.all.get(id)?.spec.place))).collect();
        let pc = self.pc(thread).unwrap_or_default();
        let id = *self.deciding(thread, pc, ids).first()?;
        match places.get(&id) {
            Some(Place::Watch { address, access, .. }) => {
                Some(Reason::Watch { id, address: *address, access: *access })
            }
            _ => None,
        }
    }

    /// Whether a breakpoint that is switched on is at `address`.
    pub fn is_ours(&self, thread: ThreadId, address: u64) -> bool {
        let at = |place: Place| matches!(place, Place::Software { address: at } | Place::Hardware { address: at } if at == address);
        self.points.all.values().any(|point| {
            point.spec.enabled
                && at(point.spec.place)
                && point.spec.process.is_none_or(|process| process == thread.process)
        })
    }

    fn matching(&self, thread: ThreadId, is_meant: impl Fn(Place) -> bool) -> Vec<BreakpointId> {
        let points = self.points.all.iter().filter(|(_, point)| {
            point.spec.enabled
                && is_meant(point.spec.place)
                && point.spec.process.is_none_or(|process| process == thread.process)
                && point.spec.thread.is_none_or(|wanted| wanted == thread)
        });
        points.map(|(id, _)| *id).collect()
    }

    /// Of those that were hit the ones that stop: conditions are evaluated, hits counted, the log is written.
    fn deciding(&mut self, thread: ThreadId, pc: u64, ids: Vec<BreakpointId>) -> Vec<BreakpointId> {
        let mut stopping = Vec::new();
        for id in ids {
            let Some(point) = self.points.all.get(&id) else { continue };
            let spec = point.spec.clone();
            // What cannot be evaluated stops: the user has to see it.
            let mut holds =
                |condition: &Condition| !matches!(condition.evaluate(&mut Sight { inner: self, thread }), Ok(0));
            if !spec.conditions.is_empty() && !spec.conditions.iter().any(&mut holds) {
                continue;
            }
            let Some(point) = self.points.all.get_mut(&id) else { continue };
            point.hits += 1;
            if point.spec.ignore > 0 {
                point.spec.ignore -= 1;
                continue;
            }
            match &spec.on_hit {
                OnHit::Stop => stopping.push(id),
                OnHit::Count => {}
                OnHit::Log(values) => {
                    let mut value = |value: &Condition| value.evaluate(&mut Sight { inner: self, thread }).ok();
                    let values = values.iter().map(&mut value).collect();
                    let hit = Hit { id, thread, pc, time: now(), values };
                    if self.points.log.len() >= LOG {
                        self.points.log.pop_front();
                    }
                    self.points.log.push_back(hit);
                }
            }
        }
        let temporary = |id: &BreakpointId| self.points.all.get(id).is_some_and(|point| point.spec.temporary);
        let gone: Vec<BreakpointId> = stopping.iter().copied().filter(temporary).collect();
        if !gone.is_empty() {
            gone.iter().for_each(|id| drop(self.points.all.remove(id)));
            // What is taken away needs no place.
            let _ = self.place();
        }
        stopping
    }

    /// Whether the process runs on x86.
    pub fn is_x86(&self, process: ProcessId) -> bool {
        let registers = self.processes.get(&process).and_then(|process| process.registers.as_ref());
        registers.is_some_and(|registers| Family::of(&registers.layout.architecture) == Family::X86)
    }

    /// The program counter of a stopped thread.
    pub fn pc(&mut self, thread: ThreadId) -> Result<u64> {
        let registers = self.registers(thread.process)?;
        let number = registers.layout.role(Role::Pc).and_then(|register| register.number);
        self.register(thread, number.ok_or_else(|| crate::debug::cannot("show its program counter"))?)
    }
}

fn check(spec: &Spec) -> Result<()> {
    match spec.place {
        Place::Watch { length: 0, .. } => Err(Error::new(Kind::Usage, "a watchpoint needs at least one byte")),
        Place::Watch { length, .. } if length > 1 << 20 => {
            Err(Error::new(Kind::Limit, format!("{length} bytes are too many for a watchpoint")))
        }
        _ => Ok(()),
    }
}

/// Nanoseconds since the first entry: the stub does not tell the time of its machine.
fn now() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    u64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}
