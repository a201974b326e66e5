//! `om`: maps, which give descriptors virtual addresses.

use std::io::{self, Write};

use serde::Serialize;

use super::open::{chosen, descriptor, quoted, require};
use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::error::{Error, Kind, Result};
use crate::io::{Access, Map, Priority};
use crate::output::{Item, Mode, Style, visible};
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family =
    Family { name: "om", summary: "maps: where descriptors lie in the address space", commands: COMMANDS };

const ID: Arg = Arg::new("id", ArgKind::Number);
const ADDRESS: Arg = Arg::new("addr", ArgKind::Number);
const WRITE: Permissions = Permissions::WRITE;

const COMMANDS: &[Command] = &[
    Command {
        name: "om",
        aliases: &["oml"],
        args: &[
            Arg::opt("fd", ArgKind::Descriptor),
            Arg::opt("addr", ArgKind::Number),
            Arg::opt("size", ArgKind::Number),
            Arg::opt("paddr", ArgKind::Number),
            Arg::opt("rwx", ArgKind::Word),
            Arg::opt("name", ArgKind::Word),
        ],
        summary: "list the maps, highest priority first, or map a part of a descriptor at an address",
        details: "Without a size (or with 0) the map reaches to the end of the descriptor. Making a map needs the \
                  permission 'write'. As commands (om*) the lowest priority comes first, so that running them \
                  restores the order.",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        examples: &[
            Example {
                line: "om 3 0x1000 8 0x10 r-- header; om",
                shows: " 2 fd: 3 +0x00000010 0x00001000 - 0x00001007 r-- header\n \
                        1 fd: 3 +0x00000000 0x00000000 * 0x000001ff rwx",
            },
            Example { line: "om*", shows: "om 3 0x00000000 0x00000200 0x00000000 rwx" },
            Example { line: "omj", shows: r#"[{"map":1,"fd":3,"delta":0,"from":0,"to":512,"perm":"rwx","name":""}]"# },
            Example { line: "omq", shows: "3 1" },
        ],
        run: Run::Core(om),
        ..Command::DEFAULT
    },
    Command {
        name: "om.",
        aliases: &["oml."],
        summary: "show the map at the seek",
        modes: &[Mode::Json, Mode::Quiet],
        examples: &[
            Example { line: "om.", shows: " 1 fd: 3 +0x00000000 0x00000000 * 0x000001ff rwx" },
            Example { line: "om.q", shows: "3 1" },
        ],
        run: Run::Core(here),
        ..Command::DEFAULT
    },
    Command {
        name: "om=",
        aliases: &["oml="],
        summary: "show the maps as bars",
        examples: &[Example {
            line: "om 3 0x200 0x200; om=",
            shows: " 2 0x00000200 |--------------------####################| 0x000003ff rwx\n \
                    1 0x00000000 |####################--------------------| 0x000001ff rwx",
        }],
        run: Run::Core(bars),
        ..Command::DEFAULT
    },
    Command {
        name: "om-",
        args: &[Arg::new("id|*", ArgKind::Word)],
        summary: "remove a map; * removes all",
        needs: WRITE,
        examples: &[
            Example { line: "om 3 0x1000; om-1; omq", shows: "3 2" },
            Example { line: "om-*; omj", shows: "[]" },
        ],
        run: Run::Core(remove),
        ..Command::DEFAULT
    },
    Command {
        name: "oma",
        args: &[Arg::opt("fd", ArgKind::Descriptor)],
        summary: "map a descriptor over the whole address space",
        needs: WRITE,
        examples: &[Example { line: "oma; om.", shows: " 2 fd: 3 +0x00000000 0x00000000 * 0xfffffffffffffffe rwx" }],
        run: Run::Core(everything),
        ..Command::DEFAULT
    },
    Command {
        name: "omb",
        args: &[ID, ADDRESS],
        summary: "move a map to another address",
        needs: WRITE,
        examples: &[Example { line: "omb 1 0x400; om", shows: " 1 fd: 3 +0x00000000 0x00000400 - 0x000005ff rwx" }],
        run: Run::Core(|ctx| {
            let (id, address) = (map_id(ctx)?, ctx.required(1)?);
            ctx.core.io.space.change(id, |map| map.from = address)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "omb.",
        args: &[ADDRESS],
        summary: "move the map at the seek to another address",
        needs: WRITE,
        examples: &[Example { line: "omb. 0x400; om", shows: " 1 fd: 3 +0x00000000 0x00000400 - 0x000005ff rwx" }],
        run: Run::Core(|ctx| {
            let (id, address) = (map_at(ctx, ctx.view.seek)?, ctx.required(0)?);
            ctx.core.io.space.change(id, |map| map.from = address)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "omf",
        args: &[Arg::new("id", ArgKind::Word), Arg::opt("rwx", ArgKind::Word)],
        summary: "set the permissions of a map (without an id: of the map at the seek); +w adds, -w takes away",
        needs: WRITE,
        examples: &[Example { line: "omf 1 r--; om", shows: " 1 fd: 3 +0x00000000 0x00000000 * 0x000001ff r--" }],
        run: Run::Core(permissions),
        ..Command::DEFAULT
    },
    Command {
        name: "omfg",
        args: &[Arg::opt("rwx", ArgKind::Word)],
        summary: "set the permissions of all maps (default: rwx); +w adds, -w takes away",
        needs: WRITE,
        examples: &[Example { line: "omfg-wx; om", shows: " 1 fd: 3 +0x00000000 0x00000000 * 0x000001ff r--" }],
        run: Run::Core(permissions_of_all),
        ..Command::DEFAULT
    },
    Command {
        name: "omn",
        args: &[ADDRESS, Arg::opt("name", ArgKind::Text)],
        summary: "name the map at an address, or take its name away",
        needs: WRITE,
        examples: &[Example { line: "omn 0 ram; om", shows: " 1 fd: 3 +0x00000000 0x00000000 * 0x000001ff rwx ram" }],
        run: Run::Core(|ctx| {
            let address = ctx.required(0)?;
            let id = map_at(ctx, address)?;
            rename(ctx, id, 1)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "omn.",
        args: &[Arg::opt("name", ArgKind::Text)],
        summary: "show or set the name of the map at the seek",
        details: "Setting it needs the permission 'write'.",
        examples: &[Example { line: "omn. ram; omn.", shows: "ram" }],
        run: Run::Core(name_here),
        ..Command::DEFAULT
    },
    Command {
        name: "omn-",
        args: &[Arg::opt("addr", ArgKind::Number)],
        summary: "take away the name of the map at an address (default: the seek)",
        needs: WRITE,
        examples: &[Example { line: "omn. ram; omn-0; omn.", shows: "" }],
        run: Run::Core(|ctx| {
            let address = ctx.number(0)?.unwrap_or(ctx.view.seek);
            let id = map_at(ctx, address)?;
            ctx.core.io.space.change(id, |map| map.name = None)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "omni",
        args: &[ID, Arg::opt("name", ArgKind::Text)],
        summary: "name a map, or take its name away",
        needs: WRITE,
        examples: &[Example { line: "omni 1 ram; omn.", shows: "ram" }],
        run: Run::Core(|ctx| {
            let id = map_id(ctx)?;
            rename(ctx, id, 1)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "omni-",
        args: &[ID],
        summary: "take away the name of a map",
        needs: WRITE,
        examples: &[Example { line: "omni 1 ram; omni-1; omn.", shows: "" }],
        run: Run::Core(|ctx| {
            let id = map_id(ctx)?;
            ctx.core.io.space.change(id, |map| map.name = None)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "omr",
        args: &[ID, Arg::new("size", ArgKind::Number)],
        summary: "change the size of a map",
        needs: WRITE,
        examples: &[Example { line: "omr 1 0x10; om", shows: " 1 fd: 3 +0x00000000 0x00000000 * 0x0000000f rwx" }],
        run: Run::Core(|ctx| {
            let (id, size) = (map_id(ctx)?, ctx.required(1)?);
            ctx.core.io.space.change(id, |map| map.size = size)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "omp",
        args: &[ID],
        summary: "put a map over the others",
        needs: WRITE,
        examples: &[Example { line: "o hex://41; omp 1; p8 1", shows: "00" }],
        run: Run::Core(|ctx| {
            let id = map_id(ctx)?;
            ctx.core.io.space.prioritize(id, Priority::Highest)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "ompd",
        args: &[ID],
        summary: "put a map under the others",
        needs: WRITE,
        examples: &[Example { line: "o hex://41; ompd 2; p8 1", shows: "00" }],
        run: Run::Core(|ctx| {
            let id = map_id(ctx)?;
            ctx.core.io.space.prioritize(id, Priority::Lowest)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "ompf",
        // Every open file is an object file of its own, so its maps are those of its descriptor.
        aliases: &["ompb"],
        args: &[Arg::opt("fd", ArgKind::Descriptor)],
        summary: "put the maps of a descriptor (default: the current one) over the others",
        needs: WRITE,
        examples: &[Example { line: "o hex://41; ompf 3; p8 1", shows: "00" }],
        run: Run::Core(|ctx| {
            let fd = chosen(ctx)?;
            ctx.core.io.descriptor(fd)?;
            ctx.core.io.space.raise_descriptor(fd);
            Ok(())
        }),
        ..Command::DEFAULT
    },
];

/// A map as the lists show it.
#[derive(Serialize)]
struct Row {
    map: u32,
    fd: u32,
    delta: u64,
    from: u64,
    /// Exclusive.
    to: u64,
    perm: String,
    name: String,
    #[serde(skip)]
    last: u64,
    #[serde(skip)]
    size: u64,
    #[serde(skip)]
    here: bool,
}

impl Row {
    fn new(map: &Map, seek: u64) -> Row {
        Row {
            map: map.id,
            fd: map.fd,
            delta: map.delta,
            from: map.from,
            to: map.from.saturating_add(map.size),
            perm: map.access.to_string(),
            name: map.name.clone().unwrap_or_default(),
            last: map.last(),
            size: map.size,
            here: map.contains(seek),
        }
    }

    /// The name with a blank in front of it, if there is one.
    fn tail(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!(" {}", visible(&self.name)) }
    }
}

impl Item for Row {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let Row { map, fd, delta, from, last, perm, .. } = self;
        let mark = if self.here { '*' } else { '-' };
        writeln!(out, "{map:2} fd: {fd} +0x{delta:08x} 0x{from:08x} {mark} 0x{last:08x} {perm}{}", self.tail())
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} {}", self.fd, self.map)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        let Row { fd, delta, from, size, perm, .. } = self;
        let name = if self.name.is_empty() { String::new() } else { format!(" {}", quoted(&self.name)) };
        writeln!(out, "om {fd} 0x{from:08x} 0x{size:08x} 0x{delta:08x} {perm}{name}")
    }
}

fn om(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if !ctx.args.words.is_empty() {
        return add(ctx);
    }
    let seek = ctx.view.seek;
    let mut rows: Vec<Row> = ctx.core.io.space.maps().iter().map(|map| Row::new(map, seek)).collect();
    // The order is part of the state, so commands that recreate it must come the other way round.
    if ctx.out.mode() != Mode::Commands {
        rows.reverse();
    }
    rows.iter().try_for_each(|row| ctx.out.item(row))
}

fn add(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    require(ctx.view, WRITE, "making a map")?;
    let fd = descriptor(ctx.required(0)?)?;
    let address = ctx.number(1)?.ok_or_else(|| {
        Error::new(Kind::Usage, "the address of the map is missing").hint("om FD ADDR [SIZE [PADDR [RWX [NAME]]]]")
    })?;
    let (size, delta) = (ctx.number(2)?.unwrap_or(0), ctx.number(3)?.unwrap_or(0));
    let (whole, access) = ctx.core.io.descriptor(fd).map(|descriptor| (descriptor.size(), descriptor.access))?;
    let access = ctx.word(4).map_or(Ok(access), Access::parse)?;
    let size = if size == 0 { whole.unwrap_or(u64::MAX).saturating_sub(delta) } else { size };
    let name = ctx.word(5).map(str::to_string);
    ctx.core.io.space.add(fd, address, size, delta, access, name);
    Ok(())
}

fn here(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let seek = ctx.view.seek;
    match ctx.core.io.space.at(seek).map(|map| Row::new(map, seek)) {
        Some(row) => ctx.out.value(&row),
        None => Ok(()),
    }
}

/// Width of the bars.
const COLUMNS: u64 = 40;

/// From the first to the last mapped address.
pub(super) fn whole_range(maps: &[Map]) -> (u64, u64) {
    let first = maps.iter().map(|map| map.from).min().unwrap_or(0);
    (first, maps.iter().map(Map::last).max().unwrap_or(first))
}

/// A bar that shows where a part lies in a whole; both with inclusive ends.
pub(super) fn bar(whole: (u64, u64), part: (u64, u64)) -> String {
    let total = u128::from(whole.1 - whole.0) + 1;
    let column = |address: u64| (u128::from(address - whole.0) * u128::from(COLUMNS) / total) as u64;
    let (first, last) = (column(part.0), column(part.1));
    (0..COLUMNS).map(|at| if (first..=last).contains(&at) { '#' } else { '-' }).collect()
}

fn bars(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let seek = ctx.view.seek;
    let range = whole_range(ctx.core.io.space.maps());
    let rows: Vec<Row> = ctx.core.io.space.maps().iter().rev().map(|map| Row::new(map, seek)).collect();
    for row in rows {
        let Row { map, from, last, perm, .. } = &row;
        let bar = bar(range, (*from, *last));
        ctx.out.line(format_args!("{map:2} 0x{from:08x} |{bar}| 0x{last:08x} {perm}{}", row.tail()))?;
    }
    Ok(())
}

fn remove(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if ctx.word(0) == Some("*") {
        ctx.core.io.space.clear();
        return Ok(());
    }
    let id = map_id(ctx)?;
    ctx.core.io.space.remove(id)
}

fn everything(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let fd = chosen(ctx)?;
    let access = ctx.core.io.descriptor(fd)?.access;
    ctx.core.io.space.add(fd, 0, u64::MAX, 0, access, None);
    Ok(())
}

/// `rwx`, or a change `+w`, `-x` of what is there.
fn changed(access: Access, text: &str) -> Result<Access> {
    let (sign, letters) = match text.split_at_checked(1) {
        // `-wx` takes away, but `---` and `-w-` are permissions like `rwx`.
        Some((sign @ ("+" | "-"), letters)) if !letters.is_empty() && !letters.contains('-') => (sign, letters),
        _ => return Access::parse(text),
    };
    let change = Access::parse(letters)?;
    let apply = |old: bool, named: bool| if named { sign == "+" } else { old };
    Ok(Access {
        read: apply(access.read, change.read),
        write: apply(access.write, change.write),
        execute: apply(access.execute, change.execute),
    })
}

fn permissions(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let args = ctx.args;
    let (id, text) = match args.words.as_slice() {
        [text] => (map_at(ctx, ctx.view.seek)?, text),
        words => (map_id(ctx)?, &words[1]),
    };
    let access = changed(ctx.core.io.space.get(id)?.access, text)?;
    ctx.core.io.space.change(id, |map| map.access = access)
}

fn permissions_of_all(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let text = ctx.args.words.first().map_or("rwx", String::as_str);
    changed(Access::default(), text)?;
    ctx.core.io.space.change_all(|map| map.access = changed(map.access, text).unwrap_or(map.access));
    Ok(())
}

/// Sets the name of a map from the words from `index` on; without any it has none.
fn rename(ctx: &mut Ctx<'_, '_>, id: u32, index: usize) -> Result<()> {
    let name = ctx.args.words.get(index..).unwrap_or_default().join(" ");
    ctx.core.io.space.change(id, |map| map.name = Some(name).filter(|name| !name.is_empty() && name != "-"))
}

fn name_here(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let id = map_at(ctx, ctx.view.seek)?;
    if ctx.args.words.is_empty() {
        let name = ctx.core.io.space.get(id)?.name.clone();
        return match name {
            Some(name) => ctx.out.line(visible(&name)),
            None => Ok(()),
        };
    }
    require(ctx.view, WRITE, "naming a map")?;
    rename(ctx, id, 0)
}

/// The map that the first argument names.
fn map_id(ctx: &mut Ctx<'_, '_>) -> Result<u32> {
    let number = ctx.required(0)?;
    u32::try_from(number)
        .map_err(|_| Error::new(Kind::NotFound, format!("no map {number}")).hint("'om' lists the maps"))
}

fn map_at(ctx: &Ctx<'_, '_>, address: u64) -> Result<u32> {
    ctx.core.io.space.at(address).map(|map| map.id).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("nothing is mapped at 0x{address:08x}")).hint("'om' lists the maps")
    })
}
