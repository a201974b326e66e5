//! The formats that the `object` crate sees alike: Mach-O, COFF, WebAssembly, XCOFF.

use std::collections::HashSet;
use std::sync::Arc;

use object::read::{FileKind, NameOrOrdinal, RelocationTarget, SymbolSection};
use object::{
    Architecture, Object as _, ObjectKind, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _, ReadRef,
    RelocationFlags, SectionKind, macho, pe,
};

use super::parse::damaged;
use super::{
    Bind, Details, Entry, Kind, LIST_LIMIT, Object, Placement, Read, Reader, Relocation, Section, Segment, Symbol,
    SymbolKind, arch,
};
use crate::error::Result;
use crate::io::Access;

type File<'a, 'd> = object::File<'a, &'a Reader<'d>>;

fn open<'a, 'd>(reader: &'a Reader<'d>) -> Result<File<'a, 'd>> {
    object::File::parse(reader).map_err(|e| damaged("headers", e))
}

/// See [`super::object`].
pub(super) fn object(reader: &Reader<'_>, kind: FileKind, placement: Placement) -> Result<Object> {
    let file = open(reader)?;
    let (format, class, os) = match kind {
        FileKind::MachO32 => ("mach0", "MACH0", "darwin"),
        FileKind::MachO64 => ("mach064", "MACH064", "darwin"),
        FileKind::Wasm => ("wasm", "WASM", "wasm"),
        FileKind::Xcoff32 | FileKind::Xcoff64 => ("xcoff", "XCOFF", "aix"),
        _ => ("coff", "COFF", "windows"),
    };
    let kind = match file.kind() {
        ObjectKind::Relocatable => Kind::Relocatable,
        ObjectKind::Executable => Kind::Executable,
        ObjectKind::Dynamic => Kind::Dynamic,
        ObjectKind::Core => Kind::Core,
        _ => Kind::Other,
    };
    let kind_name = match kind {
        Kind::Relocatable => "REL (Relocatable file)",
        Kind::Executable => "EXEC (Executable file)",
        Kind::Dynamic => "DYN (Shared object file)",
        Kind::Core => "CORE (Core file)",
        _ => "Unknown",
    };
    let mut machine = arch::of(file.architecture());
    if file.architecture() == Architecture::Unknown && format == "coff" {
        machine.name = "any";
    }
    let length = reader.len().unwrap_or(0);
    let mut warnings = Vec::new();
    let preferred = file.relative_address_base();
    let base = placement.base.unwrap_or(preferred);
    let shift = base.wrapping_sub(preferred);
    let mach = format.starts_with("mach0");

    let mut segments = Vec::new();
    for segment in file.segments().take(LIST_LIMIT) {
        let (offset, size) = segment.file_range();
        let rights = segment.permissions();
        let name = match segment.name().ok().flatten() {
            Some(name) if !name.is_empty() => name.to_string(),
            _ => format!("SEGMENT{}", segments.len()),
        };
        let access = Access { read: rights.readable(), write: rights.writable(), execute: rights.executable() };
        segments.push(Segment {
            paddr: reader.start() + offset,
            size,
            vaddr: segment.address().wrapping_add(shift),
            vsize: segment.size(),
            // Nothing of it can be reached, it only keeps addresses free.
            loaded: mach && name != "__PAGEZERO",
            name,
            access,
        });
    }
    let mut sections = Vec::new();
    for section in file.sections().take(LIST_LIMIT) {
        let name = String::from_utf8_lossy(section.name_bytes().unwrap_or_default()).into_owned();
        let name = match section.segment_name().ok().flatten() {
            Some(segment) if mach => format!("{}.{segment}.{name}", sections.len()),
            _ => name,
        };
        let (offset, size) = section.file_range().unwrap_or((0, 0));
        if size > 0 && offset.checked_add(size).is_none_or(|end| end > length) {
            warnings.push(format!("section {name}: its bytes (0x{offset:x}, 0x{size:x}) pass the end of the file"));
        }
        let rights = segments.iter().find(|segment| {
            section.address().wrapping_add(shift).checked_sub(segment.vaddr).is_some_and(|at| at < segment.vsize)
        });
        let (access, kind_name, loaded) = described(section.kind());
        let access = rights.filter(|_| mach && kind != Kind::Relocatable).map_or(access, |segment| segment.access);
        let vaddr = match kind {
            // Laid out as they lie in the file, like those of ELF.
            Kind::Relocatable if loaded && !mach => base.wrapping_add(offset),
            _ => section.address().wrapping_add(shift),
        };
        sections.push(Section {
            index: section.index().0 as u32,
            name,
            paddr: reader.start() + offset,
            size,
            vaddr,
            vsize: section.size(),
            access,
            kind: kind_name.to_string(),
            flags: Vec::new(),
            loaded,
        });
    }
    let flags = match file.flags() {
        object::FileFlags::MachO { flags } => Some(flags),
        _ => None,
    };
    let mut object = Object {
        format,
        class,
        kind,
        kind_name: kind_name.to_string(),
        arch: machine.arch,
        cpu: machine.cpu,
        bits: if machine.bits == 0 { if file.is_64() { 64 } else { 32 } } else { machine.bits },
        big_endian: !file.is_little_endian(),
        machine: machine.name.to_string(),
        os,
        subsystem: os.to_string(),
        base,
        shift,
        offset: reader.start(),
        size: length,
        entries: Vec::new(),
        segments,
        sections,
        interpreter: None,
        // A bundle, which a Mach-O program loads at run time, runs anywhere like a library.
        pic: kind == Kind::Dynamic
            || (mach && kind == Kind::Other)
            || flags.is_some_and(|flags| flags.contains(macho::MH_PIE)),
        nx: mach && flags.is_none_or(|flags| !flags.contains(macho::MH_ALLOW_STACK_EXECUTION)),
        stripped: file.symbols().next().is_none(),
        is_static: !flags.is_some_and(|flags| flags.contains(macho::MH_DYLDLINK)) && mach,
        line_numbers: file.has_debug_symbols(),
        members: Vec::new(),
        warnings,
    };
    let entry = file.entry();
    if entry != 0 {
        let vaddr = entry.wrapping_add(shift);
        object.entries.push(Entry { vaddr, paddr: object.paddr(vaddr).unwrap_or(0), haddr: None, kind: "program" });
    }
    Ok(object)
}

