//! Values of options: a layer holds those that differ from what is below it (a client's over the shared, the shared
//! over the defaults).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Serialize, Serializer};

use super::options::{self, Default as Initial, OptionSpec};
use super::scope::Scope;
use super::{Core, View};
use crate::error::{Error, Kind, Result};
use crate::number;

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

impl Value {
    /// Reads the value of `option` from text; `number` evaluates numeric values (they are expressions).
    pub fn parse(option: &'static OptionSpec, text: &str, number: impl FnOnce(&str) -> Result<u64>) -> Result<Value> {
        let text = text.trim();
        let number = |text: &str| number(text).map_err(|error| error.context(option.name));
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
        // Compared as the value shows, so that `asm.bits=0x20` is as good as 32.
        if !option.choices.is_empty() && !option.choices.contains(&value.to_string().as_str()) {
            return Err(Error::new(Kind::Usage, format!("{}: '{text}' is not allowed", option.name))
                .hint(format!("one of: {}", option.choices.join(", "))));
        }
        Ok(value)
    }
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

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Number(value) | Value::Address(value) => serializer.serialize_u64(*value),
            Value::Text(value) => serializer.serialize_str(value),
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
    read_only: BTreeSet<&'static str>,
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
        let value = Value::parse(option, text, number)?;
        self.put(option, value);
        Ok(())
    }

    /// Sets `option` to a value of its kind.
    pub fn put(&mut self, option: &'static OptionSpec, value: Value) {
        self.values.insert(option.name, value);
    }

    /// Forgets the value of `name`, so that the layer below shows.
    pub fn reset(&mut self, name: &str) {
        self.values.remove(name);
    }

    /// Forgets every value (read-only ones stay).
    pub fn clear(&mut self) {
        let read_only = &self.read_only;
        self.values.retain(|name, _| read_only.contains(name));
    }

    /// Makes `option` read-only from now on.
    pub fn lock(&mut self, option: &'static OptionSpec) {
        self.read_only.insert(option.name);
    }

    /// Whether `name` was made read-only.
    pub fn is_locked(&self, name: &str) -> bool {
        self.read_only.contains(name)
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

/// The option called `name`, or an error that names the nearest one.
pub fn find(name: &str) -> Result<&'static OptionSpec> {
    options::find(name).ok_or_else(|| {
        let error = Error::new(Kind::NotFound, format!("no option is called '{name}'"));
        if options::starting_with(&format!("{name}.")).next().is_some() {
            return error.hint(format!("'e {name}.' lists what starts so"));
        }
        match options::nearest(name) {
            Some(nearest) => error.hint(format!("did you mean '{nearest}'?")),
            None => error.hint("'e' lists them"),
        }
    })
}

/// Sets options for the client: the shared ones when it owns the session, else its own overrides. All of them or,
/// with an error, none.
pub fn assign<'a>(
    core: &mut Core,
    view: &mut View,
    settings: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<()> {
    let mut values = Vec::new();
    for (name, text) in settings {
        let option = find(name)?;
        check_writable(core, option)?;
        let value = Value::parse(option, text, |text| number::evaluate(text, &mut Scope { core, view }))?;
        values.push((option, value));
    }
    for (option, value) in values {
        if view.owner {
            // An override left by a temporary modifier or an earlier role would hide the new value.
            view.overrides.reset(option.name);
        }
        layer(core, view).put(option, value);
    }
    Ok(())
}

/// Gives `option` its default back (for a client that does not own the session: the shared value).
pub fn reset(core: &mut Core, view: &mut View, option: &'static OptionSpec) -> Result<()> {
    check_writable(core, option)?;
    view.overrides.reset(option.name);
    layer(core, view).reset(option.name);
    Ok(())
}

/// The layer that a client's settings go to.
pub fn layer<'a>(core: &'a mut Core, view: &'a mut View) -> &'a mut Config {
    if view.owner { &mut core.config } else { &mut view.overrides }
}

fn check_writable(core: &Core, option: &OptionSpec) -> Result<()> {
    if core.config.is_locked(option.name) {
        return Err(Error::new(Kind::Permission, format!("'{}' is read-only", option.name)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(view: &mut View, core: &mut Core, name: &str, text: &str) -> Result<()> {
        assign(core, view, [(name, text)])
    }

    #[test]
    fn values_follow_their_kind() {
        let (mut core, mut view) = (Core::default(), View::default());
        for (name, text, shows) in [
            ("io.cache", "yes", "true"),
            ("io.cache", "0", "false"),
            ("scr.color", "true", "1"),
            ("hex.cols", "0x20", "32"),
            ("asm.bits", "0x20", "32"),
            ("search.from", "16", "0x00000010"),
            ("cmd.hit", "px 4; s", "px 4; s"),
        ] {
            set(&mut view, &mut core, name, text).unwrap();
            assert_eq!(lookup(&view.overrides, &core.config, name).to_string(), shows, "{name}={text}");
        }
        assert!(set(&mut view, &mut core, "io.cache", "maybe").is_err());
        assert!(set(&mut view, &mut core, "asm.bits", "3").is_err());
        assert!(set(&mut view, &mut core, "hex.cols", "1+").is_err());
    }

    #[test]
    fn clients_change_their_own_view_and_owners_the_shared_one() {
        let (mut core, mut owner) = (Core::default(), View::default());
        let mut client = View { owner: false, ..View::default() };
        set(&mut client, &mut core, "hex.cols", "8").unwrap();
        assert!(core.config.get("hex.cols").is_none());
        assert_eq!(lookup(&client.overrides, &core.config, "hex.cols"), Value::Number(8));
        set(&mut owner, &mut core, "hex.cols", "32").unwrap();
        assert_eq!(lookup(&client.overrides, &core.config, "hex.cols"), Value::Number(8));
        reset(&mut core, &mut client, find("hex.cols").unwrap()).unwrap();
        assert_eq!(lookup(&client.overrides, &core.config, "hex.cols"), Value::Number(32));
    }

    #[test]
    fn one_bad_setting_changes_nothing() {
        let (mut core, mut view) = (Core::default(), View::default());
        assert!(assign(&mut core, &mut view, [("hex.cols", "8"), ("nosuch", "1")]).is_err());
        assert!(core.config.get("hex.cols").is_none());
        core.config.lock(find("hex.cols").unwrap());
        assert_eq!(set(&mut view, &mut core, "hex.cols", "8").unwrap_err().kind(), Kind::Permission);
    }
}
