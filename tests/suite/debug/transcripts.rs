//! Programs of all sorts, debugged in the same way here, behind rap, and behind rap on a far line: what is said has to be
//! the same, and nothing may be left behind ([`Process`] looks).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use object::{Object, ObjectSymbol};
use remora::debug::{Catch, Fork, Reason, Resume, Settings, Spec};

use super::far::{Process, Where};
use super::fixture_with;

/// A far line in these tests.
const FAR: Duration = Duration::from_millis(50);

/// What is done with a program.
#[derive(Clone)]
struct Script {
    arguments: &'static [&'static str],
    /// Functions to break at.
    breaks: &'static [&'static str],
    settings: Settings,
    catch: Catch,
    /// Signals that do not stop it.
    quiet: &'static [i32],
    /// Of how many stops the first instruction is stepped.
    steps: usize,
}

impl Default for Script {
    fn default() -> Script {
        Script {
            arguments: &[],
            breaks: &[],
            settings: Settings::default(),
            catch: Catch::Nothing,
            quiet: &[],
            steps: 0,
        }
    }
}

/// Runs a program to its end and tells what happened, with names instead of numbers.
fn tell(place: Where, program: &Path, script: &Script) -> Vec<String> {
    let mut process = Process::start(place, program, script.arguments);
    let data = std::fs::read(program).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let symbols: BTreeMap<u64, &str> =
        file.symbols().filter_map(|symbol| Some((symbol.address(), symbol.name().ok()?))).collect();
    let pid = process.target().current().unwrap().process;
    let bias = process.target().modules(pid).unwrap()[0].bias;
    let address = |name: &str| {
        let found = symbols.iter().find(|(_, known)| **known == name).expect("the symbol is there");
        bias.wrapping_add(*found.0)
    };
    for name in script.breaks {
        process.target().insert(&Spec::at(address(name))).unwrap();
    }
    process.target().set_settings(&script.settings).unwrap();
    if script.catch != Catch::Nothing {
        process.target().catch_calls(None, &script.catch).unwrap();
    }
    for signal in script.quiet {
        let mut handling = process.target().signals()[*signal as usize];
        handling.stop = false;
        process.target().set_signal(*signal, handling).unwrap();
    }
    let mut names = BTreeMap::from([(pid, "A".to_string())]);
    let mut said = Vec::new();
    let mut live = 1;
    for round in 0.. {
        assert!(round < 1000, "it does not end: {said:?}");
        process.target().resume(&[Resume::ALL]).unwrap();
        let stop = process.wait();
        let next = char::from(b'A' + names.len() as u8).to_string();
        let who = names.entry(stop.thread.process).or_insert(next).clone();
        let place = match stop.reason {
            Reason::Breakpoint { address, .. } => {
                symbols.get(&address.wrapping_sub(bias)).copied().unwrap_or("somewhere")
            }
            _ => "",
        };
        if let Reason::Fork { child } | Reason::Vfork { child } = &stop.reason {
            let next = char::from(b'A' + names.len() as u8).to_string();
            names.insert(child.process, next);
            process.seen.insert(child.process);
            live += usize::from(script.settings.fork == Fork::Both);
        }
        said.push(match &stop.reason {
            Reason::Breakpoint { ids, .. } => format!("{who} breakpoint {ids:?} {place}"),
            Reason::Signal { number, .. } => format!("{who} signal {number}"),
            Reason::CallEntry { number, .. } => format!("{who} call {number}"),
            Reason::CallReturn { number, .. } => format!("{who} return {number}"),
            Reason::Fork { .. } => format!("{who} fork"),
            Reason::Vfork { .. } => format!("{who} vfork"),
            Reason::VforkDone => format!("{who} vfork done"),
            Reason::Exec { .. } => format!("{who} exec"),
            Reason::Exited { code } => format!("{who} exited {code}"),
            Reason::Killed { signal, .. } => format!("{who} killed {signal}"),
            Reason::Trap => format!("{who} trap"),
            other => format!("{who} {other:?}"),
        });
        if stop.reason.is_end() {
            live -= 1;
            if live == 0 {
                break;
            }
        } else if round < script.steps {
            let thread = stop.thread;
            let before = remora::debug::program_counter(process.target(), thread).unwrap();
            process.target().resume(&[Resume::step(thread)]).unwrap();
            assert_eq!(process.wait().reason, Reason::Step);
            assert_ne!(remora::debug::program_counter(process.target(), thread).unwrap(), before);
        }
    }
    if script.settings.fork == Fork::Child {
        // It was let go, and ends by itself; being this process's child it has to be collected.
        process.seen.remove(&pid);
        let ended = rustix::process::Pid::from_raw(pid as i32).unwrap();
        // The tracer's thread may have collected it already.
        let _ = rustix::process::waitpid(Some(ended), rustix::process::WaitOptions::empty());
        super::far::gone(pid);
    }
    said
}

