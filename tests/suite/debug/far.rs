//! Targets that are here or over there, and how many round trips what is done with them takes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use remora::debug::{Launch, Role, Spec, Start, Stop, Target};
use remora::io::plugin::{self, rap};
use remora::io::{Access, Device, Open};
use remora::output::Cancel;
use remora::serve::{Clients, ServeOptions};
use remora::session::Permissions;
use remora::uri::Uri;

use super::{PATIENCE, fixture_with};
use crate::rap::device::{Traffic, counted_with};
use crate::rap::{Running, target};

/// What a server of processes allows.
pub fn all() -> ServeOptions {
    ServeOptions { permissions: Permissions::ALL, ..ServeOptions::default() }
}

/// Where the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    Here,
    Loopback,
    /// Behind a line on which a question and its answer take so long.
    Far(Duration),
}

/// A process somewhere, as a device. When it is dropped nothing may be left of it.
pub struct Process {
    device: Option<Box<dyn Device>>,
    _server: Option<Running>,
    _clients: Option<Arc<Clients>>,
    pub traffic: Option<Traffic>,
    pub seen: BTreeSet<u32>,
}

impl Process {
    /// Starts `program`, whose output goes nowhere.
    pub fn start(place: Where, program: &Path, arguments: &[&str]) -> Process {
        let words: Vec<String> = arguments.iter().map(|word| word.to_string()).collect();
        let uri = format!("dbg://{}", program.display());
        let start = Start { arguments: words, stdout: Some("/dev/null".into()), ..Start::default() };
        let open = Open { access: Access::RWX, start, ..Open::default() };
        let (mut server, mut members, mut traffic) = (None, None, None);
        let device = match place {
            Where::Here => plugin::open(&Uri::parse(&uri), &open),
            Where::Loopback => {
                let running = Running::start(all());
                let uri = format!("rap://{}/{uri}", running.place());
                server = Some(running);
                plugin::open(&Uri::parse(&uri), &open)
            }
            Where::Far(latency) => {
                let (client, counted, clients) = counted_with(all(), latency / 2, target("memory", "dbg://", 7));
                (members, traffic) = (Some(clients), Some(counted));
                let launch = Launch { program: program.to_string_lossy().into_owned(), ..open.start.launch() };
                rap::process::open(client, &open, Some(&launch))
            }
        };
        let device = device.expect("the process can be had");
        let mut process =
            Process { device: Some(device), _server: server, _clients: members, traffic, seen: BTreeSet::new() };
        let pid = process.target().current().expect("a thread").process;
        process.seen.insert(pid);
        process
    }

    pub fn target(&mut self) -> &mut dyn Target {
        self.device.as_mut().and_then(|device| device.target()).expect("it is a process until the end")
    }

    pub fn wait(&mut self) -> Stop {
        let deadline = Instant::now() + PATIENCE;
        let stop = self.target().wait(Some(deadline), &Cancel::new()).expect("it can be waited for");
        let stop = stop.expect("it stops in time");
        self.seen.insert(stop.thread.process);
        stop
    }

    pub fn flights(&self) -> u64 {
        self.traffic.as_ref().map_or(0, |traffic| traffic.flights.load(Ordering::SeqCst))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.device.take());
        if !std::thread::panicking() {
            self.seen.iter().for_each(|pid| gone(*pid));
        }
    }
}

/// Looks that a process is no more.
pub fn gone(pid: u32) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    assert!(status.is_empty(), "{pid} is left behind:\n{status}");
}

#[test]
fn a_step_and_its_screen_are_one_round_trip() {
    let Some(program) = fixture_with("single", &["-no-pie"]) else { return };
    let mut process = Process::start(Where::Far(Duration::from_millis(4)), &program, &["100"]);
    let thread = process.target().current().unwrap();
    for _ in 0..20 {
        let before = process.flights();
        process.target().resume(&[remora::debug::Resume::step(thread)]).unwrap();
        process.wait();
        screen(process.target());
        assert_eq!(process.flights() - before, 1);
    }
    // Running to a breakpoint, too.
    let mut memory = fs::read(&program).unwrap();
    let main = main_of(&mut memory);
    process.target().insert(&Spec::at(main)).unwrap();
    let before = process.flights();
    process.target().resume(&[remora::debug::Resume::ALL]).unwrap();
    process.wait();
    screen(process.target());
    assert_eq!(process.flights() - before, 1);
}

fn main_of(bytes: &mut [u8]) -> u64 {
    use object::{Object, ObjectSymbol};
    let file = object::File::parse(&*bytes).unwrap();
    file.symbols().find(|symbol| symbol.name() == Ok("main")).unwrap().address()
}

/// What a screen shows: registers, code, stack, maps, threads, breakpoints.
fn screen(target: &mut dyn Target) {
    let thread = target.current().unwrap();
    let layout = target.layout(thread.process).unwrap();
    let set = target.read_set(thread, 0).unwrap();
    let value = |role| layout.role(role).and_then(|register| register.value(&set, false)).unwrap();
    let mut bytes = [0; 256];
    assert_ne!(target.read_memory(thread.process, value(Role::Pc), &mut bytes).unwrap(), 0);
    assert_ne!(target.read_memory(thread.process, value(Role::Sp), &mut bytes).unwrap(), 0);
    assert!(!target.maps(thread.process).unwrap().is_empty());
    assert!(!target.threads(Some(thread.process)).unwrap().is_empty());
    target.breakpoints().unwrap();
}
