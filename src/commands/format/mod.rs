//! `pf`: bytes as structures.

use super::{Command, Family};

/// The family.
pub const FAMILY: Family = Family { name: "pf", summary: "print bytes as structures", commands: COMMANDS };

const COMMANDS: &[Command] = &[];
