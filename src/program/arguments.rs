//! The program's arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::serve::arguments::{FLAGS, Flag};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

/// What the arguments ask for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// The file or URI to open.
    pub file: Option<String>,
    /// `-d`: debug the file, which may be a process's number, with these arguments.
    pub debug: Option<Vec<String>>,
    /// How the program to be debugged is started: settings of `dbg://`, and `--wait` for one that is not there yet.
    pub launch: Vec<String>,
    /// `--`: start with nothing open.
    pub no_file: bool,
    /// `-c`: command lines, in order.
    pub commands: Vec<String>,
    /// `-i`: scripts, in order.
    pub scripts: Vec<PathBuf>,
    /// `-e`: `key=value` settings, in order.
    pub settings: Vec<String>,
    /// How quiet: 1 leaves after `-c` and `-i`, 2 always leaves.
    pub quiet: u8,
    /// `-Q`: like `-qq`, and leaves without cleaning up.
    pub quick: bool,
    /// `-w`: open for writing.
    pub write: bool,
    /// `-n`: show the file as plain bytes; `-nn`: but know its format.
    pub raw: u8,
    /// `-B`: expression of the base address of an object file.
    pub base: Option<String>,
    /// `-N`: skip the rc file.
    pub no_rc: bool,
    /// `-b`: word size in bits.
    pub bits: Option<String>,
    /// `-a`: architecture.
    pub arch: Option<String>,
    /// `-k`: operating system.
    pub os: Option<String>,
    /// `-s`: expression to seek to.
    pub seek: Option<String>,
    /// `-m`: expression of the address to map the file at.
    pub map: Option<String>,
    /// `-C`: the host that runs the commands.
    pub connect: Option<String>,
    /// `-0`: end start-up and each answer with a NUL byte (r2pipe).
    pub pipe: bool,
    /// `-L`: list the plugins.
    pub plugins: bool,
    /// `-v` or `-V`: the version, short or with details.
    pub version: Option<Version>,
    /// The flags of a server, as `serve::arguments` reads them.
    pub server: Vec<String>,
    /// `--http`: serve a browser and scripts in place of a prompt, at this place.
    pub http: Option<String>,
    /// `--reference`: the page of the reference to print.
    pub reference: Option<String>,
}

/// How much of the version is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `-v`: one line.
    Short,
    /// `-V`: what it can open, too.
    Long,
}

