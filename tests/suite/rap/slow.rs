//! Tests: lines that are left in the middle, and lines that are too slow for bytes as they are.

use std::io::IoSliceMut;

use remora::link::rap::Compression;

use super::*;

/// What happens on a line.
#[derive(Clone, Default)]
struct Tap {
    /// Bytes that were heard.
    received: Arc<AtomicU64>,
    /// How many times somebody connected.
    dials: Arc<AtomicU64>,
    /// After so many bytes the user presses Ctrl-C; 0: never.
    press: Arc<AtomicU64>,
    /// How long a piece of 16 KiB takes.
    pace: Duration,
    cancel: Cancel,
}

struct Tapped {
    link: memory::Memory,
    tap: Tap,
}

impl Read for Tapped {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let before = self.tap.received.load(Ordering::SeqCst);
        let press = self.tap.press.load(Ordering::SeqCst);
        let most = press.checked_sub(before).filter(|left| *left > 0).unwrap_or(16 << 10).min(16 << 10);
        let most = buffer.len().min(most as usize);
        let count = self.link.read(&mut buffer[..most])?;
        std::thread::sleep(self.tap.pace.mul_f64(count as f64 / f64::from(16 << 10)));
        let after = self.tap.received.fetch_add(count as u64, Ordering::SeqCst) + count as u64;
        if press > 0 && before < press && after >= press {
            self.tap.cancel.set();
        }
        Ok(count)
    }
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> std::io::Result<usize> {
        buffers.iter_mut().find(|buffer| !buffer.is_empty()).map_or(Ok(0), |buffer| self.read(buffer))
    }
}

impl Write for Tapped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.link.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Link for Tapped {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> std::io::Result<()> {
        self.link.set_timeout(timeout)
    }
    fn peer(&self) -> &str {
        self.link.peer()
    }
    fn is_gone(&self) -> bool {
        self.link.is_gone()
    }
    fn breaker(&self) -> Breaker {
        self.link.breaker()
    }
}

/// A client of a server of ours over a line that is tapped.
fn tapped(path: &str, pace: Duration) -> (Client, Tap, Arc<Clients>) {
    let clients = Arc::new(Clients::new(&serve::rap::SERVICE, ServeOptions::default()).unwrap());
    let tap = Tap { pace, ..Tap::default() };
    let (admitting, tapping) = (Arc::clone(&clients), tap.clone());
    let dial = move |_: &Cancel| -> Result<Box<dyn Link>> {
        let (near, far) = memory::pair(Duration::ZERO);
        admitting.admit(Box::new(far))?;
        tapping.dials.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Tapped { link: near, tap: tapping.clone() }))
    };
    let target = Target { cancel: tap.cancel.clone(), ..target("tapped", path, 7) };
    (Client::connect(Box::new(dial), target).unwrap(), tap, clients)
}

#[test]
fn ctrl_c_in_a_long_read_ends_the_read_and_keeps_the_connection() {
    let bytes = pattern(3 << 20);
    let file = file(&bytes);
    let (mut client, tap, _clients) = tapped(&path(&file), Duration::ZERO);
    assert!(read(&mut client, 7, 100).unwrap() == bytes[7..107]);
    // In the head of an answer, in its status, its counts, its bytes, and between two answers.
    let places = [1, 5, 9, 10, 11, 14, 15, 16, 5000, 100_000, 262_158, 262_159, 300_000, 1 << 20, 2 << 20];
    for compression in [Compression::Never, Compression::Always] {
        client.set_compression(compression);
        for ahead in [true, false] {
            let mut interrupted = 0;
            for place in places {
                if ahead {
                    client.will_read(0, bytes.len() as u64);
                }
                tap.press.store(tap.received.load(Ordering::SeqCst) + place, Ordering::SeqCst);
                match read(&mut client, 0, bytes.len()) {
                    // It may have ended before, when it was packed.
                    Ok(all) => assert!(all == bytes && compression == Compression::Always, "{place}"),
                    Err(error) => {
                        interrupted += 1;
                        assert_eq!((error.kind(), error.message()), (Kind::Interrupted, "interrupted"));
                    }
                }
                tap.press.store(0, Ordering::SeqCst);
                tap.cancel.clear();
                // What was under way is of no matter to whatever comes next.
                match place % 3 {
                    0 => assert!(read(&mut client, 1 << 20, 100).unwrap() == bytes[1 << 20..(1 << 20) + 100]),
                    1 => assert_eq!(client.write(bytes.len() as u64 - 1, &bytes[bytes.len() - 1..]).unwrap(), 1),
                    _ => assert!(client.is_connected()),
                }
            }
            assert!(interrupted >= 5, "{interrupted} of {} with {compression:?}", places.len());
        }
    }
    assert!(read(&mut client, 0, bytes.len()).unwrap() == bytes);
    assert_eq!(tap.dials.load(Ordering::SeqCst), 1, "it is the connection of the beginning");
}

