//! `o`: open files and URIs, and what is open.

use std::io::{self, Write};

use serde::Serialize;

use super::maps::{bar, whole_range};
use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::error::{Error, Kind, Result};
use crate::io::plugin::malloc::Memory;
use crate::io::plugin::{self, PLUGINS};
use crate::io::{Access, Device, Open};
use crate::output::{Item, Mode, Out, Style, visible};
use crate::session::context::Args;
use crate::session::reach::opening;
use crate::session::{Core, Ctx, Load, Permissions, Session, View};
use crate::uri::Uri;

/// The family.
pub const FAMILY: Family = Family { name: "o", summary: "open files and URIs, map them", commands: COMMANDS };

const FILE: &[Arg] =
    &[Arg::new("uri", ArgKind::Uri), Arg::opt("addr", ArgKind::Number), Arg::opt("rwx", ArgKind::Word)];
const FD: &[Arg] = &[Arg::new("fd", ArgKind::Descriptor)];
/// What every URI needs; its scheme may need more (`View::may_open`).
const OPENING: Permissions = Permissions::READ;

const COMMANDS: &[Command] = &[
    Command {
        name: "o",
        aliases: &["ol"],
        args: &[Arg::opt("uri", ArgKind::Uri), Arg::opt("addr", ArgKind::Number), Arg::opt("rwx", ArgKind::Word)],
        summary: "list what is open, or open a file or URI and map all of it at an address (default: 0)",
        details: "Opening needs the permission 'read', and for a file 'files', for a process 'debug'. The list shows the number (* marks the current one), \
                  permissions, size and URI.",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        examples: &[
            Example { line: "o", shows: " 3 * rwx 0x00000200 malloc://512" },
            Example {
                line: "o malloc://16 0x1000; o",
                shows: " 3 - rwx 0x00000200 malloc://512\n 4 * rwx 0x00000010 malloc://16",
            },
            Example {
                line: "oj",
                shows: r#"[{"raised":true,"fd":3,"uri":"malloc://512","from":0,"writable":true,"size":512}]"#,
            },
            Example { line: "o hex://9090; oq", shows: "3\n4" },
            Example { line: "o hex://9090 0x10; o*", shows: "o+ malloc://512 0x0\no hex://9090 0x10" },
        ],
        run: Run::Session(o),
        ..Command::DEFAULT
    },
    Command {
        name: "o.",
        aliases: &["ol."],
        summary: "show what is current",
        modes: &[Mode::Json, Mode::Quiet],
        examples: &[Example { line: "o.", shows: "malloc://512" }, Example { line: "o.q", shows: "3" }],
        run: Run::Core(current),
        ..Command::DEFAULT
    },
    Command {
        name: "o=",
        aliases: &["ol="],
        summary: "show where the first map of each descriptor lies, as bars",
        examples: &[Example {
            line: "o malloc://512 0x200; o=",
            shows: " 3 - 0x00000000 |####################--------------------| 0x000001ff rwx malloc://512\n \
                    4 * 0x00000200 |--------------------####################| 0x000003ff rwx malloc://512",
        }],
        run: Run::Core(bars),
        ..Command::DEFAULT
    },
    Command {
        name: "o+",
        args: FILE,
        summary: "open a file or URI for reading and writing",
        needs: OPENING.and(Permissions::WRITE),
        examples: &[Example { line: "o+ malloc://8; o.", shows: "malloc://8" }],
        run: Run::Session(|session, args, out| open(session, args, out, Access::RWX, false, false)),
        ..Command::DEFAULT
    },
    Command {
        name: "o++",
        args: FILE,
        summary: "the same, and create the file when there is none",
        needs: OPENING.and(Permissions::WRITE),
        run: Run::Session(|session, args, out| open(session, args, out, Access::RWX, true, false)),
        ..Command::DEFAULT
    },
    Command {
        name: "on",
        args: FILE,
        summary: "open a file or URI as plain bytes, whatever its format",
        needs: OPENING,
        examples: &[Example { line: "on hex://41424344 0x800; p8 4 @ 0x800", shows: "41424344" }],
        run: Run::Session(|session, args, out| open(session, args, out, Access::RX, false, true)),
        ..Command::DEFAULT
    },
    Command {
        name: "on+",
        args: FILE,
        summary: "the same for reading and writing",
        needs: OPENING.and(Permissions::WRITE),
        examples: &[Example { line: "on+ hex://41424344 0x800; o.", shows: "hex://41424344" }],
        run: Run::Session(|session, args, out| open(session, args, out, Access::RWX, false, true)),
        ..Command::DEFAULT
    },
    Command {
        name: "of",
        args: &[Arg::new("uri", ArgKind::Uri), Arg::opt("rwx", ArgKind::Word)],
        summary: "open a file or URI without a map",
        needs: OPENING,
        examples: &[Example { line: "of hex://41; omq", shows: "3 1" }],
        run: Run::Session(unmapped),
        ..Command::DEFAULT
    },
    Command {
        name: "o-",
        args: &[Arg::new("fd|*", ArgKind::Descriptor)],
        summary: "close a descriptor and drop its maps; * closes all",
        details: "Refused while io.cache holds writes that were not committed: wci commits them, wcr throws them away.",
        needs: Permissions::WRITE,
        examples: &[
            Example { line: "o malloc://16; o-3; oq", shows: "4" },
            Example { line: "o malloc://16; o-*; oq", shows: "" },
        ],
        run: Run::Core(close),
        ..Command::DEFAULT
    },
    Command {
        name: "o--",
        summary: "close all descriptors",
        needs: Permissions::WRITE,
        examples: &[Example { line: "o--; oj", shows: "[]" }],
        run: Run::Core(close_all),
        ..Command::DEFAULT
    },
    Command {
        name: "op",
        aliases: &["ou"],
        args: FD,
        summary: "make a descriptor current and put its maps over the others",
        needs: Permissions::WRITE,
        examples: &[Example { line: "o hex://41; op 3; o.; p8 1", shows: "malloc://512\n00" }],
        run: Run::Core(select),
        ..Command::DEFAULT
    },
    Command {
        name: "oo",
        args: &[Arg::opt("fd", ArgKind::Descriptor)],
        summary: "reopen the current (or another) descriptor as it is on disk now; number and maps stay",
        needs: OPENING.and(Permissions::WRITE),
        examples: &[Example { line: "oo; o", shows: " 3 * rwx 0x00000200 malloc://512" }],
        run: Run::Session(|session, args, out| reopen(session, args, out, false)),
        ..Command::DEFAULT
    },
    Command {
        name: "oo+",
        args: &[Arg::opt("fd", ArgKind::Descriptor)],
        summary: "the same for reading and writing",
        details: "A descriptor that can be written already stays as it is.",
        needs: OPENING.and(Permissions::WRITE),
        examples: &[Example { line: "oo+; o", shows: " 3 * rwx 0x00000200 malloc://512" }],
        run: Run::Session(|session, args, out| reopen(session, args, out, true)),
        ..Command::DEFAULT
    },
    Command {
        name: "oC",
        args: &[Arg::new("len", ArgKind::Number)],
        summary: "copy bytes at the seek to new memory, without a map",
        needs: Permissions::READ,
        examples: &[Example {
            line: "oC 4; o",
            shows: " 3 - rwx 0x00000200 malloc://512\n 4 * rwx 0x00000004 malloc://4",
        }],
        run: Run::Core(copy),
        ..Command::DEFAULT
    },
    Command {
        name: "ox",
        args: &[Arg::new("fd", ArgKind::Descriptor), Arg::new("fd", ArgKind::Descriptor)],
        summary: "exchange what two descriptors stand for; maps follow the numbers",
        needs: Permissions::WRITE,
        examples: &[Example {
            line: "o hex://41 0x800; ox 3 4; o; p8 1 @ 0x800",
            shows: " 3 - rwx 0x00000001 hex://41\n 4 * rwx 0x00000200 malloc://512\n00",
        }],
        run: Run::Core(exchange),
        ..Command::DEFAULT
    },
    Command {
        name: "oL",
        summary: "list what can be opened: the IO plugins",
        modes: &[Mode::Json, Mode::Quiet],
        examples: &[Example { line: "oL~malloc", shows: "rw_  malloc   memory, zeroed (MIT OR Apache-2.0) malloc://" }],
        run: Run::Core(plugins),
        ..Command::DEFAULT
    },
];

