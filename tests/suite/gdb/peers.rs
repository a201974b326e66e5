//! Who debugs with whom: real debuggers do each thing that matters at our server, and the table in docs/interop.md
//! says what came of it. `UPDATE=1` rewrites the table.
//!
//! A column is a pair of programs, a row a thing to do. Columns of our client at other servers have the same form: what
//! a pair does not do stays empty.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Server, finish, fixture, gdb, has, lldb, ready};

/// What came of a thing: nothing bad, or what was said instead.
pub type Cell = Result<(), String>;

/// A pair of programs.
pub struct Column {
    /// Client and server.
    pub pair: &'static str,
    /// The things that it was tried on.
    pub cells: Vec<(&'static str, Cell)>,
}

/// A thing to do at a server: the words behind the program, what gdb is told and says, what lldb is told and says.
struct Row {
    name: &'static str,
    arguments: &'static [&'static str],
    gdb: (&'static [&'static str], &'static [&'static str]),
    lldb: (&'static [&'static str], &'static [&'static str]),
}

const ROWS: [Row; 11] = [
    Row {
        name: "stop at a breakpoint, and see variables and frames",
        arguments: &["count"],
        gdb: (&["break square", "continue", "print x", "bt"], &["square (x=0)", "$1 = 0", "main (argc=2"]),
        lldb: (
            &["breakpoint set -n square", "continue", "frame variable x", "bt"],
            &["breakpoint 1.1", "(int) x = 0", "fixture`main(argc=2"],
        ),
    },
    Row {
        name: "stop there on a condition",
        arguments: &["count"],
        gdb: (&["break square if x == 6", "continue"], &["square (x=6)"]),
        lldb: (&["breakpoint set -n square -c 'x == 6'", "continue"], &["fixture`square(x=6)"]),
    },
    Row {
        name: "watch a variable",
        arguments: &["count"],
        gdb: (
            &["break square if x == 2", "continue", "delete", "watch counter", "continue"],
            &["Old value = 1", "New value = 3"],
        ),
        lldb: (
            &[
                "breakpoint set -n square -c 'x == 2'",
                "continue",
                "breakpoint delete",
                "watchpoint set variable counter",
                "continue",
            ],
            &["Watchpoint 1 hit:", "old value: 1", "new value: 3", "stop reason = watchpoint 1"],
        ),
    },
    Row {
        name: "step in, over and out",
        arguments: &["count"],
        gdb: (
            &["break square", "continue", "stepi", "next", "step", "finish"],
            &["square (x=0)", "return x * x", "Value returned is $1 = 0"],
        ),
        lldb: (
            &[
                "breakpoint set -n square",
                "continue",
                "thread step-in",
                "thread step-over",
                "thread step-inst",
                "thread step-out",
            ],
            &["step in", "step over", "instruction step into", "step out", "Return value: (int) $0 = 0"],
        ),
    },
    Row {
        name: "call functions of the program",
        arguments: &["count"],
        gdb: (
            &["break square", "continue", "delete", "print square(9)", "print counter", "continue"],
            &["$1 = 81", "$2 = 9", "exited with code 03"],
        ),
        lldb: (
            &[
                "breakpoint set -n square",
                "continue",
                "breakpoint delete",
                "expression square(9)",
                "expression int a = 3; a * (int)counter",
                "continue",
            ],
            &["(int) $0 = 81", "= 27", "exited with status = 3"],
        ),
    },
    Row {
        name: "see registers and memory, and change them",
        arguments: &["count"],
        gdb: (
            &[
                "break square",
                "continue",
                "set var counter = 40",
                "set $rdi = 2",
                "p $rdi",
                "p $ymm0.v8_int32[0] * 0",
                "x/1dg &counter",
            ],
            &["$1 = 2", "$2 = 0", "40"],
        ),
        lldb: (
            &[
                "breakpoint set -n square",
                "continue",
                "expression counter = 40",
                "register write rdi 2",
                "register read rdi xmm0",
                "memory read -f d -s 8 -c 1 &counter",
                "memory region $pc",
            ],
            &["rdi = 0x0000000000000002", "xmm0 = {", ": 40", "r-x"],
        ),
    },
    Row {
        name: "see all threads",
        arguments: &["threads"],
        gdb: (
            &["break square if x == 12", "continue", "thread apply all bt 1", "delete", "continue"],
            &["square (x=12)", "Thread ", "exited with code 04"],
        ),
        lldb: (
            &["breakpoint set -n square -c 'x == 12'", "continue", "thread list", "breakpoint delete", "continue"],
            &["fixture`square(x=12)", "thread #1: tid = ", "exited with status = 4"],
        ),
    },
    Row {
        name: "stop at a signal, and pass it on",
        arguments: &["signal"],
        gdb: (
            &["continue", "break on_signal", "continue", "continue"],
            &["SIGUSR1", "on_signal (", "exited with code 05"],
        ),
        lldb: (
            &["continue", "breakpoint set -n on_signal", "continue", "continue"],
            &["stop reason = signal SIGUSR1", "fixture`on_signal", "exited with status = 5"],
        ),
    },
    Row {
        name: "stay with the parent of a fork",
        arguments: &["fork"],
        gdb: (&["break in_child", "break in_parent", "continue", "continue"], &["in_parent (x=1)", "exited normally"]),
        lldb: (
            &["breakpoint set -n in_child", "breakpoint set -n in_parent", "continue", "continue", "continue"],
            &["fixture`in_parent", "exited with status = 0"],
        ),
    },
    Row {
        name: "follow an exec",
        arguments: &["exec"],
        gdb: (&["catch exec", "continue", "break square", "continue"], &["(exec'd ", "square (x=0)"]),
        lldb: (&["continue", "breakpoint set -n square", "continue"], &["stop reason = exec", "fixture`square"]),
    },
    Row {
        name: "know the libraries",
        arguments: &["count"],
        gdb: (&["break square", "continue", "info sharedlibrary"], &["square (x=0)", "libc.so.6"]),
        lldb: (&["breakpoint set -n square", "continue", "image list"], &["fixture`square", "libc.so.6"]),
    },
];

