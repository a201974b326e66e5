//! Tests: rap 2 between our own ends, and with peers that only pretend.

use remora::link::rap::Sought;
use remora::output::progress::{Display, Report};
use remora::output::{Executor, Out, Style};
use remora::protocol::rap2::{self, Answer, Head, LATEST, Part, Ran, Range, Stat, Status};

use super::device::distant;
use super::*;

/// What a line does to a client.
fn execute(client: &mut Client, line: &str, cancel: &Cancel) -> (Result<()>, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let outcome = client.execute(line, &mut Out::new(&mut out, &mut err, Style::default(), cancel.clone()));
    (outcome, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// A file that was changed so long ago that its version is known.
fn settled(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = file(bytes);
    let open = remora::io::Open::default();
    let device = remora::io::plugin::open(&Uri::parse(&path(&file)), &open).unwrap();
    let begun = Instant::now();
    while device.version().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the version of a file never becomes known");
        std::thread::yield_now();
    }
    file
}

/// A session that looks at `path` over a far line, with its flights.
fn looking_at(path: &str) -> (Session, Arc<AtomicU64>, Arc<Clients>) {
    let (client, flights, clients) = distant(Duration::ZERO, path);
    let mut session = Session::new();
    session.with(|core, _| {
        let fd = core.io.adopt("rap://memory", Access::RWX, Box::new(Remote::new(client, Access::RWX)));
        core.io.map_whole(fd, 0).unwrap();
    });
    (session, flights, clients)
}

impl Raw {
    fn ask(&mut self, id: u32, request: &rap2::Request<'_>) {
        let mut bytes = Vec::new();
        request.encode(id, &mut bytes).unwrap();
        self.0.write_all(&bytes).unwrap();
    }

    /// The next answer.
    fn frame(&mut self) -> (u32, Part, Vec<u8>) {
        self.0.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut head = [0; rap2::HEAD];
        self.0.read_exact(&mut head).unwrap();
        let head = Head::answer(&head, rap2::FRAME).unwrap().unwrap();
        let mut body = vec![0; head.length];
        self.0.read_exact(&mut body).unwrap();
        (head.id, head.tag, body)
    }

    /// Says hello, opens `path`, and checks that both is answered.
    fn greeted(mut self, path: &str) -> Raw {
        self.request(Request::Command { verb: COMMAND, text: b"#rap? 2" });
        let (_, words) = self.reply();
        assert!(words.starts_with(b"rap/2 max_read=1048576 max_cmd=1048576 max_frame=1114112 can=stat,read,"));
        self.request(Request::Open { flags: 7, path: path.as_bytes() });
        self.expect("81 00 00 00 04");
        self
    }
}

#[test]
fn a_file_opened_again_costs_one_round_trip_and_no_content() {
    let bytes = pattern(300_000);
    let file = settled(&bytes);
    let look = "p8 100 @ 200000";
    let (mut first, flights, _clients) = looking_at(&path(&file));
    let shown = run(&mut first, look).out;
    assert_eq!(flights.load(Ordering::SeqCst), 2);
    for _ in 0..2 {
        let (client, flights, _clients) = distant(Duration::ZERO, &path(&file));
        let before = client.traffic().received;
        assert!(before < 1000, "{before} bytes to open");
        let mut again = Session::new();
        again.with(|core, _| {
            let fd = core.io.adopt("rap://memory", Access::RWX, Box::new(Remote::new(client, Access::RWX)));
            core.io.map_whole(fd, 0).unwrap();
        });
        assert_eq!(run(&mut again, look).out, shown);
        assert_eq!(flights.load(Ordering::SeqCst), 1);
    }
    // What has changed is fetched, here and where it was open all the time and is opened again.
    std::fs::write(file.path(), vec![0xaa; 300_000]).unwrap();
    let (mut changed, _, _clients) = looking_at(&path(&file));
    assert_eq!(run(&mut changed, look).out, format!("{}\n", "aa".repeat(100)));
}

#[test]
fn pages_are_not_found_under_the_version_that_a_write_has_ended() {
    let file = settled(&pattern(1000));
    let (mut one, _, _clients) = looking_at(&path(&file));
    run(&mut one, "p8 4");
    assert_eq!(run(&mut one, "wx 99; p8 2").out, "9907\n");
    let (mut two, _, _clients) = looking_at(&path(&file));
    assert_eq!(run(&mut two, "p8 2").out, "9907\n");
    // Somebody else writes: who opens the file again sees it.
    std::fs::write(file.path(), vec![0x55; 1000]).unwrap();
    let (mut three, _, _clients) = looking_at(&path(&file));
    assert_eq!(run(&mut three, "p8 2").out, "5555\n");
    // A command over there may change anything, and is believed to.
    assert_eq!(run(&mut three, "=!wx 66; p8 2").out, "6655\n");
}

#[test]
fn a_digest_is_made_where_the_bytes_are() {
    let size = 40 << 20;
    let (mut session, flights, clients) = looking_at(&format!("malloc://{size}"));
    let here = run(&mut crate::harness::session(&format!("malloc://{size}")), &format!("ph sha256 @! {size}")).out;
    assert_eq!(run(&mut session, &format!("ph sha256 @! {size}")).out, here);
    assert_eq!(flights.load(Ordering::SeqCst), 2, "one to open, one for the digest");
    // Held-back bytes are known here alone, and what is not there, too.
    let held = "e io.cache=true; wx ff; ph crc32 4";
    assert_eq!(run(&mut session, held).out, run(&mut crate::harness::session("malloc://16"), held).out);
    assert_eq!(run(&mut session, "ph xor 0x10 @ 0x2800000").err, "");
    assert_eq!(run(&mut session, "ph nosuch 4").err, "Error: no hash algorithm is called 'nosuch' ('ph' lists them)\n");
    drop(session);
    clients.stop();
}

#[test]
fn patterns_are_found_where_the_bytes_are() {
    let mut bytes = vec![0; 5 << 20];
    for at in [3, (1 << 20) - 2, 4 << 20] {
        bytes[at..at + 4].copy_from_slice(b"ELFx");
    }
    let file = file(&bytes);
    let (mut session, flights, _clients) = looking_at(&path(&file));
    let before = flights.load(Ordering::SeqCst);
    assert_eq!(run(&mut session, "/q ELF").out, "0x00000003\n0x000ffffe\n0x00400000\n");
    let cost = flights.load(Ordering::SeqCst) - before;
    assert!(cost <= 2, "{cost} round trips");
    let (mut client, ..) = distant(Duration::ZERO, &path(&file));
    let sought =
        Sought { address: 0, length: 5 << 20, align: 2, limit: 1, needle: b"ELF", mask: Some(&[0xff, 0xff, 0]) };
    let mut hits = Vec::new();
    client
        .search(&sought, &Cancel::new(), &mut |hit| {
            hits.push(hit);
            true
        })
        .unwrap();
    assert_eq!(hits, [(1 << 20) - 2]);
    // Whoever has seen enough says so, and the connection goes on.
    let all = Sought { align: 0, limit: 0, ..sought };
    let mut seen = 0;
    client
        .search(&all, &Cancel::new(), &mut |_| {
            seen += 1;
            false
        })
        .unwrap();
    assert_eq!(seen, 1);
    assert_eq!(read(&mut client, 3, 4).unwrap(), b"ELFx");
    assert!(client.is_connected());
}

#[test]
fn lines_run_with_their_errors_apart_and_with_what_they_leave() {
    let server = Running::start(ServeOptions::default());
    let mut here = crate::harness::session("malloc://16");
    run(&mut here, &format!("=+ rap://{}/malloc://4194304", server.place()));
    let said = run(&mut here, "=0 \"?e one; quux; ?e two; quuux\"");
    assert_eq!(said.out, "one\ntwo\n");
    assert_eq!(said.err, "Error: Command 'quux' does not exist.\nError: Command 'quuux' does not exist.\n");
    assert!(here.view.failed);
    // `$?` follows the other side, and so does the exit status.
    assert_eq!(run(&mut here, "=0 \"?v 0x2a\"; ?v $?").out, "0x2a\n0x2a\n");
    assert!(!here.view.failed);
    assert_eq!(run(&mut here, "=0 \"quux; ?v 7\"; ?v $?").out, "0x7\n0x7\n");
    assert!(here.view.failed);
    let open = run(&mut here, "=0 \"?e a(b\"");
    assert!(open.out.is_empty() && open.err.starts_with("Error: "), "{open:?}");
    // No limit on what a line prints.
    assert_eq!(run(&mut here, "=0 p8 3145728").out.len(), 2 * 3145728 + 1);
    // Nothing in it steers a terminal.
    assert_eq!(run(&mut here, "=0 \"?e \\x1b[31m\"").out.matches('\x1b').count(), 0);
    assert_eq!(run(&mut here, "=0 ws \\x1b[2J; =0 psz").out.matches('\x1b').count(), 0);
}

#[test]
fn output_comes_as_it_is_produced() {
    let server = Running::start(ServeOptions::default());
    let mut client = server.client("malloc://1073741824").unwrap();
    // Much more than is ever buffered: whoever has seen enough of it ends it over there.
    struct Enough(usize);
    impl Write for Enough {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            if self.0 > 1 << 20 { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (mut out, mut err) = (Enough(0), Vec::new());
    let mut out = Out::new(&mut out, &mut err, Style::default(), Cancel::new());
    let error = client.execute("px 1073741824", &mut out).unwrap_err();
    assert!(remora::output::reader_is_gone(&error), "{error}");
    assert!(client.is_connected());
    assert!(client.traffic().received < 64 << 20);
    assert_eq!(execute(&mut client, "?e on", &Cancel::new()).1, "on\n");
}

#[test]
fn ctrl_c_ends_the_command_over_there_and_nothing_else() {
    // The command waits for a third server that never answers a read.
    let fake = Fake::start(|request| match request {
        Request::Read { .. } => Some(Vec::new()),
        request => old(&mut [0; 64], &mut 0, request),
    });
    let options = ServeOptions { schemes: vec!["rap".to_string()], ..ServeOptions::default() };
    let server = Running::start(options);
    let mut client = server.client("malloc://16").unwrap();
    let lost = client.traffic().round_trips;
    execute(&mut client, "s 5", &Cancel::new()).0.unwrap();
    execute(&mut client, &format!("e net.timeout=100000;on rap://{}//f", fake.place), &Cancel::new()).0.unwrap();
    let cancel = Cancel::new();
    let outcome = std::thread::scope(|scope| {
        let running = scope.spawn(|| execute(&mut client, "p8 2", &cancel).0);
        while !fake.requests.recv_timeout(Duration::from_secs(60)).unwrap().starts_with("Read") {}
        cancel.set();
        running.join().unwrap()
    });
    assert_eq!(outcome.unwrap_err().kind(), Kind::Interrupted);
    assert!(client.is_connected() && client.traffic().round_trips > lost);
    // The same session, where it was.
    assert_eq!(execute(&mut client, "s @ 5", &Cancel::new()).1, "0x5\n");
}

#[test]
fn cancel_and_ping_are_answered_while_a_request_runs() {
    let fake = Fake::start(|request| match request {
        Request::Read { .. } => Some(Vec::new()),
        request => old(&mut [0; 64], &mut 0, request),
    });
    let options = ServeOptions { schemes: vec!["rap".to_string()], ..ServeOptions::default() };
    let server = Running::start(options);
    let mut peer = server.raw().greeted("malloc://16");
    let open = format!("e net.timeout=100000;on rap://{}//f", fake.place);
    peer.ask(1, &rap2::Request::Run { text: open.as_bytes() });
    while peer.frame().1 != Part::Done {}
    peer.ask(2, &rap2::Request::Run { text: b"p8 2" });
    peer.ask(3, &rap2::Request::Run { text: b"?e never" });
    peer.ask(4, &rap2::Request::Ping { data: b"there?" });
    assert_eq!(peer.frame(), (4, Part::Done, b"\0there?".to_vec()));
    peer.ask(5, &rap2::Request::Cancel { id: 0 });
    assert_eq!(peer.frame(), (5, Part::Done, vec![0]));
    let (id, part, body) = peer.frame();
    assert_eq!((id, part, body[0]), (2, Part::Done, Status::Interrupted as u8));
    let (id, part, body) = peer.frame();
    assert_eq!((id, part, body[0]), (3, Part::Done, Status::Interrupted as u8));
    // What comes later is not cancelled; to cancel what is over does nothing.
    peer.ask(6, &rap2::Request::Cancel { id: 2 });
    peer.ask(7, &rap2::Request::Run { text: b"?e now" });
    assert_eq!(peer.frame(), (6, Part::Done, vec![0]));
    assert_eq!(peer.frame(), (7, Part::Data, b"now\n".to_vec()));
    let ran = Ran { last: 4, seek: 0, error: String::new() };
    let (id, part, body) = peer.frame();
    assert_eq!((id, part, body[0], Ran::parse(&body[1..]).unwrap().seek), (7, Part::Done, 0, ran.seek));
}

#[test]
fn requests_are_answered_byte_by_byte() {
    let server = Running::start(ServeOptions::default());
    let file = file(b"0123456789");
    let mut peer = server.raw().greeted(&path(&file));
    peer.ask(1, &rap2::Request::Stat { descriptor: LATEST });
    let (id, _, body) = peer.frame();
    let stat = Stat::parse(&body[1..]).unwrap();
    assert_eq!((id, body[0], stat.size, stat.access), (1, 0, Some(10), 7));
    let ranges = [(8, 4), (0, 2), (99, 1), (2, 1)].map(|(address, length)| Range { address, length });
    peer.ask(2, &rap2::Request::Read { descriptor: 4, ranges: ranges.to_vec() });
    peer.expect("90 00 00 00 1b 00 00 00 02 00 00 00 00 00 02 00 00 00 02 00 00 00 00 00 00 00 01 38 39 30 31 32");
    peer.ask(3, &rap2::Request::Write { descriptor: 4, address: 9, data: b"xyz" });
    peer.expect("90 00 00 00 0a 00 00 00 03 00 00 00 00 00 01");
    peer.ask(4, &rap2::Request::Resize { descriptor: LATEST, size: 12 });
    peer.expect("90 00 00 00 06 00 00 00 04 00 00");
    assert_eq!(std::fs::read(file.path()).unwrap(), b"012345678x\0\0");
    peer.ask(5, &rap2::Request::Stat { descriptor: 99 });
    let (id, _, body) = peer.frame();
    assert_eq!((id, body[0]), (5, Status::NotFound as u8));
    let far = Range { address: 0, length: 1 << 20 };
    peer.ask(6, &rap2::Request::Read { descriptor: LATEST, ranges: vec![far, far] });
    assert_eq!(peer.frame().2[0], Status::Limit as u8);
    peer.ask(7, &rap2::Request::Digest { descriptor: LATEST, address: 0, length: 13, algorithm: b"md5" });
    assert_eq!(peer.frame().2[0], Status::Unsupported as u8);
    peer.ask(8, &rap2::Request::Digest { descriptor: LATEST, address: 0, length: 4, algorithm: b"xor" });
    assert_eq!(peer.frame().2, b"\x0000");
    peer.ask(9, &rap2::Request::Complete { cursor: 3, text: b"aev" });
    assert_eq!(peer.frame().2, b"\x000\n");
    // The two layers may follow each other.
    peer.send("04 00 00 00 00 00 00 00 00 03");
    peer.ask(10, &rap2::Request::Ping { data: b"" });
    peer.send("02 00 00 00 02");
    peer.expect("84 00 00 00 00 00 00 00 03 90 00 00 00 06 00 00 00 0a 00 00 82 00 00 00 02 33 34");
    for rude in ["10 ff ff ff ff", "10 00 00 00 05 00 00 00 01 7f", "10 00 00 00 05 00 00 00 01 05", "90"] {
        let mut peer = server.raw().greeted("malloc://16");
        peer.send(rude);
        assert!(peer.is_hung_up_on(), "{rude}");
    }
    // Nobody speaks in frames before the hello.
    let mut peer = server.raw();
    peer.ask(1, &rap2::Request::Stat { descriptor: LATEST });
    assert!(peer.is_hung_up_on());
}

#[test]
fn noise_in_frames_is_answered_or_ends_its_connection() {
    let permissions = Permissions::READ.and(Permissions::WRITE);
    let server = Running::start(ServeOptions { permissions, ..ServeOptions::default() });
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut witness = server.raw().greeted("malloc://64");
    for round in 0..200 {
        let mut peer = server.raw().greeted("malloc://64");
        let mut wire = Vec::new();
        for id in 1..20u32 {
            let body: Vec<u8> =
                (0..random() % 60).map(|_| if random() % 2 == 0 { 0 } else { random() as u8 }).collect();
            wire.push(rap2::REQUEST);
            wire.extend((body.len() as u32 + 5).to_be_bytes());
            wire.extend(id.to_be_bytes());
            wire.push(1 + (random() % 10) as u8);
            wire.extend(body);
        }
        // The server may hang up while this is being sent.
        let _ = peer.0.write_all(&wire);
        let _ = peer.0.shutdown(Shutdown::Write);
        let mut said = Vec::new();
        let _ = peer.0.read_to_end(&mut said);
        assert!(said.len() < 32 << 20, "round {round}");
    }
    witness.ask(1, &rap2::Request::Ping { data: b"fine" });
    assert_eq!(witness.frame().2, b"\0fine");
}

#[test]
fn permissions_hold_in_frames_as_elsewhere() {
    let file = file(b"precious");
    let readers = Permissions::READ.and(Permissions::FILES);
    let server = Running::start(ServeOptions { permissions: readers, ..ServeOptions::default() });
    let mut peer = server.raw();
    peer.request(Request::Command { verb: COMMAND, text: b"#rap?" });
    assert!(peer.reply().1.ends_with(b" may=read,files\0"));
    peer.request(Request::Open { flags: 5, path: path(&file).as_bytes() });
    peer.expect("81 00 00 00 04");
    for request in [
        rap2::Request::Write { descriptor: LATEST, address: 0, data: b"x" },
        rap2::Request::Write { descriptor: 0, address: 0, data: b"x" },
        rap2::Request::Resize { descriptor: LATEST, size: 0 },
    ] {
        peer.ask(1, &request);
        assert_eq!(peer.frame().2[0], Status::Permission as u8);
    }
    peer.ask(2, &rap2::Request::Run { text: b"wx 00" });
    assert_eq!(peer.frame().1, Part::Note);
    assert_eq!(peer.frame().2[0], Status::Failed as u8);
    assert_eq!(std::fs::read(file.path()).unwrap(), b"precious");
    let blind = Running::start(ServeOptions { permissions: Permissions::NONE, ..ServeOptions::default() });
    let mut peer = blind.raw();
    peer.request(Request::Command { verb: COMMAND, text: b"#rap? 2" });
    peer.reply();
    let range = Range { address: 0, length: 1 };
    for request in [
        rap2::Request::Stat { descriptor: LATEST },
        rap2::Request::Read { descriptor: LATEST, ranges: vec![range] },
        rap2::Request::Digest { descriptor: LATEST, address: 0, length: 1, algorithm: b"xor" },
    ] {
        peer.ask(1, &request);
        assert_eq!(peer.frame().2[0], Status::Permission as u8);
    }
}

#[test]
fn files_are_resized_over_there() {
    let file = file(b"0123456789");
    let (mut session, ..) = looking_at(&path(&file));
    assert_eq!(run(&mut session, "r 4; p8 8; r 6; p8 6").err, "");
    assert_eq!(std::fs::read(file.path()).unwrap(), b"0123\0\0");
    assert_eq!(run(&mut session, "p8 6").out, "303132330000\n");
}

#[test]
fn who_reads_on_and_on_waits_for_the_line_alone() {
    let size = 40 << 20;
    let bytes = pattern(size);
    let file = file(&bytes);
    let (mut client, flights, _clients) = distant(Duration::from_millis(2), &path(&file));
    let before = flights.load(Ordering::SeqCst);
    client.will_read(10, size as u64);
    let mut at = 10;
    while at < size {
        let got = read(&mut client, at as u64, 256 * 1024).unwrap();
        assert!(got == bytes[at..(at + 256 * 1024).min(size)]);
        at += got.len();
    }
    assert!(read(&mut client, size as u64, 10).unwrap().is_empty());
    let cost = flights.load(Ordering::SeqCst) - before;
    assert!(cost <= 20, "{cost} flights");
    // Whoever looks elsewhere in the middle gets that, and what was under way is of no matter.
    client.will_read(0, size as u64);
    assert!(read(&mut client, 0, 1000).unwrap() == bytes[..1000]);
    assert!(read(&mut client, 30 << 20, 1000).unwrap() == bytes[30 << 20..(30 << 20) + 1000]);
    assert_eq!(client.write(5, b"new").unwrap(), 3);
    assert!(read(&mut client, 4, 3).unwrap() == [bytes[4], b'n', b'e']);
    assert_eq!(execute(&mut client, "?e here", &Cancel::new()).1, "here\n");
}

#[test]
fn an_old_peer_where_one_of_ours_was_gets_no_frame() {
    let server = Running::start(ServeOptions::default());
    let place = server.place();
    drop(server.client("malloc://16").unwrap());
    drop(server);
    let listener = TcpListener::bind(&place).unwrap();
    let seen = std::thread::spawn(move || {
        let mut memory = pattern(64);
        let mut seek = 0;
        let mut seen = Vec::new();
        // The first connection hears the guess that was wrong, the second is an old one throughout.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = Vec::new();
            let mut chunk = [0; 4096];
            'talk: loop {
                match Request::decode(&buffer, Limits::SERVER) {
                    Ok(Some((request, used))) => {
                        seen.push(format!("{request:?}"));
                        match old(&mut memory, &mut seek, request) {
                            Some(answer) => stream.write_all(&answer).unwrap_or_default(),
                            None => break 'talk,
                        }
                        buffer.drain(..used);
                    }
                    Ok(None) => match stream.read(&mut chunk) {
                        Ok(count) if count > 0 => buffer.extend_from_slice(&chunk[..count]),
                        _ => break 'talk,
                    },
                    Err(_) => break 'talk,
                }
            }
        }
        seen
    });
    let mut client = connect(&place, "/f", 5).unwrap();
    assert_eq!(read(&mut client, 3, 5).unwrap(), pattern(64)[3..8]);
    assert_eq!(client.traffic().round_trips, 2);
    drop(client);
    assert!(seen.join().unwrap().iter().any(|request| request.starts_with("Seek")));
}

#[test]
fn a_server_that_stops_says_so_and_the_next_command_tells() {
    let server = Running::start(ServeOptions::default());
    let place = server.place();
    let mut client = server.client("malloc://16").unwrap();
    drop(server);
    let again = Running::at(&place);
    let (outcome, out, err) = execute(&mut client, "?e back", &Cancel::new());
    outcome.unwrap();
    assert_eq!(out, "back\n");
    assert_eq!(err, format!("{place} says: stopping\nconnected again to {place}: seek and settings there are new\n"));
    // A device reads on without a word: nothing of it was lost.
    drop(again);
    let _third = Running::at(&place);
    assert_eq!(read(&mut client, 0, 4).unwrap(), [0; 4]);
}

#[test]
fn a_server_that_stops_cancels_what_runs_and_what_waits() {
    let fake = Fake::start(|request| match request {
        Request::Read { .. } => Some(Vec::new()),
        request => old(&mut [0; 64], &mut 0, request),
    });
    let options = ServeOptions { schemes: vec!["rap".to_string()], ..ServeOptions::default() };
    let server = Running::start(options);
    let mut quiet = server.raw().greeted("malloc://16");
    let mut loud = server.raw().greeted("malloc://16");
    let open = format!("e net.timeout=100000;on rap://{}//f", fake.place);
    quiet.ask(1, &rap2::Request::Run { text: open.as_bytes() });
    while quiet.frame().1 != Part::Done {}
    quiet.ask(2, &rap2::Request::Run { text: b"p8 2" });
    quiet.ask(3, &rap2::Request::Run { text: b"p8 2" });
    loud.ask(2, &rap2::Request::Run { text: b"px 1G" });
    assert_eq!(loud.frame().1, Part::Data);
    while !fake.requests.recv_timeout(Duration::from_secs(60)).unwrap().starts_with("Read") {}
    let stopping = std::thread::spawn(move || drop(server));
    for id in [2, 3] {
        let (answered, part, body) = quiet.frame();
        assert_eq!((answered, part, body[0]), (id, Part::Done, Status::Interrupted as u8));
    }
    assert_eq!(quiet.frame(), (0, Part::Event, b"stopping".to_vec()));
    assert!(quiet.is_hung_up_on());
    let last = std::iter::repeat_with(|| loud.frame()).find(|(_, part, _)| *part != Part::Data).unwrap();
    assert_eq!((last.0, last.1), (2, Part::Done));
    assert_eq!(loud.frame().1, Part::Event);
    stopping.join().unwrap();
}

#[test]
fn lines_are_completed_by_the_other_side() {
    let server = Running::start(ServeOptions::default());
    let mut client = server.client("malloc://16").unwrap();
    execute(&mut client, "f over.there @ 4", &Cancel::new()).0.unwrap();
    let (start, words) = client.complete("px 4 @ over", 11, &Cancel::new()).unwrap();
    assert_eq!((start, words), (7, vec!["over.there".to_string()]));
    assert_eq!(client.complete("é", 1, &Cancel::new()).unwrap().1, Vec::<String>::new());
}

/// A server that says that it speaks frames, and answers them with what `answer` makes of them.
fn pretender(mut answer: impl FnMut(u32, rap2::Request<'_>) -> Option<Vec<u8>> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut buffer = Vec::new();
            let mut chunk = [0; 65536];
            loop {
                let said = if buffer.first() == Some(&rap2::REQUEST) {
                    let head = Head::request(&buffer, rap2::FRAME).unwrap();
                    head.filter(|head| buffer.len() >= rap2::HEAD + head.length).map(|head| {
                        let used = rap2::HEAD + head.length;
                        let request = rap2::Request::parse(head.tag, &buffer[rap2::HEAD..used]).unwrap();
                        (answer(head.id, request), used)
                    })
                } else {
                    Request::decode(&buffer, Limits::SERVER).unwrap().map(|(request, used)| {
                        let words =
                            b"rap/2 max_read=65536 max_frame=1000000 can=stat,read,write,run,cancel,ping,search\0";
                        let said = match request {
                            Request::Command { .. } => {
                                reply(Reply::Command { verb: COMMAND, length: words.len() as u32 }, words)
                            }
                            request => old(&mut [0; 4096], &mut 0, request),
                        };
                        (said, used)
                    })
                };
                match said {
                    Some((Some(bytes), used)) => {
                        buffer.drain(..used);
                        if stream.write_all(&bytes).is_err() {
                            break;
                        }
                    }
                    Some((None, _)) => break,
                    None => match stream.read(&mut chunk) {
                        Ok(count) if count > 0 => buffer.extend_from_slice(&chunk[..count]),
                        _ => break,
                    },
                }
            }
        }
    });
    place
}

