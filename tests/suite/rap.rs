//! Tests: rap, both halves: our client and our server with each other, and each with a peer that misbehaves.

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

fn target(place: &str, path: &str, flags: u8) -> Target {
    Target {
        place: place.to_string(),
        path: path.to_string(),
        flags,
        timeout: Duration::from_secs(10),
        cancel: Cancel::new(),
    }
}

fn connect(place: &str, path: &str, flags: u8) -> Result<Client> {
    let authority = Authority::parse(place).unwrap();
    let dial = move |cancel: &Cancel| remora::link::connect(&authority, Duration::from_secs(10), cancel);
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
        self.0.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        self.0.read_exact(&mut got).unwrap();
        let shown: Vec<String> = got.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(got, wanted, "got {}", shown.join(" "));
    }

    /// The head of a reply and what follows it.
    fn reply(&mut self) -> (Reply, Vec<u8>) {
        self.0.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
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
        self.0.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        match self.0.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

// ---- the server, in bytes ------------------------------------------------------------------------------------

#[test]
fn the_server_speaks_the_protocol_byte_by_byte() {
    let server = Running::start(ServeOptions::default());
    let bytes = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0];
    let file = file(&bytes);
    let mut peer = server.raw();
    peer.request(Request::Open { flags: 7, path: path(&file).as_bytes() });
    peer.expect("81 00 00 00 04");
    peer.send("04 02 00 00 00 00 00 00 00 00");
    peer.expect("84 00 00 00 00 00 00 00 08");
    peer.send("04 00 00 00 00 00 00 00 00 01");
    peer.expect("84 00 00 00 00 00 00 00 01");
    // The position stays where it is, and what is not there is 0xff.
    peer.send("02 00 00 00 03");
    peer.expect("82 00 00 00 03 45 4c 46");
    peer.send("02 00 00 00 09");
    peer.expect("82 00 00 00 09 45 4c 46 02 01 01 00 ff ff");
    peer.send("02 00 00 00 00");
    peer.expect("82 00 00 00 00");
    peer.send("03 00 00 00 02 90 91");
    peer.expect("83 00 00 00 02");
    peer.send("04 01 00 00 00 00 00 00 00 00");
    peer.expect("84 00 00 00 00 00 00 00 01");
    peer.send("04 01 00 00 00 00 00 00 00 02");
    peer.expect("84 00 00 00 00 00 00 00 03");
    peer.send("04 00 80 00 00 00 00 00 00 00");
    peer.expect("84 80 00 00 00 00 00 00 00");
    peer.send("02 00 00 00 04");
    peer.expect("82 00 00 00 04 ff ff ff ff");
    // "p8 2 @ 1" in the plain form that needs no shell, then the same as opcode 6 and without a NUL.
    peer.send("04 00 00 00 00 00 00 00 00 01");
    peer.expect("84 00 00 00 00 00 00 00 01");
    peer.send("07 00 00 00 05 70 38 20 32 00");
    peer.expect("87 00 00 00 06 39 30 39 31 0a 00");
    peer.send("06 00 00 00 04 70 38 20 32");
    peer.expect("86 00 00 00 06 39 30 39 31 0a 00");
    peer.send("07 00 00 00 01 00");
    peer.expect("87 00 00 00 01 00");
    peer.send("07 00 00 00 00");
    peer.expect("87 00 00 00 01 00");
    peer.send("05 00 00 00 09");
    peer.expect("85 ff ff ff ff");
    peer.send("05 00 00 00 04");
    peer.expect("85 00 00 00 00");
    peer.send("02 00 00 00 01");
    peer.expect("82 00 00 00 01 ff");
    assert_eq!(std::fs::read(file.path()).unwrap(), [0x7f, 0x90, 0x91, 0x46, 2, 1, 1, 0]);
}

