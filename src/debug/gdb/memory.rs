//! Memory: lines of it that are kept until something runs, the largest pieces that the stub takes, and bytes that hide
//! the traps that we wrote ourselves.

use std::collections::HashMap;

use super::line::Inner;
use super::stub::{Reads, Works};
use crate::debug::ProcessId;
use crate::error::{Error, Kind, Result};
use crate::protocol::rsp::Request;
use crate::protocol::rsp::memory::Memory;
use crate::protocol::rsp::reply::Reply;
use crate::protocol::rsp::wire::unhex;

/// Bytes of a line: a page.
pub const LINE: u64 = 4096;

/// Lines that are kept: 16 MiB.
const KEPT: usize = 4096;

/// Reads from this length on go past the lines.
const BYPASS: usize = 64 * LINE as usize;

/// What is kept, by process and line; short: the rest cannot be read.
#[derive(Default)]
pub struct Cache {
    lines: HashMap<(ProcessId, u64), Vec<u8>>,
}

impl Cache {
    /// Nothing holds any more.
    pub fn forget(&mut self) {
        self.lines.clear();
    }

    fn keep(&mut self, key: (ProcessId, u64), bytes: Vec<u8>) {
        if self.lines.len() >= KEPT {
            self.lines.clear();
        }
        self.lines.insert(key, bytes);
    }
}

/// A piece to read.
#[derive(Debug, Clone, Copy)]
struct Piece {
    address: u64,
    length: usize,
}

