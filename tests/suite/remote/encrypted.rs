//! Hosts whose line is encrypted: `raps://`, `tcps://`, `https://`.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use remora::link::Link;
use remora::link::tcp::Tcp;
use remora::link::tls::{Identity, ServerTls};
use remora::output::Cancel;
use remora::session::Session;

use super::Process;
use crate::harness::{program, run, session};

/// A server whose certificate is kept in `state`, which gives each connection to `answer`. Returns its place.
fn server(state: &Path, answer: impl Fn(&mut dyn Link) + Send + Copy + 'static) -> String {
    let tls = ServerTls::new(Identity::load_or_create(state).unwrap(), None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let (tcp, tls) = (Tcp::new(stream, "a client".to_string()).unwrap(), tls.clone());
            std::thread::spawn(move || {
                // Who turns away from our certificate is the test's business.
                let accepted = tls.accept(Box::new(tcp), Duration::from_secs(60), &Cancel::new());
                if let Ok((mut link, _)) = accepted {
                    link.set_timeout(Some(Duration::from_secs(60))).unwrap();
                    answer(&mut *link);
                    let _ = link.finish();
                }
            });
        }
    });
    place
}

/// What comes on `link` until `end`.
fn request(link: &mut dyn Link, end: &[u8]) -> String {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(end) && link.read(&mut byte).is_ok_and(|count| count > 0) {
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

/// A session that keeps its known hosts beneath `directory`.
fn careful(directory: &Path) -> Session {
    let mut here = session("malloc://512");
    let known = directory.join("known_hosts");
    assert_eq!(run(&mut here, &format!("e net.knownhosts={}", known.display())).err, "");
    here
}

/// Connecting to `uri`: refused while new hosts are not trusted, said and recorded when they are, silent from then on,
/// and refused again when the certificate has changed.
fn is_recognised(here: &mut Session, directory: &Path, uri: &str) {
    let refused = run(here, &format!("=+ {uri}"));
    assert!(refused.out.is_empty() && refused.err.starts_with("Error: "), "{refused:?}");
    assert!(refused.err.contains("net.firstuse"), "{refused:?}");
    let first = run(here, &format!("e net.firstuse=true;=+ {uri}"));
    assert!(first.err.contains("is new; trusted from now on with its certificate sha256:"), "{first:?}");
    assert!(first.out.starts_with("Connected to: 127.0.0.1 at port "), "{first:?}");
    let again = run(here, &format!("e net.firstuse=false;=-;=+ {uri}"));
    assert_eq!((again.err.as_str(), again.out.as_str()), ("", first.out.as_str()));
    let known = directory.join("known_hosts");
    let line = std::fs::read_to_string(&known).unwrap();
    let (place, _) = line.trim().split_once(" sha256:").unwrap();
    std::fs::write(&known, format!("{place} sha256:{}\n", "0".repeat(64))).unwrap();
    let changed = run(here, &format!("e net.firstuse=true;=+ {uri}"));
    assert!(changed.out.is_empty() && changed.err.contains("changed"), "{changed:?}");
    std::fs::write(&known, line).unwrap();
}

#[test]
fn tcps_hosts_run_commands_and_take_output() {
    let directory = tempfile::tempdir().unwrap();
    let place = server(directory.path(), |link| {
        let line = request(link, b"\n");
        let _ = link.write_all(format!("you said {line}").as_bytes());
    });
    let uri = format!("tcps://{place}/");
    let mut here = careful(directory.path());
    is_recognised(&mut here, directory.path(), &uri);
    assert_eq!(run(&mut here, "=").out, format!("0 - {uri}\n"));
    assert_eq!(run(&mut here, "=0 px 4").out, "you said px 4\n");
    assert_eq!(run(&mut here, "=<0 ?e pushed").err, "");
}

#[test]
fn https_hosts_get_their_commands() {
    let directory = tempfile::tempdir().unwrap();
    let place = server(directory.path(), |link| {
        let request = request(link, b"\r\n\r\n");
        let body = if request.starts_with("GET /cmd/%3FV ") { "1.0\n" } else { "over tls\n" };
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = link.write_all((head + body).as_bytes());
    });
    let uri = format!("https://{place}/");
    let mut here = careful(directory.path());
    is_recognised(&mut here, directory.path(), &uri);
    assert_eq!(run(&mut here, "=0 px").out, "over tls\n");
}

#[test]
fn raps_hosts_are_let_in_by_their_token() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("remora");
    let there = Process::spawn(program().env("XDG_STATE_HOME", home.path()).args(["raps://127.0.0.1:0"]));
    let uri = format!("raps://{}/malloc://16", there.place);
    let mut here = careful(home.path());
    // Without the token the door stays shut, whoever the server is.
    let wrong = home.path().join("wrong");
    std::fs::write(&wrong, format!("{}\n", "0".repeat(32))).unwrap();
    std::fs::set_permissions(&wrong, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let refused = run(&mut here, &format!("e net.firstuse=true;e net.token.file={};=+ {uri}", wrong.display()));
    assert!(refused.err.contains("token") && !refused.out.contains("ok"), "{refused:?}");
    std::fs::remove_file(home.path().join("known_hosts")).unwrap();
    run(&mut here, "=-");
    run(&mut here, &format!("e net.firstuse=false;e net.token.file={}", state.join("token").display()));
    is_recognised(&mut here, home.path(), &uri);
    assert_eq!(run(&mut here, "=0 w over tls;=0 ps 8;=0 s 4;=0 s").out, "over tls\n0x4\n");
    // The system's number of the connection is known through all that wraps it.
    let json: serde_json::Value = serde_json::from_str(&run(&mut here, "=j").out).unwrap();
    assert!(json[0]["descriptor"].as_u64().is_some_and(|descriptor| descriptor > 2), "{json}");
    // A server that breaks off is noticed, and named.
    drop(there);
    let gone = run(&mut here, "=0 s");
    assert!(gone.err.contains("cannot connect to 127.0.0.1:"), "{gone:?}");
}
