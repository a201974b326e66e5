//! Searches over several lines, several maps, and files larger than memory.

use std::io::{Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex};

use crate::harness::{run, session, shell};
use remora::error::Result;
use remora::io::{Access, Device, Info, Latency, Read, SearchRequest};
use remora::output::{Cancel, Out, Style};
use remora::session::Session;

#[test]
fn hits_are_flags_of_their_own_space_and_counted() {
    let mut session = session("malloc://512");
    let said =
        run(&mut session, "wx cafe @ 8; wx cafe @ 0x180; /x cafe; ?vi $?; fs search; f; fs *; ?v hit0_1 - hit0_0");
    assert_eq!(
        said.out,
        "0x00000008 hit0_0 cafe\n0x00000180 hit0_1 cafe\n2\n0x00000008 2 hit0_0\n0x00000180 2 hit0_1\n0x178\n"
    );
    assert_eq!(run(&mut session, "/x beef; ?vi $?; e search.kwidx").out, "0\n2\n");
    assert_eq!(
        run(&mut session, "e search.kwidx=7;e search.prefix=spot;/x cafe;//").out.lines().last(),
        Some("0x00000180 spot8_1 cafe")
    );
}

#[test]
fn options_choose_among_the_hits() {
    let at = |options: &str, search: &str| {
        shell(&format!("w aaaa; w aaaa @ 0x21; {options}; {search}~[0]"))
            .split_whitespace()
            .map(String::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(at("", "/ aa"), ["0x00000000", "0x00000002", "0x00000021", "0x00000023"]);
    assert_eq!(at("e search.overlap=true", "/ aaa"), ["0x00000000", "0x00000001", "0x00000021", "0x00000022"]);
    assert_eq!(at("e search.align=3", "/ aa"), ["0x00000000", "0x00000021"]);
    assert_eq!(at("e search.maxhits=3", "/ aa").len(), 3);
    assert_eq!(at("e search.from=1 search.to=4", "/ aa"), ["0x00000001"]);
    assert_eq!(at("e search.in=block; b 0x23; s 2", "/ aa"), ["0x00000002", "0x00000021", "0x00000023"]);
    assert_eq!(at("e search.distance=1; e search.align=4", "/ aaaX"), ["0x00000000", "0x00000024"][..1]);
    assert_eq!(at("", "/b aaa"), ["0x00000022", "0x00000001"]);
    assert_eq!(shell("w aa; e search.show=false; / a; f").lines().count(), 2);
    assert_eq!(shell("w aa; e search.flags=false; / a~?; f"), "2\n");
}

#[test]
fn wrong_searches_say_what_is_right() {
    let mut session = session("malloc://512");
    for (line, says) in [
        ("/abc", "Command '/abc' does not exist"),
        ("/xx 41", "Command '/xx' does not exist"),
        ("/x 4", "invalid pattern '4'"),
        ("/x zz", "invalid pattern 'zz'"),
        ("/x 41:ffff", "longer than the 1"),
        ("\"/e /a(/\"", "bad regular expression 'a('"),
        ("/e abc", "the expression is missing"),
        ("/e /abc", "the expression has no end"),
        ("/V4 9 1", "no number lies between"),
        ("/v1 0x100", "does not fit in a byte"),
        ("/z 5 2", "no string has 5 to 2 characters"),
        ("/", "usage: /"),
        ("//", "there was no search before"),
        ("/F /nonexistent/file", "cannot open file '/nonexistent/file'"),
        ("e search.in=dbg.heap; / a", "search.in=dbg.heap needs a debugged process"),
        ("e search.in=range; / a", "search.in=range has no range"),
        ("e search.in=io.maps; e search.prefix=9; / a", "search.prefix: bad name '9'"),
        ("e search.prefix=hit; e search.distance=1; / a", "search.distance=1 would find 1 bytes anywhere"),
        ("s/ nowhere", "nothing found behind"),
        ("s @@/y 41", "'@@/y 41' is no search"),
        ("s @@/", "looks for nothing"),
    ] {
        let said = run(&mut session, line);
        assert!(said.err.contains(says) && said.err.lines().count() == 1, "{line}: {said:?}");
        assert_eq!(said.out, "", "{line}");
    }
}

#[test]
fn a_command_runs_at_each_hit() {
    let mut session = session("malloc://512");
    let said = run(&mut session, "w one.two.; e cmd.hit=\"s; p8 1\"; / .; s; /j .");
    assert_eq!(said.err, "");
    let rows = "0x00000003 hit0_0 \"one.two.\"\n0x3\n2e\n0x00000007 hit0_1 \"one.two.\"\n0x7\n2e\n0x0\n";
    assert!(said.out.starts_with(rows), "{}", said.out);
    assert!(said.out[rows.len()..].starts_with("[{\"offset\":3,"), "{}", said.out);
    let said = run(&mut session, "e cmd.hit=; p8 2 @@/x 2e");
    assert_eq!(said.out, "0x00000003 hit2_0 2e\n2e74\n0x00000007 hit2_1 2e\n2e00\n");
    assert_eq!(run(&mut session, "s/ .; s; s/ .; s; s-; s").out, "0x3\n0x7\n0x3\n");
    // A search that starts itself at each hit ends where cmd.depth says.
    assert!(run(&mut session, "e cmd.hit=\"/ .\" search.maxhits=1; / .").err.contains("nested too deeply"));
}

#[test]
fn hits_cross_maps_that_touch() {
    let mut session = session("malloc://16");
    run(&mut session, "w left @ 12; o malloc://16 0x10 rwx; w right @ 0x10; o malloc://16 0x30 rw-; w right @ 0x30");
    assert_eq!(run(&mut session, "/ leftright~[0]").out, "0x0000000c\n");
    assert_eq!(
        run(&mut session, "e search.contiguous=false; / leftright; / right~[0]").out,
        "0x00000010\n0x00000030\n"
    );
    assert_eq!(run(&mut session, "e search.in=io.map; / right~[0] @ 0x30").out, "0x00000030\n");
    assert_eq!(run(&mut session, "e search.in=io.maps.x; / right~[0]").out, "0x00000010\n");
}

#[test]
fn what_is_held_back_or_laid_over_is_found() {
    let mut session = session("malloc://64");
    assert_eq!(
        run(&mut session, "e io.cache=true; wx 11223344 @ 60; wx 5566 @ 4; /x 3344; /x 005566").out,
        "0x0000003e hit0_0 3344\n0x00000003 hit1_0 005566\n"
    );
    assert_eq!(run(&mut session, "/x aabb @x:00aabb").out, "0x00000001 hit2_0 aabb\n");
}

#[test]
fn what_is_not_there_is_not_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holes.hex");
    std::fs::write(&path, ":0400000001020304F2\n:040100000102FFFFFA\n:00000001FF\n").unwrap();
    let mut session = Session::new();
    assert_eq!(run(&mut session, &format!("o ihex://{}", path.display())).err, "");
    assert_eq!(run(&mut session, "/x ff~[0]").out, "0x00000102\n0x00000103\n");
    assert_eq!(run(&mut session, "/x ffffff; /x 0102~[0]").out, "0x00000000\n0x00000100\n");
}

/// A file that is larger than memory is mostly a hole.
#[test]
fn a_huge_sparse_file_is_searched_through_its_holes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sparse");
    let mut file = std::fs::File::create(&path).unwrap();
    file.set_len(10 << 30).unwrap();
    for at in [3u64 << 30, (10 << 30) - 6] {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(b"needle").unwrap();
    }
    drop(file);
    let mut session = Session::new();
    let open = format!("o {}", path.display());
    assert_eq!(run(&mut session, &open).err, "");
    assert_eq!(run(&mut session, "/ needle~[0]").out, "0xc0000000\n0x27ffffffa\n");
    assert_eq!(run(&mut session, "/b needle~[0]").out, "0x27ffffffa\n0xc0000000\n");
    assert_eq!(run(&mut session, "/e /n[e]+dle/~[0]").out, "0xc0000000\n0x27ffffffa\n");
    assert_eq!(run(&mut session, "/!x 00~[0]").out, "0xc0000000\n");
}

