//! Measures rap against what the line itself costs, in the same run: one row for each promise.
//! `cargo bench --bench remote [-- --size MIB]`

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use remora::io::{Access, Io, Open, Settings};
use remora::link::Security;
use remora::output::{Cancel, Executor, Out, Style};
use remora::serve::{self, ServeOptions, Server};
use remora::session::Session;
use remora::session::hosts::{self, Line};
use remora::uri::Uri;

use common::make_input;

/// Each figure is the best of so many runs: what disturbs a run only makes it slower.
const RUNS: usize = 3;
/// Small exchanges of which the middle one counts.
const EXCHANGES: usize = 4000;
/// How long a byte travels on the slow line, in each direction.
const LATENCY: Duration = Duration::from_millis(50);
/// Bytes under way on the slow line, in each direction: 160 MB/s.
const LINE: usize = 8 << 20;
/// Bytes of a piece on the slow line.
const PIECE: usize = 64 << 10;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let size = args.windows(2).find(|pair| pair[0] == "--size").and_then(|pair| pair[1].parse().ok()).unwrap_or(256);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let input = folder.path().join("input");
    make_input(&input, size);
    println!(
        "{size} MiB of input\n\n| what | ours | peer | ratio | wanted | ok |\n| --- | ---: | ---: | ---: | ---: | --- |"
    );
    let mut missed = 0;
    let mut row = |what: &str, ours: Duration, peer_name: &str, peer: Duration, wanted: f64| {
        let ratio = ours.as_secs_f64() / peer.as_secs_f64();
        let ok = ratio <= wanted;
        missed += usize::from(!ok);
        println!(
            "| {what} | {} | {peer_name} {} | {ratio:.2} | <= {wanted} | {} |",
            shown(ours),
            shown(peer),
            if ok { "yes" } else { "NO" }
        );
    };
    let server = Served::start("rap://127.0.0.1:0", options(&folder));
    let encrypted = Served::start("raps://127.0.0.1:0", options(&folder));
    let trusted = trusting(&folder);
    transfer(&mut row, &input, &server, &encrypted, &trusted);
    distant(&mut row, &input, &server);
    interactive(&mut row, &input, &server);
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

type Row<'a> = dyn FnMut(&str, Duration, &str, Duration, f64) + 'a;

/// Bytes through rap on loopback, in the clear and encrypted.
fn transfer(row: &mut Row<'_>, input: &Path, server: &Served, encrypted: &Served, trusted: &Security) {
    let copy = best(|| plain_copy(input, None));
    row("bytes through rap", best(|| read_all(&server.uri("rap", input), None)), "socket copy", copy, 1.25);
    let uri = encrypted.uri("raps", input);
    row("bytes through raps", best(|| read_all(&uri, Some(trusted))), "socket copy", copy, 2.0);
}

/// The same over a line with a latency.
fn distant(row: &mut Row<'_>, input: &Path, server: &Served) {
    let copy = best(|| plain_copy(input, Some(LATENCY)));
    let line = Proxy::start(server.address(), LATENCY);
    let uri = format!("rap://{}/{}", line.place, input.display());
    let what = format!("bytes through rap, {} ms each way", LATENCY.as_millis());
    row(&what, best(|| read_all(&uri, None)), "socket copy", copy, 1.25);
}

/// Small commands, alone and beside a transfer that takes all it can get.
fn interactive(row: &mut Row<'_>, input: &Path, server: &Served) {
    let echo = echoes();
    let mut host = Host::connect(server);
    let alone = host.exchanges();
    row("=0 ?e x, the middle one", middle(&alone), "socket echo", middle(&echo), 3.0);
    row("=0 ?e x, 99 of 100", late(&alone), "the middle one", middle(&alone), 10.0);
    let (stop, uri) = (Arc::new(AtomicBool::new(false)), server.uri("rap", input));
    let stopped = Arc::clone(&stop);
    let busy = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            read_all(&uri, None);
        }
    });
    let beside = host.exchanges();
    stop.store(true, Ordering::Relaxed);
    busy.join().expect("the transfer ends");
    row("=0 ?e x beside a transfer", middle(&beside), "alone", middle(&alone), 2.0);
}

fn shown(time: Duration) -> String {
    let microseconds = time.as_secs_f64() * 1e6;
    if microseconds < 1000.0 { format!("{microseconds:.1} us") } else { format!("{:.1} ms", microseconds / 1000.0) }
}

fn best(mut run: impl FnMut() -> Duration) -> Duration {
    (0..RUNS).map(|_| run()).min().unwrap_or_default()
}

fn middle(times: &[Duration]) -> Duration {
    times[times.len() / 2]
}

fn late(times: &[Duration]) -> Duration {
    times[times.len() * 99 / 100]
}

fn options(folder: &tempfile::TempDir) -> ServeOptions {
    ServeOptions { state: Some(folder.path().to_path_buf()), insecure: true, ..ServeOptions::default() }
}

fn trusting(folder: &tempfile::TempDir) -> Security {
    Security {
        known_hosts: Some(folder.path().join("known_hosts")),
        first_use: true,
        anonymous: true,
        ..Security::default()
    }
}

