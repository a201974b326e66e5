//! `o`: open files and URIs, map them.

use super::{Command, Family};

/// The family.
pub const FAMILY: Family = Family { name: "o", summary: "open files and URIs, map them", commands: COMMANDS };

const COMMANDS: &[Command] = &[];
