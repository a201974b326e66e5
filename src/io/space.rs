//! Maps: which descriptor answers for which virtual addresses. The last added map wins where they overlap.

use super::Access;

/// A window of a descriptor at a virtual address.
#[derive(Debug, Clone)]
pub struct Map {
    /// Number shown to the user, from 1.
    pub id: u32,
    /// The descriptor behind it.
    pub fd: u32,
    /// First virtual address.
    pub from: u64,
    /// Bytes.
    pub size: u64,
    /// Physical address in the descriptor that `from` stands for.
    pub delta: u64,
    /// What may be done through this map.
    pub access: Access,
    /// A label, such as `fmap.LOAD0`.
    pub name: Option<String>,
}

impl Map {
    /// Whether `address` lies in the map.
    pub fn contains(&self, address: u64) -> bool {
        address >= self.from && address - self.from < self.size
    }
}

/// The maps, in order of priority: the last one shadows the others.
#[derive(Debug, Default)]
pub struct Space {
    maps: Vec<Map>,
}

impl Space {
    /// Adds a map with the highest priority and returns its id (the lowest free one). A map that would pass the end
    /// of the address space is cut there.
    pub fn add(&mut self, fd: u32, from: u64, size: u64, delta: u64, access: Access, name: Option<String>) -> u32 {
        let id = (1..).find(|id| self.maps.iter().all(|map| map.id != *id)).expect("fewer than 2^32 maps");
        let size = size.min((u64::MAX - from).saturating_add(1));
        self.maps.push(Map { id, fd, from, size, delta, access, name });
        id
    }

    /// The maps, lowest priority first.
    pub fn maps(&self) -> &[Map] {
        &self.maps
    }

    /// The maps, to change their order, place or permissions.
    pub fn maps_mut(&mut self) -> &mut Vec<Map> {
        &mut self.maps
    }

    /// The map that answers for `address`.
    pub fn at(&self, address: u64) -> Option<&Map> {
        self.maps.iter().rev().find(|map| map.contains(address))
    }

    /// Removes every map of `fd`.
    pub fn remove_descriptor(&mut self, fd: u32) {
        self.maps.retain(|map| map.fd != fd);
    }

    /// Lets maps that covered the whole of a resized descriptor follow its size.
    pub fn resized(&mut self, fd: u32, old: u64, new: u64) {
        for map in self.maps.iter_mut().filter(|map| map.fd == fd && map.delta == 0 && map.size == old) {
            map.size = new;
        }
    }

    /// What answers for `address`, and for how many of the next `length` bytes: a descriptor with the physical
    /// address and the map's permissions, or nothing. Never 0 bytes long, never past the end of the address space.
    pub fn piece(&self, address: u64, length: u64) -> (Option<(u32, u64, Access)>, u64) {
        let room = (u64::MAX - address).saturating_add(1);
        let mut length = length.min(room.max(1));
        for map in self.maps.iter().rev() {
            if map.contains(address) {
                let left = map.size - (address - map.from);
                return (Some((map.fd, address - map.from + map.delta, map.access)), length.min(left));
            }
            if map.from > address {
                length = length.min(map.from - address);
            }
        }
        (None, length)
    }
}
