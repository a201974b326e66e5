//! `s`: where you are, and how to get elsewhere and back.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::{Arg, ArgKind, Command, Example, Family, Run, analysis, search};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style};
use crate::session::flags::Flag;
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "s", summary: "seek: where you are", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command {
        name: "s",
        args: &[Arg::opt("addr", ArgKind::Number)],
        summary: "show the current address, or go to another",
        details: "'cmd @ addr' goes there for one command only. 's-' goes back.",
        modes: &[Mode::Json, Mode::Commands],
        examples: &[
            Example { line: "s 0x10; s", shows: "0x10" },
            Example {
                line: "s 4; sj",
                shows: r#"[{"offset":0,"cursor":0,"current":false},{"offset":4,"cursor":0,"current":true}]"#,
            },
        ],
        run: Run::Core(s),
        ..Command::DEFAULT
    },
    Command {
        name: "sd",
        args: &[Arg::new("delta", ArgKind::Number)],
        summary: "go so many bytes forward, or back with a minus",
        examples: &[Example { line: "s 0x10; sd +4; s; sd 4; s", shows: "0x14\n0x18" }],
        run: Run::Core(by_delta),
        ..Command::DEFAULT
    },
    Command {
        name: "s+",
        args: &[Arg::opt("n", ArgKind::Number)],
        summary: "go n bytes forward; alone: take back the last s-",
        examples: &[Example { line: "s+4; s; s-; s; s+; s", shows: "0x4\n0x0\n0x4" }],
        run: Run::Core(forward),
        ..Command::DEFAULT
    },
    Command {
        name: "s-",
        args: &[Arg::opt("n", ArgKind::Number)],
        summary: "go n bytes back; alone: return to the place before",
        examples: &[Example { line: "s 0x10; s-4; s; s-; s", shows: "0xc\n0x10" }],
        run: Run::Core(back),
        ..Command::DEFAULT
    },
    Command {
        name: "s++",
        args: &[Arg::opt("n", ArgKind::Number)],
        summary: "go one block forward; with n: an n-th of the block",
        examples: &[Example { line: "s++; s; s++ 4; s", shows: "0x100\n0x140" }],
        run: Run::Core(block_forward),
        ..Command::DEFAULT
    },
    Command {
        name: "s--",
        args: &[Arg::opt("n", ArgKind::Number)],
        summary: "go one block back; with n: an n-th of the block",
        examples: &[Example { line: "s 0x200; s--; s; s-- 4; s", shows: "0x100\n0xc0" }],
        run: Run::Core(block_back),
        ..Command::DEFAULT
    },
    Command {
        name: "s.",
        aliases: &["s.."],
        args: &[Arg::new("hex", ArgKind::Word)],
        summary: "replace the last hexadecimal digits of the address",
        examples: &[Example { line: "s 0x1234; s. ff; s; s..0", shows: "0x12ff" }],
        run: Run::Core(low_digits),
        ..Command::DEFAULT
    },
    Command {
        name: "sa",
        args: &[Arg::new("n", ArgKind::Word), Arg::opt("addr", ArgKind::Number)],
        summary: "go down to the next multiple of n",
        examples: &[Example { line: "s 0x1238; sa 16; s; sa 0x100 0x777; s", shows: "0x1230\n0x700" }],
        run: Run::Core(align),
        ..Command::DEFAULT
    },
    Command {
        name: "sf",
        args: &[Arg::opt("name", ArgKind::Flag)],
        summary: "go to the start of the next function, or of one by its name",
        examples: &[Example { line: "wx c3c3; af a 0; af b 1; sf; s; sf a; s", shows: "0x1\n0x0" }],
        run: Run::Core(function),
        ..Command::DEFAULT
    },
    Command {
        name: "sf.",
        summary: "go to the start of the function here",
        examples: &[Example { line: "wx 90c3; af a 0; s 1; sf.; s", shows: "0x0" }],
        run: Run::Core(function_start),
        ..Command::DEFAULT
    },
    Command {
        name: "sb",
        args: &[Arg::opt("addr", ArgKind::Number)],
        summary: "go to the start of the block of a function here",
        examples: &[Example { line: "wx 90c3; af a 0; s 1; sb; s", shows: "0x0" }],
        run: Run::Core(block_start),
        ..Command::DEFAULT
    },
    Command {
        name: "sg",
        summary: "go to the start of the map here, or of the file",
        examples: &[Example { line: "s 0x40; sg; s", shows: "0x0" }],
        run: Run::Core(start),
        ..Command::DEFAULT
    },
    Command {
        name: "sG",
        summary: "go behind the last byte of the map here, or of the file",
        examples: &[Example { line: "sG; s", shows: "0x200" }],
        run: Run::Core(end),
        ..Command::DEFAULT
    },
    Command {
        name: "sn",
        summary: "go to the next flag (or hit: scr.nkey)",
        examples: &[Example { line: "f a 1 8; f b 1 16; sn; s; sn; s", shows: "0x8\n0x10" }],
        run: Run::Core(next),
        ..Command::DEFAULT
    },
    Command {
        name: "sp",
        summary: "go to the previous flag (or hit: scr.nkey)",
        examples: &[Example { line: "f a 1 8; f b 1 16; s 16; sp; s", shows: "0x8" }],
        run: Run::Core(previous),
        ..Command::DEFAULT
    },
    Command {
        name: "s/",
        args: &[Arg::new("text", ArgKind::Text)],
        summary: "go to the next place with a text",
        needs: Permissions::READ,
        examples: &[Example { line: "w AB; w AB @ 8; s/ AB; s", shows: "0x8" }],
        run: Run::Session(|session, args, out| search::seek(session, "/", args, out)),
        ..Command::DEFAULT
    },
    Command {
        name: "s/x",
        args: &[Arg::new("hex[:mask]", ArgKind::Text)],
        summary: "go to the next place with some bytes",
        needs: Permissions::READ,
        examples: &[Example { line: "wx ff @ 9; s/x ff; s", shows: "0x9" }],
        run: Run::Session(|session, args, out| search::seek(session, "/x", args, out)),
        ..Command::DEFAULT
    },
    Command {
        name: "spad",
        args: &[Arg::opt("digits", ArgKind::Number)],
        summary: "show the current address with leading zeros (8 digits)",
        examples: &[Example { line: "s 0x1200; spad; spad 4", shows: "0x00001200\n0x1200" }],
        run: Run::Core(padded),
        ..Command::DEFAULT
    },
    Command {
        name: "sh",
        aliases: &["s!"],
        summary: "list the places that you came from",
        modes: &[Mode::Json, Mode::Commands],
        examples: &[
            Example { line: "s 4; s 8; sh", shows: "0x0\n0x4\n0x8  # current seek" },
            Example { line: "s 4; s 8; sh*", shows: "f undo_1 @ 0x0\nf undo_0 @ 0x4\n# Current seek @ 0x8" },
        ],
        run: Run::Core(history),
        ..Command::DEFAULT
    },
    Command {
        name: "s=",
        summary: "show the places that you came from in one line",
        examples: &[Example { line: "s 4; s 8; s=", shows: "0x0 > 0x4 > 0x8" }],
        run: Run::Core(trail),
        ..Command::DEFAULT
    },
    Command {
        name: "shu",
        summary: "return to the place before",
        examples: &[Example { line: "s 0x10; shu; s", shows: "0x0" }],
        run: Run::Core(undo),
        ..Command::DEFAULT
    },
    Command {
        name: "shr",
        summary: "take back the last return",
        examples: &[Example { line: "s 0x10; shu; shr; s", shows: "0x10" }],
        run: Run::Core(redo),
        ..Command::DEFAULT
    },
    Command {
        name: "sh-",
        summary: "forget the places that you came from",
        examples: &[Example { line: "s 4; sh-; s 8; s=", shows: "0x4 > 0x8" }],
        run: Run::Core(forget),
        ..Command::DEFAULT
    },
];

