//! Stop replies: what `?` and the resuming requests answer, and what `%Stop` tells.

use super::wire::{Cursor, hex_number, push, push_hex, push_number, unhex, unhex_text};
use super::{Refusal, Thread};

/// Why a thread stands, when the signal does not say it all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A trap instruction; the program counter is on it.
    SoftwareBreakpoint,
    /// A debug register.
    HardwareBreakpoint,
    /// A write to a watched region, which begins here.
    Write(u64),
    /// A read.
    Read(u64),
    /// One of both.
    Access(u64),
    /// A caught system call begins.
    CallEntry(u64),
    /// A caught system call is done.
    CallReturn(u64),
    /// It forked; the child.
    Fork(Thread),
    /// It forked by vfork; the child.
    Vfork(Thread),
    /// The child of its vfork is off its memory.
    VforkDone,
    /// It runs this program now.
    Exec(String),
    /// It is a new thread.
    Created,
    /// Libraries came or went.
    Library,
    /// A recording ends here.
    HistoryEnd {
        /// At its beginning.
        beginning: bool,
    },
}

/// A `T` packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stopped {
    /// The protocol's number of a signal; 0: none.
    pub signal: u8,
    /// More about it.
    pub reason: Option<Reason>,
    /// Which thread.
    pub thread: Option<Thread>,
    /// Which processor.
    pub core: Option<u32>,
    /// Registers that everybody asks for, in target byte order.
    pub registers: Vec<(u32, Vec<u8>)>,
    /// Other keys, LLDB's and those of later days; values as they stand in the packet.
    pub more: Vec<(String, String)>,
}

/// What a stop reply says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// `T`, or `S` without details.
    Stopped(Stopped),
    /// `W`: the process ended.
    Exited {
        /// Its exit code.
        code: u8,
        /// Which one, among several.
        process: Option<u64>,
    },
    /// `X`: a signal ended the process.
    Killed {
        /// The protocol's number.
        signal: u8,
        /// Which one, among several.
        process: Option<u64>,
    },
    /// `w`: a thread ended.
    ThreadExited {
        /// Its exit code.
        code: u64,
        /// Which one.
        thread: Thread,
    },
    /// `N`: no thread is left that was resumed.
    NothingLeft,
    /// `O`: the program says something.
    Console(Vec<u8>),
    /// `F`: the program would have the client do something with files; the request as it stands.
    FileRequest(Vec<u8>),
}

impl Stop {
    /// Appends it.
    pub fn print(&self, out: &mut Vec<u8>) {
        match self {
            Stop::Stopped(stopped) => stopped.print(out),
            Stop::Exited { code: value, process } | Stop::Killed { signal: value, process } => {
                out.push(if matches!(self, Stop::Exited { .. }) { b'W' } else { b'X' });
                push_hex(out, &[*value]);
                if let Some(process) = process {
                    push(out, ";process:");
                    push_number(out, *process);
                }
            }
            Stop::ThreadExited { code, thread } => {
                out.push(b'w');
                push_number(out, *code);
                out.push(b';');
                thread.print(out);
            }
            Stop::NothingLeft => out.push(b'N'),
            Stop::Console(text) => super::reply::push_console(text, out),
            Stop::FileRequest(request) => {
                out.push(b'F');
                out.extend_from_slice(request);
            }
        }
    }

    /// Reads one.
    pub fn parse(reply: &[u8]) -> Result<Stop, Refusal> {
        let mut cursor = Cursor::new(reply);
        match cursor.byte()? {
            b'S' => {
                let signal = cursor.pair()?;
                cursor.end(Stop::Stopped(Stopped { signal, ..Stopped::default() }))
            }
            b'T' => Stopped::parse(cursor).map(Stop::Stopped),
            kind @ (b'W' | b'X') => {
                // Some stubs send one digit.
                let value = cursor.number()? as u8;
                let process = if cursor.take(b';') {
                    let field = Cursor::after(cursor.rest(), "process:").ok_or(Refusal::Malformed)?;
                    Some(hex_number(field.rest()).ok_or(Refusal::Malformed)?)
                } else {
                    cursor.end(None)?
                };
                Ok(match kind {
                    b'W' => Stop::Exited { code: value, process },
                    _ => Stop::Killed { signal: value, process },
                })
            }
            b'w' => {
                let code = cursor.number()?;
                cursor.expect(b';')?;
                let thread = Thread::take(&mut cursor)?;
                cursor.end(Stop::ThreadExited { code, thread })
            }
            b'N' => cursor.end(Stop::NothingLeft),
            b'O' => unhex(cursor.rest()).map(Stop::Console),
            b'F' => Ok(Stop::FileRequest(cursor.rest().to_vec())),
            _ => Err(Refusal::Malformed),
        }
    }
}

