//! Measures the program beside its peers on this machine and prints one row for each promise: `cargo xtask bench`.
//!
//! Each figure is the best of a few runs: what disturbs a run only makes it slower.

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use common::make_input;

const RUNS: usize = 5;

/// The argument that makes this program a peer: see [`plain_search`].
const PLAIN: &str = "--plain-search";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some([_, path, needle]) = arguments.windows(3).find(|arguments| arguments[0] == PLAIN) {
        return plain_search(Path::new(path), needle.as_bytes());
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (small, large) = (folder.path().join("64M"), folder.path().join("256M"));
    make_input(&small, 64);
    make_input(&large, 256);
    let sparse = folder.path().join("10G");
    File::create(&sparse).and_then(|file| file.set_len(10 << 30)).expect("a sparse file can be made");
    println!("best of {RUNS} runs, in turns with the peer, {} cores\n", cores());
    let mut table = Table::default();
    table.head();
    start_up(&mut table, &sparse);
    local(&mut table, &small);
    search(&mut table, &large);
    table.memory(
        "memory: / text in 10 GiB, sparse",
        peak(with(remora(), &["-qc", "/ no such words in it", text(&sparse)])),
        100,
    );
    table.memory("memory: /e in 256 MiB", peak(with(remora(), &["-qc", "/e /[0-9]{12}x/", text(&large)])), 100);
    inside(&mut table);
    remote(&mut table, &large);
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

    /// A row of memory: `peak` bytes may be at most `limit` MiB.
    fn memory(&mut self, what: &str, peak: Option<u64>, limit: u64) {
        let peak = peak.unwrap_or(u64::MAX) as f64 / f64::from(1 << 20);
        self.row(what, &format!("{peak:.1} MiB"), &format!("limit {limit} MiB"), peak / limit as f64, 1.0);
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

/// The best times of two commands that run in turns, their output thrown away; `None` for one that cannot be run or
/// fails.
fn duel(runs: usize, ours: impl Fn() -> Command, peer: impl Fn() -> Command) -> (Option<Duration>, Option<Duration>) {
    let mut best = (None, None);
    for _ in 0..runs {
        best.0 = shorter(best.0, time(ours()));
        best.1 = shorter(best.1, time(peer()));
    }
    best
}

fn shorter(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn time(mut command: Command) -> Option<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().ok()?;
    status.success().then(|| start.elapsed())
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

/// radare2, which the tests install when the machine has none.
fn radare2() -> Command {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/radare2/radare2");
    match std::env::var_os("REMORA_RADARE2") {
        Some(path) => Command::new(path),
        None if installed.exists() => Command::new(installed),
        None => Command::new("radare2"),
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the temporary folder's name is text")
}

fn start_up(table: &mut Table, sparse: &Path) {
    let (ours, peer) = duel(20, || with(remora(), &["-qc", "q", "-"]), || with(radare2(), &["-qc", "q", "-"]));
    table.times("start and leave", ours, "radare2", peer, 0.1);
    let (large, small) =
        duel(20, || with(remora(), &["-qc", "q", text(sparse)]), || with(remora(), &["-qc", "q", "/bin/ls"]));
    table.times("open 10 GiB, sparse", large, "ours, /bin/ls", small, 1.5);
    table.memory(
        "memory: open 10 GiB, px 64 at its end",
        peak(with(remora(), &["-qc", "px 64 @ 0x27fffffc0", text(sparse)])),
        30,
    );
}

fn local(table: &mut Table, input: &Path) {
    let path = text(input);
    let ours = |line: &'static str| move || with(remora(), &["-qc", line, path]);
    let (px, xxd) = duel(RUNS, ours("px 64M"), || with(Command::new("xxd"), &[path]));
    table.times("px, 64 MiB", px, "xxd", xxd, 0.2);
    let (p8, xxd) = duel(RUNS, ours("p8 64M"), || with(Command::new("xxd"), &["-p", path]));
    table.times("p8, 64 MiB", p8, "xxd -p", xxd, 0.1);
    let (hash, sum) = duel(3 * RUNS, ours("ph sha256 64M"), || with(Command::new("sha256sum"), &[path]));
    table.times("ph sha256, 64 MiB", hash, "sha256sum", sum, 1.0);
}

/// Searches, beside what the machine and the library under them can do.
fn search(table: &mut Table, input: &Path) {
    let path = text(input);
    let ours = |line: &'static str, threads: usize| {
        move || {
            let mut command = with(remora(), &["-qc", line, path]);
            command.env("RAYON_NUM_THREADS", threads.to_string());
            command
        }
    };
    let literal = "/ no such words in it";
    let plain = || {
        let own = std::env::current_exe().expect("this program has a path");
        with(Command::new(own), &[PLAIN, path, "no such words in it"])
    };
    let (one, plain) = duel(RUNS, ours(literal, 1), plain);
    table.times("/ text, 256 MiB, one core", one, "memchr over pread", plain, 1.25);
    let grep = || with(Command::new("rg"), &["--quiet", "--text", "--fixed-strings", "no such words in it", path]);
    let grep = || {
        // It ends with 1 where nothing is found.
        let mut shell = Command::new("sh");
        shell.args(["-c", "\"$@\"; test $? = 1", "sh"]).arg(grep().get_program()).args(grep().get_args());
        shell
    };
    let (all, rg) = duel(RUNS, ours(literal, cores()), grep);
    table.times("/ text, 256 MiB, all cores", all, "ripgrep", rg, 1.25);
    let (expression, one) = duel(2, ours("/e /[0-9]{12}x/", cores()), ours("/e /[0-9]{12}x/", 1));
    table.times("/e, 256 MiB, all cores", expression, "ours, one core", one, 0.75);
    let (all, peer) =
        duel(2, ours(literal, cores()), || with(radare2(), &["-qc", "/ no such words in it", "-n", path]));
    table.times("/ text, 256 MiB", all, "radare2", peer, 0.1);
    let (izz, strings) = duel(2, ours("izz", cores()), || with(Command::new("strings"), &["-a", path]));
    table.times("izz, 256 MiB", izz, "strings", strings, 1.0);
    table.memory("memory of izz, 256 MiB", peak(ours("izz", cores())()), 64);
}

/// What real programs hold, beside binutils. Files that this machine does not have show as absent.
fn inside(table: &mut Table) {
    for (what, path) in [("rustc's driver", rustc_driver()), ("libLLVM", llvm())] {
        let Some(path) = path else {
            println!("| izz of {what} | | ABSENT: no such file | | | - |");
            continue;
        };
        let izz = || with(remora(), &["-qc", "izz", text(&path)]);
        let (ours, strings) = duel(RUNS, izz, || with(Command::new("strings"), &["-a", text(&path)]));
        table.times(&format!("izz of {}", named(&path)), ours, "strings -a", strings, 1.0);
    }
    let Some(path) = program() else {
        println!("| i;is of a large program | | ABSENT: no such file | | | - |");
        return;
    };
    let ours = || with(remora(), &["-qc", "i;is", text(&path)]);
    let (time, readelf) = duel(RUNS, ours, || with(Command::new("readelf"), &["-sW", text(&path)]));
    table.times(&format!("i;is of {}", named(&path)), time, "readelf -sW", readelf, 1.0);
    table.memory(&format!("memory of i;is of {}", named(&path)), peak(ours()), 100);
}

/// The name of a file, and its size.
fn named(path: &Path) -> String {
    let size = path.metadata().map_or(0, |metadata| metadata.len());
    format!("{}, {} MiB", path.file_name().unwrap_or_default().to_string_lossy(), size >> 20)
}

/// The largest file in `folder` whose name begins and ends like this.
fn largest(folder: &Path, begins: &str, ends: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten().filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(begins) && name.ends_with(ends) && entry.path().is_file()
    });
    entries.max_by_key(|entry| entry.metadata().map_or(0, |metadata| metadata.len())).map(|entry| entry.path())
}

/// The library that is the compiler.
fn rustc_driver() -> Option<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    let root = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    largest(&root.join("lib"), "librustc_driver-", ".so")
}

