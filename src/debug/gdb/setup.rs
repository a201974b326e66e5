//! The beginning of a conversation: what both ends can do, which processes there are, why they stand. Nothing is
//! stopped or set going by it.

use super::files::Files;
use super::line::{Controlled, Inner};
use super::stub::{Actions, Reads, Stub, Works};
use crate::debug::{ProcessId, Reason, ThreadId};
use crate::error::{Error, Kind, Result};
use crate::link::gdb::Connection;
use crate::protocol::rsp::process::Process;
use crate::protocol::rsp::reply::Reply;
use crate::protocol::rsp::session::Session;
use crate::protocol::rsp::stop::Stop;
use crate::protocol::rsp::thread::Threads;
use crate::protocol::rsp::{self, Request, resume};

/// What was asked in the first flight, with its reply.
struct Answers {
    asked: Vec<(Question, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Nonsense,
    Actions,
    Extended,
    Binary,
    Why,
    Current,
    Attached,
    Registers,
    Threads,
    Auxv,
    Program,
    Host,
    Process,
}

impl Answers {
    fn get(&self, question: Question) -> &[u8] {
        self.asked.iter().find(|(asked, _)| *asked == question).map_or(&[], |(_, reply)| reply)
    }
}

/// Opens the conversation. With `process`, that one is attached to.
pub fn begin(mut connection: Connection, files: Files, process: Option<ProcessId>) -> Result<Inner> {
    connection.greet()?;
    let stub = Stub::answered(&connection.exchange(&Stub::offer())?);
    if stub.has("QStartNoAckMode") {
        let request = Request::Session(Session::NoAcknowledgements).payload();
        if Reply::parse(&connection.exchange(&request)?) == Reply::Ok {
            connection.stop_acknowledging();
        }
    }
    let mut inner = Inner::new(connection, stub, files);
    let answers = ask(&mut inner, process)?;
    let stub = &mut inner.stub;
    stub.naive = !answers.get(Question::Nonsense).is_empty();
    if stub.naive {
        stub.multiprocess = false;
        stub.points = [Works::No, Works::No, Works::Perhaps, Works::Perhaps, Works::Perhaps];
    } else {
        stub.actions = Actions::parse(answers.get(Question::Actions));
        stub.extended = answers.get(Question::Extended) == b"OK";
        stub.reads = match answers.get(Question::Binary) {
            b"b" if stub.has("binary-upload") => Reads::Binary,
            b"OK" => Reads::Bare,
            _ if stub.has("binary-upload") => Reads::Binary,
            _ => Reads::Hex,
        };
        about_machine(stub, answers.get(Question::Host));
        about_process(stub, answers.get(Question::Process));
    }
    if let Some(process) = process {
        inner.attach(process)?;
        return Ok(inner);
    }
    let why = answers.get(Question::Why).to_vec();
    meet(&mut inner, &why, &answers)?;
    Ok(inner)
}

/// Everything that no answer is needed for is asked at once.
fn ask(inner: &mut Inner, process: Option<ProcessId>) -> Result<Answers> {
    let threads = |request| Request::Threads(request).payload();
    let session = |request| Request::Session(request).payload();
    let mut questions = vec![
        (Question::Nonsense, b"vMustReplyEmpty".to_vec()),
        (Question::Actions, Request::Resume(resume::Resume::Actions).payload()),
    ];
    if process.is_some() {
        questions.push((Question::Extended, session(Session::Extended)));
    }
    if inner.stub.lldb {
        questions.push((Question::Binary, b"x0,0".to_vec()));
        questions.push((Question::Host, session(Session::Host)));
    }
    if process.is_none() {
        questions.push((Question::Why, threads(Threads::WhyStopped)));
        questions.push((Question::Current, threads(Threads::Current)));
        questions.push((Question::Attached, threads(Threads::IsAttached(None))));
        if inner.stub.lldb {
            questions.push((Question::Process, session(Session::ProcessInfo)));
        }
        // Small packets would make many round trips of these: they are asked for when they are needed.
        let objects = [
            (Question::Registers, "features", "target.xml"),
            (Question::Threads, "threads", ""),
            (Question::Auxv, "auxv", ""),
            (Question::Program, "exec-file", ""),
        ];
        for (question, object, annex) in objects {
            if inner.stub.has(&format!("qXfer:{object}:read")) {
                questions.push((question, inner.object_request(object, annex, 0)));
            }
        }
    }
    let payloads: Vec<Vec<u8>> = questions.iter().map(|(_, payload)| payload.clone()).collect();
    let replies = inner.flight(&payloads)?;
    Ok(Answers { asked: questions.into_iter().map(|(question, _)| question).zip(replies).collect() })
}

/// The pairs of `key:value;`.
fn pairs(reply: &[u8]) -> Vec<(&str, &str)> {
    let text = std::str::from_utf8(reply).unwrap_or_default();
    text.split(';').filter_map(|field| field.split_once(':')).take(64).collect()
}

fn about_machine(stub: &mut Stub, reply: &[u8]) {
    for (key, value) in pairs(reply) {
        if key == "endian" {
            stub.big_endian = Some(value == "big");
        }
    }
}

fn about_process(stub: &mut Stub, reply: &[u8]) {
    for (key, value) in pairs(reply) {
        if key == "pid" {
            stub.process = u32::from_str_radix(value, 16).ok().filter(|process| *process > 0);
        }
    }
}

/// What `?` told: the process that is there, if one is.
fn meet(inner: &mut Inner, why: &[u8], answers: &Answers) -> Result<()> {
    let stop = Stop::parse(why);
    let thread = match &stop {
        Ok(Stop::Stopped(stopped)) => stopped.thread,
        Ok(Stop::Exited { .. } | Stop::Killed { .. } | Stop::NothingLeft) => return Ok(()),
        // Without a process some do not answer, or with an error.
        _ if why.is_empty() || matches!(Reply::parse(why), Reply::Error(..) | Reply::Ok) => None,
        _ => {
            return Err(Error::new(Kind::Protocol, "the stub does not say why its target stands")
                .hint("is it a stub of gdb's protocol that listens there?"));
        }
    };
    let current = answers.get(Question::Current).strip_prefix(b"QC").and_then(|id| rsp::Thread::parse(id).ok());
    let named = |thread: &rsp::Thread| matches!(thread.thread, rsp::thread::Id::One(_));
    let mut known = thread.filter(named).or(current.filter(named));
    let listed = listed(inner, answers)?;
    if known.is_none() {
        known = listed.first().map(|(thread, _, _)| *thread);
    }
    if stop.is_err() && known.is_none() && why != b"OK" {
        // No process: there may be one later.
        return Ok(());
    }
    let own = inner.stub.process;
    let id = match known {
        Some(thread) => {
            let id = inner.id(thread);
            if thread.process.is_none() { ThreadId { process: own.unwrap_or(id.process), ..id } } else { id }
        }
        None => {
            inner.stub.threadless = true;
            ThreadId { process: own.unwrap_or(1), thread: 1 }
        }
    };
    inner.current = Some(id);
    let attached = match answers.get(Question::Attached) {
        b"1" => Some(true),
        b"0" => Some(false),
        _ => None,
    };
    inner.processes.insert(id.process, Controlled { attached, ..Controlled::default() });
    if let Ok(Stop::Stopped(stopped)) = stop {
        inner.known.expedited.insert(id, stopped.registers);
        inner.reasons.insert(id, Reason::Attached);
    }
    if !listed.is_empty() {
        inner.set_threads(listed);
    }
    if let Ok(bytes) = inner.object_from("auxv", "", answers.get(Question::Auxv)) {
        inner.known.auxv.insert(id.process, bytes);
    }
    if let Ok(path) = inner.object_from("exec-file", "", answers.get(Question::Program))
        && let (Ok(path), Some(known)) = (String::from_utf8(path), inner.processes.get_mut(&id.process))
        && !path.is_empty()
    {
        known.program = Some(Some(path));
    }
    let root = inner.object_from("features", "target.xml", answers.get(Question::Registers));
    let description = root.and_then(|root| inner.description(root)).ok();
    if inner.lost.is_none() {
        inner.set_registers(id.process, description)?;
    }
    Ok(())
}

type Listed = Vec<(rsp::Thread, Option<String>, Option<u32>)>;

fn listed(inner: &mut Inner, answers: &Answers) -> Result<Listed> {
    let first = answers.get(Question::Threads).to_vec();
    if first.is_empty() {
        return Ok(Vec::new());
    }
    let bytes = match inner.object_from("threads", "", &first) {
        Ok(bytes) => bytes,
        Err(error) if inner.lost.is_some() => return Err(error),
        Err(_) => return Ok(Vec::new()),
    };
    let threads = rsp::description::threads(&String::from_utf8_lossy(&bytes)).unwrap_or_default();
    Ok(threads.into_iter().map(|thread| (thread.id, thread.name, thread.core)).collect())
}

impl Inner {
    /// Makes the stub outlive its processes, so that it takes new ones.
    pub fn extend(&mut self) -> Result<()> {
        if self.stub.extended {
            return Ok(());
        }
        match Reply::parse(&self.ask(&Request::Session(Session::Extended))?) {
            Reply::Ok => {
                self.stub.extended = true;
                Ok(())
            }
            _ => Err(Error::new(Kind::Unsupported, "the stub neither starts programs nor attaches to processes")),
        }
    }

