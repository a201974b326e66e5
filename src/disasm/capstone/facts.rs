//! What an instruction says, read from its text. Capstone's own details differ from architecture to architecture and
//! cost an allocation for each instruction; its text is uniform: a mnemonic, and operands with absolute targets.

use crate::disasm::{Base, Instruction, Kind, Names, Text, Use};

use super::kinds;

/// How an architecture writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    Arm,
    Thumb,
    Arm64,
    Mips,
    Ppc,
    Riscv,
    Sparc,
    Other,
}

/// Reads instructions of one architecture.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    machine: Machine,
}

impl Reading {
    /// For the architecture `name` with `bits`.
    pub fn of(name: &str, bits: u32) -> Reading {
        let machine = match (name, bits) {
            ("arm", 64) => Machine::Arm64,
            ("arm", 16) => Machine::Thumb,
            ("arm", _) => Machine::Arm,
            ("mips", _) => Machine::Mips,
            ("ppc", _) => Machine::Ppc,
            ("riscv", _) => Machine::Riscv,
            ("sparc", _) => Machine::Sparc,
            _ => Machine::Other,
        };
        Reading { machine }
    }

    /// Fills `into`, which has its address and size, with what `text` says.
    pub fn read(self, text: &Text, into: &mut Instruction) {
        let (mnemonic, operands) = (text.mnemonic.as_str(), text.operands.as_str());
        let found = kinds::kind(self.machine, mnemonic, operands);
        into.kind = found.kind;
        into.conditional = found.conditional;
        into.family = kinds::family(self.machine, mnemonic, found.kind);
        let last = numbers(operands).last();
        into.value = numbers(operands).next().map(|number| number.value);
        if matches!(into.kind, Kind::Jmp | Kind::Call | Kind::Cjmp | Kind::Ccall) {
            into.jump = last.as_ref().map(|number| self.target(into.address, number.value));
            into.value = None;
            if matches!(self.machine, Machine::Mips | Machine::Sparc) {
                into.delay = u32::from(!mnemonic.ends_with('c') || self.machine == Machine::Sparc);
            }
        } else if matches!(self.machine, Machine::Mips | Machine::Sparc)
            && (into.kind.is_jump() || into.kind.is_call() || into.kind.is_return())
        {
            into.delay = 1;
        }
        if into.conditional || into.kind.is_call() {
            into.fail = Some(into.next().wrapping_add(u64::from(into.delay) * 4));
        }
        self.memory(mnemonic, operands, into);
        self.stack(mnemonic, operands, into);
    }

    /// The address that the number in a jump means: Capstone tells all but those of RISC-V as they are.
    fn target(self, address: u64, value: u64) -> u64 {
        if self.machine == Machine::Riscv { address.wrapping_add(value) } else { value }
    }

    fn memory(self, mnemonic: &str, operands: &str, into: &mut Instruction) {
        let access = match into.kind {
            Kind::Load => Use::Read,
            Kind::Store => Use::Write,
            _ => Use::Address,
        };
        match self.machine {
            Machine::Arm64 if matches!(mnemonic, "adr" | "adrp") => {
                into.kind = Kind::Lea;
                into.pointer = into.value;
                into.memory_use = Use::Address;
                return;
            }
            // A literal beside the code.
            Machine::Arm64 if into.kind == Kind::Load && !operands.contains('[') => {
                into.pointer = into.value;
                into.memory_use = Use::Read;
                return;
            }
            Machine::Arm | Machine::Thumb if operands.contains("[pc, #") => {
                let ahead = if self.machine == Machine::Thumb { 4 } else { 8 };
                let base = into.address.wrapping_add(ahead) & !3;
                if let Some(offset) = numbers(operands).last() {
                    into.pointer = Some(base.wrapping_add(offset.value) & 0xffff_ffff);
                    into.memory_use = access;
                    into.memory_size = width(mnemonic);
                    into.value = None;
                }
                return;
            }
            _ => {}
        }
        let Some((base, displacement)) = self.place(operands) else { return };
        into.memory_use = access;
        into.memory_size = width(mnemonic);
        into.local = Some((base, displacement));
        into.value = None;
    }

