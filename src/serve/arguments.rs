//! The flags of servers: one table and one parser for the program's command line and for `=r`.

use std::path::PathBuf;
use std::time::Duration;

use super::ServeOptions;
use crate::debug::Lost;
use crate::error::{Error, Kind, Result};
use crate::output::visible;
use crate::session::Permissions;

/// A flag of a server.
pub struct Flag {
    /// As it is written: `--root`.
    pub name: &'static str,
    /// What follows it; `None`: nothing.
    pub value: Option<&'static str>,
    /// One line of help.
    pub help: &'static str,
    set: fn(&mut Found, &str) -> Result<()>,
}

/// What was found so far: what is denied wins, wherever it stands.
#[derive(Default)]
struct Found {
    options: ServeOptions,
    denied: Vec<Permissions>,
}

const fn flag(
    name: &'static str,
    value: Option<&'static str>,
    help: &'static str,
    set: fn(&mut Found, &str) -> Result<()>,
) -> Flag {
    Flag { name, value, help, set }
}

/// Every flag, in the order of the help.
pub const FLAGS: &[Flag] = &[
    flag("--read-only", None, "Clients change nothing (--deny write)", |found, _| {
        found.denied.push(Permissions::WRITE);
        Ok(())
    }),
    flag(
        "--allow",
        Some("LIST"),
        "Permissions of clients beyond read,write,files: exec (programs, pipes), debug (processes)",
        |found, names| {
            found.options.permissions = found.options.permissions.and(Permissions::parse(names)?);
            Ok(())
        },
    ),
    flag(
        "--deny",
        Some("LIST"),
        "Permissions that clients do not get: read, write, files, exec, debug",
        |found, names| {
            found.denied.push(Permissions::parse(names)?);
            Ok(())
        },
    ),
    flag("--root", Some("DIR"), "Clients see this directory as / and nothing above it", |found, path| {
        found.options.root = Some(path.into());
        Ok(())
    }),
    flag(
        "--allow-uri",
        Some("SCHEMES"),
        "Network URIs that clients may open from here, as in rap,raps (none otherwise)",
        |found, schemes| {
            found.options.schemes.extend(schemes.split(',').filter(|name| !name.is_empty()).map(str::to_string));
            Ok(())
        },
    ),
    flag(
        "--token-file",
        Some("FILE"),
        "File of tokens, a line each: TOKEN [PERMISSIONS [LABEL]]; made when there is none",
        |found, path| put(&mut found.options.token_file, path),
    ),
    flag(
        "--certificate",
        Some("FILE"),
        "PEM certificate of a TLS server (default: made on first use)",
        |found, path| put(&mut found.options.certificate, path),
    ),
    flag("--key", Some("FILE"), "PEM key of --certificate, when it is not in the same file", |found, path| {
        put(&mut found.options.key, path)
    }),
    flag(
        "--client-ca",
        Some("FILE"),
        "Only clients whose certificate this authority (PEM) signed; then no token is asked for without --token-file",
        |found, path| put(&mut found.options.client_authority, path),
    ),
    flag("--audit", Some("FILE"), "Append who did what to this file, as JSON lines", |found, path| {
        put(&mut found.options.audit, path)
    }),
    flag(
        "--lost",
        Some("POLICY"),
        "What becomes of processes whose client was lost and has not said: keep, continue, detach, kill",
        |found, name| {
            let unknown = || {
                let names: Vec<&str> = Lost::NAMES.iter().map(|(name, _)| *name).collect();
                Error::new(Kind::Usage, format!("'{}' is no policy", visible(name)))
                    .hint(format!("known: {}", names.join(", ")))
            };
            found.options.lost = Some(Lost::named(name).ok_or_else(unknown)?);
            Ok(())
        },
    ),
    flag("--lost-time", Some("SECONDS"), "How long such a process waits for its client (600)", |found, seconds| {
        let bad = || Error::new(Kind::Usage, format!("'{}' is no number of seconds", visible(seconds)));
        found.options.kept = Duration::from_secs(seconds.parse().map_err(|_| bad())?);
        Ok(())
    }),
    flag("--insecure", None, "Listen beyond this machine without encryption or credentials", |found, _| {
        found.options.insecure = true;
        Ok(())
    }),
];

fn put(option: &mut Option<PathBuf>, path: &str) -> Result<()> {
    *option = Some(path.into());
    Ok(())
}

/// Reads the flags among `words`. Returns the other words in their order.
///
/// # Errors
/// [`Kind::Usage`] for an unknown flag, a missing or bad value, and flags that contradict each other.
pub fn parse(words: &[String]) -> Result<(ServeOptions, Vec<String>)> {
    let mut found = Found::default();
    let mut rest = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if !word.starts_with("--") {
            rest.push(word.clone());
            continue;
        }
        let (name, glued) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let flag = FLAGS.iter().find(|flag| flag.name == name).ok_or_else(|| {
            let known: Vec<&str> = FLAGS.iter().map(|flag| flag.name).collect();
            Error::new(Kind::Usage, format!("servers have no flag '{}'", visible(name)))
                .hint(format!("known: {}", known.join(", ")))
        })?;
        let value = match (flag.value, glued) {
            (None, None) => "",
            (None, Some(_)) => return Err(Error::new(Kind::Usage, format!("{name} takes no value"))),
            (Some(_), Some(value)) => value,
            (Some(what), None) => words
                .next()
                .map(String::as_str)
                .ok_or_else(|| Error::new(Kind::Usage, format!("a value is missing: {name} {what}")))?,
        };
        if flag.value.is_some() && value.is_empty() {
            return Err(Error::new(Kind::Usage, format!("the value of {name} is empty")));
        }
        (flag.set)(&mut found, value).map_err(|error| error.context(name))?;
    }
    let Found { mut options, denied } = found;
    for denied in denied {
        options.permissions = options.permissions.without(denied);
    }
    options.consistent()?;
    Ok((options, rest))
}

impl ServeOptions {
    /// Refuses combinations that promise what cannot be kept.
    pub(super) fn consistent(&self) -> Result<()> {
        let beyond = self.permissions.within(Permissions::EXEC.and(Permissions::DEBUG));
        if self.root.is_some() && beyond != Permissions::NONE {
            return Err(Error::new(
                Kind::Usage,
                format!("--root does not go with {}: programs are not kept beneath a directory", beyond.names()),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<(ServeOptions, Vec<String>)> {
        parse(&line.split_whitespace().map(str::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn flags_and_words_mix() {
        let (options, rest) =
            read("--read-only rap://:1 --allow exec --root=/tmp --deny exec px --allow-uri rap,raps").unwrap();
        assert_eq!(rest, ["rap://:1", "px"]);
        assert_eq!(options.permissions, Permissions::READ.and(Permissions::FILES));
        assert_eq!(options.root, Some("/tmp".into()));
        assert_eq!(options.schemes, ["rap", "raps"]);
        assert!(read("--insecure").unwrap().0.insecure);
        assert_eq!(read("").unwrap().0.permissions, ServeOptions::default().permissions);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let message = |line: &str| read(line).unwrap_err().to_string();
        assert!(message("--root").contains("a value is missing: --root DIR"));
        assert!(message("--root=").contains("empty"));
        assert!(message("--read-only=yes").contains("takes no value"));
        assert!(message("--allow fly").contains("no permission is called 'fly'"));
        assert!(message("--rot").contains("no flag '--rot'"));
        assert!(message("--root / --allow exec").contains("does not go with exec"));
    }
}
