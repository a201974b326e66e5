//! Tokens: who has one is let in; nobody else causes anything, and it is never shown.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use remora::link::dial::{Place, dial, dial_with_token};
use remora::protocol::rap::{Request, Verb};
use remora::uri::Authority;

use super::*;
use crate::harness::program;

fn token_file(server: &Guarded, text: &str) -> PathBuf {
    let path = server.path("presented");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn right_wrong_missing_and_readable_by_others() {
    let server = Guarded::start("raps", |_| {});
    let with = |file: Option<PathBuf>| Security { token_file: file, ..server.trusting() };
    server.open("malloc://16", server.trusting()).map(drop).unwrap();

    let wrong = server.refusal("malloc://16", with(Some(token_file(&server, &"0".repeat(32)))));
    assert_eq!(wrong.kind(), Kind::Credentials, "{wrong}");
    assert!(wrong.message().ends_with("the token is not the right one"), "{wrong}");

    let bad = server.refusal("malloc://16", with(Some(token_file(&server, "not-a-token"))));
    assert!(bad.message().contains("32 hexadecimal digits") && !bad.to_string().contains("not-a"), "{bad}");

    let readable = server.path("state/token");
    let copy = token_file(&server, &read_text(&readable));
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o640)).unwrap();
    let careless = server.refusal("malloc://16", with(Some(copy)));
    assert_eq!(careless.kind(), Kind::Permission);
    assert!(careless.message().contains("others can read"), "{careless}");
}

/// The bytes of a client that asks for everything at once behind the hello `words`.
fn flood(words: &str, witness: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let command = |text: String, bytes: &mut Vec<u8>| {
        Request::Command { verb: Verb::Command, text: text.as_bytes() }.encode(bytes).unwrap();
    };
    command(format!("#rap?{words}"), &mut bytes);
    Request::Open { flags: 7, path: witness.display().to_string().as_bytes() }.encode(&mut bytes).unwrap();
    Request::Write { data: b"changed" }.encode(&mut bytes).unwrap();
    command(format!("?e x > {}.made", witness.display()), &mut bytes);
    command(format!("!touch {}.made", witness.display()), &mut bytes);
    bytes
}

#[test]
fn who_is_not_let_in_causes_nothing() {
    for words in ["", " 2", " token=00000000000000000000000000000000", " token=", " token=xx zstd", " 2 token=\x1b"] {
        let server = Guarded::start("raps", |_| {});
        let witness = server.path("witness");
        std::fs::write(&witness, "as it was").unwrap();
        let place = Place::Tls(Authority::parse(&server.server.address().to_string()).unwrap());
        let (mut link, _) = dial(&place, &server.trusting(), Duration::from_secs(5), &Cancel::new()).unwrap();
        link.set_timeout(Some(Duration::from_secs(5))).unwrap();
        link.write_all(&flood(words, &witness)).unwrap();
        link.flush().unwrap();
        let mut answer = [0; 512];
        let mut length = 0;
        while let Ok(count @ 1..) = link.read(&mut answer[length..]) {
            length += count;
            if answer[..length].ends_with(&[0]) && length > 5 {
                break;
            }
        }
        let text = String::from_utf8_lossy(&answer[5.min(length)..length]).into_owned();
        assert!(text.starts_with("rap/2 error="), "{words:?}: {text:?}");
        drop(link);
        assert_eq!(read_text(&witness), "as it was");
        assert!(!server.path("witness.made").exists());
        let events = server.audited();
        let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["connect", "refused"], "{words:?}");
    }
    // Somebody who says no hello hears nothing at all.
    let server = Guarded::start("raps", |_| {});
    let place = Place::Tls(Authority::parse(&server.server.address().to_string()).unwrap());
    let (mut link, _) = dial(&place, &server.trusting(), Duration::from_secs(5), &Cancel::new()).unwrap();
    link.set_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut bytes = Vec::new();
    Request::Open { flags: 5, path: b"/etc/passwd" }.encode(&mut bytes).unwrap();
    link.write_all(&bytes).unwrap();
    link.flush().unwrap();
    assert!(!matches!(link.read(&mut [0; 16]), Ok(1..)), "not a byte");
}

#[test]
fn tokens_travel_on_private_lines_only() {
    let server = Guarded::start("rap", |_| {});
    let path = token_file(&server, &"5".repeat(32));
    let security = Security { token_file: Some(path), ..Security::default() };
    let authority = Authority::parse(&server.server.address().to_string()).unwrap();
    let (link, _) = dial_with_token(&Place::Tcp(authority), &security, Duration::from_secs(5), &Cancel::new()).unwrap();
    assert!(link.token().is_none());
    let socket = Guarded::start("rap+unix", |_| {});
    let place = Place::Unix(socket.path("socket"));
    let (link, _) = dial_with_token(&place, &security, Duration::from_secs(5), &Cancel::new()).unwrap();
    assert!(link.token().is_some());
    let stranger = Security { anonymous: true, ..security };
    let (link, _) = dial_with_token(&place, &stranger, Duration::from_secs(5), &Cancel::new()).unwrap();
    assert!(link.token().is_none(), "what is lent to nobody");
}

