//! Names of system calls.

use crate::debug::Layout;

/// The name of system call `number` of a process with registers `layout`.
pub fn system_call(layout: &Layout, number: u64) -> Option<&'static str> {
    let number = usize::try_from(number).ok()?;
    match layout.architecture.as_str() {
        "i386:x86-64" => syscalls::x86_64::Sysno::new(number).map(|call| call.name()),
        "i386" => syscalls::x86::Sysno::new(number).map(|call| call.name()),
        _ => None,
    }
}

/// The number of the system call `name`.
pub fn system_call_number(layout: &Layout, name: &str) -> Option<u64> {
    match layout.architecture.as_str() {
        "i386:x86-64" => name.parse::<syscalls::x86_64::Sysno>().ok().map(|call| call.id() as u64),
        "i386" => name.parse::<syscalls::x86::Sysno>().ok().map(|call| call.id() as u64),
        _ => None,
    }
}