fn frame(id: u32, answer: Answer<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    answer.encode(id, &mut bytes).unwrap();
    bytes
}

fn done(id: u32, result: &[u8]) -> Option<Vec<u8>> {
    Some(frame(id, Answer::Done { status: Status::Ok, result }))
}

#[test]
fn servers_that_lie_in_frames_are_left() {
    type Lie = fn(u32) -> Option<Vec<u8>>;
    let lies: [(&str, Lie, Kind); 7] = [
        ("more than asked", |id| done(id, &[&[0, 0, 0, 5][..], &[0; 5]].concat()), Kind::Protocol),
        ("less than said", |id| done(id, &[&[0, 0, 0, 4][..], &[0; 3]].concat()), Kind::Protocol),
        ("another number", |id| done(id + 1, &[0; 8]), Kind::Protocol),
        ("data where none belongs", |id| Some(frame(id, Answer::Data(b"x"))), Kind::Protocol),
        ("an endless length", |_| Some(vec![0x90, 0xff, 0xff, 0xff, 0xff]), Kind::Limit),
        ("no frame", |_| Some(vec![0x55; 16]), Kind::Protocol),
        ("the end", |_| None, Kind::Closed),
    ];
    for (what, lie, kind) in lies {
        let place = pretender(move |id, request| match request {
            rap2::Request::Read { .. } => lie(id),
            _ => done(id, &Stat { size: Some(4096), access: 7, version: None }.bytes()),
        });
        let mut client = connect(&place, "/f", 5).unwrap();
        let error = read(&mut client, 0, 4).unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error}");
        assert!(!client.is_connected(), "{what}");
    }
}

