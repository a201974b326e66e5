//! The clients of one server: their threads, and a thread that looks after those whose command takes long.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::gate::{Gate, Rules};
use super::kept::{Cut, Keep};
use super::{ServeOptions, Service};
use crate::error::{Error, Kind, Result};
use crate::link::dial::Place;
use crate::link::{Breaker, Framed, Link, unix};
use crate::output::{Cancel, visible};
use crate::session::servers::{self, Guest};

/// How often busy clients are looked after.
const TICK: Duration = Duration::from_millis(100);

/// How long clients have to leave by themselves when the server stops.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Address space of a client's stack. Memory is used only as far as a command really goes, so that an idle client
/// costs a few pages; nested scripts get room.
const STACK: usize = 2 << 20;

/// File descriptors that a client is expected to need: its connection and a few files.
const DESCRIPTORS: u64 = 8;

/// Threads that serve clients. Dropping it ends them all.
pub struct Clients {
    shared: Arc<Shared>,
    watcher: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    service: &'static Service,
    options: ServeOptions,
    rules: Arc<Rules>,
    state: Mutex<State>,
    changed: Condvar,
    keep: Arc<Keep>,
}

/// Numbers for the clients of all servers of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A number for a client that no other has.
pub(super) fn number() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[derive(Default)]
struct State {
    seats: HashMap<u64, (Arc<Seat>, Option<JoinHandle<()>>)>,
    /// Threads that have done their work and are to be joined.
    done: Vec<JoinHandle<()>>,
    stopping: bool,
}

/// One client's place at the server, shared by its thread and those that watch it.
pub struct Seat {
    /// Ends the client's running command; set when the client or the server goes away.
    pub cancel: Cancel,
    /// What it had to show, and what it may do.
    pub gate: Arc<Gate>,
    /// Where the client comes from.
    pub peer: String,
    /// Processes whose clients were lost.
    pub keep: Arc<Keep>,
    events: Option<Sender<String>>,
    since: Instant,
    /// The server is stopping.
    leaving: AtomicBool,
    breaker: Breaker,
    busy: Mutex<Option<Busy>>,
    /// Says whether the client is gone, while its thread runs a command and writes to the connection.
    watch: Mutex<Option<Box<dyn Fn() -> bool + Send + Sync>>>,
}

/// The connection of a client whose thread runs a command.
struct Busy {
    framed: Framed,
    /// A sign of life for clients that would lose patience, and when the next is due.
    sign: Option<(&'static [u8], Instant)>,
    signs: u32,
    every: Duration,
}

impl Clients {
    /// No clients yet; they will come over lines that are private already, such as those inside this process.
    pub fn new(service: &'static Service, options: ServeOptions) -> Result<Clients> {
        let (rules, _) = Rules::prepare(&service.manner(), &Place::Unix(PathBuf::new()), &options)?;
        Clients::under(service, options, rules)
    }

    /// No clients yet; `rules` are for those that come.
    pub(super) fn under(service: &'static Service, options: ServeOptions, rules: Rules) -> Result<Clients> {
        ask_for_descriptors(options.clients);
        let (rules, keep) = (Arc::new(rules), Arc::default());
        let shared =
            Arc::new(Shared { service, options, rules, state: Mutex::default(), changed: Condvar::new(), keep });
        let watched = Arc::clone(&shared);
        let watcher = Builder::new()
            .name(format!("{}-watch", service.name))
            .spawn(move || watched.watch())
            .map_err(|e| Error::system("cannot start a thread", &e))?;
        Ok(Clients { shared, watcher: Mutex::new(Some(watcher)) })
    }

    /// Whether the lines to clients are encrypted.
    pub fn encrypts(&self) -> bool {
        self.shared.rules.tls.is_some()
    }

    /// What there is to say when the server starts.
    pub fn announcements(&self) -> &[String] {
        &self.shared.rules.announcements
    }

    /// Serves the client at the other end of `link`, as [`Clients::admit_as`].
    pub fn admit(&self, link: Box<dyn Link>) -> Result<()> {
        let from = link.peer().to_string();
        self.admit_as(link, &from, None)
    }

    /// Serves the client that came over `link` `from` somewhere, a process of `user` if it is on this machine. It gets
    /// a thread of its own, where it has to show what the server asks for.
    ///
    /// # Errors
    /// [`Kind::Permission`] for other users at a Unix socket; when there are too many clients, or no more threads.
    pub fn admit_as(&self, link: Box<dyn Link>, from: &str, user: Option<u32>) -> Result<()> {
        let gate = Gate::new(Arc::clone(&self.shared.rules), self.shared.service.name, from.to_string(), user);
        let gate = Arc::new(gate);
        let stranger = user.is_some_and(|user| !unix::is_ours(user));
        let outcome = if stranger {
            Err(Error::new(Kind::Permission, "this socket is for its owner alone"))
        } else {
            self.seat(link, Arc::clone(&gate))
        };
        outcome.map_err(|error| {
            // The log must know of it; when it cannot, that is the worse news.
            gate.refused(&error).err().unwrap_or(error)
        })
    }

