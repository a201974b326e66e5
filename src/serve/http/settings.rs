//! What the options `http.*` say when the server starts.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::io::Root;
use crate::session::{Session, Value, config};

/// Bytes of a request's body, unless `http.maxsize` says otherwise.
const BODY: usize = 16 << 20;

/// The options, read once.
pub struct Settings {
    /// Where to listen when nothing is said: `host:port`.
    pub place: String,
    /// How long a client may take for the head of a request, or for the next bytes of anything.
    pub patience: Duration,
    /// Bytes of a body.
    pub body: usize,
    /// The only addresses that may connect; empty: all.
    pub allow: Vec<IpAddr>,
    /// Further names by which the server may be addressed.
    pub hosts: Vec<String>,
    /// Pages elsewhere that may use the API: `https://tool.example`.
    pub origins: Vec<String>,
    /// Programs of this machine may read without a token.
    pub anonymous: bool,
    /// Requests are reported where the server was started.
    pub log: bool,
    /// Pages of the user's own, in place of the built-in one.
    pub pages: Option<Arc<Root>>,
    /// The page for `/`.
    pub index: String,
    /// Where uploads go; `None`: there are none.
    pub uploads: Option<Arc<Root>>,
    /// Uploads can be fetched.
    pub fetch: bool,
}

impl Settings {
    /// The options as they hold for `session`.
    ///
    /// # Errors
    /// [`Kind::Usage`] for an address that is none, and whatever is wrong with directories.
    pub fn of(session: &Session) -> Result<Settings> {
        let core = session.core();
        let value = |name| config::lookup(&session.view.overrides, &core.config, name);
        let text = |name| value(name).to_string();
        let switch = |name| value(name) == Value::Bool(true);
        let number = |name| match value(name) {
            Value::Number(number) | Value::Address(number) => number,
            _ => 0,
        };
        let list = |name| -> Vec<String> {
            text(name).split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_string).collect()
        };
        let allow = list("http.allow").iter().map(|word| address(word)).collect::<Result<_>>()?;
        let directory = |name| match text(name) {
            path if path.is_empty() => Ok(None),
            path => Root::open(Path::new(&path)).map(|root| Some(Arc::new(root))).map_err(|error| error.context(name)),
        };
        let uploads = if switch("http.upload") || switch("http.upget") { directory("http.uproot")? } else { None };
        if uploads.is_none() && (switch("http.upload") || switch("http.upget")) {
            return Err(Error::new(Kind::Usage, "http.uproot names no directory for uploads")
                .hint("e http.uproot=/path/of/a/directory"));
        }
        let host = match text("http.bind").as_str() {
            "" | "localhost" | "local" => "127.0.0.1".to_string(),
            "public" => "0.0.0.0".to_string(),
            host => host.to_string(),
        };
        Ok(Settings {
            place: format!("{host}:{}", number("http.port")),
            patience: Duration::from_secs(number("http.timeout").clamp(1, 3600)),
            body: usize::try_from(number("http.maxsize")).ok().filter(|size| *size > 0).unwrap_or(BODY),
            allow,
            hosts: list("http.hosts"),
            origins: list("http.origins"),
            anonymous: switch("http.anonymous"),
            log: switch("http.log"),
            pages: directory("http.root")?,
            index: text("http.index"),
            uploads,
            fetch: switch("http.upget"),
        })
    }
}

fn address(word: &str) -> Result<IpAddr> {
    word.parse().map_err(|_| {
        Error::new(Kind::Usage, format!("http.allow: '{word}' is no address")).hint("as in 127.0.0.1,192.168.1.7")
    })
}
