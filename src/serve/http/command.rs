//! `/cmd/COMMAND`: what the pipes and the `=+ http://` of the whole family ask for, with the command in the path of a
//! GET or in the body of a POST.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};

use super::clients::Client;
use super::connection::Peer;
use super::run::{Job, Report, collect};
use super::{Site, sign_in};
use crate::error::{Error, Kind, Result};
use crate::output::visible;
use crate::session::Permissions;

/// Bytes of the errors in a header.
const SHOWN: usize = 500;

/// The route. No cookie counts here: it is for programs, and a page elsewhere cannot make them ask.
pub async fn command(
    State(site): State<Arc<Site>>,
    Extension(peer): Extension<Peer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let client = match client(&site, &headers, peer.address) {
        Ok(client) => client,
        Err(error) => return sign_in::denied(&headers, &error),
    };
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    let line = match method {
        Method::POST => String::from_utf8_lossy(&body).into_owned(),
        _ => decoded(target.strip_prefix("/cmd").unwrap_or_default().trim_start_matches('/')),
    };
    // `:px` runs without an answer.
    let (line, silent) = match line.strip_prefix(':') {
        Some(line) if method == Method::GET => (line.to_string(), true),
        _ => (line, false),
    };
    // The trailing `|` of web pages asks for plain text, which this is.
    let line = line.trim_end().trim_end_matches('|').to_string();
    // What can be had by following a link runs no programs, whoever asks.
    let ceiling = if method == Method::GET { Permissions::ALL.without(Permissions::EXEC) } else { Permissions::ALL };
    match collect(&site, &client, Job { ceiling, ..Job::line(line) }).await {
        Ok((output, report)) => answer(if silent { Vec::new() } else { output }, &report),
        Err(error) => error.into_response(),
    }
}

fn client(site: &Site, headers: &HeaderMap, address: SocketAddr) -> Result<Arc<Client>> {
    let found = sign_in::by_token(site, headers, address).or_else(|| sign_in::neighbour(site, headers, address));
    found.unwrap_or_else(|| Err(Error::new(Kind::Permission, "a token is needed")))
}

/// Errors are lines of the output, for people, and a header, for programs.
fn answer(mut output: Vec<u8>, report: &Report) -> Response {
    for error in &report.errors {
        output.extend_from_slice(format!("Error: {}\n", visible(error)).as_bytes());
    }
    let mut response = output.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if !report.errors.is_empty() {
        let text: String = report.errors.join("; ").chars().filter(char::is_ascii).take(SHOWN).collect();
        if let Ok(value) = HeaderValue::from_str(&visible(&text)) {
            headers.insert("remora-error", value);
        }
    }
    response
}

/// The bytes that `%XX` stand for; what is no such code stays as it is, and a `+` is a plus.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let code = code.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_are_bytes_and_nothing_else_is() {
        assert_eq!(decoded("px%2010"), "px 10");
        assert_eq!(decoded("1+1"), "1+1");
        assert_eq!(decoded("%zz%4"), "%zz%4");
        assert_eq!(decoded("%+1"), "%+1");
        assert_eq!(decoded("%c3%a4"), "ä");
    }

    proptest! {
        #[test]
        fn any_text_is_decoded(text: String) {
            let coded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(decoded(&coded), text.clone());
            decoded(&text);
        }
    }
}
