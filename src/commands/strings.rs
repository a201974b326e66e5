//! `iz`: the strings of the current file.

use std::borrow::Cow;
use std::io::{self, Write};

use rayon::prelude::*;
use serde::Serialize;

use super::search::Memory;
use super::{Command, Example, Family, Run};
use crate::binary::Object;
use crate::binary::strings::{self, Places};
use crate::error::{Error, Kind, Result};
use crate::io::scan::text::{self, Encoding};
use crate::io::scan::{Extent, Hit, Pattern, REACH, Sweep, Wanted};
use crate::output::{Item, Mode, Out, Style};
use crate::session::context::Args;
use crate::session::strings::NAMED;
use crate::session::{Ctx, Permissions, Session};

/// The family.
pub const FAMILY: Family = Family { name: "iz", summary: "strings of the current file", commands: COMMANDS };

const MODES: &[Mode] = &[Mode::Json, Mode::Quiet, Mode::Commands];

const COMMANDS: &[Command] = &[
    Command {
        name: "iz",
        summary: "list the strings in the data sections of the object file",
        details: "Strings are ASCII, UTF-8, UTF-16 and UTF-32 of at least bin.minstr characters (0: 4) and at most \
                  bin.maxstr (0: any); bin.str.enc names the only encoding wanted. They become flags str.* in the \
                  flagspace 'strings'. 'len' counts characters, 'size' bytes with the zero at the end.",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[Example { line: "izj", shows: "[]" }],
        run: Run::Session(|session, args, out| list(session, args, out, Where::Sections)),
        ..Command::DEFAULT
    },
    Command {
        name: "izz",
        summary: "list the strings in the whole file",
        details: "The file is read in pieces by all cores, so it may be larger than memory. What is not loaded has the \
                  address 0. No flags are set.",
        modes: MODES,
        needs: Permissions::READ,
        examples: &[
            Example {
                line: "wz Hello @ 16; ww wide @ 32; izz",
                shows: "[Strings]\nnth paddr      vaddr      len size section type  string\n\
                        -------------------------------------------------------\n\
                        0   0x00000010 0x00000010 5   6            ascii Hello\n\
                        1   0x00000020 0x00000020 4   10           utf16le wide",
            },
            Example {
                line: "wz Hello @ 16; izzj",
                shows: r#"[{"vaddr":16,"paddr":16,"ordinal":0,"size":6,"length":5,"section":"","type":"ascii","string":"Hello"}]"#,
            },
            Example { line: "wz Hello @ 16; izzq", shows: "0x10 6 5 Hello" },
            Example { line: "wz Hello @ 16; izz*", shows: "fs strings\nf str.Hello 6 0x00000010\nfs *" },
        ],
        run: Run::Session(|session, args, out| list(session, args, out, Where::File)),
        ..Command::DEFAULT
    },
    Command {
        name: "izzz",
        summary: "print the strings of the whole file with their offsets, whatever the file is",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[Example { line: "wz Hello @ 16; izzz", shows: "0x00000010 ascii Hello" }],
        run: Run::Session(|session, args, out| list(session, args, out, Where::Raw)),
        ..Command::DEFAULT
    },
];

/// Where strings are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Sections,
    File,
    Raw,
}

#[derive(Serialize)]
struct Row<'a> {
    vaddr: u64,
    paddr: u64,
    ordinal: u64,
    size: usize,
    length: usize,
    section: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    string: &'a str,
    #[serde(skip)]
    backslash: bool,
}

impl Item for Row<'_> {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        // Put together by hand: there may be millions.
        let string = strings::escaped(self.string, self.backslash);
        let mut row = String::with_capacity(80 + string.len());
        decimal(&mut row, self.ordinal, 3);
        address(&mut row, self.paddr);
        address(&mut row, self.vaddr);
        decimal(&mut row, self.length as u64, 3);
        decimal(&mut row, self.size as u64, 4);
        padded(&mut row, self.section, 7);
        padded(&mut row, self.kind, 5);
        row.push_str(&string);
        row.push('\n');
        out.write_all(row.as_bytes())
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        let string = strings::escaped(self.string, self.backslash);
        writeln!(out, "0x{:x} {} {} {string}", self.vaddr, self.size, self.length)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "f {} {} 0x{:08x}", strings::flag_name(self.string), self.size, self.vaddr)
    }
}

