//! Permissions: every command and operator needs what it says.

use remora::commands;
use remora::output::Mode;
use remora::session::{Reach, context::Args};

use super::*;
use crate::harness::{run, session};

#[test]
fn every_command_is_refused_for_each_permission_it_lacks() {
    let mut checked = 0;
    for command in commands::all() {
        for (name, bit) in Permissions::NAMES {
            if !command.needs.allow(bit) {
                continue;
            }
            let mut session = session("malloc://512");
            session.view.permissions = Permissions::ALL.without(bit);
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut out = Out::new(&mut out, &mut err, Style::default(), Cancel::new());
            let refused = commands::invoke(&mut session, command, Mode::Text, &Args::default(), &mut out);
            let expected = format!("'{}' is not permitted here: it needs {name}", command.name);
            assert_eq!(refused.map_err(|error| error.to_string()), Err(expected));
            checked += 1;
        }
    }
    assert!(checked > 150, "{checked}");
}

/// Lines, and what is missing when a client has everything but the permissions in the first column.
const MATRIX: &[(&str, &str, &str)] = &[
    ("read", "px 16", "read"),
    ("read", "ph md5 4", "read"),
    ("read", "o malloc://16", "read"),
    ("write", "wx 11", "write"),
    ("write", "wow 11", "write"),
    ("write", "*0=1", "write"),
    ("write", "o+ malloc://16", "write"),
    ("write", "o malloc://16 0 rwx", "write"),
    ("write", "oo+", "write"),
    ("write", "r 5", "write"),
    ("write", "wt {DIR}/made", "write"),
    ("write", "wtff {DIR}/made", "write"),
    ("write", "ytf {DIR}/made", "write"),
    ("write", "p8 > {DIR}/made", "write"),
    ("write", "p8 >> {DIR}/made", "write"),
    ("write", "nosuch 2> {DIR}/made", "write"),
    ("write", "mkdir {DIR}/made", "write"),
    ("write", "rm {DIR}/file", "write"),
    ("files", "o {DIR}/file", "files"),
    ("files", "o file://{DIR}/file", "files"),
    ("files", "o gzip://{DIR}/file", "files"),
    ("files", "o zip://{DIR}/file//x", "files"),
    ("files", "o ihex://{DIR}/file", "files"),
    ("files", "o srec://{DIR}/file", "files"),
    ("files", "o fd://0", "files"),
    ("files", "wff {DIR}/file", "files"),
    ("files", "wxf {DIR}/file", "files"),
    ("files", "cf {DIR}/file", "files"),
    ("files", "yfa {DIR}/file", "files"),
    ("files", "wt {DIR}/made", "files"),
    ("files", "p8 > {DIR}/made", "files"),
    ("files", ". {DIR}/file", "files"),
    ("files", "p8 4 @f:{DIR}/file", "files"),
    ("files", "s @@.{DIR}/file", "files"),
    ("files", "cat {DIR}/file", "files"),
    ("files", "ls {DIR}", "files"),
    ("files", "cd {DIR}", "files"),
    ("files", "wh sh", "files"),
    ("exec", "!touch {DIR}/made", "exec"),
    ("exec", "!!touch {DIR}/made", "exec"),
    ("exec", ".!touch {DIR}/made", "exec"),
    ("exec", "p8 | touch {DIR}/made", "exec"),
    ("exec", "%", "exec"),
    // Around the corner.
    ("exec", "?e `!touch {DIR}/made`", "exec"),
    ("exec", "$a=!touch {DIR}/made; $a", "exec"),
    ("exec", "(m; !touch {DIR}/made); .(m)", "exec"),
    ("exec", "!touch {DIR}/made @@= 0 1", "exec"),
    ("exec", "& !touch {DIR}/made; &&; &= 1", "exec"),
    ("exec", "yw !touch {DIR}/made; .yp", "exec"),
];

#[test]
fn lines_say_what_they_lack_and_do_nothing() {
    let server = Guarded::start("rap+unix", |_| {});
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("file"), "0x10\n").unwrap();
    for (without, line, missing) in MATRIX {
        let line = line.replace("{DIR}", &here.path().display().to_string());
        let mut session = session("malloc://512");
        session.view.permissions = Permissions::ALL.without(Permissions::named(without).unwrap());
        let said = run(&mut session, &line);
        let text = said.out + &said.err;
        assert!(text.contains("not permitted here: it needs") && text.contains(missing), "{line}: {text}");
        assert!(!here.path().join("made").exists(), "{line}");
        assert!(here.path().join("file").exists(), "{line}");
    }
    // The same over a line, where the session is another's.
    let mut device = server.open("malloc://16", Security::default()).unwrap();
    assert_eq!(text_there(&mut *device, "!echo allowed"), "allowed\n");
}

#[test]
fn remote_clients_connect_on_only_where_it_is_allowed() {
    let server = Guarded::start("rap+unix", |options| options.schemes = vec!["raps".to_string()]);
    let mut device = server.open("malloc://16", Security::default()).unwrap();
    let refused = text_there(&mut *device, "o rap://127.0.0.1:1//x");
    assert!(refused.contains("'rap://' is not permitted here") && refused.contains("--allow-uri rap"), "{refused}");
    let allowed = text_there(&mut *device, "o raps://127.0.0.1:1//x");
    assert!(allowed.contains("cannot connect"), "{allowed}");
    // And OPEN is no way around it.
    let error = server.refusal("rap://127.0.0.1:1//x", Security::default());
    assert!(error.message().contains("'rap://' is not permitted here"), "{error}");
    let mut local = session("malloc://512");
    local.view.reach = Reach { schemes: Some(Vec::new()), ..Reach::default() };
    assert!(run(&mut local, "=+ rap://127.0.0.1:1/").err.contains("not permitted"));
}

#[test]
fn a_read_only_server_changes_nothing() {
    let words = ["--read-only".to_string()];
    let (read_only, _) = serve::arguments::parse(&words).unwrap();
    let server = Guarded::start("rap+unix", |options| options.permissions = read_only.permissions);
    let file = server.path("file");
    std::fs::write(&file, "before").unwrap();
    let name = file.display().to_string();
    let mut device = server.open(&name, Security::default()).unwrap();
    assert!(device.write_at(0, b"after!").is_err());
    for line in ["w after", "o+ {F}", "oo+; w after", "p8 > {F}", "wt {F}", "rm {F}", "ytf {F}", "!rm {F}"] {
        let said = text_there(&mut *device, &line.replace("{F}", &name));
        assert!(said.contains("not permitted here"), "{line}: {said}");
    }
    let writing = Open { access: Access::RWX, ..Open::default() };
    let error = plugin::open(&Uri::parse(&server.uri(&name)), &writing).err().unwrap();
    assert!(error.message().contains("needs write"), "{error}");
    assert_eq!(read_text(&file), "before");
}