/// The places of a client, oldest first.
struct Journey {
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    offset: u64,
    cursor: u64,
    current: bool,
    #[serde(skip)]
    name: Option<String>,
}

impl Journey {
    fn of(ctx: &mut Ctx<'_, '_>) -> Journey {
        keep_to_limit(ctx);
        let history = &ctx.view.history;
        let places = history.undo.iter().map(|&place| (place, false));
        let places = places.chain([(ctx.view.seek, true)]);
        let places = places.chain(history.redo.iter().rev().map(|&place| (place, false)));
        let name = |place| ctx.core.flags.at(place).next().map(|flag| flag.name.clone());
        let steps = places.map(|(offset, current)| Step { offset, cursor: 0, current, name: name(offset) }).collect();
        Journey { steps }
    }
}

impl Serialize for Journey {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.steps)
    }
}

impl Item for Journey {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        for step in &self.steps {
            write!(out, "0x{:x}", step.offset)?;
            match (&step.name, step.current) {
                (Some(name), true) => writeln!(out, " {name} # current seek")?,
                (None, true) => writeln!(out, "  # current seek")?,
                (Some(name), false) => writeln!(out, " {name}")?,
                (None, false) => writeln!(out)?,
            }
        }
        Ok(())
    }

    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        let here = self.steps.iter().position(|step| step.current).unwrap_or(0);
        for (index, step) in self.steps.iter().enumerate() {
            match index {
                _ if index < here => writeln!(out, "f undo_{} @ 0x{:x}", here - index - 1, step.offset)?,
                _ if index == here => writeln!(out, "# Current seek @ 0x{:x}", step.offset)?,
                _ => writeln!(out, "f redo_{} @ 0x{:x}", index - here - 1, step.offset)?,
            }
        }
        Ok(())
    }
}

