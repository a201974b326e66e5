//! The IO subsystem: devices with bytes at addresses, descriptors numbered from 3, maps, and the write overlay.
//!
//! Layers, from the top: patch (a command's temporary bytes) → overlay (`io.cache`) → maps (virtual addresses)
//! → pages (remote devices only) → device. Everything is positional; nothing here keeps a cursor.

pub mod beneath;
mod check;
mod commit;
mod edit;
mod lent;
pub mod overlay;
pub mod pages;
pub mod plugin;
pub mod scan;
mod sigbus;
mod stretch;
pub mod space;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::debug::{Start, Target};
use crate::error::{Error, Kind, Result};
use crate::link::Security;
use crate::output::{Cancel, Executor};
use crate::uri::Uri;

pub use beneath::{Beneath, Root};
pub use overlay::{Layer, Overlay};
pub use plugin::{PLUGINS, Plugin};
pub use space::{Map, Priority, Space};

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
    /// What it lets us do, as it was opened. Memory lets itself be written however it was opened.
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

/// What [`Device::search`] looks for: the addresses in a stretch of the device at which `needle` lies whole.
/// Hits may overlap; the caller drops those that it does not want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchRequest {
    /// Physical address of the first byte searched.
    pub address: u64,
    /// Bytes searched. A hit ends within them.
    pub length: u64,
    /// The bytes looked for; never empty.
    pub needle: Vec<u8>,
    /// Which bits of each byte must agree, as long as the needle; `None`: all.
    pub mask: Option<Vec<u8>>,
    /// Hits are multiples of this physical address; 0 and 1: any.
    pub align: u64,
    /// Most hits reported; 0: all.
    pub limit: u64,
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

    /// Where bytes begin again after the hole at `address`, when the device has holes and knows.
    fn next_data(&mut self, _address: u64) -> Option<u64> {
        None
    }

    /// How many bytes from `address` are zero, when the device knows without reading them: a hole in a file.
    fn zeros(&mut self, _address: u64) -> u64 {
        0
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

    /// Looks for bytes where they lie, when the device can do it for less than reading them takes: a remote one lets
    /// its server search. `found` gets the physical address of each hit, in rising order, and ends the search with
    /// `false`. `None`: read and look for yourself; nothing was reported then.
    fn search(
        &mut self,
        _request: &SearchRequest,
        _cancel: &Cancel,
        _found: &mut dyn FnMut(u64) -> bool,
    ) -> Option<Result<()>> {
        None
    }

    /// The digest of `length` bytes at `address` by the algorithm that `ph` calls `algorithm`, when the device can
    /// have it made where the bytes lie. `None`: read and hash for yourself, as over holes.
    fn digest(&mut self, _algorithm: &str, _address: u64, _length: u64, _cancel: &Cancel) -> Option<Result<String>> {
        None
    }

    /// The same bytes for many threads at once, when the device can give them without being asked one by one.
    fn shared(&self) -> Option<Arc<dyn scan::SharedRead>> {
        None
    }

    /// What tells this content from another of the same device: as long as it is the same, so are the bytes. `None`:
    /// that is not known.
    fn version(&self) -> Option<u128> {
        None
    }

    /// Says that `length` bytes at `address` are about to be read from front to back, so that a far device can send
    /// for them all at once.
    fn will_read(&mut self, _address: u64, _length: u64) {}

    /// Whether this only holds the place of a device that is lent out.
    fn is_lent(&self) -> bool {
        false
    }

    /// The other side runs commands: `=!cmd`.
    fn executor(&mut self) -> Option<&mut dyn Executor> {
        None
    }

    /// It can be debugged: its bytes are the memory of the process that the target has as its current one.
    fn target(&mut self) -> Option<&mut dyn Target> {
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
    /// Which files of this machine can be reached by path.
    pub root: Beneath,
    /// What is trusted, and shown, when a peer is reached (`net.*`).
    pub security: Security,
    /// What the user should know about how it went.
    pub notices: Notices,
    /// How programs are started, and what becomes of processes (`dbg.*`).
    pub start: Start,
}

/// Lines for the user that come up where nothing can be printed. Clones collect into the same list.
#[derive(Debug, Clone, Default)]
pub struct Notices(Arc<Mutex<Vec<String>>>);

impl Notices {
    /// Adds a line.
    pub fn push(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// The lines that were added since they were last taken.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for Open {
    fn default() -> Open {
        Open {
            access: Access::RX,
            create: false,
            cancel: Cancel::new(),
            timeout: Duration::from_secs(3),
            root: None,
            security: Security::default(),
            notices: Notices::default(),
            start: Start::default(),
        }
    }
}

/// An open URI.
pub struct Descriptor {
    /// Number shown to the user, from 3, lowest free first; not an operating-system descriptor.
    pub fd: u32,
    /// How to open it again.
    pub uri: String,
    /// What can be done with it.
    pub access: Access,
    /// What was asked for when it was opened; memory can be written all the same.
    requested: Access,
    /// The size that maps over the whole device were made for; a file may have grown since.
    mapped_size: Option<u64>,
    serial: u64,
    device: Box<dyn Device>,
}

/// Counts devices that were put behind descriptors in this process.
static SERIAL: AtomicU64 = AtomicU64::new(1);

fn serial() -> u64 {
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

impl Descriptor {
    /// What tells this device from every other that was ever open: what is known of it holds as long as this is the
    /// same.
    pub fn serial(&self) -> u64 {
        self.serial
    }
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
    /// What was asked for when it was opened.
    pub fn requested(&self) -> Access {
        self.requested
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
    /// Counts what may have changed bytes.
    revision: u64,
}

impl Io {
    /// A number that differs when bytes may have changed, or what is open.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Opens `uri` and makes it current. No map is made.
    pub fn open(&mut self, uri: &Uri, open: &Open) -> Result<u32> {
        let device = plugin::open(uri, open)?;
        Ok(self.admit(uri, open, device))
    }

    /// The second half of [`Io::open`], for callers that open devices without the lock on the core.
    pub fn admit(&mut self, uri: &Uri, open: &Open, device: Box<dyn Device>) -> u32 {
        self.revision += 1;
        let access = granted(&*device, open);
        let fd = self.adopt(uri.as_str(), access, device);
        if let Some(descriptor) = self.descriptors.get_mut(&fd) {
            descriptor.requested = open.access;
        }
        fd
    }

    /// Puts `device`, which is the URI of `fd` opened again, behind its number. Its maps stay, follow a change of
    /// size, and get the new permissions where they had the old ones.
    pub fn replace(&mut self, fd: u32, open: &Open, device: Box<dyn Device>) -> Result<()> {
        self.revision += 1;
        let access = granted(&*device, open);
        let size = device.info().size;
        let descriptor = self.descriptor_mut(fd)?;
        let old = std::mem::replace(&mut descriptor.access, access);
        descriptor.requested = open.access;
        descriptor.device = pages::wrap(device);
        descriptor.serial = serial();
        if let (Some(mapped), Some(size)) = (descriptor.mapped_size, size) {
            descriptor.mapped_size = Some(size);
            self.space.resized(fd, mapped, size);
        }
        self.space.change_all(|map| {
            if map.fd == fd && map.access == old {
                map.access = access;
            } else if map.fd == fd && access.write && !old.write {
                // Parts of a program, mapped as it runs them, can be patched like the rest.
                map.access.write = true;
            }
        });
        Ok(())
    }

    /// Registers an already opened device under the lowest free number from 3 and makes it current.
    pub fn adopt(&mut self, uri: &str, access: Access, device: Box<dyn Device>) -> u32 {
        let fd = (3..).find(|fd| !self.descriptors.contains_key(fd)).expect("fewer than 2^32 descriptors");
        let device = pages::wrap(device);
        let descriptor = Descriptor {
            fd,
            uri: uri.to_string(),
            access,
            requested: access,
            mapped_size: None,
            serial: serial(),
            device,
        };
        self.descriptors.insert(fd, descriptor);
        self.current = Some(fd);
        fd
    }

    /// Maps the whole of `fd` at `address` with the highest priority. A device without an end is mapped up to the
    /// end of the address space.
    pub fn map_whole(&mut self, fd: u32, address: u64) -> Result<u32> {
        let descriptor = self.descriptor_mut(fd)?;
        descriptor.mapped_size = descriptor.size();
        let size = descriptor.mapped_size.unwrap_or(u64::MAX);
        let access = descriptor.access;
        Ok(self.space.add(fd, address, size, 0, access, None))
    }

    /// Closes `fd`, drops its maps and what the overlay holds for its physical addresses (see
    /// [`Io::pending_on`]). Another descriptor (the highest) becomes current.
    pub fn close(&mut self, fd: u32) -> Result<()> {
        self.take(fd).map(drop)
    }

    /// Closes `fd`, and gives out its device.
    pub fn take(&mut self, fd: u32) -> Result<Box<dyn Device>> {
        self.revision += 1;
        let descriptor = self.descriptors.remove(&fd).ok_or_else(|| unknown(fd))?;
        self.space.remove_descriptor(fd);
        self.overlay.retain(|entry| entry.layer != Layer::Physical(fd));
        if self.current == Some(fd) {
            self.current = self.descriptors.keys().next_back().copied();
        }
        Ok(descriptor.device)
    }

    /// The number of the current descriptor.
    pub fn current(&self) -> Option<u32> {
        self.current
    }

    /// Changes what `fd` says it was opened as, which is what opens it again.
    pub fn rename(&mut self, fd: u32, uri: &str) -> Result<()> {
        self.descriptor_mut(fd)?.uri = uri.to_string();
        Ok(())
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

    /// Swaps what two numbers stand for. Maps keep their numbers and so show the other device; writes held back at
    /// physical addresses stay with theirs.
    pub fn exchange(&mut self, a: u32, b: u32) -> Result<()> {
        self.descriptor(a)?;
        let mut second = self.descriptors.remove(&b).ok_or_else(|| unknown(b))?;
        if let Some(first) = self.descriptors.get_mut(&a) {
            std::mem::swap(first, &mut second);
            first.fd = a;
        }
        second.fd = b;
        self.descriptors.insert(b, second);
        self.overlay.exchange(Layer::Physical(a), Layer::Physical(b));
        Ok(())
    }

    /// Where `address` leads: a descriptor, the physical address in it, and how many bytes follow in one piece
    /// (`None`: nothing is there, for so many bytes).
    fn piece(&self, settings: &Settings, address: u64, length: u64) -> (Option<(u32, u64, Access)>, u64) {
        if settings.virtual_addresses && settings.descriptor.is_none() {
            return self.space.piece(address, length);
        }
        let length = length.min((u64::MAX - address).saturating_add(1));
        match settings.descriptor.or(self.current) {
            Some(fd) => {
                let access = self.descriptors.get(&fd).map(|d| d.access).unwrap_or_default();
                (Some((fd, address, access)), length)
            }
            None => (None, length),
        }
    }

    /// The descriptor and physical address behind `address`. The end of a map counts as its place to append.
    pub fn place(&self, settings: &Settings, address: u64) -> Option<(u32, u64)> {
        let found = self.piece(settings, address, 1).0.map(|(fd, physical, _)| (fd, physical));
        found.or_else(|| {
            let (fd, physical, _) = self.piece(settings, address.checked_sub(1)?, 1).0?;
            Some((fd, physical.checked_add(1)?))
        })
    }

    /// The descriptor and physical address behind `address`, when `length` bytes lie there in one piece and as the
    /// device has them: it may be asked about them instead of for them.
    pub fn untouched(&self, settings: &Settings, address: u64, length: u64) -> Option<(u32, u64)> {
        let (Some((fd, physical, access)), found) = self.piece(settings, address, length) else { return None };
        let layer = self.layer(settings)?;
        let last = address.checked_add(length.checked_sub(1)?)?;
        let held = self.overlay.next(layer, address).is_some_and(|(from, _)| from <= last);
        (found == length && access.read && !held).then_some((fd, physical))
    }

    /// Passes on that `length` bytes at `address` are about to be read from front to back, as far as they lie in one
    /// piece.
    pub fn will_read(&mut self, settings: &Settings, address: u64, length: u64) {
        if let (Some((fd, physical, access)), found) = self.piece(settings, address, length)
            && access.read
            && let Ok(descriptor) = self.descriptor_mut(fd)
        {
            descriptor.device.will_read(physical, found);
        }
    }

    /// Which addresses `settings` mean; `None`: physical ones, but nothing is open.
    pub fn layer(&self, settings: &Settings) -> Option<Layer> {
        match settings.descriptor {
            Some(fd) => Some(Layer::Physical(fd)),
            None if settings.virtual_addresses => Some(Layer::Virtual),
            None => self.current.map(Layer::Physical),
        }
    }

    /// Reads `buffer` at `address`. What is not there reads as the fill byte; the answer is how many bytes were
    /// there. An error means that a device failed, not that nothing is mapped. What one device has to give travels
    /// together, however many maps it lies in.
    pub fn read(&mut self, settings: &Settings, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut flights: BTreeMap<u32, Vec<Read<'_>>> = BTreeMap::new();
        let (mut rest, mut here) = (&mut *buffer, address);
        while !rest.is_empty() {
            let (target, length) = self.piece(settings, here, rest.len() as u64);
            let (part, tail) = rest.split_at_mut(length as usize);
            match target {
                Some((fd, physical, access)) if access.read => {
                    flights.entry(fd).or_default().push(Read { address: physical, buffer: part, done: 0 });
                }
                _ => part.fill(settings.fill),
            }
            rest = tail;
            here = here.wrapping_add(length);
        }
        let mut valid = 0;
        for (fd, mut reads) in flights {
            let descriptor = self.descriptor_mut(fd)?;
            descriptor.device.read_many(&mut reads)?;
            for read in reads {
                let done = read.done.min(read.buffer.len());
                let (address, missing) = (read.address.wrapping_add(done as u64), &mut read.buffer[done..]);
                valid += done + read_fully(descriptor, address, missing, settings.fill)?;
            }
        }
        if let Some(layer) = self.layer(settings) {
            let (before, after) = buffer.split_at_mut(buffer.len().min(room(address)));
            self.overlay.apply(layer, address, before);
            self.overlay.apply(layer, 0, after);
        }
        Ok(valid)
    }

    /// Writes `data` at `address`: into the overlay with `io.cache`, else through to the devices, all of it or an
    /// error that says where it stopped.
    pub fn write(&mut self, settings: &Settings, address: u64, data: &[u8]) -> Result<()> {
        self.revision += 1;
        if settings.cache {
            let layer = self.layer(settings).ok_or_else(|| {
                Error::new(Kind::NotFound, format!("cannot write at 0x{address:08x}: nothing is open"))
            })?;
            let mut before = vec![0; data.len()];
            self.read(settings, address, &mut before)?;
            let (data, wrapped) = data.split_at(data.len().min(room(address)));
            let before_wrapped = before.split_off(data.len());
            self.overlay.insert(layer, address, before, data.to_vec());
            self.overlay.insert(layer, 0, before_wrapped, wrapped.to_vec());
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
        self.revision += 1;
        let descriptor = self.descriptor_mut(fd)?;
        let old = descriptor.size();
        if !descriptor.access.write {
            return Err(Error::new(Kind::Permission, format!("cannot resize '{}': open read-only", descriptor.uri))
                .hint("reopen with oo+"));
        }
        descriptor.device.resize(size)?;
        let mapped = descriptor.mapped_size.replace(size);
        if let Some(old) = mapped.or(old) {
            self.space.resized(fd, old, size);
        }
        Ok(())
    }
}

/// What a device that was opened for `open` really gives.
fn granted(device: &dyn Device, open: &Open) -> Access {
    let info = device.info();
    Access { read: info.access.read, write: info.access.write, execute: open.access.execute }
}

/// Reads until `buffer` is full or the device has no more: a short answer of a device is not the end, and behind a
/// hole there may be more. What is not there becomes `fill`; the answer counts what is.
fn read_fully(descriptor: &mut Descriptor, address: u64, buffer: &mut [u8], fill: u8) -> Result<usize> {
    let device = &mut *descriptor.device;
    let (mut at, mut valid) = (0, 0);
    while at < buffer.len() {
        let Some(here) = address.checked_add(at as u64) else { break };
        let count = device.read_at(here, &mut buffer[at..])?;
        valid += count;
        at += count;
        if count > 0 {
            continue;
        }
        let Some(next) = device.next_data(here).filter(|next| *next > here) else { break };
        let hole = usize::try_from(next - here).unwrap_or(usize::MAX).min(buffer.len() - at);
        buffer[at..at + hole].fill(fill);
        at += hole;
    }
    buffer[at..].fill(fill);
    Ok(valid)
}

/// Bytes from `address` to the end of the address space, behind which a range goes on at 0.
fn room(address: u64) -> usize {
    usize::try_from((u64::MAX - address).saturating_add(1)).unwrap_or(usize::MAX)
}

fn unknown(fd: u32) -> Error {
    Error::new(Kind::NotFound, format!("no descriptor {fd}")).hint("'o' lists the open ones")
}
