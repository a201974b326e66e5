//! Servers.

/// The rap server.
pub mod rap;

/// What clients of a server may do.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {}
