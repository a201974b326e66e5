//! Registers, threads and objects of a stopped target.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::line::{Inner, no_process, no_thread};
use super::memory::LINE;
use super::registers::Registers;
use super::stub::Works;
use crate::debug::{ProcessId, Role, State, Thread, ThreadId, number};
use crate::error::{Error, Kind, Result};
use crate::protocol::rsp::description::{self, DOCUMENTS, Description, LONGEST};
use crate::protocol::rsp::object::Object;
use crate::protocol::rsp::register::Register;
use crate::protocol::rsp::reply::Reply;
use crate::protocol::rsp::thread::Threads;
use crate::protocol::rsp::wire::unhex;
use crate::protocol::rsp::{self, Request};

/// Most threads that are listed.
const THREADS: usize = 100_000;

impl Inner {
    /// The first request for a piece of an object.
    pub fn object_request(&self, object: &str, annex: &str, offset: usize) -> Vec<u8> {
        let length = self.stub.packet.saturating_sub(16).max(16) as u64;
        let (object, annex) = (object.to_string(), annex.to_string());
        Request::Object(Object::Read { object, annex, offset: offset as u64, length }).payload()
    }

    /// An object as a whole.
    pub fn object(&mut self, object: &str, annex: &str) -> Result<Vec<u8>> {
        let request = self.object_request(object, annex, 0);
        let first = self.ask_raw(request)?;
        self.object_from(object, annex, &first)
    }

