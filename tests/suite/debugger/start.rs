//! How programs are started, lines of the source, and the open files of a process.

use std::process::Command;

use tempfile::TempDir;

use super::{debug, fixture, uri};
use crate::harness;

fn started(arguments: &[&str]) -> (String, String) {
    let output = harness::program().args(["-N", "-d"]).args(arguments).output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_program_gets_its_environment_directory_and_files() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let (input, output) = (folder.join("in"), folder.join("out"));
    std::fs::write(&input, "given\n").unwrap();
    let place = folder.display().to_string();
    let out = output.display().to_string();
    started(&["--clear-env", "--env", "ONE=1 2", "--cwd", &place, "--stdout", &out, "/usr/bin/env", "-qc", "dc"]);
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "ONE=1 2\n");
    started(&["--cwd", &place, "--stdout", &out, "--stdin", &input.display().to_string(), "/bin/cat", "-qc", "dc"]);
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "given\n");
    let profile = folder.join("profile");
    std::fs::write(&profile, format!("# a start\nclearenv=true\nsetenv=TWO=2\nstdout={out}\n")).unwrap();
    started(&["--profile", &profile.display().to_string(), "/usr/bin/env", "-qc", "dc"]);
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "TWO=2\n");
    // The same from a session, and again.
    let line = format!("doo;dor setenv=THREE=3,stdout={out};doo;dc");
    harness::program().args(["-N", "-qc", &line, "/usr/bin/env"]).output().unwrap();
    assert!(std::fs::read_to_string(&output).unwrap().lines().any(|line| line == "THREE=3"));
}

#[test]
fn wrong_settings_cost_a_line() {
    for (arguments, wrong) in [
        (&["--env", "=x", "/bin/true"][..], "--env needs a name"),
        (&["--cwd", "/nosuch", "/bin/true"], "/nosuch"),
        (&["--stdin", "/nosuch", "/bin/true"], "/nosuch"),
        (&["--profile", "/nosuch", "/bin/true"], "the profile"),
        (&["dbg://--bogus /bin/true"], "'--bogus' is no setting"),
    ] {
        let (out, err) = started(&[arguments, &["-qc", "dr rip"]].concat());
        assert!(out.is_empty() && err.starts_with("Error: ") && err.contains(wrong), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
}

#[test]
fn a_process_that_is_waited_for_is_attached_to() {
    let folder = TempDir::new().unwrap();
    // A name that no other process has.
    let name = format!("waited{}", std::process::id());
    let program = folder.path().join(&name);
    std::fs::copy("/bin/sleep", &program).unwrap();
    let waiting = harness::program()
        .args(["-N", "-d", "--wait", &name, "-qc", "dpe; di~type; dp-"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut sleeper = Command::new(&program).arg("60").spawn().unwrap();
    let output = waiting.wait_with_output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out.contains(&name), "{output:?}");
    assert!(sleeper.try_wait().unwrap().is_none(), "it goes on");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

#[test]
fn lines_of_the_source_are_stepped() {
    let Some(program) = fixture() else { return };
    // main calls loop, which calls add ten times.
    let (_, err) = debug(&uri(&program), "dcu main; dsl; dsl; dslo; dslo");
    let lines: Vec<&str> = err.lines().filter_map(|line| line.strip_prefix("commands.c:")).collect();
    let numbers: Vec<u32> = lines.iter().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
    assert_eq!(numbers.len(), 4, "{err}");
    assert_eq!(numbers[0], 7, "{err}");
    assert_eq!(numbers[1], 5, "into loop: {err}");
    let (_, err) = debug(&uri(&program), "dcu main; dslo 2; dslo");
    assert!(err.contains("commands.c:8 ") && err.contains("commands.c:9 "), "{err}");
    let (_, err) = debug(&uri(&program), "dsl");
    assert!(err.starts_with("Error: no line of the source is known for 0x"), "{err}");
}

#[test]
fn open_files_are_changed_by_the_process_itself() {
    let Some(program) = fixture() else { return };
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "0123456789").unwrap();
    let line = format!(
        "dcu main; dd {}; dds $? 4; ddr $? rsp-64 3; ps 3 @ rsp-64; dd~file[1]; ddd 3 9; ddq~^9; dd- 9; ddq~^9?; dd- 99; \
         dd /nosuch/file; ddj~{{}}?",
        file.display()
    );
    let (out, err) = debug(&uri(&program), &line.replace("$?", "3"));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(&lines[..6], ["3", "0x4", "3", "456", "0x7", "9"], "{out}{err}");
    assert_eq!(lines[6], "0", "{out}");
    assert!(err.contains("the process cannot close: ") && err.contains("'/nosuch/file': "), "{err}");
}

#[test]
fn memory_is_allocated_where_it_is_asked_for() {
    let Some(program) = fixture() else { return };
    let (out, err) = debug(
        &uri(&program),
        "dxs getpid; dm 0x10000000 0x2000; dm.~10000000? @ 0x10000000; dm- 0x10000000; dm 0xffffffffff600000 8; dm -1 8~0x?",
    );
    // The first call that a process makes is a call like any other.
    assert!(!out.starts_with("0\n") && out.contains("\n0x10000000\n"), "{out}{err}");
    assert!(out.contains("\n1\n"), "{out}{err}");
    assert!(err.contains("cannot allocate"), "{err}");
}

#[test]
fn the_first_step_is_a_step() {
    let Some(program) = fixture() else { return };
    let (out, err) = debug(&uri(&program), "dr rip; ds; ?v rip-$$; dr rip~?; ds 2; dr rip");
    let lines: Vec<&str> = out.lines().collect();
    assert_ne!(lines[1], "0x0", "{out}{err}");
    assert_ne!(lines[0], lines[3], "{out}{err}");
}
