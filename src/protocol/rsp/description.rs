//! Descriptions in XML that a stub gives of itself: its registers (`target.xml` and what it includes), its threads, its
//! libraries, its memory. What is not understood is passed over; sizes and counts are bounded.
//!
//! Source: the appendix "Target Descriptions" of GDB's manual, and the formats of lists in "GDB Remote Serial
//! Protocol".

use std::collections::BTreeMap;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::{Refusal, Thread};

/// Most bytes of all documents together.
pub const LONGEST: usize = 4 << 20;

/// Most documents that a description includes.
pub const DOCUMENTS: usize = 64;

/// How deep documents include others.
const DEPTH: usize = 8;

/// Most registers, threads, libraries, regions.
const ENTRIES: usize = 16_384;

/// A register as `target.xml` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Its number in packets.
    pub number: u32,
    /// How many bits it has.
    pub bits: u32,
    /// The name of its type.
    pub kind: String,
    /// `general`, `float`, `vector` and others.
    pub group: String,
    /// The feature it belongs to.
    pub feature: String,
    /// Where it begins in the reply to `g`, when that is said (LLDB).
    pub offset: Option<u32>,
    /// What it is for (LLDB): `pc`, `sp`, `arg1`.
    pub generic: String,
    /// Its number in DWARF, when that is said (LLDB).
    pub dwarf: Option<u16>,
    /// It has no bytes of its own: the numbers of those that hold it (LLDB).
    pub within: Vec<u32>,
}

/// What `target.xml` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// The architecture in BFD's spelling: `i386:x86-64`, `aarch64`.
    pub architecture: Option<String>,
    /// The system that programs are made for.
    pub system: Option<String>,
    /// The registers, in the order of the document.
    pub registers: Vec<Described>,
}

/// The attributes of an element, unescaped.
fn attributes(element: &BytesStart<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for attribute in element.attributes().with_checks(false).flatten().take(64) {
        if let Ok(value) = attribute.normalized_value(XmlVersion::Implicit1_0) {
            found.insert(text(attribute.key.as_ref()), value.into_owned());
        }
    }
    found
}

fn text(name: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(name.as_ref()).into_owned()
}

