//! Sessions over hand-made code: what is shown, and what bad code does.

use proptest::prelude::*;

use crate::harness::{run, session, shell};

#[test]
fn code_that_runs_in_circles_ends() {
    // jmp to itself; a jump into the middle of an instruction; a call of itself.
    assert_eq!(shell("wx ebfe; af spin 0; afl; afi~noreturn"), "0x00000000    1 2            spin\nnoreturn: true\n");
    assert_eq!(
        shell("wx ebffc0c3; af odd 0; afb"),
        "0x00000000 0x00000002 00:0000 2 j 0x00000001\n0x00000001 0x00000004 00:0000 3\n"
    );
    assert_eq!(shell("wx e8fbffffffc3; aa; afl"), "0x00000000    1 6            fcn.00000000\n");
}

#[test]
fn errors_say_what_to_do() {
    let mut session = session("malloc://512");
    let said = run(&mut session, "afv; e asm.arch=z80; aa; e asm.arch=x86; af x 0x10000000");
    assert_eq!(
        said.err,
        "Error: no function is at 0x00000000 ('aa' finds the functions of a program, 'af' one)\n\
         Error: asm.arch: 'z80' is not allowed (one of: 6502, arm, bpf, evm, m680x, m68k, mips, ppc, riscv, sh, sparc, sysz, tms320c64x, tricore, wasm, x86, xcore)\n\
         Error: no code is at 0x10000000 ('om' shows what is mapped executable)\n"
    );
}

#[test]
fn arm64_functions_are_found() {
    // bl 0x10; ret; (pad) cbz x0, 0x18; b 0x1c; mov x0, 0; ret
    let code = "wx 04000094c0035fd61f2003d51f2003d5400000b402000014000080d2c0035fd6";
    let said = shell(&format!("{code}; e asm.arch=arm; aa; afl; afb @ 0x10; ax*"));
    assert_eq!(
        said,
        "0x00000000    1 8            fcn.00000000\n0x00000010    4 16           fcn.00000010\n\
         0x00000010 0x00000014 00:0000 4 j 0x00000018 f 0x00000014\n0x00000014 0x00000018 00:0000 4 j 0x0000001c\n\
         0x00000018 0x0000001c 00:0000 4 j 0x0000001c\n0x0000001c 0x00000020 00:0000 4\n\
         axC 0x00000010 0x00000000\naxc 0x00000018 0x00000010\naxc 0x0000001c 0x00000014\n"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_can_be_analysed(
        bytes in prop::collection::vec(any::<u8>(), 1..512),
        arch in prop::sample::select(vec!["x86", "arm"]),
        bits in prop::sample::select(vec![16, 32, 64]),
    ) {
        let mut session = session("malloc://512");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        run(&mut session, &format!("wx {hex}; e asm.arch={arch}; e asm.bits={bits}; aaa; afr x 0x10"));
        let list = run(&mut session, "aflj; afll; afb; afi; axj; afv");
        prop_assert!(!list.out.is_empty());
    }
}
