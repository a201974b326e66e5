//! x86 instructions as text: the library's formatters, told to write as the field does, with names put in.
//!
//! Nine of ten instructions of a program are registers, numbers and memory: [`plain`] writes those itself, which is
//! several times faster. What it does not know it leaves to the formatter, and a test compares the two.

use iced_x86::{
    Code, Formatter, FormatterOutput, FormatterTextKind, GasFormatter, Instruction as Iced, IntelFormatter,
    MasmFormatter, MemorySizeOptions, NumberKind, OpKind, Register,
};

use super::plain::{self, Tables};
use crate::disasm::{Base, Names, Syntax, Text};

/// Writes instructions in one notation.
pub struct Writer {
    syntax: Syntax,
    formatter: Box<dyn Formatter>,
    /// Words of the plain instructions; `None`: the notation is left to the formatter.
    tables: Option<&'static Tables>,
}

impl Writer {
    pub fn new(syntax: Syntax) -> Writer {
        let tables = (!matches!(syntax, Syntax::Att | Syntax::Masm)).then(plain::tables);
        Writer { syntax, formatter: formatter(syntax), tables }
    }

    /// Writes `iced` into `text`, which is empty.
    pub fn write(&mut self, iced: &Iced, names: &dyn Names, text: &mut Text) {
        let done = self.tables.is_some_and(|tables| plain::write(tables, iced, names, text));
        if !done {
            self.format(iced, names, text);
        }
        if self.syntax == Syntax::Jz {
            match text.mnemonic.as_str() {
                "je" => text.mnemonic.replace_range(.., "jz"),
                "jne" => text.mnemonic.replace_range(.., "jnz"),
                _ => {}
            }
        }
    }

    /// The same by the library alone.
    pub fn format(&mut self, iced: &Iced, names: &dyn Names, text: &mut Text) {
        let absolute = names.absolute() && iced.is_ip_rel_memory_operand();
        self.formatter.options_mut().set_rip_relative_addresses(!absolute);
        let intel = !matches!(self.syntax, Syntax::Masm | Syntax::Att);
        self.formatter.format_mnemonic(iced, &mut Direct(&mut text.mnemonic));
        let mut output = Named { text: &mut text.operands, names, absolute, intel };
        self.formatter.format_all_operands(iced, &mut output);
        if intel && is_movabs(iced) {
            text.mnemonic.clear();
            text.mnemonic.push_str("movabs");
        }
    }
}

/// The moves of 64-bit numbers and addresses, which have a name of their own.
pub fn is_movabs(iced: &Iced) -> bool {
    match iced.code() {
        Code::Mov_r64_imm64 => true,
        Code::Mov_AL_moffs8
        | Code::Mov_AX_moffs16
        | Code::Mov_EAX_moffs32
        | Code::Mov_RAX_moffs64
        | Code::Mov_moffs8_AL
        | Code::Mov_moffs16_AX
        | Code::Mov_moffs32_EAX
        | Code::Mov_moffs64_RAX => iced.memory_displ_size() == 8,
        _ => false,
    }
}

fn formatter(syntax: Syntax) -> Box<dyn Formatter> {
    let mut formatter: Box<dyn Formatter> = match syntax {
        Syntax::Att => Box::new(GasFormatter::new()),
        Syntax::Masm => Box::new(MasmFormatter::new()),
        Syntax::Intel | Syntax::Jz | Syntax::Regnum => Box::new(IntelFormatter::new()),
    };
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_space_after_operand_separator(true);
    options.set_branch_leading_zeros(false);
    options.set_show_branch_size(false);
    options.set_memory_size_options(MemorySizeOptions::Always);
    options.set_displacement_leading_zeros(false);
    if !matches!(syntax, Syntax::Att | Syntax::Masm) {
        options.set_space_between_memory_add_operators(true);
    }
    formatter
}

/// Takes a mnemonic as it is.
struct Direct<'a>(&'a mut String);

impl FormatterOutput for Direct<'_> {
    fn write(&mut self, text: &str, _: FormatterTextKind) {
        self.0.push_str(text);
    }
}

/// Takes operands, puts names in and leaves out the word `ptr`.
struct Named<'a> {
    text: &'a mut String,
    names: &'a dyn Names,
    /// The program counter is counted in: memory is shown by its address.
    absolute: bool,
    /// Not as other assemblers have it.
    intel: bool,
}

