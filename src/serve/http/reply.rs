//! Answers: JSON, errors with their statuses, compression.

use std::io::Write;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use crate::error::{Error, Kind};

/// Bytes that are worth compressing: about what one packet takes.
const SMALL: usize = 1400;

/// How errors are told.
#[derive(Serialize)]
pub struct Trouble<'a> {
    error: Told<'a>,
}

/// An error in JSON.
#[derive(Serialize)]
pub struct Told<'a> {
    /// Its kind, in small letters.
    pub kind: &'a str,
    /// What, where, and what next.
    pub message: &'a str,
}

/// An error as an answer.
pub fn refuse(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = serde_json::to_vec(&Trouble { error: Told { kind, message } }).unwrap_or_default();
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The name of a kind of error, as JSON has it.
pub fn kind_name(kind: Kind) -> String {
    let mut name = String::new();
    for c in format!("{kind:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// The HTTP status of an error.
pub fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Syntax | Kind::Usage | Kind::Expression | Kind::Format => StatusCode::BAD_REQUEST,
        Kind::UnknownCommand | Kind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Kind::NotFound | Kind::UnknownScheme => StatusCode::NOT_FOUND,
        Kind::Permission => StatusCode::FORBIDDEN,
        Kind::Credentials => StatusCode::UNAUTHORIZED,
        Kind::Limit => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Kind::Unreachable | Kind::Protocol | Kind::Closed | Kind::Untrusted => StatusCode::BAD_GATEWAY,
        Kind::Interrupted => StatusCode::CONFLICT,
        Kind::System => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        refuse(status(self.kind()), &kind_name(self.kind()), &self.to_string())
    }
}

/// A value as JSON.
pub fn json(headers: &HeaderMap, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes_as(headers, "application/json", bytes),
        Err(error) => Error::new(Kind::System, format!("cannot write JSON: {error}")).into_response(),
    }
}

/// `bytes` of a type, compressed when the client takes that and it is worth it.
pub fn bytes_as(headers: &HeaderMap, kind: &'static str, bytes: Vec<u8>) -> Response {
    let worth = bytes.len() > SMALL && takes_gzip(headers);
    let mut response = match worth.then(|| compressed(&bytes, Compression::fast())) {
        Some(smaller) => {
            let mut response = Body::from(smaller).into_response();
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response
        }
        None => Body::from(bytes).into_response(),
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// Whether the client takes compressed answers.
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).is_some_and(|text| {
        text.split(',')
            .any(|word| word.trim() == "gzip" || word.trim().starts_with("gzip;q=0.") || word.trim() == "gzip;q=1")
    })
}

/// `bytes` as gzip.
pub fn compressed(bytes: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    // A vector takes everything.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_names_and_statuses() {
        assert_eq!(kind_name(Kind::UnknownCommand), "unknown-command");
        assert_eq!(kind_name(Kind::Usage), "usage");
        assert_eq!(status(Kind::Permission), StatusCode::FORBIDDEN);
    }
}
