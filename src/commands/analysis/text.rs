//! Instructions as text, with names.

use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};

use crate::error::Result;
use crate::session::Ctx;

/// The instruction at `address`.
pub fn opcode(ctx: &mut Ctx<'_, '_>, address: u64) -> Result<String> {
    let bytes = ctx.read(address, 16)?;
    let bits = ctx.option_number("asm.bits") as u32;
    let Ok(mut decoder) = Decoder::try_with_ip(bits, &bytes, address, DecoderOptions::NONE) else {
        return Ok("invalid".to_string());
    };
    let instruction = decoder.decode();
    if instruction.near_branch_target() != 0 {
        let target = instruction.near_branch_target();
        let name = ctx.core.flags.at(target).next().map_or_else(|| format!("0x{target:x}"), |flag| flag.name.clone());
        return Ok(format!("{:?} {name}", instruction.mnemonic()).to_lowercase());
    }
    let mut text = String::new();
    IntelFormatter::new().format(&instruction, &mut text);
    Ok(text)
}
