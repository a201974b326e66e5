//! What happens beside a client's own requests: what other clients and the prompt change, and how processes stop.

use std::sync::Arc;
use std::time::Duration;

use super::Site;
use super::socket::Event;
use crate::session::Core;
use crate::session::debug::{debugged, run};

/// How often the core is looked at while somebody listens.
const PACE: Duration = Duration::from_millis(250);

/// How a core looks: two that look the same show the same.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    bytes: u64,
    maps: usize,
    flags: usize,
    comments: usize,
    data: usize,
    functions: usize,
    stop: u64,
}

impl Mark {
    fn of(core: &Core) -> Mark {
        Mark {
            bytes: core.io.revision(),
            maps: core.io.space.maps().len(),
            flags: core.flags.len(),
            comments: core.comments.len(),
            data: core.metadata.len(),
            functions: core.analysis.len(),
            stop: core.debugger.last_stop().map_or(0, |(number, _)| number),
        }
    }
}

/// Tells whoever listens what has changed since the last time. `by`: the client whose line may have changed
/// something; `None`: it may have been anybody.
pub fn look(site: &Site, by: Option<u64>) {
    let mut session = site.home.session();
    let (mark, before, stop) = session.with(|core, view| {
        let mark = Mark::of(core);
        let before = std::mem::replace(&mut *super::clients::lock(&site.seen), mark);
        let stop = core.debugger.last_stop().filter(|(number, _)| *number != before.stop).map(|(_, stop)| stop.clone());
        let stop = stop.map(|stop| {
            let lines = debugged(core, view).and_then(|mut debugged| run::describe(&mut debugged, &stop));
            Event::Stop {
                client: by,
                address: stop.pc.map(|pc| format!("0x{pc:x}")),
                thread: stop.thread.thread,
                lines: lines.unwrap_or_default(),
            }
        });
        (mark, before, stop)
    });
    if by.is_some() || mark != before {
        // Nobody may be listening.
        let _ = site.events.send(Event::Changed { client: by });
    }
    if let Some(stop) = stop {
        let _ = site.events.send(stop);
    }
}

/// Looks at the core from time to time, until the server stops.
pub async fn watch(site: Arc<Site>) {
    loop {
        tokio::select! {
            () = site.stopped() => return,
            () = tokio::time::sleep(PACE) => {}
        }
        if site.events.receiver_count() == 0 {
            continue;
        }
        let looking = Arc::clone(&site);
        // It waits for whatever holds the core.
        let _ = tokio::task::spawn_blocking(move || look(&looking, None)).await;
    }
}