#[test]
fn packets_may_come_in_any_pieces_and_many_at_once() {
    let server = Running::start(ServeOptions::default());
    let file = file(b"0123456789");
    let mut wire = Vec::new();
    Request::Open { flags: 5, path: path(&file).as_bytes() }.encode(&mut wire).unwrap();
    for offset in 0..4 {
        Request::Seek { whence: Whence::Set, offset }.encode(&mut wire).unwrap();
        Request::Read { count: 2 }.encode(&mut wire).unwrap();
    }
    let answers = "81 00 00 00 04 \
        84 00 00 00 00 00 00 00 00 82 00 00 00 02 30 31 84 00 00 00 00 00 00 00 01 82 00 00 00 02 31 32 \
        84 00 00 00 00 00 00 00 02 82 00 00 00 02 32 33 84 00 00 00 00 00 00 00 03 82 00 00 00 02 33 34";
    let mut whole = server.raw();
    whole.0.write_all(&wire).unwrap();
    whole.expect(answers);
    let mut slow = server.raw();
    slow.0.set_nodelay(true).unwrap();
    for byte in &wire {
        slow.0.write_all(&[*byte]).unwrap();
    }
    slow.expect(answers);
}

#[test]
fn lengths_beyond_the_limits_are_cut_skipped_or_end_the_connection() {
    let server = Running::start(ServeOptions::default());
    let mut peer = server.raw();
    for count in ["00 00 10 01", "80 00 00 00", "ff ff ff ff"] {
        peer.send(&format!("02 {count}"));
        let (reply, data) = peer.reply();
        assert_eq!(reply, Reply::Read { length: 4096 });
        assert!(data.iter().all(|byte| *byte == 0xff));
    }
    // A byte too long: skipped, answered, and the next packet is understood.
    peer.request(Request::Oversized { opcode: 7, length: 0x10_0001 });
    peer.0.write_all(&vec![b'#'; 0x10_0001]).unwrap();
    peer.expect("87 00 00 00 01 00");
    peer.request(Request::Oversized { opcode: 3, length: 0x10_0001 });
    peer.0.write_all(&vec![0; 0x10_0001]).unwrap();
    peer.expect("83 ff ff ff ff");
    peer.send("07 00 00 00 01 00");
    peer.expect("87 00 00 00 01 00");
    for rude in ["07 ff ff ff ff", "03 ff ff ff ff", "09", "00", "ff", "47 45 54 20 2f", "87 00 00 00 01 00"] {
        let mut peer = server.raw();
        peer.send(rude);
        assert!(peer.is_hung_up_on(), "{rude}");
    }
}

#[test]
fn noise_ends_its_own_connection_and_nothing_else() {
    let server = Running::start(ServeOptions::default());
    let mut witness = server.client("malloc://64").unwrap();
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    for _ in 0..50 {
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as u8
        })
        .take(300)
        .collect();
        let mut peer = server.raw().0;
        // The server may hang up while this is being sent.
        let _ = peer.write_all(&noise);
        let _ = peer.shutdown(Shutdown::Write);
        let _ = peer.read_to_end(&mut Vec::new());
    }
    assert_eq!(read(&mut witness, 0, 4).unwrap(), [0; 4]);
    assert_eq!(read(&mut server.client("malloc://64").unwrap(), 0, 4).unwrap(), [0; 4]);
}

#[test]
fn a_client_that_stalls_in_a_packet_is_dropped_and_disturbs_nobody() {
    let options = ServeOptions { patience: Duration::from_millis(50), ..ServeOptions::default() };
    let server = Running::start(options);
    let mut idle = server.client("malloc://64").unwrap();
    let mut stalled = server.raw();
    stalled.send("03 00 00 00 10 41 41");
    let mut other = server.client("malloc://64").unwrap();
    assert_eq!(other.write(0, b"fine").unwrap(), 4);
    assert_eq!(read(&mut other, 0, 4).unwrap(), b"fine");
    assert!(stalled.is_hung_up_on());
    // Between packets a client may take its time.
    assert_eq!(read(&mut idle, 0, 1).unwrap(), [0]);
    assert_eq!(idle.traffic().round_trips, 2);
}

