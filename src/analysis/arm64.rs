//! Steps through AArch64 code. Encodings: Arm Architecture Reference Manual for A-profile, C4.1.

use super::memory::Memory;
use super::step::{Flow, Step, Stepper, TABLE_LIMIT, Table};
use crate::error::Result;

/// How many instructions before an indirect jump are looked at.
const HISTORY: usize = 32;

/// The stepper.
#[derive(Default)]
pub struct Arm64 {
    /// Words that were stepped over with their addresses, the latest last, without gaps.
    history: Vec<(u64, u32)>,
    /// What `adrp` put into registers since the last gap.
    pages: [Option<u64>; 32],
}

/// `bits` bits of `word` from bit `low`, sign extended.
fn signed(word: u32, low: u32, bits: u32) -> i64 {
    i64::from((word >> low) << (32 - bits)) << 32 >> (64 - bits)
}

fn register(word: u32, low: u32) -> usize {
    (word >> low & 31) as usize
}

impl Arm64 {
    fn remember(&mut self, address: u64, word: u32) {
        if self.history.last().is_some_and(|(last, _)| last.wrapping_add(4) != address) {
            self.history.clear();
            self.pages = [None; 32];
        }
        if self.history.len() == 2 * HISTORY {
            self.history.drain(..HISTORY);
        }
        self.history.push((address, word));
    }

    /// The address that an instruction completes or names, and whether it is only taken.
    fn pointer(&mut self, address: u64, word: u32) -> Option<(u64, bool)> {
        if word & 0x9f00_0000 == 0x9000_0000 {
            // adrp
            let offset = (signed(word, 5, 19) << 2 | i64::from(word >> 29 & 3)) << 12;
            self.pages[register(word, 0)] = Some((address & !0xfff).wrapping_add(offset as u64));
            return None;
        }
        if word & 0x9f00_0000 == 0x1000_0000 {
            // adr
            let offset = signed(word, 5, 19) << 2 | i64::from(word >> 29 & 3);
            self.pages[register(word, 0)] = None;
            return Some((address.wrapping_add(offset as u64), true));
        }
        if word & 0xff80_0000 == 0x9100_0000 {
            // add Xd, Xn, #imm
            let page = self.pages[register(word, 5)];
            let shift = if word & 0x40_0000 != 0 { 12 } else { 0 };
            let sum = page.map(|page| page.wrapping_add(u64::from(word >> 10 & 0xfff) << shift));
            self.pages[register(word, 0)] = None;
            return sum.map(|sum| (sum, true));
        }
        if word & 0x3b00_0000 == 0x3900_0000 {
            // ldr/str with an unsigned offset, scaled by the size (vectors of 16 bytes have opc<1> set)
            let quad = word & 0x04800000 == 0x04800000 && word >> 30 == 0;
            let scale = if quad { 4 } else { word >> 30 };
            let page = self.pages[register(word, 5)];
            if word & 0x0440_0000 == 0x0040_0000 {
                self.pages[register(word, 0)] = None;
            }
            return page.map(|page| (page.wrapping_add(u64::from(word >> 10 & 0xfff) << scale), false));
        }
        if word & 0x3b00_0000 == 0x1800_0000 {
            // ldr (literal)
            return Some((address.wrapping_add((signed(word, 5, 19) << 2) as u64), false));
        }
        // mov and most others write the register in the low bits; what is not known is forgotten by calls below.
        None
    }
}

