//! WebAssembly, by the decoder of its own reference tools: one operator after the other, wherever one begins.
//!
//! Branches name blocks that enclose them, calls name functions by number: neither is an address, so none is told.

use std::fmt::Write as _;

use wasmparser::{
    BinaryReader, BlockType, BrTable, FrameKind, FrameStack, HeapType, Ieee32, Ieee64, MemArg, Ordering, RefType,
    ResumeTable, TryTable, V128, ValType, VisitOperator, VisitSimdOperator,
};

use super::{Disassembler, Family, Instruction, Kind, Names, Text, Use};

/// Bytes of the longest operator that is decoded: a table of branches may be longer, and is not shown then.
const LONGEST: usize = 256;

/// Disassembles WebAssembly.
#[derive(Default)]
pub struct Wasm {
    /// What the last decode found; kept with their memory from one to the next.
    decoded: Vec<Text>,
    count: usize,
}

impl Disassembler for Wasm {
    fn decode(&mut self, address: u64, bytes: &[u8], starts: usize, into: &mut [Instruction]) -> usize {
        let starts = starts.min(bytes.len());
        if self.decoded.len() < into.len() {
            self.decoded.resize(into.len(), Text::default());
        }
        let (mut at, mut count) = (0, 0);
        for (text, instruction) in self.decoded.iter_mut().zip(into) {
            if at >= starts {
                break;
            }
            let here = address.wrapping_add(at as u64);
            text.clear();
            *instruction = one(here, &bytes[at..], text).unwrap_or_else(|| {
                text.clear();
                text.mnemonic.push_str("invalid");
                Instruction::invalid(here, 1)
            });
            at += instruction.size as usize;
            count += 1;
        }
        self.count = count;
        count
    }

    fn text(&mut self, index: usize, _names: &dyn Names, text: &mut Text) {
        text.clear();
        match self.decoded.get(index).filter(|_| index < self.count) {
            Some(decoded) => {
                text.mnemonic.push_str(&decoded.mnemonic);
                text.operands.push_str(&decoded.operands);
            }
            None => text.mnemonic.push_str("invalid"),
        }
    }

    fn shortest(&self) -> usize {
        1
    }
    fn longest(&self) -> usize {
        LONGEST
    }
    fn alignment(&self) -> usize {
        1
    }
    fn nop(&self) -> &'static [u8] {
        b"\x01"
    }
    fn trap(&self) -> &'static [u8] {
        b"\x00"
    }
}

/// The operator at the start of `bytes`, written into `text`.
fn one(address: u64, bytes: &[u8], text: &mut Text) -> Option<Instruction> {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let frame = match bytes.first()? {
        0x05 => FrameKind::If,
        0x07 | 0x18 | 0x19 => FrameKind::LegacyTry,
        _ => FrameKind::Block,
    };
    let mut reader = BinaryReader::new(bytes, 0);
    let mut writer = Writer { text, frame, value: None, memory: false };
    reader.visit_operator(&mut writer).ok()?;
    let Writer { value, memory, .. } = writer;
    let size = u32::try_from(reader.original_position()).ok().filter(|size| *size > 0)?;
    let kind = kind(&text.mnemonic);
    let memory_use = match kind {
        Kind::Load if memory => Use::Read,
        Kind::Store if memory => Use::Write,
        _ => Use::None,
    };
    let conditional = matches!(kind, Kind::Cjmp);
    let family = match text.mnemonic.as_bytes() {
        [b'v', ..] => Family::Vec,
        [b'f', _, _, b'.', ..] => Family::Fpu,
        [_, _, _, b'x', ..] | [_, _, b'x', ..] => Family::Vec,
        _ => Family::Cpu,
    };
    Some(Instruction { address, size, kind, family, conditional, value, memory_use, ..Instruction::default() })
}

/// Writes an operator down while it is decoded.
struct Writer<'t> {
    text: &'t mut Text,
    frame: FrameKind,
    value: Option<u64>,
    memory: bool,
}

impl FrameStack for Writer<'_> {
    fn current_frame(&self) -> Option<FrameKind> {
        Some(self.frame)
    }
}

