//! The page layer over remote devices: what was fetched once is kept, what one read misses is fetched together,
//! and who reads on gets more than was asked for, so that a far device costs few round trips.
//!
//! The pages of a device that can tell one version of its content from another outlive it: whoever opens the same
//! content again in this process finds them.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Device, Info, Latency, Read, SearchRequest};
use crate::error::Result;
use crate::output::{Cancel, Executor};

/// Bytes of a page. The headers, sections and symbols of an object file lie in a handful of them.
pub const PAGE: usize = 64 * 1024;

/// Pages that are kept of one content: 8 MiB.
const KEPT: usize = 128;

/// Contents whose pages are kept, open or not.
const CONTENTS: usize = 4;

/// Reads from this length on go past the pages: they would only throw out what is worth keeping.
const BYPASS: usize = 1 << 20;

/// Most pages that are fetched ahead of a reader who reads on and on: 4 MiB.
const AHEAD: u64 = 64;

/// Wraps `device` when its bytes are far away. Not one that can be debugged: its bytes change whenever it runs, and it
/// keeps them itself as long as it does not.
pub fn wrap(mut device: Box<dyn Device>) -> Box<dyn Device> {
    match device.info().latency {
        Latency::Remote if device.target().is_none() => Box::new(Pages::new(device)),
        Latency::Remote => device,
        Latency::Local => device,
    }
}

/// The pages of contents that were looked at, by version; the one used last is the last.
static CONTENT: Mutex<Vec<(u128, Arc<Mutex<Store>>)>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves whole pages.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The store of the content `version`; when there is none, it is `otherwise` from now on.
fn store_of(version: u128, otherwise: &Arc<Mutex<Store>>) -> Arc<Mutex<Store>> {
    let mut contents = lock(&CONTENT);
    let found = match contents.iter().position(|(known, _)| *known == version) {
        Some(at) => contents.remove(at).1,
        None => Arc::clone(otherwise),
    };
    if contents.len() >= CONTENTS {
        contents.remove(0);
    }
    contents.push((version, Arc::clone(&found)));
    found
}

/// Nobody finds the pages of `version` any more.
fn drop_store(version: u128) {
    lock(&CONTENT).retain(|(known, _)| *known != version);
}

/// A device that remembers pages of another.
struct Pages {
    device: Box<dyn Device>,
    store: Arc<Mutex<Store>>,
    /// What the pages are the content of, when that is known.
    version: Option<u128>,
    /// Nothing has changed the content behind the back of the pages that are here.
    pure: bool,
    /// Where the last read ended, and how many pages to fetch ahead if the next begins there.
    next: u64,
    ahead: u64,
    /// What somebody reads from front to back: it goes past the pages.
    passing: Range<u64>,
}

/// Pages of one content.
#[derive(Default)]
struct Store {
    pages: HashMap<u64, Page>,
    /// Counts reads, to know which page was used last.
    clock: u64,
}

struct Page {
    /// One page long.
    bytes: Box<[u8]>,
    /// How many of them were there.
    valid: usize,
    used: u64,
}

