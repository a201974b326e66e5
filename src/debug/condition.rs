//! Conditions of breakpoints: small programs over registers and memory that are evaluated where the target is.
//!
//! Front ends compile into [`Op`]s: the number language of the shell, and gdb's agent expressions, whose bytecode
//! ("Agent Expressions", GDB manual, appendix F) is also how a condition travels. Nothing here does any I/O, and
//! every program ends: its steps and its stack are bounded.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// Most operations of a condition.
pub const LONGEST: usize = 4096;

/// Most operations that one evaluation makes.
const FUEL: usize = 10_000;

/// Most numbers on the stack.
const STACK: usize = 256;

/// One operation on a stack of 64-bit numbers. Binary ones take the upper number as their right side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Pushes a number.
    Constant(u64),
    /// Pushes a register, by its number in the layout.
    Register(u16),
    /// Replaces an address by so many bytes (1, 2, 4, 8) there.
    Load(u8),
    /// Extends the sign of the lowest so many bits.
    SignExtend(u8),
    /// Clears all but the lowest so many bits.
    ZeroExtend(u8),
    /// Sum.
    Add,
    /// Difference.
    Subtract,
    /// Product.
    Multiply,
    /// Signed quotient.
    DivideSigned,
    /// Unsigned quotient.
    Divide,
    /// Signed remainder.
    RemainderSigned,
    /// Unsigned remainder.
    Remainder,
    /// Shift to the left; 64 and more give 0.
    ShiftLeft,
    /// Shift to the right, copying the sign.
    ShiftRightSigned,
    /// Shift to the right.
    ShiftRight,
    /// 1 if zero, else 0.
    LogicalNot,
    /// Bits in both.
    And,
    /// Bits in any.
    Or,
    /// Bits in one.
    Xor,
    /// Every bit turned over.
    Not,
    /// 1 if equal, else 0.
    Equal,
    /// 1 if the left is less, as signed numbers.
    LessSigned,
    /// 1 if the left is less.
    Less,
    /// Pushes the top again.
    Duplicate,
    /// Drops the top.
    Pop,
    /// Exchanges the two upper ones.
    Swap,
    /// Pushes the n-th from the top again, 0 being the top.
    Pick(u8),
    /// Moves the top behind the two below it: a b c becomes c a b.
    Rotate,
    /// Goes on at the operation with this index.
    Jump(u16),
    /// Takes the top, and goes on there if it is not zero.
    JumpIf(u16),
    /// The top is the result.
    End,
}

/// What a condition sees.
pub trait Machine {
    /// The value of the register with this number.
    fn register(&mut self, number: u16) -> Result<u64>;
    /// `buffer.len()` bytes at `address`, all of them.
    fn memory(&mut self, address: u64, buffer: &mut [u8]) -> Result<()>;
    /// Numbers in memory have their highest byte first.
    fn big_endian(&self) -> bool {
        false
    }
}

/// A checked program: its jumps lead into it, and its operands are in their ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Op>", into = "Vec<Op>")]
pub struct Condition(Vec<Op>);

impl TryFrom<Vec<Op>> for Condition {
    type Error = Error;
    fn try_from(ops: Vec<Op>) -> Result<Condition> {
        Condition::new(ops)
    }
}

impl From<Condition> for Vec<Op> {
    fn from(condition: Condition) -> Vec<Op> {
        condition.0
    }
}

fn bad(text: impl Into<String>) -> Error {
    Error::new(Kind::Format, text)
}

impl Condition {
    /// Checks `ops`. An end is added if the last operation lets it run out.
    pub fn new(mut ops: Vec<Op>) -> Result<Condition> {
        if ops.len() >= LONGEST {
            return Err(Error::new(Kind::Limit, format!("the condition has more than {LONGEST} operations")));
        }
        if !matches!(ops.last(), Some(Op::End | Op::Jump(_))) {
            ops.push(Op::End);
        }
        for op in &ops {
            match *op {
                Op::Jump(to) | Op::JumpIf(to) if usize::from(to) >= ops.len() => {
                    return Err(bad(format!("a jump in the condition leads out of it ({to})")));
                }
                Op::Load(size) if !matches!(size, 1 | 2 | 4 | 8) => {
                    return Err(bad(format!("the condition loads {size} bytes at once")));
                }
                Op::SignExtend(bits) | Op::ZeroExtend(bits) if !(1..=64).contains(&bits) => {
                    return Err(bad(format!("the condition extends {bits} bits")));
                }
                _ => {}
            }
        }
        Ok(Condition(ops))
    }

    /// The operations.
    pub fn ops(&self) -> &[Op] {
        &self.0
    }