#[test]
fn every_client_has_its_own_seek_files_and_block_size() {
    let server = Running::start(ServeOptions::default());
    let (mut one, mut two) = (server.raw(), server.raw());
    for (peer, path) in [(&mut one, "malloc://16"), (&mut two, "malloc://32")] {
        peer.request(Request::Open { flags: 7, path: path.as_bytes() });
        peer.expect("81 00 00 00 04");
    }
    one.send("04 00 00 00 00 00 00 00 00 08");
    one.expect("84 00 00 00 00 00 00 00 08");
    two.send("04 01 00 00 00 00 00 00 00 00");
    two.expect("84 00 00 00 00 00 00 00 00");
    one.send("03 00 00 00 01 55");
    one.expect("83 00 00 00 01");
    two.send("04 00 00 00 00 00 00 00 00 08");
    two.expect("84 00 00 00 00 00 00 00 08");
    two.send("02 00 00 00 01");
    two.expect("82 00 00 00 01 00");
    two.send("04 02 00 00 00 00 00 00 00 00");
    two.expect("84 00 00 00 00 00 00 00 20");
}

#[test]
fn stopping_ends_every_client_wherever_it_is() {
    let server = serve::rap::listen(&Authority::parse(":0").unwrap(), ServeOptions::default()).unwrap();
    let running = server.clone();
    let thread = std::thread::spawn(move || running.run());
    let mut peers: Vec<Raw> = (0..3).map(|_| Raw(TcpStream::connect(server.address()).unwrap())).collect();
    for peer in &mut peers {
        peer.send("07 00 00 00 01 00");
        peer.expect("87 00 00 00 01 00");
    }
    peers[1].send("02 00");
    peers[2].send("03 00 00 10 00 41");
    server.stop();
    thread.join().unwrap();
    assert!(peers.iter_mut().all(Raw::is_hung_up_on));
}

#[test]
fn a_file_that_cannot_be_opened_ends_an_old_client_and_is_explained_to_ours() {
    let server = Running::start(ServeOptions::default());
    let mut old = server.raw();
    old.request(Request::Open { flags: 5, path: b"/nosuch/file" });
    assert!(old.is_hung_up_on());
    let error = server.client("/nosuch/file").err().unwrap();
    assert_eq!(error.kind(), Kind::NotFound);
    let place = server.place();
    let start = format!("'/nosuch/file' cannot be opened at {place}: ");
    assert!(error.message().starts_with(&start), "{error}");
    assert!(error.message().contains("No such file or directory"), "{error}");
    let mut empty = server.raw();
    empty.send("01 00 01 00");
    assert!(empty.is_hung_up_on());
}

#[test]
fn what_a_client_may_not_do_it_cannot_do() {
    let file = file(b"precious");
    let server = Running::start(ServeOptions { permissions: Permissions::READ, ..ServeOptions::default() });
    assert_eq!(server.client(&path(&file)).err().unwrap().kind(), Kind::NotFound);
    let readers = Permissions::READ.and(Permissions::FILES);
    let server = Running::start(ServeOptions { permissions: readers, ..ServeOptions::default() });
    assert!(server.client(&path(&file)).is_err());
    let mut reader = connect(&server.place(), &path(&file), 5).unwrap();
    assert_eq!(read(&mut reader, 0, 8).unwrap(), b"precious");
    assert_eq!(reader.write(0, b"x").unwrap_err().kind(), Kind::Permission);
    assert_eq!(std::fs::read(file.path()).unwrap(), b"precious");
}

#[test]
fn errors_are_comments_and_long_replies_are_cut_for_old_clients_only() {
    let server = Running::start(ServeOptions::default());
    let mut old = server.raw();
    old.request(Request::Open { flags: 5, path: b"malloc://65536" });
    old.reply();
    for (line, start) in [(&b"nosuchcommand"[..], &b"# Error: "[..]), (b"p8 20000", b"00000000")] {
        old.request(Request::Command { verb: COMMAND, text: line });
        let (_, text) = old.reply();
        assert!(text.starts_with(start));
        assert!(text.len() <= 16384 && text.ends_with(b"\n\0"));
    }
    let mut ours = server.client("malloc://65536").unwrap();
    assert_eq!(command(&mut ours, "p8 20000"), format!("{}\n", "00".repeat(20000)));
    assert!(command(&mut ours, "p8 0x100000").ends_with("\n# Error: the reply was cut here\n"));
    assert_eq!(command(&mut ours, ""), "");
}

#[test]
fn more_clients_than_allowed_are_turned_away() {
    let server = Running::start(ServeOptions { clients: 1, ..ServeOptions::default() });
    let mut first = server.client("malloc://8").unwrap();
    assert_eq!(server.client("malloc://8").err().unwrap().kind(), Kind::Closed);
    assert_eq!(read(&mut first, 0, 1).unwrap(), [0]);
}

