//! The web door: API, security, pipes, and the page in a real browser.

mod api;
mod browser;
mod door;
mod page;
mod panels;
mod peers;
mod process;
mod security;
mod socket;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use remora::session::Session;
use serde_json::Value;

use crate::harness;

/// The token of these servers.
pub const TOKEN: &str = "00112233445566778899aabbccddeeff";
/// One that may only read.
pub const READER: &str = "ffeeddccbbaa99887766554433221100";

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A web server in this process, for as long as it lives.
pub struct Web {
    /// The prompt's session.
    pub session: Session,
    /// Where it listens.
    pub address: SocketAddr,
    /// What was said when it started.
    pub said: String,
    _state: tempfile::TempDir,
}

/// A status, the head, and the body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim().to_string())
    }
}

impl Web {
    /// A server on `uri`, after the lines `before`, with further `flags`.
    pub fn with(uri: &str, before: &str, flags: &str) -> Web {
        let state = tempfile::tempdir().unwrap();
        let tokens = state.path().join("tokens");
        std::fs::write(&tokens, format!("{TOKEN} * tester\n{READER} read reader\n")).unwrap();
        std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut session = harness::session(uri);
        remora::serve::offer(&mut session);
        if !before.is_empty() {
            assert_eq!(harness::run(&mut session, before).err, "");
        }
        let line = format!("=h& 127.0.0.1:0 --token-file {} {flags}", tokens.display());
        let said = harness::run(&mut session, &line);
        let address = said.out.split("listening at ").nth(1).and_then(|text| text.trim().parse().ok());
        let address = address.unwrap_or_else(|| panic!("{said:?}"));
        Web { session, address, said: said.out + &said.err, _state: state }
    }

    pub fn new() -> Web {
        Web::with("malloc://4096", "", "")
    }

    /// Sends `bytes` on a connection of their own and reads to its end.
    pub fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // A server that has made up its mind may have closed already.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    /// A request with `headers` (lines) and `body`.
    pub fn ask(&self, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut request = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
            request.push_str(&format!("Host: {}\r\n", self.address));
        }
        for line in headers {
            request.push_str(line);
            request.push_str("\r\n");
        }
        if method == "POST" {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        answer(&self.raw(&[request.as_bytes(), body].concat()))
    }

    pub fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[&bearer(TOKEN)], b"")
    }

    pub fn post(&self, target: &str, body: &Value) -> Answer {
        self.post_as(TOKEN, target, body)
    }

    pub fn post_as(&self, token: &str, target: &str, body: &Value) -> Answer {
        let headers = [bearer(token), "Content-Type: application/json".to_string()];
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        self.ask("POST", target, &headers, body.to_string().as_bytes())
    }

    /// Runs a line at the prompt that started the server.
    pub fn prompt(&mut self, line: &str) -> String {
        harness::run(&mut self.session, line).out
    }

    /// The code in the URL that was printed.
    pub fn code(&self) -> String {
        self.said.split("#code=").nth(1).unwrap().split_whitespace().next().unwrap().to_string()
    }
}

pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// Takes an answer apart, chunks included.
pub fn answer(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
    let mut body = bytes[end + 4..].to_vec();
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        let (mut rest, mut whole) = (&body[..], Vec::new());
        while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
            let size = usize::from_str_radix(&String::from_utf8_lossy(&rest[..line]), 16).unwrap();
            if size == 0 {
                break;
            }
            whole.extend_from_slice(&rest[line + 2..line + 2 + size]);
            rest = &rest[line + 4 + size..];
        }
        body = whole;
    }
    Answer { status, head, body }
}