#[test]
fn an_interrupted_search_keeps_what_it_found() {
    struct Stop(Cancel, Vec<u8>);
    impl Write for Stop {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1.extend_from_slice(bytes);
            if self.1.windows(6).any(|text| text == b"hit0_2") {
                self.0.set();
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    use remora::output::Executor;
    let mut session = session("malloc://512");
    let cancel = Cancel::new();
    let mut sink = Stop(cancel.clone(), Vec::new());
    let outcome = session.execute("/x 00", &mut Out::new(&mut sink, &mut Vec::new(), Style::default(), cancel.clone()));
    assert_eq!(outcome.unwrap_err().kind(), remora::error::Kind::Interrupted);
    cancel.clear();
    assert_eq!(run(&mut session, "?vi $?; f~?").out, "3\n3\n");
}

/// A far device that searches for itself and notes what was asked of it.
struct Far {
    bytes: Vec<u8>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Device for Far {
    fn info(&self) -> Info {
        Info { size: Some(self.bytes.len() as u64), access: Access::RWX, latency: Latency::Local }
    }
    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        self.asked.lock().unwrap().push(format!("read {}", buffer.len()));
        let rest = self.bytes.get(address as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
    fn read_many(&mut self, reads: &mut [Read<'_>]) -> Result<()> {
        self.asked.lock().unwrap().push("flight".to_string());
        for read in reads {
            let rest = self.bytes.get(read.address as usize..).unwrap_or_default();
            read.done = rest.len().min(read.buffer.len());
            read.buffer[..read.done].copy_from_slice(&rest[..read.done]);
        }
        Ok(())
    }
    fn search(
        &mut self,
        request: &SearchRequest,
        _: &Cancel,
        found: &mut dyn FnMut(u64) -> bool,
    ) -> Option<Result<()>> {
        let SearchRequest { address, length, needle, align, limit, .. } = request;
        self.asked.lock().unwrap().push(format!("search {address} {length} {align} {limit}"));
        let part = &self.bytes[*address as usize..(*address + *length) as usize];
        let hits = part.windows(needle.len()).enumerate().filter(|(_, bytes)| bytes == needle);
        let hits = hits.map(|(at, _)| address + at as u64).filter(|at| *align < 2 || at.is_multiple_of(*align));
        for hit in hits.take(if *limit == 0 { usize::MAX } else { *limit as usize }) {
            if !found(hit) {
                break;
            }
        }
        Some(Ok(()))
    }
}

#[test]
fn a_device_that_can_search_is_asked_before_it_is_read() {
    let asked = Arc::default();
    let mut bytes = vec![0; 1 << 20];
    bytes[100..104].copy_from_slice(b"aaaa");
    bytes[(1 << 20) - 2..].copy_from_slice(b"aa");
    let device = Far { bytes, asked: Arc::clone(&asked) };
    let mut session = Session::new();
    session.with(|core, _| {
        let fd = core.io.adopt("far://", Access::RWX, Box::new(device));
        core.io.map_whole(fd, 0x1000).unwrap();
    });
    assert_eq!(run(&mut session, "/q aa").out, "0x00001064\n0x00001066\n0x00100ffe\n");
    assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), ["search 0 1048576 0 4096"]);
    assert_eq!(run(&mut session, "e search.align=4 search.maxhits=1; /q aa").out, "0x00001064\n");
    assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), ["search 0 1048576 4 1"]);
    assert_eq!(
        run(&mut session, "e search.align=0 search.overlap=true search.maxhits=0; /q aaa").out,
        "0x00001064\n0x00001065\n"
    );
    // What is held back over it only we know; so much is read.
    asked.lock().unwrap().clear();
    assert_eq!(
        run(&mut session, "e io.cache=true; wx 61 @ 0x1068; e search.overlap=false; /q aaaaa").out,
        "0x00001064\n"
    );
    assert!(asked.lock().unwrap().iter().all(|asked| !asked.starts_with("search")));
}

#[test]
fn many_hits_of_a_device_come_in_parts() {
    let asked = Arc::default();
    let device = Far { bytes: vec![7; 10_000], asked: Arc::clone(&asked) };
    let mut session = Session::new();
    session.with(|core, _| {
        let fd = core.io.adopt("far://", Access::RWX, Box::new(device));
        core.io.map_whole(fd, 0).unwrap();
    });
    assert_eq!(run(&mut session, "/x 07~?").out, "10000\n");
    assert_eq!(asked.lock().unwrap().len(), 3);
    assert_eq!(run(&mut session, "/x 0707~?").out, "5000\n");
    // What is shown around the hits is asked for once for each part.
    asked.lock().unwrap().clear();
    assert_eq!(run(&mut session, "/ \\x07~?").out, "10000\n");
    assert_eq!(asked.lock().unwrap().iter().filter(|asked| *asked == "flight").count(), 3);
    assert!(asked.lock().unwrap().iter().all(|asked| !asked.starts_with("read")));
}

#[test]
fn who_may_not_touch_files_searches_for_none() {
    use remora::session::Permissions;
    let mut guest = session("malloc://512");
    guest.view.permissions = Permissions::READ;
    for line in ["/F /etc/passwd", "s @@/F /etc/passwd"] {
        let said = run(&mut guest, line);
        assert!(said.err.contains("needs files"), "{line}: {said:?}");
    }
    assert_eq!(run(&mut guest, "/x 00~?").out, "512\n");
}

/// References are those that objdump shows, and hits say what they are.
#[test]
fn calls_of_a_function_are_those_that_objdump_shows() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = crate::info::built(folder.path(), "calls", &["-O0", "-no-pie"]) else { return };
    let Some(listing) = crate::info::tool("objdump", &["-d", "--no-show-raw-insn"], &path) else { return };
    let theirs: Vec<String> = listing
        .lines()
        .filter(|line| line.contains("call") && line.trim_end().ends_with("<helper>"))
        .filter_map(|line| line.split(':').next())
        .map(|address| format!("0x{:08x}", u64::from_str_radix(address.trim(), 16).unwrap()))
        .collect();
    assert!(!theirs.is_empty());
    let mut session = crate::info::loaded(&path);
    let ours = run(&mut session, "/rcq sym.helper; ?vi $?");
    assert_eq!(ours.err, "");
    let mut lines: Vec<&str> = ours.out.lines().collect();
    assert_eq!(lines.pop(), Some(theirs.len().to_string().as_str()));
    assert_eq!(lines, theirs);
    // What is written and what is read are told apart.
    let writes = run(&mut session, "e search.in=bin.sections.x; /rwq obj.hidden; /rrq obj.visible");
    assert_eq!(writes.err, "");
    assert!(writes.out.lines().count() >= 2, "{writes:?}");
    // Every gadget ends with a way out, and no text comes twice.
    let gadgets = run(&mut session, "/Rq");
    let texts: Vec<&str> = gadgets.out.lines().map(|line| line.split_once(": ").unwrap().1).collect();
    let different: std::collections::BTreeSet<&&str> = texts.iter().collect();
    assert!(!texts.is_empty() && texts.len() == different.len());
    assert!(texts.iter().all(|text| {
        ["ret", "jmp", "call"].iter().any(|end| text.trim_end_matches(';').rsplit("; ").next().unwrap().contains(end))
    }));
}

