//! `dm`: the memory of a process.

use std::io::{self, Write};

use serde::Serialize;

use super::target;
use crate::commands::{Arg, ArgKind, Command, Family, Run, local};
use crate::debug::{Map, Module, Protection};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::debug::names::system_call_number;
use crate::session::debug::{Debugged, Snapshot, core_file};
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "dm", summary: "memory of a process", commands: COMMANDS };

const DEBUG: Permissions = Permissions::DEBUG;
const ADDRESS: Arg = Arg::new("addr", ArgKind::Number);
const SIZE: Arg = Arg::new("size", ArgKind::Number);

const COMMANDS: &[Command] = &[
    Command {
        name: "dm",
        args: &[Arg::opt("addr", ArgKind::Word), Arg::opt("size", ArgKind::Word)],
        summary: "list the memory maps; with an address and a size: get new memory (address 0 or -1: anywhere)",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: DEBUG,
        run: Run::Core(list_or_allocate),
        ..Command::DEFAULT
    },
    Command {
        name: "dm.",
        summary: "show the memory map at the seek",
        modes: &[Mode::Json],
        needs: DEBUG,
        run: Run::Core(|ctx| {
            let seek = ctx.view.seek;
            list(ctx, |map| map.contains(seek))
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "dm-",
        args: &[ADDRESS, Arg::opt("size", ArgKind::Number)],
        summary: "give memory back (default: the whole map)",
        needs: DEBUG,
        run: Run::Core(release),
        ..Command::DEFAULT
    },
    Command {
        name: "dm=",
        summary: "show the memory maps as bars",
        needs: DEBUG,
        run: Run::Core(bars),
        ..Command::DEFAULT
    },
    Command {
        name: "dmm",
        summary: "list the files that are loaded",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: DEBUG,
        run: Run::Core(modules),
        ..Command::DEFAULT
    },
    Command {
        name: "dmp",
        args: &[ADDRESS, SIZE, Arg::new("rwx", ArgKind::Word)],
        summary: "change what the process may do with memory",
        needs: DEBUG,
        run: Run::Core(protect),
        ..Command::DEFAULT
    },
    Command {
        name: "dmd",
        args: &[Arg::opt("file", ArgKind::File)],
        summary: "write the map at the seek to a file",
        needs: DEBUG.and(Permissions::FILES),
        run: Run::Core(dump),
        ..Command::DEFAULT
    },
    Command {
        name: "dg",
        args: &[Arg::opt("file", ArgKind::File)],
        summary: "write a core file of the process",
        needs: DEBUG.and(Permissions::FILES),
        run: Run::Core(write_core),
        ..Command::DEFAULT
    },
    Command {
        name: "dms",
        args: &[Arg::opt("addr", ArgKind::Number)],
        summary: "list the copies of memory, or copy the map at an address",
        modes: &[Mode::Json],
        needs: DEBUG,
        run: Run::Core(snapshots),
        ..Command::DEFAULT
    },
    Command {
        name: "dms-",
        args: &[Arg::new("index|*", ArgKind::Word)],
        summary: "forget a copy of memory; * forgets all",
        needs: DEBUG,
        run: Run::Core(forget),
        ..Command::DEFAULT
    },
    Command {
        name: "dmsC",
        args: &[Arg::new("index", ArgKind::Number), Arg::new("comment", ArgKind::Text)],
        summary: "comment on a copy of memory",
        needs: DEBUG,
        run: Run::Core(|ctx| {
            let at = snapshot(ctx)?;
            let comment = ctx.args.words[1..].join(" ");
            target(ctx)?.notes.snapshots[at].comment = comment;
            Ok(())
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "dmsd",
        args: &[Arg::new("index", ArgKind::Number)],
        summary: "show where memory differs from its copy",
        modes: &[Mode::Json],
        needs: DEBUG,
        run: Run::Core(differences),
        ..Command::DEFAULT
    },
    Command {
        name: "dmsw",
        args: &[Arg::new("index", ArgKind::Number)],
        summary: "write a copy back to memory",
        needs: DEBUG,
        run: Run::Core(restore),
        ..Command::DEFAULT
    },
];

/// A map as it is listed.
#[derive(Serialize)]
struct Row {
    name: String,
    file: String,
    addr: u64,
    addr_end: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    perm: String,
    #[serde(skip)]
    here: bool,
}

impl Row {
    fn new(map: &Map, seek: u64) -> Row {
        let file = map.name.clone().unwrap_or_default();
        let perm = map.protection.to_string();
        Row {
            name: flag_name(&file, map),
            file,
            addr: map.start,
            addr_end: map.end,
            kind: if map.shared { "shared" } else { "private" },
            perm,
            here: map.contains(seek),
        }
    }
}

/// `map.bin_ls.r_x`: the name that `dm*` gives a map.
fn flag_name(file: &str, map: &Map) -> String {
    let base =
        if file.is_empty() { format!("unk{:x}", map.start) } else { file.trim_matches(['/', '[', ']']).to_string() };
    let clean = |text: &str| -> String {
        text.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '_' }).collect()
    };
    format!("map.{}.{}", clean(&base), clean(&map.protection.to_string()))
}

/// A size in at most five columns: `4K`, `132K`, `1.5M`.
fn short(size: u64) -> String {
    let units = [(1u64 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')];
    match units.into_iter().find(|(unit, _)| size >= *unit) {
        Some((unit, letter)) if size.is_multiple_of(unit) => format!("{}{letter}", size / unit),
        Some((unit, letter)) => format!("{:.1}{letter}", size as f64 / unit as f64),
        None => size.to_string(),
    }
}

impl Item for Row {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let here = if self.here { '*' } else { '-' };
        let size = short(self.addr_end.saturating_sub(self.addr));
        let file = if self.file.is_empty() { "unk" } else { &self.file };
        let sharing = if self.kind == "shared" { 's' } else { 'p' };
        writeln!(
            out,
            "0x{:016x} - 0x{:016x} {here} usr {size:>6} {sharing} {} {} ; {}",
            self.addr,
            self.addr_end,
            self.perm,
            visible(file),
            self.name
        )
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:x} 0x{:x} {}", self.addr, self.addr_end, self.perm)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "f {} 0x{:x} 0x{:08x}", self.name, self.addr_end.saturating_sub(self.addr), self.addr)
    }
}

fn maps(ctx: &mut Ctx<'_, '_>) -> Result<Vec<Map>> {
    target(ctx)?.maps()
}

fn list(ctx: &mut Ctx<'_, '_>, wanted: impl Fn(&Map) -> bool) -> Result<()> {
    let maps = maps(ctx)?;
    let seek = ctx.view.seek;
    maps.iter().filter(|map| wanted(map)).try_for_each(|map| ctx.out.item(&Row::new(map, seek)))
}

fn map_at(ctx: &mut Ctx<'_, '_>, address: u64) -> Result<Map> {
    maps(ctx)?.into_iter().find(|map| map.contains(address)).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("nothing is mapped at 0x{address:08x}")).hint("'dm' lists the maps")
    })
}

