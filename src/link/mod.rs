//! Transports.
pub mod credentials;
pub mod private;
pub mod tls;
