//! What stands behind an instruction: the memory it names, the text there, what the user noted.

use std::fmt::Write as _;

use super::layout::push_hex;
use super::names::best;
use crate::disasm::{Instruction, Use};
use crate::error::Result;
use crate::io::Read;
use crate::output::visible;
use crate::session::scope::{self, Scope};
use crate::session::{Core, Ctx};

/// Bytes looked at behind a reference.
const LOOK: usize = 64;

/// Characters of a text that are shown.
const LONGEST: usize = 60;

/// The memory that the instructions of a window refer to, read at once.
#[derive(Default)]
pub struct References {
    /// Index of the instruction, and the address.
    places: Vec<(usize, u64)>,
    bytes: Vec<u8>,
}

impl References {
    /// Reads what `instructions` refer to: all of it in one flight, since it may lie far away.
    pub fn read(&mut self, ctx: &mut Ctx<'_, '_>, instructions: &[Instruction]) -> Result<()> {
        self.places.clear();
        for (index, instruction) in instructions.iter().enumerate() {
            let immediate =
                || instruction.value.filter(|value| *value >= 0x100 && best(&ctx.core.flags, *value).is_some());
            if let Some(address) = instruction.pointer.or_else(immediate) {
                self.places.push((index, address));
            }
        }
        self.bytes.clear();
        self.bytes.resize(self.places.len() * LOOK, 0);
        if self.places.is_empty() {
            return Ok(());
        }
        if ctx.view.patch.is_some() {
            for ((_, address), bytes) in self.places.iter().zip(self.bytes.chunks_exact_mut(LOOK)) {
                Scope { core: ctx.core, view: ctx.view }.read(*address, bytes)?;
            }
            return Ok(());
        }
        let settings = scope::settings(ctx.core, ctx.view);
        let mut reads: Vec<Read<'_>> = self
            .places
            .iter()
            .zip(self.bytes.chunks_exact_mut(LOOK))
            .map(|((_, address), buffer)| Read { address: *address, buffer, done: 0 })
            .collect();
        ctx.core.io.read_many(&settings, &mut reads)?;
        let done: Vec<usize> = reads.iter().map(|read| read.done).collect();
        for (bytes, done) in self.bytes.chunks_exact_mut(LOOK).zip(done) {
            bytes[done.min(LOOK)..].fill(settings.fill);
        }
        Ok(())
    }

    /// The references, for a walk along the instructions: `cursor` counts those that are done.
    pub fn at(&self, index: usize, cursor: &mut usize) -> Option<(u64, &[u8])> {
        let (at, address) = *self.places.get(*cursor)?;
        if at != index {
            return None;
        }
        let bytes = self.bytes.get(*cursor * LOOK..(*cursor + 1) * LOOK)?;
        *cursor += 1;
        Some((address, bytes))
    }
}

/// Appends what is to be said of `instruction`, with `; ` before each part.
pub fn write(
    into: &mut String,
    core: &Core,
    instruction: &Instruction,
    reference: Option<(u64, &[u8])>,
    big_endian: bool,
) {
    let start = into.len();
    let separate = |into: &mut String| {
        if into.len() > start {
            into.push(' ');
        }
        into.push_str("; ");
    };
    if let Some((address, bytes)) = reference {
        let read =
            instruction.pointer.is_some() && matches!(instruction.memory_use, Use::Read | Use::Write | Use::Both);
        let size = instruction.memory_size as usize;
        if read && matches!(size, 1 | 2 | 4 | 8) {
            separate(into);
            into.push('[');
            push_hex(into, address, 1);
            // A String takes everything.
            let _ = write!(into, ":{size}]=");
            push_hex(into, number(&bytes[..size], big_endian), 1);
        } else if instruction.pointer.is_none() || instruction.memory_use == Use::Address {
            separate(into);
            push_hex(into, address, 1);
        }
        let branch = instruction.kind.is_call() || instruction.kind.is_jump();
        // Code often begins like a text.
        let code = branch || core.analysis.containing(address).is_some();
        if !code && let Some(text) = text(bytes) {
            separate(into);
            into.push('"');
            escape(into, text);
            into.push('"');
        }
    }
    if let Some(comment) = core.comments.get(&instruction.address) {
        separate(into);
        into.push_str(&visible(comment));
    }
}

fn number(bytes: &[u8], big_endian: bool) -> u64 {
    let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    if big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
}

/// The text at the start of `bytes`, up to a zero: two characters at least, most of them printable, the first always.
fn text(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()).min(LONGEST);
    let text = &bytes[..end];
    let printable = |byte: &u8| (0x20..0x7f).contains(byte) || matches!(byte, b'\n' | b'\t' | b'\r');
    let good = text.iter().filter(|byte| printable(byte)).count();
    (text.len() >= 2 && printable(&text[0]) && good * 2 >= text.len()).then_some(text)
}

fn escape(into: &mut String, text: &[u8]) {
    for byte in text {
        match byte {
            b'\n' => into.push_str("\\n"),
            b'\t' => into.push_str("\\t"),
            b'\r' => into.push_str("\\r"),
            b'"' => into.push_str("\\\""),
            b'\\' => into.push_str("\\\\"),
            0x20..0x7f => into.push(*byte as char),
            _ => {
                // A String takes everything.
                let _ = write!(into, "\\x{byte:02x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_other_bytes() {
        assert_eq!(text(b"4\x12\0\0"), Some(&b"4\x12"[..]));
        assert_eq!(text(b"Hello\0x"), Some(&b"Hello"[..]));
        for none in [&b"\0\0"[..], b"A\0", b"\x7fELF\0", b"a\x80\x81\x82\0"] {
            assert_eq!(text(none), None, "{none:x?}");
        }
        assert_eq!(text(&[b'x'; 64]).map(<[u8]>::len), Some(LONGEST));
    }
}
