//! The way of held-back writes (`io.cache`) to the devices, or to nowhere.

use super::overlay::Entry;
use super::{Io, Layer, Settings};
use crate::error::Result;

/// Bytes that travel to a device in one write at most.
const CHUNK: usize = 1 << 20;

impl Io {
    /// How many held-back bytes were not committed.
    pub fn pending(&self) -> usize {
        self.overlay.pending()
    }

    /// How many of them belong to `fd`, at its physical addresses or through its maps.
    pub fn pending_on(&self, fd: u32) -> u64 {
        self.overlay.entries().iter().filter(|entry| !entry.written).map(|entry| self.share(entry, fd)).sum()
    }

    fn share(&self, entry: &Entry, fd: u32) -> u64 {
        let length = entry.after.len() as u64;
        match entry.layer {
            Layer::Physical(other) => length * u64::from(other == fd),
            Layer::Virtual => {
                let (mut at, mut share) = (0, 0);
                while at < length {
                    let (target, count) = self.space.piece(entry.address + at, length - at);
                    share += count * u64::from(target.is_some_and(|(other, ..)| other == fd));
                    at += count;
                }
                share
            }
        }
    }

    /// Writes every held-back write through to its device and marks it as written. Returns the number of bytes. What
    /// cannot be written stays held back; the first reason is the error.
    pub fn commit(&mut self) -> Result<usize> {
        self.commit_where(|_| true)
    }

    /// The same for the bytes from `from` to `last` (inclusive) of `layer`.
    pub fn commit_range(&mut self, layer: Layer, from: u64, last: u64) -> Result<usize> {
        self.revision += 1;
        self.overlay.split(layer, from, last);
        self.commit_where(|entry| inside(entry, layer, from, last))
    }

    /// Forgets every held-back write, committed or not: what the devices hold shows again. Returns how many bytes
    /// were thrown away uncommitted.
    pub fn discard(&mut self) -> usize {
        let before = self.pending();
        self.overlay.retain(|_| false);
        before
    }

    /// The same for the bytes from `from` to `last` (inclusive) of `layer`.
    pub fn discard_range(&mut self, layer: Layer, from: u64, last: u64) -> usize {
        self.revision += 1;
        let before = self.pending();
        self.overlay.split(layer, from, last);
        self.overlay.retain(|entry| !inside(entry, layer, from, last));
        before - self.pending()
    }

    /// Commits oldest first, so that the device passes only through states that the user made. Writes that continue
    /// each other travel as one: to a remote device each costs a round trip.
    fn commit_where(&mut self, wanted: impl Fn(&Entry) -> bool) -> Result<usize> {
        let entries = self.overlay.entries().iter().enumerate();
        let numbers: Vec<usize> = entries.filter(|(_, e)| !e.written && wanted(e)).map(|(number, _)| number).collect();
        let (mut done, mut bytes, mut failure) = (Vec::new(), 0, None);
        let mut at = 0;
        while at < numbers.len() {
            let first = &self.overlay.entries()[numbers[at]];
            let (layer, address, mut data) = (first.layer, first.address, first.after.clone());
            let mut end = at + 1;
            while let Some(&number) = numbers.get(end) {
                let next = &self.overlay.entries()[number];
                let follows = next.layer == layer && address.checked_add(data.len() as u64) == Some(next.address);
                if !follows || data.len() + next.after.len() > CHUNK {
                    break;
                }
                data.extend_from_slice(&next.after);
                end += 1;
            }
            match self.write(&through(layer), address, &data) {
                Ok(()) => {
                    bytes += data.len();
                    done.extend_from_slice(&numbers[at..end]);
                }
                Err(error) => failure = failure.or(Some(error)),
            }
            at = end;
        }
        let left = numbers.len() - done.len();
        self.overlay.mark_all_written(done);
        match failure {
            Some(error) => Err(error.context(format_args!("{left} of {} writes are not committed", numbers.len()))),
            None => Ok(bytes),
        }
    }
}

/// Settings that write past the overlay.
fn through(layer: Layer) -> Settings {
    let descriptor = match layer {
        Layer::Virtual => None,
        Layer::Physical(fd) => Some(fd),
    };
    Settings { virtual_addresses: true, descriptor, cache: false, ..Settings::default() }
}

fn inside(entry: &Entry, layer: Layer, from: u64, last: u64) -> bool {
    entry.layer == layer && entry.address >= from && entry.last() <= last
}
