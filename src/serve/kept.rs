//! Processes whose clients were lost: the line broke, or the client was killed. They wait here, as the policy says
//! ([`Lost`]), until their client comes back, somebody with the same credentials opens the same, or the time is up.
//! What is still here when the server ends, ends as its target does: what was started dies, what was attached to
//! goes on.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::clients::Seat;
use crate::debug::remote::Ticket;
use crate::debug::{Deliver, Lost, Resume, Settings, Spec, Stop, Target, signals::Handling};
use crate::error::{Error, Kind, Result};
use crate::io::{Access, Device};
use crate::output::Cancel;
use crate::session::servers;

/// Processes that wait at once; the oldest one goes when another comes.
const MOST: usize = 16;

/// How long a running process may take to stop.
const STOPPING: Duration = Duration::from_secs(5);

/// How long a client that comes back waits until the line that it lost is given up here.
const HANDOVER: Duration = Duration::from_secs(10);

/// A process with its client's name on it.
pub struct Kept {
    /// By what its client knows it.
    pub ticket: Ticket,
    /// The client's credentials.
    pub who: String,
    /// As what it was opened.
    pub uri: String,
    /// What it was opened for.
    pub access: Access,
    /// The process.
    pub device: Box<dyn Device>,
    /// What the client said is to become of it.
    pub lost: Option<Lost>,
    /// Stops that may not have reached the client.
    pub stops: Vec<Stop>,
    since: Instant,
    /// The client waited for it to stop.
    awaited: bool,
    /// It runs on, and what would have stopped it is put back when its client comes.
    disarmed: Option<Disarmed>,
}

/// What was taken away from a target so that nothing stops it.
struct Disarmed {
    settings: Settings,
    signals: Vec<Handling>,
    points: Vec<(u32, Spec)>,
}

/// The processes that wait, and those whose clients may come back over another line.
#[derive(Default)]
pub struct Keep {
    inner: Mutex<Inner>,
    changed: Condvar,
}

/// Ends a connection.
pub type Cut = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Inner {
    kept: Vec<Kept>,
    /// Whose the processes in use are, and what cuts the line on which they are used.
    used: HashMap<Ticket, (String, Cut)>,
    closed: bool,
}

impl Keep {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client at `seat` has a process, which it knows by the answer.
    pub fn enter(&self, seat: &Seat) -> Result<Ticket> {
        let mut ticket = Ticket::default();
        getrandom::fill(&mut ticket).map_err(|error| Error::new(Kind::System, format!("no random bytes: {error}")))?;
        self.enter_as(seat, ticket);
        Ok(ticket)
    }

    /// The client at `seat` has the process with `ticket`.
    pub fn enter_as(&self, seat: &Seat, ticket: Ticket) {
        self.lock().used.insert(ticket, (seat.gate.who(), seat.cutter()));
    }

    /// The process with `ticket` is no more.
    pub fn forget(&self, ticket: &Ticket) {
        self.lock().used.remove(ticket);
        self.changed.notify_all();
    }

