//! What `=g` and `remora gdbserver` are told: where to listen, what to serve, how to behave.

use std::path::PathBuf;

use super::stub::Log;
use super::stub::Manner;
use crate::debug::{Launch, ProcessId};
use crate::error::{Error, Kind, Result};
use crate::link::dial::Place;
use crate::output::visible;
use crate::serve::{ServeOptions, arguments};
use crate::uri::Uri;

/// Where the debugger comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// It connects.
    Listen(Place),
    /// It has started this program, and speaks over its standard input and output.
    Standard,
}

/// What is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A program that is started ([`Manner::launch`]).
    Program,
    /// A process that runs already.
    Process(ProcessId),
    /// What the debugger will ask for; or what the session has open.
    Nothing,
}

/// Everything.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where the debugger comes from.
    pub door: Door,
    /// What is served.
    pub what: What,
    /// How.
    pub manner: Manner,
    /// The rules of the door.
    pub options: ServeOptions,
}

/// The flags that `remora gdbserver` and `=g` share.
pub const FLAGS: &str = "\
  --once                        end with the first connection
  --multi                       outlive programs; the debugger starts them (extended-remote)
  --attach                      serve the process PID instead of a program
  --wrapper WRAPPER ARGS --     start the program by WRAPPER
  --startup-with-shell          let $SHELL expand the arguments (--no-startup-with-shell: not, the default)
  --disable-randomization       the same addresses at each start (the default; --no-disable-randomization: not)
  --disable-packet=NAME         do not offer a feature
  --debug                       log every packet to standard error
";

fn usage(text: impl Into<String>) -> Error {
    Error::new(Kind::Usage, text)
}

/// Reads `[flags] PLACE [program [arguments]]`.
///
/// # Errors
/// [`Kind::Usage`] for what is missing or makes no sense.
pub fn parse(words: &[String]) -> Result<Wanted> {
    // Whoever controls a process can do everything that its user can.
    let mut flags = vec!["--allow".to_string(), "debug,exec".to_string()];
    let mut manner = Manner::default();
    let (mut attach, mut shell, mut fixed) = (false, false, true);
    let mut wrapper: Vec<String> = Vec::new();
    let mut rest = words;
    while let Some((word, behind)) = rest.split_first() {
        if !word.starts_with("--") {
            break;
        }
        rest = behind;
        match word.as_str() {
            "--once" => manner.once = true,
            "--multi" => manner.multi = true,
            "--attach" => attach = true,
            "--debug" | "--remote-debug" => manner.log = Some(Log::Errors),
            "--startup-with-shell" => shell = true,
            "--no-startup-with-shell" => shell = false,
            "--disable-randomization" => fixed = true,
            "--no-disable-randomization" => fixed = false,
            "--wrapper" => {
                let end = rest.iter().position(|word| word == "--").ok_or_else(|| usage("--wrapper ends with --"))?;
                wrapper = rest[..end].to_vec();
                rest = &rest[end + 1..];
                if wrapper.is_empty() {
                    return Err(usage("--wrapper needs a program"));
                }
            }
            "--" => break,
            _ => match word.strip_prefix("--disable-packet=") {
                Some(names) => manner.disabled.extend(names.split(',').map(str::to_string)),
                None => {
                    flags.push(word.clone());
                    let flag = arguments::FLAGS.iter().find(|flag| flag.name == word);
                    if flag.is_some_and(|flag| flag.value.is_some()) {
                        let (value, behind) =
                            rest.split_first().ok_or_else(|| usage(format!("a value is missing: {word}")))?;
                        flags.push(value.clone());
                        rest = behind;
                    }
                }
            },
        }
    }
    let (mut options, _) = arguments::parse(&flags)?;
    options.clients = options.clients.min(16);
    let Some((place, program)) = rest.split_first() else {
        return Err(usage("a place to listen at is missing").hint("[host:]port, or stdio"));
    };
    let door = door(place)?;
    let what = match (attach, program) {
        (true, [id]) => {
            let id = id.parse().ok().filter(|id| *id > 0);
            What::Process(id.ok_or_else(|| usage(format!("'{}' is no process", visible(&program[0]))))?)
        }
        (true, _) => return Err(usage("--attach needs the number of one process")),
        (false, []) => What::Nothing,
        (false, [program, arguments @ ..]) => {
            let mut launch = Launch::new(program.clone(), arguments.to_vec());
            launch.wrapper = wrapper;
            launch.shell = shell;
            launch.fixed_addresses = fixed;
            if door == Door::Standard {
                // The debugger speaks over these.
                launch.stdin = Some(PathBuf::from("/dev/null"));
                launch.stdout = Some(PathBuf::from("/dev/stderr"));
            }
            manner.launch = Some(launch);
            What::Program
        }
    };
    Ok(Wanted { door, what, manner, options })
}

