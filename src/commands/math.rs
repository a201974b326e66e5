//! `?`: evaluate expressions, convert numbers, conditions.

use super::{Command, Family};

/// The family.
pub const FAMILY: Family =
    Family { name: "?", summary: "evaluate expressions, convert numbers, conditions", commands: COMMANDS };

const COMMANDS: &[Command] = &[];
