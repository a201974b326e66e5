//! The same session on every stub that is here.

use std::process::Command;

use super::{Stub, absent, debug, fixture, has, in_order};

/// Breakpoints, steps, memory and registers: what every stub can do.
const SESSION: &str = "db main; dc; ?v $$-main; db sym.add; dc; dc; pv8 @ obj.glob; wv8 0x4142 @ obj.glob; \
                       pv8 @ obj.glob; ds 3; db-*; dc";

/// What the session says on a stub for a program with names.
#[track_caller]
fn check(uri: &str) {
    let (out, err) = debug(uri, SESSION);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.first(), Some(&"0x0"), "{out}{err}");
    in_order(&out, &["0x0", "0x0000000000000000", "0x0000000000004142"]);
    assert_eq!(err.matches("hit breakpoint at: 0x").count(), 3, "{out}{err}");
    in_order(&err, &["Process terminated with status 55", "==> Process finished"]);
}

#[test]
fn gdbserver() {
    if !has("gdbserver") {
        return;
    }
    for flags in [&["-no-pie"][..], &["-pie", "-fPIE"]] {
        let Some(program) = fixture("cc", flags) else { return };
        let (stub, uri) = Stub::gdbserver(&program, &[]);
        check(&uri);
        assert!(stub.ended(), "gdbserver ends with its process");
    }
}

#[test]
fn a_stub_says_what_ptrace_says() {
    let Some(program) = fixture("cc", &["-no-pie"]).filter(|_| has("gdbserver")) else { return };
    let line = "db main; dc; dr rip; pd 5; dbt~[6]; db sym.add; dbx rdi==3,rsi==3 @ sym.add; dc; dr=; ds 3; dr rip; \
                dr eax; dr zf; px 32 @ obj.glob; dm~fixture; dmm~fixture~?; drd; db; db-*; dsf; dr rip; dxs getppid~?; \
                dbw obj.glob w; dc; dr rip; db-*; dc";
    let near = debug(&format!("dbg://{}", program.display()), line);
    let (_stub, uri) = Stub::gdbserver(&program, &[]);
    let far = debug(&uri, line);
    // The stack begins behind the environment, which is another one there; processes have other numbers.
    let places = regex::Regex::new("0x7ff[f0-9a-f]{9}|0x[0]*7f[0-9a-f]{10}|^\\([0-9]+\\)").unwrap();
    let told = |text: &str| text.lines().map(|line| places.replace_all(line, "X").into_owned()).collect::<Vec<_>>();
    assert_eq!(told(&far.0), told(&near.0), "{}", far.1);
    assert_eq!(told(&far.1), told(&near.1));
}

#[test]
fn signals_forks_and_interrupts() {
    let Some(program) = fixture("cc", &["-no-pie"]).filter(|_| has("gdbserver")) else { return };
    let (_stub, uri) = Stub::gdbserver(&program, &["s"]);
    let (out, err) = debug(&uri, "dc; di~signal; dc");
    in_order(&err, &["SIGUSR1", "code=-6", "Process terminated by signal 10 SIGUSR1"]);
    assert!(out.contains("signal 10 SIGUSR1"), "{out}");
    let (_stub, uri) = Stub::gdbserver(&program, &["f"]);
    // The child runs without the breakpoint that its copy of the memory had.
    let (_, err) = debug(&uri, "db sym.add; dcf; db-*; dc");
    in_order(&err, &["hit breakpoint at"]);
    let (_stub, uri) = Stub::gdbserver(&program, &["f"]);
    let (_, err) = debug(&uri, "dcf; dc");
    in_order(&err, &["forked ", "Process terminated with status 55"]);
}

#[test]
fn lldb_server() {
    if !has("lldb-server-14") {
        return;
    }
    let Some(program) = fixture("cc", &["-no-pie"]) else { return };
    // It prints no port: it writes it to a pipe, or takes a socket.
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("stub");
    let mut command = Command::new("lldb-server-14");
    command.arg("gdbserver").arg(format!("unix://{}", socket.display())).arg("--").arg(&program);
    let _stub = Stub::start(&mut command, "");
    super::appears(&socket);
    check(&format!("gdb+unix://{}", socket.display()));
}

