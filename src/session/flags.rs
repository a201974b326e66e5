//! Flags: names for addresses, grouped in flagspaces.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::error::{Error, Kind, Result};

/// A name for an address. Changed through [`Flags`], which keeps its indexes in step.
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
    /// When it was made or moved: flags of one address keep this order.
    order: u64,
}

/// Names in the order (address, order of creation).
type Places = BTreeMap<(u64, u64), Arc<str>>;

/// How listings are sorted (`fS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// By address, then by creation.
    #[default]
    Address,
    /// By name.
    Name,
}

/// All flags.
#[derive(Debug, Default)]
pub struct Flags {
    by_name: BTreeMap<Arc<str>, Flag>,
    by_address: Places,
    /// The places of each flagspace's flags.
    by_space: HashMap<String, Places>,
    /// Flagspaces, also empty ones.
    spaces: BTreeSet<String>,
    /// Selections that `fs-` returns to, oldest first.
    stack: Vec<Option<String>>,
    /// Counts creations and moves.
    clock: u64,
    /// Next numbers of enumerated flags (`fe`).
    counters: BTreeMap<String, u64>,
    /// The selected flagspace: new flags go there, and only its flags are listed.
    pub selected: Option<String>,
    /// How listings are sorted.
    pub sort: Sort,
}

impl Flags {
    /// Sets or moves the flag `name`. It goes to the selected flagspace; without one it stays in its own.
    pub fn set(&mut self, name: &str, address: u64, size: u64) -> &Flag {
        let old = self.remove(name);
        let (space, comment, real_name) = match old {
            Some(old) => (self.selected.clone().or(old.space), old.comment, old.real_name),
            None => (self.selected.clone(), None, None),
        };
        self.clock += 1;
        let order = self.clock;
        self.insert(Flag { name: name.to_string(), address, size, space, comment, real_name, order })
    }

    fn insert(&mut self, flag: Flag) -> &Flag {
        let key: Arc<str> = flag.name.as_str().into();
        let place = (flag.address, flag.order);
        self.by_address.insert(place, Arc::clone(&key));
        if let Some(space) = &flag.space {
            match self.by_space.get_mut(space) {
                Some(places) => {
                    places.insert(place, Arc::clone(&key));
                }
                None => {
                    self.spaces.insert(space.clone());
                    self.by_space.insert(space.clone(), Places::from([(place, Arc::clone(&key))]));
                }
            }
        }
        self.by_name.entry(key).insert_entry(flag).into_mut()
    }

    /// The flag `name`.
    pub fn get(&self, name: &str) -> Option<&Flag> {
        self.by_name.get(name)
    }

    /// How many flags there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Removes the flag `name`.
    pub fn remove(&mut self, name: &str) -> Option<Flag> {
        let flag = self.by_name.remove(name)?;
        let place = (flag.address, flag.order);
        self.by_address.remove(&place);
        if let Some(places) = flag.space.as_ref().and_then(|space| self.by_space.get_mut(space)) {
            places.remove(&place);
        }
        Some(flag)
    }

    /// Removes every flag, flagspace and counter.
    pub fn clear(&mut self) {
        *self = Flags { sort: self.sort, ..Flags::default() };
    }

    /// Moves the flag `name` to `address`. Whether it exists.
    pub fn relocate(&mut self, name: &str, address: u64) -> bool {
        self.clock += 1;
        let order = self.clock;
        self.change(name, |flag| (flag.address, flag.order) = (address, order))
    }

    /// Renames a flag; one that has the new name already is an error.
    pub fn rename(&mut self, old: &str, new: &str) -> Result<()> {
        check_name(new)?;
        if old == new {
            return Ok(());
        }
        if self.get(new).is_some() {
            return Err(Error::new(Kind::Usage, format!("cannot rename '{old}': there is a flag '{new}' already")));
        }
        if !self.change(old, |flag| flag.name = new.to_string()) {
            return Err(unknown(old));
        }
        Ok(())
    }

    /// Puts the flag `name` into a flagspace or takes it out of all. Whether it exists.
    pub fn set_space(&mut self, name: &str, space: Option<&str>) -> bool {
        self.change(name, |flag| flag.space = space.map(str::to_string))
    }

