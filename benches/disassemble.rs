//! Disassembly of 8 MiB of x86-64 beside what the decoder and its fastest formatter reach alone, and beside radare2.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use iced_x86::{Decoder, DecoderOptions, FastFormatter, Instruction};
use object::{Object, ObjectSection};

const SIZE: usize = 8 << 20;
const RUNS: usize = 5;

fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("code");
    let code = code(Path::new(env!("CARGO_BIN_EXE_remora")));
    std::fs::write(&file, &code).expect("the input can be written");
    let (mut alone, mut ours, mut peer) = (Duration::MAX, Duration::MAX, None);
    let mut rows = 0;
    for _ in 0..RUNS {
        let start = Instant::now();
        rows = decoder_and_formatter(&code);
        alone = alone.min(start.elapsed());
        let line = format!("pD {SIZE}");
        ours = ours.min(
            time(Command::new(env!("CARGO_BIN_EXE_remora")).args(["-N", "-qc", &line]).arg(&file)).expect("it runs"),
        );
        let mut radare2 = Command::new(radare2());
        radare2.args(["-N", "-n", "-a", "x86", "-b", "64", "-e", "scr.color=0", "-qc", &line]).arg(&file);
        peer = match (peer, time(&mut radare2)) {
            (Some(best), Some(taken)) => Some(taken.min(best)),
            (best, taken) => best.or(taken),
        };
    }
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!("{rows} instructions in {} MiB, best of {RUNS} runs", SIZE >> 20);
    println!("decoder and fast formatter alone: {:.0} ms", milliseconds(alone));
    let ratio = ours.as_secs_f64() / alone.as_secs_f64();
    println!("pD: {:.0} ms, {ratio:.2} times as long (wanted: <= 2)", milliseconds(ours));
    let faster = peer.map(|peer| peer.as_secs_f64() / ours.as_secs_f64());
    match (peer, faster) {
        (Some(peer), Some(faster)) => {
            println!("radare2: {:.0} ms, {faster:.1} times as long (wanted: >= 10)", milliseconds(peer));
        }
        _ => println!("ABSENT: radare2 (REMORA_RADARE2 names none)"),
    }
    if ratio <= 2.0 && faster.is_none_or(|faster| faster >= 10.0) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The code of the program at `path`, as often as it takes.
fn code(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).expect("the program can be read");
    let object = object::File::parse(&*bytes).expect("it is an object file");
    let text = object.section_by_name(".text").and_then(|section| section.data().ok()).expect("it has code");
    text.iter().copied().cycle().take(SIZE).collect()
}

/// What cannot be undercut: every instruction decoded and written, and thrown away. How many there were.
fn decoder_and_formatter(code: &[u8]) -> usize {
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let (mut formatter, mut text) = (FastFormatter::new(), String::new());
    let (mut instruction, mut count) = (Instruction::default(), 0);
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        text.clear();
        formatter.format(&instruction, &mut text);
        count += usize::from(!std::hint::black_box(&text).is_empty());
    }
    count
}

fn time(command: &mut Command) -> Option<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().ok()?;
    status.success().then(|| start.elapsed())
}

/// radare2, which the tests install when the machine has none.
fn radare2() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/radare2/radare2");
    match std::env::var_os("REMORA_RADARE2") {
        Some(path) => path.into(),
        None if installed.exists() => installed,
        None => "radare2".into(),
    }
}
