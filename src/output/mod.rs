//! How answers leave a command: [`Out`] takes records, text or bytes and renders them in the asked [`Mode`].
//!
//! A command pushes [`Item`]s and never looks at the mode; suffixes (`j`, `q`, `*`) are rendered here. Long output
//! streams: every write first looks at the [`Cancel`] flag, so Ctrl-C ends a command within one row.

mod many;
pub mod printer;
pub mod progress;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::error::{Error, Kind, Result};
pub use progress::Progress;

/// How a command's records are rendered; chosen by the suffix of the command's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// For people.
    Text,
    /// Suffix `j`: one line of JSON.
    Json,
    /// Suffix `q`: terse, for scripts.
    Quiet,
    /// Suffix `*`: commands that recreate the state.
    Commands,
}

impl Mode {
    /// What is appended to a command's name to ask for this mode.
    pub fn suffix(self) -> &'static str {
        match self {
            Mode::Text => "",
            Mode::Json => "j",
            Mode::Quiet => "q",
            Mode::Commands => "*",
        }
    }
}

/// A shared flag that ends a running command: set by Ctrl-C, by a client's cancel request or by a closing connection.
/// Whoever waits or works looks at it, and so it also knows how far the command is.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    flag: Arc<AtomicBool>,
    meter: progress::Meter,
}

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Cancel {
        Cancel::default()
    }
    /// Asks whatever runs under this flag to end.
    pub fn set(&self) {
        self.0.flag.store(true, Ordering::SeqCst);
    }
    /// Takes the request back, before the next command.
    pub fn clear(&self) {
        self.0.flag.store(false, Ordering::SeqCst);
    }
    /// Whether the end was asked for.
    pub fn is_set(&self) -> bool {
        self.0.flag.load(Ordering::Relaxed)
    }
    /// An error of [`Kind::Interrupted`] when the end was asked for. Shows how far the work is, too.
    pub fn check(&self) -> Result<()> {
        self.0.meter.look();
        if self.is_set() { Err(Error::new(Kind::Interrupted, "interrupted")) } else { Ok(()) }
    }
    /// The flag itself, for signal handlers.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.flag)
    }

    /// Work of `total` bytes (0: nobody knows) begins: see [`Out::progress`].
    pub fn progress(&self, what: impl std::fmt::Display, total: u64) -> Progress {
        self.0.meter.begin(self, &what, total)
    }
    /// For whoever does a part of the work and knows how far the whole is: `done` bytes, of `total` if that is news.
    pub fn report_progress(&self, done: u64, total: Option<u64>) {
        self.0.meter.report(done, total);
    }
    /// Shows on `display` how far work is; `None`: nobody watches.
    pub fn show_progress(&self, display: Option<Box<dyn progress::Display>>) {
        self.0.meter.watch(display);
    }
    /// Takes away what shows how far work is, because output comes.
    pub fn make_way(&self) {
        self.0.meter.make_way();
    }
    fn meter(&self) -> &progress::Meter {
        &self.0.meter
    }
}

/// What the reader of the output can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours are wanted.
    pub color: bool,
    /// Box drawing and other non-ASCII characters are wanted.
    pub utf8: bool,
    /// Width in columns.
    pub columns: usize,
}

impl Default for Style {
    fn default() -> Style {
        Style { color: false, utf8: false, columns: 80 }
    }
}

