//! Tests: our client with servers that are old, strange or hostile.

use super::*;

#[test]
fn old_servers_get_small_packets_many_at_a_time() {
    let mut memory = pattern(200_000);
    let mut seek = 0;
    let fake = Fake::start(move |request| old(&mut memory, &mut seek, request));
    let mut client = connect(&fake.place, "/some/file", 7).unwrap();
    assert_eq!(client.size(), Some(200_000));
    assert_eq!(client.traffic().round_trips, 1);
    assert!(read(&mut client, 0, 65536).unwrap() == pattern(65536));
    assert_eq!(client.traffic().round_trips, 2);
    assert!(read(&mut client, 0, 200_000).unwrap() == pattern(200_000));
    assert!(client.traffic().round_trips <= 2 + 7, "{:?}", client.traffic());
    // The truth value of an old server means all of the packet.
    assert_eq!(client.write(10, &[0x55; 10_000]).unwrap(), 10_000);
    assert_eq!(read(&mut client, 10, 10_000).unwrap(), [0x55; 10_000]);
    assert_eq!(command(&mut client, "s"), "ok\n");
    let long = "x".repeat(5000);
    assert_eq!(client.command(&long, &Cancel::new()).unwrap_err().kind(), Kind::Limit);
    assert_eq!(command(&mut client, "s"), "ok\n");
}

#[test]
fn a_server_without_commands_is_asked_for_the_file_alone() {
    let mut memory = pattern(100);
    let mut seek = 0;
    let fake = Fake::start(move |request| match request {
        Request::Command { .. } => None,
        request => old(&mut memory, &mut seek, request),
    });
    let mut client = connect(&fake.place, "/some/file", 5).unwrap();
    assert_eq!(read(&mut client, 3, 5).unwrap(), pattern(100)[3..8]);
}

#[test]
fn an_old_server_that_hangs_up_on_open_has_no_such_file() {
    let fake = Fake::start(|request| match request {
        Request::Command { .. } => reply(Reply::Command { verb: COMMAND, length: 1 }, &[0]),
        _ => None,
    });
    let error = connect(&fake.place, "/nosuch", 5).err().unwrap();
    assert_eq!(error.to_string(), format!("'/nosuch' cannot be opened at {}", fake.place));
}

#[test]
fn nothing_a_server_asks_for_is_executed() {
    let bait = tempfile::tempdir().unwrap();
    let touched = bait.path().join("touched");
    let demand = format!("!touch {}", touched.display());
    let mut memory = pattern(100);
    let mut seek = 0;
    let answers = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&answers);
    let fake = Fake::start(move |request| match request {
        Request::Command { text: b"s", .. } => {
            let mut bytes = Vec::new();
            for text in [demand.as_bytes(), b"#", b""] {
                Reply::Reverse { length: text.len() as u32 + 1 }.encode(&mut bytes);
                bytes.extend_from_slice(text);
                bytes.push(0);
            }
            Some(bytes)
        }
        Request::Answer { text } => {
            assert_eq!(text, b"");
            let mut answers = counted.lock().unwrap();
            *answers += 1;
            if *answers == 3 { reply(Reply::Command { verb: COMMAND, length: 4 }, b"0x0\0") } else { Some(Vec::new()) }
        }
        request => old(&mut memory, &mut seek, request),
    });
    let mut client = connect(&fake.place, "/some/file", 5).unwrap();
    assert_eq!(command(&mut client, "s"), "0x0");
    assert_eq!(*answers.lock().unwrap(), 3);
    assert!(!touched.exists());
}

#[test]
fn servers_that_lie_are_left_and_tried_again() {
    type Lie = fn(Request<'_>) -> Option<Vec<u8>>;
    let lies: [(&str, Lie, Kind); 5] = [
        ("more than asked", |_| reply(Reply::Read { length: 4097 }, &[0; 4097]), Kind::Protocol),
        ("an endless length", |_| reply(Reply::Read { length: u32::MAX }, &[]), Kind::Limit),
        ("another reply", |_| reply(Reply::Write { result: 1 }, &[]), Kind::Protocol),
        ("no packet", |_| Some(vec![0x55; 8]), Kind::Protocol),
        ("half a reply", |_| None, Kind::Closed),
    ];
    for (what, lie, kind) in lies {
        let mut memory = pattern(8192);
        let mut seek = 0;
        let mut reads = 0;
        let fake = Fake::start(move |request| match request {
            Request::Read { .. } if reads == 0 => {
                reads += 1;
                lie(request)
            }
            request => old(&mut memory, &mut seek, request),
        });
        let mut client = connect(&fake.place, "/some/file", 5).unwrap();
        let error = read(&mut client, 0, 4096).unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error}");
        assert!(error.to_string().contains("the next use connects again"), "{error}");
        assert!(!client.is_connected());
        assert!(read(&mut client, 0, 4096).unwrap() == pattern(4096), "{what}");
    }
}

#[test]
fn a_server_that_goes_elsewhere_is_not_believed() {
    let fake = Fake::start(|request| match request {
        Request::Seek { whence: Whence::Set, offset } => reply(Reply::Seek { position: offset + 1 }, &[]),
        request => old(&mut [0; 64], &mut 0, request),
    });
    let mut client = connect(&fake.place, "/some/file", 7).unwrap();
    assert_eq!(read(&mut client, 0, 4).unwrap_err().kind(), Kind::Protocol);
    assert_eq!(client.write(0, b"1234").unwrap_err().kind(), Kind::Protocol);
}

#[test]
fn waiting_ends_by_deadline_or_by_the_user() {
    let fake = Fake::start(|request| match request {
        Request::Read { .. } | Request::Command { text: b"sleep", .. } => Some(Vec::new()),
        request => old(&mut [0; 64], &mut 0, request),
    });
    let authority = Authority::parse(&fake.place).unwrap();
    let dial = move |cancel: &Cancel| remora::link::connect(&authority, Duration::from_secs(60), cancel);
    let patient = Target { timeout: Duration::from_millis(200), ..target(&fake.place, "/some/file", 5) };
    let mut client = Client::connect(Box::new(dial), patient).unwrap();
    assert_eq!(read(&mut client, 0, 4).unwrap_err().kind(), Kind::Timeout);
    // Commands have no deadline of their own, but Ctrl-C.
    let cancel = Cancel::new();
    let outcome = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.command("sleep", &cancel));
        while !fake.requests.recv().unwrap().contains(&format!("{:?}", b"sleep")) {}
        let pressed = Instant::now();
        cancel.set();
        let outcome = waiting.join().unwrap();
        assert!(pressed.elapsed() < Duration::from_secs(5));
        outcome
    });
    assert_eq!(outcome.unwrap_err().kind(), Kind::Interrupted);
}
