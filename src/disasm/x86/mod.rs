//! x86, 16, 32 and 64 bits, by iced-x86.

mod kinds;
mod plain;
mod text;

use iced_x86::{
    Code, ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction as Iced, MemorySize, Mnemonic, OpKind,
    Register,
};

use super::{Base, Disassembler, Family, Instruction, Kind, Names, Syntax, Text, Use};
use text::Writer;

/// The longest instruction, in bytes (Intel SDM volume 2, 2.3.11).
const LONGEST: usize = 15;

/// Disassembles x86.
pub struct X86 {
    bits: u32,
    /// What the last decode found; a code of `INVALID` for what is none.
    decoded: Vec<Iced>,
    writer: Writer,
    /// Kind and family by code.
    traits: &'static [(Kind, Family)],
}

impl X86 {
    /// For code of `bits` bits (16, 32 or 64).
    pub fn new(bits: u32, syntax: Syntax) -> X86 {
        X86 { bits, decoded: Vec::new(), writer: Writer::new(syntax), traits: kinds::table() }
    }
}

impl Disassembler for X86 {
    fn decode(&mut self, address: u64, bytes: &[u8], starts: usize, into: &mut [Instruction]) -> usize {
        let starts = starts.min(bytes.len());
        if self.decoded.len() < into.len() {
            self.decoded.resize(into.len(), Iced::default());
        }
        let Ok(mut decoder) = Decoder::try_with_ip(self.bits, bytes, address, DecoderOptions::NONE) else { return 0 };
        let mut count = 0;
        for (iced, instruction) in self.decoded.iter_mut().zip(into) {
            let at = decoder.position();
            if at >= starts {
                break;
            }
            decoder.decode_out(iced);
            // Counted here: the decoder's own counter is cut to the word size.
            let here = address.wrapping_add(at as u64);
            if iced.code() == Code::INVALID {
                *instruction = Instruction::invalid(here, 1);
                // The place is inside of `bytes`, so this cannot fail.
                let _ = decoder.set_position(at + 1);
                decoder.set_ip(here.wrapping_add(1));
            } else {
                let (kind, family) = self.traits[iced.code() as usize];
                *instruction =
                    Instruction { address: here, size: iced.len() as u32, kind, family, ..Instruction::NOTHING };
                describe(iced, instruction);
            }
            count += 1;
        }
        count
    }

    fn text(&mut self, index: usize, names: &dyn Names, text: &mut Text) {
        text.clear();
        match self.decoded.get(index) {
            Some(iced) if iced.code() != Code::INVALID => self.writer.write(iced, names, text),
            _ => text.mnemonic.push_str("invalid"),
        }
    }

    fn shortest(&self) -> usize {
        1
    }
    fn longest(&self) -> usize {
        LONGEST
    }
    fn alignment(&self) -> usize {
        1
    }
    fn nop(&self) -> &'static [u8] {
        &[0x90]
    }
    fn trap(&self) -> &'static [u8] {
        &[0xcc]
    }
}

/// Fills `into`, which has its address, size and kind, with what `iced` says.
fn describe(iced: &Iced, into: &mut Instruction) {
    into.stack = -i64::from(iced.stack_pointer_increment());
    operands(iced, iced.mnemonic(), into);
    if iced.flow_control() != FlowControl::Next {
        flow(iced, into);
    } else if into.kind == Kind::Cmov {
        into.conditional = true;
    }
}

/// Where control goes.
fn flow(iced: &Iced, into: &mut Instruction) {
    let target = match iced.op0_kind() {
        OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => Some(iced.near_branch_target()),
        OpKind::FarBranch16 => Some(u64::from(iced.far_branch_selector()) * 16 + u64::from(iced.far_branch16())),
        OpKind::FarBranch32 => Some(iced.far_branch32().into()),
        _ => None,
    };
    let next = into.next();
    let register = iced.op0_kind() == OpKind::Register;
    match iced.flow_control() {
        FlowControl::UnconditionalBranch => {
            into.kind = Kind::Jmp;
            into.jump = target;
        }
        FlowControl::IndirectBranch => into.kind = if register { Kind::Rjmp } else { Kind::Ujmp },
        FlowControl::ConditionalBranch => {
            into.kind = Kind::Cjmp;
            into.conditional = true;
            into.jump = target;
            into.fail = Some(next);
        }
        FlowControl::Return => into.kind = Kind::Ret,
        FlowControl::Call if target.is_some() => {
            into.kind = Kind::Call;
            into.jump = target;
            into.fail = Some(next);
        }
        FlowControl::IndirectCall => {
            into.kind = if register { Kind::Rcall } else { Kind::Ucall };
            into.fail = Some(next);
        }
        _ => {}
    }
    // What a call or return does to the stack is undone by the other.
    if into.kind.is_call() {
        into.stack = 0;
    }
}