#[test]
fn nothing_a_server_says_in_frames_is_believed_blindly() {
    let place = pretender(|id, request| match request {
        rap2::Request::Search { .. } => Some(frame(id, Answer::Data(&[0, 0, 0, 0, 0, 0, 0x10, 0]))),
        rap2::Request::Run { .. } => {
            let ran = Ran { last: 0, seek: 0, error: "\x1b[2Jno".to_string() }.bytes();
            let frames = [
                frame(0, Answer::Event(b"\x1b]0;x\x07news")),
                frame(id, Answer::Progress { done: 1, total: 0 }),
                frame(id, Answer::Note(b"\x1b[1mnote")),
                frame(id, Answer::Data(b"\x9b31m\x1bdata\n")),
                frame(id, Answer::Done { status: Status::Failed, result: &ran }),
            ];
            Some(frames.concat())
        }
        rap2::Request::Cancel { .. } => {
            let ran = Ran { last: 0, seek: 0, error: String::new() }.bytes();
            let over = frame(id - 1, Answer::Done { status: Status::Interrupted, result: &ran });
            Some([done(id, &[]).unwrap(), over].concat())
        }
        _ => done(id, &Stat { size: Some(4096), access: 7, version: None }.bytes()),
    });
    let mut client = connect(&place, "/f", 5).unwrap();
    let (outcome, out, err) = execute(&mut client, "x", &Cancel::new());
    let error = outcome.unwrap_err().to_string();
    let shown = format!("{out}{err}{error}");
    assert!(!shown.contains('\x1b') && !shown.contains('\u{9b}') && !shown.contains('\x07'), "{shown:?}");
    assert!(out.contains("data") && err.contains("note") && error.contains("no"));
    // A hit outside of what was searched is none.
    let sought = Sought { address: 0, length: 16, align: 0, limit: 0, needle: b"x", mask: None };
    let outcome = client.search(&sought, &Cancel::new(), &mut |_| panic!("a hit out of its place"));
    assert_eq!(outcome.unwrap_err().kind(), Kind::Protocol);
}

