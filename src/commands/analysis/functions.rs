//! `aa`, `af`: finding functions, and changing what is known of them.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;

use super::{ADDRESS, LOOK, address, run};
use crate::analysis::{Frame, Function, Place, Variable};
use crate::commands::{Arg, ArgKind, Command, Example, Run};
use crate::error::{Error, Kind, Result};
use crate::output::{Item, Mode, Style};
use crate::session::{Ctx, flags};

/// A small program: `main` at 0x10 calls a function at 0x20, which jumps forward.
macro_rules! program {
    ($rest:literal) => {
        concat!("wx e80b000000c3 @ 0x10; wx 85ff7405b801000000c3 @ 0x20; ", $rest)
    };
}
pub(super) use program;

/// The commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "aa",
        summary: "find the functions of the program: symbols, entries, tables for unwinding, calls",
        details: "Without an object file it starts at the current address. Ctrl-C keeps what was found.",
        examples: &[Example {
            line: program!("s 0x10; aa; afl"),
            shows: "0x00000010    1 6            fcn.00000010\n0x00000020    3 10           fcn.00000020",
        }],
        run: Run::Core(|ctx| run::everything(ctx, false)),
        ..LOOK
    },
    Command {
        name: "aaa",
        aliases: &["aaaa"],
        summary: "as aa, and also code that only pointers lead to",
        examples: &[Example { line: program!("s 0x10; aaa; aflc"), shows: "2" }],
        run: Run::Core(|ctx| run::everything(ctx, true)),
        ..LOOK
    },
    Command {
        name: "af",
        args: &[Arg::opt("name", ArgKind::Word), Arg::opt("addr", ArgKind::Number)],
        summary: "make a function of the code here",
        examples: &[Example { line: program!("af work 0x20; afl"), shows: "0x00000020    3 10           work" }],
        run: Run::Core(make),
        ..LOOK
    },
    Command {
        name: "af+",
        args: &[Arg::new("addr", ArgKind::Word), Arg::new("name", ArgKind::Word)],
        summary: "make a function with a name at an address",
        examples: &[Example { line: program!("af+ 0x20 work; afl"), shows: "0x00000020    3 10           work" }],
        run: Run::Core(make_at),
        ..LOOK
    },
    Command {
        name: "afr",
        args: &[Arg::opt("name", ArgKind::Word), Arg::opt("addr", ArgKind::Number)],
        summary: "make a function of the code here, and of all that it calls",
        examples: &[Example { line: program!("afr main 0x10; aflc"), shows: "2" }],
        run: Run::Core(make_deep),
        ..LOOK
    },
    Command {
        name: "af-",
        args: &[Arg::opt("addr|*", ArgKind::Word)],
        summary: "forget the function here, or all (*)",
        examples: &[
            Example { line: program!("afr main 0x10; af- 0x20; aflc"), shows: "1" },
            Example { line: program!("afr main 0x10; af-*; aflc"), shows: "0" },
        ],
        run: Run::Core(forget),
        ..LOOK
    },
    Command {
        name: "afn",
        args: &[Arg::opt("name", ArgKind::Word), Arg::opt("addr", ArgKind::Number)],
        summary: "show the name of the function here, or change it",
        examples: &[Example {
            line: program!("af @ 0x20; afn work @ 0x22; afn @ 0x20; f"),
            shows: "work\n0x00000020 10 work",
        }],
        run: Run::Core(rename),
        ..LOOK
    },
    Command {
        name: "afs",
        args: ADDRESS,
        summary: "show the signature of the function here",
        examples: &[Example { line: program!("af work 0x20; afs 0x20"), shows: "work (int64_t arg1);" }],
        run: Run::Core(signature),
        ..LOOK
    },
    Command {
        name: "afv",
        args: ADDRESS,
        summary: "list the variables and arguments of the function here",
        modes: &[Mode::Json, Mode::Quiet],
        examples: &[
            Example {
                line: "wx 554889e5897dfc5dc3; af; afv",
                shows: "var int64_t var_4h @ rbp-0x4\narg int64_t arg1 @ rdi",
            },
            Example {
                line: "wx 554889e5897dfc5dc3; af; afvj",
                shows: r#"[{"name":"var_4h","kind":"var","type":"int64_t","ref":{"base":"rbp","offset":-4}},{"name":"arg1","kind":"reg","type":"int64_t","ref":"rdi"}]"#,
            },
        ],
        run: Run::Core(variables),
        ..LOOK
    },
    Command {
        name: "afvn",
        args: &[Arg::new("new", ArgKind::Word), Arg::new("old", ArgKind::Word)],
        summary: "rename a variable of the function here",
        examples: &[Example { line: "wx 554889e5897dfc5dc3; af; afvn count var_4h; afvq", shows: "count\narg1" }],
        run: Run::Core(rename_variable),
        ..LOOK
    },
    Command {
        name: "ai",
        args: ADDRESS,
        summary: "say what an address is: exec, read, write, flag, func",
        modes: &[Mode::Json],
        examples: &[
            Example { line: program!("af work 0x20; ai 0x21"), shows: "exec\nread\nwrite\nfunc" },
            Example { line: "aij 0x1000", shows: "[]" },
        ],
        run: Run::Core(what),
        ..LOOK
    },
];

