//! The IO subsystem: devices with bytes at addresses, descriptors numbered from 3, maps, and the write overlay.
//!
//! Layers, from the top: patch (a command's temporary bytes) → overlay (`io.cache`) → maps (virtual addresses)
//! → pages (remote devices only) → device. Everything is positional; nothing here keeps a cursor.

pub mod overlay;
pub mod pages;
pub mod plugin;
pub mod space;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::output::{Cancel, Executor};
use crate::uri::Uri;

pub use overlay::Overlay;
pub use plugin::{PLUGINS, Plugin};
pub use space::{Map, Space};

/// What may be done with a descriptor or a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// Bytes can be read.
    pub read: bool,
    /// Bytes can be changed.
    pub write: bool,
    /// Bytes can be executed (informative).
    pub execute: bool,
}

impl Access {
    /// Read only.
    pub const R: Access = Access { read: true, write: false, execute: false };
    /// Read and execute: how the program opens a file by default.
    pub const RX: Access = Access { read: true, write: false, execute: true };
    /// Everything: memory buffers, and files opened with `-w`.
    pub const RWX: Access = Access { read: true, write: true, execute: true };

    /// Parses `rwx` letters or an octal digit (`5`, `7`); `-` stands for an absent letter.
    pub fn parse(text: &str) -> Result<Access> {
        if let [digit @ b'0'..=b'7'] = text.as_bytes() {
            let bits = digit - b'0';
            return Ok(Access { read: bits & 4 != 0, write: bits & 2 != 0, execute: bits & 1 != 0 });
        }
        let mut access = Access::default();
        for letter in text.chars() {
            match letter {
                'r' => access.read = true,
                'w' => access.write = true,
                'x' => access.execute = true,
                '-' => {}
                _ => {
                    return Err(
                        Error::new(Kind::Usage, format!("bad permissions '{text}'")).hint("letters of rwx, as in r-x")
                    );
                }
            }
        }
        Ok(access)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |on, letter| if on { letter } else { '-' };
        write!(f, "{}{}{}", letter(self.read, 'r'), letter(self.write, 'w'), letter(self.execute, 'x'))
    }
}

/// Where a device's bytes live, which decides how they are cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latency {
    /// On this machine.
    Local,
    /// Behind a line: each request costs a round trip.
    Remote,
}

/// What a device says of itself.
#[derive(Debug, Clone)]
pub struct Info {
    /// Bytes in the device, when it has an end.
    pub size: Option<u64>,
    /// What it lets us do.
    pub access: Access,
    /// How far away it is.
    pub latency: Latency,
}

/// One of many reads that travel together: `done` bytes of `buffer` were filled.
pub struct Read<'a> {
    /// Physical address in the device.
    pub address: u64,
    /// Where the bytes go.
    pub buffer: &'a mut [u8],
    /// How many arrived; short at a hole or at the end.
    pub done: usize,
}

/// Something with bytes at addresses. Reads and writes are positional; addresses are physical (from the device's
/// own 0). Optional abilities answer `None` by default, so callers ask the device instead of knowing schemes.
pub trait Device: Send {
    /// Size, permissions and distance, as they are now (files grow).
    fn info(&self) -> Info;

    /// Reads into `buffer` from `address`. Returns how many bytes were there: short at a hole or at the end,
    /// an error only when the device failed.
    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Writes `data` at `address`. Returns how many bytes were taken: short at the end of a fixed-size device.
    fn write_at(&mut self, _address: u64, _data: &[u8]) -> Result<usize> {
        Err(Error::new(Kind::Permission, "the device is read-only"))
    }

    /// Changes the size in bytes.
    fn resize(&mut self, _size: u64) -> Result<()> {
        Err(Error::new(Kind::Unsupported, "the device cannot be resized"))
    }

