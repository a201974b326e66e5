//! What is fuzzed: one function per target, which must neither panic nor take long whatever it is given. cargo-fuzz
//! drives them (`cargo fuzz run shell`), and so does the soak run, which needs no special compiler.

use std::io::Write;
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use remora::disasm::{ARCHITECTURES, Instruction, Settings, Text, assemble, disassembler};
use remora::error::{Error, Kind, Result};
use remora::io::{Access, Open};
use remora::number::{self, Names};
use remora::output::{Cancel, Executor, Out, Style};
use remora::prompt::completion;
use remora::session::{Permissions, Session};
use remora::uri::{Authority, Uri};

/// Every target with its name, for the soak run.
pub const TARGETS: &[(&str, fn(&[u8]))] = &[
    ("number", number),
    ("uri", uri),
    ("shell", shell),
    ("completion", completion),
    ("files", files),
    ("rap", rap),
    ("rap2", rap2),
    ("disasm", disasm),
];

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