/// Adds `text` in a column of `width`, and a blank.
fn padded(row: &mut String, text: &str, width: usize) {
    row.push_str(text);
    (text.len()..width.max(text.len()) + 1).for_each(|_| row.push(' '));
}

/// Adds a number in a column of `width`, and a blank.
fn decimal(row: &mut String, number: u64, width: usize) {
    let (mut digits, mut at, mut left) = ([0u8; 20], 20, number);
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    padded(row, std::str::from_utf8(&digits[at..]).unwrap_or_default(), width);
}

/// Adds an address of at least 8 digits, and a blank.
fn address(row: &mut String, address: u64) {
    let digits = (16 - address.leading_zeros() as usize / 4).max(8);
    row.push_str("0x");
    let digit = |at: usize| char::from(b"0123456789abcdef"[(address >> (4 * at)) as usize & 15]);
    (0..digits).rev().for_each(|at| row.push(digit(at)));
    row.push(' ');
}

#[derive(Serialize)]
struct RawRow<'a> {
    offset: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    string: &'a str,
}

impl Item for RawRow<'_> {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "0x{:08x} {} {}", self.offset, self.kind, strings::escaped(self.string, false))
    }
}

/// What the options say about the strings that are wanted.
#[derive(Debug, Clone)]
struct Wishes {
    min: usize,
    max: usize,
    encoding: Option<Encoding>,
    backslash: bool,
}

impl Wishes {
    fn read(ctx: &Ctx<'_, '_>) -> Result<Wishes> {
        let number = |name| usize::try_from(ctx.option_number(name)).unwrap_or(usize::MAX);
        let min = match number("bin.minstr") {
            0 => strings::SHORTEST,
            min => min,
        };
        if min > REACH / 4 {
            return Err(
                Error::new(Kind::Limit, format!("bin.minstr={min} is too long")).hint(format!("at most {}", REACH / 4))
            );
        }
        let max = match number("bin.maxstr") {
            0 => usize::MAX,
            max => max,
        };
        let name = ctx.option_text("bin.str.enc");
        let all = [Encoding::Ascii, Encoding::Utf8, Encoding::Utf16, Encoding::Utf32];
        let encoding = all.into_iter().find(|encoding| encoding.name() == name);
        Ok(Wishes { min, max, encoding, backslash: ctx.option_bool("str.escbslash") })
    }

    fn take(&self, text: &text::Text) -> bool {
        let fits = match self.encoding {
            None => true,
            // All of ASCII is UTF-8.
            Some(Encoding::Utf8) => matches!(text.encoding, Encoding::Ascii | Encoding::Utf8),
            Some(encoding) => text.encoding == encoding,
        };
        fits && text.length <= self.max
    }
}

/// A string that was found.
struct Found<'a> {
    paddr: u64,
    size: usize,
    length: usize,
    encoding: Encoding,
    string: Cow<'a, str>,
}

impl Found<'_> {
    fn raw(&self) -> RawRow<'_> {
        RawRow { offset: self.paddr, kind: self.encoding.name(), string: &self.string }
    }
}

fn list(session: &mut Session, args: &Args, out: &mut Out<'_>, place: Where) -> Result<()> {
    let (fd, size, object, wishes) = session.with(|core, view| {
        let fd = view.descriptor.or(core.io.current());
        let fd = fd.ok_or_else(|| Error::new(Kind::NotFound, "no file is open").hint("open one with 'o'"))?;
        let size = core.io.descriptor(fd)?.size();
        let object = if place == Where::Raw { None } else { core.object(fd) };
        Ok::<_, Error>((fd, size, object, Wishes::read(&Ctx { core, view, out, args })?))
    })?;
    let extents = extents(place, object.as_deref(), size);
    let places = Places::new(object.as_deref());
    match out.mode() {
        Mode::Text if place != Where::Raw => {
            let head = "nth paddr      vaddr      len size section type  string";
            out.line(format_args!("[Strings]\n{head}\n{}", "-".repeat(head.len())))?;
        }
        Mode::Commands => out.line("fs strings")?,
        _ => {}
    }
    let mut listed = 0;
    let backslash = wishes.backslash;
    // Offsets in the file, whatever is mapped where.
    let before = session.view.descriptor.replace(fd);
    let outcome = each(session, &wishes, &extents, out, &mut |session, out, found| {
        if place == Where::Raw {
            return out.items(&found.iter().map(Found::raw).collect::<Vec<_>>());
        }
        let rows: Vec<Row<'_>> = found
            .par_iter()
            .with_min_len(APART)
            .enumerate()
            .map(|(index, Found { paddr, size, length, encoding, string })| {
                let (vaddr, section) = places.find(*paddr);
                let (ordinal, kind) = (listed + index as u64, encoding.name());
                Row { vaddr, paddr: *paddr, ordinal, size: *size, length: *length, section, kind, string, backslash }
            })
            .collect();
        if place == Where::Sections {
            let left = (NAMED as u64).saturating_sub(listed) as usize;
            session.with(|core, _| {
                let named = rows.iter().take(left).filter(|row| row.vaddr != 0);
                named.for_each(|row| core.name_string(row.string, row.vaddr, row.size as u64));
            });
        }
        listed += rows.len() as u64;
        out.items(&rows)
    });
    session.view.descriptor = before;
    outcome?;
    if out.mode() == Mode::Commands { out.line("fs *") } else { Ok(()) }
}

