//! Maps: which descriptor answers for which virtual addresses. The last added map wins where they overlap.
//!
//! Lookups go through a skyline: the visible parts of all maps, sorted and disjoint, computed when it is first asked
//! for after a change. So a read costs a binary search, however many maps there are.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use super::Access;
use crate::error::{Error, Kind, Result};

/// A window of a descriptor at a virtual address.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    /// The last address in the map (its first when it is empty).
    pub fn last(&self) -> u64 {
        self.from.saturating_add(self.size.saturating_sub(1))
    }

    /// Cuts what would pass the end of the virtual or the physical address space.
    fn cut(&mut self) {
        let room = |start: u64| (u64::MAX - start).saturating_add(1);
        self.size = self.size.min(room(self.from)).min(room(self.delta));
    }
}

/// Where [`Space::prioritize`] puts a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Over all others.
    Highest,
    /// Under all others.
    Lowest,
}

/// A visible part of a map.
#[derive(Debug, Clone, Copy)]
struct Part {
    from: u64,
    /// Inclusive, so that the last address can be covered.
    last: u64,
    /// Index of the map.
    map: usize,
}

/// The maps, in order of priority: the last one shadows the others.
#[derive(Debug, Default)]
pub struct Space {
    maps: Vec<Map>,
    /// Ids below `next` that no map has.
    free: BTreeSet<u32>,
    /// How many ids were ever in use at once; ids count from 1.
    highest: u32,
    skyline: OnceLock<Vec<Part>>,
}

impl Space {
    /// Adds a map with the highest priority and returns its id (the lowest free one). A map that would pass the end
    /// of the address space is cut there.
    pub fn add(&mut self, fd: u32, from: u64, size: u64, delta: u64, access: Access, name: Option<String>) -> u32 {
        let id = self.free.pop_first().unwrap_or_else(|| {
            self.highest += 1;
            self.highest
        });
        let mut map = Map { id, fd, from, size, delta, access, name };
        map.cut();
        self.maps.push(map);
        self.changed();
        id
    }

    /// The maps, lowest priority first.
    pub fn maps(&self) -> &[Map] {
        &self.maps
    }

    /// The map `id`.
    pub fn get(&self, id: u32) -> Result<&Map> {
        self.index(id).map(|index| &self.maps[index])
    }

    /// Changes the place, the permissions or the name of the map `id` (its id stays as it is).
    pub fn change(&mut self, id: u32, change: impl FnOnce(&mut Map)) -> Result<()> {
        let index = self.index(id)?;
        let map = &mut self.maps[index];
        change(map);
        map.id = id;
        map.cut();
        self.changed();
        Ok(())
    }

    /// Changes every map.
    pub fn change_all(&mut self, mut change: impl FnMut(&mut Map)) {
        for map in &mut self.maps {
            let id = map.id;
            change(map);
            map.id = id;
            map.cut();
        }
        self.changed();
    }

    /// Puts the map `id` over or under all others.
    pub fn prioritize(&mut self, id: u32, priority: Priority) -> Result<()> {
        let index = self.index(id)?;
        let map = self.maps.remove(index);
        match priority {
            Priority::Highest => self.maps.push(map),
            Priority::Lowest => self.maps.insert(0, map),
        }
        self.changed();
        Ok(())
    }

    /// Puts the maps of `fd` over all others, in the order they had.
    pub fn raise_descriptor(&mut self, fd: u32) {
        self.maps.sort_by_key(|map| map.fd == fd);
        self.changed();
    }

    /// The map that answers for `address`.
    pub fn at(&self, address: u64) -> Option<&Map> {
        let skyline = self.skyline();
        let index = skyline.partition_point(|part| part.last < address);
        skyline.get(index).filter(|part| part.from <= address).map(|part| &self.maps[part.map])
    }

    /// Removes the map `id`.
    pub fn remove(&mut self, id: u32) -> Result<()> {
        self.index(id)?;
        self.retain(|map| map.id != id);
        Ok(())
    }

    /// Removes every map.
    pub fn clear(&mut self) {
        *self = Space::default();
    }

    /// Removes every map of `fd`.
    pub fn remove_descriptor(&mut self, fd: u32) {
        self.retain(|map| map.fd != fd);
    }

    /// Lets maps that covered the whole of a resized descriptor follow its size.
    pub fn resized(&mut self, fd: u32, old: u64, new: u64) {
        for map in self.maps.iter_mut().filter(|map| map.fd == fd && map.delta == 0 && map.size == old) {
            map.size = new;
            map.cut();
        }
        self.changed();
    }

    /// What answers for `address`, and for how many of the next `length` bytes: a descriptor with the physical
    /// address and the map's permissions, or nothing. Never 0 bytes long (unless `length` is), never past the end of
    /// the address space.
    pub fn piece(&self, address: u64, length: u64) -> (Option<(u32, u64, Access)>, u64) {
        let length = length.min((u64::MAX - address).saturating_add(1));
        let skyline = self.skyline();
        let index = skyline.partition_point(|part| part.last < address);
        match skyline.get(index) {
            Some(part) if part.from <= address => {
                let map = &self.maps[part.map];
                let left = (part.last - address).saturating_add(1);
                (Some((map.fd, map.delta + (address - map.from), map.access)), length.min(left))
            }
            Some(part) => (None, length.min(part.from - address)),
            None => (None, length),
        }
    }

