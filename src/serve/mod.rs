//! Servers.

/// The rap server.
pub mod rap;
