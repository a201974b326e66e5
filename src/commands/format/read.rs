//! Reading what a format describes: fields with their addresses and values, bounded in number and depth.

use serde_json::{Value as Json, json};

use super::parse::{Format, Holds, Repeat, Spec, Step, parse};
use crate::commands::literal::{self, printable};
use crate::disasm::{Instruction, Text};
use crate::error::{Error, Kind, Result};
use crate::session::{Ctx, disassembly};

/// The most values of one answer; a long one counts for each [`LONG`] of its bytes.
const VALUES: usize = 1 << 17;

/// Bytes of a value from which on it counts more than once.
const LONG: usize = 16;

/// The longest string in bytes.
const STRING: usize = 1 << 20;

/// How deep formats nest in each other by value.
const DEPTH: usize = 32;

/// How deep pointers are followed: lists are shown that far.
const POINTERS: usize = 16;

/// One element of a repetition: the fields that start at `address`.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Where it starts.
    pub address: u64,
    /// Length of the longest name of the format.
    pub width: usize,
    /// The fields in order.
    pub fields: Vec<Field>,
}

/// A field that was read.
#[derive(Debug, Clone)]
pub struct Field {
    /// What was declared.
    pub spec: Spec,
    /// Where the field (for a pointer: the pointer) stands.
    pub address: u64,
    /// Bytes it takes there.
    pub size: u64,
    /// Where the pointer leads.
    pub pointer: Option<u64>,
    /// Its contents.
    pub data: Data,
}

/// The contents of a field.
#[derive(Debug, Clone)]
pub enum Data {
    /// One value.
    One(Scalar),
    /// An array of values.
    Many(Vec<Scalar>),
    /// One nested structure (several instances, if its format repeats itself).
    Structure(Vec<Instance>),
    /// An array of nested structures.
    Structures(Vec<Instance>),
    /// A pointer that leads nowhere.
    Null,
    /// A pointer that is not followed: too deep, or back to where it came from.
    NotFollowed,
}

/// A single value.
#[derive(Debug, Clone)]
pub struct Scalar {
    /// Where it stands.
    pub address: u64,
    /// Its bytes in memory.
    pub bytes: Vec<u8>,
    /// Whether its high byte comes first.
    pub big_endian: bool,
    /// As text.
    pub text: String,
    /// As JSON.
    pub json: Json,
}

/// What [`read`] found.
pub struct Read {
    /// Whether the instances are numbered (`2xw`).
    pub numbered: bool,
    /// Whether the fields of an instance share their address.
    pub union: bool,
    /// The instances.
    pub instances: Vec<Instance>,
}

/// Reads what `text` (a format with its names) describes at `address`.
pub fn read(ctx: &mut Ctx<'_, '_>, text: &str, address: u64) -> Result<Read> {
    let format = parse(text)?;
    let big_endian = ctx.option_bool("cfg.bigendian");
    let pointer_size = pointer_size(ctx);
    let mut reader = Reader { ctx, big_endian, pointer_size, left: VALUES, open: Vec::new() };
    let (instances, _) = reader.format(&format, address)?;
    Ok(Read { numbered: matches!(format.repeat, Repeat::Numbered(_)), union: format.union, instances })
}

/// Bytes of an address (`asm.bits`).
fn pointer_size(ctx: &Ctx<'_, '_>) -> usize {
    match disassembly::word(ctx.core, ctx.view) {
        0..=2 => 2,
        3..=4 => 4,
        _ => 8,
    }
}

/// Evaluates a count; `*expression` is the number in memory there.
fn count(ctx: &mut Ctx<'_, '_>, expression: &str) -> Result<u64> {
    match expression.strip_prefix('*') {
        Some(address) => ctx.evaluate(&format!("[{address}]")),
        None => ctx.evaluate(expression),
    }
}

/// The size in bytes of what `text` describes: strings without a length and ULEB128 numbers count as one byte.
pub fn size(ctx: &mut Ctx<'_, '_>, text: &str) -> Result<u64> {
    size_of(ctx, text, 0, &mut { VALUES })
}

