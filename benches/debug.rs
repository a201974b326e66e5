//! Measures the debugger's engine beside a bare ptrace loop, `process_vm_readv` and gdb, in one run:
//! `cargo bench --bench debug`.
//!
//! Each figure is the best of a few runs, in turns with its peer: what disturbs a run only makes it slower.

use std::ffi::CString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use object::{Object, ObjectSymbol};
use remora::debug::condition::Op;
use remora::debug::ptrace::Ptrace;
use remora::debug::{Action, Condition, Launch, Reason, Resume, Spec, Target};
use remora::output::Cancel;

const RUNS: usize = 5;
const STEPS: u64 = 50_000;
const HITS: u64 = 10_000;

fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let Some((single, sleepers)) = compile(folder.path(), "single").zip(compile(folder.path(), "sleepers")) else {
        println!("ABSENT: cc");
        return ExitCode::SUCCESS;
    };
    println!("{:44} {:>12} {:>12} {:>8} {:>8}", "best of 5 runs", "remora", "peer", "ratio", "wanted");
    let mut missed = 0;
    let mut row = |what: &str, ours: f64, peer: f64, wanted: f64| {
        let ratio = ours / peer;
        let verdict = if ratio >= wanted { "" } else { "  missed" };
        missed += usize::from(ratio < wanted);
        println!("{what:44} {ours:12.0} {peer:12.0} {ratio:8.2} {wanted:8.2}{verdict}");
    };
    let (ours, bare) = turns(|| our_steps(&single), || bare_steps(&single));
    row("single steps per second, bare loop", ours, bare, 0.75);
    let add = symbol(&single, "add");
    let (ours, bare) = turns(|| our_hits(&single, "add", 0), || bare_hits(&single, add));
    row("false conditions per second, first of add", ours, bare, 0.75);
    // add is: lea rax, [rdi+rsi]; ret. The return is none of the instructions that are carried out in the tracer.
    let (ours, bare) = turns(|| our_hits(&single, "add", 4), || bare_hits(&single, add + 4));
    row("false conditions per second, at its return", ours, bare, 0.75);
    match gdb_rates(&single) {
        Some((steps, hits)) => {
            row("single steps per second, gdb", turns(|| our_steps(&single), || 0.0).0, steps, 5.0);
            row("false conditions per second, gdb", turns(|| our_hits(&single, "add", 4), || 0.0).0, hits, 5.0);
        }
        None => println!("ABSENT: gdb"),
    }
    match radare2_steps(&single) {
        Some(steps) => row("single steps per second, radare2", our_steps(&single), steps, 1.0),
        None => println!("ABSENT: radare2"),
    }
    let (ours, bare) = reads(&single);
    row("64 KiB reads, MiB/s, process_vm_readv", ours, bare, 0.5);
    match attaches(&sleepers) {
        Some((ours, gdb)) => row("attach to 200 threads and leave, per 100 s, gdb", ours, gdb, 1.0),
        None => println!("ABSENT: gdb"),
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The best of both, in turns.
fn turns(mut ours: impl FnMut() -> f64, mut peer: impl FnMut() -> f64) -> (f64, f64) {
    (0..RUNS).fold((0.0, 0.0), |(a, b), _| (ours().max(a), peer().max(b)))
}

fn compile(folder: &Path, name: &str) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.c"));
    let program = folder.join(name);
    let flags = ["-g", "-O1", "-fno-omit-frame-pointer", "-fcf-protection=none", "-pthread", "-no-pie", "-o"];
    let status = Command::new("cc").args(flags).arg(&program).arg(source).status().ok()?;
    status.success().then_some(program)
}

fn symbol(program: &Path, name: &str) -> u64 {
    let data = std::fs::read(program).expect("the program can be read");
    let file = object::File::parse(&*data).expect("it is an object file");
    file.symbols().find(|symbol| symbol.name() == Ok(name)).expect("the symbol is there").address()
}

fn start(program: &Path) -> Ptrace {
    let mut launch = Launch::new(program.to_string_lossy(), vec!["1000000000".into()]);
    launch.stdout = Some("/dev/null".into());
    Ptrace::start(&launch).expect("the program starts")
}

fn wait(target: &mut Ptrace) -> Reason {
    let deadline = Instant::now() + Duration::from_secs(120);
    target.wait(Some(deadline), &Cancel::new()).expect("it can be waited for").expect("it stops").reason
}

