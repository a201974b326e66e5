//! `?` after any name: help pages, made from the declarations.

use super::all;
use crate::error::{Error, Kind, Result};
use crate::output::Out;

/// Lists the commands whose names start with `prefix`.
pub fn show(prefix: &str, _detailed: bool, out: &mut Out<'_>) -> Result<()> {
    let mut found = false;
    for command in all().filter(|command| command.name.starts_with(prefix)) {
        found = true;
        out.line(format_args!("| {}  {}", command.usage(), command.summary))?;
    }
    if found { Ok(()) } else { Err(Error::new(Kind::UnknownCommand, format!("no command starts with '{prefix}'"))) }
}
