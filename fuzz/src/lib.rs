//! What is fuzzed: one function per target, which must neither panic nor take long whatever it is given. cargo-fuzz
//! drives them (`cargo fuzz run shell`), and so does the soak run, which needs no special compiler.

pub mod conversation;

use std::io::Write;
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use remora::binary::{self, Placement};
use remora::debug::Condition;
use remora::debug::condition::Machine;
use remora::disasm::{ARCHITECTURES, Instruction, Settings, Text, assemble, disassembler};
use remora::error::{Error, Kind, Result};
use remora::io::plugin::malloc::Memory;
use remora::io::{Access, Open};
use remora::number::{self, Names};
use remora::output::{Cancel, Executor, Out, Style};
use remora::prompt::completion;
use remora::protocol::http::Verdict;
use remora::session::{Permissions, Session};
use remora::uri::{Authority, Uri};

/// Every target with its name, for the soak run.
pub const TARGETS: &[(&str, fn(&[u8]))] = &[
    ("number", number),
    ("uri", uri),
    ("shell", shell),
    ("completion", completion),
    ("files", files),
    ("object", object),
    ("rap", rap),
    ("rap2", rap2),
    ("strings", strings),
    ("corefile", corefile),
    ("lines", lines),
    ("rsp", rsp),
    ("rsp_client", rsp_client),
    ("conversation", conversation::run),
    ("condition", condition),
    ("http", http),
    ("disasm", disasm),
    ("analysis", analysis),
];

/// A whole conversation of the client with a stub that says `data`: it ends, whatever that is.
pub fn rsp_client(data: &[u8]) {
    use remora::debug::gdb::{Gdb, Reach};
    use remora::debug::{Resume, Spec, Target};
    use remora::link::gdb::Connection;
    use remora::protocol::rsp::description::{self, Description};

    if let Ok(text) = std::str::from_utf8(data) {
        let documents = std::collections::BTreeMap::from([("a.xml".to_string(), text.to_string())]);
        let _ = (Description::parse(text, &documents), description::threads(text));
        let _ = (description::libraries(text), description::memory(text));
    }
    let (near, mut far) = remora::link::memory::pair(Duration::ZERO);
    // Replies are cut at zeros, and framed so that they arrive.
    for reply in data.split(|byte| *byte == 0).take(256) {
        let body: Vec<u8> = reply.iter().copied().filter(|byte| !b"#$".contains(byte)).collect();
        let sum = body.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        let frame = [b"+$", body.as_slice(), format!("#{sum:02x}").as_bytes()].concat();
        if far.write_all(&frame).is_err() {
            return;
        }
    }
    // Behind the last reply the line has ended, so that nothing waits; what the client sends is taken all the same.
    let _ = remora::link::Link::finish(&mut far);
    let connection = Connection::new(Box::new(near), Duration::from_millis(2), Cancel::new());
    let Ok(mut target) = Gdb::open(connection, Reach::default(), None) else { return };
    let Some(thread) = target.current() else { return };
    let _ = (target.threads(None), target.read_set(thread, 0), target.maps(thread.process));
    let _ = target.read_memory(thread.process, 0x1000, &mut [0; 64]);
    let _ = (target.modules(thread.process), target.insert(&Spec::at(0x1000)));
    if target.resume(&[Resume::ALL]).is_ok() {
        let _ = target.wait(Some(Instant::now() + Duration::from_millis(5)), &Cancel::new());
    }
}

/// The heads of HTTP requests, as odd clients send them.
pub fn http(data: &[u8]) {
    for silent in [false, true] {
        if let Verdict::Mended { head, consumed } = remora::protocol::http::read(data, silent) {
            assert!(consumed <= data.len(), "more was mended than came");
            assert_eq!(remora::protocol::http::read(&head, false), Verdict::Proper, "mended heads are proper");
        }
    }
}

