//! A process of another machine: its memory as a device, and itself as a target.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Remote as File;
use crate::debug::remote::Channel;
use crate::debug::remote::client::Remote;
use crate::debug::{Target, cannot};
use crate::error::{Error, Kind, Result};
use crate::io::{Access, Device, Info, Latency};
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
    /// The connection was lost, and the process with it: a new connection would start another one.
    lost: Option<String>,
}

impl Channel for Messages {
    fn call(&mut self, call: &[u8], cancel: Option<&Cancel>) -> Result<Vec<u8>> {
        let gone = |why: &str| {
            Error::new(Kind::Closed, format!("the line to the process was lost: {why}"))
                .hint("'oo' opens it again, as the server then has it")
        };
        if let Some(why) = &self.lost {
            return Err(gone(why));
        }
        let mut client = self.line.lock();
        let client = client.as_mut().ok_or_else(|| cannot("be reached"))?;
        if !client.is_connected() {
            let why = "the server has closed the connection".to_string();
            let error = gone(&why);
            self.lost = Some(why);
            return Err(error);
        }
        let never = Cancel::new();
        client.process(call, cancel.unwrap_or(&never)).inspect_err(|error| {
            if !client.is_connected() {
                self.lost = Some(error.message().to_string());
            }
        })
    }
}

/// A process over there.
struct Process {
    line: Line,
    target: Remote,
    access: Access,
}

/// The process that `client` has opened, or what else it is.
pub fn open(client: Client, access: Access) -> Result<Box<dyn Device>> {
    let line = Line(Arc::new(Mutex::new(Some(client))));
    match Remote::new(Box::new(Messages { line: line.clone(), lost: None })) {
        Ok(target) => Ok(Box::new(Process { line, target, access })),
        // Another kind of device, or the server lets us look and not touch.
        Err(error) if matches!(error.kind(), Kind::Unsupported | Kind::Permission) => match line.lock().take() {
            Some(client) => Ok(Box::new(File::new(client, access))),
            None => Err(error),
        },
        Err(error) => Err(error),
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
