//! The program: arguments, then scripts, commands, a prompt or a server; the exit code.
//!
//! The order: open the file → rc file → `-e` → `-i` → `-c` → prompt or standard input.

mod arguments;
mod console;
pub mod reference;
mod script;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::error::{Error, Kind, Result};
use crate::io::Access;
use crate::io::plugin::debug;
use crate::number;
use crate::output::{Executor, visible};
use crate::prompt::{Prompt, Read, SharedPrompt};
use crate::serve::{self, ServeOptions};
use crate::session::debug::run::introduction;
use crate::session::hosts::{self, Line};
use crate::session::reach::opening;
use crate::session::scope::Scope;
use crate::session::{Core, Load, Session, Value, options};
use crate::uri::Uri;

use arguments::{Arguments, Version};
use console::Console;
use script::SharedLines;

/// A file cannot be opened, or a command failed with nobody at a prompt to see it.
const FAILED: i32 = 1;
/// Ctrl-C ended the run: 128 + SIGINT, as shells count.
const INTERRUPTED: i32 = 130;

/// Runs the program with `args`, its own name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if args.get(1).is_some_and(|word| word == "gdbserver") {
        let words: Vec<String> = args[2..].iter().map(|word| word.to_string_lossy().into_owned()).collect();
        return exit_code(serve::gdb::program::main(&words).unwrap_or_else(|error| {
            let _ = writeln!(io::stderr(), "{error}");
            FAILED
        }));
    }
    let arguments = match Arguments::parse(args) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help that nobody reads is no failure.
            let _ = error.print();
            return exit_code(error.exit_code());
        }
    };
    let outcome = Program::new(arguments).and_then(Program::run);
    exit_code(outcome.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "Error: {error}");
        FAILED
    }))
}

/// The low eight bits, which is all that the system passes on.
fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(code as u8)
}

/// Why a run ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// `q`, with its status.
    Quit(i32),
    /// Ctrl-C, with nobody at a prompt.
    Interrupted,
    /// Nobody reads the answers any more.
    ReaderGone,
    /// The answers cannot be written.
    Unwritable,
}

/// Where lines come from when scripts and commands have run.
enum Input {
    Prompt(SharedPrompt),
    Script(SharedLines),
}

/// Whether the run goes on.
type Flow = ControlFlow<End>;

struct Program {
    arguments: Arguments,
    session: Session,
    console: Console,
    failed: bool,
    /// Whether somebody gets a prompt when scripts and commands have run.
    prompts: bool,
}

impl Program {
    fn new(arguments: Arguments) -> Result<Program> {
        let mut session = Session::new();
        serve::offer(&mut session);
        let console = Console::new(session.cancel.clone())
            .map_err(|error| Error::system("cannot use standard output", &error))?;
        let prompts = !arguments.leaves() && !arguments.pipe && io::stdin().is_terminal() && io::stderr().is_terminal();
        Ok(Program { arguments, session, console, failed: false, prompts })
    }

    fn run(mut self) -> Result<i32> {
        if let Some(page) = self.arguments.reference.as_deref().and_then(reference::page) {
            return self.print(&page);
        }
        if let Some(version) = self.arguments.version {
            let text = self.version(version);
            return self.print(&text);
        }
        if self.arguments.plugins {
            let end = self.line("oL").break_value();
            return Ok(self.leave(end));
        }
        let (options, _) = serve::arguments::parse(&self.arguments.server)?;
        let unused = |program: &Program| match program.arguments.server.first() {
            Some(flag) if program.arguments.http.is_none() => {
                Err(Error::new(Kind::Usage, format!("{flag} is for servers"))
                    .hint("a server is rap://:PORT, raps://[HOST]:PORT, rap+unix:///PATH or --http"))
            }
            _ => Ok(()),
        };
        let Some(file) = self.debugged(self.arguments.file.clone())? else {
            unused(&self)?;
            let elsewhere = self.arguments.connect.is_some() || self.arguments.http.is_some();
            if self.arguments.no_file || elsewhere {
                return self.session(None);
            }
            self.console.note("Error: no file is given (remora FILE|URI, '-' for a scratch buffer; -h for help)");
            return Ok(FAILED);
        };
        let uri = Uri::parse(&file);
        let listening =
            serve::listening(&uri).map_err(|error| error.context(format_args!("cannot open '{}'", visible(&file))))?;
        if listening.is_some() {
            return self.serve(&uri, options);
        }
        unused(&self)?;
        self.session(Some(&uri))
    }

