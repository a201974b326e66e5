//! Words: quotes, escapes, substitutions, and the text of filters.

use super::{End, NESTING, Parser, blank, separator};
use crate::error::Result;
use crate::shell::tree::{Part, Word};

/// Characters that a backslash makes ordinary outside of quotes; before others the backslash stays, also before
/// another one, since commands have escapes of their own.
const SPECIAL: &str = " \t@|#\"'>;$`~,()";

impl Parser<'_> {
    /// Words up to an operator or the end of the statement.
    pub(super) fn words(&mut self) -> Result<Vec<Word>> {
        let mut words = Vec::new();
        let outer = std::mem::take(&mut self.open);
        loop {
            self.blanks();
            if self.over() || self.operator().is_some() {
                break;
            }
            if self.peek() == Some(')') && self.open.is_empty() {
                break;
            }
            words.push(self.word()?);
        }
        if let Some(&at) = self.open.first() {
            return Err(self.error(at, "this '(' is not closed"));
        }
        self.open = outer;
        Ok(words)
    }

    /// The operator that starts here, at the start of a word.
    pub(super) fn operator(&self) -> Option<&'static str> {
        ["@", "~", "|", ">", "H>", "2>"].into_iter().find(|operator| self.rest().starts_with(operator))
    }

    pub(super) fn word(&mut self) -> Result<Word> {
        let mut word = Word::new();
        while let Some(c) = self.peek() {
            match c {
                c if blank(c) || separator(c) => break,
                '@' | '|' | '>' | '~' | '#' => break,
                _ if self.closed() => break,
                '"' => self.double_quoted(&mut word)?,
                '\'' => self.single_quoted(&mut word)?,
                '`' => word.push(self.output(false)?),
                '$' if self.second() == Some('(') => word.push(self.output(false)?),
                '\\' => {
                    self.bump();
                    match self.peek() {
                        Some('\\') => {
                            self.bump();
                            plain(&mut word, '\\');
                            plain(&mut word, '\\');
                        }
                        Some(c) if SPECIAL.contains(c) => {
                            self.bump();
                            quoted(&mut word, c);
                        }
                        _ => plain(&mut word, '\\'),
                    }
                }
                '(' => {
                    self.open.push(self.at);
                    self.bump();
                    plain(&mut word, c);
                }
                ')' => {
                    if self.open.pop().is_none() {
                        return Err(self.error(self.at, "')' without '('"));
                    }
                    self.bump();
                    plain(&mut word, c);
                }
                _ => {
                    self.bump();
                    plain(&mut word, c);
                }
            }
        }
        Ok(word)
    }

    fn double_quoted(&mut self, word: &mut Word) -> Result<()> {
        let start = self.at;
        self.bump();
        word.push(Part::Quoted(String::new()));
        loop {
            match self.peek() {
                Some('"') => {
                    self.bump();
                    return Ok(());
                }
                Some('`') => word.push(self.output(true)?),
                Some('$') if self.second() == Some('(') => word.push(self.output(true)?),
                Some('\\') => {
                    self.bump();
                    match self.peek() {
                        Some('\\') => {
                            self.bump();
                            quoted(word, '\\');
                            quoted(word, '\\');
                        }
                        Some(c @ ('"' | '$' | '`')) => {
                            self.bump();
                            quoted(word, c);
                        }
                        _ => quoted(word, '\\'),
                    }
                }
                None | Some('\n' | '\r') => return Err(self.error(start, "this '\"' is not closed")),
                Some(c) => {
                    self.bump();
                    quoted(word, c);
                }
            }
        }
    }

    fn single_quoted(&mut self, word: &mut Word) -> Result<()> {
        let start = self.at;
        self.bump();
        let mut text = String::new();
        loop {
            match self.bump() {
                Some('\'') => break,
                Some('\\') => match self.peek() {
                    Some(c @ ('\\' | '\'')) => {
                        self.bump();
                        text.push(c);
                    }
                    Some('n') => {
                        self.bump();
                        text.push('\n');
                    }
                    _ => text.push('\\'),
                },
                None | Some('\n' | '\r') => {
                    return Err(self.error(start, "this \"'\" is not closed").hint("write \\' for an apostrophe"));
                }
                Some(c) => text.push(c),
            }
        }
        let mut characters = text.chars();
        word.push(match (characters.next(), characters.next()) {
            (Some(only), None) => Part::Character(only),
            _ => Part::Quoted(text),
        });
        Ok(())
    }

    /// `` `…` `` or `$(…)`.
    pub(super) fn output(&mut self, quoted: bool) -> Result<Part> {
        let start = self.at;
        let (end, close) = if self.eat("$(") { (End::Parenthesis, ")") } else { (End::Backtick, "`") };
        if end == End::Backtick {
            self.at += 1;
        }
        if self.nesting >= NESTING {
            return Err(self.error(start, "substitutions are nested too deeply"));
        }
        let outer = (std::mem::replace(&mut self.end, end), std::mem::take(&mut self.open));
        self.nesting += 1;
        let script = self.script()?;
        self.nesting -= 1;
        if !self.eat(close) {
            return Err(self.error(start, format!("this substitution is not closed, '{close}' is missing")));
        }
        (self.end, self.open) = outer;
        Ok(Part::Output { script, quoted })
    }

    /// The text after `~`: blanks count, quotes are ordinary, escapes are left for the filter to read.
    pub(super) fn filter(&mut self) -> Result<Word> {
        let mut word = Word::new();
        let mut depth = 0u32;
        while let Some(c) = self.peek() {
            match c {
                c if separator(c) => break,
                '@' | '|' | '>' | '~' | '#' => break,
                '`' if self.end != End::Backtick => word.push(self.output(true)?),
                '`' => break,
                '$' if self.second() == Some('(') => word.push(self.output(true)?),
                ')' if self.end == End::Parenthesis && depth == 0 => break,
                c if blank(c) && ["2>", "H>"].iter().any(|o| self.rest().trim_start_matches(blank).starts_with(o)) => {
                    break;
                }
                '\\' => {
                    plain(&mut word, c);
                    self.bump();
                    if let Some(next) = self.peek().filter(|c| !matches!(c, '\n' | '\r')) {
                        plain(&mut word, next);
                        self.bump();
                    }
                }
                _ => {
                    match c {
                        '(' => depth += 1,
                        ')' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    plain(&mut word, c);
                    self.bump();
                }
            }
        }
        if let Some(Part::Text(text)) = word.last_mut() {
            let trimmed = text.trim_end_matches(blank);
            // An escaped blank at the end is meant.
            let keep = if trimmed.ends_with('\\') { (trimmed.len() + 1).min(text.len()) } else { trimmed.len() };
            text.truncate(keep);
        }
        Ok(word)
    }
}

pub(super) fn plain(word: &mut Word, c: char) {
    match word.last_mut() {
        Some(Part::Text(text)) => text.push(c),
        _ => word.push(Part::Text(c.to_string())),
    }
}

fn quoted(word: &mut Word, c: char) {
    match word.last_mut() {
        Some(Part::Quoted(text)) => text.push(c),
        _ => word.push(Part::Quoted(c.to_string())),
    }
}
