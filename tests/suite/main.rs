//! The integration tests, in one binary.

mod harness;

mod commands;
mod crowd;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod debug;
mod devices;
mod dialect;
mod examples;
mod flags;
mod gdb;
mod interop;
mod interop_table;
mod print;
mod program;
mod rap;
mod remote;
mod search;
mod security;
mod shell;
mod tables;