impl FormatterOutput for Named<'_> {
    fn write(&mut self, text: &str, kind: FormatterTextKind) {
        if self.intel && kind == FormatterTextKind::Keyword && text == "ptr" {
            // With the blank before it.
            if self.text.ends_with(' ') {
                self.text.pop();
            }
            return;
        }
        self.text.push_str(text);
    }

    fn write_number(
        &mut self,
        iced: &Iced,
        _operand: u32,
        instruction_operand: Option<u32>,
        text: &str,
        value: u64,
        _number: NumberKind,
        _kind: FormatterTextKind,
    ) {
        let name = match instruction_operand.map(|operand| iced.op_kind(operand)) {
            Some(OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64) => self.names.code(value),
            Some(OpKind::Memory) if self.absolute || alone(iced) => {
                let address = iced.memory_displacement64();
                let name = self.names.memory(address);
                if name.is_none() && self.absolute {
                    plain::push_address(self.text, address);
                    return;
                }
                name
            }
            Some(OpKind::Memory) | None => None,
            Some(_) => self.names.immediate(value),
        };
        self.text.push_str(name.unwrap_or(text));
    }
}

/// Whether the memory operand is an address and nothing else.
fn alone(iced: &Iced) -> bool {
    iced.memory_base() == Register::None && iced.memory_index() == Register::None
}

/// The place on the stack that a base register stands for.
pub fn base_of(register: Register) -> Option<Base> {
    match register {
        Register::RBP | Register::EBP | Register::BP => Some(Base::Frame),
        Register::RSP | Register::ESP => Some(Base::Stack),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use iced_x86::{Decoder, DecoderOptions};

    use iced_x86::Mnemonic;

    use super::*;

    /// Bytes that look random and are the same in each run.
    fn noise(state: &mut u64) -> u8 {
        *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (*state >> 56) as u8
    }

    /// All but `imul`, which the library writes with two operands where the field writes three.
    #[test]
    fn plain_text_is_what_the_library_writes() {
        const PREFIXES: &[&[u8]] = &[
            b"",
            b"\x0f",
            b"\x66",
            b"\x66\x0f",
            b"\xf3\x0f",
            b"\xf2\x0f",
            b"\x48",
            b"\x48\x0f",
            b"\x66\x0f\x38",
            b"\x66\x0f\x3a",
            b"\x0f\x38",
            b"\xc5\xf9",
            b"\xc5\xf8",
            b"\xc4\xe2\x79",
            b"\xc4\xe1\xfa",
            b"\x67",
            b"\x4d",
            b"\x62\xf1\x7c\x48",
            b"\x62\xf1\xfd\x08",
            b"\xf3\x48\x0f",
            b"\x3e",
            b"\x2e",
            b"\xf2",
            b"\xf3",
            b"\xf0",
        ];
        let mut writer = Writer::new(Syntax::Intel);
        let mut wrong = BTreeMap::new();
        let (mut state, mut plain_ones, mut all) = (1, 0u32, 0u32);
        for bits in [16, 32, 64] {
            for prefix in PREFIXES {
                for opcode in 0..=255u8 {
                    for _ in 0..24 {
                        let mut bytes = prefix.to_vec();
                        bytes.push(opcode);
                        bytes.resize_with(20, || noise(&mut state));
                        let iced = Decoder::with_ip(bits, &bytes, 0x401000, DecoderOptions::NONE).decode();
                        if iced.is_invalid() {
                            continue;
                        }
                        all += 1;
                        let (mut fast, mut slow) = (Text::default(), Text::default());
                        if plain::write(plain::tables(), &iced, &(), &mut fast) {
                            plain_ones += 1;
                            writer.format(&iced, &(), &mut slow);
                            if fast != slow && iced.mnemonic() != Mnemonic::Imul {
                                wrong.entry(format!("{:?}", iced.mnemonic())).or_insert_with(|| {
                                    format!("{:?} {bits} {bytes:02x?}: '{fast}', not '{slow}'", iced.code())
                                });
                            }
                        }
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(plain_ones > all / 4, "only {plain_ones} of {all} are plain");
    }
}
