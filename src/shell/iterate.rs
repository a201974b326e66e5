//! `@@`: a command once for each of many addresses.

use super::tree::Iterator as Each;
use super::{evaluate, expand, help};
use crate::commands::local;
use crate::commands::script::capture::Capture;
use crate::commands::search;
use crate::error::{Error, Kind, Result};
use crate::number;
use crate::output::{Executor, Out, Style};
use crate::session::scope::Scope;
use crate::session::{Permissions, Session};

/// The longest list of addresses in a file, in bytes.
const FILE_LIMIT: u64 = 64 << 20;

/// Where the command runs: an address, and a block size when there is one.
type Place = (u64, Option<u64>);

/// Runs `work` at each place of `iterator`, then goes back. An error of one turn is reported and the next one runs.
pub fn each(
    session: &mut Session,
    iterator: &Each,
    out: &mut Out<'_>,
    mut work: impl FnMut(&mut Session, &mut Out<'_>) -> Result<()>,
) -> Result<()> {
    let words = expand::words(session, &iterator.words, out)?;
    let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    if text.starts_with("c:") {
        expand::refuse_loaded(&words)?;
    }
    if text == "?" || text == "??" {
        return help::operator(if iterator.sized { "@@@" } else { "@@" }, out);
    }
    if text.starts_with('/') && !iterator.sized {
        // Turn by turn while the search goes on, so that each hit stands before what is printed for it.
        return evaluate::nested(session, |session| {
            search::each(session, &text, out, &mut |session, out| {
                work(session, out).or_else(|error| evaluate::report(session, error, out))
            })
        });
    }
    let places = places(session, iterator, &text, out)?;
    let (seek, block_size) = (session.view.seek, session.view.block_size);
    let (history, temporary) = (session.view.history.clone(), session.view.temporary);
    session.view.temporary = true;
    let result = evaluate::nested(session, |session| {
        for (address, size) in places {
            out.cancel().check()?;
            session.view.seek = address;
            session.view.block_size = size.unwrap_or(block_size);
            work(session, out).or_else(|error| evaluate::report(session, error, out))?;
            if session.view.quit.is_some() || std::mem::take(&mut session.shell.leave) {
                break;
            }
        }
        Ok(())
    });
    session.view.seek = seek;
    session.view.block_size = block_size;
    session.view.history = history;
    session.view.temporary = temporary;
    result
}

type Places = Box<dyn Iterator<Item = Place>>;

fn places(session: &mut Session, iterator: &Each, text: &str, out: &mut Out<'_>) -> Result<Places> {
    if iterator.sized {
        return sized(session, text, out);
    }
    if iterator.spaced && !text.starts_with('=') {
        return old_dialect(session, text);
    }
    if let Some(list) = text.strip_prefix('=') {
        return addresses(session, list);
    }
    if let Some(step) = text.strip_prefix("s:") {
        return steps(session, step);
    }
    if let Some(command) = text.strip_prefix("c:") {
        let printed = printed(session, command, out)?;
        return addresses(session, &printed);
    }
    if let Some(file) = text.strip_prefix('.') {
        return file_lines(session, file.trim());
    }
    let (name, glob) = text.split_once(':').map_or((text, None), |(name, glob)| (name, Some(glob.trim())));
    let matches = |text: &str| glob.is_none_or(|glob| matches(glob, text));
    let mut core = session.core();
    core.complete_flags();
    let found: Vec<u64> = match name {
        "f" => core.flags.visible().filter(|flag| matches(&flag.name)).map(|flag| flag.address).collect(),
        "C" => core.comments.iter().filter(|(_, text)| matches(text)).map(|(address, _)| *address).collect(),
        "om" => core.io.space.maps().iter().map(|map| map.from).collect(),
        "F" => core.analysis.iter().filter(|found| matches(&found.name)).map(|found| found.address).collect(),
        "b" => match core.analysis.containing(session.view.seek) {
            Some(function) => function.blocks.iter().map(|block| block.address).collect(),
            None => return Err(unsupported("@@b", "an analysed function")),
        },
        "i" => return Err(unsupported("@@i", "a disassembler")),
        "is" | "ii" | "iS" | "iSS" => {
            let (fd, object) = core.current_object().ok_or_else(crate::session::binaries::none)?;
            let found: Vec<(String, u64)> = match name {
                "iS" => object.sections.iter().map(|part| (part.name.clone(), part.vaddr)).collect(),
                "iSS" => object.segments.iter().map(|part| (part.name.clone(), part.vaddr)).collect(),
                _ => {
                    let symbols = core.symbols(fd)?;
                    let wanted = symbols.iter().filter(|symbol| symbol.imported || name == "is");
                    wanted.map(|symbol| (symbol.name.to_string(), symbol.vaddr)).collect()
                }
            };
            found.into_iter().filter(|(name, place)| *place != 0 && matches(name)).map(|(_, place)| place).collect()
        }
        "iz" => return Err(unsupported("@@iz", "the strings of a file")),
        "r" | "t" | "dm" | "dbt" | "dbta" | "dbtb" | "dbts" => {
            return Err(unsupported(&format!("@@{name}"), "a debugged process"));
        }
        "k" => return Err(unsupported("@@k", "a database")),
        glob if glob.contains(['*', '?']) => return Ok(flags(&core.flags, glob)),
        _ => {
            return Err(Error::new(Kind::Usage, format!("'@@{}' is no iterator", crate::output::visible(name)))
                .hint("'@@?' lists them"));
        }
    };
    Ok(Box::new(found.into_iter().map(|address| (address, None))))
}

/// `@@@…`: addresses with sizes.
fn sized(session: &mut Session, text: &str, out: &mut Out<'_>) -> Result<Places> {
    let list = match (text.strip_prefix('='), text.strip_prefix("c:")) {
        (Some(list), _) => list.to_string(),
        (_, Some(command)) => printed(session, command, out)?,
        _ if text == "f" || text.starts_with("f:") => {
            let glob = text.strip_prefix("f:").unwrap_or("*");
            let mut core = session.core();
            core.complete_flags();
            let visible = core.flags.visible().filter(|flag| matches(glob, &flag.name));
            let places: Vec<Place> = visible.map(|flag| (flag.address, Some(flag.size.max(1)))).collect();
            return Ok(Box::new(places.into_iter()));
        }
        _ if text == "om" => {
            let places: Vec<Place> = session.core().io.space.maps().iter().map(|m| (m.from, Some(m.size))).collect();
            return Ok(Box::new(places.into_iter()));
        }
        _ => {
            return Err(Error::new(
                Kind::Unsupported,
                format!("'@@@{}' is no iterator here", crate::output::visible(text)),
            )
            .hint("'@@?' lists them"));
        }
    };
    let numbers: Vec<u64> =
        list.split_whitespace().map(|word| evaluate(session, word)).collect::<Result<Vec<u64>>>()?;
    if !numbers.len().is_multiple_of(2) {
        return Err(Error::new(Kind::Usage, "'@@@' takes pairs of an address and a size, and one size is missing"));
    }
    let pairs: Vec<Place> =
        numbers.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, Some((*pair.get(1)?).max(1))))).collect();
    Ok(Box::new(pairs.into_iter()))
}

