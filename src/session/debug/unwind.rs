//! The call stack: by the unwind tables that programs carry in memory (`.eh_frame`, found through its program header;
//! System V ABI, "Exception Handling"; DWARF 5, section 6.4), and by frame pointers where there are none.

use std::collections::HashMap;

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, EndianSlice, Evaluation, EvaluationResult, Location, RegisterRule,
    RunTimeEndian, UnwindContext, UnwindExpression, UnwindSection, Value,
};

use super::Debugged;
use crate::debug::registers::Role;
use crate::debug::{self, Layout, Map, ProcessId, Target};
use crate::error::Result;

/// A function that has been called and has not returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Where it will go on: the program counter, and return addresses in the frames above.
    pub pc: u64,
    /// Its stack pointer.
    pub sp: u64,
    /// Bytes of its frame; 0 when nobody knows.
    pub size: u64,
}

/// Most bytes of unwind tables that are read of one file.
const LARGEST: u64 = 64 << 20;

/// Program headers looked at.
const HEADERS: u64 = 64;

/// Most operations of one expression.
const FUEL: u32 = 1000;

/// `DW_OP_*` memory reads are at most this long.
const WORD: usize = 8;

type Slice<'a> = EndianSlice<'a, RunTimeEndian>;

/// The call stack of the thread that is meant, innermost first; at most `limit` frames.
pub fn backtrace(debugged: &mut Debugged<'_>, limit: usize) -> Result<Vec<Frame>> {
    let thread = debugged.thread()?;
    let layout = debugged.target.layout(thread.process)?;
    let maps = debugged.maps()?;
    let set = debugged.target.read_set(thread, 0)?;
    let value = |role| layout.role(role).and_then(|register| register.value(&set, layout.big_endian));
    let known = layout.registers.iter().filter(|register| register.set == 0);
    let values = known.filter_map(|register| Some((register.dwarf?, register.value(&set, layout.big_endian)?)));
    let mut stack = Stack {
        memory: Memory { target: debugged.target, process: thread.process, layout: &layout },
        maps: &maps,
        tables: HashMap::new(),
        registers: values.collect(),
        pc: value(Role::Pc).unwrap_or(0),
        sp: value(Role::Sp).unwrap_or(0),
    };
    let mut frames: Vec<Frame> = Vec::new();
    // Return addresses lie behind their call, which may be the last instruction of its function.
    let mut called = false;
    while frames.len() < limit {
        let (pc, sp) = (stack.pc, stack.sp);
        let next = stack.up(called);
        let size = if next.is_some() { stack.sp.wrapping_sub(sp) } else { 0 };
        frames.push(Frame { pc, sp, size });
        match next {
            // A stack that does not shrink never ends.
            Some(is_signal) if stack.sp > sp && stack.pc != 0 => called = !is_signal,
            _ => break,
        }
    }
    Ok(frames)
}

/// The memory of a process, word by word.
struct Memory<'a> {
    target: &'a mut dyn Target,
    process: ProcessId,
    layout: &'a Layout,
}

impl Memory<'_> {
    fn read(&mut self, address: u64, length: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).ok().filter(|_| length <= LARGEST)?];
        let count = self.target.read_memory(self.process, address, &mut bytes).ok()?;
        bytes.truncate(count);
        Some(bytes)
    }

    fn number(&mut self, address: u64, size: usize) -> Option<u64> {
        let mut bytes = [0; WORD];
        let bytes = bytes.get_mut(..size)?;
        let count = self.target.read_memory(self.process, address, bytes).ok()?;
        (count == size).then(|| debug::number(bytes, self.layout.big_endian) as u64)
    }

    fn word(&mut self, address: u64) -> Option<u64> {
        self.number(address, (self.layout.bits / 8) as usize)
    }

    fn endian(&self) -> RunTimeEndian {
        if self.layout.big_endian { RunTimeEndian::Big } else { RunTimeEndian::Little }
    }
}

/// The unwind tables of one file.
struct Tables {
    header: Vec<u8>,
    frames: Vec<u8>,
    bases: BaseAddresses,
}

struct Stack<'a> {
    memory: Memory<'a>,
    maps: &'a [Map],
    /// By the first address of their file; `None`: it has none.
    tables: HashMap<u64, Option<Tables>>,
    registers: HashMap<u16, u64>,
    pc: u64,
    sp: u64,
}

