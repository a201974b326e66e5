//! Packets by hand: what debuggers other than today's gdb send, and what nobody should.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use remora::protocol::rsp::link::{Event, LIMIT, Link, Role};
use remora::protocol::rsp::stop::{Reason, Stop, Stopped};

use super::{PATIENCE, Server, ready, symbol};

/// A debugger made by hand.
struct Client {
    stream: TcpStream,
    link: Link,
    input: Vec<u8>,
}

impl Client {
    fn connect(server: &Server) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream, link: Link::new(Role::Client, LIMIT), input: Vec::new() }
    }

    fn send(&mut self, payload: &[u8]) {
        let mut out = Vec::new();
        self.link.send(payload, &mut out);
        self.stream.write_all(&out).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        loop {
            let mut out = Vec::new();
            let (event, used) = self.link.receive(&self.input, &mut out);
            self.input.drain(..used);
            self.stream.write_all(&out).unwrap();
            match event {
                Some(Event::Packet(payload)) => return payload,
                Some(_) => continue,
                None if used > 0 => continue,
                None => {}
            }
            let mut buffer = [0; 65536];
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the server has hung up");
            self.input.extend_from_slice(&buffer[..count]);
        }
    }

    fn ask(&mut self, payload: &str) -> String {
        self.ask_bytes(payload.as_bytes())
    }

    fn ask_bytes(&mut self, payload: &[u8]) -> String {
        self.send(payload);
        String::from_utf8_lossy(&self.receive()).into_owned()
    }

    fn stop(&mut self, payload: &str) -> Stopped {
        self.send(payload.as_bytes());
        self.stopped()
    }

    fn stopped(&mut self) -> Stopped {
        let reply = self.receive();
        match Stop::parse(&reply) {
            Ok(Stop::Stopped(stopped)) => stopped,
            other => panic!("{other:?}: {}", String::from_utf8_lossy(&reply)),
        }
    }

    fn register(&mut self, number: u32) -> u64 {
        let digits = self.ask(&format!("p{number:x}"));
        u64::from_str_radix(&digits, 16).unwrap().swap_bytes()
    }
}

fn pc(stopped: &Stopped) -> u64 {
    let (_, bytes) = stopped.registers.iter().find(|(number, _)| *number == 16).unwrap();
    u64::from_le_bytes(bytes.as_slice().try_into().unwrap())
}

const GDB: &str = "qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+;no-resumed+";

#[test]
fn the_program_counter_is_where_each_debugger_expects_it() {
    if !ready() {
        return;
    }
    let square = symbol("square");
    // Today's gdb.
    let server = Server::program(&["count"]);
    let mut client = Client::connect(&server);
    assert!(client.ask(GDB).contains("PacketSize=20000;"));
    assert_eq!(client.ask(&format!("Z0,{square:x},1")), "OK");
    let stopped = client.stop("vCont;c");
    assert_eq!((pc(&stopped), stopped.reason), (square, Some(Reason::SoftwareBreakpoint)));
    drop(client);
    // One that has never heard of swbreak.
    let server = Server::program(&["count"]);
    let mut client = Client::connect(&server);
    client.ask("qSupported");
    client.ask(&format!("Z0,{square:x},1"));
    let stopped = client.stop("c");
    assert_eq!((pc(&stopped), stopped.reason), (square + 1, None));
    drop(client);
    // lldb.
    let server = Server::program(&["count"]);
    let mut client = Client::connect(&server);
    for packet in ["QStartNoAckMode", "QThreadSuffixSupported", "QListThreadsInStopReply", "x0,0"] {
        assert_eq!(client.ask(packet), "OK", "{packet}");
        if packet == "QStartNoAckMode" {
            client.link.stop_acknowledging();
        }
    }
    assert!(client.ask("qHostInfo").contains("ptrsize:8;endian:little;"));
    client.ask(&format!("Z0,{square:x},1"));
    let stopped = client.stop("c");
    assert_eq!(pc(&stopped), square);
    let more = |key: &str| stopped.more.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    assert_eq!(more("reason").as_deref(), Some("breakpoint"));
    assert_eq!(more("thread-pcs"), Some(format!("{square:x}")));
    assert!(stopped.registers.len() >= 17, "{stopped:?}");
    let tid = client.ask("qC")[2..].to_string();
    assert_eq!(client.ask(&format!("p10;thread:{tid};")), format!("{:016x}", square.swap_bytes()));
    let threads = client.ask("jThreadsInfo");
    assert!(threads.starts_with('[') && threads.contains("\"reason\":\"breakpoint\""), "{threads}");
    let region = client.ask(&format!("qMemoryRegionInfo:{square:x}"));
    assert!(region.contains(";permissions:rx;"), "{region}");
    // Memory for expressions, and registers put away meanwhile.
    let saved = client.ask("QSaveRegisterState");
    let memory = u64::from_str_radix(&client.ask("_M1000,rw"), 16).unwrap();
    assert_eq!(client.ask(&format!("M{memory:x},2:abcd")), "OK");
    assert_eq!(client.ask(&format!("m{memory:x},2")), "abcd");
    assert_eq!(client.ask(&format!("_m{memory:x}")), "OK");
    assert_eq!(client.ask(&format!("m{memory:x},2")).chars().next(), Some('E'));
    assert_eq!(client.ask(&format!("QRestoreRegisterState:{saved}")), "OK");
    assert_eq!(client.register(16), square);
    client.send(b"k");
    assert_eq!(client.receive(), b"X09");
}

