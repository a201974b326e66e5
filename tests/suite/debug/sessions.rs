//! The program itself as a debugger: how programs are started, what Ctrl-C does, what goes wrong.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::attach::Sleepers;
use super::far::{all, gone};
use super::{fixture, fixture_with};
use crate::harness;
use crate::rap::Running;

/// What the program says to `line` with `uri` open.
fn said(options: &[&str], uri: &str, line: &str) -> (String, String) {
    let output = harness::program().args(["-N"]).args(options).args(["-d", uri, "-qc", line]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn programs_are_started_as_the_options_say_here_and_over_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let profile = path("profile");
    fs::write(&profile, "# a profile\nsetenv=FROM=profile\nstderr=/dev/null\n").unwrap();
    fs::write(path("in"), "input\n").unwrap();
    fs::write(path("script"), "echo $ONE-$FROM; pwd; cat; echo $1\n").unwrap();
    let server = Running::start(all());
    for place in [String::new(), format!("rap://{}/", server.place())] {
        let out = path("out");
        let options = [
            "dbg.env='ONE=a b' PATH=/usr/bin:/bin".to_string(),
            "dbg.clearenv=true".to_string(),
            "dbg.dir=/".to_string(),
            format!("dbg.stdin={}", path("in")),
            format!("dbg.stdout={out}"),
            format!("dbg.profile={profile}"),
            format!("dbg.args={} arg", path("script")),
        ];
        let options: Vec<&str> = options.iter().flat_map(|option| ["-e", option.as_str()]).collect();
        let (_, err) = said(&options, &format!("{place}dbg:///bin/sh"), "dc");
        assert!(err.contains("status 0") || err.contains("status=0x0"), "{place}: {err}");
        assert_eq!(fs::read_to_string(&out).unwrap(), "a b-profile\n/\ninput\narg\n", "{place}");
        fs::remove_file(out).unwrap();
    }
    let (_, err) = said(&["-e", "dbg.profile=/no/such/profile"], "dbg:///bin/sh", "s");
    assert!(err.contains("the profile '/no/such/profile'") && err.lines().count() == 1, "{err}");
    fs::write(&profile, "colour=red\n").unwrap();
    let (_, err) = said(&["-e", &format!("dbg.profile={profile}")], "dbg:///bin/sh", "s");
    assert!(err.contains("line 1 of the profile") && err.lines().count() == 1, "{err}");
}

#[test]
fn addresses_are_fixed_or_not() {
    let Some(program) = fixture_with("single", &["-pie", "-fPIE"]) else { return };
    let uri = format!("dbg://{}", program.display());
    let stacks = |options: &[&str]| -> Vec<String> { (0..3).map(|_| said(options, &uri, "dm~stack[0]").0).collect() };
    let fixed = stacks(&[]);
    assert!(!fixed[0].is_empty() && fixed.iter().all(|one| *one == fixed[0]), "{fixed:?}");
    let random = stacks(&["-e", "dbg.aslr=true"]);
    assert!(random.iter().any(|one| *one != random[0]), "{random:?}");
}

#[test]
fn an_attached_process_is_left_as_it_was_by_a_quick_run() {
    let Some(program) = fixture("sleepers") else { return };
    let mut sleepers = Sleepers::start(&program, 3);
    let pid = sleepers.child.id();
    let server = Running::start(all());
    for uri in [pid.to_string(), format!("rap://{}/dbg://{pid}", server.place())] {
        let (out, err) = said(&[], &uri, "db main; dpt~?");
        assert_eq!((out.trim(), err.as_str()), ("4", ""), "{uri}");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.contains("TracerPid:\t0\n"), "{uri}: {status}");
        assert!(server.clients().kept().is_empty());
    }
    sleepers.poke();
    assert_eq!(sleepers.line(), "turn 1");
    let stopped = Pid::from_child(&sleepers.child);
    kill_process(stopped, Signal::STOP).unwrap();
    sleepers.wait_for_state('T');
    said(&[], &pid.to_string(), "dr rip");
    sleepers.wait_for_state('T');
    kill_process(stopped, Signal::CONT).unwrap();
    sleepers.end();
}