fn list_or_allocate(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if ctx.args.words.is_empty() {
        return list(ctx, |_| true);
    }
    let (address, size) = (ctx.required(0)?, ctx.required(1)?);
    let mut debugged = target(ctx)?;
    let process = debugged.thread()?.process;
    let protection = Protection { read: true, write: true, execute: false };
    let address = match address {
        0 | u64::MAX => debugged.target.allocate(process, size, protection)?,
        address => allocate_at(&mut debugged, address, size)?,
    };
    ctx.view.last = address;
    ctx.out.line(format_args!("0x{address:08x}"))
}

/// New memory at an address where nothing is yet.
fn allocate_at(debugged: &mut Debugged<'_>, address: u64, size: u64) -> Result<u64> {
    const READ_WRITE: u64 = 3;
    /// MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED_NOREPLACE.
    const NEW: u64 = 0x2 | 0x20 | 0x10_0000;
    let thread = debugged.thread()?;
    let layout = debugged.layout()?;
    let name = if layout.bits == 64 { "mmap" } else { "mmap2" };
    let number = system_call_number(&layout, name).ok_or_else(|| crate::debug::cannot("allocate memory there"))?;
    let arguments = [address, size, READ_WRITE, NEW, u64::MAX, 0];
    let result = debugged.target.system_call(thread, number, arguments)?;
    if (-4095..0).contains(&result) {
        let code = i32::try_from(-result).unwrap_or(0);
        let what = format!("cannot allocate 0x{size:x} bytes at 0x{address:08x}");
        return Err(Error::system(what, &io::Error::from_raw_os_error(code)).hint("'dm 0 SIZE' takes any place"));
    }
    Ok(result as u64)
}