impl Store {
    /// The numbers of the pages that `reads` touch and that are not here. Those that are here count as used, so
    /// that they are not thrown out for the others.
    fn missing(&mut self, reads: &[Read<'_>], end: u64) -> BTreeSet<u64> {
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

    /// Copies what the pages have from `address` on, up to the first hole. Returns the number of bytes.
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

    fn forget(&mut self, address: u64, length: usize) {
        let last = address.saturating_add(length as u64);
        self.pages.retain(|number, _| {
            let start = number * PAGE as u64;
            start.saturating_add(PAGE as u64) <= address || start >= last
        });
    }
}

impl Pages {
    fn new(device: Box<dyn Device>) -> Pages {
        let mut pages =
            Pages { device, store: Arc::default(), version: None, pure: true, next: u64::MAX, ahead: 0, passing: 0..0 };
        pages.follow();
        pages
    }

    /// The end of the device.
    fn end(&self) -> u64 {
        self.device.info().size.unwrap_or(u64::MAX)
    }

    /// Looks whether the device has another content than before, and takes the pages of that.
    fn follow(&mut self) {
        let Some(version) = self.device.version() else { return };
        if self.version == Some(version) {
            return;
        }
        // Pages from before the version was known were fetched together with it, or after it.
        let same = self.version.is_none() && self.pure;
        let fresh = if same { Arc::clone(&self.store) } else { Arc::default() };
        self.store = store_of(version, &fresh);
        (self.version, self.pure) = (Some(version), true);
    }

    /// The content is about to change here. The pages stay with this device, but nobody else shall find them.
    fn detach(&mut self) {
        self.pure = false;
        if let Some(version) = self.version.take() {
            drop_store(version);
        }
    }

    /// Fetches pages in one flight.
    fn fetch(&mut self, numbers: &BTreeSet<u64>) -> Result<()> {
        let end = self.end();
        let mut fresh: Vec<(u64, Box<[u8]>)> = {
            let mut store = lock(&self.store);
            numbers.iter().map(|number| (*number, store.spare(numbers.len()))).collect()
        };
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
        // The answer may have told that this is another content: the pages belong to that.
        self.follow();
        let mut store = lock(&self.store);
        let used = store.clock;
        for ((number, bytes), valid) in fresh.into_iter().zip(valid) {
            store.pages.insert(number, Page { bytes, valid, used });
        }
        Ok(())
    }

    /// Notes where a read ends and says how many pages to fetch ahead: more each time the reader reads on.
    fn look_ahead(&mut self, address: u64, length: usize) -> u64 {
        self.ahead = if address == self.next { (self.ahead * 2).clamp(4, AHEAD) } else { 0 };
        self.next = address.saturating_add(length as u64);
        self.ahead
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
        if let [read] = reads
            && read.address == self.passing.start
            && !self.passing.is_empty()
        {
            self.passing.start = read.address.saturating_add(read.buffer.len() as u64);
            return self.device.read_many(reads);
        }
        let end = self.end();
        let mut missing = {
            let mut store = lock(&self.store);
            store.clock += 1;
            store.missing(reads, end)
        };
        if missing.len() * PAGE > BYPASS {
            return self.device.read_many(reads);
        }
        if let [read] = reads {
            let ahead = self.look_ahead(read.address, read.buffer.len());
            if let Some(last) = missing.last().copied() {
                let end = end.div_ceil(PAGE as u64);
                let more = last + 1..last.saturating_add(1 + ahead).min(end);
                let store = lock(&self.store);
                missing.extend(more.filter(|page| !store.pages.contains_key(page)));
            }
        }
        if !missing.is_empty() {
            let version = self.version;
            self.fetch(&missing)?;
            if version.is_some() && self.version != version {
                // The rest was of a content that is no more.
                let missing = lock(&self.store).missing(reads, end);
                if !missing.is_empty() && missing.len() <= KEPT {
                    self.fetch(&missing)?;
                }
            }
        }
        let end = self.end();
        for read in reads {
            read.done = lock(&self.store).copy(read.address, read.buffer);
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
        self.detach();
        // The pages tell the truth again only after the device has said what it did.
        lock(&self.store).forget(address, data.len());
        self.device.write_at(address, data)
    }

    fn next_data(&mut self, address: u64) -> Option<u64> {
        self.device.next_data(address)
    }

    fn zeros(&mut self, address: u64) -> u64 {
        self.device.zeros(address)
    }

    fn resize(&mut self, size: u64) -> Result<()> {
        self.detach();
        self.store = Arc::default();
        self.device.resize(size)
    }

    fn search(
        &mut self,
        request: &SearchRequest,
        cancel: &Cancel,
        found: &mut dyn FnMut(u64) -> bool,
    ) -> Option<Result<()>> {
        self.device.search(request, cancel, found)
    }

    fn digest(&mut self, algorithm: &str, address: u64, length: u64, cancel: &Cancel) -> Option<Result<String>> {
        self.device.digest(algorithm, address, length, cancel)
    }

    fn version(&self) -> Option<u128> {
        self.device.version()
    }

    fn will_read(&mut self, address: u64, length: u64) {
        let length = length.min(self.end().saturating_sub(address));
        // What fits into the pages is better kept.
        if length > BYPASS as u64 {
            self.passing = address..address + length;
            self.device.will_read(address, length);
        }
    }

    fn executor(&mut self) -> Option<&mut dyn Executor> {
        // A command may change anything over there. If it does not, the pages are found again by their version.
        (self.version, self.pure) = (None, false);
        self.store = Arc::default();
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
