//! Evaluation of the syntax tree: each suffix wraps what stands before it.

use std::io::{self, Write};

use super::expand::Text;
use super::grep::Grep;
use super::tree::{Head, Script, Suffix};
use super::{expand, help, html, iterate, modifiers, redirect};
use crate::commands::local;
use crate::commands::remote::mode;
use crate::commands::script::capture::Capture;
use crate::commands::system::program;
use crate::commands::{self, ArgKind, script::macros};
use crate::error::{Error, Kind, Result};
use crate::number;
use crate::output::{Out, Style, reader_is_gone};
use crate::session::context::Args;
use crate::session::scope::Scope;
use crate::session::{Permissions, Session, ShellState, Value, config};

/// Beyond this no value of `cmd.depth` goes: nesting costs stack, which a remote client must not exhaust.
const DEPTH_LIMIT: u64 = 40;

/// Runs `work` one level deeper, unless that is too deep.
pub fn nested<R>(session: &mut Session, work: impl FnOnce(&mut Session) -> Result<R>) -> Result<R> {
    let limit = match config::lookup(&session.view.overrides, &session.core().config, "cmd.depth") {
        Value::Number(limit) => limit.clamp(1, DEPTH_LIMIT),
        _ => 10,
    };
    // The line itself is the first level and always runs.
    if u64::from(session.view.depth) > limit {
        return Err(Error::new(Kind::Limit, "scripts, macros and substitutions are nested too deeply")
            .hint(format!("cmd.depth is {limit}")));
    }
    session.view.depth += 1;
    let result = work(session);
    session.view.depth -= 1;
    result
}

/// Runs every statement; one that fails is reported and the next one runs.
pub fn script(session: &mut Session, script: &Script, out: &mut Out<'_>) -> Result<()> {
    for statement in &script.statements {
        for done in 0..statement.count {
            out.cancel().check()?;
            if session.view.quit.is_some() || session.shell.leave {
                return Ok(());
            }
            if !session.view.temporary {
                session.view.prompt_seek = session.view.seek;
            }
            let result = match session.view.remote.filter(|_| session.view.depth == 1) {
                // The host repeats it: its count went along.
                Some(_) if done > 0 && !mode::stays(&statement.source) => break,
                Some(slot) => remembered(session, out, |session, out| {
                    if mode::forward(session, slot, &statement.source, out)? {
                        return Ok(());
                    }
                    run(session, &statement.head, &statement.suffixes, out)
                }),
                None if session.view.depth == 1 => {
                    remembered(session, out, |session, out| run(session, &statement.head, &statement.suffixes, out))
                }
                None => run(session, &statement.head, &statement.suffixes, out),
            };
            result.or_else(|error| report(session, error, out))?;
        }
    }
    Ok(())
}

/// Prints why a statement failed, unless the error ends everything.
pub fn report(session: &mut Session, error: Error, out: &mut Out<'_>) -> Result<()> {
    if error.kind() == Kind::Interrupted || reader_is_gone(&error) {
        return Err(error);
    }
    out.error(&error);
    session.view.failed = true;
    session.view.last = 1;
    Ok(())
}

/// Does `work` and keeps a copy of what it prints for `_`.
fn remembered(
    session: &mut Session,
    out: &mut Out<'_>,
    work: impl FnOnce(&mut Session, &mut Out<'_>) -> Result<()>,
) -> Result<()> {
    let (style, cancel, terminal) = (out.style(), out.cancel().clone(), out.is_terminal());
    let (sink, errors) = out.split();
    let mut tee = Tee { sink, copy: Vec::new() };
    let mut inner = Out::new(&mut tee, errors, style, cancel);
    if terminal {
        inner = inner.on_terminal();
    }
    let result = work(session, &mut inner);
    if !tee.copy.is_empty() {
        session.shell.last_output = tee.copy;
    }
    result
}

struct Tee<'o> {
    sink: &'o mut dyn Write,
    copy: Vec<u8>,
}

