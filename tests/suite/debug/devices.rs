//! Processes as devices: started, attached to, read while they run, and listed.

use std::fs;

use remora::error::Kind;
use remora::io::{Access, Open, plugin};
use remora::session::{Permissions, View};
use remora::uri::Uri;

use super::attach::Sleepers;
use super::fixture;
use crate::harness::{remora, run, session};

fn open(uri: &str, access: Access) -> remora::error::Result<Box<dyn remora::io::Device>> {
    plugin::open(&Uri::parse(uri), &Open { access, ..Open::default() })
}

/// Where the program itself begins in a process's memory.
fn start_of(pid: u32) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the process is there");
    let line = maps.lines().find(|line| line.contains("sleepers")).expect("its program is mapped");
    u64::from_str_radix(line.split('-').next().expect("a start"), 16).expect("a number")
}

#[test]
fn a_running_process_is_read_and_written() {
    let Some(program) = fixture("sleepers") else { return };
    let mut sleepers = Sleepers::start(&program, 1);
    let pid = sleepers.child.id();
    let start = start_of(pid);
    for scheme in ["procpid", "pvm"] {
        let uri = format!("{scheme}://{pid}");
        let mut device = open(&uri, Access::RWX).unwrap();
        let mut bytes = [0; 4];
        assert_eq!(device.read_at(start, &mut bytes).unwrap(), 4);
        assert_eq!(&bytes, b"\x7fELF");
        assert_eq!(device.read_at(0, &mut bytes).unwrap(), 0);
        assert_eq!(device.next_data(0), Some(start), "{uri}");
        assert!(device.target().is_none());
        // Code is not to be written by the process itself; /proc/PID/mem does not ask.
        let written = device.write_at(start + 8, b"r").unwrap();
        assert_eq!(written, usize::from(scheme == "procpid"), "{uri}");
        assert_eq!(open(&uri, Access::RX).unwrap().write_at(start, b"x").unwrap_err().kind(), Kind::Permission);
        let said = run(&mut session(&uri), &format!("p8 4 @ {start}"));
        assert_eq!((said.out.as_str(), said.err.as_str()), ("7f454c46\n", ""));
    }
    sleepers.poke();
    assert_eq!(sleepers.line(), "turn 1");
    let mut device = open(&format!("procpid://{pid}"), Access::RX).unwrap();
    sleepers.end();
    assert_eq!(device.read_at(start, &mut [0; 4]).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(open("procpid://x", Access::RX).err().unwrap().kind(), Kind::Usage);
    assert_eq!(open("pvm://2147483640", Access::RX).err().unwrap().kind(), Kind::NotFound);
}

#[test]
fn processes_are_listed() {
    let said = run(&mut session("malloc://16"), "o proc://;ps 100000 @ 0");
    assert!(said.err.is_empty(), "{}", said.err);
    let own = format!("{:7} ", std::process::id());
    assert!(said.out.contains("command") && said.out.contains(own.trim()), "{}", said.out);
    assert_eq!(open("proc://", Access::RWX).err().unwrap().kind(), Kind::Permission);
}

#[test]
fn a_started_and_an_attached_process_are_devices() {
    let Some(program) = fixture("sleepers") else { return };
    let mut sleepers = Sleepers::start(&program, 1);
    let pid = sleepers.child.id();
    let start = start_of(pid);
    for scheme in ["dbg", "attach"] {
        let mut debugged = session(&format!("{scheme}://{pid}"));
        let said = run(&mut debugged, &format!("p8 4 @ {start};w X @ {};p8 4 @ {start}", start + 8));
        assert_eq!((said.out.as_str(), said.err.as_str()), ("7f454c46\n7f454c46\n", ""));
        debugged.with(|core, _| {
            let fd = core.io.current().unwrap();
            let target = core.io.descriptor_mut(fd).unwrap().device().target().unwrap();
            assert_eq!(target.processes().unwrap()[0].id, pid);
            assert!(target.processes().unwrap()[0].attached);
        });
        drop(debugged);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.contains("TracerPid:\t0\n"));
    }
    sleepers.poke();
    assert_eq!(sleepers.line(), "turn 1");
    sleepers.end();
}

#[test]
fn the_program_debugs_with_arguments() {
    let Some(program) = fixture("single") else { return };
    let path = program.to_string_lossy();
    let output = remora(&["-d", &path, "3", "--", "-x", "-qc", "s"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = remora(&["-d", "-qc", "p8 1 @ $$;o", &path, "3"]);
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // The loader's first instruction is `mov rdi, rsp` everywhere that counts.
    assert!(said.starts_with("48\n") && said.contains("dbg://"), "{said}{wrong}");
    let output = remora(&["-qc", "s", "dbg:///nonexistent/program"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("cannot run '/nonexistent/program': No such file"), "{said}");
}

#[test]
fn processes_need_their_permission() {
    let reader = View { permissions: Permissions::ALL.without(Permissions::DEBUG), ..View::default() };
    for uri in ["dbg:///bin/ls", "attach://1", "procpid://1", "pvm://1", "proc://"] {
        let error = reader.may_open(&Uri::parse(uri), Access::RX).unwrap_err();
        assert_eq!(error.kind(), Kind::Permission, "{uri}: {error}");
    }
}
