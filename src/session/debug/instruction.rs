//! Single instructions of a process: how long they are and whether they call.

use super::Debugged;
use crate::disasm::{Instruction, Settings, disassembler};
use crate::error::{Error, Kind, Result};

/// The instruction at `address`.
pub fn at(debugged: &mut Debugged<'_>, address: u64) -> Result<Instruction> {
    let layout = debugged.layout()?;
    if !layout.architecture.starts_with("i386") {
        let text = format!("instructions of {} are not told apart here", layout.architecture);
        return Err(Error::new(Kind::Unsupported, text));
    }
    let mut disassembler = disassembler(&Settings { bits: layout.bits, ..Settings::default() })?;
    let process = debugged.thread()?.process;
    let mut bytes = vec![0; disassembler.longest()];
    let count = debugged.target.read_memory(process, address, &mut bytes)?;
    let mut found = Instruction::default();
    if !disassembler.one(address, &bytes[..count], &mut found) {
        return Err(Error::new(Kind::Format, format!("no instruction is at 0x{address:08x}")));
    }
    Ok(found)
}
