//! What bytes are, as the user or the file's tables say: data, text, formatted records, hidden, typed. Comments are
//! kept apart ([`super::Core::comments`]), since any address can have one beside what it is.

use std::collections::BTreeMap;

use crate::error::{Error, Kind as ErrorKind, Result};

/// What a stretch of bytes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Numbers: shown as words (`Cd`).
    Data,
    /// Text (`Cs`).
    Text,
    /// A record with a `pf` format (`Cf`).
    Format,
    /// Left out of listings (`Ch`).
    Hidden,
    /// Has a named type (`Ct`).
    Typed,
}

impl Kind {
    /// The command that makes it.
    pub fn command(self) -> &'static str {
        match self {
            Kind::Data => "Cd",
            Kind::Text => "Cs",
            Kind::Format => "Cf",
            Kind::Hidden => "Ch",
            Kind::Typed => "Ct",
        }
    }

    /// The word for it in listings.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Data => "data",
            Kind::Text => "ascii",
            Kind::Format => "format",
            Kind::Hidden => "hidden",
            Kind::Typed => "type",
        }
    }
}

/// One entry: `size` bytes at the address that it is filed under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the bytes are.
    pub kind: Kind,
    /// How many there are; never 0.
    pub size: u64,
    /// The text, the format or the name of the type; empty for data and hidden bytes.
    pub text: String,
}

/// Most entries that are kept.
const MOST: usize = 1 << 20;

/// All entries, by address. Several kinds can be filed under one address, each once.
#[derive(Debug, Default)]
pub struct Metadata {
    entries: BTreeMap<(u64, Kind), Entry>,
    /// The longest entry that was ever set: how far back one must look for what covers an address.
    longest: u64,
}

impl Metadata {
    /// Says what the bytes at `address` are, in place of what this kind said before.
    pub fn set(&mut self, address: u64, entry: Entry) -> Result<()> {
        let key = (address, entry.kind);
        if self.entries.len() >= MOST && !self.entries.contains_key(&key) {
            return Err(Error::new(ErrorKind::Limit, format!("there are {MOST} entries of metadata already"))
                .hint("'C-*' removes all"));
        }
        let size = entry.size.max(1);
        self.longest = self.longest.max(size);
        self.entries.insert(key, Entry { size, ..entry });
        Ok(())
    }

    /// Removes the entries of `kind` (all kinds without one) that cover any of `size` bytes at `address`. How many.
    pub fn remove(&mut self, address: u64, size: u64, kind: Option<Kind>) -> usize {
        let last = address.saturating_add(size.max(1) - 1);
        let hit: Vec<(u64, Kind)> = self
            .range(address, last)
            .filter(|(_, entry)| kind.is_none_or(|kind| entry.kind == kind))
            .map(|(at, entry)| (at, entry.kind))
            .collect();
        hit.iter().for_each(|key| _ = self.entries.remove(key));
        hit.len()
    }

    /// Removes all entries of `kind`, or everything.
    pub fn clear(&mut self, kind: Option<Kind>) {
        self.entries.retain(|key, _| kind.is_some_and(|kind| key.1 != kind));
        if self.entries.is_empty() {
            self.longest = 0;
        }
    }

    /// Every entry, by address.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter().map(|(key, entry)| (key.0, entry))
    }

    /// The entries that cover any address from `first` to `last`, by address.
    pub fn range(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let start = first.saturating_sub(self.longest.saturating_sub(1));
        self.entries
            .range((start, Kind::Data)..=(last, Kind::Typed))
            .map(|(key, entry)| (key.0, entry))
            .filter(move |(at, entry)| at.saturating_add(entry.size - 1) >= first)
    }

    /// What covers `address`, innermost last.
    pub fn at(&self, address: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.range(address, address)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind, size: u64) -> Entry {
        Entry { kind, size, text: String::new() }
    }

    #[test]
    fn what_covers_an_address_is_found_from_any_of_its_bytes() {
        let mut metadata = Metadata::default();
        metadata.set(0x10, entry(Kind::Data, 8)).unwrap();
        metadata.set(0x10, entry(Kind::Typed, 4)).unwrap();
        metadata.set(u64::MAX, entry(Kind::Text, 100)).unwrap();
        let kinds = |metadata: &Metadata, at| metadata.at(at).map(|(_, entry)| entry.kind).collect::<Vec<_>>();
        assert_eq!(kinds(&metadata, 0x0f), []);
        assert_eq!(kinds(&metadata, 0x13), [Kind::Data, Kind::Typed]);
        assert_eq!(kinds(&metadata, 0x17), [Kind::Data]);
        assert_eq!(kinds(&metadata, 0x18), []);
        assert_eq!(kinds(&metadata, u64::MAX), [Kind::Text]);
        assert_eq!(metadata.remove(0x17, 1, None), 1);
        assert_eq!(kinds(&metadata, 0x11), [Kind::Typed]);
        metadata.clear(Some(Kind::Typed));
        assert_eq!(metadata.len(), 1);
    }

    #[test]
    fn one_kind_has_one_entry_at_an_address() {
        let mut metadata = Metadata::default();
        metadata.set(4, entry(Kind::Data, 8)).unwrap();
        metadata.set(4, entry(Kind::Data, 0)).unwrap();
        assert_eq!(metadata.iter().map(|(at, entry)| (at, entry.size)).collect::<Vec<_>>(), [(4, 1)]);
    }
}
