//! What an analysis knows of addresses, as a listing asks for it.

use crate::disasm::Base;
use crate::session::Core;

/// Where an instruction stands in its function: the bar at the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bar {
    /// The first.
    First,
    /// One of the middle.
    Middle,
    /// The last.
    Last,
}

impl Bar {
    /// The character.
    pub fn glyph(self) -> char {
        match self {
            Bar::First => '/',
            Bar::Middle => '|',
            Bar::Last => '\\',
        }
    }
}

/// A line above an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Above {
    /// What it says, in characters that are safe on a terminal.
    pub text: String,
    /// The bar beside it.
    pub bar: Option<Bar>,
    /// Whether it stands at the very left, where arrows are elsewhere: the head of a function.
    pub head: bool,
}

/// Asked for each instruction of a window, so answers have to be quick.
pub trait Annotations {
    /// The function's bar beside the instruction at `address`.
    fn bar(&self, _address: u64) -> Option<Bar> {
        None
    }
    /// Adds the lines above the instruction at `address`: the head of a function with its variables, and who refers to it.
    fn above(&self, _address: u64, _lines: &mut Vec<Above>) {}
    /// Whether the flag `name` at `address` has been said by [`Annotations::above`] and needs no line of its own.
    fn says(&self, _address: u64, _name: &str) -> bool {
        false
    }
    /// What the function calls `base + displacement` in the instruction at `address`.
    fn local(&self, _address: u64, _base: Base, _displacement: i64) -> Option<&str> {
        None
    }
    /// The function that the instruction at `address` is in: its first address and the last that is in it.
    fn function(&self, _address: u64) -> Option<(u64, u64)> {
        None
    }
    /// Who refers to `address`: from where, and how (`CALL`, `CODE`, `DATA`).
    fn references(&self, _address: u64) -> Vec<(u64, &'static str)> {
        Vec::new()
    }
    /// What the instruction at `address` refers to: where, and how.
    fn refers(&self, _address: u64) -> Vec<(u64, &'static str)> {
        Vec::new()
    }
}

/// What is known of the addresses from `from` up to `to`.
pub fn annotations(core: &Core, _from: u64, _to: u64) -> Box<dyn Annotations + '_> {
    Box::new(super::super::analysis::known::Known::new(core))
}
