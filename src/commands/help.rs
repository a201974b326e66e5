//! `?` after any name: help pages, made from the declarations.

use super::{Command, FAMILIES, Family, all, resolve};
use crate::error::{Error, Kind, Result};
use crate::output::{Mode, Out};
use crate::session::Permissions;

/// Prints the help of everything whose name starts with `prefix`: the page of a single command, or a list of
/// several. With `detailed` (`??`), the page of the command that is called exactly so comes first. An empty prefix
/// gives the overview of families and operators.
pub fn show(prefix: &str, detailed: bool, out: &mut Out<'_>) -> Result<()> {
    if prefix.is_empty() {
        return overview(out);
    }
    let found: Vec<Match> = all().filter_map(|command| Match::of(command, prefix)).collect();
    if found.is_empty() {
        return match resolve(prefix) {
            // The name with a suffix of its mode: `pxj?`.
            Some((command, mode, "")) if mode != Mode::Text => page(command, out),
            _ => Err(Error::new(Kind::UnknownCommand, format!("no command starts with '{prefix}'"))
                .hint("'?' shows the families, '?*' lists every command")),
        };
    }
    let exact = found.iter().find(|found| found.name == prefix).map(|found| found.command);
    let family = FAMILIES.iter().find(|family| family.name == prefix);
    match exact {
        Some(command) if detailed || found.len() == 1 => page(command, out)?,
        _ if found.len() == 1 => return page(found[0].command, out),
        _ => {
            let summary = family.map(|family| family.summary).or(exact.map(|command| command.summary));
            let summary = summary.map(|summary| format!("   # {summary}")).unwrap_or_default();
            out.line(format_args!("Usage: {prefix}...{summary}"))?;
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
    out.line(format_args!("Usage: {}   # {}", command.usage(), command.summary))?;
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

const OPERATORS: Rows = &[
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
    ("cmd?", "help on a command or on all that start so; cmd?? says more, ?* lists all"),
];

fn overview(out: &mut Out<'_>) -> Result<()> {
    out.line("Usage: command [arguments] [operators]   # j after a name: as JSON, *: as commands, q: terse")?;
    let families = FAMILIES.iter().filter(|family| !family.commands.is_empty());
    let families = families.map(|family: &&Family| (format!("{}?", family.name), family.summary));
    rows(out, families.chain(OPERATORS.iter().map(|(form, meaning)| (form.to_string(), *meaning))))
}

/// Lists every command, one a line, for filters: `?*~hash`.
pub fn list_all(out: &mut Out<'_>) -> Result<()> {
    // One line each whatever the width is: this listing is for filters.
    all().try_for_each(|command| out.line(format_args!("{}   # {}", command.usage(), command.summary)))
}

type Rows = &'static [(&'static str, &'static str)];

/// The pages of the operators: operator, what it does, its forms.
const PAGES: &[(&str, &str, Rows)] = &[
    (
        "@",
        "run a command elsewhere or with other settings; everything is as before afterwards",
        &[
            ("@ addr", "at an address"),
            ("@ addr!size", "at an address, with another block size"),
            ("@!size", "with another block size"),
            ("@..hex", "with the last digits of the address replaced"),
            ("@(from to)", "searches, zooms and analyses cover this range"),
            ("@a:arch[:bits]", "with another architecture"),
            ("@b:bits", "with another word size"),
            ("@e:key=value,...", "with other options"),
            ("@f:file", "the bytes of a file lie at the seek"),
            ("@F:space", "with another flagspace selected"),
            ("@o:fd", "in another open file, at its own addresses"),
            ("@s:text", "the bytes of a text lie at the seek"),
            ("@v:value", "the bytes of a number lie at the seek"),
            ("@x:hex", "these bytes lie at the seek"),
        ],
    ),
    (
        "@@",
        "run a command once for each of several addresses",
        &[
            ("@@ glob", "flags whose names match"),
            ("@@ addr addr ...", "these addresses (also @@=)"),
            ("@@@=addr size ...", "addresses with block sizes"),
            ("@@s:from to step", "from, from+step, ... below to"),
            ("@@c:cmd", "the numbers that a command prints"),
            ("@@@c:cmd", "the pairs of address and size that a command prints"),
            ("@@.file", "the addresses in a file, one a line"),
            ("@@f[:glob]", "flags"),
            ("@@C[:glob]", "comments"),
            ("@@om", "maps"),
        ],
    ),
    (
        "~",
        "filter what a command prints",
        &[
            ("~word", "lines with the word"),
            ("~a,b", "lines with one of the words; ~&a,b with all"),
            ("~!word", "lines without it"),
            ("~+word", "upper and lower case are the same"),
            ("~^word", "lines that start with it; ~word$ that end with it"),
            ("~:2", "the third line; ~:-1 the last, ~:1..3 lines 1 and 2"),
            ("~[0]", "the first column; ~[0,2] ~[1-] several"),
            ("~?", "how many lines; ~?. how many characters"),
            ("~$", "sorted; ~$1 by a column, ~$! backwards"),
            ("~{}", "JSON with line breaks; ~{path} one part of it, ~{: a value a line"),
        ],
    ),
    (
        "|",
        "send what a command prints elsewhere",
        &[
            ("| prog args", "to a program of this machine; the rest of the line belongs to its shell"),
            ("|", "without colours"),
            ("|H", "as HTML"),
            ("|.", "run it as commands"),
        ],
    ),
    (
        ">",
        "write what a command prints to a file",
        &[
            ("> file", "replace the file"),
            (">> file", "append to it"),
            ("> $name", "keep it as the text of an alias"),
            ("2> file", "errors only"),
            ("H> file", "as HTML"),
        ],
    ),
];

/// Prints the help of an operator: `@`, `@@`, `~`, `|` or `>`.
pub fn operator(which: &str, out: &mut Out<'_>) -> Result<()> {
    let which = match which {
        "@@@" => "@@",
        ">>" => ">",
        other => other,
    };
    let (sign, summary, forms) = PAGES.iter().find(|(sign, ..)| *sign == which).ok_or_else(|| {
        let known: Vec<&str> = PAGES.iter().map(|(sign, ..)| *sign).collect();
        Error::new(Kind::NotFound, format!("no operator '{which}'")).hint(format!("known: {}", known.join(" ")))
    })?;
    out.line(format_args!("Usage: cmd {sign}...   # {summary}"))?;
    rows(out, forms.iter().map(|(form, meaning)| (form.to_string(), *meaning)))
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
            assert!(page.contains(&format!("| {}?", family.name)), "{}: {page}", family.name);
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
        assert!(said(80, |out| show("s!", false, out)).starts_with("Usage: sh"), "an alias");
    }

    #[test]
    fn every_page_keeps_to_the_width() {
        for columns in [40, 60, 80, 200] {
            let mut text = said(columns, |out| show("", false, out));
            for family in FAMILIES.iter().filter(|family| !family.commands.is_empty()) {
                text += &said(columns, |out| show(family.name, false, out));
            }
            for (sign, ..) in PAGES {
                text += &said(columns, |out| operator(sign, out));
            }
            for line in text.lines().filter(|line| line.contains("  # ") && !line.starts_with("Usage")) {
                assert!(line.len() <= columns, "{columns}: {line}");
            }
            assert!(text.is_ascii());
        }
    }
}
