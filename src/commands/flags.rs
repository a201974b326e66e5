//! `f`: flags: names for addresses.

use super::{Command, Family};

/// The family.
pub const FAMILY: Family = Family { name: "f", summary: "flags: names for addresses", commands: COMMANDS };

const COMMANDS: &[Command] = &[];
