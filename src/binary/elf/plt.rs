//! The stubs through which a program calls what it imports: found by decoding where each one jumps.

use std::collections::HashMap;
use std::ops::Range;

use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader, Rel as _, Rela as _};

use super::file::{File, Form, Patches};

/// The sections with stubs; those that callers use before those that only bind lazily.
const STUBS: [&str; 3] = [".plt.sec", ".plt", ".plt.got"];

/// So many relocations without a symbol in a row end the search from the back: linkers sort them to the front.
const WITHOUT_SYMBOL: usize = 64;

/// Entries of a large table that are looked at from its end.
const TAIL: u64 = 48 * 1024;

impl<Elf: FileHeader<Endian = Endianness>> File<'_, '_, Elf> {
    /// Where the stubs and what they jump through are described.
    pub(super) fn stub_ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = STUBS.iter().filter_map(|name| self.range_of(name)).collect();
        for name in [".rela.plt", ".rel.plt", ".rela.dyn", ".rel.dyn"] {
            ranges.extend(self.range_of(name).map(|range| tail(&range)));
        }
        ranges
    }

    /// The virtual address of the stub of each dynamic symbol that has one, by the symbol's number.
    pub(super) fn stubs(&mut self) -> HashMap<u32, u64> {
        let slots = self.slots();
        let mut stubs = HashMap::new();
        if slots.is_empty() {
            return stubs;
        }
        for name in STUBS {
            let Some(section) = self.object.section(name) else { continue };
            let base = section.vaddr.wrapping_sub(self.object.shift);
            let Some(range) = self.range_of(name) else { continue };
            let code = self.bytes(range);
            let entry = if name == ".plt.got" { 8 } else { 16 };
            for (offset, slot) in self.jumps(code, base, entry) {
                if let Some(symbol) = slots.get(&slot) {
                    stubs.entry(*symbol).or_insert(section.vaddr.wrapping_add(offset));
                }
            }
        }
        stubs
    }

    /// The symbol that each slot of the global offset table is filled with, by the slot's address in the file.
    fn slots(&mut self) -> HashMap<u64, u32> {
        let mut slots = HashMap::new();
        let dynamic = self.section_of_type(elf::SHT_DYNSYM).map(|(index, _)| index);
        let tables: Vec<Patches> =
            self.patches().into_iter().filter(|table| table.form != Form::Relr && table.symbols == dynamic).collect();
        for table in tables {
            let entry = match table.form {
                Form::Rela => size_of::<Elf::Rela>(),
                _ => size_of::<Elf::Rel>(),
            } as u64;
            // Aligned to whole entries, seen from the front.
            let tail = tail(&table.range);
            let start = table.range.start + (tail.start - table.range.start).div_ceil(entry) * entry;
            let mut run = 0;
            let found: Vec<(u64, u32)> = if table.form == Form::Rela {
                let list: &[Elf::Rela] = self.array("relocations", start..table.range.end);
                list.iter().map(|r| (r.r_offset(self.endian).into(), r.r_sym(self.endian, self.mips64el))).collect()
            } else {
                let list: &[Elf::Rel] = self.array("relocations", start..table.range.end);
                list.iter().map(|r| (r.r_offset(self.endian).into(), r.r_sym(self.endian))).collect()
            };
            for (offset, symbol) in found.into_iter().rev() {
                run = if symbol == 0 { run + 1 } else { 0 };
                if symbol != 0 {
                    slots.insert(offset, symbol);
                }
                if run > WITHOUT_SYMBOL {
                    break;
                }
            }
        }
        slots
    }

    /// The jumps through memory in `code`: the offset of the stub, and the address of the slot. Not every one is a
    /// slot: the caller knows which are.
    fn jumps(&self, code: &[u8], base: u64, entry: usize) -> Vec<(u64, u64)> {
        match self.machine {
            elf::EM_X86_64 | elf::EM_386 => {
                let got = [".got.plt", ".got"].iter().find_map(|name| self.object.section(name));
                let got = got.map(|section| section.vaddr.wrapping_sub(self.object.shift));
                x86(code, base, entry, self.machine == elf::EM_X86_64, got)
            }
            elf::EM_AARCH64 => words(code, |at, words| aarch64(base.wrapping_add(at), words)),
            elf::EM_ARM => words(code, |at, words| arm(base.wrapping_add(at), words)),
            elf::EM_RISCV => words(code, |at, words| riscv(base.wrapping_add(at), words)),
            elf::EM_S390 => s390(code, base),
            _ => Vec::new(),
        }
    }
}

