//! `/r`, `/ac`, `/ad`: instructions that refer to an address, or whose text says something.

use std::collections::VecDeque;

use regex::{Regex, RegexBuilder};

use crate::disasm::{self, Disassembler, Instruction, Settings, Text, Use};
use crate::error::{Error, Kind, Result};
use crate::io::scan::{Extent, Hit, Source, Stretch};
use crate::output::Cancel;
use crate::session::{Ctx, disassembly};

/// Bytes that are decoded at a time.
const CHUNK: usize = 64 * 1024;

/// Which instructions are looked for.
#[derive(Debug, Clone)]
pub struct CodeQuery {
    wanted: Wanted,
    settings: Settings,
}

#[derive(Debug, Clone)]
enum Wanted {
    /// Those that refer to an address in one of these ways; `None`: to any address that is mapped.
    References(Option<u64>, Ways),
    /// Instructions in a row whose texts these expressions match.
    Texts(Vec<Regex>),
}

/// Kinds of references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ways {
    All,
    Calls,
    Code,
    Reads,
    Writes,
}

impl CodeQuery {
    /// What the command `kind` (without its `/`) looks for; `None`: it looks for something else.
    pub fn read(ctx: &mut Ctx<'_, '_>, kind: &str) -> Result<Option<CodeQuery>> {
        let ways = match kind {
            "r" | "ra" => Ways::All,
            "rc" => Ways::Calls,
            "rx" => Ways::Code,
            "rr" => Ways::Reads,
            "rw" => Ways::Writes,
            "ac" | "ad" => Ways::All,
            _ => return Ok(None),
        };
        let wanted = match kind {
            "ra" => Wanted::References(None, ways),
            "ac" | "ad" => Wanted::Texts(texts(&ctx.args.text.clone(), kind == "ac")?),
            _ => {
                let target = if ctx.args.words.is_empty() { ctx.view.seek } else { ctx.required(0)? };
                Wanted::References(Some(target), ways)
            }
        };
        Ok(Some(CodeQuery { wanted, settings: disassembly::settings(ctx.core, ctx.view) }))
    }
}

/// The expressions of `text`, one for each instruction, with `;` between them.
fn texts(text: &str, plain: bool) -> Result<Vec<Regex>> {
    let parts: Vec<&str> = text.split(';').map(str::trim).collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(Error::new(Kind::Usage, "there is nothing to look for").hint("/ad <expression>[;<expression>...]"));
    }
    let compile = |part: &&str| {
        let expression = if plain { regex::escape(part) } else { (*part).to_string() };
        RegexBuilder::new(&expression).case_insensitive(true).size_limit(1 << 20).build().map_err(|error| {
            let why = error.to_string().lines().last().unwrap_or_default().replace("error: ", "");
            Error::new(Kind::Usage, format!("bad regular expression '{}': {why}", crate::output::visible(part)))
        })
    };
    parts.iter().map(compile).collect()
}

/// What was found: where, of which kind, and the instructions.
pub type Found = (Hit, &'static str, String);

/// A search through the instructions of an extent, one after the other.
pub struct CodeScan<'q> {
    query: &'q CodeQuery,
    disassembler: Box<dyn Disassembler>,
    extent: Extent,
    next: Option<u64>,
    found: VecDeque<Found>,
    bytes: Vec<u8>,
    instructions: Vec<Instruction>,
    /// The last instructions that fit the first expressions, with their texts.
    row: VecDeque<(Instruction, String)>,
}

