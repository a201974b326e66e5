//! `=`: other programs: hosts and servers.

use std::io::{self, Write};

use serde::Serialize;

use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::error::{Error, Kind, Result};
use crate::io::Access;
use crate::io::plugin::rap;
use crate::link::dial::Place;
use crate::output::{Item, Mode, Out, Style};
use crate::session::context::Args;
use crate::session::reach::opening;
use crate::session::{Permissions, Session};
use crate::uri::Uri;

/// The family.
pub const FAMILY: Family = Family { name: "=", summary: "other programs: hosts and servers", commands: COMMANDS };

const COMMANDS: &[Command] = &[
    Command {
        name: "=",
        aliases: &["R"],
        args: &[Arg::opt("host", ArgKind::Host), Arg::opt("cmd", ArgKind::Command)],
        summary: "list the hosts, or run a command on one of them",
        details: "A number chooses the host, which becomes the current one; without a command that is all. \
                  What @ ~ > and ; mean is decided here: quote the command to send them along.",
        modes: &[Mode::Json, Mode::Commands],
        examples: &[Example { line: "=", shows: "" }, Example { line: "=j", shows: "[]" }],
        run: Run::Session(hosts),
        ..Command::DEFAULT
    },
    Command {
        name: "=+",
        aliases: &["R+"],
        args: &[Arg::new("uri", ArgKind::Text)],
        summary: "connect to a host: rap://host:port/file",
        needs: Permissions::FILES,
        run: Run::Session(add),
        ..Command::DEFAULT
    },
    Command {
        name: "=-",
        aliases: &["R-"],
        args: &[Arg::opt("host", ArgKind::Host)],
        summary: "close the connection to one host, or to all",
        examples: &[Example { line: "=-", shows: "" }],
        run: Run::Session(remove),
        ..Command::DEFAULT
    },
    Command {
        name: "==",
        aliases: &["R="],
        args: &[Arg::opt("host", ArgKind::Host)],
        summary: "a session with a host, line by line; q leaves it",
        run: Run::Session(enter),
        ..Command::DEFAULT
    },
    Command {
        name: "=!",
        aliases: &["R!"],
        args: &[Arg::opt("cmd", ArgKind::Text)],
        summary: "run a command where the current file is",
        needs: Permissions::READ,
        run: Run::Session(system),
        ..Command::DEFAULT
    },
];

/// A host, as `=` lists it.
#[derive(Serialize)]
struct Row<'a> {
    id: usize,
    uri: &'a str,
    current: bool,
    connected: bool,
    round_trips: u64,
    sent: u64,
    received: u64,
}

impl Item for Row<'_> {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "{} - {}", self.id, self.uri)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "=+ {}", self.uri)
    }
}

fn hosts(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    if args.text.is_empty() || out.mode() != Mode::Text {
        let current = session.hosts.current();
        for (id, host) in session.hosts.iter() {
            let traffic = host.peer.traffic();
            out.item(&Row {
                id,
                uri: &host.uri,
                current: id == current,
                connected: host.peer.is_connected(),
                round_trips: traffic.round_trips,
                sent: traffic.sent,
                received: traffic.received,
            })?;
        }
        return Ok(());
    }
    let (slot, line) = address(&args.text)?;
    let host = session.hosts.select(slot)?;
    if line.is_empty() { Ok(()) } else { host.peer.execute(line, out) }
}

/// Splits `0 px` into the host and the line for it. What does not start with a number of its own is all line.
fn address(text: &str) -> Result<(Option<usize>, &str)> {
    let text = text.trim();
    let (head, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if head.is_empty() || !head.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok((None, text));
    }
    Ok((Some(slot(head)?), rest.trim_start()))
}

fn slot(text: &str) -> Result<usize> {
    text.parse().map_err(|_| Error::new(Kind::Usage, format!("'{text}' is not the number of a host")))
}

