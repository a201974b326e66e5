//! Parsing: text becomes a [`Script`]. Pure: no session, no command table; never panics, whatever the text.
//!
//! A mistake anywhere rejects the whole text, so that half a script never runs.

mod words;

use self::words::plain;
use super::tree::{Head, Iterator, Part, Redirect, Script, Statement, Stream, Suffix, Word};
use crate::error::{Error, Kind, Result};

/// How deep `$(…)` may nest in one text.
const NESTING: u32 = 24;

/// Commands whose argument is a statement.
const STATEMENT_RUNNERS: [&str; 6] = ["??", "?!", "?+", "?-", "?t", "%t"];

/// How many suffixes one command may have: each costs stack when it runs.
const SUFFIXES: usize = 32;

/// Parses a line or script.
pub fn parse(text: &str) -> Result<Script> {
    let mut parser = Parser { text, at: 0, end: End::Text, open: Vec::new(), nesting: 0 };
    parser.script()
}

/// What ends the script that is being parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Text,
    Parenthesis,
    Backtick,
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    end: End,
    /// Where the parentheses of the current words were opened.
    open: Vec<usize>,
    nesting: u32,
}

fn blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

fn separator(c: char) -> bool {
    matches!(c, ';' | '\n' | '\r')
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn second(&self) -> Option<char> {
        self.rest().chars().nth(1)
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, expected: &str) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(blank) {
            self.at += 1;
        }
    }

    fn error(&self, at: usize, what: impl std::fmt::Display) -> Error {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let place = if self.text.trim_end().contains('\n') {
            format!("line {line}, column {column}")
        } else {
            format!("column {column}")
        };
        Error::new(Kind::Syntax, format!("syntax error at {place}: {what}"))
    }

    /// Whether the statement is over here.
    fn over(&self) -> bool {
        match self.peek() {
            None | Some('#') => true,
            Some(c) if separator(c) => true,
            Some(_) => self.closed(),
        }
    }

    /// Whether the script ends here.
    fn closed(&self) -> bool {
        match self.end {
            End::Text => self.at >= self.text.len(),
            End::Parenthesis => self.open.is_empty() && self.peek() == Some(')'),
            End::Backtick => self.peek() == Some('`'),
        }
    }

    fn script(&mut self) -> Result<Script> {
        let mut script = Script::default();
        loop {
            while self.peek().is_some_and(|c| blank(c) || separator(c)) {
                self.at += 1;
            }
            match self.peek() {
                None => return Ok(script),
                Some('#') => self.comment(),
                Some(_) if self.closed() => return Ok(script),
                Some(_) => script.statements.push(self.statement()?),
            }
        }
    }

    fn comment(&mut self) {
        let length = self.rest().find(['\n', '\r']).unwrap_or(self.rest().len());
        self.at += length;
    }

    fn statement(&mut self) -> Result<Statement> {
        let start = self.at;
        let (count, seek) = self.count()?;
        self.blanks();
        let mut interpreted = 0;
        let head = if seek { Head::Seek(self.words()?) } else { self.head(&mut interpreted)? };
        let mut suffixes = self.suffixes(&head)?;
        self.blanks();
        if !self.over() {
            let what = match self.peek() {
                Some(')') => "')' without '('".to_string(),
                Some(c) => format!("unexpected '{c}' after the end of the command"),
                None => "unexpected end".to_string(),
            };
            return Err(self.error(self.at, what));
        }
        // A leading `.` runs what the filters leave, at the temporary place; redirects take what that prints.
        suffixes.sort_by_key(|suffix| match suffix {
            Suffix::Grep(_) if interpreted > 0 => 0,
            Suffix::Redirect(_) | Suffix::Pipe(_) => 3,
            _ => 2,
        });
        let filters = suffixes.iter().take_while(|s| interpreted > 0 && matches!(s, Suffix::Grep(_))).count();
        suffixes.splice(filters..filters, std::iter::repeat_n(Suffix::Interpret, interpreted));
        let source = self.text[start..self.at].trim_end().to_string();
        Ok(Statement { source, count, head, suffixes })
    }

    /// A repeat count, or the discovery that the statement is a number: go there.
    fn count(&mut self) -> Result<(u64, bool)> {
        let start = self.at;
        let rest = self.rest();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            return Ok((1, false));
        }
        let number = &rest[..digits];
        let next = rest[digits..].chars().next();
        let radix = number == "0" && next.is_some_and(|c| "xXbBoO".contains(c));
        let arithmetic = |c: char| "+-*/%^<".contains(c);
        if radix || next.is_some_and(arithmetic) {
            return Ok((1, true));
        }
        self.at += digits;
        self.blanks();
        let apart = self.at > start + digits;
        let operator = self.peek().is_some_and(|c| "@~|>".contains(c));
        let operand = apart && self.peek().is_some_and(arithmetic) && self.second().is_none_or(blank);
        if number == "0" || self.over() || operator || operand {
            self.at = start;
            return Ok((1, true));
        }
        match number.parse() {
            Ok(0) => Err(self.error(start, "a command cannot be repeated 0 times")),
            Ok(count) => Ok((count, false)),
            Err(_) => Err(self.error(start, format!("the repeat count {number} is too large"))),
        }
    }

    /// The command itself; `interpreted` counts leading dots that mean "run the output".
    fn head(&mut self, interpreted: &mut usize) -> Result<Head> {
        let start = self.at;
        match self.peek() {
            Some('"') => {
                let text = self.whole()?;
                whole(text, interpreted).map_err(|what| self.error(start, what))
            }
            Some('(') => self.definition(),
            Some('.') if self.second() == Some('(') => {
                self.at += 1;
                let inside = self.parenthesised()?;
                let mut words = vec![vec![Part::Text(".(".into())]];
                words.extend(self.inner_words(&inside)?);
                Ok(Head::Command(words))
            }
            Some('.') if self.second() == Some('!') => {
                self.at += 2;
                Ok(Head::Raw { name: ".!", text: self.foreign(true) })
            }
            Some('.') if self.interprets() => {
                self.at += 1;
                *interpreted += 1;
                if *interpreted > 8 {
                    return Err(self.error(start, "too many dots"));
                }
                self.head(interpreted)
            }
            Some('!') if !self.rest().starts_with("!=") && !self.asks_help("!") => {
                let name = if self.rest().starts_with("!!") { "!!" } else { "!" };
                self.at += name.len();
                Ok(Head::Raw { name, text: self.foreign(name == "!!") })
            }
            Some('=' | 'R') if self.second() == Some('<') && !self.asks_help("=<") => {
                self.at += 2;
                Ok(Head::Raw { name: "=<", text: self.foreign(false) })
            }
            Some('&') if self.starts_task() => {
                let name = if self.rest().starts_with("&t") { "&t" } else { "&" };
                self.at += name.len();
                self.blanks();
                let text = if self.peek() == Some('"') { self.whole()? } else { self.foreign(false) };
                Ok(Head::Raw { name, text })
            }
            Some('?' | '%') if let Some(name) = self.runs_statement() => {
                self.at += name.len();
                self.blanks();
                Ok(Head::Raw { name, text: self.kept_statement()? })
            }
            Some(c) if "@~|>".contains(c) => {
                let operator: String = self.rest().chars().take_while(|c| "@~|>".contains(*c)).collect();
                if self.rest()[operator.len()..].starts_with('?') {
                    self.at += operator.len();
                    while self.eat("?") {}
                    return Ok(Head::Help(operator));
                }
                Err(self.error(start, format!("no command before '{operator}'")))
            }
            _ => {
                let words = self.words()?;
                if words.is_empty() {
                    let what = match self.peek() {
                        Some(')') => "')' without '('",
                        _ => "a command is missing",
                    };
                    return Err(self.error(self.at, what));
                }
                Ok(Head::Command(words))
            }
        }
    }

    /// Whether the dot here is followed by a command whose output is to be run (and not by a blank, another
    /// form of `.`, or a question mark that asks for help).
    fn interprets(&self) -> bool {
        let after = &self.rest()[1..];
        let word: &str = after.split(|c: char| blank(c) || separator(c) || "~@|>#)`".contains(c)).next().unwrap_or("");
        !(word.is_empty() || word.starts_with(['.', '-', '*', '/']) || word.chars().all(|c| c == '?'))
    }

    /// The whole of a name that asks for help, as the only word.
    fn rest_of_name(&mut self) -> Vec<Word> {
        let start = self.at;
        self.bump();
        while self.eat("?") {}
        vec![vec![Part::Text(self.text[start..self.at].to_string())]]
    }

    /// Whether `name`, which stands here, is followed by question marks alone.
    fn asks_help(&self, name: &str) -> bool {
        let after = self.rest().get(name.len()..).unwrap_or("");
        let word: &str = after.split(|c: char| blank(c) || separator(c) || "~@|>#)`".contains(c)).next().unwrap_or("");
        !word.is_empty() && word.chars().all(|c| c == '?')
    }

    /// `& cmd` and `&t cmd`: the rest of the line is for the task, operators included.
    fn starts_task(&self) -> bool {
        let after = self.rest().strip_prefix("&t").or_else(|| self.rest().strip_prefix('&')).unwrap_or("");
        let text = after.trim_start_matches(blank);
        text.len() < after.len() && text.chars().next().is_some_and(|c| !separator(c) && !"~@|>#)`".contains(c))
    }

    /// The command here that decides whether or how a statement after it runs, if a statement follows.
    fn runs_statement(&self) -> Option<&'static str> {
        let name = STATEMENT_RUNNERS.into_iter().find(|name| self.rest().starts_with(name))?;
        let after = &self.rest()[name.len()..];
        let text = after.trim_start_matches(blank);
        let glued = text.len() == after.len();
        let word = after.split(|c: char| blank(c) || separator(c) || "~@|>#)`".contains(c)).next().unwrap_or("");
        let help = glued && !word.is_empty() && word.chars().all(|c| "?*".contains(c));
        let longer_name = glued && name.ends_with(char::is_alphabetic);
        let begins = text.chars().next().is_some_and(|c| !separator(c) && !"~@|>#)`".contains(c));
        (begins && !help && !longer_name).then_some(name)
    }

    /// A statement as it is written: it is parsed again when it runs, so that its substitutions run then and only
    /// then, and what they print is never taken for commands.
    fn kept_statement(&mut self) -> Result<String> {
        let start = self.at;
        if self.nesting >= NESTING {
            return Err(self.error(start, "commands that run commands are nested too deeply"));
        }
        self.nesting += 1;
        self.statement()?;
        self.nesting -= 1;
        Ok(self.text[start..self.at].trim_end().to_string())
    }

    /// The text between the double quotes that start here; only `\"` is an escape, so that commands see theirs.
    fn whole(&mut self) -> Result<String> {
        let start = self.at;
        self.bump();
        let mut text = String::new();
        loop {
            match self.bump() {
                Some('"') => return Ok(text),
                Some('\\') if self.peek() == Some('"') => {
                    self.bump();
                    text.push('"');
                }
                Some('\\') => {
                    text.push('\\');
                    if let Some(c) = self.peek().filter(|c| !matches!(c, '\n' | '\r')) {
                        self.bump();
                        text.push(c);
                    }
                }
                None | Some('\n' | '\r') => return Err(self.error(start, "this '\"' is not closed")),
                Some(c) => text.push(c),
            }
        }
    }

    /// `(…)` with balanced parentheses and quotes inside; returns what is between.
    fn parenthesised(&mut self) -> Result<String> {
        let start = self.at;
        let mut depth = 0u32;
        let mut quote = None;
        while let Some(c) = self.bump() {
            match (c, quote) {
                ('\\', _) => {
                    self.bump();
                }
                (c, Some(open)) if c == open => quote = None,
                (_, Some(_)) => {}
                ('"' | '\'', None) => quote = Some(c),
                ('(', None) => depth += 1,
                (')', None) => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(self.text[start + 1..self.at - 1].to_string());
                    }
                }
                _ => {}
            }
        }
        Err(self.error(start, "this '(' is not closed"))
    }

    /// Words inside text that was cut out, with positions that do not matter any more.
    fn inner_words(&self, text: &str) -> Result<Vec<Word>> {
        let mut inner = Parser { text, at: 0, end: End::Text, open: Vec::new(), nesting: self.nesting };
        let words = inner.words()?;
        match inner.peek() {
            None => Ok(words),
            Some(c) => Err(self.error(self.at, format!("unexpected '{c}' in the arguments of a macro"))),
        }
    }

    /// `(name a b; body)`, `(…)(args)`, `(*`, `(-name`.
    fn definition(&mut self) -> Result<Head> {
        if self.eat("(*") {
            self.eat(")");
            return Ok(Head::Raw { name: "(*", text: String::new() });
        }
        if self.eat("(-") {
            let name: String =
                self.rest().chars().take_while(|c| !separator(*c) && !blank(*c) && !"()~@|>#`".contains(*c)).collect();
            self.at += name.len();
            self.eat(")");
            return Ok(Head::Raw { name: "(-", text: name });
        }
        if self.asks_help("(") {
            return Ok(Head::Command(self.rest_of_name()));
        }
        let text = self.parenthesised()?;
        let call = if self.peek() == Some('(') {
            let inside = self.parenthesised()?;
            Some(self.inner_words(&inside)?)
        } else {
            None
        };
        Ok(Head::Macro { text, call })
    }

    /// Text for the system's shell: up to a `;` or line end outside of its quotes and parentheses. With `filtered`
    /// a `~` ends it too (not in `~/path`).
    fn foreign(&mut self, filtered: bool) -> String {
        self.blanks();
        let start = self.at;
        let mut depth = 0u32;
        let mut quote = None;
        while let Some(c) = self.peek() {
            let ends = match (c, quote) {
                ('\n' | '\r', _) => true,
                ('`', _) if self.end == End::Backtick => true,
                ('\\', open) if open != Some('\'') => {
                    self.bump();
                    if self.peek().is_none_or(|c| matches!(c, '\n' | '\r')) {
                        continue;
                    }
                    false
                }
                (c, Some(open)) if c == open => {
                    quote = None;
                    false
                }
                (_, Some(_)) => false,
                ('"' | '\'' | '`', None) => {
                    quote = Some(c);
                    false
                }
                ('(', None) => {
                    depth += 1;
                    false
                }
                (')', None) if depth > 0 => {
                    depth -= 1;
                    false
                }
                (')', None) => self.end == End::Parenthesis,
                (';', None) => depth == 0,
                ('~', None) => filtered && depth == 0 && self.second() != Some('/'),
                _ => false,
            };
            if ends {
                break;
            }
            self.bump();
        }
        self.text[start..self.at].trim_end().to_string()
    }

    fn suffixes(&mut self, head: &Head) -> Result<Vec<Suffix>> {
        let mut suffixes = Vec::new();
        loop {
            self.blanks();
            if self.over() || matches!(head, Head::Help(_)) && self.peek() == Some('?') {
                return Ok(suffixes);
            }
            let start = self.at;
            let Some(operator) = self.operator() else { return Ok(suffixes) };
            if suffixes.len() == SUFFIXES {
                return Err(self.error(start, format!("more than {SUFFIXES} operators on one command")));
            }
            self.at += operator.len();
            suffixes.push(match operator {
                "@" => self.at_suffix(start)?,
                "~" => Suffix::Grep(self.filter()?),
                "|" => self.pipe(),
                _ => {
                    let append = self.eat(">");
                    let what = match operator {
                        "H>" => Stream::Html,
                        "2>" => Stream::Errors,
                        _ => Stream::Output,
                    };
                    self.blanks();
                    let mut target = Word::new();
                    if self.rest().starts_with("~/") {
                        self.at += 1;
                        plain(&mut target, '~');
                    }
                    if !self.over() {
                        target.extend(self.word()?);
                    }
                    if let Some(at) = self.open.pop() {
                        return Err(self.error(at, "this '(' is not closed"));
                    }
                    if target.is_empty() {
                        return Err(self.error(start, format!("no file after '{operator}'")));
                    }
                    Suffix::Redirect(Redirect { what, append, target })
                }
            });
        }
    }

    fn at_suffix(&mut self, start: usize) -> Result<Suffix> {
        let mut signs = 1;
        while signs < 3 && self.eat("@") {
            signs += 1;
        }
        let spaced = self.peek().is_some_and(blank);
        let words = self.words()?;
        if words.is_empty() {
            return Err(self.error(start, format!("nothing after '{}'", "@".repeat(signs))));
        }
        Ok(match signs {
            1 => Suffix::At(words),
            _ => Suffix::Each(Iterator { sized: signs == 3, spaced, words }),
        })
    }

    fn pipe(&mut self) -> Suffix {
        self.blanks();
        if self.over() {
            return Suffix::Plain;
        }
        match self.foreign(false).as_str() {
            "H" => Suffix::Html,
            "." => Suffix::Interpret,
            "" => Suffix::Plain,
            program => Suffix::Pipe(program.to_string()),
        }
    }
}

