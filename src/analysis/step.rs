//! What analysis needs to know of an instruction: its size, where it goes on and what it points to. No text, no
//! allocation: whole programs pass through here.

use super::memory::Memory;
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

    /// The architecture's step between instructions: a place to go on behind what is none.
    fn alignment(&self) -> u64;
}

/// Most entries that are read of a jump table.
pub const TABLE_LIMIT: usize = 1024;

/// The stepper for an architecture as `asm.arch` and `asm.bits` name it; `None`: functions are not analysed there.
pub fn stepper(arch: &str, bits: u64) -> Option<Box<dyn Stepper>> {
    match (arch, bits) {
        ("x86" | "x86.iced", 16 | 32 | 64) => Some(Box::new(super::x86::X86::new(bits as u32))),
        ("arm" | "arm64" | "aarch64", 64) => Some(Box::new(super::arm64::Arm64::default())),
        _ => None,
    }
}
