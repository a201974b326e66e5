//! The server for debuggers: real gdb against it, and packets that no debugger would send.

mod lldb;
mod machine;
mod peers;
mod random;
mod same;
mod sessions;
mod wire;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::program;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn absent(name: &str, why: &str) {
    // Past the capture of the test harness, so that it is seen in every run.
    let _ = writeln!(std::io::stderr(), "ABSENT: {name} ({why})");
}

fn has(name: &str) -> bool {
    let there = Command::new(name).arg("--version").stdin(Stdio::null()).output().is_ok_and(|out| out.status.success());
    if !there {
        absent(name, "not installed");
    }
    there
}

/// What the debuggers need: gdb and a compiler.
fn ready() -> bool {
    static READY: OnceLock<bool> = OnceLock::new();
    *READY.get_or_init(|| has("gdb") && has("cc"))
}

const SOURCE: &str = include_str!("fixture.c");

/// The program that is debugged; what it does is its first argument.
fn fixture() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gdb-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let source = folder.join("fixture.c");
        std::fs::write(&source, SOURCE).unwrap();
        let program = folder.join("fixture");
        let mut compiler = Command::new("cc");
        compiler.args(["-g", "-O0", "-no-pie", "-fcf-protection=none", "-pthread", "-o"]).arg(&program).arg(&source);
        assert!(compiler.status().unwrap().success());
        program
    })
}

/// The address of a symbol of the fixture, which is at fixed addresses.
fn symbol(name: &str) -> u64 {
    use object::{Object, ObjectSymbol};
    let bytes = std::fs::read(fixture()).unwrap();
    let file = object::File::parse(bytes.as_slice()).unwrap();
    file.symbols().find(|symbol| symbol.name() == Ok(name)).unwrap().address()
}

/// `remora gdbserver`, which ends with the value.
struct Server {
    process: Child,
    port: u16,
    /// What it said before it listened.
    said: Vec<String>,
    /// Reads what it says from then on.
    reader: Option<JoinHandle<()>>,
}

impl Server {
    fn start(words: &[&str]) -> Server {
        let process = program()
            .arg("gdbserver")
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Server::listening(process).0
    }

    /// A server that was started, and what it says to the last on standard error.
    fn listening(mut process: Child) -> (Server, Arc<Mutex<Vec<String>>>) {
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let port = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it does not listen: {said:?}")).unwrap();
            said.push(line.clone());
            if let Some(port) = line.strip_prefix("Listening on port ") {
                break port.parse().unwrap();
            }
        };
        let everything = Arc::new(Mutex::new(said.clone()));
        let behind = Arc::clone(&everything);
        // Whatever it says later must not fill the pipe.
        let reader = std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| behind.lock().unwrap().push(line));
        });
        (Server { process, port, said, reader: Some(reader) }, everything)
    }

    fn program(arguments: &[&str]) -> Server {
        let path = fixture().to_str().unwrap();
        Server::start(&[&["127.0.0.1:0", path], arguments].concat())
    }

    fn multi() -> Server {
        Server::start(&["--multi", "127.0.0.1:0"])
    }

    /// Waits for its end; its exit code, and what the program printed.
    fn end(mut self) -> (Option<i32>, String) {
        let status = finish(&mut self.process);
        let mut text = String::new();
        self.process.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        (status, text)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits for a program's end, but not for ever; `None`: it had to be killed.
fn finish(process: &mut Child) -> Option<i32> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(status) = process.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = process.kill();
    let _ = process.wait();
    None
}

/// lldb at a server, with these commands; what it said.
fn lldb(server: &Server, commands: &[&str]) -> String {
    let mut command = Command::new("lldb");
    command.args(["--batch", "--no-lldbinit"]);
    let create = format!("target create {}", fixture().display());
    let connect = format!("gdb-remote 127.0.0.1:{}", server.port);
    let before = ["settings set auto-confirm true", "settings set symbols.enable-external-lookup false"];
    let lines: Vec<&str> = before.into_iter().chain([create.as_str(), connect.as_str()]).collect();
    // From a file: given as arguments, nothing behind a stop by a signal would be carried out.
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), [lines.as_slice(), commands, &[""]].concat().join("\n")).unwrap();
    run(command.arg("--source").arg(script.path()))
}

/// gdb with these commands; what it said.
fn gdb(local: Option<&Path>, commands: &[&str]) -> String {
    let mut command = Command::new("gdb");
    command.args(["-nx", "-q", "-batch"]).env("HOME", "/nonexistent").env_remove("DEBUGINFOD_URLS");
    let before = ["set confirm off", "set width 0", "set debuginfod enabled off"];
    let sysroot = local.map(|_| "set sysroot /");
    for line in before.iter().copied().chain(sysroot).chain(commands.iter().copied()) {
        command.args(["-ex", line]);
    }
    command.args(local);
    run(&mut command)
}

/// A debugger to its end; what it said.
fn run(command: &mut Command) -> String {
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = process.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = errors.read_to_end(&mut text);
        text
    });
    let mut output = process.stdout.take().unwrap();
    let output = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = output.read_to_end(&mut text);
        text
    });
    let status = finish(&mut process);
    let text = [output.join().unwrap(), errors.join().unwrap()].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(status.is_some(), "the debugger does not end:\n{text}");
    text
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