    /// What `-d` makes of the file and the settings: a URI of a process. One that is a URI already says itself what it
    /// is, and gets the settings before its program.
    fn debugged(&self, file: Option<String>) -> Result<Option<String>> {
        let (Some(arguments), Some(file)) = (&self.arguments.debug, &file) else {
            let waits = self.arguments.launch.iter().find(|flag| flag.starts_with("--wait="));
            return Ok(file.or_else(|| waits.map(|flag| format!("dbg://{}", debug::line(std::slice::from_ref(flag))))));
        };
        let mut flags = self.arguments.launch.clone();
        let pid = !file.is_empty() && file.bytes().all(|byte| byte.is_ascii_digit());
        let tail = if arguments.is_empty() { String::new() } else { format!(" {}", debug::line(arguments)) };
        if Uri::parse(file).scheme().is_some() {
            return Ok(Some(match file.split_once("dbg://") {
                Some((before, program)) if !flags.is_empty() => {
                    format!("{before}dbg://{} {program}{tail}", debug::line(&flags))
                }
                _ => format!("{file}{tail}"),
            }));
        }
        if self.prompts && !pid && !flags.iter().any(|flag| flag.starts_with("--stdin=")) {
            // It shares the terminal with the prompt.
            flags.push("--terminal".to_string());
        }
        let words: Vec<String> = flags.iter().chain([file]).chain(arguments).cloned().collect();
        Ok(Some(format!("dbg://{}", debug::line(&words))))
    }

    fn print(mut self, text: &str) -> Result<i32> {
        // What cannot be written shows in the flush.
        let _ = self.console.write(&mut self.session, |_, out| out.write_all(text.as_bytes()));
        let end = self.flush().break_value();
        Ok(self.leave(end))
    }

    fn version(&self, version: Version) -> String {
        let number = env!("CARGO_PKG_VERSION");
        let here = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        match version {
            Version::Short if self.arguments.quiet > 0 => format!("{number}\n"),
            Version::Short => format!("remora {number} @ {here}\n"),
            Version::Long => {
                let schemes: Vec<&str> =
                    crate::io::PLUGINS.iter().flat_map(|plugin| plugin.schemes.iter().copied()).collect();
                format!("remora {number} @ {here}\nopens: {}\n", schemes.join(", "))
            }
        }
    }

    /// Serves until Ctrl-C.
    fn serve(&self, uri: &Uri, options: ServeOptions) -> Result<i32> {
        let (reader, writer) = io::pipe().map_err(|error| Error::system("cannot make a pipe", &error))?;
        for signal in [SIGINT, SIGTERM] {
            let writer = writer.try_clone().map_err(|error| Error::system("cannot copy a pipe", &error))?;
            signal_hook::low_level::pipe::register(signal, writer)
                .map_err(|error| Error::system("cannot catch signals", &error))?;
        }
        let server = serve::listen(uri, options)?;
        let stopper = server.clone();
        std::thread::spawn(move || {
            // Any end of the wait is a reason to stop.
            let _ = io::Read::read(&mut &reader, &mut [0]);
            stopper.stop();
        });
        server.run();
        Ok(0)
    }

    /// Opens `uri` and works with it.
    fn session(mut self, uri: Option<&Uri>) -> Result<i32> {
        self.catch_interrupts()?;
        if self.console.colorful() {
            self.set("scr.color=1")?;
        }
        if self.prompts {
            // Somebody is there to see the certificate of a new host.
            self.set("net.firstuse=true")?;
        }
        // What these decide is decided when the file is opened; what is wrong with them is said with the others.
        for setting in self.arguments.settings.clone().iter().filter(|text| early(text)) {
            let _ = self.set(setting);
        }
        if let Some(uri) = uri
            && let Err(error) = self.open(uri)
        {
            self.console.note(format_args!("Error: {error}"));
            return Ok(if error.kind() == Kind::Interrupted { INTERRUPTED } else { FAILED });
        }
        self.introduce();
        let end = match self.start_up() {
            Flow::Continue(()) if !self.connect() => return Ok(FAILED),
            Flow::Continue(()) => self.work(),
            end => end,
        };
        Ok(self.leave(end.break_value()))
    }

    /// Tells whoever sits there which process it is, and lets it run to where `dbg.bep` says.
    fn introduce(&mut self) {
        if self.prompts
            && let Some(line) = self.session.with(introduction)
        {
            self.console.note(line);
        }
        let first = self.session.core().config.get("dbg.bep").map(ToString::to_string).unwrap_or_default();
        let place = match first.as_str() {
            "entry" | "constructor" => "entry0",
            "main" => "main",
            _ => return,
        };
        if self.arguments.debug.is_some() {
            let _ = self.line(&format!("dcu {place}"));
        }
    }

