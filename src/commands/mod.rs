//! The commands, one file per family. Each is declared once, next to its function; parsing, help, completion, the
//! reference page, permission checks and example tests all come from the declarations.

pub mod analysis;
pub mod block;
pub mod cache;
pub mod comments;
pub mod compare;
pub mod config;
pub mod corefile;
pub mod disassemble;
pub mod debug;
pub mod flags;
pub mod flagspaces;
pub mod format;
pub mod hash;
pub mod help;
pub mod lines;
pub mod info;
pub mod literal;
pub mod local;
pub mod maps;
pub mod math;
pub mod metadata;
pub mod open;
pub mod print;
pub mod reference;
pub mod remote;
pub mod resize;
pub mod script;
pub mod search;
pub mod seek;
pub mod strings;
pub mod system;
pub mod write;
pub mod yank;

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::error::{Error, Kind, Result};
use crate::output::{Mode, Out};
use crate::session::context::Args;
use crate::session::{Ctx, Permissions, Session};

/// What an argument stands for: decides completion and how help shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgKind {
    /// An expression (numbers.md). As the last argument it may contain blanks.
    Number,
    /// One word.
    Word,
    /// The rest of the line.
    Text,
    /// Pairs of hexadecimal digits; the rest of the line, blanks ignored.
    Hex,
    /// A path.
    File,
    /// A path or URI.
    Uri,
    /// A flag's name.
    Flag,
    /// A flagspace's name.
    Flagspace,
    /// `key` or `key=value` of an option.
    Option,
    /// A command line; the rest of the line.
    Command,
    /// A host slot of the `=` table.
    Host,
    /// A descriptor number.
    Descriptor,
    /// One of a few words.
    Choice(&'static [&'static str]),
}

/// An argument of a command.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// Name in the help.
    pub name: &'static str,
    /// What it stands for.
    pub kind: ArgKind,
    /// Whether the command cannot run without it.
    pub required: bool,
    /// Whether it may stand more than once (only the last argument).
    pub many: bool,
}

impl Arg {
    /// A required argument.
    pub const fn new(name: &'static str, kind: ArgKind) -> Arg {
        Arg { name, kind, required: true, many: false }
    }
    /// An optional argument.
    pub const fn opt(name: &'static str, kind: ArgKind) -> Arg {
        Arg { name, kind, required: false, many: false }
    }
    /// May be repeated.
    pub const fn many(self) -> Arg {
        Arg { many: true, ..self }
    }
}

/// A line and what it prints (without the last line end), run as a test in a new session on `malloc://512`.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// What is typed.
    pub line: &'static str,
    /// What appears.
    pub shows: &'static str,
}

/// How a command runs.
#[derive(Clone, Copy)]
pub enum Run {
    /// Under the lock on the core: everything that does not wait for others or run other commands.
    Core(fn(&mut Ctx<'_, '_>) -> Result<()>),
    /// With the session, unlocked: commands that run commands or talk to peers.
    Session(fn(&mut Session, &Args, &mut Out<'_>) -> Result<()>),
}

/// The declaration of a command.
#[derive(Clone, Copy)]
pub struct Command {
    /// What is typed, without mode suffixes.
    pub name: &'static str,
    /// Other spellings (today's rizin, radare2).
    pub aliases: &'static [&'static str],
    /// Arguments in order.
    pub args: &'static [Arg],
    /// One line of help.
    pub summary: &'static str,
    /// More help for `??`; may be empty.
    pub details: &'static str,
    /// The modes it renders besides text; each adds a suffix to the name.
    pub modes: &'static [Mode],
    /// What a client must be allowed to do.
    pub needs: Permissions,
    /// Lines that show it, and test it.
    pub examples: &'static [Example],
    /// Its function.
    pub run: Run,
}

impl Command {
    /// What most declarations have in common.
    pub const DEFAULT: Command = Command {
        name: "",
        aliases: &[],
        args: &[],
        summary: "",
        details: "",
        modes: &[],
        needs: Permissions::NONE,
        examples: &[],
        run: Run::Core(|_| Ok(())),
    };

