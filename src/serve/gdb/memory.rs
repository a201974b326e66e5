//! Requests about memory.

use super::PACKET;
use super::conversation::{Answer, Conversation, ok};
use crate::debug::{ProcessId, Protection};
use crate::error::{Error, Kind, Result};
use crate::protocol::rsp::link::fitting;
use crate::protocol::rsp::memory::{Memory, Region, crc};
use crate::protocol::rsp::reply::push_found;
use crate::protocol::rsp::wire::{push, push_hex, push_number};

/// Bytes that are looked at at once.
const CHUNK: usize = 1 << 20;

/// Longest pattern to search for.
const PATTERN: usize = PACKET;

impl Conversation<'_> {
    pub(super) fn memory(&mut self, request: Memory, out: &mut Vec<u8>) -> Result<Answer> {
        // LLDB's question whether there is such a thing.
        if matches!(request, Memory::ReadBinary { address: 0, length: 0 }) && self.client.lldb {
            return ok(out);
        }
        if matches!(&request, Memory::WriteBinary { bytes, .. } | Memory::Write { bytes, .. } if bytes.is_empty()) {
            return ok(out);
        }
        let process = self.thread()?.process;
        match request {
            Memory::Read { address, length } => {
                let bytes = self.read(process, address, length, PACKET / 2)?;
                push_hex(out, &bytes);
            }
            Memory::ReadBinary { address, length } => {
                let bytes = self.read(process, address, length, PACKET - 1)?;
                if !self.client.lldb {
                    out.push(b'b');
                }
                out.extend_from_slice(&bytes[..fitting(&bytes, PACKET - 1)]);
            }
            Memory::Write { address, bytes } | Memory::WriteBinary { address, bytes } => {
                let written = self.stub.with(|target| target.write_memory(process, address, &bytes))?;
                self.seat.gate.count_written(written as u64);
                if written < bytes.len() {
                    let place = address.wrapping_add(written as u64);
                    return Err(Error::new(Kind::Permission, format!("cannot write at 0x{place:x}")));
                }
                return ok(out);
            }
            Memory::Search { address, length, pattern } => {
                push_found(self.search(process, address, length, &pattern)?, out);
            }
            Memory::Crc { address, length } => {
                let value = self.checksum(process, address, length)?;
                push(out, &format!("C{value:x}"));
            }
            Memory::Region(address) => self.region(process, address)?.print(out),
            Memory::Allocate { size, permissions } => {
                let protection = Protection {
                    read: permissions.contains('r'),
                    write: permissions.contains('w'),
                    execute: permissions.contains('x'),
                };
                let address = self.stub.with(|target| target.allocate(process, size, protection))?;
                self.allocated.insert(address, size);
                push_number(out, address);
            }
            Memory::Free(address) => {
                let unknown = || Error::new(Kind::NotFound, "nothing was allocated there");
                let size = self.allocated.remove(&address).ok_or_else(unknown)?;
                self.stub.with(|target| target.release(process, address, size))?;
                return ok(out);
            }
        }
        Ok(Answer::Reply)
    }

    /// What can be read of a stretch from its start, at most `room` bytes.
    fn read(&mut self, process: ProcessId, address: u64, length: u64, room: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(room)];
        if bytes.is_empty() {
            return Ok(bytes);
        }
        let count = self.stub.with(|target| target.read_memory(process, address, &mut bytes))?;
        if count == 0 {
            return Err(Error::new(Kind::NotFound, format!("cannot read at 0x{address:x}")));
        }
        bytes.truncate(count);
        self.seat.gate.count_read(count as u64);
        Ok(bytes)
    }

    fn search(&mut self, process: ProcessId, address: u64, length: u64, pattern: &[u8]) -> Result<Option<u64>> {
        if pattern.is_empty() || pattern.len() > PATTERN {
            return Err(Error::new(Kind::Usage, "the pattern is empty or too long"));
        }
        let finder = memchr::memmem::Finder::new(pattern);
        let overlap = pattern.len() - 1;
        let mut buffer = vec![0; CHUNK + overlap];
        let mut done = 0;
        // The lock is taken anew for each piece, and whoever leaves need not wait for the end.
        while length - done >= pattern.len() as u64 {
            self.seat.cancel.check()?;
            let here = address.checked_add(done).ok_or_else(|| Error::new(Kind::Usage, "the range wraps"))?;
            let wanted = (length - done).min(buffer.len() as u64) as usize;
            let count = self.stub.with(|target| target.read_memory(process, here, &mut buffer[..wanted]))?;
            if let Some(at) = finder.find(&buffer[..count]) {
                return Ok(Some(here + at as u64));
            }
            if count < wanted {
                let place = here.wrapping_add(count as u64);
                return Err(Error::new(Kind::NotFound, format!("cannot read at 0x{place:x}")));
            }
            if count == overlap {
                break;
            }
            done += (count - overlap) as u64;
        }
        Ok(None)
    }

    fn checksum(&mut self, process: ProcessId, address: u64, length: u64) -> Result<u32> {
        let mut digest = crc();
        let mut buffer = vec![0; CHUNK];
        let mut done = 0;
        while done < length {
            self.seat.cancel.check()?;
            let here = address.checked_add(done).ok_or_else(|| Error::new(Kind::Usage, "the range wraps"))?;
            let wanted = (length - done).min(CHUNK as u64) as usize;
            let count = self.stub.with(|target| target.read_memory(process, here, &mut buffer[..wanted]))?;
            if count < wanted {
                let place = here.wrapping_add(count as u64);
                return Err(Error::new(Kind::NotFound, format!("cannot read at 0x{place:x}")));
            }
            digest.update(&buffer[..count]);
            done += count as u64;
        }
        Ok(digest.finalize())
    }

    /// The mapping around `address`, or the gap.
    fn region(&mut self, process: ProcessId, address: u64) -> Result<Region> {
        let maps = self.stub.with(|target| target.maps(process))?;
        if let Some(map) = maps.iter().find(|map| map.contains(address)) {
            let all = map.protection;
            let letters = [(all.read, 'r'), (all.write, 'w'), (all.execute, 'x')];
            let permissions = letters.into_iter().filter_map(|(on, letter)| on.then_some(letter)).collect();
            return Ok(Region {
                start: map.start,
                size: map.end - map.start,
                permissions: Some(permissions),
                name: map.name.clone().unwrap_or_default(),
            });
        }
        let start = maps.iter().map(|map| map.end).filter(|end| *end <= address).max().unwrap_or(0);
        let end = maps.iter().map(|map| map.start).filter(|next| *next > address).min();
        // The last gap ends with the address space, and has a size all the same.
        let size = end.map_or(u64::MAX - start, |end| end - start);
        Ok(Region { start, size, ..Region::default() })
    }
}
