//! The audit log: one JSON line for each thing a client asked for, appended and never rewritten, without secrets.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::link::private;

/// Where requests are recorded; without a file nothing is.
#[derive(Default)]
pub struct Audit(Option<Mutex<File>>);

/// Who asks: fixed when the connection has been let in.
#[derive(Debug, Clone, Serialize)]
pub struct Who {
    /// The label of the token, the user of a Unix socket, or `anonymous`.
    pub who: String,
    /// The peer's address.
    pub from: String,
    /// The service that was asked: `rap`, `tcp`.
    pub service: &'static str,
}

#[derive(Serialize)]
struct Entry<'a> {
    time: String,
    #[serde(flatten)]
    who: &'a Who,
    what: &'a str,
    bytes: u64,
    result: &'a str,
    microseconds: u64,
}

/// A request under way; its duration counts from here.
pub struct Started(Instant);

impl Audit {
    /// Appends to the file at `path`, which is made for its owner alone.
    pub fn to(path: &Path) -> Result<Audit> {
        Ok(Audit(Some(Mutex::new(private::open_append(path)?))))
    }

    /// Notes the time at which a request began.
    pub fn start(&self) -> Started {
        Started(Instant::now())
    }

    /// Records that `who` asked for `what`, that `bytes` of payload moved, and how it ended. A log that cannot be
    /// written is an error: a server that must account for itself does not go on in silence.
    pub fn record(&self, who: &Who, what: &str, bytes: u64, result: &Result<()>, started: &Started) -> Result<()> {
        let Some(file) = &self.0 else { return Ok(()) };
        let result = match result {
            Ok(()) => "ok".to_string(),
            Err(error) => error.to_string(),
        };
        let duration: Duration = started.0.elapsed();
        let entry = Entry {
            time: jiff::Timestamp::now().to_string(),
            who,
            what: shortened(what),
            bytes,
            result: &result,
            microseconds: duration.as_micros() as u64,
        };
        let mut line = serde_json::to_vec(&entry).unwrap_or_default();
        line.push(b'\n');
        // One write per line, so that lines of several threads and processes never mix.
        let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(&line).map_err(|e| Error::system("cannot write the audit log", &e))
    }
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
            let started = audit.start();
            audit.record(&who, text, 16, &Ok(()), &started).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0]["who"].as_str(), lines[0]["what"].as_str()), (Some("alice"), Some("px 16")));
        assert!(lines[1]["what"].as_str().unwrap().len() <= 1024);
    }
}