// ---- the device over a line with a latency ---------------------------------------------------------------------

/// A link that counts flights from outside, as a layer of its own.
struct Counted {
    link: memory::Memory,
    asked: bool,
    flights: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if std::mem::take(&mut self.asked) {
            self.flights.fetch_add(1, Ordering::SeqCst);
        }
        self.link.read(buffer)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.asked = true;
        self.link.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Link for Counted {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> std::io::Result<()> {
        self.link.set_timeout(timeout)
    }
    fn peer(&self) -> &str {
        self.link.peer()
    }
    fn is_gone(&self) -> bool {
        self.link.is_gone()
    }
    fn breaker(&self) -> Breaker {
        self.link.breaker()
    }
}

/// A client of a server of ours at the end of a line inside this process.
fn distant(latency: Duration, path: &str) -> (Client, Arc<AtomicU64>, Arc<Clients>) {
    let clients = Arc::new(Clients::new(&serve::rap::SERVICE, ServeOptions::default()).unwrap());
    let flights = Arc::new(AtomicU64::new(0));
    let (admitting, counting) = (Arc::clone(&clients), Arc::clone(&flights));
    let dial = move |_: &Cancel| -> Result<Box<dyn Link>> {
        let (near, far) = memory::pair(latency);
        admitting.admit(Box::new(far))?;
        Ok(Box::new(Counted { link: near, asked: false, flights: Arc::clone(&counting) }))
    };
    let client = Client::connect(Box::new(dial), target("memory", path, 7)).unwrap();
    (client, flights, clients)
}

#[test]
fn opening_and_looking_takes_two_round_trips_on_a_far_line() {
    let bytes = pattern(200_000);
    let file = file(&bytes);
    let (client, flights, _clients) = distant(Duration::from_millis(5), &path(&file));
    assert_eq!(client.size(), Some(200_000));
    let mut session = Session::new();
    session.with(|core, _| {
        let fd = core.io.adopt("rap://memory", Access::RWX, Box::new(Remote::new(client, Access::RWX)));
        core.io.map_whole(fd, 0).unwrap();
    });
    assert_eq!(run(&mut session, "p8 4").out, "00070e15\n");
    assert_eq!(run(&mut session, "p8 64").err, "");
    assert_eq!(flights.load(Ordering::SeqCst), 2);
    // All of it: what is missing comes in one more flight.
    run(&mut session, "p8 200000");
    assert_eq!(flights.load(Ordering::SeqCst), 3);
    // A command over there, and the seek over there.
    assert_eq!(run(&mut session, "=!p8 2").out, "0007\n");
    assert_eq!(flights.load(Ordering::SeqCst), 4);
}

#[test]
fn a_megabyte_there_and_back_takes_a_flight_each() {
    let (mut client, flights, clients) = distant(Duration::from_millis(1), "malloc://8388608");
    let bytes = pattern(3 << 20);
    let before = flights.load(Ordering::SeqCst);
    assert_eq!(client.write(1000, &bytes).unwrap(), bytes.len());
    assert_eq!(flights.load(Ordering::SeqCst), before + 1);
    assert!(read(&mut client, 1000, bytes.len()).unwrap() == bytes);
    assert_eq!(flights.load(Ordering::SeqCst), before + 2);
    // At the end of the file reads are short, and writes too.
    assert_eq!(read(&mut client, (8 << 20) - 3, 100).unwrap().len(), 3);
    assert_eq!(read(&mut client, 8 << 20, 100).unwrap().len(), 0);
    assert_eq!(client.write(9 << 20, b"x").unwrap_err().kind(), Kind::Permission);
    drop(client);
    clients.stop();
}

#[test]
fn pieces_far_apart_travel_together() {
    let bytes = pattern(300_000);
    let file = file(&bytes);
    let (mut client, flights, _clients) = distant(Duration::from_millis(1), &path(&file));
    let before = flights.load(Ordering::SeqCst);
    let (mut a, mut b, mut c) = ([0; 10], [0; 10], [0; 10]);
    let mut pieces = [
        Piece { address: 5, buffer: &mut a, done: 0 },
        Piece { address: 250_000, buffer: &mut b, done: 0 },
        Piece { address: 299_995, buffer: &mut c, done: 0 },
    ];
    client.read(&mut pieces).unwrap();
    assert_eq!(pieces.iter().map(|piece| piece.done).collect::<Vec<_>>(), [10, 10, 5]);
    assert_eq!((&a[..], &b[..], &c[..5]), (&bytes[5..15], &bytes[250_000..250_010], &bytes[299_995..]));
    assert_eq!(flights.load(Ordering::SeqCst), before + 1);
}

// ---- our client with servers that are old, strange or hostile ---------------------------------------------------

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

#[test]
fn old_servers_get_small_packets_many_at_a_time() {
    let mut memory = pattern(200_000);
    let mut seek = 0;
    let fake = Fake::start(move |request| old(&mut memory, &mut seek, request));
    let mut client = connect(&fake.place, "/some/file", 7).unwrap();
    assert_eq!(client.size(), Some(200_000));
    assert_eq!(client.traffic().round_trips, 1);
    assert!(read(&mut client, 0, 65536).unwrap() == pattern(65536));
    assert_eq!(client.traffic().round_trips, 2);
    assert!(read(&mut client, 0, 200_000).unwrap() == pattern(200_000));
    assert!(client.traffic().round_trips <= 2 + 7, "{:?}", client.traffic());
    // The truth value of an old server means all of the packet.
    assert_eq!(client.write(10, &[0x55; 10_000]).unwrap(), 10_000);
    assert_eq!(read(&mut client, 10, 10_000).unwrap(), [0x55; 10_000]);
    assert_eq!(command(&mut client, "s"), "ok\n");
    let long = "x".repeat(5000);
    assert_eq!(client.command(&long, &Cancel::new()).unwrap_err().kind(), Kind::Limit);
    assert_eq!(command(&mut client, "s"), "ok\n");
}

#[test]
fn a_server_without_commands_is_asked_for_the_file_alone() {
    let mut memory = pattern(100);
    let mut seek = 0;
    let fake = Fake::start(move |request| match request {
        Request::Command { .. } => None,
        request => old(&mut memory, &mut seek, request),
    });
    let mut client = connect(&fake.place, "/some/file", 5).unwrap();
    assert_eq!(read(&mut client, 3, 5).unwrap(), pattern(100)[3..8]);
}

#[test]
fn an_old_server_that_hangs_up_on_open_has_no_such_file() {
    let fake = Fake::start(|request| match request {
        Request::Command { .. } => reply(Reply::Command { verb: COMMAND, length: 1 }, &[0]),
        _ => None,
    });
    let error = connect(&fake.place, "/nosuch", 5).err().unwrap();
    assert_eq!(error.to_string(), format!("'/nosuch' cannot be opened at {}", fake.place));
}

#[test]
fn nothing_a_server_asks_for_is_executed() {
    let bait = tempfile::tempdir().unwrap();
    let touched = bait.path().join("touched");
    let demand = format!("!touch {}", touched.display());
    let mut memory = pattern(100);
    let mut seek = 0;
    let answers = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&answers);
    let fake = Fake::start(move |request| match request {
        Request::Command { text: b"s", .. } => {
            let mut bytes = Vec::new();
            for text in [demand.as_bytes(), b"#", b""] {
                Reply::Reverse { length: text.len() as u32 + 1 }.encode(&mut bytes);
                bytes.extend_from_slice(text);
                bytes.push(0);
            }
            Some(bytes)
        }
        Request::Answer { text } => {
            assert_eq!(text, b"");
            let mut answers = counted.lock().unwrap();
            *answers += 1;
            if *answers == 3 { reply(Reply::Command { verb: COMMAND, length: 4 }, b"0x0\0") } else { Some(Vec::new()) }
        }
        request => old(&mut memory, &mut seek, request),
    });
    let mut client = connect(&fake.place, "/some/file", 5).unwrap();
    assert_eq!(command(&mut client, "s"), "0x0");
    assert_eq!(*answers.lock().unwrap(), 3);
    assert!(!touched.exists());
}

