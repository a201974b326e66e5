//! Signatures of Mach-O files (LC_CODE_SIGNATURE).

use object::Endianness;
use object::macho;
use object::read::macho::{CodeSignatureBlob, LoadCommandVariant, MachHeader};

use super::parse::damaged;
use super::{Object, Read, Reader, Signature};
use crate::error::Result;

/// Most parts that are listed.
const MOST: usize = 256;

/// See [`super::signatures`].
pub(super) fn signatures(reader: &Reader<'_>, object: &Object) -> Result<Read<Signature>> {
    match object.format {
        "mach064" => parts::<macho::MachHeader64<Endianness>>(reader, object),
        _ => parts::<macho::MachHeader32<Endianness>>(reader, object),
    }
}

fn parts<Mach: MachHeader<Endian = Endianness>>(reader: &Reader<'_>, object: &Object) -> Result<Read<Signature>> {
    let header = Mach::parse(reader, 0).map_err(|error| damaged("Mach-O header", error))?;
    let endian = header.endian().map_err(|error| damaged("Mach-O header", error))?;
    let mut commands = header.load_commands(endian, reader, 0).map_err(|error| damaged("load commands", error))?;
    let mut read = Read::default();
    loop {
        let command = match commands.next() {
            Ok(Some(command)) => command,
            Ok(None) => break,
            Err(error) => {
                read.warnings.push(format!("load commands: {error}"));
                break;
            }
        };
        let Ok(LoadCommandVariant::LinkeditData(place)) = command.variant() else { continue };
        if command.cmd() != macho::LC_CODE_SIGNATURE {
            continue;
        }
        let start = u64::from(place.dataoff.get(endian));
        let signature = match place.code_signature(endian, reader) {
            Ok(signature) => signature,
            Err(error) => {
                read.warnings.push(format!("LC_CODE_SIGNATURE: {error}"));
                continue;
            }
        };
        for blob in signature.blobs().take(MOST) {
            let blob = match blob {
                Ok(blob) => blob,
                Err(error) => {
                    read.warnings.push(format!("LC_CODE_SIGNATURE: {error}"));
                    continue;
                }
            };
            let (kind, text) = match blob.magic() {
                macho::CSMAGIC_CODEDIRECTORY => ("CodeDirectory", identifier(&blob)),
                macho::CSMAGIC_REQUIREMENTS => ("Requirements", String::new()),
                macho::CSMAGIC_EMBEDDED_ENTITLEMENTS => {
                    ("Entitlements", String::from_utf8_lossy(blob.contents()).into_owned())
                }
                macho::CSMAGIC_EMBEDDED_DER_ENTITLEMENTS => ("DerEntitlements", String::new()),
                macho::CSMAGIC_BLOBWRAPPER => ("Signature", String::new()),
                _ => ("unknown", format!("magic 0x{:08x}", blob.magic())),
            };
            let paddr = object.offset.saturating_add(start).saturating_add(blob.offset().into());
            read.list.push(Signature { kind, paddr, size: blob.data().len() as u64, text });
        }
    }
    Ok(read)
}

/// What a code directory says it is.
fn identifier(blob: &CodeSignatureBlob<'_>) -> String {
    let directory = blob.code_directory().ok().flatten();
    directory
        .and_then(|directory| directory.ident().ok())
        .map_or_else(String::new, |name| String::from_utf8_lossy(&name[..name.len().min(1024)]).into_owned())
}