    /// A place told from the frame or stack pointer: `[sp, #8]`, `[x29, #-4]`, `8(sp)`, `-0x14($fp)`.
    fn place(self, operands: &str) -> Option<(Base, i64)> {
        let (register, offset) = match self.machine {
            Machine::Arm | Machine::Thumb | Machine::Arm64 => {
                let inside = operands.split_once('[')?.1.split_once(']')?.0;
                match inside.split_once(", ") {
                    Some((register, offset)) => (register, signed(offset.strip_prefix('#')?)?),
                    None => (inside, 0),
                }
            }
            Machine::Mips | Machine::Riscv | Machine::Ppc => {
                let (before, inside) = operands.split_once('(')?;
                let register = inside.split_once(')')?.0;
                let offset = before.rsplit([' ', ',']).next()?;
                (register.trim_start_matches('$'), if offset.is_empty() { 0 } else { signed(offset)? })
            }
            _ => return None,
        };
        let base = match (self.machine, register) {
            (_, "sp") | (Machine::Ppc, "r1" | "1") => Base::Stack,
            (Machine::Arm64, "x29" | "fp") | (Machine::Mips, "fp" | "s8") | (Machine::Riscv, "s0" | "fp") => {
                Base::Frame
            }
            (Machine::Arm, "fp" | "r11") | (Machine::Thumb, "r7") | (Machine::Ppc, "r31" | "31") => Base::Frame,
            _ => return None,
        };
        Some((base, offset))
    }

    fn stack(self, mnemonic: &str, operands: &str, into: &mut Instruction) {
        let word = if self.machine == Machine::Arm64 { 8 } else { 4 };
        into.stack = match self.machine {
            Machine::Arm | Machine::Thumb if into.kind == Kind::Push => registers(operands) * word,
            Machine::Arm | Machine::Thumb if into.kind == Kind::Pop || mnemonic.starts_with("pop") => {
                -registers(operands) * word
            }
            Machine::Arm64 | Machine::Arm | Machine::Thumb => {
                let rest = operands.strip_prefix("sp, ");
                let by = rest.and_then(|rest| rest.rsplit(", ").next()?.strip_prefix('#')).and_then(signed);
                match (mnemonic.starts_with("sub"), mnemonic.starts_with("add"), by) {
                    (true, _, Some(by)) => by,
                    (_, true, Some(by)) => by.wrapping_neg(),
                    // `[sp, #-0x20]!` moves it first, `[sp], #0x20` after.
                    _ if operands.ends_with("]!") && operands.contains("[sp, ") => {
                        into.local.map_or(0, |(_, by)| by.wrapping_neg())
                    }
                    _ => match operands.split_once("[sp], #").and_then(|(_, by)| signed(by)) {
                        Some(by) => by.wrapping_neg(),
                        None => 0,
                    },
                }
            }
            Machine::Mips | Machine::Riscv => {
                let grown =
                    ["$sp, $sp, ", "sp, sp, ", "$sp, ", "sp, "].iter().find_map(|start| operands.strip_prefix(start));
                match grown.and_then(signed) {
                    Some(by) if matches!(mnemonic, "addiu" | "daddiu" | "addi" | "c.addi" | "c.addi16sp") => {
                        by.wrapping_neg()
                    }
                    _ => 0,
                }
            }
            Machine::Ppc if matches!(mnemonic, "stwu" | "stdu") => into.local.map_or(0, |(_, by)| by.wrapping_neg()),
            _ => 0,
        };
    }

    /// Writes the operands with names for what the instruction points to.
    pub fn write(self, text: &Text, instruction: &Instruction, names: &dyn Names, into: &mut String) {
        let operands = text.operands.as_str();
        let target = instruction.jump.and_then(|target| {
            let number = numbers(operands).last()?;
            Some((number.start, number.end, shown(names.code(target), target, 1)))
        });
        let replaced = target
            .or_else(|| self.memory_named(operands, instruction, names))
            .or_else(|| self.local_named(operands, instruction, names))
            .or_else(|| {
                let number = numbers(operands).next()?;
                let name = names.immediate(instruction.value?)?;
                Some((number.start, number.end, name.to_string()))
            });
        match replaced {
            Some((start, end, name)) => {
                self.push(&operands[..start], into);
                into.push_str(&name);
                self.push(&operands[end..], into);
            }
            None => self.push(operands, into),
        }
    }

