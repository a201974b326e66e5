//! Values of options: a layer holds those that differ from what is below it (a client's over the shared, the shared
//! over the defaults).

use std::collections::BTreeMap;
use std::fmt;

use super::options::{self, Default as Initial, OptionSpec};
use crate::error::{Error, Kind, Result};

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A number, shown in decimal.
    Number(u64),
    /// An address, shown in hexadecimal.
    Address(u64),
    /// Free text.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(value) => write!(f, "{value}"),
            Value::Address(value) => write!(f, "0x{value:08x}"),
            Value::Text(value) => f.write_str(value),
        }
    }
}

impl From<&OptionSpec> for Value {
    fn from(option: &OptionSpec) -> Value {
        match option.default {
            Initial::Bool(value) => Value::Bool(value),
            Initial::Number(value) => Value::Number(value),
            Initial::Address(value) => Value::Address(value),
            Initial::Text(value) => Value::Text(value.to_string()),
        }
    }
}

/// One layer of option values.
#[derive(Debug, Clone, Default)]
pub struct Config {
    values: BTreeMap<&'static str, Value>,
}

impl Config {
    /// The value this layer holds for `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Sets `option` from text; `number` evaluates numeric values (they are expressions).
    pub fn set(
        &mut self,
        option: &'static OptionSpec,
        text: &str,
        number: impl FnOnce(&str) -> Result<u64>,
    ) -> Result<()> {
        let text = text.trim();
        if !option.choices.is_empty() && !option.choices.contains(&text) {
            return Err(Error::new(Kind::Usage, format!("{}: '{text}' is not allowed", option.name))
                .hint(format!("one of: {}", option.choices.join(", "))));
        }
        let value = match option.default {
            Initial::Bool(_) => match text {
                "true" | "1" | "yes" | "on" => Value::Bool(true),
                "false" | "0" | "no" | "off" => Value::Bool(false),
                _ => {
                    return Err(Error::new(
                        Kind::Usage,
                        format!("{}: '{text}' is neither true nor false", option.name),
                    ));
                }
            },
            Initial::Number(_) => Value::Number(match text {
                "true" => 1,
                "false" => 0,
                _ => number(text)?,
            }),
            Initial::Address(_) => Value::Address(number(text)?),
            Initial::Text(_) => Value::Text(text.to_string()),
        };
        self.values.insert(option.name, value);
        Ok(())
    }

    /// Forgets the value of `name`, so that the layer below shows.
    pub fn reset(&mut self, name: &str) {
        self.values.remove(name);
    }

    /// Forgets every value.
    pub fn clear(&mut self) {
        self.values.clear();
    }
}

/// The value of `name` through the layers: a client's overrides, the shared configuration, the default.
///
/// # Panics
/// When no option has this name: names in code are checked by a test over the table.
pub fn lookup(overrides: &Config, shared: &Config, name: &str) -> Value {
    overrides
        .get(name)
        .or_else(|| shared.get(name))
        .cloned()
        .unwrap_or_else(|| Value::from(options::find(name).unwrap_or_else(|| panic!("no option is called '{name}'"))))
}
