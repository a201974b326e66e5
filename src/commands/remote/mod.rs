//! `=`: other programs: hosts and servers.

mod hosts;
pub mod mode;
mod servers;

use super::{Arg, ArgKind, Command, Example, Family, Run};
use crate::error::{Error, Kind, Result};
use crate::output::Mode;
use crate::session::Permissions;

/// The family.
pub const FAMILY: Family = Family { name: "=", summary: "other programs: hosts and servers", commands: COMMANDS };

const FD: Arg = Arg::opt("fd", ArgKind::Host);
const CMD: Arg = Arg::opt("cmd", ArgKind::Command);
const PLACE: Arg = Arg::new("[host:]port", ArgKind::Text);

const COMMANDS: &[Command] = &[
    Command {
        name: "=",
        aliases: &["R"],
        args: &[FD, CMD],
        summary: "list the hosts, or run a command on one of them",
        details: "A number chooses the host, which becomes the current one; without a command that is all. The number \
                  is the one that '=' shows, or the operating system's descriptor of the connection. \
                  What @ ~ > and ; mean is decided here: quote the command to send them along.",
        modes: &[Mode::Json, Mode::Commands],
        examples: &[Example { line: "=", shows: "" }, Example { line: "=j", shows: "[]" }],
        run: Run::Session(hosts::hosts),
        ..Command::DEFAULT
    },
    Command {
        name: "=<",
        aliases: &["R<"],
        args: &[FD, CMD],
        summary: "run a command here and send its output to a host",
        details: "For tcp, tcps, udp and unix hosts. The command takes the rest of the line, filters and redirects \
                  included; its output goes out as it is.",
        run: Run::Session(hosts::push),
        ..Command::DEFAULT
    },
    Command {
        name: "=!",
        aliases: &["R!"],
        args: &[Arg::opt("cmd", ArgKind::Text)],
        summary: "run a command where the current file is",
        needs: Permissions::READ,
        run: Run::Session(hosts::system),
        ..Command::DEFAULT
    },
    Command {
        name: "=+",
        aliases: &["R+"],
        args: &[Arg::new("[proto://]host:port", ArgKind::Text)],
        summary: "connect to a host",
        details: "Protocols: rap and raps (with the file to open there behind host:port/), tcp and tcps (one command \
                  for each connection), udp, unix:///path, http and https (web servers that run commands). Without one \
                  it is rap.",
        needs: Permissions::FILES,
        run: Run::Session(hosts::add),
        ..Command::DEFAULT
    },
    Command {
        name: "=-",
        aliases: &["R-"],
        args: &[FD],
        summary: "close the connection to one host, or to all",
        examples: &[Example { line: "=-", shows: "" }],
        run: Run::Session(hosts::remove),
        ..Command::DEFAULT
    },
    Command {
        name: "==",
        aliases: &["R="],
        args: &[FD],
        summary: "a session with a host, line by line; q leaves it",
        run: Run::Session(hosts::enter),
        ..Command::DEFAULT
    },
    Command {
        name: "=!=",
        aliases: &["R!="],
        args: &[FD],
        summary: "remote command mode: what is typed runs on a host (default: 0)",
        details: "Each statement is sent as it stands. '=' and its relatives, and q, which leaves the mode, stay here.",
        run: Run::Session(mode::enter),
        ..Command::DEFAULT
    },
    Command {
        name: "!=!",
        aliases: &["R=!"],
        summary: "leave the remote command mode",
        examples: &[Example { line: "!=!", shows: "" }],
        run: Run::Session(mode::leave),
        ..Command::DEFAULT
    },
    Command {
        name: "=r",
        aliases: &["Rr"],
        args: &[PLACE, CMD],
        summary: "start the rap server, until Ctrl-C; or run a command on a rap server",
        details: "A place alone is where to listen: a port of this machine (0: a free one), or host:port for others to \
                  reach. Clients share what is open here; each has a seek and a block size of its own. With a command, \
                  the place is where to connect, run it, and leave again.",
        needs: SERVE,
        run: Run::Session(servers::rap),
        ..Command::DEFAULT
    },
    Command {
        name: "=&r",
        aliases: &["R&r"],
        args: &[PLACE],
        summary: "start the rap server in the background",
        needs: SERVE,
        run: Run::Session(servers::rap_behind),
        ..Command::DEFAULT
    },
    Command {
        name: "=t",
        aliases: &["Rt"],
        args: &[PLACE, CMD],
        summary: "start the tcp server, until Ctrl-C; or run a command on a tcp server",
        details: "A client sends a command, reads its output to the end, and is hung up on: nc will do. Clients share \
                  what is open here, and one seek and block size apart from the prompt's.",
        needs: SERVE,
        run: Run::Session(servers::tcp),
        ..Command::DEFAULT
    },
    Command {
        name: "=&t",
        aliases: &["R&t"],
        args: &[PLACE],
        summary: "start the tcp server in the background",
        needs: SERVE,
        run: Run::Session(servers::tcp_behind),
        ..Command::DEFAULT
    },
    Command {
        name: "=g",
        aliases: &["Rg"],
        args: &[PLACE, Arg::opt("program [args]", ArgKind::Text)],
        summary: "start the gdb server, until Ctrl-C or until its program has ended",
        details: "Without a program it serves the process that is open here, and with --multi what the debugger starts. \
                  --attach before the port takes the number of a process behind it; --once, --wrapper PROGRAM --, \
                  --startup-with-shell and --no-disable-randomization are those of gdbserver. A debugger that is \
                  connected can do all that you can: beyond this machine it takes gdbs://host:port or --insecure.",
        needs: SERVE,
        run: Run::Session(servers::gdb),
        ..Command::DEFAULT
    },
    Command {
        name: "=g!",
        aliases: &["Rg!"],
        args: &[PLACE, Arg::opt("program [args]", ArgKind::Text)],
        summary: "start the gdb server, and show every packet",
        needs: SERVE,
        run: Run::Session(servers::gdb_logged),
        ..Command::DEFAULT
    },
    Command {
        name: "=&g",
        aliases: &["R&g"],
        args: &[PLACE, Arg::opt("program [args]", ArgKind::Text)],
        summary: "start the gdb server in the background",
        needs: SERVE,
        run: Run::Session(servers::gdb_behind),
        ..Command::DEFAULT
    },
    Command {
        name: "=l",
        aliases: &["Rl"],
        summary: "list the servers that run here, and their clients",
        modes: &[Mode::Json],
        examples: &[Example { line: "=l", shows: "" }, Example { line: "=lj", shows: "[]" }],
        run: Run::Session(servers::list),
        ..Command::DEFAULT
    },
    Command {
        name: "=l-",
        aliases: &["Rl-"],
        args: &[Arg::new("server", ArgKind::Word)],
        summary: "stop a server",
        needs: Permissions::EXEC,
        run: Run::Session(servers::stop),
        ..Command::DEFAULT
    },
    Command {
        name: "=lk",
        aliases: &["Rlk"],
        args: &[Arg::new("client", ArgKind::Word)],
        summary: "disconnect a client of a server",
        needs: Permissions::EXEC,
        run: Run::Session(servers::disconnect),
        ..Command::DEFAULT
    },
    Command {
        name: "=h",
        aliases: &["Rh"],
        args: &[Arg::opt("[host:]port", ArgKind::Text)],
        summary: "start the web server, until Ctrl-C",
        details: "Without a place it listens at http.bind and http.port. https://host:port encrypts. The line 'open \
                  http://...' signs a browser in once; programs show the token, or read over /cmd/ from this machine \
                  (http.anonymous). The flags of servers follow the place: --read-only, --token-file FILE, ...",
        needs: SERVE,
        run: Run::Session(servers::http),
        ..Command::DEFAULT
    },
    Command {
        name: "=h&",
        aliases: &["Rh&", "=&h", "R&h"],
        args: &[Arg::opt("[host:]port", ArgKind::Text)],
        summary: "start the web server in the background",
        needs: SERVE,
        run: Run::Session(servers::http_behind),
        ..Command::DEFAULT
    },
    Command {
        name: "=h-",
        aliases: &["Rh-", "=h--", "Rh--"],
        summary: "stop the web servers",
        needs: Permissions::EXEC,
        examples: &[Example { line: "=h-", shows: "" }],
        run: Run::Session(servers::http_stop),
        ..Command::DEFAULT
    },
    Command {
        name: "=h*",
        aliases: &["Rh*"],
        args: &[Arg::opt("[host:]port", ArgKind::Text)],
        summary: "stop the web servers and start one in the background",
        needs: SERVE,
        run: Run::Session(servers::http_restart),
        ..Command::DEFAULT
    },
    Command {
        name: "=H",
        aliases: &["RH"],
        args: &[Arg::opt("[host:]port", ArgKind::Text)],
        summary: "start the web server in the background and open its page in a browser (http.browser)",
        details: "When one runs already, its page is opened.",
        needs: SERVE,
        run: Run::Session(servers::browse),
        ..Command::DEFAULT
    },
];

