//! Numbers and address expressions of the shell language: `0x10`, `1K`, `entry0+8`, `[rsp]`, `$b*2`.

use crate::error::{Error, Kind, Result};

/// What an expression may refer to.
pub trait Names {
    /// The value of a flag, function or register.
    fn name(&mut self, name: &str) -> Option<u64>;
    /// The value of a `$` variable, given without the `$`: `$` (the seek), `b`, `r{rip}`, `{asm.bits}`.
    fn variable(&mut self, variable: &str) -> Option<u64>;
    /// The number of `size` bytes (1, 2, 4, 8; `None`: the word size) in memory at `address`.
    fn memory(&mut self, address: u64, size: Option<u8>) -> Result<u64>;
    /// The current seek, for `..12`.
    fn seek(&mut self) -> u64;
}

/// Evaluates an expression to an unsigned 64-bit number, wrapping around.
pub fn evaluate(text: &str, names: &mut dyn Names) -> Result<u64> {
    let text = text.trim();
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    parsed.or_else(|| names.name(text)).ok_or_else(|| Error::new(Kind::Expression, format!("bad expression '{text}'")))
}
