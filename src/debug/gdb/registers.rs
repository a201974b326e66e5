//! The registers of a stub as a [`Layout`]: where each lies in the reply to `g`, and where in our sets.

use std::sync::Arc;

use super::classic;
use crate::debug::registers::{Group, Layout, Register, Role, Set, Type};
use crate::protocol::rsp::description::{Described, Description};

/// Most bytes of all registers together.
const MOST: usize = 256 * 1024;

/// Widest register that is shown; wider ones only keep their place.
const WIDEST: u32 = 4096;

/// The sets.
pub const GENERAL: usize = 0;
const VECTOR: usize = 1;
const SYSTEM: usize = 2;

/// A register on the line.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// Its number in packets.
    pub number: u32,
    /// Where it begins in the reply to `g`.
    pub wire: usize,
    /// How many bytes it has.
    pub bytes: usize,
    /// The set it lies in.
    pub set: usize,
    /// Where it begins there.
    pub offset: usize,
}

/// The registers of a process.
#[derive(Debug, Clone)]
pub struct Registers {
    /// For everybody else.
    pub layout: Arc<Layout>,
    /// On the line, in the order of the reply to `g`.
    pub slots: Vec<Slot>,
    /// Bytes of the reply to `g`.
    pub size: usize,
}

/// What is known of an architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    X86,
    Arm,
    Aarch64,
    Mips,
    RiscV,
    Power,
    Other,
}

impl Family {
    /// The family of an architecture as BFD spells it.
    pub fn of(architecture: &str) -> Family {
        match architecture {
            _ if architecture.starts_with("i386") || architecture.starts_with("x86") => Family::X86,
            _ if architecture.starts_with("aarch64") => Family::Aarch64,
            _ if architecture.starts_with("arm") || architecture.starts_with("iwmmxt") => Family::Arm,
            _ if architecture.starts_with("mips") => Family::Mips,
            _ if architecture.starts_with("riscv") => Family::RiscV,
            _ if architecture.starts_with("powerpc") || architecture.starts_with("rs6000") => Family::Power,
            _ => Family::Other,
        }
    }
}

impl Registers {
    /// From what the stub says of itself. `None`: it names no register with a place.
    pub fn described(description: &Description, big_endian: bool) -> Option<Registers> {
        let mut registers: Vec<&Described> = description.registers.iter().collect();
        if registers.is_empty() {
            return None;
        }
        registers.sort_by_key(|register| register.number);
        registers.dedup_by_key(|register| register.number);
        let architecture = description.architecture.clone().unwrap_or_else(|| classic::guess(&registers).to_string());
        Some(build(&architecture, big_endian, &registers))
    }

    /// From the length of the reply to `g`, and what the architecture may be.
    pub fn classic(architecture: Option<&str>, bytes: usize, big_endian: bool) -> Registers {
        let (architecture, registers) = classic::layout(architecture, bytes);
        build(architecture, big_endian, &registers.iter().collect::<Vec<_>>())
    }

    /// The bytes of set `set` out of the reply to `g`. What is not in it is zero.
    pub fn set(&self, wire: &[u8], set: usize) -> Vec<u8> {
        let size = self.layout.sets.get(set).map_or(0, |set| set.size);
        let mut bytes = vec![0; size];
        for slot in self.slots.iter().filter(|slot| slot.set == set) {
            if let (Some(from), Some(to)) =
                (wire.get(slot.wire..slot.wire + slot.bytes), bytes.get_mut(slot.offset..slot.offset + slot.bytes))
            {
                to.copy_from_slice(from);
            }
        }
        bytes
    }

    /// The slot of the register with number `number`.
    pub fn slot(&self, number: u32) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.number == number)
    }
}

struct Builder {
    family: Family,
    bits: u32,
    big_endian: bool,
    sizes: [usize; 3],
    slots: Vec<Slot>,
    registers: Vec<Register>,
}