const AFTER_HELP: &str = "\
FILE is a path or a URI: /bin/ls, malloc://4096, rap://host:1234//bin/ls. '-' is a scratch buffer of 512 bytes,
'--' starts with nothing open. A rap URI without a '/' after the port (rap://:1234) starts a server; raps:// encrypts,
rap+unix:///path/of/socket serves this machine alone (and rap+unix:///path/of/socket//bin/ls opens a file there).

Exit status: 0 all went well, 1 the file cannot be opened or (without a prompt) a command failed, 2 wrong usage,
130 interrupted, N after the command 'q N'.

  remora -w firmware.bin                 look and patch at a prompt
  remora -qc 'px 64' /bin/ls             run a command and leave
  remora -d /bin/ls /tmp -- -l           start a program under control
  remora rap://127.0.0.1:1234            serve this machine's files
  remora --http /bin/ls                  look at it in a browser
  remora rap://127.0.0.1:1234//bin/ls    open a file of a served machine
  remora raps://0.0.0.0:1234 --root /srv serve a directory to the network: encrypted, for those with the token";

/// The declaration of the arguments.
pub fn command() -> Command {
    let flag = |id: &'static str, short: char, help: &'static str| {
        Arg::new(id).short(short).help(help).action(ArgAction::SetTrue)
    };
    let value = |id: &'static str, short: char, name: &'static str, help: &'static str| {
        Arg::new(id).short(short).value_name(name).help(help).allow_hyphen_values(true)
    };
    Command::new("remora")
        .about("Take binaries and processes apart, here or at the far end of a bad line")
        .override_usage("remora [OPTIONS] FILE|URI|-|--")
        .after_help(AFTER_HELP)
        .disable_version_flag(true)
        .disable_help_flag(true)
        // `-w -w` is no reason to refuse to start.
        .args_override_self(true)
        .arg(Arg::new("file").value_name("FILE").help("Path or URI to open, '-' for a scratch buffer"))
        .arg(
            Arg::new("arguments")
                .value_name("ARGUMENT")
                .help("With -d: the program's arguments; those with dashes behind '--'")
                .num_args(0..)
                .requires("debug"),
        )
        .arg(value("commands", 'c', "COMMANDS", "Run a line of commands; may be repeated").action(ArgAction::Append))
        .arg(
            value("scripts", 'i', "SCRIPT", "Run a script, before -c; may be repeated")
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(value("settings", 'e', "KEY=VALUE", "Set an option; may be repeated").action(ArgAction::Append))
        .arg(
            Arg::new("quiet")
                .short('q')
                .help("No prompt: leave after -c and -i (-qq: even without them)")
                .action(ArgAction::Count),
        )
        .arg(flag("quick", 'Q', "Like -qq, and leave without cleaning up"))
        .arg(flag("debug", 'd', "Debug FILE, a program with its arguments or the number of a process (dbg://)"))
        .arg(flag("write", 'w', "Open for writing"))
        .arg(
            Arg::new("raw")
                .short('n')
                .help("Show the file as plain bytes, whatever its format (-nn: but let 'i' tell about it)")
                .action(ArgAction::Count),
        )
        .arg(value("base", 'B', "ADDRESS", "Load an object file at this base address (an expression)"))
        .arg(flag("no-rc", 'N', "Do not run the rc file"))
        .arg(value("bits", 'b', "BITS", "Word size (asm.bits)"))
        .arg(value("arch", 'a', "ARCH", "Architecture (asm.arch)"))
        .arg(value("os", 'k', "OS", "Operating system (asm.os)"))
        .arg(value("seek", 's', "ADDRESS", "Start at this address (an expression)"))
        .arg(value("map", 'm', "ADDRESS", "Map the file at this address (an expression)"))
        .arg(value("connect", 'C', "[PROTO://]HOST:PORT", "Run commands on this host (http, unless it says otherwise)"))
        .arg(
            Arg::new("analyse")
                .short('A')
                .help("Accepted for the ancestors' scripts; there is no analysis yet")
                .action(ArgAction::Count),
        )
        .arg(flag("pipe", '0', "Write a NUL byte after start-up and after each answer (r2pipe)"))
        .arg(flag("plugins", 'L', "List what can be opened"))
        .arg(
            Arg::new("http")
                .long("http")
                .value_name("[HOST:]PORT")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("")
                .help("Serve what is open to browsers and scripts, in place of a prompt (=h)"),
        )
        .args(LAUNCH.iter().map(launch_flag))
        .arg(
            Arg::new("profile")
                .long("profile")
                .value_name("FILE")
                .help("Start it as this file says: lines of setenv=, chdir=, stdin=, aslr= and so on")
                .help_heading(DEBUGGED)
                .requires("debug"),
        )
        .args(FLAGS.iter().map(server_flag))
        .arg(flag("version", 'v', "Print the version (-qv: only the number)"))
        .arg(flag("long-version", 'V', "Print the version and what this build can open").long("version"))
        .arg(Arg::new("help").short('h').long("help").help("Print this help").action(ArgAction::Help))
        .arg(Arg::new("reference").long("reference").hide(true).value_parser(["commands", "options", "plugins"]))
}

/// The heading of what says how a program is started.
const DEBUGGED: &str = "Programs to be debugged (-d)";

/// A setting for the start of a program: its name, what it takes, what it does.
struct LaunchFlag {
    name: &'static str,
    value: Option<&'static str>,
    help: &'static str,
}

/// The settings for the start of a program; `dbg://` has them before the program.
const LAUNCH: &[LaunchFlag] = &[
    LaunchFlag { name: "env", value: Some("NAME[=VALUE]"), help: "Set a variable of its environment, or take it away" },
    LaunchFlag { name: "clear-env", value: None, help: "Start it with an empty environment" },
    LaunchFlag { name: "cwd", value: Some("DIRECTORY"), help: "Start it in this directory" },
    LaunchFlag { name: "stdin", value: Some("FILE"), help: "What it reads as standard input" },
    LaunchFlag { name: "stdout", value: Some("FILE"), help: "Where its standard output goes" },
    LaunchFlag { name: "stderr", value: Some("FILE"), help: "Where its standard error goes" },
    LaunchFlag { name: "aslr", value: None, help: "Its addresses are other ones at each start" },
    LaunchFlag { name: "wait", value: Some("NAME"), help: "Wait until a program of this name runs, and attach to it" },
];

fn launch_flag(flag: &LaunchFlag) -> Arg {
    let arg = Arg::new(flag.name).long(flag.name).help(flag.help).help_heading(DEBUGGED).requires("debug");
    match flag.value {
        Some(value) => arg.value_name(value).action(ArgAction::Append),
        None => arg.action(ArgAction::SetTrue),
    }
}

/// The settings that were given, as `dbg://` takes them.
fn launch_words(found: &mut ArgMatches) -> Vec<String> {
    let mut words = Vec::new();
    for LaunchFlag { name, value, .. } in LAUNCH {
        if value.is_some() {
            let values = found.remove_many::<String>(name).into_iter().flatten();
            words.extend(values.map(|value| format!("--{name}={value}")));
        } else if found.get_flag(name) {
            words.push(format!("--{name}"));
        }
    }
    words
}

/// A flag of servers as an argument of the program.
fn server_flag(flag: &Flag) -> Arg {
    let name = flag.name.trim_start_matches('-');
    let arg = Arg::new(name)
        .long(name)
        .help(flag.help)
        .help_heading("Servers (rap://:1234, raps://[host]:1234, rap+unix:///path, --http)");
    match flag.value {
        Some(value) => arg.value_name(value).action(ArgAction::Append),
        None => arg.action(ArgAction::SetTrue),
    }
}

/// The flags of servers that were given, as words.
fn server_words(found: &mut ArgMatches) -> Vec<String> {
    let mut words = Vec::new();
    for flag in FLAGS {
        let id = flag.name.trim_start_matches('-');
        if flag.value.is_some() {
            let values = found.remove_many::<String>(id).into_iter().flatten();
            words.extend(values.map(|value| format!("{}={value}", flag.name)));
        } else if found.get_flag(id) {
            words.push(flag.name.to_string());
        }
    }
    words
}

impl Arguments {
    /// Reads the arguments, the program's name first. The error is clap's: help, or wrong usage.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
        let args: Vec<OsString> = args.into_iter().collect();
        let dashes = args.last().is_some_and(|last| last == "--");
        let mut found = command().try_get_matches_from(args)?;
        let mut arguments = Arguments::from_matches(&mut found);
        arguments.no_file = dashes && arguments.file.is_none();
        Ok(arguments)
    }

    fn from_matches(found: &mut ArgMatches) -> Arguments {
        let many = |found: &mut ArgMatches, id| found.remove_many(id).map(Iterator::collect).unwrap_or_default();
        let mut settings: Vec<String> = many(found, "settings");
        settings.extend(found.remove_one::<String>("profile").map(|file| format!("dbg.profile={file}")));
        Arguments {
            file: found.remove_one("file"),
            debug: found.get_flag("debug").then(|| many(found, "arguments")),
            launch: launch_words(found),
            no_file: false,
            commands: many(found, "commands"),
            settings,
            scripts: found.remove_many("scripts").map(Iterator::collect).unwrap_or_default(),
            quiet: found.get_count("quiet"),
            quick: found.get_flag("quick"),
            write: found.get_flag("write"),
            raw: found.get_count("raw"),
            base: found.remove_one("base"),
            no_rc: found.get_flag("no-rc"),
            bits: found.remove_one("bits"),
            arch: found.remove_one("arch"),
            os: found.remove_one("os"),
            seek: found.remove_one("seek"),
            map: found.remove_one("map"),
            connect: found.remove_one("connect"),
            pipe: found.get_flag("pipe"),
            plugins: found.get_flag("plugins"),
            version: match (found.get_flag("version"), found.get_flag("long-version")) {
                (_, true) => Some(Version::Long),
                (true, _) => Some(Version::Short),
                _ => None,
            },
            server: server_words(found),
            http: found.remove_one("http"),
            reference: found.remove_one("reference"),
        }
    }

    /// Whether the program leaves once the scripts and commands have run.
    pub fn leaves(&self) -> bool {
        let given = !self.commands.is_empty() || !self.scripts.is_empty();
        self.quick || self.quiet > 1 || (self.quiet == 1 && given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Arguments {
        Arguments::parse(std::iter::once("remora").chain(line.iter().copied()).map(OsString::from)).expect("it parses")
    }

    #[test]
    fn the_declaration_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn short_clusters_work_as_scripts_write_them() {
        let quiet = parse(&["-qc", "q", "-"]);
        assert_eq!((quiet.quiet, quiet.commands, quiet.file), (1, vec!["q".to_string()], Some("-".to_string())));
        assert_eq!(parse(&["-qcq", "-"]).commands, ["q"]);
        assert!(parse(&["-Qc", "px", "f"]).quick);
        assert_eq!(parse(&["-escr.color=0", "-e", "io.cache=1"]).settings, ["scr.color=0", "io.cache=1"]);
        assert_eq!(parse(&["-c", "-5", "-s", "-1", "-"]).commands, ["-5"]);
        assert_eq!(parse(&["-qq", "-"]).quiet, 2);
        assert!(parse(&["-q0", "f"]).pipe);
    }

    #[test]
    fn a_program_to_debug_has_arguments() {
        let debugged = parse(&["-d", "/bin/ls", "/", "-qc", "dr", "--", "-l"]);
        assert_eq!((debugged.file.as_deref(), debugged.commands), (Some("/bin/ls"), vec!["dr".to_string()]));
        assert_eq!(debugged.debug, Some(vec!["/".to_string(), "-l".to_string()]));
        assert_eq!(parse(&["/bin/ls"]).debug, None);
        let started = parse(&["-d", "--env", "A=b", "--stdin", "/dev/null", "--aslr", "/bin/ls"]);
        assert_eq!(started.launch, ["--env=A=b", "--stdin=/dev/null", "--aslr"]);
        assert_eq!(parse(&["-d", "--wait", "ls"]).launch, ["--wait=ls"]);
        assert!(Arguments::parse(["remora", "--aslr", "/bin/ls"].map(OsString::from)).is_err());
        let line = ["remora", "/bin/ls", "/"].map(OsString::from);
        assert!(Arguments::parse(line).is_err());
    }

    #[test]
    fn two_dashes_stand_for_no_file() {
        assert!(parse(&["--"]).no_file);
        assert!(parse(&["-q", "--"]).no_file);
        let file = parse(&["--", "-odd"]);
        assert!(!file.no_file);
        assert_eq!(file.file.as_deref(), Some("-odd"));
        assert!(!parse(&[]).no_file);
    }

    #[test]
    fn leaving_depends_on_what_there_was_to_do() {
        assert!(parse(&["-qcq", "-"]).leaves());
        assert!(parse(&["-qq", "-"]).leaves());
        assert!(parse(&["-Q", "-"]).leaves());
        assert!(!parse(&["-q", "-"]).leaves());
        assert!(!parse(&["-c", "px", "-"]).leaves());
    }

    #[test]
    fn unknown_options_are_refused() {
        let error = Arguments::parse(["remora", "-Z"].map(OsString::from)).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}
