//! Cross references: which instruction refers to what, sorted in both directions.

use std::collections::BTreeSet;

/// How an instruction refers to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It jumps there.
    Code,
    /// It calls it.
    Call,
    /// It reads, writes or takes the address.
    Data,
    /// It takes the address of text.
    Text,
}

impl Kind {
    /// The word in listings and JSON: `CODE`, `CALL`, `DATA`, `STRING`.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Code => "CODE",
            Kind::Call => "CALL",
            Kind::Data => "DATA",
            Kind::Text => "STRING",
        }
    }

    /// The letter of the command that makes one: `axc axC axd axs`.
    pub fn letter(self) -> char {
        match self {
            Kind::Code => 'c',
            Kind::Call => 'C',
            Kind::Data => 'd',
            Kind::Text => 's',
        }
    }
}

/// One reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Address of the instruction (or datum) that refers.
    pub from: u64,
    /// What it refers to.
    pub to: u64,
    /// How.
    pub kind: Kind,
}

/// Most references that are kept; what comes later is dropped, and [`Xrefs::is_full`] says so.
pub const MOST: usize = 1 << 23;

/// All references.
#[derive(Debug, Default)]
pub struct Xrefs {
    by_source: BTreeSet<(u64, u64, Kind)>,
    by_target: BTreeSet<(u64, u64, Kind)>,
    full: bool,
}

impl Xrefs {
    /// Adds a reference. Between two addresses there is one of each kind at most.
    pub fn add(&mut self, reference: Reference) {
        if self.by_source.len() >= MOST {
            self.full = true;
            return;
        }
        let Reference { from, to, kind } = reference;
        if self.by_source.insert((from, to, kind)) {
            self.by_target.insert((to, from, kind));
        }
    }

    /// Removes the references from `from` to `to`; without `to`: all from there. How many.
    pub fn remove(&mut self, from: u64, to: Option<u64>) -> usize {
        let gone: Vec<Reference> = self.from(from).filter(|found| to.is_none_or(|to| found.to == to)).collect();
        for Reference { from, to, kind } in &gone {
            self.by_source.remove(&(*from, *to, *kind));
            self.by_target.remove(&(*to, *from, *kind));
        }
        gone.len()
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        *self = Xrefs::default();
    }

    /// The references to `to`, by source.
    pub fn to(&self, to: u64) -> impl Iterator<Item = Reference> {
        self.to_between(to, to)
    }

    /// The references to any address from `first` to `last`, by target.
    pub fn to_between(&self, first: u64, last: u64) -> impl Iterator<Item = Reference> {
        let range = (first, 0, Kind::Code)..=(last.max(first), u64::MAX, Kind::Text);
        self.by_target.range(range).map(|&(to, from, kind)| Reference { from, to, kind })
    }

    /// The references from `from`, by target.
    pub fn from(&self, from: u64) -> impl Iterator<Item = Reference> {
        self.from_between(from, from)
    }

    /// The references from any address from `first` to `last`, by source.
    pub fn from_between(&self, first: u64, last: u64) -> impl Iterator<Item = Reference> {
        let range = (first, 0, Kind::Code)..=(last.max(first), u64::MAX, Kind::Text);
        self.by_source.range(range).map(|&(from, to, kind)| Reference { from, to, kind })
    }

    /// Every reference, by source.
    pub fn iter(&self) -> impl Iterator<Item = Reference> {
        self.by_source.iter().map(|&(from, to, kind)| Reference { from, to, kind })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_source.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_source.is_empty()
    }

    /// Whether references were dropped because there were [`MOST`].
    pub fn is_full(&self) -> bool {
        self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_agree() {
        let mut xrefs = Xrefs::default();
        let all =
            [(1, 9, Kind::Call), (1, 9, Kind::Code), (2, 9, Kind::Data), (2, u64::MAX, Kind::Text), (3, 0, Kind::Data)];
        for (from, to, kind) in all {
            xrefs.add(Reference { from, to, kind });
            xrefs.add(Reference { from, to, kind });
        }
        assert_eq!(xrefs.len(), 5);
        assert_eq!(
            xrefs.to(9).map(|found| (found.from, found.kind)).collect::<Vec<_>>(),
            [(1, Kind::Code), (1, Kind::Call), (2, Kind::Data)]
        );
        assert_eq!(xrefs.from(2).map(|found| found.to).collect::<Vec<_>>(), [9, u64::MAX]);
        assert_eq!(xrefs.to_between(9, u64::MAX).count(), 4);
        assert_eq!((xrefs.remove(1, Some(9)), xrefs.remove(1, None), xrefs.remove(2, None)), (2, 0, 2));
        assert_eq!(xrefs.iter().collect::<Vec<_>>(), [Reference { from: 3, to: 0, kind: Kind::Data }]);
        assert_eq!(xrefs.to(9).count(), 0);
    }
}