/// What a section of a kind may be used for, what the kind is called, and whether it is in memory.
fn described(kind: SectionKind) -> (Access, &'static str, bool) {
    const RW: Access = Access { read: true, write: true, execute: false };
    match kind {
        SectionKind::Text => (Access::RX, "CODE", true),
        SectionKind::Data | SectionKind::Tls | SectionKind::TlsVariables => (RW, "DATA", true),
        SectionKind::ReadOnlyData | SectionKind::ReadOnlyDataWithRel | SectionKind::ReadOnlyString => {
            (Access::R, "RODATA", true)
        }
        SectionKind::UninitializedData | SectionKind::UninitializedTls => (RW, "BSS", true),
        SectionKind::Debug | SectionKind::DebugString => (Access::default(), "DEBUG", false),
        SectionKind::Linker | SectionKind::Metadata | SectionKind::Note => (Access::default(), "META", false),
        _ => (Access::default(), "OTHER", false),
    }
}

/// See [`super::symbols`].
pub(super) fn symbols(reader: &Reader<'_>, object: &Object) -> Result<Read<Symbol>> {
    let file = open(reader)?;
    let mut read = Read { list: Vec::new(), warnings: Vec::new() };
    static_symbols(&file, object, &mut read);
    let exported: HashSet<Vec<u8>> = match file.exports() {
        Ok(exports) => exports
            .take(LIST_LIMIT)
            .flatten()
            .filter_map(|export| match export.name() {
                NameOrOrdinal::Name(name) => Some(name.to_vec()),
                NameOrOrdinal::Ordinal(_) => None,
            })
            .collect(),
        Err(error) => {
            read.warnings.push(format!("exports: {error}"));
            HashSet::new()
        }
    };
    let mut libraries: std::collections::HashMap<Vec<u8>, Arc<str>> = Default::default();
    let mut missing = Vec::new();
    match file.imports() {
        Ok(imports) => {
            for import in imports.take(LIST_LIMIT).flatten() {
                let NameOrOrdinal::Name(name) = import.name() else { continue };
                let library: Arc<str> = String::from_utf8_lossy(import.library()).into();
                if libraries.insert(name.to_vec(), library).is_none() {
                    missing.push(name.to_vec());
                }
            }
        }
        Err(error) => read.warnings.push(format!("imports: {error}")),
    }
    let mut known = HashSet::new();
    let stubs = stubs(&file, object);
    for symbol in &mut read.list {
        symbol.exported = exported.contains(symbol.name.as_bytes());
        if symbol.imported {
            known.insert(symbol.name.as_bytes().to_vec());
            symbol.library = libraries.get(symbol.name.as_bytes()).filter(|name| !name.is_empty()).cloned();
            if let Some(stub) = stubs.iter().find(|(ordinal, _)| *ordinal == symbol.ordinal) {
                symbol.vaddr = stub.1;
                symbol.paddr = object.paddr(stub.1).unwrap_or(0);
                symbol.kind = SymbolKind::Function;
            }
        }
    }
    for name in missing.into_iter().filter(|name| !known.contains(name)) {
        let library = libraries.get(&name).filter(|name| !name.is_empty()).cloned();
        read.list.push(Symbol {
            ordinal: read.list.len() as u32,
            name: String::from_utf8_lossy(&name).into(),
            bind: Bind::Global,
            kind: SymbolKind::None,
            paddr: 0,
            vaddr: 0,
            size: 0,
            imported: true,
            exported: false,
            dynamic: true,
            library,
        });
    }
    Ok(read)
}