    /// Attaches to a process.
    pub fn attach(&mut self, process: ProcessId) -> Result<ThreadId> {
        self.stopped()?;
        self.extend()?;
        let reply = self.ask(&Request::Process(Process::Attach(process.into())))?;
        self.joined(&reply, Some(process), true, "attach to that process")
    }

    /// A process is new: the reply to `vRun` or `vAttach` tells its thread.
    pub fn joined(&mut self, reply: &[u8], process: Option<ProcessId>, attached: bool, what: &str) -> Result<ThreadId> {
        let refused = |text: &[u8]| {
            let text = String::from_utf8_lossy(text).into_owned();
            let why = if text.is_empty() { String::new() } else { format!(": {}", crate::output::visible(&text)) };
            Error::new(Kind::Permission, format!("the stub cannot {what}{why}"))
        };
        let stopped = match (Reply::parse(reply), Stop::parse(reply)) {
            (_, Ok(Stop::Stopped(stopped))) => stopped,
            (Reply::Unsupported, _) => return Err(crate::debug::cannot(what)),
            (Reply::Error(_, text), _) => return Err(refused(text)),
            (_, Ok(Stop::Exited { .. } | Stop::Killed { .. })) => return Err(refused(b"it has ended")),
            _ => return Err(Error::new(Kind::Protocol, "the stub answers with something else than a stop")),
        };
        self.forget();
        self.chosen = None;
        self.stub.threadless = false;
        self.current = None;
        let named = stopped.thread.map(|thread| self.id(thread));
        let id = match (named, process) {
            (Some(id), Some(process)) if !self.stub.multiprocess => ThreadId { process, ..id },
            (Some(id), _) => id,
            (None, Some(process)) => ThreadId { process, thread: process.into() },
            (None, None) => {
                let reply = self.ask(&Request::Threads(Threads::Current))?;
                let current = reply.strip_prefix(b"QC").and_then(|id| rsp::Thread::parse(id).ok());
                current.map_or(ThreadId { process: 1, thread: 1 }, |thread| self.id(thread))
            }
        };
        self.image += 1;
        let image = self.image;
        let controlled = Controlled { attached: Some(attached), image, ..Controlled::default() };
        self.processes.insert(id.process, controlled);
        self.current = Some(id);
        self.known.expedited.insert(id, stopped.registers);
        self.reasons.insert(id, Reason::Attached);
        self.registers(id.process)?;
        Ok(id)
    }
}
