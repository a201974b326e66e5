//! Whole conversations with the server for debuggers, over a line in memory. Its target is made up, so that thousands
//! of them fit into a second; the suite has the same with a real process (`tests/suite/gdb/random.rs`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use remora::debug::registers::{Group, Set, Type};
use remora::debug::{
    Abilities, Breakpoint, BreakpointId, Deliver, Handle, Handling, Layout, Map, Process, ProcessId, Protection,
    Reason, Register, Resume, Role, Settings, Spec, State, Stop, Target, Thread, ThreadId,
};
use remora::error::{Error, Kind, Result};
use remora::link::{Framed, memory};
use remora::output::Cancel;
use remora::protocol::rsp::link::{Event, LIMIT, Link, Role as End};
use remora::serve::gdb::{SERVICE, Stub, arguments};
use remora::serve::{Clients, ServeOptions};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the memory of the target begins, and how long it is.
const START: u64 = 0x1_0000;
const LENGTH: usize = 0x1_0000;

const THREAD: ThreadId = ThreadId { process: 1, thread: 1 };

/// Packets; `@` stands for a number, `$` for bytes.
const FORMS: [&str; 64] = [
    "?",
    "g",
    "G$",
    "p@",
    "P@=$",
    "m@,@",
    "M@,@:$",
    "x@,@",
    "X@,@:$",
    "c",
    "s",
    "C05",
    "S@",
    "Hgp@.@",
    "Hc@",
    "T@",
    "k",
    "D;@",
    "R00",
    "vCont?",
    "vCont;c",
    "vCont;s:@",
    "vCont;r@,@:1",
    "vCont;C@:1;c",
    "vCont;t:1",
    "vCtrlC",
    "vStopped",
    "vKill;@",
    "vMustReplyEmpty",
    "v$",
    "Z0,@,1",
    "z0,@,1",
    "Z1,@,1",
    "Z2,@,@",
    "Z3,@,@",
    "Z0,@,1;X5,2600102727",
    "Z0,@,1;X@,$",
    "qC",
    "qfThreadInfo",
    "qsThreadInfo",
    "qThreadExtraInfo,@",
    "qThreadStopInfo@",
    "qAttached:@",
    "qSupported:multiprocess+;swbreak+",
    "qSupported:$",
    "qXfer:features:read:target.xml:@,@",
    "qXfer:threads:read::@,@",
    "qXfer:$",
    "qSearch:memory:@;@;$",
    "qCRC:@,@",
    "qMemoryRegionInfo:@",
    "qGetTLSAddr:@,@,@",
    "qRegisterInfo@",
    "qHostInfo",
    "QThreadSuffixSupported",
    "QListThreadsInStopReply",
    "QNonStop:1",
    "QNonStop:0",
    "QPassSignals:@;@",
    "QCatchSyscalls:1",
    "QSaveRegisterState",
    "QRestoreRegisterState:@",
    "jThreadsInfo",
    "QStartNoAckMode",
];

/// A process that was thought up: 64 KiB of memory, four registers, and every run ends at once.
struct Fiction {
    memory: Vec<u8>,
    registers: Vec<u8>,
    layout: Arc<Layout>,
    stops: Vec<Stop>,
    settings: Settings,
    signals: Vec<Handling>,
    breakpoints: Vec<Breakpoint>,
    generation: u64,
    lives: bool,
}

impl Fiction {
    fn new() -> Fiction {
        let register = |(number, (name, role)): (u32, (&str, Option<Role>))| Register {
            name: name.to_string(),
            bits: 64,
            set: 0,
            offset: number as usize * 8,
            bit: 0,
            group: Group::General,
            kind: Type::Integer,
            number: Some(number),
            dwarf: None,
            role,
            feature: "org.gnu.gdb.i386.core".to_string(),
        };
        let names = [("rax", None), ("rip", Some(Role::Pc)), ("rsp", Some(Role::Sp)), ("rbp", Some(Role::Fp))];
        let registers = (0..).zip(names).map(register).collect();
        let sets = vec![Set { name: "general".to_string(), size: 32 }];
        Fiction {
            memory: (0..LENGTH).map(|at| (at * 7) as u8).collect(),
            registers: vec![0; 32],
            layout: Arc::new(Layout::new("i386:x86-64", 64, false, sets, registers)),
            stops: Vec::new(),
            settings: Settings::default(),
            signals: vec![Handling { stop: true, print: true, pass: true }; 65],
            breakpoints: Vec::new(),
            generation: 0,
            lives: true,
        }
    }

