//! A crowd at a rap server in this process: clients come, work, check every answer and leave, some of them in the
//! middle of a packet and some with nonsense.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use remora::serve::{self, ServeOptions};
use remora::uri::Authority;

/// Clients at a time.
const CLIENTS: u64 = 64;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps a crowd at a server until `end`. Returns how many visits there were and what went wrong with some.
pub fn run(end: Instant) -> (u64, Vec<String>) {
    let listening = Authority::parse("127.0.0.1:0")
        .and_then(|authority| serve::rap::listen(&authority, ServeOptions::default()))
        .map_err(|error| error.to_string());
    let server = match listening {
        Ok(server) => server,
        Err(error) => return (0, vec![error]),
    };
    let place = server.address();
    thread::scope(|scope| {
        scope.spawn(|| server.attend());
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(place, number, end))).collect();
        let mut total = (0, Vec::new());
        for client in clients {
            match client.join() {
                Ok((visits, failures)) => {
                    total.0 += visits;
                    total.1.extend(failures);
                }
                Err(_) => total.1.push("a client panicked".to_string()),
            }
        }
        server.stop();
        total
    })
}

/// One client after the other, until `end` or a failure.
fn client(place: SocketAddr, number: u64, end: Instant) -> (u64, Option<String>) {
    let mut visits = 0;
    while Instant::now() < end {
        visits += 1;
        if let Err(error) = visit(place, number << 32 | visits) {
            return (visits, Some(format!("client {number}, visit {visits}: {error}")));
        }
    }
    (visits, None)
}

fn visit(place: SocketAddr, ticket: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(place)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"\x01\x06\x0bmalloc://64")?;
    expect(&mut stream, 0x81, None)?;
    let lines = [(format!("wx {ticket:016x}"), String::new()), ("p8 8".to_string(), format!("{ticket:016x}\n"))];
    for (line, wanted) in lines {
        stream.write_all(&command(&line))?;
        expect(&mut stream, 0x87, Some(&wanted))?;
    }
    match ticket % 8 {
        0 => stream.write_all(&command("?e half")[..7]),
        1 => stream.write_all(&[ticket as u8 | 0x40, 0xff, 0xff, 0xff, 0xff, 0]),
        // It leaves before its answer comes.
        2 => stream.write_all(&command("p8 4096")),
        _ => Ok(()),
    }
}

fn command(line: &str) -> Vec<u8> {
    // The lines here are short.
    let length = line.len() as u32 + 1;
    [&[7][..], &length.to_be_bytes(), line.as_bytes(), &[0]].concat()
}

/// Reads a reply: a number, or the text `wanted`. Signs of life of a busy server are answered.
fn expect(stream: &mut TcpStream, opcode: u8, wanted: Option<&str>) -> io::Result<()> {
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let [found, number @ ..] = head;
        let mut text = Vec::new();
        if found != 0x81 {
            stream.take(u32::from_be_bytes(number).into()).read_to_end(&mut text)?;
        }
        if found == 7 && opcode == 0x87 {
            stream.write_all(&[0x87, 0, 0, 0, 1, 0])?;
            continue;
        }
        text.pop();
        if found != opcode || wanted.is_some_and(|wanted| wanted.as_bytes() != text) {
            return Err(io::Error::other(format!("{found:#x} \"{}\" instead of {wanted:?}", text.escape_ascii())));
        }
        return Ok(());
    }
}
