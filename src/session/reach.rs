//! What a client may do and reach: permissions by name, the directory it is kept beneath, the URIs it may open.

use std::path::PathBuf;

use crate::debug::{Lost, Start};
use crate::error::{Error, Kind, Result};
use crate::io::plugin::{self, Touches};
use crate::io::{Access, Beneath, Open};
use crate::link::Security;
use crate::link::rap::Compression;
use crate::link::tls::Fingerprint;
use crate::output::{Cancel, visible};
use crate::uri::Uri;

use super::{Core, Permissions, Value, View, config};

impl Permissions {
    /// Each permission with its name.
    pub const NAMES: [(&'static str, Permissions); 5] = [
        ("read", Permissions::READ),
        ("write", Permissions::WRITE),
        ("debug", Permissions::DEBUG),
        ("exec", Permissions::EXEC),
        ("files", Permissions::FILES),
    ];

    /// The permission called `name`.
    pub fn named(name: &str) -> Result<Permissions> {
        Permissions::NAMES.iter().find(|(known, _)| *known == name).map(|(_, bit)| *bit).ok_or_else(|| {
            let known: Vec<&str> = Permissions::NAMES.iter().map(|(name, _)| *name).collect();
            Error::new(Kind::Usage, format!("no permission is called '{}'", visible(name)))
                .hint(format!("known: {}", known.join(", ")))
        })
    }

    /// Names with commas between them, as in `read,write`.
    pub fn parse(names: &str) -> Result<Permissions> {
        names
            .split(',')
            .filter(|name| !name.is_empty())
            .try_fold(Permissions::NONE, |all, name| Ok(all.and(Permissions::named(name.trim())?)))
    }

    /// What both allow.
    pub const fn within(self, other: Permissions) -> Permissions {
        self.without(Permissions::ALL.without(other))
    }

    /// Refuses what is not allowed; `what` is the command or operator that asked.
    pub fn require(self, needed: Permissions, what: &str) -> Result<()> {
        if self.allow(needed) {
            return Ok(());
        }
        let missing = needed.without(self).names();
        Err(Error::new(Kind::Permission, format!("'{what}' is not permitted here: it needs {missing}")))
    }
}

/// How far a client reaches from this machine. The default is the local user's: everywhere.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// The directory that is the client's `/`.
    pub root: Beneath,
    /// The network schemes that the client may open (`rap`, `raps`); `None`: all, and as this user, with the user's
    /// tokens and certificates.
    pub schemes: Option<Vec<String>>,
}

impl View {
    /// Checks that the client may open `uri` for `access`: the bytes, and what the scheme touches on the way.
    ///
    /// # Errors
    /// [`Kind::Permission`], which says what is missing.
    pub fn may_open(&self, uri: &Uri, access: Access) -> Result<()> {
        let needed = if access.write { Permissions::READ.and(Permissions::WRITE) } else { Permissions::READ };
        let scheme = uri.scheme();
        let touches = match scheme {
            None => Touches::Files,
            // Nobody claims it: the error about that is the better one.
            // A path in place of a host is a socket of this machine.
            Some("gdb") if uri.rest().starts_with('/') => Touches::DebuggerFile,
            Some(scheme) => plugin::find(scheme).map_or(Touches::Nothing, |plugin| plugin.touches),
        };
        let needed = match touches {
            Touches::Nothing | Touches::Network => needed,
            Touches::Files | Touches::Program => needed.and(Permissions::FILES),
            Touches::Processes | Touches::Debugger => needed.and(Permissions::DEBUG),
            Touches::DebuggerFile => needed.and(Permissions::DEBUG).and(Permissions::FILES),
            Touches::Command => needed.and(Permissions::DEBUG).and(Permissions::EXEC),
        };
        let shown = scheme.map_or_else(|| "opening a file".to_string(), |scheme| format!("{scheme}://"));
        self.permissions.require(needed, &shown)?;
        match touches {
            Touches::Network | Touches::Debugger => self.may_connect(scheme.unwrap_or_default()),
            Touches::Program | Touches::Processes | Touches::DebuggerFile | Touches::Command => self.unrooted(&shown),
            _ => Ok(()),
        }
    }

    /// Whether the client may read every file of this machine that its user may.
    pub fn reads_files(&self) -> bool {
        self.permissions.allow(Permissions::READ.and(Permissions::FILES)) && self.reach.root.is_none()
    }

