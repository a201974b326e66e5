//! `.`: scripts, macros, aliases, tasks.

use super::{Command, Family};

/// The family.
pub const FAMILY: Family = Family { name: ".", summary: "scripts, macros, aliases, tasks", commands: COMMANDS };

const COMMANDS: &[Command] = &[];
