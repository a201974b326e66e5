//! TLS: which servers a client believes, and which clients a server does.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use remora::link::tls::Identity;

use super::*;

#[test]
fn bytes_and_commands_go_through_tls() {
    let server = Guarded::start("raps", |_| {});
    let file = server.path("file");
    std::fs::write(&file, [7; 100_000]).unwrap();
    let mut device = server.open(&file.display().to_string(), server.trusting()).unwrap();
    let mut bytes = vec![0; 100_000];
    assert_eq!(device.read_at(0, &mut bytes).unwrap(), 100_000);
    assert!(bytes.iter().all(|byte| *byte == 7));
    assert_eq!(run_there(&mut *device, "?e hello").out, "hello\n");
}

#[test]
fn a_new_host_is_recorded_once_and_said() {
    let server = Guarded::start("raps", |_| {});
    let open = Open { security: server.trusting(), ..Open::default() };
    let uri = Uri::parse(&server.uri("malloc://16"));
    plugin::open(&uri, &open).map(drop).unwrap();
    let said = open.notices.take();
    let fingerprint = Identity::load_or_create(&server.path("state")).unwrap().fingerprint();
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("is new") && said[0].contains(&fingerprint.to_string()), "{said:?}");
    // Known by now, so nothing is said and nothing has to be allowed.
    let known = Open { security: Security { first_use: false, ..server.trusting() }, ..Open::default() };
    plugin::open(&uri, &known).map(drop).unwrap();
    assert!(known.notices.take().is_empty());
    assert_eq!(read_text(&server.path("known_hosts")), format!("{} {fingerprint}\n", server.server.address()));
}

#[test]
fn unknown_changed_and_other_certificates_are_refused_each_in_its_words() {
    let server = Guarded::start("raps", |_| {});
    let unknown = server.refusal("malloc://16", Security { first_use: false, ..server.trusting() });
    assert_eq!(unknown.kind(), Kind::Untrusted);
    assert!(unknown.message().contains("nobody vouches for the certificate"), "{unknown}");
    assert!(!server.path("known_hosts").exists());

    let other = "sha256:".to_string() + &"07".repeat(32);
    let record = format!("{} {other}\n", server.server.address());
    std::fs::write(server.path("known_hosts"), &record).unwrap();
    let changed = server.refusal("malloc://16", server.trusting());
    assert_eq!(changed.kind(), Kind::Untrusted);
    assert!(changed.message().contains("has changed") && changed.to_string().contains("line 1 of"), "{changed}");
    assert_eq!(read_text(&server.path("known_hosts")), record, "a refused certificate replaces nothing");

    let pinned = Security { fingerprint: Some(other.parse().unwrap()), ..server.trusting() };
    let pinned = server.refusal("malloc://16", pinned);
    assert!(pinned.message().contains("another certificate than the pinned one"), "{pinned}");

    let right = Identity::load_or_create(&server.path("state")).unwrap().fingerprint();
    let right = Security { fingerprint: Some(right), first_use: false, ..server.trusting() };
    server.open("malloc://16", right).map(drop).unwrap();
    // Nothing was asked of the server by those who did not believe it.
    let events = server.audited();
    assert_eq!(events.iter().filter(|event| event["event"] == "open").count(), 1, "{events:?}");
    assert_eq!(events.iter().filter(|event| event["event"] == "enter").count(), 1);
}

#[test]
fn a_silent_server_is_waited_for_until_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = Uri::parse(&format!("raps://{}/x", listener.local_addr().unwrap()));
    let open = Open { timeout: Duration::from_millis(100), ..Open::default() };
    let error = plugin::open(&uri, &open).err().unwrap();
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    assert!(error.message().contains("no TLS handshake"), "{error}");
}

#[test]
fn a_stalled_handshake_keeps_nobody_waiting() {
    let server = Guarded::start("raps", |_| {});
    let stalled: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(server.server.address()).unwrap()).collect();
    let mut nonsense = TcpStream::connect(server.server.address()).unwrap();
    nonsense.write_all(b"\x01\x05\x08/bin/ls\0").unwrap();
    server.open("malloc://16", server.trusting()).map(drop).unwrap();
    drop(stalled);
    let refused = |event: &&serde_json::Value| event["event"] == "refused";
    assert!(server.audited().iter().any(|event| refused(&event)));
}

/// An authority, and a client's certificate with its key that it signed, as PEM.
fn authority() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().unwrap();
    let signed = CertificateParams::new(vec!["client".to_string()]).unwrap().signed_by(&own, &issuer).unwrap();
    (root, signed.pem() + &own.serialize_pem())
}

#[test]
fn mutual_tls_lets_in_who_was_signed() {
    let here = tempfile::tempdir().unwrap();
    let (root, client) = authority();
    let (_, stranger) = authority();
    let file = |name: &str, text: &str| {
        let path = here.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let root = file("root.pem", &root);
    let server = Guarded::start("raps", |options| options.client_authority = Some(root));
    // The certificate is the credential: no token is asked for.
    assert!(!server.path("state/token").exists());
    let shows =
        |path: PathBuf| Security { identity: Some((path.clone(), path)), token_file: None, ..server.trusting() };
    let mut device = server.open("malloc://16", shows(file("client.pem", &client))).unwrap();
    assert_eq!(run_there(&mut *device, "?e in").out, "in\n");
    drop(device);
    for security in [shows(file("stranger.pem", &stranger)), Security { identity: None, ..shows(PathBuf::new()) }] {
        let error = server.refusal("malloc://16", security);
        assert!(matches!(error.kind(), Kind::Permission | Kind::Closed | Kind::Protocol), "{error}");
    }
    let events = server.audited();
    let opened: Vec<_> = events.iter().filter(|event| event["event"] == "open").collect();
    assert_eq!(opened.len(), 1);
    assert!(opened[0]["who"].as_str().unwrap().starts_with("certificate sha256:"), "{opened:?}");
    assert_eq!(events.iter().filter(|event| event["event"] == "refused").count(), 2, "{events:?}");
}