impl Write for Tee<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(bytes)?;
        let room = ShellState::OUTPUT_LIMIT.saturating_sub(self.copy.len());
        self.copy.extend_from_slice(&bytes[..count.min(room)]);
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Runs a command with its suffixes, the last of which is the outermost.
pub fn run(session: &mut Session, command: &Head, suffixes: &[Suffix], out: &mut Out<'_>) -> Result<()> {
    let Some((suffix, inner)) = suffixes.split_last() else { return head(session, command, out) };
    let style = out.style();
    match suffix {
        Suffix::At(words) => {
            let text = expand::joined(session, words, out)?;
            if text == "?" || text == "??" {
                return help::operator("@", out);
            }
            modifiers::with(session, &text, |session| run(session, command, inner, out))
        }
        Suffix::Each(iterator) => {
            iterate::each(session, iterator, out, |session, out| run(session, command, inner, out))
        }
        Suffix::Grep(word) => {
            let text = expand::word(session, word, out)?.text;
            if text == "??" {
                return help::operator("~", out);
            }
            let grep = Grep::parse(&text)?;
            let mut captured = Capture::default();
            let result = run(session, command, inner, &mut out.redirect(&mut captured, style));
            grep.apply(&captured.bytes, out)?;
            result
        }
        Suffix::Pipe(text) if text.chars().all(|c| c == '?') => help::operator("|", out),
        Suffix::Pipe(text) => {
            local::require(&session.view, Permissions::EXEC, "|")?;
            program::pipe(session, text, out, |session, out| {
                run(session, command, inner, out).or_else(|error| report(session, error, out))
            })
        }
        Suffix::Plain => {
            let cancel = out.cancel().clone();
            let (sink, errors) = out.split();
            let mut plain = Out::new(sink, errors, Style { color: false, ..style }, cancel);
            run(session, command, inner, &mut plain)
        }
        Suffix::Html => {
            let mut captured = Capture::default();
            let colored = Style { color: true, ..style };
            let result = run(session, command, inner, &mut out.redirect(&mut captured, colored));
            out.write_all(html::from_ansi(&captured.text()).as_bytes())?;
            result
        }
        Suffix::Interpret => {
            let mut captured = Capture::default();
            let plain = Style { color: false, ..style };
            run(session, command, inner, &mut out.redirect(&mut captured, plain))?;
            execute(session, &captured.text(), out)
        }
        Suffix::Redirect(target) => {
            redirect::run(session, target, out, |session, out| run(session, command, inner, out))
        }
    }
}

/// Runs text that a command printed.
fn execute(session: &mut Session, text: &str, out: &mut Out<'_>) -> Result<()> {
    let parsed = super::parse::parse(text).map_err(|error| error.context("in the output that was to be run"))?;
    nested(session, |session| script(session, &parsed, out))
}

fn head(session: &mut Session, command: &Head, out: &mut Out<'_>) -> Result<()> {
    match command {
        Head::Command(words) => {
            let words = expand::command(session, words, out)?;
            let Some(first) = words.first() else { return Ok(()) };
            let (name, rest) = first.text.split_at(first.plain);
            let glued = Text {
                text: rest.to_string(),
                plain: 0,
                expression: first.expression[first.plain..].to_string(),
                loaded: first.loaded,
            };
            let words = std::iter::once(glued).chain(words.iter().skip(1).cloned()).collect();
            named(session, name, words, None, out)
        }
        Head::Whole(text) => {
            let text = &*expand::filled(session, text, false).into_owned();
            let end = text.find(char::is_whitespace).unwrap_or(text.len());
            let (name, rest) = text.split_at(end);
            let words = std::iter::once("").chain(rest.split_whitespace()).map(Text::from).collect();
            named(session, name, words, Some(rest.trim_start()), out)
        }
        Head::Seek(words) => {
            let text = expand::joined(session, words, out)?;
            let address = session.with(|core, view| number::evaluate(&text, &mut Scope { core, view }))?;
            session.view.jump(address);
            Ok(())
        }
        Head::Raw { name, text } => {
            let words = if text.is_empty() { vec![] } else { vec![text.clone()] };
            declared(session, name, &Args { words, text: text.clone() }, out)
        }
        Head::Macro { text, call } => {
            let words = if text.is_empty() { vec![] } else { vec![text.clone()] };
            declared(session, "(", &Args { words, text: text.clone() }, out)?;
            let Some(values) = call else { return Ok(()) };
            let mut words = vec![macros::name(text)?];
            words.extend(expand::words(session, values, out)?.into_iter().map(|word| word.text));
            let text = words.join(" ");
            declared(session, ".(", &Args { words, text }, out)
        }
        Head::Help(operator) => help::operator(operator, out),
    }
}

/// Runs a command that the table has under exactly this name.
fn declared(session: &mut Session, name: &str, args: &Args, out: &mut Out<'_>) -> Result<()> {
    match commands::resolve(name) {
        Some((command, mode, "")) => commands::invoke(session, command, mode, args, out),
        _ => Err(unknown(name)),
    }
}

