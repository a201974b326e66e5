//! Tests: the device and our server at the ends of a far line.

use super::*;

/// What crossed a line, counted from outside.
#[derive(Clone, Default)]
pub struct Traffic {
    /// Changes from asking to hearing: round trips.
    pub flights: Arc<AtomicU64>,
    /// Bytes that were heard.
    pub received: Arc<AtomicU64>,
}

/// A link that counts, as a layer of its own.
struct Counted {
    link: memory::Memory,
    asked: bool,
    traffic: Traffic,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if std::mem::take(&mut self.asked) {
            self.traffic.flights.fetch_add(1, Ordering::SeqCst);
        }
        let count = self.link.read(buffer)?;
        self.traffic.received.fetch_add(count as u64, Ordering::SeqCst);
        Ok(count)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.asked = true;
        self.link.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Link for Counted {
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

/// A client of a server of ours at the end of a line inside this process.
pub fn distant(latency: Duration, path: &str) -> (Client, Arc<AtomicU64>, Arc<Clients>) {
    let (client, traffic, clients) = counted(latency, target("memory", path, 7));
    (client, traffic.flights, clients)
}

/// The same with all that is counted, for any target.
pub fn counted(latency: Duration, target: Target) -> (Client, Traffic, Arc<Clients>) {
    counted_with(ServeOptions::default(), latency, target)
}

/// The same of a server with `options`.
pub fn counted_with(options: ServeOptions, latency: Duration, target: Target) -> (Client, Traffic, Arc<Clients>) {
    let clients = Arc::new(Clients::new(&serve::rap::SERVICE, options).unwrap());
    let traffic = Traffic::default();
    let (admitting, counting) = (Arc::clone(&clients), traffic.clone());
    let dial = move |_: &Cancel| -> Result<Box<dyn Link>> {
        let (near, far) = memory::pair(latency);
        admitting.admit(Box::new(far))?;
        Ok(Box::new(Counted { link: near, asked: false, traffic: counting.clone() }))
    };
    (Client::connect(Box::new(dial), target).unwrap(), traffic, clients)
}

#[test]
fn opening_and_looking_takes_two_round_trips_on_a_far_line() {
    let bytes = pattern(200_000);
    let file = file(&bytes);
    let (client, flights, _clients) = distant(Duration::from_millis(5), &path(&file));
    assert_eq!(client.size(), Some(200_000));
    let mut session = Session::new();
    session.with(|core, _| {
        let fd = core.io.adopt("rap://memory", Access::RWX, Box::new(Remote::new(client, Access::RWX)));
        core.io.map_whole(fd, 0).unwrap();
    });
    assert_eq!(run(&mut session, "p8 4").out, "00070e15\n");
    assert_eq!(run(&mut session, "p8 64").err, "");
    assert_eq!(flights.load(Ordering::SeqCst), 2);
    // All of it: what is missing comes in one more flight.
    run(&mut session, "p8 200000");
    assert_eq!(flights.load(Ordering::SeqCst), 3);
    // A command over there, and the seek over there.
    assert_eq!(run(&mut session, "=!p8 2").out, "0007\n");
    assert_eq!(flights.load(Ordering::SeqCst), 4);
}

#[test]
fn a_megabyte_there_and_back_takes_a_flight_each() {
    let (mut client, flights, clients) = distant(Duration::from_millis(1), "malloc://8388608");
    let bytes = pattern(3 << 20);
    let before = flights.load(Ordering::SeqCst);
    assert_eq!(client.write(1000, &bytes).unwrap(), bytes.len());
    assert_eq!(flights.load(Ordering::SeqCst), before + 1);
    assert!(read(&mut client, 1000, bytes.len()).unwrap() == bytes);
    assert_eq!(flights.load(Ordering::SeqCst), before + 2);
    // At the end of the file reads are short, and writes too.
    assert_eq!(read(&mut client, (8 << 20) - 3, 100).unwrap().len(), 3);
    assert_eq!(read(&mut client, 8 << 20, 100).unwrap().len(), 0);
    assert_eq!(client.write(9 << 20, b"x").unwrap_err().kind(), Kind::Permission);
    drop(client);
    clients.stop();
}

#[test]
fn pieces_far_apart_travel_together() {
    let bytes = pattern(300_000);
    let file = file(&bytes);
    let (mut client, flights, _clients) = distant(Duration::from_millis(1), &path(&file));
    let before = flights.load(Ordering::SeqCst);
    let (mut a, mut b, mut c) = ([0; 10], [0; 10], [0; 10]);
    let mut pieces = [
        Piece { address: 5, buffer: &mut a, done: 0 },
        Piece { address: 250_000, buffer: &mut b, done: 0 },
        Piece { address: 299_995, buffer: &mut c, done: 0 },
    ];
    client.read(&mut pieces).unwrap();
    assert_eq!(pieces.iter().map(|piece| piece.done).collect::<Vec<_>>(), [10, 10, 5]);
    assert_eq!((&a[..], &b[..], &c[..5]), (&bytes[5..15], &bytes[250_000..250_010], &bytes[299_995..]));
    assert_eq!(flights.load(Ordering::SeqCst), before + 1);
}

#[test]
fn many_tiny_pieces_never_fill_both_directions() {
    let (mut client, flights, _clients) = distant(Duration::ZERO, "malloc://65536");
    client.write(0, &pattern(65536)).unwrap();
    let mut bytes = vec![0; 40_000];
    let mut pieces: Vec<Piece<'_>> =
        bytes.chunks_mut(1).enumerate().map(|(at, buffer)| Piece { address: at as u64, buffer, done: 0 }).collect();
    client.read(&mut pieces).unwrap();
    assert!(pieces.iter().all(|piece| piece.done == 1));
    assert!(bytes == pattern(40_000));
    assert!(flights.load(Ordering::SeqCst) <= 100);
}

#[test]
fn the_device_is_opened_by_uri_and_says_what_is_wrong_with_one() {
    let server = Running::start(ServeOptions::default());
    let bytes = pattern(5000);
    let file = file(&bytes);
    let open = remora::io::Open { access: Access::RWX, ..Default::default() };
    let uri = Uri::parse(&format!("rap://{}/{}", server.place(), path(&file)));
    let mut device: Box<dyn Device> = remora::io::plugin::open(&uri, &open).unwrap();
    assert_eq!(device.info().size, Some(5000));
    let mut buffer = [0; 4];
    assert_eq!(device.read_at(100, &mut buffer).unwrap(), 4);
    assert_eq!(buffer, bytes[100..104]);
    assert_eq!(device.write_at(100, b"abcd").unwrap(), 4);
    assert_eq!(std::fs::read(file.path()).unwrap()[100..104], *b"abcd");
    for (uri, kind) in [
        ("rap://:1234", Kind::Usage),
        ("rap://127.0.0.1//bin/ls", Kind::Usage),
        ("rap://[::1/", Kind::Usage),
        ("rapt://127.0.0.1:1/", Kind::UnknownScheme),
        ("raps://:1", Kind::Usage),
        ("rap+unix://relative", Kind::Usage),
        ("rap+unix:///nosuch//", Kind::Unreachable),
    ] {
        let error: Error = remora::io::plugin::open(&Uri::parse(uri), &open).err().unwrap();
        assert_eq!(error.kind(), kind, "{uri}: {error}");
    }
    // Without a file nothing is opened: the peer's empty session is looked at.
    let bare = Uri::parse(&format!("rap://{}/", server.place()));
    let mut device = remora::io::plugin::open(&bare, &open).unwrap();
    assert_eq!(device.info().size, None);
    assert_eq!(device.read_at(0, &mut buffer).unwrap(), 4);
    assert_eq!(buffer, [0xff; 4]);
}
