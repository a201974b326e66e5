//! The architectures, under the names that `asm.arch` has for them.

/// An architecture.
#[derive(Debug, PartialEq, Eq)]
pub struct Architecture {
    /// What `asm.arch` calls it.
    pub name: &'static str,
    /// Its word sizes (`asm.bits`), the usual one first.
    pub bits: &'static [u32],
    /// Models that `asm.cpu` can choose, the usual one first; empty: there is no choice.
    pub cpus: &'static [&'static str],
    /// What it is.
    pub summary: &'static str,
    /// Whether instructions can be assembled for it.
    pub assembles: bool,
}

impl Architecture {
    /// `wanted`, when the architecture has it, else its usual word size.
    pub fn bits_for(&self, wanted: u32) -> u32 {
        if self.bits.contains(&wanted) { wanted } else { self.bits.first().copied().unwrap_or(32) }
    }
}

const fn architecture(
    name: &'static str,
    bits: &'static [u32],
    cpus: &'static [&'static str],
    summary: &'static str,
) -> Architecture {
    Architecture { name, bits, cpus, summary, assembles: false }
}

/// Every architecture, sorted by name.
#[rustfmt::skip]
pub const ARCHITECTURES: &[Architecture] = &[
    architecture("6502", &[8], &["6502", "65c02", "w65c02"], "MOS 6502 and its kin"),
    architecture("arm", &[32, 16, 64], &["v7", "v8", "cortexm"], "ARM (32), Thumb (16), AArch64 (64)"),
    architecture("bpf", &[64, 32], &[], "Berkeley packet filter: extended (64), classic (32)"),
    architecture("evm", &[32], &[], "Ethereum virtual machine"),
    architecture("m680x", &[8], &["6809", "6301", "6309", "6800", "6801", "6805", "6808", "6811", "cpu12", "hcs08"], "Motorola 6800 and its kin"),
    architecture("m68k", &[32], &["68040", "68000", "68010", "68020", "68030"], "Motorola 68000"),
    architecture("mips", &[32, 64], &["mips", "r6", "micro"], "MIPS"),
    architecture("ppc", &[32, 64], &["ppc", "qpx"], "PowerPC"),
    architecture("riscv", &[64, 32], &["c", "nc"], "RISC-V"),
    architecture("sh", &[32], &["sh4", "sh2", "sh2a", "sh3", "sh4a"], "SuperH"),
    architecture("sparc", &[32, 64], &["v8", "v9"], "SPARC"),
    architecture("sysz", &[64], &[], "IBM z/Architecture (s390x)"),
    architecture("tms320c64x", &[32], &[], "Texas Instruments TMS320C64x"),
    architecture("tricore", &[32], &["162", "110", "120", "130", "131", "160", "161"], "Infineon TriCore"),
    architecture("wasm", &[32, 64], &[], "WebAssembly"),
    Architecture { name: "x86", bits: &[64, 16, 32], cpus: &[], summary: "x86", assembles: true },
    architecture("xcore", &[32], &[], "XMOS XCore"),
];

/// The names of [`ARCHITECTURES`], for `e asm.arch=?`.
pub const NAMES: &[&str] = &[
    "6502",
    "arm",
    "bpf",
    "evm",
    "m680x",
    "m68k",
    "mips",
    "ppc",
    "riscv",
    "sh",
    "sparc",
    "sysz",
    "tms320c64x",
    "tricore",
    "wasm",
    "x86",
    "xcore",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disasm::{Instruction, Settings, disassembler};

    #[test]
    fn every_architecture_opens_with_all_that_it_says_it_has() {
        let names: Vec<&str> = ARCHITECTURES.iter().map(|architecture| architecture.name).collect();
        assert_eq!(names, NAMES);
        assert!(names.is_sorted());
        let mut wrong = Vec::new();
        for architecture in ARCHITECTURES {
            for bits in architecture.bits {
                for cpu in architecture.cpus.iter().chain(&[""]) {
                    for big_endian in [false, true] {
                        let settings = Settings {
                            arch: architecture.name.into(),
                            bits: *bits,
                            big_endian,
                            cpu: (*cpu).into(),
                            ..Settings::default()
                        };
                        if let Err(what) = opens(&settings) {
                            wrong.push(format!("{settings:?}: {what}"));
                        }
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn opens(settings: &Settings) -> Result<(), String> {
        let mut opened = disassembler(settings).map_err(|error| error.to_string())?;
        assert!(opened.shortest() <= opened.longest() && opened.alignment() > 0);
        let nop = opened.nop();
        let mut instruction = Instruction::default();
        if opened.one(0x1000, nop, &mut instruction) && instruction.size as usize == nop.len() {
            return Ok(());
        }
        Err(format!("{nop:x?} is {instruction:?}"))
    }
}
