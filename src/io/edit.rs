//! Changes in the length of a device that keep what follows: inserting and removing ranges.

use super::{Io, read_fully};
use crate::error::{Error, Kind, Result};

/// Bytes moved at a time.
const CHUNK: usize = 256 * 1024;

impl Io {
    /// Inserts `count` zero bytes at the physical `address` of `fd`; what follows moves up.
    pub fn insert_gap(&mut self, fd: u32, address: u64, count: u64) -> Result<()> {
        let size = self.editable(fd, address)?;
        let grown = size
            .checked_add(count)
            .ok_or_else(|| Error::new(Kind::Limit, format!("0x{count:x} more bytes pass the end of the addresses")))?;
        self.resize(fd, grown)?;
        // From the end, so that nothing is overwritten before it has moved.
        let mut left = size - address;
        while left > 0 {
            let length = left.min(CHUNK as u64);
            left -= length;
            self.copy(fd, address + left, address + left + count, length)?;
        }
        let zeros = vec![0; CHUNK.min(usize::try_from(count).unwrap_or(CHUNK))];
        let gap = count.min(size - address);
        let mut done = 0;
        // Only the part that held bytes: what lies behind the old end came as zeros.
        while done < gap {
            let length = (gap - done).min(zeros.len() as u64) as usize;
            self.write_device(fd, address + done, &zeros[..length])?;
            done += length as u64;
        }
        Ok(())
    }

    /// Removes `count` bytes at the physical `address` of `fd`; what follows moves down. Returns how many there were
    /// to remove.
    pub fn remove_range(&mut self, fd: u32, address: u64, count: u64) -> Result<u64> {
        let size = self.editable(fd, address)?;
        let count = count.min(size - address);
        let tail = size - address - count;
        let mut done = 0;
        while done < tail {
            let length = (tail - done).min(CHUNK as u64);
            self.copy(fd, address + count + done, address + done, length)?;
            done += length;
        }
        self.resize(fd, size - count)?;
        Ok(count)
    }

    /// The size of `fd`, if it can be written and has one that `address` lies in.
    fn editable(&self, fd: u32, address: u64) -> Result<u64> {
        let descriptor = self.descriptor(fd)?;
        if !descriptor.access.write {
            return Err(Error::new(Kind::Permission, format!("cannot resize '{}': open read-only", descriptor.uri))
                .hint("reopen with oo+"));
        }
        let size = descriptor
            .size()
            .ok_or_else(|| Error::new(Kind::Unsupported, format!("'{}' has no size to change", descriptor.uri)))?;
        if address > size {
            return Err(Error::new(
                Kind::NotFound,
                format!("0x{address:08x} lies behind the end of '{}' (0x{size:08x})", descriptor.uri),
            ));
        }
        Ok(size)
    }

    fn copy(&mut self, fd: u32, from: u64, to: u64, length: u64) -> Result<()> {
        let mut buffer = vec![0; length as usize];
        let count = read_fully(self.descriptor_mut(fd)?, from, &mut buffer, 0)?;
        if (count as u64) < length {
            return Err(Error::new(Kind::System, format!("only {count} of {length} bytes are at 0x{from:08x}")));
        }
        self.write_device(fd, to, &buffer)
    }

    fn write_device(&mut self, fd: u32, address: u64, data: &[u8]) -> Result<()> {
        let device = self.descriptor_mut(fd)?.device();
        let mut at = 0;
        while at < data.len() {
            match device.write_at(address + at as u64, &data[at..])? {
                0 => return Err(Error::new(Kind::System, format!("cannot write at 0x{:08x}", address + at as u64))),
                count => at += count,
            }
        }
        Ok(())
    }
}