fn add(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let (scheme, rest) = scheme(&args.text);
    let uri = Uri::parse(&format!("{scheme}://{rest}"));
    let Some((place, file)) = Place::parse("rap", &uri)? else {
        return Err(Error::new(Kind::UnknownScheme, "Unknown protocol").hint("known: rap, raps, rap+unix"));
    };
    let open = opening(&session.core(), &session.view, &uri, Access::R, out.cancel())?;
    let client = rap::connect(&uri, 0, &open);
    open.notices.take().iter().for_each(|line| out.note(line));
    let end = if matches!(place, Place::Unix(_)) { "//" } else { "/" };
    let file = file.unwrap_or_default();
    session.hosts.add(format!("{scheme}://{place}{end}{file}"), Box::new(client?))?;
    match &place {
        Place::Tcp(at) | Place::Tls(at) => {
            out.line(format_args!("Connected to: {} at port {}", at.host, at.port.unwrap_or_default()))?;
        }
        Place::Unix(path) => out.line(format_args!("Connected to: {}", path.display()))?,
    }
    out.line("waiting... ok")
}

/// The protocol and what follows its `://`. Whatever stands before the protocol's name is ignored, as it always
/// was (`=+ =+ rap://...`); without a protocol it is rap.
fn scheme(text: &str) -> (&str, &str) {
    let text = text.trim();
    let Some((head, rest)) = text.split_once("://") else { return ("rap", text.trim_start_matches("=+").trim()) };
    let start = head.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '+').map_or(0, |at| at + 1);
    (&head[start..], rest)
}

fn remove(session: &mut Session, args: &Args, _out: &mut Out<'_>) -> Result<()> {
    match args.words.first() {
        Some(word) => session.hosts.remove(slot(word)?),
        None => {
            session.hosts.clear();
            Ok(())
        }
    }
}

fn enter(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let number = args.words.first().map(|word| slot(word)).transpose()?;
    session.hosts.select(number)?;
    let number = session.hosts.current();
    let prompt = format!("fd:{number}> ");
    loop {
        out.flush()?;
        let line = match &mut session.lines {
            Some(lines) => lines.read_line(&prompt),
            None => standard_input(),
        };
        let Some(line) = line else { return Ok(()) };
        match line.trim() {
            "q" | "quit" => return Ok(()),
            "" => continue,
            _ => {}
        }
        let outcome = session.hosts.select(Some(number)).and_then(|host| host.peer.execute(line.trim_end(), out));
        if let Err(error) = outcome {
            out.error(&error);
            // Ctrl-C ends the command, not the session.
            if error.kind() == Kind::Interrupted {
                out.cancel().clear();
            }
        }
    }
}

/// The next line of standard input, for runs that nobody types at.
fn standard_input() -> Option<String> {
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(count) if count > 0 => Some(line.trim_end_matches(['\n', '\r']).to_string()),
        _ => None,
    }
}

fn system(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    session.with(|core, _| {
        let Some(fd) = core.io.current() else {
            return Err(Error::new(Kind::NotFound, "no file is open").hint("'o' opens one"));
        };
        let descriptor = core.io.descriptor_mut(fd)?;
        let Some(executor) = descriptor.device().executor() else {
            return Err(Error::new(Kind::Unsupported, format!("'{}' does not run commands", descriptor.uri))
                .hint("!cmd runs a program on this machine"));
        };
        executor.execute(&args.text, out)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_its_own_chooses_the_host() {
        assert_eq!(address("0 px 16").unwrap(), (Some(0), "px 16"));
        assert_eq!(address(" 12").unwrap(), (Some(12), ""));
        assert_eq!(address("s 0x666").unwrap(), (None, "s 0x666"));
        assert_eq!(address("0x10").unwrap(), (None, "0x10"));
        assert!(address("99999999999999999999999 s").is_err());
    }

    #[test]
    fn protocols_are_found_behind_whatever_was_typed() {
        assert_eq!(scheme("rap://h:1//bin/ls"), ("rap", "h:1//bin/ls"));
        assert_eq!(scheme("=+ rap://h:1//bin/ls"), ("rap", "h:1//bin/ls"));
        assert_eq!(scheme("h:1/"), ("rap", "h:1/"));
        assert_eq!(scheme("rap://h:1/dbg:///bin/ls"), ("rap", "h:1/dbg:///bin/ls"));
        assert_eq!(scheme("tcp://h:1/"), ("tcp", "h:1/"));
    }
}
