//! Registers. LLDB names the thread at the end of each request, GDB chooses it beforehand.

use super::wire::{Cursor, push, push_hex, push_number, unhex};
use super::{Parsed, Refusal, Thread};

/// Requests about registers. `thread`: LLDB's suffix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Register {
    /// `g`: all of them.
    ReadAll {
        /// Whose.
        thread: Option<Thread>,
    },
    /// `G`: the first ones of them, as many as there are bytes for.
    WriteAll {
        /// In target byte order, one behind the other.
        bytes: Vec<u8>,
        /// Whose.
        thread: Option<Thread>,
    },
    /// `p`: one.
    Read {
        /// Its number in the description.
        number: u32,
        /// Whose.
        thread: Option<Thread>,
    },
    /// `P`: one.
    Write {
        /// Its number in the description.
        number: u32,
        /// In target byte order.
        bytes: Vec<u8>,
        /// Whose.
        thread: Option<Thread>,
    },
    /// `qRegisterInfo` (LLDB): what a register is.
    Describe(u32),
    /// `QSaveRegisterState` (LLDB).
    Save {
        /// Whose.
        thread: Option<Thread>,
    },
    /// `QRestoreRegisterState` (LLDB).
    Restore {
        /// What saving them answered.
        id: u64,
        /// Whose.
        thread: Option<Thread>,
    },
}

/// Takes `;thread:ID;`, or `thread:ID;` behind a colon or semicolon of the request itself.
fn suffix(cursor: &mut Cursor<'_>) -> Result<Option<Thread>, Refusal> {
    cursor.take(b';');
    if cursor.is_done() {
        return Ok(None);
    }
    let mut rest = Cursor::after(cursor.rest(), "thread:").ok_or(Refusal::Malformed)?;
    let thread = Thread::take(&mut rest)?;
    rest.take(b';');
    rest.end(Some(thread))
}

pub(super) fn parse(packet: &[u8]) -> Parsed<Register> {
    let mut cursor = Cursor::new(packet.get(1..)?);
    Some(match packet[0] {
        b'g' => suffix(&mut cursor).map(|thread| Register::ReadAll { thread }),
        b'G' => unhex(cursor.until(b';'))
            .and_then(|bytes| suffix(&mut cursor).map(|thread| Register::WriteAll { bytes, thread })),
        b'p' => {
            cursor.number32().and_then(|number| suffix(&mut cursor).map(|thread| Register::Read { number, thread }))
        }
        b'P' => write(&mut cursor),
        b'q' => {
            let mut cursor = Cursor::after(packet, "qRegisterInfo")?;
            cursor.number32().and_then(|number| cursor.end(Register::Describe(number)))
        }
        b'Q' => match (Cursor::after(packet, "QSaveRegisterState"), Cursor::after(packet, "QRestoreRegisterState:")) {
            (Some(mut cursor), _) => suffix(&mut cursor).map(|thread| Register::Save { thread }),
            (_, Some(mut cursor)) => {
                cursor.decimal().and_then(|id| suffix(&mut cursor).map(|thread| Register::Restore { id, thread }))
            }
            _ => return None,
        },
        _ => return None,
    })
}

fn write(cursor: &mut Cursor<'_>) -> Result<Register, Refusal> {
    let number = cursor.number32()?;
    cursor.expect(b'=')?;
    let bytes = unhex(cursor.until(b';'))?;
    if bytes.is_empty() {
        return Err(Refusal::Malformed);
    }
    Ok(Register::Write { number, bytes, thread: suffix(cursor)? })
}

impl Register {
    /// The thread that the request names itself.
    pub fn thread(&self) -> Option<Thread> {
        match self {
            Register::ReadAll { thread }
            | Register::WriteAll { thread, .. }
            | Register::Read { thread, .. }
            | Register::Write { thread, .. }
            | Register::Save { thread }
            | Register::Restore { thread, .. } => *thread,
            Register::Describe(_) => None,
        }
    }

    pub(super) fn print(&self, out: &mut Vec<u8>) {
        match self {
            Register::ReadAll { .. } => out.push(b'g'),
            Register::WriteAll { bytes, .. } => {
                out.push(b'G');
                push_hex(out, bytes);
            }
            Register::Read { number, .. } => {
                out.push(b'p');
                push_number(out, u64::from(*number));
            }
            Register::Write { number, bytes, .. } => {
                out.push(b'P');
                push_number(out, u64::from(*number));
                out.push(b'=');
                push_hex(out, bytes);
            }
            Register::Describe(number) => {
                push(out, "qRegisterInfo");
                push_number(out, u64::from(*number));
            }
            Register::Save { .. } => push(out, "QSaveRegisterState"),
            Register::Restore { id, .. } => push(out, &format!("QRestoreRegisterState:{id}")),
        }
        if let Some(thread) = self.thread() {
            push(out, ";thread:");
            thread.print(out);
            out.push(b';');
        }
    }
}
