//! Tests: versions, resources, signatures, handlers, memory: what a file carries besides code.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{absent, built, json, loaded, samples, tool};
use crate::harness::run;

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn versions_of_symbols_are_those_of_readelf() {
    for path in ["/bin/ls", "/lib/x86_64-linux-gnu/libc.so.6"] {
        let path = Path::new(path);
        if !path.is_file() {
            absent(&path.display().to_string(), "versions are compared");
            continue;
        }
        let Some(shown) = tool("readelf", &["-VW"], path) else { return };
        let (mut theirs, mut needs) = (BTreeSet::new(), false);
        for line in shown.lines() {
            needs = (needs || line.contains("'.gnu.version_r'")) && !line.contains("'.gnu.version_d'");
            // "  0x0010:   Name: GLIBC_2.3  Flags: none  Version: 9", or "Index: 2  Cnt: 1  Name: GLIBC_2.2.5".
            let word = |key: &str| {
                let rest = line.split_once(key)?.1;
                rest.split_whitespace().next().map(str::to_string)
            };
            let index = if needs { word("Version: ") } else { word("Index: ") };
            if let (Some(name), Some(index)) = (word("Name: "), index) {
                theirs.insert((needs, index.parse::<u64>().expect("a number"), name));
            }
        }
        let ours: BTreeSet<_> = json(&mut loaded(path), "iVj")
            .as_array()
            .expect("a list")
            .iter()
            .map(|row| (row["type"] == "needed", number(&row["index"]), text(&row["name"]).to_string()))
            .collect();
        assert!(!theirs.is_empty());
        assert_eq!(ours, theirs, "{}", path.display());
    }
}

#[test]
fn resources_and_the_version_of_a_library_of_windows() {
    for path in samples(&["zlib1.dll"]) {
        let mut session = loaded(&path);
        let resources = json(&mut session, "iRj");
        let version = resources.as_array().expect("a list").iter().find(|resource| resource["type"] == "VERSION");
        let version = version.unwrap_or_else(|| panic!("no version in {resources}"));
        assert!(number(&version["size"]) > 0x100 && number(&version["paddr"]) > 0);
        // The block begins with its length and its key.
        let bytes = run(&mut session, &format!("p8 2 @ {}", number(&version["vaddr"]))).out;
        let length = u64::from_str_radix(&format!("{}{}", &bytes[2..4], &bytes[..2]), 16).expect("two bytes");
        assert!(length <= number(&version["size"]), "{bytes}");
        let said = json(&mut session, "iVj");
        let find = |name: &str| {
            said.as_array().expect("a list").iter().find(|row| row["name"] == name).map(|row| text(&row["value"]))
        };
        assert!(find("FileVersion").is_some_and(|version| version.starts_with("1.")), "{said}");
        assert!(find("FileDescription").is_some_and(|text| text.contains("zlib")), "{said}");
        assert_eq!(json(&mut session, "iCj"), serde_json::json!([]));
    }
}

const THROWS: &str = r#"
#include <cstdio>
struct Guard { ~Guard() { std::puts("gone"); } };
__attribute__((noinline)) void risky(int count) { if (count > 1) throw count; }
__attribute__((noinline)) int tried(int count) {
    try { risky(count); } catch (int caught) { return caught; }
    return 0;
}
__attribute__((noinline)) void guarded(int count) { Guard guard; risky(count); }
int main(int count, char **) { guarded(count); return tried(count); }
"#;

#[test]
fn code_that_catches_exceptions() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, path) = (folder.path().join("throws.cpp"), folder.path().join("throws"));
    std::fs::write(&source, THROWS).expect("the source is written");
    let made = Command::new("g++").arg("-O1").arg("-o").arg(&path).arg(&source).status();
    if !made.is_ok_and(|status| status.success()) {
        return absent("g++", "a program that catches exceptions is looked into");
    }
    let mut session = loaded(&path);
    let handlers = json(&mut session, "iwj");
    let handlers = handlers.as_array().expect("a list");
    let inside = |name: &str, session: &mut Session| {
        let symbols = json(session, "isj");
        let symbols = symbols.as_array().expect("a list");
        let symbol = symbols.iter().find(|symbol| text(&symbol["realname"]).contains(name)).expect("the function");
        let (start, size) = (number(&symbol["vaddr"]), number(&symbol["size"]));
        start..start + size
    };
    for (function, catches) in [("tried", true), ("guarded", false)] {
        let range = inside(function, &mut session);
        let found = handlers
            .iter()
            .filter(|handler| range.contains(&number(&handler["source"])))
            .any(|handler| handler["catches"] == catches && range.contains(&number(&handler["target"])));
        assert!(found, "{function}: {handlers:?}");
    }
    assert!(run(&mut session, "iw").out.contains("catch"));
}

type Session = remora::session::Session;

#[test]
fn memory_sizes_and_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(path) = built(folder.path(), "program", &["-no-pie"]) else { return };
    let size = std::fs::metadata(&path).expect("it is there").len();
    // Something is put behind the program.
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("it opens");
    std::io::Write::write_all(&mut file, &[0x55; 1000]).expect("it is written");
    let mut session = loaded(&path);
    assert_eq!(run(&mut session, "iZ").out, format!("{size}\n"));
    let memory = json(&mut session, "imj");
    let memory = memory.as_array().expect("a list");
    assert!(memory.iter().any(|region| region["perm"] == "-r-x"), "{memory:?}");
    assert!(memory.iter().any(|region| number(&region["size"]) > number(&region["filled"])), "no zeros: {memory:?}");
    assert_eq!(run(&mut session, "ik bin.arch").out, "bin.arch=x86\n");
    assert!(run(&mut session, "ik header").out.contains("header.Machine=62\n"));
    assert!(run(&mut session, "ik needed").out.contains("libc.so.6"));
}

#[test]
fn a_machine_without_a_disassembler_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(path) = built(folder.path(), "program", &[]) else { return };
    let mut bytes = std::fs::read(&path).expect("it is read");
    // e_machine: AVR.
    bytes[18..20].copy_from_slice(&83u16.to_le_bytes());
    std::fs::write(&path, bytes).expect("it is written");
    let said = run(&mut loaded(&path), "iI");
    assert!(said.err.contains("Atmel AVR"), "{said:?}");
}

#[test]
fn code_is_read_as_the_file_says() {
    let rows = [
        ("aarch64", "arm", "64"),
        ("gnueabihf", "arm", "16"),
        ("mips-linux", "mips", "32"),
        ("powerpc64le", "ppc", "64"),
        ("riscv64", "riscv", "64"),
        ("s390x", "sysz", "64"),
    ];
    for path in samples(&["libc.so.6"]) {
        let shown = path.display().to_string();
        let (_, arch, bits) = rows.iter().find(|(name, ..)| shown.contains(name)).expect("a known machine");
        let mut session = loaded(&path);
        let said = run(&mut session, "e asm.arch; e asm.bits; pi 8 @ sym.qsort");
        let lines: Vec<&str> = said.out.lines().collect();
        assert_eq!((lines[0], lines[1], said.err.as_str()), (*arch, *bits, ""), "{shown}");
        // qsort itself is two instructions on some, with padding or data behind.
        assert!(lines.len() == 10 && !lines[2..4].contains(&"invalid"), "{shown}: {said:?}");
    }
}
