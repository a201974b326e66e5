//! How a program is started, and how what it does is dealt with.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// How a program is started. Arguments arrive byte for byte, without a shell, unless one is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The program: a path, or a name that is looked up in the PATH that it gets.
    pub program: String,
    /// Its arguments, without its own name.
    pub arguments: Vec<String>,
    /// Start from an empty environment instead of the debugger's own.
    pub clear_environment: bool,
    /// Variables that are set (`Some`) or removed (`None`), in this order.
    pub environment: Vec<(String, Option<String>)>,
    /// Its working directory; `None`: the debugger's.
    pub directory: Option<PathBuf>,
    /// Where its standard input comes from; `None`: the debugger's own.
    pub stdin: Option<PathBuf>,
    /// Where its standard output goes: created or emptied. `None`: the debugger's own.
    pub stdout: Option<PathBuf>,
    /// Where its standard error goes; the same path as `stdout` shares it.
    pub stderr: Option<PathBuf>,
    /// Addresses are the same at each start.
    pub fixed_addresses: bool,
    /// A program with arguments that runs the program (`env`, `setarch -R`): it is given the program and its
    /// arguments behind its own, and is passed over.
    pub wrapper: Vec<String>,
    /// Start it by `$SHELL -c exec ...` so that the shell expands the arguments; the shell is passed over.
    pub shell: bool,
    /// The terminal on standard input is the program's while it runs, the debugger's while it is stopped.
    pub terminal: bool,
    /// A file created is one more that is left behind: how many bytes of core file the program may write; `None`: as
    /// the system says.
    pub core_limit: Option<u64>,
}

impl Launch {
    /// `program` with `arguments`, as the debugger's own child would be started.
    pub fn new(program: impl Into<String>, arguments: Vec<String>) -> Launch {
        Launch {
            program: program.into(),
            arguments,
            clear_environment: false,
            environment: Vec::new(),
            directory: None,
            stdin: None,
            stdout: None,
            stderr: None,
            fixed_addresses: true,
            wrapper: Vec::new(),
            shell: false,
            terminal: false,
            core_limit: None,
        }
    }
}

/// What a user said once for all programs that are started, and for what happens to processes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Start {
    /// What becomes of a target behind a line that is lost; `None`: what is usual over there.
    pub lost: Option<Lost>,
    /// Whether addresses are others at each start; `None`: nobody said, and they are not.
    pub random_addresses: Option<bool>,
    /// Arguments of a program that was named without any.
    pub arguments: Vec<String>,
    /// Start from an empty environment.
    pub clear_environment: bool,
    /// Variables that are set or removed.
    pub environment: Vec<(String, Option<String>)>,
    /// The working directory.
    pub directory: Option<PathBuf>,
    /// Where standard input comes from.
    pub stdin: Option<PathBuf>,
    /// Where standard output goes.
    pub stdout: Option<PathBuf>,
    /// Where standard error goes.
    pub stderr: Option<PathBuf>,
}

impl Start {
    /// Whether programs are started as if nothing had been said.
    pub fn is_usual(&self) -> bool {
        *self == Start { lost: self.lost, ..Start::default() }
    }

    /// A start in this way, of a program that is still to be named.
    pub fn launch(&self) -> Launch {
        Launch {
            clear_environment: self.clear_environment,
            environment: self.environment.clone(),
            directory: self.directory.clone(),
            stdin: self.stdin.clone(),
            stdout: self.stdout.clone(),
            stderr: self.stderr.clone(),
            fixed_addresses: !self.random_addresses.unwrap_or(false),
            ..Launch::new("", self.arguments.clone())
        }
    }

    /// Adds assignments: `NAME=value` sets a variable, `NAME` alone removes it.
    pub fn assign(&mut self, words: Vec<String>) {
        self.environment.extend(words.into_iter().map(|word| match word.split_once('=') {
            Some((name, value)) => (name.to_string(), Some(value.to_string())),
            None => (word, None),
        }));
    }

