//! What happens to an attached process when the debugger is killed (`kill -9`): the kernel lets it run on, with the
//! traps still in it, and the first one that it meets ends it. So each attached process has a guard: a forked child
//! that does nothing but wait for the debugger's end, and then puts the original bytes back through a descriptor
//! that it has inherited. A thread that meets a trap in that moment is lost; debug registers, which only a debugger
//! can clear, stay set.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use super::x86::TRAP;

/// Most traps that are remembered; those beyond are not guarded.
const PLACES: usize = 4096;

/// An entry's second word holds the byte, and this while it is in use.
const USED: u64 = 0x100;

struct Place {
    address: AtomicU64,
    original: AtomicU64,
}

/// The table that the debugger and the guard share.
struct Table(NonNull<Place>);

// SAFETY: it is memory of atomics that lives as long as the table.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

impl Table {
    fn new() -> io::Result<Table> {
        // SAFETY: a new mapping, zeroed by the kernel, and zero is a valid atomic.
        let start = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), Table::SIZE, access, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(start.cast()).map(Table).ok_or_else(io::Error::last_os_error)
    }

    const SIZE: usize = PLACES * size_of::<Place>();

    fn places(&self) -> &[Place] {
        // SAFETY: the mapping has room for so many, and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr(), PLACES) }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, and nobody has a reference any more.
        unsafe { libc::munmap(self.0.as_ptr().cast(), Table::SIZE) };
    }
}

/// The guard of one address space. Dropping it ends the child.
pub struct Guard {
    table: Table,
    /// Closed by the kernel however the debugger ends.
    alive: Option<File>,
    pid: i32,
}

impl Guard {
    /// Forks a guard for the memory behind `memory`.
    pub fn start(memory: &File) -> io::Result<Guard> {
        let table = Table::new()?;
        let (watched, alive) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        // SAFETY: the child makes system calls alone and never comes back.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => watch(&table, memory.as_raw_fd(), watched.as_raw_fd()),
            pid => Ok(Guard { table, alive: Some(alive.into()), pid }),
        }
    }

    /// A trap is about to be put at `address`, where `original` belongs.
    pub fn add(&self, address: u64, original: u8) {
        let free = self.table.places().iter().find(|place| place.original.load(Ordering::Relaxed) == 0);
        if let Some(place) = free {
            place.address.store(address, Ordering::Relaxed);
            place.original.store(USED | u64::from(original), Ordering::Release);
        }
    }

    /// The trap at `address` is gone.
    pub fn remove(&self, address: u64) {
        let used = |place: &&Place| {
            place.original.load(Ordering::Relaxed) != 0 && place.address.load(Ordering::Relaxed) == address
        };
        if let Some(place) = self.table.places().iter().find(used) {
            place.original.store(0, Ordering::Release);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        for place in self.table.places() {
            place.original.store(0, Ordering::Release);
        }
        drop(self.alive.take());
        // SAFETY: our own child. It is killed so that a debugger's end never waits for it.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), libc::__WALL);
        }
    }
}

/// The child: waits for the end of the pipe. Only system calls, no allocation, as other threads' locks may be held for
/// ever in this copy.
fn watch(table: &Table, memory: i32, watched: i32) -> ! {
    // SAFETY: plain system calls on numbers and on a byte of this stack.
    unsafe {
        // Out of the way of the two that are kept, then to 0 and 1, and everything else closed: connections and files
        // of the debugger must not stay open because of us.
        let (memory, watched) = (libc::fcntl(memory, libc::F_DUPFD, 10), libc::fcntl(watched, libc::F_DUPFD, 10));
        if memory == -1 || watched == -1 || libc::dup2(memory, 0) == -1 || libc::dup2(watched, 1) == -1 {
            libc::_exit(1);
        }
        libc::syscall(libc::SYS_close_range, 2, libc::c_uint::MAX, 0);
        // Signals from a terminal are meant for the debugger.
        libc::setsid();
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
        libc::prctl(libc::PR_SET_NAME, c"remora-guard".as_ptr());
        let mut byte = 0u8;
        while libc::read(1, (&raw mut byte).cast(), 1) == -1 && *libc::__errno_location() == libc::EINTR {}
        for place in table.places() {
            let original = place.original.load(Ordering::Acquire);
            let address = place.address.load(Ordering::Relaxed) as i64;
            // What is no trap any more is not ours.
            if original & USED != 0 && libc::pread(0, (&raw mut byte).cast(), 1, address) == 1 && byte == TRAP {
                let original = original as u8;
                libc::pwrite(0, (&raw const original).cast(), 1, address);
            }
        }
        libc::_exit(0)
    }
}
