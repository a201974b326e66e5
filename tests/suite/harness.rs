//! What tests share: sessions in this process, and the program in processes of its own.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use remora::io::{Access, Open};
use remora::output::{Cancel, Executor, Out, Style};
use remora::session::Session;
use remora::uri::Uri;

/// What a line printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The answer.
    pub out: String,
    /// Errors and notes.
    pub err: String,
}

/// A session with `uri` open for reading and writing, mapped at 0, seek 0.
pub fn session(uri: &str) -> Session {
    let mut session = Session::new();
    let open = Open { access: Access::RWX, ..Open::default() };
    session.with(|core, _| {
        let fd = core.io.open(&Uri::parse(uri), &open).expect("the test's file opens");
        core.io.map_whole(fd, 0).expect("it maps");
    });
    session
}

/// Runs `text` (lines) in `session`.
pub fn run(session: &mut Session, text: &str) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let outcome = session.execute(text, &mut Out::new(&mut out, &mut err, Style::default(), Cancel::new()));
    let mut err = String::from_utf8_lossy(&err).into_owned();
    if let Err(error) = outcome
        && err.is_empty()
    {
        err = format!("Error: {error}\n");
    }
    Said { out: String::from_utf8_lossy(&out).into_owned(), err }
}

/// Runs `text` on a new `malloc://512` and returns what it printed, without errors.
pub fn shell(text: &str) -> String {
    let said = run(&mut session("malloc://512"), text);
    assert_eq!(said.err, "", "{text}");
    said.out
}

/// The program itself, without the user's own start-up commands and history.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_remora"));
    command.env_remove("REMORA_TOKEN").env("NO_COLOR", "1").env("HOME", "/nonexistent").stdin(Stdio::null());
    command
}

/// Runs the program with `args` and waits for its end.
pub fn remora(args: &[&str]) -> Output {
    program().args(args).output().expect("the program starts")
}

/// radare2, without colours and the user's own start-up: the one that REMORA_RADARE2 names, on the PATH, or under
/// target/peers.
pub fn radare2() -> Option<Command> {
    let named = std::env::var_os("REMORA_RADARE2").map(PathBuf::from);
    let local = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/radare2/radare2");
    let found = named.into_iter().chain([PathBuf::from("radare2"), local]).find(|program| {
        let version = Command::new(program).arg("-v").stdin(Stdio::null()).output();
        version.is_ok_and(|version| version.status.success())
    });
    let mut command = Command::new(found?);
    command.args(["-N", "-e", "scr.color=0"]).env("HOME", "/nonexistent").stdin(Stdio::null()).stderr(Stdio::null());
    Some(command)
}