/// Expressions.
pub fn number(data: &[u8]) {
    struct Nothing;
    impl Names for Nothing {
        fn name(&mut self, _name: &str) -> Option<u64> {
            None
        }
        fn variable(&mut self, _variable: &str) -> Result<u64> {
            Ok(7)
        }
        fn memory(&mut self, _address: u64, _size: Option<u8>) -> Result<u64> {
            Err(Error::new(Kind::NotFound, "nothing is there"))
        }
        fn seek(&mut self) -> u64 {
            0x1000
        }
    }
    let _ = number::evaluate(&String::from_utf8_lossy(data), &mut Nothing);
}

/// Conditions of breakpoints, as they travel.
pub fn condition(data: &[u8]) {
    struct Nothing;
    impl Machine for Nothing {
        fn register(&mut self, number: u16) -> Result<u64> {
            Ok(number.into())
        }
        fn memory(&mut self, address: u64, buffer: &mut [u8]) -> Result<()> {
            buffer.fill(address as u8);
            Ok(())
        }
    }
    if let Ok(condition) = Condition::from_agent(data) {
        let _ = condition.evaluate(&mut Nothing);
        let again = Condition::from_agent(&condition.to_agent()).expect("what is encoded can be decoded");
        assert_eq!(again, condition);
    }
}

/// URIs and the addresses in them.
pub fn uri(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let uri = Uri::parse(&text);
    if let Ok(authority) = Authority::parse(uri.rest()) {
        // What is shown to the user leads back to the same place.
        let again = Authority::parse(&authority.endpoint()).expect("an endpoint can be read again");
        assert_eq!((again.host, again.port), (authority.host, authority.port));
    }
}

/// Lines of commands, run with what a guest may do: no programs, no files of this machine, no processes.
pub fn shell(data: &[u8]) {
    let mut session = Session::new();
    session.view.permissions = Permissions::READ.and(Permissions::WRITE);
    session.with(|core, _| {
        let open = Open { access: Access::RWX, ..Open::default() };
        let fd = core.io.open(&Uri::parse("malloc://512"), &open).expect("a buffer opens");
        core.io.map_whole(fd, 0).expect("it maps");
    });
    let cancel = session.cancel.clone();
    let _watch = Watch::over(&cancel);
    let (mut out, mut errors) = (Bounded(1 << 20), Bounded(1 << 20));
    let mut out = Out::new(&mut out, &mut errors, Style::default(), cancel);
    let _ = session.execute(&String::from_utf8_lossy(data), &mut out);
}

/// Completion at every place of a line.
pub fn completion(data: &[u8]) {
    let line = String::from_utf8_lossy(data);
    let session = Session::new();
    // Completing a path lists its folder, which costs time and shows nothing here.
    if line.len() <= 64 && !line.contains('/') {
        for cursor in 0..=line.len() {
            let _ = completion::complete(&line, cursor, &session);
        }
    }
}

/// Damaged object files.
pub fn object(data: &[u8]) {
    let mut device = Memory::new(data.to_vec());
    let Ok(Some(object)) = binary::object(&mut device, Placement::default()) else { return };
    let _ = binary::header(&mut device, &object);
    let _ = binary::details(&mut device, &object);
    for symbol in binary::symbols(&mut device, &object).map(|read| read.list).unwrap_or_default() {
        let _ = symbol.demangled();
    }
    let _ = binary::relocations(&mut device, &object);
    let _ = binary::versions(&mut device, &object);
    let _ = binary::resources(&mut device, &object);
    let _ = binary::signatures(&mut device, &object);
}

/// Damaged files of every format that a plugin decodes.
pub fn files(data: &[u8]) {
    let path = std::env::temp_dir().join(format!("remora-fuzz-{}", std::process::id()));
    std::fs::write(&path, data).expect("a file can be written");
    for scheme in ["gzip", "zip", "ihex", "srec"] {
        for member in ["", "//a", "::0"] {
            let uri = Uri::parse(&format!("{scheme}://{}{member}", path.display()));
            if let Ok(mut device) = remora::io::plugin::open(&uri, &Open { access: Access::R, ..Open::default() }) {
                let mut bytes = [0; 64];
                for address in [0, 1, u64::MAX - 3, device.info().size.unwrap_or(0).saturating_sub(1)] {
                    let _ = device.read_at(address, &mut bytes);
                }
            }
        }
    }
}

