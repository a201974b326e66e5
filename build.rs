//! Links the program so that it starts fast.
//!
//! The tables of the disassemblers hold about 136,000 pointers, and a position-independent program has each of them
//! corrected when it starts: 3 MiB of records read, 4 ms spent, before `main`. Packed (`DT_RELR`, ELF gABI), the
//! records are a few KiB. It needs a linker that knows them and a C library that reads them (glibc 2.36), so it is
//! asked for only where a program linked in this way was seen to run.

use std::path::Path;
use std::process::Command;

const FLAG: &str = "-Wl,-z,pack-relative-relocs";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let set = |name: &str| std::env::var(name).unwrap_or_default();
    let native = set("HOST") == set("TARGET");
    let glibc = set("CARGO_CFG_TARGET_OS") == "linux" && set("CARGO_CFG_TARGET_ENV") == "gnu";
    if native && glibc && packed_runs(Path::new(&set("OUT_DIR"))) {
        println!("cargo::rustc-link-arg-bins={FLAG}");
    }
}

/// Whether the linker packs the records of a small program and the program then starts.
fn packed_runs(folder: &Path) -> bool {
    let source = folder.join("packed.c");
    let program = folder.join("packed");
    let made = std::fs::write(&source, "static int n; int *p = &n; int main(void) { return *p; }\n").is_ok()
        && Command::new("cc")
            .args(["-pie", "-fPIE", "-Wl,--fatal-warnings", FLAG, "-o"])
            .args([&program, &source])
            .output()
            .is_ok_and(|out| out.status.success());
    made && Command::new(&program).status().is_ok_and(|status| status.success())
}
