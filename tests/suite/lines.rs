//! Tests: line numbers are those that addr2line knows, wherever the debug information lies.

use std::path::Path;
use std::process::Command;

use remora::session::{Permissions, Session};

use crate::harness::run;
use crate::info::{absent, built, json, loaded, tool};

/// Compares each row of ours with what addr2line says of its address.
fn agrees(path: &Path, reference: &Path) {
    let rows = json(&mut loaded(path), "CLj");
    let rows = rows.as_array().unwrap();
    assert!(rows.len() >= 5, "{}: {} rows", path.display(), rows.len());
    let addresses: Vec<String> = rows.iter().map(|row| format!("0x{:x}", row["addr"].as_u64().unwrap())).collect();
    let mut args = vec!["-e", reference.to_str().unwrap()];
    args.extend(addresses.iter().map(String::as_str));
    let output = match Command::new("addr2line").args(&args).output() {
        Ok(output) => output,
        Err(error) => return absent("addr2line", &error.to_string()),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for (row, theirs) in rows.iter().zip(text.lines()) {
        let theirs = theirs.split(" (").next().unwrap();
        assert_eq!(format!("{}:{}", row["file"].as_str().unwrap(), row["line"]), theirs, "{row}");
    }
}

fn done(program: &str, args: &[&str]) -> Option<()> {
    match Command::new(program).args(args).output() {
        Ok(output) if output.status.success() => Some(()),
        Ok(output) => {
            absent(program, String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("it fails"));
            None
        }
        Err(error) => {
            absent(program, &error.to_string());
            None
        }
    }
}

#[test]
fn lines_in_the_file_itself_compressed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    for (name, args) in
        [("plain", &["-g"][..]), ("four", &["-gdwarf-4"]), ("zlib", &["-g", "-gz=zlib"]), ("fixed", &["-g", "-no-pie"])]
    {
        if let Some(path) = built(folder.path(), name, args) {
            agrees(&path, &path);
        }
    }
    // Compressed by objcopy, which knows one more way than some compilers.
    if let Some(path) = built(folder.path(), "packed", &["-g"]) {
        let packed = folder.path().join("zstd");
        let names = [path.to_str().unwrap(), packed.to_str().unwrap()];
        if done("objcopy", &["--compress-debug-sections=zstd", names[0], names[1]]).is_some() {
            agrees(&packed, &path);
        }
    }
}

#[test]
fn lines_in_a_separate_file_are_found_if_it_is_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = built(folder.path(), "apart", &["-g"]) else { return };
    let (whole, debug) = (folder.path().join("whole"), folder.path().join("apart.debug"));
    std::fs::copy(&path, &whole).unwrap();
    let (name, debug_name) = (path.to_str().unwrap().to_string(), debug.to_str().unwrap().to_string());
    let split = done("objcopy", &["--only-keep-debug", &name, &debug_name])
        .and_then(|()| done("strip", &["-g", &name]))
        .and_then(|()| done("objcopy", &[&format!("--add-gnu-debuglink={debug_name}"), &name]));
    if split.is_none() {
        return;
    }
    agrees(&path, &whole);
    // A client that may not read files learns nothing from them.
    let mut guest = loaded(&path);
    guest.view.permissions = Permissions::READ;
    assert_eq!(run(&mut guest, "CLj").out, "[]\n");
    // One with other contents is not the one that belongs to it.
    let mut bytes = std::fs::read(&debug).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&debug, bytes).unwrap();
    assert_eq!(run(&mut loaded(&path), "CLj").out, "[]\n");
}

#[test]
fn from_a_line_to_its_code_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = built(folder.path(), "back", &["-g", "-O0"]) else { return };
    let mut session = loaded(&path);
    let rows = json(&mut session, "CLj source.c:5");
    let first = rows[0]["addr"].as_u64().unwrap();
    let helper: u64 = {
        let Some(names) = tool("nm", &[], &path) else { return };
        let line = names.lines().find(|line| line.ends_with(" helper")).unwrap().to_string();
        u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap()
    };
    assert_eq!(first, helper);
    let place = json(&mut session, &format!("CL.j @ {first}"));
    assert_eq!((place[0]["line"].as_u64(), place[0]["addr"].as_u64()), (Some(5), Some(first)));
    assert!(run(&mut session, "CLf").out.contains("source.c"));
    assert!(run(&mut session, "CL nosuch.c:5").err.contains("no code is known of line 5"));
}

/// Debug information that is damaged anywhere says so in one line, or says less.
#[test]
fn damaged_lines_end_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = built(folder.path(), "damaged", &["-g"]) else { return };
    let sections = json(&mut loaded(&path), "iSj");
    let bytes = std::fs::read(&path).unwrap();
    let broken = folder.path().join("broken");
    for name in [".debug_line", ".debug_info", ".debug_abbrev"] {
        let section = sections.as_array().unwrap().iter().find(|section| section["name"] == name).unwrap();
        let (start, size) = (section["paddr"].as_u64().unwrap() as usize, section["size"].as_u64().unwrap() as usize);
        for at in (0..size).step_by(size / 24 + 1) {
            let mut bytes = bytes.clone();
            bytes[start + at] ^= 0xff;
            std::fs::write(&broken, &bytes).unwrap();
            let mut session: Session = loaded(&broken);
            let said = run(&mut session, "CL");
            assert!(said.err.lines().count() <= 1, "{name}+{at}: {said:?}");
        }
    }
}
