//! The shell language: transcripts under `tests/shell`, and what transcripts cannot show.
//!
//! A transcript holds `> command` lines, each followed by what it prints (errors last). A line `# on: uri` starts a
//! new session; what stands between it and the first command is a remark. `UPDATE=1` rewrites the expectations.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::{run, session};
use proptest::prelude::*;
use remora::output::{Cancel, Executor, Out, Style};
use remora::session::{Permissions, Session};

/// Replays a transcript and returns it with what was really printed.
fn replay(transcript: &str) -> String {
    let mut replayed = String::new();
    let mut current: Option<Session> = None;
    let mut remark = true;
    for line in transcript.lines() {
        if let Some(uri) = line.strip_prefix("# on: ") {
            current = Some(session(uri.trim()));
            remark = true;
        } else if let Some(command) = line.strip_prefix("> ") {
            remark = false;
            let session = current.as_mut().expect("a transcript starts with '# on: uri'");
            let said = run(session, command);
            writeln!(replayed, "{line}").unwrap();
            for text in [said.out, said.err] {
                replayed.push_str(&text);
                if !text.is_empty() && !text.ends_with('\n') {
                    replayed.push('\n');
                }
            }
            continue;
        }
        if remark || line.starts_with("# on: ") {
            writeln!(replayed, "{line}").unwrap();
        }
    }
    replayed
}

fn transcript(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shell").join(name);
    let expected = std::fs::read_to_string(&path).expect("the transcript is there");
    // A blank line before a header is layout.
    let replayed = replay(&expected).replace("\n# on: ", "\n\n# on: ").replace("\n\n\n# on: ", "\n\n# on: ");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &replayed).expect("the transcript can be written");
        return;
    }
    let (expected, replayed): (Vec<&str>, Vec<&str>) =
        (expected.lines().filter(|l| !l.is_empty()).collect(), replayed.lines().filter(|l| !l.is_empty()).collect());
    let differs = expected.iter().zip(&replayed).position(|(a, b)| a != b);
    let at = differs.unwrap_or(expected.len().min(replayed.len()));
    assert_eq!(expected[at..].first(), replayed[at..].first(), "{name}, line {} without blank ones", at + 1);
}

#[test]
fn structure() {
    transcript("structure.txt");
}

#[test]
fn quoting() {
    transcript("quoting.txt");
}

#[test]
fn modifiers() {
    transcript("modifiers.txt");
}

#[test]
fn iterators() {
    transcript("iterators.txt");
}

#[test]
fn filters() {
    transcript("filters.txt");
}

#[test]
fn macros_and_aliases() {
    transcript("macros.txt");
}

#[test]
fn tasks() {
    transcript("tasks.txt");
}

#[test]
fn errors() {
    transcript("errors.txt");
}

/// A session whose relative paths lie in a directory of its own.
fn session_in(directory: &tempfile::TempDir) -> Session {
    let mut session = session("malloc://512");
    session.view.directory = Some(directory.path().to_path_buf());
    session
}

#[test]
fn redirects_go_to_files() {
    let directory = tempfile::tempdir().unwrap();
    let mut session = session_in(&directory);
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    assert_eq!(run(&mut session, "p8 4 > a; p8 2 >> a; s > b @@= 1 2").out, "");
    assert_eq!(read("a"), "00000000\n0000\n");
    assert_eq!(read("b"), "0x1\n0x2\n");
    let said = run(&mut session, "nosuch 2> e; s");
    assert_eq!((said.out.as_str(), said.err.as_str()), ("0x0\n", ""));
    assert_eq!(read("e"), "Error: Command 'nosuch' does not exist.\n");
    assert!(session.view.failed);
    assert_eq!(
        run(&mut session, "p8 1 > nosuch/a").err,
        "Error: cannot write file 'nosuch/a': No such file or directory\n"
    );
    assert_eq!(run(&mut session, "cat a; rm a; ls~a").out, "00000000\n0000\n");
    run(&mut session, "p8 2 H> h");
    assert_eq!(read("h"), "0000<br />\n");
}