#[test]
fn servers_that_lie_are_left_and_tried_again() {
    type Lie = fn(Request<'_>) -> Option<Vec<u8>>;
    let lies: [(&str, Lie, Kind); 5] = [
        ("more than asked", |_| reply(Reply::Read { length: 4097 }, &[0; 4097]), Kind::Protocol),
        ("an endless length", |_| reply(Reply::Read { length: u32::MAX }, &[]), Kind::Limit),
        ("another reply", |_| reply(Reply::Write { result: 1 }, &[]), Kind::Protocol),
        ("no packet", |_| Some(vec![0x55; 8]), Kind::Protocol),
        ("half a reply", |_| None, Kind::Closed),
    ];
    for (what, lie, kind) in lies {
        let mut memory = pattern(8192);
        let mut seek = 0;
        let mut reads = 0;
        let fake = Fake::start(move |request| match request {
            Request::Read { .. } if reads == 0 => {
                reads += 1;
                lie(request)
            }
            request => old(&mut memory, &mut seek, request),
        });
        let mut client = connect(&fake.place, "/some/file", 5).unwrap();
        let error = read(&mut client, 0, 4096).unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error}");
        assert!(error.to_string().contains("the next use connects again"), "{error}");
        assert!(!client.is_connected());
        assert!(read(&mut client, 0, 4096).unwrap() == pattern(4096), "{what}");
    }
}

