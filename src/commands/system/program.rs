//! Programs of this machine, run by `/bin/sh`: their output streams into the answer, and Ctrl-C ends them.

use std::io::{self, BufWriter, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::output::{Cancel, Out, Style};
use crate::session::{Session, Value, config, options};

/// How long to wait before looking at the cancel flag again.
const TICK: Duration = Duration::from_millis(20);

/// How many of them the last output of a program that has ended may take.
const LAST_WORDS: u32 = 4;

/// How much a program may complain.
const ERRORS_LIMIT: usize = 1 << 20;

/// Runs `text` and passes on what it prints. On this process's own terminal the program takes it over.
pub fn run(session: &Session, text: &str, out: &mut Out<'_>) -> Result<()> {
    out.flush()?;
    let mut command = command(session, text);
    if out.is_terminal() {
        command.status().map_err(|error| Error::system("cannot run /bin/sh", &error))?;
        return Ok(());
    }
    let cancel = out.cancel().clone();
    let (sink, errors) = out.split();
    command.stdin(Stdio::null());
    let mut program = Program::start(command, false, cancel, sink)?;
    let complaints = program.finish()?;
    errors.write_all(&complaints).map_err(|error| Error::system("cannot write errors", &error))
}

/// Runs `text` with what `produce` writes as its input, and passes on what it prints. A program that stops reading
/// ends `produce` quietly.
pub fn pipe(
    session: &mut Session,
    text: &str,
    out: &mut Out<'_>,
    produce: impl FnOnce(&mut Session, &mut Out<'_>) -> Result<()>,
) -> Result<()> {
    out.flush()?;
    let (style, cancel, terminal) = (out.style(), out.cancel().clone(), out.is_terminal());
    let mut command = command(session, text);
    command.stdin(Stdio::piped());
    let (sink, errors) = out.split();
    let mut program = Program::start(command, terminal, cancel.clone(), sink)?;
    let produced = {
        let mut buffer = BufWriter::with_capacity(1 << 16, &mut program);
        let mut inner = Out::new(&mut buffer, &mut *errors, Style { color: false, ..style }, cancel);
        let produced = produce(session, &mut inner);
        let flushed = inner.flush();
        produced.and(flushed)
    };
    let gone = program.gone;
    let complaints = program.finish()?;
    errors.write_all(&complaints).map_err(|error| Error::system("cannot write errors", &error))?;
    if gone { Ok(()) } else { produced }
}

/// `sh -c text` in the client's directory, with the client's environment and the session's facts.
fn command(session: &Session, text: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(text);
    // A macro's values reach the program as the shell's own parameters, so that none of them is read as its language.
    if let Some(frame) = session.shell.frames.last() {
        command.args(&frame.values);
        command.envs(frame.parameters.iter().zip(&frame.values));
    }
    // A secret for servers is none for programs.
    command.env_remove(super::TOKEN);
    if let Some(directory) = &session.view.directory {
        command.current_dir(directory);
    }
    command.envs(facts(session));
    for (name, value) in &session.shell.environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// What programs are told about the session.
fn facts(session: &Session) -> Vec<(&'static str, String)> {
    let core = session.core();
    let view = &session.view;
    let option = |name: &str| {
        options::find(name).map(|_| match config::lookup(&view.overrides, &core.config, name) {
            Value::Bool(value) => u8::from(value).to_string(),
            value => value.to_string(),
        })
    };
    let mut facts = vec![
        ("RZ_OFFSET", view.seek.to_string()),
        ("RZ_XOFFSET", format!("0x{:08x}", view.seek)),
        ("RZ_BSIZE", view.block_size.to_string()),
        ("RZ_DEBUG", "0".to_string()),
    ];
    if let Some(descriptor) = core.io.current().and_then(|fd| core.io.descriptor(fd).ok()) {
        facts.push(("RZ_FILE", descriptor.uri.clone()));
        facts.extend(descriptor.size().map(|size| ("RZ_SIZE", size.to_string())));
    }
    let named = [("RZ_ARCH", "asm.arch"), ("RZ_BITS", "asm.bits"), ("RZ_IOVA", "io.va"), ("RZ_COLOR", "scr.color")];
    facts.extend(named.into_iter().filter_map(|(name, key)| option(key).map(|value| (name, value))));
    let big = option("cfg.bigendian").is_some_and(|value| value == "1");
    facts.push(("RZ_ENDIAN", if big { "big" } else { "little" }.to_string()));
    facts
}

enum Chunk {
    Output(Vec<u8>),
    Errors(Vec<u8>),
}

/// A running program. Writing to it feeds its input; what it prints goes to `sink` meanwhile, so that neither side
/// can block the other.
struct Program<'o> {
    child: Child,
    input: Option<SyncSender<Vec<u8>>>,
    chunks: Receiver<Chunk>,
    complaints: Vec<u8>,
    cancel: Cancel,
    sink: &'o mut dyn Write,
    /// Whether the program is in a process group of its own.
    grouped: bool,
    ended: bool,
    /// Whether the program stopped reading.
    gone: bool,
}

impl<'o> Program<'o> {
    fn start(mut command: Command, terminal: bool, cancel: Cancel, sink: &'o mut dyn Write) -> Result<Program<'o>> {
        use std::os::unix::process::CommandExt;
        if !terminal {
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        }
        let mut child = command.spawn().map_err(|error| Error::system("cannot run /bin/sh", &error))?;
        let (sender, chunks) = sync_channel(32);
        if let Some(stdout) = child.stdout.take() {
            let sender = sender.clone();
            thread::spawn(move || forward(stdout, &sender, Chunk::Output));
        }
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || forward(stderr, &sender, Chunk::Errors));
        }
        let input = child.stdin.take().map(|mut stdin| {
            let (input, pieces) = sync_channel::<Vec<u8>>(8);
            thread::spawn(move || {
                // Ends when the program closes its input (and so hangs up on the sender) or nothing more comes.
                while pieces.recv().is_ok_and(|piece| stdin.write_all(&piece).is_ok()) {}
            });
            input
        });
        Ok(Program {
            child,
            input,
            chunks,
            complaints: Vec::new(),
            cancel,
            sink,
            grouped: !terminal,
            ended: false,
            gone: false,
        })
    }

    fn take(&mut self, chunk: Chunk) -> io::Result<()> {
        match chunk {
            Chunk::Output(bytes) => self.sink.write_all(&bytes),
            Chunk::Errors(bytes) => {
                let room = ERRORS_LIMIT.saturating_sub(self.complaints.len());
                self.complaints.extend_from_slice(&bytes[..bytes.len().min(room)]);
                Ok(())
            }
        }
    }

    /// Closes the input, passes on the rest of the output, and waits for the end. Returns the error output.
    fn finish(&mut self) -> Result<Vec<u8>> {
        self.input = None;
        let mut silent = 0;
        loop {
            match self.chunks.recv_timeout(TICK) {
                Ok(chunk) => self.take(chunk).map_err(|error| Error::system("cannot write the output", &error))?,
                Err(RecvTimeoutError::Disconnected) => break,
                // What the program said last may still be on its way. One in the background may keep the pipe open for
                // ever; it is not waited for.
                Err(RecvTimeoutError::Timeout) if self.exited()?.is_some() => match silent {
                    LAST_WORDS.. => break,
                    _ => silent += 1,
                },
                Err(RecvTimeoutError::Timeout) => self.cancel.check()?,
            }
        }
        while self.exited()?.is_none() {
            self.cancel.check()?;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(std::mem::take(&mut self.complaints))
    }

    fn exited(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait().map_err(|error| Error::system("cannot wait for /bin/sh", &error))?;
        self.ended |= status.is_some();
        Ok(status)
    }
}

impl Write for Program<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut piece = bytes.to_vec();
        loop {
            if self.cancel.is_set() {
                return Err(io::Error::other(Error::new(Kind::Interrupted, "interrupted")));
            }
            while let Ok(chunk) = self.chunks.try_recv() {
                self.take(chunk)?;
            }
            let Some(input) = &self.input else { return Err(io::ErrorKind::BrokenPipe.into()) };
            match input.try_send(piece) {
                Ok(()) => return Ok(bytes.len()),
                Err(TrySendError::Disconnected(_)) => {
                    self.gone = true;
                    self.input = None;
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                Err(TrySendError::Full(back)) => piece = back,
            }
            match self.chunks.recv_timeout(Duration::from_millis(2)) {
                Ok(chunk) => self.take(chunk)?,
                Err(RecvTimeoutError::Timeout) => {}
                // The program closed its outputs but may still read.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.input = None;
        if self.grouped {
            let group = rustix::process::Pid::from_child(&self.child);
            // The group may have ended in this moment; then there is nothing to kill.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        } else {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn forward(mut from: impl Read, to: &SyncSender<Chunk>, chunk: fn(Vec<u8>) -> Chunk) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                if to.send(chunk(buffer[..count].to_vec())).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
