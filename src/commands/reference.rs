//! Reference pages in Markdown, rendered from the tables of commands, options and plugins.

use std::fmt::Write;

use super::{Command, FAMILIES, Family, help};
use crate::io::PLUGINS;
use crate::session::options::OPTIONS;
use crate::session::{Permissions, Value};

const NOTE: &str = "<!-- Made by `cargo xtask docs` from the tables in the source; changes here are lost. -->\n";

/// The page of commands.
pub fn commands_markdown() -> String {
    let mut page = format!("# Commands\n\n{NOTE}\n");
    page += "`<x>` must be given, `[<x>]` may be; `[jq*]` after a name are its modes: `j` JSON, `q` terse, `*` commands \
             that recreate what is shown. `name?` shows this in the program. Examples run on 512 zero bytes \
             (`remora -`).\n\n";
    let families = || FAMILIES.iter().filter(|family| !family.commands.is_empty());
    for (index, family) in families().enumerate() {
        page += &format!("- [`{}`: {}](#family-{index})\n", family.name, prose(family.summary));
    }
    for (index, family) in families().enumerate() {
        family_section(&mut page, index, family);
    }
    page
}

fn family_section(page: &mut String, index: usize, family: &Family) {
    // An anchor of our own: what a site makes of a heading of punctuation is anybody's guess.
    *page += &format!("\n<a id=\"family-{index}\"></a>\n\n## `{}`: {}\n", family.name, prose(family.summary));
    for command in family.commands {
        command_section(page, command);
    }
}

fn command_section(page: &mut String, command: &Command) {
    *page += &format!("\n### {}\n\n{}.\n", code(&command.usage()), prose(&capitalised(command.summary)));
    if !command.details.is_empty() {
        *page += &format!("\n{}\n", prose(command.details));
    }
    let mut facts = Vec::new();
    if !command.aliases.is_empty() {
        let aliases: Vec<String> = command.aliases.iter().map(|alias| code(alias)).collect();
        facts.push(format!("Also called {}", aliases.join(", ")));
    }
    for mode in command.modes {
        facts.push(format!("{}: {}", code(&format!("{}{}", command.name, mode.suffix())), help::meaning(*mode)));
    }
    if command.needs != Permissions::NONE {
        facts.push(format!("Needs permission: {}", command.needs.names()));
    }
    if !facts.is_empty() {
        page.push('\n');
        facts.iter().for_each(|fact| *page += &format!("- {fact}\n"));
    }
    if !command.examples.is_empty() {
        *page += "\n```\n";
        for example in command.examples {
            *page += &format!("> {}\n", example.line);
            example.shows.lines().for_each(|line| *page += &format!("{line}\n"));
        }
        *page += "```\n";
    }
}

/// The page of options.
pub fn options_markdown() -> String {
    let mut page = format!("# Options\n\n{NOTE}\n");
    page += "`e key` shows an option, `e key=value` sets it, `cmd @e:key=value` sets it for one command, \
             `-e key=value` at the start of the program. A client of a server changes options for itself alone.\n";
    let mut space = "";
    for option in OPTIONS {
        if option.space() != space {
            space = option.space();
            let _ = write!(page, "\n## {space}\n\n| option | kind | default | meaning |\n| --- | --- | --- | --- |\n");
        }
        let default = match Value::from(option).to_string() {
            empty if empty.is_empty() => empty,
            default => code(&default),
        };
        let mut meaning = prose(option.summary);
        if !option.choices.is_empty() {
            let choices: Vec<String> = option.choices.iter().map(|choice| code(choice)).collect();
            meaning += &format!(": {}", choices.join(", "));
        }
        row(&mut page, &[code(option.name), option.default.kind().to_string(), default, meaning]);
    }
    page
}

/// The page of plugins.
pub fn plugins_markdown() -> String {
    let mut page = format!("# What can be opened\n\n{NOTE}\n");
    page += "A plain path, or a URI of one of these schemes, on the command line, after `o` and in the requests of \
             clients that may open files.\n\n";
    page += "| plugin | schemes | example | writes | meaning |\n| --- | --- | --- | --- | --- |\n";
    for plugin in PLUGINS {
        let schemes: Vec<String> = plugin.schemes.iter().map(|scheme| code(&format!("{scheme}://"))).collect();
        let writes = if plugin.writes { "yes" } else { "no" };
        let cells =
            [plugin.name.to_string(), schemes.join(" "), code(plugin.example), writes.into(), prose(plugin.summary)];
        row(&mut page, &cells);
    }
    page
}

/// A row of a table.
fn row(page: &mut String, cells: &[String]) {
    page.push('|');
    for cell in cells {
        *page += &format!(" {} |", cell.replace('|', "\\|"));
    }
    page.push('\n');
}

/// Text as code, also when it has backticks in it.
fn code(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

/// Text in which no sign means anything to Markdown.
fn prose(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\*<`[]".contains(c) {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_kept_from_markdown() {
        assert_eq!(prose("f-* and <len>"), "f-\\* and \\<len>");
        assert_eq!(code("a`b"), "`` a`b ``");
        let mut page = String::new();
        row(&mut page, &["a|b".into(), "c".into()]);
        assert_eq!(page, "| a\\|b | c |\n");
    }
}
