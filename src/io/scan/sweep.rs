//! A search from low to high addresses on all cores. What many threads can read at once is cut into segments that are
//! looked at side by side; everything else is read under the caller's lock, a step at a time. The hits are those, and
//! in the order, that a single [`Scan`] would report.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::{Extent, Hit, Pattern, Run, Scan, Source, Stretch, Wanted};
use crate::error::Result;
use crate::io::scan::pattern::{Found, Piece};
use crate::output::Cancel;

/// Bytes of a segment: what a core reads should still be in its cache when it looks at it.
const SEGMENT: u64 = if cfg!(test) { 512 } else { 256 * 1024 };

/// Bytes of a step that is not shared between threads.
const STEP: u64 = if cfg!(test) { 700 } else { 1 << 20 };

/// Segments for each thread in one round: enough to keep all busy. Where little is found there are more of them, for
/// between two rounds all threads wait for the last one.
const ROUNDS: std::ops::RangeInclusive<usize> = if cfg!(test) { 2..=16 } else { 16..=128 };

/// Hits in one round that are few.
const FEW: usize = if cfg!(test) { 5 } else { 1024 };

/// Most hits that are kept of one round; what has not begun by then is looked at in the next.
const MOST: usize = if cfg!(test) { 300 } else { 1 << 21 };

/// Runs shorter than this are not worth waking other threads for.
const WORTHWHILE: u64 = if cfg!(test) { 1000 } else { 1 << 20 };

/// Most hits that one segment keeps. Where they lie denser than this the rest of the segment is looked at again.
const DENSE: usize = if cfg!(test) { 100 } else { 1 << 16 };

/// Patterns that reach further are looked at by one thread, whose window grows with them.
const FAR: u64 = 1 << 20;

/// The search: each call of [`Sweep::next`] goes on to the next hit.
pub struct Sweep<'p> {
    pattern: &'p Pattern,
    wanted: Wanted,
    extent: Extent,
    /// Hits that lie lower are decided; `None`: all are.
    next: Option<u64>,
    /// Where the next hit may begin, when hits must not overlap.
    free: u64,
    hits: VecDeque<Hit>,
    /// Segments for each thread in the next round.
    segments: usize,
    /// What segments are read into: as many as threads were at work, and they are only made once.
    buffers: Buffers,
}

/// Memory that no thread uses at the moment.
#[derive(Default)]
struct Buffers(Mutex<Vec<Vec<u8>>>);

/// A buffer in use.
struct Lease<'b> {
    buffers: &'b Buffers,
    bytes: Vec<u8>,
}

impl Buffers {
    fn lease(&self) -> Lease<'_> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lease { buffers: self, bytes: free.unwrap_or_default() }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.buffers.0.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.bytes));
    }
}

/// What one thread found.
struct Part {
    hits: Vec<Hit>,
    /// Where it gave up, for there were too many, or something could not be read.
    stopped: Option<u64>,
}

