//! Instructions: what bytes mean to a processor, through one trait for every architecture.
//!
//! [`Disassembler::decode`] turns bytes into [`Instruction`]s, which say what an analysis needs (kind, targets,
//! memory, stack) and own nothing; [`Disassembler::text`] writes one of them down. Reads no memory and knows no flags:
//! bytes come in, and [`Names`] says what addresses are called.

mod architectures;
mod assembler;
mod capstone;
mod kind;
mod wasm;
mod x86;

use std::fmt;

pub use architectures::{ARCHITECTURES, Architecture, NAMES};
pub use assembler::assemble;
pub use kind::{Family, Kind};

use crate::error::{Error, Kind as Failure, Result};

/// Which instructions are meant, and how they are written: the `asm.*` options of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// One of [`ARCHITECTURES`] (`asm.arch`).
    pub arch: String,
    /// Word size (`asm.bits`); `arm` with 64 is AArch64 and with 16 Thumb.
    pub bits: u32,
    /// The high byte comes first (`cfg.bigendian`); for architectures that have both orders.
    pub big_endian: bool,
    /// A model of the processor (`asm.cpu`); empty: the usual one.
    pub cpu: String,
    /// The notation (`asm.syntax`).
    pub syntax: Syntax,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { arch: "x86".into(), bits: 64, big_endian: false, cpu: String::new(), syntax: Syntax::Intel }
    }
}

/// How instructions are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Syntax {
    /// `mov eax, dword [rbp - 4]`.
    #[default]
    Intel,
    /// `movl -4(%rbp), %eax`.
    Att,
    /// `mov eax, dword ptr [rbp-4]`.
    Masm,
    /// Like Intel, with `jz` for `je` and `jnz` for `jne`.
    Jz,
    /// Registers as plain numbers, where the architecture has that notation.
    Regnum,
}

impl Syntax {
    /// The notation that `asm.syntax` calls `name`; an unknown name is Intel's.
    pub fn named(name: &str) -> Syntax {
        match name {
            "att" => Syntax::Att,
            "masm" => Syntax::Masm,
            "jz" => Syntax::Jz,
            "regnum" => Syntax::Regnum,
            _ => Syntax::Intel,
        }
    }
}

/// The register that a place on the stack is told from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Base {
    /// The frame pointer: `rbp`, `x29`, `s0`.
    Frame,
    /// The stack pointer.
    Stack,
}

/// What an instruction does with the memory that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Use {
    /// It names none.
    #[default]
    None,
    /// Takes the address (`lea`), or what is done is not known.
    Address,
    /// Reads it.
    Read,
    /// Writes it.
    Write,
    /// Reads and writes it.
    Both,
}

/// What an instruction says, without its text. Addresses are those that [`Disassembler::decode`] was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Where it stands.
    pub address: u64,
    /// Bytes, at least 1. Of what cannot be decoded: the bytes to step over.
    pub size: u32,
    /// What it does; [`Kind::Invalid`] cannot be decoded.
    pub kind: Kind,
    /// The part of the processor that does it.
    pub family: Family,
    /// Whether it depends on a condition (`je`, `cmove`, `addeq`).
    pub conditional: bool,
    /// Where it jumps to or what it calls, when the instruction says so.
    pub jump: Option<u64>,
    /// Where a conditional jump goes on otherwise, and a call returns to.
    pub fail: Option<u64>,
    /// The memory that it names, when the address is in the instruction (`[0x404020]`, relative to the program counter).
    pub pointer: Option<u64>,
    /// An immediate operand.
    pub value: Option<u64>,
    /// What is done with the memory it names ([`Instruction::pointer`] or [`Instruction::local`]).
    pub memory_use: Use,
    /// Bytes of that memory; 0: not known.
    pub memory_size: u32,
    /// A place on the stack that it names, and how many bytes it is from its base.
    pub local: Option<(Base, i64)>,
    /// By how many bytes the stack grows (negative: shrinks).
    pub stack: i64,
    /// Instructions behind it that still run when it jumps (MIPS, SPARC).
    pub delay: u32,
}

impl Default for Instruction {
    fn default() -> Instruction {
        Instruction::NOTHING
    }
}

impl Instruction {
    /// One byte at 0 that cannot be decoded.
    const NOTHING: Instruction = Instruction {
        address: 0,
        size: 1,
        kind: Kind::Invalid,
        family: Family::Unknown,
        conditional: false,
        jump: None,
        fail: None,
        pointer: None,
        value: None,
        memory_use: Use::None,
        memory_size: 0,
        local: None,
        stack: 0,
        delay: 0,
    };

    /// What stands at `address` and cannot be decoded: `size` bytes to step over.
    pub fn invalid(address: u64, size: u32) -> Instruction {
        Instruction { address, size: size.max(1), ..Instruction::default() }
    }