    fn find(&self, process: ProcessId) -> Result<()> {
        let gone = || Error::new(Kind::NotFound, "there is no such process");
        if self.lives && process == THREAD.process { Ok(()) } else { Err(gone()) }
    }

    fn place(&self, address: u64, length: usize) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(address.checked_sub(START)?).ok().filter(|start| *start < LENGTH)?;
        Some(start..start.saturating_add(length).min(LENGTH))
    }
}

struct Idle;

impl Handle for Idle {
    fn interrupt(&self) -> Result<()> {
        Ok(())
    }

    fn wait(&self, _deadline: Option<Instant>, _cancel: &Cancel) -> Result<bool> {
        Ok(false)
    }
}

impl Target for Fiction {
    fn kind(&self) -> &'static str {
        "fiction"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            runs: true,
            non_stop: true,
            range_step: true,
            conditions: true,
            hardware: 4,
            ..Abilities::default()
        }
    }

    fn handle(&self) -> Arc<dyn Handle> {
        Arc::new(Idle)
    }

    fn generation(&self) -> u64 {
        self.generation
    }

    fn processes(&mut self) -> Result<Vec<Process>> {
        let process = Process { id: THREAD.process, parent: None, attached: false, program: None };
        Ok(if self.lives { vec![process] } else { Vec::new() })
    }

    fn threads(&mut self, process: Option<ProcessId>) -> Result<Vec<Thread>> {
        process.map_or(Ok(()), |process| self.find(process))?;
        let thread = Thread { id: THREAD, name: Some("a}b\u{1b}".into()), state: State::Stopped(None), core: None };
        Ok(if self.lives { vec![thread] } else { Vec::new() })
    }

    fn current(&self) -> Option<ThreadId> {
        self.lives.then_some(THREAD)
    }

    fn select(&mut self, thread: ThreadId) -> Result<()> {
        self.find(thread.process)
    }

    fn layout(&mut self, process: ProcessId) -> Result<Arc<Layout>> {
        self.find(process).map(|()| Arc::clone(&self.layout))
    }

    fn read_set(&mut self, thread: ThreadId, _set: usize) -> Result<Vec<u8>> {
        self.find(thread.process).map(|()| self.registers.clone())
    }

    fn write_set(&mut self, thread: ThreadId, _set: usize, bytes: &[u8]) -> Result<()> {
        self.find(thread.process)?;
        assert_eq!(bytes.len(), self.registers.len(), "a set is written whole");
        self.registers.copy_from_slice(bytes);
        Ok(())
    }

    fn read_memory(&mut self, process: ProcessId, address: u64, buffer: &mut [u8]) -> Result<usize> {
        self.find(process)?;
        let Some(range) = self.place(address, buffer.len()) else { return Ok(0) };
        buffer[..range.len()].copy_from_slice(&self.memory[range.clone()]);
        Ok(range.len())
    }

    fn write_memory(&mut self, process: ProcessId, address: u64, data: &[u8]) -> Result<usize> {
        self.find(process)?;
        let Some(range) = self.place(address, data.len()) else { return Ok(0) };
        let count = range.len();
        self.memory[range].copy_from_slice(&data[..count]);
        Ok(count)
    }

    fn maps(&mut self, process: ProcessId) -> Result<Vec<Map>> {
        self.find(process)?;
        let protection = Protection { read: true, write: true, execute: true };
        let end = START + LENGTH as u64;
        Ok(vec![Map { start: START, end, protection, shared: false, offset: 0, name: None }])
    }

    fn resume(&mut self, actions: &[Resume]) -> Result<()> {
        self.find(THREAD.process)?;
        if !actions.iter().any(|action| action.who.includes(THREAD)) {
            return Err(Error::new(Kind::NotFound, "no thread is meant by that"));
        }
        self.generation += 1;
        self.stops.push(Stop { thread: THREAD, reason: Reason::Step, pc: Some(START), core: None });
        Ok(())
    }

    fn take_stop(&mut self) -> Result<Option<Stop>> {
        Ok(self.stops.pop())
    }

    fn is_running(&self) -> bool {
        false
    }

    fn settings(&self) -> Settings {
        self.settings.clone()
    }

    fn set_settings(&mut self, settings: &Settings) -> Result<()> {
        self.settings = settings.clone();
        Ok(())
    }

    fn signals(&self) -> Vec<Handling> {
        self.signals.clone()
    }

    fn set_signal(&mut self, number: i32, handling: Handling) -> Result<()> {
        let place = usize::try_from(number).ok().and_then(|number| self.signals.get_mut(number));
        *place.ok_or_else(|| Error::new(Kind::Usage, "there is no such signal"))? = handling;
        Ok(())
    }

    fn insert(&mut self, spec: &Spec) -> Result<BreakpointId> {
        let id = self.breakpoints.last().map_or(1, |last| last.id + 1);
        let status = remora::debug::Status::Inserted;
        self.breakpoints.push(Breakpoint { id, spec: spec.clone(), hits: 0, status });
        Ok(id)
    }

    fn change(&mut self, id: BreakpointId, spec: &Spec) -> Result<()> {
        let known = self.breakpoints.iter_mut().find(|known| known.id == id);
        known.ok_or_else(|| Error::new(Kind::NotFound, "there is no such breakpoint"))?.spec = spec.clone();
        Ok(())
    }

    fn remove(&mut self, id: BreakpointId) -> Result<()> {
        self.breakpoints.retain(|known| known.id != id);
        Ok(())
    }

    fn breakpoints(&mut self) -> Result<Vec<Breakpoint>> {
        Ok(self.breakpoints.clone())
    }

    fn detach(&mut self, process: ProcessId, _deliver: Deliver) -> Result<()> {
        self.find(process)?;
        self.lives = false;
        Ok(())
    }

    fn kill(&mut self, process: ProcessId) -> Result<()> {
        self.find(process)?;
        self.lives = false;
        Ok(())
    }
}

