//! Memory.

use super::wire::{Cursor, hex_number, push, push_hex, push_number, unhex, unhex_text};
use super::{Parsed, Refusal};

/// Requests about memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Memory {
    /// `m`: bytes, in hexadecimal.
    Read {
        /// Where.
        address: u64,
        /// How many; the reply may hold fewer.
        length: u64,
    },
    /// `x`: bytes, as they are.
    ReadBinary {
        /// Where.
        address: u64,
        /// How many; the reply may hold fewer.
        length: u64,
    },
    /// `M`: writes bytes that came in hexadecimal.
    Write {
        /// Where.
        address: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// `X`: writes bytes that came as they are.
    WriteBinary {
        /// Where.
        address: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// `qSearch:memory`: the first place with these bytes.
    Search {
        /// Where to begin.
        address: u64,
        /// How far.
        length: u64,
        /// For what.
        pattern: Vec<u8>,
    },
    /// `qCRC`: a checksum, see [`crc`].
    Crc {
        /// Where.
        address: u64,
        /// How many bytes.
        length: u64,
    },
    /// `qMemoryRegionInfo` (LLDB): the mapping, or the gap, around an address.
    Region(u64),
    /// `_M` (LLDB): maps new memory.
    Allocate {
        /// Bytes.
        size: u64,
        /// `rwx` or part of it.
        permissions: String,
    },
    /// `_m` (LLDB): unmaps it.
    Free(u64),
}

pub(super) fn parse(packet: &[u8]) -> Parsed<Memory> {
    let mut cursor = Cursor::new(packet.get(1..)?);
    Some(match packet[0] {
        b'm' => range(&mut cursor).map(|(address, length)| Memory::Read { address, length }),
        b'x' => range(&mut cursor).map(|(address, length)| Memory::ReadBinary { address, length }),
        b'M' => write(&mut cursor, unhex).map(|(address, bytes)| Memory::Write { address, bytes }),
        b'X' => write(&mut cursor, |bytes| Ok(bytes.to_vec()))
            .map(|(address, bytes)| Memory::WriteBinary { address, bytes }),
        b'_' => match packet.get(1) {
            Some(b'M') => allocate(Cursor::new(&packet[2..])),
            Some(b'm') => hex_number(&packet[2..]).map(Memory::Free).ok_or(Refusal::Malformed),
            _ => return None,
        },
        b'q' => match packet {
            _ if packet.starts_with(b"qSearch:memory:") => search(Cursor::new(&packet[15..])),
            _ if packet.starts_with(b"qCRC:") => {
                range(&mut Cursor::new(&packet[5..])).map(|(address, length)| Memory::Crc { address, length })
            }
            _ if packet.starts_with(b"qMemoryRegionInfo:") => {
                hex_number(&packet[18..]).map(Memory::Region).ok_or(Refusal::Malformed)
            }
            _ => return None,
        },
        _ => return None,
    })
}

/// Takes `ADDRESS,LENGTH`, the last thing of the packet.
fn range(cursor: &mut Cursor<'_>) -> Result<(u64, u64), Refusal> {
    let address = cursor.number()?;
    cursor.expect(b',')?;
    let length = cursor.number()?;
    cursor.end((address, length))
}

/// Takes `ADDRESS,LENGTH:BYTES`, with as many bytes as the length says.
fn write(cursor: &mut Cursor<'_>, decode: fn(&[u8]) -> Result<Vec<u8>, Refusal>) -> Result<(u64, Vec<u8>), Refusal> {
    let address = cursor.number()?;
    cursor.expect(b',')?;
    let length = cursor.number()?;
    cursor.expect(b':')?;
    let bytes = decode(cursor.rest())?;
    if bytes.len() as u64 == length { Ok((address, bytes)) } else { Err(Refusal::Malformed) }
}

fn search(mut cursor: Cursor<'_>) -> Result<Memory, Refusal> {
    let address = cursor.number()?;
    cursor.expect(b';')?;
    let length = cursor.number()?;
    cursor.expect(b';')?;
    Ok(Memory::Search { address, length, pattern: cursor.rest().to_vec() })
}

fn allocate(mut cursor: Cursor<'_>) -> Result<Memory, Refusal> {
    let size = cursor.number()?;
    cursor.expect(b',')?;
    let permissions = cursor.rest();
    if permissions.iter().any(|byte| !b"rwx".contains(byte)) {
        return Err(Refusal::Malformed);
    }
    Ok(Memory::Allocate { size, permissions: String::from_utf8_lossy(permissions).into_owned() })
}

impl Memory {
    pub(super) fn print(&self, out: &mut Vec<u8>) {
        let range = |out: &mut Vec<u8>, name: &str, address: u64, separator: u8, length: u64| {
            push(out, name);
            push_number(out, address);
            out.push(separator);
            push_number(out, length);
        };
        match self {
            Memory::Read { address, length } => range(out, "m", *address, b',', *length),
            Memory::ReadBinary { address, length } => range(out, "x", *address, b',', *length),
            Memory::Write { address, bytes } => {
                range(out, "M", *address, b',', bytes.len() as u64);
                out.push(b':');
                push_hex(out, bytes);
            }
            Memory::WriteBinary { address, bytes } => {
                range(out, "X", *address, b',', bytes.len() as u64);
                out.push(b':');
                out.extend_from_slice(bytes);
            }
            Memory::Search { address, length, pattern } => {
                range(out, "qSearch:memory:", *address, b';', *length);
                out.push(b';');
                out.extend_from_slice(pattern);
            }
            Memory::Crc { address, length } => range(out, "qCRC:", *address, b',', *length),
            Memory::Region(address) => {
                push(out, "qMemoryRegionInfo:");
                push_number(out, *address);
            }
            Memory::Allocate { size, permissions } => {
                push(out, "_M");
                push_number(out, *size);
                out.push(b',');
                push(out, permissions);
            }
            Memory::Free(address) => {
                push(out, "_m");
                push_number(out, *address);
            }
        }
    }
}

/// The reply to [`Memory::Region`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Region {
    /// Its first address.
    pub start: u64,
    /// Its bytes; 0 stands for all up to the end of the address space.
    pub size: u64,
    /// `rwx` or part of it; `None` for a gap.
    pub permissions: Option<String>,
    /// The file, or what the system calls it.
    pub name: String,
}