/// What a client needs to listen and to connect from here.
const SERVE: Permissions = Permissions::FILES.and(Permissions::EXEC);

/// Splits `0 px` into the host's number and the line for it. In `0px` the digits are that if they number a `known`
/// host. What does not start with a number is all line, and so is a lone address.
fn address(text: &str, known: impl Fn(u64) -> bool) -> Result<(Option<u64>, &str)> {
    let text = text.trim();
    let (head, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let (digits, glued) = head.split_at(head.bytes().take_while(u8::is_ascii_digit).count());
    if digits.is_empty() {
        return Ok((None, text));
    }
    if glued.is_empty() {
        return Ok((Some(number(head)?), rest.trim_start()));
    }
    let is_address = rest.is_empty() && glued.strip_prefix('x').is_some_and(|hex| u64::from_str_radix(hex, 16).is_ok());
    match digits.parse() {
        Ok(id) if known(id) && !is_address => Ok((Some(id), &text[digits.len()..])),
        _ => Ok((None, text)),
    }
}

fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| Error::new(Kind::Usage, format!("'{text}' is not a number as '=' shows them")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_number_of_its_own_chooses_the_host() {
        let address = |text| super::address(text, |id| id < 2);
        assert_eq!(address("0 px 16").unwrap(), (Some(0), "px 16"));
        assert_eq!(address(" 12").unwrap(), (Some(12), ""));
        assert_eq!(address("s 0x666").unwrap(), (None, "s 0x666"));
        assert_eq!(address("0x10").unwrap(), (None, "0x10"));
        assert_eq!(address("0p8 4").unwrap(), (Some(0), "p8 4"));
        assert_eq!(address("1\"s; s\"").unwrap(), (Some(1), "\"s; s\""));
        assert_eq!(address("0x 16").unwrap(), (Some(0), "x 16"));
        assert_eq!(address("2p8 4").unwrap(), (None, "2p8 4"), "twice, at the current host");
        assert!(address("99999999999999999999999 s").is_err());
    }
}