    /// Many reads at once; remote devices send them in one flight.
    fn read_many(&mut self, reads: &mut [Read<'_>]) -> Result<()> {
        for read in reads {
            read.done = self.read_at(read.address, read.buffer)?;
        }
        Ok(())
    }

    /// The other side runs commands: `=!cmd`.
    fn executor(&mut self) -> Option<&mut dyn Executor> {
        None
    }
}

/// How a URI is to be opened.
#[derive(Clone)]
pub struct Open {
    /// What is asked for; a plugin refuses what it cannot give.
    pub access: Access,
    /// Make the file when it does not exist.
    pub create: bool,
    /// Ends waiting for peers.
    pub cancel: Cancel,
    /// How long to wait for a peer (`net.timeout`).
    pub timeout: Duration,
}

impl Default for Open {
    fn default() -> Open {
        Open { access: Access::RX, create: false, cancel: Cancel::new(), timeout: Duration::from_secs(3) }
    }
}

/// An open URI.
pub struct Descriptor {
    /// Number shown to the user, from 3, lowest free first; not an operating-system descriptor.
    pub fd: u32,
    /// How to open it again.
    pub uri: String,
    /// What it was opened for.
    pub access: Access,
    device: Box<dyn Device>,
}

impl Descriptor {
    /// The device behind the number.
    pub fn device(&mut self) -> &mut dyn Device {
        &mut *self.device
    }
    /// Bytes in the device, when it has an end.
    pub fn size(&self) -> Option<u64> {
        self.device.info().size
    }
    /// Size, permissions and distance of the device.
    pub fn info(&self) -> Info {
        self.device.info()
    }
}

/// The io.* options that change what a read or write means; passed in because each client may override them.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// `io.va`: addresses are virtual (maps); otherwise physical addresses of a descriptor.
    pub virtual_addresses: bool,
    /// `@o:fd`: the descriptor for physical addressing instead of the current one.
    pub descriptor: Option<u32>,
    /// `io.cache`: writes go to the overlay.
    pub cache: bool,
    /// `io.0xff`: what unmapped bytes read as.
    pub fill: u8,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { virtual_addresses: true, descriptor: None, cache: false, fill: 0xff }
    }
}

/// Descriptors, maps and the overlay of one session core.
#[derive(Default)]
pub struct Io {
    descriptors: BTreeMap<u32, Descriptor>,
    current: Option<u32>,
    /// The maps, which give descriptors virtual addresses.
    pub space: Space,
    /// The writes held back by `io.cache`.
    pub overlay: Overlay,
}

impl Io {
    /// Opens `uri` and makes it current. No map is made.
    pub fn open(&mut self, uri: &Uri, open: &Open) -> Result<u32> {
        let device = plugin::open(uri, open)?;
        let access = Access { write: open.access.write && device.info().access.write, ..open.access };
        Ok(self.adopt(uri.as_str(), access, device))
    }

    /// Registers an already opened device under the lowest free number from 3 and makes it current.
    pub fn adopt(&mut self, uri: &str, access: Access, device: Box<dyn Device>) -> u32 {
        let fd = (3..).find(|fd| !self.descriptors.contains_key(fd)).expect("fewer than 2^32 descriptors");
        let device = pages::wrap(device);
        self.descriptors.insert(fd, Descriptor { fd, uri: uri.to_string(), access, device });
        self.current = Some(fd);
        fd
    }

    /// Maps the whole of `fd` at `address` with the highest priority. A device without an end is mapped up to the
    /// end of the address space.
    pub fn map_whole(&mut self, fd: u32, address: u64) -> Result<u32> {
        let descriptor = self.descriptor(fd)?;
        let size = descriptor.size().unwrap_or(u64::MAX).min(u64::MAX - address);
        let access = descriptor.access;
        Ok(self.space.add(fd, address, size, 0, access, None))
    }

    /// Closes `fd` and drops its maps. Another descriptor (the highest) becomes current.
    pub fn close(&mut self, fd: u32) -> Result<()> {
        self.descriptors.remove(&fd).ok_or_else(|| unknown(fd))?;
        self.space.remove_descriptor(fd);
        if self.current == Some(fd) {
            self.current = self.descriptors.keys().next_back().copied();
        }
        Ok(())
    }

    /// The number of the current descriptor.
    pub fn current(&self) -> Option<u32> {
        self.current
    }

    /// Makes `fd` current.
    pub fn select(&mut self, fd: u32) -> Result<()> {
        self.descriptor(fd)?;
        self.current = Some(fd);
        Ok(())
    }

