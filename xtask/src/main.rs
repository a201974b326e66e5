//! Chores of the project: `cargo xtask help` lists them.

mod demo;
mod peers;
mod samples;
mod test;
mod tools;

use std::process::{Command, ExitCode};

use tools::{Result, cargo};

const HELP: &str = "\
cargo xtask demo            build, start a server, work with /bin/ls through it; at a terminal, leaves you connected
cargo xtask test            everything that has to hold before a change lands (installs what it needs)
cargo xtask docs            write the pages of the reference from the tables in the sources
cargo xtask bench           measure against xxd, strings, readelf, radare2, gdb and a plain socket (docs/performance.md)
cargo xtask samples         fetch programs of other machines from Debian, for the tests of object files
cargo xtask soak [SECONDS]  throw random input at every decoder and at the shell, and a crowd at a
                            server, 60 seconds by default; visit a busy process with the debugger 1,000 times";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = std::env::set_current_dir(tools::root()).map_err(Into::into).and_then(|()| run(&args));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["demo"] => demo::run(),
        ["test"] => test::run(),
        ["docs"] => docs(),
        ["bench"] => bench(),
        ["samples"] => samples::command(),
        ["soak"] => soak("60"),
        ["soak", seconds] => soak(seconds),
        ["help" | "-h" | "--help"] | [] => {
            println!("{HELP}");
            Ok(())
        }
        _ => Err(format!("there is no chore '{}'\n\n{HELP}", args.join(" ")).into()),
    }
}

/// What `bench` measures, in this order.
const BENCHES: &[&str] = &["speed", "disassemble", "remote", "debug", "gdb", "web"];

/// Measures; a peer that is absent shows in the table. A row that is missed keeps none of the others from being shown.
fn bench() -> Result<()> {
    let path = peers::path(&mut Vec::new())?;
    let mut missed = Vec::new();
    for name in BENCHES {
        println!("\n{name}:\n");
        let outcome = tools::run(Command::new(env!("CARGO")).args(["bench", "--bench", name]).env("PATH", &path));
        if outcome.is_err() {
            missed.push(*name);
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("not as wanted: {}", missed.join(", ")).into()) }
}

/// Writes the pages that a test compares with the tables.
fn docs() -> Result<()> {
    cargo(&["build"])?;
    for page in ["commands", "options", "plugins"] {
        let text = tools::output(tools::program("debug").args(["--reference", page]))?;
        std::fs::write(format!("docs/{page}.md"), text)?;
        println!("docs/{page}.md");
    }
    Ok(())
}

fn soak(seconds: &str) -> Result<()> {
    let seconds: u64 = seconds.parse().map_err(|_| format!("'{seconds}' is not a number of seconds"))?;
    cargo(&[
        "run",
        "--release",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target-dir",
        "target",
        "--no-default-features",
        "--bin",
        "soak",
        "--",
        &seconds.to_string(),
    ])?;
    // A program that checks itself is attached to, set going with a breakpoint in its loop and left, again and again.
    let visits = ["test", "--test", "suite", "--", "--exact", "debug::stress::a_busy_process_is_visited_many_times"];
    tools::run(Command::new(env!("CARGO")).args(visits).env("REMORA_SOAK", "1000"))
}
