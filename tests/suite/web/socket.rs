//! The WebSocket: commands in flight, cancelling, progress, and what happens elsewhere.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};

use super::{PATIENCE, TOKEN, Web, bearer};
use crate::debug::fixture;

/// A client of the WebSocket (RFC 6455): text frames alone, which is all that the server sends beside pings.
pub struct Socket {
    stream: TcpStream,
}

impl Socket {
    pub fn open(web: &Web, token: &str) -> Socket {
        let mut stream = TcpStream::connect(web.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "GET /api/v1/socket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n\r\n",
            web.address,
            bearer(token)
        )
        .unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Socket { stream }
    }

    pub fn send(&mut self, message: &Value) {
        let text = message.to_string();
        // Clients mask; a mask of zeros is one. (Section 5.2: 126 announces a length of 16 bits.)
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        self.stream.write_all(&frame).unwrap();
    }

    pub fn next(&mut self) -> Value {
        loop {
            let mut head = [0; 2];
            self.stream.read_exact(&mut head).unwrap();
            let mut length = u64::from(head[1] & 0x7f);
            if length >= 126 {
                let mut bytes = [0; 8];
                let start = if length == 126 { 6 } else { 0 };
                self.stream.read_exact(&mut bytes[start..]).unwrap();
                length = u64::from_be_bytes(bytes);
            }
            let mut body = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut body).unwrap();
            if head[0] & 0xf == 1 {
                return serde_json::from_slice(&body).unwrap();
            }
        }
    }

    /// The next message that `wanted` holds for.
    pub fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let message = self.next();
            if wanted(&message) {
                return message;
            }
            assert!(Instant::now() < end, "{message}");
        }
    }
}

#[test]
fn commands_in_flight_answer_and_are_cancelled() {
    let web = Web::with("malloc://4096", "", "");
    let mut socket = Socket::open(&web, TOKEN);
    socket.send(&json!({ "id": 1, "run": "?e one; nonsense" }));
    assert_eq!(socket.until(|message| message.get("output").is_some())["output"], "one\n");
    let report = socket.until(|message| message.get("report").is_some());
    assert_eq!((&report["id"], &report["report"]["ok"]), (&json!(1), &json!(false)));
    socket.send(&json!({ "id": 2, "run": "?e begun; sleep 3600" }));
    socket.until(|message| message["id"] == 2 && message.get("output").is_some());
    // The same number again, and what is no message.
    for wrong in [json!({ "id": 2, "run": "s" }), json!({ "run": "s" }), json!([1]), json!("x")] {
        socket.send(&wrong);
        socket.until(|message| message["error"]["kind"] == "usage");
    }
    let begun = Instant::now();
    socket.send(&json!({ "cancel": 2 }));
    socket.until(|message| message["id"] == 2 && message.get("report").is_some());
    assert!(begun.elapsed() < PATIENCE);
    socket.send(&json!({ "id": 2, "run": "?e again" }));
    assert_eq!(socket.until(|message| message.get("output").is_some())["output"], "again\n");
}

#[test]
fn what_others_do_is_told() {
    let mut web = Web::new();
    let mut socket = Socket::open(&web, TOKEN);
    // A second door to the same session moves it.
    web.post("/api/v1/run", &json!({ "command": "s 0x40" }));
    assert_eq!(socket.until(|message| message["event"] == "seek")["address"], "0x40");
    web.post("/api/v1/run", &json!({ "command": "wx 41" }));
    socket.until(|message| message["event"] == "changed" && message["client"].is_u64());
    // The prompt writes; nobody asked for that.
    web.prompt("wx 42 @ 8");
    socket.until(|message| message["event"] == "changed" && message["client"].is_null());
    web.prompt("f new 1 @ 8");
    socket.until(|message| message["event"] == "changed" && message["client"].is_null());
    web.post_as(super::READER, "/api/v1/run", &json!({ "command": "s" }));
    let came = socket.until(|message| message["event"] == "client");
    assert_eq!(came["here"], true);
    web.prompt("=h-");
    socket.until(|message| message["event"] == "stopping");
}

#[test]
fn stops_of_a_process_are_told_whoever_let_it_run() {
    let Some(path) = fixture("panels") else { return };
    let mut web = Web::with("malloc://64", &format!("o dbg://{}", path.display()), "--allow debug");
    web.prompt("dcu sym.main");
    let mut socket = Socket::open(&web, TOKEN);
    web.prompt("ds");
    let stop = socket.until(|message| message["event"] == "stop");
    assert!(stop["client"].is_null(), "{stop}");
    web.post("/api/v1/control", &json!({ "action": "until", "address": "sym.twice" }));
    let stop = socket.until(|message| message["event"] == "stop" && message["client"].is_u64());
    let pc = web.get("/api/v1/process").json()["registers"]["rip"].as_u64().unwrap();
    assert_eq!(stop["address"], format!("0x{pc:x}"));
    assert!(stop["lines"][0].as_str().is_some_and(|line| line.contains("breakpoint")), "{stop}");
}

#[test]
fn long_work_says_how_far_it_is() {
    let web = Web::with("malloc://64", "o null://64G", "");
    let mut socket = Socket::open(&web, TOKEN);
    socket.send(&json!({ "id": 7, "run": "ph sha256 64G" }));
    let told = socket.until(|message| message["progress"].is_object() || message.get("report").is_some());
    assert!(told["progress"]["total"].as_u64().is_some_and(|total| total > 0), "{told}");
    socket.send(&json!({ "cancel": 7 }));
    socket.until(|message| message["id"] == 7 && message.get("report").is_some());
}
