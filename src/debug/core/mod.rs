//! What is left of a process that died, as a target: threads, registers and memory can be looked at, nothing runs.

use std::sync::Arc;
use std::time::Instant;

use super::{
    Abilities, Breakpoint, BreakpointId, Catch, Deliver, Handle, Handling, Layout, Map, Module, Process, ProcessId,
    Reason, Resume, Settings, Spec, State, Stop, Target, Thread, ThreadId, cannot, modules, signals,
};
use crate::error::{Error, Kind, Result};
use crate::output::Cancel;

/// Memory that was kept, wherever it lies.
pub trait Memory: Send {
    /// Reads into `buffer` from `address` of the process; how many bytes are known from the start.
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize>;
}

/// A thread as it was.
pub struct Fallen {
    /// Its number.
    pub id: ThreadId,
    /// The bytes of each register set of the layout; one that was not kept is empty.
    pub sets: Vec<Vec<u8>>,
    /// What stopped it, for the one that died.
    pub reason: Option<Reason>,
}

/// What was kept of a process.
pub struct Remains {
    /// The process.
    pub process: Process,
    /// Its registers.
    pub layout: Arc<Layout>,
    /// Its threads; the one that died comes first.
    pub threads: Vec<Fallen>,
    /// Its memory map, by rising addresses.
    pub maps: Vec<Map>,
    /// The auxiliary vector, as it lay in memory.
    pub auxv: Vec<u8>,
    /// Its memory.
    pub memory: Box<dyn Memory>,
}

/// The target.
pub struct Dead {
    remains: Remains,
    current: Option<ThreadId>,
    generation: u64,
    handle: Arc<Still>,
}

/// Nothing runs, so nobody waits.
struct Still;

impl Handle for Still {
    fn interrupt(&self) -> Result<()> {
        Ok(())
    }
    fn wait(&self, _deadline: Option<Instant>, _cancel: &Cancel) -> Result<bool> {
        Ok(false)
    }
}

/// What is said to everything that would need a living process.
fn dead() -> Error {
    Error::new(Kind::Unsupported, "a core file does not run: it is what was left of a process")
        .hint("'remora -d PROGRAM' starts one")
}

impl Dead {
    /// The target over `remains`.
    pub fn new(remains: Remains) -> Dead {
        let current = remains.threads.first().map(|thread| thread.id);
        Dead { remains, current, generation: 0, handle: Arc::new(Still) }
    }

    fn check(&self, process: ProcessId) -> Result<()> {
        if process == self.remains.process.id {
            return Ok(());
        }
        Err(Error::new(Kind::NotFound, format!("the core file is of the process {}", self.remains.process.id)))
    }

    fn thread(&self, thread: ThreadId) -> Result<&Fallen> {
        let found = self.remains.threads.iter().find(|known| known.id == thread);
        found.ok_or_else(|| Error::new(Kind::NotFound, format!("the core file has no thread {}", thread.thread)))
    }
}