impl Stepper for Arm64 {
    fn step(&mut self, address: u64, bytes: &[u8]) -> Option<Step> {
        let word = u32::from_le_bytes(*bytes.first_chunk()?);
        // The upper quarter of op0 0 is reserved but udf; all zeros are padding.
        if word >> 16 == 0 || address & 3 != 0 {
            return None;
        }
        self.remember(address, word);
        let to = |offset: i64| Some(address.wrapping_add(offset as u64));
        let (flow, target) = if word & 0x7c00_0000 == 0x1400_0000 {
            let target = to(signed(word, 0, 26) << 2);
            (if word >> 31 == 0 { Flow::Jump } else { Flow::Call }, target)
        } else if word & 0xff00_0000 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 {
            // b.cond, cbz, cbnz
            (Flow::Branch, to(signed(word, 5, 19) << 2))
        } else if word & 0x7e00_0000 == 0x3600_0000 {
            // tbz, tbnz
            (Flow::Branch, to(signed(word, 5, 14) << 2))
        } else if word & 0xfe00_0000 == 0xd600_0000 {
            // br, blr, ret and the forms that check pointers
            match word >> 21 & 0xf {
                0 | 8 => (Flow::IndirectJump, None),
                1 | 9 => (Flow::IndirectCall, None),
                2 | 4 | 5 => (Flow::Return, None),
                _ => return None,
            }
        } else if word & 0xffe0_001f == 0xd420_0000 || word & 0xffe0_001f == 0xd440_0000 {
            // brk, hlt
            (Flow::Trap, None)
        } else {
            (Flow::Next, None)
        };
        let pointer = if flow == Flow::Next { self.pointer(address, word) } else { None };
        if matches!(flow, Flow::Call | Flow::IndirectCall) {
            // A call keeps x19 to x28 alone (AAPCS64 6.1.1).
            self.pages[..19].fill(None);
        }
        let memory = pointer.map(|(pointer, _)| pointer);
        let takes_address = pointer.is_some_and(|(_, taken)| taken);
        Some(Step { size: 4, flow, target, memory, immediate: None, takes_address })
    }

    /// gcc's form: `ldrb/ldrh/ldr w, [table, index]`, `adr x, base`, `add x, base, w, sxt #2`, `br x`.
    fn table(&mut self, memory: &mut Memory<'_>) -> Result<Option<Table>> {
        let Some(((_, jump), before)) = self.history.split_last() else { return Ok(None) };
        let Some(shape) = shape(*jump, before) else { return Ok(None) };
        let mut targets = Vec::new();
        for index in 0..shape.count as u64 {
            let at = shape.table.wrapping_add(index.wrapping_mul(shape.size as u64));
            let Some(value) = memory.number(at, shape.size)? else { break };
            let unused = 64 - 8 * shape.size as u32;
            let distance = if shape.is_signed { (value << unused) as i64 >> unused } else { value as i64 };
            let target = shape.base.wrapping_add((distance << 2) as u64);
            if !memory.is_code(target) {
                break;
            }
            targets.push(target);
        }
        Ok((!targets.is_empty()).then_some(Table { address: shape.table, targets }))
    }
}

struct Shape {
    table: u64,
    size: usize,
    is_signed: bool,
    base: u64,
    count: usize,
}

fn shape(jump: u32, before: &[(u64, u32)]) -> Option<Shape> {
    let target = register(jump, 5);
    let mut rest = before.iter().rev();
    // add Xt, Xbase, Wdistance, sxtb/sxth/uxt.. #2
    let (_, add) = rest.by_ref().find(|(_, word)| word & 0xffe0_0000 == 0x8b20_0000 && register(*word, 0) == target)?;
    let (base_register, distance) = (register(*add, 5), register(*add, 16));
    let is_signed = add >> 13 & 4 != 0;
    let (mut base, mut load) = (None, None);
    for (address, word) in rest.clone() {
        if base.is_none() && word & 0x9f00_0000 == 0x1000_0000 && register(*word, 0) == base_register {
            base = Some(address.wrapping_add((signed(*word, 5, 19) << 2 | i64::from(word >> 29 & 3)) as u64));
        }
        if load.is_none() && word & 0x3fe0_0c00 == 0x3860_0800 && register(*word, 0) == distance {
            load = Some((*address, *word));
        }
    }
    let (base, (place, load)) = (base?, load?);
    let (table_register, index) = (register(load, 5), register(load, 16));
    let earlier = || before.iter().rev().skip_while(move |(address, _)| *address >= place);
    let (_, low) =
        earlier().find(|(_, word)| word & 0xff80_0000 == 0x9100_0000 && register(*word, 0) == table_register)?;
    let source = register(*low, 5);
    let (at, high) = earlier().find(|(_, word)| word & 0x9f00_0000 == 0x9000_0000 && register(*word, 0) == source)?;
    let page = (signed(*high, 5, 19) << 2 | i64::from(high >> 29 & 3)) << 12;
    let table = (at & !0xfff).wrapping_add(page as u64).wrapping_add(u64::from(low >> 10 & 0xfff));
    // cmp Windex, #limit; b.hi
    let (_, compare) = earlier().find(|(_, word)| word & 0x7f80_001f == 0x7100_001f && register(*word, 5) == index)?;
    let count = (compare >> 10 & 0xfff) as usize + 1;
    (count <= TABLE_LIMIT).then_some(Shape { table, size: 1 << (load >> 30), is_signed, base, count })
}
