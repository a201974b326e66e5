//! What LLDB asks beyond GDB's requests.

use serde_json::{Value, json};

use super::conversation::Conversation;
use super::description::{generic, group};
use super::register::shown;
use super::stop::name;
use crate::debug::registers::{Group, Type};
use crate::debug::{Module, Register, State};
use crate::error::Result;
use crate::protocol::rsp::wire::{push, push_hex};

fn hex(bytes: &[u8]) -> String {
    let mut digits = Vec::new();
    push_hex(&mut digits, bytes);
    String::from_utf8_lossy(&digits).into_owned()
}

/// Appends what a register is: the reply to `qRegisterInfo`.
pub fn describe(register: &Register, offset: usize, out: &mut Vec<u8>) {
    let (encoding, format) = match register.kind {
        Type::Float => ("ieee754", "float"),
        Type::Vector => ("vector", "vector-uint8"),
        _ => ("uint", "hex"),
    };
    push(
        out,
        &format!(
            "name:{};bitsize:{};offset:{offset};encoding:{encoding};format:{format};set:{};",
            register.name,
            register.bytes() * 8,
            group(register)
        ),
    );
    if let Some(number) = register.dwarf {
        push(out, &format!("ehframe:{number};dwarf:{number};"));
    }
    if let Some(generic) = generic(register) {
        push(out, &format!("generic:{generic};"));
    }
}

/// What LLDB calls a target: it takes one of this machine's own only by the vendor that its compilers name.
fn triple(architecture: &str) -> String {
    match architecture {
        "i386:x86-64" => "x86_64-pc-linux-gnu".into(),
        "i386" => "i386-pc-linux-gnu".into(),
        other => format!("{other}-unknown-linux-gnu"),
    }
}

impl Conversation<'_> {
    /// Appends the reply to `qHostInfo`.
    pub(super) fn host_info(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let layout = self.thread().and_then(|thread| self.layout(thread)).ok();
        let architecture = layout.as_ref().map_or("i386:x86-64", |layout| layout.architecture.as_str());
        let bits = layout.as_ref().map_or(64, |layout| layout.bits);
        let big = layout.as_ref().is_some_and(|layout| layout.big_endian);
        let triple = triple(architecture);
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        push(
            out,
            &format!(
                "triple:{};ptrsize:{};endian:{};ostype:linux;hostname:{};watchpoint_exceptions_received:after;",
                hex(triple.as_bytes()),
                bits / 8,
                if big { "big" } else { "little" },
                hex(host.as_bytes())
            ),
        );
        Ok(())
    }

    /// Appends the reply to `qProcessInfo`.
    pub(super) fn process_info(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let thread = self.thread()?;
        let layout = self.layout(thread)?;
        let processes = self.stub.with(|target| target.processes())?;
        let parent = processes.iter().find(|process| process.id == thread.process).and_then(|process| process.parent);
        let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let triple = triple(&layout.architecture);
        push(
            out,
            &format!(
                "pid:{:x};parent-pid:{:x};real-uid:{user:x};real-gid:{group:x};effective-uid:{user:x};\
                 effective-gid:{group:x};triple:{};ostype:linux;endian:{};ptrsize:{};",
                thread.process,
                parent.unwrap_or(0),
                hex(triple.as_bytes()),
                if layout.big_endian { "big" } else { "little" },
                layout.bits / 8
            ),
        );
        Ok(())
    }

    /// Appends the reply to `jThreadsInfo`.
    pub(super) fn stop_infos(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let process = self.thread()?.process;
        let threads = self.stub.with(|target| target.threads(Some(process)))?;
        let layout = self.stub.with(|target| target.layout(process))?;
        let mut all = Vec::new();
        for thread in threads {
            let State::Stopped(reason) = &thread.state else { continue };
            let set = self.stub.with(|target| target.read_set(thread.id, 0))?;
            let general = shown(&layout)
                .into_iter()
                .filter(|(_, register)| register.set == 0 && matches!(register.group, Group::General | Group::Segment));
            let registers: serde_json::Map<String, Value> = general
                .filter_map(|(number, register)| Some((number.to_string(), json!(hex(set.get(register.range())?)))))
                .collect();
            let mut one = json!({ "tid": thread.id.thread, "registers": registers });
            if let Some(name) = &thread.name {
                one["name"] = json!(name);
            }
            if let Some(reason) = reason {
                if let Some(name) = name(reason) {
                    one["reason"] = json!(name);
                }
                one["signal"] = json!(match reason {
                    crate::debug::Reason::Signal { number, .. } => u64::from(self.client.signal(*number)),
                    _ => 5,
                });
            }
            all.push(one);
        }
        push(out, &Value::Array(all).to_string());
        Ok(())
    }

    /// Appends the reply to `jGetLoadedDynamicLibrariesInfos`.
    pub(super) fn libraries(&mut self, arguments: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let wanted: Value = serde_json::from_slice(arguments).unwrap_or(Value::Null);
        let process = self.thread()?.process;
        let modules = self.stub.with(|target| target.modules(process))?;
        let addresses = wanted.get("solib_addresses").and_then(Value::as_array);
        let asked = |module: &&Module| match addresses {
            Some(list) => list.iter().any(|address| address.as_u64() == module.start),
            None => true,
        };
        let images: Vec<Value> = modules
            .iter()
            .filter(asked)
            .map(|module| {
                json!({
                    "load_address": module.start.unwrap_or(module.bias),
                    "pathname": module.path,
                    "link_map": module.link_map,
                    "dynamic": module.dynamic,
                })
            })
            .collect();
        push(out, &json!({ "images": images }).to_string());
        Ok(())
    }
}
