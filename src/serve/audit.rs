//! The audit log: one JSON line for each thing a client asked for, appended and never rewritten, without secrets.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use serde::Serialize;

use crate::error::{Error, Kind, Result};
use crate::link::private;

/// Where requests are recorded; without a file nothing is.
#[derive(Default)]
pub struct Audit(Option<Mutex<File>>);

/// Who asks: fixed when the connection has been let in.
#[derive(Debug, Clone, Serialize)]
pub struct Who {
    /// The label of the token, the certificate, the user of a Unix socket, or `anonymous`.
    pub who: String,
    /// The peer's address.
    pub from: String,
    /// The service that was asked: `rap`, `tcp`.
    pub service: &'static str,
}

/// What happened: one line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// A client came.
    Connect,
    /// Its token was accepted.
    Enter,
    /// It was turned away; `result` says why.
    Refused,
    /// It opened `what`.
    Open,
    /// It ran `what`.
    Command,
    /// It left. READ and WRITE packets are counted here, in `read` and `written`, not one by one.
    Disconnect,
}

#[derive(Serialize)]
struct Entry<'a> {
    time: String,
    #[serde(flatten)]
    who: &'a Who,
    event: Event,
    #[serde(skip_serializing_if = "str::is_empty")]
    what: &'a str,
    #[serde(flatten)]
    moved: Moved,
    result: &'a str,
    microseconds: u64,
}

/// Payload in bytes, as far as it counts for an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Bytes that went to the client: data it read, or the answer to its command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<u64>,
    /// Bytes that it wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
}

impl Audit {
    /// Appends to the file at `path`, which is made for its owner alone.
    pub fn to(path: &Path) -> Result<Audit> {
        Ok(Audit(Some(Mutex::new(private::open_append(path)?))))
    }

    /// Records what `who` did since `begun`, what moved, and how it ended. A log that cannot be written is an error:
    /// a server that must account for itself does not go on in silence.
    pub fn record(
        &self,
        who: &Who,
        event: Event,
        what: &str,
        moved: Moved,
        result: std::result::Result<(), &Error>,
        begun: Instant,
    ) -> Result<()> {
        let Some(file) = &self.0 else { return Ok(()) };
        let result = match result {
            Ok(()) => "ok".to_string(),
            Err(error) => error.to_string(),
        };
        let what = without_secrets(what);
        let entry = Entry {
            time: jiff::Timestamp::now().to_string(),
            who,
            event,
            what: shortened(&what),
            moved,
            result: shortened(&result),
            microseconds: begun.elapsed().as_micros() as u64,
        };
        let mut line = serde_json::to_vec(&entry)
            .map_err(|error| Error::new(Kind::System, format!("cannot write the audit log: {error}")))?;
        line.push(b'\n');
        // One write per line, so that lines of several threads and processes never mix.
        let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(&line).map_err(|e| Error::system("cannot write the audit log", &e))
    }
}

/// A token that somebody types into the wrong place must not stay in the log.
fn without_secrets(what: &str) -> Cow<'_, str> {
    if !what.contains("token=") {
        return Cow::Borrowed(what);
    }
    let mut parts = what.split("token=");
    let mut shown = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(part.len());
        shown.push_str("token=...");
        shown.push_str(&part[end..]);
    }
    Cow::Owned(shown)
}

/// A client decides how long its commands are, not how fast our disk fills.
fn shortened(what: &str) -> &str {
    let mut end = what.len().min(1024);
    while !what.is_char_boundary(end) {
        end -= 1;
    }
    &what[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_appended_and_bounded() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("audit.jsonl");
        let who = Who { who: "alice".into(), from: "127.0.0.1:9".into(), service: "rap" };
        for text in ["px 16", &"ä".repeat(4000)] {
            let audit = Audit::to(&path).unwrap();
            let moved = Moved { read: Some(16), written: None };
            audit.record(&who, Event::Command, text, moved, Ok(()), Instant::now()).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0]["who"].as_str(), lines[0]["what"].as_str()), (Some("alice"), Some("px 16")));
        assert_eq!((lines[0]["event"].as_str(), lines[0]["read"].as_u64()), (Some("command"), Some(16)));
        assert!(lines[1]["what"].as_str().unwrap().len() <= 1024);
    }
}
