//! What names in an expression mean to one client: flags, `$` variables, memory.

use super::flags::Flag;
use super::{Core, View, config, debug, disassembly, options, places};
use crate::disasm::{self, Instruction};
use crate::error::{Error, Kind, Result};
use crate::io::{Descriptor, Map, Settings};
use crate::number::Names;

/// The names that `core` and `view` know.
pub struct Scope<'a> {
    /// The shared state.
    pub core: &'a mut Core,
    /// The client's state.
    pub view: &'a View,
}

/// The io.* options as they hold for `view`.
pub fn settings(core: &Core, view: &View) -> Settings {
    let lookup = |name| config::lookup(&view.overrides, &core.config, name);
    Settings {
        virtual_addresses: lookup("io.va") == config::Value::Bool(true),
        descriptor: view.descriptor,
        cache: lookup("io.cache") == config::Value::Bool(true),
        fill: match lookup("io.0xff") {
            config::Value::Number(fill) => fill as u8,
            _ => 0xff,
        },
    }
}

impl Scope<'_> {
    /// Reads memory as the client sees it: devices, maps, overlay, and the patch of `@x:` and its like.
    /// Returns how many bytes were there; the rest is the fill byte.
    pub fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<usize> {
        let settings = settings(self.core, self.view);
        let mut valid = self.core.io.read(&settings, address, buffer)?;
        if let Some(patch) = &self.view.patch {
            let offset = self.view.seek.wrapping_sub(address);
            let (skip, start) = if offset < buffer.len() as u64 {
                (0, offset as usize)
            } else {
                (address.wrapping_sub(self.view.seek), 0)
            };
            if skip < patch.len() as u64 {
                let source = &patch[skip as usize..];
                let count = source.len().min(buffer.len() - start);
                buffer[start..start + count].copy_from_slice(&source[..count]);
                valid = valid.max(start + count);
            }
        }
        Ok(valid)
    }

    fn option(&self, name: &str) -> config::Value {
        config::lookup(&self.view.overrides, &self.core.config, name)
    }

    fn number(&self, name: &str) -> u64 {
        numeric(&self.option(name)).unwrap_or(0)
    }

    /// Bytes in a machine word.
    fn word_size(&self) -> usize {
        disassembly::word(self.core, self.view)
    }

    /// The instruction at the seek; what cannot be decoded names nothing.
    fn instruction(&mut self) -> Result<Instruction> {
        let mut disassembler = disasm::disassembler(&disassembly::settings(self.core, self.view))?;
        let mut bytes = vec![0; disassembler.longest()];
        self.read(self.view.seek, &mut bytes)?;
        let mut instruction = Instruction::default();
        disassembler.one(self.view.seek, &bytes, &mut instruction);
        Ok(instruction)
    }

    /// The current descriptor, or the one that `@o:` chose.
    fn file(&self) -> Result<&Descriptor> {
        match self.view.descriptor.or(self.core.io.current()) {
            Some(fd) => self.core.io.descriptor(fd),
            None => Err(missing("no file is open").hint("open one with 'o'")),
        }
    }

    /// The map that answers for the seek.
    fn map(&self) -> Result<&Map> {
        let seek = self.view.seek;
        self.core.io.space.at(seek).ok_or_else(|| missing(format!("nothing is mapped at 0x{seek:08x}")))
    }

    fn flag(&self, name: &str) -> Result<&Flag> {
        self.core.flags.get(name).ok_or_else(|| missing(format!("no flag is called '{name}'")))
    }

    /// The offset of the seek in its file.
    fn file_offset(&self) -> Result<u64> {
        if self.view.descriptor.is_some() || self.option("io.va") == config::Value::Bool(false) {
            return Ok(self.view.seek);
        }
        self.map().map(|map| self.view.seek - map.from + map.delta)
    }

    /// The value of a variable that takes a name in braces.
    fn braced(&mut self, variable: &str, inside: &str) -> Result<u64> {
        match variable {
            "" => {
                let option = options::find(inside).ok_or_else(|| missing(format!("no option is called '{inside}'")))?;
                numeric(&self.option(option.name))
                    .ok_or_else(|| missing(format!("the option '{inside}' is not a number")))
            }
            "s" => self.flag(inside).map(|flag| flag.size),
            "e" => self.flag(inside).map(|flag| flag.address.wrapping_add(flag.size)),
            "r" => debug::debugged(self.core, self.view)
                .and_then(|mut debugged| debugged.register(inside))
                .map_err(|error| error.context(format_args!("register '{inside}'"))),
            "k" => Err(missing(format!("'${variable}{{{inside}}}': there is no key/value database"))),
            _ => Err(unknown(&format!("{variable}{{{inside}}}"))),
        }
    }

    /// Columns and rows of the terminal, when this client's user sits at one; the options win.
    fn terminal(&self) -> (u64, u64) {
        let (columns, rows) = match rustix::termios::tcgetwinsize(std::io::stdout()) {
            Ok(size) if self.view.owner && size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
            _ => (80, 23),
        };
        let chosen = |name| options::find(name).map(|option| self.number(option.name)).filter(|size| *size > 0);
        (chosen("scr.columns").unwrap_or(columns.into()), chosen("scr.rows").unwrap_or(rows.into()))
    }
}

