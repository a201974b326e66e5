//! Breakpoints and watchpoints: which are where, and what a hit means.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::memory::Memory;
use super::state::{Process, State};
use super::sys::{self, Tid};
use super::x86::{DebugRegisters, General};
use crate::debug::breakpoint::{Breakpoint, BreakpointId, Hit, OnHit, Place, Spec, Status};
use crate::debug::condition::{Condition, Machine};
use crate::debug::{ProcessId, Reason, WatchAccess};
use crate::error::{Error, Kind, Result};

/// Most entries of the log; older ones are dropped then.
const LOG: usize = 65_536;

/// The table.
#[derive(Default)]
pub struct Points {
    pub all: BTreeMap<BreakpointId, Point>,
    last: BreakpointId,
    /// Counts changes of what the debug registers are to hold.
    version: u64,
    pub log: VecDeque<Hit>,
    /// The temporary one that went last.
    removed: Option<(BreakpointId, Place)>,
}

impl Points {
    fn last_place(&self, id: BreakpointId) -> Option<Place> {
        self.removed.filter(|(removed, _)| *removed == id).map(|(_, place)| place)
    }
}

/// One of them.
pub struct Point {
    pub spec: Spec,
    pub hits: u64,
    /// It is for the programs that were there when it was made: those with an image up to this one.
    born: u64,
    refused: Option<String>,
}

impl Point {
    fn concerns(&self, pid: ProcessId, process: &Process) -> bool {
        let meant = |wanted: ProcessId| wanted == pid || process.lineage.contains(&wanted);
        process.memory.image <= self.born && self.spec.process.is_none_or(meant)
    }

    fn is_software_at(&self, address: u64) -> bool {
        self.spec.place == Place::Software { address }
    }
}

/// What a condition sees of a stopped thread.
struct Stopped<'a> {
    registers: General,
    memory: &'a Memory,
}

impl Machine for Stopped<'_> {
    fn register(&mut self, number: u16) -> Result<u64> {
        let unknown = || Error::new(Kind::NotFound, format!("no general register has the number {number}"));
        self.registers.numbered(number).ok_or_else(unknown)
    }

    fn memory(&mut self, address: u64, buffer: &mut [u8]) -> Result<()> {
        if self.memory.read(address, buffer) == buffer.len() {
            return Ok(());
        }
        Err(Error::new(Kind::NotFound, format!("nothing can be read at 0x{address:x}")))
    }
}

/// Evaluates `condition` on a stopped thread.
pub fn evaluate(condition: &Condition, registers: General, memory: &Memory) -> Result<u64> {
    condition.evaluate(&mut Stopped { registers, memory })
}

impl State {
    /// Makes a breakpoint.
    pub fn insert(&mut self, spec: Spec) -> Result<BreakpointId> {
        self.check(&spec)?;
        let id = self.points.last.wrapping_add(1);
        self.points.last = id;
        let born = self.image;
        self.points.all.insert(id, Point { spec, hits: 0, born, refused: None });
        if let Err(error) = self.place() {
            self.points.all.remove(&id);
            self.place()?;
            return Err(error);
        }
        Ok(id)
    }

    /// Changes a breakpoint.
    pub fn change(&mut self, id: BreakpointId, spec: Spec) -> Result<()> {
        self.check(&spec)?;
        let born = self.image;
        let point = self.points.all.get_mut(&id).ok_or_else(|| unknown(id))?;
        if point.spec.place != spec.place {
            return Err(
                Error::new(Kind::Usage, "a breakpoint stays where it is").hint("remove it and make another one")
            );
        }
        let old = std::mem::replace(&mut point.spec, spec);
        point.born = born;
        point.refused = None;
        if let Err(error) = self.place() {
            if let Some(point) = self.points.all.get_mut(&id) {
                point.spec = old;
            }
            self.place()?;
            return Err(error);
        }
        Ok(())
    }

    /// Takes a breakpoint away.
    pub fn remove(&mut self, id: BreakpointId) -> Result<()> {
        match self.points.all.remove(&id) {
            Some(_) => self.place(),
            None => Ok(()),
        }
    }

    fn check(&self, spec: &Spec) -> Result<()> {
        match spec.place {
            Place::Watch { access: WatchAccess::Read, .. } => {
                Err(Error::new(Kind::Unsupported, "x86 cannot watch for reads alone")
                    .hint("watch for any access: db rw"))
            }
            Place::Watch { length: 0, .. } => Err(Error::new(Kind::Usage, "a watchpoint needs at least one byte")),
            Place::Watch { length, .. } if length > 32 => {
                Err(Error::new(Kind::Limit, format!("{length} bytes are too many for a watchpoint"))
                    .hint("the debug registers of x86 watch 4 regions of up to 8 bytes"))
            }
            _ => Ok(()),
        }
    }

