//! Names as their programmers wrote them: Rust, C++ (Itanium and Microsoft).

/// Longest mangled name that is looked at: demangling can take time and memory out of proportion.
const LIMIT: usize = 16 * 1024;

/// The demangled form of `name`; `None` when it is not mangled.
pub fn demangle(name: &str) -> Option<String> {
    if name.len() > LIMIT {
        return None;
    }
    // Mach-O puts one more underscore in front.
    let inner = name.strip_prefix('_').filter(|inner| inner.starts_with("_Z") || inner.starts_with("_R"));
    let name = inner.unwrap_or(name);
    if let Ok(demangled) = rustc_demangle::try_demangle(name) {
        return Some(format!("{demangled:#}"));
    }
    if name.starts_with("_Z") {
        let options = cpp_demangle::DemangleOptions::new();
        return cpp_demangle::Symbol::new(name).ok()?.demangle_with_options(&options).ok();
    }
    if name.starts_with('?') {
        return msvc_demangler::demangle(name, msvc_demangler::DemangleFlags::llvm()).ok();
    }
    None
}

/// The language that a mangled `name` comes from.
pub fn language(name: &str) -> Option<&'static str> {
    let name =
        name.strip_prefix('_').filter(|inner| inner.starts_with("_Z") || inner.starts_with("_R")).unwrap_or(name);
    if rustc_demangle::try_demangle(name).is_ok() {
        return Some("rust");
    }
    match name {
        _ if name.starts_with("_Z") && name.len() > 3 => Some("c++"),
        _ if name.starts_with('?') => Some("c++"),
        "runtime.main" | "runtime.goexit" => Some("go"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_three_languages() {
        for (mangled, expected) in [
            ("_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE", Some("core::fmt::Formatter::write_str")),
            ("_RNvCs1234_7mycrate3foo", Some("mycrate::foo")),
            ("__ZN3foo3barEv", Some("foo::bar()")),
            (
                "_ZNSt6vectorIiSaIiEE9push_backERKi",
                Some("std::vector<int, std::allocator<int> >::push_back(int const&)"),
            ),
            ("?f@@YAHH@Z", Some("int __cdecl f(int)")),
            ("main", None),
            ("_Zzzz", None),
            ("?", None),
        ] {
            assert_eq!(demangle(mangled).as_deref(), expected, "{mangled}");
        }
        assert_eq!(demangle(&format!("_Z{}", "1a".repeat(LIMIT))), None);
        assert_eq!(language("_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE"), Some("rust"));
        assert_eq!(language("_ZN3foo3barEv"), Some("c++"));
    }
}
