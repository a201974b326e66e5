//! One thread: starting, stepping, registers, memory, signals, system calls.

use std::fs;
use std::path::Path;

use remora::debug::ptrace::Ptrace;
use remora::debug::{
    Action, Catch, Condition, Deliver, Launch, Protection, Reason, Resume, Target, Who, condition::Op,
};
use remora::error::Kind;

use super::{Watched, fixture, fixture_with};

#[test]
fn a_program_runs_to_a_breakpoint_and_to_its_end() {
    for flags in [&[][..], &["-static-pie"], &["-no-pie"]] {
        let Some(program) = fixture_with("single", flags) else { continue };
        let mut debugged = Watched::launch(&program, &["5"]);
        let add = debugged.symbol("add");
        let id = debugged.insert(add);
        for round in 0..5 {
            assert_eq!(debugged.go(), Reason::Breakpoint { ids: vec![id], address: add, hardware: false });
            assert_eq!((debugged.register("rip"), debugged.register("rsi")), (add, round));
        }
        assert_eq!(debugged.hits(id), 5);
        let counter = debugged.symbol("counter");
        assert_eq!(debugged.word(counter), 4);
        assert_eq!(debugged.go(), Reason::Exited { code: 7 });
        assert!(debugged.target().processes().unwrap().is_empty());
    }
}

#[test]
fn traps_are_hidden_and_survive_writes() {
    let Some(program) = fixture("single") else { return };
    let mut debugged = Watched::launch(&program, &[]);
    let (add, pid) = (debugged.symbol("add"), debugged.pid());
    let mut before = [0; 16];
    debugged.target().read_memory(pid, add - 4, &mut before).unwrap();
    let id = debugged.insert(add);
    let mut after = [0; 16];
    debugged.target().read_memory(pid, add - 4, &mut after).unwrap();
    assert_eq!(before, after);
    // What is written over it is what the program gets once it is gone; the trap stays until then.
    assert_eq!(debugged.target().write_memory(pid, add - 4, &before).unwrap(), 16);
    assert!(matches!(debugged.go(), Reason::Breakpoint { .. }));
    debugged.target().remove(id).unwrap();
    debugged.target().read_memory(pid, add - 4, &mut after).unwrap();
    assert_eq!(before, after);
    assert_eq!(debugged.go(), Reason::Exited { code: 7 });
}

#[test]
fn steps_are_counted_ranged_and_conditional() {
    let Some(program) = fixture("single") else { return };
    let mut debugged = Watched::launch(&program, &[]);
    let thread = debugged.thread();
    let main = debugged.symbol("main");
    let id = debugged.insert(main);
    debugged.go();
    debugged.target().remove(id).unwrap();
    let step = |action| Resume { who: Who::Thread(thread), action, deliver: Deliver::AsHandled };
    let before = debugged.register("rip");
    assert_eq!(debugged.resume(&[Resume::step(thread)]).reason, Reason::Step);
    assert_ne!(debugged.register("rip"), before);
    assert_eq!(debugged.resume(&[step(Action::Step { count: 20 })]).reason, Reason::Step);
    // An empty range makes one step.
    let before = debugged.register("rip");
    assert_eq!(debugged.resume(&[step(Action::Range { start: 0, end: 0 })]).reason, Reason::Step);
    assert_ne!(debugged.register("rip"), before);
    let add = debugged.symbol("add");
    let rip = debugged.find(thread, "rip").number.unwrap() as u16;
    let at_add = Condition::new(vec![Op::Register(rip), Op::Constant(add), Op::Equal]).unwrap();
    let until = |limit| step(Action::Until { condition: at_add.clone(), limit });
    assert_eq!(debugged.resume(&[until(0)]).reason, Reason::Step);
    assert_eq!(debugged.register("rip"), add);
    let start = debugged.register("rip");
    assert_eq!(debugged.resume(&[step(Action::Range { start, end: start + 3 })]).reason, Reason::Step);
    assert_eq!(debugged.resume(&[until(2)]).reason, Reason::Step);
    assert_ne!(debugged.register("rip"), add);
    assert_eq!(debugged.go(), Reason::Exited { code: 7 });
}

#[test]
fn registers_are_read_and_written_vectors_too() {
    let Some(program) = fixture("single") else { return };
    let mut debugged = Watched::launch(&program, &["3"]);
    let add = debugged.symbol("add");
    debugged.insert(add);
    debugged.go();
    let thread = debugged.thread();
    for name in ["xmm3", "ymm15", "st0", "mm7"] {
        let layout = debugged.target().layout(thread.process).unwrap();
        let Some(register) = layout.find(name).cloned() else {
            println!("ABSENT: {name} (this processor has none)");
            continue;
        };
        let bytes: Vec<u8> = (1..=register.bytes() as u8).collect();
        debugged.target().write_register(thread, &register, &bytes).unwrap();
        assert_eq!(debugged.target().read_register(thread, &register).unwrap(), bytes, "{name}");
    }
    assert_eq!(debugged.register("fctrl"), 0x37f);
    debugged.set_register("al", 0x5a);
    assert_eq!(debugged.register("rax") & 0xff, 0x5a);
    // The sum is made wrong, and the program says so.
    debugged.set_register("rdi", 1000);
    debugged.go();
    debugged.go();
    assert_eq!(debugged.go(), Reason::Exited { code: 1 });
}

