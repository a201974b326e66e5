//! Sessions of gdb.

use std::process::{Command, Stdio};

use super::{Server, finish, fixture, gdb, in_order, ready};

fn connect(server: &Server) -> String {
    format!("target remote 127.0.0.1:{}", server.port)
}

fn extended(server: &Server) -> String {
    format!("target extended-remote 127.0.0.1:{}", server.port)
}

fn exec_file() -> String {
    format!("set remote exec-file {}", fixture().display())
}

#[test]
fn breakpoints_conditions_watchpoints_calls() {
    if !ready() {
        return;
    }
    let server = Server::program(&["count", "a b", "", "$*'\""]);
    assert!(server.said[0].starts_with("Process ") && server.said[0].contains(" created; pid = "), "{:?}", server.said);
    let said = gdb(
        Some(fixture()),
        &[
            &connect(&server),
            "break square if x == 6",
            "continue",
            "print x",
            "backtrace",
            "finish",
            "print square(9)",
            "print counter",
            "watch counter",
            "continue",
            "delete",
            "print $xmm0.v4_int32[0] == 0 || 1",
            "info registers eflags",
            "hbreak square",
            "continue",
            "delete",
            "next",
            "stepi 3",
            "continue",
        ],
    );
    in_order(
        &said,
        &[
            "Breakpoint 1, square (x=6)",
            "$1 = 6",
            "#0  square (x=6)",
            "main (argc=5",
            "Value returned is $2 = 36",
            "$3 = 81",
            "$4 = 30",
            "Hardware watchpoint 2: counter",
            "Old value = 30",
            "New value = 37",
            "$5 = 1",
            "eflags",
            "[ ",
            "Hardware assisted breakpoint 3",
            "Breakpoint 3, square (x=8)",
            "exited with code 03",
        ],
    );
    let (status, output) = server.end();
    assert_eq!((status, output.as_str()), (Some(0), "total 285 arguments 5\n[a b]\n[]\n[$*'\"]\n"));
}