    /// Runs it on `machine`.
    pub fn evaluate(&self, machine: &mut dyn Machine) -> Result<u64> {
        let mut stack: Vec<u64> = Vec::with_capacity(16);
        let mut at = 0;
        for _ in 0..FUEL {
            let Some(op) = self.0.get(at) else { break };
            at += 1;
            match *op {
                Op::End => return stack.pop().ok_or_else(underflow),
                Op::Jump(to) => at = to.into(),
                Op::JumpIf(to) => {
                    if stack.pop().ok_or_else(underflow)? != 0 {
                        at = to.into();
                    }
                }
                op => step(op, &mut stack, machine)?,
            }
            if stack.len() > STACK {
                return Err(Error::new(Kind::Limit, "the condition fills its stack"));
            }
        }
        Err(Error::new(Kind::Limit, "the condition does not end"))
    }

    /// Decodes gdb's bytecode.
    pub fn from_agent(code: &[u8]) -> Result<Condition> {
        if code.len() > LONGEST {
            return Err(Error::new(Kind::Limit, format!("the expression is longer than {LONGEST} bytes")));
        }
        let mut ops = Vec::new();
        // Where each operation begins in the bytes, to turn the targets of jumps into indices.
        let mut starts = Vec::new();
        let mut at = 0;
        while at < code.len() {
            starts.push(at);
            at += 1;
            let mut operand = |count: usize| -> Result<u64> {
                let bytes = code.get(at..at + count).ok_or_else(|| bad("the expression ends within an operand"))?;
                at += count;
                Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            };
            ops.push(match code[*starts.last().unwrap_or(&0)] {
                0x02 => Op::Add,
                0x03 => Op::Subtract,
                0x04 => Op::Multiply,
                0x05 => Op::DivideSigned,
                0x06 => Op::Divide,
                0x07 => Op::RemainderSigned,
                0x08 => Op::Remainder,
                0x09 => Op::ShiftLeft,
                0x0a => Op::ShiftRightSigned,
                0x0b => Op::ShiftRight,
                0x0e => Op::LogicalNot,
                0x0f => Op::And,
                0x10 => Op::Or,
                0x11 => Op::Xor,
                0x12 => Op::Not,
                0x13 => Op::Equal,
                0x14 => Op::LessSigned,
                0x15 => Op::Less,
                0x16 => Op::SignExtend(operand(1)? as u8),
                0x17 => Op::Load(1),
                0x18 => Op::Load(2),
                0x19 => Op::Load(4),
                0x1a => Op::Load(8),
                0x20 => Op::JumpIf(operand(2)? as u16),
                0x21 => Op::Jump(operand(2)? as u16),
                0x22 => Op::Constant(operand(1)?),
                0x23 => Op::Constant(operand(2)?),
                0x24 => Op::Constant(operand(4)?),
                0x25 => Op::Constant(operand(8)?),
                0x26 => Op::Register(operand(2)? as u16),
                0x27 => Op::End,
                0x28 => Op::Duplicate,
                0x29 => Op::Pop,
                0x2a => Op::ZeroExtend(operand(1)? as u8),
                0x2b => Op::Swap,
                0x32 => Op::Pick(operand(1)? as u8),
                0x33 => Op::Rotate,
                other => return Err(bad(format!("the operation 0x{other:02x} is not known in conditions"))),
            });
        }
        for op in &mut ops {
            if let Op::Jump(to) | Op::JumpIf(to) = op {
                let index = starts.binary_search(&usize::from(*to));
                let index = index.map_err(|_| bad("a jump in the expression leads between its operations"))?;
                *to = u16::try_from(index).map_err(|_| bad("a jump in the expression is too far"))?;
            }
        }
        Condition::new(ops)
    }

