//! `/api/v1`: the router, and the routes that are about the client and its lines.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clients::Client;
use super::connection::Peer;
use super::reply::{self, refuse};
use super::routes::{LISTS, ROUTES};
use super::run::{Job, Report, collect};
use super::{Site, command, files, guard, lists, page, sign_in};
use crate::commands;
use crate::error::{Error, Kind};
use crate::output::{Cancel, Out, Style};
use crate::prompt::completion;
use crate::session::options::OPTIONS;
use crate::session::{Permissions, debug};

/// The client that asks, once it has shown who it is.
#[derive(Clone)]
pub struct Caller(pub Arc<Client>);

/// The type of JSON.
pub const JSON: &str = "application/json";

/// Everything the server answers.
pub fn router(site: &Arc<Site>) -> Router {
    let mut open = Router::new();
    let mut closed = Router::new();
    for route in ROUTES {
        let router = if route.open { &mut open } else { &mut closed };
        *router = std::mem::take(router).route(&format!("/api/v1{}", route.path), (route.handler)());
    }
    let closed =
        closed.route("/api/v1/list/{name}", get(lists::list)).layer(from_fn_with_state(Arc::clone(site), entrance));
    let api = open.merge(closed).layer(axum::middleware::from_fn(readable));
    let router = Router::new()
        .route("/cmd/", get(command::command).post(command::command))
        .route("/cmd/{*command}", get(command::command).post(command::command))
        .route("/up/{*name}", get(files::fetch).post(files::upload))
        .merge(api)
        .fallback(page::page)
        .method_not_allowed_fallback(async || refuse(StatusCode::METHOD_NOT_ALLOWED, "usage", "no such method here"));
    router.layer(from_fn_with_state(Arc::clone(site), guard::guard)).with_state(Arc::clone(site))
}

/// Lets in who may use the API.
async fn entrance(
    State(site): State<Arc<Site>>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    match sign_in::required(&site, request.headers(), peer.address) {
        Ok(client) => {
            request.extensions_mut().insert(Caller(client));
            next.run(request).await
        }
        Err(error) => sign_in::denied(request.headers(), &error),
    }
}

/// Lets through what can change something only as JSON, which no form of another site can send; and says what is
/// wrong with a request in JSON, too.
async fn readable(request: Request, next: Next) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if request.method() == Method::POST && !kind.eq_ignore_ascii_case(JSON) {
        let message = "the body must be JSON, and say so: content-type: application/json";
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "usage", message);
    }
    let response = next.run(request).await;
    let plain =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !plain || !response.status().is_client_error() {
        return response;
    }
    // What the library says about bad queries and bodies.
    let status = response.status();
    let text = axum::body::to_bytes(response.into_body(), 4096).await.unwrap_or_default();
    refuse(status, "usage", &String::from_utf8_lossy(&text))
}

/// `POST /api/v1/sign-in`.
pub async fn sign_in(
    State(site): State<Arc<Site>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    pass: Result<Json<sign_in::Pass>, JsonRejection>,
) -> Response {
    let pass = match pass {
        Ok(Json(pass)) => pass,
        Err(rejection) => return rejection.into_response(),
    };
    match sign_in::sign_in(&site, &pass, peer.address) {
        Ok((client, cookie)) => {
            let mut response = about(&site, client, &headers).await;
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            response
        }
        Err(error) if error.kind() == Kind::Usage => error.into_response(),
        Err(error) => sign_in::denied(&headers, &error),
    }
}

/// `POST /api/v1/sign-out`.
pub async fn sign_out(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    body: Raw,
) -> Response {
    if let Err(error) = nothing(&body) {
        return error.into_response();
    }
    site.clients.remove(client.id, &site);
    Json(serde_json::json!({ "client": client.id })).into_response()
}

#[derive(Serialize)]
struct About {
    client: u64,
    permissions: Vec<String>,
    version: &'static str,
    /// The lists that this client can have.
    lists: Vec<&'static str>,
    process: bool,
    uploads: bool,
    seek: String,
    block: u64,
    /// What is open and what is mapped, as the lists have it: the first that a page needs.
    files: Value,
    maps: Value,
}

/// `GET /api/v1/session`.
pub async fn session(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    about(&site, client, &headers).await
}

async fn about(site: &Arc<Site>, client: Arc<Client>, headers: &HeaderMap) -> Response {
    let site = Arc::clone(site);
    // The core may be with a command of somebody else.
    match tokio::task::spawn_blocking(move || known(&site, &client)).await {
        Ok(about) => reply::json(headers, &about),
        Err(_) => Error::new(Kind::System, "the request ended with an internal error").into_response(),
    }
}

fn known(site: &Site, client: &Client) -> About {
    let permissions = client.gate.permissions();
    let mut beside = client.beside(site);
    let process = beside.with(|core, view| debug::descriptor(core, view).is_some());
    // What the client may not ask, or nothing here could answer, it need not try.
    let known = |command: &str| {
        commands::resolve(command).is_some_and(|(found, _, rest)| {
            let answered = process || !found.needs.allow(Permissions::DEBUG);
            rest.is_empty() && answered && permissions.allow(found.needs)
        })
    };
    // While a command runs, its place is not known: that of the home is near enough.
    let (seek, block) = match client.session.try_lock() {
        Ok(session) => (session.view.seek, session.view.block_size),
        Err(_) => (beside.view.seek, beside.view.block_size),
    };
    let lists = LISTS.iter().filter(|(_, command, _)| known(command)).map(|(name, ..)| *name).collect();
    let mut list = |command: &str| {
        let (mut none, mut said) = (std::io::sink(), std::io::sink());
        let mut out = Out::new(&mut none, &mut said, Style::default(), Cancel::new());
        let bytes = lists::collected(&mut beside, command, &[], &mut out).ok();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_else(|| Value::Array(Vec::new()))
    };
    About {
        client: client.id,
        permissions: permissions.names().split(", ").filter(|name| !name.is_empty()).map(str::to_string).collect(),
        version: env!("CARGO_PKG_VERSION"),
        lists,
        process: process && permissions.allow(Permissions::DEBUG),
        uploads: site.settings.uploads.is_some(),
        seek: format!("0x{seek:x}"),
        block,
        files: list("o"),
        maps: list("om"),
    }
}