#[test]
fn an_interrupt_behind_a_resume_stops_what_that_sets_going() {
    if !ready() {
        return;
    }
    let server = Server::program(&["loop"]);
    let mut client = Client::connect(&server);
    client.ask(GDB);
    for _ in 0..20 {
        let mut out = Vec::new();
        client.link.send(b"vCont;c", &mut out);
        out.push(3);
        client.stream.write_all(&out).unwrap();
        assert_eq!(client.stopped().signal, 2);
    }
    // One that comes too late is nothing.
    client.stream.write_all(&[3, 3]).unwrap();
    assert!(client.ask("qC").starts_with("QCp"));
}

#[test]
fn bad_packets_are_answered_and_nothing_breaks() {
    if !ready() {
        return;
    }
    let server = Server::program(&["loop"]);
    let mut client = Client::connect(&server);
    client.ask(GDB);
    let start = client.ask("g");
    for packet in [
        "m",
        "m0,ffffffffffffffff",
        "mffffffffffffffff,ffffffffffffffff",
        "m-1,4",
        "m10",
        "M0,4:00",
        "M0,ffffffff:00",
        "X0,9:a",
        "P10=00",
        "P99=00",
        "p9999",
        "G0",
        "vCont;",
        "vCont;x",
        "vCont;Cff",
        "vCont;C5",
        "vCont;c:p77777.1",
        "Z0,0,1",
        "Z0,zz,1",
        "Z2,10,0",
        "Z2,ffffffffffffffff,8",
        "Z0,400000,1;X5,27",
        "Z0,400000,1;X1,ff",
        "Hg99999999",
        "Hgp1.p2",
        "vAttach;0",
        "vAttach;ffffffffff",
        "vKill;9999999",
        "D;9999999",
        "qXfer:features:read:nothing.xml:0,100",
        "qXfer:auxv:read::ffffffff,10",
        "qXfer:auxv:read::x,10",
        "qSearch:memory:0;ffffffffffffffff;",
        "qCRC:0,ffffffffffffffff",
        "vRun;zz",
        "QNonStop:2",
        "vFile:open:zz,0,0",
        "_m1",
        "QRestoreRegisterState:9",
        "QCatchSyscalls:1;zz",
        "T9999999",
    ] {
        let reply = client.ask(packet);
        assert!(reply.starts_with('E'), "{packet}: {reply}");
    }
    for packet in [
        "",
        "vMustReplyEmpty",
        "vNothing",
        "qNothing",
        "QNothing",
        "jNothing",
        "Z9,0,1",
        "qXfer:nothing:read::0,1",
        "bs",
        "bc",
    ] {
        assert_eq!(client.ask(packet), "", "{packet}");
    }
    assert_eq!(client.ask("vFile:close:99"), "F-1,9");
    assert_eq!(client.ask("vFile:open:6a757374,0,0"), "F-1,2");
    // Noise, a damaged packet, one that never ends, one beyond the limit.
    client.stream.write_all(b"noise$g#00").unwrap();
    // It asks for the damaged one again, and gets what this client sent last.
    assert_eq!(client.receive(), b"F-1,2");
    client.stream.write_all(&[b"$M0,".as_slice(), &vec![b'0'; 300_000], b"#00"].concat()).unwrap();
    assert!(client.receive().starts_with(b"E"));
    assert_eq!(client.ask("g"), start, "nothing has moved");
    client.stream.write_all(b"$unfinished").unwrap();
    drop(client);
    // The next one is welcome all the same.
    let mut client = Client::connect(&server);
    client.ask(GDB);
    assert_eq!(client.ask("g"), start);
}

#[test]
fn other_protocols_are_hung_up_on_and_the_target_stays() {
    if !ready() {
        return;
    }
    let server = Server::program(&["loop"]);
    for hello in [b"GET /$k#6b HTTP/1.1\r\n\r\n".as_slice(), b"POST / HTTP/1.1\r\n\r\n$k#6b", b"\x16\x03\x01\x00$k#6b"]
    {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(hello).unwrap();
        let mut answer = Vec::new();
        // Hung up on with unread bytes, which may count as a reset.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{answer:?}");
    }
    let mut client = Client::connect(&server);
    assert!(client.ask(GDB).contains("PacketSize"));
    assert_eq!(client.stop("?").signal, 5);
}

