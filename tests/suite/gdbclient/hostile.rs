//! A stub that keeps no rule: the client neither falls over nor waits for ever, and its user sees what came.

use std::io::{Read, Write};
use std::net::TcpListener;

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
        b"qRcmd,78" => b"O1b5b33316d7265640a".to_vec(),
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
