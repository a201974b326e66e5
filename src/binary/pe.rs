//! PE: programs and libraries of Windows and UEFI (Microsoft PE and COFF specification).

use std::sync::Arc;

use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader, ImageThunkData, PeFile};
use object::{Object as _, ReadRef};

use super::parse::damaged;
use super::{
    Bind, Details, Entry, Kind, LIST_LIMIT, Object, Placement, Read, Reader, Relocation, Section, Segment, Symbol,
    SymbolKind, arch, other,
};
use crate::error::Result;
use crate::io::Access;

type File<'a, 'd, Pe> = PeFile<'a, Pe, &'a Reader<'d>>;

fn open<'a, 'd, Pe: ImageNtHeaders>(reader: &'a Reader<'d>) -> Result<File<'a, 'd, Pe>> {
    PeFile::parse(reader).map_err(|e| damaged("PE headers", e))
}

/// See [`super::object`].
pub(super) fn object<Pe: ImageNtHeaders>(reader: &Reader<'_>, placement: Placement) -> Result<Object> {
    let file = open::<Pe>(reader)?;
    let (headers, optional) = (file.nt_headers(), file.nt_headers().optional_header());
    let wide = headers.is_type_64();
    let preferred = optional.image_base();
    let base = placement.base.unwrap_or(preferred);
    let length = reader.len().unwrap_or(0);
    let traits = headers.file_header().characteristics.get(LE);
    let protection = optional.dll_characteristics();
    let machine = arch::of(file.architecture());
    let mut warnings = Vec::new();

    let header_size = u64::from(optional.size_of_headers()).min(length);
    let mut segments = vec![Segment {
        name: "HEADER".to_string(),
        paddr: reader.start(),
        size: header_size,
        vaddr: base,
        vsize: header_size,
        access: Access::R,
        loaded: true,
    }];
    let mut sections = Vec::new();
    let strings = headers.symbols(reader).map(|symbols| symbols.strings()).unwrap_or_default();
    for (index, section) in file.section_table().iter().enumerate() {
        let name = section.name(strings).unwrap_or_else(|_| section.raw_name());
        let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_string();
        let traits = section.characteristics.get(LE);
        let (offset, raw) = (u64::from(section.pointer_to_raw_data.get(LE)), section.size_of_raw_data.get(LE));
        let size =
            if traits.contains(pe::IMAGE_SCN_CNT_UNINITIALIZED_DATA) && offset == 0 { 0 } else { u64::from(raw) };
        if size > 0 && offset + size > length {
            warnings.push(format!(
                "section {name}: PointerToRawData 0x{offset:x} and SizeOfRawData 0x{size:x} pass the end of the file"
            ));
        }
        let vsize =
            u64::from(section.virtual_size.get(LE)).max(if section.virtual_size.get(LE) == 0 { size } else { 0 });
        let vaddr = base.wrapping_add(section.virtual_address.get(LE).into());
        let access = Access {
            read: traits.contains(pe::IMAGE_SCN_MEM_READ),
            write: traits.contains(pe::IMAGE_SCN_MEM_WRITE),
            execute: traits.contains(pe::IMAGE_SCN_MEM_EXECUTE),
        };
        let paddr = reader.start() + offset;
        segments.push(Segment { name: name.clone(), paddr, size: size.min(vsize), vaddr, vsize, access, loaded: true });
        let kind = if traits.contains(pe::IMAGE_SCN_CNT_CODE) {
            "CODE"
        } else if traits.contains(pe::IMAGE_SCN_CNT_UNINITIALIZED_DATA) {
            "BSS"
        } else {
            "DATA"
        };
        let mut flags = Vec::new();
        if traits.contains(pe::IMAGE_SCN_MEM_DISCARDABLE) {
            flags.push("discardable");
        }
        if traits.contains(pe::IMAGE_SCN_MEM_SHARED) {
            flags.push("shared");
        }
        sections.push(Section {
            index: index as u32 + 1,
            name,
            paddr,
            size,
            vaddr,
            vsize,
            access,
            kind: kind.to_string(),
            flags,
            loaded: true,
        });
    }
    let dynamic = traits.contains(pe::IMAGE_FILE_DLL);
    let debug = sections.iter().any(|section| section.name == ".debug_line");
    let mut object = Object {
        format: if wide { "pe64" } else { "pe" },
        class: if wide { "PE32+" } else { "PE32" },
        kind: if dynamic { Kind::Dynamic } else { Kind::Executable },
        kind_name: if dynamic { "DLL (Dynamic Link Library)" } else { "EXEC (Executable file)" }.to_string(),
        arch: machine.arch,
        cpu: machine.cpu,
        bits: if machine.bits == 0 { if wide { 64 } else { 32 } } else { machine.bits },
        big_endian: false,
        machine: machine.name.to_string(),
        os: "windows",
        subsystem: subsystem(optional.subsystem()).to_string(),
        base,
        shift: base.wrapping_sub(preferred),
        offset: reader.start(),
        size: length,
        entries: Vec::new(),
        segments,
        sections,
        interpreter: None,
        pic: protection.contains(pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE),
        nx: protection.contains(pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT),
        stripped: headers.file_header().number_of_symbols.get(LE) == 0,
        is_static: file.data_directory(pe::IMAGE_DIRECTORY_ENTRY_IMPORT).is_none_or(|d| d.virtual_address.get(LE) == 0),
        line_numbers: debug,
        members: Vec::new(),
        warnings,
    };
    let entry = u64::from(optional.address_of_entry_point());
    if entry != 0 {
        let vaddr = base.wrapping_add(entry);
        let haddr = u64::from(file.dos_header().nt_headers_offset()) + 0x28;
        object.entries.push(Entry {
            vaddr,
            paddr: object.paddr(vaddr).unwrap_or(0),
            haddr: Some(reader.start() + haddr),
            kind: "program",
        });
    }
    Ok(object)
}

