//! Servers that are started from a prompt.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use remora::output::{Executor, Out, Style};
use serde_json::Value;

use super::{Process, asked, host, place, typed, until};
use crate::harness::{run, session};

/// How long a client of the command server may be silent within a command.
const SILENCE: Duration = Duration::from_millis(150);

#[test]
fn clients_share_what_is_open_and_keep_their_own_place() {
    let mut there = host();
    let at = place(&run(&mut there, "s 0x10;b 8;=&r 0").out);
    let mut here = session("malloc://16");
    run(&mut here, &format!("=+ rap://{at}/;=+ rap://{at}/"));
    // They begin where the prompt was, and go their own ways.
    assert_eq!(run(&mut here, "=0 s;=0 b~8").out, "0x10\n0x8\n");
    run(&mut here, "=0 s 0x20;=1 s 0x30;=0 b 4");
    run(&mut there, "s 0x40;f mine=0x11;(m; ?e macro)");
    assert_eq!(run(&mut here, "=0 s;=1 s;=1 b~8").out, "0x20\n0x30\n0x8\n");
    assert_eq!(there.view.seek, 0x40);
    // Flags, macros and bytes are everybody's.
    assert_eq!(run(&mut here, "=0 f theirs=0x22;=1 f~theirs;=1 .(m);=1 w abc").out, "0x00000022 1 theirs\nmacro\n");
    assert_eq!(run(&mut there, "f~theirs;p8 3 @ 0x30").out, "0x00000022 1 theirs\n616263\n");
    // Options are not.
    run(&mut here, "=0 e hex.cols=4");
    assert_eq!(run(&mut there, "e hex.cols").out, "16\n");
}

#[test]
fn a_file_that_a_client_opens_is_in_nobodys_way() {
    let mut there = host();
    let at = place(&run(&mut there, "w here;=&r 0").out);
    let mut here = session("malloc://16");
    run(&mut here, &format!("=+ rap://{at}/hex://41424344"));
    assert_eq!(run(&mut here, "=0 p8 4").out, "41424344\n");
    assert_eq!(run(&mut there, "ps 4;o~?").out, "here\n2\n");
    run(&mut here, "=-");
    until("the client's file is closed", || run(&mut there, "o~?").out == "1\n");
}

#[test]
fn servers_are_listed_and_stopped_and_clients_disconnected() {
    let mut there = host();
    let rap = place(&run(&mut there, "=&r 0").out);
    let tcp = place(&run(&mut there, "R&t :0").out);
    let mut here = session("malloc://16");
    run(&mut here, &format!("=+ rap://{rap}/"));
    let list = run(&mut there, "=l").out;
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!((lines[0], lines[2]), (format!("0 - rap://{rap}/").as_str(), format!("1 - tcp://{tcp}/").as_str()));
    assert!(lines[1].starts_with("    client ") && lines[1].contains(" from 127.0.0.1:"), "{list}");
    let json: Value = serde_json::from_str(&run(&mut there, "=lj").out).unwrap();
    let client = json[0]["clients"][0]["id"].as_u64().unwrap();
    // A client sees the same list.
    assert_eq!(run(&mut here, "=0 =l~tcp").out, format!("1 - tcp://{tcp}/\n"));
    assert!(run(&mut here, "= =l").out.contains(&format!("1 - tcp://{tcp}/")));
    assert!(run(&mut there, "=lk 99999").err.starts_with("Error: no client 99999 is here"));
    assert_eq!(run(&mut there, &format!("=lk {client}")).err, "");
    until("the client is gone", || run(&mut there, "=l~client").out.is_empty());
    assert_eq!(run(&mut there, "=l- 0;=l").out, format!("1 - tcp://{tcp}/\n"));
    assert!(TcpStream::connect(&rap).is_err());
    assert!(run(&mut there, "=l- 0").err.starts_with("Error: no server 0 runs here"));
    drop(there);
    assert!(TcpStream::connect(&tcp).is_err(), "servers end with their session");
}

#[test]
fn clients_may_not_start_or_stop_servers() {
    let mut there = host();
    let at = place(&run(&mut there, "=&r 0").out);
    let mut here = session("malloc://16");
    run(&mut here, &format!("=+ rap://{at}/"));
    for line in ["=&r 0", "=r 0", "=t 0", "=l- 0", "=lk 0", "=t 1 px"] {
        let said = run(&mut here, &format!("=0 {line}")).err;
        assert!(said.starts_with("Error: ") && said.contains("not permitted"), "{line}: {said}");
    }
}