#[test]
fn skipping_what_nobody_wants_can_be_interrupted_too() {
    let bytes = pattern(3 << 20);
    let file = file(&bytes);
    let (mut client, tap, _clients) = tapped(&path(&file), Duration::ZERO);
    for _ in 0..5 {
        client.will_read(0, bytes.len() as u64);
        tap.press.store(tap.received.load(Ordering::SeqCst) + 300_000, Ordering::SeqCst);
        assert_eq!(read(&mut client, 0, bytes.len()).unwrap_err().kind(), Kind::Interrupted);
        tap.cancel.clear();
        tap.press.store(tap.received.load(Ordering::SeqCst) + 20, Ordering::SeqCst);
        assert_eq!(read(&mut client, 9, 100).unwrap_err().kind(), Kind::Interrupted);
        tap.press.store(0, Ordering::SeqCst);
        tap.cancel.clear();
        assert!(read(&mut client, 9, 100).unwrap() == bytes[9..109]);
    }
    assert_eq!(tap.dials.load(Ordering::SeqCst), 1);
}

/// Reads everything from front to back, as a command does that streams.
fn read_on(client: &mut Client, length: usize) -> Vec<u8> {
    client.will_read(0, length as u64);
    let mut all = Vec::new();
    while all.len() < length {
        let got = read(client, all.len() as u64, 100_000).unwrap();
        assert!(!got.is_empty());
        all.extend(got);
    }
    all
}

#[test]
fn packed_bytes_are_fewer_and_the_same() {
    let mut bytes = pattern(2 << 20);
    // Some of it cannot be made shorter.
    let mut state = 1u64;
    for byte in &mut bytes[500_000..700_000] {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 56) as u8;
    }
    let file = file(&bytes);
    for (compression, fewest, most) in
        [(Compression::Never, 4 << 20, 5 << 20), (Compression::Always, 400_000, 1_500_000)]
    {
        let (mut client, tap, _clients) = tapped(&path(&file), Duration::ZERO);
        client.set_compression(compression);
        assert!(read_on(&mut client, bytes.len()) == bytes);
        assert!(read(&mut client, 0, bytes.len()).unwrap() == bytes, "in no particular order");
        let received = tap.received.load(Ordering::SeqCst);
        assert!((fewest..most).contains(&received), "{received} bytes with {compression:?}");
    }
}

#[test]
fn packed_pieces_have_their_holes_and_ends() {
    let (mut client, _, _clients) = tapped("malloc://1000", Duration::ZERO);
    client.set_compression(Compression::Always);
    assert_eq!(client.write(0, &[7; 1000]).unwrap(), 1000);
    let (mut first, mut second, mut third) = ([1; 10], [1; 400], [1; 0]);
    let mut pieces = [
        Piece { address: 990, buffer: &mut first, done: 0 },
        Piece { address: 0, buffer: &mut second, done: 0 },
        Piece { address: 5, buffer: &mut third, done: 0 },
    ];
    client.read(&mut pieces).unwrap();
    assert_eq!(pieces.map(|piece| piece.done), [10, 400, 0]);
    assert_eq!((first, second), ([7; 10], [7; 400]));
}

#[test]
fn a_line_that_turns_out_to_be_slow_gets_packed_bytes() {
    let bytes = pattern(12 << 20);
    let file = file(&bytes);
    // Less than 4 MB in a second.
    let (mut client, tap, _clients) = tapped(&path(&file), Duration::from_millis(4));
    assert!(read_on(&mut client, bytes.len()) == bytes);
    let received = tap.received.load(Ordering::SeqCst);
    assert!(received < 6 << 20, "{received} bytes");
    assert_eq!(tap.dials.load(Ordering::SeqCst), 1);
}

