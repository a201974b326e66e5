//! What happens at each hit: a row, a flag, a command.

use std::io::{self, Write};

use serde::Serialize;

use super::hunt::{Catch, Frame, Hunt, Seen};
use super::query::{Query, Recognise, Shown};
use super::range;
use crate::commands::literal;
use crate::error::{Error, Kind, Result};
use crate::io::scan::{Hit, Pattern, Wanted};
use crate::output::{Executor, Item, Mode, Out, Style, visible};
use crate::session::context::Args;
use crate::session::flags::check_name;
use crate::session::{Ctx, Session, Value, options};

/// Bytes of a hit that are shown.
const SHOWN: usize = 256;

/// Characters shown before and behind a hit of text.
const AROUND: usize = 16;

/// The flags that one search makes: more names would help nobody, and cost memory.
const FLAGS: u64 = 1 << 20;

/// The flagspace of the hits.
const SPACE: &str = "search";

/// What else is done at each hit, with the seek there.
pub type Work<'w> = &'w mut dyn FnMut(&mut Session, &mut Out<'_>) -> Result<()>;

/// A hit as it is shown.
#[derive(Serialize)]
struct Row<'a> {
    offset: u64,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<u64>,
    #[serde(skip)]
    size: usize,
    #[serde(skip)]
    name: &'a str,
    /// Whether rows say the kind.
    #[serde(skip)]
    labelled: bool,
}

impl Item for Row<'_> {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let Row { offset, name, .. } = self;
        match (&self.data, self.value) {
            (_, Some(value)) => writeln!(out, "0x{offset:08x} {name} 0x{value:x}"),
            (Some(data), _) if self.labelled => {
                writeln!(out, "0x{offset:08x} {name} [{}] {data}", self.kind.unwrap_or_default())
            }
            (Some(data), _) if self.kind == Some("string") => writeln!(out, "0x{offset:08x} {name} \"{data}\""),
            (data, _) => writeln!(out, "0x{offset:08x} {name} {}", data.as_deref().unwrap_or_default()),
        }
    }

    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x}", self.offset)
    }

    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "f {} {} 0x{:08x}", self.name, self.size, self.offset)
    }
}

/// The options that hold for a search, as they were when it began.
struct Options {
    wanted: Wanted,
    most: u64,
    prefix: String,
    number: u64,
    flags: bool,
    show: bool,
    command: String,
}

impl Options {
    /// Reads the options, and counts the search.
    fn read(ctx: &mut Ctx<'_, '_>) -> Result<Options> {
        let prefix = ctx.option_text("search.prefix");
        check_name(&prefix).map_err(|error| error.context("search.prefix"))?;
        let number = ctx.option_number("search.kwidx");
        if let Some(option) = options::find("search.kwidx") {
            // Flags are shared, so their numbers are too, unless the client has chosen its own.
            let own = ctx.view.overrides.get(option.name).is_some();
            let layer = if own { &mut ctx.view.overrides } else { &mut ctx.core.config };
            layer.put(option, Value::Number(number.wrapping_add(1)));
        }
        Ok(Options {
            wanted: Wanted { align: ctx.option_number("search.align"), overlap: ctx.option_bool("search.overlap") },
            most: ctx.option_number("search.maxhits"),
            prefix,
            number,
            flags: ctx.option_bool("search.flags"),
            show: ctx.option_bool("search.show"),
            command: ctx.option_text("cmd.hit"),
        })
    }

    /// What of the bytes at a hit its row shows.
    fn frame(&self, query: &Query, mode: Mode) -> Option<Frame> {
        if !self.show || matches!(mode, Mode::Quiet | Mode::Commands) {
            return None;
        }
        match (query.shown, &query.pattern) {
            (Shown::Text, _) => Some(Frame { bytes: SHOWN, around: AROUND }),
            (Shown::Named(_) | Shown::Code, _) => None,
            (Shown::Hex, Pattern::Bytes(keyword)) if keyword.is_exact() => None,
            _ => Some(Frame { bytes: SHOWN, around: 0 }),
        }
    }
}

