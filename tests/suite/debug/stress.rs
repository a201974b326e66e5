//! Programs that check themselves have to come out right, whatever the debugger does to them.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use remora::debug::condition::Op;
use remora::debug::{Action, Condition, OnHit, Reason, Resume, Settings, Spec, State, Target, Who};
use remora::output::Cancel;

use super::{PATIENCE, Watched, fixture};

const USR1: i32 = 10;

fn quiet(debugged: &mut Watched) {
    let mut handling = debugged.target().signals()[USR1 as usize];
    handling.stop = false;
    debugged.target().set_signal(USR1, handling).unwrap();
}

#[test]
fn sixty_four_threads_with_a_counting_breakpoint_in_their_loop() {
    let Some(program) = fixture("threads") else { return };
    let (threads, rounds) = (64, 20);
    let mut debugged = Watched::launch(&program, &["64", "20", "10"]);
    quiet(&mut debugged);
    let hot = debugged.symbol("hot");
    let never = Condition::new(vec![Op::Constant(0)]).unwrap();
    let count = debugged.target().insert(&Spec { on_hit: OnHit::Count, ..Spec::at(hot) }).unwrap();
    // The second instruction is none of those that are carried out in the tracer.
    let inner = debugged.target().insert(&Spec { conditions: vec![never], ..Spec::at(hot) }).unwrap();
    assert_eq!(debugged.go(), Reason::Exited { code: 0 });
    assert_eq!((debugged.hits(count), debugged.hits(inner)), (threads * rounds, 0));
}

#[test]
fn breakpoints_that_stop_are_met_once_by_each_thread() {
    let Some(program) = fixture("threads") else { return };
    let mut debugged = Watched::launch(&program, &["8", "5", "3"]);
    quiet(&mut debugged);
    let hot = debugged.symbol("hot");
    let id = debugged.insert(hot);
    let mut stops = 0;
    let end = loop {
        match debugged.go() {
            Reason::Breakpoint { ids, address, .. } => {
                assert_eq!((ids, address), (vec![id], hot));
                stops += 1;
            }
            end => break end,
        }
    };
    assert_eq!((end, stops, debugged.hits(id)), (Reason::Exited { code: 0 }, 40, 40));
}

#[test]
fn threads_are_stepped_while_the_others_run() {
    let Some(program) = fixture("threads") else { return };
    let mut debugged = Watched::launch(&program, &["4", "2000", "3"]);
    quiet(&mut debugged);
    let hot = debugged.symbol("hot");
    let once = Spec { temporary: true, ..Spec::at(hot) };
    debugged.target().insert(&once).unwrap();
    assert!(matches!(debugged.go(), Reason::Breakpoint { .. }));
    let count = debugged.target().insert(&Spec { on_hit: OnHit::Count, ..Spec::at(hot) }).unwrap();
    for _ in 0..200 {
        let thread = debugged.thread();
        let step = Resume { who: Who::Thread(thread), action: Action::Step { count: 5 }, ..Resume::step(thread) };
        let stop = debugged.resume(&[step, Resume::ALL]);
        if stop.reason.is_end() {
            assert_eq!(stop.reason, Reason::Exited { code: 0 });
            return;
        }
        assert_eq!(stop.reason, Reason::Step);
    }
    assert!(debugged.hits(count) > 0);
    assert_eq!(debugged.go(), Reason::Exited { code: 0 });
}

#[test]
fn interrupts_come_through_and_change_nothing() {
    let Some(program) = fixture("threads") else { return };
    let mut debugged = Watched::launch(&program, &["16", "3000", "20"]);
    quiet(&mut debugged);
    let hot = debugged.symbol("hot");
    let inner = debugged.target().insert(&Spec { on_hit: OnHit::Count, ..Spec::at(hot) }).unwrap();
    let mut interrupted = 0;
    loop {
        debugged.target().resume(&[Resume::ALL]).unwrap();
        let handle = debugged.target().handle();
        let short = Instant::now() + Duration::from_millis(3);
        if !handle.wait(Some(short), &Cancel::new()).unwrap() {
            handle.interrupt().unwrap();
        }
        match debugged.wait().reason {
            Reason::Interrupted => interrupted += 1,
            end => {
                assert_eq!(end, Reason::Exited { code: 0 });
                break;
            }
        }
        if interrupted == 50 {
            debugged.target().remove(inner).unwrap();
        }
    }
    assert!(interrupted > 0);
}

