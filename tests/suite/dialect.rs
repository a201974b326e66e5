//! Sessions of an older program of the family, run through this one: where the two differ, it is on purpose or known.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness;

/// One recorded session.
struct Recorded {
    /// `area: name`, with a number when that is not unique.
    name: String,
    file: String,
    args: Vec<String>,
    commands: String,
    expect: String,
}

fn recordings() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/examples/rizin-0.2-sessions.jsonl");
    path.exists().then_some(path)
}

fn load(path: &Path) -> Vec<Recorded> {
    let text = std::fs::read_to_string(path).expect("the recorded sessions can be read");
    let mut seen: HashMap<String, u32> = HashMap::new();
    text.lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).expect("every line is one JSON object");
            let field = |name: &str| row[name].as_str().unwrap_or_default().to_string();
            let mut name = format!("{}: {}", field("area"), field("name"));
            let count = seen.entry(name.clone()).and_modify(|count| *count += 1).or_insert(1);
            if *count > 1 {
                name.push_str(&format!(" ({count})"));
            }
            let args = field("args").split_whitespace().map(String::from).collect();
            Recorded { name, file: field("file"), args, commands: field("commands"), expect: field("expect") }
        })
        .collect()
}

/// What the program prints for the session, run in a directory of its own.
fn answer(session: &Recorded) -> String {
    let directory = tempfile::tempdir().expect("a directory for the session");
    let mut command: Command = harness::program();
    command.current_dir(directory.path());
    for option in ["scr.color=0", "scr.utf8=false", "scr.interactive=false"] {
        command.args(["-e", option]);
    }
    command.arg("-N").args(&session.args).args(["-Qc", &session.commands, &session.file]);
    let output = command.output().expect("the program starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn sessions_of_the_dialect() {
    let Some(path) = recordings() else {
        // Past the capture of the test runner, so that it shows.
        let _ = writeln!(std::io::stderr(), "ABSENT: the recorded sessions are not here, the dialect was not compared");
        return;
    };
    let sessions = load(&path);
    let known: HashMap<&str, &str> =
        DIFFERENT.iter().flat_map(|(reason, names)| names.iter().map(|name| (*name, *reason))).collect();
    assert_eq!(known.len(), DIFFERENT.iter().map(|(_, names)| names.len()).sum::<usize>(), "a name is listed twice");
    let mut wrong = Vec::new();
    for session in sessions.iter().filter(|session| !ELSEWHERE.contains(&session.name.as_str())) {
        let said = answer(session);
        match (said == session.expect, known.get(session.name.as_str())) {
            (true, None) | (false, Some(_)) => {}
            (true, Some(reason)) => {
                wrong.push(format!("{:?} is as expected now, but listed under {reason:?}", session.name));
            }
            (false, None) => wrong.push(format!(
                "{:?}\n  commands {:?}\n  expected {:?}\n  printed  {said:?}",
                session.name, session.commands, session.expect
            )),
        }
    }
    for name in known.keys().chain(ELSEWHERE) {
        assert!(sessions.iter().any(|session| session.name == *name), "no session is called {name:?}");
    }
    assert!(wrong.is_empty(), "{} of {} sessions:\n{}", wrong.len(), sessions.len(), wrong.join("\n"));
}

/// Sessions that run programs of the other family, or read files that were not recorded: what they print depends on
/// the machine.
const ELSEWHERE: &[&str] =
    &["cli: rizin -h", "cli: rizin shortcut", "cli: rizin empty -R", "write: wh", "shell: .spp", "shell: #!c"];

/// Sessions whose answer is another one here, with the reason.
const DIFFERENT: &[(&str, &[&str])] = &[
    ("needs data in listings (Cd)", &["pf: pf xxd print happy", "search: Rop search"]),
    ("needs file magic", &["search: cmd.hit for /B"]),
    (
        "needs analysis, registers or types",
        &[
            "loops: repeat registers",
            "pf: pfd.test E (elf_type)var0",
            "write: Write reanalysis keeps already unreachable block",
            "write: Write reanalysis of child of non-modified block",
        ],
    ),
    ("needs colour themes", &["eval: ansicon ecs", "eval: ecd and eco bright"]),
    ("our own help page", &["math: \"help help\""]),
    ("a defect: an empty line after the output of a task", &["shell: & + grep"]),
    ("a defect: numbers as text in JSON", &["pf: uleb type"]),
];