/// `@@ glob` and `@@ 0 4`.
fn old_dialect(session: &mut Session, text: &str) -> Result<Places> {
    if text.contains(['*', '?']) && !text.contains(' ') && evaluate(session, text).is_err() {
        return Ok(flags(&session.core().flags, text));
    }
    addresses(session, text)
}

fn flags(flags: &crate::session::Flags, glob: &str) -> Places {
    let found: Vec<u64> = flags.visible().filter(|flag| matches(glob, &flag.name)).map(|flag| flag.address).collect();
    Box::new(found.into_iter().map(|address| (address, None)))
}

fn addresses(session: &mut Session, list: &str) -> Result<Places> {
    let found = list.split_whitespace().map(|word| evaluate(session, word)).collect::<Result<Vec<u64>>>()?;
    Ok(Box::new(found.into_iter().map(|address| (address, None))))
}

/// `from to step`, without `to`.
fn steps(session: &mut Session, text: &str) -> Result<Places> {
    let usage = || Error::new(Kind::Usage, format!("bad range '@@s:{text}'")).hint("@@s:from to step");
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).collect();
    let [from, to, step] = words.as_slice() else { return Err(usage()) };
    let (from, to, step) = (evaluate(session, from)?, evaluate(session, to)?, evaluate(session, step)?);
    if step == 0 {
        return Err(usage().context("the step is 0"));
    }
    let first = Some(from).filter(|from| *from < to);
    let next = move |here: &u64| here.checked_add(step).filter(|next| *next < to);
    Ok(Box::new(std::iter::successors(first, next).map(|address| (address, None))))
}

/// One address per line.
fn file_lines(session: &mut Session, file: &str) -> Result<Places> {
    local::require(&session.view, Permissions::FILES, "@@.")?;
    let bytes = local::read_up_to(&session.view, file, FILE_LIMIT)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim()).filter(|line| !line.is_empty());
    let found = lines.map(|line| evaluate(session, line)).collect::<Result<Vec<u64>>>()?;
    Ok(Box::new(found.into_iter().map(|address| (address, None))))
}

fn printed(session: &mut Session, command: &str, out: &mut Out<'_>) -> Result<String> {
    let mut captured = Capture::default();
    session.execute(command, &mut out.redirect(&mut captured, Style::default()))?;
    Ok(captured.text().into_owned())
}

fn evaluate(session: &mut Session, text: &str) -> Result<u64> {
    session.with(|core, view| number::evaluate(text, &mut Scope { core, view }))
}

fn unsupported(what: &str, needs: &str) -> Error {
    Error::new(Kind::Unsupported, format!("'{what}' needs {needs}, and there is none"))
}

/// Whether `text` matches a pattern with `*` (any text) and `?` (any character).
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(c) if *c == '?' || *c == text[from] => {
                at += 1;
                from += 1;
            }
            _ => {
                // The last star takes one more character.
                let Some((place, taken)) = star else { return false };
                at = place + 1;
                from = taken + 1;
                star = Some((place, taken + 1));
            }
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text) in [("foo*", "foo.one"), ("*", ""), ("f?o", "foo"), ("*a*b", "xaab"), ("a", "a")] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("foo", "foo1"), ("f?o", "fo"), ("*a*b", "xaabc"), ("", "a")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
