//! Words: substitutions run, quotes vanish, an unquoted substitution may give several words.

use super::evaluate;
use super::tree::{Part, Script, Word};
use crate::commands::script::capture::Capture;
use crate::error::Result;
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
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text { text: text.to_string(), plain: text.len(), expression: text.to_string() }
    }
}

/// Expands words; an unquoted substitution is split at its blanks.
pub fn words(session: &mut Session, words: &[Word], out: &mut Out<'_>) -> Result<Vec<Text>> {
    let mut texts = Vec::with_capacity(words.len());
    for word in words {
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
                        push(current.get_or_insert_default(), piece, true);
                    }
                    if output.ends_with(' ') {
                        texts.extend(current.take());
                    }
                }
                part => {
                    let current = current.get_or_insert_default();
                    append(session, current, part, out)?;
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
        append(session, &mut text, part, out)?;
    }
    Ok(text)
}

/// Expands words to one text, with single blanks between them.
pub fn joined(session: &mut Session, list: &[Word], out: &mut Out<'_>) -> Result<String> {
    let texts: Vec<String> = words(session, list, out)?.into_iter().map(|word| word.text).collect();
    Ok(texts.join(" "))
}

fn append(session: &mut Session, text: &mut Text, part: &Part, out: &mut Out<'_>) -> Result<()> {
    match part {
        Part::Text(piece) => push(text, piece, true),
        Part::Quoted(piece) => push(text, piece, false),
        Part::Character(c) => {
            text.text.push(*c);
            text.expression.push_str(&format!("'{c}'"));
        }
        Part::Output { script, quoted } => push(text, &output(session, script, out)?, !quoted),
    }
    Ok(())
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