    fn index(&self, id: u32) -> Result<usize> {
        self.maps
            .iter()
            .position(|map| map.id == id)
            .ok_or_else(|| Error::new(Kind::NotFound, format!("no map {id}")).hint("'om' lists the maps"))
    }

    fn retain(&mut self, keep: impl Fn(&Map) -> bool) {
        let free = &mut self.free;
        self.maps.retain(|map| {
            let keep = keep(map);
            if !keep {
                free.insert(map.id);
            }
            keep
        });
        self.changed();
    }

    fn changed(&mut self) {
        self.skyline = OnceLock::new();
    }

    fn skyline(&self) -> &[Part] {
        self.skyline.get_or_init(|| skyline(&self.maps))
    }
}

/// Sweeps over the starts and ends of all maps; between two of them the highest of the open maps is visible.
fn skyline(maps: &[Map]) -> Vec<Part> {
    let filled = || maps.iter().enumerate().filter(|(_, map)| map.size > 0);
    let mut edges: Vec<(u128, usize, bool)> = filled()
        .flat_map(|(index, map)| {
            [(u128::from(map.from), index, true), (u128::from(map.from) + u128::from(map.size), index, false)]
        })
        .collect();
    edges.sort_unstable();
    let mut parts: Vec<Part> = Vec::new();
    let mut open = BTreeSet::new();
    let mut start = 0u128;
    for (place, index, opens) in edges {
        if let Some(&top) = open.last()
            && start < place
        {
            // `place` is at most 2^64, so the address before it fits.
            let (from, last) = (start as u64, (place - 1) as u64);
            match parts.last_mut() {
                Some(part) if part.map == top && part.last.checked_add(1) == Some(from) => part.last = last,
                _ => parts.push(Part { from, last, map: top }),
            }
        }
        start = place;
        if opens {
            open.insert(index);
        } else {
            open.remove(&index);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_map_wins_and_ids_are_reused() {
        let mut space = Space::default();
        assert_eq!(space.add(3, 0, 0x100, 0, Access::R, None), 1);
        assert_eq!(space.add(4, 0x10, 0x10, 0x8, Access::RWX, None), 2);
        assert_eq!(space.piece(0, 0x100), (Some((3, 0, Access::R)), 0x10));
        assert_eq!(space.piece(0x11, 0x100), (Some((4, 9, Access::RWX)), 0xf));
        assert_eq!(space.piece(0x20, 0x1000), (Some((3, 0x20, Access::R)), 0xe0));
        assert_eq!(space.piece(0x100, 7), (None, 7));
        space.remove(1).unwrap();
        assert_eq!(space.piece(0, 0x100), (None, 0x10));
        assert_eq!(space.add(5, 0, 1, 0, Access::R, None), 1);
        assert!(space.remove(9).is_err());
    }

    #[test]
    fn the_end_of_the_address_space_is_an_ordinary_place() {
        let mut space = Space::default();
        space.add(3, u64::MAX - 3, 100, 0, Access::R, None);
        assert_eq!(space.maps()[0].size, 4);
        assert_eq!(space.piece(u64::MAX - 3, 100), (Some((3, 0, Access::R)), 4));
        assert_eq!(space.piece(u64::MAX, 100), (Some((3, 3, Access::R)), 1));
        assert_eq!(space.piece(u64::MAX - 5, 100), (None, 2));
        let id = space.add(4, 0, u64::MAX, u64::MAX - 1, Access::R, None);
        assert_eq!(space.get(id).unwrap().size, 2, "the physical end cuts as well");
    }

    #[test]
    fn thousands_of_maps_stay_quick() {
        let mut space = Space::default();
        for index in 0..20_000u64 {
            space.add(3, index * 0x20, 0x18, 0, Access::R, None);
        }
        for index in 0..20_000u64 {
            assert_eq!(space.piece(index * 0x20 + 8, 0x20).1, 0x10);
        }
    }

    fn naive(space: &Space, address: u64) -> Option<(u32, u64)> {
        let map = space.maps().iter().rev().find(|map| map.contains(address))?;
        Some((map.fd, map.delta + (address - map.from)))
    }

    proptest! {
        #[test]
        fn pieces_agree_with_a_walk_over_the_maps(
            maps in prop::collection::vec((0u64..64, 0u64..24, 0u64..9, any::<bool>()), 0..12),
            removed in prop::collection::vec(1u32..12, 0..4),
            raised in prop::option::of(1u32..12),
        ) {
            // Half of the maps lie at the very end of the address space.
            let place = |at: u64, top: bool| if top { u64::MAX - at } else { at };
            let mut space = Space::default();
            for (fd, (from, size, delta, top)) in (3u32..).zip(maps) {
                space.add(fd, place(from, top), size, delta, Access::R, None);
            }
            for id in removed {
                let _ = space.remove(id);
            }
            if let Some(id) = raised {
                let _ = space.prioritize(id, Priority::Highest);
            }
            for address in (0u64..96).flat_map(|at| [at, u64::MAX - at]) {
                let (target, length) = space.piece(address, 40);
                prop_assert!((1..=40).contains(&length));
                prop_assert!(length - 1 <= u64::MAX - address);
                for step in 0..length {
                    let expected = naive(&space, address + step);
                    prop_assert_eq!(target.map(|(fd, physical, _)| (fd, physical + step)), expected);
                }
                prop_assert_eq!(space.at(address).map(|map| map.fd), naive(&space, address).map(|(fd, _)| fd));
            }
        }
    }
}