    /// Changes the size in bytes of the flag `name`. Whether it exists.
    pub fn resize(&mut self, name: &str, size: u64) -> bool {
        self.by_name.get_mut(name).map(|flag| flag.size = size).is_some()
    }

    /// Changes or removes the remark of the flag `name`. Whether it exists.
    pub fn set_comment(&mut self, name: &str, comment: Option<String>) -> bool {
        self.by_name.get_mut(name).map(|flag| flag.comment = comment).is_some()
    }

    /// Changes or removes the original name of the flag `name`. Whether it exists.
    pub fn set_real_name(&mut self, name: &str, real_name: Option<String>) -> bool {
        self.by_name.get_mut(name).map(|flag| flag.real_name = real_name).is_some()
    }

    fn change(&mut self, name: &str, edit: impl FnOnce(&mut Flag)) -> bool {
        let Some(mut flag) = self.remove(name) else { return false };
        edit(&mut flag);
        self.insert(flag);
        true
    }

    /// Every flag that the selected flagspace shows, by address.
    pub fn visible(&self) -> impl Iterator<Item = &Flag> {
        self.shown_places().into_iter().flat_map(|places| self.flags(places.values()))
    }

    /// The visible flags in `from..to`, by address.
    pub fn visible_between(&self, from: u64, to: u64) -> impl Iterator<Item = &Flag> {
        let range = (from, 0)..(to.max(from), 0);
        self.shown_places()
            .into_iter()
            .flat_map(move |places| self.flags(places.range(range.clone()).map(|(_, name)| name)))
    }

    /// The visible flags whose names match `pattern` (see [`glob`]), by address.
    pub fn matching<'a>(&'a self, pattern: &'a str) -> impl Iterator<Item = &'a Flag> {
        self.visible().filter(move |flag| glob(pattern, &flag.name))
    }

    /// Every flag, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Flag> {
        self.flags(self.by_address.values())
    }

    /// The flags in `from..to`, by address.
    pub fn between(&self, from: u64, to: u64) -> impl Iterator<Item = &Flag> {
        self.flags(self.by_address.range((from, 0)..(to.max(from), 0)).map(|(_, name)| name))
    }

    /// The flags exactly at `address`, in the order of creation.
    pub fn at(&self, address: u64) -> impl Iterator<Item = &Flag> {
        self.flags(self.by_address.range((address, 0)..=(address, u64::MAX)).map(|(_, name)| name))
    }

    /// The visible flag nearest at or before `address`.
    pub fn nearest(&self, address: u64) -> Option<&Flag> {
        self.flags(self.shown_places()?.range(..=(address, u64::MAX)).rev().map(|(_, name)| name)).next()
    }

    /// The first visible flag after `address`.
    pub fn next_after(&self, address: u64) -> Option<&Flag> {
        let start = (address.checked_add(1)?, 0);
        self.flags(self.shown_places()?.range(start..).map(|(_, name)| name)).next()
    }

    /// The places in the selected flagspace; all when none is selected.
    fn shown_places(&self) -> Option<&Places> {
        match &self.selected {
            None => Some(&self.by_address),
            Some(space) => self.by_space.get(space),
        }
    }

    fn flags<'a>(&'a self, names: impl Iterator<Item = &'a Arc<str>>) -> impl Iterator<Item = &'a Flag> {
        names.filter_map(|name| self.by_name.get(name))
    }

    /// The number of the next flag that `fe prefix` makes; counts on.
    pub fn enumerate(&mut self, prefix: &str) -> u64 {
        let next = self.counters.entry(prefix.to_string()).or_default();
        *next += 1;
        *next - 1
    }

    /// Lets `fe` start from 0 again.
    pub fn reset_counters(&mut self) {
        self.counters.clear();
    }
}

/// Flagspaces.
impl Flags {
    /// The flagspaces by name, with the number of their flags.
    pub fn spaces(&self) -> impl Iterator<Item = (&str, usize)> {
        self.spaces.iter().map(|space| (space.as_str(), self.by_space.get(space).map_or(0, Places::len)))
    }

    /// Makes a flagspace, if there is none of this name.
    pub fn declare(&mut self, space: &str) {
        self.spaces.insert(space.to_string());
    }

