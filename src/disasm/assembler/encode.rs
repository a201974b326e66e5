//! One form of an instruction with the operands that were written: whether it takes them, and its bytes.

use std::collections::HashMap;
use std::sync::OnceLock;

use iced_x86::{
    Code, Decoder, DecoderOptions, Encoder, EncodingKind, Instruction as Iced, OpCodeOperandKind as K, OpKind, Register,
};

use super::Prefixes;
use super::operand::{Memory, Operand};

/// An encoding that works.
pub struct Form {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it asks of the processor: 0 nothing special.
    pub rank: u8,
    /// Bytes of memory that it uses.
    pub memory: usize,
    /// Whether another size of memory would be unusual: jumps through memory.
    pub usual: bool,
}

/// Every form of the instruction called `mnemonic`.
pub fn forms(mnemonic: &str) -> Option<&'static [Code]> {
    static FORMS: OnceLock<HashMap<String, Vec<Code>>> = OnceLock::new();
    let forms = FORMS.get_or_init(|| {
        let mut forms: HashMap<String, Vec<Code>> = HashMap::new();
        for code in Code::values().filter(|code| code.op_code().is_instruction()) {
            forms.entry(format!("{:?}", code.mnemonic()).to_lowercase()).or_default().push(code);
        }
        forms
    });
    forms.get(mnemonic).map(Vec::as_slice)
}

/// The bytes of the form `code` with `operands`, when it takes them.
pub fn encode(code: Code, bits: u32, address: u64, prefixes: Prefixes, operands: &[Operand]) -> Option<Form> {
    let info = code.op_code();
    let mode = match bits {
        16 => info.mode16(),
        32 => info.mode32(),
        _ => info.mode64(),
    };
    let rank = match info.encoding() {
        EncodingKind::Legacy => 0,
        EncodingKind::VEX => 1,
        EncodingKind::EVEX => 2,
        _ => return None,
    };
    if !mode {
        return None;
    }
    let mut iced = Iced::default();
    iced.set_code(code);
    prefixes.set(&mut iced);
    let kinds: Vec<K> = (0..info.op_count()).map(|index| info.op_kind(index)).collect();
    if operands.is_empty() {
        kinds.iter().enumerate().try_for_each(|(index, kind)| implied(&mut iced, index as u32, *kind, bits))?;
    } else {
        if kinds.len() != operands.len() {
            return None;
        }
        for (index, (kind, operand)) in kinds.iter().zip(operands).enumerate() {
            place(&mut iced, index as u32, *kind, operand, bits)?;
        }
    }
    let memory =
        operands.iter().find_map(|operand| if let Operand::Memory(memory) = operand { Some(memory) } else { None });
    let size = iced.memory_size().size();
    if let Some(said) = memory.and_then(|memory| memory.size)
        && said != size
        && size != 0
    {
        return None;
    }
    let stack = uses_stack(code);
    let first_is_register = matches!(operands.first(), Some(Operand::Register(_)));
    let width = info.operand_size();
    if stack && !first_is_register && width != 0 && width != bits {
        return None;
    }
    let native = (bits / 8) as usize;
    let untold = memory.is_some_and(|memory| memory.size.is_none());
    if stack && untold && size != native {
        return None;
    }
    let bytes = bytes(&mut iced, bits, address)?;
    // What it means to the decoder decides.
    let decoded = Decoder::try_with_ip(bits, &bytes, address, DecoderOptions::NONE).ok()?.decode();
    let whole = decoded.len() == bytes.len() && decoded.mnemonic() == code.mnemonic();
    whole.then_some(Form { bytes, rank, memory: size, usual: stack })
}

/// Pushes, pops, calls, jumps and returns: their usual width is the word of the code.
fn uses_stack(code: Code) -> bool {
    use iced_x86::Mnemonic as M;
    matches!(code.mnemonic(), M::Push | M::Pop | M::Call | M::Jmp | M::Ret | M::Retf | M::Leave | M::Enter)
}

/// Encodes; what is told from the program counter needs the length, which is known after the first time.
fn bytes(iced: &mut Iced, bits: u32, address: u64) -> Option<Vec<u8>> {
    let relative =
        iced.memory_base() == Register::RIP && (0..iced.op_count()).any(|at| iced.op_kind(at) == OpKind::Memory);
    let mut encoder = Encoder::try_new(bits).ok()?;
    let displacement = iced.memory_displacement64();
    if relative {
        iced.set_memory_displacement64(address);
    }
    let length = encoder.encode(iced, address).ok()?;
    if relative {
        let _ = encoder.take_buffer();
        iced.set_memory_displacement64(address.wrapping_add(length as u64).wrapping_add(displacement));
        encoder.encode(iced, address).ok()?;
    }
    Some(encoder.take_buffer())
}