/// A server in threads of this process, which end with the value.
struct Served {
    server: Server,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    fn start(uri: &str, options: ServeOptions) -> Served {
        let server = serve::listen(&Uri::parse(uri), options).expect("a free port is there");
        let attended = server.clone();
        Served { server, thread: Some(thread::spawn(move || attended.attend())) }
    }
    fn address(&self) -> std::net::SocketAddr {
        self.server.address()
    }
    fn uri(&self, scheme: &str, path: &Path) -> String {
        format!("{scheme}://{}/{}", self.address(), path.display())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends");
        }
    }
}

/// The time to open `uri` and read all of it, as a command that streams does.
fn read_all(uri: &str, security: Option<&Security>) -> Duration {
    let begun = Instant::now();
    let open = Open { access: Access::R, security: security.cloned().unwrap_or_default(), ..Open::default() };
    let mut io = Io::default();
    let fd = io.open(&Uri::parse(uri), &open).expect("the input opens");
    let size = io.descriptor(fd).expect("it is open").size().expect("it has an end");
    io.map_whole(fd, 0).expect("it maps");
    let settings = Settings::default();
    io.will_read(&settings, 0, size);
    let mut buffer = vec![0; 256 << 10];
    let mut at = 0;
    while at < size {
        let count = (size - at).min(buffer.len() as u64) as usize;
        io.read(&settings, at, &mut buffer[..count]).expect("the input can be read");
        at += count as u64;
    }
    begun.elapsed()
}

/// The time to send a file through a TCP connection, over a line with `latency` if there is one.
fn plain_copy(input: &Path, latency: Option<Duration>) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port is there");
    let address = listener.local_addr().expect("it has an address");
    let proxy = latency.map(|latency| Proxy::start(address, latency));
    let place = proxy.as_ref().map_or(address.to_string(), |proxy| proxy.place.clone());
    let mut file = File::open(input).expect("the input opens");
    let begun = Instant::now();
    let sender = thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("somebody connects");
        let mut buffer = vec![0; 256 << 10];
        while let Ok(count @ 1..) = file.read(&mut buffer) {
            socket.write_all(&buffer[..count]).expect("the socket takes it");
        }
    });
    let mut socket = TcpStream::connect(place).expect("the sender is there");
    let mut buffer = vec![0; 256 << 10];
    while let Ok(1..) = socket.read(&mut buffer) {}
    let time = begun.elapsed();
    sender.join().expect("the sender ends");
    time
}

/// A line with a latency, in front of an address.
struct Proxy {
    place: String,
}

impl Proxy {
    /// Its threads end with their connections; the one that listens ends with the process.
    fn start(address: std::net::SocketAddr, latency: Duration) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port is there");
        let place = listener.local_addr().expect("it has an address").to_string();
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let far = TcpStream::connect(address).expect("the other side is there");
                for stream in [&near, &far] {
                    stream.set_nodelay(true).expect("a socket takes options");
                }
                let (from, to) = (near.try_clone().expect("a clone"), far.try_clone().expect("a clone"));
                delayed(from, to, latency);
                delayed(far, near, latency);
            }
        });
        Proxy { place }
    }
}

/// Carries bytes from one socket to the other, each [`LATENCY`] later.
fn delayed(mut from: TcpStream, mut to: TcpStream, latency: Duration) {
    let (sender, receiver): (SyncSender<(Instant, Vec<u8>)>, Receiver<_>) = sync_channel(LINE / PIECE);
    thread::spawn(move || {
        let mut buffer = vec![0; PIECE];
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
        // It may be closed already.
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// How long a few bytes take through a socket and back.
fn echoes() -> Vec<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port is there");
    let address = listener.local_addr().expect("it has an address");
    let echo = thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("somebody connects");
        socket.set_nodelay(true).expect("a socket takes options");
        let mut buffer = [0; 64];
        while let Ok(count @ 1..) = socket.read(&mut buffer) {
            socket.write_all(&buffer[..count]).expect("the socket takes it");
        }
    });
    let mut socket = TcpStream::connect(address).expect("the echo is there");
    socket.set_nodelay(true).expect("a socket takes options");
    let mut buffer = [0; 16];
    let times = sorted(|| {
        socket.write_all(&buffer).expect("the socket takes it");
        socket.read_exact(&mut buffer).expect("the echo answers");
    });
    drop(socket);
    echo.join().expect("the echo ends");
    times
}

fn sorted(mut exchange: impl FnMut()) -> Vec<Duration> {
    (0..EXCHANGES / 10).for_each(|_| exchange());
    let mut times: Vec<Duration> = (0..EXCHANGES)
        .map(|_| {
            let begun = Instant::now();
            exchange();
            begun.elapsed()
        })
        .collect();
    times.sort();
    times
}

/// A session with a host.
struct Host(Session);

impl Host {
    fn connect(server: &Served) -> Host {
        let mut session = Session::new();
        let line = Line { security: Security::default(), timeout: Duration::from_secs(3), cancel: Cancel::new() };
        let uri = format!("rap://{}/malloc://16", server.address());
        session.hosts.add(hosts::connect(&uri, &line).expect("the server is there").host).expect("there is room");
        Host(session)
    }

    fn exchanges(&mut self) -> Vec<Duration> {
        let (mut sink, mut errors) = (Vec::new(), Vec::new());
        sorted(|| {
            sink.clear();
            let mut out = Out::new(&mut sink, &mut errors, Style::default(), Cancel::new());
            self.0.execute("=0 ?e x", &mut out).expect("it runs");
            assert_eq!(sink, b"x\n");
        })
    }
}