    /// Selects a flagspace, which is made when it does not exist; `None`: all.
    pub fn select(&mut self, space: Option<&str>) -> Result<()> {
        if let Some(space) = space {
            check_name(space)?;
            self.spaces.insert(space.to_string());
        }
        self.selected = space.map(str::to_string);
        Ok(())
    }

    /// Selects a flagspace until [`Flags::pop`].
    pub fn push(&mut self, space: Option<&str>) -> Result<()> {
        if self.stack.len() >= 1024 {
            return Err(
                Error::new(Kind::Limit, "the stack of flagspaces is full").hint("'fs-' returns to the last one")
            );
        }
        let before = self.selected.clone();
        self.select(space)?;
        self.stack.push(before);
        Ok(())
    }

    /// Returns to the flagspace before the last push.
    pub fn pop(&mut self) -> Result<()> {
        self.selected =
            self.stack.pop().ok_or_else(|| Error::new(Kind::NotFound, "no earlier flagspace to return to"))?;
        Ok(())
    }

    /// The selections that `fs-` returns to, oldest first.
    pub fn stacked(&self) -> &[Option<String>] {
        &self.stack
    }

    /// Removes a flagspace; its flags stay, outside of any.
    pub fn remove_space(&mut self, space: &str) -> Result<()> {
        if !self.spaces.remove(space) {
            return Err(Error::new(Kind::NotFound, format!("no flagspace '{space}'")).hint("'fs' lists them"));
        }
        for name in self.by_space.remove(space).into_iter().flat_map(Places::into_values) {
            if let Some(flag) = self.by_name.get_mut(&name) {
                flag.space = None;
            }
        }
        if self.selected.as_deref() == Some(space) {
            self.selected = None;
        }
        Ok(())
    }

    /// Renames a flagspace.
    pub fn rename_space(&mut self, old: &str, new: &str) -> Result<()> {
        check_name(new)?;
        if old == new {
            return Ok(());
        }
        if self.spaces.contains(new) {
            return Err(Error::new(Kind::Usage, format!("there is a flagspace '{new}' already")));
        }
        if !self.spaces.remove(old) {
            return Err(Error::new(Kind::NotFound, format!("no flagspace '{old}'")).hint("'fs' lists them"));
        }
        self.spaces.insert(new.to_string());
        if let Some(places) = self.by_space.remove(old) {
            for name in places.values() {
                if let Some(flag) = self.by_name.get_mut(name) {
                    flag.space = Some(new.to_string());
                }
            }
            self.by_space.insert(new.to_string(), places);
        }
        for selection in self.stack.iter_mut().chain([&mut self.selected]) {
            if selection.as_deref() == Some(old) {
                *selection = Some(new.to_string());
            }
        }
        Ok(())
    }
}

/// The error for a flag that does not exist.
pub fn unknown(name: &str) -> Error {
    Error::new(Kind::NotFound, format!("no flag '{name}'")).hint("'f' lists them")
}

