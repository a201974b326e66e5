//! The write overlay (`io.cache`): writes are kept beside the device until they are committed or thrown away.

/// One held-back write.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Address of the first byte (virtual, or physical with `io.va=false`).
    pub address: u64,
    /// What was there.
    pub before: Vec<u8>,
    /// What is seen now.
    pub after: Vec<u8>,
    /// Whether it has been committed to the device.
    pub written: bool,
}

/// The held-back writes in the order they were made; the newest wins.
#[derive(Debug, Default)]
pub struct Overlay {
    entries: Vec<Entry>,
}

impl Overlay {
    /// Adds a write. `before` and `after` have the same length.
    pub fn insert(&mut self, address: u64, before: Vec<u8>, after: Vec<u8>) {
        self.entries.push(Entry { address, before, after, written: false });
    }

    /// The writes, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The writes, to mark or remove them.
    pub fn entries_mut(&mut self) -> &mut Vec<Entry> {
        &mut self.entries
    }

    /// How many bytes were changed and not committed.
    pub fn pending(&self) -> usize {
        self.entries.iter().filter(|entry| !entry.written).map(|entry| entry.after.len()).sum()
    }

    /// Lays the held-back bytes over `buffer`, which was read at `address`.
    pub fn apply(&self, address: u64, buffer: &mut [u8]) {
        for entry in self.entries.iter().filter(|entry| !entry.written) {
            let start = entry.address.max(address);
            let end =
                entry.address.saturating_add(entry.after.len() as u64).min(address.saturating_add(buffer.len() as u64));
            if start < end {
                let (from, to) = ((start - address) as usize, (end - address) as usize);
                let source = (start - entry.address) as usize;
                buffer[from..to].copy_from_slice(&entry.after[source..source + (to - from)]);
            }
        }
    }
}
