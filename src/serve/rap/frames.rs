//! The server's half of rap 2: what the requests in frames do.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use super::State;
use super::line::{Line, Notes, Output, Running, Told};
use crate::commands::hash;
use crate::debug::remote;
use crate::error::{Error, Kind, Result};
use crate::io::scan::{Extent, Keyword, Pattern, Scan, Source, Stretch, Wanted};
use crate::io::{Descriptor, Io, Latency, Layer, Read, SearchRequest, Settings};
use crate::link::Framed;
use crate::output::{Executor, Out, Style, reader_is_gone};
use crate::prompt::completion;
use crate::protocol::rap::PACKET;
use crate::protocol::rap2::{self, Answer, Head, LATEST, Op, Ran, Range, ReadAnswer, Request, SPACE, Stat, Status};
use crate::session::scope::{self, Scope};
use crate::session::{Core, Permissions, Session};

/// Bytes that are read at a time where much is looked at. Between two of them others may use the session.
const CHUNK: usize = 1 << 20;

/// What a descriptor in a request stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// A descriptor of the session.
    File(u32),
    /// Its address space.
    Space,
}

impl State<'_> {
    /// Answers the request at the front, which has arrived whole.
    pub(super) fn frame(&mut self, mut framed: Framed, head: Head<Op>) -> Result<Framed> {
        let used = rap2::HEAD + head.length;
        let id = head.id;
        if self.waiting.is_busy() {
            // It may be that nobody wants the answer any more.
            framed.poll()?;
            self.waiting.look(&mut framed, None)?;
        }
        if self.waiting.is_cancelled(id) || self.seat.is_leaving() {
            framed.consume(used);
            self.waiting.consumed(used);
            done(&mut framed, id, &Err(Error::new(Kind::Interrupted, "interrupted")))?;
            return Ok(framed);
        }
        let request = Request::parse(head.tag, &framed.arrived()[rap2::HEAD..used])?;
        // What outlives the frame's bytes is copied here; only the data of a WRITE stays where it is.
        let outcome = match request {
            Request::Write { descriptor, address, data } => self.write_at(descriptor, address, data),
            Request::Stat { descriptor } => self.stat(descriptor).map(|stat| stat.bytes()),
            Request::Complete { cursor, text } => Ok(self.complete(cursor, &String::from_utf8_lossy(text))),
            Request::Resize { descriptor, size } => self.resize(descriptor, size).map(|()| Vec::new()),
            // Those that could be answered before their turn have been.
            Request::Cancel { .. } => Ok(Vec::new()),
            Request::Ping { data } => Ok(data.to_vec()),
            Request::Read { descriptor, ranges } | Request::Packed { descriptor, ranges } => {
                self.take_off(&mut framed, used);
                self.read_ranges(framed.queue(), id, descriptor, &ranges, head.tag == Op::Packed)?;
                return Ok(framed);
            }
            Request::Run { text } => {
                let line = String::from_utf8_lossy(text).into_owned();
                self.take_off(&mut framed, used);
                return self.run_line(framed, id, &line);
            }
            Request::Target { descriptor, call } => {
                let call = remote::server::parse(call);
                self.take_off(&mut framed, used);
                return self.attended(framed, id, |state, _| state.process(descriptor, call?));
            }
            Request::Digest { descriptor, address, length, algorithm } => {
                let algorithm = String::from_utf8_lossy(algorithm).into_owned();
                self.take_off(&mut framed, used);
                return self.attended(framed, id, |state, line| {
                    state.digest(line, descriptor, address, length, &algorithm).map(String::into_bytes)
                });
            }
            Request::Search { descriptor, address, length, align, limit, needle, mask } => {
                let mask = (!mask.is_empty()).then(|| mask.to_vec());
                let asked = SearchRequest { address, length, needle: needle.to_vec(), mask, align, limit };
                self.take_off(&mut framed, used);
                return self.attended(framed, id, |state, line| {
                    state.search(line, descriptor, &asked).map(|hits| hits.to_be_bytes().to_vec())
                });
            }
        };
        self.take_off(&mut framed, used);
        done(&mut framed, id, &outcome)?;
        Ok(framed)
    }

    fn take_off(&mut self, framed: &mut Framed, used: usize) {
        framed.consume(used);
        self.waiting.consumed(used);
    }

    /// What `descriptor` stands for, once the client may look at it.
    pub(super) fn place(&self, descriptor: i32, needed: Permissions) -> Result<Place> {
        self.session.view.permissions.require(needed, "rap")?;
        let number = match descriptor {
            SPACE => return Ok(Place::Space),
            LATEST => match self.latest {
                Some(fd) => fd,
                None => return Ok(Place::Space),
            },
            number => number.checked_sub(1).and_then(|fd| u32::try_from(fd).ok()).unwrap_or(u32::MAX),
        };
        self.session.core().io.descriptor(number)?;
        Ok(Place::File(number))
    }

    fn stat(&self, descriptor: i32) -> Result<Stat> {
        let space = Stat { size: None, access: 4, version: None };
        let Place::File(fd) = self.place(descriptor, Permissions::READ)? else { return Ok(space) };
        let mut core = self.session.core();
        let held = core.io.overlay.next(Layer::Physical(fd), 0).is_some();
        let descriptor = core.io.descriptor_mut(fd)?;
        let info = descriptor.info();
        let bit = |on, bit| if on { bit } else { 0 };
        let access = descriptor.access;
        let access = bit(access.read, 4) | bit(access.write, 2) | bit(access.execute, 1);
        let local = info.latency == Latency::Local && !held;
        let version = local.then(|| descriptor.device().version()).flatten();
        Ok(Stat { size: info.size, access, version })
    }

    /// Appends the answer to a READ, or to a PACKED.
    fn read_ranges(
        &mut self,
        queue: &mut Vec<u8>,
        id: u32,
        descriptor: i32,
        ranges: &[Range],
        packed: bool,
    ) -> Result<()> {
        let total: u64 = ranges.iter().map(|range| u64::from(range.length)).sum();
        let place = self.place(descriptor, Permissions::READ).and_then(|place| match total {
            total if total > u64::from(PACKET) => {
                Err(Error::new(Kind::Limit, format!("{total} bytes are more than one READ gives")))
            }
            _ => Ok(place),
        });
        let place = match place {
            Ok(place) => place,
            Err(error) => return encode_error(queue, id, &error),
        };
        let answer = ReadAnswer::begin(queue, id, ranges);
        match self.fill(place, ranges, &mut queue[answer.data..]) {
            Ok(counts) => {
                self.seat.gate.count_read(counts.iter().map(|count| u64::from(*count)).sum());
                if packed {
                    answer.finish_packed(queue, ranges, &counts)
                } else {
                    answer.finish(queue, ranges, &counts)
                }
            }
            Err(error) => {
                answer.abandon(queue);
                encode_error(queue, id, &error)
            }
        }
    }

    /// Reads `ranges` into `buffer`, one after the other, and says how much of each was there.
    fn fill(&mut self, place: Place, ranges: &[Range], mut buffer: &mut [u8]) -> Result<Vec<u32>> {
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            let (part, rest) = buffer.split_at_mut(range.length as usize);
            parts.push(Read { address: range.address, buffer: part, done: 0 });
            buffer = rest;
        }
        match place {
            Place::File(fd) => {
                let mut core = self.session.core();
                core.io.descriptor_mut(fd)?.device().read_many(&mut parts)?;
                for read in &mut parts {
                    let done = read.done.min(read.buffer.len());
                    core.io.overlay.apply(Layer::Physical(fd), read.address, &mut read.buffer[..done]);
                }
            }
            Place::Space => self.session.with(|core, view| {
                let mut scope = Scope { core, view };
                parts.iter_mut().try_for_each(|read| {
                    read.done = read.buffer.len();
                    scope.read(read.address, read.buffer).map(drop)
                })
            })?,
        }
        Ok(parts.iter().map(|read| read.done as u32).collect())
    }

    /// Writes `data`; the result is the number of bytes that were taken.
    fn write_at(&mut self, descriptor: i32, address: u64, data: &[u8]) -> Result<Vec<u8>> {
        let place = self.place(descriptor, Permissions::WRITE)?;
        let count = self.session.with(|core, view| {
            let mut settings = scope::settings(core, view);
            if let Place::File(fd) = place {
                settings.descriptor = Some(fd);
                if !settings.cache {
                    return write_through(core.io.descriptor_mut(fd)?, address, data);
                }
            }
            core.io.write(&settings, address, data).map(|()| data.len())
        })?;
        self.seat.gate.count_written(count as u64);
        Ok((count as u32).to_be_bytes().to_vec())
    }

    fn resize(&mut self, descriptor: i32, size: u64) -> Result<()> {
        match self.place(descriptor, Permissions::WRITE)? {
            Place::File(fd) => self.session.core().io.resize(fd, size),
            Place::Space => Err(Error::new(Kind::Unsupported, "an address space has no size")),
        }
    }

    /// How a line goes on: the start of the replaced part, then what can stand there.
    fn complete(&self, cursor: u32, text: &str) -> Vec<u8> {
        let found = completion::complete(text, cursor as usize, &self.session);
        let mut lines = format!("{}\n", found.start).into_bytes();
        for candidate in found.candidates.iter().filter(|candidate| !candidate.text.contains('\n')) {
            if lines.len() + candidate.text.len() >= PACKET as usize {
                break;
            }
            lines.extend_from_slice(candidate.text.as_bytes());
            lines.push(b'\n');
        }
        lines
    }

    /// Does `work`, during which the client is heard and hears how far it is, and answers with its result.
    fn attended(
        &mut self,
        framed: Framed,
        id: u32,
        work: impl FnOnce(&mut Self, &Arc<Line>) -> Result<Vec<u8>>,
    ) -> Result<Framed> {
        let (mut running, outcome) = self.watched(framed, id, work)?;
        running.seal()?;
        done(&mut running.framed, id, &outcome)?;
        Ok(self.finished(running))
    }

    /// Runs a line: its output and its errors go out as they come.
    fn run_line(&mut self, mut framed: Framed, id: u32, text: &str) -> Result<Framed> {
        self.tell(&mut framed)?;
        let begun = Instant::now();
        let (mut running, outcome) = self.watched(framed, id, |state, line| {
            let session = &mut state.session;
            session.view.failed = false;
            session.cancel.show_progress(Some(Box::new(Told(Arc::clone(line)))));
            let (mut output, mut notes) = (Output(line), Notes::new(line));
            let cancel = session.cancel.clone();
            let outcome = session.execute(text, &mut Out::new(&mut output, &mut notes, Style::default(), cancel));
            session.cancel.show_progress(None);
            outcome
        })?;
        running.seal()?;
        self.has_heard();
        // Leaving is the client's to do.
        self.session.view.quit = None;
        let (status, error) = match &outcome {
            Ok(()) if self.session.view.failed => (Status::Failed, String::new()),
            Ok(()) => (Status::Ok, String::new()),
            // The output was too much, which a note has said, or nobody is there to read this.
            Err(error) if reader_is_gone(error) => (Status::Failed, error.to_string()),
            Err(error) => (Status::from_kind(error.kind()), error.to_string()),
        };
        let failure = match outcome {
            Ok(()) => self
                .session
                .view
                .failed
                .then(|| Error::new(Kind::System, running.failure.take().unwrap_or_else(|| "failed".to_string()))),
            Err(error) => Some(error),
        };
        self.seat.gate.ran(text, running.said, failure.as_ref(), begun)?;
        let ran = Ran { last: self.session.view.last, seek: self.session.view.seek, error };
        Answer::Done { status, result: &ran.bytes() }.encode(id, running.framed.queue())?;
        Ok(self.finished(running))
    }

    /// Lends the connection to `work`, and to the watching thread.
    fn watched<R>(
        &mut self,
        framed: Framed,
        id: u32,
        work: impl FnOnce(&mut Self, &Arc<Line>) -> R,
    ) -> Result<(Running, R)> {
        let waiting = std::mem::take(&mut self.waiting);
        let (cancel, patience) = (self.seat.cancel.clone(), self.options.patience);
        let shared = self.options.home.is_some();
        let line = Arc::new(Line::new(Running::new(framed, waiting, id, cancel, patience, shared)));
        let watched = Arc::clone(&line);
        let seat = self.seat;
        let result = seat.while_watched(Box::new(move || watched.look_after()), || work(self, &line));
        let running = line.take()?;
        // A server that is stopping reads nothing more, which looks alike, but has something to say.
        if running.gone && !self.seat.is_leaving() {
            return Err(Error::new(Kind::Closed, "the client has gone"));
        }
        // The next request is not cancelled, unless all of them are.
        self.seat.cancel.clear();
        if self.seat.is_leaving() {
            self.seat.cancel.set();
        }
        Ok((running, result))
    }

    fn finished(&mut self, running: Running) -> Framed {
        self.waiting = running.waiting;
        running.framed
    }

    fn digest(&mut self, line: &Line, descriptor: i32, address: u64, length: u64, algorithm: &str) -> Result<String> {
        let place = self.place(descriptor, Permissions::READ)?;
        let mut hasher = hash::hasher(algorithm)?;
        let (fd, start) = self.whole(place, address, length)?;
        let cancel = self.seat.cancel.clone();
        if let Some(digest) =
            self.session.core().io.descriptor_mut(fd)?.device().digest(algorithm, start, length, &cancel)
        {
            return digest;
        }
        let mut buffer = vec![0; CHUNK.min(usize::try_from(length).unwrap_or(CHUNK))];
        let mut done = 0;
        while done < length {
            line.progress(done, length)?;
            let count = (length - done).min(CHUNK as u64) as usize;
            let read = {
                let mut core = self.session.core();
                let device = core.io.descriptor_mut(fd)?.device();
                device.read_at(start + done, &mut buffer[..count])?
            };
            if read == 0 {
                return Err(Error::new(
                    Kind::Unsupported,
                    format!("not all of it is there: 0x{:x} is not", start + done),
                ));
            }
            hasher.update(&buffer[..read.min(count)]);
            done += read.min(count) as u64;
        }
        Ok(hasher.finish())
    }

    /// Where `length` bytes lie as the device has them, in one piece.
    fn whole(&mut self, place: Place, address: u64, length: u64) -> Result<(u32, u64)> {
        let unsupported = || Error::new(Kind::Unsupported, "the bytes do not lie in one piece on one device");
        self.session.with(|core, view| {
            let mut settings = scope::settings(core, view);
            if let Place::File(fd) = place {
                settings.descriptor = Some(fd);
            }
            core.io.untouched(&settings, address, length).ok_or_else(unsupported)
        })
    }

    /// Reports the places of a pattern as numbers, and how many they are.
    fn search(&mut self, line: &Line, descriptor: i32, asked: &SearchRequest) -> Result<u64> {
        let place = self.place(descriptor, Permissions::READ)?;
        let (fd, start) = self.whole(place, asked.address, asked.length)?;
        let shift = asked.address.wrapping_sub(start);
        if shift != 0 && asked.align > 1 {
            return Err(Error::new(Kind::Unsupported, "addresses are aligned differently in the device"));
        }
        let limit = if asked.limit == 0 { u64::MAX } else { asked.limit };
        let (cancel, mut hits, mut failed) = (self.seat.cancel.clone(), 0, Ok(()));
        let mut report = |physical: u64| {
            hits += 1;
            let sent = Output(line).write_all(&physical.wrapping_add(shift).to_be_bytes());
            failed = sent.map_err(|e| Error::system("the hits cannot be sent", &e));
            failed.is_ok() && hits < limit
        };
        let further = SearchRequest { address: start, ..asked.clone() };
        let asked_of = |core: &mut Core, report: &mut dyn FnMut(u64) -> bool| {
            core.io.descriptor_mut(fd).ok()?.device().search(&further, &cancel, report)
        };
        let elsewhere = asked_of(&mut self.session.core(), &mut report);
        if let Some(outcome) = elsewhere {
            outcome?;
        } else if asked.length >= asked.needle.len() as u64 {
            let pattern = Pattern::Bytes(Keyword::new(asked.needle.clone(), asked.mask.clone(), 0)?);
            let wanted = Wanted { align: asked.align, overlap: true };
            let extent = Extent { first: start, last: start.saturating_add(asked.length - 1) };
            let mut scan = Scan::new(&pattern, wanted, extent);
            let mut source = File { session: &mut self.session, fd, line, extent };
            while let Some(hit) = scan.next(&mut source, &cancel)? {
                if !report(hit.address) {
                    break;
                }
            }
        }
        failed?;
        Ok(hits)
    }
}

