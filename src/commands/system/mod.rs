//! `!`: programs, files and environment of this machine; leaving.

pub mod program;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Arg, ArgKind, Command, Example, Family, Run, local};
use crate::error::{Error, Kind, Result};
use crate::number::Names;
use crate::output::{Item, Mode, Out, Style, visible};
use crate::session::context::Args;
use crate::session::scope::Scope;
use crate::session::{Ctx, Permissions, Session};

/// The family.
pub const FAMILY: Family =
    Family { name: "!", summary: "programs, files and environment of this machine", commands: COMMANDS };

/// The secret in our own environment is for servers, not for the programs that are run.
const TOKEN: &str = "REMORA_TOKEN";

const PROGRAM: &[Arg] = &[Arg::opt("program", ArgKind::Text)];
const PATH: &[Arg] = &[Arg::new("path", ArgKind::File)];

const COMMANDS: &[Command] = &[
    Command {
        name: "!",
        args: PROGRAM,
        summary: "run a program with /bin/sh",
        details: "Everything up to a ';' belongs to the shell. The program sees RZ_FILE, RZ_OFFSET, RZ_BSIZE and \
                  other facts of the session in its environment.",
        needs: Permissions::EXEC,
        examples: &[Example { line: "!echo magic", shows: "magic" }],
        run: Run::Session(run_program),
        ..Command::DEFAULT
    },
    Command {
        name: "!!",
        args: PROGRAM,
        summary: "run a program and filter its output with ~",
        needs: Permissions::EXEC,
        examples: &[Example { line: "!!printf 'a\\nb\\n'~b", shows: "b" }],
        run: Run::Session(run_program),
        ..Command::DEFAULT
    },
    Command {
        name: "%",
        aliases: &["env", "%%"],
        args: &[Arg::opt("name[=value]", ArgKind::Text)],
        summary: "list, show or set environment variables of the programs that are run",
        details: "%NAME= unsets a variable. The change holds for this client only.",
        needs: Permissions::EXEC,
        examples: &[Example { line: "%FOO=some text; %FOO; !echo $FOO", shows: "some text\nsome text" }],
        run: Run::Session(environment),
        ..Command::DEFAULT
    },
    Command {
        name: "q",
        aliases: &["q!", "q!!", "qy", "qn", "qyy", "qyn", "qny", "qnn", "quit", "exit"],
        args: &[Arg::opt("status", ArgKind::Number)],
        summary: "leave, with an exit status",
        examples: &[Example { line: "s; q 3; s", shows: "0x0" }],
        run: Run::Core(quit),
        ..Command::DEFAULT
    },
    Command {
        name: "sleep",
        args: &[Arg::new("seconds", ArgKind::Word)],
        summary: "wait; Ctrl-C ends it",
        examples: &[Example { line: "sleep 0.01", shows: "" }],
        run: Run::Session(sleep),
        ..Command::DEFAULT
    },
    Command {
        name: "uname",
        summary: "the kind of system this runs on",
        modes: &[Mode::Json],
        run: Run::Core(uname),
        ..Command::DEFAULT
    },
    Command {
        name: "ls",
        args: &[Arg::opt("path", ArgKind::File)],
        summary: "list a directory",
        modes: &[Mode::Json, Mode::Quiet],
        needs: Permissions::FILES,
        run: Run::Core(list),
        ..Command::DEFAULT
    },
    Command {
        name: "cd",
        args: &[Arg::opt("path", ArgKind::File)],
        summary: "change the working directory (home without an argument)",
        needs: Permissions::FILES,
        examples: &[Example { line: "cd /; pwd", shows: "/" }],
        run: Run::Core(change_directory),
        ..Command::DEFAULT
    },
    Command {
        name: "pwd",
        summary: "show the working directory",
        needs: Permissions::FILES,
        examples: &[Example { line: "cd /; pwd", shows: "/" }],
        run: Run::Core(working_directory),
        ..Command::DEFAULT
    },
    Command {
        name: "cat",
        args: PATH,
        summary: "print a file",
        needs: Permissions::FILES,
        run: Run::Core(cat),
        ..Command::DEFAULT
    },
    Command {
        name: "mkdir",
        args: PATH,
        summary: "make a directory (and those above it)",
        needs: Permissions::FILES.and(Permissions::WRITE),
        run: Run::Core(make_directory),
        ..Command::DEFAULT
    },
    Command {
        name: "rm",
        args: PATH,
        summary: "remove a file",
        needs: Permissions::FILES.and(Permissions::WRITE),
        run: Run::Core(remove),
        ..Command::DEFAULT
    },
    Command {
        name: "*",
        args: &[Arg::new("addr[=value]", ArgKind::Text)],
        summary: "show or set the word at an address",
        details: "The value is a number of asm.bits, or hexpairs.",
        needs: Permissions::READ,
        examples: &[Example { line: "*0=0x11; *0", shows: "0x11" }, Example { line: "*0=aabb; *0", shows: "0xbbaa" }],
        run: Run::Core(pointer),
        ..Command::DEFAULT
    },
];

fn run_program(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let text = args.text.trim();
    if text.is_empty() || text == "-" || text == "-*" || text.chars().all(|c| c.is_ascii_digit()) {
        return Err(Error::new(Kind::Unsupported, "there is no history here: it belongs to the prompt")
            .hint("!program runs a program"));
    }
    program::run(session, text, out)
}