/// The current address as text; its other forms are those of the whole history, as `sj` and `s*` always were.
#[derive(Serialize)]
#[serde(transparent)]
struct Here(Journey);

impl Item for Here {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        self.0.steps.iter().filter(|step| step.current).try_for_each(|step| writeln!(out, "0x{:x}", step.offset))
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.commands(out)
    }
}

fn s(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    match ctx.number(0)? {
        Some(address) => go(ctx, address),
        None => {
            let here = Here(Journey::of(ctx));
            ctx.out.value(&here)
        }
    }
}

/// Goes to `address`, as the options on the history say.
pub(super) fn go(ctx: &mut Ctx<'_, '_>, address: u64) -> Result<()> {
    keep_to_limit(ctx);
    if ctx.option_bool("cfg.seek.silent") {
        ctx.view.seek = address;
    } else {
        ctx.view.jump(address);
    }
    Ok(())
}

fn keep_to_limit(ctx: &mut Ctx<'_, '_>) {
    ctx.view.history.limit = usize::try_from(ctx.option_number("cfg.seek.histsize")).unwrap_or(usize::MAX);
    ctx.view.history.trim();
}

fn by_delta(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let text = ctx.word(0).unwrap_or_default();
    let text = text.strip_prefix('+').unwrap_or(text).to_string();
    let delta = ctx.evaluate(&text)?;
    go(ctx, ctx.view.seek.wrapping_add(delta))
}

fn forward(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    match ctx.number(0)? {
        Some(count) => go(ctx, ctx.view.seek.wrapping_add(count)),
        None => redo(ctx),
    }
}

fn back(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    match ctx.number(0)? {
        Some(count) => go(ctx, ctx.view.seek.wrapping_sub(count)),
        None => undo(ctx),
    }
}

fn block_forward(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let part = part_of_block(ctx)?;
    go(ctx, ctx.view.seek.wrapping_add(part))
}

fn block_back(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let part = part_of_block(ctx)?;
    go(ctx, ctx.view.seek.wrapping_sub(part))
}

fn part_of_block(ctx: &mut Ctx<'_, '_>) -> Result<u64> {
    let parts = ctx.number(0)?.unwrap_or(1);
    ctx.view.block_size.checked_div(parts).ok_or_else(|| Error::new(Kind::Usage, "a block has no 0 parts"))
}

fn low_digits(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let digits = ctx.word(0).unwrap_or_default();
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    let low = u64::from_str_radix(digits, 16).ok().filter(|_| digits.len() <= 16 && !digits.starts_with('+'));
    let low = low.ok_or_else(|| {
        Error::new(Kind::Usage, format!("'{digits}' is not 1 to 16 hexadecimal digits")).hint("usage: s. <hex>")
    })?;
    let mask = u64::MAX.checked_shl(digits.len() as u32 * 4).unwrap_or(0);
    go(ctx, ctx.view.seek & mask | low)
}

