//! The fields of the header, one by one.

use super::{Object, Reader};
use crate::error::Result;

/// A field of the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Name.
    pub name: &'static str,
    /// Offset in the device.
    pub paddr: u64,
    /// Where that is in memory.
    pub vaddr: u64,
    /// What is in it.
    pub value: u64,
    /// The value in words, if there are any.
    pub meaning: String,
}

/// Name, offset and bytes of each field of an ELF header (gABI, chapter 4).
const ELF64: &[(&str, u64, usize)] = &[
    ("ELF64", 0, 4),
    ("Class", 4, 1),
    ("Data", 5, 1),
    ("OSABI", 7, 1),
    ("Type", 0x10, 2),
    ("Machine", 0x12, 2),
    ("Version", 0x14, 4),
    ("EntryPoint", 0x18, 8),
    ("PhOff", 0x20, 8),
    ("ShOff", 0x28, 8),
    ("Flags", 0x30, 4),
    ("EhSize", 0x34, 2),
    ("PhentSize", 0x36, 2),
    ("PhNum", 0x38, 2),
    ("ShentSize", 0x3a, 2),
    ("ShNum", 0x3c, 2),
    ("ShrStrndx", 0x3e, 2),
];

const ELF32: &[(&str, u64, usize)] = &[
    ("ELF32", 0, 4),
    ("Class", 4, 1),
    ("Data", 5, 1),
    ("OSABI", 7, 1),
    ("Type", 0x10, 2),
    ("Machine", 0x12, 2),
    ("Version", 0x14, 4),
    ("EntryPoint", 0x18, 4),
    ("PhOff", 0x1c, 4),
    ("ShOff", 0x20, 4),
    ("Flags", 0x24, 4),
    ("EhSize", 0x28, 2),
    ("PhentSize", 0x2a, 2),
    ("PhNum", 0x2c, 2),
    ("ShentSize", 0x2e, 2),
    ("ShNum", 0x30, 2),
    ("ShrStrndx", 0x32, 2),
];

/// The COFF header, behind `PE\0\0` in a PE file (Microsoft PE format, "COFF File Header").
const COFF: &[(&str, u64, usize)] = &[
    ("Machine", 0, 2),
    ("Sections", 2, 2),
    ("TimeStamp", 4, 4),
    ("SymTable", 8, 4),
    ("Symbols", 12, 4),
    ("OptSize", 16, 2),
    ("Flags", 18, 2),
];

const MACHO: &[(&str, u64, usize)] = &[
    ("MACH0", 0, 4),
    ("CpuType", 4, 4),
    ("CpuSubtype", 8, 4),
    ("FileType", 12, 4),
    ("Commands", 16, 4),
    ("CommandsSz", 20, 4),
    ("Flags", 24, 4),
];

const MAGIC: &[(&str, u64, usize)] = &[("Magic", 0, 4), ("Version", 4, 4)];

/// See [`super::header`].
pub(super) fn header(reader: &Reader<'_>, object: &Object) -> Result<Vec<Field>> {
    let little = |at: u64, size: usize| number(reader, at, size, false);
    let (base, fields) = match object.format {
        "elf64" => (0, ELF64),
        "elf" => (0, ELF32),
        "pe" | "pe64" => (little(0x3c, 4).unwrap_or(0) + 4, COFF),
        "coff" => (0, COFF),
        "mach0" | "mach064" => (0, MACHO),
        _ => (0, MAGIC),
    };
    let mut list = Vec::new();
    for (name, offset, size) in fields {
        // Magic numbers are read as this machine would.
        let big = object.big_endian && !(*offset == 0 && object.format.starts_with("elf"));
        let Some(value) = number(reader, base + offset, *size, big) else { continue };
        let meaning = match *name {
            "Type" | "FileType" => object.kind_name.clone(),
            "Machine" | "CpuType" => object.machine.clone(),
            "Class" => object.class.to_string(),
            "Data" => if object.big_endian { "big endian" } else { "little endian" }.to_string(),
            _ => String::new(),
        };
        list.push(Field {
            name,
            paddr: object.offset + base + offset,
            vaddr: object.base.wrapping_add(base + offset),
            value,
            meaning,
        });
    }
    Ok(list)
}

fn number(reader: &Reader<'_>, at: u64, size: usize, big: bool) -> Option<u64> {
    let bytes = object::ReadRef::read_bytes_at(reader, at, size as u64).ok()?;
    let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    Some(if big { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) })
}
