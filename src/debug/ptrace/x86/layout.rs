//! The registers of x86 as tables, numbered as gdb does.

use std::sync::{Arc, OnceLock};

use super::vector::{self, Area};
use crate::debug::registers::{Group, Layout, Register, Role, Set, Type};

/// The two kinds of programs that run on x86-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    W32,
    W64,
}

/// Set 0: `user_regs_struct`. Set 1: what [`vector`] makes of the XSAVE area. Set 2: the debug registers.
pub const GENERAL: usize = 0;
pub const VECTOR: usize = 1;
pub const DEBUG: usize = 2;

const CORE: &str = "org.gnu.gdb.i386.core";

/// gdb's order of the general registers: name, index in `user_regs_struct`, DWARF number.
const WIDE: [(&str, usize, Option<u16>); 17] = [
    ("rax", 10, Some(0)),
    ("rbx", 5, Some(3)),
    ("rcx", 11, Some(2)),
    ("rdx", 12, Some(1)),
    ("rsi", 13, Some(4)),
    ("rdi", 14, Some(5)),
    ("rbp", 4, Some(6)),
    ("rsp", 19, Some(7)),
    ("r8", 9, Some(8)),
    ("r9", 8, Some(9)),
    ("r10", 7, Some(10)),
    ("r11", 6, Some(11)),
    ("r12", 3, Some(12)),
    ("r13", 2, Some(13)),
    ("r14", 1, Some(14)),
    ("r15", 0, Some(15)),
    ("rip", 16, Some(16)),
];

const NARROW: [(&str, usize, Option<u16>); 9] = [
    ("eax", 10, Some(0)),
    ("ecx", 11, Some(1)),
    ("edx", 12, Some(2)),
    ("ebx", 5, Some(3)),
    ("esp", 19, Some(4)),
    ("ebp", 4, Some(5)),
    ("esi", 13, Some(6)),
    ("edi", 14, Some(7)),
    ("eip", 16, Some(8)),
];

const SEGMENTS: [(&str, usize); 6] = [("cs", 17), ("ss", 20), ("ds", 23), ("es", 24), ("fs", 25), ("gs", 26)];

const FLAGS: [(&str, u32); 9] =
    [("cf", 0), ("pf", 2), ("af", 4), ("zf", 6), ("sf", 7), ("tf", 8), ("if", 9), ("df", 10), ("of", 11)];

/// What rizin calls these, too.
const EXTRA_WIDE: [(&str, usize, u32, Group); 2] =
    [("rflags", 18, 64, Group::General), ("orax", 15, 64, Group::General)];

fn role(name: &str, width: Width) -> Option<Role> {
    Some(match (name, width) {
        ("rip" | "eip", _) => Role::Pc,
        ("rsp" | "esp", _) => Role::Sp,
        ("rbp" | "ebp", _) => Role::Fp,
        ("eflags", _) => Role::Flags,
        ("rax" | "eax", _) => Role::Result,
        ("orig_rax" | "orig_eax", _) => Role::CallNumber,
        ("rdi", _) => Role::Argument(0),
        ("rsi", _) => Role::Argument(1),
        ("rdx", _) => Role::Argument(2),
        ("rcx", Width::W64) => Role::Argument(3),
        ("r8", _) => Role::Argument(4),
        ("r9", _) => Role::Argument(5),
        _ => return None,
    })
}

/// The index in `user_regs_struct` of a general register, by gdb's number.
pub fn general_index(width: Width, number: u16) -> Option<usize> {
    let number = usize::from(number);
    let (main, flags) = match width {
        Width::W64 => (WIDE.get(number).map(|entry| entry.1), 17),
        Width::W32 => (NARROW.get(number).map(|entry| entry.1), 9),
    };
    let segment = number.checked_sub(flags + 1).and_then(|at| SEGMENTS.get(at));
    match (width, number) {
        _ if main.is_some() => main,
        _ if number == flags => Some(18),
        _ if segment.is_some() => segment.map(|entry| entry.1),
        (Width::W64, 0x39) | (Width::W32, 41) => Some(15),
        (Width::W64, 0x3a) => Some(21),
        (Width::W64, 0x3b) => Some(22),
        _ => None,
    }
}

/// The layout of programs of one width on this processor.
pub fn of(width: Width) -> Arc<Layout> {
    static WIDE: OnceLock<Arc<Layout>> = OnceLock::new();
    static NARROW: OnceLock<Arc<Layout>> = OnceLock::new();
    let place = if width == Width::W64 { &WIDE } else { &NARROW };
    Arc::clone(place.get_or_init(|| Arc::new(build(width, Area::of_this_processor()))))
}

struct Builder {
    width: Width,
    registers: Vec<Register>,
    number: u32,
}

