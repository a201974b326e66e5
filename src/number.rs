//! Numbers and address expressions of the shell language: `0x10`, `1K`, `entry0+8`, `[rsp]`, `$b*2`.
//!
//! Values are unsigned, 64 bits wide, and wrap around. Beside the value runs a floating one, which only `?` shows.
//! There are two levels of operators, both from left to right: `* / %` bind tighter than all the others. Text that
//! does not follow the grammar is an error that says what is wrong and where; nothing is silently 0.

mod literal;

use crate::error::{Error, Kind, Result};

/// What an expression may refer to.
pub trait Names {
    /// The value of a flag, function or register.
    fn name(&mut self, name: &str) -> Option<u64>;
    /// The value of a `$` variable, given without the first `$`: `$` (the seek), `b`, `r{rip}`, `{asm.bits}`. The
    /// error says why there is none.
    fn variable(&mut self, variable: &str) -> Result<u64>;
    /// The number of `size` bytes (1, 2, 4, 8; `None`: the word size) in memory at `address`.
    fn memory(&mut self, address: u64, size: Option<u8>) -> Result<u64>;
    /// The current seek, for `..12`.
    fn seek(&mut self) -> u64;
}

/// The result of an expression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluated {
    /// The value, wrapped around to 64 bits.
    pub value: u64,
    /// The same calculation in floating point, as far as that makes sense: `1.5*2` is 3.0 here and 2 above.
    pub float: f64,
}

impl Evaluated {
    fn new(value: u64) -> Evaluated {
        Evaluated { value, float: value as f64 }
    }
}

/// An operator with one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unary {
    /// `-a`
    Minus,
    /// `~a`
    Complement,
    /// `++a`
    Increment,
    /// `--a`
    Decrement,
}

/// An operator with two operands. All are unsigned and wrap around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// `a<<<b`
    RotateLeft,
    /// `a>>>b`
    RotateRight,
    /// `a<<b`, by the low six bits of `b`
    ShiftLeft,
    /// `a>>b`, by the low six bits of `b`
    ShiftRight,
    /// `a+b`
    Add,
    /// `a-b`
    Subtract,
    /// `a&b`
    And,
    /// `a|b`
    Or,
    /// `a^b`
    Xor,
    /// `a*b`
    Multiply,
    /// `a/b`
    Divide,
    /// `a%b`
    Remainder,
    /// `a==b`, in conditions: 1 or 0
    Equal,
    /// `a!=b`
    NotEqual,
    /// `a<=b`
    LessOrEqual,
    /// `a>=b`
    GreaterOrEqual,
    /// `a<b`
    Less,
    /// `a>b`
    Greater,
    /// `a,b`, in conditions: 1 if neither is 0
    Both,
}

impl Binary {
    /// The result; `None` for a division by zero.
    pub fn apply(self, a: u64, b: u64) -> Option<u64> {
        Some(match self {
            Binary::RotateLeft => a.rotate_left(b as u32 & 63),
            Binary::RotateRight => a.rotate_right(b as u32 & 63),
            Binary::ShiftLeft => a << (b & 63),
            Binary::ShiftRight => a >> (b & 63),
            Binary::Add => a.wrapping_add(b),
            Binary::Subtract => a.wrapping_sub(b),
            Binary::And => a & b,
            Binary::Or => a | b,
            Binary::Xor => a ^ b,
            Binary::Multiply => a.wrapping_mul(b),
            Binary::Divide => return a.checked_div(b),
            Binary::Remainder => return a.checked_rem(b),
            Binary::Equal => (a == b).into(),
            Binary::NotEqual => (a != b).into(),
            Binary::LessOrEqual => (a <= b).into(),
            Binary::GreaterOrEqual => (a >= b).into(),
            Binary::Less => (a < b).into(),
            Binary::Greater => (a > b).into(),
            Binary::Both => (a != 0 && b != 0).into(),
        })
    }
}