/// A line to run.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    command: String,
}

/// `POST /api/v1/run`.
pub async fn run(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    headers: HeaderMap,
    Json(line): Json<Line>,
) -> Response {
    match collect(&site, &client, Job::line(line.command)).await {
        Ok((output, report)) => reply::bytes_as(&headers, JSON, ran(&output, &report)),
        Err(error) => error.into_response(),
    }
}

/// The answer of `run`: the report, the output as text, and as a value when it is JSON.
pub fn ran(output: &[u8], report: &Report) -> Vec<u8> {
    let mut answer = serde_json::to_vec(report).unwrap_or_else(|_| b"{}".to_vec());
    answer.pop();
    answer.extend_from_slice(b",\"output\":");
    let text = serde_json::to_vec(&String::from_utf8_lossy(output));
    answer.extend_from_slice(&text.unwrap_or_else(|_| b"\"\"".to_vec()));
    answer.extend_from_slice(b",\"value\":");
    answer.extend_from_slice(value(output).unwrap_or(b"null"));
    answer.push(b'}');
    answer
}

/// `output`, if it is an object or an array in JSON.
pub fn value(output: &[u8]) -> Option<&[u8]> {
    let text = output.trim_ascii();
    let structured = matches!(text.first(), Some(b'{' | b'['));
    (structured && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()).then_some(text)
}

/// What a body may be where nothing is to be said: nothing, or an empty object.
fn nothing(body: &[u8]) -> Result<(), Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    match body.trim_ascii() {
        b"" => Ok(()),
        body => serde_json::from_slice::<Nothing>(body)
            .map(|Nothing {}| ())
            .map_err(|error| Error::new(Kind::Usage, format!("the body should be {{}}: {error}"))),
    }
}

/// `POST /api/v1/cancel`.
pub async fn cancel(Extension(Caller(client)): Extension<Caller>, body: Raw) -> Response {
    if let Err(error) = nothing(&body) {
        return error.into_response();
    }
    Json(serde_json::json!({ "cancelled": client.cancel() })).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    line: String,
}

#[derive(Serialize)]
struct Completion {
    /// Where the completed part starts, in bytes.
    start: usize,
    candidates: Vec<Candidate>,
}

#[derive(Serialize)]
struct Candidate {
    text: String,
    summary: Option<&'static str>,
    complete: bool,
}

/// Candidates of one answer.
const CANDIDATES: usize = 200;

/// `POST /api/v1/complete`.
pub async fn complete(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    headers: HeaderMap,
    Json(Begun { line }): Json<Begun>,
) -> Response {
    let found = tokio::task::spawn_blocking(move || {
        let session = client.beside(&site);
        completion::complete(&line, line.len(), &session)
    });
    let Ok(found) = found.await else {
        return Error::new(Kind::System, "the request ended with an internal error").into_response();
    };
    let candidates = found.candidates.into_iter().take(CANDIDATES);
    let candidate =
        |found: completion::Candidate| Candidate { text: found.text, summary: found.summary, complete: found.complete };
    reply::json(&headers, &Completion { start: found.start, candidates: candidates.map(candidate).collect() })
}

#[derive(Serialize)]
struct CommandRow {
    name: &'static str,
    usage: String,
    summary: &'static str,
    details: &'static str,
    aliases: &'static [&'static str],
    modes: Vec<&'static str>,
    needs: String,
}

/// `GET /api/v1/commands`.
pub async fn command_table(headers: HeaderMap) -> Response {
    let row = |command: &commands::Command| CommandRow {
        name: command.name,
        usage: command.usage(),
        summary: command.summary,
        details: command.details,
        aliases: command.aliases,
        modes: command.modes.iter().map(|mode| mode.suffix()).collect(),
        needs: command.needs.names(),
    };
    reply::json(&headers, &commands::all().map(row).collect::<Vec<_>>())
}

#[derive(Serialize)]
struct OptionRow {
    name: &'static str,
    kind: &'static str,
    summary: &'static str,
    choices: &'static [&'static str],
}

/// `GET /api/v1/option-table`.
pub async fn option_table(headers: HeaderMap) -> Response {
    let row = |option: &crate::session::options::OptionSpec| OptionRow {
        name: option.name,
        kind: option.default.kind(),
        summary: option.summary,
        choices: option.choices,
    };
    reply::json(&headers, &OPTIONS.iter().map(row).collect::<Vec<_>>())
}

/// An answer for what is not there.
pub fn nothing_here() -> Response {
    refuse(StatusCode::NOT_FOUND, "not-found", "nothing is here: /api/v1/openapi.json says what there is")
}

/// A body as it came.
pub type Raw = Bytes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_structures_are_values() {
        assert_eq!(value(b" [1]\n"), Some(&b"[1]"[..]));
        assert_eq!(value(b"0x10\n"), None);
        assert_eq!(value(b"[1] [2]"), None);
        assert_eq!(value(b"- offset -"), None);
    }

    #[test]
    fn the_lists_of_this_build_answer() {
        for (_, name, _) in LISTS {
            let (command, _, rest) = commands::resolve(name).unwrap();
            assert!(rest.is_empty() && command.modes.contains(&crate::output::Mode::Json), "{name}");
        }
    }
}
