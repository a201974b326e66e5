//! Tests: conversations with the ancestors, live (radare2, when it is installed) and recorded.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use remora::error::{Kind, Result};
use remora::link::rap::{Client, Piece, Target};
use remora::output::Cancel;
use remora::protocol::rap::{Limits, Reply, Request};
use remora::serve::ServeOptions;
use remora::uri::Authority;

use crate::harness::{run, session};
use crate::rap::Running;

/// radare2: named by REMORA_RADARE2, on the PATH, or installed under target/peers.
pub fn radare2() -> Option<Command> {
    let named = std::env::var_os("REMORA_RADARE2").map(PathBuf::from);
    let local = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/radare2/radare2");
    let found = named.into_iter().chain([PathBuf::from("radare2"), local]).find(|program| {
        let version = Command::new(program).arg("-v").stdin(Stdio::null()).output();
        version.is_ok_and(|version| version.status.success())
    });
    if found.is_none() {
        // Past the capture of the test harness, so that it is seen in every run.
        let _ = writeln!(std::io::stderr(), "absent: radare2");
    }
    let mut command = Command::new(found?);
    command.args(["-N", "-e", "scr.color=0"]).env("HOME", "/nonexistent").stdin(Stdio::null()).stderr(Stdio::null());
    Some(command)
}

/// radare2 as a rap server, which ends with the value.
pub struct Radare2 {
    process: Child,
    place: String,
}

impl Radare2 {
    pub fn start() -> Option<Radare2> {
        let mut command = radare2()?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = command.arg(format!("rap://:{port}")).stdout(Stdio::null()).spawn().unwrap();
        Some(Radare2 { process, place: format!("127.0.0.1:{port}") })
    }

    /// `127.0.0.1:port`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// A client; the server may still be starting.
    fn client(&self, path: &str, flags: u8) -> Result<Client> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let authority = Authority::parse(&self.place)?;
            let dial = move |cancel: &Cancel| remora::link::connect(&authority, Duration::from_secs(60), cancel);
            let target = Target {
                place: self.place.clone(),
                path: path.to_string(),
                flags,
                timeout: Duration::from_secs(60),
                cancel: Cancel::new(),
            };
            match Client::connect(Box::new(dial), target) {
                Err(error) if error.kind() == Kind::Unreachable && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                outcome => return outcome,
            }
        }
    }
}

