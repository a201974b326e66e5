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

/// Makes the pipes for Python and schemathesis, which tries the API out, available to tests, in an environment of its
/// own under target.
pub fn python(absent: &mut Vec<String>) {
    let folder = target().join("peers/python");
    let python = folder.join("bin/python");
    let made = || python.is_file() || run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).is_ok();
    for package in ["r2pipe", "rzpipe", "schemathesis"] {
        let import = format!("import {package}");
        let has = || python.is_file() && run(Command::new(&python).args(["-c", &import])).is_ok();
        let install =
            || made() && run(Command::new(&python).args(["-m", "pip", "install", "--quiet", package])).is_ok();
        if !has() && !install() {
            absent.push(format!(
                "{package}; 'python3 -m venv target/peers/python' and its 'pip install {package}' install it"
            ));
        }
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

/// Makes stubs of gdb's protocol available to tests, and the compilers for what they run.
pub fn stubs(absent: &mut Vec<String>) {
    packaged("lldb-server-14", &["lldb-14"], absent);
    packaged("qemu-aarch64", &["qemu-user"], absent);
    packaged("qemu-system-x86_64", &["qemu-system-x86"], absent);
    packaged("vgdb", &["valgrind"], absent);
    packaged("rr", &["rr"], absent);
    packaged("aarch64-linux-gnu-gcc", &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"], absent);
    packaged("riscv64-linux-gnu-gcc", &["gcc-riscv64-linux-gnu", "libc6-dev-riscv64-cross"], absent);
}

/// Makes the disassemblers of binutils for other machines available to tests.
pub fn binutils(absent: &mut Vec<String>) {
    for machine in ["aarch64-linux-gnu", "arm-linux-gnueabihf", "mips-linux-gnu", "riscv64-linux-gnu"] {
        packaged(&format!("{machine}-objdump"), &[&format!("binutils-{machine}")], absent);
    }
    // Those of binutils do not read files of macOS.
    packaged("llvm-objdump", &["llvm"], absent);
}

/// Makes r2pipe for Node, and axe-core, which knows what not everybody can use, available to tests.
pub fn node(absent: &mut Vec<String>) {
    let folder = target().join("peers/node");
    let packages = ["r2pipe", "axe-core"];
    let missing = || packages.into_iter().filter(|name| !folder.join("node_modules").join(name).is_dir());
    if missing().next().is_some() && std::fs::create_dir_all(&folder).is_ok() && find("npm").is_some() {
        let arguments = ["install", "--silent", "--no-audit", "--no-fund", "--prefix"];
        // What it could not install is said below.
        let _ = run(Command::new("npm").args(arguments).arg(&folder).args(packages));
    }
    for name in missing() {
        absent.push(format!("{name} for Node; 'npm install --prefix target/peers/node {name}' installs it"));
    }
}

/// Makes curl available to tests.
pub fn curl(absent: &mut Vec<String>) {
    packaged("curl", &["curl"], absent);
}

/// Makes a browser and its driver available to tests.
pub fn browser(absent: &mut Vec<String>) {
    packaged("chromedriver", &["chromium", "chromium-driver"], absent);
}
