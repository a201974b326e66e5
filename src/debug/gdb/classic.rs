//! The registers that stubs have which do not describe them: the layouts of `g` that GDB falls back to
//! (`gdb/features/*.c`, and the `*-tdep.c` of each architecture).

use super::registers::Family;
use crate::debug::registers::Role;
use crate::protocol::rsp::description::Described;

/// A row: names from a pattern (`r#` for `r0`, `r1` ...), how many, bits of each.
type Row = (&'static str, u32, u32);

const WIDE_X86: &[Row] = &[
    ("rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip", 17, 64),
    ("eflags cs ss ds es fs gs", 7, 32),
    ("st#", 8, 80),
    ("fctrl fstat ftag fiseg fioff foseg fooff fop", 8, 32),
    ("xmm#", 16, 128),
    ("mxcsr", 1, 32),
];
const NARROW_X86: &[Row] = &[
    ("eax ecx edx ebx esp ebp esi edi eip eflags cs ss ds es fs gs", 16, 32),
    ("st#", 8, 80),
    ("fctrl fstat ftag fiseg fioff foseg fooff fop", 8, 32),
    ("xmm#", 8, 128),
    ("mxcsr", 1, 32),
];
const ARM: &[Row] =
    &[("r0 r1 r2 r3 r4 r5 r6 r7 r8 r9 r10 r11 r12 sp lr pc", 16, 32), ("f#", 8, 96), ("fps", 1, 32), ("cpsr", 1, 32)];
const AARCH64: &[Row] = &[("x#", 31, 64), ("sp pc", 2, 64), ("cpsr", 1, 32), ("v#", 32, 128), ("fpsr fpcr", 2, 32)];
const RISCV: &str =
    "zero ra sp gp tp t0 t1 t2 fp s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6 pc";
const MIPS: &str = "zero at v0 v1 a0 a1 a2 a3 t0 t1 t2 t3 t4 t5 t6 t7 s0 s1 s2 s3 s4 s5 s6 s7 t8 t9 k0 k1 gp sp s8 ra sr lo \
                    hi bad cause pc";

fn rows(rows: &[Row]) -> Vec<Described> {
    let mut found: Vec<Described> = Vec::new();
    let mut add = |name: String, bits| {
        let number = found.len() as u32;
        found.push(Described { name, number, bits, ..Described::default() });
    };
    for (names, count, bits) in rows {
        match names.split_once('#') {
            Some((prefix, _)) => (0..*count).for_each(|index| add(format!("{prefix}{index}"), *bits)),
            None => names.split_whitespace().for_each(|name| add(name.to_string(), *bits)),
        }
    }
    found
}

/// The registers of `architecture` (or what the length of the reply to `g` makes likely) for a reply of `bytes` bytes.
pub fn layout(architecture: Option<&str>, bytes: usize) -> (&'static str, Vec<Described>) {
    let wide = |limit: usize| if bytes >= limit { 64 } else { 32 };
    let numbers = |names: &'static str, bits| {
        let count = names.split_whitespace().count() as u32;
        rows(&[(names, count, bits)])
    };
    let name = architecture.unwrap_or_default();
    let (name, mut registers) = match Family::of(name) {
        Family::X86 if name.contains("64") || (name.is_empty() && bytes > 400) => ("i386:x86-64", rows(WIDE_X86)),
        Family::X86 => ("i386", rows(NARROW_X86)),
        Family::Arm => ("arm", rows(ARM)),
        Family::Aarch64 => ("aarch64", rows(AARCH64)),
        Family::Mips => ("mips", numbers(MIPS, wide(38 * 8))),
        Family::RiscV => (if bytes >= 33 * 8 { "riscv:rv64" } else { "riscv:rv32" }, numbers(RISCV, wide(33 * 8))),
        _ if architecture.is_none() => match bytes {
            168 => ("arm", rows(ARM)),
            264 | 788 => (if bytes == 264 { "riscv:rv64" } else { "aarch64" }, Vec::new()),
            _ if bytes >= 500 => ("i386:x86-64", rows(WIDE_X86)),
            _ if (300..500).contains(&bytes) => ("i386", rows(NARROW_X86)),
            _ => ("", Vec::new()),
        },
        _ => ("", Vec::new()),
    };
    if registers.is_empty() {
        registers = match name {
            "aarch64" => rows(AARCH64),
            "riscv:rv64" => numbers(RISCV, 64),
            _ => {
                // Nobody knows: numbers of 32 bits without names.
                let count = (bytes / 4).min(1024) as u32;
                rows(&[("r#", count, 32)])
            }
        };
    }
    // What the reply does not hold is not there.
    let mut size = 0;
    registers.retain(|register| {
        size += register.bits.div_ceil(8) as usize;
        bytes == 0 || size <= bytes
    });
    (if name.is_empty() { "unknown" } else { name }, registers)
}

