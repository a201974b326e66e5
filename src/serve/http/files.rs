//! Uploads: files beneath one directory (`http.uproot`), for programs that show a token.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path as Named, State};
use axum::http::header;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};

use super::api::Raw;
use super::connection::Peer;
use super::{Site, sign_in};
use crate::error::{Error, Kind, Result};
use crate::io::Root;
use crate::io::beneath::{self, How};
use crate::session::Permissions;

/// Bytes of a file that can be fetched.
const MOST: u64 = 256 << 20;

/// `POST /up/NAME`: the body is the file.
pub async fn upload(
    State(site): State<Arc<Site>>,
    Extension(peer): Extension<Peer>,
    Named(name): Named<String>,
    headers: HeaderMap,
    body: Raw,
) -> Response {
    let Some(client) = sign_in::by_token(&site, &headers, peer.address) else {
        return sign_in::denied(&headers, &Error::new(Kind::Permission, "a token is needed"));
    };
    let client = match client {
        Ok(client) => client,
        Err(error) => return sign_in::denied(&headers, &error),
    };
    let outcome = tokio::task::spawn_blocking(move || -> Result<usize> {
        let begun = std::time::Instant::now();
        client.gate.permissions().require(Permissions::WRITE.and(Permissions::FILES), "upload")?;
        let outcome = directory(&site).and_then(|root| store(&root, &name, &body));
        client.gate.ran(&format!("upload {name}"), body.len() as u64, outcome.as_ref().err(), begun)?;
        outcome.map(|()| body.len())
    });
    match outcome.await {
        Ok(Ok(count)) => axum::Json(serde_json::json!({ "written": count })).into_response(),
        Ok(Err(error)) => error.into_response(),
        Err(_) => Error::new(Kind::System, "the request ended with an internal error").into_response(),
    }
}

/// `GET /up/NAME`.
pub async fn fetch(
    State(site): State<Arc<Site>>,
    Extension(peer): Extension<Peer>,
    Named(name): Named<String>,
    headers: HeaderMap,
) -> Response {
    let client = match sign_in::required(&site, &headers, peer.address) {
        Ok(client) => client,
        Err(error) => return sign_in::denied(&headers, &error),
    };
    let outcome = tokio::task::spawn_blocking(move || -> Result<Vec<u8>> {
        client.gate.permissions().require(Permissions::READ.and(Permissions::FILES), "fetch")?;
        if !site.settings.fetch {
            return Err(Error::new(Kind::Permission, "uploads cannot be fetched here").hint("e http.upget=true"));
        }
        directory(&site).and_then(|root| read(&root, &name))
    });
    match outcome.await {
        Ok(Ok(bytes)) => {
            let mut response = bytes.into_response();
            let kind = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
            response
        }
        Ok(Err(error)) => error.into_response(),
        Err(_) => Error::new(Kind::System, "the request ended with an internal error").into_response(),
    }
}

fn directory(site: &Site) -> Result<Arc<Root>> {
    site.settings.uploads.clone().ok_or_else(|| {
        Error::new(Kind::Permission, "there are no uploads here").hint("e http.upload=true; e http.uproot=DIRECTORY")
    })
}

fn store(root: &Root, name: &str, bytes: &[u8]) -> Result<()> {
    let failed =
        |error: std::io::Error| Error::system(format_args!("cannot write '{}'", crate::output::visible(name)), &error);
    let mut file = beneath::open(Some(root), Path::new(name), How::Replace).map_err(failed)?;
    file.write_all(bytes).map_err(failed)
}

/// The file called `name` beneath `root`.
pub fn read(root: &Root, name: &str) -> Result<Vec<u8>> {
    let path = Path::new(name);
    let shown = || crate::output::visible(name).into_owned();
    if !beneath::is_file(Some(root), path) {
        return Err(Error::new(Kind::NotFound, format!("no file is called '{}'", shown())));
    }
    let failed = |error: std::io::Error| Error::system(format_args!("cannot read '{}'", shown()), &error);
    let file = beneath::open(Some(root), path, How::Read).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST {
        return Err(Error::new(Kind::Limit, format!("'{}' has more than {MOST} bytes", shown())));
    }
    Ok(bytes)
}
