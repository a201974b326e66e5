//! Each protocol of `=+`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{host, listener, place, port};
use crate::harness::{run, session};
use crate::interop::radare2;

#[test]
fn tcp_hosts_run_a_command_for_each_connection_and_print_all_of_it() {
    let mut there = host();
    let there = place(&run(&mut there, "=&t 0;s 0x10").out).to_string() + &run(&mut there, "=l~nothing").out;
    let mut here = session("malloc://512");
    let said = run(&mut here, &format!("=+ tcp://{there}/"));
    let wanted = format!("Connected to: 127.0.0.1 at port {}\n0 - tcp://{there}/\n", port(&there));
    assert_eq!((said.out, said.err), (wanted, String::new()));
}

#[test]
fn tcp_output_is_read_to_its_end_and_commands_arrive_in_one_piece() {
    let mut there = host();
    let at = place(&run(&mut there, "=&t 0").out);
    let mut here = session("malloc://512");
    run(&mut here, &format!("=+ tcp://{at}/"));
    assert_eq!(run(&mut here, "= ?e hi   there").out, "hi there\n");
    assert_eq!(run(&mut here, "=0 s 0x20;=0 s").out, "0x20\n");
    // Far more than the ancestors' 4096 bytes, and than one batch.
    let long = run(&mut here, "=0 p8 0x40000").out;
    assert_eq!(long.len(), 2 * 0x40000 + 1);
    assert!(run(&mut here, "=0 quux").out.starts_with("Error: Command 'quux' does not exist."));
    assert_eq!(run(&mut here, "=0 f a=1").out, "");
    assert_eq!(here.view.seek, 0);
}

#[test]
fn output_goes_to_a_listener_as_it_is_by_slot_and_by_descriptor() {
    let (at, received) = listener(None);
    let mut here = session("malloc://512");
    run(&mut here, &format!("=+ tcp://{at}/"));
    let json: Value = serde_json::from_str(&run(&mut here, "=j").out).unwrap();
    let descriptor = json[0]["descriptor"].as_u64().unwrap();
    assert!(descriptor > 0);
    let said = run(&mut here, &format!("=<{descriptor} ?e one;=< {descriptor} ?e two;=<0 p8 2;=< p8 4~?;=< 0 ?e a~b"));
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", ""));
    run(&mut here, "R< ?e last > /dev/null;R<0 ?e `?e end`;=-");
    let text = String::from_utf8(received.recv_timeout(Duration::from_secs(60)).unwrap()).unwrap();
    assert_eq!(text, "one\ntwo\n0000\n1\nend\n");
}

#[test]
fn udp_hosts_get_datagrams_and_may_answer() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let at = socket.local_addr().unwrap().to_string();
    let mut here = session("malloc://4096");
    let said = run(&mut here, &format!("=+ udp://{at}/"));
    assert_eq!(said.out, format!("Connected to: 127.0.0.1 at port {}\n0 - udp://{at}/\n", port(&at)));
    assert_eq!(run(&mut here, "=<0 p8 1000").err, "");
    let mut buffer = [0; 2000];
    let lengths: Vec<usize> = (0..2).map(|_| socket.recv(&mut buffer).unwrap()).collect();
    assert_eq!(lengths, [1400, 601]);
    let answering = std::thread::spawn(move || {
        let mut buffer = [0; 2000];
        let (count, from) = socket.recv_from(&mut buffer).unwrap();
        socket.send_to(b"one\ntw", from).unwrap();
        socket.send_to(b"o\n", from).unwrap();
        buffer[..count].to_vec()
    });
    assert_eq!(run(&mut here, "=0 hello").out, "one\ntwo\n");
    assert_eq!(answering.join().unwrap(), b"hello\n");
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let said = run(&mut here, &format!("=+ udp://{}/;e net.timeout=100;", silent.local_addr().unwrap()));
    assert_eq!(said.err, "");
    run(&mut here, "=-;e net.timeout=50");
    let said = run(&mut here, &format!("=+ udp://{}/;= px", silent.local_addr().unwrap()));
    assert!(said.err.starts_with("Error: no answer from 127.0.0.1:"), "{said:?}");
}

