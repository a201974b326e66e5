//! The `=` table: connections to other programs, by slot number.

/// The connected hosts of one client.
#[derive(Default)]
pub struct Hosts {}
