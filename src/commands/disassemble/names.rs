//! Flags as names of operands.

use super::annotations::Annotations;
use crate::disasm::{Base, Names};
use crate::session::Flags;

/// Immediates below are numbers, whatever flag has them.
const SMALLEST: u64 = 0x100;

/// Names from the flags, and from what is known of functions.
pub struct FlagNames<'a> {
    /// The flags; `None`: `asm.sub.names` is off.
    pub flags: Option<&'a Flags>,
    /// What is known of functions; `None`: `asm.sub.var` is off.
    pub annotations: Option<&'a dyn Annotations>,
    /// Memory told from the program counter is shown by its address.
    pub absolute: bool,
}

impl FlagNames<'_> {
    fn flag(&self, address: u64) -> Option<&str> {
        self.flags.and_then(|flags| best(flags, address))
    }
}

impl Names for FlagNames<'_> {
    fn absolute(&self) -> bool {
        self.absolute
    }
    fn code(&self, address: u64) -> Option<&str> {
        self.flag(address)
    }
    fn memory(&self, address: u64) -> Option<&str> {
        self.flag(address)
    }
    fn immediate(&self, value: u64) -> Option<&str> {
        if value < SMALLEST { None } else { self.flag(value) }
    }
    fn local(&self, address: u64, base: Base, displacement: i64) -> Option<&str> {
        self.annotations?.local(address, base, displacement)
    }
}

/// The flag that names `address`: the last one set there that does not only name a section.
pub fn best(flags: &Flags, address: u64) -> Option<&str> {
    if flags.is_empty() {
        return None;
    }
    let mut found = None;
    for flag in flags.at(address) {
        let section = flag.name.starts_with("section.") || flag.name.starts_with("segment.");
        // Names come from files: what could steer a terminal is not shown as a name.
        if flag.name.chars().any(char::is_control) || (section && found.is_some()) {
            continue;
        }
        found = Some(flag.name.as_str());
    }
    found
}