    /// At a prompt Ctrl-C ends the running command, elsewhere the run; a second one does not wait for the command.
    fn catch_interrupts(&mut self) -> Result<()> {
        let flag = self.session.cancel.flag();
        let caught = if self.prompts {
            Ok(())
        } else {
            signal_hook::flag::register_conditional_shutdown(SIGINT, INTERRUPTED, Arc::clone(&flag)).map(drop)
        };
        caught
            .and_then(|()| signal_hook::flag::register(SIGINT, flag).map(drop))
            .map_err(|error| Error::system("cannot catch Ctrl-C", &error))
    }

    fn open(&mut self, uri: &Uri) -> Result<()> {
        let at = match self.arguments.map.clone() {
            Some(text) => Some(self.evaluate(&text)?),
            None => None,
        };
        let base = match self.arguments.base.clone() {
            Some(text) => Some(self.evaluate(&text)?),
            None => at,
        };
        let load = Load { address: base, raw: self.arguments.raw > 0, known: self.arguments.raw != 1, twins: true };
        let writes = self.arguments.write || self.arguments.debug.is_some();
        let access = if writes { Access::RWX } else { Access::RX };
        let open = opening(&self.session.core(), &self.session.view, uri, access, &self.session.cancel)?;
        let outcome = self.session.with(|core, view| {
            let fd = core.io.open(uri, &open)?;
            let entry = core.load(fd, load)?;
            view.seek = program_counter(core).or(entry).or(at).unwrap_or(0);
            Ok(())
        });
        open.notices.take().iter().for_each(|line| self.console.note(line));
        outcome
    }

    /// The rc file, `-e` and its relatives, and the place to start at.
    fn start_up(&mut self) -> Flow {
        if !self.arguments.no_rc
            && let Some(rc) = configuration("rc")
            && rc.is_file()
        {
            self.script(&rc)?;
        }
        let relatives = [
            ("asm.bits", self.arguments.bits.clone()),
            ("asm.arch", self.arguments.arch.clone()),
            ("asm.os", self.arguments.os.clone()),
        ];
        let relatives = relatives.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        let settings: Vec<String> = relatives.chain(self.arguments.settings.clone()).collect();
        for setting in settings {
            if let Err(error) = self.set(&setting) {
                self.fail(&error);
            }
        }
        if let Some(text) = self.arguments.seek.clone() {
            match self.evaluate(&text) {
                Ok(address) => self.session.view.seek = address,
                Err(error) => self.fail(&error),
            }
        }
        Flow::Continue(())
    }

    /// `-C`: connects, and lets what follows run there. A place without a protocol is a web server.
    fn connect(&mut self) -> bool {
        let Some(place) = self.arguments.connect.clone() else { return true };
        let uri = if place.contains("://") { place } else { format!("http://{place}") };
        let (outcome, _) = self.console.write(&mut self.session, |session, out| {
            let how = Line { security: session.security()?, timeout: session.timeout(), cancel: out.cancel().clone() };
            let connected = hosts::connect(&uri, &how)?;
            connected.note.into_iter().for_each(|note| out.note(note));
            session.view.remote = Some(session.hosts.add(connected.host)?);
            Ok(())
        });
        outcome.inspect_err(|error| self.fail(error)).is_ok()
    }

    /// Scripts, commands, then the prompt or standard input.
    fn work(&mut self) -> Flow {
        // Sessions inside this one (`==`) read from the same place as this one.
        let input = if self.prompts {
            let prompt = SharedPrompt::new(Prompt::new(state("history").as_deref()));
            self.session.lines = Some(Box::new(prompt.clone()));
            Input::Prompt(prompt)
        } else {
            let lines = SharedLines::new(self.session.cancel.clone());
            self.session.lines = Some(Box::new(lines.clone()));
            Input::Script(lines)
        };
        if self.arguments.pipe {
            self.end_answer()?;
        }
        for script in self.arguments.scripts.clone() {
            self.script(&script)?;
        }
        for line in self.arguments.commands.clone() {
            self.line(&line)?;
        }
        if let Some(place) = self.arguments.http.clone() {
            let words = std::iter::once(place).filter(|place| !place.is_empty()).chain(self.arguments.server.clone());
            let words: Vec<String> = words.map(|word| quoted(&word)).collect();
            return self.line(&format!("=h {}", words.join(" ")));
        }
        match input {
            Input::Prompt(prompt) => self.prompt(&prompt),
            Input::Script(_) if self.arguments.leaves() && !self.arguments.pipe => Flow::Continue(()),
            Input::Script(lines) => self.standard_input(&lines),
        }
    }

