//! What names in an expression mean to one client: flags, `$` variables, memory.

use super::{Core, View, config};
use crate::error::{Error, Kind, Result};
use crate::io::Settings;
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

    fn number(&self, name: &str) -> u64 {
        match config::lookup(&self.view.overrides, &self.core.config, name) {
            config::Value::Bool(value) => value.into(),
            config::Value::Number(value) | config::Value::Address(value) => value,
            config::Value::Text(_) => 0,
        }
    }
}

impl Names for Scope<'_> {
    fn name(&mut self, name: &str) -> Option<u64> {
        self.core.flags.get(name).map(|flag| flag.address)
    }

    fn variable(&mut self, variable: &str) -> Option<u64> {
        Some(match variable {
            "$" => self.view.seek,
            "$$" => self.view.prompt_seek,
            "?" => self.view.last,
            "b" => self.view.block_size,
            _ => return None,
        })
    }

    fn memory(&mut self, address: u64, size: Option<u8>) -> Result<u64> {
        let size = match size {
            Some(size @ (1 | 2 | 4 | 8)) => size as usize,
            Some(size) => {
                return Err(Error::new(Kind::Expression, format!("bad memory size {size}")).hint("1, 2, 4 or 8"));
            }
            None => (self.number("asm.bits") as usize / 8).clamp(1, 8),
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
