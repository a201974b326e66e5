//! Files of the stub's machine, the program and its libraries: by `vFile`, or from this machine when the very same file
//! is here.

use std::collections::HashMap;
use std::fs::File as Local;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::identity::Identity;
use super::line::Inner;
use super::stub::Works;
use crate::debug::{Map, ProcessId, Protection};
use crate::error::{Error, Kind, Result};
use crate::protocol::rsp::Request;
use crate::protocol::rsp::file::{File, Outcome};
use crate::protocol::rsp::memory::{Memory, Region};

/// Most bytes of a file in `/proc`.
const PROC: usize = 16 << 20;

/// Most files that are kept in mind.
const KEPT: usize = 64;

/// Most regions that are asked for one by one.
const REGIONS: usize = 4096;

/// What is known of files.
#[derive(Default)]
pub struct Files {
    /// Files of this machine may be read in place of those over there, when they are the same.
    pub local: bool,
    /// Where files from over there are kept; `None`: nowhere.
    pub kept: Option<PathBuf>,
    /// Files of this machine that are the same, by process and path over there.
    same: HashMap<(ProcessId, String), Option<Local>>,
    /// The file that is open over there.
    open: Option<(ProcessId, String, u64)>,
    /// The process whose file system the stub means.
    system: Option<ProcessId>,
}

impl Files {
    /// Nothing is known yet.
    pub fn new(local: bool, kept: Option<PathBuf>) -> Files {
        Files { local, kept, ..Files::default() }
    }

    /// Another program runs.
    pub fn forget(&mut self) {
        self.same.clear();
    }
}

fn failed(path: &str, errno: u32) -> Error {
    let kind = match errno {
        2 | 20 => Kind::NotFound,
        1 | 13 => Kind::Permission,
        _ => Kind::System,
    };
    let why = match errno {
        1 | 13 => "permission denied".to_string(),
        2 => "no such file".to_string(),
        errno => format!("error {errno}"),
    };
    Error::new(kind, format!("the stub cannot read '{}': {why}", crate::output::visible(path)))
}

impl Inner {
    fn file(&mut self, file: File) -> Result<Outcome> {
        let reply = self.ask(&Request::File(file))?;
        self.outcome(&reply)
    }

    fn outcome(&mut self, reply: &[u8]) -> Result<Outcome> {
        if reply.is_empty() {
            self.stub.files = Works::No;
            return Err(crate::debug::cannot("read files"));
        }
        Outcome::parse(reply).map_err(|_| Error::new(Kind::Protocol, "the stub does not answer for a file"))
    }

    /// Opens a file over there, unless it is open.
    fn open_file(&mut self, process: ProcessId, path: &str) -> Result<u64> {
        if self.stub.files == Works::No || self.stub.naive {
            return Err(crate::debug::cannot("read files"));
        }
        if let Some((owner, name, descriptor)) = &self.files.open
            && (*owner, name.as_str()) == (process, path)
        {
            return Ok(*descriptor);
        }
        let mut requests = Vec::new();
        if let Some((_, _, descriptor)) = self.files.open.take() {
            requests.push(Request::File(File::Close(descriptor)).payload());
        }
        if self.files.system != Some(process) {
            self.files.system = Some(process);
            let meant = if self.stub.multiprocess || self.stub.process.is_some() { process.into() } else { 0 };
            requests.push(Request::File(File::FileSystem(meant)).payload());
        }
        requests.push(Request::File(File::Open { path: path.to_string(), flags: 0, mode: 0 }).payload());
        let replies = self.flight(&requests)?;
        match self.outcome(replies.last().map_or(&[][..], Vec::as_slice))? {
            Outcome::Done(descriptor) => {
                self.stub.files = Works::Yes;
                self.files.open = Some((process, path.to_string(), descriptor));
                Ok(descriptor)
            }
            Outcome::Failed(errno) => {
                self.stub.files = Works::Yes;
                Err(failed(path, errno))
            }
            Outcome::Bytes(_) => Err(Error::new(Kind::Protocol, "the stub answers with a file that was not opened")),
        }
    }

