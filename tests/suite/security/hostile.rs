//! Servers that mean harm: a client ends in time, keeps its memory, and shows nothing as it came.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::*;

/// Opens a file at a server that answers with what `attack` writes, and says how that ended.
fn attacked(attack: impl FnOnce(&mut TcpStream) -> std::io::Result<()> + Send + 'static) -> (Result<()>, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = Uri::parse(&format!("rap://{}//x", listener.local_addr().unwrap()));
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // The hello has come at least in part; who attacks does not care for more.
        let _ = stream.read(&mut [0; 1024]);
        // The client hangs up on it sooner or later.
        let _ = attack(&mut stream);
        drop(stream);
        // A client may try once more, without the hello, when it was hung up on.
        listener.set_nonblocking(true).unwrap();
        drop(listener);
    });
    let begun = Instant::now();
    let open = Open { timeout: Duration::from_millis(300), ..Open::default() };
    let outcome = plugin::open(&uri, &open).map(drop);
    let taken = begun.elapsed();
    thread.join().unwrap();
    (outcome, taken)
}

/// An answer to the hello with `text`.
fn answer(text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x87];
    bytes.extend_from_slice(&(text.len() as u32 + 1).to_be_bytes());
    bytes.extend_from_slice(text);
    bytes.push(0);
    bytes
}

fn assert_no_escapes(error: &Error) {
    assert!(!error.to_string().chars().any(char::is_control), "{:?}", error.to_string());
}

#[test]
fn nonsense_ends_the_connection() {
    for bytes in [
        vec![0; 64],
        vec![0xff; 64],
        b"HTTP/1.1 200 OK\r\n\r\n\x1b]0;owned\x07".to_vec(),
        // Wrong opcodes: an answer to READ, a request of the client's own kind.
        vec![0x82, 0, 0, 0, 4, 1, 2, 3, 4],
        vec![0x84, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![0x01, 5, 3, b'/', b'x', 0],
        // Lengths that nobody can mean.
        vec![0x87, 0xff, 0xff, 0xff, 0xff],
        vec![0x87, 0x7f, 0xff, 0xff, 0xff, b'a'],
        vec![0x07, 0xff, 0xff, 0xff, 0xff],
    ] {
        let shown = format!("{bytes:02x?}");
        let (outcome, taken) = attacked(move |stream| stream.write_all(&bytes));
        let error = outcome.expect_err(&shown);
        assert_no_escapes(&error);
        assert!(taken < Duration::from_secs(5), "{shown}: {taken:?}");
    }
}

#[test]
fn an_endless_answer_is_not_collected() {
    let (outcome, taken) = attacked(|stream| {
        stream.write_all(&[0x87, 0x3f, 0xff, 0xff, 0xff])?;
        let chunk = vec![b'a'; 1 << 16];
        // The client leaves long before this is all.
        (0..1 << 14).try_for_each(|_| stream.write_all(&chunk))
    });
    let error = outcome.unwrap_err();
    assert!(matches!(error.kind(), Kind::Protocol | Kind::Limit), "{error}");
    assert!(taken < Duration::from_secs(5), "{taken:?}");
}

#[test]
fn endless_signs_of_life_have_an_end() {
    let (outcome, taken) = attacked(|stream| {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            stream.write_all(&[7, 0, 0, 0, 2, b'#', 0])?;
            let _ = stream.read(&mut [0; 64])?;
        }
        Ok(())
    });
    assert!(outcome.is_err());
    assert!(taken < Duration::from_secs(20), "{taken:?}");
}

#[test]
fn a_slow_drip_has_an_end() {
    let (outcome, taken) = attacked(|stream| {
        let mut drip = answer(&[b'a'; 4096]).into_iter();
        drip.try_for_each(|byte| {
            // A pace, not a wait for something: faster than the client's patience with silence.
            std::thread::sleep(Duration::from_millis(100));
            stream.write_all(&[byte])
        })
    });
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    assert!(taken < Duration::from_secs(20), "{taken:?}");
}

#[test]
fn escapes_are_made_visible() {
    let (outcome, _) =
        attacked(|stream| stream.write_all(&answer(b"rap/2 error=\x1b]0;owned\x07\x1b[2J\x9b1m\r\nError: forged")));
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), Kind::Credentials);
    assert_no_escapes(&error);
    assert!(error.message().contains("\\x1b]0;owned\\x07"), "{error}");
}

#[test]
fn reverse_commands_are_answered_empty_and_not_run() {
    let here = tempfile::tempdir().unwrap();
    let witness = here.path().join("made");
    let command = format!("!touch {}", witness.display());
    let (sender, answers) = std::sync::mpsc::channel();
    let (outcome, _) = attacked(move |stream| {
        let mut bytes = vec![7];
        bytes.extend_from_slice(&(command.len() as u32 + 1).to_be_bytes());
        bytes.extend_from_slice(command.as_bytes());
        bytes.push(0);
        stream.write_all(&bytes)?;
        let mut answer = [0; 6];
        // The rest of the first flight may come before it.
        let mut seen = Vec::new();
        while !seen.windows(6).any(|window| window == [0x87, 0, 0, 0, 1, 0]) {
            let count = stream.read(&mut answer)?;
            if count == 0 {
                break;
            }
            seen.extend_from_slice(&answer[..count]);
        }
        sender.send(seen).ok();
        Ok(())
    });
    assert!(outcome.is_err());
    let seen = answers.recv().unwrap();
    assert!(seen.windows(6).any(|window| window == [0x87, 0, 0, 0, 1, 0]), "{seen:02x?}");
    assert!(!witness.exists());
}
