//! Files: growing, cut, sparse, without a size.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use remora::error::Kind;
use remora::io::{Access, Io, Open, Settings};
use remora::uri::Uri;

use super::opened;
use crate::harness::{run, session};

#[test]
fn bytes_are_inserted_and_removed_in_the_middle() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    let text: Vec<u8> = (0..600_000u32).map(|n| (n % 253) as u8).collect();
    fs::write(&path, &text).unwrap();
    let mut io = Io::default();
    let open = Open { access: Access::RWX, ..Open::default() };
    let fd = io.open(&Uri::parse(&path.to_string_lossy()), &open).unwrap();
    for count in [1u64, 3000, 700_000] {
        io.insert_gap(fd, 100, count).unwrap();
        let expected = [&text[..100], &vec![0; count as usize], &text[100..]].concat();
        assert!(fs::read(&path).unwrap() == expected, "{count} inserted");
        assert_eq!(io.remove_range(fd, 100, count).unwrap(), count);
        assert!(fs::read(&path).unwrap() == text, "{count} removed");
    }
    assert_eq!(io.remove_range(fd, 599_998, 100).unwrap(), 2, "only what is there");
    io.insert_gap(fd, 599_998, 1).unwrap();
    assert_eq!(fs::read(&path).unwrap()[599_990..], [&text[599_990..599_998], &[0]].concat());
    assert!(io.insert_gap(fd, 700_000, 1).is_err());
    assert!(io.insert_gap(fd, 0, u64::MAX).is_err());
}

#[test]
fn growing_files_are_read_to_their_new_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    fs::write(&path, "").unwrap();
    let mut device = opened(&path.to_string_lossy());
    let mut file = File::options().append(true).open(&path).unwrap();
    let mut expected = Vec::new();
    for step in 0..200u32 {
        let line = format!("line {step} {}\n", "x".repeat(step as usize * 7));
        file.write_all(line.as_bytes()).unwrap();
        expected.extend_from_slice(line.as_bytes());
        assert_eq!(device.info().size, Some(expected.len() as u64));
        let from = expected.len().saturating_sub(line.len() + 40);
        let mut tail = vec![0; expected.len() - from + 1];
        assert_eq!(device.read_at(from as u64, &mut tail).unwrap(), expected.len() - from);
        assert_eq!(tail[..expected.len() - from], expected[from..]);
    }
}

#[test]
fn reopening_shows_what_a_file_became() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    fs::write(&path, "12345678").unwrap();
    let path = path.to_string_lossy();
    let mut session = session("malloc://512");
    assert_eq!(run(&mut session, &format!("o {path} 0x1000")).err, "");
    File::options().append(true).open(&*path).unwrap().write_all(b"9abcdef0").unwrap();
    run(&mut session, "oo");
    assert!(run(&mut session, "om").out.contains("0x00001000 - 0x0000100f r-x"), "the map follows");
    let refused = session.with(|core, _| core.io.write(&Settings::default(), 0x1000, b"X").unwrap_err());
    assert_eq!(refused.kind(), Kind::Permission);
    run(&mut session, "oo+");
    session.with(|core, _| core.io.write(&Settings::default(), 0x1000, b"X").unwrap());
    assert_eq!(fs::read(&*path).unwrap()[0], b'X');
    let list = run(&mut session, "o").out;
    assert!(list.contains(&format!(" 4 * rwx 0x00000010 {path}")), "{list}");
    assert_eq!(run(&mut session, "o*").out.lines().last(), Some(&*format!("o+ {path} 0x1000")));
}

#[test]
fn a_file_cut_while_it_is_read_ends_early_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    let whole = vec![b'A'; 0x8000];
    fs::write(&path, &whole).unwrap();
    let mut device = opened(&path.to_string_lossy());
    let mut buffer = vec![0; 0x4000];
    assert_eq!(device.read_at(0x4000, &mut buffer).unwrap(), 0x4000);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(0x5000).unwrap();
    assert_eq!(device.read_at(0x4000, &mut buffer).unwrap(), 0x1000);
    file.set_len(0).unwrap();
    assert_eq!(device.read_at(0x4000, &mut buffer).unwrap(), 0);
    assert_eq!(device.info().size, Some(0));

    // And in the middle of reads: whichever moment is hit, the bytes are the file's or zeros of a file that grew.
    let done = Arc::new(AtomicBool::new(false));
    let cutter = {
        let done = Arc::clone(&done);
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                file.set_len(0x8000).unwrap();
                file.set_len(0x123).unwrap();
            }
        })
    };
    for _ in 0..20_000 {
        let count = device.read_at(0x1000, &mut buffer).unwrap();
        assert!(buffer[..count].iter().all(|byte| *byte == 0 || *byte == b'A'));
    }
    done.store(true, Ordering::Relaxed);
    cutter.join().unwrap();
    fs::write(&path, &whole).unwrap();
    assert_eq!(device.read_at(0x4000, &mut buffer).unwrap(), 0x4000);
    assert!(buffer.iter().all(|byte| *byte == b'A'), "once whole again, it is read again");
}

/// Resident bytes of mapped files.
fn resident_files() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_large_sparse_file_is_read_without_keeping_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large");
    let file = File::create(&path).unwrap();
    let size = 10u64 << 30;
    file.set_len(size).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"last", size - 4).unwrap();
    let mut device = opened(&path.to_string_lossy());
    assert_eq!(device.info().size, Some(size));
    let mut buffer = vec![1; 256 * 1024];
    assert_eq!(device.read_at(size - 4, &mut buffer[..16]).unwrap(), 4);
    assert_eq!(&buffer[..4], b"last");
    for chunk in [256 * 1024, 4096] {
        let before = resident_files();
        for step in 0..(64 << 20) / chunk as u64 {
            assert_eq!(device.read_at((5 << 30) + step * chunk as u64, &mut buffer[..chunk]).unwrap(), chunk);
        }
        assert!(resident_files() < before + (24 << 20), "reads of {chunk} bytes");
    }
}

#[test]
fn files_without_a_size_are_read_until_they_end() {
    let mut device = opened("/proc/self/status");
    assert_eq!(device.info().size, None);
    let mut buffer = [0; 64];
    assert_eq!(device.read_at(0, &mut buffer).unwrap(), 64);
    assert!(buffer.starts_with(b"Name:"));
    assert_eq!(device.read_at(1 << 20, &mut buffer).unwrap(), 0);
    assert_eq!(opened("/dev/zero").read_at(1 << 40, &mut buffer).unwrap(), 64);
    assert_eq!(opened("/proc/self/mem").read_at(0, &mut buffer).unwrap(), 0, "unmapped memory is a hole");
}

#[test]
fn files_are_made_only_when_asked_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new").to_string_lossy().into_owned();
    let mut session = session("malloc://512");
    assert!(run(&mut session, &format!("o {path}")).err.contains("No such file"));
    assert!(run(&mut session, &format!("o+ {path}")).err.contains("o++"));
    assert!(!Path::new(&path).exists());
    assert_eq!(run(&mut session, &format!("o++ {path}; r 16; r")).out, "16\n");
    assert_eq!(fs::metadata(&path).unwrap().len(), 16);
}
