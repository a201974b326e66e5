//! A process of another machine: its memory as a device, and itself as a target.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Remote as File;
use crate::debug::remote::client::Remote;
use crate::debug::remote::{Channel, Ticket, kept};
use crate::debug::{Launch, Target, cannot};
use crate::error::{Error, Kind, Result};
use crate::io::{Access, Device, Info, Latency, Open};
use crate::link::rap::Client;
use crate::output::{Cancel, Executor, Out, Outcome};

/// The connection, which the device and the target share.
#[derive(Clone)]
struct Line(Arc<Mutex<Option<Client>>>);

impl Line {
    fn lock(&self) -> MutexGuard<'_, Option<Client>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Messages {
    line: Line,
    /// The server keeps the process for a while when the connection is lost.
    kept: bool,
    /// Why the process cannot be had again.
    lost: Option<String>,
}

impl Messages {
    fn gone(why: &str) -> Error {
        Error::new(Kind::Closed, format!("the line to the process was lost: {why}"))
            .hint("'oo' opens it again, as the server then has it")
    }
}

impl Channel for Messages {
    fn call(&mut self, call: &[u8], cancel: Option<&Cancel>) -> Result<Vec<u8>> {
        if let Some(why) = &self.lost {
            return Err(Messages::gone(why));
        }
        let mut client = self.line.lock();
        let client = client.as_mut().ok_or_else(|| cannot("be reached"))?;
        if !client.is_connected() {
            // A new connection that nobody has asked for might start another process.
            return Err(Messages::gone("the server has closed the connection"));
        }
        client.process(call, cancel.unwrap_or(&Cancel::new()))
    }

    fn restore(&mut self, cancel: Option<&Cancel>) -> Result<bool> {
        if self.lost.is_some() {
            return Ok(false);
        }
        let mut client = self.line.lock();
        let client = client.as_mut().ok_or_else(|| cannot("be reached"))?;
        if client.is_connected() {
            return Ok(false);
        }
        let outcome = match self.kept {
            true => client.connect_again(cancel.unwrap_or(&Cancel::new())),
            false => Err(Error::new(Kind::NotFound, "the server has closed the connection")),
        };
        match outcome {
            Ok(()) => Ok(true),
            // It is reached, and has the process no more.
            Err(error) if error.kind() == Kind::NotFound => {
                let why = "the server does not have the process any more".to_string();
                let gone = Messages::gone(&why);
                self.lost = Some(why);
                Err(Error::new(Kind::NotFound, gone.message().to_string()).hint("'oo' opens it again"))
            }
            Err(error) => Err(error),
        }
    }

    fn hold(&mut self, ticket: &Ticket) {
        if let Some(client) = self.line.lock().as_mut() {
            client.aim(kept(ticket));
            self.kept = true;
        }
    }
}

/// A process over there.
struct Process {
    line: Line,
    target: Remote,
    access: Access,
}

/// The process that `client` has opened, or what else it is; `launch` is started there if it is not yet.
pub fn open(client: Client, open: &Open, launch: Option<&Launch>) -> Result<Box<dyn Device>> {
    let access = open.access;
    let line = Line(Arc::new(Mutex::new(Some(client))));
    match Remote::enter(Box::new(Messages { line: line.clone(), kept: false, lost: None }), open.start.lost) {
        Ok((mut target, kept)) => {
            if let Some(seconds) = kept {
                open.notices.push(format!("the process was kept for {seconds} s since its client was lost"));
            }
            if let Some(launch) = launch {
                target.launch(launch)?;
            }
            Ok(Box::new(Process { line, target, access }))
        }
        // Another kind of device, or the server lets us look and not touch.
        Err(error) if matches!(error.kind(), Kind::Unsupported | Kind::Permission) => match line.lock().take() {
            Some(client) => Ok(Box::new(File::new(client, access))),
            None => Err(error),
        },
        Err(error) => Err(error),
    }
}

impl Drop for Process {
    /// Whoever leaves says so; a client that just vanishes is waited for over there.
    fn drop(&mut self) {
        self.target.leave();
    }
}

impl Device for Process {
    fn info(&self) -> Info {
        Info { size: None, access: self.access, latency: Latency::Remote }
    }

    fn read_at(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        match self.target.current() {
            Some(thread) => self.target.read_memory(thread.process, address, buffer),
            None => Ok(0),
        }
    }

    fn write_at(&mut self, address: u64, data: &[u8]) -> Result<usize> {
        match self.target.current() {
            Some(thread) => self.target.write_memory(thread.process, address, data),
            None => Ok(0),
        }
    }

    fn executor(&mut self) -> Option<&mut dyn Executor> {
        Some(&mut self.line)
    }

    fn target(&mut self) -> Option<&mut dyn Target> {
        Some(&mut self.target)
    }
}

impl Executor for Line {
    fn execute(&mut self, line: &str, out: &mut Out<'_>) -> Result<()> {
        match self.lock().as_mut() {
            Some(client) => client.execute(line, out),
            None => Err(cannot("run commands")),
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        self.lock().as_ref().and_then(Executor::outcome)
    }
}
