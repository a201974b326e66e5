//! Macros: `(name a b; body)` defines, `.(name 1 2)` calls.

use crate::error::{Error, Kind, Result};
use crate::output::{Executor, Out};
use crate::session::Session;
use crate::session::context::Args;
use crate::session::shell::Frame;

/// `(name a b; body)`; `()` ends the enclosing macro or iteration.
pub fn define(session: &mut Session, args: &Args, _out: &mut Out<'_>) -> Result<()> {
    let text = args.text.trim();
    if text.is_empty() {
        session.shell.leave = true;
        return Ok(());
    }
    let (name, parameters, body) = split(text)?;
    session.core().macros.insert(name, (parameters, body));
    Ok(())
}

/// The name that `text` (between the parentheses) defines.
pub fn name(text: &str) -> Result<String> {
    split(text.trim()).map(|(name, _, _)| name)
}

/// `name a b; body`, or with commas instead of semicolons, as the list shows it.
fn split(text: &str) -> Result<(String, Vec<String>, String)> {
    let missing =
        || Error::new(Kind::Usage, format!("the macro '({text})' has no body")).hint("(name arg; command; command)");
    let (head, body) = match text.split_once([';', '\n']) {
        Some((head, body)) => (head, body.trim().to_string()),
        None => {
            let (head, body) = text.split_once(',').ok_or_else(missing)?;
            (head, body.replace(',', ";").trim().to_string())
        }
    };
    let mut words = head.split_whitespace().map(str::to_string);
    let name = words.next().ok_or_else(|| Error::new(Kind::Usage, "the macro has no name"))?;
    Ok((name, words.collect(), body))
}

/// `(*`: the definitions, to be read in again.
pub fn list(session: &mut Session, _args: &Args, out: &mut Out<'_>) -> Result<()> {
    let macros = session.core().macros.clone();
    for (name, (parameters, body)) in macros {
        let head = std::iter::once(name).chain(parameters).collect::<Vec<_>>().join(" ");
        // Commas separate statements in the list, unless the body has commas of its own.
        if body.contains(',') {
            out.line(format_args!("({head}; {body})"))?;
        } else {
            out.line(format_args!("({head}, {})", body.replace(';', ",")))?;
        }
    }
    Ok(())
}

/// `(-name`.
pub fn remove(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let name = args.text.trim();
    if name == "*" {
        session.core().macros.clear();
        return Ok(());
    }
    session.core().macros.remove(name).ok_or_else(|| unknown(name))?;
    out.line(format_args!("Macro '{name}' removed."))
}

/// `.(name 1 2)`: the arguments are the name and the values.
pub fn call(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let Some((name, values)) = args.words.split_first() else {
        return Err(Error::new(Kind::Usage, "the name of the macro is missing"));
    };
    let (parameters, body) = session.core().macros.get(name).cloned().ok_or_else(|| unknown(name))?;
    if values.len() != parameters.len() {
        let message = format!("Macro '{name}' expects {} args, not {}", parameters.len(), values.len());
        return Err(Error::new(Kind::Usage, message));
    }
    session.shell.frames.push(Frame { parameters, values: values.to_vec() });
    let result = session.execute(&body, out);
    session.shell.frames.pop();
    session.shell.leave = false;
    result.map_err(|error| match error.kind() {
        Kind::Syntax => error.context(format_args!("in macro '{name}'")),
        _ => error,
    })
}

fn unknown(name: &str) -> Error {
    Error::new(Kind::NotFound, format!("No macro named '{name}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_split() {
        assert_eq!(split("a x y;s;b").unwrap(), ("a".into(), vec!["x".into(), "y".into()], "s;b".into()));
        assert_eq!(split("a x, s, b").unwrap(), ("a".into(), vec!["x".into()], "s; b".into()));
        assert!(split("a").is_err());
        assert!(split(";s").is_err());
    }
}
