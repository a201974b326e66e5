//! Flags: names for addresses, grouped in flagspaces.

use std::collections::BTreeMap;

/// A name for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Unique name.
    pub name: String,
    /// Address in the session's address space.
    pub address: u64,
    /// Bytes it stands for.
    pub size: u64,
    /// The flagspace it belongs to, if any.
    pub space: Option<String>,
    /// A remark.
    pub comment: Option<String>,
    /// The name before it was made fit for expressions.
    pub real_name: Option<String>,
}

/// All flags.
#[derive(Debug, Default)]
pub struct Flags {
    by_name: BTreeMap<String, Flag>,
    /// Names in the order (address, order of creation).
    by_address: BTreeMap<u64, Vec<String>>,
    /// The selected flagspace: new flags go there, and only its flags are listed.
    pub selected: Option<String>,
}

impl Flags {
    /// Sets or moves the flag `name`, in the selected flagspace.
    pub fn set(&mut self, name: &str, address: u64, size: u64) -> &mut Flag {
        let old = self.remove(name);
        let space = old.as_ref().map_or_else(|| self.selected.clone(), |flag| flag.space.clone());
        self.by_address.entry(address).or_default().push(name.to_string());
        let flag = Flag {
            name: name.to_string(),
            address,
            size,
            space,
            comment: old.as_ref().and_then(|flag| flag.comment.clone()),
            real_name: None,
        };
        self.by_name.entry(name.to_string()).insert_entry(flag).into_mut()
    }

    /// The flag `name`.
    pub fn get(&self, name: &str) -> Option<&Flag> {
        self.by_name.get(name)
    }

    /// The flag `name`, to change its size, comment or space (not its address or name).
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Flag> {
        self.by_name.get_mut(name)
    }

    /// Removes the flag `name`.
    pub fn remove(&mut self, name: &str) -> Option<Flag> {
        let flag = self.by_name.remove(name)?;
        if let Some(names) = self.by_address.get_mut(&flag.address) {
            names.retain(|other| other != name);
            if names.is_empty() {
                self.by_address.remove(&flag.address);
            }
        }
        Some(flag)
    }

    /// Every flag that the selected flagspace shows, by address.
    pub fn visible(&self) -> impl Iterator<Item = &Flag> {
        self.iter().filter(|flag| self.selected.is_none() || flag.space == self.selected)
    }

    /// Every flag, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Flag> {
        self.by_address.values().flatten().filter_map(|name| self.by_name.get(name))
    }

    /// The flags exactly at `address`.
    pub fn at(&self, address: u64) -> impl Iterator<Item = &Flag> {
        self.by_address.get(&address).into_iter().flatten().filter_map(|name| self.by_name.get(name))
    }

    /// The visible flag nearest at or before `address`.
    pub fn nearest(&self, address: u64) -> Option<&Flag> {
        self.by_address
            .range(..=address)
            .rev()
            .flat_map(|(_, names)| names.iter().rev())
            .filter_map(|name| self.by_name.get(name))
            .find(|flag| self.selected.is_none() || flag.space == self.selected)
    }
}
