//! Sessions of the `p` family.

use std::io::Write as _;

use crate::harness::{run, session};
use remora::output::{Cancel, Executor, Out, Style};
use remora::session::Session;

/// A `malloc://SIZE` that holds `bytes` at 0, with `blocksize` bytes as the default length.
fn memory(size: usize, bytes: &[u8], blocksize: u64) -> Session {
    let mut session = session(&format!("malloc://{size}"));
    session.with(|core, view| {
        core.io.write(&Default::default(), 0, bytes).expect("it is writable");
        view.block_size = blocksize;
    });
    session
}

fn set(session: &mut Session, name: &str, value: &str) {
    let option = remora::session::options::find(name).expect("the option exists");
    session.with(|core, _| {
        core.config
            .set(option, value, |text| Ok(text.parse().expect("the test's number")))
            .expect("the option takes the value");
    });
}

const M: &[u8] = b"ABC\0\0\0\0\0\xde\xad\xbe\xef\x7fELF";

const HEADER: &str = "- offset -   0 1  2 3  4 5  6 7  8 9  A B  C D  E F  0123456789ABCDEF\n";

fn said(session: &mut Session, line: &str) -> String {
    let said = run(session, line);
    assert_eq!(said.err, "", "{line}");
    said.out
}

#[test]
fn hexdumps_show_short_rows_and_unmapped_bytes() {
    let mut session = memory(32, M, 31);
    assert_eq!(
        said(&mut session, "px"),
        format!(
            "{HEADER}0x00000000  4142 4300 0000 0000 dead beef 7f45 4c46  ABC..........ELF\n\
             0x00000010  0000 0000 0000 0000 0000 0000 0000 00    ...............\n"
        )
    );
    session.view.seek = 30;
    assert_eq!(
        said(&mut session, "x 4"),
        format!("{HEADER}0x0000001e  0000 ffff                                ....\n")
    );
    assert_eq!(said(&mut session, "px 0"), HEADER);
}

#[test]
fn negative_lengths_are_the_bytes_before_the_seek() {
    let mut session = memory(1024, &[0x90; 10], 256);
    session.view.seek = 10;
    assert_eq!(said(&mut session, "p8 0xfffffffffffffff6"), "90909090909090909090\n");
    assert_eq!(
        said(&mut session, "pc 0xfffffffffffffff6"),
        "#define _BUFFER_SIZE 10\nconst uint8_t buffer[_BUFFER_SIZE] = {\n  \
         0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90\n};\n"
    );
}

#[test]
fn too_long_a_length_is_an_error_and_not_a_wait() {
    let mut session = memory(16, b"", 16);
    for line in ["px 0x10000000001", "p8 0x8000000000000000", "pv 0x8000000000000000", "pp1 0x8000000000000000"] {
        let said = run(&mut session, line);
        assert!(said.err.contains("too much"), "{line}: {said:?}");
        assert_eq!(said.out, "", "{line}");
    }
}

#[test]
fn layouts_follow_the_options() {
    let mut session = memory(64, M, 16);
    for (name, value, shows) in [
        ("hex.header", "false", "0x00000000  4142 4300 0000 0000 dead beef 7f45 4c46  ABC..........ELF\n"),
        ("hex.cols", "8", "0x00000000  4142 4300 0000 0000  ABC.....\n0x00000008  dead beef 7f45 4c46  .....ELF\n"),
        (
            "hex.pairs",
            "false",
            "0x00000000  41 42 43 00 00 00 00 00  ABC.....\n0x00000008  de ad be ef 7f 45 4c 46  .....ELF\n",
        ),
        ("hex.compact", "true", "0x00000000 4142430000000000 ABC.....\n0x00000008 deadbeef7f454c46 .....ELF\n"),
        ("hex.ascii", "false", "0x00000000 4142430000000000\n0x00000008 deadbeef7f454c46\n"),
        ("hex.offset", "false", "4142430000000000\ndeadbeef7f454c46\n"),
        ("hex.stride", "4", "4142430000000000\n00000000deadbeef\ndeadbeef7f454c46\n7f454c46\n"),
    ] {
        set(&mut session, name, value);
        assert_eq!(said(&mut session, "px"), shows, "{name}={value}");
    }
}

