//! Plain paths, `file://`, and `nocache://` (which never maps the file).

use std::fs::{File, FileType};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::SeekFrom;
use sha2::{Digest, Sha256};

use super::{Plugin, Touches, short};
use crate::error::{Error, Kind, Result};
use crate::io::beneath::{self, How};
use crate::io::scan::SharedRead;
use crate::io::sigbus::Mapping;
use crate::io::{Access, Device, Info, Latency, Open};
use crate::uri::Uri;

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    name: "file",
    schemes: &["file", "nocache"],
    summary: "files and block devices",
    example: "/bin/ls",
    writes: true,
    touches: Touches::Files,
    open,
};

/// Longer reads go through pread: they stream, and a mapping would keep their pages resident.
const MAPPED_READ: usize = 64 * 1024;

/// The time of a change may be so much too early: systems keep time in ticks, some file systems in whole seconds.
const TICK: Duration = Duration::from_millis(100);
const COARSE_TICK: Duration = Duration::from_secs(2);

/// How the end of a file is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// A regular file: from its metadata, which change as it grows.
    Regular,
    /// A block device: by seeking to its end.
    Block,
    /// A file that says it is empty but can be read (`/proc`), or a character device.
    Endless,
}

/// An open file. Files opened read-only are mapped; those opened for writing are read with pread alone, because a
/// mapping need not see what pwrite does on every file system, and nothing is won by it.
pub struct OnDisk {
    file: Arc<File>,
    access: Access,
    extent: Extent,
    /// Whether the file may be mapped.
    maps: bool,
    mapping: Option<Mapping>,
    /// The size for which a mapping was last tried, so that a file that cannot be mapped is not tried at each read.
    tried: u64,
}

fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    if uri.rest().is_empty() {
        return Err(Error::new(Kind::Usage, "the path is missing"));
    }
    let how = if open.access.write { How::Update { create: open.create } } else { How::Read };
    let file =
        beneath::open(open.root.as_deref(), Path::new(uri.rest()), how).map_err(|error| refused(&error, open))?;
    Ok(Box::new(OnDisk::new(file, open.access, uri.scheme() != Some("nocache"))?))
}

/// Opens the file at `path` for a plugin that decodes it.
pub fn open_plain(path: &str, open: &Open) -> Result<File> {
    let file = beneath::open(open.root.as_deref(), Path::new(path), How::Read).map_err(|error| Error::os(&error))?;
    check_type(file.metadata().map_err(|error| Error::os(&error))?.file_type())?;
    Ok(file)
}

fn refused(error: &std::io::Error, open: &Open) -> Error {
    let refused = Error::os(error);
    match error.kind() {
        std::io::ErrorKind::NotFound if open.access.write && !open.create => refused.hint("o++ creates files"),
        std::io::ErrorKind::PermissionDenied
        | std::io::ErrorKind::ReadOnlyFilesystem
        | std::io::ErrorKind::ExecutableFileBusy
            if open.access.write =>
        {
            refused.hint("open it read-only (o, no -w); with io.cache=true changes are kept in memory")
        }
        _ => refused,
    }
}

fn check_type(file_type: FileType) -> Result<()> {
    let what = if file_type.is_dir() {
        "a directory"
    } else if file_type.is_fifo() {
        "a pipe, which has no addresses"
    } else if file_type.is_socket() {
        "a socket, which has no addresses"
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Unsupported, format!("it is {what}")))
}

impl OnDisk {
    /// A device over an open file, mapped for reading if `maps` and nothing speaks against it.
    pub fn new(file: File, access: Access, maps: bool) -> Result<OnDisk> {
        let metadata = file.metadata().map_err(|error| Error::os(&error))?;
        let file_type = metadata.file_type();
        check_type(file_type)?;
        let extent = if file_type.is_file() {
            // Files of /proc say 0. Whether they really are empty shows when one is read.
            let readable = |file: &File| !matches!(file.read_at(&mut [0], 0), Ok(0));
            if access.read && metadata.len() == 0 && readable(&file) && file.metadata().is_ok_and(|m| m.len() == 0) {
                Extent::Endless
            } else {
                Extent::Regular
            }
        } else {
            if rustix::fs::seek(&file, SeekFrom::Current(0)).is_err() {
                return Err(Error::new(Kind::Unsupported, "the device has no addresses"));
            }
            if file_type.is_block_device() { Extent::Block } else { Extent::Endless }
        };
        let maps = maps && extent == Extent::Regular && access.read && !access.write;
        Ok(OnDisk { file: Arc::new(file), access, extent, maps, mapping: None, tried: 0 })
    }

    fn size(&self) -> Option<u64> {
        match self.extent {
            Extent::Regular => self.file.metadata().ok().map(|metadata| metadata.len()),
            // Reads and writes are positional, so moving the cursor disturbs nobody.
            Extent::Block => rustix::fs::seek(&self.file, SeekFrom::End(0)).ok(),
            Extent::Endless => None,
        }
    }

