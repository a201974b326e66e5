//! What every request must pass: the name it calls the server by, the page it comes from, the size and pace of its
//! body. And what every answer carries: what a browser must not do with it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Uri, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::Site;
use super::connection::Peer;
use super::reply::refuse;

/// How long a body may take in all, for each of the server's patience.
const BODY_PACE: u32 = 10;

/// What a browser may do with our pages: nothing but show them, and ask this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; manifest-src 'self'; form-action 'none'; base-uri 'none'; \
                      frame-ancestors 'none'";

const HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

/// The guard around every route.
pub async fn guard(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let visitor = match visitor(&site, request.uri(), request.headers(), request.method()) {
        Ok(visitor) => visitor,
        Err(why) => return sealed(refuse(StatusCode::FORBIDDEN, "permission", &why), None),
    };
    if request.method() == Method::OPTIONS {
        return sealed(StatusCode::NO_CONTENT.into_response(), visitor);
    }
    // Where seats are rare nobody keeps one for what may come (in HTTP/2 a connection is shared as it is).
    let crowded = site.seats.available_permits() * 4 < site.options.clients && request.version() < Version::HTTP_2;
    let patience = site.settings.patience;
    let (head, body) = request.into_parts();
    let body = match timeout(patience * BODY_PACE, to_bytes(body, site.settings.body)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let limit = format!("the body is broken off, or of more than {} bytes (http.maxsize)", site.settings.body);
            return sealed(refuse(StatusCode::PAYLOAD_TOO_LARGE, "limit", &limit), visitor);
        }
        Err(_) => {
            return sealed(refuse(StatusCode::REQUEST_TIMEOUT, "timeout", "the body does not come"), visitor);
        }
    };
    let working = head.extensions.get::<Peer>().map(Peer::working);
    let request = Request::from_parts(head, Body::from(body));
    let mut response = sealed(next.run(request).await, visitor);
    // An answer that comes in pieces is at work until the last of them; one that is whole only has to be sent.
    if response.body().size_hint().exact().is_none() {
        response = response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _ = &working;
                frame
            }))
        });
    }
    if crowded && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Checks by which name the server is called and from which page. Returns the origin of a page elsewhere that may ask.
fn visitor(site: &Site, uri: &Uri, headers: &HeaderMap, method: &Method) -> Result<Option<HeaderValue>, String> {
    let host = uri.authority().map(|authority| authority.as_str().to_string());
    let host = match (host, one(headers, &header::HOST)?) {
        (Some(host), _) => host,
        (None, Some(host)) => host.to_string(),
        // Programs of old leave it away; whatever resolves names sends it.
        (None, None) => "localhost".to_string(),
    };
    if !may_be_called(site, &host) {
        return Err(format!(
            "this server is not called '{}': http.hosts lists its names",
            crate::output::visible(&host)
        ));
    }
    let scheme = if site.encrypted { "https" } else { "http" };
    match one(headers, &header::ORIGIN)? {
        Some(origin) if origin.eq_ignore_ascii_case(&format!("{scheme}://{host}")) => Ok(None),
        Some(origin) if site.settings.origins.iter().any(|allowed| allowed == origin) => {
            Ok(HeaderValue::from_str(origin).ok())
        }
        Some(_) => Err("pages of other sites may not ask: http.origins lists those that may".to_string()),
        // Browsers say where a request comes from. Links to our page may be anywhere, what it shows is asked for later.
        None => match one(headers, &HeaderName::from_static("sec-fetch-site"))? {
            None | Some("same-origin" | "none") => Ok(None),
            Some(_) if *method == Method::GET && uri.path() == "/" => Ok(None),
            Some(_) => Err("pages of other sites may not ask".to_string()),
        },
    }
}

/// The only value of a header.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, String> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(format!("the header {name} is not one word")),
    }
}

/// Whether `host` is a name of this server. A name that somebody else's server of names could make ours is none;
/// addresses cannot be made so.
fn may_be_called(site: &Site, host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let ours = ["localhost"].into_iter().chain(site.settings.hosts.iter().map(String::as_str));
    name.parse::<IpAddr>().is_ok()
        || name.ends_with(".localhost")
        || ours.into_iter().any(|own| own.eq_ignore_ascii_case(&name))
}

/// Adds what every answer carries.
fn sealed(mut response: Response, visitor: Option<HeaderValue>) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = visitor {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let allowed = "authorization, content-type, remora-session";
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers
            .insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
    }
    response
}