fn build(architecture: &str, big_endian: bool, registers: &[&Described]) -> Registers {
    let family = Family::of(architecture);
    let wide = |name: &str| registers.iter().find(|register| register.name == name).map(|register| register.bits);
    let bits = wide("pc").or(wide("rip")).or(wide("eip")).or(wide("pswa"));
    let bits = bits.or(registers.iter().find(|register| register.generic == "pc").map(|register| register.bits));
    let bits =
        bits.filter(|bits| matches!(bits, 16 | 32 | 64)).unwrap_or(if architecture.contains("64") { 64 } else { 32 });
    let vectors = family == Family::X86 && wide("xmm0").is_some();
    let mut builder = Builder {
        family,
        bits,
        big_endian,
        // What makes up a vector of x86 is brought together at the front.
        sizes: [0, if vectors { 64 * 32 } else { 0 }, 0],
        slots: Vec::new(),
        registers: Vec::new(),
    };
    let mut wire = 0;
    for register in registers.iter().filter(|register| register.within.is_empty()) {
        let bytes = register.bits.div_ceil(8) as usize;
        let at = register.offset.map_or(wire, |offset| offset as usize);
        if at.saturating_add(bytes) > MOST {
            break;
        }
        wire = wire.max(at + bytes);
        if register.bits <= WIDEST && !register.name.is_empty() {
            builder.whole(register, at, bytes, vectors);
        }
    }
    for register in registers.iter().filter(|register| !register.within.is_empty()) {
        builder.part(register);
    }
    builder.parts();
    let set = |name: &str, size| Set { name: name.to_string(), size };
    let sets = vec![
        set("general", builder.sizes[GENERAL]),
        set("vector", builder.sizes[VECTOR]),
        set("system", builder.sizes[SYSTEM]),
    ];
    let layout = Layout::new(architecture, bits, big_endian, sets, builder.registers);
    Registers { layout: Arc::new(layout), slots: builder.slots, size: wire }
}

/// `xmm3`: 3 behind `xmm`, and nothing else.
fn index(name: &str, prefix: &str, suffix: &str) -> Option<usize> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    digits.parse().ok().filter(|index| *index < 64 && !digits.starts_with('+'))
}

impl Builder {
    fn group(&self, register: &Described) -> (Group, usize) {
        let name = register.name.as_str();
        let feature = register.feature.as_str();
        if self.family == Family::X86 {
            let starts = |prefix: &str| index(name, prefix, "").or(index(name, prefix, "h")).is_some();
            match name {
                _ if starts("xmm") => return (Group::Xmm, VECTOR),
                _ if starts("ymm") => return (Group::Ymm, VECTOR),
                _ if starts("zmm") || index(name, "k", "").is_some() => return (Group::Zmm, VECTOR),
                _ if starts("st") || starts("mm") => return (Group::Float, VECTOR),
                "fctrl" | "fstat" | "ftag" | "fiseg" | "fioff" | "foseg" | "fooff" | "fop" | "mxcsr" => {
                    return (Group::Float, VECTOR);
                }
                "cs" | "ss" | "ds" | "es" | "fs" | "gs" | "fs_base" | "gs_base" => return (Group::Segment, GENERAL),
                "orig_rax" | "orig_eax" => return (Group::System, GENERAL),
                "pkru" => return (Group::System, VECTOR),
                "k_gs_base" | "efer" | "cr0" | "cr2" | "cr3" | "cr4" | "cr8" => return (Group::System, SYSTEM),
                _ => {}
            }
        }
        let core = feature.ends_with(".core") || feature.ends_with(".cpu") || register.group == "general";
        match () {
            _ if register.group == "float" || register.group == "vector" => (Group::Float, VECTOR),
            _ if ["fpu", "vfp", "simd", "sve", "vector", "altivec", "vsx", "neon", "float", "dsp"]
                .iter()
                .any(|part| feature.contains(part)) =>
            {
                (Group::Float, VECTOR)
            }
            _ if ["i387", "ieee", "vec", "float", "double"].iter().any(|part| register.kind.contains(part)) => {
                (Group::Float, VECTOR)
            }
            _ if core || feature.is_empty() || self.role(register).is_some() => (Group::General, GENERAL),
            _ if register.bits > 64 => (Group::Float, VECTOR),
            _ => (Group::System, SYSTEM),
        }
    }

