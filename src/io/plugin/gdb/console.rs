//! `=!` on a stub: its own interpreter, packets as they are, and what else concerns the conversation itself.

use serde_json::json;

use crate::debug::gdb::Gdb;
use crate::debug::{Deliver, Target};
use crate::error::{Error, Kind, Result};
use crate::output::printer::Printer;
use crate::output::{Executor, Out, visible};

/// The largest file that is fetched.
const LARGEST: usize = 512 << 20;

/// What can be typed behind `=!`.
const HELP: &[(&str, &str)] = &[
    ("monitor COMMAND", "have the stub's own interpreter run a command; its text is what it says"),
    ("pkt PACKET", "send a packet as it is, without frame; the reply"),
    ("pid", "the processes that the stub controls"),
    ("detach [PID]", "let a process go (default: the current one)"),
    ("pktsz [BYTES]", "the most bytes of a packet, or another limit for it"),
    ("exec_file [PID]", "the path of the program that a process runs"),
    ("download_file PATH", "the bytes of a file there; '> FILE' keeps them"),
    ("remove_file PATH", "remove a file there"),
    ("features", "what the stub said it can do"),
    ("rd", "whether it goes backwards"),
    ("traffic", "round trips and bytes so far"),
];

/// The interpreter.
pub struct Console {
    target: Gdb,
}

impl Console {
    /// For the conversation of `target`.
    pub fn new(target: Gdb) -> Console {
        Console { target }
    }

    fn process(&self, word: &str) -> Result<u32> {
        if word.is_empty() {
            let current = self.target.current();
            return current
                .map(|thread| thread.process)
                .ok_or_else(|| Error::new(Kind::NotFound, "the stub controls no process"));
        }
        word.parse().map_err(|_| Error::new(Kind::Usage, format!("'{}' is no process", visible(word))))
    }
}

impl Executor for Console {
    fn execute(&mut self, line: &str, out: &mut Out<'_>) -> Result<()> {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "" | "?" | "help" => {
                for (form, summary) in HELP {
                    out.line(format_args!("{form:22} {summary}"))?;
                }
                Ok(())
            }
            "monitor" => {
                let mut printer = Printer::default();
                let target = self.target.clone();
                target.monitor(rest, &mut |text| printer.push(text, out))?;
                printer.finish(out)
            }
            "pkt" => {
                let reply = self.target.raw(rest.as_bytes())?;
                out.line(format_args!("reply:\n{}", visible(&String::from_utf8_lossy(&reply))))
            }
            "pid" => {
                for process in self.target.processes()? {
                    out.line(super::shown(&process))?;
                }
                Ok(())
            }
            "detach" => {
                let process = self.process(rest)?;
                self.target.detach(process, Deliver::Nothing)
            }
            "pktsz" if rest.is_empty() => out.line(format_args!("packet size: {} bytes", self.target.packet_size())),
            "pktsz" => {
                let bytes = rest
                    .parse()
                    .map_err(|_| Error::new(Kind::Usage, format!("'{}' is no number of bytes", visible(rest))))?;
                self.target.set_packet_size(bytes)
            }
            "exec_file" => {
                let process = self.process(rest)?;
                out.line(visible(&self.target.program(process)?))
            }
            "download_file" => {
                if rest.is_empty() {
                    return Err(Error::new(Kind::Usage, "which file?").hint("=!download_file /etc/hostname > FILE"));
                }
                out.write_all(&self.target.download(rest, LARGEST)?)
            }
            "remove_file" => self.target.remove_file(rest),
            "features" => self.target.features().iter().try_for_each(|feature| out.line(visible(feature))),
            "rd" => {
                let features = self.target.features();
                let has = |name: &str| features.iter().any(|feature| feature == name);
                out.line(json!({"reverse-continue": has("ReverseContinue"), "reverse-step": has("ReverseStep")}))
            }
            "traffic" => {
                let traffic = self.target.traffic();
                let (trips, sent, received) = (traffic.round_trips, traffic.sent, traffic.received);
                out.line(format_args!("{trips} round trips, {sent} bytes sent, {received} received"))
            }
            _ => Err(Error::new(Kind::UnknownCommand, format!("no command of a stub is called '{}'", visible(word)))
                .hint("'=!help' lists them; 'monitor' goes before those of the stub itself")),
        }
    }
}
