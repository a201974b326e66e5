//! Sessions of lldb beyond those of the table.

use super::{Server, has, in_order, lldb, ready};

fn installed() -> bool {
    ready() && has("lldb")
}

#[test]
fn lldb_calls_the_c_library_and_goes_on_as_if_nothing_had_been() {
    if !installed() {
        return;
    }
    let server = Server::program(&["count"]);
    let said = lldb(
        &server,
        &[
            "breakpoint set -n square -c 'x == 4'",
            "continue",
            "expression (int)printf(\"said %d\\n\", 42)",
            "expression char *copy = (char *)malloc(16); (char *)strcpy(copy, \"copied\")",
            "register read rip",
            "breakpoint delete",
            "continue",
        ],
    );
    in_order(&said, &["square(x=4)", "(int) $0 = 8", "\"copied\"", "fixture`square", "exited with status = 3"]);
    let (status, output) = server.end();
    assert_eq!((status, output.as_str()), (Some(0), "said 42\ntotal 285 arguments 2\n"));
}

#[test]
fn lldb_follows_the_child_of_a_fork() {
    if !installed() {
        return;
    }
    let server = Server::program(&["fork"]);
    let said = lldb(
        &server,
        &[
            "settings set target.process.follow-fork-mode child",
            "breakpoint set -n in_child",
            "continue",
            "bt",
            "continue",
        ],
    );
    in_order(&said, &["fixture`in_child", "exited with status = 41"]);
}

#[test]
fn lldb_kills_and_names_signals_as_the_system_does() {
    if !installed() {
        return;
    }
    let server = Server::program(&["signal"]);
    let id = server.said[0].rsplit(' ').next().unwrap().to_string();
    let said = lldb(&server, &["continue", "process status", "process kill"]);
    in_order(&said, &["signal SIGUSR1", "exited with status = 9"]);
    assert_eq!(server.end().0, Some(0));
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
}
