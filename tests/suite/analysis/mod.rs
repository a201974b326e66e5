//! Functions, blocks and references of real programs, beside what binutils say of them.

mod program;
mod sessions;
mod whole;