/// Text in any bytes.
pub fn strings(data: &[u8]) {
    use remora::io::scan::text;
    for min in [1, 4, 9] {
        let mut at = 0;
        while let Ok(text) = text::find(data, at, data.len(), min) {
            assert!(text.place.start >= at && text.place.end > text.place.start && text.length >= min);
            let _ = text.decode(data);
            at = text.place.end;
        }
    }
}

/// The notes of core files, and minidumps.
pub fn corefile(data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0\x3e\0\x01\0\0\0".to_vec();
    for number in [0u64, 64, 0] {
        elf.extend(number.to_le_bytes());
    }
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([4, 0, 0, 0, 4, 0, 0, 0]);
    for number in [120, 0, 0, data.len() as u64, 0, 4] {
        elf.extend(number.to_le_bytes());
    }
    elf.extend(data);
    let mut dump = b"MDMP\x93\xa7\0\0".to_vec();
    dump.extend(data);
    for bytes in [elf, dump, data.to_vec()] {
        let _ = remora::binary::core::CoreFile::read(&mut *held(&bytes));
    }
}

/// Line numbers: of an ELF file, or what the data says in each of the sections that they are made of.
pub fn lines(data: &[u8]) {
    if data.starts_with(b"\x7fELF") {
        return line_numbers(data);
    }
    let names: [&str; 5] = ["", ".debug_abbrev", ".debug_info", ".debug_line", ".shstrtab"];
    let third = data.len() / 3;
    let texts = names.join("\0") + "\0";
    let parts: [&[u8]; 5] = [&[], &data[..third], &data[third..2 * third], &data[2 * third..], texts.as_bytes()];
    let mut body: Vec<u8> = Vec::new();
    let mut table = Vec::new();
    let mut name = 0u32;
    for (index, (text, part)) in names.iter().zip(parts).enumerate() {
        let kind = [0u32, 1, 1, 1, 3][index];
        table.extend(name.to_le_bytes());
        table.extend(kind.to_le_bytes());
        for number in [0, 0, 64 + body.len() as u64, part.len() as u64, 0, 1, 0] {
            table.extend(number.to_le_bytes());
        }
        name += text.len() as u32 + 1;
        body.extend(part);
    }
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    for number in [0u64, 0, 64 + body.len() as u64] {
        elf.extend(number.to_le_bytes());
    }
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 0, 0, 64, 0, 5, 0, 4, 0]);
    elf.extend(body);
    elf.extend(table);
    line_numbers(&elf);
}

/// The line numbers of the ELF file in `data`.
fn line_numbers(data: &[u8]) {
    use remora::binary::lines::Lines;
    let mut device = held(data);
    let Ok(Some(object)) = binary::object(&mut *device, Placement::default()) else { return };
    let details = Default::default();
    if let Ok(Some(lines)) = Lines::load(&mut *device, &object, &details, None, &|_| None) {
        let _ = lines.at(0x1000);
        let _ = lines.each(&mut |_| Ok(()));
    }
}

/// A device that holds `bytes`.
fn held(bytes: &[u8]) -> Box<dyn remora::io::Device> {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let uri = Uri::parse(&format!("hex://{digits}"));
    remora::io::plugin::open(&uri, &Open::default()).expect("bytes can be held")
}

/// Takes so many bytes, then nobody reads any more.
struct Bounded(usize);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How long a line may run before somebody presses Ctrl-C.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long it may go on after that.
const GRACE: Duration = Duration::from_secs(10);

/// What is running, since when.
static RUNNING: Mutex<Option<(Cancel, Instant)>> = Mutex::new(None);

/// Presses Ctrl-C when a line takes long, and ends the process when that does not help: a hang is a finding.
struct Watch;

