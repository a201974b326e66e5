//! What a PE file carries besides code: resources, its version, signatures (Microsoft PE format, ".rsrc", "Attribute
//! Certificate Table"; Win32, VS_VERSIONINFO).

use object::LittleEndian as LE;
use object::ReadRef;
use object::pe;
use object::read::pe::{
    ImageNtHeaders, PeFile, ResourceDirectory, ResourceDirectoryEntryData, ResourceDirectoryTable, ResourceNameOrId,
};

use super::parse::damaged;
use super::{Object, Read, Reader, Resource, Signature, Version};
use crate::error::Result;

/// Most resources that are listed.
const MOST: usize = 1 << 16;

/// Longest version resource that is looked at, in bytes.
const LONGEST: u64 = 64 * 1024;

/// The tree has a type, a name and a language; deeper is damage.
const DEPTH: usize = 3;

fn open<'a, 'd, Pe: ImageNtHeaders>(reader: &'a Reader<'d>) -> Result<PeFile<'a, Pe, &'a Reader<'d>>> {
    PeFile::parse(reader).map_err(|error| damaged("PE headers", error))
}

/// See [`super::resources`].
pub(super) fn resources<Pe: ImageNtHeaders>(reader: &Reader<'_>, object: &Object) -> Result<Read<Resource>> {
    let file = open::<Pe>(reader)?;
    let mut read = Read::default();
    let directory = file.data_directories().resource_directory(reader, &file.section_table());
    let root = directory.and_then(|found| found.map(|found| Ok((found, found.root()?))).transpose());
    match root {
        Ok(Some((directory, root))) => walk(directory, &root, &mut Vec::new(), object, &mut read),
        Ok(None) => {}
        Err(error) => read.warnings.push(format!("resource directory: {error}")),
    }
    Ok(read)
}

fn walk(
    directory: ResourceDirectory<'_>,
    table: &ResourceDirectoryTable<'_>,
    path: &mut Vec<(String, u16)>,
    object: &Object,
    read: &mut Read<Resource>,
) {
    for entry in table.entries {
        if read.list.len() >= MOST || read.warnings.len() >= 8 {
            return;
        }
        let (name, number) = match entry.name_or_id() {
            ResourceNameOrId::Name(name) => match name.to_string_lossy(directory) {
                Ok(name) => (name, 0),
                Err(error) => {
                    read.warnings.push(format!("name of a resource: {error}"));
                    continue;
                }
            },
            ResourceNameOrId::Id(number) => match kind(number).filter(|_| path.is_empty()) {
                Some(kind) => (kind.to_string(), number),
                None => (number.to_string(), number),
            },
        };
        path.push((name, number));
        match entry.data(directory) {
            Ok(ResourceDirectoryEntryData::Table(inner)) if path.len() < DEPTH => {
                walk(directory, &inner, path, object, read);
            }
            Ok(ResourceDirectoryEntryData::Table(_)) => {
                read.warnings.push("resource directory: it is nested too deep".to_string());
            }
            Ok(ResourceDirectoryEntryData::Data(data)) => {
                let vaddr = object.base.wrapping_add(data.offset_to_data.get(LE).into());
                let part = |index: usize| path.get(index).map(|(name, _)| name.clone()).unwrap_or_default();
                read.list.push(Resource {
                    kind: part(0),
                    name: part(1),
                    language: path.get(2).map_or(0, |(_, number)| *number),
                    vaddr,
                    paddr: object.paddr(vaddr).unwrap_or(0),
                    size: data.size.get(LE).into(),
                });
            }
            Err(error) => read.warnings.push(format!("entry of the resource directory: {error}")),
        }
        path.pop();
    }
}

/// The format's name for a type of resource.
fn kind(number: u16) -> Option<&'static str> {
    Some(match number {
        1 => "CURSOR",
        2 => "BITMAP",
        3 => "ICON",
        4 => "MENU",
        5 => "DIALOG",
        6 => "STRING",
        7 => "FONTDIR",
        8 => "FONT",
        9 => "ACCELERATOR",
        10 => "RCDATA",
        11 => "MESSAGETABLE",
        12 => "GROUP_CURSOR",
        14 => "GROUP_ICON",
        16 => "VERSION",
        17 => "DLGINCLUDE",
        19 => "PLUGPLAY",
        20 => "VXD",
        21 => "ANICURSOR",
        22 => "ANIICON",
        23 => "HTML",
        24 => "MANIFEST",
        _ => return None,
    })
}

/// See [`super::versions`]: what the version resources say.
pub(super) fn versions<Pe: ImageNtHeaders>(reader: &Reader<'_>, object: &Object) -> Result<Read<Version>> {
    let found = resources::<Pe>(reader, object)?;
    let mut read = Read { list: Vec::new(), warnings: found.warnings };
    for resource in found.list.iter().filter(|resource| resource.kind == "VERSION") {
        let at = resource.paddr.wrapping_sub(object.offset);
        match reader.read_bytes_at(at, resource.size.min(LONGEST)) {
            Ok(bytes) if resource.paddr != 0 => block(bytes, "", 0, &mut read.list),
            _ => read.warnings.push(format!("version resource at 0x{:x}: it lies outside of the file", resource.paddr)),
        }
    }
    Ok(read)
}

/// Two bytes, the low one first.
fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn wide(bytes: &[u8]) -> (String, usize) {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    (String::from_utf16_lossy(&units[..end]), (end + 1) * 2)
}

