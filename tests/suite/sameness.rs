//! Tests: what a file is does not depend on the way to it: opened here, under writes that are held back, through our
//! rap server, and through radare2's.

use std::path::Path;

use remora::serve::ServeOptions;
use remora::session::Session;

use crate::harness::{Said, run};
use crate::info::{absent, loaded};
use crate::interop::Radare2;
use crate::rap::Running;

/// What is asked, and must be answered in the same words.
const LINES: &[&str] = &[
    "iS",
    "iSj",
    "iSS",
    "is",
    "isj",
    "ii",
    "iij",
    "il",
    "ilj",
    "ir",
    "irj",
    "ie",
    "iej",
    "iE",
    "iM",
    "iz",
    "izj",
    "izq",
    "izz",
    "izzj",
    "izz~Usage",
    "CL",
    "iV",
    "iVj",
    "iw",
    "im",
    "iZ",
    "ik",
    "px 64 @ entry0",
    "pd 64 @ entry0",
    "pdj 64 @ main",
    "pd -8 @ main",
    "s main; pi 4; s entry0; s",
    "af @ main; pdf @ main; afij @ main; af- @ main",
    "aa; afl; axt @ sym.imp.strlen; af-*",
    "px 64",
    "p8 64 @ entry0",
    "p8 4096 @ section..rodata",
    "ps @ 0",
    "/x 7f454c46",
    "/ GNU",
    "/e /[a-z]+\\.so\\.[0-9]/",
    "e search.in=bin.sections.x; /xj 488b05; e search.in=io.maps",
    "/mb",
    "ph sha256 0x4000 @ entry0",
];

/// All of the answers, `iI` too as far as it speaks of the file's contents.
fn answers(session: &mut Session) -> Vec<(String, Said)> {
    let mut all: Vec<(String, Said)> = LINES.iter().map(|line| (line.to_string(), run(session, line))).collect();
    for line in ["i", "iI"] {
        let mut said = run(session, line);
        // The way to the file is another one.
        let own = ["fd ", "file ", "mode ", "iorw "];
        said.out =
            said.out.lines().filter(|line| !own.iter().any(|own| line.starts_with(own))).collect::<Vec<_>>().join("\n");
        all.push((line.to_string(), said));
    }
    all
}

fn compare(way: &str, expected: &[(String, Said)], session: &mut Session) {
    let mut wrong = Vec::new();
    for ((line, expected), (_, said)) in expected.iter().zip(answers(session)) {
        if *expected != said {
            let first = expected.out.lines().zip(said.out.lines()).find(|(a, b)| a != b);
            wrong.push(format!("{line}: {first:?} {:?} {:?}", expected.err, said.err));
        }
    }
    assert!(wrong.is_empty(), "{way}:\n{}", wrong.join("\n"));
}

fn here() -> Vec<(String, Said)> {
    let mut session = loaded(Path::new("/bin/ls"));
    let expected = answers(&mut session);
    for (line, said) in &expected {
        assert_eq!(said.err, "", "{line}");
        let empty = matches!(line.as_str(), "CL" | "iE" | "iM");
        assert!(empty || said.out.lines().count() > 0, "{line} says nothing");
    }
    expected
}

/// A session that opens `uri`, as soon as somebody answers there.
fn opened(uri: &str) -> Session {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let mut session = Session::new();
        let said = run(&mut session, &format!("o {uri}"));
        if said.err.is_empty() {
            // As the program does when it starts with a file.
            run(&mut session, "s entry0");
            return session;
        }
        assert!(std::time::Instant::now() < deadline, "{said:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn under_writes_that_are_held_back() {
    let expected = here();
    let mut session = loaded(Path::new("/bin/ls"));
    // A place that nothing is loaded from, and that nobody asks about.
    let said = run(&mut session, "e io.cache=true; wx 00112233 @ 0x7fff0000; p8 4 @ 0x7fff0000");
    assert_eq!((said.err.as_str(), said.out.as_str()), ("", "00112233\n"));
    compare("io.cache", &expected, &mut session);
}

#[test]
fn through_our_server() {
    let expected = here();
    let server = Running::start(ServeOptions::default());
    let mut session = opened(&format!("rap://{}//bin/ls", server.place()));
    compare("rap", &expected, &mut session);
}

#[test]
fn through_the_server_of_radare2() {
    let expected = here();
    let Some(server) = Radare2::start() else {
        absent("radare2", "REMORA_RADARE2 names one that is not on the PATH");
        return;
    };
    let mut session = opened(&format!("rap://{}//bin/ls", server.place()));
    compare("radare2's rap", &expected, &mut session);
}
