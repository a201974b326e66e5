//! ELF: headers, segments and sections (gABI, chapters 4 and 5).

mod details;
mod file;
mod plt;
mod relocations;
mod symbols;
mod versions;

use std::ops::Range;

use object::elf;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable};
use object::{Endianness, ReadRef};

pub(super) use details::details;
pub(super) use relocations::relocations;
pub(super) use symbols::symbols;
pub(super) use versions::versions;

use super::parse::damaged;
use super::{Entry, Kind, LIST_LIMIT, Object, Placement, Reader, Section, Segment, arch};
use crate::error::Result;
use crate::io::Access;

/// Where files that are to be linked are laid out: they have no addresses of their own.
pub(super) const RELOCATABLE_BASE: u64 = 0x0800_0000;

/// Bytes before the section headers that are fetched along with them: the names lie there.
const NAMES: u64 = 4096;

/// See [`super::object`].
pub(super) fn object<Elf>(reader: &Reader<'_>, placement: Placement) -> Result<Object>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let header = Elf::parse(reader).map_err(|e| damaged("ELF header", e))?;
    let endian = header.endian().map_err(|e| damaged("e_ident", e))?;
    let mut warnings = Vec::new();
    let length = reader.len().unwrap_or(0);
    let sections_at: u64 = header.e_shoff(endian).into();
    let sections_end =
        sections_at.saturating_add(u64::from(header.e_shnum(endian)).max(1) * u64::from(header.e_shentsize(endian)));
    if sections_at != 0 {
        reader.expect(std::iter::once(sections_at.saturating_sub(NAMES)..sections_end));
    }

    let programs = programs(reader, header, endian, &mut warnings);
    let table = section_table(reader, header, endian, &mut warnings);

    let file_type = header.e_type(endian);
    let kind = match file_type {
        elf::ET_REL => Kind::Relocatable,
        elf::ET_EXEC => Kind::Executable,
        elf::ET_DYN => Kind::Dynamic,
        elf::ET_CORE => Kind::Core,
        _ => Kind::Other,
    };
    let loads = || programs.iter().filter(|program| program.p_type(endian) == elf::PT_LOAD);
    let preferred = loads()
        .map(|program| {
            let (vaddr, offset): (u64, u64) = (program.p_vaddr(endian).into(), program.p_offset(endian).into());
            vaddr.wrapping_sub(offset) & !0xfff
        })
        .next()
        .unwrap_or(if kind == Kind::Relocatable { RELOCATABLE_BASE } else { 0 });
    let base = placement.base.unwrap_or(preferred);
    let shift = base.wrapping_sub(preferred);
    let machine = arch::of_elf(header.e_machine(endian));
    let is_64 = header.is_type_64();
    let class_bits = if is_64 { 64 } else { 32 };
    let bits = if machine.bits == 0 { class_bits } else { machine.bits };

    let segments = segments(programs, endian, reader.start(), shift);
    let names = elf::machine_names(header.e_machine(endian));
    let mut sections = Vec::with_capacity(table.len().min(4096));
    let mut unnamed = 0;
    for (index, section) in table.enumerate().take(LIST_LIMIT) {
        let name = match table.section_name(endian, section) {
            Ok(name) => String::from_utf8_lossy(name).into_owned(),
            Err(_) => {
                unnamed += 1;
                String::new()
            }
        };
        let flags = section.sh_flags(endian);
        let section_type = section.sh_type(endian);
        let (offset, size): (u64, u64) = (section.sh_offset(endian).into(), section.sh_size(endian).into());
        let loaded = flags.contains(elf::SHF_ALLOC);
        let in_file = section_type != elf::SHT_NOBITS;
        if in_file
            && size > 0
            && section_type != elf::SHT_NULL
            && offset.checked_add(size).is_none_or(|end| end > length)
        {
            warnings.push(format!(
                "section {}: sh_offset 0x{offset:x} and sh_size 0x{size:x} pass the end of the file",
                index.0
            ));
        }
        let address: u64 = section.sh_addr(endian).into();
        let vaddr = match kind {
            Kind::Relocatable if loaded => base.wrapping_add(offset),
            _ if address == 0 && !loaded => 0,
            _ => address.wrapping_add(shift),
        };
        sections.push(Section {
            index: index.0 as u32,
            name,
            paddr: reader.start().wrapping_add(offset),
            size: if in_file { size } else { 0 },
            vaddr,
            vsize: size,
            access: Access {
                read: loaded,
                write: flags.contains(elf::SHF_WRITE),
                execute: flags.contains(elf::SHF_EXECINSTR),
            },
            kind: match names.sht.name(section_type) {
                Some(name) => name.trim_start_matches("SHT_").to_string(),
                None => format!("0x{:x}", section_type.0),
            },
            flags: section_flags(flags),
            loaded,
        });
    }
    if unnamed > 0 {
        warnings.push(format!("sh_name: {unnamed} names lie outside of the table of section names (e_shstrndx)"));
    }

    let interpreter = programs.iter().find(|program| program.p_type(endian) == elf::PT_INTERP).and_then(|program| {
        match program.interpreter(endian, reader) {
            Ok(name) => name.map(|name| String::from_utf8_lossy(name).into_owned()),
            Err(error) => {
                warnings.push(format!("PT_INTERP: {error}"));
                None
            }
        }
    });
    let has = |section_type| table.iter().any(|section| section.sh_type(endian) == section_type);
    let is_dynamic = programs.iter().any(|program| program.p_type(endian) == elf::PT_DYNAMIC) || has(elf::SHT_DYNAMIC);
    let stack = programs.iter().find(|program| program.p_type(endian) == elf::PT_GNU_STACK);
    let mut object = Object {
        format: if is_64 { "elf64" } else { "elf" },
        class: if is_64 { "ELF64" } else { "ELF32" },
        kind,
        kind_name: kind_name(file_type),
        arch: machine.arch,
        cpu: machine.cpu,
        bits,
        big_endian: header.is_big_endian(),
        machine: machine.name.to_string(),
        os: os(header.e_ident().os_abi),
        subsystem: os(header.e_ident().os_abi).to_string(),
        base,
        shift,
        offset: reader.start(),
        size: length,
        entries: Vec::new(),
        segments,
        sections,
        interpreter: interpreter.clone(),
        pic: kind == Kind::Dynamic,
        nx: stack.is_some_and(|stack| !stack.p_flags(endian).contains(elf::PF_X)),
        stripped: kind != Kind::Relocatable && !has(elf::SHT_SYMTAB),
        is_static: interpreter.is_none() && !is_dynamic,
        line_numbers: false,
        members: Vec::new(),
        warnings,
    };
    object.line_numbers =
        object.sections.iter().any(|section| matches!(&*section.name, ".debug_line" | ".zdebug_line"));
    let entry: u64 = header.e_entry(endian).into();
    if entry != 0 || kind == Kind::Executable {
        let thumb = machine.arch == "arm" && bits == 32 && entry & 1 != 0;
        let vaddr = (entry & !u64::from(thumb)).wrapping_add(shift);
        if thumb {
            // What is entered as Thumb code is Thumb code for the most part.
            object.bits = 16;
        }
        object.entries.push(Entry {
            vaddr,
            paddr: object.paddr(vaddr).unwrap_or(0),
            haddr: Some(reader.start() + 0x18),
            kind: "program",
        });
    }
    Ok(object)
}

