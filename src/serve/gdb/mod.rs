//! The service for debuggers: GDB's remote protocol, for gdb, lldb and everything that stands in front of them.
//!
//! Any [`Target`](crate::debug::Target) is served: a process of this machine, or whatever a session has open. One
//! debugger is connected at a time. Who is connected controls processes and reads files, so the port is for this
//! machine alone unless the line is encrypted and the client known, or `--insecure` is given.

pub mod arguments;
mod breakpoint;
mod client;
mod conversation;
mod description;
mod file;
mod lldb;
mod memory;
mod monitor;
mod object;
mod process;
pub mod program;
mod register;
mod resume;
mod stdio;
mod stop;
mod stub;
mod system;
mod thread;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use super::{Seat, ServeOptions, Service};
use crate::error::{Error, Kind, Result};
use crate::link::{Framed, Link};

pub use stub::{Log, Manner, Stub};

/// The service.
pub const SERVICE: Service = Service {
    name: "gdb",
    shares: true,
    presents_tokens: false,
    exposes: "can run programs here and read and change everything",
    serve,
};

/// How long a debugger waits for the one before it to leave.
const TURN: Duration = Duration::from_secs(3);

/// Most bytes of a packet: what `PacketSize` offers.
pub const PACKET: usize = 0x20000;

fn serve(link: Box<dyn Link>, seat: &Seat, options: &ServeOptions) -> Result<()> {
    seat.gate.check()?;
    let stub = options.stub.clone().ok_or_else(|| Error::new(Kind::Unsupported, "there is no target here"))?;
    if !stub.take(TURN) {
        return Err(Error::new(Kind::Limit, "another debugger is connected"));
    }
    let turn = Turn(stub);
    if let Some((host, port)) = link.peer().rsplit_once(':') {
        turn.0.narrate(&format!("Remote debugging from host {}, port {port}", host.trim_matches(['[', ']'])));
    }
    let framed = Framed::new(link, Some(seat.cancel.clone()));
    let outcome = conversation::Conversation::new(framed, Arc::clone(&turn.0), seat, options).run();
    if turn.0.manner.once {
        turn.0.end();
    }
    match outcome {
        Err(error) if matches!(error.kind(), Kind::Closed | Kind::Interrupted) => Ok(()),
        outcome => outcome,
    }
}

/// Somebody's turn at the stub.
struct Turn(Arc<Stub>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.give_back();
    }
}
