//! `>`: output into files and aliases.

use std::fs::File;
use std::io::BufWriter;

use super::tree::{Redirect, Stream};
use super::{evaluate, expand, grep, help, html};
use crate::commands::local;
use crate::commands::script::capture::Capture;
use crate::error::{Error, Result};
use crate::output::{Out, Style};
use crate::session::{Permissions, Session};

/// Runs `work` with its output (or its errors) going where `redirect` says.
pub fn run(
    session: &mut Session,
    redirect: &Redirect,
    out: &mut Out<'_>,
    work: impl FnOnce(&mut Session, &mut Out<'_>) -> Result<()>,
) -> Result<()> {
    let target = expand::word(session, &redirect.target, out)?.text;
    if target == "?" {
        return help::operator(">", out);
    }
    let plain = Style { color: redirect.what == Stream::Html, ..out.style() };
    if let Some(alias) = target.strip_prefix('$') {
        let mut captured = Capture::default();
        let result = if redirect.what == Stream::Errors {
            let mut inner = out.redirect_errors(&mut captured);
            work(session, &mut inner).or_else(|error| evaluate::report(session, error, &mut inner))
        } else {
            work(session, &mut out.redirect(&mut captured, plain))
        };
        let text =
            if redirect.what == Stream::Html { html::from_ansi(&captured.text()) } else { captured.text().into() };
        let mut core = session.core();
        let before = core.aliases.get(alias).filter(|value| redirect.append && value.starts_with('$'));
        let value = format!("{}{}", before.unwrap_or("$"), grep::strip_colors(&text));
        core.aliases.insert(alias, value);
        return result;
    }
    local::require(&session.view, Permissions::FILES.and(Permissions::WRITE), ">")?;
    let mut file = BufWriter::new(open(session, &target, redirect.append)?);
    let result = match redirect.what {
        Stream::Output => work(session, &mut out.redirect(&mut file, plain)),
        Stream::Errors => {
            let mut inner = out.redirect_errors(&mut file);
            work(session, &mut inner).or_else(|error| evaluate::report(session, error, &mut inner))
        }
        Stream::Html => {
            let mut captured = Capture::default();
            let result = work(session, &mut out.redirect(&mut captured, plain));
            std::io::Write::write_all(&mut file, html::from_ansi(&captured.text()).as_bytes())
                .map_err(|error| failed(&target, &error))?;
            result
        }
    };
    file.into_inner().map_err(|error| failed(&target, error.error()))?;
    result
}

fn open(session: &Session, target: &str, append: bool) -> Result<File> {
    local::create(&session.view, target, append)
}

fn failed(target: &str, error: &std::io::Error) -> Error {
    Error::system(format_args!("cannot write to '{target}'"), error)
}
