//! Registers as tables: any architecture's, as a program knows them or as a stub's target.xml describes them.

use std::collections::HashMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// How the registers of a process are called and where they lie. Registers lie in *sets*: blocks of bytes that are
/// fetched and written as one. Set 0 has the general ones, and is all that most stops need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The architecture as gdb spells it: `i386:x86-64`, `i386`, `aarch64`, `mips`.
    pub architecture: String,
    /// Bits of an address: 16, 32 or 64.
    pub bits: u32,
    /// Numbers have their highest byte first.
    pub big_endian: bool,
    /// The sets.
    pub sets: Vec<Set>,
    /// The registers: whole ones in the order of their numbers, then parts of them (`eax`), which have none.
    pub registers: Vec<Register>,
    /// By name.
    #[serde(skip)]
    names: HashMap<String, usize>,
    /// By number.
    #[serde(skip)]
    numbers: HashMap<u32, usize>,
}

/// A block of registers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// `general`, `vector`, `debug`.
    pub name: String,
    /// Bytes of it.
    pub size: usize,
}

/// What a register holds, for those who show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Type {
    /// A number.
    Integer,
    /// An address of code.
    Code,
    /// An address of data.
    Data,
    /// Single bits.
    Flags,
    /// A floating-point number.
    Float,
    /// Several numbers.
    Vector,
}

/// The groups of `drt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Group {
    /// `gpr`.
    General,
    /// `seg`.
    Segment,
    /// `flg`: single bits of the flags register.
    Flag,
    /// `fpu`.
    Float,
    /// `mmx`.
    Mmx,
    /// `xmm`.
    Xmm,
    /// `ymm`.
    Ymm,
    /// `zmm`, with its mask registers.
    Zmm,
    /// `drx`: debug registers. Never shown to gdb.
    Debug,
    /// What belongs to the system: the number of an interrupted call, protection keys.
    System,
}

/// What a register is for, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Program counter.
    Pc,
    /// Stack pointer.
    Sp,
    /// Frame pointer.
    Fp,
    /// Return address (link register).
    Ra,
    /// Processor flags.
    Flags,
    /// The n-th argument of a call, from 0.
    Argument(u8),
    /// The result of a call.
    Result,
    /// The number of the system call that was interrupted.
    CallNumber,
}

/// A register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Its name in gdb's spelling: `rax`, `eflags`, `st0`.
    pub name: String,
    /// Bits: 1 to 512. Flags of one bit lie at `bit` of the byte at `offset`.
    pub bits: u32,
    /// The set it lies in, an index into [`Layout::sets`].
    pub set: usize,
    /// Where it begins in the set, in bytes.
    pub offset: usize,
    /// The lowest bit within the byte at `offset`: 0 for everything but single flags.
    pub bit: u32,
    /// Its group.
    pub group: Group,
    /// What it holds.
    pub kind: Type,
    /// Its number in gdb's protocol and in agent expressions; `None` for parts of other registers.
    pub number: Option<u32>,
    /// Its number in DWARF.
    pub dwarf: Option<u16>,
    /// What it is for.
    pub role: Option<Role>,
    /// The feature of target.xml it belongs to: `org.gnu.gdb.i386.core`. Empty: in none.
    pub feature: String,
}

impl Register {
    /// Its bytes within the set.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset.saturating_add(self.bytes())
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        (self.bit + self.bits).div_ceil(8) as usize
    }

    /// Its value in the bytes of its set, when it has at most 64 bits.
    pub fn value(&self, set: &[u8], big_endian: bool) -> Option<u64> {
        if self.bits > 64 {
            return None;
        }
        let value = super::number(set.get(self.range())?, big_endian) >> self.bit;
        let value = if self.bits == 64 { value } else { value & ((1 << self.bits) - 1) };
        u64::try_from(value).ok()
    }

    /// Puts `value` into the bytes of its set. `false`: it does not fit, or has more than 64 bits.
    pub fn set_value(&self, set: &mut [u8], value: u64, big_endian: bool) -> bool {
        if self.bits > 64 || (self.bits < 64 && value >> self.bits != 0) {
            return false;
        }
        let Some(room) = set.get_mut(self.range()) else { return false };
        let mask = if self.bits == 64 { u128::from(u64::MAX) } else { (1 << self.bits) - 1 } << self.bit;
        let whole = super::number(room, big_endian) & !mask | u128::from(value) << self.bit;
        let count = room.len();
        for (at, byte) in room.iter_mut().enumerate() {
            let place = if big_endian { count - 1 - at } else { at };
            *byte = (whole >> (8 * place)) as u8;
        }
        true
    }
}

impl Layout {
    /// A layout over `registers`; every one of them has to lie in its set.
    pub fn new(
        architecture: &str,
        bits: u32,
        big_endian: bool,
        sets: Vec<Set>,
        mut registers: Vec<Register>,
    ) -> Layout {
        registers.retain(|register| {
            let size = sets.get(register.set).map_or(0, |set| set.size);
            register.bits > 0 && register.range().end <= size
        });
        let mut layout = Layout {
            architecture: architecture.to_string(),
            bits,
            big_endian,
            sets,
            registers,
            names: HashMap::new(),
            numbers: HashMap::new(),
        };
        layout.index();
        layout
    }

    /// Builds the indices, which do not travel: for one that was deserialised.
    pub fn index(&mut self) {
        self.names = self.registers.iter().enumerate().map(|(at, register)| (register.name.clone(), at)).collect();
        let numbered = self.registers.iter().enumerate();
        self.numbers = numbered.filter_map(|(at, register)| Some((register.number?, at))).collect();
    }

    /// The register `name`, in lower case; also `pc`, `sp`, `fp` and `flags` where no register is called so.
    pub fn find(&self, name: &str) -> Option<&Register> {
        let role = match name {
            _ if self.names.contains_key(name) => return self.registers.get(*self.names.get(name)?),
            "pc" | "PC" => Role::Pc,
            "sp" | "SP" => Role::Sp,
            "fp" | "bp" | "BP" => Role::Fp,
            "flags" => Role::Flags,
            _ => return None,
        };
        self.role(role)
    }

    /// The register with gdb's number `number`.
    pub fn numbered(&self, number: u32) -> Option<&Register> {
        self.registers.get(*self.numbers.get(&number)?)
    }

    /// The register for `role`.
    pub fn role(&self, role: Role) -> Option<&Register> {
        self.registers.iter().find(|register| register.role == Some(role))
    }
}