fn make(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    named(ctx, false)
}

fn make_deep(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    named(ctx, true)
}

fn named(ctx: &mut Ctx<'_, '_>, deep: bool) -> Result<()> {
    let at = address(ctx, 1)?;
    // A name that is the only argument may be meant as an address, as in today's 'af addr'.
    let name = ctx.word(0).map(str::to_string);
    create(ctx, at, name, deep)
}

fn make_at(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let at = ctx.required(0)?;
    let name = ctx.word(1).map(str::to_string);
    create(ctx, at, name, false)
}

fn create(ctx: &mut Ctx<'_, '_>, at: u64, name: Option<String>, deep: bool) -> Result<()> {
    if let Some(name) = &name {
        flags::check_name(name)?;
    }
    run::one(ctx, at, deep)?;
    match name {
        Some(name) => set_name(ctx, at, &name),
        None => Ok(()),
    }
}

fn set_name(ctx: &mut Ctx<'_, '_>, at: u64, name: &str) -> Result<()> {
    flags::check_name(name)?;
    let function = run::function_at(ctx, at)?;
    let (at, old, size) = (function.address, function.name.clone(), function.size().max(1));
    if old == name {
        return Ok(());
    }
    let taken = ctx.core.flags.get(name).is_some_and(|flag| flag.address != at);
    if taken || ctx.core.analysis.named(name).is_some() {
        return Err(Error::new(Kind::Usage, format!("there is something called '{name}' already")));
    }
    // Only the analysis's own flag changes its name; one that a symbol made stays beside it.
    let own = ctx.core.flags.get(&old).is_some_and(|flag| flag.space.as_deref() == Some(run::SPACE));
    if own {
        ctx.core.flags.remove(&old);
    }
    ctx.core.flags.set(name, at, size);
    ctx.core.flags.set_space(name, Some(run::SPACE));
    if let Some(function) = ctx.core.analysis.function_mut(at) {
        function.name = name.to_string();
    }
    Ok(())
}

fn rename(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let at = address(ctx, 1)?;
    match ctx.word(0).map(str::to_string) {
        Some(name) => set_name(ctx, at, &name),
        None => {
            let name = run::function_at(ctx, at)?.name.clone();
            ctx.out.line(name)
        }
    }
}

fn forget(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let gone: Vec<u64> = if ctx.word(0) == Some("*") {
        ctx.core.analysis.iter().map(|function| function.address).collect()
    } else {
        let at = address(ctx, 0)?;
        vec![run::function_at(ctx, at)?.address]
    };
    let all = ctx.word(0) == Some("*");
    for address in gone {
        let Some(function) = ctx.core.analysis.remove(address) else { continue };
        let own = |flag: &flags::Flag| flag.space.as_deref() == Some(run::SPACE) && flag.address == address;
        if ctx.core.flags.get(&function.name).is_some_and(own) {
            ctx.core.flags.remove(&function.name);
        }
    }
    if all {
        ctx.core.analysis.clear();
    }
    Ok(())
}