impl Builder {
    #[allow(clippy::too_many_arguments)] // A row of a table.
    fn add(&mut self, name: &str, set: usize, offset: usize, bits: u32, group: Group, kind: Type, feature: &str) {
        let number = (!feature.is_empty()).then_some(self.number);
        if number.is_some() {
            self.number += 1;
        }
        self.registers.push(Register {
            name: name.to_string(),
            bits,
            set,
            offset,
            bit: 0,
            group,
            kind,
            number,
            dwarf: None,
            role: role(name, self.width),
            feature: feature.to_string(),
        });
    }
}

fn build(width: Width, area: &Area) -> Layout {
    let mut builder = Builder { width, registers: Vec::new(), number: 0 };
    core(&mut builder);
    vectors(&mut builder, area);
    parts(&mut builder);
    let (architecture, bits) = match width {
        Width::W64 => ("i386:x86-64", 64),
        Width::W32 => ("i386", 32),
    };
    let set = |name: &str, size| Set { name: name.to_string(), size };
    let sets = vec![set("general", 27 * 8), set("vector", vector::SIZE), set("debug", 64)];
    Layout::new(architecture, bits, false, sets, builder.registers)
}

fn core(builder: &mut Builder) {
    let wide = builder.width == Width::W64;
    let (main, bits): (&[_], _) = if wide { (&WIDE, 64) } else { (&NARROW, 32) };
    for (name, index, dwarf) in main {
        let kind = match *name {
            "rip" | "eip" => Type::Code,
            "rsp" | "rbp" | "esp" | "ebp" => Type::Data,
            _ => Type::Integer,
        };
        builder.add(name, GENERAL, index * 8, bits, Group::General, kind, CORE);
        if let Some(last) = builder.registers.last_mut() {
            last.dwarf = *dwarf;
        }
    }
    builder.add("eflags", GENERAL, 18 * 8, 32, Group::General, Type::Flags, CORE);
    for (name, index) in SEGMENTS {
        builder.add(name, GENERAL, index * 8, 32, Group::Segment, Type::Integer, CORE);
    }
    for index in 0..8 {
        let offset = vector::ST + 16 * index;
        builder.add(&format!("st{index}"), VECTOR, offset, 80, Group::Float, Type::Float, CORE);
    }
    for (index, name) in ["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"].into_iter().enumerate() {
        builder.add(name, VECTOR, vector::CONTROL + 4 * index, 32, Group::Float, Type::Integer, CORE);
    }
    let feature = "org.gnu.gdb.i386.sse";
    for index in 0..if wide { 16 } else { 8 } {
        builder.add(&format!("xmm{index}"), VECTOR, 64 * index, 128, Group::Xmm, Type::Vector, feature);
    }
    builder.add("mxcsr", VECTOR, vector::MXCSR, 32, Group::Float, Type::Flags, feature);
    let name = if wide { "orig_rax" } else { "orig_eax" };
    builder.add(name, GENERAL, 15 * 8, bits, Group::System, Type::Integer, "org.gnu.gdb.i386.linux");
    if wide {
        let feature = "org.gnu.gdb.i386.segments";
        builder.add("fs_base", GENERAL, 21 * 8, 64, Group::Segment, Type::Integer, feature);
        builder.add("gs_base", GENERAL, 22 * 8, 64, Group::Segment, Type::Integer, feature);
    }
}

fn vectors(builder: &mut Builder, area: &Area) {
    let wide = builder.width == Width::W64;
    let count = if wide { 16 } else { 8 };
    if area.has_avx() {
        for index in 0..count {
            let feature = "org.gnu.gdb.i386.avx";
            builder.add(&format!("ymm{index}h"), VECTOR, 64 * index + 16, 128, Group::Ymm, Type::Vector, feature);
        }
    }
    if area.has_avx512() {
        let feature = "org.gnu.gdb.i386.avx512";
        if wide {
            for index in 16..32 {
                builder.add(&format!("xmm{index}"), VECTOR, 64 * index, 128, Group::Xmm, Type::Vector, feature);
            }
            for index in 16..32 {
                builder.add(&format!("ymm{index}h"), VECTOR, 64 * index + 16, 128, Group::Ymm, Type::Vector, feature);
            }
        }
        for index in 0..8 {
            let offset = vector::MASKS + 8 * index;
            builder.add(&format!("k{index}"), VECTOR, offset, 64, Group::Zmm, Type::Integer, feature);
        }
        for index in 0..if wide { 32 } else { 8 } {
            builder.add(&format!("zmm{index}h"), VECTOR, 64 * index + 32, 256, Group::Zmm, Type::Vector, feature);
        }
    }
    if area.has_keys() {
        builder.add("pkru", VECTOR, vector::PKRU, 32, Group::System, Type::Flags, "org.gnu.gdb.i386.pkeys");
    }
    // Whole ones, for people; gdb puts them together itself.
    if area.has_avx() {
        for index in 0..if wide && area.has_avx512() { 32 } else { count } {
            builder.add(&format!("ymm{index}"), VECTOR, 64 * index, 256, Group::Ymm, Type::Vector, "");
        }
    }
    if area.has_avx512() {
        for index in 0..if wide { 32 } else { 8 } {
            builder.add(&format!("zmm{index}"), VECTOR, 64 * index, 512, Group::Zmm, Type::Vector, "");
        }
    }
    for index in 0..8 {
        builder.add(&format!("mm{index}"), VECTOR, vector::ST + 16 * index, 64, Group::Mmx, Type::Vector, "");
    }
    for index in [0, 1, 2, 3, 6, 7] {
        let bits = if wide { 64 } else { 32 };
        builder.add(&format!("dr{index}"), DEBUG, 8 * index, bits, Group::Debug, Type::Integer, "");
    }
}