    /// Checks that the client may connect from here with `scheme`.
    pub fn may_connect(&self, scheme: &str) -> Result<()> {
        match &self.reach.schemes {
            Some(allowed) if !allowed.iter().any(|allowed| allowed == scheme) => {
                Err(Error::new(Kind::Permission, format!("'{scheme}://' is not permitted here"))
                    .hint(format!("the server must be started with --allow-uri {scheme}")))
            }
            _ => Ok(()),
        }
    }

    /// Refuses `what`, which cannot be kept beneath a directory, to clients that must be.
    pub fn unrooted(&self, what: &str) -> Result<()> {
        match self.reach.root {
            Some(_) => Err(Error::new(
                Kind::Permission,
                format!("'{what}' is not permitted here: it cannot be kept beneath the served directory"),
            )),
            None => Ok(()),
        }
    }
}

/// How `view`'s client opens `uri` for `access`: the one place that puts its permissions, its root and the `net.*`
/// options into an [`Open`].
///
/// # Errors
/// [`Kind::Permission`], or an option that does not say what it must.
pub fn opening(core: &Core, view: &View, uri: &Uri, access: Access, cancel: &Cancel) -> Result<Open> {
    view.may_open(uri, access)?;
    let mut open = Open { access, cancel: cancel.clone(), root: view.reach.root.clone(), ..Open::default() };
    if let Value::Number(milliseconds) = option(core, view, "net.timeout") {
        open.timeout = std::time::Duration::from_millis(milliseconds);
    }
    open.security = security(core, view)?;
    if uri.as_str().contains("dbg://") || uri.as_str().contains("attach://") {
        open.start = start(core, view)?;
    }
    Ok(open)
}

/// How programs are started, and what becomes of processes (`dbg.*`).
fn start(core: &Core, view: &View) -> Result<Start> {
    let text = |name| match option(core, view, name) {
        Value::Text(text) => Some(text).filter(|text| !text.is_empty()),
        _ => None,
    };
    let is_set = |name| matches!(option(core, view, name), Value::Bool(true));
    let words = |name| text(name).map(|line| plugin::debug::words(&line)).transpose();
    let path = |name| text(name).map(PathBuf::from);
    let mut start = Start { lost: text("dbg.lost").and_then(|name| Lost::named(&name)), ..Start::default() };
    if let Some(profile) = path("dbg.profile") {
        let shown = visible(&profile.display().to_string()).into_owned();
        view.permissions.require(Permissions::FILES, "dbg.profile")?;
        let said = std::fs::read(&profile).map_err(|error| Error::system(format!("the profile '{shown}'"), &error))?;
        start.profile(&String::from_utf8_lossy(&said)).map_err(|error| error.context(shown))?;
    }
    start.random_addresses = start.random_addresses.or(is_set("dbg.aslr").then_some(true));
    start.clear_environment |= is_set("dbg.clearenv");
    start.assign(words("dbg.env").map_err(|error| error.context("dbg.env"))?.unwrap_or_default());
    if let Some(arguments) = words("dbg.args").map_err(|error| error.context("dbg.args"))? {
        start.arguments = arguments;
    }
    for (name, place) in [
        ("dbg.dir", &mut start.directory),
        ("dbg.stdin", &mut start.stdin),
        ("dbg.stdout", &mut start.stdout),
        ("dbg.stderr", &mut start.stderr),
    ] {
        if let Some(path) = path(name) {
            *place = Some(path);
        }
    }
    Ok(start)
}

/// What `view`'s client trusts and shows when it connects. Another machine's client borrows nothing of ours: no
/// token, no certificate, and no trust in new hosts.
pub fn security(core: &Core, view: &View) -> Result<Security> {
    let text = |name| match option(core, view, name) {
        Value::Text(text) => Some(text).filter(|text| !text.is_empty()),
        _ => None,
    };
    let fingerprint = text("net.fingerprint").map(|text| text.parse::<Fingerprint>()).transpose();
    let fingerprint = fingerprint.map_err(|error| error.context("net.fingerprint"))?;
    let compression = match text("net.compress").as_deref() {
        Some("always") => Compression::Always,
        Some("never") => Compression::Never,
        _ => Compression::Auto,
    };
    if view.reach.schemes.is_some() {
        return Ok(Security { fingerprint, anonymous: true, compression, ..Security::default() });
    }
    let path = |name| text(name).map(PathBuf::from);
    let identity = match (path("net.certificate"), path("net.key")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        // One file may hold both.
        (Some(both), None) => Some((both.clone(), both)),
        (None, None) => None,
        (None, Some(_)) => {
            return Err(Error::new(Kind::Usage, "net.key is set without net.certificate")
                .hint("both are PEM files; a client certificate needs its key"));
        }
    };
    Ok(Security {
        fingerprint,
        known_hosts: path("net.knownhosts"),
        first_use: matches!(option(core, view, "net.firstuse"), Value::Bool(true)),
        identity,
        token_file: path("net.token.file"),
        anonymous: false,
        compression,
    })
}

