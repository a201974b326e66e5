//! A process's memory, with the traps in it hidden. Readable from every thread: no ptrace call is needed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::guard::Guard;
use super::sys;
use super::x86::TRAP;

/// Up to here one `pread` is quicker than `process_vm_readv`.
const SMALL: usize = 64;

/// An address space. Processes that share their memory share one.
pub struct Memory {
    /// A process that has it.
    pid: i32,
    /// Its `/proc/PID/mem`: leads to the same memory as long as it is open, and does not heed protections.
    file: File,
    /// Where traps are, and the bytes that belong there.
    traps: Mutex<BTreeMap<u64, u8>>,
    /// How many there are, to be looked at without the lock.
    count: AtomicUsize,
    /// Where traps ever were, and what belongs there: a child may be born with one that is gone here by the time its
    /// birth is heard of.
    ever: Mutex<BTreeMap<u64, u8>>,
    /// The traps are out of the memory for now, though they are in the table.
    hidden: AtomicBool,
    /// Takes the traps out if we are killed, where the process is to live on.
    guard: OnceLock<Guard>,
    /// Which program it came with: rises with each exec, start and attach; forks keep it.
    pub image: u64,
}

impl Memory {
    /// The memory of `pid` as it is now: to be opened anew after an exec.
    pub fn open(pid: i32, image: u64) -> io::Result<Memory> {
        let file = File::options().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
        Ok(Memory {
            pid,
            file,
            traps: Mutex::default(),
            count: AtomicUsize::new(0),
            ever: Mutex::default(),
            hidden: AtomicBool::new(false),
            guard: OnceLock::new(),
            image,
        })
    }

    /// The memory of `pid`, which was copied from this some time ago, with the traps that it got.
    pub fn copy_for(&self, pid: i32) -> io::Result<Memory> {
        let copy = Memory::open(pid, self.image)?;
        let ever = self.lock_ever().clone();
        let got = ever.iter().filter(|(address, _)| copy.byte(**address) == Some(TRAP));
        let got: BTreeMap<u64, u8> = got.map(|(address, original)| (*address, *original)).collect();
        copy.count.store(got.len(), Ordering::Release);
        *copy.lock() = got;
        *copy.lock_ever() = ever;
        Ok(copy)
    }