impl Watch {
    fn over(cancel: &Cancel) -> Watch {
        static STARTED: Once = Once::new();
        STARTED.call_once(|| {
            std::thread::spawn(|| {
                loop {
                    std::thread::sleep(Duration::from_millis(50));
                    if let Some((cancel, since)) = &*RUNNING.lock().unwrap_or_else(PoisonError::into_inner) {
                        if since.elapsed() > PATIENCE {
                            cancel.set();
                        }
                        if since.elapsed() > PATIENCE + GRACE {
                            eprintln!("a line goes on {} s after Ctrl-C", GRACE.as_secs());
                            std::process::abort();
                        }
                    }
                }
            });
        });
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Some((cancel.clone(), Instant::now()));
        Watch
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What a server and what a client of rap take apart: packets, one after the other.
pub fn rap(data: &[u8]) {
    use remora::protocol::rap::{Capabilities, Limits, Reply, Request};
    let mut rest = data;
    while let Ok(Some((request, used))) = Request::decode(rest, Limits::SERVER) {
        let mut wire = Vec::new();
        // Texts lose what stands behind their NUL; what is left comes back as it was.
        if request.encode(&mut wire).is_ok() {
            let again = Request::decode(&wire, Limits::SERVER).expect("our own packet").expect("all of it").0;
            assert_eq!(again, request);
        }
        assert!((1..=rest.len()).contains(&used));
        rest = &rest[used..];
    }
    let mut rest = data;
    while let Ok(Some((reply, used))) = Reply::decode(rest, Limits::CLIENT) {
        let mut wire = Vec::new();
        reply.encode(&mut wire);
        assert_eq!(wire, rest[..used]);
        rest = &rest[used..];
    }
    if let Some(found) = Capabilities::parse(&String::from_utf8_lossy(data)) {
        assert_eq!(Capabilities::parse(&found.to_string()), Some(found));
    }
}

/// The frames of rap 2, as they come and with a head that fits, so that the bodies are looked at, too.
pub fn rap2(data: &[u8]) {
    use remora::protocol::rap2::{ANSWER, Answer, FRAME, HEAD, Head, REQUEST, Ran, Request, Stat};
    let framed = |opcode: u8| {
        let (tag, body) = data.split_first().map_or((0, data), |(tag, body)| (tag % 16, body));
        let mut wire = vec![opcode];
        wire.extend((body.len() as u32 + 5).to_be_bytes());
        wire.extend([0, 0, 0, 7, tag]);
        wire.extend_from_slice(body);
        wire
    };
    for wire in [data.to_vec(), framed(REQUEST)] {
        if let Ok(Some(head)) = Head::request(&wire, FRAME)
            && let Some(body) = wire.get(HEAD..HEAD + head.length)
            && let Ok(request) = Request::parse(head.tag, body)
        {
            let mut again = Vec::new();
            request.encode(head.id, &mut again).expect("what came in a frame fits into one");
            assert_eq!(again, wire[..HEAD + head.length]);
        }
    }
    for wire in [data.to_vec(), framed(ANSWER)] {
        if let Ok(Some(head)) = Head::answer(&wire, FRAME)
            && let Some(body) = wire.get(HEAD..HEAD + head.length)
        {
            let _ = Answer::parse(head.tag, body);
        }
    }
    let _ = (Stat::parse(data), Ran::parse(data));
    for asked in [&[1 << 20][..], &[16, 0, 64 << 10], &[]] {
        if let Ok((counts, bytes)) = remora::protocol::rap2::unpack(data, asked) {
            assert!(counts.iter().zip(asked).all(|(count, length)| count <= length));
            assert_eq!(bytes.len(), counts.iter().map(|count| *count as usize).sum::<usize>());
        }
    }
}

/// GDB's protocol, as a server and as a client take it apart: the stream, then every packet as a request and as each
/// kind of reply. What is understood is written so that it is understood again, and what one end sends the other gets.
pub fn rsp(data: &[u8]) {
    use remora::protocol::rsp::Request;
    use remora::protocol::rsp::file::{Facts, Outcome};
    use remora::protocol::rsp::link::{Event, Link, Role};
    use remora::protocol::rsp::memory::Region;
    use remora::protocol::rsp::reply::Reply;
    use remora::protocol::rsp::stop::Stop;

    let packet = |payload: &[u8]| {
        if let Ok(request) = Request::parse(payload) {
            assert_eq!(Request::parse(&request.payload()), Ok(request));
        }
        if let Ok(stop) = Stop::parse(payload) {
            let mut out = Vec::new();
            stop.print(&mut out);
            assert_eq!(Stop::parse(&out), Ok(stop));
        }
        if let Ok(outcome) = Outcome::parse(payload) {
            let mut out = Vec::new();
            outcome.print(&mut out);
            assert_eq!(Outcome::parse(&out), Ok(outcome));
        }
        let _ = (Reply::parse(payload), Region::parse(payload), Facts::parse(payload));
    };
    packet(data);
    for (role, other) in [(Role::Server, Role::Client), (Role::Client, Role::Server)] {
        let mut link = Link::new(role, 512);
        let (mut at, mut out) = (0, Vec::new());
        loop {
            let (event, used) = link.receive(&data[at..], &mut out);
            at += used;
            if let Some(Event::Packet(payload)) = &event {
                packet(payload);
                let mut wire = Vec::new();
                Link::new(other, 4096).send(payload, &mut wire);
                let (again, used) = Link::new(role, 4096).receive(&wire, &mut Vec::new());
                assert_eq!((again.as_ref(), used), (event.as_ref(), wire.len()));
            }
            if used == 0 {
                break;
            }
        }
    }
}

/// Code of every architecture, and text for the assembler.
pub fn disasm(data: &[u8]) {
    let [which, rest @ ..] = data else { return };
    let architecture = &ARCHITECTURES[usize::from(*which) % ARCHITECTURES.len()];
    for bits in architecture.bits {
        let settings = Settings { arch: architecture.name.into(), bits: *bits, ..Settings::default() };
        let mut opened = disassembler(&settings).expect("every architecture opens");
        let mut found = [Instruction::default(); 8];
        let (mut at, mut text) = (0, Text::default());
        while at < rest.len() {
            let address = (at as u64).wrapping_sub(8);
            let count = opened.decode(address, &rest[at..], rest.len() - at, &mut found);
            assert!(count > 0, "nothing was decoded");
            for (index, instruction) in found[..count].iter().enumerate() {
                assert!(instruction.size > 0 && instruction.size as usize <= opened.longest());
                opened.text(index, &(), &mut text);
                assert!(!text.mnemonic.is_empty());
                at += instruction.size as usize;
            }
            assert!(at <= rest.len(), "an instruction ends behind its bytes");
        }
    }
    let _ = assemble(&Settings::default(), 0x1000, &String::from_utf8_lossy(rest));
}

/// Code that is made to deceive: functions, blocks, frames and references of any bytes, and all that is shown of them.
pub fn analysis(data: &[u8]) {
    let [which, rest @ ..] = data else { return };
    let (arch, bits) = [("x86", 64), ("x86", 32), ("arm", 64), ("arm", 16)][usize::from(*which) % 4];
    let mut session = Session::new();
    session.view.permissions = Permissions::READ.and(Permissions::WRITE);
    session.with(|core, _| {
        let device = Box::new(Memory::new(rest.to_vec()));
        let fd = core.io.adopt("hex://", Access::RWX, device);
        core.io.map_whole(fd, 0x1000).expect("it maps");
    });
    let cancel = session.cancel.clone();
    let _watch = Watch::over(&cancel);
    let (mut out, mut errors) = (Bounded(1 << 20), Bounded(1 << 20));
    let mut out = Out::new(&mut out, &mut errors, Style::default(), cancel);
    let line = format!(
        "e asm.arch={arch}; e asm.bits={bits}; s 0x1000; af; af @ 0x1008; aa; afl; aflj; afij; afbj; pdf; pdfj; agfj; \
         agf; axj; ax; pds; ?v $FE; ?v $C0; pd 32; pdj 32"
    );
    let _ = session.execute(&line, &mut out);
}
