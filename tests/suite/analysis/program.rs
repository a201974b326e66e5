//! Programs that are compiled for the tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use remora::session::{Load, Session};

/// Functions, a loop, a switch, calls of the library, a function that does not return.
const SOURCE: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int glob = 0x1234;
const char *msg = "Hello spec";
__attribute__((noinline)) int add(int a, int b) { return a + b; }
__attribute__((noinline)) void greet(const char *name) { printf("%s %d\n", name, glob); }
__attribute__((noinline, noreturn)) void die(int code) { puts("dying"); exit(code); }
__attribute__((noinline)) int choose(int n, int x) {
    switch (n) {
    case 0: return x * 3;
    case 1: greet("one"); return x - 7;
    case 2: x ^= glob; greet("two"); return x;
    case 3: return add(x, 9) * x;
    case 4: greet("four"); return x << 3;
    case 5: x += 100; glob = x; return x / 3;
    case 6: greet("six"); return 6 - x;
    case 7: return add(add(x, 1), 2);
    default: return -1;
    }
}
static __attribute__((noinline)) int local(const char *s) { return (int)strlen(s) + glob; }
int main(int argc, char **argv) {
    int sum = 0;
    greet(msg);
    for (int i = 0; i < argc + 3; i++) sum = add(sum, choose(i, sum));
    if (argc > 5) die(local(argv[1]));
    return sum == 77 ? local("x") : 0;
}
"#;

/// The functions of the source.
pub const FUNCTIONS: &[&str] = &["main", "greet", "add", "choose", "local", "die"];

/// A compiled program in a folder that goes with it.
pub struct Program {
    folder: tempfile::TempDir,
    /// The file with its symbols.
    pub path: PathBuf,
}

/// Runs a program and returns what it printed; `None`: there is none of that name.
pub fn tool(name: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(name).args(args).stdin(Stdio::null()).output().ok()?;
    assert!(output.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Program {
    /// Compiles the source with `flags`; `None`, and said so, without a compiler for x86-64.
    pub fn compile(flags: &[&str]) -> Option<Program> {
        if !cfg!(target_arch = "x86_64") {
            println!("ABSENT: cc for x86-64 (another machine)");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let (source, path) = (folder.path().join("fx.c"), folder.path().join("fx"));
        std::fs::write(&source, SOURCE).expect("it is written");
        let (from, to) = (source.to_string_lossy(), path.to_string_lossy());
        let mut args = flags.to_vec();
        args.extend(["-w", "-o", &to, &from]);
        if tool("cc", &args).is_none() {
            println!("ABSENT: cc (no C compiler is installed)");
            return None;
        }
        Some(Program { folder, path })
    }

    /// The same without its symbols.
    pub fn stripped(&self) -> Option<PathBuf> {
        let path = self.folder.path().join("stripped");
        tool("strip", &["-o", &path.to_string_lossy(), &self.path.to_string_lossy()])?;
        Some(path)
    }

    /// Address and size of each function, as nm says.
    pub fn symbols(&self) -> Option<Vec<(u64, u64, String)>> {
        let listing = tool("nm", &["-S", &self.path.to_string_lossy()]);
        if listing.is_none() {
            println!("ABSENT: nm (binutils are not installed)");
        }
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let row = |line: &str| {
            let mut words = line.split_whitespace();
            let (address, size, kind, name) = (words.next()?, words.next()?, words.next()?, words.next()?);
            matches!(kind, "t" | "T").then_some((number(address)?, number(size)?, name.to_string()))
        };
        Some(listing?.lines().filter_map(row).collect())
    }
}

/// A session with the file loaded as the program does it.
pub fn open(path: &Path) -> Session {
    open_uri(&path.to_string_lossy())
}

/// The same for a URI.
pub fn open_uri(uri: &str) -> Session {
    let mut session = Session::new();
    session.with(|core, view| {
        let open = remora::io::Open::default();
        let fd = core.io.open(&remora::uri::Uri::parse(uri), &open).expect("the file opens");
        if let Some(entry) = core.load(fd, Load::default()).expect("it loads") {
            view.seek = entry;
        }
    });
    session
}
