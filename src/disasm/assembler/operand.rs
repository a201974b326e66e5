//! Operands as they are written.

use std::collections::HashMap;
use std::sync::OnceLock;

use iced_x86::Register;

/// An operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// A register.
    Register(Register),
    /// A number, or the target of a jump.
    Immediate(i128),
    /// Memory.
    Memory(Memory),
}

/// `dword fs:[base + index*scale + displacement]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Bytes, when they were said.
    pub size: Option<usize>,
    pub segment: Register,
    pub base: Register,
    pub index: Register,
    pub scale: u32,
    pub displacement: i64,
}

/// The register called `name`.
fn register(name: &str) -> Option<Register> {
    static REGISTERS: OnceLock<HashMap<String, Register>> = OnceLock::new();
    let registers = REGISTERS.get_or_init(|| {
        let mut names = HashMap::new();
        for register in Register::values().filter(|register| *register != Register::None) {
            let name = format!("{register:?}").to_lowercase();
            if let Some(stem) = name.strip_suffix('l').filter(|stem| stem.starts_with('r')) {
                names.insert(format!("{stem}b"), register);
            }
            if let Some(number) = name.strip_prefix("st") {
                names.insert(format!("st({number})"), register);
            }
            names.insert(name, register);
        }
        names.insert("st".to_string(), Register::ST0);
        names
    });
    registers.get(name).copied()
}

/// Reads an operand, in lower case and without blanks around it.
pub fn parse(text: &str) -> Result<Operand, String> {
    if let Some(register) = register(text) {
        return Ok(Operand::Register(register));
    }
    if let Some(number) = number(text) {
        return Ok(Operand::Immediate(number));
    }
    let (mut rest, mut size) = (text, None);
    const SIZES: &[(&str, usize)] = &[
        ("byte", 1),
        ("word", 2),
        ("dword", 4),
        ("qword", 8),
        ("tbyte", 10),
        ("fword", 6),
        ("xmmword", 16),
        ("oword", 16),
        ("ymmword", 32),
        ("zmmword", 64),
    ];
    for (word, bytes) in SIZES {
        if let Some(behind) = rest.strip_prefix(word)
            && (behind.starts_with([' ', '[']))
        {
            size = Some(*bytes);
            rest = behind.trim_start();
            break;
        }
    }
    rest = rest.strip_prefix("ptr").filter(|rest| rest.starts_with([' ', '['])).unwrap_or(rest).trim_start();
    if let (Some(_), Some(number)) = (size, number(rest)) {
        return Ok(Operand::Immediate(number));
    }
    let mut segment = Register::None;
    if let Some((name, behind)) = rest.split_once(':')
        && let Some(found) = register(name.trim())
    {
        segment = found;
        rest = behind.trim_start();
    }
    let Some(inside) = rest.strip_prefix('[') else {
        return Err(format!("'{text}' is neither a register, a number nor memory"));
    };
    let Some(inside) = inside.strip_suffix(']') else { return Err(format!("'{text}' has no ']'")) };
    let mut memory = Memory { size, segment, base: Register::None, index: Register::None, scale: 1, displacement: 0 };
    let mut inside = inside.trim();
    if let Some((name, behind)) = inside.split_once(':')
        && let Some(found) = register(name.trim())
    {
        memory.segment = found;
        inside = behind.trim_start();
    }
    terms(inside, &mut memory)?;
    Ok(Operand::Memory(memory))
}

/// Reads `base + index*scale - displacement`.
fn terms(text: &str, memory: &mut Memory) -> Result<(), String> {
    let mut rest = text;
    let mut negative = false;
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('-') {
            negative = !negative;
            rest = behind.trim_start();
        }
        let end = rest.find(['+', '-']).unwrap_or(rest.len());
        term(rest[..end].trim(), negative, memory)?;
        match rest[end..].chars().next() {
            Some(sign) => negative = sign == '-',
            None => return Ok(()),
        }
        rest = &rest[end + 1..];
    }
}

fn term(text: &str, negative: bool, memory: &mut Memory) -> Result<(), String> {
    if let Some(value) = number(text) {
        let value = if negative { -value } else { value };
        // An address may use all 64 bits.
        let value = i64::try_from(value).or_else(|_| u64::try_from(value).map(|value| value as i64));
        let value = value.map_err(|_| format!("'{text}' does not fit into 64 bits"))?;
        memory.displacement = memory.displacement.wrapping_add(value);
        return Ok(());
    }
    let wrong = || format!("'{text}' cannot stand in an address");
    if negative {
        return Err(wrong());
    }
    if let Some((left, right)) = text.split_once('*') {
        let (left, right) = (left.trim(), right.trim());
        let (name, scale) = if register(left).is_some() { (left, right) } else { (right, left) };
        let (index, scale) = register(name).zip(number(scale)).ok_or_else(wrong)?;
        if memory.index != Register::None || !matches!(scale, 1 | 2 | 4 | 8) {
            return Err(wrong());
        }
        memory.index = index;
        memory.scale = scale as u32;
        return Ok(());
    }
    let found = register(text).ok_or_else(wrong)?;
    if memory.base == Register::None {
        memory.base = found;
    } else if memory.index == Register::None {
        // The stack pointer cannot be an index.
        let swap = matches!(found, Register::RSP | Register::ESP);
        (memory.base, memory.index) = if swap { (found, memory.base) } else { (memory.base, found) };
    } else {
        return Err(wrong());
    }
    Ok(())
}

/// `12`, `-0x14`, `0b101`, `1fh`.
fn number(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits.trim_start()),
        None => (false, text),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let value = if let Some(hex) = digits.strip_prefix("0x") {
        u64::from_str_radix(hex, 16).ok()?
    } else if let Some(hex) = digits.strip_suffix('h') {
        u64::from_str_radix(hex, 16).ok()?
    } else if let Some(binary) = digits.strip_prefix("0b") {
        u64::from_str_radix(binary, 2).ok()?
    } else {
        digits.parse().ok()?
    };
    Some(if negative { -i128::from(value) } else { i128::from(value) })
}
