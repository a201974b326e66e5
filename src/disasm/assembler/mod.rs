//! x86 text into bytes: the notation that the disassembler writes, over iced-x86's own tables of instructions.
//!
//! Every form of an instruction that the tables have is tried with the operands that were written, and the shortest
//! encoding is taken. (Of the assemblers with text as their input, Keystone's binding is GPL and has had one release;
//! none is written in Rust alone.)

mod encode;
mod operand;

use iced_x86::Instruction as Iced;

use super::Settings;
use crate::error::{Error, Kind, Result};
use crate::output::visible;
use encode::Form;
use operand::Operand;

/// Most bytes of text that are assembled at once.
const LONGEST: usize = 1 << 20;

/// The bytes of the instructions in `text`, separated by `;` or line ends, as they stand at `address`. `#` and what
/// follows is a comment.
///
/// # Errors
/// [`Kind::Unsupported`] for an architecture without an assembler, [`Kind::Usage`] with the number of the line that
/// cannot be assembled.
pub fn assemble(settings: &Settings, address: u64, text: &str) -> Result<Vec<u8>> {
    let architecture = super::architecture(&settings.arch)?;
    if !architecture.assembles {
        let known: Vec<&str> =
            super::ARCHITECTURES.iter().filter(|other| other.assembles).map(|other| other.name).collect();
        return Err(Error::new(Kind::Unsupported, format!("there is no assembler for {}", architecture.name))
            .hint(format!("asm.arch can be {}; write other code as bytes with wx", known.join(", "))));
    }
    if text.len() > LONGEST {
        return Err(Error::new(Kind::Limit, format!("{} bytes of text are too many to assemble", text.len())));
    }
    let bits = architecture.bits_for(settings.bits);
    let mut bytes = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        for statement in line.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            let here = address.wrapping_add(bytes.len() as u64);
            let code = one(bits, here, statement).map_err(|why| {
                Error::new(
                    Kind::Usage,
                    format!("cannot assemble '{}' at line {}: {why}", visible(statement), number + 1),
                )
            })?;
            bytes.extend(code);
        }
    }
    if bytes.is_empty() {
        return Err(Error::new(Kind::Usage, "there is nothing to assemble"));
    }
    Ok(bytes)
}

/// Words in front of an instruction.
#[derive(Debug, Clone, Copy, Default)]
struct Prefixes {
    lock: bool,
    repeat: bool,
    repeat_not_equal: bool,
}

impl Prefixes {
    fn set(self, instruction: &mut Iced) {
        instruction.set_has_lock_prefix(self.lock);
        instruction.set_has_rep_prefix(self.repeat);
        instruction.set_has_repne_prefix(self.repeat_not_equal);
    }
}

