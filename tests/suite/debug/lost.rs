//! What becomes of processes whose clients are lost: the line is cut, or the client is killed.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use remora::debug::Lost;
use remora::io::{Access, Open};
use remora::serve::ServeOptions;
use remora::session::Session;
use remora::uri::Uri;

use super::attach::Sleepers;
use super::far::{all, gone};
use super::{PATIENCE, fixture_with};
use crate::harness::{self, run};
use crate::rap::Running;

fn program() -> Option<PathBuf> {
    fixture_with("commands", &["-O0", "-no-pie"])
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A session with the process that `uri` names over there.
fn session(server: &Running, uri: &str, lost: Option<Lost>) -> (Session, Vec<String>) {
    let mut session = Session::new();
    let mut open = Open { access: Access::RWX, ..Open::default() };
    open.start.lost = lost;
    session.with(|core, view| {
        let uri = Uri::parse(&format!("rap://{}/{uri}", server.place()));
        let fd = core.io.open(&uri, &open).expect("the process can be had");
        core.load(fd, Default::default()).expect("its program can be read");
        view.seek = 0;
    });
    (session, open.notices.take())
}

fn pid(session: &mut Session) -> u32 {
    run(session, "dpq").out.trim().parse().expect("a process's number")
}

fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}/exe")).exists()
}

fn tracer(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is there");
    status.lines().find_map(|line| line.strip_prefix("TracerPid:")).unwrap_or_default().trim().to_string()
}

/// Cuts every line, and waits until the server has seen it.
fn cut(server: &Running, kept: usize) {
    for guest in server.clients().guests() {
        server.clients().disconnect(guest.id);
    }
    until("the client is gone", || server.clients().guests().is_empty());
    assert_eq!(server.clients().kept().len(), kept);
}

#[test]
fn a_cut_line_is_made_again_and_the_breakpoints_are_there() {
    let Some(program) = program() else { return };
    let server = Running::start(all());
    let (mut session, _) = session(&server, &format!("dbg://{}", program.display()), None);
    let process = pid(&mut session);
    run(&mut session, "db main; dc; db sym.add");
    let before = run(&mut session, "dr rip; dr rsp").out;
    cut(&server, 1);
    assert!(!server.clients().kept()[0].running);
    assert_eq!(run(&mut session, "dr rip; dr rsp"), harness::Said { out: before, err: String::new() });
    let said = run(&mut session, "dc");
    assert!(server.clients().kept().is_empty());
    assert!(said.err.contains("hit breakpoint at"), "{said:?}");
    assert_eq!(run(&mut session, "?v $r{rip}-sym.add").out, "0x0\n");
    // An order that comes just after the next cut is done once, over the new line.
    cut(&server, 1);
    let said = run(&mut session, "dr rdi=77; dr rdi");
    assert_eq!((said.out.lines().last(), said.err.as_str()), (Some("0x0000004d"), ""));
    assert_eq!(pid(&mut session), process);
    drop(session);
    gone(process);
    assert!(server.clients().kept().is_empty());
}

#[test]
fn a_line_that_is_cut_while_the_process_runs() {
    let Some(program) = fixture_with("sleepers", &[]) else { return };
    let server = Running::start(all());
    // Its standard input is the test's own, which ends at once: it is started without end.
    let mut sleepers = Sleepers::start(&program, 2);
    let process = sleepers.child.id();
    let (mut session, _) = session(&server, &format!("dbg://{process}"), Some(Lost::Keep));
    let waiting = std::thread::spawn(move || {
        let said = run(&mut session, "dc");
        (session, said)
    });
    until("it runs", || sleepers.state() == 'S');
    for guest in server.clients().guests() {
        server.clients().disconnect(guest.id);
    }
    // It was stopped when the line was lost; that is what whoever waits hears over the new one.
    let (session, said) = waiting.join().unwrap();
    assert!(said.err.contains("interrupted"), "{said:?}");
    drop(session);
    assert_eq!(tracer(process), "0");
    sleepers.poke();
    assert_eq!(sleepers.line(), "turn 1");
    sleepers.end();
}