/// The same everywhere. What happens at the same time in several processes may be told in any order (`sorted`).
fn everywhere(name: &str, flags: &[&str], script: &Script, sorted: bool, wanted: &[&str]) {
    let Some(program) = fixture_with(name, flags) else { return };
    for place in [Where::Here, Where::Loopback, Where::Far(FAR)] {
        let mut said = tell(place, &program, script);
        if sorted {
            said.sort();
        }
        assert_eq!(said, wanted, "{name} {flags:?} {place:?}");
    }
}

#[test]
fn one_thread() {
    let script = Script { arguments: &["3"], breaks: &["main", "add"], steps: 3, ..Script::default() };
    let add = "A breakpoint [2] add";
    let wanted = ["A breakpoint [1] main", add, add, add, "A exited 7"];
    for flags in [&[][..], &["-static-pie"], &["-no-pie"]] {
        everywhere("single", flags, &script, false, &wanted);
    }
}

#[test]
fn many_threads() {
    let script = Script { arguments: &["4", "2", "0"], breaks: &["hot"], quiet: &[10, 14], ..Script::default() };
    let mut wanted = vec!["A breakpoint [1] hot"; 8];
    wanted.push("A exited 0");
    everywhere("threads", &[], &script, false, &wanted);
}

#[test]
fn a_narrow_program() {
    let flags = ["-m32", "-nostdlib", "-static", "-ffreestanding", "-fno-pie", "-no-pie"];
    let script = Script { breaks: &["add"], steps: 2, ..Script::default() };
    let mut wanted = vec!["A breakpoint [1] add"; 5];
    wanted.push("A exited 10");
    everywhere("narrow", &flags, &script, false, &wanted);
}

#[test]
fn forks_and_execs_that_are_left() {
    let script = Script { arguments: &["2", "fork"], breaks: &["link_of"], ..Script::default() };
    let link = "A breakpoint [1] link_of";
    everywhere("chain", &[], &script, false, &[link, link, "A exited 2"]);
}

#[test]
fn forks_and_execs_that_are_kept() {
    let settings = Settings { fork: Fork::Both, stop_at_fork: true, stop_at_exec: true, ..Settings::default() };
    let script = Script { arguments: &["2", "fork"], settings: settings.clone(), ..Script::default() };
    let wanted = ["A exited 2", "A fork", "B exec", "B exited 1", "B fork", "C exec", "C exited 0"];
    everywhere("chain", &[], &script, true, &wanted);
}

#[test]
fn one_that_was_started_by_vfork() {
    let settings = Settings { fork: Fork::Child, stop_at_exec: true, ..Settings::default() };
    let script = Script { arguments: &["1", "vfork"], settings, ..Script::default() };
    everywhere("chain", &[], &script, false, &["B exec", "B exited 0"]);
}

#[test]
fn signals() {
    let script = Script { quiet: &[17, 28], ..Script::default() };
    let wanted = ["A signal 10", "A signal 12", "A signal 1", "A signal 15", "A exited 0"];
    everywhere("signals", &[], &script, false, &wanted);
}

#[test]
fn a_crash() {
    let script = Script { arguments: &["crash"], quiet: &[1, 10, 12, 15, 17, 28], ..Script::default() };
    everywhere("signals", &[], &script, false, &["A signal 11", "A killed 11"]);
}

#[test]
fn a_loop_of_system_calls() {
    let catch = Catch::Some(vec![110]);
    let script = Script { arguments: &["3"], catch, ..Script::default() };
    let (call, back) = ("A call 110", "A return 110");
    everywhere("calls", &[], &script, false, &[call, back, call, back, call, back, "A exited 0"]);
}

#[test]
fn one_that_traces_itself() {
    everywhere("selftrace", &[], &Script::default(), false, &["A trap", "A exited 40"]);
}
