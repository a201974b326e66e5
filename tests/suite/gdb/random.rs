//! Whole conversations of random packets with a server that has a real process. `PACKETS=10000000` makes a soak of it.

#[path = "../../../fuzz/src/conversation.rs"]
mod conversation;

use std::time::{Duration, Instant};

use remora::debug::ptrace::Ptrace;
use remora::debug::{Launch, Target};
use remora::link::{Framed, memory};
use remora::protocol::rsp::link::{Event, LIMIT, Link, Role};
use remora::protocol::rsp::wire;
use remora::serve::gdb::{SERVICE, Stub, arguments};
use remora::serve::{Clients, ServeOptions};

use super::{PATIENCE, fixture, ready, symbol};

/// Packets in a run of the suite.
const PACKETS: u64 = 4_000;

/// Packets; `@` stands for a number, `!` for a thread, `$` for bytes. Nothing that reaches beyond the process: who
/// attaches, opens files for writing or runs commands of the session does so on purpose.
const FORMS: [&str; 92] = [
    "",
    "!",
    "?",
    "g",
    "G@",
    "p@",
    "P@=@",
    "m@,@",
    "M@,@:$",
    "x@,@",
    "X@,@:$",
    "c",
    "s",
    "c@",
    "C05",
    "S@",
    "Hg!",
    "Hc!",
    "T!",
    "k",
    "D",
    "D;@",
    "R00",
    "vCont?",
    "vCont;c",
    "vCont;s:!",
    "vCont;r@,@:!",
    "vCont;C0a:!;c",
    "vCont;t:!",
    "vCont;@",
    "vCont;s:!;c:!",
    "vCtrlC",
    "vStopped",
    "vKill;@",
    "vMustReplyEmpty",
    "v$",
    "Z0,@,1",
    "Z0,@,@",
    "z0,@,1",
    "Z1,@,1",
    "z1,@,1",
    "Z2,@,@",
    "z2,@,@",
    "Z3,@,@",
    "Z4,@,8",
    "z4,@,8",
    "Z0,@,1;X5,2600102727",
    "Z0,@,1;X@,$",
    "qC",
    "qfThreadInfo",
    "qsThreadInfo",
    "qThreadExtraInfo,!",
    "qThreadStopInfo@",
    "qAttached:@",
    "qSupported:multiprocess+;swbreak+;hwbreak+",
    "qSupported:fork-events+;vfork-events+;exec-events+;no-resumed+",
    "qSupported:$",
    "qXfer:features:read:target.xml:@,@",
    "qXfer:auxv:read::@,@",
    "qXfer:threads:read::0,@",
    "qXfer:libraries-svr4:read::@,@",
    "qXfer:siginfo:read::0,@",
    "qXfer:siginfo:write::@:$",
    "qXfer:exec-file:read:@:0,@",
    "qXfer:osdata:read::0,@",
    "qXfer:$",
    "qSearch:memory:@;@;$",
    "qCRC:@,@",
    "qMemoryRegionInfo:@",
    "qGetTLSAddr:!,@,@",
    "qRegisterInfo@",
    "qSymbol::",
    "qOffsets",
    "qHostInfo",
    "qProcessInfo",
    "qRcmd,68656c70",
    "q$",
    "Q$",
    "QNonStop:1",
    "QNonStop:0",
    "QPassSignals:@;@",
    "QProgramSignals:@",
    "QCatchSyscalls:1",
    "QCatchSyscalls:0",
    "QThreadEvents:1",
    "QSaveRegisterState",
    "QRestoreRegisterState:1",
    "_M@,rwx",
    "_m@",
    "jThreadsInfo",
    "vFile:close:@",
    "vFile:pread:3,@,@",
];

/// Bytes from a seed (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn packet(&mut self, places: &[u64], process: u64) -> Vec<u8> {
        let mut out = Vec::new();
        for byte in self.one_of(&FORMS).bytes() {
            match byte {
                b'@' => {
                    let number = match self.below(4) {
                        0 => self.one_of(&[0, 1, 4, 8, 0xff, 0x1000, 0x1_0000, u64::MAX, 1 << 63, 0x7fff_ffff]),
                        1 => self.below(64),
                        _ => self.one_of(places).wrapping_add(self.below(32)).wrapping_sub(8),
                    };
                    wire::push_number(&mut out, number);
                }
                b'!' if out.is_empty() => out.push(b'!'),
                b'!' => {
                    let one = format!("p{process:x}.{process:x}");
                    let bare = format!("{process:x}");
                    let name = self.one_of(&[&one, &bare, "p0.0", "-1", "0", "p1.-1", "p99999.1"]).to_string();
                    wire::push(&mut out, &name);
                }
                b'$' => (0..self.below(24)).for_each(|_| out.push(self.next() as u8)),
                byte => out.push(byte),
            }
        }
        if self.below(8) == 0 && !out.is_empty() {
            let at = self.below(out.len() as u64) as usize;
            match self.below(3) {
                0 => out[at] = self.next() as u8,
                1 => out.truncate(at),
                _ => out.insert(at, self.next() as u8),
            }
        }
        // What a mutation may not become.
        let reaches =
            [b"vAttach".as_slice(), b"vRun", b"A", b"vFile:open", b"vFile:unlink", b"vFile:pwrite", b"QSetSTD"];
        let reaches = reaches.iter().any(|start| out.starts_with(start));
        if reaches || (out.starts_with(b"qRcmd") && out != b"qRcmd,68656c70") { b"?".to_vec() } else { out }
    }
}

