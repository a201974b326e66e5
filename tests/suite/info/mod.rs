//! What object files say, compared with the programs of binutils, and over a far line.

mod agreement;
mod damaged;
mod far;
mod formats;
mod loading;
mod parts;

use std::path::{Path, PathBuf};
use std::process::Command;

use remora::io::Open;
use remora::session::{Load, Session};
use remora::uri::Uri;
use serde_json::Value;

use crate::harness::run;

/// A session with the file at `path` loaded as the program loads it.
pub fn loaded(path: &Path) -> Session {
    let mut session = Session::new();
    session.with(|core, view| {
        let fd = core.io.open(&Uri::parse(&path.to_string_lossy()), &Open::default()).unwrap();
        view.seek = core.load(fd, Load { known: true, ..Load::default() }).unwrap().unwrap_or(0);
    });
    session
}

/// The JSON that `line` prints.
pub fn json(session: &mut Session, line: &str) -> Value {
    let said = run(session, line);
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{line}: {error}: {said:?}"))
}

/// What `program` prints about `path`; `None`: it is not installed.
pub fn tool(program: &str, args: &[&str], path: &Path) -> Option<String> {
    let output = Command::new(program).args(args).arg(path).env("LC_ALL", "C").output();
    match output {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => {
            absent(program, &error.to_string());
            None
        }
    }
}

/// Says, past the capture of the test runner, what was not tested.
pub fn absent(what: &str, why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "ABSENT: {what} ({why})");
}

/// The files of other machines that `cargo xtask samples` unpacks under target/peers/samples.
pub fn samples(endings: &[&str]) -> Vec<PathBuf> {
    fn walk(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => walk(&path, endings, found),
                Ok(kind) if kind.is_file() && endings.iter().any(|ending| path.ends_with(ending)) => found.push(path),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/samples"), endings, &mut found);
    found.sort();
    if found.is_empty() {
        absent(&endings.join(", "), "'cargo xtask samples' fetches files of other machines");
    }
    found
}

/// A C program built by `gcc` with `args`; `None`: it cannot be.
pub fn built(folder: &Path, name: &str, args: &[&str]) -> Option<PathBuf> {
    let source = folder.join("source.c");
    std::fs::write(&source, SOURCE).unwrap();
    let path = folder.join(name);
    let output = Command::new("gcc").args(args).arg("-o").arg(&path).arg(&source).output();
    match output {
        Ok(output) if output.status.success() => Some(path),
        Ok(output) => {
            absent(name, String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("gcc fails"));
            None
        }
        Err(error) => {
            absent("gcc", &error.to_string());
            None
        }
    }
}

const SOURCE: &str = r#"
int visible = 5;
static int hidden[4];
extern int elsewhere(int) __attribute__((weak));
__attribute__((noinline)) int helper(int a) { return a * visible + hidden[a & 3]; }
__attribute__((constructor)) static void before(void) { hidden[1] = 3; }
int main(int count, char **words) { hidden[0] = count; return helper(count) + (elsewhere ? elsewhere(1) : 0); }
void _start_here(void) { main(0, 0); }
"#;
