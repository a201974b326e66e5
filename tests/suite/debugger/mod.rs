//! The `d` commands over real processes: here, and at the other end of a line, where they say the same.

mod cores;
mod names;
mod start;

use std::path::{Path, PathBuf};
use std::process::Command;

use remora::serve::ServeOptions;
use remora::session::Permissions;
use tempfile::TempDir;

use crate::debug::fixture_with;
use crate::harness;
use crate::rap::Running;

/// A program with known functions, at fixed addresses. `None`, said once: there is no compiler.
fn fixture() -> Option<PathBuf> {
    fixture_with("commands", &["-O0", "-no-pie"])
}

fn uri(program: &Path) -> String {
    format!("dbg://{}", program.display())
}

/// What a session with `uri` prints for `line`: the answers, and what is told beside them.
fn debug(uri: &str, line: &str) -> (String, String) {
    let output = harness::program().args(["-N", "-d", uri, "-qc", line]).output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// The lines of `text` without the number of the process.
fn told(text: &str) -> Vec<String> {
    let without = |line: &str| match line.split_once(") ") {
        Some((pid, rest)) if pid.starts_with('(') => rest.to_string(),
        _ => line.to_string(),
    };
    text.lines().map(without).collect()
}

#[test]
fn breakpoints_conditions_and_the_stack() {
    let Some(program) = fixture() else { return };
    let line = "db main; dc; ?v $$-main; db sym.add; dbx rdi==3,rsi==3 @ sym.add; dc; dr rdi; dr rsi; dbtq~?; \
                dbt~[6]; db~?; db-*; db~?; dsf; fd rip; dc";
    let (out, err) = debug(&uri(&program), line);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(&lines[..3], ["0x0", "0x00000003", "0x00000003"], "{out}");
    assert!(lines[3].parse::<u32>().is_ok_and(|frames| frames >= 3), "{out}");
    let names: Vec<&&str> = lines.iter().filter(|line| line.starts_with("sym.add") || line.contains("main+")).collect();
    assert!(names.len() >= 2, "{out}");
    let rest = lines.iter().position(|line| *line == "2").expect("two breakpoints");
    assert_eq!(lines[rest + 1], "0", "{out}");
    assert!(lines[rest + 2].starts_with("sym.loop + "), "{out}");
    assert_eq!(*lines.last().unwrap(), "hi");
    let told = told(&err);
    assert!(told.iter().filter(|line| line.starts_with("hit breakpoint at: 0x")).count() == 2, "{err}");
    assert_eq!(
        &told[told.len() - 3..],
        ["Process exited with status=0x3700", "Process terminated with status 55", "==> Process finished"]
    );
}

#[test]
fn steps_system_calls_watchpoints_and_trace_points() {
    let Some(program) = fixture() else { return };
    let line =
        "dcu main; dbw obj.glob w; dc; fd rip; db-*; dbT sym.add rdi rsi; dcs write; dr orax; dbT~?; dbT~?; dcf; dc";
    let (out, err) = debug(&uri(&program), line);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("sym.add + "), "{out}");
    // The watchpoint was hit in the first call: nine calls are left, and a log that was read is empty.
    assert_eq!(&lines[1..4], ["0x00000001", "9", "0"], "{out}");
    let told = told(&err);
    let has = |start: &str| assert!(told.iter().any(|line| line.starts_with(start)), "{start}: {err}");
    has("Continue until 0x");
    has("hit watchpoint (write) of 0x");
    has("--> SN 0x");
    has("forked ");
    has("==> Process finished");
}

#[test]
fn code_of_ones_own_runs_in_the_process() {
    let Some(program) = fixture() else { return };
    let line = "dcu main; ?v $r{rip}-main; dxf sym.add 4 5; pv8 @ obj.glob; dx 4831c048ffc0; dr rax=7; dr rax; \
                dxs write 1 1 0; ?v $r{rip}-main; ds 2; dso; ?v $r{rip}-main";
    let (out, err) = debug(&uri(&program), line);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(&lines[..3], ["0x0", "0x00000009", "0x0000000000000009"], "{out}{err}");
    assert_eq!(&lines[3..6], ["0x00000001", "0x00000007", "0x00000007"], "{out}{err}");
    // Everything is as it was before.
    assert_eq!(lines[7], "0x0", "{out}{err}");
    assert_ne!(lines[8], "0x0", "{out}{err}");
}

#[test]
fn memory_is_copied_compared_and_put_back() {
    let Some(program) = fixture() else { return };
    let page = address(&program, "glob") & !0xfff;
    let line = format!(
        "dcu main; dms obj.glob; wv8 0x4141 @ obj.glob; dmsd 0; dmsw 0; pv8 @ obj.glob; dmm~commands?; dm.~commands?; \
         dmp {page} 0x1000 r--; dm.~r--? @ obj.glob"
    );
    let (out, err) = debug(&uri(&program), &line);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].ends_with(" 2 3412 -> 4141"), "{out}{err}");
    assert_eq!(&lines[1..], ["0x0000000000001234", "1", "1", "1"], "{out}{err}");
}

