//! `null://SIZE`: zeros that swallow writes; without a size they have no end. Stands for memory that has no file
//! behind it, such as a `.bss`.

use super::{Plugin, Touches, size};
use crate::error::Result;
use crate::io::{Access, Device, Info, Latency, Open};
use crate::uri::Uri;

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    name: "null",
    schemes: &["null"],
    summary: "zeros that swallow writes",
    example: "null://4096",
    writes: true,
    touches: Touches::Nothing,
    open,
};

struct Null {
    size: Option<u64>,
}

fn open(uri: &Uri, _open: &Open) -> Result<Box<dyn Device>> {
    let size = if uri.rest().is_empty() { None } else { Some(size(uri.rest())?) };
    Ok(Box::new(Null { size }))
}

impl Null {
    fn count(&self, address: u64, length: usize) -> usize {
        let left = self.size.map_or(u64::MAX, |size| size.saturating_sub(address));
        usize::try_from(left).unwrap_or(usize::MAX).min(length)
    }
}

impl Device for Null {
    fn info(&self) -> Info {
        Info { size: self.size, access: Access::RWX, latency: Latency::Local }
    }

    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let count = self.count(address, buffer.len());
        buffer[..count].fill(0);
        Ok(count)
    }

    fn write_at(&mut self, address: u64, data: &[u8]) -> Result<usize> {
        Ok(self.count(address, data.len()))
    }

    fn resize(&mut self, size: u64) -> Result<()> {
        self.size = Some(size);
        Ok(())
    }
}