    /// Fills `buffer` from the mapping. `false` when that is not possible and the file has to be read.
    fn read_mapped(&mut self, address: u64, size: u64, buffer: &mut [u8]) -> bool {
        let mapped = self.mapping.as_ref().map_or(0, |mapping| mapping.len() as u64);
        let end = address + buffer.len() as u64;
        // A growing file is mapped anew when it has doubled; what lies behind the mapping is read until then.
        if end > mapped && size / 2 >= self.tried {
            self.mapping = Mapping::new(&self.file, size);
            self.tried = size.max(1);
        }
        let (Some(mapping), Ok(offset)) = (self.mapping.as_mut(), usize::try_from(address)) else { return false };
        if offset.checked_add(buffer.len()).is_none_or(|end| end > mapping.len()) {
            return false;
        }
        let whole = mapping.copy(offset, buffer);
        if !whole {
            // The file was cut in this moment. A new mapping is made once it has been read again.
            self.mapping = None;
            self.tried = 0;
        }
        whole
    }
}

/// A regular file, read with pread by whoever wants to.
struct Shared(Arc<File>);

impl SharedRead for Shared {
    fn read_at(&self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.0.read_at(buffer, address) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                done => return done.map_err(|error| Error::os(&error)),
            }
        }
    }

    fn data(&self, address: u64) -> u64 {
        let Ok(size) = self.0.metadata().map(|metadata| metadata.len()) else { return 0 };
        if address >= size {
            return 0;
        }
        // Where the file system does not know of holes, all is data.
        let end = rustix::fs::seek(&*self.0, SeekFrom::Hole(address)).unwrap_or(size);
        end.min(size) - address.min(end)
    }
}

impl Device for OnDisk {
    fn info(&self) -> Info {
        Info { size: self.size(), access: self.access, latency: Latency::Local }
    }

    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        // No file reaches beyond what the system can address, and it refuses reads that would.
        let room = usize::try_from((i64::MAX as u64).saturating_sub(address)).unwrap_or(usize::MAX);
        let count = buffer.len().min(room);
        let buffer = &mut buffer[..count];
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.maps && buffer.len() <= MAPPED_READ {
            // Asked before each read: only what is inside the file now is touched.
            let size = self.file.metadata().map_err(|error| Error::os(&error))?.len();
            let inside = usize::try_from(size.saturating_sub(address)).unwrap_or(usize::MAX).min(buffer.len());
            if inside == 0 || self.read_mapped(address, size, &mut buffer[..inside]) {
                return Ok(inside);
            }
        }
        loop {
            match self.file.read_at(buffer, address) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // Holes in what has no end, such as unmapped pages in /proc/PID/mem.
                Err(error)
                    if self.extent == Extent::Endless
                        && matches!(error.raw_os_error(), Some(libc::EIO | libc::EFAULT | libc::ENXIO)) =>
                {
                    return Ok(0);
                }
                done => return done.map_err(|error| Error::os(&error)),
            }
        }
    }

    fn write_at(&mut self, address: u64, data: &[u8]) -> Result<usize> {
        if !self.access.write {
            return Err(Error::new(Kind::Permission, "the file is open read-only").hint("reopen with oo+"));
        }
        // A write must not make a file longer by accident: that is what a resize is for.
        let end = self.size().unwrap_or(u64::MAX).min(i64::MAX as u64);
        let count = usize::try_from(end.saturating_sub(address)).unwrap_or(usize::MAX).min(data.len());
        if count == 0 {
            return Ok(0);
        }
        loop {
            match self.file.write_at(&data[..count], address) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                done => return done.map_err(|error| Error::os(&error)),
            }
        }
    }

    fn zeros(&mut self, address: u64) -> u64 {
        if self.extent != Extent::Regular {
            return 0;
        }
        match rustix::fs::seek(&self.file, SeekFrom::Data(address)) {
            Ok(data) => data.saturating_sub(address),
            // No data from there on: the rest of the file is a hole, or the address lies behind its end.
            Err(rustix::io::Errno::NXIO) => self.size().unwrap_or(0).saturating_sub(address),
            Err(_) => 0,
        }
    }

    fn shared(&self) -> Option<Arc<dyn SharedRead>> {
        (self.extent == Extent::Regular).then(|| Arc::new(Shared(Arc::clone(&self.file))) as Arc<dyn SharedRead>)
    }

    fn resize(&mut self, size: u64) -> Result<()> {
        if self.extent != Extent::Regular {
            return Err(Error::new(Kind::Unsupported, "only regular files can be resized"));
        }
        if !self.access.write {
            return Err(Error::new(Kind::Permission, "the file is open read-only").hint("reopen with oo+"));
        }
        self.file.set_len(size).map_err(|error| Error::system("cannot resize", &error))
    }

    fn version(&self) -> Option<u128> {
        if self.extent != Extent::Regular {
            return None;
        }
        let facts = self.file.metadata().ok()?;
        // Any change moves this time, and nobody can set it back; but two changes may fall on the same tick.
        let changed = Duration::new(u64::try_from(facts.ctime()).ok()?, u32::try_from(facts.ctime_nsec()).ok()?);
        let tick = if changed.subsec_nanos() == 0 { COARSE_TICK } else { TICK };
        let age = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.checked_sub(changed)?;
        if age < tick {
            return None;
        }
        let mut hash = Sha256::new();
        for number in [facts.dev(), facts.ino(), facts.size()] {
            hash.update(number.to_be_bytes());
        }
        for time in [facts.mtime(), facts.mtime_nsec(), facts.ctime(), facts.ctime_nsec()] {
            hash.update(time.to_be_bytes());
        }
        Some(short(hash))
    }
}
