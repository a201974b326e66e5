//! `cargo xtask demo`: a server in one process, a session that works through it in another.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::tools::{Result, cargo, program};

const FILE: &str = "/bin/ls";
/// Printed by the local session after a session with a host, to see where its output ends.
const MARK: &str = "(back)";

/// Runs the demo.
pub fn run() -> Result<()> {
    cargo(&["build", "--release"])?;
    // Ctrl-C at the prompt below is for the prompt; the server must not outlive us.
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::new(AtomicBool::new(false)))?;
    let server = Server::start()?;
    let uri = format!("rap://{}/{FILE}", server.address);

    println!("\n# A session at the far end: commands run where the file is.\n");
    let mut session = Session::start()?;
    session.step(&format!("=+ {uri}"))?;
    session.step("=")?;
    expect(session.step("=0 px")?.contains("ELF"), "the hexdump of the far file")?;
    session.step("= s 0x666")?;
    expect(session.step("=0 s")?.contains("0x666"), "the far seek")?;
    expect(session.nested("==0", &["px 32", "q"])?.contains("0x00000666"), "the far session")?;
    session.step("=-")?;
    session.end()?;

    println!("\n# The far file as a device of our own: only bytes travel, commands run here.\n");
    let mut session = Session::open(&uri)?;
    expect(session.step("px 64 @ 0")?.contains("ELF"), "the hexdump")?;
    let start: String = std::fs::read(FILE)?.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    expect(session.step("p8 16 @ 0")?.trim() == start, "the file's first bytes")?;
    session.step("ph sha256")?;
    session.end()?;

    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        println!("\n# Your turn: host 0 is {uri}. Try '=0 px', '==0', '=!= 0'; 'q' leaves.\n");
        program("release").args(["-c", &format!("=+ {uri}"), "-"]).status()?;
    }
    Ok(())
}

fn expect(holds: bool, what: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(format!("{what} is not what it should be").into()) }
}

/// The serving process, ended when this is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Result<Server> {
        println!("$ remora rap://127.0.0.1:0");
        // A group of its own: Ctrl-C at the terminal is not for it.
        let child = program("release")
            .arg("rap://127.0.0.1:0")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let mut server = Server { child, address: String::new() };
        let mut lines = BufReader::new(server.child.stderr.take().ok_or("the server has no standard error")?);
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 {
            print!("{line}");
            if let Some(tail) = line.trim_end().strip_prefix("rap: listening at ") {
                server.address = tail.split_whitespace().next().unwrap_or(tail).to_string();
                // What it says from now on is for the user; the pipe must be emptied in any case.
                std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::stderr()));
                return Ok(server);
            }
            line.clear();
        }
        Err("the server ended before it listened".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A session that is driven line by line: `-0` ends each answer with a NUL byte.
struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn start() -> Result<Session> {
        Session::open("-")
    }

    fn open(uri: &str) -> Result<Session> {
        println!("$ remora {uri}");
        let mut child = program("release").args(["-q0", uri]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().ok_or("the session has no standard input")?;
        let output = BufReader::new(child.stdout.take().ok_or("the session has no standard output")?);
        let mut session = Session { child, input, output };
        session.answer()?;
        Ok(session)
    }

    /// Runs `line` as if it were typed, and returns what it printed.
    fn step(&mut self, line: &str) -> Result<String> {
        self.prompt(line)?;
        self.send(line)?;
        let answer = self.answer()?;
        print!("{answer}");
        Ok(answer)
    }

    /// Runs `line`, which takes the next `lines` for itself.
    fn nested(&mut self, line: &str, lines: &[&str]) -> Result<String> {
        self.prompt(line)?;
        self.send(line)?;
        for line in lines {
            println!("> {line}");
            self.send(line)?;
        }
        self.send(&format!("?e {MARK}"))?;
        let mut said = String::new();
        while !said.contains(MARK) {
            said.push_str(&self.answer()?);
        }
        let said = said.replace(&format!("{MARK}\n"), "");
        print!("{said}");
        Ok(said)
    }

    fn prompt(&mut self, line: &str) -> Result<()> {
        self.send("s")?;
        let seek = self.answer()?;
        println!("[{}]> {line}", seek.trim());
        Ok(())
    }

    fn send(&mut self, line: &str) -> Result<()> {
        Ok(writeln!(self.input, "{line}")?)
    }

    fn answer(&mut self) -> Result<String> {
        let mut answer = Vec::new();
        self.output.read_until(0, &mut answer)?;
        if answer.pop() != Some(0) {
            return Err("the session ended in the middle".into());
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Ends the session and waits for it.
    fn end(mut self) -> Result<()> {
        self.send("q")?;
        self.output.read_to_end(&mut Vec::new())?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the session: {status}").into()) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It has ended by itself unless something failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
