//! The symbols of an ELF file (gABI, chapter 5).

use std::collections::HashMap;

use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader, SectionHeader, Sym as _};

use super::super::{Bind, Kind, Object, Read, Reader, Symbol, SymbolKind};
use super::file::{File, Symbols};
use crate::error::Result;

/// See [`crate::binary::symbols`].
pub(in super::super) fn symbols<Elf>(reader: &Reader<'_>, object: &Object) -> Result<Read<Symbol>>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let mut file = File::<Elf>::open(reader, object)?;
    file.expect_symbols();
    let fixed = file.symbols(elf::SHT_SYMTAB);
    let dynamic = file.symbols(elf::SHT_DYNSYM);
    let stubs = match &dynamic {
        Some(_) => file.stubs(),
        None => HashMap::new(),
    };
    let has_dynamic = dynamic.is_some();
    let mut unnamed = 0;

    // The dynamic symbols by name: those of the other table that are the same are not listed twice.
    let mut dynamics = Vec::new();
    if let Some(table) = &dynamic {
        for ordinal in 1..table.symbols.len() {
            let Some(mut symbol) = file.symbol(table, ordinal, true, &mut unnamed) else { continue };
            if symbol.imported
                && let Some(stub) = stubs.get(&(ordinal as u32))
            {
                symbol.vaddr = *stub;
                symbol.paddr = object.paddr(*stub).unwrap_or(0);
            }
            symbol.exported = is_exported(&table.symbols[ordinal], &symbol);
            dynamics.push((symbol, false));
        }
    }
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::with_capacity(dynamics.len());
    let names: Vec<Box<str>> = dynamics.iter().map(|(symbol, _)| symbol.name.clone()).collect();
    for (index, name) in names.iter().enumerate() {
        by_name.entry(name).or_default().push(index);
    }

    let mut list = Vec::new();
    if let Some(table) = &fixed {
        list.reserve(table.symbols.len() + dynamics.len());
        for ordinal in 1..table.symbols.len() {
            let Some(mut symbol) = file.symbol(table, ordinal, false, &mut unnamed) else { continue };
            if !has_dynamic {
                symbol.exported = is_exported(&table.symbols[ordinal], &symbol);
            }
            // GNU ld writes versions into these names.
            let plain = symbol.name.split('@').next().unwrap_or_default();
            // Most symbols of a large program are local, and those have no twins.
            let twins = if symbol.bind == Bind::Local { None } else { by_name.get(plain) };
            for &index in twins.into_iter().flatten() {
                let (twin, seen) = &mut dynamics[index];
                let same = if twin.imported { symbol.imported } else { twin.vaddr == symbol.vaddr };
                if same && (twin.size == symbol.size || twin.imported) {
                    *seen = true;
                    symbol.exported = twin.exported;
                    if symbol.imported {
                        (symbol.vaddr, symbol.paddr) = (twin.vaddr, twin.paddr);
                    }
                    break;
                }
            }
            if symbol.name.contains('@') && symbol.bind != Bind::Local {
                symbol.name = plain_name(&symbol.name).into();
            }
            list.push(symbol);
        }
    }
    list.extend(dynamics.into_iter().filter(|(_, seen)| !seen).map(|(symbol, _)| symbol));
    let mut warnings = std::mem::take(&mut file.warnings);
    if unnamed > 0 {
        warnings.push(format!("symbols: {unnamed} names (st_name) lie outside of the table of names"));
    }
    Ok(Read { list, warnings })
}

/// The name without a version.
fn plain_name(name: &str) -> &str {
    name.split('@').next().filter(|plain| !plain.is_empty()).unwrap_or(name)
}

fn is_exported<S: object::read::elf::Sym<Endian = Endianness>>(entry: &S, symbol: &Symbol) -> bool {
    !symbol.imported
        && symbol.bind != Bind::Local
        && !matches!(symbol.kind, SymbolKind::Section | SymbolKind::File)
        && matches!(entry.st_visibility(), elf::STV_DEFAULT | elf::STV_PROTECTED)
}

