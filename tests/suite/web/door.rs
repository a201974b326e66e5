//! The program itself as a web server, and a line with a latency in front of it or of what it reads.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use super::TOKEN;

/// `remora -c "=h ..."` in a process of its own, for as long as it lives.
pub struct Door {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// What signs a browser in.
    pub code: String,
    _state: tempfile::TempDir,
}

impl Door {
    /// A server on `uri`, after the line `before`, with further `flags`.
    pub fn new(uri: &str, before: &str, flags: &str) -> Door {
        Door::at("127.0.0.1:0", uri, before, flags)
    }

    /// The same at `place`.
    pub fn at(place: &str, uri: &str, before: &str, flags: &str) -> Door {
        let state = tempfile::tempdir().unwrap();
        let tokens = state.path().join("tokens");
        std::fs::write(&tokens, format!("{TOKEN} * tester\n")).unwrap();
        std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o600)).unwrap();
        let before = if before.is_empty() { String::new() } else { format!("{before}; ") };
        let line = format!("{before}=h {place} --token-file {} {flags}", tokens.display());
        let mut program = std::process::Command::new("sh");
        program.args(["-c", "exec \"$@\" 2>&1", "sh", env!("CARGO_BIN_EXE_remora"), "-q", "-c", &line, uri]);
        program.env("HOME", state.path()).env("NO_COLOR", "1").env_remove("REMORA_TOKEN");
        let mut child = program.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let (mut address, mut code, mut said) = (None, None, Vec::new());
        while address.is_none() || code.is_none() {
            let line = lines.next().unwrap_or_else(|| panic!("no server: {said:?}"));
            if let Some((_, text)) = line.split_once("#code=") {
                code = Some(text.trim().to_string());
            }
            if let Some((_, text)) = line.split_once("listening at ") {
                address = text.trim().parse().ok();
            }
            said.push(line);
        }
        // What follows is read, so that the server never waits for us.
        thread::spawn(move || lines.for_each(drop));
        Door { child, address: address.unwrap(), code: code.unwrap(), _state: state }
    }

    /// What a browser opens, by way of `address`.
    pub fn url(&self, address: SocketAddr) -> String {
        format!("http://{address}/#code={}", self.code)
    }

    /// What answers a GET with the token.
    pub fn get(&self, target: &str) -> super::Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
        let login = super::bearer(TOKEN);
        write!(stream, "GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{login}\r\n\r\n", self.address)
            .unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        super::answer(&bytes)
    }

    /// Kibibytes of memory that the server has in use (Linux: VmRSS).
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // It is asked, so that the processes that it debugs end with it.
        let _ = std::process::Command::new("kill").arg(self.child.id().to_string()).status();
        let end = Instant::now() + Duration::from_secs(10);
        while self.child.try_wait().is_ok_and(|state| state.is_none()) && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line on which bytes travel for `latency` in each direction. Its threads end with their connections; the one that
/// listens ends with the test.
pub fn slow_line(to: SocketAddr, latency: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((near, _)) = listener.accept() {
            let Ok(far) = TcpStream::connect(to) else { continue };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            if let (Ok(from), Ok(back)) = (near.try_clone(), far.try_clone()) {
                carry(from, back, latency);
                carry(far, near, latency);
            }
        }
    });
    address
}

fn carry(mut from: TcpStream, mut to: TcpStream, latency: Duration) {
    let (sender, receiver) = channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + latency, buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
