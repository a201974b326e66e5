//! Measures the program beside its peers on this machine and prints one row for each promise: `cargo xtask bench`.
//!
//! Each figure is the best of a few runs: what disturbs a run only makes it slower. `--size MIB` sets the input's
//! size.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 5;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let size = args.windows(2).find(|pair| pair[0] == "--size").and_then(|pair| pair[1].parse().ok()).unwrap_or(256);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let input = folder.path().join("input");
    make_input(&input, size);
    println!("{} MiB of input, best of {RUNS} runs, {} cores\n", size, cores());
    let mut table = Table::default();
    table.head();
    start_up(&mut table);
    local(&mut table, &input, size << 20);
    remote(&mut table, &input, size << 20);
    memory(&mut table, &input);
    if table.missed == 0 {
        ExitCode::SUCCESS
    } else {
        println!("\n{} of the wanted ratios are missed", table.missed);
        ExitCode::FAILURE
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes that no compression and no run of zeros makes easy.
fn make_input(path: &Path, mebibytes: u64) {
    let mut file = File::create(path).expect("the input can be made");
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut block = Vec::with_capacity(1 << 20);
    for _ in 0..mebibytes {
        block.clear();
        while block.len() < 1 << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block).expect("the input can be written");
    }
}

/// The rows, and how many of them miss what is wanted.
#[derive(Default)]
struct Table {
    missed: usize,
}

impl Table {
    fn head(&self) {
        println!("| what | ours | peer | ratio | wanted | ok |\n| --- | ---: | ---: | ---: | ---: | --- |");
    }

    /// A row of times: ours may take `wanted` times as long as the peer's.
    fn times(&mut self, what: &str, ours: Option<Duration>, peer_name: &str, peer: Option<Duration>, wanted: f64) {
        let show = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
        let (Some(ours), Some(peer)) = (ours, peer) else {
            let absent = if ours.is_none() { "ours failed" } else { "absent" };
            self.missed += usize::from(ours.is_none());
            let ours = ours.map(show).unwrap_or_default();
            println!(
                "| {what} | {ours} | {peer_name}: {absent} | | <= {wanted} | {} |",
                if absent == "absent" { "-" } else { "NO" }
            );
            return;
        };
        let ratio = ours.as_secs_f64() / peer.as_secs_f64();
        self.row(what, &show(ours), &format!("{peer_name} {}", show(peer)), ratio, wanted);
    }

    fn row(&mut self, what: &str, ours: &str, peer: &str, ratio: f64, wanted: f64) {
        let ok = ratio <= wanted;
        self.missed += usize::from(!ok);
        println!("| {what} | {ours} | {peer} | {ratio:.2} | <= {wanted} | {} |", if ok { "yes" } else { "NO" });
    }
}

fn remora() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_remora"));
    command.arg("-N");
    command
}

/// The best time of `make`'s command, whose output nobody looks at; `None` when it cannot be run or fails.
fn best(runs: usize, mut make: impl FnMut() -> Command) -> Option<Duration> {
    let mut best = None;
    for _ in 0..runs {
        let mut command = make();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let start = Instant::now();
        let mut child = command.spawn().ok()?;
        // A pipe that is read, as in a pipeline: some programs do less when they write to /dev/null.
        drain(child.stdout.take()?);
        if !child.wait().ok()?.success() {
            return None;
        }
        let time = start.elapsed();
        best = Some(best.map_or(time, |best: Duration| best.min(time)));
    }
    best
}

fn drain(mut from: impl Read) -> u64 {
    let mut buffer = vec![0; 1 << 18];
    let mut total = 0;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        total += count as u64;
    }
    total
}

fn with(mut command: Command, args: &[&str]) -> Command {
    command.args(args);
    command
}

fn start_up(table: &mut Table) {
    let ours = best(40, || with(remora(), &["-qcq", "/bin/ls"]));
    table.times("start, open /bin/ls, leave", ours, "true", best(40, || Command::new("true")), 3.0);
    let peer = best(5, || with(Command::new("radare2"), &["-N", "-n", "-qcq", "/bin/ls"]));
    table.times("start, open /bin/ls, leave", ours, "radare2 -n", peer, 0.2);
}

