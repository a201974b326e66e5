//! `w`: write bytes.

use super::{Command, Family};

/// The family.
pub const FAMILY: Family = Family { name: "w", summary: "write bytes", commands: COMMANDS };

const COMMANDS: &[Command] = &[];
