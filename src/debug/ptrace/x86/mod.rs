//! All that is special to x86-64 and its 32-bit programs: registers, traps, debug registers, and the few instructions
//! that are cheaper to carry out here than to step.
//!
//! Another architecture is another folder with the same public names.

mod emulate;
pub mod layout;
pub mod vector;

use std::io;

use super::memory::Memory;
use super::sys::{self, Tid};
use crate::debug::WatchAccess;

pub use layout::Width;

/// The trap instruction, `int3`.
pub const TRAP: u8 = 0xcc;

/// How many places the debug registers have.
pub const HARDWARE: u32 = 4;

const SYSCALL: [u8; 2] = [0x0f, 0x05];
const INT80: [u8; 2] = [0xcd, 0x80];

/// Flags that a program shows: not the trap flag, which is ours while it is stepped.
const TRAP_FLAG: u64 = 1 << 8;
/// One instruction runs without heeding its execute breakpoint.
const RESUME_FLAG: u64 = 1 << 16;

/// Where things are in `user_regs_struct`.
mod at {
    pub const R15: usize = 0;
    pub const R10: usize = 7;
    pub const RBP: usize = 4;
    pub const RBX: usize = 5;
    pub const R9: usize = 8;
    pub const R8: usize = 9;
    pub const RAX: usize = 10;
    pub const RCX: usize = 11;
    pub const RDX: usize = 12;
    pub const RSI: usize = 13;
    pub const RDI: usize = 14;
    pub const ORIG_RAX: usize = 15;
    pub const RIP: usize = 16;
    pub const CS: usize = 17;
    pub const EFLAGS: usize = 18;
    pub const RSP: usize = 19;
}

/// Registers by their numbers in instructions.
const ENCODED: [usize; 16] = [10, 11, 12, 5, 19, 4, 13, 14, 9, 8, 7, 6, 3, 2, 1, 0];

/// The general registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct General([u64; 27]);

impl General {
    /// Those of a stopped thread.
    pub fn fetch(tid: Tid) -> io::Result<General> {
        sys::general(tid).map(General)
    }

    /// Gives them to it.
    pub fn store(&self, tid: Tid) -> io::Result<()> {
        sys::set_general(tid, &self.0)
    }

    /// As the bytes of set 0.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// From the bytes of set 0. When the program counter is changed and the number of the system call is not, the
    /// call is not to be restarted: the kernel would move the new program counter back.
    pub fn changed(&self, bytes: &[u8]) -> Option<General> {
        let mut new = [0u64; 27];
        if bytes.len() != new.len() * 8 {
            return None;
        }
        for (word, bytes) in new.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().ok()?);
        }
        if new[at::RIP] != self.0[at::RIP] && new[at::ORIG_RAX] == self.0[at::ORIG_RAX] {
            new[at::ORIG_RAX] = u64::MAX;
        }
        Some(General(new))
    }

    pub fn width(&self) -> Width {
        if self.0[at::CS] == 0x23 { Width::W32 } else { Width::W64 }
    }

    pub fn pc(&self) -> u64 {
        self.0[at::RIP]
    }

    pub fn set_pc(&mut self, pc: u64) {
        self.0[at::RIP] = pc;
    }

    pub fn sp(&self) -> u64 {
        self.0[at::RSP]
    }

    /// Where the instruction was whose trap was just taken.
    pub fn trapped_at(&self) -> u64 {
        self.pc().wrapping_sub(1)
    }

    /// Lets the next instruction pass an execute breakpoint in the debug registers.
    pub fn pass_hardware(&mut self) {
        self.0[at::EFLAGS] |= RESUME_FLAG;
    }

    /// The register with gdb's number, for conditions.
    pub fn numbered(&self, number: u16) -> Option<u64> {
        layout::general_index(self.width(), number).map(|index| match self.width() {
            Width::W32 => self.0[index] & 0xffff_ffff,
            Width::W64 => self.0[index],
        })
    }

    /// The arguments of a system call that is to be made, with its number.
    pub fn set_call(&mut self, width: Width, number: u64, arguments: [u64; 6]) {
        let places = match width {
            Width::W64 => [at::RDI, at::RSI, at::RDX, at::R10, at::R8, at::R9],
            Width::W32 => [at::RBX, at::RCX, at::RDX, at::RSI, at::RDI, at::RBP],
        };
        for (place, value) in places.into_iter().zip(arguments) {
            self.0[place] = value;
        }
        self.0[at::RAX] = number;
        self.0[at::ORIG_RAX] = u64::MAX;
    }

    /// The result of a system call.
    pub fn call_result(&self) -> i64 {
        self.0[at::RAX] as i64
    }

    /// Whether the instruction under the trap here can be one that pushes the flags.
    pub fn may_push_flags(&self, memory: Option<&Memory>) -> bool {
        memory
            .and_then(|memory| memory.original(self.pc()))
            .is_none_or(|byte| matches!(byte, 0x9c | 0x66 | 0x40..=0x4f))
    }

    /// Whether stepping from `before` to here pushed the flags, with the trap flag in them; where they are then.
    pub fn pushed_flags(&self, before: &General, memory: &Memory) -> Option<u64> {
        let length = self.pc().wrapping_sub(before.pc());
        let pushed = before.sp().wrapping_sub(self.sp());
        if !(1..=3).contains(&length) || !matches!(pushed, 2 | 4 | 8) {
            return None;
        }
        (memory.byte(self.pc().wrapping_sub(1)) == Some(0x9c)).then_some(self.sp())
    }
}

