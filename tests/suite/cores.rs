//! Tests: core files and minidumps.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{run, session};
use crate::info::{absent, built, json, loaded};

fn words(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn note(kind: u32, bytes: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    for number in [5, bytes.len() as u32, kind] {
        note.extend(number.to_le_bytes());
    }
    note.extend(b"CORE\0\0\0\0");
    note.extend(bytes);
    note.resize(note.len().next_multiple_of(4), 0);
    note
}

/// An ELF core of two threads with a page of memory, of which half was kept.
fn core() -> Vec<u8> {
    let mut notes = Vec::new();
    for tid in [7u32, 8] {
        let mut status = vec![0; 336];
        status[12] = 11;
        status[32..36].copy_from_slice(&tid.to_le_bytes());
        status[112 + 16 * 8..][..8].copy_from_slice(&(0x401000 + u64::from(tid)).to_le_bytes());
        status[112 + 19 * 8..][..8].copy_from_slice(&0x7ffe_0000u64.to_le_bytes());
        notes.extend(note(1, &status));
    }
    let mut process = vec![0; 136];
    process[24..28].copy_from_slice(&7u32.to_le_bytes());
    process[40..44].copy_from_slice(b"prog");
    process[56..65].copy_from_slice(b"./prog \x1b[");
    notes.extend(note(3, &process));
    let mut signal = vec![0; 128];
    signal[0] = 11;
    signal[8] = 1;
    signal[16..24].copy_from_slice(&words(&[0xdead]));
    notes.extend(note(0x5349_4749, &signal));
    notes.extend(note(6, &words(&[9, 0x401000, 0, 0])));
    let mut files = words(&[1, 4096, 0x400000, 0x402000, 1]);
    files.extend(b"/bin/prog\0");
    notes.extend(note(0x4649_4c45, &files));
    let header = |kind: u32, offset: u64, address: u64, size: u64, memory: u64, flags: u32| {
        let mut bytes = Vec::new();
        bytes.extend(kind.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(words(&[offset, address, 0, size, memory, 4]));
        bytes
    };
    let memory = 64 + 2 * 56 + notes.len() as u64;
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0\x3e\0\x01\0\0\0".to_vec();
    bytes.extend(words(&[0, 64, 0]));
    bytes.extend([0, 0, 0, 0, 64, 0, 56, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(header(4, 64 + 2 * 56, 0, notes.len() as u64, 0, 4));
    bytes.extend(header(1, memory, 0x401000, 2048, 4096, 5));
    bytes.extend(notes);
    bytes.extend([0x90; 2048]);
    bytes
}

#[test]
fn a_core_file_is_mapped_and_its_notes_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("core");
    std::fs::write(&path, core()).unwrap();
    let mut session = loaded(&path);
    let summary = json(&mut session, "iKj");
    assert_eq!((&summary["pid"], &summary["program"], &summary["signal"]), (&7.into(), &"prog".into(), &11.into()));
    assert_eq!(summary["address"], 0xdead);
    assert!(!run(&mut session, "iK").out.contains('\x1b'));
    assert_eq!(
        run(&mut session, "iKt").out,
        "7 signal 11 pc 0x00401007 sp 0x7ffe0000\n8 signal 11 pc 0x00401008 sp 0x7ffe0000\n"
    );
    assert_eq!(run(&mut session, "iKr 8~rip").out, "rip = 0x00401008\n");
    assert!(run(&mut session, "iKr 9").err.contains("no thread 9"));
    assert_eq!(run(&mut session, "iKf").out, "0x00400000 - 0x00402000 +0x00001000 /bin/prog\n");
    assert_eq!(run(&mut session, "iKa").out, "9   ENTRY           0x401000\n");
    // What was not kept is not there.
    assert_eq!(run(&mut session, "p8 4 @ 0x4017fe").out, "9090ffff\n");
    assert_eq!(run(&mut session, "/x 90~?").out, "2048\n");
}

/// Every byte of the headers and notes may be wrong, and the file may end anywhere.
#[test]
fn damaged_cores_end_in_few_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("core");
    let whole = core();
    let look = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        let said = run(&mut session(path.to_str().unwrap()), "iK; iKt; iKf; iKa");
        assert!(said.err.lines().count() <= 4, "{what}: {said:?}");
    };
    let end = whole.len() - 2048;
    for at in (0..end).step_by(5) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        look(&bytes, &format!("byte {at}"));
    }
    for at in (0..end).step_by(37) {
        look(&whole[..at], &format!("cut at {at}"));
    }
}

