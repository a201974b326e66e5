//! Devices: one suite of behaviour for every plugin, and what is special about some.

use std::any::Any;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use remora::commands::open::open_uri;
use remora::error::{Error, Kind};
use remora::io::{Access, Device, Io, Layer, Open, PLUGINS, Settings, plugin};
use remora::uri::Uri;

use crate::harness::{run, session};

/// A device, and what has to be in it.
struct Case {
    uri: String,
    /// Byte by byte; `None` is a hole.
    content: Vec<Option<u8>>,
    /// There are zeros behind the content, for ever.
    endless: bool,
    writes: bool,
    resizes: bool,
    /// What has to live as long as the device.
    _keep: Option<Box<dyn Any>>,
}

fn case(uri: impl Into<String>, content: &[u8], writes: bool, resizes: bool) -> Case {
    let content = content.iter().copied().map(Some).collect();
    Case { uri: uri.into(), content, endless: false, writes, resizes, _keep: None }
}

/// A case for every scheme, with files in `directory`.
fn cases(directory: &Path) -> Vec<Case> {
    let text: Vec<u8> = (0..70_000u32).map(|n| (n % 251) as u8).collect();
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let file = |name: &str, bytes: &[u8]| {
        fs::write(path(name), bytes).unwrap();
        path(name)
    };
    let inherited = File::options().read(true).write(true).open(file("inherited", &text)).unwrap();
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
    let mut holes = vec![None; 0x108];
    for (at, byte) in [(0x10, 1), (0x11, 2), (0x12, 3), (0x104, 4), (0x105, 5), (0x106, 6), (0x107, 7)] {
        holes[at] = Some(byte);
    }
    let zip = file("a.zip", &zipped(&[("dir/one.bin", &text), ("two", b"2")]));
    vec![
        case(file("plain", &text), &text, true, true),
        case(format!("file://{}", file("scheme", &text)), &text, true, true),
        case(format!("nocache://{}", file("nocache", &text)), &text, true, true),
        Case {
            _keep: Some(Box::new(inherited.try_clone().unwrap())),
            ..case(format!("fd://{}", inheritable(inherited)), &text, true, true)
        },
        case("malloc://0x180", &[0; 0x180], true, true),
        case("hex://00112233445566778899", b"\0\x11\x22\x33\x44\x55\x66\x77\x88\x99", true, true),
        case("null://300", &[0; 300], false, true),
        Case { endless: true, ..case("null://", &[0; 300], false, false) },
        case(format!("gzip://{}", file("a.gz", &gzipped(&text))), &text, false, false),
        case(format!("zip://{zip}//dir/one.bin"), &text, false, false),
        case(format!("apk://{zip}::1"), b"2", false, false),
        case(format!("jar://{zip}::0"), &text, false, false),
        Case {
            content: holes.clone(),
            ..case(
                format!("ihex://{}", file("a.hex", b":03001000010203E7\n:0401040004050607E1\n:00000001FF\n")),
                &[],
                false,
                false,
            )
        },
        Case {
            content: holes,
            ..case(
                format!("srec://{}", file("a.srec", &srecords(&[(0x104, &[4, 5, 6, 7]), (0x10, &[1, 2, 3])]))),
                &[],
                false,
                false,
            )
        },
    ]
}

/// The number of a descriptor that stays open for the rest of the test run, as an inherited one does.
fn inheritable(file: File) -> i32 {
    let number = file.as_raw_fd();
    std::mem::forget(file);
    number
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn srecord(kind: u8, address: &[u8], data: &[u8]) -> String {
    let mut bytes = vec![(address.len() + data.len() + 1) as u8];
    bytes.extend_from_slice(address);
    bytes.extend_from_slice(data);
    bytes.push(!bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)));
    format!("S{kind}{}\n", faster_hex::hex_string(&bytes).to_uppercase())
}

fn srecords(data: &[(u32, &[u8])]) -> Vec<u8> {
    // A header need not be text.
    let mut text = srecord(0, &[0, 0], b"h\xff\x80");
    for (address, bytes) in data {
        text.push_str(&srecord(3, &address.to_be_bytes(), bytes));
    }
    text.push_str(&srecord(5, &(data.len() as u16).to_be_bytes(), &[]));
    text.push_str(&srecord(7, &[0; 4], &[]));
    text.into_bytes()
}

fn open_with(uri: &str, access: Access) -> Result<Box<dyn Device>, Error> {
    plugin::open(&Uri::parse(uri), &Open { access, ..Open::default() })
}

fn opened(uri: &str) -> Box<dyn Device> {
    open_with(uri, Access::RX).unwrap_or_else(|error| panic!("{uri}: {error}"))
}

/// The error of opening `uri` read-only.
fn refusal(uri: &str) -> Error {
    open_with(uri, Access::RX).err().unwrap_or_else(|| panic!("{uri} opens"))
}

