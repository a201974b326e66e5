//! Every target on random input and on damaged files of its corpus for a number of seconds, beside a server with a
//! crowd of clients: `soak SECONDS [SEED]`. A failure prints its input.

mod corpus;
mod crowd;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use remora::commands;
use remora_fuzz::TARGETS;

/// Longest input, in pieces.
const PIECES: u64 = 24;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).map(|word| word.parse::<u64>().ok());
    let (seconds, seed) = (args.next().flatten().unwrap_or(60), args.next().flatten());
    let seed = seed.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64) | 1);
    println!("soak: {seconds} s, seed {seed}");
    let mut random = Random(seed);
    let words = words();
    let end = Instant::now() + Duration::from_secs(seconds);
    let crowd = std::thread::spawn(move || crowd::run(end));
    let corpora: Vec<Vec<Vec<u8>>> = TARGETS.iter().map(|(name, _)| corpus::of(name)).collect();
    println!("soak: {} files in the corpora of {} targets", corpora.iter().map(Vec::len).sum::<usize>(), TARGETS.len());
    let (mut runs, mut failures) = (0u64, 0u64);
    let mut run = |name: &str, target: &fn(&[u8]), input: &[u8]| {
        runs += 1;
        if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
            failures += 1;
            eprintln!("soak: {name} fails on b\"{}\"", input.escape_ascii());
        }
    };
    for ((name, target), corpus) in TARGETS.iter().zip(&corpora) {
        corpus.iter().for_each(|input| run(name, target, input));
    }
    while Instant::now() < end {
        let input = input(&mut random, &words);
        for ((name, target), corpus) in TARGETS.iter().zip(&corpora) {
            run(name, target, &input);
            if !corpus.is_empty() {
                run(name, target, &corpus::damaged(corpus, &mut random));
            }
        }
    }
    let (visits, wrong) = crowd.join().unwrap_or_else(|_| (0, vec!["the crowd panicked".to_string()]));
    for what in &wrong {
        eprintln!("soak: {what}");
    }
    failures += wrong.len() as u64;
    println!("soak: {runs} runs, {visits} visits, {failures} failures");
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What lines are made of: names of commands, separators, numbers that are easy to get wrong.
fn words() -> Vec<&'static str> {
    let mut words: Vec<&'static str> = commands::all()
        .flat_map(|command| std::iter::once(command.name).chain(command.aliases.iter().copied()))
        .collect();
    words.extend(commands::all().flat_map(|command| command.examples.iter().map(|example| example.line)));
    let grammar = " ;;@ @@ @! ~ ~: ` | > \" ' \\ ( ) { } [ ] $ , . : = == =! # ? j q * \n \t - + / % << >> && || \0 é";
    words.extend(grammar.split(' '));
    words.extend([
        " ",
        "0",
        "-1",
        "0x7fffffffffffffff",
        "0xffffffffffffffff",
        "1K",
        "4G",
        "08",
        "0b2",
        "1e400",
        "$$",
        "rap://",
        // Heads of packets and frames, and lengths that are easy to get wrong.
        "\x01\x05\x02/\0",
        "\x02\0\0\0\x04",
        "\x07\0\0\0\x02s\0",
        "\x10\0\0\0\x09\0\0\0\x01\x01",
        "\x10\0\0\0\x17\0\0\0\x01\x02",
        "\0\0\0\x01",
        "\x7f\x7f\x7f\x7f",
        "$g#67",
        "$vCont;c:p1.-1#",
        "T05swbreak:;thread:p1.2;",
        "vFile:pread:3,10,0",
        "Z0,400000,1;X1,27",
        "qXfer:auxv:read::0,10",
        "}\x03",
        "0*~",
        "rap/2 max_read=99 max_frame=999999 can=stat,read",
    ]);
    words
}

fn input(random: &mut Random, words: &[&'static str]) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..=random.below(PIECES) {
        match random.below(8) {
            0 => input.push(random.next() as u8),
            1 => input.push(b' ' + random.below(95) as u8),
            2 => input.push(b' '),
            _ => input.extend_from_slice(words[random.below(words.len() as u64) as usize].as_bytes()),
        }
    }
    input
}

/// Marsaglia's xorshift64: repeatable from its seed, which is all that is asked of it.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