/// What the parts of an expression become while it is read: numbers, or a program that finds them later (the
/// condition of a breakpoint).
pub trait Algebra {
    /// What a part becomes.
    type Value;
    /// A number that is written out, or follows from the seek.
    fn constant(&mut self, value: Evaluated) -> Self::Value;
    /// A flag, function or register; `None`: there is none of this name.
    fn name(&mut self, name: &str) -> Option<Self::Value>;
    /// A `$` variable; see [`Names::variable`].
    fn variable(&mut self, variable: &str) -> Result<Self::Value>;
    /// Memory at an address; see [`Names::memory`].
    fn memory(&mut self, address: Self::Value, size: Option<u8>) -> Result<Self::Value>;
    /// The current seek.
    fn seek(&mut self) -> u64;
    /// A number changed by an operator.
    fn unary(&mut self, operator: Unary, value: Self::Value) -> Self::Value;
    /// Two numbers joined by an operator; `None`: the right one is 0, and divides.
    fn binary(&mut self, operator: Binary, left: Self::Value, right: Self::Value) -> Option<Self::Value>;
}

/// Finds the numbers at once.
struct Calculate<'a>(&'a mut dyn Names);

impl Algebra for Calculate<'_> {
    type Value = Evaluated;

    fn constant(&mut self, value: Evaluated) -> Evaluated {
        value
    }
    fn name(&mut self, name: &str) -> Option<Evaluated> {
        self.0.name(name).map(Evaluated::new)
    }
    fn variable(&mut self, variable: &str) -> Result<Evaluated> {
        self.0.variable(variable).map(Evaluated::new)
    }
    fn memory(&mut self, address: Evaluated, size: Option<u8>) -> Result<Evaluated> {
        self.0.memory(address.value, size).map(Evaluated::new)
    }
    fn seek(&mut self) -> u64 {
        self.0.seek()
    }
    fn unary(&mut self, operator: Unary, Evaluated { value, float }: Evaluated) -> Evaluated {
        match operator {
            Unary::Minus => Evaluated { value: value.wrapping_neg(), float: -float },
            Unary::Complement => Evaluated { value: !value, float: -float - 1.0 },
            Unary::Increment => Evaluated { value: value.wrapping_add(1), float: float + 1.0 },
            Unary::Decrement => Evaluated { value: value.wrapping_sub(1), float: float - 1.0 },
        }
    }
    fn binary(&mut self, operator: Binary, left: Evaluated, right: Evaluated) -> Option<Evaluated> {
        let value = operator.apply(left.value, right.value)?;
        let float = match operator {
            Binary::Add => left.float + right.float,
            Binary::Subtract => left.float - right.float,
            Binary::Multiply => left.float * right.float,
            Binary::Divide => left.float / right.float,
            Binary::Remainder => left.float % right.float,
            _ => value as f64,
        };
        Some(Evaluated { value, float })
    }
}

/// How deep parentheses, brackets and prefix operators may nest: far beyond what anybody types, far below what the
/// stack holds.
const DEPTH: usize = 100;

/// Evaluates an expression to an unsigned 64-bit number, wrapping around.
pub fn evaluate(text: &str, names: &mut dyn Names) -> Result<u64> {
    calculate(text, names).map(|evaluated| evaluated.value)
}

/// Evaluates an expression to its integer and its floating value.
pub fn calculate(text: &str, names: &mut dyn Names) -> Result<Evaluated> {
    expression(text, &mut Calculate(names))
}

/// Reads an expression in another algebra.
pub fn expression<A: Algebra>(text: &str, algebra: &mut A) -> Result<A::Value> {
    let mut parser = Parser { text, at: 0, depth: 0, algebra };
    let result = parser.expression()?;
    parser.end()?;
    Ok(result)
}

/// Evaluates a condition: terms joined by `,`, all of which must hold, each `a==b a!=b a<b a<=b a>b a>=b`
/// (unsigned). Its value is 1 or 0; a single expression without a comparison keeps its own value, and counts as
/// true when it is not 0.
pub fn condition(text: &str, names: &mut dyn Names) -> Result<u64> {
    condition_in(text, &mut Calculate(names)).map(|evaluated| evaluated.value)
}

/// Reads a condition in another algebra.
pub fn condition_in<A: Algebra>(text: &str, algebra: &mut A) -> Result<A::Value> {
    let mut parser = Parser { text, at: 0, depth: 0, algebra };
    let mut value = parser.comparison()?;
    while parser.take(",") {
        let place = parser.at;
        let next = parser.comparison()?;
        value = parser.apply(Binary::Both, value, next, place)?;
    }
    parser.end()?;
    Ok(value)
}