fn seen(content: &[Option<u8>], fill: u8) -> Vec<u8> {
    content.iter().map(|byte| byte.unwrap_or(fill)).collect()
}

#[test]
fn every_scheme_has_a_case() {
    let directory = tempfile::tempdir().unwrap();
    let cases = cases(directory.path());
    for scheme in PLUGINS.iter().flat_map(|plugin| plugin.schemes) {
        // Covered where its servers are tested.
        if *scheme != "rap" && *scheme != "raps" {
            assert!(cases.iter().any(|case| case.uri.starts_with(&format!("{scheme}://"))), "{scheme}:// has no case");
        }
    }
}

#[test]
fn reads_inside_across_and_past_the_end() {
    let directory = tempfile::tempdir().unwrap();
    for case in cases(directory.path()) {
        let uri = &case.uri;
        let mut device = opened(uri);
        let size = case.content.len();
        assert_eq!(device.info().size, if case.endless { None } else { Some(size as u64) }, "{uri}");
        assert!(device.info().access.read, "{uri}");

        for at in [0, 1.min(size - 1), size / 2, size - 1] {
            let mut byte = [0xee];
            let count = device.read_at(at as u64, &mut byte).unwrap();
            assert_eq!(case.content[at], (count == 1).then_some(byte[0]), "{uri} at {at}");
        }
        assert_eq!(device.read_at(0, &mut []).unwrap(), 0, "{uri}");
        assert_eq!(device.read_at(u64::MAX, &mut []).unwrap(), 0, "{uri}");

        let mut buffer = [0xee; 16];
        let count = device.read_at(size as u64 - 1, &mut buffer).unwrap();
        assert_eq!(count, if case.endless { 16 } else { 1 }, "{uri}");
        assert_eq!(Some(buffer[0]), case.content[size - 1], "{uri}");
        for past in [size as u64, size as u64 + 0x1000, 1 << 40, i64::MAX as u64, 1 << 63, u64::MAX - 8, u64::MAX] {
            let count = device.read_at(past, &mut buffer).unwrap_or_else(|error| panic!("{uri} at {past:x}: {error}"));
            assert_eq!(count, if case.endless { 16 } else { 0 }, "{uri} at {past:x}");
        }
    }
}

#[test]
fn reads_through_maps_are_whole_and_filled() {
    let directory = tempfile::tempdir().unwrap();
    for case in cases(directory.path()) {
        let mut io = Io::default();
        let fd = io.open(&Uri::parse(&case.uri), &Open::default()).unwrap();
        io.map_whole(fd, 0x1000).unwrap();
        let size = case.content.len();
        for physical in [false, true] {
            let settings = Settings { descriptor: physical.then_some(fd), fill: 0xaa, ..Settings::default() };
            let base = if physical { 0 } else { 0x1000 };
            let mut bytes = vec![0; size + 8];
            let valid = io.read(&settings, base, &mut bytes).unwrap();
            assert_eq!(bytes[..size], seen(&case.content, 0xaa), "{}", case.uri);
            assert_eq!(bytes[size..], if case.endless { [0; 8] } else { [0xaa; 8] }, "{}", case.uri);
            let there = case.content.iter().flatten().count() + if case.endless { 8 } else { 0 };
            assert_eq!(valid, there, "{}", case.uri);
            // Around the end of the address space: nothing there, and no overflow.
            io.read(&settings, u64::MAX - 3, &mut [0; 8]).unwrap();
        }
    }
}

#[test]
fn writes_are_read_back_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    for case in cases(directory.path()) {
        let uri = &case.uri;
        let plugin = Uri::parse(uri).scheme().map_or(PLUGINS[0], |scheme| plugin::find(scheme).unwrap());
        if !plugin.writes {
            let error = open_with(uri, Access::RWX).err().unwrap_or_else(|| panic!("{uri} opens for writing"));
            assert_eq!(error.kind(), Kind::Permission, "{uri}: {error}");
            assert!(error.to_string().contains("io.cache"), "{uri}: {error}");
            assert_eq!(opened(uri).write_at(0, b"x").unwrap_err().kind(), Kind::Permission, "{uri}");
            assert!(opened(uri).resize(1).is_err(), "{uri}");
            continue;
        }
        let mut device = open_with(uri, Access::RWX).unwrap();
        assert!(device.info().access.write, "{uri}");
        let size = case.content.len() as u64;
        assert_eq!(device.write_at(1, b"").unwrap(), 0, "{uri}");
        assert_eq!(device.write_at(1, b"abc").unwrap(), 3, "{uri}");
        let mut back = [0; 5];
        device.read_at(0, &mut back).unwrap();
        let mut expected = seen(&case.content[..5], 0);
        if case.writes {
            expected[1..4].copy_from_slice(b"abc");
        }
        assert_eq!(back[..], expected, "{uri}");
        if !case.endless {
            assert_eq!(device.write_at(size - 1, b"xyz").unwrap(), 1, "{uri}: only what is inside");
            for past in [size, size + 9, 1 << 63, u64::MAX] {
                assert_eq!(device.write_at(past, b"xyz").unwrap(), 0, "{uri} at {past:x}");
            }
            assert_eq!(device.info().size, Some(size), "{uri}: a write does not resize");
        }
    }
}

