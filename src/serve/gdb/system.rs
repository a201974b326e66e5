//! What the client asks about the session and about this machine.

use std::fmt::Write;
use std::fs;

use super::PACKET;
use super::client::offer;
use super::conversation::{Answer, Conversation, ok};
use crate::debug::{ProcessId, modules};
use crate::error::{Error, Kind, Result};
use crate::protocol::rsp::reply::{Errors, push_xml};
use crate::protocol::rsp::session::{Feature, Session};
use crate::protocol::rsp::wire::{push, push_hex, push_number};

impl Conversation<'_> {
    /// The client speaks LLDB's dialect. It takes execs for granted, whatever it says it supports.
    fn is_lldb(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.client.lldb, true) {
            self.client.exec = true;
            self.follow_forks()?;
        }
        Ok(())
    }

    pub(super) fn session(&mut self, request: Session, out: &mut Vec<u8>) -> Result<Answer> {
        match request {
            Session::Supported(features) => {
                self.client.learn(&features);
                self.follow_forks()?;
                let abilities = self.stub.with(|target| Ok(target.abilities()))?;
                let offered = offer(PACKET, &self.stub.manner.disabled, abilities.conditions, abilities.non_stop);
                Feature::print(&offered, out);
            }
            Session::NoAcknowledgements => {
                ok(out)?;
                // This reply is still acknowledged by the client, which does no harm.
                self.reply(out);
                self.stop_acknowledging();
                return Ok(Answer::Silence);
            }
            Session::Extended => {
                if !self.stub.is_own() {
                    return Err(Error::new(Kind::Unsupported, "the target belongs to a session"));
                }
                self.client.extended = true;
                return ok(out);
            }
            Session::ErrorStrings => {
                self.is_lldb()?;
                self.client.errors = Errors::Encoded;
                return ok(out);
            }
            Session::ThreadSuffix => {
                self.is_lldb()?;
                self.client.native_signals = true;
                return ok(out);
            }
            Session::ListThreads => {
                self.is_lldb()?;
                self.client.lists_threads = true;
                return ok(out);
            }
            Session::DetachOnError(_) | Session::Symbol | Session::AttachOrWait => return ok(out),
            Session::Echo(bytes) => {
                push(out, "qEcho:");
                out.extend_from_slice(&bytes);
            }
            Session::Monitor(line) => return self.monitor(&line, out),
            Session::Host => {
                self.is_lldb()?;
                self.host_info(out)?;
            }
            Session::ProcessInfo => self.process_info(out)?,
            Session::ProcessInfoOf(process) => describe_process(process, out)?,
            Session::Directory => {
                let directory = match &self.launch.directory {
                    Some(directory) => directory.clone(),
                    None => std::env::current_dir().map_err(|e| Error::system("no working directory", &e))?,
                };
                push_hex(out, directory.as_os_str().as_encoded_bytes());
            }
            Session::LoaderList => {
                let process = self.thread()?.process;
                let slot = self.stub.with(|target| modules::loader_slot(target, process))?;
                push_number(out, slot.ok_or_else(|| Error::new(Kind::Unsupported, "the program has no loader"))?);
            }
            Session::Libraries(arguments) => self.libraries(&arguments, out)?,
            Session::LoadAddress(path) => {
                let process = self.thread()?.process;
                let modules = self.stub.with(|target| target.modules(process))?;
                let module = modules.iter().find(|module| module.path == path);
                let start = module.and_then(|module| module.start);
                push_number(out, start.ok_or_else(|| Error::new(Kind::NotFound, "this file is not loaded"))?);
            }
        }
        Ok(Answer::Reply)
    }
}

/// A process of this machine, as `/proc` has it.
struct Known {
    id: ProcessId,
    user: String,
    command: String,
    core: String,
}

fn processes() -> Vec<Known> {
    let mut all: Vec<Known> = numbers("/proc").into_iter().filter_map(look).collect();
    all.sort_by_key(|known| known.id);
    all
}

/// The entries of a directory whose names are numbers.
fn numbers(path: &str) -> Vec<ProcessId> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn look(id: ProcessId) -> Option<Known> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next().map(str::to_string)
    };
    let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let words: Vec<String> = command
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    let command = if words.is_empty() { format!("[{}]", field("Name")?) } else { words.join(" ") };
    let core = core(&format!("/proc/{id}/stat"));
    Some(Known { id, user: field("Uid").unwrap_or_default(), command, core })
}

/// The processor in a `stat` file: the 39th field, counted behind the name in brackets as the third and on.
fn core(path: &str) -> String {
    let stat = fs::read_to_string(path).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields.split_whitespace().nth(36).unwrap_or_default().to_string()
}