fn local(table: &mut Table, input: &Path, size: u64) {
    let path = input.to_str().expect("the temporary folder's name is text");
    let ours = |line: String| best(RUNS, || with(remora(), &["-qc", &line, path]));
    let peer = |name: &str, args: &[&str]| best(RUNS, || with(Command::new(name), args));
    let part = size / 8;
    let length = part.to_string();
    table.times("hexdump (px)", ours(format!("px {part}")), "xxd", peer("xxd", &["-l", &length, path]), 1.0);
    table.times("hexpairs (p8)", ours(format!("p8 {part}")), "xxd -p", peer("xxd", &["-p", "-l", &length, path]), 1.0);
    table.times("digest (ph sha256)", ours(format!("ph sha256 {size}")), "sha256sum", peer("sha256sum", &[path]), 1.1);
    let line = format!("px {part}");
    let radare = best(1, || with(Command::new("radare2"), &["-N", "-n", "-escr.color=0", "-qc", &line, path]));
    table.times("hexdump (px)", ours(line.clone()), "radare2", radare, 0.5);
}

/// Bytes through a rap server on loopback, beside a plain copy through a socket.
fn remote(table: &mut Table, input: &Path, size: u64) {
    let path = input.to_str().expect("the temporary folder's name is text");
    let Some(server) = Server::start() else {
        table.times("bytes through rap", None, "socket copy", None, 2.0);
        return;
    };
    let uri = format!("rap://{}/{path}", server.address);
    let plain = |transport: &dyn Fn() -> Option<Duration>| (0..RUNS).filter_map(|_| transport()).min();
    // The digest's own time is no part of the transport: it is taken off on both sides.
    let line = format!("ph sha256 {size}");
    let digest = best(RUNS, || with(remora(), &["-qc", &line, path]));
    let through = best(RUNS, || with(remora(), &["-qc", &line, &uri]));
    let ours = through.zip(digest).map(|(all, digest)| all.saturating_sub(digest).max(Duration::from_millis(1)));
    table.times("bytes through rap", ours, "socket copy", plain(&|| socket_copy(input).ok()), 2.0);
}

/// The time to send a file through a TCP connection on loopback and read it at the other end.
fn socket_copy(input: &Path) -> std::io::Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let mut file = File::open(input)?;
    let start = Instant::now();
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut socket, _) = listener.accept()?;
        let mut buffer = vec![0; 1 << 18];
        while let count @ 1.. = file.read(&mut buffer)? {
            socket.write_all(&buffer[..count])?;
        }
        Ok(())
    });
    drain(TcpStream::connect(address)?);
    let time = start.elapsed();
    sender.join().map_err(|_| std::io::Error::other("the sender failed"))??;
    Ok(time)
}

/// A rap server in a process of its own.
struct Server {
    child: Child,
    address: String,
    _errors: BufReader<ChildStderr>,
}

impl Server {
    fn start() -> Option<Server> {
        let mut child =
            with(remora(), &["rap://127.0.0.1:0"]).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
        let mut errors = BufReader::new(child.stderr.take()?);
        let mut line = String::new();
        errors.read_line(&mut line).ok()?;
        let address = line.strip_prefix("rap: listening at ").and_then(|tail| tail.split_whitespace().next());
        match address.map(str::to_string) {
            Some(address) => Some(Server { child, address, _errors: errors }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                None
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The most memory that hashing the whole input takes, beside the input's size.
fn memory(table: &mut Table, input: &Path) {
    const LIMIT: u64 = 64 << 20;
    let path = input.to_str().expect("the temporary folder's name is text");
    let size = std::fs::metadata(input).map_or(0, |metadata| metadata.len());
    let line = format!("ph sha256 {size}");
    let peak = with(remora(), &["-qc", &line, path])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .ok()
        .and_then(|mut child| peak_memory(&mut child));
    match peak {
        Some(peak) => {
            let show = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
            table.row(
                "memory of ph sha256",
                &show(peak),
                &format!("limit {}", show(LIMIT)),
                peak as f64 / LIMIT as f64,
                1.0,
            );
        }
        None => table.times("memory of ph sha256", None, "limit", None, 1.0),
    }
}

/// The largest resident set of `child` until it ends, from the kernel's own high-water mark.
fn peak_memory(child: &mut Child) -> Option<u64> {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = None;
    while let Ok(None) = child.try_wait() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let mark = text
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB").and_then(|digits| digits.trim().parse::<u64>().ok()));
        peak = peak.max(mark.map(|kibibytes| kibibytes << 10));
        std::thread::sleep(Duration::from_millis(2));
    }
    peak
}
