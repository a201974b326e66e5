//! `qXfer`: objects that are read, and some written, in pieces.

use super::wire::{Cursor, push, push_number};
use super::{Parsed, Refusal};

/// Requests about objects. Their names and annexes are text of the protocol and kept as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// `qXfer:OBJECT:read`.
    Read {
        /// `features`, `auxv`, `threads` ...
        object: String,
        /// Which one of them: `target.xml`, a process.
        annex: String,
        /// Where the piece begins.
        offset: u64,
        /// Most bytes of it.
        length: u64,
    },
    /// `qXfer:OBJECT:write`.
    Write {
        /// `siginfo`.
        object: String,
        /// Which one.
        annex: String,
        /// Where the piece goes.
        offset: u64,
        /// The piece.
        bytes: Vec<u8>,
    },
}

pub(super) fn parse(packet: &[u8]) -> Parsed<Object> {
    Cursor::after(packet, "qXfer:").map(transfer)
}

fn transfer(mut cursor: Cursor<'_>) -> Result<Object, Refusal> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| Refusal::Malformed);
    let object = text(cursor.until(b':'))?;
    match cursor.until(b':') {
        b"read" => {
            // An annex may hold colons; what follows it cannot.
            let at = memchr::memrchr(b':', cursor.rest()).ok_or(Refusal::Malformed)?;
            let annex = text(&cursor.rest()[..at])?;
            let mut range = Cursor::new(&cursor.rest()[at + 1..]);
            let offset = range.number()?;
            range.expect(b',')?;
            let length = range.number()?;
            range.end(Object::Read { object, annex, offset, length })
        }
        b"write" => {
            let annex = text(cursor.until(b':'))?;
            let offset = cursor.number()?;
            cursor.expect(b':')?;
            Ok(Object::Write { object, annex, offset, bytes: cursor.rest().to_vec() })
        }
        _ => Err(Refusal::Unknown),
    }
}

impl Object {
    pub(super) fn print(&self, out: &mut Vec<u8>) {
        match self {
            Object::Read { object, annex, offset, length } => {
                push(out, &format!("qXfer:{object}:read:{annex}:"));
                push_number(out, *offset);
                out.push(b',');
                push_number(out, *length);
            }
            Object::Write { object, annex, offset, bytes } => {
                push(out, &format!("qXfer:{object}:write:{annex}:"));
                push_number(out, *offset);
                out.push(b':');
                out.extend_from_slice(bytes);
            }
        }
    }
}

/// The piece of `whole` that a read asks for, as its reply: `m` and bytes when more follow, else `l`. `room`: most
/// bytes of the reply on the wire.
pub fn piece(whole: &[u8], offset: u64, length: u64, room: usize, out: &mut Vec<u8>) {
    let rest = usize::try_from(offset).ok().and_then(|offset| whole.get(offset..)).unwrap_or_default();
    let wanted = &rest[..rest.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
    // At least one: `m` without a byte would be asked for again for ever.
    let count = super::link::fitting(wanted, room.saturating_sub(1)).max(1).min(rest.len());
    out.push(if count < rest.len() { b'm' } else { b'l' });
    out.extend_from_slice(&rest[..count]);
}
