//! `@`: another place, size, option or content for one command. Whatever happens, everything is put back.

use std::sync::Arc;

use crate::commands::local;
use crate::error::{Error, Kind, Result};
use crate::number;
use crate::session::context::LENGTH_LIMIT;
use crate::session::scope::Scope;
use crate::session::{Config, Permissions, Session, Value, View, config, options};

/// The longest file that `@f:` takes, in bytes.
const FILE_LIMIT: u64 = 0x320_0000;

/// What a modifier may change.
struct Saved {
    view: View,
    flagspace: Option<Option<String>>,
}

/// Runs `work` under the modifier `text` (what follows the `@`) and restores what it changed.
pub fn with(session: &mut Session, text: &str, work: impl FnOnce(&mut Session) -> Result<()>) -> Result<()> {
    let mut saved = Saved { view: session.view.clone(), flagspace: None };
    let result = match apply(session, text, &mut saved.flagspace) {
        Ok(changed) => {
            let result = work(session);
            restore(session, saved, changed);
            return result;
        }
        Err(error) => Err(error),
    };
    // A modifier that failed half-way must leave nothing behind.
    restore(session, saved, Changed::ALL);
    result
}

/// Which parts of the view a modifier changed, so that only those are put back: `b 32 @e:x=y` keeps its block size.
#[derive(Clone, Copy, Default)]
struct Changed {
    seek: bool,
    block_size: bool,
    patch: bool,
    descriptor: bool,
    overrides: bool,
}

impl Changed {
    const ALL: Changed = Changed { seek: true, block_size: true, patch: true, descriptor: true, overrides: true };
}

fn restore(session: &mut Session, saved: Saved, changed: Changed) {
    let view = &mut session.view;
    if changed.seek {
        view.seek = saved.view.seek;
        view.history = saved.view.history;
        view.temporary = saved.view.temporary;
    }
    if changed.block_size {
        view.block_size = saved.view.block_size;
    }
    if changed.patch {
        view.patch = saved.view.patch;
    }
    if changed.descriptor {
        view.descriptor = saved.view.descriptor;
    }
    if changed.overrides {
        view.overrides = saved.view.overrides;
    }
    if let Some(space) = saved.flagspace {
        session.core().flags.selected = space;
    }
}

fn apply(session: &mut Session, text: &str, flagspace: &mut Option<Option<String>>) -> Result<Changed> {
    let mut changed = Changed::default();
    if let Some((from, to)) = range(text) {
        set_range(session, from, to)?;
        changed.overrides = true;
        return Ok(changed);
    }
    if let Some((letter, value)) = lettered(text) {
        match letter {
            'a' => {
                let (arch, bits) = value.split_once(':').map_or((value, None), |(arch, bits)| (arch, Some(bits)));
                set(session, "asm.arch", arch)?;
                if let Some(bits) = bits {
                    set(session, "asm.bits", bits)?;
                }
                changed.overrides = true;
            }
            'b' => {
                set(session, "asm.bits", value)?;
                changed.overrides = true;
            }
            'e' => {
                for (key, value) in pairs(value)? {
                    set(session, &key, &value)?;
                }
                changed.overrides = true;
            }
            'f' => {
                local::require(&session.view, Permissions::FILES, "@f:")?;
                let bytes = local::read_up_to(&session.view, value, FILE_LIMIT)?;
                patch(&mut session.view, bytes, &mut changed)?;
            }
            's' => patch(&mut session.view, value.as_bytes().to_vec(), &mut changed)?,
            'v' => {
                let number = evaluate(session, value)?;
                let bytes = session.with(|core, view| {
                    let option = |name| config::lookup(&view.overrides, &core.config, name);
                    let size = match option("asm.bits") {
                        Value::Number(bits) => (bits / 8).clamp(1, 8) as usize,
                        _ => 8,
                    };
                    let mut bytes = number.to_le_bytes()[..size].to_vec();
                    if option("cfg.bigendian") == Value::Bool(true) {
                        bytes.reverse();
                    }
                    bytes
                });
                patch(&mut session.view, bytes, &mut changed)?;
            }
            'x' => {
                let digits: String = value.chars().filter(|c| !c.is_whitespace()).collect();
                let mut bytes = vec![0; digits.len() / 2];
                faster_hex::hex_decode(digits.as_bytes(), &mut bytes).map_err(|_| {
                    Error::new(Kind::Format, format!("bad hexpairs '{value}'")).hint("@x:9090 takes pairs of digits")
                })?;
                patch(&mut session.view, bytes, &mut changed)?;
            }
            'o' => {
                let fd = evaluate(session, value)?;
                let fd = u32::try_from(fd).map_err(|_| Error::new(Kind::NotFound, format!("no descriptor {fd}")))?;
                session.core().io.descriptor(fd)?;
                session.view.descriptor = Some(fd);
                changed.descriptor = true;
            }
            'F' => {
                let space = Some(value.to_string()).filter(|space| space != "*" && !space.is_empty());
                let mut core = session.core();
                *flagspace = Some(std::mem::replace(&mut core.flags.selected, space));
            }
            _ => return Err(missing(letter)),
        }
        return Ok(changed);
    }
    let (address, size) = match text.rsplit_once('!') {
        Some((address, size)) => (address.trim(), Some(size)),
        None => (text.trim(), None),
    };
    if !address.is_empty() {
        let seek = evaluate(session, address).map_err(|error| {
            Error::new(error.kind(), format!("Invalid address ({})", crate::output::visible(address)))
        })?;
        session.view.seek = seek;
        session.view.temporary = true;
        changed.seek = true;
    }
    if let Some(size) = size {
        let size = evaluate(session, size)?;
        session.view.block_size = block(size)?;
        changed.block_size = true;
    }
    Ok(changed)
}

