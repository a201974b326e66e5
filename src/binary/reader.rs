//! How parsers see a device: by position, in pages, with a bound on what they may ask for.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ops::Range;
use std::rc::Rc;

use memchr::memchr;
use object::ReadRef;
use object::read::{ReadCache, ReadCacheOps};

use crate::error::Error;
use crate::io::{Device, Latency, Read};

/// Bytes that are read at a time; the pages of far devices are as large.
const PAGE: u64 = 64 * 1024;

/// Most bytes that are fetched from a far device before they are asked for; the pages there keep as many.
const FETCH: u64 = 4 << 20;

/// Longest name that is looked at.
const NAME: u64 = 1 << 20;

/// A device as the `object` crate reads it. Whatever is read is kept until the reader is dropped, so the total is
/// bounded: damaged tables that overlap each other must not multiply the file.
pub struct Reader<'d> {
    cache: Rc<ReadCache<Bytes<'d>>>,
    source: Rc<RefCell<Source<'d>>>,
    /// Offset of the object in the device, which for the parser is 0.
    start: u64,
    length: u64,
    /// Stretches that are read as a whole when a byte of them is asked for, sorted by their starts.
    stretches: RefCell<Vec<Range<u64>>>,
    /// What is in the cache, and so costs nothing more.
    held: Rc<RefCell<HashSet<(u64, u64)>>>,
    /// Bytes that may still be kept.
    budget: Rc<Cell<u64>>,
}

/// The device, and how it failed.
struct Source<'d> {
    device: &'d mut dyn Device,
    length: u64,
    failure: Option<Error>,
}

impl<'d> Reader<'d> {
    /// A reader of all of `device`.
    pub fn new(device: &'d mut dyn Device) -> Reader<'d> {
        let length = device.info().size.unwrap_or(u64::MAX >> 1);
        let source = Rc::new(RefCell::new(Source { device, length, failure: None }));
        Reader {
            cache: Rc::new(ReadCache::new(Bytes { source: Rc::clone(&source), position: 0 })),
            source,
            start: 0,
            length,
            stretches: RefCell::default(),
            held: Rc::default(),
            budget: Rc::new(Cell::new(length.saturating_mul(2).saturating_add(16 * PAGE).min(4 << 30))),
        }
    }

    /// Lets the parser see only `size` bytes from `start` on.
    pub fn restrict(&mut self, start: u64, size: u64) {
        let end = self.start + self.length;
        self.start = self.start.saturating_add(start).min(end);
        self.length = size.min(end - self.start);
        self.stretches.borrow_mut().clear();
    }

    /// A reader of `size` bytes from `start` on, which keeps what it reads along with this one.
    pub fn part(&self, start: u64, size: u64) -> Reader<'d> {
        let start = start.min(self.length);
        Reader {
            cache: Rc::clone(&self.cache),
            source: Rc::clone(&self.source),
            start: self.start + start,
            length: size.min(self.length - start),
            stretches: RefCell::default(),
            held: Rc::clone(&self.held),
            budget: Rc::clone(&self.budget),
        }
    }

    /// Offset in the device of what the parser sees as 0.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Says that these stretches are about to be read: each comes in one piece, and those of a far device travel
    /// together.
    pub fn expect(&self, ranges: impl IntoIterator<Item = Range<u64>>) {
        let inside = |range: Range<u64>| range.start.min(self.length)..range.end.min(self.length);
        let ranges: Vec<Range<u64>> = ranges.into_iter().map(inside).filter(|range| !range.is_empty()).collect();
        self.source.borrow_mut().fetch(ranges.iter().map(|range| self.start + range.start..self.start + range.end));
        let mut stretches = self.stretches.borrow_mut();
        stretches.extend(ranges);
        stretches.sort_by_key(|range| range.start);
    }

    /// How the device failed, if it did.
    pub fn failure(&self) -> Option<Error> {
        self.source.borrow_mut().failure.take()
    }