fn release(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = ctx.required(0)?;
    let map = map_at(ctx, address)?;
    let (start, length) = match ctx.number(1)? {
        Some(size) => (address, size),
        None => (map.start, map.end - map.start),
    };
    let debugged = target(ctx)?;
    let process = debugged.thread()?.process;
    debugged.target.release(process, start, length)
}

fn bars(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    const WIDTH: usize = 40;
    let maps = maps(ctx)?;
    let count = maps.len().max(1);
    for (at, map) in maps.iter().enumerate() {
        // The space between maps says nothing, so each gets its share of the bar.
        let (from, to) = (at * WIDTH / count, ((at + 1) * WIDTH / count).max(at * WIDTH / count + 1));
        let bar: String = (0..WIDTH).map(|cell| if (from..to).contains(&cell) { '#' } else { '-' }).collect();
        let name = map.name.as_deref().unwrap_or("");
        let line = format!("0x{:016x} |{bar}| 0x{:016x} {} {}", map.start, map.end, map.protection, visible(name));
        ctx.out.line(line.trim_end())?;
    }
    Ok(())
}

/// A module as it is listed.
#[derive(Serialize)]
struct Loaded {
    name: String,
    file: String,
    addr: u64,
    addr_end: u64,
}

impl Item for Loaded {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "0x{:08x} 0x{:08x}  {}", self.addr, self.addr_end, visible(&self.file))
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        let size = self.addr_end.saturating_sub(self.addr);
        writeln!(out, "f {} 0x{size:x} 0x{:08x}", self.name, self.addr)
    }
}

fn modules(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let debugged = target(ctx)?;
    let process = debugged.thread()?.process;
    for Module { path, bias, start, end, .. } in debugged.target.modules(process)? {
        let base = path.rsplit('/').next().unwrap_or(&path);
        let name: String = base.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
        let addr = start.unwrap_or(bias);
        ctx.out.item(&Loaded {
            name: format!("mod.{name}"),
            file: path.clone(),
            addr,
            addr_end: end.unwrap_or(addr),
        })?;
    }
    Ok(())
}

fn protect(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (address, size) = (ctx.required(0)?, ctx.required(1)?);
    let access = crate::io::Access::parse(ctx.word(2).unwrap_or_default())?;
    let protection = Protection { read: access.read, write: access.write, execute: access.execute };
    let debugged = target(ctx)?;
    let process = debugged.thread()?.process;
    debugged.target.protect(process, address, size, protection)
}

/// Hands the memory of `map` to `each` in pieces; unreadable pages are zeros.
fn pieces(ctx: &mut Ctx<'_, '_>, map: &Map, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    const PIECE: u64 = 1 << 20;
    let mut address = map.start;
    let mut buffer = vec![0; PIECE as usize];
    while address < map.end {
        ctx.out.cancel().check()?;
        let length = (map.end - address).min(PIECE) as usize;
        let debugged = target(ctx)?;
        let process = debugged.thread()?.process;
        let count = debugged.target.read_memory(process, address, &mut buffer[..length])?;
        buffer[count..length].fill(0);
        each(&buffer[..length])?;
        address += length as u64;
    }
    Ok(())
}

fn dump(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let seek = ctx.view.seek;
    let map = map_at(ctx, seek)?;
    let name = match ctx.word(0) {
        Some(name) => name.to_string(),
        None => format!("0x{:08x}-0x{:08x}-{}.dmp", map.start, map.end, map.protection),
    };
    let mut file = local::create(ctx.view, &name, false)?;
    pieces(ctx, &map, |bytes| {
        file.write_all(bytes).map_err(|error| Error::system(format_args!("cannot write '{}'", visible(&name)), &error))
    })?;
    ctx.out.note(format_args!("{} bytes written to {}", map.end - map.start, visible(&name)));
    Ok(())
}

fn write_core(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let process = target(ctx)?.thread()?.process;
    let name = ctx.word(0).map_or_else(|| format!("core.{process}"), str::to_string);
    let mut file = io::BufWriter::new(local::create(ctx.view, &name, false)?);
    let cancel = ctx.out.cancel().clone();
    let size = core_file::write(&mut target(ctx)?, &mut file, &cancel)?;
    file.flush().map_err(|error| Error::system(format_args!("cannot write '{}'", visible(&name)), &error))?;
    ctx.out.note(format_args!("{size} bytes written to {}", visible(&name)));
    Ok(())
}

