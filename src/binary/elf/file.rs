//! An ELF file opened for its tables: found by the section headers or, without those, by the dynamic segment.

use std::ops::Range;

use object::elf;
use object::endian::U32;
use object::pod::Pod;
use object::read::StringTable;
use object::read::elf::{Dyn as _, FileHeader, GnuHashTable, HashTable, ProgramHeader, SectionHeader, SectionTable};
use object::{Endianness, ReadRef};

use super::super::parse::damaged;
use super::super::{LIST_LIMIT, Object, Reader};
use super::{file_range, programs, section_table};
use crate::error::Result;

/// The parts of an ELF file that lead to the others.
pub(super) struct File<'a, 'd, Elf: FileHeader<Endian = Endianness>> {
    pub reader: &'a Reader<'d>,
    pub endian: Endianness,
    pub machine: elf::Machine,
    pub programs: &'a [Elf::ProgramHeader],
    pub sections: SectionTable<'a, Elf, &'a Reader<'d>>,
    pub object: &'a Object,
    /// MIPS64 little-endian packs the fields of relocations in its own way.
    pub mips64el: bool,
    pub warnings: Vec<String>,
}

/// A table of symbols.
pub(super) struct Symbols<'a, 'd, Elf: FileHeader<Endian = Endianness>> {
    pub symbols: &'a [Elf::Sym],
    pub names: StringTable<'a, &'a Reader<'d>>,
    /// Where the numbers of sections are that do not fit into a symbol.
    pub extended: &'a [U32<Endianness>],
}

/// A table of relocations.
#[derive(Debug, Clone)]
pub(super) struct Patches {
    pub range: Range<u64>,
    pub form: Form,
    /// Index of the section with the symbols, and of the one that is patched.
    pub symbols: Option<usize>,
    pub target: Option<usize>,
}

/// How relocations are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Rel,
    Rela,
    Relr,
}

impl<'a, 'd, Elf: FileHeader<Endian = Endianness>> File<'a, 'd, Elf> {
    pub fn open(reader: &'a Reader<'d>, object: &'a Object) -> Result<File<'a, 'd, Elf>> {
        let header = Elf::parse(reader).map_err(|e| damaged("ELF header", e))?;
        let endian = header.endian().map_err(|e| damaged("e_ident", e))?;
        // What is wrong with the headers was said when they were first read.
        let mut known = Vec::new();
        let programs = programs(reader, header, endian, &mut known);
        let sections = section_table(reader, header, endian, &mut known);
        Ok(File {
            reader,
            endian,
            machine: header.e_machine(endian),
            programs,
            sections,
            object,
            mips64el: header.is_mips64el(endian),
            warnings: Vec::new(),
        })
    }

    /// The stretch of the file that `section` takes, as far as it is there.
    pub fn range(&self, section: &Elf::SectionHeader) -> Range<u64> {
        let (start, size) = section.file_range(self.endian).unwrap_or((0, 0));
        let length = self.reader.len().unwrap_or(0);
        start.min(length)..start.saturating_add(size).min(length)
    }

