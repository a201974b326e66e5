//! Measures the server for debuggers beside gdbserver and lldb-server, in one run: `cargo bench --bench gdb`.
//!
//! The debugger is a plain loop that writes a packet and reads the answer, the same for all. Each figure is the middle
//! one of several runs, in turns with the peer.

#[path = "common/debuggers.rs"]
mod debuggers;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use debuggers::{Client, Server, compile, has, symbol};

const RUNS: usize = 7;
const STEPS: u32 = 4_000;
const HITS: u32 = 2_000;
/// Bytes that are read in one run.
const READ: usize = 16 << 20;

fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let Some(program) = compile(folder.path()) else {
        println!("ABSENT: cc");
        return ExitCode::SUCCESS;
    };
    let remora = PathBuf::from(env!("CARGO_BIN_EXE_remora"));
    let ours = [remora.as_os_str(), "gdbserver".as_ref()];
    println!("{:44} {:>12} {:>12} {:>8} {:>8}", format!("median of {RUNS} runs"), "remora", "peer", "ratio", "wanted");
    let mut missed = 0;
    let mut row = |what: &str, (ours, peer): (f64, f64), wanted: f64| {
        let ratio = ours / peer;
        let verdict = if ratio >= wanted { "" } else { "  missed" };
        missed += usize::from(ratio < wanted);
        println!("{what:44} {ours:12.0} {peer:12.0} {ratio:8.2} {wanted:8.2}{verdict}");
    };
    let gdbserver = ["gdbserver".as_ref()];
    if has("gdbserver") {
        row(
            "single steps per second, gdbserver",
            turns(|| steps(&ours, &program), || steps(&gdbserver, &program)),
            1.5,
        );
        row(
            "breakpoint hits per second, gdbserver",
            turns(|| hits(&ours, &program), || hits(&gdbserver, &program)),
            1.5,
        );
    } else {
        println!("ABSENT: gdbserver");
    }
    let lldb = ["lldb-server", "lldb-server-14"].into_iter().find(|name| has(name));
    if let Some(lldb) = lldb {
        let peer = [lldb.as_ref(), "gdbserver".as_ref()];
        row(
            "memory by the largest packet, MiB/s, lldb",
            turns(|| reads(&ours, &program), || reads(&peer, &program)),
            2.0,
        );
    } else {
        println!("ABSENT: lldb-server");
    }
    if has("gdb") && has("gdbserver") {
        let rates = turns(|| prompts(&ours, &program), || prompts(&gdbserver, &program));
        row("attach to gdb's prompt, per 100 s, gdbserver", rates, 1.0);
        // Fewer are better.
        row("packets for `next` over a long loop", (2.0, packets(&ours, &program)), 1.0);
    } else {
        println!("ABSENT: gdb");
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The middle ones of both, in turns.
fn turns(mut ours: impl FnMut() -> f64, mut peer: impl FnMut() -> f64) -> (f64, f64) {
    let (mut a, mut b): (Vec<f64>, Vec<f64>) = (0..RUNS).map(|_| (ours(), peer())).unzip();
    a.sort_by(f64::total_cmp);
    b.sort_by(f64::total_cmp);
    (a[RUNS / 2], b[RUNS / 2])
}

type Words<'a> = [&'a std::ffi::OsStr];

/// A debugger in front of the program, which stands at the first instruction of `add`.
fn at_add(server: &Words<'_>, program: &Path) -> (Server, Client) {
    let server = Server::program(server, program);
    let mut client = Client::connect(&server);
    let add = symbol(program, "add");
    assert_eq!(client.ask(&format!("Z0,{add:x},1")), b"OK");
    client.run("vCont;c");
    (server, client)
}

fn steps(server: &Words<'_>, program: &Path) -> f64 {
    let (_server, mut client) = at_add(server, program);
    client.ask(&format!("z0,{:x},1", symbol(program, "add")));
    let step = format!("vCont;s:{}", client.thread());
    let begin = Instant::now();
    for _ in 0..STEPS {
        client.run(&step);
    }
    f64::from(STEPS) / begin.elapsed().as_secs_f64()
}

fn hits(server: &Words<'_>, program: &Path) -> f64 {
    let (_server, mut client) = at_add(server, program);
    let begin = Instant::now();
    for _ in 0..HITS {
        client.run("vCont;c");
    }
    f64::from(HITS) / begin.elapsed().as_secs_f64()
}

fn reads(server: &Words<'_>, program: &Path) -> f64 {
    let server = Server::program(server, program);
    let mut client = Client::connect_as_lldb(&server);
    let start = symbol(program, "block");
    // The largest that both answer: what is escaped takes two bytes.
    let size = client.packet.min(0x20000) / 2;
    let packet = format!("x{start:x},{size:x}");
    let mut count = 0;
    let begin = Instant::now();
    while count < READ {
        let bytes = client.ask(&packet).len();
        assert!(bytes > size / 4, "{bytes} bytes");
        count += bytes;
    }
    count as f64 / f64::from(1 << 20) / begin.elapsed().as_secs_f64()
}

/// gdb with these commands, at a server that attaches to a running program.
fn gdb(port: u16, program: &Path, commands: &[&str]) -> String {
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-q", "-batch", "-ex", "set sysroot /", "-ex", "set debuginfod enabled off"]);
    gdb.args(["-ex", &format!("target remote 127.0.0.1:{port}")]);
    for line in commands {
        gdb.args(["-ex", line]);
    }
    let output = gdb.arg(program).stdin(Stdio::null()).output().expect("gdb runs");
    [output.stdout, output.stderr].concat().iter().map(|byte| char::from(*byte)).collect()
}

fn prompts(server: &Words<'_>, program: &Path) -> f64 {
    let mut process = Command::new(program).arg("wait").stdin(Stdio::piped()).spawn().expect("the program starts");
    let begin = Instant::now();
    let attached = Server::attach(server, process.id());
    gdb(attached.port, program, &[]);
    let took = begin.elapsed();
    drop(attached);
    let _ = process.kill();
    let _ = process.wait();
    100.0 / took.max(Duration::from_micros(1)).as_secs_f64()
}

/// Packets that gdb sends while it steps over a line with a loop of 10,000 instructions.
fn packets(server: &Words<'_>, program: &Path) -> f64 {
    let server = Server::program(server, program);
    let lines =
        ["break long_loop", "continue", "echo BEGIN\\n", "set debug remote 1", "next", "set debug remote 0", "kill"];
    let said = gdb(server.port, program, &lines);
    let behind = said.split_once("BEGIN").map_or("", |(_, behind)| behind);
    behind.matches("Sending packet").count() as f64
}
