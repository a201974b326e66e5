//! Tests: the server, in bytes, with clients that are old, slow, rude or gone.

use super::*;

#[test]
fn the_server_speaks_the_protocol_byte_by_byte() {
    let server = Running::start(ServeOptions::default());
    let bytes = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0];
    let file = file(&bytes);
    let mut peer = server.raw();
    peer.request(Request::Open { flags: 7, path: path(&file).as_bytes() });
    peer.expect("81 00 00 00 04");
    peer.send("04 02 00 00 00 00 00 00 00 00");
    peer.expect("84 00 00 00 00 00 00 00 08");
    peer.send("04 00 00 00 00 00 00 00 00 01");
    peer.expect("84 00 00 00 00 00 00 00 01");
    // The position stays where it is, and what is not there is 0xff.
    peer.send("02 00 00 00 03");
    peer.expect("82 00 00 00 03 45 4c 46");
    peer.send("02 00 00 00 09");
    peer.expect("82 00 00 00 09 45 4c 46 02 01 01 00 ff ff");
    peer.send("02 00 00 00 00");
    peer.expect("82 00 00 00 00");
    peer.send("03 00 00 00 02 90 91");
    peer.expect("83 00 00 00 02");
    peer.send("04 01 00 00 00 00 00 00 00 00");
    peer.expect("84 00 00 00 00 00 00 00 01");
    peer.send("04 01 00 00 00 00 00 00 00 02");
    peer.expect("84 00 00 00 00 00 00 00 03");
    peer.send("04 00 80 00 00 00 00 00 00 00");
    peer.expect("84 80 00 00 00 00 00 00 00");
    peer.send("02 00 00 00 04");
    peer.expect("82 00 00 00 04 ff ff ff ff");
    // "p8 2 @ 1" in the plain form that needs no shell, then the same as opcode 6 and without a NUL.
    peer.send("04 00 00 00 00 00 00 00 00 01");
    peer.expect("84 00 00 00 00 00 00 00 01");
    peer.send("07 00 00 00 05 70 38 20 32 00");
    peer.expect("87 00 00 00 06 39 30 39 31 0a 00");
    peer.send("06 00 00 00 04 70 38 20 32");
    peer.expect("86 00 00 00 06 39 30 39 31 0a 00");
    peer.send("07 00 00 00 01 00");
    peer.expect("87 00 00 00 01 00");
    peer.send("07 00 00 00 00");
    peer.expect("87 00 00 00 01 00");
    peer.send("05 00 00 00 09");
    peer.expect("85 ff ff ff ff");
    peer.send("05 00 00 00 04");
    peer.expect("85 00 00 00 00");
    peer.send("02 00 00 00 01");
    peer.expect("82 00 00 00 01 ff");
    assert_eq!(std::fs::read(file.path()).unwrap(), [0x7f, 0x90, 0x91, 0x46, 2, 1, 1, 0]);
}

#[test]
fn packets_may_come_in_any_pieces_and_many_at_once() {
    let server = Running::start(ServeOptions::default());
    let file = file(b"0123456789");
    let mut wire = Vec::new();
    Request::Open { flags: 5, path: path(&file).as_bytes() }.encode(&mut wire).unwrap();
    for offset in 0..4 {
        Request::Seek { whence: Whence::Set, offset }.encode(&mut wire).unwrap();
        Request::Read { count: 2 }.encode(&mut wire).unwrap();
    }
    let answers = "81 00 00 00 04 \
        84 00 00 00 00 00 00 00 00 82 00 00 00 02 30 31 84 00 00 00 00 00 00 00 01 82 00 00 00 02 31 32 \
        84 00 00 00 00 00 00 00 02 82 00 00 00 02 32 33 84 00 00 00 00 00 00 00 03 82 00 00 00 02 33 34";
    let mut whole = server.raw();
    whole.0.write_all(&wire).unwrap();
    whole.expect(answers);
    let mut slow = server.raw();
    slow.0.set_nodelay(true).unwrap();
    for byte in &wire {
        slow.0.write_all(&[*byte]).unwrap();
    }
    slow.expect(answers);
}

