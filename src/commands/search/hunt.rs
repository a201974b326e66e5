//! Running a search: hit after hit, with the core unlocked in between.

use std::collections::VecDeque;

use super::query::Query;
use crate::error::Result;
use crate::io::scan::{BackwardScan, Extent, Hit, Keyword, Pattern, Scan, Source, Stretch, Wanted};
use crate::io::{Read, SearchRequest};
use crate::output::Cancel;
use crate::session::{Ctx, Session, scope};

/// Hits that a device reports at a time: its answer has a bound, and others get their turn in between.
const BATCH: u64 = 4096;

/// What is read along with a hit, to be shown: its own bytes up to `bytes`, and so many before and behind.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Most bytes of the hit itself.
    pub bytes: usize,
    /// Bytes before it, and behind it if all of it is shown.
    pub around: usize,
}

/// Bytes in and around a hit.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many of them lie before the hit.
    pub before: usize,
    /// How many of them belong to the hit.
    pub own: usize,
    /// Whether all of them are there.
    pub whole: bool,
}

/// A hit, with its bytes if they came along.
pub type Catch = (Hit, Option<Seen>);

impl Frame {
    /// Room for what belongs to `hit`, and its first address.
    fn room(self, hit: Hit) -> (u64, Seen) {
        let before = hit.address.min(self.around as u64) as usize;
        let own = hit.length.min(self.bytes);
        let left = usize::try_from(u64::MAX - hit.address).unwrap_or(usize::MAX).saturating_sub(own - 1);
        let behind = if own < hit.length { 0 } else { self.around.min(left) };
        let bytes = vec![0; before + own + behind];
        (hit.address - before as u64, Seen { bytes, before, own, whole: false })
    }

    /// Reads what belongs to `hit`.
    pub fn read(self, ctx: &mut Ctx<'_, '_>, hit: Hit) -> Result<Seen> {
        let (address, mut seen) = self.room(hit);
        seen.whole = ctx.read_into(address, &mut seen.bytes)? == seen.bytes.len();
        Ok(seen)
    }
}

