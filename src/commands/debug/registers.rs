//! `dr`: registers.

use std::io::{self, Write};

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{bad, place, target};
use crate::commands::{Arg, ArgKind, Command, Family, Run};
use crate::debug::registers::{Group, Register, Role};
use crate::debug::{Layout, Map, number};
use crate::error::Result;
use crate::output::{Item, Mode, Style};
use crate::session::debug::{find, spelling};
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "dr", summary: "registers of a process", commands: COMMANDS };

const GROUP: &[Arg] = &[Arg::opt("group", ArgKind::Word)];

const COMMANDS: &[Command] = &[
    Command {
        name: "dr",
        args: &[Arg::opt("name|group|name=value", ArgKind::Text)],
        summary: "show the registers, a group or one of them, or set one",
        details: "Groups are gpr, seg, flg, fpu, mmx, xmm, ymm, zmm, drx, all. '.dr*' makes flags of them, '.dr-' takes \
                  the flags away.",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: Permissions::DEBUG,
        run: Run::Core(show_or_set),
        ..Command::DEFAULT
    },
    Command {
        name: "dr?",
        aliases: &["drv"],
        args: &[Arg::new("name", ArgKind::Word)],
        summary: "show the value of a register and set $? to it",
        needs: Permissions::DEBUG,
        run: Run::Core(value),
        ..Command::DEFAULT
    },
    Command {
        name: "dr=",
        args: GROUP,
        summary: "show the registers in three columns",
        needs: Permissions::DEBUG,
        run: Run::Core(columns),
        ..Command::DEFAULT
    },
    Command {
        name: "dr-",
        args: GROUP,
        summary: "show the commands that take the registers' flags away",
        needs: Permissions::DEBUG,
        run: Run::Core(without_flags),
        ..Command::DEFAULT
    },
    Command {
        name: "dro",
        summary: "show the registers as they were at the stop before",
        modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
        needs: Permissions::DEBUG,
        run: Run::Core(old),
        ..Command::DEFAULT
    },
    Command {
        name: "drd",
        summary: "show the registers that changed between the last two stops",
        needs: Permissions::DEBUG,
        run: Run::Core(differences),
        ..Command::DEFAULT
    },
    Command {
        name: "drr",
        summary: "show the registers and what their values point to",
        modes: &[Mode::Json],
        needs: Permissions::DEBUG,
        run: Run::Core(references),
        ..Command::DEFAULT
    },
    Command {
        name: "drl",
        args: GROUP,
        summary: "list the names of the registers",
        modes: &[Mode::Json],
        needs: Permissions::DEBUG,
        run: Run::Core(names),
        ..Command::DEFAULT
    },
    Command {
        name: "drt",
        args: GROUP,
        summary: "list the groups of registers, or show those of a group",
        needs: Permissions::DEBUG,
        run: Run::Core(groups),
        ..Command::DEFAULT
    },
    Command {
        name: "drf",
        summary: "show the registers of the floating-point unit",
        modes: &[Mode::Json],
        needs: Permissions::DEBUG,
        run: Run::Core(|ctx| show(ctx, Some(&[Group::Float, Group::Mmx]))),
        ..Command::DEFAULT
    },
    Command {
        name: "drm",
        args: GROUP,
        summary: "show the vector registers (xmm, ymm, zmm)",
        modes: &[Mode::Json],
        needs: Permissions::DEBUG,
        run: Run::Core(|ctx| match ctx.word(0) {
            Some(_) => show_or_set(ctx),
            None => show(ctx, Some(&[Group::Xmm])),
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "drx",
        summary: "show the debug registers",
        modes: &[Mode::Json],
        needs: Permissions::DEBUG,
        run: Run::Core(|ctx| show(ctx, Some(&[Group::Debug]))),
        ..Command::DEFAULT
    },
    Command {
        name: "drp",
        summary: "show where the registers lie: number, set, offset, bits",
        modes: &[Mode::Json],
        needs: Permissions::DEBUG,
        run: Run::Core(profile),
        ..Command::DEFAULT
    },
];

/// The names of the groups.
const GROUPS: &[(&str, Group)] = &[
    ("gpr", Group::General),
    ("seg", Group::Segment),
    ("flg", Group::Flag),
    ("fpu", Group::Float),
    ("mmx", Group::Mmx),
    ("xmm", Group::Xmm),
    ("ymm", Group::Ymm),
    ("zmm", Group::Zmm),
    ("drx", Group::Debug),
    ("sys", Group::System),
];

/// Registers with their values, in the order in which they are shown.
struct Registers(Vec<Shown>);

struct Shown {
    name: String,
    bits: u32,
    value: Value,
}

/// A register's content: a number, or bytes with the highest first.
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Number(value) => write!(f, "0x{value:08x}"),
            Value::Bytes(bytes) => {
                f.write_str("0x")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl Serialize for Registers {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for register in &self.0 {
            match &register.value {
                Value::Number(value) => map.serialize_entry(&register.name, value)?,
                bytes => map.serialize_entry(&register.name, &bytes.to_string())?,
            }
        }
        map.end()
    }
}

impl Item for Registers {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        self.0.iter().try_for_each(|register| writeln!(out, "{} = {}", register.name, register.value))
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.iter().try_for_each(|register| writeln!(out, "{}", register.value))
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        for register in &self.0 {
            if let Value::Number(value) = register.value {
                writeln!(out, "f {} {} 0x{value:08x}", register.name, register.bits.div_ceil(8))?;
            }
        }
        Ok(())
    }
}

/// Whether `dr` alone shows it.
fn is_general(register: &Register) -> bool {
    register.number.is_some()
        && (register.group == Group::General || matches!(register.role, Some(Role::Flags | Role::CallNumber)))
}

fn read(ctx: &mut Ctx<'_, '_>, wanted: impl Fn(&Register) -> bool) -> Result<Registers> {
    let mut debugged = target(ctx)?;
    let (thread, layout) = (debugged.thread()?, debugged.layout()?);
    let mut sets: Vec<Option<Vec<u8>>> = vec![None; layout.sets.len()];
    let mut shown = Vec::new();
    for register in layout.registers.iter().filter(|register| wanted(register)) {
        let Some(set) = sets.get_mut(register.set) else { continue };
        if set.is_none() {
            *set = Some(debugged.target.read_set(thread, register.set)?);
        }
        if let Some(value) = set.as_deref().and_then(|set| content(&layout, register, set)) {
            shown.push(Shown { name: spelling(&layout, register).to_string(), bits: register.bits, value });
        }
    }
    Ok(Registers(shown))
}

fn content(layout: &Layout, register: &Register, set: &[u8]) -> Option<Value> {
    if register.bits <= 64 {
        return register.value(set, layout.big_endian).map(Value::Number);
    }
    let mut bytes = set.get(register.range())?.to_vec();
    if !layout.big_endian {
        bytes.reverse();
    }
    Some(Value::Bytes(bytes))
}

fn show(ctx: &mut Ctx<'_, '_>, groups: Option<&[Group]>) -> Result<()> {
    let registers = match groups {
        Some(groups) => read(ctx, |register| groups.contains(&register.group))?,
        None => read(ctx, is_general)?,
    };
    ctx.out.value(&registers)
}

/// The groups that a word names.
fn group(word: &str) -> Option<Vec<Group>> {
    if word == "all" {
        return Some(GROUPS.iter().map(|(_, group)| *group).collect());
    }
    GROUPS.iter().find(|(name, _)| *name == word).map(|(_, group)| vec![*group])
}

fn show_or_set(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let text = ctx.args.text.trim().to_string();
    if text.is_empty() {
        return show(ctx, None);
    }
    if let Some((name, value)) = text.split_once('=') {
        return set(ctx, name.trim(), value.trim());
    }
    if let Some(groups) = group(&text) {
        return show(ctx, Some(&groups));
    }
    let name = text.to_ascii_lowercase();
    let layout = target(ctx)?.layout()?;
    let register = find(&layout, &name)?.clone();
    let mut registers = read(ctx, |other| other.name == register.name)?;
    if ctx.out.mode() == Mode::Json || ctx.out.mode() == Mode::Commands {
        return ctx.out.value(&registers);
    }
    match registers.0.pop() {
        Some(shown) => ctx.out.line(shown.value),
        None => Err(bad(format!("the register {name} is not available"))),
    }
}

/// `dr rax=1`; registers of more than 64 bits take all their hexadecimal digits.
fn set(ctx: &mut Ctx<'_, '_>, name: &str, text: &str) -> Result<()> {
    let name = name.to_ascii_lowercase();
    let layout = target(ctx)?.layout()?;
    let register = find(&layout, &name)?.clone();
    if register.bits <= 64 {
        let value = ctx.evaluate(text)?;
        let mut debugged = target(ctx)?;
        debugged.set_register(&register.name, value)?;
        return ctx.out.line(format_args!("0x{value:08x}"));
    }
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let wanted = register.bytes() * 2;
    let mut bytes = vec![0; register.bytes()];
    if digits.len() != wanted || faster_hex::hex_decode(digits.as_bytes(), &mut bytes).is_err() {
        return Err(bad(format!("{name} takes {wanted} hexadecimal digits")));
    }
    if !layout.big_endian {
        bytes.reverse();
    }
    let debugged = target(ctx)?;
    let thread = debugged.thread()?;
    debugged.target.write_register(thread, &register, &bytes)
}

fn value(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let name = ctx.word(0).unwrap_or_default().to_ascii_lowercase();
    let value = target(ctx)?.register(&name)?;
    ctx.view.last = value;
    ctx.out.line(format_args!("0x{value:08x}"))
}

fn columns(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let registers = match ctx.word(0) {
        Some(word) => {
            let groups = group(word).ok_or_else(|| unknown_group(word))?;
            read(ctx, |register| groups.contains(&register.group))?
        }
        None => read(ctx, is_general)?,
    };
    for row in registers.0.chunks(3) {
        let mut line = String::new();
        for register in row {
            let cell = format!("{:>8} {:<20}", register.name, register.value.to_string());
            line.push_str(&cell);
        }
        ctx.out.line(line.trim_end())?;
    }
    Ok(())
}

fn unknown_group(word: &str) -> crate::error::Error {
    bad(format!("no group of registers is called '{}'", crate::output::visible(word))).hint("'drt' lists them")
}

fn without_flags(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let registers = read(ctx, is_general)?;
    registers.0.iter().try_for_each(|register| ctx.out.line(format_args!("f-{}", register.name)))
}

fn old(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let mut debugged = target(ctx)?;
    let layout = debugged.layout()?;
    let before = debugged.notes.before.clone();
    if before.is_empty() {
        return Err(bad("there was no stop before").hint("'ds' or 'dc' go to the next one"));
    }
    let general = layout.registers.iter().filter(|register| register.set == 0 && is_general(register));
    let shown = general.filter_map(|register| {
        let value = content(&layout, register, &before)?;
        Some(Shown { name: spelling(&layout, register).to_string(), bits: register.bits, value })
    });
    ctx.out.value(&Registers(shown.collect()))
}

fn differences(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let mut debugged = target(ctx)?;
    let layout = debugged.layout()?;
    let (before, now) = (debugged.notes.before.clone(), debugged.notes.now.clone());
    for register in layout.registers.iter().filter(|register| register.set == 0 && is_general(register)) {
        let old = register.value(&before, layout.big_endian);
        let new = register.value(&now, layout.big_endian);
        if let (Some(old), Some(new)) = (old, new)
            && old != new
        {
            let name = spelling(&layout, register);
            ctx.out.line(format_args!("{name} = 0x{new:08x} was 0x{old:08x} ({:+})", new.wrapping_sub(old) as i64))?;
        }
    }
    Ok(())
}

/// A register and what its value leads to.
#[derive(Serialize)]
struct Reference {
    role: &'static str,
    reg: String,
    value: u64,
    refstr: String,
}

impl Item for Reference {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let line = format!("{:<4} {:<6} {:<18} {}", self.role, self.reg, format!("0x{:x}", self.value), self.refstr);
        writeln!(out, "{}", line.trim_end())
    }
}

