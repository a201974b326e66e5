//! What a command is given: the locked core, the client's view, its arguments and where its answer goes.

use super::scope::{self, Scope};
use super::{Core, Value, View, config, disassembly};
use crate::disasm::{self, Disassembler};
use crate::error::{Error, Kind, Result};
use crate::number;
use crate::output::Out;

/// Arguments of one command, after substitution and unquoting.
#[derive(Debug, Clone, Default)]
pub struct Args {
    /// The words.
    pub words: Vec<String>,
    /// Everything after the name in one piece: words joined by single blanks, quoted text as it was.
    pub text: String,
}

/// How many bytes a command takes at most from one expression: more is a typing mistake, not a request.
pub const LENGTH_LIMIT: u64 = 1 << 40;

/// Bytes that a streaming command reads at a time.
pub const CHUNK: usize = 256 * 1024;

/// A command's surroundings.
pub struct Ctx<'a, 'o> {
    /// The shared state, locked for this command.
    pub core: &'a mut Core,
    /// The client's own state.
    pub view: &'a mut View,
    /// Where the answer goes.
    pub out: &'a mut Out<'o>,
    /// The arguments.
    pub args: &'a Args,
}

impl Ctx<'_, '_> {
    /// Evaluates an expression.
    pub fn evaluate(&mut self, text: &str) -> Result<u64> {
        number::evaluate(text, &mut Scope { core: self.core, view: self.view })
    }

    /// The word at `index`.
    pub fn word(&self, index: usize) -> Option<&str> {
        self.args.words.get(index).map(String::as_str)
    }

    /// The number at `index`, if that word is there.
    pub fn number(&mut self, index: usize) -> Result<Option<u64>> {
        match self.args.words.get(index) {
            Some(word) => self.evaluate(&word.clone()).map(Some),
            None => Ok(None),
        }
    }

    /// The number at `index`, which the command's declaration requires.
    pub fn required(&mut self, index: usize) -> Result<u64> {
        self.number(index)?.ok_or_else(|| Error::new(Kind::Usage, format!("argument {} is missing", index + 1)))
    }

    /// The value of an option as it holds for this client.
    pub fn option(&self, name: &str) -> Value {
        config::lookup(&self.view.overrides, &self.core.config, name)
    }

    /// A switch.
    pub fn option_bool(&self, name: &str) -> bool {
        matches!(self.option(name), Value::Bool(true))
    }

    /// A numeric option.
    pub fn option_number(&self, name: &str) -> u64 {
        match self.option(name) {
            Value::Number(value) | Value::Address(value) => value,
            Value::Bool(value) => value.into(),
            Value::Text(_) => 0,
        }
    }

    /// A text option.
    pub fn option_text(&self, name: &str) -> String {
        self.option(name).to_string()
    }

    /// The disassembler that the client's `asm.*` options ask for.
    pub fn disassembler(&self) -> Result<Box<dyn Disassembler>> {
        disasm::disassembler(&disassembly::settings(self.core, self.view))
    }

    /// Reads `buffer` at `address` as the client sees memory; what is not there is the fill byte. Returns how many
    /// bytes were there.
    pub fn read_into(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        Scope { core: self.core, view: self.view }.read(address, buffer)
    }

    /// `length` bytes at `address` (at most 256 MiB at once; stream longer ones with [`Ctx::read_chunks`]).
    pub fn read(&mut self, address: u64, length: u64) -> Result<Vec<u8>> {
        if length > 1 << 28 {
            return Err(Error::new(Kind::Limit, format!("{length} bytes are more than this command takes at once")));
        }
        let mut bytes = vec![0; length as usize];
        self.read_into(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Hands `length` bytes from `address` to `each`, chunk by chunk, with the address of the chunk.
    pub fn read_chunks(
        &mut self,
        address: u64,
        length: u64,
        mut each: impl FnMut(&mut Out<'_>, u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut buffer = vec![0; CHUNK.min(length as usize)];
        let mut done = 0;
        if length > CHUNK as u64 {
            let settings = scope::settings(self.core, self.view);
            self.core.io.will_read(&settings, address, length);
        }
        let progress = self.out.progress("reading", length);
        while done < length {
            progress.at(done);
            self.out.cancel().check()?;
            let count = (length - done).min(CHUNK as u64) as usize;
            let here = address.wrapping_add(done);
            self.read_into(here, &mut buffer[..count])?;
            each(self.out, here, &buffer[..count])?;
            done += count as u64;
        }
        Ok(())
    }

    /// Writes `data` at `address` (through the write mask; into the overlay with `io.cache`).
    pub fn write(&mut self, address: u64, data: &[u8]) -> Result<()> {
        let settings = scope::settings(self.core, self.view);
        if self.core.write_mask.is_empty() {
            return self.core.io.write(&settings, address, data);
        }
        let masked: Vec<u8> =
            data.iter().zip(self.core.write_mask.iter().cycle()).map(|(byte, mask)| byte & mask).collect();
        self.core.io.write(&settings, address, &masked)
    }

    /// The range that a print command means: `length` argument at `index` (default: the block size); a negative
    /// length stands for the bytes before the seek.
    pub fn range(&mut self, index: usize) -> Result<(u64, u64)> {
        let seek = self.view.seek;
        let Some(length) = self.number(index)? else { return Ok((seek, self.view.block_size)) };
        let signed = length as i64;
        if signed < 0 && signed > -(LENGTH_LIMIT as i64) {
            let back = signed.unsigned_abs().min(seek);
            return Ok((seek - back, back));
        }
        if length > LENGTH_LIMIT {
            return Err(
                Error::new(Kind::Limit, format!("a length of 0x{length:x} bytes is too much")).hint("at most 1 TiB")
            );
        }
        Ok((seek, length))
    }
}