/// Immediates, memory and the stack.
fn operands(iced: &Iced, mnemonic: Mnemonic, into: &mut Instruction) {
    for operand in 0..iced.op_count() {
        match iced.op_kind(operand) {
            OpKind::Register | OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {}
            OpKind::Memory => memory(iced, operand, into),
            OpKind::Immediate8
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64
                if into.value.is_none() =>
            {
                into.value = Some(immediate(iced, operand));
            }
            _ => {}
        }
    }
    if iced.op0_kind() == OpKind::Register && is_stack(iced.op0_register()) {
        match (mnemonic, into.value) {
            (Mnemonic::Sub, Some(value)) => into.stack = signed(value, iced.op0_register()),
            (Mnemonic::Add, Some(value)) => into.stack = signed(value, iced.op0_register()).wrapping_neg(),
            (Mnemonic::Lea, _) => {
                if let Some((Base::Stack, displacement)) = into.local {
                    into.stack = displacement.wrapping_neg();
                }
            }
            _ => {}
        }
    }
}

fn memory(iced: &Iced, operand: u32, into: &mut Instruction) {
    into.memory_size = match iced.memory_size() {
        MemorySize::Unknown => 0,
        size => size.size() as u32,
    };
    into.memory_use = match into.kind {
        Kind::Lea | Kind::Nop | Kind::Sync => Use::Address,
        _ if operand > 0 => Use::Read,
        Kind::Mov | Kind::Pop | Kind::Cast => Use::Write,
        Kind::Cmp | Kind::Acmp | Kind::Push | Kind::Upush | Kind::Ucall | Kind::Ujmp | Kind::Call | Kind::Jmp => {
            Use::Read
        }
        Kind::Mul | Kind::Div => Use::Read,
        _ if iced.condition_code() != ConditionCode::None => Use::Write,
        _ => Use::Both,
    };
    let (base, index) = (iced.memory_base(), iced.memory_index());
    match base {
        Register::RIP | Register::EIP => into.pointer = Some(iced.memory_displacement64()),
        // What fs and gs point to is not known.
        Register::None if index == Register::None && !matches!(iced.segment_prefix(), Register::FS | Register::GS) => {
            into.pointer = Some(iced.memory_displacement64());
        }
        Register::RBP | Register::EBP | Register::BP if index == Register::None => {
            into.local = Some((Base::Frame, displacement(iced)));
        }
        Register::RSP | Register::ESP if index == Register::None => {
            into.local = Some((Base::Stack, displacement(iced)));
        }
        _ => {}
    }
}

/// The displacement, signed as wide as the registers beside it are.
fn displacement(iced: &Iced) -> i64 {
    let value = iced.memory_displacement64();
    match iced.memory_base().size().max(iced.memory_index().size()) {
        2 => i64::from(value as u16 as i16),
        4 => i64::from(value as u32 as i32),
        _ => value as i64,
    }
}

/// The immediate at `operand`, as wide as the instruction uses it, without a sign.
fn immediate(iced: &Iced, operand: u32) -> u64 {
    match iced.op_kind(operand) {
        OpKind::Immediate8 => iced.immediate8().into(),
        OpKind::Immediate8_2nd => iced.immediate8_2nd().into(),
        OpKind::Immediate16 => iced.immediate16().into(),
        OpKind::Immediate32 => iced.immediate32().into(),
        OpKind::Immediate64 => iced.immediate64(),
        OpKind::Immediate8to16 => u64::from(iced.immediate8to16() as u16),
        OpKind::Immediate8to32 => u64::from(iced.immediate8to32() as u32),
        OpKind::Immediate8to64 => iced.immediate8to64() as u64,
        OpKind::Immediate32to64 => iced.immediate32to64() as u64,
        _ => 0,
    }
}

fn is_stack(register: Register) -> bool {
    matches!(register, Register::RSP | Register::ESP | Register::SP)
}

fn signed(value: u64, register: Register) -> i64 {
    match register {
        Register::SP => i64::from(value as u16 as i16),
        Register::ESP => i64::from(value as u32 as i32),
        _ => value as i64,
    }
}