impl<'p> Sweep<'p> {
    /// A search for `pattern` in `extent`.
    pub fn new(pattern: &'p Pattern, wanted: Wanted, extent: Extent) -> Sweep<'p> {
        Sweep {
            pattern,
            wanted,
            extent,
            next: Some(extent.first),
            free: extent.first,
            hits: VecDeque::new(),
            segments: *ROUNDS.start(),
            buffers: Buffers::default(),
        }
    }

    /// How many bytes of the extent are done.
    pub fn done(&self) -> u64 {
        self.next.map_or_else(|| self.extent.length(), |next| next - self.extent.first)
    }

    /// The next hit; `None` when there is no other. `step` is called between the steps, with the bytes that are done.
    pub fn next(&mut self, source: &mut dyn Source, cancel: &Cancel, step: &mut dyn FnMut(u64)) -> Result<Option<Hit>> {
        loop {
            if let Some(hit) = self.hits.pop_front() {
                return Ok(Some(hit));
            }
            let Some(next) = self.next else { return Ok(None) };
            cancel.check()?;
            match source.run(next) {
                Some(run) if self.shares(&run, next) => self.together(&run, next, source, cancel)?,
                _ => self.alone(next, source, cancel)?,
            }
            step(self.done());
        }
    }

    /// The next hits, as many as a step of the search decided; when there are none, there is no other.
    pub fn batch(&mut self, source: &mut dyn Source, cancel: &Cancel, step: &mut dyn FnMut(u64)) -> Result<Vec<Hit>> {
        if let Some(first) = self.next(source, cancel, step)? {
            self.hits.push_front(first);
        }
        Ok(std::mem::take(&mut self.hits).into())
    }

    fn reach(&self) -> u64 {
        self.pattern.reach() as u64
    }

    /// Bytes from `next` to the end of the extent.
    fn left(&self, next: u64) -> u64 {
        (self.extent.last - next).saturating_add(1)
    }

    fn shares(&self, run: &Run, next: u64) -> bool {
        self.reach() <= FAR && run.length.min(self.left(next)) >= WORTHWHILE + 2 * self.reach()
    }

    /// Everything below `place` is decided.
    fn advance(&mut self, place: Option<u64>) {
        self.next = place.filter(|place| *place <= self.extent.last);
    }

    /// Takes what a segment found, in order.
    fn take(&mut self, hits: impl IntoIterator<Item = Hit>) {
        for hit in hits {
            if self.wanted.overlap || hit.address >= self.free {
                self.free = hit.address.saturating_add(hit.length as u64);
                self.hits.push_back(hit);
            }
        }
    }

    /// Whether a match decides where the next one may begin by more than the bytes it takes: then what is found from
    /// the middle of a match is not what is found from its end.
    fn depends(&self) -> bool {
        self.pattern.looks_back() && !self.wanted.overlap
    }

    /// Looks at the start of `run`, which begins at `next`, with all cores.
    fn together(&mut self, run: &Run, next: u64, source: &mut dyn Source, cancel: &Cancel) -> Result<()> {
        let available = run.length.min(self.left(next));
        let at_end = available == self.left(next);
        // What starts behind this needs bytes that lie outside of the run.
        let decided = if at_end { available } else { available - self.reach() };
        let size = SEGMENT.max(4 * self.reach());
        let threads = rayon::current_num_threads();
        let count = decided.div_ceil(size).min((threads * self.segments) as u64);
        let round = decided.min(count * size);
        let segment = Segment {
            pattern: self.pattern,
            align: self.wanted,
            every: self.wanted.overlap || !self.pattern.looks_back(),
            run,
            start: next,
            before: self.before(next, source)?,
            available,
            at_end,
        };
        let kept = AtomicUsize::new(0);
        let parts: Vec<Result<Part>> = (0..count)
            .into_par_iter()
            .map_init(
                || self.buffers.lease(),
                |lease, index| {
                    cancel.check()?;
                    let from = index * size;
                    if index > 0 && kept.load(Ordering::Relaxed) >= MOST {
                        return Ok(Part { hits: Vec::new(), stopped: Some(next + from) });
                    }
                    let part = segment.look(from, from, (from + size).min(round), &mut lease.bytes)?;
                    kept.fetch_add(part.hits.len(), Ordering::Relaxed);
                    Ok(part)
                },
            )
            .collect();
        self.segments = match kept.into_inner() {
            ..FEW => (self.segments * 2).min(*ROUNDS.end()),
            _ => *ROUNDS.start(),
        };
        let depends = self.depends();
        for (index, part) in (0..).zip(parts) {
            let (mut part, from) = (part?, index * size);
            let to = (from + size).min(round);
            let taken = self.free.saturating_sub(next);
            if depends && taken > from {
                // A match reaches into this segment: look again from its end.
                part = if taken >= to {
                    Part { hits: Vec::new(), stopped: None }
                } else {
                    segment.look(from, taken, to, &mut self.buffers.lease().bytes)?
                };
            }
            self.take(part.hits);
            if let Some(place) = part.stopped {
                if place == next {
                    // Nothing could be read where a run was promised.
                    return self.alone(next, source, cancel);
                }
                self.advance(Some(place));
                return Ok(());
            }
        }
        let place = next.checked_add(round);
        self.advance(if depends { place.map(|place| place.max(self.free)) } else { place });
        Ok(())
    }

    /// The byte before `next`, if the pattern cares and there is one.
    fn before(&self, next: u64, source: &mut dyn Source) -> Result<Option<u8>> {
        if !self.pattern.looks_back() || next == self.extent.first {
            return Ok(None);
        }
        let mut byte = [0];
        Ok(match source.stretch(next - 1, &mut byte)? {
            Stretch::Data(_) => Some(byte[0]),
            Stretch::Zeros(_) => Some(0),
            Stretch::Hole(_) => None,
        })
    }

    /// Looks at the next step in this thread.
    fn alone(&mut self, next: u64, source: &mut dyn Source, cancel: &Cancel) -> Result<()> {
        let length = match source.stretch(next, &mut [0])? {
            Stretch::Hole(length) if length > 0 => {
                self.advance(next.checked_add(length));
                return Ok(());
            }
            Stretch::Zeros(length) if length > 0 => length.max(STEP),
            _ => STEP,
        };
        let length = length.max(4 * self.reach()).min(self.left(next));
        let last = next + (length - 1);
        let look = u64::from(self.pattern.looks_back() && next > self.extent.first);
        let extent = Extent { first: next - look, last: last.saturating_add(self.reach()).min(self.extent.last) };
        let every = self.wanted.overlap || !self.pattern.looks_back();
        let mut scan = Scan::new(self.pattern, Wanted { overlap: every, ..self.wanted }, extent);
        scan.at = look as usize;
        let mut hits = Vec::new();
        while let Some(hit) = scan.next(source, cancel)? {
            if hit.address > last {
                break;
            }
            hits.push(hit);
            if hits.len() == DENSE {
                self.take(hits);
                self.advance(scan.start.checked_add(scan.at as u64));
                return Ok(());
            }
        }
        self.take(hits);
        let place = last.checked_add(1);
        self.advance(if self.depends() { place.map(|place| place.max(self.free)) } else { place });
        Ok(())
    }
}

/// What the threads of a round have in common.
struct Segment<'a> {
    pattern: &'a Pattern,
    align: Wanted,
    /// Hits are collected wherever they begin; which of them are free is decided later.
    every: bool,
    run: &'a Run,
    /// The address of the run's first byte.
    start: u64,
    /// The byte before it.
    before: Option<u8>,
    /// Bytes of the run that may be looked at.
    available: u64,
    /// Whether nothing follows them.
    at_end: bool,
}

