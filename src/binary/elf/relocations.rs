//! The relocations of an ELF file (gABI, chapter 6).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader, Rel as _, Rela as _, RelrIterator, SectionHeader, Sym as _};

use super::super::{Kind, LIST_LIMIT, Object, Read, Reader, Relocation};
use super::file::{File, Form, Symbols};
use crate::error::Result;

/// See [`crate::binary::relocations`].
pub(in super::super) fn relocations<Elf>(reader: &Reader<'_>, object: &Object) -> Result<Read<Relocation>>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let mut file = File::<Elf>::open(reader, object)?;
    let tables = file.patches();
    let linked = tables.iter().filter_map(|table| file.section(table.symbols?)).flat_map(|section| {
        let names = file.section(section.sh_link(file.endian) as usize);
        [Some(section), names].into_iter().flatten().map(|section| file.range(section)).collect::<Vec<_>>()
    });
    reader.expect(tables.iter().map(|table| table.range.clone()).chain(linked).collect::<Vec<_>>());
    let mut names = Names { tables: HashMap::new(), known: HashMap::new() };
    let mut list = Vec::new();
    for table in tables {
        if list.len() >= LIST_LIMIT {
            file.warnings.push(format!("relocations: more than {LIST_LIMIT}"));
            break;
        }
        let entries: Vec<(u64, u32, elf::RelocationType, i64)> = match table.form {
            Form::Rela => {
                let entries: &[Elf::Rela] = file.array("relocations (SHT_RELA)", table.range.clone());
                let mips = file.mips64el;
                let read = |r: &Elf::Rela| {
                    let addend: i64 = r.r_addend(file.endian).into();
                    (r.r_offset(file.endian).into(), r.r_sym(file.endian, mips), r.r_type(file.endian, mips), addend)
                };
                entries.iter().map(read).collect()
            }
            Form::Rel => {
                let entries: &[Elf::Rel] = file.array("relocations (SHT_REL)", table.range.clone());
                let read =
                    |r: &Elf::Rel| (r.r_offset(file.endian).into(), r.r_sym(file.endian), r.r_type(file.endian), 0);
                entries.iter().map(read).collect()
            }
            Form::Relr => {
                let data: &[Elf::Relr] = file.array("relocations (SHT_RELR)", table.range.clone());
                let kind = relative(file.machine);
                RelrIterator::<Elf>::new(file.endian, data)
                    .take(LIST_LIMIT)
                    .map(|offset| (offset.into(), 0, kind, 0))
                    .collect()
            }
        };
        let target = table.target.filter(|_| object.kind == Kind::Relocatable);
        let target = target.and_then(|index| object.sections.get(index));
        for (offset, symbol, kind, addend) in entries.into_iter().take(LIST_LIMIT - list.len()) {
            let (vaddr, paddr) = match target {
                Some(section) => (section.vaddr.wrapping_add(offset), section.paddr.wrapping_add(offset)),
                None => {
                    let vaddr = offset.wrapping_add(object.shift);
                    (vaddr, object.paddr(vaddr).unwrap_or(0))
                }
            };
            let (name, indirect) = names.of(&mut file, table.symbols, symbol);
            let (kind, size) = describe(file.machine, kind, object.bits);
            let indirect = indirect || kind.contains("IRELATIV");
            list.push(Relocation { vaddr, paddr, kind, size, name, addend, indirect });
        }
    }
    Ok(Read { list, warnings: file.warnings })
}

/// The name of a symbol, and whether it chooses its function at run time.
type Named = (Option<Arc<str>>, bool);

/// The names of symbols that relocations refer to, each read once.
struct Names<'a, 'd, Elf: FileHeader<Endian = Endianness>> {
    tables: HashMap<Option<usize>, Option<Symbols<'a, 'd, Elf>>>,
    known: HashMap<(Option<usize>, u32), Named>,
}

impl<'a, 'd, Elf: FileHeader<Endian = Endianness>> Names<'a, 'd, Elf> {
    /// The name of the symbol, and whether it chooses its function at run time.
    fn of(&mut self, file: &mut File<'a, 'd, Elf>, table: Option<usize>, symbol: u32) -> Named {
        if symbol == 0 {
            return (None, false);
        }
        if let Some(known) = self.known.get(&(table, symbol)) {
            return known.clone();
        }
        let symbols = self.tables.entry(table).or_insert_with(|| {
            let wanted = match table.and_then(|index| file.section(index)) {
                Some(section) => section.sh_type(file.endian),
                None => elf::SHT_DYNSYM,
            };
            file.symbols(wanted)
        });
        let found = symbols.as_ref().and_then(|symbols| {
            let entry = symbols.symbols.get(symbol as usize)?;
            let name = entry.name(file.endian, symbols.names).unwrap_or_default();
            let name = if name.is_empty() && entry.st_type() == elf::STT_SECTION {
                let index = entry.st_shndx(file.endian).index().map(usize::from)?;
                file.object.sections.get(index)?.name.as_str().into()
            } else {
                String::from_utf8_lossy(name)
            };
            Some((
                Some(Arc::from(&*name)).filter(|name: &Arc<str>| !name.is_empty()),
                entry.st_type() == elf::STT_GNU_IFUNC,
            ))
        });
        let found = found.unwrap_or((None, false));
        self.known.insert((table, symbol), found.clone());
        found
    }
}

/// The type that packed relocations (SHT_RELR) stand for.
fn relative(machine: elf::Machine) -> elf::RelocationType {
    match machine {
        elf::EM_X86_64 => elf::R_X86_64_RELATIVE,
        elf::EM_386 => elf::R_386_RELATIVE,
        elf::EM_AARCH64 => elf::R_AARCH64_RELATIVE,
        elf::EM_ARM => elf::R_ARM_RELATIVE,
        elf::EM_RISCV => elf::R_RISCV_RELATIVE,
        elf::EM_PPC64 => elf::R_PPC64_RELATIVE,
        elf::EM_S390 => elf::R_390_RELATIVE,
        _ => elf::RelocationType(0),
    }
}

/// The name of a type, and how many bits it patches: most names say so.
fn describe(machine: elf::Machine, kind: elf::RelocationType, word: u32) -> (Cow<'static, str>, u8) {
    let Some(name) = elf::machine_names(machine).r.name(kind) else {
        return (format!("0x{:x}", kind.0).into(), word as u8);
    };
    let tail = name.trim_start_matches("R_X86_64_").trim_start_matches("R_386_").trim_start_matches("R_390_");
    let digits = |digits: &str| tail.contains(digits);
    let size = match () {
        () if digits("64") => 64,
        () if digits("16") => 16,
        () if tail == "8" || tail == "PC8" => 8,
        () if digits("32") || digits("GOTPC") || digits("CALL26") || digits("PREL_PG") => 32,
        () => word as u8,
    };
    (name.into(), size)
}
