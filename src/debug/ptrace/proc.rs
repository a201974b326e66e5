//! What /proc tells about processes.

use std::fs;
use std::io::Read;
use std::path::Path;

use crate::debug::{Descriptor, Map, ProcessId, ThreadId};
use crate::error::{Error, Kind, Result};

use super::sys::Tid;

/// Most bytes that are read of a file of /proc.
const LIMIT: u64 = 64 << 20;

fn read(path: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether `tid` is a thread of `process`.
pub fn is_thread_of(process: ProcessId, tid: Tid) -> bool {
    Path::new(&format!("/proc/{process}/task/{tid}")).exists()
}

/// The fields of `/proc/.../stat` behind the name.
fn stat(path: &str) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(&read(path).ok()?).into_owned();
    let rest = &text[text.rfind(')')? + 1..];
    Some(rest.split_ascii_whitespace().map(str::to_string).collect())
}

/// Whether a thread has ended and was not collected yet.
pub fn is_zombie(tid: Tid) -> bool {
    stat(&format!("/proc/{tid}/stat"))
        .is_none_or(|fields| matches!(fields.first().map(String::as_str), Some("Z" | "X")))
}

/// The processor that a thread ran on last.
pub fn core(thread: ThreadId) -> Option<u32> {
    let fields = stat(&format!("/proc/{}/task/{}/stat", thread.process, thread.thread))?;
    fields.get(36)?.parse().ok()
}

/// The name of a thread.
pub fn name(thread: ThreadId) -> Option<String> {
    let bytes = read(&format!("/proc/{}/task/{}/comm", thread.process, thread.thread)).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_string())
}

/// The parent of a process.
pub fn parent(process: ProcessId) -> Option<ProcessId> {
    stat(&format!("/proc/{process}/stat"))?.get(1)?.parse().ok()
}

/// The program of a process.
pub fn program(process: ProcessId) -> Result<String> {
    let path = fs::read_link(format!("/proc/{process}/exe"))
        .map_err(|error| Error::system(format!("cannot tell the program of the process {process}"), &error))?;
    Ok(path.to_string_lossy().into_owned())
}

/// A field of `/proc/PID/status`.
pub fn status(process: ProcessId, field: &str) -> Option<String> {
    status_of(process as Tid, field)
}

/// The same of a thread.
pub fn status_of(tid: Tid, field: &str) -> Option<String> {
    let text = String::from_utf8_lossy(&read(&format!("/proc/{tid}/status")).ok()?).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().to_string())
}

/// The threads of a process.
pub fn threads(process: ProcessId) -> std::io::Result<Vec<Tid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{process}/task"))? {
        if let Some(tid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            found.push(tid);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The files that a process has open, by their numbers. One that is closed in the meantime is left out.
pub fn descriptors(process: ProcessId) -> Result<Vec<Descriptor>> {
    let folder = fs::read_dir(format!("/proc/{process}/fd"))
        .map_err(|error| Error::system(format!("cannot list the open files of {process}"), &error))?;
    let mut numbers: Vec<u32> = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    let descriptor = |number: u32| {
        let path = fs::read_link(format!("/proc/{process}/fd/{number}")).ok()?.to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&read(&format!("/proc/{process}/fdinfo/{number}")).ok()?).into_owned();
        let field = |name| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let flags = field("flags:").and_then(|octal| u32::from_str_radix(octal, 8).ok()).unwrap_or(0);
        let position = field("pos:").and_then(|position| position.parse().ok()).unwrap_or(0);
        Some(Descriptor { number, flags, position, path })
    };
    Ok(numbers.into_iter().filter_map(descriptor).collect())
}

/// The auxiliary vector of a process.
pub fn auxv(process: ProcessId) -> Result<Vec<u8>> {
    read(&format!("/proc/{process}/auxv"))
        .map_err(|error| Error::system(format!("cannot read the auxiliary vector of {process}"), &error))
}

/// A process of this machine, for those who choose one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub id: ProcessId,
    /// Its parent.
    pub parent: ProcessId,
    /// The user it runs as.
    pub user: u32,
    /// Its state: `R` runs, `S` sleeps, `T` stopped, `t` traced, `Z` ended.
    pub state: char,
    /// Its command line, or its name in brackets; may hold terminal escapes.
    pub command: String,
}

/// The processes of this machine, by their numbers.
pub fn processes() -> Result<Vec<Listed>> {
    let folder = fs::read_dir("/proc").map_err(|error| Error::system("cannot list processes", &error))?;
    let numbers = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // One that ends in the meantime is not listed.
    let mut listed: Vec<Listed> = numbers.filter_map(listed).collect();
    listed.sort_by_key(|process| process.id);
    Ok(listed)
}

fn listed(id: ProcessId) -> Option<Listed> {
    let fields = stat(&format!("/proc/{id}/stat"))?;
    let line = read(&format!("/proc/{id}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
    let command = if line.is_empty() {
        let name = name(ThreadId { process: id, thread: id.into() })?;
        format!("[{name}]")
    } else {
        line
    };
    let user = status(id, "Uid").and_then(|ids| ids.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0);
    Some(Listed { id, parent: fields.get(1)?.parse().ok()?, user, state: fields.first()?.chars().next()?, command })
}

/// The memory map of a process.
pub fn maps(process: ProcessId) -> Result<Vec<Map>> {
    let text = read(&format!("/proc/{process}/maps")).map_err(|error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::System };
        Error::new(kind, format!("cannot read the maps of the process {process}: {}", crate::error::plain(&error)))
    })?;
    Ok(String::from_utf8_lossy(&text).lines().filter_map(Map::parse).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_maps_are_understood() {
        let found =
            Map::parse("7f00-8f00 r-xp 00001000 08:01 42                         /usr/lib/with blank.so").unwrap();
        assert_eq!((found.start, found.end, found.offset), (0x7f00, 0x8f00, 0x1000));
        assert_eq!((found.protection.to_string().as_str(), found.shared), ("r-x", false));
        assert_eq!(found.name.as_deref(), Some("/usr/lib/with blank.so"));
        let found = Map::parse("0-1000 ---s 00000000 00:00 0 ").unwrap();
        assert_eq!((found.name, found.shared), (None, true));
        assert!(Map::parse("nonsense").is_none() && Map::parse("").is_none());
    }

    #[test]
    fn the_own_process_is_listed() {
        let own = std::process::id();
        let listed = processes().unwrap();
        assert!(listed.iter().any(|process| process.id == own && process.command.contains("remora")));
        assert!(maps(own).unwrap().windows(2).all(|pair| pair[0].end <= pair[1].start));
        assert!(threads(own).unwrap().contains(&(own as Tid)));
    }
}
