//! `?` after any name: help pages, made from the declarations.

use super::{Command, FAMILIES, Family, all, resolve};
use crate::error::{Error, Kind, Result};
use crate::output::{Mode, Out};
use crate::session::Permissions;

/// Prints the help of everything whose name starts with `prefix`: the page of a single command, or a list of
/// several. With `detailed` (`??`), the page of the command that is called exactly so comes first. An empty prefix
/// gives the overview of families and operators, or with `detailed` every command, one a line.
pub fn show(prefix: &str, detailed: bool, out: &mut Out<'_>) -> Result<()> {
    if prefix.is_empty() {
        return if detailed { list_all(out) } else { overview(out) };
    }
    let family = FAMILIES.iter().find(|family| family.name == prefix);
    let belongs = |command: &'static Command| {
        // A family's page shows all of it: `!=!` stands with `=!=`.
        let own = family.is_some_and(|family| family.commands.iter().any(|other| other.name == command.name));
        Match::of(command, prefix).or(own.then_some(Match { command, name: command.name }))
    };
    let found: Vec<Match> = all().filter_map(belongs).collect();
    if found.is_empty() {
        return match resolve(prefix) {
            // The name with a suffix of its mode: `pxj?`.
            Some((command, mode, "")) if mode != Mode::Text => page(command, out),
            _ => Err(Error::new(Kind::UnknownCommand, format!("no command starts with '{prefix}'"))
                .hint("'?' shows the families, '?*' lists every command")),
        };
    }
    let exact = found.iter().find(|found| found.name == prefix).map(|found| found.command);
    match exact {
        Some(command) if detailed || found.len() == 1 => page(command, out)?,
        _ if found.len() == 1 => return page(found[0].command, out),
        _ => {
            let summary = family.map(|family| family.summary).or(exact.map(|command| command.summary));
            heading(out, &format!("{prefix}..."), summary.unwrap_or_default())?;
        }
    }
    if found.len() == 1 {
        return Ok(());
    }
    rows(out, found.iter().map(|found| (found.usage(), found.command.summary)))
}

/// A command that the asked prefix stands for, under its name or one of its aliases.
struct Match {
    command: &'static Command,
    name: &'static str,
}

impl Match {
    fn of(command: &'static Command, prefix: &str) -> Option<Match> {
        let names = std::iter::once(command.name).chain(command.aliases.iter().copied());
        // The shortest: asked for `x`, `px` is found as `x`.
        let name = names.filter(|name| name.starts_with(prefix)).min_by_key(|name| name.len())?;
        let name = if command.name.starts_with(prefix) { command.name } else { name };
        Some(Match { command, name })
    }

    fn usage(&self) -> String {
        let usage = self.command.usage();
        match usage.strip_prefix(self.command.name) {
            Some(rest) => format!("{}{rest}", self.name),
            None => usage,
        }
    }
}

/// Everything about one command.
fn page(command: &Command, out: &mut Out<'_>) -> Result<()> {
    heading(out, &command.usage(), command.summary)?;
    let columns = columns(out);
    for line in wrap(command.details, columns) {
        out.line(line)?;
    }
    if !command.aliases.is_empty() {
        out.line(format_args!("Also called: {}", command.aliases.join(", ")))?;
    }
    for mode in command.modes {
        out.line(format_args!("{:8} {}", format!("{}{}", command.name, mode.suffix()), meaning(*mode)))?;
    }
    if command.needs != Permissions::NONE {
        out.line(format_args!("Needs permission to: {}", command.needs.names()))?;
    }
    if command.examples.is_empty() {
        return Ok(());
    }
    out.line("Examples:")?;
    for example in command.examples {
        out.line(format_args!("> {}", example.line))?;
        for line in example.shows.lines() {
            out.line(line)?;
        }
    }
    Ok(())
}

/// What a mode's suffix asks for.
pub(super) fn meaning(mode: Mode) -> &'static str {
    match mode {
        Mode::Text => "for people",
        Mode::Json => "as JSON",
        Mode::Quiet => "terse, for scripts",
        Mode::Commands => "as commands that recreate it",
    }
}

/// What the overview says of the shell's operators; each has a page of its own there.
const OPERATORS: &[(&str, &str)] = &[
    ("cmd; cmd", "one after the other"),
    ("cmd @ addr", "at another address, for this command only (more: @?)"),
    ("cmd @@ glob", "once for each flag, address, ... (more: @@?)"),
    ("cmd ~word", "only the lines with the word (more: ~?)"),
    ("cmd | prog", "through a program of this machine (more: |?)"),
    ("cmd > file", "into a file; >> appends (more: >?)"),
    ("cmd $(cmd)", "the output of a command as arguments"),
    ("\"cmd a;b\"", "in quotes, signs are text"),
    ("3cmd", "three times"),
    ("0x100", "a number alone: go there"),
    ("cmd?", "help on what starts so; cmd?? says more, ?* lists all"),
];

/// The family on whose page this one is found: there are more than fit on a screen.
fn within(name: &str) -> Option<&'static Family> {
    let parents = FAMILIES.iter().copied().filter(|family| family.name != name && family.name.len() == 1);
    parents.into_iter().find(|family| family.name != "?" && name.starts_with(family.name))
}