#[test]
fn lengths_beyond_the_limits_are_cut_skipped_or_end_the_connection() {
    let server = Running::start(ServeOptions::default());
    let mut peer = server.raw();
    for count in ["00 00 10 01", "80 00 00 00", "ff ff ff ff"] {
        peer.send(&format!("02 {count}"));
        let (reply, data) = peer.reply();
        assert_eq!(reply, Reply::Read { length: 4096 });
        assert!(data.iter().all(|byte| *byte == 0xff));
    }
    // A byte too long: skipped, answered, and the next packet is understood.
    peer.request(Request::Oversized { opcode: 7, length: 0x10_0001 });
    peer.0.write_all(&vec![b'#'; 0x10_0001]).unwrap();
    peer.expect("87 00 00 00 01 00");
    peer.request(Request::Oversized { opcode: 3, length: 0x10_0001 });
    peer.0.write_all(&vec![0; 0x10_0001]).unwrap();
    peer.expect("83 ff ff ff ff");
    peer.send("07 00 00 00 01 00");
    peer.expect("87 00 00 00 01 00");
    for rude in ["07 ff ff ff ff", "03 ff ff ff ff", "09", "00", "ff", "47 45 54 20 2f", "87 00 00 00 01 00"] {
        let mut peer = server.raw();
        peer.send(rude);
        assert!(peer.is_hung_up_on(), "{rude}");
    }
}

#[test]
fn noise_ends_its_own_connection_and_nothing_else() {
    let server = Running::start(ServeOptions::default());
    let mut witness = server.client("malloc://64").unwrap();
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    for _ in 0..50 {
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as u8
        })
        .take(300)
        .collect();
        let mut peer = server.raw().0;
        // The server may hang up while this is being sent.
        let _ = peer.write_all(&noise);
        let _ = peer.shutdown(Shutdown::Write);
        let _ = peer.read_to_end(&mut Vec::new());
    }
    assert_eq!(read(&mut witness, 0, 4).unwrap(), [0; 4]);
    assert_eq!(read(&mut server.client("malloc://64").unwrap(), 0, 4).unwrap(), [0; 4]);
}

#[test]
fn a_client_that_stalls_in_a_packet_is_dropped_and_disturbs_nobody() {
    let options = ServeOptions { patience: Duration::from_millis(50), ..ServeOptions::default() };
    let server = Running::start(options);
    let mut idle = server.client("malloc://64").unwrap();
    let mut stalled = server.raw();
    stalled.send("03 00 00 00 10 41 41");
    let mut other = server.client("malloc://64").unwrap();
    assert_eq!(other.write(0, b"fine").unwrap(), 4);
    assert_eq!(read(&mut other, 0, 4).unwrap(), b"fine");
    assert!(stalled.is_hung_up_on());
    // Between packets a client may take its time.
    assert_eq!(read(&mut idle, 0, 1).unwrap(), [0]);
    assert_eq!(idle.traffic().round_trips, 2);
}

#[test]
fn every_client_has_its_own_seek_files_and_block_size() {
    let server = Running::start(ServeOptions::default());
    let (mut one, mut two) = (server.raw(), server.raw());
    for (peer, path) in [(&mut one, "malloc://16"), (&mut two, "malloc://32")] {
        peer.request(Request::Open { flags: 7, path: path.as_bytes() });
        peer.expect("81 00 00 00 04");
    }
    one.send("04 00 00 00 00 00 00 00 00 08");
    one.expect("84 00 00 00 00 00 00 00 08");
    two.send("04 01 00 00 00 00 00 00 00 00");
    two.expect("84 00 00 00 00 00 00 00 00");
    one.send("03 00 00 00 01 55");
    one.expect("83 00 00 00 01");
    two.send("04 00 00 00 00 00 00 00 00 08");
    two.expect("84 00 00 00 00 00 00 00 08");
    two.send("02 00 00 00 01");
    two.expect("82 00 00 00 01 00");
    two.send("04 02 00 00 00 00 00 00 00 00");
    two.expect("84 00 00 00 00 00 00 00 20");
}

