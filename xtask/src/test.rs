//! `cargo xtask test`: what has to hold before a change lands. Installs what it needs and can install.

use std::process::Command;

use crate::peers;
use crate::tools::{self, Result, cargo, find};

/// Runs every check, the tests last: their summary ends the output.
pub fn run() -> Result<()> {
    let mut absent = Vec::new();
    let deny = ensure("cargo-deny", &mut absent);
    let nextest = ensure("cargo-nextest", &mut absent);
    let path = peers::path(&mut absent)?;
    peers::python(&mut absent);
    peers::nc(&mut absent);
    peers::binutils(&mut absent);
    crate::samples::fetch(&mut absent);
    crate::samples::fetch_for_macos(&mut absent);
    peers::debuggers(&mut absent);
    peers::stubs(&mut absent);
    peers::node(&mut absent);
    peers::curl(&mut absent);
    peers::browser(&mut absent);

    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    if deny {
        // Advisories would need their data base, which is not always within reach.
        cargo(&["deny", "--workspace", "check", "bans", "licenses", "sources"])?;
    }
    cargo(&[
        "check",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target-dir",
        "target",
        "--all-targets",
        "--all-features",
    ])?;
    cargo(&["build", "--workspace"])?;
    for what in absent {
        println!("ABSENT: {what}");
    }
    let arguments: &[&str] = if nextest {
        &["nextest", "run", "--workspace", "--no-fail-fast", "--status-level", "fail", "--final-status-level", "fail"]
    } else {
        &["test", "--workspace", "--no-fail-fast"]
    };
    tools::run(Command::new(env!("CARGO")).args(arguments).env("PATH", path))
}

/// Whether the cargo subcommand `name` is there, after an attempt to install it.
fn ensure(name: &str, absent: &mut Vec<String>) -> bool {
    if find(name).is_some() {
        return true;
    }
    let installed = cargo(&["install", "--locked", name]).is_ok();
    if !installed {
        absent.push(format!("{name}; 'cargo install --locked {name}' installs it"));
    }
    installed
}
