//! `dbg://program args`, `dbg://PID` and `attach://PID`: processes under control. The bytes are the memory of the
//! current process; what else can be done with it is the device's target.

use super::{Plugin, Touches};
use crate::debug::{Launch, Start, Target};
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

/// What `start` says as settings of a URI, before the program.
pub fn settings(start: &Start) -> Vec<String> {
    let mut flags = Vec::new();
    if start.clear_environment {
        flags.push("--clear-env".to_string());
    }
    flags.extend(start.environment.iter().map(|(name, value)| match value {
        Some(value) => format!("--env={name}={value}"),
        None => format!("--env={name}"),
    }));
    let paths = [
        ("--cwd", &start.directory),
        ("--stdin", &start.stdin),
        ("--stdout", &start.stdout),
        ("--stderr", &start.stderr),
    ];
    flags.extend(paths.iter().filter_map(|(name, path)| Some(format!("{name}={}", path.as_ref()?.display()))));
    flags.extend(start.random_addresses.map(|random| if random { "--aslr" } else { "--no-aslr" }.to_string()));
    flags
}

/// Changes `launch` as a setting before the program says: `--cwd=/tmp`.
fn setting(launch: &mut Launch, flag: &str) -> Result<()> {
    let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
    let path = || {
        let value = value.filter(|value| !value.is_empty());
        value
            .map(std::path::PathBuf::from)
            .ok_or_else(|| Error::new(Kind::Usage, format!("{name} needs a path: {name}=PATH")))
    };
    match name {
        "--env" => {
            let text = value.filter(|text| !text.is_empty() && !text.starts_with('='));
            let text = text.ok_or_else(|| Error::new(Kind::Usage, "--env needs a name: --env=NAME=VALUE"))?;
            let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
            launch.environment.push((name.to_string(), value.map(str::to_string)));
        }
        "--clear-env" => launch.clear_environment = true,
        "--cwd" => launch.directory = Some(path()?),
        "--stdin" => launch.stdin = Some(path()?),
        "--stdout" => launch.stdout = Some(path()?),
        "--stderr" => launch.stderr = Some(path()?),
        "--aslr" => launch.fixed_addresses = false,
        "--no-aslr" => launch.fixed_addresses = true,
        "--shell" => launch.shell = true,
        "--terminal" => launch.terminal = true,
        _ => {
            let shown = crate::output::visible(flag).into_owned();
            return Err(Error::new(Kind::Usage, format!("'{shown}' is no setting for the start of a program")).hint(
                "--env=NAME=VALUE --clear-env --cwd=DIR --stdin=FILE --stdout=FILE --stderr=FILE --aslr --shell",
            ));
        }
    }
    Ok(())
}

/// What a URI of this plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The next process whose program has this name, or one that is there.
    Named(String),
    /// A process that is there.
    Process(u32),
    /// A program to be started.
    Program(Box<Launch>),
}

/// Reads the URI: what it says of the start comes before what `start` says.
pub fn wanted(uri: &Uri, start: &Start) -> Result<Wanted> {
    let rest = uri.rest().trim();
    if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
        let pid = rest.parse().map_err(|_| Error::new(Kind::NotFound, format!("no process {rest}")))?;
        return Ok(Wanted::Process(pid));
    }
    if uri.scheme() == Some("attach") {
        return Err(Error::new(Kind::Usage, "a process is attached to by its number").hint("proc:// lists them"));
    }
    let mut words = words(rest)?.into_iter().peekable();
    let mut launch = start.launch();
    while let Some(flag) = words.next_if(|word| word.starts_with("--")) {
        if let Some(name) = flag.strip_prefix("--wait=").filter(|name| !name.is_empty()) {
            return Ok(Wanted::Named(name.to_string()));
        }
        setting(&mut launch, &flag)?;
    }
    launch.program = words
        .next()
        .ok_or_else(|| Error::new(Kind::Usage, "the program is missing").hint("dbg:///bin/ls -l, or dbg://PID"))?;
    if words.peek().is_some() {
        launch.arguments = words.collect();
    }
    Ok(Wanted::Program(Box::new(launch)))
}

fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    device(&wanted(uri, &open.start)?, open)
}

/// A target without a process, for whoever starts one in it.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub fn empty() -> Result<Box<dyn Device>> {
    Ok(Box::new(Debugged::new(Box::new(crate::debug::ptrace::Ptrace::new()?))))
}