/// The architecture that these registers are of, when the description does not say.
pub fn guess(registers: &[&Described]) -> &'static str {
    let has = |name: &str| registers.iter().any(|register| register.name == name);
    let bits = |name: &str| registers.iter().find(|register| register.name == name).map_or(0, |register| register.bits);
    let feature = |part: &str| registers.iter().any(|register| register.feature.contains(part));
    match () {
        _ if has("rip") => "i386:x86-64",
        _ if has("eip") => "i386",
        _ if feature(".aarch64.") || (has("x0") && bits("x0") == 64 && has("cpsr")) => "aarch64",
        _ if feature(".arm.") || has("cpsr") => "arm",
        _ if feature(".riscv.") => {
            if bits("pc") == 32 {
                "riscv:rv32"
            } else {
                "riscv:rv64"
            }
        }
        _ if feature(".mips.") => "mips",
        _ if feature(".power.") => "powerpc",
        _ => "unknown",
    }
}

/// What the register `name` is for.
pub fn role(family: Family, bits: u32, name: &str) -> Option<Role> {
    let argument = |prefix: &str, first: u8, count: u8| {
        let index: u8 = name.strip_prefix(prefix)?.parse().ok()?;
        (first..first + count).contains(&index).then(|| Role::Argument(index - first))
    };
    Some(match (family, name) {
        (Family::X86, "rip" | "eip") => Role::Pc,
        (Family::X86, "rsp" | "esp") => Role::Sp,
        (Family::X86, "rbp" | "ebp") => Role::Fp,
        (Family::X86, "eflags") => Role::Flags,
        (Family::X86, "rax" | "eax") => Role::Result,
        (Family::X86, "orig_rax" | "orig_eax") => Role::CallNumber,
        (Family::X86, "rdi") => Role::Argument(0),
        (Family::X86, "rsi") => Role::Argument(1),
        (Family::X86, "rdx") => Role::Argument(2),
        (Family::X86, "rcx") if bits == 64 => Role::Argument(3),
        (Family::X86, "r8") => Role::Argument(4),
        (Family::X86, "r9") => Role::Argument(5),
        (Family::X86, _) => return None,
        (_, "pc" | "pswa") => Role::Pc,
        (Family::Power, "r1") | (Family::Mips, "r29") | (Family::Arm, "r13") | (_, "sp") => Role::Sp,
        (Family::Aarch64, "x29") | (Family::Arm, "r11") | (Family::Mips, "s8" | "r30") | (_, "fp") => Role::Fp,
        (Family::Aarch64, "x30") | (Family::Arm, "r14") | (Family::Mips, "r31") | (_, "lr" | "ra") => Role::Ra,
        (_, "cpsr" | "msr" | "status") => Role::Flags,
        (Family::Mips, "v0" | "r2") => Role::Result,
        (Family::Aarch64, _) => return argument("x", 0, 8),
        (Family::Arm, _) => return argument("r", 0, 4),
        (Family::RiscV, _) => return argument("a", 0, 8),
        (Family::Mips, _) => return argument("a", 0, 4).or_else(|| argument("r", 4, 4)),
        (Family::Power, _) => return argument("r", 3, 8),
        _ => return None,
    })
}