#[test]
fn a_server_that_goes_elsewhere_is_not_believed() {
    let fake = Fake::start(|request| match request {
        Request::Seek { whence: Whence::Set, offset } => reply(Reply::Seek { position: offset + 1 }, &[]),
        request => old(&mut [0; 64], &mut 0, request),
    });
    let mut client = connect(&fake.place, "/some/file", 7).unwrap();
    assert_eq!(read(&mut client, 0, 4).unwrap_err().kind(), Kind::Protocol);
    assert_eq!(client.write(0, b"1234").unwrap_err().kind(), Kind::Protocol);
}

#[test]
fn waiting_ends_by_deadline_or_by_the_user() {
    let fake = Fake::start(|request| match request {
        Request::Read { .. } | Request::Command { text: b"sleep", .. } => Some(Vec::new()),
        request => old(&mut [0; 64], &mut 0, request),
    });
    let authority = Authority::parse(&fake.place).unwrap();
    let dial = move |cancel: &Cancel| remora::link::connect(&authority, Duration::from_secs(10), cancel);
    let patient = Target { timeout: Duration::from_millis(200), ..target(&fake.place, "/some/file", 5) };
    let mut client = Client::connect(Box::new(dial), patient).unwrap();
    assert_eq!(read(&mut client, 0, 4).unwrap_err().kind(), Kind::Timeout);
    // Commands have no deadline of their own, but Ctrl-C.
    let cancel = Cancel::new();
    let outcome = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.command("sleep", &cancel));
        while !fake.requests.recv().unwrap().contains(&format!("{:?}", b"sleep")) {}
        let pressed = Instant::now();
        cancel.set();
        let outcome = waiting.join().unwrap();
        assert!(pressed.elapsed() < Duration::from_secs(5));
        outcome
    });
    assert_eq!(outcome.unwrap_err().kind(), Kind::Interrupted);
}

#[test]
fn slow_commands_keep_old_clients_alive() {
    // The command is slow because it reads from a server that answers only when it is told to.
    let (go, wait) = channel::<()>();
    let mut memory = pattern(64);
    let mut seek = 0;
    let fake = Fake::start(move |request| {
        if matches!(request, Request::Read { .. }) && wait.recv().is_err() {
            return None;
        }
        old(&mut memory, &mut seek, request)
    });
    let options = ServeOptions { keep_alive: Duration::from_millis(1), ..ServeOptions::default() };
    let server = Running::start(options);
    let mut peer = server.raw();
    peer.request(Request::Open { flags: 5, path: format!("rap://{}//f", fake.place).as_bytes() });
    peer.expect("81 00 00 00 04");
    peer.send("07 00 00 00 05 70 38 20 32 00");
    peer.expect("07 00 00 00 02 23 00");
    peer.send("87 00 00 00 01 00");
    peer.expect("07 00 00 00 02 23 00");
    peer.send("87 00 00 00 01 00");
    go.send(()).unwrap();
    loop {
        match peer.reply() {
            (Reply::Reverse { .. }, _) => peer.send("87 00 00 00 01 00"),
            (Reply::Command { .. }, text) => {
                assert_eq!(text, b"0007\n\0");
                break;
            }
            (other, _) => panic!("{other:?}"),
        }
    }
    peer.send("07 00 00 00 01 00");
    peer.expect("87 00 00 00 01 00");
}

