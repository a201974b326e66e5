//! Plain paths and `file://`.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::Plugin;
use crate::error::{Error, Result};
use crate::io::{Access, Device, Info, Latency, Open};
use crate::uri::Uri;

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    name: "file",
    schemes: &["file"],
    summary: "files and block devices",
    example: "/bin/ls",
    writes: true,
    open,
};

struct OnDisk {
    file: File,
    access: Access,
}

fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    let file = File::options()
        .read(true)
        .write(open.access.write)
        .create(open.create)
        .open(uri.rest())
        .map_err(|e| Error::system(uri.rest(), &e))?;
    Ok(Box::new(OnDisk { file, access: open.access }))
}

impl Device for OnDisk {
    fn info(&self) -> Info {
        Info { size: self.file.metadata().ok().map(|m| m.len()), access: self.access, latency: Latency::Local }
    }
    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.file.read_at(buffer, address)?)
    }
    fn write_at(&mut self, address: u64, data: &[u8]) -> Result<usize> {
        Ok(self.file.write_at(data, address)?)
    }
}
