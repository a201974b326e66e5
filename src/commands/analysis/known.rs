//! What the analysis says of addresses in listings: bars, heads, variables, callers.

use super::functions::{VariableRow, listed, signature_of};
use crate::analysis::{Function, Kind};
use crate::commands::disassemble::{Above, Annotations, Bar};
use crate::disasm::Base;
use crate::output::visible;
use crate::session::{Config, Core, Value, config};

/// The analysis of a core, as a listing asks for it.
pub struct Known<'a> {
    core: &'a Core,
    bits: u64,
    fold: usize,
    variables: bool,
}

impl<'a> Known<'a> {
    /// What is known in `core`.
    pub fn new(core: &'a Core) -> Known<'a> {
        let option = |name| config::lookup(&Config::default(), &core.config, name);
        let number = |value| if let Value::Number(number) = value { number } else { 0 };
        Known {
            core,
            bits: number(option("asm.bits")),
            fold: number(option("asm.xrefs.fold")).min(256) as usize,
            variables: option("asm.var") == Value::Bool(true),
        }
    }

    fn at(&self, address: u64) -> Option<&'a Function> {
        self.core.analysis.containing(address)
    }

    /// `CALL XREF from main @ 0x40119c`, one line for each kind of reference to `address`.
    fn callers(&self, address: u64, lines: &mut Vec<Above>, bar: Option<Bar>) {
        let references = &self.core.analysis.xrefs;
        if references.to(address).next().is_none() {
            return;
        }
        for kind in [Kind::Call, Kind::Code, Kind::Data, Kind::Text] {
            let sources: Vec<u64> =
                references.to(address).filter(|found| found.kind == kind).map(|found| found.from).collect();
            let word = kind.word();
            let text = if sources.is_empty() {
                continue;
            } else if sources.len() > self.fold.max(1) {
                format!("; {word} XREFS({})", sources.len())
            } else {
                let place = |from: &u64| match self.at(*from) {
                    Some(function) => format!("{} @ 0x{from:x}", function.name),
                    None => format!("0x{from:x}"),
                };
                let plural = if sources.len() > 1 { "S" } else { "" };
                let places: Vec<String> = sources.iter().map(place).collect();
                format!("; {word} XREF{plural} from {}", visible(&places.join(", ")))
            };
            lines.push(Above { text, bar, head: false });
        }
    }
}

/// The last address at which an instruction of `function` begins.
fn last(function: &Function) -> u64 {
    function.blocks.last().map_or(function.address, |block| block.last)
}

impl Annotations for Known<'_> {
    fn bar(&self, address: u64) -> Option<Bar> {
        let function = self.at(address)?;
        Some(if last(function) == address { Bar::Last } else { Bar::Middle })
    }

    fn above(&self, address: u64, lines: &mut Vec<Above>) {
        let Some(function) = self.core.analysis.function(address) else {
            let bar = self.at(address).map(|_| Bar::Middle);
            return self.callers(address, lines, bar);
        };
        self.callers(address, lines, None);
        let head = visible(&signature_of(function, self.bits)).into_owned();
        lines.push(Above { text: head, bar: Some(Bar::First), head: true });
        if let Some(frame) = function.frame.as_ref().filter(|_| self.variables) {
            lines.extend(listed(frame).map(|variable| {
                let text = format!("; {}", VariableRow::new(frame, variable, self.bits).line());
                Above { text, bar: Some(Bar::Middle), head: false }
            }));
        }
    }

    fn says(&self, address: u64, name: &str) -> bool {
        self.core.analysis.function(address).is_some_and(|function| function.name == name)
    }

    fn local(&self, address: u64, _base: Base, _displacement: i64) -> Option<&str> {
        let frame = self.at(address)?.frame.as_ref()?;
        frame.used(address).map(|variable| variable.name.as_str())
    }

    fn function(&self, address: u64) -> Option<(u64, u64)> {
        self.at(address).map(|function| (function.address, last(function)))
    }

    fn references(&self, address: u64) -> Vec<(u64, &'static str)> {
        self.core.analysis.xrefs.to(address).map(|found| (found.from, found.kind.word())).collect()
    }

    fn refers(&self, address: u64) -> Vec<(u64, &'static str)> {
        self.core.analysis.xrefs.from(address).map(|found| (found.to, found.kind.word())).collect()
    }
}