fn our_steps(program: &Path) -> f64 {
    let mut target = start(program);
    run_to(&mut target, symbol(program, "add"));
    let thread = target.current().expect("a thread");
    let begin = Instant::now();
    let steps = Resume { action: Action::Step { count: STEPS }, ..Resume::step(thread) };
    target.resume(&[steps]).expect("it can be resumed");
    assert_eq!(wait(&mut target), Reason::Step);
    STEPS as f64 / begin.elapsed().as_secs_f64()
}

fn run_to(target: &mut Ptrace, address: u64) {
    target.insert(&Spec { temporary: true, ..Spec::at(address) }).expect("a breakpoint can be made");
    target.resume(&[Resume::ALL]).expect("it can be resumed");
    assert!(matches!(wait(target), Reason::Breakpoint { .. }));
}

fn our_hits(program: &Path, name: &str, offset: u64) -> f64 {
    let mut target = start(program);
    let address = symbol(program, name) + offset;
    run_to(&mut target, address);
    // rsi counts the rounds: number 4.
    let end = Condition::new(vec![Op::Register(4), Op::Constant(HITS), Op::Equal]).expect("a condition");
    target.insert(&Spec { conditions: vec![end], ..Spec::at(address) }).expect("a breakpoint can be made");
    let begin = Instant::now();
    target.resume(&[Resume::ALL]).expect("it can be resumed");
    assert!(matches!(wait(&mut target), Reason::Breakpoint { .. }));
    HITS as f64 / begin.elapsed().as_secs_f64()
}

/// A traced child at the first instruction of the program.
struct Bare(i32);

impl Bare {
    fn start(program: &Path) -> Bare {
        let path = CString::new(program.to_string_lossy().as_bytes()).expect("a path");
        let argument = c"1000000000";
        let arguments = [path.as_ptr(), argument.as_ptr(), std::ptr::null()];
        // SAFETY: the child makes system calls alone, on what was prepared before the fork.
        let pid = unsafe {
            let pid = libc::fork();
            if pid == 0 {
                libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
                libc::execv(path.as_ptr(), arguments.as_ptr());
                libc::_exit(127);
            }
            pid
        };
        let bare = Bare(pid);
        bare.wait();
        bare
    }

    fn wait(&self) {
        let mut status = 0;
        // SAFETY: `status` is where the kernel puts an int.
        unsafe { libc::waitpid(self.0, &raw mut status, libc::__WALL) };
        assert!(libc::WIFSTOPPED(status), "the program has ended");
    }

    fn request(&self, request: libc::c_uint, address: u64, data: u64) -> i64 {
        // SAFETY: requests whose arguments are numbers.
        unsafe { libc::ptrace(request, self.0, address, data) }
    }

    fn registers(&self) -> [u64; 27] {
        let mut registers = [0u64; 27];
        // SAFETY: the kernel fills 27 words.
        unsafe { libc::ptrace(libc::PTRACE_GETREGS, self.0, 0, &raw mut registers) };
        registers
    }

    fn set_registers(&self, mut registers: [u64; 27]) {
        // SAFETY: the kernel reads 27 words.
        unsafe { libc::ptrace(libc::PTRACE_SETREGS, self.0, 0, &raw mut registers) };
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // SAFETY: the child is this process's own and was not collected yet.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), libc::__WALL);
        }
    }
}

fn bare_steps(program: &Path) -> f64 {
    let bare = Bare::start(program);
    let begin = Instant::now();
    for _ in 0..STEPS {
        bare.request(libc::PTRACE_SINGLESTEP, 0, 0);
        bare.wait();
    }
    STEPS as f64 / begin.elapsed().as_secs_f64()
}

/// The full cycle of a breakpoint: run into it, look, put the byte back, step, put the trap back.
fn bare_hits(program: &Path, address: u64) -> f64 {
    const RIP: usize = 16;
    let bare = Bare::start(program);
    let original = bare.request(libc::PTRACE_PEEKTEXT, address, 0) as u64;
    let trap = original & !0xff | 0xcc;
    bare.request(libc::PTRACE_POKETEXT, address, trap);
    let cycle = || {
        bare.request(libc::PTRACE_CONT, 0, 0);
        bare.wait();
        let mut registers = bare.registers();
        registers[RIP] -= 1;
        assert_eq!(registers[RIP], address);
        bare.set_registers(registers);
        bare.request(libc::PTRACE_POKETEXT, address, original);
        bare.request(libc::PTRACE_SINGLESTEP, 0, 0);
        bare.wait();
        bare.request(libc::PTRACE_POKETEXT, address, trap);
    };
    cycle();
    let begin = Instant::now();
    for _ in 0..HITS {
        cycle();
    }
    HITS as f64 / begin.elapsed().as_secs_f64()
}

