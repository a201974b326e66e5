//! Tests: strings are those that strings(1) finds, and more.

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::{run, session, shell};
use crate::info::{built, json, loaded, tool};

/// Every string of ASCII that strings(1) finds is there, at the same place.
#[test]
fn the_whole_file_has_what_strings_finds() {
    let path = Path::new("/bin/ls");
    let Some(theirs) = tool("strings", &["-a", "-t", "d", "-n", "8"], path) else { return };
    let rows = json(&mut loaded(path), "izzj");
    let ours: Vec<(u64, u64)> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["paddr"].as_u64().unwrap(), row["paddr"].as_u64().unwrap() + row["size"].as_u64().unwrap()))
        .collect();
    let mut missing = Vec::new();
    for line in theirs.lines() {
        let Some((offset, text)) = line.trim_start().split_once(' ') else { continue };
        let Ok(offset) = offset.parse::<u64>() else { continue };
        // A line may end a string there and go on with it here.
        if !ours.iter().any(|(from, to)| *from <= offset && offset + text.len() as u64 <= *to) {
            missing.push(line.to_string());
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn sections_have_names_flags_and_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = built(folder.path(), "named", &["-no-pie"]) else { return };
    let mut session = loaded(Path::new("/bin/ls"));
    let rows = json(&mut session, "izj");
    let sections: BTreeSet<&str> =
        rows.as_array().unwrap().iter().map(|row| row["section"].as_str().unwrap()).collect();
    assert!(sections.contains(".rodata") && !sections.contains(".text"), "{sections:?}");
    let row = rows.as_array().unwrap().iter().find(|row| row["string"] == "POSIXLY_CORRECT").expect("ls knows it");
    let address = row["vaddr"].as_u64().unwrap();
    assert_eq!(run(&mut session, "?v str.POSIXLY_CORRECT").out, format!("0x{address:x}\n"));
    assert_eq!(run(&mut session, &format!("psz @ {address}")).out, "POSIXLY_CORRECT\n");
    // The name is known without a list, too.
    assert_eq!(run(&mut loaded(Path::new("/bin/ls")), "?v str.POSIXLY_CORRECT").out, format!("0x{address:x}\n"));
    assert_eq!(run(&mut loaded(&path), "e bin.strings=false; f~str.").out, "");
}

#[test]
fn options_choose_among_strings() {
    assert_eq!(shell("wz abcdef @ 8; wz abc @ 32; e bin.minstr=3; izzq"), "0x8 7 6 abcdef\n0x20 4 3 abc\n");
    assert_eq!(shell("wz abcdef @ 8; wz abcd @ 32; e bin.maxstr=5; izzq"), "0x20 5 4 abcd\n");
    assert_eq!(shell("wz abcdef @ 8; ww wide @ 32; e bin.str.enc=utf16le; izzq"), "0x20 10 4 wide\n");
    assert_eq!(shell("wx 1b5b33316d72656409; izzz"), "0x00000000 ascii \\e[31mred\\t\n");
    let mut session = session("malloc://64");
    assert!(run(&mut session, "e bin.minstr=1000000; izz").err.contains("bin.minstr=1000000 is too long"));
}