    /// The same program in gdb's bytecode.
    pub fn to_agent(&self) -> Vec<u8> {
        let mut starts = Vec::with_capacity(self.0.len());
        let mut length = 0u16;
        for op in &self.0 {
            starts.push(length);
            // At most LONGEST operations of at most nine bytes each.
            length += match op {
                Op::Constant(value) => 1 + constant(*value).1 as u16,
                Op::Register(_) | Op::Jump(_) | Op::JumpIf(_) => 3,
                Op::SignExtend(_) | Op::ZeroExtend(_) | Op::Pick(_) => 2,
                _ => 1,
            };
        }
        let mut code = Vec::with_capacity(length.into());
        let target = |to: u16| starts.get(usize::from(to)).copied().unwrap_or(length);
        for op in &self.0 {
            let (byte, operand, count) = match *op {
                Op::Add => (0x02, 0, 0),
                Op::Subtract => (0x03, 0, 0),
                Op::Multiply => (0x04, 0, 0),
                Op::DivideSigned => (0x05, 0, 0),
                Op::Divide => (0x06, 0, 0),
                Op::RemainderSigned => (0x07, 0, 0),
                Op::Remainder => (0x08, 0, 0),
                Op::ShiftLeft => (0x09, 0, 0),
                Op::ShiftRightSigned => (0x0a, 0, 0),
                Op::ShiftRight => (0x0b, 0, 0),
                Op::LogicalNot => (0x0e, 0, 0),
                Op::And => (0x0f, 0, 0),
                Op::Or => (0x10, 0, 0),
                Op::Xor => (0x11, 0, 0),
                Op::Not => (0x12, 0, 0),
                Op::Equal => (0x13, 0, 0),
                Op::LessSigned => (0x14, 0, 0),
                Op::Less => (0x15, 0, 0),
                Op::SignExtend(bits) => (0x16, bits.into(), 1),
                Op::Load(1) => (0x17, 0, 0),
                Op::Load(2) => (0x18, 0, 0),
                Op::Load(4) => (0x19, 0, 0),
                Op::Load(_) => (0x1a, 0, 0),
                Op::JumpIf(to) => (0x20, target(to).into(), 2),
                Op::Jump(to) => (0x21, target(to).into(), 2),
                Op::Constant(value) => (constant(value).0, value, constant(value).1),
                Op::Register(number) => (0x26, number.into(), 2),
                Op::End => (0x27, 0, 0),
                Op::Duplicate => (0x28, 0, 0),
                Op::Pop => (0x29, 0, 0),
                Op::ZeroExtend(bits) => (0x2a, bits.into(), 1),
                Op::Swap => (0x2b, 0, 0),
                Op::Pick(depth) => (0x32, depth.into(), 1),
                Op::Rotate => (0x33, 0, 0),
            };
            code.push(byte);
            code.extend_from_slice(&operand.to_be_bytes()[8 - count..]);
        }
        code
    }
}

/// The opcode and the size of a constant.
fn constant(value: u64) -> (u8, usize) {
    match value {
        0..=0xff => (0x22, 1),
        0x100..=0xffff => (0x23, 2),
        0x1_0000..=0xffff_ffff => (0x24, 4),
        _ => (0x25, 8),
    }
}

fn underflow() -> Error {
    bad("the condition takes more from its stack than is there")
}

/// Everything but jumps and the end.
fn step(op: Op, stack: &mut Vec<u64>, machine: &mut dyn Machine) -> Result<()> {
    let value = match op {
        Op::Constant(value) => value,
        Op::Register(number) => machine.register(number)?,
        Op::Duplicate => *stack.last().ok_or_else(underflow)?,
        Op::Pick(depth) => {
            let at = stack.len().checked_sub(1 + usize::from(depth)).ok_or_else(underflow)?;
            stack[at]
        }
        Op::Pop => return stack.pop().map(drop).ok_or_else(underflow),
        Op::Swap => {
            let [.., a, b] = stack.as_mut_slice() else { return Err(underflow()) };
            std::mem::swap(a, b);
            return Ok(());
        }
        Op::Rotate => {
            let [.., a, b, c] = stack.as_mut_slice() else { return Err(underflow()) };
            (*a, *b, *c) = (*c, *a, *b);
            return Ok(());
        }
        Op::Load(_) | Op::SignExtend(_) | Op::ZeroExtend(_) | Op::LogicalNot | Op::Not => {
            let top = stack.pop().ok_or_else(underflow)?;
            unary(op, top, machine)?
        }
        _ => {
            let right = stack.pop().ok_or_else(underflow)?;
            let left = stack.pop().ok_or_else(underflow)?;
            binary(op, left, right)?
        }
    };
    stack.push(value);
    Ok(())
}

fn unary(op: Op, top: u64, machine: &mut dyn Machine) -> Result<u64> {
    Ok(match op {
        Op::Load(size) => {
            let mut bytes = [0; 8];
            let bytes = &mut bytes[..usize::from(size).min(8)];
            machine.memory(top, bytes)?;
            super::number(bytes, machine.big_endian()) as u64
        }
        Op::SignExtend(bits) => {
            let shift = 64 - u32::from(bits.clamp(1, 64));
            ((top << shift) as i64 >> shift) as u64
        }
        Op::ZeroExtend(bits) => {
            let shift = 64 - u32::from(bits.clamp(1, 64));
            top << shift >> shift
        }
        Op::LogicalNot => u64::from(top == 0),
        _ => !top,
    })
}

