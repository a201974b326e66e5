//! What Capstone leaves out of MIPS: comparisons of numbers with a fraction that set another condition than the first
//! (MIPS IV: `c.lt.d $fcc1, $f0, $f2`).

use std::fmt::Write as _;

use ::capstone::Capstone as Handle;

use crate::disasm::Text;

/// Writes the comparison at the start of `bytes` into `text`, if it is one that sets a condition but the first.
pub fn compare(handle: &Handle, bytes: &[u8], big: bool, address: u64, text: &mut Text) -> bool {
    let Some(bytes) = bytes.first_chunk::<4>() else { return false };
    let word = if big { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) };
    let (operation, format, condition) = (word >> 26, word >> 21 & 0x1f, word >> 8 & 7);
    // COP1; single, double and paired single; c.cond.fmt.
    if operation != 0x11 || !matches!(format, 16 | 17 | 22) || word & 0xf0 != 0x30 || condition == 0 {
        return false;
    }
    let first = word & !0x700;
    let bytes = if big { first.to_be_bytes() } else { first.to_le_bytes() };
    let Ok(found) = handle.disasm_count(&bytes, address, 1) else { return false };
    let Some(instruction) = found.first() else { return false };
    text.mnemonic.push_str(instruction.mnemonic().unwrap_or_default());
    // A String takes everything.
    let _ = write!(text.operands, "$fcc{condition}, {}", instruction.op_str().unwrap_or_default());
    true
}