/// qemu-user for one architecture, with a program of a cross compiler.
fn qemu_user(qemu: &str, compiler: &str, flags: &[&str]) {
    if !has(qemu) {
        return;
    }
    let Some(program) = fixture(compiler, &[&["-static"], flags].concat()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("stub");
    let mut command = Command::new(qemu);
    command.arg("-g").arg(&socket).arg(&program);
    let stub = Stub::start(&mut command, "");
    super::appears(&socket);
    check(&format!("gdb://{}", socket.display()));
    assert!(stub.ended(), "{qemu} ends with its program");
}

#[test]
fn qemu_user_for_x86() {
    qemu_user("qemu-x86_64", "cc", &[]);
}

#[test]
fn qemu_user_for_arm64() {
    qemu_user("qemu-aarch64", "aarch64-linux-gnu-gcc", &[]);
}

#[test]
fn qemu_user_for_risc_v() {
    qemu_user("qemu-riscv64", "riscv64-linux-gnu-gcc", &[]);
}

#[test]
fn qemu_system() {
    if !has("qemu-system-x86_64") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("stub");
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-S", "-display", "none", "-monitor", "none", "-serial", "none", "-nodefaults", "-m", "16"]);
    command.arg("-chardev").arg(format!("socket,id=stub,server=on,wait=off,path={}", socket.display()));
    command.args(["-gdb", "chardev:stub"]);
    let stub = Stub::start(&mut command, "");
    super::appears(&socket);
    let line = "dr rip; px 16 @ 0xffff0; ds; dr cs; dpt~?; =!monitor info status; dpk";
    let (out, err) = debug(&format!("gdb://{}", socket.display()), line);
    // The processor begins at the reset vector, f000:fff0.
    in_order(&out, &["0x0000fff0", "0x000ffff0", "VM status: paused"]);
    assert!(err.contains("terminated") || err.is_empty(), "{err}");
    assert!(stub.ended(), "killing the machine ends it");
}

#[test]
fn valgrind() {
    if !has("vgdb") || !has("valgrind") {
        return;
    }
    let Some(program) = fixture("cc", &["-no-pie"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let prefix = format!("--vgdb-prefix={}/pipe", folder.path().display());
    let mut command = Command::new("valgrind");
    command.args(["--vgdb=full", "--vgdb-error=0", &prefix]).arg(&program);
    let stub = Stub::start(&mut command, "target remote");
    let pid = stub.process.id();
    let line =
        "db main; dc; ?v $$-main; db sym.add; dc; dc; pv8 @ obj.glob; ds 3; =!monitor v.info n_errs_found; db-*; dc";
    let (out, err) = debug(&format!("gdb+pipe:vgdb {prefix} --pid={pid}"), line);
    in_order(&out, &["0x0", "0x0000000000000000"]);
    assert!(format!("{out}{err}").contains("n_errs_found 0"), "{out}{err}");
    assert_eq!(err.matches("hit breakpoint at: 0x").count(), 3, "{out}{err}");
    in_order(&err, &["Process finished"]);
    assert!(stub.ended(), "valgrind ends with its program");
}

#[test]
fn rr() {
    if !has("rr") {
        return;
    }
    let Some(program) = fixture("cc", &["-no-pie"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let recorded = Command::new("rr").arg("record").arg(&program).env("_RR_TRACE_DIR", folder.path()).output();
    if !recorded.as_ref().is_ok_and(|output| output.status.code() == Some(55)) {
        let why = recorded.map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).unwrap_or_default();
        return absent("rr", why.lines().next().unwrap_or("it cannot record here"));
    }
    let mut command = Command::new("rr");
    command.args(["replay", "-s", "0", "-k"]).env("_RR_TRACE_DIR", folder.path());
    let stub = Stub::start(&mut command, "127.0.0.1:");
    let port = stub.number("127.0.0.1:");
    let (out, err) = debug(&format!("gdb://127.0.0.1:{port}"), "db sym.add; dc; dc; dcb; dsb; dr rip");
    assert!(err.matches("hit breakpoint").count() == 3 && out.contains("0x"), "{out}{err}");
}

#[test]
fn our_own_server() {
    let Some(program) = fixture("cc", &["-no-pie"]) else { return };
    let mut command = crate::harness::program();
    command.args(["gdbserver", "127.0.0.1:0"]).arg(&program);
    let stub = Stub::start(&mut command, "Listening on port");
    let port = stub.number("Listening on port ");
    check(&format!("gdb://127.0.0.1:{port}"));
    assert!(stub.ended(), "the server ends with its process");
}

#[test]
fn a_command_is_the_line() {
    let Some(program) = fixture("cc", &["-no-pie"]).filter(|_| has("gdbserver")) else { return };
    check(&format!("gdb+pipe:gdbserver --once - {} 2>/dev/null", program.display()));
}

#[test]
fn processes_are_started_and_attached_to_where_the_stub_can() {
    let Some(program) = fixture("cc", &["-no-pie"]) else { return };
    let mut command = crate::harness::program();
    command.args(["gdbserver", "--multi", "127.0.0.1:0"]);
    let stub = Stub::start(&mut command, "Listening on port");
    let port = stub.number("Listening on port ");
    let mut sleeper = Command::new(&program).arg("r").spawn().unwrap();
    let pid = sleeper.id();
    let (out, err) = debug(&format!("gdb://127.0.0.1:{port}/{pid}"), "dpe; dp~?; dbt~?; =!pid; =!detach; dr rip");
    in_order(&out, &[&program.display().to_string(), &format!("{pid} attached ")]);
    assert!(err.contains("Error: "), "nothing is left to look at: {err}");
    assert!(sleeper.try_wait().unwrap().is_none(), "it runs on");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

#[test]
fn a_program_that_is_not_here_is_fetched_and_kept() {
    let Some(program) = fixture("cc", &["-no-pie"]).filter(|_| has("gdbserver")) else { return };
    // A file system of its own for the stub, with the program in it and nowhere else.
    let script = "mount -t tmpfs none /mnt && cp \"$0\" /mnt/far-program && exec gdbserver --no-startup-with-shell 127.0.0.1:0 /mnt/far-program";
    let may = Command::new("unshare").args(["-m", "true"]).output().is_ok_and(|output| output.status.success());
    if !may {
        return absent("unshare", "a stub cannot be given a file system of its own here");
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(&program);
    let stub = Stub::start(&mut command, "Listening on port");
    let (out, err) =
        debug(&format!("gdb://127.0.0.1:{}", stub.number("Listening on port ")), "dpe; db main; dc; dbt; dc");
    in_order(&out, &["/mnt/far-program", "[far-program]  main"]);
    in_order(&err, &["hit breakpoint at", "Process finished"]);
    let kept = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("gdbclient-home/remora/programs");
    let same = std::fs::read(&program).unwrap();
    let found = std::fs::read_dir(kept)
        .unwrap()
        .flatten()
        .any(|entry| std::fs::read(entry.path()).is_ok_and(|bytes| bytes == same));
    assert!(found, "it is kept by its build id");
}
