//! The text of plain x86 instructions: registers, numbers, memory told from registers, jumps. See [`super::text`].

use std::sync::OnceLock;

use iced_x86::{Code, CodeSize, Instruction as Iced, MemorySize, Mnemonic, OpKind, Register};

use super::kinds::kind;
use super::text::{base_of, is_movabs};
use crate::disasm::{Kind, Names, Text};

/// Words by number, made once.
pub struct Tables {
    /// Empty: not plain.
    mnemonics: Vec<String>,
    registers: Vec<String>,
    /// Words before memory operands; `None`: not plain.
    sizes: Vec<Option<&'static str>>,
}

/// The words.
pub fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(|| Tables {
        mnemonics: Mnemonic::values().map(word).collect(),
        registers: Register::values().map(register).collect(),
        sizes: MemorySize::values().map(size).collect(),
    })
}

fn register(register: Register) -> String {
    let word = format!("{register:?}").to_lowercase();
    match word.strip_suffix('l') {
        Some(stem) if stem.starts_with('r') => format!("{stem}b"),
        _ => word,
    }
}

/// What is written for `mnemonic`; nothing for those whose text depends on more.
fn word(mnemonic: Mnemonic) -> String {
    let word = format!("{mnemonic:?}").to_lowercase();
    let plain = kind(mnemonic) != Kind::Unknown || word.starts_with('j');
    let varies = word.starts_with("cmp") && word.len() > 3 && !word.starts_with("cmpx");
    if !plain || varies || word.starts_with('f') || NOT_PLAIN.contains(&mnemonic) { String::new() } else { word }
}

/// Their operands are left out or written otherwise.
const NOT_PLAIN: &[Mnemonic] =
    &[Mnemonic::Nop, Mnemonic::Enter, Mnemonic::Pclmulqdq, Mnemonic::Reservednop, Mnemonic::Retf, Mnemonic::Sal];

fn size(size: MemorySize) -> Option<&'static str> {
    if size.is_broadcast() || matches!(size, MemorySize::SegPtr16 | MemorySize::Fword6 | MemorySize::Bound16_WordWord) {
        return None;
    }
    match size {
        MemorySize::Unknown => Some(""),
        MemorySize::UInt8 | MemorySize::Int8 => Some("byte "),
        MemorySize::UInt16 | MemorySize::Int16 | MemorySize::WordOffset => Some("word "),
        MemorySize::UInt32 | MemorySize::Int32 | MemorySize::DwordOffset | MemorySize::Float32 => Some("dword "),
        MemorySize::UInt64 | MemorySize::Int64 | MemorySize::QwordOffset | MemorySize::Float64 => Some("qword "),
        _ => match size.size() {
            16 => Some("xmmword "),
            32 => Some("ymmword "),
            64 => Some("zmmword "),
            _ => None,
        },
    }
}

/// Writes `iced` into the empty `text`, if it is plain; else leaves `text` empty.
pub fn write(tables: &Tables, iced: &Iced, names: &dyn Names, text: &mut Text) -> bool {
    let mnemonic = match tables.mnemonics.get(iced.mnemonic() as usize) {
        Some(mnemonic) if !mnemonic.is_empty() => mnemonic,
        _ => return false,
    };
    let marked = iced.has_rep_prefix() || iced.has_repne_prefix() || iced.has_lock_prefix();
    if marked || iced.has_segment_prefix() || iced.has_op_mask() || iced.is_broadcast() {
        return false;
    }
    if matches!(iced.mnemonic(), Mnemonic::Ret | Mnemonic::Leave | Mnemonic::Push) && !is_usual_width(iced) {
        return false;
    }
    let operands = &mut text.operands;
    for operand in 0..iced.op_count() {
        if operand > 0 {
            operands.push_str(", ");
        }
        let kind = iced.op_kind(operand);
        let done = match kind {
            OpKind::Register if iced.op_register(operand).is_segment_register() => false,
            OpKind::Register => {
                operands.push_str(&tables.registers[iced.op_register(operand) as usize]);
                true
            }
            OpKind::Memory => memory(tables, iced, names, operands),
            // Another width than the code's has a prefix that is written.
            OpKind::NearBranch16 if iced.code_size() != CodeSize::Code16 => false,
            OpKind::NearBranch32 if iced.code_size() != CodeSize::Code32 => false,
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                let target = iced.near_branch_target();
                match names.code(target) {
                    Some(name) => operands.push_str(name),
                    None => push_number(operands, target),
                }
                true
            }
            OpKind::Immediate8
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64 => {
                let value = super::immediate(iced, operand);
                match names.immediate(value) {
                    Some(name) => operands.push_str(name),
                    None => push_number(operands, value),
                }
                true
            }
            _ => false,
        };
        if !done {
            operands.clear();
            return false;
        }
    }
    text.mnemonic.push_str(if is_movabs(iced) { "movabs" } else { mnemonic });
    true
}

