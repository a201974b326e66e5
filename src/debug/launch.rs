//! How a program is started, and how what it does is dealt with.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