#[test]
fn a_range_is_stepped_with_one_answer() {
    if !ready() {
        return;
    }
    let square = symbol("square");
    let server = Server::program(&["count"]);
    let mut client = Client::connect(&server);
    client.ask(GDB);
    client.ask(&format!("Z0,{square:x},1"));
    client.stop("vCont;c");
    client.ask(&format!("z0,{square:x},1"));
    let thread = client.ask("qC")[2..].to_string();
    let stopped = client.stop(&format!("vCont;r{square:x},{:x}:{thread}", square + 8));
    assert!(pc(&stopped) >= square + 8, "{stopped:?}");
    let here = pc(&stopped);
    // An empty range is one step.
    let stopped = client.stop(&format!("vCont;r{here:x},{here:x}:{thread}"));
    assert_ne!(pc(&stopped), here);
}

#[test]
fn memory_is_searched_summed_and_read_in_both_dialects() {
    if !ready() {
        return;
    }
    let server = Server::program(&["loop"]);
    let mut client = Client::connect(&server);
    client.ask(GDB);
    let square = symbol("square");
    let start = square & !0xfff;
    let read = client.ask(&format!("m{start:x},1000"));
    assert_eq!(read.len(), 0x2000);
    client.send(format!("x{start:x},1000").as_bytes());
    let binary = client.receive();
    assert_eq!((binary[0], binary.len()), (b'b', 0x1001));
    let hex: String = binary[1..].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, read);
    let at = (square - start) as usize;
    let search = [format!("qSearch:memory:{start:x};1000;").as_bytes(), &binary[1 + at..1 + at + 32]].concat();
    assert_eq!(client.ask_bytes(&search), format!("1,{square:x}"));
    assert_eq!(client.ask(&format!("qSearch:memory:{start:x};20;nosuchthing")), "0");
    let mut digest = remora::protocol::rsp::memory::crc();
    digest.update(&binary[1..]);
    assert_eq!(client.ask(&format!("qCRC:{start:x},1000")), format!("C{:x}", digest.finalize()));
    // Traps do not show, and survive what is written over them.
    client.ask(&format!("Z0,{square:x},1"));
    assert_eq!(client.ask(&format!("m{start:x},1000")), read);
    assert_eq!(client.ask("Mffffffffffff0000,1:00").chars().next(), Some('E'));
}

#[test]
fn a_second_debugger_waits_and_is_told() {
    if !ready() {
        return;
    }
    let server = Server::program(&["loop"]);
    let mut first = Client::connect(&server);
    first.ask(GDB);
    let begun = Instant::now();
    let mut second = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    let _ = second.read_to_end(&mut answer);
    assert!(answer.is_empty() && begun.elapsed() > Duration::from_secs(1));
    assert!(first.ask("qC").starts_with("QC"));
}

#[test]
fn a_long_loop_is_stepped_over_in_two_round_trips() {
    if !ready() {
        return;
    }
    let server = Server::program(&["long"]);
    let target = format!("target remote 127.0.0.1:{}", server.port);
    let said = super::gdb(
        Some(super::fixture()),
        &[
            &target,
            "break long_loop",
            "continue",
            "set debug remote 1",
            "next",
            "set debug remote 0",
            "print counter",
            "kill",
        ],
    );
    let stepping = said.rsplit_once("set debug remote").map_or(said.as_str(), |(before, _)| before);
    let resumed = stepping.matches("Sending packet: $vCont;").count();
    assert_eq!(resumed, 2, "{said}");
    assert!(said.contains("$1 = 1999000"), "{said}");
}

#[test]
fn lldb_finds_the_list_of_the_loader() {
    if !ready() {
        return;
    }
    let server = Server::program(&["count"]);
    let mut client = Client::connect(&server);
    assert_eq!(client.ask("QThreadSuffixSupported"), "OK");
    client.ask(&format!("Z0,{:x},1", symbol("square")));
    client.stop("c");
    let slot = client.ask("qShlibInfoAddr");
    let word = client.ask(&format!("m{slot},8"));
    let list = u64::from_str_radix(&word, 16).unwrap().swap_bytes();
    // struct r_debug begins with its version, 1 or 2.
    let version = client.ask(&format!("m{list:x},1"));
    assert!(version == "01" || version == "02", "{slot} {word} {version}");
    let libraries = client.ask("qXfer:libraries-svr4:read::0,fff");
    assert!(libraries.contains("libc.so.6") && !libraries.contains("main-lm"), "{libraries}");
}
