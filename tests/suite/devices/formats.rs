//! Archives and record files: what is in them, and what is wrong with them.

use std::fs;

use remora::error::Kind;
use remora::io::Access;

use super::{gzipped, open_with, opened, refusal, srecord, srecords, zipped};

#[test]
fn zip_members_are_listed_by_errors() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.zip");
    let many: Vec<String> = (0..100).map(|n| format!("member{n}")).collect();
    let mut members: Vec<(&str, &[u8])> = vec![("odd\x1b[2J name", b"odd"), ("a//b", b"slashes"), ("empty", b"")];
    members.extend(many.iter().map(|name| (name.as_str(), &b"x"[..])));
    fs::write(&path, zipped(&members)).unwrap();
    let path = path.to_string_lossy();
    for uri in [
        format!("zip://{path}"),
        format!("zip://{path}//"),
        format!("zip://{path}//none"),
        format!("zip://{path}::500"),
    ] {
        let error = refusal(&uri).to_string();
        assert!(error.contains(r"0 'odd\x1b[2J name', 1 'a//b'"), "{error}");
        assert!(error.contains("and 73 more") && !error.contains('\x1b') && !error.contains("member90"), "{error}");
    }
    let mut buffer = [0; 16];
    assert_eq!(opened(&format!("zip://{path}//a//b")).read_at(0, &mut buffer).unwrap(), 7);
    assert_eq!(opened(&format!("zip://{path}//odd\x1b[2J name")).read_at(0, &mut buffer).unwrap(), 3);
    assert_eq!(opened(&format!("zip://{path}::2")).info().size, Some(0));
}

#[test]
fn damaged_archives_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let text: Vec<u8> = (0..5000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    let (gzip, zip) = (gzipped(&text), zipped(&[("one", &text)]));
    let path = directory.path().join("damaged").to_string_lossy().into_owned();
    for (scheme, tail, whole) in [("gzip", "", &gzip), ("zip", "//one", &zip)] {
        let try_open = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            refusal(&format!("{scheme}://{path}{tail}"))
        };
        for cut in [0, 1, 5, whole.len() / 2, whole.len() - 1] {
            let error = try_open(&whole[..cut]);
            assert_eq!(error.kind(), Kind::Format, "{scheme} cut at {cut}: {error}");
        }
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x10;
        assert_eq!(try_open(&flipped).kind(), Kind::Format, "{scheme}");
    }
    let behind = |tail: &[u8]| {
        fs::write(&path, [&gzip, tail].concat()).unwrap();
        open_with(&format!("gzip://{path}"), Access::R).map(|device| device.info().size)
    };
    assert_eq!(behind(&gzip).unwrap(), Some(40_000), "members follow each other");
    assert_eq!(behind(&[0; 512]).unwrap(), Some(20_000), "padding is none");
    assert_eq!(behind(b"more").unwrap_err().kind(), Kind::Format);
    fs::write(&path, zipped(&[("a", b"1"), ("classes.dex", b"dex")])).unwrap();
    assert_eq!(opened(&format!("apk://{path}")).info().size, Some(3));
}

#[test]
fn damaged_record_files_name_the_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("damaged").to_string_lossy().into_owned();
    let refused = |scheme: &str, text: &[u8]| {
        fs::write(&path, text).unwrap();
        let error = refusal(&format!("{scheme}://{path}"));
        assert_eq!(error.kind(), Kind::Format, "{error}");
        error.to_string()
    };
    let good = ":03001000010203E7";
    for (text, says) in [
        (format!("{good}\n:03001000010203E8\n:00000001FF\n"), "line 2: "),
        (format!("{good}\n\n{good}\n"), "line 4: the file ends"),
        (format!("{good}\nhello\n"), "line 2: "),
        (format!(":{}\n", "0".repeat(3000)), "line 1: too long"),
        (":0300100001\u{e9}E7\n".to_string(), "line 1: "),
        (String::new(), "line 1: the file ends"),
    ] {
        let error = refused("ihex", text.as_bytes());
        assert!(error.contains(says), "{error}");
    }
    refused("ihex", b"\xff\xfe\n");
    let good = String::from_utf8(srecords(&[(16, &[1, 2])])).unwrap();
    let record = srecord(1, &[0, 16], &[1, 2, 3]);
    for (text, says) in [
        (good.replace("S30700000010", "S30700000011"), "line 2: checksum mismatch"),
        (record.clone(), "line 2: the file ends"),
        (format!("{record}S1\n"), "line 2: the count is missing"),
        (format!("{record}S10\n"), "line 2: not pairs"),
        (format!("{record}S1FF00\n"), "line 2: 255 bytes are announced, 1 follow"),
        (srecord(1, &[0], &[]), "line 1: too short"),
        (format!("{record}{}", srecord(5, &[0, 9], &[])), "line 2: 9 data records are announced, 1 came"),
        ("S\u{e9}\n".to_string(), "line 1: not an S-record"),
    ] {
        let error = refused("srec", text.as_bytes());
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn hex_files_place_bytes_where_their_bases_say() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.hex");
    let records = [
        ihex::Record::ExtendedLinearAddress(0x0800),
        ihex::Record::Data { offset: 0xfffe, value: vec![1, 2, 3, 4] },
        ihex::Record::ExtendedSegmentAddress(0x1000),
        ihex::Record::Data { offset: 0xffff, value: vec![5, 6] },
        ihex::Record::EndOfFile,
    ];
    fs::write(&path, ihex::create_object_file_representation(&records).unwrap()).unwrap();
    let mut device = opened(&format!("ihex://{}", path.to_string_lossy()));
    let mut buffer = [0; 4];
    assert_eq!((device.read_at(0x0800_fffe, &mut buffer).unwrap(), buffer), (4, [1, 2, 3, 4]));
    assert_eq!((device.read_at(0x1_ffff, &mut buffer).unwrap(), buffer[0]), (1, 5));
    assert_eq!((device.read_at(0x1_0000, &mut buffer).unwrap(), buffer[0]), (1, 6), "a segment wraps in itself");
    assert_eq!(device.info().size, Some(0x0801_0002));
    assert_eq!(device.next_data(0), Some(0x1_0000));
}
