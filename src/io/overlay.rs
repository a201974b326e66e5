//! The write overlay (`io.cache`): writes are kept beside the device until they are committed or thrown away.
//!
//! The list of writes is the history that the user sees. Reads go through an index of what is visible of them:
//! disjoint pieces sorted by address, so that a read costs what lies in its range, not the whole history.

use std::collections::BTreeMap;

/// The address space that a held-back write belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Virtual addresses.
    Virtual,
    /// Physical addresses of a descriptor (`io.va=false`, `@o:fd`).
    Physical(u32),
}

/// One held-back write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The address space of `address`.
    pub layer: Layer,
    /// Address of the first byte.
    pub address: u64,
    /// What was there.
    pub before: Vec<u8>,
    /// What is seen now; as long as `before`.
    pub after: Vec<u8>,
    /// Whether it has been committed to the device.
    pub written: bool,
}

impl Entry {
    /// The address of the last byte.
    pub fn last(&self) -> u64 {
        self.address.saturating_add((self.after.len() as u64).saturating_sub(1))
    }

    /// Splits off what lies at `address` and behind it, when that is inside.
    fn split(&mut self, address: u64) -> Option<Entry> {
        if address <= self.address || address > self.last() {
            return None;
        }
        let at = (address - self.address) as usize;
        Some(Entry { address, before: self.before.split_off(at), after: self.after.split_off(at), ..*self })
    }
}

/// A visible piece of an entry. Its start is the key of the index.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Inclusive.
    last: u64,
    /// Index of the entry whose bytes it shows.
    entry: usize,
}

/// The held-back writes in the order they were made; the newest wins.
#[derive(Debug, Default)]
pub struct Overlay {
    entries: Vec<Entry>,
    index: BTreeMap<(Layer, u64), Piece>,
    pending: usize,
}

impl Overlay {
    /// Adds a write. `before` and `after` have the same length and end inside the address space (what would not is cut).
    pub fn insert(&mut self, layer: Layer, address: u64, mut before: Vec<u8>, mut after: Vec<u8>) {
        let room = usize::try_from((u64::MAX - address).saturating_add(1)).unwrap_or(usize::MAX);
        before.truncate(room);
        after.truncate(room);
        if after.is_empty() {
            return;
        }
        self.pending += after.len();
        self.entries.push(Entry { layer, address, before, after, written: false });
        self.show(self.entries.len() - 1);
    }

    /// The writes, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many bytes were written and not committed (a byte written twice counts twice).
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Marks writes, by their place in the list, as committed: the device shows them now.
    pub fn mark_all_written(&mut self, indices: impl IntoIterator<Item = usize>) {
        for index in indices {
            if let Some(entry) = self.entries.get_mut(index) {
                entry.written = true;
            }
        }
        self.rebuild();
    }

    /// Cuts writes at the borders of a range of `layer`, so that each lies inside or outside. `last` is inclusive.
    pub fn split(&mut self, layer: Layer, from: u64, last: u64) {
        let borders = [Some(from), last.checked_add(1)];
        let mut entries = Vec::with_capacity(self.entries.len() + 2);
        for mut entry in self.entries.drain(..) {
            let mut rest = Vec::new();
            if entry.layer == layer {
                // From the back, so that the first part stays in `entry`.
                for border in borders.iter().rev().flatten() {
                    rest.extend(entry.split(*border));
                }
            }
            entries.push(entry);
            entries.extend(rest.into_iter().rev());
        }
        self.entries = entries;
        self.rebuild();
    }

    /// Forgets the writes for which `keep` says no; what was below them shows again.
    pub fn retain(&mut self, keep: impl FnMut(&Entry) -> bool) {
        self.entries.retain(keep);
        self.rebuild();
    }

    /// Swaps the writes of two address spaces.
    pub fn exchange(&mut self, a: Layer, b: Layer) {
        for entry in &mut self.entries {
            entry.layer = match entry.layer {
                layer if layer == a => b,
                layer if layer == b => a,
                layer => layer,
            };
        }
        self.rebuild();
    }

    /// The first held-back bytes at or after `address` of `layer`: the first and the last address of a stretch that
    /// begins at `address` or later.
    pub fn next(&self, layer: Layer, address: u64) -> Option<(u64, u64)> {
        let before = self.index.range(..=(layer, address)).next_back();
        let before = before.filter(|((other, _), piece)| *other == layer && piece.last >= address);
        let after = || self.index.range((layer, address)..).next().filter(|((other, _), _)| *other == layer);
        before.or_else(after).map(|((_, from), piece)| ((*from).max(address), piece.last))
    }

    /// Lays the held-back bytes over `buffer`, which was read at `address` of `layer`.
    pub fn apply(&self, layer: Layer, address: u64, buffer: &mut [u8]) {
        if buffer.is_empty() || self.index.is_empty() {
            return;
        }
        let end = address.saturating_add(buffer.len() as u64 - 1);
        let before = self.index.range(..(layer, address)).next_back().filter(|((other, _), _)| *other == layer);
        for (&(_, from), piece) in before.into_iter().chain(self.index.range((layer, address)..=(layer, end))) {
            let (start, last) = (from.max(address), piece.last.min(end));
            if start <= last {
                let entry = &self.entries[piece.entry];
                let source = (start - entry.address) as usize;
                let (to, length) = ((start - address) as usize, (last - start) as usize + 1);
                buffer[to..to + length].copy_from_slice(&entry.after[source..source + length]);
            }
        }
    }

