//! A function's variables and arguments, lightly: places of the stack that instructions name, and registers that
//! the calling convention passes arguments in.

use std::collections::{BTreeMap, HashMap, HashSet};

use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use super::function::Function;
use super::memory::Memory;
use super::x86;
use crate::error::Result;

/// Where a variable lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a register, by its name.
    Register(&'static str),
    /// At so many bytes from the base pointer.
    Base(i64),
    /// At so many bytes from the stack pointer once the function has made its frame.
    Stack(i64),
}

/// A variable or an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name: `var_8h`, `arg1`, or what the user called it.
    pub name: String,
    /// Where it lives.
    pub place: Place,
    /// Whether the caller passes it.
    pub is_argument: bool,
}

/// The frame of a function.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Bytes that the function takes of the stack, without the return address.
    pub size: u64,
    /// Whether a base pointer is kept.
    pub based: bool,
    /// The name of the base pointer and of the stack pointer.
    pub registers: (&'static str, &'static str),
    /// Arguments in registers first, then by place.
    pub variables: Vec<Variable>,
    /// The places that instructions name in their memory operands, by the instructions' addresses.
    pub uses: HashMap<u64, Place>,
}

impl Frame {
    /// The variable at a place.
    pub fn at(&self, place: &Place) -> Option<&Variable> {
        self.variables.iter().find(|variable| variable.place == *place)
    }

    /// The variable that the instruction at `address` names.
    pub fn used(&self, address: u64) -> Option<&Variable> {
        self.at(self.uses.get(&address)?)
    }

    /// The arguments, in registers or on the stack.
    pub fn arguments(&self) -> impl Iterator<Item = &Variable> {
        self.variables.iter().filter(|variable| variable.is_argument)
    }

    /// How a place is written: `rbp-0x8`.
    pub fn place_text(&self, place: &Place) -> String {
        let relative = |register: &str, offset: i64| {
            let sign = if offset < 0 { '-' } else { '+' };
            format!("{register}{sign}0x{:x}", offset.unsigned_abs())
        };
        match place {
            Place::Register(name) => (*name).to_string(),
            Place::Base(offset) => relative(self.registers.0, *offset),
            Place::Stack(offset) => relative(self.registers.1, *offset),
        }
    }
}

/// Instructions of the start of a function that are looked at for arguments.
const START: usize = 64;
/// Most variables of a function.
const MOST: usize = 512;

/// How arguments are passed: the System V ABI for AMD64 (3.2.3), Microsoft's x64 convention.
const SYSTEM_V: &[Register] = &[Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];
const MICROSOFT: &[Register] = &[Register::RCX, Register::RDX, Register::R8, Register::R9];

/// The frame of `function` in x86 code of `bits` bits, as programs of `os` are called.
///
/// # Errors
/// When a device fails.
pub fn x86(function: &Function, memory: &mut Memory<'_>, bits: u32, os: &str) -> Result<Frame> {
    let word = i64::from(bits / 8);
    let registers = if bits == 64 { ("rbp", "rsp") } else { ("ebp", "esp") };
    let mut scan = Scan {
        frame: Frame { registers, ..Frame::default() },
        word,
        base: Vec::new(),
        stack: Vec::new(),
        deepest: 0,
        visited: HashSet::new(),
    };
    scan.blocks(function, memory, bits)?;
    let arguments = match (bits, os) {
        (64, "windows") => MICROSOFT,
        (64, _) => SYSTEM_V,
        _ => &[],
    };
    let arguments = register_arguments(function, memory, bits, arguments)?;
    Ok(scan.finish(arguments))
}

struct Scan {
    frame: Frame,
    word: i64,
    /// Offsets from the base pointer that instructions name.
    base: Vec<i64>,
    /// Offsets from where the stack pointer was at the start of the function.
    stack: Vec<i64>,
    deepest: i64,
    visited: HashSet<u64>,
}