/// A descriptor that is searched: the session is locked for one read at a time.
struct File<'a> {
    session: &'a mut Session,
    fd: u32,
    line: &'a Line,
    extent: Extent,
}

impl Source for File<'_> {
    fn stretch(&mut self, address: u64, buffer: &mut [u8]) -> Result<Stretch> {
        self.line.progress(address - self.extent.first, self.extent.length())?;
        let settings = Settings { descriptor: Some(self.fd), ..Settings::default() };
        let io: &mut Io = &mut self.session.core().io;
        io.stretch(&settings, address, buffer)
    }
}

fn write_through(descriptor: &mut Descriptor, address: u64, data: &[u8]) -> Result<usize> {
    if !descriptor.access.write {
        return Err(Error::new(Kind::Permission, format!("'{}' is open read-only", descriptor.uri)));
    }
    let mut done = 0;
    while done < data.len() {
        let Some(here) = address.checked_add(done as u64) else { break };
        match descriptor.device().write_at(here, &data[done..])? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}

fn done(framed: &mut Framed, id: u32, outcome: &Result<Vec<u8>>) -> Result<()> {
    match outcome {
        Ok(result) => Answer::Done { status: Status::Ok, result }.encode(id, framed.queue()),
        Err(error) => encode_error(framed.queue(), id, error),
    }
}

fn encode_error(queue: &mut Vec<u8>, id: u32, error: &Error) -> Result<()> {
    let text = error.to_string();
    Answer::Done { status: Status::from_kind(error.kind()), result: text.as_bytes() }.encode(id, queue)
}