#[test]
fn stopping_ends_every_client_wherever_it_is() {
    let server = serve::rap::listen(&Authority::parse(":0").unwrap(), ServeOptions::default()).unwrap();
    let running = server.clone();
    let thread = std::thread::spawn(move || running.run());
    let mut peers: Vec<Raw> = (0..3).map(|_| Raw(TcpStream::connect(server.address()).unwrap())).collect();
    for peer in &mut peers {
        peer.send("07 00 00 00 01 00");
        peer.expect("87 00 00 00 01 00");
    }
    peers[1].send("02 00");
    peers[2].send("03 00 00 10 00 41");
    server.stop();
    thread.join().unwrap();
    assert!(peers.iter_mut().all(Raw::is_hung_up_on));
}

#[test]
fn a_file_that_cannot_be_opened_ends_an_old_client_and_is_explained_to_ours() {
    let server = Running::start(ServeOptions::default());
    let mut old = server.raw();
    old.request(Request::Open { flags: 5, path: b"/nosuch/file" });
    assert!(old.is_hung_up_on());
    let error = server.client("/nosuch/file").err().unwrap();
    assert_eq!(error.kind(), Kind::NotFound);
    let place = server.place();
    let start = format!("'/nosuch/file' cannot be opened at {place}: ");
    assert!(error.message().starts_with(&start), "{error}");
    assert!(error.message().contains("No such file or directory"), "{error}");
    let mut empty = server.raw();
    empty.send("01 00 01 00");
    assert!(empty.is_hung_up_on());
}

#[test]
fn what_a_client_may_not_do_it_cannot_do() {
    let file = file(b"precious");
    let server = Running::start(ServeOptions { permissions: Permissions::READ, ..ServeOptions::default() });
    assert_eq!(server.client(&path(&file)).err().unwrap().kind(), Kind::NotFound);
    let readers = Permissions::READ.and(Permissions::FILES);
    let server = Running::start(ServeOptions { permissions: readers, ..ServeOptions::default() });
    assert!(server.client(&path(&file)).is_err());
    let mut reader = connect(&server.place(), &path(&file), 5).unwrap();
    assert_eq!(read(&mut reader, 0, 8).unwrap(), b"precious");
    assert_eq!(reader.write(0, b"x").unwrap_err().kind(), Kind::Permission);
    assert_eq!(std::fs::read(file.path()).unwrap(), b"precious");
}

#[test]
fn errors_are_comments_and_long_replies_are_cut_for_old_clients_only() {
    let server = Running::start(ServeOptions::default());
    let mut old = server.raw();
    old.request(Request::Open { flags: 5, path: b"malloc://65536" });
    old.reply();
    for (line, start) in [(&b"nosuchcommand"[..], &b"# Error: "[..]), (b"p8 20000", b"00000000")] {
        old.request(Request::Command { verb: COMMAND, text: line });
        let (_, text) = old.reply();
        assert!(text.starts_with(start));
        assert!(text.len() <= 16384 && text.ends_with(b"\n\0"));
    }
    let mut ours = server.client("malloc://65536").unwrap();
    assert_eq!(command(&mut ours, "p8 20000"), format!("{}\n", "00".repeat(20000)));
    assert!(command(&mut ours, "p8 0x100000").ends_with("\n# Error: the reply was cut here\n"));
    assert_eq!(command(&mut ours, ""), "");
}

#[test]
fn more_clients_than_allowed_are_turned_away() {
    let server = Running::start(ServeOptions { clients: 1, ..ServeOptions::default() });
    let mut first = server.client("malloc://8").unwrap();
    assert_eq!(server.client("malloc://8").err().unwrap().kind(), Kind::Closed);
    assert_eq!(read(&mut first, 0, 1).unwrap(), [0]);
}

