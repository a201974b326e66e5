//! `=`: other programs: hosts and servers.

use super::{Command, Family};

/// The family.
pub const FAMILY: Family = Family { name: "=", summary: "other programs: hosts and servers", commands: COMMANDS };

const COMMANDS: &[Command] = &[];