#[test]
fn signals_stop_and_are_passed_as_the_table_says() {
    let Some(program) = fixture("signals") else { return };
    let mut debugged = Watched::launch(&program, &[]);
    for number in [10, 12, 1, 15] {
        let reason = debugged.go();
        assert!(matches!(reason, Reason::Signal { number: came, .. } if came == number), "{reason:?}");
        let thread = debugged.thread();
        assert_eq!(debugged.target().signal_info(thread).unwrap()[0], number as u8);
    }
    assert_eq!(debugged.go(), Reason::Exited { code: 0 });

    // Dropped on the way, one of them is missed by the program.
    let mut debugged = Watched::launch(&program, &[]);
    let reason = debugged.go();
    assert!(matches!(reason, Reason::Signal { number: 10, .. }), "{reason:?}");
    let mut drop = Resume::ALL;
    drop.deliver = Deliver::Nothing;
    debugged.resume(&[drop]);
    for number in 1..32 {
        let mut handling = debugged.target().signals()[number as usize];
        handling.stop = false;
        debugged.target().set_signal(number, handling).unwrap();
    }
    assert_eq!(debugged.go(), Reason::Exited { code: 1 });
}

#[test]
fn a_signal_of_ones_own_reaches_an_interrupted_thread() {
    let Some(program) = fixture("sleepers") else { return };
    let (input, _keep) = std::io::pipe().unwrap();
    let mut launch = Launch::new(program.to_string_lossy(), vec!["1".into()]);
    use std::os::fd::AsRawFd;
    launch.stdin = Some(format!("/proc/self/fd/{}", input.as_raw_fd()).into());
    launch.stdout = Some("/dev/null".into());
    let mut debugged = Watched::with(&program, &launch);
    debugged.target().resume(&[Resume::ALL]).unwrap();
    debugged.target().handle().interrupt().unwrap();
    assert_eq!(debugged.wait().reason, Reason::Interrupted);
    let mut kill = Resume::ALL;
    kill.deliver = Deliver::Signal(15);
    kill.who = Who::Thread(debugged.thread());
    assert_eq!(debugged.resume(&[kill, Resume::ALL]).reason, Reason::Killed { signal: 15, core_dumped: false });
}

#[test]
fn a_crash_is_told_and_can_be_looked_at() {
    let Some(program) = fixture("signals") else { return };
    let mut launch = Launch::new(program.to_string_lossy(), vec!["crash".into()]);
    (launch.stdout, launch.core_limit) = (Some("/dev/null".into()), Some(0));
    let mut debugged = Watched::with(&program, &launch);
    let reason = loop {
        match debugged.go() {
            Reason::Signal { number, .. } if number != 11 => {}
            reason => break reason,
        }
    };
    assert_eq!(reason, Reason::Signal { number: 11, code: 1, sender: None, address: Some(16) });
    let crash = debugged.symbol("crash");
    assert!((crash..crash + 32).contains(&debugged.register("rip")));
    assert_eq!(debugged.go(), Reason::Killed { signal: 11, core_dumped: false });
}

#[test]
fn system_calls_are_caught() {
    let Some(program) = fixture("calls") else { return };
    let mut debugged = Watched::launch(&program, &["3"]);
    let getppid = 110;
    debugged.target().catch_calls(None, &Catch::Some(vec![getppid])).unwrap();
    for _ in 0..3 {
        let reason = debugged.go();
        assert!(matches!(reason, Reason::CallEntry { number, .. } if number == getppid), "{reason:?}");
        let own = i64::from(std::process::id());
        assert_eq!(debugged.go(), Reason::CallReturn { number: getppid, value: own });
    }
    assert_eq!(debugged.go(), Reason::Exited { code: 0 });
}

