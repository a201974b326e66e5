//! Conditions of breakpoints in the shell's number language, compiled for the place where the target is.
//!
//! Registers and memory are looked at when the condition is evaluated; flags, options and everything else have the
//! value that they have when it is compiled.

use crate::debug::condition::Op;
use crate::debug::{Condition, Layout, Register};
use crate::error::{Error, Kind, Result};
use crate::number::{self, Algebra, Binary, Evaluated, Names, Unary};
use crate::session::scope::Scope;

/// Compiles a condition such as `rax==1,[rsp]!=0`, which holds when it is not 0.
pub fn compile(text: &str, scope: Scope<'_>, layout: &Layout) -> Result<Condition> {
    number::condition_in(text, &mut Compiler { scope, layout })?.into_condition()
}

/// Compiles an expression.
pub fn compile_expression(text: &str, scope: Scope<'_>, layout: &Layout) -> Result<Condition> {
    number::expression(text, &mut Compiler { scope, layout })?.into_condition()
}

/// A part of an expression.
enum Code {
    /// Its value is known now.
    Known(u64),
    /// It is found later.
    Later(Vec<Op>),
}

impl Code {
    fn into_ops(self) -> Vec<Op> {
        match self {
            Code::Known(value) => vec![Op::Constant(value)],
            Code::Later(ops) => ops,
        }
    }

    fn into_condition(self) -> Result<Condition> {
        Condition::new(self.into_ops())
    }

    fn then(self, more: &[Op]) -> Code {
        let mut ops = self.into_ops();
        ops.extend_from_slice(more);
        Code::Later(ops)
    }
}

struct Compiler<'a> {
    scope: Scope<'a>,
    layout: &'a Layout,
}

impl Compiler<'_> {
    /// The program that finds a register of at most 64 bits.
    fn register(&self, name: &str) -> Option<Code> {
        let part = self.layout.find(name)?;
        let whole = match part.number {
            Some(_) => part,
            None => self.layout.registers.iter().find(|whole| contains(whole, part))?,
        };
        let number = u16::try_from(whole.number?).ok().filter(|_| whole.bits <= 64)?;
        let mut ops = vec![Op::Register(number)];
        let shift = (part.offset - whole.offset) as u64 * 8 + u64::from(part.bit) - u64::from(whole.bit);
        if shift > 0 {
            ops.extend([Op::Constant(shift), Op::ShiftRight]);
        }
        if part.bits < whole.bits {
            ops.push(Op::ZeroExtend(u8::try_from(part.bits).ok()?));
        }
        Some(Code::Later(ops))
    }
}

/// Whether `part` lies in `whole`, which the target knows by a number.
fn contains(whole: &Register, part: &Register) -> bool {
    let (outer, inner) = (whole.range(), part.range());
    whole.number.is_some() && whole.set == part.set && outer.start <= inner.start && inner.end <= outer.end
}

impl Algebra for Compiler<'_> {
    type Value = Code;

    fn constant(&mut self, value: Evaluated) -> Code {
        Code::Known(value.value)
    }

    fn name(&mut self, name: &str) -> Option<Code> {
        // Registers first: `.dr*` makes flags of the same names, which do not move.
        self.register(name).or_else(|| self.scope.name(name).map(Code::Known))
    }

    fn variable(&mut self, variable: &str) -> Result<Code> {
        let register = variable.strip_prefix("r{").and_then(|rest| rest.strip_suffix('}'));
        match register {
            Some(name) => self.register(name).ok_or_else(|| {
                Error::new(Kind::Expression, format!("no register of at most 64 bits is called '{name}'"))
            }),
            None => self.scope.variable(variable).map(Code::Known),
        }
    }

    fn memory(&mut self, address: Code, size: Option<u8>) -> Result<Code> {
        let size = size.unwrap_or(match self.layout.bits {
            16 => 2,
            32 => 4,
            _ => 8,
        });
        Ok(address.then(&[Op::Load(size)]))
    }

    fn seek(&mut self) -> u64 {
        self.scope.seek()
    }

    fn unary(&mut self, operator: Unary, value: Code) -> Code {
        let value = match value {
            Code::Known(value) => {
                return Code::Known(match operator {
                    Unary::Minus => value.wrapping_neg(),
                    Unary::Complement => !value,
                    Unary::Increment => value.wrapping_add(1),
                    Unary::Decrement => value.wrapping_sub(1),
                });
            }
            later => later,
        };
        value.then(match operator {
            Unary::Minus => &[Op::Constant(0), Op::Swap, Op::Subtract],
            Unary::Complement => &[Op::Not],
            Unary::Increment => &[Op::Constant(1), Op::Add],
            Unary::Decrement => &[Op::Constant(1), Op::Subtract],
        })
    }

    fn binary(&mut self, operator: Binary, left: Code, right: Code) -> Option<Code> {
        if let (Code::Known(left), Code::Known(right)) = (&left, &right) {
            return operator.apply(*left, *right).map(Code::Known);
        }
        if matches!((operator, &right), (Binary::Divide | Binary::Remainder, Code::Known(0))) {
            return None;
        }
        let both = left.then(&right.into_ops());
        Some(both.then(operations(operator)))
    }
}

