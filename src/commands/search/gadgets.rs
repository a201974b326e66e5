//! `/R`: gadgets for return-oriented programming: short runs of instructions that end in a jump to somewhere chosen.

use std::collections::HashSet;
use std::io::{self, Write};

use regex::{Regex, RegexBuilder};
use serde::Serialize;

use super::hunt::Memory;
use super::range;
use crate::disasm::{self, Disassembler, Instruction, Kind as Does, Text};
use crate::error::{Error, Kind, Result};
use crate::io::scan::{Source, Stretch};
use crate::output::{Item, Out, Style};
use crate::session::context::Args;
use crate::session::{Ctx, Session, disassembly};

/// Bytes that are looked at together.
const CHUNK: usize = 256 * 1024;

/// Most instructions of a gadget, with its end.
const LONGEST: usize = 5;

/// Most bytes before the end of a gadget.
const REACH: usize = 48;

/// Most different gadgets that are told from repetitions.
const REMEMBERED: usize = 1 << 20;

#[derive(Serialize)]
struct Opcode {
    offset: u64,
    size: u32,
    opcode: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip)]
    bytes: String,
}

#[derive(Serialize)]
struct Gadget {
    opcodes: Vec<Opcode>,
    retaddr: u64,
    size: u64,
}

impl Item for Gadget {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        for Opcode { offset, bytes, opcode, .. } in &self.opcodes {
            writeln!(out, "  0x{offset:08x} {bytes:>18}  {opcode}")?;
        }
        writeln!(out)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        let first = self.opcodes.first().map_or(0, |opcode| opcode.offset);
        write!(out, "0x{first:08x}:")?;
        self.opcodes.iter().try_for_each(|opcode| write!(out, " {};", opcode.opcode))?;
        writeln!(out)
    }
}

/// Lists gadgets; with `expression`, those that have an instruction which it matches.
pub fn list(session: &mut Session, args: &Args, out: &mut Out<'_>, expression: bool) -> Result<()> {
    let filter = filter(&args.text, expression)?;
    let (settings, extents, most) = session.with(|core, view| {
        let mut ctx = Ctx { core, view, out, args };
        let most = ctx.option_number("search.maxhits");
        Ok::<_, Error>((disassembly::settings(ctx.core, ctx.view), range::code(&mut ctx)?, most))
    })?;
    let mut hunt =
        Hunt { disassembler: disasm::disassembler(&settings)?, filter, seen: HashSet::new(), count: 0, most };
    let mut buffer = vec![0; CHUNK];
    for extent in extents {
        let progress = out.progress("searching", extent.length());
        let mut next = Some(extent.first);
        while let Some(address) = next {
            progress.at(address - extent.first);
            out.cancel().check()?;
            let left = (extent.last - address).saturating_add(1);
            let room = CHUNK.min(usize::try_from(left).unwrap_or(CHUNK));
            let count = match Memory(session).stretch(address, &mut buffer[..room])? {
                Stretch::Data(count) if count > 0 => count.min(room),
                Stretch::Zeros(count) | Stretch::Hole(count) if count > 0 => {
                    next = address.checked_add(count).filter(|next| *next <= extent.last);
                    continue;
                }
                _ => break,
            };
            hunt.look(address, &buffer[..count], out)?;
            if hunt.is_done() {
                break;
            }
            // What ends near the start of the next chunk begins in this one.
            let done = if count > 4 * REACH && (count as u64) < left { count - 2 * REACH } else { count };
            next = address.checked_add(done as u64).filter(|next| *next <= extent.last);
        }
        if hunt.is_done() {
            break;
        }
    }
    session.view.last = hunt.count;
    Ok(())
}

fn filter(text: &str, expression: bool) -> Result<Option<Regex>> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let pattern = if expression { text.to_string() } else { regex::escape(text) };
    RegexBuilder::new(&pattern)
        .size_limit(1 << 20)
        .build()
        .map(Some)
        .map_err(|_| Error::new(Kind::Usage, format!("bad regular expression '{}'", crate::output::visible(text))))
}

struct Hunt {
    disassembler: Box<dyn Disassembler>,
    filter: Option<Regex>,
    /// Digests of the gadgets that were shown: each is shown once.
    seen: HashSet<u64>,
    count: u64,
    most: u64,
}

impl Hunt {
    fn is_done(&self) -> bool {
        self.most > 0 && self.count >= self.most
    }

