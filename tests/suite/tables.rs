//! The tables themselves: options, commands, modes and plugins say what they must.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use regex::Regex;
use remora::commands;
use remora::commands::reference;
use remora::io::{PLUGINS, plugin};
use remora::number;
use remora::session::options::{self, OPTIONS};
use remora::session::scope::Scope;
use remora::session::{Core, Value, View};
use remora::uri::Uri;

#[test]
fn options_are_sorted_and_explained_and_their_defaults_are_allowed() {
    for pair in OPTIONS.windows(2) {
        assert!(pair[0].name < pair[1].name, "'{}' stands before '{}'", pair[0].name, pair[1].name);
    }
    let (mut core, view) = (Core::default(), View::default());
    for option in OPTIONS {
        assert!(option.name.contains('.'), "'{}' has no dot", option.name);
        assert!(!option.summary.is_empty() && !option.summary.contains('\n'), "'{}' has no help", option.name);
        assert!(options::find(option.name).is_some_and(|found| found.name == option.name), "{}", option.name);
        let default = Value::from(option);
        let parsed = Value::parse(option, &default.to_string(), |text| {
            number::evaluate(text, &mut Scope { core: &mut core, view: &view })
        });
        assert_eq!(parsed.expect("the default is allowed"), default, "{}", option.name);
    }
}

/// Every Rust file of the library with its text.
fn sources() -> Vec<(PathBuf, String)> {
    fn collect(directory: &Path, files: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(directory).expect("the sources are readable") {
            let path = entry.expect("the sources are readable").path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("the sources are readable");
                files.push((path, text));
            }
        }
    }
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    files
}

#[test]
fn options_that_code_asks_for_exist() {
    let asked =
        Regex::new(r#"(?:\.option(?:_bool|_number|_text)?|\blookup|\bself\.number)\((?:[^()"]*,)?\s*"([^"]*)""#);
    let asked = asked.expect("the pattern is good");
    let mut count = 0;
    for (path, text) in sources() {
        for captures in asked.captures_iter(&text) {
            let name = &captures[1];
            count += 1;
            let known = OPTIONS.iter().any(|option| option.name == name);
            assert!(known, "{}: no option is called '{name}'", path.display());
        }
    }
    assert!(count >= 10, "the scan found only {count} uses");
}

#[test]
fn commands_are_explained_and_their_modes_hide_nothing() {
    let mut names: HashMap<String, &str> = HashMap::new();
    let declared = || commands::all().flat_map(|command| std::iter::once(&command.name).chain(command.aliases));
    for name in declared() {
        assert!(names.insert(name.to_string(), name).is_none(), "'{name}' is declared twice");
        assert!(!name.is_empty() && !name.contains(char::is_whitespace) && name.len() <= 24, "'{name}'");
    }
    for command in commands::all() {
        assert!(!command.summary.is_empty() && !command.summary.ends_with('.'), "summary of '{}'", command.name);
        for name in std::iter::once(&command.name).chain(command.aliases) {
            for mode in command.modes {
                let spelling = format!("{name}{}", mode.suffix());
                let other = names.insert(spelling.clone(), command.name);
                assert!(other.is_none(), "'{spelling}' of '{}' is also '{}'", command.name, other.unwrap_or_default());
                let (found, found_mode, rest) = commands::resolve(&spelling).expect("a mode resolves");
                assert_eq!((found.name, found_mode, rest), (command.name, *mode, ""), "{spelling}");
            }
        }
        let optional = command.args.iter().skip_while(|arg| arg.required);
        assert!(optional.clone().all(|arg| !arg.required), "'{}': a required argument after an optional", command.name);
        let repeated = command.args.iter().rev().skip(1).any(|arg| arg.many);
        assert!(!repeated, "'{}': only the last argument may repeat", command.name);
    }
}

#[test]
fn families_are_named_like_their_commands() {
    for family in commands::FAMILIES {
        assert!(!family.summary.is_empty(), "family '{}'", family.name);
    }
    let mut names: Vec<&str> = commands::FAMILIES.iter().map(|family| family.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), commands::FAMILIES.len(), "two families share a name");
}

#[test]
fn plugins_claim_their_schemes_and_examples() {
    let mut schemes = HashMap::new();
    for plugin in PLUGINS {
        assert!(!plugin.summary.is_empty(), "plugin '{}'", plugin.name);
        for scheme in plugin.schemes {
            assert!(schemes.insert(*scheme, plugin.name).is_none(), "'{scheme}' is claimed twice");
        }
        let example = Uri::parse(plugin.example);
        match example.scheme() {
            Some(scheme) => {
                let claimant = plugin::find(scheme).map(|claimant| claimant.name);
                assert_eq!(claimant, Some(plugin.name), "example of '{}'", plugin.name);
            }
            None => assert_eq!(plugin.name, PLUGINS[0].name, "only the first plugin takes plain paths"),
        }
    }
}

#[test]
fn reference_pages_mention_everything() {
    let commands_page = reference::commands_markdown();
    for command in commands::all() {
        assert!(commands_page.contains(&command.usage()), "{}", command.name);
    }
    let options_page = reference::options_markdown();
    for option in OPTIONS {
        assert!(options_page.contains(&format!("| `{}` |", option.name)), "{}", option.name);
    }
    let plugins_page = reference::plugins_markdown();
    for plugin in PLUGINS {
        assert!(plugins_page.contains(plugin.example), "{}", plugin.name);
    }
}