fn reads(program: &Path) -> (f64, f64) {
    const BLOCK: usize = 64 * 1024;
    const COUNT: usize = 5_000;
    let mut target = start(program);
    let pid = target.current().expect("a thread").process;
    target.insert(&Spec::at(symbol(program, "main"))).expect("a breakpoint can be made");
    let maps = target.maps(pid).expect("maps can be read");
    let map = maps.iter().find(|map| map.protection.read && map.end - map.start >= BLOCK as u64);
    let address = map.expect("a large map").start;
    let mut buffer = vec![0; BLOCK];
    let rate = |begin: Instant| (BLOCK * COUNT) as f64 / begin.elapsed().as_secs_f64() / f64::from(1 << 20);
    (0..RUNS).fold((0.0, 0.0), |(a, b): (f64, f64), _| {
        let begin = Instant::now();
        for _ in 0..COUNT {
            assert_eq!(target.read_memory(pid, address, &mut buffer).expect("memory can be read"), BLOCK);
        }
        let ours = rate(begin);
        let begin = Instant::now();
        for _ in 0..COUNT {
            let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: BLOCK };
            let remote = libc::iovec { iov_base: address as usize as *mut libc::c_void, iov_len: BLOCK };
            // SAFETY: the local vector covers `buffer`.
            let count = unsafe { libc::process_vm_readv(pid as i32, &raw const local, 1, &raw const remote, 1, 0) };
            assert_eq!(count, BLOCK as isize);
        }
        (a.max(ours), b.max(rate(begin)))
    })
}

/// The best time of a few runs of a program, in seconds. `None`: it is not there.
fn timed(program: &str, arguments: &[&str]) -> Option<f64> {
    let run = || {
        let begin = Instant::now();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().ok().map(|_| begin.elapsed().as_secs_f64())
    };
    (0..RUNS).map(|_| run()).try_fold(f64::MAX, |best, time| Some(best.min(time?)))
}

/// Steps and false conditions a second in gdb, without the time that it takes to start.
fn gdb_rates(program: &Path) -> Option<(f64, f64)> {
    // Enough to stand out from what it takes to start.
    const COUNT: u64 = 10_000;
    let program = program.to_string_lossy();
    // Both begin at the first breakpoint, and differ in what follows.
    let run = |what: &[&str]| {
        let until = ["-nx", "-batch", "-ex", "break add", "-ex", "run 1000000000", "-ex", "delete"];
        timed("gdb", &[&until[..], what, &["-ex", "kill", &program]].concat())
    };
    let rate = |few: &[&str], many: &[&str]| Some(COUNT as f64 / (run(many)? - run(few)?).max(1e-6));
    let steps = rate(&["-ex", "stepi 1"], &["-ex", &format!("stepi {}", COUNT + 1)])?;
    let at = |round: u64| format!("break *((char*)&add+4) if $rsi == {round}");
    let hits = rate(&["-ex", &at(1), "-ex", "continue"], &["-ex", &at(COUNT + 1), "-ex", "continue"])?;
    Some((steps, hits))
}

/// Steps a second in radare2.
fn radare2_steps(program: &Path) -> Option<f64> {
    const COUNT: u64 = 2_000;
    let local = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/radare2/radare2");
    let named = std::env::var_os("REMORA_RADARE2").map(PathBuf::from);
    let found = named.into_iter().chain([local, PathBuf::from("/opt/r2/radare2"), PathBuf::from("radare2")]);
    let radare2 = found.into_iter().find(|path| Command::new(path).arg("-v").stdout(Stdio::null()).status().is_ok())?;
    let (radare2, program) = (radare2.to_string_lossy().into_owned(), program.to_string_lossy().into_owned());
    let run = |count: u64| timed(&radare2, &["-N", "-d", "-qc", &format!("ds {count}; dk 9"), &program]);
    Some(COUNT as f64 / (run(COUNT + 1)? - run(1)?).max(1e-6))
}

fn attaches(program: &Path) -> Option<(f64, f64)> {
    Command::new("gdb").arg("--version").stdout(Stdio::null()).status().ok()?;
    let mut child = Command::new(program)
        .arg("200")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("it says that it is ready");
    let pid = child.id().to_string();
    let run = |command: &mut Command| {
        let begin = Instant::now();
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.expect("it starts").success());
        100.0 / begin.elapsed().as_secs_f64()
    };
    let rates = turns(
        || run(Command::new(env!("CARGO_BIN_EXE_remora")).args(["-N", "-d", &pid, "-qc", "s"])),
        || run(Command::new("gdb").args(["-nx", "-batch", "-p", &pid, "-ex", "detach"])),
    );
    drop(child.stdin.take());
    child.wait().expect("it ends");
    Some(rates)
}