#[test]
fn sizes_change_and_maps_follow() {
    let directory = tempfile::tempdir().unwrap();
    for case in cases(directory.path()).into_iter().filter(|case| case.resizes) {
        let mut io = Io::default();
        let open = Open { access: Access::RWX, ..Open::default() };
        let fd = io.open(&Uri::parse(&case.uri), &open).unwrap();
        io.map_whole(fd, 0).unwrap();
        let size = case.content.len() as u64;
        io.resize(fd, size + 5000).unwrap();
        assert_eq!(io.descriptor(fd).unwrap().size(), Some(size + 5000), "{}", case.uri);
        assert_eq!(io.space.maps()[0].size, size + 5000, "{}", case.uri);
        let mut tail = [1; 5001];
        assert_eq!(io.read(&Settings::default(), size - 1, &mut tail).unwrap(), 5001, "{}", case.uri);
        assert_eq!(Some(tail[0]), case.content[size as usize - 1], "{}", case.uri);
        assert_eq!(tail[1..], [0; 5000], "{}", case.uri);
        io.resize(fd, 3).unwrap();
        assert_eq!(io.space.maps()[0].size, 3, "{}", case.uri);
        io.resize(fd, 0).unwrap();
        io.resize(fd, 2).unwrap();
        assert_eq!(io.read(&Settings::default(), 0, &mut tail[..2]).unwrap(), 2, "{}", case.uri);
        assert_eq!(tail[..2], [0; 2], "{}: what was cut is gone", case.uri);
    }
}

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
fn what_cannot_be_opened_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let pipe = pipe.to_string_lossy().into_owned();
    assert_eq!(refusal("/nosuch").to_string(), "cannot open '/nosuch': No such file or directory");
    assert_eq!(refusal("/tmp").to_string(), "cannot open '/tmp': it is a directory");
    for (uri, kind) in [
        (pipe.as_str(), Kind::Unsupported),
        ("", Kind::Usage),
        ("file://", Kind::Usage),
        ("nosuch://x", Kind::UnknownScheme),
        ("malloc://", Kind::Usage),
        ("malloc://lots", Kind::Usage),
        ("malloc://0x7fffffffffffffff", Kind::Limit),
        ("malloc://0xffffffffffffffff", Kind::Limit),
        ("hex://", Kind::Usage),
        ("hex://abc", Kind::Usage),
        ("hex://xy", Kind::Usage),
        ("null://x", Kind::Usage),
        ("fd://x", Kind::Usage),
        ("fd://-1", Kind::Usage),
        ("fd://999999", Kind::NotFound),
        ("gzip:///nosuch", Kind::NotFound),
        ("gzip:///tmp", Kind::Unsupported),
        ("zip:///nosuch//x", Kind::NotFound),
        ("ihex:///nosuch", Kind::NotFound),
        ("srec:///nosuch", Kind::NotFound),
    ] {
        let error = refusal(uri);
        assert_eq!(error.kind(), kind, "{uri}: {error}");
        assert!(!error.to_string().contains('\n'), "{uri}: {error}");
    }
    assert!(refusal("\x1b[31m").to_string().contains("\\x1b[31m"), "escapes are made visible");
    let own = File::open("/dev/null").unwrap();
    assert_eq!(refusal(&format!("fd://{}", own.as_raw_fd())).kind(), Kind::Permission, "not inherited");
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

#[test]
fn opening_needs_permission() {
    use remora::session::Permissions;
    let mut session = session("malloc://512");
    session.view.permissions = Permissions::READ;
    for line in ["o /bin/sh", "o hex://41", "on /bin/sh", "o+ /bin/sh", "o-3", "om 3 0x100", "omfg", "r 5", "r+5", "oo"]
    {
        assert!(run(&mut session, line).err.contains("permitted"), "{line}");
    }
    assert_eq!(run(&mut session, "o; om; r").err, "");
    session.view.permissions = Permissions::READ.and(Permissions::FILES);
    assert!(run(&mut session, "o /dev/null 0 rw").err.contains("needs write"));
}

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

/// Settings with `io.cache` on.
const CACHED: Settings = Settings { virtual_addresses: true, descriptor: None, cache: true, fill: 0xff };
const PLAIN: Settings = Settings { cache: false, ..CACHED };

