//! The system calls that only debuggers make, each wrapped once. All of the backend's raw calls but the start of a
//! program ([`super::spawn`]) are here.

use std::io;

/// A thread's number, as the kernel counts them.
pub type Tid = i32;

/// `siginfo_t`, as bytes.
pub const SIGNAL_INFO: usize = 128;

/// What `waitpid` said: who, and the raw status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waited {
    pub tid: Tid,
    pub status: i32,
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A request whose arguments are plain numbers.
pub fn request(request: libc::c_uint, tid: Tid, address: u64, data: u64) -> io::Result<()> {
    // SAFETY: requests that come through here take numbers, not pointers into this process.
    check(unsafe { libc::ptrace(request, tid, address, data) }).map(drop)
}

/// A request that fills or reads `value`, whose size is the one that the request has.
fn with<T>(request: libc::c_uint, tid: Tid, address: u64, value: *mut T) -> io::Result<()> {
    // SAFETY: the callers below pair each request with the type that the kernel reads or writes.
    check(unsafe { libc::ptrace(request, tid, address, value) }).map(drop)
}

pub fn seize(tid: Tid, options: u64) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, tid, 0, options)
}

pub fn interrupt(tid: Tid) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, tid, 0, 0)
}

pub fn detach(tid: Tid, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_DETACH, tid, 0, signal as u64)
}

/// The general registers, in the order of `user_regs_struct`.
#[cfg(target_arch = "x86_64")]
pub fn general(tid: Tid) -> io::Result<[u64; 27]> {
    let mut registers = [0u64; 27];
    with(libc::PTRACE_GETREGS, tid, 0, &raw mut registers)?;
    Ok(registers)
}

#[cfg(target_arch = "x86_64")]
pub fn set_general(tid: Tid, registers: &[u64; 27]) -> io::Result<()> {
    let mut copy = *registers;
    with(libc::PTRACE_SETREGS, tid, 0, &raw mut copy)
}

/// The register set of the note `kind`, of at most `room` bytes.
pub fn register_set(tid: Tid, kind: u64, room: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0u8; room];
    let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: room };
    with(libc::PTRACE_GETREGSET, tid, kind, &raw mut vector)?;
    bytes.truncate(vector.iov_len);
    Ok(bytes)
}

pub fn set_register_set(tid: Tid, kind: u64, bytes: &mut [u8]) -> io::Result<()> {
    let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    with(libc::PTRACE_SETREGSET, tid, kind, &raw mut vector)
}

/// A word of `struct user`, which holds the debug registers.
pub fn peek_user(tid: Tid, offset: usize) -> io::Result<u64> {
    let mut word = 0u64;
    // SAFETY: the raw system call stores the word where its last argument points to.
    check(unsafe { libc::syscall(libc::SYS_ptrace, libc::PTRACE_PEEKUSER, tid, offset, &raw mut word) })?;
    Ok(word)
}

pub fn poke_user(tid: Tid, offset: usize, word: u64) -> io::Result<()> {
    request(libc::PTRACE_POKEUSER, tid, offset as u64, word)
}

/// A word of memory, where neither /proc nor `process_vm_readv` reach.
pub fn peek(tid: Tid, address: u64) -> io::Result<u64> {
    let mut word = 0u64;
    // SAFETY: as in `peek_user`.
    check(unsafe { libc::syscall(libc::SYS_ptrace, libc::PTRACE_PEEKDATA, tid, address, &raw mut word) })?;
    Ok(word)
}

pub fn poke(tid: Tid, address: u64, word: u64) -> io::Result<()> {
    request(libc::PTRACE_POKEDATA, tid, address, word)
}

pub fn signal_info(tid: Tid) -> io::Result<[u8; SIGNAL_INFO]> {
    let mut info = [0u64; SIGNAL_INFO / 8];
    with(libc::PTRACE_GETSIGINFO, tid, 0, &raw mut info)?;
    let mut bytes = [0; SIGNAL_INFO];
    for (place, word) in bytes.chunks_exact_mut(8).zip(info) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    Ok(bytes)
}

pub fn set_signal_info(tid: Tid, bytes: &[u8; SIGNAL_INFO]) -> io::Result<()> {
    let mut info = [0u64; SIGNAL_INFO / 8];
    for (word, place) in info.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = place.try_into().map_or(0, u64::from_ne_bytes);
    }
    with(libc::PTRACE_SETSIGINFO, tid, 0, &raw mut info)
}

/// Whether a trap that a stopped thread has run into was not reported yet: the stop came first.
pub fn has_trap(tid: Tid) -> bool {
    const REQUEST: libc::c_uint = 0x4209;
    const COUNT: usize = 8;
    #[repr(C)]
    struct Wanted {
        offset: u64,
        flags: u32,
        count: i32,
    }
    let mut wanted = Wanted { offset: 0, flags: 0, count: COUNT as i32 };
    let mut found = [[0u64; SIGNAL_INFO / 8]; COUNT];
    // Signals that come again and again are kept once each, those of real time could be many.
    while wanted.offset < 64 {
        // SAFETY: the kernel reads `wanted` and fills at most COUNT of the places.
        let count = unsafe { libc::ptrace(REQUEST, tid, &raw const wanted, &raw mut found) };
        let Ok(count) = usize::try_from(count) else { return false };
        if found.iter().take(count).any(|info| info[0] as i32 == libc::SIGTRAP) {
            return true;
        }
        if count < COUNT {
            return false;
        }
        wanted.offset += COUNT as u64;
    }
    false
}

