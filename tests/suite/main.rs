//! The integration tests, in one binary.

mod harness;

mod commands;
mod crowd;
mod devices;
mod dialect;
mod examples;
mod flags;
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
mod web;
