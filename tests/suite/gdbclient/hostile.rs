//! A stub that keeps no rule: the client neither falls over nor waits for ever, and its user sees what came.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use remora::debug::gdb::{Gdb, Reach};
use remora::debug::{Resume, Spec, Target};
use remora::link::gdb::Connection;
use remora::link::{Link, memory};
use remora::output::Cancel;

use super::debug;

/// A stub that answers each packet by `answer`, without acknowledgements beyond those of the frame.
fn stub(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("gdb://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut input = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            input.extend_from_slice(&piece[..count]);
            while let Some(start) = input.iter().position(|byte| *byte == b'$') {
                let Some(end) = input[start..].iter().position(|byte| *byte == b'#').map(|at| start + at) else {
                    break;
                };
                if input.len() < end + 3 {
                    break;
                }
                let packet = String::from_utf8_lossy(&input[start + 1..end]).into_owned();
                input.drain(..end + 3);
                let mut reply = Vec::new();
                for byte in answer(&packet) {
                    match byte {
                        b'#' | b'$' | b'}' => reply.extend([b'}', byte ^ 0x20]),
                        _ => reply.push(byte),
                    }
                }
                let sum = reply.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
                let frame = [b"+$".as_slice(), &reply, format!("#{sum:02x}").as_bytes()].concat();
                if stream.write_all(&frame).is_err() {
                    return;
                }
            }
        }
    });
    uri
}

#[test]
fn the_oldest_packets_are_enough() {
    // A board: registers by `g`, memory by `m`, steps by `s`, and nothing else.
    let uri = stub(|packet| match packet.as_bytes() {
        b"?" => b"S05".to_vec(),
        b"g" => "00".repeat(168).into_bytes(),
        b"s" | b"c" => b"S05".to_vec(),
        [b'm', ..] => b"90909090".to_vec(),
        _ => Vec::new(),
    });
    let (out, err) = debug(&uri, "dr pc; p8 4 @ 0x1000; ds; dr cpsr; dpt~?");
    assert_eq!(out.lines().nth(1), Some("90909090"), "{out}{err}");
    assert!(err.is_empty(), "{err}");
}

#[test]
fn a_stub_that_says_yes_to_everything_is_not_believed() {
    let uri = stub(|packet| match packet.as_bytes() {
        b"?" => b"S05".to_vec(),
        b"g" => "11".repeat(168).into_bytes(),
        [b'm', ..] => b"01020304".to_vec(),
        _ => b"OK".to_vec(),
    });
    let (out, err) = debug(&uri, "dr pc; p8 4 @ 0x1000");
    assert!(out.contains("01020304"), "{out}{err}");
}

#[test]
fn damaged_descriptions_cost_nothing_but_themselves() {
    for description in [
        "l<target><reg name=\"",
        "l<target><xi:include href=\"target.xml\"/></target>",
        "m",
        "E01",
        "l<target/>",
        "l&&&",
    ] {
        let uri = stub(move |packet| match packet.as_bytes() {
            b"?" => b"T05thread:1;".to_vec(),
            b"g" => "22".repeat(536).into_bytes(),
            [b'm', ..] => b"cc".to_vec(),
            _ if packet.starts_with("qSupported") => b"PacketSize=ffffffffffff;qXfer:features:read+".to_vec(),
            _ if packet.starts_with("qXfer:features:read:") => description.as_bytes().to_vec(),
            _ => Vec::new(),
        });
        let (out, err) = debug(&uri, "dr rip");
        assert_eq!(out.trim(), "0x2222222222222222", "{description}: {err}");
    }
}

#[test]
fn objects_without_an_end_are_given_up() {
    let uri = stub(|packet| match packet.as_bytes() {
        b"?" => b"T05thread:1;".to_vec(),
        b"g" => "22".repeat(536).into_bytes(),
        _ if packet.starts_with("qSupported") => b"PacketSize=4000;qXfer:auxv:read+;qXfer:threads:read+".to_vec(),
        _ if packet.starts_with("qXfer:") => [b"m".to_vec(), vec![b'a'; 16_000]].concat(),
        _ => Vec::new(),
    });
    let (out, _) = debug(&uri, "dr rip");
    assert_eq!(out.trim(), "0x2222222222222222");
}

