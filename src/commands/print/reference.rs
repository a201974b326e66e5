//! `pxr`: words and what they refer to, followed as far as `hex.depth` says.

use std::io::Write;

use serde::Serialize;

use super::LENGTH;
use super::hex::characters;
use super::layout::{Layout, number, word_size};
use super::text::visible_bytes;
use crate::commands::{Command, Example, Run};
use crate::error::Result;
use crate::io::Access;
use crate::output::{Item, Mode, Style, visible};
use crate::session::{Ctx, Permissions};

/// Printable characters at the target that make it a string.
const STRING_MINIMUM: usize = 4;

/// Characters shown of a string at the target.
const STRING_LIMIT: usize = 64;

const fn telescope(name: &'static str, summary: &'static str, examples: &'static [Example], run: Run) -> Command {
    Command {
        name,
        args: LENGTH,
        summary,
        details: "After a word stand its flags (@), its decimal value, the map, flag and permissions of the place it \
                  points to, and what is there. Runs of zeros are one line.",
        modes: &[Mode::Json, Mode::Quiet],
        needs: Permissions::READ,
        examples,
        run,
        ..Command::DEFAULT
    }
}

/// The commands.
pub const COMMANDS: &[Command] = &[
    telescope(
        "pxr",
        "print words and what they refer to",
        &[
            Example {
                line: "wx 4142430000000000deadbeef7f454c46; pxr 32",
                shows: "0x00000000 0x0000000000434241   ABC..... 4407873 ascii ('A')\n\
                        0x00000008 0x464c457fefbeadde   .....ELF\n\
                        0x00000010 ..[ null bytes ]..   00000000 ",
            },
            Example {
                line: "w ABC; pxrj 16",
                shows: r#"[{"addr":0,"value":4407873,"refstr":"4407873 ascii ('A')","ref":{"addr":4407873,"value":"4407873","attr":["ascii"]}}]"#,
            },
            Example { line: "w ABC; pxrq 8", shows: "0x0000000000434241" },
        ],
        Run::Core(|ctx| {
            let size = word_size(ctx);
            references(ctx, size)
        }),
    ),
    telescope(
        "pxr1",
        "print bytes and what they refer to",
        &[Example { line: "wx 41; pxr1 1", shows: "0x00000000 0x41  A 65 R W X 0x0000000000000000 ascii ('A')" }],
        Run::Core(|ctx| references(ctx, 1)),
    ),
    telescope(
        "pxr2",
        "print 2-byte words and what they refer to",
        &[Example { line: "wx ff7f; pxr2 2", shows: "0x00000000 0x7fff  .. 32767" }],
        Run::Core(|ctx| references(ctx, 2)),
    ),
    telescope(
        "pxr4",
        "print 4-byte words and what they refer to",
        &[Example { line: "w ABC; pxr4 4", shows: "0x00000000 0x00434241  ABC. 4407873 ascii ('A')" }],
        Run::Core(|ctx| references(ctx, 4)),
    ),
    telescope(
        "pxr8",
        "print 8-byte words and what they refer to",
        &[Example { line: "w ABC; pxr8 8", shows: "0x00000000 0x0000000000434241   ABC..... 4407873 ascii ('A')" }],
        Run::Core(|ctx| references(ctx, 8)),
    ),
];

/// What a word refers to.
#[derive(Debug, Clone, Serialize)]
struct Reference {
    addr: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    section: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    perms: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attr: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    string: Option<String>,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    next: Option<Box<Reference>>,
    /// What is stored at the target, as digits.
    #[serde(skip)]
    target: Option<String>,
}

impl Reference {
    fn is_empty(&self) -> bool {
        self.value.is_none()
            && self.section.is_none()
            && self.flag.is_none()
            && self.attr.is_empty()
            && self.target.is_none()
    }

    /// The reference as it stands behind a word.
    fn summary(&self) -> String {
        let mut parts: Vec<String> = [&self.value, &self.section, &self.flag, &self.perms, &self.target]
            .into_iter()
            .flatten()
            .map(|part| visible(part).into_owned())
            .collect();
        if self.attr.contains(&"ascii") {
            let letter = char::from(self.addr.to_le_bytes()[0]);
            parts.push(format!("ascii ('{letter}')"));
        }
        parts.extend(self.string.clone());
        if let Some(next) = self.next.as_deref().filter(|next| !next.is_empty()) {
            parts.push(format!("-> {}", next.summary()));
        }
        parts.join(" ")
    }
}