/// Finds the command at the start of `name` and runs it. `words` are the arguments; the first one is what is glued
/// to the name. `text` is the rest of the line where it must stay as it was.
fn named(session: &mut Session, name: &str, words: Vec<Text>, text: Option<&str>, out: &mut Out<'_>) -> Result<()> {
    let found = commands::resolve(name);
    let alone = words.iter().all(|word| word.text.is_empty());
    if let Some((prefix, detailed)) = asks_help(name, alone, found.map(|(command, _, rest)| (command, rest))) {
        return commands::help::show(prefix, detailed, out);
    }
    let Some((command, mode, rest)) = found else { return Err(unknown(name)) };
    let mut words = words;
    if let Some(glued) = words.first_mut() {
        glued.text.insert_str(0, rest);
        glued.expression.insert_str(0, rest);
        if glued.text.is_empty() {
            words.remove(0);
        }
    }
    if command.args.iter().any(|arg| arg.kind == ArgKind::Command) {
        expand::refuse_loaded(&words)?;
    }
    let kinds = command.args.iter().map(|arg| arg.kind);
    let kinds = kinds.chain(std::iter::repeat(command.args.last().map_or(ArgKind::Word, |arg| arg.kind)));
    let words: Vec<String> = words
        .into_iter()
        .zip(kinds)
        .map(|(word, kind)| if kind == ArgKind::Number { word.expression } else { word.text })
        .collect();
    let text = match text {
        None => words.join(" "),
        Some(text) if rest.is_empty() => text.to_string(),
        Some(text) => format!("{rest} {text}").trim_end().to_string(),
    };
    commands::invoke(session, command, mode, &Args { words, text }, out)
}

/// Whether `name` is another name followed by question marks (`px?`, `p??`, `?`), and not itself a command that can
/// run so. Returns the start of the names to explain, and whether in detail.
fn asks_help<'n>(name: &'n str, alone: bool, found: Option<(&commands::Command, &str)>) -> Option<(&'n str, bool)> {
    if !alone || !(name.ends_with('?') || name.ends_with("?*")) {
        return None;
    }
    let trimmed = name.trim_end_matches('*').trim_end_matches('?');
    if let Some((command, rest)) = found {
        let runs = rest.is_empty() && !command.args.iter().any(|arg| arg.required);
        let other = !rest.trim_end_matches('*').chars().all(|c| c == '?');
        if runs || other {
            return None;
        }
    }
    // `?` is the start of a family of its own, so that its help is the list of families.
    let marks = name.len() - trimmed.len();
    Some((trimmed, marks > 1))
}

fn unknown(name: &str) -> Error {
    let shown = crate::output::visible(name);
    let error = Error::new(Kind::UnknownCommand, format!("Command '{shown}' does not exist."));
    match similar(name) {
        Some(similar) => error.hint(format!("did you mean '{similar}'?")),
        None => error,
    }
}

/// The command whose name is one slip away from `name`.
fn similar(name: &str) -> Option<&'static str> {
    if name.len() < 2 || name.len() > 24 {
        return None;
    }
    let names =
        commands::all().flat_map(|command| std::iter::once(command.name).chain(command.aliases.iter().copied()));
    // A slip is rarely in the first letter, which names the family.
    names
        .filter(|other| other.len() > 1 && one_slip(name.as_bytes(), other.as_bytes()))
        .min_by_key(|other| (other.as_bytes()[0] != name.as_bytes()[0], *other))
}

/// Whether one inserted, missing, wrong or swapped letter makes `a` of `b`.
fn one_slip(a: &[u8], b: &[u8]) -> bool {
    let start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[start..], &b[start..]);
    match (a, b) {
        ([_, x @ ..], [_, y @ ..]) if x == y => true,
        ([x, y, a @ ..], [z, w, b @ ..]) if x == w && y == z && a == b => true,
        ([_, x @ ..], y) if x == y => true,
        (x, [_, y @ ..]) if x == y => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips() {
        for (a, b) in [("px", "pxx"), ("pxw", "pw"), ("ehco", "echo"), ("pc8", "p8"), ("afz", "afl")] {
            assert!(one_slip(a.as_bytes(), b.as_bytes()), "{a} {b}");
        }
        assert!(!one_slip(b"nosuch", b"s"));
        assert!(!one_slip(b"ab", b"cd"));
    }
}