/// Reads the arguments of the search command `name` and runs it. `work` takes the place of `cmd.hit`.
pub fn command(
    session: &mut Session,
    name: &'static str,
    args: &Args,
    out: &mut Out<'_>,
    work: Option<Work<'_>>,
) -> Result<()> {
    let query = session.with(|core, view| Query::read(&mut Ctx { core, view, out, args }, name))?;
    session.view.search = Some((name, args.clone()));
    run(session, &query, args, out, work)
}

/// Runs a search: prints hits, sets flags, runs `work` or `cmd.hit`. `$?` becomes the number of hits.
pub fn run(
    session: &mut Session,
    query: &Query,
    args: &Args,
    out: &mut Out<'_>,
    mut work: Option<Work<'_>>,
) -> Result<()> {
    let (options, mut extents) = session.with(|core, view| {
        let mut ctx = Ctx { core, view, out, args };
        let options = Options::read(&mut ctx)?;
        let extents = if query.code.is_some() { range::code(&mut ctx)? } else { range::extents(&mut ctx)? };
        Ok::<_, Error>((options, extents))
    })?;
    if query.backward {
        extents.reverse();
    }
    let most = if query.first_only { 1 } else { options.most };
    let cancel = out.cancel().clone();
    let frame = options.frame(query, out.mode());
    let mut count = 0;
    session.view.last = 0;
    for extent in extents {
        if out.is_terminal() {
            out.note(format_args!("Searching {} bytes in [0x{:x}-0x{:x}]", extent.length(), extent.first, extent.last));
        }
        let progress = out.progress("searching", extent.length());
        let left = if most == 0 { 0 } else { most - count };
        let mut hunt = Hunt::new(query, options.wanted, extent, left, frame)?;
        while let Some(Catch { hit, seen, what }) = hunt.next(session, &cancel, &mut |done| progress.at(done))? {
            // Only hits that are shown count.
            cancel.check()?;
            let what = match query.shown {
                Shown::Named(recognise) => match named(session, recognise, hit, args, out)? {
                    Some(what) => Some(what),
                    None => continue,
                },
                _ => what,
            };
            let name = format!("{}{}_{count}", options.prefix, options.number);
            count += 1;
            session.view.last = count;
            let seen = match (frame, seen) {
                (Some(frame), None) => {
                    session.with(|core, view| frame.read(&mut Ctx { core, view, out, args }, hit))?
                }
                (_, seen) => seen.unwrap_or_default(),
            };
            found(session, query, &options, &name, hit, &seen, what, out)?;
            if options.flags && count == FLAGS {
                out.note(format_args!("no flags for further hits: {FLAGS} are enough"));
            }
            // Not `as_deref_mut`: the closure must be lent anew for each hit.
            let work: Option<Work<'_>> = match &mut work {
                Some(work) => Some(&mut **work),
                None => None,
            };
            at_hit(session, &options, hit, out, work)?;
            session.view.last = count;
            if count == most {
                return Ok(());
            }
            if session.view.quit.is_some() || session.shell.leave {
                session.shell.leave = false;
                return Ok(());
            }
        }
        drop(progress);
    }
    if out.is_terminal() {
        out.note(format_args!("hits: {count}"));
    }
    Ok(())
}

/// The first hit of `query` in the ranges that the options name, without a row or a flag.
pub fn first(session: &mut Session, query: &Query, args: &Args, out: &mut Out<'_>) -> Result<Option<Hit>> {
    let cancel = out.cancel().clone();
    let (wanted, extents) = session.with(|core, view| {
        let mut ctx = Ctx { core, view, out, args };
        let wanted = Wanted { align: ctx.option_number("search.align"), overlap: true };
        Ok::<_, Error>((wanted, range::extents(&mut ctx)?))
    })?;
    for extent in extents {
        if let Some(found) = Hunt::new(query, wanted, extent, 1, None)?.next(session, &cancel, &mut |_| {})? {
            return Ok(Some(found.hit));
        }
    }
    Ok(None)
}

/// Bytes that are read to recognise what lies at a hit.
const SIGHT: usize = 4096;

/// The kind and the name of what lies at `hit`.
fn named(
    session: &mut Session,
    recognise: Recognise,
    hit: Hit,
    args: &Args,
    out: &mut Out<'_>,
) -> Result<Option<(&'static str, String)>> {
    let room = usize::try_from((u64::MAX - hit.address).saturating_add(1)).unwrap_or(SIGHT);
    let mut bytes = vec![0; SIGHT.max(hit.length).min(room)];
    let there = session.with(|core, view| Ctx { core, view, out, args }.read_into(hit.address, &mut bytes))?;
    bytes.truncate(there);
    Ok(recognise(&bytes))
}

