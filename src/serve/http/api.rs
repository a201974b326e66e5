//! `/api/v1`: the routes. One table makes the router and the OpenAPI document.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{self, HeaderMap};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};

use super::clients::Client;
use super::connection::Peer;
use super::reply::{self, refuse};
use super::run::{Job, Report, collect};
use super::{Site, command, files, guard, memory, openapi, page, sign_in, socket, stream};
use crate::commands;
use crate::error::{Error, Kind};
use crate::prompt::completion;
use crate::session::options::OPTIONS;
use crate::session::{Permissions, debug};

/// The client that asks, once it has shown who it is.
#[derive(Clone)]
pub struct Caller(pub Arc<Client>);

/// A value in the query or in the JSON body of a request.
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type, as JSON schema names it.
    pub kind: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it is.
    pub summary: &'static str,
}

const fn field(name: &'static str, kind: &'static str, required: bool, summary: &'static str) -> Field {
    Field { name, kind, required, summary }
}

/// A route of the API.
pub struct Route {
    /// Behind `/api/v1`.
    pub path: &'static str,
    /// `get`, or `post`, which changes something or takes JSON.
    pub method: &'static str,
    /// One line.
    pub summary: &'static str,
    /// In the query of a GET, in the body of a POST.
    pub fields: &'static [Field],
    /// The type of the answer.
    pub answers: &'static str,
    /// Whether strangers may ask.
    pub open: bool,
    handler: fn() -> MethodRouter<Arc<Site>>,
}

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

const ADDRESS: Field = field("address", "string", true, "an expression: 0x1000, a flag's name, entry0+16");

/// Every route.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/sign-in",
        method: "post",
        summary: "Sign a browser in: with the code of the URL that was printed, or with the token",
        fields: &[field("code", "string", false, "the code"), field("token", "string", false, "the token")],
        answers: JSON,
        open: true,
        handler: || post(sign_in_here),
    },
    Route {
        path: "/sign-out",
        method: "post",
        summary: "End this client: its commands, its session, its cookie",
        fields: &[],
        answers: JSON,
        open: false,
        handler: || post(sign_out),
    },
    Route {
        path: "/session",
        method: "get",
        summary: "Who this client is, what it may do, and what this build can",
        fields: &[],
        answers: JSON,
        open: false,
        handler: || get(session),
    },
    Route {
        path: "/run",
        method: "post",
        summary: "Run a line of commands: output, errors and state apart; output that is JSON also as a value",
        fields: &[field("command", "string", true, "a line in the shell language")],
        answers: JSON,
        open: false,
        handler: || post(run),
    },
    Route {
        path: "/stream",
        method: "post",
        summary: "Run a line and get its output as it comes: lines {output}, then {report}",
        fields: &[field("command", "string", true, "a line in the shell language")],
        answers: LINES,
        open: false,
        handler: || post(stream::line),
    },
    Route {
        path: "/cancel",
        method: "post",
        summary: "End every command of this client",
        fields: &[],
        answers: JSON,
        open: false,
        handler: || post(cancel),
    },
    Route {
        path: "/complete",
        method: "post",
        summary: "How a line can go on",
        fields: &[field("line", "string", true, "the line up to the cursor")],
        answers: JSON,
        open: false,
        handler: || post(complete),
    },
    Route {
        path: "/memory",
        method: "get",
        summary: "Bytes of the session's address space; the header remora-valid counts those that are there",
        fields: &[ADDRESS, field("length", "string", false, "an expression, in bytes; 256 when missing")],
        answers: "application/octet-stream",
        open: false,
        handler: || get(memory::read),
    },
    Route {
        path: "/memory",
        method: "post",
        summary: "Write bytes",
        fields: &[ADDRESS, field("hex", "string", true, "pairs of hexadecimal digits")],
        answers: JSON,
        open: false,
        handler: || post(memory::write),
    },
    Route {
        path: "/search",
        method: "post",
        summary: "Search: a line {hit} for each hit as it is found, then {report}",
        fields: &[
            field("pattern", "string", true, "what to find"),
            field("kind", "string", false, "text, text-any-case, wide-text, hex, expression, number"),
            field("from", "string", false, "first address (an expression)"),
            field("to", "string", false, "address after the last (an expression)"),
            field("limit", "integer", false, "stop after so many hits"),
        ],
        answers: LINES,
        open: false,
        handler: || post(stream::search),
    },
    Route {
        path: "/socket",
        method: "get",
        summary: "A WebSocket: {id, run} and {cancel} go in, {id, output}, {id, report} and {event} come out",
        fields: &[],
        answers: JSON,
        open: false,
        handler: || get(socket::upgrade),
    },
    Route {
        path: "/commands",
        method: "get",
        summary: "Every command: usage, summary, modes, what it needs",
        fields: &[],
        answers: JSON,
        open: false,
        handler: || get(command_table),
    },
    Route {
        path: "/option-table",
        method: "get",
        summary: "Every option: kind, choices, meaning",
        fields: &[],
        answers: JSON,
        open: false,
        handler: || get(option_table),
    },
    Route {
        path: "/openapi.json",
        method: "get",
        summary: "This description",
        fields: &[],
        answers: JSON,
        open: true,
        handler: || get(openapi::document),
    },
];