    fn whole(&mut self, register: &Described, wire: usize, bytes: usize, vectors: bool) {
        let (group, set) = self.group(register);
        let name = register.name.as_str();
        let half = |prefix: &str, suffix: &str| index(name, prefix, suffix).filter(|index| *index < 32);
        let fixed = match () {
            _ if !vectors => None,
            _ if bytes == 16 && half("xmm", "").is_some() => half("xmm", "").map(|index| index * 64),
            _ if bytes == 16 && half("ymm", "h").is_some() => half("ymm", "h").map(|index| index * 64 + 16),
            _ if bytes == 32 && half("zmm", "h").is_some() => half("zmm", "h").map(|index| index * 64 + 32),
            _ => None,
        };
        let offset = fixed.unwrap_or_else(|| {
            let offset = self.sizes[set];
            // Numbers of half the width are shown in whole ones, too (`rflags`); the rest is packed.
            let room = if set == GENERAL && !self.big_endian { bytes.max(self.bits as usize / 8) } else { bytes };
            self.sizes[set] += room;
            offset
        });
        self.slots.push(Slot { number: register.number, wire, bytes, set, offset });
        let (role, kind) = (self.role(register), self.kind(register, group));
        self.registers.push(Register {
            name: name.to_string(),
            bits: register.bits,
            set,
            offset,
            bit: 0,
            group,
            kind,
            number: Some(register.number),
            dwarf: register.dwarf.or_else(|| self.dwarf(name)),
            role,
            feature: register.feature.clone(),
        });
    }

    /// One that the stub describes as a part of another (LLDB); its place there is not always said.
    fn part(&mut self, register: &Described) {
        let Some(holder) =
            register.within.first().and_then(|number| self.slots.iter().find(|slot| slot.number == *number))
        else {
            return;
        };
        let begin = register.offset.map_or(Some(0), |offset| (offset as usize).checked_sub(holder.wire));
        let bytes = register.bits.div_ceil(8) as usize;
        let Some(begin) = begin.filter(|begin| begin + bytes <= holder.bytes) else { return };
        let (set, offset) = (holder.set, holder.offset + begin);
        if !self.has(&register.name) {
            let group = if set == GENERAL { Group::General } else { Group::Float };
            self.add(&register.name, set, offset, register.bits, group, Type::Integer);
        }
    }

    fn has(&self, name: &str) -> bool {
        self.registers.iter().any(|register| register.name == name)
    }

    fn add(&mut self, name: &str, set: usize, offset: usize, bits: u32, group: Group, kind: Type) {
        self.registers.push(Register {
            name: name.to_string(),
            bits,
            set,
            offset,
            bit: 0,
            group,
            kind,
            number: None,
            dwarf: None,
            role: None,
            feature: String::new(),
        });
    }

    fn kind(&self, register: &Described, group: Group) -> Type {
        match register.kind.as_str() {
            "code_ptr" => Type::Code,
            "data_ptr" => Type::Data,
            kind if kind.contains("flags") || kind.contains("eflags") || kind.ends_with("cpsr") => Type::Flags,
            kind if kind.starts_with("i387") || kind.starts_with("ieee") => Type::Float,
            _ => match group {
                Group::Xmm | Group::Ymm => Type::Vector,
                _ if register.bits > 64 => Type::Vector,
                _ if register.name == "eflags" || register.name == "cpsr" => Type::Flags,
                _ => Type::Integer,
            },
        }
    }

    fn role(&self, register: &Described) -> Option<Role> {
        let generic = match register.generic.as_str() {
            "pc" => Some(Role::Pc),
            "sp" => Some(Role::Sp),
            "fp" => Some(Role::Fp),
            "ra" => Some(Role::Ra),
            "flags" => Some(Role::Flags),
            _ => None,
        };
        generic.or_else(|| classic::role(self.family, self.bits, &register.name))
    }