/// Joins blank-separated words to expressions: `["1", "2", "+", "3"]` holds `1` and `2 + 3`. A word goes on with the
/// one before it when that cannot end an expression, or when it cannot begin one.
pub fn join(words: &[String]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    for word in words {
        match joined.last_mut() {
            Some(last) if is_open(last) || continues(word) => {
                last.push(' ');
                last.push_str(word);
            }
            _ => joined.push(word.clone()),
        }
    }
    joined
}

/// Whether `text` needs more to be an expression: it ends with an operator or has an open bracket.
fn is_open(text: &str) -> bool {
    let count = |letters: &[char]| text.matches(letters).count();
    count(&['(', '[', '{']) > count(&[')', ']', '}']) || text.ends_with(|c| "+-*/%&|^<>=!~,".contains(c))
}

/// Whether `word` goes on with an expression: an operator that is none of the prefixes, or a prefix alone.
fn continues(word: &str) -> bool {
    word.starts_with(|c| "*/%&^<>=!,)]".contains(c)) || word.chars().all(|c| "+-|".contains(c))
}

struct Parser<'a, A> {
    text: &'a str,
    at: usize,
    depth: usize,
    algebra: &'a mut A,
}

/// Operators of the lower level, the longer spellings first.
const LOW: &[(&str, Binary)] = &[
    ("<<<", Binary::RotateLeft),
    (">>>", Binary::RotateRight),
    ("<<", Binary::ShiftLeft),
    (">>", Binary::ShiftRight),
    ("+", Binary::Add),
    ("-", Binary::Subtract),
    ("&", Binary::And),
    ("|", Binary::Or),
    ("^", Binary::Xor),
];

/// Prefix operators, the longer spellings first; those that change nothing have no name.
const PREFIXES: &[(&str, Option<Unary>)] = &[
    ("++", Some(Unary::Increment)),
    ("--", Some(Unary::Decrement)),
    ("-", Some(Unary::Minus)),
    ("+", None),
    ("|", None),
    ("~", Some(Unary::Complement)),
];

/// Comparisons, the longer spellings first.
const COMPARE: &[(&str, Binary)] = &[
    ("==", Binary::Equal),
    ("!=", Binary::NotEqual),
    ("<=", Binary::LessOrEqual),
    (">=", Binary::GreaterOrEqual),
    ("<", Binary::Less),
    (">", Binary::Greater),
];

