//! Processes over the API: what one is, stepping, breakpoints, registers, pausing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};

use super::door::Door;
use super::{PATIENCE, READER, TOKEN, Web, answer, bearer};
use crate::debug::fixture;

/// A server whose client may debug a program that stands at its `main`.
fn stopped() -> Option<Web> {
    let path = fixture("panels")?;
    let mut web = Web::with("malloc://64", &format!("o dbg://{}", path.display()), "--allow debug");
    web.prompt("dcu sym.main");
    Some(web)
}

fn process(web: &Web) -> Value {
    web.get("/api/v1/process").json()
}

fn act(web: &Web, body: &Value) -> Value {
    let answer = web.post("/api/v1/control", body);
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    answer.json()
}

#[test]
fn a_process_is_told_in_one_answer_and_steps() {
    let Some(web) = stopped() else { return };
    let before = process(&web);
    assert_eq!(before["state"], "stopped", "{before}");
    for part in ["registers", "threads", "frames", "breakpoints", "stack"] {
        assert!(before.get(part).is_some(), "{part}: {before}");
    }
    assert_eq!(before["stack"][0]["addr"], before["registers"]["rsp"]);
    assert!(before["frames"][0]["desc"].as_str().unwrap().contains("main"), "{before}");
    let report = act(&web, &json!({ "action": "step" }));
    assert_eq!(report["ok"], true, "{report}");
    assert_ne!(process(&web)["registers"]["rip"], before["registers"]["rip"]);
    act(&web, &json!({ "action": "step", "count": 3 }));
    act(&web, &json!({ "action": "over" }));
    // The client's place follows.
    act(&web, &json!({ "action": "until", "address": "sym.twice" }));
    let seek = web.post("/api/v1/run", &json!({ "command": "s" })).json()["output"].clone();
    let there = process(&web);
    assert_eq!(seek, format!("0x{:x}\n", there["registers"]["rip"].as_u64().unwrap()));
    assert_eq!(there["threads"].as_array().unwrap().len(), 2);
    act(&web, &json!({ "action": "out" }));
    let thread = process(&web)["threads"].as_array().unwrap().iter().find(|thread| thread["current"] == false).unwrap()
        ["pid"]
        .as_u64()
        .unwrap();
    act(&web, &json!({ "action": "thread", "count": thread }));
    assert!(
        process(&web)["threads"].as_array().unwrap().iter().any(|one| one["current"] == true && one["pid"] == thread)
    );
}

#[test]
fn breakpoints_and_registers_are_changed() {
    let Some(web) = stopped() else { return };
    let mark = |action: &str, more: Value| {
        let mut body = json!({ "action": action, "address": "sym.twice" });
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        web.post("/api/v1/breakpoints", &body)
    };
    let set = mark("set", json!({ "condition": "rdi==6" }));
    assert_eq!(set.status, 200, "{}", set.text());
    act(&web, &json!({ "action": "continue" }));
    let there = process(&web);
    assert_eq!(there["registers"]["rdi"], 6, "{there}");
    assert_eq!(there["breakpoints"][0]["cond"], "rdi==6");
    let changed = web.post("/api/v1/registers", &json!({ "name": "rdi", "value": "0x10+1" }));
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(process(&web)["registers"]["rdi"], 17);
    assert_eq!(web.post("/api/v1/registers", &json!({ "name": "nosuch", "value": "1" })).status, 404);
    mark("disable", json!({}));
    assert_eq!(process(&web)["breakpoints"][0]["enabled"], false);
    mark("remove", json!({}));
    assert_eq!(process(&web)["breakpoints"], json!([]));
    for (target, body) in [
        ("breakpoints", json!({ "action": "explode", "address": "0" })),
        ("breakpoints", json!({ "action": "set", "address": "; !id" })),
        ("control", json!({ "action": "until" })),
        ("control", json!({ "action": "fly" })),
        ("control", json!({ "action": "step", "address": "0" })),
    ] {
        let refused = web.post(&format!("/api/v1/{target}"), &body);
        assert_eq!(refused.status, 400, "{target} {body}: {}", refused.text());
    }
    for target in ["control", "breakpoints", "registers"] {
        let body = json!({ "action": "step", "address": "0", "name": "rax", "value": "1" });
        assert!(web.post_as(READER, &format!("/api/v1/{target}"), &body).status >= 400);
    }
    assert_eq!(web.post_as(READER, "/api/v1/control", &json!({ "action": "step" })).status, 403);
    assert_eq!(web.post_as(READER, "/api/v1/control", &json!({ "action": "pause" })).status, 403);
}

#[test]
fn what_runs_is_paused_and_blocks_nobody() {
    let Some(web) = stopped() else { return };
    // Asked for, and not answered while it runs.
    let body = r#"{"action":"continue"}"#;
    let mut running = TcpStream::connect(web.address).unwrap();
    running.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        running,
        "POST /api/v1/control HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        bearer(TOKEN),
        body.len()
    )
    .unwrap();
    let end = Instant::now() + PATIENCE;
    while process(&web)["state"] != "running" {
        assert!(Instant::now() < end, "it runs: {}", process(&web));
    }
    // Another session of the same client, and the door for programs, are not kept waiting.
    assert_eq!(web.ask("GET", "/cmd/?e%20x", &[], b"").text(), "x\n");
    let headers = [bearer(TOKEN), "Remora-Session: other".to_string()];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    assert_eq!(web.ask("GET", "/api/v1/session", &headers, b"").status, 200);
    act(&web, &json!({ "action": "pause" }));
    let mut bytes = Vec::new();
    running.read_to_end(&mut bytes).unwrap();
    let report = answer(&bytes);
    assert_eq!((report.status, &report.json()["ok"]), (200, &json!(true)), "{}", report.text());
    assert_eq!(process(&web)["state"], "stopped");
}

#[test]
fn graphs_references_and_entropy_are_answered() {
    let Some(path) = fixture("panels") else { return };
    let door = Door::new(path.to_str().unwrap(), "aa", "");
    let graph = door.get("/api/v1/graph?address=sym.choose").json();
    let blocks = graph[0]["blocks"].as_array().unwrap();
    assert!(blocks.len() > 3 && blocks.iter().any(|block| block.get("fail").is_some()), "{graph}");
    let references = door.get("/api/v1/references?address=sym.twice").json();
    assert_eq!(references["to"][0]["fcn_name"], "sym.choose", "{references}");
    let from = references["to"][0]["from"].as_u64().unwrap();
    let back = door.get(&format!("/api/v1/references?address=0x{from:x}")).json();
    assert_eq!(back["from"][0]["refname"], "sym.twice", "{back}");
    let window = door.get("/api/v1/disassembly?address=sym.twice&count=4").json();
    assert_eq!(window.as_array().unwrap().len(), 4);
    let entropy = door.get("/api/v1/entropy?from=section..text&to=section..text%2B0x100&pieces=4").text();
    let lines: Vec<Value> = entropy.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 5, "{entropy}");
    assert!(lines[0]["entropy"].as_f64().is_some_and(|value| value > 0.3 && value <= 1.0), "{entropy}");
    assert_eq!(lines[4]["report"]["ok"], true);
    for (target, status) in [
        ("graph?address=0xdead0000", 404),
        ("graph?address=;", 400),
        ("references", 400),
        ("entropy?from=2&to=1", 200),
        ("entropy?from=0&to=1&pieces=100000", 400),
        ("disassembly?address=0&count=0", 400),
    ] {
        let answer = door.get(&format!("/api/v1/{target}"));
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
    }
}
