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

/// What a profile says about the start of a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// The settings, as a URI has them before the program.
    pub flags: Vec<String>,
    /// The program, if it names one.
    pub program: Option<String>,
    /// The program's arguments.
    pub arguments: Vec<String>,
}

/// Reads a profile: lines of `key=value`, with the keys that rarun2's profiles have; `#` starts a remark.
pub fn profile(text: &str) -> Result<Profile> {
    let mut profile = Profile::default();
    let mut arguments = std::collections::BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let shown = crate::output::visible(line).into_owned();
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| Error::new(Kind::Usage, format!("'{shown}' in the profile is no key=value")))?;
        let yes = matches!(value, "true" | "yes" | "1" | "on");
        match key {
            "setenv" => profile.flags.push(format!("--env={value}")),
            "unsetenv" => profile.flags.push(format!("--env={}", value.split('=').next().unwrap_or(value))),
            "clearenv" if yes => profile.flags.push("--clear-env".to_string()),
            "chdir" => profile.flags.push(format!("--cwd={value}")),
            "stdin" | "stdout" | "stderr" => profile.flags.push(format!("--{key}={value}")),
            "input" => {
                return Err(Error::new(Kind::Unsupported, "'input' in the profile is not known").hint("stdin=FILE"));
            }
            "aslr" => profile.flags.push(if yes { "--aslr" } else { "--no-aslr" }.to_string()),
            "clearenv" => {}
            "program" => profile.program = Some(value.to_string()),
            _ => match key.strip_prefix("arg").and_then(|number| number.parse::<u16>().ok()) {
                Some(0) => {}
                Some(number) => drop(arguments.insert(number, value.to_string())),
                None => {
                    return Err(Error::new(Kind::Usage, format!("'{shown}' in the profile is not known"))
                        .hint("program, argN, setenv, unsetenv, clearenv, chdir, stdin, stdout, stderr, aslr"));
                }
            },
        }
    }
    profile.arguments = arguments.into_values().collect();
    Ok(profile)
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
    let mut words = words(rest)?.into_iter().peekable();
    let mut launch = Launch::new("", Vec::new());
    while let Some(flag) = words.next_if(|word| word.starts_with("--")) {
        if let Some(name) = flag.strip_prefix("--wait=").filter(|name| !name.is_empty()) {
            return Ok(Wanted::Named(name.to_string()));
        }
        setting(&mut launch, &flag)?;
    }
    launch.program = words
        .next()
        .ok_or_else(|| Error::new(Kind::Usage, "the program is missing").hint("dbg:///bin/ls -l, or dbg://PID"))?;
    launch.arguments = words.collect();
    Ok(Wanted::Program(Box::new(launch)))
}

fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    device(&wanted(uri)?, open)
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
        let of = |text: &str| wanted(&Uri::parse(text));
        assert_eq!(of("dbg://42").unwrap(), Wanted::Process(42));
        assert!(matches!(of("dbg://ls 42").unwrap(), Wanted::Program(launch) if launch.arguments == ["42"]));
        assert_eq!(of("dbg://--wait=ls").unwrap(), Wanted::Named("ls".into()));
        assert_eq!(of("attach://ls").unwrap_err().kind(), Kind::Usage);
        assert_eq!(of("dbg://").unwrap_err().kind(), Kind::Usage);
        assert_eq!(of("dbg://99999999999999").unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn settings_come_before_the_program() {
        let of = |text: &str| wanted(&Uri::parse(text));
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
    fn profiles_become_settings() {
        let text = "# a remark\nprogram=/bin/ls\narg2=/\narg1=-l\nsetenv=A=b\nunsetenv=C\nchdir=/tmp\naslr=no\n";
        let read = profile(text).unwrap();
        assert_eq!(read.flags, ["--env=A=b", "--env=C", "--cwd=/tmp", "--no-aslr"]);
        assert_eq!(
            (read.program.as_deref(), read.arguments),
            (Some("/bin/ls"), vec!["-l".to_string(), "/".to_string()])
        );
        assert_eq!(profile("nosuch=1").unwrap_err().kind(), Kind::Usage);
        assert_eq!(profile("nothing").unwrap_err().kind(), Kind::Usage);
    }

    proptest! {
        #[test]
        fn words_survive_the_line(given in proptest::collection::vec(".*", 0..5)) {
            prop_assert_eq!(words(&line(&given)).unwrap(), given);
        }
    }
}
