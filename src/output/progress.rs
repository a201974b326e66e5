//! How far long work is, for somebody who waits at a terminal or at the other end of a line.
//!
//! Work announces itself with [`Out::progress`](super::Out::progress). Whoever looks at [`Cancel`](super::Cancel) while
//! it waits or works keeps the display moving, so that nothing else has to. Quick work shows nothing.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Cancel;

/// Nothing is shown before work has been silent for so long.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the display changes.
const PACE: Duration = Duration::from_millis(100);

/// How far work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report<'a> {
    /// What is being done.
    pub what: &'a str,
    /// Bytes that are done.
    pub done: u64,
    /// Bytes there are to do; 0: nobody knows.
    pub total: u64,
    /// Since the work began.
    pub elapsed: Duration,
}

/// Where it is shown.
pub trait Display: Send {
    /// Shows `report` in the place of the one before.
    fn show(&mut self, report: &Report<'_>);
    /// Takes away what is shown.
    fn clear(&mut self);
}

/// Work under way. It ends with the value.
#[must_use = "the work ends when this is dropped"]
pub struct Progress(Option<Cancel>);

impl Progress {
    /// So many bytes are done.
    pub fn at(&self, done: u64) {
        if let Some(cancel) = &self.0 {
            cancel.meter().done.store(done, Ordering::Relaxed);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(cancel) = &self.0 {
            cancel.meter().end();
        }
    }
}

/// What a command's [`Cancel`](super::Cancel) knows of its work.
#[derive(Default)]
pub(super) struct Meter {
    /// Whether work is under way and somebody watches: all that most looks cost.
    active: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    display: Option<Box<dyn Display>>,
    what: String,
    /// When the work began, and when the display has to change.
    work: Option<(Instant, Instant)>,
    visible: bool,
}

impl Meter {
    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows on `display` from now on; `None`: nobody watches.
    pub(super) fn watch(&self, display: Option<Box<dyn Display>>) {
        self.end();
        self.lock().display = display;
    }

    /// Work of `total` bytes begins. What is done as a part of other work is not shown on its own.
    pub(super) fn begin(&self, cancel: &Cancel, what: &dyn fmt::Display, total: u64) -> Progress {
        let mut shown = self.lock();
        if shown.display.is_none() || shown.work.is_some() {
            return Progress(None);
        }
        let now = Instant::now();
        shown.what = what.to_string();
        shown.work = Some((now, now + PATIENCE));
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.active.store(true, Ordering::Relaxed);
        Progress(Some(cancel.clone()))
    }

    fn end(&self) {
        self.active.store(false, Ordering::Relaxed);
        let mut shown = self.lock();
        shown.work = None;
        shown.clear();
    }

    /// Somebody who does a part of the work knows how far the whole is.
    pub(super) fn report(&self, done: u64, total: Option<u64>) {
        self.done.store(done, Ordering::Relaxed);
        if let Some(total) = total {
            self.total.store(total, Ordering::Relaxed);
        }
        self.look();
    }

    /// Changes the display when it is time to.
    pub(super) fn look(&self) {
        if !self.active.load(Ordering::Relaxed) {
            return;
        }
        // Whoever holds the lock is at it.
        let Ok(mut shown) = self.shown.try_lock() else { return };
        let now = Instant::now();
        let Shown { display: Some(display), what, work: Some((begun, due)), visible } = &mut *shown else { return };
        if now >= *due {
            *due = now + PACE;
            *visible = true;
            let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
            display.show(&Report { what, done, total, elapsed: now - *begun });
        }
    }

    /// Makes room for output. Who sees output does not wait.
    pub(super) fn make_way(&self) {
        if self.active.load(Ordering::Relaxed) {
            let mut shown = self.lock();
            shown.clear();
            if let Some((_, due)) = &mut shown.work {
                *due = Instant::now() + PATIENCE;
            }
        }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("active", &self.active).finish_non_exhaustive()
    }
}

impl Shown {
    fn clear(&mut self) {
        if std::mem::take(&mut self.visible)
            && let Some(display) = &mut self.display
        {
            display.clear();
        }
    }
}

/// A bar on standard error, which has to be a terminal.
#[derive(Default)]
pub struct Bar(Option<ProgressBar>);

impl Display for Bar {
    fn show(&mut self, report: &Report<'_>) {
        let bar = self.0.get_or_insert_with(|| {
            let template = if report.total > 0 { "{prefix} [{bar:24}] {msg}" } else { "{prefix} {spinner} {msg}" };
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            // Plain characters: a terminal without others shows them, too.
            let style = style.progress_chars("=> ").tick_chars("|/-\\ ");
            ProgressBar::with_draw_target(Some(report.total), ProgressDrawTarget::stderr()).with_style(style)
        });
        bar.set_prefix(report.what.to_string());
        bar.set_message(amount(report));
        bar.set_length(report.total);
        bar.set_position(report.done.min(report.total));
        bar.tick();
    }

