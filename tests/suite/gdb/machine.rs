//! gdb's machine interface, as front ends use it: interrupts, non-stop.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use super::{PATIENCE, Server, fixture, ready};

/// gdb under a front end.
struct Machine {
    process: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Machine {
    fn start() -> Machine {
        let mut process = Command::new("gdb")
            .args(["-nx", "-q", "--interpreter=mi3"])
            .arg(fixture())
            .env("HOME", "/nonexistent")
            .env_remove("DEBUGINFOD_URLS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut machine = Machine { process, input, lines, said: Vec::new() };
        for line in ["-gdb-set confirm off", "-gdb-set mi-async on", "-gdb-set sysroot /"] {
            machine.ask(line);
        }
        machine
    }

    /// Waits for a line that starts and goes on like this.
    fn wait(&mut self, start: &str, piece: &str) -> String {
        let end = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.said.push(line.clone());
            if line.starts_with(start) && line.contains(piece) {
                return line;
            }
        }
        panic!("no '{start}...{piece}' after:\n{}", self.said.join("\n"));
    }

    fn send(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// A command and its result.
    fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.wait("^", "")
    }

    fn done(&mut self, line: &str) -> String {
        let result = self.ask(line);
        assert!(!result.starts_with("^error"), "{line}: {result}\n{}", self.said.join("\n"));
        result
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_running_program_is_interrupted() {
    if !ready() {
        return;
    }
    let server = Server::program(&["loop"]);
    let mut gdb = Machine::start();
    gdb.done(&format!("-target-select remote 127.0.0.1:{}", server.port));
    // Past the loader, where gdb stops and goes on by itself: an interrupt that comes in between is nobody's.
    gdb.done("-break-insert usleep");
    gdb.done("-exec-continue");
    gdb.wait("*stopped", "breakpoint-hit");
    gdb.done("-break-delete");
    for _ in 0..3 {
        gdb.done("-exec-continue");
        gdb.done("-exec-interrupt");
        gdb.wait("*stopped", "SIGINT");
    }
    gdb.done("-break-insert usleep");
    gdb.done("-exec-continue");
    gdb.wait("*stopped", "breakpoint-hit");
    gdb.done("-gdb-set var going = 0");
    gdb.done("-break-delete");
    gdb.done("-exec-continue");
    gdb.wait("*stopped", "exit-code=\"07\"");
    drop(gdb);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn non_stop_leaves_the_others_running() {
    if !ready() {
        return;
    }
    let server = Server::program(&["loop"]);
    let mut gdb = Machine::start();
    gdb.done("-gdb-set non-stop on");
    gdb.done(&format!("-target-select remote 127.0.0.1:{}", server.port));
    gdb.done("-exec-continue --all");
    // Memory is read while it runs.
    let value = gdb.done("-data-evaluate-expression going");
    assert!(value.contains("value=\"1\""), "{value}");
    gdb.done("-exec-interrupt --all");
    gdb.wait("*stopped", "signal");
    let threads = gdb.done("-thread-info");
    assert!(threads.contains("state=\"stopped\""), "{threads}");
    gdb.done("-break-insert usleep");
    gdb.done("-exec-continue --all");
    gdb.wait("*stopped", "breakpoint-hit");
    gdb.done("-gdb-set var going = 0");
    gdb.done("-break-delete");
    gdb.done("-exec-continue --all");
    gdb.wait("*stopped", "exit-code=\"07\"");
}