/// The program headers as far as they can be read.
fn programs<'a, Elf>(
    reader: &'a Reader<'_>,
    header: &Elf,
    endian: Endianness,
    warnings: &mut Vec<String>,
) -> &'a [Elf::ProgramHeader]
where
    Elf: FileHeader<Endian = Endianness>,
{
    header.program_headers(endian, reader).unwrap_or_else(|error| {
        let at: u64 = header.e_phoff(endian).into();
        warnings.push(format!("program headers (e_phoff 0x{at:x}): {error}"));
        readable(reader, at, header.e_phnum(endian).into())
    })
}

/// The section table as far as it can be read.
fn section_table<'a, 'd, Elf>(
    reader: &'a Reader<'d>,
    header: &Elf,
    endian: Endianness,
    warnings: &mut Vec<String>,
) -> SectionTable<'a, Elf, &'a Reader<'d>>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let headers = match header.section_headers(endian, reader) {
        Ok(headers) => headers,
        Err(error) => {
            let at: u64 = header.e_shoff(endian).into();
            warnings.push(format!("section headers (e_shoff 0x{at:x}): {error}"));
            readable::<Elf::SectionHeader>(reader, at, header.e_shnum(endian).into())
        }
    };
    let strings = match header.section_strings(endian, reader, headers) {
        Ok(strings) => strings,
        Err(error) => {
            warnings.push(format!("section names (e_shstrndx): {error}"));
            Default::default()
        }
    };
    SectionTable::new(headers, strings)
}

