//! `malloc://SIZE`: zeroed memory. `-` on the command line is `malloc://512`.

use super::Plugin;
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
    open,
};

/// Bytes in memory.
pub struct Memory(Vec<u8>);

impl Memory {
    /// A device over `bytes`.
    pub fn new(bytes: Vec<u8>) -> Memory {
        Memory(bytes)
    }
}

fn open(uri: &Uri, _open: &Open) -> Result<Box<dyn Device>> {
    let size = uri.rest().parse().map_err(|_| Error::new(Kind::Usage, "the size is not a number"))?;
    Ok(Box::new(Memory(vec![0; size])))
}

impl Device for Memory {
    fn info(&self) -> Info {
        Info { size: Some(self.0.len() as u64), access: Access::RWX, latency: Latency::Local }
    }

    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let start = usize::try_from(address).unwrap_or(usize::MAX).min(self.0.len());
        let count = buffer.len().min(self.0.len() - start);
        buffer[..count].copy_from_slice(&self.0[start..start + count]);
        Ok(count)
    }

    fn write_at(&mut self, address: u64, data: &[u8]) -> Result<usize> {
        let start = usize::try_from(address).unwrap_or(usize::MAX).min(self.0.len());
        let count = data.len().min(self.0.len() - start);
        self.0[start..start + count].copy_from_slice(&data[..count]);
        Ok(count)
    }

    fn resize(&mut self, size: u64) -> Result<()> {
        self.0.resize(size as usize, 0);
        Ok(())
    }
}
