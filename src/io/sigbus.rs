//! Read-only file mappings that survive the file.
//!
//! Touching a mapped page that lies behind the end of its file (another process cut it) raises SIGBUS, which ends a
//! program. Here a handler recognises faults inside the registered mappings, puts a page of zeros in place and leaves
//! a mark, so that the reader notices and asks the file again. Every other SIGBUS goes to whoever handled it before.
//! All of the program's `unsafe` for mappings is in this file.

use std::fs::File;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use memmap2::{MmapOptions, MmapRaw, UncheckedAdvice};

/// A mapping as the handler sees it. Free when `start` is 0; `end` is set before `start` is.
struct Slot {
    taken: AtomicBool,
    start: AtomicUsize,
    end: AtomicUsize,
    /// A page was replaced.
    faulted: AtomicBool,
}

/// A handler can neither lock nor allocate, so the table has a fixed size; who finds it full reads without a mapping.
static SLOTS: [Slot; 256] = [const {
    Slot {
        taken: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        faulted: AtomicBool::new(false),
    }
}; 256];

/// What is done about SIGBUS without us.
static PREVIOUS: OnceLock<Previous> = OnceLock::new();

struct Previous {
    action: libc::sigaction,
    page: usize,
}

/// Small reads through a mapping count at least this much: the kernel brings in the pages around a fault.
const AROUND: usize = 64 * 1024;

/// After so many bytes the pages are handed back, so that reading through a large file does not keep it resident.
const RESIDENT: usize = 8 << 20;

/// The first bytes of a file, mapped for reading.
pub struct Mapping {
    map: MmapRaw,
    slot: &'static Slot,
    touched: usize,
}

impl Mapping {
    /// Maps `length` bytes of `file`. `None` when it cannot be mapped (or guarded); then it has to be read.
    pub fn new(file: &File, length: u64) -> Option<Mapping> {
        let length = usize::try_from(length).ok().filter(|length| *length > 0)?;
        if !install() {
            return None;
        }
        let slot = SLOTS.iter().find(|slot| !slot.taken.swap(true, Ordering::AcqRel))?;
        let Ok(map) = MmapOptions::new().len(length).map_raw_read_only(file) else {
            slot.taken.store(false, Ordering::Release);
            return None;
        };
        let start = map.as_ptr() as usize;
        slot.faulted.store(false, Ordering::Relaxed);
        slot.end.store(start + length, Ordering::Relaxed);
        slot.start.store(start, Ordering::Release);
        Some(Mapping { map, slot, touched: 0 })
    }

    /// Bytes mapped.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Copies from `offset` into `buffer`. `false` when the bytes were gone: then the buffer holds anything, and
    /// the mapping is of no more use.
    pub fn copy(&mut self, offset: usize, buffer: &mut [u8]) -> bool {
        if offset.checked_add(buffer.len()).is_none_or(|end| end > self.map.len()) {
            return false;
        }
        // SAFETY: the range lies inside the mapping, which lives as long as `self`; the buffer is ours alone. Other
        // processes may change the bytes meanwhile, so they are copied without a reference to them. A page that has
        // no file behind it any more is replaced by the handler.
        unsafe { std::ptr::copy_nonoverlapping(self.map.as_ptr().add(offset), buffer.as_mut_ptr(), buffer.len()) };
        self.touched += buffer.len().max(AROUND);
        if self.touched > RESIDENT {
            self.touched = 0;
            // SAFETY: the mapping is shared and read-only: dropped pages come back from the file as they are.
            // A failure means that they stay resident, nothing worse.
            let _ = unsafe { self.map.unchecked_advise(UncheckedAdvice::DontNeed) };
        }
        !self.slot.faulted.load(Ordering::Acquire)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Before the addresses can be given to somebody else.
        self.slot.start.store(0, Ordering::Release);
        self.slot.end.store(0, Ordering::Release);
        self.slot.taken.store(false, Ordering::Release);
    }
}

/// Puts the handler in place, once. Answers whether it is.
fn install() -> bool {
    static DONE: OnceLock<bool> = OnceLock::new();
    *DONE.get_or_init(|| {
        // SAFETY: plain system calls on values of our own. The previous action is stored before the new one can run,
        // and the handler does nothing but what is allowed in one: atomics, sigaction and mmap.
        unsafe {
            let mut previous: libc::sigaction = std::mem::zeroed();
            let page = libc::sysconf(libc::_SC_PAGESIZE);
            if page <= 0 || libc::sigaction(libc::SIGBUS, std::ptr::null(), &mut previous) != 0 {
                return false;
            }
            if PREVIOUS.set(Previous { action: previous, page: page as usize }).is_err() {
                return false;
            }
            let mut action: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
            action.sa_sigaction = handler as usize;
            // On the alternate stack, as the handler that Rust installs for overflowing stacks.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&mut action.sa_mask);
            libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut()) == 0
        }
    })
}

extern "C" fn on_sigbus(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    let Some(previous) = PREVIOUS.get() else { return };
    // SAFETY: the kernel passes a valid siginfo to an SA_SIGINFO handler; for a fault it holds the address, for a
    // signal that somebody sent the code is not positive and the address is not looked at.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    let page = address & !(previous.page - 1);
    if code > 0
        && let Some(slot) = SLOTS.iter().find(|slot| {
            let start = slot.start.load(Ordering::Acquire);
            start != 0 && (start..slot.end.load(Ordering::Acquire)).contains(&address)
        })
    {
        // SAFETY: the page belongs to a registered mapping, which only its owner reads, and that owner is stopped at
        // this fault or about to see the mark. errno is kept for the interrupted code.
        unsafe {
            let errno = *libc::__errno_location();
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            let placed = libc::mmap(page as *mut libc::c_void, previous.page, libc::PROT_READ, flags, -1, 0);
            *libc::__errno_location() = errno;
            if placed != libc::MAP_FAILED {
                slot.faulted.store(true, Ordering::Release);
                return;
            }
        }
    }
    // SAFETY: gives the signal back to its previous owner. A fault happens again as soon as this returns and meets
    // that owner; a signal that was sent is sent again.
    unsafe {
        libc::sigaction(libc::SIGBUS, &previous.action, std::ptr::null_mut());
        if code <= 0 {
            libc::raise(libc::SIGBUS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_cut_under_its_mapping_is_noticed() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(0x10000).unwrap();
        let mut mapping = Mapping::new(&file, 0x10000).unwrap();
        let mut buffer = [1; 0x100];
        assert!(mapping.copy(0x8000, &mut buffer));
        assert_eq!(buffer, [0; 0x100]);
        file.set_len(0x1000).unwrap();
        assert!(mapping.copy(0x800, &mut buffer), "what is still there can be read");
        assert!(!mapping.copy(0x8000, &mut buffer));
        assert!(!mapping.copy(0x10000, &mut buffer), "past the mapping");
        drop(mapping);
        file.set_len(0x10000).unwrap();
        assert!(Mapping::new(&file, 0x10000).unwrap().copy(0x8000, &mut buffer), "a new mapping has no mark");
    }
}