/// A `$` variable.
pub struct Variable {
    /// With its `$`.
    pub name: &'static str,
    /// What it is the value of.
    pub summary: &'static str,
}

const fn variable(name: &'static str, summary: &'static str) -> Variable {
    Variable { name, summary }
}

/// The variables that stand alone, in the order that `?$` lists them. Others take a name: `${option}`, `$s{flag}`,
/// `$e{flag}`.
pub const VARIABLES: &[Variable] = &[
    variable("$$", "current address"),
    variable("$$$", "current address outside of @"),
    variable("$?", "last value"),
    variable("$b", "block size"),
    variable("$s", "size of the current file"),
    variable("$o", "offset of the current address in its file"),
    variable("$O", "address of the cursor"),
    variable("$B", "base address: start of the map here in units of 64 KiB"),
    variable("$M", "start of the map here"),
    variable("$MM", "size of the map here"),
    variable("$fl", "size of the flag here"),
    variable("$S", "start of the section here"),
    variable("$SS", "size of the section here"),
    variable("$F", "start of the function here"),
    variable("$FB", "start of the function here"),
    variable("$FE", "end of the function here"),
    variable("$FS", "bytes of the function here, with what lies between its blocks"),
    variable("$FSS", "bytes of the blocks of the function here"),
    variable("$FI", "instructions of the function here"),
    variable("$Fb", "start of the block of a function here"),
    variable("$Fe", "end of the block here"),
    variable("$Fs", "bytes of the block here"),
    variable("$Fi", "instructions of the block here"),
    variable("$Fj", "where the block here jumps; all ones: nowhere"),
    variable("$Ff", "where the block here goes on otherwise; all ones: nowhere"),
    variable("$C0", "first call of the function here, $C1 the second; all ones: none"),
    variable("$J0", "first jump of the function here to elsewhere; all ones: none"),
    variable("$D0", "first data that the function here refers to; all ones: none"),
    variable("$X0", "first place that refers to the function here; all ones: none"),
    variable("$e", "1: the instruction here ends a block of a function"),
    variable("$l", "size of the instruction here"),
    variable("$j", "address that the instruction here jumps to; all ones: none"),
    variable("$f", "address that a conditional jump here goes on at otherwise; all ones: none"),
    variable("$m", "memory that the instruction here names; all ones: none"),
    variable("$v", "number in the instruction here; all ones: none"),
    variable("$c", "columns of the terminal"),
    variable("$r", "rows of the terminal"),
    variable("$w", "bytes in a machine word"),
    variable("$p", "number of this process"),
];

/// What the dialect's other variables would need to have a value.
fn absent(variable: &str) -> Option<&'static str> {
    matches!(variable, "D" | "DD" | "DB" | "P").then_some("no process is being debugged")
}

fn numeric(value: &config::Value) -> Option<u64> {
    match value {
        config::Value::Bool(value) => Some((*value).into()),
        config::Value::Number(value) | config::Value::Address(value) => Some(*value),
        config::Value::Text(_) => None,
    }
}

pub(super) fn missing(what: impl Into<String>) -> Error {
    Error::new(Kind::Expression, what)
}

fn unknown(variable: &str) -> Error {
    missing(format!("unknown variable '${variable}'")).hint("'?$' lists them")
}