impl Scan {
    /// Follows the stack pointer through the blocks, from the start of the function on.
    fn blocks(&mut self, function: &Function, memory: &mut Memory<'_>, bits: u32) -> Result<()> {
        let mut work = vec![(function.address, 0i64)];
        while let Some((address, depth)) = work.pop() {
            if !self.visited.insert(address) {
                continue;
            }
            let Some(block) = function.block_at(address).filter(|block| block.address == address) else { continue };
            let mut depth = depth;
            let mut here = block.address;
            while here < block.address + block.size {
                let Some(instruction) = x86::decode(bits, here, memory.instruction(here)?) else { break };
                self.operands(&instruction, depth);
                depth = self.frame.step(&instruction, depth, self.word);
                self.deepest = self.deepest.max(depth);
                here = instruction.next_ip();
            }
            work.extend(block.successors().map(|to| (to, depth)));
        }
        Ok(())
    }

    fn operands(&mut self, instruction: &Instruction, depth: i64) {
        if instruction.memory_base() == Register::None {
            return;
        }
        match place(instruction, depth) {
            Some((Register::RBP, offset)) if self.frame.based => {
                self.base.push(offset);
                self.frame.uses.insert(instruction.ip(), Place::Base(offset));
            }
            Some((Register::RSP, offset)) => {
                self.stack.push(offset);
                self.frame.uses.insert(instruction.ip(), Place::Stack(offset));
            }
            _ => {}
        }
    }

    fn finish(mut self, arguments: Vec<Variable>) -> Frame {
        let mut variables = arguments;
        let word = self.word;
        for offsets in [&mut self.base, &mut self.stack] {
            offsets.sort_unstable();
            offsets.dedup();
        }
        // The saved base pointer and the return address are no variables.
        for offset in self.base.into_iter().filter(|offset| *offset < 0 || *offset >= 2 * word) {
            let is_argument = offset > 0;
            let kind = if is_argument { "arg" } else { "var" };
            let name = format!("{kind}_{:x}h", offset.unsigned_abs());
            variables.push(Variable { name, place: Place::Base(offset), is_argument });
        }
        let deepest = self.deepest;
        for offset in self.stack.into_iter().filter(|offset| *offset < 0 || *offset >= word) {
            let shown = offset.saturating_add(deepest);
            let is_argument = offset > 0;
            let kind = if is_argument { "arg" } else { "var" };
            if shown >= 0 {
                let name = format!("{kind}_{shown:x}h");
                variables.push(Variable { name, place: Place::Stack(shown), is_argument });
            }
        }
        for place in self.frame.uses.values_mut() {
            if let Place::Stack(offset) = place {
                *offset = offset.saturating_add(deepest);
            }
        }
        // A base pointer's and a stack pointer's variable can have one name.
        let mut names = BTreeMap::new();
        for variable in &mut variables {
            let count: &mut u32 = names.entry(variable.name.clone()).or_default();
            *count += 1;
            if *count > 1 {
                variable.name = format!("{}_{count}", variable.name);
            }
        }
        variables.truncate(MOST);
        self.frame.size = u64::try_from(deepest).unwrap_or(0);
        self.frame.variables = variables;
        self.frame
    }
}

/// The base register (RBP or RSP in full width) of the memory operand and its offset: from the base pointer, or from
/// where the stack pointer was at the start of the function when it is `depth` bytes lower now.
fn place(instruction: &Instruction, depth: i64) -> Option<(Register, i64)> {
    let memory = (0..instruction.op_count()).any(|index| instruction.op_kind(index) == OpKind::Memory);
    let base = instruction.memory_base();
    if !memory || base == Register::None || instruction.mnemonic() == Mnemonic::Nop {
        return None;
    }
    let offset = match instruction.memory_displ_size() {
        0 => 0,
        4 if base.size() == 4 => i64::from(instruction.memory_displacement32() as i32),
        _ if base.size() == 4 => i64::from(instruction.memory_displacement32() as i32),
        _ => instruction.memory_displacement64() as i64,
    };
    match base.full_register() {
        Register::RBP => Some((Register::RBP, offset)),
        Register::RSP => Some((Register::RSP, offset.checked_sub(depth)?)),
        _ => None,
    }
}