    /// DWARF's numbers of the general registers, where they are not gdb's (System V ABI supplement for x86).
    fn dwarf(&self, name: &str) -> Option<u16> {
        if self.family != Family::X86 {
            return None;
        }
        const WIDE: [&str; 17] = [
            "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
            "r15", "rip",
        ];
        const NARROW: [&str; 9] = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip"];
        let names: &[&str] = if self.bits == 64 { &WIDE } else { &NARROW };
        names.iter().position(|known| *known == name).and_then(|at| u16::try_from(at).ok())
    }

    /// Parts of registers, and single flags, that no stub describes.
    fn parts(&mut self) {
        match self.family {
            Family::X86 => self.parts_of_x86(),
            Family::Aarch64 => {
                for index in 0..31 {
                    self.low(&format!("x{index}"), &format!("w{index}"), 0, 32);
                }
                self.flags("cpsr", &[("n", 31), ("z", 30), ("c", 29), ("v", 28)]);
                self.alias("x30", "lr");
                self.alias("x29", "fp");
            }
            Family::Arm => self.flags("cpsr", &[("n", 31), ("z", 30), ("c", 29), ("v", 28), ("t", 5)]),
            _ => {}
        }
    }

    /// The place of a whole register.
    fn place(&self, name: &str) -> Option<(usize, usize, u32)> {
        let register = self.registers.iter().find(|register| register.name == name && register.number.is_some())?;
        Some((register.set, register.offset, register.bits))
    }

    /// `bits` of `whole` from its byte `byte` on, by the name `part`.
    fn low(&mut self, whole: &str, part: &str, byte: usize, bits: u32) {
        if let Some((set, offset, size)) = self.place(whole)
            && size as usize >= byte * 8 + bits as usize
            && !self.has(part)
        {
            let bytes = (bits / 8) as usize;
            let offset = if self.big_endian { offset + (size / 8) as usize - byte - bytes } else { offset + byte };
            self.add(part, set, offset, bits, Group::General, Type::Integer);
        }
    }

    fn alias(&mut self, whole: &str, name: &str) {
        if let Some((_, _, bits)) = self.place(whole) {
            self.low(whole, name, 0, bits);
        }
    }

    fn flags(&mut self, whole: &str, flags: &[(&str, u32)]) {
        let Some((set, offset, size)) = self.place(whole) else { return };
        for (name, bit) in flags {
            let byte = (bit / 8) as usize;
            let offset = if self.big_endian { offset + (size / 8) as usize - 1 - byte } else { offset + byte };
            if *bit < size && !self.has(name) {
                self.add(name, set, offset, 1, Group::Flag, Type::Flags);
                if let Some(last) = self.registers.last_mut() {
                    last.bit = bit % 8;
                }
            }
        }
    }