impl Stack<'_> {
    /// Goes to the caller. `Some(true)`: a signal interrupted it. `None`: there is no caller.
    fn up(&mut self, called: bool) -> Option<bool> {
        self.by_tables(called).or_else(|| self.by_frame_pointer())
    }

    fn by_frame_pointer(&mut self) -> Option<bool> {
        let size = u64::from(self.memory.layout.bits / 8);
        let number = self.memory.layout.role(Role::Fp)?.dwarf?;
        let frame = *self.registers.get(&number)?;
        // A frame lies above the stack pointer, or somebody uses the register for something else.
        if frame < self.sp || frame % size != 0 {
            return None;
        }
        self.pc = self.memory.word(frame.checked_add(size)?)?;
        let saved = self.memory.word(frame)?;
        self.registers.insert(number, saved);
        self.sp = frame.checked_add(2 * size)?;
        Some(false)
    }

    /// The start of the file that `pc` lies in.
    fn file(&self, pc: u64) -> Option<u64> {
        let at = self.maps.iter().position(|map| map.contains(pc))?;
        let name = self.maps[at].name.as_ref()?;
        let same = self.maps[..=at].iter().rev().take_while(|map| map.name.as_ref().is_none_or(|other| other == name));
        same.filter(|map| map.offset == 0 && map.name.is_some()).map(|map| map.start).last()
    }

    fn by_tables(&mut self, called: bool) -> Option<bool> {
        let place = self.pc.wrapping_sub(u64::from(called));
        let start = self.file(place)?;
        if !self.tables.contains_key(&start) {
            let tables = load(&mut self.memory, self.maps, start);
            self.tables.insert(start, tables);
        }
        let Stack { memory, tables, registers, .. } = self;
        let tables = tables.get(&start)?.as_ref()?;
        let (values, pc, cfa, is_signal) = unwind(tables, memory, registers, place)?;
        self.registers = values;
        (self.pc, self.sp) = (pc, cfa);
        Some(is_signal)
    }
}

/// Reads the unwind tables of the ELF file whose first byte lies at `start`.
fn load(memory: &mut Memory<'_>, maps: &[Map], start: u64) -> Option<Tables> {
    const EH_FRAME: u64 = 0x6474_e550;
    const LOAD: u64 = 1;
    if memory.read(start, 4)? != b"\x7fELF" {
        return None;
    }
    let wide = memory.layout.bits == 64;
    // Offsets of e_phoff, e_phentsize, e_phnum, then within a header of p_offset, p_vaddr, p_memsz (ELF-64 and -32).
    let (table, entry, count, offset, address, size) =
        if wide { (0x20, 0x36, 0x38, 0x08, 0x10, 0x28) } else { (0x1c, 0x2a, 0x2c, 0x04, 0x08, 0x14) };
    let table = memory.word(start + table)?;
    let entry = memory.number(start + entry, 2)?;
    let count = memory.number(start + count, 2)?.min(HEADERS);
    let mut bias = None;
    let mut found = None;
    for at in 0..count {
        let header = start.checked_add(table)?.checked_add(at * entry)?;
        match memory.number(header, 4)? {
            LOAD if bias.is_none() => {
                let (offset, address) = (memory.word(header + offset)?, memory.word(header + address)?);
                bias = Some(start.wrapping_add(offset).wrapping_sub(address));
            }
            EH_FRAME => found = Some((memory.word(header + address)?, memory.word(header + size)?)),
            _ => {}
        }
    }
    let (address, size) = found?;
    let address = address.wrapping_add(bias?);
    let header = memory.read(address, size)?;
    let bases = BaseAddresses::default().set_eh_frame_hdr(address);
    let address_size = (memory.layout.bits / 8) as u8;
    let parsed = EhFrameHdr::new(&header, memory.endian()).parse(&bases, address_size).ok()?;
    let gimli::Pointer::Direct(frames_at) = parsed.eh_frame_ptr() else { return None };
    // Its length is written nowhere: it ends at a zero, or at the end of its map.
    let map = maps.iter().find(|map| map.contains(frames_at))?;
    let frames = memory.read(frames_at, (map.end - frames_at).min(LARGEST))?;
    Some(Tables { header, frames, bases: bases.set_eh_frame(frames_at) })
}

