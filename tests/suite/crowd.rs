//! Tests: many clients at one server process, and clients that misbehave beside one that does not.

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

use remora::serve::ServeOptions;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::rap::Running;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clients of the crowd.
const CROWD: usize = 1000;

/// What an idle client may cost the server.
const CLIENT_BYTES: u64 = 128 * 1024;

/// Round trips of a measurement.
const ROUNDS: usize = 200;

/// A server process, which ends with the value.
struct Serving {
    process: Child,
    place: String,
}

impl Serving {
    /// Starts it as a login shell would on most systems: with few descriptors, which it may ask more of.
    fn start() -> Serving {
        let mut process = Command::new("sh")
            .args(["-c", "ulimit -S -n 256; exec \"$0\" rap://127.0.0.1:0", env!("CARGO_BIN_EXE_remora")])
            .env("HOME", "/nonexistent")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let mut serving = Serving { process, place: String::new() };
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        serving.place = line.trim_end().rsplit(' ').next().unwrap_or_default().to_string();
        // What it says of clients has to go somewhere; this ends with the server.
        std::thread::spawn(move || io::copy(&mut said, &mut io::sink()));
        serving
    }

    /// Bytes of memory that it occupies.
    fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client as old as the protocol, in bytes: nothing here depends on our own half of it.
struct Old(TcpStream);

impl Old {
    fn connect(place: &str) -> io::Result<Old> {
        let stream = TcpStream::connect(place)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Old(stream))
    }

    fn open(&mut self, path: &str) -> io::Result<()> {
        let mut packet = vec![1, 6, path.len() as u8];
        packet.extend(path.as_bytes());
        self.0.write_all(&packet)?;
        let [opcode, fd @ ..] = self.take::<5>()?;
        if opcode == 0x81 && i32::from_be_bytes(fd) > 0 { Ok(()) } else { Err(wrong("OPEN", opcode)) }
    }

    fn command(&mut self, line: &str) -> io::Result<String> {
        self.0.write_all(&command(line))?;
        loop {
            let [opcode, length @ ..] = self.take::<5>()?;
            let mut text = vec![0; u32::from_be_bytes(length) as usize];
            self.0.read_exact(&mut text)?;
            match opcode {
                0x87 => {
                    text.pop();
                    return String::from_utf8(text).map_err(io::Error::other);
                }
                // A sign of life of a busy server.
                7 => self.0.write_all(&[0x87, 0, 0, 0, 1, 0])?,
                opcode => return Err(wrong("CMD", opcode)),
            }
        }
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Sends `bytes` and nothing more, and waits until the server has had enough.
    fn end(mut self, bytes: &[u8]) {
        // The server may hang up before it has read everything.
        let _ = self.0.write_all(bytes);
        let _ = self.0.shutdown(Shutdown::Write);
        let _ = self.0.read_to_end(&mut Vec::new());
    }
}

fn wrong(request: &str, opcode: u8) -> io::Error {
    io::Error::other(format!("{request} is answered with {opcode:#x}"))
}

fn command(line: &str) -> Vec<u8> {
    let mut packet = vec![7];
    packet.extend((line.len() as u32 + 1).to_be_bytes());
    packet.extend(line.as_bytes());
    packet.push(0);
    packet
}

/// What one of the crowd does. It stays connected.
fn visit(place: &str, number: usize) -> io::Result<Old> {
    let mut client = Old::connect(place)?;
    client.open("malloc://64")?;
    let value = format!("{number:08x}");
    let word = format!("client {number}");
    let asked = [
        (format!("wx {value} @ 0x10"), String::new()),
        ("p8 4 @ 0x10".to_string(), format!("{value}\n")),
        (format!("?e {word}"), format!("{word}\n")),
    ];
    for (line, wanted) in asked {
        let said = client.command(&line)?;
        if said != wanted {
            return Err(io::Error::other(format!("client {number}: '{line}' says {said:?}")));
        }
    }
    Ok(client)
}

#[test]
fn a_thousand_clients_are_served_at_once() {
    let server = Serving::start();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let before = server.resident();
    let begun = Instant::now();
    let place = &server.place;
    let clients: Vec<Old> = std::thread::scope(|scope| {
        let visits: Vec<_> = (0..CROWD)
            .map(|number| {
                let visit = move || visit(place, number);
                Builder::new().stack_size(256 * 1024).spawn_scoped(scope, visit).unwrap()
            })
            .collect();
        visits.into_iter().map(|visit| visit.join().unwrap().unwrap()).collect()
    });
    let took = begun.elapsed();
    let each = (server.resident() - before) / CROWD as u64;
    println!("{CROWD} clients in {took:?}, {} KiB each", each / 1024);
    assert!(each < CLIENT_BYTES, "a client that does nothing costs {each} bytes");
    // They are all still served.
    for (number, mut client) in clients.into_iter().enumerate() {
        assert_eq!(client.command("p8 4 @ 0x10").unwrap(), format!("{number:08x}\n"));
    }
}

#[test]
fn those_who_leave_make_room_in_a_rush() {
    // Far more come, one after the other, than may be there at once.
    const AT_ONCE: usize = 64;
    const VISITS: usize = 100;
    let server = Running::start(ServeOptions { clients: 4 * AT_ONCE, ..ServeOptions::default() });
    let place = &server.place();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(move || {
                for number in 0..VISITS {
                    drop(visit(place, number).unwrap());
                }
            });
        }
    });
}

