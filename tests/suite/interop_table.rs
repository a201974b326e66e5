//! Tests: who works with whom. Real clients and real servers do each thing that matters, and the table in
//! docs/interop.md says what came of it. `UPDATE=1` rewrites the table.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{program, radare2};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the slow command takes. The ancestors' clients wait for one second.
const SLOW: Duration = Duration::from_secs(2);

/// Bytes in the sample: more than fit into one packet of the old protocol.
const SIZE: usize = 20_000;

/// Most bytes in one READ of the old protocol.
const PACKET: usize = 4096;

/// The pairs, client first. The last one is there for comparison.
const PAIRS: [(Peer, Peer); 4] = [
    (Peer::Remora, Peer::Remora),
    (Peer::Remora, Peer::Radare2),
    (Peer::Radare2, Peer::Remora),
    (Peer::Radare2, Peer::Radare2),
];

/// What a client does at a server, as the table calls it.
const ROWS: [(&str, Attempt); 8] = [
    ("open a file and see its size", open),
    ("read 20,000 bytes", read),
    ("write", write),
    ("seek, and seek from there", seek),
    ("run a command", command),
    ("a reply of 24,000 characters", large),
    ("a command that takes 2 s, then another", slow),
    ("a file that is not there, then one that is", missing),
];

/// The notes below the table.
const NOTES: [&str; 2] = [
    "radare2's client takes at most 4,096 bytes in one read, and shows what it did not get as 0xff. In pieces of \
     4,096 bytes everything arrives.",
    "radare2's client takes at most 16,384 bytes of a reply and loses the conversation over a longer one. remora ends \
     the reply there, with the remark `# Error: the reply was cut here`.",
];

/// What came of it: the word for the table, or what went wrong.
type Cell = Result<&'static str, String>;

/// Has a client do something at a server.
type Attempt = fn(&Pair) -> Cell;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Remora,
    Radare2,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Peer::Remora => "remora",
            Peer::Radare2 => "radare2",
        }
    }

    /// The program, as a client for scripts. The file's format is left alone.
    fn client(self) -> Command {
        let mut command = match self {
            Peer::Remora => program(),
            Peer::Radare2 => radare2().expect("it was there a moment ago"),
        };
        command.args(["-q", "-n"]);
        command
    }
}

/// A process that ends with the value.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server of the real program.
struct Serving {
    _process: Guard,
    /// `127.0.0.1:port`.
    place: String,
}

impl Serving {
    fn start(peer: Peer) -> Serving {
        match peer {
            Peer::Remora => Serving::remora(),
            Peer::Radare2 => Serving::radare2(),
        }
    }

    /// It takes a free port and says which.
    fn remora() -> Serving {
        let mut command = program();
        let process = command.arg("rap://127.0.0.1:0").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut process = Guard(process);
        let mut said = BufReader::new(process.0.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let place = line.trim_end().rsplit(' ').next().unwrap_or_default().to_string();
        // What it says later has to go somewhere; this ends with the server.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Serving { _process: process, place }
    }

    /// It has to be told a port, which may be taken by somebody else meanwhile.
    fn radare2() -> Serving {
        for _ in 0..8 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = radare2().expect("it was there a moment ago");
            let process = command.arg(format!("rap://:{port}")).stdout(Stdio::null()).spawn().unwrap();
            let mut process = Guard(process);
            let deadline = Instant::now() + PATIENCE;
            while process.0.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() && process.0.try_wait().unwrap().is_none() {
                    return Serving { _process: process, place: format!("127.0.0.1:{port}") };
                }
                assert!(Instant::now() < deadline, "radare2 does not listen at {port}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        panic!("radare2 does not listen at any port");
    }
}

/// A client's program and a server that runs.
struct Pair {
    client: Peer,
    server: Peer,
    serving: Serving,
    directory: TempDir,
}

impl Pair {
    fn new(client: Peer, server: Peer) -> Pair {
        Pair { client, server, serving: Serving::start(server), directory: TempDir::new().unwrap() }
    }

    /// A file that the server can open: its path.
    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_string()
    }

    fn sample(&self) -> String {
        self.file("sample", &sample())
    }

    /// What the client prints for `commands` with the server's file `path` open. Blank lines are radare2's answers
    /// to the empty commands that it sends on its own.
    fn with_file(&self, args: &[&str], commands: &str, path: &str) -> Result<Vec<String>, String> {
        self.run(args, commands, &format!("rap://{}/{path}", self.serving.place))
    }

    /// What the client prints for `commands` that it has the server run.
    fn at_host(&self, commands: &[&str]) -> Result<Vec<String>, String> {
        let commands: String = commands.iter().map(|command| format!(";=0 {command}")).collect();
        let path = self.sample();
        self.run(&[], &format!("=+ rap://{}/{path};?e --{commands}", self.serving.place), "malloc://16").map(|lines| {
            // What stands before the mark is how the program reports a connection.
            lines.into_iter().skip_while(|line| line != "--").skip(1).collect()
        })
    }

    fn run(&self, args: &[&str], commands: &str, uri: &str) -> Result<Vec<String>, String> {
        let mut command = self.client.client();
        command.args(args).args(["-c", commands, uri]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Guard(command.spawn().unwrap());
        let mut output = process.0.stdout.take().unwrap();
        let (sender, said) = channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What could not be read is missing from the answer.
            let _ = output.read_to_end(&mut bytes);
            let _ = sender.send(bytes);
        });
        let said = said.recv_timeout(PATIENCE).map_err(|_| format!("'{commands}' hangs"))?;
        let text = String::from_utf8_lossy(&said).into_owned();
        Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_string).collect())
    }
}

