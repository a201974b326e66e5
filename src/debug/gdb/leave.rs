//! Starting programs, letting processes go, and the end of a conversation; the stub's own commands and files.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::line::{Inner, Line, no_process};
use crate::debug::{Deliver, Handle, Launch, ProcessId, Reason, Stop, ThreadId};
use crate::error::{Error, Kind, Result};
use crate::output::Cancel;
use crate::protocol::rsp::Request;
use crate::protocol::rsp::file::{File, Outcome, flags};
use crate::protocol::rsp::process::Process;
use crate::protocol::rsp::reply::{Reply, console};
use crate::protocol::rsp::session::Session;

/// How long a target that runs may take to stop before it is left as it is.
const STOPPING: Duration = Duration::from_secs(2);

/// Most bytes that one line of the stub's interpreter may say.
const SAID: usize = 64 << 20;

/// Ends the conversation when the last who holds it is gone.
pub struct Guard(pub Arc<Line>);

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.is_running() {
            // What it does not obey by then goes on without us.
            let _ = self.0.interrupt();
            let _ = self.0.wait(Some(Instant::now() + STOPPING), &Cancel::new());
        }
        self.0.lock().end();
    }
}

impl Inner {
    /// Leaves everything as it was found: what the stub started is killed, what was there goes on.
    fn end(&mut self) {
        if self.lost.is_some() || self.running {
            return;
        }
        self.connection.hurry();
        for process in self.processes.keys().copied().collect::<Vec<_>>() {
            let attached = self.processes.get(&process).and_then(|known| known.attached);
            // Who does not say has a target that was there before: a board.
            let stays = attached.unwrap_or(!self.stub.lldb);
            let _ = self.take_out_all(process);
            if stays {
                let _ = self.leave(process);
            } else if self.stub.extended {
                let _ = self.ask(&Request::Process(Process::Kill(process.into())));
            } else {
                // Nobody has to answer that.
                let _ = self.connection.send(b"k");
                break;
            }
        }
    }

    /// Lets a process go without our traps.
    pub fn leave(&mut self, process: ProcessId) -> Result<()> {
        self.take_out_all(process)?;
        let named = self.stub.multiprocess.then_some(process.into());
        let reply = self.ask(&Request::Process(Process::Detach(named)))?;
        self.chosen = None;
        if let Reply::Error(..) = Reply::parse(&reply) {
            return Err(Error::new(Kind::Permission, format!("the stub does not let {process} go")));
        }
        self.gone(process);
        Ok(())
    }

    /// A process is not ours any more.
    fn gone(&mut self, process: ProcessId) {
        self.processes.remove(&process);
        self.points.forget_process(process);
        self.forget();
        self.chosen = None;
        if self.current.is_some_and(|current| current.process == process) {
            self.current = None;
            if !self.processes.is_empty() {
                self.current = self.threads().ok().and_then(|threads| threads.first().map(|thread| thread.id));
            }
        }
    }

    /// Lets a process go, with a signal if it is to get one.
    pub fn detach(&mut self, process: ProcessId, deliver: Deliver) -> Result<()> {
        self.stopped()?;
        if !self.processes.contains_key(&process) {
            return Err(no_process(process));
        }
        if let Deliver::Signal(number) = deliver
            && number != 0
        {
            return Err(Error::new(Kind::Unsupported, "a stub lets a process go without a signal")
                .hint("'dck SIGNAL' delivers one before"));
        }
        self.leave(process)
    }

    /// Kills a process.
    pub fn kill(&mut self, process: ProcessId) -> Result<()> {
        self.stopped()?;
        if !self.processes.contains_key(&process) {
            return Err(no_process(process));
        }
        let thread = ThreadId { process, thread: process.into() };
        let kills = match self.stub.extended || self.stub.multiprocess {
            true => Reply::parse(&self.ask(&Request::Process(Process::Kill(process.into())))?) == Reply::Ok,
            false => false,
        };
        if kills {
            self.gone(process);
        } else {
            // The oldest way takes the stub along, and is seldom answered.
            self.connection.hurry();
            let _ = self.connection.exchange(b"k");
            self.gone(process);
            self.lost = Some("it went with the process that was killed".to_string());
        }
        self.stops.push_back(Stop {
            thread,
            reason: Reason::Killed { signal: 9, core_dumped: false },
            pc: None,
            core: None,
        });
        Ok(())
    }