/// A session at a pipe, with the program `single` running for long.
fn long(place: &str) -> Option<(std::process::Child, u32)> {
    let program = fixture("single")?;
    let mut debugger = harness::program()
        .args(["-N", "-q", "-e", "dbg.args=2000000000", "-e", "dbg.stdout=/dev/null"])
        .args(["-d", &format!("{place}dbg://{}", program.display())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    debugger.stdin.as_mut().expect("a pipe").write_all(b"dpq\n").expect("it listens");
    let mut line = String::new();
    BufReader::with_capacity(1, debugger.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("it answers");
    let pid = line.trim().parse().expect("a process's number");
    Some((debugger, pid))
}

fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rfind(')').and_then(|at| stat[at + 2..].chars().next()).unwrap_or('-')
}

#[test]
fn ctrl_c_stops_the_process_and_not_the_debugger() {
    let server = Running::start(all());
    for place in [String::new(), format!("rap://{}/", server.place())] {
        let Some((mut debugger, pid)) = long(&place) else { return };
        let mut input = debugger.stdin.take().expect("a pipe");
        for _ in 0..3 {
            input.write_all(b"dc\n").unwrap();
            while state(pid) != 'R' {
                std::thread::yield_now();
            }
            kill_process(Pid::from_child(&debugger), Signal::INT).unwrap();
            while state(pid) != 't' {
                assert!(debugger.try_wait().unwrap().is_none(), "{place}: Ctrl-C ended the debugger");
                std::thread::yield_now();
            }
        }
        input.write_all(b"?e still here\n").unwrap();
        drop(input);
        let output = debugger.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "still here\n", "{place}");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(err.matches("interrupted at").count(), 3, "{place}: {err}");
        gone(pid);
    }
}

#[test]
fn what_goes_wrong_costs_one_line() {
    let Some(program) = fixture_with("commands", &["-O0", "-no-pie"]) else { return };
    let uri = format!("dbg://{}", program.display());
    let watch: String = (0..5).map(|at| format!("dbw obj.glob+{} rw; ", 8 * at)).collect();
    let (out, err) = said(&[], &uri, &format!("{watch}?e live"));
    assert!(err.contains("all four debug registers are taken") && err.lines().count() == 1, "{err}");
    assert_eq!(out.lines().last(), Some("live"));
    // The process is killed by somebody else.
    let Some(program) = fixture("sleepers") else { return };
    let mut sleepers = Sleepers::start(&program, 2);
    let mut session = harness::session(&format!("dbg://{}", sleepers.child.id()));
    sleepers.child.kill().unwrap();
    let told = harness::run(&mut session, "dc");
    assert!(told.err.contains("terminated by signal 9"), "{told:?}");
    for command in ["dr rip", "ds", "dc", "dbt", "dm"] {
        let told = harness::run(&mut session, command);
        assert!(told.err.starts_with("Error: ") && told.err.lines().count() == 1, "{command}: {told:?}");
    }
    assert_eq!(harness::run(&mut session, "?e live").out, "live\n");
    drop(session);
    // The tracer is a thread of this process and has collected it.
    let _ = sleepers.child.wait();
    for (uri, wanted) in [
        ("dbg:///no/such/program", "cannot run '/no/such/program'"),
        ("dbg:///etc/passwd", "cannot run '/etc/passwd'"),
        ("dbg://2147483600", "no process 2147483600"),
        ("dbg://2", ""),
    ] {
        let (_, err) = said(&[], uri, "s");
        assert!(err.contains(wanted) && err.lines().count() == 1, "{uri}: {err}");
    }
}

#[test]
fn who_may_not_debug_is_told_what_is_missing() {
    let Some(program) = fixture("sleepers") else { return };
    if !rustix::process::geteuid().is_root() {
        println!("ABSENT: root (another user's process is needed)");
        return;
    }
    let sleepers = Sleepers::start(&program, 1);
    // The program where another user can run it.
    let folder = tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).tempdir();
    let folder = folder.unwrap();
    let copy = folder.path().join("remora");
    fs::copy(env!("CARGO_BIN_EXE_remora"), &copy).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args(["-N", "-d", &sleepers.child.id().to_string(), "-qc", "s"])
        .env("HOME", "/nonexistent")
        .current_dir("/")
        .output();
    match output {
        Ok(output) => {
            let err = String::from_utf8_lossy(&output.stderr);
            assert_eq!(err.lines().count(), 1, "{err}");
            assert!(err.contains("not allowed to debug the process"), "{err}");
            assert!(err.contains("CAP_SYS_PTRACE") || err.contains("ptrace_scope"), "{err}");
        }
        Err(error) => println!("ABSENT: setpriv ({error})"),
    }
    sleepers.end();
}