/// The stretches of the file that are looked at.
fn extents(place: Where, object: Option<&Object>, size: Option<u64>) -> Vec<Extent> {
    let end = size.unwrap_or(u64::MAX);
    let within = |first: u64, length: u64| {
        let last = first.saturating_add(length).min(end).checked_sub(1)?;
        (last >= first).then_some(Extent { first, last })
    };
    match (place, object) {
        (Where::Sections, None) => Vec::new(),
        (Where::Sections, Some(object)) => {
            strings::sections(object).filter_map(|section| within(section.paddr, section.size)).collect()
        }
        _ => within(0, end).into_iter().collect(),
    }
}

/// Bytes that are read at once for the strings in them.
const WINDOW: u64 = 1 << 20;

/// Strings that one core reads at a time.
const APART: usize = 256;

/// Takes strings, many at a time.
type Taker<'a> = dyn FnMut(&mut Session, &mut Out<'_>, &[Found<'_>]) -> Result<()> + 'a;

/// Calls `found` with the strings in `extents`, which are offsets in the chosen descriptor: many at a time, in order.
fn each(
    session: &mut Session,
    wishes: &Wishes,
    extents: &[Extent],
    out: &mut Out<'_>,
    found: &mut Taker<'_>,
) -> Result<()> {
    let pattern = Pattern::Text(wishes.min);
    let cancel = out.cancel().clone();
    let args = Args::default();
    let mut bytes = Vec::new();
    for extent in extents {
        let progress = out.progress("searching", extent.length());
        let mut sweep = Sweep::new(&pattern, Wanted::default(), *extent);
        loop {
            let hits = sweep.batch(&mut Memory(session), &cancel, &mut |done| progress.at(done))?;
            let mut rest = &hits[..];
            while let Some(first) = rest.first().map(|hit| hit.address) {
                let count = rest.partition_point(|hit| behind(*hit) - first <= WINDOW).max(1);
                let (window, others) = rest.split_at(count);
                rest = others;
                let end = window.last().map_or(first, |hit| behind(*hit));
                // With the zero that may end the last one.
                let wanted = (end - first).saturating_add(4).min((extent.last - first).saturating_add(1));
                bytes.resize(usize::try_from(wanted).unwrap_or(0), 0);
                session.with(|core, view| Ctx { core, view, out, args: &args }.read_into(first, &mut bytes))?;
                let strings: Vec<Found<'_>> = window
                    .par_iter()
                    .with_min_len(APART)
                    .filter_map(|hit| read(*hit, bytes.get((hit.address - first) as usize..)?, wishes))
                    .collect();
                found(session, out, &strings)?;
            }
            if hits.is_empty() {
                break;
            }
        }
    }
    Ok(())
}

/// The address behind a string.
fn behind(hit: Hit) -> u64 {
    hit.address.saturating_add(hit.length as u64)
}

/// The string at the start of `bytes`, if it is wanted.
fn read<'b>(hit: Hit, bytes: &'b [u8], wishes: &Wishes) -> Option<Found<'b>> {
    // The same look at the same bytes finds the same string.
    let text = text::at(bytes.get(..hit.length)?, 0, wishes.min).filter(|text| wishes.take(text))?;
    let unit = text.encoding.unit();
    let ends = bytes.get(text.place.end..text.place.end + unit).is_some_and(|end| end.iter().all(|b| *b == 0));
    let size = text.place.len() + if ends { unit } else { 0 };
    let string = text.decode(bytes);
    Some(Found { paddr: hit.address, size, length: text.length, encoding: text.encoding, string })
}
