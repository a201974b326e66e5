//! The program as a process: its options, its standard streams, its exit status.

mod terminal;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Output, Stdio};

use tempfile::TempDir;

use crate::harness::{program, remora};

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

/// Runs the program with `args` and `input` on its standard input.
fn fed(args: &[&str], input: &str) -> Output {
    let mut child = piped(args);
    let mut stdin = child.stdin.take().expect("it has a standard input");
    // It may leave before it has read everything.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn piped(args: &[&str]) -> Child {
    program()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn file(directory: &TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    fs::write(&path, text).expect("a file can be written");
    path.to_str().expect("its name is text").to_string()
}

#[track_caller]
fn one_line_of_error(output: &Output, says: &str) {
    let text = err(output);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("Error: ") && text.contains(says), "{text}");
}

#[test]
fn commands_run_in_order_and_the_program_leaves() {
    let output = remora(&["-q", "-c", "p8 1", "-c", "p8 2;p8 3", "-"]);
    assert_eq!((code(&output), out(&output).as_str(), err(&output).as_str()), (Some(0), "00\n0000\n000000\n", ""));
}

#[test]
fn short_clusters_work_as_in_scripts() {
    assert_eq!(out(&remora(&["-qc", "p8 1", "-"])), "00\n");
    assert_eq!(out(&remora(&["-Qc", "p8 1", "-"])), "00\n");
    assert_eq!(out(&remora(&["-Nqnqescr.color=0", "-cp8 1", "-"])), "00\n");
    assert_eq!(out(&remora(&["-AA", "-qc", "p8 1", "-"])), "00\n");
}

#[test]
fn a_file_is_opened_and_scripts_run_before_commands() {
    let directory = TempDir::new().unwrap();
    let data = file(&directory, "data", "abcd");
    let script = file(&directory, "script", "p8 1\n\np8 2\n");
    let output = remora(&["-q", "-i", &script, "-c", "p8 3", &data]);
    assert_eq!((code(&output), out(&output).as_str()), (Some(0), "61\n6162\n616263\n"));
}

#[test]
fn without_a_file_it_says_how_to_use_it() {
    let output = remora(&[]);
    assert_eq!(code(&output), Some(1));
    one_line_of_error(&output, "no file is given");
    assert_eq!(code(&remora(&["-q", "--"])), Some(0));
}

#[test]
fn a_file_that_cannot_be_opened_ends_it() {
    for name in ["/no/such/file", "nosuch://thing", "rap://127.0.0.1:99999/"] {
        let output = remora(&["-qc", "p8 1", name]);
        assert_eq!((code(&output), out(&output).as_str()), (Some(1), ""), "{name}");
        one_line_of_error(&output, name);
    }
}

#[test]
fn a_failed_command_shows_in_the_status() {
    let output = remora(&["-qc", "nosuchcommand", "-"]);
    assert_eq!((code(&output), out(&output).as_str()), (Some(1), ""));
    one_line_of_error(&output, "nosuchcommand");
    let output = remora(&["-q", "-c", "p8 1 +", "-c", "p8 1", "-"]);
    assert_eq!(code(&output), Some(1), "a later line does not make up for it");
    assert!(out(&output).ends_with("00\n"));
}

#[test]
fn bad_values_are_one_line_each_and_do_not_stop_it() {
    for bad in ["-eno.such=1", "-eio.cache=perhaps", "-enothing", "-bmany", "-snowhere"] {
        let output = remora(&["-q", bad, "-c", "p8 1", "-"]);
        assert_eq!((code(&output), out(&output).as_str()), (Some(1), "00\n"), "{bad}");
        one_line_of_error(&output, "");
    }
    let output = remora(&["-q", "-mnowhere", "-c", "p8 1", "-"]);
    assert_eq!(code(&output), Some(1));
    one_line_of_error(&output, "nowhere");
    let output = remora(&["-q", "-i", "/no/such/script", "-"]);
    assert_eq!(code(&output), Some(1));
    one_line_of_error(&output, "/no/such/script");
}

#[test]
fn wrong_usage_is_status_two() {
    for bad in [&["-Z"][..], &["--nonsense"], &["a", "b"], &["-c"], &["--reference", "nothing"]] {
        let output = remora(bad);
        assert_eq!((code(&output), out(&output).as_str()), (Some(2), ""), "{bad:?}");
        assert!(!err(&output).is_empty(), "{bad:?}");
    }
}

#[test]
fn it_tells_about_itself() {
    let help = remora(&["-h"]);
    assert_eq!((code(&help), err(&help).as_str()), (Some(0), ""));
    for part in ["-c <COMMANDS>", "-e <KEY=VALUE>", "Exit status", "rap://"] {
        assert!(out(&help).contains(part), "{part}");
    }
    assert_eq!(out(&help), out(&remora(&["--help"])));
    let version = out(&remora(&["-v"]));
    assert!(version.starts_with("remora ") && version.contains(" @ ") && version.lines().count() == 1, "{version}");
    assert_eq!(out(&remora(&["-qv"])).trim(), env!("CARGO_PKG_VERSION"));
    assert!(out(&remora(&["-V"])).contains("malloc"));
}

