//! Threads: their names on the wire, which there are, which one is meant.

use super::wire::{Cursor, push, push_number};
use super::{Parsed, Refusal};

/// A process or thread id, or what stands for several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Id {
    /// `-1`: all there are.
    All,
    /// `0`: any one.
    Any,
    /// This one.
    One(u64),
}

/// A thread as packets name it: `p1234.1235` when both ends speak of several processes, else `1235`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thread {
    /// The process, when it is named.
    pub process: Option<Id>,
    /// The thread in it.
    pub thread: Id,
}

impl Thread {
    /// Thread `thread` of process `process`, with the process named if `multiprocess`.
    pub fn new(process: u64, thread: u64, multiprocess: bool) -> Thread {
        Thread { process: multiprocess.then_some(Id::One(process)), thread: Id::One(thread) }
    }

    /// Takes one from a packet: `p1.2`, `p1` (all threads of process 1), `2`, `-1`, `0`.
    pub fn take(cursor: &mut Cursor<'_>) -> Result<Thread, Refusal> {
        if !cursor.take(b'p') {
            return Ok(Thread { process: None, thread: Id::take(cursor)? });
        }
        let process = Some(Id::take(cursor)?);
        let thread = if cursor.take(b'.') { Id::take(cursor)? } else { Id::All };
        Ok(Thread { process, thread })
    }

    /// Reads one that is all of `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Thread, Refusal> {
        let mut cursor = Cursor::new(bytes);
        let thread = Thread::take(&mut cursor)?;
        cursor.end(thread)
    }

    /// Appends it.
    pub fn print(&self, out: &mut Vec<u8>) {
        if let Some(process) = self.process {
            out.push(b'p');
            process.print(out);
            out.push(b'.');
        }
        self.thread.print(out);
    }
}

impl Id {
    fn take(cursor: &mut Cursor<'_>) -> Result<Id, Refusal> {
        if cursor.take(b'-') {
            return cursor.expect(b'1').map(|()| Id::All);
        }
        Ok(match cursor.number()? {
            0 => Id::Any,
            id => Id::One(id),
        })
    }

    fn print(self, out: &mut Vec<u8>) {
        match self {
            Id::All => push(out, "-1"),
            Id::Any => out.push(b'0'),
            Id::One(id) => push_number(out, id),
        }
    }

    /// Whether `id` is meant; any one is as good as all.
    pub fn covers(self, id: u64) -> bool {
        match self {
            Id::All | Id::Any => true,
            Id::One(one) => one == id,
        }
    }
}

/// What [`Threads::Select`] chooses a thread for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `Hg`: registers, memory and the rest.
    Examine,
    /// `Hc`: `c` and `s`.
    Resume,
}

/// Requests about threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// `?`: why the target stands.
    WhyStopped,
    /// `qC`: the current thread.
    Current,
    /// `qfThreadInfo`: the first of the list.
    First,
    /// `qsThreadInfo`: more of it.
    More,
    /// `T`: whether it lives.
    IsAlive(Thread),
    /// `H`: the thread for what follows.
    Select(Purpose, Thread),
    /// `qThreadExtraInfo`: something about it for people.
    Describe(Thread),
    /// `qThreadStopInfo` (LLDB): why this thread stands.
    StopInfo(u64),
    /// `jThreadsInfo` (LLDB): why each thread stands.
    StopInfos,
    /// `qAttached`: whether the process was there before the server.
    IsAttached(Option<u64>),
    /// `QThreadEvents`: whether threads that come and go are reported.
    Events(bool),
    /// `qGetTLSAddr`: where a module's thread-local storage is.
    LocalStorage {
        /// Whose storage.
        thread: Thread,
        /// The offset in the module's block.
        offset: u64,
        /// The module: the address of its `link_map`.
        module: u64,
    },
}

/// Whether a field is `1` or `0`.
pub(super) fn switch(cursor: &Cursor<'_>) -> Result<bool, Refusal> {
    match cursor.rest() {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err(Refusal::Malformed),
    }
}

pub(super) fn parse(packet: &[u8]) -> Parsed<Threads> {
    match packet {
        b"?" => return Some(Ok(Threads::WhyStopped)),
        b"qC" => return Some(Ok(Threads::Current)),
        b"qfThreadInfo" => return Some(Ok(Threads::First)),
        b"qsThreadInfo" => return Some(Ok(Threads::More)),
        b"jThreadsInfo" => return Some(Ok(Threads::StopInfos)),
        b"qAttached" => return Some(Ok(Threads::IsAttached(None))),
        _ => {}
    }
    let take = |prefix: &str, read: &dyn Fn(&mut Cursor<'_>) -> Result<Threads, Refusal>| {
        let mut cursor = Cursor::after(packet, prefix)?;
        Some(read(&mut cursor).and_then(|request| cursor.end(request)))
    };
    take("T", &|cursor| Thread::take(cursor).map(Threads::IsAlive))
        .or_else(|| take("Hg", &|cursor| Thread::take(cursor).map(|thread| Threads::Select(Purpose::Examine, thread))))
        .or_else(|| take("Hc", &|cursor| Thread::take(cursor).map(|thread| Threads::Select(Purpose::Resume, thread))))
        .or_else(|| take("qThreadExtraInfo,", &|cursor| Thread::take(cursor).map(Threads::Describe)))
        .or_else(|| take("qThreadStopInfo", &|cursor| cursor.number().map(Threads::StopInfo)))
        .or_else(|| take("qAttached:", &|cursor| cursor.number().map(|pid| Threads::IsAttached(Some(pid)))))
        .or_else(|| Cursor::after(packet, "QThreadEvents:").map(|cursor| switch(&cursor).map(Threads::Events)))
        .or_else(|| {
            take("qGetTLSAddr:", &|cursor| {
                let thread = Thread::take(cursor)?;
                cursor.expect(b',')?;
                let offset = cursor.number()?;
                cursor.expect(b',')?;
                Ok(Threads::LocalStorage { thread, offset, module: cursor.number()? })
            })
        })
}

impl Threads {
    pub(super) fn print(&self, out: &mut Vec<u8>) {
        let named = |out: &mut Vec<u8>, name: &str, thread: &Thread| {
            push(out, name);
            thread.print(out);
        };
        match self {
            Threads::WhyStopped => push(out, "?"),
            Threads::Current => push(out, "qC"),
            Threads::First => push(out, "qfThreadInfo"),
            Threads::More => push(out, "qsThreadInfo"),
            Threads::IsAlive(thread) => named(out, "T", thread),
            Threads::Select(Purpose::Examine, thread) => named(out, "Hg", thread),
            Threads::Select(Purpose::Resume, thread) => named(out, "Hc", thread),
            Threads::Describe(thread) => named(out, "qThreadExtraInfo,", thread),
            Threads::StopInfo(thread) => {
                push(out, "qThreadStopInfo");
                push_number(out, *thread);
            }
            Threads::StopInfos => push(out, "jThreadsInfo"),
            Threads::IsAttached(None) => push(out, "qAttached"),
            Threads::IsAttached(Some(process)) => {
                push(out, "qAttached:");
                push_number(out, *process);
            }
            Threads::Events(on) => push(out, if *on { "QThreadEvents:1" } else { "QThreadEvents:0" }),
            Threads::LocalStorage { thread, offset, module } => {
                named(out, "qGetTLSAddr:", thread);
                out.push(b',');
                push_number(out, *offset);
                out.push(b',');
                push_number(out, *module);
            }
        }
    }
}
