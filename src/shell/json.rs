//! JSON views of the filter `~`: indented (`~{}`), one value by its path (`~{[0].fd}`), or one value per line (`~{:`).

use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::output::Out;

/// What is shown of a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// Indented by two blanks per level.
    Indented,
    /// A value per line, with the keys of objects.
    Lines,
    /// The value at a path.
    Path(Vec<Step>),
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A member of an object.
    Key(String),
    /// An element of an array.
    Index(usize),
}

impl View {
    /// Parses `{}`, `{:` and `{path}`.
    pub fn parse(text: &str) -> Result<View> {
        let inside = text.strip_prefix('{').unwrap_or(text);
        if inside.starts_with(':') {
            return Ok(View::Lines);
        }
        let bad = |why: &str| {
            Error::new(Kind::Usage, format!("bad JSON filter '~{text}': {why}")).hint("~{} indents, ~{core.file} picks")
        };
        let path = inside.strip_suffix('}').ok_or_else(|| bad("'}' is missing"))?;
        if path.is_empty() {
            return Ok(View::Indented);
        }
        let mut steps = Vec::new();
        let mut rest = path;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let (index, tail) = after.split_once(']').ok_or_else(|| bad("']' is missing"))?;
                steps.push(Step::Index(index.trim().parse().map_err(|_| bad("an index is no number"))?));
                rest = tail.strip_prefix('.').unwrap_or(tail);
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                steps.push(Step::Key(rest[..end].to_string()));
                rest = &rest[end..];
                rest = rest.strip_prefix('.').unwrap_or(rest);
            }
        }
        Ok(View::Path(steps))
    }

    /// Reads `text` as JSON values (one after the other, if an iterator made several) and shows each.
    pub fn show(&self, text: &str, out: &mut Out<'_>) -> Result<()> {
        for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
            let value = value.map_err(|error| {
                Error::new(Kind::Format, format!("the output is not JSON: {error}"))
                    .hint("most commands answer in JSON with the suffix j")
            })?;
            match self {
                View::Indented => out.line(format_args!("{value:#}"))?,
                View::Lines => lines(&value, None, 0, out)?,
                View::Path(steps) => {
                    let found = steps.iter().try_fold(&value, |value, step| match step {
                        Step::Key(key) => value.get(key),
                        Step::Index(index) => value.get(index),
                    });
                    out.line(found.map(scalar).unwrap_or_default())?;
                }
            }
        }
        Ok(())
    }
}

/// A string as it is, everything else as compact JSON.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => crate::output::visible(text).into_owned(),
        other => other.to_string(),
    }
}

fn lines(value: &Value, key: Option<&str>, level: usize, out: &mut Out<'_>) -> Result<()> {
    let indent = "  ".repeat(level);
    let label = key.map(|key| format!("{key}: ")).unwrap_or_default();
    match value {
        Value::Array(elements) if !elements.is_empty() => {
            let deeper = usize::from(key.is_some());
            if let Some(key) = key {
                out.line(format_args!("{indent}{key}:"))?;
            }
            elements.iter().try_for_each(|element| lines(element, None, level + deeper, out))
        }
        Value::Object(members) if !members.is_empty() => {
            let deeper = usize::from(key.is_some());
            if let Some(key) = key {
                out.line(format_args!("{indent}{key}:"))?;
            }
            members.iter().try_for_each(|(key, member)| lines(member, Some(key), level + deeper, out))
        }
        value => out.line(format_args!("{indent}{label}{}", scalar(value))),
    }
}
