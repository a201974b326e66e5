//! Processes under control: what the process is, and letting it step and run.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Site;
use super::api::{Caller, JSON, ran, value};
use super::clients::Client;
use super::lists::{collected, go, invoke};
use super::reply;
use super::routes::{ACTIONS, MARKS};
use super::run::{Job, collect};
use crate::debug::Role;
use crate::error::{Error, Kind, Result};
use crate::number;
use crate::output::{Out, Style};
use crate::session::debug::debugged;
use crate::session::scope::Scope;
use crate::session::{Permissions, Session};

/// Bytes of the stack that are shown.
const STACK: u64 = 256;

/// What `GET /api/v1/process` answers with, and the commands that know it.
const PARTS: &[(&str, &str)] = &[("registers", "dr"), ("threads", "dpt"), ("frames", "dbt"), ("breakpoints", "db")];

/// `GET /api/v1/process`: everything in one answer, because whoever looks at a process needs all of it.
pub async fn process(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    let job = Job { work: Some(Box::new(describe)), ..Job::line("dr").aside() };
    match collect(&site, &client, job).await {
        Ok((output, report)) => match report.into_error() {
            None => reply::bytes_as(&headers, JSON, output),
            Some(error) => error.into_response(),
        },
        Err(error) => error.into_response(),
    }
}

fn describe(session: &mut Session, out: &mut Out<'_>) -> Result<()> {
    session.view.permissions.require(Permissions::DEBUG, "process")?;
    let (state, pointer) = session.with(|core, view| match debugged(core, view) {
        Err(_) => ("none", None),
        Ok(debugged) if debugged.target.is_running() => ("running", None),
        Ok(mut debugged) => match debugged.layout() {
            Ok(layout) => {
                let register = layout.role(Role::Sp);
                ("stopped", register.and_then(|register| debugged.value(&layout, register).ok()))
            }
            Err(_) => ("ended", None),
        },
    });
    let mut text = format!("{{\"state\":\"{state}\"").into_bytes();
    if state == "stopped" {
        for (name, command) in PARTS {
            // What this target cannot tell is not there.
            let Ok(value) = collected(session, command, &[], out) else { continue };
            text.extend_from_slice(format!(",\"{name}\":").as_bytes());
            text.extend_from_slice(&value);
        }
        if let Some(pointer) = pointer {
            session.view.seek = pointer;
            let mut stack = Vec::new();
            let words = [STACK.to_string()];
            let told = invoke(session, "pxr", &words, &mut out.redirect(&mut stack, Style::default()));
            if let (Ok(()), Some(stack)) = (told, value(&stack)) {
                text.extend_from_slice(b",\"stack\":");
                text.extend_from_slice(stack);
            }
        }
    }
    text.push(b'}');
    out.write_all(&text)
}

/// What the process is to do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    action: String,
    address: Option<String>,
    count: Option<u64>,
}

/// `POST /api/v1/control`: answers as `/run` does, when the process has stopped again.
pub async fn control(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    headers: HeaderMap,
    control: std::result::Result<Json<Control>, JsonRejection>,
) -> Response {
    let Control { action, address, count } = match control {
        Ok(Json(control)) => control,
        Err(rejection) => return rejection.into_response(),
    };
    let number = count.map(|count| count.to_string());
    let (name, words): (&'static str, Vec<String>) = match (action.as_str(), address, number) {
        ("step", None, number) => ("ds", number.into_iter().collect()),
        ("over", None, number) => ("dso", number.into_iter().collect()),
        ("back", None, number) => ("dsb", number.into_iter().collect()),
        ("out", None, None) => ("dsf", Vec::new()),
        ("continue", None, None) => ("dc", Vec::new()),
        ("until", Some(address), None) => ("dcu", vec![address]),
        ("thread", None, Some(number)) => ("dpt=", vec![number]),
        ("pause", None, None) => return pause(site, client).await,
        (action, ..) if ACTIONS.contains(&action) => {
            let what = "'until' takes an address, 'thread' a count, 'step', 'over' and 'back' may take one";
            return Error::new(Kind::Usage, what).into_response();
        }
        _ => return Error::new(Kind::Usage, format!("'action' is one of {}", ACTIONS.join(", "))).into_response(),
    };
    perform(&site, &client, name, words, None, &headers).await
}

