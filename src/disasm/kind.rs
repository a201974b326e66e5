//! What instructions do, in the words and numbers that scripts of the field know.

use serde::{Serialize, Serializer};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $name:literal,)*) => {
        /// What an instruction does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$doc])* $variant,)* }

        impl Kind {
            /// The name in JSON (`type`).
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$variant => $name,)* }
            }
            /// The number in JSON (`type_num`).
            pub const fn number(self) -> u32 {
                match self { $(Kind::$variant => $number,)* }
            }
        }
    };
}

kinds! {
    /// Cannot be decoded.
    Invalid = 6 "invalid",
    /// Something without a kind of its own.
    Unknown = 7 "unk",
    /// Nothing.
    Nop = 8 "nop",
    /// Copies.
    Mov = 9 "mov",
    /// Copies on a condition.
    Cmov = 0x8000_0009 "cmov",
    /// Pushes.
    Push = 13 "push",
    /// Pushes something that is not known.
    Upush = 12 "upush",
    /// Pushes a register.
    Rpush = 0x1000_000c "rpush",
    /// Pops.
    Pop = 14 "pop",
    /// Calls an address in the instruction.
    Call = 3 "call",
    /// Calls an address in memory.
    Ucall = 4 "ucall",
    /// Calls an address in a register.
    Rcall = 0x1000_0004 "rcall",
    /// Calls on a condition.
    Ccall = 0x8000_0003 "ccall",
    /// Jumps to an address in the instruction.
    Jmp = 1 "jmp",
    /// Jumps to an address in memory.
    Ujmp = 2 "ujmp",
    /// Jumps to an address in a register.
    Rjmp = 0x1000_0002 "rjmp",
    /// Jumps on a condition.
    Cjmp = 0x8000_0001 "cjmp",
    /// Returns.
    Ret = 5 "ret",
    /// Returns on a condition.
    Cret = 0x8000_0005 "cret",
    /// Stops for a debugger or an error.
    Trap = 10 "trap",
    /// Calls the system.
    Swi = 11 "swi",
    /// Compares.
    Cmp = 15 "cmp",
    /// Compares bits.
    Acmp = 16 "acmp",
    /// Adds.
    Add = 17 "add",
    /// Subtracts.
    Sub = 18 "sub",
    /// Talks to a port.
    Io = 19 "io",
    /// Multiplies.
    Mul = 20 "mul",
    /// Divides.
    Div = 21 "div",
    /// Shifts right.
    Shr = 22 "shr",
    /// Shifts left.
    Shl = 23 "shl",
    /// Shifts left, arithmetically.
    Sal = 24 "sal",
    /// Shifts right, arithmetically.
    Sar = 25 "sar",
    /// Or.
    Or = 26 "or",
    /// And.
    And = 27 "and",
    /// Exclusive or.
    Xor = 28 "xor",
    /// Not or.
    Nor = 29 "nor",
    /// Not.
    Not = 30 "not",
    /// Writes memory.
    Store = 31 "store",
    /// Reads memory.
    Load = 32 "load",
    /// Computes an address.
    Lea = 33 "lea",
    /// Takes a frame down.
    Leave = 34 "leave",
    /// Rotates right.
    Ror = 35 "ror",
    /// Rotates left.
    Rol = 36 "rol",
    /// Exchanges.
    Xchg = 37 "xchg",
    /// Remainder.
    Mod = 38 "mod",
    /// Absolute value.
    Abs = 44 "abs",
    /// Complement.
    Cpl = 45 "cpl",
    /// Encrypts.
    Crypto = 46 "crypto",
    /// Orders memory accesses.
    Sync = 47 "sync",
    /// Converts.
    Cast = 42 "cast",
}

impl Kind {
    /// Whether what follows is not reached through it (unless it is conditional).
    pub const fn ends_flow(self) -> bool {
        matches!(self, Kind::Jmp | Kind::Ujmp | Kind::Rjmp | Kind::Ret | Kind::Trap | Kind::Invalid)
    }
    /// Whether it is a call.
    pub const fn is_call(self) -> bool {
        matches!(self, Kind::Call | Kind::Ucall | Kind::Rcall | Kind::Ccall)
    }
    /// Whether it is a jump (no call, no return).
    pub const fn is_jump(self) -> bool {
        matches!(self, Kind::Jmp | Kind::Ujmp | Kind::Rjmp | Kind::Cjmp)
    }
    /// Whether it is a return.
    pub const fn is_return(self) -> bool {
        matches!(self, Kind::Ret | Kind::Cret)
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The part of a processor that carries an instruction out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Not known.
    Unknown,
    /// The core itself.
    Cpu,
    /// Floating point.
    Fpu,
    /// MMX.
    Mmx,
    /// SSE, AVX and the like.
    Sse,
    /// Vectors of other architectures.
    Vec,
    /// Privileged.
    Priv,
    /// Encryption.
    Crypto,
    /// Virtual machines.
    Virt,
    /// Ports.
    Io,
}
