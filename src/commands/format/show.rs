//! How structures look: as text, JSON, flags, C, and as a graph.

use std::io::{self, Write};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json, json};

use super::parse::Holds;
use super::read::{Data, Field, Instance, Read};
use crate::output::{Item, Style, visible};

/// An answer of `pf`.
pub struct Structure(pub Read);

impl Serialize for Structure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Read { numbered, instances, .. } = &self.0;
        if let ([instance], false) = (instances.as_slice(), numbered) {
            return json_fields(&instance.fields).serialize(serializer);
        }
        serializer.collect_seq(instances.iter().enumerate().map(|(index, instance)| {
            let mut fields = vec![json!({"index": index, "offset": instance.address})];
            fields.extend(json_fields(&instance.fields));
            fields
        }))
    }
}

impl Item for Structure {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        for (index, instance) in self.0.instances.iter().enumerate() {
            if self.0.numbered {
                writeln!(out, "0x{:08x} [{index}] {{", instance.address)?;
                fields(out, instance, 0, "  ")?;
                writeln!(out, "}}")?;
            } else {
                fields(out, instance, 0, "")?;
            }
        }
        Ok(())
    }

    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.instances.iter().try_for_each(|instance| values(out, &instance.fields))
    }

    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        for (index, instance) in self.0.instances.iter().enumerate() {
            let prefix = if self.0.instances.len() > 1 { format!("{index}.") } else { String::new() };
            flags(out, &instance.fields, &prefix)?;
        }
        Ok(())
    }
}

/// The answer of `pfv`: values alone.
#[derive(Serialize)]
pub struct Values(pub Structure);

impl Item for Values {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        self.0.quiet(out)
    }
}

fn fields(out: &mut dyn Write, instance: &Instance, level: usize, margin: &str) -> io::Result<()> {
    let width = (instance.width + 1) * (level + 1);
    for field in &instance.fields {
        match &field.spec.name {
            Some(name) => write!(out, "{margin}{:>width$} : ", visible(name))?,
            None if level > 0 => write!(out, "{margin}{:width$}", "")?,
            None => write!(out, "{margin}")?,
        }
        if let Some(target) = field.pointer {
            write!(out, "(*0x{target:x})")?;
        }
        match &field.data {
            Data::One(scalar) => writeln!(out, "0x{:08x} = {}", field.address, scalar.text)?,
            Data::Many(_) => writeln!(out, "0x{:08x} = {}", field.address, value(field))?,
            Data::Null => writeln!(out, " NULL")?,
            Data::NotFollowed => writeln!(out, " ...")?,
            Data::Structure(inner) => {
                writeln!(out)?;
                nested(out, field, inner, level, margin)?;
            }
            Data::Structures(inner) => {
                writeln!(out, "\n{margin}[")?;
                for instance in inner {
                    nested(out, field, std::slice::from_ref(instance), level, margin)?;
                }
                writeln!(out, "{margin}]")?;
            }
        }
    }
    Ok(())
}

fn nested(out: &mut dyn Write, field: &Field, inner: &[Instance], level: usize, margin: &str) -> io::Result<()> {
    let name = field.spec.type_name.as_deref().unwrap_or_default();
    writeln!(out, "{margin}{:>width$}<{}>", "struct", visible(name), width = 22 + 6 * level)?;
    inner.iter().try_for_each(|instance| fields(out, instance, level + 1, margin))
}

/// A field's value or values, without its name and address.
fn value(field: &Field) -> String {
    match &field.data {
        Data::One(scalar) => scalar.text.clone(),
        Data::Many(values) => {
            let texts: Vec<&str> = values.iter().map(|scalar| scalar.text.as_str()).collect();
            format!("[ {} ]", texts.join(", "))
        }
        Data::Null => "NULL".to_string(),
        Data::NotFollowed => "...".to_string(),
        Data::Structure(_) | Data::Structures(_) => {
            format!("struct {}", field.spec.type_name.as_deref().unwrap_or_default())
        }
    }
}

