//! Every architecture but x86, by Capstone.

mod facts;
mod kinds;
mod mips;

use ::capstone::{Arch, Capstone as Handle, Endian, ExtraMode, Mode};

use super::{Architecture, Disassembler, Instruction, Names, Settings, Syntax, Text};
use crate::error::{Error, Kind as Failure, Result};
use facts::Reading;

/// Disassembles through one of Capstone's architectures.
pub struct Capstone {
    handle: Handle,
    shape: Shape,
    trap: &'static [u8],
    /// Of MIPS: whether the high byte comes first.
    mips: Option<bool>,
    reading: Reading,
    /// What the last decode found; kept with their memory from one to the next.
    decoded: Vec<Text>,
    /// What each of them names.
    facts: Vec<Instruction>,
}

/// What instructions of an architecture look like.
#[derive(Debug, Clone, Copy)]
struct Shape {
    shortest: usize,
    longest: usize,
    alignment: usize,
    nop: &'static [u8],
}

const fn shape(shortest: usize, longest: usize, alignment: usize, nop: &'static [u8]) -> Shape {
    Shape { shortest, longest, alignment, nop }
}

impl Capstone {
    /// For `architecture` with `bits` of its word sizes.
    ///
    /// # Errors
    /// [`Failure::NotFound`] for an unknown model; [`Failure::Unsupported`] for what the library does not have.
    pub fn open(architecture: &'static Architecture, bits: u32, settings: &Settings) -> Result<Capstone> {
        let cpu = settings.cpu.as_str();
        if !cpu.is_empty() && !architecture.cpus.contains(&cpu) {
            // A model of another architecture may still be set: only one that nothing has is a slip.
            let known = super::ARCHITECTURES.iter().any(|other| other.cpus.contains(&cpu));
            if !known {
                let error = Error::new(
                    Failure::NotFound,
                    format!("{} has no model '{}'", architecture.name, crate::output::visible(cpu)),
                );
                return Err(match architecture.cpus {
                    [] => error.hint("set asm.cpu to nothing"),
                    cpus => error.hint(format!("asm.cpu is one of: {}", cpus.join(", "))),
                });
            }
        }
        let big = settings.big_endian;
        let endian = Some(if big { Endian::Big } else { Endian::Little });
        let (arch, mode, extra, endian, shape) = choose(architecture.name, bits, cpu, big, endian);
        let unsupported = |error| {
            Error::new(
                Failure::Unsupported,
                format!("cannot disassemble {} with {bits} bits: {error}", architecture.name),
            )
        };
        let mut handle = Handle::new_raw(arch, mode, extra.into_iter(), endian).map_err(unsupported)?;
        if settings.syntax == Syntax::Regnum {
            // Architectures without that notation keep theirs.
            let _ = handle.set_syntax(::capstone::Syntax::NoRegName);
        }
        Ok(Capstone {
            handle,
            shape,
            trap: trap(architecture.name, bits, big),
            mips: (architecture.name == "mips" && cpu != "micro").then_some(big),
            reading: Reading::of(architecture.name, bits),
            decoded: Vec::new(),
            facts: Vec::new(),
        })
    }
}

