//! Servers.
pub mod audit;
