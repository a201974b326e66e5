//! GDB's remote serial protocol, for both ends: the debugger (client) and the stub (server).
//!
//! [`link`] makes packets of a byte stream, the other files make typed requests and replies of packets, a file for
//! each group. Everything here is bytes in, values out: there is no socket, no clock and no target.
//!
//! Source: the appendix "GDB Remote Serial Protocol" of GDB's manual, and LLDB's "GDB remote protocol extensions".

pub mod breakpoint;
pub mod description;
pub mod file;
pub mod link;
pub mod memory;
pub mod object;
pub mod process;
pub mod register;
pub mod reply;
pub mod resume;
pub mod session;
pub mod signal;
pub mod stop;
pub mod thread;
pub mod wire;

#[cfg(test)]
mod tests;

use breakpoint::Breakpoint;
use file::File;
use memory::Memory;
use object::Object;
use process::Process;
use register::Register;
use resume::Resume;
use session::Session;
use thread::Threads;

pub use thread::{Id, Thread};

/// A request, by the group it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// What the two ends agree on, and what the server says about itself.
    Session(Session),
    /// Which threads there are, and why they stand.
    Threads(Threads),
    /// Registers.
    Register(Register),
    /// Memory.
    Memory(Memory),
    /// Going on, and what ends that.
    Resume(Resume),
    /// Breakpoints and watchpoints.
    Breakpoint(Breakpoint),
    /// Starting, attaching, leaving.
    Process(Process),
    /// `qXfer`.
    Object(Object),
    /// `vFile`.
    File(File),
}

/// Why a packet is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody here knows it: the reply is empty.
    Unknown,
    /// It is known and its arguments are not as they must be: the reply is an error.
    Malformed,
}

/// What a group makes of a packet; `None`: it belongs to another group.
type Parsed<T> = Option<Result<T, Refusal>>;

impl Request {
    /// Reads the payload of a packet, without frame and escapes.
    ///
    /// # Errors
    /// [`Refusal`]: what to reply instead of carrying it out.
    pub fn parse(packet: &[u8]) -> Result<Request, Refusal> {
        fn of<T>(parsed: Parsed<T>, group: fn(T) -> Request) -> Parsed<Request> {
            parsed.map(|request| request.map(group))
        }
        of(memory::parse(packet), Request::Memory)
            .or_else(|| of(register::parse(packet), Request::Register))
            .or_else(|| of(resume::parse(packet), Request::Resume))
            .or_else(|| of(breakpoint::parse(packet), Request::Breakpoint))
            .or_else(|| of(thread::parse(packet), Request::Threads))
            .or_else(|| of(object::parse(packet), Request::Object))
            .or_else(|| of(file::parse(packet), Request::File))
            .or_else(|| of(process::parse(packet), Request::Process))
            .or_else(|| of(session::parse(packet), Request::Session))
            .unwrap_or(Err(Refusal::Unknown))
    }

    /// Appends the payload to `out`.
    pub fn print(&self, out: &mut Vec<u8>) {
        match self {
            Request::Session(request) => request.print(out),
            Request::Threads(request) => request.print(out),
            Request::Register(request) => request.print(out),
            Request::Memory(request) => request.print(out),
            Request::Resume(request) => request.print(out),
            Request::Breakpoint(request) => request.print(out),
            Request::Process(request) => request.print(out),
            Request::Object(request) => request.print(out),
            Request::File(request) => request.print(out),
        }
    }

    /// The payload.
    pub fn payload(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.print(&mut out);
        out
    }
}
