//! Answers that come as they are found: lines of JSON, the last of which is the report.

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http_body::Frame;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use super::Site;
use super::api::Caller;
use super::clients::Client;
use super::reply;
use super::routes::HITS;
use super::run::{Job, Report, Sent, Sink, run};
use crate::commands;
use crate::error::{Error, Kind, Result};
use crate::output::{Cancel, Mode};
use crate::session::context::Args;
use crate::session::{Session, options};

/// A line to run.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    command: String,
}

/// `POST /api/v1/stream`: a command's output as it comes.
pub async fn line(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    Json(line): Json<Line>,
) -> Response {
    respond(site, client, Job::line(line.command), |sent| Text { sent, rest: Vec::new() })
}

/// What to search, and where.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    pattern: String,
    #[serde(default)]
    kind: SearchKind,
    from: Option<String>,
    to: Option<String>,
    limit: Option<u64>,
}

/// How the pattern is read.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub enum SearchKind {
    /// As text.
    #[default]
    Text,
    /// As text, in either case.
    TextAnyCase,
    /// As UTF-16.
    WideText,
    /// As hexadecimal digits, with an optional mask.
    Hex,
    /// As a regular expression.
    Expression,
    /// As a number of the size of a word.
    Number,
}

impl SearchKind {
    /// The name of the command.
    fn command(self) -> &'static str {
        match self {
            SearchKind::Text => "/",
            SearchKind::TextAnyCase => "/i",
            SearchKind::WideText => "/w",
            SearchKind::Hex => "/x",
            SearchKind::Expression => "/e",
            SearchKind::Number => "/v",
        }
    }
}

/// `POST /api/v1/search`: hits as they are found. It runs beside the client's commands.
pub async fn search(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    Json(search): Json<Search>,
) -> Response {
    if search.pattern.is_empty() {
        return Error::new(Kind::Usage, "the pattern is empty").into_response();
    }
    if search.limit.is_some_and(|limit| !(1..=HITS).contains(&limit)) {
        return Error::new(Kind::Usage, format!("'limit' must be from 1 to {HITS}")).into_response();
    }
    let name = search.kind.command();
    let job = Job {
        work: Some(Box::new(move |session, out| {
            let Some((command, ..)) = commands::resolve(name) else {
                return Err(Error::new(Kind::UnknownCommand, format!("this build has no command '{name}'")));
            };
            narrow(session, &search)?;
            let pattern = match search.kind {
                SearchKind::Expression => format!("/{}/", search.pattern),
                _ => search.pattern.clone(),
            };
            let words = match search.kind {
                SearchKind::Number => pattern.split_whitespace().map(str::to_string).collect(),
                _ => vec![pattern.clone()],
            };
            commands::invoke(session, command, Mode::Json, &Args { words, text: pattern }, out)
        })),
        ..Job::line(format!("{name}j")).aside()
    };
    respond(site, client, job, Elements::new)
}

/// Sets where and how much is searched, for this session alone.
fn narrow(session: &mut Session, search: &Search) -> Result<()> {
    let limit = search.limit.map(|limit| limit.to_string());
    let range = (search.from.is_some() || search.to.is_some()).then(|| "range".to_string());
    let wanted = [
        ("search.maxhits", limit),
        ("search.in", range),
        ("search.from", search.from.clone()),
        ("search.to", search.to.clone()),
    ];
    session.with(|core, view| {
        for (name, value) in wanted {
            let (Some(option), Some(value)) = (options::find(name), value) else { continue };
            let mut overrides = std::mem::take(&mut view.overrides);
            let mut scope = crate::session::scope::Scope { core, view };
            let outcome = overrides.set(option, &value, |text| crate::number::evaluate(text, &mut scope));
            view.overrides = overrides;
            outcome?;
        }
        Ok(())
    })
}

/// Starts `job` and sends what it says, as lines of JSON.
pub fn respond<S: Sink>(site: Arc<Site>, client: Arc<Client>, job: Job, sink: impl FnOnce(Sent) -> S) -> Response {
    let (sender, pieces) = unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let sink = sink(Sent::new(sender, Arc::clone(&waiting)));
    let cancel = Cancel::new();
    let ended = {
        let cancel = cancel.clone();
        tokio::spawn(async move { run(&site, &client, job, cancel, sink).await.map(|(_, report)| report) })
    };
    let mut response = Body::new(Lines { pieces, waiting, ended: Some(ended), cancel }).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

/// What a command says, piece by piece, and its report behind that. The command ends when this is dropped, for then
/// its reader has gone.
struct Lines {
    pieces: UnboundedReceiver<Bytes>,
    /// Bytes that the command has said and nobody has taken yet.
    waiting: Arc<AtomicUsize>,
    /// How the command ends; `None` once that was said.
    ended: Option<JoinHandle<Result<Report>>>,
    cancel: Cancel,
}

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        let lines = self.get_mut();
        if let Some(piece) = ready!(lines.pieces.poll_recv(cx)) {
            lines.waiting.fetch_sub(piece.len(), Ordering::Relaxed);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let Some(ended) = &mut lines.ended else { return Poll::Ready(None) };
        let outcome = ready!(Pin::new(ended).poll(cx));
        lines.ended = None;
        let last = match outcome {
            Ok(Ok(report)) => json!({ "report": report }),
            Ok(Err(error)) => {
                json!({ "error": { "kind": reply::kind_name(error.kind()), "message": error.to_string() } })
            }
            Err(_) => json!({ "error": { "kind": "system", "message": "internal error" } }),
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(format!("{last}\n"))))))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.cancel.set();
    }
}