    /// Whether it could be decoded.
    pub fn is_valid(&self) -> bool {
        self.kind != Kind::Invalid
    }

    /// The address behind it.
    pub fn next(&self) -> u64 {
        self.address.wrapping_add(self.size.into())
    }

    /// Whether what follows is reached through it: false for jumps without a condition, returns and traps.
    pub fn falls_through(&self) -> bool {
        self.conditional || !self.kind.ends_flow()
    }
}

/// What addresses are called. Every method may answer `None`: the number is shown then.
pub trait Names {
    /// Whether memory that an operand tells from the program counter (`[rip + 0x10]`) is shown by its address.
    fn absolute(&self) -> bool {
        false
    }
    /// The name of the code at `address`, the target of a jump or call.
    fn code(&self, _address: u64) -> Option<&str> {
        None
    }
    /// The name of the memory at `address`, inside the brackets of an operand.
    fn memory(&self, _address: u64) -> Option<&str> {
        None
    }
    /// The name of an immediate operand, which may be an address.
    fn immediate(&self, _value: u64) -> Option<&str> {
        None
    }
    /// What stands for `base + displacement` in the instruction at `address`: `var_8h`, or `rbp-var_8h`.
    fn local(&self, _address: u64, _base: Base, _displacement: i64) -> Option<&str> {
        None
    }
}

/// Nothing has a name.
impl Names for () {}

/// The text of one instruction, in two parts that are laid out apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// What is done, with prefixes: `rep movsb`.
    pub mnemonic: String,
    /// With what.
    pub operands: String,
}

impl Text {
    /// Forgets the text, not the memory that it had.
    pub fn clear(&mut self) {
        self.mnemonic.clear();
        self.operands.clear();
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mnemonic)?;
        if self.operands.is_empty() { Ok(()) } else { write!(f, " {}", self.operands) }
    }
}

/// Turns bytes into instructions. Made by [`disassembler`]; kept for as long as the settings hold.
pub trait Disassembler {
    /// Decodes the instructions that begin in the first `starts` bytes of `bytes`, which stand at `address`, until
    /// `into` is full; returns how many there are. One may use bytes behind `starts`, so a caller that has more memory
    /// hands over [`Disassembler::longest`] bytes more than it lets begin. What cannot be decoded (or is cut by the
    /// end of `bytes`) is an [`Instruction::invalid`]; so every call with `starts` > 0 and room in `into` advances.
    fn decode(&mut self, address: u64, bytes: &[u8], starts: usize, into: &mut [Instruction]) -> usize;

    /// Writes the instruction at `index` of the last [`Disassembler::decode`] into `text` (which is cleared first);
    /// one that was not decoded is `invalid`.
    fn text(&mut self, index: usize, names: &dyn Names, text: &mut Text);

    /// Decodes the instruction at the start of `bytes`. Whether there is one.
    fn one(&mut self, address: u64, bytes: &[u8], into: &mut Instruction) -> bool {
        if self.decode(address, bytes, 1, std::slice::from_mut(into)) == 0 {
            *into = Instruction::invalid(address, 1);
        }
        into.is_valid()
    }

    /// The bytes of the shortest instruction.
    fn shortest(&self) -> usize;
    /// The bytes of the longest instruction.
    fn longest(&self) -> usize;
    /// Instructions stand at multiples of this.
    fn alignment(&self) -> usize;
    /// The bytes of one that does nothing, for filling.
    fn nop(&self) -> &'static [u8];
    /// The bytes of one that stops the processor for a debugger; empty: none is known.
    fn trap(&self) -> &'static [u8];
}

/// The disassembler that `settings` ask for. An architecture that has no such word size uses its own.
///
/// # Errors
/// [`Failure::NotFound`] for an unknown architecture or model, [`Failure::Unsupported`] for a combination that the
/// architecture does not have.
pub fn disassembler(settings: &Settings) -> Result<Box<dyn Disassembler>> {
    let architecture = architecture(&settings.arch)?;
    let bits = architecture.bits_for(settings.bits);
    if architecture.name == "x86" {
        return Ok(Box::new(x86::X86::new(bits, settings.syntax)));
    }
    if architecture.name == "wasm" {
        return Ok(Box::new(wasm::Wasm::default()));
    }
    capstone::Capstone::open(architecture, bits, settings).map(|found| Box::new(found) as Box<dyn Disassembler>)
}

/// The architecture called `name`.
///
/// # Errors
/// [`Failure::NotFound`], with the way to the list.
pub fn architecture(name: &str) -> Result<&'static Architecture> {
    ARCHITECTURES.iter().find(|architecture| architecture.name == name).ok_or_else(|| {
        Error::new(Failure::NotFound, format!("no architecture is called '{}'", crate::output::visible(name)))
            .hint("'e asm.arch=?' lists them")
    })
}
