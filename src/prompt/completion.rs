//! What a line can be completed with: command names, and arguments by the kinds that the declarations give them.

use crate::commands::{self, ArgKind, Command, local};
use crate::io::PLUGINS;
use crate::io::beneath::Entry;
use crate::output::Cancel;
use crate::session::hosts::Peer;
use crate::session::options::{self, Default as Initial, OPTIONS};
use crate::session::{Permissions, Session};

/// Candidates for the part of a line from `start` to the cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completion {
    /// Where the completed part starts, in bytes.
    pub start: usize,
    /// What can stand there, sorted.
    pub candidates: Vec<Candidate>,
}

/// One way to complete.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The text from [`Completion::start`] on.
    pub text: String,
    /// What it is, in a few words.
    pub summary: Option<&'static str>,
    /// Whether the word ends here (a folder or `key=` goes on).
    pub complete: bool,
}

/// Completes `line`, of which the part up to `cursor` (bytes) counts. Looks at `session` and at folders, and
/// changes nothing.
pub fn complete(line: &str, cursor: usize, session: &Session) -> Completion {
    let Some(before) = line.get(..cursor) else { return Completion::default() };
    let place = place(before);
    let typed = &before[place.start..];
    let mut candidates = match place.kind {
        Kind::Name => names(typed),
        Kind::Address => flags(session, typed),
        Kind::File => files(session, typed),
        Kind::Argument { command, index } => match argument(command, index) {
            Some(kind) => arguments(session, kind, typed),
            None => Vec::new(),
        },
    };
    candidates.sort();
    candidates.dedup();
    Completion { start: place.start, candidates }
}

/// Completes `line` for `peer`, as the peer says. One that cannot say speaks the same language: the names of commands
/// are the same there.
pub fn complete_for(line: &str, cursor: usize, peer: &mut dyn Peer) -> Completion {
    match peer.complete(line, cursor, &Cancel::new()) {
        Ok(Some(found)) if line.is_char_boundary(found.start) && found.start <= cursor => {
            let candidates = found.words.into_iter();
            Completion { start: found.start, candidates: candidates.map(|text| word(text, None)).collect() }
        }
        Ok(None) => {
            let Some(before) = line.get(..cursor) else { return Completion::default() };
            let place = place(before);
            let candidates = if matches!(place.kind, Kind::Name) { names(&before[place.start..]) } else { Vec::new() };
            Completion { start: place.start, candidates }
        }
        // A line is typed here: there is no place to say what is wrong with the connection.
        _ => Completion::default(),
    }
}

/// Where the cursor stands.
struct Place {
    start: usize,
    kind: Kind,
}

enum Kind {
    Name,
    Address,
    File,
    Argument { command: &'static Command, index: usize },
}

/// Finds the statement and the word that the text before the cursor ends in. Quotes keep separators together.
fn place(before: &str) -> Place {
    let (mut statement, mut word, mut quote, mut escaped) = (0, 0, None, false);
    // The word after `@` is an address, the one after `>` a file, and the commands' arguments stand before them.
    let mut tail = None;
    for (at, c) in before.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, ';' | '|' | '`') => (statement, word, tail) = (at + 1, at + 1, None),
            (None, '@') => (word, tail) = (at + 1, Some(Kind::Address)),
            (None, '>') => (word, tail) = (at + 1, Some(Kind::File)),
            (None, ' ' | '\t') => word = at + 1,
            _ => {}
        }
    }
    if let Some(kind) = tail {
        return Place { start: word, kind };
    }
    let text = before[statement..].trim_start();
    let first = before.len() - text.len();
    match commands::resolve(text) {
        Some((command, _, rest)) if rest.starts_with(char::is_whitespace) => {
            let index = rest.split_whitespace().count().saturating_sub(usize::from(word < before.len()));
            if let Some(ArgKind::Command) = argument(command, index) {
                let inner = place(rest.trim_start());
                let start = before.len() - rest.trim_start().len() + inner.start;
                return Place { start, kind: inner.kind };
            }
            Place { start: word, kind: Kind::Argument { command, index } }
        }
        // `o/bin/l`, `=+rap://`: an argument glued to the name.
        Some((command, _, rest)) if !rest.is_empty() => {
            Place { start: before.len() - rest.len(), kind: Kind::Argument { command, index: 0 } }
        }
        _ => Place { start: first, kind: Kind::Name },
    }
}

