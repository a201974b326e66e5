//! Programs of other machines, from Debian's packages: the tests of object files read them, nothing runs them.

use std::process::Command;

use crate::tools::{Result, find, run, target};

/// Packages with libraries for machines of both byte orders and both word sizes, and for Windows.
const PACKAGES: &[&str] = &[
    "busybox-static",
    "libc6-arm64-cross",
    "libc6-armhf-cross",
    "libc6-mips-cross",
    "libc6-ppc64el-cross",
    "libc6-riscv64-cross",
    "libc6-s390x-cross",
    "libz-mingw-w64",
];

/// Unpacks each package under target/peers/samples, unless it is there; what cannot be had is added to `absent`.
pub fn fetch(absent: &mut Vec<String>) {
    let folder = target().join("peers/samples");
    for package in PACKAGES {
        let inside = folder.join(package);
        if inside.is_dir() {
            continue;
        }
        let unpack = || -> Result<()> {
            let fresh = folder.join(format!("{package}.part"));
            let _ = std::fs::remove_dir_all(&fresh);
            std::fs::create_dir_all(&fresh)?;
            run(Command::new("apt-get").args(["download", "--quiet", package]).current_dir(&fresh))?;
            for entry in std::fs::read_dir(&fresh)? {
                let archive = entry?.path();
                run(Command::new("dpkg").arg("-x").arg(&archive).arg(fresh.join("files")))?;
            }
            std::fs::rename(fresh.join("files"), &inside)?;
            Ok(std::fs::remove_dir_all(&fresh)?)
        };
        if find("apt-get").is_none() || find("dpkg").is_none() || unpack().is_err() {
            absent.push(format!("{package}; 'apt-get download {package}' and 'dpkg -x' get it on Debian"));
        }
    }
}

/// `cargo xtask samples`.
pub fn command() -> Result<()> {
    let mut absent = Vec::new();
    fetch(&mut absent);
    match absent.is_empty() {
        true => Ok(()),
        false => Err(absent.join("\n").into()),
    }
}
