//! Tests: rap.
