//! Which file a loaded one is: by its headers, and by the build id that the linker puts into it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::debug::number;

/// Most program headers that are looked at.
const HEADERS: usize = 64;

/// What two copies of an ELF file have in common, wherever they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Class, order and machine; the entry; the program headers.
    headers: Vec<u8>,
    /// The note that the linker wrote.
    build: Option<Vec<u8>>,
}

impl Identity {
    /// From the first page of the file, as it is or as it lies in memory. `None`: it is no ELF file.
    pub fn parse(page: &[u8]) -> Option<Identity> {
        const PT_NOTE: u64 = 4;
        if !page.starts_with(b"\x7fELF") {
            return None;
        }
        let (wide, big_endian) = (*page.get(4)? == 2, *page.get(5)? == 2);
        let at = |bytes: &[u8], wide_at: usize, narrow_at: usize, wide_size: usize, narrow_size: usize| {
            let (at, size) = if wide { (wide_at, wide_size) } else { (narrow_at, narrow_size) };
            Some(number(bytes.get(at..at + size)?, big_endian) as u64)
        };
        let table = usize::try_from(at(page, 32, 28, 8, 4)?).ok()?;
        let size = at(page, 54, 42, 2, 2)? as usize;
        let count = (at(page, 56, 44, 2, 2)? as usize).min(HEADERS);
        if size < if wide { 56 } else { 32 } {
            return None;
        }
        let all = page.get(table..table.checked_add(size * count)?)?;
        // Where sections are described is not loaded; everything else of the header is.
        let mut headers = page.get(..if wide { 32 } else { 28 })?.to_vec();
        headers.extend_from_slice(all);
        let mut build = None;
        for header in all.chunks_exact(size) {
            if number(header.get(..4)?, big_endian) as u64 != PT_NOTE {
                continue;
            }
            let from = usize::try_from(at(header, 8, 4, 8, 4)?).ok()?;
            let length = usize::try_from(at(header, 32, 16, 8, 4)?).ok()?;
            let notes = page.get(from..page.len().min(from.saturating_add(length))).unwrap_or_default();
            build = build.or_else(|| build_id(notes, big_endian));
        }
        Some(Identity { headers, build })
    }

    /// The same of an open file.
    pub fn of_file(file: &File) -> Option<Identity> {
        let mut page = vec![0; super::memory::LINE as usize];
        let mut done = 0;
        while done < page.len() {
            match file.read_at(&mut page[done..], done as u64).ok()? {
                0 => break,
                count => done += count,
            }
        }
        Identity::parse(&page[..done])
    }

    /// What it is kept as: the build id in digits. `None`: without one nobody could tell it from another.
    pub fn file_name(&self) -> Option<String> {
        let build = self.build.as_ref().filter(|build| (8..=64).contains(&build.len()))?;
        Some(build.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The build id among `notes` (`elf(5)`, "Notes").
fn build_id(mut notes: &[u8], big_endian: bool) -> Option<Vec<u8>> {
    const NT_GNU_BUILD_ID: u64 = 3;
    loop {
        let word = |at: usize| Some(number(notes.get(at..at + 4)?, big_endian) as u64);
        let (name, length, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
        let from = 12usize.checked_add(name.checked_next_multiple_of(4)?)?;
        let end = from.checked_add(length)?;
        if kind == NT_GNU_BUILD_ID && notes.get(12..12 + name) == Some(b"GNU\0") {
            return notes.get(from..end).map(<[u8]>::to_vec);
        }
        notes = notes.get(end.checked_next_multiple_of(4)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_program_is_itself_and_no_other() {
        let own = File::open("/proc/self/exe").unwrap();
        let identity = Identity::of_file(&own).unwrap();
        assert_eq!(Identity::of_file(&own).unwrap(), identity);
        let Ok(other) = File::open("/bin/sh") else { return };
        assert_ne!(Identity::of_file(&other), Some(identity));
    }

    #[test]
    fn build_ids_are_found_behind_other_notes() {
        let mut notes = vec![4, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0];
        notes.extend(b"GNU\0abc\0");
        notes.extend([4, 0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0]);
        notes.extend(b"GNU\0\x01\x02\x03\x04\x05\x06\x07\x08");
        assert_eq!(build_id(&notes, false), Some(vec![1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(build_id(&notes[..40], false), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_fall_over(mut page in proptest::collection::vec(any::<u8>(), 0..300)) {
            page.splice(0..0, *b"\x7fELF");
            let _ = Identity::parse(&page);
        }
    }
}
