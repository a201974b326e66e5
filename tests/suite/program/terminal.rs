//! The prompt at a real terminal, which `script` makes.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program at a terminal of its own, with a home of its own.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Receiver<Vec<u8>>,
    seen: Vec<u8>,
    home: TempDir,
}

impl Terminal {
    /// `None` when this machine has no `script`, which the test's output then says.
    fn start(args: &str) -> Option<Terminal> {
        let home = TempDir::new().expect("a home can be made");
        // A shell that stays between would get each Ctrl-C, too, and some end with its status.
        let line = format!("exec {} {args}", env!("CARGO_BIN_EXE_remora"));
        let started = Command::new("script")
            .args(["-qefc", &line, "/dev/null"])
            .env("HOME", home.path())
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                eprintln!("ABSENT: script ({error}); the prompt is not tested at a terminal");
                return None;
            }
        };
        let keys = child.stdin.take().expect("script reads keys");
        let mut output = child.stdout.take().expect("script shows a screen");
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Some(Terminal { child, keys, screen, seen: Vec::new(), home })
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits until `text` appears behind everything that was waited for before. Answers where the cursor is, as
    /// terminals do when they are asked.
    fn wait_for(&mut self, text: &str) {
        const WHERE: &[u8] = b"\x1b[6n";
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = position(&self.seen, text.as_bytes()) {
                self.seen.drain(..at + text.len());
                return;
            }
            match self.screen.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => {
                    // A question may arrive in two pieces, so the end of what came before counts.
                    let from = self.seen.len().saturating_sub(WHERE.len() - 1);
                    self.seen.extend_from_slice(&bytes);
                    let questions = self.seen[from..].windows(WHERE.len()).filter(|part| *part == WHERE).count();
                    for _ in 0..questions {
                        self.press("\x1b[1;1R");
                    }
                }
                Err(error) => {
                    let why = if error == RecvTimeoutError::Timeout { "does not appear" } else { "never appeared" };
                    panic!("{text:?} {why}: {}", String::from_utf8_lossy(&self.seen).escape_debug());
                }
            }
        }
    }

    /// The exit status, once everything on the screen was read.
    fn end(&mut self) -> Option<i32> {
        while let Ok(bytes) = self.screen.recv_timeout(PATIENCE) {
            self.seen.extend_from_slice(&bytes);
        }
        self.child.wait().expect("script ends").code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended by itself unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[test]
fn a_session_at_the_prompt() {
    let Some(mut terminal) = Terminal::start("-") else { return };
    terminal.wait_for("[0x00000000]> ");
    terminal.press("p8 4\r");
    terminal.wait_for("\n\x1b[?2004l00000000\r\n");
    terminal.wait_for("[0x00000000]> ");
    // The prompt is painted anew for each key: what comes behind the end of the paste mode is a new one.
    terminal.press("p8 99\x03");
    terminal.wait_for("\x1b[?2004l");
    terminal.wait_for("[0x00000000]> ");
    terminal.press("s 0x10\r");
    terminal.wait_for("[0x00000010]> ");
    // Ctrl-C ends the command and not the program.
    terminal.press("p8 0x4000000000\r");
    terminal.wait_for("0000000000000000");
    terminal.press("\x03");
    terminal.wait_for("interrupted");
    terminal.wait_for("[0x00000010]> ");
    terminal.press("p8 3\r");
    terminal.wait_for("000000\r\n");
    terminal.wait_for("[0x00000010]> ");
    terminal.press("\x04");
    assert_eq!(terminal.end(), Some(0));
    let history = terminal.home.path().join(".local/state/remora/history");
    assert_eq!(std::fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
    let lines = std::fs::read_to_string(&history).unwrap();
    assert_eq!(lines.lines().collect::<Vec<_>>(), ["p8 4", "s 0x10", "p8 0x4000000000", "p8 3"]);
}

#[test]
fn long_work_shows_how_far_it_is() {
    let Some(mut terminal) = Terminal::start("-") else { return };
    terminal.wait_for("[0x00000000]> ");
    terminal.press("ph sha256 0x4000000000\r");
    terminal.wait_for("reading [");
    terminal.wait_for(" of 256.00 GiB");
    terminal.press("\x03");
    terminal.wait_for("interrupted");
    terminal.wait_for("[0x00000000]> ");
    // Whoever sees output needs no bar.
    terminal.press("p8 0x4000000000\r");
    terminal.wait_for("0000000000000000");
    terminal.press("\x03");
    terminal.wait_for("interrupted");
    terminal.wait_for("[0x00000000]> ");
    terminal.press("\x04");
    assert_eq!(terminal.end(), Some(0));
}