/// A record that a command reports: serialised for JSON, and able to say how it looks as text.
pub trait Item: Serialize {
    /// The text for people, with its line ends.
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()>;
    /// The terse text (suffix `q`).
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        self.text(out, Style::default())
    }
    /// The commands that recreate it (suffix `*`).
    fn commands(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

/// Runs lines in the shell language: the local session and every kind of peer. Local is remote at distance zero.
pub trait Executor {
    /// Runs `line` and writes what it says to `out`. Errors of single statements are reported through
    /// [`Out::error`] and summed up in the result.
    fn execute(&mut self, line: &str, out: &mut Out<'_>) -> Result<()>;

    /// How the last line ended over there; `None`: nobody knows, or it ran here.
    fn outcome(&self) -> Option<Outcome> {
        None
    }
}

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// `$?`.
    pub last: u64,
    /// Whether a statement failed.
    pub failed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Json {
    Nothing,
    List,
    Value,
}

/// Where a command's answer goes.
pub struct Out<'a> {
    sink: &'a mut dyn Write,
    errors: &'a mut dyn Write,
    mode: Mode,
    style: Style,
    cancel: Cancel,
    json: Json,
    terminal: bool,
}

impl<'a> Out<'a> {
    /// Output to `sink`, diagnostics to `errors`.
    pub fn new(sink: &'a mut dyn Write, errors: &'a mut dyn Write, style: Style, cancel: Cancel) -> Out<'a> {
        Out { sink, errors, mode: Mode::Text, style, cancel, json: Json::Nothing, terminal: false }
    }

    /// The same, when `sink` and `errors` are this process's own terminal: programs (`!vi`) may take it over.
    pub fn on_terminal(mut self) -> Out<'a> {
        self.terminal = true;
        self
    }

    /// Whether the output goes straight to this process's own terminal.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The two destinations, for a sink that wraps the first one (a copy, a pipe through a program).
    pub fn split(&mut self) -> (&mut dyn Write, &mut dyn Write) {
        (&mut *self.sink, &mut *self.errors)
    }

    /// The same destination for another command, in `mode`.
    pub fn with_mode(&mut self, mode: Mode) -> Out<'_> {
        Out {
            sink: &mut *self.sink,
            errors: &mut *self.errors,
            mode,
            style: self.style,
            cancel: self.cancel.clone(),
            json: Json::Nothing,
            terminal: self.terminal,
        }
    }

    /// The same diagnostics and cancel flag, but the output collected in (or piped to) `sink`, in `style`.
    pub fn redirect<'b>(&'b mut self, sink: &'b mut dyn Write, style: Style) -> Out<'b> {
        Out {
            sink,
            errors: &mut *self.errors,
            mode: Mode::Text,
            style,
            cancel: self.cancel.clone(),
            json: Json::Nothing,
            terminal: false,
        }
    }

    /// The same output, but the diagnostics to `errors` (for `2>`).
    pub fn redirect_errors<'b>(&'b mut self, errors: &'b mut dyn Write) -> Out<'b> {
        Out {
            sink: &mut *self.sink,
            errors,
            mode: self.mode,
            style: self.style,
            cancel: self.cancel.clone(),
            json: Json::Nothing,
            terminal: self.terminal,
        }
    }

    /// What the reader can show.
    pub fn style(&self) -> Style {
        self.style
    }

    /// The flag that ends the running command.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Work of `total` bytes (0: nobody knows) begins, called `what` ("hashing"). Where somebody waits at a terminal, a
    /// bar shows how far it is once it has been silent for half a second, for as long as the value lives and
    /// [`Cancel::check`] is called. [`Progress::at`] says how far it is.
    pub fn progress(&self, what: impl std::fmt::Display, total: u64) -> Progress {
        self.cancel.progress(what, total)
    }

    /// The mode that the command's name asked for. For the few commands whose text is not a list of records
    /// (streams of bytes, which also have a JSON form); everything else pushes items.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// One record of a list: a row of text, or an element of a JSON array.
    pub fn item<T: Item>(&mut self, item: &T) -> Result<()> {
        self.cancel.check()?;
        match self.mode {
            Mode::Json => {
                let head: &[u8] = if self.json == Json::Nothing { b"[" } else { b"," };
                self.json = Json::List;
                self.write_all(head)?;
                serde_json::to_writer(&mut *self.sink, item).map_err(json_error)
            }
            _ => self.render(item),
        }
    }

    /// The only record of an answer: text, or one JSON value.
    pub fn value<T: Item>(&mut self, item: &T) -> Result<()> {
        self.cancel.check()?;
        match self.mode {
            Mode::Json => {
                self.json = Json::Value;
                serde_json::to_writer(&mut *self.sink, item).map_err(json_error)
            }
            _ => self.render(item),
        }
    }

    fn render<T: Item>(&mut self, item: &T) -> Result<()> {
        let style = self.style;
        match self.mode {
            Mode::Text | Mode::Json => item.text(&mut *self.sink, style),
            Mode::Quiet => item.quiet(&mut *self.sink),
            Mode::Commands => item.commands(&mut *self.sink),
        }
        .map_err(sink_error)
    }

    /// Several elements of a JSON array at once (hexdumps as numbers). Ignored in the other modes.
    pub fn json_elements<T: Serialize>(&mut self, elements: impl IntoIterator<Item = T>) -> Result<()> {
        self.cancel.check()?;
        if self.mode != Mode::Json {
            return Ok(());
        }
        for element in elements {
            let head: &[u8] = if self.json == Json::Nothing { b"[" } else { b"," };
            self.json = Json::List;
            self.write_all(head)?;
            serde_json::to_writer(&mut *self.sink, &element).map_err(json_error)?;
        }
        Ok(())
    }

    /// Plain bytes, as they are: rendered text of streaming commands.
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.cancel.check()?;
        self.sink.write_all(bytes).map_err(sink_error)
    }

    /// A line of text.
    pub fn line(&mut self, text: impl std::fmt::Display) -> Result<()> {
        self.cancel.check()?;
        writeln!(self.sink, "{text}").map_err(sink_error)
    }

    /// One line for the user that is not part of the answer: a warning, a progress note (standard error).
    pub fn note(&mut self, text: impl std::fmt::Display) {
        // A reader that has gone away must not turn a note into a failure.
        let _ = writeln!(self.errors, "{text}");
    }

    /// Reports an error as one line on the diagnostics channel.
    pub fn error(&mut self, error: &Error) {
        self.note(format_args!("Error: {error}"));
    }

    /// Hands what was written so far to its reader.
    pub fn flush(&mut self) -> Result<()> {
        self.sink.flush().map_err(sink_error)
    }

    /// Ends the answer: closes the JSON array (or writes the empty one) and its line.
    pub fn finish(&mut self) -> Result<()> {
        if self.mode != Mode::Json {
            return Ok(());
        }
        let tail: &[u8] = match self.json {
            Json::Nothing => b"[]\n",
            Json::List => b"]\n",
            Json::Value => b"\n",
        };
        self.json = Json::Nothing;
        self.write_all(tail)
    }
}

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cancel.is_set() {
            return Err(io::Error::other(Error::new(Kind::Interrupted, "interrupted")));
        }
        self.sink.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

fn sink_error(error: io::Error) -> Error {
    if error.get_ref().is_some_and(|inner| inner.downcast_ref::<Error>().is_some_and(|e| e.kind() == Kind::Interrupted))
    {
        return Error::new(Kind::Interrupted, "interrupted");
    }
    Error::system(CANNOT_WRITE, &error)
}

const CANNOT_WRITE: &str = "cannot write the output";

/// Whether `error` says that the reader of the output has gone away, so that nothing more needs to be computed
/// (as opposed to a peer that closed its connection).
pub fn reader_is_gone(error: &Error) -> bool {
    error.kind() == Kind::Closed && error.message().starts_with(CANNOT_WRITE)
}

fn json_error(error: serde_json::Error) -> Error {
    match error.io_error_kind() {
        Some(kind) => sink_error(kind.into()),
        None => Error::new(Kind::Format, format!("cannot render as JSON: {error}")),
    }
}

/// `text` with everything that could steer a terminal made visible: control characters become `\x1b`-style escapes.
/// For every string that came from a target or a peer.
pub fn visible(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.chars().any(|c| c.is_control()) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            c if c.is_control() => shown.push_str(&format!("\\x{:02x}", c as u32)),
            c => shown.push(c),
        }
    }
    shown.into()
}