/// Text as lines of JSON: `{"output":"..."}`.
struct Text {
    sent: Sent,
    rest: Vec<u8>,
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        if bytes.contains(&b'\n') || self.rest.len() > 16 * 1024 {
            self.flush()?;
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        let text = take_text(&mut self.rest);
        if text.is_empty() {
            return Ok(());
        }
        writeln!(self.sent, "{}", json!({ "output": text }))
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned();
        if !text.is_empty() {
            // Whoever has gone does not miss it.
            let _ = writeln!(self.sent, "{}", json!({ "output": text }));
        }
    }
}

/// The text in `bytes`, which keeps the start of a character whose rest has not come yet.
pub fn take_text(bytes: &mut Vec<u8>) -> String {
    let cut = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    };
    let rest = bytes.split_off(cut);
    let text = String::from_utf8_lossy(bytes).into_owned();
    *bytes = rest;
    text
}

/// The elements of a JSON array, each as a line `{"hit":...}`.
struct Elements {
    sent: Sent,
    depth: u32,
    quoted: bool,
    escaped: bool,
    element: Vec<u8>,
}

impl Elements {
    fn new(sent: Sent) -> Elements {
        Elements { sent, depth: 0, quoted: false, escaped: false, element: Vec::new() }
    }

    fn end(&mut self) -> io::Result<()> {
        if self.element.is_empty() {
            return Ok(());
        }
        let element = std::mem::take(&mut self.element);
        self.sent.write_all(b"{\"hit\":")?;
        self.sent.write_all(&element)?;
        self.sent.write_all(b"}\n")
    }
}

impl Write for Elements {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            if self.quoted {
                self.quoted = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
            } else {
                match byte {
                    b'[' | b'{' => {
                        self.depth += 1;
                        if self.depth == 1 {
                            continue;
                        }
                    }
                    b']' | b'}' => {
                        self.depth = self.depth.saturating_sub(1);
                        if self.depth == 0 {
                            self.end()?;
                            continue;
                        }
                    }
                    b',' if self.depth == 1 => {
                        self.end()?;
                        continue;
                    }
                    b'"' => self.quoted = true,
                    _ => {}
                }
            }
            if self.depth > 0 {
                self.element.push(byte);
            }
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str, cut: usize) -> String {
        let (sender, mut pieces) = unbounded_channel();
        let mut elements = Elements::new(Sent::new(sender, Arc::default()));
        for piece in text.as_bytes().chunks(cut) {
            elements.write_all(piece).unwrap();
        }
        drop(elements);
        let mut all = Vec::new();
        while let Ok(piece) = pieces.try_recv() {
            all.extend_from_slice(&piece);
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn elements_become_lines() {
        let text = r#"[{"a":[1,2],"b":"],\"[{"},{"c":{}}]"#;
        for cut in 1..text.len() {
            assert_eq!(split(text, cut), "{\"hit\":{\"a\":[1,2],\"b\":\"],\\\"[{\"}}\n{\"hit\":{\"c\":{}}}\n");
        }
        assert_eq!(split("[]\n", 9), "");
        assert_eq!(split("[7,8]", 2), "{\"hit\":7}\n{\"hit\":8}\n");
    }

    proptest! {
        #[test]
        fn any_strings_survive(words: Vec<String>, cut in 1usize..9) {
            let text = serde_json::to_string(&words).unwrap();
            let lines: Vec<String> = split(&text, cut).lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["hit"].as_str().unwrap().to_string())
                .collect();
            prop_assert_eq!(lines, words);
        }

        #[test]
        fn text_is_never_cut_within_a_character(text: String, cut in 1usize..5) {
            let (mut rest, mut joined) = (Vec::new(), String::new());
            for piece in text.as_bytes().chunks(cut) {
                rest.extend_from_slice(piece);
                joined.push_str(&take_text(&mut rest));
            }
            prop_assert_eq!(joined, text);
        }
    }
}