#[test]
fn a_server_in_the_foreground_tells_who_comes_and_ends_with_ctrl_c() {
    let (sender, said) = channel();
    let cancel = remora::output::Cancel::new();
    let stop = cancel.clone();
    struct Sink(std::sync::mpsc::Sender<String>);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.send(String::from_utf8_lossy(bytes).into_owned()).map_err(std::io::Error::other)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let serving = std::thread::spawn(move || {
        let (mut out, mut errors) = (Sink(sender.clone()), Sink(sender));
        let mut there = host();
        let outcome = there.execute("=r 0", &mut Out::new(&mut out, &mut errors, Style::default(), cancel));
        (outcome.is_ok(), there.core().servers.list().len())
    });
    let mut text = String::new();
    let mut wait = |word: &str| {
        while !text.contains(word) {
            text.push_str(&said.recv_timeout(Duration::from_secs(60)).unwrap());
        }
        text.clone()
    };
    wait("listening at ");
    let at = place(&wait("\n"));
    let mut here = session("malloc://16");
    let asked = run(&mut here, &format!("=r {at} p8 2"));
    assert_eq!((asked.out.as_str(), asked.err.as_str()), ("0000\n", ""));
    wait(" is here\n");
    wait(" has left\n");
    stop.set();
    assert_eq!(serving.join().unwrap(), (true, 0));
}

#[test]
fn commands_end_by_line_end_by_half_close_and_by_silence() {
    let mut there = host();
    let at = place(&run(&mut there, "s 0x10;=&t 0").out);
    assert_eq!(asked(&at, b"s\n", false), "0x10\n");
    assert_eq!(asked(&at, b"s\r\n", false), "0x10\n");
    assert_eq!(asked(&at, b"s\n\0", false), "0x10\n");
    assert_eq!(asked(&at, b"s", true), "0x10\n");
    assert_eq!(asked(&at, b"s", false), "0x10\n");
    // Who has said all that it wants to say still waits for the answer, however long that takes.
    assert_eq!(asked(&at, b"sleep 0.3;?e awake\n", true), "awake\n");
    assert_eq!(asked(&at, b"?e a\n?e b;?e c\n", false), "a\nb\nc\n");
    assert_eq!(asked(&at, b"?e a\n?e b", false), "a\nb\n");
    assert_eq!(asked(&at, b"f x=1\n", false), "\n");
    assert_eq!(asked(&at, b"\n", false), "\n");
    assert_eq!(asked(&at, b"", true), "");
    assert!(asked(&at, b"quux;?e on\n", false).ends_with("\non\n"));
    assert!(asked(&at, b"?e a(b\n", false).starts_with("Error: syntax error"));
    // Clients share a place, which is not the prompt's.
    assert_eq!(asked(&at, b"s 0x20\n", false) + &asked(&at, b"s\n", false), "\n0x20\n");
    assert_eq!(there.view.seek, 0x10);
    // `q` is the client's own business.
    assert_eq!(asked(&at, b"q\n", false) + &asked(&at, b"?e still\n", false), "\nstill\n");
}

#[test]
fn a_command_in_pieces_is_put_together_and_others_are_served_meanwhile() {
    let mut there = host();
    let at = place(&run(&mut there, "=&t 0").out);
    let in_pieces = || {
        let mut slow = TcpStream::connect(&at).unwrap();
        slow.set_nodelay(true).unwrap();
        let mut longest = Duration::ZERO;
        for piece in [&b"?e"[..], b" on", b"e"] {
            let begun = Instant::now();
            slow.write_all(piece).unwrap();
            assert_eq!(asked(&at, b"?e other\n", false), "other\n");
            longest = longest.max(begun.elapsed());
        }
        // Whoever was silent for too long has said all, so there may be nobody to take the rest.
        let _ = slow.write_all(b"!\n");
        let mut text = String::new();
        let _ = slow.read_to_string(&mut text);
        (text, longest)
    };
    // On a busy machine this client itself may be the one that is too slow.
    let (text, _) = std::iter::repeat_with(in_pieces).find(|(_, longest)| *longest < SILENCE / 2).unwrap();
    assert_eq!(text, "one!\n");
    // A stream of bytes without an end is cut off, and the server goes on.
    let mut flood = TcpStream::connect(&at).unwrap();
    let chunk = vec![b'a'; 1 << 16];
    while flood.write_all(&chunk).is_ok() {}
    assert_eq!(asked(&at, b"?e other\n", false), "other\n");
}

