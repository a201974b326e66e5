//! Measures the web door against a bare socket, a static answer of the same library, and radare2's web server, in the
//! same run: one row for each promise. `cargo bench --bench web [-- --size MIB]`

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use remora::output::{Cancel, Executor, Out, Style};
use remora::session::Session;

use common::make_input;

/// Each figure is the best of so many runs, ours and the peer's in turns: what disturbs a run only makes it slower.
const RUNS: usize = 5;
/// Small exchanges of which the middle one counts.
const EXCHANGES: usize = 2000;
/// Exchanges with a server that opens a connection for each.
const FEW: usize = 100;
/// Connections that ask at the same time.
const CLIENTS: usize = 8;
/// How long they do.
const BUSY: Duration = Duration::from_millis(1500);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let size = args.windows(2).find(|pair| pair[0] == "--size").and_then(|pair| pair[1].parse().ok()).unwrap_or(32);
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
            "| {what} | {ours:.1?} | {peer_name} {peer:.1?} | {ratio:.3} | <= {wanted} | {} |",
            if ok { "yes" } else { "NO" }
        );
    };
    let (_session, ours) = serve(&input, folder.path());
    let echo = echo();
    let fixed = fixed(std::fs::read(&input).expect("the input can be read"));

    let mut best = [Duration::MAX; 2];
    for _ in 0..RUNS {
        best[0] = best[0].min(exchanges(ours, COMMAND));
        best[1] = best[1].min(echoes(echo));
    }
    row("/cmd/?e x on a kept connection, the middle one", best[0], "socket echo", best[1], 4.0);
    let command = best[0];

    match Radare2::start(&input) {
        Some(radare2) => {
            let theirs = (0..RUNS).map(|_| single(radare2.address)).min().unwrap_or_default();
            row("/cmd/?e x, the middle one", command, "radare2 =h", theirs, 0.05);
        }
        None => println!("ABSENT: radare2; 'apt-get install radare2' (or your system's way) installs it"),
    }

    let mut best = [Duration::MAX; 2];
    for _ in 0..RUNS {
        best[0] = best[0].min(crowd(ours, COMMAND));
        best[1] = best[1].min(crowd(fixed, "/"));
    }
    row(&format!("a request, {CLIENTS} connections at once"), best[0], "static answer", best[1], 2.0);

    let mut best = [Duration::MAX; 2];
    let range = format!("/api/v1/memory?address=0&length={}M", size.min(64));
    for _ in 0..RUNS {
        best[0] = best[0].min(download(ours, &range));
        best[1] = best[1].min(download(fixed, "/file"));
    }
    row("memory as bytes", best[0], "a file by the same library", best[1], 2.0);
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

const COMMAND: &str = "/cmd/%3Fe%20x";
const TOKEN: &str = "00112233445566778899aabbccddeeff";

/// Our server on `input`, for as long as the session lives.
fn serve(input: &Path, folder: &Path) -> (Session, SocketAddr) {
    let tokens = folder.join("tokens");
    std::fs::write(&tokens, format!("{TOKEN}\n")).expect("a file can be written");
    std::fs::set_permissions(&tokens, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("and protected");
    let mut session = Session::new();
    remora::serve::offer(&mut session);
    let line = format!("o {}; =h& 127.0.0.1:0 --token-file {}", input.display(), tokens.display());
    let (mut sink, mut errors) = (Vec::new(), Vec::new());
    session
        .execute(&line, &mut Out::new(&mut sink, &mut errors, Style::default(), Cancel::new()))
        .expect("the server starts");
    let said = String::from_utf8_lossy(&sink).into_owned() + &String::from_utf8_lossy(&errors);
    let place = said.split("listening at ").nth(1).and_then(|text| text.split_whitespace().next()).expect(&said);
    (session, place.parse().expect("it says where it listens"))
}

/// A socket that sends back what it gets.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port is there");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            socket.set_nodelay(true).expect("a socket takes options");
            let mut buffer = [0; 1024];
            while let Ok(count @ 1..) = socket.read(&mut buffer) {
                if socket.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
        }
    });
    address
}

/// A server of the library that ours is made with, which knows two answers.
fn fixed(file: Vec<u8>) -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads start");
        runtime.block_on(async move {
            let file = axum::body::Bytes::from(file);
            let router = axum::Router::new()
                .route("/", axum::routing::get(async || "x\n"))
                .route("/file", axum::routing::get(async move || file));
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port is there");
            sender.send(listener.local_addr().expect("it has an address")).expect("somebody waits");
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let _ = stream.set_nodelay(true);
                let service = hyper_util::service::TowerToHyperService::new(router.clone());
                tokio::spawn(async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
                    let _ = builder.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await;
                });
            }
        });
    });
    receiver.recv().expect("it starts")
}