/// `1234`, `:1234`, `host:1234`, `gdbs://host:1234`, `gdb+unix:///path`, `/path` of a socket, `stdio`, `-`.
fn door(word: &str) -> Result<Door> {
    if matches!(word, "stdio" | "-") {
        return Ok(Door::Standard);
    }
    let no_place = || {
        usage(format!("'{}' is no place to listen at", visible(word)))
            .hint("[host:]port, gdbs://host:port, gdb+unix:///path or stdio")
    };
    let text = match word {
        _ if word.contains("://") => word.to_string(),
        _ if word.starts_with('/') => format!("gdb+unix://{word}"),
        _ if word.bytes().all(|byte| byte.is_ascii_digit()) => format!("gdb://:{word}"),
        _ => format!("gdb://{word}"),
    };
    match Place::parse("gdb", &Uri::parse(&text))? {
        Some((place, file)) if file.as_deref().unwrap_or_default().is_empty() => match &place {
            Place::Tcp(authority) | Place::Tls(authority) if authority.port.is_none() => Err(no_place()),
            _ => Ok(Door::Listen(place)),
        },
        _ => Err(no_place()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Permissions;

    fn read(line: &str) -> Result<Wanted> {
        parse(&line.split_whitespace().map(str::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn lines_of_gdbserver_are_understood() {
        let wanted = read("--once localhost:0 /bin/echo --multi -x").unwrap();
        assert!(wanted.manner.once && !wanted.manner.multi);
        let launch = wanted.manner.launch.unwrap();
        assert_eq!((launch.program.as_str(), launch.arguments), ("/bin/echo", vec!["--multi".into(), "-x".into()]));
        assert!(launch.fixed_addresses && !launch.shell);
        assert_eq!(wanted.options.permissions, Permissions::ALL);

        let wanted = read("--wrapper env A=b -- --no-disable-randomization --startup-with-shell :1 prog").unwrap();
        let launch = wanted.manner.launch.unwrap();
        assert_eq!(
            (launch.wrapper, launch.fixed_addresses, launch.shell),
            (vec!["env".into(), "A=b".into()], false, true)
        );

        assert_eq!(read("--attach :1 77").unwrap().what, What::Process(77));
        assert_eq!(read("--multi 1234").unwrap().what, What::Nothing);
        let wanted = read("- prog").unwrap();
        assert_eq!((wanted.door, wanted.manner.launch.unwrap().stdin), (Door::Standard, Some("/dev/null".into())));
        assert!(read("--deny write --insecure 0.0.0.0:1").unwrap().options.insecure);
        assert!(!read("--deny write :1").unwrap().options.permissions.allow(Permissions::WRITE));
        let Door::Listen(place) = read("gdbs://[::1]:5").unwrap().door else { panic!() };
        assert!(place.is_private());
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for line in [
            "",
            "--once",
            "--attach :1",
            "--attach :1 x",
            "--attach :1 0",
            "--wrapper env :1 p",
            "--wrapper -- :1",
            "--fly :1 p",
            "host",
            ":x",
            "rap://:1",
            "--token-file",
        ] {
            assert_eq!(read(line).unwrap_err().kind(), Kind::Usage, "{line}");
        }
    }
}