    /// Runs the lines of a file.
    fn script(&mut self, path: &Path) -> Flow {
        match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).lines().try_for_each(|line| self.line(line)),
            Err(error) => {
                self.fail(&Error::system(format_args!("cannot read the script '{}'", path.display()), &error));
                Flow::Continue(())
            }
        }
    }

    /// Runs the lines of standard input.
    fn standard_input(&mut self, lines: &SharedLines) -> Flow {
        loop {
            match lines.next() {
                Ok(Some(line)) => {
                    self.line(&line)?;
                    if self.arguments.pipe {
                        self.end_answer()?;
                    }
                }
                Ok(None) if self.session.cancel.is_set() => return Flow::Break(End::Interrupted),
                Ok(None) => return Flow::Continue(()),
                Err(error) => {
                    self.fail(&Error::system("cannot read standard input", &error));
                    return Flow::Continue(());
                }
            }
        }
    }

    /// Runs what is typed at a prompt.
    fn prompt(&mut self, prompt: &SharedPrompt) -> Flow {
        self.session.view.interactive = true;
        // The option is in the table, so this cannot fail.
        let _ = self.set("scr.interactive=true");
        let mut warned = false;
        loop {
            self.session.cancel.clear();
            let text = prompt_text(&mut self.session);
            let line = match prompt.read(&mut self.session, &text) {
                Ok(Read::Line(line)) => line,
                Ok(Read::Cleared) => continue,
                Ok(Read::End) if warned || self.pending() == 0 => return Flow::Break(End::Quit(0)),
                Ok(Read::End) => {
                    warned = true;
                    self.announce("wci writes them, q! leaves");
                    continue;
                }
                Err(error) => {
                    self.fail(&error);
                    return Flow::Continue(());
                }
            };
            warned = false;
            match self.line(&line) {
                Flow::Break(End::Quit(_)) if self.pending() > 0 && !line.trim_start().starts_with("q!") => {
                    self.session.view.quit = None;
                    self.announce("wci writes them, q! leaves");
                }
                flow => flow?,
            }
        }
    }

    /// Runs a top-level line and hands on what it said.
    fn line(&mut self, line: &str) -> Flow {
        if self.prompts {
            // A Ctrl-C that ended the last line has done its work.
            self.session.cancel.clear();
        }
        self.session.view.failed = false;
        let (outcome, said) = self.console.write(&mut self.session, |session, out| session.execute(line, out));
        self.failed |= self.session.view.failed || outcome.is_err();
        if let Err(error) = outcome
            && !said
        {
            self.console.note(format_args!("Error: {error}"));
        }
        self.flush()?;
        if let Some(status) = self.session.view.quit {
            return Flow::Break(End::Quit(status));
        }
        if self.session.cancel.is_set() && !self.prompts {
            return Flow::Break(End::Interrupted);
        }
        Flow::Continue(())
    }

    /// The NUL that ends an answer for r2pipe.
    fn end_answer(&mut self) -> Flow {
        // What cannot be written shows in the flush.
        let _ = self.console.write(&mut self.session, |_, out| out.write_all(&[0]));
        self.flush()
    }

    fn flush(&mut self) -> Flow {
        match self.console.flush() {
            _ if self.console.gone() => Flow::Break(End::ReaderGone),
            Ok(()) => Flow::Continue(()),
            Err(error) => {
                self.fail(&Error::system("cannot write the output", &error));
                Flow::Break(End::Unwritable)
            }
        }
    }

    fn fail(&mut self, error: &Error) {
        self.failed = true;
        self.console.note(format_args!("Error: {error}"));
    }

    /// Sets an option from `key=value`, for everybody.
    fn set(&mut self, setting: &str) -> Result<()> {
        let Some((name, value)) = setting.split_once('=') else {
            return Err(Error::new(Kind::Usage, format!("-e {setting}: there is no '='")).hint("-e key=value"));
        };
        let option = options::find(name.trim()).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("no option is called '{}'", name.trim())).hint("'e' lists them")
        })?;
        self.session.with(|core, view| {
            let mut config = std::mem::take(&mut core.config);
            let outcome = config.set(option, value, |text| number::evaluate(text, &mut Scope { core, view }));
            core.config = config;
            outcome
        })
    }

    fn evaluate(&mut self, text: &str) -> Result<u64> {
        self.session.with(|core, view| number::evaluate(text, &mut Scope { core, view }))
    }

    /// Bytes that `io.cache` holds back.
    fn pending(&self) -> usize {
        self.session.core().io.overlay.pending()
    }

    fn announce(&mut self, advice: &str) {
        let pending = self.pending();
        self.console.note(format_args!("{pending} bytes in io.cache are not written; {advice}"));
    }

    fn leave(mut self, end: Option<End>) -> i32 {
        if self.session.core().config.get("dbg.exitkills") == Some(&Value::Bool(false)) {
            self.session.with(|core, _| core.let_processes_go());
        }
        if self.pending() > 0 && !self.prompts {
            self.announce("wci writes them");
        }
        let status = match end {
            None => 0,
            Some(End::Quit(status)) => status,
            Some(End::Interrupted) => INTERRUPTED,
            Some(End::ReaderGone) => return 0,
            Some(End::Unwritable) => FAILED,
        };
        let status = self.status(status);
        // Processes, here or over there, are left as they should be, and not as a program leaves that is killed.
        crate::session::debug::leave(&mut self.session.core());
        if self.arguments.quick {
            // Everything was flushed after its line; the system closes the rest faster.
            std::process::exit(status);
        }
        status
    }

    /// With nobody at a prompt, a failed statement shows in the status.
    fn status(&self, status: i32) -> i32 {
        if status == 0 && self.failed && !self.prompts && !self.arguments.pipe { FAILED } else { status }
    }
}

