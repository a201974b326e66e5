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

/// Makes r2pipe for Python available to tests, in an environment of its own under target.
pub fn python(absent: &mut Vec<String>) {
    let folder = target().join("peers/python");
    let python = folder.join("bin/python");
    let has = || python.is_file() && run(Command::new(&python).args(["-c", "import r2pipe"])).is_ok();
    let install = || {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).is_ok()
            && run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "r2pipe"])).is_ok()
    };
    if !has() && !install() {
        absent
            .push("r2pipe; 'python3 -m venv target/peers/python' and its 'pip install r2pipe' install it".to_string());
    }
}

/// Makes the program `name` available, which Debian's `packages` hold.
fn packaged(name: &str, packages: &[&str], absent: &mut Vec<String>) {
    let apt = |words: &[&str]| run(Command::new("apt-get").args(words)).is_ok();
    // A new machine may not have the lists yet.
    let install = || apt(&[&["install", "--yes", "--quiet"], packages].concat());
    let installs = || find("apt-get").is_some() && (install() || (apt(&["update", "--quiet"]) && install()));
    if find(name).is_none() && !installs() {
        let packages = packages.join(" ");
        absent.push(format!("{name}; 'apt-get install {packages}' (or your system's way) installs it"));
    }
}

/// Makes nc available to tests.
pub fn nc(absent: &mut Vec<String>) {
    packaged("nc", &["netcat-openbsd"], absent);
}

/// Makes gdb, gdbserver and lldb (which brings lldb-server) available to tests and measurements.
pub fn debuggers(absent: &mut Vec<String>) {
    packaged("lldb", &["lldb"], absent);
    packaged("gdb", &["gdb"], absent);
    packaged("gdbserver", &["gdbserver"], absent);
}

/// Makes r2pipe for Node available to tests.
pub fn node(absent: &mut Vec<String>) {
    let folder = target().join("peers/node");
    let has = || folder.join("node_modules/r2pipe").is_dir();
    let install = || {
        std::fs::create_dir_all(&folder).is_ok()
            && find("npm").is_some()
            && run(Command::new("npm")
                .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
                .arg(&folder)
                .arg("r2pipe"))
            .is_ok()
    };
    if !has() && !install() {
        absent.push("r2pipe for Node; 'npm install --prefix target/peers/node r2pipe' installs it".to_string());
    }
}

/// Makes a browser and its driver available to tests.
pub fn browser(absent: &mut Vec<String>) {
    packaged("chromedriver", &["chromium", "chromium-driver"], absent);
}
