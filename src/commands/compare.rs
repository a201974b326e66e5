//! `c`: compare bytes.

use super::{Command, Family};

/// The family.
pub const FAMILY: Family = Family { name: "c", summary: "compare bytes", commands: COMMANDS };

const COMMANDS: &[Command] = &[];
