//! `db`: breakpoints and watchpoints. The call stack (`dbt`) is in `stack`.

use std::io::{self, Write};

use serde::Serialize;

use super::{bad, place, target};
use crate::commands::{Arg, ArgKind, Command, Family, Run};
use crate::debug::breakpoint::OnHit;
use crate::debug::{Breakpoint, BreakpointId, Condition, Place, Spec, Status, WatchAccess};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style, visible};
use crate::session::debug::condition::{compile, compile_expression};
use crate::session::debug::pending::{self, Waiting, Wanted, is_own};
use crate::session::debug::{Mark, debugged};
use crate::session::scope::Scope;
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "db", summary: "breakpoints and watchpoints", commands: COMMANDS };

const ADDRESS: Arg = Arg::new("addr", ArgKind::Number);
const HERE: &[Arg] = &[Arg::opt("addr", ArgKind::Number)];
const INDEX: Arg = Arg::new("index", ArgKind::Number);
const DEBUG: Permissions = Permissions::DEBUG;

const COMMANDS: &[Command] = &[
    Command {
        name: "db",
        args: HERE,
        summary: "list the breakpoints, or set one at an address or symbol",
        details: "A symbol that no loaded file has is waited for: the breakpoint is set when a library with it is \
                  loaded. Names of library functions need no prefix: 'db puts'.",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: DEBUG,
        run: Run::Core(list_or_set),
        ..Command::DEFAULT
    },
    Command {
        name: "db-",
        args: &[Arg::opt("addr|*", ArgKind::Word)],
        summary: "remove a breakpoint (default: at the seek); * removes all",
        needs: DEBUG,
        run: Run::Core(remove),
        ..Command::DEFAULT
    },
    Command {
        name: "db.",
        summary: "show the breakpoint at the seek",
        modes: &[Mode::Json],
        needs: DEBUG,
        run: Run::Core(|ctx| {
            let seek = ctx.view.seek;
            list(ctx, |row| row.addr <= seek && seek < row.addr.saturating_add(row.size))
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "dbH",
        args: &[ADDRESS],
        summary: "set a breakpoint in a debug register",
        needs: DEBUG,
        run: Run::Core(|ctx| by_name(ctx, Spec::new(Place::Hardware { address: 0 }))),
        ..Command::DEFAULT
    },
    Command {
        name: "dbu",
        args: &[ADDRESS],
        summary: "set a temporary breakpoint: it goes away at its first stop",
        needs: DEBUG,
        run: Run::Core(|ctx| by_name(ctx, Spec { temporary: true, ..Spec::at(0) })),
        ..Command::DEFAULT
    },
    Command {
        name: "dbw",
        args: &[ADDRESS, Arg::opt("r|w|rw", ArgKind::Word), Arg::opt("length", ArgKind::Number)],
        summary: "set a watchpoint: stop when memory is written (w), read (r) or either (rw)",
        needs: DEBUG,
        run: Run::Core(watch),
        ..Command::DEFAULT
    },
    Command {
        name: "dbm",
        args: &[Arg::new("module", ArgKind::Word), Arg::new("offset", ArgKind::Number)],
        summary: "set a breakpoint at an offset in a module, which may be loaded later",
        needs: DEBUG,
        run: Run::Core(in_module),
        ..Command::DEFAULT
    },
    Command {
        name: "dbT",
        args: &[Arg::opt("addr", ArgKind::Word), Arg::opt("expr", ArgKind::Word).many()],
        summary: "set a trace point: hits are counted, and logged with the values of expressions; it does not stop",
        details: "Alone it shows what was logged since the last time. Registers and [memory] have their values at the hit.",
        modes: &[Mode::Json],
        needs: DEBUG,
        run: Run::Core(trace),
        ..Command::DEFAULT
    },
    Command {
        name: "dbd",
        args: HERE,
        summary: "switch a breakpoint off",
        needs: DEBUG,
        run: Run::Core(|ctx| at_address(ctx, |spec, _| spec.enabled = false)),
        ..Command::DEFAULT
    },
    Command {
        name: "dbe",
        args: HERE,
        summary: "switch a breakpoint on",
        needs: DEBUG,
        run: Run::Core(|ctx| at_address(ctx, |spec, _| spec.enabled = true)),
        ..Command::DEFAULT
    },
    Command {
        name: "dbs",
        args: HERE,
        summary: "switch a breakpoint on or off, whichever it is not",
        needs: DEBUG,
        run: Run::Core(|ctx| at_address(ctx, |spec, _| spec.enabled = !spec.enabled)),
        ..Command::DEFAULT
    },
    Command {
        name: "dbc",
        args: &[ADDRESS, Arg::new("command", ArgKind::Command)],
        summary: "run a command at each stop at a breakpoint",
        needs: DEBUG,
        run: Run::Core(|ctx| command(ctx, false)),
        ..Command::DEFAULT
    },
    Command {
        name: "dbC",
        args: &[ADDRESS, Arg::new("command", ArgKind::Command)],
        summary: "run a command at each stop at a breakpoint, and go on",
        needs: DEBUG,
        run: Run::Core(|ctx| command(ctx, true)),
        ..Command::DEFAULT
    },
    Command {
        name: "dbx",
        args: &[Arg::opt("expr", ArgKind::Text)],
        summary: "stop at the breakpoint at the seek only when a condition holds; alone: always",
        details: "The condition is evaluated where the process is: 'dbx rax==1,[4:rsp+8]!=0 @ main'.",
        needs: DEBUG,
        run: Run::Core(condition),
        ..Command::DEFAULT
    },
    Command {
        name: "dbk",
        args: &[Arg::new("count", ArgKind::Number)],
        summary: "pass over so many hits of the breakpoint at the seek",
        needs: DEBUG,
        run: Run::Core(|ctx| {
            let count = ctx.required(0)?;
            let seek = ctx.view.seek;
            change(ctx, seek, |spec, _| spec.ignore = count)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "dbn",
        args: &[Arg::opt("name", ArgKind::Word)],
        summary: "show or set the name of the breakpoint at the seek",
        needs: DEBUG,
        run: Run::Core(name),
        ..Command::DEFAULT
    },
    Command {
        name: "dbi",
        summary: "list the breakpoints with their numbers and how often they were hit",
        modes: &[Mode::Json],
        needs: DEBUG,
        run: Run::Core(|ctx| {
            let rows = rows(ctx)?;
            rows.into_iter()
                .filter(|row| row.id != 0)
                .try_for_each(|Row { id, addr, hits, name, .. }| ctx.out.item(&Numbered { id, addr, hits, name }))
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "dbi-",
        args: &[INDEX],
        summary: "remove the breakpoint with a number",
        needs: DEBUG,
        run: Run::Core(|ctx| {
            let id = index(ctx)?;
            let debugged = target(ctx)?;
            debugged.notes.marks.remove(&id);
            debugged.target.remove(id)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "dbid",
        args: &[INDEX],
        summary: "switch the breakpoint with a number off",
        needs: DEBUG,
        run: Run::Core(|ctx| by_index(ctx, |spec| spec.enabled = false)),
        ..Command::DEFAULT
    },
    Command {
        name: "dbie",
        args: &[INDEX],
        summary: "switch the breakpoint with a number on",
        needs: DEBUG,
        run: Run::Core(|ctx| by_index(ctx, |spec| spec.enabled = true)),
        ..Command::DEFAULT
    },
];

/// A breakpoint by its number.
#[derive(Serialize)]
struct Numbered {
    id: BreakpointId,
    addr: u64,
    hits: u64,
    name: String,
}

impl Item for Numbered {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "{} 0x{:08x} {} {}", self.id, self.addr, self.hits, visible(&self.name))
    }
}

/// A breakpoint as it is listed.
#[derive(Serialize)]
struct Row {
    addr: u64,
    size: u64,
    perm: String,
    hw: bool,
    trace: bool,
    enabled: bool,
    valid: bool,
    data: String,
    cond: String,
    name: String,
    module: String,
    id: BreakpointId,
    hits: u64,
    ignore: u64,
    temporary: bool,
    state: String,
}

impl Item for Row {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let end = self.addr.wrapping_add(self.size);
        let kind = if self.hw { "hw" } else { "sw" };
        let what = if self.trace { "trace" } else { "break" };
        let enabled = if self.enabled { "enabled" } else { "disabled" };
        write!(out, "0x{:08x} - 0x{end:08x} {} {} {kind} {what} {enabled} ", self.addr, self.size, self.perm)?;
        write!(out, "{} cmd=\"{}\" ", if self.valid { "valid" } else { "invalid" }, visible(&self.data))?;
        write!(out, "cond=\"{}\" name=\"{}\" ", visible(&self.cond), visible(&self.name))?;
        write!(out, "module=\"{}\"", visible(&self.module))?;
        if self.hits > 0 {
            write!(out, " hits={}", self.hits)?;
        }
        if self.ignore > 0 {
            write!(out, " ignore={}", self.ignore)?;
        }
        if self.temporary {
            write!(out, " temporary")?;
        }
        if !self.state.is_empty() {
            write!(out, " ({})", visible(&self.state))?;
        }
        writeln!(out)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x}", self.addr)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.id == 0 {
            let command = if self.hw {
                "dbH"
            } else if self.temporary {
                "dbu"
            } else {
                "db"
            };
            return writeln!(out, "{command} {}", visible(&self.name));
        }
        match (self.perm.as_str(), self.hw) {
            ("--x", false) if self.temporary => writeln!(out, "dbu 0x{:08x}", self.addr)?,
            ("--x", false) => writeln!(out, "db 0x{:08x}", self.addr)?,
            ("--x", true) => writeln!(out, "dbH 0x{:08x}", self.addr)?,
            (perm, _) => {
                let access: String = perm.chars().filter(|letter| matches!(letter, 'r' | 'w')).collect();
                writeln!(out, "dbw 0x{:08x} {access} {}", self.addr, self.size)?;
            }
        }
        if !self.cond.is_empty() {
            writeln!(out, "dbx {} @ 0x{:08x}", self.cond, self.addr)?;
        }
        if !self.data.is_empty() {
            writeln!(out, "dbc 0x{:08x} {}", self.addr, self.data)?;
        }
        if !self.enabled {
            writeln!(out, "dbd 0x{:08x}", self.addr)?;
        }
        Ok(())
    }
}

fn rows(ctx: &mut Ctx<'_, '_>) -> Result<Vec<Row>> {
    let mut debugged = target(ctx)?;
    let breakpoints = debugged.target.breakpoints()?;
    let known: std::collections::HashSet<BreakpointId> = breakpoints.iter().map(|found| found.id).collect();
    debugged.notes.marks.retain(|id, _| known.contains(id));
    // A process that has ended has no modules.
    let maps = debugged.maps().unwrap_or_default();
    let mut rows = Vec::new();
    for Breakpoint { id, spec, hits, status } in breakpoints {
        if is_own(&debugged, id) {
            continue;
        }
        let mark = debugged.notes.marks.get(&id).cloned().unwrap_or_default();
        let (size, perm, hw) = match spec.place {
            Place::Software { .. } => (1, "--x", false),
            Place::Hardware { .. } => (1, "--x", true),
            Place::Watch { length, access, .. } => {
                let perm = match access {
                    WatchAccess::Read => "r--",
                    WatchAccess::Write => "-w-",
                    WatchAccess::Access => "rw-",
                };
                (length, perm, true)
            }
        };
        let addr = spec.place.address();
        let (valid, state) = match status {
            Status::Pending(why) => (false, why),
            Status::Inserted | Status::Disabled => (true, String::new()),
        };
        let module = maps.iter().find(|map| map.contains(addr)).and_then(|map| map.name.clone()).unwrap_or_default();
        rows.push(Row {
            addr,
            size,
            perm: perm.to_string(),
            hw,
            trace: !matches!(spec.on_hit, OnHit::Stop),
            enabled: spec.enabled,
            valid,
            data: mark.command,
            cond: mark.condition,
            name: mark.name,
            module,
            id,
            hits,
            ignore: spec.ignore,
            temporary: spec.temporary,
            state,
        });
    }
    for Waiting { wanted, spec, mark } in &debugged.notes.waiting {
        rows.push(Row {
            addr: 0,
            size: 1,
            perm: "--x".to_string(),
            hw: matches!(spec.place, Place::Hardware { .. }),
            trace: false,
            enabled: true,
            valid: false,
            data: mark.command.clone(),
            cond: mark.condition.clone(),
            name: wanted.to_string(),
            module: String::new(),
            id: 0,
            hits: 0,
            ignore: spec.ignore,
            temporary: spec.temporary,
            state: "waits until it is loaded".to_string(),
        });
    }
    Ok(rows)
}

fn list(ctx: &mut Ctx<'_, '_>, wanted: impl Fn(&Row) -> bool) -> Result<()> {
    let rows = rows(ctx)?;
    rows.iter().filter(|row| wanted(row)).try_for_each(|row| ctx.out.item(row))
}

fn list_or_set(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if ctx.args.words.is_empty() {
        return list(ctx, |_| true);
    }
    by_name(ctx, Spec::at(0))
}

/// Makes a breakpoint where the first argument says; one at a symbol that is not loaded yet waits for it.
fn by_name(ctx: &mut Ctx<'_, '_>, spec: Spec) -> Result<()> {
    let text = ctx.args.text.trim().to_string();
    let hardware = matches!(spec.place, Place::Hardware { .. }) || ctx.option_number("dbg.hwbp") > 0;
    match ctx.required(0) {
        Ok(address) => {
            let place = if hardware { Place::Hardware { address } } else { Place::Software { address } };
            set(ctx, Spec { place, ..spec }).map(drop)
        }
        Err(error) if is_symbol(&text) => {
            let place = if hardware { Place::Hardware { address: 0 } } else { spec.place };
            let waits =
                pending::wait(ctx.core, ctx.view, Waiting::new(Wanted::Symbol(text.clone()), Spec { place, ..spec }));
            // What the program cannot load is a slip of the pen.
            waits.map_err(|_| error)?;
            ctx.out.note(format_args!("{} is in no file that is loaded: the breakpoint waits for it", visible(&text)));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Whether `text` is a name alone, as symbols have them.
fn is_symbol(text: &str) -> bool {
    !text.starts_with(|letter: char| letter.is_ascii_digit())
        && !text.is_empty()
        && text.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '.' | ':'))
}

/// Makes the breakpoint; only one of a kind is at a place.
fn set(ctx: &mut Ctx<'_, '_>, spec: Spec) -> Result<BreakpointId> {
    let address = spec.place.address();
    let in_maps = ctx.option_bool("dbg.bpinmaps");
    let name = place(ctx, address);
    let mut debugged = target(ctx)?;
    if in_maps && debugged.target.current().is_some() && !debugged.maps()?.iter().any(|map| map.contains(address)) {
        return Err(Error::new(Kind::NotFound, format!("0x{address:08x} is in no map of the process"))
            .hint("'e dbg.bpinmaps=false' sets the breakpoint all the same, and it waits for the map"));
    }
    let same = debugged.target.breakpoints()?.into_iter().find(|found| found.spec.place == spec.place);
    if let Some(same) = same {
        debugged.target.change(same.id, &spec)?;
        return Ok(same.id);
    }
    let id = debugged.target.insert(&spec)?;
    let name = if name.is_empty() { format!("0x{address:08x}") } else { name };
    debugged.notes.marks.insert(id, Mark { name, ..Mark::default() });
    Ok(id)
}

fn remove(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let word = ctx.word(0).map(str::to_string);
    if word.as_deref() == Some("*") {
        let debugged = target(ctx)?;
        for found in debugged.target.breakpoints()? {
            debugged.target.remove(found.id)?;
        }
        debugged.notes.marks.clear();
        debugged.notes.waiting.clear();
        debugged.notes.loader = None;
        return Ok(());
    }
    if let Some(word) = &word {
        let waiting = &mut target(ctx)?.notes.waiting;
        let before = waiting.len();
        waiting.retain(|one| one.wanted.to_string() != *word);
        if waiting.len() < before {
            return Ok(());
        }
    }
    let address = match word {
        Some(word) => ctx.evaluate(&word)?,
        None => ctx.view.seek,
    };
    let debugged = target(ctx)?;
    let at: Vec<_> =
        debugged.target.breakpoints()?.into_iter().filter(|found| found.spec.place.address() == address).collect();
    if at.is_empty() {
        return Err(nowhere(address));
    }
    for found in at {
        debugged.notes.marks.remove(&found.id);
        debugged.target.remove(found.id)?;
    }
    Ok(())
}

fn nowhere(address: u64) -> Error {
    Error::new(Kind::NotFound, format!("no breakpoint is at 0x{address:08x}")).hint("'db' lists them")
}

/// Changes the breakpoints at `address`, and what is said about them.
fn change(ctx: &mut Ctx<'_, '_>, address: u64, edit: impl Fn(&mut Spec, &mut Mark)) -> Result<()> {
    let debugged = target(ctx)?;
    let mut any = false;
    for found in debugged.target.breakpoints()? {
        if found.spec.place.address() == address {
            any = true;
            let mut spec = found.spec;
            edit(&mut spec, debugged.notes.marks.entry(found.id).or_default());
            debugged.target.change(found.id, &spec)?;
        }
    }
    if any { Ok(()) } else { Err(nowhere(address)) }
}

fn at_address(ctx: &mut Ctx<'_, '_>, edit: impl Fn(&mut Spec, &mut Mark)) -> Result<()> {
    let address = ctx.number(0)?.unwrap_or(ctx.view.seek);
    change(ctx, address, edit)
}

fn index(ctx: &mut Ctx<'_, '_>) -> Result<BreakpointId> {
    let number = ctx.required(0)?;
    let debugged = target(ctx)?;
    let found = debugged.target.breakpoints()?.into_iter().find(|found| u64::from(found.id) == number);
    found.map(|found| found.id).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("no breakpoint has the number {number}")).hint("'dbi' lists them")
    })
}

fn by_index(ctx: &mut Ctx<'_, '_>, edit: impl Fn(&mut Spec)) -> Result<()> {
    let id = index(ctx)?;
    let debugged = target(ctx)?;
    let found = debugged.target.breakpoints()?.into_iter().find(|found| found.id == id);
    let Some(Breakpoint { mut spec, .. }) = found else { return Ok(()) };
    edit(&mut spec);
    debugged.target.change(id, &spec)
}

fn watch(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = ctx.required(0)?;
    let access = match ctx.word(1) {
        None | Some("w") => WatchAccess::Write,
        Some("r") => WatchAccess::Read,
        Some("rw" | "wr") => WatchAccess::Access,
        Some(other) => return Err(bad(format!("'{}' is no kind of access", visible(other))).hint("r, w or rw")),
    };
    let word = u64::from(target(ctx)?.layout()?.bits / 8);
    let length = ctx.number(2)?.unwrap_or(word);
    if length == 0 {
        return Err(bad("a watchpoint needs at least one byte"));
    }
    set(ctx, Spec::new(Place::Watch { address, length, access })).map(drop)
}

fn in_module(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let name = ctx.word(0).unwrap_or_default().to_string();
    let offset = ctx.required(1)?;
    let debugged = target(ctx)?;
    let process = debugged.thread()?.process;
    let modules = debugged.target.modules(process)?;
    let Some(module) = pending::module(&modules, &name).cloned() else {
        pending::wait(ctx.core, ctx.view, Waiting::new(Wanted::Offset(name.clone(), offset), Spec::at(0)))
            .map_err(|error| error.hint("'dmm' lists what is loaded"))?;
        ctx.out.note(format_args!("{} is not loaded yet: the breakpoint waits for it", visible(&name)));
        return Ok(());
    };
    let address = module.start.unwrap_or(module.bias).wrapping_add(offset);
    set(ctx, Spec::at(address)).map(drop)
}

fn command(ctx: &mut Ctx<'_, '_>, goes_on: bool) -> Result<()> {
    let address = ctx.required(0)?;
    let text = ctx.args.text.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim()).to_string();
    change(ctx, address, |_, mark| {
        mark.command.clone_from(&text);
        mark.goes_on = goes_on;
    })
}

