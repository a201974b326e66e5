//! A debugger that is a plain loop, and the servers it speaks to.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use object::{Object, ObjectSymbol};

/// What is debugged. `long_loop` has a line of more than 10,000 instructions.
const SOURCE: &str = r#"
#include <unistd.h>
#include <string.h>
char block[1 << 20];
volatile long total;
__attribute__((noinline)) long add(long a) { return a + total; }
__attribute__((noinline)) long long_loop(long n) {
  for (volatile long i = 0; i < n; i++) total += i;
  return total;
}
int main(int argc, char **argv) {
  unsigned state = 1;
  for (unsigned i = 0; i < sizeof block; i++) block[i] = (state = state * 1103515245 + 12345) >> 16;
  if (argc > 1 && !strcmp(argv[1], "wait")) return read(0, block, 1) < 0;
  /* Servers that are killed let it run. */
  alarm(60);
  long_loop(2000);
  for (long i = 0;; i++) total = add(i);
}
"#;

/// Whether a program is installed.
pub fn has(name: &str) -> bool {
    let version = if name.starts_with("lldb-server") { "version" } else { "--version" };
    let output = Command::new(name).arg(version).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

/// The program that is debugged; `None`: there is no compiler.
pub fn compile(folder: &Path) -> Option<PathBuf> {
    let (source, program) = (folder.join("measured.c"), folder.join("measured"));
    std::fs::write(&source, SOURCE).expect("the source can be written");
    let flags = ["-g", "-O1", "-fcf-protection=none", "-no-pie", "-o"];
    let status = Command::new("cc").args(flags).arg(&program).arg(source).status().ok()?;
    status.success().then_some(program)
}

/// Where a symbol of the program is.
pub fn symbol(program: &Path, name: &str) -> u64 {
    let data = std::fs::read(program).expect("the program can be read");
    let file = object::File::parse(&*data).expect("it is an object file");
    file.symbols().find(|symbol| symbol.name() == Ok(name)).expect("the symbol is there").address()
}

/// A server for debuggers, which ends with the value.
pub struct Server {
    process: Child,
    /// Where it listens.
    pub port: u16,
    /// Its program is not its own.
    attached: bool,
}

impl Server {
    /// `words` and a program.
    pub fn program(words: &[&OsStr], program: &Path) -> Server {
        Server::start(words, &[], &[program.as_os_str()])
    }

    /// `words` and a process.
    pub fn attach(words: &[&OsStr], process: u32) -> Server {
        Server::start(words, &["--attach"], &[process.to_string().as_ref()])
    }

    fn start(words: &[&OsStr], flags: &[&str], what: &[&OsStr]) -> Server {
        // Not all of them tell which one they took.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.expect("there is a free port").port();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(flags).arg(format!("127.0.0.1:{port}"));
        if words[0].to_string_lossy().contains("lldb") {
            command.arg("--");
        }
        let process = command.args(what).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let attached = !flags.is_empty();
        let server = Server { process: process.expect("the server starts"), port, attached };
        // The state LISTEN in the kernel's table: a connection that is made to find out would be the only one.
        let listens = format!(":{port:04X} 00000000:0000 0A");
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end
            && !std::fs::read_to_string("/proc/net/tcp").is_ok_and(|table| table.contains(&listens))
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What a killed server has started may run on.
        let path = format!("/proc/{0}/task/{0}/children", self.process.id());
        let children = std::fs::read_to_string(path).unwrap_or_default();
        let _ = self.process.kill();
        let _ = self.process.wait();
        for child in children.split_whitespace().filter(|_| !self.attached) {
            let _ = Command::new("kill").args(["-KILL", child]).stderr(Stdio::null()).status();
        }
    }
}

/// A debugger.
pub struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    buffer: Vec<u8>,
    /// The largest packet of the server.
    pub packet: usize,
}

impl Client {
    /// Connects as gdb does.
    pub fn connect(server: &Server) -> Client {
        Client::greet(server, &["qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+", "!", "?"])
    }

    /// Connects as lldb does.
    pub fn connect_as_lldb(server: &Server) -> Client {
        Client::greet(
            server,
            &["qSupported:xmlRegisters=i386", "QThreadSuffixSupported", "QListThreadsInStopReply", "?"],
        )
    }

    fn greet(server: &Server, hello: &[&str]) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).expect("the server listens");
        stream.set_nodelay(true).expect("a socket takes options");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket takes options");
        let mut client = Client { stream, input: Vec::new(), buffer: vec![0; 1 << 18], packet: 0 };
        // Acknowledged as long as that is needed.
        assert_eq!(client.ask("QStartNoAckMode"), b"OK");
        client.stream.write_all(b"+").expect("the server listens");
        for (at, line) in hello.iter().enumerate() {
            let answer = client.ask(line);
            if at == 0 {
                let answer = String::from_utf8_lossy(&answer).into_owned();
                let size = answer.split(';').find_map(|feature| feature.strip_prefix("PacketSize="));
                client.packet = usize::from_str_radix(size.unwrap_or("400"), 16).unwrap_or(0x400);
            }
        }
        client
    }

    /// A packet and its answer, without what the wire adds.
    pub fn ask(&mut self, packet: &str) -> Vec<u8> {
        let sum = packet.bytes().fold(0u8, |sum, byte| sum.wrapping_add(byte));
        self.stream.write_all(format!("${packet}#{sum:02x}").as_bytes()).expect("the server listens");
        loop {
            if let Some(start) = self.input.iter().position(|byte| *byte == b'$')
                && let Some(end) = self.input[start..].iter().position(|byte| *byte == b'#').map(|end| start + end)
                && self.input.len() >= end + 3
            {
                let body = plain(&self.input[start + 1..end]);
                self.input.drain(..end + 3);
                return body;
            }
            let count = self.stream.read(&mut self.buffer).expect("the server answers");
            assert!(count > 0, "the server has hung up");
            self.input.extend_from_slice(&self.buffer[..count]);
        }
    }

    /// Sets the program going and waits for its stop.
    pub fn run(&mut self, packet: &str) {
        let answer = self.ask(packet);
        assert!(answer.starts_with(b"T05"), "{packet}: {}", String::from_utf8_lossy(&answer));
    }

    /// The current thread.
    pub fn thread(&mut self) -> String {
        String::from_utf8_lossy(&self.ask("qC")[2..]).into_owned()
    }
}

/// Undoes runs and escapes.
fn plain(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut at = 0;
    while at < body.len() {
        match body[at] {
            b'*' if at + 1 < body.len() && !out.is_empty() => {
                let last = out[out.len() - 1];
                out.resize(out.len() + usize::from(body[at + 1]).saturating_sub(29), last);
                at += 2;
            }
            b'}' if at + 1 < body.len() => {
                out.push(body[at + 1] ^ 0x20);
                at += 2;
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}
