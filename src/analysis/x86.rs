//! Steps through x86 code, and the jump tables that compilers make of `switch`.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::memory::Memory;
use super::step::{Flow, Step, Stepper, TABLE_LIMIT, Table};
use crate::error::Result;

/// How many instructions before an indirect jump are looked at.
const HISTORY: usize = 32;

/// The stepper.
pub struct X86 {
    bits: u32,
    /// What was stepped over, the latest last, without gaps.
    history: Vec<Instruction>,
}

impl X86 {
    /// A stepper for 16, 32 or 64 bits.
    pub fn new(bits: u32) -> X86 {
        X86 { bits, history: Vec::with_capacity(2 * HISTORY) }
    }

    fn remember(&mut self, instruction: Instruction) {
        if self.history.last().is_some_and(|last| last.next_ip() != instruction.ip()) {
            self.history.clear();
        }
        if self.history.len() == 2 * HISTORY {
            self.history.drain(..HISTORY);
        }
        self.history.push(instruction);
    }
}

/// The instruction at the start of `bytes`, which lie at `address`.
pub fn decode(bits: u32, address: u64, bytes: &[u8]) -> Option<Instruction> {
    // try_with_ip fails only for other word sizes.
    let mut decoder = Decoder::try_with_ip(bits, bytes, address, DecoderOptions::NONE).ok()?;
    let instruction = decoder.decode();
    (!instruction.is_invalid()).then_some(instruction)
}

/// The fixed address of the memory operand.
fn fixed_memory(instruction: &Instruction) -> Option<u64> {
    let memory = (0..instruction.op_count()).any(|index| instruction.op_kind(index) == OpKind::Memory);
    if !memory || matches!(instruction.memory_segment(), Register::FS | Register::GS) {
        return None;
    }
    if instruction.is_ip_rel_memory_operand() {
        return Some(instruction.ip_rel_memory_address());
    }
    // A table is referred to by its start, whatever the index.
    let fixed = instruction.memory_base() == Register::None && instruction.memory_displ_size() >= 4;
    fixed.then(|| instruction.memory_displacement64())
}

fn immediate(instruction: &Instruction) -> Option<u64> {
    (0..instruction.op_count()).find_map(|index| match instruction.op_kind(index) {
        OpKind::Immediate32 | OpKind::Immediate64 | OpKind::Immediate32to64 => Some(instruction.immediate(index)),
        _ => None,
    })
}