/// `sym.greet (int64_t arg1);`
pub(super) fn signature_of(function: &Function, bits: u64) -> String {
    let arguments: Vec<String> = function
        .frame
        .iter()
        .flat_map(Frame::arguments)
        .map(|argument| format!("int{bits}_t {}", argument.name))
        .collect();
    format!("{} ({});", function.name, arguments.join(", "))
}

fn signature(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let at = address(ctx, 0)?;
    let at = run::function_at(ctx, at)?.address;
    run::frame_of(ctx, at)?;
    let bits = ctx.option_number("asm.bits");
    let text = signature_of(run::function_at(ctx, at)?, bits);
    ctx.out.line(text)
}

/// A variable in a listing.
#[derive(Serialize)]
pub(super) struct VariableRow {
    name: String,
    kind: &'static str,
    #[serde(rename = "type")]
    type_name: String,
    #[serde(rename = "ref")]
    place: serde_json::Value,
    #[serde(skip)]
    text: String,
}

impl VariableRow {
    /// How `variable` of `frame` is listed.
    pub(super) fn new(frame: &Frame, variable: &Variable, bits: u64) -> VariableRow {
        let type_name = format!("int{bits}_t");
        let kind = if variable.is_argument { "arg" } else { "var" };
        let text = format!("{kind} {type_name} {} @ {}", variable.name, frame.place_text(&variable.place));
        let (kind, place) = match variable.place {
            Place::Register(name) => ("reg", json!(name)),
            Place::Base(offset) => (kind, json!({ "base": frame.registers.0, "offset": offset })),
            Place::Stack(offset) => (kind, json!({ "base": frame.registers.1, "offset": offset })),
        };
        VariableRow { name: variable.name.clone(), kind, type_name, place, text }
    }

    /// The line of text.
    pub(super) fn line(&self) -> &str {
        &self.text
    }
}

impl Item for VariableRow {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "{}", self.text)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }
}

/// The variables in the order of listings: of the base pointer, of the stack pointer, in registers.
pub(super) fn listed(frame: &Frame) -> impl Iterator<Item = &Variable> {
    let in_register = |variable: &&Variable| matches!(variable.place, Place::Register(_));
    let elsewhere = frame.variables.iter().filter(move |variable| !in_register(variable));
    elsewhere.chain(frame.variables.iter().filter(in_register))
}

fn variables(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let at = address(ctx, 0)?;
    let at = run::function_at(ctx, at)?.address;
    run::frame_of(ctx, at)?;
    let bits = ctx.option_number("asm.bits");
    let Some(frame) = &run::function_at(ctx, at)?.frame else { return Ok(()) };
    let rows: Vec<VariableRow> = listed(frame).map(|variable| VariableRow::new(frame, variable, bits)).collect();
    rows.iter().try_for_each(|row| ctx.out.item(row))
}

fn rename_variable(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let (new, old) = (ctx.word(0).unwrap_or_default().to_string(), ctx.word(1).unwrap_or_default().to_string());
    flags::check_name(&new)?;
    let at = run::function_at(ctx, ctx.view.seek)?.address;
    run::frame_of(ctx, at)?;
    let frame = ctx.core.analysis.function_mut(at).and_then(|function| function.frame.as_mut());
    let variables = frame.map(|frame| &mut frame.variables);
    let Some(variables) = variables else { return Ok(()) };
    if variables.iter().any(|variable| variable.name == new) {
        return Err(Error::new(Kind::Usage, format!("there is a variable '{new}' already")));
    }
    match variables.iter_mut().find(|variable| variable.name == old) {
        Some(variable) => {
            variable.name = new;
            Ok(())
        }
        None => Err(Error::new(Kind::NotFound, format!("no variable '{old}'")).hint("'afv' lists them")),
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Word(&'static str);

impl Item for Word {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "{}", self.0)
    }
}

fn what(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let at = address(ctx, 0)?;
    let access = ctx.core.io.space.at(at).map(|map| map.access).unwrap_or_default();
    let words = [
        (access.execute, "exec"),
        (access.read, "read"),
        (access.write, "write"),
        (ctx.core.flags.at(at).next().is_some(), "flag"),
        (ctx.core.analysis.containing(at).is_some(), "func"),
    ];
    words.iter().filter(|(holds, _)| *holds).try_for_each(|(_, word)| ctx.out.item(&Word(word)))
}