/// A row of the telescope.
#[derive(Serialize)]
struct Row {
    addr: u64,
    value: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    refstr: String,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<Reference>,
    #[serde(skip)]
    bytes: Vec<u8>,
    /// Names of the word's own address.
    #[serde(skip)]
    names: String,
}

impl Item for Row {
    fn text(&self, out: &mut dyn Write, _style: Style) -> std::io::Result<()> {
        if self.value == 0 {
            return writeln!(out, "0x{:08x} ..[ null bytes ]..   00000000 {}", self.addr, self.names);
        }
        let (width, gap) = (2 + 2 * self.bytes.len(), if self.bytes.len() == 8 { 3 } else { 2 });
        write!(out, "0x{:08x} {:#0width$x}{:gap$}{}", self.addr, self.value, "", characters(&self.bytes))?;
        if !self.names.is_empty() {
            write!(out, " @ {}", self.names)?;
        }
        if !self.refstr.is_empty() {
            write!(out, " {}", self.refstr)?;
        }
        writeln!(out)
    }

    fn quiet(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let width = 2 + 2 * self.bytes.len();
        writeln!(out, "{:#0width$x}", self.value)
    }
}

fn references(ctx: &mut Ctx<'_, '_>, size: usize) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let layout = Layout::new(ctx);
    let depth = ctx.option_number("hex.depth").min(32);
    let json = ctx.out.mode() == Mode::Json;
    let mut zeros = false;
    let mut bytes = vec![0; size];
    for index in 0..length / size as u64 {
        ctx.out.cancel().check()?;
        let here = address.wrapping_add(index * size as u64);
        ctx.read_into(here, &mut bytes)?;
        let value = layout.number(&bytes);
        if value == 0 && zeros {
            continue;
        }
        zeros = value == 0;
        let reference = (value != 0).then(|| follow(ctx, value, depth)).transpose()?.filter(|found| !found.is_empty());
        // JSON lists what refers to something.
        if json && reference.is_none() {
            continue;
        }
        let names: Vec<&str> = ctx.core.flags.at(here).map(|flag| flag.name.as_str()).collect();
        let names = visible(&names.join(",")).into_owned();
        let refstr = reference.as_ref().map(Reference::summary).unwrap_or_default();
        ctx.out.item(&Row { addr: here, value, refstr, reference, bytes: bytes.clone(), names })?;
    }
    Ok(())
}

/// Describes `value` as an address and as a number, and what is there, `depth` steps far.
fn follow(ctx: &mut Ctx<'_, '_>, value: u64, depth: u64) -> Result<Reference> {
    let mut reference = Reference {
        addr: value,
        value: i32::try_from(value as i64).ok().map(|value| value.to_string()),
        section: None,
        flag: ctx.core.flags.at(value).next().map(|flag| flag.name.clone()),
        perms: None,
        attr: if is_ascii(value) { vec!["ascii"] } else { Vec::new() },
        string: None,
        next: None,
        target: None,
    };
    let Some(map) = ctx.core.io.space.at(value) else { return Ok(reference) };
    reference.section = map.name.clone();
    reference.perms = Some(letters(map.access)).filter(|letters| !letters.is_empty());
    if depth == 0 || !map.access.read {
        return Ok(reference);
    }
    let word = word_size(ctx);
    let mut bytes = vec![0; STRING_LIMIT.max(word)];
    ctx.read_into(value, &mut bytes)?;
    let target = number(&bytes[..word], ctx.option_bool("cfg.bigendian"));
    reference.target = Some(format!("{target:#0width$x}", width = 2 + 2 * word));
    let printable = bytes.iter().take_while(|byte| matches!(byte, 0x20..=0x7e)).count();
    if printable >= STRING_MINIMUM {
        reference.string = Some(visible_bytes(&bytes[..printable]));
    } else if target != 0 && target != value {
        reference.next = Some(Box::new(follow(ctx, target, depth - 1)?)).filter(|next| !next.is_empty());
    }
    Ok(reference)
}

/// Whether every byte of `value` is a printable character or zero.
fn is_ascii(value: u64) -> bool {
    value.to_le_bytes().iter().all(|byte| matches!(byte, 0 | 0x20..=0x7e)) && value & 0xff != 0
}

fn letters(access: Access) -> String {
    let letters = [(access.read, "R"), (access.write, "W"), (access.execute, "X")];
    letters.iter().filter(|(on, _)| *on).map(|(_, letter)| *letter).collect::<Vec<_>>().join(" ")
}
