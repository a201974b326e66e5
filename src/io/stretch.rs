//! Reading for a search: what is there and what is not, told apart.

use super::scan::Stretch;
use super::{Io, SearchRequest, Settings};
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
