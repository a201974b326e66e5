//! Instructions that are carried out here instead of being stepped. Only those that move values between registers,
//! set flags and jump: nothing that reads or writes memory (others may change it at the same time) but the push to the
//! thread's own stack, and nothing that calls or returns (a shadow stack would not learn of it).

use iced_x86::{ConditionCode, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

use super::{ENCODED, General, RESUME_FLAG, TRAP_FLAG, Width, at};

/// Flags that arithmetic sets.
mod flag {
    pub const CARRY: u64 = 1;
    pub const PARITY: u64 = 1 << 2;
    pub const ADJUST: u64 = 1 << 4;
    pub const ZERO: u64 = 1 << 6;
    pub const SIGN: u64 = 1 << 7;
    pub const OVERFLOW: u64 = 1 << 11;
    pub const ALL: u64 = CARRY | PARITY | ADJUST | ZERO | SIGN | OVERFLOW;
}

/// Carries out the instruction in `code` on `registers`, when it is one of those. `false`: it is not, and nothing
/// has changed.
pub fn emulate(code: &[u8], registers: &mut General) -> bool {
    if registers.width() != Width::W64 || registers.0[at::EFLAGS] & TRAP_FLAG != 0 {
        return false;
    }
    let instruction = Decoder::with_ip(64, code, registers.pc(), DecoderOptions::NONE).decode();
    let plain = !instruction.is_invalid()
        && !instruction.has_lock_prefix()
        && !instruction.has_rep_prefix()
        && !instruction.has_repne_prefix()
        && instruction.segment_prefix() == Register::None;
    let mut after = *registers;
    after.set_pc(instruction.next_ip());
    if !plain || carry_out(&instruction, &mut after).is_none() {
        return false;
    }
    after.0[at::EFLAGS] &= !RESUME_FLAG;
    after.0[at::ORIG_RAX] = u64::MAX;
    *registers = after;
    true
}

fn carry_out(instruction: &Instruction, registers: &mut General) -> Option<()> {
    let eflags = registers.0[at::EFLAGS];
    match instruction.mnemonic() {
        Mnemonic::Nop if instruction.op_count() == 0 || instruction.op0_kind() != OpKind::Memory => {}
        Mnemonic::Lea => {
            let address = instruction.virtual_address(1, 0, |register, _, _| match register {
                Register::DS | Register::SS | Register::ES | Register::CS => Some(0),
                register => read(registers, register),
            })?;
            write(registers, instruction.op0_register(), address)?;
        }
        Mnemonic::Mov => {
            let value = source(instruction, registers)?;
            write(registers, target(instruction)?, value)?;
        }
        Mnemonic::Movzx => {
            let value = source(instruction, registers)?;
            write(registers, target(instruction)?, value)?;
        }
        Mnemonic::Movsx | Mnemonic::Movsxd => {
            let value = source(instruction, registers)?;
            let shift = 64 - 8 * instruction.op1_register().size() as u32;
            write(registers, target(instruction)?, ((value << shift) as i64 >> shift) as u64)?;
        }
        mnemonic @ (Mnemonic::Add
        | Mnemonic::Sub
        | Mnemonic::Cmp
        | Mnemonic::And
        | Mnemonic::Or
        | Mnemonic::Xor
        | Mnemonic::Test) => {
            let place = target(instruction)?;
            let (left, right) = (read(registers, place)?, source(instruction, registers)?);
            let (result, flags) = calculate(mnemonic, left, right, 8 * place.size() as u32);
            if !matches!(mnemonic, Mnemonic::Cmp | Mnemonic::Test) {
                write(registers, place, result)?;
            }
            registers.0[at::EFLAGS] = eflags & !flag::ALL | flags;
        }
        Mnemonic::Inc | Mnemonic::Dec => {
            let place = target(instruction)?;
            let how = if instruction.mnemonic() == Mnemonic::Inc { Mnemonic::Add } else { Mnemonic::Sub };
            let (result, flags) = calculate(how, read(registers, place)?, 1, 8 * place.size() as u32);
            write(registers, place, result)?;
            let set = flag::ALL & !flag::CARRY;
            registers.0[at::EFLAGS] = eflags & !set | flags & set;
        }
        _ if instruction.op0_kind() == OpKind::NearBranch64 => {
            let taken = match instruction.mnemonic() {
                Mnemonic::Jmp => true,
                Mnemonic::Jrcxz | Mnemonic::Jecxz | Mnemonic::Loop | Mnemonic::Loope | Mnemonic::Loopne => return None,
                _ if instruction.is_jcc_short_or_near() => holds(instruction.condition_code(), eflags)?,
                _ => return None,
            };
            if taken {
                registers.set_pc(instruction.near_branch64());
            }
        }
        _ => return None,
    }
    Some(())
}

/// The register that an instruction changes.
fn target(instruction: &Instruction) -> Option<Register> {
    (instruction.op0_kind() == OpKind::Register).then(|| instruction.op0_register())
}

/// The second operand: a register or a number.
fn source(instruction: &Instruction, registers: &General) -> Option<u64> {
    match instruction.op1_kind() {
        OpKind::Register => read(registers, instruction.op1_register()),
        OpKind::Immediate8
        | OpKind::Immediate16
        | OpKind::Immediate32
        | OpKind::Immediate64
        | OpKind::Immediate8to16
        | OpKind::Immediate8to32
        | OpKind::Immediate8to64
        | OpKind::Immediate32to64 => Some(instruction.immediate(1)),
        _ => None,
    }
}

/// Where a general register is. The upper halves of words (`ah`) are left to the processor.
fn place(register: Register) -> Option<usize> {
    if !register.is_gpr() || matches!(register, Register::AH | Register::BH | Register::CH | Register::DH) {
        return None;
    }
    ENCODED.get(register.full_register().number()).copied()
}

fn read(registers: &General, register: Register) -> Option<u64> {
    if register == Register::RIP {
        return Some(registers.pc());
    }
    Some(registers.0[place(register)?] & mask(8 * register.size() as u32))
}

/// Writes as the processor does: 32 bits clear what is above them, fewer leave it.
fn write(registers: &mut General, register: Register, value: u64) -> Option<()> {
    let place = &mut registers.0[place(register)?];
    let mask = mask(8 * register.size() as u32);
    *place = if mask == u64::from(u32::MAX) { value & mask } else { *place & !mask | value & mask };
    Some(())
}

fn mask(bits: u32) -> u64 {
    u64::MAX >> (64 - bits.clamp(1, 64))
}

/// The result and the flags of an operation on `bits` bits. The adjust flag, which the manual leaves open for logic, is
/// cleared as processors do.
fn calculate(how: Mnemonic, left: u64, right: u64, bits: u32) -> (u64, u64) {
    let (mask, sign) = (mask(bits), 1 << (bits - 1));
    let (left, right) = (left & mask, right & mask);
    let (result, mut flags) = match how {
        Mnemonic::Add => {
            let result = left.wrapping_add(right) & mask;
            let overflow = (left ^ result) & (right ^ result) & sign != 0;
            (result, bit(result < left, flag::CARRY) | bit(overflow, flag::OVERFLOW))
        }
        Mnemonic::Sub | Mnemonic::Cmp => {
            let result = left.wrapping_sub(right) & mask;
            let overflow = (left ^ right) & (left ^ result) & sign != 0;
            (result, bit(left < right, flag::CARRY) | bit(overflow, flag::OVERFLOW))
        }
        Mnemonic::Or => (left | right, 0),
        Mnemonic::Xor => (left ^ right, 0),
        _ => (left & right, 0),
    };
    if matches!(how, Mnemonic::Add | Mnemonic::Sub | Mnemonic::Cmp) {
        flags |= bit((left ^ right ^ result) & 0x10 != 0, flag::ADJUST);
    }
    flags |= bit(result == 0, flag::ZERO) | bit(result & sign != 0, flag::SIGN);
    flags |= bit((result as u8).count_ones().is_multiple_of(2), flag::PARITY);
    (result, flags)
}

fn bit(on: bool, bit: u64) -> u64 {
    if on { bit } else { 0 }
}

fn holds(condition: ConditionCode, eflags: u64) -> Option<bool> {
    let is = |flag| eflags & flag != 0;
    let less = is(flag::SIGN) != is(flag::OVERFLOW);
    Some(match condition {
        ConditionCode::o => is(flag::OVERFLOW),
        ConditionCode::no => !is(flag::OVERFLOW),
        ConditionCode::b => is(flag::CARRY),
        ConditionCode::ae => !is(flag::CARRY),
        ConditionCode::e => is(flag::ZERO),
        ConditionCode::ne => !is(flag::ZERO),
        ConditionCode::be => is(flag::CARRY) || is(flag::ZERO),
        ConditionCode::a => !is(flag::CARRY) && !is(flag::ZERO),
        ConditionCode::s => is(flag::SIGN),
        ConditionCode::ns => !is(flag::SIGN),
        ConditionCode::p => is(flag::PARITY),
        ConditionCode::np => !is(flag::PARITY),
        ConditionCode::l => less,
        ConditionCode::ge => !less,
        ConditionCode::le => less || is(flag::ZERO),
        ConditionCode::g => !less && !is(flag::ZERO),
        ConditionCode::None => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::arch::asm;

    use proptest::prelude::*;

    use super::*;

    /// What this processor makes of `$how a, b`.
    macro_rules! really {
        ($how:literal, $size:literal, $a:expr, $b:expr) => {{
            let (mut result, flags): (u64, u64) = ($a, 0);
            let mut flags = flags;
            // SAFETY: it works on two registers and the flags, which it pushes and pops.
            unsafe {
                asm!(concat!($how, " {a:", $size, "}, {b:", $size, "}"), "pushfq", "pop {f}",
                    a = inout(reg) result, b = in(reg) $b, f = out(reg) flags);
            }
            (result, flags & flag::ALL)
        }};
    }

    fn thread(eflags: u64, rax: u64, rbx: u64) -> General {
        let mut words = [0; 27];
        (words[at::CS], words[at::EFLAGS], words[at::RIP]) = (0x33, eflags, 0x1000);
        (words[at::RAX], words[at::RBX]) = (rax, rbx);
        General(words)
    }

    fn after(code: &[u8], rax: u64, rbx: u64) -> (u64, u64, u64) {
        let mut registers = thread(0x202, rax, rbx);
        assert!(emulate(code, &mut registers), "{code:x?}");
        (registers.0[at::RAX], registers.0[at::EFLAGS] & flag::ALL, registers.pc())
    }

    proptest! {
        /// On 64 and 32 bits, as this processor does it.
        #[test]
        fn arithmetic_is_the_processors(a: u64, b: u64, small in 0u64..3, equal: bool) {
            for (a, b) in [(a, b), (a, small), (small, b), (a, if equal { a } else { a.wrapping_neg() })] {
                for (opcode, wide, narrow) in [
                    (0x01, really!("add", "r", a, b), really!("add", "e", a, b)),
                    (0x29, really!("sub", "r", a, b), really!("sub", "e", a, b)),
                    (0x21, really!("and", "r", a, b), really!("and", "e", a, b)),
                    (0x09, really!("or", "r", a, b), really!("or", "e", a, b)),
                    (0x31, really!("xor", "r", a, b), really!("xor", "e", a, b)),
                    (0x39, really!("cmp", "r", a, b), really!("cmp", "e", a, b)),
                ] {
                    let (result, flags, pc) = after(&[0x48, opcode, 0xd8], a, b);
                    prop_assert_eq!((result, flags, pc), (wide.0, wide.1, 0x1003), "{:x} {:x} {:x}", opcode, a, b);
                    let (result, flags, pc) = after(&[opcode, 0xd8], a, b);
                    // A comparison leaves the upper half as it is.
                    let wanted = if opcode == 0x39 { a } else { narrow.0 & 0xffff_ffff };
                    prop_assert_eq!((result, flags, pc), (wanted, narrow.1, 0x1002), "{:x} {:x} {:x}", opcode, a, b);
                }
            }
        }

        /// Whatever is decoded changes nothing when it is refused.
        #[test]
        fn any_bytes_are_carried_out_or_refused(code in proptest::collection::vec(any::<u8>(), 8), rax: u64) {
            let mut registers = thread(0x202, rax, 7);
            let before = registers;
            if !emulate(&code, &mut registers) {
                prop_assert_eq!(registers, before);
            }
        }
    }

    #[test]
    fn moves_addresses_and_jumps() {
        // lea rax, [rbx+rax*2+8]; mov eax, ebx; mov al, 5; movzx eax, bl; movsx rax, bl; inc rax.
        assert_eq!(after(&[0x48, 0x8d, 0x44, 0x43, 8], 3, 0x100).0, 0x10e);
        assert_eq!(after(&[0x89, 0xd8], u64::MAX, 5).0, 5);
        assert_eq!(after(&[0xb0, 5], 0x1234, 0).0, 0x1205);
        assert_eq!(after(&[0x0f, 0xb6, 0xc3], u64::MAX, 0x1ff).0, 0xff);
        assert_eq!(after(&[0x48, 0x0f, 0xbe, 0xc3], 0, 0x80).0, 0xffff_ffff_ffff_ff80);
        assert_eq!(after(&[0x48, 0xff, 0xc0], u64::MAX, 0), (0, flag::ZERO | flag::PARITY | flag::ADJUST, 0x1003));
        // lea rax, [rip+0x10]; jmp +2; jne +2 with and without.
        assert_eq!(after(&[0x48, 0x8d, 0x05, 0x10, 0, 0, 0], 0, 0).0, 0x1017);
        assert_eq!(after(&[0xeb, 2], 0, 0).2, 0x1004);
        assert_eq!(after(&[0x75, 2], 0, 0).2, 0x1004);
        let mut zero = thread(0x202 | flag::ZERO, 0, 0);
        assert!(emulate(&[0x75, 2], &mut zero) && zero.pc() == 0x1002);
        // Memory, calls, returns, system calls, segments, locks and upper bytes are the processor's.
        for code in [
            &[0x48, 0x8b, 0x03][..],
            &[0x48, 0x89, 0x03],
            &[0xe8, 0, 0, 0, 0],
            &[0xc3],
            &[0x0f, 0x05],
            &[0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0],
            &[0xf0, 0x48, 0x01, 0x03],
            &[0x88, 0xe0],
            &[0xcc],
            &[0x9c],
            &[0x8e, 0xd8],
        ] {
            assert!(!emulate(code, &mut thread(0x202, 0, 0)), "{code:x?}");
        }
    }
}
