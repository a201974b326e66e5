//! What a session adds to the processes under its control: which one is meant, what the user said about its
//! breakpoints, how it is made to run, and what its stops look like.

pub mod condition;
pub mod core_file;
pub mod instruction;
pub mod libraries;
pub mod names;
pub mod pending;
pub mod remains;
pub mod run;
pub mod unwind;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

use super::{Core, View};
use crate::debug::{BreakpointId, Catch, Handle, Layout, Map, Register, Stop, Target, ThreadId};
use crate::error::{Error, Kind, Result};

/// What the session remembers of the targets, by descriptor.
#[derive(Default)]
pub struct Debugger {
    notes: BTreeMap<u32, Notes>,
    /// The last stops, as they are told to those who share the session and did not cause them.
    told: VecDeque<String>,
    /// How many there ever were.
    count: u64,
}

/// Stops that are kept for those who look later.
const TOLD: usize = 16;

impl Debugger {
    /// A target of the session has stopped: `line` tells how.
    pub fn tell(&mut self, line: String) {
        if self.told.len() >= TOLD {
            self.told.pop_front();
        }
        self.told.push_back(line);
        self.count += 1;
    }

    /// How many stops were told so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The stops since there were `count`, as far as they are kept.
    pub fn since(&self, count: u64) -> Vec<String> {
        let new = usize::try_from(self.count.saturating_sub(count)).unwrap_or(TOLD).min(self.told.len());
        self.told.iter().skip(self.told.len() - new).cloned().collect()
    }
}

impl Debugger {
    /// The last stop of any target, and which one it was of all in this program.
    pub fn last_stop(&self) -> Option<(u64, &Stop)> {
        let stops = self.notes.values().filter_map(|notes| Some((notes.number, notes.stop.as_ref()?)));
        stops.max_by_key(|(number, _)| *number)
    }
}

impl Debugger {
    /// Whether a target was seen behind `fd`.
    pub fn knows(&self, fd: u32) -> bool {
        self.notes.contains_key(&fd)
    }
}

impl Core {
    /// Lets all processes under control go on without a debugger, also those that were started here.
    pub fn let_processes_go(&mut self) {
        let descriptors: Vec<u32> = self.io.descriptors().map(|descriptor| descriptor.fd).collect();
        for fd in descriptors {
            let Ok(descriptor) = self.io.descriptor_mut(fd) else { continue };
            let Some(target) = descriptor.device().target() else { continue };
            for process in target.processes().unwrap_or_default() {
                // One that cannot be let go is killed with the target, as by default.
                let _ = target.detach(process.id, crate::debug::Deliver::AsHandled);
            }
        }
    }
}

/// What the session remembers of one target.
#[derive(Default)]
pub struct Notes {
    /// The target that this is about; a descriptor's number may be given again.
    whose: Option<Weak<dyn Handle>>,
    /// What the user said about breakpoints.
    pub marks: BTreeMap<BreakpointId, Mark>,
    /// The last stop.
    pub stop: Option<Stop>,
    /// Which one it was, of all in this program.
    pub number: u64,
    /// The general registers at the stop before, for `dro` and `drd`.
    pub before: Vec<u8>,
    /// The general registers at the last stop.
    pub now: Vec<u8>,
    /// Copies of memory (`dms`).
    pub snapshots: Vec<Snapshot>,
    /// Which system calls stop the target.
    pub catch: Catch,
    /// The files it is made of, the program first.
    pub libraries: Vec<libraries::Library>,
    /// The target's generation when they were listed.
    listed: Option<u64>,
    /// Files of this machine may stand for those of the process.
    twins: bool,
    /// Breakpoints that wait for a library.
    pub waiting: Vec<pending::Waiting>,
    /// The breakpoint at which the dynamic loader tells that it has loaded something.
    pub loader: Option<BreakpointId>,
    /// It stops at forks and execs, whatever the options say (`dcf`).
    pub until_fork: bool,
}

/// What the user said about a breakpoint.
#[derive(Debug, Clone, Default)]
pub struct Mark {
    /// The place as it was typed.
    pub name: String,
    /// The condition as it was typed.
    pub condition: String,
    /// Commands that run at a stop there.
    pub command: String,
    /// Go on after the commands.
    pub goes_on: bool,
    /// The expressions of a trace point.
    pub expressions: Vec<String>,
}

/// A copy of a map's memory.
pub struct Snapshot {
    /// Where it was.
    pub address: u64,
    /// What was there.
    pub bytes: Vec<u8>,
    /// The name of the map.
    pub name: String,
    /// What the user calls it.
    pub comment: String,
}

/// The target that a command means, and what is remembered of it.
pub struct Debugged<'a> {
    /// Its descriptor.
    pub fd: u32,
    /// The target.
    pub target: &'a mut dyn Target,
    /// What is remembered.
    pub notes: &'a mut Notes,
}