impl<A: Algebra> Parser<'_, A> {
    fn expression(&mut self) -> Result<A::Value> {
        let mut left = self.term()?;
        loop {
            self.blanks();
            let Some((spelling, operator)) = LOW.iter().find(|(spelling, _)| self.rest().starts_with(spelling)) else {
                return Ok(left);
            };
            let place = self.at;
            self.at += spelling.len();
            let right = self.term()?;
            left = self.apply(*operator, left, right, place)?;
        }
    }

    fn term(&mut self) -> Result<A::Value> {
        let mut left = self.factor()?;
        loop {
            self.blanks();
            let operator = match self.peek() {
                Some('*') => Binary::Multiply,
                Some('/') => Binary::Divide,
                Some('%') => Binary::Remainder,
                _ => return Ok(left),
            };
            let place = self.at;
            self.at += 1;
            let right = self.factor()?;
            left = self.apply(operator, left, right, place)?;
        }
    }

    fn apply(&mut self, operator: Binary, left: A::Value, right: A::Value, place: usize) -> Result<A::Value> {
        let result = self.algebra.binary(operator, left, right);
        result.ok_or_else(|| self.error(place, place + 1, "division by zero"))
    }

    fn constant(&mut self, value: u64) -> A::Value {
        self.algebra.constant(Evaluated::new(value))
    }

    /// An operand with its prefix operators.
    fn factor(&mut self) -> Result<A::Value> {
        let mut prefixes = Vec::new();
        loop {
            self.blanks();
            let Some((spelling, prefix)) = PREFIXES.iter().find(|(spelling, _)| self.rest().starts_with(spelling))
            else {
                break;
            };
            self.at += spelling.len();
            prefixes.extend(*prefix);
        }
        let mut result = self.operand()?;
        for prefix in prefixes.into_iter().rev() {
            result = self.algebra.unary(prefix, result);
        }
        Ok(result)
    }

    fn operand(&mut self) -> Result<A::Value> {
        let start = self.at;
        let Some(next) = self.peek() else {
            return Err(self.error(start, start, "a value is missing"));
        };
        match next {
            '(' => self.enclosed(')', Self::expression),
            '[' => self.enclosed(']', Self::reference),
            '$' => self.variable(),
            '\'' => self.character(),
            '.' if self.rest().starts_with("..") => self.tail(),
            c if c.is_ascii_digit() => self.number(),
            c if c.is_alphabetic() || c == '_' || c == '.' => self.name(),
            _ => Err(self.error(start, start + next.len_utf8(), "a value is missing")),
        }
    }

    /// What `inside` reads between the bracket here and `close`.
    fn enclosed(&mut self, close: char, inside: fn(&mut Self) -> Result<A::Value>) -> Result<A::Value> {
        let start = self.at;
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(Error::new(Kind::Expression, format!("the expression nests more than {DEPTH} deep")));
        }
        let result = inside(self)?;
        self.depth -= 1;
        self.blanks();
        match self.peek() {
            Some(c) if c == close => {
                self.at += 1;
                Ok(result)
            }
            Some(_) => Err(self.junk(&format!("'{close}' expected"))),
            None => Err(self.error(start, start + 1, &format!("no '{close}' for"))),
        }
    }

    /// The inside of `[address]` or `[size:address]`.
    fn reference(&mut self) -> Result<A::Value> {
        self.blanks();
        let start = self.at;
        let digits = self.rest().len() - self.rest().trim_start_matches(|c: char| c.is_ascii_digit()).len();
        // Four digits before a colon are a segment.
        let size = if (1..4).contains(&digits) && self.rest()[digits..].trim_start().starts_with(':') {
            let size = &self.rest()[..digits];
            let size = match size.parse() {
                Ok(size @ (1u8 | 2 | 4 | 8)) => size,
                _ => {
                    return Err(self
                        .error(start, start + digits, "a memory reference cannot have the size")
                        .hint("1, 2, 4 or 8 bytes"));
                }
            };
            self.at += digits;
            self.blanks();
            self.at += 1;
            Some(size)
        } else {
            None
        };
        let address = self.expression()?;
        self.algebra.memory(address, size)
    }

    fn variable(&mut self) -> Result<A::Value> {
        let start = self.at;
        self.at += 1;
        let rest = self.rest();
        let length = if rest.starts_with('$') {
            1 + usize::from(rest.starts_with("$$"))
        } else if rest.starts_with('?') {
            1
        } else {
            let dot = usize::from(rest.starts_with('.'));
            let name = dot + word_length(&rest[dot..], |c| c.is_ascii_alphanumeric() || c == '_');
            match rest[name..].strip_prefix('{') {
                Some(inner) => match inner.find('}') {
                    Some(end) => name + 1 + end + 1,
                    None => return Err(self.error(start + 1 + name, start + 2 + name, "no '}' for")),
                },
                None => name,
            }
        };
        let variable = &self.text[start + 1..start + 1 + length];
        if matches!(variable, "" | "." | "{}") {
            return Err(self.error(start, start + 1, "a variable's name is missing after").hint("'?$' lists them"));
        }
        self.at += length;
        self.algebra.variable(variable)
    }

    /// `'A'`, with the escapes of C.
    fn character(&mut self) -> Result<A::Value> {
        let start = self.at;
        let bad = |parser: &Self| {
            parser
                .error(start, parser.text.len().min(start + 1), "no character stands in the quotes at")
                .hint("'A' or '\\n'")
        };
        let inside = &self.text[start + 1..];
        let mut letters = inside.chars();
        let (value, length) = match letters.next() {
            Some('\\') => match letters.next() {
                Some('n') => (u64::from(b'\n'), 2),
                Some('t') => (u64::from(b'\t'), 2),
                Some('r') => (u64::from(b'\r'), 2),
                Some('0') => (0, 2),
                Some(quoted @ ('\\' | '\'' | '"')) => (u64::from(quoted), 2),
                Some('x') => {
                    let digits = inside.get(2..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
                    match digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
                        Some(value) => (value, 4),
                        None => return Err(bad(self)),
                    }
                }
                _ => return Err(bad(self)),
            },
            Some(letter) if letter != '\'' => (u64::from(letter), letter.len_utf8()),
            _ => return Err(bad(self)),
        };
        if !inside[length..].starts_with('\'') {
            return Err(bad(self));
        }
        self.at += 1 + length + 1;
        Ok(self.constant(value))
    }

    /// `..12`: the seek with its low digits replaced.
    fn tail(&mut self) -> Result<A::Value> {
        let start = self.at;
        let length = 2 + word_length(&self.text[start + 2..], |c| c.is_ascii_alphanumeric());
        let digits = &self.text[start + 2..start + length];
        let Some((value, mask)) = literal::low_digits(digits) else {
            return Err(self.error(start, start + length, "hexadecimal digits (at most 16) must follow the dots in"));
        };
        self.at += length;
        let seek = self.algebra.seek();
        Ok(self.constant((seek & !mask) | value))
    }

    fn number(&mut self) -> Result<A::Value> {
        let start = self.at;
        if let Some((value, length)) = literal::segment(self.rest()) {
            self.at += length;
            return Ok(self.constant(value));
        }
        let length = word_length(self.rest(), |c| c.is_alphanumeric() || c == '_' || c == '.');
        let word = &self.text[start..start + length];
        let parsed = literal::parse(word);
        match parsed {
            Ok(result) => {
                self.at += length;
                Ok(self.algebra.constant(result))
            }
            Err(what) => Err(self.error(start, start + length, &what)),
        }
    }

    fn name(&mut self) -> Result<A::Value> {
        let start = self.at;
        if let Some((value, length)) = literal::segment(self.rest()) {
            self.at += length;
            return Ok(self.constant(value));
        }
        let length = word_length(self.rest(), |c| c.is_alphanumeric() || "_.:".contains(c));
        let name = self.text[start..start + length].trim_end_matches(':');
        match self.algebra.name(name) {
            Some(value) => {
                self.at += name.len();
                Ok(value)
            }
            None => {
                let error = self.error(start, start + name.len(), "unknown name");
                let digits = name.strip_suffix('h').unwrap_or(name);
                Err(if digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    error.hint(format!("as a hexadecimal number it is 0x{digits}"))
                } else {
                    error
                })
            }
        }
    }

    fn comparison(&mut self) -> Result<A::Value> {
        let left = self.expression()?;
        self.blanks();
        match COMPARE.iter().find(|(spelling, _)| self.rest().starts_with(spelling)) {
            Some((spelling, operator)) => {
                let place = self.at;
                self.at += spelling.len();
                let right = self.expression()?;
                self.apply(*operator, left, right, place)
            }
            None => Ok(left),
        }
    }

    /// Nothing but blanks may be left.
    fn end(&mut self) -> Result<()> {
        self.blanks();
        if self.at == self.text.len() { Ok(()) } else { Err(self.junk("an operator expected")) }
    }

    /// What stands here does not belong here.
    fn junk(&self, expected: &str) -> Error {
        match self.peek() {
            Some(')') => self.error(self.at, self.at + 1, "no '(' for"),
            Some(']') => self.error(self.at, self.at + 1, "no '[' for"),
            Some('=' | '!' | '<' | '>') => {
                self.error(self.at, self.at + 1, "not an operator of expressions:").hint("conditions compare: ?= a==b")
            }
            _ => {
                let length = self.rest().find(char::is_whitespace).unwrap_or(self.rest().len());
                self.error(self.at, self.at + length, &format!("{expected} before"))
            }
        }
    }

    /// An error about `text[start..end]`: `what`, the text itself, and where it stands.
    fn error(&self, start: usize, end: usize, what: &str) -> Error {
        let part = &self.text[start..end];
        let message = if part.is_empty() && self.text.trim().is_empty() {
            "the expression is empty".to_string()
        } else if part.is_empty() {
            format!("bad expression '{}': {what} at its end", shown(self.text))
        } else if part == self.text {
            format!("{what} '{}'", shown(part))
        } else {
            let column = self.text[..start].chars().count() + 1;
            format!("bad expression '{}': {what} '{}' at column {column}", shown(self.text), shown(part))
        };
        Error::new(Kind::Expression, message)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        let here = self.rest().starts_with(token);
        if here {
            self.at += token.len();
        }
        here
    }
}

fn word_length(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// `text` fit for one line of a message: short, and without control characters.
fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let mut shown = String::new();
    for c in text.chars().take(MOST) {
        if c.is_control() {
            shown.extend(c.escape_debug());
        } else {
            shown.push(c);
        }
    }
    if text.chars().nth(MOST).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests;