#[test]
fn escapes_do_not_reach_the_terminal() {
    let uri = stub(|packet| match packet.as_bytes() {
        b"?" => b"T05thread:1;".to_vec(),
        b"g" => "22".repeat(536).into_bytes(),
        b"qfThreadInfo" => b"m1".to_vec(),
        b"qRcmd,78" => b"1b5b33316d7265640a".to_vec(),
        _ if packet.starts_with("qSupported") => b"PacketSize=4000;qXfer:threads:read+;\x1b[31m+".to_vec(),
        _ if packet.starts_with("qXfer:threads") => {
            b"l<threads><thread id=\"1\" name=\"&#27;[31mred\"/></threads>".to_vec()
        }
        _ => Vec::new(),
    });
    let (out, err) = debug(&uri, "dpt; =!features; =!monitor x; =!pkt zz");
    assert!(out.contains("[31mred"), "{out:?}{err:?}");
    assert!(!out.contains('\x1b') && !err.contains('\x1b'), "{out:?}{err:?}");
}

#[test]
fn a_line_that_breaks_while_it_runs_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("gdb://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            for frame in String::from_utf8_lossy(&piece[..count]).split('$').skip(1) {
                let reply: &[u8] = match frame.split('#').next().unwrap_or_default() {
                    "?" => b"+$S05#b8",
                    "g" => b"+$00000000000000000000000000000000#00",
                    "c" => return,
                    _ => b"+$#00",
                };
                if stream.write_all(reply).is_err() {
                    return;
                }
            }
        }
    });
    let (_, err) = debug(&uri, "dc; dc");
    assert!(err.contains("the target is lost: "), "{err}");
}

/// A reply as stubs give them, or as they should not.
fn reply() -> impl Strategy<Value = Vec<u8>> {
    let said = [
        "OK",
        "",
        "E01",
        "S05",
        "T05thread:p1.1;",
        "T05swbreak:;thread:1;10:0010000000000000;",
        "W00",
        "X09;process:1",
        "O6869",
        "N",
        "PacketSize=1000;multiprocess+;qXfer:features:read+;qXfer:threads:read+;qXfer:auxv:read+;swbreak+;vContSupported+",
        "PacketSize=40;QStartNoAckMode+;qXfer:libraries-svr4:read+;qXfer:siginfo:read+",
        "vCont;c;C;s;S;t;r",
        "QCp1.1",
        "l<target><architecture>i386:x86-64</architecture><reg name='rip' bitsize='64' regnum='16'/></target>",
        "l<threads><thread id='p1.1'/></threads>",
        "m<threads>",
        "m",
        "l",
        "mp1.1,p1.2",
        "F5",
        "F-1,2",
        "F3;abc",
        "0*~0*~0*~",
        "xxxxxxxx",
        "90909090",
        "T05fork:p2.2;thread:p1.1;",
        "T05exec:2f62696e;thread:p1.1;",
        "T05syscall_entry:1;",
        "T05watch:1000;",
        "Tzz",
        "T0506:0;07:;10:zz;",
        "b\u{1}\u{2}",
    ];
    let known = prop::sample::select(said.to_vec()).prop_map(|text| text.as_bytes().to_vec());
    prop_oneof![8 => known, 1 => prop::collection::vec(any::<u8>(), 0..40)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever comes, every call of the client comes back.
    #[test]
    fn every_conversation_ends(replies in prop::collection::vec(reply(), 0..60)) {
        let (near, mut far) = memory::pair(Duration::ZERO);
        for reply in replies {
            let body: Vec<u8> = reply.into_iter().filter(|byte| !b"#$".contains(byte)).collect();
            let sum = body.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
            far.write_all(&[b"+$", body.as_slice(), format!("#{sum:02x}").as_bytes()].concat()).unwrap();
        }
        // Behind the last reply the stream has ended: nothing waits for more.
        far.finish().unwrap();
        let connection = Connection::new(Box::new(near), Duration::from_millis(5), Cancel::new());
        if let Ok(mut target) = Gdb::open(connection, Reach::default(), None)
            && let Some(thread) = target.current()
        {
            let _ = (target.threads(None), target.read_set(thread, 0), target.maps(thread.process));
            let _ = target.read_memory(thread.process, 0x1000, &mut [0; 64]);
            let _ = (target.modules(thread.process), target.insert(&Spec::at(0x1000)));
            if target.resume(&[Resume::ALL]).is_ok() {
                let _ = target.wait(Some(Instant::now() + Duration::from_millis(5)), &Cancel::new());
            }
            let _ = (target.take_stop(), target.breakpoints(), target.is_running());
        }
    }
}