impl Debugged<'_> {
    /// The thread that commands mean.
    pub fn thread(&self) -> Result<ThreadId> {
        self.target
            .current()
            .ok_or_else(|| Error::new(Kind::NotFound, "the process has ended").hint("'doo' starts the program again"))
    }

    /// The registers of the thread's process.
    pub fn layout(&mut self) -> Result<Arc<Layout>> {
        let thread = self.thread()?;
        self.target.layout(thread.process)
    }

    /// The value of a register of at most 64 bits, by gdb's name or the dialect's.
    pub fn register(&mut self, name: &str) -> Result<u64> {
        let layout = self.layout()?;
        let register = find(&layout, name)?;
        self.value(&layout, register)
    }

    /// The value of `register`, when it has at most 64 bits.
    pub fn value(&mut self, layout: &Layout, register: &Register) -> Result<u64> {
        let thread = self.thread()?;
        let set = self.target.read_set(thread, register.set)?;
        register.value(&set, layout.big_endian).ok_or_else(|| {
            let text = format!("{} has {} bits, which is more than a number here holds", register.name, register.bits);
            Error::new(Kind::Expression, text)
        })
    }

    /// Changes a register.
    pub fn set_register(&mut self, name: &str, value: u64) -> Result<()> {
        let layout = self.layout()?;
        let register = find(&layout, name)?;
        let thread = self.thread()?;
        let mut set = self.target.read_set(thread, register.set)?;
        if !register.set_value(&mut set, value, layout.big_endian) {
            let text = format!("0x{value:x} does not fit into {} ({} bits)", register.name, register.bits);
            return Err(Error::new(Kind::Usage, text));
        }
        self.target.write_set(thread, register.set, &set)
    }

    /// The program counter.
    pub fn pc(&mut self) -> Result<u64> {
        self.register("pc")
    }

    /// The memory maps of the thread's process.
    pub fn maps(&mut self) -> Result<Vec<Map>> {
        let process = self.thread()?.process;
        self.target.maps(process)
    }

    /// Keeps what the general registers are, and what they were.
    fn remember_registers(&mut self) -> Result<()> {
        let thread = self.thread()?;
        let now = self.target.read_set(thread, 0)?;
        self.notes.before = std::mem::replace(&mut self.notes.now, now);
        Ok(())
    }
}

/// The descriptor whose target commands mean: the current one, else the newest that has a target.
pub fn descriptor(core: &mut Core, view: &View) -> Option<u32> {
    let chosen = view.descriptor.or(core.io.current());
    let rest: Vec<u32> = core.io.descriptors().map(|descriptor| descriptor.fd).collect();
    chosen
        .into_iter()
        .chain(rest.into_iter().rev())
        .find(|fd| core.io.descriptor_mut(*fd).is_ok_and(|descriptor| descriptor.device().target().is_some()))
}

/// Lets go of all targets: what was started ends, what was attached to goes on as it was found.
pub fn leave(core: &mut Core) {
    let all: Vec<u32> = core.io.descriptors().map(|descriptor| descriptor.fd).collect();
    for fd in all {
        if core.io.descriptor_mut(fd).is_ok_and(|descriptor| descriptor.device().target().is_some()) {
            // It is there: it was just seen.
            let _ = core.io.close(fd);
        }
    }
}

/// The target that commands mean.
pub fn debugged<'a>(core: &'a mut Core, view: &View) -> Result<Debugged<'a>> {
    let none = || {
        Error::new(Kind::NotFound, "no process is being debugged")
            .hint("'o dbg://PROGRAM' or 'remora -d PROGRAM' starts one")
    };
    let fd = descriptor(core, view).ok_or_else(none)?;
    let target = core.io.descriptor_mut(fd)?.device().target().ok_or_else(none)?;
    let notes = core.debugger.notes.entry(fd).or_default();
    let handle = target.handle();
    let same = notes.whose.as_ref().and_then(Weak::upgrade).is_some_and(|known| Arc::ptr_eq(&known, &handle));
    if !same {
        let twins = notes.twins;
        *notes = Notes { whose: Some(Arc::downgrade(&handle)), twins, ..Notes::default() };
    }
    Ok(Debugged { fd, target, notes })
}

/// The value of a register as an expression names it; `None`: nothing is debugged, or it is not called so.
pub fn register(core: &mut Core, view: &View, name: &str) -> Option<u64> {
    debugged(core, view).ok()?.register(name).ok()
}

/// The dialect's names of registers that gdb spells in another way.
const SPELLINGS: &[(&str, &str)] = &[("rflags", "eflags"), ("orax", "orig_rax"), ("oeax", "orig_eax")];

/// The register `name`.
pub fn find<'a>(layout: &'a Layout, name: &str) -> Result<&'a Register> {
    let gdb = SPELLINGS.iter().find(|(spelling, _)| *spelling == name).map_or(name, |(_, gdb)| gdb);
    layout.find(name).or_else(|| layout.find(gdb)).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("no register is called '{}'", crate::output::visible(name)))
            .hint("'drl' lists them")
    })
}

/// What the dialect calls a register.
pub fn spelling<'a>(layout: &Layout, register: &'a Register) -> &'a str {
    let name = register.name.as_str();
    // Without the upper half they are the flags that gdb names.
    let own = SPELLINGS.iter().filter(|_| name != "eflags" || layout.bits == 64).find(|(_, gdb)| *gdb == name);
    own.map_or(name, |(spelling, _)| spelling)
}
