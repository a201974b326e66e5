//! Tests: the formats that this machine has no programs of, from files written here.

use object::write::{Object, Relocation, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationEncoding, RelocationFlags, RelocationKind, SectionKind,
    SymbolFlags, SymbolKind, SymbolScope,
};

use super::{json, loaded, tool};
use crate::harness::run;

/// An object with a function, data, an import and a relocation.
pub fn written(format: BinaryFormat, architecture: Architecture, endian: Endianness) -> Vec<u8> {
    let mut object = Object::new(format, architecture, endian);
    let text = object.section_id(object::write::StandardSection::Text);
    object.append_section_data(text, &[0x90; 32], 16);
    let data = object.add_section(Vec::new(), b".custom".to_vec(), SectionKind::Data);
    object.append_section_data(data, b"datadata", 8);
    let symbol = |name: &[u8], value, kind, section| Symbol {
        name: name.to_vec(),
        value,
        size: 8,
        kind,
        scope: SymbolScope::Dynamic,
        weak: false,
        section,
        flags: SymbolFlags::None,
    };
    object.add_symbol(symbol(b"work", 16, SymbolKind::Text, SymbolSection::Section(text)));
    object.add_symbol(symbol(b"state", 0, SymbolKind::Data, SymbolSection::Section(data)));
    let import = object.add_symbol(symbol(b"outside", 0, SymbolKind::Text, SymbolSection::Undefined));
    let flags = RelocationFlags::Generic {
        kind: RelocationKind::Absolute,
        encoding: RelocationEncoding::Generic,
        size: if architecture == Architecture::I386 { 32 } else { 64 },
    };
    object.add_relocation(data, Relocation { offset: 0, symbol: import, addend: 0, flags }).unwrap();
    object.write().unwrap()
}

/// A fat file with an object for each of two machines.
fn fat() -> Vec<u8> {
    let parts = [
        (0x0100_0007u32, written(BinaryFormat::MachO, Architecture::X86_64, Endianness::Little)),
        (0x0100_000c, written(BinaryFormat::MachO, Architecture::Aarch64, Endianness::Little)),
    ];
    let mut file = [0xcafe_babeu32, parts.len() as u32].map(u32::to_be_bytes).concat();
    let mut at = 4096u32;
    for (cpu, part) in &parts {
        file.extend([*cpu, 3, at, part.len() as u32, 12].map(u32::to_be_bytes).concat());
        at += 4096;
    }
    for (index, (_, part)) in parts.iter().enumerate() {
        file.resize(4096 * (index + 1), 0);
        file.extend(part);
    }
    file
}

/// A module with one imported and one exported function.
const WASM: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x04\x01\x60\0\0\
    \x02\x0b\x01\x03env\x03imp\0\0\
    \x03\x02\x01\0\
    \x07\x07\x01\x03run\0\x01\
    \x0a\x04\x01\x02\0\x0b";

/// A file of each format.
pub fn generated() -> Vec<Vec<u8>> {
    vec![
        written(BinaryFormat::MachO, Architecture::X86_64, Endianness::Little),
        written(BinaryFormat::Coff, Architecture::X86_64, Endianness::Little),
        written(BinaryFormat::Elf, Architecture::PowerPc64, Endianness::Big),
        written(BinaryFormat::Xcoff, Architecture::PowerPc64, Endianness::Big),
        fat(),
        WASM.to_vec(),
    ]
}

