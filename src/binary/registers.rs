//! The general registers of a process as Linux lays them out in core files and for debuggers (`user_regs_struct`).

/// Register names of x86-64.
const X86_64: &[&str] = &[
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi", "orig_rax",
    "rip", "cs", "rflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
];

const X86: &[&str] = &[
    "ebx", "ecx", "edx", "esi", "edi", "ebp", "eax", "ds", "es", "fs", "gs", "orig_eax", "eip", "cs", "eflags", "esp",
    "ss",
];

const ARM: &[&str] = &[
    "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "fp", "ip", "sp", "lr", "pc", "cpsr", "orig_r0",
];

const ARM64: &[&str] = &[
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
    "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30", "sp", "pc", "pstate",
];

const RISCV: &[&str] = &[
    "pc", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "s2",
    "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
];

/// Names for machines whose order is not known here.
const OTHER: &[&str] = &[
    "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "r16", "r17",
    "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29", "r30", "r31",
];

/// Architecture and word size of the machine number in an ELF header.
pub(super) fn machine(number: u16, wide: bool) -> (&'static str, u32) {
    let bits = if wide { 64 } else { 32 };
    let arch = match number {
        3 | 62 => "x86",
        40 | 183 => "arm",
        243 => "riscv",
        8 | 10 => "mips",
        20 | 21 => "ppc",
        2 | 18 | 43 => "sparc",
        22 => "s390",
        _ => "null",
    };
    (arch, bits)
}

/// The names of the general registers of `arch` in the order of their layout.
pub fn names(arch: &str, bits: u32) -> &'static [&'static str] {
    match (arch, bits) {
        ("x86", 64) => X86_64,
        ("x86", _) => X86,
        ("arm", 64) => ARM64,
        ("arm", _) => ARM,
        ("riscv", _) => RISCV,
        _ => OTHER,
    }
}

/// Names and values of the registers in `bytes`.
pub fn named(arch: &str, bits: u32, big_endian: bool, bytes: &[u8]) -> Vec<(&'static str, u64)> {
    let size = if bits == 64 { 8 } else { 4 };
    let fold = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
    let values = bytes
        .chunks_exact(size)
        .map(|bytes| if big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) });
    names(arch, bits).iter().copied().zip(values).collect()
}

/// The name of the program counter and of the stack pointer.
pub fn roles(arch: &str, bits: u32) -> (&'static str, &'static str) {
    match (arch, bits) {
        ("x86", 64) => ("rip", "rsp"),
        ("x86", _) => ("eip", "esp"),
        _ => ("pc", "sp"),
    }
}
