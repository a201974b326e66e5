//! How far a long search is, shown at a terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::io::scan::Extent;
use crate::output::Out;

/// A search that ends sooner shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// A bar on standard error, when that is a terminal and the search takes its time.
pub struct Progress {
    /// When the search began; `None`: nobody would see it.
    since: Option<Instant>,
    total: u64,
    before: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Progress through `extents`.
    pub fn new(out: &Out<'_>, extents: &[Extent]) -> Progress {
        let total = extents.iter().fold(0u64, |sum, extent| sum.saturating_add(extent.length()));
        Progress { since: out.is_terminal().then(Instant::now), total, before: 0, bar: None }
    }

    /// `done` bytes of the current extent are done.
    pub fn step(&mut self, done: u64) {
        let Some(since) = self.since else { return };
        if self.bar.is_none() && since.elapsed() >= PATIENCE {
            let bar = ProgressBar::with_draw_target(Some(self.total), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{percent:>3}% {bar:30} {binary_bytes_per_sec}, {eta}") {
                bar.set_style(style.progress_chars("#>-"));
            }
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.before.saturating_add(done));
        }
    }

    /// An extent is done.
    pub fn pass(&mut self, extent: Extent) {
        self.before = self.before.saturating_add(extent.length());
    }

    /// Clears the line for something else.
    pub fn hide(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.hide();
    }
}