/// Takes the trap flag out of flags that were pushed at `address`.
pub fn clean_flags(address: u64, memory: &Memory) {
    if let Some(byte) = memory.byte(address.wrapping_add(1)) {
        // The stack was just written by the program itself.
        let _ = memory.write(address.wrapping_add(1), &[byte & !(TRAP_FLAG >> 8) as u8]);
    }
}

/// Whether the instruction is a system call, which may last.
pub fn is_call(code: &[u8]) -> bool {
    matches!(code.get(..2), Some([0x0f, 0x05 | 0x34] | [0xcd, 0x80]))
}

/// The instruction that makes a system call.
pub fn call_instruction(width: Width) -> [u8; 2] {
    match width {
        Width::W64 => SYSCALL,
        Width::W32 => INT80,
    }
}

/// Numbers of system calls that the debugger makes: mmap (with a size in pages where that is how it is), munmap and
/// mprotect.
pub fn memory_calls(width: Width) -> [u64; 3] {
    match width {
        Width::W64 => [9, 11, 10],
        Width::W32 => [192, 91, 125],
    }
}

/// Carries out the instruction in `code` on `registers`, if it is one of those that functions begin with. Those do
/// nothing but move values, so that nobody can tell.
pub fn emulate(code: &[u8], registers: &mut General, memory: &Memory) -> bool {
    if registers.width() != Width::W64 || registers.0[at::EFLAGS] & TRAP_FLAG != 0 {
        return false;
    }
    let (length, effect): (u64, _) = match *code {
        [0xf3, 0x0f, 0x1e, 0xfa, ..] => (4, None),
        [0x90, ..] => (1, None),
        [0x66, 0x90, ..] => (2, None),
        [0x0f, 0x1f, 0x00, ..] => (3, None),
        [0x0f, 0x1f, 0x40, _, ..] => (4, None),
        [0x0f, 0x1f, 0x44, 0x00, _, ..] => (5, None),
        [byte @ 0x50..=0x57, ..] => (1, Some(usize::from(byte - 0x50))),
        [0x41, byte @ 0x50..=0x57, ..] => (2, Some(usize::from(byte - 0x50) + 8)),
        [rex @ (0x48 | 0x49 | 0x4c | 0x4d), 0x89, mode @ 0xc0..=0xff, ..] => {
            let from = usize::from(mode >> 3 & 7) + if rex & 4 != 0 { 8 } else { 0 };
            let to = usize::from(mode & 7) + if rex & 1 != 0 { 8 } else { 0 };
            registers.0[ENCODED[to]] = registers.0[ENCODED[from]];
            (3, None)
        }
        _ => return emulate::emulate(code, registers),
    };
    if let Some(pushed) = effect {
        let place = registers.sp().wrapping_sub(8);
        // Where the write fails the program has to fail by itself. One below the stack's end is left to it, too.
        let value = registers.0[ENCODED[pushed]].to_le_bytes();
        if !matches!(sys::vm_write(memory.pid(), place, &value), Ok(8)) {
            return false;
        }
        registers.0[at::RSP] = place;
    }
    registers.set_pc(registers.pc().wrapping_add(length));
    registers.0[at::EFLAGS] &= !RESUME_FLAG;
    registers.0[at::ORIG_RAX] = u64::MAX;
    true
}