    /// All of them.
    pub fn breakpoints(&self) -> Vec<Breakpoint> {
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

    /// Brings memory and debug registers in line with the table.
    pub fn place(&mut self) -> Result<()> {
        self.plan_hardware()?;
        self.place_traps();
        self.shared.bump();
        Ok(())
    }

    /// Traps that cannot be placed now are tried again at the next resume.
    pub fn place_traps(&mut self) {
        for point in self.points.all.values_mut() {
            point.refused = match point.spec.place {
                Place::Software { .. } if self.processes.is_empty() => Some("no process".to_string()),
                _ => None,
            };
        }
        let mut done: Vec<Arc<Memory>> = Vec::new();
        for process in self.processes.values() {
            if done.iter().any(|memory| Arc::ptr_eq(memory, &process.memory)) {
                continue;
            }
            done.push(Arc::clone(&process.memory));
        }
        for memory in done {
            let sharing = self.processes.iter().filter(|(_, process)| Arc::ptr_eq(&process.memory, &memory));
            let sharing: Vec<ProcessId> = sharing.map(|(pid, _)| *pid).collect();
            let mut wanted = BTreeSet::new();
            for point in self.points.all.values_mut().filter(|point| point.spec.enabled) {
                let Place::Software { address } = point.spec.place else { continue };
                if !sharing
                    .iter()
                    .any(|pid| self.processes.get(pid).is_some_and(|process| point.concerns(*pid, process)))
                {
                    if memory.image > point.born {
                        point.refused = Some("another program runs now".to_string());
                    }
                } else if memory.set_trap(address) {
                    wanted.insert(address);
                } else {
                    point.refused = Some("nothing is mapped there".to_string());
                }
            }
            for address in memory.traps().into_iter().filter(|address| !wanted.contains(address)) {
                memory.clear_trap(address);
            }
        }
    }

    /// Works out what the debug registers of each process are to hold; threads get it when they go on.
    fn plan_hardware(&mut self) -> Result<()> {
        let mut plans = Vec::new();
        for (pid, process) in &self.processes {
            let mut registers = DebugRegisters::default();
            for point in self.points.all.values() {
                if !point.spec.enabled || !point.concerns(*pid, process) {
                    continue;
                }
                let fits = match point.spec.place {
                    Place::Software { .. } => true,
                    Place::Hardware { address } => registers.execute(address),
                    Place::Watch { address, length, access } => registers.watch(address, length, access),
                };
                if !fits {
                    return Err(Error::new(Kind::Limit, "all four debug registers are taken")
                        .hint("remove a hardware breakpoint or a watchpoint; db lists them"));
                }
            }
            plans.push((*pid, registers));
        }
        let mut changed = false;
        self.points.version += 1;
        for (pid, registers) in plans {
            if let Some(process) = self.processes.get_mut(&pid)
                && process.hardware != registers
            {
                process.hardware = registers;
                process.hardware_version = self.points.version;
                changed = true;
            }
        }
        if changed {
            self.rearm()?;
        }
        Ok(())
    }

    /// Writes the debug registers now, so that what the kernel does not accept is refused here.
    fn rearm(&mut self) -> Result<()> {
        let running = self.pause_running(None);
        let mut refused = None;
        for tid in self.tasks.keys().copied().collect::<Vec<_>>() {
            if let Err(error) = self.arm(tid) {
                refused = Some(error);
            }
        }
        self.start_again(running);
        refused.map_or(Ok(()), Err)
    }

    /// Gives a stopped thread the debug registers of its process.
    pub fn arm(&mut self, tid: Tid) -> Result<()> {
        let Some(task) = self.tasks.get_mut(&tid) else { return Ok(()) };
        let Some(process) = self.processes.get(&task.process) else { return Ok(()) };
        if task.running || task.hardware_version == process.hardware_version {
            return Ok(());
        }
        match process.hardware.store(tid) {
            Ok(()) => task.hardware_version = process.hardware_version,
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                return Err(Error::new(Kind::Permission, "the system refuses to watch that address"));
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                return Err(Error::new(Kind::Limit, "the debug registers are in use by something else"));
            }
            // It was killed.
            Err(_) => {}
        }
        Ok(())
    }

