//! Other processors: text, kinds and targets of instructions that every program has.

use proptest::prelude::*;
use remora::disasm::{ARCHITECTURES, Base, Instruction, Kind, Settings, Text, disassembler};

struct Row {
    arch: &'static str,
    bits: u32,
    big: bool,
    bytes: &'static [u8],
    text: &'static str,
    kind: Kind,
    jump: Option<u64>,
}

const fn row(
    (arch, bits, big): (&'static str, u32, bool),
    bytes: &'static [u8],
    text: &'static str,
    kind: Kind,
    jump: Option<u64>,
) -> Row {
    Row { arch, bits, big, bytes, text, kind, jump }
}

const ARM64: (&str, u32, bool) = ("arm", 64, false);
const ARM: (&str, u32, bool) = ("arm", 32, false);
const THUMB: (&str, u32, bool) = ("arm", 16, false);
const MIPS: (&str, u32, bool) = ("mips", 32, true);
const PPC: (&str, u32, bool) = ("ppc", 32, true);
const RISCV: (&str, u32, bool) = ("riscv", 64, false);
const SPARC: (&str, u32, bool) = ("sparc", 32, true);
const S390: (&str, u32, bool) = ("sysz", 64, true);

/// At 0x1000.
const ROWS: &[Row] = &[
    row(ARM64, b"\xfd\x7b\xbf\xa9", "stp x29, x30, [sp, -0x10]!", Kind::Store, None),
    row(ARM64, b"\x04\x00\x00\x94", "bl 0x1010", Kind::Call, Some(0x1010)),
    row(ARM64, b"\xc0\xff\xff\x54", "b.eq 0xff8", Kind::Cjmp, Some(0xff8)),
    row(ARM64, b"\xc0\x03\x5f\xd6", "ret", Kind::Ret, None),
    row(ARM64, b"\x40\x00\x00\xb4", "cbz x0, 0x1008", Kind::Cjmp, Some(0x1008)),
    row(ARM64, b"\x01\x00\x00\xd4", "svc 0", Kind::Swi, None),
    row(ARM, b"\x02\x00\x00\xeb", "bl 0x1010", Kind::Call, Some(0x1010)),
    row(ARM, b"\x1e\xff\x2f\xe1", "bx lr", Kind::Ret, None),
    row(ARM, b"\x10\x80\xbd\xe8", "pop {r4, pc}", Kind::Ret, None),
    row(ARM, b"\xfe\xff\xff\x0a", "beq 0x1000", Kind::Cjmp, Some(0x1000)),
    row(THUMB, b"\x70\x47", "bx lr", Kind::Ret, None),
    row(THUMB, b"\x80\xb5", "push {r7, lr}", Kind::Push, None),
    row(THUMB, b"\xfe\xe7", "b 0x1000", Kind::Jmp, Some(0x1000)),
    row(MIPS, b"\x0c\x00\x04\x04", "jal 0x1010", Kind::Call, Some(0x1010)),
    row(MIPS, b"\x03\xe0\x00\x08", "jr $ra", Kind::Ret, None),
    row(MIPS, b"\x27\xbd\xff\xe0", "addiu $sp, $sp, -0x20", Kind::Add, None),
    row(MIPS, b"\x46\x20\x11\x3c", "c.lt.d $fcc1, $f2, $f0", Kind::Cmp, None),
    row(PPC, b"\x4e\x80\x00\x20", "blr", Kind::Ret, None),
    row(PPC, b"\x48\x00\x00\x11", "bl 0x1010", Kind::Call, Some(0x1010)),
    row(RISCV, b"\x41\x11", "c.addi sp, -0x10", Kind::Add, None),
    row(RISCV, b"\xef\x00\x00\x01", "jal 0x1010", Kind::Call, Some(0x1010)),
    row(RISCV, b"\x82\x80", "c.jr ra", Kind::Ret, None),
    row(RISCV, b"\x63\x08\xb5\x00", "beq a0, a1, 0x1010", Kind::Cjmp, Some(0x1010)),
    row(SPARC, b"\x81\xc3\xe0\x08", "retl", Kind::Ret, None),
    row(S390, b"\x07\xfe", "br %r14", Kind::Rjmp, None),
];

#[test]
fn instructions_of_other_processors() {
    let mut wrong = Vec::new();
    for row in ROWS {
        let settings = Settings { arch: row.arch.into(), bits: row.bits, big_endian: row.big, ..Settings::default() };
        let mut opened = disassembler(&settings).expect("it opens");
        let (mut instruction, mut text) = (Instruction::default(), Text::default());
        opened.one(0x1000, row.bytes, &mut instruction);
        opened.text(0, &(), &mut text);
        let found = (text.to_string(), instruction.kind, instruction.jump);
        if found != (row.text.to_string(), row.kind, row.jump) || instruction.size as usize != row.bytes.len() {
            wrong.push(format!("{} {} {:02x?}: {found:?}", row.arch, row.bits, row.bytes));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn frames_are_told() {
    type Told = (&'static str, u32, bool, &'static [u8], Option<(Base, i64)>, i64);
    let rows: &[Told] = &[
        ("x86", 64, false, b"\x48\x83\xec\x18", None, 0x18),
        ("x86", 64, false, b"\x55", None, 8),
        ("x86", 64, false, b"\x8b\x45\xfc", Some((Base::Frame, -4)), 0),
        ("x86", 32, false, b"\x8b\x44\x24\x08", Some((Base::Stack, 8)), 0),
        ("arm", 64, false, b"\xff\x83\x00\xd1", None, 0x20),
        ("arm", 64, false, b"\xfd\x7b\xbf\xa9", Some((Base::Stack, -0x10)), 0x10),
        ("arm", 64, false, b"\xe0\x0f\x00\xf9", Some((Base::Stack, 0x18)), 0),
        ("mips", 32, true, b"\x27\xbd\xff\xe0", None, 0x20),
        ("riscv", 64, false, b"\x41\x11", None, 0x10),
    ];
    for (arch, bits, big_endian, bytes, local, stack) in rows {
        let settings = Settings { arch: (*arch).into(), bits: *bits, big_endian: *big_endian, ..Settings::default() };
        let mut instruction = Instruction::default();
        assert!(disassembler(&settings).unwrap().one(0x1000, bytes, &mut instruction));
        assert_eq!((instruction.local, instruction.stack), (*local, *stack), "{arch} {bytes:02x?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the bytes: decoding advances to their end and never beyond it.
    #[test]
    fn any_bytes_are_stepped_through(
        which in 0..ARCHITECTURES.len(),
        big_endian: bool,
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        address in prop_oneof![Just(0u64), Just(0x401000), Just(u64::MAX - 20)],
    ) {
        let architecture = &ARCHITECTURES[which];
        for bits in architecture.bits {
            let settings = Settings { arch: architecture.name.into(), bits: *bits, big_endian, ..Settings::default() };
            let mut opened = disassembler(&settings).unwrap();
            let (mut found, mut text, mut at) = ([Instruction::default(); 7], Text::default(), 0);
            while at < bytes.len() {
                let count = opened.decode(address.wrapping_add(at as u64), &bytes[at..], bytes.len() - at, &mut found);
                prop_assert!(count > 0);
                for (index, instruction) in found[..count].iter().enumerate() {
                    prop_assert_eq!(instruction.address, address.wrapping_add(at as u64));
                    prop_assert!(instruction.size > 0 && instruction.size as usize <= opened.longest());
                    opened.text(index, &(), &mut text);
                    prop_assert!(!text.mnemonic.is_empty());
                    at += instruction.size as usize;
                }
            }
            prop_assert_eq!(at, bytes.len());
        }
    }
}