#[test]
fn a_server_that_keeps_silent_is_asked_once_and_then_given_up() {
    let (sender, asked) = channel();
    let place = pretender(move |id, request| {
        sender.send(format!("{:?}", request.op())).unwrap();
        match request {
            rap2::Request::Ping { .. } if id < 4 => done(id, &[]),
            rap2::Request::Stat { .. } => done(id, &Stat { size: None, access: 7, version: None }.bytes()),
            _ => Some(Vec::new()),
        }
    });
    let authority = Authority::parse(&place).unwrap();
    let dial = move |cancel: &Cancel| remora::link::connect(&authority, Duration::from_secs(60), cancel);
    let impatient = Target { timeout: Duration::from_millis(50), ..target(&place, "/f", 5) };
    let mut client = Client::connect(Box::new(dial), impatient).unwrap();
    let (outcome, ..) = execute(&mut client, "sleep", &Cancel::new());
    assert_eq!(outcome.unwrap_err().kind(), Kind::Timeout);
    let asked: Vec<String> = asked.try_iter().collect();
    // The pings that were answered bought time, the one that was not did not.
    assert_eq!(asked[asked.iter().position(|op| op == "Run").unwrap()..], ["Run", "Ping", "Ping", "Ping"]);
}

#[test]
fn against_an_old_peer_reading_takes_a_flight_for_each_64_kib() {
    let size = 1 << 20;
    let mut memory = pattern(size);
    let mut seek = 0;
    let fake = Fake::start(move |request| old(&mut memory, &mut seek, request));
    let mut client = connect(&fake.place, "/some/file", 7).unwrap();
    assert!(read(&mut client, 0, size).unwrap() == pattern(size));
    let flights = client.traffic().round_trips;
    assert!(flights <= size as u64 / 65536 + 3, "{flights} flights for {size} bytes");
}

#[test]
fn a_client_is_told_how_far_its_command_is() {
    struct Enough(Cancel);
    impl Display for Enough {
        fn show(&mut self, report: &Report<'_>) {
            assert_eq!(report.what, "waiting");
            if report.done > 0 {
                assert_eq!(report.total, 0x40_0000_0000);
                self.0.set();
            }
        }
        fn clear(&mut self) {}
    }
    let server = Running::start(ServeOptions::default());
    let mut client = server.client("malloc://4096").unwrap();
    let cancel = Cancel::new();
    cancel.show_progress(Some(Box::new(Enough(cancel.clone()))));
    let waiting = cancel.progress("waiting", 0);
    let (outcome, out, err) = execute(&mut client, "ph sha256 0x4000000000", &cancel);
    assert_eq!((outcome.unwrap_err().kind(), out.as_str(), err.as_str()), (Kind::Interrupted, "", ""));
    drop(waiting);
    cancel.show_progress(None);
    assert_eq!(execute(&mut client, "p8 2", &Cancel::new()).1, "0000\n");
}