fn llvm() -> Option<PathBuf> {
    largest(Path::new("/usr/lib/x86_64-linux-gnu"), "libLLVM-", "")
}

/// A Rust program with debug information, of some 100 MB: the tests of this project, or else this very program.
fn program() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/debug/deps");
    // Dependency lists lie beside it and are small.
    largest(&folder, "suite-", "").or_else(|| std::env::current_exe().ok())
}

/// Reads a file in pieces and looks for `needle` in each, which is the least that a search takes. It runs in a process
/// of its own, as ours does: on virtual machines a process pays for every page that it is the first to touch.
fn plain_search(input: &Path, needle: &[u8]) -> ExitCode {
    let finder = memchr::memmem::Finder::new(needle);
    let mut file = File::open(input).expect("the input is there");
    let mut buffer = vec![0; 1 << 18];
    let mut hits = 0;
    while let Ok(count @ 1..) = file.read(&mut buffer) {
        hits += finder.find_iter(&buffer[..count]).count();
    }
    if hits > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// 256 MiB through a rap server on loopback, beside a plain copy of the same file through a socket.
fn remote(table: &mut Table, input: &Path) {
    let Some(server) = Server::start() else {
        table.times("256 MiB through rap", None, "socket copy", None, 2.0);
        return;
    };
    let uri = format!("rap://{}/{}", server.address, text(input));
    let read = || with(remora(), &["-qc", "pr 256M", &uri]);
    let (mut ours, mut plain) = (None, None);
    for _ in 0..RUNS {
        ours = shorter(ours, time(read()));
        plain = shorter(plain, socket_copy(input).ok());
    }
    table.times("256 MiB through rap", ours, "socket copy", plain, 2.0);
    table.memory("memory of the client", peak(read()), 64);
    table.memory("memory of the server", high_water(server.child.id()), 64);
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

/// The largest resident set of `command` until it ends, in bytes.
fn peak(mut command: Command) -> Option<u64> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().ok()?;
    let mut peak = None;
    while let Ok(None) = child.try_wait() {
        peak = peak.max(high_water(child.id()));
        std::thread::sleep(Duration::from_micros(200));
    }
    peak
}

/// The kernel's own high-water mark of a process, in bytes.
fn high_water(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    mark.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}