impl<'a, 'd, Elf: FileHeader<Endian = Endianness>> File<'a, 'd, Elf> {
    /// Everything that the symbols are made of comes in one flight.
    pub(super) fn expect_symbols(&self) {
        let mut ranges = Vec::new();
        for section in self.sections.iter() {
            match section.sh_type(self.endian) {
                elf::SHT_SYMTAB | elf::SHT_DYNSYM => {
                    ranges.push(self.range(section));
                    ranges.extend(self.section(section.sh_link(self.endian) as usize).map(|names| self.range(names)));
                }
                elf::SHT_SYMTAB_SHNDX => ranges.push(self.range(section)),
                _ => {}
            }
        }
        ranges.extend(self.stub_ranges());
        self.reader.expect(ranges);
    }

    /// The symbol with this number; `None` for those that are nothing but padding.
    fn symbol(
        &self,
        table: &Symbols<'a, 'd, Elf>,
        ordinal: usize,
        dynamic: bool,
        unnamed: &mut usize,
    ) -> Option<Symbol> {
        let entry = table.symbols.get(ordinal)?;
        let kind = match entry.st_type() {
            elf::STT_OBJECT => SymbolKind::Object,
            elf::STT_FUNC => SymbolKind::Function,
            elf::STT_SECTION => SymbolKind::Section,
            elf::STT_FILE => SymbolKind::File,
            elf::STT_COMMON => SymbolKind::Common,
            elf::STT_TLS => SymbolKind::Tls,
            elf::STT_GNU_IFUNC => SymbolKind::Indirect,
            _ => SymbolKind::None,
        };
        let bind = match entry.st_bind() {
            elf::STB_LOCAL => Bind::Local,
            elf::STB_GLOBAL => Bind::Global,
            elf::STB_WEAK => Bind::Weak,
            elf::STB_GNU_UNIQUE => Bind::Unique,
            _ => Bind::None,
        };
        let shndx = entry.st_shndx(self.endian);
        let section = if shndx == elf::SHN_XINDEX {
            table.extended.get(ordinal).map(|index| index.get(self.endian) as usize)
        } else {
            shndx.index().map(usize::from).filter(|index| *index != 0)
        };
        let absolute = shndx == elf::SHN_ABS;
        let imported = shndx == elf::SHN_UNDEF && bind != Bind::Local;
        let value: u64 = entry.st_value(self.endian).into();
        let part = section.and_then(|index| self.object.sections.get(index));
        let name = match (entry.name(self.endian, table.names), kind, part) {
            (Ok([]), SymbolKind::Section, Some(part)) => part.name.clone().into_boxed_str(),
            (Ok(name), ..) => String::from_utf8_lossy(name).into(),
            (Err(_), ..) => {
                *unnamed += 1;
                Box::default()
            }
        };
        let vaddr = match (self.object.kind, part) {
            (Kind::Relocatable, Some(part)) => part.vaddr.wrapping_add(value),
            (Kind::Relocatable, None) => {
                if absolute {
                    value
                } else {
                    0
                }
            }
            _ if kind == SymbolKind::Tls || absolute => value,
            _ if value == 0 && section.is_none() => 0,
            _ => value.wrapping_add(self.object.shift),
        };
        // The lowest bit of an ARM function says that it is Thumb code.
        let thumb = self.machine == elf::EM_ARM && kind == SymbolKind::Function && vaddr & 1 != 0;
        let vaddr = vaddr & !u64::from(thumb);
        let paddr = match (self.object.kind, part) {
            (_, Some(part)) if part.kind == "NOBITS" => 0,
            (Kind::Relocatable, Some(part)) => part.paddr.wrapping_add(value),
            _ if kind == SymbolKind::Tls || absolute || section.is_none() && value == 0 => 0,
            _ => self.object.paddr(vaddr).unwrap_or(0),
        };
        Some(Symbol {
            ordinal: ordinal as u32,
            name,
            bind,
            kind,
            paddr,
            vaddr,
            size: entry.st_size(self.endian).into(),
            imported,
            exported: false,
            dynamic,
            library: None,
        })
    }
}