#[test]
fn threads_are_listed_and_stop_one_by_one() {
    if !ready() {
        return;
    }
    let server = Server::program(&["threads"]);
    let said = gdb(
        Some(fixture()),
        &[
            &connect(&server),
            "break square if x == 12",
            "continue",
            "info threads",
            "print x",
            "thread apply all bt 1",
            "delete",
            "continue",
        ],
    );
    in_order(&said, &["hit Breakpoint 1, square (x=12)", "\"fixture\"", "$1 = 12", "exited with code 04"]);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn signals_stop_pass_and_change() {
    if !ready() {
        return;
    }
    let server = Server::program(&["signal"]);
    let said = gdb(Some(fixture()), &[&connect(&server), "continue", "print $_siginfo.si_signo", "continue"]);
    in_order(&said, &["received signal SIGUSR1", "$1 = 10", "exited with code 05"]);
    assert_eq!(server.end().1, "counter 100\n");

    let server = Server::program(&["signal"]);
    let said = gdb(Some(fixture()), &[&connect(&server), "handle SIGUSR1 nostop noprint pass", "continue"]);
    assert!(!said.contains("received signal") && said.contains("exited with code 05"), "{said}");
    assert_eq!(server.end().1, "counter 100\n");

    let server = Server::program(&["signal"]);
    let said = gdb(Some(fixture()), &[&connect(&server), "continue", "signal 0"]);
    assert!(said.contains("exited with code 05"), "{said}");
    assert_eq!(server.end().1, "counter 0\n");
}

#[test]
fn attach_detach_and_the_process_goes_on() {
    if !ready() {
        return;
    }
    let mut process = Command::new(fixture()).arg("loop").stdin(Stdio::null()).spawn().unwrap();
    let id = process.id().to_string();
    let server = Server::start(&["--attach", "127.0.0.1:0", &id]);
    assert_eq!(server.said[0], format!("Attached; pid = {id}"));
    let said = gdb(
        Some(fixture()),
        &[&connect(&server), "break usleep", "continue", "print counter > 0", "set var going = 0", "detach"],
    );
    in_order(&said, &["Breakpoint 1, ", "$1 = 1", "detached"]);
    assert_eq!(server.end().0, Some(0));
    // No trap was left behind: it comes to its own end.
    assert_eq!(finish(&mut process), Some(7));
}

#[test]
fn kill_ends_the_process_and_the_server() {
    if !ready() {
        return;
    }
    let server = Server::program(&["loop"]);
    let id = server.said[0].rsplit(' ').next().unwrap().to_string();
    gdb(Some(fixture()), &[&connect(&server), "kill"]);
    assert_eq!(server.end().0, Some(0));
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
}

#[test]
fn nothing_of_the_program_is_here() {
    if !ready() {
        return;
    }
    let server = Server::program(&["count"]);
    let folder = tempfile::tempdir().unwrap();
    let (copy, back) = (folder.path().join("copy"), folder.path().join("back"));
    let path = fixture().to_str().unwrap();
    let said = gdb(
        None,
        &[
            &connect(&server),
            "break square",
            "continue",
            "info sharedlibrary",
            &format!("remote get {path} {}", copy.display()),
            &format!("remote put {} {}", copy.display(), back.display()),
            &format!("remote delete {}", copy.display()),
            "compare-sections .text",
            "find &counter, +1, (char)0",
            "kill",
        ],
    );
    in_order(&said, &["Breakpoint 1, square (x=0)", "libc.so.6", "matched.", "1 pattern found"]);
    assert!(!copy.exists());
    assert_eq!(std::fs::read(back).unwrap(), std::fs::read(path).unwrap());
}

#[test]
fn a_core_file_is_made() {
    if !ready() {
        return;
    }
    let server = Server::program(&["count"]);
    let folder = tempfile::tempdir().unwrap();
    let core = folder.path().join("core");
    let save = format!("gcore {}", core.display());
    let said = gdb(Some(fixture()), &[&connect(&server), "break square if x == 4", "continue", &save, "kill"]);
    assert!(said.contains("Saved corefile"), "{said}");
    let opened = Command::new("gdb")
        .args(["-nx", "-q", "-batch", "-ex", "bt", "-ex", "print counter"])
        .arg(fixture())
        .arg(&core)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    in_order(&String::from_utf8_lossy(&opened.stdout), &["#0  square (x=4)", "$1 = 6"]);
}

#[test]
fn system_calls_are_caught() {
    if !ready() {
        return;
    }
    let server = Server::program(&["loop"]);
    let said = gdb(
        Some(fixture()),
        &[
            &connect(&server),
            "catch syscall clock_nanosleep",
            "continue",
            "continue",
            "delete",
            "set var going = 0",
            "continue",
        ],
    );
    in_order(
        &said,
        &["(call to syscall clock_nanosleep)", "(returned from syscall clock_nanosleep)", "exited with code 07"],
    );
}

#[test]
fn one_server_many_programs() {
    if !ready() {
        return;
    }
    let server = Server::multi();
    let (target, file) = (extended(&server), exec_file());
    let said = gdb(
        Some(fixture()),
        &[
            &target,
            "info os",
            "monitor help",
            "monitor ?v 1+1",
            &file,
            "set args count 'x y'",
            "break square if x == 2",
            "run",
            "print x",
            "run",
            "print x + 1",
            "set remote exec-file /nonexistent/program",
            "run",
            &file,
            "delete",
            "run",
        ],
    );
    in_order(
        &said,
        &["Listing of all processes", "square (x=2)", "$1 = 2", "square (x=2)", "$2 = 3", "exited with code 03"],
    );
    // The console is not the output.
    assert!(said.contains("monitor exit") && said.contains("0x2"), "{said}");
    // The next one finds the server as it was.
    let said = gdb(Some(fixture()), &[&target, &file, "set args signal", "run", "continue"]);
    in_order(&said, &["received signal SIGUSR1", "exited with code 05"]);
    let said = gdb(None, &[&target, "monitor exit"]);
    assert!(!said.contains("rror"), "{said}");
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn a_process_is_attached_to_over_the_line() {
    if !ready() {
        return;
    }
    let server = Server::multi();
    let mut process = Command::new(fixture()).arg("loop").stdin(Stdio::null()).spawn().unwrap();
    let attach = format!("attach {}", process.id());
    let said = gdb(
        Some(fixture()),
        &[&extended(&server), "attach 999999999", &attach, "print going", "set var going = 0", "detach"],
    );
    in_order(&said, &["$1 = 1", "detached"]);
    assert_eq!(finish(&mut process), Some(7));
}

#[test]
fn forks_are_followed_as_the_user_likes() {
    if !ready() {
        return;
    }
    let server = Server::multi();
    let both = ["break in_child", "break in_parent", "set args fork", "run", "continue"];
    let begin = [extended(&server), exec_file()];
    let session = |settings: &[&str], rest: &[&str]| {
        let mut lines: Vec<&str> = begin.iter().map(String::as_str).collect();
        lines.extend(settings);
        lines.extend(rest);
        gdb(Some(fixture()), &lines)
    };
    let said = session(&["set follow-fork-mode parent"], &both);
    assert!(said.contains("in_parent (x=1)") && !said.contains("in_child (x=40)"), "{said}");
    assert!(said.contains("exited normally"), "{said}");

    let said = session(&["set follow-fork-mode child"], &both);
    assert!(said.contains("in_child (x=40)") && !said.contains("in_parent (x=1)"), "{said}");
    assert!(said.contains("exited with code 051"), "{said}");

    let said = session(
        &["set detach-on-fork off", "set schedule-multiple on"],
        &["break in_child", "set args fork", "run", "info inferiors", "print x", "continue"],
    );
    in_order(&said, &["in_child (x=40)", "fixture", "fixture", "$1 = 40", "exited with code 051"]);
}

#[test]
fn execs_are_followed() {
    if !ready() {
        return;
    }
    let server = Server::multi();
    let said = gdb(
        Some(fixture()),
        &[
            &extended(&server),
            &exec_file(),
            "set args exec",
            "catch exec",
            "run",
            "break square if x == 5",
            "continue",
            "print x",
            "kill",
        ],
    );
    in_order(&said, &["Catchpoint 1 (exec'd ", "square (x=5)", "$1 = 5"]);
}

#[test]
fn thread_local_variables_are_found() {
    if !ready() {
        return;
    }
    let server = Server::program(&["threads"]);
    let said = gdb(
        Some(fixture()),
        &[
            &connect(&server),
            "break square if x == 12",
            "continue",
            "print own",
            "set var own = 6",
            "print own",
            "thread 1",
            "print own",
            "kill",
        ],
    );
    in_order(&said, &["$1 = 5", "$2 = 6", "$3 = 5"]);
}

#[test]
fn a_server_in_a_pipe_serves_what_is_open() {
    if !ready() {
        return;
    }
    let program = env!("CARGO_BIN_EXE_remora");
    let open = format!("{program} -N -qc '=g stdio' -d {}", fixture().display());
    let said = gdb(
        Some(fixture()),
        &[&format!("target remote | {open}"), "break square if x == 3", "continue", "print x", "detach"],
    );
    in_order(&said, &["square (x=3)", "$1 = 3"]);
}

#[test]
fn a_program_of_32_bits_is_one_of_32_bits() {
    if !ready() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("narrow.c"), folder.path().join("narrow"));
    let text = "int twice(int x) { return x + x; }\n\
                void _start(void) { int y = twice(21); __asm__ volatile(\"int $0x80\" : : \"a\"(1), \"b\"(y)); }\n";
    std::fs::write(&source, text).unwrap();
    let flags = ["-m32", "-g", "-O0", "-nostdlib", "-static", "-no-pie", "-fno-pic", "-fcf-protection=none", "-o"];
    let compiled = Command::new("cc").args(flags).arg(&program).arg(&source).stderr(Stdio::null()).status();
    if !compiled.is_ok_and(|status| status.success()) {
        super::absent("programs of 32 bits", "the compiler makes none");
        return;
    }
    let server = Server::start(&["127.0.0.1:0", program.to_str().unwrap()]);
    let said = gdb(
        Some(&program),
        &[
            &connect(&server),
            "show architecture",
            "break twice",
            "continue",
            "print x",
            "print $eip == $pc",
            "finish",
            "continue",
        ],
    );
    in_order(
        &said,
        &["i386", "twice (x=21)", "$1 = 21", "$2 = 1", "Value returned is $3 = 42", "exited with code 052"],
    );
}
