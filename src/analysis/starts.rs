//! Where functions are known to start, and how long they are as far as tables say.

use std::collections::{BTreeMap, HashSet};

/// Known starts of functions.
#[derive(Debug, Default)]
pub struct Starts {
    /// Sizes in bytes, 0 when unknown.
    sizes: BTreeMap<u64, u64>,
    /// Those that were named, as opposed to found: nothing runs through them.
    named: HashSet<u64>,
}

impl Starts {
    /// Adds a start. A size that was known stays unless this one is larger.
    pub fn add(&mut self, address: u64, size: u64) {
        let known = self.sizes.entry(address).or_default();
        *known = size.max(*known);
    }

    /// Adds a start that has a name.
    pub fn add_named(&mut self, address: u64, size: u64) {
        self.add(address, size);
        self.named.insert(address);
    }

    /// Whether a function starts at `address`.
    pub fn contains(&self, address: u64) -> bool {
        self.sizes.contains_key(&address)
    }

    /// Whether a function with a name starts at `address`.
    pub fn is_named(&self, address: u64) -> bool {
        self.named.contains(&address)
    }

    /// The size of the function that starts at `address`, 0 when unknown.
    pub fn size(&self, address: u64) -> Option<u64> {
        self.sizes.get(&address).copied()
    }

    /// The start of the function that tables say `address` lies in.
    pub fn around(&self, address: u64) -> Option<u64> {
        // Functions do not nest in the tables; the nearest with a size decides, past a few without.
        let before = self.sizes.range(..=address).rev().take(8);
        before.filter(|(_, size)| **size > 0).find(|(start, size)| address - **start < **size).map(|(start, _)| *start)
    }

    /// All starts with their sizes.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.sizes.iter().map(|(start, size)| (*start, *size))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }
}