impl Drop for Radare2 {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(client: &mut Client, address: u64, length: usize) -> Vec<u8> {
    let mut buffer = vec![0; length];
    let mut pieces = [Piece { address, buffer: &mut buffer, done: 0 }];
    client.read(&mut pieces).unwrap();
    let done = pieces[0].done;
    buffer.truncate(done);
    buffer
}

#[test]
fn our_client_reads_writes_and_commands_radare2() {
    let Some(server) = Radare2::start() else { return };
    let file = std::fs::read("/bin/ls").unwrap();
    let mut client = server.client("/bin/ls", 5).unwrap();
    assert_eq!(client.size(), Some(file.len() as u64));
    assert_eq!(client.traffic().round_trips, 1);
    assert!(read(&mut client, 0, file.len()) == file);
    assert!(client.traffic().round_trips <= 2 + file.len() as u64 / 32768, "{:?}", client.traffic());
    let said = client.command("p8 4 @ 0", &Cancel::new()).unwrap();
    assert_eq!(String::from_utf8_lossy(&said), "7f454c46\n");
    drop(client);
    let mut memory = server.client("malloc://16384", 7).unwrap();
    let data: Vec<u8> = (0..10_000).map(|at| (at % 251) as u8).collect();
    assert_eq!(memory.write(100, &data).unwrap(), data.len());
    assert!(read(&mut memory, 100, data.len()) == data);
    drop(memory);
    let error = server.client("/nosuch", 5).err().unwrap();
    assert_eq!(error.to_string(), format!("'/nosuch' cannot be opened at {}", server.place));
}

#[test]
fn our_hosts_may_be_radare2() {
    let Some(server) = Radare2::start() else { return };
    drop(server.client("", 0).unwrap());
    let mut here = session("malloc://512");
    let said = run(&mut here, &format!("=+ rap://{}//bin/ls", server.place));
    assert!(said.out.ends_with("waiting... ok\n"), "{said:?}");
    assert_eq!(run(&mut here, "=0 \"p8 4 @ 0\"").out, "7f454c46\n");
    assert_eq!(run(&mut here, "= s 0x666").out, "");
    assert_eq!(run(&mut here, "=0 s").out, "0x666\n");
}

/// What radare2 prints for `commands` on `uri`, without the empty lines with which it shows the answers to the
/// empty commands that it sends on its own.
fn ancestor(args: &[&str], commands: &str, uri: &str) -> Option<String> {
    let output = radare2()?.args(args).args(["-q", "-c", commands, uri]).output().unwrap();
    Some(String::from_utf8_lossy(&output.stdout).trim_start().to_string())
}

#[test]
fn radare2_reads_writes_and_commands_our_server() {
    let server = Running::start(ServeOptions::default());
    let place = server.place();
    let Some(said) = ancestor(&["-n"], "p8 16 @ 0;p8 4 @ 0x40", &format!("rap://{place}//bin/ls")) else { return };
    let file = std::fs::read("/bin/ls").unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(said, format!("{}\n{}\n", hex(&file[..16]), hex(&file[0x40..0x44])));

    let copy = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(copy.path(), b"0123456789").unwrap();
    let uri = format!("rap://{place}/{}", copy.path().display());
    let said = ancestor(&["-n", "-w"], "wx 4142 @ 3;p8 4 @ 2", &uri).unwrap();
    assert_eq!(std::fs::read(copy.path()).unwrap(), b"012AB56789");
    assert_eq!(said, "32414235\n");

    let said = ancestor(&[], &format!("=+ rap://{place}//bin/ls;=0 p8 4;=-"), "malloc://16").unwrap();
    assert_eq!(said.trim(), "7f454c46");
    // A missing file must not hang it.
    assert_eq!(ancestor(&["-n"], "p8 4", &format!("rap://{place}//nosuch")).unwrap().trim(), "");
}

#[test]
fn radare2_analyses_a_program_at_our_server() {
    let server = Running::start(ServeOptions::default());
    let Some(here) = ancestor(&[], "iI~^arch;iS~.text[0,1]", "/bin/ls") else { return };
    let there = ancestor(&[], "iI~^arch;iS~.text[0,1]", &format!("rap://{}//bin/ls", server.place())).unwrap();
    assert_eq!(there, here);
}

// ---- recorded clients ------------------------------------------------------------------------------------------

fn recordings() -> Option<PathBuf> {
    let mut folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    loop {
        let found = folder.join("shared/transcripts");
        if found.is_dir() {
            return Some(found);
        }
        folder = match folder.parent() {
            Some(parent) => parent,
            None => {
                let _ = writeln!(std::io::stderr(), "absent: recorded conversations (shared/transcripts)");
                return None;
            }
        };
    }
}

/// The bytes that each client of a recording sent.
fn sent(recording: &str) -> Vec<Vec<u8>> {
    let mut clients: Vec<Vec<u8>> = Vec::new();
    for line in recording.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let (Some("client"), Some(hex)) = (entry["from"].as_str(), entry["hex"].as_str()) else { continue };
        let client = entry["connection"].as_u64().unwrap_or(0) as usize;
        clients.resize(clients.len().max(client + 1), Vec::new());
        let mut bytes = vec![0; hex.len() / 2];
        faster_hex::hex_decode(hex.as_bytes(), &mut bytes).unwrap();
        clients[client].extend(bytes);
    }
    clients
}

/// Replays what a client sent, with its sample file replaced by one that is here; every request must be answered
/// by a reply of its kind.
fn replay(name: &str, bytes: &[u8], server: &str) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut rest = bytes;
    while let Some((request, used)) = Request::decode(rest, Limits::SERVER).unwrap() {
        let request = match request {
            Request::Open { flags, path } if !path.ends_with(b"hello_nopie") => Request::Open { flags, path },
            Request::Open { flags, .. } => Request::Open { flags: flags & !2, path: b"/bin/ls" },
            other => other,
        };
        let mut wire = Vec::new();
        request.encode(&mut wire).unwrap();
        stream.write_all(&wire).unwrap();
        rest = &rest[used..];
        let mut head = Vec::new();
        let reply = loop {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => {
                    // The one request that may end a conversation: a file that does not exist.
                    assert!(matches!(request, Request::Open { .. }), "{name}: no answer to {request:?}");
                    return;
                }
            }
            if let Some((reply, _)) = Reply::decode(&head, Limits::CLIENT).unwrap() {
                break reply;
            }
        };
        assert_eq!(head[0], wire[0] | 0x80, "{name}: {request:?} was answered with {reply:?}");
        let length = match (reply, request) {
            (Reply::Read { length }, Request::Read { count }) => {
                assert_eq!(length, count.min(4096), "{name}");
                length
            }
            (Reply::Command { length, .. }, _) => {
                assert!((1..=16384).contains(&length), "{name}: a reply of {length} bytes");
                length
            }
            _ => 0,
        };
        stream.read_exact(&mut vec![0; length as usize]).unwrap();
    }
    assert!(rest.is_empty(), "{name}: {} bytes are no packet", rest.len());
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0, "{name}");
}

#[test]
fn recorded_clients_are_content_with_our_server() {
    let Some(folder) = recordings() else { return };
    let server = Running::start(ServeOptions::default());
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("rap__") {
            for client in sent(&std::fs::read_to_string(&path).unwrap()) {
                replay(&name, &client, &server.place());
                count += 1;
            }
        }
    }
    assert!(count > 0);
}
