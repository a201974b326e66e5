//! The page: modules and styles that are part of the program, or the user's own beneath `http.root`.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use sha2::{Digest, Sha256};

use super::reply::{compressed, takes_gzip};
use super::{Site, api, files};

/// A file of the page.
struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! script {
    ($name:literal) => {
        Asset { path: concat!("/page/", $name), kind: SCRIPT, text: include_str!(concat!("page/", $name)) }
    };
}

const ASSETS: &[Asset] = &[
    Asset { path: "/", kind: "text/html; charset=utf-8", text: include_str!("page/index.html") },
    Asset { path: "/page/style.css", kind: "text/css; charset=utf-8", text: include_str!("page/style.css") },
    Asset { path: "/favicon.ico", kind: "image/svg+xml", text: include_str!("page/icon.svg") },
    script!("main.js"),
    script!("api.js"),
    script!("dom.js"),
    script!("memory.js"),
    script!("hexdump.js"),
    script!("code.js"),
    script!("graph.js"),
    script!("references.js"),
    script!("session.js"),
    script!("lists.js"),
    script!("search.js"),
    script!("map.js"),
    script!("console.js"),
    script!("process.js"),
    script!("inspect.js"),
    script!("keys.js"),
    script!("copy.js"),
];

/// An asset as it is sent.
struct Packed {
    smaller: Vec<u8>,
    tag: String,
}

fn packed(index: usize) -> Option<&'static Packed> {
    static PACKED: OnceLock<Vec<Packed>> = OnceLock::new();
    let all = PACKED.get_or_init(|| {
        let pack = |asset: &Asset| Packed {
            smaller: compressed(asset.text.as_bytes(), Compression::best()),
            tag: format!("\"{}\"", faster_hex::hex_string(&Sha256::digest(asset.text)[..8])),
        };
        ASSETS.iter().map(pack).collect()
    });
    all.get(index)
}

/// Whatever has no route of its own.
pub async fn page(State(site): State<Arc<Site>>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if !matches!(method, Method::GET | Method::HEAD) {
        return api::nothing_here();
    }
    if let Some(root) = site.settings.pages.clone() {
        let path = uri.path().trim_start_matches('/').to_string();
        let name = match path.as_str() {
            "" => site.settings.index.clone(),
            folder if folder.ends_with('/') => format!("{folder}{}", site.settings.index),
            _ => path,
        };
        let kind = kind_of(&name);
        return match tokio::task::spawn_blocking(move || files::read(&root, &name)).await {
            Ok(Ok(bytes)) => {
                let mut response = bytes.into_response();
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
                response
            }
            _ => api::nothing_here(),
        };
    }
    let found = ASSETS.iter().position(|asset| asset.path == uri.path());
    let Some((asset, packed)) = found.and_then(|index| Some((ASSETS.get(index)?, packed(index)?))) else {
        return api::nothing_here();
    };
    let mut response = if headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == packed.tag.as_bytes())
    {
        StatusCode::NOT_MODIFIED.into_response()
    } else if takes_gzip(&headers) {
        let mut response = packed.smaller.clone().into_response();
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        asset.text.into_response()
    };
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Ok(tag) = HeaderValue::from_str(&packed.tag) {
        answer.insert(header::ETAG, tag);
    }
    response
}

/// The type of a file, by its name.
fn kind_of(name: &str) -> &'static str {
    match Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" | "htm" => "text/html; charset=utf-8",
        "js" | "mjs" => SCRIPT,
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "woff2" => "font/woff2",
        "txt" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_small() {
        let total: usize = (0..ASSETS.len()).map(|index| packed(index).unwrap().smaller.len()).sum();
        assert!(total < 300_000, "{total} bytes");
        for asset in ASSETS.iter().filter(|asset| asset.kind == SCRIPT) {
            for (_, rest) in
                asset.text.match_indices(" from \"./").map(|(at, found)| asset.text.split_at(at + found.len()))
            {
                let name = rest.split('"').next().unwrap();
                assert!(ASSETS.iter().any(|other| other.path == format!("/page/{name}")), "{}: {name}", asset.path);
            }
            for risky in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
                assert!(!asset.text.contains(risky), "{}: strings of targets are text: {risky}", asset.path);
            }
        }
    }
}