/// An operand that is not written: the string instructions'.
fn implied(iced: &mut Iced, index: u32, kind: K, bits: u32) -> Option<()> {
    let memory = |wide, middle, narrow| match bits {
        64 => wide,
        32 => middle,
        _ => narrow,
    };
    let (op, register) = match kind {
        K::seg_rSI => (memory(OpKind::MemorySegRSI, OpKind::MemorySegESI, OpKind::MemorySegSI), Register::None),
        K::es_rDI => (memory(OpKind::MemoryESRDI, OpKind::MemoryESEDI, OpKind::MemoryESDI), Register::None),
        K::seg_rDI => (memory(OpKind::MemorySegRDI, OpKind::MemorySegEDI, OpKind::MemorySegDI), Register::None),
        K::seg_rBX_al => {
            iced.set_memory_base(match bits {
                64 => Register::RBX,
                32 => Register::EBX,
                _ => Register::BX,
            });
            iced.set_memory_index(Register::AL);
            (OpKind::Memory, Register::None)
        }
        K::al => (OpKind::Register, Register::AL),
        K::ax => (OpKind::Register, Register::AX),
        K::dx => (OpKind::Register, Register::DX),
        K::eax => (OpKind::Register, Register::EAX),
        K::rax => (OpKind::Register, Register::RAX),
        K::st0 => (OpKind::Register, Register::ST0),
        K::sti_opcode => (OpKind::Register, Register::ST1),
        _ => return None,
    };
    iced.set_op_kind(index, op);
    if op == OpKind::Register {
        iced.set_op_register(index, register);
    }
    Some(())
}

/// Puts `operand` in the place `index`, which takes a `kind`.
fn place(iced: &mut Iced, index: u32, kind: K, operand: &Operand, bits: u32) -> Option<()> {
    match operand {
        Operand::Register(register) => {
            if !takes_register(kind, *register) {
                return None;
            }
            iced.set_op_kind(index, OpKind::Register);
            iced.set_op_register(index, *register);
        }
        Operand::Memory(memory) => match kind {
            K::seg_rSI | K::es_rDI | K::seg_rDI => {
                let op = string(iced, kind, memory)?;
                iced.set_op_kind(index, op);
            }
            _ if takes_memory(kind) => address(iced, index, kind, memory, bits)?,
            _ => return None,
        },
        Operand::Immediate(value) => immediate(iced, index, kind, *value, bits)?,
    }
    Some(())
}

/// The operand of a string instruction, when `memory` is the one that it uses.
fn string(iced: &mut Iced, kind: K, memory: &Memory) -> Option<OpKind> {
    if memory.index != Register::None || memory.displacement != 0 {
        return None;
    }
    let op = match (kind, memory.base) {
        (K::seg_rSI, Register::RSI) => OpKind::MemorySegRSI,
        (K::seg_rSI, Register::ESI) => OpKind::MemorySegESI,
        (K::seg_rSI, Register::SI) => OpKind::MemorySegSI,
        (K::seg_rDI, Register::RDI) => OpKind::MemorySegRDI,
        (K::seg_rDI, Register::EDI) => OpKind::MemorySegEDI,
        (K::seg_rDI, Register::DI) => OpKind::MemorySegDI,
        (K::es_rDI, Register::RDI) => OpKind::MemoryESRDI,
        (K::es_rDI, Register::EDI) => OpKind::MemoryESEDI,
        (K::es_rDI, Register::DI) => OpKind::MemoryESDI,
        _ => return None,
    };
    match (kind, memory.segment) {
        (_, Register::None) => {}
        // That segment is fixed, and a prefix would mean nothing.
        (K::es_rDI, _) => return None,
        (_, segment) => iced.set_segment_prefix(segment),
    }
    Some(op)
}

fn address(iced: &mut Iced, index: u32, kind: K, memory: &Memory, bits: u32) -> Option<()> {
    let alone = memory.base == Register::None && memory.index == Register::None;
    if kind == K::mem_offs && !alone {
        return None;
    }
    iced.set_op_kind(index, OpKind::Memory);
    iced.set_memory_base(memory.base);
    iced.set_memory_index(memory.index);
    iced.set_memory_index_scale(memory.scale);
    iced.set_memory_displacement64(memory.displacement as u64);
    iced.set_segment_prefix(memory.segment);
    let word = bits / 8;
    iced.set_memory_displ_size(match () {
        () if kind == K::mem_offs => word,
        // In 64-bit code that is 32 bits, extended with their sign.
        () if alone => word,
        () if memory.base == Register::RIP => 8,
        () if memory.displacement == 0 => 0,
        () => 1,
    });
    if alone && bits == 64 && kind != K::mem_offs && i32::try_from(memory.displacement).is_err() {
        return None;
    }
    Some(())
}

fn takes_memory(kind: K) -> bool {
    matches!(
        kind,
        K::mem
            | K::mem_offs
            | K::mem_mpx
            | K::mem_mib
            | K::r8_or_mem
            | K::r16_or_mem
            | K::r32_or_mem
            | K::r64_or_mem
            | K::mm_or_mem
            | K::xmm_or_mem
            | K::ymm_or_mem
            | K::zmm_or_mem
            | K::k_or_mem
    )
}

