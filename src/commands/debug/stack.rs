//! `dbt`: the call stack.

use std::io::{self, Write};

use serde::Serialize;

use super::{place, target};
use crate::commands::{Arg, ArgKind, Command, Family, Run};
use crate::error::Result;
use crate::output::{Item, Mode, Style, visible};
use crate::session::debug::unwind::backtrace;
use crate::session::{Ctx, Permissions};

/// The family.
pub const FAMILY: Family = Family { name: "dbt", summary: "the call stack of a process", commands: COMMANDS };

const COMMANDS: &[Command] = &[Command {
    name: "dbt",
    aliases: &["dt"],
    args: &[Arg::opt("frames", ArgKind::Number)],
    summary: "show the functions that were called and have not returned",
    details: "Found by the unwind tables in memory, and by frame pointers where there are none.",
    modes: &[Mode::Json, Mode::Quiet, Mode::Commands],
    needs: Permissions::DEBUG,
    run: Run::Core(show),
    ..Command::DEFAULT
}];

#[derive(Serialize)]
struct Row {
    idx: usize,
    pc: u64,
    sp: u64,
    frame_size: u64,
    fname: String,
    desc: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    source: String,
}

impl Item for Row {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let pc = format!("0x{:x}", self.pc);
        let sp = format!("0x{:x}", self.sp);
        let line = format!(
            "{}  {pc:<18} sp: {sp:<18} {:<4} [{}]  {}  {}",
            self.idx, self.frame_size, self.fname, self.desc, self.source
        );
        writeln!(out, "{}", visible(line.trim_end()))
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "0x{:08x}", self.pc)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "f bt.frame{} 1 0x{:08x}", self.idx, self.pc)
    }
}

fn show(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let limit = match ctx.number(0)? {
        Some(limit) => limit,
        None => ctx.option_number("dbg.btdepth"),
    };
    const MOST: u64 = 100_000;
    let mut debugged = target(ctx)?;
    let frames = backtrace(&mut debugged, limit.min(MOST) as usize)?;
    let maps = debugged.maps()?;
    for (idx, frame) in frames.into_iter().enumerate() {
        let map = maps.iter().find(|map| map.contains(frame.pc));
        let file = map.and_then(|map| map.name.as_deref()).unwrap_or("??");
        let fname = file.rsplit('/').next().unwrap_or(file).to_string();
        // Where a call will return to lies behind it, which may be in the next function or line.
        let called = frame.pc.saturating_sub(u64::from(idx > 0));
        let desc = place(ctx, frame.pc);
        let line = ctx.core.line(ctx.view, called).filter(|line| line.line > 0);
        let source = line.map(|line| format!("{}:{}", line.file.rsplit('/').next().unwrap_or_default(), line.line));
        let source = source.unwrap_or_default();
        ctx.out.item(&Row { idx, pc: frame.pc, sp: frame.sp, frame_size: frame.size, fname, desc, source })?;
    }
    Ok(())
}