/// The bytes of one instruction.
fn one(bits: u32, address: u64, statement: &str) -> std::result::Result<Vec<u8>, String> {
    let lower = statement.to_ascii_lowercase();
    let (mut prefixes, mut rest) = (Prefixes::default(), lower.as_str());
    loop {
        let (word, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        match word {
            "lock" => prefixes.lock = true,
            "rep" | "repe" | "repz" => prefixes.repeat = true,
            "repne" | "repnz" => prefixes.repeat_not_equal = true,
            _ => break,
        }
        rest = behind.trim_start();
    }
    let (mnemonic, operands) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let operands = operands.trim();
    let mut parsed = Vec::new();
    if !operands.is_empty() {
        for text in operands.split(',') {
            parsed.push(operand::parse(text.trim())?);
        }
    }
    if parsed.len() > 5 {
        return Err("too many operands".to_string());
    }
    let mnemonic = synonym(mnemonic);
    // `imul eax, 5` has its register twice.
    if mnemonic == "imul"
        && let [first @ Operand::Register(_), Operand::Immediate(_)] = parsed[..]
    {
        parsed.insert(0, first);
    }
    let forms = encode::forms(&mnemonic).ok_or_else(|| "no instruction has this name".to_string())?;
    let unsized_memory =
        parsed.iter().any(|operand| matches!(operand, Operand::Memory(memory) if memory.size.is_none()))
            && !parsed.iter().any(|operand| matches!(operand, Operand::Register(_)));
    let mut found: Vec<Form> =
        forms.iter().filter_map(|code| encode::encode(*code, bits, address, prefixes, &parsed)).collect();
    // Encodings that need the least of the processor, and of those the shortest.
    found.sort_by_key(|form| (form.rank, form.bytes.len()));
    let best = found.first().ok_or_else(|| "it does not take these operands".to_string())?;
    let ambiguous = |form: &&Form| form.memory != best.memory && form.memory > 0 && best.memory > 0;
    if unsized_memory && !best.usual && found.iter().any(|form| ambiguous(&form)) {
        return Err("how many bytes of memory? say byte, word, dword or qword".to_string());
    }
    Ok(best.bytes.clone())
}

/// The name under which the tables have `mnemonic`.
fn synonym(mnemonic: &str) -> String {
    const CONDITIONS: &[(&str, &str)] = &[
        ("nbe", "a"),
        ("nae", "b"),
        ("nle", "g"),
        ("nge", "l"),
        ("nz", "ne"),
        ("nb", "ae"),
        ("nc", "ae"),
        ("na", "be"),
        ("nl", "ge"),
        ("ng", "le"),
        ("po", "np"),
        ("pe", "p"),
        ("z", "e"),
        ("c", "b"),
    ];
    for stem in ["j", "set", "cmov"] {
        if let Some(condition) = mnemonic.strip_prefix(stem)
            && let Some((_, usual)) = CONDITIONS.iter().find(|(other, _)| *other == condition)
        {
            return format!("{stem}{usual}");
        }
    }
    match mnemonic {
        "sal" => "shl",
        "movabs" => "mov",
        "retn" => "ret",
        other => other,
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disasm::{Instruction, Text, disassembler};

    fn hex(bits: u32, text: &str) -> String {
        let settings = Settings { bits, ..Settings::default() };
        match assemble(&settings, 0x1000, text) {
            Ok(bytes) => faster_hex::hex_string(&bytes),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn instructions_take_their_shortest_form() {
        for (text, bytes) in [
            ("nop", "90"),
            ("mov eax, 1", "b801000000"),
            ("mov eax, 33", "b821000000"),
            ("push rbp; mov rbp, rsp", "554889e5"),
            ("mov rax, 1", "48c7c001000000"),
            ("movabs rax, 0x1122334455667788", "48b88877665544332211"),
            ("add esp, 8", "83c408"),
            ("add rax, -1", "4883c0ff"),
            ("sub rsp, 0x1000", "4881ec00100000"),
            ("and rsp, 0xfffffffffffffff0", "4883e4f0"),
            ("push 0x41", "6a41"),
            ("push 0x12345", "6845230100"),
            ("ret", "c3"),
            ("ret 8", "c20800"),
            ("int3", "cc"),
            ("int 0x80", "cd80"),
            ("syscall", "0f05"),
            ("leave", "c9"),
            ("xor eax, eax", "31c0"),
            ("lea rax, [rip + 0x10]", "488d0510000000"),
            ("mov eax, dword [rbp - 4]", "8b45fc"),
            ("mov dword [rsp + rcx*4 + 0x10], 7", "c7448c1007000000"),
            ("mov rax, qword fs:[0x28]", "64488b042528000000"),
            ("jmp 0x1010", "eb0e"),
            ("jz 0x1000", "74fe"),
            ("call 0x2000", "e8fb0f0000"),
            ("call rax", "ffd0"),
            ("jmp qword [rax]", "ff20"),
            ("call [rax]", "ff10"),
            ("rep movsb", "f3a4"),
            ("rep stosq", "f348ab"),
            ("lock add dword [rax], 1", "f0830001"),
            ("shl eax, 1", "d1e0"),
            ("sal eax, cl", "d3e0"),
            ("imul eax, 5", "6bc005"),
            ("imul eax, ecx, 0x1000", "69c100100000"),
            ("setz al", "0f94c0"),
            ("cmovnz rax, rbx", "480f45c3"),
            ("movzx eax, byte [rdi]", "0fb607"),
            ("movsd xmm0, qword [rax]", "f20f1000"),
            ("pxor xmm1, xmm2", "660fefca"),
            ("vaddps ymm0, ymm1, ymm2", "c5f458c2"),
            ("in al, dx", "ec"),
            ("out 0x10, al", "e610"),
            ("fld dword [rax]", "d900"),
            ("enter 0x10, 0", "c8100000"),
            ("bswap eax", "0fc8"),
            ("xchg rbx, rax", "4893"),
            ("nop dword [rax + rax]", "0f1f0400"),
            ("endbr64", "f30f1efa"),
            ("push rax; pop r15", "50415f"),
            ("mov al, 0xff", "b0ff"),
            ("test rax, rax", "4885c0"),
            ("mov eax, [0x500]", "8b042500050000"),
        ] {
            assert_eq!(hex(64, text), bytes, "{text}");
        }
        assert_eq!(hex(32, "add esp,8;pop ebx; pop ebp; ret"), "83c4085b5dc3");
        assert_eq!(hex(32, "mov eax, [0x500]"), "a100050000");
        assert_eq!(hex(32, "push 0x12345"), "6845230100");
        assert_eq!(hex(16, "mov ax, 5; int 0x10"), "b80500cd10");
        assert_eq!(hex(16, "mov ax, [bx + si + 4]"), "8b4004");
    }

    #[test]
    fn what_cannot_be_assembled_says_where_and_why() {
        for (text, why) in [
            ("nop\nnop\nzzz", "cannot assemble 'zzz' at line 3: no instruction has this name"),
            ("mov", "cannot assemble 'mov' at line 1: it does not take these operands"),
            ("mov eax, rbx", "cannot assemble 'mov eax, rbx' at line 1: it does not take these operands"),
            ("mov eax, zz", "cannot assemble 'mov eax, zz' at line 1: 'zz' is neither a register, a number nor memory"),
            (
                "inc [rax]",
                "cannot assemble 'inc [rax]' at line 1: how many bytes of memory? say byte, word, dword or qword",
            ),
            ("mov eax, [rax", "cannot assemble 'mov eax, [rax' at line 1: '[rax' has no ']'"),
            ("", "there is nothing to assemble"),
        ] {
            assert_eq!(hex(64, text), why, "{text}");
        }
        let arm = Settings { arch: "arm".into(), ..Settings::default() };
        assert!(assemble(&arm, 0, "nop").is_err_and(|error| error.kind() == Kind::Unsupported));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]

        #[test]
        fn any_text_is_taken_or_refused(text in "[a-z0-9 ,+*\\[\\]:;-]{0,40}") {
            for bits in [16, 32, 64] {
                let _ = hex(bits, &text);
            }
        }

        /// What was assembled from the text of an instruction means the same.
        #[test]
        fn text_comes_back(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 15)) {
            let settings = Settings::default();
            let mut opened = disassembler(&settings).unwrap();
            let (mut instruction, mut text, mut again) = (Instruction::default(), Text::default(), Text::default());
            if opened.one(0x1000, &bytes, &mut instruction) {
                opened.text(0, &(), &mut text);
                if let Ok(code) = assemble(&settings, 0x1000, &text.to_string())
                    && !text.operands.contains("rip")
                {
                    let mut other = Instruction::default();
                    assert!(opened.one(0x1000, &code, &mut other), "{text}: {code:02x?}");
                    opened.text(0, &(), &mut again);
                    assert_eq!(again.to_string(), text.to_string(), "{code:02x?}");
                }
            }
        }
    }
}