    /// Closes what is open over there: whoever is about to leave does.
    pub fn close_file(&mut self) {
        if let Some((_, _, descriptor)) = self.files.open.take() {
            let _ = self.file(File::Close(descriptor));
        }
    }

    /// Reads a file as the stub has it.
    pub fn read_far(&mut self, process: ProcessId, path: &str, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let descriptor = self.open_file(process, path)?;
        // Bytes that need an escape take two; stubs cut short what does not fit.
        let piece = self.stub.packet.saturating_sub(32).max(16);
        let mut done = 0;
        // A file that has given whole pieces has probably more of them: they are asked for together.
        let mut together = 1;
        while done < buffer.len() {
            let mut requests = Vec::new();
            let mut at = done;
            while at < buffer.len() && requests.len() < together {
                let count = piece.min(buffer.len() - at);
                let offset = offset.saturating_add(at as u64);
                requests.push((count, Request::File(File::Read { descriptor, count: count as u64, offset }).payload()));
                at += count;
                // What is short says where the next begins.
                if !self.connection.pipelines() {
                    break;
                }
            }
            let payloads: Vec<Vec<u8>> = requests.iter().map(|(_, payload)| payload.clone()).collect();
            let replies = self.flight(&payloads)?;
            let before = done;
            for ((wanted, _), reply) in requests.iter().zip(replies) {
                match self.outcome(&reply)? {
                    Outcome::Bytes(bytes) => {
                        let count = bytes.len().min(*wanted);
                        buffer[done..done + count].copy_from_slice(&bytes[..count]);
                        done += count;
                        if count == 0 {
                            return Ok(done);
                        }
                        if count < *wanted {
                            together = 0;
                            break;
                        }
                    }
                    Outcome::Done(_) => return Ok(done),
                    Outcome::Failed(errno) if done == 0 => return Err(failed(path, errno)),
                    Outcome::Failed(_) => return Ok(done),
                }
            }
            if done == before {
                break;
            }
            together = (together * 4).clamp(1, (1usize << 20).div_ceil(piece).min(16));
        }
        Ok(done)
    }

    /// The whole of a file over there, up to `limit` bytes.
    pub fn fetch_file(&mut self, process: ProcessId, path: &str, limit: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut piece = vec![0; (self.stub.packet * 8).clamp(64 * 1024, 1 << 20)];
        loop {
            let count = self.read_far(process, path, bytes.len() as u64, &mut piece)?;
            bytes.extend_from_slice(&piece[..count]);
            // It is short at the end alone.
            if count < piece.len() {
                return Ok(bytes);
            }
            if bytes.len() > limit {
                let text = format!("'{}' has more than {limit} bytes", crate::output::visible(path));
                return Err(Error::new(Kind::Limit, text));
            }
        }
    }

    /// A file of the machine that the process sees: the same file of this machine when it is one, else the stub's.
    pub fn read_file(&mut self, process: ProcessId, path: &str, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let key = (process, path.to_string());
        let loaded = path.starts_with('/') && !path.starts_with("/proc/");
        if loaded && !self.files.same.contains_key(&key) {
            let same = self.same_file(process, path);
            if self.files.same.len() >= KEPT {
                self.files.same.clear();
            }
            self.files.same.insert(key.clone(), same);
        }
        if let Some(Some(file)) = self.files.same.get(&key) {
            let mut done = 0;
            while done < buffer.len() {
                match file.read_at(&mut buffer[done..], offset.saturating_add(done as u64)) {
                    Ok(0) => break,
                    Ok(count) => done += count,
                    Err(error) => return Err(Error::system(path, &error)),
                }
            }
            return Ok(done);
        }
        self.read_far(process, path, offset, buffer)
    }

