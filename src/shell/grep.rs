//! The internal filter `~`: which lines and columns of an answer are shown, counted, sorted, or read as JSON.

use std::borrow::Cow;

use crate::error::{Error, Kind, Result};
use crate::output::Out;
use crate::shell::json;

/// A parsed filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grep {
    words: Vec<String>,
    all: bool,
    negate: bool,
    ignore_case: bool,
    at_start: bool,
    at_end: bool,
    count: Option<Count>,
    sort: Option<Sort>,
    columns: Option<Vec<(usize, Option<usize>)>>,
    lines: Option<Lines>,
    json: Option<json::View>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    Lines,
    Characters,
    /// `?+`, which counts nothing in the dialect.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sort {
    reverse: bool,
    column: Option<usize>,
}

/// Line numbers; negative ones count from the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    One(i64),
    Range(Option<i64>, Option<i64>),
}

/// A character and whether a backslash stood before it, so that it means itself.
type Sign = (char, bool);

impl Grep {
    /// Parses what follows the tilde.
    pub fn parse(text: &str) -> Result<Grep> {
        let mut signs = signs(text);
        let mut grep = Grep::default();
        if signs.first() == Some(&('{', false)) {
            // A pager (`~{}..`) needs a terminal that nobody may be sitting at; the text is shown plainly.
            while signs.len() > 2 && signs.last() == Some(&('.', false)) {
                signs.pop();
            }
            let text: String = signs.iter().map(|(c, _)| *c).collect();
            grep.json = Some(json::View::parse(&text)?);
            return Ok(grep);
        }
        grep.take_tail(&mut signs)?;
        let mut rest = signs.as_slice();
        loop {
            rest = match rest {
                [('&', false), tail @ ..] => {
                    grep.all = true;
                    tail
                }
                [('!', false), tail @ ..] => {
                    grep.negate = true;
                    tail
                }
                [('+', false), tail @ ..] => {
                    grep.ignore_case = true;
                    tail
                }
                [('^', false), tail @ ..] => {
                    grep.at_start = true;
                    tail
                }
                [('?', false), ('.', false), tail @ ..] => {
                    grep.count = Some(Count::Characters);
                    tail
                }
                [('?', false), ('+', false)] => {
                    grep.count = Some(Count::Nothing);
                    &[]
                }
                [('?', false), tail @ ..] => {
                    grep.count = Some(Count::Lines);
                    tail
                }
                // Zooming and paging are for a terminal; the lines are shown as they are.
                [('<', false), tail @ ..] => tail,
                [('$', false), tail @ ..] => {
                    grep.sort = Some(sort(tail)?);
                    &[]
                }
                _ => break,
            };
        }
        if let [head @ .., ('$', false)] = rest {
            grep.at_end = true;
            rest = head;
        }
        if !rest.is_empty() {
            let words = rest.split(|sign| *sign == (',', false));
            grep.words = words.map(|word| word.iter().map(|(c, _)| *c).collect()).collect();
            if grep.words.len() > 1 {
                // `~one,` must not match everything.
                grep.words.retain(|word| !word.is_empty());
            }
        }
        if grep.ignore_case {
            grep.words.iter_mut().for_each(|word| *word = word.to_lowercase());
        }
        Ok(grep)
    }

