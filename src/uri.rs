//! What can be opened: plain paths and `scheme://rest` URIs, and the `host:port` pairs inside them.

use crate::error::{Error, Kind, Result};

/// A parsed target of `o`, of the command line or of a rap OPEN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    text: String,
    scheme_end: Option<usize>,
}

/// Schemes behind which no `//` is needed: what follows is no place in a network.
const BARE: [&str; 2] = ["gdb+pipe", "gdb+serial"];

impl Uri {
    /// Splits `text` at its first `://` when what stands before is a scheme (letters, digits, `+`, `-`, `.`).
    /// `-` (and the later dialect's `=`) is `malloc://512`.
    pub fn parse(text: &str) -> Uri {
        let text = if text == "-" || text == "=" { "malloc://512" } else { text };
        let scheme_end = text.find("://").filter(|&end| {
            let scheme = &text[..end];
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        });
        let bare = || BARE.iter().find(|scheme| text.strip_prefix(**scheme).is_some_and(|rest| rest.starts_with(':')));
        let scheme_end = bare().map(|scheme| scheme.len()).or(scheme_end);
        Uri { text: text.to_string(), scheme_end }
    }

    /// The text before `://`, or `None` for a plain path.
    pub fn scheme(&self) -> Option<&str> {
        self.scheme_end.map(|end| &self.text[..end])
    }

    /// The text after `://`, or the whole path.
    pub fn rest(&self) -> &str {
        match self.scheme_end {
            Some(end) => {
                let rest = &self.text[end + 1..];
                rest.strip_prefix("//").unwrap_or(rest)
            }
            None => &self.text,
        }
    }

    /// The whole text as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Display for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// `host:port/file` as the network schemes write it: `127.0.0.1:1234//bin/ls`, `[::1]:1234/`, `:1234`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Host name or address without brackets; empty in the listening form `:port`.
    pub host: String,
    /// TCP or UDP port, when one is written.
    pub port: Option<u16>,
    /// What follows the first `/` after the port, without that slash; `None` when there is no slash.
    pub file: Option<String>,
}

impl Authority {
    /// Parses the part of a URI after `://`.
    pub fn parse(rest: &str) -> Result<Authority> {
        let bad = |why: &str| {
            Error::new(Kind::Usage, format!("bad address '{rest}': {why}"))
                .hint("host:port/file, [::1]:port/file or :port")
        };
        let (host, tail) = if let Some(inner) = rest.strip_prefix('[') {
            inner.split_once(']').ok_or_else(|| bad("'[' without ']'"))?
        } else {
            let end = rest.find([':', '/']).unwrap_or(rest.len());
            rest.split_at(end)
        };
        let (port, file) = match tail.split_once('/') {
            Some((port, file)) => (port, Some(file.to_string())),
            None => (tail, None),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => Some(digits.parse().map_err(|_| bad("the port is not a number from 0 to 65535"))?),
            None if port.is_empty() => None,
            None => return Err(bad("only a port may follow the host")),
        };
        if host.contains(char::is_whitespace) {
            return Err(bad("blank in the host name"));
        }
        Ok(Authority { host: host.to_string(), port, file })
    }

    /// `host:port` for messages, with brackets around IPv6 literals.
    pub fn endpoint(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        if self.host.contains(':') { format!("[{}]{port}", self.host) } else { format!("{}{port}", self.host) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_schemes_and_leaves_paths_alone() {
        assert_eq!(Uri::parse("rap://h:1//bin/ls").scheme(), Some("rap"));
        assert_eq!(Uri::parse("rap://h:1//bin/ls").rest(), "h:1//bin/ls");
        assert_eq!(Uri::parse("/bin/ls").scheme(), None);
        assert_eq!(Uri::parse("a b://c").scheme(), None);
        assert_eq!(Uri::parse("-").as_str(), "malloc://512");
        let pipe = Uri::parse("gdb+pipe:ssh h x://y");
        assert_eq!((pipe.scheme(), pipe.rest()), (Some("gdb+pipe"), "ssh h x://y"));
        assert_eq!(Uri::parse("gdb+pipe://ssh").rest(), "ssh");
        assert_eq!(Uri::parse("gdb+pip").scheme(), None);
    }

    #[test]
    fn reads_authorities() {
        let ls = Authority::parse("127.0.0.1:1234//bin/ls").unwrap();
        assert_eq!((ls.host.as_str(), ls.port, ls.file.as_deref()), ("127.0.0.1", Some(1234), Some("/bin/ls")));
        let six = Authority::parse("[::1]:9/").unwrap();
        assert_eq!((six.host.as_str(), six.port, six.file.as_deref()), ("::1", Some(9), Some("")));
        let listen = Authority::parse(":1234").unwrap();
        assert_eq!((listen.host.as_str(), listen.port, listen.file), ("", Some(1234), None));
        assert!(Authority::parse("h:99999/").is_err());
        assert!(Authority::parse("[::1:9/").is_err());
    }
}