/// A block: length, length of the value, whether that is text, the key, the value, the blocks inside of it.
fn block(bytes: &[u8], table: &str, depth: usize, list: &mut Vec<Version>) {
    let mut rest = bytes;
    while let (Some(length), Some(value_length), Some(text)) = (half(rest, 0), half(rest, 2), half(rest, 4)) {
        let length = usize::from(length);
        if length < 6 || length > rest.len() || depth > 4 || list.len() >= MOST {
            return;
        }
        let inside = &rest[..length];
        let (key, taken) = wide(&inside[6..]);
        let start = (6 + taken).next_multiple_of(4);
        let size = usize::from(value_length) * if text == 1 { 2 } else { 1 };
        let end = start.saturating_add(size).min(length);
        let value = inside.get(start..end).unwrap_or_default();
        let push = |list: &mut Vec<Version>, kind, name: &str, value: String| {
            list.push(Version { kind, file: table.to_string(), index: None, name: name.to_string(), value });
        };
        if depth == 0 {
            fixed(value).into_iter().for_each(|(name, value)| push(list, "fixed", name, value));
        } else if text == 1 && !value.is_empty() {
            push(list, "string", &key, wide(value).0);
        }
        if let Some(inner) = inside.get(end.next_multiple_of(4)..) {
            block(inner, if depth == 2 { &key } else { table }, depth + 1, list);
        }
        match rest.get(length.next_multiple_of(4)..) {
            Some(next) if depth > 0 => rest = next,
            _ => return,
        }
    }
}

/// VS_FIXEDFILEINFO: the versions of the file and of what it belongs to.
fn fixed(bytes: &[u8]) -> Vec<(&'static str, String)> {
    if bytes.get(..4) != Some(&0xfeef_04bd_u32.to_le_bytes()) {
        return Vec::new();
    }
    let version = |at: usize| {
        let part = |at| half(bytes, at).unwrap_or(0);
        format!("{}.{}.{}.{}", part(at + 2), part(at), part(at + 6), part(at + 4))
    };
    vec![("FileVersion", version(8)), ("ProductVersion", version(16))]
}

/// See [`super::signatures`]: the attribute certificates.
pub(super) fn signatures<Pe: ImageNtHeaders>(reader: &Reader<'_>, object: &Object) -> Result<Read<Signature>> {
    let file = open::<Pe>(reader)?;
    let mut read = Read::default();
    let Some(directory) = file.data_directory(pe::IMAGE_DIRECTORY_ENTRY_SECURITY) else { return Ok(read) };
    // The one directory that has a file offset.
    let (start, size) = directory.address_range();
    let (mut at, end) = (u64::from(start), u64::from(start) + u64::from(size));
    while at + 8 <= end && read.list.len() < 256 {
        let Ok(head) = reader.read_bytes_at(at, 8) else {
            read.warnings.push(format!("certificate table: 0x{at:x} lies outside of the file"));
            break;
        };
        let length = u64::from(u32::from_le_bytes([head[0], head[1], head[2], head[3]]));
        if length < 8 || at + length > end {
            read.warnings.push(format!("certificate at 0x{at:x}: its length 0x{length:x} does not fit"));
            break;
        }
        let kind = match half(head, 6) {
            Some(1) => "X509",
            Some(2) => "PKCS_SIGNED_DATA",
            Some(4) => "TS_STACK_SIGNED",
            _ => "unknown",
        };
        let text = format!("revision {}.{}", head[5], head[4]);
        read.list.push(Signature { kind, paddr: object.offset + at, size: length, text });
        at += length.next_multiple_of(8);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(key: &str, text: u16, value: &[u8], inner: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 6];
        key.encode_utf16().chain([0]).for_each(|unit| bytes.extend(unit.to_le_bytes()));
        let pad = |bytes: &mut Vec<u8>| bytes.resize(bytes.len().next_multiple_of(4), 0);
        pad(&mut bytes);
        bytes.extend(value);
        pad(&mut bytes);
        bytes.extend(inner);
        let units = value.len() as u16 / if text == 1 { 2 } else { 1 };
        let length = bytes.len() as u16;
        bytes[..2].copy_from_slice(&length.to_le_bytes());
        bytes[2..4].copy_from_slice(&units.to_le_bytes());
        bytes[4..6].copy_from_slice(&text.to_le_bytes());
        pad(&mut bytes);
        bytes
    }

    fn version() -> Vec<u8> {
        let mut fixed = 0xfeef_04bd_u32.to_le_bytes().to_vec();
        for number in [0x10000u32, 0x0001_0002, 0x0003_0004, 0x0005_0006, 0x0007_0008] {
            fixed.extend(number.to_le_bytes());
        }
        let text: Vec<u8> = "Acme\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let strings = node("040904B0", 1, &[], &node("CompanyName", 1, &text, &[]));
        node("VS_VERSION_INFO", 0, &fixed, &node("StringFileInfo", 1, &[], &strings))
    }

    #[test]
    fn versions_are_read() {
        let mut list = Vec::new();
        block(&version(), "", 0, &mut list);
        let rows: Vec<_> = list.iter().map(|row| (row.kind, &*row.file, &*row.name, &*row.value)).collect();
        assert_eq!(
            rows,
            [
                ("fixed", "", "FileVersion", "1.2.3.4"),
                ("fixed", "", "ProductVersion", "5.6.7.8"),
                ("string", "040904B0", "CompanyName", "Acme"),
            ]
        );
    }

    #[test]
    fn damaged_versions_end_the_list() {
        let whole = version();
        for end in 0..whole.len() {
            block(&whole[..end], "", 0, &mut Vec::new());
            let mut changed = whole.clone();
            changed[end] ^= 0xff;
            block(&changed, "", 0, &mut Vec::new());
        }
    }
}
