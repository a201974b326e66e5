//! Functions, lightly: where they are, what they are made of, and who refers to what.
//!
//! Algorithms over [`memory::Memory`], a [`step::Stepper`] and what symbols and tables say. Nothing here trusts the
//! program: every walk is a list of work with bounds on instructions, functions and references. No commands, no text
//! of instructions.

mod arm64;
pub mod frame;
pub mod function;
pub mod graph;

pub mod memory;
pub mod starts;
pub mod step;

pub mod unwind;
pub mod walk;
pub mod whole;
mod x86;
pub mod xrefs;

use std::collections::BTreeMap;

pub use frame::{Frame, Place, Variable};
pub use function::{Block, Function, Origin};
pub use xrefs::{Kind, Reference, Xrefs};

/// What is known of the code of a session.
#[derive(Debug, Default)]
pub struct Analysis {
    functions: BTreeMap<u64, Function>,
    /// Sizes of blocks by (start, function).
    blocks: BTreeMap<(u64, u64), u64>,
    /// The longest block there ever was: how far back one must look for what covers an address.
    longest: u64,
    /// References.
    pub xrefs: Xrefs,
}

impl Analysis {
    /// Adds a function, in place of one that starts at the same address.
    pub fn insert(&mut self, function: Function) {
        self.remove(function.address);
        for block in &function.blocks {
            self.blocks.insert((block.address, function.address), block.size);
            self.longest = self.longest.max(block.size);
        }
        self.functions.insert(function.address, function);
    }

    /// Removes the function that starts at `address`. References stay: the code is still there.
    pub fn remove(&mut self, address: u64) -> Option<Function> {
        let function = self.functions.remove(&address)?;
        for block in &function.blocks {
            self.blocks.remove(&(block.address, address));
        }
        Some(function)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Analysis::default();
    }

    /// The function that starts at `address`.
    pub fn function(&self, address: u64) -> Option<&Function> {
        self.functions.get(&address)
    }

    /// The same, to change it. Its blocks and its address must stay as they are.
    pub fn function_mut(&mut self, address: u64) -> Option<&mut Function> {
        self.functions.get_mut(&address)
    }

    /// The function called `name`.
    pub fn named(&self, name: &str) -> Option<&Function> {
        self.functions.values().find(|function| function.name == name)
    }

    /// The functions that have `address` in a block; shared code belongs to several.
    pub fn all_containing(&self, address: u64) -> impl Iterator<Item = &Function> {
        let first = address.saturating_sub(self.longest.saturating_sub(1));
        self.blocks
            .range((first, 0)..=(address, u64::MAX))
            .rev()
            .filter(move |((start, _), size)| address - start < **size)
            .filter_map(|((_, function), _)| self.functions.get(function))
    }

    /// The function that `address` belongs to: the one that starts there, or else one that has it in a block.
    pub fn containing(&self, address: u64) -> Option<&Function> {
        self.function(address).or_else(|| self.all_containing(address).next())
    }

    /// The functions, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Function> {
        self.functions.values()
    }

    /// The functions whose start lies from `first` to `last`.
    pub fn starting_between(&self, first: u64, last: u64) -> impl Iterator<Item = &Function> {
        self.functions.range(first..=last.max(first)).map(|(_, function)| function)
    }

    /// How many functions there are.
    pub fn len(&self) -> usize {
        self.functions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }
}