fn binary(op: Op, left: u64, right: u64) -> Result<u64> {
    let zero = || Error::new(Kind::Expression, "the condition divides by zero");
    let (signed, other) = (left as i64, right as i64);
    let shift = u32::try_from(right).unwrap_or(u32::MAX);
    Ok(match op {
        Op::Add => left.wrapping_add(right),
        Op::Subtract => left.wrapping_sub(right),
        Op::Multiply => left.wrapping_mul(right),
        Op::DivideSigned if other != 0 => signed.wrapping_div(other) as u64,
        Op::RemainderSigned if other != 0 => signed.wrapping_rem(other) as u64,
        Op::Divide => left.checked_div(right).ok_or_else(zero)?,
        Op::Remainder => left.checked_rem(right).ok_or_else(zero)?,
        Op::ShiftLeft => left.checked_shl(shift).unwrap_or(0),
        Op::ShiftRight => left.checked_shr(shift).unwrap_or(0),
        Op::ShiftRightSigned => (signed >> shift.min(63)) as u64,
        Op::And => left & right,
        Op::Or => left | right,
        Op::Xor => left ^ right,
        Op::Equal => u64::from(left == right),
        Op::LessSigned => u64::from(signed < other),
        Op::Less => u64::from(left < right),
        _ => return Err(zero()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Register n holds n * 100; memory at a holds the byte a.
    struct Plain;
    impl Machine for Plain {
        fn register(&mut self, number: u16) -> Result<u64> {
            Ok(u64::from(number) * 100)
        }
        fn memory(&mut self, address: u64, buffer: &mut [u8]) -> Result<()> {
            if address >= 0x1000 {
                return Err(Error::new(Kind::NotFound, "nothing there"));
            }
            for (at, byte) in buffer.iter_mut().enumerate() {
                *byte = address as u8 + at as u8;
            }
            Ok(())
        }
    }

    fn run(ops: &[Op]) -> Result<u64> {
        Condition::new(ops.to_vec())?.evaluate(&mut Plain)
    }

    #[test]
    fn operations_do_what_they_say() {
        use Op::*;
        let minus = |n: u64| Constant(n.wrapping_neg());
        for (ops, wanted) in [
            (&[Register(3), Constant(300), Equal][..], 1),
            (&[Constant(0x10), Load(4)], 0x1312_1110),
            (&[Constant(7), minus(2), DivideSigned], 3u64.wrapping_neg()),
            (&[Constant(7), Constant(2), Subtract], 5),
            (&[Constant(1), Constant(64), ShiftLeft], 0),
            (&[minus(1), Constant(70), ShiftRightSigned], u64::MAX),
            (&[Constant(0x80), SignExtend(8)], 0xffff_ffff_ffff_ff80),
            (&[Constant(0x1ff), ZeroExtend(8)], 0xff),
            (&[minus(1), Constant(0), LessSigned], 1),
            (&[minus(1), Constant(0), Less], 0),
            (&[Constant(1), Constant(2), Constant(3), Rotate, Pick(2)], 3),
            (&[Constant(1), JumpIf(4), Constant(5), End, Constant(6)], 6),
        ] {
            assert_eq!(run(ops).unwrap(), wanted, "{ops:?}");
        }
    }

    #[test]
    fn nothing_runs_for_ever_or_out_of_bounds() {
        use Op::*;
        assert_eq!(run(&[Jump(0)]).unwrap_err().kind(), Kind::Limit);
        assert_eq!(run(&[Constant(1), Jump(0)]).unwrap_err().kind(), Kind::Limit);
        assert_eq!(run(&[Constant(1), Constant(0), DivideSigned]).unwrap_err().kind(), Kind::Expression);
        assert_eq!(run(&[Constant(0x1000), Load(1)]).unwrap_err().kind(), Kind::NotFound);
        for ops in [&[][..], &[Add], &[Constant(1), Swap], &[Pop], &[Jump(7)], &[Constant(1), Load(3)]] {
            assert_eq!(run(ops).unwrap_err().kind(), Kind::Format, "{ops:?}");
        }
        assert!(Condition::from_agent(&[0x25, 1, 2]).is_err());
        assert!(Condition::from_agent(&[0x22, 0x22, 0x21, 0, 1]).is_err());
    }

    #[test]
    fn agent_code_is_understood_as_gdb_sends_it() {
        // `$rdi == 5` from gdb: reg 5; const8 5; equal; end.
        let code = [0x26, 0, 5, 0x22, 5, 0x13, 0x27];
        let condition = Condition::from_agent(&code).unwrap();
        assert_eq!(condition.ops(), [Op::Register(5), Op::Constant(5), Op::Equal, Op::End]);
        assert_eq!(condition.to_agent(), code);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(code in proptest::collection::vec(0u8..0x34, 0..64)) {
            if let Ok(condition) = Condition::from_agent(&code) {
                let _ = condition.evaluate(&mut Plain);
                prop_assert_eq!(Condition::from_agent(&condition.to_agent()).unwrap(), condition);
            }
        }
    }
}
