//! x86 instructions as text: the library's formatters, told to write as the field does, with names put in.

use iced_x86::{
    Code, Formatter, FormatterOutput, FormatterTextKind, GasFormatter, Instruction as Iced, IntelFormatter,
    MasmFormatter, MemorySizeOptions, NumberKind, OpKind,
};

use crate::disasm::{Names, Syntax, Text};

/// Writes instructions in one notation.
pub struct Writer {
    syntax: Syntax,
    formatter: Box<dyn Formatter>,
}

impl Writer {
    pub fn new(syntax: Syntax) -> Writer {
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
        options.set_rip_relative_addresses(true);
        options.set_memory_size_options(MemorySizeOptions::Always);
        options.set_displacement_leading_zeros(false);
        if !matches!(syntax, Syntax::Att | Syntax::Masm) {
            options.set_space_between_memory_add_operators(true);
        }
        Writer { syntax, formatter }
    }

    /// Writes `iced` into `text`, which is empty.
    pub fn write(&mut self, iced: &Iced, names: &dyn Names, text: &mut Text) {
        let absolute = names.absolute() && iced.is_ip_rel_memory_operand();
        self.formatter.options_mut().set_rip_relative_addresses(!absolute);
        let plain = matches!(self.syntax, Syntax::Masm | Syntax::Att);
        self.formatter.format_mnemonic(iced, &mut Direct(&mut text.mnemonic));
        let mut output = Named { text: &mut text.operands, names, absolute, plain };
        self.formatter.format_all_operands(iced, &mut output);
        // What the field calls a move of 64 bits that are in the instruction.
        if iced.code() == Code::Mov_r64_imm64 && self.syntax != Syntax::Masm {
            text.mnemonic.clear();
            text.mnemonic.push_str("movabs");
        }
        if self.syntax == Syntax::Jz {
            match text.mnemonic.as_str() {
                "je" => text.mnemonic.replace_range(.., "jz"),
                "jne" => text.mnemonic.replace_range(.., "jnz"),
                _ => {}
            }
        }
    }
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
    /// As the notation has it, `ptr` too.
    plain: bool,
}

impl FormatterOutput for Named<'_> {
    fn write(&mut self, text: &str, kind: FormatterTextKind) {
        if !self.plain && kind == FormatterTextKind::Keyword && text == "ptr" {
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
        operand: u32,
        instruction_operand: Option<u32>,
        text: &str,
        value: u64,
        _: NumberKind,
        kind: FormatterTextKind,
    ) {
        let _ = operand;
        let kind_of = instruction_operand.map(|operand| iced.op_kind(operand));
        let name = match kind_of {
            Some(OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64) => self.names.code(value),
            Some(OpKind::Memory) if self.absolute || stands_alone(iced) => {
                let name = self.names.memory(value);
                if name.is_none() && self.absolute && kind != FormatterTextKind::Number {
                    self.text.push_str(&format!("0x{value:08x}"));
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
fn stands_alone(iced: &Iced) -> bool {
    use iced_x86::Register;
    iced.memory_base() == Register::None && iced.memory_index() == Register::None
}