impl Target for Dead {
    fn kind(&self) -> &'static str {
        "core"
    }

    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    fn handle(&self) -> Arc<dyn Handle> {
        Arc::clone(&self.handle) as Arc<dyn Handle>
    }

    fn generation(&self) -> u64 {
        self.generation
    }

    fn processes(&mut self) -> Result<Vec<Process>> {
        Ok(vec![self.remains.process.clone()])
    }

    fn threads(&mut self, process: Option<ProcessId>) -> Result<Vec<Thread>> {
        process.map_or(Ok(()), |process| self.check(process))?;
        let thread = |thread: &Fallen| Thread {
            id: thread.id,
            name: None,
            state: State::Stopped(thread.reason.clone()),
            core: None,
        };
        Ok(self.remains.threads.iter().map(thread).collect())
    }

    fn current(&self) -> Option<ThreadId> {
        self.current
    }

    fn select(&mut self, thread: ThreadId) -> Result<()> {
        self.thread(thread)?;
        self.current = Some(thread);
        self.generation += 1;
        Ok(())
    }

    fn layout(&mut self, process: ProcessId) -> Result<Arc<Layout>> {
        self.check(process)?;
        Ok(Arc::clone(&self.remains.layout))
    }

    fn read_set(&mut self, thread: ThreadId, set: usize) -> Result<Vec<u8>> {
        let kept = self.thread(thread)?.sets.get(set).filter(|bytes| !bytes.is_empty());
        kept.cloned().ok_or_else(|| Error::new(Kind::NotFound, "the core file does not keep these registers"))
    }

    fn write_set(&mut self, _thread: ThreadId, _set: usize, _bytes: &[u8]) -> Result<()> {
        Err(dead())
    }

    fn read_memory(&mut self, process: ProcessId, address: u64, buffer: &mut [u8]) -> Result<usize> {
        self.check(process)?;
        self.remains.memory.read(address, buffer)
    }

    fn write_memory(&mut self, _process: ProcessId, _address: u64, _data: &[u8]) -> Result<usize> {
        Err(dead())
    }

    fn maps(&mut self, process: ProcessId) -> Result<Vec<Map>> {
        self.check(process)?;
        Ok(self.remains.maps.clone())
    }

    fn auxv(&mut self, process: ProcessId) -> Result<Vec<u8>> {
        self.check(process)?;
        Ok(self.remains.auxv.clone())
    }

    fn modules(&mut self, process: ProcessId) -> Result<Vec<Module>> {
        modules::list(self, process)
    }

    fn program(&mut self, process: ProcessId) -> Result<String> {
        self.check(process)?;
        self.remains.process.program.clone().ok_or_else(|| cannot("name the program"))
    }

    fn resume(&mut self, _actions: &[Resume]) -> Result<()> {
        Err(dead())
    }

    fn take_stop(&mut self) -> Result<Option<Stop>> {
        Ok(None)
    }

    fn is_running(&self) -> bool {
        false
    }

    fn settings(&self) -> Settings {
        Settings::default()
    }

    fn set_settings(&mut self, _settings: &Settings) -> Result<()> {
        Err(dead())
    }

    fn catch_calls(&mut self, _process: Option<ProcessId>, _calls: &Catch) -> Result<()> {
        Err(dead())
    }

    fn signals(&self) -> Vec<Handling> {
        signals::defaults()
    }

    fn set_signal(&mut self, _number: i32, _handling: Handling) -> Result<()> {
        Err(dead())
    }

    fn insert(&mut self, _spec: &Spec) -> Result<BreakpointId> {
        Err(dead())
    }

    fn change(&mut self, _id: BreakpointId, _spec: &Spec) -> Result<()> {
        Err(dead())
    }

    fn remove(&mut self, _id: BreakpointId) -> Result<()> {
        Ok(())
    }

    fn breakpoints(&mut self) -> Result<Vec<Breakpoint>> {
        Ok(Vec::new())
    }

    fn system_call(&mut self, _thread: ThreadId, _number: u64, _arguments: [u64; 6]) -> Result<i64> {
        Err(dead())
    }

    fn detach(&mut self, _process: ProcessId, _deliver: Deliver) -> Result<()> {
        Err(dead())
    }

    fn kill(&mut self, _process: ProcessId) -> Result<()> {
        Err(dead())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debug::registers::Set;

    struct Nothing;
    impl Memory for Nothing {
        fn read(&mut self, _address: u64, _buffer: &mut [u8]) -> Result<usize> {
            Ok(0)
        }
    }

    fn target() -> Dead {
        let process = Process { id: 7, parent: None, attached: false, program: None };
        let sets = vec![Set { name: "general".into(), size: 8 }];
        let layout = Arc::new(Layout::new("test", 64, false, sets, Vec::new()));
        let id = ThreadId { process: 7, thread: 8 };
        let threads = vec![Fallen { id, sets: vec![vec![1; 8], Vec::new()], reason: None }];
        Dead::new(Remains { process, layout, threads, maps: Vec::new(), auxv: Vec::new(), memory: Box::new(Nothing) })
    }

    #[test]
    fn it_can_be_looked_at_and_does_not_run() {
        let mut target = target();
        let thread = target.current().unwrap();
        assert_eq!(target.read_set(thread, 0).unwrap(), [1; 8]);
        assert_eq!(target.read_set(thread, 1).unwrap_err().kind(), Kind::NotFound);
        assert_eq!(target.read_set(thread, 2).unwrap_err().kind(), Kind::NotFound);
        assert_eq!(target.maps(9).unwrap_err().kind(), Kind::NotFound);
        assert_eq!(target.select(ThreadId { process: 7, thread: 9 }).unwrap_err().kind(), Kind::NotFound);
        assert_eq!(target.program(7).unwrap_err().kind(), Kind::Unsupported);
        let refused = [
            target.resume(&[Resume::ALL]).unwrap_err(),
            target.insert(&Spec::at(1)).unwrap_err(),
            target.write_memory(7, 0, &[1]).unwrap_err(),
            target.kill(7).unwrap_err(),
        ];
        assert!(refused.iter().all(|error| error.kind() == Kind::Unsupported && error.message().contains("core file")));
        assert!(!target.handle().wait(None, &Cancel::new()).unwrap());
    }
}
