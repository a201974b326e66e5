//! Standard output and standard error as the program's doors: buffered, and quiet once their reader is gone.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::rc::Rc;

use crate::output::progress::Bar;
use crate::output::{Cancel, Out, Style};
use crate::session::{Session, Value, config};

/// Bytes gathered before they go to standard output.
const BUFFER: usize = 128 * 1024;

/// Where answers and diagnostics go.
pub struct Console {
    out: BufWriter<Answers>,
    errors: Diagnostics,
    gone: Rc<Cell<bool>>,
    terminal: bool,
    plain: bool,
}

/// Standard output; notes when nobody reads it any more, and asks the running command to end.
struct Answers {
    file: File,
    gone: Rc<Cell<bool>>,
    cancel: Cancel,
}

impl Write for Answers {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.cancel.make_way();
        self.file.write(bytes).inspect_err(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe {
                self.gone.set(true);
                self.cancel.set();
            }
        })
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard error; counts what was said, and says nothing once the reader of the answers is gone: closing a pager
/// is not a failure to report.
struct Diagnostics {
    said: usize,
    gone: Rc<Cell<bool>>,
    cancel: Cancel,
}

impl Write for Diagnostics {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.said += bytes.len();
        self.cancel.make_way();
        if self.gone.get() { Ok(bytes.len()) } else { io::stderr().write(bytes) }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Console {
    /// The process's own standard output and error. `cancel` is set when the reader of the output goes away.
    pub fn new(cancel: Cancel) -> io::Result<Console> {
        // Rust's own handle would flush at every line end.
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let terminal = file.is_terminal();
        let gone = Rc::new(Cell::new(false));
        if io::stderr().is_terminal() {
            cancel.show_progress(Some(Box::new(Bar::default())));
        }
        Ok(Console {
            errors: Diagnostics { said: 0, gone: Rc::clone(&gone), cancel: cancel.clone() },
            out: BufWriter::with_capacity(BUFFER, Answers { file, gone: Rc::clone(&gone), cancel }),
            gone,
            terminal,
            plain: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
        })
    }

    /// Whether colours can be shown at all.
    pub fn colorful(&self) -> bool {
        self.terminal && !self.plain
    }

    /// Whether the reader of the answers has gone away.
    pub fn gone(&self) -> bool {
        self.gone.get()
    }

    /// Lets `work` write, in the style that `session` asks for; everything it wrote is handed on at the end. Returns
    /// what `work` returns and whether it said anything on the diagnostics channel.
    pub fn write<R>(&mut self, session: &mut Session, work: impl FnOnce(&mut Session, &mut Out<'_>) -> R) -> (R, bool) {
        let style = self.style(session);
        let before = self.errors.said;
        let out = Out::new(&mut self.out, &mut self.errors, style, session.cancel.clone());
        let mut out = if self.terminal { out.on_terminal() } else { out };
        let result = work(session, &mut out);
        drop(out);
        (result, self.errors.said != before)
    }

    /// Hands everything on.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// One line for the user that is not an answer.
    pub fn note(&mut self, text: impl std::fmt::Display) {
        // A closed standard error must not end the program.
        let _ = writeln!(self.errors, "{text}");
    }

    fn style(&self, session: &Session) -> Style {
        let core = session.core();
        let lookup = |name| config::lookup(&session.view.overrides, &core.config, name);
        let color = self.colorful() && !matches!(lookup("scr.color"), Value::Number(0) | Value::Bool(false));
        let columns = if self.terminal { columns() } else { None };
        Style { color, utf8: lookup("scr.utf8") == Value::Bool(true), columns: columns.unwrap_or(80) }
    }
}

fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col.into())
}
