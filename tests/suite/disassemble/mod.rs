//! Disassembly and assembly: against objdump, as sessions, on any bytes, and far away.

mod boundaries;
mod machines;
mod sessions;
