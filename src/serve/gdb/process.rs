//! Requests about processes: starting, attaching, leaving.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::conversation::{Answer, Conversation, ok};
use crate::debug::{Deliver, Launch, ProcessId, ThreadId};
use crate::error::{Error, Kind, Result};
use crate::protocol::rsp::process::{ByName, Process, Stream};
use crate::protocol::rsp::signal;
use crate::protocol::rsp::stop::Stop;

/// How often a process that is waited for is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// SIGKILL.
const KILL: i32 = 9;

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| Error::new(Kind::Unsupported, "an argument is no text"))
}

impl Conversation<'_> {
    pub(super) fn process(&mut self, request: Process, out: &mut Vec<u8>) -> Result<Answer> {
        match request {
            Process::Run { program, arguments } => {
                self.prepare(program, arguments)?;
                let thread = self.start()?;
                self.arrive(thread, out)
            }
            Process::Arguments(mut all) => {
                if all.is_empty() {
                    return Err(Error::new(Kind::Usage, "a program is missing"));
                }
                let program = all.remove(0);
                self.prepare(program, all)?;
                self.launched = Some(self.start().map(|thread| self.general = Some(thread)));
                ok(out)
            }
            Process::Launched => match self.launched.take() {
                Some(Err(error)) => Err(error),
                _ => ok(out),
            },
            Process::Attach(process) => {
                let process = ProcessId::try_from(process).map_err(|_| none())?;
                self.attach(process, out)
            }
            Process::AttachTo(how, name) => {
                let process = self.look_for(how, &name)?;
                self.attach(process, out)
            }
            Process::Kill(process) => {
                let process = self.known(process)?;
                self.kill(process)?;
                self.over |= self.has_nothing_left()?;
                ok(out)
            }
            Process::KillAll => {
                let processes = self.stub.with(|target| target.processes())?;
                if !self.stub.is_own() {
                    return Err(Error::new(Kind::Permission, "the process belongs to a session"));
                }
                let ids: Vec<String> = processes.iter().map(|process| process.id.to_string()).collect();
                self.stub.narrate(&format!("Killing process(es): {}", ids.join(" ")));
                for process in &processes {
                    self.kill(process.id)?;
                }
                if self.client.lldb {
                    Stop::Killed { signal: signal::from_linux(KILL), process: None }.print(out);
                }
                let over = !self.stub.manner.multi && !self.client.extended;
                if over {
                    self.over = true;
                }
                Ok(match (over, self.client.lldb) {
                    (true, true) => Answer::Leave,
                    (false, true) => Answer::Reply,
                    _ => Answer::Silence,
                })
            }
            Process::Detach(process) => {
                let process = match process {
                    Some(process) => self.known(process)?,
                    None => self.thread()?.process,
                };
                self.detach(process)?;
                self.over |= self.has_nothing_left()?;
                ok(out)
            }
            Process::Restart => {
                if self.launch.program.is_empty() {
                    return Ok(Answer::Silence);
                }
                for process in self.stub.with(|target| target.processes())? {
                    self.kill(process.id)?;
                }
                self.general = Some(self.start()?);
                Ok(Answer::Silence)
            }
            other => {
                self.settle(other)?;
                ok(out)
            }
        }
    }

    /// Whether nothing is left that a client could ask for.
    pub(super) fn has_nothing_left(&self) -> Result<bool> {
        let stays = !self.stub.is_own() || self.stub.manner.multi || self.client.extended;
        Ok(!stays && self.stub.with(|target| target.processes())?.is_empty())
    }

    /// What holds for the next program.
    fn settle(&mut self, request: Process) -> Result<()> {
        let launch = &mut self.launch;
        match request {
            Process::FixedAddresses(on) => launch.fixed_addresses = on,
            Process::WithShell(on) => launch.shell = on,
            Process::Set { variable, .. } => {
                if let Some((name, value)) = variable.split_once('=') {
                    launch.environment.push((name.to_string(), Some(value.to_string())));
                }
            }
            Process::Unset(name) => launch.environment.push((name, None)),
            Process::Reset => launch.environment.clear(),
            Process::Directory(path) => launch.directory = path.map(PathBuf::from),
            Process::Redirect(Stream::Input, path) => launch.stdin = Some(PathBuf::from(path)),
            Process::Redirect(Stream::Output, path) => launch.stdout = Some(PathBuf::from(path)),
            Process::Redirect(Stream::Error, path) => launch.stderr = Some(PathBuf::from(path)),
            _ => return Err(Error::new(Kind::Unsupported, "this is no setting")),
        }
        Ok(())
    }

    fn prepare(&mut self, program: Vec<u8>, arguments: Vec<Vec<u8>>) -> Result<()> {
        if !program.is_empty() {
            self.launch.program = text(program)?;
        }
        if self.launch.program.is_empty() {
            return Err(Error::new(Kind::Usage, "no program was named"));
        }
        self.launch.arguments = arguments.into_iter().map(text).collect::<Result<_>>()?;
        Ok(())
    }

    fn start(&mut self) -> Result<ThreadId> {
        let launch: &Launch = &self.launch;
        let thread = self.stub.with(|target| target.launch(launch))?;
        self.follow_forks()?;
        self.handle_signals()?;
        Ok(thread)
    }

    fn attach(&mut self, process: ProcessId, out: &mut Vec<u8>) -> Result<Answer> {
        let thread = self.stub.with(|target| target.attach(process))?;
        self.follow_forks()?;
        self.handle_signals()?;
        self.arrive(thread, out)
    }

    /// A new process is the current one, and stands.
    fn arrive(&mut self, thread: ThreadId, out: &mut Vec<u8>) -> Result<Answer> {
        self.objects.clear();
        self.expedited = None;
        self.stub.remember(None);
        self.general = Some(thread);
        self.stub.with(|target| target.select(thread))?;
        if self.client.non_stop {
            // The stop comes as a notification or with `?`.
            return ok(out);
        }
        self.plain_stop(thread, 5, None)?.print(out);
        Ok(Answer::Reply)
    }

    fn known(&self, process: u64) -> Result<ProcessId> {
        let processes = self.stub.with(|target| target.processes())?;
        processes.iter().map(|known| known.id).find(|known| u64::from(*known) == process).ok_or_else(none)
    }

    fn kill(&mut self, process: ProcessId) -> Result<()> {
        self.stub.with(|target| {
            target.kill(process)?;
            self.breakpoints.forget(process, target);
            Ok(())
        })?;
        self.forget(process);
        // The client knows that it is gone, and is not told again. Other events stay where they are.
        self.stub.with(|target| if target.processes()?.is_empty() { target.take_stop().map(drop) } else { Ok(()) })?;
        let number = self.client.multiprocess.then_some(u64::from(process));
        self.stub.remember(Some(Stop::Killed { signal: signal::from_linux(KILL), process: number }));
        Ok(())
    }

    fn detach(&mut self, process: ProcessId) -> Result<()> {
        self.stub.narrate(&format!("Detaching from process {process}"));
        if !self.stub.is_own() {
            // The session keeps its process; what this client has put there goes.
            self.stub.with(|target| {
                self.breakpoints.forget(process, target);
                Ok(())
            })?;
            return Ok(());
        }
        self.stub.with(|target| {
            self.breakpoints.forget(process, target);
            target.detach(process, Deliver::AsHandled)
        })?;
        self.forget(process);
        self.stub.remember(None);
        Ok(())
    }

    /// Forgets what was chosen in a process that is gone.
    pub(super) fn forget(&mut self, process: ProcessId) {
        self.objects.clear();
        self.expedited = None;
        self.saved.retain(|_, (thread, _)| thread.process != process);
        self.listing.retain(|thread| thread.process != process);
        if self.general.is_some_and(|thread| thread.process == process) {
            self.general = None;
        }
    }

    /// Has the target stop where this client follows.
    pub(super) fn follow_forks(&mut self) -> Result<()> {
        let follows = self.client.fork || self.client.vfork;
        let (exec, non_stop) = (self.client.exec, self.client.non_stop);
        self.stub.with(|target| {
            let mut settings = target.settings();
            settings.stop_at_fork = follows;
            settings.fork = if follows { crate::debug::Fork::Both } else { crate::debug::Fork::Parent };
            settings.stop_at_exec = exec;
            settings.non_stop = non_stop;
            target.set_settings(&settings)
        })
    }

    /// A process of this machine with this name.
    fn look_for(&mut self, how: ByName, name: &str) -> Result<ProcessId> {
        let name = name.rsplit('/').next().unwrap_or(name);
        let before = super::system::named(name);
        let none = || Error::new(Kind::NotFound, format!("no process is called '{name}'"));
        if how != ByName::Next
            && let Some(first) = before.first()
        {
            return Ok(*first);
        }
        if how == ByName::Present {
            return Err(none());
        }
        let end = Instant::now() + Duration::from_secs(3600);
        while Instant::now() < end {
            self.seat.cancel.check()?;
            if let Some(new) = super::system::named(name).into_iter().find(|process| !before.contains(process)) {
                return Ok(new);
            }
            std::thread::sleep(LOOK);
        }
        Err(none())
    }
}

fn none() -> Error {
    Error::new(Kind::NotFound, "there is no such process")
}