    /// Gives the client a seat and a thread. Those who leave need the lock, too, so it is held neither while threads
    /// end nor while one starts: in a rush they would starve, and the house be full of clients that have left.
    fn seat(&self, link: Box<dyn Link>, gate: Arc<Gate>) -> Result<()> {
        let id = number();
        let seat = Arc::new(Seat {
            cancel: Cancel::new(),
            gate,
            peer: link.peer().to_string(),
            keep: Arc::clone(&self.shared.keep),
            events: self.shared.options.events.clone(),
            since: Instant::now(),
            leaving: AtomicBool::new(false),
            breaker: link.breaker(),
            busy: Mutex::default(),
            watch: Mutex::default(),
        });
        let done = self.shared.reserve(id, &seat)?;
        for thread in done {
            // A client's panic was reported when it happened.
            let _ = thread.join();
        }
        let shared = Arc::clone(&self.shared);
        let thread = Builder::new()
            .name(format!("{}-{id}", shared.service.name))
            .stack_size(STACK)
            .spawn(move || shared.serve(id, link, &seat));
        let mut state = self.shared.lock();
        let thread = thread.map_err(|e| {
            state.seats.remove(&id);
            Error::system("cannot start a thread", &e)
        })?;
        if state.stopping {
            // Whoever stops the server has not seen this thread, but has ended its connection.
            drop(state);
            let _ = thread.join();
            return Ok(());
        }
        match state.seats.get_mut(&id) {
            Some((_, place)) => *place = Some(thread),
            // It has left already.
            None => state.done.push(thread),
        }
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Who is here.
    pub fn guests(&self) -> Vec<Guest> {
        let state = self.shared.lock();
        let guest = |(id, (seat, _)): (&u64, &(Arc<Seat>, _))| Guest {
            id: *id,
            peer: seat.peer.clone(),
            connected: seat.since.elapsed(),
        };
        let mut guests: Vec<Guest> = state.seats.iter().map(guest).collect();
        guests.sort_by_key(|guest| guest.id);
        guests
    }

    /// The processes that wait for lost clients.
    pub fn kept(&self) -> Vec<servers::Kept> {
        self.shared.keep.list(self.shared.options.kept)
    }

    /// Ends the connection and the command of one client; `false` when it is not here.
    pub fn disconnect(&self, id: u64) -> bool {
        let state = self.shared.lock();
        let Some((seat, _)) = state.seats.get(&id) else { return false };
        seat.cancel.set();
        seat.breaker.trip();
        true
    }

    /// Ends every client's command and connection, and waits for their threads. Each has a moment to say goodbye.
    pub fn stop(&self) {
        let mut threads = Vec::new();
        {
            let mut state = self.shared.lock();
            state.stopping = true;
            for (seat, _) in state.seats.values() {
                seat.leaving.store(true, Ordering::SeqCst);
                seat.cancel.set();
                seat.breaker.hush();
            }
            self.shared.changed.notify_all();
            let end = Instant::now() + FAREWELL;
            while !state.seats.is_empty()
                && let Some(left) = end.checked_duration_since(Instant::now())
            {
                state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            for (seat, thread) in state.seats.values_mut() {
                seat.cancel.set();
                seat.breaker.trip();
                threads.extend(thread.take());
            }
            threads.append(&mut state.done);
        }
        self.shared.changed.notify_all();
        threads.extend(self.watcher.lock().unwrap_or_else(PoisonError::into_inner).take());
        for thread in threads {
            // A client's panic was reported when it happened.
            let _ = thread.join();
        }
        self.shared.keep.close();
    }
}

/// Asks the system for enough descriptors for `clients`: shells often start programs with 256 or 1024, far below
/// what they may have.
fn ask_for_descriptors(clients: usize) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = (clients as u64).saturating_mul(DESCRIPTORS);
    let wanted = limit.maximum.map_or(wanted, |maximum| wanted.min(maximum));
    if limit.current.is_some_and(|current| current < wanted) {
        // Without them fewer clients fit, and the others wait until somebody leaves.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit });
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a place for `seat`, and returns the threads that have ended since the last time.
    fn reserve(&self, id: u64, seat: &Arc<Seat>) -> Result<Vec<JoinHandle<()>>> {
        let mut state = self.lock();
        if state.stopping {
            return Err(Error::new(Kind::Closed, "the server is stopping"));
        }
        if state.seats.len() >= self.options.clients {
            return Err(Error::new(Kind::Limit, format!("{} clients are here already", state.seats.len())));
        }
        state.seats.insert(id, (Arc::clone(seat), None));
        Ok(std::mem::take(&mut state.done))
    }

    /// The life of a client's thread.
    fn serve(&self, id: u64, link: Box<dyn Link>, seat: &Seat) {
        let peer = &seat.peer;
        self.tell(format_args!("client {id} from {peer} is here"));
        // A panic in one command is that client's misfortune alone.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let outcome = self.welcome(link, seat).and_then(|link| (self.service.serve)(link, seat, &self.options));
            // The log comes last, and its failure before whatever else went wrong.
            seat.gate.left(&outcome).and(outcome)
        }));
        match outcome {
            // The message may quote the client, who shall not steer this terminal.
            Ok(Err(error)) if !self.lock().stopping => {
                eprintln!("{}: {peer}: {}", self.service.name, visible(&error.to_string()));
            }
            Ok(_) => {}
            Err(_) => eprintln!("{}: {peer}: the connection ended with an internal error", self.service.name),
        }
        self.tell(format_args!("client {id} from {peer} has left"));
        let mut state = self.lock();
        if let Some((_, thread)) = state.seats.remove(&id) {
            state.done.extend(thread);
        }
        if state.stopping || !self.keep.is_empty() {
            self.changed.notify_all();
        }
    }

