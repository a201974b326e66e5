//! `ph`: hash bytes.

use super::{Command, Family};

/// The family.
pub const FAMILY: Family = Family { name: "ph", summary: "hash bytes", commands: COMMANDS };

const COMMANDS: &[Command] = &[];