impl Frame {
    /// How far the stack pointer is down after `instruction`; learns that there is a base pointer.
    fn step(&mut self, instruction: &Instruction, depth: i64, word: i64) -> i64 {
        let on_stack =
            instruction.op0_kind() == OpKind::Register && instruction.op0_register().full_register() == Register::RSP;
        let constant = matches!(
            instruction.op1_kind(),
            OpKind::Immediate8
                | OpKind::Immediate8to16
                | OpKind::Immediate8to32
                | OpKind::Immediate8to64
                | OpKind::Immediate32
                | OpKind::Immediate32to64
        );
        let depth = match instruction.mnemonic() {
            Mnemonic::Sub if on_stack && constant => depth.wrapping_add(instruction.immediate(1) as i64),
            Mnemonic::Add if on_stack && constant => depth.wrapping_sub(instruction.immediate(1) as i64),
            Mnemonic::Mov
                if instruction.op0_kind() == OpKind::Register
                    && instruction.op0_register().full_register() == Register::RBP
                    && instruction.op1_kind() == OpKind::Register
                    && instruction.op1_register().full_register() == Register::RSP =>
            {
                self.based = true;
                depth
            }
            Mnemonic::Leave => 0,
            Mnemonic::Call | Mnemonic::Ret => depth,
            _ => depth.wrapping_sub(i64::from(instruction.stack_pointer_increment())),
        };
        // What is below nothing or beyond reason comes from code that is no function of a compiler.
        if (-word..1 << 30).contains(&depth) { depth } else { 0 }
    }
}

/// The registers of `convention` that the function reads before it writes them.
fn register_arguments(
    function: &Function,
    memory: &mut Memory<'_>,
    bits: u32,
    convention: &[Register],
) -> Result<Vec<Variable>> {
    let mut read = HashSet::new();
    let mut written = HashSet::new();
    let mut factory = InstructionInfoFactory::new();
    let mut block = function.block_at(function.address);
    let mut visited = HashSet::new();
    let mut count = 0;
    // Along the path that jumps nowhere it need not: enough for what compilers make of prologues.
    while let Some(current) = block.filter(|block| visited.insert(block.address)) {
        let mut here = current.address;
        while here < current.address + current.size && count < START {
            let Some(instruction) = x86::decode(bits, here, memory.instruction(here)?) else { break };
            count += 1;
            for used in factory.info(&instruction).used_registers() {
                let register = used.register().full_register();
                let reads = matches!(
                    used.access(),
                    OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite
                );
                if reads && !written.contains(&register) {
                    read.insert(register);
                }
            }
            for used in factory.info(&instruction).used_registers() {
                if matches!(used.access(), OpAccess::Write | OpAccess::ReadWrite) {
                    written.insert(used.register().full_register());
                }
            }
            if matches!(instruction.mnemonic(), Mnemonic::Call | Mnemonic::Syscall) {
                count = START;
            }
            here = instruction.next_ip();
        }
        if count >= START {
            break;
        }
        let next = current.fail.or(current.jump);
        block = next.and_then(|next| function.block_at(next)).filter(|block| Some(block.address) == next);
    }
    let names = ["rdi", "rsi", "rdx", "rcx", "r8", "r9"];
    let name =
        |register: &Register| SYSTEM_V.iter().position(|known| known == register).map_or("", |index| names[index]);
    Ok(convention
        .iter()
        .enumerate()
        .filter(|(_, register)| read.contains(register))
        .map(|(index, register)| Variable {
            name: format!("arg{}", index + 1),
            place: Place::Register(name(register)),
            is_argument: true,
        })
        .collect())
}
