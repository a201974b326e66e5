//! The client of gdb's remote protocol: `gdb://` against the stubs of others and our own, and against a stub that keeps
//! no rule.

mod hostile;
mod stubs;
mod trips;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::harness;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Said past the capture of the test harness, so that it is seen in every run.
fn absent(name: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "ABSENT: {name} ({why})");
}

/// Counted where it is present, said where it is not.
fn has(name: &str) -> bool {
    let there = Command::new("sh").args(["-c", &format!("command -v {name}")]).output();
    let there = there.is_ok_and(|found| found.status.success());
    if there {
        let _ = writeln!(std::io::stderr(), "PRESENT: {name}");
    } else {
        absent(name, "not installed");
    }
    there
}

/// The program that is debugged, made by `compiler`; `None`, said once: there is none.
fn fixture(compiler: &str, flags: &[&str]) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/gdbclient/fixture.c");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gdbclient");
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let tag: String = flags.concat().chars().filter(char::is_ascii_alphanumeric).collect();
    let program = folder.join(format!("fixture-{compiler}-{tag}"));
    let age = |path: &Path| std::fs::metadata(path).and_then(|facts| facts.modified()).ok();
    if age(&program) > age(&source) {
        return Some(program);
    }
    let made = tempfile::NamedTempFile::new_in(&folder).expect("a file can be made").into_temp_path();
    match Command::new(compiler).args(["-g", "-O0"]).args(flags).arg("-o").arg(&made).arg(&source).output() {
        Ok(output) if output.status.success() => {
            std::fs::rename(&made, &program).expect("a file can be renamed");
            Some(program)
        }
        Ok(output) => {
            absent(compiler, String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default());
            None
        }
        Err(error) => {
            absent(compiler, &error.to_string());
            None
        }
    }
}

/// A stub, which ends with the value.
struct Stub {
    process: Child,
    /// What it has said.
    said: String,
}

impl Stub {
    /// Starts `command`, and waits until a line of what it says on standard error (or output) holds `ready`.
    fn start(command: &mut Command, ready: &str) -> Stub {
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let (sender, lines) = channel();
        let output: Box<dyn Read + Send> = Box::new(process.stdout.take().expect("it is piped"));
        let errors: Box<dyn Read + Send> = Box::new(process.stderr.take().expect("it is piped"));
        for stream in [output, errors] {
            let sender = sender.clone();
            // Read to the end, so that it never waits for us.
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        drop(sender);
        let mut stub = Stub { process, said: String::new() };
        let end = Instant::now() + PATIENCE;
        while !ready.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            let line = lines.recv_timeout(left).unwrap_or_else(|_| panic!("it is not ready: {}", stub.said));
            stub.said.push_str(&line);
            stub.said.push('\n');
            if line.contains(ready) {
                break;
            }
        }
        // Somebody has to take what it says later.
        std::thread::spawn(move || lines.iter().for_each(drop));
        stub
    }

    /// The number behind `before` in what it said.
    fn number(&self, before: &str) -> u16 {
        let at = self.said.find(before).expect("it is said") + before.len();
        let digits: String = self.said[at..].chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a port")
    }

    /// gdbserver with this program.
    fn gdbserver(program: &Path, arguments: &[&str]) -> (Stub, String) {
        let mut command = Command::new("gdbserver");
        command.args(["--no-startup-with-shell", "127.0.0.1:0"]).arg(program).args(arguments);
        let stub = Stub::start(&mut command, "Listening on port");
        let port = stub.number("Listening on port ");
        (stub, format!("gdb://127.0.0.1:{port}"))
    }

    /// Waits for its end.
    fn ended(mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if self.process.try_wait().expect("it can be asked").is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a session with `uri` prints for `line`: the answers, and what is told beside them.
fn debug(uri: &str, line: &str) -> (String, String) {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gdbclient-home");
    let mut command = harness::program();
    command.env("XDG_CACHE_HOME", home).args(["-N", "-e", "net.timeout=60000", "-d", uri, "-qc", line]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let collect = |stream: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut stream) = stream {
                let _ = stream.read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = collect(process.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>));
    let err = collect(process.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>));
    let end = Instant::now() + PATIENCE;
    let mut ended = false;
    while !ended && Instant::now() < end {
        ended = process.try_wait().expect("it can be asked").is_some();
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = process.kill();
    let _ = process.wait();
    let (out, err) = (out.join().expect("it is read"), err.join().expect("it is read"));
    assert!(ended, "'{line}' on {uri} has no end: {out}{err}");
    (out, err)
}

/// Waits for a socket.
fn appears(path: &Path) {
    let end = Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < end, "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Every piece is in the text, in this order.
#[track_caller]
fn in_order(text: &str, pieces: &[&str]) {
    let mut rest = text;
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => panic!("'{piece}' is not (or too early) in:\n{text}"),
        }
    }
}
