//! Names of machines: the formats' numbers, and what `asm.arch` and `asm.cpu` call them.

use object::{Architecture, elf};

/// A machine as the options describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// `asm.arch`.
    pub arch: &'static str,
    /// `asm.cpu`; empty when any will do.
    pub cpu: &'static str,
    /// `asm.bits`; 0: as wide as the file's class.
    pub bits: u32,
    /// What people call it.
    pub name: &'static str,
}

const fn machine(arch: &'static str, cpu: &'static str, bits: u32, name: &'static str) -> Machine {
    Machine { arch, cpu, bits, name }
}

/// The machine of an ELF file by `e_machine` (gABI, chapter 4).
pub fn of_elf(machine_number: elf::Machine) -> Machine {
    match machine_number {
        elf::EM_386 => machine("x86", "", 32, "Intel 80386"),
        elf::EM_IAMCU => machine("x86", "", 32, "Intel MCU"),
        elf::EM_X86_64 => machine("x86", "", 0, "AMD x86-64 architecture"),
        elf::EM_ARM => machine("arm", "", 32, "ARM"),
        elf::EM_AARCH64 => machine("arm", "", 64, "ARM aarch64"),
        elf::EM_MIPS | elf::EM_MIPS_RS3_LE => machine("mips", "", 0, "MIPS R3000"),
        elf::EM_PPC => machine("ppc", "", 32, "PowerPC"),
        elf::EM_PPC64 => machine("ppc", "", 64, "PowerPC 64-bit"),
        elf::EM_RISCV => machine("riscv", "", 0, "RISC-V"),
        elf::EM_SPARC | elf::EM_SPARC32PLUS => machine("sparc", "", 32, "SUN SPARC"),
        elf::EM_SPARCV9 => machine("sparc", "v9", 64, "SPARC v9 64-bit"),
        elf::EM_S390 => machine("sysz", "", 64, "IBM S390"),
        elf::EM_68K => machine("m68k", "", 32, "Motorola m68k family"),
        elf::EM_BPF => machine("bpf", "", 64, "Linux BPF"),
        elf::EM_SH => machine("sh", "", 32, "Hitachi SH"),
        elf::EM_TRICORE => machine("tricore", "", 32, "Siemens Tricore"),
        elf::EM_XCORE => machine("xcore", "", 32, "XMOS xCORE"),
        elf::EM_TI_C6000 => machine("tms320c64x", "", 32, "TMS320C6000"),
        elf::EM_AVR => machine("avr", "", 8, "Atmel AVR 8-bit"),
        elf::EM_MSP430 => machine("msp430", "", 16, "TI MSP430"),
        elf::EM_LOONGARCH => machine("loongarch", "", 0, "LoongArch"),
        elf::EM_ALPHA => machine("alpha", "", 64, "Digital Alpha"),
        elf::EM_IA_64 => machine("ia64", "", 64, "Intel IA-64"),
        elf::EM_PARISC => machine("hppa", "", 0, "HPPA"),
        elf::EM_XTENSA => machine("xtensa", "", 32, "Tensilica Xtensa"),
        elf::EM_HEXAGON => machine("hexagon", "", 32, "QUALCOMM Hexagon"),
        elf::EM_NONE => machine("null", "", 0, "none"),
        _ => machine("null", "", 0, "unknown"),
    }
}

/// The machine of the other formats.
pub fn of(architecture: Architecture) -> Machine {
    match architecture {
        Architecture::X86_64 => machine("x86", "", 64, "AMD 64"),
        Architecture::X86_64_X32 => machine("x86", "", 64, "AMD 64 x32"),
        Architecture::I386 => machine("x86", "", 32, "i386"),
        Architecture::Arm => machine("arm", "", 32, "ARM"),
        Architecture::Aarch64 | Architecture::Aarch64_Ilp32 => machine("arm", "", 64, "ARM 64"),
        Architecture::Mips => machine("mips", "", 32, "MIPS"),
        Architecture::Mips64 | Architecture::Mips64_N32 => machine("mips", "", 64, "MIPS 64"),
        Architecture::PowerPc => machine("ppc", "", 32, "PowerPC"),
        Architecture::PowerPc64 => machine("ppc", "", 64, "PowerPC 64"),
        Architecture::Riscv32 => machine("riscv", "", 32, "RISC-V 32"),
        Architecture::Riscv64 => machine("riscv", "", 64, "RISC-V 64"),
        Architecture::Sparc64 => machine("sparc", "v9", 64, "SPARC 64"),
        Architecture::Sparc | Architecture::Sparc32Plus => machine("sparc", "", 32, "SPARC"),
        Architecture::S390x => machine("sysz", "", 64, "IBM S390"),
        Architecture::M68k => machine("m68k", "", 32, "m68k"),
        Architecture::SuperH => machine("sh", "", 32, "SuperH"),
        Architecture::Wasm32 => machine("wasm", "", 32, "WebAssembly"),
        Architecture::Wasm64 => machine("wasm", "", 64, "WebAssembly 64"),
        Architecture::LoongArch64 => machine("loongarch", "", 64, "LoongArch 64"),
        Architecture::LoongArch32 => machine("loongarch", "", 32, "LoongArch 32"),
        _ => machine("null", "", 0, "unknown"),
    }
}