impl<'q> CodeScan<'q> {
    /// A search for what `query` asks for.
    ///
    /// # Errors
    /// When there is no such architecture.
    pub fn new(query: &'q CodeQuery, extent: Extent) -> Result<CodeScan<'q>> {
        Ok(CodeScan {
            query,
            disassembler: disasm::disassembler(&query.settings)?,
            extent,
            next: Some(extent.first),
            found: VecDeque::new(),
            bytes: vec![0; CHUNK],
            instructions: vec![Instruction::default(); 4096],
            row: VecDeque::new(),
        })
    }

    /// The next hit; `None` when there is no other. `mapped` says whether something lies at an address.
    pub fn next(
        &mut self,
        source: &mut dyn Source,
        mapped: &dyn Fn(u64) -> bool,
        cancel: &Cancel,
        step: &mut dyn FnMut(u64),
    ) -> Result<Option<Found>> {
        loop {
            if let Some(found) = self.found.pop_front() {
                return Ok(Some(found));
            }
            let Some(next) = self.next else { return Ok(None) };
            cancel.check()?;
            self.look(next, source, mapped)?;
            step(self.next.map_or(self.extent.length(), |next| next - self.extent.first));
        }
    }

    /// Decodes what lies at `next`.
    fn look(&mut self, next: u64, source: &mut dyn Source, mapped: &dyn Fn(u64) -> bool) -> Result<()> {
        let left = (self.extent.last - next).saturating_add(1);
        let room = CHUNK.min(usize::try_from(left).unwrap_or(CHUNK));
        // What is left out of a chunk is a gap for rows of instructions.
        let count = match source.stretch(next, &mut self.bytes[..room])? {
            Stretch::Data(count) if count > 0 => count.min(room),
            Stretch::Zeros(count) | Stretch::Hole(count) if count > 0 => {
                self.row.clear();
                self.next = next.checked_add(count).filter(|next| *next <= self.extent.last);
                return Ok(());
            }
            _ => {
                self.next = None;
                return Ok(());
            }
        };
        let longest = self.disassembler.longest();
        // The last one may go on in the next chunk.
        let starts = if count > 2 * longest && (count as u64) < left { count - longest } else { count };
        let mut at = 0;
        while at < starts {
            let address = next.wrapping_add(at as u64);
            let bytes = &self.bytes[at..count];
            let decoded = self.disassembler.decode(address, bytes, starts - at, &mut self.instructions);
            if decoded == 0 {
                break;
            }
            for index in 0..decoded {
                let instruction = self.instructions[index];
                at += instruction.size as usize;
                self.consider(index, instruction, mapped);
            }
        }
        self.next = next.checked_add(at.max(1) as u64).filter(|next| *next <= self.extent.last);
        Ok(())
    }

    fn consider(&mut self, index: usize, instruction: Instruction, mapped: &dyn Fn(u64) -> bool) {
        match &self.query.wanted {
            Wanted::References(target, ways) => {
                let fits = |address: u64| target.map_or_else(|| mapped(address), |target| target == address);
                let Some((kind, to)) = reference(&instruction, *ways, &fits) else { return };
                let mut text = self.text(index);
                if target.is_none() {
                    text = format!("0x{to:08x} {text}");
                }
                self.found.push_back((hit(instruction.address, u64::from(instruction.size)), kind, text));
            }
            Wanted::Texts(expressions) => {
                let text = if instruction.is_valid() { self.text(index) } else { String::new() };
                self.row.push_back((instruction, text));
                if self.row.len() > expressions.len() {
                    self.row.pop_front();
                }
                let fits = |(expression, (_, text)): (&Regex, &(Instruction, String))| {
                    !text.is_empty() && expression.is_match(text)
                };
                if self.row.len() == expressions.len() && expressions.iter().zip(&self.row).all(fits) {
                    let first = self.row[0].0.address;
                    let texts: Vec<&str> = self.row.iter().map(|(_, text)| text.as_str()).collect();
                    self.found.push_back((hit(first, instruction.next().wrapping_sub(first)), "asm", texts.join("; ")));
                    self.row.clear();
                }
            }
        }
    }

    fn text(&mut self, index: usize) -> String {
        let mut text = Text::default();
        self.disassembler.text(index, &(), &mut text);
        text.to_string()
    }
}

fn hit(address: u64, length: u64) -> Hit {
    Hit { address, length: usize::try_from(length).unwrap_or(1) }
}

/// How `instruction` refers to an address that `fits`, in one of `ways`.
fn reference(instruction: &Instruction, ways: Ways, fits: &dyn Fn(u64) -> bool) -> Option<(&'static str, u64)> {
    if let Some(to) = instruction.jump.filter(|to| fits(*to)) {
        let kind = if instruction.kind.is_call() { "CALL" } else { "CODE" };
        let wanted = match ways {
            Ways::All | Ways::Code => true,
            Ways::Calls => kind == "CALL",
            Ways::Reads | Ways::Writes => false,
        };
        return wanted.then_some((kind, to));
    }
    if let Some(to) = instruction.pointer.filter(|to| fits(*to)) {
        let how = instruction.memory_use;
        // A call or jump through memory reads where it goes.
        let through = instruction.kind.is_call() || instruction.kind.is_jump();
        return match ways {
            Ways::All => Some((if through && instruction.kind.is_call() { "CALL" } else { "DATA" }, to)),
            Ways::Calls => (through && instruction.kind.is_call()).then_some(("CALL", to)),
            Ways::Code => through.then_some(("CODE", to)),
            Ways::Reads => (through || matches!(how, Use::Read | Use::Both)).then_some(("READ", to)),
            Ways::Writes => matches!(how, Use::Write | Use::Both).then_some(("WRITE", to)),
        };
    }
    // Small numbers are numbers.
    let to = instruction.value.filter(|value| *value > 0xff && fits(*value) && ways == Ways::All)?;
    Some(("DATA", to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_one_for_each_instruction() {
        assert_eq!(texts("pop r..; ret", false).unwrap().len(), 2);
        assert!(texts("pop;;ret", false).is_err());
        assert!(texts("(", false).is_err());
        assert!(texts("(", true).unwrap()[0].is_match("a ( b"));
    }
}
