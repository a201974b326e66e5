//! One error type: what failed, where, and what to do next.

use std::fmt;

/// The result of everything in this library.
pub type Result<T> = std::result::Result<T, Error>;

/// What sort of failure it is: decides exit codes, protocol statuses and whether a retry makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The line cannot be parsed: an unterminated quote, a stray parenthesis.
    Syntax,
    /// The command exists but was given the wrong arguments.
    Usage,
    /// No command has this name.
    UnknownCommand,
    /// A number or address expression cannot be evaluated.
    Expression,
    /// A name, file, descriptor or host that does not exist.
    NotFound,
    /// The device, the map, the file system or the client's permissions refuse it.
    Permission,
    /// A peer does not let us in: a token or a certificate is missing, or the wrong one.
    Credentials,
    /// A peer does not show who it is, or shows to be somebody else.
    Untrusted,
    /// A URI whose scheme no plugin claims.
    UnknownScheme,
    /// Nobody answers at an address.
    Unreachable,
    /// A deadline passed.
    Timeout,
    /// The peer broke the protocol.
    Protocol,
    /// The peer or a pipe went away.
    Closed,
    /// Ctrl-C, or a client's cancel request.
    Interrupted,
    /// A size beyond what is accepted.
    Limit,
    /// The data is damaged or not of the expected format.
    Format,
    /// The device or peer cannot do this.
    Unsupported,
    /// The operating system said no.
    System,
}

/// What failed (`message`), why (`source`, already folded into the message) and what next (`hint`).
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

impl Error {
    /// An error of `kind` that says `message` (one line, no trailing full stop).
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), hint: None }
    }

    /// The same error with advice about the next step, printed after the message.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with `what` was being attempted in front of its message.
    pub fn context(mut self, what: impl fmt::Display) -> Error {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// An operating-system error met while doing `what`.
    pub fn system(what: impl fmt::Display, error: &std::io::Error) -> Error {
        Error::os(error).context(what)
    }

    /// An operating-system error alone, for a caller that adds what was being done.
    pub fn os(error: &std::io::Error) -> Error {
        use std::io::ErrorKind as E;
        let kind = match error.kind() {
            E::NotFound => Kind::NotFound,
            E::PermissionDenied | E::ReadOnlyFilesystem => Kind::Permission,
            E::ConnectionRefused | E::HostUnreachable | E::NetworkUnreachable | E::AddrNotAvailable => {
                Kind::Unreachable
            }
            E::TimedOut | E::WouldBlock => Kind::Timeout,
            E::BrokenPipe | E::ConnectionReset | E::ConnectionAborted | E::UnexpectedEof => Kind::Closed,
            E::Interrupted => Kind::Interrupted,
            _ => Kind::System,
        };
        Error::new(kind, plain(error))
    }

    /// The sort of failure.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What failed, without the hint.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// An operating-system error's text without Rust's ` (os error N)` tail.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::system("input/output", &error)
    }
}