fn option(core: &Core, view: &View, name: &str) -> Value {
    config::lookup(&view.overrides, &core.config, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_have_names() {
        assert_eq!(Permissions::parse("read,write").unwrap(), Permissions::READ.and(Permissions::WRITE));
        assert_eq!(Permissions::parse("").unwrap(), Permissions::NONE);
        assert!(Permissions::parse("read,all\x1b[m").unwrap_err().to_string().contains("'all\\x1b[m'"));
        for (name, bit) in Permissions::NAMES {
            assert_eq!(bit.names(), name);
        }
        let both = Permissions::READ.and(Permissions::EXEC);
        assert_eq!(both.within(Permissions::ALL.without(Permissions::EXEC)), Permissions::READ);
        assert!(both.require(Permissions::READ, "px").is_ok());
        let refused = both.require(Permissions::WRITE, "wx").unwrap_err();
        assert_eq!(refused.to_string(), "'wx' is not permitted here: it needs write");
    }

    #[test]
    fn schemes_need_what_they_touch() {
        let view = |names: &str| View {
            permissions: Permissions::parse(names).unwrap(),
            reach: Reach { root: None, schemes: Some(vec!["raps".to_string()]) },
            ..View::default()
        };
        let allowed = |view: &View, uri: &str, access| view.may_open(&Uri::parse(uri), access).is_ok();
        assert!(allowed(&view("read"), "malloc://16", Access::R));
        assert!(!allowed(&view("read"), "malloc://16", Access::RWX));
        assert!(allowed(&view("read,write"), "malloc://16", Access::RWX));
        assert!(!allowed(&view("read,write"), "/bin/ls", Access::R));
        assert!(allowed(&view("read,files"), "/bin/ls", Access::R));
        assert!(!allowed(&view("read"), "gzip://x", Access::R));
        assert!(!allowed(&view("read,files"), "rap://h:1/", Access::R));
        assert!(allowed(&view("read"), "raps://h:1/", Access::R));
        assert!(allowed(&View::default(), "rap://h:1/", Access::RWX));
        assert!(allowed(&View::default(), "gdb+pipe:ssh h gdbserver - x", Access::RWX));
        assert!(!allowed(&view("read"), "gdb://h:1", Access::R));
        assert!(!allowed(&view("read,debug"), "gdb://h:1", Access::R), "the scheme is not allowed");
        assert!(!allowed(&view("read,debug"), "gdb:///run/x", Access::R));
        assert!(allowed(&view("read,debug,files"), "gdb:///run/x", Access::R));
        assert!(!allowed(&view("read,debug,files"), "gdb+pipe:id", Access::R));
        assert!(allowed(&view("read,debug,exec"), "gdb+pipe:id", Access::R));
        let here = tempfile::tempdir().unwrap();
        let root = std::sync::Arc::new(crate::io::Root::open(here.path()).unwrap());
        let rooted = View { reach: Reach { root: Some(root), schemes: None }, ..View::default() };
        assert!(allowed(&rooted, "/bin/ls", Access::R) && !allowed(&rooted, "fd://0", Access::R));
    }

    #[test]
    fn a_stranger_borrows_nothing() {
        let mut core = Core::default();
        let mut view = View::default();
        for (name, value) in [("net.token.file", "/t"), ("net.certificate", "/c"), ("net.firstuse", "true")] {
            let option = super::super::options::find(name).unwrap();
            core.config.set(option, value, |_| Ok(0)).unwrap();
        }
        let own = security(&core, &view).unwrap();
        assert!(own.first_use && own.token_file.is_some() && own.identity.is_some() && !own.anonymous);
        view.reach.schemes = Some(Vec::new());
        let lent = security(&core, &view).unwrap();
        assert!(!lent.first_use && lent.token_file.is_none() && lent.identity.is_none() && lent.anonymous);
    }
}