    /// The section with this number.
    pub fn section(&self, index: usize) -> Option<&'a Elf::SectionHeader> {
        self.sections.section(object::SectionIndex(index)).ok()
    }

    /// The first section of this type, with its number.
    pub fn section_of_type(&self, wanted: elf::SectionType) -> Option<(usize, &'a Elf::SectionHeader)> {
        self.sections
            .enumerate()
            .find(|(_, section)| section.sh_type(self.endian) == wanted)
            .map(|(index, section)| (index.0, section))
    }

    /// The stretch of the section called `name`.
    pub fn range_of(&self, name: &str) -> Option<Range<u64>> {
        let (_, section) = self.sections.section_by_name(self.endian, name.as_bytes())?;
        Some(self.range(section)).filter(|range| !range.is_empty())
    }

    /// The bytes of `range`; nothing when they cannot be read.
    pub fn bytes(&self, range: Range<u64>) -> &'a [u8] {
        self.reader.read_bytes_at(range.start, range.end.saturating_sub(range.start)).unwrap_or(&[])
    }

    /// The entries that lie whole in `range`.
    pub fn array<T: Pod>(&mut self, what: &str, range: Range<u64>) -> &'a [T] {
        let count = (range.end.saturating_sub(range.start)) / size_of::<T>().max(1) as u64;
        let count = usize::try_from(count).unwrap_or(0).min(LIST_LIMIT);
        self.reader.read_slice_at(range.start, count).unwrap_or_else(|()| {
            self.warnings.push(format!("{what}: 0x{:x} bytes at 0x{:x} cannot be read", count, range.start));
            &[]
        })
    }

    /// The table of symbols in the section of type `wanted`; the dynamic one also by the dynamic segment.
    pub fn symbols(&mut self, wanted: elf::SectionType) -> Option<Symbols<'a, 'd, Elf>> {
        let Some((index, section)) = self.section_of_type(wanted) else {
            return if wanted == elf::SHT_DYNSYM { self.symbols_by_segment() } else { None };
        };
        let what = if wanted == elf::SHT_DYNSYM { "dynamic symbols" } else { "symbols" };
        let range = self.range(section);
        let declared: u64 = section.sh_size(self.endian).into();
        if range.end - range.start < declared {
            self.warnings.push(format!("{what} (section {index}): sh_size 0x{declared:x} passes the end of the file"));
        }
        let symbols = self.array(what, range);
        let link = section.sh_link(self.endian) as usize;
        let names = match self.section(link).filter(|strings| strings.sh_type(self.endian) == elf::SHT_STRTAB) {
            Some(strings) => {
                let range = self.range(strings);
                StringTable::new(self.reader, range.start, range.end)
            }
            None => {
                self.warnings.push(format!("{what} (section {index}): sh_link {link} is no table of names"));
                StringTable::default()
            }
        };
        let extended = self.sections.iter().find(|section| {
            section.sh_type(self.endian) == elf::SHT_SYMTAB_SHNDX && section.sh_link(self.endian) as usize == index
        });
        let extended = match extended {
            Some(section) => {
                let range = self.range(section);
                self.array("extended section numbers", range)
            }
            None => &[],
        };
        Some(Symbols { symbols, names, extended })
    }

    /// The tag and value of every dynamic entry.
    pub fn dynamic(&mut self) -> Vec<(elf::DynamicTag, u64)> {
        let segment = self.programs.iter().find(|program| program.p_type(self.endian) == elf::PT_DYNAMIC);
        let range = match (self.section_of_type(elf::SHT_DYNAMIC), segment) {
            (Some((_, section)), _) => self.range(section),
            (None, Some(program)) => {
                let (start, size) = program.file_range(self.endian);
                let length = self.reader.len().unwrap_or(0);
                start.min(length)..start.saturating_add(size).min(length)
            }
            (None, None) => return Vec::new(),
        };
        let entries: &[Elf::Dyn] = self.array("dynamic section", range);
        let entries = entries.iter().map(|entry| (entry.tag(self.endian), entry.val(self.endian)));
        entries.take_while(|(tag, _)| *tag != elf::DT_NULL).collect()
    }

    /// The value of the first dynamic entry `tag`.
    fn dynamic_value(entries: &[(elf::DynamicTag, u64)], tag: elf::DynamicTag) -> Option<u64> {
        entries.iter().find(|(found, _)| *found == tag).map(|(_, value)| *value)
    }

    /// The file range of what a dynamic entry points to: `size` bytes, or all that its segment has.
    fn pointed(&self, vaddr: u64, size: Option<u64>) -> Option<Range<u64>> {
        let range = file_range(self.programs, self.endian, vaddr)?;
        let length = self.reader.len().unwrap_or(0);
        let end = size.map_or(range.end, |size| range.start.saturating_add(size).min(range.end));
        Some(range.start.min(length)..end.min(length))
    }

    /// The names that dynamic entries refer to.
    pub fn dynamic_names(&mut self, entries: &[(elf::DynamicTag, u64)]) -> Range<u64> {
        if let Some((_, section)) = self.section_of_type(elf::SHT_DYNAMIC)
            && let Some(strings) = self.section(section.sh_link(self.endian) as usize)
        {
            return self.range(strings);
        }
        let at = Self::dynamic_value(entries, elf::DT_STRTAB);
        at.and_then(|at| self.pointed(at, Self::dynamic_value(entries, elf::DT_STRSZ))).unwrap_or(0..0)
    }

    /// The dynamic symbols of a file without section headers.
    fn symbols_by_segment(&mut self) -> Option<Symbols<'a, 'd, Elf>> {
        let entries = self.dynamic();
        let symbols = self.pointed(Self::dynamic_value(&entries, elf::DT_SYMTAB)?, None)?;
        let names = self.dynamic_names(&entries);
        let count = self.symbol_count(&entries)?;
        let end = symbols.start.saturating_add(count.saturating_mul(size_of::<Elf::Sym>() as u64)).min(symbols.end);
        let symbols = self.array("dynamic symbols", symbols.start..end);
        let names = StringTable::new(self.reader, names.start, names.end);
        Some(Symbols { symbols, names, extended: &[] })
    }

    /// How many dynamic symbols there are, as the hash tables count them.
    fn symbol_count(&self, entries: &[(elf::DynamicTag, u64)]) -> Option<u64> {
        let data = |tag| {
            let range = self.pointed(Self::dynamic_value(entries, tag)?, None)?;
            self.reader.read_bytes_at(range.start, range.end - range.start).ok()
        };
        if let Some(count) = data(elf::DT_HASH)
            .and_then(|data| HashTable::<Elf>::parse(self.endian, data).ok())
            .map(|table| table.symbol_table_length())
        {
            return Some(count.into());
        }
        let table = GnuHashTable::<Elf>::parse(self.endian, data(elf::DT_GNU_HASH)?).ok()?;
        table.symbol_table_length(self.endian).map(u64::from)
    }

    /// Every table of relocations.
    pub fn patches(&mut self) -> Vec<Patches> {
        if !self.sections.is_empty() {
            let tables = self.sections.iter().filter_map(|section| {
                let form = match section.sh_type(self.endian) {
                    elf::SHT_REL => Form::Rel,
                    elf::SHT_RELA => Form::Rela,
                    elf::SHT_RELR => Form::Relr,
                    _ => return None,
                };
                let index = |number: u32| Some(number as usize).filter(|index| *index != 0);
                Some(Patches {
                    range: self.range(section),
                    form,
                    symbols: index(section.sh_link(self.endian)),
                    target: index(section.sh_info(self.endian)),
                })
            });
            return tables.collect();
        }
        let entries = self.dynamic();
        let table = |at, size, form| {
            let range = self.pointed(Self::dynamic_value(&entries, at)?, Some(Self::dynamic_value(&entries, size)?))?;
            Some(Patches { range, form, symbols: None, target: None })
        };
        let lazy = match Self::dynamic_value(&entries, elf::DT_PLTREL) {
            Some(form) if form == elf::DT_REL.0 as u64 => Form::Rel,
            _ => Form::Rela,
        };
        let tables = [
            table(elf::DT_RELA, elf::DT_RELASZ, Form::Rela),
            table(elf::DT_REL, elf::DT_RELSZ, Form::Rel),
            table(elf::DT_RELR, elf::DT_RELRSZ, Form::Relr),
            table(elf::DT_JMPREL, elf::DT_PLTRELSZ, lazy),
        ];
        tables.into_iter().flatten().collect()
    }
}