    /// The descriptors in the order of their numbers.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        self.descriptors.values()
    }

    /// The descriptor `fd`.
    pub fn descriptor(&self, fd: u32) -> Result<&Descriptor> {
        self.descriptors.get(&fd).ok_or_else(|| unknown(fd))
    }

    /// The descriptor `fd`, to read and write its device.
    pub fn descriptor_mut(&mut self, fd: u32) -> Result<&mut Descriptor> {
        self.descriptors.get_mut(&fd).ok_or_else(|| unknown(fd))
    }

    /// Swaps what two numbers stand for; maps keep their numbers and so follow.
    pub fn exchange(&mut self, a: u32, b: u32) -> Result<()> {
        self.descriptor(a)?;
        let mut second = self.descriptors.remove(&b).ok_or_else(|| unknown(b))?;
        if let Some(first) = self.descriptors.get_mut(&a) {
            std::mem::swap(first, &mut second);
            first.fd = a;
        }
        second.fd = b;
        self.descriptors.insert(b, second);
        Ok(())
    }

    /// Where `address` leads: a descriptor, the physical address in it, and how many bytes follow in one piece
    /// (`None`: nothing is there, for so many bytes).
    fn piece(&self, settings: &Settings, address: u64, length: u64) -> (Option<(u32, u64, Access)>, u64) {
        if settings.virtual_addresses && settings.descriptor.is_none() {
            return self.space.piece(address, length);
        }
        match settings.descriptor.or(self.current) {
            Some(fd) => {
                let access = self.descriptors.get(&fd).map(|d| d.access).unwrap_or_default();
                (Some((fd, address, access)), length)
            }
            None => (None, length),
        }
    }

    /// Reads `buffer` at `address`. What is not there reads as the fill byte; the answer is how many bytes were
    /// there. An error means that a device failed, not that nothing is mapped.
    pub fn read(&mut self, settings: &Settings, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut valid = 0;
        let mut at = 0usize;
        while at < buffer.len() {
            let here = address.wrapping_add(at as u64);
            let (target, length) = self.piece(settings, here, (buffer.len() - at) as u64);
            let length = length as usize;
            let part = &mut buffer[at..at + length];
            let done = match target {
                Some((fd, physical, access)) if access.read => read_fully(self.descriptor_mut(fd)?, physical, part)?,
                _ => 0,
            };
            part[done..].fill(settings.fill);
            valid += done;
            at += length;
        }
        self.overlay.apply(address, buffer);
        Ok(valid)
    }

    /// Writes `data` at `address`: into the overlay with `io.cache`, else through to the devices, all of it or an
    /// error that says where it stopped.
    pub fn write(&mut self, settings: &Settings, address: u64, data: &[u8]) -> Result<()> {
        if settings.cache {
            let mut before = vec![0; data.len()];
            self.read(settings, address, &mut before)?;
            self.overlay.insert(address, before, data.to_vec());
            return Ok(());
        }
        let mut at = 0usize;
        while at < data.len() {
            let here = address.wrapping_add(at as u64);
            let (target, length) = self.piece(settings, here, (data.len() - at) as u64);
            let length = length as usize;
            let Some((fd, physical, access)) = target else {
                return Err(Error::new(
                    Kind::NotFound,
                    format!("cannot write at 0x{here:08x}: nothing is mapped there"),
                ));
            };
            let descriptor = self.descriptor_mut(fd)?;
            if !access.write || !descriptor.access.write {
                return Err(Error::new(
                    Kind::Permission,
                    format!("cannot write at 0x{here:08x}: '{}' is open read-only", descriptor.uri),
                )
                .hint("reopen with oo+ or -w, or set io.cache=true"));
            }
            let mut written = 0;
            while written < length {
                let count = descriptor
                    .device
                    .write_at(physical + written as u64, &data[at + written..at + length])
                    .map_err(|e| e.context(format_args!("cannot write at 0x{here:08x}")))?;
                if count == 0 {
                    let end = here.wrapping_add(written as u64);
                    return Err(Error::new(
                        Kind::NotFound,
                        format!("cannot write at 0x{end:08x}: past the end of '{}'", descriptor.uri),
                    ));
                }
                written += count;
            }
            at += length;
        }
        Ok(())
    }

    /// Changes the size of `fd` in bytes; maps that covered all of it follow.
    pub fn resize(&mut self, fd: u32, size: u64) -> Result<()> {
        let descriptor = self.descriptor_mut(fd)?;
        let old = descriptor.size();
        if !descriptor.access.write {
            return Err(Error::new(Kind::Permission, format!("cannot resize '{}': open read-only", descriptor.uri))
                .hint("reopen with oo+"));
        }
        descriptor.device.resize(size)?;
        if let Some(old) = old {
            self.space.resized(fd, old, size);
        }
        Ok(())
    }
}

/// Reads until `buffer` is full or the device has no more: a short answer of a device is not the end.
fn read_fully(descriptor: &mut Descriptor, address: u64, buffer: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        let Some(here) = address.checked_add(done as u64) else { break };
        match descriptor.device.read_at(here, &mut buffer[done..])? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}

fn unknown(fd: u32) -> Error {
    Error::new(Kind::NotFound, format!("no descriptor {fd}")).hint("'o' lists the open ones")
}
