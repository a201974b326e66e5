//! One debugger's connection: packets in, replies out, and stops as they happen.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::client::Client;
use super::stop::Expedited;
use super::stub::Stub;
use super::{PACKET, breakpoint, file, object, tls};
use crate::debug::{Handling, Launch, ThreadId, signals};
use crate::error::{Error, Kind, Result};
use crate::link::Framed;
use crate::output::Cancel;
use crate::protocol::rsp::file::File;
use crate::protocol::rsp::link::{Event, Link, Role, foreign};
use crate::protocol::rsp::memory::Memory;
use crate::protocol::rsp::object::Object;
use crate::protocol::rsp::process::Process;
use crate::protocol::rsp::register::Register;
use crate::protocol::rsp::resume::Resume;
use crate::protocol::rsp::stop::Stop;
use crate::protocol::rsp::{Id, Refusal, Request, Thread, wire};
use crate::serve::{Seat, ServeOptions};
use crate::session::Permissions;

/// Requests that may wait while the target runs.
const WAITING: usize = 64;

/// How long a resume is waited for before the line is looked at: most steps are done by then.
const SHORT: Duration = Duration::from_millis(1);

/// How long a client has to hang up after the last reply.
const PARTING: Duration = Duration::from_secs(1);

/// How long everything waits before it looks whether the server is stopping.
const TICK: Duration = Duration::from_millis(50);

/// What becomes of a request.
pub enum Answer {
    /// The reply is in the buffer.
    Reply,
    /// The reply comes when the target stops.
    Running,
    /// There is no reply.
    Silence,
    /// The reply is in the buffer, and the connection ends with it.
    Leave,
}

/// Registers that were put away: whose, and the bytes of each set.
pub type Saved = (ThreadId, Vec<(usize, Vec<u8>)>);

/// A connection.
pub struct Conversation<'a> {
    framed: Framed,
    link: Link,
    pub(super) seat: &'a Seat,
    pub(super) options: &'a ServeOptions,
    pub(super) stub: Arc<Stub>,
    pub(super) client: Client,
    /// The thread for registers, memory and the rest.
    pub(super) general: Option<ThreadId>,
    /// The threads for `c` and `s`.
    pub(super) resumed: Option<Thread>,
    /// Threads that were not listed yet.
    pub(super) listing: Vec<ThreadId>,
    pub(super) breakpoints: breakpoint::Table,
    pub(super) files: file::Files,
    pub(super) objects: object::Snapshots,
    pub(super) expedited: Option<Arc<Expedited>>,
    pub(super) loader: tls::Loader,
    pub(super) launch: Launch,
    pub(super) launched: Option<Result<()>>,
    pub(super) saved: HashMap<u64, Saved>,
    pub(super) allocated: HashMap<u64, u64>,
    /// Signals that pass without a stop, by Linux's numbers.
    pub(super) passed: Vec<i32>,
    /// Signals that reach the program at all; `None`: every one.
    pub(super) delivered: Option<Vec<i32>>,
    /// The table before this client came.
    pub(super) handlings: Option<Vec<Handling>>,
    /// The client waits for a stop (all-stop).
    pub(super) running: bool,
    /// Stops that a client in non-stop mode has not fetched; the first was announced.
    pub(super) pending: VecDeque<Vec<u8>>,
    /// Requests that came while the target ran.
    waiting: VecDeque<Vec<u8>>,
    watcher: Option<Watcher>,
    /// Whether the client has said anything in the protocol.
    known: bool,
    /// The server ends when what is queued has been sent.
    pub(super) over: bool,
    /// What the client may do.
    allowed: Permissions,
}