/// What is known, as lists: the name of the route, the command that answers it, and a line about it. What this build
/// has no command for is answered with status 501.
pub const LISTS: &[(&str, &str, &str)] = &[
    ("files", "oj", "Open files"),
    ("maps", "omj", "What is mapped where"),
    ("flags", "fj", "Names for addresses"),
    ("comments", "CCj", "Comments"),
    ("options", "evj", "Options with their values"),
    ("hosts", "=j", "Connections to other programs"),
    ("servers", "=lj", "Servers of this process and their clients"),
    ("plugins", "oLj", "What can be opened"),
    ("info", "ij", "About the object file"),
    ("sections", "iSj", "Sections"),
    ("segments", "iSSj", "Segments"),
    ("symbols", "isj", "Symbols"),
    ("imports", "iij", "Imported symbols"),
    ("strings", "izj", "Strings"),
    ("functions", "aflj", "Functions"),
    ("registers", "drj", "Registers of the process"),
    ("breakpoints", "dbj", "Breakpoints"),
    ("process-maps", "dmj", "Memory maps of the process"),
    ("threads", "dptj", "Threads of the process"),
];

/// Everything the server answers.
pub fn router(site: &Arc<Site>) -> Router {
    let mut open = Router::new();
    let mut closed = Router::new();
    for route in ROUTES {
        let router = if route.open { &mut open } else { &mut closed };
        *router = std::mem::take(router).route(&format!("/api/v1{}", route.path), (route.handler)());
    }
    let closed = closed
        .route("/api/v1/list/{name}", get(list))
        .route("/api/v1/disassembly", get(disassembly))
        .layer(from_fn_with_state(Arc::clone(site), entrance));
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

async fn sign_in_here(
    State(site): State<Arc<Site>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    pass: Result<Json<sign_in::Pass>, JsonRejection>,
) -> Response {
    match pass {
        Ok(Json(pass)) => sign_in::sign_in(&site, &pass, &headers, peer.address),
        Err(rejection) => rejection.into_response(),
    }
}

async fn sign_out(State(site): State<Arc<Site>>, Extension(Caller(client)): Extension<Caller>) -> Response {
    site.clients.remove(client.id, &site);
    Json(serde_json::json!({ "client": client.id })).into_response()
}

#[derive(Serialize)]
struct About {
    client: u64,
    permissions: Vec<String>,
    version: &'static str,
    /// The lists that this build can answer.
    lists: Vec<&'static str>,
    disassembly: bool,
    uploads: bool,
    seek: String,
    block: u64,
}

async fn session(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    let permissions = client.gate.permissions();
    let debugs = site.home.session().with(|core, view| debug::descriptor(core, view).is_some());
    // What the client may not ask, or nothing here could answer, it need not try.
    let known = |command: &str| {
        commands::resolve(command).is_some_and(|(found, _, rest)| {
            let answered = debugs || !found.needs.allow(Permissions::DEBUG);
            rest.is_empty() && answered && permissions.allow(found.needs)
        })
    };
    // While a command runs, its place is not known: that of the home is near enough.
    let (seek, block) = match client.session.try_lock() {
        Ok(session) => (session.view.seek, session.view.block_size),
        Err(_) => {
            let home = site.home.session();
            (home.view.seek, home.view.block_size)
        }
    };
    let names = client.gate.permissions().names();
    reply::json(
        &headers,
        &About {
            client: client.id,
            permissions: names.split(", ").filter(|name| !name.is_empty()).map(str::to_string).collect(),
            version: env!("CARGO_PKG_VERSION"),
            lists: LISTS.iter().filter(|(_, command, _)| known(command)).map(|(name, ..)| *name).collect(),
            disassembly: known("pdj"),
            uploads: site.settings.uploads.is_some(),
            seek: format!("0x{seek:x}"),
            block,
        },
    )
}

/// A line to run.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    command: String,
}

