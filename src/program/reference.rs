//! Pages of the reference, made from the tables: commands, options, plugins.

use std::fmt::Write;

use crate::commands::{Command, FAMILIES};
use crate::io::PLUGINS;
use crate::session::Value;
use crate::session::options::OPTIONS;

/// The page called `name`: `commands`, `options` or `plugins`.
pub fn page(name: &str) -> Option<String> {
    match name {
        "commands" => Some(commands()),
        "options" => Some(options()),
        "plugins" => Some(plugins()),
        _ => None,
    }
}

const MADE: &str = "<!-- Made by `cargo xtask docs` from the tables in the sources. -->\n";

fn commands() -> String {
    let mut page = format!(
        "# Commands\n\n{MADE}\nA name may carry a mode suffix where one is shown: `j` JSON, `q` quiet, `*` as commands.\n"
    );
    for family in FAMILIES.iter().filter(|family| !family.commands.is_empty()) {
        let _ = write!(page, "\n## `{}`: {}\n\n", family.name, family.summary);
        page.push_str("| command | meaning | also | needs |\n| --- | --- | --- | --- |\n");
        for command in family.commands {
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} |",
                code(&command.usage()),
                cell(command.summary),
                command.aliases.iter().map(|alias| code(alias)).collect::<Vec<_>>().join(" "),
                command.needs.names(),
            );
        }
        for command in family.commands {
            explanation(&mut page, command);
        }
    }
    page
}

fn explanation(page: &mut String, command: &Command) {
    if command.details.is_empty() && command.examples.is_empty() {
        return;
    }
    let _ = write!(page, "\n### {}\n", code(command.name));
    if !command.details.is_empty() {
        let _ = write!(page, "\n{}\n", command.details.trim_end());
    }
    if !command.examples.is_empty() {
        page.push_str("\n```text\n");
        for example in command.examples {
            let _ = writeln!(page, "> {}", example.line);
            if !example.shows.is_empty() {
                let _ = writeln!(page, "{}", example.shows.trim_end_matches('\n'));
            }
        }
        page.push_str("```\n");
    }
}

fn options() -> String {
    let mut page = format!(
        "# Options\n\n{MADE}\n`e name=value` sets one, `e name` shows it, `-e name=value` sets it at start-up.\n\n"
    );
    page.push_str("| option | default | meaning |\n| --- | --- | --- |\n");
    for option in OPTIONS {
        let default = Value::from(option).to_string();
        let default = if default.is_empty() { String::new() } else { code(&default) };
        let choices = match option.choices {
            [] => String::new(),
            choices => format!(" (one of {})", choices.join(", ")),
        };
        let _ = writeln!(page, "| {} | {default} | {}{} |", code(option.name), cell(option.summary), cell(&choices));
    }
    page
}

fn plugins() -> String {
    let mut page = format!(
        "# What can be opened\n\n{MADE}\nA path without a scheme goes to the first. `-L` and `oL` list them too.\n\n"
    );
    page.push_str("| plugin | schemes | writes | meaning | example |\n| --- | --- | --- | --- | --- |\n");
    for plugin in PLUGINS {
        let schemes: Vec<String> = plugin.schemes.iter().map(|scheme| code(&format!("{scheme}://"))).collect();
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            plugin.name,
            schemes.join(" "),
            if plugin.writes { "yes" } else { "no" },
            cell(plugin.summary),
            code(plugin.example),
        );
    }
    page
}

/// `text` in a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

/// `text` as code in a table's cell: inside backquotes only `|` has to be escaped.
fn code(text: &str) -> String {
    let text = text.replace('|', "\\|");
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}