impl<'a> Conversation<'a> {
    /// A new connection.
    pub fn new(framed: Framed, stub: Arc<Stub>, seat: &'a Seat, options: &'a ServeOptions) -> Conversation<'a> {
        let launch = stub.manner.launch.clone().unwrap_or_else(|| Launch::new("", Vec::new()));
        Conversation {
            framed,
            link: Link::new(Role::Server, PACKET),
            seat,
            options,
            stub,
            client: Client::default(),
            general: None,
            resumed: None,
            listing: Vec::new(),
            breakpoints: breakpoint::Table::default(),
            files: file::Files::default(),
            objects: object::Snapshots::default(),
            expedited: None,
            loader: tls::Loader::default(),
            launch,
            launched: None,
            saved: HashMap::new(),
            allocated: HashMap::new(),
            passed: Vec::new(),
            delivered: None,
            handlings: None,
            running: false,
            pending: VecDeque::new(),
            waiting: VecDeque::new(),
            watcher: None,
            known: false,
            over: false,
            allowed: options.session(seat).view.permissions,
        }
    }

    /// Speaks with the client until it leaves.
    pub fn run(mut self) -> Result<()> {
        let outcome = self.speak();
        self.leave();
        outcome
    }

    fn speak(&mut self) -> Result<()> {
        loop {
            self.seat.cancel.check()?;
            self.read_packets()?;
            if !self.running
                && let Some(packet) = self.waiting.pop_front()
            {
                if !self.serve(&packet)? {
                    self.send_all()?;
                    return self.part();
                }
                continue;
            }
            self.report()?;
            self.send_all()?;
            if self.over {
                return self.part();
            }
            if !self.running && !self.waiting.is_empty() {
                continue;
            }
            self.wait()?;
        }
    }

    /// The last reply was sent: waits a moment for the client to hang up first, since closing with unread bytes would
    /// take the reply back.
    fn part(&mut self) -> Result<()> {
        let end = Instant::now() + PARTING;
        if self.framed.finish().is_ok() {
            while let Some(left) = end.checked_duration_since(Instant::now())
                && self.framed.fill(Some(left)).is_ok()
            {
                self.framed.consume(self.framed.arrived().len());
            }
        }
        if self.over {
            self.stub.end();
        }
        Ok(())
    }

    /// Takes packets out of what has arrived.
    fn read_packets(&mut self) -> Result<()> {
        loop {
            if !self.known {
                if let Some(name) = foreign(self.framed.arrived()) {
                    return Err(Error::new(Kind::Protocol, format!("the client speaks {name}")));
                }
                self.known = self.framed.arrived().len() >= 8;
            }
            let mut out = Vec::new();
            let (event, used) = self.link.receive(self.framed.arrived(), &mut out);
            self.framed.consume(used);
            self.framed.queue().extend_from_slice(&out);
            match event {
                Some(Event::Packet(packet)) => {
                    self.known = true;
                    if self.waiting.len() >= WAITING {
                        return Err(Error::new(Kind::Limit, "the client sends too much while the target runs"));
                    }
                    self.waiting.push_back(packet);
                }
                Some(Event::Interrupt) => self.interrupt()?,
                Some(Event::TooLong) => self.reply_error("the packet is too long"),
                Some(Event::Notification(_)) => {}
                None if used == 0 => return Ok(()),
                None => {}
            }
            // An interrupt behind a resume is for what that sets going.
            if !self.running
                && let Some(packet) = self.waiting.pop_front()
                && !self.serve(&packet)?
            {
                self.send_all()?;
                self.part()?;
                return Err(Error::new(Kind::Closed, "the client is done"));
            }
        }
    }

    /// Stops what runs, for a client that waits.
    fn interrupt(&mut self) -> Result<()> {
        if self.running || self.client.non_stop {
            let handle = self.stub.with(|target| Ok(target.handle()))?;
            handle.interrupt()?;
        }
        Ok(())
    }

    /// Carries out a request; `false`: it was the last one.
    fn serve(&mut self, packet: &[u8]) -> Result<bool> {
        self.stub.log("->", packet);
        let mut out = Vec::new();
        let answer = match Request::parse(packet) {
            Ok(request) => self.carry_out(request, &mut out),
            Err(Refusal::Unknown) => Ok(Answer::Reply),
            Err(Refusal::Malformed) => Err(Error::new(Kind::Usage, "the packet is malformed")),
        };
        match answer {
            Ok(Answer::Reply) => self.reply(&out),
            Ok(Answer::Leave) => {
                self.reply(&out);
                return Ok(false);
            }
            Ok(Answer::Silence) => {}
            Ok(Answer::Running) => self.running = true,
            // What cannot be done at all is an empty reply, so that the client tries otherwise.
            Err(error) if error.kind() == Kind::Unsupported => self.reply(b""),
            Err(error) if matches!(error.kind(), Kind::Closed | Kind::Interrupted) => return Err(error),
            Err(error) => self.reply_error(&error.to_string()),
        }
        Ok(true)
    }

    fn carry_out(&mut self, request: Request, out: &mut Vec<u8>) -> Result<Answer> {
        let missing = needs(&request).without(self.allowed);
        if missing != Permissions::NONE {
            return Err(Error::new(Kind::Permission, format!("this client may not: {}", missing.names())));
        }
        match request {
            Request::Session(request) => self.session(request, out),
            Request::Threads(request) => self.threads(request, out),
            Request::Register(request) => self.register(request, out),
            Request::Memory(request) => self.memory(request, out),
            Request::Resume(request) => self.resume(request, out),
            Request::Breakpoint(request) => self.breakpoint(request, out),
            Request::Process(request) => self.process(request, out),
            Request::Object(request) => self.object(request, out),
            Request::File(request) => self.file(request, out),
        }
    }

    /// Queues a reply.
    pub(super) fn reply(&mut self, payload: &[u8]) {
        self.stub.log("<-", payload);
        self.link.send(payload, self.framed.queue());
    }

    fn reply_error(&mut self, message: &str) {
        let mut out = Vec::new();
        self.client.errors.print(message, &mut out);
        self.reply(&out);
    }

    /// Queues a piece of text for the client's console, and sends it.
    pub(super) fn say(&mut self, text: &[u8]) -> Result<()> {
        for piece in text.chunks(PACKET / 4) {
            let mut out = Vec::new();
            crate::protocol::rsp::reply::push_console(piece, &mut out);
            self.reply(&out);
        }
        self.send_all()
    }

    /// Ends acknowledgements, behind the reply that is still acknowledged.
    pub(super) fn stop_acknowledging(&mut self) {
        self.link.stop_acknowledging();
    }

    fn send_all(&mut self) -> Result<()> {
        if self.framed.queued() > 0 { self.framed.flush(Some(self.options.patience)) } else { Ok(()) }
    }

    /// Sends the stops that have happened.
    fn report(&mut self) -> Result<()> {
        if self.client.non_stop {
            return self.announce();
        }
        while self.running {
            let mut stop = self.stub.with(|target| target.take_stop())?;
            if stop.is_none() {
                if self.stub.with(|target| Ok(target.is_running()))? {
                    return Ok(());
                }
                // It may have come just now.
                stop = self.stub.with(|target| target.take_stop())?;
            }
            let stop = match stop {
                Some(stop) => self.stop_reply(&stop)?,
                // The prompt that shares the target was told of it.
                None => match self.standing() {
                    Ok(stop) => Some(stop),
                    // It has ended just now, and will be known to have.
                    Err(_) => return Ok(()),
                },
            };
            let Some(stop) = stop else {
                self.go_on()?;
                continue;
            };
            self.running = false;
            let mut out = Vec::new();
            stop.print(&mut out);
            self.reply(&out);
            if self.is_over(&stop)? {
                self.over = true;
            }
        }
        Ok(())
    }

    /// Whether nothing is left to serve after `stop`.
    pub(super) fn is_over(&mut self, stop: &Stop) -> Result<bool> {
        if !matches!(stop, Stop::Exited { .. } | Stop::Killed { .. }) {
            return Ok(false);
        }
        match stop {
            Stop::Exited { code, .. } => self.stub.narrate(&format!("\nChild exited with status {code}")),
            Stop::Killed { signal, .. } => {
                let number = self.client.to_linux(*signal).unwrap_or(0);
                let name = signals::name(number).unwrap_or_default();
                self.stub.narrate(&format!("\nChild terminated with signal = 0x{number:x} ({name})"));
            }
            _ => {}
        }
        self.stub.remember(Some(stop.clone()));
        self.has_nothing_left()
    }

    /// Queues what happened in non-stop mode; the first of the queue is announced.
    fn announce(&mut self) -> Result<()> {
        while let Some(stop) = self.stub.with(|target| target.take_stop())? {
            let Some(stop) = self.stop_reply(&stop)? else { continue };
            self.is_over(&stop)?;
            let mut out = Vec::new();
            stop.print(&mut out);
            self.pending.push_back(out);
            if self.pending.len() == 1 {
                self.notify();
            }
        }
        Ok(())
    }

    fn notify(&mut self) {
        if let Some(first) = self.pending.front() {
            let payload = [b"Stop:", first.as_slice()].concat();
            self.stub.log("<%", &payload);
            self.link.notify(&payload, self.framed.queue());
        }
    }

    /// Waits until the client says something or the target stops.
    fn wait(&mut self) -> Result<()> {
        if self.framed.poll()? {
            return Ok(());
        }
        let watched = self.running || (self.client.non_stop && self.stub.with(|target| Ok(target.is_running()))?);
        if !watched {
            return self.wait_for_line(None);
        }
        let handle = self.stub.with(|target| Ok(target.handle()))?;
        if handle.wait(Some(Instant::now() + SHORT), &self.seat.cancel)? {
            return Ok(());
        }
        if self.watcher.is_none() {
            self.watcher = Some(Watcher::start(handle)?);
        }
        if let Some(watcher) = &mut self.watcher {
            watcher.watch()?;
        }
        self.wait_for_line(Some(()))
    }

    fn wait_for_line(&mut self, stops: Option<()>) -> Result<()> {
        let Some(line) = self.framed.pollable() else {
            // A line inside of this process.
            let patience = if stops.is_some() { Duration::from_millis(2) } else { TICK };
            return match self.framed.fill(Some(patience)) {
                Err(error) if error.kind() == Kind::Timeout => Ok(()),
                outcome => outcome,
            };
        };
        let mut polled = vec![PollFd::from_borrowed_fd(line, PollFlags::IN)];
        if stops.is_some()
            && let Some(watcher) = &self.watcher
        {
            polled.push(PollFd::new(&watcher.woken, PollFlags::IN));
        }
        let tick = Timespec { tv_sec: 0, tv_nsec: i64::from(TICK.subsec_nanos()) };
        match poll(&mut polled, Some(&tick)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Error::system("cannot wait for the debugger", &error.into())),
        }
    }

    /// What is left behind: no breakpoint, no changed table; what the server started stays for the next client.
    fn leave(&mut self) {
        self.watcher = None;
        let own = self.stub.is_own();
        // Whatever cannot be undone any more has gone with its process.
        let _ = self.stub.with(|target| {
            if own && target.is_running() {
                let handle = target.handle();
                let _ = handle.interrupt();
                let end = Instant::now() + Duration::from_secs(2);
                while target.is_running() && handle.wait(Some(end), &Cancel::new())? {
                    while target.take_stop()?.is_some() {}
                }
            }
            self.breakpoints.clear(target);
            if let Some(handlings) = self.handlings.take() {
                for (number, handling) in (0..).zip(handlings).skip(1) {
                    let _ = target.set_signal(number, handling);
                }
            }
            target.set_settings(&crate::debug::Settings::default())
        });
    }

    /// The thread for what follows: the chosen one, or any.
    pub(super) fn thread(&self) -> Result<ThreadId> {
        if let Some(thread) = self.general {
            return Ok(thread);
        }
        self.stub.with(|target| {
            if let Some(thread) = target.current() {
                return Ok(thread);
            }
            let first = target.threads(None)?.first().map(|thread| thread.id);
            first.ok_or_else(|| Error::new(Kind::NotFound, "there is no process"))
        })
    }

    /// The thread that `name` means; of several the current one, if it is among them.
    pub(super) fn find(&self, name: Thread) -> Result<ThreadId> {
        let threads = self.stub.with(|target| target.threads(None))?;
        let matches = |id: ThreadId| {
            name.process.is_none_or(|process| process.covers(u64::from(id.process))) && name.thread.covers(id.thread)
        };
        let current = self.thread().ok().filter(|id| matches(*id) && threads.iter().any(|thread| thread.id == *id));
        let found = current.or_else(|| threads.iter().map(|thread| thread.id).find(|id| matches(*id)));
        found.ok_or_else(|| Error::new(Kind::NotFound, "there is no such thread"))
    }

    /// How a thread is named to this client.
    pub(super) fn name(&self, thread: ThreadId) -> Thread {
        Thread::new(u64::from(thread.process), thread.thread, self.client.multiprocess)
    }

    /// The name, printed.
    pub(super) fn push_name(&self, thread: ThreadId, out: &mut Vec<u8>) {
        self.name(thread).print(out);
    }

    /// Whether `name` stands for more than one thread.
    pub(super) fn is_many(name: Thread) -> bool {
        !matches!(name.thread, Id::One(_))
    }
}

