//! Finding patterns in more bytes than fit in memory: what is read is looked at in a window that slides over it, and
//! holes are passed without being read.

mod pattern;
mod sweep;
pub mod text;

use std::collections::VecDeque;
use std::sync::Arc;

use pattern::{Found, Piece};
pub use pattern::{Keyword, LONGEST, Pattern, REACH};
pub use sweep::Sweep;

use crate::error::Result;
use crate::output::Cancel;

/// Bytes read at a time. Between two reads a search can be cancelled.
const CHUNK: usize = 1 << 20;

/// What lies at an address, and how far it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch {
    /// So many bytes were read; at least one.
    Data(usize),
    /// So many zeros, which nobody needs to read.
    Zeros(u64),
    /// Nothing is there, for so many bytes.
    Hole(u64),
}

/// Something to search in.
pub trait Source {
    /// Reads what lies at `address` into `buffer` (which is not empty), or says that nothing does. A stretch may be
    /// shorter than what really lies there.
    fn stretch(&mut self, address: u64, buffer: &mut [u8]) -> Result<Stretch>;

    /// Bytes from `address` that any thread can read without the source, if there are such.
    fn run(&mut self, _address: u64) -> Option<Run> {
        None
    }
}

/// Reads from any thread, and from many at once: what a local file gives besides its device.
pub trait SharedRead: Send + Sync {
    /// Reads at a physical address, like [`super::Device::read_at`].
    fn read_at(&self, address: u64, buffer: &mut [u8]) -> Result<usize>;

    /// How many bytes from `address` are there in one piece: neither behind the end nor in a hole.
    fn data(&self, address: u64) -> u64;
}

/// Bytes in one piece that many threads may read at once.
#[derive(Clone)]
pub struct Run {
    reader: Arc<dyn SharedRead>,
    /// Physical address of the first.
    first: u64,
    /// How many there are.
    pub length: u64,
}

impl Run {
    /// `length` bytes from the physical address `first` of what `reader` reads.
    pub fn new(reader: Arc<dyn SharedRead>, first: u64, length: u64) -> Run {
        Run { reader, first, length }
    }

    /// Fills `buffer` from `offset`; returns how many bytes were there.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.reader.read_at(self.first + offset + done as u64, &mut buffer[done..])? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }
}

/// Addresses, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first.
    pub first: u64,
    /// The last; not less than the first.
    pub last: u64,
}

impl Extent {
    /// Addresses in it. One less than there are if all are.
    pub fn length(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }
}

/// A place where a pattern was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Its first byte.
    pub address: u64,
    /// Its length in bytes.
    pub length: usize,
}

/// Which hits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Only multiples of this address; 0 and 1: any.
    pub align: u64,
    /// Hits may lie over one another.
    pub overlap: bool,
}

impl Wanted {
    fn takes(self, address: u64) -> bool {
        self.align < 2 || address.is_multiple_of(self.align)
    }
}

/// A search from low to high addresses: each call of [`Scan::next`] goes on to the next hit. A hit lies whole in the
/// extent and in no hole.
pub struct Scan<'p> {
    pattern: &'p Pattern,
    wanted: Wanted,
    extent: Extent,
    /// What was read and may still hold hits.
    window: Vec<u8>,
    /// Address of the window's first byte.
    start: u64,
    /// Offset in the window from which a hit may start.
    at: usize,
    /// The next address to be read; `None`: behind the extent.
    next: Option<u64>,
    /// Nothing follows the window without a gap.
    closed: bool,
    /// Zeros that follow the window and are not read.
    zeros: u64,
    /// Whether there may be hits among zeros, once that was asked.
    in_zeros: Option<bool>,
}