/// Shows `visit` each element with its attributes, and text with the name of the element around it. `Err`: it is no
/// XML.
fn walk(xml: &str, mut visit: impl FnMut(Visit<'_>) -> Result<(), Refusal>) -> Result<(), Refusal> {
    let mut reader = Reader::from_str(xml);
    let mut open: Vec<String> = Vec::new();
    loop {
        match reader.read_event().map_err(|_| Refusal::Malformed)? {
            Event::Start(element) => {
                let name = text(element.name().as_ref());
                visit(Visit::Start(&name, attributes(&element)))?;
                if open.len() > 64 {
                    return Err(Refusal::Malformed);
                }
                open.push(name);
            }
            Event::Empty(element) => {
                let name = text(element.name().as_ref());
                visit(Visit::Start(&name, attributes(&element)))?;
            }
            Event::End(_) => drop(open.pop()),
            Event::Text(content) => {
                if let Some(name) = open.last() {
                    visit(Visit::Text(name, content.as_ref()))?;
                }
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

enum Visit<'a> {
    Start(&'a str, BTreeMap<String, String>),
    Text(&'a str, &'a str),
}

/// The documents that `xml` includes. Names that could be anything but plain annexes are left out.
pub fn includes(xml: &str) -> Vec<String> {
    let mut found = Vec::new();
    // What comes before the damage is looked at.
    let _ = walk(xml, |visit| {
        if let Visit::Start("xi:include" | "include", attributes) = visit
            && let Some(name) = attributes.get("href").filter(|name| is_plain(name))
            && found.len() < DOCUMENTS
        {
            found.push(name.clone());
        }
        Ok(())
    });
    found
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
}

impl Description {
    /// Reads the document `root`; what it includes is looked for in `documents`, and passed over when it is not there.
    ///
    /// # Errors
    /// When it is no XML, or says more than it may.
    pub fn parse(root: &str, documents: &BTreeMap<String, String>) -> Result<Description, Refusal> {
        let mut description = Description::default();
        let mut next = 0;
        description.add(root, documents, 0, &mut next)?;
        Ok(description)
    }

    fn add(
        &mut self,
        xml: &str,
        documents: &BTreeMap<String, String>,
        depth: usize,
        next: &mut u32,
    ) -> Result<(), Refusal> {
        if depth > DEPTH {
            return Err(Refusal::Malformed);
        }
        let mut feature = String::new();
        walk(xml, |visit| {
            match visit {
                Visit::Start("xi:include" | "include", attributes) => {
                    if let Some(document) = attributes.get("href").and_then(|name| documents.get(name)) {
                        self.add(document, documents, depth + 1, next)?;
                    }
                }
                Visit::Start("feature", attributes) => {
                    feature = attributes.get("name").cloned().unwrap_or_default();
                }
                Visit::Start("reg", attributes) => {
                    if self.registers.len() >= ENTRIES {
                        return Err(Refusal::Malformed);
                    }
                    if let Some(register) = register(&attributes, &feature, next) {
                        self.registers.push(register);
                    }
                }
                Visit::Text("architecture", content) => {
                    self.architecture.get_or_insert_with(|| content.trim().chars().take(64).collect());
                }
                Visit::Text("osabi", content) => {
                    self.system.get_or_insert_with(|| content.trim().chars().take(64).collect());
                }
                _ => {}
            }
            Ok(())
        })
    }
}

/// A register; `next` is the number of one that says none.
fn register(attributes: &BTreeMap<String, String>, feature: &str, next: &mut u32) -> Option<Described> {
    let value = |name: &str| attributes.get(name).cloned().unwrap_or_default();
    let number = |name: &str| attributes.get(name).and_then(|text| text.trim().parse::<u32>().ok());
    let name: String = value("name");
    let given = number("regnum").or(Some(*next)).filter(|number| *number < 1 << 20)?;
    *next = given + 1;
    let bits = number("bitsize").filter(|bits| (1..=65_536).contains(bits))?;
    if name.is_empty() || name.len() > 64 {
        return None;
    }
    let within = value("value_regnums").split(',').filter_map(|text| text.trim().parse().ok()).take(8).collect();
    Some(Described {
        number: given,
        bits,
        kind: value("type"),
        group: value("group"),
        feature: feature.to_string(),
        offset: number("offset"),
        generic: value("generic"),
        dwarf: number("dwarf_regnum").or(number("ehframe_regnum")).and_then(|number| u16::try_from(number).ok()),
        within,
        name,
    })
}

/// A thread of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Which one.
    pub id: Thread,
    /// Its name.
    pub name: Option<String>,
    /// The processor it ran on last.
    pub core: Option<u32>,
}

/// Reads the list of `qXfer:threads:read`.
///
/// # Errors
/// When it is no XML, or has no end.
pub fn threads(xml: &str) -> Result<Vec<Listed>, Refusal> {
    let mut found = Vec::new();
    walk(xml, |visit| {
        if let Visit::Start("thread", attributes) = visit
            && let Some(id) = attributes.get("id")
        {
            if found.len() >= ENTRIES {
                return Err(Refusal::Malformed);
            }
            found.push(Listed {
                id: Thread::parse(id.as_bytes())?,
                name: attributes.get("name").cloned().filter(|name| !name.is_empty()),
                core: attributes.get("core").and_then(|core| core.parse().ok()),
            });
        }
        Ok(())
    })?;
    Ok(found)
}

/// A library of the list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Library {
    /// Its path, as the process sees it.
    pub path: String,
    /// The address of its `struct link_map`.
    pub link_map: u64,
    /// What is added to the addresses in its file.
    pub bias: u64,
    /// The address of its dynamic section.
    pub dynamic: u64,
}

fn address(attributes: &BTreeMap<String, String>, name: &str) -> Option<u64> {
    let text = attributes.get(name)?;
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Reads the list of `qXfer:libraries-svr4:read`: the `link_map` of the program, and the libraries.
///
/// # Errors
/// When it is no XML, or has no end.
pub fn libraries(xml: &str) -> Result<(Option<u64>, Vec<Library>), Refusal> {
    let (mut main, mut found) = (None, Vec::new());
    walk(xml, |visit| {
        match visit {
            Visit::Start("library-list-svr4", attributes) => main = address(&attributes, "main-lm"),
            Visit::Start("library", attributes) => {
                if found.len() >= ENTRIES {
                    return Err(Refusal::Malformed);
                }
                found.push(Library {
                    path: attributes.get("name").cloned().unwrap_or_default(),
                    link_map: address(&attributes, "lm").unwrap_or_default(),
                    bias: address(&attributes, "l_addr").unwrap_or_default(),
                    dynamic: address(&attributes, "l_ld").unwrap_or_default(),
                });
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok((main, found))
}

/// A region of `qXfer:memory-map:read`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// `ram`, `rom` or `flash`.
    pub kind: String,
    /// Its first address.
    pub start: u64,
    /// Its bytes.
    pub length: u64,
}

/// Reads the list of `qXfer:memory-map:read`.
///
/// # Errors
/// When it is no XML, or has no end.
pub fn memory(xml: &str) -> Result<Vec<Region>, Refusal> {
    let mut found = Vec::new();
    walk(xml, |visit| {
        if let Visit::Start("memory", attributes) = visit
            && let (Some(start), Some(length)) = (address(&attributes, "start"), address(&attributes, "length"))
        {
            if found.len() >= ENTRIES {
                return Err(Refusal::Malformed);
            }
            let kind = attributes.get("type").cloned().unwrap_or_default();
            found.push(Region { kind, start, length });
        }
        Ok(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn descriptions_continue_numbers_and_include_others() {
        let root = r#"<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target>
            <architecture> i386:x86-64 </architecture><osabi>GNU/Linux</osabi>
            <xi:include href="core.xml"/><xi:include href="../etc/passwd"/>
            <feature name="b"><reg name="x" bitsize="32" regnum="40" type="int"/><reg name="y&lt;" bitsize="8"/></feature>
            </target>"#;
        assert_eq!(includes(root), ["core.xml"]);
        let core = r#"<feature name="a"><flags id="f" size="4"><field name="A" start="0"/></flags>
            <reg name="r0" bitsize="64" generic="pc" dwarf_regnum="16"/><reg name="r1" bitsize="64" type="data_ptr"/>
            <reg name="none"/><reg name="e0" bitsize="32" offset="0" value_regnums="0"/></feature>"#;
        let documents = BTreeMap::from([("core.xml".to_string(), core.to_string())]);
        let found = Description::parse(root, &documents).unwrap();
        assert_eq!((found.architecture.as_deref(), found.system.as_deref()), (Some("i386:x86-64"), Some("GNU/Linux")));
        let shown: Vec<_> =
            found.registers.iter().map(|r| (r.name.as_str(), r.number, r.bits, r.feature.as_str())).collect();
        assert_eq!(
            shown,
            [("r0", 0, 64, "a"), ("r1", 1, 64, "a"), ("e0", 3, 32, "a"), ("x", 40, 32, "b"), ("y<", 41, 8, "b")]
        );
        assert_eq!((found.registers[0].generic.as_str(), found.registers[0].dwarf), ("pc", Some(16)));
        assert_eq!((found.registers[2].offset, found.registers[2].within.as_slice()), (Some(0), &[0][..]));
    }

    #[test]
    fn a_document_that_includes_itself_ends() {
        let root = r#"<target><xi:include href="a.xml"/></target>"#;
        let documents = BTreeMap::from([("a.xml".to_string(), root.to_string())]);
        assert_eq!(Description::parse(root, &documents), Err(Refusal::Malformed));
    }

    #[test]
    fn lists_are_read() {
        let list = threads(r#"<threads><thread id="p1.a" core="3" name="x&amp;y"/><thread id="5"></thread></threads>"#);
        let list = list.unwrap();
        assert_eq!((list[0].name.as_deref(), list[0].core), (Some("x&y"), Some(3)));
        assert_eq!((list[0].id, list[1].id), (Thread::parse(b"p1.a").unwrap(), Thread::parse(b"5").unwrap()));
        assert!(threads(r#"<threads><thread id="zz"/></threads>"#).is_err());
        let (main, list) = libraries(
            r#"<library-list-svr4 version="1.0" main-lm="0x10"><library name="/lib/c" lm="0x20" l_addr="0x7f00" l_ld="0x7f10"/></library-list-svr4>"#,
        )
        .unwrap();
        assert_eq!(main, Some(0x10));
        assert_eq!(list, [Library { path: "/lib/c".into(), link_map: 0x20, bias: 0x7f00, dynamic: 0x7f10 }]);
        let list = memory(
            r#"<memory-map><memory type="flash" start="0x0" length="0x100"><property name="blocksize">16</property></memory></memory-map>"#,
        );
        assert_eq!(list.unwrap(), [Region { kind: "flash".into(), start: 0, length: 0x100 }]);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_fall_over(xml in "(<|>|/|target|reg|feature|xi:include| |href=\"a\"|name=\"b\"|bitsize=\"32\"|regnum=\"[0-9]{1,12}\"|&lt;|&|[a-z]|<!--|-->|<!DOCTYPE|\\]){0,60}") {
            let documents = BTreeMap::from([("a".to_string(), xml.clone())]);
            let _ = Description::parse(&xml, &documents);
            let _ = (includes(&xml), threads(&xml), libraries(&xml), memory(&xml));
        }
    }
}