#[test]
fn a_command_ends_when_its_client_goes_away() {
    // The command waits for a server that never answers a read.
    let fake = Fake::start(|request| match request {
        Request::Read { .. } => Some(Vec::new()),
        request => old(&mut [0; 64], &mut 0, request),
    });
    let server = Running::start(ServeOptions { keep_alive: Duration::from_millis(1), ..ServeOptions::default() });
    for probe in [false, true] {
        let mut peer = server.raw();
        if probe {
            peer.request(Request::Command { verb: COMMAND, text: b"#rap?" });
            peer.reply();
        }
        peer.request(Request::Open { flags: 5, path: format!("rap://{}//f", fake.place).as_bytes() });
        peer.expect("81 00 00 00 04");
        peer.send("07 00 00 00 05 70 38 20 32 00");
        let started = |request: &String| request.starts_with("Read");
        while !started(&fake.requests.recv_timeout(Duration::from_millis(2500)).unwrap()) {}
        drop(peer);
        // Its device is closed with it, long before the read's own deadline.
        while fake.requests.recv_timeout(Duration::from_millis(2500)).unwrap() != "end" {}
    }
}

#[test]
fn listeners_are_for_this_machine_unless_a_host_is_named() {
    let listen = |uri: &str| serve::listen(&Uri::parse(uri), ServeOptions::default());
    assert!(listen("rap://:0").unwrap().address().ip().is_loopback());
    assert!(listen("rap://0.0.0.0:0").unwrap().address().ip().is_unspecified());
    let taken = listen("rap://:0").unwrap();
    let error = listen(&format!("rap://:{}", taken.address().port())).err().unwrap();
    assert_eq!(error.message(), format!("cannot listen at {}: Address already in use", taken.address()));
    assert_eq!(listen("rap://localhost").err().unwrap().kind(), Kind::Usage);
    assert_eq!(listen("gopher://:70").err().unwrap().kind(), Kind::UnknownScheme);
    if let Ok(six) = listen("rap://[::1]:0") {
        assert!(six.address().is_ipv6());
    } else {
        println!("absent: IPv6");
    }
}

#[test]
fn the_device_is_opened_by_uri_and_says_what_is_wrong_with_one() {
    let server = Running::start(ServeOptions::default());
    let bytes = pattern(5000);
    let file = file(&bytes);
    let open = remora::io::Open { access: Access::RWX, ..Default::default() };
    let uri = Uri::parse(&format!("rap://{}/{}", server.place(), path(&file)));
    let mut device: Box<dyn Device> = remora::io::plugin::open(&uri, &open).unwrap();
    assert_eq!(device.info().size, Some(5000));
    let mut buffer = [0; 4];
    assert_eq!(device.read_at(100, &mut buffer).unwrap(), 4);
    assert_eq!(buffer, bytes[100..104]);
    assert_eq!(device.write_at(100, b"abcd").unwrap(), 4);
    assert_eq!(std::fs::read(file.path()).unwrap()[100..104], *b"abcd");
    for (uri, kind) in [
        ("rap://:1234", Kind::Usage),
        ("rap://127.0.0.1//bin/ls", Kind::Usage),
        ("rap://[::1/", Kind::Usage),
        ("raps://127.0.0.1:1/", Kind::UnknownScheme),
    ] {
        let error: Error = remora::io::plugin::open(&Uri::parse(uri), &open).err().unwrap();
        assert_eq!(error.kind(), kind, "{uri}: {error}");
    }
    // Without a file nothing is opened: the peer's empty session is looked at.
    let bare = Uri::parse(&format!("rap://{}/", server.place()));
    let mut device = remora::io::plugin::open(&bare, &open).unwrap();
    assert_eq!(device.info().size, None);
    assert_eq!(device.read_at(0, &mut buffer).unwrap(), 4);
    assert_eq!(buffer, [0xff; 4]);
}