/// What a client must be allowed for a request.
fn needs(request: &Request) -> Permissions {
    match request {
        Request::Register(Register::Write { .. } | Register::WriteAll { .. } | Register::Restore { .. }) => {
            Permissions::WRITE.and(Permissions::DEBUG)
        }
        Request::Memory(
            Memory::Write { .. } | Memory::WriteBinary { .. } | Memory::Allocate { .. } | Memory::Free(_),
        ) => Permissions::WRITE,
        Request::Register(_) | Request::Memory(_) => Permissions::READ,
        Request::Resume(Resume::Continue(_) | Resume::Simple(..) | Resume::Back { .. }) => Permissions::DEBUG,
        Request::Breakpoint(_) => Permissions::DEBUG,
        Request::Process(Process::Run { .. } | Process::Arguments(_) | Process::Restart | Process::Redirect(..)) => {
            Permissions::DEBUG.and(Permissions::EXEC)
        }
        Request::Process(_) => Permissions::DEBUG,
        Request::File(File::Write { .. } | File::Remove(_) | File::Symlink { .. }) => {
            Permissions::FILES.and(Permissions::WRITE)
        }
        Request::File(File::Open { flags, .. }) if *flags != 0 => Permissions::FILES.and(Permissions::WRITE),
        Request::File(_) => Permissions::FILES,
        Request::Object(Object::Write { .. }) => Permissions::WRITE,
        _ => Permissions::NONE,
    }
}

