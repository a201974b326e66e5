//! What instructions of Capstone's architectures do, by their mnemonics.

use super::facts::Machine;
use crate::disasm::{Family, Kind};

/// A kind, and whether it depends on a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub kind: Kind,
    pub conditional: bool,
}

const fn always(kind: Kind) -> Found {
    Found { kind, conditional: false }
}

const fn maybe(kind: Kind) -> Found {
    Found { kind, conditional: true }
}

/// The kind of `mnemonic`.
pub fn kind(machine: Machine, mnemonic: &str, operands: &str) -> Found {
    match machine {
        Machine::Arm64 => arm64(mnemonic),
        Machine::Arm | Machine::Thumb => arm(mnemonic, operands),
        Machine::Mips => mips(mnemonic, operands),
        Machine::Ppc => ppc(mnemonic),
        Machine::Riscv => riscv(mnemonic, operands),
        Machine::Sparc => sparc(mnemonic, operands),
        Machine::Other => other(mnemonic, operands),
    }
}

/// The part of the processor that carries it out.
pub fn family(machine: Machine, mnemonic: &str, kind: Kind) -> Family {
    let vector = match machine {
        Machine::Arm | Machine::Thumb => mnemonic.starts_with('v'),
        Machine::Arm64 => mnemonic.starts_with('f'),
        Machine::Riscv => mnemonic.starts_with('f') && !mnemonic.starts_with("fence"),
        _ => false,
    };
    match kind {
        Kind::Crypto => Family::Crypto,
        _ if vector => Family::Fpu,
        _ => Family::Cpu,
    }
}

/// What most architectures mean by the start of a mnemonic.
fn common(mnemonic: &str) -> Kind {
    const STARTS: &[(&str, Kind)] = &[
        ("nop", Kind::Nop),
        ("mov", Kind::Mov),
        ("addiu", Kind::Add),
        ("add", Kind::Add),
        ("adc", Kind::Add),
        ("inc", Kind::Add),
        ("subs", Kind::Sub),
        ("sub", Kind::Sub),
        ("sbc", Kind::Sub),
        ("rsb", Kind::Sub),
        ("neg", Kind::Sub),
        ("dec", Kind::Sub),
        ("mul", Kind::Mul),
        ("smul", Kind::Mul),
        ("umul", Kind::Mul),
        ("madd", Kind::Mul),
        ("mla", Kind::Mul),
        ("sdiv", Kind::Div),
        ("udiv", Kind::Div),
        ("div", Kind::Div),
        ("rem", Kind::Mod),
        ("and", Kind::And),
        ("bic", Kind::And),
        ("orr", Kind::Or),
        ("ori", Kind::Or),
        ("orn", Kind::Or),
        ("or", Kind::Or),
        ("eor", Kind::Xor),
        ("xor", Kind::Xor),
        ("nor", Kind::Nor),
        ("mvn", Kind::Not),
        ("not", Kind::Not),
        ("lsl", Kind::Shl),
        ("sll", Kind::Shl),
        ("lsr", Kind::Shr),
        ("srl", Kind::Shr),
        ("asr", Kind::Sar),
        ("sra", Kind::Sar),
        ("ror", Kind::Ror),
        ("rol", Kind::Rol),
        ("cmp", Kind::Cmp),
        ("cmn", Kind::Cmp),
        ("tst", Kind::Acmp),
        ("teq", Kind::Acmp),
        ("push", Kind::Push),
        ("pop", Kind::Pop),
        ("swp", Kind::Xchg),
        ("aes", Kind::Crypto),
        ("sha1", Kind::Crypto),
        ("sha256", Kind::Crypto),
        ("dmb", Kind::Sync),
        ("dsb", Kind::Sync),
        ("isb", Kind::Sync),
        ("fence", Kind::Sync),
        ("sync", Kind::Sync),
    ];
    STARTS.iter().find(|(start, _)| mnemonic.starts_with(start)).map_or(Kind::Unknown, |(_, kind)| *kind)
}

fn arm64(mnemonic: &str) -> Found {
    match mnemonic {
        "b" => always(Kind::Jmp),
        "bl" => always(Kind::Call),
        "br" | "braa" | "brab" | "braaz" | "brabz" => always(Kind::Rjmp),
        "blr" | "blraa" | "blrab" | "blraaz" | "blrabz" => always(Kind::Rcall),
        "ret" | "retaa" | "retab" | "eret" => always(Kind::Ret),
        "cbz" | "cbnz" | "tbz" | "tbnz" => maybe(Kind::Cjmp),
        "brk" | "hlt" | "udf" => always(Kind::Trap),
        "svc" | "hvc" | "smc" => always(Kind::Swi),
        "adr" | "adrp" => always(Kind::Lea),
        "hint" | "bti" | "paciasp" | "autiasp" | "yield" => always(Kind::Nop),
        "csel" | "csinc" | "csinv" | "csneg" | "cset" | "csetm" | "cinc" => always(Kind::Cmov),
        _ if mnemonic.starts_with("b.") => maybe(Kind::Cjmp),
        _ if mnemonic.starts_with("ld") => always(Kind::Load),
        _ if mnemonic.starts_with("st") => always(Kind::Store),
        _ => always(common(mnemonic)),
    }
}