/// Where the process goes on that was just opened, if it is one.
fn program_counter(core: &mut Core) -> Option<u64> {
    let fd = core.io.current()?;
    let target = core.io.descriptor_mut(fd).ok()?.device().target()?;
    let thread = target.current()?;
    crate::debug::program_counter(target, thread).ok()
}

/// `word` as a line of commands has it, whatever is in it.
fn quoted(word: &str) -> String {
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:,=[]".contains(&byte));
    if plain { word.to_string() } else { format!("'{}'", word.replace('\\', "\\\\").replace('\'', "\\'")) }
}

/// Options that change how a file is opened, and so are set before.
fn early(setting: &str) -> bool {
    ["bin.", "dbg.", "io.", "net."].iter().any(|start| setting.trim_start().starts_with(start))
}

/// `[0x00005ae0]> `; in remote command mode with the host, and where one is over there.
fn prompt_text(session: &mut Session) -> String {
    let cancel = session.cancel.clone();
    match session.view.remote.and_then(|slot| session.hosts.get(slot).ok()) {
        None => format!("[0x{:08x}]> ", session.view.seek),
        Some(host) => match host.seek(&cancel) {
            Some(seek) => format!("[{} 0x{seek:08x}]> ", host.name),
            None => format!("[{}]> ", host.name),
        },
    }
}

/// A file in the user's configuration directory.
fn configuration(name: &str) -> Option<PathBuf> {
    Some(base("XDG_CONFIG_HOME", ".config")?.join("remora").join(name))
}

/// A file in the user's state directory.
fn state(name: &str) -> Option<PathBuf> {
    Some(base("XDG_STATE_HOME", ".local/state")?.join("remora").join(name))
}

/// A base directory: `variable`, which counts only when it is an absolute path, or `default` in the home directory.
fn base(variable: &str, default: &str) -> Option<PathBuf> {
    let given = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    given.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(default)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_shows_where_one_is() {
        let mut session = Session::new();
        session.view.seek = 0x5ae0;
        assert_eq!(prompt_text(&mut session), "[0x00005ae0]> ");
        session.view.seek = 0xffff_ffff_8100_0000;
        assert_eq!(prompt_text(&mut session), "[0xffffffff81000000]> ");
        // A host that has gone leaves no trace in the prompt.
        session.view.remote = Some(1);
        assert_eq!(prompt_text(&mut session), "[0xffffffff81000000]> ");
    }

    #[test]
    fn settings_are_checked_one_by_one() {
        let mut program = Program::new(Arguments::default()).unwrap();
        assert!(program.set("io.cache=true").is_ok());
        assert_eq!(program.session.core().config.get("io.cache"), Some(&Value::Bool(true)));
        assert!(program.set("asm.bits=16+16").is_err() || program.session.core().config.get("asm.bits").is_some());
        assert_eq!(program.set("no.such=1").unwrap_err().kind(), Kind::NotFound);
        assert_eq!(program.set("io.cache").unwrap_err().kind(), Kind::Usage);
        assert!(early("io.cache=1") && early("net.timeout=1") && !early("scr.color=1"));
    }
}