/// The next packet that `data` spells: a form, numbers and bytes, or just bytes.
fn packet(data: &mut impl Iterator<Item = u8>) -> Option<Vec<u8>> {
    let form = FORMS.get(usize::from(data.next()?));
    let mut out = Vec::new();
    let Some(form) = form else {
        let length = usize::from(data.next()? % 32);
        out.extend(data.by_ref().take(length));
        return Some(out);
    };
    for byte in form.bytes() {
        match byte {
            b'@' => {
                let (kind, low) = (data.next()?, data.next()?);
                let number = match kind % 4 {
                    0 => u64::from(low),
                    1 => START + u64::from(low) * 256,
                    2 => u64::MAX - u64::from(low),
                    _ => 1 << (low % 64),
                };
                out.extend_from_slice(format!("{number:x}").as_bytes());
            }
            b'$' => {
                let length = usize::from(data.next()? % 64);
                out.extend(data.by_ref().take(length));
            }
            byte => out.push(byte),
        }
    }
    Some(out)
}

/// A conversation; every packet of it has to be answered, and the server has to live on.
pub fn run(data: &[u8]) {
    let words = ["--multi".to_string(), "127.0.0.1:0".to_string()];
    let Ok(wanted) = arguments::parse(&words) else { return };
    let stub = Arc::new(Stub::own(Box::new(Fiction::new()), wanted.manner));
    let options = ServeOptions { stub: Some(stub), ..wanted.options };
    let clients = Clients::new(&SERVICE, options).expect("a server can be made");
    let (near, far) = memory::pair(Duration::ZERO);
    clients.admit(Box::new(far)).expect("a client is admitted");
    let mut framed = Framed::new(Box::new(near), None);
    let mut link = Link::new(End::Client, LIMIT);
    let mut data = data.iter().copied();
    while let Some(packet) = packet(&mut data) {
        link.send(&packet, framed.queue());
        framed.queue().push(3);
    }
    link.send(b"qEcho:the end", framed.queue());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut out = Vec::new();
        let (event, used) = link.receive(framed.arrived(), &mut out);
        framed.consume(used);
        framed.queue().extend_from_slice(&out);
        match event {
            Some(Event::Packet(reply)) if reply == b"qEcho:the end" => break,
            None if used == 0 => {
                let left = deadline.checked_duration_since(Instant::now()).expect("the server hangs");
                // Who asks for the end of the server gets it.
                if framed.flush(Some(PATIENCE)).is_err() || framed.fill(Some(left)).is_err() {
                    break;
                }
            }
            _ => {}
        }
    }
    clients.stop();
}
