//! Names of places in a process, and of system calls.

use crate::debug::Layout;
use crate::session::{Core, View};

/// Where an address lies: by the symbol that holds it (`main+8`), else by its file (`ls+0x5a30`); empty when nobody
/// knows.
pub fn place(core: &mut Core, view: &View, address: u64) -> String {
    /// How far back a symbol is looked for.
    const BACK: u64 = 1 << 16;
    /// How far a symbol without a size may reach.
    const REACH: u64 = 1 << 12;
    core.know_names(view, address);
    let space =
        |space: Option<&str>| !matches!(space, Some("registers" | "sections" | "segments" | "relocs" | "strings"));
    let flags = core.flags.between(address.saturating_sub(BACK), address.saturating_add(1));
    let holds = |size: u64, from: u64| address - from < if size > 1 { size } else { REACH };
    let found = flags.filter(|flag| {
        let named = flag.name.starts_with("sym.") || flag.space.as_deref() != Some("symbols") || flag.size <= 1;
        named && space(flag.space.as_deref()) && holds(flag.size, flag.address)
    });
    let nearest = found.fold(None, |best: Option<&crate::session::flags::Flag>, flag| match best {
        // Of several at one place the shortest is the plainest: puts, not _IO_puts.
        Some(best) if best.address == flag.address && best.name.len() <= flag.name.len() => Some(best),
        _ => Some(flag),
    });
    if let Some(flag) = nearest {
        return match address - flag.address {
            0 => flag.name.clone(),
            offset => format!("{}+{offset}", flag.name),
        };
    }
    core.library_place(view, address).map_or_else(String::new, |(name, offset)| format!("{name}+0x{offset:x}"))
}

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
