//! `gdb://host:port` and relatives: what a stub of GDB's remote protocol controls. The bytes are the memory of the
//! current process; `=!` has the stub's own commands.

mod console;

use std::path::PathBuf;

use super::{Plugin, Touches};
use crate::debug::gdb::{Gdb, Reach};
use crate::debug::{Process, Target};
use crate::error::{Error, Kind, Result};
use crate::io::{Access, Device, Info, Latency, Open, Read};
use crate::link::gdb::{Connection, Place};
use crate::output::Executor;
use crate::uri::Uri;

use console::Console;

/// The plugin for sockets.
pub const PLUGIN: Plugin = Plugin {
    name: "gdb",
    schemes: &["gdb", "gdb+tls", "gdbs"],
    summary: "what gdbserver, QEMU, valgrind, rr or a probe controls; with /pid that process is attached to",
    example: "gdb://127.0.0.1:1234",
    writes: true,
    touches: Touches::Debugger,
    open,
};

/// The plugin for sockets and lines that are files of this machine.
pub const SERIAL: Plugin = Plugin {
    name: "gdb-file",
    schemes: &["gdb+unix", "gdb+serial"],
    summary: "the same at a Unix socket or a serial line (path@speed)",
    example: "gdb+serial:/dev/ttyS0@115200",
    writes: true,
    touches: Touches::DebuggerFile,
    open,
};

/// The plugin for commands.
pub const PIPE: Plugin = Plugin {
    name: "gdb-pipe",
    schemes: &["gdb+pipe"],
    summary: "the same by the standard input and output of a command",
    example: "gdb+pipe:ssh host gdbserver - /bin/ls",
    writes: true,
    touches: Touches::Command,
    open,
};

fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    let (place, process) = Place::parse(uri)?;
    let (link, first_use) = place.connect(&open.security, open.timeout, &open.cancel)?;
    if let Some(first) = first_use {
        open.notices.push(first.to_string());
    }
    let connection = Connection::new(link, open.timeout, open.cancel.clone());
    // Another machine's client, or one that is kept beneath a directory, reads no files of ours by a detour.
    let own = !open.security.anonymous && open.root.is_none();
    let reach = Reach { local: own, kept: if own { cache() } else { None } };
    let target = Gdb::open(connection, reach, process)?;
    Ok(Box::new(Stub { console: Console::new(target.clone()), target }))
}

/// Where programs from other machines are kept.
fn cache() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("remora/programs"))
}

/// A stub as a device.
struct Stub {
    target: Gdb,
    console: Console,
}

impl Stub {
    fn process(&self) -> Result<u32> {
        let current = self.target.current();
        current.map(|thread| thread.process).ok_or_else(|| {
            Error::new(Kind::NotFound, "the stub controls no process")
                .hint("'dpa PID' attaches to one, 'doo PROGRAM' starts one, if the stub can")
        })
    }
}

impl Device for Stub {
    fn info(&self) -> Info {
        Info { size: None, access: Access::RWX, latency: Latency::Remote }
    }

    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let process = self.process()?;
        self.target.read_memory(process, address, buffer)
    }

    fn read_many(&mut self, reads: &mut [Read<'_>]) -> Result<()> {
        let process = self.process()?;
        for read in reads {
            read.done = self.target.read_memory(process, read.address, read.buffer)?;
        }
        Ok(())
    }

    fn write_at(&mut self, address: u64, data: &[u8]) -> Result<usize> {
        let process = self.process()?;
        self.target.write_memory(process, address, data)
    }

    fn next_data(&mut self, address: u64) -> Option<u64> {
        let process = self.process().ok()?;
        let maps = self.target.maps(process).ok()?;
        let readable = maps.into_iter().filter(|map| map.protection.read || map.protection.write);
        readable.map(|map| map.start).find(|start| *start > address)
    }

    fn executor(&mut self) -> Option<&mut dyn Executor> {
        Some(&mut self.console)
    }

    fn target(&mut self) -> Option<&mut dyn Target> {
        Some(&mut self.target)
    }
}

/// The processes in one line each, for people.
fn shown(process: &Process) -> String {
    let path = process.program.as_deref().unwrap_or("?");
    let how = if process.attached { "attached" } else { "started" };
    format!("{} {how} {}", process.id, crate::output::visible(path))
}
