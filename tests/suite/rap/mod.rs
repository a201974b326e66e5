//! Tests: rap, both halves: our client and our server with each other, and each with a peer that misbehaves.

mod client;
pub mod device;
mod frames;
mod server;
mod slow;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use remora::error::{Error, Kind, Result};
use remora::io::plugin::rap::Remote;
use remora::io::{Access, Device};
use remora::link::rap::{Client, Piece, Target};
use remora::link::{Breaker, Link, memory};
use remora::output::Cancel;
use remora::protocol::rap::{Limits, Reply, Request, Verb, Whence};
use remora::serve::{self, Clients, ServeOptions, Server};
use remora::session::{Permissions, Session};
use remora::uri::{Authority, Uri};

use crate::harness::run;

/// A server of ours on a free port, which ends with the value.
pub struct Running {
    server: Server,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub fn start(options: ServeOptions) -> Running {
        Running::listen(":0", options)
    }

    /// A server where one was before.
    pub fn at(place: &str) -> Running {
        Running::listen(place, ServeOptions::default())
    }

    fn listen(place: &str, options: ServeOptions) -> Running {
        let server = serve::rap::listen(&Authority::parse(place).unwrap(), options).unwrap();
        let running = server.clone();
        Running { server, thread: Some(std::thread::spawn(move || running.run())) }
    }

    /// Its clients.
    pub fn clients(&self) -> &Clients {
        self.server.clients()
    }

    /// `127.0.0.1:port`.
    pub fn place(&self) -> String {
        self.server.address().to_string()
    }

    fn client(&self, path: &str) -> Result<Client> {
        connect(&self.place(), path, 7)
    }

    fn raw(&self) -> Raw {
        Raw(TcpStream::connect(self.server.address()).unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.stop();
        self.thread.take().unwrap().join().unwrap();
    }
}

pub fn target(place: &str, path: &str, flags: u8) -> Target {
    Target {
        place: place.to_string(),
        path: path.to_string(),
        flags,
        timeout: Duration::from_secs(60),
        cancel: Cancel::new(),
    }
}

pub fn connect(place: &str, path: &str, flags: u8) -> Result<Client> {
    let authority = Authority::parse(place).unwrap();
    let dial = move |cancel: &Cancel| remora::link::connect(&authority, Duration::from_secs(60), cancel);
    Client::connect(Box::new(dial), target(place, path, flags))
}

fn read(client: &mut Client, address: u64, length: usize) -> Result<Vec<u8>> {
    let mut buffer = vec![0; length];
    let mut pieces = [Piece { address, buffer: &mut buffer, done: 0 }];
    client.read(&mut pieces)?;
    let done = pieces[0].done;
    buffer.truncate(done);
    Ok(buffer)
}

fn command(client: &mut Client, line: &str) -> String {
    String::from_utf8(client.command(line, &Cancel::new()).unwrap()).unwrap()
}

/// A file that is there as long as the value.
fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn path(file: &tempfile::NamedTempFile) -> String {
    file.path().to_str().unwrap().to_string()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 255) as u8).collect()
}

/// A peer that speaks in bytes.
struct Raw(TcpStream);

impl Raw {
    fn send(&mut self, hex: &str) {
        let bytes: Vec<u8> = hex.split_whitespace().map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        self.0.write_all(&bytes).unwrap();
    }

    fn request(&mut self, request: Request<'_>) {
        let mut bytes = Vec::new();
        request.encode(&mut bytes).unwrap();
        self.0.write_all(&bytes).unwrap();
    }

    #[track_caller]
    fn expect(&mut self, hex: &str) {
        let wanted: Vec<u8> = hex.split_whitespace().map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        let mut got = vec![0; wanted.len()];
        self.0.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        self.0.read_exact(&mut got).unwrap();
        let shown: Vec<String> = got.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(got, wanted, "got {}", shown.join(" "));
    }

    /// The head of a reply and what follows it.
    fn reply(&mut self) -> (Reply, Vec<u8>) {
        self.0.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut head = Vec::new();
        loop {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
            if let Some((reply, _)) = Reply::decode(&head, Limits::CLIENT).unwrap() {
                let length = match reply {
                    Reply::Read { length } | Reply::Command { length, .. } | Reply::Reverse { length } => length,
                    _ => 0,
                };
                let mut rest = vec![0; length as usize];
                self.0.read_exact(&mut rest).unwrap();
                return (reply, rest);
            }
        }
    }

    /// Whether the server ends the connection without another byte.
    fn is_hung_up_on(&mut self) -> bool {
        self.0.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        match self.0.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// A server made of a function from requests to bytes: `None` hangs up.
struct Fake {
    place: String,
    requests: Receiver<String>,
}

impl Fake {
    /// Serves clients one after the other until the listener's thread is abandoned at the end of the test.
    fn start(mut answer: impl FnMut(Request<'_>) -> Option<Vec<u8>> + Send + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut buffer = Vec::new();
                let mut chunk = [0; 65536];
                'client: loop {
                    while let Ok(Some((request, used))) = Request::decode(&buffer, Limits::SERVER) {
                        if sender.send(format!("{request:?}")).is_err() {
                            return;
                        }
                        match answer(request) {
                            Some(bytes) if stream.write_all(&bytes).is_ok() => {}
                            _ => break 'client,
                        }
                        buffer.drain(..used);
                    }
                    match stream.read(&mut chunk) {
                        Ok(count) if count > 0 => buffer.extend_from_slice(&chunk[..count]),
                        _ => break,
                    }
                }
                if sender.send("end".to_string()).is_err() {
                    return;
                }
            }
        });
        Fake { place, requests }
    }
}

fn reply(reply: Reply, data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    reply.encode(&mut bytes);
    bytes.extend_from_slice(data);
    Some(bytes)
}

const COMMAND: Verb = Verb::Command;

/// What an old server answers, over `memory`.
fn old(memory: &mut [u8], seek: &mut u64, request: Request<'_>) -> Option<Vec<u8>> {
    match request {
        Request::Open { .. } => reply(Reply::Open { fd: 4 }, &[]),
        Request::Seek { whence: Whence::End, .. } => reply(Reply::Seek { position: memory.len() as u64 }, &[]),
        Request::Seek { whence, offset } => {
            if whence == Whence::Set {
                *seek = offset;
            }
            reply(Reply::Seek { position: *seek }, &[])
        }
        Request::Read { count } => {
            assert!(count <= 4096, "an old server was asked for {count} bytes");
            let start = *seek as usize;
            reply(Reply::Read { length: count }, &memory[start..start + count as usize])
        }
        Request::Write { data } => {
            assert!(data.len() <= 4096, "an old server was sent {} bytes", data.len());
            let start = *seek as usize;
            memory[start..start + data.len()].copy_from_slice(data);
            reply(Reply::Write { result: 1 }, &[])
        }
        Request::Command { text: b"#rap?", .. } => reply(Reply::Command { verb: COMMAND, length: 1 }, &[0]),
        Request::Command { .. } => reply(Reply::Command { verb: COMMAND, length: 4 }, b"ok\n\0"),
        _ => None,
    }
}