/// Whether a return, a `leave` or a pushed number moves the stack by the word of the code it is in, and so has no
/// prefix to show.
fn is_usual_width(iced: &Iced) -> bool {
    let code = match iced.code() {
        Code::Retnw | Code::Retnw_imm16 | Code::Leavew | Code::Push_imm16 | Code::Pushw_imm8 => CodeSize::Code16,
        Code::Retnd | Code::Retnd_imm16 | Code::Leaved | Code::Pushd_imm32 | Code::Pushd_imm8 => CodeSize::Code32,
        _ if iced.mnemonic() == Mnemonic::Push => iced.code_size(),
        _ => CodeSize::Code64,
    };
    iced.code_size() == code
}

fn memory(tables: &Tables, iced: &Iced, names: &dyn Names, into: &mut String) -> bool {
    let (base, index) = (iced.memory_base(), iced.memory_index());
    let Some(Some(size)) = tables.sizes.get(iced.memory_size() as usize) else { return false };
    if base == Register::None || index.is_vector_register() {
        return false;
    }
    if base == Register::RIP {
        if !names.absolute() {
            return false;
        }
        into.push_str(size);
        into.push('[');
        let address = iced.memory_displacement64();
        match names.memory(address) {
            Some(name) => into.push_str(name),
            None => push_address(into, address),
        }
        into.push(']');
        return true;
    }
    if base == Register::EIP {
        return false;
    }
    into.push_str(size);
    into.push('[');
    let displacement = super::displacement(iced);
    if index == Register::None
        && let Some(place) = base_of(base)
        && let Some(name) = names.local(iced.ip(), place, displacement)
    {
        into.push_str(name);
        into.push(']');
        return true;
    }
    into.push_str(&tables.registers[base as usize]);
    if index != Register::None {
        into.push_str(" + ");
        into.push_str(&tables.registers[index as usize]);
        match iced.memory_index_scale() {
            2 => into.push_str("*2"),
            4 => into.push_str("*4"),
            8 => into.push_str("*8"),
            _ => {}
        }
    }
    if iced.memory_displ_size() != 0 && displacement != 0 {
        into.push_str(if displacement < 0 { " - " } else { " + " });
        push_number(into, displacement.unsigned_abs());
    }
    into.push(']');
    true
}

/// A number as the field writes them: below ten without a base.
pub fn push_number(into: &mut String, value: u64) {
    if value < 10 {
        into.push((b'0' + value as u8) as char);
    } else {
        push_hex(into, value, 1);
    }
}

/// An address, eight digits at least.
pub fn push_address(into: &mut String, value: u64) {
    push_hex(into, value, 8);
}

fn push_hex(into: &mut String, value: u64, least: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let used = (16 - value.leading_zeros() as usize / 4).max(least).min(16);
    // Written at once: a character at a time takes longer than the rest of the instruction.
    let mut buffer = *b"0x0000000000000000";
    let mut left = value;
    for place in buffer[2..2 + used].iter_mut().rev() {
        *place = DIGITS[left as usize & 15];
        left >>= 4;
    }
    // Digits are ASCII.
    into.push_str(std::str::from_utf8(&buffer[..2 + used]).unwrap_or_default());
}