    /// Appends a part of operands: ARM's sign before numbers is left out.
    fn push(self, operands: &str, into: &mut String) {
        match self.machine {
            Machine::Arm | Machine::Thumb | Machine::Arm64 => operands.split('#').for_each(|part| into.push_str(part)),
            _ => into.push_str(operands),
        }
    }

    /// Where the memory that the instruction names stands in `operands`, and what stands for it.
    fn memory_named(
        self,
        operands: &str,
        instruction: &Instruction,
        names: &dyn Names,
    ) -> Option<(usize, usize, String)> {
        let pointer = instruction.pointer?;
        let name = names.memory(pointer);
        if let Some(start) = operands.find("[pc, #") {
            let end = start + operands[start..].find(']')?;
            return (name.is_some() || names.absolute()).then(|| (start + 1, end, shown(name, pointer, 8)));
        }
        let number = numbers(operands).next()?;
        Some((number.start, number.end, name?.to_string()))
    }

    /// The same for a place on the stack.
    fn local_named(
        self,
        operands: &str,
        instruction: &Instruction,
        names: &dyn Names,
    ) -> Option<(usize, usize, String)> {
        let (base, displacement) = instruction.local?;
        let name = names.local(instruction.address, base, displacement)?.to_string();
        if let Some((start, end)) = operands.find('[').zip(operands.find(']')) {
            return (start < end).then_some((start + 1, end, name));
        }
        let open = operands.find('(')?;
        let start = operands[..open].rfind([' ', ',']).map_or(0, |at| at + 1);
        Some((start, open, name))
    }
}

/// A name, or the address that has none.
fn shown(name: Option<&str>, address: u64, digits: usize) -> String {
    name.map_or_else(|| format!("0x{address:0digits$x}"), str::to_string)
}

/// Bytes of memory that a load or store named so moves; 0: not known.
fn width(mnemonic: &str) -> u32 {
    match mnemonic {
        _ if mnemonic.starts_with("ldrb") || mnemonic.starts_with("strb") || mnemonic.starts_with("ldrsb") => 1,
        _ if mnemonic.starts_with("ldrh") || mnemonic.starts_with("strh") || mnemonic.starts_with("ldrsh") => 2,
        "lb" | "lbu" | "sb" | "lbz" | "stb" => 1,
        "lh" | "lhu" | "sh" | "lhz" | "lha" | "sth" => 2,
        "lw" | "lwu" | "sw" | "lwz" | "stw" | "stwu" | "c.lw" | "c.sw" | "c.lwsp" | "c.swsp" | "ldrsw" | "flw"
        | "fsw" => 4,
        "ld" | "sd" | "std" | "stdu" | "c.ld" | "c.sd" | "c.ldsp" | "c.sdsp" | "fld" | "fsd" => 8,
        _ => 0,
    }
}

/// How many registers a list such as `{r4, r5, lr}` names.
fn registers(operands: &str) -> i64 {
    let inside = operands.trim_start_matches('{').trim_end_matches('}');
    inside.split(", ").filter(|name| !name.is_empty()).count() as i64
}

/// A number in operands.
#[derive(Debug, Clone, Copy)]
pub struct Number {
    /// Where its digits begin (or the sign).
    pub start: usize,
    /// Where they end.
    pub end: usize,
    /// Two's complement.
    pub value: u64,
}

/// The numbers in `operands`, which are not parts of names: `x0`, `r11` and `v0.4s` hold none.
pub fn numbers(operands: &str) -> impl Iterator<Item = Number> + '_ {
    let bytes = operands.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let start = at;
            let fresh = start == 0
                || !(bytes[start - 1].is_ascii_alphanumeric() || matches!(bytes[start - 1], b'.' | b'_' | b'$' | b'%'));
            let digits = start + usize::from(bytes[start] == b'-');
            if fresh && bytes.get(digits).is_some_and(u8::is_ascii_digit) {
                let mut end = digits;
                while end < bytes.len() && bytes[end].is_ascii_alphanumeric() {
                    end += 1;
                }
                at = end;
                if let Some(value) = signed(&operands[start..end]) {
                    return Some(Number { start, end, value: value as u64 });
                }
            }
            at += 1;
        }
        None
    })
}

/// `12`, `-0x14`: a number as two's complement.
fn signed(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if negative { (value as i64).wrapping_neg() } else { value as i64 })
}