#[test]
fn a_token_narrows_what_the_server_allows() {
    let server = Guarded::start("raps", |options| {
        let path = options.state.as_ref().unwrap().with_file_name("tokens");
        let text = "11111111111111111111111111111111 read,files reader\n22222222222222222222222222222222 * owner\n";
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        options.token_file = Some(path);
        options.permissions = Permissions::ALL.without(Permissions::EXEC);
    });
    let with = |digit: &str| Security { token_file: Some(token_file(&server, &digit.repeat(32))), ..server.trusting() };
    let mut reader = server.open("malloc://16", with("1")).unwrap();
    assert_eq!(text_there(&mut *reader, "p8 2"), "0000\n");
    assert!(text_there(&mut *reader, "wx 11").contains("'wx' is not permitted here: it needs write"));
    let mut owner = server.open("malloc://16", with("2")).unwrap();
    assert_eq!(text_there(&mut *owner, "o+ malloc://4 0x100; wx 11 @ 0x100; p8 1 @ 0x100"), "11\n");
    assert!(text_there(&mut *owner, "!id").contains("it needs exec"), "a token widens nothing");
    drop((reader, owner));
    let events = server.audited();
    let who = |event: &str| events.iter().find(|found| found["event"] == event).unwrap()["who"].clone();
    assert_eq!(who("enter"), "reader");
    assert!(events.iter().any(|event| event["who"] == "owner" && event["what"] == "!id"));
}

#[test]
fn a_permission_that_nobody_knows_stops_the_server() {
    let here = tempfile::tempdir().unwrap();
    let path = here.path().join("tokens");
    std::fs::write(&path, "11111111111111111111111111111111 read,fly bob\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let options = ServeOptions { token_file: Some(path), state: Some(here.path().into()), ..ServeOptions::default() };
    let error = serve::listen(&Uri::parse("raps://:0"), options).err().unwrap();
    assert!(error.to_string().contains("bob") && error.to_string().contains("'fly'"), "{error}");
    assert!(!error.to_string().contains("1111"), "{error}");
}

/// The whole way with the program at both ends: the token is found, and shown nowhere.
#[test]
fn this_accounts_own_server_needs_no_words() {
    let home = tempfile::tempdir().unwrap();
    let at_home = || {
        let mut command = program();
        command.env("XDG_STATE_HOME", home.path()).env("XDG_CONFIG_HOME", home.path());
        command
    };
    let audit = home.path().join("audit");
    let mut server = at_home()
        .args(["raps://127.0.0.1:0", "--audit"])
        .arg(&audit)
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap());
    let mut said = String::new();
    for _ in 0..3 {
        lines.read_line(&mut said).unwrap();
    }
    let address = said.lines().next().and_then(|line| line.strip_prefix("raps: listening at ")).unwrap().to_string();
    assert!(said.contains("raps: fingerprint sha256:"), "{said}");
    let path = home.path().join("remora/token");
    assert!(said.contains(&format!("raps: clients present the token in {}", path.display())), "{said}");
    let token = read_text(&path).trim().to_string();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let uri = format!("raps://{address}/malloc://16");
    let client = at_home().args(["-qc", "=!?e in; p8 2", &uri]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&client.stdout), "in\n0000\n", "{}", String::from_utf8_lossy(&client.stderr));
    assert!(!home.path().join("remora/known_hosts").exists(), "its own certificate is no news");
    // Another account has neither the token nor a reason to trust; the right token in its environment is enough.
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = |first_use: &str, token: Option<&str>| {
        let mut command = program();
        command.env("XDG_STATE_HOME", elsewhere.path()).args(["-e", first_use, "-qc", "p8 1; %", &uri]);
        if let Some(token) = token {
            command.env("REMORA_TOKEN", token);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text.into_owned())
    };
    let (code, text) = stranger("net.firstuse=false", None);
    assert!(code == Some(1) && text.contains("nobody vouches"), "{text}");
    let (code, text) = stranger("net.firstuse=true", None);
    assert!(code == Some(1) && text.contains("a token is needed") && text.contains("is new"), "{text}");
    let (code, text) = stranger("net.firstuse=false", Some(&"0".repeat(32)));
    assert!(code == Some(1) && text.contains("not the right one"), "{text}");
    let (code, text) = stranger("net.firstuse=false", Some(&token));
    assert!(code == Some(0) && text.starts_with("00\n"), "{text}");
    let (code, text) = stranger("net.firstuse=false", Some(&format!("{token}zz")));
    assert!(code == Some(1) && !text.split("REMORA_TOKEN=").next().unwrap().contains(&token), "{text}");

    server.kill().unwrap();
    server.wait().unwrap();
    lines.read_to_string(&mut said).unwrap();
    for (what, text) in [("messages", said), ("audit", read_text(&audit))] {
        assert!(!text.contains(&token), "the token is in the {what}: {text}");
    }
}

#[test]
fn a_plain_server_that_wants_a_token_does_not_get_it() {
    use std::net::TcpListener;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = vec![0; 4096];
        let mut seen = Vec::new();
        // The flight of a client: hello, OPEN, SEEK.
        while seen.len() < 13 {
            let count = stream.read(&mut bytes).unwrap();
            seen.extend_from_slice(&bytes[..count]);
        }
        let text = b"rap/2 error=a token is needed\0";
        stream.write_all(&[0x87, 0, 0, 0, text.len() as u8]).unwrap();
        stream.write_all(text).unwrap();
        let _ = stream.read_to_end(&mut seen);
        seen
    });
    let here = tempfile::tempdir().unwrap();
    let file = here.path().join("token");
    std::fs::write(&file, "5".repeat(32)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let security = Security { token_file: Some(file), ..Security::default() };
    let error = open(&format!("rap://{place}//x"), security).err().unwrap();
    assert_eq!(error.kind(), Kind::Credentials);
    assert!(error.to_string().contains("a token is needed") && error.to_string().contains("raps://"), "{error}");
    let seen = thread.join().unwrap();
    assert!(!seen.windows(8).any(|window| window == b"55555555"), "the token was sent in the clear");
}