#[test]
fn sections_are_places_to_search_in() {
    let mut session = crate::info::loaded(std::path::Path::new("/bin/ls"));
    let all = run(&mut session, "/q POSIXLY_CORRECT");
    assert_eq!((all.err.as_str(), all.out.lines().count()), ("", 1));
    assert_eq!(run(&mut session, "e search.in=bin.sections; /q POSIXLY_CORRECT").out, all.out);
    assert_eq!(run(&mut session, "e search.in=bin.section; /q POSIXLY_CORRECT @ section..rodata").out, all.out);
    assert_eq!(run(&mut session, "e search.in=bin.sections.x; /q POSIXLY_CORRECT").out, "");
    assert!(run(&mut session, "e search.in=bin.section; / a @ 0x7fffffff0000").err.contains("no section lies at"));
    let mut none = session_without_object();
    assert!(run(&mut none, "e search.in=bin.sections; / a").err.contains("needs an object file"));
}

fn session_without_object() -> Session {
    session("malloc://512")
}

#[test]
fn files_and_object_files_are_found_by_their_signatures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let mut bytes = vec![0x11; 70_000];
    bytes[1000..1008].copy_from_slice(b"\x89PNG\r\n\x1a\n");
    let program = std::fs::read("/bin/ls").unwrap();
    bytes.extend(&program[..4096]);
    std::fs::write(&path, bytes).unwrap();
    let mut session = Session::new();
    let said = run(&mut session, &format!("o {}; /m; /mbj", path.display()));
    assert_eq!(said.err, "");
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines[0], "0x000003e8 hit0_0 image/png png");
    assert!(lines[1].starts_with("0x00011170 hit0_1 application/x-executable"), "{lines:?}");
    assert_eq!(*lines.last().unwrap(), r#"[{"offset":70000,"type":"object","data":"elf64"}]"#);
}