fn values(out: &mut dyn Write, fields: &[Field]) -> io::Result<()> {
    for field in fields {
        match &field.data {
            Data::Structure(inner) | Data::Structures(inner) => {
                inner.iter().try_for_each(|instance| values(out, &instance.fields))?;
            }
            _ => writeln!(out, "{}", value(field))?,
        }
    }
    Ok(())
}

fn flags(out: &mut dyn Write, fields: &[Field], prefix: &str) -> io::Result<()> {
    for field in fields {
        let name = match &field.spec.name {
            Some(name) => format!("{prefix}{}", visible(name)),
            None => format!("{prefix}field_{:x}", field.address),
        };
        match &field.data {
            Data::Structure(inner) if field.pointer.is_none() => {
                inner.iter().try_for_each(|instance| flags(out, &instance.fields, &format!("{name}.")))?;
            }
            Data::Structures(inner) => {
                for (index, instance) in inner.iter().enumerate() {
                    flags(out, &instance.fields, &format!("{name}.{index}."))?;
                }
            }
            _ => {
                writeln!(out, "f {name}=0x{:08x}", field.address)?;
                writeln!(out, "fl {} @ 0x{:08x}", field.size, field.address)?;
                writeln!(out, "Cd {} @ 0x{:08x}", field.size, field.address)?;
            }
        }
    }
    Ok(())
}

fn json_fields(fields: &[Field]) -> Vec<Json> {
    let mut list = Vec::new();
    for field in fields {
        let mut entry = Map::new();
        if let Some(name) = &field.spec.name {
            entry.insert("name".into(), name.as_str().into());
        }
        let mut kind = match (&field.spec.type_name, field.spec.kind) {
            (Some(name), Holds::Structure) => name.clone(),
            (_, kind) => kind.letters(),
        };
        if field.spec.pointer {
            kind.push('*');
        }
        entry.insert("type".into(), kind.into());
        entry.insert("offset".into(), field.address.into());
        let mut behind = Vec::new();
        let value = match &field.data {
            Data::One(scalar) => scalar.json.clone(),
            Data::Many(values) => values.iter().map(|scalar| scalar.json.clone()).collect(),
            Data::Null => "NULL".into(),
            Data::NotFollowed => field.pointer.into(),
            // The fields behind a pointer follow it.
            Data::Structure(inner) if field.pointer.is_some() => {
                behind = inner.iter().flat_map(|instance| json_fields(&instance.fields)).collect();
                field.pointer.into()
            }
            Data::Structure(inner) => inner.iter().flat_map(|instance| json_fields(&instance.fields)).collect(),
            Data::Structures(inner) => {
                inner.iter().map(|instance| Json::Array(json_fields(&instance.fields))).collect()
            }
        };
        entry.insert("value".into(), value);
        list.push(Json::Object(entry));
        list.extend(behind);
    }
    list
}

/// The answer of `pfc`: a declaration in C, with the values as comments.
#[derive(Serialize)]
pub struct InC {
    /// The name of the format, if it has one.
    pub name: Option<String>,
    /// What was read; its first instance counts.
    pub structure: Structure,
}

impl Item for InC {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let keyword = if self.structure.0.union { "union" } else { "struct" };
        match &self.name {
            Some(name) => writeln!(out, "{keyword} {} {{", visible(name))?,
            None => writeln!(out, "{keyword} {{")?,
        }
        if let Some(instance) = self.structure.0.instances.first() {
            for field in &instance.fields {
                declaration(out, field, instance.address)?;
            }
        }
        writeln!(out, "}}")
    }
}

fn declaration(out: &mut dyn Write, field: &Field, start: u64) -> io::Result<()> {
    let (kind, mut length) = c_type(field);
    if let Data::Many(values) = &field.data {
        length = Some(values.len());
    }
    if let Data::Structures(instances) = &field.data {
        length = Some(instances.len());
    }
    let name = match &field.spec.name {
        Some(name) => visible(name).into_owned(),
        None => format!("field_{:x}", field.address.wrapping_sub(start)),
    };
    let star = if field.spec.pointer { "*" } else { "" };
    let length = length.map_or(String::new(), |length| format!("[{length}]"));
    write!(out, "    {kind} {star}{name}{length};")?;
    match &field.data {
        Data::Structure(_) | Data::Structures(_) => writeln!(out),
        _ => writeln!(out, " // {}", value(field)),
    }
}

