//! `.`: scripts, macros, aliases, tasks. The shell's parser knows the forms that are no plain words
//! (`(name; body)`, `.cmd`, `& cmd`); it hands their text to the commands here.

pub mod aliases;
pub mod capture;
pub mod macros;
pub mod tasks;

use self::capture::Capture;
use super::local;
use super::system::program;
use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::error::{Error, Kind, Result};
use crate::output::{Executor, Mode, Out, Style};
use crate::session::context::Args;
use crate::session::{Permissions, Session};

/// The family.
pub const FAMILY: Family = Family { name: ".", summary: "scripts, macros, aliases, tasks", commands: COMMANDS };

/// The longest script, in bytes.
const SCRIPT_LIMIT: u64 = 64 << 20;

const FILE: &[Arg] = &[Arg::new("file", ArgKind::File)];
const TASK: &[Arg] = &[Arg::new("id", ArgKind::Word)];

const COMMANDS: &[Command] = &[
    Command {
        name: ".",
        args: &[Arg::opt("file", ArgKind::File)],
        summary: "run a script; without a file: the previous line again",
        details: "A name directly after the dot is a command whose output is run: .f*",
        run: Run::Session(script),
        ..Command::DEFAULT
    },
    Command {
        name: "..",
        args: FILE,
        summary: "run a script, then run what it printed",
        needs: Permissions::FILES,
        run: Run::Session(script_output),
        ..Command::DEFAULT
    },
    Command {
        name: ".!",
        args: &[Arg::new("program", ArgKind::Text)],
        summary: "run a program, then run what it printed",
        needs: Permissions::EXEC,
        examples: &[Example { line: ".!echo s 0x10; s", shows: "0x10" }],
        run: Run::Session(program_output),
        ..Command::DEFAULT
    },
    Command {
        name: "_",
        summary: "print the last output again",
        examples: &[Example { line: "s 0x10; s; _", shows: "0x10\n0x10" }],
        run: Run::Session(last_output),
        ..Command::DEFAULT
    },
    Command {
        name: "(",
        args: &[Arg::opt("name args; body)", ArgKind::Text)],
        summary: "define a macro; () ends the enclosing macro or iteration",
        details: "The body sees the arguments as $0 $1 or by their names. (…)(1 2) also calls it.",
        examples: &[Example { line: "(go x; s $0; s)(0x20)", shows: "0x20" }],
        run: Run::Session(macros::define),
        ..Command::DEFAULT
    },
    Command {
        name: ".(",
        args: &[Arg::new("name args)", ArgKind::Text)],
        summary: "call a macro",
        examples: &[Example { line: "(go x; s $0; s); .(go 0x30)", shows: "0x30" }],
        run: Run::Session(macros::call),
        ..Command::DEFAULT
    },
    Command {
        name: "(*",
        summary: "list the macros as definitions",
        examples: &[Example { line: "(go x; s $0; s); (*", shows: "(go x, s $0, s)" }],
        run: Run::Session(macros::list),
        ..Command::DEFAULT
    },
    Command {
        name: "(-",
        args: &[Arg::new("name", ArgKind::Word)],
        summary: "remove a macro (* for all)",
        examples: &[Example { line: "(go; s); (-go); (*", shows: "Macro 'go' removed." }],
        run: Run::Session(macros::remove),
        ..Command::DEFAULT
    },
    Command {
        name: "$",
        args: &[Arg::opt("name[=command]", ArgKind::Text)],
        summary: "list aliases, run one, or make one ($name=$text for a text)",
        details: "$name? shows it, $name= removes it; $flag:=addr sets a flag, $flag+=4 moves it, $flag seeks to it.",
        examples: &[
            Example { line: "$here=s; $here; $here?", shows: "0x0\ns" },
            Example { line: "$t=$hello world; $t", shows: "hello world" },
        ],
        run: Run::Session(aliases::run),
        ..Command::DEFAULT
    },
    Command {
        name: "$*",
        summary: "list the aliases as commands",
        examples: &[Example { line: "$t=$x; $*", shows: "$t=base64:JHg=" }],
        run: Run::Session(aliases::commands),
        ..Command::DEFAULT
    },
    Command {
        name: "$**",
        summary: "list the aliases with their values",
        examples: &[Example { line: "$t=$x; $**", shows: "$t=$x" }],
        run: Run::Session(aliases::values),
        ..Command::DEFAULT
    },
    Command {
        name: "&",
        args: &[Arg::opt("command", ArgKind::Command)],
        summary: "list the tasks, or run a command line in the background",
        modes: &[Mode::Json],
        examples: &[Example { line: "&~MAIN", shows: "  0          running  -- MAIN TASK --" }],
        run: Run::Session(tasks::run),
        ..Command::DEFAULT
    },
    Command {
        name: "&t",
        args: &[Arg::new("command", ArgKind::Command)],
        summary: "run a command line in the background and forget it when it is done",
        examples: &[Example { line: "&t s; &&; &~?done", shows: "0" }],
        run: Run::Session(tasks::run_transient),
        ..Command::DEFAULT
    },
    Command {
        name: "&=",
        args: TASK,
        summary: "print the output of a task",
        examples: &[Example { line: "& p8 4; && 1; &= 1", shows: "00000000" }],
        run: Run::Session(tasks::output),
        ..Command::DEFAULT
    },
    Command {
        name: "&-",
        args: TASK,
        summary: "end and forget a task (* for all)",
        examples: &[Example { line: "& s; &- 1; &~?done", shows: "0" }],
        run: Run::Session(tasks::delete),
        ..Command::DEFAULT
    },
    Command {
        name: "&b",
        args: TASK,
        summary: "end a task",
        examples: &[Example { line: "& sleep 100; &b 1; && 1; &~?done", shows: "1" }],
        run: Run::Session(tasks::end),
        ..Command::DEFAULT
    },
    Command {
        name: "&&",
        args: &[Arg::opt("id", ArgKind::Word)],
        summary: "wait for a task, or for all",
        examples: &[Example { line: "& s; &&; &~done[0-3]", shows: "1 done s" }],
        run: Run::Session(tasks::wait),
        ..Command::DEFAULT
    },
];

fn script(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    if let Some(file) = args.words.first() {
        return run_file(session, file, out);
    }
    let line = session.shell.last_line.clone();
    session.execute(&line, out)
}

/// Runs the script at `path` (as the client means it): the whole file is parsed before anything runs.
pub fn run_file(session: &mut Session, path: &str, out: &mut Out<'_>) -> Result<()> {
    local::require(&session.view, Permissions::FILES, ".")?;
    let bytes = local::read_up_to(&session.view, path, SCRIPT_LIMIT).map_err(|error| match error.kind() {
        Kind::NotFound => Error::new(Kind::NotFound, format!("Script '{path}' not found.")),
        _ => error,
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::new(Kind::Format, format!("script '{path}' is not a text in UTF-8")))?;
    session.execute(&text, out).map_err(|error| match error.kind() {
        Kind::Syntax => error.context(format_args!("script '{path}'")),
        _ => error,
    })
}

fn script_output(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let mut printed = Capture::default();
    run_file(session, &args.text, &mut out.redirect(&mut printed, Style::default()))?;
    session.execute(&printed.text(), out)
}

fn program_output(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let mut printed = Capture::default();
    program::run(session, &args.text, &mut out.redirect(&mut printed, Style::default()))?;
    session.execute(&printed.text(), out)
}

fn last_output(session: &mut Session, _args: &Args, out: &mut Out<'_>) -> Result<()> {
    out.write_all(&session.shell.last_output)
}
