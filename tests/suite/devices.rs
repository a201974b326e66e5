//! Devices: one suite of behaviour for every plugin, and what is special about some.

mod files;
mod formats;
mod held_back;

use std::any::Any;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use remora::error::{Error, Kind};
use remora::io::{Access, Device, Info, Io, Latency, Open, PLUGINS, Read, Settings, plugin};
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
        // Covered where servers and processes are tested.
        if !scheme.starts_with("gdb")
            && !["rap", "raps", "rap+unix", "dbg", "attach", "procpid", "pvm", "proc", "core"].contains(scheme)
        {
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
fn opening_needs_permission() {
    use remora::session::Permissions;
    let mut session = session("malloc://512");
    session.view.permissions = Permissions::READ;
    for line in ["o /bin/sh", "on /bin/sh", "o+ /bin/sh", "o-3", "om 3 0x100", "omfg", "r 5", "r+5", "oo"] {
        assert!(run(&mut session, line).err.contains("permitted"), "{line}");
    }
    assert_eq!(run(&mut session, "o; om; r; o hex://41 0x1000").err, "", "what touches no file needs nothing more");
    session.view.permissions = Permissions::READ.and(Permissions::FILES);
    assert!(run(&mut session, "o /dev/null 0 rw").err.contains("needs write"));
}

/// Zeros that count how often they are asked.
struct Counting(Arc<AtomicUsize>);

impl Device for Counting {
    fn info(&self) -> Info {
        Info { size: Some(0x100), access: Access::R, latency: Latency::Remote }
    }
    fn read_at(&mut self, _address: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        self.0.fetch_add(1, Ordering::Relaxed);
        buffer.fill(0);
        Ok(buffer.len())
    }
    fn read_many(&mut self, reads: &mut [Read<'_>]) -> Result<(), Error> {
        self.0.fetch_add(1, Ordering::Relaxed);
        for read in reads {
            read.buffer.fill(0);
            read.done = read.buffer.len();
        }
        Ok(())
    }
}

#[test]
fn a_read_over_many_maps_asks_a_device_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let mut io = Io::default();
    let fd = io.adopt("counting://", Access::R, Box::new(Counting(Arc::clone(&asked))));
    for part in 0..16 {
        io.space.add(fd, part * 0x20, 0x10, part * 0x10, Access::R, None);
    }
    assert_eq!(io.read(&Settings::default(), 0, &mut [1; 0x200]).unwrap(), 0x100);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}