async fn run(
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
fn ran(output: &[u8], report: &Report) -> Vec<u8> {
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
fn value(output: &[u8]) -> Option<&[u8]> {
    let text = output.trim_ascii();
    let structured = matches!(text.first(), Some(b'{' | b'['));
    (structured && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()).then_some(text)
}

async fn cancel(Extension(Caller(client)): Extension<Caller>) -> Response {
    Json(serde_json::json!({ "cancelled": client.cancel() })).into_response()
}

async fn list(
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
    structured(&site, &client, command, (*command).to_string(), &headers).await
}

#[derive(Deserialize)]
struct Window {
    address: String,
    count: Option<u32>,
}

async fn disassembly(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    headers: HeaderMap,
    window: Result<Query<Window>, QueryRejection>,
) -> Response {
    let Query(Window { address, count }) = match window {
        Ok(window) => window,
        Err(rejection) => return rejection.into_response(),
    };
    let plain = address.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.+-*".contains(&byte));
    if address.is_empty() || !plain {
        return Error::new(Kind::Usage, "'address' must be a number, or a flag's name with an offset").into_response();
    }
    let count = count.unwrap_or(64).min(4096);
    structured(&site, &client, "pdj", format!("pdj {count} @ {address}"), &headers).await
}

/// Runs `line`, which is `command` with its arguments, beside whatever the client runs, and answers with its JSON.
async fn structured(
    site: &Arc<Site>,
    client: &Arc<Client>,
    command: &str,
    line: String,
    headers: &HeaderMap,
) -> Response {
    if commands::resolve(command).is_none_or(|(.., rest)| !rest.is_empty()) {
        return Error::new(Kind::Unsupported, format!("this build has no command '{command}'")).into_response();
    }
    match collect(site, client, Job::line(line).aside()).await {
        Ok((output, report)) if report.ok => match value(&output) {
            Some(value) => reply::bytes_as(headers, JSON, value.to_vec()),
            None => Error::new(Kind::System, format!("'{command}' has not answered with JSON")).into_response(),
        },
        Ok((_, report)) => {
            let needs = commands::resolve(command).map_or(Permissions::NONE, |(command, ..)| command.needs);
            let kind = if client.gate.permissions().allow(needs) { Kind::NotFound } else { Kind::Permission };
            Error::new(kind, report.errors.join("; ")).into_response()
        }
        Err(error) => error.into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Begun {
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

async fn complete(
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

async fn command_table(headers: HeaderMap) -> Response {
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

async fn option_table(headers: HeaderMap) -> Response {
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
        for name in ["files", "maps", "flags", "comments", "options", "hosts", "servers", "plugins"] {
            let (_, command, _) = LISTS.iter().find(|(known, ..)| *known == name).unwrap();
            assert!(commands::resolve(command).is_some_and(|(.., rest)| rest.is_empty()), "{command}");
        }
    }
}