/// The median time of a round trip; every answer is checked.
fn median(client: &mut Old) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|round| {
            let begun = Instant::now();
            assert_eq!(client.command(&format!("?e {round}")).unwrap(), format!("{round}\n"));
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}

/// Does `deed` at `place` again and again until `over`, and counts.
fn again(over: &AtomicBool, count: &AtomicU64, mut deed: impl FnMut()) {
    while !over.load(Ordering::SeqCst) {
        deed();
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// Sends requests and reads no answer, until nothing more can be sent.
fn flood(place: &str) {
    let mut client = Old::connect(place).unwrap();
    client.open("malloc://4096").unwrap();
    client.0.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
    let requests = [2, 0, 0, 0x10, 0].repeat(1000);
    loop {
        match client.0.write_all(&requests) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn bad_neighbours_do_not_slow_a_client_down() {
    let server = Serving::start();
    let place = &server.place;
    let mut client = Old::connect(place).unwrap();
    client.open("malloc://64").unwrap();
    let alone = median(&mut client);

    // One stays in the middle of a packet.
    let mut stalled = Old::connect(place).unwrap();
    stalled.open("malloc://64").unwrap();
    stalled.0.write_all(&command("?e never")[..7]).unwrap();

    let over = AtomicBool::new(false);
    let counts = [const { AtomicU64::new(0) }; 3];
    let [floods, deaths, nonsense] = &counts;
    let beside = std::thread::scope(|scope| {
        scope.spawn(|| again(&over, floods, || flood(place)));
        scope.spawn(|| again(&over, deaths, || Old::connect(place).unwrap().end(&command("?e half")[..8])));
        scope.spawn(|| {
            let mut byte = 0u8;
            again(&over, nonsense, || {
                byte = byte.wrapping_mul(5).wrapping_add(3);
                Old::connect(place).unwrap().end(&[byte | 0x40, byte, 0xff, 0xff, byte, 0, 7, byte]);
            });
        });
        // A panic here must end the others, too.
        let _over = Over(&over);
        let deadline = Instant::now() + PATIENCE;
        while counts.iter().any(|count| count.load(Ordering::SeqCst) < 3) {
            assert!(Instant::now() < deadline, "the bad ones do not get to work: {counts:?}");
            std::thread::yield_now();
        }
        median(&mut client)
    });
    println!("a round trip takes {alone:?} alone, {beside:?} beside {counts:?}");
    assert!(beside < alone * 5 + Duration::from_millis(2), "{alone:?} alone, {beside:?} beside bad neighbours");
    assert_eq!(client.command("?e still here").unwrap(), "still here\n");
}

/// Sets its flag when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