#[test]
fn aligned_rows_start_at_flags() {
    let mut session = memory(64, M, 16);
    session.with(|core, _| {
        core.flags.set("magic", 12, 4);
    });
    set(&mut session, "hex.align", "true");
    set(&mut session, "hex.header", "false");
    assert_eq!(
        said(&mut session, "px"),
        "0x00000000  4142 4300 0000 0000 dead beef            ABC.........\n\
         0x0000000c  7f45 4c46                                .ELF\n"
    );
}

#[test]
fn any_layout_ends_at_the_end_of_the_length() {
    let mut session = memory(600, &[b'a'; 600], 600);
    for columns in ["1", "3", "7", "100", "0", "99999"] {
        set(&mut session, "hex.cols", columns);
        for stride in ["0", "1000", "18446744073709551615"] {
            set(&mut session, "hex.stride", stride);
            for line in ["px", "pxw", "pxq 7", "pxd8", "pxs", "pxa", "pxc", "pxx", "pxo", "pxi", "pxl 2", "pc", "pz 9"]
            {
                said(&mut session, line);
            }
        }
    }
}

#[test]
fn streams_go_past_a_chunk() {
    let bytes: Vec<u8> = (0..600_000u32).map(|i| (i * 7) as u8).collect();
    let mut session = memory(bytes.len(), &bytes, 600_000);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(said(&mut session, "p8"), hex.clone() + "\n");
    let dump = said(&mut session, "px");
    let back: String = dump.lines().skip(1).map(|line| line[12..51].replace(' ', "")).collect();
    assert!(back == hex);
    set(&mut session, "hex.cols", "24");
    let dump = said(&mut session, "px");
    let back: String = dump.lines().skip(1).map(|line| line[12..71].replace(' ', "")).collect();
    assert!(back == hex);
    use base64::Engine as _;
    let encoded = said(&mut session, "p6e");
    assert!(base64::engine::general_purpose::STANDARD.decode(encoded.trim_end()).expect("base64") == bytes);
    assert_eq!(said(&mut session, "pxj").len(), said(&mut session, "pcj").len());
}

/// A writer that asks for the end once it has seen enough.
struct Impatient {
    seen: usize,
    cancel: Cancel,
}