    /// The same when the reply to the first request is there already.
    pub fn object_from(&mut self, object: &str, annex: &str, first: &[u8]) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut reply = first.to_vec();
        loop {
            match reply.split_first() {
                Some((b'l', rest)) => {
                    bytes.extend_from_slice(rest);
                    return Ok(bytes);
                }
                Some((b'm', rest)) if !rest.is_empty() => bytes.extend_from_slice(rest),
                _ => {
                    let text = format!("the stub does not give {object} {annex}");
                    return Err(Error::new(Kind::Unsupported, text.trim_end()));
                }
            }
            if bytes.len() > LONGEST {
                return Err(Error::new(Kind::Limit, format!("the stub's {object} has no end")));
            }
            let request = self.object_request(object, annex, bytes.len());
            reply = self.ask_raw(request)?;
        }
    }

    /// The description of the registers, with what it includes.
    pub fn description(&mut self, root: Vec<u8>) -> Result<Description> {
        let root = String::from_utf8_lossy(&root).into_owned();
        let mut documents: BTreeMap<String, String> = BTreeMap::new();
        let mut wanted = description::includes(&root);
        let mut size = root.len();
        while !wanted.is_empty() && documents.len() < DOCUMENTS {
            wanted.retain(|name| !documents.contains_key(name));
            wanted.dedup();
            let requests: Vec<Vec<u8>> = wanted.iter().map(|name| self.object_request("features", name, 0)).collect();
            let replies = self.flight(&requests)?;
            let mut more = Vec::new();
            for (name, reply) in wanted.into_iter().zip(replies) {
                let bytes = self.object_from("features", &name, &reply).unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                size += text.len();
                if size > LONGEST {
                    return Err(Error::new(Kind::Limit, "the stub's description of its registers has no end"));
                }
                more.extend(description::includes(&text));
                documents.insert(name, text);
            }
            wanted = more;
        }
        Description::parse(&root, &documents)
            .map_err(|_| Error::new(Kind::Protocol, "the stub's description of its registers is damaged"))
    }

    /// The registers of `process`.
    pub fn registers(&mut self, process: ProcessId) -> Result<Arc<Registers>> {
        let known = self.processes.get(&process).ok_or_else(|| no_process(process))?;
        if let Some(registers) = &known.registers {
            return Ok(Arc::clone(registers));
        }
        self.stopped()?;
        let mut description = None;
        if self.stub.has("qXfer:features:read") {
            if let Ok(thread) = self.thread_of(process)
                && let Some(choose) = self.choose(thread)
            {
                self.ask_raw(choose)?;
            }
            if let Ok(root) = self.object("features", "target.xml") {
                description = self.description(root).ok();
            }
        }
        self.set_registers(process, description)
    }

    /// Makes `description`, or what is likely without one, the registers of `process`.
    pub fn set_registers(&mut self, process: ProcessId, description: Option<Description>) -> Result<Arc<Registers>> {
        let architecture = description.as_ref().and_then(|description| description.architecture.clone());
        let big_endian = self.big_endian(process, architecture.as_deref());
        let described = description.and_then(|description| Registers::described(&description, big_endian));
        let registers = match described {
            Some(registers) => registers,
            None => {
                let thread = self.thread_of(process)?;
                let bytes = self.fetch_all(thread)?.len();
                Registers::classic(architecture.as_deref(), bytes, big_endian)
            }
        };
        let registers = Arc::new(registers);
        if let Some(known) = self.processes.get_mut(&process) {
            known.registers = Some(Arc::clone(&registers));
        }
        self.changes += 1;
        Ok(registers)
    }

    /// Whether numbers have their highest byte first: as LLDB's packets say, as the auxiliary vector looks, or as the
    /// architecture usually has it.
    fn big_endian(&mut self, process: ProcessId, architecture: Option<&str>) -> bool {
        if let Some(known) = self.stub.big_endian {
            return known;
        }
        if let Ok(auxv) = self.auxv(process)
            && let Some(first) = auxv.get(..8)
        {
            // The first key is a small number: its bytes that are not zero lie at one end.
            let low = first[..4].iter().position(|byte| *byte != 0);
            return low != Some(0);
        }
        let name = architecture.unwrap_or_default();
        ["mips", "powerpc", "sparc", "s390", "m68k", "hppa", "or1k"].iter().any(|family| name.starts_with(family))
    }

    /// The auxiliary vector.
    pub fn auxv(&mut self, process: ProcessId) -> Result<Vec<u8>> {
        if let Some(known) = self.known.auxv.get(&process) {
            return Ok(known.clone());
        }
        if !self.stub.has("qXfer:auxv:read") {
            return Err(crate::debug::cannot("tell the auxiliary vector"));
        }
        let thread = self.thread_of(process)?;
        if let Some(choose) = self.choose(thread) {
            self.ask_raw(choose)?;
        }
        let bytes = self.object("auxv", "")?;
        self.known.auxv.insert(process, bytes.clone());
        Ok(bytes)
    }

    /// The reply to `g` as bytes; what cannot be had is zero.
    pub fn all_registers(&mut self, thread: ThreadId) -> Result<Vec<u8>> {
        if let Some(known) = self.known.registers.get(&thread) {
            return Ok(known.clone());
        }
        let registers = self.registers(thread.process)?;
        if let Some(known) = self.known.registers.get(&thread) {
            return Ok(known.clone());
        }
        let bytes = match self.stub.all_registers {
            Works::No => self.one_by_one(thread, &registers)?,
            _ => match self.fetch_all(thread) {
                Err(error) if error.kind() == Kind::Unsupported => self.one_by_one(thread, &registers)?,
                outcome => outcome?,
            },
        };
        Ok(bytes)
    }

    /// `g`, and in the same flight the code and the stack that whoever looks at registers looks at, too.
    fn fetch_all(&mut self, thread: ThreadId) -> Result<Vec<u8>> {
        self.stopped()?;
        let mut requests: Vec<Vec<u8>> = self.choose(thread).into_iter().collect();
        requests.push(Request::Register(Register::ReadAll { thread: None }).payload());
        let near = self.nearby(thread);
        let replies = if self.connection.pipelines() {
            self.fetch_with(thread.process, &near, &requests)?
        } else {
            self.flight(&requests)?
        };
        let reply = replies.last().map_or(&[][..], Vec::as_slice);
        if reply.is_empty() {
            self.stub.all_registers = Works::No;
            return Err(crate::debug::cannot("give all registers at once"));
        }
        match Reply::parse(reply) {
            Reply::Error(..) => {
                // It may have ended, or the stub may have forgotten whom it means.
                self.chosen = None;
                return Err(no_thread(thread).hint("the stub does not give its registers"));
            }
            Reply::Ok | Reply::Unsupported => return Err(Error::new(Kind::Protocol, "the stub gives no registers")),
            Reply::Data(_) => {}
        }
        let bytes = digits(reply)?;
        self.stub.all_registers = Works::Yes;
        self.known.registers.insert(thread, bytes.clone());
        Ok(bytes)
    }

    /// The lines of memory around the program counter and the stack pointer, as far as the stop told them.
    fn nearby(&self, thread: ThreadId) -> Vec<u64> {
        let Some(expedited) = self.known.expedited.get(&thread) else { return Vec::new() };
        let Some(registers) = self.processes.get(&thread.process).and_then(|process| process.registers.as_ref()) else {
            return Vec::new();
        };
        let layout = &registers.layout;
        let value = |role| {
            let number = layout.role(role)?.number?;
            let (_, bytes) = expedited.iter().find(|(known, _)| *known == number)?;
            u64::try_from(super::super::number(bytes, layout.big_endian)).ok()
        };
        let mut lines = Vec::new();
        if let Some(pc) = value(Role::Pc) {
            lines.push(pc / LINE * LINE);
            // A listing from there runs into the next one.
            if pc % LINE > LINE - 512 {
                lines.push((pc / LINE * LINE).wrapping_add(LINE));
            }
        }
        if let Some(sp) = value(Role::Sp) {
            lines.push(sp / LINE * LINE);
        }
        lines.sort_unstable();
        lines.dedup();
        lines
    }

    /// `p` for each register.
    fn one_by_one(&mut self, thread: ThreadId, registers: &Registers) -> Result<Vec<u8>> {
        let mut requests: Vec<Vec<u8>> = self.choose(thread).into_iter().collect();
        let first = requests.len();
        for slot in &registers.slots {
            requests.push(Request::Register(Register::Read { number: slot.number, thread: None }).payload());
        }
        let replies = self.flight(&requests)?;
        let mut bytes = vec![0; registers.size];
        let mut any = false;
        for (slot, reply) in registers.slots.iter().zip(replies.get(first..).unwrap_or_default()) {
            if let Reply::Data(text) = Reply::parse(reply)
                && let Ok(value) = digits(text)
                && let Some(place) = bytes.get_mut(slot.wire..slot.wire + slot.bytes)
            {
                let count = value.len().min(place.len());
                place[..count].copy_from_slice(&value[..count]);
                any = true;
            }
        }
        if !any {
            return Err(crate::debug::cannot("show registers"));
        }
        self.known.registers.insert(thread, bytes.clone());
        Ok(bytes)
    }

    /// The value of the register with number `number`, from what came along with the stop if it did.
    pub fn register(&mut self, thread: ThreadId, number: u32) -> Result<u64> {
        let registers = self.registers(thread.process)?;
        let big_endian = registers.layout.big_endian;
        if !self.known.registers.contains_key(&thread)
            && let Some(expedited) = self.known.expedited.get(&thread)
            && let Some((_, bytes)) = expedited.iter().find(|(known, _)| *known == number)
            && let Ok(value) = u64::try_from(super::super::number(bytes, big_endian))
        {
            return Ok(value);
        }
        let missing = || Error::new(Kind::NotFound, format!("the stub has no register {number}"));
        let slot = *registers.slot(number).ok_or_else(missing)?;
        let all = self.all_registers(thread)?;
        let bytes = all.get(slot.wire..slot.wire + slot.bytes).ok_or_else(missing)?;
        Ok(super::super::number(bytes, big_endian) as u64)
    }

    /// The bytes of a set of registers.
    pub fn read_set(&mut self, thread: ThreadId, set: usize) -> Result<Vec<u8>> {
        self.alive(thread)?;
        let wire = self.all_registers(thread)?;
        let registers = self.registers(thread.process)?;
        Ok(registers.set(&wire, set))
    }

    /// Changes a set: what differs is written, one by one where the stub can do that, else all together.
    pub fn write_set(&mut self, thread: ThreadId, set: usize, bytes: &[u8]) -> Result<()> {
        self.alive(thread)?;
        let mut wire = self.all_registers(thread)?;
        let registers = self.registers(thread.process)?;
        wire.resize(wire.len().max(registers.size), 0);
        let mut changed = Vec::new();
        for slot in registers.slots.iter().filter(|slot| slot.set == set) {
            if let (Some(new), Some(old)) =
                (bytes.get(slot.offset..slot.offset + slot.bytes), wire.get_mut(slot.wire..slot.wire + slot.bytes))
                && new != old
            {
                old.copy_from_slice(new);
                changed.push((slot.number, new.to_vec()));
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        let outcome = self.write_registers(thread, &changed, &wire);
        self.known.registers.remove(&thread);
        self.known.expedited.remove(&thread);
        self.changes += 1;
        outcome
    }

    fn write_registers(&mut self, thread: ThreadId, changed: &[(u32, Vec<u8>)], wire: &[u8]) -> Result<()> {
        let refused = || Error::new(Kind::Permission, "the stub refuses to change the register");
        if self.stub.write_one != Works::No {
            let mut requests: Vec<Vec<u8>> = self.choose(thread).into_iter().collect();
            let first = requests.len();
            for (number, bytes) in changed {
                let write = Register::Write { number: *number, bytes: bytes.clone(), thread: None };
                requests.push(Request::Register(write).payload());
            }
            let replies = self.flight(&requests)?;
            let replies = replies.get(first..).unwrap_or_default();
            if replies.iter().all(|reply| Reply::parse(reply) == Reply::Ok) {
                self.stub.write_one = Works::Yes;
                return Ok(());
            }
            if replies.iter().any(|reply| !reply.is_empty()) {
                return Err(refused());
            }
            self.stub.write_one = Works::No;
        }
        let mut requests: Vec<Vec<u8>> = self.choose(thread).into_iter().collect();
        requests.push(Request::Register(Register::WriteAll { bytes: wire.to_vec(), thread: None }).payload());
        let replies = self.flight(&requests)?;
        match replies.last().map_or(Reply::Unsupported, |reply| Reply::parse(reply)) {
            Reply::Ok => Ok(()),
            Reply::Unsupported => Err(crate::debug::cannot("change registers")),
            _ => Err(refused()),
        }
    }

    /// Changes one register by its number.
    pub fn set_register(&mut self, thread: ThreadId, number: u32, value: u64) -> Result<()> {
        let registers = self.registers(thread.process)?;
        let register = registers.layout.numbered(number);
        let register =
            register.ok_or_else(|| Error::new(Kind::NotFound, format!("the stub has no register {number}")))?;
        let mut set = self.read_set(thread, register.set)?;
        if !register.set_value(&mut set, value, registers.layout.big_endian) {
            return Err(Error::new(Kind::Usage, format!("0x{value:x} does not fit into {}", register.name)));
        }
        self.write_set(thread, register.set, &set)
    }

    /// The thread has to be one that is known.
    fn alive(&mut self, thread: ThreadId) -> Result<()> {
        self.stopped()?;
        if self.current == Some(thread) || self.known.registers.contains_key(&thread) {
            return Ok(());
        }
        match self.threads()?.iter().any(|known| known.id == thread) {
            true => Ok(()),
            false => Err(no_thread(thread)),
        }
    }

    /// The threads of all processes.
    pub fn threads(&mut self) -> Result<Vec<Thread>> {
        if let Some(threads) = &self.known.threads {
            return Ok(threads.clone());
        }
        if self.running {
            // What is known without asking.
            let running = |id| Thread { id, name: None, state: State::Running, core: None };
            return Ok(self.current.map(running).into_iter().collect());
        }
        let mut found: Vec<(rsp::Thread, Option<String>, Option<u32>)> = Vec::new();
        if self.stub.has("qXfer:threads:read")
            && let Ok(bytes) = self.object("threads", "")
            && let Ok(threads) = description::threads(&String::from_utf8_lossy(&bytes))
        {
            found.extend(threads.into_iter().map(|thread| (thread.id, thread.name, thread.core)));
        }
        if found.is_empty() && !self.stub.naive {
            found.extend(self.listed()?.into_iter().map(|thread| (thread, None, None)));
        }
        Ok(self.set_threads(found))
    }

    /// Makes these the threads; without any there is the one that is current.
    pub fn set_threads(&mut self, found: Vec<(rsp::Thread, Option<String>, Option<u32>)>) -> Vec<Thread> {
        let mut threads: Vec<Thread> = Vec::new();
        for (id, name, core) in found.into_iter().take(THREADS) {
            let id = self.id(id);
            self.adopt(id.process);
            threads.push(Thread { id, name, state: State::Stopped(self.reasons.get(&id).cloned()), core });
        }
        if threads.is_empty()
            && let Some(id) = self.current
        {
            threads.push(Thread { id, name: None, state: State::Stopped(self.reasons.get(&id).cloned()), core: None });
        }
        threads.sort_by_key(|thread| thread.id);
        threads.dedup_by_key(|thread| thread.id);
        self.known.threads = Some(threads.clone());
        threads
    }

    /// `qfThreadInfo` and what follows.
    fn listed(&mut self) -> Result<Vec<rsp::Thread>> {
        let mut found = Vec::new();
        let mut request = Threads::First;
        loop {
            let reply = self.ask(&Request::Threads(request))?;
            let Some(list) = reply.strip_prefix(b"m") else { return Ok(found) };
            let before = found.len();
            for field in list.split(|byte| *byte == b',').filter(|field| !field.is_empty()) {
                match rsp::Thread::parse(field) {
                    Ok(thread) if found.len() < THREADS => found.push(thread),
                    _ => return Ok(found),
                }
            }
            if found.len() == before {
                return Ok(found);
            }
            request = Threads::More;
        }
    }

    /// A process that was heard of is one of ours.
    pub fn adopt(&mut self, process: ProcessId) {
        let image = self.image;
        self.processes.entry(process).or_insert_with(|| super::line::Controlled { image, ..Default::default() });
    }

    /// The program that `process` runs.
    pub fn program_path(&mut self, process: ProcessId) -> Option<String> {
        if let Some(known) = self.processes.get(&process)?.program.clone() {
            return known;
        }
        let path = self.find_program(process);
        if let Some(known) = self.processes.get_mut(&process) {
            known.program = Some(path.clone());
        }
        path
    }

    fn find_program(&mut self, process: ProcessId) -> Option<String> {
        if self.stub.has("qXfer:exec-file:read") {
            let annex = if self.stub.multiprocess { format!("{process:x}") } else { String::new() };
            if let Ok(path) = self.object("exec-file", &annex)
                && !path.is_empty()
            {
                return String::from_utf8(path).ok();
            }
        }
        if self.stub.files != Works::No
            && !self.stub.naive
            && let Some(path) = self.link_target(process)
        {
            return Some(path);
        }
        // What the kernel was asked to execute.
        const AT_EXECFN: u64 = 31;
        let address = self.auxv_value(process, AT_EXECFN)?;
        let mut text = vec![0; 1024];
        let count = self.read(process, address, &mut text).ok()?;
        let end = text[..count].iter().position(|byte| *byte == 0)?;
        text.truncate(end);
        String::from_utf8(text).ok().filter(|path| path.starts_with('/'))
    }

    fn link_target(&mut self, process: ProcessId) -> Option<String> {
        use crate::protocol::rsp::file::{File, Outcome};
        let reply = self.ask(&Request::File(File::LinkTarget(format!("/proc/{process}/exe")))).ok()?;
        match Outcome::parse(&reply).ok()? {
            Outcome::Bytes(bytes) if !bytes.is_empty() => String::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A value of the auxiliary vector.
    pub fn auxv_value(&mut self, process: ProcessId, key: u64) -> Option<u64> {
        let layout = Arc::clone(&self.registers(process).ok()?.layout);
        let bytes = self.auxv(process).ok()?;
        let word = if layout.bits == 64 { 8 } else { 4 };
        let mut numbers = bytes.chunks_exact(word).map(|bytes| number(bytes, layout.big_endian) as u64);
        while let (Some(found), Some(value)) = (numbers.next(), numbers.next()) {
            match found {
                0 => return None,
                found if found == key => return Some(value),
                _ => {}
            }
        }
        None
    }
}

/// The bytes of a reply with registers; `x` stands for digits that cannot be had, and an odd one at the end for nothing.
fn digits(reply: &[u8]) -> Result<Vec<u8>> {
    let mut text: Vec<u8> =
        reply.iter().map(|digit| if matches!(digit, b'x' | b'X') { b'0' } else { *digit }).collect();
    text.truncate(text.len() & !1);
    unhex(&text).map_err(|_| Error::new(Kind::Protocol, "the stub's registers are no numbers"))
}