/// The type in C, and the length of the array that it needs.
fn c_type(field: &Field) -> (String, Option<usize>) {
    let size = match &field.data {
        Data::One(scalar) => Some(scalar.bytes.len()),
        _ => None,
    };
    let plain = |name: &str| (name.to_string(), None);
    match field.spec.kind {
        Holds::Byte | Holds::Decimal => plain("uint8_t"),
        Holds::Char => plain("char"),
        Holds::Word => plain("uint16_t"),
        Holds::Int(_) | Holds::Hex | Holds::Octal => plain("int32_t"),
        Holds::Quad => plain("uint64_t"),
        Holds::Oct => plain("__uint128_t"),
        Holds::Pointer => plain("void *"),
        Holds::Signed(size) => plain(&format!("int{}_t", u32::from(size) * 8)),
        Holds::Unsigned(size) => plain(&format!("uint{}_t", u32::from(size) * 8)),
        Holds::Float => plain("float"),
        Holds::Double => plain("double"),
        Holds::String => ("char".into(), Some(field.size as usize).filter(|_| !field.spec.pointer)),
        Holds::Wide => ("uint16_t".into(), Some(field.size as usize / 2).filter(|_| !field.spec.pointer)),
        Holds::StringPointer(_) => plain("char *"),
        Holds::Time => plain("uint32_t"),
        Holds::Register => plain("uint64_t"),
        Holds::Uleb | Holds::Bytes | Holds::Ten | Holds::Code => {
            ("uint8_t".into(), size.filter(|_| !field.spec.pointer))
        }
        Holds::Enum | Holds::Bits => (format!("uint{}_t", 8 * size.unwrap_or(4)), None),
        Holds::Structure => (format!("struct {}", field.spec.type_name.as_deref().unwrap_or_default()), None),
    }
}

/// The answer of `pfd`: a graph for Graphviz.
#[derive(Serialize)]
pub struct Graph {
    /// What the node is called.
    pub name: String,
    /// What was read.
    pub structure: Structure,
}

impl Item for Graph {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "digraph g {{ graph [ rank=same; rankdir=LR; ];")?;
        writeln!(out, "root [ rank=1; shape=record")?;
        write!(out, "label=\"{}", escaped(&self.name))?;
        for instance in &self.structure.0.instances {
            cells(out, &instance.fields, "")?;
        }
        writeln!(out, "\"];\n}}")
    }
}

/// The cells of a record; those of nested structures follow the cell of their field.
fn cells(out: &mut dyn Write, fields: &[Field], prefix: &str) -> io::Result<()> {
    for field in fields {
        let name = match &field.spec.name {
            Some(name) => format!("{prefix}{name}"),
            None => format!("{prefix}field_{:x}", field.address),
        };
        let shown = match (&field.data, field.spec.kind) {
            (Data::One(scalar), Holds::Int(_)) => scalar.json.as_i64().map(|value| format!("0x{:08x}", value as u32)),
            _ => None,
        };
        let (kind, port) = (field.spec.kind.letters(), escaped(&name));
        let shown = escaped(&shown.unwrap_or_else(|| value(field)));
        write!(out, "|{{0x{:x}|{kind}|{port}|<{port}>{shown}}}", field.address)?;
        if let Data::Structure(inner) | Data::Structures(inner) = &field.data {
            inner.iter().try_for_each(|instance| cells(out, &instance.fields, &format!("{name}.")))?;
        }
    }
    Ok(())
}

/// `text` without what means something in a record's label.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in visible(text).chars() {
        if matches!(c, '"' | '\\' | '{' | '}' | '|' | '<' | '>') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
