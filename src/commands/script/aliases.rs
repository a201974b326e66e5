//! `$` aliases: names for command lines and for texts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::error::{Error, Kind, Result};
use crate::number;
use crate::output::{Executor, Out};
use crate::session::Session;
use crate::session::context::Args;
use crate::session::scope::Scope;
use crate::session::shell::Frame;

/// `$`, `$name`, `$name=…`, `$name?`, `$flag:=addr`.
pub fn run(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let text = args.text.trim();
    if text.is_empty() {
        let aliases = session.core().aliases.clone();
        return aliases.iter().try_for_each(|(name, _)| out.line(format_args!("${name}")));
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return Err(Error::new(Kind::Usage, format!("bad alias name '${text}'")));
    }
    if let Some(address) = rest.strip_prefix(":=") {
        let address = evaluate(session, address)?;
        session.core().flags.set(name, address, 1);
        return Ok(());
    }
    if let Some(delta) = rest.strip_prefix("+=") {
        return move_flag(session, name, delta, u64::wrapping_add);
    }
    if let Some(delta) = rest.strip_prefix("-=") {
        return move_flag(session, name, delta, u64::wrapping_sub);
    }
    if let Some(value) = rest.strip_prefix('=') {
        return set(session, name, value);
    }
    let value = session.core().aliases.get(name).map(str::to_string);
    match (rest, value) {
        ("?", Some(value)) => out.line(value),
        ("?n", Some(value)) => out.write_all(value.as_bytes()),
        (arguments, Some(value)) if arguments.is_empty() || arguments.starts_with(' ') => {
            match value.strip_prefix('$') {
                Some(text) if text.is_empty() || text.ends_with('\n') => out.write_all(text.as_bytes()),
                Some(text) => out.line(text),
                None => {
                    // The arguments are data: they go in as values, after the command line has been parsed.
                    let values: Vec<String> = arguments.split_whitespace().map(str::to_string).collect();
                    let places: String = (0..values.len()).map(|index| format!(" ${index}")).collect();
                    session.shell.frames.push(Frame { parameters: Vec::new(), values });
                    let result = session.execute(&format!("{value}{places}"), out);
                    session.shell.frames.pop();
                    result
                }
            }
        }
        ("", None) => {
            let address = session.core().flags.get(name).map(|flag| flag.address);
            let address = address.ok_or_else(|| {
                Error::new(Kind::NotFound, format!("no alias and no flag is called '{name}'"))
                    .hint(format!("${name}=command makes an alias"))
            })?;
            session.view.jump(address);
            Ok(())
        }
        (_, None) => Err(Error::new(Kind::NotFound, format!("no alias is called '{name}'"))),
        (rest, Some(_)) => Err(Error::new(Kind::Usage, format!("unexpected '{rest}' after '${name}'"))),
    }
}

fn set(session: &mut Session, name: &str, value: &str) -> Result<()> {
    let value = value.trim();
    if value.is_empty() {
        session.core().aliases.remove(name);
        return Ok(());
    }
    let value = match value.strip_prefix("base64:") {
        Some(encoded) => {
            let bad = |why: String| Error::new(Kind::Format, format!("bad base64 '{encoded}': {why}"));
            let bytes = BASE64.decode(encoded.trim()).map_err(|error| bad(error.to_string()))?;
            let text = String::from_utf8(bytes).map_err(|_| bad("it is not text".into()))?;
            // What was encoded is data: it never becomes a command.
            if text.starts_with('$') { text } else { format!("${text}") }
        }
        None => value.to_string(),
    };
    session.core().aliases.insert(name, value);
    Ok(())
}

fn evaluate(session: &mut Session, text: &str) -> Result<u64> {
    session.with(|core, view| number::evaluate(text, &mut Scope { core, view }))
}

fn move_flag(session: &mut Session, name: &str, delta: &str, operation: fn(u64, u64) -> u64) -> Result<()> {
    let delta = evaluate(session, delta)?;
    let mut core = session.core();
    let flag = core.flags.get(name).cloned();
    let flag = flag.ok_or_else(|| Error::new(Kind::NotFound, format!("no flag is called '{name}'")))?;
    core.flags.set(name, operation(flag.address, delta), flag.size);
    Ok(())
}

/// `$*`: commands that define the aliases again. Texts travel in base64, since they may hold line ends.
pub fn commands(session: &mut Session, _args: &Args, out: &mut Out<'_>) -> Result<()> {
    let aliases = session.core().aliases.clone();
    for (name, value) in aliases.iter() {
        if value.starts_with('$') {
            out.line(format_args!("${name}=base64:{}", BASE64.encode(value)))?;
        } else {
            let quoted = value.replace('"', "\\\"");
            out.line(format_args!("\"${name}={quoted}\""))?;
        }
    }
    Ok(())
}

/// `$**`: the aliases as they are.
pub fn values(session: &mut Session, _args: &Args, out: &mut Out<'_>) -> Result<()> {
    let aliases = session.core().aliases.clone();
    aliases.iter().try_for_each(|(name, value)| out.line(format_args!("${name}={value}")))
}