fn overview(out: &mut Out<'_>) -> Result<()> {
    heading(out, "command [arguments] [operators]", "j after a name: as JSON, *: as commands")?;
    let families = FAMILIES.iter().filter(|family| !family.commands.is_empty() && within(family.name).is_none());
    let families = families.map(|family: &&Family| match family.name {
        // `??` is a command of that family, not its help.
        "?" => ("? expr".to_string(), family.summary),
        name => (format!("{name}?"), family.summary),
    });
    rows(out, families.chain(OPERATORS.iter().map(|(form, meaning)| (form.to_string(), *meaning))))
}

/// Lists every command, one a line, for filters: `?*~hash`.
fn list_all(out: &mut Out<'_>) -> Result<()> {
    // One line each whatever the width is: this listing is for filters.
    all().try_for_each(|command| out.line(format_args!("{}   # {}", command.usage(), command.summary)))
}

/// Prints a `Usage:` line; a summary that does not fit behind it goes below.
fn heading(out: &mut Out<'_>, usage: &str, summary: &str) -> Result<()> {
    let columns = columns(out);
    if summary.is_empty() {
        return out.line(format_args!("Usage: {usage}"));
    }
    if usage.len() + summary.len() + 12 <= columns {
        return out.line(format_args!("Usage: {usage}   # {summary}"));
    }
    out.line(format_args!("Usage: {usage}"))?;
    wrap(summary, columns - 2).into_iter().try_for_each(|line| out.line(format_args!("# {line}")))
}

/// The usable width; narrower than this, nothing could be read.
fn columns(out: &Out<'_>) -> usize {
    out.style().columns.max(40)
}

/// Prints `| usage  # summary` rows, aligned and wrapped. A usage that would push all summaries far to the right
/// gets a line of its own.
fn rows<'a>(out: &mut Out<'_>, rows: impl Iterator<Item = (String, &'a str)>) -> Result<()> {
    let rows: Vec<(String, &str)> = rows.collect();
    let columns = columns(out);
    let limit = columns * 2 / 5;
    let width = rows.iter().map(|(usage, _)| usage.len()).filter(|width| *width <= limit).max().unwrap_or(limit);
    for (usage, summary) in &rows {
        let mut head = usage.as_str();
        if head.len() > width {
            out.line(format_args!("| {usage}"))?;
            head = "";
        }
        let mut sign = '#';
        for line in wrap(summary, columns - width - 6) {
            out.line(format_args!("| {head:width$}  {sign} {line}"))?;
            (head, sign) = ("", ' ');
        }
    }
    Ok(())
}

/// Cuts text into lines of at most `width` columns, between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Cancel, Style};

    fn said(columns: usize, print: impl FnOnce(&mut Out<'_>) -> Result<()>) -> String {
        let (mut text, mut errors) = (Vec::new(), Vec::new());
        let style = Style { columns, ..Style::default() };
        print(&mut Out::new(&mut text, &mut errors, style, Cancel::new())).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn the_overview_fits_on_a_screen() {
        let page = said(80, |out| show("", false, out));
        assert!(page.lines().count() <= 40, "{page}");
        for family in FAMILIES.iter().filter(|family| !family.commands.is_empty()) {
            let shown = within(family.name).unwrap_or(family);
            assert!(page.contains(shown.summary), "{}: {page}", family.name);
        }
    }

    #[test]
    fn prefixes_list_and_names_explain() {
        let list = said(80, |out| show("b", false, out));
        assert!(list.starts_with("Usage: b...   # the block size\n| b[j*] [<size>]"), "{list}");
        let page = said(80, |out| show("bm", false, out));
        assert!(page.starts_with("Usage: bm [<size>]   # ") && page.contains("> bm 64; bm\n0x40\n"), "{page}");
        let both = said(80, |out| show("b", true, out));
        assert!(both.starts_with("Usage: b[j*]") && both.contains("| bf <flag>"), "{both}");
        assert_eq!(said(80, |out| show("elqj", false, out).or_else(|_| out.line("none"))), "none\n");
        assert!(said(80, |out| show("elq", false, out)).starts_with("Usage: el"), "the suffix of a mode");
        let every = said(80, |out| show("", true, out));
        assert_eq!(every.lines().count(), all().count());
        assert!(said(80, |out| show("s!", false, out)).starts_with("Usage: sh"), "an alias");
    }

    #[test]
    fn every_page_keeps_to_the_width() {
        for columns in [40, 60, 80, 200] {
            let mut text = said(columns, |out| show("", false, out));
            for family in FAMILIES.iter().filter(|family| !family.commands.is_empty()) {
                text += &said(columns, |out| show(family.name, false, out));
            }
            for line in text.lines().filter(|line| line.starts_with("| ") && line.contains("  # ")) {
                assert!(line.len() <= columns, "{columns}: {line}");
            }
            assert!(text.is_ascii());
            for command in all() {
                let page = said(columns, |out| show(command.name, true, out));
                let first = page.lines().next().unwrap();
                assert!(first.len() <= columns || !first.contains('#'), "{columns}: {first}");
            }
        }
    }
}