/// Capstone's words for an architecture, and what its instructions look like.
fn choose(
    name: &str,
    bits: u32,
    cpu: &str,
    big: bool,
    endian: Option<Endian>,
) -> (Arch, Mode, Option<ExtraMode>, Option<Endian>, Shape) {
    const ARM: [Shape; 2] = [shape(4, 4, 4, b"\x00\x00\xa0\xe1"), shape(4, 4, 4, b"\xe1\xa0\x00\x00")];
    const THUMB: [Shape; 2] = [shape(2, 4, 2, b"\x00\xbf"), shape(2, 4, 2, b"\xbf\x00")];
    const ZERO: Shape = shape(4, 4, 4, &[0; 4]);
    let side = usize::from(big);
    match (name, bits) {
        ("arm", 64) => (
            Arch::ARM64,
            Mode::Arm,
            None,
            endian,
            [shape(4, 4, 4, b"\x1f\x20\x03\xd5"), shape(4, 4, 4, b"\xd5\x03\x20\x1f")][side],
        ),
        ("arm", 16) => {
            let extra = match cpu {
                "cortexm" => Some(ExtraMode::MClass),
                "v8" => Some(ExtraMode::V8),
                _ => None,
            };
            (Arch::ARM, Mode::Thumb, extra, endian, THUMB[side])
        }
        ("arm", _) => (Arch::ARM, Mode::Arm, (cpu == "v8").then_some(ExtraMode::V8), endian, ARM[side]),
        ("mips", bits) => {
            let (mode, extra) = match cpu {
                "r6" => (Mode::Mips32R6, None),
                "micro" => (Mode::Mips32, Some(ExtraMode::Micro)),
                _ if bits == 64 => (Mode::Mips64, None),
                _ => (Mode::Mips32, None),
            };
            let shape =
                if extra.is_some() { [shape(2, 4, 2, b"\x00\x0c"), shape(2, 4, 2, b"\x0c\x00")][side] } else { ZERO };
            (Arch::MIPS, mode, extra, endian, shape)
        }
        ("ppc", bits) => {
            let mode = match cpu {
                "qpx" => Mode::Qpx,
                _ if bits == 64 => Mode::Mode64,
                _ => Mode::Mode32,
            };
            (
                Arch::PPC,
                mode,
                None,
                endian,
                [shape(4, 4, 4, b"\x00\x00\x00\x60"), shape(4, 4, 4, b"\x60\x00\x00\x00")][side],
            )
        }
        ("riscv", bits) => {
            let mode = if bits == 32 { Mode::RiscV32 } else { Mode::RiscV64 };
            let compressed = cpu != "nc";
            let shape =
                if compressed { shape(2, 4, 2, b"\x13\x00\x00\x00") } else { shape(4, 4, 4, b"\x13\x00\x00\x00") };
            (Arch::RISCV, mode, compressed.then_some(ExtraMode::RiscVC), None, shape)
        }
        ("sparc", bits) => {
            let mode = if bits == 64 || cpu == "v9" { Mode::V9 } else { Mode::Arm };
            (Arch::SPARC, mode, None, Some(Endian::Big), shape(4, 4, 4, b"\x01\x00\x00\x00"))
        }
        ("sysz", _) => (Arch::SYSZ, Mode::Arm, None, Some(Endian::Big), shape(2, 6, 2, b"\x07\x07")),
        ("m68k", _) => {
            let mode = match cpu {
                "68000" => Mode::M68k000,
                "68010" => Mode::M68k010,
                "68020" => Mode::M68k020,
                "68030" => Mode::M68k030,
                _ => Mode::M68k040,
            };
            (Arch::M68K, mode, None, Some(Endian::Big), shape(2, 22, 2, b"\x4e\x71"))
        }
        ("m680x", _) => {
            let (mode, nop): (Mode, &'static [u8]) = match cpu {
                "6301" => (Mode::M680x6301, b"\x01"),
                "6309" => (Mode::M680x6309, b"\x12"),
                "6800" => (Mode::M680x6800, b"\x01"),
                "6801" => (Mode::M680x6801, b"\x01"),
                "6805" => (Mode::M680x6805, b"\x9d"),
                "6808" => (Mode::M680x6808, b"\x9d"),
                "6811" => (Mode::M680x6811, b"\x01"),
                "cpu12" => (Mode::M680xCpu12, b"\xa7"),
                "hcs08" => (Mode::M680xHcs08, b"\x9d"),
                _ => (Mode::M680x6809, b"\x12"),
            };
            (Arch::M680X, mode, None, None, shape(1, 9, 1, nop))
        }
        ("6502", _) => {
            let mode = match cpu {
                "65c02" => Mode::Mos65xx65c02,
                "w65c02" => Mode::Mos65xxW65c02,
                _ => Mode::Mos65xx6502,
            };
            (Arch::MOS65XX, mode, None, None, shape(1, 4, 1, b"\xea"))
        }
        ("bpf", bits) => {
            let mode = if bits == 32 { Mode::Cbpf } else { Mode::Ebpf };
            // A jump to what follows.
            let nop = b"\x05\x00\x00\x00\x00\x00\x00\x00";
            (Arch::BPF, mode, None, endian, shape(8, 16, 8, nop))
        }
        ("sh", _) => {
            let mode = match cpu {
                "sh2" => Mode::Sh2,
                "sh2a" => Mode::Sh2a,
                "sh3" => Mode::Sh3,
                "sh4a" => Mode::Sh4a,
                _ => Mode::Sh4,
            };
            (Arch::SH, mode, None, endian, [shape(2, 4, 2, b"\x09\x00"), shape(2, 4, 2, b"\x00\x09")][side])
        }
        ("tms320c64x", _) => (Arch::TMS320C64X, Mode::Arm, None, Some(Endian::Big), ZERO),
        ("tricore", _) => {
            let mode = match cpu {
                "110" => Mode::TriCore110,
                "120" => Mode::TriCore120,
                "130" => Mode::TriCore130,
                "131" => Mode::TriCore131,
                "160" => Mode::TriCore160,
                "161" => Mode::TriCore161,
                _ => Mode::TriCore162,
            };
            (Arch::TRICORE, mode, None, None, shape(2, 4, 2, b"\x00\x00"))
        }
        ("evm", _) => (Arch::EVM, Mode::Arm, None, None, shape(1, 33, 1, b"\x5b")),
        // The last of the table: xcore.
        _ => (Arch::XCORE, Mode::Arm, None, None, shape(2, 4, 2, b"\x00\x00")),
    }
}