#[test]
fn memory_is_made_in_the_process() {
    let Some(program) = fixture("single") else { return };
    let mut debugged = Watched::launch(&program, &[]);
    let add = debugged.symbol("add");
    debugged.insert(add);
    debugged.go();
    let (pid, thread) = (debugged.pid(), debugged.thread());
    let before = debugged.target().read_set(thread, 0).unwrap();
    let all = Protection { read: true, write: true, execute: false };
    let place = debugged.target().allocate(pid, 8192, all).unwrap();
    assert_eq!(debugged.target().write_memory(pid, place + 100, b"hello").unwrap(), 5);
    let none = Protection::default();
    debugged.target().protect(pid, place, 4096, none).unwrap();
    let maps = debugged.target().maps(pid).unwrap();
    let map = maps.iter().find(|map| map.start == place).unwrap();
    assert_eq!(map.protection, none);
    // What the process itself may not read can be read.
    let mut bytes = [0; 5];
    assert_eq!(debugged.target().read_memory(pid, place + 100, &mut bytes).unwrap(), 5);
    assert_eq!(&bytes, b"hello");
    debugged.target().release(pid, place, 8192).unwrap();
    assert_eq!(debugged.target().read_memory(pid, place, &mut bytes).unwrap(), 0);
    let refused = debugged.target().protect(pid, 0x1000, 4096, all).unwrap_err();
    assert!(refused.to_string().contains("cannot change the protection"), "{refused}");
    assert_eq!(debugged.target().read_set(thread, 0).unwrap(), before);
    assert_eq!(debugged.target().system_call(thread, 39, [0; 6]).unwrap(), i64::from(pid));
    debugged.target().breakpoints().unwrap();
    assert!(matches!(debugged.go(), Reason::Breakpoint { .. }));
}

#[test]
fn a_program_that_traces_itself_has_its_own_trap() {
    let Some(program) = fixture("selftrace") else { return };
    let mut debugged = Watched::launch(&program, &[]);
    assert_eq!(debugged.go(), Reason::Trap);
    let mut pass = Resume::ALL;
    pass.deliver = Deliver::Signal(5);
    assert_eq!(debugged.resume(&[pass]).reason, Reason::Exited { code: 41 });
}

#[test]
fn a_narrow_program_is_a_process_like_others() {
    let flags = ["-m32", "-nostdlib", "-static", "-ffreestanding", "-fno-pie", "-no-pie"];
    let Some(program) = fixture_with("narrow", &flags) else { return };
    let mut debugged = Watched::launch(&program, &[]);
    let pid = debugged.pid();
    assert_eq!(debugged.target().layout(pid).unwrap().architecture, "i386");
    let add = debugged.symbol("add");
    debugged.insert(add);
    for _ in 0..5 {
        assert!(matches!(debugged.go(), Reason::Breakpoint { .. }));
        assert_eq!(debugged.register("eip"), add);
    }
    let place = debugged.target().allocate(pid, 4096, Protection { read: true, ..Protection::default() }).unwrap();
    assert!(place < 1 << 32);
    let thread = debugged.thread();
    assert_eq!(debugged.resume(&[Resume::step(thread)]).reason, Reason::Step);
    assert_eq!(debugged.go(), Reason::Exited { code: 10 });
}

#[test]
fn a_start_is_made_as_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut launch = Launch::new("sh", vec!["-c".into(), "echo $A-$B; pwd; cat; exit 4".into()]);
    launch.environment = vec![("A".into(), Some("one".into())), ("PATH".into(), std::env::var("PATH").ok())];
    launch.clear_environment = true;
    launch.directory = Some("/".into());
    fs::write(folder.path().join("in"), "input\n").unwrap();
    (launch.stdin, launch.stdout) = (Some(folder.path().join("in")), Some(out.clone()));
    for wrapper in [vec![], vec!["env".to_string(), "B=two".to_string()]] {
        launch.wrapper = wrapper;
        let mut debugged = Watched::with(Path::new("/bin/sh"), &launch);
        assert_eq!(debugged.go(), Reason::Exited { code: 4 });
        drop(debugged);
        let b = if launch.wrapper.is_empty() { "" } else { "two" };
        assert_eq!(fs::read_to_string(&out).unwrap(), format!("one-{b}\n/\ninput\n"));
    }
    launch.wrapper.clear();
    launch.program = "sh".into();
    launch.arguments = vec!["-c".into(), "'exit $((1+2))'".into()];
    launch.shell = true;
    let mut debugged = Watched::with(Path::new("/bin/sh"), &launch);
    assert_eq!(debugged.go(), Reason::Exited { code: 3 });
}

#[test]
fn what_cannot_be_started_or_attached_to_is_said() {
    let start = |program: &str| Ptrace::start(&Launch::new(program, vec![])).err().expect("it cannot be started");
    assert_eq!(start("/nonexistent/program").kind(), Kind::NotFound);
    assert_eq!(start("no-such-program-anywhere").kind(), Kind::NotFound);
    assert!(start("/").to_string().contains("a directory"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = start(&file.path().to_string_lossy());
    assert_eq!(error.kind(), Kind::Permission, "{error}");
    let attach = |pid| Ptrace::of(pid).err().expect("it cannot be attached to");
    assert_eq!(attach(0x7fff_fff0).kind(), Kind::NotFound);
    assert!(attach(std::process::id()).to_string().contains("itself"));
    assert_eq!(attach(0).kind(), Kind::NotFound);
}