/// The stubs of a Mach-O file: the numbers of the symbols that they jump to, and their addresses. The indirect
/// symbol table names the symbol of each stub (loader.h, `S_SYMBOL_STUBS`).
fn stubs(file: &File<'_, '_>, object: &Object) -> Vec<(u32, u64)> {
    match file {
        object::File::MachO32(file) => mach_stubs(file, object),
        object::File::MachO64(file) => mach_stubs(file, object),
        _ => Vec::new(),
    }
}

fn mach_stubs<'a, 'd: 'a, Mach: object::read::macho::MachHeader>(
    file: &object::read::macho::MachOFile<'a, Mach, &'a Reader<'d>>,
    object: &Object,
) -> Vec<(u32, u64)> {
    use object::read::macho::Section as _;
    let mut found = Vec::new();
    let Ok(mut commands) = file.macho_load_commands() else { return found };
    let mut indirect: &[object::U32<Mach::Endian>] = &[];
    while let Ok(Some(command)) = commands.next() {
        if let Ok(Some(table)) = command.dysymtab() {
            let (at, count) = (table.indirectsymoff.get(file.endian()), table.nindirectsyms.get(file.endian()));
            indirect = file.data().read_slice_at(at.into(), count as usize).unwrap_or(&[]);
        }
    }
    for section in file.sections() {
        let section = section.macho_section();
        if section.section_type(file.endian()) != macho::S_SYMBOL_STUBS {
            continue;
        }
        let (first, size) = (section.reserved1(file.endian()) as usize, u64::from(section.reserved2(file.endian())));
        let (start, length): (u64, u64) = (section.addr(file.endian()).into(), section.size(file.endian()).into());
        let count = length.checked_div(size).unwrap_or(0);
        for (index, symbol) in (0..count).zip(indirect.iter().skip(first)) {
            found.push((symbol.get(file.endian()), start.wrapping_add(index * size).wrapping_add(object.shift)));
        }
    }
    found
}

/// The symbols of the static table of any format.
pub(super) fn static_symbols<'a, F: object::Object<'a>>(file: &F, object: &Object, read: &mut Read<Symbol>) {
    let mut unnamed = 0;
    for symbol in file.symbols().take(LIST_LIMIT) {
        let name = symbol.name_bytes().unwrap_or_else(|_| {
            unnamed += 1;
            b""
        });
        let kind = match symbol.kind() {
            object::SymbolKind::Text => SymbolKind::Function,
            object::SymbolKind::Data => SymbolKind::Object,
            object::SymbolKind::Section => SymbolKind::Section,
            object::SymbolKind::File => SymbolKind::File,
            object::SymbolKind::Tls => SymbolKind::Tls,
            _ => SymbolKind::None,
        };
        let bind = match () {
            () if symbol.is_weak() => Bind::Weak,
            () if symbol.is_global() => Bind::Global,
            () => Bind::Local,
        };
        let imported = symbol.is_undefined() && symbol.is_global();
        let part = match symbol.section() {
            SymbolSection::Section(index) => object.sections.iter().find(|part| part.index as usize == index.0),
            _ => None,
        };
        let vaddr = match part {
            Some(part) if object.format == "coff" => part.vaddr.wrapping_add(symbol.address()),
            Some(_) => symbol.address().wrapping_add(object.shift),
            None => 0,
        };
        let paddr = match part {
            Some(part) if part.size > 0 => part.paddr.wrapping_add(vaddr.wrapping_sub(part.vaddr)),
            _ => 0,
        };
        read.list.push(Symbol {
            ordinal: symbol.index().0 as u32,
            name: String::from_utf8_lossy(name).into(),
            bind,
            kind: if symbol.is_common() { SymbolKind::Common } else { kind },
            paddr,
            vaddr,
            size: symbol.size(),
            imported,
            exported: false,
            dynamic: false,
            library: None,
        });
    }
    if unnamed > 0 {
        read.warnings.push(format!("symbols: {unnamed} names lie outside of the table of names"));
    }
}

