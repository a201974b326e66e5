//! Forks, vforks and execs: followed, kept, or let go.

use remora::debug::{Fork, Reason, Settings, Target};

use super::{Watched, fixture};

fn settings(fork: Fork, stop: bool) -> Settings {
    Settings { fork, stop_at_fork: stop, stop_at_exec: stop, ..Settings::default() }
}

#[test]
fn children_that_are_let_go_are_not_harmed() {
    let Some(program) = fixture("chain") else { return };
    for way in ["fork", "vfork"] {
        let mut debugged = Watched::launch(&program, &["3", way]);
        let link = debugged.symbol("link_of");
        let id = debugged.insert(link);
        let main = debugged.pid();
        for _ in 0..2 {
            assert!(matches!(debugged.go(), Reason::Breakpoint { .. }), "{way}");
            assert_eq!(debugged.pid(), main);
        }
        assert_eq!(debugged.go(), Reason::Exited { code: 3 }, "{way}");
        assert_eq!(debugged.hits(id), 2);
    }
}

#[test]
fn both_sides_of_a_fork_are_kept() {
    let Some(program) = fixture("chain") else { return };
    for way in ["fork", "vfork"] {
        let mut debugged = Watched::launch(&program, &["2", way]);
        debugged.target().set_settings(&settings(Fork::Both, true)).unwrap();
        let (mut forks, mut execs, mut ends, mut done) = (0, 0, Vec::new(), 0);
        while ends.len() < 3 {
            match debugged.go() {
                Reason::Fork { .. } | Reason::Vfork { .. } => forks += 1,
                Reason::Exec { path, former } => {
                    assert_eq!((path, former), (program.to_string_lossy().into_owned(), None));
                    execs += 1;
                }
                Reason::VforkDone => done += 1,
                Reason::Exited { code } => ends.push(code),
                other => panic!("{other:?}"),
            }
        }
        ends.sort_unstable();
        assert_eq!((forks, execs, ends), (2, 2, vec![0, 1, 2]), "{way}");
        assert_eq!(done, if way == "vfork" { 2 } else { 0 });
    }
}

#[test]
fn the_child_is_followed_and_the_parent_goes_on() {
    let Some(program) = fixture("chain") else { return };
    for way in ["fork", "vfork"] {
        let mut debugged = Watched::launch(&program, &["2", way]);
        let link = debugged.symbol("link_of");
        debugged.insert(link);
        debugged.target().set_settings(&settings(Fork::Child, false)).unwrap();
        let parent = debugged.pid();
        assert!(matches!(debugged.go(), Reason::Breakpoint { .. }));
        // The last of the chain ends with 0; the others are not ours any more, and end by themselves.
        assert_eq!(debugged.go(), Reason::Exited { code: 0 }, "{way}");
        let deadline = std::time::Instant::now() + super::PATIENCE;
        while std::path::Path::new(&format!("/proc/{parent}/exe")).exists() {
            assert!(std::time::Instant::now() < deadline, "the parent hangs after its {way}");
            std::thread::yield_now();
        }
        // It was a child of this process before it was traced.
        reap(parent);
    }
}

/// Collects a child that nobody waits for any more.
fn reap(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("a process's number");
    // The tracer's thread may have collected it already.
    let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
}
