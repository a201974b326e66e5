//! Paths into named formats (`point.x`, `list[2].next`): picking fields, and the commands that set them.

use super::parse::Holds;
use super::read::{Data, Field, Instance, Scalar, unknown};
use crate::commands::literal;
use crate::error::{Error, Kind, Result};
use crate::session::Ctx;

/// One step of a path: a field, and an element of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The field's name.
    pub name: String,
    /// `[index]`.
    pub index: Option<usize>,
}

/// What is asked of the command behind `pf`.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// The named formats.
    List,
    /// Give a format a name.
    Define(String, String),
    /// A format that is spelled out.
    Inline(String),
    /// A named format, or some of its fields.
    Named(String, Vec<Hop>),
    /// The command that sets a field to a value (text).
    Set(String, Vec<Hop>, String),
}

/// Parses what follows `pf`: `FORMAT names`, `name=FORMAT names`, or `.` and what [`named`] takes.
pub fn request(text: &str) -> Result<Request> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('.') {
        return named(rest);
    }
    let word = text.split_whitespace().next().unwrap_or("");
    if let Some((name, _)) = word.split_once('=')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !name.is_empty()
    {
        return Ok(Request::Define(name.to_string(), text[name.len() + 1..].trim().to_string()));
    }
    Ok(Request::Inline(text.to_string()))
}

/// Parses what follows `pf.`: nothing, `name`, `name FORMAT`, `name=FORMAT`, `name.field`, `name.field=value`.
pub fn named(text: &str) -> Result<Request> {
    let text = text.trim();
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '.' | '=' | '[')).unwrap_or(text.len());
    let (name, rest) = (text[..end].to_string(), &text[end..]);
    if name.is_empty() {
        return match rest {
            "" => Ok(Request::List),
            _ => Err(Error::new(Kind::Usage, format!("no format is named in '.{text}'")).hint("as in 'pf.name'")),
        };
    }
    match rest.chars().next() {
        None => Ok(Request::Named(name, Vec::new())),
        Some('.') => match rest.split_once('=') {
            Some((path, value)) if !value.trim().is_empty() => {
                Ok(Request::Set(name, hops(path.trim())?, value.trim().to_string()))
            }
            Some((path, _)) => Err(Error::new(Kind::Usage, format!("no value for '{name}{}'", path.trim()))),
            None => Ok(Request::Named(name, hops(rest)?)),
        },
        Some('[') => Err(Error::new(Kind::Usage, format!("'{name}' is a format: only its fields have elements"))
            .hint(format!("as in 'pf.{name}.field[0]'"))),
        Some(_) => Ok(Request::Define(name, rest[1..].trim().to_string())),
    }
}

/// Parses `.field[index].field`.
fn hops(path: &str) -> Result<Vec<Hop>> {
    let bad = || Error::new(Kind::Usage, format!("bad field '{path}'")).hint("as in '.field' or '.field[2].field'");
    let mut hops = Vec::new();
    for part in path.strip_prefix('.').ok_or_else(bad)?.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, rest)) => {
                let digits = rest.strip_suffix(']').ok_or_else(bad)?;
                (name, Some(digits.parse().map_err(|_| bad())?))
            }
            None => (part, None),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(bad());
        }
        hops.push(Hop { name: name.to_string(), index });
    }
    Ok(hops)
}

/// Leaves only what `path` names of `instances`.
pub fn select(instances: &mut [Instance], path: &[Hop]) -> Result<()> {
    let Some((hop, deeper)) = path.split_first() else { return Ok(()) };
    let mut found = false;
    for instance in instances.iter_mut() {
        instance.fields.retain(|field| field.spec.name.as_deref() == Some(&hop.name));
        for field in &mut instance.fields {
            found = true;
            pick(field, hop)?;
            match &mut field.data {
                Data::Structure(inner) | Data::Structures(inner) => select(inner, deeper)?,
                _ if deeper.is_empty() => {}
                _ => {
                    return Err(Error::new(Kind::Usage, format!("'{}' has no fields", hop.name)));
                }
            }
        }
    }
    if found { Ok(()) } else { Err(Error::new(Kind::NotFound, format!("no field is called '{}'", hop.name))) }
}

/// Leaves only the element of `field` that `hop` asks for.
fn pick(field: &mut Field, hop: &Hop) -> Result<()> {
    let Some(index) = hop.index else { return Ok(()) };
    let length = match &field.data {
        Data::Many(values) => values.len(),
        Data::Structures(instances) => instances.len(),
        _ => return Err(Error::new(Kind::Usage, format!("'{}' is no array", hop.name))),
    };
    if index >= length {
        return Err(
            Error::new(Kind::Usage, format!("'{}' has no element {index}", hop.name)).hint(format!("it has {length}"))
        );
    }
    match &mut field.data {
        Data::Many(values) => {
            let value = values.swap_remove(index);
            field.address = value.address;
            field.data = Data::One(value);
        }
        Data::Structures(instances) => {
            let instance = instances.swap_remove(index);
            *instances = vec![instance];
        }
        _ => {}
    }
    Ok(())
}