/// Stops the process, whoever let it run.
async fn pause(site: Arc<Site>, client: Arc<Client>) -> Response {
    let stopping = tokio::task::spawn_blocking(move || {
        let begun = std::time::Instant::now();
        client.gate.permissions().require(Permissions::DEBUG, "pause")?;
        let mut session = client.beside(&site);
        // It is asked without the lock: whoever let the process run sees it stop.
        let handle = session.with(|core, view| Ok::<_, Error>(debugged(core, view)?.target.handle()));
        let outcome = handle.and_then(|handle| handle.interrupt());
        client.gate.ran("pause", 0, outcome.as_ref().err(), begun)?;
        outcome
    });
    match stopping.await {
        Ok(Ok(())) => Json(serde_json::json!({ "ok": true })).into_response(),
        Ok(Err(error)) => error.into_response(),
        Err(_) => Error::new(Kind::System, "the request ended with an internal error").into_response(),
    }
}

/// A breakpoint to change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    address: String,
    action: String,
    condition: Option<String>,
}

/// `POST /api/v1/breakpoints`.
pub async fn breakpoint(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    headers: HeaderMap,
    mark: std::result::Result<Json<Mark>, JsonRejection>,
) -> Response {
    let Mark { address, action, condition } = match mark {
        Ok(Json(mark)) => mark,
        Err(rejection) => return rejection.into_response(),
    };
    let name = match action.as_str() {
        "set" => "db",
        "remove" => "db-",
        "enable" => "dbe",
        "disable" => "dbd",
        "hardware" => "dbH",
        "watch" => "dbw",
        _ => return Error::new(Kind::Usage, format!("'action' is one of {}", MARKS.join(", "))).into_response(),
    };
    perform(&site, &client, name, vec![address], condition, &headers).await
}

/// A register to change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    name: String,
    value: String,
}

/// `POST /api/v1/registers`.
pub async fn register(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    headers: HeaderMap,
    change: std::result::Result<Json<Change>, JsonRejection>,
) -> Response {
    let Change { name, value } = match change {
        Ok(Json(change)) => change,
        Err(rejection) => return rejection.into_response(),
    };
    let line = format!("dr {name}={value}");
    let job = Job {
        work: Some(Box::new(move |session, _| {
            session.view.permissions.require(Permissions::DEBUG, "dr")?;
            session.with(|core, view| {
                let value = number::evaluate(&value, &mut Scope { core, view })?;
                debugged(core, view)?.set_register(&name, value)
            })
        })),
        ..Job::line(line)
    };
    finished(&site, &client, job, &headers).await
}

/// Runs the command `name` in the client's own session, so that its place follows the process.
async fn perform(
    site: &Arc<Site>,
    client: &Arc<Client>,
    name: &'static str,
    words: Vec<String>,
    condition: Option<String>,
    headers: &HeaderMap,
) -> Response {
    let line = format!("{name} {}", words.join(" "));
    let work = move |session: &mut Session, out: &mut Out<'_>| {
        // An address is an expression, not a list of them: 'db-' takes it as it is.
        let address = match (name, words.first()) {
            ("db-" | "dbe" | "dbd" | "db" | "dbH" | "dbw" | "dcu", Some(text)) => {
                Some(session.with(|core, view| number::evaluate(text, &mut Scope { core, view }))?)
            }
            _ => None,
        };
        let words = address.map_or(words, |address| vec![format!("0x{address:x}")]);
        invoke(session, name, &words, out)?;
        let Some(condition) = condition else { return Ok(()) };
        let seek = session.view.seek;
        let outcome = go(session, words.first().map_or("", String::as_str))
            .and_then(|()| invoke(session, "dbx", &[condition], out));
        session.view.seek = seek;
        outcome
    };
    finished(site, client, Job { work: Some(Box::new(work)), ..Job::line(line.trim_end()) }, headers).await
}

/// Does `job` and answers with its report.
async fn finished(site: &Arc<Site>, client: &Arc<Client>, job: Job, headers: &HeaderMap) -> Response {
    match collect(site, client, job).await {
        Ok((output, report)) => {
            let answer = ran(&output, &report);
            match report.into_error() {
                None => reply::bytes_as(headers, JSON, answer),
                Some(error) => error.into_response(),
            }
        }
        Err(error) => error.into_response(),
    }
}