    /// Takes in a process whose client was lost, if its policy, or `lost` of the server, says so. The answer is what
    /// became of it.
    pub fn take_in(&self, mut kept: Kept, lost: Option<Lost>) -> &'static str {
        let policy = kept.prepare(kept.lost.or(lost));
        let outcome = match policy {
            Err(_) => "given up",
            Ok(Lost::Detach) => "let go",
            Ok(Lost::Kill) => "killed",
            Ok(policy) => {
                let mut inner = self.lock();
                if !inner.closed {
                    kept.since = Instant::now();
                    inner.used.remove(&kept.ticket);
                    let oldest = (inner.kept.len() >= MOST).then(|| inner.kept.remove(0));
                    inner.kept.push(kept);
                    drop(inner);
                    drop(oldest);
                    self.changed.notify_all();
                    return if policy == Lost::Keep { "kept, stopped" } else { "kept, running" };
                }
                "given up"
            }
        };
        // Dropped without the lock: it may take a while to die.
        let ticket = kept.ticket;
        drop(kept);
        self.forget(&ticket);
        outcome
    }

    /// The process that `who` opened as `uri`, lost, and wants again.
    pub fn find(&self, who: &str, uri: &str) -> Option<Kept> {
        let mut kept = {
            let mut inner = self.lock();
            let at = inner.kept.iter().position(|kept| kept.who == who && kept.uri == uri)?;
            inner.kept.remove(at)
        };
        kept.give_back(false);
        Some(kept)
    }

    /// The process with `ticket`. A line that still has it is cut: its client is here.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it is not (any more) here, or somebody else's.
    pub fn claim(&self, ticket: &Ticket, who: &str, cancel: &Cancel) -> Result<Kept> {
        let gone = || Error::new(Kind::NotFound, "no process is kept under that");
        let deadline = Instant::now() + HANDOVER;
        let mut inner = self.lock();
        if let Some((owner, cut)) = inner.used.get(ticket)
            && owner == who
        {
            let cut = Arc::clone(cut);
            drop(inner);
            cut();
            inner = self.lock();
        }
        loop {
            if let Some(at) = inner.kept.iter().position(|kept| kept.ticket == *ticket && kept.who == who) {
                let mut kept = inner.kept.remove(at);
                drop(inner);
                kept.give_back(true);
                return Ok(kept);
            }
            if inner.used.get(ticket).is_none_or(|(owner, _)| owner != who) || Instant::now() >= deadline {
                return Err(gone());
            }
            cancel.check()?;
            let slice = Duration::from_millis(50);
            inner = self.changed.wait_timeout(inner, slice).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether nothing waits here.
    pub fn is_empty(&self) -> bool {
        self.lock().kept.is_empty()
    }

    /// Gives up what has waited for `patience`, and sees that what is to run on does.
    pub fn look_after(&self, patience: Duration) {
        let over = {
            let mut inner = self.lock();
            let (over, rest) = std::mem::take(&mut inner.kept)
                .into_iter()
                .partition::<Vec<_>, _>(|kept| kept.since.elapsed() >= patience);
            inner.kept = rest;
            inner.kept.iter_mut().for_each(Kept::nudge);
            over
        };
        drop(over);
    }

    /// What waits, for people.
    pub fn list(&self, patience: Duration) -> Vec<servers::Kept> {
        let mut inner = self.lock();
        let row = |kept: &mut Kept| {
            let running = kept.device.target().is_some_and(|target| target.is_running());
            let age = kept.since.elapsed();
            let (uri, who) = (kept.uri.clone(), kept.who.clone());
            servers::Kept { uri, who, running, age, left: patience.saturating_sub(age) }
        };
        inner.kept.iter_mut().map(row).collect()
    }

    /// Gives everything up, and takes in nothing more.
    pub fn close(&self) {
        let kept = {
            let mut inner = self.lock();
            inner.closed = true;
            std::mem::take(&mut inner.kept)
        };
        drop(kept);
    }
}

impl Kept {
    /// A process whose client was lost.
    pub fn new(ticket: Ticket, who: String, uri: String, access: Access, device: Box<dyn Device>) -> Kept {
        Kept {
            ticket,
            who,
            uri,
            access,
            device,
            lost: None,
            stops: Vec::new(),
            since: Instant::now(),
            awaited: false,
            disarmed: None,
        }
    }

    /// How long it has waited.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    fn target(&mut self) -> Result<&mut dyn Target> {
        self.device.target().ok_or_else(|| Error::new(Kind::NotFound, "it is no process"))
    }

    /// Does what the policy says, which is the answer.
    fn prepare(&mut self, lost: Option<Lost>) -> Result<Lost> {
        let target = self.target()?;
        let processes = target.processes()?;
        let attached = processes.iter().any(|process| process.attached);
        let policy = lost.unwrap_or(Lost::usual(attached));
        let awaited = target.is_running();
        match policy {
            Lost::Keep => stop(target)?,
            Lost::Continue => {
                let disarmed = disarm(target)?;
                self.disarmed = Some(disarmed);
                self.nudge();
            }
            Lost::Detach => {
                processes.iter().try_for_each(|process| target.detach(process.id, Deliver::AsHandled))?;
            }
            Lost::Kill => processes.iter().try_for_each(|process| target.kill(process.id))?,
        }
        self.awaited = awaited;
        Ok(policy)
    }

    /// Sets it going again if something stopped it that was to run.
    fn nudge(&mut self) {
        if self.disarmed.is_none() {
            return;
        }
        let Ok(target) = self.target() else { return };
        let mut ended = Vec::new();
        while let Ok(Some(stop)) = target.take_stop() {
            if stop.reason.is_end() {
                ended.push(stop);
            }
        }
        if !target.is_running() && target.current().is_some() {
            // One that is dying says so in a moment.
            let _ = target.resume(&[Resume::ALL]);
        }
        self.stops.extend(ended);
    }

    /// Puts back what was taken away. Who comes over a new line and had waited for it goes on waiting; everybody else
    /// finds it stopped.
    fn give_back(&mut self, same: bool) {
        let waits = same && self.awaited;
        if let Some(disarmed) = self.disarmed.take()
            && let Some(target) = self.device.target()
        {
            // A process that has ended in the meantime has nothing to be put back.
            let _ = arm(target, &disarmed);
            if !waits {
                let _ = stop(target);
            }
        }
    }
}

/// Stops what runs.
fn stop(target: &mut dyn Target) -> Result<()> {
    if !target.is_running() {
        return Ok(());
    }
    let handle = target.handle();
    handle.interrupt()?;
    handle.wait(Some(Instant::now() + STOPPING), &Cancel::new())?;
    Ok(())
}

/// Takes away what could stop a target.
fn disarm(target: &mut dyn Target) -> Result<Disarmed> {
    let points = target.breakpoints()?.into_iter().filter(|point| point.spec.enabled);
    let disarmed = Disarmed {
        settings: target.settings(),
        signals: target.signals(),
        points: points.map(|point| (point.id, point.spec)).collect(),
    };
    for (id, spec) in &disarmed.points {
        target.change(*id, &Spec { enabled: false, ..spec.clone() })?;
    }
    let settings = &disarmed.settings;
    let quiet = Settings { stop_at_fork: false, stop_at_exec: false, report_threads: false, ..settings.clone() };
    target.set_settings(&quiet)?;
    for (number, handling) in (0..).zip(&disarmed.signals).skip(1).filter(|(_, handling)| handling.stop) {
        target.set_signal(number, Handling { stop: false, ..*handling })?;
    }
    Ok(disarmed)
}

/// Puts it back.
fn arm(target: &mut dyn Target, disarmed: &Disarmed) -> Result<()> {
    target.set_settings(&disarmed.settings)?;
    for (number, handling) in (0..).zip(&disarmed.signals).skip(1).filter(|(_, handling)| handling.stop) {
        target.set_signal(number, *handling)?;
    }
    disarmed.points.iter().try_for_each(|(id, spec)| target.change(*id, spec))
}