    /// The file of this machine that is what the process has loaded from `path`: at the same path, or one that was
    /// fetched before.
    fn same_file(&mut self, process: ProcessId, path: &str) -> Option<Local> {
        let identity = self.loaded(process, path)?;
        let open = |place: &Path| {
            let file = Local::open(place).ok()?;
            (file.metadata().ok()?.is_file() && Identity::of_file(&file)? == identity).then_some(file)
        };
        if self.files.local
            && let Some(file) = open(Path::new(path))
        {
            return Some(file);
        }
        let kept = self.files.kept.clone()?.join(identity.file_name()?);
        if let Some(file) = open(&kept) {
            return Some(file);
        }
        let bytes = self.fetch_file(process, path, 512 << 20).ok()?;
        crate::link::private::create(&kept, &bytes).ok()?;
        open(&kept)
    }

    /// What the program or library from `path` is, as its first page in memory says.
    fn loaded(&mut self, process: ProcessId, path: &str) -> Option<Identity> {
        let start = match self.program_path(process) {
            Some(program) if program == path => self.program_start(process)?,
            _ => {
                let modules = self.modules(process).ok()?;
                modules.iter().find(|module| module.path == path).map(|module| module.start.unwrap_or(module.bias))?
            }
        };
        let mut page = vec![0; super::memory::LINE as usize];
        let count = self.read(process, start, &mut page).ok()?;
        Identity::parse(&page[..count])
    }

    /// The memory map.
    pub fn maps(&mut self, process: ProcessId) -> Result<Vec<Map>> {
        if let Some(maps) = self.known.maps.get(&process) {
            return Ok(maps.clone());
        }
        let maps = self.find_maps(process)?;
        self.known.maps.insert(process, maps.clone());
        Ok(maps)
    }

    fn find_maps(&mut self, process: ProcessId) -> Result<Vec<Map>> {
        self.stopped()?;
        if self.stub.files != Works::No && !self.stub.naive {
            let text = self.fetch_file(process, &format!("/proc/{process}/maps"), PROC);
            self.close_file();
            let maps: Vec<Map> = text
                .map(|text| String::from_utf8_lossy(&text).lines().filter_map(Map::parse).collect())
                .unwrap_or_default();
            if !maps.is_empty() {
                return Ok(maps);
            }
        }
        if self.stub.regions != Works::No && !self.stub.naive {
            let maps = self.regions()?;
            if !maps.is_empty() {
                return Ok(maps);
            }
        }
        if self.stub.has("qXfer:memory-map:read")
            && let Ok(text) = self.object("memory-map", "")
            && let Ok(regions) = crate::protocol::rsp::description::memory(&String::from_utf8_lossy(&text))
            && !regions.is_empty()
        {
            let map = |region: crate::protocol::rsp::description::Region| Map {
                start: region.start,
                end: region.start.saturating_add(region.length),
                protection: Protection { read: true, write: region.kind == "ram", execute: true },
                shared: false,
                offset: 0,
                name: Some(format!("[{}]", region.kind)),
            };
            return Ok(regions.into_iter().map(map).collect());
        }
        // Nobody says what is mapped: everything may be.
        let bits = self.registers(process)?.layout.bits;
        let end = if bits >= 64 { u64::MAX } else { 1 << bits };
        let protection = Protection { read: true, write: true, execute: true };
        Ok(vec![Map { start: 0, end, protection, shared: false, offset: 0, name: None }])
    }

    /// LLDB's way, region by region.
    fn regions(&mut self) -> Result<Vec<Map>> {
        let mut maps = Vec::new();
        let mut at = 0;
        for _ in 0..REGIONS {
            let reply = self.ask(&Request::Memory(Memory::Region(at)))?;
            let Ok(region) = Region::parse(&reply) else {
                if at == 0 {
                    self.stub.regions = Works::No;
                }
                break;
            };
            let end = region.start.checked_add(region.size).filter(|_| region.size > 0).unwrap_or(u64::MAX);
            if let Some(letters) = &region.permissions {
                let has = |letter| letters.contains(letter);
                maps.push(Map {
                    start: region.start,
                    end,
                    protection: Protection { read: has('r'), write: has('w'), execute: has('x') },
                    shared: false,
                    offset: 0,
                    name: Some(region.name).filter(|name| !name.is_empty()),
                });
            }
            // One that does not get on has no end.
            if end <= at || end == u64::MAX {
                break;
            }
            at = end;
        }
        Ok(maps)
    }
}