fn subsystem(subsystem: pe::Subsystem) -> &'static str {
    match subsystem {
        pe::IMAGE_SUBSYSTEM_NATIVE => "Native",
        pe::IMAGE_SUBSYSTEM_WINDOWS_GUI => "Windows GUI",
        pe::IMAGE_SUBSYSTEM_WINDOWS_CUI => "Windows CUI",
        pe::IMAGE_SUBSYSTEM_POSIX_CUI => "POSIX CUI",
        pe::IMAGE_SUBSYSTEM_WINDOWS_CE_GUI => "Windows CE GUI",
        pe::IMAGE_SUBSYSTEM_EFI_APPLICATION => "EFI Application",
        pe::IMAGE_SUBSYSTEM_EFI_BOOT_SERVICE_DRIVER => "EFI Boot Service Driver",
        pe::IMAGE_SUBSYSTEM_EFI_RUNTIME_DRIVER => "EFI Runtime Driver",
        pe::IMAGE_SUBSYSTEM_EFI_ROM => "EFI ROM",
        pe::IMAGE_SUBSYSTEM_XBOX => "XBOX",
        _ => "Unknown",
    }
}

/// An imported function: library, name, and where its address is put.
struct Import {
    library: Arc<str>,
    name: String,
    slot: u64,
}

fn imports<Pe: ImageNtHeaders>(file: &File<'_, '_, Pe>, warnings: &mut Vec<String>) -> Vec<Import> {
    let mut list = Vec::new();
    let word = if file.nt_headers().is_type_64() { 8 } else { 4 };
    let mut read = || -> object::Result<()> {
        let Some(table) = file.import_table()? else { return Ok(()) };
        let mut descriptors = table.descriptors()?;
        while let Some(descriptor) = descriptors.next()? {
            let library: Arc<str> = String::from_utf8_lossy(table.name(descriptor.name.get(LE))?).into();
            let first = descriptor.original_first_thunk.get(LE);
            let slots = descriptor.first_thunk.get(LE);
            let mut thunks = table.thunks(if first == 0 { slots } else { first })?;
            let mut index = 0;
            while let Some(thunk) = thunks.next::<Pe>()? {
                if list.len() >= LIST_LIMIT {
                    return Ok(());
                }
                let name = if thunk.is_ordinal() {
                    format!("Ordinal_{}", thunk.ordinal())
                } else {
                    String::from_utf8_lossy(table.hint_name(thunk.address())?.1).into_owned()
                };
                list.push(Import { library: Arc::clone(&library), name, slot: u64::from(slots) + index * word });
                index += 1;
            }
        }
        Ok(())
    };
    if let Err(error) = read() {
        warnings.push(format!("import table: {error}"));
    }
    list
}

