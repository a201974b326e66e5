//! Processes that a client has opened: messages to them, and what becomes of them when the client is lost.

use std::time::Instant;

use super::State;
use super::frames::Place;
use crate::debug::remote::{self, Call, Ticket};
use crate::debug::{Lost, Stop, Target};
use crate::error::{Error, Kind, Result};
use crate::io::plugin::debug;
use crate::io::{Access, Open};
use crate::serve::kept::Kept;
use crate::session::debug::run::tell;
use crate::session::{Core, Permissions, View};
use crate::uri::Uri;

/// A process that the client has opened.
pub struct Held {
    /// Its descriptor.
    pub fd: u32,
    /// As what it was opened.
    uri: String,
    access: Access,
    /// By what the client finds it again; `None`: the client has not asked yet.
    ticket: Option<Ticket>,
    /// What the client wants to become of it.
    lost: Option<Lost>,
    /// What was sent last, and may not have arrived.
    sent: Vec<Stop>,
    /// How many seconds it had waited for the client.
    kept: Option<u64>,
}

impl State<'_> {
    /// The process that waits for this client and is meant by `path`, if there is one.
    pub(super) fn find_process(&self, path: &str) -> Result<Option<Kept>> {
        let who = self.seat.gate.who();
        match remote::ticket(path) {
            Some(ticket) => self.seat.keep.claim(&ticket, &who, &self.seat.cancel).map(Some),
            None if is_process(path) => Ok(self.seat.keep.find(&who, path)),
            None => Ok(None),
        }
    }

    /// Makes it the client's again.
    pub(super) fn take_back(&mut self, core: &mut Core, kept: Kept) -> u32 {
        let seconds = kept.age().as_secs();
        let Kept { ticket, uri, access, device, lost, stops, .. } = kept;
        self.seat.keep.enter_as(self.seat, ticket);
        let fd = core.io.adopt(&uri, access, device);
        self.held.push(Held { fd, uri, access, ticket: Some(ticket), lost, sent: stops, kept: Some(seconds) });
        fd
    }

    /// Opens what was not open yet.
    pub(super) fn open_new(&mut self, core: &mut Core, uri: &Uri, path: &str, open: &Open) -> Result<u32> {
        // Without a program it waits to be told of one.
        let fd = match path {
            "dbg://" => core.io.admit(uri, open, debug::empty()?),
            _ => core.io.open(uri, open)?,
        };
        if is_process(path) {
            let (uri, access) = (path.to_string(), open.access);
            self.held.push(Held { fd, uri, access, ticket: None, lost: None, sent: Vec::new(), kept: None });
        }
        Ok(fd)
    }

    /// Answers a message to the process behind `descriptor`. The session is free while the process runs.
    pub(super) fn process(&mut self, descriptor: i32, call: Call) -> Result<Vec<u8>> {
        let Place::File(fd) = self.place(descriptor, Permissions::DEBUG)? else { return Err(no_process()) };
        let mut held = self.held.iter_mut().find(|held| held.fd == fd);
        let (actions, milliseconds) = match call {
            Call::Run(actions, milliseconds) => (actions, milliseconds),
            Call::Enter(lost) => {
                let mut core = self.session.core();
                let target = process(&mut core, fd)?;
                let Some(held) = held else { return remote::server::enter(target, None, None) };
                held.lost = lost.or(held.lost);
                let ticket = match held.ticket {
                    Some(ticket) => ticket,
                    None => self.seat.keep.enter(self.seat)?,
                };
                held.ticket = Some(ticket);
                return remote::server::enter(target, Some(ticket), held.kept.take());
            }
            Call::Leave => {
                if held.is_some() {
                    self.let_go(fd);
                }
                return remote::server::left();
            }
            call => {
                // Looking again is the first thing that a client does over a new line.
                if let Some(held) = held.filter(|_| call != Call::State) {
                    held.sent.clear();
                }
                let mut core = self.session.core();
                return remote::server::answer(process(&mut core, fd)?, call);
            }
        };
        let mut earlier = match &mut held {
            Some(held) => std::mem::take(&mut held.sent),
            None => Vec::new(),
        };
        // Who sets it going has seen them.
        if !actions.is_empty() {
            earlier.clear();
        }
        let (handle, deadline) = {
            let mut core = self.session.core();
            let target = process(&mut core, fd)?;
            let deadline = remote::server::begin(target, &actions, milliseconds)?;
            (target.handle(), deadline)
        };
        if earlier.is_empty() {
            remote::server::wait(&*handle, deadline.max(Instant::now()), &self.seat.cancel)?;
        }
        let answer = {
            let mut core = self.session.core();
            let answer = remote::server::end(process(&mut core, fd)?, &mut earlier);
            let view = View { descriptor: Some(fd), ..View::default() };
            // What cannot be described is told by whoever asked.
            earlier.iter().for_each(|stop| drop(tell(&mut core, &view, stop)));
            self.stops = core.debugger.count();
            answer
        };
        if let Some(held) = held {
            held.sent = earlier;
        }
        answer
    }

    /// The client needs a process no more.
    pub(super) fn let_go(&mut self, fd: u32) {
        let Some(at) = self.held.iter().position(|held| held.fd == fd) else { return };
        let held = self.held.remove(at);
        self.latest = self.latest.filter(|latest| *latest != fd);
        self.opened.retain(|opened| *opened != fd);
        // It dies without the lock.
        let device = self.session.core().io.take(fd);
        drop(device);
        if let Some(ticket) = held.ticket {
            self.seat.keep.forget(&ticket);
        }
    }

    /// The client was lost: its processes wait for it, or whatever the policy says.
    pub(super) fn keep_processes(&mut self) {
        let who = self.seat.gate.who();
        for held in std::mem::take(&mut self.held) {
            let device = self.session.core().io.take(held.fd);
            self.opened.retain(|opened| *opened != held.fd);
            let (Ok(device), Some(ticket)) = (device, held.ticket) else { continue };
            if self.seat.is_leaving() {
                self.seat.keep.forget(&ticket);
                continue;
            }
            let mut kept = Kept::new(ticket, who.clone(), held.uri, held.access, device);
            (kept.lost, kept.stops) = (held.lost, held.sent);
            let shown = crate::output::visible(&kept.uri).into_owned();
            let outcome = self.seat.keep.take_in(kept, self.options.lost);
            self.seat.tell(format_args!("the process of {who}, {shown}, was lost by its client: {outcome}"));
        }
    }
}

fn is_process(path: &str) -> bool {
    path.starts_with("dbg://") || path.starts_with("attach://")
}

/// The process behind a descriptor.
fn process(core: &mut Core, fd: u32) -> Result<&mut dyn Target> {
    core.io.descriptor_mut(fd)?.device().target().ok_or_else(no_process)
}

fn no_process() -> Error {
    Error::new(Kind::Unsupported, "no process is behind that")
}
