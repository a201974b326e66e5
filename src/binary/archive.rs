//! Several objects in one file: archives and fat files.

use object::ReadRef;
use object::read::FileKind;
use object::read::archive::ArchiveFile;
use object::read::macho::{FatArch, MachOFatFile32, MachOFatFile64};

use super::parse::damaged;
use super::{Kind, LIST_LIMIT, Member, Object, Placement, Read, Reader, Relocation, Symbol, arch, parse};
use crate::error::Result;

/// The parts of a fat file.
pub(super) fn fat(reader: &Reader<'_>, kind: FileKind) -> Result<Vec<Member>> {
    let member = |offset: u64, size: u64, architecture| {
        let machine = arch::of(architecture);
        Member { name: machine.name.to_string(), offset, size, arch: Some((machine.arch, machine.bits)) }
    };
    if kind == FileKind::MachOFat64 {
        let file = MachOFatFile64::parse(reader).map_err(|e| damaged("fat header", e))?;
        let list = file.arches().iter().map(|part| member(part.offset(), part.size(), part.architecture()));
        return Ok(list.collect());
    }
    let file = MachOFatFile32::parse(reader).map_err(|e| damaged("fat header", e))?;
    let list = file.arches().iter().map(|part| member(part.offset().into(), part.size().into(), part.architecture()));
    Ok(list.collect())
}

/// The part that is looked at: of the word size that is asked for, or for this machine, or the first.
pub(super) fn choose(members: &[Member], placement: Placement) -> Option<&Member> {
    let by = |wanted: &dyn Fn(&(&str, u32)) -> bool| members.iter().find(|m| m.arch.as_ref().is_some_and(wanted));
    let host = if cfg!(target_arch = "aarch64") { ("arm", 64) } else { ("x86", 64) };
    match placement.bits {
        Some(bits) => by(&|(_, found)| *found == bits),
        None => by(&|found| *found == host),
    }
    .or(members.first())
}

/// An archive as a whole: its sections and symbols are those of its members.
pub(super) fn archive(reader: &mut Reader<'_>, placement: Placement) -> Result<Object> {
    let length = reader.len().unwrap_or(0);
    let mut warnings = Vec::new();
    let mut members = Vec::new();
    let file = ArchiveFile::parse(&*reader).map_err(|e| damaged("archive", e))?;
    for member in file.members() {
        match member {
            Ok(member) if members.len() < LIST_LIMIT => {
                let (offset, size) = member.file_range();
                let name = String::from_utf8_lossy(member.name()).into_owned();
                members.push(Member { name, offset: reader.start() + offset, size, arch: None });
            }
            Ok(_) => break,
            Err(error) => {
                warnings.push(format!("archive member {}: {error}", members.len()));
                break;
            }
        }
    }
    let first = members.iter().find_map(|member| part(reader, member, placement));
    let mut object = first.unwrap_or_else(|| Object {
        format: "ar",
        class: "AR",
        kind: Kind::Archive,
        kind_name: String::new(),
        arch: "null",
        cpu: "",
        bits: 0,
        big_endian: false,
        machine: "unknown".to_string(),
        os: "linux",
        subsystem: String::new(),
        base: 0,
        shift: 0,
        offset: 0,
        size: 0,
        entries: Vec::new(),
        segments: Vec::new(),
        sections: Vec::new(),
        interpreter: None,
        pic: false,
        nx: false,
        stripped: false,
        is_static: false,
        line_numbers: false,
        members: Vec::new(),
        warnings: Vec::new(),
    });
    object.format = "ar";
    object.class = "AR";
    object.kind = Kind::Archive;
    object.kind_name = "AR (Archive)".to_string();
    object.offset = reader.start();
    object.size = length;
    object.base = placement.base.unwrap_or(0);
    object.shift = 0;
    object.entries.clear();
    object.segments.clear();
    object.sections = Vec::new();
    object.members = members;
    object.warnings = warnings;
    Ok(object)
}

/// The object in a member, laid out by its place in the archive.
fn part(reader: &Reader<'_>, member: &Member, _placement: Placement) -> Option<Object> {
    let inner = reader.part(member.offset.checked_sub(reader.start())?, member.size);
    parse::single(&inner, Placement { base: Some(0), bits: None }).ok().flatten()
}

/// The symbols of every member; their addresses are offsets in the archive.
pub(super) fn symbols(reader: &Reader<'_>, object: &Object) -> Result<Read<Symbol>> {
    let mut all = Read::default();
    each(reader, object, &mut all.warnings, |inner, part, warnings| {
        let read = parse::symbols(inner, part)?;
        warnings.extend(read.warnings);
        let defined = |symbol: &Symbol| symbol.paddr != 0 || symbol.vaddr != 0;
        all.list.extend(read.list.into_iter().map(|symbol| {
            let vaddr = if defined(&symbol) { symbol.paddr } else { 0 };
            Symbol { vaddr, ..symbol }
        }));
        Ok(all.list.len() < LIST_LIMIT)
    })?;
    Ok(all)
}

/// The relocations of every member; their addresses are offsets in the archive.
pub(super) fn relocations(reader: &Reader<'_>, object: &Object) -> Result<Read<Relocation>> {
    let mut all = Read::default();
    each(reader, object, &mut all.warnings, |inner, part, warnings| {
        let read = parse::relocations(inner, part)?;
        warnings.extend(read.warnings);
        all.list.extend(read.list.into_iter().map(|relocation| Relocation { vaddr: relocation.paddr, ..relocation }));
        Ok(all.list.len() < LIST_LIMIT)
    })?;
    Ok(all)
}

fn each(
    reader: &Reader<'_>,
    object: &Object,
    warnings: &mut Vec<String>,
    mut work: impl FnMut(&Reader<'_>, &Object, &mut Vec<String>) -> Result<bool>,
) -> Result<()> {
    for member in &object.members {
        let Some(at) = member.offset.checked_sub(reader.start()) else { continue };
        let inner = reader.part(at, member.size);
        match parse::single(&inner, Placement { base: Some(0), bits: None }) {
            Ok(Some(part)) => {
                if !work(&inner, &part, warnings)? {
                    break;
                }
            }
            Ok(None) => {}
            Err(error) => warnings.push(format!("member {}: {error}", member.name)),
        }
    }
    Ok(())
}
