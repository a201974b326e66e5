//! `dbg://program args`, `dbg://PID` and `attach://PID`: processes under control. The bytes are the memory of the
//! current process; what else can be done with it is the device's target.

use super::{Plugin, Touches};
use crate::debug::{Launch, Target};
use crate::error::{Error, Kind, Result};
use crate::io::{Access, Device, Info, Latency, Open};
use crate::uri::Uri;

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    name: "debug",
    schemes: &["dbg", "attach"],
    summary: "a program started, or a process attached to, under control",
    example: "dbg:///bin/ls -l /",
    writes: true,
    touches: Touches::Processes,
    open,
};

/// Splits a line into words: blanks part them, `'...'` is taken as it is, in `"..."` and outside a backslash takes
/// the next character as it is.
pub fn words(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (_, Some(open)) if letter == open => quote = None,
            ('\\', None | Some('"')) => {
                let next = letters.next().ok_or_else(|| Error::new(Kind::Usage, "a backslash at the end"))?;
                word.get_or_insert_default().push(next);
            }
            (' ' | '\t' | '\n', None) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err(Error::new(Kind::Usage, "a quote in the program's arguments is not closed"));
    }
    words.extend(word);
    Ok(words)
}

/// Words as a line from which [`words`] makes the same ones.
pub fn line(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    let quoted = words.iter().map(|word| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// What a URI of this plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A process that is there.
    Process(u32),
    /// A program to be started.
    Program(Box<Launch>),
}

/// Reads the URI.
pub fn wanted(uri: &Uri) -> Result<Wanted> {
    let rest = uri.rest().trim();
    if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
        let pid = rest.parse().map_err(|_| Error::new(Kind::NotFound, format!("no process {rest}")))?;
        return Ok(Wanted::Process(pid));
    }
    if uri.scheme() == Some("attach") {
        return Err(Error::new(Kind::Usage, "a process is attached to by its number").hint("proc:// lists them"));
    }
    let mut words = words(rest)?.into_iter();
    let program = words
        .next()
        .ok_or_else(|| Error::new(Kind::Usage, "the program is missing").hint("dbg:///bin/ls -l, or dbg://PID"))?;
    Ok(Wanted::Program(Box::new(Launch::new(program, words.collect()))))
}

fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    match wanted(uri)? {
        Wanted::Program(launch) => device(&Wanted::Program(Box::new(open.start.launch(*launch)?))),
        process => device(&process),
    }
}

/// A target without a process, for whoever starts one in it.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub fn empty() -> Result<Box<dyn Device>> {
    Ok(Box::new(Debugged::new(Box::new(crate::debug::ptrace::Ptrace::new()?))))
}

/// A target without a process, for whoever starts one in it.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub fn empty() -> Result<Box<dyn Device>> {
    device(&Wanted::Process(0))
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn device(wanted: &Wanted) -> Result<Box<dyn Device>> {
    use crate::debug::ptrace::Ptrace;
    let target = match wanted {
        Wanted::Process(pid) => Ptrace::of(*pid)?,
        Wanted::Program(launch) => Ptrace::start(launch)?,
    };
    Ok(Box::new(Debugged::new(Box::new(target))))
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn device(_wanted: &Wanted) -> Result<Box<dyn Device>> {
    Err(Error::new(Kind::Unsupported, "processes of this system cannot be debugged yet")
        .hint("those of another machine can: rap://host/dbg://..., gdb://host:port"))
}

/// A target as a device.
pub struct Debugged {
    target: Box<dyn Target>,
}

impl Debugged {
    /// Its memory is that of the current process.
    pub fn new(target: Box<dyn Target>) -> Debugged {
        Debugged { target }
    }

    fn process(&self) -> Result<u32> {
        let current = self.target.current();
        current
            .map(|thread| thread.process)
            .ok_or_else(|| Error::new(Kind::NotFound, "the process has ended").hint("doo starts the program again"))
    }
}

impl Device for Debugged {
    fn info(&self) -> Info {
        Info { size: None, access: Access::RWX, latency: Latency::Local }
    }

    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let process = self.process()?;
        self.target.read_memory(process, address, buffer)
    }

    fn write_at(&mut self, address: u64, data: &[u8]) -> Result<usize> {
        let process = self.process()?;
        self.target.write_memory(process, address, data)
    }

    fn next_data(&mut self, address: u64) -> Option<u64> {
        let process = self.process().ok()?;
        let maps = self.target.maps(process).ok()?;
        let readable = maps.into_iter().filter(|map| map.protection.read || map.protection.write);
        readable.map(|map| map.start).find(|start| *start > address)
    }

    fn target(&mut self) -> Option<&mut dyn Target> {
        Some(&mut *self.target)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_become_words() {
        assert_eq!(words(" a  'b c' d\\ e \"f'\\\"g\" '' ").unwrap(), ["a", "b c", "d e", "f'\"g", ""]);
        assert_eq!(words("'a").unwrap_err().kind(), Kind::Usage);
        assert_eq!(words("a\\").unwrap_err().kind(), Kind::Usage);
    }

    #[test]
    fn numbers_are_processes() {
        let of = |text: &str| wanted(&Uri::parse(text));
        assert_eq!(of("dbg://42").unwrap(), Wanted::Process(42));
        assert!(matches!(of("dbg://ls 42").unwrap(), Wanted::Program(launch) if launch.arguments == ["42"]));
        assert_eq!(of("attach://ls").unwrap_err().kind(), Kind::Usage);
        assert_eq!(of("dbg://").unwrap_err().kind(), Kind::Usage);
        assert_eq!(of("dbg://99999999999999").unwrap_err().kind(), Kind::NotFound);
    }

    proptest! {
        #[test]
        fn words_survive_the_line(given in proptest::collection::vec(".*", 0..5)) {
            prop_assert_eq!(words(&line(&given)).unwrap(), given);
        }
    }
}