/// Opens `uri`, maps it as [`Core::load`] does and makes it current.
pub fn open_uri(core: &mut Core, uri: &Uri, open: &Open, address: Option<u64>) -> Result<u32> {
    let fd = core.io.open(uri, open)?;
    core.load(fd, Load { address, known: true, ..Load::default() })?;
    Ok(fd)
}

/// Refuses when the client lacks `needed`: for commands that need it only with some arguments.
pub(super) fn require(view: &View, needed: Permissions, what: &str) -> Result<()> {
    view.permissions.require(needed, what)
}

/// A descriptor's number from an argument.
pub(super) fn descriptor(number: u64) -> Result<u32> {
    u32::try_from(number)
        .map_err(|_| Error::new(Kind::NotFound, format!("no descriptor {number}")).hint("'o' lists the open ones"))
}

fn o(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    if !args.words.is_empty() {
        require(&session.view, OPENING, "o")?;
        return open(session, args, out, Access::RX, false, false);
    }
    session.with(|core, _| rows(core).iter().try_for_each(|row| out.item(row)))
}

/// Opens the URI of the first argument. The core is not locked meanwhile: a peer may take its time.
fn open(session: &mut Session, args: &Args, out: &mut Out<'_>, access: Access, create: bool, raw: bool) -> Result<()> {
    let uri = locate(&session.view, &args.words[0]);
    let (address, open) = session.with(|core, view| {
        let mut ctx = Ctx { core, view, out: &mut *out, args };
        let address = ctx.number(1)?;
        Ok::<_, Error>((address, how(&ctx, &uri, ctx.word(2), access, create)?))
    })?;
    let device = reach(&uri, &open, out)?;
    session.with(|core, view| {
        let fd = core.io.admit(&uri, &open, device);
        core.load(fd, Load { address, raw, known: !raw, twins: view.reads_files() }).map(drop)
    })
}