#[test]
fn threads_stop_one_by_one() {
    let Some(program) = fixture("threads") else { return };
    let mut debugged = Watched::launch(&program, &["4", "300", "3"]);
    quiet(&mut debugged);
    debugged.target().set_settings(&Settings { non_stop: true, ..Settings::default() }).unwrap();
    let hot = debugged.symbol("hot");
    let id = debugged.insert(hot);
    debugged.target().resume(&[Resume::ALL]).unwrap();
    let mut stopped = BTreeSet::new();
    for _ in 0..4 {
        let stop = debugged.wait();
        assert_eq!(stop.reason, Reason::Breakpoint { ids: vec![id], address: hot, hardware: false });
        // Its registers can be read while the others run on.
        assert_eq!(debugged.register_of(stop.thread, "rip"), hot);
        assert!(stopped.insert(stop.thread));
    }
    let main = debugged.target().threads(None).unwrap();
    let main = main.iter().find(|thread| thread.id.thread == u64::from(thread.id.process)).unwrap();
    assert_eq!(main.state, State::Running);
    debugged.target().resume(&[Resume { action: Action::Stop, ..Resume::step(main.id) }]).unwrap();
    let stop = debugged.wait();
    assert_eq!((stop.thread, matches!(stop.reason, Reason::Signal { number: 0, .. })), (main.id, true));
    debugged.target().remove(id).unwrap();
    debugged.target().resume(&[Resume::ALL]).unwrap();
    assert_eq!(debugged.wait().reason, Reason::Exited { code: 0 });
}

/// Visits a running process `rounds` times, in all ways.
fn visits(rounds: usize) {
    let Some(program) = fixture("threads") else { return };
    let mut visited = 0;
    while visited < rounds {
        let mut child = Command::new(&program)
            .args(["64", "100000", "50"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let pid = child.id();
        while visited < rounds {
            let Ok(target) = remora::debug::ptrace::Ptrace::of(pid) else { break };
            drop(target);
            visited += 1;
            let Ok(mut target) = remora::debug::ptrace::Ptrace::of(pid) else { break };
            visited += 1;
            let hot = hot_of(&mut target, &program);
            target.insert(&Spec { on_hit: OnHit::Count, ..Spec::at(hot) }).unwrap();
            for signal in 1..32 {
                let mut handling = target.signals()[signal as usize];
                handling.stop = false;
                target.set_signal(signal, handling).unwrap();
            }
            if target.resume(&[Resume::ALL]).is_err() {
                break;
            }
            let handle = target.handle();
            let _ = handle.wait(Some(Instant::now() + Duration::from_millis(2)), &Cancel::new());
            if visited % 4 == 0 {
                handle.interrupt().unwrap();
                let mut stop = target.wait(Some(Instant::now() + PATIENCE), &Cancel::new()).unwrap();
                // One thread is stepped: alone first, then among the others.
                for others in [false, true] {
                    if stop.take().is_none_or(|stop| stop.reason.is_end()) {
                        break;
                    }
                    let Some(thread) = target.current() else { break };
                    let step = Resume { action: Action::Step { count: 20 }, ..Resume::step(thread) };
                    let steps = if others { vec![step, Resume::ALL] } else { vec![step] };
                    // The process may end at any time.
                    if target.resume(&steps).is_err() {
                        break;
                    }
                    let handle = target.handle();
                    let short = Instant::now() + Duration::from_millis(50);
                    if !handle.wait(Some(short), &Cancel::new()).unwrap() {
                        // It sleeps in a system call.
                        handle.interrupt().unwrap();
                    }
                    stop = target.wait(Some(Instant::now() + PATIENCE), &Cancel::new()).unwrap();
                }
            }
        }
        let mut said = String::new();
        child.stdout.take().expect("a pipe").read_to_string(&mut said).expect("it says something");
        // If it ended while it was visited, the tracer, a thread of this process, has collected it.
        let ended = child.wait();
        assert_eq!(said, "ok\n", "after {visited} visits: {ended:?}");
        assert!(!Path::new(&format!("/proc/{pid}/exe")).exists());
    }
}

fn hot_of(target: &mut remora::debug::ptrace::Ptrace, program: &Path) -> u64 {
    use object::{Object, ObjectSymbol};
    let pid = target.current().map_or(0, |thread| thread.process);
    let bias = target.modules(pid).unwrap()[0].bias;
    let data = std::fs::read(program).unwrap();
    let file = object::File::parse(&*data).unwrap();
    bias + file.symbols().find(|symbol| symbol.name() == Ok("hot")).unwrap().address()
}

#[test]
fn a_busy_process_is_visited_many_times() {
    // `cargo xtask soak` asks for more.
    let rounds = std::env::var("REMORA_SOAK").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20);
    visits(rounds);
}
