//! `e`: options.

use super::{Command, Family};

/// The family.
pub const FAMILY: Family = Family { name: "e", summary: "options", commands: COMMANDS };

const COMMANDS: &[Command] = &[];