/// Parts of registers, and single flags.
fn parts(builder: &mut Builder) {
    let wide = builder.width == Width::W64;
    let mut add = |name: &str, index: usize, byte: usize, bits: u32| {
        builder.add(name, GENERAL, index * 8 + byte, bits, Group::General, Type::Integer, "");
    };
    if wide {
        for (name, index, bits, _) in EXTRA_WIDE {
            add(name, index, 0, bits);
        }
        for (name, index, _) in NARROW {
            add(name, index, 0, 32);
        }
    }
    for (letter, index) in [("a", 10), ("b", 5), ("c", 11), ("d", 12)] {
        add(&format!("{letter}x"), index, 0, 16);
        add(&format!("{letter}l"), index, 0, 8);
        add(&format!("{letter}h"), index, 1, 8);
    }
    for (name, index) in [("si", 13), ("di", 14), ("bp", 4), ("sp", 19), ("ip", 16)] {
        add(name, index, 0, 16);
        if wide && name != "ip" {
            add(&format!("{name}l"), index, 0, 8);
        }
    }
    if wide {
        for (name, index, _) in WIDE.iter().filter(|entry| entry.0.starts_with('r') && entry.1 <= 9) {
            if name.as_bytes().get(1).is_some_and(u8::is_ascii_digit) {
                for (suffix, bits) in [("d", 32), ("w", 16), ("b", 8)] {
                    add(&format!("{name}{suffix}"), *index, 0, bits);
                }
            }
        }
    }
    for (name, bit) in FLAGS {
        builder.add(name, GENERAL, 18 * 8 + (bit / 8) as usize, 1, Group::Flag, Type::Flags, "");
        if let Some(last) = builder.registers.last_mut() {
            last.bit = bit % 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_that_gdb_knows() {
        let wide = of(Width::W64);
        for (name, number) in [
            ("rax", 0),
            ("rbx", 1),
            ("rsp", 7),
            ("rip", 0x10),
            ("eflags", 0x11),
            ("gs", 0x17),
            ("st0", 0x18),
            ("fctrl", 0x20),
            ("xmm0", 0x28),
            ("mxcsr", 0x38),
            ("orig_rax", 0x39),
            ("fs_base", 0x3a),
            ("gs_base", 0x3b),
        ] {
            assert_eq!(wide.find(name).and_then(|register| register.number), Some(number), "{name}");
            assert_eq!(wide.numbered(number).map(|register| register.name.as_str()), Some(name));
        }
        let narrow = of(Width::W32);
        assert_eq!(narrow.find("eip").and_then(|register| register.number), Some(8));
        assert_eq!(narrow.find("orig_eax").and_then(|register| register.number), Some(41));
        for (width, layout) in [(Width::W64, &wide), (Width::W32, &narrow)] {
            for register in &layout.registers {
                let Some(number) = register.number.filter(|_| register.set == GENERAL) else { continue };
                assert_eq!(general_index(width, number as u16).map(|index| index * 8), Some(register.offset));
            }
            let mut names: Vec<_> = layout.registers.iter().map(|register| &register.name).collect();
            names.sort();
            let all = names.len();
            names.dedup();
            assert_eq!(names.len(), all, "a name is there twice");
        }
    }

    #[test]
    fn parts_and_flags_lie_in_their_registers() {
        let layout = of(Width::W64);
        let mut set = vec![0; layout.sets[GENERAL].size];
        assert!(layout.find("rax").unwrap().set_value(&mut set, 0x1122_3344_5566_7788, false));
        for (name, value) in [("eax", 0x5566_7788), ("ax", 0x7788), ("al", 0x88), ("ah", 0x77)] {
            assert_eq!(layout.find(name).unwrap().value(&set, false), Some(value), "{name}");
        }
        assert!(layout.find("of").unwrap().set_value(&mut set, 1, false));
        assert!(layout.find("zf").unwrap().set_value(&mut set, 1, false));
        assert_eq!(layout.find("eflags").unwrap().value(&set, false), Some(0x840));
        assert!(!layout.find("zf").unwrap().set_value(&mut set, 2, false));
        assert_eq!(layout.find("sp").unwrap().bits, 16);
        assert_eq!(layout.find("pc").unwrap().name, "rip");
    }
}
