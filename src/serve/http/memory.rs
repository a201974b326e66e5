//! Memory as bytes: ranges of the session's address space, read beside whatever the client runs.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;

use super::Site;
use super::api::Caller;
use super::clients::Client;
use super::lists::{go, invoke};
use super::reply;
use super::run::{Job, collect};
use crate::error::{Error, Kind, Result};
use crate::number;
use crate::output::Out;
use crate::session::scope::Scope;
use crate::session::{Permissions, Session};

/// Bytes of one answer.
const MOST: u64 = 64 << 20;

/// Which bytes.
#[derive(Deserialize)]
pub struct Range {
    /// An expression.
    address: String,
    /// An expression; 256 when it is missing.
    length: Option<String>,
}

/// `GET /api/v1/memory`.
pub async fn read(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    headers: HeaderMap,
    Query(range): Query<Range>,
) -> Response {
    let reading = {
        let site = Arc::clone(&site);
        tokio::task::spawn_blocking(move || bytes(&site, &client, &range)).await
    };
    match reading {
        Ok(Ok((address, bytes, valid))) => {
            let mut response = reply::bytes_as(&headers, "application/octet-stream", bytes);
            for (name, value) in [("remora-address", format!("0x{address:x}")), ("remora-valid", valid.to_string())] {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    response.headers_mut().insert(name, value);
                }
            }
            let name = HeaderValue::from_static("attachment; filename=\"memory.bin\"");
            response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
            response
        }
        Ok(Err(error)) => error.into_response(),
        Err(_) => Error::new(Kind::System, "the request ended with an internal error").into_response(),
    }
}

/// The address, the bytes, and how many of them are there; the others have the value of what is not mapped.
fn bytes(site: &Site, client: &Client, range: &Range) -> Result<(u64, Vec<u8>, usize)> {
    let mut session = client.beside(site);
    session.view.permissions.require(Permissions::READ, "memory")?;
    session.with(|core, view| {
        let mut scope = Scope { core, view };
        let address = number::evaluate(&range.address, &mut scope)?;
        let length = range.length.as_deref().map_or(Ok(0x100), |text| number::evaluate(text, &mut scope))?;
        if length > MOST {
            return Err(Error::new(Kind::Limit, format!("at most {MOST} bytes at once")));
        }
        let length = usize::try_from(length).map_err(|_| Error::new(Kind::Limit, "a length beyond this machine"))?;
        let mut buffer = vec![0; length];
        let valid = scope.read(address, &mut buffer)?;
        client.gate.count_read(length as u64);
        Ok((address, buffer, valid))
    })
}

/// What to write.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    address: String,
    hex: String,
}

/// `POST /api/v1/memory`: as `wx` does it, with what that needs.
pub async fn write(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    headers: HeaderMap,
    Json(patch): Json<Patch>,
) -> Response {
    let digits: String = patch.hex.chars().filter(|c| !c.is_whitespace()).collect();
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Error::new(Kind::Usage, "'hex' must be pairs of hexadecimal digits").into_response();
    }
    let count = digits.len() as u64 / 2;
    let job = Job::line(format!("wx {digits} @ {}", patch.address)).aside();
    let work = move |session: &mut Session, out: &mut Out<'_>| {
        go(session, &patch.address)?;
        invoke(session, "wx", &[digits], out)
    };
    match collect(&site, &client, Job { work: Some(Box::new(work)), ..job }).await {
        Ok((_, report)) => {
            let microseconds = report.microseconds;
            match report.into_error() {
                None => {
                    client.gate.count_written(count);
                    reply::json(&headers, &serde_json::json!({ "written": count, "microseconds": microseconds }))
                }
                Some(error) => error.into_response(),
            }
        }
        Err(error) => error.into_response(),
    }
}