impl Writer<'_> {
    /// The operator's name as the text format has it, from the decoder's name for it: `visit_i32_add`.
    fn name(&mut self, method: &str) {
        let name = method.trim_start_matches("visit_");
        // What stands in front of the dot: a type, or what the operator is about.
        const PREFIXES: &[&str] = &[
            "i32", "i64", "f32", "f64", "v128", "i8x16", "i16x8", "i32x4", "i64x2", "f32x4", "f64x2", "local",
            "global", "table", "memory", "data", "elem", "ref", "struct", "array", "i31", "any", "extern", "atomic",
            "cont",
        ];
        let name = match name {
            "typed_select" | "typed_select_multi" => "select",
            "ref_i31_shared" => "ref_i31",
            name => name,
        };
        match name.split_once('_').filter(|(prefix, _)| PREFIXES.contains(prefix)) {
            Some((prefix, rest)) => {
                self.text.mnemonic.push_str(prefix);
                self.text.mnemonic.push('.');
                match rest.strip_prefix("atomic_") {
                    Some(atomic) => {
                        self.text.mnemonic.push_str("atomic.");
                        match atomic.strip_prefix("rmw").and_then(|rest| rest.split_once('_')) {
                            Some((width, operation)) => {
                                // A String takes everything.
                                let _ = write!(self.text.mnemonic, "rmw{width}.{operation}");
                            }
                            None => self.text.mnemonic.push_str(atomic),
                        }
                    }
                    None => self.text.mnemonic.push_str(rest),
                }
            }
            None => self.text.mnemonic.push_str(name),
        }
    }

    fn operand(&mut self, operand: std::fmt::Arguments<'_>) {
        if !self.text.operands.is_empty() {
            self.text.operands.push(' ');
        }
        // A String takes everything.
        let _ = self.text.operands.write_fmt(operand);
    }
}

/// What stands behind an operator.
trait Operand {
    fn write(self, to: &mut Writer<'_>);
}

/// Operands that are written as they are, without quotes and in lower case.
macro_rules! shown {
    ($($kind:ty),*) => { $(impl Operand for $kind {
        fn write(self, to: &mut Writer<'_>) {
            let text = format!("{self:?}");
            to.operand(format_args!("{}", text.to_lowercase()));
        }
    })* }
}

shown!(Ordering, ResumeTable, TryTable, Vec<ValType>, RefType);

impl Operand for u8 {
    fn write(self, to: &mut Writer<'_>) {
        to.operand(format_args!("{self}"));
    }
}

impl Operand for u32 {
    fn write(self, to: &mut Writer<'_>) {
        to.operand(format_args!("{self}"));
    }
}

impl Operand for i32 {
    fn write(self, to: &mut Writer<'_>) {
        to.value = Some(self as i64 as u64);
        to.operand(format_args!("{self}"));
    }
}

impl Operand for i64 {
    fn write(self, to: &mut Writer<'_>) {
        to.value = Some(self as u64);
        to.operand(format_args!("{self}"));
    }
}

impl Operand for Ieee32 {
    fn write(self, to: &mut Writer<'_>) {
        to.operand(format_args!("{}", f32::from_bits(self.bits())));
    }
}

impl Operand for Ieee64 {
    fn write(self, to: &mut Writer<'_>) {
        to.operand(format_args!("{}", f64::from_bits(self.bits())));
    }
}

impl Operand for V128 {
    fn write(self, to: &mut Writer<'_>) {
        to.operand(format_args!("i8x16"));
        self.bytes().iter().for_each(|byte| to.operand(format_args!("0x{byte:02x}")));
    }
}

impl Operand for [u8; 16] {
    fn write(self, to: &mut Writer<'_>) {
        self.iter().for_each(|lane| to.operand(format_args!("{lane}")));
    }
}

impl Operand for MemArg {
    fn write(self, to: &mut Writer<'_>) {
        to.memory = true;
        if self.memory != 0 {
            to.operand(format_args!("{}", self.memory));
        }
        if self.offset != 0 {
            to.operand(format_args!("offset={}", self.offset));
        }
        if self.align != self.max_align {
            to.operand(format_args!("align={}", 1u64.checked_shl(self.align.into()).unwrap_or(0)));
        }
    }
}

impl Operand for ValType {
    fn write(self, to: &mut Writer<'_>) {
        to.operand(format_args!("{self}"));
    }
}

impl Operand for HeapType {
    fn write(self, to: &mut Writer<'_>) {
        let text = format!("{self:?}");
        to.operand(format_args!("{}", text.to_lowercase()));
    }
}

impl Operand for BlockType {
    fn write(self, to: &mut Writer<'_>) {
        match self {
            BlockType::Empty => {}
            BlockType::Type(kind) => to.operand(format_args!("(result {kind})")),
            BlockType::FuncType(index) => to.operand(format_args!("(type {index})")),
        }
    }
}

impl Operand for BrTable<'_> {
    fn write(self, to: &mut Writer<'_>) {
        for target in self.targets().map_while(Result::ok) {
            to.operand(format_args!("{target}"));
        }
        to.operand(format_args!("{}", self.default()));
    }
}

macro_rules! visits {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $kind:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        $(fn $visit(&mut self $($(, $arg: $kind)*)?) {
            self.name(stringify!($visit));
            $($(Operand::write($arg, self);)*)?
        })*
    }
}