fn unmapped(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let uri = locate(&session.view, &args.words[0]);
    let open = session.with(|core, view| {
        let ctx = Ctx { core, view, out: &mut *out, args };
        how(&ctx, &uri, ctx.word(1), Access::RX, false)
    })?;
    let device = reach(&uri, &open, out)?;
    session.with(|core, _| core.io.admit(&uri, &open, device));
    Ok(())
}

fn how(ctx: &Ctx<'_, '_>, uri: &Uri, access: Option<&str>, default: Access, create: bool) -> Result<Open> {
    let access = access.map_or(Ok(default), Access::parse)?;
    Ok(Open { create, ..opening(ctx.core, ctx.view, uri, access, ctx.out.cancel())? })
}

/// Opens the device, and says what there is to say about its peer.
fn reach(uri: &Uri, open: &Open, out: &mut Out<'_>) -> Result<Box<dyn Device>> {
    let device = plugin::open(uri, open);
    open.notices.take().iter().for_each(|line| out.note(line));
    device
}

/// The URI that `text` means to a client: relative paths start at its working directory.
fn locate(view: &View, text: &str) -> Uri {
    let uri = Uri::parse(text);
    match &view.directory {
        Some(directory) if uri.scheme().is_none() => Uri::parse(&directory.join(text).to_string_lossy()),
        _ => uri,
    }
}

fn reopen(session: &mut Session, args: &Args, out: &mut Out<'_>, write: bool) -> Result<()> {
    let (fd, uri, open) = session.with(|core, view| {
        let mut ctx = Ctx { core, view, out: &mut *out, args };
        let fd = chosen(&mut ctx)?;
        let descriptor = ctx.core.io.descriptor(fd)?;
        let (uri, requested) = (Uri::parse(&descriptor.uri), descriptor.requested());
        if write && descriptor.access.write {
            return Ok((fd, uri, None));
        }
        let access = Access { write: requested.write || write, ..requested };
        let open = how(&ctx, &uri, None, access, false)?;
        Ok::<_, Error>((fd, uri, Some(open)))
    })?;
    let Some(open) = open else { return Ok(()) };
    let device = reach(&uri, &open, out)?;
    session.with(|core, _| core.io.replace(fd, &open, device))
}

/// The descriptor of the first argument, or the current one.
pub(super) fn chosen(ctx: &mut Ctx<'_, '_>) -> Result<u32> {
    match ctx.number(0)? {
        Some(number) => descriptor(number),
        None => ctx.core.io.current().ok_or_else(nothing),
    }
}

fn nothing() -> Error {
    Error::new(Kind::NotFound, "nothing is open").hint("o FILE opens a file")
}

#[derive(Serialize)]
struct Row {
    raised: bool,
    fd: u32,
    uri: String,
    from: u64,
    writable: bool,
    size: Option<u64>,
    #[serde(skip)]
    access: Access,
    #[serde(skip)]
    requested: Access,
    #[serde(skip)]
    mapped: bool,
}

fn rows(core: &Core) -> Vec<Row> {
    let row = |descriptor: &crate::io::Descriptor| {
        let map = core.io.space.maps().iter().find(|map| map.fd == descriptor.fd);
        Row {
            raised: core.io.current() == Some(descriptor.fd),
            fd: descriptor.fd,
            uri: descriptor.uri.clone(),
            from: map.map_or(0, |map| map.from),
            writable: descriptor.access.write,
            size: descriptor.size(),
            access: descriptor.access,
            requested: descriptor.requested(),
            mapped: map.is_some(),
        }
    };
    core.io.descriptors().map(row).collect()
}