impl Inner {
    /// Reads memory; the answer is how many bytes could be read from the start.
    pub fn read(&mut self, process: ProcessId, address: u64, buffer: &mut [u8]) -> Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let room = u64::MAX - address;
        let length = buffer.len().min(usize::try_from(room).unwrap_or(usize::MAX).saturating_add(1));
        let buffer = &mut buffer[..length];
        let done = if length >= BYPASS {
            self.read_through(process, address, buffer)?
        } else {
            self.read_lines(process, address, buffer)?
        };
        self.points.hide(process, address, &mut buffer[..done]);
        Ok(done)
    }

    fn read_lines(&mut self, process: ProcessId, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let last = address + (buffer.len() as u64 - 1);
        let wanted: Vec<u64> = (address / LINE..=last / LINE).map(|line| line * LINE).collect();
        self.fetch(process, &wanted)?;
        let mut done = 0;
        while done < buffer.len() {
            let here = address + done as u64;
            let line = here / LINE * LINE;
            let at = (here - line) as usize;
            let Some(found) = self.memory.lines.get(&(process, line)) else { break };
            let rest = found.get(at..).unwrap_or_default();
            let count = rest.len().min(buffer.len() - done);
            if count == 0 {
                // The line as a whole could not be read: perhaps what is asked for can.
                let end = (buffer.len() - done).min((LINE as usize) - at);
                let count = self.read_exactly(process, here, &mut buffer[done..done + end])?;
                done += count;
                if count < end {
                    break;
                }
                continue;
            }
            buffer[done..done + count].copy_from_slice(&rest[..count]);
            done += count;
        }
        Ok(done)
    }

    /// Makes the lines at `wanted` known.
    pub fn fetch(&mut self, process: ProcessId, wanted: &[u64]) -> Result<()> {
        self.fetch_with(process, wanted, &[]).map(drop)
    }

    /// The same, with other requests before them in the same flight; their replies.
    pub fn fetch_with(&mut self, process: ProcessId, wanted: &[u64], before: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        let mut missing: Vec<u64> =
            wanted.iter().copied().filter(|line| !self.memory.lines.contains_key(&(process, *line))).collect();
        missing.dedup();
        if missing.is_empty() && before.is_empty() {
            return Ok(Vec::new());
        }
        let piece = self.stub.read_piece();
        let mut requests = before.to_vec();
        if !missing.is_empty() {
            let thread = self.thread_of(process)?;
            requests.extend(self.choose(thread));
        }
        let first = requests.len();
        let mut pieces = Vec::new();
        for line in &missing {
            let mut at = 0;
            while at < LINE {
                let length = (LINE - at).min(piece as u64);
                pieces.push(Piece { address: line + at, length: length as usize });
                at += length;
            }
        }
        requests.extend(pieces.iter().map(|piece| self.request(*piece)));
        let replies = self.flight(&requests)?;
        let mut lines: HashMap<u64, (Vec<u8>, bool)> = HashMap::new();
        for (piece, reply) in pieces.iter().zip(replies.get(first..).unwrap_or_default()) {
            let (line, whole) = lines.entry(piece.address / LINE * LINE).or_insert((Vec::new(), true));
            if *whole {
                let bytes = self.bytes(reply, piece.length).unwrap_or_default();
                *whole = bytes.len() == piece.length;
                line.extend(bytes);
            }
        }
        for (line, (mut bytes, whole)) in lines {
            // A reply may be shorter than what can be read.
            if !whole && !bytes.is_empty() {
                self.complete(process, line, &mut bytes)?;
            }
            self.memory.keep((process, line), bytes);
        }
        let mut replies = replies;
        replies.truncate(before.len());
        Ok(replies)
    }

    fn complete(&mut self, process: ProcessId, line: u64, bytes: &mut Vec<u8>) -> Result<()> {
        while bytes.len() < LINE as usize {
            let mut rest = vec![0; LINE as usize - bytes.len()];
            let at = line + bytes.len() as u64;
            let length = rest.len().min(self.stub.read_piece());
            let count = self.read_once(process, at, &mut rest[..length])?;
            if count == 0 {
                break;
            }
            bytes.extend_from_slice(&rest[..count]);
        }
        Ok(())
    }

    fn request(&self, piece: Piece) -> Vec<u8> {
        let (address, length) = (piece.address, piece.length as u64);
        let request = match self.stub.reads {
            Reads::Hex => Memory::Read { address, length },
            Reads::Binary | Reads::Bare => Memory::ReadBinary { address, length },
        };
        Request::Memory(request).payload()
    }

    /// The bytes of a reply; `None`: there are none.
    fn bytes(&self, reply: &[u8], length: usize) -> Option<Vec<u8>> {
        let mut bytes = match self.stub.reads {
            Reads::Hex => match Reply::parse(reply) {
                Reply::Data(digits) => unhex(digits).ok()?,
                // `E01` is an error; longer ones are digits.
                _ => return None,
            },
            Reads::Binary => reply.strip_prefix(b"b")?.to_vec(),
            Reads::Bare if reply.len() != length && matches!(Reply::parse(reply), Reply::Error(..)) => return None,
            Reads::Bare => reply.to_vec(),
        };
        bytes.truncate(length);
        Some(bytes)
    }

    /// One request.
    fn read_once(&mut self, process: ProcessId, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let thread = self.thread_of(process)?;
        let mut requests: Vec<Vec<u8>> = self.choose(thread).into_iter().collect();
        requests.push(self.request(Piece { address, length: buffer.len() }));
        let replies = self.flight(&requests)?;
        let bytes = replies.last().and_then(|reply| self.bytes(reply, buffer.len())).unwrap_or_default();
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    /// What is asked for and nothing else; when that cannot be read, as much of its front as can.
    fn read_exactly(&mut self, process: ProcessId, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        let mut step = buffer.len().min(self.stub.read_piece());
        while done < buffer.len() && step > 0 {
            let length = step.min(buffer.len() - done);
            let count = self.read_once(process, address + done as u64, &mut buffer[done..done + length])?;
            done += count;
            if count == 0 {
                step = length / 2;
                // Of a process, pages can be read or cannot; what answers by halves is something else.
                if self.known.auxv.contains_key(&process) && done == 0 {
                    break;
                }
            }
        }
        Ok(done)
    }

    /// Much at once, as it would not be worth keeping.
    fn read_through(&mut self, process: ProcessId, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let thread = self.thread_of(process)?;
        let piece = self.stub.read_piece();
        let mut done = 0;
        while done < buffer.len() {
            // As many replies as fit into the buffers of a line.
            let together = (1 << 20) / piece.max(1);
            let mut requests: Vec<Vec<u8>> = self.choose(thread).into_iter().collect();
            let first = requests.len();
            let mut pieces = Vec::new();
            let mut at = done;
            while at < buffer.len() && pieces.len() < together.clamp(1, 32) {
                let length = piece.min(buffer.len() - at);
                pieces.push(Piece { address: address + at as u64, length });
                at += length;
            }
            requests.extend(pieces.iter().map(|piece| self.request(*piece)));
            let replies = self.flight(&requests)?;
            let before = done;
            for (piece, reply) in pieces.iter().zip(&replies[first..]) {
                let bytes = self.bytes(reply, piece.length).unwrap_or_default();
                buffer[done..done + bytes.len()].copy_from_slice(&bytes);
                done += bytes.len();
                if bytes.len() < piece.length {
                    break;
                }
            }
            if done == before {
                let end = buffer.len().min(done + piece);
                done += self.read_exactly(process, address + done as u64, &mut buffer[done..end])?;
                if done < end {
                    break;
                }
            }
        }
        Ok(done)
    }

    /// Writes memory; the answer is how many bytes were written from the start.
    pub fn write(&mut self, process: ProcessId, address: u64, data: &[u8]) -> Result<usize> {
        let bytes = self.points.keep(process, address, data);
        self.write_raw(process, address, &bytes)
    }

    /// The same with traps as they are in `data`.
    pub fn write_raw(&mut self, process: ProcessId, address: u64, data: &[u8]) -> Result<usize> {
        let thread = self.thread_of(process)?;
        let mut done = 0;
        while done < data.len() {
            let Some(here) = address.checked_add(done as u64) else { break };
            let piece = &data[done..data.len().min(done + self.stub.write_piece())];
            let mut requests: Vec<Vec<u8>> = self.choose(thread).into_iter().collect();
            let binary = self.stub.writes != Works::No;
            requests.push(write_request(here, piece, binary));
            let replies = self.flight(&requests)?;
            match replies.last().map_or(Reply::Unsupported, |reply| Reply::parse(reply)) {
                Reply::Ok => {
                    if binary {
                        self.stub.writes = Works::Yes;
                    }
                    done += piece.len();
                }
                Reply::Unsupported if binary && self.stub.writes == Works::Perhaps => self.stub.writes = Works::No,
                Reply::Unsupported => return Err(crate::debug::cannot("write memory")),
                _ => break,
            }
        }
        let first = address / LINE * LINE;
        let last = address.saturating_add(data.len() as u64);
        self.memory.lines.retain(|(owner, line), _| *owner != process || *line < first || *line >= last);
        self.known.maps.remove(&process);
        self.changes += 1;
        Ok(done)
    }

    /// All of `buffer`.
    pub fn read_whole(&mut self, process: ProcessId, address: u64, buffer: &mut [u8]) -> Result<()> {
        match self.read(process, address, buffer)? {
            count if count == buffer.len() => Ok(()),
            _ => Err(Error::new(Kind::NotFound, format!("nothing can be read at 0x{address:x}"))),
        }
    }
}

/// The packet that writes.
pub fn write_request(address: u64, bytes: &[u8], binary: bool) -> Vec<u8> {
    let bytes = bytes.to_vec();
    Request::Memory(if binary { Memory::WriteBinary { address, bytes } } else { Memory::Write { address, bytes } })
        .payload()
}