impl Segment<'_> {
    /// Finds what begins from `from` up to `to` (offsets in the run). The segment itself begins at `base`; it is read
    /// into `buffer`.
    fn look(&self, base: u64, from: u64, to: u64, buffer: &mut Vec<u8>) -> Result<Part> {
        let end = (to + self.pattern.reach() as u64).min(self.available);
        // The byte before matters to patterns that look back.
        let known = match (self.pattern.looks_back(), base) {
            (false, _) => None,
            (true, 0) => self.before,
            (true, _) => Some(0),
        };
        let lead = usize::from(known.is_some());
        let wanted = (end - base) as usize + lead;
        if buffer.len() < wanted {
            buffer.resize(wanted, 0);
        }
        let bytes = &mut buffer[..wanted];
        let read = match (known, base) {
            (Some(byte), 0) => {
                bytes[0] = byte;
                self.run.read(0, &mut bytes[1..])? + 1
            }
            (Some(_), _) => self.run.read(base - 1, bytes)?,
            (None, _) => self.run.read(base, bytes)?,
        };
        let mut hits = Vec::new();
        if read < wanted {
            // The file was cut short in this moment.
            return Ok(Part { hits, stopped: Some(self.start + base) });
        }
        let (bytes, at_end) = (&*bytes, self.at_end && end == self.available);
        let last = (to - base) as usize + lead;
        let mut at = (from - base) as usize + lead;
        let mut known = None;
        while let Found::Hit(place) = self.pattern.find_on(Piece { bytes, offset: 0, last: at_end }, at, &mut known) {
            if place.start >= last {
                break;
            }
            let address = self.start + base + (place.start - lead) as u64;
            at = place.start + 1;
            if !self.align.takes(address) {
                continue;
            }
            if !self.every {
                at = place.end;
            }
            hits.push(Hit { address, length: place.len() });
            if hits.len() == DENSE {
                return Ok(Part { hits, stopped: Some(self.start + base + (at - lead) as u64) });
            }
        }
        Ok(Part { hits, stopped: None })
    }
}