const CONDITIONS: &[&str] =
    &["eq", "ne", "hs", "cs", "lo", "cc", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le"];

fn arm(mnemonic: &str, operands: &str) -> Found {
    let narrow = mnemonic.strip_suffix(".w").unwrap_or(mnemonic);
    let (stem, conditional) = match CONDITIONS.iter().find_map(|condition| narrow.strip_suffix(condition)) {
        // These end so without a condition.
        Some(_)
            if matches!(
                narrow,
                "teq" | "mls" | "bls" | "svc" | "smlals" | "umlals" | "muls" | "lsls" | "bics" | "adcs" | "sbcs"
            ) =>
        {
            (if narrow == "bls" { "b" } else { narrow }, narrow == "bls")
        }
        Some(stem) if !stem.is_empty() => (stem, true),
        _ => (narrow, false),
    };
    // A list that holds the program counter returns.
    let into_pc = operands.contains("pc}") || operands.starts_with("pc, ");
    let kind = match stem {
        "b" if conditional => Kind::Cjmp,
        "b" => Kind::Jmp,
        "cbz" | "cbnz" => return maybe(Kind::Cjmp),
        "bl" | "blx" if !operands.starts_with('#') => Kind::Rcall,
        "bl" | "blx" if conditional => Kind::Ccall,
        "bl" | "blx" => Kind::Call,
        "bx" | "bxj" if operands == "lr" && conditional => Kind::Cret,
        "bx" | "bxj" if operands == "lr" => Kind::Ret,
        "bx" | "bxj" | "tbb" | "tbh" => Kind::Rjmp,
        "svc" | "swi" | "hvc" | "smc" => Kind::Swi,
        "bkpt" | "udf" => Kind::Trap,
        "adr" => Kind::Lea,
        "mov" if operands == "pc, lr" => Kind::Ret,
        _ if stem.starts_with("pop") && into_pc => Kind::Ret,
        _ if stem.starts_with("ldm") && into_pc => Kind::Ret,
        _ if stem.starts_with("ldr") && into_pc => Kind::Ujmp,
        _ if stem.starts_with("mov") && into_pc => Kind::Rjmp,
        _ if stem.starts_with("add") && into_pc => Kind::Rjmp,
        _ if stem.starts_with("ld") || stem.starts_with("vldr") || stem.starts_with("vldm") => Kind::Load,
        _ if stem.starts_with("st") || stem.starts_with("vstr") || stem.starts_with("vstm") => Kind::Store,
        _ => common(stem),
    };
    Found { kind, conditional }
}

fn mips(mnemonic: &str, operands: &str) -> Found {
    match mnemonic {
        "j" | "b" | "bc" => always(Kind::Jmp),
        "jal" | "bal" | "jalx" | "balc" => always(Kind::Call),
        "jalr" | "jalrc" | "jialc" | "jalr.hb" => always(Kind::Rcall),
        "jr" | "jrc" | "jr.hb" if operands == "$ra" => always(Kind::Ret),
        "jr" | "jrc" | "jic" | "jr.hb" => always(Kind::Rjmp),
        "syscall" => always(Kind::Swi),
        "break" | "teq" | "sdbbp" => always(Kind::Trap),
        "bgezal" | "bltzal" | "bgezall" | "bltzall" => maybe(Kind::Ccall),
        "break16" => always(Kind::Trap),
        "lui" | "li" | "move" | "mfhi" | "mflo" | "mthi" | "mtlo" => always(Kind::Mov),
        "slt" | "slti" | "sltu" | "sltiu" => always(Kind::Cmp),
        _ if mnemonic.starts_with("c.") => always(Kind::Cmp),
        "movz" | "movn" => always(Kind::Cmov),
        "bitswap" => always(Kind::Unknown),
        _ if mnemonic.starts_with('b') => maybe(Kind::Cjmp),
        _ if mnemonic.starts_with("lw")
            || mnemonic.starts_with("lb")
            || mnemonic.starts_with("lh")
            || mnemonic.starts_with("ld")
            || mnemonic == "ll" =>
        {
            always(Kind::Load)
        }
        "sw" | "sb" | "sh" | "sd" | "swl" | "swr" | "sdl" | "sdr" | "sc" | "swc1" | "sdc1" => always(Kind::Store),
        _ if mnemonic.starts_with("dadd") => always(Kind::Add),
        _ if mnemonic.starts_with("dsub") => always(Kind::Sub),
        _ if mnemonic.starts_with("dsll") => always(Kind::Shl),
        _ if mnemonic.starts_with("dsrl") => always(Kind::Shr),
        _ if mnemonic.starts_with("dsra") => always(Kind::Sar),
        _ => always(common(mnemonic)),
    }
}

fn ppc(mnemonic: &str) -> Found {
    // With a hint which way it goes.
    let stem = mnemonic.trim_end_matches(['+', '-']);
    match stem {
        "b" | "ba" => always(Kind::Jmp),
        "bl" | "bla" => always(Kind::Call),
        "blr" => always(Kind::Ret),
        "bctr" => always(Kind::Rjmp),
        "bctrl" | "blrl" => always(Kind::Rcall),
        "sc" => always(Kind::Swi),
        "trap" | "twi" | "tw" | "tdi" | "td" => always(Kind::Trap),
        "li" | "lis" | "mr" | "mflr" | "mtlr" | "mtctr" | "mfctr" | "mfcr" => always(Kind::Mov),
        _ if stem.starts_with('b') && stem.ends_with("lr") => maybe(Kind::Cret),
        _ if stem.starts_with('b') && stem.ends_with("ctr") => Found { kind: Kind::Rjmp, conditional: true },
        _ if stem.starts_with('b') && stem != "brinc" && stem != "bpermd" => maybe(Kind::Cjmp),
        _ if stem.starts_with("st") => always(Kind::Store),
        _ if stem.starts_with('l') => always(Kind::Load),
        _ if stem.starts_with("cmp") => always(Kind::Cmp),
        _ => always(common(stem)),
    }
}

fn riscv(mnemonic: &str, operands: &str) -> Found {
    let stem = mnemonic.strip_prefix("c.").unwrap_or(mnemonic);
    match stem {
        "j" => always(Kind::Jmp),
        "jal" if operands.starts_with("zero, ") => always(Kind::Jmp),
        "jal" => always(Kind::Call),
        "jr" if operands == "ra" => always(Kind::Ret),
        "jr" => always(Kind::Rjmp),
        "jalr" if operands.starts_with("zero, ra") || operands.starts_with("zero, 0(ra") => always(Kind::Ret),
        "jalr" if operands.starts_with("zero, ") => always(Kind::Rjmp),
        "jalr" => always(Kind::Rcall),
        "ret" | "mret" | "sret" | "uret" => always(Kind::Ret),
        "ecall" => always(Kind::Swi),
        "ebreak" | "unimp" => always(Kind::Trap),
        "li" | "lui" | "mv" => always(Kind::Mov),
        "auipc" => always(Kind::Lea),
        _ if stem.starts_with('b') && operands.contains(", ") && !stem.starts_with("bs") => maybe(Kind::Cjmp),
        "lb" | "lbu" | "lh" | "lhu" | "lw" | "lwu" | "ld" | "flw" | "fld" | "lwsp" | "ldsp" | "fldsp" => {
            always(Kind::Load)
        }
        "sb" | "sh" | "sw" | "sd" | "fsw" | "fsd" | "swsp" | "sdsp" | "fsdsp" => always(Kind::Store),
        _ if stem.starts_with("slt") => always(Kind::Cmp),
        _ => always(common(stem)),
    }
}

fn sparc(mnemonic: &str, operands: &str) -> Found {
    match mnemonic {
        "call" if operands.contains('%') => always(Kind::Rcall),
        "call" => always(Kind::Call),
        "ba" | "b" | "ba,a" | "ba,pt" => always(Kind::Jmp),
        "bn" => always(Kind::Nop),
        "jmp" => always(Kind::Rjmp),
        "ret" | "retl" | "rett" | "return" => always(Kind::Ret),
        "sethi" => always(Kind::Mov),
        "jmpl" => always(Kind::Rcall),
        _ if mnemonic.starts_with("ta") || mnemonic.starts_with('t') && operands.contains('%') => always(Kind::Swi),
        _ if mnemonic.starts_with('b') || mnemonic.starts_with("fb") => maybe(Kind::Cjmp),
        _ if mnemonic.starts_with("ld") => always(Kind::Load),
        _ if mnemonic.starts_with("st") => always(Kind::Store),
        _ => always(common(mnemonic)),
    }
}

/// Architectures without a table of their own: the names that assemblers agree on.
fn other(mnemonic: &str, operands: &str) -> Found {
    let number = super::facts::numbers(operands).last().is_some();
    match mnemonic {
        "jmp" | "bra" | "br" | "bru" | "j" | "ja" if number => always(Kind::Jmp),
        "jmp" | "br" | "bru" | "ji" | "braf" => always(Kind::Rjmp),
        "jsr" | "bsr" | "call" | "brasl" | "bras" if number => always(Kind::Call),
        "jsr" | "bsr" | "call" | "basr" | "calli" | "bsrf" => always(Kind::Rcall),
        "rts" | "ret" | "rti" | "rte" | "exit" | "retsp" | "rfe" | "return" => always(Kind::Ret),
        "brk" | "trap" | "illegal" | "bkpt" | "invalid" => always(Kind::Trap),
        "svc" | "trapa" | "swi" => always(Kind::Swi),
        "nop" => always(Kind::Nop),
        _ if number && (mnemonic.starts_with('b') || mnemonic.starts_with('j')) && mnemonic.len() <= 5 => {
            maybe(Kind::Cjmp)
        }
        _ if mnemonic.starts_with("ld") => always(Kind::Load),
        _ if mnemonic.starts_with("st") => always(Kind::Store),
        _ => always(common(mnemonic)),
    }
}