    fn clear(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

/// How much is done, how fast it goes, and how long it is going to take.
fn amount(report: &Report<'_>) -> String {
    let seconds = report.elapsed.as_secs_f64();
    if report.done == 0 || seconds <= 0.0 {
        return format!("{seconds:.0} s");
    }
    let rate = report.done as f64 / seconds;
    let pace = format!("{}/s", HumanBytes(rate as u64));
    if report.total == 0 {
        return format!("{}, {pace}", HumanBytes(report.done));
    }
    let left = report.total.saturating_sub(report.done) as f64 / rate;
    format!("{} of {}, {pace}, {left:.0} s left", HumanBytes(report.done), HumanBytes(report.total))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// What was shown; `None` where it was taken away.
    type Screen = Arc<Mutex<Vec<Option<(String, u64, u64)>>>>;

    struct Recorder(Screen);

    impl Display for Recorder {
        fn show(&mut self, report: &Report<'_>) {
            self.0.lock().unwrap().push(Some((report.what.to_string(), report.done, report.total)));
        }
        fn clear(&mut self) {
            self.0.lock().unwrap().push(None);
        }
    }

    fn watched() -> (Cancel, Screen) {
        let (cancel, screen) = (Cancel::new(), Screen::default());
        cancel.show_progress(Some(Box::new(Recorder(Arc::clone(&screen)))));
        (cancel, screen)
    }

    fn until_shown(cancel: &Cancel, screen: &Screen, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while screen.lock().unwrap().len() < count {
            assert!(Instant::now() < deadline, "nothing is shown");
            cancel.check().unwrap();
            std::thread::yield_now();
        }
    }

    #[test]
    fn quick_work_and_unwatched_work_show_nothing() {
        let (cancel, screen) = watched();
        let work = cancel.progress("quick", 100);
        work.at(50);
        // A look within the first half second; where the machine stood still, the work was not quick.
        let begun = Instant::now();
        cancel.check().unwrap();
        assert!(begun.elapsed() >= PATIENCE || screen.lock().unwrap().is_empty());
        drop(work);
        drop(Cancel::new().progress("unwatched", 1));
    }

    #[test]
    fn long_work_is_shown_by_whoever_looks_and_makes_way_for_output() {
        let (cancel, screen) = watched();
        let work = cancel.progress("hashing", 100);
        work.at(40);
        // A part of it is not shown on its own, and its end is not the end.
        drop(cancel.progress("reading", 7));
        let begun = Instant::now();
        until_shown(&cancel, &screen, 1);
        assert!(begun.elapsed() >= PATIENCE - Duration::from_millis(100));
        assert_eq!(screen.lock().unwrap()[0], Some(("hashing".to_string(), 40, 100)));
        cancel.make_way();
        assert_eq!(screen.lock().unwrap().last(), Some(&None));
        let before = screen.lock().unwrap().len();
        cancel.report_progress(60, Some(200));
        until_shown(&cancel, &screen, before + 1);
        assert_eq!(screen.lock().unwrap().last().unwrap(), &Some(("hashing".to_string(), 60, 200)));
        drop(work);
        assert_eq!(screen.lock().unwrap().last(), Some(&None));
        let before = screen.lock().unwrap().len();
        cancel.report_progress(1, Some(2));
        assert_eq!(screen.lock().unwrap().len(), before);
    }

    #[test]
    fn amounts_say_what_is_known() {
        let report =
            |done, total, seconds| amount(&Report { what: "", done, total, elapsed: Duration::from_secs(seconds) });
        assert_eq!(report(0, 0, 3), "3 s");
        assert_eq!(report(2048, 0, 2), "2.00 KiB, 1.00 KiB/s");
        assert_eq!(report(1 << 20, 4 << 20, 1), "1.00 MiB of 4.00 MiB, 1.00 MiB/s, 3 s left");
        assert_eq!(report(5, 1, 1), "5 B of 1 B, 5 B/s, 0 s left");
    }
}