impl<'a> VisitOperator<'a> for Writer<'_> {
    type Output = ();

    fn simd_visitor(&mut self) -> Option<&mut dyn VisitSimdOperator<'a, Output = ()>> {
        Some(self)
    }

    wasmparser::for_each_visit_operator!(visits);
}

impl VisitSimdOperator<'_> for Writer<'_> {
    wasmparser::for_each_visit_simd_operator!(visits);
}

/// What an operator does, by its name.
fn kind(name: &str) -> Kind {
    let operation = name.split_once('.').map_or(name, |(_, rest)| rest);
    match name {
        "unreachable" | "throw" | "throw_ref" | "rethrow" => return Kind::Trap,
        "nop" => return Kind::Nop,
        "block" | "loop" | "try" | "try_table" | "else" | "end" | "catch" | "catch_all" | "delegate" => {
            return Kind::Unknown;
        }
        "if" | "br_if" => return Kind::Cjmp,
        "br" => return Kind::Ujmp,
        "br_table" => return Kind::Rjmp,
        "return" | "return_call" | "return_call_indirect" | "return_call_ref" => return Kind::Ret,
        "call" => return Kind::Ucall,
        "call_indirect" | "call_ref" => return Kind::Rcall,
        "drop" => return Kind::Pop,
        "select" => return Kind::Cmov,
        _ if name.starts_with("br_on") => return Kind::Cjmp,
        _ => {}
    }
    let word = operation.split(['_', '.']).next().unwrap_or_default();
    match word.trim_end_matches(|c: char| c.is_ascii_digit() || c == 'x') {
        "load" => Kind::Load,
        "store" => Kind::Store,
        "get" if name.starts_with("local") || name.starts_with("global") => Kind::Mov,
        "set" | "tee" | "const" => Kind::Mov,
        "add" => Kind::Add,
        "sub" => Kind::Sub,
        "mul" => Kind::Mul,
        "div" => Kind::Div,
        "rem" => Kind::Mod,
        "and" | "andnot" => Kind::And,
        "or" => Kind::Or,
        "xor" => Kind::Xor,
        "not" => Kind::Not,
        "shl" => Kind::Shl,
        "shr" => Kind::Shr,
        "rotl" => Kind::Rol,
        "rotr" => Kind::Ror,
        "abs" => Kind::Abs,
        "eq" | "eqz" | "ne" | "lt" | "gt" | "le" | "ge" => Kind::Cmp,
        "wrap" | "extend" | "trunc" | "convert" | "demote" | "promote" | "reinterpret" => Kind::Cast,
        "atomic" => Kind::Sync,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_have_the_names_of_the_text_format() {
        let rows: &[(&[u8], &str, Kind)] = &[
            (b"\x20\x00", "local.get 0", Kind::Mov),
            (b"\x41\xc0\x00", "i32.const 64", Kind::Mov),
            (b"\x41\x7f", "i32.const -1", Kind::Mov),
            (b"\x6a", "i32.add", Kind::Add),
            (b"\x28\x02\x08", "i32.load offset=8", Kind::Load),
            (b"\x3a\x00\x00", "i32.store8", Kind::Store),
            (b"\x02\x40", "block", Kind::Unknown),
            (b"\x03\x7f", "loop (result i32)", Kind::Unknown),
            (b"\x05", "else", Kind::Unknown),
            (b"\x0d\x01", "br_if 1", Kind::Cjmp),
            (b"\x0e\x02\x00\x01\x02", "br_table 0 1 2", Kind::Rjmp),
            (b"\x10\x85\x01", "call 133", Kind::Ucall),
            (b"\x11\x03\x00", "call_indirect 3 0", Kind::Rcall),
            (b"\x0b", "end", Kind::Unknown),
            (b"\xac", "i64.extend_i32_s", Kind::Cast),
            (b"\xfc\x0b\x00", "memory.fill 0", Kind::Unknown),
            (b"\xfe\x1e\x02\x00", "i32.atomic.rmw.add", Kind::Sync),
            (b"\xfd\x6e", "i8x16.add", Kind::Add),
            (b"\xff", "invalid", Kind::Invalid),
            (b"\x41", "invalid", Kind::Invalid),
        ];
        for (bytes, shown, kind) in rows {
            let (mut instruction, mut text, mut wasm) = (Instruction::default(), Text::default(), Wasm::default());
            wasm.one(0x10, bytes, &mut instruction);
            wasm.text(0, &(), &mut text);
            assert_eq!((text.to_string().as_str(), instruction.kind), (*shown, *kind), "{bytes:x?}");
            assert!(kind == &Kind::Invalid || instruction.size as usize == bytes.len(), "{bytes:x?}");
        }
    }
}
