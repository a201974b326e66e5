//! Attaching to what runs, and leaving it as it was found.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use remora::debug::{Deliver, Reason, Resume, State, Target};

use super::{PATIENCE, Watched, fixture};

/// A process of the test's own that answers when it is asked.
pub struct Sleepers {
    pub child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Sleepers {
    pub fn start(program: &Path, threads: usize) -> Sleepers {
        let mut child = Command::new(program)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut sleepers = Sleepers { child, input, output };
        assert_eq!(sleepers.line(), "ready");
        sleepers
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        line.trim_end().to_string()
    }

    pub fn poke(&mut self) {
        self.input.write_all(b"x").expect("it listens");
    }

    /// Lets it end, and looks that it ends well.
    pub fn end(mut self) {
        drop(self.input);
        assert_eq!(self.child.wait().expect("it ends").code(), Some(3));
    }

    pub fn state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it is there");
        stat[stat.rfind(')').expect("a name") + 2..].chars().next().expect("a state")
    }

    pub fn wait_for_state(&self, wanted: char) {
        let deadline = Instant::now() + PATIENCE;
        while self.state() != wanted {
            assert!(Instant::now() < deadline, "it is {} instead of {wanted}", self.state());
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_process_goes_on_after_a_visit() {
    let Some(program) = fixture("sleepers") else { return };
    let mut sleepers = Sleepers::start(&program, 20);
    for round in 1..=5 {
        let mut debugged = Watched::attach(&program, sleepers.child.id());
        let threads = debugged.target().threads(None).unwrap();
        assert_eq!(threads.len(), 21);
        assert!(threads.iter().all(|thread| matches!(thread.state, State::Stopped(_))));
        let turns = debugged.symbol("turns");
        assert_eq!(debugged.word(turns), round - 1);
        drop(debugged);
        sleepers.poke();
        assert_eq!(sleepers.line(), format!("turn {round}"));
    }
    sleepers.end();
}

#[test]
fn a_stopped_process_stays_stopped() {
    let Some(program) = fixture("sleepers") else { return };
    let mut sleepers = Sleepers::start(&program, 3);
    let pid = rustix::process::Pid::from_child(&sleepers.child);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    sleepers.wait_for_state('T');
    let mut debugged = Watched::attach(&program, sleepers.child.id());
    drop(debugged.target.take());
    drop(debugged);
    sleepers.wait_for_state('T');
    // Whoever continues it in the debugger sees it run, and it is stopped again afterwards.
    let mut debugged = Watched::attach(&program, sleepers.child.id());
    debugged.target().resume(&[Resume::ALL]).unwrap();
    sleepers.poke();
    assert_eq!(sleepers.line(), "turn 1");
    debugged.target().handle().interrupt().unwrap();
    assert_eq!(debugged.wait().reason, Reason::Interrupted);
    drop(debugged);
    sleepers.wait_for_state('T');
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    sleepers.end();
}

#[test]
fn job_control_works_while_debugged() {
    let Some(program) = fixture("sleepers") else { return };
    let mut sleepers = Sleepers::start(&program, 3);
    let pid = rustix::process::Pid::from_child(&sleepers.child);
    let mut debugged = Watched::attach(&program, sleepers.child.id());
    let mut handling = debugged.target().signals()[19];
    handling.stop = false;
    debugged.target().set_signal(19, handling).unwrap();
    debugged.target().resume(&[Resume::ALL]).unwrap();
    for round in 1..=3 {
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        // A thread that listens for the end of the stop is shown as traced and stopped.
        sleepers.wait_for_state('t');
        sleepers.poke();
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
        assert_eq!(sleepers.line(), format!("turn {round}"));
    }
    debugged.target().handle().interrupt().unwrap();
    assert_eq!(debugged.wait().reason, Reason::Interrupted);
    drop(debugged);
    sleepers.end();
}

#[test]
fn a_running_process_is_let_go_without_its_traps() {
    let Some(program) = fixture("sleepers") else { return };
    let mut sleepers = Sleepers::start(&program, 2);
    let mut debugged = Watched::attach(&program, sleepers.child.id());
    let main = debugged.symbol("main");
    for address in main..main + 64 {
        debugged.insert(address);
    }
    debugged.target().resume(&[Resume::ALL]).unwrap();
    let pid = sleepers.child.id();
    debugged.target().detach(pid, Deliver::AsHandled).unwrap();
    drop(debugged);
    sleepers.poke();
    assert_eq!(sleepers.line(), "turn 1");
    sleepers.end();
}

#[test]
fn a_process_that_is_killed_from_outside_is_reported() {
    let Some(program) = fixture("sleepers") else { return };
    let mut sleepers = Sleepers::start(&program, 10);
    let pid = sleepers.child.id();
    for running in [true, false] {
        if !running {
            sleepers = Sleepers::start(&program, 10);
        }
        let mut debugged = Watched::attach(&program, sleepers.child.id());
        debugged.alive.clear();
        if running {
            debugged.target().resume(&[Resume::ALL]).unwrap();
        }
        sleepers.child.kill().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let stop = loop {
            // With all threads stopped nothing runs: the end is noticed all the same.
            if let Some(stop) = debugged.target().take_stop().unwrap() {
                break stop;
            }
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        };
        assert_eq!(stop.reason, Reason::Killed { signal: 9, core_dumped: false });
        drop(debugged);
        // The tracer is a thread of this process and has collected it.
        let _ = sleepers.child.wait();
    }
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn somebody_elses_process_is_not_taken() {
    let Some(program) = fixture("sleepers") else { return };
    let sleepers = Sleepers::start(&program, 1);
    let debugged = Watched::attach(&program, sleepers.child.id());
    let error = remora::debug::ptrace::Ptrace::of(sleepers.child.id()).err().expect("one debugger at a time");
    assert!(error.to_string().contains("is being debugged by"), "{error}");
    drop(debugged);
    sleepers.end();
}

/// Says to [`the_debugger_that_is_killed`] which process it is to debug.
const VICTIM: &str = "REMORA_TEST_VICTIM";

/// The other side of the next test, in a process of its own: without a victim there is nothing to do.
#[test]
fn the_debugger_that_is_killed() {
    let Ok(victim) = std::env::var(VICTIM) else { return };
    let pid = victim.parse().expect("a process's number");
    let program = fixture("sleepers").expect("it was compiled for the other side");
    let mut debugged = Watched::attach(&program, pid);
    let main = debugged.symbol("main");
    for address in main..main + 16 {
        debugged.insert(address);
    }
    debugged.target().resume(&[Resume::ALL]).unwrap();
    println!("main {main}");
    std::io::stdout().flush().unwrap();
    loop {
        std::thread::park();
    }
}

/// The other side of the next test: stops its victim at a breakpoint in its loop.
#[test]
fn the_debugger_that_is_killed_at_a_stop() {
    let Ok(victim) = std::env::var(STOPPED) else { return };
    let pid = victim.parse().expect("a process's number");
    let program = fixture("single").expect("it was compiled for the other side");
    let mut debugged = Watched::attach(&program, pid);
    let add = debugged.symbol("add");
    for address in [add, add + 1, add + 4] {
        debugged.insert(address);
    }
    for _ in 0..5 {
        assert!(matches!(debugged.go(), Reason::Breakpoint { .. }));
    }
    println!("stopped");
    std::io::stdout().flush().unwrap();
    loop {
        std::thread::park();
    }
}

/// Says to it which process it is to debug.
const STOPPED: &str = "REMORA_TEST_STOPPED";

#[test]
fn a_process_that_is_stopped_lives_on_when_its_debugger_is_killed() {
    let Some(program) = fixture("single") else { return };
    for _ in 0..5 {
        let mut child =
            Command::new(&program).arg("2000000000").stdout(Stdio::null()).spawn().expect("the program starts");
        let own = std::env::current_exe().expect("this is a program");
        let mut debugger = Command::new(own)
            .args(["--exact", "debug::attach::the_debugger_that_is_killed_at_a_stop", "--nocapture"])
            .env(STOPPED, child.id().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(debugger.stdout.take().expect("a pipe"));
        let stopped = output.lines().map_while(Result::ok).any(|line| line.contains("stopped"));
        debugger.kill().expect("it can be killed");
        debugger.wait().expect("it ends");
        assert!(stopped);
        // It runs through the places where the breakpoints were, and is not harmed.
        let used = |pid: u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
            let fields: Vec<&str> = stat[stat.rfind(')').expect("a name") + 2..].split(' ').collect();
            (fields[0].to_string(), fields[11].parse::<u64>().expect("a number"))
        };
        let (_, before) = used(child.id());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (state, now) = used(child.id());
            assert!(!"ZXtT".contains(&state), "it is {state}: {:?}", child.try_wait());
            if now > before + 3 {
                break;
            }
            assert!(Instant::now() < deadline, "it does not run");
            std::thread::yield_now();
        }
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }
}

#[test]
fn traps_do_not_outlive_a_killed_debugger() {
    let Some(program) = fixture("sleepers") else { return };
    let mut sleepers = Sleepers::start(&program, 2);
    let pid = sleepers.child.id();
    let own = std::env::current_exe().expect("this is a program");
    let mut debugger = Command::new(own)
        .args(["--exact", "debug::attach::the_debugger_that_is_killed", "--nocapture"])
        .env(VICTIM, pid.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let output = BufReader::new(debugger.stdout.take().expect("a pipe"));
    let main = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.split_once("main ").and_then(|(_, address)| address.trim().parse::<u64>().ok()));
    let main = main.expect("it says where it has put its traps");
    let memory = fs::File::open(format!("/proc/{pid}/mem")).expect("it can be read");
    let trapped = || {
        let mut code = [0; 16];
        std::os::unix::fs::FileExt::read_exact_at(&memory, &mut code, main).expect("it can be read");
        code.iter().all(|byte| *byte == 0xcc)
    };
    assert!(trapped());
    debugger.kill().expect("it can be killed");
    debugger.wait().expect("it ends");
    let deadline = Instant::now() + PATIENCE;
    while trapped() {
        assert!(Instant::now() < deadline, "the traps are still there");
        std::thread::yield_now();
    }
    sleepers.poke();
    assert_eq!(sleepers.line(), "turn 1");
    sleepers.end();
}
