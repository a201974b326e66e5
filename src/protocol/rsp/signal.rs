//! Signals: the protocol has numbers of its own ("Signals", `include/gdb/signals.def` of GDB), whatever the system.

/// Linux's numbers 1 to 31 in the protocol's.
const LINUX: [u8; 31] = [
    1, 2, 3, 4, 5, 6, 10, 8, 9, 30, 11, 31, 13, 14, 15, UNKNOWN, 20, 19, 17, 18, 21, 22, 16, 24, 25, 26, 27, 28, 23,
    32, 12,
];

/// A signal that has no number.
pub const UNKNOWN: u8 = 143;

/// The protocol's number for Linux's `number`.
pub fn from_linux(number: i32) -> u8 {
    match number {
        0 => 0,
        1..=31 => LINUX[number as usize - 1],
        32 => 77,
        33..=63 => (number - 33 + 45) as u8,
        64 => 78,
        _ => UNKNOWN,
    }
}

/// Linux's number for the protocol's `number`; `None`: Linux has no such signal.
pub fn to_linux(number: u8) -> Option<i32> {
    (0..=64).find(|linux| from_linux(*linux) == number && number != UNKNOWN)
}