#[test]
fn a_killed_client_finds_its_process_again() {
    let Some(program) = program() else { return };
    let server = Running::start(all());
    let uri = format!("dbg://{}", program.display());
    let mut client = harness::program()
        .args(["-N", "-q", "-d", &format!("rap://{}/{uri}", server.place())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut input = client.stdin.take().expect("a pipe");
    input.write_all(b"db main; dc; db sym.add; dpq\n").expect("it listens");
    let mut line = String::new();
    BufReader::new(client.stdout.take().expect("a pipe")).read_line(&mut line).expect("it answers");
    let process: u32 = line.trim().parse().expect("a process's number");
    client.kill().expect("it can be killed");
    client.wait().expect("it ends");
    until("the server keeps the process", || server.clients().kept().len() == 1);
    assert!(is_there(process));
    // Somebody else's URI is another process.
    let (other, notices) = session(&server, &format!("{uri} other"), None);
    assert!(notices.is_empty());
    drop(other);
    let (mut again, notices) = session(&server, &uri, None);
    assert!(notices[0].contains("was kept for"), "{notices:?}");
    assert_eq!(pid(&mut again), process);
    assert_eq!(run(&mut again, "db~?").out, "2\n");
    let said = run(&mut again, "dc");
    assert!(said.err.contains("hit breakpoint at"), "{said:?}");
    drop(again);
    gone(process);
}

#[test]
fn what_was_attached_to_goes_on_without_its_breakpoints_until_somebody_comes() {
    let Some(program) = fixture_with("sleepers", &["-no-pie"]) else { return };
    let server = Running::start(all());
    let mut sleepers = Sleepers::start(&program, 2);
    let uri = format!("dbg://{}", sleepers.child.id());
    let (mut first, _) = session(&server, &uri, None);
    run(&mut first, "db sym.imp.read; db main");
    cut(&server, 1);
    assert!(server.clients().kept()[0].running);
    sleepers.poke();
    assert_eq!(sleepers.line(), "turn 1");
    // The client that comes back finds it stopped, with everything in its place.
    assert!(run(&mut first, "db~?").out.trim().parse::<u32>().is_ok_and(|count| count > 0));
    assert_eq!(run(&mut first, "dr rip~?").out, "1\n");
    drop(first);
    assert_eq!(tracer(sleepers.child.id()), "0");
    sleepers.poke();
    assert_eq!(sleepers.line(), "turn 2");
    sleepers.end();
}

#[test]
fn the_client_says_what_becomes_of_its_process() {
    let Some(program) = program() else { return };
    let server = Running::start(all());
    let uri = format!("dbg://{}", program.display());
    let (mut killing, _) = session(&server, &uri, Some(Lost::Kill));
    let process = pid(&mut killing);
    cut(&server, 0);
    gone(process);
    let said = run(&mut killing, "dr rip");
    assert_eq!(said.err.lines().count(), 1, "{said:?}");
    assert!(said.err.contains("does not have the process any more"), "{said:?}");
    drop(killing);
    let (mut leaving, _) = session(&server, &uri, Some(Lost::Detach));
    let process = pid(&mut leaving);
    cut(&server, 0);
    // It runs to its end by itself.
    until("it ends", || !is_there(process));
}

#[test]
fn what_waits_is_bounded_in_time_and_number_and_ends_with_the_server() {
    let Some(program) = program() else { return };
    let server = Running::start(ServeOptions { kept: Duration::from_millis(300), ..all() });
    let (mut short, _) = session(&server, &format!("dbg://{}", program.display()), None);
    let process = pid(&mut short);
    cut(&server, 1);
    until("the time is up", || !is_there(process));
    drop((short, server));

    let server = Running::start(ServeOptions { lost: Some(Lost::Keep), ..all() });
    let mut processes = Vec::new();
    for round in 0..18 {
        let (mut one, _) = session(&server, &format!("dbg://{} {round}", program.display()), None);
        processes.push(pid(&mut one));
        cut(&server, (round + 1).min(16));
        std::mem::forget(one);
    }
    until("the oldest have gone", || processes[..2].iter().all(|process| !is_there(*process)));
    assert!(processes[2..].iter().all(|process| is_there(*process)));
    drop(server);
    processes.iter().for_each(|process| gone(*process));
}
