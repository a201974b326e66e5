//! Running a search: hit after hit, with the core unlocked in between.

use std::collections::VecDeque;

use crate::error::Result;
use crate::io::SearchRequest;
use crate::io::scan::{BackwardScan, Extent, Hit, Keyword, Pattern, Scan, Source, Stretch, Wanted};
use crate::output::Cancel;
use crate::session::{Session, scope};

/// Hits that a device reports at a time: its answer has a bound, and others get their turn in between.
const BATCH: u64 = 4096;

/// A search in one extent.
pub enum Hunt<'p> {
    /// The device finds the hits, so that only they travel.
    Device(DeviceSearch<'p>),
    /// The bytes are read and looked at here.
    Forward(Scan<'p>),
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
    found: VecDeque<u64>,
    /// The address after the last hit that was taken.
    free: u64,
    /// Most hits that the caller can want; 0: all.
    limit: u64,
}

impl<'p> Hunt<'p> {
    /// A search for `pattern` in `extent`, of which the caller takes at most `limit` hits (0: all).
    pub fn new(pattern: &'p Pattern, wanted: Wanted, extent: Extent, backward: bool, limit: u64) -> Hunt<'p> {
        match pattern {
            _ if backward => Hunt::Backward(BackwardScan::new(pattern, wanted, extent)),
            Pattern::Bytes(keyword) if !keyword.is_fuzzy() => {
                let (rest, found) = (Some(extent), VecDeque::new());
                Hunt::Device(DeviceSearch { keyword, pattern, wanted, rest, found, free: extent.first, limit })
            }
            _ => Hunt::Forward(Scan::new(pattern, wanted, extent)),
        }
    }

    /// The next hit; `None` when there is no other.
    pub fn next(&mut self, session: &mut Session, cancel: &Cancel) -> Result<Option<Hit>> {
        if let Hunt::Device(search) = self {
            if let Some(outcome) = search.next(session, cancel) {
                return outcome;
            }
            let Some(rest) = search.rest else { return Ok(None) };
            // The device leaves it to us.
            *self = Hunt::Forward(Scan::new(search.pattern, search.wanted, rest));
        }
        match self {
            Hunt::Forward(scan) => scan.next(&mut Memory(session), cancel),
            Hunt::Backward(scan) => scan.next(&mut Memory(session), cancel),
            Hunt::Device(_) => Ok(None),
        }
    }
}

impl DeviceSearch<'_> {
    /// The next hit, or `None` when the device does not search (from here on).
    fn next(&mut self, session: &mut Session, cancel: &Cancel) -> Option<Result<Option<Hit>>> {
        let length = self.keyword.value().len();
        loop {
            while let Some(address) = self.found.pop_front() {
                if self.wanted.overlap || address >= self.free {
                    self.free = address.saturating_add(length as u64);
                    return Some(Ok(Some(Hit { address, length })));
                }
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
            let found = &mut self.found;
            let outcome = session.with(|core, view| {
                if view.patch.is_some() {
                    return None;
                }
                let settings = scope::settings(core, view);
                core.io.search(&settings, &request, cancel, &mut |address| {
                    found.push_back(address);
                    (found.len() as u64) < limit
                })
            });
            match outcome? {
                // What was found before the end counts.
                Err(error) if self.found.is_empty() => return Some(Err(error)),
                Err(_) => self.rest = self.found.back().and_then(|last| behind(*last, rest)),
                Ok(()) if (self.found.len() as u64) < limit => self.rest = None,
                Ok(()) => self.rest = self.found.back().and_then(|last| behind(*last, rest)),
            }
        }
    }
}

/// The part of `extent` behind `address`.
fn behind(address: u64, extent: Extent) -> Option<Extent> {
    let first = address.checked_add(1).filter(|first| *first <= extent.last)?;
    Some(Extent { first, ..extent })
}

/// Memory as the client sees it, read under the lock, a stretch at a time.
pub struct Memory<'s>(pub &'s mut Session);

impl Source for Memory<'_> {
    fn stretch(&mut self, address: u64, buffer: &mut [u8]) -> Result<Stretch> {
        self.0.with(|core, view| {
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