impl Stepper for X86 {
    fn step(&mut self, address: u64, bytes: &[u8]) -> Option<Step> {
        let instruction = decode(self.bits, address, bytes)?;
        let mut target = None;
        let flow = match instruction.flow_control() {
            FlowControl::Next => match instruction.mnemonic() {
                Mnemonic::Hlt => Flow::Trap,
                _ => Flow::Next,
            },
            FlowControl::UnconditionalBranch => Flow::Jump,
            FlowControl::ConditionalBranch | FlowControl::XbeginXabortXend => Flow::Branch,
            FlowControl::IndirectBranch => Flow::IndirectJump,
            FlowControl::Return => Flow::Return,
            FlowControl::Call => match instruction.op0_kind() {
                OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => Flow::Call,
                // syscall, sysenter and far calls come back.
                _ => Flow::Next,
            },
            FlowControl::IndirectCall => Flow::IndirectCall,
            FlowControl::Interrupt => match instruction.code() {
                Code::Int3 => Flow::Trap,
                _ => Flow::Next,
            },
            FlowControl::Exception => Flow::Trap,
        };
        if matches!(flow, Flow::Jump | Flow::Branch | Flow::Call) {
            target = match instruction.op0_kind() {
                OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                    Some(instruction.near_branch_target())
                }
                _ => None,
            };
        }
        let flow = match (flow, target) {
            (Flow::Jump, None) => Flow::IndirectJump,
            // xend, xabort
            (Flow::Branch, None) => Flow::Next,
            (flow, _) => flow,
        };
        let step = Step {
            size: instruction.len() as u8,
            flow,
            target,
            memory: fixed_memory(&instruction),
            immediate: if target.is_none() { immediate(&instruction) } else { None },
            takes_address: instruction.mnemonic() == Mnemonic::Lea,
        };
        self.remember(instruction);
        Some(step)
    }

    fn table(&mut self, memory: &mut Memory<'_>) -> Result<Option<Table>> {
        let Some((jump, before)) = self.history.split_last() else { return Ok(None) };
        let before = &before[before.len().saturating_sub(HISTORY)..];
        let Some(shape) = shape(jump, before) else { return Ok(None) };
        let count = bound(before, shape.index).unwrap_or(TABLE_LIMIT);
        let bounded = count < TABLE_LIMIT;
        let mut targets = Vec::new();
        for index in 0..count as u64 {
            let at = shape.table.wrapping_add(index.wrapping_mul(shape.size as u64));
            let Some(value) = memory.number(at, shape.size)? else { break };
            let target = match shape.relative {
                // Entries are signed distances of 4 bytes.
                true => shape.base.wrapping_add(i64::from(value as u32 as i32) as u64),
                false => value,
            };
            let target = if self.bits == 32 { target & 0xffff_ffff } else { target };
            // Without a bound the table ends where its entries stop making sense: at what is no code, or is far
            // away.
            let near = target.abs_diff(jump.ip()) < 1 << 20;
            if !memory.is_code(target) || (!bounded && !near) {
                break;
            }
            targets.push(target);
        }
        Ok((!targets.is_empty()).then_some(Table { address: shape.table, targets }))
    }
}

/// How an indirect jump takes its target from a table.
struct Shape {
    table: u64,
    /// Bytes of an entry.
    size: usize,
    /// Whether entries are distances from `base`.
    relative: bool,
    base: u64,
    /// The register that chooses the entry, in its full width.
    index: Register,
}

/// The forms: `jmp [table + index*8]`; the same through a register; and distances: `movsxd r, [base + index*4]`,
/// `add r, base`, `jmp r`, as gcc and clang make them, with gcc's unoptimised one, which scales the index by `lea`.
fn shape(jump: &Instruction, before: &[Instruction]) -> Option<Shape> {
    if jump.op0_kind() == OpKind::Memory {
        return absolute(jump);
    }
    let register = jump.op0_register().full_register();
    let (at, last) = last_write(before, register)?;
    if last.mnemonic() == Mnemonic::Mov && last.op1_kind() == OpKind::Memory {
        return absolute(last);
    }
    if last.mnemonic() != Mnemonic::Add || last.op1_kind() != OpKind::Register {
        return None;
    }
    let before = &before[..at];
    let pair = [register, last.op1_register().full_register()];
    // The sum has two parts: the place that distances count from, and the distance.
    let (base, distance) = [(pair[0], pair[1]), (pair[1], pair[0])].into_iter().find_map(|(base, distance)| {
        let (_, lea) = last_write(before, base)?;
        (lea.mnemonic() == Mnemonic::Lea && lea.is_ip_rel_memory_operand())
            .then(|| (lea.ip_rel_memory_address(), distance))
    })?;
    let (at, load) = widened(before, distance)?;
    if load.op1_kind() != OpKind::Memory || load.memory_size().size() != 4 {
        return None;
    }
    let before = &before[..at];
    let address = |register: Register| {
        let (_, lea) = last_write(before, register)?;
        (lea.mnemonic() == Mnemonic::Lea && lea.is_ip_rel_memory_operand()).then(|| lea.ip_rel_memory_address())
    };
    let (first, second) = (load.memory_base(), load.memory_index());
    if load.memory_index_scale() == 4 {
        let table = address(first)?.wrapping_add(load.memory_displacement64());
        return Some(Shape { table, size: 4, relative: true, base, index: second.full_register() });
    }
    // gcc -O0: lea rdx, [rax*4]; lea rax, [table]; mov eax, [rdx + rax]
    [(first, second), (second, first)].into_iter().find_map(|(table, scaled)| {
        let table = address(table)?;
        let (_, lea) = last_write(before, scaled)?;
        let scaled = lea.mnemonic() == Mnemonic::Lea && lea.memory_index_scale() == 4;
        scaled.then(|| Shape { table, size: 4, relative: true, base, index: lea.memory_index().full_register() })
    })
}

