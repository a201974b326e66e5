//! The integration tests, in one binary.

mod harness;

mod analysis;
mod commands;
mod cores;
mod crowd;
mod debug;
mod debugger;
mod devices;
mod dialect;
mod disassemble;
mod examples;
mod flags;
mod hostile;
mod info;
mod gdb;
mod gdbclient;
mod interop;
mod interop_table;
mod json;
mod lines;
mod print;
mod program;
mod rap;
mod remote;
mod sameness;
mod search;
mod security;
mod shell;
mod strings;
mod tables;
mod web;