    /// What comes before the service: the log, and encryption.
    fn welcome(&self, link: Box<dyn Link>, seat: &Seat) -> Result<Box<dyn Link>> {
        seat.gate.came()?;
        let Some(tls) = &self.rules.tls else { return Ok(link) };
        let (link, certificate) =
            tls.accept(link, self.options.patience.min(HANDSHAKE), &seat.cancel).inspect_err(|_| seat.gate.close())?;
        seat.gate.identify(certificate);
        Ok(link)
    }

    /// Tells whoever listens what happens here.
    fn tell(&self, what: std::fmt::Arguments<'_>) {
        if let Some(events) = &self.options.events {
            // Nobody listens any more when the server is being stopped.
            let _ = events.send(format!("{}: {what}", self.service.name));
        }
    }

    /// The life of the watching thread.
    fn watch(&self) {
        let mut state = self.lock();
        while !state.stopping {
            if state.seats.is_empty() && self.keep.is_empty() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state = self.changed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
            let seats: Vec<Arc<Seat>> = state.seats.values().map(|(seat, _)| Arc::clone(seat)).collect();
            drop(state);
            for seat in &seats {
                seat.look_after();
            }
            drop(seats);
            self.keep.look_after(self.options.kept);
            state = self.lock();
        }
    }
}

impl Seat {
    /// Runs `work`, which does not use the connection, while the watching thread sees to it: the command is
    /// cancelled when the client goes away, and with `sign` (bytes and how often) the client hears in the meantime
    /// that the server is alive. Returns the connection, the result, and how many signs were sent.
    pub fn while_busy<R>(
        &self,
        framed: Framed,
        sign: Option<(&'static [u8], Duration)>,
        work: impl FnOnce() -> R,
    ) -> Result<(Framed, R, u32)> {
        let every = sign.map_or(TICK, |(_, every)| every);
        let sign = sign.map(|(bytes, every)| (bytes, Instant::now() + every));
        *self.lock() = Some(Busy { framed, sign, signs: 0, every });
        let result = work();
        let busy = self.lock().take();
        let Busy { framed, signs, .. } =
            busy.ok_or_else(|| Error::new(Kind::Closed, "the connection was taken away from its client"))?;
        Ok((framed, result, signs))
    }

    /// Runs `work`, which writes its output to the connection as it comes; the command is cancelled when `gone`
    /// says so.
    pub fn while_watched<R>(&self, gone: Box<dyn Fn() -> bool + Send + Sync>, work: impl FnOnce() -> R) -> R {
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(gone);
        let result = work();
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = None;
        result
    }

    /// Ends the connection, and whatever runs for it, from another thread.
    pub fn cutter(&self) -> Cut {
        let (breaker, cancel) = (self.breaker.clone(), self.cancel.clone());
        Arc::new(move || {
            cancel.set();
            breaker.trip();
        })
    }

    /// Tells whoever listens what happens here, or else whoever sees the server's terminal.
    pub fn tell(&self, what: std::fmt::Arguments<'_>) {
        match &self.events {
            // Nobody listens any more when the server is being stopped.
            Some(events) => drop(events.send(what.to_string())),
            None => eprintln!("{what}"),
        }
    }

    /// Whether the server is stopping, so that whoever reads from the connection finds its end.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Busy>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_after(&self) {
        if self.watch.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|gone| gone()) {
            self.cancel.set();
        }
        let mut busy = self.lock();
        let Some(Busy { framed, sign, signs, every }) = &mut *busy else { return };
        let mut gone = framed.is_gone();
        if let Some((bytes, due)) = sign
            && *due <= Instant::now()
        {
            *due += *every;
            *signs += 1;
            framed.queue().extend_from_slice(bytes);
            // A few bytes fit into any socket that is read at all: nobody else waits for this one.
            gone |= framed.flush(Some(Duration::from_millis(1))).is_err_and(|error| error.kind() != Kind::Timeout);
        }
        if gone {
            self.cancel.set();
        }
    }
}