/// See [`super::relocations`].
pub(super) fn relocations(reader: &Reader<'_>, object: &Object) -> Result<Read<Relocation>> {
    let file = open(reader)?;
    let mut read = Read { list: Vec::new(), warnings: Vec::new() };
    for (section, part) in file.sections().zip(&object.sections) {
        for (offset, relocation) in section.relocations() {
            if read.list.len() >= LIST_LIMIT {
                read.warnings.push(format!("relocations: more than {LIST_LIMIT}"));
                return Ok(read);
            }
            // Those of Mach-O and COFF count from the section in objects.
            let inside = if object.kind == Kind::Relocatable { offset } else { offset.wrapping_sub(section.address()) };
            let name = match relocation.target() {
                RelocationTarget::Symbol(index) => {
                    file.symbol_by_index(index).ok().and_then(|symbol| symbol.name_bytes().ok())
                }
                RelocationTarget::Section(index) => {
                    file.section_by_index(index).ok().and_then(|section| section.name_bytes().ok())
                }
                _ => None,
            };
            let kind = match relocation.flags() {
                RelocationFlags::MachO { r_type, .. } => named(macho_names(&file).reloc.name(r_type), r_type.0.into()),
                RelocationFlags::Coff { typ } => {
                    named(coff_names(&file).rel.name(typ).map(|(_, name)| name), typ.0.into())
                }
                RelocationFlags::Xcoff { r_rtype, .. } => format!("0x{:x}", r_rtype.0),
                RelocationFlags::Wasm { r_type } => format!("0x{r_type:x}"),
                _ => "0x0".to_string(),
            };
            read.list.push(Relocation {
                vaddr: part.vaddr.wrapping_add(inside),
                paddr: part.paddr.wrapping_add(inside),
                kind: kind.into(),
                size: relocation.size(),
                name: name.map(|name| String::from_utf8_lossy(name).into()),
                addend: relocation.addend(),
                indirect: false,
            });
        }
    }
    Ok(read)
}

/// A name, or the number that has none.
fn named(name: Option<&'static str>, number: u32) -> String {
    name.map_or_else(|| format!("0x{number:x}"), str::to_string)
}

fn macho_names(file: &File<'_, '_>) -> &'static macho::Names {
    let cpu = match file {
        object::File::MachO32(file) => object::read::macho::MachHeader::cputype(file.macho_header(), file.endian()),
        object::File::MachO64(file) => object::read::macho::MachHeader::cputype(file.macho_header(), file.endian()),
        _ => macho::CpuType(0),
    };
    macho::machine_names(cpu)
}

fn coff_names(file: &File<'_, '_>) -> &'static pe::Names {
    let machine = match file.architecture() {
        Architecture::X86_64 => pe::IMAGE_FILE_MACHINE_AMD64,
        Architecture::I386 => pe::IMAGE_FILE_MACHINE_I386,
        Architecture::Arm => pe::IMAGE_FILE_MACHINE_ARMNT,
        Architecture::Aarch64 => pe::IMAGE_FILE_MACHINE_ARM64,
        _ => pe::IMAGE_FILE_MACHINE_UNKNOWN,
    };
    pe::machine_names(machine)
}

/// See [`super::details`].
pub(super) fn details(reader: &Reader<'_>, object: &Object) -> Result<Details> {
    let file = open(reader)?;
    let mut details = Details { relro: "no", language: "c", ..Details::default() };
    match file.import_libraries() {
        Ok(libraries) => {
            for library in libraries.take(LIST_LIMIT).flatten() {
                details.libraries.push(String::from_utf8_lossy(library.name()).into_owned());
            }
        }
        Err(error) => details.warnings.push(format!("libraries: {error}")),
    }
    let named = |name: &[u8]| file.symbols().any(|symbol| symbol.name_bytes().is_ok_and(|found| found == name));
    details.canary = named(b"___stack_chk_fail") || named(b"__stack_chk_fail");
    details.build_id = file.mach_uuid().ok().flatten().map(|uuid| uuid.to_vec());
    details.language = if details.libraries.iter().any(|name| name.contains("libc++")) { "c++" } else { "c" };
    let _ = object;
    Ok(details)
}
