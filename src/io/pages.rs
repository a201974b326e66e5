//! The page layer over remote devices: what was fetched once is kept, what one read misses is fetched together,
//! and who reads on gets more than was asked for, so that a far device costs few round trips.

use std::collections::{BTreeSet, HashMap};

use super::{Device, Info, Latency, Read};
use crate::error::Result;
use crate::output::Executor;

/// Bytes of a page. The headers, sections and symbols of an object file lie in a handful of them.
pub const PAGE: usize = 64 * 1024;

/// Pages that are kept: 8 MiB.
const KEPT: usize = 128;

/// Reads from this length on go past the pages: they would only throw out what is worth keeping.
const BYPASS: usize = 1 << 20;

/// Most pages that are fetched ahead of a reader who reads on and on: 4 MiB.
const AHEAD: u64 = 64;

/// Wraps `device` when its bytes are far away.
pub fn wrap(device: Box<dyn Device>) -> Box<dyn Device> {
    match device.info().latency {
        Latency::Remote => Box::new(Pages::new(device)),
        Latency::Local => device,
    }
}

/// A device that remembers pages of another.
struct Pages {
    device: Box<dyn Device>,
    pages: HashMap<u64, Page>,
    /// Counts reads, to know which page was used last.
    clock: u64,
    /// Where the last read ended, and how many pages to fetch ahead if the next begins there.
    next: u64,
    ahead: u64,
}

struct Page {
    /// One page long.
    bytes: Box<[u8]>,
    /// How many of them were there.
    valid: usize,
    used: u64,
}

impl Pages {
    fn new(device: Box<dyn Device>) -> Pages {
        Pages { device, pages: HashMap::new(), clock: 0, next: u64::MAX, ahead: 0 }
    }

    /// The end of the device.
    fn end(&self) -> u64 {
        self.device.info().size.unwrap_or(u64::MAX)
    }

    /// The numbers of the pages that `reads` touch and that are not here. Those that are here count as used, so
    /// that they are not thrown out for the others.
    fn missing(&mut self, reads: &[Read<'_>]) -> BTreeSet<u64> {
        let end = self.end();
        let mut missing = BTreeSet::new();
        for read in reads.iter().filter(|read| read.address < end && !read.buffer.is_empty()) {
            let last = read.address.saturating_add(read.buffer.len() as u64 - 1).min(end - 1);
            for number in read.address / PAGE as u64..=last / PAGE as u64 {
                match self.pages.get_mut(&number) {
                    Some(page) => page.used = self.clock,
                    None => {
                        missing.insert(number);
                    }
                }
                // More than the pages may hold: the caller goes past them.
                if missing.len() > KEPT {
                    return missing;
                }
            }
        }
        missing
    }

    /// Fetches pages in one flight.
    fn fetch(&mut self, numbers: &BTreeSet<u64>) -> Result<()> {
        let end = self.end();
        let mut fresh: Vec<(u64, Box<[u8]>)> =
            numbers.iter().map(|number| (*number, self.spare(numbers.len()))).collect();
        let mut reads: Vec<Read<'_>> = fresh
            .iter_mut()
            .map(|(number, bytes)| {
                let address = *number * PAGE as u64;
                let length = usize::try_from(end - address).unwrap_or(PAGE).min(PAGE);
                Read { address, buffer: &mut bytes[..length], done: 0 }
            })
            .collect();
        self.device.read_many(&mut reads)?;
        let valid: Vec<usize> = reads.iter().map(|read| read.done).collect();
        for ((number, bytes), valid) in fresh.into_iter().zip(valid) {
            self.pages.insert(number, Page { bytes, valid, used: self.clock });
        }
        Ok(())
    }

    /// Memory for a page: that of the page unused for longest, when `coming` more would be too many.
    fn spare(&mut self, coming: usize) -> Box<[u8]> {
        if self.pages.len() + coming > KEPT
            && let Some(oldest) = self.pages.iter().min_by_key(|(_, page)| page.used).map(|(number, _)| *number)
            && let Some(page) = self.pages.remove(&oldest)
        {
            return page.bytes;
        }
        vec![0; PAGE].into_boxed_slice()
    }

    /// Copies what the pages have of `read`, up to the first hole. Returns the number of bytes.
    fn copy(&mut self, address: u64, buffer: &mut [u8]) -> usize {
        let mut done = 0;
        while done < buffer.len() {
            let Some(here) = address.checked_add(done as u64) else { break };
            let Some(page) = self.pages.get_mut(&(here / PAGE as u64)) else { break };
            page.used = self.clock;
            let offset = (here % PAGE as u64) as usize;
            let Some(found) = page.bytes[..page.valid].get(offset..).filter(|found| !found.is_empty()) else { break };
            let count = found.len().min(buffer.len() - done);
            buffer[done..done + count].copy_from_slice(&found[..count]);
            done += count;
        }
        done
    }

    /// Notes where a read ends and says how many pages to fetch ahead: more each time the reader reads on.
    fn look_ahead(&mut self, address: u64, length: usize) -> u64 {
        self.ahead = if address == self.next { (self.ahead * 2).clamp(4, AHEAD) } else { 0 };
        self.next = address.saturating_add(length as u64);
        self.ahead
    }

    fn forget(&mut self, address: u64, length: usize) {
        let last = address.saturating_add(length as u64);
        self.pages.retain(|number, _| {
            let start = number * PAGE as u64;
            start.saturating_add(PAGE as u64) <= address || start >= last
        });
    }
}

impl Device for Pages {
    fn info(&self) -> Info {
        self.device.info()
    }

    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut read = [Read { address, buffer, done: 0 }];
        self.read_many(&mut read)?;
        Ok(read[0].done)
    }