impl Names for Scope<'_> {
    fn name(&mut self, name: &str) -> Option<u64> {
        // Registers come before names that were not made yet: making those may mean reading far files.
        let flag = self.core.flags.get(name).map(|flag| flag.address);
        flag.or_else(|| debug::register(self.core, self.view, name))
            .or_else(|| self.core.named_address(name))
            // `@!size`: all of the file, unless a flag has the word.
            .or_else(|| if name == "size" { self.variable("s").ok() } else { None })
    }

    fn variable(&mut self, variable: &str) -> Result<u64> {
        if let Some((name, inside)) = variable.split_once('{') {
            return self.braced(name, inside.trim_end_matches('}'));
        }
        Ok(match variable {
            "$" | "O" => self.view.seek,
            "$$" => self.view.prompt_seek,
            "?" => self.view.last,
            "b" => self.view.block_size,
            "s" => {
                let file = self.file()?;
                file.size().ok_or_else(|| missing(format!("'{}' has no end, so '$s' has no value", file.uri)))?
            }
            "o" => self.file_offset()?,
            "B" => self.map()?.from & !0xffff,
            "M" => self.map()?.from,
            "MM" => self.map()?.size,
            "fl" => {
                let seek = self.view.seek;
                let flag = self.core.flags.at(seek).last();
                flag.ok_or_else(|| missing(format!("no flag is at 0x{seek:08x}")))?.size
            }
            "l" => self.instruction()?.size.into(),
            "j" => self.instruction()?.jump.unwrap_or(u64::MAX),
            "f" => self.instruction()?.fail.unwrap_or(u64::MAX),
            "m" => self.instruction()?.pointer.unwrap_or(u64::MAX),
            "v" => self.instruction()?.value.unwrap_or(u64::MAX),
            "c" => self.terminal().0,
            "r" => self.terminal().1,
            "w" => self.word_size() as u64,
            "p" => std::process::id().into(),
            _ if variable.starts_with('.') => debug::debugged(self.core, self.view)?.register(&variable[1..])?,
            _ => {
                if let Some(value) = places::value(self.core, self.view, variable) {
                    return value;
                }
                return Err(match absent(variable) {
                    Some(why) => missing(format!("'${variable}' has no value: {why}")),
                    None => unknown(variable),
                });
            }
        })
    }

    fn memory(&mut self, address: u64, size: Option<u8>) -> Result<u64> {
        let size = match size {
            Some(size @ (1 | 2 | 4 | 8)) => size as usize,
            Some(size) => {
                return Err(Error::new(Kind::Expression, format!("bad memory size {size}")).hint("1, 2, 4 or 8"));
            }
            None => self.word_size(),
        };
        let mut bytes = [0u8; 8];
        self.read(address, &mut bytes[..size])?;
        if self.number("cfg.bigendian") != 0 {
            bytes[..size].reverse();
        }
        Ok(u64::from_le_bytes(bytes))
    }

    fn seek(&mut self) -> u64 {
        self.view.seek
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Open;
    use crate::number::evaluate;
    use crate::session::Session;
    use crate::uri::Uri;

    fn session() -> Session {
        let mut session = Session::new();
        session.with(|core, view| {
            let fd = core.io.open(&Uri::parse("malloc://512"), &Open::default()).unwrap();
            core.io.space.add(fd, 0x12340, 0x100, 0x40, crate::io::Access::RX, None);
            core.flags.set("data", 0x12350, 8);
            view.seek = 0x12350;
            view.prompt_seek = 1;
            view.last = 2;
        });
        session
    }

    #[test]
    fn variables_say_where_the_session_is() {
        let rows: &[(&str, u64)] = &[
            ("$$", 0x12350),
            ("$$$", 1),
            ("$?", 2),
            ("$b", 0x100),
            ("$s", 512),
            ("$o", 0x50),
            ("$O", 0x12350),
            ("$B", 0x10000),
            ("$M", 0x12340),
            ("$MM", 0x100),
            ("$fl", 8),
            ("$l", 2),
            ("$m", u64::MAX),
            ("$w", 8),
            ("$p", std::process::id().into()),
            ("data", 0x12350),
            ("$s{data}", 8),
            ("$e{data}", 0x12358),
            ("${asm.bits}", 64),
            ("${io.va}", 1),
            ("[2:data]", 0),
        ];
        session().with(|core, view| {
            for (text, expected) in rows {
                let value = evaluate(text, &mut Scope { core: &mut *core, view: &*view });
                assert_eq!(value.unwrap_or_else(|error| panic!("{text}: {error}")), *expected, "{text}");
            }
        });
    }

    #[test]
    fn what_has_no_value_says_why() {
        let rows: &[(&str, &str)] = &[
            ("$S", "'$S' has no value: 0x00012350 is in no section"),
            ("$FB", "'$FB' has no value: no function is known at 0x00012350 ('aa' or 'af' finds functions)"),
            ("$C0", "'$C0' has no value: no function is known at 0x00012350 ('aa' or 'af' finds functions)"),
            ("$Fb", "'$Fb' has no value: no function is known at 0x00012350 ('aa' or 'af' finds functions)"),
            ("$DB", "'$DB' has no value: no process is being debugged"),
            ("$.pc", "no process is being debugged ('o dbg://PROGRAM' or 'remora -d PROGRAM' starts one)"),
            (
                "$r{rip}",
                "register 'rip': no process is being debugged ('o dbg://PROGRAM' or 'remora -d PROGRAM' starts one)",
            ),
            ("$k{x}", "'$k{x}': there is no key/value database"),
            ("$s{nosuch}", "no flag is called 'nosuch'"),
            ("${no.such}", "no option is called 'no.such'"),
            ("$zz", "unknown variable '$zz' ('?$' lists them)"),
            ("$C", "unknown variable '$C' ('?$' lists them)"),
            ("nosuch", "unknown name 'nosuch'"),
        ];
        session().with(|core, view| {
            for (text, expected) in rows {
                let error = evaluate(text, &mut Scope { core: &mut *core, view: &*view }).expect_err(text);
                assert_eq!(error.to_string(), *expected, "{text}");
            }
            view.seek = 0;
            for (text, expected) in [
                ("$o", "nothing is mapped at 0x00000000"),
                ("$M", "nothing is mapped at 0x00000000"),
                ("$fl", "no flag is at 0x00000000"),
            ] {
                let error = evaluate(text, &mut Scope { core: &mut *core, view: &*view }).expect_err(text);
                assert_eq!(error.to_string(), expected);
            }
        });
    }
}