/// The end of a long table.
fn tail(range: &Range<u64>) -> Range<u64> {
    range.start.max(range.end.saturating_sub(TAIL))..range.end
}

/// `jmp [rip+disp]` (`ff 25`), on 32 bits `jmp [abs]`, or `jmp [ebx+disp]` (`ff a3`) in position-independent code.
fn x86(code: &[u8], base: u64, entry: usize, long: bool, got: Option<u64>) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    for at in memchr::memchr_iter(0xff, code) {
        let Some(&[kind, a, b, c, d]) = code.get(at + 1..at + 6).and_then(|bytes| bytes.first_chunk()) else { break };
        let operand = i64::from(i32::from_le_bytes([a, b, c, d])) as u64;
        let slot = match (kind, long) {
            (0x25, true) => base.wrapping_add(at as u64 + 6).wrapping_add(operand),
            (0x25, false) => operand & 0xffff_ffff,
            (0xa3, false) => match got {
                Some(got) => got.wrapping_add(operand) & 0xffff_ffff,
                None => continue,
            },
            _ => continue,
        };
        let wide = at / 16 * 16;
        let marked = code[wide..].starts_with(&[0xf3, 0x0f, 0x1e]);
        let start = if entry == 8 && !marked { at / 8 * 8 } else { wide };
        found.push((start as u64, slot));
    }
    found
}

/// Looks at every place where four instructions begin.
fn words(code: &[u8], decode: impl Fn(u64, [u32; 3]) -> Option<u64>) -> Vec<(u64, u64)> {
    let word = |at: usize| code.get(at..at + 4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let mut found = Vec::new();
    for at in (0..code.len()).step_by(4) {
        let (Some(first), Some(second)) = (word(at), word(at + 4)) else { break };
        if let Some(slot) = decode(at as u64, [first, second, word(at + 8).unwrap_or(0)]) {
            // `bti c` belongs to the stub.
            let marked = at >= 4 && word(at - 4) == Some(0xd503_245f);
            found.push((at as u64 - if marked { 4 } else { 0 }, slot));
        }
    }
    found
}

/// `adrp x16, page; ldr x17, [x16, #offset]`.
fn aarch64(pc: u64, [adrp, load, _]: [u32; 3]) -> Option<u64> {
    if adrp & 0x9f00_001f != 0x9000_0010 || load & 0xffc0_03ff != 0xf940_0211 {
        return None;
    }
    let immediate = (i64::from((adrp >> 5) & 0x7_ffff) << 2) | i64::from((adrp >> 29) & 3);
    let pages = immediate << 43 >> 43;
    let page = (pc & !0xfff).wrapping_add((pages << 12) as u64);
    Some(page.wrapping_add(u64::from((load >> 10) & 0xfff) * 8))
}

/// `add ip, pc, #a; add ip, ip, #b; ldr pc, [ip, #c]!`.
fn arm(pc: u64, [first, second, load]: [u32; 3]) -> Option<u64> {
    if first & 0xffff_f000 != 0xe28f_c000 || second & 0xffff_f000 != 0xe28c_c000 || load & 0xffff_f000 != 0xe5bc_f000 {
        return None;
    }
    let immediate = |word: u32| (word & 0xff).rotate_right((word >> 8 & 0xf) * 2);
    let offset = immediate(first).wrapping_add(immediate(second)).wrapping_add(load & 0xfff);
    Some(u64::from((pc as u32).wrapping_add(8).wrapping_add(offset)))
}

/// `auipc t3, a; l[wd] t3, b(t3)`.
fn riscv(pc: u64, [auipc, load, _]: [u32; 3]) -> Option<u64> {
    if auipc & 0xfff != 0xe17 || !matches!(load & 0xf_ffff, 0xe_3e03 | 0xe_2e03) {
        return None;
    }
    let high = i64::from((auipc & 0xffff_f000) as i32);
    let low = i64::from((load as i32) >> 20);
    Some(pc.wrapping_add(high as u64).wrapping_add(low as u64))
}

/// `larl %r1, slot`.
fn s390(code: &[u8], base: u64) -> Vec<(u64, u64)> {
    let decode = |(index, entry): (usize, &[u8])| {
        let &[0xc0, 0x10, a, b, c, d] = entry.first_chunk()? else { return None };
        let at = index as u64 * 32;
        let offset = i64::from(i32::from_be_bytes([a, b, c, d])) * 2;
        Some((at, base.wrapping_add(at).wrapping_add(offset as u64)))
    };
    code.chunks(32).enumerate().filter_map(decode).collect()
}