impl<'p> Scan<'p> {
    /// A search for `pattern` in `extent`.
    pub fn new(pattern: &'p Pattern, wanted: Wanted, extent: Extent) -> Scan<'p> {
        Scan {
            pattern,
            wanted,
            extent,
            window: Vec::new(),
            start: extent.first,
            at: 0,
            next: Some(extent.first),
            closed: false,
            zeros: 0,
            in_zeros: None,
        }
    }

    /// The next hit; `None` when there is no other.
    pub fn next(&mut self, source: &mut dyn Source, cancel: &Cancel) -> Result<Option<Hit>> {
        loop {
            if let Some(hit) = self.found() {
                return Ok(Some(hit));
            }
            cancel.check()?;
            if self.closed {
                let Some(next) = self.next else { return Ok(None) };
                self.restart(next);
            }
            self.fill(source)?;
        }
    }

    /// Looks at the rest of the window.
    fn found(&mut self) -> Option<Hit> {
        let mut known = None;
        loop {
            let offset = self.start - self.extent.first;
            let piece = Piece { bytes: &self.window, offset, last: self.closed };
            match self.pattern.find_on(piece, self.at, &mut known) {
                Found::Nothing(open) => {
                    self.at = open;
                    return None;
                }
                Found::Hit(place) => {
                    let address = self.start + place.start as u64;
                    if !self.wanted.takes(address) {
                        self.at = place.start + 1;
                        continue;
                    }
                    self.at = if self.wanted.overlap { place.start + 1 } else { place.end };
                    return Some(Hit { address, length: place.len() });
                }
            }
        }
    }

    /// Begins a new window behind a gap.
    fn restart(&mut self, address: u64) {
        self.window.clear();
        self.start = address;
        self.at = 0;
        self.closed = false;
    }

    /// Gets more into the window, after dropping what is of no use any more.
    fn fill(&mut self, source: &mut dyn Source) -> Result<()> {
        let Some(next) = self.next else {
            self.closed = true;
            return Ok(());
        };
        if self.zeros > 0 {
            self.pass_zeros(next);
            return Ok(());
        }
        let done = self.at.saturating_sub(usize::from(self.pattern.looks_back())).min(self.window.len());
        self.window.drain(..done);
        self.start += done as u64;
        self.at -= done;
        let room = self.room(next).min(CHUNK as u64) as usize;
        let held = self.window.len();
        self.window.resize(held + room, 0);
        let stretch = source.stretch(next, &mut self.window[held..])?;
        match stretch {
            Stretch::Data(count) if count > 0 => {
                self.window.truncate(held + count.min(room));
                self.advance(next, count.min(room) as u64);
            }
            Stretch::Zeros(count) if count > 0 => {
                let count = count.min(self.room(next));
                let border = self.pattern.reach() as u64 + 1;
                let pattern = self.pattern;
                let passes = count > 4 * border && !*self.in_zeros.get_or_insert_with(|| pattern.is_in_zeros());
                // Hits may begin or end among zeros; what lies further inside is passed.
                let taken = if passes { border } else { count.min(room as u64) };
                self.window.truncate(held);
                self.window.resize(held + taken as usize, 0);
                self.zeros = if passes { count - taken } else { 0 };
                self.advance(next, taken);
            }
            Stretch::Hole(count) if count > 0 => {
                self.window.truncate(held);
                self.closed = true;
                self.advance(next, count);
            }
            _ => {
                self.window.truncate(held);
                self.closed = true;
                self.next = None;
            }
        }
        Ok(())
    }

    /// Jumps to the last of the zeros that follow the window.
    fn pass_zeros(&mut self, next: u64) {
        let zeros = std::mem::take(&mut self.zeros);
        let border = (self.pattern.reach() as u64 + 1).min(zeros);
        self.restart(next + (zeros - border));
        self.window.resize(border as usize, 0);
        // The first of them has a zero before it, which is not in the window.
        self.at = 1;
        self.advance(next, zeros);
    }

    /// Bytes from `next` to the end of the extent.
    fn room(&self, next: u64) -> u64 {
        (self.extent.last - next).saturating_add(1)
    }

    fn advance(&mut self, next: u64, count: u64) {
        self.next = next.checked_add(count).filter(|next| *next <= self.extent.last);
    }
}

/// A search from high to low addresses. Without overlap it is the hits at the end that win.
pub struct BackwardScan<'p> {
    pattern: &'p Pattern,
    wanted: Wanted,
    extent: Extent,
    /// The hits of the part looked at last, rising.
    hits: VecDeque<Hit>,
    /// The first address of that part; hits at lower ones are still to be found.
    first: Option<u64>,
    /// Bytes of the next part: more while nothing is found, so that holes are passed.
    part: u64,
    /// The address of the hit reported last, over which no other may reach.
    before: Option<u64>,
}

impl<'p> BackwardScan<'p> {
    /// A search for `pattern` in `extent`.
    pub fn new(pattern: &'p Pattern, wanted: Wanted, extent: Extent) -> BackwardScan<'p> {
        let part = CHUNK as u64;
        BackwardScan { pattern, wanted, extent, hits: VecDeque::new(), first: None, part, before: None }
    }

    /// The next hit; `None` when there is no other.
    pub fn next(&mut self, source: &mut dyn Source, cancel: &Cancel) -> Result<Option<Hit>> {
        loop {
            while let Some(hit) = self.hits.pop_back() {
                let free = self.before.is_none_or(|before| before - hit.address >= hit.length as u64);
                if self.wanted.overlap || free {
                    self.before = Some(hit.address);
                    return Ok(Some(hit));
                }
            }
            let last = match self.first {
                None => self.extent.last,
                Some(first) if first == self.extent.first => return Ok(None),
                Some(first) => first - 1,
            };
            self.look(last, source, cancel)?;
        }
    }

    /// Collects the hits that start in the part that ends with `last`.
    fn look(&mut self, last: u64, source: &mut dyn Source, cancel: &Cancel) -> Result<()> {
        let first = last.saturating_sub(self.part - 1).max(self.extent.first);
        // What looks back begins earlier, to come into step with what is there.
        let lead = if self.pattern.looks_back() { REACH as u64 } else { 0 };
        let reach = self.pattern.reach() as u64;
        let extent = Extent {
            first: first.saturating_sub(lead).max(self.extent.first),
            last: last.saturating_add(reach).min(self.extent.last),
        };
        let overlap = self.wanted.overlap || !self.pattern.looks_back();
        let mut scan = Scan::new(self.pattern, Wanted { overlap, ..self.wanted }, extent);
        while let Some(hit) = scan.next(source, cancel)? {
            if hit.address > last {
                break;
            }
            if hit.address >= first {
                self.hits.push_back(hit);
            }
            // A part that grew over holes and came to what is full of hits.
            if self.hits.len() > CHUNK && self.part > CHUNK as u64 {
                self.hits.clear();
                self.part = CHUNK as u64;
                return Ok(());
            }
        }
        self.part = if self.hits.is_empty() { self.part.saturating_mul(2) } else { CHUNK as u64 };
        self.first = Some(first);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