fn align(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let unit = ctx.required(0)?;
    let address = ctx.number(1)?.unwrap_or(ctx.view.seek);
    let rest = address.checked_rem(unit).ok_or_else(|| Error::new(Kind::Usage, "nothing is a multiple of 0"))?;
    go(ctx, address - rest)
}

fn function(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let functions = &ctx.core.analysis;
    let found = match ctx.word(0) {
        Some(name) => functions.named(name),
        None => ctx.view.seek.checked_add(1).and_then(|next| functions.starting_between(next, u64::MAX).next()),
    };
    let address = found.map(|function| function.address);
    let missing = || Error::new(Kind::NotFound, "no such function").hint("'afl' lists them, 'aa' finds them");
    go(ctx, address.ok_or_else(missing)?)
}

fn function_start(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = analysis::run::function_at(ctx, ctx.view.seek)?.address;
    go(ctx, address)
}

fn block_start(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = ctx.number(0)?.unwrap_or(ctx.view.seek);
    let function = analysis::run::function_at(ctx, address)?;
    let start = function.block_at(address).map_or(function.address, |block| block.address);
    go(ctx, start)
}

fn start(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (from, _) = surroundings(ctx)?;
    go(ctx, from)
}

fn end(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (_, to) = surroundings(ctx)?;
    go(ctx, to)
}

/// The map at the seek, else the current file: first address, and the address after the last.
fn surroundings(ctx: &mut Ctx<'_, '_>) -> Result<(u64, u64)> {
    if ctx.option_bool("io.va")
        && let Some(map) = ctx.core.io.space.at(ctx.view.seek)
    {
        return Ok((map.from, map.from.saturating_add(map.size)));
    }
    let size = ctx.core.io.current().and_then(|fd| ctx.core.io.descriptor(fd).ok()).and_then(|file| file.size());
    let none = || Error::new(Kind::NotFound, format!("nothing with an end is open at 0x{:08x}", ctx.view.seek));
    Ok((0, size.ok_or_else(none)?))
}

fn next(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let wanted = key_filter(ctx);
    let mut at = ctx.view.seek;
    let found = loop {
        match ctx.core.flags.next_after(at) {
            Some(flag) if wanted(flag) => break Some(flag.address),
            Some(flag) => at = flag.address,
            None => break None,
        }
    };
    go_to_found(ctx, found, "after")
}

fn previous(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let wanted = key_filter(ctx);
    let mut end = ctx.view.seek;
    let found = loop {
        match end.checked_sub(1).and_then(|last| ctx.core.flags.nearest(last)) {
            Some(flag) if wanted(flag) => break Some(flag.address),
            Some(flag) => end = flag.address,
            None => break None,
        }
    };
    go_to_found(ctx, found, "before")
}

/// Which flags `sn` and `sp` stop at.
fn key_filter(ctx: &Ctx<'_, '_>) -> impl Fn(&Flag) -> bool + use<> {
    let prefix = (ctx.option_text("scr.nkey") == "hit").then(|| ctx.option_text("search.prefix"));
    move |flag: &Flag| match &prefix {
        Some(prefix) => flag.name.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with(char::is_numeric)),
        None => true,
    }
}

fn go_to_found(ctx: &mut Ctx<'_, '_>, found: Option<u64>, side: &str) -> Result<()> {
    let seek = ctx.view.seek;
    let what = ctx.option_text("scr.nkey");
    go(ctx, found.ok_or_else(|| Error::new(Kind::NotFound, format!("no {what} {side} 0x{seek:08x}")))?)
}

fn padded(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let digits = ctx.number(0)?.unwrap_or(8).min(16) as usize;
    let seek = ctx.view.seek;
    ctx.out.line(format_args!("0x{seek:0digits$x}"))
}

fn history(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let journey = Journey::of(ctx);
    ctx.out.value(&journey)
}

fn trail(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let places: Vec<String> = Journey::of(ctx).steps.iter().map(|step| format!("0x{:x}", step.offset)).collect();
    ctx.out.line(places.join(" > "))
}

fn undo(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if ctx.view.undo_jump() { Ok(()) } else { Err(Error::new(Kind::NotFound, "no place to return to")) }
}

fn redo(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    if ctx.view.redo_jump() { Ok(()) } else { Err(Error::new(Kind::NotFound, "no return to take back")) }
}

fn forget(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    ctx.view.history.clear();
    Ok(())
}
