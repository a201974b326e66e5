//! The clients of the family: pipes, radare2, our own, and how old ones write their requests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{PATIENCE, TOKEN, Web};
use crate::harness;

fn peer(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers").join(path)
}

fn absent(what: &str) {
    let _ = writeln!(std::io::stderr(), "ABSENT: {what}");
}

#[test]
fn odd_requests_of_old_clients_are_understood() {
    let web = Web::with("malloc://64", "w abc", "");
    for (request, end) in [
        // radare2 and rizin leave blanks as they are.
        (&b"GET /cmd/p8 3 HTTP/1.1\r\nUser-Agent: radare2 5\r\nHost: localhost:1\r\n\r\n"[..], "616263\n"),
        (b"GET /cmd/ps 3 ~abc HTTP/1.0\nHost: localhost\n\n", "abc\n"),
        // rzpipe's asynchronous client.
        (b"GET /cmd/p8%203 HTTP/1.1\n\rHost: localhost\n\r\n\r", "616263\n"),
        // r2pipe.rs sends a line and waits.
        (b"GET /cmd/p8%203 HTTP/1.1\r\n", "616263\n"),
        (b"GET /cmd/?v 1+2 HTTP/1.1\r\n\r\n", "0x3\n"),
        (b"GET /cmd//x%20626 HTTP/1.1\r\nHost: localhost\r\n\r\n", "Error: Command 'x' does not exist.\n"),
        (b"GET /cmd/:p8%203 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", ""),
        (
            b"POST /cmd/ HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\ncontent-length: 4\r\n\r\np8 3",
            "616263\n",
        ),
        (b"GET /cmd/p8%203%7C HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "616263\n"),
    ] {
        let shown = String::from_utf8_lossy(request);
        let mut stream = TcpStream::connect(web.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request).unwrap();
        if shown.starts_with("GET /cmd//x") {
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let mut bytes = Vec::new();
        let closes = !shown.contains("/cmd//x");
        if closes {
            stream.read_to_end(&mut bytes).unwrap();
            let answer = super::answer(&bytes);
            assert_eq!((answer.status, answer.text().as_str()), (200, end), "{shown:?}");
            assert!(answer.head.to_ascii_lowercase().contains("content-length:"), "{shown:?}");
        }
    }
}

#[test]
fn our_own_client_runs_commands_over_http() {
    let web = Web::with("malloc://64", "w abc", "");
    let mut session = harness::session("malloc://16");
    let login = format!("=+ http://me:{TOKEN}@{}/cmd/", web.address);
    for (line, expected) in [
        (login.as_str(), None),
        ("=0 p8 3", Some("616263\n")),
        ("=0 wx 41", Some("")),
        ("=0 'ps 3; s 1'", Some("Abc\n")),
        ("=0 s", Some("0x1\n")),
    ] {
        let said = harness::run(&mut session, line);
        assert_eq!(said.err, "", "{line}");
        if let Some(expected) = expected {
            assert_eq!(said.out, expected, "{line}");
        }
    }
    let plain =
        harness::run(&mut harness::session("malloc://16"), &format!("=+ http://{}/cmd/; =0 wx 42", web.address));
    assert!(plain.out.contains("not permitted"), "{plain:?}");
}

/// The Python that has `module`; `None`, said once, when there is none.
fn python(module: &str) -> Option<PathBuf> {
    let found = [peer("python/bin/python"), PathBuf::from("python3")].into_iter().find(|python| {
        let check = Command::new(python).args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
        check.is_ok_and(|status| status.success())
    });
    if found.is_none() {
        absent(&format!("{module} for Python ('cargo xtask test' installs it)"));
    }
    found
}

#[test]
fn pipes_for_python_work() {
    for module in ["r2pipe", "rzpipe"] {
        let Some(python) = python(module) else { continue };
        let web = Web::with("malloc://64", "w abc", "");
        let script = format!(
            "import sys, {module}\n\
             r = {module}.open(sys.argv[1])\n\
             print(r.cmd('p8 3').strip(), r.cmdj('pxj 2'), r.cmd('s 2') + r.cmd('s').strip(), r.cmd('?e a+b c/d').strip())\n"
        );
        let output = Command::new(python)
            .args(["-c", &script, &format!("http://{}", web.address)])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said.trim(), "616263 [97, 98] 0x2 a+b c/d", "{module}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn schemathesis_finds_nothing_that_the_description_does_not_say() {
    let program = peer("python/bin/schemathesis");
    if !program.is_file() {
        return absent("schemathesis ('cargo xtask test' installs it)");
    }
    let root = tempfile::tempdir().unwrap();
    let web = Web::with("malloc://4096", "", &format!("--root {}", root.path().display()));
    // Addresses are expressions, so not every string is one: that it may be refused is no finding.
    let output = Command::new(program)
        .args(["run", &format!("http://{}/api/v1/openapi.json", web.address), "--header", &super::bearer(TOKEN)])
        .args(["--max-examples", "8", "--phases", "coverage,fuzzing", "--seed", "1", "--no-color"])
        .args(["--exclude-checks", "positive_data_acceptance", "--exclude-path", "/api/v1/socket"])
        .current_dir(root.path())
        .env("HOME", root.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Fuzzing"), "{said}");
    assert_eq!(web.ask("GET", "/cmd/s", &[], b"").status, 200);
}

#[test]
fn the_examples_of_the_manual_run() {
    let manual = include_str!("../../../docs/web.md");
    let example = |language: &str| {
        let (_, rest) = manual.split_once(&format!("```{language}\n")).unwrap_or_else(|| panic!("no {language}"));
        rest.split("```").next().unwrap().to_string()
    };
    let web = Web::with("malloc://64", "wx 7f454c46 @ 16", "");
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".local/state/remora");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("token"), format!("{TOKEN} * me\n")).unwrap();
    let place = format!("http://{}", web.address);
    for (language, program, flags) in
        [("python", "python3", vec!["-c"]), ("javascript", "node", vec!["--input-type=module", "-e"])]
    {
        if Command::new(program).arg("--version").stdout(Stdio::null()).status().is_err() {
            absent(program);
            continue;
        }
        let text = example(language).replace("http://127.0.0.1:9090", &place);
        let output = Command::new(program).args(flags).arg(&text).env("HOME", home.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("malloc") || said.contains("127"), "{language}: {said}");
    }
}

#[test]
fn r2pipe_for_node_works() {
    let modules = peer("node");
    let has =
        Command::new("node").args(["-e", "require('r2pipe')"]).current_dir(&modules).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        return absent("r2pipe for Node ('cargo xtask test' installs it)");
    }
    let web = Web::with("malloc://64", "w abc", "");
    let script = "const { R2PipeHttp } = require('r2pipe');\n\
                  const pipe = require('r2pipe');\n\
                  pipe.connect(process.argv[1] + '/cmd/', (error, r) => {\n\
                    if (error) { console.error(error); process.exit(1); }\n\
                    r.cmd('p8 3', (error, out) => { console.log(String(out).trim()); process.exit(0); });\n\
                  });\n";
    let output = Command::new("node")
        .args(["-e", script, &format!("http://{}", web.address)])
        .current_dir(&modules)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.trim(), "616263", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn curl_works() {
    let web = Web::with("malloc://64", "w abc", "");
    let curl = |args: &[&str]| Command::new("curl").args(["--silent", "--show-error"]).args(args).output();
    let Ok(output) = curl(&[&format!("http://{}/cmd/p8%203", web.address)]) else { return absent("curl") };
    assert_eq!(output.stdout, b"616263\n");
    let login = format!("me:{TOKEN}");
    let body = r#"{"command":"wx 41; p8 1"}"#;
    let url = format!("http://{}/api/v1/run", web.address);
    let output = curl(&["--user", &login, "--json", body, &url]).unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"output\":\"41\\n\""), "{output:?}");
    let url = format!("http://{}/api/v1/maps", web.address);
    // HTTP/2 without asking first.
    let output =
        curl(&["--http2-prior-knowledge", "--write-out", "%{http_version} %{http_code}", "--user", &login, &url]);
    assert!(String::from_utf8_lossy(&output.unwrap().stdout).ends_with("2 404"));
}