fn takes_register(kind: K, register: Register) -> bool {
    match kind {
        K::r8_or_mem | K::r8_reg | K::r8_opcode => register.is_gpr8(),
        K::r16_or_mem | K::r16_reg | K::r16_reg_mem | K::r16_rm | K::r16_opcode => register.is_gpr16(),
        K::r32_or_mem | K::r32_reg | K::r32_reg_mem | K::r32_rm | K::r32_opcode | K::r32_vvvv => register.is_gpr32(),
        K::r64_or_mem | K::r64_reg | K::r64_reg_mem | K::r64_rm | K::r64_opcode | K::r64_vvvv => register.is_gpr64(),
        K::mm_or_mem | K::mm_reg | K::mm_rm => register.is_mm(),
        K::xmm_or_mem | K::xmm_reg | K::xmm_rm | K::xmm_vvvv | K::xmm_is4 | K::xmm_is5 => register.is_xmm(),
        K::ymm_or_mem | K::ymm_reg | K::ymm_rm | K::ymm_vvvv | K::ymm_is4 | K::ymm_is5 => register.is_ymm(),
        K::zmm_or_mem | K::zmm_reg | K::zmm_rm | K::zmm_vvvv => register.is_zmm(),
        K::k_or_mem | K::k_reg | K::k_rm | K::k_vvvv => register.is_k(),
        K::seg_reg => register.is_segment_register(),
        K::cr_reg => register.is_cr(),
        K::dr_reg => register.is_dr(),
        K::tr_reg => register.is_tr(),
        K::sti_opcode => register.is_st(),
        K::st0 => register == Register::ST0,
        K::es => register == Register::ES,
        K::cs => register == Register::CS,
        K::ss => register == Register::SS,
        K::ds => register == Register::DS,
        K::fs => register == Register::FS,
        K::gs => register == Register::GS,
        K::al => register == Register::AL,
        K::cl => register == Register::CL,
        K::ax => register == Register::AX,
        K::dx => register == Register::DX,
        K::eax => register == Register::EAX,
        K::rax => register == Register::RAX,
        _ => false,
    }
}

/// The low bits of `value`, when it fits into `bits` of them, with a sign or without.
fn fits(value: i128, bits: u32) -> Option<u64> {
    (value >= -(1 << (bits - 1)) && value < 1 << bits).then_some(value as u64)
}

/// `value` as a signed number of eight (or `from`) bits that is extended to `bits`.
fn extended(value: i128, from: u32, bits: u32) -> Option<i64> {
    let low = fits(value, bits)?;
    let wide = (low << (64 - bits)) as i64 >> (64 - bits);
    let shift = 64 - from;
    ((wide << shift) >> shift == wide).then_some(wide)
}

fn immediate(iced: &mut Iced, index: u32, kind: K, value: i128, bits: u32) -> Option<()> {
    let target = |bits: u32| fits(value, bits);
    match kind {
        K::imm8 => {
            let byte = fits(value, 8)? as u8;
            let second = index > 0 && matches!(iced.op_kind(index - 1), OpKind::Immediate8 | OpKind::Immediate16);
            iced.set_op_kind(index, if second { OpKind::Immediate8_2nd } else { OpKind::Immediate8 });
            if second { iced.set_immediate8_2nd(byte) } else { iced.set_immediate8(byte) }
        }
        K::imm8_const_1 if value == 1 => {
            iced.set_op_kind(index, OpKind::Immediate8);
            iced.set_immediate8(1);
        }
        K::imm8sex16 => {
            let value = extended(value, 8, 16)?;
            iced.set_op_kind(index, OpKind::Immediate8to16);
            iced.set_immediate8to16(value as i16);
        }
        K::imm8sex32 => {
            let value = extended(value, 8, 32)?;
            iced.set_op_kind(index, OpKind::Immediate8to32);
            iced.set_immediate8to32(value as i32);
        }
        K::imm8sex64 => {
            let value = extended(value, 8, 64)?;
            iced.set_op_kind(index, OpKind::Immediate8to64);
            iced.set_immediate8to64(value);
        }
        K::imm16 => {
            let value = fits(value, 16)?;
            iced.set_op_kind(index, OpKind::Immediate16);
            iced.set_immediate16(value as u16);
        }
        K::imm32 => {
            let value = fits(value, 32)?;
            iced.set_op_kind(index, OpKind::Immediate32);
            iced.set_immediate32(value as u32);
        }
        K::imm32sex64 => {
            let value = extended(value, 32, 64)?;
            iced.set_op_kind(index, OpKind::Immediate32to64);
            iced.set_immediate32to64(value);
        }
        K::imm64 => {
            let value = fits(value, 64)?;
            iced.set_op_kind(index, OpKind::Immediate64);
            iced.set_immediate64(value);
        }
        K::br16_1 | K::br16_2 if bits == 16 => {
            iced.set_op_kind(index, OpKind::NearBranch16);
            iced.set_near_branch16(target(16)? as u16);
        }
        K::br32_1 | K::br32_4 if bits == 32 => {
            iced.set_op_kind(index, OpKind::NearBranch32);
            iced.set_near_branch32(target(32)? as u32);
        }
        K::br64_1 | K::br64_4 if bits == 64 => {
            iced.set_op_kind(index, OpKind::NearBranch64);
            iced.set_near_branch64(target(64)?);
        }
        _ => return None,
    }
    Some(())
}
