//! `vFile`: files on the server's machine.

use super::wire::{Cursor, hex_number, push, push_hex, push_number, unhex, unhex_text};
use super::{Parsed, Refusal};

/// Flags of [`File::Open`], in the protocol's own numbers. Without one of the first two: reading.
pub mod flags {
    /// Writing.
    pub const WRITE: u64 = 1;
    /// Reading and writing.
    pub const READ_WRITE: u64 = 2;
    /// Writes go to the end.
    pub const APPEND: u64 = 8;
    /// Made when it is not there.
    pub const CREATE: u64 = 0x200;
    /// Emptied.
    pub const TRUNCATE: u64 = 0x400;
    /// It must not be there.
    pub const EXCLUSIVE: u64 = 0x800;
}

/// Requests about files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// `setfs`: paths are those that this process sees; 0: those of the server.
    FileSystem(u64),
    /// `open`.
    Open {
        /// Which file.
        path: String,
        /// See [`flags`].
        flags: u64,
        /// Permissions of a new one.
        mode: u32,
    },
    /// `close`.
    Close(u64),
    /// `pread`.
    Read {
        /// What opening answered.
        descriptor: u64,
        /// Most bytes.
        count: u64,
        /// Where they begin.
        offset: u64,
    },
    /// `pwrite`.
    Write {
        /// What opening answered.
        descriptor: u64,
        /// Where they go.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// `fstat`: facts about an open file.
    Facts(u64),
    /// `stat`: facts about a file.
    PathFacts(String),
    /// `unlink`.
    Remove(String),
    /// `readlink`.
    LinkTarget(String),
    /// `size` (LLDB).
    Size(String),
    /// `mode` (LLDB): its permissions.
    Mode(String),
    /// `exists` (LLDB).
    Exists(String),
    /// `MD5` (LLDB).
    Md5(String),
    /// `symlink` (LLDB).
    Symlink {
        /// What it points to.
        target: String,
        /// Where it is.
        path: String,
    },
}

pub(super) fn parse(packet: &[u8]) -> Parsed<File> {
    let mut cursor = Cursor::after(packet, "vFile:")?;
    let operation = cursor.until(b':');
    let path = |make: fn(String) -> File| unhex_text(cursor.rest()).map(make);
    Some(match operation {
        b"setfs" => hex_number(cursor.rest()).map(File::FileSystem).ok_or(Refusal::Malformed),
        b"open" => open(cursor),
        b"close" => hex_number(cursor.rest()).map(File::Close).ok_or(Refusal::Malformed),
        b"pread" => read(cursor),
        b"pwrite" => write(cursor),
        b"fstat" => hex_number(cursor.rest()).map(File::Facts).ok_or(Refusal::Malformed),
        b"stat" => path(File::PathFacts),
        b"unlink" => path(File::Remove),
        b"readlink" => path(File::LinkTarget),
        b"size" => path(File::Size),
        b"mode" => path(File::Mode),
        b"exists" => path(File::Exists),
        b"MD5" => path(File::Md5),
        b"symlink" => {
            let target = unhex_text(cursor.until(b','));
            target.and_then(|target| Ok(File::Symlink { target, path: unhex_text(cursor.rest())? }))
        }
        _ => Err(Refusal::Unknown),
    })
}

fn open(mut cursor: Cursor<'_>) -> Result<File, Refusal> {
    let path = unhex_text(cursor.until(b','))?;
    let flags = cursor.number()?;
    cursor.expect(b',')?;
    let mode = cursor.number32()?;
    cursor.end(File::Open { path, flags, mode })
}

fn read(mut cursor: Cursor<'_>) -> Result<File, Refusal> {
    let descriptor = cursor.number()?;
    cursor.expect(b',')?;
    let count = cursor.number()?;
    cursor.expect(b',')?;
    let offset = cursor.number()?;
    cursor.end(File::Read { descriptor, count, offset })
}

fn write(mut cursor: Cursor<'_>) -> Result<File, Refusal> {
    let descriptor = cursor.number()?;
    cursor.expect(b',')?;
    let offset = cursor.number()?;
    cursor.expect(b',')?;
    Ok(File::Write { descriptor, offset, bytes: cursor.rest().to_vec() })
}

impl File {
    pub(super) fn print(&self, out: &mut Vec<u8>) {
        let numbers = |out: &mut Vec<u8>, numbers: &[u64]| {
            for (index, number) in numbers.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_number(out, *number);
            }
        };
        let path = |out: &mut Vec<u8>, operation: &str, path: &str| {
            push(out, operation);
            out.push(b':');
            push_hex(out, path.as_bytes());
        };
        push(out, "vFile:");
        match self {
            File::FileSystem(process) => {
                push(out, "setfs:");
                push_number(out, *process);
            }
            File::Open { path: name, flags, mode } => {
                path(out, "open", name);
                out.push(b',');
                numbers(out, &[*flags, u64::from(*mode)]);
            }
            File::Close(descriptor) => {
                push(out, "close:");
                push_number(out, *descriptor);
            }
            File::Read { descriptor, count, offset } => {
                push(out, "pread:");
                numbers(out, &[*descriptor, *count, *offset]);
            }
            File::Write { descriptor, offset, bytes } => {
                push(out, "pwrite:");
                numbers(out, &[*descriptor, *offset]);
                out.push(b',');
                out.extend_from_slice(bytes);
            }
            File::Facts(descriptor) => {
                push(out, "fstat:");
                push_number(out, *descriptor);
            }
            File::PathFacts(name) => path(out, "stat", name),
            File::Remove(name) => path(out, "unlink", name),
            File::LinkTarget(name) => path(out, "readlink", name),
            File::Size(name) => path(out, "size", name),
            File::Mode(name) => path(out, "mode", name),
            File::Exists(name) => path(out, "exists", name),
            File::Md5(name) => path(out, "MD5", name),
            File::Symlink { target, path: name } => {
                path(out, "symlink", target);
                out.push(b',');
                push_hex(out, name.as_bytes());
            }
        }
    }
}