#[test]
fn keys_and_certificates_are_found() {
    // FIPS 197, appendix A.1.
    let schedule = "2b7e151628aed2a6abf7158809cf4f3ca0fafe1788542cb123a339392a6c7605f2c295f27a96b9435935807a7359f67f\
                    3d80477d4716fe3e1e237e446d7a883bef44a541a8525b7fb671253bdb0bad00d4d1c6f87c839d87caf2b8bc11f915bc\
                    6d88a37a110b3efddbf98641ca0093fd4e54f70e5f5fc9f384a64fb24ea6dc4fead27321b58dbad2312bf5607f8d292f\
                    ac7766f319fadc2128d12941575c006ed014f9a8c9ee2589e13f0cc8b6630ca6";
    let mut session = session("malloc://2048");
    let said = run(&mut session, &format!("wx {schedule} @ 100; /ca"));
    assert_eq!(said.out, "0x00000064 hit0_0 AES-128 2b7e151628aed2a6abf7158809cf4f3c\n");
    // The outer lengths of a certificate, and one whose parts do not fit.
    let said =
        run(&mut session, "wx 308203ff308202e7a00302010202 @ 0x200; wx 30820010308202e7a00302010202 @ 0x300; /cd");
    assert_eq!(said.out, "0x00000200 hit1_0 X.509 certificate, 1027 bytes\n");
    let said = run(&mut session, "wx 308204a40201000282 @ 0x400; wx 3082000a0201000282ffff @ 0x500; /cr");
    assert_eq!(said.out, "0x00000400 hit2_0 RSA private key, 1192 bytes\n");
}

