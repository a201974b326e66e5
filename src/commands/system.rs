//! `!`: programs, files and environment of this machine.

use super::{Command, Family};

/// The family.
pub const FAMILY: Family =
    Family { name: "!", summary: "programs, files and environment of this machine", commands: COMMANDS };

const COMMANDS: &[Command] = &[];