impl std::io::Write for Impatient {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.seen += bytes.len();
        if self.seen > 1 << 20 {
            self.cancel.set();
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_terabyte_can_be_interrupted() {
    for line in ["px", "p8", "pxw", "pxj", "pB", "pc", "psx", "pxs", "pxr", "pxW", "pt", "pr", "pu", "p6e", "pp4", "pk"]
    {
        let mut session = memory(512, M, 1 << 40);
        let cancel = Cancel::new();
        let (mut sink, mut errors) = (Impatient { seen: 0, cancel: cancel.clone() }, std::io::sink());
        if matches!(line, "pxs" | "pxr" | "pk") {
            // They print next to nothing of an empty terabyte, so somebody presses the key beforehand.
            cancel.set();
        }
        let outcome = session.execute(line, &mut Out::new(&mut sink, &mut errors, Style::default(), cancel));
        assert_eq!(outcome.expect_err(line).kind(), remora::error::Kind::Interrupted, "{line}");
        assert!(sink.seen < 4 << 20, "{line} wrote {} bytes after the interrupt", sink.seen);
        sink.flush().expect("nothing to flush");
    }
}

#[test]
fn strings_never_steer_the_terminal() {
    let hostile = b"\x1b]0;owned\x07\x9b31m\xc2\x9b1m{\"a\":\"\x7f\"}";
    let mut session = memory(64, hostile, hostile.len() as u64);
    for line in [
        "ps", "ps 12", "psz", "psx", "psb", "psw", "psW", "psi", "pss", "psj", "px", "pxa", "pxx", "px/9c", "px/2s",
        "pxr", "pvj",
    ] {
        let out = run(&mut session, line).out;
        assert!(!out.chars().any(|c| c.is_control() && c != '\n'), "{line}: {out:?}");
    }
    session.view.seek = hostile.iter().position(|byte| *byte == b'{').expect("it is there") as u64;
    let out = run(&mut session, "pj").out;
    assert!(!out.chars().any(|c| c.is_control() && c != '\n'), "{out:?}");
}

#[test]
fn raw_bytes_stay_raw() {
    let mut session = memory(16, b"\x1b\0\xff", 3);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    session.execute("pr", &mut Out::new(&mut out, &mut err, Style::default(), Cancel::new())).expect("it runs");
    assert_eq!(out, b"\x1b\0\xff");
}

#[test]
fn telescopes_follow_references_with_bounded_depth() {
    // 0x10 points to itself by way of 0x18; 0x20 points to a string.
    let mut bytes = vec![0; 0x40];
    bytes[0x10..0x18].copy_from_slice(&0x18u64.to_le_bytes());
    bytes[0x18..0x20].copy_from_slice(&0x10u64.to_le_bytes());
    bytes[0x20..0x28].copy_from_slice(&0x30u64.to_le_bytes());
    bytes[0x30..0x35].copy_from_slice(b"Hello");
    let mut session = memory(512, &bytes, 8);
    session.with(|core, _| {
        core.flags.set("str.hello", 0x30, 6);
        core.flags.set("obj.msg", 0x20, 8);
    });
    session.view.seek = 0x20;
    assert_eq!(
        said(&mut session, "pxr"),
        "0x00000020 0x0000000000000030   0....... @ obj.msg 48 str.hello R W X 0x0000006f6c6c6548 ascii ('0') Hello\n"
    );
    session.view.seek = 0x10;
    let line = said(&mut session, "pxr");
    assert_eq!(line.matches("->").count(), 5, "{line}");
    set(&mut session, "hex.depth", "0");
    assert_eq!(said(&mut session, "pxr"), "0x00000010 0x0000000000000018   ........ 24 R W X\n");
}

#[test]
fn big_endian_turns_every_number() {
    let mut session = memory(64, &[1, 2, 3, 4, 5, 6, 7, 8], 8);
    set(&mut session, "cfg.bigendian", "true");
    set(&mut session, "hex.header", "false");
    for (line, shows) in [
        ("pv2", "0x0102\n"),
        ("pv", "0x0102030405060708\n"),
        ("pxWq 4", "0x01020304\n"),
        ("pxhj 4", "[258,772]\n"),
        ("pp2 4", "00000002\n"),
        ("puw 2", "%u0102\n"),
        ("pch 2", "#define _BUFFER_SIZE 1\nconst uint16_t buffer[_BUFFER_SIZE] = {\n  0x0102\n};\n"),
    ] {
        assert_eq!(said(&mut session, line), shows, "{line}");
    }
    set(&mut session, "asm.bits", "32");
    assert_eq!(said(&mut session, "pv"), "0x01020304\n");
}

#[test]
fn psj_loses_no_byte() {
    let mut session = memory(128, b"\xe9\xbb\x91\xe5\xae\xa2", 256);
    assert_eq!(
        said(&mut session, "psj 6"),
        "{\"string\":\"\\u00e9\\u00bb\\u0091\\u00e5\\u00ae\\u00a2\",\"offset\":0,\"section\":\"unknown\",\
         \"length\":6,\"type\":\"utf\"}\n"
    );
}

#[test]
fn bars_of_entropy() {
    let all: Vec<u8> = (0..=255).collect();
    let mut session = memory(512, &all, 256);
    set(&mut session, "hex.offset", "false");
    let full = "#".repeat(51);
    assert_eq!(
        said(&mut session, "p=e 10"),
        format!(
            "000 00ff |#\n001 00ff |#\n002 00ff |#\n003 00ff |#\n004 00ff |{full}\n005 0006 |#\n\
             006 0000 |#\n007 0000 |#\n008 0000 |#\n009 0000 |#\n"
        )
    );
}

#[test]
fn nothing_open_is_an_error_of_the_bars_alone() {
    let mut session = Session::new();
    assert_eq!(run(&mut session, "p8 2").out, "ffff\n");
    for line in ["p=", "p-", "pz"] {
        assert!(run(&mut session, line).err.contains("Cannot determine file size"), "{line}");
    }
}
