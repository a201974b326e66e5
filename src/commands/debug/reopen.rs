//! `do`: starting the program again, or the open file as a process; `dL`: what can be debugged.

use std::io::{self, Write};

use serde::Serialize;

use crate::commands::{Arg, ArgKind, Command, Family, Run};
use crate::debug::{Breakpoint, Place, Spec, Start};
use crate::error::{Error, Kind, Result};
use crate::io::plugin::{self, debug};
use crate::io::{Access, PLUGINS};
use crate::output::{Item, Mode, Out, Style, visible};
use crate::session::context::Args;
use crate::session::debug::pending::{self, Waiting, Wanted};
use crate::session::debug::{Mark, debugged, descriptor};
use crate::session::reach::opening;
use crate::session::{Core, Ctx, Load, Permissions, Session, View};
use crate::uri::Uri;

/// The family.
pub const FAMILY: Family = Family { name: "do", summary: "start a program again, under control", commands: COMMANDS };

const DEBUG: Permissions = Permissions::DEBUG;

const COMMANDS: &[Command] = &[
    Command {
        name: "doo",
        aliases: &["do", "ood"],
        args: &[Arg::opt("arg", ArgKind::Text)],
        summary: "start the program again, with these arguments (default: as before); breakpoints stay",
        details: "A file that is open but not debugged is started: 'doo -l /' after 'remora /bin/ls'. What dbg.profile \
                  says holds for the start, and dbg.args are the arguments when none are given and none were.",
        needs: DEBUG,
        run: Run::Session(again),
        ..Command::DEFAULT
    },
    Command {
        name: "doc",
        summary: "close what is debugged: a started program ends, another one goes on",
        needs: DEBUG,
        run: Run::Core(|ctx| {
            let fd = descriptor(ctx.core, ctx.view).ok_or_else(nothing)?;
            ctx.core.close(fd)
        }),
        ..Command::DEFAULT
    },
    Command {
        name: "dor",
        args: &[Arg::opt("key=value", ArgKind::Text)],
        summary: "show or change how the program is started at the next 'doo': dor stdin=/dev/null,chdir=/tmp",
        details: "Keys are those of a profile: setenv=NAME=VALUE unsetenv=NAME clearenv=true chdir stdin stdout stderr \
                  aslr=true. 'dor' alone shows them.",
        needs: DEBUG,
        run: Run::Core(settings),
        ..Command::DEFAULT
    },
    Command {
        name: "dL",
        summary: "list what can be debugged; * marks what is",
        modes: &[Mode::Json, Mode::Quiet],
        needs: Permissions::NONE,
        run: Run::Core(backends),
        ..Command::DEFAULT
    },
];

fn nothing() -> Error {
    Error::new(Kind::NotFound, "no program is open").hint("'remora -d PROGRAM' or 'o dbg://PROGRAM' starts one")
}

/// What the user said about breakpoints, to be said again about those of a new target.
struct Kept {
    points: Vec<(Spec, Mark)>,
    waiting: Vec<Waiting>,
}

fn keep(core: &mut Core, view: &View) -> Result<Kept> {
    let now = debugged(core, view)?;
    let fd = now.fd;
    let found = now.target.breakpoints()?;
    let mine = found.into_iter().filter(|found| !pending::is_own(&now, found.id));
    let mine: Vec<(Spec, Mark)> = mine
        .map(|Breakpoint { id, spec, .. }| {
            (Spec { process: None, thread: None, ..spec }, now.notes.marks.get(&id).cloned().unwrap_or_default())
        })
        .collect();
    let mut kept = Kept { points: Vec::new(), waiting: now.notes.waiting.clone() };
    for (spec, mark) in mine {
        // What lies in a library is not there at the start.
        match core.outside_program(fd, spec.place.address()) {
            Some((module, offset)) if !matches!(spec.place, Place::Watch { .. }) => {
                kept.waiting.push(Waiting { wanted: Wanted::Offset(module, offset), spec, mark });
            }
            _ => kept.points.push((spec, mark)),
        }
    }
    Ok(kept)
}

fn set_again(core: &mut Core, view: &View, kept: Kept) -> Result<()> {
    let now = debugged(core, view)?;
    for (spec, mark) in kept.points {
        let id = now.target.insert(&spec)?;
        now.notes.marks.insert(id, mark);
    }
    kept.waiting.into_iter().try_for_each(|waiting| pending::wait(core, view, waiting))
}