    /// The bytes in `range` of what the parser sees, from the cache when they lie in what was read before.
    fn piece(&self, range: &Range<u64>) -> Result<&[u8], ()> {
        if range.start > range.end || range.end > self.length {
            return Err(());
        }
        let around = self.around(range);
        let key = (self.start + around.start, around.end - around.start);
        if self.held.borrow_mut().insert(key) {
            let left = self.budget.get().checked_sub(key.1).ok_or(())?;
            self.budget.set(left);
        }
        let bytes = (&*self.cache).read_bytes_at(key.0, key.1)?;
        let from = usize::try_from(range.start - around.start).map_err(|_| ())?;
        let size = usize::try_from(range.end - range.start).map_err(|_| ())?;
        bytes.get(from..).and_then(|bytes| bytes.get(..size)).ok_or(())
    }

    /// What is read for `range`: the stretch that holds it, or its pages.
    fn around(&self, range: &Range<u64>) -> Range<u64> {
        let stretches = self.stretches.borrow();
        let behind = stretches.partition_point(|stretch| stretch.start <= range.start);
        if let Some(stretch) = stretches[..behind].iter().rev().take(4).find(|stretch| range.end <= stretch.end) {
            return stretch.clone();
        }
        // Pages of the device, so that those beneath are hit as they lie.
        let from = ((self.start + range.start) / PAGE * PAGE).max(self.start) - self.start;
        let to = (self.start + range.end).div_ceil(PAGE).saturating_mul(PAGE) - self.start;
        from..to.min(self.length)
    }
}

impl<'a> ReadRef<'a> for &'a Reader<'_> {
    fn len(self) -> Result<u64, ()> {
        Ok(self.length)
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        if size == 0 {
            return Ok(&[]);
        }
        self.piece(&(offset..offset.checked_add(size).ok_or(())?))
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        let end = range.end.min(self.length).min(range.start.saturating_add(NAME));
        if range.start >= end {
            return Err(());
        }
        let mut until = self.around(&(range.start..range.start + 1)).end.min(end);
        loop {
            let bytes = self.piece(&(range.start..until))?;
            match memchr(delimiter, bytes) {
                Some(length) => return Ok(&bytes[..length]),
                None if until == end => return Err(()),
                None => until = until.saturating_add(until - range.start).max(range.start + 256).min(end),
            }
        }
    }
}

impl Source<'_> {
    /// Brings what lies far away closer, in one flight. Failures show when the bytes are read.
    fn fetch(&mut self, ranges: impl Iterator<Item = Range<u64>>) {
        if self.device.info().latency == Latency::Local {
            return;
        }
        let mut left = FETCH;
        let mut buffers: Vec<(u64, Vec<u8>)> = Vec::new();
        for range in ranges {
            // Longer reads would go past the pages, and be thrown away.
            let mut at = range.start;
            while at < range.end && left > 0 {
                let count = (range.end - at).min(PAGE).min(left);
                buffers.push((at, vec![0; count as usize]));
                at += count;
                left -= count;
            }
        }
        let mut reads: Vec<Read<'_>> =
            buffers.iter_mut().map(|(address, buffer)| Read { address: *address, buffer, done: 0 }).collect();
        if let Err(error) = self.device.read_many(&mut reads) {
            self.failure = Some(error);
        }
    }
}

/// The source as the cache reads it.
struct Bytes<'d> {
    source: Rc<RefCell<Source<'d>>>,
    position: u64,
}

impl ReadCacheOps for Bytes<'_> {
    fn len(&mut self) -> Result<u64, ()> {
        Ok(self.source.borrow().length)
    }

    fn seek(&mut self, position: u64) -> Result<u64, ()> {
        self.position = position;
        Ok(position)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ()> {
        let source = &mut *self.source.borrow_mut();
        match source.device.read_at(self.position, buffer) {
            Ok(count) => {
                let count = count.min(buffer.len());
                self.position = self.position.saturating_add(count as u64);
                Ok(count)
            }
            Err(error) => {
                source.failure = Some(error);
                Err(())
            }
        }
    }

    /// Holes read as zeros.
    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), ()> {
        let mut done = 0;
        while done < buffer.len() {
            let count = self.read(&mut buffer[done..])?;
            done += count;
            if count == 0 {
                let next = self.source.borrow_mut().device.next_data(self.position);
                let Some(next) = next.filter(|next| *next > self.position) else { break };
                let hole = usize::try_from(next - self.position).unwrap_or(usize::MAX).min(buffer.len() - done);
                done += hole;
                self.position = self.position.saturating_add(hole as u64);
            }
        }
        buffer[done..].fill(0);
        Ok(())
    }
}
