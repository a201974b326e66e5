//! `pt`: dates in the forms that file systems and systems store them in.

use std::io::Write;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::LENGTH;
use super::layout::number;
use crate::commands::{Command, Example, Run};
use crate::error::Result;
use crate::output::{Item, Mode, Style};
use crate::session::{Ctx, Permissions};

/// Seconds from 1904 (HFS) to 1970.
const HFS_EPOCH: i64 = 2_082_844_800;

/// Seconds from 1601 (NTFS) to 1970.
const NTFS_EPOCH: i64 = 11_644_473_600;

/// The commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "pt",
        args: LENGTH,
        summary: "print 4-byte Unix times",
        details: "Dates are shown time.zone hours east of Greenwich.",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[
            Example { line: "w ABCD; pt 4", shows: "Mon Apr 17 07:22:41 2006" },
            Example { line: "w ABCD; ptj 4", shows: r#"[{"addr":0,"date":"Mon Apr 17 07:22:41 2006"}]"# },
        ],
        run: Run::Core(|ctx| dates(ctx, 4, |value, zone| moment(value as i64, 0, zone))),
        ..Command::DEFAULT
    },
    Command {
        name: "ptd",
        args: LENGTH,
        summary: "print 4-byte DOS times",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[Example { line: "wx d63a9134; ptd 4", shows: "Mon Apr 17 07:22:44 2006" }],
        run: Run::Core(|ctx| dates(ctx, 4, |value, _| dos(value))),
        ..Command::DEFAULT
    },
    Command {
        name: "pth",
        args: LENGTH,
        summary: "print 4-byte HFS times",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[Example { line: "wx c1f268c0; pth 4", shows: "Mon Apr 17 07:22:41 2006" }],
        run: Run::Core(|ctx| dates(ctx, 4, |value, zone| moment(value as i64 - HFS_EPOCH, 0, zone))),
        ..Command::DEFAULT
    },
    Command {
        name: "ptn",
        args: LENGTH,
        summary: "print 8-byte NTFS times",
        modes: &[Mode::Json],
        needs: Permissions::READ,
        examples: &[Example { line: "wx 80b649b6ef61c601; ptn 8", shows: "Mon Apr 17 07:22:41 2006" }],
        run: Run::Core(|ctx| {
            dates(ctx, 8, |value, zone| {
                moment((value / 10_000_000) as i64 - NTFS_EPOCH, (value % 10_000_000 * 100) as i32, zone)
            })
        }),
        ..Command::DEFAULT
    },
    Command { name: "pt.", summary: "print the date and time now", run: Run::Core(now), ..Command::DEFAULT },
];

/// A date in memory.
#[derive(Serialize)]
struct DateAt {
    addr: u64,
    /// `None`: the bytes are no date.
    date: Option<String>,
}

impl Item for DateAt {
    fn text(&self, out: &mut dyn Write, _style: Style) -> std::io::Result<()> {
        writeln!(out, "{}", self.date.as_deref().unwrap_or("(no date)"))
    }
}

fn dates(ctx: &mut Ctx<'_, '_>, size: usize, date: fn(u64, Offset) -> Option<DateTime>) -> Result<()> {
    let (address, length) = ctx.range(0)?;
    let zone = zone(ctx);
    let big_endian = ctx.option_bool("cfg.bigendian");
    ctx.read_chunks(address, length, |out, start, bytes| {
        for (index, bytes) in bytes.chunks_exact(size).enumerate() {
            let date = date(number(bytes, big_endian), zone).map(show);
            out.item(&DateAt { addr: start.wrapping_add((index * size) as u64), date })?;
        }
        Ok(())
    })
}

fn now(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let now = zone(ctx).to_datetime(Timestamp::now());
    ctx.out.line(show(now))
}

/// The time zone of `time.zone`, in hours; a negative number wraps around.
fn zone(ctx: &Ctx<'_, '_>) -> Offset {
    let hours = (ctx.option_number("time.zone") as i64).clamp(-24, 24);
    Offset::from_hours(hours as i8).unwrap_or(Offset::UTC)
}

fn moment(seconds: i64, nanoseconds: i32, zone: Offset) -> Option<DateTime> {
    Timestamp::from_duration(SignedDuration::new(seconds, nanoseconds)).ok().map(|moment| zone.to_datetime(moment))
}

/// A DOS date: local time, in steps of two seconds.
fn dos(value: u64) -> Option<DateTime> {
    let bits = |from: u32, count: u32| (value >> from & ((1 << count) - 1)) as i8;
    let year = 1980 + (value >> 25 & 0x7f) as i16;
    DateTime::new(year, bits(21, 4), bits(16, 5), bits(11, 5), bits(5, 6), bits(0, 5) * 2, 0).ok()
}

fn show(date: DateTime) -> String {
    date.strftime("%a %b %e %H:%M:%S %Y").to_string()
}