fn size_of(ctx: &mut Ctx<'_, '_>, text: &str, depth: usize, left: &mut usize) -> Result<u64> {
    if depth > DEPTH {
        return Err(too_deep());
    }
    let format = parse(text)?;
    // Formats that hold each other twice double with each level.
    *left = left.checked_sub(format.steps.len()).ok_or_else(too_many)?;
    let (mut position, mut largest) = (0u64, 0u64);
    for step in &format.steps {
        let Step::Field(spec) = step else {
            if let Step::Skip(bytes) = step {
                position = position.saturating_add_signed(*bytes);
            }
            continue;
        };
        let times = match &spec.count {
            Some(expression) => count(ctx, expression)?,
            None => 1,
        };
        let one = match spec.kind {
            _ if spec.pointer => pointer_size(ctx) as u64,
            Holds::Structure => {
                let nested = definition(ctx, spec.type_name.as_deref().unwrap_or_default())?;
                size_of(ctx, &nested, depth + 1, left)?
            }
            Holds::Enum | Holds::Bits if spec.count.is_none() => 4,
            Holds::Register => 0,
            kind => fixed_size(kind, pointer_size(ctx)).unwrap_or(1) as u64,
        };
        let size = one.checked_mul(times).ok_or_else(too_large)?;
        if format.union {
            largest = largest.max(size);
        } else {
            position = position.checked_add(size).ok_or_else(too_large)?;
        }
    }
    let size = if format.union { largest } else { position };
    let times = match &format.repeat {
        Repeat::Once => 1,
        Repeat::Numbered(times) => *times,
        Repeat::Plain(expression) => count(ctx, expression)?,
    };
    size.checked_mul(times).ok_or_else(too_large)
}

fn too_large() -> Error {
    Error::new(Kind::Limit, "the format is larger than the address space")
}

fn too_many() -> Error {
    Error::new(Kind::Limit, "the format describes too many values").hint(format!("at most {VALUES} are shown at once"))
}

fn too_deep() -> Error {
    Error::new(Kind::Limit, format!("formats nest deeper than {DEPTH} levels"))
        .hint("a format that contains itself has no end; a pointer to itself, as in '*?', has")
}

fn definition(ctx: &Ctx<'_, '_>, name: &str) -> Result<String> {
    ctx.core.formats.get(name).cloned().ok_or_else(|| unknown(name))
}

/// The error for a name that no format has.
pub fn unknown(name: &str) -> Error {
    Error::new(Kind::NotFound, format!("no format is called '{}'", crate::output::visible(name)))
        .hint("'pf.' lists the formats")
}

/// Bytes of a value of `kind`, if they are always as many.
fn fixed_size(kind: Holds, pointer_size: usize) -> Option<usize> {
    Some(match kind {
        Holds::Byte | Holds::Char | Holds::Decimal => 1,
        Holds::Word => 2,
        Holds::Int(_) | Holds::Hex | Holds::Octal | Holds::Float | Holds::Time => 4,
        Holds::Quad | Holds::Double => 8,
        Holds::Oct => 16,
        Holds::Pointer => pointer_size,
        Holds::Signed(size) | Holds::Unsigned(size) | Holds::StringPointer(size) => size.into(),
        Holds::Ten => 10,
        Holds::Bytes | Holds::Enum | Holds::Bits => 1,
        Holds::String | Holds::Wide | Holds::Uleb | Holds::Structure | Holds::Code | Holds::Register => return None,
    })
}

struct Reader<'r, 'a, 'o> {
    ctx: &'r mut Ctx<'a, 'o>,
    big_endian: bool,
    pointer_size: usize,
    /// Values that may still be read.
    left: usize,
    /// The structures being read, outermost first: format and address.
    open: Vec<(String, u64)>,
}