    /// Adds what a profile says: a line each, `key=value`, `#` begins a comment.
    ///
    /// # Errors
    /// [`Kind::Format`] for a line that says nothing known.
    pub fn profile(&mut self, text: &str) -> Result<()> {
        let mut numbered: Vec<(u32, String)> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: &str| {
                let line = crate::output::visible(line);
                Error::new(Kind::Format, format!("line {} of the profile, '{line}': {why}", at + 1))
            };
            let (key, value) = line.split_once('=').ok_or_else(|| wrong("there is no '='"))?;
            let path = || Some(PathBuf::from(value));
            match key.trim() {
                // The URI names it.
                "program" => {}
                "aslr" => self.random_addresses = Some(truth(value).ok_or_else(|| wrong("yes or no"))?),
                "clearenv" => self.clear_environment = truth(value).ok_or_else(|| wrong("yes or no"))?,
                "setenv" => self.assign(vec![value.to_string()]),
                "unsetenv" => self.environment.push((value.to_string(), None)),
                "chdir" => self.directory = path(),
                "stdin" => self.stdin = path(),
                "stdout" => self.stdout = path(),
                "stderr" => self.stderr = path(),
                key => match key.strip_prefix("arg").and_then(|number| number.parse::<u32>().ok()) {
                    // What a program is called by is its path here.
                    Some(0) => {}
                    Some(number) => numbered.push((number, value.to_string())),
                    None => {
                        return Err(wrong("unknown key").hint(
                            "known: program, argN, setenv, unsetenv, clearenv, chdir, stdin, stdout, stderr, aslr",
                        ));
                    }
                },
            }
        }
        numbered.sort_by_key(|(number, _)| *number);
        self.arguments.extend(numbered.into_iter().map(|(_, value)| value));
        Ok(())
    }
}

fn truth(word: &str) -> Option<bool> {
    match word.trim() {
        "yes" | "true" | "1" | "on" => Some(true),
        "no" | "false" | "0" | "off" => Some(false),
        _ => None,
    }
}

/// What becomes of a target whose client was lost: the line broke, or the client was killed. A client that leaves by
/// itself takes its target along, as always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lost {
    /// It is stopped and kept, until the client comes back or the time is up.
    Keep,
    /// It goes on without anything that would stop it, and is kept so.
    Continue,
    /// It is let go, and runs on by itself.
    Detach,
    /// It is killed.
    Kill,
}

impl Lost {
    /// All, by their names.
    pub const NAMES: [(&'static str, Lost); 4] =
        [("keep", Lost::Keep), ("continue", Lost::Continue), ("detach", Lost::Detach), ("kill", Lost::Kill)];

    /// The one called `name`.
    pub fn named(name: &str) -> Option<Lost> {
        Lost::NAMES.iter().find(|(known, _)| *known == name).map(|(_, lost)| *lost)
    }

    /// Where nobody has said anything: what was started waits, what was attached to goes on.
    pub fn usual(attached: bool) -> Lost {
        if attached { Lost::Continue } else { Lost::Keep }
    }
}

/// What is done with the two processes after a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fork {
    /// Stay with the parent; the child runs free, without our traps.
    Parent,
    /// Go with the child; the parent runs free.
    Child,
    /// Keep both.
    Both,
}

/// How a target deals with what happens. The defaults are what a user expects who knows nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Who is followed at a fork or vfork.
    pub fork: Fork,
    /// Stop at forks and vforks (and at the end of a vfork).
    pub stop_at_fork: bool,
    /// Stop at execs.
    pub stop_at_exec: bool,
    /// New threads and ends of threads are stops.
    pub report_threads: bool,
    /// An event stops its thread alone; the others run on.
    pub non_stop: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            fork: Fork::Parent,
            stop_at_fork: false,
            stop_at_exec: false,
            report_threads: false,
            non_stop: false,
        }
    }
}

/// Which system calls are caught.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Catch {
    /// None.
    #[default]
    Nothing,
    /// Every one.
    All,
    /// These numbers.
    Some(Vec<u64>),
}

impl Catch {
    /// Whether the call `number` is caught.
    pub fn catches(&self, number: u64) -> bool {
        match self {
            Catch::Nothing => false,
            Catch::All => true,
            Catch::Some(numbers) => numbers.contains(&number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_says_how_a_program_starts() {
        let mut start = Start::default();
        start
            .profile("# how\nprogram=/bin/ls\narg2=two\narg1=one\nsetenv=A=b=c\nunsetenv=D\naslr=yes\nchdir=/\n")
            .unwrap();
        let launch = start.launch();
        assert_eq!((launch.arguments, launch.fixed_addresses), (vec!["one".to_string(), "two".to_string()], false));
        assert_eq!(launch.environment, [("A".to_string(), Some("b=c".to_string())), ("D".to_string(), None)]);
        assert_eq!(launch.directory, Some("/".into()));
        for wrong in ["x", "colour=red", "aslr=perhaps", "argx=1"] {
            assert_eq!(Start::default().profile(wrong).unwrap_err().kind(), Kind::Format, "{wrong}");
        }
        assert!(Start { lost: Some(Lost::Kill), ..Start::default() }.is_usual() && !start.is_usual());
    }
}
