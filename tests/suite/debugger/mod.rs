//! The `d` commands over processes of their own.

use std::path::PathBuf;
use std::process::Command;

use remora::debug::ptrace::Ptrace;
use remora::debug::{Launch, Target};
use remora::error::Result;
use remora::io::{Access, Device, Info, Latency};
use remora::session::Session;

use crate::harness::run;

struct Process(Ptrace);

impl Device for Process {
    fn info(&self) -> Info {
        Info { size: None, access: Access::RWX, latency: Latency::Local }
    }
    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        match self.0.current() {
            Some(thread) => self.0.read_memory(thread.process, address, buffer),
            None => Ok(0),
        }
    }
    fn write_at(&mut self, address: u64, data: &[u8]) -> Result<usize> {
        match self.0.current() {
            Some(thread) => self.0.write_memory(thread.process, address, data),
            None => Ok(0),
        }
    }
    fn target(&mut self) -> Option<&mut dyn Target> {
        Some(&mut self.0)
    }
}

const PROGRAM: &str = r#"
#include <stdio.h>
#include <unistd.h>
volatile long glob = 0x1234;
__attribute__((noinline)) long add(long a, long b) { glob = a + b; return glob; }
__attribute__((noinline)) long loop(long n) { long sum = 0; for (long i = 0; i < n; i++) sum = add(sum, i); return sum; }
int main(int argc, char **argv) {
    long sum = loop(10);
    write(1, "hi\n", 3);
    if (fork() == 0) { _exit(3); }
    return (int)sum + 10;
}
"#;

fn build() -> Option<(tempfile::TempDir, PathBuf)> {
    let folder = tempfile::TempDir::new().unwrap();
    let source = folder.path().join("fx.c");
    std::fs::write(&source, PROGRAM).unwrap();
    let program = folder.path().join("fx");
    let built = Command::new("cc").args(["-g", "-O0", "-no-pie", "-o"]).arg(&program).arg(&source).status();
    match built {
        Ok(status) if status.success() => Some((folder, program)),
        _ => {
            eprintln!("ABSENT: cc (the debugger's commands are not tested)");
            None
        }
    }
}

fn address(program: &std::path::Path, name: &str) -> u64 {
    let out = Command::new("nm").arg(program).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let line = text.lines().find(|line| line.ends_with(&format!(" {name}"))).unwrap();
    u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap()
}

#[test]
fn try_it() {
    let Some((_folder, program)) = build() else { return };
    let target = Ptrace::start(&Launch::new(program.to_str().unwrap(), vec![])).unwrap();
    let mut session = Session::new();
    session.with(|core, view| {
        let fd = core.io.adopt("dbg://fx", Access::RWX, Box::new(Process(target)));
        core.io.map_whole(fd, 0).unwrap();
        for name in ["main", "add", "loop", "glob"] {
            core.flags.set(name, address(&program, name), 1);
        }
        view.seek = 0;
    });
    for line in std::fs::read_to_string("/tmp/dcmds").unwrap().lines() {
        let said = run(&mut session, line);
        println!("> {line}\n{}{}", said.out, said.err);
    }
}