#[test]
fn radare2_talks_to_it() {
    let Some(mut radare2) = harness::radare2() else { return absent("radare2") };
    let web = Web::with("malloc://64", "w abc", "");
    let line = format!("=+ http://{}/cmd/; =0 p8 3", web.address);
    let output = radare2.args(["-q", "-c", &line, "-"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("616263"), "{said}");
}

#[test]
fn it_is_served_over_tls_and_started_as_a_program() {
    use std::io::BufRead;
    let state = tempfile::tempdir().unwrap();
    let mut server = harness::program()
        .args(["--http=https://127.0.0.1:0", "malloc://64"])
        .env("XDG_STATE_HOME", state.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("https: listening at ").unwrap_or_else(|| panic!("{line}")).to_string();
    let token = std::fs::read_to_string(state.path().join("remora/token")).unwrap();
    let output = Command::new("curl")
        .args(["--silent", "--insecure", "--user", &format!("me:{}", token.trim()), "--write-out", " %{http_version}"])
        .arg(format!("https://{address}/cmd/p8%202"))
        .output();
    let anonymous =
        Command::new("curl").args(["--silent", "--insecure"]).arg(format!("https://{address}/cmd/p8")).output();
    server.kill().unwrap();
    server.wait().unwrap();
    let (Ok(output), Ok(anonymous)) = (output, anonymous) else { return absent("curl") };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said == "0000\n 2" || said == "0000\n 1.1", "{said}");
    assert!(String::from_utf8_lossy(&anonymous.stdout).contains("token"), "{anonymous:?}");
}