/// Prints a hit and sets its flag.
#[allow(clippy::too_many_arguments, reason = "what is known of one hit")]
fn found(
    session: &mut Session,
    query: &Query,
    options: &Options,
    name: &str,
    hit: Hit,
    seen: &Seen,
    what: Option<(&'static str, String)>,
    out: &mut Out<'_>,
) -> Result<()> {
    if options.flags && session.view.last <= FLAGS {
        session.with(|core, _| {
            core.flags.set(name, hit.address, hit.length as u64);
            core.flags.set_space(name, Some(SPACE));
        });
    }
    if !options.show {
        return Ok(());
    }
    let own = seen.bytes.get(seen.before..seen.before + seen.own).unwrap_or_default();
    let more = if hit.length > SHOWN { "..." } else { "" };
    let (mut kind, mut data, mut value) = (None, None, None);
    let labelled = matches!(query.shown, Shown::Code);
    match (query.shown, &query.pattern) {
        (Shown::Named(_) | Shown::Code, _) => {
            (kind, data) = what.map_or((None, None), |(kind, name)| (Some(kind), Some(visible(&name).into_owned())));
        }
        (Shown::Text, _) => (kind, data) = (Some("string"), Some(text(seen))),
        (Shown::Hex, Pattern::Bytes(keyword)) if keyword.is_exact() => {
            let bytes = &keyword.value()[..hit.length.min(SHOWN)];
            (kind, data) = (Some("hexpair"), Some(format!("{}{more}", faster_hex::hex_string(bytes))));
        }
        (Shown::Hex, _) => (kind, data) = (Some("hexpair"), Some(format!("{}{more}", faster_hex::hex_string(own)))),
        (Shown::Value { big_endian }, _) => value = Some(literal::value(own, big_endian)),
    }
    out.item(&Row { offset: hit.address, kind, data, value, size: hit.length, name, labelled })?;
    if out.is_terminal() { out.flush() } else { Ok(()) }
}

/// The text of a hit, with the printable characters around it.
fn text(seen: &Seen) -> String {
    let around = |bytes: &[u8]| -> String {
        bytes.iter().filter(|byte| (0x20..0x7f).contains(*byte)).map(|byte| char::from(*byte)).collect()
    };
    let (head, rest) = seen.bytes.split_at(seen.before);
    let (body, tail) = rest.split_at(seen.own);
    // What is not there must not show as text.
    let (head, tail) = if seen.whole { (head, tail) } else { (&[][..], &[][..]) };
    format!("{}{}{}", around(head), spelled(body), around(tail))
}

/// `bytes` with what cannot be printed as escapes; the zeros of wide characters vanish.
fn spelled(bytes: &[u8]) -> String {
    let wide =
        bytes.len() > 1 && bytes.len().is_multiple_of(2) && bytes.chunks(2).all(|pair| pair[0] != 0 && pair[1] == 0);
    let shown = bytes.iter().step_by(if wide { 2 } else { 1 });
    shown
        .map(|byte| {
            if byte.is_ascii_graphic() || *byte == b' ' {
                char::from(*byte).to_string()
            } else {
                format!("\\x{byte:02x}")
            }
        })
        .collect()
}

/// Runs what is to run at a hit, with the seek there.
fn at_hit(session: &mut Session, options: &Options, hit: Hit, out: &mut Out<'_>, work: Option<Work<'_>>) -> Result<()> {
    if work.is_none() && (options.command.is_empty() || out.mode() == Mode::Json) {
        return Ok(());
    }
    let (seek, temporary, history) = (session.view.seek, session.view.temporary, session.view.history.clone());
    session.view.seek = hit.address;
    session.view.temporary = true;
    let result = match work {
        Some(work) => work(session, out),
        None => session.execute(&options.command, &mut out.with_mode(Mode::Text)),
    };
    session.view.seek = seek;
    session.view.temporary = temporary;
    session.view.history = history;
    match result {
        Err(error) if error.kind() == Kind::Syntax => {
            Err(error.context(format_args!("cmd.hit '{}'", visible(&options.command))))
        }
        result => result,
    }
}
