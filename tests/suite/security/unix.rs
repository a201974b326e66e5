//! Unix sockets: for their owner alone.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use remora::link::memory;
use remora::serve::{Clients, rap};

use super::*;

#[test]
fn a_socket_is_private_and_gone_at_the_end() {
    let mut server = Guarded::start("rap+unix", |_| {});
    let socket = server.path("socket");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let mut device = server.open("malloc://16", Security::default()).unwrap();
    assert_eq!(run_there(&mut *device, "?e in").out, "in\n");
    drop(device);
    let file = server.path("file");
    std::fs::write(&file, "text").unwrap();
    // The path of the file follows the first `//`.
    let uri = format!("rap+unix://{}/{}", socket.display(), file.display());
    let mut bytes = [0; 4];
    open(&uri, Security::default()).unwrap().read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"text");
    server.stop();
    assert!(!socket.exists());
    let users: Vec<_> = server.audited().iter().map(|event| event["who"].as_str().unwrap().to_string()).collect();
    assert!(users.iter().all(|who| who == &format!("user {}", rustix::process::geteuid().as_raw())), "{users:?}");
}

#[test]
fn only_a_dead_socket_is_replaced() {
    let here = tempfile::tempdir().unwrap();
    let path = here.path().join("deep/socket");
    let uri = Uri::parse(&format!("rap+unix://{}", path.display()));
    let listen = || serve::listen(&uri, ServeOptions::default());
    let first = listen().unwrap();
    let directory = std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode();
    assert_eq!(directory & 0o777, 0o700, "a directory that is made is private");
    assert!(listen().err().unwrap().message().contains("a server answers there already"));
    drop(first);
    // Left behind by a server that died.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(listen().unwrap());
    std::fs::write(&path, "precious").unwrap();
    assert!(listen().err().unwrap().message().contains("no socket"));
    assert_eq!(read_text(&path), "precious");
}

#[test]
fn other_users_are_turned_away() {
    let here = tempfile::tempdir().unwrap();
    let audit = here.path().join("audit");
    let options = ServeOptions { audit: Some(audit.clone()), ..ServeOptions::default() };
    let clients = Clients::new(&rap::SERVICE, options).unwrap();
    let own = rustix::process::geteuid().as_raw();
    for (user, welcome) in [(own, true), (0, true), (own + 1, false)] {
        let (_near, far) = memory::pair(std::time::Duration::ZERO);
        let outcome = clients.admit_as(Box::new(far), "/socket", Some(user));
        assert_eq!(outcome.is_ok(), welcome, "{user}");
        if let Err(error) = outcome {
            assert_eq!(error.kind(), Kind::Permission);
        }
    }
    drop(clients);
    let text = read_text(&audit);
    let stranger = text.lines().find(|line| line.contains(&format!("user {}", own + 1))).unwrap();
    assert!(stranger.contains("\"refused\"") && stranger.contains("for its owner alone"), "{stranger}");
}