/// See [`super::symbols`].
pub(super) fn symbols<Pe: ImageNtHeaders>(reader: &Reader<'_>, object: &Object) -> Result<Read<Symbol>> {
    let file = open::<Pe>(reader)?;
    let mut read = Read { list: Vec::new(), warnings: Vec::new() };
    for (ordinal, import) in (1..).zip(imports(&file, &mut read.warnings)) {
        let vaddr = object.base.wrapping_add(import.slot);
        read.list.push(Symbol {
            ordinal,
            name: import.name.into(),
            bind: Bind::None,
            kind: SymbolKind::Function,
            paddr: object.paddr(vaddr).unwrap_or(0),
            vaddr,
            size: 0,
            imported: true,
            exported: false,
            dynamic: true,
            library: Some(import.library),
        });
    }
    match file.export_table().and_then(|table| Ok((table.as_ref().map(|t| t.exports()).transpose()?, table))) {
        Ok((Some(exports), Some(table))) => {
            let library = table.name_from_pointer(table.directory().name.get(LE)).ok();
            let library: Option<Arc<str>> = library.map(|name| String::from_utf8_lossy(name).into());
            for export in exports.into_iter().take(LIST_LIMIT) {
                let ordinal = export.ordinal.0;
                let name = export.name.map(|name| String::from_utf8_lossy(name).into_owned());
                let vaddr = match export.target {
                    object::read::pe::ExportTarget::Address(rva) => object.base.wrapping_add(rva.into()),
                    _ => 0,
                };
                let code = object.section_at(vaddr).is_some_and(|section| section.access.execute);
                read.list.push(Symbol {
                    ordinal: ordinal.into(),
                    name: name.unwrap_or_else(|| format!("Ordinal_{ordinal}")).into(),
                    bind: Bind::Global,
                    kind: if code { SymbolKind::Function } else { SymbolKind::Object },
                    paddr: object.paddr(vaddr).unwrap_or(0),
                    vaddr,
                    size: 0,
                    imported: false,
                    exported: true,
                    dynamic: true,
                    library: library.clone(),
                });
            }
        }
        Ok(_) => {}
        Err(error) => read.warnings.push(format!("export table: {error}")),
    }
    other::static_symbols(&file, object, &mut read);
    Ok(read)
}

/// See [`super::relocations`]: the slots of imports, and the places that move with the base.
pub(super) fn relocations<Pe: ImageNtHeaders>(reader: &Reader<'_>, object: &Object) -> Result<Read<Relocation>> {
    let file = open::<Pe>(reader)?;
    let mut read = Read { list: Vec::new(), warnings: Vec::new() };
    let place = |rva: u64| {
        let vaddr = object.base.wrapping_add(rva);
        (vaddr, object.paddr(vaddr).unwrap_or(0))
    };
    for import in imports(&file, &mut read.warnings) {
        let (vaddr, paddr) = place(import.slot);
        let name = Some(format!("{}_{}", import.library, import.name).into());
        let size = if file.nt_headers().is_type_64() { 64 } else { 32 };
        read.list.push(Relocation {
            vaddr,
            paddr,
            kind: "IAT_GLOB_DAT".into(),
            size,
            name,
            addend: 0,
            indirect: false,
        });
    }
    let mut walk = || -> object::Result<()> {
        let blocks = file.data_directories().relocation_blocks(reader, &file.section_table())?;
        let Some(mut blocks) = blocks else { return Ok(()) };
        while let Some(block) = blocks.next()? {
            for relocation in block {
                if read.list.len() >= LIST_LIMIT {
                    return Ok(());
                }
                let (kind, size) = match relocation.typ {
                    pe::IMAGE_REL_BASED_DIR64 => ("IMAGE_REL_BASED_DIR64", 64),
                    pe::IMAGE_REL_BASED_HIGHLOW => ("IMAGE_REL_BASED_HIGHLOW", 32),
                    pe::IMAGE_REL_BASED_HIGH => ("IMAGE_REL_BASED_HIGH", 16),
                    pe::IMAGE_REL_BASED_LOW => ("IMAGE_REL_BASED_LOW", 16),
                    pe::IMAGE_REL_BASED_ABSOLUTE => continue,
                    _ => ("IMAGE_REL_BASED", 32),
                };
                let (vaddr, paddr) = place(relocation.virtual_address.into());
                let kind = kind.into();
                read.list.push(Relocation { vaddr, paddr, kind, size, name: None, addend: 0, indirect: false });
            }
        }
        Ok(())
    };
    if let Err(error) = walk() {
        read.warnings.push(format!("base relocations: {error}"));
    }
    Ok(read)
}

/// See [`super::details`].
pub(super) fn details<Pe: ImageNtHeaders>(reader: &Reader<'_>, _object: &Object) -> Result<Details> {
    let file = open::<Pe>(reader)?;
    let mut details = Details { relro: "no", language: "c", ..Details::default() };
    let imports = imports(&file, &mut details.warnings);
    details.canary = imports.iter().any(|import| import.name.starts_with("__stack_chk"));
    for import in imports {
        if !details.libraries.iter().any(|known| **known == *import.library) {
            details.libraries.push(import.library.to_string());
        }
    }
    if details.libraries.iter().any(|name| name.starts_with("libstdc++")) {
        details.language = "c++";
    }
    details.debug_link = file
        .gnu_debuglink()
        .ok()
        .flatten()
        .map(|(name, checksum)| (String::from_utf8_lossy(name).into_owned(), checksum));
    if let Ok(Some(info)) = file.pdb_info() {
        details.build_id = Some(info.guid().to_vec());
        details.debug_link.get_or_insert((String::from_utf8_lossy(info.path()).into_owned(), 0));
    }
    Ok(details)
}
