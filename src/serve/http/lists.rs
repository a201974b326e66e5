//! What is known, as JSON: lists, windows of instructions, graphs, references.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Site;
use super::api::{Caller, JSON, value};
use super::clients::Client;
use super::reply;
use super::routes::LISTS;
use super::run::{Job, Work, collect};
use crate::commands;
use crate::error::{Error, Kind, Result};
use crate::number;
use crate::output::{Mode, Out, Style};
use crate::session::Session;
use crate::session::context::Args;
use crate::session::scope::Scope;

/// Instructions of one answer.
const MOST: u32 = 4096;

/// `GET /api/v1/list/NAME`.
pub async fn list(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some((_, command, _)) = LISTS.iter().find(|(known, ..)| *known == name) else {
        let known: Vec<&str> = LISTS.iter().map(|(name, ..)| *name).collect();
        return Error::new(Kind::NotFound, "there is no such list")
            .hint(format!("known: {}", known.join(", ")))
            .into_response();
    };
    let work = Box::new(move |session: &mut Session, out: &mut Out<'_>| invoke(session, command, &[], out));
    answer(&site, &client, format!("{command}j"), work, &headers).await
}

/// Where something is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    address: String,
    count: Option<u32>,
}

type Asked = std::result::Result<Query<Window>, QueryRejection>;

/// `GET /api/v1/disassembly`.
pub async fn disassembly(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    headers: HeaderMap,
    window: Asked,
) -> Response {
    let Query(Window { address, count }) = match window {
        Ok(window) => window,
        Err(rejection) => return rejection.into_response(),
    };
    let count = count.unwrap_or(64);
    if !(1..=MOST).contains(&count) {
        return Error::new(Kind::Usage, format!("'count' must be from 1 to {MOST}")).into_response();
    }
    let line = format!("pdj {count} @ {address}");
    let work = Box::new(move |session: &mut Session, out: &mut Out<'_>| {
        go(session, &address)?;
        invoke(session, "pd", &[count.to_string()], out)
    });
    answer(&site, &client, line, work, &headers).await
}

/// `GET /api/v1/graph`.
pub async fn graph(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    headers: HeaderMap,
    window: Asked,
) -> Response {
    let address = match window {
        Ok(Query(window)) => window.address,
        Err(rejection) => return rejection.into_response(),
    };
    let line = format!("agfj @ {address}");
    let work = Box::new(move |session: &mut Session, out: &mut Out<'_>| {
        go(session, &address)?;
        invoke(session, "agf", &[], out)
    });
    answer(&site, &client, line, work, &headers).await
}

/// `GET /api/v1/references`.
pub async fn references(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    headers: HeaderMap,
    window: Asked,
) -> Response {
    let address = match window {
        Ok(Query(window)) => window.address,
        Err(rejection) => return rejection.into_response(),
    };
    let line = format!("axtj @ {address}");
    let work = Box::new(move |session: &mut Session, out: &mut Out<'_>| {
        go(session, &address)?;
        let to = collected(session, "axt", &[], out)?;
        let from = collected(session, "axf", &[], out)?;
        out.write_all(&[b"{\"to\":", &to[..], b",\"from\":", &from, b"}"].concat())
    });
    answer(&site, &client, line, work, &headers).await
}

/// Moves `session` to where `address` leads.
pub fn go(session: &mut Session, address: &str) -> Result<()> {
    session.view.seek = session.with(|core, view| number::evaluate(address, &mut Scope { core, view }))?;
    Ok(())
}

/// Runs the command `name` with `words`, its answer in JSON.
pub fn invoke(session: &mut Session, name: &str, words: &[String], out: &mut Out<'_>) -> Result<()> {
    let found = commands::resolve(name).filter(|(.., rest)| rest.is_empty());
    let Some((command, ..)) = found else {
        return Err(Error::new(Kind::UnknownCommand, format!("this build has no command '{name}'")));
    };
    let mode = if command.modes.contains(&Mode::Json) { Mode::Json } else { Mode::Text };
    commands::invoke(session, command, mode, &Args { words: words.to_vec(), text: words.join(" ") }, out)
}

/// The answer of [`invoke`] as JSON.
pub fn collected(session: &mut Session, name: &str, words: &[String], out: &mut Out<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    invoke(session, name, words, &mut out.redirect(&mut bytes, Style::default()))?;
    match value(&bytes) {
        Some(value) => Ok(value.to_vec()),
        None => Err(Error::new(Kind::System, format!("'{name}' has not answered with JSON"))),
    }
}

/// Does `work` beside whatever the client runs, and answers with its JSON. `line` is what the log says.
async fn answer(site: &Arc<Site>, client: &Arc<Client>, line: String, work: Work, headers: &HeaderMap) -> Response {
    match collect(site, client, Job { work: Some(work), ..Job::line(line).aside() }).await {
        Ok((output, report)) => match report.into_error() {
            None => match value(&output) {
                Some(value) => reply::bytes_as(headers, JSON, value.to_vec()),
                None => Error::new(Kind::System, "the command has not answered with JSON").into_response(),
            },
            Some(error) => error.into_response(),
        },
        Err(error) => error.into_response(),
    }
}