#[test]
fn held_back_writes_reach_the_file_when_they_are_committed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    fs::write(&path, "0123456789").unwrap();
    let uri = Uri::parse(&path.to_string_lossy());
    let mut session = session("malloc://512");
    let fd = session.with(|core, _| open_uri(core, &uri, &Open::default(), Some(0x1000)).unwrap());
    let seen = |session: &mut remora::session::Session| {
        let mut bytes = [0; 10];
        session.with(|core, _| core.io.read(&PLAIN, 0x1000, &mut bytes)).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    session.with(|core, _| {
        core.io.write(&CACHED, 0x1001, b"abc").unwrap();
        core.io.write(&CACHED, 0x1004, b"d").unwrap();
        core.io.write(&CACHED, 0x1002, b"X").unwrap();
        assert_eq!((core.io.pending(), core.io.pending_on(fd), core.io.pending_on(3)), (5, 5, 0));
    });
    assert_eq!(seen(&mut session), "0aXcd56789");
    assert_eq!(fs::read(&path).unwrap(), b"0123456789");
    assert_eq!(
        run(&mut session, "wc").out,
        "idx=0 addr=0x00001001 size=3 313233 -> 616263 (not written)\n\
         idx=1 addr=0x00001004 size=1 34 -> 64 (not written)\n\
         idx=2 addr=0x00001002 size=1 62 -> 58 (not written)\n"
    );
    // Nothing is lost: neither by closing nor by a commit that cannot be.
    for line in ["o-4", "o-*", "o--"] {
        assert!(run(&mut session, line).err.contains("wci"), "{line}");
    }
    let error = run(&mut session, "wci").err;
    assert!(error.contains("3 of 3 writes are not committed") && error.contains("read-only"), "{error}");
    assert_eq!(seen(&mut session), "0aXcd56789");
    assert_eq!(run(&mut session, "oo+; wc+ 0x1000 0x1003").err, "");
    assert_eq!(fs::read(&path).unwrap(), b"0aX3456789");
    assert_eq!(run(&mut session, "wc").out.matches("(written)").count(), 2);
    assert_eq!(run(&mut session, "wci; o-4").err, "");
    assert_eq!(fs::read(&path).unwrap(), b"0aXcd56789");
}

#[test]
fn held_back_writes_can_be_thrown_away_in_part() {
    let mut session = session("hex://00000000");
    session.with(|core, _| {
        core.io.write(&CACHED, 0, &[1, 1, 1, 1]).unwrap();
        core.io.write(&CACHED, 1, &[2, 2]).unwrap();
        let mut bytes = [0; 4];
        core.io.discard_range(Layer::Virtual, 2, 2);
        core.io.read(&PLAIN, 0, &mut bytes).unwrap();
        assert_eq!(bytes, [1, 2, 0, 1]);
        assert_eq!(core.io.pending(), 4);
        assert_eq!(core.io.discard(), 4);
        core.io.read(&PLAIN, 0, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 4]);
    });
}

#[test]
fn physical_and_virtual_writes_are_held_back_apart() {
    let mut session = session("malloc://16");
    session.with(|core, _| {
        let other = open_uri(core, &Uri::parse("malloc://16"), &Open::default(), Some(0x100)).unwrap();
        let physical = Settings { descriptor: Some(other), ..CACHED };
        core.io.write(&physical, 0, b"p").unwrap();
        core.io.write(&CACHED, 0, b"v").unwrap();
        let mut byte = [0];
        core.io.read(&physical, 0, &mut byte).unwrap();
        assert_eq!(&byte, b"p");
        core.io.read(&CACHED, 0, &mut byte).unwrap();
        assert_eq!(&byte, b"v");
        assert_eq!(core.io.commit().unwrap(), 2);
        core.io.read(&PLAIN, 0x100, &mut byte).unwrap();
        assert_eq!(&byte, b"p");
    });
}

#[test]
fn the_end_of_the_address_space_can_be_written_and_read() {
    let mut session = session("malloc://16");
    session.with(|core, _| {
        core.io.map_whole(3, u64::MAX - 3).unwrap();
        for settings in [CACHED, PLAIN] {
            core.io.write(&settings, u64::MAX - 1, b"abcd").unwrap();
            let mut bytes = [0; 8];
            assert_eq!(core.io.read(&settings, u64::MAX - 3, &mut bytes).unwrap(), 8);
            // It goes on at 0. Without the cache, `ab` is what lies at 2 as well: the same bytes are mapped there.
            let expected = if settings.cache { b"\0\0abcd\0\0" } else { b"cdabcdab" };
            assert_eq!(&bytes, expected);
            core.io.discard();
        }
        let physical = Settings { virtual_addresses: false, ..PLAIN };
        assert!(core.io.write(&physical, u64::MAX - 1, b"abcd").is_err());
    });
}
