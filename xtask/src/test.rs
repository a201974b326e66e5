//! `cargo xtask test`: what has to hold before a change lands. Installs what it needs and can install.

use std::path::Path;
use std::process::Command;

use crate::tools::{self, Result, cargo, find, output, target};

/// Runs every check, the tests last: their summary ends the output.
pub fn run() -> Result<()> {
    let mut absent = Vec::new();
    let deny = ensure("cargo-deny", &mut absent);
    let nextest = ensure("cargo-nextest", &mut absent);
    let path = peers(&mut absent)?;

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

/// Makes radare2 available to the interoperability tests; returns the PATH to find it in.
fn peers(absent: &mut Vec<String>) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folder = target().join("peers/radare2");
    let script = Path::new("../shared/tools/install-radare2");
    if find("radare2").is_some() {
        return Ok(path);
    }
    let packaged = || {
        let policy = output(Command::new("apt-cache").args(["policy", "radare2"])).unwrap_or_default();
        policy.lines().any(|line| line.trim_start().starts_with("Candidate:") && !line.contains("(none)"))
    };
    if !folder.join("radare2").is_file() {
        let installed = if script.is_file() {
            tools::run(Command::new("bash").arg(script).arg(&folder)).is_ok()
        } else {
            find("apt-get").is_some()
                && packaged()
                && tools::run(Command::new("apt-get").args(["install", "--yes", "--quiet", "radare2"])).is_ok()
        };
        if !installed {
            absent.push("radare2; 'apt-get install radare2' (or your system's way) installs it".to_string());
            return Ok(path);
        }
    }
    let folders = std::iter::once(folder).chain(std::env::split_paths(&path));
    Ok(std::env::join_paths(folders)?)
}