    /// Shows the gadgets in `bytes`, which lie at `address`.
    fn look(&mut self, address: u64, bytes: &[u8], out: &mut Out<'_>) -> Result<()> {
        let step = self.disassembler.alignment().max(1);
        let first = (step - (address % step as u64) as usize) % step;
        let mut end = Instruction::default();
        for at in (first..bytes.len()).step_by(step) {
            if at % 4096 == 0 {
                out.cancel().check()?;
            }
            let there = self.disassembler.one(address.wrapping_add(at as u64), &bytes[at..], &mut end);
            if there && is_end(&end) {
                self.before(address, bytes, at, &end, out)?;
                if self.is_done() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Shows the gadgets that end with `end`, which lies at offset `at`; the longest first.
    fn before(&mut self, address: u64, bytes: &[u8], at: usize, end: &Instruction, out: &mut Out<'_>) -> Result<()> {
        let step = self.disassembler.alignment().max(1);
        let reach = at.min(REACH.max(step * (LONGEST - 1)));
        // Where instructions of gadgets that were shown begin: from there on it is the same gadget.
        let mut inside: HashSet<usize> = HashSet::new();
        for back in (1..=reach).rev().filter(|back| back % step == 0) {
            let start = at - back;
            if inside.contains(&start) {
                continue;
            }
            let Some(starts) = self.run(address, bytes, start, at) else { continue };
            let gadget = self.gadget(address, bytes, &starts, at, end);
            inside.extend(&starts);
            if !self.is_new(&gadget) {
                continue;
            }
            self.count += 1;
            out.item(&gadget)?;
            if self.is_done() {
                break;
            }
        }
        Ok(())
    }

    /// The offsets of the instructions from `start` on, if one ends right at `at` and all of them just go on.
    fn run(&mut self, address: u64, bytes: &[u8], start: usize, at: usize) -> Option<Vec<usize>> {
        let (mut here, mut starts) = (start, Vec::new());
        let mut instruction = Instruction::default();
        while here < at {
            if starts.len() == LONGEST - 1
                || !self.disassembler.one(address.wrapping_add(here as u64), &bytes[here..], &mut instruction)
            {
                return None;
            }
            let goes_on = instruction.falls_through() && !instruction.kind.is_call() && !instruction.kind.is_jump();
            if !goes_on || instruction.kind.is_return() {
                return None;
            }
            starts.push(here);
            here += instruction.size as usize;
        }
        (here == at).then_some(starts)
    }

    fn gadget(&mut self, address: u64, bytes: &[u8], starts: &[usize], at: usize, end: &Instruction) -> Gadget {
        let mut opcodes = Vec::with_capacity(starts.len() + 1);
        let mut text = Text::default();
        let mut instruction = Instruction::default();
        for here in starts.iter().copied().chain([at]) {
            if !self.disassembler.one(address.wrapping_add(here as u64), &bytes[here..], &mut instruction) {
                break;
            }
            self.disassembler.text(0, &(), &mut text);
            let size = (instruction.size as usize).min(bytes.len() - here);
            opcodes.push(Opcode {
                offset: instruction.address,
                size: instruction.size,
                opcode: text.to_string(),
                kind: instruction.kind.name(),
                bytes: faster_hex::hex_string(&bytes[here..here + size]),
            });
        }
        let size = opcodes.iter().map(|opcode| u64::from(opcode.size)).sum();
        Gadget { opcodes, retaddr: end.address, size }
    }

    /// Whether a gadget is wanted, and was not shown before.
    fn is_new(&mut self, gadget: &Gadget) -> bool {
        let wanted =
            self.filter.as_ref().is_none_or(|filter| gadget.opcodes.iter().any(|o| filter.is_match(&o.opcode)));
        if !wanted {
            return false;
        }
        let mut digest = xxhash_rust::xxh64::Xxh64::new(0);
        for opcode in &gadget.opcodes {
            digest.update(opcode.opcode.as_bytes());
            digest.update(b"\n");
        }
        self.seen.len() >= REMEMBERED || self.seen.insert(digest.digest())
    }
}

/// Whether control goes from here to an address that a register or the stack chooses.
fn is_end(instruction: &Instruction) -> bool {
    match instruction.kind {
        Does::Ret => true,
        Does::Ujmp | Does::Rjmp | Does::Ucall | Does::Rcall => instruction.pointer.is_none(),
        _ => false,
    }
}
