//! Signals by their Linux numbers and names, and what is done with each.

use serde::{Deserialize, Serialize};

/// What is done when a signal comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handling {
    /// The target stops.
    pub stop: bool,
    /// It is told to the user (a stop always is).
    pub print: bool,
    /// The program gets it.
    pub pass: bool,
}

/// The highest signal number of Linux.
pub const LAST: i32 = 64;

/// Names of 1 to 31, without `SIG`.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// The name of a signal: `SIGSEGV`, `SIGRT35`.
pub fn name(number: i32) -> Option<String> {
    match number {
        1..=31 => NAMES.get(number as usize - 1).map(|name| format!("SIG{name}")),
        32..=LAST => Some(format!("SIGRT{number}")),
        _ => None,
    }
}

/// The number of a signal: `SIGSEGV`, `segv`, `11`.
pub fn number(text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(at) = NAMES.iter().position(|name| *name == short) {
        return i32::try_from(at + 1).ok();
    }
    let digits = short.strip_prefix("RT").unwrap_or(short);
    digits.parse().ok().filter(|number| (1..=LAST).contains(number))
}

/// What is done at first: everything is passed on; what a program uses in its daily work does not stop it, and
/// SIGTRAP and SIGINT, which mean the debugger, stop it and are not passed.
pub fn defaults() -> Vec<Handling> {
    (0..=LAST)
        .map(|number| match number {
            // ALRM CHLD CONT URG VTALRM PROF WINCH IO, and those that timers and thread libraries use.
            14 | 17 | 18 | 23 | 26 | 27 | 28 | 29 | 32 | 33 => Handling { stop: false, print: false, pass: true },
            2 | 5 => Handling { stop: true, print: true, pass: false },
            _ => Handling { stop: true, print: true, pass: true },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for signal in 1..=LAST {
            assert_eq!(number(&name(signal).unwrap()), Some(signal));
        }
        assert_eq!((number("segv"), number("SIGKILL"), number("9")), (Some(11), Some(9), Some(9)));
        assert_eq!((number("0"), number("65"), number("SIGFOO"), name(0)), (None, None, None, None));
    }
}