/// Whether `name` can stand in an expression: no blanks or operators, not a number.
pub fn check_name(name: &str) -> Result<()> {
    let bad = |why: &str| {
        Err(Error::new(Kind::Usage, format!("bad name '{}': {why}", crate::output::visible(name)))
            .hint("letters, digits, '_', '.' and ':', not first a digit"))
    };
    if name.is_empty() {
        return bad("it is empty");
    }
    if name.len() > 4096 {
        return Err(Error::new(Kind::Limit, "a name of more than 4096 bytes"));
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return bad("it looks like a number");
    }
    if !name.contains(|c: char| c.is_alphanumeric() || c == '_') {
        return bad("it has no letter");
    }
    match name.chars().find(|&c| !(c.is_alphanumeric() || "_.:".contains(c))) {
        Some(c) => bad(&format!("'{}' cannot stand in a name", crate::output::visible(&c.to_string()))),
        None => Ok(()),
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any characters and `?` for one.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to resume when the last star has to take one more character.
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(flags: impl Iterator<Item = &'a Flag>) -> Vec<&'a str> {
        flags.map(|flag| flag.name.as_str()).collect()
    }

    #[test]
    fn sorted_by_address_then_by_creation() {
        let mut flags = Flags::default();
        for (name, address) in [("z", 8), ("b", 4), ("a", 4), ("c", 0)] {
            flags.set(name, address, 1);
        }
        assert_eq!(names(flags.iter()), ["c", "b", "a", "z"]);
        assert_eq!(names(flags.at(4)), ["b", "a"]);
        assert_eq!(flags.nearest(7).map(|flag| flag.name.as_str()), Some("a"));
        assert_eq!(flags.next_after(4).map(|flag| flag.name.as_str()), Some("z"));
        assert!(flags.next_after(u64::MAX).is_none());
        assert_eq!(names(flags.visible_between(0, 8)), ["c", "b", "a"]);
        assert_eq!(names(flags.visible_between(9, 2)), [""; 0]);
        flags.set("c", 8, 1);
        assert_eq!(names(flags.iter()), ["b", "a", "z", "c"]);
    }

    #[test]
    fn spaces_hide_and_count() {
        let mut flags = Flags::default();
        flags.set("free", 0, 1);
        flags.select(Some("one")).unwrap();
        flags.set("a", 4, 1);
        flags.push(Some("two")).unwrap();
        flags.set("b", 8, 1);
        assert_eq!(names(flags.visible()), ["b"]);
        assert!(flags.nearest(7).is_none());
        flags.pop().unwrap();
        assert_eq!(names(flags.visible()), ["a"]);
        assert!(flags.pop().is_err());
        flags.rename_space("one", "uno").unwrap();
        assert_eq!(flags.selected.as_deref(), Some("uno"));
        assert!(flags.rename_space("uno", "two").is_err());
        assert!(flags.set_space("b", Some("uno")));
        assert_eq!(flags.spaces().collect::<Vec<_>>(), [("two", 0), ("uno", 2)]);
        flags.remove_space("uno").unwrap();
        assert_eq!((flags.selected.as_deref(), names(flags.visible())), (None, vec!["free", "a", "b"]));
        assert_eq!(flags.get("a").and_then(|flag| flag.space.as_deref()), None);
    }

    #[test]
    fn renames_keep_the_rest() {
        let mut flags = Flags::default();
        flags.set("blah", 0x100, 2);
        flags.set_comment("blah", Some("x".into()));
        flags.rename("blah", "bloh").unwrap();
        flags.set("blah", 0x200, 0);
        assert!(flags.rename("blah", "bloh").is_err() && flags.rename("nosuch", "n").is_err());
        assert_eq!(names(flags.iter()), ["bloh", "blah"]);
        assert_eq!(flags.get("bloh").map(|flag| (flag.size, flag.comment.as_deref())), Some((2, Some("x"))));
        assert!(flags.relocate("bloh", 0x300) && flags.resize("bloh", 9));
        assert_eq!(names(flags.iter()), ["blah", "bloh"]);
    }

    #[test]
    fn names_must_fit_into_expressions() {
        for good in ["main", "sym.main", "_x", "str.a:b", ".local", "grün"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "0x10", "1a", "a b", "a+b", "a@b", "a;b", "[x]", "x\x1b", "a*", ".", ":"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn globs() {
        for (pattern, text) in [("*", ""), ("*", "abc"), ("foo*", "foo.bar"), ("*b*d", "abcbd"), ("a?c", "abc")] {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("foo*", "fo"), ("*b", "abc"), ("a?c", "ac"), ("*a*a*a*b", "aaaaaaaaaa")] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn many_flags_at_one_place_are_no_burden() {
        let mut flags = Flags::default();
        let name = |i: u64| format!("f{i}");
        (0..50_000).for_each(|i| _ = flags.set(&name(i), i & 1, 1));
        (0..50_000).for_each(|i| assert!(flags.relocate(&name(i), 5)));
        flags.select(Some("rare")).unwrap();
        flags.set("first", 0, 1);
        (0..50_000).for_each(|i| assert!(flags.nearest(i).is_some_and(|flag| flag.name == "first")));
        (0..50_000).for_each(|i| assert!(flags.remove(&name(i)).is_some()));
        assert_eq!(flags.len(), 1);
    }
}