impl Reader<'_, '_, '_> {
    /// Takes `values` from what may still be read.
    fn spend(&mut self, values: u64) -> Result<()> {
        self.ctx.out.cancel().check()?;
        let left = usize::try_from(values).ok().and_then(|values| self.left.checked_sub(values));
        self.left = left.ok_or_else(too_many)?;
        Ok(())
    }

    /// Reads all repetitions of `format`; returns them and their size in bytes.
    fn format(&mut self, format: &Format, start: u64) -> Result<(Vec<Instance>, u64)> {
        let times = match &format.repeat {
            Repeat::Once => 1,
            Repeat::Numbered(times) => *times,
            Repeat::Plain(expression) => count(self.ctx, expression)?,
        };
        self.spend(times)?;
        let mut instances = Vec::new();
        let mut address = start;
        for _ in 0..times {
            let (instance, size) = self.instance(format, address)?;
            instances.push(instance);
            address = address.wrapping_add(size);
        }
        Ok((instances, address.wrapping_sub(start)))
    }

    fn instance(&mut self, format: &Format, start: u64) -> Result<(Instance, u64)> {
        let outer = self.big_endian;
        let mut flags = false;
        let (mut address, mut largest) = (start, 0);
        let mut fields = Vec::new();
        let mut width = 0;
        for step in &format.steps {
            self.spend(1)?;
            match step {
                Step::Skip(bytes) => address = address.wrapping_add_signed(*bytes),
                Step::SwapEndian => self.big_endian = !self.big_endian,
                Step::ToggleFlags => flags = !flags,
                Step::Field(spec) => {
                    width = width.max(spec.name.as_ref().map_or(0, |name| name.chars().count()));
                    let mut field = self.field(spec, address)?;
                    if flags {
                        self.show_flags(&mut field.data);
                    }
                    if format.union {
                        largest = largest.max(field.size);
                    } else {
                        address = address.wrapping_add(field.size);
                    }
                    fields.push(field);
                }
            }
        }
        self.big_endian = outer;
        let size = if format.union { largest } else { address.wrapping_sub(start) };
        Ok((Instance { address: start, width, fields }, size))
    }

    /// Puts the names of the flags at their values behind them.
    fn show_flags(&self, data: &mut Data) {
        let Data::One(scalar) = data else { return };
        if scalar.bytes.len() <= 8 {
            let value = literal::value(&scalar.bytes, scalar.big_endian);
            for flag in self.ctx.core.flags.at(value) {
                scalar.text.push(' ');
                scalar.text.push_str(&flag.name);
            }
        }
    }

    fn field(&mut self, spec: &Spec, address: u64) -> Result<Field> {
        let given = match &spec.count {
            Some(expression) => Some(count(self.ctx, expression)?),
            None => None,
        };
        let bytes = given.filter(|_| spec.kind.counts_bytes());
        let elements = given.filter(|_| !spec.kind.counts_bytes());
        self.spend(elements.unwrap_or(1))?;
        let mut field = Field { spec: spec.clone(), address, size: 0, pointer: None, data: Data::Many(Vec::new()) };
        if spec.kind == Holds::Structure {
            self.structures(&mut field, elements)?;
            return Ok(field);
        }
        if spec.kind == Holds::Register {
            field.data = Data::One(self.register(spec.type_name.as_deref().unwrap_or_default(), address)?);
            return Ok(field);
        }
        let mut values = Vec::new();
        for _ in 0..elements.unwrap_or(1) {
            let here = address.wrapping_add(field.size);
            if spec.pointer {
                let target = self.number(here, self.pointer_size)?;
                field.size += self.pointer_size as u64;
                field.pointer = Some(target).filter(|_| elements.is_none());
                if target == 0 && elements.is_none() {
                    field.data = Data::Null;
                    return Ok(field);
                }
                values.push(self.scalar(spec.kind, target, bytes)?.0);
            } else {
                let (value, size) = self.scalar(spec.kind, here, bytes)?;
                field.size += size;
                values.push(value);
            }
        }
        field.data = match (elements, values.pop()) {
            (None, Some(value)) => Data::One(value),
            (_, last) => {
                values.extend(last);
                Data::Many(values)
            }
        };
        Ok(field)
    }

    /// Reads the nested structures of `field`: one, or an array of `elements`.
    fn structures(&mut self, field: &mut Field, elements: Option<u64>) -> Result<()> {
        let name = field.spec.type_name.clone().unwrap_or_default();
        let format =
            parse(&definition(self.ctx, &name)?).map_err(|error| error.context(format_args!("format '{name}'")))?;
        let mut all = Vec::new();
        for _ in 0..elements.unwrap_or(1) {
            let here = field.address.wrapping_add(field.size);
            let mut target = here;
            if field.spec.pointer {
                target = self.number(here, self.pointer_size)?;
                field.size += self.pointer_size as u64;
                if elements.is_none() {
                    field.pointer = Some(target);
                }
                let known = self.open.iter().any(|(open, at)| *open == name && *at == target);
                if target == 0 || known || self.open.len() >= POINTERS {
                    if elements.is_none() {
                        field.data = if target == 0 { Data::Null } else { Data::NotFollowed };
                        return Ok(());
                    }
                    continue;
                }
            } else if self.open.len() >= DEPTH {
                return Err(too_deep());
            }
            self.open.push((name.clone(), target));
            let (instances, size) = self.format(&format, target)?;
            self.open.pop();
            if !field.spec.pointer {
                field.size = field.size.wrapping_add(size);
            }
            all.extend(instances);
        }
        field.data = if elements.is_some() { Data::Structures(all) } else { Data::Structure(all) };
        Ok(())
    }

    fn number(&mut self, address: u64, size: usize) -> Result<u64> {
        let bytes = self.ctx.read(address, size as u64)?;
        Ok(literal::value(&bytes, self.big_endian))
    }

    /// One value, and how many bytes it takes. `given` is the size that the format asks for.
    fn scalar(&mut self, kind: Holds, address: u64, given: Option<u64>) -> Result<(Scalar, u64)> {
        if given.is_some_and(|size| size > STRING as u64) {
            return Err(Error::new(Kind::Limit, "a value in a format has at most 1 MiB"));
        }
        let big_endian = self.big_endian;
        if let Holds::String | Holds::Wide = kind {
            let unit = if kind == Holds::Wide { 2 } else { 1 };
            let bytes = self.string(address, unit, given.map(|size| size as usize))?;
            let text = if kind == Holds::Wide { wide(&bytes, big_endian) } else { narrow(&bytes) };
            // A string without a length takes its zero with it.
            let size = given.map_or(bytes.len() as u64 + unit as u64, |size| size * unit as u64);
            self.spend((bytes.len() / LONG) as u64)?;
            let shown =
                format!("\"{}\"", text.chars().map(|c| if c.is_control() { '.' } else { c }).collect::<String>());
            return Ok((Scalar { address, bytes, big_endian, text: shown, json: text.into() }, size));
        }
        if kind == Holds::Uleb {
            return self.uleb(address);
        }
        if kind == Holds::Code {
            return self.code(address);
        }
        let size = match kind {
            Holds::Enum | Holds::Bits => match given.unwrap_or(4) {
                size @ (1 | 2 | 4 | 8) => size as usize,
                size => {
                    return Err(
                        Error::new(Kind::Usage, format!("bad format: a number of {size} bytes")).hint("1, 2, 4 or 8")
                    );
                }
            },
            Holds::Bytes => given.unwrap_or(1) as usize,
            kind => fixed_size(kind, self.pointer_size).unwrap_or(1),
        };
        self.spend((size / LONG) as u64)?;
        let bytes = self.ctx.read(address, size as u64)?;
        let (text, json) = self.render(kind, address, &bytes)?;
        Ok((Scalar { address, bytes, big_endian, text, json }, size as u64))
    }

    fn render(&mut self, kind: Holds, address: u64, bytes: &[u8]) -> Result<(String, Json)> {
        let bits = 8 * bytes.len().min(8) as u32;
        let value = if bytes.len() <= 8 { literal::value(bytes, self.big_endian) } else { 0 };
        // The sign is that of the number's own width.
        let signed = if bits == 0 { 0 } else { ((value << (64 - bits)) as i64) >> (64 - bits) };
        Ok(match kind {
            Holds::Byte => (format!("0x{value:02x}"), value.into()),
            Holds::Char => {
                let c = printable(value as u8, '.');
                (format!("'{c}'"), c.to_string().into())
            }
            Holds::Decimal | Holds::Unsigned(_) => (value.to_string(), value.into()),
            Holds::Word => (format!("0x{value:04x}"), value.into()),
            Holds::Int(_) | Holds::Signed(_) => (signed.to_string(), signed.into()),
            Holds::Hex => (format!("0x{value:08x}"), value.into()),
            Holds::Octal => (format!("(octal)  0{value:o}"), value.into()),
            Holds::Quad => (format!("(qword)0x{value:016x}"), signed.into()),
            Holds::Pointer if bytes.len() == 8 => (format!("(qword)0x{value:016x}"), value.into()),
            Holds::Pointer | Holds::Enum | Holds::Bits => {
                (format!("0x{value:0width$x}", width = 2 * bytes.len()), value.into())
            }
            Holds::Oct => {
                let mut ordered = bytes.to_vec();
                if !self.big_endian {
                    ordered.reverse();
                }
                let digits = faster_hex::hex_string(&ordered);
                (format!("(uint128_t)0x{digits}"), format!("0x{digits}").into())
            }
            Holds::Float => {
                let number = f32::from_bits(value as u32);
                (general(number.into(), 9), json!(number))
            }
            Holds::Double => {
                let number = f64::from_bits(value);
                (general(number, 17), json!(number))
            }
            Holds::Time => {
                let seconds = i64::from(value as u32);
                let time = jiff::Timestamp::from_second(seconds)
                    .map_err(|error| Error::new(Kind::Format, format!("bad time {seconds}: {error}")))?;
                (time.strftime("%a %b %e %H:%M:%S %Y").to_string(), value.into())
            }
            Holds::Bytes | Holds::Ten => {
                let mut text = String::with_capacity(bytes.len() * 4 + 8);
                for byte in bytes {
                    text.push_str(&format!("{byte:02x} "));
                }
                text.push_str(" ... (");
                text.extend(bytes.iter().map(|byte| printable(*byte, '.')));
                text.push(')');
                (text, json!(bytes))
            }
            Holds::StringPointer(_) => {
                let bytes = self.string(value, 1, None)?;
                self.spend((bytes.len() / LONG) as u64)?;
                let string = narrow(&bytes);
                let shown: String = string.chars().map(|c| if c.is_control() { '.' } else { c }).collect();
                (format!("0x{address:08x} -> 0x{value:08x} \"{shown}\""), string.into())
            }
            // Read elsewhere: their sizes depend on their contents.
            Holds::String | Holds::Wide | Holds::Uleb | Holds::Structure | Holds::Code | Holds::Register => {
                (String::new(), Json::Null)
            }
        })
    }

    /// The bytes of a string of `unit`-byte characters up to its zero, in at most `limit` characters.
    fn string(&mut self, address: u64, unit: usize, limit: Option<usize>) -> Result<Vec<u8>> {
        let most = limit.map_or(STRING, |limit| limit * unit);
        let mut bytes: Vec<u8> = Vec::new();
        let mut step = 256;
        while bytes.len() < most {
            let start = bytes.len();
            bytes.resize((start + step).min(most), 0);
            let here = address.wrapping_add(start as u64);
            let there = self.ctx.read_into(here, &mut bytes[start..])?;
            let whole = bytes.len();
            let end = (start..whole).step_by(unit).find(|at| bytes[*at..].iter().take(unit).all(|byte| *byte == 0));
            if let Some(end) = end {
                bytes.truncate(end);
                return Ok(bytes);
            }
            // A string ends where the mapped bytes do.
            if there < whole - start {
                bytes.truncate(start + there);
                return Ok(bytes);
            }
            step = (step * 2).min(64 * 1024);
        }
        if limit.is_none() {
            return Err(Error::new(Kind::Limit, format!("no end of a string within 1 MiB of 0x{address:08x}"))
                .hint("give its size, as in '[16]z'"));
        }
        Ok(bytes)
    }

    /// The instruction at `address`.
    fn code(&mut self, address: u64) -> Result<(Scalar, u64)> {
        let mut disassembler = self.ctx.disassembler()?;
        let mut bytes = self.ctx.read(address, disassembler.longest() as u64)?;
        let (mut instruction, mut text) = (Instruction::default(), Text::default());
        disassembler.one(address, &bytes, &mut instruction);
        disassembler.text(0, &(), &mut text);
        bytes.truncate(instruction.size as usize);
        let (size, text) = (bytes.len() as u64, text.to_string());
        let json = text.clone().into();
        Ok((Scalar { address, bytes, big_endian: false, text, json }, size))
    }

    /// The register called `name`, of the process that is debugged or of the flags that stand for one.
    fn register(&mut self, name: &str, address: u64) -> Result<Scalar> {
        let value =
            self.ctx.evaluate(&format!("$r{{{name}}}")).or_else(|error| self.ctx.evaluate(name).map_err(|_| error))?;
        Ok(Scalar {
            address,
            bytes: Vec::new(),
            big_endian: false,
            text: format!("{name} : 0x{value:08x}"),
            json: value.into(),
        })
    }

    fn uleb(&mut self, address: u64) -> Result<(Scalar, u64)> {
        // Ten groups of seven bits hold 64.
        let mut bytes = self.ctx.read(address, 10)?;
        let end = bytes.iter().position(|byte| byte & 0x80 == 0).ok_or_else(|| {
            Error::new(Kind::Format, format!("no end of an ULEB128 number within 10 bytes of 0x{address:08x}"))
        })?;
        bytes.truncate(end + 1);
        let value = bytes.iter().rev().fold(0u64, |value, byte| value << 7 | u64::from(byte & 0x7f));
        let size = bytes.len() as u64;
        let scalar =
            Scalar { address, bytes, big_endian: self.big_endian, text: value.to_string(), json: value.into() };
        Ok((scalar, size))
    }
}