/// What joins the two upper numbers of the stack.
fn operations(operator: Binary) -> &'static [Op] {
    // The shell takes the low six bits of a distance, the target shifts everything out.
    const DISTANCE: [Op; 2] = [Op::Constant(63), Op::And];
    match operator {
        Binary::RotateLeft => &[
            DISTANCE[0],
            DISTANCE[1],
            Op::Pick(1),
            Op::Pick(1),
            Op::ShiftLeft,
            Op::Rotate,
            Op::Constant(64),
            Op::Swap,
            Op::Subtract,
            Op::ShiftRight,
            Op::Or,
        ],
        Binary::RotateRight => &[
            DISTANCE[0],
            DISTANCE[1],
            Op::Pick(1),
            Op::Pick(1),
            Op::ShiftRight,
            Op::Rotate,
            Op::Constant(64),
            Op::Swap,
            Op::Subtract,
            Op::ShiftLeft,
            Op::Or,
        ],
        Binary::ShiftLeft => &[DISTANCE[0], DISTANCE[1], Op::ShiftLeft],
        Binary::ShiftRight => &[DISTANCE[0], DISTANCE[1], Op::ShiftRight],
        Binary::Add => &[Op::Add],
        Binary::Subtract => &[Op::Subtract],
        Binary::And => &[Op::And],
        Binary::Or => &[Op::Or],
        Binary::Xor => &[Op::Xor],
        Binary::Multiply => &[Op::Multiply],
        Binary::Divide => &[Op::Divide],
        Binary::Remainder => &[Op::Remainder],
        Binary::Equal => &[Op::Equal],
        Binary::NotEqual => &[Op::Equal, Op::LogicalNot],
        Binary::LessOrEqual => &[Op::Swap, Op::Less, Op::LogicalNot],
        Binary::GreaterOrEqual => &[Op::Less, Op::LogicalNot],
        Binary::Less => &[Op::Less],
        Binary::Greater => &[Op::Swap, Op::Less],
        Binary::Both => &[Op::LogicalNot, Op::Swap, Op::LogicalNot, Op::Or, Op::LogicalNot],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::debug::condition::Machine;
    use crate::debug::registers::{Group, Set, Type};
    use crate::session::Session;

    fn layout() -> Layout {
        let register = |name: &str, bits, offset, bit, number| Register {
            name: name.into(),
            bits,
            set: 0,
            offset,
            bit,
            group: Group::General,
            kind: Type::Integer,
            number,
            dwarf: None,
            role: None,
            feature: String::new(),
        };
        let registers = vec![
            register("rax", 64, 0, 0, Some(0)),
            register("rbx", 64, 8, 0, Some(1)),
            register("eflags", 32, 16, 0, Some(2)),
            register("eax", 32, 0, 0, None),
            register("ah", 8, 1, 0, None),
            register("zf", 1, 16, 6, None),
        ];
        Layout::new("test", 64, false, vec![Set { name: "general".into(), size: 20 }], registers)
    }

    /// Registers by number; every byte of memory is its own address.
    struct Test(HashMap<u16, u64>);

    impl Machine for Test {
        fn register(&mut self, number: u16) -> Result<u64> {
            self.0.get(&number).copied().ok_or_else(|| Error::new(Kind::NotFound, "no such register"))
        }
        fn memory(&mut self, address: u64, buffer: &mut [u8]) -> Result<()> {
            for (at, byte) in buffer.iter_mut().enumerate() {
                *byte = address.wrapping_add(at as u64) as u8;
            }
            Ok(())
        }
    }

    fn value(text: &str, registers: &[(u16, u64)]) -> u64 {
        let mut session = Session::new();
        let condition = session.with(|core, view| {
            core.flags.set("here", 0x1234, 1);
            core.flags.set("rax", 0x9999, 1);
            compile(text, Scope { core, view }, &layout()).unwrap()
        });
        condition.evaluate(&mut Test(registers.iter().copied().collect())).unwrap()
    }

    #[test]
    fn registers_parts_and_memory() {
        let registers = [(0, 0x1122_3344_5566_7788), (1, 5), (2, 0x246)];
        for (text, expected) in [
            ("rax", 0x1122_3344_5566_7788),
            ("eax", 0x5566_7788),
            ("ah", 0x77),
            ("zf", 1),
            ("$r{rbx}", 5),
            ("here", 0x1234),
            ("[2:0x10]", 0x1110),
            ("[1:rbx+1]", 6),
            ("rbx==5", 1),
            ("rbx==5,ah==0x77", 1),
            ("rbx==5,ah==0x78", 0),
            ("rbx,ah", 1),
            ("-rbx+6", 1),
            ("~rbx&0xff", 0xfa),
            ("2*3+rbx", 11),
        ] {
            assert_eq!(value(text, &registers), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_compiled_says_why() {
        let mut session = Session::new();
        session.with(|core, view| {
            for (text, expected) in [
                ("nosuch==1", "bad expression 'nosuch==1': unknown name 'nosuch' at column 1"),
                ("rax/0", "bad expression 'rax/0': division by zero '/' at column 4"),
                ("$r{nosuch}", "no register of at most 64 bits is called 'nosuch'"),
            ] {
                let error = compile(text, Scope { core: &mut *core, view: &*view }, &layout()).unwrap_err();
                assert_eq!(error.to_string(), expected, "{text}");
            }
        });
    }

    proptest! {
        /// What is compiled finds what the shell finds.
        #[test]
        fn compiled_and_calculated_agree(a: u64, b: u64, c in 0u64..70, operator in 0usize..17) {
            let spelling = ["<<<", ">>>", "<<", ">>", "+", "-", "&", "|", "^", "*", "/", "%", "==", "!=", "<=", ">=", "<"];
            let operator = spelling[operator];
            for (a, b) in [(a, b), (a, c), (c, c)] {
                let text = format!("rax{operator}rbx");
                let known = format!("{a}{operator}{b}");
                let mut session = Session::new();
                let expected =
                    session.with(|core, view| number::condition(&known, &mut Scope { core, view }));
                if let Ok(expected) = expected {
                    prop_assert_eq!(value(&text, &[(0, a), (1, b)]), expected, "{}", known);
                }
            }
        }
    }
}
