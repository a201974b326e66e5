//! Security: who is let in, what is trusted, what may be done, and what is written down about it.

mod audit;
mod hostile;
mod permissions;
mod roots;
mod tokens;
mod trust;
mod unix;

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use remora::error::{Error, Kind, Result};
use remora::io::plugin;
use remora::io::{Access, Device, Open};
use remora::link::Security;
use remora::output::{Cancel, Out, Style};
use remora::serve::{self, ServeOptions, Server};
use remora::session::Permissions;
use remora::uri::Uri;

use crate::harness::Said;

/// A server that ends with the value, and the directory where it keeps its keys and its clients their records.
struct Guarded {
    server: Server,
    thread: Option<JoinHandle<()>>,
    scheme: &'static str,
    directory: tempfile::TempDir,
}

impl Guarded {
    /// A server on a free port of this machine; `change` adds to its options.
    fn start(scheme: &'static str, change: impl FnOnce(&mut ServeOptions)) -> Guarded {
        let directory = tempfile::tempdir().unwrap();
        let mut options = ServeOptions {
            permissions: Permissions::ALL,
            state: Some(directory.path().join("state")),
            audit: Some(directory.path().join("audit.jsonl")),
            ..ServeOptions::default()
        };
        change(&mut options);
        let uri = match scheme {
            "rap+unix" => format!("rap+unix://{}/socket", directory.path().display()),
            scheme => format!("{scheme}://127.0.0.1:0"),
        };
        let server = serve::listen(&Uri::parse(&uri), options).unwrap();
        let running = server.clone();
        let thread = Some(std::thread::spawn(move || running.run()));
        Guarded { server, thread, scheme, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The URI of `file` at this server.
    fn uri(&self, file: &str) -> String {
        match self.scheme {
            "rap+unix" => format!("rap+unix://{}//{file}", self.path("socket").display()),
            scheme => format!("{scheme}://{}/{file}", self.server.address()),
        }
    }

    /// What a client trusts that knows nothing but new hosts, and presents the server's own token.
    fn trusting(&self) -> Security {
        Security {
            known_hosts: Some(self.path("known_hosts")),
            first_use: true,
            token_file: Some(self.path("state/token")),
            ..Security::default()
        }
    }

    fn open(&self, file: &str, security: Security) -> Result<Box<dyn Device>> {
        open(&self.uri(file), security)
    }

    /// The error of opening `file`.
    fn refusal(&self, file: &str, security: Security) -> Error {
        self.open(file, security).err().expect("it must be refused")
    }

    /// The lines of the audit log, once the server has stopped and so written the last.
    fn audited(mut self) -> Vec<serde_json::Value> {
        self.stop();
        let text = std::fs::read_to_string(self.path("audit.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn stop(&mut self) {
        self.server.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.stop();
    }
}

fn open(uri: &str, security: Security) -> Result<Box<dyn Device>> {
    plugin::open(&Uri::parse(uri), &Open { access: Access::RX, security, ..Open::default() })
}

/// Runs `line` at the other end.
fn run_there(device: &mut dyn Device, line: &str) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let executor = device.executor().expect("it runs commands");
    let outcome = executor.execute(line, &mut Out::new(&mut out, &mut err, Style::default(), Cancel::new()));
    let mut err = String::from_utf8_lossy(&err).into_owned();
    if let Err(error) = outcome {
        err.push_str(&format!("Error: {error}\n"));
    }
    // The old protocol has no place for errors but the answer.
    Said { out: String::from_utf8_lossy(&out).into_owned(), err }
}

/// What `line` printed at the other end, errors and all.
fn text_there(device: &mut dyn Device, line: &str) -> String {
    let said = run_there(device, line);
    said.out + &said.err
}

fn read_text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn nothing_is_served_to_strangers_by_accident() {
    let listen = |uri: &str, options: ServeOptions| serve::listen(&Uri::parse(uri), options).err().unwrap();
    let here = tempfile::tempdir().unwrap();
    let options = || ServeOptions { state: Some(here.path().into()), ..ServeOptions::default() };
    let error = listen("rap://0.0.0.0:0", options());
    assert_eq!(error.kind(), Kind::Permission);
    let text = error.to_string();
    assert!(text.contains("raps://0.0.0.0:0") && text.contains("--insecure"), "{text}");
    assert_eq!(listen("rap://[::]:0", options()).kind(), Kind::Permission);
    let token = || ServeOptions { token_file: Some(here.path().join("token")), ..options() };
    assert!(listen("rap://127.0.0.1:0", token()).to_string().contains("raps://"), "no token in the clear");
    assert!(!here.path().join("token").exists(), "what is refused makes nothing");
    // With both it listens anywhere, and with --insecure too.
    assert!(serve::listen(&Uri::parse("raps://0.0.0.0:0"), options()).is_ok());
    let insecure = ServeOptions { insecure: true, ..options() };
    assert!(serve::listen(&Uri::parse("rap://0.0.0.0:0"), insecure).is_ok());
}