    /// `px [<len>]`: the name and arguments as help shows them.
    pub fn usage(&self) -> String {
        let mut usage = self.name.to_string();
        let suffixes: String = self.modes.iter().map(|mode| mode.suffix()).collect();
        if !suffixes.is_empty() {
            usage.push_str(&format!("[{suffixes}]"));
        }
        for arg in self.args {
            let many = if arg.many { " ..." } else { "" };
            usage.push_str(&if arg.required {
                format!(" <{}>{many}", arg.name)
            } else {
                format!(" [<{}>{many}]", arg.name)
            });
        }
        usage
    }
}

/// A family: commands that share a first letter and a help page.
pub struct Family {
    /// The common start of the names: `p`.
    pub name: &'static str,
    /// One line for the top-level help.
    pub summary: &'static str,
    /// The commands.
    pub commands: &'static [Command],
}

/// Every family, in the order of the top-level help.
pub const FAMILIES: &[&Family] = &[
    &math::FAMILY,
    &script::FAMILY,
    &system::FAMILY,
    &remote::FAMILY,
    &search::FAMILY,
    &analysis::FAMILY,
    &block::FAMILY,
    &metadata::FAMILY,
    &comments::FAMILY,
    &lines::FAMILY,
    &corefile::FAMILY,
    &compare::FAMILY,
    &config::FAMILY,
    &debug::FAMILY,
    &debug::breakpoints::FAMILY,
    &debug::continuing::FAMILY,
    &debug::descriptors::FAMILY,
    &debug::reopen::FAMILY,
    &debug::inject::FAMILY,
    &debug::memory::FAMILY,
    &debug::process::FAMILY,
    &debug::registers::FAMILY,
    &debug::signals::FAMILY,
    &debug::stack::FAMILY,
    &debug::stepping::FAMILY,
    &debug::symbols::FAMILY,
    &flags::FAMILY,
    &flagspaces::FAMILY,
    &open::FAMILY,
    &maps::FAMILY,
    &print::FAMILY,
    &disassemble::FAMILY,
    &format::FAMILY,
    &hash::FAMILY,
    &info::FAMILY,
    &resize::FAMILY,
    &seek::FAMILY,
    &strings::FAMILY,
    &write::FAMILY,
    &cache::FAMILY,
    &yank::FAMILY,
];

/// Every command.
pub fn all() -> impl Iterator<Item = &'static Command> {
    FAMILIES.iter().flat_map(|family| family.commands.iter())
}

type Table = HashMap<String, (&'static Command, Mode)>;

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = Table::new();
        for command in all() {
            for name in std::iter::once(&command.name).chain(command.aliases) {
                table.insert((*name).to_string(), (command, Mode::Text));
            }
        }
        // Declared names win over names that a suffix makes: `pv` + `q` must not hide a command `pvq`.
        for command in all() {
            for name in std::iter::once(&command.name).chain(command.aliases) {
                for mode in command.modes {
                    table.entry(format!("{name}{}", mode.suffix())).or_insert((command, *mode));
                }
            }
        }
        table
    })
}

/// Finds the command at the start of `text` (a statement without its modifiers) and returns it with the mode and
/// the rest, which holds the arguments. The longest name wins; what follows a name directly must not look like
/// more name: `b+3` and `o-5` run, `pxnosuch` does not exist.
pub fn resolve(text: &str) -> Option<(&'static Command, Mode, &str)> {
    let table = table();
    let head = text.find(char::is_whitespace).unwrap_or(text.len()).min(24);
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]).filter(|at| (1..=head).contains(at));
    let mut found = None;
    for end in ends {
        if let Some(&(command, mode)) = table.get(&text[..end]) {
            let rest = &text[end..];
            if may_follow(&text[..end], rest) {
                found = Some((command, mode, rest));
            }
        }
    }
    found
}

/// Whether arguments may be glued to `name` in this way.
fn may_follow(name: &str, rest: &str) -> bool {
    let Some(next) = rest.chars().next() else { return true };
    // What is searched for stands apart, so that a slip (`/abc`, `/xx`) does not start a search.
    if matches!(name, "/" | "/!" | "/b" | "s/") {
        return next.is_whitespace();
    }
    let punctuated = name.ends_with(|c: char| !c.is_ascii_alphanumeric());
    match next {
        c if c.is_whitespace() => true,
        c if c.is_ascii_digit() => !name.ends_with(|c: char| c.is_ascii_digit()),
        // `=x` is a slip, not the command `x` for a host.
        c if c.is_alphabetic() || c == '_' => punctuated && name != "=",
        _ => true,
    }
}

/// Runs a resolved command: checks the client's permissions and the number of arguments, then calls it.
pub fn invoke(session: &mut Session, command: &Command, mode: Mode, args: &Args, out: &mut Out<'_>) -> Result<()> {
    session.view.permissions.require(command.needs, command.name)?;
    if command.name.starts_with('f') {
        // Flags are listed and changed as if all of them had been made when the file was opened.
        session.with(|core, _| core.complete_flags());
    }
    if command.name.starts_with("pd") || command.name.starts_with("pi") {
        // Code of a process shows the names of the file it lies in.
        session.with(|core, view| core.know_names(view, view.seek));
    }
    let required = command.args.iter().filter(|arg| arg.required).count();
    let unlimited = command.args.last().is_some_and(|arg| {
        arg.many || matches!(arg.kind, ArgKind::Text | ArgKind::Hex | ArgKind::Command | ArgKind::Number)
    });
    if args.words.len() < required || (args.words.len() > command.args.len() && !unlimited) {
        return Err(Error::new(Kind::Usage, format!("wrong number of arguments for '{}'", command.name))
            .hint(format!("usage: {}", command.usage())));
    }
    let mut joined;
    let mut args = args;
    if let Some(last) = command.args.last()
        && last.kind == ArgKind::Number
        && !last.many
        && args.words.len() > command.args.len()
    {
        joined = args.clone();
        let tail = joined.words.split_off(command.args.len() - 1).join(" ");
        joined.words.push(tail);
        args = &joined;
    }
    let mut out = out.with_mode(mode);
    match command.run {
        Run::Core(run) => session.with(|core, view| run(&mut Ctx { core, view, out: &mut out, args }))?,
        Run::Session(run) => run(session, args, &mut out)?,
    }
    out.finish()
}