    /// Puts the write at `number` over whatever the index shows in its range.
    fn show(&mut self, number: usize) {
        let entry = &self.entries[number];
        let (layer, from, last) = (entry.layer, entry.address, entry.last());
        let first = self
            .index
            .range(..(layer, from))
            .next_back()
            .filter(|((other, _), piece)| *other == layer && piece.last >= from)
            .map(|(key, piece)| (*key, *piece));
        let inside: Vec<_> =
            self.index.range((layer, from)..=(layer, last)).map(|(key, piece)| (*key, *piece)).collect();
        for (key, piece) in first.into_iter().chain(inside) {
            self.index.remove(&key);
            if key.1 < from {
                self.index.insert(key, Piece { last: from - 1, ..piece });
            }
            if piece.last > last {
                self.index.insert((layer, last + 1), piece);
            }
        }
        self.index.insert((layer, from), Piece { last, entry: number });
    }

    fn rebuild(&mut self) {
        self.index.clear();
        self.pending = 0;
        for number in 0..self.entries.len() {
            if !self.entries[number].written {
                self.pending += self.entries[number].after.len();
                self.show(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_newest_write_wins_and_removal_shows_the_older_one() {
        let mut overlay = Overlay::default();
        overlay.insert(Layer::Virtual, 0, vec![0; 4], vec![1; 4]);
        overlay.insert(Layer::Virtual, 1, vec![1; 2], vec![2; 2]);
        let mut seen = [0; 6];
        overlay.apply(Layer::Virtual, 0, &mut seen);
        assert_eq!(seen, [1, 2, 2, 1, 0, 0]);
        overlay.apply(Layer::Physical(3), 0, &mut [0; 6]);
        overlay.retain(|entry| entry.address != 1);
        seen.fill(0);
        overlay.apply(Layer::Virtual, 0, &mut seen);
        assert_eq!(seen, [1, 1, 1, 1, 0, 0]);
        assert_eq!(overlay.pending(), 4);
    }

    #[test]
    fn a_hundred_thousand_writes_stay_quick() {
        let mut overlay = Overlay::default();
        for index in 0..100_000u64 {
            overlay.insert(Layer::Virtual, index * 3 % 65_536, vec![0; 2], vec![index as u8; 2]);
        }
        let mut seen = [0; 64];
        for index in 0..10_000 {
            overlay.apply(Layer::Virtual, index, &mut seen);
        }
        overlay.mark_all_written(0..100_000);
        assert_eq!(overlay.pending(), 0);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Write(Layer, u64, Vec<u8>),
        Written(usize),
        Forget(Layer, u64, u64),
    }

    /// Small numbers, from both ends of the address space.
    fn address() -> impl Strategy<Value = u64> {
        (0u64..40, any::<bool>()).prop_map(|(at, top)| if top { u64::MAX - at } else { at })
    }

    fn layer() -> impl Strategy<Value = Layer> {
        prop_oneof![Just(Layer::Virtual), Just(Layer::Physical(3)), Just(Layer::Physical(4))]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (layer(), address(), prop::collection::vec(1u8.., 0..12)).prop_map(|(l, a, b)| Step::Write(l, a, b)),
            1 => (0usize..12).prop_map(Step::Written),
            1 => (layer(), address(), 0u64..12).prop_map(|(l, a, n)| Step::Forget(l, a, n)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_seen_agrees_with_a_walk_over_single_bytes(steps in prop::collection::vec(step(), 0..24)) {
            let mut overlay = Overlay::default();
            // The model: every write as single bytes, oldest first.
            let mut model: Vec<Vec<(Layer, u64, u8)>> = Vec::new();
            for step in steps {
                match step {
                    Step::Write(layer, address, bytes) => {
                        overlay.insert(layer, address, vec![0; bytes.len()], bytes.clone());
                        model.push(
                            (0..).zip(bytes).filter_map(|(at, b)| Some((layer, address.checked_add(at)?, b))).collect(),
                        );
                    }
                    Step::Written(index) => {
                        if let Some(entry) = overlay.entries().get(index).cloned() {
                            overlay.mark_all_written([index]);
                            // Splits may have cut the write in parts: only this part's bytes are gone. Entries and
                            // model keep the same order, so the bytes are found by counting.
                            let mut skip: usize = overlay.entries()[..index].iter().map(|e| e.after.len()).sum();
                            let mut left = if entry.written { 0 } else { entry.after.len() };
                            for bytes in &mut model {
                                for byte in bytes.iter_mut() {
                                    if skip > 0 {
                                        skip -= 1;
                                    } else if left > 0 {
                                        left -= 1;
                                        byte.2 = 0;
                                    }
                                }
                            }
                        }
                    }
                    Step::Forget(layer, from, count) => {
                        let last = from.saturating_add(count);
                        overlay.split(layer, from, last);
                        overlay.retain(|e| e.layer != layer || e.last() < from || e.address > last);
                        for bytes in &mut model {
                            bytes.retain(|(l, a, _)| *l != layer || *a < from || *a > last);
                        }
                    }
                }
            }
            let pending = model.iter().flatten().filter(|(_, _, byte)| *byte != 0).count();
            prop_assert_eq!(overlay.pending(), pending);
            for layer in [Layer::Virtual, Layer::Physical(3), Layer::Physical(4)] {
                for start in [0, 1, 7, u64::MAX - 50, u64::MAX - 3] {
                    let mut seen = [0u8; 60];
                    overlay.apply(layer, start, &mut seen);
                    let mut expected = [0u8; 60];
                    for (l, a, byte) in model.iter().flatten() {
                        if *l == layer && *byte != 0 && *a >= start && *a - start < 60 {
                            expected[(*a - start) as usize] = *byte;
                        }
                    }
                    prop_assert_eq!(seen, expected);
                }
            }
        }
    }
}