#[test]
fn seek_map_and_settings_take_effect() {
    let directory = TempDir::new().unwrap();
    let data = file(&directory, "data", "abcd");
    assert_eq!(out(&remora(&["-qs", "2", "-c", "p8 2", &data])), "6364\n");
    assert_eq!(out(&remora(&["-qm", "0x1000", "-c", "p8 2", &data])), "6162\n");
    assert_eq!(out(&remora(&["-qm", "0x1000", "-s", "0x1002", "-c", "p8 2", &data])), "6364\n");
    assert_eq!(out(&remora(&["-qs", "8", "-e", "io.0xff=0", "-c", "p8 2", &data])), "0000\n");
    assert_eq!(out(&remora(&["-qs", "8", "-e", "io.0xff=0", "-eio.0xff=1", "-c", "p8 2", &data])), "0101\n");
}

#[test]
fn the_rc_file_runs_first_and_can_be_skipped() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("config/remora");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("rc"), "p8 1\n").unwrap();
    let with_rc = |home: &str, path: &Path, args: &[&str]| {
        out(&program().env(home, path).args(args).output().expect("the program runs"))
    };
    let folder = directory.path().join("config");
    assert_eq!(with_rc("XDG_CONFIG_HOME", &folder, &["-qc", "p8 2", "-"]), "00\n0000\n");
    assert_eq!(with_rc("XDG_CONFIG_HOME", &folder, &["-Nqc", "p8 2", "-"]), "0000\n");
    fs::rename(&folder, directory.path().join(".config")).unwrap();
    assert_eq!(with_rc("HOME", directory.path(), &["-qc", "p8 2", "-"]), "00\n0000\n");
}

#[test]
fn standard_input_is_a_script_without_prompts() {
    let output = fed(&["-"], "p8 1\n\np8 2\np8 3");
    assert_eq!((code(&output), out(&output).as_str(), err(&output).as_str()), (Some(0), "00\n0000\n000000\n", ""));
    assert_eq!(out(&fed(&["-q", "-"], "p8 1\n")), "00\n");
    assert_eq!(out(&fed(&["-qq", "-"], "p8 1\n")), "");
    assert_eq!(out(&fed(&["-qc", "p8 2", "-"], "p8 1\n")), "0000\n");
    assert_eq!(out(&fed(&["-c", "p8 2", "-"], "p8 1\n")), "0000\n00\n");
}

#[test]
fn answers_arrive_line_by_line() {
    let mut child = piped(&["-"]);
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..3 {
        input.write_all(b"p8 1\n").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "00\n");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn r2pipe_gets_a_nul_after_start_up_and_after_each_answer() {
    let output = fed(&["-q0", "-"], "p8 1\nnosuchcommand\np8 2\n");
    assert_eq!((code(&output), out(&output).as_str()), (Some(0), "\x0000\n\0\x000000\n\0"));
    one_line_of_error(&output, "nosuchcommand");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = piped(&["-qc", "p8 0x10000000", "-"]);
    let mut output = child.stdout.take().unwrap();
    let mut start = [0; 4];
    output.read_exact(&mut start).unwrap();
    drop(output);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((said.as_str(), child.wait().unwrap().code()), ("", Some(0)));
}

#[test]
fn a_full_disk_is_reported() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full can be opened");
    let output = program().args(["-qc", "p8 1", "-"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(code(&output), Some(1));
    one_line_of_error(&output, "No space left");
}

#[test]
fn a_server_says_where_it_listens_and_ends_on_a_signal() {
    let mut child = program().args(["rap://127.0.0.1:0"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("rap: listening at ").unwrap_or_else(|| panic!("{line}"));
    let address = address.split_whitespace().next().unwrap();
    assert!(std::net::TcpStream::connect(address).is_ok(), "{address}");
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn ctrl_c_ends_a_run_that_nobody_watches() {
    // Its first answer shows that it is under way.
    let mut child = piped(&["-c", "p8 1", "-"]);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut child = piped(&["-qc", "p8 0x4000000000", "-"]);
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 4]).unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    reader.join().unwrap().unwrap();
}

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("the program runs");
}

#[test]
fn pages_of_the_reference_match_the_tables() {
    for page in ["commands", "options", "plugins"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/{page}.md"));
        let written = fs::read_to_string(&path).unwrap_or_default();
        let made = remora::program::reference::page(page).expect("the page exists");
        assert!(written == made, "docs/{page}.md is out of date; 'cargo xtask docs' writes it");
    }
}