fn narrow(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_string(),
        Err(_) => bytes.iter().map(|byte| printable(*byte, '.')).collect(),
    }
}

fn wide(bytes: &[u8], big_endian: bool) -> String {
    let units = bytes.chunks_exact(2).map(|pair| literal::value(pair, big_endian) as u16);
    char::decode_utf16(units).map(|c| c.unwrap_or('.')).collect()
}

/// `number` with `precision` significant digits, without the zeros at the end (C's `%g`).
fn general(number: f64, precision: usize) -> String {
    if !number.is_finite() {
        return number.to_string().to_lowercase();
    }
    let scientific = format!("{number:.*e}", precision - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |digits: &str| match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => digits.to_string(),
    };
    if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs());
    }
    let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
    trimmed(&format!("{number:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::general;

    #[test]
    fn floating_point_numbers_have_their_significant_digits() {
        for (number, precision, text) in [
            (std::f64::consts::PI, 17, "3.1415926535897931"),
            (f64::from_bits(0x3e90_1b2b_2000_0000), 17, "2.3999999143597961e-07"),
            (f64::from_bits(0x4443_4241), 17, "5.6583291059568165e-315"),
            (f64::from(f32::from_bits(0x4443_4241)), 9, "781.035217"),
            (0.0, 9, "0"),
            (-1.5, 9, "-1.5"),
            (1e17, 17, "1e+17"),
            (100.0, 9, "100"),
            (f64::NAN, 9, "nan"),
            (f64::NEG_INFINITY, 9, "-inf"),
        ] {
            assert_eq!(general(number, precision), text);
        }
    }
}