/// The processes whose program or command has this name.
pub fn named(name: &str) -> Vec<ProcessId> {
    let matches = |id: &ProcessId| {
        let program = fs::read_link(format!("/proc/{id}/exe")).ok();
        let program = program.as_ref().and_then(|path| path.file_name()).and_then(|name| name.to_str());
        let short = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        program == Some(name) || short.trim_end() == name
    };
    numbers("/proc").into_iter().filter(matches).collect()
}

fn describe_process(process: u64, out: &mut Vec<u8>) -> Result<()> {
    let known = ProcessId::try_from(process).ok().and_then(look);
    let known = known.ok_or_else(|| Error::new(Kind::NotFound, "there is no such process"))?;
    push(out, &format!("pid:{:x};name:", known.id));
    push_hex(out, known.command.split(' ').next().unwrap_or_default().as_bytes());
    push(out, ";");
    Ok(())
}

/// Kinds of tables: name, what it is, title.
const TABLES: [(&str, &str, &str); 5] = [
    ("cpus", "Listing of all cpus/cores on the system", "CPUs"),
    ("files", "Listing of all file descriptors", "File descriptors"),
    ("modules", "Listing of all loaded kernel modules", "Kernel modules"),
    ("processes", "Listing of all processes", "Processes"),
    ("threads", "Listing of all threads", "Threads"),
];

/// A table about this machine, as `info os` shows it.
pub fn table(kind: &str) -> Result<String> {
    let mut xml =
        format!("<?xml version=\"1.0\"?>\n<osdata type=\"{}\">\n", if kind.is_empty() { "types" } else { kind });
    match kind {
        "" => {
            for (name, what, title) in TABLES {
                item(&mut xml, &[("Type", name), ("Description", what), ("Title", title)]);
            }
        }
        "processes" => {
            for known in processes() {
                let id = known.id.to_string();
                item(
                    &mut xml,
                    &[("pid", &id), ("user", &known.user), ("command", &known.command), ("cores", &known.core)],
                );
            }
        }
        "threads" => {
            for known in processes() {
                let id = known.id.to_string();
                for thread in numbers(&format!("/proc/{}/task", known.id)) {
                    let at = format!("/proc/{}/task/{thread}", known.id);
                    let name = fs::read_to_string(format!("{at}/comm")).unwrap_or_default();
                    let (thread, core) = (thread.to_string(), core(&format!("{at}/stat")));
                    item(&mut xml, &[("pid", &id), ("command", name.trim_end()), ("tid", &thread), ("core", &core)]);
                }
            }
        }
        "files" => {
            for known in processes() {
                let id = known.id.to_string();
                for file in numbers(&format!("/proc/{}/fd", known.id)) {
                    let target = fs::read_link(format!("/proc/{}/fd/{file}", known.id)).unwrap_or_default();
                    let (file, target) = (file.to_string(), target.to_string_lossy().into_owned());
                    let command = known.command.as_str();
                    item(
                        &mut xml,
                        &[("pid", &id), ("command", command), ("file descriptor", &file), ("name", &target)],
                    );
                }
            }
        }
        "modules" => {
            for line in fs::read_to_string("/proc/modules").unwrap_or_default().lines() {
                let fields: Vec<&str> = line.split_whitespace().collect();
                if let [name, size, uses, _by, status, address, ..] = fields.as_slice() {
                    let fields = [("name", *name), ("size", *size), ("num uses", *uses), ("status", *status)];
                    item(&mut xml, &[fields.as_slice(), &[("address", *address)]].concat());
                }
            }
        }
        "cpus" => {
            for block in fs::read_to_string("/proc/cpuinfo").unwrap_or_default().split("\n\n") {
                let fields: Vec<(&str, &str)> = block
                    .lines()
                    .filter_map(|line| line.split_once(':'))
                    .map(|(name, value)| (name.trim(), value.trim()))
                    .collect();
                if !fields.is_empty() {
                    item(&mut xml, &fields);
                }
            }
        }
        _ => return Err(Error::new(Kind::NotFound, "there is no such table")),
    }
    xml.push_str("</osdata>\n");
    Ok(xml)
}

fn item(xml: &mut String, columns: &[(&str, &str)]) {
    xml.push_str("<item>");
    for (name, value) in columns {
        let _ = write!(xml, "<column name=\"{name}\">");
        push_xml(value, xml);
        xml.push_str("</column>");
    }
    xml.push_str("</item>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_hold_this_process() {
        let id = std::process::id();
        assert!(table("processes").unwrap().contains(&format!("<column name=\"pid\">{id}</column>")));
        assert!(table("threads").unwrap().contains(&format!("<column name=\"tid\">{id}</column>")));
        assert!(table("files").unwrap().contains(&format!("<column name=\"pid\">{id}</column>")));
        assert!(table("").unwrap().contains("<column name=\"Type\">processes</column>"));
        assert!(table("x").is_err() && table("cpus").is_ok() && table("modules").is_ok());
    }
}