/// A kept connection to a web server.
struct Client {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
}

impl Client {
    fn new(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the server is there");
        stream.set_nodelay(true).expect("a socket takes options");
        Client { stream, address, buffer: vec![0; 256 << 10] }
    }

    /// Asks, and returns how many bytes the answer's body has.
    fn get(&mut self, target: &str) -> usize {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n", self.address);
        self.stream.write_all(request.as_bytes()).expect("the server takes it");
        let mut filled = 0;
        let (head, length) = loop {
            let count = self.stream.read(&mut self.buffer[filled..]).expect("the server answers");
            assert!(count > 0, "the server hung up");
            filled += count;
            if let Some(end) = self.buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
                assert!(head.contains(" 200 "), "{head}");
                let length = head.split("content-length: ").nth(1).and_then(|text| text.lines().next());
                break (end + 4, length.and_then(|text| text.trim().parse::<usize>().ok()).expect("it has a length"));
            }
        };
        let mut body = filled - head;
        while body < length {
            let count = self.stream.read(&mut self.buffer).expect("the server answers");
            assert!(count > 0, "the server hung up");
            body += count;
        }
        length
    }
}

fn middle(mut exchange: impl FnMut(), count: usize) -> Duration {
    (0..count / 10).for_each(|_| exchange());
    let mut times: Vec<Duration> = (0..count)
        .map(|_| {
            let begun = Instant::now();
            exchange();
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn exchanges(address: SocketAddr, target: &str) -> Duration {
    let mut client = Client::new(address);
    middle(|| assert_eq!(client.get(target), 2), EXCHANGES)
}

/// As many bytes as the request has, and back.
fn echoes(address: SocketAddr) -> Duration {
    let mut stream = TcpStream::connect(address).expect("the echo is there");
    stream.set_nodelay(true).expect("a socket takes options");
    let mut buffer = [0; 128];
    let exchange = || {
        stream.write_all(&buffer).expect("the socket takes it");
        stream.read_exact(&mut buffer).expect("the echo answers");
    };
    middle(exchange, EXCHANGES)
}

/// A connection for each exchange, which is all that the other server knows.
fn single(address: SocketAddr) -> Duration {
    let exchange = || {
        let mut stream = TcpStream::connect(address).expect("the server is there");
        write!(stream, "GET {COMMAND} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("the server takes it");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the server answers");
        assert!(answer.ends_with(b"x\n"), "{}", String::from_utf8_lossy(&answer));
    };
    middle(exchange, FEW)
}

/// The time of one request while several connections ask as fast as they can.
fn crowd(address: SocketAddr, target: &str) -> Duration {
    let asked = AtomicUsize::new(0);
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Client::new(address);
                while begun.elapsed() < BUSY {
                    client.get(target);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    begun.elapsed() / u32::try_from(asked.load(Ordering::Relaxed).max(1)).unwrap_or(u32::MAX)
}

fn download(address: SocketAddr, target: &str) -> Duration {
    let mut client = Client::new(address);
    let begun = Instant::now();
    assert!(client.get(target) >= 1 << 20);
    begun.elapsed()
}

/// radare2's web server, for as long as the value lives.
struct Radare2 {
    child: Child,
    address: SocketAddr,
}

impl Radare2 {
    fn start(input: &Path) -> Option<Radare2> {
        let named = std::env::var_os("REMORA_RADARE2").map(PathBuf::from);
        let local = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/radare2/radare2");
        let program = named.into_iter().chain([PathBuf::from("radare2"), local]).find(|program| {
            let version = Command::new(program).arg("-v").stdin(Stdio::null()).stdout(Stdio::null()).status();
            version.is_ok_and(|status| status.success())
        })?;
        // It takes the port that it is given; a free one is tried.
        let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let mut child = Command::new(program)
            .args(["-N", "-q", "-e", "http.log=false", "-c", &format!("=h {port}")])
            .arg(input)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let errors = BufReader::new(child.stderr.take()?);
        thread::spawn(move || errors.lines().map_while(Result::ok).for_each(drop));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            if Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            thread::sleep(Duration::from_millis(50));
        }
        Some(Radare2 { child, address })
    }
}

impl Drop for Radare2 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