impl Region {
    /// Appends the reply.
    pub fn print(&self, out: &mut Vec<u8>) {
        push(out, "start:");
        push_number(out, self.start);
        push(out, ";size:");
        push_number(out, self.size);
        out.push(b';');
        if let Some(permissions) = &self.permissions {
            push(out, &format!("permissions:{permissions};"));
        }
        if !self.name.is_empty() {
            push(out, "name:");
            push_hex(out, self.name.as_bytes());
            out.push(b';');
        }
    }

    /// Reads the reply; keys of others are passed over.
    pub fn parse(reply: &[u8]) -> Result<Region, Refusal> {
        let mut region = Region::default();
        let mut cursor = Cursor::new(reply);
        let (mut start, mut size) = (false, false);
        while !cursor.is_done() {
            let key = cursor.until(b':');
            let value = cursor.until(b';');
            match key {
                b"start" => (region.start, start) = (hex_number(value).ok_or(Refusal::Malformed)?, true),
                b"size" => (region.size, size) = (hex_number(value).ok_or(Refusal::Malformed)?, true),
                b"permissions" => region.permissions = Some(String::from_utf8_lossy(value).into_owned()),
                b"name" => region.name = unhex_text(value)?,
                _ => {}
            }
        }
        if start && size { Ok(region) } else { Err(Refusal::Malformed) }
    }
}

/// The checksum of [`Memory::Crc`]: polynomial 04c11db7, most significant bit first, start ffffffff, no final
/// exclusive-or (the manual calls for the one of GDB's `compare-sections`).
pub fn crc() -> crc::Digest<'static, u32> {
    static CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_MPEG_2);
    CRC.digest()
}
