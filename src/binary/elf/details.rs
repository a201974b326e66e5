//! What takes a closer look at an ELF file: its dynamic section, notes and a few small sections.

use memchr::memmem;
use object::elf;
use object::read::StringTable;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, ReadRef};

use super::super::{Details, Object, Reader};
use super::file::File;
use crate::error::Result;

/// Functions that are only called when a stack was overwritten.
const CANARIES: &[&[u8]] = &[b"__stack_chk_fail", b"__stack_smash_handler", b"__intel_security_cookie"];

/// How the functions of sanitizers begin.
const SANITIZERS: &[&[u8]] = &[b"\0__asan_", b"\0__ubsan_", b"\0__tsan_", b"\0__msan_", b"\0__hwasan_"];

/// Most names that are looked through without an index.
const NAMES: u64 = 16 << 20;

/// Longest small section that is read whole.
const SMALL: u64 = 64 * 1024;

/// See [`crate::binary::details`].
pub(in super::super) fn details<Elf>(reader: &Reader<'_>, object: &Object) -> Result<Details>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let mut file = File::<Elf>::open(reader, object)?;
    let small = |range: std::ops::Range<u64>| range.start..range.end.min(range.start + SMALL);
    let sections = [".comment", ".gnu_debuglink", ".gnu_debugaltlink", ".dynamic", ".dynstr"];
    // The symbols are likely to be asked for next, and lie beside the names.
    file.expect_symbols_with(sections.iter().filter_map(|name| file.range_of(name)).map(small).collect());
    let mut details = Details { relro: "no", language: "c", ..Details::default() };

    let dynamic = file.dynamic();
    let strings = file.dynamic_names(&dynamic);
    let table = StringTable::new(reader, strings.start, strings.end);
    let string = |offset: u64| {
        let name = u32::try_from(offset).ok().and_then(|offset| table.get(offset).ok())?;
        Some(String::from_utf8_lossy(name).into_owned())
    };
    let mut bound_now = false;
    for (tag, value) in &dynamic {
        let (tag, value) = (*tag, *value);
        let name = match tag {
            elf::DT_NEEDED | elf::DT_SONAME | elf::DT_RPATH | elf::DT_RUNPATH => string(value),
            elf::DT_BIND_NOW => {
                bound_now = true;
                continue;
            }
            elf::DT_FLAGS => {
                bound_now |= value & elf::DF_BIND_NOW.0 != 0;
                continue;
            }
            elf::DT_FLAGS_1 => {
                bound_now |= value & elf::DF_1_NOW.0 != 0;
                continue;
            }
            _ => continue,
        };
        match (tag, name) {
            (_, None) => details
                .warnings
                .push(format!("dynamic entry {tag:?}: its name (0x{value:x}) lies outside of the names")),
            (elf::DT_NEEDED, Some(name)) => details.libraries.push(name),
            (elf::DT_SONAME, Some(name)) => details.soname = Some(name),
            (_, Some(name)) => details.rpath = Some(name),
        }
    }
    if file.programs.iter().any(|program| program.p_type(file.endian) == elf::PT_GNU_RELRO) {
        details.relro = if bound_now { "full" } else { "partial" };
    }

    // Names are looked through as bytes: no table needs to be parsed for a yes or no.
    let names = match file.section_of_type(elf::SHT_SYMTAB) {
        Some((_, section)) if strings.is_empty() => file.section(section.sh_link(file.endian) as usize),
        _ => None,
    };
    let names = names.map_or(strings.clone(), |section| file.range(section));
    let names = file.bytes(names.start..names.end.min(names.start + NAMES));
    details.canary = CANARIES.iter().any(|name| whole(names, name));
    details.sanitized = SANITIZERS.iter().any(|name| memmem::find(names, name).is_some());

    let comment = file.range_of(".comment").map(small).unwrap_or(0..0);
    for text in file.bytes(comment).split(|byte| *byte == 0).filter(|text| !text.is_empty()) {
        let text = String::from_utf8_lossy(text).trim().to_string();
        if !details.compiler.contains(&text) {
            details.compiler.push(text);
        }
    }
    details.language = language(object, &details);
    details.build_id = file.build_id();
    if let Some(range) = file.range_of(".gnu_debuglink").map(small) {
        details.debug_link = debug_link(file.bytes(range), file.endian);
        if details.debug_link.is_none() {
            details.warnings.push(".gnu_debuglink: it is cut short".to_string());
        }
    }
    if let Some(range) = file.range_of(".gnu_debugaltlink").map(small) {
        let data = file.bytes(range);
        details.debug_alt_link = memchr::memchr(0, data)
            .map(|end| (String::from_utf8_lossy(&data[..end]).into_owned(), data[end + 1..].to_vec()));
    }
    details.warnings.append(&mut file.warnings);
    Ok(details)
}

/// Whether `name` is one of the zero-terminated `names`.
fn whole(names: &[u8], name: &[u8]) -> bool {
    memmem::find_iter(names, name)
        .any(|at| (at == 0 || names[at - 1] == 0) && matches!(names.get(at + name.len()), Some(0 | b'@') | None))
}

fn language(object: &Object, details: &Details) -> &'static str {
    let compiled = |by: &str| details.compiler.iter().any(|text| text.contains(by));
    let linked = |with: &str| details.libraries.iter().any(|name| name.starts_with(with));
    match () {
        () if object.section(".go.buildinfo").is_some() || object.section(".gopclntab").is_some() => "go",
        () if compiled("rustc") => "rust",
        () if linked("libstdc++") || linked("libc++") => "c++",
        () => "c",
    }
}

/// The name, zeros up to a multiple of four, the checksum.
fn debug_link(data: &[u8], endian: Endianness) -> Option<(String, u32)> {
    let end = memchr::memchr(0, data)?;
    let at = (end + 1).next_multiple_of(4);
    let bytes = data.get(at..)?.first_chunk::<4>()?;
    let checksum = match endian {
        Endianness::Little => u32::from_le_bytes(*bytes),
        Endianness::Big => u32::from_be_bytes(*bytes),
    };
    Some((String::from_utf8_lossy(&data[..end]).into_owned(), checksum))
}

impl<Elf: FileHeader<Endian = Endianness>> File<'_, '_, Elf> {
    /// The build id (NT_GNU_BUILD_ID) of the notes.
    fn build_id(&self) -> Option<Vec<u8>> {
        let by_section = self.sections.iter().filter_map(|section| section.notes(self.endian, self.reader).ok()?);
        let by_segment = self.programs.iter().filter_map(|program| program.notes(self.endian, self.reader).ok()?);
        by_section.chain(by_segment).find_map(|mut notes| {
            while let Ok(Some(note)) = notes.next() {
                if note.name() == elf::ELF_NOTE_GNU && note.n_type(self.endian) == elf::NT_GNU_BUILD_ID {
                    return Some(note.desc().to_vec());
                }
            }
            None
        })
    }

    /// Like `expect_symbols`, and these stretches besides. What lies at the end of a large file of debug information
    /// is not wanted.
    fn expect_symbols_with(&self, mut ranges: Vec<std::ops::Range<u64>>) {
        if let Some((_, section)) = self.section_of_type(elf::SHT_DYNSYM) {
            ranges.push(self.range(section));
            ranges.extend(self.stub_ranges());
        }
        let length = self.reader.len().unwrap_or(0);
        ranges.retain(|range| range.end <= length);
        self.reader.expect(ranges);
    }
}