/// A target without a process, for whoever starts one in it.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub fn empty() -> Result<Box<dyn Device>> {
    device(&Wanted::Process(0), &Open::default())
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn device(wanted: &Wanted, open: &Open) -> Result<Box<dyn Device>> {
    use crate::debug::ptrace::Ptrace;
    let target = match wanted {
        Wanted::Named(name) => Ptrace::of(appears(name, open)?)?,
        Wanted::Process(pid) => Ptrace::of(*pid)?,
        Wanted::Program(launch) => Ptrace::start(launch)?,
    };
    Ok(Box::new(Debugged::new(Box::new(target))))
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn device(_wanted: &Wanted, _open: &Open) -> Result<Box<dyn Device>> {
    Err(Error::new(Kind::Unsupported, "processes of this system cannot be debugged yet")
        .hint("those of another machine can: rap://host/dbg://..., gdb://host:port"))
}

/// Waits until a process runs whose program is called `name`, or whose command line begins with it.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn appears(name: &str, open: &Open) -> Result<u32> {
    use crate::debug::ptrace::proc;
    /// How often is looked.
    const LOOK: std::time::Duration = std::time::Duration::from_millis(10);
    let own = std::process::id();
    loop {
        let found = proc::processes()?.into_iter().find(|process| {
            let program = process.command.split(' ').next().unwrap_or_default();
            process.id != own && process.state != 'Z' && (program == name || program.rsplit('/').next() == Some(name))
        });
        if let Some(process) = found {
            return Ok(process.id);
        }
        open.cancel.check()?;
        std::thread::sleep(LOOK);
    }
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
        let of = |text: &str| wanted(&Uri::parse(text), &Start::default());
        assert_eq!(of("dbg://42").unwrap(), Wanted::Process(42));
        assert!(matches!(of("dbg://ls 42").unwrap(), Wanted::Program(launch) if launch.arguments == ["42"]));
        assert_eq!(of("dbg://--wait=ls").unwrap(), Wanted::Named("ls".into()));
        assert_eq!(of("attach://ls").unwrap_err().kind(), Kind::Usage);
        assert_eq!(of("dbg://").unwrap_err().kind(), Kind::Usage);
        assert_eq!(of("dbg://99999999999999").unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn settings_come_before_the_program() {
        let of = |text: &str| wanted(&Uri::parse(text), &Start::default());
        let Wanted::Program(launch) =
            of("dbg://--env=A=b=c --env=B --cwd=/tmp --stdin=/dev/null --aslr '--stderr=/tmp/a b' ls --all").unwrap()
        else {
            panic!("a program is wanted")
        };
        assert_eq!(launch.environment, [("A".to_string(), Some("b=c".to_string())), ("B".to_string(), None)]);
        assert_eq!(launch.directory.as_deref(), Some(std::path::Path::new("/tmp")));
        assert_eq!(launch.stdin.as_deref(), Some(std::path::Path::new("/dev/null")));
        assert_eq!(launch.stderr.as_deref(), Some(std::path::Path::new("/tmp/a b")));
        assert!(!launch.fixed_addresses && launch.arguments == ["--all"] && launch.program == "ls");
        for wrong in ["dbg://--nosuch ls", "dbg://--cwd ls", "dbg://--env= ls", "dbg://--env==x ls", "dbg://--aslr"] {
            assert_eq!(of(wrong).unwrap_err().kind(), Kind::Usage, "{wrong}");
        }
    }

    #[test]
    fn a_start_becomes_settings() {
        let mut start = Start::default();
        start.profile("setenv=A=b\nunsetenv=C\nchdir=/tmp\naslr=no\nclearenv=yes\nstdin=/dev/null\n").unwrap();
        let said = settings(&start);
        assert_eq!(said, ["--clear-env", "--env=A=b", "--env=C", "--cwd=/tmp", "--stdin=/dev/null", "--no-aslr"]);
        let uri = Uri::parse(&format!("dbg://{} ls", line(&said)));
        let Wanted::Program(launch) = wanted(&uri, &Start::default()).unwrap() else { panic!("a program is wanted") };
        assert_eq!(*launch, Launch { program: "ls".into(), ..start.launch() });
        // What the URI says comes first.
        start.random_addresses = Some(true);
        start.arguments = vec!["x".into()];
        for (uri, fixed, arguments) in
            [("dbg://ls", false, vec!["x"]), ("dbg://--no-aslr ls y z", true, vec!["y", "z"])]
        {
            let Wanted::Program(launch) = wanted(&Uri::parse(uri), &start).unwrap() else {
                panic!("a program is wanted")
            };
            assert_eq!(
                (launch.fixed_addresses, launch.arguments),
                (fixed, arguments.iter().map(|a| a.to_string()).collect())
            );
        }
    }

    proptest! {
        #[test]
        fn words_survive_the_line(given in proptest::collection::vec(".*", 0..5)) {
            prop_assert_eq!(words(&line(&given)).unwrap(), given);
        }
    }
}
