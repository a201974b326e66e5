//! Reading for a search: what is there and what is not, told apart, and what lies around many hits.

use std::collections::BTreeMap;

use super::scan::{Run, Stretch};
use super::{Io, Read, SearchRequest, Settings};
use crate::error::Result;
use crate::output::Cancel;

impl Io {
    /// Reads what lies at `address`, up to the next hole or the end of a map. In contrast to [`Io::read`] nothing is
    /// made up where nothing is.
    pub fn stretch(&mut self, settings: &Settings, address: u64, buffer: &mut [u8]) -> Result<Stretch> {
        let held = self.layer(settings).and_then(|layer| Some((layer, self.overlay.next(layer, address)?)));
        // Up to the next write that is held back.
        let mut room = buffer.len() as u64;
        if let Some((layer, (from, last))) = held {
            if from == address {
                let count = usize::try_from(last - address).unwrap_or(usize::MAX).saturating_add(1).min(buffer.len());
                self.overlay.apply(layer, address, &mut buffer[..count]);
                return Ok(Stretch::Data(count));
            }
            room = room.min(from - address);
        }
        let cut = |count: u64| held.map_or(count, |(_, (from, _))| count.min(from - address));
        let (target, length) = self.piece(settings, address, u64::MAX);
        let Some((fd, physical, _)) = target.filter(|(_, _, access)| access.read) else {
            return Ok(Stretch::Hole(cut(length)));
        };
        let device = self.descriptor_mut(fd)?.device();
        let zeros = device.zeros(physical).min(length);
        if zeros > 0 {
            return Ok(Stretch::Zeros(cut(zeros)));
        }
        let count = room.min(length) as usize;
        let read = device.read_at(physical, &mut buffer[..count])?.min(count);
        if read > 0 {
            return Ok(Stretch::Data(read));
        }
        let hole = match device.next_data(physical) {
            Some(next) if next > physical => length.min(next - physical),
            _ => length,
        };
        Ok(Stretch::Hole(cut(hole)))
    }

    /// Bytes from `address` that any thread can read by itself: they lie in one piece on a device that allows it, and
    /// no write is held back over them.
    pub fn run(&mut self, settings: &Settings, address: u64) -> Option<Run> {
        let layer = self.layer(settings)?;
        let (target, mut length) = self.piece(settings, address, u64::MAX);
        let (fd, physical, _) = target.filter(|(_, _, access)| access.read)?;
        if let Some((from, _)) = self.overlay.next(layer, address) {
            length = length.min(from - address);
        }
        let reader = self.descriptor_mut(fd).ok()?.device().shared()?;
        let length = length.min(reader.data(physical));
        (length > 0).then(|| Run::new(reader, physical, length))
    }

    /// Many reads at once, each like [`Io::read`], with the number of bytes that were there in `done`. Those that begin
    /// in a map, with nothing held back over them, travel together.
    pub fn read_many(&mut self, settings: &Settings, reads: &mut [Read<'_>]) -> Result<()> {
        let mut flights: BTreeMap<u32, Vec<(usize, Read<'_>)>> = BTreeMap::new();
        for (index, read) in reads.iter_mut().enumerate() {
            read.done = 0;
            let length = read.buffer.len() as u64;
            let held = self.layer(settings).and_then(|layer| self.overlay.next(layer, read.address));
            if let (Some((fd, physical, access)), here) = self.piece(settings, read.address, length)
                && access.read
                && held.is_none_or(|(from, _)| from - read.address >= length)
            {
                let buffer = &mut read.buffer[..here as usize];
                flights.entry(fd).or_default().push((index, Read { address: physical, buffer, done: 0 }));
            }
        }
        let mut done = Vec::new();
        for (fd, flight) in flights {
            let (indexes, mut flight): (Vec<usize>, Vec<Read<'_>>) = flight.into_iter().unzip();
            self.descriptor_mut(fd)?.device().read_many(&mut flight)?;
            done.extend(indexes.into_iter().zip(flight.iter().map(|read| read.done)));
        }
        for (index, count) in done {
            reads[index].done = count;
        }
        for read in reads.iter_mut().filter(|read| read.done < read.buffer.len()) {
            let rest = read.address.wrapping_add(read.done as u64);
            read.done += self.read(settings, rest, &mut read.buffer[read.done..])?;
        }
        Ok(())
    }

    /// Lets the device search that all of `length` bytes at `address` lie in. `None` when there is no such device,
    /// when writes are held back there, or when the device leaves it to the caller; else what [`super::Device::search`]
    /// answers, with the addresses that the caller knows.
    pub fn search(
        &mut self,
        settings: &Settings,
        request: &SearchRequest,
        cancel: &Cancel,
        found: &mut dyn FnMut(u64) -> bool,
    ) -> Option<Result<()>> {
        let (target, length) = self.piece(settings, request.address, request.length);
        let (fd, physical, _) = target.filter(|(_, _, access)| access.read && length == request.length)?;
        let last = request.address.checked_add(length.checked_sub(1)?)?;
        let layer = self.layer(settings)?;
        if self.overlay.next(layer, request.address).is_some_and(|(from, _)| from <= last) {
            return None;
        }
        let shift = request.address.wrapping_sub(physical);
        // The device aligns its own addresses. Where those are out of step, a limit would count the wrong hits.
        let in_step = request.align < 2 || shift.is_multiple_of(request.align);
        if !in_step && request.limit > 0 {
            return None;
        }
        let align = if in_step { request.align } else { 0 };
        let asked = SearchRequest { address: physical, align, ..request.clone() };
        let device = self.descriptor_mut(fd).ok()?.device();
        device.search(&asked, cancel, &mut |physical| {
            let address = physical.wrapping_add(shift);
            let fits = request.align < 2 || address.is_multiple_of(request.align);
            !fits || found(address)
        })
    }
}
