//! What strangers, other pages and bad clients cannot do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{PATIENCE, READER, TOKEN, Web, answer, bearer};

const JSON: &str = "Content-Type: application/json";

#[test]
fn nothing_is_answered_without_token_or_cookie() {
    let web = Web::new();
    for (method, target) in [
        ("GET", "/api/v1/session"),
        ("GET", "/api/v1/memory?address=0"),
        ("GET", "/api/v1/list/files"),
        ("POST", "/api/v1/run"),
        ("POST", "/api/v1/memory"),
        ("POST", "/api/v1/search"),
        ("GET", "/api/v1/socket"),
        ("GET", "/up/file"),
        ("POST", "/up/file"),
    ] {
        for headers in [
            vec![JSON],
            vec![JSON, "Authorization: Bearer 00000000000000000000000000000000"],
            vec![JSON, "Authorization: Basic OjpYOg=="],
            vec![JSON, "Cookie: remora-1=x; a"],
        ] {
            let refused = web.ask(method, target, &headers, b"{\"command\":\"s\"}");
            assert_eq!(refused.status, 401, "{method} {target} {headers:?}: {}", refused.text());
        }
    }
    assert_eq!(web.post_as(READER, "/api/v1/run", &json!({ "command": "wx 00" })).json()["ok"], false);
}

#[test]
fn neighbours_read_and_nothing_more() {
    let mut web = Web::with("malloc://64", "", "--allow exec");
    assert_eq!(web.ask("GET", "/cmd/p8%204", &[], b"").text(), "00000000\n");
    for line in ["wx%2041", "!id", "p8%20%7Ccat", "o%20/etc/passwd", ".%20/etc/passwd", "p8%20%3E%20/tmp/x", "=h-"] {
        let refused = web.ask("GET", &format!("/cmd/{line}"), &[], b"");
        assert!(refused.text().contains("not permitted"), "{line}: {}", refused.text());
        assert!(refused.header("remora-error").is_some(), "{line}");
    }
    // A link runs no programs, whoever follows it; a POST with the token does.
    let login = bearer(TOKEN);
    assert!(web.ask("GET", "/cmd/!echo%20x", &[&login], b"").text().contains("not permitted"));
    assert_eq!(web.ask("POST", "/cmd/", &[&login], b"!echo x").text(), "x\n");
    assert_eq!(web.prompt("p8 4"), "00000000\n");
    let closed = Web::with("malloc://64", "e http.anonymous=false", "");
    let refused = closed.ask("GET", "/cmd/p8", &[], b"");
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").is_some());
    let browser = closed.ask("GET", "/cmd/p8", &["Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: none"], b"");
    assert!(browser.status == 401 && browser.header("www-authenticate").is_none());
}

#[test]
fn other_names_and_other_pages_are_turned_away() {
    let web = Web::with("malloc://64", "e http.origins=https://tool.example; e http.hosts=workshop.example", "");
    let port = web.address.port();
    for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", "localhost.evil.example"] {
        let refused = web.ask("GET", "/cmd/s", &[&format!("Host: {host}")], b"");
        assert_eq!(refused.status, 403, "{host}");
    }
    for host in [&format!("localhost:{port}"), "127.0.0.1", "[::1]", "workshop.example", "LOCALHOST"] {
        assert_eq!(web.ask("GET", "/cmd/s", &[&format!("Host: {host}")], b"").status, 200, "{host}");
    }
    let login = bearer(TOKEN);
    for origin in
        ["https://evil.example", "null", &format!("http://127.0.0.1:{}", port ^ 1), "https://tool.example.evil"]
    {
        let headers = [&format!("Origin: {origin}"), &login, JSON];
        for (method, target) in
            [("POST", "/api/v1/run"), ("GET", "/api/v1/session"), ("GET", "/cmd/s"), ("OPTIONS", "/api/v1/run")]
        {
            let refused = web.ask(method, target, &headers, br#"{"command":"s"}"#);
            assert_eq!(refused.status, 403, "{origin} {target}");
            assert!(refused.header("access-control-allow-origin").is_none());
        }
    }
    for site in ["cross-site", "same-site"] {
        let header = format!("Sec-Fetch-Site: {site}");
        assert_eq!(web.ask("GET", "/cmd/s", &[&header], b"").status, 403);
        assert_eq!(web.ask("GET", "/", &[&header], b"").status, 200);
    }
    let welcome = web.ask("OPTIONS", "/api/v1/run", &["Origin: https://tool.example"], b"");
    assert_eq!(welcome.header("access-control-allow-origin").as_deref(), Some("https://tool.example"));
    assert!(welcome.header("access-control-allow-credentials").is_none());
    let own = web.ask(
        "POST",
        "/api/v1/run",
        &[&format!("Origin: http://{}", web.address), &login, JSON],
        br#"{"command":"s"}"#,
    );
    assert_eq!(own.status, 200);
}