/// What the far end can look for itself costs a few round trips, and the hits with what is shown around them.
#[test]
fn hits_of_a_far_file_travel_alone() {
    use remora::io::plugin::rap::Remote;
    use remora::link::rap::Target;
    use std::sync::atomic::Ordering;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("far");
    let mut bytes: Vec<u8> = (0..8u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8 | 0x80).collect();
    for at in [0, 1 << 20, bytes.len() - 6] {
        bytes[at..at + 6].copy_from_slice(b"NeEdLe");
    }
    std::fs::write(&path, &bytes).unwrap();
    let target = Target {
        place: "memory".to_string(),
        path: path.to_string_lossy().into_owned(),
        flags: 5,
        timeout: std::time::Duration::from_secs(30),
        cancel: Cancel::new(),
    };
    let (client, traffic, _clients) = crate::rap::device::counted(std::time::Duration::ZERO, target);
    let mut session = Session::new();
    session.with(|core, _| {
        let fd = core.io.adopt("rap://memory", Access::R, Box::new(Remote::new(client, Access::R)));
        core.io.map_whole(fd, 0).unwrap();
    });
    for line in
        ["/q NeEdLe", "/ NeEdLe", "/iq needle", "/x 4e65456.4c65", "/xj 4e65456e4c65:ffffff00ffff", "/bq NeEdLe"]
    {
        let before = (traffic.flights.load(Ordering::SeqCst), traffic.received.load(Ordering::SeqCst));
        let said = run(&mut session, line);
        assert_eq!(said.err, "", "{line}");
        assert_eq!(run(&mut session, "?vi $?").out, "3\n", "{line}: {}", said.out);
        let trips = traffic.flights.load(Ordering::SeqCst) - before.0;
        let received = traffic.received.load(Ordering::SeqCst) - before.1;
        if line.starts_with("/b") {
            // From the end: read, in large pieces.
            continue;
        }
        // Text shows what stands around it, which comes with the page that it is in.
        let most = if line.starts_with("/ ") { 5 * 64 * 1024 } else { 4096 };
        assert!(trips <= 3 && received < most, "{line}: {trips} round trips, {received} bytes");
    }
}
