//! The WebSocket: commands in flight, which can be cancelled, and what happens meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::{Sender, channel, unbounded_channel};
use tokio::time::{interval, timeout};

use super::Site;
use super::api::Caller;
use super::clients::Client;
use super::connection::Peer;
use super::reply;
use super::run::{Job, Sent, run};
use super::stream::take_text;
use crate::output::{Cancel, progress};

/// Bytes of a message.
const MESSAGE: usize = 1 << 20;

/// Messages that wait for the client.
const AHEAD: usize = 64;

/// How often a silent client is asked for a sign of life.
const PING: Duration = Duration::from_secs(20);

/// How long it may take nothing, or give no sign.
const PATIENCE: Duration = Duration::from_secs(45);

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A client's place moved; only that client hears of it.
    Seek {
        /// Whose.
        client: u64,
        /// Where to.
        address: String,
    },
    /// Bytes, names or maps may have changed.
    Changed {
        /// By whom; `None`: the prompt, or another door.
        client: Option<u64>,
    },
    /// A process has stopped.
    Stop {
        /// Who let it run; `None`: the prompt, or another door.
        client: Option<u64>,
        /// The program counter, if there still is one.
        address: Option<String>,
        /// The thread.
        thread: u64,
        /// Why, for people.
        lines: Vec<String>,
    },
    /// A client came or left.
    Client {
        /// Which.
        client: u64,
        /// Whether it is here now.
        here: bool,
    },
    /// The server ends.
    Stopping,
}

/// What a client asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    id: Option<u64>,
    run: Option<String>,
    cancel: Option<u64>,
}

/// `GET /api/v1/socket`.
pub async fn upgrade(
    State(site): State<Arc<Site>>,
    Extension(Caller(client)): Extension<Caller>,
    Extension(peer): Extension<Peer>,
    socket: WebSocketUpgrade,
) -> Response {
    socket.max_message_size(MESSAGE).max_frame_size(MESSAGE).on_upgrade(move |socket| async move {
        serve(site, client, socket).await;
        drop(peer);
    })
}

async fn serve(site: Arc<Site>, client: Arc<Client>, mut socket: WebSocket) {
    let mut events = site.events.subscribe();
    let (sender, mut answers) = channel::<Value>(AHEAD);
    let mut running: HashMap<u64, Cancel> = HashMap::new();
    let mut pings = interval(PING);
    let mut heard = tokio::time::Instant::now();
    loop {
        let said = tokio::select! {
            () = site.stopped() => break,
            message = socket.recv() => {
                heard = tokio::time::Instant::now();
                match message {
                    Some(Ok(Message::Text(text))) => asked(&site, &client, &text, &mut running, &sender),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => None,
                }
            }
            answer = answers.recv() => answer.inspect(|answer| {
                if answer.get("report").is_some() || answer.get("error").is_some() {
                    answer.get("id").and_then(Value::as_u64).map(|id| running.remove(&id));
                }
            }),
            event = events.recv() => match event {
                Ok(Event::Seek { client: of, .. }) if of != client.id => None,
                Ok(event) => serde_json::to_value(event).ok(),
                Err(RecvError::Lagged(_)) => Some(json!({ "event": "changed" })),
                Err(RecvError::Closed) => break,
            },
            _ = pings.tick() => {
                if heard.elapsed() > PATIENCE || client.is_gone() {
                    break;
                }
                if timeout(PATIENCE, socket.send(Message::Ping(Vec::new().into()))).await.is_err() {
                    break;
                }
                None
            }
        };
        let Some(said) = said else { continue };
        match timeout(PATIENCE, socket.send(Message::Text(said.to_string().into()))).await {
            Ok(Ok(())) => {}
            _ => break,
        }
    }
    running.values().for_each(Cancel::set);
    // It may have gone already.
    let _ = timeout(Duration::from_millis(200), socket.send(Message::Close(None))).await;
}

/// Does what a message asks for; what is wrong with it is the answer.
fn asked(
    site: &Arc<Site>,
    client: &Arc<Client>,
    text: &str,
    running: &mut HashMap<u64, Cancel>,
    answers: &Sender<Value>,
) -> Option<Value> {
    match serde_json::from_str::<Ask>(text) {
        Ok(Ask { id: Some(id), run: Some(line), cancel: None }) if !running.contains_key(&id) => {
            let cancel = Cancel::new();
            running.insert(id, cancel.clone());
            tokio::spawn(work(Arc::clone(site), Arc::clone(client), id, line, cancel, answers.clone()));
            None
        }
        Ok(Ask { id: None, run: None, cancel: Some(id) }) => {
            if let Some(cancel) = running.get(&id) {
                cancel.set();
            }
            None
        }
        _ => Some(json!({
            "error": { "kind": "usage", "message": "expected {\"id\":N,\"run\":\"line\"} with a new N, or {\"cancel\":N}" }
        })),
    }
}

/// Sends how far a command is.
struct Meter {
    id: u64,
    answers: Sender<Value>,
}

impl progress::Display for Meter {
    fn show(&mut self, report: &progress::Report<'_>) {
        let progress = json!({ "what": report.what, "done": report.done, "total": report.total });
        // A client that is behind will hear of the next one.
        let _ = self.answers.try_send(json!({ "id": self.id, "progress": progress }));
    }
    fn clear(&mut self) {
        let _ = self.answers.try_send(json!({ "id": self.id, "progress": null }));
    }
}

/// Runs `line` and sends what it says.
async fn work(site: Arc<Site>, client: Arc<Client>, id: u64, line: String, cancel: Cancel, answers: Sender<Value>) {
    cancel.show_progress(Some(Box::new(Meter { id, answers: answers.clone() })));
    let (sender, mut pieces) = unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let sink = Sent::new(sender, Arc::clone(&waiting));
    let ended = {
        let cancel = cancel.clone();
        tokio::spawn(async move { run(&site, &client, Job::line(line), cancel, sink).await.map(|(_, report)| report) })
    };
    let mut rest = Vec::new();
    while let Some(piece) = pieces.recv().await {
        waiting.fetch_sub(piece.len(), Ordering::Relaxed);
        rest.extend_from_slice(&piece);
        let text = take_text(&mut rest);
        if !text.is_empty() && answers.send(json!({ "id": id, "output": text })).await.is_err() {
            cancel.set();
            return;
        }
    }
    if !rest.is_empty() {
        let text = String::from_utf8_lossy(&rest);
        // The report fails, too, if this does.
        let _ = answers.send(json!({ "id": id, "output": text })).await;
    }
    let last = match ended.await {
        Ok(Ok(report)) => json!({ "id": id, "report": report }),
        Ok(Err(error)) => json!({
            "id": id, "error": { "kind": reply::kind_name(error.kind()), "message": error.to_string() }
        }),
        Err(_) => json!({ "id": id, "error": { "kind": "system", "message": "internal error" } }),
    };
    // A client that has gone needs no report.
    let _ = answers.send(last).await;
}
