//! Strings of an object file: where they may lie, and how they are named and shown.

use std::borrow::Cow;

use super::{Object, Section};

/// Shortest string that is listed, in characters, unless `bin.minstr` says otherwise.
pub const SHORTEST: usize = 4;

/// The sections that hold the program's texts: what is loaded, not executed, and not for the loader alone.
pub fn sections(object: &Object) -> impl Iterator<Item = &Section> {
    let loaders =
        [".interp", ".eh_frame", ".eh_frame_hdr", ".gcc_except_table", ".got", ".got.plt", ".reloc", ".pdata"];
    object.sections.iter().filter(move |section| {
        section.loaded
            && !section.access.execute
            && section.size > 0
            && (!object.format.starts_with("elf") || section.kind == "PROGBITS")
            && !loaders.contains(&section.name.as_str())
            && !section.name.starts_with(".note")
    })
}

/// What the addresses of a file mean, to look them up one after the other.
pub struct Places {
    /// First and behind-the-last offset, virtual address of the first, name; sorted.
    sections: Vec<(u64, u64, Option<u64>, String)>,
    segments: Vec<(u64, u64, u64)>,
}

impl Places {
    /// The places of `object`; without one an address is an offset.
    pub fn new(object: Option<&Object>) -> Places {
        let Some(object) = object else { return Places { sections: Vec::new(), segments: vec![(0, u64::MAX, 0)] } };
        let mut sections: Vec<_> = object
            .sections
            .iter()
            .filter(|section| section.size > 0 && section.kind != "NOBITS")
            .map(|section| {
                let vaddr = section.loaded.then_some(section.vaddr);
                (section.paddr, section.paddr.saturating_add(section.size), vaddr, section.name.clone())
            })
            .collect();
        sections.sort_by_key(|section| section.0);
        let loaded = object.segments.iter().filter(|segment| segment.loaded && segment.size > 0);
        let segments = loaded.map(|s| (s.paddr, s.paddr.saturating_add(s.size), s.vaddr)).collect();
        Places { sections, segments }
    }

    /// The virtual address of the byte at `paddr` (0: it is not loaded) and the name of its section (empty: none).
    pub fn find(&self, paddr: u64) -> (u64, &str) {
        let behind = self.sections.partition_point(|section| section.0 <= paddr);
        let section = self.sections[..behind].iter().rev().take(8).find(|section| paddr < section.1);
        let inside = |segment: &&(u64, u64, u64)| segment.0 <= paddr && paddr < segment.1;
        let segment = self.segments.iter().find(inside).map(|segment| segment.2.wrapping_add(paddr - segment.0));
        match section {
            Some((first, _, vaddr, name)) => {
                (vaddr.map_or(segment.unwrap_or(0), |vaddr| vaddr.wrapping_add(paddr - first)), name)
            }
            None => (segment.unwrap_or(0), ""),
        }
    }
}

/// The name of a flag at `text`: `str.` and the text with what names cannot have as `_`.
pub fn flag_name(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' });
    format!("str.{}", plain.take(48).collect::<String>())
}

/// `text` in one line: control characters as escapes, a backslash as two when `backslash` is set.
pub fn escaped(text: &str, backslash: bool) -> Cow<'_, str> {
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && (byte != b'\\' || !backslash)) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\x07' => shown.push_str("\\a"),
            '\x08' => shown.push_str("\\b"),
            '\t' => shown.push_str("\\t"),
            '\n' => shown.push_str("\\n"),
            '\x0b' => shown.push_str("\\v"),
            '\x0c' => shown.push_str("\\f"),
            '\r' => shown.push_str("\\r"),
            '\x1b' => shown.push_str("\\e"),
            '\\' if backslash => shown.push_str("\\\\"),
            c if c.is_control() => shown.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_escapes_are_harmless() {
        assert_eq!(flag_name("Hello spec%\x1b"), "str.Hello_spec__");
        assert_eq!(escaped("\x07\x08\t\n\x0b\x0c\r\x1b\\@\u{9b}", true), r"\a\b\t\n\v\f\r\e\\@\x9b");
        assert_eq!(escaped("a\\b", false), r"a\b");
    }

    #[test]
    fn without_an_object_an_offset_is_an_address() {
        assert_eq!(Places::new(None).find(77), (77, ""));
    }
}