/// A server that answers PACKED with `answer`, whatever is asked for.
fn liar(answer: &'static [u8]) -> (Client, JoinHandle<()>) {
    use remora::protocol::rap2::{self, Head, Op, Stat};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut taken = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            taken.extend_from_slice(&buffer[..count]);
            loop {
                let mut said = Vec::new();
                let used = if taken.first() == Some(&rap2::REQUEST) {
                    let Ok(Some(head)) = Head::request(&taken, rap2::FRAME) else { break };
                    if taken.len() < rap2::HEAD + head.length {
                        break;
                    }
                    let stat = Stat { size: Some(1 << 20), access: 4, version: None }.bytes();
                    let result = if head.tag == Op::Packed { answer } else { &stat };
                    rap2::Answer::Done { status: rap2::Status::Ok, result }.encode(head.id, &mut said).unwrap();
                    rap2::HEAD + head.length
                } else {
                    let Ok(Some((request, used))) = Request::decode(&taken, Limits::SERVER) else { break };
                    match request {
                        Request::Open { .. } => Reply::Open { fd: 4 }.encode(&mut said),
                        Request::Seek { .. } => Reply::Seek { position: 1 << 20 }.encode(&mut said),
                        _ => {
                            let hello = remora::protocol::rap::Capabilities::OURS.to_string();
                            Reply::Command { verb: COMMAND, length: hello.len() as u32 + 1 }.encode(&mut said);
                            said.extend(hello.as_bytes());
                            said.push(0);
                        }
                    }
                    used
                };
                taken.drain(..used);
                if stream.write_all(&said).is_err() {
                    return;
                }
            }
        }
    });
    let mut client = connect(&place, "/f", 4).unwrap();
    client.set_compression(Compression::Always);
    (client, thread)
}

#[test]
fn packed_answers_that_lie_are_not_believed() {
    let lies: [&[u8]; 6] = [
        b"",
        // More than was asked for; fewer bytes than it says; a way of packing that is none.
        &[0, 1, 0, 0, 0],
        &[0, 0, 0, 9, 0, 1, 2, 3],
        &[0, 0, 0, 1, 7, 1],
        // A frame that is none, and one that holds 64 bytes where there should be 63.
        &[0, 0, 0, 99, 1, 1, 2, 3, 4, 5],
        &[0, 0, 0, 63, 1, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x40, 0x03, 0x02, 0x00, 0x00],
    ];
    for lie in lies {
        let (mut client, thread) = liar(lie);
        assert_eq!(read(&mut client, 0, 100).unwrap_err().kind(), Kind::Protocol, "{lie:02x?}");
        assert!(!client.is_connected());
        drop(client);
        thread.join().unwrap();
    }
    let (mut client, thread) = liar(&[0, 0, 0, 64, 1, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x40, 0x03, 0x02, 0x00, 0x00]);
    assert_eq!(read(&mut client, 0, 100).unwrap(), [0; 64]);
    drop(client);
    thread.join().unwrap();
}

#[test]
fn the_option_decides() {
    let bytes = pattern(2 << 20);
    let file = file(&bytes);
    let server = Running::start(ServeOptions::default());
    for (value, most) in [("always", 1 << 20), ("never", u64::MAX)] {
        // A line in between counts what comes back.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (place, behind) = (listener.local_addr().unwrap(), server.place());
        let counter = std::thread::spawn(move || {
            let (near, _) = listener.accept().unwrap();
            let far = TcpStream::connect(behind).unwrap();
            let (mut asking, mut asked) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            let there = std::thread::spawn(move || {
                let _ = std::io::copy(&mut asking, &mut asked);
                let _ = asked.shutdown(Shutdown::Both);
            });
            let count = std::io::copy(&mut &far, &mut &near).unwrap();
            let _ = near.shutdown(Shutdown::Both);
            there.join().unwrap();
            count
        });
        let mut session = Session::new();
        assert_eq!(run(&mut session, &format!("e net.compress={value}; on rap://{place}/{}", path(&file))).err, "");
        // Long enough to go past the pages.
        let said = run(&mut session, "pr 2M~?");
        assert_eq!(said.err, "");
        drop(session);
        let count = counter.join().unwrap();
        assert!(count < most && (value == "always" || count > 2 << 20), "{count} bytes with {value}");
    }
}