#[test]
fn a_core_file_is_read_by_others() {
    let Some(program) = fixture() else { return };
    let folder = TempDir::new().unwrap();
    let core = folder.path().join("core");
    let (_, err) = debug(&uri(&program), &format!("dcu main; dg {}", core.display()));
    assert!(err.contains(" bytes written to "), "{err}");
    let ours = harness::program().args(["-N", "-qc", "iKr~rip"]).arg(&core).output().unwrap();
    let main = address(&program, "main");
    assert!(String::from_utf8_lossy(&ours.stdout).contains(&format!("{main:x}")), "{ours:?}");
    match Command::new("gdb").args(["-batch", "-ex", "p/x $rip"]).arg(&program).arg(&core).output() {
        Ok(gdb) => assert!(String::from_utf8_lossy(&gdb.stdout).contains(&format!("$1 = 0x{main:x}")), "{gdb:?}"),
        Err(error) => eprintln!("ABSENT: gdb ({error}); the core file is not read by it"),
    }
}

fn address(program: &Path, name: &str) -> u64 {
    let output = Command::new("nm").arg(program).output().expect("binutils are there with the compiler");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.ends_with(&format!(" {name}"))).unwrap();
    u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap()
}

#[test]
fn a_far_process_says_what_a_near_one_says() {
    let Some(program) = fixture() else { return };
    let line = "db main; dc; dr rip; pd 5; dbt; db sym.add; dbx rdi==3,rsi==3 @ sym.add; dc; dr=; dbt; ds 3; dr rip; \
                px 32 @ obj.glob; dm~commands; dmm; drd; dk~SEGV; db-*; dc";
    let permissions = Permissions::ALL;
    let server = Running::start(ServeOptions { permissions, ..ServeOptions::default() });
    let near = debug(&uri(&program), line);
    let far = debug(&format!("rap://{}/{}", server.place(), uri(&program)), line);
    assert_eq!(told(&far.1), told(&near.1));
    // The stack begins behind the environment, which is another one there.
    let stack = regex::Regex::new("0x7ff[f]{5}[0-9a-f]{4}").unwrap();
    let placed = |text: &str| stack.replace_all(text, "STACK").into_owned();
    // What the program itself prints is printed where it runs.
    assert_eq!(placed(&far.0), placed(&near.0.replacen("hi\n", "", 1)));
}

#[test]
fn a_client_needs_the_permission_to_debug() {
    let Some(program) = fixture() else { return };
    let permissions = Permissions::ALL.without(Permissions::DEBUG);
    let server = Running::start(ServeOptions { permissions, ..ServeOptions::default() });
    let (out, err) = debug(&format!("rap://{}/{}", server.place(), uri(&program)), "dr");
    assert_eq!(out, "");
    assert!(err.contains("it needs debug"), "{err}");
}

#[test]
fn without_a_process_commands_say_so() {
    for command in ["dc", "ds", "dr", "db", "dm", "dp", "dbt", "dk", "dx 90", "dg x"] {
        let output = harness::program().args(["-N", "-qc", command, "malloc://64"]).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "Error: no process is being debugged ('o dbg://PROGRAM' or 'remora -d PROGRAM' starts one)\n",
            "{command}"
        );
        assert_eq!(output.status.code(), Some(1), "{command}");
    }
}

#[test]
fn what_is_typed_wrongly_costs_one_line() {
    let Some(program) = fixture() else { return };
    for (command, wrong) in [
        ("dr nosuch", "no register is called 'nosuch' ('drl' lists them)"),
        ("dr rax=", "the expression is empty"),
        ("db 0x41", "0x00000041 is in no map of the process"),
        ("db nosuch+1", "unknown name 'nosuch'"),
        ("db- main", "no breakpoint is at 0x"),
        ("dbw main x", "'x' is no kind of access (r, w or rw)"),
        ("dk nosuch", "no signal is called 'nosuch' ('dk' lists them)"),
        ("dpt= 99999999", "99999999"),
        ("dmp 0 0x1000 rq-", "bad permissions 'rq-'"),
        ("dms- 5", "no copy of memory has the number 5 ('dms' lists them)"),
        ("dxs nosuch", "unknown name 'nosuch'"),
        ("dx zz", "bad hexadecimal digits"),
    ] {
        let (out, err) = debug(&uri(&program), &format!("{command}; dr rip~?"));
        assert!(err.starts_with("Error: ") && err.contains(wrong), "{command}: {err}");
        assert_eq!(err.lines().count(), 1, "{command}: {err}");
        assert_eq!(out, "1\n", "{command}");
    }
}
