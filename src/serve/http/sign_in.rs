//! Who asks: tokens in the `Authorization` header, cookies of browsers that signed in, codes that sign in once.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Site;
use super::clients::{Client, Key};
use super::reply::{self, refuse};
use crate::error::{Error, Kind, Result};
use crate::link::Token;
use crate::session::Permissions;

/// Codes that were printed and not used.
const CODES: usize = 16;

/// A name for one of several sessions of the same client.
const SESSION: &str = "remora-session";

/// Codes that sign a browser in, each once.
#[derive(Default)]
pub struct Codes(Mutex<VecDeque<[u8; 32]>>);

impl Codes {
    /// A new code: 128 bits. Of many that nobody uses the oldest is forgotten.
    pub fn issue(&self) -> Result<String> {
        let code = secret()?;
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if codes.len() >= CODES {
            codes.pop_front();
        }
        codes.push_back(hash(&code));
        Ok(code)
    }

    /// Whether `code` is one; it is none any more then.
    fn redeem(&self, code: &str) -> bool {
        let presented = hash(code);
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = codes.len();
        codes.retain(|known| !bool::from(known.ct_eq(&presented)));
        codes.len() < before
    }
}

/// 128 random bits in hexadecimal digits.
fn secret() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| Error::new(Kind::System, format!("no random numbers: {e}")))?;
    Ok(faster_hex::hex_string(&bytes))
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// The name of the cookie: browsers share cookies between the ports of a host.
fn cookie_name(site: &Site) -> String {
    format!("remora-{}", site.address.port())
}

/// The token in the `Authorization` header: as a bearer, or as the password of a login.
fn presented(headers: &HeaderMap) -> Option<Result<Token>> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = text.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Token::parse(rest));
    }
    let wrong = || Error::new(Kind::Format, "the login is not readable");
    if !scheme.eq_ignore_ascii_case("basic") {
        return Some(Err(wrong()));
    }
    let login = STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let password = login.as_deref().and_then(|login| login.split_once(':')).map(|(_, password)| password);
    Some(password.ok_or_else(wrong).and_then(Token::parse))
}

/// The client that a token in the header shows; `None`: there is no such header.
pub fn by_token(site: &Site, headers: &HeaderMap, address: SocketAddr) -> Option<Result<Arc<Client>>> {
    Some(presented(headers)?.and_then(|token| with_token(site, &token, headers, address)))
}

fn session_name(headers: &HeaderMap) -> String {
    let name = headers.get(SESSION).and_then(|name| name.to_str().ok()).unwrap_or_default();
    name.chars().take(64).collect()
}

fn with_token(site: &Site, token: &Token, headers: &HeaderMap, address: SocketAddr) -> Result<Arc<Client>> {
    let known: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let key = Key::Token(known, address.ip(), session_name(headers));
    if let Some(client) = site.clients.find(&key) {
        return Ok(client);
    }
    site.clients.admit(site, key, address.to_string(), |gate| gate.enter(&token.word()))
}

/// The browser that a cookie shows.
pub fn by_cookie(site: &Site, headers: &HeaderMap) -> Option<Arc<Client>> {
    let name = cookie_name(site);
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = values.find(|(found, _)| *found == name)?;
    site.clients.find(&Key::Cookie(hash(value)))
}

/// A program of this machine that shows nothing, where such may read.
pub fn neighbour(site: &Site, headers: &HeaderMap, address: SocketAddr) -> Option<Result<Arc<Client>>> {
    let permissions = site.open_to_neighbours().filter(|_| address.ip().to_canonical().is_loopback())?;
    let key = Key::Neighbour(session_name(headers));
    if let Some(client) = site.clients.find(&key) {
        return Some(Ok(client));
    }
    Some(site.clients.admit(site, key, address.to_string(), |gate| {
        gate.let_in(permissions);
        Ok(())
    }))
}

/// Who may use the API: whoever shows a token or has signed in.
pub fn required(site: &Site, headers: &HeaderMap, address: SocketAddr) -> Result<Arc<Client>> {
    by_token(site, headers, address).unwrap_or_else(|| {
        by_cookie(site, headers).ok_or_else(|| Error::new(Kind::Permission, "a token is needed, or to be signed in"))
    })
}

/// The answer to whoever shows too little. Programs are asked for a login; browsers are not, because they would send it
/// along with what other pages make them ask.
pub fn denied(headers: &HeaderMap, error: &Error) -> Response {
    let mut response = refuse(StatusCode::UNAUTHORIZED, &reply::kind_name(error.kind()), &error.to_string());
    if !headers.contains_key("sec-fetch-mode") && !headers.contains_key(header::ORIGIN) {
        let login = HeaderValue::from_static("Basic realm=\"remora: any name, and the token as password\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, login);
    }
    response
}

/// What a browser shows to sign in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pass {
    code: Option<String>,
    token: Option<String>,
}

/// Signs a browser in: the client, and the cookie, which scripts cannot read and other sites cannot send.
///
/// # Errors
/// [`Kind::Usage`] when neither or both are there; else it shows too little.
pub fn sign_in(site: &Site, pass: &Pass, address: SocketAddr) -> Result<(Arc<Client>, HeaderValue)> {
    let cookie = secret()?;
    let key = Key::Cookie(hash(&cookie));
    let client = site.clients.admit(site, key, address.to_string(), |gate| match pass {
        Pass { code: Some(code), token: None } if site.codes.redeem(code) => {
            gate.call("browser");
            gate.let_in(Permissions::ALL);
            Ok(())
        }
        Pass { code: None, token: Some(token) } => gate.enter(&Token::parse(token)?.word()),
        Pass { code: Some(_), token: None } => {
            Err(Error::new(Kind::Permission, "this code was used already, or is none: the token signs in, too"))
        }
        _ => Err(Error::new(Kind::Usage, "one of 'code' and 'token' is needed")),
    })?;
    let secure = if site.encrypted { "; Secure" } else { "" };
    let text = format!("{}={cookie}; Path=/; HttpOnly; SameSite=Strict{secure}", cookie_name(site));
    let value = HeaderValue::from_str(&text).map_err(|_| Error::new(Kind::System, "the cookie is no header"))?;
    Ok((client, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_signs_in_once() {
        let codes = Codes::default();
        let code = codes.issue().unwrap();
        assert!(!codes.redeem("") && !codes.redeem(&code[1..]));
        assert!(codes.redeem(&code));
        assert!(!codes.redeem(&code));
    }

    #[test]
    fn tokens_come_as_bearer_or_password() {
        let token = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            presented(&headers)
        };
        let digits = "00112233445566778899aabbccddeeff";
        assert!(token(&format!("Bearer {digits}")).unwrap().is_ok());
        assert!(token(&format!("Basic {}", STANDARD.encode(format!("me:{digits}")))).unwrap().is_ok());
        for wrong in ["Bearer x", "Basic ???", "Basic bWU=", "Digest a=b"] {
            assert!(token(wrong).unwrap().is_err(), "{wrong}");
        }
        assert!(presented(&HeaderMap::new()).is_none());
    }
}
