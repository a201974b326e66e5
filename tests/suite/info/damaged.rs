//! Tests: whatever a file is, the `i` commands answer, quickly and without escapes, and say what is wrong with it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use remora::io::Access;
use remora::io::plugin::malloc::Memory;
use remora::session::{Load, Session};

use super::built;
use crate::harness::{Said, run};

/// Everything that reads the file, in one line.
const EVERYTHING: &str = "i;iI;iS;iSS;ie;iee;is;ii;iE;ir;il;iM;ih;iHH;iA;isj~{};iSj~{};fs;f~?";

/// A session with `bytes` as its file.
fn open(bytes: &[u8]) -> Session {
    let mut session = Session::new();
    session.with(|core, view| {
        let fd = core.io.adopt("malloc://file", Access::RX, Box::new(Memory::new(bytes.to_vec())));
        let entry = core.load(fd, Load { known: true, ..Load::default() });
        // A file that cannot be loaded can still be looked at.
        view.seek = entry.unwrap_or_default().unwrap_or(0);
    });
    session
}

/// What the commands say of `bytes`.
fn look(bytes: &[u8]) -> Said {
    let begun = Instant::now();
    let said = run(&mut open(bytes), EVERYTHING);
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    let raw = |text: &str| text.bytes().any(|byte| byte < 0x20 && byte != b'\n');
    assert!(!raw(&said.out) && !raw(&said.err), "control characters: {said:?}");
    said
}

/// Small files of several kinds.
fn files() -> &'static [Vec<u8>] {
    static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let ways: &[(&str, &[&str])] = &[
            ("program", &["-nostdlib", "-Wl,-e,_start_here"]),
            ("object.o", &["-c", "-m32"]),
            ("object64.o", &["-c"]),
        ];
        let built = ways.iter().filter_map(|(name, args)| built(folder.path(), name, args));
        let mut files: Vec<Vec<u8>> = built.map(|path| std::fs::read(path).unwrap()).collect();
        files.extend(super::formats::generated());
        files
    })
}

#[test]
fn cut_at_every_byte_of_the_header() {
    for file in files() {
        for length in (0..200.min(file.len())).chain([file.len() - 1, file.len() / 2, file.len()]) {
            look(&file[..length]);
        }
    }
}

#[test]
fn a_cut_file_shows_what_is_left_and_names_the_field() {
    let Some(file) = files().iter().find(|file| file.starts_with(b"\x7fELF\x02")) else { return };
    let said = run(&mut open(&file[..file.len() - 100]), "iSS~LOAD0;iS~PROGBITS;is");
    assert!(said.out.contains("LOAD0") && said.out.contains("-r-x") && said.out.contains("FUNC"), "{said:?}");
    assert!(said.err.contains("Warning: section headers (e_shoff 0x"), "{said:?}");
    // Each warning is said once.
    let mut session = open(&file[..file.len() - 100]);
    assert!(!run(&mut session, "iS").err.is_empty());
    assert_eq!(run(&mut session, "iS").err, "");
}

#[test]
fn names_with_escapes_are_made_visible() {
    for file in files().iter().filter(|file| file.starts_with(b"\x7fELF")) {
        let mut file = file.clone();
        for name in [&b"helper"[..], b".text", b"visible"] {
            let places: Vec<usize> = memchr_all(&file, name);
            for at in places {
                file[at] = 0x1b;
                file[at + 1] = b'[';
            }
        }
        assert!(look(&file).out.contains("\\x1b["), "an escape is shown");
    }
}

fn memchr_all(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    (0..bytes.len().saturating_sub(needle.len())).filter(|at| bytes[*at..].starts_with(needle)).collect()
}

#[test]
fn gigantic_numbers_take_no_memory() {
    let Some(file) = files().iter().find(|file| file.starts_with(b"\x7fELF\x02")) else { return };
    let mut file = file.clone();
    let sections = u64::from_le_bytes(file[0x28..0x30].try_into().unwrap()) as usize;
    let count = u16::from_le_bytes(file[0x3c..0x3e].try_into().unwrap()) as usize;
    for index in 1..count {
        // Every section is as large as it can be, and begins at 0.
        file[sections + index * 64 + 24..sections + index * 64 + 32].fill(0);
        file[sections + index * 64 + 32..sections + index * 64 + 40].fill(0xff);
    }
    let said = look(&file);
    assert!(said.err.contains("pass the end of the file"), "{said:?}");
    // As many sections as can be counted, in a file that holds a few.
    file[0x3c..0x3e].fill(0);
    file[sections + 32..sections + 40].fill(0x7f);
    look(&file);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_never_hurt(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..12),
    ) {
        let mut file = which.get(files()).clone();
        let length = file.len();
        for (at, value, in_header) in changes {
            let at = at.index(if in_header { length.min(512) } else { length });
            file[at] = value;
        }
        look(&file);
    }

    #[test]
    fn noise_behind_a_magic_number_never_hurts(
        magic in prop::sample::select(vec![
            &b"\x7fELF\x02\x01\x01"[..], b"\x7fELF\x01\x02\x01", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe\0\0\0\x02",
            b"!<arch>\n", b"\0asm\x01\0\0\0", b"\x64\x86", b"\x01\xf7",
        ]),
        noise in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        look(&[magic, &noise].concat());
    }
}