fn sample() -> Vec<u8> {
    (0..SIZE).map(|at| (at * 7 + at / 255) as u8).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `word`, if the lines are these.
fn same(said: &[String], wanted: &[&str], word: &'static str) -> Cell {
    if said == wanted { Ok(word) } else { Err(format!("{}, wanted {}", short(said), short(wanted))) }
}

fn short<T: AsRef<str>>(lines: &[T]) -> String {
    let cut = |line: &T| line.as_ref().chars().take(60).collect::<String>();
    format!("{:?}", lines.iter().map(cut).collect::<Vec<_>>())
}

fn open(pair: &Pair) -> Cell {
    let said = pair.with_file(&[], "?v $s;p8 4 @ 0", &pair.sample())?;
    same(&said, &["0x4e20", &hex(&sample()[..4])], "yes")
}

fn read(pair: &Pair) -> Cell {
    let path = pair.sample();
    let wanted = hex(&sample());
    if pair.with_file(&[], &format!("p8 {SIZE} @ 0"), &path)? == [wanted.as_str()] {
        return Ok("yes");
    }
    let pieces: Vec<(usize, usize)> =
        (0..SIZE).step_by(PACKET).map(|start| (start, PACKET.min(SIZE - start))).collect();
    let commands: Vec<String> = pieces.iter().map(|(start, length)| format!("p8 {length} @ {start}")).collect();
    let said = pair.with_file(&[], &commands.join(";"), &path)?;
    same(&[said.concat()], &[&wanted], "in pieces[^1]")
}

fn write(pair: &Pair) -> Cell {
    let path = pair.file("written", b"0123456789");
    let said = pair.with_file(&["-w"], "wx 4142 @ 3;p8 4 @ 2", &path)?;
    let there = fs::read(&path).unwrap();
    if there != b"012AB56789" {
        return Err(format!("the file holds {there:?}"));
    }
    same(&said, &["32414235"], "yes")
}

fn seek(pair: &Pair) -> Cell {
    let said = pair.with_file(&[], "s 0x3000;p8 4;s+0x100;p8 2;s", &pair.sample())?;
    let sample = sample();
    same(&said, &[&hex(&sample[0x3000..0x3004]), &hex(&sample[0x3100..0x3102]), "0x3100"], "yes")
}

fn command(pair: &Pair) -> Cell {
    let said = pair.at_host(&["?e hello", "p8 4 @ 0"])?;
    same(&said, &["hello", &hex(&sample()[..4])], "yes")
}

fn large(pair: &Pair) -> Cell {
    let said = pair.at_host(&["p8 12000 @ 0", "?e after"])?;
    let whole = hex(&sample()[..12_000]);
    match said.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [reply, "after"] if reply == whole => Ok("yes"),
        [reply, "# Error: the reply was cut here", "after"] if whole.starts_with(reply) && reply.len() > 16_000 => {
            Ok("cut[^2]")
        }
        _ => Err(short(&said)),
    }
}

