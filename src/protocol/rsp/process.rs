//! Starting programs, attaching to processes, leaving them.

use super::thread::switch;
use super::wire::{Cursor, hex_number, push, push_hex, push_number, unhex, unhex_text};
use super::{Parsed, Refusal};

/// One of the three streams that a program starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard input.
    Input,
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// How a process is found by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByName {
    /// `vAttachName`: it is there.
    Present,
    /// `vAttachWait`: the next one that starts.
    Next,
    /// `vAttachOrWait`: one that is there, else the next.
    PresentOrNext,
}

/// Requests about processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Process {
    /// `vRun`: starts a program; an empty name is the one before.
    Run {
        /// The program.
        program: Vec<u8>,
        /// Its arguments.
        arguments: Vec<Vec<u8>>,
    },
    /// `A` (LLDB): the same, with the program as the first; the process is asked for afterwards.
    Arguments(Vec<Vec<u8>>),
    /// `qLaunchSuccess` (LLDB): whether that worked.
    Launched,
    /// `vAttach`.
    Attach(u64),
    /// `vAttachName` and relatives (LLDB).
    AttachTo(ByName, String),
    /// `vKill`.
    Kill(u64),
    /// `k`: everything; GDB waits for no answer.
    KillAll,
    /// `D`: lets a process go, or all.
    Detach(Option<u64>),
    /// `R`: starts the program anew; nobody waits for an answer.
    Restart,
    /// `QDisableRandomization`.
    FixedAddresses(bool),
    /// `QStartupWithShell`.
    WithShell(bool),
    /// `QEnvironmentHexEncoded` and `QEnvironment`: `NAME=VALUE`.
    Set {
        /// The variable and its value.
        variable: String,
        /// It came in hexadecimal.
        encoded: bool,
    },
    /// `QEnvironmentUnset`.
    Unset(String),
    /// `QEnvironmentReset`: the server's own environment.
    Reset,
    /// `QSetWorkingDir`; `None`: the server's own.
    Directory(Option<String>),
    /// `QSetSTDIN` and relatives (LLDB).
    Redirect(Stream, String),
}

pub(super) fn parse(packet: &[u8]) -> Parsed<Process> {
    let after = |prefix: &str| Cursor::after(packet, prefix);
    let number = |bytes: &[u8]| hex_number(bytes).ok_or(Refusal::Malformed);
    match packet {
        b"k" => return Some(Ok(Process::KillAll)),
        b"D" => return Some(Ok(Process::Detach(None))),
        b"qLaunchSuccess" => return Some(Ok(Process::Launched)),
        b"QEnvironmentReset" => return Some(Ok(Process::Reset)),
        [b'R', digits @ ..] if digits.iter().all(u8::is_ascii_hexdigit) => return Some(Ok(Process::Restart)),
        [b'A', list @ ..] => return Some(arguments(list).map(Process::Arguments)),
        [b'D', b';', process @ ..] => return Some(number(process).map(|process| Process::Detach(Some(process)))),
        [b'D', ..] => return Some(Err(Refusal::Malformed)),
        _ => {}
    }
    let names =
        [("vAttachName;", ByName::Present), ("vAttachWait;", ByName::Next), ("vAttachOrWait;", ByName::PresentOrNext)];
    let streams = [("QSetSTDIN:", Stream::Input), ("QSetSTDOUT:", Stream::Output), ("QSetSTDERR:", Stream::Error)];
    after("vRun;")
        .map(run)
        .or_else(|| after("vAttach;").map(|cursor| number(cursor.rest()).map(Process::Attach)))
        .or_else(|| after("vKill;").map(|cursor| number(cursor.rest()).map(Process::Kill)))
        .or_else(|| after("QDisableRandomization:").map(|cursor| switch(&cursor).map(Process::FixedAddresses)))
        .or_else(|| after("QStartupWithShell:").map(|cursor| switch(&cursor).map(Process::WithShell)))
        .or_else(|| {
            let cursor = after("QEnvironmentHexEncoded:")?;
            Some(unhex_text(cursor.rest()).and_then(|variable| set(variable, true)))
        })
        .or_else(|| {
            let cursor = after("QEnvironment:")?;
            let text = String::from_utf8(cursor.rest().to_vec()).map_err(|_| Refusal::Malformed);
            Some(text.and_then(|variable| set(variable, false)))
        })
        .or_else(|| after("QEnvironmentUnset:").map(|cursor| unhex_text(cursor.rest()).map(Process::Unset)))
        .or_else(|| {
            let cursor = after("QSetWorkingDir:")?;
            Some(unhex_text(cursor.rest()).map(|path| Process::Directory((!path.is_empty()).then_some(path))))
        })
        .or_else(|| {
            names.into_iter().find_map(|(prefix, how)| {
                let cursor = after(prefix)?;
                Some(unhex_text(cursor.rest()).map(|name| Process::AttachTo(how, name)))
            })
        })
        .or_else(|| {
            streams.into_iter().find_map(|(prefix, stream)| {
                let cursor = after(prefix)?;
                Some(unhex_text(cursor.rest()).map(|path| Process::Redirect(stream, path)))
            })
        })
}