/// The URI that starts what is open, with `arguments` if there are some.
fn uri_again(core: &mut Core, view: &View, arguments: &str) -> Result<(u32, bool, Uri)> {
    let process = descriptor(core, view);
    let runs = match process {
        Some(fd) => core.io.descriptor_mut(fd)?.device().target().is_some_and(|target| target.abilities().runs),
        None => false,
    };
    let fd = process.or(view.descriptor).or(core.io.current()).ok_or_else(nothing)?;
    let uri = core.io.descriptor(fd)?.uri.clone();
    let mut flags = Vec::new();
    if process.is_some() && !runs {
        return Err(
            Error::new(Kind::Unsupported, "a core file cannot be started").hint("open its program: o PROGRAM; doo")
        );
    }
    if process.is_none() {
        // A file of this machine.
        let path = Uri::parse(&uri);
        if !matches!(path.scheme(), None | Some("file")) {
            return Err(Error::new(
                Kind::Unsupported,
                format!("'{}' is no program that can be started", visible(&uri)),
            ));
        }
        let path = path.rest().to_string();
        let path = if path.contains('/') { path } else { format!("./{path}") };
        flags.push(path);
        let line = format!("dbg://{} {arguments}", debug::line(&flags));
        return Ok((fd, false, Uri::parse(line.trim_end())));
    }
    let Some((before, program)) = uri.split_once("dbg://") else {
        return Err(Error::new(Kind::Unsupported, "what was attached to cannot be started again")
            .hint("'o dbg://PROGRAM' starts a program"));
    };
    if program.trim().bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::new(Kind::Unsupported, "what was attached to cannot be started again")
            .hint("'o dbg://PROGRAM' starts a program"));
    }
    let mut words = debug::words(program)?;
    let name = words.iter().position(|word| !word.starts_with("--")).map_or(words.len(), |at| at + 1);
    if !arguments.is_empty() {
        words.truncate(name);
    }
    flags.extend(words);
    let extra = if arguments.is_empty() { String::new() } else { format!(" {arguments}") };
    Ok((fd, true, Uri::parse(&format!("{before}dbg://{}{extra}", debug::line(&flags)))))
}

fn again(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let (fd, known, uri, open, kept) = session.with(|core, view| {
        let (fd, known, uri) = uri_again(core, view, args.text.trim())?;
        let open = opening(core, view, &uri, Access::RWX, out.cancel())?;
        let kept = if known { Some(keep(core, view)?) } else { None };
        Ok::<_, Error>((fd, known, uri, open, kept))
    })?;
    // The old one goes first, as it would otherwise still have its files and ports.
    if known {
        session.with(|core, view| {
            let now = debugged(core, view)?;
            for process in now.target.processes()? {
                let _ = now.target.kill(process.id);
            }
            Ok::<_, Error>(())
        })?;
    }
    let device = plugin::open(&uri, &open);
    open.notices.take().iter().for_each(|line| out.note(line));
    let device = device?;
    session.with(|core, view| {
        let twins = view.reads_files();
        core.forget_names();
        core.close(fd)?;
        let fd = core.io.admit(&uri, &open, device);
        core.load(fd, Load { known: true, twins, ..Load::default() })?;
        if let Some(kept) = kept {
            set_again(core, view, kept)?;
        }
        let mut now = debugged(core, view)?;
        let thread = now.thread()?;
        view.seek = now.pc()?;
        out.note(format_args!("Process with PID {} started...", thread.process));
        out.note(format_args!("File {}  reopened in read-write mode", visible(uri.as_str())));
        Ok(())
    })
}

fn settings(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let text = ctx.args.text.trim().to_string();
    let fd = descriptor(ctx.core, ctx.view).ok_or_else(nothing)?;
    let uri = ctx.core.io.descriptor(fd)?.uri.clone();
    let Some((before, program)) = uri.split_once("dbg://") else {
        return Err(Error::new(Kind::Unsupported, "what was attached to cannot be started again"));
    };
    let words = debug::words(program)?;
    let flags: Vec<String> = words.iter().take_while(|word| word.starts_with("--")).cloned().collect();
    if text.is_empty() {
        return flags.iter().try_for_each(|flag| ctx.out.line(visible(flag.trim_start_matches('-'))));
    }
    let mut all = flags;
    let mut start = Start::default();
    start.profile(&text.replace(',', "\n"))?;
    let more = debug::settings(&start);
    let key = |flag: &str| flag.split('=').next().unwrap_or(flag).replace("--no-", "--");
    // What stands only once replaces what it was before.
    all.retain(|old| key(old) == "--env" || !more.iter().any(|new| key(new) == key(old)));
    all.extend(more);
    all.extend(words.into_iter().skip_while(|word| word.starts_with("--")));
    let uri = format!("{before}dbg://{}", debug::line(&all));
    ctx.core.io.rename(fd, &uri)
}

/// A kind of target.
#[derive(Serialize)]
struct Backend {
    name: &'static str,
    schemes: &'static str,
    desc: &'static str,
    current: bool,
}

impl Item for Backend {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        let mark = if self.current { '*' } else { '-' };
        writeln!(out, "{mark} {:<7} {:<28} {}", self.name, self.schemes, self.desc)
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }
}

fn backends(ctx: &mut Ctx<'_, '_>) -> Result<()> {
    let current = match descriptor(ctx.core, ctx.view) {
        Some(fd) => ctx.core.io.descriptor_mut(fd)?.device().target().map(|target| target.kind()),
        None => None,
    };
    let known = [
        ("native", "ptrace", "dbg:// attach://", "dbg", "programs and processes of this machine, by ptrace"),
        ("rap", "rap", "rap://HOST:PORT/dbg://...", "rap", "those of a machine that runs remora"),
        ("gdb", "gdb", "gdb://HOST:PORT", "gdb", "those behind gdbserver, QEMU and other stubs"),
        ("core", "core", "core://FILE", "core", "what core files and minidumps keep of one"),
    ];
    let offered = |scheme: &str| PLUGINS.iter().any(|plugin| plugin.schemes.contains(&scheme));
    known.into_iter().filter(|(_, _, _, scheme, _)| offered(scheme)).try_for_each(|(name, kind, schemes, _, desc)| {
        ctx.out.item(&Backend { name, schemes, desc, current: current == Some(kind) })
    })
}
