//! The house rules that a compiler does not hold.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// A file that is longer holds two subjects.
const LONGEST: usize = 700;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `folder` whose name ends in `.extension`, with their text.
fn files(folder: &str, extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = fs::read_to_string(&path).expect("a source file is text");
                found.push((path.strip_prefix(root()).expect("it is below the root").to_path_buf(), text));
            }
        }
    }
    found.sort();
    found
}

/// The lines of `text` that are code of the program: without comments and without the unit tests at the end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

/// The modules of `src/lib.rs`, from the top.
fn order() -> Vec<String> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs is there");
    let module = Regex::new(r"(?m)^pub mod (\w+);").expect("a regular expression");
    module.captures_iter(&lib).map(|found| found[1].to_string()).collect()
}

/// The top-level modules that `code` names: `crate::a::..` and `crate::{a, b::{..}}`.
fn named(code: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (at, start) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + start.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            named.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
            continue;
        };
        // Only names directly inside the braces are modules.
        let (mut depth, mut name) = (0, String::new());
        let mut fresh = true;
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => fresh = true,
                c if depth == 0 && fresh && (c.is_alphanumeric() || c == '_') => name.push(c),
                c if !c.is_whitespace() => fresh = false,
                _ => {}
            }
            if !fresh || c == ',' {
                named.extend(Some(std::mem::take(&mut name)).filter(|name| !name.is_empty()));
            }
        }
        named.extend(Some(name).filter(|name| !name.is_empty()));
    }
    named
}

fn report(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

#[test]
fn every_use_points_up() {
    assert_eq!(named("use crate::a::B; x(crate::c::d()); use crate::{e::{F, g}, h};"), ["a", "c", "e", "h"]);
    let order = order();
    assert!(order.len() > 5, "{order:?}");
    let place = |module: &str| order.iter().position(|name| name == module);
    let mut wrong = Vec::new();
    let mut checked = 0;
    for (path, text) in files("src", "rs") {
        let module = path.iter().nth(1).and_then(|name| Path::new(name).file_stem()).and_then(|name| name.to_str());
        let Some(here) = module.and_then(place) else { continue };
        for name in named(&code(&text)) {
            checked += 1;
            match place(&name) {
                Some(there) if there <= here => {}
                Some(_) => wrong.push(format!("{}: uses {name}, which stands below it", path.display())),
                None => wrong.push(format!("{}: crate::{name} is no module of src/lib.rs", path.display())),
            }
        }
    }
    report("modules use only those above them in src/lib.rs", &wrong);
    assert!(checked > 50, "only {checked} uses were found");
}

#[test]
fn protocols_know_nothing_but_bytes() {
    let world = Regex::new(r"std::(net|fs|thread|time|process)\b|std::\{[^}]*\b(net|fs|thread|time|process)\b")
        .expect("a regular expression");
    let wrong: Vec<String> = files("src/protocol", "rs")
        .into_iter()
        .flat_map(|(path, text)| {
            let found: Vec<String> =
                world.find_iter(&code(&text)).map(|found| format!("{}: {}", path.display(), found.as_str())).collect();
            found
        })
        .collect();
    report("src/protocol does no input or output", &wrong);
}

#[test]
fn files_hold_one_subject() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "xtask/src", "fuzz", "benches"] {
        for (path, text) in files(folder, "rs") {
            let lines = text.lines().count();
            if lines > LONGEST {
                wrong.push(format!("{}: {lines} lines", path.display()));
            }
        }
    }
    report(&format!("no source file is longer than {LONGEST} lines"), &wrong);
}

#[test]
fn nothing_is_left_for_later() {
    let later =
        Regex::new(r"\b(todo|unimplemented)!|//+!?\s*(TODO|FIXME|XXX)\b|#\[ignore").expect("a regular expression");
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "xtask/src", "fuzz", "benches"] {
        for (path, text) in files(folder, "rs").into_iter().filter(|(path, _)| !path.ends_with("tidy.rs")) {
            for (number, line) in text.lines().enumerate().filter(|(_, line)| later.is_match(line)) {
                wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    report("no unfinished code and no test that is not run", &wrong);
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    let code = Regex::new(r"(?s)```.*?```|``.*?``|`[^`\n]*`").expect("a regular expression");
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("a regular expression");
    let mut pages = files("docs", "md");
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        pages.push((name.into(), text));
    }
    let mut wrong = Vec::new();
    for (path, text) in pages {
        let text = code.replace_all(&text, "");
        for found in link.captures_iter(&text) {
            let target = found[1].split('#').next().unwrap_or_default();
            let elsewhere = found[1].contains("://") || target.is_empty();
            if !elsewhere && !root().join(&path).with_file_name(target).exists() {
                wrong.push(format!("{}: {target}", path.display()));
            }
        }
    }
    report("links lead to files that exist", &wrong);
}

#[test]
fn the_readme_names_the_two_commands() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md is there");
    for command in ["cargo xtask demo", "cargo xtask test"] {
        assert!(readme.contains(command), "README.md does not name '{command}'");
    }
    let ci = fs::read_to_string(root().join(".ci/run")).expect(".ci/run is there");
    assert!(ci.contains("cargo xtask test"));
}
