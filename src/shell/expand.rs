//! Words: substitutions run, quotes vanish, an unquoted substitution may give several words.

use std::borrow::Cow;

use super::evaluate;
use super::tree::{Part, Script, Word};
use crate::commands::script::capture::Capture;
use crate::error::{Error, Kind, Result};
use crate::output::{Out, Style};
use crate::session::Session;

/// A word as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// How many bytes at its start were neither quoted nor escaped: a command's name is looked for only there.
    pub plain: usize,
    /// The text as an expression: quoted characters keep their quotes.
    pub expression: String,
    /// A substitution or a macro's value brought characters that would be operators if the text were parsed again.
    pub loaded: bool,
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text { text: text.to_string(), plain: text.len(), expression: text.to_string(), loaded: false }
    }
}

/// Expands the words of a command: the first one names it, and is never a macro's parameter by its bare name.
pub fn command(session: &mut Session, words: &[Word], out: &mut Out<'_>) -> Result<Vec<Text>> {
    expanded(session, words, true, out)
}

/// Expands words; an unquoted substitution is split at its blanks.
pub fn words(session: &mut Session, words: &[Word], out: &mut Out<'_>) -> Result<Vec<Text>> {
    expanded(session, words, false, out)
}

fn expanded(session: &mut Session, words: &[Word], named: bool, out: &mut Out<'_>) -> Result<Vec<Text>> {
    let mut texts = Vec::with_capacity(words.len());
    for (index, word) in words.iter().enumerate() {
        let bare = index > 0 || !named;
        let mut current: Option<Text> = None;
        for part in word {
            match part {
                Part::Output { script, quoted: false } => {
                    let output = output(session, script, out)?;
                    let mut current_open = !output.starts_with(' ');
                    for piece in output.split_whitespace() {
                        if !current_open {
                            texts.extend(current.take());
                        }
                        current_open = false;
                        let current = current.get_or_insert_default();
                        current.loaded |= loaded(piece);
                        push(current, piece, true);
                    }
                    if output.ends_with(' ') {
                        texts.extend(current.take());
                    }
                }
                part => {
                    let current = current.get_or_insert_default();
                    append(session, current, part, bare, out)?;
                }
            }
        }
        texts.extend(current);
    }
    Ok(texts)
}

/// Expands one word in which blanks do not matter (a filter, a file's name).
pub fn word(session: &mut Session, word: &Word, out: &mut Out<'_>) -> Result<Text> {
    let mut text = Text::default();
    for part in word {
        append(session, &mut text, part, true, out)?;
    }
    Ok(text)
}

/// Expands words to one text, with single blanks between them.
pub fn joined(session: &mut Session, list: &[Word], out: &mut Out<'_>) -> Result<String> {
    let texts: Vec<String> = words(session, list, out)?.into_iter().map(|word| word.text).collect();
    Ok(texts.join(" "))
}

/// `piece` with the values of the running macro's parameters; `bare` lets a name alone stand for its value.
pub fn filled<'p>(session: &Session, piece: &'p str, bare: bool) -> Cow<'p, str> {
    match session.shell.frames.last() {
        Some(frame) => frame.fill(piece, bare).into(),
        None => piece.into(),
    }
}

fn append(session: &mut Session, text: &mut Text, part: &Part, bare: bool, out: &mut Out<'_>) -> Result<()> {
    match part {
        Part::Text(piece) | Part::Quoted(piece) => {
            let plain = matches!(part, Part::Text(_));
            let filled = filled(session, piece, bare && plain);
            text.loaded |= filled != piece.as_str() && loaded(&filled);
            push(text, &filled, plain);
        }
        Part::Character(c) => {
            text.text.push(*c);
            text.expression.push_str(&format!("'{c}'"));
        }
        Part::Output { script, quoted } => {
            let output = output(session, script, out)?;
            text.loaded |= loaded(&output);
            push(text, &output, !quoted);
        }
    }
    Ok(())
}

/// Whether `text` holds more than words, were it parsed.
fn loaded(text: &str) -> bool {
    text.contains(['@', '|', '#', '"', '\'', '>', ';', '`', '~', '(', ')', '$', '\\', '\n'])
}

/// An error when a substitution brought operators into text that will be parsed again, here or at a peer: what was
/// data must not become a command.
pub fn refuse_loaded(texts: &[Text]) -> Result<()> {
    match texts.iter().find(|text| text.loaded) {
        None => Ok(()),
        Some(text) => Err(Error::new(
            Kind::Permission,
            format!("'{}' was substituted and would be read as a command", crate::output::visible(&text.text)),
        )
        .hint("substitutions in commands that are parsed again may bring words and numbers only")),
    }
}

fn push(text: &mut Text, piece: &str, plain: bool) {
    if plain && text.plain == text.text.len() {
        text.plain += piece.len();
    }
    text.text.push_str(piece);
    text.expression.push_str(piece);
}

/// What `script` prints: without the last line end, with blanks for the others.
fn output(session: &mut Session, script: &Script, out: &mut Out<'_>) -> Result<String> {
    let mut captured = Capture::default();
    evaluate::nested(session, |session| {
        evaluate::script(session, script, &mut out.redirect(&mut captured, Style::default()))
    })?;
    let text = captured.text();
    Ok(text.trim_end_matches(['\n', '\r']).replace('\n', " "))
}