    fn lock_ever(&self) -> MutexGuard<'_, BTreeMap<u64, u8>> {
        self.ever.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, u8>> {
        // The table is whole after each statement.
        self.traps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that the traps go if we are killed. What cannot be guarded is debugged all the same.
    pub fn guard(&self) {
        if self.guard.get().is_none()
            && let Ok(guard) = Guard::start(&self.file)
        {
            for (address, original) in self.lock().iter() {
                guard.add(*address, *original);
            }
            // Only the tracer's thread comes here.
            let _ = self.guard.set(guard);
        }
    }

    /// A process that has this memory.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether any trap is there.
    pub fn has_traps(&self) -> bool {
        self.count.load(Ordering::Acquire) != 0
    }

    /// Whether a trap is at `address`.
    pub fn is_trap(&self, address: u64) -> bool {
        self.has_traps() && self.lock().contains_key(&address)
    }

    /// What belongs under the trap at `address`.
    pub fn original(&self, address: u64) -> Option<u8> {
        self.lock().get(&address).copied()
    }

    /// The addresses of all traps.
    pub fn traps(&self) -> Vec<u64> {
        self.lock().keys().copied().collect()
    }

    /// Reads without hiding anything; the answer is how many bytes could be read.
    pub fn read_raw(&self, address: u64, buffer: &mut [u8]) -> usize {
        let mut done = 0;
        if buffer.len() > SMALL {
            done = sys::vm_read(self.pid, address, buffer).unwrap_or(0);
        }
        // What is left the process could not read itself, or it is gone.
        while done < buffer.len() {
            let Some(here) = address.checked_add(done as u64) else { break };
            match self.file.read_at(&mut buffer[done..], here) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        done
    }

    /// Reads what the program has there.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> usize {
        if !self.has_traps() {
            return self.read_raw(address, buffer);
        }
        let traps = self.lock();
        let done = self.read_raw(address, buffer);
        let Some(last) = address.checked_add(done as u64) else { return done };
        for (at, original) in traps.range(address..last) {
            buffer[(at - address) as usize] = *original;
        }
        done
    }

    fn write_raw(&self, address: u64, data: &[u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < data.len() {
            let Some(here) = address.checked_add(done as u64) else { break };
            match self.file.write_at(&data[done..], here) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if done == 0 => return self.write_elsewise(address, data, error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Kernels can be told to keep /proc/PID/mem from overriding protections. What the process may write itself
    /// still works then; the rest is left to [`sys::poke`], which only the tracer can.
    fn write_elsewise(&self, address: u64, data: &[u8], error: io::Error) -> io::Result<usize> {
        if let Ok(count) = sys::vm_write(self.pid, address, data) {
            return Ok(count);
        }
        let Some(&first) = data.first() else { return Ok(0) };
        let aligned = address & !7;
        let Ok(word) = sys::peek(self.pid, aligned) else { return Err(error) };
        let mut bytes = word.to_ne_bytes();
        let at = (address - aligned) as usize;
        bytes[at] = first;
        let count = data.len().min(8 - at);
        bytes[at..at + count].copy_from_slice(&data[..count]);
        sys::poke(self.pid, aligned, u64::from_ne_bytes(bytes)).map(|()| count)
    }

    /// Writes what the program is to have there; traps stay, and what belongs under them is remembered.
    pub fn write(&self, address: u64, data: &[u8]) -> io::Result<usize> {
        let mut traps = self.lock();
        let end = address.saturating_add(data.len() as u64);
        let mut patched = data.to_vec();
        for (at, _) in traps.range(address..end) {
            let place = &mut patched[(at - address) as usize];
            *place = self.placed(*place);
        }
        let done = self.write_raw(address, &patched)?;
        let end = address.saturating_add(done as u64);
        let mut ever = self.lock_ever();
        ever.retain(|at, _| !(address..end).contains(at));
        for (at, original) in traps.range_mut(address..end) {
            *original = data[(at - address) as usize];
            ever.insert(*at, *original);
        }
        Ok(done)
    }

    /// Puts a trap at `address`. `false`: nothing can be written there.
    pub fn set_trap(&self, address: u64) -> bool {
        let mut traps = self.lock();
        if traps.contains_key(&address) {
            return true;
        }
        let mut original = [0];
        if self.read_raw(address, &mut original) != 1 {
            return false;
        }
        if let Some(guard) = self.guard.get() {
            guard.add(address, original[0]);
        }
        if !matches!(self.write_raw(address, &[self.placed(original[0])]), Ok(1)) {
            self.unguard(address);
            return false;
        }
        traps.insert(address, original[0]);
        self.lock_ever().insert(address, original[0]);
        self.count.store(traps.len(), Ordering::Release);
        true
    }

    /// Takes the trap at `address` out.
    pub fn clear_trap(&self, address: u64) {
        let mut traps = self.lock();
        if let Some(original) = traps.remove(&address) {
            self.count.store(traps.len(), Ordering::Release);
            let mut now = [0];
            // What was unmapped, or mapped anew, has no trap of ours.
            if self.read_raw(address, &mut now) == 1 && now[0] == TRAP {
                let _ = self.write_raw(address, &[original]);
            }
            self.unguard(address);
        }
    }

    fn unguard(&self, address: u64) {
        if let Some(guard) = self.guard.get() {
            guard.remove(address);
        }
    }

    /// Puts the original byte in place, or the trap again, without forgetting it: to step over it.
    pub fn lift(&self, address: u64, lifted: bool) {
        let traps = self.lock();
        if let Some(original) = traps.get(&address) {
            // The process may be gone.
            let _ = self.write_raw(address, &[if lifted { *original } else { self.placed(*original) }]);
        }
    }

    /// The same through a thread that is stopped, which is quicker. One that runs (it waits in a system call) or is
    /// gone cannot be asked.
    pub fn lift_by(&self, tid: sys::Tid, address: u64, lifted: bool) {
        let traps = self.lock();
        let Some(original) = traps.get(&address) else { return };
        let byte = if lifted { *original } else { self.placed(*original) };
        let done = sys::peek(tid, address).and_then(|word| sys::poke(tid, address, word & !0xff | u64::from(byte)));
        if done.is_err() {
            drop(traps);
            self.lift(address, lifted);
        }
    }

    /// The first eight bytes of the instruction at `address`, as a stopped thread has it there.
    pub fn instruction(&self, tid: sys::Tid, address: u64) -> [u8; 8] {
        let mut code = match sys::peek(tid, address) {
            Ok(word) => word.to_le_bytes(),
            // The page behind is missing.
            Err(_) => {
                let mut code = [0; 8];
                self.read_raw(address, &mut code);
                code
            }
        };
        for (at, original) in self.lock().range(address..address.saturating_add(8)) {
            code[(at - address) as usize] = *original;
        }
        code
    }

    /// Overwrites bytes, traps or not, for a moment. `false`: it was not possible.
    pub fn overwrite(&self, address: u64, data: &[u8]) -> bool {
        let _traps = self.lock();
        matches!(self.write_raw(address, data), Ok(count) if count == data.len())
    }

    /// Takes all traps out of the memory while nothing runs, or puts them back.
    pub fn hide(&self, hidden: bool) {
        let traps = self.lock();
        if self.hidden.swap(hidden, Ordering::AcqRel) == hidden {
            return;
        }
        for (address, original) in traps.iter() {
            let mut now = [0];
            // What was unmapped, or mapped anew, has no trap of ours.
            let is = self.read_raw(*address, &mut now) == 1 && now[0] == if hidden { TRAP } else { *original };
            if is {
                let _ = self.write_raw(*address, &[if hidden { *original } else { TRAP }]);
            }
        }
    }

    /// The byte that is to be where a trap is.
    fn placed(&self, original: u8) -> u8 {
        if self.hidden.load(Ordering::Acquire) { original } else { TRAP }
    }

    /// Takes all traps out.
    pub fn clear_traps(&self) {
        for address in self.traps() {
            self.clear_trap(address);
        }
    }

    /// The byte that is really there.
    pub fn byte(&self, address: u64) -> Option<u8> {
        let mut byte = [0];
        (self.read_raw(address, &mut byte) == 1).then_some(byte[0])
    }
}
