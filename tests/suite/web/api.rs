//! The JSON API.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::{PATIENCE, READER, TOKEN, Web, bearer};

#[test]
fn a_line_runs_with_output_errors_and_value_apart() {
    let web = Web::new();
    let said = web.post("/api/v1/run", &json!({ "command": "wx 414243; px 3~4142; nonsense" })).json();
    assert_eq!(said["ok"], false);
    assert!(said["output"].as_str().unwrap().contains("4142 43"), "{said}");
    assert!(said["errors"][0].as_str().unwrap().contains("nonsense"), "{said}");
    let said = web.post("/api/v1/run", &json!({ "command": "pxj 3" })).json();
    assert_eq!((&said["ok"], &said["value"]), (&json!(true), &json!([0x41, 0x42, 0x43])));
    let said = web.post("/api/v1/run", &json!({ "command": "\"" })).json();
    assert_eq!((&said["ok"], &said["kind"]), (&json!(false), &json!("syntax")));
}

#[test]
fn a_client_keeps_its_place_and_moves_nobody_elses() {
    let mut web = Web::new();
    web.post("/api/v1/run", &json!({ "command": "s 0x40" }));
    assert_eq!(web.post("/api/v1/run", &json!({ "command": "s" })).json()["output"], "0x40\n");
    let headers = [bearer(TOKEN), "Remora-Session: other".to_string(), "Content-Type: application/json".to_string()];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let other = web.ask("POST", "/api/v1/run", &headers, br#"{"command":"s"}"#).json();
    assert_eq!(other["output"], "0x0\n");
    assert_eq!(web.prompt("s"), "0x0\n");
}

#[test]
fn memory_is_read_and_written_as_bytes() {
    let mut web = Web::new();
    let written = web.post("/api/v1/memory", &json!({ "address": "0x10", "hex": "de ad be ef" }));
    assert_eq!((written.status, &written.json()["written"]), (200, &json!(4)));
    let read = web.get("/api/v1/memory?address=0x0f&length=6");
    assert_eq!((read.status, read.body.as_slice()), (200, &b"\x00\xde\xad\xbe\xef\x00"[..]));
    assert_eq!(read.header("remora-address").as_deref(), Some("0xf"));
    assert_eq!(read.header("content-type").as_deref(), Some("application/octet-stream"));
    let beyond = web.get("/api/v1/memory?address=4094&length=8");
    assert_eq!(beyond.header("remora-valid").as_deref(), Some("2"));
    assert_eq!(web.prompt("p8 4 @ 0x10"), "deadbeef\n");
    for (target, status) in [
        ("/api/v1/memory", 400),
        ("/api/v1/memory?address=nosuch", 400),
        ("/api/v1/memory?address=0&length=0x10000000000", 413),
        ("/api/v1/memory?address=0&length=-1", 413),
    ] {
        let answer = web.get(target);
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
        assert!(answer.json()["error"]["message"].is_string(), "{target}");
    }
    for hex in ["", "1", "zz", "00; !id"] {
        assert_eq!(web.post("/api/v1/memory", &json!({ "address": "0", "hex": hex })).status, 400, "{hex}");
    }
    assert_eq!(web.post_as(READER, "/api/v1/memory", &json!({ "address": "0", "hex": "00" })).status, 403);
}

#[test]
fn the_last_address_is_one_like_any_other() {
    let web = Web::new();
    let read = web.get("/api/v1/memory?address=0xfffffffffffffff0&length=32");
    assert_eq!((read.status, read.body.len()), (200, 32), "{}", read.head);
}

#[test]
fn hits_come_as_lines_and_patterns_are_no_commands() {
    let mut web = Web::new();
    web.prompt("w needle @ 0x100; w needle; w \"ne;dle|x\" @ 0x200");
    let lines = |body: &Value| -> Vec<Value> {
        let answer = web.post("/api/v1/search", body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let found = lines(&json!({ "pattern": "needle" }));
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!((&found[0]["hit"]["offset"], &found[1]["hit"]["offset"]), (&json!(0), &json!(0x100)));
    assert_eq!(found[2]["report"]["ok"], true);
    assert_eq!(lines(&json!({ "pattern": "needle", "from": "0x80" })).len(), 2);
    assert_eq!(lines(&json!({ "pattern": "needle", "limit": 1 })).len(), 2);
    assert_eq!(lines(&json!({ "pattern": "ne;dle|x" }))[0]["hit"]["offset"], 0x200);
    for (pattern, kind) in [("6e65", "hex"), ("ne.dle", "expression")] {
        let found = lines(&json!({ "pattern": pattern, "kind": kind }));
        assert_eq!(found.len(), 4, "{kind}: {found:?}");
    }
    assert_eq!(web.post("/api/v1/search", &json!({ "pattern": "" })).status, 400);
}

#[test]
fn lists_answer_or_say_what_is_missing() {
    let web = Web::new();
    assert_eq!(web.get("/api/v1/list/maps").json()[0]["to"], 4096);
    for name in ["files", "flags", "comments", "options", "hosts", "servers", "plugins"] {
        let answer = web.get(&format!("/api/v1/list/{name}"));
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert!(answer.json().is_array(), "{name}");
    }
    assert_eq!(web.get("/api/v1/list/nosuch").status, 404);
    let about = web.get("/api/v1/session").json();
    assert_eq!(about["permissions"], json!(["read", "write", "files"]));
    let known = about["lists"].as_array().unwrap();
    assert!(known.contains(&json!("functions")));
    // There is no process, and these clients may not ask for one.
    assert!(!known.contains(&json!("registers")));
    assert_eq!(web.get("/api/v1/list/registers").status, 403);
    assert_eq!(web.get("/api/v1/disassembly?address=0%20;%20!id").status, 400);
}

#[test]
fn the_description_and_the_tables_are_whole() {
    let web = Web::new();
    let described = web.ask("GET", "/api/v1/openapi.json", &[], b"").json();
    for (path, methods) in described["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let target = path.replace("{name}", "maps");
            let answer = web.ask(&method.to_uppercase(), &target, &[], b"");
            assert_ne!((answer.status, method.as_str()), (404, "get"), "{path}");
            assert_ne!(answer.status, 405, "{method} {path}");
        }
    }
    let commands = web.get("/api/v1/commands").json();
    assert!(commands.as_array().unwrap().iter().any(|command| command["name"] == "px"));
    let options = web.get("/api/v1/option-table").json();
    assert!(options.as_array().unwrap().iter().any(|option| option["name"] == "http.port"));
    let found = web.post("/api/v1/complete", &json!({ "line": "px" })).json();
    assert!(found["candidates"].as_array().unwrap().iter().any(|candidate| candidate["text"] == "px"), "{found}");
}

#[test]
fn answers_are_compressed_for_those_who_take_it() {
    let web = Web::new();
    let zipped = web.ask("GET", "/api/v1/commands", &[&bearer(TOKEN), "Accept-Encoding: br, gzip"], b"");
    assert_eq!(zipped.header("content-encoding").as_deref(), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(zipped.body.as_slice()).read_to_string(&mut text).unwrap();
    assert!(text.starts_with("[{\"name\""));
    assert!(web.get("/api/v1/commands").header("content-encoding").is_none());
}

#[test]
fn a_stream_sends_before_its_command_ends_and_ends_with_its_client() {
    let web = Web::new();
    let mut stream = TcpStream::connect(web.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A search of a long loop's output: it would take for ever.
    let body = r#"{"command":"while 1 { ?e tick; }"}"#;
    let body = if forever(&web) { body } else { r#"{"command":"?e tick; sleep 3600"}"# };
    write!(
        stream,
        "POST /api/v1/stream HTTP/1.1\r\nHost: {}\r\n{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        web.address,
        bearer(TOKEN),
        body.len()
    )
    .unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let tick = lines.by_ref().map_while(Result::ok).find(|line| line.contains("tick"));
    assert!(tick.is_some());
    drop(lines);
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    // The client's session is free again: the command has ended with its reader.
    let said = web.post("/api/v1/run", &json!({ "command": "?e free" })).json();
    assert_eq!(said["output"], "free\n");
}

/// Whether the language of this build has loops without end.
fn forever(web: &Web) -> bool {
    web.post("/api/v1/run", &json!({ "command": "while 0 { ?e no; }" })).json()["ok"] == true
}

#[test]
fn one_connection_takes_many_requests() {
    let web = Web::new();
    let mut stream = TcpStream::connect(web.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for number in 0..50 {
        write!(stream, "GET /cmd/?e%20{number} HTTP/1.1\r\nHost: {}\r\n\r\n", web.address).unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), format!("{number}\n"));
    }
}

#[test]
fn the_prompt_lists_ends_and_restarts_it() {
    let mut web = Web::new();
    assert_eq!(web.ask("GET", "/cmd/s", &[], b"").text(), "0x0\n");
    assert!(web.prompt("=l").contains(&format!("http://{}/\n    client ", web.address)), "{}", web.prompt("=l"));
    let id = web.prompt("=l").split("client ").nth(1).unwrap().split(' ').next().unwrap().to_string();
    web.prompt(&format!("=lk {id}"));
    assert!(!web.prompt("=l").contains("client "));
    assert_eq!(web.prompt("=h-"), "");
    assert_eq!(web.prompt("=l"), "");
    assert!(TcpStream::connect(web.address).is_err());
}