/// What is in the debug registers of a process's threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DebugRegisters {
    places: [u64; 4],
    control: u64,
    used: usize,
}

/// Where the debug registers are in `struct user`.
const DEBUG: usize = std::mem::offset_of!(libc::user, u_debugreg);

impl DebugRegisters {
    fn add(&mut self, address: u64, kind: u64, length: u64) -> bool {
        if self.used >= self.places.len() {
            return false;
        }
        self.places[self.used] = address;
        self.control |= 1 << (2 * self.used) | kind << (16 + 4 * self.used) | length << (18 + 4 * self.used);
        self.used += 1;
        true
    }

    /// Adds an address to break at. `false`: there is no place left.
    pub fn execute(&mut self, address: u64) -> bool {
        self.add(address, 0, 0)
    }

    /// Adds a region to watch, in naturally aligned pieces. `false`: there are not enough places left.
    pub fn watch(&mut self, address: u64, length: u64, access: WatchAccess) -> bool {
        let kind = if access == WatchAccess::Write { 1 } else { 3 };
        let (mut at, mut left) = (address, length);
        while left > 0 {
            let piece = [8u64, 4, 2, 1].into_iter().find(|size| at.is_multiple_of(*size) && *size <= left).unwrap_or(1);
            let code = match piece {
                8 => 2,
                4 => 3,
                2 => 1,
                _ => 0,
            };
            if !self.add(at, kind, code) {
                return false;
            }
            (at, left) = (at.wrapping_add(piece), left - piece);
        }
        true
    }

    /// Writes them to a stopped thread.
    pub fn store(&self, tid: Tid) -> io::Result<()> {
        sys::poke_user(tid, DEBUG + 7 * 8, 0)?;
        for (index, place) in self.places.iter().enumerate().take(self.used) {
            sys::poke_user(tid, DEBUG + index * 8, *place)?;
        }
        if self.used > 0 {
            sys::poke_user(tid, DEBUG + 7 * 8, self.control)?;
        }
        Ok(())
    }

    /// The addresses whose places triggered in a thread, which forgets it.
    pub fn triggered(&self, tid: Tid) -> Vec<u64> {
        let Ok(status) = sys::peek_user(tid, DEBUG + 6 * 8) else { return Vec::new() };
        if status & 0xf != 0 {
            let _ = sys::poke_user(tid, DEBUG + 6 * 8, 0);
        }
        (0..self.used).filter(|index| status >> index & 1 != 0).map(|index| self.places[index]).collect()
    }
}

/// The debug registers of a thread as the bytes of their set.
pub fn debug_bytes(tid: Tid) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(64);
    for index in 0..8 {
        let value = if matches!(index, 4 | 5) { 0 } else { sys::peek_user(tid, DEBUG + index * 8)? };
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    Ok(bytes)
}

const _: () = assert!(at::R15 == 0 && at::R10 == 7);