/// The reply to a request about files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// `F` and a number: a descriptor, a count, zero.
    Done(u64),
    /// The same with bytes: the count of them.
    Bytes(Vec<u8>),
    /// An error, in the protocol's own numbers; see [`errno`].
    Failed(u32),
}

impl Outcome {
    /// Appends the reply.
    pub fn print(&self, out: &mut Vec<u8>) {
        out.push(b'F');
        match self {
            Outcome::Done(value) => push_number(out, *value),
            Outcome::Bytes(bytes) => {
                push_number(out, bytes.len() as u64);
                out.push(b';');
                out.extend_from_slice(bytes);
            }
            Outcome::Failed(errno) => {
                push(out, "-1,");
                push_number(out, u64::from(*errno));
            }
        }
    }

    /// Reads the reply.
    pub fn parse(reply: &[u8]) -> Result<Outcome, Refusal> {
        let mut cursor = Cursor::after(reply, "F").ok_or(Refusal::Malformed)?;
        if cursor.take(b'-') {
            cursor.number()?;
            let errno = if cursor.take(b',') { cursor.number32()? } else { UNKNOWN };
            return Ok(Outcome::Failed(errno));
        }
        let value = cursor.number()?;
        if cursor.take(b';') {
            let bytes = cursor.rest().to_vec();
            return if bytes.len() as u64 == value { Ok(Outcome::Bytes(bytes)) } else { Err(Refusal::Malformed) };
        }
        cursor.end(Outcome::Done(value))
    }
}

/// The error that has no number of its own.
const UNKNOWN: u32 = 9999;

/// Linux's error numbers and the protocol's ("Errno Values", GDB manual), for those that are not the same.
const ERRORS: [(i32, u32); 4] = [(38, 88), (36, 91), (110, UNKNOWN), (11, UNKNOWN)];

/// The protocol's number for the error `linux`.
pub fn errno(linux: i32) -> u32 {
    const SAME: [i32; 18] = [1, 2, 4, 5, 9, 13, 14, 16, 17, 19, 20, 21, 22, 23, 24, 27, 28, 29];
    match ERRORS.iter().find(|(number, _)| *number == linux) {
        Some((_, number)) => *number,
        None if SAME.contains(&linux) || linux == 30 => linux.unsigned_abs(),
        None => UNKNOWN,
    }
}

/// What `fstat` tells: numbers of the file system, times in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// Device.
    pub device: u32,
    /// Inode.
    pub inode: u32,
    /// Kind and permissions.
    pub mode: u32,
    /// Hard links.
    pub links: u32,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// Device that it stands for.
    pub special: u32,
    /// Bytes.
    pub size: u64,
    /// Bytes that are well read at once.
    pub block_size: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Last read.
    pub accessed: u32,
    /// Last written.
    pub modified: u32,
    /// Last changed.
    pub changed: u32,
}

impl Facts {
    /// The 64 bytes of the reply: every number with its highest byte first.
    pub fn bytes(&self) -> Vec<u8> {
        let words = [self.device, self.inode, self.mode, self.links, self.user, self.group, self.special];
        let longs = [self.size, self.block_size, self.blocks];
        let times = [self.accessed, self.modified, self.changed];
        let mut bytes = Vec::with_capacity(64);
        words.iter().for_each(|word| bytes.extend(word.to_be_bytes()));
        longs.iter().for_each(|long| bytes.extend(long.to_be_bytes()));
        times.iter().for_each(|time| bytes.extend(time.to_be_bytes()));
        bytes
    }

    /// Reads them.
    pub fn parse(bytes: &[u8]) -> Result<Facts, Refusal> {
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_be_bytes).ok_or(Refusal::Malformed)
        };
        let long = |at: usize| Ok::<u64, Refusal>(u64::from(word(at)?) << 32 | u64::from(word(at + 4)?));
        Ok(Facts {
            device: word(0)?,
            inode: word(4)?,
            mode: word(8)?,
            links: word(12)?,
            user: word(16)?,
            group: word(20)?,
            special: word(24)?,
            size: long(28)?,
            block_size: long(36)?,
            blocks: long(44)?,
            accessed: word(52)?,
            modified: word(56)?,
            changed: word(60)?,
        })
    }
}

/// The path in a packet that spells it in hexadecimal; for requests of other groups.
pub fn path(digits: &[u8]) -> Result<String, Refusal> {
    String::from_utf8(unhex(digits)?).map_err(|_| Refusal::Malformed)
}