fn environment(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let own = &mut session.shell.environment;
    match args.text.split_once('=') {
        _ if args.text.is_empty() => {
            let mut all: BTreeMap<String, Option<String>> = std::env::vars_os()
                .filter(|(name, _)| name != TOKEN)
                .map(|(name, value)| (name.to_string_lossy().into_owned(), Some(value.to_string_lossy().into_owned())))
                .collect();
            all.extend(own.clone());
            for (name, value) in all.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
                out.line(format_args!("{}={}", visible(name), visible(value)))?;
            }
            Ok(())
        }
        Some((name, value)) => {
            let name = name.trim();
            if name.is_empty() || name.contains('\0') || value.contains('\0') {
                return Err(Error::new(Kind::Usage, format!("bad variable '{}'", visible(&args.text))));
            }
            own.insert(name.to_string(), Some(value.trim().to_string()).filter(|value| !value.is_empty()));
            Ok(())
        }
        None => {
            let value = match own.get(&args.text) {
                Some(value) => value.clone(),
                None if args.text.contains('\0') || args.text == TOKEN => None,
                None => std::env::var_os(&args.text).map(|value| value.to_string_lossy().into_owned()),
            };
            match value {
                Some(value) => out.line(visible(&value)),
                None => Ok(()),
            }
        }
    }
}

fn quit(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let status = ctx.number(0)?.unwrap_or(0);
    ctx.view.quit = Some(status as i32);
    Ok(())
}

fn sleep(_session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let text = args.words.first().map_or("", String::as_str);
    let duration = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let duration = duration.ok_or_else(|| Error::new(Kind::Usage, format!("bad number of seconds '{text}'")))?;
    out.flush()?;
    let start = Instant::now();
    while let Some(left) = duration.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        out.cancel().check()?;
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
    Ok(())
}

#[derive(Serialize)]
struct System {
    os: &'static str,
    arch: &'static str,
}

impl Item for System {
    fn text(&self, out: &mut dyn Write, _style: Style) -> std::io::Result<()> {
        let mut name = self.os.to_string();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        writeln!(out, "{name}")
    }
}

fn uname(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    ctx.out.value(&System { os: std::env::consts::OS, arch: std::env::consts::ARCH })
}

/// A name in a directory.
#[derive(Serialize)]
struct Row {
    name: String,
    directory: bool,
    size: u64,
}

impl Item for Row {
    fn text(&self, out: &mut dyn Write, _style: Style) -> std::io::Result<()> {
        writeln!(out, "{}{}", visible(&self.name), if self.directory { "/" } else { "" })
    }
    fn quiet(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "{}", visible(&self.name))
    }
}

fn list(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let entries = local::list(ctx.view, ctx.word(0).unwrap_or("."))?;
    entries
        .into_iter()
        .try_for_each(|entry| ctx.out.item(&Row { name: entry.name, directory: entry.directory, size: entry.size }))
}

fn change_directory(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    ctx.view.directory = Some(local::enter(ctx.view, ctx.word(0))?);
    Ok(())
}

fn working_directory(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let path = local::directory(ctx.view)?;
    ctx.out.line(visible(&path.to_string_lossy()))
}

fn cat(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let name = ctx.args.words[0].as_str();
    let (mut file, _) = local::open(ctx.view, name)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        ctx.out.cancel().check()?;
        match file.read(&mut buffer).map_err(|e| Error::system(format_args!("cannot read file '{name}'"), &e))? {
            0 => return Ok(()),
            count => ctx.out.write_all(&buffer[..count])?,
        }
    }
}

fn make_directory(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    local::make_directories(ctx.view, ctx.word(0).unwrap_or(""))
}

fn remove(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    local::remove(ctx.view, ctx.word(0).unwrap_or(""))
}

fn pointer(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let text = ctx.args.text.clone();
    let Some((address, value)) = text.split_once('=') else {
        let address = ctx.evaluate(&text)?;
        let value = Scope { core: ctx.core, view: ctx.view }.memory(address, None)?;
        return ctx.out.line(format_args!("0x{value:x}"));
    };
    local::require(ctx.view, Permissions::WRITE, "*")?;
    let address = ctx.evaluate(address)?;
    let value = value.trim();
    let digits = value.as_bytes();
    // As in the dialect: a bare run of hexpairs with a letter in it is bytes, everything else a number.
    if digits.len() % 2 == 0
        && digits.iter().all(u8::is_ascii_hexdigit)
        && digits.iter().any(u8::is_ascii_alphabetic)
        && !digits.is_empty()
    {
        let mut bytes = vec![0; digits.len() / 2];
        faster_hex::hex_decode(digits, &mut bytes)
            .map_err(|error| Error::new(Kind::Format, format!("bad hexpairs '{value}': {error}")))?;
        return ctx.write(address, &bytes);
    }
    let number = ctx.evaluate(value)?;
    let size = (ctx.option_number("asm.bits") as usize / 8).clamp(1, 8);
    let mut bytes = number.to_le_bytes();
    if ctx.option_bool("cfg.bigendian") {
        bytes[..size].reverse();
    }
    ctx.write(address, &bytes[..size])
}
