//! What a peer prints, as it comes: line by line, and nothing in it that could steer a terminal.

use std::borrow::Cow;
use std::io::{self, Write};

use crate::error::Result;
use crate::output::{Out, visible};

/// Bytes of an unfinished line that are waited with.
const LONGEST: usize = 64 * 1024;

/// Prints what arrives in pieces. The end of the last line is the printer's, whether or not one arrived.
#[derive(Default)]
pub struct Printer {
    /// What has arrived of the line.
    line: Vec<u8>,
    /// Whether a part of the line has been printed.
    open: bool,
    /// A first line that was empty: servers send it when there is nothing to say.
    silent: bool,
    anything: bool,
}

impl Printer {
    /// Whether anything has arrived.
    pub fn has_begun(&self) -> bool {
        self.anything
    }

    /// Prints the lines that `bytes` complete.
    pub fn push(&mut self, bytes: &[u8], out: &mut Out<'_>) -> Result<()> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if std::mem::take(&mut self.silent) {
                out.line("")?;
            }
            match piece.strip_suffix(b"\n") {
                Some(end) => {
                    self.line.extend_from_slice(end);
                    if self.line.is_empty() && !self.open && !self.anything {
                        self.silent = true;
                    } else {
                        self.end(out)?;
                    }
                }
                None => {
                    self.line.extend_from_slice(piece);
                    if self.line.len() > LONGEST {
                        self.part(out)?;
                    }
                }
            }
            self.anything = true;
        }
        Ok(())
    }

    /// Prints what is left.
    pub fn finish(mut self, out: &mut Out<'_>) -> Result<()> {
        if self.open || !self.line.is_empty() { self.end(out) } else { Ok(()) }
    }

    fn end(&mut self, out: &mut Out<'_>) -> Result<()> {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        out.line(shown(line))?;
        self.line.clear();
        self.open = false;
        Ok(())
    }

    /// Prints a part of a long line, up to the end of its last whole character.
    fn part(&mut self, out: &mut Out<'_>) -> Result<()> {
        let begins = |back: &usize| self.line.len() >= *back && self.line[self.line.len() - back] >= 0xc0;
        let cut = (1..=3).find(begins).unwrap_or(0);
        // A whole character may stand there: to wait with it costs nothing.
        let end = self.line.len() - cut;
        out.write_all(shown(&self.line[..end]).as_bytes())?;
        self.line.drain(..end);
        self.open = true;
        Ok(())
    }
}

/// Takes an answer that has to be short, and fails when it is not: a peer could go on for ever.
#[derive(Default)]
pub struct Short(pub Vec<u8>);

/// Bytes of a short answer.
const SHORT: usize = 64 * 1024;

impl Write for Short {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > SHORT {
            return Err(io::Error::other(format!("more than {SHORT} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line as it can be shown: without the colours that some peers send whoever asks, and with everything else that a
/// terminal would obey made visible.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = plain(&text);
    let cells: Vec<_> = text.split('\t').map(visible).collect();
    cells.join("\t")
}

/// `text` without the sequences that choose colours (ECMA-48, SGR).
fn plain(text: &str) -> Cow<'_, str> {
    const START: &str = "\x1b[";
    if !text.contains(START) {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split(START);
    let mut plain = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';' || c == ':');
        match rest.strip_prefix('m') {
            Some(rest) => plain.push_str(rest),
            None => plain.extend([START, part]),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(pieces: &[&[u8]]) -> String {
        let (mut text, mut errors) = (Vec::new(), Vec::new());
        let mut out = Out::new(&mut text, &mut errors, Default::default(), Default::default());
        let mut printer = Printer::default();
        pieces.iter().for_each(|piece| printer.push(piece, &mut out).unwrap());
        printer.finish(&mut out).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn lines_come_out_whole_however_they_arrive() {
        assert_eq!(printed(&[b"ab\ncd\n"]), "ab\ncd\n");
        assert_eq!(printed(&[b"a", b"b\nc", b"d"]), "ab\ncd\n");
        assert_eq!(printed(&[b"a\r\n", b"\nb\n"]), "a\n\nb\n");
        assert_eq!(printed(&[b"\n"]), "");
        assert_eq!(printed(&[]), "");
        assert_eq!(printed(&[b"\n", b"\na\n"]), "\n\na\n");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(printed(&[b"\x1b[2Jgone\tcell\x07", b"\nlast\xff"]), "\\x1b[2Jgone\tcell\\x07\nlast\u{fffd}\n");
    }

    #[test]
    fn colours_are_left_out() {
        assert_eq!(printed(&[b"\x1b[38;2;19;161;14m- off", b"set\x1b[0", b"m\n\x1b[mx\x1b[1"]), "- offset\nx\\x1b[1\n");
        assert_eq!(printed(&[b"\x1b[38;2;1\x1b[0m"]), "\\x1b[38;2;1\n");
        assert_eq!(printed(&[b"\x1b[3\x1b[1mm"]), "\\x1b[3m\n", "nothing is put together again");
    }

    #[test]
    fn long_lines_do_not_wait_for_their_end_and_characters_stay_whole() {
        let text = format!("a{}", "ä".repeat(100_000));
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(999).collect();
        assert_eq!(printed(&pieces), format!("{text}\n"));
    }
}