fn references(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let layout = target(ctx)?.layout()?;
    let general: Vec<Register> = layout.registers.iter().filter(|register| is_general(register)).cloned().collect();
    if ctx.out.mode() == Mode::Text {
        ctx.out.line("role reg    value              refstr")?;
    }
    let maps = target(ctx)?.maps()?;
    for register in general {
        let value = target(ctx)?.value(&layout, &register)?;
        let role = match register.role {
            Some(Role::Pc) => "PC",
            Some(Role::Sp) => "SP",
            Some(Role::Fp) => "BP",
            Some(Role::Ra) => "LR",
            Some(Role::Argument(at)) => ["A0", "A1", "A2", "A3", "A4", "A5", "A6", "A7"][usize::from(at).min(7)],
            Some(Role::Result) => "R0",
            Some(Role::CallNumber) => "SN",
            _ => "",
        };
        let refstr = telescope(ctx, &layout, &maps, value)?;
        let reg = spelling(&layout, &register).to_string();
        ctx.out.item(&Reference { role, reg, value, refstr })?;
    }
    Ok(())
}

/// What `value` leads to: a place in a file, a string, or what it points to, for a few steps.
fn telescope(ctx: &mut Ctx<'_, '_>, layout: &Layout, maps: &[Map], value: u64) -> Result<String> {
    const STEPS: usize = 4;
    let mut words: Vec<String> = Vec::new();
    let mut at = value;
    for _ in 0..STEPS {
        let name = place(ctx, at);
        let debugged = target(ctx)?;
        let process = debugged.thread()?.process;
        let Some(map) = maps.iter().find(|map| map.contains(at)) else { break };
        let file = map.name.as_deref().unwrap_or("");
        let file = file.rsplit('/').next().unwrap_or(file);
        let mut word = format!("{} {}", crate::output::visible(file), map.protection);
        if !name.is_empty() {
            word = format!("{word} {name}");
        }
        let mut bytes = [0; 64];
        let count = debugged.target.read_memory(process, at, &mut bytes)?;
        let text: String = bytes[..count]
            .iter()
            .take_while(|byte| (0x20..0x7f).contains(*byte))
            .map(|byte| char::from(*byte))
            .collect();
        if text.len() >= 4 {
            words.push(format!("{} '{text}'", word.trim()));
            break;
        }
        words.push(word.trim().to_string());
        let size = (layout.bits / 8) as usize;
        let next = match bytes.get(..size) {
            Some(bytes) if count >= size && !map.protection.execute => number(bytes, layout.big_endian) as u64,
            _ => break,
        };
        words.push(format!("-> 0x{next:x}"));
        if next == at {
            break;
        }
        at = next;
    }
    Ok(words.join(" "))
}