#[test]
fn slow_commands_keep_old_clients_alive() {
    // The command is slow because it reads from a server that answers only when it is told to.
    let (go, wait) = channel::<()>();
    let mut memory = pattern(64);
    let mut seek = 0;
    let fake = Fake::start(move |request| {
        if matches!(request, Request::Read { .. }) && wait.recv().is_err() {
            return None;
        }
        old(&mut memory, &mut seek, request)
    });
    let options = ServeOptions {
        keep_alive: Duration::from_millis(1),
        schemes: vec!["rap".to_string()],
        ..ServeOptions::default()
    };
    let server = Running::start(options);
    let mut peer = server.raw();
    peer.request(Request::Open { flags: 5, path: format!("rap://{}//f", fake.place).as_bytes() });
    peer.expect("81 00 00 00 04");
    peer.send("07 00 00 00 05 70 38 20 32 00");
    peer.expect("07 00 00 00 02 23 00");
    peer.send("87 00 00 00 01 00");
    peer.expect("07 00 00 00 02 23 00");
    peer.send("87 00 00 00 01 00");
    go.send(()).unwrap();
    loop {
        match peer.reply() {
            (Reply::Reverse { .. }, _) => peer.send("87 00 00 00 01 00"),
            (Reply::Command { .. }, text) => {
                assert_eq!(text, b"0007\n\0");
                break;
            }
            (other, _) => panic!("{other:?}"),
        }
    }
    peer.send("07 00 00 00 01 00");
    peer.expect("87 00 00 00 01 00");
}

#[test]
fn a_command_ends_when_its_client_goes_away() {
    // The command waits for a server that never answers a read.
    let fake = Fake::start(|request| match request {
        Request::Read { .. } => Some(Vec::new()),
        request => old(&mut [0; 64], &mut 0, request),
    });
    let server = Running::start(ServeOptions {
        keep_alive: Duration::from_millis(1),
        schemes: vec!["rap".to_string()],
        ..ServeOptions::default()
    });
    for probe in [false, true] {
        let mut peer = server.raw();
        if probe {
            peer.request(Request::Command { verb: COMMAND, text: b"#rap?" });
            peer.reply();
        }
        peer.request(Request::Open { flags: 5, path: format!("rap://{}//f", fake.place).as_bytes() });
        peer.expect("81 00 00 00 04");
        peer.send("07 00 00 00 05 70 38 20 32 00");
        let started = |request: &String| request.starts_with("Read");
        while !started(&fake.requests.recv_timeout(Duration::from_millis(2500)).unwrap()) {}
        drop(peer);
        // Its device is closed with it, long before the read's own deadline.
        while fake.requests.recv_timeout(Duration::from_millis(2500)).unwrap() != "end" {}
    }
}

#[test]
fn listeners_are_for_this_machine_unless_a_host_is_named() {
    let listen = |uri: &str| serve::listen(&Uri::parse(uri), ServeOptions::default());
    assert!(listen("rap://:0").unwrap().address().ip().is_loopback());
    // Refused before anything is bound: the port is taken, and that is not what is said.
    let anywhere = listen(&format!("rap://0.0.0.0:{}", listen("rap://:0").unwrap().address().port())).err().unwrap();
    assert_eq!(anywhere.kind(), Kind::Permission, "{anywhere}");
    let insecure = ServeOptions { insecure: true, ..ServeOptions::default() };
    let anywhere = serve::listen(&Uri::parse("rap://0.0.0.0:0"), insecure).unwrap();
    assert!(anywhere.address().ip().is_unspecified());
    let taken = listen("rap://:0").unwrap();
    let error = listen(&format!("rap://:{}", taken.address().port())).err().unwrap();
    assert_eq!(error.message(), format!("cannot listen at {}: Address already in use", taken.address()));
    assert_eq!(listen("rap://localhost").err().unwrap().kind(), Kind::Usage);
    assert_eq!(listen("gopher://:70").err().unwrap().kind(), Kind::UnknownScheme);
    if let Ok(six) = listen("rap://[::1]:0") {
        assert!(six.address().is_ipv6());
    } else {
        println!("absent: IPv6");
    }
}