impl Item for Row {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let size = self.size.map_or_else(|| format!("{:>10}", "endless"), |size| format!("0x{size:08x}"));
        let mark = if self.raised { '*' } else { '-' };
        writeln!(out, "{:2} {mark} {} {size} {}", self.fd, self.access, visible(&self.uri))
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.fd)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        let uri = quoted(&self.uri);
        match (self.mapped, self.requested.write) {
            (true, false) => writeln!(out, "o {uri} 0x{:x}", self.from),
            (true, true) => writeln!(out, "o+ {uri} 0x{:x}", self.from),
            (false, _) => writeln!(out, "of {uri} {}", self.requested),
        }
    }
}

/// `text` as one word of the shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/.:_-+,%=[]".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_string();
    }
    format!("\"{}\"", visible(&text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// The current descriptor alone: its URI, or its number.
#[derive(Serialize)]
struct Current(Row);

impl Item for Current {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "{}", visible(&self.0.uri))
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.quiet(out)
    }
}

fn current(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let row = rows(ctx.core).into_iter().find(|row| row.raised).ok_or_else(nothing)?;
    ctx.out.value(&Current(row))
}

fn bars(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let range = whole_range(ctx.core.io.space.maps());
    for row in rows(ctx.core).iter().filter(|row| row.mapped) {
        let maps = ctx.core.io.space.maps();
        let last = maps.iter().find(|map| map.fd == row.fd).map_or(row.from, crate::io::Map::last);
        let mark = if row.raised { '*' } else { '-' };
        ctx.out.line(format_args!(
            "{:2} {mark} 0x{:08x} |{}| 0x{last:08x} {} {}",
            row.fd,
            row.from,
            bar(range, (row.from, last)),
            row.access,
            visible(&row.uri)
        ))?;
    }
    Ok(())
}

fn close(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if ctx.word(0) == Some("*") {
        return close_all(ctx);
    }
    let fd = descriptor(ctx.required(0)?)?;
    let uri = ctx.core.io.descriptor(fd)?.uri.clone();
    nothing_pending(ctx.core.io.pending_on(fd), &uri)?;
    ctx.core.close(fd)
}

fn close_all(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    nothing_pending(ctx.core.io.pending() as u64, "what is open")?;
    let all: Vec<u32> = ctx.core.io.descriptors().map(|descriptor| descriptor.fd).collect();
    for fd in all {
        // It may have gone along with another.
        if ctx.core.io.descriptor(fd).is_ok() {
            ctx.core.close(fd)?;
        }
    }
    // What was committed is history of devices that are gone.
    ctx.core.io.discard();
    Ok(())
}

/// Closing must not lose what the user wrote.
fn nothing_pending(bytes: u64, uri: &str) -> Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    Err(Error::new(Kind::Permission, format!("{bytes} bytes written to '{}' are not committed", visible(uri)))
        .hint("wci commits them, wcr throws them away"))
}

fn select(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let fd = descriptor(ctx.required(0)?)?;
    ctx.core.io.select(fd)?;
    ctx.core.io.space.raise_descriptor(fd);
    Ok(())
}

fn exchange(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (a, b) = (descriptor(ctx.required(0)?)?, descriptor(ctx.required(1)?)?);
    ctx.core.io.exchange(a, b)
}

fn copy(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let length = ctx.required(0)?;
    let bytes = ctx.read(ctx.view.seek, length)?;
    ctx.core.io.adopt(&format!("malloc://{length}"), Access::RWX, Box::new(Memory::new(bytes)));
    Ok(())
}

#[derive(Serialize)]
struct PluginRow {
    permissions: &'static str,
    name: &'static str,
    description: &'static str,
    license: &'static str,
    uris: Vec<String>,
}

impl Item for PluginRow {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let PluginRow { permissions, name, description, license, uris } = self;
        writeln!(out, "{permissions}  {name:<8} {description} ({license}) {}", uris.join(","))
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }
}

fn plugins(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    PLUGINS.iter().try_for_each(|plugin| {
        ctx.out.item(&PluginRow {
            permissions: if plugin.writes { "rw_" } else { "r__" },
            name: plugin.name,
            description: plugin.summary,
            license: env!("CARGO_PKG_LICENSE"),
            uris: plugin.schemes.iter().map(|scheme| format!("{scheme}://")).collect(),
        })
    })
}
