//! What each x86 instruction does, by its mnemonic.

use std::sync::OnceLock;

use iced_x86::{Code, Mnemonic as M};

use crate::disasm::{Family, Kind};

/// The kind of what `mnemonic` names, as far as it does not depend on operands.
pub fn kind(mnemonic: M) -> Kind {
    match mnemonic {
        M::Mov
        | M::Movzx
        | M::Movsx
        | M::Movsxd
        | M::Movaps
        | M::Movups
        | M::Movapd
        | M::Movupd
        | M::Movdqa
        | M::Movdqu
        | M::Movd
        | M::Movq
        | M::Movss
        | M::Movsd
        | M::Movsb
        | M::Movsw
        | M::Movsq
        | M::Movbe
        | M::Movhps
        | M::Movlps
        | M::Movhpd
        | M::Movlpd
        | M::Movhlps
        | M::Movlhps
        | M::Movnti
        | M::Movntdq
        | M::Movntps
        | M::Lddqu
        | M::Lahf
        | M::Sahf
        | M::Stosb
        | M::Stosw
        | M::Stosd
        | M::Stosq
        | M::Lodsb
        | M::Lodsw
        | M::Lodsd
        | M::Lodsq
        | M::Vmovaps
        | M::Vmovups
        | M::Vmovapd
        | M::Vmovupd
        | M::Vmovdqa
        | M::Vmovdqu
        | M::Vmovd
        | M::Vmovq
        | M::Vmovss
        | M::Vmovsd
        | M::Vmovdqu8
        | M::Vmovdqu16
        | M::Vmovdqu32
        | M::Vmovdqu64
        | M::Vmovdqa32
        | M::Vmovdqa64
        | M::Vmovntdq
        | M::Vmovntps => Kind::Mov,
        M::Sete
        | M::Setne
        | M::Seta
        | M::Setae
        | M::Setb
        | M::Setbe
        | M::Setg
        | M::Setge
        | M::Setl
        | M::Setle
        | M::Seto
        | M::Setno
        | M::Setp
        | M::Setnp
        | M::Sets
        | M::Setns => Kind::Mov,
        M::Cmove
        | M::Cmovne
        | M::Cmova
        | M::Cmovae
        | M::Cmovb
        | M::Cmovbe
        | M::Cmovg
        | M::Cmovge
        | M::Cmovl
        | M::Cmovle
        | M::Cmovo
        | M::Cmovno
        | M::Cmovp
        | M::Cmovnp
        | M::Cmovs
        | M::Cmovns => Kind::Cmov,
        M::Push | M::Pusha | M::Pushad | M::Pushf | M::Pushfd | M::Pushfq | M::Enter => Kind::Push,
        M::Pop | M::Popa | M::Popad | M::Popf | M::Popfd | M::Popfq => Kind::Pop,
        M::Nop | M::Fnop | M::Endbr32 | M::Endbr64 | M::Pause | M::Reservednop => Kind::Nop,
        M::Lea => Kind::Lea,
        M::Leave => Kind::Leave,
        M::Cmp
        | M::Cmpsb
        | M::Cmpsw
        | M::Cmpsd
        | M::Cmpsq
        | M::Scasb
        | M::Scasw
        | M::Scasd
        | M::Scasq
        | M::Comiss
        | M::Comisd
        | M::Ucomiss
        | M::Ucomisd
        | M::Vcomiss
        | M::Vcomisd
        | M::Vucomiss
        | M::Vucomisd
        | M::Fcomi
        | M::Fcomip
        | M::Fucomi
        | M::Fucomip => Kind::Cmp,
        M::Test | M::Ptest | M::Vptest | M::Bt => Kind::Acmp,
        M::Add
        | M::Adc
        | M::Inc
        | M::Xadd
        | M::Addss
        | M::Addsd
        | M::Addps
        | M::Addpd
        | M::Paddb
        | M::Paddw
        | M::Paddd
        | M::Paddq
        | M::Vaddss
        | M::Vaddsd
        | M::Vaddps
        | M::Vaddpd
        | M::Vpaddb
        | M::Vpaddw
        | M::Vpaddd
        | M::Vpaddq
        | M::Adcx
        | M::Adox
        | M::Fadd
        | M::Faddp
        | M::Fiadd => Kind::Add,
        M::Sub
        | M::Sbb
        | M::Dec
        | M::Neg
        | M::Subss
        | M::Subsd
        | M::Subps
        | M::Subpd
        | M::Psubb
        | M::Psubw
        | M::Psubd
        | M::Psubq
        | M::Vsubss
        | M::Vsubsd
        | M::Vsubps
        | M::Vsubpd
        | M::Vpsubb
        | M::Vpsubw
        | M::Vpsubd
        | M::Vpsubq
        | M::Fsub
        | M::Fsubp
        | M::Fisub => Kind::Sub,
        M::Mul
        | M::Imul
        | M::Mulx
        | M::Mulss
        | M::Mulsd
        | M::Mulps
        | M::Mulpd
        | M::Vmulss
        | M::Vmulsd
        | M::Vmulps
        | M::Vmulpd
        | M::Pmuludq
        | M::Pmulld
        | M::Fmul
        | M::Fmulp
        | M::Fimul => Kind::Mul,
        M::Div
        | M::Idiv
        | M::Divss
        | M::Divsd
        | M::Divps
        | M::Divpd
        | M::Vdivss
        | M::Vdivsd
        | M::Vdivps
        | M::Vdivpd
        | M::Fdiv
        | M::Fdivp
        | M::Fidiv => Kind::Div,
        M::Shr | M::Shrd | M::Shrx | M::Psrlw | M::Psrld | M::Psrlq | M::Psrldq => Kind::Shr,
        M::Shl | M::Shld | M::Shlx | M::Psllw | M::Pslld | M::Psllq | M::Pslldq => Kind::Shl,
        M::Sal => Kind::Sal,
        M::Sar | M::Sarx | M::Psraw | M::Psrad => Kind::Sar,
        M::Or | M::Por | M::Orps | M::Orpd | M::Vpor | M::Vorps | M::Bts => Kind::Or,
        M::And | M::Andn | M::Pand | M::Andps | M::Andpd | M::Vpand | M::Vandps | M::Btr | M::Pandn => Kind::And,
        M::Xor | M::Pxor | M::Xorps | M::Xorpd | M::Vpxor | M::Vxorps | M::Vxorpd | M::Btc => Kind::Xor,
        M::Not => Kind::Not,
        M::Ror | M::Rcr | M::Rorx => Kind::Ror,
        M::Rol | M::Rcl => Kind::Rol,
        M::Xchg | M::Cmpxchg | M::Cmpxchg8b | M::Cmpxchg16b | M::Bswap | M::Fxch => Kind::Xchg,
        M::Cbw
        | M::Cwde
        | M::Cdqe
        | M::Cwd
        | M::Cdq
        | M::Cqo
        | M::Cvtsi2sd
        | M::Cvtsi2ss
        | M::Cvttsd2si
        | M::Cvttss2si
        | M::Cvtsd2ss
        | M::Cvtss2sd => Kind::Cast,
        M::Int3 | M::Int1 | M::Hlt | M::Ud0 | M::Ud1 | M::Ud2 => Kind::Trap,
        M::Int | M::Into | M::Syscall | M::Sysenter => Kind::Swi,
        M::Ret | M::Retf | M::Iret | M::Iretd | M::Iretq | M::Sysret | M::Sysexit => Kind::Ret,
        M::Call => Kind::Call,
        M::Jmp => Kind::Jmp,
        M::In | M::Out | M::Insb | M::Insw | M::Insd | M::Outsb | M::Outsw | M::Outsd => Kind::Io,
        M::Fld | M::Fild | M::Fldz | M::Fld1 | M::Fldcw | M::Ldmxcsr => Kind::Load,
        M::Fst | M::Fstp | M::Fist | M::Fistp | M::Fisttp | M::Fnstcw | M::Stmxcsr => Kind::Store,
        M::Mfence
        | M::Lfence
        | M::Sfence
        | M::Prefetchnta
        | M::Prefetcht0
        | M::Prefetcht1
        | M::Prefetcht2
        | M::Prefetchw
        | M::Clflush
        | M::Clflushopt => Kind::Sync,
        M::Aesenc
        | M::Aesenclast
        | M::Aesdec
        | M::Aesdeclast
        | M::Aesimc
        | M::Aeskeygenassist
        | M::Sha1msg1
        | M::Sha1msg2
        | M::Sha1rnds4
        | M::Sha1nexte
        | M::Sha256msg1
        | M::Sha256msg2
        | M::Sha256rnds2
        | M::Pclmulqdq => Kind::Crypto,
        _ => Kind::Unknown,
    }
}

/// Kind and family of every code, by its number; made once.
pub fn table() -> &'static [(Kind, Family)] {
    static TABLE: OnceLock<Vec<(Kind, Family)>> = OnceLock::new();
    TABLE.get_or_init(|| Code::values().map(|code| (kind(code.mnemonic()), family(code))).collect())
}

/// The part of the processor that carries `code` out.
fn family(code: Code) -> Family {
    let (kind, name) = (kind(code.mnemonic()), format!("{code:?}"));
    match kind {
        _ if code.is_privileged() => Family::Priv,
        Kind::Crypto => Family::Crypto,
        Kind::Io => Family::Io,
        _ if name.starts_with('F') => Family::Fpu,
        _ if name.contains("xmm") || name.contains("ymm") || name.contains("zmm") => Family::Sse,
        _ if name.contains("_mm") => Family::Mmx,
        _ => Family::Cpu,
    }
}