    /// A thread is at a trap of ours: what that means. `None`: it goes on.
    pub fn hit(&mut self, tid: Tid, address: u64) -> Option<Reason> {
        let ids = self.matching(tid, |point| point.is_software_at(address));
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.passed = Some(address);
        }
        let ids = self.deciding(tid, ids);
        (!ids.is_empty()).then_some(Reason::Breakpoint { ids, address, hardware: false })
    }

    /// A debug register triggered in a thread.
    pub fn hardware_hit(&mut self, tid: Tid) -> Option<Reason> {
        let process = self.tasks.get(&tid).and_then(|task| self.processes.get(&task.process))?;
        let addresses = process.hardware.triggered(tid);
        let pc = self.registers(tid).ok()?.pc();
        let at = addresses.contains(&pc);
        let ids = if at { self.matching(tid, |p| p.spec.place == Place::Hardware { address: pc }) } else { Vec::new() };
        if at {
            if let Some(task) = self.tasks.get_mut(&tid) {
                task.passed = Some(pc);
            }
            let ids = self.deciding(tid, ids);
            if !ids.is_empty() {
                return Some(Reason::Breakpoint { ids, address: pc, hardware: true });
            }
        }
        let ids = self.matching(tid, |point| match point.spec.place {
            Place::Watch { address, length, .. } => {
                addresses.iter().any(|hit| *hit >= address && *hit - address < length)
            }
            _ => false,
        });
        let id = *self.deciding(tid, ids).first()?;
        match self.points.all.get(&id).map(|point| point.spec.place).or(self.points.last_place(id)) {
            Some(Place::Watch { address, access, .. }) => Some(Reason::Watch { id, address, access }),
            _ => None,
        }
    }

    /// The enabled points that `is_meant` and that concern the thread.
    fn matching(&self, tid: Tid, is_meant: impl Fn(&Point) -> bool) -> Vec<BreakpointId> {
        let thread = self.id(tid);
        let Some(process) = self.processes.get(&thread.process) else { return Vec::new() };
        if process.free.is_some() {
            return Vec::new();
        }
        let points = self.points.all.iter().filter(|(_, point)| {
            point.spec.enabled
                && is_meant(point)
                && point.concerns(thread.process, process)
                && point.spec.thread.is_none_or(|wanted| wanted == thread)
        });
        points.map(|(id, _)| *id).collect()
    }

    /// Of those that were hit the ones that stop: conditions are evaluated, hits counted, the log is written.
    fn deciding(&mut self, tid: Tid, ids: Vec<BreakpointId>) -> Vec<BreakpointId> {
        let thread = self.id(tid);
        let mut stopping = Vec::new();
        for id in ids {
            let Some(point) = self.points.all.get(&id) else { continue };
            let needs = !point.spec.conditions.is_empty() || matches!(point.spec.on_hit, OnHit::Log(_));
            let sight = if needs { self.registers(tid).ok().zip(self.memory_of(tid).ok()) } else { None };
            let Some(point) = self.points.all.get_mut(&id) else { continue };
            if let Some((registers, memory)) = &sight {
                // What cannot be evaluated stops: the user has to see it.
                let holds = |condition: &Condition| !matches!(evaluate(condition, *registers, memory), Ok(0));
                if !point.spec.conditions.is_empty() && !point.spec.conditions.iter().any(holds) {
                    continue;
                }
            }
            point.hits += 1;
            if point.spec.ignore > 0 {
                point.spec.ignore -= 1;
                continue;
            }
            match &point.spec.on_hit {
                OnHit::Stop => {
                    stopping.push(id);
                }
                OnHit::Count => {}
                OnHit::Log(values) => {
                    let Some((registers, memory)) = &sight else { continue };
                    let values = values.iter().map(|value| evaluate(value, *registers, memory).ok()).collect();
                    let hit = Hit { id, thread, pc: registers.pc(), time: sys::monotonic(), values };
                    if self.points.log.len() >= LOG {
                        self.points.log.pop_front();
                    }
                    self.points.log.push_back(hit);
                }
            }
        }
        let temporary = |id: &BreakpointId| self.points.all.get(id).is_some_and(|point| point.spec.temporary);
        for id in stopping.iter().copied().filter(temporary).collect::<Vec<_>>() {
            if let Some(point) = self.points.all.remove(&id) {
                self.points.removed = Some((id, point.spec.place));
            }
            // What is taken away needs no place.
            let _ = self.place();
        }
        stopping
    }
}

fn unknown(id: BreakpointId) -> Error {
    Error::new(Kind::NotFound, format!("no breakpoint has the number {id}"))
}
