//! What analysis needs to know of an instruction: its size, where it goes on and what it points to. No text, no
//! allocation: whole programs pass through here.

use super::memory::Memory;
use crate::disasm::{self, Disassembler, Instruction, Kind, Use};
use crate::error::Result;

/// How an instruction goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// With the next one.
    Next,
    /// At [`Step::target`].
    Jump,
    /// At [`Step::target`] or with the next one.
    Branch,
    /// With the next one when [`Step::target`] returns.
    Call,
    /// Where a register or memory says; through [`Step::memory`] when that is known.
    IndirectJump,
    /// With the next one when what a register or memory names returns.
    IndirectCall,
    /// At the caller.
    Return,
    /// Nowhere.
    Trap,
}

/// An instruction, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes; never 0.
    pub size: u8,
    /// How it goes on.
    pub flow: Flow,
    /// Where a direct jump or call leads.
    pub target: Option<u64>,
    /// The address of its memory operand, when that is fixed.
    pub memory: Option<u64>,
    /// A number that may be an address.
    pub immediate: Option<u64>,
    /// Whether [`Step::memory`] is only taken, not read or written.
    pub takes_address: bool,
}

/// The jump table behind an indirect jump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Where it lies.
    pub address: u64,
    /// Where it leads, in order.
    pub targets: Vec<u64>,
}

/// Steps through the code of one architecture. It remembers what it stepped through, to understand jump tables.
pub trait Stepper {
    /// The instruction at the start of `bytes`, which lie at `address`; `None` when there is none.
    fn step(&mut self, address: u64, bytes: &[u8]) -> Option<Step>;

    /// The table that the indirect jump just stepped over takes its target from, when its form is known.
    fn table(&mut self, memory: &mut Memory<'_>) -> Result<Option<Table>>;
}

/// Most entries that are read of a jump table.
pub const TABLE_LIMIT: usize = 1024;

/// The stepper for an architecture as [`disasm::Settings`] name it: one of its own for those that are analysed most,
/// the disassembler for the others.
///
/// # Errors
/// When there is no such architecture.
pub fn stepper(settings: &disasm::Settings) -> Result<Box<dyn Stepper>> {
    Ok(match (settings.arch.as_str(), settings.bits) {
        ("x86", 16 | 32 | 64) => Box::new(super::x86::X86::new(settings.bits)),
        ("arm", 64) if !settings.big_endian => Box::new(super::arm64::Arm64::default()),
        _ => Box::new(Decoded(disasm::disassembler(settings)?)),
    })
}

/// Steps with a disassembler: no jump tables, and only the addresses that stand in one instruction.
struct Decoded(Box<dyn Disassembler>);

impl Stepper for Decoded {
    fn step(&mut self, address: u64, bytes: &[u8]) -> Option<Step> {
        let mut told = Instruction::default();
        if !self.0.one(address, bytes, &mut told) {
            return None;
        }
        let flow = match told.kind {
            kind if kind.is_call() => {
                if told.jump.is_some() {
                    Flow::Call
                } else {
                    Flow::IndirectCall
                }
            }
            kind if kind.is_jump() => match (told.jump, told.conditional || told.fail.is_some()) {
                (Some(_), true) => Flow::Branch,
                (Some(_), false) => Flow::Jump,
                (None, true) => Flow::Next,
                (None, false) => Flow::IndirectJump,
            },
            kind if kind.is_return() && !told.conditional => Flow::Return,
            Kind::Trap if !told.conditional => Flow::Trap,
            _ => Flow::Next,
        };
        Some(Step {
            size: u8::try_from(told.size).unwrap_or(u8::MAX),
            flow,
            target: told.jump,
            memory: told.pointer,
            immediate: None,
            takes_address: told.memory_use == Use::Address,
        })
    }

    fn table(&mut self, _memory: &mut Memory<'_>) -> Result<Option<Table>> {
        Ok(None)
    }
}