/// `[table + index*8]`.
fn absolute(instruction: &Instruction) -> Option<Shape> {
    let size = instruction.memory_size().size();
    let fits = instruction.memory_base() == Register::None
        && instruction.memory_index() != Register::None
        && instruction.memory_index_scale() as usize == size
        && matches!(size, 4 | 8);
    let table = instruction.memory_displacement64();
    let index = instruction.memory_index().full_register();
    fits.then_some(Shape { table, size, relative: false, base: 0, index })
}

/// The load that ends in `register`, past a sign extension (cdqe).
fn widened(before: &[Instruction], register: Register) -> Option<(usize, &Instruction)> {
    let (at, last) = last_write(before, register)?;
    match last.mnemonic() {
        Mnemonic::Movsxd if last.op1_kind() == OpKind::Memory => Some((at, last)),
        Mnemonic::Movsxd if last.op1_kind() == OpKind::Register => {
            widened(&before[..at], last.op1_register().full_register())
        }
        Mnemonic::Cdqe => widened(&before[..at], Register::RAX),
        Mnemonic::Mov => Some((at, last)),
        _ => None,
    }
}

/// The last instruction that changes `register`, as far as that shows in its first operand.
fn last_write(before: &[Instruction], register: Register) -> Option<(usize, &Instruction)> {
    before.iter().enumerate().rev().find(|(_, instruction)| writes(instruction, register))
}

fn writes(instruction: &Instruction, register: Register) -> bool {
    if instruction.mnemonic() == Mnemonic::Cdqe {
        return register == Register::RAX;
    }
    let reads_only = matches!(instruction.mnemonic(), Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push);
    instruction.op0_kind() == OpKind::Register && instruction.op0_register().full_register() == register && !reads_only
}

/// How many entries the comparison before the jump lets through.
fn bound(before: &[Instruction], index: Register) -> Option<usize> {
    let mut index = index;
    let mut place = None;
    let mut limit = None;
    for (at, instruction) in before.iter().enumerate().rev() {
        match instruction.mnemonic() {
            Mnemonic::Ja | Mnemonic::Jbe | Mnemonic::Jg | Mnemonic::Jle => limit = Some((at, 1)),
            Mnemonic::Jae | Mnemonic::Jb | Mnemonic::Jge | Mnemonic::Jl => limit = Some((at, 0)),
            Mnemonic::Cmp => {
                let same = match instruction.op0_kind() {
                    OpKind::Register => instruction.op0_register().full_register() == index,
                    OpKind::Memory => place.is_some_and(|place| place == spot(instruction)),
                    _ => false,
                };
                let Some((_, more)) = limit else { continue };
                if same && matches!(instruction.op1_kind(), kind if kind >= OpKind::Immediate8) {
                    let value = instruction.immediate(1);
                    let count = usize::try_from(value).ok()?.checked_add(more)?;
                    return (1..=TABLE_LIMIT).contains(&count).then_some(count);
                }
            }
            // The index came from elsewhere: follow it back.
            Mnemonic::Mov | Mnemonic::Movzx | Mnemonic::Movsxd if writes(instruction, index) => {
                match instruction.op1_kind() {
                    OpKind::Register => index = instruction.op1_register().full_register(),
                    OpKind::Memory => place = Some(spot(instruction)),
                    _ => return None,
                }
            }
            _ => {}
        }
    }
    None
}

/// What tells one memory operand from another.
fn spot(instruction: &Instruction) -> (Register, Register, u64) {
    (instruction.memory_base(), instruction.memory_index(), instruction.memory_displacement64())
}