fn slow(pair: &Pair) -> Cell {
    let wait = match pair.server {
        Peer::Remora => format!("sleep {}", SLOW.as_secs()),
        Peer::Radare2 => format!("!sleep {}", SLOW.as_secs()),
    };
    let begun = Instant::now();
    let said = pair.at_host(&[&wait, "?e after", "p8 2 @ 0"])?;
    if begun.elapsed() < SLOW {
        return Err("it did not wait".to_string());
    }
    same(&said, &["after", &hex(&sample()[..2])], "yes")
}

fn missing(pair: &Pair) -> Cell {
    let path = pair.directory.path().join("nothing");
    let said = pair.with_file(&[], "p8 4 @ 0", path.to_str().unwrap())?;
    same(&said, &[], "yes")?;
    let said = pair.with_file(&[], "p8 4 @ 0", &pair.sample())?;
    same(&said, &[&hex(&sample()[..4])], "yes")
}

// ---- the page ----------------------------------------------------------------------------------------------------

const BEGIN: &str = "<!-- This table is measured: UPDATE=1 cargo test --test suite interop_table -->\n";
const END: &str = "<!-- end of the table -->\n";

fn table(cells: &[Vec<Cell>]) -> String {
    let heads = PAIRS.map(|(client, server)| format!(" {} → {} |", client.name(), server.name()));
    let mut table = format!("| client → server |{}\n|---|---|---|---|---|\n", heads.concat());
    for (row, (name, _)) in ROWS.iter().enumerate() {
        let words: String =
            cells.iter().map(|column| format!(" {} |", column[row].as_deref().unwrap_or("no"))).collect();
        table.push_str(&format!("| {name} |{words}\n"));
    }
    for (number, note) in NOTES.iter().enumerate() {
        table.push_str(&format!("\n[^{}]: {note}\n", number + 1));
    }
    table
}

/// A table without its last column, which is the peer's own affair and may differ between its versions.
fn without_comparison(table: &str) -> String {
    let cut = |line: &str| match line.strip_suffix(" |").and_then(|line| line.rsplit_once('|')) {
        Some((rest, _)) => format!("{rest}|\n"),
        None => format!("{line}\n"),
    };
    table.lines().map(cut).collect()
}

#[test]
fn the_table_of_programs_that_work_together_is_true() {
    let absent = radare2().is_none();
    if absent {
        // Past the capture of the test harness, so that it is seen in every run.
        let _ = writeln!(std::io::stderr(), "ABSENT: radare2; docs/interop.md is not compared");
    }
    let has = |(client, server): &(Peer, Peer)| !absent || (*client, *server) == (Peer::Remora, Peer::Remora);
    let columns: Vec<Vec<Cell>> = std::thread::scope(|scope| {
        let columns: Vec<_> = PAIRS
            .iter()
            .filter(|pair| has(pair))
            .map(|(client, server)| {
                scope.spawn(|| {
                    // A server of its own for each thing, so that no failure spoils the next.
                    ROWS.iter().map(|(_, attempt)| attempt(&Pair::new(*client, *server))).collect()
                })
            })
            .collect();
        columns.into_iter().map(|column| column.join().unwrap()).collect()
    });
    for ((client, server), column) in PAIRS.iter().filter(|pair| has(pair)).zip(&columns) {
        for ((row, _), cell) in ROWS.iter().zip(column) {
            let ours = *client == Peer::Remora || *server == Peer::Remora;
            if let (true, Err(why)) = (ours, cell) {
                panic!("client {}, server {}, {row}: {why}", client.name(), server.name());
            }
        }
    }
    if absent {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/interop.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("docs/interop.md has a table");
    let (written, after) = rest.split_once(END).expect("the table of docs/interop.md ends");
    let measured = table(&columns);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{measured}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(without_comparison(written), without_comparison(&measured), "docs/interop.md is stale: UPDATE=1");
}