/// The command that sets the one value left in `instances` to `value`. It is shown, not run.
pub fn assignment(ctx: &mut Ctx<'_, '_>, instances: &[Instance], path: &[Hop], value: &str) -> Result<String> {
    let mut fields = instances;
    for _ in 1..path.len() {
        if let Some(Field { data: Data::Structure(inner) | Data::Structures(inner), .. }) =
            fields.first().and_then(|instance| instance.fields.first())
        {
            fields = inner;
        }
    }
    let name = path.last().map_or("", |hop| hop.name.as_str());
    let field = fields.first().and_then(|instance| instance.fields.first()).ok_or_else(|| unknown(name))?;
    let scalar = match &field.data {
        Data::One(scalar) => scalar,
        // An array without an index is its first element.
        Data::Many(values) if !values.is_empty() => &values[0],
        _ => return Err(Error::new(Kind::Usage, format!("'{name}' has no value that could be set"))),
    };
    set(ctx, field.spec.kind, scalar, value).map_err(|error| error.context(format_args!("cannot set '{name}'")))
}

fn set(ctx: &mut Ctx<'_, '_>, kind: Holds, scalar: &Scalar, text: &str) -> Result<String> {
    let at = format!("@ 0x{:08x}", scalar.address);
    let hex = |bytes: &[u8]| format!("wx {} {at}", faster_hex::hex_string(bytes));
    let room = scalar.bytes.len();
    let not_a_number = || Error::new(Kind::Usage, format!("'{text}' is not a number"));
    Ok(match kind {
        Holds::Float => {
            let number: f32 = text.parse().map_err(|_| not_a_number())?;
            hex(&literal::number(number.to_bits().into(), 4, scalar.big_endian))
        }
        Holds::Double => {
            let number: f64 = text.parse().map_err(|_| not_a_number())?;
            hex(&literal::number(number.to_bits(), 8, scalar.big_endian))
        }
        Holds::String => {
            let mut bytes = literal::unescape(text.trim_matches('"'))?;
            if bytes.len() > room {
                return Err(too_long(bytes.len(), room));
            }
            if bytes.len() < room {
                bytes.push(0);
            }
            hex(&bytes)
        }
        Holds::Register => return Err(Error::new(Kind::Usage, "a register is set with 'dr', not in memory")),
        Holds::Bytes | Holds::Ten | Holds::Oct | Holds::Wide | Holds::Code => {
            let bytes = literal::hexpairs(text)?;
            if bytes.len() > room {
                return Err(too_long(bytes.len(), room));
            }
            hex(&bytes)
        }
        Holds::Uleb => {
            let mut bytes = uleb(ctx.evaluate(text)?);
            if bytes.len() > room {
                return Err(too_long(bytes.len(), room));
            }
            // What follows must stay where it is: groups of zeros fill the room.
            while bytes.len() < room {
                if let Some(last) = bytes.last_mut() {
                    *last |= 0x80;
                }
                bytes.push(0);
            }
            format!("\"wx {}\" {at}", faster_hex::hex_string(&bytes))
        }
        _ => {
            let value = literal::fitting(ctx.evaluate(text)?, room)?;
            if scalar.big_endian != ctx.option_bool("cfg.bigendian") {
                return Ok(hex(&literal::number(value, room, scalar.big_endian)));
            }
            if text.starts_with("0x") {
                format!("wv{room} 0x{value:x} {at}")
            } else if (value as i64) < 0 && text.starts_with('-') {
                format!("wv{room} {} {at}", value as i64)
            } else {
                format!("wv{room} {value} {at}")
            }
        }
    })
}

fn too_long(length: usize, room: usize) -> Error {
    Error::new(Kind::Limit, format!("the new value takes {length} bytes where {room} are"))
}

fn uleb(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let group = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(group);
            return bytes;
        }
        bytes.push(group | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(name: &str, index: Option<usize>) -> Hop {
        Hop { name: name.into(), index }
    }

    #[test]
    fn requests() {
        let define = |name: &str, format: &str| Request::Define(name.into(), format.into());
        assert_eq!(request("xz id name").unwrap(), Request::Inline("xz id name".into()));
        assert_eq!(request("foo=xd a b").unwrap(), define("foo", "xd a b"));
        assert_eq!(request(".").unwrap(), Request::List);
        assert_eq!(named("foo xd a b").unwrap(), define("foo", "xd a b"));
        assert_eq!(named("foo=xd a b").unwrap(), define("foo", "xd a b"));
        assert_eq!(named("foo").unwrap(), Request::Named("foo".into(), vec![]));
        assert_eq!(
            named("foo.a[2].b=0x5").unwrap(),
            Request::Set("foo".into(), vec![hop("a", Some(2)), hop("b", None)], "0x5".into())
        );
        for wrong in [".a", "foo.", "foo.a[", "foo.a[x]", "foo[1]", "foo.a=", "foo..a", "=x"] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn uleb_numbers() {
        assert_eq!(uleb(0), [0]);
        assert_eq!(uleb(624485), [0xe5, 0x8e, 0x26]);
        assert_eq!(uleb(u64::MAX).len(), 10);
    }
}
