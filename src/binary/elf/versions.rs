//! The versions of symbols that an ELF file defines and needs (GNU extension: Linux Standard Base, Core, 10.7).

use object::read::StringTable;
use object::read::elf::FileHeader;
use object::{Endianness, SectionIndex};

use super::super::{LIST_LIMIT, Object, Read, Reader, Version};
use super::file::File;
use crate::error::Result;

/// See [`crate::binary::versions`].
pub(in super::super) fn versions<Elf>(reader: &Reader<'_>, object: &Object) -> Result<Read<Version>>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let file = File::<Elf>::open(reader, object)?;
    let mut read = Read::default();
    if let Err(error) = defined(&file, &mut read.list) {
        read.warnings.push(format!(".gnu.version_d: {error}"));
    }
    if let Err(error) = needed(&file, &mut read.list) {
        read.warnings.push(format!(".gnu.version_r: {error}"));
    }
    Ok(read)
}

/// The names that the section `index` holds.
fn names<'a, 'd, Elf: FileHeader<Endian = Endianness>>(
    file: &File<'a, 'd, Elf>,
    index: SectionIndex,
) -> StringTable<'a, &'a Reader<'d>> {
    let range = file.section(index.0).map_or(0..0, |section| file.range(section));
    StringTable::new(file.reader, range.start, range.end)
}

fn text<'a>(table: &StringTable<'a, &'a Reader<'_>>, offset: u32) -> String {
    table.get(offset).map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default()
}

fn defined<Elf: FileHeader<Endian = Endianness>>(
    file: &File<'_, '_, Elf>,
    list: &mut Vec<Version>,
) -> object::Result<()> {
    let endian = file.endian;
    let Some((mut definitions, link)) = file.sections.gnu_verdef(endian, file.reader)? else { return Ok(()) };
    let table = names(file, link);
    // The chain only goes forward, and ends with its section.
    while let Some((definition, mut parts)) = definitions.next()? {
        // The first part is the version's own name; the others are those it inherits.
        let Some(part) = parts.next()? else { continue };
        if list.len() >= LIST_LIMIT {
            break;
        }
        list.push(Version {
            kind: "defined",
            file: String::new(),
            index: Some(definition.vd_ndx.get(endian).0),
            name: text(&table, part.vda_name.get(endian)),
            value: String::new(),
        });
    }
    Ok(())
}

fn needed<Elf: FileHeader<Endian = Endianness>>(
    file: &File<'_, '_, Elf>,
    list: &mut Vec<Version>,
) -> object::Result<()> {
    let endian = file.endian;
    let Some((mut needs, link)) = file.sections.gnu_verneed(endian, file.reader)? else { return Ok(()) };
    let table = names(file, link);
    while let Some((need, mut parts)) = needs.next()? {
        let library = text(&table, need.vn_file.get(endian));
        while let Some(part) = parts.next()? {
            if list.len() >= LIST_LIMIT {
                return Ok(());
            }
            list.push(Version {
                kind: "needed",
                file: library.clone(),
                index: Some(part.vna_other.get(endian).0),
                name: text(&table, part.vna_name.get(endian)),
                value: String::new(),
            });
        }
    }
    Ok(())
}
