//! `y`: copy and paste bytes.

use super::{Command, Family};

/// The family.
pub const FAMILY: Family = Family { name: "y", summary: "copy and paste bytes", commands: COMMANDS };

const COMMANDS: &[Command] = &[];
