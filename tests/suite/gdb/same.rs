//! The same session of gdb at our server and at gdbserver says the same.
//!
//! What is made alike first, because it is another process each time: process numbers, ports, addresses of the stack
//! (gdbserver starts programs through a shell, which adds to the environment) and what depends on them. One thing
//! differs by itself and is left out of the sessions: `pkru` and the AVX-512 registers, which gdbserver 13 reads past
//! the end of its buffer on processors with AMX.

use std::io::Read;
use std::process::{Command, Stdio};

use regex::Regex;

use super::{Server, fixture, gdb, has, ready};

/// The words behind the program, and the commands.
const SESSIONS: [(&[&str], &[&str]); 7] = [
    (
        &["count"],
        &[
            "info auxv",
            "break square if x == 6",
            "continue",
            "print x",
            "bt",
            "finish",
            "print square(9)",
            "watch counter",
            "continue",
            "rwatch counter",
            "continue",
            "delete",
            "awatch counter",
            "continue",
            "delete",
            "x/4i $pc",
            "show architecture",
            "tbreak printf",
            "continue",
            "info registers",
            "stepi",
            "nexti",
            "info sharedlibrary",
            "continue",
            "print $_exitcode",
        ],
    ),
    (
        &["signal"],
        &["continue", "print $_siginfo.si_signo", "bt 2", "break on_signal", "continue", "finish", "continue"],
    ),
    (&["fork"], &["catch fork", "break in_parent", "break in_child", "continue", "continue", "continue"]),
    (
        &["fork"],
        &["set follow-fork-mode child", "break in_parent", "break in_child", "continue", "print x", "continue"],
    ),
    (
        &["exec"],
        &["catch exec", "continue", "break square if x == 5", "continue", "print x", "info sharedlibrary", "kill"],
    ),
    (&["count"], &["catch syscall write", "continue", "bt 1", "continue", "info registers rax orig_rax", "detach"]),
    (&["threads"], &["break square if x == 12", "continue", "print x", "delete", "continue"]),
];

/// Without what no two runs have in common.
fn alike(text: &str) -> String {
    let mut text = text.to_string();
    for (pattern, instead) in [
        (r"0x7ff[0-9a-f]{9}", "STACK"),
        (r"STACK +\d{15}\b", "STACK"),
        (r"(?m)^(eflags|rcx|r8|r9|r10|r11|r12|fs_base|k\d) .*$", "$1"),
        (r"\b(pid|process|Process|port|Thread|LWP) ?=? ?[0-9.]+", "$1 N"),
        (r":[0-9]{4,5}\b", ":PORT"),
        // Threads come when they like.
        (r"(?m)^\[(New Thread|Switching to Thread).*\n", ""),
        (r"(?m)^Thread N .* hit", "Thread N hit"),
        (r"(?m)^Thread \d+ ", "Thread "),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, instead).into_owned();
    }
    text
}

/// gdb at a server that these words start: what both said.
fn session(words: &[&str], arguments: &[&str], commands: &[&str]) -> String {
    let program = fixture().to_str().unwrap();
    let mut command = match words {
        [] => {
            let mut command = crate::harness::program();
            command.arg("gdbserver");
            command
        }
        [name, ..] => Command::new(name),
    };
    command.args(["127.0.0.1:0", program]).args(arguments);
    let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut server, said) = Server::listening(process);
    let target = format!("target remote 127.0.0.1:{}", server.port);
    let gdb = gdb(Some(fixture()), &[&[target.as_str()], commands].concat());
    let mut output = String::new();
    server.process.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    server.reader.take().unwrap().join().unwrap();
    let said: Vec<String> = said.lock().unwrap().clone();
    alike(&format!("{gdb}\n--- server\n{}\n--- output\n{output}", said.join("\n")))
}

#[test]
fn gdb_sees_the_same_as_at_gdbserver() {
    if !ready() || !has("gdbserver") {
        return;
    }
    for (arguments, commands) in SESSIONS {
        let ours = session(&[], arguments, commands);
        let peer = session(&["gdbserver"], arguments, commands);
        assert_eq!(ours, peer, "{arguments:?} {commands:?}");
    }
}
