//! Tests: a file that lies about its sizes costs no memory, whatever command looks at it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::harness::remora;

/// Everything that reads tables, lines and notes.
const EVERYTHING: &str = "i;iI;iS;iSS;ie;is;ii;iE;ir;il;iM;ih;iA;iz;CL;iK;iKt;iKf;pd 4";

/// Most MiB that a process may have touched that has looked at all of them. The program alone takes some 30 of them.
const MOST: u64 = 160;

/// What fields say: more than there is, in 4 and in 8 bytes, and what overflows when it is multiplied.
const LIES: [u64; 4] = [0x7fff_ffff, u64::MAX, 0x1000_0000, 0x0888_8888_8888_8889];

/// The files that the fuzzers begin with.
fn corpus() -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut files = Vec::new();
    for kind in ["object", "lines", "corefile"] {
        for entry in std::fs::read_dir(root.join(kind)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
    files.sort();
    files
}

/// Runs [`EVERYTHING`] on `variants` in one process. Returns its largest resident set, in MiB.
fn looked_at(variants: &[Vec<u8>]) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let mut script = String::new();
    for (index, bytes) in variants.iter().enumerate() {
        let path = folder.path().join(format!("{index}"));
        std::fs::write(&path, bytes).unwrap();
        // The text is of no interest here; everything is written nevertheless.
        writeln!(script, "o {}\n{EVERYTHING}\no-*", path.display()).unwrap();
    }
    script.push_str("?e looked\n!grep VmHWM /proc/$PPID/status\n");
    let path = folder.path().join("script");
    std::fs::write(&path, script).unwrap();
    let output = remora(&["-N", "-q", "-e", "bin.maxstrbuf=0x1000000", "-i", path.to_str().unwrap(), "-"]);
    let said = String::from_utf8_lossy(&output.stdout);
    let last: Vec<&str> = said.lines().rev().take(2).collect();
    assert_eq!(last.get(1), Some(&"looked"), "{}: {last:?} {}", output.status, String::from_utf8_lossy(&output.stderr));
    let peak = last[0].split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    peak.unwrap_or_else(|| panic!("{last:?}")) >> 10
}

/// One field after the other says something else than what is there.
#[test]
fn lies_about_sizes_cost_no_memory() {
    let mut variants = Vec::new();
    for (_, bytes) in corpus() {
        // Headers stand in front, tables often at the end.
        let behind = bytes.len().saturating_sub(512).max(256);
        let fields = (0..bytes.len().min(256)).step_by(8).chain((behind..bytes.len()).step_by(16));
        for (index, at) in fields.enumerate() {
            let mut variant = bytes.clone();
            let width = if index % 2 == 0 { 8 } else { 4 };
            let field = at..(at + width).min(variant.len());
            let lie = LIES[(index / 2) % LIES.len()].to_le_bytes();
            let size = field.len();
            variant[field].copy_from_slice(&lie[..size]);
            variants.push(variant);
        }
    }
    let peak = looked_at(&variants);
    assert!(peak <= MOST, "{peak} MiB for {} files", variants.len());
}

/// The file ends in the middle of each of its fields.
#[test]
fn files_that_end_early_cost_no_memory() {
    let cut = |bytes: &[u8]| -> Vec<Vec<u8>> {
        let step = (bytes.len() / 40).max(7);
        (0..bytes.len()).step_by(step).map(|end| bytes[..end].to_vec()).collect()
    };
    let variants: Vec<Vec<u8>> = corpus().iter().flat_map(|(_, bytes)| cut(bytes)).collect();
    let peak = looked_at(&variants);
    assert!(peak <= MOST, "{peak} MiB for {} files", variants.len());
}