#[derive(Serialize)]
#[serde(transparent)]
struct Name(String);

impl Item for Name {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "{}", self.0)
    }
}

fn names(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let layout = target(ctx)?.layout()?;
    let groups = match ctx.word(0) {
        Some(word) => Some(group(word).ok_or_else(|| unknown_group(word))?),
        None => None,
    };
    for register in &layout.registers {
        let wanted = match &groups {
            Some(groups) => groups.contains(&register.group),
            None => register.number.is_some(),
        };
        if wanted {
            ctx.out.item(&Name(spelling(&layout, register).to_string()))?;
        }
    }
    Ok(())
}

fn groups(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if let Some(word) = ctx.word(0) {
        let groups = group(word).ok_or_else(|| unknown_group(word))?;
        return show(ctx, Some(&groups));
    }
    let layout = target(ctx)?.layout()?;
    for (name, group) in GROUPS {
        if layout.registers.iter().any(|register| register.group == *group) {
            ctx.out.line(name)?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Place {
    name: String,
    number: Option<u32>,
    set: String,
    offset: usize,
    bits: u32,
}

impl Item for Place {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let number = self.number.map(|number| number.to_string()).unwrap_or_default();
        writeln!(out, "{:<10} {number:>4} {:<8} {:>5} {:>4}", self.name, self.set, self.offset, self.bits)
    }
}

fn profile(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let layout = target(ctx)?.layout()?;
    for register in &layout.registers {
        let set = layout.sets.get(register.set).map(|set| set.name.clone()).unwrap_or_default();
        let name = spelling(&layout, register).to_string();
        let place = Place { name, number: register.number, set, offset: register.offset, bits: register.bits };
        ctx.out.item(&place)?;
    }
    Ok(())
}
