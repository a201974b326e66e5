//! Objects that are read in pieces.

use std::fmt::Write;

use super::conversation::{Answer, Conversation};
use super::{PACKET, description, system};
use crate::debug::{Module, ProcessId};
use crate::error::{Error, Kind, Result};
use crate::protocol::rsp::object::{Object, piece};
use crate::protocol::rsp::reply::push_xml;
use crate::protocol::rsp::wire::{hex_number, push_number};

/// Objects as they were when their first piece was read, so that the pieces fit together.
#[derive(Debug, Default)]
pub struct Snapshots(Vec<(String, Vec<u8>)>);

/// Objects that are kept; others are made anew.
const KEPT: usize = 8;

impl Snapshots {
    /// Forgets them.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    fn keep(&mut self, name: String, bytes: Vec<u8>) {
        self.0.retain(|(other, _)| *other != name);
        if self.0.len() >= KEPT {
            self.0.remove(0);
        }
        self.0.push((name, bytes));
    }

    fn find(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, bytes)| bytes.as_slice())
    }
}

impl Conversation<'_> {
    pub(super) fn object(&mut self, request: Object, out: &mut Vec<u8>) -> Result<Answer> {
        match request {
            Object::Read { object, annex, offset, length } => {
                let process = self.thread().map_or(0, |thread| thread.process);
                let name = format!("{object} {annex} {process}");
                if offset == 0 || self.objects.find(&name).is_none() {
                    let whole = self.whole(&object, &annex)?;
                    self.objects.keep(name.clone(), whole);
                }
                let whole = self.objects.find(&name).unwrap_or_default();
                if offset > whole.len() as u64 {
                    return Err(Error::new(Kind::Usage, "the object ends before"));
                }
                piece(whole, offset, length, PACKET, out);
            }
            Object::Write { object, offset, bytes, .. } if object == "siginfo" => {
                let thread = self.thread()?;
                self.stub.with(|target| {
                    let mut info = target.signal_info(thread)?;
                    let start = usize::try_from(offset).unwrap_or(usize::MAX);
                    let end = start.saturating_add(bytes.len());
                    let room = info.get_mut(start..end);
                    room.ok_or_else(|| Error::new(Kind::Usage, "this is not in it"))?.copy_from_slice(&bytes);
                    target.set_signal_info(thread, &info)
                })?;
                push_number(out, bytes.len() as u64);
            }
            Object::Write { .. } => return Err(Error::new(Kind::Unsupported, "the object cannot be written")),
        }
        Ok(Answer::Reply)
    }

    fn whole(&mut self, object: &str, annex: &str) -> Result<Vec<u8>> {
        match (object, annex) {
            ("features", "target.xml") => {
                let thread = self.thread()?;
                Ok(description::target(&*self.layout(thread)?).into_bytes())
            }
            ("auxv", "") => {
                let process = self.thread()?.process;
                self.stub.with(|target| target.auxv(process))
            }
            ("libraries-svr4", _) => {
                let process = self.thread()?.process;
                let modules = self.stub.with(|target| target.modules(process))?;
                // LLDB takes `main-lm` for the place of the loader's list.
                Ok(libraries(&modules, !self.client.lldb).into_bytes())
            }
            ("threads", "") => self.thread_list().map(String::into_bytes),
            ("exec-file", annex) => {
                let process = if annex.is_empty() { self.thread()?.process } else { self.process_named(annex)? };
                self.stub.with(|target| target.program(process)).map(String::into_bytes)
            }
            ("siginfo", "") => {
                let thread = self.thread()?;
                self.stub.with(|target| target.signal_info(thread))
            }
            ("osdata", annex) => system::table(annex).map(String::into_bytes),
            ("features" | "auxv" | "threads" | "siginfo", _) => {
                Err(Error::new(Kind::NotFound, format!("there is no '{annex}' of this")))
            }
            _ => Err(Error::new(Kind::Unsupported, "there is no such object")),
        }
    }

    /// The process with a hexadecimal number.
    pub(super) fn process_named(&self, digits: &str) -> Result<ProcessId> {
        let none = || Error::new(Kind::NotFound, "there is no such process");
        let id = hex_number(digits.as_bytes()).ok_or_else(none)?;
        let processes = self.stub.with(|target| target.processes())?;
        processes.iter().map(|process| process.id).find(|known| u64::from(*known) == id).ok_or_else(none)
    }

    fn thread_list(&mut self) -> Result<String> {
        let mut xml = String::from("<?xml version=\"1.0\"?>\n<threads>\n");
        for thread in self.stub.with(|target| target.threads(None))? {
            let mut name = Vec::new();
            self.push_name(thread.id, &mut name);
            xml.push_str("<thread id=\"");
            xml.push_str(&String::from_utf8_lossy(&name));
            xml.push('"');
            if let Some(core) = thread.core {
                let _ = write!(xml, " core=\"{core}\"");
            }
            if let Some(name) = &thread.name {
                xml.push_str(" name=\"");
                push_xml(name, &mut xml);
                xml.push('"');
            }
            xml.push_str("/>\n");
        }
        xml.push_str("</threads>\n");
        Ok(xml)
    }
}

/// The loader's list: everything but the program itself and what has no name (the kernel's).
fn libraries(modules: &[Module], names_program: bool) -> String {
    let mut xml = String::from("<library-list-svr4 version=\"1.0\"");
    if let Some(program) = modules.first().filter(|module| names_program && module.link_map != 0) {
        let _ = write!(xml, " main-lm=\"0x{:x}\"", program.link_map);
    }
    let loaded: Vec<&Module> =
        modules.iter().skip(1).filter(|module| module.link_map != 0 && module.path.starts_with('/')).collect();
    if loaded.is_empty() {
        xml.push_str("/>");
        return xml;
    }
    xml.push('>');
    for module in loaded {
        xml.push_str("<library name=\"");
        push_xml(&module.path, &mut xml);
        let _ = write!(
            xml,
            "\" lm=\"0x{:x}\" l_addr=\"0x{:x}\" l_ld=\"0x{:x}\" lmid=\"0x0\"/>",
            module.link_map, module.bias, module.dynamic
        );
    }
    xml.push_str("</library-list-svr4>");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_of_the_loader() {
        let module = |path: &str, link_map| Module {
            path: path.into(),
            bias: 0x1000,
            start: None,
            end: None,
            link_map,
            dynamic: 0x2000,
        };
        assert_eq!(libraries(&[], true), "<library-list-svr4 version=\"1.0\"/>");
        assert_eq!(libraries(&[module("/p", 0)], true), "<library-list-svr4 version=\"1.0\"/>");
        assert_eq!(
            libraries(&[module("/p", 16), module("linux-vdso.so.1", 32), module("/lib/a&b", 48)], true),
            "<library-list-svr4 version=\"1.0\" main-lm=\"0x10\"><library name=\"/lib/a&amp;b\" lm=\"0x30\" \
             l_addr=\"0x1000\" l_ld=\"0x2000\" lmid=\"0x0\"/></library-list-svr4>"
        );
    }
}