#[test]
fn forms_change_nothing() {
    let mut web = Web::new();
    let cookie = signed_in(&web);
    for kind in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", ""] {
        let kind = format!("Content-Type: {kind}");
        let refused = web.ask("POST", "/api/v1/run", &[&cookie, &kind], br#"{"command":"wx 41"}"#);
        assert_eq!(refused.status, 415, "{kind}");
    }
    // The cookie opens the API, never the door for programs.
    let stranger = web.ask("POST", "/cmd/", &[&cookie], b"wx 41");
    assert!(stranger.text().contains("not permitted"), "{}", stranger.text());
    assert_eq!(web.prompt("p8 1"), "00\n");
    assert_eq!(web.ask("POST", "/api/v1/run", &[&cookie, JSON], br#"{"command":"wx 41"}"#).status, 200);
    assert_eq!(web.prompt("p8 1"), "41\n");
}

/// The cookie of a browser that used the code.
fn signed_in(web: &Web) -> String {
    let body = json!({ "code": web.code() }).to_string();
    let answer = web.ask("POST", "/api/v1/sign-in", &[JSON], body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    format!("Cookie: {}", cookie.split(';').next().unwrap())
}

#[test]
fn a_code_signs_in_once_and_a_cookie_ends_with_signing_out() {
    let web = Web::new();
    let cookie = signed_in(&web);
    let again = web.ask("POST", "/api/v1/sign-in", &[JSON], json!({ "code": web.code() }).to_string().as_bytes());
    assert_eq!(again.status, 401);
    assert_eq!(web.ask("GET", "/api/v1/session", &[&cookie], b"").status, 200);
    assert_eq!(web.ask("POST", "/api/v1/sign-out", &[&cookie, JSON], b"{}").status, 200);
    assert_eq!(web.ask("GET", "/api/v1/session", &[&cookie], b"").status, 401);
    let by_token = json!({ "token": READER }).to_string();
    let reader = web.ask("POST", "/api/v1/sign-in", &[JSON], by_token.as_bytes());
    assert_eq!((reader.status, &reader.json()["permissions"]), (200, &json!(["read"])));
    for wrong in ["{}", "[]", r#"{"code":"x","token":"y"}"#, r#"{"code":1}"#, "x"] {
        let refused = web.ask("POST", "/api/v1/sign-in", &[JSON], wrong.as_bytes());
        assert!((400..=422).contains(&refused.status) && refused.json()["error"].is_object(), "{wrong}: {refused:?}");
    }
}

#[test]
fn answers_carry_what_browsers_must_keep_to() {
    let web = Web::new();
    for target in ["/", "/page/main.js", "/api/v1/session", "/cmd/s", "/nosuch"] {
        let answer = web.ask("GET", target, &[], b"");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{target}");
        assert_eq!(answer.header("x-content-type-options").as_deref(), Some("nosniff"), "{target}");
        assert_eq!(answer.header("x-frame-options").as_deref(), Some("DENY"), "{target}");
        assert!(answer.header("access-control-allow-origin").is_none(), "{target}");
    }
    let page = web.ask("GET", "/", &[], b"").text();
    assert!(
        !page.contains("<script>")
            && !page.contains("style=")
            && !page.contains("http://")
            && !page.contains("https://")
    );
}

#[test]
fn what_is_too_large_or_broken_is_refused_and_the_server_goes_on() {
    let web = Web::with("malloc://64", "e http.maxsize=1000; e http.timeout=1", "");
    let login = bearer(TOKEN);
    let large = web.ask("POST", "/api/v1/run", &[&login, JSON], &[b'x'; 2000]);
    assert_eq!(large.status, 413);
    for bytes in [
        &b"GET /cmd/s"[..],
        b"POST /cmd/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nshort",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage that is no frame",
    ] {
        let mut stream = TcpStream::connect(web.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        assert_eq!(web.ask("GET", "/cmd/s", &[], b"").text(), "0x0\n");
    }
    let long = format!("GET /cmd/{} HTTP/1.1\r\n", "x".repeat(200_000));
    web.raw(long.as_bytes());
    let many: String = (0..5000).map(|number| format!("X-{number}: y\r\n")).collect();
    web.raw(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n").as_bytes());
    assert_eq!(web.ask("GET", "/cmd/s", &[], b"").text(), "0x0\n");
}

#[test]
fn the_silent_and_the_slow_are_hung_up_on_and_disturb_nobody() {
    let web = Web::with("malloc://64", "e http.timeout=1", "");
    let silent: Vec<TcpStream> = (0..200)
        .map(|number| {
            let mut stream = TcpStream::connect(web.address).unwrap();
            if number % 2 == 0 {
                stream.write_all(b"GET /cmd/s HTTP/1.1\r\nHost: lo").unwrap();
            }
            stream
        })
        .collect();
    let begun = Instant::now();
    assert_eq!(web.ask("GET", "/cmd/s", &[], b"").text(), "0x0\n");
    assert!(begun.elapsed() < Duration::from_secs(20));
    for mut stream in silent {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    // Each would have to be waited for, had they no deadline.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn uploads_stay_beneath_their_directory() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("up");
    std::fs::create_dir(&root).unwrap();
    std::os::unix::fs::symlink("/etc", root.join("link")).unwrap();
    let before = format!("e http.uproot={}; e http.upload=true; e http.upget=true", root.display());
    let web = Web::with("malloc://64", &before, "");
    let login = bearer(TOKEN);
    assert_eq!(web.ask("POST", "/up/a.bin", &[&login], b"bytes").json()["written"], 5);
    assert_eq!(web.ask("GET", "/up/a.bin", &[&login], b"").text(), "bytes");
    for name in ["../out", "%2e%2e/out", "..%2fout", "link/passwd", "%2fetc%2fpasswd", "nosuch/../../out"] {
        let target = format!("/up/{name}");
        assert!(web.ask("GET", &target, &[&login], b"").status >= 400, "{name}");
        assert!(web.ask("POST", &target, &[&login], b"x").status >= 400, "{name}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(web.ask("POST", "/up/b", &[&bearer(READER)], b"x").status, 403);
    let none = Web::new();
    assert_eq!(none.ask("POST", "/up/b", &[&login], b"x").status, 403);
}

#[test]
fn everything_is_in_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.jsonl");
    let mut web = Web::with("malloc://64", "", &format!("--audit {}", log.display()));
    web.post("/api/v1/run", &json!({ "command": "p8 1" }));
    web.ask("GET", "/api/v1/session", &["Authorization: Bearer 00000000000000000000000000000000"], b"");
    web.prompt("=h-");
    let text = std::fs::read_to_string(&log).unwrap();
    for part in [
        "\"event\":\"enter\"",
        "\"what\":\"p8 1\"",
        "\"who\":\"tester\"",
        "\"event\":\"refused\"",
        "\"event\":\"disconnect\"",
        "\"service\":\"http\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains(TOKEN));
}

#[test]
fn beyond_this_machine_it_needs_encryption() {
    let mut session = crate::harness::session("malloc://64");
    remora::serve::offer(&mut session);
    let said = crate::harness::run(&mut session, "=h& 0.0.0.0:0");
    assert!(said.err.contains("https://"), "{said:?}");
}

#[test]
fn a_socket_from_elsewhere_gets_nothing() {
    let web = Web::new();
    let cookie = signed_in(&web);
    let upgrade = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
    for (origin, expected) in [("https://evil.example".to_string(), 403), (format!("http://{}", web.address), 101)] {
        let mut request = format!("GET /api/v1/socket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n", web.address);
        for line in upgrade.iter().copied().chain([cookie.as_str(), &format!("Origin: {origin}")]) {
            request.push_str(line);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        let mut stream = TcpStream::connect(web.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        let mut byte = [0];
        while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
            bytes.extend_from_slice(&byte);
        }
        assert_eq!(answer(&bytes).status, expected, "{origin}");
    }
}

/// How many sockets this process may have, as the system says.
fn sockets() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(1024)
}

#[test]
fn ten_thousand_connections_cost_little_and_keep_nobody_out() {
    let count = 10_000.min(sockets().saturating_sub(300));
    if count < 10_000 {
        eprintln!("ABSENT: 10000 sockets ('ulimit -n'); {count} are tried");
    }
    let door = super::door::Door::new("malloc://64", "", "");
    let before = door.memory();
    let mut crowd = Vec::with_capacity(count);
    for number in 0..count {
        // Who is turned away counts as well: it is there again at once.
        let Ok(mut stream) = TcpStream::connect(door.address) else { continue };
        match number % 3 {
            0 => {}
            1 => drop(stream.write_all(b"GET /cmd/s HTTP/1.1\r\nHost: lo")),
            _ => drop(
                stream.write_all(b"POST /api/v1/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{"),
            ),
        }
        crowd.push(stream);
        if number % 1000 == 999 {
            let begun = Instant::now();
            assert_eq!(door.get("/cmd/s").text(), "0x0\n", "after {number}");
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?} after {number}", begun.elapsed());
        }
    }
    let grown = door.memory().saturating_sub(before);
    assert!(grown < 256 * 1024, "{grown} KiB for {count} connections");
    drop(crowd);
    assert_eq!(door.get("/cmd/s").text(), "0x0\n");
}

#[test]
fn what_is_under_way_is_answered_when_the_server_ends() {
    let mut web = Web::new();
    let mut stream = TcpStream::connect(web.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = r#"{"command":"?e begun; sleep 3600"}"#;
    let (login, length) = (bearer(TOKEN), body.len());
    write!(
        stream,
        "POST /api/v1/run HTTP/1.1\r\nHost: localhost\r\n{login}\r\n{JSON}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    // It has begun when the client is there.
    let end = Instant::now() + PATIENCE;
    while !web.prompt("=l").contains("client ") {
        assert!(Instant::now() < end);
    }
    web.prompt("=h-");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let answer = answer(&bytes);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(TcpStream::connect(web.address).is_err());
}

#[test]
fn encrypted_it_speaks_both_versions() {
    let door = super::door::Door::at("https://127.0.0.1:0", "malloc://64", "", "");
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let output = std::process::Command::new("curl")
            .args(["--silent", "--insecure", flag, "--header", &bearer(TOKEN), "--write-out", "%{http_version}"])
            .arg(format!("https://{}/cmd/s", door.address))
            .output();
        let Ok(output) = output else {
            eprintln!("ABSENT: curl");
            return;
        };
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("0x0\n{version}"));
    }
}
