//! `malloc://SIZE`: zeroed memory. `-` on the command line is `malloc://512`.

use memmap2::MmapMut;

use super::{Plugin, Touches, size};
use crate::error::{Error, Kind, Result};
use crate::io::{Access, Device, Info, Latency, Open};
use crate::uri::Uri;

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    name: "malloc",
    schemes: &["malloc"],
    summary: "memory, zeroed",
    example: "malloc://512",
    writes: true,
    touches: Touches::Nothing,
    open,
};

/// Bytes in memory.
pub struct Memory {
    bytes: Bytes,
    access: Access,
}

enum Bytes {
    Owned(Vec<u8>),
    /// Pages that cost nothing until they are written; and running out of memory is an error, not the end.
    Pages(MmapMut, usize),
}

impl Memory {
    /// A device over `bytes`, which can be written and resized.
    pub fn new(bytes: Vec<u8>) -> Memory {
        Memory { bytes: Bytes::Owned(bytes), access: Access::RWX }
    }

    /// A device over `bytes` that only gives them.
    pub fn read_only(bytes: Vec<u8>) -> Memory {
        Memory { bytes: Bytes::Owned(bytes), access: Access::RX }
    }

    /// A device over `size` zeros.
    pub fn zeroed(size: u64) -> Result<Memory> {
        Ok(Memory { bytes: pages(size)?, access: Access::RWX })
    }

    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Owned(bytes) => bytes,
            Bytes::Pages(pages, length) => &pages[..*length],
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.bytes {
            Bytes::Owned(bytes) => bytes,
            Bytes::Pages(pages, length) => &mut pages[..*length],
        }
    }

    fn check_writable(&self) -> Result<()> {
        if self.access.write { Ok(()) } else { Err(Error::new(Kind::Permission, "the device is read-only")) }
    }
}

fn open(uri: &Uri, _open: &Open) -> Result<Box<dyn Device>> {
    Ok(Box::new(Memory::zeroed(size(uri.rest())?)?))
}

fn pages(size: u64) -> Result<Bytes> {
    let refused = |why: &str| Error::new(Kind::Limit, format!("cannot allocate {size} bytes: {why}"));
    let length = usize::try_from(size)
        .ok()
        .filter(|length| *length <= isize::MAX as usize)
        .ok_or_else(|| refused("more than memory can ever be"))?;
    let pages = MmapMut::map_anon(length.max(1)).map_err(|error| refused(&crate::error::plain(&error)))?;
    Ok(Bytes::Pages(pages, length))
}

impl Device for Memory {
    fn info(&self) -> Info {
        Info { size: Some(self.bytes().len() as u64), access: self.access, latency: Latency::Local }
    }

    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let bytes = self.bytes();
        let start = usize::try_from(address).unwrap_or(usize::MAX).min(bytes.len());
        let count = buffer.len().min(bytes.len() - start);
        buffer[..count].copy_from_slice(&bytes[start..start + count]);
        Ok(count)
    }

    fn write_at(&mut self, address: u64, data: &[u8]) -> Result<usize> {
        self.check_writable()?;
        let bytes = self.bytes_mut();
        let start = usize::try_from(address).unwrap_or(usize::MAX).min(bytes.len());
        let count = data.len().min(bytes.len() - start);
        bytes[start..start + count].copy_from_slice(&data[..count]);
        Ok(count)
    }

    fn resize(&mut self, size: u64) -> Result<()> {
        self.check_writable()?;
        let mut resized = Memory { bytes: pages(size)?, access: self.access };
        let (old, new) = (self.bytes(), resized.bytes_mut());
        // Zeros are there already; leaving them out keeps pages that were never written free of cost.
        for (old, new) in old.chunks(4096).zip(new.chunks_mut(4096)) {
            let count = old.len().min(new.len());
            if old[..count].iter().any(|byte| *byte != 0) {
                new[..count].copy_from_slice(&old[..count]);
            }
        }
        *self = resized;
        Ok(())
    }
}