fn condition(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let text = ctx.args.text.trim().to_string();
    let seek = ctx.view.seek;
    let compiled = match text.is_empty() {
        true => Vec::new(),
        false => {
            let layout = target(ctx)?.layout()?;
            vec![compile(&text, Scope { core: ctx.core, view: ctx.view }, &layout)?]
        }
    };
    change(ctx, seek, |spec, mark| {
        spec.conditions.clone_from(&compiled);
        mark.condition.clone_from(&text);
    })
}

fn name(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let seek = ctx.view.seek;
    match ctx.word(0).map(str::to_string) {
        Some(name) => change(ctx, seek, |_, mark| mark.name.clone_from(&name)),
        None => {
            let rows = rows(ctx)?;
            let row = rows.iter().find(|row| row.addr == seek).ok_or_else(|| nowhere(seek))?;
            ctx.out.line(visible(&row.name))
        }
    }
}

/// A hit of a trace point.
#[derive(Serialize)]
struct Logged {
    id: BreakpointId,
    pid: u32,
    tid: u64,
    addr: u64,
    time: u64,
    values: Vec<(String, Option<u64>)>,
}

impl Item for Logged {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        write!(out, "{} 0x{:08x} {}", self.tid, self.addr, self.time)?;
        for (expression, value) in &self.values {
            match value {
                Some(value) => write!(out, " {expression}=0x{value:x}")?,
                None => write!(out, " {expression}=?")?,
            }
        }
        writeln!(out)
    }
}