    /// Takes columns, line numbers, a counting `?` and a pager's dots off the end.
    fn take_tail(&mut self, signs: &mut Vec<Sign>) -> Result<()> {
        loop {
            if self.lines.is_none()
                && let Some((at, lines)) = lines(signs)
            {
                self.lines = Some(lines);
                signs.truncate(at);
                continue;
            }
            match signs.as_slice() {
                [head @ .., (']', false)] if self.columns.is_none() => {
                    let Some(open) = head.iter().rposition(|sign| *sign == ('[', false)) else { return Ok(()) };
                    let inside: String = head[open + 1..].iter().map(|(c, _)| *c).collect();
                    if !inside.chars().all(|c| c.is_ascii_digit() || c == ',' || c == '-') || inside.is_empty() {
                        return Ok(());
                    }
                    self.columns = Some(columns(&inside)?);
                    signs.truncate(open);
                }
                [head @ .., ('?', false)] if !head.is_empty() => {
                    self.count = Some(Count::Lines);
                    signs.pop();
                }
                [.., ('.', false), ('.', false)] => {
                    while signs.last() == Some(&('.', false)) {
                        signs.pop();
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    /// Filters `text` and writes what is left to `out`.
    pub fn apply(&self, text: &[u8], out: &mut Out<'_>) -> Result<()> {
        let text = String::from_utf8_lossy(text);
        if let Some(view) = &self.json {
            return view.show(&strip_colors(&text), out);
        }
        let mut lines: Vec<(&str, Cow<'_, str>)> = Vec::new();
        for line in text.lines() {
            out.cancel().check()?;
            let bare = strip_colors(line);
            if self.accepts(&bare) {
                lines.push((line, bare));
            }
        }
        if let Some(sort) = self.sort {
            match sort.column {
                Some(column) => {
                    lines.sort_by(|a, b| nth(&a.1, column).cmp(nth(&b.1, column)).then_with(|| a.1.cmp(&b.1)));
                }
                None => lines.sort_by(|a, b| a.1.cmp(&b.1)),
            }
            if sort.reverse {
                lines.reverse();
            }
        }
        let lines = match self.lines {
            Some(wanted) => wanted.select(&lines),
            None => &lines[..],
        };
        match self.count {
            Some(Count::Lines) => return out.line(lines.len()),
            Some(Count::Characters) => {
                let characters: usize = lines.iter().map(|(_, bare)| bare.chars().count() + 1).sum();
                return out.line(characters);
            }
            Some(Count::Nothing) => return out.line(0),
            None => {}
        }
        for (line, bare) in lines {
            match &self.columns {
                None => out.line(line)?,
                Some(columns) => {
                    let chosen = choose(bare, columns);
                    if !chosen.is_empty() {
                        out.line(chosen)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn accepts(&self, line: &str) -> bool {
        if self.words.is_empty() {
            return !self.negate;
        }
        let line = if self.ignore_case { line.to_lowercase().into() } else { Cow::Borrowed(line) };
        let matches = |word: &String| match (self.at_start, self.at_end) {
            (true, true) => *line == **word,
            (true, false) => line.starts_with(word.as_str()),
            (false, true) => line.ends_with(word.as_str()),
            (false, false) => line.contains(word.as_str()),
        };
        let found = if self.all { self.words.iter().all(matches) } else { self.words.iter().any(matches) };
        found != self.negate
    }
}

impl Lines {
    fn select<'l, T>(&self, lines: &'l [T]) -> &'l [T] {
        let count = lines.len() as i64;
        let place = |line: i64| if line < 0 { line.saturating_add(count) } else { line };
        let (from, to) = match *self {
            Lines::One(line) => {
                let line = place(line);
                (line, line.saturating_add(1))
            }
            Lines::Range(from, to) => (place(from.unwrap_or(0)), to.map_or(count, place)),
        };
        if matches!(self, Lines::One(_)) && from < 0 {
            return &[];
        }
        let (from, to) = (from.clamp(0, count) as usize, to.clamp(0, count) as usize);
        lines.get(from..to).unwrap_or(&[])
    }
}

fn signs(text: &str) -> Vec<Sign> {
    let mut signs = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(next) => signs.push((next, true)),
                None => signs.push(('\\', true)),
            },
            c => signs.push((c, false)),
        }
    }
    signs
}

fn sort(text: &[Sign]) -> Result<Sort> {
    let text: String = text.iter().map(|(c, _)| *c).collect();
    let reverse = text.contains('!');
    let digits = text.replace('!', "");
    let column = match digits.trim() {
        "" => None,
        digits => Some(digits.parse().map_err(|_| {
            Error::new(Kind::Usage, format!("cannot sort by '{digits}'"))
                .hint("~$ sorts, ~$1 by column 1, ~$! reversed")
        })?),
    };
    Ok(Sort { reverse, column })
}

/// `:3`, `:-1`, `:0..2`, `:1..` at the end of a filter: where it starts and what it says.
fn lines(signs: &[Sign]) -> Option<(usize, Lines)> {
    let colon = signs.iter().rposition(|sign| *sign == (':', false))?;
    let text: String = signs[colon + 1..].iter().map(|(c, _)| *c).collect();
    let lines = match text.split_once("..") {
        None => Lines::One(text.parse().ok()?),
        Some(("", "")) => return None,
        Some((from, to)) => {
            let bound = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
            Lines::Range(bound(from)?, bound(to)?)
        }
    };
    Some((colon, lines))
}

fn columns(text: &str) -> Result<Vec<(usize, Option<usize>)>> {
    let bad =
        || Error::new(Kind::Usage, format!("bad columns '[{text}]'")).hint("numbers from 0: [0], [0,2], [1-3], [2-]");
    let number = |text: &str| text.parse::<usize>().map_err(|_| bad());
    text.split(',')
        .map(|piece| match piece.split_once('-') {
            None => number(piece).map(|column| (column, Some(column))),
            Some((from, "")) => Ok((number(from)?, None)),
            Some((from, to)) => Ok((number(from)?, Some(number(to)?))),
        })
        .collect()
}

fn nth(line: &str, column: usize) -> &str {
    line.split_whitespace().nth(column).unwrap_or("")
}

/// The chosen columns in the order in which they stand in the line.
fn choose(line: &str, columns: &[(usize, Option<usize>)]) -> String {
    let chosen = |index: usize| columns.iter().any(|(from, to)| index >= *from && to.is_none_or(|to| index <= to));
    let fields: Vec<&str> =
        line.split_whitespace().enumerate().filter(|(index, _)| chosen(*index)).map(|(_, field)| field).collect();
    fields.join(" ")
}

/// `text` without ANSI colour sequences.
pub fn strip_colors(text: &str) -> Cow<'_, str> {
    if !text.contains('\x1b') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("\x1b[") {
        plain.push_str(&rest[..start]);
        let sequence = &rest[start + 2..];
        match sequence.find(|c: char| ('@'..='~').contains(&c)) {
            Some(end) => rest = &sequence[end + 1..],
            None => rest = "",
        }
    }
    plain.push_str(rest);
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Cancel, Style};
    use proptest::prelude::*;

    const FIXTURE: &str = "one two three\nfour five six\nSeven eight NINE\none b a\n";

    fn filter(expression: &str, text: &str) -> String {
        let (mut sink, mut errors) = (Vec::new(), Vec::new());
        let mut out = Out::new(&mut sink, &mut errors, Style::default(), Cancel::new());
        Grep::parse(expression).unwrap().apply(text.as_bytes(), &mut out).unwrap();
        String::from_utf8(sink).unwrap()
    }

    #[track_caller]
    fn check(expression: &str, lines: &[&str]) {
        let expected: String = lines.iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(filter(expression, FIXTURE), expected, "~{expression}");
    }

    const L: [&str; 4] = ["one two three", "four five six", "Seven eight NINE", "one b a"];

    #[test]
    fn words() {
        check("", &L);
        check("one", &[L[0], L[3]]);
        check("two three", &[L[0]]);
        check(" one", &[]);
        check("\"two three\"", &[]);
        check("!one", &[L[1], L[2]]);
        check("+seven", &[L[2]]);
        check("^o", &[L[0], L[3]]);
        check("six$", &[L[1]]);
        check("one,six", &[L[0], L[1], L[3]]);
        check("&one,two", &[L[0]]);
        check("two&one", &[]);
        check("!+SEVEN", &[L[0], L[1], L[3]]);
    }

    #[test]
    fn lines_by_number() {
        check(":0", &[L[0]]);
        check(":1", &[L[1]]);
        check(":-1", &[L[3]]);
        check(":-2", &[L[2]]);
        check(":-5", &[]);
        check(":9", &[]);
        check(":0..2", &[L[0], L[1]]);
        check(":1..", &[L[1], L[2], L[3]]);
        check(":-2..", &[L[2], L[3]]);
        check(":3..1", &[]);
    }

    #[test]
    fn columns_of_lines() {
        check("[0]", &["one", "four", "Seven", "one"]);
        check("[1]", &["two", "five", "eight", "b"]);
        check("[0,2]", &["one three", "four six", "Seven NINE", "one a"]);
        check("[0-1]", &["one two", "four five", "Seven eight", "one b"]);
        check("[1-]", &["two three", "five six", "eight NINE", "b a"]);
        check("[2,0]", &["one three", "four six", "Seven NINE", "one a"]);
        check("[7]", &[]);
        check("one[1]", &["two", "b"]);
        check("one:1", &[L[3]]);
        check("one:1[1]", &["b"]);
        check("one[1]:1", &["b"]);
    }

    #[test]
    fn counts() {
        check("?", &["4"]);
        check("?one", &["2"]);
        check("one?", &["2"]);
        check("?.", &["53"]);
        check("?+", &["0"]);
        check("nothing?", &["0"]);
    }

    #[test]
    fn sorting() {
        check("$", &[L[2], L[1], L[3], L[0]]);
        check("$!", &[L[0], L[3], L[1], L[2]]);
        check("$1", &[L[3], L[2], L[1], L[0]]);
    }

    #[test]
    fn pagers_show_plainly() {
        check("..", &L);
        check("...", &L);
        check("<", &L);
        check("one..", &[L[0], L[3]]);
    }

    #[test]
    fn json_views() {
        let text = r#"[{"fd":3,"uri":"malloc://512","a":[]}]"#;
        assert_eq!(filter("{[0].fd}", text), "3\n");
        assert_eq!(filter("{[0].uri}", text), "malloc://512\n");
        assert_eq!(filter("{[0].a}", text), "[]\n");
        assert_eq!(filter("{[1].fd}", text), "\n");
        assert_eq!(filter("{nosuch.fd}", text), "\n");
        assert_eq!(filter("{[0]}", text), "{\"fd\":3,\"uri\":\"malloc://512\",\"a\":[]}\n");
        let pretty = "[\n  {\n    \"fd\": 3,\n    \"uri\": \"malloc://512\",\n    \"a\": []\n  }\n]\n";
        assert_eq!(filter("{}", text), pretty);
        assert_eq!(filter("{}..", text), pretty);
        assert_eq!(filter("{:", "[0,0,0,0]"), "0\n0\n0\n0\n");
        assert_eq!(filter("{:..", "[0]"), "0\n");
    }

    #[test]
    fn colours_do_not_matter_to_matching() {
        assert_eq!(filter("^one", "\x1b[32mo\x1b[0mne\ntwo\n"), "\x1b[32mo\x1b[0mne\n");
        assert_eq!(filter("[1]", "\x1b[32ma b\x1b[0m\n"), "b\n");
    }

    #[test]
    fn escapes_are_literal() {
        assert_eq!(filter(r"\;", "a\n;b\n"), ";b\n");
        assert_eq!(filter(r"\?", "a\nb?\n"), "b?\n");
        assert_eq!(filter(r"b\?", "b\nb?\n"), "b?\n");
        assert_eq!(filter(r"a\,b", "a\na,b\n"), "a,b\n");
    }

    proptest! {
        #[test]
        fn never_panics(expression in "[a-z0-9{}\\[\\]:.,?!+^$&<-]{0,16}", text in "\\PC{0,40}") {
            if let Ok(grep) = Grep::parse(&expression) {
                let (mut sink, mut errors) = (Vec::new(), Vec::new());
                let mut out = Out::new(&mut sink, &mut errors, Style::default(), Cancel::new());
                let _ = grep.apply(text.as_bytes(), &mut out);
            }
        }
    }
}
