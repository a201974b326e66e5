//! Core files as targets: the `d` commands look at what is left of a process, and nothing runs.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{address, debug, fixture, uri};
use crate::harness;

/// A core file of the fixture, stopped in its function `add`.
fn core(program: &Path, folder: &TempDir) -> PathBuf {
    let core = folder.path().join("core");
    let (_, err) = debug(&uri(program), &format!("dcu sym.add; dg {}", core.display()));
    assert!(err.contains(" bytes written to "), "{err}");
    core
}

fn look(uri: &str, line: &str) -> (String, String) {
    let output = harness::program().args(["-N", "-qc", line, uri]).output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_core_file_is_looked_at_like_the_process_it_was() {
    let Some(program) = fixture() else { return };
    let folder = TempDir::new().unwrap();
    let core = core(&program, &folder);
    let line =
        "dr rip; dr rdi; dr~rax?; dt~[6]; dm~commands; dmm~commands?; px 16 @ obj.glob; pd 2 @ rip; dp~?; dptq~?";
    let (living, _) = debug(&uri(&program), &format!("dcu sym.add; {line}"));
    for uri in [core.display().to_string(), format!("core://{}", core.display())] {
        let (out, err) = look(&uri, line);
        assert_eq!(err, "", "{uri}");
        assert_eq!(out, living, "{uri}");
    }
    let (out, err) = look(&core.display().to_string(), "s; di~exe; dr eip; dr zf; drr~rip?; dL~core");
    let add = address(&program, "add");
    assert!(out.starts_with(&format!("0x{add:x}\n")), "the seek is where it stopped: {out}{err}");
    assert!(out.contains("commands") && out.contains("* core"), "{out}");
    assert!(err.contains("no register is called 'eip'"), "{err}");
}

#[test]
fn a_core_file_does_not_run() {
    let Some(program) = fixture() else { return };
    let folder = TempDir::new().unwrap();
    let core = core(&program, &folder).display().to_string();
    for command in
        ["dc", "ds", "dso", "dcu main", "db main", "dr rax=1", "dk 9", "dp-", "dx 90", "dcs", "dxs getpid", "dpk"]
    {
        let (out, err) = look(&core, &format!("{command}; dr rip~?"));
        let refused = err.lines().filter(|line| line.starts_with("Error: ") && line.contains("core file"));
        assert_eq!(refused.count(), 1, "{command}: {err}");
        assert_eq!(out, "1\n", "{command}");
    }
    let (_, err) = look(&core, "doo");
    assert!(err.contains("a core file cannot be started"), "{err}");
}

#[test]
fn what_is_no_core_file_is_no_target() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    for bytes in [&b""[..], b"\x7fELF", b"nothing of the kind", &[0; 64]] {
        std::fs::write(&file, bytes).unwrap();
        let (_, err) = look(&format!("core://{}", file.display()), "dr");
        assert!(err.contains("neither an ELF core file nor a minidump"), "{err}");
    }
    let (_, err) = look("core://rap://127.0.0.1:1//x", "dr");
    assert!(err.contains("about a file of this machine"), "{err}");
}

#[test]
fn a_damaged_core_file_costs_a_line() {
    let Some(program) = fixture() else { return };
    let folder = TempDir::new().unwrap();
    let core = core(&program, &folder);
    let whole = std::fs::read(&core).unwrap();
    let file = folder.path().join("damaged");
    for length in [64, 200, 1000, 4096, 5000, 9000, whole.len() / 2] {
        std::fs::write(&file, &whole[..length.min(whole.len())]).unwrap();
        let output =
            harness::program().args(["-N", "-qc", "dr rip; dt; dm~?; px 4 @ rsp"]).arg(&file).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code().is_some_and(|code| code < 2), "{length}: {err}");
        assert!(err.lines().count() < 8, "{length}: {err}");
    }
}