    fn read_many(&mut self, reads: &mut [Read<'_>]) -> Result<()> {
        self.clock += 1;
        let mut missing = self.missing(reads);
        if missing.len() * PAGE > BYPASS {
            return self.device.read_many(reads);
        }
        if let [read] = reads {
            let ahead = self.look_ahead(read.address, read.buffer.len());
            if let Some(last) = missing.last().copied() {
                let end = self.end().div_ceil(PAGE as u64);
                let more = last + 1..last.saturating_add(1 + ahead).min(end);
                missing.extend(more.filter(|page| !self.pages.contains_key(page)));
            }
        }
        if !missing.is_empty() {
            self.fetch(&missing)?;
        }
        let end = self.end();
        for read in reads {
            read.done = self.copy(read.address, read.buffer);
            // A page that came short does not prove that nothing is there.
            let rest = &mut read.buffer[read.done..];
            if let Some(here) = read.address.checked_add(read.done as u64).filter(|here| *here < end)
                && !rest.is_empty()
            {
                read.done += self.device.read_at(here, rest)?;
            }
        }
        Ok(())
    }

    fn write_at(&mut self, address: u64, data: &[u8]) -> Result<usize> {
        // The pages tell the truth again only after the device has said what it did.
        self.forget(address, data.len());
        self.device.write_at(address, data)
    }

    fn resize(&mut self, size: u64) -> Result<()> {
        self.pages.clear();
        self.device.resize(size)
    }

    fn executor(&mut self) -> Option<&mut dyn Executor> {
        // A command may change anything over there.
        self.pages.clear();
        self.device.executor()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::io::Access;

    /// What was asked: one entry for each flight, with the address and length of its reads.
    type Flights = Arc<Mutex<Vec<Vec<(u64, usize)>>>>;

    /// A remote device that notes what was asked of it.
    struct Far {
        bytes: Vec<u8>,
        flights: Flights,
    }

    impl Device for Far {
        fn info(&self) -> Info {
            Info { size: Some(self.bytes.len() as u64), access: Access::RWX, latency: Latency::Remote }
        }
        fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
            let mut read = [Read { address, buffer, done: 0 }];
            self.read_many(&mut read)?;
            Ok(read[0].done)
        }
        fn read_many(&mut self, reads: &mut [Read<'_>]) -> Result<()> {
            self.flights.lock().unwrap().push(reads.iter().map(|read| (read.address, read.buffer.len())).collect());
            for read in reads {
                let rest = self.bytes.get(read.address as usize..).unwrap_or_default();
                read.done = rest.len().min(read.buffer.len());
                read.buffer[..read.done].copy_from_slice(&rest[..read.done]);
            }
            Ok(())
        }
        fn write_at(&mut self, address: u64, data: &[u8]) -> Result<usize> {
            let start = address as usize;
            let count = data.len().min(self.bytes.len().saturating_sub(start));
            self.bytes[start..start + count].copy_from_slice(&data[..count]);
            Ok(count)
        }
    }

    fn far(size: usize) -> (Box<dyn Device>, Vec<u8>, Flights) {
        let bytes: Vec<u8> = (0..size).map(|at| (at * 31 + at / 251) as u8).collect();
        let flights = Flights::default();
        let device = Far { bytes: bytes.clone(), flights: Arc::clone(&flights) };
        (wrap(Box::new(device)), bytes, flights)
    }

    fn read(device: &mut dyn Device, address: u64, length: usize) -> Vec<u8> {
        let mut buffer = vec![0; length];
        let count = device.read_at(address, &mut buffer).unwrap();
        buffer.truncate(count);
        buffer
    }

    #[test]
    fn many_small_reads_of_a_neighbourhood_cost_one_flight() {
        let (mut device, bytes, flights) = far(200_000);
        for at in [0, 64, 32, 5000, 65_000] {
            assert_eq!(read(&mut *device, at, 64), bytes[at as usize..at as usize + 64]);
        }
        assert_eq!(*flights.lock().unwrap(), [vec![(0, PAGE)]]);
    }

    #[test]
    fn a_read_over_several_pages_fetches_them_together_and_ends_at_the_end() {
        let (mut device, bytes, flights) = far(3 * PAGE + 10);
        assert_eq!(read(&mut *device, 100, 4 * PAGE), bytes[100..]);
        let pages = [(0, PAGE), (PAGE as u64, PAGE), (2 * PAGE as u64, PAGE), (3 * PAGE as u64, 10)];
        assert_eq!(*flights.lock().unwrap(), [pages.to_vec()]);
        assert!(read(&mut *device, 3 * PAGE as u64 + 10, 8).is_empty());
        assert!(read(&mut *device, u64::MAX, 8).is_empty());
        assert_eq!(flights.lock().unwrap().len(), 1);
    }

    #[test]
    fn reading_on_and_on_takes_few_flights_and_little_memory() {
        let (mut device, bytes, flights) = far(16 << 20);
        let mut seen = Vec::new();
        while seen.len() < bytes.len() {
            seen.extend(read(&mut *device, seen.len() as u64, 16 * 1024));
        }
        assert!(seen == bytes);
        let flights = flights.lock().unwrap();
        assert!(flights.len() <= 12, "{} flights", flights.len());
        assert!(flights.iter().all(|flight| flight.len() <= AHEAD as usize + 1));
    }

    #[test]
    fn writes_are_seen_and_long_reads_go_past() {
        let (mut device, bytes, flights) = far(4 << 20);
        assert_eq!(read(&mut *device, 10, 4), bytes[10..14]);
        assert_eq!(device.write_at(11, b"new").unwrap(), 3);
        assert_eq!(&read(&mut *device, 10, 4)[1..], b"new");
        assert_eq!(read(&mut *device, 0, 2 << 20)[20..], bytes[20..2 << 20]);
        assert_eq!(flights.lock().unwrap().last().unwrap(), &[(0, 2 << 20)]);
    }
}
