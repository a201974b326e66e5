//! `/m`: files inside of files, by their signatures.

use regex::bytes::RegexBuilder;

use super::query::Shown;
use crate::error::{Error, Kind, Result};
use crate::io::scan::Pattern;

/// How the files that are looked for begin. What really is there is for others to say.
const STARTS: &[&str] = &[
    r"\x7fELF",
    r"MZ",
    r"\xfe\xed\xfa[\xce\xcf]",
    r"[\xce\xcf]\xfa\xed\xfe",
    r"\xca\xfe\xba\xbe",
    r"\x00asm",
    r"dex\n",
    r"!<arch>\n",
    r"\x89PNG\r\n\x1a\n",
    r"\xff\xd8\xff",
    r"GIF8[79]a",
    r"II\*\x00",
    r"MM\x00\*",
    r"RIFF....(?:WEBP|WAVE|AVI )",
    r"8BPS",
    r"PK(?:\x03\x04|\x05\x06)",
    r"Rar!\x1a\x07",
    r"\x1f\x8b\x08",
    r"BZh[1-9]1AY&SY",
    r"\xfd7zXZ\x00",
    r"7z\xbc\xaf\x27\x1c",
    r"\x28\xb5\x2f\xfd",
    r"\x04\x22\x4d\x18",
    r"MSCF\x00\x00",
    r"%PDF-",
    r"\{\\rtf",
    r"SQLite format 3\x00",
    r"OggS",
    r"fLaC",
    r"ID3[\x02-\x04]",
    r"MThd\x00\x00\x00\x06",
    r"\x1a\x45\xdf\xa3",
    r"FLV\x01",
    r"wOF[F2]",
    r"OTTO\x00",
    // With the tag of its first table: five bytes alone are found in any program.
    r"\x00\x01\x00\x00\x00[\x01-\x40].{6}[A-Za-z][A-Za-z0-9/ ]{3}",
    r"\xed\xab\xee\xdb",
    r"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    r"....ftyp[a-zA-Z0-9 ]{4}",
];

const OBJECTS: &[&str] = &[
    r"\x7fELF[\x01\x02][\x01\x02]\x01",
    r"MZ",
    r"\xfe\xed\xfa[\xce\xcf]",
    r"[\xce\xcf]\xfa\xed\xfe",
    r"\xca\xfe\xba\xbe\x00\x00\x00[\x01-\x13]",
    r"\x00asm\x01\x00\x00\x00",
    r"!<arch>\n",
];

/// A pattern for any of `alternatives`, which are about bytes.
pub(super) fn any(alternatives: &[&str]) -> Result<Pattern> {
    let expression = alternatives.iter().map(|one| format!("(?:{one})")).collect::<Vec<_>>().join("|");
    let built = RegexBuilder::new(&expression).unicode(false).dot_matches_new_line(true).build();
    // The expressions are this program's own.
    built.map(|regex| Pattern::Regex(Box::new(regex))).map_err(|error| Error::new(Kind::Unsupported, error.to_string()))
}

/// What `/m` looks for.
pub fn files() -> Result<(Pattern, Shown)> {
    Ok((any(STARTS)?, Shown::Named(file)))
}

/// What `/mb` looks for.
pub fn objects() -> Result<(Pattern, Shown)> {
    Ok((any(OBJECTS)?, Shown::Named(object)))
}

fn file(bytes: &[u8]) -> Option<(&'static str, String)> {
    // Two letters make no program.
    if bytes.starts_with(b"MZ") && object(bytes).is_none() {
        return None;
    }
    let kind = infer::get(bytes)?;
    Some(("file", format!("{} {}", kind.mime_type(), kind.extension())))
}

fn object(bytes: &[u8]) -> Option<(&'static str, String)> {
    let word = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let name = match bytes {
        [0x7f, b'E', b'L', b'F', 1, ..] => "elf",
        [0x7f, b'E', b'L', b'F', 2, ..] => "elf64",
        [b'M', b'Z', ..] => {
            let header = word(0x3c)? as usize;
            let rest = bytes.get(header..).filter(|rest| rest.starts_with(b"PE\0\0"))?;
            match rest.get(24..26)? {
                [0x0b, 1] => "pe",
                [0x0b, 2] => "pe64",
                _ => return None,
            }
        }
        [0xce, 0xfa, 0xed, 0xfe, ..] | [0xfe, 0xed, 0xfa, 0xce, ..] => "mach0",
        [0xcf, 0xfa, 0xed, 0xfe, ..] | [0xfe, 0xed, 0xfa, 0xcf, ..] => "mach064",
        [0xca, 0xfe, 0xba, 0xbe, ..] => "fatmach0",
        [0, b'a', b's', b'm', ..] => "wasm",
        [b'!', b'<', ..] => "ar",
        _ => return None,
    };
    Some(("object", name.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_is_an_expression() {
        files().unwrap();
        objects().unwrap();
    }

    #[test]
    fn two_letters_make_no_program() {
        let mut bytes = vec![0; 0x200];
        bytes[..2].copy_from_slice(b"MZ");
        assert_eq!(object(&bytes), None);
        assert_eq!(file(&bytes), None);
        bytes[0x3c] = 0x80;
        bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
        bytes[0x98..0x9a].copy_from_slice(&[0x0b, 2]);
        assert_eq!(object(&bytes).unwrap().1, "pe64");
        bytes[0x3c..0x40].fill(0xff);
        assert_eq!(object(&bytes), None);
    }
}