impl Stopped {
    fn print(&self, out: &mut Vec<u8>) {
        out.push(b'T');
        push_hex(out, &[self.signal]);
        if let Some(reason) = &self.reason {
            reason.print(out);
            out.push(b';');
        }
        for (number, bytes) in &self.registers {
            push(out, &format!("{number:02x}:"));
            push_hex(out, bytes);
            out.push(b';');
        }
        if let Some(thread) = &self.thread {
            push(out, "thread:");
            thread.print(out);
            out.push(b';');
        }
        if let Some(core) = self.core {
            push(out, &format!("core:{core:x};"));
        }
        for (key, value) in &self.more {
            push(out, &format!("{key}:{value};"));
        }
    }

    fn parse(mut cursor: Cursor<'_>) -> Result<Stopped, Refusal> {
        let mut stopped = Stopped { signal: cursor.pair()?, ..Stopped::default() };
        while !cursor.is_done() {
            let mut field = Cursor::new(cursor.until(b';'));
            if field.is_done() {
                continue;
            }
            let key = field.until(b':');
            let value = field.rest();
            match key {
                b"thread" => stopped.thread = Some(Thread::parse(value)?),
                b"core" => stopped.core = hex_number(value).and_then(|core| u32::try_from(core).ok()),
                _ => match (hex_number(key), Reason::parse(key, value)?) {
                    (Some(number), _) => {
                        let number = u32::try_from(number).map_err(|_| Refusal::Malformed)?;
                        // A register that cannot be had is not there.
                        if let Ok(bytes) = unhex(value) {
                            stopped.registers.push((number, bytes));
                        }
                    }
                    (None, Some(reason)) => stopped.reason = Some(reason),
                    (None, None) => {
                        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                        stopped.more.push((text(key), text(value)));
                    }
                },
            }
        }
        Ok(stopped)
    }
}

impl Reason {
    fn print(&self, out: &mut Vec<u8>) {
        let number = |out: &mut Vec<u8>, key: &str, value: u64| {
            push(out, key);
            push_number(out, value);
        };
        let thread = |out: &mut Vec<u8>, key: &str, thread: &Thread| {
            push(out, key);
            thread.print(out);
        };
        match self {
            Reason::SoftwareBreakpoint => push(out, "swbreak:"),
            Reason::HardwareBreakpoint => push(out, "hwbreak:"),
            Reason::Write(address) => number(out, "watch:", *address),
            Reason::Read(address) => number(out, "rwatch:", *address),
            Reason::Access(address) => number(out, "awatch:", *address),
            Reason::CallEntry(call) => number(out, "syscall_entry:", *call),
            Reason::CallReturn(call) => number(out, "syscall_return:", *call),
            Reason::Fork(child) => thread(out, "fork:", child),
            Reason::Vfork(child) => thread(out, "vfork:", child),
            Reason::VforkDone => push(out, "vforkdone:"),
            Reason::Exec(path) => {
                push(out, "exec:");
                push_hex(out, path.as_bytes());
            }
            Reason::Created => push(out, "create:"),
            Reason::Library => push(out, "library:"),
            Reason::HistoryEnd { beginning } => {
                push(out, if *beginning { "replaylog:begin" } else { "replaylog:end" });
            }
        }
    }

    fn parse(key: &[u8], value: &[u8]) -> Result<Option<Reason>, Refusal> {
        let number = || hex_number(value).ok_or(Refusal::Malformed);
        Ok(Some(match key {
            b"swbreak" => Reason::SoftwareBreakpoint,
            b"hwbreak" => Reason::HardwareBreakpoint,
            b"watch" => Reason::Write(number()?),
            b"rwatch" => Reason::Read(number()?),
            b"awatch" => Reason::Access(number()?),
            b"syscall_entry" => Reason::CallEntry(number()?),
            b"syscall_return" => Reason::CallReturn(number()?),
            b"fork" => Reason::Fork(Thread::parse(value)?),
            b"vfork" => Reason::Vfork(Thread::parse(value)?),
            b"vforkdone" => Reason::VforkDone,
            b"exec" => Reason::Exec(unhex_text(value)?),
            b"create" => Reason::Created,
            b"library" => Reason::Library,
            b"replaylog" => Reason::HistoryEnd { beginning: value == b"begin" },
            _ => return Ok(None),
        }))
    }
}