fn trace(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let words = ctx.args.words.clone();
    let Some((address, expressions)) = words.split_first() else { return show_log(ctx) };
    let address = ctx.evaluate(address)?;
    let layout = target(ctx)?.layout()?;
    let compiled = expressions
        .iter()
        .map(|text| compile_expression(text, Scope { core: ctx.core, view: ctx.view }, &layout))
        .collect::<Result<Vec<Condition>>>()?;
    let on_hit = if compiled.is_empty() { OnHit::Count } else { OnHit::Log(compiled) };
    let id = set(ctx, Spec { on_hit, ..Spec::at(address) })?;
    target(ctx)?.notes.marks.entry(id).or_default().expressions = expressions.to_vec();
    Ok(())
}

fn show_log(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    const AT_ONCE: usize = 1024;
    loop {
        let debugged = debugged(ctx.core, ctx.view)?;
        let hits = debugged.target.take_log(AT_ONCE)?;
        if hits.is_empty() {
            return Ok(());
        }
        for hit in hits {
            let expressions =
                debugged.notes.marks.get(&hit.id).map(|mark| mark.expressions.clone()).unwrap_or_default();
            let values = expressions.into_iter().zip(hit.values).collect();
            ctx.out.item(&Logged {
                id: hit.id,
                pid: hit.thread.process,
                tid: hit.thread.thread,
                addr: hit.pc,
                time: hit.time,
                values,
            })?;
        }
    }
}
