//! Breakpoints and watchpoints.

use super::wire::{Cursor, push_hex, push_number, unhex};
use super::{Parsed, Refusal};

/// What a breakpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `0`: a trap instruction.
    Software,
    /// `1`: in a debug register.
    Hardware,
    /// `2`: stops after writes.
    Write,
    /// `3`: after reads.
    Read,
    /// `4`: after both.
    Access,
}

/// Requests about breakpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breakpoint {
    /// `Z`.
    Insert {
        /// What.
        kind: Kind,
        /// Where.
        address: u64,
        /// Bytes of a region to watch; of a breakpoint, which kind of trap the architecture is to use.
        size: u64,
        /// It stops when any of these is not zero or fails, and always when there are none: agent expressions, as
        /// bytecode.
        conditions: Vec<Vec<u8>>,
    },
    /// `z`.
    Remove {
        /// What.
        kind: Kind,
        /// Where.
        address: u64,
        /// As it was inserted.
        size: u64,
    },
}

pub(super) fn parse(packet: &[u8]) -> Parsed<Breakpoint> {
    let insert = match packet.first()? {
        b'Z' => true,
        b'z' => false,
        _ => return None,
    };
    let kind = match packet.get(1) {
        Some(b'0') => Kind::Software,
        Some(b'1') => Kind::Hardware,
        Some(b'2') => Kind::Write,
        Some(b'3') => Kind::Read,
        Some(b'4') => Kind::Access,
        Some(b',') | None => return Some(Err(Refusal::Malformed)),
        // A kind of a later day: the debugger tries another.
        Some(_) => return Some(Err(Refusal::Unknown)),
    };
    Some(place(insert, kind, Cursor::new(&packet[2..])))
}

fn place(insert: bool, kind: Kind, mut cursor: Cursor<'_>) -> Result<Breakpoint, Refusal> {
    cursor.expect(b',')?;
    let address = cursor.number()?;
    cursor.expect(b',')?;
    let size = cursor.number()?;
    if !insert {
        return cursor.end(Breakpoint::Remove { kind, address, size });
    }
    let mut conditions = Vec::new();
    cursor.take(b';');
    while cursor.take(b'X') {
        let length = usize::try_from(cursor.number()?).map_err(|_| Refusal::Malformed)?;
        cursor.expect(b',')?;
        let digits = length.checked_mul(2).ok_or(Refusal::Malformed)?;
        let (code, rest) = cursor.rest().split_at_checked(digits).ok_or(Refusal::Malformed)?;
        conditions.push(unhex(code)?);
        cursor = Cursor::new(rest);
        cursor.take(b';');
    }
    // Commands (`cmds:`) are not offered, and so nothing may follow.
    cursor.end(Breakpoint::Insert { kind, address, size, conditions })
}

impl Kind {
    fn digit(self) -> u8 {
        match self {
            Kind::Software => b'0',
            Kind::Hardware => b'1',
            Kind::Write => b'2',
            Kind::Read => b'3',
            Kind::Access => b'4',
        }
    }
}

impl Breakpoint {
    pub(super) fn print(&self, out: &mut Vec<u8>) {
        let (letter, kind, address, size) = match self {
            Breakpoint::Insert { kind, address, size, .. } => (b'Z', kind, address, size),
            Breakpoint::Remove { kind, address, size } => (b'z', kind, address, size),
        };
        out.extend([letter, kind.digit(), b',']);
        push_number(out, *address);
        out.push(b',');
        push_number(out, *size);
        if let Breakpoint::Insert { conditions, .. } = self {
            for (index, code) in conditions.iter().enumerate() {
                // GDB puts nothing between them.
                out.extend_from_slice(if index == 0 { b";X" } else { b"X" });
                push_number(out, code.len() as u64);
                out.push(b',');
                push_hex(out, code);
            }
        }
    }
}
