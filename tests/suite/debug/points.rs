//! Breakpoints with conditions, counts and logs; hardware; watchpoints.

use remora::debug::condition::Op;
use remora::debug::{Condition, OnHit, Place, Reason, Resume, Spec, Status, Target, WatchAccess};
use remora::error::Kind;

use super::{Watched, fixture};

fn equals(register: u16, value: u64) -> Condition {
    Condition::new(vec![Op::Register(register), Op::Constant(value), Op::Equal]).unwrap()
}

/// gdb's numbers of `rsi` and `rip`.
const RSI: u16 = 4;
const RIP: u16 = 16;

#[test]
fn conditions_counts_and_logs_do_not_stop() {
    let Some(program) = fixture("single") else { return };
    let mut debugged = Watched::launch(&program, &["1000"]);
    let add = debugged.symbol("add");
    let spec = Spec { conditions: vec![equals(RSI, 7), equals(RSI, 900)], ..Spec::at(add) };
    let id = debugged.target().insert(&spec).unwrap();
    let count = debugged.target().insert(&Spec { on_hit: OnHit::Count, ..Spec::at(add) }).unwrap();
    let value = Condition::new(vec![Op::Register(RSI)]).unwrap();
    let bad = Condition::new(vec![Op::Constant(1), Op::Load(8)]).unwrap();
    let log = Spec { on_hit: OnHit::Log(vec![value, bad]), conditions: vec![equals(RSI, 3)], ..Spec::at(add) };
    let log = debugged.target().insert(&log).unwrap();
    for wanted in [7, 900] {
        assert_eq!(debugged.go(), Reason::Breakpoint { ids: vec![id], address: add, hardware: false });
        assert_eq!(debugged.register("rsi"), wanted);
    }
    assert_eq!(debugged.go(), Reason::Exited { code: 7 });
    assert_eq!((debugged.hits(id), debugged.hits(count), debugged.hits(log)), (2, 1000, 1));
    let entries = debugged.target().take_log(10).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].pc, entries[0].values.as_slice()), (add, &[Some(3), None][..]));
}

#[test]
fn ignored_temporary_and_disabled_ones() {
    let Some(program) = fixture("single") else { return };
    let mut debugged = Watched::launch(&program, &["100"]);
    let add = debugged.symbol("add");
    let id = debugged.target().insert(&Spec { ignore: 9, ..Spec::at(add) }).unwrap();
    debugged.go();
    assert_eq!((debugged.register("rsi"), debugged.hits(id)), (9, 10));
    let off = Spec { enabled: false, ..Spec::at(add) };
    debugged.target().change(id, &off).unwrap();
    assert_eq!(debugged.target().breakpoints().unwrap()[0].status, Status::Disabled);
    let once = debugged.target().insert(&Spec { temporary: true, ..Spec::at(add) }).unwrap();
    assert_eq!(debugged.go(), Reason::Breakpoint { ids: vec![once], address: add, hardware: false });
    assert_eq!(debugged.register("rsi"), 10);
    assert_eq!(debugged.target().breakpoints().unwrap().len(), 1);
    let nowhere = debugged.insert(0x10);
    let all = debugged.target().breakpoints().unwrap();
    let found = all.iter().find(|point| point.id == nowhere).unwrap();
    assert!(matches!(&found.status, Status::Pending(why) if why.contains("mapped")), "{found:?}");
    assert_eq!(debugged.go(), Reason::Exited { code: 7 });
}

#[test]
fn the_hardware_finds_execution_and_writes() {
    let Some(program) = fixture("single") else { return };
    let mut debugged = Watched::launch(&program, &["4"]);
    let (add, watched) = (debugged.symbol("add"), debugged.symbol("watched"));
    let id = debugged.insert_at(Place::Hardware { address: add });
    let watch = Place::Watch { address: watched, length: 8, access: WatchAccess::Write };
    let watch = debugged.insert_at(watch);
    for round in 0..4 {
        assert_eq!(debugged.go(), Reason::Breakpoint { ids: vec![id], address: add, hardware: true });
        assert_eq!(debugged.register("rsi"), round);
    }
    let wanted = Reason::Watch { id: watch, address: watched, access: WatchAccess::Write };
    assert_eq!(debugged.go(), wanted);
    assert_eq!(debugged.word(watched), 6);
    assert_eq!(debugged.go(), Reason::Exited { code: 7 });
}

#[test]
fn what_the_hardware_cannot_do_is_refused() {
    let Some(program) = fixture("single") else { return };
    let mut debugged = Watched::launch(&program, &[]);
    let watched = debugged.symbol("watched");
    let mut watch =
        |address, length, access| debugged.target().insert(&Spec::new(Place::Watch { address, length, access }));
    assert_eq!(watch(watched, 8, WatchAccess::Read).unwrap_err().kind(), Kind::Unsupported);
    assert_eq!(watch(watched, 0, WatchAccess::Write).unwrap_err().kind(), Kind::Usage);
    assert_eq!(watch(watched, 1000, WatchAccess::Write).unwrap_err().kind(), Kind::Limit);
    assert!(watch(0xffff_8000_0000_0000, 8, WatchAccess::Write).is_err());
    // Three unaligned pieces, then there is one place left.
    watch(watched + 1, 7, WatchAccess::Access).unwrap();
    assert_eq!(watch(watched, 16, WatchAccess::Write).unwrap_err().kind(), Kind::Limit);
    watch(watched, 8, WatchAccess::Write).unwrap();
    assert_eq!(debugged.target().breakpoints().unwrap().len(), 2);
}

#[test]
fn a_step_onto_a_breakpoint_is_a_hit() {
    let Some(program) = fixture("single") else { return };
    let mut debugged = Watched::launch(&program, &["3"]);
    let add = debugged.symbol("add");
    let id = debugged.insert(add);
    debugged.go();
    let thread = debugged.thread();
    let many =
        |condition| Resume { action: remora::debug::Action::Until { condition, limit: 0 }, ..Resume::step(thread) };
    let stop = debugged.resume(&[many(equals(RIP, 1))]);
    assert_eq!(stop.reason, Reason::Breakpoint { ids: vec![id], address: add, hardware: false });
    assert_eq!((debugged.register("rsi"), debugged.hits(id)), (1, 2));
    // Single steps over a breakpoint in a function's first instructions go through each of them once.
    let first = debugged.register("rip");
    debugged.resume(&[Resume::step(thread)]);
    assert_ne!(debugged.register("rip"), first);
    debugged.go();
    assert_eq!(debugged.go(), Reason::Exited { code: 7 });
    assert_eq!(debugged.hits(id), 3);
}