#[test]
fn a_core_that_gdb_wrote_says_where_the_program_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = built(folder.path(), "dies", &["-no-pie", "-g"]) else { return };
    let core = folder.path().join("dies.core");
    let output = Command::new("gdb")
        .args(["-nx", "-batch", "-ex", "set startup-with-shell off", "-ex", "break helper", "-ex", "run", "-ex"])
        .arg(format!("generate-core-file {}", core.display()))
        .args(["-ex", "print $pc", "-ex", "kill"])
        .arg(&path)
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return absent("gdb", &error.to_string()),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !core.exists() {
        return absent("a core file", text.lines().last().unwrap_or("gdb wrote none"));
    }
    let line = text.lines().find(|line| line.starts_with("$1 = ")).expect("gdb says where it is");
    let pc = line.split("0x").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let mut session = loaded(&core);
    let threads = json(&mut session, "iKtj");
    assert_eq!(threads[0]["pc"], Value::from(u64::from_str_radix(pc, 16).unwrap()));
    assert!(run(&mut session, "iKf").out.contains("dies"));
    assert!(run(&mut session, "iKa").out.contains("ENTRY"));
    // The stack was kept.
    let stack = threads[0]["sp"].as_u64().unwrap();
    let said = run(&mut session, &format!("p8 16 @ {stack}"));
    assert!(said.out.trim_end().len() == 32 && said.out.trim_end() != "ff".repeat(16), "{said:?}");
}

/// A minidump of one thread with some memory.
fn minidump() -> Vec<u8> {
    let mut bytes = vec![0; 0x1000];
    let mut put = |at: usize, data: &[u8]| bytes[at..at + data.len()].copy_from_slice(data);
    put(0, b"MDMP\x93\xa7\0\0");
    put(8, &4u32.to_le_bytes());
    put(12, &32u32.to_le_bytes());
    for (index, (kind, size, offset)) in
        [(7u32, 56u32, 0x100u32), (3, 4 + 48, 0x200), (5, 4 + 16, 0x300), (6, 168, 0x380)].into_iter().enumerate()
    {
        for (field, value) in [kind, size, offset].into_iter().enumerate() {
            put(32 + 12 * index + 4 * field, &value.to_le_bytes());
        }
    }
    // SystemInfo: an AMD64 of Linux.
    put(0x100, &9u16.to_le_bytes());
    put(0x100 + 20, &0x8201u32.to_le_bytes());
    // ThreadList: its stack and its context.
    put(0x200, &1u32.to_le_bytes());
    put(0x204, &42u32.to_le_bytes());
    put(0x204 + 24, &0x7000u64.to_le_bytes());
    put(0x204 + 32, &16u32.to_le_bytes());
    put(0x204 + 36, &0xf00u32.to_le_bytes());
    put(0x204 + 40, &1232u32.to_le_bytes());
    put(0x204 + 44, &0x800u32.to_le_bytes());
    // MemoryList.
    put(0x300, &1u32.to_le_bytes());
    put(0x304, &0x7000u64.to_le_bytes());
    put(0x304 + 8, &16u32.to_le_bytes());
    put(0x304 + 12, &0xf00u32.to_le_bytes());
    // Exception of that thread.
    put(0x380, &42u32.to_le_bytes());
    put(0x380 + 8, &11u32.to_le_bytes());
    put(0x380 + 24, &0xdeadu64.to_le_bytes());
    put(0x380 + 160, &1232u32.to_le_bytes());
    put(0x380 + 164, &0x800u32.to_le_bytes());
    put(0x800 + 0x30, &0x10001fu32.to_le_bytes());
    put(0x800 + 0x98, &0x7008u64.to_le_bytes());
    put(0x800 + 0xf8, &0x401136u64.to_le_bytes());
    put(0xf00, b"what the stack held");
    bytes
}

#[test]
fn a_minidump_is_mapped_and_its_threads_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crash.dmp");
    std::fs::write(&path, minidump()).unwrap();
    let mut session = loaded(&path);
    let summary = json(&mut session, "iKj");
    assert_eq!((&summary["format"], &summary["signal"]), (&"minidump".into(), &11.into()), "{summary}");
    assert_eq!(run(&mut session, "iKt").out, "42 signal 11 pc 0x00401136 sp 0x00007008\n");
    assert_eq!(run(&mut session, "s; pr 8 @ 0x7000").out, "0x401136\nwhat the");
    assert_eq!(run(&mut session, "/q stack").out, "0x00007009\n");
    // Wrong bytes and cut ends.
    let whole = minidump();
    let broken = folder.path().join("broken.dmp");
    for at in (0..0x480).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        std::fs::write(&broken, &bytes[..bytes.len() - at]).unwrap();
        let said = run(&mut crate::harness::session(broken.to_str().unwrap()), "iK; iKt");
        assert!(said.err.lines().count() <= 6, "{at}: {said:?}");
    }
}

#[test]
fn other_files_are_no_cores() {
    assert_eq!(run(&mut loaded(Path::new("/bin/ls")), "iK; iKt; iKr").out, "");
}