/// A copy as it is listed.
#[derive(Serialize)]
struct Copy {
    index: usize,
    addr: u64,
    size: usize,
    name: String,
    comment: String,
}

impl Item for Copy {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let Copy { index, addr, size, name, comment } = self;
        let line = format!("{index} 0x{addr:08x} {size} {} {}", visible(name), visible(comment));
        writeln!(out, "{}", line.trim_end())
    }
}

fn snapshots(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    const LARGEST: u64 = 1 << 30;
    if let Some(address) = ctx.number(0)? {
        let map = map_at(ctx, address)?;
        if map.end - map.start > LARGEST {
            return Err(Error::new(Kind::Limit, "the map is larger than 1 GiB").hint("'dmd' writes it to a file"));
        }
        let mut bytes = Vec::with_capacity((map.end - map.start) as usize);
        pieces(ctx, &map, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        let name = map.name.unwrap_or_default();
        target(ctx)?.notes.snapshots.push(Snapshot { address: map.start, bytes, name, comment: String::new() });
        return Ok(());
    }
    let rows: Vec<Copy> = target(ctx)?
        .notes
        .snapshots
        .iter()
        .enumerate()
        .map(|(index, copy)| Copy {
            index,
            addr: copy.address,
            size: copy.bytes.len(),
            name: copy.name.clone(),
            comment: copy.comment.clone(),
        })
        .collect();
    rows.iter().try_for_each(|row| ctx.out.item(row))
}

/// The index of the copy that the first argument names.
fn snapshot(ctx: &mut Ctx<'_, '_>) -> Result<usize> {
    let index = ctx.required(0)?;
    let count = target(ctx)?.notes.snapshots.len();
    usize::try_from(index).ok().filter(|index| *index < count).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("no copy of memory has the number {index}")).hint("'dms' lists them")
    })
}

fn forget(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if ctx.word(0) == Some("*") {
        target(ctx)?.notes.snapshots.clear();
        return Ok(());
    }
    let at = snapshot(ctx)?;
    target(ctx)?.notes.snapshots.remove(at);
    Ok(())
}

/// A stretch in which memory is not what it was.
#[derive(Serialize)]
struct Difference {
    addr: u64,
    size: usize,
    old: String,
    new: String,
}

impl Item for Difference {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "0x{:08x} {} {} -> {}", self.addr, self.size, self.old, self.new)
    }
}

fn differences(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    const SHOWN: usize = 16;
    let at = snapshot(ctx)?;
    let debugged = target(ctx)?;
    let process = debugged.thread()?.process;
    let copy = &debugged.notes.snapshots[at];
    let mut now = vec![0; copy.bytes.len()];
    let count = debugged.target.read_memory(process, copy.address, &mut now)?;
    let (address, old) = (copy.address, copy.bytes.clone());
    let hex = |bytes: &[u8]| {
        let more = if bytes.len() > SHOWN { ".." } else { "" };
        format!("{}{more}", faster_hex::hex_string(&bytes[..bytes.len().min(SHOWN)]))
    };
    let mut from = 0;
    while from < count {
        if old[from] == now[from] {
            from += 1;
            continue;
        }
        let length = old[from..count].iter().zip(&now[from..count]).take_while(|(old, new)| old != new).count();
        let to = from + length;
        ctx.out.item(&Difference {
            addr: address + from as u64,
            size: length,
            old: hex(&old[from..to]),
            new: hex(&now[from..to]),
        })?;
        from = to;
    }
    Ok(())
}

fn restore(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let at = snapshot(ctx)?;
    let debugged = target(ctx)?;
    let process = debugged.thread()?.process;
    let copy = &debugged.notes.snapshots[at];
    let count = debugged.target.write_memory(process, copy.address, &copy.bytes)?;
    if count < copy.bytes.len() {
        let address = copy.address + count as u64;
        return Err(Error::new(Kind::Permission, format!("memory from 0x{address:08x} cannot be written")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (size, text) in [(4096, "4K"), (512, "512"), (1 << 21, "2M"), (1_572_864, "1.5M"), (135_168, "132K")] {
            assert_eq!(short(size), text);
        }
    }
}