#[test]
fn scripts_run_in_the_session() {
    let directory = tempfile::tempdir().unwrap();
    let mut session = session_in(&directory);
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("good", "#!/usr/bin/remora\ns 0x10 # there\ns\n\n");
    write("bad", "s 0x20\ns 'it\n");
    write("self", ". self\n");
    write("list", "0x4 # four\n\n8\n");
    assert_eq!(run(&mut session, ". good").out, "0x10\n");
    assert_eq!(
        run(&mut session, ". bad; s").err,
        "Error: script 'bad': syntax error at line 2, column 3: this \"'\" is not closed (write \\' for an apostrophe)\n"
    );
    assert_eq!(run(&mut session, "s").out, "0x10\n");
    assert_eq!(run(&mut session, ". nosuch").err, "Error: Script 'nosuch' not found.\n");
    assert_eq!(
        run(&mut session, ". self").err,
        "Error: scripts, macros and substitutions are nested too deeply (cmd.depth is 10)\n"
    );
    assert_eq!(run(&mut session, "s @@.list; s @@. list").out, "0x4\n0x8\n0x4\n0x8\n");
    write("printer", "!echo s 0x30\n");
    assert_eq!(run(&mut session, ".. printer; s").out, "0x30\n");
    write("block", "ABC");
    assert_eq!(run(&mut session, "p8 @f:block").out, "414243\n");
}

#[test]
fn programs_get_the_output_and_the_facts() {
    let mut session = session("malloc://512");
    let said =
        run(&mut session, "p8 4 | tr 0 1 | cat; s 0x123; !echo $RZ_FILE $RZ_SIZE $RZ_OFFSET $RZ_XOFFSET $RZ_BSIZE");
    assert_eq!((said.out.as_str(), said.err.as_str()), ("11111111\nmalloc://512 512 291 0x00000123 256\n", ""));
    let said = run(&mut session, "!echo oops >&2");
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", "oops\n"));
    assert_eq!(run(&mut session, "p8 $(!echo 2)").out, "0000\n");
    assert_eq!(run(&mut session, "p8 1 | false; !exit 3; p8 1 | nosuchprogram 2>/dev/null; s").out, "0x123\n");
}

#[test]
fn pipes_stream_and_a_closed_one_ends_the_command() {
    let mut session = session("malloc://512");
    let start = Instant::now();
    assert_eq!(run(&mut session, "p8 0x4000000 | head -c 8; s").out, "000000000x0\n");
    assert_eq!(run(&mut session, "p8 0x200000 | cat | wc -c").out.trim(), "4194305");
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn ctrl_c_ends_everything() {
    for line in [
        "!sleep 1000; s",
        "p8 | sleep 1000; s",
        "s @@s:0 0xffffffffffff 1 > /dev/null; s",
        "sleep 1000; s",
        "& sleep 1000; &&; s",
    ] {
        let cancel = Cancel::new();
        let ended = std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let (mut sink, mut errors) = (Vec::new(), Vec::new());
                let mut session = session("malloc://512");
                let result =
                    session.execute(line, &mut Out::new(&mut sink, &mut errors, Style::default(), cancel.clone()));
                (result.map_err(|error| error.kind()), sink)
            });
            std::thread::sleep(Duration::from_millis(50));
            cancel.set();
            worker.join().unwrap()
        });
        assert_eq!(ended, (Err(remora::error::Kind::Interrupted), Vec::new()), "{line}");
    }
}