fn saved(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

#[test]
fn objects_of_every_format() {
    use Architecture::{Aarch64, I386, Mips, PowerPc64, X86_64};
    use Endianness::{Big, Little};
    for (format, architecture, endian, name, arch) in [
        (BinaryFormat::MachO, X86_64, Little, "mach064", "x86"),
        (BinaryFormat::MachO, Aarch64, Little, "mach064", "arm"),
        (BinaryFormat::MachO, I386, Little, "mach0", "x86"),
        (BinaryFormat::Coff, X86_64, Little, "coff", "x86"),
        (BinaryFormat::Coff, I386, Little, "coff", "x86"),
        (BinaryFormat::Elf, PowerPc64, Big, "elf64", "ppc"),
        (BinaryFormat::Elf, Mips, Big, "elf", "mips"),
        (BinaryFormat::Elf, Aarch64, Little, "elf64", "arm"),
    ] {
        let bytes = written(format, architecture, endian);
        let file = saved(&bytes);
        let mut session = loaded(file.path());
        let about = format!("{name} {arch}");
        let all = json(&mut session, "ij");
        assert_eq!((&all["core"]["format"], &all["bin"]["arch"]), (&name.into(), &arch.into()), "{about}");
        assert_eq!(all["bin"]["endian"], if endian == Big { "big" } else { "little" }, "{about}");
        let sections = json(&mut session, "iSj");
        let data = sections.as_array().unwrap().iter().find(|s| s["name"].as_str().unwrap().ends_with(".custom"));
        let at = data.unwrap_or_else(|| panic!("{about}: {sections}"))["paddr"].as_u64().unwrap() as usize;
        let symbols = json(&mut session, "isj");
        let symbol = |wanted: &str| {
            let found = symbols
                .as_array()
                .unwrap()
                .iter()
                .find(|symbol| symbol["realname"].as_str().unwrap().trim_start_matches('_') == wanted);
            found.unwrap_or_else(|| panic!("{about}: no {wanted} in {symbols}")).clone()
        };
        assert_eq!(symbol("outside")["is_imported"], true, "{about}");
        let work = symbol("work");
        assert_eq!(work["type"], "FUNC", "{about}");
        // The bytes at the symbol's address are those of the function.
        let line = format!("p8 4 @ {}", work["vaddr"]);
        assert_eq!(run(&mut session, &line).out, "90909090\n", "{about}: {work}");
        let relocations = json(&mut session, "irj");
        let name = relocations[0]["name"].as_str().unwrap().trim_start_matches('_').to_string();
        assert_eq!((relocations.as_array().unwrap().len(), &*name), (1, "outside"), "{about}");
        assert_eq!(relocations[0]["paddr"].as_u64().unwrap() as usize, at, "{about}");
    }
}

#[test]
fn the_part_of_a_fat_file_for_this_machine() {
    let file = saved(&fat());
    let mut session = loaded(file.path());
    let parts = json(&mut session, "iAj");
    assert_eq!(parts.as_array().unwrap().len(), 2, "{parts}");
    assert_eq!((&parts[1]["arch"], &parts[1]["offset"]), (&"arm".into(), &8192.into()));
    let arch = if cfg!(target_arch = "aarch64") { "arm" } else { "x86" };
    assert_eq!(json(&mut session, "iIj")["arch"], arch);
    let work = json(&mut session, "isj");
    let work = work.as_array().unwrap().iter().find(|symbol| symbol["realname"] == "_work").unwrap().clone();
    assert_eq!(run(&mut session, &format!("p8 4 @ {}", work["vaddr"])).out, "90909090\n");
}

#[test]
fn modules_of_webassembly() {
    let file = saved(WASM);
    let mut session = loaded(file.path());
    assert_eq!(json(&mut session, "ij")["bin"]["arch"], "wasm");
    let names = run(&mut session, "isq").out;
    assert!(names.contains("run"), "{names}");
}

#[test]
fn archives_list_members_and_the_symbols_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let Some(object) = super::built(folder.path(), "one.o", &["-c"]) else { return };
    std::fs::copy(&object, folder.path().join("a_member_with_a_long_name.o")).unwrap();
    let archive = folder.path().join("lib.a");
    let made = std::process::Command::new("ar")
        .arg("rcs")
        .args([&archive, &object, &folder.path().join("a_member_with_a_long_name.o")])
        .status();
    if !made.is_ok_and(|status| status.success()) {
        return super::absent("ar", "it cannot make an archive");
    }
    let mut session = loaded(&archive);
    assert_eq!(run(&mut session, "i~format").out, "format   ar\n");
    assert!(run(&mut session, "iA").out.contains("a_member_with_a_long_name.o"));
    let Some(shown) = tool("nm", &[], &archive) else { return };
    let theirs = shown.lines().filter(|line| line.ends_with(" T helper")).count();
    let symbols = json(&mut session, "isj");
    let ours: Vec<_> = symbols.as_array().unwrap().iter().filter(|symbol| symbol["name"] == "helper").collect();
    assert_eq!((ours.len(), theirs), (2, 2));
    // Addresses are offsets in the archive.
    let bytes = std::fs::read(&archive).unwrap();
    let code = |symbol: &serde_json::Value| {
        let at = symbol["vaddr"].as_u64().unwrap() as usize;
        bytes[at..at + 16].to_vec()
    };
    assert_eq!(code(ours[0]), code(ours[1]));
}
