//! Names of places in a process, and of system calls.

use crate::binary::demangle::demangle;
use crate::debug::Layout;
use crate::session::{Core, Value, View, config};

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
    // The sizes in libraries can be relied on; what a program of one's own leaves out reaches as far as it may.
    let reach = if core.is_in_library(view, address) { 1 } else { REACH };
    let flags = core.flags.between(address.saturating_sub(BACK), address.saturating_add(1));
    let holds = |size: u64, from: u64| address - from < if size > 1 { size } else { reach };
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
        let demangles = config::lookup(&view.overrides, &core.config, "asm.demangle") == Value::Bool(true);
        let plain = Some(flag.real_name.as_deref().unwrap_or(&flag.name)).filter(|_| demangles).and_then(demangled);
        let name = plain.unwrap_or_else(|| flag.name.clone());
        return match address - flag.address {
            0 => name,
            offset => format!("{name}+{offset}"),
        };
    }
    core.library_place(view, address).map_or_else(String::new, |(name, offset)| format!("{name}+0x{offset:x}"))
}

/// What the programmer called the symbol of a flag (`sym._ZN3geo3sumEv`, `sym.libstd._ZN...`); `None`: the same.
fn demangled(name: &str) -> Option<String> {
    let at = ["._Z", "._R", ".?"].iter().filter_map(|start| name.find(start)).min()?;
    demangle(&name[at + 1..])
}

/// Whether `name`, as somebody types it, is the demangled `full`: parameters may be left out.
pub fn is_called(full: &str, name: &str) -> bool {
    full == name || full.strip_prefix(name).is_some_and(|rest| rest.starts_with('('))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_as_they_were_written() {
        let rust = "sym._ZN1m4main17h4009bc0cd8b193aaE";
        assert_eq!(demangled(rust).as_deref(), Some("m::main"));
        assert_eq!(demangled("sym.libgeo._ZN3geo3sumEi").as_deref(), Some("geo::sum(int)"));
        assert_eq!((demangled("sym.libc.puts"), demangled("main")), (None, None));
        assert!(is_called("m::main", "m::main") && is_called("geo::sum(int)", "geo::sum"));
        assert!(!is_called("geo::summary(int)", "geo::sum") && !is_called("m::main::x", "m::main"));
    }
}