#[test]
fn operators_are_guarded_like_commands() {
    let mut session = session("malloc://512");
    session.view.permissions = Permissions::READ;
    for (line, needs) in [
        ("p8 | cat", "'|' is not permitted here: it needs exec"),
        ("!id", "'!' is not permitted here: it needs exec"),
        ("!!id", "'!!' is not permitted here: it needs exec"),
        (".!id", "'.!' is not permitted here: it needs exec"),
        ("%", "'%' is not permitted here: it needs exec"),
        ("p8 > /tmp/never", "'>' is not permitted here: it needs write, files"),
        ("nosuch 2> /tmp/never", "'>' is not permitted here: it needs write, files"),
        (". /etc/passwd", "'.' is not permitted here: it needs files"),
        ("s @@./etc/passwd", "'@@.' is not permitted here: it needs files"),
        ("p8 @f:/etc/passwd", "'@f:' is not permitted here: it needs files"),
        ("cat /etc/passwd", "'cat' is not permitted here: it needs files"),
        ("*0=1", "'*' is not permitted here: it needs write"),
        ("\"!id\"", "'!' is not permitted here: it needs exec"),
        ("p8 `!id`", "'!' is not permitted here: it needs exec"),
        ("(x;!id)()", "'!' is not permitted here: it needs exec"),
        ("$x=!id; $x", "'!' is not permitted here: it needs exec"),
        ("& !id; &&; &= 1~!foo", ""),
    ] {
        let said = run(&mut session, line);
        let expected = if needs.is_empty() { String::new() } else { format!("Error: {needs}\n") };
        assert_eq!(said.err, expected, "{line}");
        if needs.is_empty() {
            assert_eq!(said.out, "Error: '!' is not permitted here: it needs exec\n");
        }
    }
}

#[test]
fn tasks_end_with_their_session() {
    let directory = tempfile::tempdir().unwrap();
    let mut session = session_in(&directory);
    run(&mut session, "& sleep 1000; & !sleep 1000");
    let start = Instant::now();
    drop(session);
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn errors_leave_nothing_behind() {
    let mut session = session("malloc://512");
    let before = format!("{:?}", session.view);
    for line in [
        "nosuch @ 4",
        "s nosuch @ 4 @!8 @e:io.va=false @x:90",
        "s @ 4 @e:nosuch=1",
        "s @x:9",
        "s 8 @@=1 2",
        "s nosuch @@=1 2",
        "s 4 @ 8",
        "p8 @o:99",
        "p8 2 @o:3 @F:x",
    ] {
        run(&mut session, line);
        session.view.failed = false;
        session.view.last = 0;
        session.view.prompt_seek = 0;
        assert_eq!(format!("{:?}", session.view), before, "{line}");
    }
}

#[test]
fn the_last_line_and_output_come_back() {
    let mut session = session("malloc://512");
    assert_eq!(run(&mut session, ".").out, "");
    assert_eq!(run(&mut session, "p8 2").out, "0000\n");
    assert_eq!(run(&mut session, "_").out, "0000\n");
    assert_eq!(run(&mut session, ".").out, "0000\n");
    assert_eq!(run(&mut session, ".").out, "0000\n");
    assert_eq!(run(&mut session, "q 3; s").out, "");
    assert_eq!(session.view.quit, Some(3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Without permissions nothing leaves the process; what is left must not panic, whatever the line.
    #[test]
    fn evaluation_never_panics(line in "[sp8q0-9a-f \\\\@|#\"'>;$`~\\[\\](),:!&.*%?{}=_-]{0,24}") {
        let mut session = session("malloc://512");
        session.view.permissions = Permissions::READ;
        let _ = run(&mut session, &line);
    }
}

/// The lines of the old program's sessions all parse, even where their commands are not there.
#[test]
fn lines_of_the_old_program_parse() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/examples/rizin-0.2-sessions.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("ABSENT: the sessions of the old program are not here; nothing was checked");
        return;
    };
    let mut wrong = Vec::new();
    let mut count = 0;
    for row in text.lines() {
        let row: serde_json::Value = serde_json::from_str(row).expect("a line of JSON");
        let commands = row["commands"].as_str().unwrap_or_default();
        count += 1;
        if let Err(error) = remora::shell::parse::parse(commands) {
            wrong.push(format!("{}: {error}", row["name"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} do not parse:\n{}", wrong.len(), wrong.join("\n"));
}