/// `OK`.
pub fn ok(out: &mut Vec<u8>) -> Result<Answer> {
    wire::push(out, "OK");
    Ok(Answer::Reply)
}

/// A thread that waits for stops and says so through a socket, which can be polled.
struct Watcher {
    orders: Option<Sender<()>>,
    woken: UnixStream,
    /// It waits already.
    busy: bool,
    cancel: Cancel,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    fn start(handle: Arc<dyn crate::debug::Handle>) -> Result<Watcher> {
        let failed = |e: std::io::Error| Error::system("cannot wait for the target", &e);
        let (woken, mut waker) = UnixStream::pair().map_err(failed)?;
        woken.set_nonblocking(true).map_err(failed)?;
        let (orders, receiver) = channel::<()>();
        let cancel = Cancel::new();
        let flag = cancel.clone();
        let wait = move || {
            while receiver.recv().is_ok() {
                // Whatever ends it, the conversation looks.
                let _ = handle.wait(None, &flag);
                if flag.is_set() || waker.write_all(&[1]).is_err() {
                    return;
                }
            }
        };
        let thread = Builder::new().name("gdb-stops".into()).spawn(wait).map_err(failed)?;
        Ok(Watcher { orders: Some(orders), woken, busy: false, cancel, thread: Some(thread) })
    }

    /// Has the thread wait, if it does not yet.
    fn watch(&mut self) -> Result<()> {
        let mut bytes = [0; 16];
        if matches!((&self.woken).read(&mut bytes), Ok(1..)) {
            self.busy = false;
        }
        if !self.busy {
            self.busy = true;
            let sent = self.orders.as_ref().is_some_and(|orders| orders.send(()).is_ok());
            if !sent {
                return Err(Error::new(Kind::Closed, "nobody waits for the target any more"));
            }
        }
        Ok(())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.cancel.set();
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}