fn set(variable: String, encoded: bool) -> Result<Process, Refusal> {
    match variable.find('=') {
        None | Some(0) => Err(Refusal::Malformed),
        Some(_) => Ok(Process::Set { variable, encoded }),
    }
}

fn run(cursor: Cursor<'_>) -> Result<Process, Refusal> {
    let mut fields = cursor.rest().split(|byte| *byte == b';').map(unhex);
    let program = fields.next().ok_or(Refusal::Malformed)??;
    Ok(Process::Run { program, arguments: fields.collect::<Result<_, _>>()? })
}

/// `LENGTH,INDEX,HEX` and so on, lengths and indices in decimal.
fn arguments(list: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
    let mut cursor = Cursor::new(list);
    let mut arguments = Vec::new();
    loop {
        let length = usize::try_from(cursor.decimal()?).map_err(|_| Refusal::Malformed)?;
        cursor.expect(b',')?;
        if cursor.decimal()? != arguments.len() as u64 {
            return Err(Refusal::Malformed);
        }
        cursor.expect(b',')?;
        let (digits, rest) = cursor.rest().split_at_checked(length).ok_or(Refusal::Malformed)?;
        arguments.push(unhex(digits)?);
        cursor = Cursor::new(rest);
        if !cursor.take(b',') {
            return cursor.end(arguments);
        }
    }
}

impl Process {
    pub(super) fn print(&self, out: &mut Vec<u8>) {
        let number = |out: &mut Vec<u8>, name: &str, number: u64| {
            push(out, name);
            push_number(out, number);
        };
        let encoded = |out: &mut Vec<u8>, name: &str, text: &str| {
            push(out, name);
            push_hex(out, text.as_bytes());
        };
        match self {
            Process::Run { program, arguments } => {
                push(out, "vRun;");
                push_hex(out, program);
                for argument in arguments {
                    out.push(b';');
                    push_hex(out, argument);
                }
            }
            Process::Arguments(arguments) => {
                for (index, argument) in arguments.iter().enumerate() {
                    let start = if index == 0 { "A" } else { "," };
                    push(out, &format!("{start}{},{index},", argument.len() * 2));
                    push_hex(out, argument);
                }
            }
            Process::Launched => push(out, "qLaunchSuccess"),
            Process::Attach(process) => number(out, "vAttach;", *process),
            Process::AttachTo(ByName::Present, name) => encoded(out, "vAttachName;", name),
            Process::AttachTo(ByName::Next, name) => encoded(out, "vAttachWait;", name),
            Process::AttachTo(ByName::PresentOrNext, name) => encoded(out, "vAttachOrWait;", name),
            Process::Kill(process) => number(out, "vKill;", *process),
            Process::KillAll => push(out, "k"),
            Process::Detach(None) => push(out, "D"),
            Process::Detach(Some(process)) => number(out, "D;", *process),
            Process::Restart => push(out, "R00"),
            Process::FixedAddresses(on) => number(out, "QDisableRandomization:", u64::from(*on)),
            Process::WithShell(on) => number(out, "QStartupWithShell:", u64::from(*on)),
            Process::Set { variable, encoded: true } => encoded(out, "QEnvironmentHexEncoded:", variable),
            Process::Set { variable, encoded: false } => push(out, &format!("QEnvironment:{variable}")),
            Process::Unset(variable) => encoded(out, "QEnvironmentUnset:", variable),
            Process::Reset => push(out, "QEnvironmentReset"),
            Process::Directory(path) => encoded(out, "QSetWorkingDir:", path.as_deref().unwrap_or_default()),
            Process::Redirect(Stream::Input, path) => encoded(out, "QSetSTDIN:", path),
            Process::Redirect(Stream::Output, path) => encoded(out, "QSetSTDOUT:", path),
            Process::Redirect(Stream::Error, path) => encoded(out, "QSetSTDERR:", path),
        }
    }
}
