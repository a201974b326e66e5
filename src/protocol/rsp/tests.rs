use proptest::prelude::*;

use super::breakpoint::Kind;
use super::file::{Facts, Outcome, errno};
use super::memory::Region;
use super::object::piece;
use super::process::{ByName, Stream};
use super::reply::{Errors, Reply};
use super::resume::Action;
use super::session::{Feature, Support};
use super::stop::{Reason, Stop, Stopped};
use super::thread::Purpose;
use super::*;

fn thread(process: u64, thread: u64) -> Thread {
    Thread::new(process, thread, true)
}

fn plain(thread: Id) -> Thread {
    Thread { process: None, thread }
}

/// Every request, as it is on the wire.
fn literals() -> Vec<(&'static [u8], Request)> {
    let text = str::to_string;
    let some = Some(plain(Id::One(0x4d2)));
    let mut all: Vec<(&'static [u8], Request)> = Vec::new();
    let feature = |name: &str, value| Feature { name: text(name), value };
    let sessions: Vec<(&'static [u8], Session)> = vec![
        (b"qSupported", Session::Supported(vec![])),
        (
            b"qSupported:multiprocess+;swbreak-;xmlRegisters=i386;x?",
            Session::Supported(vec![
                Feature::yes("multiprocess"),
                feature("swbreak", Support::No),
                feature("xmlRegisters", Support::Value(text("i386"))),
                feature("x", Support::Perhaps),
            ]),
        ),
        (b"QStartNoAckMode", Session::NoAcknowledgements),
        (b"!", Session::Extended),
        (b"QEnableErrorStrings", Session::ErrorStrings),
        (b"QThreadSuffixSupported", Session::ThreadSuffix),
        (b"QListThreadsInStopReply", Session::ListThreads),
        (b"QSetDetachOnError:1", Session::DetachOnError(true)),
        (b"qEcho:17", Session::Echo(b"17".to_vec())),
        (b"qRcmd,68656c70", Session::Monitor(b"help".to_vec())),
        (b"qSymbol::", Session::Symbol),
        (b"qHostInfo", Session::Host),
        (b"qProcessInfo", Session::ProcessInfo),
        (b"qProcessInfoPID:1f", Session::ProcessInfoOf(0x1f)),
        (b"qGetWorkingDir", Session::Directory),
        (b"qVAttachOrWaitSupported", Session::AttachOrWait),
        (b"qShlibInfoAddr", Session::LoaderList),
        (
            b"jGetLoadedDynamicLibrariesInfos:{\"fetch_all_solibs\":true}",
            Session::Libraries(b"{\"fetch_all_solibs\":true}".to_vec()),
        ),
        (b"qFileLoadAddress:2f62", Session::LoadAddress(text("/b"))),
    ];
    all.extend(sessions.into_iter().map(|(bytes, request)| (bytes, Request::Session(request))));
    let threads: Vec<(&'static [u8], Threads)> = vec![
        (b"?", Threads::WhyStopped),
        (b"qC", Threads::Current),
        (b"qfThreadInfo", Threads::First),
        (b"qsThreadInfo", Threads::More),
        (b"jThreadsInfo", Threads::StopInfos),
        (b"Tp1.2", Threads::IsAlive(thread(1, 2))),
        (b"Hg0", Threads::Select(Purpose::Examine, plain(Id::Any))),
        (b"Hgp0.0", Threads::Select(Purpose::Examine, Thread { process: Some(Id::Any), thread: Id::Any })),
        (b"Hc-1", Threads::Select(Purpose::Resume, plain(Id::All))),
        (b"Hcp1f.-1", Threads::Select(Purpose::Resume, Thread { process: Some(Id::One(0x1f)), thread: Id::All })),
        (b"qThreadExtraInfo,4d2", Threads::Describe(plain(Id::One(0x4d2)))),
        (b"qThreadStopInfo4d2", Threads::StopInfo(0x4d2)),
        (b"qAttached", Threads::IsAttached(None)),
        (b"qAttached:4d2", Threads::IsAttached(Some(0x4d2))),
        (b"QThreadEvents:1", Threads::Events(true)),
        (b"qGetTLSAddr:p1.2,10,7f00", Threads::LocalStorage { thread: thread(1, 2), offset: 16, module: 0x7f00 }),
    ];
    all.extend(threads.into_iter().map(|(bytes, request)| (bytes, Request::Threads(request))));
    let registers: Vec<(&'static [u8], Register)> = vec![
        (b"g", Register::ReadAll { thread: None }),
        (b"g;thread:4d2;", Register::ReadAll { thread: some }),
        (b"G0102", Register::WriteAll { bytes: vec![1, 2], thread: None }),
        (b"p10", Register::Read { number: 16, thread: None }),
        (b"p0;thread:4d2;", Register::Read { number: 0, thread: some }),
        (b"P10=0102", Register::Write { number: 16, bytes: vec![1, 2], thread: None }),
        (b"P0=ff;thread:4d2;", Register::Write { number: 0, bytes: vec![255], thread: some }),
        (b"qRegisterInfo1f", Register::Describe(31)),
        (b"QSaveRegisterState;thread:4d2;", Register::Save { thread: some }),
        (b"QRestoreRegisterState:12;thread:4d2;", Register::Restore { id: 12, thread: some }),
    ];
    all.extend(registers.into_iter().map(|(bytes, request)| (bytes, Request::Register(request))));
    let memory: Vec<(&'static [u8], Memory)> = vec![
        (b"m1000,20", Memory::Read { address: 0x1000, length: 32 }),
        (b"mffffffffffffffff,ffffffffffffffff", Memory::Read { address: u64::MAX, length: u64::MAX }),
        (b"x0,0", Memory::ReadBinary { address: 0, length: 0 }),
        (b"M10,2:abcd", Memory::Write { address: 16, bytes: vec![0xab, 0xcd] }),
        (b"X10,3:#}\x03", Memory::WriteBinary { address: 16, bytes: vec![b'#', b'}', 3] }),
        (b"X0,0:", Memory::WriteBinary { address: 0, bytes: vec![] }),
        (b"qSearch:memory:10;20;a;b", Memory::Search { address: 16, length: 32, pattern: b"a;b".to_vec() }),
        (b"qCRC:10,20", Memory::Crc { address: 16, length: 32 }),
        (b"qMemoryRegionInfo:7f", Memory::Region(0x7f)),
        (b"_M1000,rwx", Memory::Allocate { size: 4096, permissions: text("rwx") }),
        (b"_m7f00", Memory::Free(0x7f00)),
    ];
    all.extend(memory.into_iter().map(|(bytes, request)| (bytes, Request::Memory(request))));
    let resumes: Vec<(&'static [u8], Resume)> = vec![
        (b"vCont?", Resume::Actions),
        (b"vCont;c", Resume::Continue(vec![(Action::Continue(None), None)])),
        (
            b"vCont;S05:p1.2;r10,20:p1.3;t:p2.-1;C0b",
            Resume::Continue(vec![
                (Action::Step(Some(5)), Some(thread(1, 2))),
                (Action::Range { start: 16, end: 32 }, Some(thread(1, 3))),
                (Action::Stop, Some(Thread { process: Some(Id::One(2)), thread: Id::All })),
                (Action::Continue(Some(11)), None),
            ]),
        ),
        (b"c", Resume::Simple(Action::Continue(None), None)),
        (b"s1000", Resume::Simple(Action::Step(None), Some(4096))),
        (b"C0f;1000", Resume::Simple(Action::Continue(Some(15)), Some(4096))),
        (b"bs", Resume::Back { step: true }),
        (b"bc", Resume::Back { step: false }),
        (b"vCtrlC", Resume::Interrupt),
        (b"vStopped", Resume::NextStop),
        (b"QNonStop:1", Resume::NonStop(true)),
        (b"QPassSignals:e;10;14", Resume::PassSignals(vec![14, 16, 20])),
        (b"QProgramSignals:", Resume::ProgramSignals(vec![])),
        (b"QCatchSyscalls:0", Resume::CatchSyscalls(None)),
        (b"QCatchSyscalls:1", Resume::CatchSyscalls(Some(vec![]))),
        (b"QCatchSyscalls:1;0;e7", Resume::CatchSyscalls(Some(vec![0, 231]))),
    ];
    all.extend(resumes.into_iter().map(|(bytes, request)| (bytes, Request::Resume(request))));
    let insert = |kind, conditions| Breakpoint::Insert { kind, address: 0x401000, size: 1, conditions };
    let breakpoints: Vec<(&'static [u8], Breakpoint)> = vec![
        (b"Z0,401000,1", insert(Kind::Software, vec![])),
        (b"Z1,401000,1", insert(Kind::Hardware, vec![])),
        (b"Z0,401000,1;X3,220127X1,27", insert(Kind::Software, vec![vec![0x22, 1, 0x27], vec![0x27]])),
        (b"z2,10,8", Breakpoint::Remove { kind: Kind::Write, address: 16, size: 8 }),
        (b"z3,10,8", Breakpoint::Remove { kind: Kind::Read, address: 16, size: 8 }),
        (b"z4,10,8", Breakpoint::Remove { kind: Kind::Access, address: 16, size: 8 }),
    ];
    all.extend(breakpoints.into_iter().map(|(bytes, request)| (bytes, Request::Breakpoint(request))));
    let processes: Vec<(&'static [u8], Process)> = vec![
        (b"vRun;", Process::Run { program: vec![], arguments: vec![] }),
        (b"vRun;2f62;;242a", Process::Run { program: b"/b".to_vec(), arguments: vec![vec![], b"$*".to_vec()] }),
        (b"A4,0,2f62,0,1,,2,2,61", Process::Arguments(vec![b"/b".to_vec(), vec![], b"a".to_vec()])),
        (b"qLaunchSuccess", Process::Launched),
        (b"vAttach;4d2", Process::Attach(0x4d2)),
        (b"vAttachName;61", Process::AttachTo(ByName::Present, text("a"))),
        (b"vAttachWait;61", Process::AttachTo(ByName::Next, text("a"))),
        (b"vAttachOrWait;61", Process::AttachTo(ByName::PresentOrNext, text("a"))),
        (b"vKill;4d2", Process::Kill(0x4d2)),
        (b"k", Process::KillAll),
        (b"D", Process::Detach(None)),
        (b"D;4d2", Process::Detach(Some(0x4d2))),
        (b"R00", Process::Restart),
        (b"QDisableRandomization:1", Process::FixedAddresses(true)),
        (b"QStartupWithShell:0", Process::WithShell(false)),
        (b"QEnvironmentHexEncoded:413d", Process::Set { variable: text("A="), encoded: true }),
        (b"QEnvironment:A=b=c", Process::Set { variable: text("A=b=c"), encoded: false }),
        (b"QEnvironmentUnset:41", Process::Unset(text("A"))),
        (b"QEnvironmentReset", Process::Reset),
        (b"QSetWorkingDir:", Process::Directory(None)),
        (b"QSetWorkingDir:2f", Process::Directory(Some(text("/")))),
        (b"QSetSTDIN:2f", Process::Redirect(Stream::Input, text("/"))),
        (b"QSetSTDOUT:2f", Process::Redirect(Stream::Output, text("/"))),
        (b"QSetSTDERR:2f", Process::Redirect(Stream::Error, text("/"))),
    ];
    all.extend(processes.into_iter().map(|(bytes, request)| (bytes, Request::Process(request))));
    let read = |object: &str, annex: &str, offset, length| Object::Read {
        object: text(object),
        annex: text(annex),
        offset,
        length,
    };
    let objects: Vec<(&'static [u8], Object)> = vec![
        (b"qXfer:features:read:target.xml:0,1000", read("features", "target.xml", 0, 4096)),
        (b"qXfer:auxv:read::10,20", read("auxv", "", 16, 32)),
        (b"qXfer:x:read:a:b:0,1", read("x", "a:b", 0, 1)),
        (
            b"qXfer:siginfo:write::8:a:b",
            Object::Write { object: text("siginfo"), annex: text(""), offset: 8, bytes: b"a:b".to_vec() },
        ),
    ];
    all.extend(objects.into_iter().map(|(bytes, request)| (bytes, Request::Object(request))));
    let files: Vec<(&'static [u8], File)> = vec![
        (b"vFile:setfs:0", File::FileSystem(0)),
        (b"vFile:open:2f62,0,1c0", File::Open { path: text("/b"), flags: 0, mode: 0o700 }),
        (b"vFile:close:5", File::Close(5)),
        (b"vFile:pread:5,3fff,10", File::Read { descriptor: 5, count: 0x3fff, offset: 16 }),
        (b"vFile:pwrite:5,0,a,b", File::Write { descriptor: 5, offset: 0, bytes: b"a,b".to_vec() }),
        (b"vFile:fstat:5", File::Facts(5)),
        (b"vFile:stat:2f62", File::PathFacts(text("/b"))),
        (b"vFile:unlink:2f62", File::Remove(text("/b"))),
        (b"vFile:readlink:2f62", File::LinkTarget(text("/b"))),
        (b"vFile:size:2f62", File::Size(text("/b"))),
        (b"vFile:mode:2f62", File::Mode(text("/b"))),
        (b"vFile:exists:2f62", File::Exists(text("/b"))),
        (b"vFile:MD5:2f62", File::Md5(text("/b"))),
        (b"vFile:symlink:61,62", File::Symlink { target: text("a"), path: text("b") }),
    ];
    all.extend(files.into_iter().map(|(bytes, request)| (bytes, Request::File(request))));
    all
}

#[test]
fn every_request_is_read_and_written() {
    for (bytes, request) in literals() {
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(Request::parse(bytes).as_ref(), Ok(&request), "{shown}");
        assert_eq!(request.payload(), bytes, "{shown}");
    }
}

#[test]
fn a_request_cut_anywhere_is_another_or_none() {
    for (bytes, request) in literals() {
        // `p1f` is short for `p1f.-1`, the last semicolon may be missing, and so may the number of R, which means nothing.
        let whole = |rest: &[u8]| rest.starts_with(b".-1") || rest == b";" || bytes == b"R00";
        for end in (0..bytes.len()).filter(|end| !whole(&bytes[*end..])) {
            if let Ok(other) = Request::parse(&bytes[..end]) {
                assert_ne!(other, request, "{} cut at {end}", String::from_utf8_lossy(bytes));
            }
        }
    }
}

#[test]
fn what_is_wrong_is_told_from_what_is_unknown() {
    let malformed: [&[u8]; 34] = [
        b"m",
        b"m10",
        b"m10,",
        b"m,10",
        b"m-10,4",
        b"m10,4,5",
        b"m11112222333344445,1",
        b"m0x10,1",
        b"M0,2:ab",
        b"M0,1:abc",
        b"M0,1:zz",
        b"X0,2:a",
        b"P0=",
        b"P0=abc",
        b"P=00",
        b"p",
        b"p123456789",
        b"G0",
        b"gx",
        b"Hg",
        b"Hgp",
        b"Hg-2",
        b"T",
        b"vCont;",
        b"vCont;x",
        b"vCont;C5",
        b"vCont;C0g",
        b"vCont;c:",
        b"Z0,10",
        b"Z",
        b"z0,,1",
        b"Z0,0,1;X9,00",
        b"D;",
        b"vAttach;",
    ];
    for packet in malformed {
        let shown = String::from_utf8_lossy(packet);
        assert_eq!(Request::parse(packet), Err(Refusal::Malformed), "{shown}");
    }
    let unknown: [&[u8]; 12] = [
        b"",
        b"vMustReplyEmpty",
        b"vXyz",
        b"qXyz",
        b"QXyz",
        b"jXyz",
        b"qTStatus",
        b"Z7,0,1",
        b"vFile:fly:00",
        b"qXfer:auxv:fly::0",
        b"qSupportedX",
        b"\xff\x00",
    ];
    for packet in unknown {
        let shown = String::from_utf8_lossy(packet);
        assert_eq!(Request::parse(packet), Err(Refusal::Unknown), "{shown}");
    }
    // A list of objects to transfer without its range.
    assert_eq!(Request::parse(b"qXfer:auxv:read"), Err(Refusal::Malformed));
}

#[test]
fn stop_replies() {
    let stopped = |reason| Stopped { signal: 5, reason, thread: Some(thread(0x4d2, 0x4d3)), ..Stopped::default() };
    let simple = |reason| Stop::Stopped(stopped(Some(reason)));
    let literals = [
        ("T05thread:p4d2.4d3;", Stop::Stopped(stopped(None))),
        ("T05swbreak:;thread:p4d2.4d3;", simple(Reason::SoftwareBreakpoint)),
        ("T05hwbreak:;thread:p4d2.4d3;", simple(Reason::HardwareBreakpoint)),
        ("T05watch:7ffe10;thread:p4d2.4d3;", simple(Reason::Write(0x7ffe10))),
        ("T05rwatch:10;thread:p4d2.4d3;", simple(Reason::Read(16))),
        ("T05awatch:10;thread:p4d2.4d3;", simple(Reason::Access(16))),
        ("T05syscall_entry:e7;thread:p4d2.4d3;", simple(Reason::CallEntry(231))),
        ("T05syscall_return:0;thread:p4d2.4d3;", simple(Reason::CallReturn(0))),
        ("T05fork:p1.2;thread:p4d2.4d3;", simple(Reason::Fork(thread(1, 2)))),
        ("T05vfork:p1.2;thread:p4d2.4d3;", simple(Reason::Vfork(thread(1, 2)))),
        ("T05vforkdone:;thread:p4d2.4d3;", simple(Reason::VforkDone)),
        ("T05exec:2f62;thread:p4d2.4d3;", simple(Reason::Exec("/b".into()))),
        ("T05create:;thread:p4d2.4d3;", simple(Reason::Created)),
        ("T05library:;thread:p4d2.4d3;", simple(Reason::Library)),
        ("T05replaylog:begin;thread:p4d2.4d3;", simple(Reason::HistoryEnd { beginning: true })),
        ("T05replaylog:end;thread:p4d2.4d3;", simple(Reason::HistoryEnd { beginning: false })),
        (
            "T0b06:00ff;10:0102;thread:1;core:a;threads:1,2;reason:signal;",
            Stop::Stopped(Stopped {
                signal: 11,
                thread: Some(plain(Id::One(1))),
                core: Some(10),
                registers: vec![(6, vec![0, 255]), (16, vec![1, 2])],
                more: vec![("threads".into(), "1,2".into()), ("reason".into(), "signal".into())],
                reason: None,
            }),
        ),
        ("W2a", Stop::Exited { code: 42, process: None }),
        ("W00;process:4d2", Stop::Exited { code: 0, process: Some(0x4d2) }),
        ("X0f;process:4d2", Stop::Killed { signal: 15, process: Some(0x4d2) }),
        ("w0;p1.2", Stop::ThreadExited { code: 0, thread: thread(1, 2) }),
        ("N", Stop::NothingLeft),
        ("O68690a", Stop::Console(b"hi\n".to_vec())),
        ("Fwrite,1,10/2", Stop::FileRequest(b"write,1,10/2".to_vec())),
    ];
    for (text, stop) in literals {
        let mut out = Vec::new();
        stop.print(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), text);
        assert_eq!(Stop::parse(text.as_bytes()).as_ref(), Ok(&stop), "{text}");
        for end in 0..text.len() {
            // Cut replies are never taken for the whole.
            if let Ok(other) = Stop::parse(&text.as_bytes()[..end])
                && end + 1 < text.len()
            {
                assert_ne!(other, stop, "{text} cut at {end}");
            }
        }
    }
    assert_eq!(Stop::parse(b"S05"), Ok(Stop::Stopped(Stopped { signal: 5, ..Stopped::default() })), "the old form");
    assert_eq!(
        Stop::parse(b"T05thread:p01.01;"),
        Ok(Stop::Stopped(Stopped { signal: 5, thread: Some(thread(1, 1)), ..Stopped::default() }))
    );
    for bad in ["", "T", "T5", "S5", "Tzz", "W", "T05thread:x;", "w0", "N1", "O1"] {
        assert!(Stop::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn pieces_of_objects_never_lack_a_byte() {
    let whole = b"0123456789#";
    let get = |offset, length, room| {
        let mut out = Vec::new();
        piece(whole, offset, length, room, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(get(0, 4, 100), "m0123");
    assert_eq!(get(8, 4, 100), "l89#");
    assert_eq!(get(11, 4, 100), "l");
    assert_eq!(get(u64::MAX, u64::MAX, 100), "l");
    assert_eq!(get(0, u64::MAX, 5), "m0123");
    assert_eq!(get(0, 0, 100), "m0");
    // The last byte takes two.
    assert_eq!(get(8, 100, 4), "m89");
}

#[test]
fn replies_of_every_kind() {
    assert_eq!(Reply::parse(b""), Reply::Unsupported);
    assert_eq!(Reply::parse(b"OK"), Reply::Ok);
    assert_eq!(Reply::parse(b"E22"), Reply::Error(0x22, b""));
    assert_eq!(Reply::parse(b"E.no memory"), Reply::Error(0, b"no memory"));
    assert_eq!(Reply::parse(b"E01;6869"), Reply::Error(1, b"6869"));
    assert_eq!(Reply::parse(b"E0"), Reply::Data(b"E0"));
    assert_eq!(Reply::parse(b"E012"), Reply::Data(b"E012"));
    let error = |errors: Errors| {
        let mut out = Vec::new();
        errors.print("no\nway", &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(error(Errors::Codes), "E01");
    assert_eq!(error(Errors::Messages), "E.no way");
    assert_eq!(error(Errors::Encoded), "E01;6e6f0a776179");
    assert_eq!((reply::console(b"OK"), reply::console(b"O41")), (None, Some(b"A".to_vec())));
    let mut xml = String::new();
    reply::push_xml("<a & \"b\">\x1b", &mut xml);
    assert_eq!(xml, "&lt;a &amp; &quot;b&quot;&gt;?");
}

#[test]
fn outcomes_of_files() {
    let literals: [(&[u8], Outcome); 5] = [
        (b"F0", Outcome::Done(0)),
        (b"F1f", Outcome::Done(31)),
        (b"F0;", Outcome::Bytes(vec![])),
        (b"F3;a;b", Outcome::Bytes(b"a;b".to_vec())),
        (b"F-1,2", Outcome::Failed(2)),
    ];
    for (bytes, outcome) in literals {
        let mut out = Vec::new();
        outcome.print(&mut out);
        assert_eq!((out.as_slice(), Outcome::parse(bytes)), (bytes, Ok(outcome)));
    }
    for bad in [b"".as_slice(), b"F", b"F-", b"F2;a", b"F1x", b"OK"] {
        assert!(Outcome::parse(bad).is_err(), "{bad:?}");
    }
    let facts = Facts { device: 1, inode: 2, mode: 0o100644, size: 0x1_0000_0001, changed: 7, ..Facts::default() };
    assert_eq!(facts.bytes().len(), 64);
    assert_eq!(Facts::parse(&facts.bytes()), Ok(facts));
    assert!(Facts::parse(&facts.bytes()[..63]).is_err());
    assert_eq!((errno(2), errno(38), errno(36), errno(95)), (2, 0x58, 0x5b, 0x270f));
}

#[test]
fn regions() {
    let region = Region { start: 0x1000, size: 0x2000, permissions: Some("rx".into()), name: "/b".into() };
    let mut out = Vec::new();
    region.print(&mut out);
    assert_eq!(out, b"start:1000;size:2000;permissions:rx;name:2f62;");
    assert_eq!(Region::parse(&out), Ok(region));
    let gap = Region::parse(b"start:0;size:400000;flags:;");
    assert_eq!(gap, Ok(Region { size: 0x400000, ..Region::default() }));
    assert!(Region::parse(b"start:0").is_err());
}

#[test]
fn the_checksum_is_the_manual_s() {
    let mut digest = memory::crc();
    digest.update(b"123456789");
    assert_eq!(digest.finalize(), 0x0376_e6e7);
}

#[test]
fn signals_go_both_ways() {
    for linux in 0..=64 {
        let number = signal::from_linux(linux);
        if linux != 16 {
            assert_eq!(signal::to_linux(number), Some(linux));
        }
    }
    assert_eq!(signal::from_linux(11), 11);
    assert_eq!((signal::from_linux(10), signal::from_linux(31), signal::from_linux(34)), (30, 12, 46));
    assert_eq!((signal::to_linux(143), signal::to_linux(7), signal::to_linux(255)), (None, None, None));
}

/// What changes one packet into another.
#[derive(Debug, Clone)]
enum Edit {
    Cut(usize),
    Put(usize, u8),
    Insert(usize, Vec<u8>),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever is understood is written so that it is understood again, and the same.
    #[test]
    fn what_is_read_is_written_again(
        which: prop::sample::Index,
        edits in prop::collection::vec(prop_oneof![
            (0usize..60).prop_map(Edit::Cut),
            (0usize..60, any::<u8>()).prop_map(|(at, byte)| Edit::Put(at, byte)),
            (0usize..60, prop::collection::vec(prop::sample::select(b"0123456789abcdef,;:p-.XZ".to_vec()), 1..12))
                .prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        ], 0..4),
    ) {
        let all = literals();
        let mut packet = which.get(&all).0.to_vec();
        for edit in edits {
            match edit {
                Edit::Cut(at) => packet.truncate(at),
                Edit::Put(at, byte) => if let Some(place) = packet.get_mut(at) { *place = byte },
                Edit::Insert(at, bytes) => {
                    let at = at.min(packet.len());
                    packet.splice(at..at, bytes);
                }
            }
        }
        if let Ok(request) = Request::parse(&packet) {
            prop_assert_eq!(Request::parse(&request.payload()), Ok(request));
        }
        if let Ok(stop) = Stop::parse(&packet) {
            let mut out = Vec::new();
            stop.print(&mut out);
            prop_assert_eq!(Stop::parse(&out), Ok(stop));
        }
    }

    #[test]
    fn anything_is_read_without_harm(packet: Vec<u8>) {
        let _ = Request::parse(&packet);
        let _ = Stop::parse(&packet);
        let _ = Outcome::parse(&packet);
        let _ = Region::parse(&packet);
        let _ = Feature::parse(&packet);
        let _ = Reply::parse(&packet);
    }
}