#[test]
fn unix_hosts_take_output_and_run_commands() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let answering = std::thread::spawn(move || {
        let mut texts = Vec::new();
        for answer in [&b""[..], b"done\n"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            stream.write_all(answer).unwrap();
            texts.push(text);
        }
        texts
    });
    let mut here = session("malloc://512");
    let uri = format!("unix://{}", path.display());
    assert_eq!(run(&mut here, &format!("=+ {uri}")).out, format!("Connected to: {uri}\n0 - {uri}\n"));
    assert_eq!(run(&mut here, "=<0 ?e pushed").err, "");
    assert_eq!(run(&mut here, "=0 do it").out, "done\n");
    assert_eq!(answering.join().unwrap(), ["pushed\n", "do it\n"]);
}

/// A web server that answers each connection with the next of `answers`; the requests come out.
fn web(answers: Vec<Vec<u8>>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
                request.push(byte[0]);
            }
            // A client that has gone is the test's business.
            let _ = stream.write_all(&answer);
            if sender.send(String::from_utf8_lossy(&request).into_owned()).is_err() {
                return;
            }
        }
    });
    (at, requests)
}

fn page(body: &str) -> Vec<u8> {
    // As the ancestors send it: HTTP/1.0, extra headers ended by a bare line feed.
    let head = "HTTP/1.0 200 ok\r\nContent-Type: text/plain\nConnection: close\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[test]
fn http_hosts_get_encoded_commands_and_never_show_their_password() {
    let (at, requests) = web(vec![page("5.0\n"), page("one\ntwo\x1b[m\x1b[2J\n"), page("")]);
    let mut here = session("malloc://512");
    let said = run(&mut here, &format!("=+ http://me:se%63ret@{at}/base/cmd/"));
    let wanted = format!("Connected to: 127.0.0.1 at port {}\n0 - http://{at}/base/cmd/\n", port(&at));
    assert_eq!((said.out, said.err.as_str()), (wanted, ""));
    assert_eq!(run(&mut here, "= \"px 16 @ 0x10~a;s\"").out, "one\ntwo\\x1b[2J\n");
    assert_eq!(run(&mut here, "=0 f x=1").out, "");
    assert!(!run(&mut here, "=;=j;=*").out.contains("cret"));
    let requests: Vec<String> = (0..3).map(|_| requests.recv_timeout(Duration::from_secs(60)).unwrap()).collect();
    assert!(requests[0].starts_with("GET /base/cmd/%3FV HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[1].starts_with("GET /base/cmd/px%2016%20%40%200x10%7Ea%3Bs HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[2].to_lowercase().contains("authorization: basic bwu6c2vjcmv0"), "{requests:?}");
}

#[test]
fn http_answers_that_are_none_are_named() {
    let head = |status: &str| format!("HTTP/1.0 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes();
    let moved = b"HTTP/1.0 302 Found\r\nLocation: http://elsewhere/\x1b\r\nContent-Length: 0\r\n\r\n".to_vec();
    let cases = [
        (head("401 Unauthorized"), "wants a name and a password"),
        (head("404 not found"), "answers 404 Not Found"),
        (moved, "answer"),
        (b"\0\0\0garbage\r\n\r\n".to_vec(), "does not answer as a web server"),
        (b"".to_vec(), "http://127.0.0.1:"),
        (b"HTTP/1.0 200 ok\r\nContent-Length: 9\r\n\r\nshort".to_vec(), "http://127.0.0.1:"),
        (page(&"a line\n".repeat(20_000)), "tells no version"),
    ];
    for (answer, says) in cases {
        let (at, _requests) = web(vec![answer]);
        let said = run(&mut session("malloc://16"), &format!("=+ http://{at}/"));
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
        assert!(said.err.starts_with("Error: ") && said.err.contains(says), "{said:?} {says}");
        assert!(said.out.is_empty() && !said.err.contains('\x1b'), "{said:?}");
    }
}

#[test]
fn hosts_with_an_address_of_version_6_are_reached() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        let _ = writeln!(std::io::stderr(), "absent: IPv6");
        return;
    };
    drop(listener);
    let mut there = host();
    let at = place(&run(&mut there, "=&r [::1]:0").out);
    assert!(at.starts_with("[::1]:"), "{at}");
    let tcp = place(&run(&mut there, "=&t [::1]:0").out);
    let mut here = session("malloc://512");
    let said = run(&mut here, &format!("=+ rap://{at}/;=+ tcp://{tcp}/;=0 p8 2;=1 p8 3;=r {at} p8 4;=t {tcp} p8 5"));
    assert_eq!(said.err, "");
    assert!(said.out.ends_with("0000\n000000\n00000000\n0000000000\n"), "{said:?}");
    assert!(said.out.starts_with(&format!("Connected to: ::1 at port {}\n", port(&at))), "{said:?}");
}

/// A program of the system that ends with the value.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn radare2s_web_server_runs_our_commands() {
    let Some(mut command) = radare2() else { return };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let process = command.args(["-qc", &format!("=h {port}"), "/bin/ls"]).stdout(Stdio::null()).spawn().unwrap();
    let _process = Program(process);
    let mut here = session("malloc://512");
    let deadline = Instant::now() + Duration::from_secs(30);
    let uri = format!("http://127.0.0.1:{port}/");
    while !run(&mut here, &format!("=+ {uri}")).err.is_empty() {
        assert!(Instant::now() < deadline, "radare2 never listens");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(run(&mut here, "=").out, format!("0 - {uri}cmd/\n"));
    assert_eq!(run(&mut here, "=0 \"p8 4 @ 0\"").out, "7f454c46\n");
    assert_eq!(run(&mut here, "= ?e a  b").out, "a b\n");
    let long = run(&mut here, "=0 \"p8 0x8000 @ 0\"").out;
    assert_eq!(long.len(), 2 * 0x8000 + 1);
    run(&mut here, "=!=;s 0x123");
    assert_eq!(here.hosts.get(0).unwrap().seek(&Default::default()), Some(0x123));
    assert_eq!(here.view.seek, 0);
}

#[test]
fn nc_takes_our_output_over_tcp_and_udp() {
    let Some(nc) = super::servers::nc() else { return };
    for protocol in ["tcp", "udp"] {
        // Any free port: nc says which.
        let mut command = Command::new(&nc);
        command.arg(if protocol == "tcp" { "-vnl" } else { "-vnul" }).args(["127.0.0.1", "0"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Program(command.spawn().unwrap());
        let mut errors = BufReader::new(process.0.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        let Some(port) = line.split_whitespace().last().and_then(|word| word.parse::<u16>().ok()) else {
            let _ = writeln!(std::io::stderr(), "ABSENT: an nc that says where it listens (this one: {line:?})");
            return;
        };
        let mut here = session("malloc://512");
        let said = run(&mut here, &format!("=+ {protocol}://127.0.0.1:{port}/"));
        let wanted = format!("Connected to: 127.0.0.1 at port {port}\n0 - {protocol}://127.0.0.1:{port}/\n");
        assert_eq!((said.out, said.err), (wanted, String::new()));
        assert_eq!(run(&mut here, "=<0 ?e to nc;=< p8 2~0000").err, "");
        let mut text = vec![0; "to nc\n0000\n".len()];
        process.0.stdout.as_mut().unwrap().read_exact(&mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "to nc\n0000\n", "{protocol}");
        assert_eq!(run(&mut here, "=-;=").out, "");
    }
}

#[test]
fn the_number_that_the_table_shows_is_the_one_that_output_goes_to() {
    let (at, received) = listener(None);
    let mut here = session("malloc://512");
    // As many before it as in the example.
    let others: Vec<_> = (0..5).map(|_| listener(None)).collect();
    for (other, _) in &others {
        run(&mut here, &format!("=+ tcp://{other}/"));
    }
    let said = run(&mut here, &format!("=+ tcp://{at}/")).out;
    assert!(said.ends_with(&format!("\n5 - tcp://{at}/\n")), "{said}");
    assert_eq!(run(&mut here, "=<5 ?e five;=-").err, "");
    assert_eq!(received.recv_timeout(Duration::from_secs(60)).unwrap(), b"five\n");
    for (_, received) in others {
        assert_eq!(received.recv_timeout(Duration::from_secs(60)).unwrap(), b"");
    }
}
