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

/// A small library for macOS, once for two machines and once for one: the binary packages of a Python module.
pub fn fetch_for_macos(absent: &mut Vec<String>) {
    const MODULE: &str = "markupsafe==3.0.2";
    let folder = target().join("peers/samples/markupsafe-macos");
    if folder.is_dir() {
        return;
    }
    let python = target().join("peers/python/bin/python");
    let unpack = || -> Result<()> {
        let fresh = folder.with_extension("part");
        let _ = std::fs::remove_dir_all(&fresh);
        for platform in ["macosx_10_13_x86_64", "macosx_11_0_arm64"] {
            let inside = fresh.join(platform);
            std::fs::create_dir_all(&inside)?;
            run(Command::new(&python)
                .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"])
                .args(["--python-version", "3.12", "--implementation", "cp", "--platform", platform, MODULE])
                .current_dir(&inside))?;
            for entry in std::fs::read_dir(&inside)? {
                run(Command::new(&python).args(["-m", "zipfile", "-e"]).arg(entry?.path()).arg(&inside))?;
            }
        }
        Ok(std::fs::rename(&fresh, &folder)?)
    };
    if unpack().is_err() {
        absent.push(format!("{MODULE} for macOS; 'pip download --platform macosx_11_0_arm64 {MODULE}' gets it"));
    }
}

/// `cargo xtask samples`.
pub fn command() -> Result<()> {
    let mut absent = Vec::new();
    fetch(&mut absent);
    crate::peers::python(&mut absent);
    fetch_for_macos(&mut absent);
    match absent.is_empty() {
        true => Ok(()),
        false => Err(absent.join("\n").into()),
    }
}
