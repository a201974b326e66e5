//! Tests: opening a program maps and names its parts; `-n` and `-B` are respected.

use super::{built, json, loaded};
use crate::harness::{remora, run};

fn output(args: &[&str]) -> String {
    let output = remora(args);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn segments_are_mapped_and_parts_have_names() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = built(folder.path(), "program", &["-no-pie"]) else { return };
    let mut session = loaded(&path);
    let maps = json(&mut session, "omj");
    let names: Vec<&str> = maps.as_array().unwrap().iter().filter_map(|map| map["name"].as_str()).collect();
    assert!(names.contains(&"fmap.LOAD0") && names.contains(&"mmap.LOAD3"), "{names:?}");
    let uris = run(&mut session, "o").out;
    assert!(uris.lines().next().unwrap().starts_with(" 3 * ") && uris.contains(" 4 - ") && uris.contains("null://"));
    // The header lies where the first segment is.
    assert_eq!(run(&mut session, "p8 4 @ segment.LOAD0").out, "7f454c46\n");
    // The zeros behind the data read as such; behind them is nothing.
    assert_eq!(run(&mut session, "p8 4 @ section..bss").out, "00000000\n");
    let spaces = run(&mut session, "fs").out;
    for space in ["classes", "imports", "relocs", "sections", "segments", "symbols"] {
        assert!(spaces.lines().any(|line| line.ends_with(&format!(" {space}"))), "{spaces}");
    }
    let entry = json(&mut session, "iej")[0]["vaddr"].as_u64().unwrap();
    assert_eq!(run(&mut session, "s").out, format!("0x{entry:x}\n"));
    let main = json(&mut session, "iMj")["vaddr"].as_u64().unwrap();
    assert_eq!(
        run(&mut session, "?v main;?v sym.main;?v entry0").out,
        format!("0x{main:x}\n0x{main:x}\n0x{entry:x}\n")
    );
    // Commands that are printed make the same flags.
    for list in ["is*~sym.helper", "iS*~..text", "ie*"] {
        let commands = run(&mut session, list).out;
        let name = commands.split_whitespace().nth(1).unwrap().to_string();
        let before = run(&mut session, &format!("?v {name}")).out;
        run(&mut session, &format!("f-{name}"));
        run(&mut session, &commands);
        assert_eq!(run(&mut session, &format!("?v {name}")).out, before, "{list}");
    }
    run(&mut session, "o-3");
    assert_eq!(run(&mut session, "o").out, "", "the zeros go along with the file");
    assert_eq!(run(&mut session, "om").out, "");
}

#[test]
fn main_is_found_without_its_symbol() {
    let folder = tempfile::tempdir().unwrap();
    for (name, args) in [("moving", &["-pie", "-fPIE"][..]), ("fixed", &["-no-pie"]), ("static", &["-static"])] {
        let Some(path) = built(folder.path(), name, args) else { continue };
        let known = json(&mut loaded(&path), "iMj");
        let bare = folder.path().join("bare");
        let stripped = std::process::Command::new("strip").arg("-o").arg(&bare).arg(&path).status();
        if !stripped.is_ok_and(|status| status.success()) {
            return super::absent("strip", "symbols cannot be taken away");
        }
        let mut session = loaded(&bare);
        assert_eq!(json(&mut session, "iIj")["stripped"], true);
        assert_eq!(json(&mut session, "iMj"), known, "{name}");
    }
}

#[test]
fn the_file_as_plain_bytes_and_at_another_base() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = built(folder.path(), "program", &["-pie", "-fPIE"]) else { return };
    let path = path.to_string_lossy().into_owned();
    let raw = output(&["-n", "-qc", "s;iS~?;om~fmap;fs;p8 4 @ 0", &path]);
    assert_eq!(raw, "0x0\n4\n7f454c46\n");
    let known = output(&["-nn", "-qc", "s;iS~.text~?;om~fmap", &path]);
    assert_eq!(known, "0x0\n1\n");
    let plain: u64 = parse(&output(&["-qc", "?v entry0", &path]));
    for args in [["-B", "0x10000000"], ["-m", "0x10000000"], ["-e", "bin.baddr=0x10000000"]] {
        let moved = output(&[args[0], args[1], "-qc", "?v entry0;?v main;p8 4 @ 0x10000000;s", &path]);
        let lines: Vec<&str> = moved.lines().collect();
        assert_eq!((parse(lines[0]), lines[2]), (plain + 0x1000_0000, "7f454c46"), "{args:?}");
        assert_eq!(parse(lines[3]), plain + 0x1000_0000);
        let main = parse(lines[1]) - 0x1000_0000;
        assert_eq!(main, parse(&output(&["-qc", "?v main", &path])));
    }
    assert_eq!(output(&["-qc", "e asm.bits;e asm.arch", &path]), "64\nx86\n");
    assert_eq!(output(&["-b", "32", "-qc", "e asm.bits", &path]), "32\n");
}

fn parse(text: &str) -> u64 {
    u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn a_program_that_can_be_written_is_patched_where_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = built(folder.path(), "program", &[]) else { return };
    let name = path.to_string_lossy().into_owned();
    let before = std::fs::read(&path).unwrap();
    output(&["-w", "-qc", "wx 9090 @ main", &name]);
    let after = std::fs::read(&path).unwrap();
    let main = json(&mut loaded(&path), "iMj")["paddr"].as_u64().unwrap() as usize;
    assert_eq!(after[main..main + 2], [0x90, 0x90]);
    assert_eq!((&before[..main], &before[main + 2..]), (&after[..main], &after[main + 2..]));
    // What was opened for reading becomes writable in its maps, too.
    output(&["-qc", "oo+;wx cc @ main", &name]);
    assert_eq!(std::fs::read(&path).unwrap()[main], 0xcc);
}

#[test]
fn reopening_reads_the_file_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = built(folder.path(), "program", &["-no-pie"]) else { return };
    let mut session = loaded(&path);
    assert!(run(&mut session, "iIj~stripped\\\":false~?").err.is_empty());
    assert_eq!(json(&mut session, "iIj")["stripped"], false);
    let stripped = std::process::Command::new("strip").arg(&path).status();
    if !stripped.is_ok_and(|status| status.success()) {
        return super::absent("strip", "symbols cannot be taken away");
    }
    run(&mut session, "oo");
    assert_eq!(json(&mut session, "iIj")["stripped"], true);
}