/// A client that knows no more of the server than its line.
struct Client {
    framed: Framed,
    link: Link,
}

impl Client {
    fn send(&mut self, payload: &[u8]) {
        self.link.send(payload, self.framed.queue());
    }

    /// Reads until a packet comes; `None`: the server has hung up.
    fn receive(&mut self, deadline: Instant) -> Option<Vec<u8>> {
        loop {
            let mut out = Vec::new();
            let (event, used) = self.link.receive(self.framed.arrived(), &mut out);
            self.framed.consume(used);
            self.framed.queue().extend_from_slice(&out);
            match event {
                Some(Event::Packet(payload)) => return Some(payload),
                Some(_) => {}
                None if used > 0 => {}
                None => {
                    self.framed.flush(Some(PATIENCE)).ok()?;
                    let left = deadline.checked_duration_since(Instant::now()).expect("the server hangs");
                    self.framed.fill(Some(left)).ok()?;
                }
            }
        }
    }
}

#[test]
fn conversations_about_a_made_up_process_come_to_their_end() {
    let mut random = Random(7);
    for _ in 0..300 {
        let input: Vec<u8> = (0..random.below(300)).map(|_| (random.next() >> 8) as u8 % 80).collect();
        conversation::run(&input);
    }
}

#[test]
fn random_packets_leave_no_crash_no_hang_and_no_process() {
    if !ready() {
        return;
    }
    let packets = std::env::var("PACKETS").ok().and_then(|text| text.parse().ok()).unwrap_or(PACKETS);
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x9e37_79b9_7f4a_7c15);
    let mut random = Random(seed);
    let wanted = arguments::parse(&["--multi".to_string(), "127.0.0.1:0".to_string()]).unwrap();
    let stub = std::sync::Arc::new(Stub::own(Box::new(Ptrace::new().unwrap()), wanted.manner));
    let options = ServeOptions { stub: Some(stub.clone()), ..wanted.options };
    let clients = Clients::new(&SERVICE, options).unwrap();
    let program = fixture().to_str().unwrap();
    let places = [symbol("square"), symbol("counter"), symbol("main"), 0x7fff_ffff_e000];
    let (mut sent, mut conversations) = (0, 0);
    while sent < packets {
        conversations += 1;
        let (near, far) = memory::pair(Duration::ZERO);
        clients.admit(Box::new(far)).unwrap();
        let mut client = Client { framed: Framed::new(Box::new(near), None), link: Link::new(Role::Client, LIMIT) };
        for _ in 0..256 {
            sent += 1;
            let process = stub.with(|target: &mut dyn Target| {
                if let Some(process) = target.processes()?.first() {
                    return Ok(process.id);
                }
                let mut launch = Launch::new(program, vec!["count".into()]);
                launch.stdout = Some("/dev/null".into());
                Ok(target.launch(&launch)?.process)
            });
            // It may be on its way out just now.
            let process = u64::from(process.unwrap_or(1));
            let packet = random.packet(&places, process);
            client.send(&packet);
            // Whatever it has set going stops, and the echo says that all of it was answered.
            client.framed.queue().push(3);
            let echo = format!("qEcho:{sent:x}");
            client.send(echo.as_bytes());
            let deadline = Instant::now() + PATIENCE;
            let gone = loop {
                match client.receive(deadline) {
                    Some(reply) if reply == echo.as_bytes() => break false,
                    Some(_) => {}
                    None => break true,
                }
            };
            if gone {
                break;
            }
        }
    }
    clients.stop();
    drop(clients);
    assert!(conversations >= packets / 256);
    // Nothing that was started outlives its server.
    let children = || std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    drop(stub);
    let end = Instant::now() + PATIENCE;
    while traced() > 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!((traced(), children().as_str()), (0, ""));
}

/// Processes of the fixture that this process has for children.
fn traced() -> usize {
    let own = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter(|stat| stat.contains("(fixture)"))
        .filter(|stat| {
            let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            fields.split_whitespace().nth(1) == Some(own.as_str())
        })
        .count()
}
