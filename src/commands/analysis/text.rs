//! Instructions as text, with the names that flags, functions and variables give.

use std::collections::HashMap;

use crate::analysis::{Block, Function};
use crate::disasm::{Base, Disassembler, Instruction, Names, Text};
use crate::error::Result;
use crate::session::{Core, Ctx};

use super::run;

/// Most bytes of a block that are shown.
const BLOCK_LIMIT: u64 = 1 << 20;

/// An instruction and its text.
pub struct Line {
    /// What it says.
    pub instruction: Instruction,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// With names.
    pub text: String,
    /// As it is, without names.
    pub plain: String,
}

/// Writes instructions down.
pub struct Writer {
    disassembler: Box<dyn Disassembler>,
    /// Names of variables by the address of the instruction that names them.
    variables: HashMap<u64, String>,
    substitute: bool,
    named: bool,
}

/// What addresses are called in one instruction.
struct Labels<'a> {
    core: &'a Core,
    variables: &'a HashMap<u64, String>,
    named: bool,
}

impl Labels<'_> {
    fn name(&self, address: u64) -> Option<&str> {
        if !self.named {
            return None;
        }
        if let Some(function) = self.core.analysis.function(address) {
            return Some(&function.name);
        }
        let hidden = |space: Option<&str>| matches!(space, Some("sections" | "segments" | "search"));
        let mut flags = self.core.flags.at(address).filter(|flag| !hidden(flag.space.as_deref()));
        flags.next().map(|flag| flag.name.as_str())
    }
}

impl Names for Labels<'_> {
    fn absolute(&self) -> bool {
        self.named
    }
    fn code(&self, address: u64) -> Option<&str> {
        self.name(address)
    }
    fn memory(&self, address: u64) -> Option<&str> {
        self.name(address)
    }
    fn local(&self, address: u64, _base: Base, _displacement: i64) -> Option<&str> {
        self.variables.get(&address).map(String::as_str)
    }
}

impl Writer {
    /// A writer for the client's architecture and notation.
    pub fn new(ctx: &Ctx<'_, '_>) -> Result<Writer> {
        Ok(Writer {
            disassembler: ctx.disassembler()?,
            variables: HashMap::new(),
            substitute: ctx.option_bool("asm.sub.var"),
            named: ctx.option_bool("asm.sub.names"),
        })
    }

    /// Names the variables of the function at `address` from now on.
    pub fn enter(&mut self, ctx: &mut Ctx<'_, '_>, address: u64) -> Result<()> {
        self.variables.clear();
        if !self.substitute || !ctx.option_text("asm.arch").starts_with("x86") {
            return Ok(());
        }
        run::frame_of(ctx, address)?;
        if let Some(Function { frame: Some(frame), .. }) = ctx.core.analysis.function(address) {
            let used = |at: &u64| Some((*at, frame.used(*at)?.name.clone()));
            self.variables = frame.uses.keys().filter_map(used).collect();
        }
        Ok(())
    }

    /// The instruction at `address`.
    pub fn opcode(&mut self, ctx: &mut Ctx<'_, '_>, address: u64) -> Result<String> {
        let bytes = ctx.read(address, self.disassembler.longest() as u64)?;
        let mut instruction = Instruction::default();
        self.disassembler.one(address, &bytes, &mut instruction);
        Ok(self.written(ctx.core, self.named).to_string())
    }

    /// The first instruction of the last decoding.
    fn written(&mut self, core: &Core, named: bool) -> Text {
        let none = HashMap::new();
        let variables = if named { &self.variables } else { &none };
        let mut text = Text::default();
        self.disassembler.text(0, &Labels { core, variables, named }, &mut text);
        text
    }

    /// The instruction at `address`, with all that is known of it.
    pub fn line(&mut self, ctx: &mut Ctx<'_, '_>, address: u64) -> Result<Line> {
        let mut bytes = ctx.read(address, self.disassembler.longest() as u64)?;
        let line = self.decoded(ctx.core, address, &bytes);
        bytes.truncate(line.instruction.size as usize);
        Ok(Line { bytes, ..line })
    }

    fn decoded(&mut self, core: &Core, address: u64, bytes: &[u8]) -> Line {
        let mut instruction = Instruction::default();
        self.disassembler.one(address, bytes, &mut instruction);
        let text = self.written(core, self.named).to_string();
        let plain = self.written(core, false).to_string();
        let bytes = bytes.get(..instruction.size as usize).unwrap_or(bytes).to_vec();
        Line { instruction, bytes, text, plain }
    }

    /// The instructions of a block.
    pub fn block(&mut self, ctx: &mut Ctx<'_, '_>, block: &Block) -> Result<Vec<Line>> {
        let bytes = ctx.read(block.address, block.size.min(BLOCK_LIMIT))?;
        let mut lines = Vec::with_capacity(block.instructions as usize);
        let mut at = 0;
        while at < bytes.len() {
            ctx.out.cancel().check()?;
            let line = self.decoded(ctx.core, block.address + at as u64, &bytes[at..]);
            at += line.instruction.size.max(1) as usize;
            lines.push(line);
        }
        Ok(lines)
    }
}
