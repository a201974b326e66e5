//! Other programs of the family, to test and measure against.

use std::path::Path;
use std::process::Command;

use crate::tools::{Result, find, output, run, target};

/// Makes radare2 available to tests and measurements; returns the PATH to find it in. What cannot be had is added to
/// `absent`, with the way to install it.
pub fn path(absent: &mut Vec<String>) -> Result<std::ffi::OsString> {
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
            run(Command::new("bash").arg(script).arg(&folder)).is_ok()
        } else {
            find("apt-get").is_some()
                && packaged()
                && run(Command::new("apt-get").args(["install", "--yes", "--quiet", "radare2"])).is_ok()
        };
        if !installed {
            absent.push("radare2; 'apt-get install radare2' (or your system's way) installs it".to_string());
            return Ok(path);
        }
    }
    let folders = std::iter::once(folder).chain(std::env::split_paths(&path));
    Ok(std::env::join_paths(folders)?)
}