/// The registers, the return address and the stack pointer of the caller of the function at `place`, and whether a
/// signal interrupted it.
fn unwind(
    tables: &Tables,
    memory: &mut Memory<'_>,
    registers: &HashMap<u16, u64>,
    place: u64,
) -> Option<(HashMap<u16, u64>, u64, u64, bool)> {
    let endian = memory.endian();
    let address_size = (memory.layout.bits / 8) as u8;
    let mut frames = EhFrame::new(&tables.frames, endian);
    frames.set_address_size(address_size);
    let header = EhFrameHdr::new(&tables.header, endian).parse(&tables.bases, address_size).ok()?;
    let fde = header
        .table()?
        .fde_for_address(&frames, &tables.bases, place, |frames, bases, offset| frames.cie_from_offset(bases, offset))
        .ok()?;
    let mut context = UnwindContext::new();
    let row = fde.unwind_info_for_address(&frames, &tables.bases, &mut context, place).ok()?;
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => registers.get(&register.0)?.wrapping_add_signed(*offset),
        CfaRule::Expression(expression) => evaluate(expression, &frames, memory, registers, None)?,
    };
    let mut values = registers.clone();
    let mut pc = None;
    let ra = fde.cie().return_address_register();
    for (register, rule) in row.registers() {
        let value = match rule {
            RegisterRule::Undefined => None,
            RegisterRule::SameValue => registers.get(&register.0).copied(),
            RegisterRule::Offset(offset) => memory.word(cfa.wrapping_add_signed(*offset)),
            RegisterRule::ValOffset(offset) => Some(cfa.wrapping_add_signed(*offset)),
            RegisterRule::Register(other) => registers.get(&other.0).copied(),
            RegisterRule::Expression(expression) => {
                let address = evaluate(expression, &frames, memory, registers, Some(cfa))?;
                memory.word(address)
            }
            RegisterRule::ValExpression(expression) => evaluate(expression, &frames, memory, registers, Some(cfa)),
            RegisterRule::Constant(value) => Some(*value),
            _ => None,
        };
        if *register == ra {
            pc = Some(value?);
        }
        match value {
            Some(value) => values.insert(register.0, value),
            None => values.remove(&register.0),
        };
    }
    // Without a rule it is still where the call left it (a link register).
    let pc = pc.or_else(|| registers.get(&ra.0).copied().filter(|_| memory.layout.role(Role::Ra).is_some()))?;
    if let Some(sp) = memory.layout.role(Role::Sp).and_then(|register| register.dwarf) {
        values.entry(sp).and_modify(|value| *value = cfa).or_insert(cfa);
    }
    Some((values, pc, cfa, fde.is_signal_trampoline()))
}

/// What a DWARF expression computes.
fn evaluate(
    expression: &UnwindExpression<usize>,
    frames: &EhFrame<Slice<'_>>,
    memory: &mut Memory<'_>,
    registers: &HashMap<u16, u64>,
    initial: Option<u64>,
) -> Option<u64> {
    let expression = expression.get(frames).ok()?;
    let encoding =
        gimli::Encoding { address_size: (memory.layout.bits / 8) as u8, format: gimli::Format::Dwarf32, version: 4 };
    let mut evaluation: Evaluation<Slice<'_>> = expression.evaluation(encoding);
    evaluation.set_max_iterations(FUEL);
    if let Some(initial) = initial {
        evaluation.set_initial_value(initial);
    }
    let mut state = evaluation.evaluate().ok()?;
    loop {
        state = match state {
            EvaluationResult::Complete => break,
            EvaluationResult::RequiresRegister { register, .. } => {
                let value = *registers.get(&register.0)?;
                evaluation.resume_with_register(Value::Generic(value)).ok()?
            }
            EvaluationResult::RequiresMemory { address, size, .. } => {
                let value = memory.number(address, size.into())?;
                evaluation.resume_with_memory(Value::Generic(value)).ok()?
            }
            _ => return None,
        };
    }
    match evaluation.result().first()?.location {
        Location::Address { address } => Some(address),
        Location::Value { value: Value::Generic(value) } => Some(value),
        _ => None,
    }
}
