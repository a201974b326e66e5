//! What is open, where each client is, and what is known: [`Core`] is shared, [`View`] is one client's.
//!
//! A [`Session`] is a client's handle on both. The lock on the core is held for one command, never while waiting
//! for a peer: commands that run other commands or talk to hosts take the session instead of the locked core.

pub mod binaries;
pub mod config;
pub mod context;
pub mod cores;
pub mod disassembly;
pub mod debug;
pub mod flags;
pub mod hosts;
pub mod lines;
pub mod load;
mod main_function;
pub mod metadata;
pub mod options;
mod places;
pub mod reach;
pub mod scope;
pub mod seek;
pub mod servers;
pub mod shell;
pub mod strings;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub use binaries::Binaries;
pub use config::{Config, Value};
pub use context::Ctx;
pub use flags::Flags;
pub use hosts::Hosts;
pub use load::Load;
pub use metadata::Metadata;
pub use reach::Reach;
pub use servers::{Doors, Servers};
pub use shell::{Aliases, ShellState};

use crate::analysis::Analysis;
use crate::error::Result;
use crate::io::{Io, Open};
use crate::link::Security;
use crate::output::Cancel;

use hosts::Peer;

/// What clients of one session share.
#[derive(Default)]
pub struct Core {
    /// Descriptors, maps, overlay.
    pub io: Io,
    /// Options that differ from their defaults.
    pub config: Config,
    /// What the open files say of themselves.
    pub binaries: Binaries,
    /// Names for addresses.
    pub flags: Flags,
    /// Comments by address.
    pub comments: BTreeMap<u64, String>,
    /// What bytes are: data, text, records.
    pub metadata: Metadata,
    /// Functions and references.
    pub analysis: Analysis,
    /// The yank clipboard: where the bytes came from, and the bytes.
    pub yank: Option<(u64, Vec<u8>)>,
    /// Named `pf` formats.
    pub formats: BTreeMap<String, String>,
    /// Macros: name → (parameters, body).
    pub macros: BTreeMap<String, (Vec<String>, String)>,
    /// `$` aliases: name → text (a command, or `$`-prefixed plain text).
    pub aliases: Aliases,
    /// The write mask (`wm`), applied cyclically to outgoing bytes; empty means none.
    pub write_mask: Vec<u8>,
    /// The core files.
    pub core_files: cores::CoreFiles,
    /// The line numbers of object files.
    pub lines: lines::LineTables,
    /// What is known about the processes under control.
    pub debugger: debug::Debugger,
    /// The servers that were started from here (`=l`).
    pub servers: Servers,
}

/// What a client may do; declared by commands, checked in one place before a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions(u8);

impl Permissions {
    /// Nothing beyond looking at the session's own state.
    pub const NONE: Permissions = Permissions(0);
    /// Reading bytes.
    pub const READ: Permissions = Permissions(1);
    /// Changing bytes of open devices.
    pub const WRITE: Permissions = Permissions(2);
    /// Controlling processes.
    pub const DEBUG: Permissions = Permissions(4);
    /// Running programs on this machine: `!`, pipes.
    pub const EXEC: Permissions = Permissions(8);
    /// Touching this machine's files by path: opening, redirects, scripts.
    pub const FILES: Permissions = Permissions(16);
    /// Everything: the local user.
    pub const ALL: Permissions = Permissions(31);

