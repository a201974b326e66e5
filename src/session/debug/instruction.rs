//! Single instructions of a process: how long they are and whether they call.

use iced_x86::{Decoder, DecoderOptions, FlowControl};

use super::Debugged;
use crate::error::{Error, Kind, Result};

/// What stepping needs to know of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Bytes.
    pub size: u64,
    /// It calls a function that comes back.
    pub is_call: bool,
}

/// The instruction at `address`.
pub fn at(debugged: &mut Debugged<'_>, address: u64) -> Result<Instruction> {
    const LONGEST: usize = 15;
    let layout = debugged.layout()?;
    if !layout.architecture.starts_with("i386") {
        let text = format!("instructions of {} are not told apart here", layout.architecture);
        return Err(Error::new(Kind::Unsupported, text));
    }
    let process = debugged.thread()?.process;
    let mut bytes = [0; LONGEST];
    let count = debugged.target.read_memory(process, address, &mut bytes)?;
    let instruction = Decoder::with_ip(layout.bits, &bytes[..count], address, DecoderOptions::NONE).decode();
    if instruction.is_invalid() {
        return Err(Error::new(Kind::Format, format!("no instruction is at 0x{address:08x}")));
    }
    let is_call = matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall)
        && !matches!(instruction.mnemonic(), iced_x86::Mnemonic::Syscall | iced_x86::Mnemonic::Sysenter);
    Ok(Instruction { size: instruction.len() as u64, is_call })
}