#[test]
fn the_command_of_a_client_that_broke_off_ends() {
    let mut there = host();
    let at = place(&run(&mut there, "=&t 0").out);
    let mut client = TcpStream::connect(&at).unwrap();
    client.write_all(b"sleep 3600\n").unwrap();
    until("the client is here", || !run(&mut there, "=l~client").out.is_empty());
    // Closing resets the connection.
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    until("its command has ended", || run(&mut there, "=l~client").out.is_empty());
}

#[test]
fn clients_that_close_while_their_commands_run_leave_nothing_behind() {
    let mut there = host();
    let at = place(&run(&mut there, "=&t 0").out);
    for _ in 0..8 {
        // Nothing was left unread: this is a goodbye, which shows only when something is written.
        TcpStream::connect(&at).unwrap().write_all(b"sleep 0.1; p8 16; sleep 0.1\n").unwrap();
    }
    assert_eq!(asked(&at, b"?e still here\n", false), "still here\n");
    until("all clients are gone", || run(&mut there, "=l~client").out.is_empty());
}

#[test]
fn the_log_of_a_tcp_server_has_its_commands() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit");
    let mut there = host();
    let at = place(&run(&mut there, &format!("=&t 0 --read-only --audit {}", path.display())).out);
    assert_eq!(asked(&at, b"p8 4\n", false), "00000000\n");
    assert!(asked(&at, b"w x\n", false).contains("not permitted"));
    run(&mut there, "=l- 0");
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ran: Vec<&Value> = lines.iter().filter(|line| line["event"] == "command").collect();
    assert_eq!(
        (ran[0]["what"].as_str(), ran[0]["read"].as_u64(), ran[0]["result"].as_str()),
        (Some("p8 4"), Some(9), Some("ok"))
    );
    assert!(ran[1]["result"].as_str().unwrap().contains("not permitted"), "{text}");
}

#[test]
fn the_program_serves_tcp_without_a_prompt() {
    let server = Process::serve(&["tcp://:0"]);
    assert_eq!(asked(&server.place, b"o malloc://16;s 4;p8 2\n", false), "0000\n");
    assert_eq!(asked(&server.place, b"s\n", false), "0x4\n");
    let said = typed(&["-N", "-q", "-"], &format!("=t {} s\n=t :{} s\n", server.place, super::port(&server.place)));
    assert_eq!(said.out, "0x4\n0x4\n", "{said:?}");
}

/// nc, when it is installed.
pub fn nc() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|folder| folder.join("nc")).find(|file| file.is_file());
    if found.is_none() {
        // Past the capture of the test harness, so that it is seen in every run.
        let _ = writeln!(std::io::stderr(), "absent: nc");
    }
    found
}

#[test]
fn nc_drives_the_server() {
    let Some(nc) = nc() else { return };
    let mut there = host();
    let at = place(&run(&mut there, "=&t 0").out);
    let port = super::port(&at);
    let mut child =
        Command::new(nc).args(["127.0.0.1", port]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"?e hi; p8 4\n").unwrap();
    drop(stdin);
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    assert_eq!(text, "hi\n00000000\n");
}

#[test]
fn r2pipe_drives_the_server() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/python/bin/python");
    let python = [python, PathBuf::from("python3")].into_iter().find(|python| {
        let check = Command::new(python).args(["-c", "import r2pipe"]).stderr(Stdio::null()).status();
        check.is_ok_and(|status| status.success())
    });
    let Some(python) = python else {
        let _ = writeln!(std::io::stderr(), "absent: r2pipe (python)");
        return;
    };
    let mut there = host();
    let at = place(&run(&mut there, "w hello;=&t 0").out);
    let script = "import sys, r2pipe
for command in ['ps 5', 'pxj 4', 's 0x10', 's']:
    print(repr(r2pipe.open('tcp://' + sys.argv[1]).cmd(command)))";
    let output = Command::new(python).args(["-c", script, &at]).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<String> = text.lines().map(|line| line.replace("\\n", "")).collect();
    assert_eq!(lines, ["'hello'", "'[104,101,108,108]'", "''", "'0x10'"], "{text}{errors}");
}