    /// Both.
    pub const fn and(self, other: Permissions) -> Permissions {
        Permissions(self.0 | other.0)
    }
    /// All but `other`.
    pub const fn without(self, other: Permissions) -> Permissions {
        Permissions(self.0 & !other.0)
    }
    /// Whether everything in `needed` is allowed.
    pub const fn allow(self, needed: Permissions) -> bool {
        self.0 & needed.0 == needed.0
    }
    /// The names of the permissions, for messages: `write, exec`.
    pub fn names(self) -> String {
        let names: Vec<&str> =
            Permissions::NAMES.iter().filter(|(_, bit)| self.allow(*bit)).map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

/// What belongs to one client: its place, its overrides, its rights.
#[derive(Debug, Clone)]
pub struct View {
    /// Current address.
    pub seek: u64,
    /// Default length of commands, in bytes.
    pub block_size: u64,
    /// Where the client was before.
    pub history: seek::History,
    /// Options that hold for this client only, and those that `@e:` sets for one command.
    pub overrides: Config,
    /// Bytes laid over the seek for one command (`@x:`, `@s:`, `@v:`, `@f:`).
    pub patch: Option<Arc<[u8]>>,
    /// `@o:fd`: physical addresses of this descriptor for one command.
    pub descriptor: Option<u32>,
    /// The seek outside of temporary modifiers (`$$$`).
    pub prompt_seek: u64,
    /// Whether `seek` is one of a temporary modifier or an iterator.
    pub temporary: bool,
    /// Result of the last command (`$?`).
    pub last: u64,
    /// What the client may do.
    pub permissions: Permissions,
    /// How far the client reaches from this machine.
    pub reach: Reach,
    /// Whether `e` changes the shared configuration (the local user) or the client's own overrides.
    pub owner: bool,
    /// Whether somebody can answer questions.
    pub interactive: bool,
    /// Nesting of scripts, macros and iterators, bounded by `cmd.depth`.
    pub depth: u32,
    /// The last search command with its arguments, for `//`.
    pub search: Option<(&'static str, context::Args)>,
    /// Set by `q`: the loop around the session ends with this status.
    pub quit: Option<i32>,
    /// Whether a statement of the last line failed (exit status of `-q -c`).
    pub failed: bool,
    /// Remote command mode (`=!=`): the slot of the host that gets the lines.
    pub remote: Option<usize>,
    /// The working directory that relative paths mean; `None`: the process's own.
    pub directory: Option<PathBuf>,
}

impl Default for View {
    fn default() -> View {
        View {
            seek: 0,
            block_size: 0x100,
            history: seek::History::default(),
            overrides: Config::default(),
            patch: None,
            descriptor: None,
            prompt_seek: 0,
            temporary: false,
            last: 0,
            permissions: Permissions::ALL,
            reach: Reach::default(),
            owner: true,
            interactive: false,
            depth: 0,
            search: None,
            quit: None,
            failed: false,
            remote: None,
            directory: None,
        }
    }
}

/// One client's handle: the shared core, its own view, and its connections.
pub struct Session {
    core: Arc<Mutex<Core>>,
    /// The client's own state.
    pub view: View,
    /// The hosts of the `=` table.
    pub hosts: Hosts,
    /// Ends the client's running command.
    pub cancel: Cancel,
    /// Where lines for sessions inside the session (`==`) come from; `None`: standard input.
    pub lines: Option<Box<dyn LineSource>>,
    /// What the shell remembers between lines.
    pub shell: ShellState,
    /// How this client starts servers, which end with it; `None`: it may not.
    pub doors: Option<Doors>,
}

/// Somebody who types lines: the prompt, or a script's input.
pub trait LineSource: Send {
    /// The next line, without its end, after showing `prompt`; `None` at the end of the input.
    fn read_line(&mut self, prompt: &str) -> Option<String>;

    /// The same for a session with the host that `peer` holds, which may be asked how a line goes on.
    fn read_line_for(&mut self, prompt: &str, _peer: &mut Option<Box<dyn Peer>>) -> Option<String> {
        self.read_line(prompt)
    }
}

impl Default for Session {
    fn default() -> Session {
        Session::new()
    }
}

impl Session {
    /// A session of its own, with nothing open.
    pub fn new() -> Session {
        Session::attach(Arc::default())
    }

    /// Another client of an existing core.
    pub fn attach(core: Arc<Mutex<Core>>) -> Session {
        Session {
            core,
            view: View::default(),
            hosts: Hosts::default(),
            cancel: Cancel::new(),
            lines: None,
            shell: ShellState::default(),
            doors: None,
        }
    }

    /// The shared core, for further clients.
    pub fn shared(&self) -> Arc<Mutex<Core>> {
        Arc::clone(&self.core)
    }

    /// Locks the core. Never hold the guard while waiting for a peer or running a command.
    pub fn core(&self) -> MutexGuard<'_, Core> {
        // A command that panicked has already been reported; the data is still what the user has.
        self.core.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How long peers may keep this client waiting (`net.timeout`).
    pub fn timeout(&self) -> Duration {
        match config::lookup(&self.view.overrides, &self.core().config, "net.timeout") {
            Value::Number(milliseconds) => Duration::from_millis(milliseconds),
            _ => Open::default().timeout,
        }
    }

    /// What this client trusts, and what it shows of itself, when it connects.
    pub fn security(&self) -> Result<Security> {
        reach::security(&self.core(), &self.view)
    }

    /// Runs `work` with the locked core and the view.
    pub fn with<R>(&mut self, work: impl FnOnce(&mut Core, &mut View) -> R) -> R {
        let mut core = self.core.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        work(&mut core, &mut self.view)
    }
}