/// The kind of the argument at `index`, where the last one may stand for several.
fn argument(command: &Command, index: usize) -> Option<ArgKind> {
    let last = command.args.last()?;
    let arg = command.args.get(index).unwrap_or(last);
    let several = last.many || matches!(last.kind, ArgKind::Number | ArgKind::Text | ArgKind::Command);
    (index < command.args.len() || several).then_some(arg.kind)
}

fn names(typed: &str) -> Vec<Candidate> {
    commands::all()
        .flat_map(|command| std::iter::once(&command.name).chain(command.aliases).map(move |name| (*name, command)))
        .filter(|(name, _)| name.starts_with(typed))
        .map(|(name, command)| Candidate {
            text: name.to_string(),
            summary: Some(command.summary),
            complete: !command.args.is_empty() && name.ends_with(|c: char| c.is_alphanumeric()),
        })
        .collect()
}

fn arguments(session: &Session, kind: ArgKind, typed: &str) -> Vec<Candidate> {
    match kind {
        ArgKind::Number | ArgKind::Flag => flags(session, typed),
        ArgKind::File => files(session, typed),
        ArgKind::Uri => {
            let mut candidates = schemes(typed);
            candidates.extend(files(session, typed));
            candidates
        }
        ArgKind::Flagspace => {
            let core = session.core();
            let spaces = core.flags.iter().filter_map(|flag| flag.space.clone());
            spaces.filter(|space| space.starts_with(typed)).map(|space| word(space, None)).collect()
        }
        ArgKind::Option => option(typed),
        ArgKind::Descriptor => {
            let core = session.core();
            let numbers = core.io.descriptors().map(|descriptor| descriptor.fd.to_string());
            numbers.filter(|number| number.starts_with(typed)).map(|number| word(number, None)).collect()
        }
        ArgKind::Choice(choices) => {
            choices.iter().filter(|choice| choice.starts_with(typed)).map(|c| word((*c).to_string(), None)).collect()
        }
        ArgKind::Host | ArgKind::Word | ArgKind::Text | ArgKind::Hex | ArgKind::Command => Vec::new(),
    }
}

fn word(text: String, summary: Option<&'static str>) -> Candidate {
    Candidate { text, summary, complete: true }
}

/// Flags whose name starts with the last name of an expression: `entry0+ma` goes on as `entry0+main`.
fn flags(session: &Session, typed: &str) -> Vec<Candidate> {
    let start = typed.rfind(|c: char| "+-*/%&|^~([<>, ".contains(c)).map_or(0, |at| at + 1);
    let (head, name) = typed.split_at(start);
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Vec::new();
    }
    let mut core = session.core();
    core.complete_flags();
    let found = core.flags.iter().filter(|flag| flag.name.starts_with(name));
    found
        .map(|flag| Candidate { text: format!("{head}{}", flag.name), summary: None, complete: head.is_empty() })
        .collect()
}

fn schemes(typed: &str) -> Vec<Candidate> {
    let schemes = PLUGINS.iter().flat_map(|plugin| plugin.schemes.iter().map(move |scheme| (scheme, plugin.summary)));
    schemes
        .filter(|(scheme, _)| !typed.is_empty() && scheme.starts_with(typed))
        .map(|(scheme, summary)| Candidate { text: format!("{scheme}://"), summary: Some(summary), complete: false })
        .collect()
}