    /// Starts a program over there.
    pub fn launch(&mut self, launch: &Launch) -> Result<ThreadId> {
        self.stopped()?;
        self.extend()?;
        let process = |process| Request::Process(process).payload();
        let mut requests = Vec::new();
        if self.stub.has("QDisableRandomization") {
            requests.push(process(Process::FixedAddresses(launch.fixed_addresses)));
        }
        if self.stub.has("QStartupWithShell") {
            requests.push(process(Process::WithShell(launch.shell)));
        }
        if self.stub.has("QEnvironmentReset") {
            requests.push(process(Process::Reset));
        }
        for (name, value) in &launch.environment {
            requests.push(process(match value {
                Some(value) => Process::Set { variable: format!("{name}={value}"), encoded: true },
                None => Process::Unset(name.clone()),
            }));
        }
        if self.stub.has("QSetWorkingDir") {
            let directory = launch.directory.as_ref().map(|path| path.to_string_lossy().into_owned());
            requests.push(process(Process::Directory(directory)));
        }
        if !requests.is_empty() {
            self.flight(&requests)?;
        }
        let bytes = |text: &String| text.clone().into_bytes();
        let mut words = launch.wrapper.iter().map(bytes).collect::<Vec<_>>();
        words.push(bytes(&launch.program));
        words.extend(launch.arguments.iter().map(bytes));
        let program = words.remove(0);
        let reply = self.ask(&Request::Process(Process::Run { program, arguments: words }))?;
        self.joined(&reply, None, false, "start that program")
    }

    /// Has the stub's own interpreter run `line`.
    pub fn monitor(&mut self, line: &str, say: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.stopped()?;
        // It may change anything.
        self.forget();
        self.chosen = None;
        let request = Request::Session(Session::Monitor(line.as_bytes().to_vec())).payload();
        let mut reply = self.ask_raw(request)?;
        let mut said = 0;
        loop {
            if let Some(text) = console(&reply) {
                said += text.len();
                if said > SAID {
                    return Err(Error::new(Kind::Limit, "the stub's interpreter has no end"));
                }
                say(&text)?;
                let next = self.connection.another();
                reply = next.inspect_err(|error| self.note(error))?;
                continue;
            }
            return match Reply::parse(&reply) {
                Reply::Ok => Ok(()),
                Reply::Unsupported => Err(crate::debug::cannot("run commands of its own")),
                Reply::Error(code, _) => {
                    Err(Error::new(Kind::Usage, format!("the stub does not know that command (error {code:02x})")))
                }
                // Some answer with the text itself.
                Reply::Data(digits) => match crate::protocol::rsp::wire::unhex(digits) {
                    Ok(text) => say(&text),
                    Err(_) => Err(Error::new(Kind::Protocol, "the stub's interpreter answers with something else")),
                },
            };
        }
    }

    /// Puts a file there.
    pub fn upload(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.stopped()?;
        let failed =
            || Error::new(Kind::Permission, format!("the stub cannot write '{}'", crate::output::visible(path)));
        let open = flags::WRITE | flags::CREATE | flags::TRUNCATE;
        let reply = self.ask(&Request::File(File::Open { path: path.to_string(), flags: open, mode: 0o755 }))?;
        if reply.is_empty() {
            return Err(crate::debug::cannot("write files"));
        }
        let Ok(Outcome::Done(descriptor)) = Outcome::parse(&reply) else { return Err(failed()) };
        let mut done = 0;
        let piece = self.stub.write_piece();
        while done < bytes.len() {
            let part = bytes[done..bytes.len().min(done + piece)].to_vec();
            let reply = self.ask(&Request::File(File::Write { descriptor, offset: done as u64, bytes: part }))?;
            match Outcome::parse(&reply) {
                Ok(Outcome::Done(count)) if count > 0 => done += usize::try_from(count).unwrap_or(piece).min(piece),
                _ => return Err(failed()),
            }
        }
        self.ask(&Request::File(File::Close(descriptor))).map(drop)
    }

    /// Removes a file there.
    pub fn remove_file(&mut self, path: &str) -> Result<()> {
        let reply = self.ask(&Request::File(File::Remove(path.to_string())))?;
        match Outcome::parse(&reply) {
            Ok(Outcome::Done(_)) => Ok(()),
            _ if reply.is_empty() => Err(crate::debug::cannot("remove files")),
            _ => {
                Err(Error::new(Kind::Permission, format!("the stub cannot remove '{}'", crate::output::visible(path))))
            }
        }
    }
}