/// A command that was quoted whole: nothing in it is an operator, but macros, `!` and `.` keep their forms.
fn whole(text: String, interpreted: &mut usize) -> std::result::Result<Head, String> {
    let trimmed = text.trim_start();
    if trimmed.starts_with('(') || trimmed.starts_with(".(") {
        let mut parser = Parser { text: trimmed, at: 0, end: End::Text, open: Vec::new(), nesting: 0 };
        let head = parser.head(interpreted).map_err(|error| error.message().to_string())?;
        return match parser.rest().trim() {
            "" => Ok(head),
            rest => Err(format!("unexpected '{rest}' after a macro")),
        };
    }
    for (prefix, name) in [(".!", ".!"), ("!!", "!!"), ("!", "!"), ("&t ", "&t"), ("& ", "&")] {
        if let Some(rest) = trimmed.strip_prefix(prefix)
            && !trimmed.starts_with("!=")
        {
            return Ok(Head::Raw { name, text: rest.trim().to_string() });
        }
    }
    let mut rest = trimmed;
    while let Some(after) = rest.strip_prefix('.')
        && after.starts_with(|c: char| c.is_alphabetic() || c == '/' || c == '?')
        && *interpreted < 8
    {
        *interpreted += 1;
        rest = after;
    }
    if rest.is_empty() {
        return Err("the quotes are empty".into());
    }
    Ok(Head::Whole(rest.to_string()))
}

#[cfg(test)]
mod tests;