/// A search in one extent.
pub enum Hunt<'p> {
    /// The device finds the hits, so that only they travel.
    Device(DeviceSearch<'p>),
    /// The bytes are read and looked at here, from an address on.
    Forward(Scan<'p>, u64),
    /// The same, from the end.
    Backward(BackwardScan<'p>),
}

/// What a device was asked for.
pub struct DeviceSearch<'p> {
    keyword: &'p Keyword,
    pattern: &'p Pattern,
    wanted: Wanted,
    /// What is still to be searched.
    rest: Option<Extent>,
    found: VecDeque<(u64, Option<Seen>)>,
    /// What is read along with the hits.
    frame: Option<Frame>,
    /// The address after the last hit that was taken.
    free: u64,
    /// Most hits that the caller can want; 0: all.
    limit: u64,
}

impl<'p> Hunt<'p> {
    /// A search for what `query` asks for in `extent`, of which the caller takes at most `limit` hits (0: all), with
    /// the bytes in `frame`.
    pub fn new(query: &'p Query, wanted: Wanted, extent: Extent, limit: u64, frame: Option<Frame>) -> Hunt<'p> {
        let pattern = &query.pattern;
        match pattern {
            _ if query.backward => Hunt::Backward(BackwardScan::new(pattern, wanted, extent)),
            Pattern::Bytes(keyword) if !keyword.is_fuzzy() => {
                let (rest, found) = (Some(extent), VecDeque::new());
                let free = extent.first;
                Hunt::Device(DeviceSearch { keyword, pattern, wanted, rest, found, frame, free, limit })
            }
            _ => Hunt::Forward(Scan::new(pattern, wanted, extent), extent.first),
        }
    }

    /// The next hit, with its bytes if they came along; `None` when there is no other.
    pub fn next(&mut self, session: &mut Session, cancel: &Cancel) -> Result<Option<Catch>> {
        if let Hunt::Device(search) = self {
            if let Some(outcome) = search.next(session, cancel) {
                return outcome;
            }
            let Some(rest) = search.rest else { return Ok(None) };
            // The device leaves it to us.
            *self = Hunt::Forward(Scan::new(search.pattern, search.wanted, rest), rest.first);
        }
        let hit = match self {
            Hunt::Forward(scan, first) => scan.next(&mut Memory { session, first: Some(*first) }, cancel)?,
            Hunt::Backward(scan) => scan.next(&mut Memory { session, first: None }, cancel)?,
            Hunt::Device(_) => None,
        };
        Ok(hit.map(|hit| (hit, None)))
    }
}

impl DeviceSearch<'_> {
    /// The next hit, or `None` when the device does not search (from here on).
    fn next(&mut self, session: &mut Session, cancel: &Cancel) -> Option<Result<Option<Catch>>> {
        let length = self.keyword.value().len();
        loop {
            if let Some((address, seen)) = self.found.pop_front() {
                self.free = address.saturating_add(length as u64);
                return Some(Ok(Some((Hit { address, length }, seen))));
            }
            let Some(mut rest) = self.rest else { return Some(Ok(None)) };
            if !self.wanted.overlap {
                rest.first = rest.first.max(self.free);
            }
            self.rest = Some(rest).filter(|rest| rest.first <= rest.last);
            if self.rest.is_none() {
                continue;
            }
            let limit = if self.limit == 0 { BATCH } else { self.limit.min(BATCH) };
            let request = SearchRequest {
                address: rest.first,
                length: rest.length(),
                needle: self.keyword.value().to_vec(),
                mask: self.keyword.mask().map(<[u8]>::to_vec),
                align: self.wanted.align,
                limit,
            };
            let mut found = Vec::new();
            let outcome = session.with(|core, view| {
                if view.patch.is_some() {
                    return None;
                }
                let settings = scope::settings(core, view);
                core.io.search(&settings, &request, cancel, &mut |address| {
                    found.push(address);
                    (found.len() as u64) < limit
                })
            })?;
            let whole = (found.len() as u64) < limit;
            self.rest = found.last().and_then(|last| behind(*last, rest));
            match outcome {
                Err(error) if found.is_empty() => return Some(Err(error)),
                // What was found before the failure counts; asked for the rest, the device will fail again.
                Err(_) => {}
                Ok(()) if whole => self.rest = None,
                Ok(()) => {}
            }
            if let Err(error) = self.take(session, &found) {
                return Some(Err(error));
            }
        }
    }

    /// Keeps the hits at `found` that are wanted, with the bytes around them, which are read together.
    fn take(&mut self, session: &mut Session, found: &[u64]) -> Result<()> {
        let length = self.keyword.value().len();
        let mut free = self.free;
        for address in found {
            if self.wanted.overlap || *address >= free {
                free = address.saturating_add(length as u64);
                self.found.push_back((*address, None));
            }
        }
        let Some(frame) = self.frame else { return Ok(()) };
        let mut rooms: Vec<(u64, Seen)> =
            self.found.iter().map(|(address, _)| frame.room(Hit { address: *address, length })).collect();
        let mut reads: Vec<Read<'_>> = rooms
            .iter_mut()
            .map(|(address, seen)| Read { address: *address, buffer: &mut seen.bytes, done: 0 })
            .collect();
        session.with(|core, view| {
            let settings = scope::settings(core, view);
            core.io.read_many(&settings, &mut reads)
        })?;
        let whole: Vec<bool> = reads.iter().map(|read| read.done == read.buffer.len()).collect();
        for (((_, slot), (_, mut seen)), whole) in self.found.iter_mut().zip(rooms).zip(whole) {
            seen.whole = whole;
            *slot = Some(seen);
        }
        Ok(())
    }
}

/// The part of `extent` behind `address`.
fn behind(address: u64, extent: Extent) -> Option<Extent> {
    let first = address.checked_add(1).filter(|first| *first <= extent.last)?;
    Some(Extent { first, ..extent })
}

/// Memory as the client sees it, read under the lock, a stretch at a time.
pub struct Memory<'s> {
    /// The client's session.
    pub session: &'s mut Session,
    /// Where the reader began; `None`: it does not read on and on.
    pub first: Option<u64>,
}

impl Source for Memory<'_> {
    fn stretch(&mut self, address: u64, buffer: &mut [u8]) -> Result<Stretch> {
        if let Some(first) = self.first {
            self.session.cancel.report_progress(address.wrapping_sub(first), None);
        }
        self.session.with(|core, view| {
            let settings = scope::settings(core, view);
            let Some(patch) = &view.patch else { return core.io.stretch(&settings, address, buffer) };
            // The bytes of `@x:` lie over everything else.
            let offset = address.wrapping_sub(view.seek);
            if let Some(bytes) =
                usize::try_from(offset).ok().and_then(|offset| patch.get(offset..)).filter(|b| !b.is_empty())
            {
                let count = bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&bytes[..count]);
                return Ok(Stretch::Data(count));
            }
            let ahead = if patch.is_empty() { u64::MAX } else { view.seek.wrapping_sub(address) };
            let count = usize::try_from(ahead).unwrap_or(usize::MAX).min(buffer.len());
            Ok(match core.io.stretch(&settings, address, &mut buffer[..count])? {
                Stretch::Zeros(count) => Stretch::Zeros(count.min(ahead)),
                Stretch::Hole(count) => Stretch::Hole(count.min(ahead)),
                data => data,
            })
        })
    }
}