fn option(typed: &str) -> Vec<Candidate> {
    let Some((name, value)) = typed.split_once('=') else {
        let found = OPTIONS.iter().filter(|option| option.name.starts_with(typed));
        return found
            .map(|option| Candidate { text: option.name.to_string(), summary: Some(option.summary), complete: false })
            .collect();
    };
    let Some(option) = options::find(name) else { return Vec::new() };
    let values: &[&str] = match option.default {
        Initial::Bool(_) => &["true", "false"],
        _ => option.choices,
    };
    let found = values.iter().filter(|choice| choice.starts_with(value));
    found.map(|choice| word(format!("{name}={choice}"), None)).collect()
}

/// Paths that start with `typed`, relative ones from the session's folder. Hidden ones only when asked for.
fn files(session: &Session, typed: &str) -> Vec<Candidate> {
    let (folder, name) = typed.split_at(typed.rfind('/').map_or(0, |at| at + 1));
    if !session.view.permissions.allow(Permissions::FILES) {
        return Vec::new();
    }
    let Ok(entries) = local::list(&session.view, if folder.is_empty() { "." } else { folder }) else {
        return Vec::new();
    };
    entries
        .into_iter()
        .filter_map(|Entry { name: found, directory, .. }| {
            if !found.starts_with(name) || (name.is_empty() && found.starts_with('.')) {
                return None;
            }
            let end = if directory { "/" } else { "" };
            Some(Candidate { text: format!("{folder}{found}{end}"), summary: None, complete: !directory })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str, session: &Session) -> Vec<String> {
        complete(line, line.len(), session).candidates.into_iter().map(|candidate| candidate.text).collect()
    }

    fn session() -> Session {
        let session = Session::new();
        let mut core = session.core();
        core.flags.set("entry0", 0x100, 1);
        core.flags.set("main", 0x200, 1);
        drop(core);
        session
    }

    #[test]
    fn commands_complete_at_the_start_of_every_statement() {
        for line in ["p", "p8;p", "s 1; p", "p8 | p"] {
            let completion = complete(line, line.len(), &session());
            assert_eq!(completion.start, line.len() - 1, "{line}");
            assert!(completion.candidates.iter().any(|candidate| candidate.text == "p8"), "{line}");
        }
        assert!(texts("\"p", &session()).is_empty());
    }

    #[test]
    fn addresses_complete_to_flags_also_inside_expressions_and_after_an_at_sign() {
        assert_eq!(texts("s ma", &session()), ["main"]);
        assert_eq!(texts("p8 4 @ en", &session()), ["entry0"]);
        assert_eq!(texts("p8 4 @en", &session()), ["entry0"]);
        assert_eq!(texts("s entry0+m", &session()), ["entry0+main"]);
        assert!(texts("s 1", &session()).is_empty());
    }

    #[test]
    fn files_complete_with_their_folder() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("inner")).unwrap();
        std::fs::write(directory.path().join("input.bin"), b"").unwrap();
        std::fs::write(directory.path().join(".hidden"), b"").unwrap();
        let mut session = session();
        session.view.directory = Some(directory.path().to_path_buf());
        assert_eq!(texts("p8 > in", &session), ["inner/", "input.bin"]);
        assert_eq!(texts("p8 > ", &session), ["inner/", "input.bin"]);
        assert_eq!(texts("p8 > .h", &session), [".hidden"]);
        assert!(texts("p8 > nowhere/", &session).is_empty());
    }

    #[test]
    fn options_complete_to_names_then_values() {
        assert_eq!(option("io.ca").into_iter().map(|candidate| candidate.text).collect::<Vec<_>>(), ["io.cache"]);
        assert_eq!(
            option("io.cache=").into_iter().map(|candidate| candidate.text).collect::<Vec<_>>(),
            ["io.cache=true", "io.cache=false"]
        );
        assert!(option("no.such=").is_empty());
    }

    #[test]
    fn uris_complete_to_schemes() {
        let found: Vec<String> = schemes("mal").into_iter().map(|candidate| candidate.text).collect();
        assert_eq!(found, ["malloc://"]);
    }

    #[test]
    fn a_cursor_anywhere_is_no_danger() {
        let line = "p8 é @ \"x";
        for cursor in 0..=line.len() + 2 {
            complete(line, cursor, &session());
        }
    }
}
