//! Commands about numbers.

use std::io::{self, Write};

use serde::Serialize;

use super::{Shown, calculate, optional, report};
use crate::error::{Error, Kind, Result};
use crate::number;
use crate::output::{Item, Style};
use crate::session::Ctx;
use crate::session::scope::{Scope, VARIABLES};

/// The value of the expression, or the last one.
fn value(ctx: &mut Ctx<'_, '_>) -> Result<u64> {
    Ok(optional(ctx, 0)?.unwrap_or(ctx.view.last))
}

fn show<T: Serialize>(ctx: &mut Ctx<'_, '_>, value: T, text: String) -> Result<()> {
    ctx.out.value(&Shown { value, text })
}

pub fn hex(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = value(ctx)?;
    let text = if ctx.args.words.is_empty() { (value as i64).to_string() } else { format!("0x{value:x}") };
    show(ctx, value, text)
}

pub fn signed(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = value(ctx)? as i64;
    show(ctx, value, value.to_string())
}

pub fn signed_8(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = value(ctx)? as i8;
    show(ctx, value, value.to_string())
}

pub fn signed_16(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = value(ctx)? as i16;
    show(ctx, value, value.to_string())
}

pub fn signed_32(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = value(ctx)? as i32;
    show(ctx, value, value.to_string())
}

pub fn wide_hex(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = value(ctx)?;
    show(ctx, value, format!("0x{value:08x}"))
}

pub fn bare_hex(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = value(ctx)?;
    show(ctx, value, format!("{value:x}"))
}

pub fn binary(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = value(ctx)?;
    show(ctx, value, format!("{value:b}b"))
}

pub fn octal(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = value(ctx)?;
    show(ctx, value, format!("0{value:o}"))
}

pub fn unit(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = value(ctx)?;
    show(ctx, value, report::unit(value))
}

pub fn quietly(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    value(ctx).map(|_| ())
}

pub fn condition(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let result = number::condition(&ctx.args.text, &mut Scope { core: ctx.core, view: ctx.view });
    ctx.view.last = *result.as_ref().unwrap_or(&1);
    result.map(|_| ())
}

pub fn between(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (low, value, high) = (ctx.required(0)?, ctx.required(1)?, ctx.required(2)?);
    ctx.view.last = (low..=high).contains(&value).into();
    Ok(())
}

pub fn sequence(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (from, to) = (ctx.required(0)?, ctx.required(1)?);
    let step = ctx.number(2)?.unwrap_or(1);
    if step == 0 {
        return Err(Error::new(Kind::Usage, "a step of 0 never arrives"));
    }
    let numbers = std::iter::successors(Some(from), |number| number.checked_add(step));
    for number in numbers.take_while(|number| *number <= to) {
        ctx.out.write_all(format!("{number} ").as_bytes())?;
    }
    ctx.out.write_all(b"\n")
}

pub fn random(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let from = ctx.number(0)?.unwrap_or(0);
    let to = ctx.number(1)?.unwrap_or(u64::from(u32::MAX).max(from));
    if from > to {
        return Err(Error::new(Kind::Usage, format!("the range from 0x{from:x} to 0x{to:x} is empty")));
    }
    let random = getrandom::u64().map_err(|e| Error::new(Kind::System, format!("no random numbers: {e}")))?;
    // Of 2^64 values, scaled down: even enough for any range.
    let offset = (u128::from(random) * (u128::from(to - from) + 1)) >> 64;
    let value = from + offset as u64;
    ctx.view.last = value;
    show(ctx, value, format!("0x{value:x}"))
}

pub fn physical(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let address = value(ctx)?;
    let map = ctx.core.io.space.at(address).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("nothing is mapped at 0x{address:08x}")).hint("'om' lists the maps")
    })?;
    let offset = address - map.from + map.delta;
    ctx.view.last = offset;
    show(ctx, offset, format!("0x{offset:08x}"))
}

pub fn virtually(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let offset = value(ctx)?;
    let fd = ctx.core.io.current();
    let maps = ctx.core.io.space.maps().iter().rev().filter(|map| Some(map.fd) == fd);
    let address = maps
        .filter(|map| offset >= map.delta && offset - map.delta < map.size)
        .map(|map| offset - map.delta + map.from)
        .next()
        .ok_or_else(|| {
            Error::new(Kind::NotFound, format!("no map shows the offset 0x{offset:x} of the current file"))
                .hint("'om' lists the maps")
        })?;
    ctx.view.last = address;
    show(ctx, address, format!("0x{address:08x}"))
}

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    value: Option<u64>,
    summary: &'static str,
}

impl Item for Listed {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        match self.value {
            Some(value) => writeln!(out, "{:<8}0x{value:08x}", self.name),
            None => writeln!(out, "{:<8}-", self.name),
        }
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }
}

pub fn variables(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    for variable in VARIABLES {
        let value = ctx.evaluate(variable.name).ok();
        ctx.out.item(&Listed { name: variable.name, value, summary: variable.summary })?;
    }
    Ok(())
}

pub fn number_bytes(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = value(ctx)?;
    let length = if value > u64::from(u32::MAX) { 8 } else { 4 };
    let mut bytes = value.to_le_bytes();
    if ctx.option_bool("cfg.bigendian") {
        bytes[..length].reverse();
    }
    ctx.out.line(faster_hex::hex_string(&bytes[..length]))
}

pub fn flag_letters(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let value = value(ctx)?;
    let letters: String = ctx.args.words[1..].concat();
    let set = letters.chars().take(64).enumerate().filter(|(bit, _)| value >> bit & 1 != 0);
    let set: String = set.map(|(_, letter)| letter.to_ascii_uppercase()).collect();
    ctx.out.line(set)
}

pub fn progress(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    const CELLS: usize = 65;
    let percent = calculate(ctx, &ctx.args.words.join(" "))?.value.min(100) as usize;
    let done = CELLS * percent / 100;
    ctx.out.line(format_args!("{percent:>4}% [{}{}]", "#".repeat(done), "-".repeat(CELLS - done)))
}