    fn parts_of_x86(&mut self) {
        for index in 0..32 {
            for (prefix, bits) in [("ymm", 256), ("zmm", 512)] {
                // Whole when its upper half is there.
                if self.has(&format!("{prefix}{index}h")) && !self.has(&format!("{prefix}{index}")) {
                    let group = if bits == 256 { Group::Ymm } else { Group::Zmm };
                    self.add(&format!("{prefix}{index}"), VECTOR, index * 64, bits, group, Type::Vector);
                }
            }
        }
        for index in 0..8 {
            if let Some((set, offset, 80)) = self.place(&format!("st{index}"))
                && !self.has(&format!("mm{index}"))
            {
                self.add(&format!("mm{index}"), set, offset, 64, Group::Mmx, Type::Vector);
            }
        }
        let wide = self.bits == 64;
        if wide {
            if let Some((set, offset, _)) = self.place("eflags") {
                self.add("rflags", set, offset, 64, Group::General, Type::Integer);
            }
            if let Some((set, offset, 64)) = self.place("orig_rax") {
                self.add("orax", set, offset, 64, Group::General, Type::Integer);
            }
            for name in ["ax", "bx", "cx", "dx", "si", "di", "bp", "sp", "ip"] {
                self.low(&format!("r{name}"), &format!("e{name}"), 0, 32);
            }
        }
        let prefix = if wide { "r" } else { "e" };
        for letter in ["a", "b", "c", "d"] {
            let whole = format!("{prefix}{letter}x");
            self.low(&whole, &format!("{letter}x"), 0, 16);
            self.low(&whole, &format!("{letter}l"), 0, 8);
            self.low(&whole, &format!("{letter}h"), 1, 8);
        }
        for name in ["si", "di", "bp", "sp", "ip"] {
            self.low(&format!("{prefix}{name}"), name, 0, 16);
            if wide && name != "ip" {
                self.low(&format!("r{name}"), &format!("{name}l"), 0, 8);
            }
        }
        if wide {
            for index in 8..16 {
                for (suffix, bits) in [("d", 32), ("w", 16), ("b", 8)] {
                    self.low(&format!("r{index}"), &format!("r{index}{suffix}"), 0, bits);
                }
            }
        }
        const FLAGS: [(&str, u32); 9] =
            [("cf", 0), ("pf", 2), ("af", 4), ("zf", 6), ("sf", 7), ("tf", 8), ("if", 9), ("df", 10), ("of", 11)];
        self.flags("eflags", &FLAGS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_without_a_description_has_the_classic_registers() {
        // gdbserver without XML: rax..gs, st0..7, fctrl..fop, xmm0..15, mxcsr and what Linux adds.
        let registers = Registers::classic(None, 536, false);
        let layout = &registers.layout;
        assert_eq!((layout.architecture.as_str(), layout.bits), ("i386:x86-64", 64));
        let wire = |name: &str| registers.slot(layout.find(name).unwrap().number.unwrap()).unwrap().wire;
        assert_eq!((wire("rax"), wire("rip"), wire("eflags"), wire("st0"), wire("xmm0")), (0, 128, 136, 164, 276));
        let mut bytes = vec![0; 536];
        bytes[0..8].copy_from_slice(&0x1122_3344_5566_7788u64.to_le_bytes());
        bytes[136] = 0x40;
        let set = registers.set(&bytes, GENERAL);
        for (name, value) in [("eax", 0x5566_7788), ("ah", 0x77), ("zf", 1), ("cf", 0), ("rflags", 0x40)] {
            assert_eq!(layout.find(name).unwrap().value(&set, false), Some(value), "{name}");
        }
        assert_eq!(layout.find("pc").unwrap().name, "rip");
        assert_eq!(Registers::classic(None, 308, false).layout.architecture, "i386");
        assert_eq!(Registers::classic(Some("mips"), 38 * 4, true).layout.find("pc").unwrap().number, Some(37));
        assert_eq!(Registers::classic(Some("arm"), 168, false).layout.find("cpsr").unwrap().number, Some(25));
        assert_eq!(Registers::classic(Some("aarch64"), 788, false).layout.find("pc").unwrap().number, Some(32));
        assert!(Registers::classic(Some("unheard-of"), 40, false).layout.registers.len() == 10);
    }

    #[test]
    fn halves_of_vectors_come_together() {
        let described = |name: &str, number, bits| Described {
            name: name.into(),
            number,
            bits,
            feature: "org.gnu.gdb.i386.avx".into(),
            ..Described::default()
        };
        let description = Description {
            architecture: Some("i386:x86-64".into()),
            system: None,
            registers: vec![described("rip", 0, 64), described("xmm0", 1, 128), described("ymm0h", 2, 128)],
        };
        let registers = Registers::described(&description, false).unwrap();
        let wire: Vec<u8> = (0..40).collect();
        let ymm = registers.layout.find("ymm0").unwrap();
        assert_eq!(&registers.set(&wire, ymm.set)[ymm.range()], &wire[8..40]);
    }
}
