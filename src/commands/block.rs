//! `b`: the block size.

use super::{Command, Family};

/// The family.
pub const FAMILY: Family = Family { name: "b", summary: "the block size", commands: COMMANDS };

const COMMANDS: &[Command] = &[];