/// Every piece is there, in this order.
fn ordered(text: &str, pieces: &[&str]) -> Cell {
    let mut rest = text;
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return Err(format!("'{piece}' is not (or too early) in:\n{text}")),
        }
    }
    Ok(())
}

/// Attaches, looks, changes a variable so that the process ends, and leaves: it must come to its own end.
fn attach(look: impl Fn(&Server) -> String) -> Cell {
    let mut process = Command::new(fixture()).arg("loop").stdin(Stdio::null()).spawn().unwrap();
    let server = Server::start(&["--attach", "127.0.0.1:0", &process.id().to_string()]);
    let said = look(&server);
    match finish(&mut process) {
        Some(7) => Ok(()),
        other => Err(format!("it ends with {other:?} after:\n{said}")),
    }
}

const ATTACH: &str = "attach to a process, change it and leave";

/// gdb at our server.
fn gdb_column() -> Column {
    let session = |server: &Server, commands: &[&str]| {
        let target = format!("target remote 127.0.0.1:{}", server.port);
        gdb(Some(fixture()), &[&[target.as_str()], commands].concat())
    };
    let cell = |row: &Row| ordered(&session(&Server::program(row.arguments), row.gdb.0), row.gdb.1);
    let mut cells: Vec<(&str, Cell)> = ROWS.iter().map(|row| (row.name, cell(row))).collect();
    cells.push((ATTACH, attach(|server| session(server, &["set var going = 0", "detach"]))));
    Column { pair: "gdb → remora", cells }
}

/// lldb at our server.
fn lldb_column() -> Column {
    let cell = |row: &Row| ordered(&lldb(&Server::program(row.arguments), row.lldb.0), row.lldb.1);
    let mut cells: Vec<(&str, Cell)> = ROWS.iter().map(|row| (row.name, cell(row))).collect();
    cells.push((ATTACH, attach(|server| lldb(server, &["expression going = 0", "detach"]))));
    Column { pair: "lldb → remora", cells }
}

const BEGIN: &str = "<!-- This table is measured: UPDATE=1 cargo test --test suite gdb::peers -->\n";
const END: &str = "<!-- end of the table of debuggers -->\n";

fn table(columns: &[Column]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in columns.iter().flat_map(|column| &column.cells) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let heads: String = columns.iter().map(|column| format!(" {} |", column.pair)).collect();
    let mut table = format!("| client → server |{heads}\n|---|{}\n", "---|".repeat(columns.len()));
    for name in names {
        let word = |column: &Column| match column.cells.iter().find(|(other, _)| *other == name) {
            Some((_, Ok(()))) => " yes |",
            Some((_, Err(_))) => " no |",
            None => " |",
        };
        table.push_str(&format!("| {name} |{}\n", columns.iter().map(word).collect::<String>()));
    }
    table
}

#[test]
fn the_table_of_debuggers_is_true() {
    if !ready() || !has("lldb") {
        return;
    }
    let columns = std::thread::scope(|scope| {
        let columns = [scope.spawn(gdb_column), scope.spawn(lldb_column)];
        columns.map(|column| column.join().unwrap())
    });
    for column in &columns {
        for (name, cell) in &column.cells {
            if let Err(why) = cell {
                panic!("{}, {name}: {why}", column.pair);
            }
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/interop.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("docs/interop.md has a table of debuggers");
    let (written, after) = rest.split_once(END).expect("the table of debuggers ends");
    let measured = table(&columns);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{measured}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(written, measured, "docs/interop.md is stale: UPDATE=1");
}