/// What an event stop tells: the number of a new thread, an exit status.
pub fn event_message(tid: Tid) -> io::Result<u64> {
    let mut message: libc::c_ulong = 0;
    with(libc::PTRACE_GETEVENTMSG, tid, 0, &raw mut message)?;
    Ok(message)
}

/// The system call that a thread is stopped in.
pub enum Call {
    Entry { number: u64, arguments: [u64; 6] },
    Exit { value: i64 },
    Other,
}

pub fn call_info(tid: Tid) -> io::Result<Call> {
    const REQUEST: libc::c_uint = 0x420e;
    // struct ptrace_syscall_info: op, three bytes, arch, two addresses, then a union of at most 72 bytes.
    let mut info = [0u64; 11];
    with(REQUEST, tid, size_of_val(&info) as u64, &raw mut info)?;
    Ok(match info[0] as u8 {
        1 | 3 => {
            let mut arguments = [0; 6];
            arguments.copy_from_slice(&info[4..10]);
            Call::Entry { number: info[3], arguments }
        }
        2 => Call::Exit { value: info[3] as i64 },
        _ => Call::Other,
    })
}

/// Waits for `tid` (-1: any child or tracee of this thread). `None`: nothing yet, with WNOHANG.
pub fn wait(tid: Tid, flags: i32) -> io::Result<Option<Waited>> {
    let mut status = 0;
    // SAFETY: `status` is where the kernel puts an int.
    let who = unsafe { libc::waitpid(tid, &raw mut status, flags | libc::__WALL | libc::__WNOTHREAD) };
    match who {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        tid => Ok(Some(Waited { tid, status })),
    }
}

/// Waits for one thread, however often signals interrupt it.
pub fn wait_for(tid: Tid) -> io::Result<Waited> {
    loop {
        match wait(tid, 0) {
            Ok(Some(waited)) => return Ok(waited),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// This thread's number.
pub fn own_tid() -> Tid {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as Tid }
}

/// Nanoseconds of the monotonic clock.
pub fn monotonic() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is where the kernel puts a timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// Sends `signal` to one thread.
pub fn signal_thread(process: i32, tid: Tid, signal: i32) -> io::Result<()> {
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_tgkill, process, tid, signal) }).map(drop)
}

/// Sends `signal` to a process.
pub fn signal_process(process: i32, signal: i32) -> io::Result<()> {
    // SAFETY: plain numbers.
    check(unsafe { libc::kill(process, signal) }.into()).map(drop)
}

/// Whether two processes share their memory; `None`: the kernel does not say.
pub fn share_memory(a: i32, b: i32) -> Option<bool> {
    const KCMP_VM: i32 = 1;
    // SAFETY: plain numbers.
    match unsafe { libc::syscall(libc::SYS_kcmp, a, b, KCMP_VM, 0, 0) } {
        0 => Some(true),
        1..=3 => Some(false),
        _ => None,
    }
}

fn limits(length: usize, remote: u64, local: *mut libc::c_void) -> (libc::iovec, libc::iovec) {
    let remote = libc::iovec { iov_base: remote as usize as *mut libc::c_void, iov_len: length };
    (libc::iovec { iov_base: local, iov_len: length }, remote)
}

/// Reads another process's memory; short at the first page that it could not read itself.
pub fn vm_read(process: i32, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let (local, remote) = limits(buffer.len(), address, buffer.as_mut_ptr().cast());
    // SAFETY: the local vector covers `buffer`; the remote address is checked by the kernel.
    check(unsafe { libc::process_vm_readv(process, &raw const local, 1, &raw const remote, 1, 0) } as libc::c_long)
        .map(|count| count as usize)
}

/// Writes another process's memory, where it could itself.
pub fn vm_write(process: i32, address: u64, data: &[u8]) -> io::Result<usize> {
    let (local, remote) = limits(data.len(), address, data.as_ptr().cast_mut().cast());
    // SAFETY: the local vector covers `data`, which is only read.
    check(unsafe { libc::process_vm_writev(process, &raw const local, 1, &raw const remote, 1, 0) } as libc::c_long)
        .map(|count| count as usize)
}

/// The signal that takes a thread out of a system call. Its handler does nothing; that it came is enough.
pub fn wake_signal() -> i32 {
    libc::SIGRTMIN() + 5
}

/// Sees to it that the signal of [`wake_signal`] interrupts calls, and that ended children leave a status.
pub fn install_wake() -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: a zeroed sigaction is a valid one, and the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        check(libc::sigaction(wake_signal(), &raw const action, std::ptr::null_mut()).into())?;
        let mut child: libc::sigaction = std::mem::zeroed();
        check(libc::sigaction(libc::SIGCHLD, std::ptr::null(), &raw mut child).into())?;
        if child.sa_sigaction == libc::SIG_IGN {
            child.sa_sigaction = libc::SIG_DFL;
            check(libc::sigaction(libc::SIGCHLD, &raw const child, std::ptr::null_mut()).into())?;
        }
        let mut open: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut open);
        libc::sigaddset(&raw mut open, wake_signal());
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const open, std::ptr::null_mut());
    }
    Ok(())
}