/// What stops the processor for a debugger.
fn trap(name: &str, bits: u32, big: bool) -> &'static [u8] {
    match (name, bits, big) {
        ("arm", 64, _) => b"\x00\x00\x20\xd4",
        ("arm", 16, false) => b"\xfe\xde",
        ("arm", 16, true) => b"\xde\xfe",
        ("arm", _, false) => b"\xfe\xde\xff\xe7",
        ("arm", _, true) => b"\xe7\xff\xde\xfe",
        ("mips", _, false) => b"\x0d\x00\x00\x00",
        ("mips", _, true) => b"\x00\x00\x00\x0d",
        ("ppc", _, false) => b"\x08\x00\xe0\x7f",
        ("ppc", _, true) => b"\x7f\xe0\x00\x08",
        ("riscv", ..) => b"\x73\x00\x10\x00",
        ("sparc", ..) => b"\x91\xd0\x20\x01",
        ("6502", ..) => b"\x00",
        _ => b"",
    }
}

impl Disassembler for Capstone {
    fn decode(&mut self, address: u64, bytes: &[u8], starts: usize, into: &mut [Instruction]) -> usize {
        let starts = starts.min(bytes.len());
        if self.decoded.len() < into.len() {
            self.decoded.resize(into.len(), Text::default());
        }
        self.facts.clear();
        // Only lack of memory: what cannot be decoded is said below.
        let mut found = self.handle.disasm_iter(bytes, address).ok();
        let (mut at, mut count) = (0, 0);
        for (text, instruction) in self.decoded.iter_mut().zip(into) {
            if at >= starts {
                break;
            }
            let here = address.wrapping_add(at as u64);
            text.clear();
            let next = found.as_mut().and_then(|found| found.next());
            match next {
                Some(next) if next.len() > 0 && next.len() <= bytes.len() - at => {
                    text.mnemonic.push_str(next.mnemonic().unwrap_or_default());
                    text.operands.push_str(next.op_str().unwrap_or_default());
                    *instruction = Instruction { address: here, size: next.len() as u32, ..Instruction::default() };
                    self.reading.read(text, instruction);
                    at += next.len();
                }
                _ => {
                    let step = self.shape.shortest.min(bytes.len() - at);
                    *instruction = Instruction::invalid(here, step as u32);
                    if self.mips.is_some_and(|big| mips::compare(&self.handle, &bytes[at..], big, here, text)) {
                        *instruction = Instruction { address: here, size: step as u32, ..Instruction::default() };
                        self.reading.read(text, instruction);
                    }
                    at += step;
                    if let Some(found) = found.as_mut() {
                        found.reset(&bytes[at..], address.wrapping_add(at as u64));
                    }
                }
            }
            self.facts.push(*instruction);
            count += 1;
        }
        count
    }

    fn text(&mut self, index: usize, names: &dyn Names, text: &mut Text) {
        text.clear();
        match (self.decoded.get(index), self.facts.get(index)) {
            (Some(decoded), Some(instruction)) if instruction.is_valid() => {
                text.mnemonic.push_str(&decoded.mnemonic);
                self.reading.write(decoded, instruction, names, &mut text.operands);
            }
            _ => text.mnemonic.push_str("invalid"),
        }
    }

    fn shortest(&self) -> usize {
        self.shape.shortest
    }
    fn longest(&self) -> usize {
        self.shape.longest
    }
    fn alignment(&self) -> usize {
        self.shape.alignment
    }
    fn nop(&self) -> &'static [u8] {
        self.shape.nop
    }
    fn trap(&self) -> &'static [u8] {
        self.trap
    }
}
