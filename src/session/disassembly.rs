//! Which instructions a client means: the `asm.*` options as the disassembler takes them.

use super::{Core, Value, View, config};
use crate::disasm::{Settings, Syntax};

/// The architecture, word size, model and notation that hold for the client.
pub fn settings(core: &Core, view: &View) -> Settings {
    let option = |name| config::lookup(&view.overrides, &core.config, name);
    let bits = match option("asm.bits") {
        Value::Number(bits) => u32::try_from(bits).unwrap_or(0),
        _ => 0,
    };
    Settings {
        arch: option("asm.arch").to_string(),
        bits,
        big_endian: option("cfg.bigendian") == Value::Bool(true),
        cpu: option("asm.cpu").to_string(),
        syntax: Syntax::named(&option("asm.syntax").to_string()),
    }
}

/// Bytes of an address or a word of the machine (`asm.bits`): Thumb code has those of ARM.
pub fn word(core: &Core, view: &View) -> usize {
    match settings(core, view) {
        Settings { arch, bits: 16, .. } if arch == "arm" => 4,
        Settings { bits, .. } => (bits as usize / 8).clamp(1, 8),
    }
}
