//! Tests: dialect.
