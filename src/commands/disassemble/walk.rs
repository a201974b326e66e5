//! Instruction after instruction, through any stretch of memory, in windows that are decoded at once.

use crate::disasm::{Disassembler, Instruction};
use crate::error::Result;
use crate::session::Ctx;
use crate::session::context::CHUNK;
use crate::session::scope;

/// Instructions in a window. Jump arrows are drawn inside of one.
pub const WINDOW: usize = 1024;

/// Where a walk ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// After so many instructions.
    Count(u64),
    /// After the last that begins in so many bytes.
    Bytes(u64),
}

/// Some instructions in a row, and their bytes.
pub struct Window<'a> {
    /// The instructions, by address.
    pub instructions: &'a [Instruction],
    /// Their bytes, from the first one on.
    bytes: &'a [u8],
    /// Writes them down: the index of an instruction here is its index there.
    pub disassembler: &'a mut dyn Disassembler,
}

impl Window<'_> {
    /// The bytes of `instruction`, which is one of the window's.
    pub fn code(&self, instruction: &Instruction) -> &[u8] {
        let start =
            self.instructions.first().map_or(0, |first| instruction.address.wrapping_sub(first.address) as usize);
        self.bytes.get(start..start + instruction.size as usize).unwrap_or_default()
    }
}

/// Hands the instructions from `start` to `each`, window by window. The memory is read in large pieces; what is not
/// there reads as the fill byte.
pub fn walk(
    ctx: &mut Ctx<'_, '_>,
    start: u64,
    limit: Limit,
    mut each: impl FnMut(&mut Ctx<'_, '_>, &mut Window<'_>) -> Result<()>,
) -> Result<()> {
    let mut disassembler = ctx.disassembler()?;
    let longest = disassembler.longest();
    let mut address = start;
    let (mut count, mut length) = match limit {
        Limit::Count(count) => (count, u64::MAX),
        Limit::Bytes(length) => (u64::MAX, length),
    };
    if let Limit::Bytes(length) = limit
        && length > CHUNK as u64
    {
        let settings = scope::settings(ctx.core, ctx.view);
        ctx.core.io.will_read(&settings, start, length);
    }
    let mut found = vec![Instruction::default(); WINDOW.min(usize::try_from(count.min(length)).unwrap_or(WINDOW))];
    let mut block = Vec::new();
    while count > 0 && length > 0 {
        ctx.out.cancel().check()?;
        // Nothing goes on behind the last address.
        let room = (u64::MAX - address).saturating_add(1);
        let wanted = count.saturating_mul(longest as u64).min(length).min(CHUNK as u64).min(room) as usize;
        block.resize(wanted + longest, 0);
        ctx.read_into(address, &mut block)?;
        let mut at = 0;
        while at < wanted && count > 0 {
            let most = found.len().min(usize::try_from(count).unwrap_or(usize::MAX));
            let here = address.wrapping_add(at as u64);
            let decoded = disassembler.decode(here, &block[at..], wanted - at, &mut found[..most]);
            let Some(last) = found[..decoded].last() else { break };
            let end = at + last.next().wrapping_sub(here) as usize;
            let mut window = Window {
                instructions: &found[..decoded],
                bytes: block.get(at..end).unwrap_or_default(),
                disassembler: &mut *disassembler,
            };
            each(ctx, &mut window)?;
            count -= decoded as u64;
            at = end;
        }
        length = length.saturating_sub(at as u64);
        match address.checked_add(at as u64) {
            Some(next) if at > 0 => address = next,
            _ => break,
        }
    }
    Ok(())
}

/// Where to begin so that `count` instructions end at `end`.
///
/// Instructions of one length are counted back. Others are not known backwards: where a flag shows the way, the path
/// from it is taken; else the nearest place from which `count` instructions lead to `end`.
pub fn back(ctx: &mut Ctx<'_, '_>, end: u64, count: u64) -> Result<u64> {
    let mut disassembler = ctx.disassembler()?;
    let (shortest, longest) = (disassembler.shortest() as u64, disassembler.longest() as u64);
    if shortest == longest {
        return Ok(end.saturating_sub(count.saturating_mul(shortest)));
    }
    // More than that is no request of somebody who reads.
    let reach = count.min(1 << 16).saturating_mul(longest).min(end);
    let start = end - reach;
    let reach = reach as usize;
    let mut bytes = vec![0; reach + longest as usize];
    ctx.read_into(start, &mut bytes)?;
    // For each place: how many instructions lead from it to the end; 0: none do.
    let mut steps = vec![0u64; reach + 1];
    let mut instruction = Instruction::default();
    for at in (0..reach).rev() {
        // What cannot be decoded leads nowhere.
        if disassembler.one(start + at as u64, &bytes[at..], &mut instruction) {
            let next = at + instruction.size as usize;
            steps[at] = match steps.get(next) {
                Some(_) if next == reach => 1,
                Some(&steps) if steps > 0 => steps + 1,
                _ => 0,
            };
        }
    }
    let sizes = |from: usize, skip: u64, disassembler: &mut dyn Disassembler| {
        let (mut at, mut instruction) = (from, Instruction::default());
        for _ in 0..skip {
            disassembler.one(start + at as u64, &bytes[at..], &mut instruction);
            at += instruction.size as usize;
        }
        start + at as u64
    };
    let flags: Vec<u64> = ctx.core.flags.visible_between(start, end).map(|flag| flag.address).collect();
    for flag in flags.into_iter().rev() {
        let at = (flag - start) as usize;
        if steps[at] >= count {
            return Ok(sizes(at, steps[at] - count, &mut *disassembler));
        }
    }
    if let Some(at) = (0..reach).rev().find(|at| steps[*at] == count) {
        return Ok(start + at as u64);
    }
    // Fewer than that lead here: all of them.
    let most = (0..reach).max_by_key(|at| (steps[*at], *at)).filter(|at| steps[*at] > 0);
    Ok(most.map_or(end, |at| start + at as u64))
}
