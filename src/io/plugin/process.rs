//! Processes of this machine that run on: `procpid://PID` and `pvm://PID` are the memory of one, which is neither
//! stopped nor asked; `proc://` is a list of them.

use super::{Plugin, Touches};
use crate::error::{Error, Kind, Result};
use crate::io::{Device, Open};
use crate::uri::Uri;

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    name: "process",
    schemes: &["procpid", "pvm", "proc"],
    summary: "the memory of a running process, by /proc/PID/mem or process_vm_readv; proc:// lists the processes",
    example: "procpid://1",
    writes: true,
    touches: Touches::Processes,
    open,
};

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn open(_uri: &Uri, _open: &Open) -> Result<Box<dyn Device>> {
    Err(Error::new(Kind::Unsupported, "processes of this system cannot be read yet"))
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    if uri.scheme() == Some("proc") {
        return linux::list(uri, open);
    }
    let pid = uri
        .rest()
        .parse()
        .map_err(|_| Error::new(Kind::Usage, "a process is named by its number").hint("proc:// lists the processes"))?;
    linux::memory(pid, uri.scheme() == Some("pvm"), open)
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod linux {
    use crate::debug::ptrace::{Running, proc};
    use crate::error::{Error, Kind, Result};
    use crate::io::{Access, Device, Info, Latency, Open};
    use crate::output::visible;
    use crate::uri::Uri;

    /// The list of processes as text.
    pub fn list(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
        if open.access.write {
            return Err(Error::new(Kind::Permission, "the list of processes cannot be written"));
        }
        let wanted = uri.rest();
        let mut text = String::from("    pid    ppid   uid s command\n");
        for process in proc::processes()?.into_iter().filter(|process| process.command.contains(wanted)) {
            let command = visible(&process.command).into_owned();
            let (id, parent, user, state) = (process.id, process.parent, process.user, process.state);
            text.push_str(&format!("{id:7} {parent:7} {user:5} {state} {command}\n"));
        }
        Ok(Box::new(List(text.into_bytes())))
    }

    struct List(Vec<u8>);

    impl Device for List {
        fn info(&self) -> Info {
            let access = Access { read: true, write: false, execute: false };
            Info { size: Some(self.0.len() as u64), access, latency: Latency::Local }
        }

        fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
            let start = usize::try_from(address).unwrap_or(usize::MAX).min(self.0.len());
            let rest = &self.0[start..];
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }
    }

    /// The memory of a running process.
    pub fn memory(pid: u32, only_own: bool, open: &Open) -> Result<Box<dyn Device>> {
        let running = Running::open(pid, only_own)?;
        Ok(Box::new(Memory { running, access: open.access }))
    }

    struct Memory {
        running: Running,
        access: Access,
    }

    impl Device for Memory {
        fn info(&self) -> Info {
            Info { size: None, access: self.access, latency: Latency::Local }
        }

        fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
            self.running.read(address, buffer)
        }

        fn write_at(&mut self, address: u64, data: &[u8]) -> Result<usize> {
            if !self.access.write {
                return Err(Error::new(Kind::Permission, "the process is open read-only").hint("reopen with oo+"));
            }
            self.running.write(address, data)
        }

        fn next_data(&mut self, address: u64) -> Option<u64> {
            let maps = proc::maps(self.running.process()).ok()?;
            let readable = maps.into_iter().filter(|map| map.protection.read || map.protection.write);
            readable.map(|map| map.start).find(|start| *start > address)
        }
    }
}