/// `x:9090` → `('x', "9090")`: a letter of the modifiers and its value.
fn lettered(text: &str) -> Option<(char, &str)> {
    let (head, value) = text.split_once(':')?;
    let mut letters = head.chars();
    let letter = letters.next().filter(char::is_ascii_alphabetic)?;
    letters.next().is_none().then_some((letter, value.trim_start()))
}

fn missing(letter: char) -> Error {
    let needs = match letter {
        'B' => "a basic block",
        'i' => "a disassembler",
        'k' => "a database",
        'r' => "registers of a debugged process",
        _ => {
            return Error::new(Kind::Usage, format!("'@{letter}:' is no modifier")).hint("'@?' lists them");
        }
    };
    Error::new(Kind::Unsupported, format!("'@{letter}:' needs {needs}, and there is none"))
}

fn evaluate(session: &mut Session, text: &str) -> Result<u64> {
    session.with(|core, view| number::evaluate(text, &mut Scope { core, view }))
}

/// Sets an option for this client alone.
fn set(session: &mut Session, key: &str, value: &str) -> Result<()> {
    let option = options::find(key)
        .ok_or_else(|| Error::new(Kind::NotFound, format!("no option is called '{key}'")).hint("'e' lists them"))?;
    session.with(|core, view| {
        let mut overrides: Config = view.overrides.clone();
        overrides.set(option, value, |text| number::evaluate(text, &mut Scope { core, view }))?;
        view.overrides = overrides;
        Ok(())
    })
}

/// `k=v,k=v`; a piece without `=` belongs to the value before it.
fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for piece in text.split(',') {
        match (piece.split_once('='), pairs.last_mut()) {
            (Some((key, value)), _) => pairs.push((key.trim().to_string(), value.trim().to_string())),
            (None, Some((_, value))) => {
                value.push(',');
                value.push_str(piece);
            }
            (None, None) => {
                return Err(Error::new(Kind::Usage, format!("'{piece}' sets no option")).hint("@e:key=value,key=value"));
            }
        }
    }
    Ok(pairs)
}

/// `(from to)`, as opposed to an expression in parentheses.
fn range(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('(')?.strip_suffix(')')?.trim();
    let (from, to) = inside.split_once([' ', ','])?;
    let to = to.trim();
    let operand = |text: &str| {
        !text.is_empty()
            && !text.contains(' ')
            && text.starts_with(|c: char| c.is_alphanumeric() || "$_(['".contains(c))
    };
    (operand(from) && operand(to) && !from.ends_with(['+', '-', '*', '/'])).then_some((from, to))
}

/// Limits whatever looks at a range (`search.from`, `search.to`, `search.in` and their like).
fn set_range(session: &mut Session, from: &str, to: &str) -> Result<()> {
    let (from, to) = (evaluate(session, from)?, evaluate(session, to)?);
    let mut found = false;
    for option in options::OPTIONS {
        match option.name.rsplit_once('.') {
            Some((_, "from")) => set(session, option.name, &format!("0x{from:x}"))?,
            Some((_, "to")) => set(session, option.name, &format!("0x{to:x}"))?,
            Some((_, "in")) if option.choices.is_empty() || option.choices.contains(&"range") => {
                set(session, option.name, "range")?;
            }
            _ => continue,
        }
        found = true;
    }
    if found { Ok(()) } else { Err(Error::new(Kind::Unsupported, "no command here looks at a range '@(from to)'")) }
}

/// Lays `bytes` over the place where the command will run; the block is as long as they are.
fn patch(view: &mut View, bytes: Vec<u8>, changed: &mut Changed) -> Result<()> {
    if bytes.is_empty() {
        return Err(
            Error::new(Kind::Usage, "the bytes for the block are missing").hint("@x:9090, @s:text, @v:1, @f:file")
        );
    }
    view.block_size = block(bytes.len() as u64)?;
    view.patch = Some(Arc::from(bytes));
    changed.patch = true;
    changed.block_size = true;
    Ok(())
}

fn block(size: u64) -> Result<u64> {
    // Commands stream, or refuse by themselves what they cannot take at once.
    if (1..=LENGTH_LIMIT).contains(&size) {
        return Ok(size);
    }
    Err(Error::new(Kind::Limit, format!("a block of {size} bytes is not possible"))
        .hint(format!("from 1 to 0x{LENGTH_LIMIT:x}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_no_expressions() {
        assert_eq!(range("(0 16)"), Some(("0", "16")));
        assert_eq!(range("(0x10 main)"), Some(("0x10", "main")));
        assert_eq!(range("(1 + 2)"), None);
        assert_eq!(range("(1 +2)"), None);
        assert_eq!(range("(1)"), None);
    }

    #[test]
    fn letters() {
        assert_eq!(lettered("x:9090"), Some(('x', "9090")));
        assert_eq!(lettered("s:a:b"), Some(('s', "a:b")));
        assert_eq!(lettered("main"), None);
        assert_eq!(lettered("ab:c"), None);
        assert_eq!(pairs("a=1,2,b=3").unwrap(), [("a".into(), "1,2".into()), ("b".into(), "3".into())]);
        assert!(pairs("a").is_err());
    }
}
