//! Names: of functions in shared libraries, and of what is loaded later.

use std::path::PathBuf;

use remora::io::{Access, Open};
use remora::serve::ServeOptions;
use remora::session::{Load, Permissions, Session};
use remora::uri::Uri;

use super::{debug, told, uri};
use crate::debug::fixture_with;
use crate::rap::Running;

/// A program that calls a library and loads another one.
fn fixture() -> Option<PathBuf> {
    fixture_with("loads", &["-O0"])
}

#[test]
fn functions_of_libraries_are_named() {
    let Some(program) = fixture() else { return };
    let (out, err) =
        debug(&uri(&program), "dcu main; db puts; dc; dt~[6]; ?v libc.puts-rip; ?v sym.libc.puts-rip; pd 1; o~?");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "sym.libc.puts", "{out}{err}");
    assert!(lines[1].starts_with("main+") || lines[1].starts_with("sym.main+"), "{out}");
    assert!(out.contains("\n0x0\n0x0\n"), "{out}");
    assert!(out.contains(";-- sym.libc.puts:"), "{out}");
    assert!(told(&err).iter().any(|line| line.ends_with("(sym.libc.puts)")), "{err}");
}

#[test]
fn breakpoints_wait_for_their_libraries() {
    let Some(program) = fixture() else { return };
    let line = "db puts; db cbrt; dbm libm.so.6 0x40; db~waits?; dc; ?v rip-libc.puts; dc; ?v rip-libm.cbrt; db~waits?; \
                dbi~?; db-*; dc";
    let (out, err) = debug(&uri(&program), line);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(&lines[..5], ["3", "0x0", "0x0", "0", "3"], "{out}{err}");
    let told = told(&err);
    let has = |start: &str| assert!(told.iter().any(|line| line.starts_with(start)), "{start}: {err}");
    has("puts is in no file that is loaded: the breakpoint waits for it");
    has("libm.so.6 is not loaded yet");
    has("puts is loaded: breakpoint at 0x");
    has("cbrt is loaded: breakpoint at 0x");
    has("Process exited with status=0x0");
}

#[test]
fn what_waits_can_be_taken_away() {
    let Some(program) = fixture() else { return };
    let (out, err) = debug(&uri(&program), "db nosuch; db~?; db*; db- nosuch; db~?; dc");
    assert_eq!(out, "1\ndb nosuch\n0\nhello\n3.000000\n", "{err}");
    assert!(!err.contains("Error"), "{err}");
}

#[test]
fn breakpoints_stay_when_the_program_is_started_again() {
    let Some(program) = fixture() else { return };
    let line = "db puts; db main; dc; dc; dbc main ?v 7; doo again; di~cmdline; dc; dc; ?v rip-libc.puts; db~hits=1?";
    let (out, err) = debug(&uri(&program), line);
    let lines: Vec<&str> = out.lines().filter(|line| *line != "hello").collect();
    assert!(lines[0].ends_with("loads-O0 again"), "{out}{err}");
    assert_eq!(&lines[1..], ["0x7", "0x0", "2"], "{out}{err}");
    assert_eq!(err.matches("hit breakpoint").count(), 4, "{err}");
}

#[test]
fn far_libraries_are_named_as_near_ones() {
    let Some(program) = fixture() else { return };
    let line = "db main; db cbrt; dc; dc; dt~[6]; pd 2; ?v libc.puts; dmm~libm?; db~[0]";
    let permissions = Permissions::ALL;
    let server = Running::start(ServeOptions { permissions, ..ServeOptions::default() });
    let near = debug(&uri(&program), line);
    let far = debug(&format!("rap://{}/{}", server.place(), uri(&program)), line);
    assert_eq!(told(&far.1), told(&near.1));
    // What the program itself prints is printed where it runs.
    assert_eq!(far.0, near.0.replacen("hello\n", "", 1));
}

#[test]
fn a_stripped_program_far_away_says_what_a_near_one_says() {
    // The line that the debugger was made for.
    let line = "db main;dc;dr rip;pd 5;dm;dt;dc";
    let permissions = Permissions::ALL;
    let server = Running::start(ServeOptions { permissions, ..ServeOptions::default() });
    if !std::path::Path::new("/bin/ls").exists() {
        return println!("ABSENT: /bin/ls");
    }
    let near = debug("/bin/ls", line);
    let far = debug(&format!("rap://{}/dbg:///bin/ls", server.place()), line);
    assert_eq!(told(&far.1), told(&near.1));
    assert!(near.1.contains("(main)"), "{}", near.1);
    // Where the stack begins depends on the environment, which is the server's there; the listing is printed there.
    let stack = regex::Regex::new("0x0*7ff[f]{5}[0-9a-f]{4}").unwrap();
    let shown = |text: &str| {
        let lines =
            text.lines().take_while(|line| line.starts_with("0x") || line.starts_with(' ') || line.contains("sp: "));
        stack.replace_all(&lines.collect::<Vec<_>>().join("\n"), "STACK").into_owned()
    };
    assert_eq!(shown(&far.0), shown(&near.0));
    assert!(far.0.contains(";-- main:") && far.0.contains("[libc.so.6]"), "{}", far.0);
}

#[test]
fn far_files_without_a_twin_are_read_page_by_page() {
    let Some(program) = fixture() else { return };
    let permissions = Permissions::ALL;
    let server = Running::start(ServeOptions { permissions, ..ServeOptions::default() });
    let far = Uri::parse(&format!("rap://{}/{}", server.place(), uri(&program)));
    let mut session = Session::new();
    session.with(|core, _| {
        let open = Open { access: Access::RWX, ..Open::default() };
        let fd = core.io.open(&far, &open).unwrap();
        // No file of this machine may stand for it.
        core.load(fd, Load { known: true, twins: false, ..Load::default() }).unwrap();
        assert!(core.named_address("main").is_some());
        assert!(core.named_address("_dl_debug_state").is_some(), "a name of the loader");
        assert_eq!(core.named_address("nosuch"), None);
        assert!(core.io.descriptors().count() >= 3);
        core.close(fd).unwrap();
        assert_eq!(core.io.descriptors().count(), 0, "what was opened along with it is closed with it");
    });
}

#[test]
fn symbols_of_a_library_are_listed() {
    let Some(program) = fixture() else { return };
    let (out, err) = debug(
        &uri(&program),
        "dcu main; dmiq libc puts; ?v libc.puts; dmi loads-O0 main~[2]; dmi libc nosuch; dmi nosuch; dmij libc~{}?",
    );
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], lines[1], "{out}{err}");
    assert_eq!(lines[2], "main", "{out}");
    assert!(err.contains("'nosuch' is no symbol of libc") && err.contains("no file that is loaded is called"), "{err}");
}

#[test]
fn functions_are_called_as_they_were_written() {
    let Some(program) = fixture_with("written", &["-O0", "-no-pie"]) else { return };
    let (out, err) = debug(&uri(&program), "db geo::sum; dc; dt~[6]; db geo::nosuch");
    assert!(out.starts_with("geo::sum(int)"), "{out}{err}");
    assert!(err.contains("(geo::sum(int))"), "{err}");
}
