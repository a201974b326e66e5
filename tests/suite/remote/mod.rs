//! Tests: the `=` family.

mod encrypted;
mod mode;
mod peers;
mod processes;
mod servers;
mod wrong;

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use remora::serve::ServeOptions;
use remora::session::{LineSource, Session};

use crate::harness::{program, run, session};
use crate::rap::Running;

/// A session that may start servers, on `malloc://512`.
pub fn host() -> Session {
    let mut session = session("malloc://512");
    remora::serve::offer(&mut session);
    session
}

/// The place in what a starting server printed: `rap: listening at 127.0.0.1:1234`.
pub fn place(said: &str) -> String {
    let at = said.find("listening at ").unwrap_or_else(|| panic!("no server: {said:?}"));
    said[at + 13..].lines().next().unwrap().to_string()
}

fn port(place: &str) -> &str {
    place.rsplit(':').next().unwrap()
}

/// The program as a server in a process of its own, which ends with the value.
struct Process {
    child: Child,
    place: String,
}

impl Process {
    fn serve(args: &[&str]) -> Process {
        Process::spawn(program().args(args))
    }

    fn spawn(command: &mut std::process::Command) -> Process {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        let place = place(&line);
        // What follows is read, so that the server never waits for us.
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        Process { child, place }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program on a scratch buffer with `lines` as its standard input.
fn typed(args: &[&str], lines: &str) -> crate::harness::Said {
    let mut command = program();
    let child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    crate::harness::Said {
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A listener that takes one connection after the other, reads each to its end or, with an answer, to its first
/// line end, and answers. What it read comes out of the channel.
fn listener(answer: Option<&'static [u8]>) -> (String, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            let mut bytes = Vec::new();
            // A connection that breaks off has said what it had to say.
            let _ = stream.read_to_end(&mut bytes);
            if let Some(answer) = answer {
                let _ = stream.write_all(answer);
            }
            if sender.send(bytes).is_err() {
                return;
            }
        }
    });
    (place, received)
}

/// What a connection to `place` answers to `bytes`, after which it says nothing more (or, without `end`, waits).
fn asked(place: &str, bytes: &[u8], end: bool) -> String {
    let mut stream = TcpStream::connect(place).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(bytes).unwrap();
    if end {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Waits until `done` says so.
#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn hosts_are_added_listed_addressed_and_removed() {
    let server = Running::start(ServeOptions::default());
    let place = server.place();
    let port = place.rsplit(':').next().unwrap();
    let mut here = session("malloc://512");
    let connected = format!("Connected to: 127.0.0.1 at port {port}\nwaiting... ok\n");
    assert_eq!(run(&mut here, &format!("=+ rap://{place}/malloc://16")).out, connected);
    // With others there, the list follows.
    let list = format!("0 - rap://{place}/malloc://16\n1 - rap://{place}/malloc://32\n");
    assert_eq!(run(&mut here, &format!("=+ =+ rap://{place}/malloc://32")).out, format!("{connected}{list}"));
    let list = format!("{list}2 - rap://{place}/\n");
    assert_eq!(run(&mut here, &format!("=+rap://{place}/")).out, format!("{connected}{list}"));
    assert_eq!(run(&mut here, "=").out, list);
    assert_eq!(run(&mut here, "R").out, list);
    assert_eq!(run(&mut here, "=*").out, list.replace("0 - ", "=+ ").replace("1 - ", "=+ ").replace("2 - ", "=+ "));
    let json: serde_json::Value = serde_json::from_str(&run(&mut here, "=j").out).unwrap();
    assert_eq!(json[1]["uri"], format!("rap://{place}/malloc://32"));
    assert_eq!((&json[1]["current"], &json[2]["current"]), (&false.into(), &true.into()));
    assert_eq!((&json[0]["state"], &json[0]["round_trips"]), (&"connected".into(), &1.into()));
    assert!(json[0]["latency"].as_f64().unwrap() > 0.0);
    assert_eq!(json[0]["capabilities"][0], "rap/2");
    for line in ["=0 p8 4", "= 0 p8 4", "= p8 4", "R0 p8 4", "R 0 p8 4", "=0;= p8 4"] {
        assert_eq!(run(&mut here, line).out, "00000000\n", "{line}");
    }
    assert_eq!(run(&mut here, "=2 p8 4").out, "ffffffff\n");
    let descriptor = json[1]["descriptor"].as_u64().unwrap();
    assert!(descriptor > 2);
    assert_eq!(run(&mut here, &format!("={descriptor};=* ~nothing;= i~nothing;={descriptor} p8 4")).out, "00000000\n");
    assert_eq!(run(&mut here, "=1;=-1;=").out, list.replace(&format!("1 - rap://{place}/malloc://32\n"), ""));
    let unknown = run(&mut here, "= p8 4").err;
    assert!(unknown.starts_with("Error: Unknown host"), "{unknown}");
    assert_eq!(run(&mut here, "=- 0;=").out, format!("2 - rap://{place}/\n"));
    assert_eq!(run(&mut here, "=-;=").out, "");
    assert!(run(&mut here, "=- 7").err.starts_with("Error: Unknown host"));
}

#[test]
fn hosts_that_cannot_be_reached_or_have_no_such_file_are_not_added() {
    let server = Running::start(ServeOptions::default());
    let place = server.place();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut here = session("malloc://512");
    let said = run(&mut here, &format!("=+ rap://{closed}//bin/ls"));
    assert_eq!(said.err, format!("Error: cannot connect to {closed}: Connection refused\n"));
    let said = run(&mut here, &format!("=+ rap://{place}//nosuch"));
    assert!(said.err.starts_with(&format!("Error: '/nosuch' cannot be opened at {place}: ")), "{}", said.err);
    assert!(run(&mut here, "=+ gopher://h:1/").err.starts_with("Error: Unknown protocol"));
    assert!(run(&mut here, "=+ rap://h/f").err.contains("host and port are needed"));
    assert_eq!(run(&mut here, "=").out, "");
}

#[test]
fn the_seek_over_there_is_the_hosts_own() {
    let server = Running::start(ServeOptions::default());
    let mut here = session("malloc://512");
    run(&mut here, &format!("=+ rap://{0}/malloc://16;=+ rap://{0}/malloc://16", server.place()));
    here.view.seek = 0x40;
    assert_eq!(run(&mut here, "=0 nosuchcommand").err, "Error: Command 'nosuchcommand' does not exist.\n");
    run(&mut here, "=0 s 4");
    assert_eq!(here.view.seek, 0x40);
}

/// Lines typed in advance.
struct Typed {
    lines: VecDeque<&'static str>,
    prompts: std::sync::mpsc::Sender<String>,
}

impl LineSource for Typed {
    fn read_line(&mut self, prompt: &str) -> Option<String> {
        self.prompts.send(prompt.to_string()).unwrap();
        self.lines.pop_front().map(str::to_string)
    }
}

#[test]
fn a_session_with_a_host_takes_lines_until_q() {
    let server = Running::start(ServeOptions::default());
    let mut here = session("malloc://512");
    run(&mut here, &format!("=+ rap://{0}/malloc://16;=+ rap://{0}/malloc://16", server.place()));
    let (prompts, shown) = channel();
    let lines = VecDeque::from(["p8 2", "", "quux", "p8 3", "q", "p8 4", "quit"]);
    here.lines = Some(Box::new(Typed { lines, prompts }));
    let said = run(&mut here, "==0");
    assert_eq!(said.out, "0000\n000000\n");
    assert_eq!(said.err, "Error: Command 'quux' does not exist.\n");
    assert_eq!(shown.try_iter().collect::<Vec<_>>(), ["fd:0> "; 5]);
    assert_eq!(run(&mut here, "== 1").out, "00000000\n");
    assert_eq!(shown.try_iter().next().unwrap(), "fd:1> ");
    // The input ends: so does the session.
    assert_eq!(run(&mut here, "==").out, "");
    assert!(run(&mut here, "==99999").err.starts_with("Error: Unknown host"));
}

#[test]
fn a_host_that_came_back_is_connected_to_again_and_that_is_said() {
    let first = Running::start(ServeOptions::default());
    let place = first.place();
    let mut here = session("malloc://512");
    run(&mut here, &format!("=+ rap://{place}/malloc://16; =0 s 5"));
    drop(first);
    let gone = run(&mut here, "=0 p8 1");
    assert!(gone.err.contains("cannot connect to"), "{gone:?}");
    let json: serde_json::Value = serde_json::from_str(&run(&mut here, "=j").out).unwrap();
    assert_eq!(json[0]["state"], "closed");
    let second = Running::at(&place);
    let back = run(&mut here, "=0 p8 1");
    let said = format!("connected again to {place} at 0x5; settings there are new");
    assert_eq!((back.out.as_str(), back.err.contains(&said)), ("00\n", true), "{back:?}");
    assert_eq!(run(&mut here, "=0 s").out, "0x5\n");
    drop(second);
}

#[test]
fn what_a_host_prints_cannot_steer_the_terminal() {
    let mut text = Vec::new();
    let mut err = Vec::new();
    let mut out = remora::output::Out::new(&mut text, &mut err, Default::default(), Default::default());
    remora::link::rap::print(b"\x1b[31mred\x1b[0m\x1b[2J\tcell\x07\nlast\xff\n", &mut out).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), "red\\x1b[2J\tcell\\x07\nlast\u{fffd}\n");
}

#[test]
fn only_files_over_there_run_commands() {
    let mut here = session("malloc://512");
    assert!(run(&mut here, "=!s").err.contains("does not run commands"));
    let server = Running::start(ServeOptions::default());
    let mut there = session(&format!("rap://{}/malloc://16", server.place()));
    assert_eq!(run(&mut there, "=!p8 2").out, "0000\n");
    assert_eq!(run(&mut there, "=! p8 2").out, "0000\n");
    assert_eq!(run(&mut there, "R!p8 2").out, "0000\n");
}