/// As many of `count` headers at `offset` as are in the file.
fn readable<'a, T: object::pod::Pod>(reader: &'a Reader<'_>, offset: u64, count: u64) -> &'a [T] {
    let room = reader.len().unwrap_or(0).saturating_sub(offset) / size_of::<T>().max(1) as u64;
    let count = usize::try_from(count.min(room)).unwrap_or(0);
    if offset == 0 {
        return &[];
    }
    reader.read_slice_at(offset, count).unwrap_or(&[])
}

fn segments<P>(programs: &[P], endian: Endianness, start: u64, shift: u64) -> Vec<Segment>
where
    P: ProgramHeader<Endian = Endianness>,
{
    let mut loads = 0;
    let segment = |program: &P| {
        let segment_type = program.p_type(endian);
        let loaded = segment_type == elf::PT_LOAD;
        let name = match elf::names().pt.name(segment_type) {
            Some("PT_LOAD") => {
                loads += 1;
                format!("LOAD{}", loads - 1)
            }
            Some("PT_GNU_EH_FRAME") => "GNU_EH_FRAME".to_string(),
            Some(name) => name.trim_start_matches("PT_").to_string(),
            None => format!("0x{:x}", segment_type.0),
        };
        let flags = program.p_flags(endian);
        Segment {
            name,
            paddr: start.wrapping_add(program.p_offset(endian).into()),
            size: program.p_filesz(endian).into(),
            vaddr: program.p_vaddr(endian).into().wrapping_add(shift),
            vsize: program.p_memsz(endian).into(),
            access: Access {
                read: flags.contains(elf::PF_R),
                write: flags.contains(elf::PF_W),
                execute: flags.contains(elf::PF_X),
            },
            loaded,
        }
    };
    programs.iter().map(segment).collect()
}

fn kind_name(file_type: elf::FileType) -> String {
    match file_type {
        elf::ET_NONE => "NONE (None)",
        elf::ET_REL => "REL (Relocatable file)",
        elf::ET_EXEC => "EXEC (Executable file)",
        elf::ET_DYN => "DYN (Shared object file)",
        elf::ET_CORE => "CORE (Core file)",
        other => return format!("0x{:x}", other.0),
    }
    .to_string()
}

fn os(abi: elf::OsAbi) -> &'static str {
    match abi {
        elf::ELFOSABI_NETBSD => "netbsd",
        elf::ELFOSABI_FREEBSD => "freebsd",
        elf::ELFOSABI_OPENBSD => "openbsd",
        elf::ELFOSABI_SOLARIS => "solaris",
        elf::ELFOSABI_AIX => "aix",
        elf::ELFOSABI_HPUX => "hpux",
        _ => "linux",
    }
}

fn section_flags(flags: elf::SectionFlags) -> Vec<&'static str> {
    const NAMES: &[(elf::SectionFlags, &str)] = &[
        (elf::SHF_WRITE, "write"),
        (elf::SHF_ALLOC, "alloc"),
        (elf::SHF_EXECINSTR, "execute"),
        (elf::SHF_MERGE, "merge"),
        (elf::SHF_STRINGS, "strings"),
        (elf::SHF_INFO_LINK, "info"),
        (elf::SHF_LINK_ORDER, "link_order"),
        (elf::SHF_OS_NONCONFORMING, "os"),
        (elf::SHF_GROUP, "group"),
        (elf::SHF_TLS, "tls"),
        (elf::SHF_COMPRESSED, "compressed"),
        (elf::SHF_EXCLUDE, "exclude"),
    ];
    NAMES.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| *name).collect()
}

/// Where in the file the bytes at `vaddr` (as the file has it) lie, and how many follow, by the program headers.
fn file_range<P>(programs: &[P], endian: Endianness, vaddr: u64) -> Option<Range<u64>>
where
    P: ProgramHeader<Endian = Endianness>,
{
    programs.iter().filter(|program| program.p_type(endian) == elf::PT_LOAD).find_map(|program| {
        let (start, size): (u64, u64) = (program.p_vaddr(endian).into(), program.p_filesz(endian).into());
        let inside = vaddr.checked_sub(start).filter(|inside| *inside < size)?;
        let offset: u64 = program.p_offset(endian).into();
        Some(offset.checked_add(inside)?..offset.checked_add(size)?)
    })
}
